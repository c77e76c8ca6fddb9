# SPDX-License-Identifier: Apache-2.0
"""Guests with vhost-vsock, which connect to vmcred serve by themselves and prove which VM they are. A Unix socket replaces the
vsock port, and a process the CID."""
import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys

import harness
from guests import (
    BUSY, DECLARATION, DENIED, GET, GUEST_PROGRAM, HELLO, KEY, OTHER_UNIT, REFUSED, UNPROVEN, VALUE, WATCH, Connection, Host, frame, get, hello, key_of, chain, mac, proven, unit_asking,
)  # fmt: skip
from harness import CLEAN_ENVIRONMENT, equal, expect, fails
from serving import UNIT, listening, read, refused, serving, value
from vm import Vm, stop, wait_for

GUEST = f"the guest of {UNIT} (CID N)"
UNKNOWN = "vmcred: warning: turned away an unknown guest (CID N): "


def lines(server):
    """The log, without the lines about the keys."""
    return [re.sub(r"CID \d+", "CID N", line) for line in server.stop()[1] if KEY not in line]


def test_guest_that_has_its_key(directory):
    """a guest that proves its channel key gets what its VM's channelCredentials lists, and no more"""
    host = Host(directory)
    with host.serving() as server:
        key, other = key_of(server), key_of(server, OTHER_UNIT)
        equal(host.dial(key).ask("api-key"), value(host.example, "one"))
        equal(host.dial(other).ask("other-key"), value(host.example, "two"))
        equal(host.dial(other).ask("api-key"), DENIED)
        equal(lines(server), [
            f"vmcred: gave api-key to {GUEST}", f"vmcred: gave other-key to the guest of {OTHER_UNIT} (CID N)",
            f"vmcred: warning: refused api-key to the guest of {OTHER_UNIT} (CID N): not in channelCredentials of the VM other"
        ])


def test_guest_that_watches(directory):
    """a guest that proves its channel key learns which values change"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        with host.dial(key).watch() as guest:
            before = guest.announcement()
            equal(before, {name: host.dial(key).version(name) for name in ("api-key", "big")})
            host.example.set("one", b"changed")
            equal(guest.announcement(), before | {"api-key": host.dial(key).version("api-key")})


def unproven(host, message):
    """The end of what a guest gets that sends the message, which the function makes from the host's nonce."""
    with host.dial() as guest:
        guest.greeted().send(message(guest.nonce))
        return guest.answer()


def test_guest_without_its_key(directory):
    """a guest gets nothing without a proof, or with one for another unit, request or connection, or of another boot"""
    host = Host(directory)
    request = get("api-key")
    with host.serving() as server:
        key = key_of(server)
        prefix, unit, number, digits = key.split()
        seen = []
        for name, message in {
            "no proof": lambda nonce: hello() + request,
            "another unit": lambda nonce: proven(key.replace(b"@m.", b"@other."), nonce, get("other-key")),
            "another ID": lambda nonce: proven(b" ".join((prefix, unit, bytes(32), digits)).replace(bytes(32), b"0" * 32), nonce, request),
            "another key": lambda nonce: proven(b" ".join((prefix, unit, number, b"0" * 64)), nonce, request),
            "another request": lambda nonce: proven(key, nonce, get("big"))[:-len(get("big"))] + request,
            "another type": lambda nonce: proven(key, nonce, frame(WATCH))[:-len(frame(WATCH))] + frame(GET, b"x"),
            "another connection": lambda nonce: seen.append(nonce) or proven(key, bytes(16), request),
            "a replay": lambda nonce: proven(key, seen[0], request),
        }.items():
            equal(unproven(host, message), UNPROVEN, name)
        equal(unproven(host, lambda nonce: proven(key, nonce, request)), value(host.example, "one"))
        (host.runtime / "channel.key").unlink()
        equal(unproven(host, lambda nonce: proven(key, nonce, request)), UNPROVEN)
        invalid = UNKNOWN + "its channel key is not valid: restart the VM's unit; keys are valid until the next boot"
        equal([line for line in lines(server) if "unknown" in line],
              [UNKNOWN + "it did not prove which VM it is: restart the VM, so that it gets a channel key"] + [invalid] * 8)


