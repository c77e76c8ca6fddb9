# SPDX-License-Identifier: Apache-2.0
"""Commands and flags: each command line has the same effect with `vmcred sops` and with the real sops."""
import json
import re
import shutil

import harness
from harness import equal, run
from side_by_side import Peers

ENCRYPTED = ["enc.yaml", "enc.json", "enc.env", "enc.ini", "enc.bin"]


def test_every_store_is_decrypted_to_the_same_bytes(directory):
    """every store is decrypted to the same bytes, with and without a command"""
    peers = Peers(directory)
    for name in ENCRYPTED:
        peers.same("decrypt", name, code=0)
        peers.same("-d", name, code=0)


def test_each_spelling_of_a_flag_has_the_same_effect(directory):
    """each spelling of a flag has the same effect"""
    peers = Peers(directory)
    for words in [
        ("--decrypt", "enc.json"),
        ("-decrypt", "enc.json"),
        ("-d", "-i", "enc.json"),
        ("-d", "--in-place", "enc.json"),
        ("-d=true", "-i=1", "enc.json"),
        ("-d", "--in-place=false", "enc.json"),
        ("decrypt", "-i", "enc.json"),
        ("decrypt", "enc.json", "-i"),
        ("decrypt", "enc.json", "--output-type", "dotenv", "--extract", '["d"]'),
        ("decrypt", "enc.json", "--output-type=json"),
        ("decrypt", "-output-type", "yaml", "enc-flat.yaml"),
        ("decrypt", "--", "enc.json"),
        ("decrypt", "--output-type", "json", "--", "enc-flat.yaml"),
        ("-d", "--", "enc.json"),
        ("decrypt", "--input-type", "json", "--output-type", "json", "enc.json"),
        ("--indent", "2", "decrypt", "enc.json"),
        ("--indent=3", "-d", "enc.json"),
        ("--indent", "0x4", "-d", "enc.json"),
        ("-d", "--extract", '["a"]', "enc.json"),
    ]:
        # The mode that plaintext gets here, and keeps in sops.
        peers.same(*words, prepare=lambda place: (place / "enc.json").chmod(0o600), code=0)


def test_duplicate_keys_in_json_metadata(directory):
    """of duplicate keys in the metadata of JSON, both programs use the last: what one reports as recipients, the other encrypts to"""
    peers = Peers(directory)
    for key, other in [("age", "[]"), ("age", "{}"), ("age", '[{"recipient": "age1nope"}]'), ("version", '"a"'), ("mac", '"x"'), ("encrypted_regex", '"a"'),
                       ("lastmodified", "0"), ("sops", "{}")]:  # fmt: skip
        def add(place, key=key, other=other, first=True):
            text = (place / "enc.json").read_text()
            where = '"sops": {' if first else '"lastmodified"'
            addition = f'"{key}": {other}'
            assert where in text
            (place / "enc.json").write_text(text.replace(where, f"{where}{addition}," if first else f"{addition}, {where}"))

        if key != "encrypted_regex":
            peers.same("decrypt", "enc.json", prepare=add, code=0)
        peers.same("decrypt", "enc.json", prepare=lambda place, add=add: add(place, first=False))


def test_wrong_flags_are_refused_with_the_same_code(directory):
    """unknown flags, bad values and missing values are refused with the same code"""
    peers = Peers(directory)
    for words in [
        ("decrypt", "--nope", "enc.json"),
        ("-di", "enc.json"),
        ("decrypt", "-i=maybe", "enc.json"),
        ("--indent", "x", "-d", "enc.json"),
        ("decrypt", "--output"),
        ("--nope",),
        ("encrypt", "--shamir-secret-sharing-threshold", "two", "plain.json"),
    ]:
        peers.same(*words, stdout=False, code=1)


