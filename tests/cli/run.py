# SPDX-License-Identifier: Apache-2.0
"""vmcred run: errors for bad inputs, and what is visible while QEMU runs."""
import os
import re

import harness
from harness import equal, expect, fails, need, vmcred
from opens import Opens
from vm import CLOUD_HYPERVISOR, DECLARATION, ChangingFile, Qmp, Vm, children, visible_to_others, no_canary, nothing_left

QEMU = ("qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-serial", "none", "-S", "-nodefaults")


def qemu_with_monitor(vm, *words, options=()):
    """A QEMU that vmcred started, and its monitor."""
    need("qemu-system-x86_64")
    path = vm.directory / "qmp"
    process = vm.start(*QEMU, "-qmp", f"unix:{path},server=on,wait=off", *words, options=options)
    return process, Qmp(path)


# Bad inputs: nothing starts.

def test_missing_credential_stops_the_launch(directory):
    """a missing credential stops the launch, and the error names the unit line that loads it"""
    vm = Vm(directory, """\
machines: {m: {}}
generators:
  secrets: {machines: [m], files: {api-key: {}}, kind: {api-key: {base64: 32}}}
vms:
  test-vm:
    loadCredentials: {host-api-key: secrets/api-key}
    credentialFiles: {HOST-API-KEY: host-api-key}
""")
    (vm.credentials / "host-api-key").unlink()
    fails(vm.run(*QEMU), 3, "HOST-API-KEY", vm.credentials / "host-api-key", "microvm@test-vm.service",
          "LoadCredential=host-api-key:/run/secrets/vars/secrets/api-key")


def test_undeclared_credential_says_where_to_declare_it(directory):
    """the error for a missing credential that is not declared says where to declare it"""
    vm = Vm(directory)
    (vm.credentials / "host-tls").unlink()
    fails(vm.run(*QEMU), 3, "HOST-TLS", vm.credentials / "host-tls", "vms.test-vm.loadCredentials")


def test_error_in_the_entry_of_a_vm(directory):
    """an error in the entry of a VM stops that VM and no other"""
    broken = "  other: {comand: [x], platformOEMStrings: [A=1]}\n"
    vm = Vm(directory, DECLARATION + broken)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "", "")
    fails(vmcred("run", "--config", directory / "vmcred.yaml", "other", "--", *CLOUD_HYPERVISOR), 2, "vms.other", '"command"')


def test_missing_optional_credential_is_a_warning(directory):
    """a missing optional credential is a warning and the VM starts without it"""
    vm = Vm(directory, DECLARATION.replace("HOST-TLS: host-tls", "HOST-TLS: {credential: host-tls, optional: true}"))
    (vm.credentials / "host-tls").unlink()
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "",
           f"vmcred: warning: optional credential HOST-TLS is skipped: {vm.credentials}/host-tls does not exist\n")
    assert "HOST-TLS" not in vm.recorded()["requests"][0][2]


def test_placeholder_of_an_optional_credential_is_skipped(directory):
    """the placeholder that a unit loads for a missing optional credential is skipped, and only if it is optional"""
    for number, content in enumerate((b"", b"\0absent")):
        vm = Vm(directory / str(number),
                DECLARATION.replace("HOST-TLS: host-tls", "HOST-TLS: {credential: host-tls, optional: true}"))
        (vm.credentials / "host-tls").write_bytes(content)
        expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "",
               f"vmcred: warning: optional credential HOST-TLS is skipped: {vm.credentials}/host-tls is empty\n")
        assert "HOST-TLS" not in vm.recorded()["requests"][0][2]
        (vm.directory / "vmcred.yaml").write_text(DECLARATION)
        expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "", "")
        assert "HOST-TLS=" in vm.recorded()["requests"][0][2]


