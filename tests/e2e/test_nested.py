#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A systemd host with its own KVM starts microvm@test-vm.service with the real Cloud Hypervisor, Firecracker and QEMU.

Usage: test_nested.py LEAK WATCHER, the library of leak.c and the program of watch/.

The host is an emulated machine (machine.py). These tests need a real service manager and a real hypervisor together: the
guest's service receives every secret, the VM stops in order, and each process ends when the other is killed.
"""
import base64
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import canary
import channel_guest
import harness
from harness import Skip, equal, expect, test
from host import CONFIG, EXAMPLE, SECRETS, SERVICE, digest_of, journal, proofs
from machine import EXIT_HUNG, GUESTS, VM_DIRECTORY, Machine
from nix_rig import install

LEAK, WATCHER = sys.argv[1:3]
# A part of each value of 300 KB.
CANARY = base64.b64encode(os.urandom(24))
# Emulated hosts, one after the other: QEMU's emulation hangs now and then.
HOSTS_MAX = 3
STAGES = ("generate", "seal", "activate", "load", "compose", "launch", "receive", "prove")
# Listed before the first start and after each stop, to find a socket, file or directory that a launch leaves.
PLACES = ("/run", "/tmp", "/var/tmp", "/dev/shm", "/var/lib/microvms", "/var/lib/private")
# Files of systemd, which come and go; two are the empty parent directories of the VMs' RuntimeDirectory=. A unit that is killed while
# systemd sets up its PrivateDevices= leaves a directory in /tmp.
NOT_OURS = re.compile(r"/tmp/namespace-dev-|/run/(agent\.|log/|systemd/(journal/(streams|synced)|units|propagate|transient|dynamic-uid d$)|udev/|vmcred(/vms)? d$|"
                      r"vmcred/(serve|activation)|secrets\.d/|systemd/system/microvm@other-vm)")
KERNEL = "console=ttyS0 quiet loglevel=3 panic=-1 random.trust_cpu=on systemd.show_status=no vmcred.stay"
VMLINUZ, INITRD = f"{VM_DIRECTORY}/vmlinuz", f"{VM_DIRECTORY}/initrd"

COMMANDS = {
    "cloud-hypervisor": [
        "cloud-hypervisor", "--kernel", VMLINUZ, "--initramfs", INITRD, "--cmdline", KERNEL, "--cpus", "boot=1",
        "--memory", "size=256M", "--serial", "tty", "--console", "off"],
    "qemu-system-x86_64": [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-machine", "q35,dump-guest-core=off", "-accel", "kvm", "-cpu", "host", "-m", "256", "-kernel", VMLINUZ,
        "-initrd", INITRD, "-append", KERNEL, "-serial", "stdio"],
    # Its own messages would be on the guest's console.
    "firecracker": ["firecracker", "--no-seccomp", "--level", "Error", "--config-file", f"{VM_DIRECTORY}/firecracker.json",
                    "--api-sock", "/run/vmcred/vms/test-vm/api", "--enable-pci"],
    "lkvm": ["lkvm", "run", "--name", "test-vm", "--cpus", "1", "--mem", "384", "--network", "mode=none", "--console", "serial",
             "--kernel", VMLINUZ, "--initrd", INITRD, "--params", KERNEL],
    "alioth": ["alioth", "boot", "--cpu", "count=1", "--memory", "size=384M", "--kernel", VMLINUZ, "--initramfs", INITRD,
               "--cmdline", KERNEL],
    "crosvm": ["crosvm", "run", "--disable-sandbox", "--cpus", "1", "--mem", "384", "--initrd", INITRD, "--params", KERNEL,
               "--serial", "type=stdout,hardware=serial,num=1,console=true", VMLINUZ],
    "stratovirt": ["stratovirt", "-machine", "microvm", "-smp", "1", "-m", "384m", "-kernel", VMLINUZ, "-initrd", INITRD,
                   "-append", KERNEL, "-serial", "stdio", "-qmp", "unix:/run/vmcred/vms/test-vm/qmp,server,nowait"],
}

# The vsock devices of guests that use the channel. Debian's kernels do not find StratoVirt's.
VSOCK = {
    "cloud-hypervisor": ["--vsock", "cid=3,socket=/run/vmcred/vms/test-vm/vsock"],
    "qemu-system-x86_64": ["-device", "vhost-vsock-pci,guest-cid=3"],
    "firecracker": [],
    "lkvm": ["--vsock", "3"],
    "alioth": ["--vsock", "vhost,cid=3"],
    "crosvm": ["--vsock", "cid=3"],
}

# Hypervisors without OEM strings: their guests find the credentials in the initrd, and have Debian 13's kernel.
BY_INITRD = ("firecracker", "lkvm", "alioth", "crosvm", "stratovirt")
# Of these, those whose VM vmcred only starts and kills, with what their units need.
TTY = "StandardInput=tty-force\nTTYPath=/dev/tty9\nDeviceAllow=/dev/tty9 rw\n"
STARTED = {"lkvm": "", "crosvm": "", "alioth": TTY, "stratovirt": TTY}
FIRECRACKER = {
    "boot-source": {"kernel_image_path": f"{GUESTS['trixie']}/vmlinux", "initrd_path": f"{GUESTS['trixie']}/initrd-extra",
                    "boot_args": f"{KERNEL} reboot=k"},
    "machine-config": {"vcpu_count": 1, "mem_size_mib": 384}, "drives": [],
    "vsock": {"guest_cid": 3, "uds_path": "/run/vmcred/vms/test-vm/vsock"},
}
GENERATOR = "  channel:\n    machines: [example-host]\n    files: { big: {}, small: {} }\n    kind: { big: uuid, small: uuid }\n"
OTHER = "microvm@other-vm.service"
CHANNEL_SOCKETS = ("vmcred.socket", "vmcred-channel.socket", "vmcred-vsock.socket")
# Prints the value's digest, and the time after `vmcred set`.
SET = f"""{{ {{ cat /run/canary; head -c "$1" /dev/urandom | base64 -w 0; }} | tee /dev/fd/3 |
vmcred set --config {CONFIG} example-host channel/big >&2; }} 3>&1 | sha256sum | cut -c -64; date +%s.%N"""
# Before Base64. The larger one becomes almost 1 MiB, the most that systemd accepts.
SIZES = (225000, 786000)
# Where systemd before 262 finds them if the initrd is the guest's root file system.
LOADED = "[Service]\nLoadCredential=\n" + "".join(
    f"LoadCredential={name}:/.extra/system_credentials/HOST-{name.upper()}.cred\n" for name in SECRETS)


def once(function):
    """Calls the function once for the same arguments. If it raises, so does each further call."""
    @functools.cache
    def outcome(*arguments):
        try:
            return function(*arguments), None
        except Exception as error:  # pylint: disable=broad-except
            return None, error

    def wrapped(*arguments):
        result, error = outcome(*arguments)
        if error:
            raise error
        return result

    return wrapped


def guests_prepare(machine):
    """Adds drop-ins to the guests' initrds, and writes the configurations that name them."""
    directory = GUESTS["trixie"]

    def append(initrd, archive, new):
        machine.checked("sh", "-c", 'cat "$1" - >"$2"', "sh", f"{directory}/{initrd}", f"{directory}/{new}", stdin=archive)

    def configure(name, initrd):
        text = json.dumps(FIRECRACKER).replace("initrd-extra", initrd)
        machine.write(f"{directory}/{name}.json", text)

    channel = channel_guest.archive(WATCHER, canary.forms("big", CANARY))
    append("initrd", channel, "initrd-channel")
    if machine.hypervisors.keys() & BY_INITRD:
        with tempfile.TemporaryDirectory() as top:
            drop_in = Path(top, "etc/systemd/system/demo.service.d/credentials.conf")
            drop_in.parent.mkdir(parents=True)
            drop_in.write_text(LOADED)
            append("initrd", channel_guest.cpio(Path(top)), "initrd-extra")
        append("initrd-extra", channel, "initrd-extra-channel")
        configure("firecracker", "initrd-extra")
        configure("firecracker-channel", "initrd-extra-channel")


