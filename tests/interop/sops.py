# SPDX-License-Identifier: Apache-2.0
"""vmcred and the real sops read each other's documents."""
import contextlib
import json
import os
import random
import subprocess

import harness
from harness import equal, expect, need, run

DOCUMENT = os.environ.get("VMCRED_DOCUMENT", "build/tests/interop/document")
BINARY = ("--input-type", "binary", "--output-type", "json")
BINARY_BACK = ("--input-type", "binary", "--output-type", "binary")
TREES = int(os.environ.get("VMCRED_TREES", "60"))

VALUES = {
    "nothing": b"",
    "text": b"correct horse battery staple\n",
    "NUL bytes": b"a\0b\0\0",
    "no UTF-8": b"\xff\xfe\x80\xc0\xaf",
    "JSON": b'{"data": "ENC[AES256_GCM,data:,iv:,tag:,type:str]"}',
    "all bytes": bytes(range(256)),
    "200000 bytes": random.Random(1).randbytes(200000),
}


def keygen(directory, name):
    """Creates an identity file with the real age-keygen; returns it and its public key."""
    path = directory / name
    expect(run(need("age-keygen"), "-o", path))
    return path, run(need("age-keygen"), "-y", path).out.strip()


def pipe(*command, stdin=b"", key=None):
    """Runs a filter and returns its output as bytes."""
    environment = harness.CLEAN_ENVIRONMENT | ({"SOPS_AGE_KEY_FILE": str(key)} if key else {})
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    equal((done.returncode, done.stderr.decode()), (0, ""), "exit code and stderr")
    return done.stdout


def sops_encrypt(directory, recipients, name, content, *options):
    path = directory / name
    path.write_bytes(content)
    return pipe(need("sops"), "--encrypt", "--age", ",".join(recipients), *options, path)


def sops_decrypt(directory, key, name, content, *options):
    path = directory / name
    path.write_bytes(content)
    return pipe(need("sops"), "decrypt", *options, path, key=key)


def test_sops_reads_our_binary_documents(directory):
    """sops reads binary documents by vmcred with any bytes"""
    key, recipient = keygen(directory, "key")
    for name, value in VALUES.items():
        document = pipe(DOCUMENT, "encrypt", "binary", "binary", f"age:{recipient}", stdin=value)
        equal(sops_decrypt(directory, key, "secret", document, *BINARY_BACK), value, name)


def test_we_read_binary_documents_of_sops(directory):
    """vmcred reads binary documents by sops with any bytes"""
    key, recipient = keygen(directory, "key")
    for name, value in VALUES.items():
        document = sops_encrypt(directory, [recipient], "plain", value, *BINARY)
        equal(pipe(DOCUMENT, "decrypt", "binary", "binary", stdin=document, key=key), value, name)


def test_documents_have_the_layout_of_sops(directory):
    """documents by vmcred have the layout, keys and white space of those by sops"""
    recipients = [keygen(directory, f"key{number}")[1] for number in range(2)]
    ours = pipe(DOCUMENT, "encrypt", "binary", "binary", *(f"age:{one}" for one in recipients), stdin=b"value").decode()
    theirs = sops_encrypt(directory, recipients, "plain", b"value", *BINARY).decode()

    def skeleton(text):
        """Masks random values and times."""
        document = json.loads(text)
        for key in document["sops"]["age"]:
            text = text.replace(json.dumps(key["enc"])[1:-1], "X" * len(key["enc"]))
        for value in (document["data"], document["sops"]["mac"]):
            text = text.replace(value, "X" * len(value))
        return text.replace(document["sops"]["lastmodified"], "T" * len(document["sops"]["lastmodified"]))

    equal(skeleton(ours), skeleton(theirs), "layout")


def test_each_recipient_decrypts(directory):
    """each of several recipients decrypts documents by sops and vmcred"""
    keys = [keygen(directory, f"key{number}") for number in range(3)]
    recipients = [recipient for _, recipient in keys]
    ours = pipe(DOCUMENT, "encrypt", "binary", "binary", *(f"age:{one}" for one in recipients), stdin=b"value")
    theirs = sops_encrypt(directory, recipients, "plain", b"value", *BINARY)
    for path, _ in keys:
        equal(sops_decrypt(directory, path, "secret", ours, *BINARY_BACK), b"value", "ours")
        equal(pipe(DOCUMENT, "decrypt", "binary", "binary", stdin=theirs, key=path), b"value", "theirs")


def test_error_lists_recipients_and_identities(directory):
    """the error without a matching identity lists the recipients and the identities that were tried"""
    _, recipient = keygen(directory, "key")
    path, stranger = keygen(directory, "stranger")
    document = sops_encrypt(directory, [recipient], "plain", b"value", *BINARY)
    result = expect(run(DOCUMENT, "decrypt", "binary", "binary", stdin=document, env={"SOPS_AGE_KEY_FILE": str(path)}), 3, "")
    equal((recipient in result.err, stranger in result.err), (True, True), result.err)


