# SPDX-License-Identifier: Apache-2.0
"""vmcred run with a strict stand-in for Cloud Hypervisor: descriptors, versions, sockets, --vm-config, restored VMs, and
an API that misbehaves. interop/cloud_hypervisor_lines.py tests the translation of each option.
"""
import json
import os
import socket
import stat

import harness
from harness import equal, expect, fails, test
from vm import ChangingFile, CLOUD_HYPERVISOR, DECLARATION, Vm, api_get, nothing_left, stop, wait_for

PLAIN = "vms: {test-vm: {platformOEMStrings: [PLAIN=1]}}\n"
NOTHING = "vms: {test-vm: {}}\n"


def failed(vm, *words, fds=(), stand_in=None):
    """Exit code and stderr of a launch that is expected to end."""
    process = vm.start(*words, fds=fds, stand_in=stand_in or {})
    return process.wait(30), vm.errors()


def requests_of(vm):
    """The requests: method, name and decoded body."""
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
    """The identities of a process's open files."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            status = os.stat(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        found.add(f"{status.st_dev}:{status.st_ino}")
    return found


def test_descriptors_of_interfaces_are_sent_in_order(directory):
    """descriptors of interfaces are sent with the request in their order, and the interfaces keep theirs"""
    vm = Vm(directory)
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


def test_single_interface_with_descriptors(directory):
    """for a single interface with descriptors vm.create has an empty list of interfaces"""
    vm = Vm(directory)
    with Pipes(1) as (one,):
        process = vm.start(*CLOUD_HYPERVISOR, "--net", f"fd=[{one}],mac=02:00:00:00:00:01", fds=(one,), stand_in={})
        wait_for("vm.boot", vm.booted)
        equal(requests_of(vm)[0][2]["net"], [])
        equal(requests_of(vm)[1], ("PUT", "vm.add-net", {"mac": "02:00:00:00:00:01"}))
        equal(stop(process), 0)


HINT = ": descriptors of interfaces must be open when vmcred starts\n"
DESCRIPTORS = {
    "that is not open": ("fd=[77]", "descriptor 77 is not open"),
    "that is a standard one": ("fd=[2]", "descriptor 2 is a standard one"),
    "that is given twice": ("fd=[{0},{0}],num_queues=4", "descriptor {0} is not open or given twice"),
}

for name, (text, message) in DESCRIPTORS.items():
    def refused(directory, text=text, message=message):
        vm = Vm(directory)
        with Pipes(1) as (one,):
            equal(failed(vm, *CLOUD_HYPERVISOR, "--net", text.format(one), fds=(one,)),
                  (2, f"vmcred: starting cloud-hypervisor: --net: {message.format(one)}{HINT}"))
        nothing_left(vm)

    test(f"a descriptor {name} is refused before anything starts")(refused)


def test_refused_interface_is_an_error_with_its_number(directory):
    """the error for an interface that the VMM refuses has its number, and nothing is left"""
    vm = Vm(directory)
    with Pipes(1) as (one,):
        equal(failed(vm, *CLOUD_HYPERVISOR, "--net", "tap=a", f"fd=[{one}],num_queues=4", fds=(one,)),
              (1, "vmcred: starting cloud-hypervisor: adding interface 2: Error from API: 1 descriptors for 4 queues\n"))
    nothing_left(vm)


def test_expose_argv_inherits_descriptors(directory):
    """with --expose=argv the VMM inherits the descriptors of its command line"""
    vm = Vm(directory, PLAIN)
    harness.write_program(vm.bin / "cloud-hypervisor", f"#!/bin/sh\nls -l /proc/$$/fd >{directory}/listing\n")
    with Pipes(1) as (one,):
        process = vm.start(*CLOUD_HYPERVISOR, "--net", f"fd=[{one}]", options=("--expose=argv",), fds=(one,))
        equal(process.wait(60), 0)
        assert f" {one} -> pipe:" in (directory / "listing").read_text()


def whole(directory, config):
    path = directory / "vm.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return "cloud-hypervisor", "--vm-config", path


def test_vm_config_is_sent_with_added_oem_strings(directory):
    """the VM of --vm-config is sent unchanged, with the OEM strings added to its own"""
    vm = Vm(directory)
    config = {"payload": {"kernel": "/k"}, "cpus": {"boot_vcpus": 2, "max_vcpus": 2},
              "platform": {"num_pci_segments": 2, "oem_strings": ["FILE=1"]}}
    process = vm.start(*whole(directory, config), "--log-file", directory / "err2", stand_in={})
    wait_for("vm.boot", vm.booted)
    config["platform"]["oem_strings"] += vm.oem_strings
    equal(requests_of(vm)[0], ("PUT", "vm.create", config))
    equal(vm.recorded()["argv"][:2], ["--log-file", str(directory / "err2")])
    equal(stop(process), 0)


def test_descriptors_of_a_vm_config_are_sent(directory):
    """descriptors of a --vm-config are sent too"""
    vm = Vm(directory)
    with Pipes(1) as (one,):
        config = {"payload": {"kernel": "/k"}, "net": [{"tap": "a", "fds": None}, {"fds": [one]}, {"tap": "c"}]}
        process = vm.start(*whole(directory, config), fds=(one,), stand_in={"status": {"vm.create": 204}})
        wait_for("vm.add-net", lambda: len(vm.requested()) > 1)
        equal(requests_of(vm)[0][2]["net"], [{"tap": "a", "fds": None}])
        equal([what.split(" ")[1] for what in vm.recorded()["descriptors"][1]], [identity(one)])
        process.wait(60)


FILES = {
    "is not JSON": ("{", "{path}", 1),
    "is not a VmConfig": ([], "{path} has no payload: it must be a VmConfig for Cloud Hypervisor's vm.create: "
                              "{{\"payload\": {{\"kernel\": …}}, …}}", 2),
    "has a string instead of OEM strings": ({"payload": {}, "platform": {"oem_strings": "A=b"}},
                                            "platform.oem_strings must be a list of strings", 2),
    "has numbers for OEM strings": ({"payload": {}, "platform": {"oem_strings": [1]}},
                                    "platform.oem_strings must be a list of strings", 2),
}

for name, (content, message, code) in FILES.items():
    def unusable(directory, content=content, message=message, code=code):
        vm = Vm(directory)
        words = whole(directory, content)
        result = vm.run(*words, stand_in={})
        fails(result, code, "reading the command line of cloud-hypervisor: --vm-config: " + message.format(path=words[2]))

    test(f"a --vm-config that {name} is an error")(unusable)


def test_missing_vm_config_is_an_error(directory):
    """a --vm-config that does not exist is an error, and so is one with --expose=argv"""
    vm = Vm(directory)
    fails(vm.run("cloud-hypervisor", "--vm-config", directory / "none", stand_in={}), 2, "--vm-config", directory / "none")
    expect(vm.run(*whole(directory, {"payload": {}}), options=("--expose=argv",), stand_in={}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: --expose=argv cannot be combined with --vm-config\n")


MERGED = DECLARATION + "    vmConfig: {gpu: [{socket: /s}], cpus: {features: {amx: true}}, watchdog: true}\n"
PATCH = {"cpus": {"boot_vcpus": 3, "max_vcpus": 4}, "watchdog": False, "serial": None}


def test_merged_members(directory):
    """the declared vmConfig and then --vm-config-merge are merged into the VM's options, once the VMM proved to know them"""
    vm = Vm(directory, MERGED)
    process = vm.start(*CLOUD_HYPERVISOR, "--vm-config-merge", json.dumps(PATCH), stand_in={"unknown": {"gpu": "keep"}})
    wait_for("vm.boot", vm.booted)
    config = {"payload": {"kernel": "/k"}, "console": {"mode": "Off"}, "gpu": [{"socket": "/s"}], "watchdog": False,
              "cpus": {"boot_vcpus": 3, "max_vcpus": 4, "features": {"amx": True}}}
    equal(requests_of(vm), [
        ("PUT", "vm.create", config), ("GET", "vm.info", None), ("PUT", "vm.delete", None),
        ("PUT", "vm.create", config | {"platform": {"oem_strings": vm.oem_strings}}), ("PUT", "vm.boot", None)])
    equal(stop(process), 0)