@once
def host():
    machine = Machine()
    machine.checked("systemctl", "is-system-running", "--wait")
    machine.activate()
    guests_prepare(machine)
    # The state after the first failure is compared.
    machine.drop_in("60-once", "[Service]\nRestart=no\n")
    machine.checked("modprobe", "vhost_vsock")
    machine.write("/run/canary", CANARY)
    for path, content in channel_guest.watch_files(WATCHER, patterns_of(machine)).items():
        machine.write(f"/{path}", content)
    machine.checked("chmod", "755", "/usr/lib/watch", "/usr/lib/watch-all")
    machine.files = files(machine)
    return machine


def files(machine):
    """Every file, directory and socket where a launch could leave one, and the sockets without a file."""
    found = machine.checked("find", *PLACES, "-printf", "%p %y\\n").out.splitlines()
    sockets = machine.checked("cut", "-d", " ", "-f", "8", "/proc/net/unix").out.splitlines()
    return {line for line in found + sockets if line and not NOT_OURS.match(line)}


def declare(program, suite="bookworm", arguments=(), channel=False):
    """Declares it as the VM's hypervisor, with the guest of that Debian release. With `channel`, another VM may request nothing but a
    secret of its own, though its guest is the same; returns the digest of the value."""
    if not program.startswith("qemu") and program not in host().hypervisors:
        raise Skip(f"{program} is not installed, and in no package registry")
    text = (EXAMPLE / "vmcred.yaml").read_text()
    if program in BY_INITRD:
        suite = "trixie"
        text = re.sub(r"    platformOEMStrings:.*?(?=\n    \w)", "", text, flags=re.DOTALL)
    command = json.dumps([*COMMANDS[program], *arguments]).replace(VM_DIRECTORY, GUESTS[suite])
    if program in STARTED:
        command = command.replace("/initrd", "/initrd-extra")
    text = text[:text.index("    command:")]
    if channel:
        command = re.sub("/(initrd(-extra)?)", r"/\1-channel", command).replace("firecracker.json", "firecracker-channel.json")
        generators, vm = text.split("vms:\n")
        vm += "    channelCredentials: { big: channel/big }\n"
        other = vm.replace("test-vm:", "other-vm:").replace("big", "small")
        text = f"{generators}{GENERATOR}vms:\n{other}    command: {command.replace('test-vm', 'other-vm').replace('cid=3', 'cid=4')}\n{vm}"
    host().write(CONFIG, text + f"    command: {command}\n")
    digest = None
    if channel:
        digest = host().checked("sh", "-c", SET, "sh", SIZES[0]).out.split()[0]
        host().checked("vmcred", "set", "--config", CONFIG, "example-host", "channel/small", stdin="small")
    # The unit's drop-in contains the VM's entry.
    host().activate()
    return digest


