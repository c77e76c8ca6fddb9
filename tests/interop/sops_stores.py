# SPDX-License-Identifier: Apache-2.0
"""Every store against the real sops, with random documents: a row of STORES says how to make one.

VMCRED_SEED=N runs the documents of that seed alone, VMCRED_TREES=N so many of each kind (25, in batches of as many
values as a document of everyday size has, since every start of sops takes its time).
"""
import difflib
import json
import os
import random
import subprocess
from dataclasses import dataclass, field
from typing import Callable

import harness
import sops_yaml_documents
from harness import equal, expect, need, run, test

DOCUMENT = os.environ.get("VMCRED_DOCUMENT", "build/tests/interop/document")
TREES = int(os.environ.get("VMCRED_TREES", "25"))
SEED = os.environ.get("VMCRED_SEED")

WORDS = ["", "a", "key", "über", "日本", "𝄞", "tab\there", 'quote"', "back\\slash", "<&>", "\u2028", "new\nline", "\x01", "/", "\x7f",
         "#", ": ", "- ", "true", "null", "12", "1.5", "'", " end ", "%", "@", "`", "{", "[", "=", "ENC[", "~", "!x", "&y", "*z", "2001-01-01"]  # fmt: skip
NUMBERS = [0, 1, -1, 7, 10**6, -(2**63), 2**63 - 1, 2**63, 2**64, 0.5, -2.25, 1e21, 1e20, 1e-7, 1e-6, 123456.789, 5e-324,
           1e300, 2.0, 0.1, 1 / 3]  # fmt: skip
SUFFIXES = ["", "", "", "", "_unencrypted", "_secret"]

# The rule of a document, and the same for the test program.
RULES = [
    ([], []),
    (["--unencrypted-suffix", "_unencrypted"], ["unencrypted_suffix=_unencrypted"]),
    (["--encrypted-suffix", "_secret"], ["encrypted_suffix=_secret"]),
    (["--encrypted-regex", "^.*[13579](_secret)?$"], ["encrypted_regex=^.*[13579](_secret)?$"]),
    (["--unencrypted-regex", "(?i)KEY|[[:digit:]]{2}|^\\pZ?$".replace("\\pZ?", "x?")], ["unencrypted_regex=(?i)KEY|[[:digit:]]{2}|^x?$"]),
    (["--mac-only-encrypted"], ["mac_only_encrypted"]),
    (["--mac-only-encrypted", "--encrypted-suffix", "_secret"], ["mac_only_encrypted", "encrypted_suffix=_secret"]),
    (["--mac-only-encrypted", "--encrypted-regex", "a|1"], ["mac_only_encrypted", "encrypted_regex=a|1"]),
]  # fmt: skip
COMMENT_RULES = [
    (["--encrypted-comment-regex", "secret"], ["encrypted_comment_regex=secret"]),
    (["--unencrypted-comment-regex", "secret"], ["unencrypted_comment_regex=secret"]),
    (["--mac-only-encrypted", "--encrypted-comment-regex", "secret"], ["mac_only_encrypted", "encrypted_comment_regex=secret"]),
]  # fmt: skip


def word(source, most=4):
    return "".join(source.choice(WORDS) for _ in range(source.randrange(most)))


def leaf(source, unique):
    kind = source.randrange(7)
    if kind < 3 or unique:
        text = word(source)
        return f"{text}{source.randrange(10**9)}" if unique else text
    if kind == 3:
        return source.choice(NUMBERS)
    if kind == 4:
        return source.choice([True, False])
    if kind == 5:
        return None
    return source.randrange(-(10**12), 10**12)


def value(source, depth, unique=False):
    kind = source.randrange(10 if depth > 0 else 7)
    if kind < 7:
        return leaf(source, unique)
    if kind == 7:
        # Equal values in a list have the same path: sops gives them one nonce, we leave each its own.
        return [value(source, depth - 1, True) for _ in range(source.randrange(5))]
    return branch(source, depth - 1, unique)


def branch(source, depth, unique=False):
    return {
        f"{word(source)}{number}{source.choice(SUFFIXES)}": value(source, depth, unique)
        for number in range(source.randrange(1, 7))
    }


def json_plain(source):
    tree = {f"tree{number}": branch(source, 4) for number in range(12)}
    return json.dumps(tree, ensure_ascii=source.choice([True, False]), indent=source.choice([None, 1, "\t"])).encode()


def binary_plain(source):
    return source.randbytes(source.choice([0, 1, 2, 3, 100, 5000]))


def flat_word(source):
    return "".join(source.choice("abcXYZ_0189") for _ in range(source.randrange(1, 9)))


def dotenv_plain(source):
    lines = []
    for number in range(30):
        if source.randrange(5) == 0:
            # Unlike each other, for the same reason as what is in lists.
            lines.append("#" + source.choice([" a comment", "secret below", " x=y # z"]) + str(number))
        text = source.choice(["", "x", "a b", "\\n", "é", '"quoted"', "'q'", "#no", "a=b", " lead", "trail ", "${X}", "1.50", "true"])
        lines.append(f"K{number}{flat_word(source)}{source.choice(SUFFIXES)}={text}{source.randrange(10**6)}")
    return ("\n".join(lines) + "\n").encode()


