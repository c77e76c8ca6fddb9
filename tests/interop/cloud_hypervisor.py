# SPDX-License-Identifier: Apache-2.0
"""The real Cloud Hypervisor creates the same VM from the same command line with and without `vmcred run`."""
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
from vm import Vm, canary, children, visible_to_others, stop


def command_line(directory):
    disk = directory / "disk"
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    return ["--kernel", kernel(directory / "kernel"), "--cmdline", "console=ttyS0 quoted=\"a,b\"",
            "--cpus", "boot=1,max=2,nested=off", "--memory", "size=128M,shared=on,thp=off",
            "--console", "off", "--serial", f"file={directory}/serial",
            "--disk", f"path={disk},readonly=on,image_type=raw,num_queues=1",
            f"path={disk},readonly=on,id=second,image_type=raw",
            "--rng", "src=/dev/urandom", "--watchdog", "--pvpanic",
            "--balloon", "size=1M,deflate_on_oom=on", "--vsock", f"cid=3,socket={directory}/vsock",
            "--platform", "num_pci_segments=2,system_uuid=00112233-4455-6677-8899-aabbccddeeff,"
            "system_family=\"a,b\",oem_strings=[ARG=1,io.systemd.credential:vmm.notify_socket=vsock-stream:2:8888]"]


def launched(vm, *words, options=(), fds=()):
    """These guests ignore the power button."""
    if "--expose=argv" not in options:
        options = ("--stop-timeout=0", *options)
    return vm.start("cloud-hypervisor", *words, options=options, fds=fds)


def info_of(directory, process):
    try:
        return running(directory, process)
    finally:
        stop(process)
        (directory / "vsock").unlink(missing_ok=True)