def test_credential_in_arguments_too_stops_the_launch(directory):
    """a credential that is also in the arguments stops the launch"""
    vm = Vm(directory)
    mentions = ("HOST-API-KEY", "arguments", "credentialFiles")
    fails(vm.run(*QEMU, "-smbios", "type=11,value=io.systemd.credential:HOST-API-KEY=x"), 2, *mentions)
    fails(vm.run(*QEMU, "-fw_cfg", "name=opt/io.systemd.credentials/HOST-API-KEY,string=x"), 2, *mentions)
    fails(vm.run(*CLOUD_HYPERVISOR, "--platform", "oem_strings=[io.systemd.credential:HOST-API-KEY=x]", stand_in={}),
          2, *mentions)


def test_invalid_name_for_systemd_stops_the_launch(directory):
    """a name that systemd would drop stops the launch"""
    vm = Vm(directory, DECLARATION.replace("CLUSTER=example-host", '"io.systemd.credential:a/b=hush"'))
    fails(vm.run(*QEMU), 2, "test-vm", "platformOEMStrings", '"a/b"')
    (directory / "vmcred.yaml").write_text(DECLARATION.replace("HOST-TLS", "HOST=TLS"))
    fails(vm.run(*QEMU), 2, "test-vm", '"HOST=TLS"')


def test_credential_in_the_declaration_is_a_warning(directory):
    """a credential in the declaration itself gives a warning"""
    vm = Vm(directory, DECLARATION.replace("CLUSTER=example-host", '"io.systemd.credential:KEY=hush"'))
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "",
           "vmcred: warning: platformOEMStrings contains the value of the credential KEY, which is readable in git and "
           "in the Nix store: move it to credentialFiles\n")


def test_quoted_oem_string_is_a_warning(directory):
    """a quoted OEM string in an argument gives a warning"""
    vm = Vm(directory)
    expect(vm.run(*CLOUD_HYPERVISOR, "--platform", 'oem_strings=["io.systemd.credential:A=b"]', stand_in={"exit": 0}),
           0, "", "vmcred: warning: an OEM string in the VMM's arguments starts with '\"', which becomes part of it, so "
                  "that systemd in the guest ignores the credential: remove the quotes\n")


def test_too_large_oem_strings_stop_the_launch(directory):
    """OEM strings that are too large for the table stop the launch"""
    vm = Vm(directory)
    (vm.credentials / "host-api-key").write_text("x" * 65536)
    fails(vm.run(*QEMU), 1, "preparing to start QEMU", 65671, 61439, "HOST-API-KEY with 65571 bytes")


def test_256th_oem_string_stops_the_launch(directory):
    """a 256th OEM string stops the launch"""
    vm = Vm(directory)
    arguments = [word for number in range(252) for word in ("-smbios", f"type=11,value=n{number}")]
    fails(vm.run(*QEMU, *arguments), 1, "preparing to start QEMU", 256, 255)


def test_too_large_request_stops_the_launch(directory):
    """a request that is too large for Cloud Hypervisor v53 stops the launch, and a later version gets it"""
    vm = Vm(directory)
    (vm.credentials / "host-api-key").write_text("x" * 51000)
    result = vm.run(*CLOUD_HYPERVISOR, stand_in={"version": "cloud-hypervisor v53.0-dirty"})
    fails(result, 1, "preparing to start Cloud Hypervisor", 51281, 51200)
    assert not (directory / "record").exists()
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"version": "cloud-hypervisor v54.0", "exit": 0}), 0, "", "")
    assert "x" * 51000 in vm.recorded()["requests"][0][2]


def test_missing_hypervisor_is_named(directory):
    """the error for a hypervisor that is not installed names it"""
    vm = Vm(directory)
    env = {"PATH": str(vm.bin), "RUNTIME_DIRECTORY": str(directory)}
    for program, hint in (("qemu-system-x86_64", ": no directory of $PATH contains it"), ("/nowhere/qemu-kvm", "")):
        expect(harness.vmcred("run", "--credentials", vm.credentials, "test-vm", "--", program, cwd=directory, env=env), 1,
               "", f"vmcred: starting {program}: not found{hint}\n")
    fails(harness.vmcred("run", "--credentials", vm.credentials, "test-vm", "--", *CLOUD_HYPERVISOR, cwd=directory, env=env), 1,
          "cloud-hypervisor", "$PATH")
    nothing_left(vm)


