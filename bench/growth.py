# SPDX-License-Identifier: Apache-2.0
"""What depends on the size of a declaration, and what must not: 10 to 10,000 VMs on one host, each with its secret. argv[1] to
argv[3] are the bare programs, bare.c, first.c and vars_bare.c. BENCH_COUNTS: other numbers of VMs."""
import codecs
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import VMCRED, VMCRED_RUN
from turns import ROUNDS, compare, elapsed

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
    """A declaration with that many VMs, the credentials of the last one's unit, and a key. Nothing is generated yet."""

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

    def compare(self, title, commands, **options):
        compare(title, commands, self.environment, {"VMs": self.count}, **options)

    def compare_whole(self, title, floor, bare, command, made):
        """The command for the secrets of all VMs, without `made`, which is what it makes, and then again."""
        def measure(words, environment):
            if words is command:
                shutil.rmtree(made, ignore_errors=True)
            return elapsed(words, environment)

        name = f"vmcred {command[1]}"
        self.compare(title, {floor: bare, name: command, f"{name}, again": [*command]},
                     measure=measure, rounds=max(3, min(ROUNDS, 10000 // self.count)))  # fmt: skip

    def generate(self):
        command = [VMCRED, "generate", "--config", self.config]
        bare = [sys.argv[3], "-", *self.primitives(1)]
        self.compare_whole("Generating the secrets of all VMs", "bare primitives, no files", bare, command, self.directory / "vars")

    def activate(self):
        root = self.directory / "root"
        command = [VMCRED, "activate", "--config", self.config, "--machine", "host", "--root", root]
        bare = [sys.argv[3], "rewrap", *self.primitives(0)]
        self.compare_whole("Activating the secrets of all VMs", "bare unwrapping, no files", bare, command, root)

    def primitives(self, recipients):
        """Of vars_bare.c: a machine for each VM, which has one file."""
        return [str(self.count), "1", str(recipients), str(len(os.sched_getaffinity(0)))]

    def decrypt(self):
        self.compare("Decrypting one value", {
            "bare: libcrypto, one X25519": [sys.argv[1]],
            "vmcred get": [VMCRED, "get", "--config", self.config, "host", f"{self.last}/key"],
        })  # fmt: skip

    def launch(self):
        bare = {"bare hypervisor": [self.programs / "qemu-system-x86_64"]}
        self.compare("Starting one VM, up to its first instruction", bare | {
            "vmcred run in its unit": [VMCRED_RUN, "run", self.last],
            "vmcred compose in its unit": [VMCRED_RUN, "compose", self.last],
        })  # fmt: skip
        # Apart, because the processor's caches are cold after these.
        self.compare("Starting one VM from the whole declaration", bare | {
            "vmcred run, YAML": [VMCRED_RUN, "run", "--config", self.config, self.last],
            "vmcred run, JSON": [VMCRED_RUN, "run", "--config", self.json, self.last],
        })  # fmt: skip


def main():
    for count in COUNTS:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            place = Place(Path(name), count)
            for measure in (place.generate, place.activate, place.decrypt, place.launch):
                measure()


main()
