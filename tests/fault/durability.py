# SPDX-License-Identifier: Apache-2.0
"""What is renamed into place is on the disk before, and its new name after: a power cut finds the old or the new one.

The order of system calls is the claim, since no test can cut the power; strace(1) with paths for descriptors shows it.
"""
import re
from pathlib import PurePath

import harness
from example import Example
from harness import equal, expect, need, run, test

CALL = re.compile(r'^(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*)>)?')
FD = re.compile(r"^(?:\d+|AT_FDCWD)<([^>]*)>")
SECOND_FD = re.compile(r", (?:\d+|AT_FDCWD)<([^>]*)>")


def calls(folder, *command):
    """The calls that succeeded: name, the first descriptor's path, all quoted names, and the result's path."""
    need("strace")
    log = folder / "strace"
    names = "openat,mkdirat,write,fsync,symlinkat,renameat,renameat2"
    expect(run("strace", "-qq", "-y", "-s", "256", "-o", log, "-e", f"trace={names}", *command))
    for line in log.read_text(errors="replace").splitlines():
        match = CALL.match(line)
        if not match or int(match.group(3)) < 0:
            continue
        name, arguments, _, result = match.groups()
        path = FD.match(arguments)
        yield name, path.group(1) if path else "", re.findall(r'"([^"]*)"', arguments), result, arguments


def entries(path):
    """A new file or folder, and the one that names it, unless the name is for the run alone."""
    path = PurePath(path)
    return {str(path)} | ({str(path.parent)} if not path.name.startswith(".vmcred.") else set())


def unsynced(folder, store, *command):
    """What was not on the disk when it had to be."""
    dirty, problems, renamed = set(), [], set()
    for name, path, names, result, arguments in calls(folder, *command):
        if name == "openat" and "O_CREAT" in arguments and result and result.startswith(str(store)):
            dirty |= entries(result)
        elif name == "write" and path.startswith(str(store)):
            dirty.add(path)
        elif name == "mkdirat" and path.startswith(str(store)):
            dirty |= entries(PurePath(path) / names[0])
        elif name == "symlinkat":
            dirty.add(SECOND_FD.search(arguments).group(1))
        elif name == "fsync":
            dirty.discard(path)
            renamed.discard(path)
        elif name in ("renameat", "renameat2"):
            moved = str(PurePath(path) / names[0])
            problems += sorted(f"{entry} when {moved} was renamed" for entry in dirty
                               if entry == moved or entry.startswith(f"{moved}/"))
            dirty = {entry for entry in dirty if entry != moved and not entry.startswith(f"{moved}/")}
            renamed.add(SECOND_FD.search(arguments).group(1))
    problems += sorted(f"{path} after a rename in it" for path in renamed)
    return problems + sorted(f"{path} at the end" for path in dirty)


@test("generate syncs each file and folder before the rename that shows them, and the name after it")
def _(folder):
    store = folder / "store"
    store.mkdir()
    example = Example(store)
    command = [harness.VMCRED, "generate", "--config", example.config, "--regenerate"]
    seen = [name for name, *_ in calls(folder, *command)]
    assert seen.count("fsync") >= 8 and "renameat2" in seen, seen
    equal(unsynced(folder, store, *command), [])


@test("the first generate syncs the folders that it makes on the way, too")
def _(folder):
    store = folder / "store"
    store.mkdir()
    example = Example(store, generate=False)
    equal(unsynced(folder, store, harness.VMCRED, "generate", "--config", example.config), [])


@test("keygen syncs the machine's key before it replaces the old one, and the new identity's name")
def _(folder):
    store = folder / "store"
    store.mkdir()
    example = Example(store, generate=False)
    new = store / "second"
    command = [harness.VMCRED, "keygen", "--config", example.config, "--machine", "m", "--force", "--output"]
    equal(unsynced(folder, store, *command, new), [])
    synced = {path for name, path, *_ in calls(folder, *command, store / "third") if name == "fsync"}
    equal({str(store / "third"), str(store)} - synced, set(), "what keygen did not sync")


@test("the check sees a file that was not synced")
def _(folder):
    store = folder / "store"
    store.mkdir()
    problems = unsynced(folder, store, "python3", "-c", f"""
import os
fd = os.open({str(store)!r}, os.O_RDONLY)
file = os.open(".new", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
os.write(file, b"secret")
os.rename(".new", "secret", src_dir_fd=fd, dst_dir_fd=fd)
""")
    equal(
        problems,
        [f"{store}/.new when {store}/.new was renamed", f"{store} after a rename in it", f"{store} at the end"],
    )


harness.main()
