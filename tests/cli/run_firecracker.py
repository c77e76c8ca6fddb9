# SPDX-License-Identifier: Apache-2.0
"""vmcred run with Firecracker: the initrd with credentials, its configuration, and failed launches.

Firecracker is a strict stand-in here (firecracker_stand_in.py); interop/initrd.py uses the real one.
"""
import gzip
import json
import os
import signal
import socket
import stat
import subprocess

import harness
from archive import credentials, entries
from harness import equal, expect, fails, need_root
from vm import Vm, canary, children, no_canary, stop, stopped_at_exit, visible_to_others, wait_for

STAND_IN = harness.SOURCE / "tests/cli/firecracker_stand_in.py"
DECLARATION = "vms: {test-vm: {credentialFiles: {HOST-API-KEY: host-api-key, HOST-TLS: host-tls}}}\n"
# Nine bytes, so that the segment cannot follow without a gap.
INITRD = gzip.compress(b"")[:9]


class Launch(Vm):
    """A VM whose hypervisor is the stand-in, with a kernel, an initrd and a configuration."""

    def __init__(self, directory, declaration=DECLARATION, **boot):
        super().__init__(directory, declaration)
        (directory / "initrd").write_bytes(INITRD)
        self.config = {"boot-source": {"kernel_image_path": "kernel", "initrd_path": "initrd", "boot_args": "quiet"} | boot,
                       "drives": [], "machine-config": {"vcpu_count": 2, "mem_size_mib": 128, "smt": True}, "vsock": None}
        (self.bin / "firecracker").symlink_to(STAND_IN)

    @property
    def values(self):
        return {"HOST-API-KEY": self.api_key.encode(), "HOST-TLS": self.tls.encode()}

    def command(self, *words, api=True):
        (self.directory / "config.json").write_text(json.dumps(self.config))
        return ["firecracker", "--config-file", "config.json", *(["--api-sock", "api"] if api else []), *words]

    def environment(self, stand_in=None):
        return super().environment() | {
            "STAND_IN": json.dumps({"record": str(self.directory / "record")} | (stand_in or {}))}

    def booted(self):
        return bool(self.requested())

    def started(self, *words, options=(), stand_in=None, api=True):
        """vmcred and the stand-in, once the VM runs."""
        process = self.start(*self.command(*words, api=api), options=("-v", *options), stand_in=stand_in)
        wait_for("the boot", lambda: "the VM is booted" in self.errors() or process.poll() is not None)
        assert process.poll() is None, self.errors()
        return process, children(process.pid)[0]


def rejected(result, code, *words):
    """Checks vmcred's error after Firecracker's own."""
    equal(result.code, code, result.err)
    line = result.err.splitlines()[-1]
    for word in ("vmcred: starting firecracker: ", *map(str, words)):
        assert word in line, result.err


def test_credentials_are_appended_to_the_initrd(directory):
    """Firecracker gets its initrd with all credentials after it, and otherwise the configuration of the file"""
    vm = Launch(directory)
    process, child = vm.started("--id", "test", "--enable-pci")
    for pid in (process.pid, child):
        no_canary(visible_to_others(pid), vm.api_key)
        no_canary(visible_to_others(pid), vm.tls)
    record = vm.recorded()
    equal(record["argv"][2:], ["--api-sock", "api", "--id", "test", "--enable-pci"])
    path = record["config"]["boot-source"].pop("initrd_path")
    assert path.startswith("/dev/fd/"), path
    vm.config["boot-source"].pop("initrd_path")
    equal(record["config"], vm.config)
    data = (directory / "record.initrd").read_bytes()
    equal(data[:len(INITRD)], INITRD)
    equal(entries(data, len(INITRD)), credentials(vm.values))
    equal(sorted(name.partition(":")[0] for name in record["inherited"]), ["/memfd", "pipe"])
    equal(stop(process), 0)


def test_value_like_a_query_starts_the_vm(directory):
    """the value of an option is not a query, whatever it looks like"""
    vm = Launch(directory)
    process, _ = vm.started("--id", "-V")
    equal(entries((directory / "record.initrd").read_bytes(), len(INITRD)), credentials(vm.values))
    equal(stop(process), 0)


def test_segment_follows_an_initrd_of_any_size(directory):
    """the segment starts at a multiple of four, at least four NULs after the initrd"""
    for size in range(5):
        vm = Launch(directory / str(size))
        (vm.directory / "initrd").write_bytes(b"x" * size)
        process, _ = vm.started()
        equal(stop(process), 0)
        data = (vm.directory / "record.initrd").read_bytes()
        start = data.index(b"070701")
        equal((start % 4, start - size >= 4, data[size:start].strip(b"\0")), (0, True, b""))
        equal(entries(data, size), credentials(vm.values))


