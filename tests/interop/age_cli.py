# SPDX-License-Identifier: Apache-2.0
"""A link named age and the real age, side by side: the same command lines, and each other's files."""
import os
import random
import shutil
import subprocess

import harness
from harness import equal, expect, need, run
from newer_age import AGE, need_newer_age, programs_make
from terminal import run_at_terminal

SIZES = [0, 1, 65535, 65536, 65537, 131072, 300000]


class Rig:
    """Both programs, keys of all types, and a file to encrypt."""

    def __init__(self, directory):
        need_newer_age()
        self.directory, programs = directory, programs_make(directory / "bin")
        self.real, self.ours = AGE / "age", programs / "age"
        self.env = {"PATH": f"{programs}:{os.environ['PATH']}"}
        for name in ("key", "other"):
            expect(run(AGE / "age-keygen", "-o", directory / name))
            (directory / f"{name}.pub").write_text(run(AGE / "age-keygen", "-y", directory / name).out)
        self.public = (directory / "key.pub").read_text().strip()
        for kind, bits in (("ed25519", []), ("rsa", ["-b", "2048"])):
            expect(run(need("ssh-keygen"), "-q", "-t", kind, *bits, "-N", "", "-f", directory / kind))
        (directory / "plugin").write_text("AGE-PLUGIN-TEST-10Q32NLXM\n")
        (directory / "plugin.pub").write_text("age1test10qdmzv9q\n")
        (directory / "plugin").chmod(0o600)
        (directory / "plain").write_bytes(random.Random(1).randbytes(200000))
        self.pipe(self.real, "-r", self.public, "-o", "file", "plain")

    def run(self, program, *words, stdin=b"", cwd=None):
        return subprocess.run(
            [program, *words], input=stdin, env=harness.CLEAN_ENVIRONMENT | self.env, cwd=cwd or self.directory,
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip

    def pipe(self, program, *words, stdin=b""):
        """Runs a filter and returns its output."""
        done = self.run(program, *words, stdin=stdin)
        equal((done.returncode, done.stderr), (0, b""), f"{program.parent.name} {words}")
        return done.stdout


def test_each_recipient_type_and_size(directory):
    """each program decrypts the other's files: all key types, armored or not, of sizes around those of chunks"""
    rig = Rig(directory)
    for name in ("key", "ed25519", "rsa", "plugin"):
        for size in SIZES:
            plaintext = random.Random(size).randbytes(size)
            for words in (["-R", f"{name}.pub"], ["-a", "-e", "-i", name]):
                for one, other in ((rig.ours, rig.real), (rig.real, rig.ours)):
                    file = rig.pipe(one, *words, stdin=plaintext)
                    opened = rig.pipe(other, "-d", "-i", "other", "-i", name, stdin=file)
                    assert opened == plaintext, (name, size, words, one)


def test_passphrases(directory):
    """each program decrypts the other's files for a passphrase, of any size and armored or not"""
    rig = Rig(directory)
    for size, words in ((0, []), (65536, ["-a"]), (65537, [])):
        plaintext = random.Random(size).randbytes(size)
        for one, other in ((rig.ours, rig.real), (rig.real, rig.ours)):
            file = run_at_terminal(one, "-p", *words, stdin=plaintext, answers=["päss", "päss"])
            equal((file.code, file.err), (0, ""))
            opened = run_at_terminal(other, "-d", stdin=file.out, answers=["päss"])
            equal((opened.code, opened.err, opened.out == plaintext), (0, "", True), f"{size} bytes of {one}")


def result_of(rig, program, words):
    """Runs the program in a copy of the rig's directory. Returns whether it succeeds and reports something, its output,
    and the files afterwards."""
    place = rig.directory / "place"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for path in rig.directory.iterdir():
        if path.is_file():
            shutil.copy(path, place)
    is_decryption = words[:1] in (["-d"], ["-decrypt"], ["--decrypt"])
    stdin = (place / "key").read_bytes() if is_decryption and "-" in words else b"hello"
    done = rig.run(program, *words, stdin=stdin, cwd=place)
    files = {path.name: path.read_bytes() for path in place.iterdir()}
    if is_decryption:
        return (done.returncode == 0, done.stderr != b""), done.stdout, files
    # The rest of an encrypted file is random.
    return (done.returncode == 0, done.stderr != b""), done.stdout[:20], files | ({"out": b"any"} if "out" in files else {})


def test_same_command_lines(directory):
    """a command line succeeds or fails as with age, with the same standard output and files; a failure may output less"""
    rig = Rig(directory)
    armored = rig.pipe(rig.real, "-a", "-r", rig.public, "plain")
    whole = (directory / "file").read_bytes()
    (directory / "armored").write_bytes(armored)
    (directory / "spaced").write_bytes(b"\n \t\r\n" + armored + b"\n  \n")
    (directory / "crlf").write_bytes(armored.replace(b"\n", b"\r\n"))
    (directory / "garbage").write_bytes(armored + b"x")
    (directory / "unterminated").write_bytes(armored[:-20])
    (directory / "cut").write_bytes(whole[:-1])
    (directory / "long").write_bytes(whole + b"x")
    (directory / "mac").write_bytes(whole.replace(b"\n--- ", b"\n--- A", 1))
    (directory / "empty").write_bytes(b"")
    (directory / "comments").write_text("# nothing\n\n")
    (directory / "keys").write_text(f"# me\r\n\r\n{rig.public}\r\n")
    (directory / "team").write_bytes((directory / "key.pub").read_bytes() + b"\n#\n" + (directory / "rsa.pub").read_bytes())
    to, back = ["-r", rig.public], ["-d", "-i", "key"]
    for words in [
        [], ["-d"], ["-e"], ["-a"], ["-x"], ["--nope"], ["-r"], ["-r", ""], ["-r", "age1"], ["-r", "AGE-SECRET-KEY-1"], ["-r", rig.public.upper()],
        ["-r", "github:me"], ["-r", rig.public + " "], ["-r", rig.public[:-1]], ["-r", "ssh-ed25519 AAAA"], ["-R", "no"],
        ["-R", "empty"], ["-R", "comments"], ["-R", "key"], ["-R", "keys"], ["-R", "team"], ["-R", "-"], ["-R", "-", "plain"], ["-R", "."],
        ["-i", "key"], ["-e", "-i", "key"], ["-e", "-i", "key.pub"], ["-e", "-i", "no"], ["-e", "-i", "empty"], ["-e", "-j", "test"],
        ["-e", "-j", "nope"], ["-e", "-j", ""], ["-e", "-j", "../x"], ["-p", *to], ["-p", "-R", "team"], ["-p", "-e", "-i", "key"],
        ["-d", *to], ["-d", "-R", "team"], ["-d", "-a", "file"], ["-d", "-p", "file"], ["-d", "-e", "file"], ["-d", "file"],
        [*to], [*to, "plain"], [*to, "-"], [*to, ""], [*to, "no"], [*to, "."], [*to, "plain", "plain"], [*to, "--", "plain"], ["-a", *to, "plain"],
        [*to, "-o", "plain", "plain"], [*to, "-o", "./plain", "plain"], [*to, "-o", "/dev/null", "plain"], [*to, "-o", "no/out", "plain"],
        [*to, "-o", ".", "plain"], [*to, "-o", "-", "plain"], [*to, "-o", "", "plain"], [*to, "-o"], [*to, "--output=out", "plain"],
        [*to, "-recipients-file", "team", "-armor", "-output", "out", "plain"], [*to, *to, "plain"],
        [*back, "file"], [*back, "-o", "out", "file"], [*back, "-o", "key", "file"], [*back, "-o", "file", "file"], [*back, "no"], [*back, "."],
        [*back], [*back, "armored"], [*back, "spaced"], [*back, "crlf"], [*back, "garbage"], [*back, "unterminated"],
        [*back, "cut"], [*back, "long"], [*back, "mac"], [*back, "empty"],
        [*back, "plain"], ["-d", "-i", "other", "file"], ["-d", "-i", "other", "-i", "key", "file"], ["-d", "-i", "no", "file"],
        ["-d", "-i", "key.pub", "file"], ["-d", "-i", "comments", "file"], ["-d", "-i", ".", "file"], ["-d", "-i", "-", "file"], ["-d", "-i", "-"],
        ["-d", "-i", "ed25519", "-i", "plugin", "-j", "test", "-i", "key", "file"], ["-d", "-j", "test", "file"], ["-d", "-j", "nope", "-i", "key", "file"],
        ["--decrypt", "--identity=key", "file"], ["-decrypt", "-identity", "key", "-o=out", "file"],
    ]:  # fmt: skip
        status, output, files = result_of(rig, rig.real, words)
        our_status, our_output, our_files = result_of(rig, rig.ours, words)
        equal((our_status, our_files == files), (status, True), f"{words}: success, messages, same files")
        if not status[0] and output.startswith(our_output):
            continue
        equal(our_output == output, True, f"{words}: same output")


def test_failed_decryption_leaves_no_plaintext(directory):
    """where a file is damaged after its first chunks, age leaves the genuine part, and we leave the old file"""
    rig = Rig(directory)
    (directory / "cut").write_bytes((directory / "file").read_bytes()[:-1])
    for program, is_partial in ((rig.real, True), (rig.ours, False)):
        (directory / "out").write_text("precious")
        equal(rig.run(program, "-d", "-i", "key", "-o", "out", "cut").returncode != 0, True, "failure")
        left = (directory / "out").read_bytes()
        equal(left, (directory / "plain").read_bytes()[:196608] if is_partial else b"precious", "the output file")


if __name__ == "__main__":
    harness.main()
