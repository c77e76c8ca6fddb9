# SPDX-License-Identifier: Apache-2.0
"""YAML against the real sops: both write the same bytes for a document, or both refuse it.

VMCRED_SEED=N tries the random document N alone; VMCRED_YAML=N tries N of them (400, in batches of a few documents each,
since every start of sops takes its time).
"""
import os
import re
import subprocess
from collections import Counter

import harness
import sops_yaml_documents
from harness import equal, expect, need, run

DOCUMENT = os.environ.get("VMCRED_DOCUMENT", "build/tests/interop/document")
SEED = os.environ.get("VMCRED_SEED")
COUNT = int(os.environ.get("VMCRED_YAML", "400"))
BATCH = 20

# Nothing is encrypted then, so that the values can be seen in what is written.
NOTHING = "encrypted_suffix=no key ends so"

# What there is in YAML and has more than one answer. Each is a document of its own.
DOCUMENTS = {
    "comments of every kind": (
        "# top\n\n# head of a\na: 1 # line of a\n# foot of a\n\n# head of b\nb:\n  # in b\n  c: 1 # line of c\n  # foot of c\n# dedented\nd: 2\n# end\n"
    ),
    "comments in lists": "a:\n  # first\n  - 1 # one\n  # between\n\n  - 2\n  # foot\n# dedented\nb: 1\n",
    "comments after dashes": "a:\n- # one\n  b: 1\n- # two\n  - x\n-\n  # three\n  c: 1\n",
    "comments after keys": "a: # of a\n  b: # of b\n    c: 1\nd: # of d\n- 1\ne: # of e\n  text\n",
    "comments in flows": "a: [1, # one\n  2 # two\n  # own\n  ] # end\nb: { # open\n  c: 1, # c\n  # own\n  d: 2 }\n",
    "comments of block scalars": "a: | # of a\n  text\n# foot\n\nb: >- # of b\n  text\n# end\n",
    "comments without a space": "#a\n#\n##\na: 1 #b\n",
    "comments at odd columns": "a:\n  b: 1\n # x\n   # y\n# z\n  # w\nc: 2\n",
    "comments between documents": "# one\na: 1\n# two\n---\n# three\nb: 2\n# four\n...\n# five\n---\n# six\nc: 3\n",
    "comments after directives": "%YAML 1.1 # version\n---\na: 1 # b\n",
    "a document of comments between others": "a: 1\n---\n# only\n---\nb: 1\n",
    "several documents": "---\na: 1\n--- # x\nb: 2\n...\n---\n---\n{}\n",
    "an empty document": "---\n",
    "aliases": "a: &x\n  b: [1, 2] # c\nc: *x # d\nd: [*x, &y z, *y]\n",
    "an alias to another document": "a: &x 1\n---\nb: *x\n",
    "an alias as a key": "a: &x key\n*x : value\n",
    "an anchor that is taken again": "a: &x 1\nb: &x 2\nc: *x\n",
    "keys that merge": "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\ne:\n  <<: [*x, {f: 1}]\n",
    "a key << in quotes": '"<<": {a: 1}\nb: "<<"\n',
    "literal blocks": "a: |\n  text\n   more\n\n  x\nb: |-\n  x\n\n\nc: |+\n  x\n\n\nd: |2\n    x\n  y\ne: |\nf: |+\n\ng: x\n",
    "folded blocks": "a: >\n  one\n  two\n\n  three\n    more\n  four\n\n\n  five\nb: >-\n  x\n  y\nc: >+\n  x\n\n",
    "double quotes": 'a: "\\0\\a\\b\\t\\n\\v\\f\\r\\e\\ \\"\\\\\\N\\_\\L\\P\\x41\\u00e9\\U0001F600"\nb: "folded\n  line\n\n  para \\\n   joined"\nc: "\\\t"\n',
    "single quotes": "a: 'it''s'\nb: 'folded\n  line\n\n  para'\nc: ''\nd: '  x  '\n",
    "plain on several lines": "a: one\n  two\n\n  three # c\nb: x\n  # no longer\nc: y\n",
    "integers": "a: 0\nb: -0\nc: +7\nd: 0x1F\ne: 0o17\nf: 017\ng: 0b101\nh: 1_000\ni: 089\nj: -0x10\nk: 9223372036854775807\nl: -9223372036854775808\nm: 0b-1\nn: 0X1f\n",
    "floats": "a: 1.0\nb: 1e3\nc: .5\nd: 1.\ne: 1_000.5\nf: 1e400\ng: 1e-400\nh: 1234567.5\ni: 0.00001\nk: 18446744073709551616\nl: .1_0\nm: 5e-324\nn: +.5\no: 1e+06\n",
    "not finite": "a: .inf\nb: -.Inf\nc: +.INF\nd: .nan\ne: inf\nf: nan\n",
    "booleans": "a: true\nb: False\nc: TRUE\nd: yes\ne: off\nf: y\ng: tRue\n",
    "nothing": "a:\nb: ~\nc: null\nd: Null\ne: NULL\nf: nULL\ng: ''\n? h\n",
    "times": "a: 2001-12-14t21:59:43.10-05:00\nb: 2001-12-14 21:59:43.10\nc: 2001-12-14\nd: 2001-1-1\ne: 2001-12-14 21:59:43.10 -5\nf: 2001-02-29\ng: 2001-01-01T00:00:00+00:00\nh: 2001-01-01T24:00:00Z\n",
    "strings that look otherwise": "\n".join(
        f"k{number}: '{word}'"
        for number, word in enumerate(["12", "0x1", "1.5", ".5", "1e3", "true", "no", "Y", "~", "null", "2001-01-01", "1:30", "0b1", ".inf", "=", "-", "1_0"])
    )
    + "\n",
    "tags": "a: !!str 12\nb: !!int '12'\nc: !!float 3\nd: !x y\ne: !!binary aGVs\n  bG8=\nf: ! 12\ng: ! '12'\nh: !!str\ni: !<tag:yaml.org,2002:str> 1\nj: !!set {k: }\nk: !!bool true\n",
    "bytes that are not text": "a: !!binary gIGC\nb: !!binary " + "gIGC" * 30 + "\n",
    "tags with handles": "%TAG !e! tag:yaml.org,2002:\n---\na: !e!str 12\nb: !e!int '7'\n",
    "flows": "a: {b: 1, c: {d: [], e: {}}, f: [[], {}, [1, [2]]], 'g': , h}\ni: [a: b, ? c : d, e]\n",
    "lists in lists": "a:\n- - 1\n  - - 2\n    - 3\n- b: 1\n  c: 2\n-\n  - x\n-\nd:\n    - 1\n",
    "keys of every kind": "'a b': 1\n\"c\\nd\": 2\n? e\n: 3\n" + "k" * 130 + ": 4\nkey with spaces: 5\n'': 6\n'12': 7\n'true': 8\n'- x': 9\n'a: b': 10\n?x: 11\n:y: 12\n",
    "characters": "a: é€\U0001f600\nä: '\u2028'\nb: \"\\u2028\"\nc: \xa0\nd: x\u2028y\n",
    "a mark at the beginning": "\ufeffa: 1\n",
    "CR LF": "a: x\r\n# c\r\n\r\n# d\r\nb: |\r\n  y\r\n  z\r\nc: 'q\r\n  r'\r\n",
    "long lines": "a: " + "word " * 60 + "x\nb: '" + "it''s " * 60 + "x'\nc: \"" + "\\t " * 60 + 'x"\n',
    "tabs": "a:\tx\nb: x\ty\nc: 'x\ty'\nd: [\tx,\ty ]\n",
    "no line break at the end": "a: 1",
    "no line break after a comment": "a: 1 # x",
    "a second document with a duplicate key": "a: 1\n---\nb: 1\nb: 2\n",
}  # fmt: skip

