# SPDX-License-Identifier: Apache-2.0
"""`vmcred age`, compared with the real age, and links named age and age-keygen."""
import os
import re
import stat

import harness
from harness import VMCRED, Result, equal, expect, fails, need, run, vmcred
from terminal import at_terminal, run_at_terminal


class Keys:
    def __init__(self, directory):
        self.identity, self.plain, self.file, self.out = (directory / name for name in ("key", "plain", "file", "out"))
        expect(run(need("age-keygen"), "-o", self.identity))
        self.public = run(need("age-keygen"), "-y", self.identity).out.strip()
        self.plain.write_bytes(os.urandom(200000))


def link(directory, name):
    path = directory / name
    path.symlink_to(VMCRED)
    return path


def test_age_and_vmcred_decrypt_each_others_files(directory):
    """age decrypts files that were encrypted to keys and key files, and the other way round"""
    keys, other = Keys(directory), directory / "other"
    expect(run(need("age-keygen"), "-o", other))
    team = directory / "team"
    team.write_text(f"# the team\n{run(need('age-keygen'), '-y', other).out}")
    for form in ([], ["--armor"], ["-a"]):
        expect(vmcred("age", "-r", keys.public, "--recipients-file", team, *form, "-o", keys.file, keys.plain), out="", err="")
        equal(stat.S_IMODE(keys.file.stat().st_mode), 0o644, "mode")
        for identity in (keys.identity, other):
            expect(run(need("age"), "-d", "-i", identity, "-o", keys.out, keys.file))
            equal(keys.out.read_bytes() == keys.plain.read_bytes(), True, "plaintext")
    expect(run(need("age"), "-r", keys.public, "-o", keys.file, keys.plain))
    keys.out.unlink()
    expect(vmcred("age", "-d", "-i", other, "-i", keys.identity, "-o", keys.out, keys.file), out="", err="")
    equal(keys.out.read_bytes() == keys.plain.read_bytes(), True, "plaintext")
    equal(stat.S_IMODE(keys.out.stat().st_mode), 0o600, "mode")


def test_each_form_of_the_arguments(directory):
    """options have one dash or two, values after '=' or a space, in any order; "-" is a standard stream"""
    keys, age = Keys(directory), link(directory, "age")
    keys.plain.write_text("hello")
    expect(vmcred("age", "-encrypt", f"-recipient={keys.public}", "--output", keys.file, "--", keys.plain), out="", err="")
    for words, stdin in (
        (["-d", "-i", keys.identity, keys.file], b""),
        (["--d", f"--i={keys.identity}", "--", keys.file], b""),
        (["-decrypt", "-identity", keys.identity, "-o=-", "-"], keys.file.read_bytes()),
        ([keys.file, "--decrypt", "--identity", "-"], keys.identity.read_bytes()),
        (["-d", "-i", keys.identity, "-o", ""], keys.file.read_bytes()),
    ):
        expect(vmcred("age", *words, stdin=stdin), out="hello", err="")
        expect(run(age, *words, stdin=stdin), out="hello", err="")
    expect(vmcred("age", "-R", "-", "-o", keys.file, keys.plain, stdin=f"# me\n{keys.public}\n"), out="", err="")
    expect(vmcred("age", "-d", "-i", keys.identity, keys.file), out="hello", err="")
    expect(run(age, "--version"), out="v1.3.1 (vmcred 0.1.0)\n", err="")


def test_encrypt_to_identities(directory):
    """--encrypt with --identity encrypts to the public keys of identities of all types"""
    keys, ssh = Keys(directory), directory / "ssh"
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "secret", "-f", ssh))
    locked = directory / "locked"
    locked.write_bytes(run_at_terminal(VMCRED, "age", "-p", keys.identity, answers=["secret", "secret"]).out)
    locked.chmod(0o600)
    for identity, answers in ((keys.identity, []), (ssh, []), (locked, ["secret"])):
        done = run_at_terminal(VMCRED, "age", "-e", "-i", identity, stdin=b"hello", answers=answers)
        equal((done.code, done.err), (0, ""), str(identity))
        opened = run_at_terminal(need("age"), "-d", "-i", identity, stdin=done.out, answers=["secret"])
        equal((opened.code, opened.out, opened.err), (0, b"hello", ""), str(identity))


def test_failure_leaves_the_output_file_unchanged(directory):
    """after a failure the old output file is unchanged and no other file is left"""
    keys = Keys(directory)
    expect(vmcred("age", "-r", keys.public, "-o", keys.file, keys.plain))
    damaged = bytearray(keys.file.read_bytes())
    damaged[-1] ^= 1
    keys.file.write_bytes(damaged)
    keys.out.write_text("precious")
    before = sorted(directory.iterdir())
    fails(vmcred("age", "-d", "-i", keys.identity, "-o", keys.out, keys.file), 4, "decrypting", "modified")
    equal((keys.out.read_text(), sorted(directory.iterdir())), ("precious", before), "directory")