def test_conflicting_flags_are_refused_with_the_same_code(directory):
    """conflicting arguments and flags are refused with the same code, and nothing is written"""
    peers = Peers(directory)
    age = ("--age", peers.recipient)
    for words, code in [
        ((), 100),
        (("-d",), 100),
        (("edit",), 100),
        (("rotate",), 100),
        (("filestatus",), 100),
        (("set", "enc.json", '["a"]'), 100),
        (("set", "--value-stdin", "enc.json", '["a"]', "1"), 100),
        (("set", "--value-stdin", "--value-file", "enc.json", '["a"]'), 1),
        (("unset", "enc.json"), 100),
        (("decrypt", "nofile"), 100),
        (("encrypt", *age, "nofile"), 100),
        (("-d", "nofile"), 100),
        (("-e", *age, "nofile"), 100),
        (("-r", "nofile"), 100),
        (("rotate", "nofile"), 2),
        (("rotate", "--add-age", peers.other, "nofile"), 49),
        (("-r", "--rm-age", peers.other, "nofile"), 49),
        (("set", "nofile", '["a"]', "1"), 2),
        (("decrypt", "-i"), 8),
        (("encrypt", "-i"), 8),
        (("encrypt", *age), 8),
        (("decrypt", "-i", "--output", "x", "enc.json"), 8),
        (("-d", "-i", "--output", "x", "enc.json"), 8),
        (("encrypt", "-i", "--output", "x", "plain.json"), 8),
        (("rotate", "-i", "--output", "x", "enc.json"), 8),
        (("encrypt", *age, "--encrypted-regex", "a", "--unencrypted-regex", "b", "plain.json"), 8),
        (("encrypt", *age, "--encrypted-suffix", "a", "--unencrypted-suffix", "b", "plain.json"), 8),
        (("decrypt", "--extract", "a", "enc.json"), 91),
        (("decrypt", "--extract", "[a]", "enc.json"), 91),
        (("decrypt", "--extract", '["b"][99999999999999999999]', "enc.json"), 91),
        (("decrypt", "--extract", '["b"][9223372036854775808]', "enc.json"), 91),
        (("decrypt", "--extract", '["b"][9223372036854775807]', "enc.json"), 1),
        (("unset", "enc.json", '["b"][99999999999999999999]'), 7),
        (("set", "enc.json", '["b"][9223372036854775808]', "1"), 7),
        (("decrypt", "--extract", '["nope"]', "enc.json"), 1),
        (("decrypt", "--extract", '["b"][9]', "enc.json"), 1),
        (("decrypt", "--extract", '["a"][0]', "enc.json"), 1),
        (("decrypt", "--decryption-order", "age,age", "enc.json"), 112),
        (("decrypt", "plain.json"), 1),
        (("decrypt", "--input-type", "yaml", "plain.bin"), 1),
        (("encrypt", *age, "enc.json"), 203),
        (("encrypt", *age, "enc.yaml"), 203),
        (("encrypt", *age, "enc.env"), 203),
        (("encrypt", "--age", "age1nope", "plain.json"), 1),
        (("encrypt", "plain.json"), 1),
        (("rotate", "--add-age", "nope", "enc.json"), 1),
        (("rotate", "--rm-age", "nope", "enc.json"), 1),
        (("set", "enc.json", "a", "1"), 7),
        (("set", "enc.json", '["a"]', "nope"), 7),
        (("unset", "enc.json", "a"), 7),
        (("unset", "enc.json", '["nope"]'), 1),
        (("--set", '["a"]1', "enc.json"), 7),
        (("--set", '["a"] nope', "enc.json"), 7),
        (("updatekeys",), 1),
        (("updatekeys", "-y", "enc.json"), 1),
        (("groups", "add"), 2),
        (("groups", "add", "--file", "enc.json", "word"), 1),
        (("groups", "delete", "--file", "enc.json"), 1),
        (("groups", "delete", "--file", "enc.json", "x"), 1),
        (("groups", "delete", "--file", "enc.json", "7"), 2),
        (("groups", "nope"), 3),
        (("completion", "nope"), 3),
        (("help", "nope"), 3),
        (("exec-env", "enc.json"), 1),
        (("exec-file", "enc.json"), 1),
        (("exec-env", "--same-process", "--background", "enc.json", "true"), 8),
        (("publish", "enc.json"), 1),
        (("groups", "help"), 0),
        (("groups", "h"), 0),
    ]:
        peers.same(*words, code=code, stdout=False)


BROKEN = {
    "x.yaml": ["", "# only\n", "a: [1", "- 1\n", "text", "1: x\n", "a: {b: [{true: x}]}\n", "a: 1\na: 2\n", "sops: 1\n", "a: \0\n", "a: *x\n"],
    "x.json": ["", "{", "[1]", "1", '{"a":1,}', '{"sops":1}', '{"a":"\x01"}'],
    "x.env": ["a", "sops_x=1", "sops_mac=1\nsops_version=1"],
    "x.ini": ["[x", "[a]\nb", "[sops]\na=1"],
    "x.bin": ["", "{}"],
}  # fmt: skip


def test_broken_input_is_refused_with_the_same_code(directory):
    """each command refuses each broken or unencrypted file with the same code, and names it once"""
    peers = Peers(directory)
    age = ("--age", peers.recipient)
    (peers.tree / ".sops.yaml").write_text(f"creation_rules:\n  - age: {peers.other}\n")
    for name, texts in BROKEN.items():
        for number, text in enumerate(texts):
            lines = [("encrypt", *age, name), ("decrypt", name), ("filestatus", name)]
            if number == 0:
                lines += [("rotate", name), ("set", name, '["a"]', "1"), ("unset", name, '["a"]'), ("edit", name), (name,)]
                lines += [("exec-env", name, "true"), ("exec-file", name, "true"), ("groups", "add", "-f", name, *age)]
                lines += [("groups", "delete", "-f", name, "0"), ("updatekeys", "-y", name), ("-r", name), ("--set", '["a"] 1', name)]
            for words in lines:
                said, _, _ = peers.same(*words, prepare=lambda place: (place / name).write_text(text), env={"EDITOR": "true"})
                assert said.count(name) <= 1, f"{words} on {text!r}: {said!r}"


