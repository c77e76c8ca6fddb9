# SPDX-License-Identifier: Apache-2.0
"""vmcred run: what each bad input says, and what is in view while QEMU runs."""
import os
import re

import harness
from harness import equal, expect, need
from vm import CLOUD_HYPERVISOR, DECLARATION, Qmp, Vm, in_view, no_canary, nothing_left

QEMU = ("qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-serial", "none", "-S", "-nodefaults")


def qemu_with_monitor(vm, *words, options=()):
    """A running QEMU behind vmcred, and its monitor."""
    need("qemu-system-x86_64")
    path = vm.folder / "qmp"
    process = vm.start(*QEMU, "-qmp", f"unix:{path},server=on,wait=off", *words, options=options)
    return process, Qmp(path)


# Bad inputs: nothing starts.

def test_missing_credential_stops_launch_names_unit_line(folder):
    """a missing credential stops the launch and names the unit line that would bring it"""
    vm = Vm(folder, """\
machines: {m: {}}
generators:
  secrets: {machines: [m], files: {api-key: {}}, kind: {api-key: {base64: 32}}}
vms:
  test-vm:
    loadCredentials: {host-api-key: secrets/api-key}
    credentialFiles: {HOST-API-KEY: host-api-key}
""")
    (vm.credentials / "host-api-key").unlink()
    expect(vm.run(*QEMU), 3, "",
           f"vmcred: composing the OEM strings of test-vm: the credential HOST-API-KEY is missing: there is no "
           f"{vm.credentials}/host-api-key: `vmcred units` gives microvm@test-vm.service the line "
           f"LoadCredential=host-api-key:/run/secrets/vars/secrets/api-key\n")


def test_missing_credential_nothing_declares_names_where(folder):
    """a missing credential that nothing declares names where to declare it"""
    vm = Vm(folder)
    (vm.credentials / "host-tls").unlink()
    expect(vm.run(*QEMU), 3, "",
           f"vmcred: composing the OEM strings of test-vm: the credential HOST-TLS is missing: there is no "
           f"{vm.credentials}/host-tls: add host-tls to vms.test-vm.loadCredentials\n")


def test_missing_optional_credential_warning_vm_starts(folder):
    """a missing optional credential is a warning and the VM starts without it"""
    vm = Vm(folder, DECLARATION.replace("HOST-TLS: host-tls", "HOST-TLS: {credential: host-tls, optional: true}"))
    (vm.credentials / "host-tls").unlink()
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "",
           f"vmcred: warning: the optional credential HOST-TLS is left out: there is no {vm.credentials}/host-tls\n")
    assert "HOST-TLS" not in vm.recorded()["requests"][0][2]


def test_unit_missing_optional_credential_left_out_only(folder):
    """what a unit has for a missing optional credential is left out, and only of an optional one"""
    for number, content in enumerate((b"", b"\0absent")):
        vm = Vm(folder / str(number),
                DECLARATION.replace("HOST-TLS: host-tls", "HOST-TLS: {credential: host-tls, optional: true}"))
        (vm.credentials / "host-tls").write_bytes(content)
        expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "",
               "vmcred: warning: the optional credential HOST-TLS is left out: there was nothing to load for "
               f"{vm.credentials}/host-tls\n")
        assert "HOST-TLS" not in vm.recorded()["requests"][0][2]
        (vm.folder / "vmcred.yaml").write_text(DECLARATION)
        expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "", "")
        assert "HOST-TLS=" in vm.recorded()["requests"][0][2]


def test_credential_arguments_too_stops_launch(folder):
    """a credential that the arguments have too stops the launch"""
    vm = Vm(folder)
    twice = ("the credential HOST-API-KEY comes twice, in the VMM's arguments and in credentialFiles: the guest's "
             "systemd would take one and drop the other: rename or remove one\n")
    prefix = "vmcred: composing the OEM strings of test-vm: "
    expect(vm.run(*QEMU, "-smbios", "type=11,value=io.systemd.credential:HOST-API-KEY=x"), 2, "", prefix + twice)
    expect(vm.run(*QEMU, "-fw_cfg", "name=opt/io.systemd.credentials/HOST-API-KEY,string=x"), 2, "",
           prefix + twice)
    expect(vm.run(*CLOUD_HYPERVISOR, "--platform", "oem_strings=[io.systemd.credential:HOST-API-KEY=x]", stand_in={}),
           2, "", prefix + twice)


