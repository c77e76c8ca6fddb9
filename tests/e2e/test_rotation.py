#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A booted host replaces secrets: the units that use them get the new values, and no other unit is restarted."""
import json
import subprocess

import harness
from harness import VMCRED, equal, expect
from host import Container, checked

UNIT = "vmcred-activate.service"
VM = "microvm@test-vm.service"
RECORD = "/run/vmcred/activation/services.json"
DECLARATION = """\
machines: {example-host: {}}
generators:
  app:
    machines: [example-host]
    files:
      vm: {}
      plain: {restartUnits: [plain.service], reloadUnits: [reloaded.service]}
      other: {restartUnits: [other.service]}
      broken: {restartUnits: [broken.service]}
    kind: {vm: uuid, plain: uuid, other: uuid, broken: uuid}
vms:
  test-vm: {loadCredentials: {key: app/vm}, credentialFiles: {KEY: key}}
"""
SHOW = "cat $CREDENTIALS_DIRECTORY/key >/run/seen-%N"
RUN = f"ExecStart=/bin/sh -c '{SHOW}; exec sleep infinity'\n"
UNITS = {
    "plain.service": f"Type=exec\nLoadCredential=key:/run/secrets/vars/app/plain\n{RUN}",
    "reloaded.service": f"Type=exec\nLoadCredential=key:/run/secrets/vars/app/plain\n{RUN}"
                        "ExecReload=/bin/sh -c 'echo reload >>/run/reloads'\n",
    "other.service": f"Type=exec\nLoadCredential=key:/run/secrets/vars/app/other\n{RUN}",
    # It fails with a value that says so.
    "broken.service": "Type=oneshot\nRemainAfterExit=yes\nLoadCredential=key:/run/secrets/vars/app/broken\n"
                      f"ExecStart=/bin/sh -c '{SHOW}; ! grep broken $CREDENTIALS_DIRECTORY/key'\n",
}  # fmt: skip

host = None


class RotationHost(Container):
    """It boots with secrets and the units that load them. Instead of a VM, its unit starts another program."""

    def _declare(self):
        self.example.mkdir(mode=0o755)
        config = self.example / "vmcred.yaml"
        config.write_text(DECLARATION)
        checked(VMCRED, "keygen", "--config", config, "--machine", "example-host", "--output", self.identity)
        checked(VMCRED, "generate", "--config", config)

    def _options(self):
        etc = self.directory / "etc"
        wants, dropins = etc / "multi-user.target.wants", etc / f"{VM}.d"
        wants.mkdir(parents=True)
        checked(VMCRED, "units", "--config", self.example / "vmcred.yaml", "--output", etc)
        (dropins / "90-stand-in.conf").write_text(f"[Service]\nType=exec\nDynamicUser=no\nExecStart=\n{RUN}")
        for name, text in UNITS.items():
            (etc / name).write_text(f"[Unit]\nAfter={UNIT}\n[Service]\n{text}")
            (wants / name).symlink_to(f"/etc/systemd/system/{name}")
        (wants / UNIT).symlink_to(f"/usr/local/lib/systemd/system/{UNIT}")
        (wants / VM).symlink_to("/usr/local/lib/systemd/system/microvm@.service")
        binds = [wants, dropins, *(etc / name for name in UNITS)]
        return [f"--bind-ro={path}:/etc/systemd/system/{path.name}" for path in binds]

    def set(self, secret, value):
        checked(VMCRED, "set", "--config", self.example / "vmcred.yaml", "example-host", f"app/{secret}", stdin=value)

    def activate(self, *words):
        return self.run("vmcred", "activate", *words)

    def pending(self):
        return sorted(json.loads(self.checked("cat", RECORD).out)["pending"])

    def property_of(self, unit, name):
        return self.checked("systemctl", "show", "--value", f"--property={name}", unit).out.strip()

    def state(self, unit):
        """Its process and the value that it loaded. systemctl waits for a restart that was requested before."""
        return self.property_of(unit, "MainPID"), self.checked("cat", f"/run/seen-{unit.removesuffix('.service')}").out

    def reload(self):
        """Reloads the unit, and waits for the restarts that this requests."""
        self.checked("systemctl", "reload", UNIT)
        self._wait(lambda: self.checked("systemctl", "list-jobs", "--no-legend").out == "")


def booted():
    global host  # pylint: disable=global-statement
    if host is None:
        host = RotationHost()
    return host


