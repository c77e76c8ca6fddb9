# SPDX-License-Identifier: Apache-2.0
"""A real full disk and a real unwritable store: a small memory file system, a read-only mount, and another user. Each test
mounts them in its own namespace."""
import ctypes
import os
import shutil

import harness
from example import AS_NOBODY, Example, program_for_all
from harness import equal, expect, fails, need_root, run, succeeds, test, vmcred

CLONE_NEWNS = 0x20000
PAGE = 4096


def own_mounts():
    """Enters a new mount namespace: its mounts are visible to this process and its children only, and end with them."""
    need_root()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    expect(run("mount", "--make-rprivate", "/"))


class Mounted:
    """A directory with a file system mounted on it."""

    def __init__(self, place, *options):
        place.mkdir(exist_ok=True)
        self.place, self.options = place, options

    def __enter__(self):
        expect(run("mount", *self.options, self.place))
        return self.place

    def __exit__(self, *_):
        expect(run("umount", "--lazy", self.place))


def fill(directory, room):
    """Fills the file system so that `room` pages stay free."""
    with open(directory / "ballast", "wb") as ballast:
        free = os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize // PAGE
        ballast.write(bytes((free - room) * PAGE))


def replace_key(example):
    """Gives the machine a new key, so that each secret must be re-encrypted."""
    expect(vmcred("keygen", "--config", example.config, "--machine", "m", "--force", "--output", example.directory / "new"))


COMMANDS = {
    "generate --regenerate": (["generate", "--regenerate", "--all"], lambda example: None),
    "set": (["set", "m", "made/one"], lambda example: None),
    "fix": (["fix", "--identity", "identity"], replace_key),
}


def values(example):
    """Both secrets, decrypted with one of the machine's identities."""
    found = []
    for file in ("one", "two"):
        for name in ("identity", "new"):
            result = vmcred("get", "--config", example.config, "--identity", example.directory / name, "m", f"made/{file}")
            if result.code == 0:
                found.append(result.out)
                break
    equal(len(found), 2, "secrets that open")
    return found


def full_disk(verb):
    @test(f"{verb} on a disk that fills up after any number of pages reports it and leaves the old secrets")
    def test_full_disk(directory):
        own_mounts()
        words, prepare = COMMANDS[verb]
        (directory / "store").mkdir()
        source = Example(directory / "store")
        prepare(source)
        old = values(source)
        failed = 0
        for room in range(0, 12):
            with Mounted(directory / "disk", "-t", "tmpfs", "-o", "size=256k", "tmpfs") as disk:
                shutil.copytree(source.directory, disk, symlinks=True, dirs_exist_ok=True)
                fill(disk, room)
                example = Example.at(disk)
                command = [words[0], "--config", example.config, *words[1:]]
                result = vmcred(*command, cwd=disk, stdin="new value")
                if result.code != 0:
                    failed += 1
                    equal(result.code, 1, f"exit code with room for {room} pages")
                    assert ": No space left on device: free some space and try again\n" in result.err, result.err
                    equal(values(example), old, f"the secrets after {room} pages")
                    left = sorted(path.name for path in disk.iterdir() if path.name.startswith("."))
                    equal(left, [], f"leftovers after {room} pages")
                (disk / "ballast").unlink()
                expect(vmcred(*command, cwd=disk, stdin="new value"))
                succeeds(vmcred("check", "--config", example.config), "all 2 files")
                assert len(values(example)) == 2
        assert 1 <= failed < 12, f"{failed} of 12 sizes were too small"


for name in COMMANDS:
    full_disk(name)

READING = {
    "list": (["list"], "SECRET      AGE    VALID UNTIL  VMS  READERS\n"
                       "m made/one  today  -            m    machine m\nm made/two  today  -            m    machine m\n"),
    "get": (["get", "--identity", "identity", "m", "made/one"], None),
    "check": (["check"], None),
    "generate": (["generate"], None),
    "fix": (["fix"], None),
}
KEY = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg"
WRITING = {
    "generate": (["generate", "--regenerate", "--all"], "creating the staging directory: creating a temporary directory for vmcred-new"),
    "set": (["set", "m", "made/one"], "creating a temporary file for vars/per-machine/m/made/one/secret"),
    "user": (["user", "add", "ada", "--age-key", KEY], "creating sops/users"),
    "group": (["group", "add", "g", "--machine", "m"], "creating sops/groups/g/machines"),
    "keygen": (["keygen", "--machine", "m", "--force", "--output", "/dev/null/x"], None),
}


def everything(directory):
    return {str(path): path.read_bytes() if path.is_file() and not path.is_symlink() else None for path in directory.rglob("*")}


def test_read_only_store_can_be_read(directory):
    """a store on a read-only mount can be read and activated, and every change fails"""
    own_mounts()
    (directory / "store").mkdir()
    example = Example(directory / "store")
    (directory / "host").mkdir()
    before = everything(example.directory)
    with Mounted(example.directory, "--bind", example.directory):
        expect(run("mount", "-o", "remount,bind,ro", example.directory))
        for words, out in READING.values():
            expect(vmcred(words[0], "--config", example.config, *words[1:], cwd=example.directory), 0, out, "")
        words = ["--config", example.config, "--identity", example.identity, "--root", directory / "host"]
        expect(vmcred("activate", *words), 0, "2 secrets in generation 1\n", "")
        hint = "Read-only file system: read-only here; change it where it is writable"
        for words, error in WRITING.values():
            result = vmcred(words[0], "--config", example.config, *words[1:], stdin="x")
            expect(result, 1, "", None if error is None else f"vmcred: {error}: {hint}\n")
    equal(everything(example.directory), before)


def test_other_user_can_read_public_data(directory):
    """a user who does not own the store can read its public data, and every change fails"""
    own_mounts()
    program = program_for_all(directory)
    (directory / "store").mkdir(mode=0o755)
    example = Example(directory / "store")
    before = everything(example.directory)
    for verb in ("list", "check", "generate", "fix"):
        words, out = READING[verb]
        expect(run(*AS_NOBODY, program, words[0], "--config", example.config, *words[1:]), 0, out, "")
    fails(run(*AS_NOBODY, program, "get", "--config", example.config, "--identity", example.identity, "m", "made/one"), 1,
          example.identity, "Permission denied")  # fmt: skip
    for words, error in WRITING.values():
        result = run(*AS_NOBODY, program, words[0], "--config", example.config, *words[1:], stdin="x")
        expect(result, 1, "", None if error is None else f"vmcred: {error}: Permission denied\n")
    equal(everything(example.directory), before)


harness.main()
