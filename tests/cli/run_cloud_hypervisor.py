# SPDX-License-Identifier: Apache-2.0
"""vmcred run with Cloud Hypervisor: its requests, the exposure of credentials, and failed launches.

Cloud Hypervisor is a strict stand-in here (cloud_hypervisor_stand_in.py); interop/cloud_hypervisor.py uses the real one.
"""
import base64
import json
import os
import shlex
import signal
import stat
import urllib.parse

import harness
from harness import equal, expect, fails, need_root, test
from vm import (CLOUD_HYPERVISOR, Vm, api_get, children, has_ended, visible_to_others, no_canary, nothing_left, stop,
                wait_for)


def running_cloud_hypervisor(vm, *words, options=(), stand_in=None):
    """A stand-in that vmcred started: both processes."""
    process = vm.start(*CLOUD_HYPERVISOR, *words, options=options, stand_in=stand_in or {})
    wait_for("vm.boot", vm.booted)
    return process, children(process.pid)[0]


def test_credentials_go_only_through_the_api(directory):
    """Cloud Hypervisor receives the whole list in order, and only through its API"""
    vm = Vm(directory)
    process, child = running_cloud_hypervisor(vm, "--platform", "num_pci_segments=2,oem_strings=[ARG=1]",
                                              "--log-file", directory / "err2")
    record = vm.recorded()
    equal([request[:2] for request in record["requests"]], [["PUT", "/api/v1/vm.create"], ["PUT", "/api/v1/vm.boot"]])
    equal(json.loads(record["requests"][0][2]), {
        "payload": {"kernel": "/k"}, "cpus": {"boot_vcpus": 1, "max_vcpus": 1}, "console": {"mode": "Off"},
        "serial": {"mode": "Null"}, "platform": {"num_pci_segments": 2, "oem_strings": ["ARG=1"] + vm.oem_strings}})
    for pid in (process.pid, child):
        no_canary(visible_to_others(pid), vm.api_key)
        no_canary(visible_to_others(pid), vm.tls)
    equal(stop(process), 0)


def test_default_api_socket_has_no_file(directory):
    """without --api-socket the API's socket has no file that others could connect to"""
    vm = Vm(directory)
    process, _ = running_cloud_hypervisor(vm)
    nothing_left(vm)
    equal(stop(process), 0)


def test_api_socket_in_a_missing_directory_is_a_usage_error(directory):
    """a socket whose directory does not exist is an error of the command line: nothing declared is missing"""
    fails(Vm(directory).run(*CLOUD_HYPERVISOR, "--api-socket", "/nowhere/api.sock", stand_in={}), 2, "/nowhere/api.sock")


def test_socket_of_api_socket_is_private_and_removed(directory):
    """the socket of --api-socket is private, exists while the VM runs, and is removed after it"""
    vm = Vm(directory)
    process, _ = running_cloud_hypervisor(vm, "--api-socket", directory / "api")
    mode = (directory / "api").stat().st_mode
    equal((stat.S_ISSOCK(mode), stat.S_IMODE(mode)), (True, 0o600))
    equal(api_get(directory / "api", "vm.info")["state"], "Running")
    fails(vm.run(*CLOUD_HYPERVISOR, "--api-socket", directory / "api", stand_in={}), 1, "cloud-hypervisor", directory / "api")
    equal(stop(process), 0)
    nothing_left(vm)


def test_exit_code_is_that_of_the_vmm(directory):
    """vmcred returns the VMM's exit code, or 128 + N after signal N"""
    vm = Vm(directory)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"exit": 7}), 7, "", "")
    process, child = running_cloud_hypervisor(vm)
    os.kill(child, signal.SIGKILL)
    equal(process.wait(60), 128 + signal.SIGKILL)


def test_signal_reaches_the_vmm(directory):
    """a signal to vmcred reaches the VMM"""
    vm = Vm(directory)
    for number, code in ((signal.SIGTERM, 0), (signal.SIGUSR1, 128 + signal.SIGUSR1), (signal.SIGHUP, 129)):
        process, _ = running_cloud_hypervisor(vm)
        process.send_signal(number)
        equal(process.wait(60), code)