# Damages of a document, and those of its metadata.
DAMAGED = [
    (r'"mac": "[^"]*",', ""),
    (r'"mac": "[^"]*"', '"mac": ""'),
    (r'"mac": "[^"]*"', '"mac": "x"'),
    (r'"version": "[^"]*"', '"version": ""'),
    (r'"version": "[^"]*"', '"version": "x"'),
    (r'"version": "[^"]*"', '"version": "1.0"'),
    (r'"version": "[^"]*"', '"version": "v3.13.1"'),
    (r'"lastmodified": "[^"]*"', '"lastmodified": "x"'),
    (r'"lastmodified": "[^"]*"', '"lastmodified": "2020-01-01T00:00:00Z"'),
    (r'"age": \[.*?\n\t\t\]', '"age": []'),
    (r'"age": \[.*?\n\t\t\]', '"age": 5'),
    (r'"enc": "[^"]*"', '"enc": "x"'),
    (r'"enc": "[^"]*"', '"enc": ""'),
    (r'"a": "ENC[^"]*"', '"a": "x"'),
    (r'"a": "ENC[^"]*"', '"a": 5'),
    (r"type:str\]", "type:foo]"),
    (r'"a":', '"z":'),
    (r'"unencrypted_suffix": "[^"]*"', '"shamir_threshold": "x"'),
    (r'"unencrypted_suffix": "[^"]*"', '"unencrypted_suffix": "x", "encrypted_regex": "y"'),
]


def test_damaged_documents_are_refused_with_the_same_code(directory):
    """each command refuses, or accepts, each damaged document with the same code, and names it once"""
    peers = Peers(directory)
    (peers.tree / ".sops.yaml").write_text(f"creation_rules:\n  - age: {peers.other}\n")
    for what, by in DAMAGED:

        def damage(place, what=what, by=by):
            text = (place / "enc.json").read_text()
            changed = re.sub(what, by, text, count=1, flags=re.S)
            assert changed != text, what
            (place / "enc.json").write_text(changed)

        for words in [
            ("decrypt", "enc.json"),
            ("decrypt", "--ignore-mac", "enc.json"),
            ("rotate", "enc.json"),
            ("set", "enc.json", '["a"]', "1"),
            ("edit", "enc.json"),
            ("exec-file", "enc.json", "cat {}"),
            ("updatekeys", "-y", "enc.json"),
            ("filestatus", "enc.json"),
        ]:
            said, _, _ = peers.same(*words, prepare=damage, env={"EDITOR": "true"}, stdout=words[0] != "updatekeys", files=False)
            assert said.count("enc.json") <= 1, f"{words} after {by}: {said!r}"


def test_keys_of_a_new_file_are_tried_before_the_editor(directory):
    """keys of a new file that cannot be used are refused before the editor starts"""
    peers = Peers(directory)
    for flags in [("--pgp", "0" * 40), ("--kms", "nonsense"), ("--gcp-kms", "nonsense")]:
        peers.same("edit", *flags, "new.json", env={"EDITOR": "touch edited; false"}, code=128)


def test_undecryptable_documents_have_the_same_code(directory):
    """a changed document, and one without our key, are refused with the same code"""
    peers = Peers(directory)

    def tamper(place, what, by):
        text = (place / "enc.json").read_text()
        assert what in text
        (place / "enc.json").write_text(text.replace(what, by, 1))

    peers.same("decrypt", "enc.json", env={"SOPS_AGE_KEY_FILE": str(peers.other_key)}, code=128)
    peers.same("decrypt", "enc.json", env={"SOPS_AGE_KEY_FILE": "/nonexistent"}, code=128)
    peers.same("decrypt", "enc.json", prepare=lambda place: tamper(place, '"open"', '"shut"'), code=51)
    peers.same("decrypt", "--ignore-mac", "enc.json", prepare=lambda place: tamper(place, '"open"', '"shut"'), code=0)
    peers.same("decrypt", "enc.json", prepare=lambda place: tamper(place, ",tag:", ",tag:A"), code=25)
    peers.same("set", "enc.json", '["a"]', "1", prepare=lambda place: tamper(place, '"open"', '"shut"'), code=51)
    peers.same("set", "--ignore-mac", "enc.json", '["a"]', "1", prepare=lambda place: tamper(place, '"open"', '"shut"'), code=0)


