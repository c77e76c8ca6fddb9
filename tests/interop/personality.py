# SPDX-License-Identifier: Apache-2.0
"""A runner script like microvm.nix's, with a link to vmcred instead of the real hypervisor."""
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import harness
from cloud_hypervisor_vm import kernel, need_cloud_hypervisor, running
from harness import equal, need
from vm import Qmp, Vm, canary, children, stop

RUNNER = """#!/bin/bash
set -eou pipefail

runtime_args=

exec -a "microvm@test-vm" {program} {words} ${{runtime_args:-}}
"""


def start(vm, name, words, ours):
    """Starts the runner with the real program or a link to vmcred."""
    program = Path(shutil.which(name))
    if ours:
        program = vm.bin / name
        program.symlink_to(harness.VMCRED_RUN)
    runner = harness.write_program(vm.directory / f"microvm-run-{'ours' if ours else 'plain'}", RUNNER.format(program=program, words=shlex.join(map(str, words))))
    environment = harness.CLEAN_ENVIRONMENT | vm.environment() | {
        "VMCRED_VM": "test-vm",
        "VMCRED_CONFIG": str(vm.directory / "vmcred.yaml"),
        "CREDENTIALS_DIRECTORY": str(vm.credentials),
    }
    with open(vm.directory / "err", "wb") as err:
        return subprocess.Popen([runner], cwd=vm.directory, env=environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=err)


def words_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]


def no_value_visible(vm, pid):
    view = Path(f"/proc/{pid}/cmdline").read_bytes()
    for value in (vm.api_key, vm.tls):
        for form in canary(value):
            assert form not in view, view


def test_cloud_hypervisor_makes_the_same_vm(directory):
    """Cloud Hypervisor creates the same VM as without vmcred, plus the credentials"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    words = ["--cpus", "boot=1", "--watchdog", "--kernel", kernel(directory / "kernel"), "--cmdline", "console=ttyS0 panic=-1",
             "--seccomp", "true", "--memory", "mergeable=on,size=128M",
             "--platform", "oem_strings=[ARG=1]", "--console", "null", "--serial", "null",
             "--vsock", f"cid=3,socket={directory}/vsock", "--api-socket", directory / "api"]
    plain = start(vm, "cloud-hypervisor", words, ours=False)
    expected = running(directory, plain)["config"]
    stop(plain)
    for name in ("vsock", "api"):
        (directory / name).unlink(missing_ok=True)
    process = start(vm, "cloud-hypervisor", words, ours=True)
    try:
        got = running(directory, process)["config"]
        equal(words_of(process.pid), ["microvm@test-vm", *map(str, words)])
        equal(words_of(children(process.pid)[0])[0], "microvm@test-vm")
        for pid in (process.pid, *children(process.pid)):
            no_value_visible(vm, pid)
    finally:
        # The guest ignores the power button.
        process.kill()
        process.wait()
    equal(got["platform"].pop("oem_strings"), ["ARG=1", *vm.oem_strings])
    expected["platform"].pop("oem_strings")
    equal(got, expected, "config")


def test_qemu_gets_a_descriptor_for_each_string(directory):
    """QEMU gets its own arguments and a descriptor for each string"""
    need("qemu-system-x86_64")
    vm = Vm(directory)
    words = ["-name", "test-vm", "-M", "q35,accel=tcg", "-m", "64", "-nodefaults", "-display", "none", "-S",
             "-qmp", f"unix:{directory}/qmp,server=on,wait=off"]
    process = start(vm, "qemu-system-x86_64", words, ours=True)
    try:
        equal(Qmp(directory / "qmp")("query-name"), {"name": "test-vm"})
        got = words_of(process.pid)
        equal(got[:len(words) + 1], ["microvm@test-vm", *words])
        equal([word.rstrip("0123456789") for word in got[len(words) + 1:]], ["-smbios", "type=11,path=/dev/fd/"] * 4)
        equal(os.readlink(f"/proc/{process.pid}/exe"), os.path.realpath(shutil.which("qemu-system-x86_64")))
        no_value_visible(vm, process.pid)
    finally:
        stop(process)


harness.main()