def test_vmm_does_not_outlive_vmcred(directory):
    """the VMM does not outlive a vmcred that was killed"""
    vm = Vm(directory)
    process, child = running_cloud_hypervisor(vm)
    process.kill()
    process.wait(60)
    wait_for("the VMM's end", lambda: has_ended(child))


def test_no_credential_in_memory_after_boot(directory):
    """once the VM is booted, vmcred's own memory contains no credential"""
    need_root()
    vm = Vm(directory)
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
    def failure(directory, behaviour=behaviour, message=message):
        vm = Vm(directory)
        result = vm.run(*CLOUD_HYPERVISOR, "--api-socket", directory / "api", stand_in=behaviour)
        fails(result, 1, "starting cloud-hypervisor", message)
        nothing_left(vm)

    test(f"if {name}, the launch fails with an error and leaves nothing")(failure)


HIDDEN = ("vmcred: starting cloud-hypervisor: creating the VM: the API refused it with status 500: its answer is hidden "
          "because it repeats a credential; --expose=log shows it\n")


def test_answer_that_repeats_the_request_is_hidden(directory):
    """an answer that repeats the request is hidden"""
    vm = Vm(directory)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"status": {"vm.create": "echo"}}), 1, "", HIDDEN)


def test_answer_that_is_long_is_shortened(directory):
    """of an answer with many or long messages, an error shows the start"""
    vm = Vm(directory)
    # The stand-in has it from its environment, where 128 KiB is the limit.
    for messages in (["x" * 60000], ["outer", *["inner"] * 8000]):
        result = vm.run(*CLOUD_HYPERVISOR, stand_in={"status": {"vm.create": [500, json.dumps(messages)]}})
        fails(result, 1, "creating the VM: " + messages[0][:100])
        assert len(result.err.splitlines()[-1]) < 2000, len(result.err)


def test_answer_with_an_escaped_secret_is_hidden(directory):
    """an answer that repeats eight bytes of a credential in any form is hidden, and --expose=log shows it"""
    vm = Vm(directory)
    secret = 'pa"ss\\wo\'rd\n é1/ü'
    (vm.credentials / "host-api-key").write_text(secret)
    data = secret.encode()
    forms = [secret, secret[1:9], json.dumps(secret), json.dumps(json.dumps(secret)), json.dumps(secret, ensure_ascii=False),
             repr(secret), repr(data), str(list(data)), shlex.quote(secret), urllib.parse.quote(secret, safe=""),
             urllib.parse.quote_plus(secret), data.hex(), data.hex(" ").upper(),
             *(base64.b64encode(b"xyz"[:offset] + data).decode() for offset in range(3))]
    for form in forms:
        body = json.dumps(["Error from API", f"bad value {form} here"])
        expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"status": {"vm.create": [500, body]}}), 1, "", HIDDEN)
    body = json.dumps(["Error from API", f"bad value {json.dumps(secret)}\n\nStack backtrace:\n 0: main"])
    result = vm.run(*CLOUD_HYPERVISOR, options=("--expose=log",), stand_in={"status": {"vm.create": [500, body]}})
    equal((result.code, result.err.splitlines()[-1]),
          (1, f"vmcred: starting cloud-hypervisor: creating the VM: Error from API: bad value {json.dumps(secret)}"))


def test_early_exit_of_the_vmm_is_an_error(directory):
    """a VMM that exits before its VM is booted is an error that quotes its output"""
    vm = Vm(directory)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"die": 9}), 1, "",
           "error: the stand-in refuses to start\n"
           "vmcred: starting cloud-hypervisor: it exited with code 9 before its VM booted: its output: error: the "
           "stand-in refuses to start\n")
    nothing_left(vm)


def test_slow_answers_are_read(directory):
    """slow answers that arrive byte by byte are read"""
    vm = Vm(directory)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"delay": 0.5, "dribble": True, "exit": 0}), 0, "", "")


def test_hanging_launch_can_be_stopped(directory):
    """a launch that hangs can be stopped, which ends the VMM too"""
    vm = Vm(directory)
    process = vm.start(*CLOUD_HYPERVISOR, stand_in={"hang": "vm.create"})
    wait_for("vm.create", vm.requested)
    child = children(process.pid)[0]
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 128 + signal.SIGTERM)
    assert not os.path.exists(f"/proc/{child}")
    equal(vm.errors(), "")


