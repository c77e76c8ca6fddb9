# SPDX-License-Identifier: Apache-2.0
"""Without gpg, vmcred decrypts messages of gpg and sops to PGP keys converted from SSH RSA keys, and decompresses streams of
zlib."""
import base64
import os
import random
import zlib

import harness
from harness import equal, expect, need, run
from manifests import Manifest, personality
from ssh_pgp import SshPgpKey

OPENPGP = os.environ.get("VMCRED_OPENPGP", "build/tests/interop/openpgp")

# Not in libcrypto's default provider, and not a default of gpg for twenty years.
OLD = ["IDEA", "CAST5", "BLOWFISH", "TWOFISH"]


def gpg(home, *words, stdin=b""):
    options = ["--batch", "--quiet", "--trust-model", "always"]
    return expect(run(need("gpg"), *options, *words, env={"GNUPGHOME": str(home)}, stdin=stdin))


def encrypt(home, text, *recipients, options=()):
    words = [word for key in recipients for word in ("--recipient", key.fingerprint)]
    return gpg(home, "--armor", *options, *words, "--encrypt", stdin=text).out


def opened(message, *keys):
    return run(OPENPGP, "open", *[key.path for key in keys], stdin=message)


def keys_make(directory, *names):
    keys = [SshPgpKey(directory / name) for name in names]
    for key in keys:
        key.import_into(directory / "gnupg")
    return directory / "gnupg", keys


def test_fingerprint_is_the_one_of_gpg(directory):
    """gpg and vmcred compute the same fingerprint for an SSH RSA key"""
    home, [key] = keys_make(directory, "rsa")
    lines = gpg(home, "--with-colons", "--list-keys").out.splitlines()
    equal([line.split(":")[9] for line in lines if line.startswith("fpr:")], [key.fingerprint])
    manifest = Manifest(directory, personality(directory)).add("top", "one.yaml", "top")
    manifest.content |= {"sshKeyPaths": [str(key.path)], "logging": {"keyImport": True}}
    expect(manifest.install(), 0, "", f"vmcred: imported {key.path} as PGP key {key.fingerprint}\n")


def unsupported(feature):
    return f"the PGP message uses an {feature}, which is not supported: encrypt it again with the defaults of gpg\n"


def test_each_cipher_and_compression(directory):
    """messages by gpg are decrypted for each cipher and compression, except for unsupported old ones"""
    home, [key] = keys_make(directory, "rsa")
    listing = gpg(home, "--with-colons", "--list-config", "ciphername").out
    ciphers = listing.strip().split(":")[2].split(";")
    equal("AES256" in ciphers and "3DES" in ciphers, True, listing)
    # Newer ones encrypt with old ciphers only on request.
    allow = [option for option in gpg(home, "--dump-options").out.split() if option == "--allow-old-cipher-algos"]
    text = bytes(range(256)) * 3
    for cipher in ciphers:
        for compression in ("uncompressed", "ZIP", "ZLIB"):
            options = [*allow, "--cipher-algo", cipher, "--compress-algo", compression]
            message = encrypt(home, text, key, options=options)
            result = opened(message, key)
            if cipher in OLD:
                expect(result, 1, "", unsupported("unknown cipher"))
            else:
                expect(result, 0, None, "")
                equal(result.out.encode("utf-8", "surrogateescape"), text, f"{cipher} {compression}")
    message = encrypt(home, text, key, options=["--compress-algo", "BZIP2"])
    expect(opened(message, key), 1, "", unsupported("unknown compression"))


def test_several_recipients(directory):
    """a message to several keys, hidden ones too, is decrypted with any of them and no other"""
    home, keys = keys_make(directory, "one", "two", "three")
    for options in ((), ("--throw-keyids",)):
        message = encrypt(home, b"shared", *keys[:2], options=options)
        for key in keys[:2]:
            expect(opened(message, key), 0, "shared", "")
            expect(opened(message, keys[2], key), 0, "shared", "")
        expect(opened(message, keys[2]), 9, "", "")


def test_partial_lengths(directory):
    """a message with partial lengths is decrypted whole"""
    home, [key] = keys_make(directory, "rsa")
    text = random.Random(3).randbytes(100000)
    result = opened(encrypt(home, text, key), key)
    expect(result, 0, None, "")
    equal(result.out.encode("utf-8", "surrogateescape"), text)


