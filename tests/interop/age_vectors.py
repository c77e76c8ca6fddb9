# SPDX-License-Identifier: Apache-2.0
"""The test vectors that all implementations of age share (C2SP CCTV, the npm package cctv-age).

The package is fetched once and kept in a cache directory; where that is not possible the test is skipped, or fails where
CI=true. Every vector is run, in memory and as a stream. Those that end at what the linked libcrypto lacks are named.
"""
import base64
import hashlib
import os
import re
import subprocess
import tarfile
import tempfile
import zlib

import harness
from harness import CACHE, Skip, need

CRYPT = os.environ.get("VMCRED_CRYPT", "build/tests/interop/crypt")
PACKAGE = "cctv-age@0.2.0"
DIGEST = "94a2a220a95b158a69997e84405bb5d4ef84adf05d15bf341b83ec3ba9dd846e"
ENTRY = re.compile(r'^// \.\./testdata/(\S+)\nvar \w+ = __toBinary\("([^"]*)"\);', re.M)

# The outcome that a vector demands, and our exit code.
EXPECTED = {
    "success": 0,
    "no match": 3,
    "HMAC failure": 4,
    "header failure": 1,
    "payload failure": 4,
    "armor failure": 1,
}

# A file that ends inside the payload's nonce is to us one that was cut, and not one with a malformed header.
EXPECTED_OF = {"stream_no_nonce": 4, "stream_short_nonce": 4}


def package():
    archive = CACHE / (PACKAGE.replace("@", "-") + ".tgz")
    if not archive.exists():
        npm = need("npm")
        CACHE.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(
            [npm, "pack", PACKAGE], cwd=CACHE, capture_output=True, check=False, timeout=120
        )
        if fetched.returncode != 0:
            if harness.CI:
                raise AssertionError(f"npm pack {PACKAGE} failed: {fetched.stderr.decode()}")
            raise Skip("the vectors cannot be fetched here")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != DIGEST:
        raise AssertionError(f"{archive} is not the package that this test was written for")
    with tarfile.open(archive) as tar:
        return tar.extractfile("package/index.js").read().decode()


def vectors():
    for name, encoded in ENTRY.findall(package()):
        head, _, file = base64.b64decode(encoded).partition(b"\n\n")
        fields = [line.split(": ", 1) for line in head.decode().splitlines()]
        if ["compressed", "zlib"] in fields:
            file = zlib.decompress(file)
        yield name, fields, file


# Those that cannot be run without ML-KEM; the other hybrid ones end before it is needed.
HYBRID = """
armor_hybrid hybrid hybrid_and_x25519 hybrid_bad_tag hybrid_currupted_enc_mlkem hybrid_currupted_enc_x25519
hybrid_grease hybrid_identity hybrid_low_order hybrid_multiple_recipients hybrid_no_match
""".split()

# What is said where libcrypto is too old for a vector.
LACKING = re.compile(
    rb"crypt: post-quantum keys need ML-KEM-768, which this machine's libcrypto \([0-9.]+\) does not have: "
    rb"use OpenSSL 3\.5 or later\n"
)


def decrypt(directory, verb, fields, file):
    identities = directory / "identities"
    values = [value for key, value in fields if key == "identity"]
    identities.write_text("".join(value + "\n" for value in values))
    identities.chmod(0o600)
    passphrases = [value for key, value in fields if key == "passphrase"]
    (directory / "answers").write_text("".join(value + "\n" for value in passphrases))
    words = ["passphrase"] * len(passphrases) + ([identities] if values else [])
    return subprocess.run(
        [CRYPT, verb, *words],
        input=file,
        env=harness.CLEAN_ENVIRONMENT | {"CRYPT_ANSWERS": str(directory / "answers")},
        capture_output=True,
        check=False,
        timeout=60,
    )


def outcome(directory, verb, name, fields, file):
    """The difference from the expected result, None if there is none, or "lacking"."""
    done = decrypt(directory, verb, fields, file)
    if LACKING.fullmatch(done.stderr) and done.returncode == 3 and not done.stdout:
        return "lacking"
    fields = dict(fields)
    if done.returncode != EXPECTED_OF.get(name, EXPECTED[fields["expect"]]):
        return f"exit code {done.returncode} for {fields['expect']}: {done.stderr.decode()}"
    if done.returncode == 0:
        return None if hashlib.sha256(done.stdout).hexdigest() == fields["payload"] else "another payload"
    if done.stdout and (verb != "age-stream-decrypt" or "payload" not in fields):
        return f"{len(done.stdout)} bytes despite the error"
    # A stream outputs genuine chunks before the bad one; the vector's digest covers all of them. We read one byte ahead and
    # do not output a chunk that claims to be the last one but is not.
    if not all_genuine(done.stdout, fields, file):
        return f"{len(done.stdout)} bytes that are not a prefix of the genuine ones"
    return None


def all_genuine(plaintext, fields, file):
    if not plaintext or hashlib.sha256(plaintext).hexdigest() == fields["payload"]:
        return True
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as identities:
        identities.write(fields["identity"].encode())
        identities.flush()
        peer = subprocess.run(
            [need("age"), "-d", "-i", identities.name], input=file, capture_output=True, check=False, timeout=60
        )
    if hashlib.sha256(peer.stdout).hexdigest() != fields["payload"]:
        raise AssertionError("age does not output what the vector expects")
    return peer.stdout.startswith(plaintext)


def run_all(directory, verb):
    failed, lacking, tried = [], [], 0
    for name, fields, file in vectors():
        # A vector may not say that its file is armored; age and we detect it.
        if dict(fields).get("armored") != "yes" and file.lstrip().startswith(b"-----BEGIN"):
            failed.append(f"{name}: armor where none is expected")
            continue
        tried += 1
        wrong = outcome(directory, verb, name, fields, file)
        if wrong == "lacking":
            lacking.append(name)
        elif wrong:
            failed.append(f"{name}: {wrong}")
    print(f"# {verb}: {tried - len(lacking)} of {tried} vectors")
    if lacking:
        print(f"# not run, since this libcrypto has no ML-KEM (OpenSSL 3.5 has): {' '.join(lacking)}")
    if failed or tried != 143:
        raise AssertionError("\n".join(failed) or f"{tried} vectors")
    if lacking not in ([], HYBRID):
        raise AssertionError(f"left out, but not because ML-KEM is missing: {' '.join(lacking)}")


def test_vectors(directory):
    """every vector has the expected result, and no output on error"""
    run_all(directory, "age-decrypt")


def test_streamed_vectors(directory):
    """every vector has the expected result as a stream, with only genuine output"""
    run_all(directory, "age-stream-decrypt")


if __name__ == "__main__":
    harness.main()
