# SPDX-License-Identifier: Apache-2.0
"""Whole processes, measured in turns so that a slow moment hits all of them; the ratio of medians, with the spread of
the middle half. argv[1] is the bare program."""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from example import Example
from harness import VMCRED

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "60"))
NULL = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

WRAPPER = """#!/bin/bash
strings=
for name in host-one host-two host-three; do
	value=$(cat "$CREDENTIALS_DIRECTORY/$name")
	strings+=" -smbios type=11,value=io.systemd.credential:$name=$value"
done
exec qemu-system-x86_64 $strings
"""


def milliseconds(command, environment):
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, **NULL)
    return (time.perf_counter() - start) * 1000


def compare(title, commands, environment):
    """The first command is the yardstick."""
    times = {name: [] for name in commands}
    for name, command in commands.items():
        milliseconds(command, environment)
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(milliseconds(command, environment))
    print(f"{title}\n{'':2}{'':34} {'median':>9} {'middle half':>18} {'ratio':>7}")
    first = statistics.median(next(iter(times.values())))
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{'':2}{name:34} {middle:6.2f} ms {low:8.2f} - {high:5.2f} ms {middle / first:6.2f}x")
    print(flush=True)


def document(folder):
    example = Example(folder)
    environment = os.environ | {"SOPS_AGE_KEY_FILE": str(example.identity)}
    path = example.document("one")
    commands = {
        "bare: libcrypto, one X25519": [sys.argv[1]],
        "vmcred get": [VMCRED, "get", "--config", example.config, "m", "made/one"],
    }
    for peer in ("sops", "age"):
        if not shutil.which(peer):
            print(f"{peer} is not installed and is not measured: tools/install-deps --test")
    if shutil.which("sops"):
        commands["sops decrypt"] = [
            "sops", "decrypt", "--input-type", "binary", "--output-type", "binary", path,
        ]  # fmt: skip
    if shutil.which("age"):
        public = expect_public(example)
        subprocess.run(["age", "-r", public, "-o", folder / "file.age"], input=b"x" * 44, check=True)
        commands["age -d"] = ["age", "-d", "-i", example.identity, folder / "file.age"]
    compare("Decrypting one value, the whole process", commands, environment)


def expect_public(example):
    return next(line for line in example.identity.read_text().splitlines() if "public key" in line).split()[-1]


def launch(folder):
    """Up to the hypervisor's first instruction: it is /bin/true under QEMU's name, the cheapest that can be."""
    programs, credentials = folder / "bin", folder / "credentials"
    programs.mkdir()
    credentials.mkdir()
    shutil.copy("/bin/true", programs / "qemu-system-x86_64")
    (folder / "wrapper").write_text(WRAPPER)
    (folder / "wrapper").chmod(0o755)
    names = ["host-one", "host-two", "host-three"]
    for name in names:
        (credentials / name).write_text("c2VjcmV0LXZhbHVlLW9mLWZvcnR5LWZvdXItYnl0ZXM=")
    mapping = "".join(f"      {name.upper()}: {name}\n" for name in names)
    (folder / "vmcred.yaml").write_text(f"vms:\n  vm:\n    credentialFiles:\n{mapping}    command: [qemu-system-x86_64]\n")
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "CREDENTIALS_DIRECTORY": str(credentials)}
    commands = {
        "bare hypervisor": ["qemu-system-x86_64"],
        "vmcred run": [VMCRED, "run", "--config", folder / "vmcred.yaml", "vm"],
        "bash wrapper, values in argv": [folder / "wrapper"],
    }
    os.environ["PATH"] = environment["PATH"]
    compare("Starting a hypervisor with three credentials", commands, environment)


def main():
    for measure in (document, launch):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            measure(Path(folder))


main()