def test_name_systemd_would_drop_stops_launch(folder):
    """a name that systemd would drop stops the launch"""
    vm = Vm(folder, DECLARATION.replace("CLUSTER=example-host", '"io.systemd.credential:a/b=hush"'))
    expect(vm.run(*QEMU), 2, "", "vmcred: composing the OEM strings of test-vm: platformOEMStrings: the credential "
                                 "name \"a/b\" has a '/' in it\n")
    (folder / "vmcred.yaml").write_text(DECLARATION.replace("HOST-TLS", "HOST=TLS"))
    expect(vm.run(*QEMU), 2, "", "vmcred: composing the OEM strings of test-vm: the credential name \"HOST=TLS\" has "
                                 "a '=' in it, which ends the name in an OEM string\n")


def test_credential_declaration_itself_warned_about(folder):
    """a credential in the declaration itself is warned about"""
    vm = Vm(folder, DECLARATION.replace("CLUSTER=example-host", '"io.systemd.credential:KEY=hush"'))
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "",
           "vmcred: warning: platformOEMStrings holds the credential KEY: whoever reads the declaration, in git or in "
           "the Nix store, reads its value: move it to credentialFiles\n")


def test_argument_oem_string_quotes_warned_about(folder):
    """an argument's OEM string in quotes is warned about"""
    vm = Vm(folder)
    expect(vm.run(*CLOUD_HYPERVISOR, "--platform", 'oem_strings=["io.systemd.credential:A=b"]', stand_in={"exit": 0}),
           0, "", "vmcred: warning: an OEM string in the VMM's arguments starts with a '\"', which stays part of it: "
                  "the guest's systemd ignores a credential that is written like that: leave the quotes out\n")


def test_oem_strings_too_large_table_stop_launch(folder):
    """OEM strings that are too large for the table stop the launch"""
    vm = Vm(folder)
    (vm.credentials / "host-api-key").write_text("x" * 65536)
    expect(vm.run(*QEMU), 1, "",
           "vmcred: preparing to start QEMU: the OEM strings need 65671 bytes of the SMBIOS table, and have 61439 (the "
           "whole table has 64 KiB, and the hypervisor's own structures need some): the largest is HOST-API-KEY with "
           "65571 bytes\n")


def test_256th_oem_string_stops_launch(folder):
    """a 256th OEM string stops the launch"""
    vm = Vm(folder)
    arguments = [word for number in range(252) for word in ("-smbios", f"type=11,value=n{number}")]
    expect(vm.run(*QEMU, *arguments), 1, "",
           "vmcred: preparing to start QEMU: there are 256 OEM strings, and a table holds at most 255 (the count in an "
           "SMBIOS Type 11 structure is one byte)\n")


def test_request_cloud_hypervisor_v53_would_refuse_stops(folder):
    """a request that Cloud Hypervisor v53 would refuse stops the launch, and a later version gets it"""
    vm = Vm(folder)
    (vm.credentials / "host-api-key").write_text("x" * 51000)
    result = vm.run(*CLOUD_HYPERVISOR, stand_in={"version": "cloud-hypervisor v53.0-dirty"})
    expect(result, 1, "",
           "vmcred: preparing to start Cloud Hypervisor: the API request that carries the OEM strings has 51281 bytes, "
           "and may have 51200 (Cloud Hypervisor refuses more up to v53; later versions take 4 MiB)\n")
    assert not (folder / "record").exists()
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"version": "cloud-hypervisor v54.0", "exit": 0}), 0, "", "")
    assert "x" * 51000 in vm.recorded()["requests"][0][2]


def test_hypervisor_not_installed_named(folder):
    """a hypervisor that is not installed is named"""
    vm = Vm(folder)
    env = {"PATH": str(vm.bin), "RUNTIME_DIRECTORY": str(folder)}
    for program, hint in (("qemu-system-x86_64", "no folder of $PATH has it: add one, or give its whole path"),
                          ("/nowhere/qemu-kvm", "there is no /nowhere/qemu-kvm")):
        expect(harness.vmcred("run", "--credentials", vm.credentials, "test-vm", "--", program, cwd=folder, env=env), 1,
               "", f"vmcred: starting {program}: it is not installed: {hint}\n")
    expect(harness.vmcred("run", "--credentials", vm.credentials, "test-vm", "--", *CLOUD_HYPERVISOR, cwd=folder,
                          env=env), 1, "",
           "vmcred: starting cloud-hypervisor: it is not installed: no folder of $PATH has it: add one, or give its "
           "whole path\n")
    nothing_left(vm)


