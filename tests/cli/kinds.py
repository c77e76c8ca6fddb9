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
    def test_case(folder, kind=kind, pattern=pattern):
        content = one(folder, kind)
        assert re.fullmatch(pattern, content), content


def test_each_character_alphabet_comes_about_often_others(folder):
    """each character of an alphabet comes about as often as the others"""
    for kind, size in ("alphanumeric", 62), ("pin", 10):
        content = one(folder / kind if (folder / kind).mkdir() is None else None, "{%s: 1000}" % kind)
        equal(len(content), 1000)
        counts = [content.count(character) for character in set(content)]
        # All of them, and none four times as often as it should be: both fail for one in a billion good runs.
        equal(len(counts), size)
        assert max(counts) < 4 * 1000 / size + 10, counts


def test_passphrase_made_words_list_each_chosen_anew(folder):
    """a passphrase is made of words of the list, each chosen anew"""
    words = [f"word{number}" for number in range(2000)]
    (folder / "words").write_text("".join(f"{11111 + i}\t{word}\n" for i, word in enumerate(words)) + "\n")
    phrases = [one(folder, "{passphrase: {list: words, words: 7, separator: ' '}}").split(" ")]
    equal(len(phrases[0]), 7)
    assert set(phrases[0]) <= set(words), phrases
    (folder / "second").mkdir()
    (folder / "second" / "words").write_text("\n".join(words))
    phrase = one(folder / "second", "{passphrase: words}")
    equal(len(phrase.split("-")), 6)


def test_list_too_few_words_refused(folder):
    """a list of too few words is refused"""
    (folder / "words").write_text("a\nb\n")
    expect(
        example(folder, "files: {it: {}}\nkind: {it: {passphrase: words}}").generate(),
        1,
        "",
        "vmcred: creating made/it: the word list words has only 2 different words: at least 1024 are required\n",
    )
    (folder / "words").unlink()
    expect(example(folder / "x" if (folder / "x").mkdir() is None else None,
                   "files: {it: {}}\nkind: {it: {passphrase: words}}").generate(), 3, "")  # fmt: skip


def test_word_list_twice_counts_once_comments_blanks_byte(folder):
    """a word that a list has twice counts once, and comments, blanks, a byte order mark and line ends are no words"""
    words = [f"w{number}" for number in range(1100)]
    text = "\ufeff# a comment\r\n\r\n  \t\r\n" + "".join(f"{word} \r\n" for word in words + words)
    (folder / "words").write_text(text)
    phrase = one(folder, "{passphrase: {list: words, words: 64}}").split("-")
    equal(len(phrase), 64)
    assert set(phrase) <= set(words), phrase
    (folder / "words").write_text("\n".join(words[:1023] * 2))
    (folder / "second").mkdir()
    (folder / "words").rename(folder / "second" / "words")
    expect(
        example(folder / "second", "files: {it: {}}\nkind: {it: {passphrase: words}}").generate(), 1, "",
        "vmcred: creating made/it: the word list words has only 1023 different words: at least 1024 are required\n",
    )  # fmt: skip


def test_password_hash_crypt_3_computes_file_prompt(folder):
    """a password's hash is the one that crypt(3) computes, of a file or of a prompt"""
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