def test_standard_input_is_the_default(directory):
    """without a file, standard input is read"""
    peers = Peers(directory)
    encrypted = (peers.tree / "enc.json").read_bytes()
    json = ("--input-type", "json", "--output-type", "json")
    peers.same("decrypt", *json, stdin=encrypted, code=0)
    peers.same("decrypt", "--filename-override", "x.json", stdin=encrypted, code=0)
    peers.same("decrypt", stdin=(peers.tree / "enc.bin").read_bytes(), code=0)
    peers.same("encrypt", "--age", peers.recipient, "--filename-override", "x.json", stdin=b'{"a": 1}', code=0)
    peers.same("encrypt", "--age", peers.recipient, "--filename-override", "x.yaml", stdin=b"a: 1\n", code=0)


def test_encryption_gives_the_same_document(directory):
    """for every store and rule, encryption gives the same document except the ciphertext, and sops decrypts it"""
    peers = Peers(directory)
    age = ("--age", peers.recipient)
    for words in [
        *(("encrypt", *age, "-i", f"plain.{suffix}") for suffix in ("yaml", "json", "env", "ini", "bin")),
        *(("-e", *age, "-i", f"plain.{suffix}") for suffix in ("yaml", "json", "env", "ini", "bin")),
        ("encrypt", "--age", f"{peers.recipient}, {peers.other}", "-i", "plain.json"),
        ("-e", "-i", "--age", peers.recipient, "plain.json"),
        ("encrypt", *age, "-i", "--unencrypted-suffix", "a", "plain.json"),
        ("encrypt", *age, "-i", "--encrypted-suffix", "e", "plain.json"),
        ("encrypt", *age, "-i", "--encrypted-regex", "^[ad]$", "plain.json"),
        ("encrypt", *age, "-i", "--unencrypted-regex", "^[ad]$", "plain.json"),
        ("-e", *age, "-i", "--encrypted-comment-regex", "comment", "plain.yaml"),
        ("-e", *age, "-i", "--unencrypted-comment-regex", "comment", "plain.yaml"),
        ("-e", *age, "-i", "--mac-only-encrypted", "plain.json"),
        ("--mac-only-encrypted", "encrypt", *age, "-i", "plain.json"),
        ("encrypt", *age, "-i", "--unencrypted-suffix", "x", "plain.bin"),
        ("--indent", "2", "encrypt", *age, "-i", "plain.json"),
        ("--indent", "2", "encrypt", *age, "-i", "plain.yaml"),
        ("encrypt", *age, "-i", "--input-type", "yaml", "--output-type", "yaml", "plain.json"),
    ]:
        name = words[-1]
        _, place, their_place = peers.same(*words, code=0)
        kind = name.rsplit(".", 1)[1] if "--output-type" not in words else "yaml"
        plain = [peers.decrypt_as(where / name, kind) for where in (place, their_place)]
        equal(plain[0], plain[1], f"what sops decrypts after {words}")
    peers.same("encrypt", *age, "--output", "x.json", "plain.json", code=0)
    peers.same("encrypt", *age, "--output-type", "json", "--output", "x.json", "plain.yaml", code=0)


# sops writes documents for these that neither it nor anything else can read again.
UNREADABLE = {
    "x.yaml": ['"<<": x\n', 'a: {"<<": [x, 1]}\n', 'a:\n    - "<<":\n'],
    "x.ini": ["- = x\n", "`#a` = x\n", "`;a` = x\n", "`[a` = x\n", '"""`=""" = x\n'],
}
# The same for values that are not encrypted.
UNREADABLE_OPEN = {
    "x.yaml": ["a: -0.0\n", "a: [-0e3]\n"],
    "x.ini": ["a = `x\\\\`\nb = y\n", "a = `'x'`\n", '\ta = `"x"`\n', 'a = ` "x`\n', 'a = """"""x"""\n'],
}  # fmt: skip


def test_documents_can_be_read_again(directory):
    """documents that sops encrypts but cannot decrypt afterwards can be decrypted, by sops too"""
    peers = Peers(directory)
    for rule, files in [((), UNREADABLE), (("--encrypted-suffix", "none"), UNREADABLE_OPEN)]:
        for name, text in [(name, text) for name, texts in files.items() for text in texts]:
            (peers.tree / name).write_text(text)
            words = ("encrypt", "-i", "--age", peers.recipient, *rule, name)
            opened = []
            for program in (peers.ours, peers.sops):
                (code, _, _), err, place = peers.one(program, words, {}, b"", None, ".")
                equal((code, err), (0, ""), f"{words} of {text!r}")
                opened.append(peers.one(peers.ours, ("decrypt", name), {}, b"", lambda to, place=place: shutil.copy(place / name, to), ".")[0])
                if program == peers.ours:
                    peers.decrypt(place / name)
            assert opened[0][0] == 0 and opened[1][0] != 0, f"{text!r}: {opened}"
            # The plaintext means the same.
            (peers.tree / name).write_text(opened[0][1])
            again = peers.one(peers.ours, words, {}, b"", None, ".")[2]
            decrypted = peers.one(peers.ours, ("decrypt", name), {}, b"", lambda to, place=again: shutil.copy(place / name, to), ".")[0]
            if "-0" not in text:
                equal(decrypted[:2], opened[0][:2], f"{text!r} again")


