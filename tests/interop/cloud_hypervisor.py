# SPDX-License-Identifier: Apache-2.0
"""The real Cloud Hypervisor makes the same VM of the same command line, with and without `vmcred run`."""
import json
import os
import re
import shlex
import socket
import subprocess

import harness
from harness import equal, expect, fails
from cloud_hypervisor_vm import (Guest, comparable, kernel, need_cloud_hypervisor, private_network_enter, running,
                                 tap_queues)
from vm import Vm, canary, children, in_view, stop


def command_line(folder):
    disk = folder / "disk"
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    return ["--kernel", kernel(folder / "kernel"), "--cmdline", "console=ttyS0 quoted=\"a,b\"",
            "--cpus", "boot=1,max=2,nested=off", "--memory", "size=128M,shared=on,thp=off",
            "--console", "off", "--serial", f"file={folder}/serial",
            "--disk", f"path={disk},readonly=on,image_type=raw,num_queues=1",
            f"path={disk},readonly=on,id=second,image_type=raw",
            "--rng", "src=/dev/urandom", "--watchdog", "--pvpanic",
            "--balloon", "size=1M,deflate_on_oom=on", "--vsock", f"cid=3,socket={folder}/vsock",
            "--platform", "num_pci_segments=2,system_uuid=00112233-4455-6677-8899-aabbccddeeff,"
            "system_family=\"a,b\",oem_strings=[ARG=1,io.systemd.credential:vmm.notify_socket=vsock-stream:2:8888]"]


def launched(vm, *words, options=(), fds=()):
    """These guests ignore the power button."""
    if "--expose=argv" not in options:
        options = ("--stop-timeout=0", *options)
    return vm.start("cloud-hypervisor", *words, options=options, fds=fds)


def info_of(folder, process):
    try:
        return running(folder, process)
    finally:
        stop(process)
        (folder / "vsock").unlink(missing_ok=True)


