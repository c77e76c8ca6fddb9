# SPDX-License-Identifier: Apache-2.0
"""The real Cloud Hypervisor with and without `vmcred run`, side by side."""
import contextlib
import ctypes
import fcntl
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess

import harness
from harness import Skip, need_device, need_root
from cloud_hypervisor_sockets import listening, tpm_serve, vhost_user_serve
from vm import Vm, api_get, stop, stopped_at_exit, wait_for


def need_cloud_hypervisor():
    """No package registry has it, so a skip is allowed even with CI=true."""
    if not shutil.which("cloud-hypervisor"):
        raise Skip("cloud-hypervisor is not on the PATH: get it from its releases page")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("/dev/kvm cannot be opened")


def kernel(path):
    """The smallest thing that boots: a 64-bit ELF file with the PVH entry point's note, and one halting loop."""
    code = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp back
    address = 0x100000
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", address)  # XEN_ELFNOTE_PHYS32_ENTRY
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, address, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    loaded = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, address, address, len(code), len(code), 0x1000)
    noted = struct.pack("<IIQQQQQQ", 4, 4, 176, 0, 0, len(note), len(note), 4)
    path.write_bytes((header + loaded + noted + note).ljust(0x1000, b"\0") + code)
    return path


def running(directory, process):
    """The answer of vm.info once the VM runs; before that there is no socket, or no VM."""
    def ask():
        if process.poll() is not None:
            raise AssertionError(f"it ended with {process.returncode}: {(directory / 'err').read_text()}")
        try:
            info = api_get(directory / "api", "vm.info")
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        return info if isinstance(info, dict) and info.get("state") == "Running" else None

    return wait_for("the VM", ask)


# A private network for the interfaces of a command line.
PRIVATE_NETWORK = ("unshare", "--net", "--")

TUNSETIFF = 0x400454ca
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x0100, 0x1000, 0x4000


def tap_queues(name, count):
    """Descriptors of a new tap interface, which exists until they are closed. Needs a private network."""
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if count > 1 else 0)
    need_device("/dev/net/tun")
    fds = []
    for _ in range(count):
        fds.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
        fcntl.ioctl(fds[-1], TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    return fds


def private_network_enter():
    """Moves this process and its children to a private network."""
    need_root()
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) < 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")


class Guest:
    """A directory with the files of the command lines, which run in it: their paths are relative."""

    def __init__(self, directory):
        self.directory = directory
        # No secrets, because the log is compared too.
        self.vm = Vm(directory, "vms: {test-vm: {platformOEMStrings: [OEM=1]}}\n")
        kernel(directory / "kernel")
        (directory / "initramfs").write_bytes(b"\0" * 512)
        for name, size in (("disk", 1 << 20), ("pmem", 2 << 20), ("ram", 64 << 20)):
            with open(directory / name, "wb") as file:
                file.truncate(size)

    def start(self, words, ours, fds=()):
        """Starts it with or without vmcred."""
        prefix = []
        if ours:
            # These guests ignore the power button.
            prefix = [harness.VMCRED, "run", "--stop-timeout=0", "test-vm", "--"]
        if any("tap=" in value for value in values(words, "net")):
            prefix = [*PRIVATE_NETWORK, *prefix]
        for name in ("api", "vsock", "log", "serial", "console.sock", "serial.sock", "events"):
            (self.directory / name).unlink(missing_ok=True)
        with open(self.directory / "err", "wb") as err:
            return stopped_at_exit(subprocess.Popen(
                [*map(str, prefix), "cloud-hypervisor", *words], cwd=self.directory, pass_fds=fds,
                env=harness.CLEAN_ENVIRONMENT | self.vm.environment(),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err))

    def info(self, line, fds=()):
        """vm.info of both, made comparable."""
        words = shlex.split(line)
        if any("tap=" in value for value in values(words, "net")):
            need_root()
            need_device("/dev/net/tun")
        both = []
        with contextlib.ExitStack() as stack:
            for path, serve in self.sockets(words):
                stack.enter_context(listening(path, serve))
            for ours in (False, True):
                process = self.start([*words, "--api-socket", "api"], ours, fds)
                try:
                    both.append(comparable(running(self.directory, process), words))
                finally:
                    stop(process)
        return both

    def sockets(self, words):
        """The sockets of other processes in a line, and their servers."""
        for option, serve in (("fs", vhost_user_serve), ("disk", vhost_user_serve), ("net", vhost_user_serve),
                              ("generic-vhost-user", vhost_user_serve), ("tpm", tpm_serve)):
            for value in values(words, option):
                for match in re.finditer(r"socket=([^,]*)", value):
                    yield self.directory / match[1], serve

    def logged(self, line, pattern):
        """The configurations that both log, whether they boot or not."""
        both = []
        for ours in (False, True):
            process = self.start(["-v", "--log-file", "log", *shlex.split(line)], ours)

            def config(process=process):
                log = (self.directory / "log").read_text() if (self.directory / "log").exists() else ""
                match = re.search(pattern, log)
                if not match and process.poll() is not None:
                    raise AssertionError(f"it ended with {process.returncode}: {(self.directory / 'err').read_text()}")
                return match and match[1]

            try:
                both.append(config_comparable(wait_for("its configuration", config), shlex.split(line)))
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
        return both


def values(words, option):
    """The values that a line gives for an option, in order."""
    found, taking = [], False
    for word in words:
        if word.startswith("--"):
            name, _, attached = word[2:].partition("=")
            taking = name == option
            if taking and attached:
                found.append(attached)
        elif taking:
            found.append(word)
    return found


def comparable(info, words):
    """Without OEM strings and values that differ between two runs of the same line."""
    config = info["config"]
    (config.get("platform") or {}).pop("oem_strings", None)
    # vmcred's OEM strings need a platform, which a line without --platform does not have.
    if not values(words, "platform"):
        config.pop("platform", None)
    # The number of a pty varies.
    for console in ("console", "serial", "debug_console"):
        if config[console]["mode"] == "Pty":
            config[console].pop("file", None)
    for interface, text in zip(config.get("net") or [], values(words, "net")):
        given = [pair.partition("=")[0] for pair in text.split(",")]
        for member in ("mac", "host_mac"):
            if member not in given:
                interface.pop(member, None)
        if interface.get("fds"):
            interface["fds"] = len(interface["fds"])
    return {"config": config, "devices": sorted(info.get("device_tree") or {}), "memory": info["memory_actual_size"]}


def config_comparable(text, words):
    """The same for the configuration as it is logged, in Rust's notation."""
    text = re.sub(r"oem_strings: (None|Some\(\[[^]]*\]\))", "oem_strings", text)
    if not values(words, "platform"):
        text = re.sub(r"platform: (None|Some\(PlatformConfig \{[^}]*\}\))", "platform", text)
    if any("mac=" not in text for text in values(words, "net")):
        text = re.sub(r"MacAddr \{[^}]*\}", "MacAddr", text)
    return text