def ini_plain(source):
    lines = []
    for section in range(5):
        lines.append(f"[section{section}{source.choice(SUFFIXES)}]")
        for number in range(6):
            if source.randrange(4) == 0:
                lines.append("; " + source.choice(["a comment", "secret below"]) + str(number))
            text = source.choice(["", "x", "a b", "é", "a=b", "1.50", "true", "x;y"])
            lines.append(f"k{number}{flat_word(source)}{source.choice(SUFFIXES)} = {text}")
        lines.append("")
    return "\n".join(lines).encode()


@dataclass
class Store:
    """The properties of a store."""

    name: str
    plain: Callable
    comments: bool = False
    edits: bool = True  # set, unset and extract make sense
    outputs: list = field(default_factory=list)  # stores that can hold every document of it
    set_values: list = field(default_factory=lambda: ['"new"', "7", "1.5", "true", "null", '{"n": ["x", {"m": "y"}]}'])


STORES = [
    Store("json", json_plain, outputs=["json"]),
    Store("yaml", sops_yaml_documents.make_unique, comments=True, outputs=["json"]),
    Store("binary", binary_plain, edits=False, outputs=["json"]),
    Store("dotenv", dotenv_plain, comments=True, outputs=["json"], set_values=['"new"', '"a b"']),
    Store("ini", ini_plain, comments=True, outputs=["json"], edits=False),
]


