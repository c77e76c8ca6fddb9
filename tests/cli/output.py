# SPDX-License-Identifier: Apache-2.0
"""Files that commands write where their user says: --output FILE, and documents in place. What other users left there gets no
plaintext."""
import contextlib
import ctypes
import json
import os
import resource
import stat
import subprocess
import threading
from pathlib import Path

import harness
from bundles import Repository
from example import AS_NOBODY, NOBODY, program_for_all
from harness import equal, expect, fails, need_root, run, vmcred
from vm import wait_for

SECRET = "correct-horse-battery-staple"
CLONE_NEWNS = 0x20000


class Place:
    """A key, a SOPS document and an age file with the secret, and a directory that every user can write to."""

    def __init__(self, directory):
        directory.chmod(0o755)
        self.directory, self.key = directory, directory / "key"
        self.env = {"SOPS_AGE_KEY_FILE": str(self.key), "XDG_RUNTIME_DIR": str(directory)}
        self.recipient = expect(vmcred("keygen", "--output", self.key), 0).out.strip()
        self.document, self.file = directory / "doc.json", directory / "file.age"
        self.document.write_text(json.dumps({"a": SECRET}))
        expect(self.sops("encrypt", "--age", self.recipient, "-i", self.document), 0, "", "")
        expect(vmcred("age", "-r", self.recipient, "-o", self.file, stdin=SECRET), 0, "", "")
        self.shared = directory / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o1777)

    def sops(self, *words, **options):
        return vmcred("sops", *words, env=self.env, **options)

    def plaintext_writers(self):
        """Each command that writes plaintext to a file, as a function of its path."""
        return {
            "decrypt": lambda path: self.sops("decrypt", "--output", path, self.document),
            "decrypt --extract": lambda path: self.sops("decrypt", "--extract", '["a"]', "--output", path, self.document),
            "age decrypt": lambda path: vmcred("age", "-d", "-i", self.key, "-o", path, self.file),
        }

    def ciphertext_writers(self):
        return {
            "encrypt": lambda path: self.sops("encrypt", "--age", self.recipient, "--output", path, self.key),
            "rotate": lambda path: self.sops("rotate", "--output", path, self.document),
            "age encrypt": lambda path: vmcred("age", "-r", self.recipient, "-o", path, stdin=SECRET),
        }

    def in_place_writers(self):
        """Each command that changes a document in place and leaves it encrypted."""
        edit = self.env | {"EDITOR": "sed -i s/horse/mare/"}
        (self.directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {self.recipient}\n")
        other = expect(vmcred("keygen")).err.split()[-1]
        (self.directory / "other.yaml").write_text(f"creation_rules:\n  - age: {other},{self.recipient}\n")
        return {
            "set": lambda path: self.sops("set", path, '["b"]', "1"),
            "unset": lambda path: self.sops("unset", path, '["a"]'),
            "rotate": lambda path: self.sops("rotate", "-i", path),
            "edit": lambda path: vmcred("sops", "edit", path, env=edit),
            "updatekeys": lambda path: self.sops("updatekeys", "--yes", "--config", self.directory / "other.yaml", path),
            "groups": lambda path: self.sops("groups", "add", "-i", "--file", path, "--age", self.recipient),
        }

    def is_encrypted(self, path):
        equal(SECRET in path.read_text(), False, f"plaintext in {path}")
        equal(SECRET.replace("horse", "mare") in path.read_text(), False, f"plaintext in {path}")
        expect(self.sops("decrypt", "--input-type", "json", path), 0, None, "")


def by_nobody(path, mode=0o666):
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(mode)


def owner_and_mode(path):
    status = path.lstat()
    return status.st_uid, stat.S_IMODE(status.st_mode)


def own_mounts():
    need_root()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    expect(run("mount", "--make-rprivate", "/"))


def test_file_of_another_user_in_a_shared_directory_is_refused(directory):
    """a file, FIFO or link that another user created in a directory with the sticky bit is refused and gets nothing"""
    need_root()
    place = Place(directory)
    for name, write in (place.plaintext_writers() | place.ciphertext_writers()).items():
        file, fifo, link, elsewhere = (place.shared / word for word in ("file", "fifo", "link", "elsewhere"))
        file.write_text("theirs")
        os.mkfifo(fifo)
        link.symlink_to(elsewhere)
        for path in (file, fifo, link):
            by_nobody(path)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        for path in (file, fifo, link):
            result = write(path)
            assert result.code in (1, 3), (name, result)
            expect(result, None, "")
            for word in (str(path), str(NOBODY), "choose another path"):
                assert word in result.err, (name, result)
        equal(file.read_text(), "theirs", name)
        equal(os.read(reader, 100), b"", name)
        os.close(reader)
        equal(sorted(path.name for path in place.shared.iterdir()), ["fifo", "file", "link"], f"{name}: files")
        for path in (file, fifo, link):
            path.unlink()


def test_plaintext_is_private_to_the_caller(directory):
    """plaintext gets mode 0600 and the caller's user, whatever file was there before"""
    need_root()
    place, own = Place(directory), directory / "own"
    own.mkdir()
    for name, write in place.plaintext_writers().items():
        for mode in (0o600, 0o640, 0o666, 0o6777):
            path = own / f"{name} {mode}"
            path.write_text("old")
            by_nobody(path, mode)
            with open(path, encoding="utf-8") as reader:
                expect(write(path), 0, "", "")
                equal(reader.read(), "old", f"{name}: what a reader of the old file sees")
            equal(owner_and_mode(path), (0, 0o600), name)
            assert SECRET in path.read_text()
        expect(write(own / name), 0, "", "")
        equal(owner_and_mode(own / name), (0, 0o600), name)
    original = place.document.read_bytes()
    for owner in (0, NOBODY):
        place.document.write_bytes(original)
        os.chown(place.document, owner, owner)
        place.document.chmod(0o644)
        expect(place.sops("decrypt", "-i", place.document), 0, "", "")
        equal(owner_and_mode(place.document), (0, 0o600), "in place")
        assert SECRET in place.document.read_text()


def test_ciphertext_keeps_owner_and_mode(directory):
    """a document that stays encrypted keeps its mode and owner, but not the set-user-ID bits"""
    need_root()
    place = Place(directory)
    original = place.document.read_bytes()
    for name, write in place.in_place_writers().items():
        place.document.write_bytes(original)
        by_nobody(place.document, 0o6664)
        expect(write(place.document), 0)
        equal(owner_and_mode(place.document), (NOBODY, 0o664), name)
        place.is_encrypted(place.document)
    for name, write in place.ciphertext_writers().items():
        target = directory / "target"
        target.write_text("")
        by_nobody(target, 0o640)
        expect(write(target), 0, "", "")
        equal(owner_and_mode(target), (NOBODY, 0o640), name)
        target.unlink()
        before = os.umask(0o027)
        expect(write(target), 0, "", "")
        os.umask(before)
        equal(owner_and_mode(target), (0, 0o640), f"{name}: new file")


def test_link_of_another_user_must_not_lead_elsewhere(directory):
    """a link that another user controls may lead only to a file of theirs"""
    need_root()
    place, home, host = Place(directory), directory / "home", directory / "host"
    home.mkdir()
    host.mkdir()
    (host / "passwd").write_text("root")
    (home / "theirs").write_text("")
    (home / "link").symlink_to(host / "passwd")
    (home / "new").symlink_to(host / "new")
    (home / "directory").symlink_to(host)
    (home / "good").symlink_to("theirs")
    by_nobody(home, 0o755)
    for name in ("theirs", "link", "new", "directory", "good"):
        by_nobody(home / name)
    for name, write in (place.plaintext_writers() | place.ciphertext_writers()).items():
        for path in ("link", "new", "directory/passwd", "directory/new"):
            result = write(home / path)
            assert result.code in (1, 3) and "link of another user" in result.err, (name, path, result)
        equal({path.name: path.read_text() for path in host.iterdir()}, {"passwd": "root"}, name)
        expect(write(home / "good"), 0, "", "")
        assert (home / "good").is_symlink()


def test_directories_behind_links_of_another_user(directory):
    """no command creates files in a directory that a link of another user leads to, unless that user owns it"""
    need_root()
    here = Repository(directory / "repository")
    home, host, theirs = (directory / name for name in ("home", "host", "theirs"))
    for path in home, host, theirs:
        path.mkdir()
    for name, target in (("var", host), ("etc", host), ("good", theirs)):
        (home / name).symlink_to(target)
    for path in home, theirs, *home.iterdir():
        by_nobody(path, 0o755)

    def refused(*words, **options):
        result = vmcred(*words, **options)
        equal((result.code, list(host.iterdir())), (1, []), words)
        assert "link of another user" in result.err, result

    refused("init", home / "etc")
    refused("init", home / "etc/more")
    refused("keygen", "--output", home / "etc/key")
    refused("units", "--config", here.config, "--output", home / "etc/units")
    refused("import", "--machine", "m", "--identity", here.identity, "--root", home, stdin=here.export())
    expect(vmcred("keygen", "--output", home / "good/key"))
    equal(owner_and_mode(theirs / "key"), (0, 0o600))


def read_all(path, into):
    with open(path, "rb") as file:
        into.append(file.read())


def test_output_to_streams_and_own_special_files(directory):
    """/dev/stdout, /dev/fd/N, /dev/null, links to them and FIFOs of the caller are written to and stay what they are"""
    if os.geteuid() == 0:
        own_mounts()
        expect(run("mount", "--rbind", "/dev", "/dev"))
        # A vmcred that replaces devices does not damage the machine.
        expect(run("mount", "-o", "remount,bind,ro", "/dev"))
    place = Place(directory)
    (directory / "link").symlink_to("/dev/stdout")
    for name, write in place.plaintext_writers().items():
        for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", directory / "link"):
            result = expect(write(path), 0, None, "")
            assert SECRET in result.out, (name, path)
        expect(write("/dev/null"), 0, "", "")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and os.path.islink("/dev/stdout")
        fifo, got = directory / f"{name} fifo", []
        os.mkfifo(fifo, 0o600)
        reader = threading.Thread(target=read_all, args=(fifo, got))
        reader.start()
        expect(write(fifo), 0, "", "")
        reader.join()
        assert SECRET.encode() in got[0] and stat.S_ISFIFO(fifo.stat().st_mode), name
        for path in (directory, f"{directory}/", "/", "."):
            result = write(path)
            assert result.code in (1, 3) and "Is a directory" in result.err, (name, path, result)


def test_standard_output_of_another_user(directory):
    """a descriptor that the caller was given is written to, even if it is another user's pipe or file"""
    need_root()
    place = Place(directory)
    by_nobody(place.key, 0o600)
    program = program_for_all(directory)
    words = [*AS_NOBODY, program, "age", "-d", "-i", place.key, "-o", "/dev/stdout", place.file]
    expect(run(*words), 0, SECRET, "")
    with open(directory / "log", "wb") as log:
        log.write(b"before\n")
        log.flush()
        equal(subprocess.run([str(word) for word in words], stdout=log, env=harness.CLEAN_ENVIRONMENT, check=False).returncode, 0)
    equal((directory / "log").read_text(), f"before\n{SECRET}", "the redirected file")
    equal(owner_and_mode(directory / "log")[0], 0)
    by_nobody(place.shared, 0o1777)
    with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE) as other:
        words = ["age", "-d", "-i", place.key, place.file, "-o", f"/proc/{other.pid}/fd/1"]
        fails(vmcred(*words), 1, f"/proc/{other.pid}/fd/1", "another process")
        other.kill()


