# SPDX-License-Identifier: Apache-2.0
"""Guests of a few instructions that print `running` on the serial port, and then halt or answer keys: a VM that boots in
milliseconds."""
import struct
import subprocess

SAYS = b"running\n"
SERIAL_PORT = 0x3f8
HALT = b"\xfa\xf4\xeb\xfd"  # cli; again: hlt; jmp again
# Answers each byte with (byte | 0x40) + 1 (`b` for `a`, `D` for Ctrl-C), which is not what an echo would be.
# again: mov dx, LINE_STATUS; in al, dx; test al, 1; jz again; mov dx, PORT; in al, dx; or al, 0x40; inc al; out dx, al;
# jmp again
ANSWER = b"\xba\xfd\x03\xec\xa8\x01\x74\xf8\xba\xf8\x03\xec\x0c\x40\xfe\xc0\xee\xeb\xed"


# Prints its initrd: mov esi, [ebx + 16] (the list of modules); mov ecx, [esi + 8] (the first one's size); mov esi, [esi];
# mov dx, PORT; again: lodsb; out dx, al; loop again. The start info of PVH is at ebx: xen/include/public/arch-x86/hvm/start_info.h.
PRINT_INITRD = (b"\x8b\x73\x10" b"\x8b\x4e\x08" b"\x8b\x36" b"\x66\xba" + struct.pack("<H", SERIAL_PORT) +
                b"\xac" b"\xee" b"\xe2\xfc")


def _say(operand_size, then=HALT):
    code = operand_size + b"\xba" + struct.pack("<H", SERIAL_PORT)  # mov dx, PORT
    return code + b"".join(b"\xb0" + bytes([byte]) + b"\xee" for byte in SAYS) + then  # mov al, BYTE; out dx, al


def rom(path, then=HALT):
    """A firmware for QEMU (-bios): the processor starts in 16-bit mode, 16 bytes below its end."""
    path.write_bytes(_say(b"", then).ljust(0xfff0, b"\0") + b"\xe9\x0d\x00".ljust(16, b"\0"))
    return path


def kernel(path, then=HALT):
    """A kernel for Cloud Hypervisor: an ELF file with the note of the PVH entry point, where 32-bit mode starts."""
    code, address = _say(b"\x66", then), 0x100000
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", address)  # XEN_ELFNOTE_PHYS32_ENTRY
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, address, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    loaded = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, address, address, len(code), len(code), 0x1000)
    noted = struct.pack("<IIQQQQQQ", 4, 4, 176, 0, 0, len(note), len(note), 4)
    path.write_bytes((header + loaded + noted + note).ljust(0x1000, b"\0") + code)
    return path


# A boot sector with the kernel's boot protocol (Documentation/arch/x86/boot.rst), and code that prints the initrd. The loader
# puts its address and size at 0x218 and 0x21c.
LOADED = 0x10000
BZIMAGE = f"""
    .code16
    .org 0x1f1
    .byte 1
    .org 0x1fe
    .word 0xaa55
    .byte 0xeb, start - . - 1
    .ascii "HdrS"
    .word 0x206
    .org 0x22c
    .long 0x7fffffff
    .org 0x238
    .long 255
    .org 0x280
start:
    cli
    mov %cs, %ax
    mov %ax, %ds
    mov $0x{SERIAL_PORT:x}, %dx
    {"; ".join(f"mov ${byte}, %al; out %al, %dx" for byte in SAYS)}
    movl 0x218, %esi
    movl 0x21c, %ecx
    lgdt limit
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $16, $0x{LOADED:x} + protected
    .code32
protected:
    mov $8, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
again:
    lodsb
    out %al, %dx
    loop again
halt:
    hlt
    jmp halt
    .align 8
table:
    .quad 0, 0x00cf92000000ffff, 0x00cf9a000000ffff
limit:
    .word 23
    .long 0x{LOADED:x} + table
    .org 0x2000
"""


def bzimage(path):
    """A kernel for kvmtool that prints its initrd."""
    subprocess.run(["as", "-o", f"{path}.o", "-"], input=BZIMAGE.encode(), check=True)
    subprocess.run(["ld", "--entry", "0", "--oformat", "binary", "-Ttext", "0", "-o", path, f"{path}.o"], check=True)
    return path
