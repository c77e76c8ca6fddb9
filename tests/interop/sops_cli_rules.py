# SPDX-License-Identifier: Apache-2.0
"""The rules of .sops.yaml: each file gets the same keys, rule and layout as with the real sops."""
import harness
from harness import equal
from side_by_side import Peers

# $A and $B are recipients. What stands in each is the whole file, then which files are encrypted under it.
KEYS = {
    "a text": "creation_rules:\n  - age: $A\n",
    "a text with commas": "creation_rules:\n  - age: $A, $B\n",
    "a folded text": "creation_rules:\n  - age: >-\n      $A,\n      $B\n",
    "a comma too many": "creation_rules:\n  - age: $A,\n",
    "a list": "creation_rules:\n  - age: [$A, $B]\n",
    "a list with commas": 'creation_rules:\n  - age: ["$A,$B"]\n',
    "nothing": "creation_rules:\n  - path_regex: .*\n",
    "null": "creation_rules:\n  - age:\n",
    "a number": "creation_rules:\n  - age: [1]\n",
    "a mapping": "creation_rules:\n  - age: {a: b}\n",
    "no recipient": "creation_rules:\n  - age: age1nope\n",
    "a key of another kind": "creation_rules:\n  - age: nonsense\n",
    "anchors": "keys:\n  - &a $A\n  - &b $B\ncreation_rules:\n  - key_groups:\n      - age:\n          - *a\n          - *b\n",
    "merge keys": "base: &base\n  age: $A\n  encrypted_regex: a\ncreation_rules:\n  - <<: *base\n    path_regex: json$\n",
    "one group": "creation_rules:\n  - key_groups:\n      - age: [$A]\n",
    "a group with a text": "creation_rules:\n  - key_groups:\n      - age: $A\n",
    "two groups": "creation_rules:\n  - key_groups:\n      - age: [$A]\n      - age: [$B]\n",
    "two groups and a threshold": "creation_rules:\n  - shamir_threshold: 1\n    key_groups:\n      - age: [$A]\n      - age: [$B]\n",
    "three groups, two needed": "creation_rules:\n  - shamir_threshold: 2\n    key_groups:\n      - age: [$A]\n      - age: [$B]\n      - age: [$A, $B]\n",
    "an empty group": "creation_rules:\n  - key_groups:\n      - age: [$A]\n      - age: []\n",
    "a group that is null": "creation_rules:\n  - key_groups:\n      -\n      - age: [$A]\n",
    "a merged group that is null": "creation_rules:\n  - key_groups:\n      - merge: [~, {age: [$A]}]\n",
    "keys in a group that are null": "creation_rules:\n  - key_groups:\n      - age: [~, $A]\n        pgp: [null]\n        kms: [null]\n",
    "keys in a rule that are null": "creation_rules:\n  - age: [~, $A]\n",
    "no groups": "creation_rules:\n  - key_groups: []\n    age: $A\n",
    "groups before keys": "creation_rules:\n  - key_groups:\n      - age: [$B]\n    age: $A\n",
    "a merged group": "creation_rules:\n  - key_groups:\n      - merge:\n          - age: [$A]\n          - age: [$B, $A]\n        age: [$B]\n",
    "a duplicate key in a group": "creation_rules:\n  - key_groups:\n      - age: [$A, $A, $B]\n",
    "a threshold of 1 for one group": "creation_rules:\n  - age: $A\n    shamir_threshold: 1\n",
    "a hexadecimal threshold": "creation_rules:\n  - shamir_threshold: 0x1\n    key_groups:\n      - age: [$A]\n      - age: [$B]\n",
    "an octal threshold": "creation_rules:\n  - shamir_threshold: 0o2\n    key_groups:\n      - age: [$A]\n      - age: [$B]\n",
    "a threshold with a sign and an underscore": "creation_rules:\n  - shamir_threshold: +0_2\n    key_groups:\n      - age: [$A]\n      - age: [$B]\n",
    "a threshold that is not a number": "creation_rules:\n  - age: $A\n    shamir_threshold: x\n",
    "a quoted threshold": 'creation_rules:\n  - age: $A\n    shamir_threshold: "2"\n',
}

