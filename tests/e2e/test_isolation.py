#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""On a booted host, a fault of one VM stays with that VM: an error in its entry, a crash, a damaged secret."""
import re
import time

import harness
from harness import VMCRED_RUN, equal
from host import CONFIG, DROPINS, STORE, Container

GENERATORS = "/run/systemd/system-generators"
LAST_GOOD = "/var/lib/vmcred/units.json"
# A paused VM.
COMMAND = "command: [qemu-system-x86_64, -accel, tcg, -display, none, -serial, none, -nodefaults, -S]"
ENTRY = f"    loadCredentials: {{key: test-vm-secrets/api-key}}\n    credentialFiles: {{KEY: key}}\n    {COMMAND}\n"

host = None


def booted():
    global host  # pylint: disable=global-statement
    if host is None:
        host = Container()
        host.checked("mkdir", "-p", GENERATORS)
        host.checked("ln", "-s", "/usr/bin/vmcred-run", f"{GENERATORS}/vmcred-generator")
        host.checked("systemctl", "start", "vmcred-units.path")
        # A paused guest does not power off.
        host.write(f"{DROPINS}/microvm@.service.d/60-stop.conf",
                   "[Service]\nExecStart=\nExecStart=/usr/bin/vmcred-run run --supervise --stop-timeout=0 %i\n")
        host.text = (host.example / "vmcred.yaml").read_text()
    return host


def declaration(text, entries):
    vms = "".join(f"  {name}:\n{entry}" for name, entry in entries.items())
    return text.replace("\nvms:\n", f"\nvms:\n{vms}")


def declare(**entries):
    """Declares VMs, and lets the generator write their drop-ins."""
    machine = booted()
    (machine.example / "vmcred.yaml").write_text(declaration(machine.text, entries))
    machine.checked("systemctl", "daemon-reload")


def unit_of(name):
    return f"microvm@{name}.service"


def states(*names):
    return [booted().run("systemctl", "is-active", unit_of(name)).out.strip() for name in names]


def shown(name, what):
    return booted().checked("systemctl", "show", "--value", f"--property={what}", unit_of(name)).out.strip()


def log(name):
    return booted().checked("journalctl", f"--unit={unit_of(name)}", "--output=cat", "--no-pager").out


def wait(what, condition):
    end = time.monotonic() + booted().patience
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not in time: {what}")
        time.sleep(booted().interval)


def test_error_in_the_entry_of_a_vm(_directory):
    """after a boot with an error in the entry of a VM, the others and the last good version of that VM start"""
    machine = booted()
    declare(fine=ENTRY, typo=ENTRY)
    wait("the copy of the drop-ins", lambda: machine.run("grep", "-q", '"typo"', LAST_GOOD).code == 0)
    # As after a boot.
    machine.checked("rm", "/run/vmcred/units.json")
    declare(fine=ENTRY, typo=ENTRY.replace("command", "comand"), fresh=ENTRY.replace("command", "comand"))
    results = [machine.run("systemctl", "start", unit_of(name)).code for name in ("fine", "typo", "fresh")]
    equal(results, [0, 0, 1], f"exit codes of systemctl, with {log('typo')}{log('fresh')}")
    equal(states("fine", "typo", "fresh"), ["active", "active", "failed"])
    problem = 'unknown key "comand": did you mean "command"?'
    assert f"vms.typo: {problem}" in machine.run("systemctl", "status", unit_of("typo")).out
    assert f"{CONFIG}:" in log("fresh") and f"vms.fresh: {problem}" in log("fresh"), log("fresh")
    equal((shown("fresh", "ExecMainStatus"), shown("fresh", "NRestarts")), ("2", "0"), "status and restarts")
    machine.checked("systemctl", "stop", unit_of("fine"), unit_of("typo"))


def test_home(_directory):
    """in its unit, a hypervisor can write to $HOME, where kvmtool creates a socket"""
    machine = booted()
    declare(fine=ENTRY)
    machine.checked("systemctl", "start", unit_of("fine"))
    environment = machine.checked("cat", f"/proc/{shown('fine', 'MainPID')}/environ").out.split("\0")
    home = "/run/vmcred/vms/fine"
    assert f"HOME={home}" in environment, environment
    equal(machine.checked("stat", "--format=%u %a", f"{home}/").out, f"{shown('fine', 'UID')} 700\n", "owner and mode")
    machine.checked("systemctl", "stop", unit_of("fine"))


def damage(text):
    """Changes a byte of the ciphertext."""
    return re.sub(r'("data": "ENC.*?data:)(.)', lambda match: match.group(1) + ("B" if match.group(2) == "A" else "A"), text)


class Rebooted(Container):
    """A host that boots with a damaged secret, errors in the entries of two VMs, and the last good drop-ins of another host."""

    def _declare(self):
        super()._declare()
        path = self.example / "vmcred.yaml"
        bad = ENTRY.replace("api-key", "db-password")
        entries = {"fine": ENTRY, "bad": bad, "typo": ENTRY.replace("command", "comand"), "fresh": ENTRY.replace("command", "comand")}
        path.write_text(declaration(path.read_text(), entries))
        document = self.example / STORE / "db-password" / "secret"
        document.write_text(damage(document.read_text()))
        (self.directory / "units.json").write_text(booted().checked("cat", LAST_GOOD).out)
        (self.directory / "wants").mkdir()
        for name in entries:
            (self.directory / "wants" / unit_of(name)).symlink_to("/usr/local/lib/systemd/system/microvm@.service")

    def _options(self):
        return [f"--bind-ro={VMCRED_RUN}:/usr/lib/systemd/system-generators/vmcred-generator",
                f"--bind-ro={self.directory}/units.json:{LAST_GOOD}",
                f"--bind-ro={self.directory}/wants:/etc/systemd/system/multi-user.target.wants"]