def test_damaged_messages(directory):
    """a message with any octet changed or cut off gives the right text or an error"""
    home, [key] = keys_make(directory, "rsa")
    head, body = encrypt(home, b"right", key).split("\n\n")
    raw = base64.b64decode(body.split("\n=")[0])
    chance = random.Random(4)
    places = sorted(chance.sample(range(len(raw)), 60)) + list(range(24)) + list(range(271, len(raw)))
    codes = set()
    for place in places:
        for damaged in (raw[:place], raw[:place] + bytes([raw[place] ^ 1 << chance.randrange(8)]) + raw[place + 1 :]):
            text = f"{head}\n\n{base64.b64encode(damaged).decode()}\n-----END PGP MESSAGE-----\n"
            result = opened(text, key)
            codes.add(result.code)
            equal(result.out in ("", "right"), True, f"{place}: {result.out}")
            equal(result.code in (0, 1, 4, 9), True, f"{place}: {result}")
            equal(result.code == 0, result.out == "right", f"{place}: {result}")
    equal(4 in codes, True, codes)
    last = base64.b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).decode()
    expect(opened(f"{head}\n\n{last}\n=\n", key), 4, "", "the PGP message was modified\n")


def test_message_without_digest(directory):
    """a message without a digest is rejected"""
    home, [key] = keys_make(directory, "rsa")
    head, body = encrypt(home, b"text", key).split("\n\n")
    raw = bytearray(base64.b64decode(body.split("\n=")[0]))
    equal(raw[271], 0xD2)
    raw[271] = 0xC9
    result = opened(f"{head}\n\n{base64.b64encode(raw).decode()}\n=\n", key)
    expect(result, 1, "", unsupported("encryption without a digest (MDC)"))


def test_activation_of_a_document_by_sops(directory):
    """a document encrypted by the real sops to an SSH RSA key is activated with that key only, without gpg"""
    home, [key, other] = keys_make(directory, "rsa", "other")
    manifest = Manifest(directory, personality(directory))
    (directory / "one.yaml").write_text("top: for the PGP key\n")
    expect(run(need("sops"), "encrypt", "--in-place", "--pgp", key.fingerprint, directory / "one.yaml",
               env={"GNUPGHOME": str(home)}))  # fmt: skip
    manifest.add("top", "one.yaml", "top")
    expect(run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "ed25519"))
    manifest.content |= {
        "sshKeyPaths": ["/nowhere/rsa", str(directory / "ed25519"), str(other.path), str(key.path)],
        "ageKeyFile": None,
    }
    warnings = (
        "vmcred: warning: ignoring a key of sshKeyPaths: opening /nowhere/rsa: No such file or directory\n"
        f"vmcred: warning: ignoring a key of sshKeyPaths: {directory}/ed25519: only an RSA key can be used as a "
        "PGP key, not an Ed25519 key\n"
    )
    environment = {"GNUPGHOME": "/nowhere", "SOPS_GPG_EXEC": "/nowhere/gpg", "PATH": "/nowhere"}
    expect(manifest.install(env=environment), 0, "", warnings)
    equal(manifest.active("top"), b"for the PGP key")
    expect(run("ssh-keygen", "-q", "-p", "-N", "locked", "-f", key.path))
    result = expect(manifest.install(env=environment), 1, "")
    lines = result.err.splitlines(keepends=True)
    warnings += f"vmcred: warning: ignoring a key of sshKeyPaths: {key.path}: it is encrypted with a passphrase\n"
    equal("".join(lines[:-1]), warnings)
    for name in (f"{directory}/one.yaml", key.fingerprint, other.fingerprint):
        assert name in lines[-1], lines[-1]
    equal(manifest.active("top"), b"for the PGP key")


def test_inflate_streams_of_zlib(_directory):
    """streams by zlib of every level and strategy are decompressed"""
    chance = random.Random(5)
    words = [chance.randbytes(chance.randrange(1, 9)) for _ in range(40)]
    for text in (b"", b"x", bytes(70000), chance.randbytes(70000), b"".join(chance.choices(words, k=20000))):
        for level in range(10):
            for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED):
                packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
                stream = packer.compress(text) + packer.flush()
                result = expect(run(OPENPGP, "inflate", len(text), stdin=stream), 0, None, "")
                equal(result.out.encode("utf-8", "surrogateescape"), text, f"level {level}, strategy {strategy}")


def test_inflate_damaged_streams(_directory):
    """damaged and too long streams are errors where zlib reports one, and nothing is written"""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = packer.compress(bytes(range(200)) * 9) + packer.flush()
    expect(run(OPENPGP, "inflate", 1799, stdin=stream), 1, "", "decompresses to more than 1799 bytes\n")
    chance = random.Random(6)
    refused = 0
    for _ in range(300):
        damaged = bytearray(stream)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        damaged = bytes(damaged[: chance.randrange(len(damaged) + 1)])
        unpacker = zlib.decompressobj(-15)
        try:
            expected = unpacker.decompress(damaged)
            expected = expected if unpacker.eof else None
        except zlib.error:
            expected = None
        result = run(OPENPGP, "inflate", 1 << 20, stdin=damaged)
        refused += expected is None
        equal(result.code, 1 if expected is None else 0, f"{damaged.hex()}: {result.err}")
        equal(result.out.encode("utf-8", "surrogateescape"), expected or b"")
    equal(refused > 100, True, refused)


harness.main()