RULES = {
    "unencrypted_suffix": "creation_rules:\n  - age: $A\n    unencrypted_suffix: e\n",
    "encrypted_suffix": "creation_rules:\n  - age: $A\n    encrypted_suffix: e\n",
    "unencrypted_regex": "creation_rules:\n  - age: $A\n    unencrypted_regex: ^[ad]$\n",
    "encrypted_regex": "creation_rules:\n  - age: $A\n    encrypted_regex: ^(a|d)$\n",
    "unencrypted_comment_regex": "creation_rules:\n  - age: $A\n    unencrypted_comment_regex: comment\n",
    "encrypted_comment_regex": "creation_rules:\n  - age: $A\n    encrypted_comment_regex: comment\n",
    "mac_only_encrypted": "creation_rules:\n  - age: $A\n    encrypted_regex: a\n    mac_only_encrypted: true\n",
    "mac_only_encrypted: yes": "creation_rules:\n  - age: $A\n    mac_only_encrypted: yes\n",
    "mac_only_encrypted: false": "creation_rules:\n  - age: $A\n    mac_only_encrypted: off\n",
    "mac_only_encrypted: 'true'": "creation_rules:\n  - age: $A\n    mac_only_encrypted: 'true'\n",
    "mac_only_encrypted: 'yes'": "creation_rules:\n  - age: $A\n    mac_only_encrypted: 'yes'\n",
    "mac_only_encrypted: a word": "creation_rules:\n  - age: $A\n    mac_only_encrypted: maybe\n",
    "two at once": "creation_rules:\n  - age: $A\n    encrypted_regex: a\n    encrypted_suffix: b\n",
    "two at once in a rule for others": "creation_rules:\n  - path_regex: other\n    age: $A\n    encrypted_regex: a\n    encrypted_suffix: b\n  - age: $A\n",
    "an empty one": 'creation_rules:\n  - age: $A\n    encrypted_regex: ""\n',
}

FILES = {
    "no creation_rules": "stores:\n  json:\n    indent: 2\n",
    "creation_rules: null": "creation_rules:\n",
    "creation_rules: []": "creation_rules: []\n",
    "nothing at all": "",
    "comments only": "# nothing\n",
    "a comment after a value": "creation_rules: # rules\n  # a rule\n  - age: $A # a key\n",
    "unknown keys": "whatever: 1\ncreation_rules:\n  - age: $A\n    unknown: [1, 2]\n",
    "destination_rules": "creation_rules:\n  - age: $A\ndestination_rules:\n  - s3_bucket: x\n    path_regex: x\n",
    "a list": "- age: $A\n",
    "a text": "nonsense\n",
    "creation_rules: a mapping": "creation_rules:\n  age: $A\n",
    "creation_rules: a text": "creation_rules: x\n",
    "a rule that is null": "creation_rules:\n  -\n  - age: $A\n",
    "only a rule that is null": "creation_rules:\n  - null\n",
    "a rule that is a text": "creation_rules:\n  - x\n",
    "bad YAML": "creation_rules: [\n",
    "the same key twice": "creation_rules:\n  - age: $A\n    age: $B\n",
    "a tab": "creation_rules:\n\t- age: $A\n",
    "a document marker": "---\ncreation_rules:\n  - age: $A\n",
    "a wrong type in a rule for others": "creation_rules:\n  - path_regex: other\n    encrypted_regex: [x]\n  - age: $A\n",
}

# path_regex, and the file that is encrypted from the directory of .sops.yaml.
PATHS = [
    (r"\.json$", "plain.json"),
    (r"\.yaml$", "plain.json"),
    (r"^plain\.json$", "plain.json"),
    (r"^sub/plain\.json$", "sub/plain.json"),
    (r"^plain\.json$", "sub/plain.json"),
    (r"^sub/deep/", "sub/deep/plain.json"),
    (r"sub", "sub/../plain.json"),
    (r"^plain\.json$", "sub/../plain.json"),
    (r"^plain\.json$", "./plain.json"),
    (r"(?i)PLAIN", "plain.json"),
    (r"^(sub|other)/.*\.json$", "sub/plain.json"),
    (r"[a-z]+\.json", "plain.json"),
    (r"\bplain\b", "plain.json"),
    (r"tree/plain\.json$", "plain.json"),
    (r"^/", "plain.json"),
    (r"(", "plain.json"),
    (r"(?=plain)", "plain.json"),
    (r"", "plain.json"),
]

STORES = {
    "json, 2": "stores:\n  json:\n    indent: 2\n",
    "json, 0x3": "stores:\n  json:\n    indent: 0x3\n",
    "json, 0": "stores:\n  json:\n    indent: 0\n",
    "json, -1": "stores:\n  json:\n    indent: -1\n",
    "json_binary, 3": "stores:\n  json_binary:\n    indent: 3\n",
    "yaml, 2": "stores:\n  yaml:\n    indent: 2\n",
    "yaml, 0": "stores:\n  yaml:\n    indent: 0\n",
    "all of them": "stores:\n  json: {indent: 1}\n  json_binary: {indent: 2}\n  yaml: {indent: 3}\n  dotenv: {}\n  ini: {}\n",
    "a word": "stores:\n  json:\n    indent: x\n",
    "a list": "stores: []\n",
    "a list for a store": "stores:\n  json: [1]\n",
}


