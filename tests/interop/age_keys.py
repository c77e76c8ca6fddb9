# SPDX-License-Identifier: Apache-2.0
"""All other types of keys: SSH keys from ssh-keygen and openssl, passphrases, encrypted identity files and
post-quantum keys. The real age opens our files, and we open files of age."""
import os
import random
import subprocess

import bech32
import harness
from harness import Skip, equal, expect, need, run
from terminal import run_at_terminal

CRYPT = os.environ.get("VMCRED_CRYPT", "build/tests/interop/crypt")
SEED = random.SystemRandom().randrange(1 << 32)
ENCRYPT = ["age-encrypt", "age-armor", "age-stream", "age-stream-armor"]
DECRYPT = ["age-decrypt", "age-stream-decrypt"]
LACKING = (
    "crypt: post-quantum keys need ML-KEM-768, which this machine's libcrypto ({}) does not have: "
    "use OpenSSL 3.5 or later\n"
)


def plaintexts():
    """Sizes around the chunk size and our batch size, and random ones."""
    source = random.Random(SEED)
    sizes = [0, 1, 65535, 65536, 65537, 4 * 65536, 4 * 65536 + 1] + [source.randrange(1 << 19) for _ in range(3)]
    return [source.randbytes(size) for size in sizes]


def crypt(*words, stdin=b"", answers=None, directory=None, code=0, err=""):
    """Runs our filter, compares its exit code and stderr (None: any error), and returns its output."""
    env = dict(harness.CLEAN_ENVIRONMENT)
    if answers is not None:
        path = directory / "answers"
        path.write_text("".join(answer + "\n" for answer in answers))
        env["CRYPT_ANSWERS"] = str(path)
    done = subprocess.run(
        [CRYPT, *(str(word) for word in words)], input=stdin, env=env, capture_output=True, check=False, timeout=120
    )
    equal((done.returncode, done.stderr.decode() if err is not None else None), (code, err), f"{words}: exit code and stderr")
    return done.stdout


def age(*words, stdin=b"", answers=()):
    done = run_at_terminal(need("age"), *words, stdin=stdin, answers=answers)
    equal((done.code, done.err), (0, ""), f"age {words}: exit code and stderr")
    return done.out


def ssh_keygen(path, *options, passphrase=""):
    expect(run(need("ssh-keygen"), "-q", "-N", passphrase, "-C", "a comment", "-f", path, *options))
    return path


def public_line(path):
    return path.with_name(path.name + ".pub").read_text().strip()


def openssl(path, *words):
    expect(run(need("openssl"), *words, "-out", path))
    path.chmod(0o600)
    return path


def ssh_keys(directory):
    """One key in each format that age accepts, without a passphrase, and its public key."""
    made = [
        ssh_keygen(directory / "ed25519", "-t", "ed25519"),
        ssh_keygen(directory / "rsa2048", "-t", "rsa", "-b", "2048"),
        ssh_keygen(directory / "rsa3072", "-t", "rsa", "-b", "3072"),
        ssh_keygen(directory / "rsapem", "-t", "rsa", "-b", "2048", "-m", "PEM"),
    ]
    keys = [(path, public_line(path)) for path in made]
    for path in [
        openssl(directory / "pkcs8ed25519", "genpkey", "-algorithm", "ed25519"),
        openssl(directory / "pkcs8rsa", "genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"),
    ]:
        keys.append((path, crypt("age-recipients", path).decode().strip()))
    return keys


def test_age_decrypts_our_files_for_ssh_keys(directory):
    """age opens our files for SSH keys in every format, of any size, armored or not"""
    for path, line in ssh_keys(directory):
        for number, plaintext in enumerate(plaintexts()):
            verb = ENCRYPT[number % len(ENCRYPT)]
            file = crypt(verb, line, stdin=plaintext)
            equal(age("-d", "-i", path, stdin=file), plaintext, f"{verb} to {path.name}, {len(plaintext)} bytes")


