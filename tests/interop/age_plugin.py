# SPDX-License-Identifier: Apache-2.0
"""Plugins of age: our client and the real age with one plugin (age_plugin_test.py), whose keys tell it how to behave."""
import base64
import json
import os
import subprocess
import sys

import bech32
import harness
from harness import equal, need

CRYPT = os.environ.get("VMCRED_CRYPT", "build/tests/interop/crypt")
PLUGIN = harness.SOURCE.resolve() / "tests/interop/age_plugin_test.py"


class Rig:
    """The plugin in a PATH of its own, and keys for it."""

    def __init__(self, directory):
        self.directory = directory
        self.log = directory / "log"
        programs = directory / "bin"
        programs.mkdir()
        harness.write_program(programs / "age-plugin-test", f"#!/bin/sh\nexec {sys.executable} {PLUGIN} \"$@\"\n")
        self.env = harness.CLEAN_ENVIRONMENT | {
            "PATH": f"{programs}:{harness.CLEAN_ENVIRONMENT['PATH']}",
            "AGE_PLUGIN_TEST_LOG": str(self.log),
            "SOPS_AGE_KEY": "AGE-SECRET-KEY-1CANARY",
        }

    def recipient(self, word):
        return bech32.encode("age1test", word.encode())

    def identities(self, *words):
        path = self.directory / "identities"
        path.write_text("".join(bech32.encode("age-plugin-test-", word.encode()).upper() + "\n" for word in words))
        path.chmod(0o600)
        return path

    def run(self, *words, stdin=b"", answers=None, env=None, cwd=None):
        environment = dict(self.env) | (env or {})
        if answers is not None:
            path = self.directory / "answers"
            path.write_text("".join(answer + "\n" for answer in answers))
            environment["CRYPT_ANSWERS"] = str(path)
        done = subprocess.run(
            [str(word) for word in words], input=stdin, env=environment, cwd=cwd, capture_output=True, check=False,
            timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr.decode()

    def encrypt(self, *words, **options):
        code, out, err = self.run(CRYPT, "age-encrypt", *(self.recipient(word) for word in words), stdin=b"hello", **options)
        return code, out, err

    def made(self, *words, **options):
        code, out, err = self.encrypt(*words, **options)
        equal((code, err), (0, ""), f"encrypting to {words}")
        return out

    def decrypt(self, file, *words, **options):
        return self.run(CRYPT, "age-decrypt", self.identities(*words), stdin=file, **options)

    def notes(self):
        """The plugin's new log lines, without the first one."""
        lines = self.log.read_text().splitlines()
        self.log.unlink()
        return [line for line in lines if not line.startswith("{")]


def test_plugin_both_ways(directory):
    """a file encrypted through a plugin by age opens in ours, and the other way round"""
    rig = Rig(directory)
    ours = rig.made("plain")
    equal(rig.run(need("age"), "-d", "-i", rig.identities("plain"), stdin=ours), (0, b"hello", ""), "age")
    theirs = rig.run(need("age"), "-r", rig.recipient("plain"), stdin=b"hello")
    equal((theirs[0], theirs[2]), (0, ""), "age")
    for verb in ("age-decrypt", "age-stream-decrypt"):
        equal(rig.run(CRYPT, verb, rig.identities("plain"), stdin=theirs[1]), (0, b"hello", ""), verb)


def test_one_session_for_all_keys(directory):
    """all keys of a plugin share one session, which requests labels"""
    rig = Rig(directory)
    file = rig.made("one", "two", "three")
    equal(rig.notes(), ["wrap for 3 recipients, 1 keys", "labels True"], "notes")
    for word in ("one", "two", "three"):
        equal(rig.decrypt(file, "other", word), (0, b"hello", ""), word)
        equal(rig.notes(), ["unwrap with 2 identities, 3 stanzas"], "notes")
    equal(rig.decrypt(file, "other")[:2], (3, b""), "a stranger")


def test_plugin_process(directory):
    """a plugin starts in the root directory, with the state machine as argument and no key in its environment"""
    rig = Rig(directory)
    rig.decrypt(rig.made("plain"), "plain")
    starts = [json.loads(line) for line in rig.log.read_text().splitlines() if line.startswith("{")]
    equal(
        starts,
        [
            {"argv": [f"--age-plugin={machine}-v1"], "cwd": "/", "SOPS_AGE_KEY": None}
            for machine in ("recipient", "identity")
        ],
        "starts",
    )


def test_plugin_questions(directory):
    """a plugin's questions reach the user without control characters, in both state machines"""
    rig = Rig(directory)
    asked = "secret: age-plugin-test: PIN of “räd” ?[31m?\npublic: age-plugin-test: name?\n"
    code, file, err = rig.encrypt("ask", answers=["12 34", "ännchen"])
    equal((code, err), (0, asked), "encrypting")
    equal(rig.notes()[2:], ["secret ok:12 34", "public ok:ännchen"], "answers")
    equal(rig.decrypt(file, "ask", answers=["5", "6"]), (0, b"hello", asked), "decrypting")
    equal(rig.notes()[1:], ["secret ok:5", "public ok:6"], "answers")
    asked = "confirm: age-plugin-test: sure? [go on|stop]\nconfirm: age-plugin-test: look [fine|]\n"
    for answer, said in (("go on", "yes"), ("stop", "no")):
        code, _, err = rig.encrypt("confirm", answers=[answer, "fine"])
        equal((code, err), (0, asked), "confirming")
        equal(rig.notes()[2:], [f"confirm ok {said}", "confirm ok yes"], "answers")
    code, _, err = rig.encrypt("message", answers=[])
    equal((code, err), (0, "message: age-plugin-test: touch it? now?\n"), "message")
    equal(rig.notes()[2:], ["message ok"], "answer")


def test_plugin_without_user(directory):
    """without a user or an answer, the plugin gets a failure reply and decides how to continue"""
    rig = Rig(directory)
    for word, expected in (
        ("ask", ["secret fail", "public fail"]),
        ("confirm", ["confirm fail", "confirm fail"]),
        ("message", ["message fail"]),
        ("unknown", ["unknown unsupported"]),
    ):
        file = rig.made(word)
        equal(rig.notes()[2:], expected, word)
        equal(rig.decrypt(file, word), (0, b"hello", ""), word)
        equal(rig.notes()[1:], expected, word)
    rig.encrypt("ask", answers=["only one"])
    equal(rig.notes()[2:], ["secret ok:only one", "public fail"], "no answer left")


ENCRYPTING = "crypt: encrypting with the age plugin test: "
DECRYPTING = "crypt: the age plugin test: "
MISCHIEF = {
    "error": "it reports: the key is in the other drawer",
    "exit": "it exited without an answer: the reader is not plugged in",
    "vanish": "it exited without an answer",
    "garbage": "it sent a malformed stanza",
    "flood": "it sent more than 1048576 bytes at a time",
    "chatter": "it sent more than 10000 stanzas",
    "badconfirm": "malformed confirm command",
}


def test_plugin_failure_when_encrypting(directory):
    """encryption fails with the reason if a plugin fails or misbehaves"""
    rig = Rig(directory)
    expected = MISCHIEF | {
        "twice": "duplicate labels",
        "short": "malformed recipient-stanza",
        "index": "malformed recipient-stanza",
        "nothing": "it returned no stanza",
    }
    for word, reason in expected.items():
        code, out, err = rig.encrypt(word)
        equal((out, err), (b"", f"{ENCRYPTING}{reason}\n"), word)
        equal(code in (1, 3), True, word)


def test_plugin_failure_when_decrypting(directory):
    """other identities are still tried if a plugin fails or misbehaves in decryption"""
    rig = Rig(directory)
    key = directory / "key"
    harness.expect(harness.run(need("age-keygen"), "-o", key))
    public = harness.run(need("age-keygen"), "-y", key).out.strip()
    expected = MISCHIEF | {
        "twice": "malformed file-key",
        "index": "malformed file-key",
        "shortkey": "malformed file-key",
    }
    for word, reason in expected.items():
        # A stanza as the plugin would have made it.
        file = rig.made("plain").replace(b" cGxhaW4\n", b" " + base64.b64encode(word.encode()).rstrip(b"=") + b"\n")
        equal(rig.decrypt(file, word), (3, b"", f"{DECRYPTING}{reason}\n"), word)
    both = rig.run(CRYPT, "age-encrypt", rig.recipient("plain"), public, stdin=b"hello")[1]
    for words in ([rig.identities("error"), key], [key, rig.identities("error")]):
        equal(rig.run(CRYPT, "age-decrypt", *words, stdin=both), (0, b"hello", ""), "another identity")


def test_plugin_exits_early(directory):
    """a plugin that exits before reading its input is an error and does not kill us"""
    rig = Rig(directory)
    broken = harness.write_program(directory / "bin" / "age-plugin-broken", "#!/bin/sh\nexec <&-\nsleep 0.1\necho broken >&2\nexit 1\n")
    # More than a pipe holds, so that it cannot just be left there.
    recipients = [bech32.encode("age1broken", bytes(500)) for _ in range(200)]
    code, out, err = rig.run(CRYPT, "age-encrypt", *recipients, stdin=b"hello")
    expected = "crypt: encrypting with the age plugin broken: it exited without an answer: broken\n"
    equal((code, out, err), (3, b"", expected), "result")


def test_different_labels(directory):
    """recipients with different labels cannot share a file"""
    rig = Rig(directory)
    code, out, err = rig.encrypt("labels")
    equal((code, err), (0, ""), "alone")
    equal(rig.decrypt(out, "labels"), (0, b"hello", ""), "alone")
    key = directory / "key"
    harness.expect(harness.run(need("age-keygen"), "-o", key))
    public = harness.run(need("age-keygen"), "-y", key).out.strip()
    code, out, err = rig.run(CRYPT, "age-encrypt", rig.recipient("labels"), public, stdin=b"hello")
    equal(
        (code, out, err),
        (2, b"", 'crypt: incompatible recipients with the labels "another postquantum" and "": '
         "a file for both is only as strong as the weaker one\n"),
        "together",
    )  # fmt: skip


def test_plugin_search(directory):
    """a plugin is searched only in absolute directories of PATH, and a missing one is named"""
    rig = Rig(directory)
    file = rig.made("plain")
    for path in ("/usr/bin:/bin", "", "bin", f":{directory}/nowhere:."):
        env = {"PATH": path}
        code, out, err = rig.run(os.path.abspath(CRYPT), "age-encrypt", rig.recipient("plain"), env=env, cwd=directory)
        equal((code, out, "age-plugin-test" in err), (3, b"", True), f"encrypting with PATH={path}")
        code, out, err = rig.run(os.path.abspath(CRYPT), "age-decrypt", rig.identities("plain"), stdin=file, env=env, cwd=directory)
        equal((code, out, "age-plugin-test" in err), (3, b"", True), f"decrypting with PATH={path}")


def test_invalid_plugin_names(directory):
    """invalid plugin names are errors"""
    rig = Rig(directory)
    for name in ("a/b", "../x", "a b"):
        recipient = bech32.encode(f"age1{name}", b"x")
        code, _, err = rig.run(CRYPT, "age-encrypt", recipient)
        equal((code, "age public key" in err), (2, True), name)
        path = directory / "identity"
        path.write_text(bech32.encode(f"age-plugin-{name}-", b"x").upper() + "\n")
        path.chmod(0o600)
        code, _, err = rig.run(CRYPT, "age-recipients", path)
        equal((code, str(path) in err), (1, True), name)


def test_plugin_key_description(directory):
    """a plugin's key is described by the plugin's name"""
    rig = Rig(directory)
    equal(rig.run(CRYPT, "age-recipients", rig.identities("x")), (0, b"<key of age-plugin-test>\n", ""), "name")


if __name__ == "__main__":
    harness.main()
