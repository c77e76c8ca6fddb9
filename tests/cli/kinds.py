# SPDX-License-Identifier: Apache-2.0
"""The built-in kinds: the programs that use them can read them."""
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


def example(directory, text):
    return Example(directory, DECLARATION % "".join(f"    {line}\n" for line in text.splitlines()), generate=False)


def made(directory, text, *files):
    """Returns the files' contents, and writes them to the directory for other programs."""
    here = example(directory, text)
    expect(here.generate())
    contents = [here.get(file).out for file in files]
    for file, content in zip(files, contents):
        (directory / file).write_text(content)
        (directory / file).chmod(0o600)
    return contents


def one(directory, kind):
    return made(directory, f"files: {{it: {{}}}}\nkind: {{it: {kind}}}", "it")[0]


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

    @test(f"the kind {kind} has its format")
    def test_form(directory, kind=kind, pattern=pattern):
        content = one(directory, kind)
        assert re.fullmatch(pattern, content), content


def test_characters_are_uniformly_distributed(directory):
    """the characters of an alphabet are uniformly distributed"""
    for kind, size in ("alphanumeric", 62), ("pin", 10):
        content = one(directory / kind if (directory / kind).mkdir() is None else None, "{%s: 1000}" % kind)
        equal(len(content), 1000)
        counts = [content.count(character) for character in set(content)]
        # All of them, and none four times as often as it should be: both fail for one in a billion good runs.
        equal(len(counts), size)
        assert max(counts) < 4 * 1000 / size + 10, counts


def test_passphrase_consists_of_random_words(directory):
    """a passphrase consists of words of the list, chosen independently"""
    words = [f"word{number}" for number in range(2000)]
    (directory / "words").write_text("".join(f"{11111 + i}\t{word}\n" for i, word in enumerate(words)) + "\n")
    phrases = [one(directory, "{passphrase: {list: words, words: 7, separator: ' '}}").split(" ")]
    equal(len(phrases[0]), 7)
    assert set(phrases[0]) <= set(words), phrases
    (directory / "second").mkdir()
    (directory / "second" / "words").write_text("\n".join(words))
    phrase = one(directory / "second", "{passphrase: words}")
    equal(len(phrase.split("-")), 6)


def test_too_short_word_list_is_an_error(directory):
    """a word list that is too short is an error"""
    (directory / "words").write_text("a\nb\n")
    expect(
        example(directory, "files: {it: {}}\nkind: {it: {passphrase: words}}").generate(),
        1,
        "",
        "vmcred: creating made/it: the word list words has only 2 different words: at least 1024 are required\n",
    )
    (directory / "words").unlink()
    expect(example(directory / "x" if (directory / "x").mkdir() is None else None,
                   "files: {it: {}}\nkind: {it: {passphrase: words}}").generate(), 3, "")  # fmt: skip


def test_duplicate_words_count_once(directory):
    """duplicate words count once; comments, blanks, a byte order mark and line ends are ignored"""
    words = [f"w{number}" for number in range(1100)]
    text = "\ufeff# a comment\r\n\r\n  \t\r\n" + "".join(f"{word} \r\n" for word in words + words)
    (directory / "words").write_text(text)
    phrase = one(directory, "{passphrase: {list: words, words: 64}}").split("-")
    equal(len(phrase), 64)
    assert set(phrase) <= set(words), phrase
    (directory / "words").write_text("\n".join(words[:1023] * 2))
    (directory / "second").mkdir()
    (directory / "words").rename(directory / "second" / "words")
    expect(
        example(directory / "second", "files: {it: {}}\nkind: {it: {passphrase: words}}").generate(), 1, "",
        "vmcred: creating made/it: the word list words has only 1023 different words: at least 1024 are required\n",
    )  # fmt: skip