def processes():
    """The unit's processes: name → process id."""
    script = 'for pid in $(cat "/sys/fs/cgroup$1/cgroup.procs"); do echo "$pid $(cat /proc/$pid/comm)"; done'
    lines = host().run("sh", "-c", script, "sh", f"/system.slice/system-microvm.slice/{SERVICE}").out.splitlines()
    return {name: int(pid) for pid, name in (line.split(" ", 1) for line in lines)}


def started(program):
    """Starts the unit and waits until its hypervisor has created a VM. Returns the unit's processes."""
    declare(program)
    expect(host().start_vm(), 0)
    script = "for i in $(seq 1000); do ls -l /proc/[0-9]*/fd | grep -q anon_inode:kvm-vm && exit; sleep 0.3; done; exit 1"
    if host().run("sh", "-c", script).code != 0:
        raise AssertionError(f"{program} did not start a VM:\n{host().console()}")
    return processes()


def hypervisor_of(found, program):
    # The kernel cuts names after 15 characters.
    return found[program[:15]]


def patterns_of(machine):
    found = canary.forms("big", CANARY)
    for name in SECRETS:
        found |= canary.forms(name, machine.secret(name))
    return found


def patterns():
    return patterns_of(host())


def left():
    """New processes, files and sockets since before the first start."""
    names = host().run("sh", "-c", "cat /proc/[0-9]*/comm").out.splitlines()
    assert "systemd" in names, names
    ours = [name for name in names if name in ("vmcred", "vmcred-run", *(program[:15] for program in COMMANDS))]
    return sorted(processes()) + ours + sorted(files(host()) - host().files)


@once
def booted(program):
    """The unit after its guest proved its secrets and was stopped; `seen` has the records of the tests."""
    machine = host()
    seen = {"processes": started(program)}
    console = machine.wait_proofs()
    pid = hypervisor_of(seen["processes"], program)
    machine.write("/run/console", console)
    seen["inspect"] = machine.run("vmcred", "inspect", "--config", CONFIG, "test-vm", "--json", "--identity",
                                  "/var/lib/vmcred/identity", "--proof", "/run/console")
    machine.checked("rm", "/run/console")
    seen["descriptors"] = machine.run("sh", "-c", "ls -l /proc/$1/fd", "sh", pid).out
    seen["user"] = machine.checked("stat", "--format=%u", f"/proc/{pid}").out.strip()
    seen["unit user"] = machine.unit("UID")
    # A process whose files cannot be read has ended meanwhile.
    seen["view"] = machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ").out
    equal(machine.run("systemctl", "stop", SERVICE), harness.Result(0, "", ""), "systemctl stop")
    seen["result"] = [machine.unit(name) for name in ("Result", "ExecMainStatus", "ActiveState")]
    seen["left"] = left()
    seen["console"] = machine.console()
    return seen