NUMBERS = [0, 1, -1, 7, 10**6, -(2**63), 2**63 - 1, 0.5, -2.25, 1e21, 1e-7, 123456.789, 5e-324, 1e300, 2.0, 1e20]
WORDS = ["", "a", "key", "über", "日本", "𝄞", "tab\there", 'quote"', "back\\slash", "<&>", "\u2028", "new\nline", "\x01", "/", "\x7f"]


def tree(source, depth):
    """Returns a random value of a document."""
    kind = source.randrange(9 if depth > 0 else 7)
    if kind < 3:
        return "".join(source.choice(WORDS) for _ in range(source.randrange(4)))
    if kind == 3:
        return source.choice(NUMBERS)
    if kind == 4:
        return source.choice([True, False])
    if kind == 5:
        return None
    if kind == 6:
        return source.randrange(-(10**12), 10**12)
    if kind == 7:
        return [tree(source, depth - 1) for _ in range(source.randrange(5))]
    return branch(source, depth - 1)


def branch(source, depth):
    suffixes = ["", "", "", "_unencrypted", "_secret"]
    return {
        f"{source.choice(WORDS)}{number}{source.choice(suffixes)}": tree(source, depth)
        for number in range(source.randrange(1, 6))
    }


RULES = [
    (),
    ("--unencrypted-suffix", "_unencrypted"),
    ("--encrypted-suffix", "_secret"),
    ("--mac-only-encrypted",),
    ("--mac-only-encrypted", "--encrypted-suffix", "_secret"),
]


def test_random_documents_of_sops(directory):
    """random documents by sops are decrypted to the same bytes as by sops"""
    source = random.Random(42)
    key, recipient = keygen(directory, "key")
    for number in range(TREES):
        content = json.dumps(branch(source, 4), ensure_ascii=source.choice([True, False])).encode()
        rule = RULES[number % len(RULES)]
        document = sops_encrypt(directory, [recipient], "plain.json", content, *rule)
        expected = sops_decrypt(directory, key, "secret.json", document)
        equal(pipe(DOCUMENT, "decrypt", "json", "json", stdin=document, key=key), expected, f"tree {number}, rule {rule}")


def test_modified_value_is_an_integrity_error(directory):
    """a modified value in a document by sops is an integrity error that names the value"""
    key, recipient = keygen(directory, "key")
    content = {"db": {"users": ["root", "guest"]}, "port_unencrypted": 5432}
    document = json.loads(sops_encrypt(directory, [recipient], "plain.json", json.dumps(content).encode()))

    def refused(change, message):
        changed = json.loads(json.dumps(document))
        change(changed)
        expect(
            run(DOCUMENT, "decrypt", "json", "json", stdin=json.dumps(changed), env={"SOPS_AGE_KEY_FILE": str(key)}),
            code=4,
            out="",
            err=f"document: stdin: {message}\n",
        )

    users = document["db"]["users"]
    tag = "was modified or moved (authentication tag mismatch)"
    mac = "the MAC does not match: values were added, removed, changed or reordered"
    first = users[1].index("data:") + len("data:")
    flipped = users[1][:first] + ("B" if users[1][first] == "A" else "A") + users[1][first + 1 :]
    refused(lambda d: d["db"].update(users=[users[0], flipped]), f"the value db.users[1] {tag}")
    refused(lambda d: d["db"].update(users=users[::-1]), mac)
    refused(lambda d: d["db"].update(users=users[:1]), mac)
    refused(lambda d: d.update(port_unencrypted=5433), mac)
    refused(lambda d: d.update(other=d["db"]), f"the value other.users[0] {tag}")
    refused(lambda d: d["db"].update(extra="x"), "the value db.extra is not encrypted, but the document's rule requires it")
    refused(lambda d: d["sops"].update(lastmodified="2001-01-01T00:00:00Z"),
            "the MAC or its time was modified (authentication tag mismatch)")


