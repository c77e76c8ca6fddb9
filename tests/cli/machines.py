# SPDX-License-Identifier: Apache-2.0
"""Which machine a command is for, and which VMs run on it."""
import json
import re

from example import Example
from harness import VMCRED, equal, expect, fails, main, need_root, run, vmcred
from systemctl import Systemctl

TWO = """\
machines: {m: {}, n: {}}
generators:
  made:
    share: true
    files: {one: {}, two: {}}
    kind: {one: hex, two: hex}
vms:
  here: {machine: m, unit: app.service, loadCredentials: {one: made/one}, credentialFiles: {ONE: one}}
  there: {machine: n, unit: app.service, loadCredentials: {one: made/two}, credentialFiles: {ONE: one}}
  any: {loadCredentials: {one: made/one}}
""".replace("hex", "{hex: 16}")


def units(*words, **options):
    """The VMs whose units get a drop-in."""
    out = expect(vmcred("units", *words, **options), 0, None, "").out
    return re.findall(r'"vms":\{"(\w+)":', out)


def declare(directory, text=TWO):
    path = directory / "vmcred.yaml"
    path.write_text(text)
    return "--config", path


def test_machine_of_a_host(directory):
    """the machine is the one of --machine, $VMCRED_MACHINE, the host's name or the only one, in this order"""
    config = declare(directory)
    expect(
        vmcred("units", *config, env={"VMCRED_MACHINE": ""}), 2, "",
        f"vmcred: {config[1]} declares 2 machines, and none is named like this host ({run('hostname', '-s').out.strip()}): "
        "choose one with $VMCRED_MACHINE, or --machine where the command has it\n",
    )  # fmt: skip
    equal(units(*config, "--machine", "n", env={"VMCRED_MACHINE": "m"}), ["there", "any"])
    equal(units(*config, env={"VMCRED_MACHINE": "m"}), ["here", "any"])
    fails(vmcred("units", *config, env={"VMCRED_MACHINE": "k"}), 2, "VMCRED_MACHINE", '"k"')
    fails(vmcred("units", *config, "--machine", "k"), 2, '"k"')
    equal(units(*declare(directory, TWO.replace(", n: {}", "").replace("machine: n", "machine: m").replace("app", "b", 1))),
          ["here", "there", "any"])


def test_computer_that_is_no_machine(directory):
    """where no machine is, such as on an administrator's computer, doctor examines the declaration, and metrics count no VM of a machine"""
    config = declare(directory, TWO.replace("machine: n", "machine: n, platformOEMStrings: [TOKEN=hunter2hunter2]"))
    empty = directory / "root"
    empty.mkdir()
    found = json.loads(expect(vmcred("doctor", *config, "--root", empty, "--json"), 1, None, None).out)
    equal([finding["name"] for finding in found], ["secret-in-oem-strings"])
    out = expect(vmcred("metrics", *config, "--root", empty), 0, None, "").out
    equal(re.findall(r'vm_stale_credentials{vm="(\w+)"}', out), ["any"])
    for command in ("doctor", "metrics"):
        fails(vmcred(command, *config, "--root", empty, env={"VMCRED_MACHINE": "k"}), 2, "VMCRED_MACHINE", '"k"')


def test_name_of_the_host(directory):
    """a machine can be named like the host with or without its domain; activate.env wins over the host's name"""
    need_root()
    config = declare(directory, TWO.replace("m: {}", "m.example.org: {}").replace("machine: m", "machine: m.example.org"))
    etc = directory / "etc/vmcred"
    etc.mkdir(parents=True)

    def on(host):
        script = f'hostname {host} && mount --bind "$1" /etc && exec "$2" units --config "$3"'
        out = expect(run("unshare", "--uts", "--mount", "sh", "-c", script, "sh", etc.parent, VMCRED, config[1]), 0, None, "").out
        return re.findall(r'"vms":\{"(\w+)":', out)

    equal(on("m.example.org"), ["here", "any"])
    equal(on("n.example.org"), ["there", "any"])
    (etc / "activate.env").write_text('# Ours\nOTHER=m\nVMCRED_MACHINE="n"\n')
    equal(on("m.example.org"), ["there", "any"])


def test_no_machine_is_needed(directory):
    """if no VM names its machine, units needs none"""
    equal(units(*declare(directory, TWO.replace("machine: m, ", "").replace("machine: n, unit: app.service, ", ""))),
          ["here", "there", "any"])


def test_invalid_machine_of_a_vm(directory):
    """the machine of a VM must be declared, and have the files that the VM loads"""
    config = declare(directory, TWO.replace("machines: {m: {}", "machines: {host1: {}, m: {}").replace("machine: n", "machine: hots1"))
    expect(vmcred("list", *config), 2, "", f'vmcred: {config[1]}:9: vms.there: undeclared machine "hots1": did you mean "host1"?\n')
    config = declare(directory, TWO.replace("share: true", "machines: [m]"))
    expect(
        vmcred("list", *config), 2, "",
        f'vmcred: {config[1]}:9: vms.there.one: the machine n of this VM has no files of the generator "made": add it to the generator\'s machines\n',
    )  # fmt: skip
    config = declare(directory, TWO.replace("machine: n", "machine: m"))
    fails(vmcred("list", *config), 2, "vms.there", "app.service", "here")


class Host(Example):
    def __init__(self, directory, machine="m", declaration=TWO):
        super().__init__(directory, declaration, generate=False)
        self.host = {"VMCRED_MACHINE": machine}
        expect(vmcred("keygen", "--machine", "n", "--output", directory / "n", "--config", self.config))
        expect(self.generate())

    def verb(self, *words):
        return vmcred(*words, "--config", self.config, env=self.host)


def test_commands_of_a_host_ignore_the_vms_of_others(directory):
    """activate, status, inspect and compose know the VMs that run here, and say where others run"""
    host = Host(directory)
    systemctl = Systemctl(directory)
    for unit in ("app.service", "microvm@any.service"):
        systemctl.unit(unit, "inactive", "dead")
    activate = "activate", "--identity", host.identity, "--root", host.root
    expect(host.verb(*activate), 0, "2 secrets in generation 1\n", "")
    host.set("one", "new")
    host.set("two", "new")
    expect(host.verb(*activate), 0, None, "")
    equal(sorted(host.record()["pending"]), ["app.service", "microvm@any.service"])
    shown = json.loads(host.verb("status", "--root", host.root, "--json").out)
    equal([vm["vm"] for vm in shown["vms"]], ["here", "any"])
    for command in (["status"], ["inspect", "--identity", host.identity], ["compose", "--credentials", directory]):
        fails(host.verb(*command, "there"), 2, '"there"', "machine n")
    equal(host.verb("inspect", "--root", host.root, "--identity", host.identity, "here").code, 0)
    equal(json.loads(expect(vmcred("check", "--config", host.config, "--json"), 0).out), [])


main()
