# SPDX-License-Identifier: Apache-2.0
"""Sources of keys: each source of sops decrypts a document with `vmcred sops` too, including PGP through gpg."""
import os
import tempfile

import harness
from harness import equal, expect, need, run
from side_by_side import Peers


def without_keys(peers):
    """An environment without any source of keys."""
    peers.environment.pop("SOPS_AGE_KEY_FILE")
    return peers


def secret_line(path):
    return path.read_text().splitlines()[-1]


def test_age_identities_of_sops_are_found(directory):
    """age identities are found in every variable and file that sops reads"""
    peers = without_keys(Peers(directory))
    key = secret_line(peers.key)
    other = secret_line(peers.other_key)
    peers.same("decrypt", "enc.json", code=128)
    for value in (key, f"{other}\n{key}", f"{other} {key}\n", f"# a comment\n\n{key}\n"):
        peers.same("decrypt", "enc.json", env={"SOPS_AGE_KEY": value}, code=0)
    peers.same("decrypt", "enc.json", env={"SOPS_AGE_KEY": other}, code=128)
    peers.same("decrypt", "enc.json", env={"SOPS_AGE_KEY": "nonsense"}, code=128)
    peers.same("decrypt", "enc.json", env={"SOPS_AGE_KEY_FILE": str(peers.key)}, code=0)
    peers.same("decrypt", "enc.json", env={"SOPS_AGE_KEY_FILE": str(peers.other_key), "SOPS_AGE_KEY": key}, code=0)
    peers.same("decrypt", "enc.json", env={"SOPS_AGE_KEY_FILE": "/nonexistent", "SOPS_AGE_KEY": key}, code=0)
    configuration = directory / "configuration" / "sops" / "age"
    configuration.mkdir(parents=True)
    (configuration / "keys.txt").write_text(peers.key.read_text())
    peers.same("decrypt", "enc.json", env={"XDG_CONFIG_HOME": str(directory / "configuration")}, code=0)
    home = peers.home / ".config" / "sops" / "age"
    home.mkdir(parents=True)
    (home / "keys.txt").write_text(peers.key.read_text())
    peers.same("decrypt", "enc.json", code=0)
    peers.same("decrypt", "enc.json", env={"XDG_CONFIG_HOME": str(directory / "empty")}, code=128)


def test_world_readable_key_file_is_a_warning(directory):
    """a key file that others can read is used with a warning that says how to fix it"""
    peers = Peers(directory)
    peers.key.chmod(0o644)
    said, _, _ = peers.same("decrypt", "enc.json", code=0)
    equal(said, f"vmcred: warning: key file {peers.key} is accessible to other users: chmod 600 {peers.key}\n", "warning")


def test_commands_print_identities(directory):
    """commands print identities, get the recipient, and are split into arguments as by sops"""
    peers = without_keys(Peers(directory))
    script = harness.write_program(directory / "a command", f'#!/bin/sh\n[ "$1" = "two words" ] && [ "$SOPS_AGE_RECIPIENT" = {peers.recipient} ] && cat {peers.key}\n')
    for command, code in [
        (f"cat {peers.key}", 0),
        (f'cat "{peers.key}" # a comment', 0),
        (f"'{script}' two\\ words", 0),
        (f"'{script}' 'two words'", 0),
        (f"'{script}' two words", 128),
        (f"cat {peers.key} | cat", 128),
        ("cat '/x", 128),
        ("/nonexistent/program", 128),
        ("false", 128),
    ]:
        peers.same("decrypt", "enc.json", env={"SOPS_AGE_KEY_CMD": command}, code=code)


def test_ssh_keys_decrypt_documents(directory):
    """SSH keys from a file, a command and ~/.ssh decrypt documents"""
    peers = without_keys(Peers(directory))
    for kind in ("ed25519", "rsa"):
        path = directory / f"id_{kind}"
        expect(run(need("ssh-keygen"), "-q", "-t", kind, "-N", "", "-C", "", "-f", path))
        recipient = path.with_suffix(".pub").read_text().strip()
        peers.encrypt("plain.json", f"{kind}.json", "--age", recipient)
        peers.same("encrypt", "--age", recipient, "plain.json", code=0)
        peers.same("decrypt", f"{kind}.json", code=128)
        peers.same("decrypt", f"{kind}.json", env={"SOPS_AGE_SSH_PRIVATE_KEY_FILE": str(path)}, code=0)
        peers.same("decrypt", f"{kind}.json", env={"SOPS_AGE_SSH_PRIVATE_KEY_CMD": f"cat {path}"}, code=0)
        home = peers.home / ".ssh"
        home.mkdir(exist_ok=True)
        (home / f"id_{kind}").write_bytes(path.read_bytes())
        peers.same("decrypt", f"{kind}.json", code=0)


def test_pgp_documents_use_gpg(directory):
    """PGP documents are written and read through gpg with its keys"""
    peers = Peers(directory)
    gpg = need("gpg")
    # The path of the agent's socket must be short.
    with tempfile.TemporaryDirectory(prefix="vmcred-gpg.", dir="/dev/shm") as home:
        env = {"GNUPGHOME": home}
        made = run(gpg, "--batch", "--passphrase", "", "--quick-gen-key", "Test <test@example.org>", "default", "default", "never", env=env)
        expect(made)
        listed = run(gpg, "--list-keys", "--with-colons", env=env).out
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        try:
            pgp = ("--pgp", fingerprint)
            _, place, their_place = peers.same("encrypt", *pgp, "-i", "plain.json", env=env, code=0)
            peers.same("encrypt", "-i", "plain.json", env=env | {"SOPS_PGP_FP": fingerprint}, code=0)
            peers.same("encrypt", *pgp, "--age", peers.recipient, "-i", "plain.json", env=env, code=0)
            peers.same("encrypt", "--pgp", "0" * 40, "-i", "plain.json", env=env, code=1)
            (peers.tree / "pgp.json").write_bytes((their_place / "plain.json").read_bytes())
            (peers.tree / "ours.json").write_bytes((place / "plain.json").read_bytes())
            for name in ("pgp.json", "ours.json"):
                peers.same("decrypt", name, env=env, code=0)
                peers.same("set", name, '["a"]', "1", env=env, code=0)
                peers.same("rotate", "-i", name, env=env, code=0)
                peers.same("rotate", "-i", "--add-age", peers.recipient, name, env=env, code=0)
            peers.same("rotate", "-i", *("--add-pgp", fingerprint), "enc.json", env=env, code=0)
            peers.same("decrypt", "pgp.json", env={"GNUPGHOME": str(directory / "nowhere")}, code=128)
            peers.same("decrypt", "pgp.json", env=env | {"SOPS_GPG_EXEC": "/nonexistent/gpg"}, code=128)
            peers.same("decrypt", "pgp.json", env=env | {"SOPS_GPG_EXEC": gpg, "PATH": "/nonexistent"}, code=0)
            (peers.tree / ".sops.yaml").write_text(f"creation_rules:\n  - pgp: {fingerprint}\n    age: {peers.recipient}\n")
            peers.same("encrypt", "-i", "plain.json", env=env, code=0)
            peers.same("updatekeys", "-y", "enc.json", env=env, stdout=False, code=0)
            for order in ("age,pgp", "pgp,age", "pgp"):
                peers.same("decrypt", "--decryption-order", order, "enc.json", env=env | {"SOPS_DECRYPTION_ORDER": "age"}, code=0)
        finally:
            run("gpgconf", "--kill", "gpg-agent", env=env | {"PATH": os.environ["PATH"]})


harness.main()
