# SPDX-License-Identifier: Apache-2.0
"""A guest of QEMU's machine type microvm, which has no SMBIOS table, reads credentials from fw_cfg.

The guest is a ROM of a few instructions that copies fw_cfg's directory and files to the debug console.
"""
import struct

from harness import equal, main, need
from vm import Vm, stop, wait_for

DIRECTORY, FILE_FIRST, FILE_COUNT = 0x19, 0x20, 32
DIRECTORY_SIZE, FILE_SIZE = 4096, 1024


def rom(path):
    """Selects an item at port 0x510, reads it byte by byte at 0x511, writes each byte to 0xe9."""
    copy = b"\xba\x11\x05" b"\xec" b"\xe6\xe9" b"\xe2\xf8"  # again: mov dx,0x511; in al,dx; out 0xe9,al; loop again
    code = b"\xba\x10\x05" b"\xb8" + struct.pack("<H", DIRECTORY) + b"\xef"  # mov dx,0x510; mov ax,N; out dx,ax
    code += b"\xb9" + struct.pack("<H", DIRECTORY_SIZE) + copy  # mov cx,SIZE
    code += b"\xbb" + struct.pack("<H", FILE_FIRST)  # mov bx,N
    item = b"\xba\x10\x05" b"\x89\xd8" b"\xef" b"\xb9" + struct.pack("<H", FILE_SIZE) + copy  # mov ax,bx
    item += b"\x43" b"\x83\xfb" + bytes([FILE_FIRST + FILE_COUNT])  # inc bx; cmp bx,END
    code += item + b"\x75" + struct.pack("b", -len(item) - 2)  # jne item
    code += b"\xf4\xeb\xfd"  # hlt
    # The processor starts 16 bytes below the end.
    path.write_bytes(code.ljust(0xfff0, b"\0") + b"\xe9\x0d\x00".ljust(16, b"\0"))
    return path


def files_read(data):
    count, = struct.unpack_from(">I", data, 0)
    files = {}
    for number in range(count):
        size, select, _, name = struct.unpack_from(">IHH56s", data, 4 + 64 * number)
        start = DIRECTORY_SIZE + (select - FILE_FIRST) * FILE_SIZE
        files[name.rstrip(b"\0").decode()] = data[start:start + size]
    return files


def test_every_credential_reaches_a_microvm_guest(directory):
    """every credential reaches a guest of the machine type microvm unchanged, as a fw_cfg file"""
    need("qemu-system-x86_64")
    vm = Vm(directory, "vms: {test-vm: {credentialFiles: {HOST-API-KEY: host-api-key, HOST-TLS: host-tls, E: empty}}}\n")
    (vm.credentials / "empty").write_bytes(b"")
    console = directory / "console"
    process = vm.start("qemu-system-x86_64", "-M", "microvm", "-accel", "tcg", "-nodefaults", "-display", "none",
                       "-bios", rom(directory / "rom"), "-chardev", f"file,id=c,path={console}",
                       "-device", "isa-debugcon,iobase=0xe9,chardev=c")
    try:
        size = DIRECTORY_SIZE + FILE_COUNT * FILE_SIZE
        wait_for("the guest", lambda: console.exists() and console.stat().st_size == size)
        files = files_read(console.read_bytes())
    finally:
        stop(process)
    equal({name: content for name, content in files.items() if name.startswith("opt/")},
          {"opt/io.systemd.credentials/HOST-API-KEY": vm.api_key.encode(),
           "opt/io.systemd.credentials/HOST-TLS": vm.tls.encode(),
           "opt/io.systemd.credentials/E": b""})


def test_files_of_the_command_line_leave_room(directory):
    """QEMU starts with credentials as fw_cfg files and with many such files of its command line"""
    need("qemu-system-x86_64")
    names = "ABCD"
    files = ", ".join(f"{name}: host-api-key" for name in names)
    vm = Vm(directory, f"vms: {{test-vm: {{credentialFiles: {{{files}}}}}}}\n")
    words = [word for number in range(14) for word in ("-fw_cfg", f"name=opt/test/{number},string=x")]
    process = vm.start("qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-nodefaults", "-display", "none", "-S", *words,
                       options=("--transport=fw_cfg", "--stop-timeout=0", "-v"))
    wait_for("QEMU", lambda: "the VM is booted" in vm.errors() or process.poll() is not None)
    assert process.poll() is None, vm.errors()
    stop(process)


main()