def test_unknown_option_with_a_declared_member(directory):
    """an option that vmcred does not know is replaced by the member of its name in vmConfig"""
    vm = Vm(directory, DECLARATION + "    vmConfig: {gpu: [{socket: /s}], x_y: 1}\n")
    process = vm.start(*CLOUD_HYPERVISOR, "--gpu", "socket=/s", "socket=/t", "--x-y", "--watchdog", "--gpu=socket=/u",
                       stand_in={"unknown": {"gpu": "keep", "x_y": "keep"}})
    wait_for("vm.boot", vm.booted)
    _, _, config = requests_of(vm)[0]
    equal((config["gpu"], config["x_y"], config["watchdog"]), ([{"socket": "/s"}], 1, True))
    equal(stop(process), 0)
    fails(vm.run(*CLOUD_HYPERVISOR, "--gpus", "a=b", stand_in={}), 2, "--gpus", "gpus", "vmConfig")


def test_ignored_member(directory):
    """a merged member that the VMM ignores is an error, and the VMM gets no credential"""
    vm = Vm(directory, MERGED)
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"unknown": {"gpu": "drop"}}), 2, "",
           "vmcred: starting cloud-hypervisor: merging the VM's configuration: gpu: Cloud Hypervisor ignores it: check its "
           "name, and whether this program supports it\n")
    assert "oem_strings" not in (directory / "record").read_text()