def test_we_decrypt_files_of_age_for_ssh_keys(directory):
    """we open files of age for SSH keys in every format, of any size, armored or not"""
    for path, line in ssh_keys(directory):
        for number, plaintext in enumerate(plaintexts()):
            file = age(*(["-a"] if number % 2 else []), "-r", line, stdin=plaintext)
            for verb in DECRYPT:
                equal(crypt(verb, path, stdin=file), plaintext, f"{verb} with {path.name}, {len(plaintext)} bytes")


def test_layout_of_ssh_keys(directory):
    """a key whose lines are indented, or end with white space or CR LF, opens the same files as with age"""
    for path, line in ssh_keys(directory):
        file = age("-r", line, stdin=b"text")
        first, *lines, last = path.read_text().splitlines()
        for indent, end in [("  ", "\n"), ("\t", "\n"), ("", " \n"), ("", "\t\n"), ("", "\r\n"), (" ", " \r\n")]:
            changed = directory / "changed"
            changed.write_bytes("".join(text + end for text in [first, *(indent + text for text in lines), last]).encode())
            changed.chmod(0o600)
            equal(age("-d", "-i", changed, stdin=file), b"text", f"{path.name}, {indent!r}, {end!r}: age")
            equal(crypt(DECRYPT[0], changed, stdin=file), b"text", f"{path.name}, {indent!r}, {end!r}")


def test_ssh_public_key(directory):
    """the public key of an SSH key matches ssh-keygen's"""
    for path, _ in ssh_keys(directory):
        expected = " ".join(run(need("ssh-keygen"), "-y", "-f", path).out.split()[:2])
        # ssh-keygen reads no Ed25519 key from PKCS#8.
        if expected:
            equal(crypt("age-recipients", path).decode(), expected + "\n", path.name)


def encrypted_ssh_keys(directory):
    """Keys encrypted with the passphrase "päss wörd", for each cipher and key derivation."""
    for cipher in ["aes256-ctr", "aes256-cbc", "aes192-ctr", "aes192-cbc", "aes128-ctr", "aes128-cbc"]:
        yield ssh_keygen(directory / cipher, "-t", "ed25519", "-Z", cipher, "-a", "4", passphrase="päss wörd")
    yield ssh_keygen(directory / "rounds", "-t", "ed25519", "-a", "37", passphrase="päss wörd")
    yield ssh_keygen(directory / "rsa", "-t", "rsa", "-b", "2048", passphrase="päss wörd")
    plain = ssh_keygen(directory / "plain", "-t", "rsa", "-b", "2048", "-m", "PEM")
    for cipher in ["aes128", "aes192", "aes256", "des3"]:
        path = openssl(
            directory / cipher, "rsa", "-in", plain, "-traditional", f"-{cipher}", "-passout", "pass:päss wörd"
        )
        path.with_name(path.name + ".pub").write_text(public_line(plain) + "\n")
        yield path


def test_encrypted_ssh_keys(directory):
    """an SSH key encrypted with any cipher opens a file only with its passphrase"""
    for path in encrypted_ssh_keys(directory):
        file = age("-r", public_line(path), stdin=b"hello")
        asked = f"secret: Enter passphrase for {path}:\n"
        plaintext = crypt("age-decrypt", path, stdin=file, answers=["päss wörd"], directory=directory, err=asked)
        equal(plaintext, b"hello", path.name)


def test_age_decrypts_our_files_for_encrypted_ssh_keys(directory):
    """age opens our files for an encrypted SSH key"""
    path = ssh_keygen(directory / "key", "-t", "ed25519", passphrase="secret")
    file = crypt("age-encrypt", public_line(path), stdin=b"hello")
    equal(age("-d", "-i", path, stdin=file, answers=["secret"]), b"hello", "plaintext")