def test_proofs_that_are_not_valid(directory):
    """a HELLO with a part of a proof, or with the name of a unit that could not be logged, ends the connection"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        for unit in (b"", b"a b", b"a\nb", b"\xff", b"x" * 108, b"x\0"):
            with host.dial() as guest:
                tag = mac(key, guest.greeted().nonce, get("api-key"))
                guest.send(frame(HELLO, b"vmcred\1" + bytes(16) + tag + unit) + get("api-key"))
                assert guest.ended(), unit
        for size in (1, 16, 47):
            with host.dial() as guest:
                guest.greeted().send(frame(HELLO, b"vmcred\1" + bytes(size)) + get("api-key"))
                assert guest.ended(), size
        equal(lines(server), [UNKNOWN + "invalid message: its HELLO has no valid proof"] * 9)


def guest_serve(directory, host, key):
    """What a unit of the guest gets, with the exit status and the errors."""
    credentials = directory / "credentials"
    credentials.mkdir(exist_ok=True)
    (credentials / KEY).unlink(missing_ok=True)
    if key is not None:
        (credentials / KEY).write_bytes(key)
    with unit_asking(directory, "api-key") as (systemd, accepted), subprocess.Popen(
            [GUEST_PROGRAM, "serve", "--host", host.vsock], stdin=accepted, stderr=subprocess.PIPE,
            env=CLEAN_ENVIRONMENT | {"CREDENTIALS_DIRECTORY": str(credentials)}) as process:
        accepted.close()
        got = read(systemd)
        return got, process.wait(60), process.stderr.read().decode()


def test_unit_of_a_guest(directory):
    """vmcred-guest proves the key among its credentials; without one, the unit fails and the error says why"""
    host = Host(directory)
    with host.serving() as server:
        equal(guest_serve(directory, host, key_of(server)), (value(host.example, "one"), 0, ""))
        got, code, err = guest_serve(directory, host, None)
        refused(got)
        equal((code, err), (1, "vmcred: serve: api-key for app.service: the guest did not prove which VM it is; restart the VM with "
                            "channelCredentials, so that it gets a channel key\n"))


def test_guest_with_a_socket_and_its_key(directory):
    """a guest that vmcred run gave the channel key must prove it, so that not every process in it can ask"""
    way = chain(directory, vm="vms: {test-vm: {credentialFiles: {HOST-TLS: host-tls}}}\n")
    way.host.vsock = way.port
    with serving(way.host.example, channel=way.host.channel, runtime=way.host.runtime) as server:
        key = key_of(server)
        way.key(key)
        process = way.start()
        sent = [text for text in json.loads(way.vm.recorded()["requests"][0][2])["platform"]["oem_strings"] if KEY in text]
        equal(sent, [f"io.systemd.credential.binary:{KEY}={base64.b64encode(key).decode()}"])
        equal(way.host.dial().ask("api-key"), UNPROVEN)
        equal(way.host.dial(key_of(server, OTHER_UNIT)).ask("other-key"), UNPROVEN)
        equal(way.host.dial(key).ask("api-key"), value(way.host.example, "one"))
        equal(guest_serve(directory, way.host, key), (value(way.host.example, "one"), 0, ""))
        stop(process)
        equal([line for line in lines(server) if "turned" in line], [
            f"vmcred: warning: turned away the guest of {UNIT}: {reason}"
            for reason in ("it did not prove which VM it is: restart the VM, so that it gets a channel key", "it has the channel key of another unit")
        ])


def test_relayed_connection_needs_no_proof(directory):
    """the connection of a VM with a socket of its own says which VM it is, whatever its guest proves"""
    host = Host(directory)
    with host.serving() as server:
        guest = host.connect(key_of(server))
        guest.key = key_of(server, OTHER_UNIT)
        equal(guest.ask("api-key"), value(host.example, "one"))


# Connects so many times, prints a line, and keeps the connections until its input ends.
HOSTILE = """
import socket, sys
held = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[2]))]
for connection in held:
    connection.connect(sys.argv[1])