def test_flat_documents_that_would_not_decrypt_are_not_written(directory):
    """what dotenv and INI cannot represent is refused, and the file unchanged, where sops writes a document that it cannot decrypt"""
    peers = Peers(directory)
    age = ("--age", peers.recipient)
    (peers.tree / "x.json").write_text('{"s": {"a\\nb": "x"}}')
    (peers.tree / "y.json").write_text('{"a=b": "x"}')
    for words in [
        ("set", "enc.env", '["c_unencrypted"]', "true"),
        ("set", "enc.env", '["a"]', "null"),
        ("set", "enc.env", '["#a"]', '"x"'),
        ("set", "enc.ini", '["section"]["a"]', "null"),
        ("encrypt", "-i", *age, "--output-type", "ini", "x.json"),
        ("encrypt", "-i", *age, "--output-type", "dotenv", "y.json"),
    ]:
        name = "enc.env" if "enc.env" in words else "enc.ini" if "enc.ini" in words else words[-1]
        (code, out, _), said, place = peers.one(peers.ours, words, {}, b"", None, ".")
        equal((code, out, "would be read as another one" in said), (4, "", True), f"{words}: {said}")
        equal((place / name).read_bytes(), (peers.tree / name).read_bytes(), f"{name} after {words}")
        theirs, _, their_place = peers.one(peers.sops, words, {}, b"", None, ".")
        equal(theirs[0], 0, f"exit code of sops {words}")
        kind = words[-2] if words[0] == "encrypt" else name.rsplit(".", 1)[1].replace("env", "dotenv")
        read = ("decrypt", "--input-type", kind, "--output-type", kind, their_place / name)
        equal(peers.one(peers.sops, read, {}, b"", None, ".")[0][0] != 0, True, f"whether sops cannot decrypt its {words}")


def test_values_that_sops_cannot_encrypt_are_refused(directory):
    """values that sops cannot encrypt are refused with the same code, and what only looks like one is a string"""
    peers = Peers(directory)
    for text, code in [
        ("a: 9223372036854775808\n", 23),
        ("a: 0x8000000000000000\n", 23),
        ("a: 2001-01-01T00:00:00+24:00\n", 23),
        ("a: 2001-01-01T00:00:00-23:60\n", 23),
        ("a: 2001-01-01T00:00:00+23:59\n", 0),
        ("a: -0x8000000000000000\n", 0),
        ("a: -0x8000000000000001\n", 0),
        ("a: -0b1" + "0" * 64 + "\n", 0),
    ]:
        (peers.tree / "x.yaml").write_text(text)
        peers.same("encrypt", "--age", peers.recipient, "x.yaml", code=code)


TYPES = ["json", "yaml", "dotenv", "ini", "binary"]


def test_stores_are_converted_as_in_sops(directory):
    """as in sops, every store is converted to every other or refused"""
    peers = Peers(directory)
    for kind in TYPES:
        for name in ENCRYPTED + ["enc-flat.yaml"]:
            peers.same("decrypt", "--output-type", kind, name)
        for name in ["plain.yaml", "plain.json", "plain.env", "plain.ini", "plain.bin", "flat.yaml"]:
            peers.same("encrypt", "--age", peers.recipient, "--output-type", kind, name)
            peers.same("encrypt", "--age", peers.recipient, "--input-type", kind, name)
            peers.same("rotate", "--output-type", kind, name.replace("plain", "enc"))
        peers.same("set", "--output-type", kind, "enc-flat.yaml", '["a"]', '"x"')
        peers.same("decrypt", "--output-type", kind, "--extract", '["d"]', "enc.json")
        if kind != "ini":  # sops prints Go's own notation, ours refuses
            peers.same("decrypt", "--output-type", kind, "--extract", '["b"]', "enc.yaml")
        peers.same("decrypt", "--output-type", kind, "--extract", '["b"][0]', "enc.yaml")
        peers.same("exec-file", "--output-type", kind, "enc.json", "cat {}")


def test_recipients_come_from_the_environment(directory):
    """without a flag, recipients come from the environment"""
    peers = Peers(directory)
    peers.same("encrypt", "-i", "plain.json", env={"SOPS_AGE_RECIPIENTS": peers.recipient}, code=0)
    peers.same("-e", "-i", "plain.json", env={"SOPS_AGE_RECIPIENTS": f"{peers.recipient},{peers.other}"}, code=0)
    peers.same("encrypt", "-i", "--age", peers.other, "plain.json", env={"SOPS_AGE_RECIPIENTS": peers.recipient}, code=0)


