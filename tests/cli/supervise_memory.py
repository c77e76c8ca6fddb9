# SPDX-License-Identifier: Apache-2.0
"""vmcred's memory while a VM runs: its size, and no credential in it."""
import re

from harness import main, need, need_root, test
from vm import CLOUD_HYPERVISOR, DECLARATION, Vm, no_canary, wait_for

RESIDENT_MAX = 3 * 1024  # KiB

# Other VMs, as a host's declaration has them.
MANY = DECLARATION + "".join(
    f"  vm-{number}:\n    credentialFiles: {{A: a, B: b}}\n    command: [cloud-hypervisor, --kernel, /vmlinuz, --cmdline, "
    f"console=ttyS0 root=/dev/vda, --disk, path=/disk-{number}]\n" for number in range(1000))

HYPERVISORS = {
    "Cloud Hypervisor": (CLOUD_HYPERVISOR, ("-v",)),
    "QEMU": (("qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-serial", "none", "-S", "-nodefaults"),
             ("-v", "--supervise")),
}


def booted(vm, name):
    words, options = HYPERVISORS[name]
    if name == "QEMU":
        need(words[0])
    process = vm.start(*words, options=options, stand_in={} if name != "QEMU" else None)
    wait_for(name, lambda: "the VM is booted" in vm.errors())
    # The process sleeps after its last step.
    wait_for("sleep", lambda: "State:\tS" in status(process.pid))
    return process


def status(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as text:
        return text.read()


def memory(pid):
    """Everything that can be read of a process's memory."""
    found = bytearray()
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            start, end = (int(word, 16) for word in line.split()[0].split("-"))
            try:
                mem.seek(start)
                found += mem.read(end - start)
            except (OSError, OverflowError, ValueError):
                assert "[v" in line or " ---p " in line, line  # the kernel's own, and guard pages
    return bytes(found)


def test_search_finds_credentials_during_vm_boot(directory):
    """the search finds the credentials while they are still needed, during vm.boot"""
    need_root()
    process = (vm := Vm(directory)).start(*CLOUD_HYPERVISOR, stand_in={"hang": "vm.boot"})
    wait_for("vm.boot", lambda: "/api/v1/vm.boot" in vm.requested())
    found = memory(process.pid)
    assert all(value.encode() in found for value in (vm.api_key, vm.oem_strings[3]))
    process.kill()
    process.wait(60)


for hypervisor in HYPERVISORS:
    def resident(directory, name=hypervisor):
        process = booted(vm := Vm(directory, MANY), name)
        size = int(re.search(r"VmRSS:\s+(\d+) kB", status(process.pid)).group(1))
        assert size < RESIDENT_MAX, f"{size} KiB"
        process.kill()
        process.wait(60)
        assert vm

    def empty(directory, name=hypervisor):
        need_root()
        process = booted(vm := Vm(directory), name)
        found = memory(process.pid)
        assert b"test-vm" in found
        no_canary(found, vm.api_key)
        no_canary(found, vm.tls)
        no_canary(found, vm.api_key[:16])
        process.kill()
        process.wait(60)

    test(f"while {hypervisor} runs, vmcred uses less than 3 MB of memory")(resident)
    test(f"while {hypervisor} runs, vmcred's memory contains no credential")(empty)


main()