def test_boot_with_faults(_directory):
    """a host boots with a damaged secret and errors in entries: the other VMs run, and each journal has its own reason"""
    declare(fine=ENTRY, typo=ENTRY)
    wait("the copy of the drop-ins", lambda: booted().run("grep", "-q", '"typo"', LAST_GOOD).code == 0)
    machine = Rebooted()
    names = ("fine", "typo", "bad", "fresh")
    equal([machine.run("systemctl", "is-active", unit_of(name)).out.strip() for name in names], ["active", "active", "failed", "failed"])
    shown_status = {name: machine.run("systemctl", "status", "--full", unit_of(name)).out for name in names}
    for name, reason in (("typo", "vms.typo: unknown key"), ("bad", "was modified or moved"), ("fresh", "vms.fresh: unknown key")):
        assert reason in shown_status[name], shown_status
        assert reason not in shown_status["fine"], shown_status
    machine.close()


def test_unreadable_declaration(_directory):
    """with a declaration that cannot be read, all VMs start with their last good version"""
    machine = booted()
    declare(fine=ENTRY)
    machine.checked("systemctl", "start", unit_of("fine"))
    machine.checked("systemctl", "stop", unit_of("fine"))
    (machine.example / "vmcred.yaml").write_text("vms: [\n")
    machine.checked("systemctl", "daemon-reload")
    equal(machine.run("systemctl", "start", unit_of("fine")).code, 0, f"exit code of systemctl, with {log('fine')}")
    assert f"{CONFIG}:" in shown("fine", "Description"), shown("fine", "Description")
    machine.checked("systemctl", "stop", unit_of("fine"))


def test_crashed_hypervisor(_directory):
    """a hypervisor that crashed is named in the journal and started again; one that was stopped is not"""
    machine = booted()
    declare(fine=ENTRY)
    machine.checked("systemctl", "start", unit_of("fine"))
    main = shown("fine", "MainPID")
    machine.checked("sh", "-c", f"kill -SEGV $(cat /proc/{main}/task/{main}/children)")
    wait("the restart", lambda: shown("fine", "NRestarts") == "1" and states("fine") == ["active"])
    assert "qemu-system-x86_64 was killed by SIGSEGV" in log("fine"), log("fine")
    machine.checked("systemctl", "stop", unit_of("fine"))
    equal((states("fine"), shown("fine", "Result"), shown("fine", "SubState")), (["inactive"], "success", "dead"))


def test_damaged_secret(_directory):
    """after a boot with a damaged secret, the VM that loads it fails and its journal has the reason; the other VM starts"""
    machine = booted()
    document = machine.example / STORE / "db-password" / "secret"
    whole = document.read_text()
    document.write_text(damage(whole))
    machine.checked("sh", "-c", "umount /run/secrets.d; rm -rf /run/secrets /run/secrets.d /run/vmcred/activation")
    machine.run("systemctl", "stop", "vmcred-activate.service")
    bad = ENTRY.replace("api-key", "db-password")
    declare(fine=ENTRY, bad=bad, served="    credentialSource: socket\n" + bad)
    machine.checked("systemctl", "start", "vmcred.socket")
    results = [machine.run("systemctl", "start", unit_of(name)).code for name in ("fine", "bad", "served")]
    equal(results, [0, 1, 1], f"exit codes of systemctl, with {log('fine')}{log('bad')}{log('served')}")
    reason = "credential key: test-vm-secrets/db-password is not activated: "
    assert reason in log("bad") and "was modified" in log("bad"), log("bad")
    shown_status = {name: machine.run("systemctl", "status", "--full", unit_of(name)).out for name in ("bad", "served")}
    assert "bad: key is missing: test-vm-secrets/db-password is not activated" in shown_status["bad"], shown_status
    assert "refused key to microvm@served.service" in shown_status["served"], shown_status
    for text in shown_status.values():
        assert "the value data was modified or moved" in text, shown_status
    assert reason not in log("fine") + log("served"), log("fine") + log("served")
    equal(machine.run("systemctl", "is-active", "vmcred-activate.service").out, "failed\n")
    machine.checked("systemctl", "stop", unit_of("fine"), unit_of("bad"))
    # The secret's old value stays.
    document.write_text(whole)
    machine.checked("systemctl", "restart", "vmcred-activate.service")
    machine.checked("systemctl", "start", unit_of("bad"))
    machine.checked("systemctl", "stop", unit_of("bad"))
    document.write_text(damage(whole))
    equal(machine.run("systemctl", "reload", "vmcred-activate.service").code, 1, "exit code of systemctl reload")
    machine.checked("systemctl", "start", unit_of("bad"))
    assert "credential key: test-vm-secrets/db-password keeps its previous value: " in log("bad"), log("bad")
    machine.checked("systemctl", "stop", unit_of("bad"))
    document.write_text(whole)
    machine.checked("systemctl", "reload-or-restart", "vmcred-activate.service")


harness.main(with_host_services=True)
