# SPDX-License-Identifier: Apache-2.0
"""A thousand units that start at the same moment, each asking `vmcred serve` for a secret of its own, or all for the same
one; for comparison, the same secrets activated as files, and one `vmcred get` for each. In turns; medians with the spread of all
rounds. The work of systemd to start a unit is not included: it takes hundreds of times longer."""
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from example import Example
from harness import CLEAN_ENVIRONMENT, VMCRED
from record import record, unmeasured
from serving import serving

UNITS = int(os.environ.get("BENCH_UNITS", "1000"))
SAMPLE = min(UNITS, int(os.environ.get("BENCH_SAMPLE", "100")))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
TICK = os.sysconf("SC_CLK_TCK")


def declaration():
    lines = ["machines: {m: {}}", "generators:"]
    lines += [f"  g{number}: {{machines: [m], files: {{key: {{}}}}, kind: {{key: {{base64: 32}}}}}}" for number in range(UNITS)]
    lines += ["vms:"]
    lines += [f"  v{number}: {{loadCredentials: {{own: g{number}/key, same: g0/key}}}}" for number in range(UNITS)]
    return "\n".join(lines) + "\n"


def processor_seconds(pid):
    """Of a process that is still there."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def asked(server, credential):
    """All ask, then all read: the seconds until each of them has its credential."""
    start = time.perf_counter()
    waiting = select.epoll()
    asking = {}
    for number in range(UNITS):
        connection = server.ask(f"microvm@v{number}.service", credential)
        asking[connection.fileno()] = connection
        waiting.register(connection, select.EPOLLIN)
    latencies = []
    while asking:
        for descriptor, _ in waiting.poll():
            connection = asking[descriptor]
            if connection.recv(65536):
                continue
            latencies.append(time.perf_counter() - start)
            waiting.unregister(descriptor)
            connection.close()
            del asking[descriptor]
    return latencies


def serve(example, credential):
    with serving(example) as server:
        # Its start, and the reading of the declaration, are not what is measured.
        server.get("microvm@v0.service", credential)
        before = processor_seconds(server.process.pid)
        latencies = asked(server, credential)
        return latencies, processor_seconds(server.process.pid) - before, server.status("VmHWM")


def seconds(*command):
    start = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, env=CLEAN_ENVIRONMENT)
    return time.perf_counter() - start


def spread(values, digits=2, unit="s"):
    return f"{statistics.median(values):8.{digits}f} {unit}  ({min(values):.{digits}f} - {max(values):.{digits}f})"


def served_print(title, rounds):
    cuts = [statistics.quantiles(latencies, n=100) for latencies, _, _ in rounds]
    times = {"all": [max(latencies) for latencies, _, _ in rounds]}
    times |= {f"{share} of 100": [cut[share - 1] for cut in cuts] for share in (50, 95, 99)}
    rows = {f"vmcred serve, {name} have theirs": values for name, values in times.items()}
    record(f"Units that start at once, {title}", rows, {"units": UNITS}, memory=dict.fromkeys(rows, max(peak for _, _, peak in rounds) / 1024))
    print(f"serve, {UNITS} units at once, {title}")
    for name, values in times.items():
        print(f"  {name + ' after':25} {spread(values)}")
    print(f"  processor time of serve   {spread([used for _, used, _ in rounds])}"
          f"\n    for each request        {spread([used / UNITS * 1000 for _, used, _ in rounds], 3, 'ms')}"
          f"\n  its memory at most        {spread([peak / 1024 for _, _, peak in rounds], 1, 'MiB')}\n", flush=True)


def main():
    if os.geteuid() != 0:
        unmeasured("vmcred serve", "it needs root")
        sys.exit(77)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        example = Example(Path(name), declaration())
        words = ("--config", example.config, "--identity", example.identity)
        own, same, files, gets = [], [], [], []
        for number in range(ROUNDS):
            own.append(serve(example, "own"))
            same.append(serve(example, "same"))
            files.append(seconds(VMCRED, "activate", *words, "--root", Path(name) / f"root{number}"))
            sample = sum(seconds(VMCRED, "get", *words, "m", f"g{each}/key") for each in range(SAMPLE))
            gets.append(sample / SAMPLE * UNITS)
    served_print("each with a secret of its own", own)
    served_print("all with the same one", same)
    record("The same secrets without serve", {"vmcred activate, as files": files, "vmcred get, a process each": gets}, {"units": UNITS})
    print(f"activate, the same {UNITS} secrets as files {spread(files)}")
    print(f"get, {UNITS} processes (from {SAMPLE})         {spread(gets)}")


if __name__ == "__main__":
    sys.exit(main())
