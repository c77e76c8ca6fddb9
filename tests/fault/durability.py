# SPDX-License-Identifier: Apache-2.0
"""Files are synced before they are renamed into place, and the new name is synced after it: a power cut leaves the old file
or the new one.

No test can cut the power, so these tests check the order of system calls, which strace(1) records with paths.
"""
import re
from pathlib import PurePath

import harness
from bundles import Repository
from example import Example, Fleet
from harness import equal, expect, need, run

CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*)>)?")
FD = re.compile(r"^(?:\d+|AT_FDCWD)<([^>]*)>")
SECOND_FD = re.compile(r", (?:\d+|AT_FDCWD)<([^>]*)>")

# With several threads, a call may be split into two lines around other calls.
THREAD = re.compile(r"^(\d+) +(.*)$")
BEGIN = re.compile(r"^(.*) <unfinished \.\.\.>$")
END = re.compile(r"^<\.\.\. \w+ resumed>(.*)$")
TRACED = "openat,mkdirat,write,fsync,syncfs,symlinkat,renameat,renameat2,unlinkat"


def lines(log):
    """The calls in the order in which they ended. "sync begins" marks the start of a syncfs during which other threads may
    write: it does not sync these writes."""
    started = {}
    for line in log.read_text(errors="replace").splitlines():
        thread, text = THREAD.match(line).groups()
        begin, end = BEGIN.match(text), END.match(text)
        if begin:
            started[thread] = begin.group(1)
            if text.startswith("syncfs"):
                yield "sync begins"
        else:
            yield started.pop(thread) + end.group(1) if end else text


def calls(directory, *command):
    """The successful calls: name, path of the first descriptor, all quoted names, path of the result, arguments."""
    need("strace")
    log = directory / "strace"
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
    """Follows the calls: which files are not on the disk yet, and which of them should be."""

    def __init__(self, store):
        self.store = str(store)
        self.dirty, self.problems = set(), []
        self.renamed = set()  # (directory, new path)
        self.syncing = None  # during a syncfs: the files that it syncs

    def change(self, *paths):
        changed = {str(path) for path in paths if str(path).startswith(self.store)}
        self.dirty |= changed
        if self.syncing:
            self.syncing -= changed

    def make(self, path):
        """A new file or directory, and its parent, unless its name is temporary."""
        path = PurePath(path)
        self.change(path, *([] if path.name.startswith((".vmcred-new.", ".vmcred.lock")) else [path.parent]))

    def sync(self, path):
        self.dirty.discard(path)
        self.renamed = {(directory, entry) for directory, entry in self.renamed if directory != path}

    def sync_all(self):
        done = self.dirty | self.renamed if self.syncing is None else self.syncing
        self.dirty -= done
        self.renamed -= done
        self.syncing = None

    def rename(self, moved, target):
        self.problems += sorted(f"{entry} when {moved} was renamed" for entry in self.dirty if is_below(entry, moved))
        self.forget(moved)
        self.renamed.add((str(PurePath(target).parent), target))
        if self.syncing:
            self.syncing.discard((str(PurePath(target).parent), target))

    def forget(self, path):
        self.dirty = {entry for entry in self.dirty if not is_below(entry, path)}
        self.renamed = {(directory, entry) for directory, entry in self.renamed if not is_below(entry, path)}

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
            self.rename(str(PurePath(path) / names[0]), str(PurePath(SECOND_FD.search(arguments).group(1)) / names[1]))


def unsynced(directory, store, *command):
    """The files that were not on the disk in time."""
    disk = Unsynced(store)
    for call in calls(directory, *command):
        disk.take(*call)
    return [
        *disk.problems,
        *sorted(f"{path} after a rename in it" for path in {directory for directory, _ in disk.renamed}),
        *sorted(f"{path} at the end" for path in disk.dirty),
    ]


FLEET = "  g: {machines: ALL, files: {it: {}, other: {}}, kind: {it: uuid, other: uuid}}\n"


def test_generate_syncs_files_before_rename_and_name_after(directory):
    """generate syncs each file and directory before it renames them into place, and the name afterwards"""
    store = directory / "store"
    store.mkdir()
    example = Example(store)
    command = [harness.VMCRED, "generate", "--config", example.config, "--regenerate", "--all"]
    seen = [name for name, *_ in calls(directory, *command)]
    assert seen.count("fsync") >= 8 and "renameat2" in seen and "syncfs" not in seen, seen
    equal(unsynced(directory, store, *command), [])


def test_first_generate_syncs_parent_directories(directory):
    """the first generate also syncs the parent directories that it creates"""
    store = directory / "store"
    store.mkdir()
    example = Example(store, generate=False)
    equal(unsynced(directory, store, harness.VMCRED, "generate", "--config", example.config), [])


