# SPDX-License-Identifier: Apache-2.0
"""Whole processes, measured in turns so that a slow moment hits all of them; the ratio of medians, with the spread of
the middle half."""
import os
import subprocess
import time

from record import record

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "60"))
NULL = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
SILENT = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]


def elapsed(command, environment):
    """The seconds from before the fork until the process has ended; a subprocess.Popen would add a quarter of a millisecond."""
    words = [os.fspath(word) for word in command]
    start = time.perf_counter()
    pid = os.posix_spawnp(words[0], words, environment, file_actions=SILENT)
    _, status = os.waitpid(pid, 0)
    taken = time.perf_counter() - start
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), words)
    return taken


def show(title, times, parameters=None):
    """Prints and records the seconds of each run, by the names of the commands."""
    print("".join([title, *(f", {value:,} {name}" for name, value in (parameters or {}).items())]))
    print(f"{'':2}{'':38} {'median':>12} {'middle half':>25} {'more':>12} {'ratio':>9}")
    rows = record(title, times, parameters)
    for row in rows:
        low, median, high, more = (1000 * value for value in (row["low"], row["median"], row["high"], row["median"] - rows[0]["median"]))
        print(f"{'':2}{row['name']:38} {median:9.2f} ms {low:10.2f} - {high:9.2f} ms {more:9.2f} ms {row['ratio']:8.3g}x")
    print(flush=True)


def compare(title, commands, environment, parameters=None, measure=elapsed, rounds=ROUNDS):
    """The first command is the yardstick. The first run of each is not counted."""
    times = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            taken = measure(command, environment)
            if number > 0:
                times[name].append(taken)
    show(title, times, parameters)