def test_program_that_is_not_a_hypervisor_is_refused(directory):
    """a program that is not a hypervisor is refused"""
    fails(Vm(directory).run("/bin/sh", "-c", "true"), 2, '"sh"', "cloud-hypervisor*")


def test_missing_command_line_is_an_error(directory):
    """without a command line the error says how to give one"""
    vm = Vm(directory)
    expect(vm.run(), 2, "", "vmcred: no command for test-vm: give it after --, or declare vms.test-vm.command\n")


def test_given_command_line_wins_over_the_declared_one(directory):
    """the command line after -- wins over the declared one"""
    vm = Vm(directory, DECLARATION + "    command: [/nowhere/qemu-kvm]\n")
    fails(vm.run(), 1, "/nowhere/qemu-kvm")
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 0}), 0, "", "")


def test_unknown_option_gets_a_suggestion(directory):
    """the error for an unknown option or key names the nearest one"""
    vm = Vm(directory)
    fails(vm.run(*CLOUD_HYPERVISOR, "--disks", "path=/d", stand_in={}), 2, "cloud-hypervisor", "--disks", "did you mean --disk?")
    fails(vm.run(*CLOUD_HYPERVISOR, "--disk", "paht=/d", stand_in={}), 2, "--disk", '"paht"', 'did you mean "path"?')


def test_expose_accepts_only_argv_and_log(directory):
    """--expose accepts only argv and log"""
    expect(Vm(directory).run(*QEMU, options=("--expose=env",)), 2, "",
           "vmcred: --expose: must be argv or log, or both separated by ',', not \"env\"\n")
    vm = Vm(directory / "both")
    fails(vm.run(*CLOUD_HYPERVISOR, options=("--expose=log,argv",), stand_in={}), 2, "HOST-API-KEY", "--expose=argv")


# QEMU.

def test_error_of_qemu_is_shown(directory):
    """QEMU's own error for its arguments is shown"""
    need("qemu-system-x86_64")
    expect(Vm(directory).run("qemu-system-x86_64", "-no-such-option"), 1, "",
           "qemu-system-x86_64: -no-such-option: invalid option\n")


def test_no_credential_in_arguments_or_environment(directory):
    """neither the arguments nor the environment of QEMU contain a credential"""
    vm = Vm(directory)
    process, monitor = qemu_with_monitor(vm)
    view = visible_to_others(process.pid)
    assert b"qemu-system-x86_64" in view and b"type=11,path=/dev/fd/" in view
    no_canary(view, vm.api_key)
    no_canary(view, vm.tls)
    monitor("quit")
    equal(process.wait(60), 0)
    equal(vm.errors(), "")


def test_descriptors_are_empty_after_qemu_read_them(directory):
    """a credential that QEMU has read is no longer readable through its descriptors"""
    vm = Vm(directory)
    process, monitor = qemu_with_monitor(vm)
    for name in os.listdir(f"/proc/{process.pid}/fd"):
        target = os.readlink(f"/proc/{process.pid}/fd/{name}")
        assert "memfd" not in target, target
        if target.startswith("pipe:"):
            fd = os.open(f"/proc/{process.pid}/fd/{name}", os.O_RDONLY | os.O_NONBLOCK)
            equal(os.read(fd, 1), b"", target)
            os.close(fd)
    monitor("quit")
    equal(process.wait(60), 0)


def test_expose_argv_puts_credentials_in_arguments(directory):
    """with --expose=argv the credential is in QEMU's arguments, and a warning says so"""
    vm = Vm(directory)
    process, monitor = qemu_with_monitor(vm, options=("--expose=argv",))
    assert vm.api_key.replace(",", ",,").encode() in visible_to_others(process.pid)
    monitor("quit")
    equal(process.wait(60), 0)
    equal(vm.errors(), "vmcred: warning: --expose=argv: every user of this host can read the OEM strings in the "
                       "command line of QEMU\n")