def test_set_and_unset_write_the_same_document(directory):
    """set and unset write the same document and change no other line"""
    peers = Peers(directory)
    (peers.tree / "value").write_text('{"deep": [1, "x", null]}')
    cases = [
        ("set", '["a"]', '"new"'),
        ("set", '["b"][0]', "2"),
        ("set", '["b"][1]', '{"k": "v"}'),
        ("set", '["new"]', '{"k": [1, 2, true, 1.5, null]}'),
        ("set", '["d"]["new"]["newer"]', '"x"'),
        ("set", "['d']['e']", "false"),
        ("set", '["c_unencrypted"]', '"other"'),
        ("set", '["a"]', "-5"),
        ("set", '["a"]', "-0"),
        ("unset", '["a"]'),
        ("unset", '["b"][0]'),
        ("unset", '["d"]["e"]'),
    ]
    for suffix in ("json", "yaml"):
        name = f"enc.{suffix}"
        before = (peers.tree / name).read_text().splitlines()
        for verb, *words in cases:
            _, place, their_place = peers.same(verb, name, *words, code=0)
            equal(peers.decrypt(place / name), peers.decrypt(their_place / name), f"{verb} {words}")
            changed = [
                # The time of the change differs from second to second.
                [
                    number
                    for number, line in enumerate((where / name).read_text().splitlines())
                    if line not in before and "lastmodified" not in line
                ]
                for where in (place, their_place)
            ]
            equal(changed[0], changed[1], f"lines that {verb} {words} changed in {name}")
        peers.same("set", "--value-file", name, '["a"]', "value", code=0)
        peers.same("set", "--value-stdin", name, '["a"]', stdin=b'"from stdin"', code=0)
        peers.same("--set", '["a"] "new"', name, code=0)
    peers.same("set", "--idempotent", "enc.json", '["a"]', '"other"', code=0)
    peers.same("unset", "--idempotent", "enc.json", '["nope"]', code=0)
    peers.same("unset", "--idempotent", "enc.json", '["a"]["nope"]', code=1)
    peers.same("unset", "--idempotent", "enc.json", '["a"][0]', code=1)


def test_set_accepts_a_list(directory):
    """set accepts a list, unlike sops, and sops reads the result"""
    peers = Peers(directory)
    _, _, place = peers.one(peers.ours, ("set", "enc.json", '["a"]', '[1, "x", [null]]'), {}, b"", None, ".")
    equal(json.loads(peers.decrypt(place / "enc.json"))["a"], [1, "x", [None]])


def test_idempotent_set_leaves_the_file_unchanged(directory):
    """with --idempotent, setting the same value leaves the file unchanged"""
    peers = Peers(directory)
    before = (peers.tree / "enc.json").read_bytes()
    for words in [("set", "--idempotent", "enc.json", '["a"]', '"one"'), ("unset", "--idempotent", "enc.json", '["nope"]')]:
        _, place, their_place = peers.same(*words, code=0)
        equal((place / "enc.json").read_bytes(), before, "ours")
        equal((their_place / "enc.json").read_bytes(), before, "theirs")


def test_rotate_creates_a_new_data_key(directory):
    """rotate creates a new data key and changes the keys as sops does"""
    peers = Peers(directory)
    for words, key in [
        (("rotate", "-i", "enc.json"), peers.key),
        (("-r", "-i", "enc.json"), peers.key),
        (("rotate", "-i", "--add-age", peers.other, "enc.json"), peers.other_key),
        (("rotate", "-i", "--add-age", peers.other, "--rm-age", peers.recipient, "enc.json"), peers.other_key),
        (("-r", "-i", "--add-age", peers.other, "enc.yaml"), peers.other_key),
    ]:
        _, place, their_place = peers.same(*words, code=0)
        equal(peers.decrypt(place / words[-1], key), peers.decrypt(their_place / words[-1], key), str(words))
        old, new = ((where / words[-1]).read_text() for where in (peers.tree, place))
        assert not set(line for line in old.splitlines() if "ENC[" in line) & set(new.splitlines())
    peers.same("rotate", "enc.json", code=0)
    peers.same("rotate", "--output", "x", "enc.json", code=0)
    peers.same("rotate", "-i", "--rm-age", peers.recipient, "enc.json", code=1)


