# SPDX-License-Identifier: Apache-2.0
"""The entry of a VM in its unit's drop-in: a launch reads it instead of the declaration."""
import codecs
import json

import harness
from example import DECLARATION as EXAMPLE
from harness import equal, expect, fails, vmcred
from vm import CLOUD_HYPERVISOR, DECLARATION, Vm

NAME = "vmcred.vm"
# Strings that YAML, JSON, or systemd's unit files treat in a special way.
ODD = ['A="quoted"', "B=back\\slash\\n", "C=%i %%", "D=line\nbreak", "E=é\u2028\x85", "F= # : , [] {}", "0x10", "yes", "~", "1:2", "G=end\\"]


def entries(directory, declaration="vmcred.yaml"):
    """The value that systemd gives to each unit, from its SetCredential= line: C escapes are undone (systemd.exec(5))."""
    expect(vmcred("units", "--config", directory / declaration, "--output", directory / "units"), 0, "", "")
    found = {}
    for dropin in sorted(directory.glob("units/*.d/50-vmcred.conf")):
        lines = [line for line in dropin.read_text().splitlines() if line.startswith(f"SetCredential={NAME}:")]
        assert len(lines) < 2, lines
        if lines:
            found[dropin.parent.name[:-2]] = codecs.decode(lines[0].split(":", 1)[1], "unicode_escape")
    return found


class Unit(Vm):
    """A VM with the credentials of its unit, and a declaration that was damaged after the unit was loaded."""

    def __init__(self, directory, declaration=DECLARATION):
        super().__init__(directory, declaration)
        (self.credentials / NAME).write_text(entries(directory)["microvm@test-vm.service"])
        (directory / "vmcred.yaml").write_text("vms: [damaged\n")

    def environment(self, stand_in=None):
        return super().environment(stand_in) | {"CREDENTIALS_DIRECTORY": str(self.credentials)}

    def call(self, command, *words):
        return vmcred(command, *words, cwd=self.directory, env=self.environment({"exit": 0}))

    def strings(self):
        """The OEM strings that Cloud Hypervisor got."""
        return json.loads(self.recorded()["requests"][0][2])["platform"]["oem_strings"]


def test_launch_in_a_unit_does_not_read_the_declaration(directory):
    """run and compose in a unit use the VM's entry, whatever the declaration has become"""
    unit = Unit(directory)
    expect(unit.call("run", "test-vm", "--", *CLOUD_HYPERVISOR), 0, "", "")
    equal(unit.strings(), unit.oem_strings)
    assert "HOST-TLS" in expect(unit.call("compose", "test-vm"), 0, None, "").out
    (directory / "vmcred.yaml").unlink()
    expect(unit.call("run", "test-vm", "--", *CLOUD_HYPERVISOR), 0, "", "")


def test_entry_has_everything_that_a_launch_needs(directory):
    """the entry has the VM's command, optional credentials and strings of any characters"""
    unit = Unit(directory, json.dumps({"vms": {"test-vm": {
        "platformOEMStrings": ODD,
        "credentialFiles": {"HOST-TLS": {"credential": "host-absent", "optional": True}},
        "command": list(CLOUD_HYPERVISOR),
    }}}))  # fmt: skip
    expect(unit.call("run", "test-vm"), 0, "", "vmcred: warning: optional credential HOST-TLS is skipped: "
           f"{unit.credentials}/host-absent does not exist\n")
    equal(unit.strings(), ODD)


def test_entries_are_of_one_vm_each(directory):
    """each drop-in has the entry of its own VM, with the declared hypervisors and without generators"""
    text = EXAMPLE + "  n:\n    unit: n.service\n    command: &c [qemu-kvm, '0123']\n  o:\n    command: *c\nhypervisors: {kvm: /bin/kvm}\n"
    (directory / "vmcred.yaml").write_text(text)
    kvm = '{"hypervisors":{"kvm":"/bin/kvm"},"vms":'
    equal(entries(directory), {
        "microvm@m.service": kvm + '{"m":{"credentialFiles":{"HOST-ONE":"host-one","HOST-TWO":{"credential":"host-two",'
                                   '"optional":true}},"platformOEMStrings":["ENVIRONMENT=test"]}}}',
        "n.service": kvm + '{"n":{"unit":n.service,"command":["qemu-kvm","0123"]}}}',
        "microvm@o.service": kvm + '{"o":{"command":["qemu-kvm","0123"]}}}',
    })  # fmt: skip


def test_explicit_declaration_wins(directory):
    """--config wins over the entry"""
    unit = Unit(directory)
    fails(unit.call("run", "--config", "vmcred.yaml", "test-vm"), 2, "vmcred.yaml:2")
    fails(unit.call("compose", "--config", "vmcred.yaml", "test-vm"), 2, "vmcred.yaml:2")


def test_entry_of_another_vm_is_an_error(directory):
    """a VM is not started with the entry of another one"""
    unit = Unit(directory)
    fails(unit.call("run", "other", "--", *CLOUD_HYPERVISOR), 2, unit.credentials / NAME, '"other"')


def test_damaged_entry_is_an_error(directory):
    """a damaged entry is an error, even if the declaration is whole"""
    unit = Unit(directory)
    (directory / "vmcred.yaml").write_text(DECLARATION)
    for text in ("{", '{"vms":{"test-vm":{"comand":["x"]}}}'):
        (unit.credentials / NAME).write_text(text)
        fails(unit.call("run", "test-vm", "--", *CLOUD_HYPERVISOR), 2, unit.credentials / NAME)


def test_without_an_entry_the_declaration_is_read(directory):
    """outside a unit, or in one without an entry, run reads the declaration"""
    vm = Vm(directory)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "", "")
    environment = vm.environment({"exit": 0}) | {"CREDENTIALS_DIRECTORY": str(vm.credentials)}
    expect(vmcred("run", "test-vm", "--", *CLOUD_HYPERVISOR, cwd=directory, env=environment), 0, "", "")


def test_too_large_entry_is_left_out(directory):
    """a VM whose entry would be too large for a unit gets none, and the others theirs"""
    (directory / "vmcred.yaml").write_text(json.dumps({"vms": {
        "large": {"command": ["x" * 300_000]}, "next": {"command": ["x" * 100_000]}}}))  # fmt: skip
    equal(list(entries(directory)), ["microvm@next.service"])


def test_name_of_the_entry_is_reserved(directory):
    """no VM can declare a credential with the name of the entry"""
    (directory / "vmcred.yaml").write_text(EXAMPLE.replace("host-one", NAME))
    fails(vmcred("units", "--config", directory / "vmcred.yaml"), 2, f"vmcred.yaml:13: vms.m.loadCredentials.{NAME}: ", "reserved")
    (directory / "vmcred.yaml").write_text(DECLARATION.replace("host-tls", NAME))
    fails(vmcred("units", "--config", directory / "vmcred.yaml"), 2, "vmcred.yaml:5", NAME, "reserved")


harness.main()