def test_microvm_gets_fw_cfg_files(directory):
    """the machine type microvm, which has no SMBIOS table, gets credentials as fw_cfg files"""
    vm = Vm(directory, DECLARATION.replace("    platformOEMStrings: [ENVIRONMENT=test, CLUSTER=example-host]\n", ""))
    process, monitor = qemu_with_monitor(vm, "-M", "microvm")
    view = visible_to_others(process.pid)
    assert b"name=opt/io.systemd.credentials/HOST-TLS,file=/dev/fd/" in view and b"type=11" not in view
    no_canary(view, vm.api_key)
    monitor("quit")
    equal(process.wait(60), 0)


def test_strings_without_fw_cfg_name_stop_the_launch(directory):
    """strings that the machine type microvm cannot receive stop the launch"""
    vm = Vm(directory)
    expect(vm.run(*QEMU, "-M", "microvm"), 2, "",
           "vmcred: preparing to start QEMU: machine type microvm has no SMBIOS table: fw_cfg carries only credentials, "
           "not plain OEM strings (platformOEMStrings): remove them, or use another machine type\n")
    name = "N" * 29
    (directory / "vmcred.yaml").write_text(f"vms: {{test-vm: {{credentialFiles: {{{name}: host-tls}}}}}}\n")
    expect(vm.run(*QEMU, "-M", "microvm"), 2, "",
           f"vmcred: preparing to start QEMU: machine type microvm has no SMBIOS table: credential name {name} has 29 "
           f"bytes; the limit with fw_cfg is 28: use a shorter name, or another machine type\n")


def test_machine_types_select_the_transport(directory):
    """the machine types of other architectures select the transport too, and --transport overrides it"""
    vm = Vm(directory)
    script = harness.write_program(vm.bin / "qemu-system-aarch64", "#!/bin/sh\necho \"$@\"\n")
    for link in ("qemu-system-s390x", "qemu-system-x86_64"):
        (vm.bin / link).symlink_to(script)
    fails(vm.run("qemu-system-aarch64", "-M", "virt"), 2, "machine type virt has an SMBIOS table only with firmware")
    expect(vm.run("qemu-system-s390x", "-M", "s390-ccw-virtio"), 2, "",
           "vmcred: preparing to start QEMU: cannot deliver OEM strings: machine type \"s390-ccw-virtio\" of "
           "qemu-system-s390x is not known to have an SMBIOS table: choose --transport=smbios or --transport=fw_cfg if it has one\n")
    for words in (("qemu-system-aarch64", "-M", "virt", "-bios", "f"), ("qemu-system-aarch64", "-M", "virt,firmware=f")):
        expect(vm.run(*words), 0, None, "")
    for words in (("qemu-system-aarch64", "-M", "virt", "-bios", "f"), ("qemu-system-s390x", "-M", "x")):
        out = expect(vm.run(*words, options=("--transport=smbios",)), 0, None, "").out
        equal(re.sub("fd/[0-9]+", "fd/N", out), " ".join(words[1:]) + " -smbios type=11,path=/dev/fd/N" * 4 + "\n")
    fails(vm.run("qemu-system-x86_64", options=("--transport=fw_cfg",)), 2, "--transport=fw_cfg", "platformOEMStrings")
    expect(vm.run("qemu-system-x86_64", options=("--transport=ftp",)), 2, "",
           "vmcred: --transport: must be smbios or fw_cfg or initrd, not \"ftp\"\n")


def test_strings_for_a_restored_qemu_are_an_error(directory):
    """credentials or strings for a VM that QEMU restores or receives are an error, and without any the VM starts"""
    vm = Vm(directory)
    harness.write_program(vm.bin / "qemu-system-x86_64", "#!/bin/sh\necho \"$@\"\n")
    expect(vm.run("qemu-system-x86_64", "-incoming", "defer"), 2, "",
           "vmcred: preparing to start QEMU: -incoming: the VM keeps the OEM strings with which it was booted and accepts no "
           "others: deliver credentials to a VM that is booted\n")
    fails(vm.run("qemu-system-x86_64", "--loadvm", "snapshot"), 2, "-loadvm")
    (directory / "vmcred.yaml").write_text("vms: {test-vm: {platformOEMStrings: [A=b]}}\n")
    fails(vm.run("qemu-system-x86_64", "-loadvm", "snapshot"), 2, "-loadvm")
    (directory / "vmcred.yaml").write_text("vms: {test-vm: {}}\n")
    expect(vm.run("qemu-system-x86_64", "-loadvm", "snapshot"), 0, "-loadvm snapshot\n", "")