def test_output_is_not_an_input(directory):
    """the output file is not the input, an identity file or a recipients file, by no path, link or redirection"""
    keys, place = Keys(directory), directory / "place"
    place.mkdir()
    (directory / "soft").symlink_to(keys.plain)
    os.link(keys.plain, directory / "hard")
    expect(vmcred("age", "-r", keys.public, "-o", keys.file, keys.plain))
    team = directory / "team"
    team.write_text(keys.public)
    before = {path: path.read_bytes() for path in (keys.plain, keys.file, keys.identity, team)}
    for path in (keys.plain, place / ".." / "plain", directory / "soft", directory / "hard"):
        fails(vmcred("age", "-r", keys.public, "-o", path, keys.plain), 2, "same", path)
        fails(run("sh", "-c", f"exec {VMCRED} age -r {keys.public} -o {path} <{keys.plain}"), 2, "same", path)
    fails(vmcred("age", "-d", "-i", keys.identity, "-o", keys.identity, keys.file), 2, "same", keys.identity)
    fails(vmcred("age", "-R", team, "-o", team, keys.plain), 2, "same", team)
    equal({path: path.read_bytes() for path in before}, before, "the files")
    expect(vmcred("age", "-r", keys.public, "-o", "/dev/null", "/dev/null"), out="", err="")


def test_duplicates_are_reported(directory):
    """a recipient, recipients file or identity file that is given several times is one warning"""
    keys, team = Keys(directory), directory / "team"
    team.write_text(keys.public)
    words = ["-r", keys.public] * 1000 + ["-R", team] * 2
    warning = "vmcred: warning: duplicate"
    expect(
        vmcred("age", *words, "-o", keys.file, keys.plain), out="",
        err=f'{warning} recipients file "{team}"\n{warning} recipient "{keys.public}"\n',
    )  # fmt: skip
    words = ["-i", keys.identity] * 2
    expect(vmcred("age", "-d", *words, "-o", keys.out, keys.file), out="", err=f'{warning} identity file "{keys.identity}"\n')


def test_unsupported_ssh_key_is_a_warning(directory):
    """in a recipients file, an SSH key of a type that age does not support is a warning"""
    keys, ssh = Keys(directory), directory / "ecdsa"
    expect(run(need("ssh-keygen"), "-q", "-t", "ecdsa", "-N", "", "-f", ssh))
    team = directory / "authorized_keys"
    team.write_text(f"{keys.public}\n{ssh.with_suffix('.pub').read_text()}")
    result = vmcred("age", "-R", team, "-o", keys.file, keys.plain)
    expect(result, out="", err=f"vmcred: warning: {team}: line 2: ignoring unsupported SSH key of type ecdsa-sha2-nistp256\n")
    expect(run(need("age"), "-d", "-i", keys.identity, "-o", keys.out, keys.file), 0)
    team.write_text(f"{keys.public}\nssh-rsa AAAA hunter2\n")
    assert "hunter2" not in fails(vmcred("age", "-R", team, keys.plain), 2, team, "line 2").err


def test_comment_of_an_ssh_key(directory):
    """the comment of an SSH key may be any text, after a space or a tab, in arguments, in files and in SOPS documents"""
    keys, ssh, team = Keys(directory), directory / "ssh", directory / "authorized_keys"
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", ssh))
    public = " ".join(ssh.with_suffix(".pub").read_text().split())
    for line in (f"{public} Zoë at\thome", f"{public}\tZoë", public.replace(" ", "\t")):
        team.write_text(f"{line}\n")
        for words in (["-R", team], ["-r", line]):
            expect(vmcred("age", *words, "-o", keys.file, keys.plain), out="", err="")
            expect(run(need("age"), "-d", "-i", ssh, "-o", keys.out, keys.file))
        document = expect(vmcred("sops", "encrypt", "--age", line, "--filename-override", "x", stdin="text"), 0, None, "").out
        expect(vmcred("sops", "decrypt", "--filename-override", "x", stdin=document, env={"SOPS_AGE_SSH_PRIVATE_KEY_FILE": str(ssh)}), 0, "text", "")