# Invalid documents, and the line of the error. tests/unit/test_sops_yaml.c compares the wording.
BROKEN = {
    "a duplicate key": ("a: 1\nb: 2\na: 3\n", 3),
    "a duplicate key in a nested map": ("a:\n  - {b: 1, b: 2}\n", 2),
    "a list": ("- a\n", 1),
    "a scalar": ("x\n", 1),
    "a number as a key": ("a: 1\n1: 2\n", 2),
    "null as a key": ("~: 2\n", 1),
    "a list as a key": ("? [a]\n: 1\n", 1),
    "an integer beyond 64 bits": ("a: 9223372036854775808\n", 1),
    "an undefined alias": ("a: *x\n", 1),
    "an anchor that contains itself": ("a: &x\n  b: *x\n", 1),
    "a merge of a number": ("<<: 1\n", 1),
    "a value that does not match its tag": ("a: !!int x\n", 1),
    "!!binary that is not Base64": ("a: !!binary x\n", 1),
    "an undeclared tag handle": ("a: !e!x y\n", 1),
    "a missing closing quote": ('a: "x\n', 1),
    "a missing closing bracket": ("a: [x\n", 2),
    "an unknown escape": ('a: "\\q"\n', 1),
    "an unpaired surrogate": ('a: "\\ud800"\n', 1),
    "a tab as indentation": ("a:\n\tb: 1\n", 2),
    "an extra colon": ("a: b: c\n", 1),
    "a missing colon": ("a: 1\nb\n", 2),
    "an unexpected dash": ("a: - b\n", 1),
    "wrong indentation": ("a:\n    b: 1\n  c: 2\n", 3),
    "a control character": ("a: \x07\n", 1),
    "another YAML version": ("%YAML 1.2\n---\na: 1\n", 1),
    "an unknown directive": ("%X\n---\na: 1\n", 1),
    "text after a block indicator": ("a: |x\n", 1),
    "an at sign": ("a: @x\n", 1),
}