def test_key_groups_are_added_and_deleted(directory):
    """key groups are added and deleted as by sops, with the same threshold"""
    peers = Peers(directory)
    _, place, _ = peers.same("groups", "add", "-i", "--file", "enc.json", "--age", peers.other, code=0)
    two = (place / "enc.json").read_bytes()
    (peers.tree / "two.json").write_bytes(two)
    both = directory / "both"
    both.write_text(peers.key.read_text() + peers.other_key.read_text())
    peers.same("decrypt", "two.json", code=128)
    peers.same("decrypt", "two.json", env={"SOPS_AGE_KEY_FILE": str(both)}, code=0)
    peers.same("groups", "add", "-f", "two.json", "--age", peers.other, "--shamir-secret-sharing-threshold", "2", env={"SOPS_AGE_KEY_FILE": str(both)}, code=0)
    peers.same("groups", "delete", "-i", "--file", "two.json", "1", env={"SOPS_AGE_KEY_FILE": str(both)}, code=1)
    peers.same("groups", "delete", "-i", "--file", "two.json", "--shamir-secret-sharing-threshold", "1", "1", env={"SOPS_AGE_KEY_FILE": str(both)})
    peers.same("encrypt", "--age", peers.recipient, "--shamir-secret-sharing-threshold", "1", "-i", "plain.json", code=0)


def test_filestatus_prints_the_same(directory):
    """filestatus prints the same for every file"""
    peers = Peers(directory)
    for name in ENCRYPTED + ["plain.yaml", "plain.json", "plain.env", "plain.ini", "plain.bin", "nofile"]:
        peers.same("filestatus", name)
    peers.same("filestatus", "--input-type", "json", "enc.json", code=0)


def test_exec_env_sets_the_same_environment(directory):
    """exec-env runs the command with the same environment and has its exit code"""
    peers = Peers(directory)
    for words in [
        ("exec-env", "enc-flat.yaml", 'echo "$a|$b|$c|$d|$e"'),
        ("exec-env", "enc-flat.yaml", "exit 3"),
        ("exec-env", "--same-process", "enc-flat.yaml", 'echo "$a"; exit 4'),
        ("exec-env", "--pristine", "enc-flat.yaml", "env | grep -v ^PWD= | grep -v ^_= | grep -v ^SHLVL= | sort"),
        ("exec-env", "enc.env", 'echo "$a|$b|$c_unencrypted"'),
        ("exec-env", "enc-flat.yaml", "cat"),
        ("exec-env", "--background", "enc-flat.yaml", "cat; echo discarded"),
        ("exec-env", "enc.json", "true"),
        ("exec-env", "nofile", "true"),
    ]:
        peers.same(*words, stdin=b"input\n", env={"a": "hidden", "OTHER": "stays"})


def test_exec_file_gives_the_same_file(directory):
    """exec-file runs the command with the same file and has its exit code"""
    peers = Peers(directory)
    for words in [
        ("exec-file", "enc.json", "cat {}"),
        ("exec-file", "enc.json", "cat {}; exit 3"),
        ("exec-file", "--no-fifo", "enc.json", "cat {} {}; stat -c %a {}"),
        ("exec-file", "--no-fifo", "--filename", "name.json", "enc.json", "basename {}; cat {}"),
        ("exec-file", "--filename", "name.json", "enc.json", "basename {}; cat {}"),
        ("exec-file", "--output-type", "dotenv", "enc-flat.yaml", "cat {}"),
        ("exec-file", "--input-type", "json", "--output-type", "json", "enc.json", "cat {}"),
        ("exec-file", "--filename", "../x", "enc.json", "true"),
        # sops fails if it has not opened its FIFO before the command ends.
        ("exec-file", "enc.json", "cat {}; kill -9 $$"),
    ]:
        peers.same(*words)


def test_edit_writes_the_edited_text(directory):
    """edit writes the edited text, leaves an unchanged file alone, and has the exit codes of sops"""
    peers = Peers(directory)
    for name in ENCRYPTED[:4]:
        _, place, their_place = peers.same("edit", name, env={"EDITOR": "sed -i s/one/three/"}, code=0)
        equal(peers.decrypt(place / name), peers.decrypt(their_place / name), name)
    script = harness.write_program(directory / "editor script", '#!/bin/sh\n[ "$1" = "an argument" ] || exit 9\nsed -i "s/one/four/" "$2"\n')
    peers.same("edit", "enc.json", env={"SOPS_EDITOR": f"'{script}' an\\ argument", "EDITOR": "false"}, code=0)
    peers.same("enc.json", env={"EDITOR": "sed -i s/one/three/"}, code=0)
    for version in ("1.0", "3.9.0", "3.99.0", "v3.99.0"):
        (peers.tree / "old.json").write_text((peers.tree / "enc.json").read_text().replace('"3.13.2"', f'"{version}"'))
        peers.same("edit", "old.json", env={"EDITOR": "sed -i s/one/three/"}, code=0)
    peers.same("edit", "enc.json", env={"EDITOR": "true"}, code=200)
    peers.same("enc.json", env={"EDITOR": "true"}, code=200)
    peers.same("edit", "enc.json", env={"EDITOR": "false"}, code=201)
    peers.same("edit", "enc.json", env={"EDITOR": "/nonexistent/editor"}, code=201)
    peers.same("edit", "enc.json", env={"EDITOR": "sed 's/a"}, code=201)
    peers.same("edit", "-s", "enc.json", env={"EDITOR": "sed -i s/one/three/"}, code=0)


