# SPDX-License-Identifier: Apache-2.0
"""The private directories in memory for plaintext that other programs read as a file: where they are created, how they are
wiped, and what is reported if that fails."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import harness
from example import AS_NOBODY, NOBODY, Example, by_script, program_for_all
from faults import strace
from harness import equal, expect, fails, need_root, run, vmcred

SECRET = "correct-horse-battery-staple"


class Document:
    """A SOPS document, and a directory for plaintext."""

    def __init__(self, directory):
        directory.chmod(0o755)
        self.place = directory / "place"
        self.place.mkdir(mode=0o700)
        key = directory / "key"
        self.env = {"SOPS_AGE_KEY_FILE": str(key), "XDG_RUNTIME_DIR": str(self.place)}
        recipient = expect(vmcred("keygen", "--output", key), 0).out.strip()
        self.path = directory / "doc.json"
        self.path.write_text(json.dumps({"a": SECRET}))
        expect(vmcred("sops", "encrypt", "--age", recipient, "-i", self.path, env=self.env), 0, "", "")

    def command(self, command):
        return ["sops", "exec-file", "--no-fifo", self.path, command]

    def pass_to(self, command, **env):
        """Passes the plaintext file to a shell command, in which {} is its path."""
        return vmcred(*self.command(command), env=self.env | env)

    def wiped(self):
        equal(list(self.place.iterdir()), [], "leftovers")


def given_to(directory, uid, mode):
    directory.mkdir(parents=True, exist_ok=True)
    os.chown(directory, uid, uid)
    directory.chmod(mode)
    return directory


def test_directory_that_others_can_change_is_not_used(directory):
    """plaintext is not written below a directory that another user owns, or can write to without the sticky bit"""
    need_root()
    document = Document(directory)
    theirs = given_to(directory / "theirs", NOBODY, 0o755)
    (theirs / "link").symlink_to(document.place)
    os.chown(theirs / "link", NOBODY, NOBODY, follow_symlinks=False)
    refused = {
        "another user's": given_to(directory / "foreign", NOBODY, 0o700),
        "below another user's": given_to(theirs / "ours", 0, 0o700),
        "another user's link": theirs / "link",
        "below another user's with the sticky bit": given_to(given_to(directory / "sticky", NOBODY, 0o1777) / "ours", 0, 0o700),
        "writable by all": given_to(directory / "open", 0, 0o777),
        "writable by its group": given_to(directory / "group", 0, 0o770),
        "below one that is writable by all": given_to(given_to(directory / "open", 0, 0o777) / "ours", 0, 0o700),
    }
    for what, place in refused.items():
        path = expect(document.pass_to("echo {}", XDG_RUNTIME_DIR=str(place)), 0, None, "").out
        assert path.startswith("/run/.vmcred."), (what, path)
        equal([entry.name for entry in place.iterdir() if entry.name.startswith(".")], [], what)
    for what, place in {
        "with the sticky bit": given_to(directory / "shared", 0, 0o1777),
        "root's link": directory / "link",
    }.items():
        if not place.exists():
            place.symlink_to(document.place)
        path = expect(document.pass_to("echo {}", XDG_RUNTIME_DIR=str(place)), 0, None, "").out
        assert path.startswith(f"{place}/.vmcred."), (what, path)
    document.wiped()


def test_user_mode_of_the_manifest_is_not_written_for_others(directory):
    """in user mode, secrets are not installed below another user's directory"""
    need_root()
    theirs = given_to(directory / "theirs", NOBODY, 0o700)
    directory.chmod(0o755)
    (directory / "sops-install-secrets").symlink_to(harness.VMCRED)
    manifest = directory / "manifest.json"
    manifest.write_text(json.dumps({"userMode": True, "secretsMountPoint": "%r/secrets.d", "symlinkPath": "%r/secrets", "secrets": []}))
    result = run(directory / "sops-install-secrets", manifest, env={"XDG_RUNTIME_DIR": str(theirs)})
    fails(result, 1, theirs, "other users can change it", "XDG_RUNTIME_DIR")


def test_directory_that_vanished_is_reported(directory):
    """a directory that was moved or removed meanwhile is reported, and wiped where it is"""
    document = Document(directory)
    result = document.pass_to(f"ln {{}} {directory}/link; mv $(dirname {{}}) {directory}/moved; exit 3")
    expect(result, 3, "")
    match = re.fullmatch(
        r"vmcred: (\S+) was moved or removed by another process: others may have read the plaintext in it: replace these secrets; "
        r"before that: the command exited with code 3\n",
        result.err,
    )
    assert match and match[1].startswith(f"{document.place}/.vmcred."), result.err
    equal((directory / "link").read_bytes().strip(b"\0"), b"", "the plaintext")
    equal(list((directory / "moved").iterdir()), [], "the moved directory")
    for command in ("rm -r $(dirname {})", "d=$(dirname {}); rm -r $d; mkdir $d; echo other > $d/x"):
        result = document.pass_to(command)
        assert result.code != 0 and "moved or removed by another process" in result.err, result
    left = list(document.place.iterdir())
    equal([path.name for path in left[0].iterdir()], ["x"], "the other process's directory")


