# SPDX-License-Identifier: Apache-2.0
"""Real hypervisors load an initrd with credentials: their guest, a few instructions, prints it on the serial port."""
import json
import os
import shutil
import stat

import harness
import tiny_guest
from archive import credentials, entries
from cloud_hypervisor_vm import need_cloud_hypervisor
from harness import Skip, equal, expect, need, need_root, run
from vm import Vm, children, no_canary, stop, visible_to_others, wait_for

DECLARATION = "vms: {test-vm: {credentialFiles: {HOST-API-KEY: host-api-key, HOST-TLS: host-tls}}}\n"
# With the NULs up to a multiple of four.
TRAILER = b"TRAILER!!!\0\0\0\0"


def need_hypervisor(name):
    """Debian has none of them, so a skip is allowed even with CI=true."""
    if not shutil.which(name):
        raise Skip(f"{name} is not on the PATH")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("/dev/kvm cannot be opened")


class Guest(Vm):
    def __init__(self, directory):
        super().__init__(directory, DECLARATION)
        self.kernel = tiny_guest.kernel(directory / "kernel", tiny_guest.PRINT_INITRD + tiny_guest.HALT)
        self.initrd = directory / "initrd"
        self.initrd.write_bytes(b"not an archive")
        self.console = directory / "console"

    @property
    def values(self):
        return {"HOST-API-KEY": self.api_key.encode(), "HOST-TLS": self.tls.encode()}

    def firecracker(self, **boot):
        config = {"boot-source": {"kernel_image_path": str(self.kernel), "initrd_path": str(self.initrd)} | boot,
                  "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": 64}}
        (self.directory / "config.json").write_text(json.dumps(config))
        self.console = self.directory / "out"
        # A build with glibc has no filter of system calls. Its log would be mixed with the console.
        return ["firecracker", "--no-seccomp", "--level", "Error", "--config-file", "config.json", "--api-sock", "api"]

    def cloud_hypervisor(self):
        return ["cloud-hypervisor", "--kernel", self.kernel, "--initramfs", self.initrd, "--memory", "size=64M",
                "--console", "off", "--serial", f"file={self.console}"]

    def kvmtool(self):
        tiny_guest.bzimage(self.kernel)
        self.console = self.directory / "out"
        return ["lkvm", "run", "-k", self.kernel, "-i", self.initrd, "-m", "64", "-c", "1", "--console", "serial", "-p", "quiet"]

    def alioth(self):
        self.console = self.directory / "out"
        return ["alioth", "boot", "--pvh", self.kernel, "-i", self.initrd, "--memory", "size=64M", "--cpu", "count=1", "-c", "quiet"]

    def qemu(self):
        return ["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none", "-kernel", self.kernel,
                "-initrd", self.initrd, "-serial", f"file:{self.console}"]

    def printed(self, process):
        """What the guest printed: its initrd."""
        wait_for("the guest", lambda: process.poll() is not None or
                 (self.console.exists() and TRAILER in self.console.read_bytes()))
        data = self.console.read_bytes()
        assert tiny_guest.SAYS in data, self.errors()
        return data[data.index(tiny_guest.SAYS) + len(tiny_guest.SAYS):]

    def check(self, command, options=(), **stdin):
        process = self.start(*command, options=options, **stdin)
        data = self.printed(process)
        pids = [process.pid, *children(process.pid)]
        for pid in pids:
            no_canary(visible_to_others(pid), self.api_key)
            no_canary(visible_to_others(pid), self.tls)
        stop(process)
        equal(data[:14], b"not an archive")
        equal(entries(data[:data.index(TRAILER) + len(TRAILER)], 14), credentials(self.values))
        return pids


def test_firecracker(directory):
    """the guest of Firecracker gets its initrd and all credentials"""
    need_hypervisor("firecracker")
    guest = Guest(directory)
    guest.tls = "line\n"
    (guest.credentials / "host-tls").write_text(guest.tls)
    guest.check(guest.firecracker(), ("--stop-timeout=0",))
    assert not (directory / "api").exists()