def test_boot_restarts_nothing(_directory):
    """the boot starts each unit once with its value, and nothing is pending"""
    machine = booted()
    for unit in (VM, *UNITS):
        log = machine.checked("journalctl", f"--unit={unit}", "--output=cat", "--no-pager").out
        equal((machine.property_of(unit, "ActiveState"), log.count("Stopping")), ("active", 0), f"{unit}: {log}")
    equal(machine.pending(), [])
    expect(machine.activate("--restart"), 0, "4 secrets in generation 1, unchanged\n", "")
    equal(machine.run("systemctl", "cat", VM).out.count(f"After={UNIT}"), 1, "the VM's dependency")


def test_reload_restarts_the_units_of_changed_secrets(_directory):
    """a reload gives the VM's unit and the declared ones the new values, and leaves the others alone"""
    machine = booted()
    before = {unit: machine.state(unit) for unit in (VM, *UNITS)}
    machine.set("vm", "new for the VM")
    machine.set("plain", "new for the service")
    machine.reload()
    after = {unit: machine.state(unit) for unit in (VM, *UNITS)}
    equal((after[VM][1], after["plain.service"][1]), ("new for the VM", "new for the service"))
    for unit in (VM, "plain.service"):
        assert after[unit][0] not in ("0", before[unit][0]), (unit, before, after)
    for unit in ("reloaded.service", "other.service", "broken.service"):
        equal(after[unit], before[unit], unit)
    equal(machine.checked("cat", "/run/reloads").out, "reload\n")
    expect(machine.activate(), 0, "4 secrets in generation 2, unchanged\n", "")
    machine.reload()
    equal({unit: machine.state(unit) for unit in (VM, *UNITS)}, after)


def test_a_failed_restart_stays_pending(_directory):
    """a unit that does not start with the new value stays pending, and starts again with the next value"""
    machine = booted()
    machine.set("broken", "broken")
    machine.reload()
    equal(machine.property_of("broken.service", "ActiveState"), "failed")
    for _ in range(2):
        result = expect(machine.activate(), 0, None, "")
        assert result.out.endswith(", unchanged\nto restart: broken.service\n"), result
    result = machine.activate("--restart")
    assert result.code == 1 and "broken.service still use old values" in result.err, result
    equal(machine.pending(), ["broken.service"])
    machine.set("broken", "good")
    machine.reload()
    equal((machine.property_of("broken.service", "ActiveState"), machine.state("broken.service")[1]), ("active", "good"))
    assert "pending" not in expect(machine.activate(), 0, None, "").out
    equal(machine.pending(), [])


def test_restart_of_the_unit_restarts_no_other(_directory):
    """a restart of the unit activates and restarts nothing; what is restarted later by hand or by --restart is not pending"""
    machine = booted()
    before = {unit: machine.state(unit) for unit in (VM, *UNITS)}
    machine.set("vm", "newer for the VM")
    machine.set("plain", "newer for the service")
    machine.checked("systemctl", "restart", UNIT)
    equal({unit: machine.state(unit) for unit in (VM, *UNITS)}, before)
    equal(machine.pending(), [VM, "plain.service", "reloaded.service"])
    machine.checked("systemctl", "restart", VM)
    result = expect(machine.activate("--restart"), 0, None, "")
    assert result.out.endswith("unchanged\nrestarted: plain.service\nreloaded: reloaded.service\n"), result
    equal([machine.state(unit)[1] for unit in (VM, "plain.service")], ["newer for the VM", "newer for the service"])
    equal(machine.pending(), [])


def test_import_brings_a_change_to_the_vm(_directory):
    """a bundle that is imported restarts the VM's unit with the new value, and a new VM has its credentials, without another command"""
    machine = booted()
    machine.checked("mount", "-t", "tmpfs", "tmpfs", "/etc/vmcred")
    machine.checked("mkdir", "-p", "/run/systemd/system-generators")
    machine.checked("ln", "-s", "/usr/bin/vmcred-run", "/run/systemd/system-generators/vmcred-generator")
    config = machine.example / "vmcred.yaml"
    config.write_text(DECLARATION + "  new-vm: {loadCredentials: {new: app/other}, credentialFiles: {NEW: new}}\n")
    machine.set("vm", "imported")
    bundle = subprocess.run([VMCRED, "export", "example-host", "--config", config], check=True, capture_output=True).stdout
    other = machine.state("other.service")
    result = expect(machine.run("vmcred", "import", stdin=bundle), 0, None, "")
    assert f"restarted: {VM}\n" in result.out, result
    equal(machine.state(VM)[1], "imported")
    equal(machine.state("other.service"), other)
    assert "LoadCredential=new:/run/secrets/vars/app/other" in machine.checked("systemctl", "cat", "microvm@new-vm.service").out
    machine.checked("systemctl", "restart", UNIT)
    equal(machine.pending(), [])


harness.main(with_host_services=True)