def test_unusable_merge(directory):
    """a merge that is not an object, has OEM strings or cannot apply is an error, and nothing is started"""
    vm = Vm(directory)
    for patch, mention in (("[]", "--vm-config-merge: must be a JSON object"), ("{", "--vm-config-merge: the patch"),
                           ('{"a": 1, "a": 2}', "--vm-config-merge: the patch"), ('{"platform": 1}', "platform"),
                           ('{"platform": {"oem_strings": null}}', "platform.oem_strings"),
                           ('{"platform": {"oem_strings": ["x"]}}', "platform.oem_strings")):
        fails(vm.run(*CLOUD_HYPERVISOR, "--vm-config-merge", patch, stand_in={}), 2, mention)
    fails(vm.run("cloud-hypervisor", "--restore", "source_url=file:///s", "--vm-config-merge", "{}", stand_in={}), 2,
          "--restore", "--vm-config-merge")
    fails(vm.run(*CLOUD_HYPERVISOR, "--vm-config-merge", "{}", options=("--expose=argv",), stand_in={}), 2, "--expose=argv",
          "--vm-config-merge")
    (directory / "vmcred.yaml").write_text(MERGED)
    fails(vm.run("qemu-system-x86_64", "-S"), 2, "vmConfig", "Cloud Hypervisor")
    (directory / "vmcred.yaml").write_text(DECLARATION + "    vmConfig: [1]\n")
    fails(vm.run(*CLOUD_HYPERVISOR, stand_in={}), 2, "vms.test-vm.vmConfig", "mapping")
    assert not (directory / "record").exists()


def test_vm_config_is_read_once(directory):
    """a --vm-config is read exactly once, so that the VM that is checked is the VM that boots"""
    vm = Vm(directory)
    file = ChangingFile(vm.bin / "vm.json", lambda number: json.dumps({"payload": {"kernel": f"/kernel-{number}"}}))
    words = ("cloud-hypervisor", "--vm-config", file.path)
    expect(vm.run(*words, stand_in={"exit": 0}), 0, "", "")
    equal(requests_of(vm)[0][2]["payload"], {"kernel": "/kernel-1"})
    expect(vm.run(*words, options=("--supervise",), stand_in={"exit": 0}), 0, "", "")
    equal(requests_of(vm)[0][2]["payload"], {"kernel": "/kernel-2"})
    expect(vm.compose("--", *words), 0, None, "")
    # The next launch shows that compose read it once, too.
    expect(vm.run(*words, stand_in={"exit": 0}), 0, "", "")
    equal(requests_of(vm)[0][2]["payload"], {"kernel": "/kernel-4"})


# What the stand-in's API refuses; vmcred does not check a --vm-config.
SHAPES = {
    "a member that is not known": ({"cpuz": {}}, "config.cpuz is not known"),
    "a number that is a word": ({"cpus": {"boot_vcpus": "1", "max_vcpus": 1}},
                                "config.cpus.boot_vcpus is not such a number"),
    "a number that is too large": ({"disks": [{"queue_size": 65536}]}, "config.disks.queue_size is not such a number"),
    "a switch that is a number": ({"watchdog": 1}, "config.watchdog is not an allowed value"),
    "a word that is not in the enumeration": ({"serial": {"mode": "off"}}, "config.serial.mode is not an allowed value"),
    "a list that is an object": ({"net": {}}, "config.net is not a list"),
    "an object without a required member": ({"vsock": {"cid": 3}}, "config.vsock has no socket"),
}