def test_failed_wipe_is_reported_and_the_rest_is_wiped(directory):
    """a file that cannot be overwritten is reported by name; the other files are wiped"""
    document = Document(directory)
    command = f"""d=$(dirname {{}}); cp $(command -v sleep) $d/busy; ln {{}} {directory}/link
        $d/busy 60 < /dev/null > /dev/null 2>&1 & until [ $(readlink /proc/$!/exe) = $d/busy ]; do :; done; echo $!"""
    result = document.pass_to(command)
    os.kill(int(result.out), 9)
    assert result.code != 0 and ": wiping busy: Text file busy\n" in result.err, result
    assert result.err.startswith(f"vmcred: wiping the plaintext in {document.place}/.vmcred."), result
    equal((directory / "link").read_bytes().strip(b"\0"), b"", "the plaintext")
    document.wiped()


NESTED = """\
import os, sys
os.chdir(sys.argv[1])
for number in range(3000):
    os.mkdir("d")
    os.chdir("d")
    open("f", "w").close()
    os.chmod("f", 0)
    os.chmod("..", 0o500 if number % 2 else 0)
"""


def test_leftover_that_cannot_be_wiped_is_reported(directory):
    """what a killed run left and cannot be wiped is reported in a warning, and the command works"""
    document = Document(directory)
    left = document.place / ".vmcred.01234567"
    left.mkdir()
    busy = left / "busy"
    shutil.copy(shutil.which("sleep"), busy)
    with subprocess.Popen([busy, "60"]) as program:
        result = document.pass_to("cat {}")
        program.kill()
    expect(result, 0, None, f"vmcred: warning: wiping the plaintext that a killed run left in {left}: wiping busy: Text file busy\n")
    assert SECRET in result.out
    document.wiped()


def test_deep_directories_are_wiped(directory):
    """3,000 nested directories are wiped with 64 descriptors, even if files and directories in them are not accessible"""
    document = Document(directory)
    (directory / "nested").write_text(NESTED)
    limit = ["prlimit", "--nofile=64:64"]
    command = f"python3 {directory}/nested $(dirname {{}}) && ln {{}} {directory}/link"
    expect(run(*limit, harness.VMCRED, *document.command(command), env=document.env), 0, "", "")
    document.wiped()
    equal((directory / "link").read_bytes().strip(b"\0"), b"", "the plaintext")
    for as_user in ([], AS_NOBODY if os.geteuid() == 0 else []):
        place = directory / f"as{len(as_user)}"
        place.mkdir()
        example = Example(place, by_script(f"python3 {directory}/nested $TMPDIR\necho done > $out/one"), generate=False)
        if as_user:
            run("chown", "-R", f"{NOBODY}:{NOBODY}", place)
        words = [program_for_all(place), "generate", "--config", example.config, "--no-sandbox"]
        expect(run(*as_user, *limit, *words, env={"XDG_RUNTIME_DIR": str(place)}), 0, "made for m: generated one\n", "")
        equal([path.name for path in place.iterdir() if path.name.startswith(".")], [], "leftovers")


def test_sparse_file_is_wiped_without_filling_memory(directory):
    """the holes of a file are not filled when it is wiped"""
    document = Document(directory)
    expect(document.pass_to(f"cp {{}} {{}}2; truncate -s 1T {{}}2; echo end >> {{}}2; ln {{}}2 {directory}/link"), 0, "", "")
    document.wiped()
    link = directory / "link"
    assert link.stat().st_blocks < 100, link.stat()
    with open(link, "rb") as file:
        equal(file.read(4096).strip(b"\0"), b"", "the start")
        file.seek(1 << 40)
        equal(file.read(), b"\0\0\0\0", "the end")


def test_directory_that_another_run_removes_at_once(directory):
    """if another run takes the new directory for a leftover, before it is locked, a second one is created in the same place"""
    document = Document(directory)
    command = [harness.VMCRED, *document.command("echo {}")]
    # LeakSanitizer does not work under strace.
    env = [f"{name}={value}" for name, value in document.env.items()] + ["ASAN_OPTIONS=detect_leaks=0"]
    log = directory / "log"
    expect(strace(["-y", "-o", log, "-e", "trace=openat,openat2"], ["env", *env, *command]), 0)
    # Each call of this name is counted from the start.
    calls = [line for line in log.read_text().splitlines() if line.startswith("openat2(")]
    number = next(number for number, line in enumerate(calls, 1) if '".vmcred.' in line)
    result = strace(["-o", "/dev/null", "-e", f"inject=openat2:error=ENOENT:when={number}"], ["env", *env, *command])
    expect(result, 0, None, "")
    assert result.out.startswith(f"{document.place}/.vmcred."), result
    assert not Path(result.out.strip()).exists()


harness.main()
