# SPDX-License-Identifier: Apache-2.0
"""What is renamed into place is on the disk before, and its new name after: a power cut finds the old or the new one.

The order of system calls is the claim, since no test can cut the power; strace(1) with paths for descriptors shows it.
"""
import re
from pathlib import PurePath

import harness
from example import Example, Fleet
from harness import equal, expect, need, run

CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*)>)?")
FD = re.compile(r"^(?:\d+|AT_FDCWD)<([^>]*)>")
SECOND_FD = re.compile(r", (?:\d+|AT_FDCWD)<([^>]*)>")

# With several threads a call may be in two lines, around others' calls.
THREAD = re.compile(r"^(\d+) +(.*)$")
BEGIN = re.compile(r"^(.*) <unfinished \.\.\.>$")
END = re.compile(r"^<\.\.\. \w+ resumed>(.*)$")
TRACED = "openat,mkdirat,write,fsync,syncfs,symlinkat,renameat,renameat2,unlinkat"


def lines(log):
    """The calls as they end, and before that "sync begins" where others come in between: what those write is not synced."""
    begun = {}
    for line in log.read_text(errors="replace").splitlines():
        thread, text = THREAD.match(line).groups()
        begin, end = BEGIN.match(text), END.match(text)
        if begin:
            begun[thread] = begin.group(1)
            if text.startswith("syncfs"):
                yield "sync begins"
        else:
            yield begun.pop(thread) + end.group(1) if end else text


def calls(folder, *command):
    """The calls that succeeded: name, the first descriptor's path, all quoted names, and the result's path."""
    need("strace")
    log = folder / "strace"
    expect(run("strace", "-f", "-qq", "-y", "-s", "256", "-o", log, "-e", f"trace={TRACED}", *command))
    for line in lines(log):
        match = CALL.match(line)
        if line == "sync begins":
            yield line, "", [], "", ""
        if not match or int(match.group(3)) < 0:
            continue
        name, arguments, _, result = match.groups()
        path = FD.match(arguments)
        yield name, path.group(1) if path else "", re.findall(r'"([^"]*)"', arguments), result, arguments


def is_below(entry, path):
    return entry == path or entry.startswith(f"{path}/")


class Unsynced:
    """What is not on the disk, as far as the calls tell, and what is wrong with that."""

    def __init__(self, store):
        self.store = str(store)
        self.dirty, self.renamed, self.problems = set(), set(), []
        self.syncing = None  # while a syncfs is under way: what it brings to the disk

    def change(self, *paths):
        changed = {str(path) for path in paths if str(path).startswith(self.store)}
        self.dirty |= changed
        if self.syncing:
            self.syncing -= changed

    def make(self, path):
        """A new file or folder, and the one that names it, unless the name is for the run alone."""
        path = PurePath(path)
        self.change(path, *([] if path.name.startswith(".vmcred-new.") else [path.parent]))

    def sync(self, path):
        self.dirty.discard(path)
        self.renamed.discard(path)

    def sync_all(self):
        done = self.dirty | self.renamed if self.syncing is None else self.syncing
        self.dirty -= done
        self.renamed -= done
        self.syncing = None

    def rename(self, moved, folder):
        self.problems += sorted(f"{entry} when {moved} was renamed" for entry in self.dirty if is_below(entry, moved))
        self.forget(moved)
        self.renamed.add(folder)
        if self.syncing:
            self.syncing.discard(folder)

    def forget(self, path):
        self.dirty = {entry for entry in self.dirty if not is_below(entry, path)}

    def take(self, name, path, names, result, arguments):
        if name == "openat" and "O_CREAT" in arguments and result:
            self.make(result)
        elif name == "write":
            self.change(path)
        elif name == "mkdirat":
            self.make(PurePath(path) / names[0])
        elif name == "symlinkat":
            self.change(SECOND_FD.search(arguments).group(1))
        elif name == "fsync":
            self.sync(path)
        elif name == "sync begins":
            self.syncing = self.dirty | self.renamed
        elif name == "syncfs":
            self.sync_all()
        elif name == "unlinkat":
            self.forget(str(PurePath(path) / names[0]))
        elif name in ("renameat", "renameat2"):
            self.rename(str(PurePath(path) / names[0]), SECOND_FD.search(arguments).group(1))


def unsynced(folder, store, *command):
    """What was not on the disk when it had to be."""
    disk = Unsynced(store)
    for call in calls(folder, *command):
        disk.take(*call)
    return [
        *disk.problems,
        *sorted(f"{path} after a rename in it" for path in disk.renamed),
        *sorted(f"{path} at the end" for path in disk.dirty),
    ]


def test_generate_syncs_each_file_folder_before_rename_shows(folder):
    """generate syncs each file and folder before the rename that shows them, and the name after it"""
    store = folder / "store"
    store.mkdir()
    example = Example(store)
    command = [harness.VMCRED, "generate", "--config", example.config, "--regenerate"]
    seen = [name for name, *_ in calls(folder, *command)]
    assert seen.count("fsync") >= 8 and "renameat2" in seen and "syncfs" not in seen, seen
    equal(unsynced(folder, store, *command), [])


def test_first_generate_syncs_folders_makes_way_too(folder):
    """the first generate syncs the folders that it makes on the way, too"""
    store = folder / "store"
    store.mkdir()
    example = Example(store, generate=False)
    equal(unsynced(folder, store, harness.VMCRED, "generate", "--config", example.config), [])


def test_generate_syncs_many_generators_together_before(folder):
    """generate syncs many generators together, before the first is shown and after the last"""
    store = folder / "store"
    store.mkdir()
    fleet = Fleet(store, 200, "  g: {machines: ALL, files: {it: {}, other: {}}, kind: {it: uuid, other: uuid}}\n")
    command = [harness.VMCRED, "generate", "--config", fleet.config]
    equal(unsynced(folder, store, *command), [])
    seen = [name for name, *_ in calls(folder, *command, "--regenerate")]
    assert 2 <= seen.count("syncfs") < 100 and seen.count("renameat2") == 200, (seen.count("syncfs"), seen.count("renameat2"))
    equal(unsynced(folder, store, *command, "--regenerate"), [])


def test_keygen_syncs_machine_key_before_replaces_old_new(folder):
    """keygen syncs the machine's key before it replaces the old one, and the new identity's name"""
    store = folder / "store"
    store.mkdir()
    example = Example(store, generate=False)
    new = store / "second"
    command = [harness.VMCRED, "keygen", "--config", example.config, "--machine", "m", "--force", "--output"]
    equal(unsynced(folder, store, *command, new), [])
    synced = {path for name, path, *_ in calls(folder, *command, store / "third") if name == "fsync"}
    equal({str(store / "third"), str(store)} - synced, set(), "what keygen did not sync")


def test_check_sees_file_not_synced(folder):
    """the check sees a file that was not synced"""
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
