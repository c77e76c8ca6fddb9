# SPDX-License-Identifier: Apache-2.0
"""`vmcred sops` without the real sops: its messages, and its own promises about editing, files and commands."""
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import harness
from harness import equal, expect, fails, run, vmcred
from terminal import read_to_end

CANARY = "correct-horse-battery-staple"
PLAIN = json.dumps({"a": CANARY, "b": [1, 2]}, indent="\t") + "\n"


class Documents:
    """A directory with a key, an encrypted document, and a memory file system for temporary files."""

    def __init__(self, directory):
        self.directory = directory
        self.key = directory / "key"
        self.recipient = expect(vmcred("keygen", "--output", self.key), 0).out.strip()
        self.run_directory = directory / "run"
        self.run_directory.mkdir(mode=0o700)
        self.env = {"SOPS_AGE_KEY_FILE": str(self.key), "XDG_RUNTIME_DIR": str(self.run_directory), "HOME": str(directory)}
        self.path = directory / "doc.json"
        self.path.write_text(PLAIN)
        expect(self.sops("encrypt", "--age", self.recipient, "-i", "doc.json"), 0, "", "")
        self.before = self.path.read_bytes()

    def sops(self, *words, env=None, **options):
        return vmcred("sops", *words, cwd=self.directory, env=self.env | (env or {}), **options)

    def plaintext(self, path):
        return json.loads(expect(self.sops("decrypt", "--input-type", "json", "--output-type", "json", path), 0, None, "").out)

    def untouched(self):
        equal(self.path.read_bytes(), self.before, "the document")
        self.wiped()

    def wiped(self):
        equal(sorted(self.run_directory.iterdir()), [], "leftovers on the memory file system")

    def kept(self, result, name="doc.json"):
        """The text of a failed edit, which is where the error says. Removes it."""
        match = re.search(r": your text, not encrypted, is in (\S+): use it in the next edit, then remove the directory\n$", result.err)
        assert match, result.err
        path = Path(match[1])
        equal([*path.parent.iterdir()], [path], "the directory")
        equal((path.name, path.parent.parent, path.stat().st_mode & 0o777), (name, self.run_directory, 0o600))
        equal(path.parent.stat().st_mode & 0o777, 0o700)
        text = path.read_text()
        shutil.rmtree(path.parent)
        return text

    def editor(self, script):
        path = harness.write_program(self.directory / "editor", f"#!/bin/sh\n{script}\n")
        return {"EDITOR": str(path)}


def test_called_as_sops_it_prints_the_version(directory):
    """called as sops, it behaves as sops and prints the version where programs look for it"""
    (directory / "sops").symlink_to(Path(harness.VMCRED_SOPS).absolute())
    version = f"sops 3.13.2 (vmcred {harness.VERSION})\n"
    for words in (["--version"], ["-v"], ["--disable-version-check", "--version"], ["--check-for-updates", "--version"]):
        expect(run(directory / "sops", *words), 0, version, "")
        expect(vmcred("sops", *words), 0, version, "")
    (directory / "plain.json").write_text(PLAIN)
    expect(run(directory / "sops", "filestatus", directory / "plain.json"), 0, '{"encrypted":false}\n', "")


