# SPDX-License-Identifier: Apache-2.0
"""Runs the watcher (e2e/watch/watch.c) while a block runs."""
import re
import subprocess
from pathlib import Path

from harness import equal

# Their files are in memory, or have no content on a disk.
MEMORY_FILE_SYSTEMS = {
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
    "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs",
    "sysfs", "tmpfs", "tracefs"}


def disks():
    """A mount point of each mounted file system that is not in memory."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, system = line.partition(" - ")
        _, _, device, _, path, *_ = mount.split()
        if system.split()[0] not in MEMORY_FILE_SYSTEMS:
            found.setdefault(device, path.encode().decode("unicode_escape"))
    return list(found.values())


class Watch:
    """`patterns`: name → bytes. `found`: (name, kind, where). `seen` and `counts` belong to the latest report."""

    def __init__(self, program, patterns, paths=()):
        self.found, self.seen, self.counts = [], [], {}
        self.command, self.patterns = [program, *map(str, paths)], patterns
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        lines = "".join(f"{name} {pattern.hex()}\n" for name, pattern in self.patterns.items())
        self.process.stdin.write(lines + "\n")
        equal(self.process.stdout.readline(), "ready\n", "the watcher's first line")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self._read()
        equal(self.process.wait(), 0, "the watcher's exit code")

    def _read(self):
        new = []
        for line in self.process.stdout:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "end":
                break
            if word == "found":
                new.append(tuple(rest.split(" ", 2)))
            elif word == "counts":
                self.counts = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", rest)}
            else:
                self.seen.append(rest)
        self.found += new
        return new

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        return self.process.stdout.readline().strip()

    def round(self):
        """Inspects every process once, starting after this call."""
        equal(self.ask("round"), "round")

    def memory(self, pid):
        """Searches the memory of a process. Returns its size."""
        return int(self.ask(f"memory {pid}").removeprefix("memory "))

    def report(self):
        """The findings since the last report."""
        self.process.stdin.write("report\n")
        return self._read()