def test_password_hash_prompt_not_stored_file_dependency(folder):
    """a password's hash is of a prompt that is not stored, or of a file of a dependency"""
    (folder / "pass").write_text("hunter2\n")
    here = Example(
        folder,
        DECLARATION % "    files: {it: {}, other: {}}\n    prompts: {pass: {type: hidden}}\n    dependencies: [dep]\n"
        "    kind: {it: {password-hash: pass}, other: {password-hash: dep/word}}\n"
        + "  dep: {machines: [m], files: {word: {}}, kind: {word: uuid}}\n",
        generate=False,
    )
    expect(here.generate("--prompt", f"pass=@{folder}/pass"))
    for password, file in ("hunter2", "it"), (here.get("word", generator="dep").out, "other"):
        hashed = here.get(file).out
        equal(run("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, hashed).out, hashed)
    equal(sorted(path.name for path in (folder / "vars/per-machine/m/made").iterdir()), ["it", "other"])
    (folder / "pass").write_text("\n")
    expect(here.generate("--generator", "made", "--regenerate", "--identity", here.identity, "--prompt", f"pass=@{folder}/pass"),
           1, "", "vmcred: creating made/it: the password is empty\n")  # fmt: skip


def test_rounds_hash_those_declared_openssl_computes_same(folder):
    """the rounds of a hash are those that are declared, and openssl computes the same"""
    password, yescrypt, rounds, default = made(
        folder,
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


def test_ed25519_rsa_key_read_ssh_keygen_public_halves(folder):
    """an Ed25519 and an RSA key are read by ssh-keygen, and their public halves are theirs"""
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


def test_age_key_opens_public_half_encrypts(folder):
    """an age key opens what its public half encrypts"""
    age = need("age")
    _, public = made(
        folder, "files: {key: {}, pub: {secret: false}}\nkind: {key: {age-key: pub}}", "key", "pub"
    )  # fmt: skip
    encrypted = run(age, "-a", "-r", public.strip(), stdin="text").out
    expect(run(age, "-d", "-i", folder / "key", stdin=encrypted), 0, "text")


def test_wireguard_key_clamped_public_half_wg_computes(folder):
    """a WireGuard key is clamped, and its public half is the one that wg computes"""
    wg = need("wg")
    key, public = made(
        folder, "files: {key: {}, pub: {secret: false}}\nkind: {key: {wireguard: pub}}", "key", "pub"
    )  # fmt: skip
    scalar = base64.b64decode(key)
    equal((len(scalar), scalar[0] & 7, scalar[31] & 0xC0), (32, 0, 0x40))
    equal(run(wg, "pubkey", stdin=key).out, public)


def test_eddsa_pair_json_web_tokens_belongs_together(folder):
    """an EdDSA pair for JSON Web Tokens belongs together"""
    _, public = made(
        folder,
        "files: {key: {}, pub: {secret: false}}\nkind: {key: {jwt: {algorithm: EdDSA, public: pub}}}",
        "key", "pub",
    )  # fmt: skip
    equal(run("openssl", "pkey", "-in", folder / "key", "-pubout").out, public)
    assert "ED25519" in run("openssl", "pkey", "-in", folder / "key", "-noout", "-text").out


def rejected(sentence, text, message, more=""):
    @test(sentence)
    def test_case_2(folder):
        (folder / "vmcred.yaml").write_text(
            "machines: {m: {}}\ngenerators:\n" + more + "  g:\n    machines: [m]\n"
            + "".join(f"    {line}\n" for line in text.splitlines())
        )  # fmt: skip
        expect(vmcred("generate", cwd=folder), 2, "", f"vmcred: vmcred.yaml:{message}\n")
        equal([path.name for path in folder.iterdir()], ["vmcred.yaml"])


def refused(sentence, kind, message, files="it: {}, p: {}"):
    rejected(sentence, f"files: {{{files}}}\nkind: {{it: {kind}}}", message)


PLACE = "6: generators.g.it: "
refused("a kind must be known", "{base46: 3}", '6: generators.g.it: unknown kind "base46": did you mean "base64"?')
refused("a kind's option must be known", "{ssh-key: {typ: rsa}}", PLACE + 'unknown key "typ": did you mean "type"?')
refused("a kind is one, with its options", "{hex: 3, base64: 3}",
        PLACE + "must be one kind, such as {base64: 32}")  # fmt: skip
refused("a kind without a default size needs one", "hex", "6: generators.g.it: hex needs a size from 1 to 524288")
refused("a size is not zero", "{hex: 0}", PLACE + 'must be an integer from 1 to 1048576, not "0"')
refused("no file is larger than systemd takes", "{base64: 524289}", "6: generators.g.it: base64 needs a size from 1 to 524288")
refused("an algorithm must be the kind's", "{ssh-key: HS256}", PLACE + "ssh-key can be ed25519 or rsa, not HS256")
refused("an RSA key is not too short", "{ssh-key: {type: rsa, bits: 1024}}",
        "6: generators.g.it: ssh-key needs a size from 2048 to 8192")  # fmt: skip
refused("bits are for RSA alone", "{ssh-key: {bits: 4096}}", "6: generators.g.it: bits: is only for RSA")
refused("a comment is one line", '{ssh-key: {comment: "a\\nssh-ed25519 b"}}',
        "6: generators.g.it: comment: contains a control character")  # fmt: skip
refused("a passphrase needs a list", "{passphrase: {words: 6}}",
        "6: generators.g.it: missing list:, a file with one word per line")  # fmt: skip
refused("HS256 has no public half", "{jwt: {public: p}}", "6: generators.g.it: HS256 has no public key")
refused("a hash needs a password", "password-hash",
        "6: generators.g.it: missing of:, a prompt or a file with the password")  # fmt: skip
refused("the rounds of yescrypt are few", "{password-hash: {of: p, rounds: 5000}}",
        "6: generators.g.it: rounds: of yescrypt must be from 1 to 11")  # fmt: skip
refused("the rounds of SHA-512 are many", "{password-hash: {of: p, method: sha-512, rounds: 11}}",
        "6: generators.g.it: rounds: of sha-512 must be from 1000 to 10000000")  # fmt: skip
refused("a certificate needs a file", "{tls: {names: [a]}}", "6: generators.g.it: missing certificate:, the file for the certificate")
refused("a public half needs a file of its own", "{wireguard: it}", '6: generators.g.it: two kinds for the file "it"')
refused("a public half needs a file that is declared", "{wireguard: pp}",
        '6: generators.g.it: undeclared file "pp"')  # fmt: skip
rejected("a kind needs a file that is declared", "files: {token: {}}\nkind: {tokne: uuid, token: uuid}",
         '6: generators.g.tokne: undeclared file "tokne": did you mean "token"?')  # fmt: skip
rejected("a file cannot be made twice", "files: {it: {}, p: {}}\nkind: {it: {age-key: p}, p: {wireguard: it}}",
         '6: generators.g.it: two kinds for the file "it"')  # fmt: skip
rejected("two kinds cannot have one public file", "files: {a: {}, b: {}, p: {}}\nkind: {a: {age-key: p}, b: {wireguard: p}}",
         '6: generators.g.b: two kinds for the file "p"')  # fmt: skip
rejected("a file has a kind or a script", "files: {a: {}, b: {}}\nkind: {a: uuid}",
         '3: generators.g: neither a script nor a kind for "b"')  # fmt: skip
rejected("a file has not both", "files: {a: {}}\nkind: {a: uuid}\nscript: x",
         '3: generators.g: both a script and a kind for "a"')  # fmt: skip
rejected("a password's source must exist", "files: {it: {}, pass: {}}\nkind: {it: {password-hash: pas}, pass: uuid}",
         '6: generators.g.it: undeclared prompt or file "pas": did you mean "pass"?')  # fmt: skip
rejected("a hash is not of a hash", "files: {a: {}, b: {}}\nkind: {a: {password-hash: b}, b: {password-hash: a}}",
         '6: generators.g.a: cannot hash another hash, "b"')  # fmt: skip
rejected("an answer that nothing uses is not asked for", "prompts: {x: {}}\nfiles: {it: {}}\nkind: {it: uuid}",
         '5: generators.g.prompts: the answer to "x" is not used: store it with persist: true')  # fmt: skip

OTHER = "  other:\n    share: true\n    files: {k: {}, c: {}%s}\n    kind: {k: {tls: {certificate: c%s}}%s}\n"
LEAF = "files: {it: {}, p: {}}\nkind: {it: {tls: {certificate: p, issuer: other}}}\n"
rejected("an issuer must be depended on", LEAF,
         '10: generators.g.it: missing dependency "other": add it to the dependencies of g',
         OTHER % ("", ", ca: true", ""))  # fmt: skip
rejected("an issuer must be there", LEAF.replace("other", "othr"),
         '10: generators.g.it: missing dependency "othr": did you mean "other"?',
         OTHER % ("", ", ca: true", ""))  # fmt: skip
rejected("an issuer must be an authority", LEAF + "dependencies: [other]",
         '10: generators.g.it: the issuer has no tls file with ca: true, "other"',
         OTHER % ("", "", ""))  # fmt: skip
rejected("an issuer must be one", LEAF + "dependencies: [other]",
         '10: generators.g.it: the issuer has more than one tls file with ca: true, "other"',
         OTHER % (", l: {}, d: {}", ", ca: true", ", l: {tls: {certificate: d, ca: true}}"))  # fmt: skip
rejected("a password of another generator must be depended on", "files: {it: {}}\nkind: {it: {password-hash: other/k}}",
         '10: generators.g.it: missing dependency "other": add it to the dependencies of g',
         OTHER % ("", "", ""))  # fmt: skip
rejected("a password of another generator must be there",
         "files: {it: {}}\nkind: {it: {password-hash: other/kk}}\ndependencies: [other]",
         '10: generators.g.it: undeclared file "other/kk"',
         OTHER % ("", "", ""))  # fmt: skip

for name in ("a,DNS:b", "", "a b", "a..b", ".a", "a.", "-a.example", "a-.example", "*", "*.example", "a.*.example", "*a.b.example",
             "10.0.0.256", "1.2.3", "::g", "a" * 64 + ".example", ".".join(["a" * 60] * 5), "email:a@b", "a/b"):  # fmt: skip
    refused(f'"{name[:20]}" is no name for a certificate', '{tls: {certificate: p, names: ["%s"]}}' % name,
            f'6: generators.g.it: "{name}" is not a DNS name or an address')  # fmt: skip
refused("a name in another script is written as IDNA has it", '{tls: {certificate: p, names: ["b\u00fccher.example"]}}',
        '6: generators.g.it: "b\u00fccher.example" is not a DNS name or an address: write an internationalized '
        "name in its xn-- form (IDNA)")  # fmt: skip
refused("a subject has 64 characters at most", "{tls: {certificate: p, subject: %s}}" % ("\u00e4" * 65),
        "6: generators.g.it: subject: must have 1 to 64 characters, not \"%s\"" % ("\u00e4" * 65))  # fmt: skip
refused("a certificate ends some day", "{tls: {certificate: p, days: 36601}}",
        '6: generators.g.it.days: must be an integer from 1 to 36600, not "36601"')  # fmt: skip


def test_each_form_name_certificate_can_openssl_finds(folder):
    """each form of a name that a certificate can have is one that openssl finds in it"""
    names = ["a", "a.example", "*.a.example", "xn--bcher-kva.example", "_acme.a-b.example", "1.example", "10.0.0.1", "fe80::1", "a" * 63]
    _, certificate = made(
        folder,
        "files: {it: {}, p: {secret: false}}\n"
        f"kind: {{it: {{tls: {{certificate: p, subject: {'ä' * 64}, names: [{', '.join(repr(name) for name in names)}]}}}}}}",
        "it", "p",
    )  # fmt: skip
    text = run("openssl", "x509", "-noout", "-ext", "subjectAltName", stdin=certificate).out.splitlines()[1]
    expected = [("IP Address:" if name in ("10.0.0.1", "fe80::1") else "DNS:") + name for name in names]
    equal(text.strip().replace("FE80:0:0:0:0:0:0:1", "fe80::1"), ", ".join(expected))


harness.main()
