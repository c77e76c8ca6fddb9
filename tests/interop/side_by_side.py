# SPDX-License-Identifier: Apache-2.0
"""Runs the same command line with the real sops and with vmcred, each in its own copy of a tree, and compares output, exit
code and all files, with random values and times masked."""
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import harness
from harness import equal, expect, need, run

MASKS = [
    (re.compile(r"ENC\[AES256_GCM,data:[^\]]*?,type:([a-z]+)\]"), r"ENC[\1]"),
    (re.compile(r"-----BEGIN (AGE ENCRYPTED FILE|PGP MESSAGE)-----.*?-----END \1-----", re.S), r"<\1>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
]

PLAIN = {
    "plain.yaml": "# a comment\na: one\nb:\n    - 1\n    - two\nc_unencrypted: open\nd:\n    e: true\n    f: null\n    g: 1.5\n",
    "plain.json": '{\n\t"a": "one",\n\t"b": [\n\t\t1,\n\t\t"two"\n\t],\n\t"c_unencrypted": "open",\n\t"d": {\n\t\t"e": true,\n\t\t"f": null\n\t}\n}\n',
    "plain.env": "# a comment\na=one\nb=two words\nc_unencrypted=open\n",
    "plain.ini": "[section]\na = one\nb = two\n",
    "plain.bin": "any\x00bytes\x01\n",
    "flat.yaml": "a: one\nb: 2\nc: true\nd: 1.5\ne: 'two words'\n",
}


def mask(data):
    text = data.decode("utf-8", "surrogateescape")
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


def tree_of(directory):
    """Returns the masked content and mode of every file."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(directory))] = ("link", os.readlink(path))
        elif path.is_file():
            found[str(path.relative_to(directory))] = (mask(path.read_bytes()), oct(path.stat().st_mode & 0o777))
    return found


class Peers:
    """A tree with an identity and documents by the real sops. Each comparison gets two copies of it."""

    def __init__(self, directory):
        self.directory = directory
        self.sops = need("sops")
        self.tree = directory / "tree"
        self.tree.mkdir()
        (directory / "bin").mkdir()
        self.ours = directory / "bin" / "sops"
        self.ours.symlink_to(Path(harness.VMCRED_SOPS).absolute())
        self.home = directory / "home"
        self.home.mkdir()
        self.key, self.recipient = self.keygen("key")
        self.other_key, self.other = self.keygen("other")
        self.environment = {"HOME": str(self.home), "SOPS_AGE_KEY_FILE": str(self.key), "SOPS_DISABLE_VERSION_CHECK": "1"}
        for name, content in PLAIN.items():
            (self.tree / name).write_text(content)
            self.encrypt(name, name.replace("plain", "enc") if "plain" in name else f"enc-{name}")

    def keygen(self, name):
        path = self.directory / name
        expect(run(need("age-keygen"), "-o", path))
        return path, run(need("age-keygen"), "-y", path).out.strip()

    def encrypt(self, name, target, *flags):
        words = flags or ("--age", self.recipient)
        done = run(self.sops, "encrypt", *words, "--output", target, name, cwd=self.tree, env=self.environment)
        expect(done, 0, None, "")

    def one(self, program, words, env, stdin, prepare, cwd):
        """Runs a program in a fresh copy; returns (exit code, masked stdout, tree), stderr and the copy."""
        place = Path(tempfile.mkdtemp(dir=self.directory)) / "tree"
        shutil.copytree(self.tree, place, symlinks=True)
        if prepare:
            prepare(place)
        done = subprocess.run(
            [str(program), *(str(word) for word in words)],
            cwd=place / cwd,
            env=harness.CLEAN_ENVIRONMENT | self.environment | env,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
        result = done.returncode, mask(done.stdout), tree_of(place)
        return result, done.stderr.decode("utf-8", "replace"), place

    def same(self, *words, env=None, stdin=b"", prepare=None, cwd=".", stdout=True, files=True, code=None):
        """Compares both programs; returns our stderr, our copy and the copy of sops."""
        theirs, their_words, their_place = self.one(self.sops, words, env or {}, stdin, prepare, cwd)
        ours, our_words, place = self.one(self.ours, words, env or {}, stdin, prepare, cwd)
        line = " ".join(str(word) for word in words)
        said = f"{line}\n  sops: {their_words.strip()!r}\n  ours: {our_words.strip()!r}\n "
        equal(ours[0], theirs[0], f"exit code of {said}")
        if code is not None:
            equal(ours[0], code, f"exit code of {said}")
        if stdout:
            equal(ours[1], theirs[1], f"stdout of {said}")
        if files:
            names = sorted(name for name in {*ours[2], *theirs[2]} if ours[2].get(name) != theirs[2].get(name))
            for name in names:
                equal(ours[2].get(name), theirs[2].get(name), f"{name} after {said}")
        return our_words, place, their_place

    def decrypt(self, path, key=None):
        """Decrypts a file with the real sops."""
        done = run(self.sops, "decrypt", path, env=self.environment | ({"SOPS_AGE_KEY_FILE": str(key)} if key else {}))
        return expect(done, 0, None, "").out

    def decrypt_as(self, path, kind):
        """Decrypts a file of a given type with the real sops."""
        kind = {"env": "dotenv", "bin": "binary"}.get(kind, kind)
        done = run(self.sops, "decrypt", "--input-type", kind, "--output-type", kind, path, env=self.environment)
        return expect(done, 0, None, "").out
