# SPDX-License-Identifier: Apache-2.0
"""vmcred called by a hypervisor's name: which credentials the real one gets, and when it runs without them."""
import json
import os
import re
import shutil

import harness
from harness import equal, expect, fails, need_root, run
from vm import CLOUD_HYPERVISOR, Vm

# Prints its arguments, argv[0] first, with the OEM strings from its descriptors.
REAL = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *path = strstr(argv[i], "path=/dev/fd/");
        FILE *file = path ? fopen(path + 5, "r") : NULL;

        for (int c; file && (c = getc(file)) != EOF;)
            putchar(c);
        puts(file ? "" : argv[i]);
    }
    return getenv("CODE") ? atoi(getenv("CODE")) : 0;
}
"""

DECLARATION = """\
vms:
  test-vm:
    credentialFiles: {HOST-API-KEY: host-api-key}
    platformOEMStrings: [ENVIRONMENT=test]
  odd_vm:
    unit: some@thing.service
    platformOEMStrings: [OF=odd_vm]
"""

# The shape of a microvm.nix runner: bash, the VM's name as argv[0], arguments in quotes, some of them made at run time.
RUNNER = """#!/bin/bash
set -eou pipefail

runtime_args=$(
echo -name from-script
)

exec -a "microvm@test-vm" {hypervisor} ${{runtime_args:-}}
"""


class Place(Vm):
    """A directory with vmcred under a hypervisor's name, one with the real program, and a declaration."""

    def __init__(self, directory, name="qemu-system-x86_64", declaration=DECLARATION):
        super().__init__(directory, declaration)
        self.name = name
        self.link = self.bin / name
        self.link.symlink_to(harness.VMCRED_RUN)
        (directory / "real").mkdir()
        self.real = directory / "real" / name
        (directory / "real.c").write_text(REAL)
        expect(run("cc", "-o", self.real, directory / "real.c"))

    def call(self, *words, path=None, program=None, prefix=(), **environment):
        environment = {
            "PATH": path or f"{self.bin}:{self.directory}/real:{os.environ['PATH']}",
            "VMCRED_CONFIG": str(self.directory / "vmcred.yaml"),
            "CREDENTIALS_DIRECTORY": str(self.credentials),
        } | environment
        return run(*prefix, program or self.link, *words, env={k: v for k, v in environment.items() if v is not None})

    def in_cgroup(self, text, *words, **options):
        """Called in a cgroup with that /proc/PID/cgroup."""
        (self.directory / "cgroup").write_text(text)
        script = 'mount --bind "$1" /proc/$$/cgroup && shift && exec "$@"'
        return self.call(*words, prefix=("unshare", "--mount", "sh", "-c", script, "sh", self.directory / "cgroup"), **options)


def with_credentials(place, *words, name=None):
    """What the real program prints."""
    strings = ["ENVIRONMENT=test", f"io.systemd.credential:HOST-API-KEY={place.api_key}"]
    handed = [line for string in strings for line in ("-smbios", string)]
    return "".join(f"{line}\n" for line in [name or str(place.link), *words, *handed])


NO_VM = "runs without credentials: it is not in the unit of a VM, and $VMCRED_VM is not set"


def test_vmcred_vm_names_the_vm(directory):
    """$VMCRED_VM names the VM; all arguments and the exit code are unchanged"""
    place = Place(directory)
    words = ["-m", "512", "-append", "a  b", ""]
    expect(place.call(*words, VMCRED_VM="test-vm", CODE="7"), 7, with_credentials(place, *words), "")


def test_runner_script_with_another_argv_0(directory):
    """a runner script with another argv[0] works unchanged"""
    place = Place(directory)
    runner = harness.write_program(directory / "microvm-run", RUNNER.format(hypervisor="qemu-system-x86_64 '-M' 'q35,accel=tcg' '-append' 'console=ttyS0 panic=-1'"))
    words = ["-M", "q35,accel=tcg", "-append", "console=ttyS0 panic=-1", "-name", "from-script"]
    expect(place.call(program=runner, VMCRED_VM="test-vm"), 0, with_credentials(place, *words, name="microvm@test-vm"), "")