def test_program_no_hypervisor_refused(folder):
    """a program that is no hypervisor is refused"""
    expect(Vm(folder).run("/bin/sh", "-c", "true"), 2, "",
           "vmcred: sh is not a hypervisor that vmcred can start: it knows cloud-hypervisor*, qemu-system-*, qemu-kvm, "
           "kvm and systemd-vmspawn by their names\n")


def test_without_command_line_given_declared_run_says_where(folder):
    """without a command line, given or declared, run says where it comes from"""
    vm = Vm(folder)
    expect(vm.run(), 2, "", "vmcred: test-vm has no command to run: give it behind --, or declare "
                            "vms.test-vm.command\n")


def test_words_behind_win_over_declared_command(folder):
    """words behind -- win over the declared command"""
    vm = Vm(folder, DECLARATION + "    command: [/nowhere/qemu-kvm]\n")
    expect(vm.run(), 1, "", "vmcred: starting /nowhere/qemu-kvm: it is not installed: there is no /nowhere/qemu-kvm\n")
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "", "")


def test_option_cannot_translated_named_nearest(folder):
    """an option that cannot be translated is named, with the nearest one"""
    vm = Vm(folder)
    expect(vm.run(*CLOUD_HYPERVISOR, "--disks", "path=/d", stand_in={}), 2, "",
           "vmcred: reading the command line of cloud-hypervisor: --disks: it is not an option that vmcred can "
           "translate to the API: did you mean --disk? What vmcred does not know can be given with --vm-config FILE\n")
    expect(vm.run(*CLOUD_HYPERVISOR, "--disk", "paht=/d", stand_in={}), 2, "",
           "vmcred: reading the command line of cloud-hypervisor: --disk: its key \"paht\" is not known: did you mean "
           "\"path\"? What vmcred does not know can be given with --vm-config FILE\n")


