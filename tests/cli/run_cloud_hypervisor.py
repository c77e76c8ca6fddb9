# SPDX-License-Identifier: Apache-2.0
"""vmcred run with Cloud Hypervisor: what it receives, what is visible, and what a failed launch leaves.

Cloud Hypervisor is a strict stand-in here (cloud_hypervisor_stand_in.py); interop/cloud_hypervisor.py uses the real one.
"""
import json
import os
import signal
import stat
import time

import harness
from harness import equal, expect, fails, need_root, test
from vm import CLOUD_HYPERVISOR, Vm, api_get, children, in_view, no_canary, nothing_left, stop, wait_for


def running_cloud_hypervisor(vm, *words, options=(), stand_in=None):
    """A stand-in that vmcred started: both processes."""
    process = vm.start(*CLOUD_HYPERVISOR, *words, options=options, stand_in=stand_in or {})
    wait_for("vm.boot", vm.booted)
    return process, children(process.pid)[0]


def test_cloud_hypervisor_gets_whole_list_order_through_api(folder):
    """Cloud Hypervisor receives the whole list in order, and only through its API"""
    vm = Vm(folder)
    process, child = running_cloud_hypervisor(vm, "--platform", "num_pci_segments=2,oem_strings=[ARG=1]",
                                              "--log-file", folder / "err2")
    record = vm.recorded()
    equal([request[:2] for request in record["requests"]], [["PUT", "/api/v1/vm.create"], ["PUT", "/api/v1/vm.boot"]])
    equal(json.loads(record["requests"][0][2]), {
        "payload": {"kernel": "/k"}, "cpus": {"boot_vcpus": 1, "max_vcpus": 1}, "console": {"mode": "Off"},
        "serial": {"mode": "Null"}, "platform": {"num_pci_segments": 2, "oem_strings": ["ARG=1"] + vm.oem_strings}})
    for pid in (process.pid, child):
        no_canary(in_view(pid), vm.api_key)
        no_canary(in_view(pid), vm.tls)
    equal(stop(process), 0)


def test_without_api_socket_nobody_else_can_reach_api_no(folder):
    """without --api-socket the API's socket has no file that others could connect to"""
    vm = Vm(folder)
    process, _ = running_cloud_hypervisor(vm)
    nothing_left(vm)
    equal(stop(process), 0)


def test_socket_api_socket_owner_alone_stays_while_vm_runs(folder):
    """the socket of --api-socket is private, exists while the VM runs, and is removed after it"""
    vm = Vm(folder)
    process, _ = running_cloud_hypervisor(vm, "--api-socket", folder / "api")
    mode = (folder / "api").stat().st_mode
    equal((stat.S_ISSOCK(mode), stat.S_IMODE(mode)), (True, 0o600))
    equal(api_get(folder / "api", "vm.info")["state"], "Running")
    fails(vm.run(*CLOUD_HYPERVISOR, "--api-socket", folder / "api", stand_in={}), 1, "cloud-hypervisor", folder / "api")
    equal(stop(process), 0)
    nothing_left(vm)


def test_exit_code_vmm_vmcred_signal_number_comes_128(folder):
    """vmcred returns the VMM's exit code, or 128 + N after signal N"""
    vm = Vm(folder)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 7}), 7, "", "")
    process, child = running_cloud_hypervisor(vm)
    os.kill(child, signal.SIGKILL)
    equal(process.wait(20), 128 + signal.SIGKILL)


def test_signal_vmcred_reaches_vmm(folder):
    """a signal to vmcred reaches the VMM"""
    vm = Vm(folder)
    for number, code in ((signal.SIGTERM, 0), (signal.SIGUSR1, 128 + signal.SIGUSR1), (signal.SIGHUP, 129)):
        process, _ = running_cloud_hypervisor(vm)
        process.send_signal(number)
        equal(process.wait(20), code)


def test_vmm_does_not_outlive_vmcred_killed(folder):
    """the VMM does not outlive a vmcred that was killed"""
    vm = Vm(folder)
    process, child = running_cloud_hypervisor(vm)
    process.kill()
    process.wait(20)
    wait_for("the VMM's end", lambda: not os.path.exists(f"/proc/{child}") or
             open(f"/proc/{child}/stat", encoding="utf-8").read().split()[2] == "Z")


def test_after_vm_booted_vmcred_itself_holds_no_credential(folder):
    """once the VM is booted, vmcred's own memory contains no credential"""
    need_root()
    vm = Vm(folder)
    process, _ = running_cloud_hypervisor(vm, options=("-v",))
    wait_for("vmcred", lambda: "the VM is booted" in vm.errors())
    memory = bytearray()
    with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps, open(f"/proc/{process.pid}/mem", "rb") as mem:
        for line in maps:
            span, permissions = line.split()[:2]
            start, end = (int(word, 16) for word in span.split("-"))
            # The shadow memory of a sanitizer has terabytes, and no text in it.
            if permissions.startswith("rw") and end - start < 1 << 30:
                mem.seek(start)
                memory += mem.read(end - start)
    assert b"test-vm" in memory
    no_canary(bytes(memory), vm.api_key)
    no_canary(bytes(memory), vm.tls)
    equal(stop(process), 0)


