# SPDX-License-Identifier: Apache-2.0
"""Large files through age's format, between files on a memory file system: our library (argv[1] is
tests/interop/crypt.c) and the real age in turns; throughput and ratio of medians, with the middle half, processor time,
and the most memory. On a busy machine the processor time is more meaningful."""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peak import ended
from record import record, unmeasured

MIB = int(os.environ.get("BENCH_AGE_MIB", "1024"))
ROUNDS = int(os.environ.get("BENCH_AGE_ROUNDS", "7"))


def measure(command, source, target):
    """Seconds, seconds of processors, and the most memory in MiB."""
    with open(source, "rb") as stdin, open(target, "wb") as stdout:
        start = time.perf_counter()
        process = subprocess.Popen([str(word) for word in command], stdin=stdin, stdout=stdout)
        processor, memory = ended(process)
        seconds = time.perf_counter() - start
    if process.returncode != 0:
        raise SystemExit(f"{command} failed")
    return seconds, processor, memory


def compare(title, runs):
    """`runs`: name → (command, source, target). The first is the yardstick."""
    times, work, memory = ({name: [] for name in runs} for _ in range(3))
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            seconds, processor, peak = measure(*run)
            memory[name].append(peak)
            if number > 0:
                times[name].append(seconds)
                work[name].append(processor)
    print(f"{title}, {MIB} MiB\n{'':2}{'':14} {'median':>11} {'middle half':>21} {'ratio':>7} {'processor':>10} {'memory':>9}")
    processor = {name: statistics.median(values) for name, values in work.items()}
    peaks = {name: max(values) for name, values in memory.items()}
    for row in record(title, times, {"MiB": MIB}, processor, peaks):
        low, middle, high = (MIB / row[key] for key in ("high", "median", "low"))
        print(
            f"{'':2}{row['name']:14} {middle:5.0f} MiB/s {low:7.0f} - {high:5.0f} MiB/s {1 / row['ratio']:6.2f}x "
            f"{row['processor']:8.2f} s {row['memory']:5.1f} MiB"
        )
    print(flush=True)


def bench(directory):
    crypt, age = sys.argv[1], shutil.which("age")
    if not age:
        unmeasured("age", "it is not installed: tools/install-deps --test")
        sys.exit(77)
    version = subprocess.run([age, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    key = directory / "key"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    plain, out = directory / "plain", directory / "out"
    with open(plain, "wb") as file:
        block = os.urandom(1 << 20)
        for _ in range(MIB):
            file.write(block)
    for armor in (False, True):
        what = "armored" if armor else "binary"
        ours = [crypt, "age-stream-armor" if armor else "age-stream", public]
        theirs = [age, *(["-a"] if armor else []), "-r", public]
        files = {name: directory / name for name in ("age", "vmcred")}
        compare(
            f"Encrypting, {what}",
            {f"age {version}": (theirs, plain, files["age"]), "vmcred": (ours, plain, files["vmcred"])},
        )
        runs = {f"age {version}": [age, "-d", "-i", key], "vmcred": [crypt, "age-stream-decrypt", key]}
        compare(f"Decrypting, {what}", {name: (command, files["age"], out) for name, command in runs.items()})


def main():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        bench(Path(directory))


main()
