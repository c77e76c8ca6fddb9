# SPDX-License-Identifier: Apache-2.0
"""The identity that decrypts a machine's secrets: each format that age reads, and passphrases typed at the terminal."""
import base64
import fcntl
import json
import os
import pty
import subprocess
import termios
import threading
import time

import bech32
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


def ssh_to_age(public_key):
    """The age key that ssh-to-age makes: the point's image on Curve25519 (RFC 7748, section 4.1)."""
    prime = 2**255 - 19
    y = int.from_bytes(base64.b64decode(public_key.split()[1])[-32:], "little") % 2**255
    return bech32.encode("age", ((1 + y) * pow(1 - y, -1, prime) % prime).to_bytes(32, "little"))


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
    """a passphrase is asked for once, however many secrets are re-encrypted or checked"""
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
    code, out, err, shown = get_at_terminal(["check", "--decrypt", "--identity", path, "--config", example.config], "correct horse")
    equal((code, err, out.decode().splitlines()[-1]), (0, "", "decrypted 100 secrets"), "the check's result")
    equal(shown, f"Enter passphrase for {path}: \r\n", "the text on the terminal")


def test_encrypted_ssh_key_needs_a_terminal(directory):
    """without a terminal, an encrypted SSH key is an error"""
    path, public_key = ssh_keygen(directory, "-t", "ed25519", passphrase="correct horse")
    machine = Machine(directory, public_key)
    result = run("setsid", "--wait", VMCRED, *machine.get_words(path))
    fails(result, 3, machine.document("one").relative_to(machine.directory), public_key, path, "terminal")


def test_ssh_key_opens_what_is_encrypted_to_its_age_key(directory):
    """an Ed25519 SSH key opens what is encrypted to the age key that ssh-to-age makes of it: get, activate, sops; not age"""
    path, public_key = ssh_keygen(directory, "-t", "ed25519")
    machine = Machine(directory, ssh_to_age(public_key))
    value = expect(vmcred(*machine.get_words(path)), 0, None, "").out
    expect(vmcred("activate", "--config", machine.config, "--identity", path, "--root", directory))
    equal((directory / "run/secrets/vars/made/one").read_text(), value, "the activated value")
    document = machine.document("one")
    equal(expect(vmcred("sops", "decrypt", document, env={"SOPS_AGE_SSH_PRIVATE_KEY_FILE": str(path)})).out, value, "sops")
    file = directory / "file.age"
    expect(vmcred("age", "--recipient", ssh_to_age(public_key), "--output", file, stdin=b"text"))
    fails(vmcred("age", "--decrypt", "--identity", path, file), 3, "no identity")


def test_encrypted_ssh_key_is_not_converted(directory):
    """an SSH key with a passphrase does not open what is encrypted to its age key, and the passphrase is not asked for"""
    path, public_key = ssh_keygen(directory, "-t", "ed25519", passphrase="correct horse")
    machine = Machine(directory, ssh_to_age(public_key))
    fails(vmcred(*machine.get_words(path)), 3, machine.document("one").relative_to(machine.directory), ssh_to_age(public_key))


def test_places_are_searched_in_order(directory):
    """the first of the default places that can be read is used, among them ~/.ssh/id_ed25519; an error lists them"""
    harness.need_default_paths()
    path, public_key = ssh_keygen(directory, "-t", "ed25519")
    machine = Machine(directory, public_key)
    words, home = ["get", "--config", machine.config, "m", "made/one"], directory / "home"
    places = [home / ".config/sops/age/keys.txt", home / ".ssh/id_ed25519"]
    env = {"HOME": str(home)}
    fails(vmcred(*words, env=env), 3, "/var/lib/vmcred/identity, ", *(f"{place}, " for place in places), "--identity")
    for place in places:
        place.parent.mkdir(parents=True)
    path.rename(places[1])
    value = expect(vmcred(*words, env=env), 0, None, "").out
    other = directory / "other"
    expect(vmcred("keygen", "--output", other))
    other.rename(places[0])
    expect(vmcred(*words, env=env), 3, "")
    places[0].unlink()
    equal(expect(vmcred(*words, env=env)).out, value, "the value")


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


def test_the_identity_file_is_reported(directory):
    """-vv reports which identity file is used"""
    example = Example(directory)
    result = vmcred("get", "-vv", "--config", example.config, "m", "made/one", env={"SOPS_AGE_KEY_FILE": str(example.identity)})
    assert f"vmcred: the identity file is {example.identity}\n" in expect(result, 0, None, None).err, result


if __name__ == "__main__":
    harness.main()