for name, (members, reason) in SHAPES.items():
    def shape(directory, members=members, reason=reason):
        vm = Vm(directory)
        expect(vm.run(*whole(directory, {"payload": {"kernel": "/k"}} | members), stand_in={}), 1, "",
               f"vmcred: starting cloud-hypervisor: creating the VM: Error from API: {reason}\n")

    test(f"the API's error for {name} is shown")(shape)


OLD = ": remove it, or use a Cloud Hypervisor that supports it\n"
VERSIONS = [
    ("v50.0", [], ("--disk", "path=/d,image_type=raw"), "--disk", 'key "image_type" (new in v50.1)'),
    ("v50.1", [], ("--disk", "path=/d,image_type=raw"), None, None),
    ("v50.2", [], ("--disk", "path=/d,sparse=off"), "--disk", 'key "sparse" (new in v51.0)'),
    ("v51.1", [], ("--rng", "id=r"), "--rng", 'key "id" (new in v52.0)'),
    ("v51.1", [], ("--serial", "off,iommu=off"), None, None),
    ("v52.0", [], ("--serial", "off,iommu=off"), "--serial", 'key "iommu" (removed in v52.0)'),
    ("v51.2", [], ("--generic-vhost-user", "virtio_id=fs,socket=/s,queue_sizes=[1]"), "--generic-vhost-user",
     "it (new in v52.0)"),
    ("v52.0", [], ("--generic-vhost-user", "virtio_id=fs,socket=/s,queue_sizes=[1]"), None, None),
    ("v52.0", [], ("--platform", "system_uuid=u"), "--platform", 'key "system_uuid" (new in v53.0)'),
    ("v52.0", [], ("--rtc",), "--rtc", "it (new in v53.0)"),
    ("v54.1", [], ("--rtc",), None, None),
    ("v53.0", ["kvm"], ("--ivshmem", "path=/m"), "--ivshmem", "it (built without ivshmem)"),
    ("v53.0", ["kvm", "igvm"], ("--platform", "sev_snp=on"), "--platform",
     'key "sev_snp" (built without sev_snp)'),
]

for version, features, words, option, what in VERSIONS:
    def versioned(directory, version=version, features=features, words=words, option=option, what=what):
        vm = Vm(directory)
        plain = [word for word in CLOUD_HYPERVISOR if option != "--serial" or word not in ("--serial", "null")]
        if words[0] == "--serial":
            plain = [word for word in CLOUD_HYPERVISOR if word not in ("--serial", "null")]
        behaviour = {"version": f"cloud-hypervisor {version}", "features": features, "status": {"vm.create": 500}}
        code, errors = failed(vm, *plain, *words, stand_in=behaviour)
        if option:
            equal((code, errors.splitlines(keepends=True)[-1]), (2, f"vmcred: starting cloud-hypervisor: {option}: Cloud Hypervisor {version} does "
                                      f"not support {what}{OLD}"))
            equal([request[:2] for request in requests_of(vm)], [("GET", "vmm.ping")])
        else:
            equal(code, 1)
            equal([request[:2] for request in requests_of(vm)], [("GET", "vmm.ping"), ("PUT", "vm.create")])
        equal("warning: systemd in the guest of a confidential VM" in errors, "sev_snp=on" in words)
        nothing_left(vm)

    supports = f"does not support {what}" if option else "supports it"
    test(f"with {' '.join(words)}, Cloud Hypervisor {version} {supports}")(versioned)


def test_version_is_requested_only_if_needed(directory):
    """the version is not requested for options that every version supports"""
    vm = Vm(directory)
    process = vm.start(*CLOUD_HYPERVISOR, "--disk", "path=/d,readonly=on", "--platform", "uuid=u",
                       stand_in={"version": "cloud-hypervisor v50.0"})
    wait_for("vm.boot", vm.booted)
    equal([request[:2] for request in requests_of(vm)], [("PUT", "vm.create"), ("PUT", "vm.boot")])
    equal(stop(process), 0)


