# SPDX-License-Identifier: Apache-2.0
"""Notifications of vmcred run to the service manager, its own and the guest's.

Connections to the unix socket of the host's vsock port play the guest.
"""
import contextlib
import itertools
import json
import os
import re
import select
import signal
import socket
import stat
import time

from harness import equal, expect, fails, main, write_program
from vm import CLOUD_HYPERVISOR, DECLARATION, Vm, children, stop, wait_for

BOOTED = "READY=1\nSTATUS=The VM is booted."
SILENCE = 0.05  # seconds, as in src/vmm/notify_relay.c
STARTING = "STATUS=The VM is booted; its guest is starting."


class NotifyVm(Vm):
    """A VM that is started with $NOTIFY_SOCKET, and that socket."""

    def __init__(self, directory, declaration=DECLARATION, abstract=False):
        super().__init__(directory, declaration)
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = f"@vmcred-test-{os.getpid()}-{id(self)}" if abstract else str(directory / "bin/notify")
        self.manager.bind(self.address.replace("@", "\0"))
        self.manager.settimeout(60)
        self.vsock = directory / "bin/vsock"

    def environment(self, stand_in=None):
        return super().environment(stand_in) | {"NOTIFY_SOCKET": self.address}

    def started(self, *options, vsock=True, stand_in=None):
        words = ("--vsock", f"cid=3,socket={self.vsock}") if vsock else ()
        process = self.start(*CLOUD_HYPERVISOR, *words, options=options, stand_in=stand_in or {})
        wait_for("vm.boot", self.booted)
        return process

    def credentials_sent(self):
        config = json.loads(self.recorded()["requests"][0][2])
        return [string for string in config["platform"]["oem_strings"] if "notify" in string]

    def heard(self):
        return self.manager.recv(65536).decode()

    def silent(self):
        return not select.select([self.manager], [], [], 0.3)[0]

    def guest(self, message=b"", port=8888):
        connection = socket.socket(socket.AF_UNIX)
        # A queue that is full refuses at once.
        wait_for("a connection", lambda: connection.connect_ex(f"{self.vsock}_{port}") == 0)
        connection.settimeout(60)
        connection.sendall(message)
        return connection

    def tell(self, message, port=8888):
        """As the guest's systemd does it: all of it, the end of its side, the wait for ours."""
        with self.guest(message if isinstance(message, bytes) else message.encode(), port) as connection:
            connection.shutdown(socket.SHUT_WR)
            equal(connection.recv(1), b"")


def notifying(directory):
    """A VM whose guest reports to the service manager, and its process."""
    vm = NotifyVm(directory)
    process = vm.started("--notify")
    equal(vm.heard(), STARTING)
    return vm, process


def test_ready_is_sent_when_the_vm_is_booted(directory):
    """the service manager gets READY=1 when the VM is booted, through a path or an abstract name"""
    for abstract in (False, True):
        vm = NotifyVm(directory / str(abstract), abstract=abstract)
        process = vm.started(vsock=False)
        equal(vm.heard(), BOOTED)
        equal(vm.credentials_sent(), [])
        environ = open(f"/proc/{children(process.pid)[0]}/environ", "rb").read()
        assert b"STAND_IN" in environ and b"NOTIFY_SOCKET" not in environ
        equal(stop(process), 0)
        assert vm.silent()


def test_unbooted_vm_is_not_ready(directory):
    """a VM that is not booted is not reported as ready"""
    vm = NotifyVm(directory)
    equal(vm.run(*CLOUD_HYPERVISOR, stand_in={"status": {"vm.boot": 500}}).code, 1)
    assert vm.silent()


def fill(vm):
    """Fills the manager's queue, as a service manager that is busy does. Returns the number of messages in it."""
    number, before = 0, -1
    # The limit may be that of the sender: the queue is full when another one can send nothing.
    while number > before:
        before = number
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            while number < 100000:
                try:
                    other.sendto(b"", vm.address.replace("@", "\0"))
                except BlockingIOError:
                    break
                number += 1
    assert number < 100000, "the queue has no limit"
    return number


def drained(vm, messages):
    for _ in range(messages):
        equal(vm.heard(), "")


def test_ready_waits_for_a_full_manager(directory):
    """READY=1 is kept while the service manager's queue is full, also that of a VM that has ended or becomes vmcred"""
    vm = NotifyVm(directory / "supervised")
    for ends in (False, True):
        messages = fill(vm)
        process = vm.started(vsock=False, stand_in={"exit": 0} if ends else {})
        if ends:
            wait_for("the VM's end", lambda p=process: not children(p.pid))
        drained(vm, messages)
        equal(vm.heard(), BOOTED)
        equal(process.wait(60) if ends else stop(process), 0)
        assert vm.silent()
    vm = NotifyVm(directory / "exec")
    qemu = write_program(vm.bin / "qemu-system-x86_64", "#!/bin/sh\nexit 5\n")
    messages = fill(vm)
    process = vm.start("qemu-system-x86_64")
    drained(vm, messages)
    equal(vm.heard(), "READY=1")
    equal(process.wait(60), 5)