def test_initrd_is_wiped_after_boot(directory):
    """once the VM is booted, the memory file has no content, and vmcred does not have it open"""
    need_root()
    vm = Launch(directory)
    process, child = vm.started()
    links = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
    equal([link for link in links if "memfd" in link], [])
    for fd in os.listdir(f"/proc/{child}/fd"):
        path = f"/proc/{child}/fd/{fd}"
        if os.readlink(path).startswith("/memfd:"):
            equal(open(path, "rb").read().strip(b"\0"), b"")
            equal(os.stat(path).st_blocks, 0)
            equal(stat.S_IMODE(os.stat(path).st_mode), 0o400)
            assert int(open(f"/proc/{child}/fdinfo/{fd}", encoding="utf-8").read().split("flags:")[1].split()[0], 8) & 3 == 0
    equal(stop(process), 0)
    equal(vm.recorded()["after"], False)


def test_value_of_a_mebibyte(directory):
    """a value of 300 KB arrives, which no SMBIOS table could hold, and the limit is one MiB for all"""
    vm = Launch(directory)
    vm.api_key = "0123456789abcdef" * 20000
    (vm.credentials / "host-api-key").write_text(vm.api_key)
    process, _ = vm.started()
    equal(stop(process), 0)
    equal(entries((directory / "record.initrd").read_bytes(), len(INITRD)), credentials(vm.values))
    result = vm.compose("--json", "--", *vm.command())
    equal(json.loads(expect(result, 0).out)["totals"],
          {"credentials": {"used": 320012, "limit": 1048576, "percent": 30.52, "limitOf": "systemd"}})
    (vm.credentials / "host-api-key").write_text("x" * (1 << 20))
    fails(vm.run(*vm.command()), 1, 1048588, 1048576, "HOST-API-KEY")


def test_stop_presses_keys_then_ends_it(directory):
    """SIGTERM asks the guest to restart, which ends Firecracker; a guest that does not is ended after the timeout"""
    vm = Launch(directory)
    process, _ = vm.started()
    equal(stop(process), 0)
    equal(vm.recorded()["requests"], [["GET", "/", ""], ["PUT", "/actions", '{"action_type":"SendCtrlAltDel"}']])
    process, _ = vm.started(options=("--stop-timeout=1",), stand_in={"deaf": True})
    equal(stop(process), 128 + signal.SIGTERM)
    assert not (directory / "api").exists()


def test_without_api(directory):
    """with --no-api the VM starts, its initrd is wiped, and SIGTERM ends Firecracker"""
    vm = Launch(directory)
    process, child = vm.started("--no-api", api=False)
    for fd in os.listdir(f"/proc/{child}/fd"):
        path = f"/proc/{child}/fd/{fd}"
        equal(os.stat(path).st_blocks if os.readlink(path).startswith("/memfd:") else 0, 0)
    equal(entries((directory / "record.initrd").read_bytes(), len(INITRD)), credentials(vm.values))
    equal(stop(process), 128 + signal.SIGTERM)


def test_stale_sockets_are_replaced(directory):
    """sockets that a killed Firecracker left do not block the next start, and one in use is left alone"""
    vm = Launch(directory)
    vm.config["vsock"] = {"guest_cid": 3, "uds_path": "vsock"}
    for name in ("api", "vsock"):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(directory / name))
    process, _ = vm.started(stand_in={"delay": 0.3})
    assert not (directory / "vsock").exists()
    rejected(vm.run(*vm.command()), 1, "FailedToBindSocket")
    assert (directory / "api").exists()
    equal(stop(process), 0)


def test_notification_address_is_a_kernel_parameter(directory):
    """with --notify the guest gets the address on the kernel's command line, too, for systemd before 262"""
    vm = Launch(directory)
    vm.config["vsock"] = {"guest_cid": 3, "uds_path": "vsock"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(directory / "manager"))
        environment = vm.environment
        vm.environment = lambda stand_in=None: environment(stand_in) | {"NOTIFY_SOCKET": str(directory / "manager")}
        process, _ = vm.started(options=("--notify",))
        listening = [path.name for path in directory.glob("vsock_*")]
        equal(len(listening), 1)
        address = f"vsock-stream:2:{listening[0].partition('_')[2]}"
        equal(vm.recorded()["config"]["boot-source"]["boot_args"], f"quiet systemd.set_credential=vmm.notify_socket:{address}")
        with socket.socket(socket.AF_UNIX) as guest:
            guest.connect(str(directory / listening[0]))
            guest.sendall(b"READY=1")
        manager.settimeout(60)
        messages = [manager.recv(4096) for _ in range(2)]
        equal(messages[1], b"READY=1", messages)
        equal(stop(process), 0)