def test_both_report_same_configuration_oem_strings_there(folder):
    """both report the same configuration, with the OEM strings in order"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    words = [*command_line(folder), "--api-socket", folder / "api"]
    plain = info_of(folder, subprocess.Popen(["cloud-hypervisor", *words], cwd=folder, stderr=subprocess.DEVNULL))
    ours = info_of(folder, launched(vm, *words))
    arguments = ["ARG=1", "io.systemd.credential:vmm.notify_socket=vsock-stream:2:8888"]
    equal(plain["config"]["platform"].pop("oem_strings"), arguments)
    equal(ours["config"]["platform"].pop("oem_strings"), arguments + vm.oem_strings)
    equal(ours["config"], plain["config"], "config")


def test_command_line_defaults_alone_makes_same_vm_too(folder):
    """a command line with only defaults makes the same VM too"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    words = ["--kernel", kernel(folder / "kernel"), "--api-socket", folder / "api"]
    plain = info_of(folder, subprocess.Popen(["cloud-hypervisor", *words], cwd=folder, stderr=subprocess.DEVNULL,
                                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    ours = info_of(folder, launched(vm, *words))
    equal(ours["config"].pop("platform")["oem_strings"], vm.oem_strings)
    plain["config"].pop("platform", None)
    equal(ours["config"], plain["config"], "config")


def tun_count(pid):
    """How many descriptors of tap interfaces a process holds."""
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/net/tun"
        except FileNotFoundError:
            continue
    return count


def interfaces_compare(folder, line, fds):
    """Compares the VM and its tap descriptors for both ways to start it; returns the VM."""
    guest = Guest(folder)
    got = []
    for ours in (False, True):
        process = guest.start(shlex.split(line), ours, fds=fds)
        info = comparable(running(folder, process), shlex.split(line))
        got.append((info, tun_count([process.pid, *children(process.pid)][-1])))
        if ours:
            equal(tun_count(process.pid), 0)
        stop(process)
    equal(got[1], got[0])
    for fd in fds:
        os.close(fd)
    return got[1][0]["config"]


def test_interfaces_come_descriptors_same_ones_same_places(folder):
    """interfaces given as descriptors are the same, in the same order, and no descriptor leaks"""
    need_cloud_hypervisor()
    private_network_enter()
    two, one = tap_queues("two", 2), tap_queues("one", 1)
    config = interfaces_compare(
        folder, f"--kernel kernel --console off --cpus boot=2 --net tap=a,mac=02:00:00:00:00:01 "
                f"fd=[{two[0]},{two[1]}],num_queues=4,mac=02:00:00:00:00:02,id=second tap=c,mac=02:00:00:00:00:03 "
                f"fd={one[0]},mac=02:00:00:00:00:04 --api-socket api", (*two, *one))
    equal([interface["mac"] for interface in config["net"]], [f"02:00:00:00:00:0{number}" for number in range(1, 5)])


def test_landlock_interface_behind_descriptors_can_still(folder):
    """with --landlock an interface after one with descriptors can still open its tap"""
    need_cloud_hypervisor()
    private_network_enter()
    one = tap_queues("one", 1)
    interfaces_compare(folder, f"--kernel kernel --console off --landlock --net fd={one[0]},mac=02:00:00:00:00:01 "
                               f"tap=b,mac=02:00:00:00:00:02 --api-socket api", one)


def test_interface_whose_descriptors_do_not_fit_queues(folder):
    """an interface whose descriptors do not match its queues is refused with Cloud Hypervisor's error"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    read_end, write_end = os.pipe()
    process = launched(vm, "--kernel", kernel(folder / "kernel"), "--console", "off", "--net",
                       f"fd=[{read_end}],num_queues=4", fds=(read_end,))
    equal((process.wait(20), vm.errors()),
          (1, "vmcred: starting cloud-hypervisor: adding interface 1: Error from API: The network device could not be added "
              "to the VM: Failed to validate config: Number of queues (4) to virtio_net does not match the number "
              "of FDs (2)\n"))
    os.close(read_end)
    os.close(write_end)


def test_vm_info_says_vm_vm_config_makes_same(folder):
    """the configuration of vm.info is a --vm-config that makes the same VM"""
    need_cloud_hypervisor()
    guest = Guest(folder)
    first, _ = guest.info("--kernel kernel --console off --cpus boot=2,max=4 --disk path=disk,readonly=on,bw_size=9,"
                          "bw_refill_time=9 --pmem file=pmem,discard_writes=on --platform num_pci_segments=2 --watchdog")
    (folder / "vm.json").write_text(json.dumps(first["config"]))
    process = guest.start(["--vm-config", "vm.json", "--api-socket", "api"], True)
    info = running(folder, process)
    stop(process)
    equal(info["config"]["platform"].pop("oem_strings"), ["OEM=1"])
    equal(info["config"], first["config"])


def test_without_strings_deliver_restore_program_own_kernel(folder):
    """without strings to deliver --restore is passed on, and with --kernel it is refused"""
    # No snapshot is made, because not every KVM supports it.
    need_cloud_hypervisor()
    vm = Vm(folder, "vms: {test-vm: {}}\n")
    words = ["--restore", f"source_url=file://{folder}/none,resume=on"]

    def timeless(result):
        return result.code, result.out, re.sub(r"\d+\.\d+s", "TIME", result.err)

    plain = timeless(harness.run("cloud-hypervisor", *words))
    equal(plain[0], 1)
    assert "Error restoring VM" in plain[2], plain
    equal(timeless(vm.run("cloud-hypervisor", *words)), plain)
    # Without vmcred the program ignores --restore here.
    expect(vm.run("cloud-hypervisor", "--kernel", "/k", *words), 2, "",
           "vmcred: reading the command line of cloud-hypervisor: --restore and --kernel cannot be combined: a restored "
           "VM has its own configuration\n")


def test_listening_socket_handed_over_api(folder):
    """an inherited listening socket becomes its API's"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(folder / "api"))
        listener.listen(4)
        process = launched(vm, "--kernel", kernel(folder / "kernel"), "--console", "off", "--api-socket",
                           f"fd={listener.fileno()}", fds=(listener.fileno(),))
        equal(running(folder, process)["config"]["platform"]["oem_strings"], vm.oem_strings)
        equal(stop(process), 0)
    assert (folder / "api").exists()


def test_nothing_view_holds_credential_while_runs(folder):
    """no command line or environment contains a credential while it runs"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    process = launched(vm, *command_line(folder), "--api-socket", folder / "api")
    running(folder, process)
    pids = [process.pid, *children(process.pid)]
    equal(len(pids), 2)
    for pid in pids:
        for form in canary(vm.api_key) + canary(vm.tls):
            assert form not in in_view(pid), pid
    equal(stop(process), 0)
    equal((folder / "api").exists(), False)


def test_expose_argv_gets_strings_literal_arguments_same(folder):
    """with --expose=argv it gets the same strings as literal arguments"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    vm.api_key = "plain-7f0c1d3a5b"
    (vm.credentials / "host-api-key").write_text(vm.api_key)
    process = launched(vm, *command_line(folder), "--api-socket", folder / "api",
                       options=("--expose=argv",))
    running(folder, process)
    assert vm.api_key.encode() in in_view(process.pid)
    platform = info_of(folder, process)["config"]["platform"]
    equal(platform["oem_strings"][2:], vm.oem_strings)
    equal(platform["system_family"], "a,b")


def test_v_log_does_hold_credentials_reason_why_needs_expose(folder):
    """with -v its log contains the credentials, which is why that needs --expose=log"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    process = launched(vm, "-v", "--log-file", folder / "log", *command_line(folder), "--api-socket",
                       folder / "api", options=("--expose=log",))
    info_of(folder, process)
    assert vm.oem_strings[3] in (folder / "log").read_text()


def test_largest_request_no_trouble_however_often(folder):
    """the largest request succeeds every time"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    (vm.credentials / "host-api-key").write_text("z" * 50800)
    words = ["--kernel", kernel(folder / "kernel"), "--console", "off", "--api-socket", folder / "api"]
    # Without MALLOC_TRIM_THRESHOLD_ in its environment it dies, or hangs, a few times in a hundred.
    for _ in range(40):
        info_of(folder, launched(vm, *words))


def test_without_v_no_log_holds_them(folder):
    """without -v its logs contain no credential"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    process = launched(vm, "--log-file", folder / "log", *command_line(folder), "--api-socket",
                       folder / "api")
    info_of(folder, process)
    for form in canary(vm.api_key) + canary(vm.tls):
        assert form not in (folder / "log").read_bytes() + (folder / "err").read_bytes()


def test_refusal_arguments_comes_through(folder):
    """its error for its arguments is shown"""
    need_cloud_hypervisor()
    result = Vm(folder).run("cloud-hypervisor", *command_line(folder), "--seccomp", "perhaps")
    expect(result, 1, "",
           "error: invalid value 'perhaps' for '--seccomp <seccomp>'\n"
           "  [possible values: true, false, log, errno]\n\nFor more information, try '--help'.\n"
           "vmcred: starting cloud-hypervisor: it exited with code 2 before its VM booted: its output: error: "
           "invalid value 'perhaps' for '--seccomp <seccomp>' [possible values: true, false, log, errno] For more "
           "information, try '--help'.\n")


def test_refusal_vm_comes_through_own_words(folder):
    """its error for a VM is shown"""
    need_cloud_hypervisor()
    words = command_line(folder)
    words[1] = folder / "no-kernel"
    vm = Vm(folder)
    expect(vm.run("cloud-hypervisor", *words, "--log-file", folder / "log"), 1, "",
           "vmcred: starting cloud-hypervisor: booting the VM: Error from API: The VM could not boot: Cannot open kernel "
           "file: No such file or directory (os error 2)\n")
    words[words.index("--memory") + 1] = "size=128M,shared=on,mergeable=on"
    expect(vm.run("cloud-hypervisor", *words, "--log-file", folder / "log"), 1, "",
           "vmcred: starting cloud-hypervisor: booting the VM: Error from API: The VM could not boot: Failed to validate "
           "config: Invalid to set both 'mergeable' and 'shared' for memory\n")


def test_request_size_takes_taken_vmcred_refuses_next_larger(folder):
    """a request of the largest size is accepted, and vmcred refuses a larger one"""
    need_cloud_hypervisor()
    vm = Vm(folder)
    words = ["--kernel", kernel(folder / "kernel"), "--console", "off", "--api-socket", folder / "api"]

    def body_size(size):
        (vm.credentials / "host-api-key").write_text("z" * size)
        return json.loads(vm.compose("--json", "--", "cloud-hypervisor", *words).out)["totals"]["apiBody"]

    size = 1000 + 51200 - body_size(1000)["used"]
    equal(body_size(size)["used"], 51200)
    vm.api_key = "z" * size
    info = info_of(folder, launched(vm, *words))
    equal(info["config"]["platform"]["oem_strings"], vm.oem_strings)
    (vm.credentials / "host-api-key").write_text("z" * (size + 1))
    result = vm.run("cloud-hypervisor", *words)
    fails(result, 1, 51201, 51200)


harness.main()