def test_host_has_its_own_kernel_and_kvm(_directory):
    """the host runs systemd on its own kernel, and only root and the group kvm may use its KVM"""
    equal(host().checked("cat", "/proc/1/comm").out, "systemd\n", "process 1")
    equal(host().checked("stat", "--format=%U %G %a", "/dev/kvm").out, "root kvm 660\n", "owner and mode of /dev/kvm")


def define_arrival(program, name):
    @test(f"with {program} the guest's service receives all of {name}")
    def test_service_receives_credential(_directory):
        console = booted(program)["console"]
        arrived = proofs(console)
        if name not in arrived:
            raise AssertionError(f"no proof of {name} on the guest's console:\n{console}")
        salt, digest = arrived[name]
        equal(digest, digest_of(salt, host().secret(name)), f"salted digest of {name}")


def define_boot(program):
    @test(f"{program} runs the guest with KVM, as its own user")
    def test_own_user(_directory):
        seen = booted(program)
        if "anon_inode:kvm-vm" not in seen["descriptors"]:
            raise AssertionError(f"no VM of KVM among its descriptors:\n{seen['descriptors']}")
        equal(seen["user"], seen["unit user"], "its user")
        # systemd.exec(5), DynamicUser=.
        assert 61184 <= int(seen["user"]) <= 65519, seen["user"]

    for name in SECRETS:
        define_arrival(program, name)

    @test(f"with {program} vmcred inspect reports all eight stages as seen while the VM runs")
    def test_inspect(_directory):
        result = expect(booted(program)["inspect"], 0)
        states = [(stage["stage"], stage["state"]) for stage in json.loads(result.out)]
        equal(states, [(stage, "seen") for stage in STAGES], f"states in\n{result.out}\n")

    @test(f"while {program} runs, no command line or environment in the host contains a secret")
    def test_no_secret_in_command_lines(_directory):
        view = booted(program)["view"].encode("utf-8", "surrogateescape")
        for word in (program, "systemd-journald", "LISTEN_PID="):
            if word.encode() not in view:
                raise AssertionError(f"{word} was not seen at all")
        equal(canary.search(patterns(), view, "the processes"), [], "secrets found")

    if program in BY_INITRD:
        return

    @test(f"with {program} dmidecode in the guest shows the static OEM strings in their order")
    def test_dmidecode(_directory):
        shown = re.findall(r"^vmcred-proof: oem-string (.*?)\s*$", booted(program)["console"], re.MULTILINE)
        equal(shown, ["ENVIRONMENT=test", "CLUSTER=example-host"], "static OEM strings")


def define_deaths(program):
    @test(f"when {program} is killed, the unit fails with 128 and the signal's number and leaves nothing")
    def test_killed_hypervisor(_directory):
        found = started(program)
        expect(host().run("kill", "-KILL", hypervisor_of(found, program)), 0, "", "")
        ended("exit-code", "1", "137")
        assert f"{program} was killed by SIGKILL" in host().console(), host().console()

    @test(f"when vmcred is killed, {program} is killed too and the unit fails")
    def test_killed_vmcred(_directory):
        found = started(program)
        # Otherwise systemd would kill the rest of the unit.
        host().drop_in("60-alone", "[Service]\nKillMode=none\n")
        try:
            expect(host().run("kill", "-KILL", found["vmcred-run"]), 0, "", "")
            host().wait_vm()
        finally:
            host().drop_in("60-alone", None)
        ended("signal", "2", "9")


def ended(*how):
    """Waits until the unit has ended. Compares its result and the leftovers."""
    host().wait_vm()
    equal(tuple(host().unit(name) for name in ("Result", "ExecMainCode", "ExecMainStatus")), how,
          "Result=, ExecMainCode= and ExecMainStatus= of the unit")
    equal(left(), [], "what is left")