def text_for(peers, text):
    return text.replace("$A", peers.recipient).replace("$B", peers.other)


def encrypt_each(peers, table, name, stdout=True):
    for sentence, text in table.items():
        (peers.tree / ".sops.yaml").write_text(text_for(peers, text))
        try:
            peers.same("encrypt", "-i", name, stdout=stdout)
        except AssertionError as error:
            raise AssertionError(f"{sentence}: {error}") from error
    (peers.tree / ".sops.yaml").unlink()


def test_every_notation_gives_the_same_recipients(directory):
    """keys and key groups give the same recipients in every notation"""
    encrypt_each(Peers(directory), KEYS, "plain.json")


def test_rules_encrypt_the_same_values(directory):
    """each rule encrypts the same values in JSON and YAML"""
    peers = Peers(directory)
    encrypt_each(peers, RULES, "plain.json")
    encrypt_each(peers, RULES, "plain.yaml")
    encrypt_each(peers, RULES, "plain.bin")


def test_broken_files_are_refused_as_by_sops(directory):
    """unusual and broken files are accepted or refused as by sops"""
    encrypt_each(Peers(directory), FILES, "plain.json")


def test_path_regex_matches_the_relative_path(directory):
    """path_regex matches the path below the directory of .sops.yaml, and the first match wins"""
    peers = Peers(directory)
    (peers.tree / "sub" / "deep").mkdir(parents=True)
    for place in ("sub", "sub/deep"):
        (peers.tree / place / "plain.json").write_text('{"a": 1}')
    for expression, path in PATHS:
        (peers.tree / ".sops.yaml").write_text(
            f"creation_rules:\n  - path_regex: '{expression}'\n    age: {peers.recipient}\n"
            f"  - path_regex: ^sub/deep\n    age: {peers.other}\n"
        )
        try:
            peers.same("encrypt", "-i", path)
        except AssertionError as error:
            raise AssertionError(f"{expression} on {path}: {error}") from error


def test_sops_yaml_is_searched_upwards(directory):
    """.sops.yaml is searched from the working directory upwards, and nowhere else"""
    peers = Peers(directory)
    (peers.tree / "sub" / "deep").mkdir(parents=True)
    (peers.tree / "sub" / "deep" / "plain.json").write_text('{"a": 1}')
    rule = f"creation_rules:\n  - path_regex: deep/plain.json$\n    age: {peers.recipient}\n"
    (peers.tree / ".sops.yaml").write_text(rule)
    for cwd, path in [(".", "sub/deep/plain.json"), ("sub", "deep/plain.json"), ("sub/deep", "plain.json")]:
        peers.same("encrypt", "-i", path, cwd=cwd, code=0)
    (peers.tree / "sub" / ".sops.yaml").write_text(f"creation_rules:\n  - age: {peers.other}\n")
    for cwd, path in [(".", "sub/deep/plain.json"), ("sub", "deep/plain.json"), ("sub/deep", "plain.json")]:
        peers.same("encrypt", "-i", path, cwd=cwd, code=0)
    (peers.tree / "sub" / ".sops.yaml").unlink()
    (peers.tree / ".sops.yaml").rename(peers.tree / ".sops.yml")
    peers.same("encrypt", "-i", "sub/deep/plain.json", code=1)


def test_config_and_sops_config_name_the_file(directory):
    """--config and SOPS_CONFIG name the file, and paths are relative to its directory"""
    peers = Peers(directory)
    (peers.tree / "sub").mkdir()
    (peers.tree / "sub" / "plain.json").write_text('{"a": 1}')
    rule = f"creation_rules:\n  - path_regex: ^plain.json$\n    age: {peers.recipient}\n"
    (peers.tree / "sub" / "rules.yaml").write_text(rule)
    for name in ("plain.json", "sub/plain.json"):
        peers.same("--config", "sub/rules.yaml", "encrypt", "-i", name)
        peers.same("--config=sub/rules.yaml", "-e", "-i", name)
        peers.same("encrypt", "-i", name, env={"SOPS_CONFIG": "sub/rules.yaml"})
    peers.same("--config", "nofile", "encrypt", "-i", "plain.json", code=1)
    for name in ("enc.json", "enc.env", "enc.ini"):
        peers.same("--config", "nofile", "decrypt", name, code=1)