def test_passphrase(directory):
    """a passphrase is asked for twice, or generated and shown on the terminal only"""
    for answers, code in ((["correct horse", "correct horse"], 0), (["correct horse", "wrong"], 1)):
        done = run_at_terminal(VMCRED, "age", "--passphrase", stdin=b"hello", answers=answers)
        equal(done.code, code, "exit code")
        if code:
            fails(Result(done.code, done.out.decode(), done.err), 1, "encrypting", "match")
            continue
        for age in (need("age"), link(directory, "age")):
            opened = run_at_terminal(age, "-d", stdin=done.out, answers=answers[:1])
            equal((opened.code, opened.out, opened.err), (0, b"hello", ""), str(age))
    done, shown = at_terminal(VMCRED, "age", "-p", stdin=b"hello", typed=b"\n")
    made = re.search(rb"passphrase ((?:[a-z2-7]{6}-){3}[a-z2-7]{6})\r\n", shown)
    assert made, shown
    equal((done.code, done.err), (0, ""), "result")
    opened = run_at_terminal(need("age"), "-d", stdin=done.out, answers=[made[1].decode()])
    equal((opened.code, opened.out), (0, b"hello"), "plaintext")


def test_terminal_gets_no_binary_data(directory):
    """a terminal gets neither a binary file nor plaintext with control characters, unless they are forced"""
    keys = Keys(directory)
    for content, is_text in ((b"hello\n", True), ("naïve\tcafé\r\n".encode(), True), (b"\x1b[31m", False), (b"\xc2\x9b31m", False), (b"\xff", False)):
        keys.plain.write_bytes(content)
        expect(vmcred("age", "-r", keys.public, "-o", keys.file, keys.plain))
        words = [VMCRED, "age", "-d", "-i", keys.identity, keys.file]
        done, shown = at_terminal(*words, out="terminal")
        equal((done.code, shown), (0, content.replace(b"\n", b"\r\n")) if is_text else (2, b""), f"{content}")
        done, shown = at_terminal(*words, "-o", "-", out="terminal")
        equal((done.code, shown), (0, content.replace(b"\n", b"\r\n")), f"{content}, forced")
    words = [VMCRED, "age", "-r", keys.public, keys.plain]
    done, shown = at_terminal(*words, out="terminal")
    equal((shown, done.err), (
        b"", "vmcred: encrypting: refusing to write binary data to a terminal: use --armor, or force it with --output -\n",
    ))  # fmt: skip
    equal(at_terminal(*words, "-o", "-", out="terminal")[1][:21], b"age-encryption.org/v1", "forced")
    keys.plain.write_text("hello")
    done, shown = at_terminal(*words, "--armor", out="terminal")
    expect(vmcred("age", "-d", "-i", keys.identity, stdin=shown), 0, "hello", "")


def test_typed_text_is_read_before_anything_is_written(directory):
    """text that is typed or pasted is read to its end before the result appears; an armored file ends itself"""
    keys = Keys(directory)
    done, shown = at_terminal(VMCRED, "age", "-a", "-r", keys.public, stdin=None, typed=b"one\ntwo\n\4", out="terminal")
    typed, _, armored = shown.replace(b"\r\n", b"\n").partition(b"-----BEGIN")
    equal((done.code, typed), (0, b"one\ntwo\n"), "what was typed")
    armored = b"-----BEGIN" + armored
    done, shown = at_terminal(VMCRED, "age", "-d", "-i", keys.identity, stdin=None, typed=armored)
    equal((done.code, done.out, done.err), (0, b"one\ntwo\n", ""), "what was pasted")


def test_wrong_arguments_are_refused(directory):
    """wrong arguments and options are refused"""
    keys = Keys(directory)
    age, see = "vmcred: age: ", ": see `vmcred age --help`"
    identity = " cannot be combined with --decrypt: private keys are for --identity"
    for words, code, error in (
        ([], 2, f"{age}no recipients: pass --recipient, --recipients-file or --passphrase; see `vmcred age --help`"),
        (["-r", "x", "a", "b"], 2, f"vmcred: too many arguments: expected [INPUT]{see}"),
        (["-nope=secret"], 2, f"vmcred: unknown option --nope{see}"),
        (["--recipent=x"], 2, "vmcred: unknown option --recipent: did you mean --recipient?"),
        (["-armor=x"], 2, f"vmcred: option --armor takes no argument{see}"),
        (["-r"], 2, f"vmcred: option -r requires an argument{see}"),
        (["-i", "x"], 2, f"{age}--identity and -j encrypt only with an explicit --encrypt: pass --decrypt to decrypt"),
        (["-p", "-r", "x"], 2, f"{age}--passphrase cannot be combined with --recipient"),
        (["-p", "-R", "x"], 2, f"{age}--passphrase cannot be combined with --recipients-file"),
        (["-e", "-p", "-j", "x"], 2, f"{age}--passphrase cannot be combined with --identity and -j"),
        (["-d", "-e"], 2, f"{age}--encrypt cannot be combined with --decrypt"),
        (["-d", "-a"], 2, f"{age}--armor cannot be combined with --decrypt: armor is detected"),
        (["-d", "-p"], 2, f"{age}--passphrase cannot be combined with --decrypt: a passphrase is asked for when needed"),
        (["-d", "-r", "x"], 2, f"{age}--recipient{identity}"),
        (["-d", "-R", "x"], 2, f"{age}--recipients-file{identity}"),
        (["-R", "-"], 2, f"{age}standard input is used for multiple purposes"),
        (["-d", "-i", "-", "-i", "-", "x"], 2, f"{age}standard input is used for multiple purposes"),
        (["-r", "hunter2"], 2, "vmcred: encrypting: a recipient is not an age public key (age1…)"),
        (["-e", "-j", "a/b"], 1, "vmcred: encrypting: -j: invalid plugin name"),
        (["-e", "-j", "AGE-PLUGIN-A-1QQ"], 2, "vmcred: encrypting: -j: secret key given instead of a plugin's name"),
        (["-R", keys.identity], 2, f"vmcred: encrypting: {keys.identity}: line 3 is not an age public key"),
        (["-d", directory / "no"], 3, f"vmcred: decrypting: opening {directory}/no: No such file or directory"),
        (["-d", "/dev/null"], 1, "vmcred: decrypting: not an age file: it is empty"),
    ):
        expect(vmcred("age", *words), code=code, out="", err=f"{error}\n")


