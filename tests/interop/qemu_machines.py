#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""For every machine type of every installed QEMU, what vmcred passes arrives, or the launch fails. QEMU itself is asked.

QEMU provides SMBIOS tables as a fw_cfg file, from which the firmware takes them. So a machine that is created but does
not run shows what its guest would get: the monitor lists fw_cfg's registers, and the qtest protocol reads them.
"""
import glob
import json
import os
import re
import socket
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch

from harness import CLEAN_ENVIRONMENT, equal, main, need, test, write_program
from vm import Vm

# Those that tools/install-deps installs. Others are tested too where they are installed.
PROGRAMS = ("qemu-system-x86_64", "qemu-system-i386", "qemu-system-aarch64", "qemu-system-arm", "qemu-system-riscv64")
# Options that change the transport of some machine types.
VARIANTS = {"acpi=off": "microvm*", "-bios": "virt*"}
DIRECTORY = 0x19
NAME = "opt/io.systemd.credentials/HOST-API-KEY"
# An ACPI device, or a node of the device tree, from which Linux finds fw_cfg.
DEVICES = (b"QEMU0002", b"qemu,fw-cfg-mmio")
VALUE = "canary-7f0c1d3a5b"


class Stopped:
    """A machine that does not run. `exited`: QEMU refused it."""

    def __init__(self, program, words):
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [program, *words, "-nodefaults", "-display", "none", "-S", "-qtest", "stdio", "-qtest-log", "/dev/null",
                 "-chardev", f"socket,id=monitor,fd={theirs.fileno()}", "-mon", "chardev=monitor,mode=control"],
                env=CLEAN_ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                pass_fds=[theirs.fileno()])  # fmt: skip
        self.monitor = ours.makefile("rw")
        self.exited = False
        try:
            self.monitor.readline()
            self.execute("qmp_capabilities")
            self.regions = self.execute("human-monitor-command", **{"command-line": "info mtree"}).replace("\r", "")
        except (OSError, ValueError):
            self.exited = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def execute(self, command, **arguments):
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.monitor.flush()
        while True:
            answer = json.loads(self.monitor.readline())
            if "return" in answer:
                return answer["return"]

    def qtest(self, *commands):
        self.process.stdin.write("".join(f"{command}\n" for command in commands))
        self.process.stdin.flush()
        return [self.process.stdout.readline().split()[-1] for _ in commands]

    def read(self, item, size):
        """Reads an item of fw_cfg, byte by byte, through the registers of its machine."""
        at = {name: where for where, name in re.findall(r"^ *([0-9a-f]{16})-.*: (fwcfg\S*)$", self.regions, re.M)}
        if "fwcfg" in at:
            select, get = f"outw 0x{at['fwcfg']} 0x{item:x}", f"inb 0x{int(at['fwcfg'], 16) + 1:x}"
        else:
            swapped = int.from_bytes(struct.pack("<H", item), "big")
            select, get = f"writew 0x{at['fwcfg.ctl']} 0x{swapped:x}", f"readb 0x{at['fwcfg.data']}"
        self.qtest(select)
        data = b""
        while len(data) < size:
            data += bytes(int(byte, 16) for byte in self.qtest(*[get] * min(size - len(data), 1024)))
        return data

    def files(self):
        """The files of fw_cfg: name → (item, size)."""
        if not re.search(": fwcfg", self.regions):
            return {}
        count, = struct.unpack(">I", self.read(DIRECTORY, 4))
        entries = struct.iter_unpack(">IHH56s", self.read(DIRECTORY, 4 + 64 * count)[4:])
        return {name.rstrip(b"\0").decode(): (item, size) for size, item, _, name in entries}


def arrives_by_smbios(program, machine):
    """Whether the table for the firmware contains an OEM string; None: QEMU refuses the option."""
    with Stopped(program, ["-M", machine, "-smbios", f"type=11,value={VALUE}"]) as vm:
        if vm.exited:
            return None
        table = vm.files().get("etc/smbios/smbios-tables")
        return table is not None and VALUE.encode() in vm.read(*table)


def arrives_by_fw_cfg(program, machine, tree):
    """Whether the file is in fw_cfg and a device tells the guest's kernel where that is; None: QEMU refuses the option."""
    with Stopped(program, ["-M", machine, "-fw_cfg", f"name={NAME},string={VALUE}"]) as vm:
        if vm.exited:
            return None
        files = vm.files()
        described = vm.read(*files["etc/acpi/tables"]) if "etc/acpi/tables" in files else b""
    # QEMU ends when it has written the tree; a machine without one starts.
    with Stopped(program, ["-M", f"{machine},dumpdtb={tree}"]):
        pass
    described += tree.read_bytes() if tree.exists() else b""
    return NAME in files and any(device in described for device in DEVICES)


def machine_types(program):
    lines = subprocess.run([program, "-M", "help"], check=True, capture_output=True, text=True).stdout.splitlines()[1:]
    return [line.split()[0] for line in lines]


def transport_of(vm, name, machine, option):
    """What vmcred passes to the machine: "-smbios", "-fw_cfg", or None if it refuses the launch."""
    result = vm.run(name, "-M", machine, *([option, "/dev/null"] if option else []))
    found = set(re.findall(r" (-smbios|-fw_cfg) ", result.out))
    assert (result.code, len(found)) in ((0, 1), (2, 0)), f"{machine}: {result}"
    return found.pop() if found else None


def is_right(vm, program, machine, option=""):
    """Whether a credential cannot be lost silently, and the machine is not refused although SMBIOS works."""
    transport = transport_of(vm, os.path.basename(program), machine, option)
    if transport == "-fw_cfg":
        return arrives_by_fw_cfg(program, machine, vm.directory / f"{machine}.tree") is not False
    if transport == "-smbios":
        return arrives_by_smbios(program, machine) is not False
    return not arrives_by_smbios(program, machine)


def define(name):
    @test(f"{name} loses no credential silently, whatever its machine type")
    def test_machine_types(directory):
        program = need(name)
        vm = Vm(directory / "vm", "vms: {test-vm: {credentialFiles: {HOST-API-KEY: host-api-key}}}\n")
        write_program(vm.bin / name, "#!/bin/sh\necho \"$@\"\n")
        cases = [(machine, "") for machine in machine_types(program)]
        for option, pattern in VARIANTS.items():
            cases += [(f"{machine},{option}", "") if "=" in option else (machine, option)
                      for machine in machine_types(program) if fnmatch(machine, pattern)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            right = list(pool.map(lambda case: is_right(vm, program, *case), cases))
        equal([case for case, good in zip(cases, right) if not good], [], "machine types with a wrong transport")


for known in PROGRAMS:
    define(known)
for other in sorted(map(os.path.basename, glob.glob("/usr/bin/qemu-system-*"))):
    # Debian's variants for one machine type have the options of the whole program.
    if other not in PROGRAMS and not other.endswith("-microvm"):
        define(other)

main()