def test_flags_override_sops_yaml(directory):
    """flags override .sops.yaml, which must still have a rule"""
    peers = Peers(directory)
    (peers.tree / ".sops.yaml").write_text(
        f"creation_rules:\n  - path_regex: json$\n    age: {peers.recipient}\n    encrypted_regex: a\n    shamir_threshold: 1\n"
    )
    age = ("--age", peers.other)
    peers.same("encrypt", "-i", *age, "plain.json", code=0)
    peers.same("encrypt", "-i", "--encrypted-regex", "b", "plain.json", code=0)
    peers.same("encrypt", "-i", "--encrypted-suffix", "b", "plain.json", code=8)
    peers.same("encrypt", "-i", "--shamir-secret-sharing-threshold", "2", "plain.json", code=0)
    peers.same("encrypt", "-i", *age, "plain.yaml", code=1)
    peers.same("encrypt", "--filename-override", "x.json", *age, "--output", "y", "plain.yaml", code=2)
    peers.same("encrypt", "--filename-override", "x.json", "--output", "y", "plain.json", code=0)
    peers.same("-e", "-i", "plain.json", code=0)
    for words in [("-r", "-i", "enc.yaml"), ("enc.yaml",), ("--set", '["a"] 1', "enc.yaml"), ("-d", "enc.yaml"), ("rotate", "-i", "enc.yaml")]:
        peers.same(*words, env={"EDITOR": "sed -i s/one/three/"})


def test_stores_have_the_layout_of_sops(directory):
    """stores lay documents out as in sops"""
    peers = Peers(directory)
    for sentence, text in STORES.items():
        (peers.tree / ".sops.yaml").write_text(text + f"creation_rules:\n  - age: {peers.recipient}\n")
        for name in ("plain.json", "plain.yaml", "plain.bin"):
            try:
                peers.same("encrypt", "-i", name)
                peers.same("decrypt", name.replace("plain", "enc"))
                peers.same("--indent", "5", "encrypt", "-i", name)
            except AssertionError as error:
                raise AssertionError(f"{sentence}: {error}") from error


def test_updatekeys_gives_files_the_keys_of_their_rules(directory):
    """updatekeys gives files the keys of their rules, has the same exit codes, and leaves correct files unchanged"""
    peers = Peers(directory)
    (peers.tree / "sub").mkdir()
    cases = {
        "the same": "creation_rules:\n  - age: $A\n",
        "another": "creation_rules:\n  - age: $B\n",
        "one more": "creation_rules:\n  - age: $A, $B\n",
        "two groups": "creation_rules:\n  - key_groups:\n      - age: [$A]\n      - age: [$B]\n",
        "two groups and a threshold": "creation_rules:\n  - shamir_threshold: 1\n    key_groups:\n      - age: [$A]\n      - age: [$B]\n",
        "no rule for it": "creation_rules:\n  - path_regex: nope\n    age: $A\n",
        "no rules": "stores: {}\n",
        "no key": "creation_rules:\n  - path_regex: .*\n",
        "other rules for values": "creation_rules:\n  - age: $A, $B\n    encrypted_regex: nope\n",
    }
    for sentence, text in cases.items():
        (peers.tree / ".sops.yaml").write_text(text_for(peers, text))
        for name in ("enc.json", "enc.yaml", "enc.env", "enc.ini", "enc.bin"):
            try:
                _, place, their_place = peers.same("updatekeys", "-y", name, stdout=False)
            except AssertionError as error:
                raise AssertionError(f"{sentence}: {error}") from error
            if sentence == "the same":
                equal((place / name).read_bytes(), (their_place / name).read_bytes(), name)
    (peers.tree / ".sops.yaml").write_text(text_for(peers, cases["another"]))
    _, place, _ = peers.same("updatekeys", "enc.json", stdin=b"y\n", stdout=False, code=0)
    peers.decrypt(place / "enc.json", peers.other_key)
    peers.same("updatekeys", "enc.json", stdin=b"n\n", stdout=False, code=0)
    peers.same("updatekeys", "enc.json", stdin=b"", stdout=False, code=1)
    peers.same("updatekeys", "-y", "sub", stdout=False, code=1)
    peers.same("updatekeys", "-y", "nofile", stdout=False, code=1)
    peers.same("updatekeys", "-y", "plain.json", stdout=False, code=1)
    peers.same("updatekeys", "-y", "enc.json", "nofile", "enc.yaml", stdout=False, code=1)
    peers.same("updatekeys", "-y", "enc.json", "enc.yaml", stdout=False, code=0)
    peers.same("updatekeys", "-y", "--input-type", "json", "enc.json", stdout=False, code=0)
    peers.same("updatekeys", "-y", "enc.json", env={"SOPS_AGE_KEY_FILE": "/nonexistent"}, stdout=False, code=128)


harness.main()