def test_runner_script_of_cloud_hypervisor(directory):
    """a runner script of Cloud Hypervisor works unchanged, with credentials only in the API"""
    place = Place(directory, "cloud-hypervisor")
    place.link.unlink()
    environment = place.environment(stand_in={"exit": 3})
    real = (place.bin / "cloud-hypervisor").rename(directory / "real" / "cloud-hypervisor")
    place.link.symlink_to(harness.VMCRED_RUN)
    runner = directory / "microvm-run"
    quoted = " ".join(f"'{word}'" for word in (*CLOUD_HYPERVISOR[1:], "--platform", "oem_strings=[ARG=1]"))
    harness.write_program(runner, RUNNER.replace("-name from-script", "--rng src=/dev/urandom").format(hypervisor=f"{place.link} {quoted}"))
    environment["PATH"] = None
    expect(place.call(program=runner, VMCRED_VM="test-vm", VMCRED_HYPERVISOR=str(real), **environment), 3, "", "")
    created = json.loads(place.recorded()["requests"][0][2])
    equal(created["platform"]["oem_strings"], [
        "ARG=1", "ENVIRONMENT=test", f"io.systemd.credential:HOST-API-KEY={place.api_key}",
    ])  # fmt: skip


def test_unit_name_selects_the_vm(directory):
    """in a unit microvm@NAME.service it is that VM, escaped or not, in both versions of cgroups"""
    need_root()
    place = Place(directory)
    for cgroup in (
        "0::/system.slice/system-microvm.slice/microvm@test-vm.service\n",
        "0::/system.slice/microvm@test-vm.service/vmm\n",
        "0::/system.slice/microvm@test\\x2dvm.service\n",
        "12:pids:/other\n1:name=systemd:/system.slice/microvm@test-vm.service\n0::/\n",
    ):
        expect(place.in_cgroup(cgroup, "-S"), 0, with_credentials(place, "-S"), "")
    expect(
        place.in_cgroup("0::/a.slice/some@thing.service\n", "-S"), 0, f"{place.link}\n-S\n-smbios\nOF=odd_vm\n", ""
    )


def test_vmcred_vm_wins_over_the_unit(directory):
    """$VMCRED_VM wins over the unit"""
    need_root()
    place = Place(directory)
    called = place.in_cgroup("0::/microvm@odd_vm.service\n", "-S", VMCRED_VM="test-vm")
    expect(called, 0, with_credentials(place, "-S"), "")


def test_without_a_vm_there_is_one_warning(directory):
    """without a VM the hypervisor runs without credentials, with one warning"""
    need_root()
    place = Place(directory)
    for cgroup in ("0::/\n", "0::/microvm@other.service\n", "0::/user.slice/test-vm.service\n", "3:pids:/microvm@test-vm.service\n"):
        called = place.in_cgroup(cgroup, "-S", CODE="9")
        expect(called, 9, f"{place.link}\n-S\n", f"vmcred: warning: {place.real} {NO_VM}\n")


def test_without_a_declaration_there_are_no_credentials(directory):
    """without a declaration the hypervisor runs without credentials, whatever is in the working directory"""
    harness.need_default_paths()
    place = Place(directory)
    called = run(place.link, "-S", cwd=directory, env={"PATH": f"{place.bin}:{directory}/real", "VMCRED_VM": ""})
    expect(called, 0, f"{place.link}\n-S\n",
           f"vmcred: warning: {place.real} runs without credentials: /etc/vmcred/vmcred.yaml does not exist\n")
    called = run(place.link, "-S", cwd=directory, env={"PATH": f"{place.bin}:{directory}/real", "VMCRED_VM": "test-vm"})
    expect(called, 2, "", 'vmcred: $VMCRED_VM is "test-vm", but /etc/vmcred/vmcred.yaml does not exist: create it, or set VMCRED_CONFIG\n')


