# SPDX-License-Identifier: Apache-2.0
"""vmcred run with a hypervisor that does not behave: it writes without end, or leaves processes that do."""
import os
import select
import signal
import subprocess
from pathlib import Path

import harness
from harness import equal
from vm import Vm, children, stopped_at_exit, wait_for

FIRECRACKER = '{"boot-source": {"kernel_image_path": "k", "initrd_path": "initrd"}}'
LINES = {
    "cloud-hypervisor": ("--kernel", "/k"),
    "qemu-system-x86_64": ("-M", "q35"),
    "firecracker": ("--config-file", "config.json", "--api-sock", "api"),
    "crosvm": ("run", "--initrd", "initrd", "vmlinux"),
}
# It ignores SIGTERM.
FLOOD = "#!/bin/sh\ntrap '' TERM\nexec yes >&2\n"
# It answers once.
MONITOR = """\
#!/usr/bin/python3 -I
import os, re, signal, socket, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
monitor = socket.socket(fileno=int(re.search(r"id=vmcred-monitor,fd=(\\d+)", " ".join(sys.argv))[1]))
monitor.sendall(b'{"QMP": {}}\\n{"return": {}}\\n')
os.fork()
os.fork()
while True:
    monitor.sendall(b"x" * 65536)
"""


class Hostile(Vm):
    def __init__(self, directory, programs):
        super().__init__(directory, "vms: {test-vm: {credentialFiles: {HOST-API-KEY: host-api-key, HOST-TLS: host-tls}}}\n")
        (directory / "initrd").write_bytes(b"an initrd")
        (directory / "config.json").write_text(FIRECRACKER)
        for name, text in programs.items():
            harness.write_program(self.bin / name, text)

    def started(self, name, options=(), stderr=subprocess.DEVNULL):
        """vmcred, whose standard error is not kept, because it has no end."""
        return stopped_at_exit(subprocess.Popen(
            [harness.VMCRED, "run", "--credentials", self.credentials, "--supervise", *options, "test-vm", "--", name, *LINES[name]],
            cwd=self.directory, env=harness.CLEAN_ENVIRONMENT | self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=stderr))


def named(pid, name):
    return any(Path(f"/proc/{child}/comm").read_text() == f"{name}\n" for child in children(pid))


def stopped(process):
    """Each SIGTERM takes the next step. Returns the exit code."""
    wait_for("the end", lambda: process.poll() is not None or process.send_signal(signal.SIGTERM), 60)
    return process.wait()


def test_output_without_end_does_not_delay_a_signal(directory):
    """a hypervisor that writes to its standard error without end, before its VM is booted or while it runs, is stopped by SIGTERM"""
    vm = Hostile(directory, dict.fromkeys(LINES, FLOOD))
    for name in LINES:
        process = vm.started(name)
        wait_for("the flood", lambda: named(process.pid, "yes"))
        equal(stopped(process), 128 + (signal.SIGKILL if name == "crosvm" else signal.SIGTERM), name)


def test_messages_that_nobody_reads_do_not_delay_a_vm(directory):
    """a VM is started and stopped although the standard error of vmcred is a full pipe that nobody reads"""
    vm = Hostile(directory, {"qemu-system-x86_64": FLOOD})
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while os.write(writer, b"x" * select.PIPE_BUF) == select.PIPE_BUF and select.select([], [writer], [], 0)[1]:
        pass
    os.set_blocking(writer, True)
    process = vm.started("qemu-system-x86_64", options=("--expose=log",), stderr=writer)
    wait_for("the flood", lambda: named(process.pid, "yes"))
    equal(stopped(process), 128 + signal.SIGTERM)
    os.close(reader)
    os.close(writer)


def test_output_of_a_process_that_is_left_has_no_effect(directory):
    """vmcred ends with its hypervisor, although a process that the hypervisor started keeps its standard error and writes"""
    vm = Hostile(directory, dict.fromkeys(LINES, "#!/bin/sh\nyes >&2 &\nexit 7\n"))
    for name in LINES:
        equal(vm.started(name).wait(60), 7 if name == "crosvm" else 1, name)


def test_monitor_without_end_does_not_delay_a_signal(directory):
    """QEMU that writes to its monitor without end is stopped by SIGTERM"""
    vm = Hostile(directory, {"qemu-system-x86_64": MONITOR})
    process = vm.started("qemu-system-x86_64")
    wait_for("the flood", lambda: children(process.pid) and len(children(children(process.pid)[0])) >= 2)
    equal(stopped(process), 128 + signal.SIGKILL)


harness.main()
