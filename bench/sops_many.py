# SPDX-License-Identifier: Apache-2.0
"""Many documents: all of them in one call of ours, against a loop over the real sops, of which a sample is measured and
multiplied. In turns, so that a slow moment hits both; the ratio of medians, with the middle half."""
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import VMCRED, VMCRED_SOPS
from record import unmeasured
from turns import show

FILES = int(os.environ.get("BENCH_FILES", "10000"))
SAMPLE = int(os.environ.get("BENCH_SAMPLE", "25"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def seconds(command, directory, environment):
    start = time.perf_counter()
    subprocess.run([str(word) for word in command], cwd=directory, env=environment, check=True, **QUIET)
    return time.perf_counter() - start


def keygen(path):
    done = subprocess.run([VMCRED, "keygen", "--output", path], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def fill(directory, names, content):
    for name in names:
        (directory / name).write_bytes(content)


def compare(title, directory, environment, names, content, ours, theirs):
    """`content` is in each file before each round."""
    loop, call = f"sops, a loop (from {SAMPLE} files)", "vmcred sops, one call"
    times = {loop: [], call: []}
    for _ in range(ROUNDS):
        fill(directory, names, content)
        times[call].append(seconds([VMCRED_SOPS, *ours, *names], directory, environment))
        fill(directory, names[:SAMPLE], content)
        sample = sum(seconds([*theirs, name], directory, environment) for name in names[:SAMPLE])
        times[loop].append(sample / SAMPLE * len(names))
    show(title, times, {"files": len(names)})


def main():
    sops = shutil.which("sops")
    if not sops:
        unmeasured("sops with many documents", "sops is not installed: tools/install-deps --test")
        sys.exit(77)
    # On a memory file system for both: ours syncs each file to the disk, sops does not.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        directory = Path(name)
        keys = [keygen(directory / key) for key in ("key", "other")]
        environment = os.environ | {"SOPS_AGE_KEY_FILE": str(directory / "key"), "HOME": name}
        names = [f"{number}.json" for number in range(FILES)]
        plain = b'{"value": "correct horse battery staple"}\n'
        (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {keys[0]}\n")
        compare("sops encrypt --in-place", directory, environment, names, plain, ["encrypt", "-i"], [sops, "encrypt", "-i"])
        (directory / "one.json").write_bytes(plain)
        seconds([sops, "encrypt", "-i", "one.json"], directory, environment)
        sealed = (directory / "one.json").read_bytes()
        (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {keys[0]},{keys[1]}\n")
        compare(
            "sops updatekeys, one recipient more",
            directory, environment, names, sealed, ["updatekeys", "-y"], [sops, "updatekeys", "-y"],
        )  # fmt: skip


main()
