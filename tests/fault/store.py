# SPDX-License-Identifier: Apache-2.0
"""No partial state: whatever system call fails or is the last one before a kill -9, the old state or the new one is
there, whole, and a second run repairs. strace(1) is the fault."""
import re
import shutil

import harness
from example import Example
from harness import CI, equal, expect, need, run, test

# What changes the store or /run, or waits until it is on the disk. A kill strikes as the call is entered; a failure
# comes in its place.
CALLS = ["openat", "mkdirat", "write", "fchmod", "fsync", "symlinkat", "renameat", "renameat2", "unlinkat", "pwrite64"]
ERRORS = ["ENOSPC", "EIO"]


def strace(fault, *command):
    need("strace")
    trace = re.match("[a-z0-9]+", fault).group()
    result = run("strace", "-qq", "-o", "/dev/null", "-e", f"trace={trace}", "-e", f"inject={fault}", *command)
    if "PTRACE" in result.err and not CI:
        raise harness.Skip("strace may not trace here")
    return result


def count(call, *command):
    """How often the command makes the call."""
    need("strace")
    result = run("strace", "-qq", "-c", "-e", f"trace={call}", *command)
    expect(result)
    match = re.search(rf"^\s*[0-9.]+\s+[0-9.]+\s+[0-9]+\s+([0-9]+)\s+(?:[0-9]+\s+)?{call}$", result.err, re.M)
    return int(match.group(1)) if match else 0


def copies(folder):
    """A fresh copy of the folder for each fault; the paths in it are relative or made anew."""
    number = 0
    while True:
        number += 1
        copy = folder.parent / f"{folder.name}-copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy, symlinks=True)
        yield copy


class Copy(Example):
    def __init__(self, folder):  # pylint: disable=super-init-not-called
        self.folder = folder
        self.config = folder / "vmcred.yaml"
        self.identity = folder / "identity"
        self.root = folder / "root"


def every_fault(folder, command, check):
    """Runs the command once for each call and fault on a copy, and checks what is left. Returns how many struck."""
    struck = 0
    source = copies(folder)
    for call in CALLS:
        total = count(call, *command(Copy(next(source))))
        for number in range(1, total + 1):
            for fault in ["signal=KILL", *(f"error={error}" for error in ERRORS)]:
                example = Copy(next(source))
                result = strace(f"{call}:{fault}:when={number}", *command(example))
                where = f"{call} {fault} #{number}"
                # A failing open of an optional file, or a failing unlink while cleaning up, may be no failure.
                if result.code != 0:
                    struck += 1
                    if fault != "signal=KILL":
                        assert result.err.startswith("vmcred: "), f"{where}: {result.err}"
                        assert result.code in (1, 3), f"{where}: {result.code}"
                check(example, where)
    shutil.rmtree(f"{folder}-copy", ignore_errors=True)
    return struck


def pair(example, where):
    """Both values of the store, which must open."""
    values = []
    for name in ("one", "two"):
        result = example.get(name)
        if result.code != 0:
            raise AssertionError(f"after {where}: {result.err}")
        values.append(result.out)
    return tuple(values)


@test("generate --regenerate leaves the old secrets or the new ones, whole, after every fault, and a second run repairs")
def _(folder):
    folder = folder / "store"
    folder.mkdir()
    old = pair(Example(folder), "the start")

    def check(example, where):
        new = pair(example, where)
        assert new == old or (new[0] != old[0] and new[1] != old[1]), f"after {where}: a mixture of old and new"
        expect(example.generate("--regenerate"))
        left = [path.name for path in (example.folder / "vars/per-machine/m").iterdir()]
        equal(left, ["made"], f"what is left after {where}")
        assert pair(example, where) != new

    struck = every_fault(
        folder, lambda example: [harness.VMCRED, "generate", "--config", example.config, "--regenerate"], check
    )
    assert struck > 60, struck


@test("activate leaves the old generation or the new one, whole, after every fault, and a second run repairs")
def _(folder):
    folder = folder / "store"
    folder.mkdir()
    example = Example(folder)
    expect(example.activate())
    old = tuple(example.active(name).read_text() for name in ("one", "two"))
    expect(example.generate("--regenerate"))
    new = pair(example, "the start")

    def check(copy, where):
        now = tuple(copy.active(name).read_text() for name in ("one", "two"))
        assert now in (old, new), f"after {where}: neither the old nor the new generation"
        expect(copy.activate())
        equal(tuple(copy.active(name).read_text() for name in ("one", "two")), new, f"a second run after {where}")
        left = sorted(path.name for path in (copy.root / "run/secrets.d").iterdir())
        equal(len(left), 1, f"generations after {where}: {left}")
        equal(sorted(path.name for path in (copy.root / "run").iterdir()), ["secrets", "secrets.d"], f"after {where}")

    struck = every_fault(
        folder,
        lambda copy: [
            harness.VMCRED, "activate", "--config", copy.config, "--identity", copy.identity, "--root", copy.root
        ],
        check,
    )  # fmt: skip
    assert struck > 40, struck


harness.main()