def test_output_in_a_user_namespace(directory):
    """in a user namespace, where root's devices and directories have another owner, files and devices are written to"""
    need_root()
    place = Place(directory)
    by_nobody(place.key, 0o600)
    words = [program_for_all(directory), "age", "-d", "-i", place.key, place.file, "-o"]
    for path in ("/dev/null", "/dev/stdout", place.shared / "file"):
        result = run(*AS_NOBODY, "unshare", "--user", "--map-root-user", *words, path)
        if "unshare failed" in result.err and not harness.CI:
            raise harness.Skip("user namespaces are not allowed")
        expect(result, 0, SECRET if path == "/dev/stdout" else "", "")
    equal(owner_and_mode(place.shared / "file"), (NOBODY, 0o600))


def test_document_that_is_a_mount_point_is_changed(directory):
    """a document that is a mount point is changed in place, but never becomes plaintext"""
    own_mounts()
    place = Place(directory)
    mounted, source = directory / "mounted.json", directory / "source.json"
    writers = place.in_place_writers()
    original = place.document.read_bytes()
    mounted.touch()
    source.touch()
    expect(run("mount", "--bind", source, mounted))
    for name, write in writers.items():
        # Longer than the new document: the rest must not stay.
        source.write_bytes(original + b"\n" * 4096)
        expect(write(mounted), 0)
        assert len(source.read_bytes()) < 4096 and source.read_bytes() != original, name
        place.is_encrypted(mounted)
    source.write_text(json.dumps({"a": SECRET}))
    expect(place.sops("encrypt", "--age", place.recipient, "-i", mounted), 0, "", "")
    place.is_encrypted(source)
    before = source.read_bytes()
    expect(place.sops("decrypt", "-i", mounted), 3, "",
           f"vmcred: replacing {mounted}: Device or resource busy: write the plaintext to another file\n")  # fmt: skip
    equal(source.read_bytes(), before)
    equal([path.name for path in directory.iterdir() if path.name.startswith(".") and path.name != ".sops.yaml"], [], "leftovers")
    expect(run("umount", mounted))


