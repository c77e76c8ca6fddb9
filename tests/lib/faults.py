# SPDX-License-Identifier: Apache-2.0
"""Fault injection: runs a command once for each fault. strace(1) makes one system call fail, or kills the program as it
enters the call. Each run works on a fresh copy of a directory, which a check then inspects."""
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness import CI, Skip, expect, need, run

# System calls that change something or sync it to disk.
CHANGES = [
    "mkdirat", "write", "pwrite64", "fchmod", "fchmodat", "fchown", "fchownat", "fsync", "syncfs", "ftruncate",
    "linkat", "symlinkat", "renameat", "renameat2", "unlinkat", "mount", "umount2",
]  # fmt: skip
OPENS = ["openat", "openat2"]
ERRORS = ["ENOSPC", "EIO", "EROFS"]

TRACE = ["-y", "-s", "4096", "-e", f"trace={','.join(CHANGES + OPENS)}"]

GAVE_UP = re.compile(r"^strace: ptrace\(PTRACE_\w+,.*(Input/output error|No such process)$", re.M)

# A line of strace -y; with several processes it starts with the process id.
LINE = re.compile(r"^(?:(\d+) +)?(\w+)\(")


@dataclass
class Fault:
    """An injected fault, and how the command ended."""

    name: str
    code: int
    err: str
    out: str

    def __str__(self):
        return f"{self.name} (exit code {self.code}: {self.err.strip()})"

    def expect(self, true, claim):
        if not true:
            raise AssertionError(f"{claim} after {self}")


def strace(options, command):
    need("strace")
    result = run("strace", "-qq", *options, *command)
    if re.search("^strace: .*(PTRACE|ptrace).*Operation not permitted", result.err, re.M) and not CI:
        raise Skip("strace is not allowed to trace")
    return result


def kinds_of_fault(call, line, errors):
    """Which faults to inject into a call. A kill before a call that changes nothing has the same effect as one before the next
    change, and only calls that create something can run out of space."""
    if call in OPENS and "O_CREAT" not in line:
        return ["error=EIO"]
    return ["signal=KILL", *(f"error={error}" for error in errors)]


# Paths that are only read: libraries, programs, the kernel's files.
SYSTEM = re.compile(r'"/(lib|lib64|usr|bin|etc|proc|sys)/')


def faults_of(directory, command, errors, follow, anywhere):
    """(call, number, fault) for each call on the directory, or, with `anywhere`, on any path but the system's. strace counts
    the numbers for each thread."""
    log = Path(f"{directory}.strace")
    expect(strace([*(["-f"] if follow else []), *TRACE, "-o", log], command))
    return faults_in(log, directory, errors, anywhere)


def faults_in(log, directory, errors, anywhere=False):
    """The same for the log of a run with the options TRACE."""
    numbers, found = {}, []
    for line in log.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        process, call = match.groups()
        number = numbers[process, call] = numbers.get((process, call), 0) + 1
        if str(directory) in line or (anywhere and not SYSTEM.search(line)):
            found += [(call, number, fault) for fault in kinds_of_fault(call, line, errors)]
    log.unlink()
    return list(dict.fromkeys(found))


def fresh(source, copy):
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, symlinks=True)
    return copy


def strike(call, number, fault, source, copy, command, follow):
    """Runs the command on a fresh copy with the fault. Now and then strace fails because the process was killed while it
    attached; then the run is repeated."""
    options = [*(["-f"] if follow else []), "-o", "/dev/null", "-e", f"trace={call}"]
    for _attempt in range(5):
        words = command(fresh(source, copy))
        result = strace([*options, "-e", f"inject={call}:{fault}:when={number}"], words)
        if not GAVE_UP.search(result.err):
            break
    # Not the command's output: strace reports processes that are gone.
    result.err = re.sub("^strace: .*\n?", "", result.err, flags=re.M)
    return result


def every_fault(source, command, check, errors=tuple(ERRORS), follow=False, anywhere=False, codes=(1, 3)):
    """For each fault runs the command line `command(directory)` on a copy of the directory `source`, then calls
    `check(directory, fault)`, which raises on an error. `follow` includes the program's threads and children, `anywhere` the
    calls on paths outside the directory. Returns how many runs failed."""
    copy = Path(f"{source}-copy")
    failed = 0
    for call, number, fault in faults_of(fresh(source, copy), command(copy), errors, follow, anywhere):
        result = strike(call, number, fault, source, copy, command, follow)
        struck = Fault(f"{call} #{number} {fault}", result.code, result.err, result.out)
        # The command may succeed: a cleanup may fail, and an optional file may be unreadable.
        if result.code != 0:
            failed += 1
            if fault != "signal=KILL":
                # In another thread or child, the fault may also hit the write of the error message, and a child prints its own.
                silent = follow and call == "write" and result.err == ""
                lines = result.err.splitlines() if follow else [result.err]
                struck.expect(silent or any(line.startswith("vmcred: ") for line in lines), "no error")
                struck.expect(result.code in codes, "another exit code")
        check(copy, struck)
    shutil.rmtree(copy, ignore_errors=True)
    return failed