def test_strings_for_a_restored_vm_are_an_error(directory):
    """credentials or strings for a restored VM are an error"""
    for name, declaration in (("a", None), ("b", PLAIN)):
        vm = Vm(directory / name, *([declaration] if declaration else []))
        expect(vm.run("cloud-hypervisor", "--restore", "source_url=file:///s", stand_in={}), 2, "",
               "vmcred: preparing to start Cloud Hypervisor: --restore: a restored VM keeps the OEM strings of its "
               "snapshot and accepts no others: deliver credentials to a VM that is booted\n")
        assert not (vm.directory / "record").exists()


def test_restore_without_strings_is_unchanged(directory):
    """without strings to deliver, a VM is restored with an unchanged command line"""
    vm = Vm(directory, NOTHING)
    words = ("--restore", "source_url=file:///s,prefault=on", "--api-socket", str(directory / "api"), "-v")
    expect(vm.run("cloud-hypervisor", *words, stand_in={"exit": 7}), 7, "", "")
    equal(vm.recorded()["argv"], list(words))


def test_duplicate_of_a_credential_in_arguments(directory):
    """a credential in both the arguments and the declaration is an error"""
    vm = Vm(directory)
    fails(vm.run(*CLOUD_HYPERVISOR, "--platform", "oem_strings=[io.systemd.credential:HOST-TLS=x]", stand_in={}), 2,
          "HOST-TLS", "arguments", "credentialFiles")


def test_inherited_listening_socket_is_used(directory):
    """an inherited listening socket is used, and its file is kept"""
    vm = Vm(directory)
    with socket.socket(socket.AF_UNIX) as listener:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(directory / "record.api"))
        listener.listen(4)
        fd = listener.fileno()
        process = vm.start(*CLOUD_HYPERVISOR, "--api-socket", f"fd={fd}", fds=(fd,), stand_in={})
        wait_for("vm.boot", vm.booted)
        equal(vm.recorded()["argv"][-2:], ["--api-socket", f"fd={fd}"])
        equal(vm.recorded()["inherited"], [])
        equal(api_get(directory / "record.api", "vm.info")["state"], "Running")
        equal(stop(process), 0)
    assert stat.S_ISSOCK((directory / "record.api").stat().st_mode)


def test_public_inherited_socket_is_refused(directory):
    """an inherited socket that other users can open is refused"""
    vm = Vm(directory)
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.umask(0)
        listener.bind(str(directory / "record.api"))
        os.umask(before)
        listener.listen(4)
        fd = listener.fileno()
        mode = stat.S_IMODE((directory / "record.api").stat().st_mode)
        code, errors = failed(vm, *CLOUD_HYPERVISOR, "--api-socket", f"fd={fd}", fds=(fd,))
        equal(code, 2)
        assert f"fd={fd}: {directory}/record.api has mode {mode:04o}" in errors, errors
    assert not (directory / "record").exists()


def test_api_socket_accepts_path(directory):
    """--api-socket path=FILE is the same as --api-socket FILE"""
    vm = Vm(directory)
    process = vm.start(*CLOUD_HYPERVISOR, "--api-socket", f"path={directory}/api", stand_in={})
    wait_for("vm.boot", vm.booted)
    equal(stat.S_IMODE((directory / "api").stat().st_mode), 0o600)
    equal(api_get(directory / "api", "vm.info")["state"], "Running")
    equal(stop(process), 0)
    nothing_left(vm)


BROKEN = {
    "ends in the middle": ({"cut": "vm.create"}, "creating the VM"),
    "is not HTTP": ({"garbage": "vm.create"}, "creating the VM"),
    "to vmm.ping ends in the middle": ({"cut": "vmm.ping"}, "asking for its version"),
    "to vmm.ping is an error": (
        {"status": {"vmm.ping": 500}},
        "asking for its version: Error from API: The VM could not do vmm.ping: the cause"),
    "to vm.add-net ends in the middle": (
        {"cut": "vm.add-net"}, "adding interface 1"),
}

for name, (behaviour, message) in BROKEN.items():
    def broken(directory, behaviour=behaviour, message=message):
        vm = Vm(directory)
        with Pipes(1) as (one,):
            code, errors = failed(vm, *CLOUD_HYPERVISOR, "--rng", "src=/dev/urandom,id=r", "--net", f"fd=[{one}]",
                                  fds=(one,), stand_in=behaviour)
        equal(code, 1)
        assert errors.startswith(f"vmcred: starting cloud-hypervisor: {message}"), errors
        nothing_left(vm)

    test(f"if an answer {name}, the launch fails with an error and leaves nothing")(broken)

harness.main()