def test_firecracker_keeps_nothing(directory):
    """once the guest runs, Firecracker has nothing of the initrd in its descriptors, nor vmcred in its memory"""
    need_hypervisor("firecracker")
    need_root()
    guest = Guest(directory)
    process = guest.start(*guest.firecracker(), options=("-v", "--stop-timeout=0"))
    wait_for("the boot", lambda: "the VM is booted" in guest.errors())
    child = children(process.pid)[0]
    found = [f"/proc/{child}/fd/{fd}" for fd in os.listdir(f"/proc/{child}/fd")]
    found = [path for path in found if os.readlink(path).startswith("/memfd:initrd")]
    assert found
    for path in found:
        equal((stat.S_IMODE(os.stat(path).st_mode), os.stat(path).st_blocks), (0o400, 0))
    stop(process)


def test_errors_of_firecracker_are_shown(directory):
    """a configuration that Firecracker refuses is a failed launch, and its log shows why"""
    need_hypervisor("firecracker")
    guest = Guest(directory)
    command = guest.firecracker(nonsense=1)
    result = guest.run(*command)
    equal(result.code, 1, result.err)
    assert "before its VM booted" in result.err and "nonsense" in result.err, result
    assert not (directory / "api").exists()


def test_cloud_hypervisor(directory):
    """the guest of Cloud Hypervisor gets its initrd and all credentials with --transport=initrd"""
    need_cloud_hypervisor()
    guest = Guest(directory)
    guest.check(guest.cloud_hypervisor(), ("--transport=initrd", "--stop-timeout=0"))


def test_kvmtool(directory):
    """the guest of kvmtool gets its initrd and all credentials"""
    need_hypervisor("lkvm")
    guest = Guest(directory)
    command = guest.kvmtool()
    # Its socket is below $HOME.
    environment = guest.environment()
    guest.environment = lambda stand_in=None: environment | {"HOME": str(directory)}
    tried = run("lkvm", "run", "-k", "missing", "-m", "64", env={"HOME": str(directory)})
    if "does not support hardware virtualization" in tried.out + tried.err:
        raise Skip("kvmtool finds no hardware virtualization")
    guest.check(command)


def test_alioth(directory):
    """the guest of alioth gets its initrd and all credentials"""
    need_hypervisor("alioth")
    guest = Guest(directory)
    # It needs a terminal.
    ours, its = os.openpty()
    guest.check(guest.alioth(), stdin=its)
    os.close(its)
    os.close(ours)


def test_qemu(directory):
    """the guest of QEMU gets its initrd and all credentials with --transport=initrd, also as a child of vmcred"""
    need("qemu-system-x86_64")
    for number, options in enumerate(((), ("--stop-timeout=0",))):
        guest = Guest(directory / str(number))
        pids = guest.check(guest.qemu(), ("--transport=initrd", *options))
        equal(len(pids), 1 + number)


def test_qemu_with_two_initrds(directory):
    """QEMU uses the last of -initrd and -machine initrd=, and its guest gets that one with all credentials"""
    need("qemu-system-x86_64")
    for number, last in enumerate(("-machine", "-initrd")):
        guest = Guest(directory / str(number))
        command = guest.qemu()
        position = command.index("-initrd")
        initrds = [["-machine", f"pc,initrd={guest.initrd}"], ["-initrd", guest.initrd]]
        if last == "-machine":
            initrds.reverse()
        initrds[0][1] = str(initrds[0][1]).replace(str(guest.initrd), str(guest.kernel))
        command[position:position + 2] = initrds[0] + initrds[1]
        guest.check(command, ("--transport=initrd",))


def test_cpio_reads_the_segment(directory):
    """cpio unpacks the segment: directories and files with their modes, which only root can read"""
    need("cpio")
    need("qemu-system-x86_64")
    guest = Guest(directory)
    process = guest.start(*guest.qemu(), options=("--transport=initrd",))
    data = guest.printed(process)
    stop(process)
    listed = expect(run("cpio", "-itv", "--quiet", stdin=data[data.index(b"070701"):]), 0).out.splitlines()
    equal([(line.split()[0], line.split()[2:5], line.split()[-1]) for line in listed],
          [("dr-xr-xr-x", ["root", "root", "0"], ".extra"), ("dr-x------", ["root", "root", "0"], ".extra/system_credentials"),
           ("-r--------", ["root", "root", str(len(guest.api_key.encode()))], ".extra/system_credentials/HOST-API-KEY.cred"),
           ("-r--------", ["root", "root", str(len(guest.tls))], ".extra/system_credentials/HOST-TLS.cred")])


harness.main()