@dataclass
class Bench:
    """A directory with a key, the store, and both programs."""

    directory: object
    store: Store
    key: str = ""
    recipient: str = ""

    def __post_init__(self):
        self.key = self.directory / "key"
        expect(run(need("age-keygen"), "-o", self.key))
        self.recipient = run(need("age-keygen"), "-y", self.key).out.strip()

    def filter(self, *command, stdin=b""):
        done = subprocess.run(
            [str(one) for one in command], input=stdin, capture_output=True, check=False, timeout=60,
            env=harness.CLEAN_ENVIRONMENT | {"SOPS_AGE_KEY_FILE": str(self.key)},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr.decode()

    def done(self, *command, stdin=b""):
        code, out, err = self.filter(*command, stdin=stdin)
        equal((code, err), (0, ""), f"exit code and stderr of {command[:3]}")
        return out

    def ours(self, verb, text, *words, output=None):
        return self.done(DOCUMENT, verb, self.store.name, output or self.store.name, *words, stdin=text)

    def file(self, text, name="file"):
        path = self.directory / name
        path.write_bytes(text)
        return path

    def types(self, output=None):
        return ["--input-type", self.store.name, "--output-type", output or self.store.name]

    def sops_encrypt(self, plain, rule):
        return self.done(need("sops"), "--encrypt", "--age", self.recipient, *rule, *self.types(), self.file(plain))

    def sops_decrypt(self, text, output=None):
        return self.done(need("sops"), "decrypt", *self.types(output), self.file(text))

    def our_encrypt(self, plain, rule):
        return self.ours("encrypt", plain, *rule, f"age:{self.recipient}")


def rounds(store, count=TREES):
    """Yields seeds and the rule for each document. A failure names its seed."""
    rules = [([], [])] if store.name == "binary" else RULES + (COMMENT_RULES if store.comments else [])
    for number in [int(SEED)] if SEED else range(count):
        yield number, random.Random(f"{store.name} {number}"), rules[number % len(rules)]


def for_all(sentence, wanted=lambda store: True, count=TREES):
    """Defines a test for each store. The function gets the bench, a random generator and the rule."""

    def register(function):
        for store in filter(wanted, STORES):

            def body(directory, store=store):
                bench = Bench(directory, store)
                for seed, source, rule in rounds(store, count):
                    try:
                        function(bench, source, rule)
                    except AssertionError as reason:
                        raise AssertionError(f"VMCRED_SEED={seed}, rule {rule[1]}: {reason}") from reason

            test(sentence.format(store.name))(body)
        return function

    return register


@for_all("random {} documents of sops are decrypted to the same bytes as by sops")
def test_decryption(bench, source, rule):
    document = bench.sops_encrypt(bench.store.plain(source), rule[0])
    equal(bench.ours("decrypt", document), bench.sops_decrypt(document), "plaintext")


@for_all("sops decrypts our random {} documents like its own")
def test_encryption(bench, source, rule):
    plain = bench.store.plain(source)
    document = bench.our_encrypt(plain, rule[1])
    expected = bench.sops_decrypt(bench.sops_encrypt(plain, rule[0]))
    equal(bench.sops_decrypt(document), expected, "what sops decrypts")
    equal(bench.ours("decrypt", document), expected, "what we decrypt")


@for_all("a {} document is converted to the same bytes as by sops", lambda store: store.outputs, max(TREES // 4, 4))
def test_conversion(bench, source, rule):
    document = bench.sops_encrypt(bench.store.plain(source), rule[0])
    for output in bench.store.outputs:
        equal(bench.ours("decrypt", document, output=output), bench.sops_decrypt(document, output), output)


# sops writes the rule that holds where a document names none, once it has read it.
VOLATILE = ("lastmodified", "mac", "sops_lastmodified", "sops_mac", "unencrypted_suffix")


def is_volatile(line):
    return line.strip().lstrip('"').startswith(VOLATILE)


def changes(before, after):
    """Returns the changed lines: their numbers in the old text and the number of new lines."""
    old, new = before.decode().splitlines(), after.decode().splitlines()
    found = []
    for kind, start, end, new_start, new_end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal" and not all(is_volatile(line) for line in old[start:end] + new[new_start:new_end]):
            found.append((start, end, new_end - new_start))
    return found


@for_all("a {} document that is decrypted and encrypted again differs only in its MAC and time")
def test_encryption_again(bench, source, rule):
    document = bench.sops_encrypt(bench.store.plain(source), rule[0])
    if bench.store.name == "yaml":
        # Decryption moves a comment after a value before it, as in sops.
        document = bench.ours("again", document)
    equal(changes(document, bench.ours("again", document)), [], "changed lines")


def paths(tree, path=()):
    """Yields every path in a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, item in items:
        if isinstance(step, str) and ("[" in step or '"' in step):
            continue
        yield path + (step,)
        yield from paths(item, path + (step,))


def spell(path):
    return "".join(f'["{step}"]' if isinstance(step, str) else f"[{step}]" for step in path)


def places(bench, document, source, count):
    """Returns random paths of a document."""
    tree = json.loads(bench.ours("decrypt", document, output="json"))
    everywhere = list(paths(tree))
    return source.sample(everywhere, min(count, len(everywhere)))


def both_edit(bench, verb, document, *words):
    """Edits the same document with both programs; returns both encrypted results."""
    path = bench.file(document, "edited")
    bench.done(need("sops"), verb, *bench.types()[:2], "--output-type", bench.store.name, path, *words)
    return bench.ours(verb, document, *words), path.read_bytes()


@for_all("set changes the same value and lines of a {} document as sops", lambda store: store.edits,
         max(TREES // 2, 4))  # fmt: skip
def test_set(bench, source, rule):
    document = bench.sops_encrypt(bench.store.plain(source), rule[0])
    for path in places(bench, document, source, 3):
        if bench.store.name != "json" or source.randrange(2):
            new = path
        else:
            new = path[:-1] + ("new key", "more") if isinstance(path[-1], str) else path[:-1] + (10**6,)
        spelt, content = spell(new), source.choice(bench.store.set_values)
        ours, theirs = both_edit(bench, "set", document, spelt, content)
        equal(bench.sops_decrypt(ours), bench.sops_decrypt(theirs), f"set {spelt} {content}")
        equal(changes(document, ours), changes(document, theirs), f"lines after set {spelt} {content}")


@for_all("unset changes the same value and lines of a {} document as sops", lambda store: store.edits,
         max(TREES // 4, 4))  # fmt: skip
def test_unset(bench, source, rule):
    document = bench.sops_encrypt(bench.store.plain(source), rule[0])
    for path in places(bench, document, source, 3):
        ours, theirs = both_edit(bench, "unset", document, spell(path))
        equal(bench.sops_decrypt(ours), bench.sops_decrypt(theirs), f"unset {spell(path)}")
        equal(changes(document, ours), changes(document, theirs), f"lines after unset {spell(path)}")


@for_all("extract prints the same part of a {} document as sops", lambda store: store.edits, max(TREES // 4, 4))
def test_extract(bench, source, rule):
    document = bench.sops_encrypt(bench.store.plain(source), rule[0])
    for path in places(bench, document, source, 5):
        theirs = bench.filter(need("sops"), "decrypt", "--extract", spell(path), *bench.types(), bench.file(document))
        ours = bench.filter(DOCUMENT, "extract", bench.store.name, bench.store.name, spell(path), stdin=document)
        equal(ours[:2] if theirs[0] == 0 else ours[0] != 0, theirs[:2] if theirs[0] == 0 else True, spell(path))


@for_all("sops decrypts a {} document after rotate and updatekeys", count=max(TREES // 4, 4))
def test_rotate_and_updatekeys(bench, source, rule):
    document = bench.sops_encrypt(bench.store.plain(source), rule[0])
    expected = bench.sops_decrypt(document)
    equal(bench.sops_decrypt(bench.ours("rotate", document)), expected, "after rotate")
    for words in (
        [f"age:{bench.recipient}", f"age:{bench.recipient}"],
        [f"age:{bench.recipient}", "+", f"age:{bench.recipient}", "+", f"age:{bench.recipient}", "threshold=2"],
    ):
        updated = bench.ours("updatekeys", document, *words)
        equal(bench.sops_decrypt(updated), expected, f"after updatekeys {words}")
        equal(bench.ours("decrypt", updated), expected, f"after updatekeys {words}")
        rotated = bench.file(updated, "rotated")
        again = bench.done(need("sops"), "rotate", *bench.types(), rotated)
        equal(bench.ours("decrypt", again), expected, "after sops rotated it")


if __name__ == "__main__":
    harness.main()
