# SPDX-License-Identifier: Apache-2.0
"""Whole processes, measured in turns so that a slow moment hits all of them; the ratio of medians, with the spread of
the middle half."""
import os
import statistics
import subprocess
import time

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "60"))
NULL = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def milliseconds(command, environment):
    """From before the fork until the process has ended."""
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, **NULL)
    return (time.perf_counter() - start) * 1000


def compare(title, commands, environment, measure=milliseconds):
    """The first command is the yardstick."""
    times = {name: [] for name in commands}
    for name, command in commands.items():
        measure(command, environment)
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(measure(command, environment))
    print(f"{title}\n{'':2}{'':34} {'median':>9} {'middle half':>18} {'more':>10} {'ratio':>7}")
    first = statistics.median(next(iter(times.values())))
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(
            f"{'':2}{name:34} {middle:6.2f} ms {low:8.2f} - {high:5.2f} ms {middle - first:7.2f} ms {middle / first:6.2f}x"
        )
    print(flush=True)