def test_same_configuration_with_oem_strings(directory):
    """both report the same configuration, with the OEM strings in order"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    words = [*command_line(directory), "--api-socket", directory / "api"]
    plain = info_of(directory, subprocess.Popen(["cloud-hypervisor", *words], cwd=directory, stderr=subprocess.DEVNULL))
    ours = info_of(directory, launched(vm, *words))
    arguments = ["ARG=1", "io.systemd.credential:vmm.notify_socket=vsock-stream:2:8888"]
    equal(plain["config"]["platform"].pop("oem_strings"), arguments)
    equal(ours["config"]["platform"].pop("oem_strings"), arguments + vm.oem_strings)
    equal(ours["config"], plain["config"], "config")


def test_defaults_make_the_same_vm(directory):
    """a command line with only defaults creates the same VM too"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    words = ["--kernel", kernel(directory / "kernel"), "--api-socket", directory / "api"]
    plain = info_of(directory, subprocess.Popen(["cloud-hypervisor", *words], cwd=directory, stderr=subprocess.DEVNULL,
                                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    ours = info_of(directory, launched(vm, *words))
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


def interfaces_compare(directory, line, fds):
    """Compares the VM and its tap descriptors for both ways to start it; returns the VM."""
    guest = Guest(directory)
    got = []
    for ours in (False, True):
        process = guest.start(shlex.split(line), ours, fds=fds)
        info = comparable(running(directory, process), shlex.split(line))
        got.append((info, tun_count([process.pid, *children(process.pid)][-1])))
        if ours:
            equal(tun_count(process.pid), 0)
        stop(process)
    equal(got[1], got[0])
    for fd in fds:
        os.close(fd)
    return got[1][0]["config"]


def test_interfaces_given_as_descriptors(directory):
    """interfaces given as descriptors are the same, in the same order, and no descriptor leaks"""
    need_cloud_hypervisor()
    private_network_enter()
    two, one = tap_queues("two", 2), tap_queues("one", 1)
    config = interfaces_compare(
        directory, f"--kernel kernel --console off --cpus boot=2 --net tap=a,mac=02:00:00:00:00:01 "
                f"fd=[{two[0]},{two[1]}],num_queues=4,mac=02:00:00:00:00:02,id=second tap=c,mac=02:00:00:00:00:03 "
                f"fd={one[0]},mac=02:00:00:00:00:04 --api-socket api", (*two, *one))
    equal([interface["mac"] for interface in config["net"]], [f"02:00:00:00:00:0{number}" for number in range(1, 5)])


def test_landlock_permits_taps_after_descriptors(directory):
    """with --landlock an interface after one with descriptors can still open its tap"""
    need_cloud_hypervisor()
    private_network_enter()
    one = tap_queues("one", 1)
    interfaces_compare(directory, f"--kernel kernel --console off --landlock --net fd={one[0]},mac=02:00:00:00:00:01 "
                               f"tap=b,mac=02:00:00:00:00:02 --api-socket api", one)


def test_wrong_number_of_descriptors_is_refused(directory):
    """an interface whose descriptors do not match its queues is refused with Cloud Hypervisor's error"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    read_end, write_end = os.pipe()
    process = launched(vm, "--kernel", kernel(directory / "kernel"), "--console", "off", "--net",
                       f"fd=[{read_end}],num_queues=4", fds=(read_end,))
    equal((process.wait(60), vm.errors()),
          (1, "vmcred: starting cloud-hypervisor: adding interface 1: Error from API: The network device could not be added "
              "to the VM: Failed to validate config: Number of queues (4) to virtio_net does not match the number "
              "of FDs (2)\n"))
    os.close(read_end)
    os.close(write_end)


def test_vm_info_is_a_valid_vm_config(directory):
    """the configuration of vm.info is a --vm-config that creates the same VM"""
    need_cloud_hypervisor()
    guest = Guest(directory)
    first, _ = guest.info("--kernel kernel --console off --cpus boot=2,max=4 --disk path=disk,readonly=on,bw_size=9,"
                          "bw_refill_time=9 --pmem file=pmem,discard_writes=on --platform num_pci_segments=2 --watchdog")
    (directory / "vm.json").write_text(json.dumps(first["config"]))
    process = guest.start(["--vm-config", "vm.json", "--api-socket", "api"], True)
    info = running(directory, process)
    stop(process)
    equal(info["config"]["platform"].pop("oem_strings"), ["OEM=1"])
    equal(info["config"], first["config"])


def test_merged_configuration(directory):
    """the real program starts the merged VM, and a member that it ignores is an error"""
    need_cloud_hypervisor()
    guest = Guest(directory)
    merge = ["--vm-config-merge", '{"watchdog": true, "cpus": {"max_vcpus": 4}}']
    process = guest.start(["--kernel", "kernel", "--console", "off", "--cpus", "boot=2", "--api-socket", "api", *merge], True)
    config = running(directory, process)["config"]
    stop(process)
    equal((config["watchdog"], config["cpus"]["max_vcpus"], config["platform"]["oem_strings"]), (True, 4, ["OEM=1"]))
    process = guest.start(["--kernel", "kernel", "--console", "off", "--vm-config-merge", '{"gpu": [{"socket": "s"}]}'], True)
    equal(process.wait(60), 2)


def test_restore_is_passed_on_without_strings(directory):
    """without strings to deliver --restore is passed on, and with --kernel it is refused"""
    # No snapshot is made, because not every KVM supports it.
    need_cloud_hypervisor()
    vm = Vm(directory, "vms: {test-vm: {}}\n")
    words = ["--restore", f"source_url=file://{directory}/none,resume=on"]

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


def test_inherited_socket_becomes_the_api_socket(directory):
    """an inherited listening socket becomes its API's"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    with socket.socket(socket.AF_UNIX) as listener:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(directory / "api"))
        listener.listen(4)
        process = launched(vm, "--kernel", kernel(directory / "kernel"), "--console", "off", "--api-socket",
                           f"fd={listener.fileno()}", fds=(listener.fileno(),))
        equal(running(directory, process)["config"]["platform"]["oem_strings"], vm.oem_strings)
        equal(stop(process), 0)
    assert (directory / "api").exists()


def test_no_credential_in_command_lines(directory):
    """no command line or environment contains a credential while it runs"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    process = launched(vm, *command_line(directory), "--api-socket", directory / "api")
    running(directory, process)
    pids = [process.pid, *children(process.pid)]
    equal(len(pids), 2)
    for pid in pids:
        for form in canary(vm.api_key) + canary(vm.tls):
            assert form not in visible_to_others(pid), pid
    equal(stop(process), 0)
    equal((directory / "api").exists(), False)


def test_expose_argv_gives_the_same_strings(directory):
    """with --expose=argv it gets the same strings as literal arguments"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    vm.api_key = "plain-7f0c1d3a5b"
    (vm.credentials / "host-api-key").write_text(vm.api_key)
    process = launched(vm, *command_line(directory), "--api-socket", directory / "api",
                       options=("--expose=argv",))
    running(directory, process)
    assert vm.api_key.encode() in visible_to_others(process.pid)
    platform = info_of(directory, process)["config"]["platform"]
    equal(platform["oem_strings"][2:], vm.oem_strings)
    equal(platform["system_family"], "a,b")


def test_log_with_v_contains_the_credentials(directory):
    """with -v its log contains the credentials, which is why that needs --expose=log"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    process = launched(vm, "-v", "--log-file", directory / "log", *command_line(directory), "--api-socket",
                       directory / "api", options=("--expose=log",))
    info_of(directory, process)
    assert vm.oem_strings[3] in (directory / "log").read_text()


def test_largest_request_succeeds_every_time(directory):
    """the largest request succeeds every time"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    (vm.credentials / "host-api-key").write_text("z" * 50800)
    words = ["--kernel", kernel(directory / "kernel"), "--console", "off", "--api-socket", directory / "api"]
    # Without MALLOC_TRIM_THRESHOLD_ in its environment it dies, or hangs, a few times in a hundred.
    for _ in range(40):
        info_of(directory, launched(vm, *words))


def test_log_without_v_contains_no_credential(directory):
    """without -v its logs contain no credential"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    process = launched(vm, "--log-file", directory / "log", *command_line(directory), "--api-socket",
                       directory / "api")
    info_of(directory, process)
    for form in canary(vm.api_key) + canary(vm.tls):
        assert form not in (directory / "log").read_bytes() + (directory / "err").read_bytes()


def test_error_for_arguments_is_shown(directory):
    """its error for its arguments is shown"""
    need_cloud_hypervisor()
    result = Vm(directory).run("cloud-hypervisor", *command_line(directory), "--seccomp", "perhaps")
    expect(result, 1, "",
           "error: invalid value 'perhaps' for '--seccomp <seccomp>'\n"
           "  [possible values: true, false, log, errno]\n\nFor more information, try '--help'.\n"
           "vmcred: starting cloud-hypervisor: it exited with code 2 before its VM booted: its output: error: "
           "invalid value 'perhaps' for '--seccomp <seccomp>' [possible values: true, false, log, errno] For more "
           "information, try '--help'.\n")


def test_error_for_a_vm_is_shown(directory):
    """its error for a VM is shown"""
    need_cloud_hypervisor()
    words = command_line(directory)
    words[1] = directory / "no-kernel"
    vm = Vm(directory)
    expect(vm.run("cloud-hypervisor", *words, "--log-file", directory / "log"), 1, "",
           "vmcred: starting cloud-hypervisor: booting the VM: Error from API: The VM could not boot: Cannot open kernel "
           "file: No such file or directory (os error 2)\n")
    words[words.index("--memory") + 1] = "size=128M,shared=on,mergeable=on"
    expect(vm.run("cloud-hypervisor", *words, "--log-file", directory / "log"), 1, "",
           "vmcred: starting cloud-hypervisor: booting the VM: Error from API: The VM could not boot: Failed to validate "
           "config: Invalid to set both 'mergeable' and 'shared' for memory\n")


def test_larger_request_than_accepted_is_refused(directory):
    """a request of the largest size is accepted, and vmcred refuses a larger one"""
    need_cloud_hypervisor()
    vm = Vm(directory)
    words = ["--kernel", kernel(directory / "kernel"), "--console", "off", "--api-socket", directory / "api"]

    def body_size(size):
        (vm.credentials / "host-api-key").write_text("z" * size)
        return json.loads(vm.compose("--json", "--", "cloud-hypervisor", *words).out)["totals"]["apiBody"]

    size = 1000 + 51200 - body_size(1000)["used"]
    equal(body_size(size)["used"], 51200)
    vm.api_key = "z" * size
    info = info_of(directory, launched(vm, *words))
    equal(info["config"]["platform"]["oem_strings"], vm.oem_strings)
    (vm.credentials / "host-api-key").write_text("z" * (size + 1))
    result = vm.run("cloud-hypervisor", *words)
    fails(result, 1, 51201, 51200)


harness.main()