def test_guest_ready_waits_for_a_full_manager(directory):
    """a guest's READY=1 is kept while the service manager's queue is full, with its latest message, and delays no guest"""
    vm, process = notifying(directory)
    messages = fill(vm)
    vm.tell("STATUS=Nearly ready.")
    vm.tell("READY=1\nSTATUS=Ready.")
    vm.tell("X_SYSTEMD_UNIT_ACTIVE=a.target")
    vm.tell("STATUS=Later.")
    vm.tell("IGNORED=1")  # answered after all others were handled
    drained(vm, messages)
    equal(vm.heard(), "READY=1\nSTATUS=Later.")
    vm.tell("STATUS=Even later.")
    equal(vm.heard(), "STATUS=Even later.")
    equal(stop(process), 0)
    equal(vm.errors(), "")


def test_notify_relays_the_guest_ready(directory):
    """with --notify the guest gets an address and its READY=1 is relayed instead of vmcred's own"""
    vm = NotifyVm(directory)
    process = vm.started("--notify")
    equal(vm.credentials_sent(), ["io.systemd.credential:vmm.notify_socket=vsock-stream:2:8888"])
    equal(vm.heard(), STARTING)
    equal(stat.S_IMODE(os.stat(f"{vm.vsock}_8888").st_mode), 0o600)
    vm.tell("STATUS=Starting a thing…")
    equal(vm.heard(), "STATUS=Starting a thing…")
    vm.tell("READY=1\nSTATUS=Ready.\nX_SYSTEMD_UNIT_ACTIVE=multi-user.target\n")
    equal(vm.heard(), "READY=1\nSTATUS=Ready.\nX_SYSTEMD_UNIT_ACTIVE=multi-user.target")
    equal(stop(process), 0)
    assert not os.path.exists(f"{vm.vsock}_8888")
    equal(vm.errors(), "")


def test_target_counts_as_ready(directory):
    """multi-user.target, the target of --ready-target or that of readyTarget counts as READY=1, and no other does"""
    declared = DECLARATION + "    readyTarget: app.target\n"
    for number, (declaration, options, target, other) in enumerate((
            (DECLARATION, ("--notify",), "multi-user.target", "multi-user.targets"),
            (DECLARATION, ("--ready-target=a-b@1.target",), "a-b@1.target", "multi-user.target"),
            (declared, (), "app.target", "multi-user.target"),
            (declared, ("--ready-target=a.target",), "a.target", "app.target"))):
        vm = NotifyVm(directory / str(number), declaration)
        process = vm.started(*options)
        equal(vm.heard(), STARTING)
        for ignored in (f"X_SYSTEMD_UNIT_ACTIVE={other}", f"X_SYSTEMD_UNIT_INACTIVE={target}", f"STATUS={target}"):
            vm.tell(ignored)
            equal(vm.heard(), ignored)
        active = f"X_SYSTEMD_UNIT_ACTIVE={target}"
        vm.tell(f"STATUS=x\n{active}\nX_SYSTEMD_MARK=1")
        equal(vm.heard(), f"STATUS=x\n{active}\nX_SYSTEMD_MARK=1\nREADY=1")
        # The largest message that is not dropped.
        vm.tell(f"{active}\nSTATUS=".ljust(4095, "x"))
        equal(vm.heard(), f"{active}\nSTATUS=".ljust(4095, "x") + "\nREADY=1")
        equal(stop(process), 0)


def test_bad_ready_target_is_an_error(directory):
    """a ready target that is not a target, or that contradicts --exec, is an error"""
    vm = NotifyVm(directory / "option")
    for name in ("", ".target", "multi-user", "a b.target", "a.service"):
        expect(vm.run(*CLOUD_HYPERVISOR, options=(f"--ready-target={name}",), stand_in={}), 2, "",
               f'vmcred: --ready-target: must be the name of a .target unit, not "{name}"\n')
    fails(vm.run("qemu-system-x86_64", options=("--exec", "--ready-target=a.target")), 2, "--exec", "--ready-target")
    vm = NotifyVm(directory / "declared", DECLARATION + "    readyTarget: app.target\n")
    expect(vm.run("qemu-system-x86_64", options=("--exec",)), 2, "",
           "vmcred: --exec cannot be combined with readyTarget\n")
    vm = NotifyVm(directory / "bad", DECLARATION + "    readyTarget: app\n")
    fails(vm.run(*CLOUD_HYPERVISOR, stand_in={}), 2, "readyTarget", "app")