def define_stop(program):
    @test(f"stopping the unit shuts the guest of {program} down, service by service, and the unit succeeds")
    def test_stop(_directory):
        seen = booted(program)
        lines = [line.strip() for line in seen["console"].splitlines()]
        # Firecracker has no power button: its guest restarts, which ends it.
        last = "reboot: Restarting system" if program in BY_INITRD else "reboot: Power down"
        if "demo.service: stopped" not in lines or not any(last in line for line in lines):
            raise AssertionError(f"the guest was killed:\n{seen['console']}")
        equal(seen["result"], ["success", "0", "inactive"], "Result=, ExecMainStatus=, ActiveState=")
        equal(seen["left"], [], "what is left")


# Less than the agent waits for a command, with TimeoutStopSec=.
READY = "[Service]\nTimeoutStartSec=360\nExecStart=\nExecStart=/usr/bin/vmcred-run run -vv --require-delivery %s %%i\n"


def wait_console(condition):
    """Waits for what the guest prints. Returns the console."""
    machine = host()
    machine._wait(lambda: condition(machine.console().replace("\r", "")) or not machine.is_vm_active())  # pylint: disable=protected-access
    console = machine.console().replace("\r", "")
    assert condition(console), console
    return console


def rotate(program, size, *commands):
    """Replaces the value, then runs the commands. Returns the digest, when the guest's service has it, and the commands' results."""
    machine = host()
    digest, time = machine.checked("sh", "-c", SET, "sh", size).out.split()
    results = [machine.run(*command) for command in commands]
    wait_console(lambda console: digest in console)
    log = machine.checked("journalctl", f"--unit={SERVICE}", "--output=short-unix", f"--grep={digest}", "--no-pager").out
    seconds = float(log.split()[0]) - float(time)
    print(f"# with {program} the guest's service has a new value of {size * 4 // 3000} KB {seconds:.1f} s after vmcred set", flush=True)
    return digest, results


@once
def ready(program):
    """The unit after its guest reported that it is ready, used the channel, and was stopped; `seen` has the records of the tests."""
    machine = host()
    seen = {"digests": [declare(program, "trixie", VSOCK[program], True)]}
    machine.drop_in("60-ready", READY % "--notify")
    try:
        machine.checked("systemctl", "start", *CHANNEL_SOCKETS)
        if program == "cloud-hypervisor":
            machine.checked("systemctl", "start", "--no-block", OTHER)
        seen["start"] = machine.start_vm()
        seen["state"] = machine.unit("ActiveState")
        channel_used(program, seen)
        seen["stop"] = machine.run("systemctl", "stop", SERVICE)
        seen["console"] = machine.console().replace("\r", "")
    finally:
        machine.run("systemctl", "kill", "--signal=KILL", SERVICE, OTHER, "watch.service")
        machine.run("systemctl", "stop", OTHER, *CHANNEL_SOCKETS, "vmcred.service")
        machine.drop_in("60-ready", None)
    seen["left"] = left()
    return seen


def channel_used(program, seen):
    machine = host()
    wait_console(lambda console: seen["digests"][0] in console)
    if program == "cloud-hypervisor":
        machine._wait(refusals)  # pylint: disable=protected-access
        seen["refusals"] = refusals()
        machine.checked("systemctl", "kill", "--signal=KILL", OTHER)
        machine.checked("systemctl", "stop", OTHER)
    machine.checked("systemd-run", "--unit=watch", "--collect", "/usr/lib/watch-all")
    seen["process"] = [machine.unit("MainPID")]
    digest, (seen["activate"],) = rotate(program, SIZES[0], ("vmcred", "activate", "--config", CONFIG, "--restart"))
    seen["digests"].append(digest)
    digest, seen["restart"] = rotate(program, SIZES[1], ("systemctl", "kill", "--signal=KILL", "vmcred.service"),
                                     ("systemctl", "restart", "vmcred-vsock.socket" if program.startswith("qemu") else "vmcred-channel.socket"))
    seen["digests"].append(digest)
    seen["process"].append(machine.unit("MainPID"))
    seen["starts"] = channel_guest.starts(machine.console())
    # Reports that started after the last value arrived.
    count = len(channel_guest.REPORT.findall(machine.console().replace("\r", "")))
    seen["guest watch"] = wait_console(lambda console: len(channel_guest.REPORT.findall(console)) > count + 1)
    seen["host watch"] = machine.checked("journalctl", "--unit=watch", "--output=cat", "--no-pager").out