def test_generate_syncs_many_generators_together(directory):
    """generate syncs many generators together, before the first rename and after the last"""
    store = directory / "store"
    store.mkdir()
    fleet = Fleet(store, 200, FLEET)
    command = [harness.VMCRED, "generate", "--config", fleet.config]
    equal(unsynced(directory, store, *command), [])
    seen = [name for name, *_ in calls(directory, *command, "--regenerate", "--all")]
    assert 2 <= seen.count("syncfs") < 100 and seen.count("renameat2") == 200, (seen.count("syncfs"), seen.count("renameat2"))
    equal(unsynced(directory, store, *command, "--regenerate", "--all"), [])


def user_commands(store, example):
    """The command lines that add and remove one user while another one remains."""
    words = ["--config", example.config, "--identity", example.identity]
    keys = {name: expect(run(harness.VMCRED, "keygen", "--output", store.parent / name)).out.split()[-1] for name in ("ada", "bob")}
    expect(run(harness.VMCRED, "user", "add", "bob", "--age-key", keys["bob"], *words))
    return ([harness.VMCRED, "user", "add", "ada", "--age-key", keys["ada"], *words],
            [harness.VMCRED, "user", "remove", "ada", *words])  # fmt: skip


def test_a_user_is_added_and_removed_in_few_secrets_one_by_one(directory):
    """re-encrypting few secrets syncs each document and its links, before the rename and after it"""
    store = directory / "store"
    store.mkdir()
    example = Example(store)
    add, remove = user_commands(store, example)
    equal(unsynced(directory, store, *add), [])
    equal(unsynced(directory, store, *remove), [])
    seen = [name for name, *_ in calls(directory, *add)]
    assert seen.count("fsync") >= 8 and "syncfs" not in seen, seen


def test_a_user_is_added_and_removed_in_many_secrets_together(directory):
    """re-encrypting many secrets syncs all documents and links together, before the first rename and after the last"""
    store = directory / "store"
    store.mkdir()
    fleet = Fleet(store, 300, FLEET)
    expect(fleet.generate())
    add, remove = user_commands(store, fleet)
    equal(unsynced(directory, store, *add), [])
    equal(unsynced(directory, store, *remove), [])
    seen = [name for name, *_ in calls(directory, *add)]
    assert seen.count("renameat") >= 600 and seen.count("syncfs") == 4 and seen.count("fsync") < 20, seen


def test_keygen_syncs_key_and_identity(directory):
    """keygen syncs the machine's key before it replaces the old one, and the name of the new identity"""
    store = directory / "store"
    store.mkdir()
    example = Example(store, generate=False)
    new = store / "second"
    command = [harness.VMCRED, "keygen", "--config", example.config, "--machine", "m", "--force", "--output"]
    equal(unsynced(directory, store, *command, new), [])
    synced = {path for name, path, *_ in calls(directory, *command, store / "third") if name == "fsync"}
    equal({str(store / "third"), str(store)} - synced, set(), "what keygen did not sync")


def test_import_syncs_a_bundle_before_it_is_installed(directory):
    """import syncs a bundle before the link to it is replaced, and the link afterwards; with one file of a bundle too"""
    repository = Repository(directory / "repository")
    (directory / "bundle").write_bytes(repository.export())
    command = [harness.VMCRED, "import", "--machine", "m", "--identity", repository.identity, "--root", repository.root, directory / "bundle"]
    # What is below run/ is in memory.
    equal([problem for problem in unsynced(directory, repository.root, *command) if "/root/run" not in problem], [])
    seen = [(name, path) for name, path, *_ in calls(directory, *command)]
    names = [name for name, path in seen if path.startswith(str(repository.etc))]
    equal([name for name in names if name in ("syncfs", "renameat", "fsync")], ["syncfs", "renameat", "fsync"])


def test_output_is_synced_before_it_is_named(directory):
    """a document or another output is synced before it gets its name, and the name afterwards"""
    store = directory / "store"
    store.mkdir()
    key, document = directory / "key", store / "doc.json"
    recipient = expect(run(harness.VMCRED, "keygen", "--output", key), 0).out.strip()
    document.write_text('{"a": 1}')
    sops = ["env", f"SOPS_AGE_KEY_FILE={key}", harness.VMCRED_SOPS]
    for command in (
        [*sops, "encrypt", "--age", recipient, "-i", document],
        [*sops, "set", document, '["a"]', "2"],
        [*sops, "decrypt", "--output", store / "plain", document],
        [harness.VMCRED, "age", "-r", recipient, "-o", store / "file.age", document],
    ):
        names = [name for name, path, *_ in calls(directory, *command) if is_below(path, str(store))]
        equal([name for name in names if name in ("fsync", "renameat")], ["fsync", "renameat", "fsync"], command)


def test_unsynced_file_is_found(directory):
    """this test finds a file that was not synced"""
    store = directory / "store"
    store.mkdir()
    problems = unsynced(directory, store, "python3", "-c", f"""
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
