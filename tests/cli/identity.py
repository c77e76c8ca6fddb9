# SPDX-License-Identifier: Apache-2.0
"""The identity that opens a machine's secrets: in each form that age takes, and asked for at the terminal."""
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
from harness import VMCRED, equal, expect, need, run, vmcred


class Machine(Example):
    """A store whose machine has the public key of our choice."""

    def __init__(self, folder, public_key):
        super().__init__(folder, generate=False)
        path = self.folder / "sops" / "machines" / "m" / "key.json"
        keys = json.loads(path.read_text())
        keys[0]["publickey"] = public_key
        path.write_text(json.dumps(keys))
        expect(self.generate())

    def get_words(self, identity):
        return ["get", "--config", self.config, "--identity", identity, "m", "made/one"]


def failure(machine, path, public_key, reason):
    """What is said where the identity cannot be used."""
    document = machine.document("one").relative_to(machine.folder)
    return f"vmcred: {document}: the key for {public_key} in its field sops.age: opening the SSH private key {path}: {reason}\n"


def ssh_keygen(folder, *options, passphrase=""):
    path = folder / "ssh_host_key"
    expect(run(need("ssh-keygen"), "-q", "-N", passphrase, "-C", "root@host", "-f", path, *options))
    return path, (folder / "ssh_host_key.pub").read_text().strip()


def get_at_terminal(words, answer):
    """Types the answer when the program has asked; gives the exit code, both outputs, and what the terminal showed."""
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


def test_ssh_key_host_opens_secrets(folder):
    """the SSH key of a host opens its secrets"""
    for options in (["-t", "ed25519"], ["-t", "rsa", "-b", "2048"]):
        place = folder / options[1]
        place.mkdir()
        path, public_key = ssh_keygen(place, *options)
        machine = Machine(place, public_key)
        result = expect(vmcred(*machine.get_words(path)), err="")
        equal(len(result.out), 44, "a secret of 32 bytes in Base64")
        expect(vmcred(*machine.get_words(machine.identity)), code=3, out="")


def test_encrypted_ssh_key_opens_them_passphrase_typed_not(folder):
    """an encrypted SSH key opens them with the passphrase that is typed, which is not shown"""
    path, public_key = ssh_keygen(folder, "-t", "ed25519", passphrase="correct horse")
    machine = Machine(folder, public_key)
    code, out, err, shown = get_at_terminal(machine.get_words(path), "correct horse")
    equal((code, err, len(out)), (0, "", 44), "result")
    equal(shown, f"Passphrase of {path}: \r\n", "what the terminal shows")
    code, out, err, _ = get_at_terminal(machine.get_words(path), "wrong")
    equal((code, out, err), (3, b"", failure(machine, path, public_key, "the passphrase is wrong")), "result")


def test_passphrase_asked_once_whatever_number_secrets(folder):
    """a passphrase is asked for once, whatever the number of secrets that are encrypted anew"""
    path, public_key = ssh_keygen(folder, "-t", "ed25519", passphrase="correct horse")
    names = [f"m{number}" for number in range(100)]
    declaration = "machines: {" + ", ".join(f"{name}: {{}}" for name in ["m", *names]) + "}\n"
    declaration += "generators: {own: {files: {it: {deploy: false}}, kind: {it: {hex: 8}}, machines: [" + ", ".join(names) + "]}}\n"
    example = Example(folder, declaration, generate=False)
    bob = expect(vmcred("keygen", "--output", folder / "bob")).out.strip()
    expect(vmcred("user", "add", "ada", "--age-key", public_key, "--config", example.config), 0, "", "")
    expect(example.generate())
    code, out, err, shown = get_at_terminal(
        ["user", "add", "bob", "--age-key", bob, "--identity", path, "--config", example.config], "correct horse")  # fmt: skip
    equal((code, err), (0, ""), "result")
    equal(out.decode(), "".join(f"{name} own/it: 1 recipient to add, 0 to remove\n" for name in names), "what was done")
    equal(shown, f"Passphrase of {path}: \r\n", "what the terminal shows")


def test_where_there_no_terminal_encrypted_ssh_key_error(folder):
    """where there is no terminal, an encrypted SSH key is an error that says so"""
    path, public_key = ssh_keygen(folder, "-t", "ed25519", passphrase="correct horse")
    machine = Machine(folder, public_key)
    result = run("setsid", "--wait", VMCRED, *machine.get_words(path))
    reason = "asking for its passphrase: no terminal to ask on"
    expect(result, code=3, out="", err=failure(machine, path, public_key, reason))


def test_without_another_identity_person_own_taken_from(folder):
    """without another identity a person's own is taken from where sops and clan keep it"""
    harness.need_default_paths()
    example = Example(folder)
    words = ["get", "--config", example.config, "m", "made/one"]
    value = expect(example.get("one")).out
    for variables, place in (({"HOME": str(folder)}, ".config"), ({"HOME": "/", "XDG_CONFIG_HOME": str(folder / "own")}, "own")):
        expect(vmcred(*words, env=variables), 3, "",
               "vmcred: reading the identity file: /var/lib/vmcred/identity: No such file or directory: pass the identity file with --identity FILE\n")  # fmt: skip
        keys = folder / place / "sops/age/keys.txt"
        keys.parent.mkdir(parents=True)
        keys.write_text(example.identity.read_text())
        keys.chmod(0o600)
        expect(vmcred(*words, env=variables), 0, value, "")
        expect(vmcred(*words, env=variables | {"SOPS_AGE_KEY_FILE": "/none"}), 3, "")


if __name__ == "__main__":
    harness.main()
