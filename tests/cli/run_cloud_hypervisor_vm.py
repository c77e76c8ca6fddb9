# SPDX-License-Identifier: Apache-2.0
"""vmcred run with Cloud Hypervisor, on a strict stand-in: descriptors, versions, sockets, whole configurations, restored
VMs, and an API that misbehaves. What becomes of each option is in interop/cloud_hypervisor_lines.py.
"""
import json
import os
import socket
import stat
from pathlib import Path

import harness
from harness import equal, expect, test
from vm import CLOUD_HYPERVISOR, Vm, api_get, nothing_left, stop, wait_for

PLAIN = "vms: {test-vm: {platformOEMStrings: [PLAIN=1]}}\n"
NOTHING = "vms: {test-vm: {}}\n"


def failed(vm, *words, fds=(), stand_in=None):
    """Exit code and stderr of a launch that is expected to end."""
    process = vm.start(*words, fds=fds, stand_in=stand_in or {})
    return process.wait(30), vm.errors()


def requests_of(vm):
    """What it was asked: method, name and body, decoded."""
    return [(method, resource.removeprefix("/api/v1/"), json.loads(body) if body else None)
            for method, resource, body, *_ in vm.recorded()["requests"]]


def identity(fd):
    status = os.fstat(fd)
    return f"{status.st_dev}:{status.st_ino}"


class Pipes:
    """Descriptors that a program can inherit, each of a file of its own."""

    def __init__(self, count):
        self.ends = [os.pipe() for _ in range(count)]
        self.fds = [end[0] for end in self.ends]

    def __enter__(self):
        return self.fds

    def __exit__(self, *_):
        for end in self.ends:
            os.close(end[0])
            os.close(end[1])