REFUSED = ["MAINPID=1", "FDSTORE=1\nFDNAME=x", "WATCHDOG=1", "WATCHDOG=trigger", "NOTIFYACCESS=all", "STOPPING=1",
           "RELOADING=1\nMONOTONIC_USEC=1", "EXTEND_TIMEOUT_USEC=99999999", "BARRIER=1", "BUSERROR=x", "ERRNO=5",
           "READY=0", "READY=11", "READY=1 ", " READY=1", "ready=1", "STATUS", "XSTATUS=a", "X_SYSTEMD_=a",
           "X_SYSTEMD_a=b", "X_SYSTEMD_A", "X_OTHER=1", "=1", "\n\n\n", "STATUS=a\rMAINPID=1", "STATUS=\x1b[2J",
           "STATUS=a\tb", "STATUS=\x7f", "STATUS=\x9b2J", b"STATUS=\xff", b"STATUS=a\0b", b"READY=1\0", b"\0READY=1"]


def test_other_fields_of_a_message_are_dropped(directory):
    """no other field of a guest's message reaches the service manager, whatever is next to it"""
    vm, process = notifying(directory)
    for message in REFUSED:
        data = message if isinstance(message, bytes) else message.encode()
        vm.tell(data + b"\nX_SYSTEMD_MARK=1\n" + data)
        equal(vm.heard(), "X_SYSTEMD_MARK=1", repr(message))
        vm.tell(data)
    time.sleep(1.5)  # the allowance of connections
    assert vm.silent()
    equal(stop(process), 0)


def test_too_long_message_is_dropped(directory):
    """a message that is too long is dropped, and one of 4095 bytes is not"""
    vm, process = notifying(directory)
    for size in (4096, 4097, 100000):
        connection = vm.guest()
        try:
            connection.sendall(b"READY=1\nSTATUS=".ljust(size, b"x"))
            equal(connection.recv(1), b"")
        except (BrokenPipeError, ConnectionResetError):
            pass
        connection.close()
    vm.tell(b"STATUS=".ljust(4095, b"x"))
    equal(vm.heard(), "STATUS=".ljust(4095, "x"))
    assert vm.silent()
    equal(stop(process), 0)


def test_message_in_pieces_is_relayed_as_one(directory):
    """a message in pieces is relayed as one, and a connection without an end is closed"""
    vm, process = notifying(directory)

    def sent_in_time(numbers=itertools.count()):
        """Sends a message in two pieces. Returns it unless this process had to wait between them: silence ends a message."""
        message, start = f"READY=1\nSTATUS={next(numbers)}", time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), vm.guest(message[:4].encode()) as connection:
            connection.sendall(message[4:].encode())
            is_late = time.monotonic() - start >= SILENCE
            # No shutdown: Cloud Hypervisor up to v52 does not pass it on.
            equal(connection.recv(1), b"")
            return not is_late and message

    message = wait_for("a message", sent_in_time)
    while (heard := vm.heard()) != message:
        assert heard.startswith("READY=1\nSTATUS="), heard
    with vm.guest() as silent:
        equal(silent.recv(1), b"")
    assert vm.silent()
    equal(stop(process), 0)


def test_endless_connections_do_not_block(directory):
    """a guest that opens endless connections blocks neither the others nor the stop"""
    vm, process = notifying(directory)
    held = []
    for _ in range(200):
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        if connection.connect_ex(f"{vm.vsock}_8888") == 0:
            held.append(connection)
    assert len(held) > 8
    fds = len(os.listdir(f"/proc/{process.pid}/fd"))
    assert fds < 24, fds
    for connection in held:
        connection.close()
    vm.tell("READY=1")
    equal(vm.heard(), "READY=1")
    flood = [vm.guest(b"STATUS=x") for _ in range(8)]
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 0)
    for connection in flood:
        connection.close()


def test_rate_of_messages_is_limited(directory):
    """a guest may send 256 messages at once and 64 a second after that, and leaks no descriptors"""
    vm, process = notifying(directory)
    start = time.monotonic()
    descriptors = os.listdir(f"/proc/{process.pid}/fd")
    for number in range(300):
        vm.tell(f"STATUS={number}")
        equal(vm.heard(), f"STATUS={number}")
    passed = time.monotonic() - start
    assert passed * 64 + 256 >= 299, f"300 messages in {passed} seconds"
    equal(os.listdir(f"/proc/{process.pid}/fd"), descriptors)
    equal(stop(process), 0)


def test_missing_service_manager_is_a_warning(directory):
    """a service manager that is gone causes one warning however many messages are lost, and the VM runs on"""
    vm, process = notifying(directory)
    vm.manager.close()
    vm.tell("READY=1")
    wait_for("the warning", vm.errors)
    for _ in range(20):
        vm.tell("STATUS=again")
    equal(vm.errors(), "vmcred: warning: sending a message to the service manager: Connection refused\n")
    assert process.poll() is None
    equal(stop(process), 0)