@contextlib.contextmanager
def gnupg(directory):
    """Creates a gpg keyring with a key; returns its fingerprint and the environment. The agent ends with the keyring."""
    home = directory / "gnupg"
    home.mkdir(mode=0o700)
    environment = {"GNUPGHOME": str(home), "SOPS_GPG_EXEC": need("gpg")}
    quiet = ("--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
    try:
        expect(run(need("gpg"), *quiet, "--quick-generate-key", "test@localhost", "future-default", "default", "never", env=environment))
        listed = expect(run(need("gpg"), "--list-secret-keys", "--with-colons", env=environment)).out
        yield next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")), environment
    finally:
        run("gpgconf", "--kill", "all", env=environment)


def test_pgp_documents_both_ways(directory):
    """sops and vmcred decrypt each other's documents with a PGP key"""
    content = json.dumps({"a": "x", "b": [1, True]})
    (directory / "plain.json").write_text(content)
    with gnupg(directory) as (fingerprint, environment):
        ours = expect(run(DOCUMENT, "encrypt", "json", "json", f"pgp:{fingerprint}", stdin=content, env=environment)).out
        theirs = expect(run(need("sops"), "encrypt", "--pgp", fingerprint, directory / "plain.json", env=environment)).out
        (directory / "ours.json").write_text(ours)
        expected = expect(run(need("sops"), "decrypt", directory / "ours.json", env=environment), err="").out
        expect(run(DOCUMENT, "decrypt", "json", "json", stdin=theirs, env=environment), out=expected, err="")
        keys = [json.loads(text)["sops"]["pgp"][0] for text in (ours, theirs)]
        equal([sorted(key) for key in keys], [["created_at", "enc", "fp"]] * 2, "fields")
        equal([key["enc"].split("\n")[0] for key in keys], ["-----BEGIN PGP MESSAGE-----"] * 2, "first lines")
        equal([key["enc"].split("\n")[-1] for key in keys], ["-----END PGP MESSAGE-----"] * 2, "last lines")


def test_key_groups_of_age_and_pgp(directory):
    """an age key and a PGP key in two groups decrypt a document together, and neither alone"""
    key, recipient = keygen(directory, "key")
    with gnupg(directory) as (fingerprint, environment):
        words = (f"age:{recipient}", "+", f"pgp:{fingerprint}", "+", f"pgp:{fingerprint}", "threshold=2")
        with_key = environment | {"SOPS_AGE_KEY_FILE": str(key)}
        document = expect(run(DOCUMENT, "encrypt", "json", "json", *words, stdin='{"a": 1}', env=environment)).out
        (directory / "file.json").write_text(document)
        expected = expect(run(need("sops"), "decrypt", directory / "file.json", env=with_key)).out
        expect(run(DOCUMENT, "decrypt", "json", "json", stdin=document, env=with_key), out=expected, err="")
        result = expect(run(DOCUMENT, "decrypt", "json", "json", stdin=document, env={"SOPS_AGE_KEY_FILE": str(key)}), 3, "")
        for part in ("2 of 3", "only 1", f"group 1: {recipient}; group 2: pgp {fingerprint}; group 3: pgp {fingerprint}; "):
            assert part in result.err, result.err


def test_gpg_failures(directory):
    """a gpg that is missing, fails or returns no data is an error"""
    (directory / "fails").write_text("#!/bin/sh\necho 'no luck' >&2\nexit 2\n")
    (directory / "quiet").write_text("#!/bin/sh\ncat >/dev/null\n")
    (directory / "deaf").write_text("#!/bin/sh\nexec <&-\nexit 1\n")
    for name in ("fails", "quiet", "deaf"):
        (directory / name).chmod(0o755)
    cases = {
        "fails": ("failed: no luck", 3),
        "deaf": ("failed: no error message", 3),
        "missing": ("No such file or directory", 3),
    }
    for name, (reason, code) in cases.items():
        program = directory / name
        words = f"starting {program}: {reason}" if name == "missing" else f"{program} {reason}"
        expect(
            run(DOCUMENT, "encrypt", "json", "json", "pgp:00FF", stdin='{"a": 1}', env={"SOPS_GPG_EXEC": str(program)}),
            code=code,
            out="",
            err=f"document: stdin: encrypting to the PGP key 00FF: {words}\n",
        )
    key, recipient = keygen(directory, "key")
    text = pipe(DOCUMENT, "encrypt", "json", "json", f"age:{recipient}", stdin=b'{"a": 1}').decode()
    pgp = '"sops": {"pgp": [{"fp": "00FF", "enc": "x", "created_at": "2026-01-01T00:00:00Z"}],'
    expect(
        run(DOCUMENT, "decrypt", "json", "json", stdin=text.replace('"age"', '"no"').replace('"sops": {', pgp),
            env={"SOPS_GPG_EXEC": str(directory / "quiet")}),
        code=3,
        out="",
        err=f"document: stdin: sops.pgp: the key for 00FF: {directory / 'quiet'} returned no data\n",
    )
    # What cannot be opened with one key is opened with another.
    expect(
        run(DOCUMENT, "decrypt", "json", "json", stdin=text.replace('"sops": {', pgp),
            env={"SOPS_GPG_EXEC": str(directory / "fails"), "SOPS_AGE_KEY_FILE": str(key)}),
        out='{\n\t"a": 1\n}\n',
        err="",
    )


if __name__ == "__main__":
    harness.main()