def test_document_in_an_unwritable_directory_is_changed(directory):
    """a writable document in a directory that is not writable is changed in place, but never becomes plaintext"""
    need_root()
    place, own = Place(directory), directory / "own"
    own.mkdir()
    path = own / "doc.json"
    path.write_bytes(place.document.read_bytes())
    by_nobody(path, 0o644)
    by_nobody(place.key, 0o600)
    program = program_for_all(directory)
    command = [*AS_NOBODY, program, "sops"]
    expect(run(*command, "set", path, '["b"]', "1", env=place.env), 0, "", "")
    place.is_encrypted(path)
    before = path.read_bytes()
    result = expect(run(*command, "decrypt", "-i", path, env=place.env), 3, "")
    assert "Permission denied" in result.err, result
    os.chown(path, 0, 0)
    result = expect(run(*command, "set", path, '["b"]', "2", env=place.env), 3, "")
    assert "Permission denied" in result.err, result
    equal(path.read_bytes(), before)


def test_failed_write_in_place_restores_the_document(directory):
    """if a document that is a mount point cannot be written completely, its old content is restored"""
    own_mounts()
    place, disk, mounted = Place(directory), directory / "disk", directory / "mounted.json"
    disk.mkdir()
    mounted.touch()
    expect(run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk))
    (disk / "doc.json").write_bytes(place.document.read_bytes())
    expect(run("mount", "--bind", disk / "doc.json", mounted))
    before = mounted.read_bytes()
    value = directory / "value"
    value.write_text(json.dumps("x" * 100_000))
    result = expect(place.sops("set", "--value-file", mounted, '["b"]', value), 3, "")
    assert "No space left on device" in result.err, result
    equal(mounted.read_bytes(), before, "the document")
    expect(run("umount", mounted))
    expect(run("umount", disk))