def test_command_line_error_is_one_line(directory):
    """an error in the command line is reported in one line with a hint"""
    documents = Documents(directory)
    for words, code, text in [
        (["--nope"], 1, "sops: unknown flag --nope: --help lists the flags"),
        (["decrypt", "--in-plac", "doc.json"], 1, "sops decrypt: unknown flag --in-plac: did you mean --in-place?"),
        (["decrypt", "--output"], 1, "sops decrypt: flag --output requires a value"),
        (["decrypt", "-i=x", "doc.json"], 1, "sops decrypt: --in-place must be true or false"),
        (["--indent", "x", "-d", "doc.json"], 1, "sops: --indent must be an integer from -1 to 255"),
        ([], 100, "no file given"),
        (["decrypt", "nofile"], 100, "nofile does not exist"),
        (["decrypt", "-i"], 8, "--in-place requires a file"),
        (["-d", "-i", "--output", "x", "doc.json"], 8, "--in-place conflicts with --output"),
        (["encrypt", "key"], 1, "no recipients for key: pass --age RECIPIENT, or add a creation rule to .sops.yaml"),
        (
            ["encrypt", "--age", documents.recipient],
            8,
            "standard input has no file name for its type and creation rule: pass --filename-override NAME",
        ),
        (["decrypt", "--extract", "[a]", "doc.json"], 91, '--extract: invalid path [a]: the form is ["key"][0]["other key"]'),
        (["decrypt", "--decryption-order", "age,pgp,age", "doc.json"], 112, "duplicate key type age in --decryption-order"),
        (
            ["encrypt", "--age", documents.recipient, "doc.json"],
            203,
            "doc.json already has SOPS metadata at its top level: edit an encrypted file with `sops edit`; otherwise "
            'rename its key "sops" or keys that begin with "sops_"',
        ),
        (["publish", "doc.json"], 1, "publish is not supported: use getsops' sops 3.13"),
        (["keyservice"], 1, "keyservice is not supported: use getsops' sops 3.13"),
        (["updatekeys", "doc.json"], 1, "no .sops.yaml in this directory or its parents: pass --config FILE"),
        (["groups", "delete", "--file", "doc.json", "3"], 2, "doc.json has no key group 3: the last one is 0"),
        (["groups", "delete", "--file", "doc.json", "0"], 1, "doc.json has only one key group: without it the file could not be decrypted"),
        (
            ["groups", "add", "-i", "--file", "doc.json", "--age", documents.recipient, "--shamir-secret-sharing-threshold", "3"],
            1,
            "doc.json would have 2 key groups, but decrypting would require 3: set a lower --shamir-secret-sharing-threshold",
        ),
        (
            ["groups", "add", "-i", "--file", "doc.json", "--age", documents.recipient, "--shamir-secret-sharing-threshold", "-1"],
            1,
            "sops groups add: --shamir-secret-sharing-threshold must be an integer from 0 to 255",
        ),
        (["exec-file", "--background", "doc.json", "true"], 1, "--background is not supported: the file is removed when sops exits"),
        (["exec-file", "--filename", "../x", "doc.json", "true"], 1, "--filename must be a name without a directory"),
        (["--enable-local-keyservice=false", "-d", "doc.json"], 1, "--enable-local-keyservice=false leaves no keys: key services are not supported"),
        (["encrypt", "--kms", "arn:aws:kms:eu-west-1:1:key/x", "key"], 1, None),
    ]:
        result = documents.sops(*words)
        expect(result, code, "", None if text is None else f"vmcred: {text}\n")
        if text is None:
            assert "kms" in result.err, result.err
    documents.untouched()


def test_unsupported_key_type_is_reported_if_needed(directory):
    """an unsupported key type is reported, unless another key decrypts the document"""
    documents = Documents(directory)
    document = json.loads(documents.before)
    document["sops"]["kms"] = [
        {"arn": "arn:aws:kms:eu-west-1:1:key/x", "created_at": "2026-01-01T00:00:00Z", "enc": "AAAA", "aws_profile": ""}
    ]
    documents.path.write_text(json.dumps(document))
    equal(documents.plaintext("doc.json")["a"], CANARY)
    document["sops"]["age"] = None
    documents.path.write_text(json.dumps(document))
    result = expect(documents.sops("decrypt", "doc.json"), 128, "")
    assert "kms" in result.err and "arn:aws:kms:eu-west-1:1:key/x" in result.err, result.err


def test_wrong_key_error_lists_recipients_and_identities(directory):
    """without a key, the error lists the recipients, the tried identities and the places without keys"""
    documents = Documents(directory)
    other = directory / "other"
    public = expect(vmcred("keygen", "--output", other), 0).out.strip()
    environment = {"SOPS_AGE_KEY_FILE": str(other), "XDG_CONFIG_HOME": str(directory / "c")}
    fails(documents.sops("decrypt", "doc.json", env=environment), 128, "doc.json: ", f"{documents.recipient}; ", f"{public}: ",
          f": found no keys in SOPS_AGE_KEY, {directory}/c/sops/age/keys.txt, SOPS_AGE_SSH_PRIVATE_KEY_FILE, "
          f"{directory}/.ssh/id_ed25519, {directory}/.ssh/id_rsa, SOPS_AGE_KEY_CMD, SOPS_AGE_SSH_PRIVATE_KEY_CMD\n")