def held(pid):
    """What a process has open, by identity."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            status = os.stat(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        found.add(f"{status.st_dev}:{status.st_ino}")
    return found


def test_descriptors_interfaces_come_beside_request_order(folder):
    """descriptors of interfaces come beside the request, in their order, and the interfaces keep their place"""
    vm = Vm(folder)
    with Pipes(3) as (one, two, three):
        process = vm.start(*CLOUD_HYPERVISOR, "--net", "tap=a", f"fd=[{two},{one}],num_queues=4,id=b",
                           "tap=c", f"id=d,fd={three}", fds=(one, two, three), stand_in={})
        wait_for("vm.boot", vm.booted)
        equal([request[1] for request in requests_of(vm)],
              ["vm.create", "vm.add-net", "vm.add-net", "vm.add-net", "vm.boot"])
        equal(requests_of(vm)[0][2]["net"], [{"tap": "a"}])
        equal([request[2] for request in requests_of(vm)[1:4]],
              [{"num_queues": 4, "id": "b"}, {"tap": "c"}, {"id": "d"}])
        came = [[what.split(" ")[1] for what in files] for files in vm.recorded()["descriptors"]]
        equal(came, [[], [identity(two), identity(one)], [], [identity(three)], []])
        # The VMM has inherited none of them, and vmcred has closed its own.
        equal(vm.recorded()["inherited"], [])
        for fd in (one, two, three):
            assert identity(fd) not in held(process.pid), fd
        equal(stop(process), 0)


def test_interface_descriptors_alone_leaves_empty_list(folder):
    """an interface with descriptors alone leaves an empty list of interfaces in vm.create"""
    vm = Vm(folder)
    with Pipes(1) as (one,):
        process = vm.start(*CLOUD_HYPERVISOR, "--net", f"fd=[{one}],mac=02:00:00:00:00:01", fds=(one,), stand_in={})
        wait_for("vm.boot", vm.booted)
        equal(requests_of(vm)[0][2]["net"], [])
        equal(requests_of(vm)[1], ("PUT", "vm.add-net", {"mac": "02:00:00:00:00:01"}))
        equal(stop(process), 0)


def test_exec_descriptors_socket_handed_over_arrive_just(folder):
    """with --exec, descriptors and the socket that was handed over arrive just so"""
    vm = Vm(folder)
    with Pipes(1) as (one,), socket.socket(socket.AF_UNIX) as listener:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(folder / "record.api"))
        listener.listen(4)
        fds = (one, listener.fileno())
        process = vm.start(*CLOUD_HYPERVISOR, "--net", f"fd=[{one}]", "--api-socket", f"fd={fds[1]}", fds=fds,
                           options=("--exec",), stand_in={})
        wait_for("vm.boot", vm.booted)
        equal([[what.split(" ")[1] for what in files] for files in vm.recorded()["descriptors"]],
              [[], [identity(one)], []])
        equal(vm.recorded()["inherited"], [])
        equal(api_get(folder / "record.api", "vm.info")["config"]["net"][0].keys(), {"fds"})
        equal(stop(process), 0)


HINT = ": an interface's descriptors have to be open when vmcred is started\n"
DESCRIPTORS = {
    "that is not open": ("fd=[77]", "the descriptor 77 is not open"),
    "that is a standard one": ("fd=[2]", "the descriptor 2 is a standard one"),
    "that comes twice": ("fd=[{0},{0}],num_queues=4", "the descriptor {0} is not open, or comes twice"),
}

for name, (text, message) in DESCRIPTORS.items():
    def refused(folder, text=text, message=message):
        vm = Vm(folder)
        with Pipes(1) as (one,):
            equal(failed(vm, *CLOUD_HYPERVISOR, "--net", text.format(one), fds=(one,)),
                  (2, f"vmcred: starting cloud-hypervisor: --net: {message.format(one)}{HINT}"))
        nothing_left(vm)

    test(f"a descriptor {name} is refused before anything starts")(refused)


def test_interface_vmm_refuses_named_place_nothing_left(folder):
    """an interface that the VMM refuses is named by its place, and nothing is left"""
    vm = Vm(folder)
    with Pipes(1) as (one,):
        equal(failed(vm, *CLOUD_HYPERVISOR, "--net", "tap=a", f"fd=[{one}],num_queues=4", fds=(one,)),
              (1, "vmcred: starting cloud-hypervisor: adding interface 2: Error from API: 1 descriptors for 4 queues\n"))
    nothing_left(vm)


def test_expose_argv_vmm_inherits_descriptors_command_line(folder):
    """with --expose=argv the VMM inherits the descriptors that its command line names"""
    vm = Vm(folder, PLAIN)
    (vm.bin / "cloud-hypervisor").write_text(f"#!/bin/sh\nls -l /proc/$$/fd >{folder}/listing\n")
    (vm.bin / "cloud-hypervisor").chmod(0o755)
    with Pipes(1) as (one,):
        process = vm.start(*CLOUD_HYPERVISOR, "--net", f"fd=[{one}]", options=("--expose=argv",), fds=(one,))
        equal(process.wait(20), 0)
        assert f" {one} -> pipe:" in (folder / "listing").read_text()


def whole(folder, config):
    path = folder / "vm.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return "cloud-hypervisor", "--vm-config", path


def test_vm_config_gives_vm_oem_strings_added_own(folder):
    """--vm-config gives the VM as it is, and the OEM strings are added to its own"""
    vm = Vm(folder)
    config = {"payload": {"kernel": "/k"}, "cpus": {"boot_vcpus": 2, "max_vcpus": 2},
              "platform": {"num_pci_segments": 2, "oem_strings": ["FILE=1"]}}
    process = vm.start(*whole(folder, config), "--log-file", folder / "err2", stand_in={})
    wait_for("vm.boot", vm.booted)
    config["platform"]["oem_strings"] += vm.oem_strings
    equal(requests_of(vm)[0], ("PUT", "vm.create", config))
    equal(vm.recorded()["argv"][:2], ["--log-file", str(folder / "err2")])
    equal(stop(process), 0)


def test_descriptors_vm_config_sent_along_too(folder):
    """descriptors in a --vm-config are sent along, too"""
    vm = Vm(folder)
    with Pipes(1) as (one,):
        config = {"payload": {"kernel": "/k"}, "net": [{"tap": "a", "fds": None}, {"fds": [one]}, {"tap": "c"}]}
        process = vm.start(*whole(folder, config), fds=(one,), stand_in={"status": {"vm.create": 204}})
        wait_for("vm.add-net", lambda: len(vm.requested()) > 1)
        equal(requests_of(vm)[0][2]["net"], [{"tap": "a", "fds": None}])
        equal([what.split(" ")[1] for what in vm.recorded()["descriptors"][1]], [identity(one)])
        process.wait(20)


FILES = {
    "is no JSON": ("{", "{path} is not valid JSON (line 1, column 1)", 1),
    "is no VmConfig": ([], "{path} has no payload: it has to be a VmConfig, as Cloud Hypervisor's vm.create takes it: "
                           "{{\"payload\": {{\"kernel\": …}}, …}}", 2),
    "has OEM strings that are none": ({"payload": {}, "platform": {"oem_strings": "A=b"}},
                                      "platform.oem_strings is not a list", 2),
    "has numbers for OEM strings": ({"payload": {}, "platform": {"oem_strings": [1]}},
                                    "platform.oem_strings holds no strings", 2),
}

for name, (content, message, code) in FILES.items():
    def unusable(folder, content=content, message=message, code=code):
        vm = Vm(folder)
        words = whole(folder, content)
        result = vm.run(*words, stand_in={})
        equal((result.code, result.err), (code, "vmcred: reading the command line of cloud-hypervisor: --vm-config: "
                                          + message.format(path=words[2]) + "\n"))

    test(f"a --vm-config that {name} is an error")(unusable)


def test_vm_config_pipe_not_there_error_since_read_more_once(folder):
    """a --vm-config that is a pipe, or not there, is an error, since it is read more than once"""
    vm = Vm(folder)
    os.mkfifo(folder / "pipe")
    expect(vm.run("cloud-hypervisor", "--vm-config", folder / "pipe", stand_in={}), 2, "",
           f"vmcred: reading the command line of cloud-hypervisor: --vm-config: {folder}/pipe is not a regular file\n")
    expect(vm.run("cloud-hypervisor", "--vm-config", folder / "none", stand_in={}), 2, "",
           f"vmcred: reading the command line of cloud-hypervisor: --vm-config: there is no {folder}/none\n")
    expect(vm.run(*whole(folder, {"payload": {}}), options=("--expose=argv",), stand_in={}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: --vm-config has no place on a command line: leave "
           "--expose=argv out\n")


# What the API knows and what it does not, as the stand-in has it; a --vm-config is not looked at on the way.
SHAPES = {
    "a member that is not known": ({"cpuz": {}}, "config.cpuz is not known"),
    "a number that is a word": ({"cpus": {"boot_vcpus": "1", "max_vcpus": 1}},
                                "config.cpus.boot_vcpus is not such a number"),
    "a number that is too large": ({"disks": [{"queue_size": 65536}]}, "config.disks.queue_size is not such a number"),
    "a switch that is a number": ({"watchdog": 1}, "config.watchdog is not one of its words"),
    "a word that is none of its own": ({"serial": {"mode": "off"}}, "config.serial.mode is not one of its words"),
    "a list that is none": ({"net": {}}, "config.net is not a list"),
    "without what it needs": ({"vsock": {"cid": 3}}, "config.vsock has no socket"),
}

for name, (members, reason) in SHAPES.items():
    def shape(folder, members=members, reason=reason):
        vm = Vm(folder)
        expect(vm.run(*whole(folder, {"payload": {"kernel": "/k"}} | members), stand_in={}), 1, "",
               f"vmcred: starting cloud-hypervisor: creating the VM: Error from API: {reason}\n")

    test(f"the API's refusal of {name} comes through")(shape)


OLD = ": leave it out, or take a Cloud Hypervisor that has it\n"
VERSIONS = [
    ("v50.0", [], ("--disk", "path=/d,image_type=raw"), "--disk", 'its key "image_type": it came with v50.1'),
    ("v50.1", [], ("--disk", "path=/d,image_type=raw"), None, None),
    ("v50.2", [], ("--disk", "path=/d,sparse=off"), "--disk", 'its key "sparse": it came with v51.0'),
    ("v51.1", [], ("--rng", "id=r"), "--rng", 'its key "id": it came with v52.0'),
    ("v51.1", [], ("--serial", "off,iommu=off"), None, None),
    ("v52.0", [], ("--serial", "off,iommu=off"), "--serial", 'its key "iommu": it went with v52.0'),
    ("v51.2", [], ("--generic-vhost-user", "virtio_id=fs,socket=/s,queue_sizes=[1]"), "--generic-vhost-user",
     "it: it came with v52.0"),
    ("v52.0", [], ("--generic-vhost-user", "virtio_id=fs,socket=/s,queue_sizes=[1]"), None, None),
    ("v52.0", [], ("--platform", "system_uuid=u"), "--platform", 'its key "system_uuid": it came with v53.0'),
    ("v52.0", [], ("--rtc",), "--rtc", "it: it came with v53.0"),
    ("v54.1", [], ("--rtc",), None, None),
    ("v53.0", ["kvm"], ("--ivshmem", "path=/m"), "--ivshmem", "it: it was built without ivshmem"),
    ("v53.0", ["kvm", "igvm"], ("--platform", "sev_snp=on"), "--platform",
     'its key "sev_snp": it was built without sev_snp'),
]

for version, features, words, option, what in VERSIONS:
    def versioned(folder, version=version, features=features, words=words, option=option, what=what):
        vm = Vm(folder)
        plain = [word for word in CLOUD_HYPERVISOR if option != "--serial" or word not in ("--serial", "null")]
        if words[0] == "--serial":
            plain = [word for word in CLOUD_HYPERVISOR if word not in ("--serial", "null")]
        behaviour = {"version": f"cloud-hypervisor {version}", "features": features, "status": {"vm.create": 500}}
        code, errors = failed(vm, *plain, *words, stand_in=behaviour)
        if option:
            equal((code, errors), (2, f"vmcred: starting cloud-hypervisor: {option}: Cloud Hypervisor {version} does "
                                      f"not know {what}{OLD}"))
            equal([request[:2] for request in requests_of(vm)], [("GET", "vmm.ping")])
        else:
            equal(code, 1)
            equal([request[:2] for request in requests_of(vm)], [("GET", "vmm.ping"), ("PUT", "vm.create")])
        nothing_left(vm)

    knows = f"does not know {what}" if option else "knows it"
    test(f"asked for {' '.join(words)}, a Cloud Hypervisor {version} {knows}")(versioned)


def test_every_version_knows_not_asked(folder):
    """what every version knows is not asked for"""
    vm = Vm(folder)
    process = vm.start(*CLOUD_HYPERVISOR, "--disk", "path=/d,readonly=on", "--platform", "uuid=u",
                       stand_in={"version": "cloud-hypervisor v50.0"})
    wait_for("vm.boot", vm.booted)
    equal([request[:2] for request in requests_of(vm)], [("PUT", "vm.create"), ("PUT", "vm.boot")])
    equal(stop(process), 0)


def test_restored_vm_takes_no_credentials_no_strings_says(folder):
    """a restored VM takes no credentials, and no strings, and says why"""
    for name, declaration in (("a", None), ("b", PLAIN)):
        vm = Vm(folder / name, *([declaration] if declaration else []))
        expect(vm.run("cloud-hypervisor", "--restore", "source_url=file:///s", stand_in={}), 2, "",
               "vmcred: preparing to start Cloud Hypervisor: --restore: a restored VM has the OEM strings of its "
               "snapshot, and takes no others: deliver credentials to a VM that is started anew\n")
        assert not (vm.folder / "record").exists()


def test_without_anything_deliver_vm_restored_same_command(folder):
    """without anything to deliver a VM is restored by the same command line"""
    vm = Vm(folder, NOTHING)
    words = ("--restore", "source_url=file:///s,prefault=on", "--api-socket", str(folder / "api"), "-v")
    expect(vm.run("cloud-hypervisor", *words, stand_in={"exit": 7}), 7, "", "")
    equal(vm.recorded()["argv"], list(words))


def test_credential_arguments_declaration_both_error_says(folder):
    """a credential that the arguments and the declaration both have is an error that says so"""
    vm = Vm(folder)
    expect(vm.run(*CLOUD_HYPERVISOR, "--platform", "oem_strings=[io.systemd.credential:HOST-TLS=x]", stand_in={}), 2, "",
           "vmcred: composing the OEM strings of test-vm: the credential HOST-TLS comes twice, in the VMM's arguments and "
           "in credentialFiles: the guest's systemd would take one and drop the other: rename or remove one\n")


def test_listening_socket_handed_over_used_file_stays(folder):
    """a listening socket that is handed over is used, and its file stays"""
    vm = Vm(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(folder / "record.api"))
        listener.listen(4)
        fd = listener.fileno()
        process = vm.start(*CLOUD_HYPERVISOR, "--api-socket", f"fd={fd}", fds=(fd,), stand_in={})
        wait_for("vm.boot", vm.booted)
        equal(vm.recorded()["argv"][-2:], ["--api-socket", f"fd={fd}"])
        equal(vm.recorded()["inherited"], [])
        equal(api_get(folder / "record.api", "vm.info")["state"], "Running")
        equal(stop(process), 0)
    assert stat.S_ISSOCK((folder / "record.api").stat().st_mode)


def test_socket_others_can_open_refused_whoever_made(folder):
    """a socket that others can open is refused, whoever made it"""
    vm = Vm(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.umask(0)
        listener.bind(str(folder / "record.api"))
        os.umask(before)
        listener.listen(4)
        fd = listener.fileno()
        mode = stat.S_IMODE((folder / "record.api").stat().st_mode)
        equal(failed(vm, *CLOUD_HYPERVISOR, "--api-socket", f"fd={fd}", fds=(fd,)),
              (2, f"vmcred: starting cloud-hypervisor: the API socket fd={fd}: {folder}/record.api has mode {mode:04o}: "
                  f"others than its owner can connect and ask for the OEM strings: make it with mode 0600 "
                  f"(SocketMode=0600 in a socket unit)\n"))
    assert not (folder / "record").exists()


def test_api_socket_path_file_same_api_socket_file(folder):
    """--api-socket path=FILE is the same as --api-socket FILE"""
    vm = Vm(folder)
    process = vm.start(*CLOUD_HYPERVISOR, "--api-socket", f"path={folder}/api", stand_in={})
    wait_for("vm.boot", vm.booted)
    equal(stat.S_IMODE((folder / "api").stat().st_mode), 0o600)
    equal(api_get(folder / "api", "vm.info")["state"], "Running")
    equal(stop(process), 0)
    nothing_left(vm)


BROKEN = {
    "ends in the middle": ({"cut": "vm.create"}, "creating the VM: the VMM closed its API without an answer"),
    "is not HTTP": ({"garbage": "vm.create"}, "creating the VM: the answer of the VMM's API is not HTTP"),
    "to the question for its version ends in the middle": (
        {"cut": "vmm.ping"}, "asking for its version: the VMM closed its API without an answer"),
    "to the question for its version is an error": (
        {"status": {"vmm.ping": 500}},
        "asking for its version: Error from API: The VM could not do vmm.ping: the cause"),
    "to vm.add-net ends in the middle": (
        {"cut": "vm.add-net"}, "adding interface 1: the VMM closed its API without an answer"),
}

for name, (behaviour, message) in BROKEN.items():
    def broken(folder, behaviour=behaviour, message=message):
        vm = Vm(folder)
        with Pipes(1) as (one,):
            equal(failed(vm, *CLOUD_HYPERVISOR, "--rng", "src=/dev/urandom,id=r", "--net", f"fd=[{one}]", fds=(one,),
                         stand_in=behaviour), (1, f"vmcred: starting cloud-hypervisor: {message}\n"))
        nothing_left(vm)

    test(f"where an answer {name} the launch fails, says so, and leaves nothing")(broken)

harness.main()
