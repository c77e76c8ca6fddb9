# SPDX-License-Identifier: Apache-2.0
"""The test vectors that all implementations of age share (C2SP CCTV, the npm package cctv-age).

The package is fetched once and kept in a cache folder; where that is not possible the test is skipped, or fails where CI=true. Vectors for
recipient types that are not implemented are counted and left out.
"""
import base64
import hashlib
import os
import re
import subprocess
import tarfile
import zlib
from pathlib import Path

import harness
from harness import Skip, need, test

CRYPT = os.environ.get("VMCRED_CRYPT", "build/tests/interop/crypt")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmcred"
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


def outcome(folder, name, fields, file):
    """What is wrong with our answer, or None."""
    identities = folder / "identities"
    identities.write_text("".join(value + "\n" for key, value in fields if key == "identity"))
    identities.chmod(0o600)
    fields = dict(fields)
    if fields.get("armored") != "yes" and file.lstrip().startswith(b"-----BEGIN"):
        return "armor where none is expected"
    done = subprocess.run(
        [CRYPT, "age-decrypt", identities], input=file, capture_output=True, check=False, timeout=60
    )
    if done.returncode != EXPECTED_OF.get(name, EXPECTED[fields["expect"]]):
        return f"exit code {done.returncode} for {fields['expect']}: {done.stderr.decode()}"
    if done.returncode != 0:
        return f"{len(done.stdout)} bytes in spite of the error" if done.stdout else None
    if hashlib.sha256(done.stdout).hexdigest() != fields["payload"]:
        return "another payload"
    return None


@test("every vector for X25519 ends as it demands, and gives no byte where it demands an error")
def _(folder):
    failed, tried, left_out = [], 0, 0
    for name, fields, file in vectors():
        identities = [value for key, value in fields if key == "identity"]
        if not identities or any(not value.startswith("AGE-SECRET-KEY-1") for value in identities):
            left_out += 1
            continue
        tried += 1
        wrong = outcome(folder, name, fields, file)
        if wrong:
            failed.append(f"{name}: {wrong}")
    print(f"# {tried} vectors, {left_out} for other types left out")
    if failed or tried < 50:
        raise AssertionError("\n".join(failed) or "hardly any vectors")


if __name__ == "__main__":
    harness.main()