def test_no_passphrase_for_another_key(directory):
    """the passphrase of a key is not asked if the file is for another key"""
    path = ssh_keygen(directory / "key", "-t", "ed25519", passphrase="secret")
    other = ssh_keygen(directory / "other", "-t", "ed25519")
    file = age("-r", public_line(other), stdin=b"hello")
    for words in ([path], [path, other], [other, path]):
        found = other in words
        plaintext = crypt(
            "age-decrypt", *words, stdin=file, answers=[], directory=directory, code=0 if found else 3,
            err="" if found else None,
        )  # fmt: skip
        equal(plaintext, b"hello" if found else b"", "plaintext")


def test_wrong_passphrase(directory):
    """a wrong passphrase and a missing user are errors, but other identities are still tried"""
    path = ssh_keygen(directory / "key", "-t", "ed25519", "-a", "2", passphrase="secret")
    pem = ssh_keygen(directory / "pem", "-t", "rsa", "-b", "2048", "-m", "PEM", passphrase="secret")
    other = ssh_keygen(directory / "other", "-t", "rsa", "-b", "2048")
    for key in (path, pem):
        file = age("-r", public_line(key), "-r", public_line(other), stdin=b"hello")
        asked = f"secret: Enter passphrase for {key}:\n"
        opening = f"crypt: opening the SSH private key {key}: "
        crypt(
            "age-decrypt", key, stdin=file, answers=["wrong"], directory=directory, code=3,
            err=f"{asked}{opening}incorrect passphrase\n",
        )  # fmt: skip
        crypt(
            "age-decrypt", key, stdin=file, answers=[""], directory=directory, code=3,
            err=f"{asked}{opening}no passphrase given\n",
        )  # fmt: skip
        crypt(
            "age-decrypt", key, stdin=file, code=3,
            err=f"{opening}encrypted with a passphrase, and there is nobody to ask\n",
        )  # fmt: skip
        plaintext = crypt("age-decrypt", key, other, stdin=file, answers=["wrong"], directory=directory, err=asked)
        equal(plaintext, b"hello", "plaintext")


def test_encrypted_pem_key_needs_public_key(directory):
    """an encrypted PEM key without its .pub file is an error that names the file"""
    path = ssh_keygen(directory / "key", "-t", "rsa", "-b", "2048", "-m", "PEM", passphrase="secret")
    public = directory / "key.pub"
    reading = f"crypt: reading the identity file: {path}: "
    public.write_text("ssh-rsa AAAA\n")
    crypt("age-recipients", path, code=1, err=f"{reading}reading the .pub file beside it: the SSH public key is damaged\n")
    public.unlink()
    crypt(
        "age-recipients", path, code=1,
        err=f"{reading}the encrypted private key does not contain its public key, and there is no .pub "
        "file beside it: convert it with `ssh-keygen -p -f FILE`\n",
    )  # fmt: skip


def test_unsupported_key_types(directory):
    """keys of unsupported types are errors"""
    path = ssh_keygen(directory / "key", "-t", "ecdsa")
    ssh_keygen(directory / "small", "-t", "rsa", "-b", "1024")
    reading = f"crypt: reading the identity file: {directory}/"
    neither = "unsupported SSH key type: age supports only Ed25519 and RSA keys\n"
    crypt("age-recipients", path, code=1, err=f"{reading}key: {neither}")
    crypt("age-encrypt", public_line(path), code=2, err=None)
    crypt(
        "age-recipients", directory / "small", code=1,
        err=f"{reading}small: the SSH RSA key is too weak: it has less than 2048 bits\n",
    )  # fmt: skip
    ec = openssl(directory / "ec", "genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    crypt(
        "age-recipients", ec, code=1,
        err=f"{reading}ec: unsupported key type: age supports only Ed25519 and RSA keys\n",
    )  # fmt: skip


def test_passphrase_both_ways(directory):
    """a file encrypted with a passphrase by age opens in ours, and the other way round"""
    plaintext = random.Random(SEED).randbytes(100000)
    asked = "secret: the new passphrase\n"
    for verb in ENCRYPT:
        file = crypt(verb, "passphrase", stdin=plaintext, answers=["corréct horse"], directory=directory, err=asked)
        equal(age("-d", stdin=file, answers=["corréct horse"]), plaintext, verb)
    file = age("-p", "-a", stdin=plaintext, answers=["corréct horse", "corréct horse"])
    for verb in DECRYPT:
        opened = crypt(
            verb, "passphrase", stdin=file, answers=["corréct horse"], directory=directory,
            err="secret: Enter passphrase for the file:\n",
        )  # fmt: skip
        equal(opened, plaintext, verb)