def refusals():
    """The entries of the journal about requests of the other VM's guest."""
    log = host().checked("journalctl", "--unit=vmcred.service", "--output=cat", "--no-pager").out
    return [line for line in log.splitlines() if OTHER in line and "big" in line]


def define_readiness(program):
    @test(f"with {program} --notify --require-delivery makes the unit active when its guest's systemd 257 is ready, and its credentials are whole")
    def test_guest_readiness(_directory):
        seen = ready(program)
        expect(seen["start"], 0, "", "")
        assert "delivery confirmed by the guest of microvm@test-vm.service" in seen["console"], seen["console"]
        equal(seen["state"], "active")
        messages = re.findall(r"message from the guest: (.*)", seen["console"])
        heard = [line for message in messages for line in message.split("\\u000a")]
        # Cloud Hypervisor v53 often loses the first one.
        assert {"READY=1", "X_SYSTEMD_UNIT_ACTIVE=multi-user.target"} & set(heard), heard
        expect(seen["stop"], 0, "", "")
        equal(seen["left"], [], "what is left")


def define_channel(program):
    @test(f"with {program} the guest gets its secrets at boot and over the channel, and new values of up to 1 MiB without a reboot")
    def test_values(_directory):
        seen = ready(program)
        equal(sorted(proofs(seen["console"])), sorted(SECRETS), "secrets at boot")
        expect(seen["activate"], 0)
        assert "microvm@" not in seen["activate"].out, seen["activate"]
        equal(len(set(seen["process"])), 1, "processes of the VM")
        equal(list(dict.fromkeys(digest for _, _, digest in seen["starts"])), seen["digests"], "values of the service")
        pids, boots, _ = zip(*seen["starts"])
        equal((len(set(pids)), len(set(boots))), (len(pids), 1), "processes of the service, and boots")

    @test(f"with {program} the guest connects again after vmcred serve is killed and its socket restarted")
    def test_restart(_directory):
        for result in ready(program)["restart"]:
            expect(result, 0, "", "")

    @test(f"with {program} no process and no written file of host and guest shows a value of the channel")
    def test_nothing_visible(_directory):
        seen = ready(program)
        for place in ("host watch", "guest watch"):
            assert channel_guest.REPORT.findall(seen[place]), (place, seen[place])
            equal(channel_guest.FOUND.findall(seen[place]), [], place)

    if program == "cloud-hypervisor":
        @test("a second VM that requests the first one's credential is refused, and the journal names both")
        def test_second_vm(_directory):
            equal({line.split()[0] for line in ready(program)["refusals"]}, {"refused"})


def define_delivery(program):
    has_channel = program in VSOCK

    @test(f"with {program} the guest gets its secrets at boot" + (", proves it, and gets a value over the channel" if has_channel else ""))
    def test_delivery(_directory):
        machine = host()
        digest = declare(program, "trixie", VSOCK.get(program, ()), has_channel)
        machine.drop_in("60-ready", (READY % "" if has_channel else "[Service]\n") + STARTED[program])
        machine.checked("systemctl", "start", *CHANNEL_SOCKETS)
        try:
            expect(machine.start_vm(), 0)
            console = wait_console(lambda console: (digest or "") in console and "vmcred-proof: end" in console)
            found = proofs(console)
            equal(sorted(found), sorted(SECRETS))
            for name, (salt, proof) in found.items():
                equal(proof, digest_of(salt, machine.secret(name)), f"digest of {name}")
            machine.checked("systemctl", "stop", SERVICE)
        finally:
            machine.run("systemctl", "stop", SERVICE, *CHANNEL_SOCKETS, "vmcred.service")
            machine.drop_in("60-ready", None)
        equal(left(), [], "what is left")


SUPERVISED = [name for name in COMMANDS if name not in STARTED]
for hypervisor in SUPERVISED:
    define_boot(hypervisor)
for hypervisor in SUPERVISED:
    define_readiness(hypervisor)
    define_channel(hypervisor)
for hypervisor in SUPERVISED:
    define_stop(hypervisor)
    define_deaths(hypervisor)
for hypervisor in STARTED:
    define_delivery(hypervisor)


def test_killed_unit_leaves_nothing(_directory):
    """a killed unit has failed and leaves nothing"""
    started("qemu-system-x86_64")
    expect(host().run("systemctl", "kill", "--signal=KILL", SERVICE), 0, "", "")
    ended("signal", "2", "9")


