# SPDX-License-Identifier: Apache-2.0
"""The identity that decrypts a machine's secrets: each format that age reads, and passphrases typed at the terminal."""
import fcntl
import json
import os
import pty
import subprocess
import termios
import threading
import time

import harness
from example import Example
from harness import VMCRED, Result, equal, expect, fails, need, run, vmcred


class Machine(Example):
    """A store whose machine has the given public key."""

    def __init__(self, directory, public_key):
        super().__init__(directory, generate=False)
        path = self.directory / "sops" / "machines" / "m" / "key.json"
        keys = json.loads(path.read_text())
        keys[0]["publickey"] = public_key
        path.write_text(json.dumps(keys))
        expect(self.generate())

    def get_words(self, identity):
        return ["get", "--config", self.config, "--identity", identity, "m", "made/one"]


def ssh_keygen(directory, *options, passphrase=""):
    path = directory / "ssh_host_key"
    expect(run(need("ssh-keygen"), "-q", "-N", passphrase, "-C", "root@host", "-f", path, *options))
    return path, (directory / "ssh_host_key.pub").read_text().strip()


def get_at_terminal(words, answer):
    """Types the answer to the program's question; returns the exit code, both outputs, and the text on the terminal."""
    ours, theirs = pty.openpty()
    shown = b""

    def take_terminal():
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [str(word) for word in [VMCRED, *words]],
        env=harness.CLEAN_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=take_terminal,
    )
    killer = threading.Timer(60, process.kill)
    killer.start()
    try:
        while not shown.endswith(b": "):
            shown += os.read(ours, 1000)
        while termios.tcgetattr(theirs)[3] & termios.ECHO:
            time.sleep(0.01)
        os.write(ours, answer.encode() + b"\n")
        out, err = process.communicate()
    finally:
        killer.cancel()
        while not shown.endswith(b"\r\n"):
            shown += os.read(ours, 1000)
        os.close(theirs)
        os.close(ours)
    return process.returncode, out, err.decode(), shown.decode()


def test_ssh_host_key_decrypts_secrets(directory):
    """the SSH key of a host decrypts its secrets"""
    for options in (["-t", "ed25519"], ["-t", "rsa", "-b", "2048"]):
        place = directory / options[1]
        place.mkdir()
        path, public_key = ssh_keygen(place, *options)
        machine = Machine(place, public_key)
        result = expect(vmcred(*machine.get_words(path)), err="")
        equal(len(result.out), 44, "a secret of 32 bytes in Base64")
        expect(vmcred(*machine.get_words(machine.identity)), code=3, out="")


def test_typed_passphrase_is_not_shown(directory):
    """an encrypted SSH key decrypts them with the typed passphrase, which is not shown"""
    path, public_key = ssh_keygen(directory, "-t", "ed25519", passphrase="correct horse")
    machine = Machine(directory, public_key)
    code, out, err, shown = get_at_terminal(machine.get_words(path), "correct horse")
    equal((code, err, len(out)), (0, "", 44), "result")
    equal(shown, f"Enter passphrase for {path}: \r\n", "the text on the terminal")
    code, out, err, _ = get_at_terminal(machine.get_words(path), "wrong")
    fails(Result(code, out.decode(), err), 3, machine.document("one").relative_to(machine.directory), public_key, path, "passphrase")


def test_passphrase_is_asked_for_once(directory):
    """a passphrase is asked for once, however many secrets are re-encrypted"""
    path, public_key = ssh_keygen(directory, "-t", "ed25519", passphrase="correct horse")
    names = [f"m{number}" for number in range(100)]
    declaration = "machines: {" + ", ".join(f"{name}: {{}}" for name in ["m", *names]) + "}\n"
    declaration += "generators: {own: {files: {it: {deploy: false}}, kind: {it: {hex: 8}}, machines: [" + ", ".join(names) + "]}}\n"
    example = Example(directory, declaration, generate=False)
    bob = expect(vmcred("keygen", "--output", directory / "bob")).out.strip()
    expect(vmcred("user", "add", "ada", "--age-key", public_key, "--config", example.config), 0, "", "")
    expect(example.generate())
    code, out, err, shown = get_at_terminal(
        ["user", "add", "bob", "--age-key", bob, "--identity", path, "--config", example.config], "correct horse")  # fmt: skip
    equal((code, err), (0, ""), "result")
    added = f"own/it: 1 recipient to add, 0 to remove: + user bob {bob}\n"
    equal(out.decode(), "".join(f"{name} {added}" for name in names), "the output")
    equal(shown, f"Enter passphrase for {path}: \r\n", "the text on the terminal")


def test_encrypted_ssh_key_needs_a_terminal(directory):
    """without a terminal, an encrypted SSH key is an error"""
    path, public_key = ssh_keygen(directory, "-t", "ed25519", passphrase="correct horse")
    machine = Machine(directory, public_key)
    result = run("setsid", "--wait", VMCRED, *machine.get_words(path))
    fails(result, 3, machine.document("one").relative_to(machine.directory), public_key, path, "terminal")


def test_personal_identity_of_sops_is_the_default(directory):
    """without another identity, the personal one of sops and clan is used"""
    harness.need_default_paths()
    example = Example(directory)
    words = ["get", "--config", example.config, "m", "made/one"]
    value = expect(example.get("one")).out
    for variables, place in (({"HOME": str(directory)}, ".config"), ({"HOME": "/", "XDG_CONFIG_HOME": str(directory / "own")}, "own")):
        fails(vmcred(*words, env=variables), 3, "/var/lib/vmcred/identity", "--identity")
        keys = directory / place / "sops/age/keys.txt"
        keys.parent.mkdir(parents=True)
        keys.write_text(example.identity.read_text())
        keys.chmod(0o600)
        expect(vmcred(*words, env=variables), 0, value, "")
        expect(vmcred(*words, env=variables | {"SOPS_AGE_KEY_FILE": "/none"}), 3, "")


if __name__ == "__main__":
    harness.main()
