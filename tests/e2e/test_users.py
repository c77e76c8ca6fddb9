#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A host whose boot creates a user with a password hash from the store: the secrets for users are activated before."""
import harness
from harness import VMCRED, equal
from host import DROPINS, UNITS, Container, checked, units

UNIT = "vmcred-activate-users.service"
USERS = "/run/secrets-for-users"
DECLARATION = """\
machines: {example-host: {}}
generators:
  login:
    machines: [example-host]
    files: {password: {deploy: false}, hash: {neededFor: users, restartUnits: [login.service]}}
    kind: {password: {base64: 12}, hash: {password-hash: password}}
  service:
    machines: [example-host]
    files: {key: {owner: ada, group: ada}}
    kind: {key: {base64: 32}}
"""
# systemd-sysusers(8) reads a user's hash from a credential. Here it runs at each boot, whatever the state of /etc.
SYSUSERS = f"[Unit]\nConditionNeedsUpdate=\n[Service]\nLoadCredential=passwd.hashed-password.ada:{USERS}/vars/login/hash\n"

# An age plugin that reports whether it sees a device (age's C2SP plugin protocol, identity-v1).
PLUGIN = """#!/bin/sh
while read -r line && [ "$line" != "-> done" ]; do :; done
[ -c /dev/net/tun ] && seen=device || seen=nothing
printf -- '-> msg\\n%s\\n' "$(printf %s "sees $seen" | base64 | tr -d =)"
read -r line
"""
PLUGIN_IDENTITY = "AGE-PLUGIN-DEVICE-10QYYX0P5\n"
# As in vmcred-activate(1).
PLUGIN_DROPIN = "[Service]\nPrivateDevices=no\nDeviceAllow=/dev/net/tun rw\n"

host = None


class UsersHost(Container):
    """Before it boots, its declaration has secrets for users, and the unit is enabled."""

    def _declare(self):
        self.example.mkdir(mode=0o755)
        config = self.example / "vmcred.yaml"
        config.write_text(DECLARATION)
        checked(VMCRED, "keygen", "--config", config, "--machine", "example-host", "--output", self.identity)
        checked(VMCRED, "keygen", "--output", self.directory / "admin")
        key = next(word for word in (self.directory / "admin").read_text().split() if word.startswith("age1"))
        checked(VMCRED, "user", "add", "admin", "--config", config, "--age-key", key)
        checked(VMCRED, "generate", "--config", config)

    def _options(self):
        root = self.directory / "root"
        etc = root / "etc/systemd/system"
        (etc / "systemd-sysusers.service.d").mkdir(parents=True)
        (etc / "systemd-sysusers.service.d/ada.conf").write_text(SYSUSERS)
        (root / UNITS[1:]).mkdir(parents=True)
        (root / UNITS[1:] / UNIT).write_text(units()[UNIT])
        checked("systemctl", "--root", root, "enable", UNIT)
        (self.directory / "ada.conf").write_text("u ada - - /\n")
        binds = {
            etc / "sysinit.target.wants": "/etc/systemd/system/sysinit.target.wants",
            etc / "systemd-sysusers.service.d": "/etc/systemd/system/systemd-sysusers.service.d",
            self.directory / "ada.conf": "/etc/sysusers.d/ada.conf",
        }
        return [f"--bind-ro={source}:{target}" for source, target in binds.items()]

    def value(self, secret):
        return checked(
            VMCRED, "get", "--config", self.example / "vmcred.yaml", "--identity", self.directory / "admin", "example-host", secret
        ).out


def booted():
    global host  # pylint: disable=global-statement
    if host is None:
        host = UsersHost()
    return host


def property_of(unit, name):
    return booted().checked("systemctl", "show", "--value", f"--property={name}", unit).out.strip()


def test_users_are_created_after_activation(_directory):
    """the boot activates the secrets for users before it creates them, and the user has the password hash of the store"""
    machine = booted()
    equal(property_of(UNIT, "Result,ActiveState").split(), ["success", "active"], machine.run("journalctl", f"--unit={UNIT}").out)
    ended, started = (
        int(property_of(*words)) for words in (
            (UNIT, "ExecMainExitTimestampMonotonic"), ("systemd-sysusers.service", "ExecMainStartTimestampMonotonic"),
        )
    )  # fmt: skip
    assert 0 < ended <= started, f"{UNIT} ended at {ended}, systemd-sysusers.service started at {started}"
    equal(machine.checked("getent", "shadow", "ada").out.split(":")[1], machine.value("login/hash"))