def test_no_message_contains_a_value(directory):
    """no error and no message contains a value, wherever it was given"""
    documents = Documents(directory)
    (directory / "broken.json").write_text(f'{{"a": "{CANARY}", nonsense')
    (directory / "broken.yaml").write_text(f"a: {CANARY}\n\tb: [\n")
    (directory / "value").write_text(f'"{CANARY}')
    (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {documents.recipient}\n")
    secret = (documents.key.read_text().splitlines())[-1]
    for words, options in [
        (["encrypt", "broken.json"], {}),
        (["encrypt", "broken.yaml"], {}),
        (["set", "doc.json", '["a"]', f'"{CANARY}'], {}),
        (["set", "doc.json", '["a"]', CANARY], {}),
        (["set", "--value-file", "doc.json", '["a"]', "value"], {}),
        (["set", "--value-stdin", "doc.json", '["a"]'], {"stdin": f'"{CANARY}'}),
        ([f"--set={CANARY}", "doc.json"], {}),
        (["--set", f'["a"] {CANARY}', "doc.json"], {}),
        ([f"--sett={CANARY}", "doc.json"], {}),
        (["edit", "doc.json"], {"env": documents.editor(f"echo '{CANARY}' > \"$1\"")}),
        (["decrypt", "doc.json"], {"env": {"SOPS_AGE_KEY": secret[:-1], "SOPS_AGE_KEY_FILE": "/nonexistent"}}),
        (["decrypt", "--verbose", "--output", "plain", "doc.json"], {}),
    ]:
        result = documents.sops(*words, **options)
        for text in (CANARY, secret[:-1]):
            assert text not in result.err and text not in result.out, (words, result)
        if words[0] == "edit":
            documents.kept(result)
    documents.untouched()


def test_comment_that_would_select_other_values_is_refused(directory):
    """where YAML would read a comment elsewhere, so that it selects other values, nothing is written"""
    documents = Documents(directory)
    path = directory / "doc.yaml"
    for rule in ("encrypted", "unencrypted"):
        (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {documents.recipient}\n    {rule}_comment_regex: mark\n")
        path.write_text("a:\n    - # mark\n      b: x\n      c: x\n")
        fails(documents.sops("encrypt", "-i", "doc.yaml"), 4, "writing as yaml: a comment would move", "write the comment after its value")
        equal(path.read_text(), "a:\n    - # mark\n      b: x\n      c: x\n", "the file")
        path.write_text("a:\n    - b: x # mark\n      c: x\n")
        expect(documents.sops("encrypt", "-i", "doc.yaml"), 0, "", "")
        expect(documents.sops("decrypt", "doc.yaml"), 0, "a:\n    - b: x # mark\n      c: x\n", "")


def test_several_documents_are_not_written_in_another_format(directory):
    """a file with several YAML documents is not encrypted in a format that holds only one"""
    documents = Documents(directory)
    path = directory / "doc.yaml"
    for output in ("json", "binary", "dotenv", "ini"):
        path.write_text("a: x\n---\nb: x\n")
        error = f"writing as {output}: doc.yaml has several documents, which only YAML can hold"
        fails(documents.sops("encrypt", "--age", documents.recipient, "--output-type", output, "-i", "doc.yaml"), 4, error)
        equal(path.read_text(), "a: x\n---\nb: x\n", "the file")
        expect(documents.sops("encrypt", "--age", documents.recipient, "-i", "doc.yaml"), 0, "", "")
        before = path.read_text()
        for words in (["rotate", "-i", "--output-type", output, "doc.yaml"], ["set", "--output-type", output, "doc.yaml", '["a"]', "1"]):
            fails(documents.sops(*words), 4, error)
            equal(path.read_text(), before, "the file")


def test_ambiguous_comment_rule_is_an_error_of_encryption(directory):
    """unencrypted_comment_regex must not match the ciphertext of a comment: 23, as in sops"""
    documents = Documents(directory)
    (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {documents.recipient}\n    unencrypted_comment_regex: E\n")
    (directory / "doc.yaml").write_text("# x\na: 1\n")
    fails(documents.sops("encrypt", "doc.yaml"), 23, "unencrypted_comment_regex matches its ciphertext")


def test_encrypted_comment_that_moved_selects_nothing(directory):
    """an encrypted comment that is read where nothing is encrypted stays encrypted, and selects no value in a rotation"""
    documents = Documents(directory)
    (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {documents.recipient}\n    encrypted_comment_regex: mark\n")
    path = directory / "doc.yaml"
    path.write_text("# mark\na: [] # mark\n\nb: x\n")
    expect(documents.sops("encrypt", "-i", "doc.yaml"), 0, "", "")
    assert "\nb: x\n" in path.read_text()
    expect(documents.sops("rotate", "-i", "doc.yaml"), 0, "", "")
    assert "\nb: x\n" in path.read_text()
    assert re.fullmatch(r"# mark\na: \[\]\n#ENC\[.*\]\nb: x\n", expect(documents.sops("decrypt", "doc.yaml"), 0, None, "").out)


def test_editor_gets_plaintext_in_memory(directory):
    """the editor gets the plaintext in a private directory on a memory file system, which is removed"""
    documents = Documents(directory)
    env = documents.editor(
        'echo "$1" > seen; stat -c %a "$1" >> seen; stat -c %a "$(dirname "$1")" >> seen; cp "$1" shown; touch "$1~"; '
        'sed s/1/7/ "$1" > "$1.new"; mv "$1.new" "$1"'
    )
    expect(documents.sops("edit", "doc.json", env=env), 0, "", "")
    path, mode, directory_mode = (directory / "seen").read_text().split()
    assert path.startswith(f"{documents.run_directory}/.vmcred.") and path.endswith("/doc.json"), path
    equal((mode, directory_mode), ("600", "700"), "modes")
    equal((directory / "shown").read_text(), PLAIN, "the text in the editor")
    equal(sorted(documents.run_directory.iterdir()), [], "leftovers")
    equal(documents.plaintext("doc.json")["b"], [7, 2])


def test_file_changed_during_an_edit_is_kept(directory):
    """a file that another process changes during an edit is kept, and the edit is saved next to it, encrypted"""
    documents = Documents(directory)
    other = documents.before.replace(b'"lastmodified"', b'"lastmodified" ')
    (directory / "theirs").write_bytes(other)
    env = documents.editor('cp theirs doc.json; sed -i s/1/7/ "$1"')
    result = documents.sops("edit", "doc.json", env=env)
    match = re.fullmatch(
        r"vmcred: doc\.json was changed by another process during the edit: your version, encrypted, is in (doc\.json\.edited\.\d+): "
        r"compare with `sops decrypt`\n",
        result.err,
    )
    expect(result, 3, "")
    assert match, result.err
    equal(documents.path.read_bytes(), other, "the version of the other process")
    assert CANARY.encode() not in (directory / match[1]).read_bytes()
    equal(documents.plaintext(match[1])["b"], [7, 2])
    result = documents.sops("edit", "--age", documents.recipient, "new.json", env=documents.editor('echo \'{"a": 1}\' > "$1"; touch new.json'))
    expect(result, 3, "")
    equal((directory / "new.json").read_bytes(), b"", "the new file of the other process")


def test_invalid_edit_without_a_terminal_keeps_the_text(directory):
    """without a terminal, an invalid edit changes nothing, and the text stays in memory where the error says"""
    documents = Documents(directory)
    for text in ("{\n", "", '{"sops": 1}\n'):
        (directory / "text").write_text(text)
        result = documents.sops("edit", "doc.json", env=documents.editor('umask 0; cp text "$1.new"; mv "$1.new" "$1"'))
        assert result.err.startswith("vmcred: the file is unchanged: invalid edit: "), result.err
        equal((result.code > 0, result.out), (True, ""), text)
        # Another run, which wipes leftovers, does not wipe it.
        expect(documents.sops("exec-file", "doc.json", "true"), 0, "", "")
        equal(documents.kept(result), text)
        documents.untouched()


def test_edit_that_cannot_be_written_keeps_the_text(directory):
    """if the document cannot be written after an edit, the text stays in memory where the error says"""
    documents = Documents(directory)
    os.mkdir(directory / "place")
    shutil.copy(documents.path, directory / "place")
    result = documents.sops("edit", "place/doc.json", env=documents.editor('sed -i s/1/7/ "$1"; rm -r place'))
    expect(result, 3, "")
    equal(documents.kept(result), PLAIN.replace("1", "7"))
    documents.untouched()


def on_terminal(documents, words, env, answers):
    """Runs it on a terminal and types each answer after its question; returns the exit code and the shown text."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(documents.directory)
        os.execve(harness.VMCRED, [harness.VMCRED, "sops", *words], harness.CLEAN_ENVIRONMENT | documents.env | env)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if answers and answers[0][0] in shown:
            os.write(terminal, answers.pop(0)[1])
    shown += read_to_end(terminal)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_invalid_edit_returns_to_the_editor(directory):
    """on a terminal, an invalid edit returns to the editor until it is valid or the user gives up"""
    documents = Documents(directory)
    env = documents.editor('if [ -e second ]; then sed -i s/x/9/ "$1"; else touch second; sed -i s/1/x/ "$1"; fi')
    code, shown = on_terminal(documents, ["edit", "doc.json"], env, [(b"give up.", b"\n")])
    equal(code, 0, f"exit code: {shown}")
    equal(documents.plaintext("doc.json")["b"], [9, 2])
    (directory / "second").unlink()
    documents.before = documents.path.read_bytes()
    code, shown = on_terminal(documents, ["edit", "doc.json"], documents.editor('sed -i s/9/x/ "$1"'), [(b"give up.", b"\x03")])
    equal(code, 1, "exit code")
    assert "doc.json is unchanged: edit cancelled" in shown, shown
    documents.untouched()


def test_killed_edit_leaves_the_document_whole(directory):
    """after an editor, or sops too, is killed the document is whole, and the next run wipes leftovers"""
    documents = Documents(directory)
    expect(documents.sops("edit", "doc.json", env=documents.editor("kill -9 $$")), 201, "")
    documents.untouched()
    env = harness.CLEAN_ENVIRONMENT | documents.env | documents.editor("echo $$ > pid; exec sleep 60")
    child = subprocess.Popen([harness.VMCRED, "sops", "edit", "doc.json"], cwd=directory, env=env)
    while not ((directory / "pid").exists() and (directory / "pid").read_text().strip()):
        time.sleep(0.01)
    child.kill()
    child.wait()
    os.kill(int((directory / "pid").read_text()), signal.SIGKILL)
    equal(len(list(documents.run_directory.iterdir())), 1, "directories after kill -9")
    expect(documents.sops("edit", "doc.json", env={"EDITOR": "true"}), 200, "", "vmcred: doc.json is unchanged: the editor made no change\n")
    documents.untouched()


def test_termination_signal_wipes_plaintext(directory):
    """a termination signal reaches the editor and the command, and the plaintext is wiped; other signals wait for them"""
    documents = Documents(directory)
    started = directory / "started"
    wait = f"trap 'exit 5' TERM; touch {started}; while :; do sleep 0.05; done"
    for words, code in [(["edit", "doc.json"], 201), (["exec-file", "--no-fifo", "doc.json", f"cat {{}} > copy; {wait}"], 5)]:
        started.unlink(missing_ok=True)
        env = harness.CLEAN_ENVIRONMENT | documents.env | documents.editor(wait)
        child = subprocess.Popen([harness.VMCRED, "sops", *words], cwd=directory, env=env, stderr=subprocess.PIPE)
        while not started.exists():
            time.sleep(0.01)
        for other in signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE:
            child.send_signal(other)
        child.terminate()
        child.communicate(timeout=30)
        equal(child.returncode, code, f"exit code of {words}")
        documents.untouched()


def test_exec_file_leaves_nothing(directory):
    """exec-file leaves no file, whether its file is read once, twice or never"""
    documents = Documents(directory)
    for words in [
        ["exec-file", "doc.json", "cat {} > copy"],
        ["exec-file", "doc.json", "true {}"],
        ["exec-file", "doc.json", "head -c 1 {} > /dev/null"],
        ["exec-file", "--no-fifo", "doc.json", "cat {} {} > copy"],
    ]:
        expect(documents.sops(*words), 0, "", "")
        documents.untouched()
    expect(documents.sops("exec-file", "doc.json", "echo {}"), 0, None, "")
    result = expect(documents.sops("exec-file", "doc.json", "exit 7"), 7, "", "vmcred: the command exited with code 7\n")
    equal(result.out, "")


def test_exec_file_needs_a_descriptor(directory):
    """with any limit of descriptors, exec-file runs the command or fails: it never leaves the command waiting for its file"""
    documents = Documents(directory)
    plain = expect(documents.sops("exec-file", "doc.json", "cat {}"), 0, None, "").out
    codes = set()
    for limit in range(4, 12):
        result = run("prlimit", f"--nofile={limit}:{limit}", harness.VMCRED_SOPS, "exec-file", "doc.json",
                     "cat {}", cwd=directory, env=documents.env, timeout=60)
        equal(result.out if result.code == 0 else plain, plain, limit)
        codes.add(result.code == 0)
    equal(codes, {True, False})


def test_errors_name_the_file_once(directory):
    """an error about a key names the file once"""
    documents = Documents(directory)
    for words in (["decrypt", "--extract", '["x"]', "doc.json"], ["unset", "doc.json", '["x"]'],
                  ["decrypt", "--output-type", "dotenv", "--extract", '["x"]', "doc.json"]):  # fmt: skip
        result = fails(documents.sops(*words), 1, "doc.json")
        equal(result.err.count("doc.json"), 1, result.err)


def test_updatekeys_of_a_current_file(directory):
    """updatekeys says that a file has its keys already"""
    documents = Documents(directory)
    (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {documents.recipient}\n")
    expect(documents.sops("updatekeys", "doc.json"), 0, "", "vmcred: doc.json: unchanged\n")


def test_exec_env_leaves_no_process(directory):
    """exec-env leaves no process of its own; with --verbose it says that environments are readable"""
    documents = Documents(directory)
    (directory / "flat.json").write_text(json.dumps({"SECRET": CANARY}))
    expect(documents.sops("encrypt", "--age", documents.recipient, "-i", "flat.json"), 0, "", "")
    warning = (
        "vmcred: environment variables are visible to root, to processes of the same user and to all "
        "descendants of the command: prefer exec-file\n"
    )
    expect(documents.sops("exec-env", "flat.json", 'echo "$SECRET"; cat /proc/$$/comm'), 0, f"{CANARY}\nsh\n", "")
    assert warning in expect(documents.sops("exec-env", "--verbose", "flat.json", "true"), 0, "").err
    for key in ("a=b", "a\0b"):
        (directory / "odd.json").write_text(json.dumps({key: "x"}))
        expect(documents.sops("encrypt", "--age", documents.recipient, "-i", "odd.json"), 0, "", "")
        expect(documents.sops("exec-env", "odd.json", "true"), 1, "")


def test_document_needs_a_version(directory):
    """a document is opened only if its metadata have a semantic version or that of sops 1, as in sops"""
    documents = Documents(directory)
    for version, code in (("3.2.0", 0), ("3.13.2-rc.1", 0), ("v3.13.2", 0), ("1.0", 0), ("2.0", 1), ("3.13.2.1", 1), ("03.1.2", 1), ("", 1)):
        documents.path.write_bytes(documents.before.replace(b'"version": "3.13.2"', f'"version": "{version}"'.encode()))
        result = documents.sops("decrypt", "doc.json")
        if code == 0:
            expect(result, 0, PLAIN, "")
        else:
            fails(result, code, "doc.json", f'version "{version}"')
    documents.path.write_bytes(re.sub(rb',\s*"version": "3.13.2"', b"", documents.before))
    error = 'doc.json: invalid version "" in its metadata: set it to that of sops, such as 3.13.2'
    expect(documents.sops("decrypt", "doc.json"), 1, "", f"vmcred: {error}\n")


# A comment in another map than it was in, and one that was changed, as a merge may do it.
COMMENTED = {
    "moved.yaml": ("a: x\nb:\n    # one\n    c: 2\n", r"(b:\n) +(#.*\n)", r"\2\1", "[1]"),
    "changed.yaml": ("a: x\nb:\n    # one\n    c: 2\n", r"#ENC\[AES256_GCM,data:", "#ENC[AES256_GCM,data:AAAA", "b[0]"),
    "cut.yaml": ("a: x\n# one\nb: 2\n", r"#(ENC.{20}).*", r"#\1", "[1]"),
    "changed.env": ("a=x\n# one\nb=2\n", r"#ENC\[AES256_GCM,data:", "#ENC[AES256_GCM,data:AAAA", "[1]"),
    "changed.ini": ("[s]\n; one\na = x\n", r"; ENC\[AES256_GCM,data:", "; ENC[AES256_GCM,data:AAAA", "s[1]"),
}


def test_comment_that_does_not_decrypt_is_kept(directory):
    """a comment that was changed or moved stays encrypted, with a warning, and everything else works"""
    documents = Documents(directory)
    for name, (text, found, replaced, place) in COMMENTED.items():
        path = directory / name
        path.write_text(text)
        expect(documents.sops("encrypt", "--age", documents.recipient, "-i", name), 0, "", "")
        sealed = path.read_text()
        path.write_text(re.sub(found, replaced, sealed))
        assert path.read_text() != sealed, sealed
        warning = f"vmcred: warning: {name}: comments that were changed or moved stay encrypted (1, the first is {place})\n"
        kept = re.search(r"[#;] ?(ENC.*)", path.read_text())[1]
        opened = expect(documents.sops("decrypt", name), 0, None, warning)
        equal(re.sub(r"[#;] ?ENC.*\n", "", opened.out).split(), re.sub(r"[#;] one\n", "", text).split(), f"values of {name}")
        equal(opened.out.count(kept), 1, f"the comment in {opened.out}")
        key = '["s"]["a"]' if name.endswith(".ini") else '["a"]'
        expect(documents.sops("decrypt", "--extract", key, name), 0, "x", warning)
        if name == "cut.yaml":
            continue  # not a ciphertext any more
        expect(documents.sops("set", name, key, '"y"'), 0, "", warning)
        expect(documents.sops("rotate", "-i", name), 0, "", warning)
        equal(path.read_text().count(kept), 1, f"the comment after set and rotate in {name}")
        expect(documents.sops("decrypt", "--extract", key, name), 0, "y", warning)


def test_plaintext_file_is_private(directory):
    """a file with plaintext is readable by its owner only, whatever its mode was before"""
    documents = Documents(directory)
    expect(documents.sops("decrypt", "--output", "plain", "doc.json"), 0, "", "")
    equal(((directory / "plain").stat().st_mode & 0o777, (directory / "plain").read_text()), (0o600, PLAIN))
    (directory / "there").write_text("")
    (directory / "there").chmod(0o640)
    expect(documents.sops("decrypt", "--output", "there", "doc.json"), 0, "", "")
    equal((directory / "there").stat().st_mode & 0o777, 0o600)
    expect(documents.sops("decrypt", "--output", "/dev/null", "doc.json"), 0, "", "")
    expect(documents.sops("decrypt", "--output", "nowhere/x", "doc.json"), 3, "")


def test_many_files_in_one_run(directory):
    """many files are encrypted or get other keys in one run, and failures are reported and counted"""
    documents = Documents(directory)
    names = [f"many-{number}.json" for number in range(40)]
    for name in names:
        (directory / name).write_text(PLAIN)
    (directory / "many-7.json").write_text("nonsense")
    (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {documents.recipient}\n")
    result = documents.sops("encrypt", "-i", *names, "nofile")
    lines = result.err.splitlines()
    equal(lines[-2:], ["vmcred: 41 files: 39 encrypted", "vmcred: 2 of 41 files could not be encrypted"])
    assert len(lines) == 4 and "many-7.json" in lines[0] and lines[1] == "vmcred: nofile does not exist", lines
    expect(result, 1, "")
    equal((directory / "many-7.json").read_text(), "nonsense", "the file that failed")
    names.remove("many-7.json")
    for name in names[:3]:
        equal(documents.plaintext(name)["a"], CANARY)
    other = directory / "other"
    public = expect(vmcred("keygen", "--output", other), 0).out.strip()
    (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {public}\n")
    result = documents.sops("updatekeys", "--yes", *names, "many-7.json")
    expect(result, 1)
    equal(result.err.splitlines()[-2:], ["vmcred: 40 files: 39 updated", "vmcred: 1 of 40 files could not be updated"])
    shown = f"{{name}}: changed keys:\nGroup 1\n+++ {public}\n--- {documents.recipient}\n"
    equal(result.out, "".join(shown.format(name=name) for name in names))
    expect(documents.sops("updatekeys", "--yes", *names), 0, "", "vmcred: 39 files: 0 updated, 39 unchanged\n")
    expect(documents.sops("decrypt", names[0]), 128, "")
    expect(documents.sops("decrypt", names[0], env={"SOPS_AGE_KEY_FILE": str(other)}), 0, PLAIN, "")


def test_updatekeys_asks_before_it_changes_keys(directory):
    """on a terminal, updatekeys asks before it changes keys"""
    documents = Documents(directory)
    other = directory / "other"
    public = expect(vmcred("keygen", "--output", other), 0).out.strip()
    (directory / ".sops.yaml").write_text(f"creation_rules:\n  - age: {documents.recipient},{public}\n")
    code, shown = on_terminal(documents, ["updatekeys", "doc.json"], {}, [(b"(y/n): ", b"x\n"), (b"x\r\nChange the keys? (y/n): ", b"n\n")])
    equal(code, 0, "exit code")
    documents.untouched()
    for plain in {"NO_COLOR": "1"}, {"TERM": "dumb"}:
        code, shown = on_terminal(documents, ["updatekeys", "doc.json"], plain, [(b"(y/n): ", b"n\n")])
        equal((f"+++ {public}" in shown, "\x1b" in shown), (True, False), f"{plain}: {shown}")
    code, shown = on_terminal(documents, ["updatekeys", "doc.json"], {}, [(b"(y/n): ", b"y\n")])
    equal(code, 0, "exit code")
    assert f"\x1b[32m+++ {public}\x1b[0m" in shown, shown
    expect(documents.sops("decrypt", "doc.json", env={"SOPS_AGE_KEY_FILE": str(other)}), 0, PLAIN, "")


def test_exponential_aliases_in_sops_yaml_are_fast(directory):
    """a .sops.yaml with exponential aliases is read or rejected quickly"""
    documents = Documents(directory)
    merges = "\n".join(f"a{n}: &a{n} {{merge: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12))
    keys = "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], z: 1}}" for n in range(1, 14))
    (directory / "plain.json").write_text(PLAIN)
    no_key = "plain.json: no keys to encrypt to, or an empty key group"
    for text, expected in [
        (f"a0: &a0 {{age: [x]}}\n{merges}\ncreation_rules:\n  - key_groups: [*a11]\n", ".sops.yaml:1: more than 10000 groups"),
        (f"a0: &a0 {{z: 1}}\n{keys}\ncreation_rules:\n  - *a13\n", no_key),
        ("creation_rules:\n  - key_groups: [&a {merge: [*a]}]\n", ".sops.yaml:2: groups are merged more than 32 levels deep"),
        ("creation_rules:\n  - &b\n    <<: *b\n", no_key),
        ("creation_rules: " + "[" * 100000, ".sops.yaml:1: not valid YAML: nested more than 10000 levels deep"),
    ]:
        (directory / ".sops.yaml").write_text(text)
        expect(documents.sops("encrypt", "plain.json", timeout=60), 1, "", f"vmcred: {expected}\n")


def test_errors_in_sops_yaml_have_a_line(directory):
    """errors in .sops.yaml have a line"""
    documents = Documents(directory)
    for text, expected in [
        ("creation_rules: x\n", ".sops.yaml:1: creation_rules must be a list"),
        ("creation_rules:\n  - x\n", ".sops.yaml:2: a rule must be a mapping"),
        ("creation_rules:\n  - age: {a: b}\n", ".sops.yaml:2: must be a string or a list of strings"),
        ("creation_rules:\n  - age: x\n    shamir_threshold: y\n", ".sops.yaml:3: must be an integer from 0 to 255"),
        ("creation_rules:\n  - age: x\n    mac_only_encrypted: perhaps\n", '.sops.yaml:3: must be true or false, not "perhaps"'),
        ("creation_rules:\n  - key_groups: x\n", ".sops.yaml:2: must be a list"),
        ("stores: []\n", ".sops.yaml:1: stores must be a mapping"),
        ("%YAML 1.2\n---\n", ".sops.yaml:1: not valid YAML: %YAML version must be 1.1"),
        (
            "creation_rules:\n  - path_regex: yaml$\n",
            ".sops.yaml: no creation rule matches plain.json: add a rule that matches, or a last rule without path_regex",
        ),
        (
            "creation_rules:\n  - encrypted_regex: a\n    encrypted_suffix: b\n",
            ".sops.yaml:2: creation rule: more than one of encrypted_suffix, unencrypted_suffix, encrypted_regex, "
            "unencrypted_regex, encrypted_comment_regex and unencrypted_comment_regex",
        ),
    ]:
        (directory / ".sops.yaml").write_text(text)
        (directory / "plain.json").write_text(PLAIN)
        expect(documents.sops("encrypt", "-i", "plain.json"), 1, "", f"vmcred: {expected}\n")
        equal((directory / "plain.json").read_text(), PLAIN)
    (directory / ".sops.yaml").rename(directory / ".sops.yml")
    expect(
        documents.sops("encrypt", "--age", documents.recipient, "-i", "plain.json"),
        0,
        "",
        "vmcred: warning: ignoring .sops.yml: the file must be called .sops.yaml\n",
    )


harness.main()