def test_passphrase_rules(directory):
    """a passphrase is the only recipient, not empty, and asked for only if needed"""
    key = directory / "key"
    expect(run(need("age-keygen"), "-o", key))
    public = run(need("age-keygen"), "-y", key).out.strip()
    asked = "secret: the new passphrase\n"
    crypt(
        "age-encrypt", "passphrase", public, answers=["x"], directory=directory, code=2,
        err=f"{asked}crypt: a passphrase cannot be combined with another recipient\n",
    )  # fmt: skip
    crypt(
        "age-encrypt", "passphrase", answers=[""], directory=directory, code=2,
        err=f"{asked}crypt: the passphrase is empty\n",
    )  # fmt: skip
    file = age("-r", public, stdin=b"hello")
    crypt(
        "age-decrypt", "passphrase", stdin=file, answers=[], directory=directory, code=3,
        err=None,
    )  # fmt: skip
    file = crypt("age-encrypt", "passphrase", answers=["x"], directory=directory, err=asked)
    crypt(
        "age-decrypt", "passphrase", stdin=file, answers=["y"], directory=directory, code=3,
        err="secret: Enter passphrase for the file:\ncrypt: incorrect passphrase\n",
    )  # fmt: skip


def test_encrypted_identity_file(directory):
    """an identity file encrypted by age, armored or not, opens a file with its passphrase"""
    first, second = directory / "first", directory / "second"
    for path in (first, second):
        expect(run(need("age-keygen"), "-o", path))
    file = age("-r", run(need("age-keygen"), "-y", second).out.strip(), stdin=b"hello")
    for options in (["-p"], ["-p", "-a"]):
        path = directory / "encrypted"
        path.write_bytes(
            age(*options, stdin=first.read_bytes() + second.read_bytes(), answers=["secret", "secret"])
        )
        path.chmod(0o600)
        asked = f"secret: Enter passphrase for {path}:\n"
        opened = crypt("age-decrypt", path, stdin=file, answers=["secret"], directory=directory, err=asked)
        equal(opened, b"hello", "plaintext")
        equal(age("-d", "-i", path, stdin=file, answers=["secret"]), b"hello", "plaintext of age")
        crypt(
            "age-decrypt", path, stdin=file, answers=["wrong"], directory=directory, code=3,
            err=f"{asked}crypt: opening the encrypted identity file {path}: incorrect passphrase\n",
        )  # fmt: skip
        equal(crypt("age-recipients", path), b"<encrypted identity file>\n", "name")


def test_post_quantum_keys(directory):
    """post-quantum files work both ways with age, or an error names the missing libcrypto feature"""
    path = directory / "key"
    path.write_text(bech32.encode("age-secret-key-pq-", random.Random(SEED).randbytes(32)).upper() + "\n")
    path.chmod(0o600)
    public = crypt("age-recipients", path).decode().strip()
    if public == "<post-quantum key>":
        version = run(need("openssl"), "version").out.split()[1]
        crypt("age-encrypt", bech32.encode("age1pq", bytes(1216)), code=3, err=LACKING.format(version))
        return
    if "-pq" not in run(need("age-keygen"), "-h").err:
        raise Skip("this age knows no post-quantum keys: version 1.3 does")
    for number, plaintext in enumerate(plaintexts()):
        file = crypt(ENCRYPT[number % len(ENCRYPT)], public, stdin=plaintext)
        equal(age("-d", "-i", path, stdin=file), plaintext, "ours")
        equal(crypt(DECRYPT[number % len(DECRYPT)], path, stdin=age("-r", public, stdin=plaintext)), plaintext, "theirs")


if __name__ == "__main__":
    print(f"# seed {SEED}")
    harness.main()