FAILURES = {
    "vm.create is refused": (
        {"status": {"vm.create": 400}},
        "creating the VM: Error from API: The VM could not do vm.create: the cause"),
    "vm.boot is refused": (
        {"status": {"vm.boot": 500}},
        "booting the VM: Error from API: The VM could not do vm.boot: the cause"),
    "the API is closed at vm.create": (
        {"close": "vm.create"}, "creating the VM"),
    "the API is closed at vm.boot": (
        {"close": "vm.boot"}, "booting the VM"),
}

for name, (behaviour, message) in FAILURES.items():
    def failure(folder, behaviour=behaviour, message=message):
        vm = Vm(folder)
        result = vm.run(*CLOUD_HYPERVISOR, "--api-socket", folder / "api", stand_in=behaviour)
        fails(result, 1, "starting cloud-hypervisor", message)
        nothing_left(vm)

    test(f"if {name}, the launch fails with an error and leaves nothing")(failure)


def test_answer_repeats_request_not_shown(folder):
    """an answer that repeats the request is hidden"""
    vm = Vm(folder)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"status": {"vm.create": "echo"}}), 1, "",
           "vmcred: starting cloud-hypervisor: creating the VM: the API refused it with status 500: its answer is hidden "
           "because it repeats an OEM string\n")


def test_vmm_ends_before_vm_booted_words_stderr_error(folder):
    """a VMM that exits before its VM is booted is an error that quotes its output"""
    vm = Vm(folder)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"die": 9}), 1, "",
           "error: the stand-in refuses to start\n"
           "vmcred: starting cloud-hypervisor: it exited with code 9 before its VM booted: its output: error: the "
           "stand-in refuses to start\n")
    nothing_left(vm)


def test_slow_answers_come_byte_byte_waited(folder):
    """slow answers that arrive byte by byte are read"""
    vm = Vm(folder)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"delay": 0.5, "dribble": True, "exit": 0}), 0, "", "")


def test_launch_hangs_can_stopped_takes_vmm(folder):
    """a launch that hangs can be stopped, which ends the VMM too"""
    vm = Vm(folder)
    process = vm.start(*CLOUD_HYPERVISOR, stand_in={"hang": "vm.create"})
    wait_for("vm.create", vm.requested)
    child = children(process.pid)[0]
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    equal(process.wait(20), 128 + signal.SIGTERM)
    assert time.monotonic() - start < 10
    assert not os.path.exists(f"/proc/{child}")
    equal(vm.errors(), "")


def test_v_logs_whole_configuration_credential_needs_expose(folder):
    """with -v, which logs the whole configuration, a credential needs --expose=log"""
    vm = Vm(folder)
    expect(vm.run(*CLOUD_HYPERVISOR, "-v", stand_in={"exit": 0}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: -v logs the VM's configuration, including credentials: remove "
           "-v, or accept that with --expose=log\n")
    expect(vm.run(*CLOUD_HYPERVISOR, "-v", options=("--expose=log",), stand_in={"exit": 0}), 0, "",
           "vmcred: warning: --expose=log: the log of Cloud Hypervisor contains the OEM strings, including credentials\n")
    (folder / "vmcred.yaml").write_text("vms: {test-vm: {platformOEMStrings: [PLAIN=1]}}\n")
    expect(vm.run(*CLOUD_HYPERVISOR, "-v", stand_in={"exit": 0}), 0, "", "")


def test_v_vv_vmcred_say_done_without_value(folder):
    """-v and -vv of vmcred log each step without a value"""
    vm = Vm(folder)
    result = vm.run(*CLOUD_HYPERVISOR, options=("-vv",), stand_in={"exit": 0})
    equal(result.code, 0)
    lines = [line for line in result.err.splitlines() if "as process" not in line]
    equal(lines, [f"vmcred: HOST-API-KEY: 25 bytes from {vm.credentials}/host-api-key",
                  f"vmcred: HOST-TLS: 12 bytes from {vm.credentials}/host-tls",
                  f"vmcred: test-vm: 4 OEM strings, {vm.table_size} of 61439 bytes of the table",
                  "vmcred: /api/v1/vm.create: status 204", "vmcred: /api/v1/vm.boot: status 204",
                  "vmcred: the VM is booted"])


def test_expose_argv_refuses_cloud_hypervisor_command_line(folder):
    """--expose=argv refuses what Cloud Hypervisor's command line cannot carry"""
    vm = Vm(folder)
    for value, what in (("a,b", "contains ','"), ("[a]", "contains '['"), ("a ", "starts or ends with a space")):
        (vm.credentials / "host-api-key").write_text(value)
        expect(vm.run(*CLOUD_HYPERVISOR, options=("--expose=argv",), stand_in={}), 2, "",
               f"vmcred: preparing to start Cloud Hypervisor: the command line cannot carry HOST-API-KEY, which {what}: "
               f"remove --expose=argv\n")


harness.main()