def test_only_secrets_for_users(_directory):
    """no other secrets are activated, and these belong to root, on a mount without swap"""
    machine = booted()
    equal(machine.checked("sh", "-c", "ls -d /run/*secrets*").out.split(), [USERS, f"{USERS}.d"])
    equal(machine.checked("stat", "-c", "%a %U %G", f"{USERS}/vars/login/hash").out, "400 root root\n")
    mount = machine.checked("findmnt", "--noheadings", "--output", "FSTYPE,OPTIONS", f"{USERS}.d").out
    assert mount.startswith("tmpfs") and "noswap" in mount or mount.startswith("ramfs"), mount
    assert all(option in mount for option in ("nosuid", "nodev", "noexec")), mount
    equal(machine.run("ls", f"{USERS}/vars/login/password").code, 2, "exit code of ls for a file that is not deployed")


def test_reload_and_services(_directory):
    """a reload activates a changed hash and restarts its unit, and secrets of services are activated after their users exist"""
    machine = booted()
    machine.write(f"{DROPINS}/login.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    machine.checked("systemctl", "daemon-reload")
    machine.checked("systemctl", "start", "login.service")
    process = property_of("login.service", "MainPID")
    checked(VMCRED, "generate", "--config", machine.example / "vmcred.yaml", "--generator", "login", "--regenerate")
    machine.checked("systemctl", "reload", UNIT)
    equal(machine.checked("cat", f"{USERS}/vars/login/hash").out, machine.value("login/hash"))
    machine._wait(lambda: property_of("login.service", "MainPID") not in ("0", process))  # pylint: disable=protected-access
    machine.checked("systemctl", "start", "vmcred-activate.service")
    equal(machine.checked("stat", "-c", "%a %U %G", "/run/secrets/vars/service/key").out, "400 ada ada\n")


def test_without_an_identity(_directory):
    """without the identity, the units fail, and their log names what systemd could not load"""
    machine = booted()
    for unit in (UNIT, "vmcred-activate.service"):
        machine.write(f"{DROPINS}/{unit}.d/nowhere.conf", "[Service]\nLoadCredential=\nLoadCredential=identity:/nowhere\n")
        machine.checked("systemctl", "daemon-reload")
        equal(machine.run("systemctl", "restart", unit).code, 1, unit)
        log = machine.checked("journalctl", f"--unit={unit}", "--output=cat").out
        equal([line for line in log.splitlines() if "identity" in line], ["the identity in LoadCredential= cannot be read: vmcred-bundle(1), FIRST CONTACT"])
        machine.checked("rm", f"{DROPINS}/{unit}.d/nowhere.conf")
    machine.checked("systemctl", "daemon-reload")
    machine.checked("systemctl", "restart", UNIT, "vmcred-activate.service")


def test_age_plugin_in_the_sandbox(_directory):
    """an age plugin runs in the sandbox of the unit, and sees a device only with the documented drop-in"""
    machine = booted()
    before = machine.identity.read_bytes()
    # In place: the container sees this file, not a new one with its name.
    machine.identity.write_text(PLUGIN_IDENTITY)
    machine.write("/usr/local/bin/age-plugin-device", PLUGIN)
    machine.checked("chmod", "755", "/usr/local/bin/age-plugin-device")
    try:
        for seen in ("nothing", "device"):
            equal(machine.run("systemctl", "restart", UNIT).code, 1, "exit code of systemctl")
            log = machine.checked("journalctl", f"--unit={UNIT}", "--output=cat", "--no-pager").out
            assert f"sees {seen}" in log, log
            machine.write(f"{DROPINS}/{UNIT}.d/plugin.conf", PLUGIN_DROPIN)
            machine.checked("systemctl", "daemon-reload")
    finally:
        machine.identity.write_bytes(before)


harness.main(with_host_services=True)