def test_confidential_vm_is_a_warning(directory):
    """credentials for a confidential VM cause a warning, since systemd ignores them there; other strings and an initrd do not"""
    vm = Vm(directory)
    script = harness.write_program(vm.bin / "qemu-system-x86_64", "#!/bin/sh\n")
    for option in ("confidential-guest-support=sev0", "memory-encryption=sev0"):
        expect(vm.run("qemu-system-x86_64", "-M", f"q35,{option}"), 0, "",
               "vmcred: warning: systemd in the guest of a confidential VM ignores credentials from the host\n")
    (directory / "vmcred.yaml").write_text("vms: {test-vm: {platformOEMStrings: [A=b]}}\n")
    expect(vm.run("qemu-system-x86_64", "-M", "q35,confidential-guest-support=sev0"), 0, "", "")
    (directory / "vmcred.yaml").write_text("vms: {test-vm: {credentialFiles: {HOST-TLS: host-tls}}}\n")
    expect(vm.run("qemu-system-x86_64", "-M", "q35,confidential-guest-support=sev0", "-initrd", script,
                  options=("--transport=initrd",)), 0, "", "")


# System Information (DSP0134, section 7.2), with one string.
TYPE1 = bytes([1, 8, 0, 1, 1, 0, 0, 0]) + b"x\0\0"


def test_each_file_in_arguments_is_opened_once(directory):
    """each file in QEMU's arguments is opened exactly once by run and by compose"""
    vm = Vm(directory, DECLARATION.replace("platformOEMStrings", "command: [qemu-system-x86_64]\n    platformOEMStrings"))
    (vm.bin / "qemu-system-x86_64").symlink_to("/bin/true")
    config, string, structure = directory / "machine.conf", directory / "string", directory / "structure"
    config.write_text('[device "v"]\n  driver = "vhost-vsock-pci"\n  guest-cid = "7"\n')
    string.write_text("io.systemd.credential:A=1")
    structure.write_bytes(TYPE1)
    words = ("qemu-system-x86_64", "-readconfig", config, "-smbios", f"type=11,path={string}", "-smbios", f"file={structure}")
    opens = [Opens(config), Opens(string), Opens(structure)]
    expect(vm.run(*words), 0, "", "")
    equal([file.count() for file in opens], [1, 1, 1])
    expect(vm.compose("--", *words), 0, None, "")
    equal([file.count() for file in opens], [1, 1, 1])


def test_qemu_boots_the_configuration_that_is_checked(directory):
    """QEMU gets what vmcred has read from a file of -readconfig, also if the file changes at each open"""
    declaration = "vms: {test-vm: {credentialFiles: {HOST-TLS: host-tls}}}\n"
    for options in ((), ("--supervise",)):
        vm = Vm(directory / f"vm{len(options)}", declaration)
        file = ChangingFile(vm.bin / "machine.conf", lambda number: f'[machine]\n  type = "{"q35" if number % 2 else "microvm"}"\n')
        words = ("qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-accel", "tcg", "-readconfig", file.path)
        for transport, machine in ((b"-smbios", "pc-q35"), (b"-fw_cfg", "microvm")):
            socket = vm.directory / "qmp"
            process = vm.start(*words, "-qmp", f"unix:{socket},server=on,wait=off", options=options)
            monitor = Qmp(socket)
            qemu = children(process.pid)[0] if options else process.pid
            view = visible_to_others(qemu)
            assert transport in view and b"machine.conf" not in view, view
            found = monitor("qom-get", path="/machine", property="type")
            assert found.startswith(machine), found
            monitor("quit")
            equal(process.wait(60), 0)
            socket.unlink(missing_ok=True)