def test_expose_takes_argv_log_nothing_else(folder):
    """--expose takes argv and log, and nothing else"""
    expect(Vm(folder).run(*QEMU, options=("--expose=env",)), 2, "",
           "vmcred: --expose=env is not known: it can be argv or log\n")
    vm = Vm(folder / "both")
    expect(vm.run(*CLOUD_HYPERVISOR, options=("--expose=log,argv",), stand_in={}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: its command line cannot carry HOST-API-KEY: it has a ',' in it: "
           "leave --expose=argv out\n")


# QEMU.

def test_qemu_refusal_arguments_comes_through(folder):
    """QEMU's refusal of its arguments comes through"""
    need("qemu-system-x86_64")
    expect(Vm(folder).run("qemu-system-x86_64", "-no-such-option"), 1, "",
           "qemu-system-x86_64: -no-such-option: invalid option\n")


def test_neither_arguments_nor_environment_qemu_hold(folder):
    """neither the arguments nor the environment of QEMU hold a credential"""
    vm = Vm(folder)
    process, monitor = qemu_with_monitor(vm)
    view = in_view(process.pid)
    assert b"qemu-system-x86_64" in view and b"type=11,path=/dev/fd/" in view
    no_canary(view, vm.api_key)
    no_canary(view, vm.tls)
    monitor("quit")
    equal(process.wait(20), 0)
    equal(vm.errors(), "")


def test_qemu_read_can_read_from_no_descriptor_any_more(folder):
    """what QEMU has read can be read from no descriptor of it any more"""
    vm = Vm(folder)
    process, monitor = qemu_with_monitor(vm)
    for name in os.listdir(f"/proc/{process.pid}/fd"):
        target = os.readlink(f"/proc/{process.pid}/fd/{name}")
        assert "memfd" not in target, target
        if target.startswith("pipe:"):
            fd = os.open(f"/proc/{process.pid}/fd/{name}", os.O_RDONLY | os.O_NONBLOCK)
            equal(os.read(fd, 1), b"", target)
            os.close(fd)
    monitor("quit")
    equal(process.wait(20), 0)


def test_expose_argv_credential_qemu_arguments_warning_says(folder):
    """with --expose=argv the credential is in QEMU's arguments, as the warning says"""
    vm = Vm(folder)
    process, monitor = qemu_with_monitor(vm, options=("--expose=argv",))
    assert vm.api_key.replace(",", ",,").encode() in in_view(process.pid)
    monitor("quit")
    equal(process.wait(20), 0)
    equal(vm.errors(), "vmcred: warning: --expose=argv: every user of this host can read the OEM strings in the "
                       "command line of QEMU\n")


def test_machine_type_microvm_no_smbios_table_gets(folder):
    """the machine type microvm, which has no SMBIOS table, gets credentials as fw_cfg files"""
    vm = Vm(folder, DECLARATION.replace("    platformOEMStrings: [ENVIRONMENT=test, CLUSTER=example-host]\n", ""))
    process, monitor = qemu_with_monitor(vm, "-M", "microvm")
    view = in_view(process.pid)
    assert b"name=opt/io.systemd.credentials/HOST-TLS,file=/dev/fd/" in view and b"type=11" not in view
    no_canary(view, vm.api_key)
    monitor("quit")
    equal(process.wait(20), 0)


def test_machine_type_microvm_cannot_take_stops_launch(folder):
    """what the machine type microvm cannot take stops the launch"""
    vm = Vm(folder)
    expect(vm.run(*QEMU, "-M", "microvm"), 2, "",
           "vmcred: preparing to start QEMU: the machine type microvm has no SMBIOS table, so that plain OEM strings "
           "(platformOEMStrings) cannot be delivered: remove them, or take another machine type\n")
    name = "N" * 29
    (folder / "vmcred.yaml").write_text(f"vms: {{test-vm: {{credentialFiles: {{{name}: host-tls}}}}}}\n")
    expect(vm.run(*QEMU, "-M", "microvm"), 2, "",
           f"vmcred: preparing to start QEMU: the machine type microvm has no SMBIOS table, so that a credential's name "
           f"may have 28 bytes, and {name} has 29: take a shorter name, or another machine type\n")


def test_machine_type_another_architecture_decides_too(folder):
    """the machine type of another architecture decides too, and --transport overrides it"""
    vm = Vm(folder)
    script = vm.bin / "qemu-system-aarch64"
    script.write_text("#!/bin/sh\necho \"$@\"\n")
    script.chmod(0o755)
    for link in ("qemu-system-s390x", "qemu-system-x86_64"):
        (vm.bin / link).symlink_to(script)
    expect(vm.run("qemu-system-aarch64", "-M", "virt"), 2, "",
           "vmcred: preparing to start QEMU: the machine type virt has no firmware that would tell of an SMBIOS table, "
           "so that plain OEM strings (platformOEMStrings) cannot be delivered: remove them, or take another machine "
           "type\n")
    expect(vm.run("qemu-system-s390x", "-M", "s390-ccw-virtio"), 2, "",
           "vmcred: preparing to start QEMU: no way is known by which OEM strings reach a guest of the machine type "
           "\"s390-ccw-virtio\" of qemu-system-s390x: --transport=smbios or --transport=fw_cfg says that there is one\n")
    for words in (("qemu-system-aarch64", "-M", "virt", "-bios", "f"), ("qemu-system-s390x", "-M", "x")):
        out = expect(vm.run(*words, options=("--transport=smbios",)), 0, None, "").out
        equal(re.sub("fd/[0-9]+", "fd/N", out), " ".join(words[1:]) + " -smbios type=11,path=/dev/fd/N" * 4 + "\n")
    expect(vm.run("qemu-system-x86_64", options=("--transport=fw_cfg",)), 2, "",
           "vmcred: preparing to start QEMU: --transport=fw_cfg carries credentials alone, so that plain OEM strings "
           "(platformOEMStrings) cannot be delivered: remove them, or take another machine type\n")
    expect(vm.run("qemu-system-x86_64", options=("--transport=ftp",)), 2, "",
           "vmcred: --transport=ftp is not known: it can be smbios or fw_cfg\n")


def test_more_credentials_qemu_slots_fw_cfg_make_more(folder):
    """more credentials than QEMU has slots for in fw_cfg make it have more"""
    names = "".join(f"N{number}: host-tls, " for number in range(100))
    vm = Vm(folder, f"vms: {{test-vm: {{credentialFiles: {{{names}}}}}}}\n")
    process, monitor = qemu_with_monitor(vm, "-M", "microvm")
    equal(monitor("query-status")["status"], "prelaunch")
    monitor("quit")
    equal(process.wait(20), 0)
    equal(vm.errors(), "")


harness.main()