def test_password_hash_is_that_of_crypt_3(directory):
    """a password hash is that of crypt(3)"""
    password, yescrypt, sha512, prompted = made(
        directory,
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


def test_password_from_a_prompt_or_a_dependency(directory):
    """the password can be a prompt that is not stored, or a dependency's file"""
    (directory / "pass").write_text("hunter2\n")
    here = Example(
        directory,
        DECLARATION % "    files: {it: {}, other: {}}\n    prompts: {pass: {type: hidden}}\n    dependencies: [dep]\n"
        "    kind: {it: {password-hash: pass}, other: {password-hash: dep/word}}\n"
        + "  dep: {machines: [m], files: {word: {}}, kind: {word: uuid}}\n",
        generate=False,
    )
    expect(here.generate("--prompt", f"pass=@{directory}/pass"))
    for password, file in ("hunter2", "it"), (here.get("word", generator="dep").out, "other"):
        hashed = here.get(file).out
        equal(run("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, hashed).out, hashed)
    equal(sorted(path.name for path in (directory / "vars/per-machine/m/made").iterdir()), ["it", "other"])
    (directory / "pass").write_text("\n")
    expect(here.generate("--generator", "made", "--regenerate", "--identity", here.identity, "--prompt", f"pass=@{directory}/pass"),
           1, "", "vmcred: creating made/it: the password is empty\n")  # fmt: skip


def test_password_hash_has_the_declared_rounds(directory):
    """a hash has the declared rounds, and openssl computes the same"""
    password, yescrypt, rounds, default = made(
        directory,
        "files: {password: {}, y: {}, r: {}, d: {}}\n"
        "kind:\n  y: {password-hash: {of: password, rounds: 1}}\n"
        "  r: {password-hash: {of: password, method: sha-512, rounds: 1000}}\n"
        "  d: {password-hash: {of: password, method: sha-512}}\n  password: {hex: 8}\n",
        "password", "y", "r", "d",
    )  # fmt: skip
    assert yescrypt.startswith("$y$j75$"), yescrypt
    assert rounds.startswith("$6$rounds=1000$"), rounds
    equal(run("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, yescrypt).out, yescrypt)
    for hashed in rounds, default:
        salt = hashed.rsplit("$", 1)[0].removeprefix("$6$")
        equal(run("openssl", "passwd", "-6", "-salt", salt, password).out, hashed + "\n")


def test_ssh_keygen_reads_ssh_keys(directory):
    """ssh-keygen reads Ed25519 and RSA keys and computes the same public halves"""
    keygen = need("ssh-keygen")
    _, ed, _, rsa = made(
        directory,
        "files: {ed: {}, ed.pub: {secret: false}, rsa: {}, rsa.pub: {secret: false}}\n"
        "kind:\n  ed: {ssh-key: {comment: root@m, public: ed.pub}}\n"
        "  rsa: {ssh-key: {type: rsa, bits: 2048, public: rsa.pub}}\n",
        "ed", "ed.pub", "rsa", "rsa.pub",
    )  # fmt: skip
    equal(run(keygen, "-y", "-f", directory / "ed").out, ed)
    equal(run(keygen, "-y", "-f", directory / "rsa").out, rsa)
    assert ed.endswith(" root@m\n"), ed
    equal(run(keygen, "-l", "-f", directory / "rsa").out.split()[0], "2048")
    # And they work: what one signs the public half accepts.
    (directory / "text").write_text("x")
    for key in "ed", "rsa":
        expect(run(keygen, "-Y", "sign", "-f", directory / key, "-n", "file", directory / "text"))
        (directory / "signers").write_text("me " + (directory / f"{key}.pub").read_text())
        signature = directory / "text.sig"
        expect(
            run(keygen, "-Y", "verify", "-f", directory / "signers", "-I", "me", "-n", "file", "-s", signature, stdin="x")
        )
        signature.unlink()


def test_age_key_decrypts(directory):
    """an age key decrypts a file that is encrypted to its public key"""
    age = need("age")
    _, public = made(
        directory, "files: {key: {}, pub: {secret: false}}\nkind: {key: {age-key: pub}}", "key", "pub"
    )  # fmt: skip
    encrypted = run(age, "-a", "-r", public.strip(), stdin="text").out
    expect(run(age, "-d", "-i", directory / "key", stdin=encrypted), 0, "text")


def test_wg_computes_the_same_public_key(directory):
    """a WireGuard key is clamped, and wg computes the same public half"""
    wg = need("wg")
    key, public = made(
        directory, "files: {key: {}, pub: {secret: false}}\nkind: {key: {wireguard: pub}}", "key", "pub"
    )  # fmt: skip
    scalar = base64.b64decode(key)
    equal((len(scalar), scalar[0] & 7, scalar[31] & 0xC0), (32, 0, 0x40))
    equal(run(wg, "pubkey", stdin=key).out, public)


def test_halves_of_an_eddsa_key_match(directory):
    """the halves of an EdDSA key for JSON Web Tokens match"""
    _, public = made(
        directory,
        "files: {key: {}, pub: {secret: false}}\nkind: {key: {jwt: {algorithm: EdDSA, public: pub}}}",
        "key", "pub",
    )  # fmt: skip
    equal(run("openssl", "pkey", "-in", directory / "key", "-pubout").out, public)
    assert "ED25519" in run("openssl", "pkey", "-in", directory / "key", "-noout", "-text").out


def rejected(sentence, text, message, more=""):
    @test(sentence)
    def test_rejected(directory):
        (directory / "vmcred.yaml").write_text(
            "machines: {m: {}}\ngenerators:\n" + more + "  g:\n    machines: [m]\n"
            + "".join(f"    {line}\n" for line in text.splitlines())
        )  # fmt: skip
        expect(vmcred("generate", cwd=directory), 2, "", f"vmcred: vmcred.yaml:{message}\n")
        equal([path.name for path in directory.iterdir()], ["vmcred.yaml"])


def refused(sentence, kind, message, files="it: {}, p: {}"):
    rejected(sentence, f"files: {{{files}}}\nkind: {{it: {kind}}}", message)


PLACE = "6: generators.g.it: "
refused("a kind must be known", "{base46: 3}", '6: generators.g.it: unknown kind "base46": did you mean "base64"?')
refused("a kind's option must be known", "{ssh-key: {typ: rsa}}", PLACE + 'unknown key "typ": did you mean "type"?')
refused("only one kind is allowed", "{hex: 3, base64: 3}",
        PLACE + "must be one kind, such as {base64: 32}")  # fmt: skip
refused("a kind without a default size needs one", "hex", "6: generators.g.it: hex needs a size from 1 to 524288")
refused("a size of zero is an error", "{hex: 0}", PLACE + 'must be an integer from 1 to 524288, not "0"')
refused("a file must not be larger than a credential", "{base64: 524289}", PLACE + 'must be an integer from 1 to 524288, not "524289"')
refused("an algorithm must be the kind's", "{ssh-key: HS256}", PLACE + 'must be "ed25519" or "rsa", not "HS256"')
refused("an algorithm must be known", "{jwt: {algorithm: RS256}}", "6: generators.g.it.algorithm: " + 'must be "HS256" or "EdDSA", not "RS256"')
refused("an RSA key must have 2048 bits or more", "{ssh-key: {type: rsa, bits: 1024}}",
        "6: generators.g.it: ssh-key needs a size from 2048 to 8192")  # fmt: skip
refused("bits are for RSA only", "{ssh-key: {bits: 4096}}", "6: generators.g.it: bits: is only for RSA")
refused("a comment must be a single line", '{ssh-key: {comment: "a\\nssh-ed25519 b"}}',
        "6: generators.g.it: comment: contains a control character")  # fmt: skip
refused("a passphrase needs a list", "{passphrase: {words: 6}}",
        "6: generators.g.it: missing list:, a file with one word per line")  # fmt: skip
refused("HS256 has no public half", "{jwt: {public: p}}", "6: generators.g.it: HS256 has no public key")
refused("a hash needs a password", "password-hash",
        "6: generators.g.it: missing of:, a prompt or a file with the password")  # fmt: skip
refused("the rounds of yescrypt are limited", "{password-hash: {of: p, rounds: 5000}}",
        "6: generators.g.it: rounds: of yescrypt must be from 1 to 11")  # fmt: skip
refused("the rounds of SHA-512 are limited", "{password-hash: {of: p, method: sha-512, rounds: 11}}",
        "6: generators.g.it: rounds: of sha-512 must be from 1000 to 10000000")  # fmt: skip
refused("a certificate needs a file", "{tls: {names: [a]}}", "6: generators.g.it: missing certificate:, the file for the certificate")
refused("a public half needs its own file", "{wireguard: it}", '6: generators.g.it: two kinds for the file "it"')
refused("the file of a public half must be declared", "{wireguard: pp}",
        '6: generators.g.it: undeclared file "pp": known names: it, p')  # fmt: skip
rejected("the file of a kind must be declared", "files: {token: {}}\nkind: {tokne: uuid, token: uuid}",
         '6: generators.g.tokne: undeclared file "tokne": did you mean "token"?')  # fmt: skip
rejected("two kinds cannot create the same file", "files: {it: {}, p: {}}\nkind: {it: {age-key: p}, p: {wireguard: it}}",
         '6: generators.g.it: two kinds for the file "it"')  # fmt: skip
rejected("two kinds cannot have the same public file", "files: {a: {}, b: {}, p: {}}\nkind: {a: {age-key: p}, b: {wireguard: p}}",
         '6: generators.g.b: two kinds for the file "p"')  # fmt: skip
rejected("a file needs a kind or a script", "files: {a: {}, b: {}}\nkind: {a: uuid}",
         '3: generators.g: neither a script nor a kind for "b"')  # fmt: skip
rejected("a file cannot have both a kind and a script", "files: {a: {}}\nkind: {a: uuid}\nscript: x",
         '3: generators.g: both a script and a kind for "a"')  # fmt: skip
rejected("a password's source must exist", "files: {it: {}, pass: {}}\nkind: {it: {password-hash: pas}, pass: uuid}",
         '6: generators.g.it: undeclared prompt or file "pas": did you mean "pass"?')  # fmt: skip
rejected("a hash of a hash is an error", "files: {a: {}, b: {}}\nkind: {a: {password-hash: b}, b: {password-hash: a}}",
         '6: generators.g.a: cannot hash another hash, "b"')  # fmt: skip
rejected("an unused prompt is an error", "prompts: {x: {}}\nfiles: {it: {}}\nkind: {it: uuid}",
         '5: generators.g.prompts: the answer to "x" is not used: store it with persist: true')  # fmt: skip

OTHER = "  other:\n    share: true\n    files: {k: {}, c: {}%s}\n    kind: {k: {tls: {certificate: c%s}}%s}\n"
LEAF = "files: {it: {}, p: {}}\nkind: {it: {tls: {certificate: p, issuer: other}}}\n"
rejected("an issuer must be a dependency", LEAF,
         '10: generators.g.it: missing dependency "other": add it to the dependencies of g',
         OTHER % ("", ", ca: true", ""))  # fmt: skip
rejected("an issuer must exist", LEAF.replace("other", "othr"),
         '10: generators.g.it: missing dependency "othr": did you mean "other"?',
         OTHER % ("", ", ca: true", ""))  # fmt: skip
rejected("an issuer must be an authority", LEAF + "dependencies: [other]",
         '10: generators.g.it: the issuer has no tls file with ca: true, "other"',
         OTHER % ("", "", ""))  # fmt: skip
rejected("an issuer must be a certificate", LEAF + "dependencies: [other]",
         '10: generators.g.it: the issuer has more than one tls file with ca: true, "other"',
         OTHER % (", l: {}, d: {}", ", ca: true", ", l: {tls: {certificate: d, ca: true}}"))  # fmt: skip
rejected("another generator's password must be of a dependency", "files: {it: {}}\nkind: {it: {password-hash: other/k}}",
         '10: generators.g.it: missing dependency "other": add it to the dependencies of g',
         OTHER % ("", "", ""))  # fmt: skip
rejected("another generator's password must exist",
         "files: {it: {}}\nkind: {it: {password-hash: other/kk}}\ndependencies: [other]",
         '10: generators.g.it: undeclared file "other/kk": known names: k, c',
         OTHER % ("", "", ""))  # fmt: skip

for name in ("a,DNS:b", "", "a b", "a..b", ".a", "a.", "-a.example", "a-.example", "*", "*.example", "a.*.example", "*a.b.example",
             "10.0.0.256", "1.2.3", "::g", "a" * 64 + ".example", ".".join(["a" * 60] * 5), "email:a@b", "a/b"):  # fmt: skip
    refused(f'"{name[:20]}" is not a name for a certificate', '{tls: {certificate: p, names: ["%s"]}}' % name,
            f'6: generators.g.it: "{name}" is not a DNS name or an address')  # fmt: skip
refused("non-ASCII names must be in IDNA form", '{tls: {certificate: p, names: ["b\u00fccher.example"]}}',
        '6: generators.g.it: "b\u00fccher.example" is not a DNS name or an address: write an internationalized '
        "name in its xn-- form (IDNA)")  # fmt: skip
refused("a subject has at most 64 characters", "{tls: {certificate: p, subject: %s}}" % ("\u00e4" * 65),
        "6: generators.g.it: subject: must have 1 to 64 characters, not \"%s\"" % ("\u00e4" * 65))  # fmt: skip
refused("a certificate's validity is limited", "{tls: {certificate: p, days: 36601}}",
        '6: generators.g.it.days: must be an integer from 1 to 36600, not "36601"')  # fmt: skip


def test_openssl_finds_each_form_of_a_name(directory):
    """openssl finds each form of a name in the certificate"""
    names = ["a", "a.example", "*.a.example", "xn--bcher-kva.example", "_acme.a-b.example", "1.example", "10.0.0.1", "fe80::1", "a" * 63]
    _, certificate = made(
        directory,
        "files: {it: {}, p: {secret: false}}\n"
        f"kind: {{it: {{tls: {{certificate: p, subject: {'ä' * 64}, names: [{', '.join(repr(name) for name in names)}]}}}}}}",
        "it", "p",
    )  # fmt: skip
    text = run("openssl", "x509", "-noout", "-ext", "subjectAltName", stdin=certificate).out.splitlines()[1]
    expected = [("IP Address:" if name in ("10.0.0.1", "fe80::1") else "DNS:") + name for name in names]
    equal(text.strip().replace("FE80:0:0:0:0:0:0:1", "fe80::1"), ", ".join(expected))


harness.main()