SWAPPING_QEMU = """#!/bin/sh
# Changes the files before it reads what its arguments name.
printf swapped >"$FILES/string,1"; printf swapped >"$FILES/structure"
for argument; do
    case $argument in
    *file=*) stat -L -c %s "${argument#*file=}"; od -An -tx1 "${argument#*file=}";;
    *A=b*) echo "$argument"; string=${argument#*path=}; cat "${string%%,*}"; echo;;
    esac
done
"""


def test_qemu_gets_the_files_of_smbios_that_are_checked(directory):
    """QEMU gets what vmcred has read from the files of -smbios, also if they change before it opens them"""
    for options in ((), ("--supervise",)):
        vm = Vm(directory / f"vm{len(options)}", "vms: {test-vm: {platformOEMStrings: [C=d]}}\n")
        harness.write_program(vm.bin / "qemu-system-x86_64", SWAPPING_QEMU.replace("$FILES", str(vm.directory)))
        (vm.directory / "string,1").write_text("checked")
        (vm.directory / "structure").write_bytes(TYPE1)
        words = ("-smbios", f"type=11,path={vm.directory}/string,,1,value=A=b,,c", "-smbios", f"file={vm.directory}/structure")
        done = vm.run("qemu-system-x86_64", *words, options=options)
        out = re.sub(r"/dev/fd/\d+", "/dev/fd/N", done.out)
        equal(out, f"type=11,path=/dev/fd/N,value=A=b,,c\nchecked\n{len(TYPE1)}\n {TYPE1.hex(' ')}\n", done.err)


def test_oem_strings_behind_another_structure_are_found(directory):
    """OEM strings behind another structure of a file of -smbios are found"""
    vm = Vm(directory)
    structure = directory / "structure"
    structure.write_bytes(TYPE1 + bytes([11, 5, 0, 2, 1]) + b"A=b\0\0")
    fails(vm.run(*QEMU, "-smbios", f"file={structure}"), 2, f"-smbios file={structure}")


def test_real_qemu_reads_a_structure_file_by_its_descriptor(directory):
    """a real QEMU starts with a file of structures that it gets as a descriptor"""
    need("qemu-system-x86_64")
    vm = Vm(directory)
    (directory / "structure").write_bytes(TYPE1)
    socket = directory / "qmp"
    process = vm.start("qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-accel", "tcg",
                       "-smbios", f"file={directory}/structure", "-qmp", f"unix:{socket},server=on,wait=off")  # fmt: skip
    monitor = Qmp(socket)
    assert b"structure" not in visible_to_others(process.pid)
    monitor("quit")
    equal(process.wait(60), 0)


def test_missing_readconfig_is_an_error(directory):
    """a file of -readconfig that does not exist, is not text or is too large is an error"""
    vm = Vm(directory)
    path = directory / "machine.conf"
    expect(vm.run(*QEMU, "-readconfig", path), 2, "",
           f"vmcred: reading the command line of qemu-system-x86_64: -readconfig: opening {path}: No such file or directory\n")
    for content in (b"\0", b"#" * ((1 << 20) + 1)):
        path.write_bytes(content)
        fails(vm.run(*QEMU, "-readconfig", path), 2 if content == b"\0" else 1, "-readconfig", path)


def test_many_credentials_get_more_fw_cfg_slots(directory):
    """for more credentials than QEMU has fw_cfg slots, it gets more slots"""
    names = "".join(f"N{number}: host-tls, " for number in range(100))
    vm = Vm(directory, f"vms: {{test-vm: {{credentialFiles: {{{names}}}}}}}\n")
    process, monitor = qemu_with_monitor(vm, "-M", "microvm")
    equal(monitor("query-status")["status"], "prelaunch")
    monitor("quit")
    equal(process.wait(60), 0)
    equal(vm.errors(), "")


harness.main()