def test_edited_keys_are_wrapped(directory):
    """with edit -s, recipients and groups that were added or changed open the document, also with sops, and removed ones do not"""
    peers = Peers(directory)
    edit = harness.write_program(directory / "edit", """#!/usr/bin/env python3
import json, os, sys
document = json.load(open(sys.argv[1]))
exec(os.environ["CHANGE"], {"sops": document["sops"], "other": {"recipient": os.environ["OTHER"]}, "value": document})
json.dump(document, open(sys.argv[1], "w"))
""")  # fmt: skip

    def edited(change, code=0):
        shutil.copy(peers.tree / "enc.json", peers.tree / "edited.json")
        environment = peers.environment | {"EDITOR": str(edit), "CHANGE": change, "OTHER": peers.other, "XDG_RUNTIME_DIR": str(directory)}
        equal(run(peers.ours, "edit", "-s", "edited.json", cwd=peers.tree, env=environment).code, code, change)

    def opens(*keys):
        names = {"SOPS_AGE_KEY": "\n".join(key.read_text() for key in keys), "HOME": str(peers.home)}
        codes = [run(program, "decrypt", "edited.json", cwd=peers.tree, env=names).code for program in (peers.sops, peers.ours)]
        equal(codes[0], codes[1])
        return codes[0] == 0

    edited("sops['age'].append(other)")
    equal((opens(peers.key), opens(peers.other_key)), (True, True))
    edited("sops['age'][0].update(other)")
    equal((opens(peers.key), opens(peers.other_key)), (False, True))
    edited("sops['key_groups'] = [{'age': sops.pop('age')}, {'age': [other]}]")
    equal((opens(peers.key), opens(peers.other_key), opens(peers.key, peers.other_key)), (False, False, True))
    edited("value['a'] = 'new'")
    equal((opens(peers.key), opens(peers.other_key)), (True, False))
    before = (peers.tree / "enc.json").read_bytes()
    for change, code in [("sops['age'][0]['recipient'] = 'age1nope'", 23), ("sops['age'] = []", 2), ("sops['age'].append({})", 23)]:
        edited(change, code)
        equal((peers.tree / "edited.json").read_bytes(), before, change)


def test_edit_starts_a_new_file_with_an_example(directory):
    """edit starts a new file with an example, and does not create it if that is unchanged"""
    peers = Peers(directory)
    for name in ("new.json", "new.yaml", "new.env", "new.ini", "new.bin"):
        peers.same("edit", "--age", peers.recipient, name, env={"EDITOR": "true"}, code=200)
    peers.same("edit", "--age", peers.recipient, "new.json", env={"EDITOR": f"cp {peers.tree}/plain.json"}, code=0)
    peers.same("--age", peers.recipient, "new.yaml", env={"EDITOR": f"cp {peers.tree}/plain.yaml"}, code=0)
    peers.same("edit", "new.json", env={"EDITOR": "true"}, code=1)


def test_link_is_followed_and_mode_is_kept(directory):
    """a link is followed and a file keeps its mode"""
    peers = Peers(directory)

    def prepare(place, mode=0o640):
        (place / "link.json").symlink_to("enc.json")
        (place / "enc.json").chmod(mode)

    peers.same("set", "link.json", '["a"]', "1", prepare=prepare, code=0)
    # Here plaintext always gets this mode.
    peers.same("decrypt", "-i", "link.json", prepare=lambda place: prepare(place, 0o600), code=0)
    peers.same("rotate", "-i", "link.json", prepare=prepare, code=0)
    peers.same("edit", "link.json", env={"EDITOR": "sed -i s/one/three/"}, prepare=prepare, code=0)


def test_completion_scripts_of_sops_work(directory):
    """a completion script of sops gets the commands, and the flags that a command has"""
    peers = Peers(directory)
    for words in [(), ("groups",), ("decrypt",), ("decrypt", "file")]:
        theirs, ours = (run(program, *words, "--generate-bash-completion").out.split() for program in (peers.sops, peers.ours))
        equal(set(ours) ^ set(theirs) - {"h", "help", "publish", "keyservice"}, set(), str(words))
    for words in [("-",), ("decrypt", "--i"), ("groups", "add", "--")]:
        theirs, ours = (run(program, *words, "--generate-bash-completion").out.split() for program in (peers.sops, peers.ours))
        missing = {flag for flag in theirs if flag.startswith("--")} - set(ours)
        equal(missing, set(), str(words))


harness.main()