def test_entry_of_the_unit_replaces_the_declaration(directory):
    """in a unit the VM's entry is enough, with the program that it declares; $VMCRED_CONFIG wins over it"""
    need_root()
    place = Place(directory)
    declared = directory / "declared"
    shutil.copy(place.real, declared)
    (place.credentials / "vmcred.vm").write_text(json.dumps({
        "hypervisors": {place.name: str(declared)},
        "vms": {"test-vm": {"credentialFiles": {"HOST-API-KEY": "host-api-key"}, "platformOEMStrings": ["ENVIRONMENT=test"]}},
    }))  # fmt: skip
    place.real.unlink()
    unit = "0::/system.slice/microvm@test-vm.service\n"
    expect(place.in_cgroup(unit, "-S", VMCRED_CONFIG=None), 0, with_credentials(place, "-S"), "")
    called = place.in_cgroup("0::/microvm@other.service\n", "-S", VMCRED_CONFIG=None)
    expect(called, 0, f"{place.link}\n-S\n", f"vmcred: warning: {declared} {NO_VM}\n")
    fails(place.in_cgroup(unit, "-S", VMCRED_CONFIG=None, VMCRED_VM="odd_vm"), 2, place.credentials / "vmcred.vm", '"odd_vm"')
    (directory / "vmcred.yaml").write_text("vms: [\n")
    fails(place.in_cgroup(unit, "-S"), 2, directory / "vmcred.yaml")


def test_errors_start_nothing(directory):
    """an invalid declaration, an unknown VM and a missing credential start nothing"""
    place = Place(directory)
    fails(place.call("-S", VMCRED_VM="tst-vm"), 2, directory / "vmcred.yaml", '"tst-vm"', '"test-vm"')
    (place.credentials / "host-api-key").unlink()
    fails(place.call("-S", VMCRED_VM="test-vm"), 3, "HOST-API-KEY", place.credentials / "host-api-key")
    (directory / "vmcred.yaml").write_text("vms: [\n")
    equal(place.call("-S").code, 2)


def declared(directory, keys, name="qemu-system-x86_64"):
    return Place(directory, name, DECLARATION.replace("  odd_vm:", f"    {keys}\n  odd_vm:"))


def test_keys_instead_of_options(directory):
    """what options tell `run`, keys of the VM tell a launch by a hypervisor's name"""
    words = ["-M", "microvm"]
    place = declared(directory / "one", "transport: smbios")
    expect(place.call(*words, VMCRED_VM="test-vm"), 0, with_credentials(place, *words), "")
    place = declared(directory / "two", "expose: argv")
    result = expect(place.call(VMCRED_VM="test-vm"), 0, None)
    assert "type=11,value=io.systemd.credential:HOST-API-KEY=" in result.out, result.out
    assert result.err.startswith("vmcred: warning: expose: argv: "), result.err


def test_hints_name_keys(directory):
    """errors of a launch by a hypervisor's name mention keys, and no option of `run`, which cannot be given there"""
    for index, (keys, words, mentions) in enumerate((
        ("transport: fw_cfg", [], ["transport: fw_cfg"]),
        ("notify: true", [], ["notify", "vsock"]),
        ("supervise: true", ["-daemonize"], ["stopTimeout"]),
        ("exec: true\n    supervise: true", [], ["exec", "supervise"]),
        ("notify: true", ["-chardev", "socket,id=c,path=/v", "-device", "vhost-user-vsock-pci,chardev=c"], ["notify"]),
    )):
        result = fails(declared(directory / str(index), keys).call(*words, VMCRED_VM="test-vm", NOTIFY_SOCKET="@vmcred-test"), 2,
                       *mentions)
        assert not re.search(r" --[a-z]", result.err), result.err
    for keys, key in (("notify: maybe", "notify"), ("stopTimeout: -1", "stopTimeout"), ("transport: ftp", "transport")):
        fails(declared(directory / key, keys).call(VMCRED_VM="test-vm"), 2, f"vms.test-vm.{key}: must be ")