def test_credential_vmm_notify_socket_sets_the_port(directory):
    """a user's credential vmm.notify_socket sets vmcred's port, or without --notify leaves the relay to another program"""
    own = DECLARATION.replace("CLUSTER=example-host", '"io.systemd.credential:vmm.notify_socket=vsock-stream:2:9"')
    vm = NotifyVm(directory / "relay", own)
    process = vm.started("--notify")
    equal(vm.credentials_sent(), ["io.systemd.credential:vmm.notify_socket=vsock-stream:2:9"])
    equal(vm.heard(), STARTING)
    vm.tell("READY=1", port=9)
    equal(vm.heard(), "READY=1")
    equal(stop(process), 0)
    vm = NotifyVm(directory / "other", own)
    process = vm.started()
    assert vm.silent()
    assert not os.path.exists(f"{vm.vsock}_9")
    equal(stop(process), 0)
    vm = NotifyVm(directory / "bad", own.replace("2:9", "3:9"))
    result = vm.run(*CLOUD_HYPERVISOR, "--vsock", f"cid=3,socket={vm.vsock}", options=("--notify",), stand_in={})
    equal((result.code, result.err.splitlines()[-1]),
          (2, "vmcred: preparing to start Cloud Hypervisor: --notify: credential vmm.notify_socket must be "
              "vsock-stream:2:PORT: remove the credential or --notify"))


def test_notify_without_vsock_is_an_error(directory):
    """--notify without a vsock device or with an invalid address is an error"""
    vm = NotifyVm(directory)
    expect(vm.run(*CLOUD_HYPERVISOR, options=("--notify",), stand_in={}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: --notify: the VM has no vsock device: add one, or remove "
           "--notify\n")
    vm.address = "vsock:2:1234"
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: $NOTIFY_SOCKET is not a unix socket: \"vsock:2:1234\": it must "
           "start with '/' or '@' and have at most 107 bytes\n")


def test_notify_needs_notify_socket(directory):
    """without $NOTIFY_SOCKET --notify has no effect"""
    vm = Vm(directory)
    expect(vm.run(*CLOUD_HYPERVISOR, options=("--notify",), stand_in={"exit": 0}), 0, "", "")
    assert "notify" not in vm.recorded()["requests"][0][2]


def test_qemu_guest_gets_a_free_vsock_port(directory):
    """QEMU's guest gets the number of a free vsock port through either transport"""
    vm = NotifyVm(directory, "vms: {test-vm: {credentialFiles: {HOST-TLS: host-tls}}}\n")
    # It reads its descriptors as QEMU would, and runs without a monitor.
    qemu = vm.bin / "qemu-system-x86_64"
    qemu.write_text(f"#!/bin/sh\nfor word; do\n\tcase $word in\n\t*path=*) cat \"${{word#*path=}}\"; echo ;;\n"
                    f"\t*file=*) echo \"${{word%%,*}} $(cat \"${{word#*file=}}\")\" ;;\n\tesac\ndone >{directory}/bin/got\n"
                    f"exit 5\n")
    qemu.chmod(0o755)
    for machine, form in (("pc", r"io.systemd.credential:vmm.notify_socket=vsock-stream:2:(\d+)\n"),
                          ("microvm", r"name=opt/io.systemd.credentials/vmm.notify_socket vsock-stream:2:(\d+)\n")):
        result = vm.run("qemu-system-x86_64", "-M", machine, "-device", "vhost-vsock-pci,guest-cid=7",
                        options=("--notify",))
        fails(result, 1, "qemu-system-x86_64", "code 5")
        port, = re.findall(form, (directory / "bin/got").read_text())
        assert 1023 < int(port) < 2**32 - 1
    assert vm.silent()


def test_messages_through_vsock_daemon_are_relayed(directory):
    """messages through QEMU's vsock daemon are relayed"""
    vm = NotifyVm(directory)
    qemu = vm.bin / "qemu-system-x86_64"
    # As much of a monitor as is asked for: an answer to the first line.
    qemu.write_text("#!/usr/bin/env python3\nimport socket, sys\n"
                    "number = [word for word in sys.argv if ',fd=' in word][0].rpartition('=')[2]\n"
                    "monitor = socket.socket(fileno=int(number))\nmonitor.recv(999)\n"
                    "monitor.sendall(b'{\"return\": {}}\\n')\nmonitor.recv(999)\n")
    qemu.chmod(0o755)
    process = vm.start("qemu-system-x86_64", "-device", "vhost-user-vsock-pci,chardev=c",
                       options=("--notify", f"--vsock-socket={vm.vsock}"))
    equal(vm.heard(), STARTING)
    vm.tell("READY=1")
    equal(vm.heard(), "READY=1")
    equal(stop(process), 0)


main()