print(flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def hostile(host, connections, processes=1):
    """Other guests, each with another CID, that connect and say nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(processes):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", HOSTILE, host.vsock, str(connections)],
                                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            process.stdout.readline()
        yield


def test_silent_guests_do_not_delay_others(directory):
    """guests that prove nothing are limited by their CID: they delay neither a guest with another one nor a unit"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        with hostile(host, 20):
            equal(host.dial(key).ask("api-key"), value(host.example, "one"))
            equal(host.connect(key).ask("api-key"), value(host.example, "one"))
            equal(server.get(UNIT, "host-one"), value(host.example, "one"))
        silent = [host.dial().greeted() for _ in range(8)]
        equal(host.dial(key).ask("api-key"), BUSY)
        for guest in silent:
            guest.socket.close()
        equal(lines(server).count(UNKNOWN + "too many requests"), 2)


def test_guests_with_many_cids(directory):
    """of all guests that prove nothing, the oldest are closed for others"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        before = server.descriptors()
        with hostile(host, 8, processes=12):
            # The connection of key_of() may have been counted before.
            wait_for("the connections", lambda: server.descriptors() >= before + 63)
            equal(host.dial(key).ask("api-key"), value(host.example, "one"))
            assert server.descriptors() <= before + 64
            equal(server.get(UNIT, "host-one"), value(host.example, "one"))
        assert len([line for line in lines(server) if line.startswith(UNKNOWN)]) <= 20, "the lines about unknown guests"


def connected(host, key):
    """Another guest, which has another CID, since another process connects."""
    guest = socket.socket(socket.AF_UNIX)
    process = os.fork()
    if process == 0:
        guest.connect(str(host.vsock))
        os._exit(0)
    os.waitpid(process, 0)
    return Connection(guest, key)


# A few more than may wait for a proof.
MANY = 66


def test_many_guests_at_once(directory):
    """guests that connect at the same time are not closed before they can prove their units, however many they are"""
    vms = "".join(f"  vm{number}:\n    channelCredentials: {{api-key: made/one}}\n" for number in range(MANY))
    host = Host(directory, DECLARATION.partition("vms:")[0] + "vms:\n" + vms)
    with host.serving() as server:
        keys = [key_of(server, f"microvm@vm{number}.service") for number in range(MANY)]

        def closed():
            os.kill(server.process.pid, signal.SIGSTOP)
            guests = [connected(host, key) for key in keys]
            os.kill(server.process.pid, signal.SIGCONT)
            count = 0
            for guest in guests:
                with guest:
                    try:
                        equal(guest.ask("api-key"), value(host.example, "one"))
                    except (EOFError, ConnectionError):
                        count += 1
            return count

        # A busy machine may give the guests too little time.
        counts = []
        while 0 not in counts and len(counts) < 8:
            counts.append(closed())
        assert 0 in counts, f"so many guests were closed: {counts}"


def test_limits_of_a_unit(directory):
    """the limits of a unit hold for all its connections, whatever the CID"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        waiting = [host.dial(key).watch() for _ in range(4)] + [host.connect(key).watch() for _ in range(4)]
        for guest in waiting:
            guest.announcement()
        with host.dial(key) as guest:
            guest.greeted().request(get("api-key"))
            equal(guest.frame(), (REFUSED, bytes([BUSY])))
        equal(host.dial(key_of(server, OTHER_UNIT)).ask("other-key"), value(host.example, "two"))


# Prints what its options name, as QEMU reads it, and what others can see of its command line.
QEMU = """\
#!/bin/sh
for word; do
	case $word in
	*path=*) cat "${word#*path=}"; echo ;;
	*file=*) echo "${word%%,*}"; cat "${word#*file=}" ;;
	esac
done
tr '\\0' ' ' </proc/$$/cmdline
exit 5
"""


def test_qemu_guest_gets_the_key(directory):
    """a guest of QEMU with vhost-vsock gets the channel key of its unit through either transport, and not on the command line"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
    vm = Vm(directory / "vm", "vms: {test-vm: {}}\n")
    (vm.credentials / KEY).write_bytes(key)
    qemu = harness.write_program(vm.bin / "qemu-system-x86_64", QEMU)
    for machine, form in (("pc", f"io.systemd.credential.binary:{KEY}={base64.b64encode(key).decode()}"),
                          ("microvm", f"name=opt/io.systemd.credentials/{KEY}\n{key.decode()}")):
        for device in ("vhost-vsock-pci", "vhost-vsock-device"):
            words = ("qemu-system-x86_64", "-M", machine, "-device", f"{device},guest-cid=7")
            out = expect(vm.run(*words), 5, None, "").out
            assert form in out, out
            equal(out.count(key.split()[3].decode()), machine == "microvm", "the number of keys in readable form")


def test_vm_without_a_way_for_the_key(directory):
    """a VM whose unit has a channel key does not start without a vsock device, or if its guest cannot get the key"""
    vm = Vm(directory, "vms: {test-vm: {}}\n")
    (vm.credentials / KEY).write_bytes(b" ".join((b"vmcred-channel-1", UNIT.encode(), b"0" * 32, b"1" * 64)) + b"\n")
    for name in ("qemu-system-x86_64", "qemu-system-s390x"):
        harness.write_program(vm.bin / name, "#!/bin/sh\n")
    device = ("-device", "vhost-vsock-pci,guest-cid=7")
    expect(vm.run("qemu-system-x86_64"), 2, "",
           "vmcred: preparing to start QEMU: channelCredentials: the VM has no vsock device: add one, or remove channelCredentials\n")
    fails(vm.run("qemu-system-x86_64", "-device", "vhost-user-vsock-pci,chardev=c"), 2, "channelCredentials", "--vsock-socket")
    fails(vm.run("qemu-system-s390x", *device), 2, "cannot deliver", "qemu-system-s390x")
    fails(vm.run("qemu-system-x86_64", *device, "-incoming", "defer"), 2, "-incoming")
    fails(vm.run("qemu-system-x86_64", *device, options=("--transport=initrd",)), 2, "-initrd")
    fails(vm.run("qemu-system-x86_64", *device, "-smbios", f"type=11,value=io.systemd.credential:{KEY}=x"), 2, KEY, "channelCredentials")


def test_guest_sends_the_documented_proof(directory):
    """vmcred-guest sends the documented bytes to a host with the documented nonce"""
    page = (harness.SOURCE / "docs/protocol.md").read_text()
    vectors = {name: bytes.fromhex(text) for name, text in re.findall(r"^\| ([^|]+) \| `([0-9a-f]+)` \|$", page, re.M)}
    nonce, number, request = bytes(range(16)), bytes(range(16)), get("api-key")
    key = b" ".join((b"vmcred-channel-1", UNIT.encode(), number.hex().encode(), vectors["KEY"].hex().encode())) + b"\n"
    sent = vectors["HELLO with a proof and GET \"api-key\""]
    equal(proven(key, nonce, request), sent)
    credentials = directory / "credentials"
    credentials.mkdir()
    (credentials / KEY).write_bytes(key)
    with listening(str(directory / "host")) as listener, unit_asking(directory, "api-key") as (systemd, accepted), subprocess.Popen(
            [GUEST_PROGRAM, "serve", "--host", directory / "host"], stdin=accepted,
            env=CLEAN_ENVIRONMENT | {"CREDENTIALS_DIRECTORY": str(credentials)}) as process:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(frame(HELLO, b"vmcred\1" + nonce))
            equal(connection.recv(4096), sent)
            connection.sendall(frame(VALUE, bytes(8) + b"value"))
        accepted.close()
        equal((read(systemd), process.wait(60)), (b"value", 0))


harness.main()
