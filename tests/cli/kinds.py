# SPDX-License-Identifier: Apache-2.0
"""The built-in kinds: each of them is read by the program that it is for."""
import base64
import re

import harness
from example import Example
from harness import equal, expect, need, run, test

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


harness.main()