def test_guest_without_smbios(directory):
    """a guest for aarch64 has no SMBIOS table there: credentials need an initrd, and --transport=smbios is refused"""
    vm = Vm(directory)
    kernel = directory / "Image"
    kernel.write_bytes(bytes(56) + b"ARM\x64" + bytes(4))
    command = [str(kernel) if word == "/k" else word for word in CLOUD_HYPERVISOR]
    fails(vm.run(*command, stand_in={}), 2, "initrd", "--initramfs")
    expect(vm.run(*command, options=("--transport=smbios",), stand_in={}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: cannot deliver OEM strings: its guests have no SMBIOS table on aarch64: "
           "use --transport=initrd\n")
    (directory / "vmcred.yaml").write_text("vms: {test-vm: {credentialFiles: {HOST-TLS: host-tls}}}\n")
    for payload in ("--firmware", "--igvm"):
        expect(vm.run("cloud-hypervisor", payload, "/f", "--initramfs", kernel, options=("--transport=initrd",), stand_in={}), 2,
               "", "vmcred: preparing to start Cloud Hypervisor: credentials are delivered in the initrd, which firmware does not "
               "load: boot a kernel with --kernel\n")
    # The real one's error does not name the initrd.
    fails(vm.run(*CLOUD_HYPERVISOR, "--initramfs", kernel, "--landlock", options=("--transport=initrd",), stand_in={}), 2, "--landlock", "initrd")
    kernel.write_bytes(bytes(64))
    (directory / "vmcred.yaml").write_text("vms: {test-vm: {platformOEMStrings: [PLAIN=1]}}\n")
    expect(vm.run(*command, stand_in={"exit": 0}), 0, "", "")


def test_vmm_option_v_needs_expose_log(directory):
    """with -v, which logs the whole configuration, a credential needs --expose=log"""
    vm = Vm(directory)
    expect(vm.run(*CLOUD_HYPERVISOR, "-v", stand_in={"exit": 0}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: -v logs the VM's configuration, including credentials: remove "
           "-v, or accept that with --expose=log\n")
    expect(vm.run(*CLOUD_HYPERVISOR, "-v", options=("--expose=log",), stand_in={"exit": 0}), 0, "",
           "vmcred: warning: --expose=log: the log of Cloud Hypervisor contains the OEM strings, including credentials\n")
    (directory / "vmcred.yaml").write_text("vms: {test-vm: {platformOEMStrings: [PLAIN=1]}}\n")
    expect(vm.run(*CLOUD_HYPERVISOR, "-v", stand_in={"exit": 0}), 0, "", "")


def test_log_has_each_step_and_no_value(directory):
    """-v and -vv of vmcred log each step without a value"""
    vm = Vm(directory)
    result = vm.run(*CLOUD_HYPERVISOR, options=("-vv",), stand_in={"exit": 0})
    equal(result.code, 0)
    lines = [line for line in result.err.splitlines() if "as process" not in line]
    equal(lines, [f"vmcred: HOST-API-KEY: 25 bytes from {vm.credentials}/host-api-key",
                  f"vmcred: HOST-TLS: 12 bytes from {vm.credentials}/host-tls",
                  f"vmcred: test-vm: 4 OEM strings, {vm.table_size} of 61439 bytes of the table",
                  "vmcred: /api/v1/vm.create: status 204", "vmcred: /api/v1/vm.boot: status 204",
                  "vmcred: the VM is booted"])


def test_expose_argv_refuses_unsupported_strings(directory):
    """--expose=argv refuses strings that Cloud Hypervisor's command line cannot contain"""
    vm = Vm(directory)
    for value, what in (("a,b", "contains ','"), ("[a]", "contains '['"), ("a ", "starts or ends with a space")):
        (vm.credentials / "host-api-key").write_text(value)
        expect(vm.run(*CLOUD_HYPERVISOR, options=("--expose=argv",), stand_in={}), 2, "",
               f"vmcred: preparing to start Cloud Hypervisor: the command line cannot carry HOST-API-KEY, which {what}: "
               f"remove --expose=argv\n")


harness.main()