def test_secret_key_as_an_argument_is_not_quoted(directory):
    """a secret key where another argument is expected is an error that does not quote it"""
    keys = Keys(directory)
    secret = keys.identity.read_text().split()[-1]
    for words in (["age", "-r", secret, "-r", secret], ["age", "-d", "-i", secret], ["age", "-e", "-j", secret]):
        assert secret[15:] not in fails(vmcred(*words, cwd=directory), 2).err, words


def test_age_keygen(directory):
    """a link named age-keygen generates identities and prints their public keys as age-keygen does"""
    keygen, key, public = link(directory, "age-keygen"), directory / "key", directory / "public"
    result = expect(run(keygen, "-o", key), out="")
    text = key.read_text()
    match = re.fullmatch(r"# created: 2\S+\n# public key: (age1[0-9a-z]{58})\nAGE-SECRET-KEY-1[0-9A-Z]{58}\n", text)
    assert match, "the form of the identity file"
    equal((result.err, stat.S_IMODE(key.stat().st_mode)), (f"Public key: {match[1]}\n", 0o600))
    expect(run(need("age-keygen"), "-y", key), out=f"{match[1]}\n", err="")
    expect(run(keygen, "-y", key), out=f"{match[1]}\n", err="")
    expect(run(keygen, "-y", "-output", public, stdin=text), out="", err="")
    equal(public.read_text(), f"{match[1]}\n")
    result = expect(run(keygen))
    expect(run(keygen, "-y", stdin=result.out), out=result.err.removeprefix("Public key: "), err="")
    warning = "vmcred: warning: writing a secret key to a world-readable file\n"
    assert run("sh", "-c", f"umask 022; exec {keygen} >{directory}/open").err.startswith(warning)
    assert run("sh", "-c", f"umask 022; exec {VMCRED} keygen >{directory}/open").err.startswith(warning)
    for words, code, names in (
        (["-o", key], 1, [key, "exists"]),
        (["-y", "-o", public, key], 1, [public, "exists"]),
        (["x"], 2, ["-y"]),
        (["-y", "-pq"], 2, ["-pq", "-y"]),
        (["-y", public], 1, [public, "line 1"]),
        (["-y", "/dev/null"], 1, ["/dev/null"]),
    ):
        fails(run(keygen, *words), code, *names)
    equal(key.read_text() == text, True, "the file is unchanged")


def test_post_quantum_identity(directory):
    """age-keygen -pq writes a whole identity file, or names the feature that libcrypto lacks"""
    keygen, key = link(directory, "age-keygen"), directory / "key"
    result = run(keygen, "-pq", "-o", key)
    if result.code != 0:
        fails(result, 3, "ML-KEM-768", "OpenSSL 3.5")
        equal(key.exists(), False, "the file exists")
        return
    public = result.err.removeprefix("Public key: ")
    assert re.fullmatch(r"# created: 2\S+\n# public key: age1pq1[0-9a-z]{1952}\nAGE-SECRET-KEY-PQ-1[0-9A-Z]{58}\n", key.read_text())
    assert f"# public key: {public}" in key.read_text()
    expect(run(keygen, "-y", key), out=public, err="")
    file = expect(vmcred("age", "-a", "-r", public.strip(), stdin="hello"), err="").out
    expect(vmcred("age", "-d", "-i", key, stdin=file), out="hello", err="")
    fails(vmcred("age", "-r", public.strip(), "-r", run(keygen).err.split()[-1]), 2, "incompatible")


if __name__ == "__main__":
    harness.main()
