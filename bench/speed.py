# SPDX-License-Identifier: Apache-2.0
"""Decrypting a value, and starting a hypervisor, beside the real programs. argv[1] and argv[2] are the bare programs, bare.c
and first.c."""
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from example import Example
from harness import VMCRED, VMCRED_RUN, VMCRED_SOPS
from record import unmeasured
from turns import NULL, compare

# What a runner script does where the hypervisor reads no files; `read_value` is how it reads one.
WRAPPER = """#!/bin/bash
strings=
for name in host-one host-two host-three; do
	value={read_value}
	strings+=" -smbios type=11,value=io.systemd.credential:$name=$value"
done
exec qemu-system-x86_64 $strings
"""


def document(directory):
    example = Example(directory)
    environment = os.environ | {"SOPS_AGE_KEY_FILE": str(example.identity)}
    path = example.document("one")
    commands = {
        "bare: libcrypto, one X25519": [sys.argv[1]],
        "vmcred get": [VMCRED, "get", "--config", example.config, "m", "made/one"],
        "vmcred sops decrypt": [VMCRED_SOPS, "decrypt", "--input-type", "binary", "--output-type", "binary", path],
    }
    for peer in ("sops", "age"):
        if not shutil.which(peer):
            unmeasured(f"{peer}, decrypting one value", "it is not installed: tools/install-deps --test")
    if shutil.which("sops"):
        commands["sops decrypt"] = [
            "sops", "decrypt", "--input-type", "binary", "--output-type", "binary", path,
        ]  # fmt: skip
    if shutil.which("age"):
        public = expect_public(example)
        subprocess.run(["age", "-r", public, "-o", directory / "file.age"], input=b"x" * 44, check=True)
        commands["age -d"] = ["age", "-d", "-i", example.identity, directory / "file.age"]
    compare("Decrypting one value, the whole process", commands, environment)


def expect_public(example):
    return next(line for line in example.identity.read_text().splitlines() if "public key" in line).split()[-1]


def declare(directory):
    """A VM with three credentials; the options of `vmcred run` for it."""
    credentials = directory / "credentials"
    credentials.mkdir()
    names = ["host-one", "host-two", "host-three"]
    for name in names:
        (credentials / name).write_text("c2VjcmV0LXZhbHVlLW9mLWZvcnR5LWZvdXItYnl0ZXM=")
    mapping = "".join(f"      {name.upper()}: {name}\n" for name in names)
    (directory / "vmcred.yaml").write_text(f"vms:\n  vm:\n    credentialFiles:\n{mapping}    command: [qemu-system-x86_64]\n")
    return ["--config", directory / "vmcred.yaml", "--credentials", credentials, "vm"]


def launch(directory):
    """Up to the hypervisor's first instruction: a program named like QEMU exits there."""
    options = declare(directory)
    programs = directory / "bin"
    programs.mkdir()
    shutil.copy(sys.argv[2], programs / "qemu-system-x86_64")
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "CREDENTIALS_DIRECTORY": str(directory / "credentials"),
    }
    commands = {
        "bare hypervisor": [programs / "qemu-system-x86_64"],
        "vmcred run": [VMCRED_RUN, "run", *options],
    }
    for title, read_value in {
        "bash wrapper, $(cat FILE)": '$(cat "$CREDENTIALS_DIRECTORY/$name")',
        "bash wrapper, $(< FILE)": '$(< "$CREDENTIALS_DIRECTORY/$name")',
    }.items():
        wrapper = directory / f"wrapper-{len(commands)}"
        wrapper.write_text(WRAPPER.format(read_value=read_value))
        wrapper.chmod(0o755)
        commands[title] = [wrapper]
    compare("Starting a hypervisor with three credentials, up to its first instruction", commands, environment)


def seconds_to_boot(command, environment):
    """From before the fork until Cloud Hypervisor reports that it boots the VM."""
    reading, writing = os.pipe()
    start = time.perf_counter()
    words = [str(word).replace("EVENTS", str(writing)) for word in command]
    with subprocess.Popen(words, env=environment, pass_fds=[writing], **NULL) as process:
        os.close(writing)
        events = b""
        while b'"booting"' not in events:
            more = os.read(reading, 65536)
            if not more:
                sys.exit(f"{words[0]} ended before it booted a VM")
            events += more
        taken = time.perf_counter() - start
        process.terminate()
    os.close(reading)
    return taken


def boot(directory):
    """The real Cloud Hypervisor, up to vm.boot; the guest need not run."""
    options = declare(directory)
    program = shutil.which("cloud-hypervisor")
    kernels = sorted(Path("/boot").glob("vmlinuz*")) + sorted(
        (Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vmcred").glob("guest-*/vmlinuz")
    )
    if not program or not kernels or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        unmeasured("Starting Cloud Hypervisor up to vm.boot",
                   "it needs cloud-hypervisor on the PATH, a /dev/kvm that opens, and a kernel in /boot or of the example (make demo)")  # fmt: skip
        return
    line = [program, "--event-monitor", "fd=EVENTS", "--kernel", kernels[0], "--memory", "size=256M", "--console", "off"]
    commands = {"bare cloud-hypervisor": line, "vmcred run": [VMCRED_RUN, "run", *options, "--", *line]}
    compare("Starting Cloud Hypervisor with three credentials, up to vm.boot", commands, os.environ, measure=seconds_to_boot)


def main():
    for measure in (document, launch, boot):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            measure(Path(directory))


main()