class Bench:
    """A directory with a key, and both programs."""

    def __init__(self, directory):
        self.directory = directory
        self.key = directory / "key"
        expect(run(need("age-keygen"), "-o", self.key))
        self.recipient = run(need("age-keygen"), "-y", self.key).out.strip()

    def filter(self, *command, stdin=b""):
        done = subprocess.run(
            [str(word) for word in command], input=stdin, capture_output=True, check=False, timeout=60,
            env=harness.CLEAN_ENVIRONMENT | {"SOPS_AGE_KEY_FILE": str(self.key)},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr.decode()

    def sops(self, verb, text, *flags):
        path = self.directory / "file.yaml"
        path.write_bytes(text)
        return self.filter(need("sops"), verb, *flags, path)

    def sops_encrypt(self, text, *flags):
        return self.sops("encrypt", text, "--age", self.recipient, "--encrypted-suffix", NOTHING.split("=")[1], *flags)

    def ours(self, verb, text, *words, output="yaml"):
        return self.filter(DOCUMENT, verb, "yaml", output, *words, stdin=text)

    def our_encrypt(self, text, output="yaml"):
        return self.ours("encrypt", text, NOTHING, f"age:{self.recipient}", output=output)


def skeleton(text):
    """A document without the parts that differ in each encryption."""
    text = re.sub(rb"(-----BEGIN AGE[^-]*-----\n)[^-]*", rb"\1", text)
    return re.sub(rb"(lastmodified|mac): .*", rb"\1", text)


COMMENT = re.compile(rb"#[^#\n'\"]*$", re.MULTILINE)


def keeps_more(ours, theirs):
    """Whether we keep comments that sops loses, and the rest is the same. It loses those that it writes between braces."""
    theirs = re.sub(rb"\{\n( *#.*\n)+\}", b"{}", theirs)
    left, right = (b"".join(COMMENT.sub(b"", text).split()) for text in (ours, theirs))
    return left == right and Counter(COMMENT.findall(ours)) > Counter(COMMENT.findall(theirs))


def compare(bench, text, *flags, output="yaml"):
    """Both programs encrypt the document to the same structure, and decrypt it to the same document."""
    theirs, ours = bench.sops_encrypt(text, *flags), bench.our_encrypt(text, output)
    equal(ours[0] == 0, theirs[0] == 0, f"whether {text!r} is good YAML; {ours[2]}{theirs[2]}")
    if theirs[0] != 0:
        return
    if keeps_more(skeleton(ours[1]), skeleton(theirs[1])):
        return
    equal(skeleton(ours[1]), skeleton(theirs[1]), f"what becomes of {text!r}")
    # If sops cannot decrypt its own document (-0.0 becomes an integer, which changes the MAC), neither can we.
    back, expected = bench.ours("decrypt", theirs[1], output=output), bench.sops("decrypt", ours[1], *flags)
    if back[0] == expected[0] == 0 and keeps_more(back[1], expected[1]):
        return
    equal((back[0] == 0, back[1]), (expected[0] == 0, expected[1]), f"what is left of {text!r}; {back[2]}{expected[2]}")


def test_constructs_of_yaml(directory):
    """each construct of YAML comes out as from sops"""
    bench = Bench(directory)
    for name, text in DOCUMENTS.items():
        try:
            compare(bench, text.encode())
        except AssertionError as reason:
            raise AssertionError(f"{name}: {reason}") from reason


def good(bench, seeds):
    """The documents that we take, and that are the same from UTF-16."""
    for seed in seeds:
        text = sops_yaml_documents.make(seed)
        if bench.our_encrypt(text)[0] == 0:
            yield seed, text


def test_random_documents(directory):
    """random documents come out as from sops"""
    bench = Bench(directory)
    texts = list(good(bench, [int(SEED)] if SEED else range(COUNT)))
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        try:
            compare(bench, b"\n---\n".join(text for _, text in batch))
        except AssertionError as reason:
            for seed, text in batch:
                try:
                    compare(bench, text)
                except AssertionError as alone:
                    raise AssertionError(f"VMCRED_SEED={seed}: {alone}") from reason
            raise AssertionError(f"seeds {[seed for seed, _ in batch]} together: {reason}") from reason


def test_same_random_documents_are_rejected(directory):
    """exactly the random documents that sops rejects are rejected"""
    bench = Bench(directory)
    seeds = [int(SEED)] if SEED else range(10**6, 10**6 + COUNT)
    taken = {seed for seed, _ in good(bench, seeds)}
    # Those that are good are compared above; here sops has its say about some of the others.
    for seed in [seed for seed in seeds if seed not in taken][: COUNT // 20]:
        text = sops_yaml_documents.make(seed)
        equal(bench.sops_encrypt(text)[0] != 0, True, f"VMCRED_SEED={seed}: whether sops refuses {text!r}")


def test_invalid_documents_are_rejected_with_a_line(directory):
    """invalid documents are rejected with a line number, and sops rejects them too"""
    bench = Bench(directory)
    for name, (text, line) in BROKEN.items():
        code, out, err = bench.our_encrypt(text.encode())
        # A key that is not a string is valid YAML, but not for sops.
        equal((code, out), (2 if name in ("a number as a key", "null as a key", "an integer beyond 64 bits") else 1, b""), f"{name}: exit code and stdout")
        equal(err.startswith(f"document: stdin:{line}: not valid YAML: "), True, f"{name}: {err}")
        equal(bench.sops_encrypt(text.encode())[0] != 0, True, f"{name}: whether sops refuses it")


def test_indentation_of_sops(directory):
    """every indentation is the one of sops"""
    bench = Bench(directory)
    text = sops_yaml_documents.make(7) + b"\n---\n" + DOCUMENTS["lists in lists"].encode() + b"z: |\n  a\n  b\n"
    for indent in (1, 2, 3, 8, 9, 12):
        compare(bench, text, "--indent", str(indent), output=f"yaml:{indent}")


def test_utf_16(directory):
    """UTF-16 is read as sops reads it"""
    bench = Bench(directory)
    text = "a: é€\U0001f600 # c\nb: [x, y]\n"
    for encoding in ("utf-16-le", "utf-16-be"):
        compare(bench, ("\ufeff" + text).encode(encoding))


# sops writes the first as null, and the others with an indentation that nothing reads back.
LOST_BY_SOPS = ["a: \"\\tx\\ny\"\n", "a: [\"\\n x\"]\n", "a: [{b: \"  x\\ny\"}]\n", "a:\n- |\n\n  x\n"]  # fmt: skip


def test_strings_that_sops_loses_are_kept(directory):
    """strings that sops loses when it writes them keep their values, and sops reads them"""
    bench = Bench(directory)
    for text in LOST_BY_SOPS:
        code, written, err = bench.our_encrypt(text.encode())
        equal((code, err), (0, ""), f"{text!r}")
        expected = bench.ours("decrypt", written, output="json")
        equal(bench.sops("decrypt", written, "--output-type", "json"), expected, f"what sops reads of {text!r}")
        again = bench.our_encrypt(bench.ours("decrypt", written)[1])
        equal(skeleton(again[1]), skeleton(written), f"{text!r} again")


def test_encrypted_comments_in_lists(directory):
    """a document in which sops encrypted comments in lists opens, although sops does not open it again"""
    bench = Bench(directory)
    text = b"a:\n    # secret\n    - 1\n    - 2\n# of b\nb: 3\n"
    code, written, err = bench.sops("encrypt", text, "--age", bench.recipient)
    equal((code, err), (0, ""), "sops encrypt")
    equal(bench.sops("decrypt", written)[0], 51, "exit code of sops decrypt, for a wrong MAC")
    equal(bench.ours("decrypt", written), (0, text, ""), "what we make of it")
    sealed = bench.ours("encrypt", text, f"age:{bench.recipient}")[1]
    equal(bench.sops("decrypt", sealed), (0, text, ""), "what sops makes of ours")


def test_later_documents_that_sops_loses_are_refused(directory):
    """ours refuses values in later documents that sops accepts and loses"""
    bench = Bench(directory)
    for text in ("a: 1\n---\nb: !!int x\n", "a: 1\n---\nb: !!binary x\n"):
        equal(bench.our_encrypt(text.encode())[0], 1, f"exit code for {text!r}")
        code, out, _ = bench.sops_encrypt(text.encode())
        equal((code, b"\nb: null\n" in out), (0, True), f"what sops makes of {text!r}")


if __name__ == "__main__":
    harness.main()
