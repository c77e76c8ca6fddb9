# SPDX-License-Identifier: Apache-2.0
"""Every fault that can strike a command, one run for each: strace(1) lets a system call fail or kills the program as it
enters the call. The command works on a fresh copy of a folder each time, and a check looks at what is left."""
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness import CI, Skip, expect, need, run

# What changes something, or waits until it is on the disk.
CHANGES = [
    "mkdirat", "write", "pwrite64", "fchmod", "fchmodat", "fchown", "fchownat", "fsync", "syncfs", "ftruncate",
    "linkat", "symlinkat", "renameat", "renameat2", "unlinkat", "mount", "umount2",
]  # fmt: skip
OPENS = ["openat", "openat2"]
ERRORS = ["ENOSPC", "EIO", "EROFS"]

GAVE_UP = re.compile(r"^strace: ptrace\(PTRACE_\w+,.*(Input/output error|No such process)$", re.M)

# What strace -y prints: the process in front where there are several.
LINE = re.compile(r"^(?:(\d+) +)?(\w+)\(")


@dataclass
class Fault:
    """A fault that struck: what it was, and how the command ended."""

    name: str
    code: int
    err: str

    def __str__(self):
        return f"{self.name} (exit code {self.code}: {self.err.strip()})"

    def expect(self, true, claim):
        if not true:
            raise AssertionError(f"{claim} after {self}")


def strace(options, command):
    need("strace")
    result = run("strace", "-qq", *options, *command)
    if re.search("^strace: .*(PTRACE|ptrace).*Operation not permitted", result.err, re.M) and not CI:
        raise Skip("strace may not trace here")
    return result


def kinds_of_fault(call, line, errors):
    """A kill before a call that changes nothing leaves what the one before the next change leaves; and only what makes
    something needs room for it."""
    if call in OPENS and "O_CREAT" not in line:
        return ["error=EIO"]
    return ["signal=KILL", *(f"error={error}" for error in errors)]


# What is looked at and never changed: libraries, programs, the kernel's.
SYSTEM = re.compile(r'"/(lib|lib64|usr|bin|etc|proc|sys)/')


def faults_of(folder, command, errors, follow, anywhere):
    """(call, number, fault) for each call that has to do with the folder, or with anything that is not the system's;
    the numbers are strace's, for one thread."""
    log = Path(f"{folder}.strace")
    calls = ",".join(CHANGES + OPENS)
    expect(strace([*(["-f"] if follow else []), "-y", "-s", "4096", "-o", log, "-e", f"trace={calls}"], command))
    numbers, found = {}, []
    for line in log.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        process, call = match.groups()
        number = numbers[process, call] = numbers.get((process, call), 0) + 1
        if str(folder) in line or (anywhere and not SYSTEM.search(line)):
            found += [(call, number, fault) for fault in kinds_of_fault(call, line, errors)]
    log.unlink()
    return list(dict.fromkeys(found))


def fresh(source, copy):
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, symlinks=True)
    return copy


def strike(call, number, fault, source, copy, command, follow):
    """Runs the command on a fresh copy with the fault. strace gives up now and then where a process is killed just when
    it looks: then nothing is known, and it is tried again."""
    options = [*(["-f"] if follow else []), "-o", "/dev/null", "-e", f"trace={call}"]
    for _attempt in range(5):
        words = command(fresh(source, copy))
        result = strace([*options, "-e", f"inject={call}:{fault}:when={number}"], words)
        if not GAVE_UP.search(result.err):
            break
    # What it says of a process that is gone is no word of the command's.
    result.err = re.sub("^strace: .*\n?", "", result.err, flags=re.M)
    return result


def every_fault(source, command, check, errors=tuple(ERRORS), follow=False, anywhere=False, codes=(1, 3)):
    """Runs `command(folder)`, the words of a command, once for each fault on a copy of the folder `source`, and then
    `check(folder, fault)`, which raises. With `follow` the program's threads and children are struck as well, with
    `anywhere` what it does outside of the folder. Returns how many runs the faults made fail."""
    copy = Path(f"{source}-copy")
    failed = 0
    for call, number, fault in faults_of(fresh(source, copy), command(copy), errors, follow, anywhere):
        result = strike(call, number, fault, source, copy, command, follow)
        struck = Fault(f"{call} #{number} {fault}", result.code, result.err)
        # What fails while it is cleaned up, or is looked for and need not be there, may be no failure.
        if result.code != 0:
            failed += 1
            if fault != "signal=KILL":
                # Where every thread and child is struck at its own such write, the error's is, too.
                silent = follow and call == "write" and result.err == ""
                struck.expect(silent or result.err.startswith("vmcred: "), "no error")
                struck.expect(result.code in codes, "another exit code")
        check(copy, struck)
    shutil.rmtree(copy, ignore_errors=True)
    return failed