def test_credentials_of_the_kernel_command_line_count(directory):
    """a credential that the kernel's command line has already is a duplicate"""
    vm = Launch(directory, boot_args="quiet systemd.set_credential=HOST-API-KEY:x")
    fails(vm.run(*vm.command()), 2, "HOST-API-KEY")


def test_what_cannot_be_delivered_is_refused(directory):
    """without a configuration or an initrd, or with a plain string or a long name, nothing starts"""
    vm = Launch(directory / "a")
    fails(vm.run("firecracker", "--api-sock", "api"), 2, "--config-file")
    del vm.config["boot-source"]["initrd_path"]
    expect(vm.run(*vm.command()), 2, "",
           "vmcred: preparing to start Firecracker: credentials are delivered in the initrd, and the configuration has none: "
           "add boot-source.initrd_path\n")
    plain = Launch(directory / "b", "vms: {test-vm: {platformOEMStrings: [A=1]}}\n")
    fails(plain.run(*plain.command()), 2, "platformOEMStrings")
    name = "N" * 251
    long = Launch(directory / "c", "vms: {test-vm: {credentialFiles: {%s: host-tls}}}\n" % name)
    fails(long.run(*long.command()), 2, 251, 250)
    vm = Launch(directory / "d")
    for option in ("--exec", "--expose=argv", "--transport=smbios"):
        fails(vm.run(*vm.command(), options=(option,)), 2, option.partition("=")[0])
    vm.config["boot-source"]["initrd_path"] = "missing"
    fails(vm.run(*vm.command()), 2, "missing")
    (vm.directory / "config.json").write_text("{")
    fails(vm.run("firecracker", "--config-file", "config.json"), 1, "config.json")
    assert not (vm.directory / "record").exists()


def test_without_credentials_nothing_is_added(directory):
    """a VM without credentials gets its own initrd, and one that is configured through the API starts as it is"""
    vm = Launch(directory, "vms: {test-vm: {}}\n")
    process, _ = vm.started()
    equal(vm.recorded()["config"], vm.config)
    equal(stop(process), 0)
    equal(vm.run("firecracker", "--version").out, "Firecracker v1.16.1\n")
    result = vm.run("firecracker", "--api-sock", "api", "--nonsense")
    equal((result.code, "vmcred" in result.err), (153, False), result.err)


def test_link_starts_firecracker(directory):
    """a link with its name delivers credentials to an unchanged runner script"""
    vm = Launch(directory)
    (directory / "links").mkdir()
    link = directory / "links" / "firecracker"
    link.symlink_to(harness.VMCRED_RUN)
    environment = vm.environment() | {"VMCRED_VM": "test-vm", "VMCRED_CONFIG": str(directory / "vmcred.yaml"),
                                      "CREDENTIALS_DIRECTORY": str(vm.credentials)}
    environment["PATH"] = f"{link.parent}:{environment['PATH']}"
    process = stopped_at_exit(subprocess.Popen([link, *vm.command()[1:]], cwd=directory,
                                               env=harness.CLEAN_ENVIRONMENT | environment))
    wait_for("the boot", vm.booted)
    equal(entries((directory / "record.initrd").read_bytes(), len(INITRD)), credentials(vm.values))
    equal(stop(process), 0)
    equal(harness.run(link, "--version", env=environment).out, "Firecracker v1.16.1\n")


def test_error_in_the_configuration_is_quoted(directory):
    """an error in the configuration is quoted: no request waits while Firecracker reads it, which would crash it"""
    vm = Launch(directory, nonsense=1)
    rejected(vm.run(*vm.command(), stand_in={"slow": 0.5}), 1, "code 1", "unknown field")


def test_failed_launches(directory):
    """a launch that fails leaves nothing, and quotes Firecracker's error unless that repeats a credential"""
    vm = Launch(directory)
    rejected(vm.run(*vm.command(), stand_in={"die": 3}), 1, "code 3", "refuses to start")
    rejected(vm.run(*vm.command(), stand_in={"close": True}), 1, "without an answer")
    rejected(vm.run(*vm.command(), stand_in={"status": 500}), 1, 500)
    result = vm.run(*vm.command(), stand_in={"die": 3, "say": f"bad {vm.api_key}\n"})
    for form in canary(vm.api_key):
        assert form not in result.err.encode(), result.err
    process = vm.start(*vm.command(), stand_in={"delay": 600})
    wait_for("the stand-in", lambda: children(process.pid))
    equal(stop(process), 128 + signal.SIGTERM)
    assert not (directory / "api").exists()


harness.main()
