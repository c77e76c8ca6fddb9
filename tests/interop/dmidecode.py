# SPDX-License-Identifier: Apache-2.0
"""The real dmidecode reads the table that QEMU built from the strings of `vmcred run`."""
import re
import struct
import time

import harness
from harness import equal, expect, need
from vm import Qmp, Vm, stop, wait_for

# Type 127, its length, its handle, and a set of no strings (DSP0134, 7.45).
END_OF_TABLE = re.compile(rb"\x7f\x04..\0\0\Z", re.DOTALL)


def shown(string):
    """A string as dmidecode prints it: a dot replaces each byte that is not ASCII."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in string.encode())


def dmidecode_strings(dump):
    result = expect(harness.run(need("dmidecode"), "--from-dump", dump, "--type", "11"), 0, None, "")
    assert "bad" not in result.out and "Wrong" not in result.out, result.out
    return re.findall(r"^\tString \d+: (.*)$", result.out, re.MULTILINE)


def dump_of_memory(memory, path):
    """Writes the table of the 32-bit entry point (DSP0134, 5.2.1) as dmidecode dumps it; returns its bytes."""
    at = memory.find(b"_SM_", 0xf0000)
    if at < 0:
        return None
    head = bytearray(memory[at:at + 31])
    size, address = struct.unpack_from("<HI", head, 0x16)
    table = memory[address:address + size]
    struct.pack_into("<I", head, 0x18, 32)
    # Both checksums: of the part for the table, then of the whole.
    head[0x15] = head[4] = 0
    head[0x15] = -sum(head[0x10:]) & 0xff
    head[4] = -sum(head) & 0xff
    path.write_bytes(bytes(head) + b"\0" + table)
    return table


def qemu_table(vm, *words):
    """The SMBIOS table that the firmware has written to a guest's memory."""
    need("qemu-system-x86_64")
    process = vm.start("qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-serial", "none", "-m", "64",
                       "-nodefaults", "-qmp", f"unix:{vm.directory}/qmp,server=on,wait=off", *words)
    try:
        monitor = Qmp(vm.directory / "qmp")
        image, dump = vm.directory / "memory", vm.directory / "dump"

        def written():
            time.sleep(0.5)
            # Stopped, so that the memory is consistent.
            monitor("stop")
            monitor("pmemsave", val=0, size=64 << 20, filename=str(image))
            monitor("cont")
            table = dump_of_memory(image.read_bytes(), dump)
            # The firmware may not have finished: it writes the structure that ends the table last.
            return table if table and b"CLUSTER" in table and END_OF_TABLE.search(table) else None

        return wait_for("the SMBIOS table in the guest's memory", written, 120), dump
    finally:
        stop(process)


def test_strings_reach_a_qemu_guest_in_order(directory):
    """every string reaches a QEMU guest's table unchanged, in the order arguments, static, runtime"""
    vm = Vm(directory)
    table, dump = qemu_table(vm, "-smbios", "type=11,value=ARG=1,,2")
    expected = ["ARG=1,2"] + vm.oem_strings
    equal(dmidecode_strings(dump), [shown(string) for string in expected])
    assert b"\0".join(string.encode() for string in expected) + b"\0\0" in table


def test_largest_table_reaches_a_qemu_guest(directory):
    """a table of the largest allowed size reaches a QEMU guest unchanged"""
    vm = Vm(directory)
    # 61,439 bytes with all four strings.
    (vm.credentials / "host-api-key").write_text("y" * (61439 - vm.table_size + len(vm.api_key.encode())))
    table, dump = qemu_table(vm)
    vm.api_key = (vm.credentials / "host-api-key").read_text()
    equal(vm.table_size, 61439)
    equal(dmidecode_strings(dump), [shown(string) for string in vm.oem_strings])
    assert len(table) < 65536


harness.main()
