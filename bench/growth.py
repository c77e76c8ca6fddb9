# SPDX-License-Identifier: Apache-2.0
"""What depends on the size of a declaration, and what must not: 10 to 10,000 VMs, each with its generator. argv[1] and
argv[2] are the bare programs, bare.c and first.c. BENCH_COUNTS: other numbers of VMs."""
import codecs
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import VMCRED, VMCRED_RUN
from turns import compare

COUNTS = [int(word) for word in os.environ.get("BENCH_COUNTS", "10 100 1000 10000").split()]
QUIET = {"check": True, "stdout": subprocess.DEVNULL}


def declaration(count):
    """About 200 bytes a VM with its generator."""
    names = [f"vm{number}" for number in range(count)]
    return {
        "machines": {"host": {}},
        "generators": {name: {"machines": ["host"], "files": {"key": {}}, "kind": {"key": {"base64": 32}}} for name in names},
        "vms": {name: {"loadCredentials": {"host-key": f"{name}/key"}, "credentialFiles": {"HOST-KEY": "host-key"},
                       "command": ["qemu-system-x86_64"]} for name in names},
    }  # fmt: skip


def yaml(value, indent=0):
    """Block mappings, as people write them."""
    lines = ""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines += " " * indent + f"{key}:\n" + yaml(item, indent + 2)
        else:
            lines += " " * indent + f"{key}: {json.dumps(item)}\n"
    return lines


class Place:
    """A declaration with that many VMs, the credentials of the last one's unit, and its secret in the store."""

    def __init__(self, directory, count):
        self.directory, self.count, self.last = directory, count, f"vm{count - 1}"
        document = declaration(count)
        self.config = directory / "vmcred.yaml"
        self.config.write_text(yaml(document))
        self.json = directory / "vmcred.json"
        self.json.write_text(json.dumps(document, indent=2))
        self.credentials = directory / "credentials"
        self.credentials.mkdir()
        (self.credentials / "host-key").write_text("c2VjcmV0LXZhbHVlLW9mLWZvcnR5LWZvdXItYnl0ZXM=")
        (self.credentials / "vmcred.vm").write_text(self._entry())
        self.programs = directory / "bin"
        self.programs.mkdir()
        shutil.copy(sys.argv[2], self.programs / "qemu-system-x86_64")
        self.identity = directory / "identity"
        subprocess.run([VMCRED, "keygen", "--config", self.config, "--machine", "host", "--output", self.identity], **QUIET)
        subprocess.run([VMCRED, "generate", "--config", self.config, "--generator", self.last], **QUIET)

    def _entry(self):
        """As systemd passes it to the unit."""
        units = self.directory / "units"
        subprocess.run([VMCRED_RUN, "units", "--config", self.config, "--output", units], **QUIET)
        dropin = (units / f"microvm@{self.last}.service.d/50-vmcred.conf").read_text()
        line = next(line for line in dropin.splitlines() if line.startswith("SetCredential=vmcred.vm:"))
        return codecs.decode(line.split(":", 1)[1], "unicode_escape")

    @property
    def environment(self):
        return os.environ | {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "CREDENTIALS_DIRECTORY": str(self.credentials),
            "SOPS_AGE_KEY_FILE": str(self.identity),
        }

    def sizes(self):
        return f"{self.count} VMs, {self.config.stat().st_size / 1e6:.2f} MB of YAML, {self.json.stat().st_size / 1e6:.2f} MB of JSON"


def main():
    for count in COUNTS:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            place = Place(Path(name), count)
            compare(place.sizes() + ": starting one, to its first instruction", {
                "bare hypervisor": [place.programs / "qemu-system-x86_64"],
                "vmcred run in its unit": [VMCRED_RUN, "run", place.last],
                "vmcred compose in its unit": [VMCRED_RUN, "compose", place.last],
                "vmcred run, all of the YAML": [VMCRED_RUN, "run", "--config", place.config, place.last],
                "vmcred run, all of the JSON": [VMCRED_RUN, "run", "--config", place.json, place.last],
            }, place.environment)  # fmt: skip
            compare(f"{count} generators: decrypting one value", {
                "bare: libcrypto, one X25519": [sys.argv[1]],
                "vmcred get": [VMCRED, "get", "--config", place.config, "host", f"{place.last}/key"],
            }, place.environment)  # fmt: skip


main()