def test_vm_of_another_machine(directory):
    """of two VMs with the same unit on different machines, it is the one of this machine"""
    text = "machines: {m: {}, n: {}}\nvms:\n"
    for name in ("n", "m"):
        text += f"  {name}: {{machine: {name}, unit: a.service, platformOEMStrings: [OF={name}]}}\n"
    place = Place(directory, declaration=text)
    for name in ("n", "m"):
        called = place.in_cgroup("0::/system.slice/a.service\n", VMCRED_MACHINE=name)
        expect(called, 0, f"{place.link}\n-smbios\nOF={name}\n", "")
    fails(place.call(VMCRED_VM="n", VMCRED_MACHINE="m"), 2, '"n"', "machine n")


def test_query_runs_the_plain_hypervisor(directory):
    """a query such as --version runs the plain hypervisor silently, whatever is declared"""
    place = Place(directory)
    for words in (["--version"], ["-version"], ["-V"], ["--help"], ["-h"], ["-M", "help"], ["-device", "e1000,help"], ["-cpu", "?"],
                  ["-S", "-h"], ["-machine", "help,accel=tcg"], ["-smp", "help"], ["-drive", "format=help"], ["-nic", "user,model=?"]):
        expect(place.call(*words, VMCRED_VM="test-vm"), 0, "\n".join([str(place.link), *words]) + "\n", "")
    (directory / "vmcred.yaml").write_text("vms: [\n")
    expect(place.call("--version", VMCRED_VM="test-vm"), 0, f"{place.link}\n--version\n", "")
    (directory / "other").mkdir()
    place = Place(directory / "other", "cloud-hypervisor")
    for words in (["-vV"], ["-hv"], ["--kernel", "k", "-V"]):
        expect(place.call(*words, VMCRED_VM="test-vm"), 0, "\n".join([str(place.link), *words]) + "\n", "")


def test_arguments_like_a_query_start_a_vm(directory):
    """arguments that only look like a query start a VM with its credentials"""
    place = Place(directory)
    for words in (["-append", "help"], ["-name", "?"], ["-append", "a -h"], ["--", "-h"], ["-append", "-h"], ["--name", "-version"],
                  ["-name", "-M", "-serial", "help"], ["-chardev", "file,id=c,path=/a,,help"], ["-device", "e1000,id=help"]):
        expect(place.call(*words, VMCRED_VM="test-vm"), 0, with_credentials(place, *words), "")


def test_value_like_an_option_has_no_effect(directory):
    """the value of an option of QEMU is not an option, whatever it looks like"""
    place = Place(directory)
    for words in (["-name", "-incoming"], ["-append", "-smbios", "-kernel", "-M", "-name", "none"], ["-S", "-name", "-readconfig", "-m", "1"]):
        expect(place.call(*words, VMCRED_VM="test-vm"), 0, with_credentials(place, *words), "")


def test_each_option_of_qemu_has_a_value_or_not(directory):
    """for each option of the real QEMU, vmcred knows whether the next argument is its value"""
    qemu = harness.need("qemu-system-x86_64")
    place = Place(directory)
    help = expect(run(qemu, "-help")).out
    options = {word for line in re.findall(r"^-[^\n]*", help, re.M) for word in re.findall(r"(?:^|/| or )(--?[a-zA-Z][\w-]*)", line)}
    assert len(options) > 100, options
    for option in options - {"-dump-vmstate"}:  # starts no VM, whatever its value
        has_value = "requires an argument" in run(qemu, "-m", "invalid", option).err
        answered = place.call(option, "-h", VMCRED_VM="test-vm").out == f"{place.link}\n{option}\n-h\n"
        equal(answered, not has_value, option)


