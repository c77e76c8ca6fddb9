# SPDX-License-Identifier: Apache-2.0
"""The built-in kinds: each of them is read by the program that it is for."""
import base64
import re

import harness
from example import Example
from harness import equal, expect, need, run, test, vmcred

DECLARATION = """\
machines: {m: {}}
generators:
  made:
    machines: [m]
%s
"""


def example(folder, text):
    return Example(folder, DECLARATION % "".join(f"    {line}\n" for line in text.splitlines()), generate=False)


def made(folder, text, *files):
    """The contents of the files, also written to the folder for other programs."""
    here = example(folder, text)
    expect(here.generate())
    contents = [here.get(file).out for file in files]
    for file, content in zip(files, contents):
        (folder / file).write_text(content)
        (folder / file).chmod(0o600)
    return contents


def one(folder, kind):
    return made(folder, f"files: {{it: {{}}}}\nkind: {{it: {kind}}}", "it")[0]


for kind, pattern in {
    "{base64: 32}": r"[A-Za-z0-9+/]{43}=",
    "{base64: {bytes: 3}}": r"[A-Za-z0-9+/]{4}",
    "{base64url: 33}": r"[A-Za-z0-9_-]{44}",
    "{base64url: 32}": r"[A-Za-z0-9_-]{43}",
    "{hex: 20}": r"[0-9a-f]{40}",
    "{alphanumeric: 300}": r"[A-Za-z0-9]{300}",
    "{pin: {length: 6}}": r"[0-9]{6}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "{uuid: {}}": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "machine-id": r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}\n",
    "jwt": r"[A-Za-z0-9_-]{43}",
    "{jwt: HS256}": r"[A-Za-z0-9_-]{43}",
}.items():

    @test(f"the kind {kind} has its form")
    def _(folder, kind=kind, pattern=pattern):
        content = one(folder, kind)
        assert re.fullmatch(pattern, content), content


@test("each character of an alphabet comes about as often as the others")
def _(folder):
    for kind, size in ("alphanumeric", 62), ("pin", 10):
        content = one(folder / kind if (folder / kind).mkdir() is None else None, "{%s: 1000}" % kind)
        equal(len(content), 1000)
        counts = [content.count(character) for character in set(content)]
        # All of them, and none four times as often as it should be: both fail for one in a billion good runs.
        equal(len(counts), size)
        assert max(counts) < 4 * 1000 / size + 10, counts


@test("a passphrase is made of words of the list, each chosen anew")
def _(folder):
    words = [f"word{number}" for number in range(2000)]
    (folder / "words").write_text("".join(f"{11111 + i}\t{word}\n" for i, word in enumerate(words)) + "\n")
    phrases = [one(folder, "{passphrase: {list: words, words: 7, separator: ' '}}").split(" ")]
    equal(len(phrases[0]), 7)
    assert set(phrases[0]) <= set(words), phrases
    (folder / "second").mkdir()
    (folder / "second" / "words").write_text("\n".join(words))
    phrase = one(folder / "second", "{passphrase: words}")
    equal(len(phrase.split("-")), 6)


@test("a list of too few words is refused")
def _(folder):
    (folder / "words").write_text("a\nb\n")
    expect(
        example(folder, "files: {it: {}}\nkind: {it: {passphrase: words}}").generate(),
        1,
        "",
        "vmcred: making made/it: the list words has 2 words: a passphrase needs a list of 1024 words or more\n",
    )
    (folder / "words").unlink()
    expect(example(folder / "x" if (folder / "x").mkdir() is None else None,
                   "files: {it: {}}\nkind: {it: {passphrase: words}}").generate(), 3, "")  # fmt: skip


