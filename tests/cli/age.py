# SPDX-License-Identifier: Apache-2.0
"""`vmcred age`, compared with the real age."""
import os
import stat

import harness
from harness import equal, expect, fails, need, run, vmcred


class Keys:
    def __init__(self, directory):
        self.identity, self.plain, self.file, self.out = (directory / name for name in ("key", "plain", "file", "out"))
        expect(run(need("age-keygen"), "-o", self.identity))
        self.public = run(need("age-keygen"), "-y", self.identity).out.strip()
        self.plain.write_bytes(os.urandom(200000))


def test_age_and_vmcred_decrypt_each_others_files(directory):
    """age decrypts files that were encrypted to keys and key files, and the other way round"""
    keys, other = Keys(directory), directory / "other"
    expect(run(need("age-keygen"), "-o", other))
    team = directory / "team"
    team.write_text(f"# the team\n{run(need('age-keygen'), '-y', other).out}")
    for form in ([], ["--armor"]):
        words = ["--recipient", keys.public, "--recipients", team, *form, "--input", keys.plain, "--output", keys.file]
        expect(vmcred("age", "encrypt", *words), out="", err="")
        equal(stat.S_IMODE(keys.file.stat().st_mode), 0o644, "mode")
        for identity in (keys.identity, other):
            expect(run(need("age"), "-d", "-i", identity, "-o", keys.out, keys.file))
            equal(keys.out.read_bytes() == keys.plain.read_bytes(), True, "plaintext")
    expect(run(need("age"), "-r", keys.public, "-o", keys.file, keys.plain))
    keys.out.unlink()
    words = ["--identity", other, "--identity", keys.identity, "--input", keys.file, "--output", keys.out]
    expect(vmcred("age", "decrypt", *words), out="", err="")
    equal(keys.out.read_bytes() == keys.plain.read_bytes(), True, "plaintext")
    equal(stat.S_IMODE(keys.out.stat().st_mode), 0o600, "mode")


def test_filter_with_default_identity(directory):
    """as a filter it reads standard input and writes standard output, with the default identity"""
    keys = Keys(directory)
    text = vmcred("age", "encrypt", "--armor", "--recipient", keys.public, stdin=b"hello").out
    expect(vmcred("age", "decrypt", stdin=text, env={"SOPS_AGE_KEY_FILE": str(keys.identity)}), out="hello", err="")


def test_failure_leaves_the_output_file_unchanged(directory):
    """after a failure the old output file is unchanged and no other file is left"""
    keys = Keys(directory)
    expect(vmcred("age", "encrypt", "--recipient", keys.public, "--input", keys.plain, "--output", keys.file))
    damaged = bytearray(keys.file.read_bytes())
    damaged[-1] ^= 1
    keys.file.write_bytes(damaged)
    keys.out.write_text("precious")
    before = sorted(directory.iterdir())
    words = ["--identity", keys.identity, "--input", keys.file, "--output", keys.out]
    fails(vmcred("age", "decrypt", *words), 4, "decrypting", "modified")
    equal((keys.out.read_text(), sorted(directory.iterdir())), ("precious", before), "directory")


def test_wrong_arguments_are_refused(directory):
    """wrong arguments and options are refused"""
    keys = Keys(directory)
    hint = ": pass --recipient, --recipients or --passphrase"
    for words, code, error in (
        ([], 2, "missing argument: expected encrypt|decrypt: see `vmcred age --help`"),
        (["open"], 2, 'unknown command "open": must be encrypt or decrypt'),
        (["encrypt"], 2, f"encrypting: no recipients{hint}"),
        (["encrypt", "--identity", "x"], 2, "encrypting: --identity is only for decrypt"),
        (["decrypt", "--armor"], 2, "decrypting: --armor is only for encrypt: decrypt detects it"),
        (["decrypt", "--recipient", "x"], 2, "decrypting: --recipient and --recipients are only for encrypt"),
        (["decrypt", "--passphrase", "--identity", "x"], 2, "decrypting: --passphrase conflicts with --identity"),
        (["encrypt", "--recipient", "hunter2"], 2, "encrypting: a recipient is not an age public key (age1…)"),
        (["encrypt", "--recipients", keys.identity], 2, f"encrypting: {keys.identity}: line 3 is not an age public key"),
        (["decrypt", "--input", directory / "nothing"], 3, f"decrypting: opening {directory}/nothing: No such file or directory"),
    ):
        expect(vmcred("age", *words), code=code, out="", err=f"vmcred: {error}\n")


if __name__ == "__main__":
    harness.main()
