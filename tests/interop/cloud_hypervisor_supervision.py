# SPDX-License-Identifier: Apache-2.0
"""The real Cloud Hypervisor under `vmcred run`: stopping it, and failed launches."""
import os
import signal
import socket

from cloud_hypervisor_vm import kernel, need_cloud_hypervisor, running
from harness import equal, expect, main
from vm import Vm, children, has_ended, nothing_left, wait_for
from vm_terminal import Terminal

LOST = "No such file or directory (os error 2)"


class RealVm(Vm):
    """A VM whose guest halts and ignores the power button."""

    def __init__(self, directory):
        need_cloud_hypervisor()
        super().__init__(directory)
        self.words = ["cloud-hypervisor", "--kernel", kernel(self.bin / "kernel"), "--cpus", "boot=1", "--memory",
                      "size=64M", "--serial", "null", "--console", "off", "--vsock", f"cid=3,socket={directory}/vsock"]

    def booted(self, *words, options=()):
        process = self.start(*self.words, "--api-socket", self.directory / "api", *words, options=options)
        running(self.directory, process)
        return process


def test_sigterm_presses_the_real_power_button(directory):
    """SIGTERM presses the real power button, and the next step ends the real VMM with 0 and leaves nothing"""
    vm = RealVm(directory)
    process = vm.booted(options=("--stop-timeout=1", "-v"))
    wait_for("vmcred", lambda: "the VM is booted" in vm.errors())
    child, = children(process.pid)
    process.send_signal(signal.SIGTERM)
    equal(process.wait(30), 0)
    said = [line for line in vm.errors().splitlines() if line.startswith("vmcred: ")]
    for line, step in zip(said[-4:], ("booted", "the guest", "within 1 s", "the VMM"), strict=True):
        assert step in line, said
    assert has_ended(child)
    nothing_left(vm)


def test_killed_vmm_leaves_no_raw_terminal(directory):
    """a real VMM with --serial tty that is killed does not leave its terminal raw or non-blocking"""
    vm = RealVm(directory)
    words = [word if word != "null" else "tty" for word in vm.words]
    terminal = Terminal(vm, *words, supervised=True)
    wait_for("the terminal", terminal.is_raw)
    os.kill(terminal.running(), signal.SIGKILL)
    terminal.ends(128 + signal.SIGKILL)
    terminal.restored()
    terminal.close()
    nothing_left(vm)


def test_nine_other_connections_do_not_block(directory):
    """nine other connections to the real API do not block the tenth, which is vmcred's"""
    vm = RealVm(directory)
    process = vm.booted(options=("--stop-timeout=0", "-v"))
    others = []
    for _ in range(9):
        others.append(socket.socket(socket.AF_UNIX))
        others[-1].connect(str(directory / "api"))
    with socket.socket(socket.AF_UNIX) as refused:
        refused.connect(str(directory / "api"))
        assert b"Too many open connections" in refused.recv(4096)
    process.send_signal(signal.SIGTERM)
    equal(process.wait(30), 0)
    equal([line for line in vm.errors().splitlines() if "api/v1" in line], [])
    assert "the VMM" in vm.errors().splitlines()[-1], vm.errors()


def test_errors_of_the_real_vmm_are_shown(directory):
    """errors of the real VMM when it starts, creates or boots are shown"""
    vm = RealVm(directory)
    expect(vm.run(*vm.words, "--log-file", "/nowhere/log"), 1, "",
           f"Error: Cloud Hypervisor exited with the following chain of errors:\n  0: Error creating log file\n"
           f"  1: {LOST}\n"
           f"vmcred: starting cloud-hypervisor: it exited with code 1 before its VM booted: its output: Error: "
           f"Cloud Hypervisor exited with the following chain of errors: 0: Error creating log file 1: {LOST}\n")
    nothing_left(vm)
    result = vm.run(*vm.words, "--disk", "path=/nowhere/disk,image_type=raw")
    equal((result.code, result.err.splitlines()[-1].startswith("vmcred: starting cloud-hypervisor: booting the VM: ")),
          (1, True), result.err)
    assert LOST in result.err.splitlines()[-1], result.err
    nothing_left(vm)
    expect(vm.run(*vm.words, "--rng", "src=/dev/urandom,id=same", "--balloon", "size=0,id=same"), 1, "",
           "vmcred: starting cloud-hypervisor: booting the VM: Error from API: The VM could not boot: Failed to validate "
           "config: Identifier same is not unique\n")
    nothing_left(vm)


def test_real_vmm_ends_if_vmcred_is_killed(directory):
    """the real VMM ends if vmcred is killed, and no socket is left if the VMM is killed"""
    vm = RealVm(directory)
    process = vm.booted()
    child, = children(process.pid)
    process.kill()
    process.wait(60)
    wait_for("the VMM's end", lambda: has_ended(child))
    # The stale sockets do not block the next launch.
    process = vm.booted()
    os.kill(children(process.pid)[0], signal.SIGKILL)
    equal(process.wait(60), 128 + signal.SIGKILL)
    nothing_left(vm)


main()
