# SPDX-License-Identifier: Apache-2.0
"""Files that commands write where /proc is not mounted, so that a file without a name cannot get one."""
import harness
from harness import equal, expect, need_root, run

SECRET = "correct-horse-battery-staple"


def without_proc(*words, **options):
    hidden = 'mount -t tmpfs none /proc && exec "$@"'
    return run("unshare", "--mount", "sh", "-c", hidden, "sh", harness.VMCRED, *words, **options)


def test_output_without_proc(directory):
    """a key, a ciphertext and a plaintext are written where /proc is not mounted"""
    need_root()
    key, ciphertext, plaintext = directory / "key", directory / "ciphertext", directory / "plaintext"
    recipient = expect(without_proc("keygen", "--output", key), 0).out.strip()
    expect(without_proc("age", "-r", recipient, "-o", ciphertext, stdin=SECRET), 0, "", "")
    expect(without_proc("age", "-d", "-i", key, "-o", plaintext, ciphertext), 0, "", "")
    equal(plaintext.read_text(), SECRET)


harness.main()