def written(pid):
    """How much a process has written to any file."""
    return int(Path(f"/proc/{pid}/io").read_text().split("wchar: ")[1].split()[0])


@contextlib.contextmanager
def file_size_limited(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_limited_file_size(directory):
    """what exceeds the limit of a file's size is an error, which leaves no unfinished file and the old one as it was"""
    place = Place(directory)
    for name, write in (place.plaintext_writers() | place.ciphertext_writers() | place.in_place_writers()).items():
        path = place.directory / "written.json"
        path.write_bytes(place.document.read_bytes())
        before = {path.name for path in directory.iterdir()}
        with file_size_limited(20):
            result = write(path)
        assert result.code > 0 and "File too large" in result.err, (name, result)
        equal({path.name for path in directory.iterdir()}, before, name)
        equal(path.read_bytes(), place.document.read_bytes(), name)


def test_killed_decryption(directory):
    """a decryption that is killed leaves no plaintext in the directory of its output"""
    place, output = Place(directory), directory / "output"
    file = place.file.with_suffix(".large")
    expect(vmcred("age", "-r", place.recipient, "-o", file, stdin=b"x" * (1 << 20)), 0, "", "")
    output.mkdir()
    for name in "new", "old":
        (output / "old").write_text("old")
        with subprocess.Popen([harness.VMCRED, "age", "-d", "-i", place.key, "-o", output / name], stdin=subprocess.PIPE) as process:
            process.stdin.write(file.read_bytes()[:-1000])
            process.stdin.flush()
            wait_for("the first plaintext", lambda: written(process.pid) > 100_000)
            process.kill()
        equal({path.name: path.stat().st_size for path in output.iterdir()}, {"old": len("old")}, name)


harness.main()