CORES = "/var/cores"
LEAK_PLACE = "/usr/lib/leak.so"


def crashed(signal, leak=None, name="vmcred-run"):
    """Crashes vmcred or the hypervisor, and another process, in units that allow core files. Returns the core files."""
    machine = host()
    machine.write("/usr/lib/core-handler", f"#!/bin/sh\nexec cat >{CORES}/$1\n")
    machine.checked("sh", "-c", f"chmod 755 /usr/lib/core-handler && rm -rf {CORES} && mkdir {CORES}")
    # A core handler, as systemd-coredump is: it ignores the limits of processes.
    machine.write("/proc/sys/kernel/core_pattern", "|/usr/lib/core-handler %e")
    environment = f"Environment=LD_PRELOAD={LEAK_PLACE} LEAK={leak}\n" if leak else ""
    machine.drop_in("60-cores", f"[Service]\nLimitCORE=infinity\n{environment}")
    try:
        machine.run("timeout", f"--signal={signal}", "0.5", "sleep", "60")
        found = started("qemu-system-x86_64")
        machine.checked("kill", f"-{signal}", found[name])
        machine.wait_vm()
        return machine.unit("Result"), machine.checked("ls", CORES).out.split()
    finally:
        machine.drop_in("60-cores", None)
        machine.write("/proc/sys/kernel/core_pattern", "core")


def test_crash_gives_no_core_to_handler(_directory):
    """a crash of vmcred gives nothing to the kernel's core handler, although its unit allows core files"""
    equal(crashed("SEGV"), ("signal", ["sleep"]), "Result= of the unit, and core files")


def test_crash_of_the_hypervisor_gives_no_core_to_handler(_directory):
    """a crash of the hypervisor gives the guest's memory to no core handler, although its unit allows core files"""
    equal(crashed("SEGV", name="qemu-system-x86")[1], ["sleep"], "core files")


def test_dumpable_vmcred_leaves_a_core_file(_directory):
    """a vmcred that is made dumpable on purpose leaves a core file to the handler"""
    host().write(LEAK_PLACE, Path(LEAK).read_bytes())
    equal(crashed("ABRT", "core"), ("core-dump", ["sleep", "vmcred-run"]), "Result= of the unit, and core files")


# Replaces the unit, so no other test of the VM may follow.
@test("Cloud Hypervisor started by the units and the runner of the NixOS modules gets each secret and the static strings")
def test_nixos_modules(_directory):
    machine = host()
    declare("cloud-hypervisor")
    install(machine, "seed")
    expect(machine.start_vm(), 0)
    console = machine.wait_proofs()
    found = proofs(console)
    equal(sorted(found), sorted(SECRETS))
    for name, (salt, digest) in found.items():
        equal(digest, digest_of(salt, machine.secret(name)), f"digest of {name}")
    equal(re.findall(r"^vmcred-proof: oem-string (.*?)\s*$", console, re.MULTILINE), ["ENVIRONMENT=test", "CLUSTER=example-host"])
    equal(machine.unit("User"), "microvm")
    machine.checked("systemctl", "stop", SERVICE)


# The last test: registered after those for each hypervisor.
@test("no field of the host's journal contains a secret after all stops and kills")
def test_journal_holds_no_secret(_directory):
    booted("qemu-system-x86_64")
    entries = journal(host())
    if SERVICE.encode() not in entries or b"vmcred-proof: end" not in entries:
        raise AssertionError("the journal has no entry of the unit")
    equal(canary.search(patterns(), entries, "the journal"), [], "secrets found")


def main():
    """A new process with a new host goes on with the test in which the emulation hung."""
    if "NESTED_DONE" in os.environ:
        harness.main(with_host_services=True, done=int(os.environ["NESTED_DONE"]))
    done, is_failed = 0, False
    for _ in range(HOSTS_MAX):
        with subprocess.Popen([sys.executable, *sys.argv], env=os.environ | {"NESTED_DONE": str(done)}, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                print(line, end="", flush=True)
                done += line.startswith(("ok ", "not ok "))
                is_failed |= line.startswith("not ok ")
        if process.returncode != EXIT_HUNG:
            sys.exit(process.returncode or is_failed)
    print(f"not ok {done + 1} - {harness.collected()[done][0]}\n# {HOSTS_MAX} emulated hosts hung")
    sys.exit(1)


main()