def test_each_name_starts_its_program(directory):
    """a link with each hypervisor's name starts that program; one that leads to vmcred says where it must lead"""
    for name in ("cloud-hypervisor", "firecracker", "qemu-system-x86_64", "qemu-system-aarch64"):
        place = Place(directory / name, name)
        expect(place.call("--version"), 0, f"{place.link}\n--version\n", "")
        place.link.unlink()
        place.link.symlink_to(harness.VMCRED)
        fails(place.call("--version"), 2, name, "vmcred-run")


def test_precedence_of_programs(directory):
    """the declared program wins over $PATH, and $VMCRED_HYPERVISOR over both"""
    place = Place(directory)
    declared, named = directory / "declared", directory / "named"
    shutil.copy(place.real, declared)
    shutil.copy(place.real, named)
    with open(directory / "vmcred.yaml", "a", encoding="utf-8") as file:
        file.write(f"hypervisors: {{qemu-system-x86_64: {declared}}}\n")
    place.real.unlink()
    expect(place.call("-S", VMCRED_VM="test-vm"), 0, with_credentials(place, "-S"), "")
    warning = f"vmcred: warning: {declared} {NO_VM}\n"
    expect(place.call("-S"), 0, f"{place.link}\n-S\n", warning)
    expect(place.call("-S", VMCRED_HYPERVISOR=str(named)), 0, f"{place.link}\n-S\n", warning.replace("declared", "named"))
    declared.unlink()
    expect(place.call("-S"), 1, "", f"vmcred: hypervisors: {declared} is not executable\n")


def test_vmcred_never_starts_itself(directory):
    """it never starts itself: not through another link, a script of that name, or the declaration"""
    place = Place(directory)
    other = directory / "other"
    other.mkdir()
    (other / place.name).symlink_to(place.link)
    path = f"{place.bin}:{other}:{directory}/real"
    expect(place.call("-S", path=path), 0, f"{place.link}\n-S\n", f"vmcred: warning: {place.real} {NO_VM}\n")
    # A script of that name, before vmcred on $PATH, that calls vmcred.
    script = directory / "script"
    script.mkdir()
    harness.write_program(script / place.name, f'#!/bin/sh\nexec {place.link} "$@"\n')
    called = place.call("-S", program=script / place.name, path=f"{script}:{path}")
    expect(called, 0, f"{place.link}\n-S\n", f"vmcred: warning: {place.real} {NO_VM}\n")
    # The same script after it.
    called = place.call("-S", path=f"{place.bin}:{script}:{directory}/real")
    expect(called, 2, "", f"vmcred: warning: {script}/{place.name} {NO_VM}\n"
           f"vmcred: the {place.name} that vmcred starts is vmcred again: declare hypervisors: {{{place.name}: /PATH}}\n")
    expect(place.call("-S", VMCRED_HYPERVISOR=str(other / place.name)), 2, "",
           f"vmcred: $VMCRED_HYPERVISOR: {other}/{place.name} is vmcred itself\n")
    place.real.unlink()
    expect(place.call("-S", path=str(place.bin)), 1, "",
           f"vmcred: no other {place.name} on $PATH after vmcred: declare hypervisors: {{{place.name}: /PATH}}\n")


def test_argv_0_does_not_select_the_personality(directory):
    """only the executed path selects the personality, not the caller's argv[0]"""
    place = Place(directory)
    expect(run("bash", "-c", f"exec -a cloud-hypervisor {harness.VMCRED} --version"), 0, f"vmcred {harness.VERSION}\n", "")
    called = run("bash", "-c", f"exec -a vmcred {place.link} --version", env={"PATH": f"{place.bin}:{directory}/real:{os.environ['PATH']}"})
    expect(called, 0, "vmcred\n--version\n", "")


harness.main()
