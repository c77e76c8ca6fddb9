# SPDX-License-Identifier: Apache-2.0
"""We and the real age and age-keygen read each other's files."""
import os
import random
import subprocess
import time

import harness
from harness import equal, expect, need, run

CRYPT = os.environ.get("VMCRED_CRYPT", "build/tests/interop/crypt")
SIZES = [0, 1, 31, 65535, 65536, 65537, 131072, 200000]


def keygen(directory, name):
    """A new identity file of the real age-keygen, and its public key."""
    path = directory / name
    expect(run(need("age-keygen"), "-o", path))
    return path, run(need("age-keygen"), "-y", path).out.strip()


def pipe(*command, stdin, code=0):
    """Runs a filter and returns its output."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        env=harness.CLEAN_ENVIRONMENT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    equal((done.returncode, done.stderr.decode() if code == 0 else ""), (code, ""), "exit code and stderr")
    return done.stdout


def plaintexts():
    source = random.Random(7)
    return [source.randbytes(size) for size in SIZES]


def test_age_decrypts_our_files(directory):
    """age opens every file that we write, binary and armored"""
    path, recipient = keygen(directory, "key")
    for plaintext in plaintexts():
        for verb in ("age-encrypt", "age-armor"):
            file = pipe(CRYPT, verb, recipient, stdin=plaintext)
            equal(pipe(need("age"), "-d", "-i", path, stdin=file), plaintext, f"{verb} of {len(plaintext)} bytes")


def test_we_decrypt_files_of_age(directory):
    """we open every file that age writes, binary and armored"""
    path, recipient = keygen(directory, "key")
    for plaintext in plaintexts():
        for form in ([], ["-a"]):
            file = pipe(need("age"), *form, "-r", recipient, stdin=plaintext)
            equal(pipe(CRYPT, "age-decrypt", path, stdin=file), plaintext, f"{form} of {len(plaintext)} bytes")


def test_each_recipient_decrypts(directory):
    """each recipient opens a file of either program, and nobody else does"""
    keys = [keygen(directory, f"key{number}") for number in range(4)]
    recipients = [recipient for _, recipient in keys]
    stranger, stranger_recipient = keygen(directory, "stranger")
    plaintext = random.Random(8).randbytes(1000)
    ours = pipe(CRYPT, "age-encrypt", *recipients, stdin=plaintext)
    options = [word for recipient in recipients for word in ("-r", recipient)]
    theirs = pipe(need("age"), *options, stdin=plaintext)
    for path, _ in keys:
        equal(pipe(need("age"), "-d", "-i", path, stdin=ours), plaintext, "ours")
        equal(pipe(CRYPT, "age-decrypt", path, stdin=theirs), plaintext, "theirs")
    pipe(need("age"), "-d", "-i", stranger, stdin=ours, code=1)
    expect(
        run(CRYPT, "age-decrypt", stranger, stdin=theirs),
        code=3,
        out="",
        err="crypt: no identity matched any of the recipients\n",
    )
    equal(stranger_recipient in recipients, False, "stranger")


def test_identity_file_with_several_keys(directory):
    """an identity file may contain several keys, comments, empty lines and CR LF"""
    keys = [keygen(directory, f"key{number}") for number in range(3)]
    lines = ["# three keys", ""]
    for path, _ in keys:
        lines += path.read_text().splitlines() + [""]
    every = directory / "every"
    every.write_bytes("\r\n".join(lines).encode())
    every.chmod(0o600)
    for _, recipient in keys:
        file = pipe(need("age"), "-r", recipient, stdin=b"hello")
        equal(pipe(CRYPT, "age-decrypt", every, stdin=file), b"hello", "plaintext")


def test_x25519_identity_among_other_types(directory):
    """an X25519 identity opens a file that also has recipients of other types"""
    path, recipient = keygen(directory, "key")
    ssh = directory / "ssh"
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", ssh))
    file = pipe(need("age"), "-R", f"{ssh}.pub", "-r", recipient, stdin=b"hello")
    equal(pipe(CRYPT, "age-decrypt", path, stdin=file), b"hello", "plaintext")


def measured(verb, words, source, target):
    """The program's peak memory use, in KiB."""
    with open(source, "rb") as stdin, open(target, "wb") as stdout:
        process = subprocess.Popen(
            [CRYPT, verb, *(str(word) for word in words)],
            stdin=stdin, stdout=stdout, env=harness.CLEAN_ENVIRONMENT,
        )  # fmt: skip
        peak = 0
        while process.poll() is None:
            lines = open(f"/proc/{process.pid}/status", encoding="utf-8").read().splitlines()
            peak = max([peak] + [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")])
            time.sleep(0.001)
    equal(process.returncode, 0, f"exit code of {verb}")
    return peak


def test_stream_memory_is_constant(directory):
    """a stream of any size needs the same memory, under 8 MiB"""
    path, recipient = keygen(directory, "key")
    plain, file, opened = directory / "plain", directory / "file", directory / "opened"
    for size in (1 << 20, 96 << 20):
        plain.write_bytes(random.Random(9).randbytes(1 << 20) * (size >> 20))
        for verb in ("age-stream", "age-stream-armor"):
            peaks = [measured(verb, [recipient], plain, file), measured("age-stream-decrypt", [path], file, opened)]
            equal(max(peaks) < 8192, True, f"{verb} of {size} bytes in {peaks} KiB, under 8 MiB")
            equal(opened.read_bytes() == plain.read_bytes(), True, "plaintext")


def test_damaged_stream(directory):
    """a truncated or modified stream outputs its genuine beginning and an error; with a bad header, nothing"""
    path, recipient = keygen(directory, "key")
    plaintext = random.Random(10).randbytes(9 * 65536 + 100)
    file = pipe(need("age"), "-r", recipient, stdin=plaintext)
    start = len(file) - len(plaintext) - 10 * 16
    cut, changed = "the age payload is truncated", "the age payload was modified or truncated: the tag of a chunk does not match"
    cases = [
        (file[:-1], 9, changed),
        (file[: start + 5 * 65552], 4, changed),
        (file[: start + 5 * 65552 + 10], 5, cut),
        (file[: start + 6 * 65552 + 1] + b"x" + file[start + 6 * 65552 + 2 :], 6, changed),
        (file[:start], 0, cut),
        (file[: start - 1], 0, cut),
        (file[:40] + b"x" + file[41:], 0, None),
    ]
    for damaged, chunks, reason in cases:
        done = subprocess.run(
            [CRYPT, "age-stream-decrypt", path], input=damaged, capture_output=True, check=False, timeout=60
        )
        equal(len(done.stdout), chunks * 65536, f"bytes of plaintext with {reason}")
        equal(done.stdout, plaintext[: chunks * 65536], "plaintext")
        if reason:
            equal((done.returncode, done.stderr.decode()), (4, f"crypt: {reason}\n"), "exit code and stderr")
        else:
            equal(done.returncode in (1, 3, 4), True, "exit code")


def test_endless_header(directory):
    """an endless header is an error and is not read into memory"""
    path, _ = keygen(directory, "key")
    endless = b"age-encryption.org/v1\n-> x\n" + (b"A" * 64 + b"\n") * (40 << 20 >> 6)
    done = run(CRYPT, "age-stream-decrypt", path, stdin=endless)
    expect(done, code=1, out="", err="crypt: the age header is larger than 16777216 bytes\n")


if __name__ == "__main__":
    harness.main()