@test("a password's hash is the one that crypt(3) computes, of a file or of a prompt")
def _(folder):
    password, yescrypt, sha512, prompted = made(
        folder,
        "files: {password: {}, yescrypt: {}, sha512: {}}\n"
        "kind:\n  yescrypt: {password-hash: password}\n"
        "  sha512: {password-hash: {of: password, method: sha-512}}\n"
        "  password: {alphanumeric: 20}\n",
        "password", "yescrypt", "sha512", "password",
    )  # fmt: skip
    equal(prompted, password)
    assert yescrypt.startswith("$y$") and sha512.startswith("$6$"), (yescrypt, sha512)
    for hashed in yescrypt, sha512:
        equal(run("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, hashed).out, hashed)


@test("an Ed25519 and an RSA key are read by ssh-keygen, and their public halves are theirs")
def _(folder):
    keygen = need("ssh-keygen")
    _, ed, _, rsa = made(
        folder,
        "files: {ed: {}, ed.pub: {secret: false}, rsa: {}, rsa.pub: {secret: false}}\n"
        "kind:\n  ed: {ssh-key: {comment: root@m, public: ed.pub}}\n"
        "  rsa: {ssh-key: {type: rsa, bits: 2048, public: rsa.pub}}\n",
        "ed", "ed.pub", "rsa", "rsa.pub",
    )  # fmt: skip
    equal(run(keygen, "-y", "-f", folder / "ed").out, ed)
    equal(run(keygen, "-y", "-f", folder / "rsa").out, rsa)
    assert ed.endswith(" root@m\n"), ed
    equal(run(keygen, "-l", "-f", folder / "rsa").out.split()[0], "2048")
    # And they work: what one signs the public half accepts.
    (folder / "text").write_text("x")
    for key in "ed", "rsa":
        expect(run(keygen, "-Y", "sign", "-f", folder / key, "-n", "file", folder / "text"))
        (folder / "signers").write_text("me " + (folder / f"{key}.pub").read_text())
        signature = folder / "text.sig"
        expect(
            run(keygen, "-Y", "verify", "-f", folder / "signers", "-I", "me", "-n", "file", "-s", signature, stdin="x")
        )
        signature.unlink()


@test("an age key opens what its public half encrypts")
def _(folder):
    age = need("age")
    _, public = made(
        folder, "files: {key: {}, pub: {secret: false}}\nkind: {key: {age-key: pub}}", "key", "pub"
    )  # fmt: skip
    encrypted = run(age, "-a", "-r", public.strip(), stdin="text").out
    expect(run(age, "-d", "-i", folder / "key", stdin=encrypted), 0, "text")


@test("a WireGuard key is clamped, and its public half is the one that wg computes")
def _(folder):
    wg = need("wg")
    key, public = made(
        folder, "files: {key: {}, pub: {secret: false}}\nkind: {key: {wireguard: pub}}", "key", "pub"
    )  # fmt: skip
    scalar = base64.b64decode(key)
    equal((len(scalar), scalar[0] & 7, scalar[31] & 0xC0), (32, 0, 0x40))
    equal(run(wg, "pubkey", stdin=key).out, public)


@test("an EdDSA pair for JSON Web Tokens belongs together")
def _(folder):
    _, public = made(
        folder,
        "files: {key: {}, pub: {secret: false}}\nkind: {key: {jwt: {algorithm: EdDSA, public: pub}}}",
        "key", "pub",
    )  # fmt: skip
    equal(run("openssl", "pkey", "-in", folder / "key", "-pubout").out, public)
    assert "ED25519" in run("openssl", "pkey", "-in", folder / "key", "-noout", "-text").out


TLS = """\
machines: {m: {}}
generators:
  leaf:
    machines: [m]
    dependencies: [ca]
    files: {key: {}, crt: {secret: false}}
    kind: {key: {tls: {certificate: crt, issuer: ca, subject: web, names: [web.example, "*.web.example", 10.0.0.1, "::1"], days: %d}}}
  ca:
    share: true
    files: {ca.key: {deploy: false}, ca.crt: {secret: false}}
    kind: {ca.key: {tls: {certificate: ca.crt, ca: true, subject: Our authority, days: %d}}}
"""


def tls(folder, leaf_days, ca_days):
    here = Example(folder, TLS % (leaf_days, ca_days), generate=False)
    # The authority's key is deployed nowhere: it is a person's.
    key = [line.split()[-1] for line in here.identity.read_text().splitlines() if "public key" in line][0]
    expect(vmcred("user", "add", "--config", here.config, "me", "--age-key", key))
    return here


@test("a leaf is signed by the authority of another generator, and openssl verifies it")
def _(folder):
    here = tls(folder, 30, 60)
    expect(here.generate(), 0, "ca (shared): made ca.key, ca.crt\nleaf for m: made key, crt\n", "")
    ca, leaf = folder / "vars/shared/ca/ca.crt/value", folder / "vars/per-machine/m/leaf/crt/value"
    for purpose in "sslserver", "sslclient":
        result = run("openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, leaf)
        expect(result, 0, f"{leaf}: OK\n", "")
    for host in "web.example", "a.web.example":
        assert "does match" in run("openssl", "x509", "-in", leaf, "-noout", "-checkhost", host).out
    for address in "10.0.0.1", "::1":
        assert "does match" in run("openssl", "x509", "-in", leaf, "-noout", "-checkip", address).out
    assert "does NOT match" in run("openssl", "x509", "-in", leaf, "-noout", "-checkhost", "other.example").out
    text = run("openssl", "x509", "-in", leaf, "-noout", "-subject", "-issuer").out
    equal(text, "subject=CN = web\nissuer=CN = Our authority\n")
    key = here.get("key", generator="leaf").out
    public = run("openssl", "x509", "-in", leaf, "-noout", "-pubkey").out
    equal(run("openssl", "pkey", "-pubout", stdin=key).out, public)
    # An authority does not serve, and a leaf does not sign.
    assert run("openssl", "verify", "-purpose", "sslserver", "-CAfile", ca, "-partial_chain", ca).code != 0


@test("a leaf never outlives its authority")
def _(folder):
    expect(tls(folder, 300, 5).generate())
    leaf = folder / "vars/per-machine/m/leaf/crt/value"
    expect(run("openssl", "x509", "-in", leaf, "-noout", "-checkend", 4 * 86400))
    assert run("openssl", "x509", "-in", leaf, "-noout", "-checkend", 5 * 86400).code == 1


@test("a new authority makes new leaves, a new leaf leaves the authority alone")
def _(folder):
    here = tls(folder, 30, 60)
    expect(here.generate())
    expect(
        here.generate("--generator", "ca", "--regenerate"),
        0, "ca (shared): made ca.key, ca.crt\nleaf for m: made key, crt\n", "",
    )  # fmt: skip
    ca = (folder / "vars/shared/ca/ca.crt/value").read_text()
    before = (folder / "vars/per-machine/m/leaf/crt/value").read_text()
    expect(
        here.generate("--generator", "leaf", "--regenerate", "--identity", here.identity),
        0, "leaf for m: made key, crt\n", "",
    )  # fmt: skip
    assert (folder / "vars/per-machine/m/leaf/crt/value").read_text() != before
    equal((folder / "vars/shared/ca/ca.crt/value").read_text(), ca)


@test("names that are none are refused, and nothing is written")
def _(folder):
    here = example(
        folder, 'files: {key: {}, crt: {secret: false}}\nkind: {key: {tls: {certificate: crt, names: ["a,DNS:b"]}}}'
    )
    expect(here.generate(), 2, "", 'vmcred: making made/key: "a,DNS:b" is no name or address\n')
    assert not (folder / "vars").exists() or not list((folder / "vars").rglob("crt"))


harness.main()
