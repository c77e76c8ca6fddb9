# SPDX-License-Identifier: Apache-2.0
"""A guest that asks its host over the channel (docs/protocol.md), vmcred-run, which passes its connection on, and the units of a
guest that ask vmcred-guest."""
import contextlib
import hashlib
import hmac
import os
import secrets
import socket
import struct
import subprocess
import threading
from pathlib import Path

from example import Example
from harness import CLEAN_ENVIRONMENT, VMCRED, equal, need_root
from serving import UNIT, listening, read, serving
from vm import CLOUD_HYPERVISOR, DECLARATION as VM, Vm, wait_for

HELLO, GET, WATCH, REPORT, VALUE, REFUSED, ANNOUNCE, RECORDED = 1, 2, 3, 4, 16, 17, 19, 20
DENIED, UNAVAILABLE, BUSY, UNSUPPORTED, UNPROVEN = 1, 2, 3, 4, 5
KEY = "vmcred.channel"
PORT = 811
GUEST_PROGRAM = VMCRED + "-guest"
APP = "app.service"  # a unit of the guest

DECLARATION = """\
machines:
  m: {}
generators:
  made:
    machines: [m]
    files:
      one: {}
      two: {}
    kind: {one: {base64: 32}, two: {hex: 16}}
vms:
  m:
    loadCredentials: {host-one: made/one}
    channelCredentials: {api-key: made/one, big: made/two}
  other:
    channelCredentials: {other-key: made/two}
  closed:
    loadCredentials: {host-one: made/one}
"""

OTHER_UNIT = "microvm@other.service"


def frame(kind, payload=b""):
    return struct.pack(">IB", 1 + len(payload), kind) + payload


def hello(version=1):
    return frame(HELLO, b"vmcred" + bytes([version]))


def get(name):
    return frame(GET, name.encode())


def relay(path, channel, key):
    """Listens where the VMM would connect, and passes connections on as vmcred run does, for the life of this process. `key`
    returns the channel key of the VM's unit."""
    listener = listening(path)

    def run():
        while True:
            connection, _ = listener.accept()
            with connection, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
                passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", connection.fileno()))]
                sender.sendmsg([key()], passed, 0, channel)

    threading.Thread(target=run, daemon=True).start()


def mac(key, nonce, request):
    return hmac.digest(bytes.fromhex(key.split()[3].decode()), b"guest\0" + nonce + request, hashlib.sha256)


def proven(key, nonce, request):
    """HELLO, with a proof of the channel key, and the request."""
    _, unit, number, _ = key.split()
    return frame(HELLO, b"vmcred\1" + bytes.fromhex(number.decode()) + mac(key, nonce, request) + unit) + request


class Connection:
    """The guest's side of a connection to its host."""

    def __init__(self, connection, key=None):
        self.socket = connection
        self.socket.settimeout(60)
        self.nonce = b""
        self.key = key  # for a proof

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def bytes(self, size):
        parts = b""
        while len(parts) < size:
            part = self.socket.recv(size - len(parts))
            if not part:
                raise EOFError(f"the connection ended after {len(parts)} of {size} bytes")
            parts += part
        return parts

    def frame(self):
        size, kind = struct.unpack(">IB", self.bytes(5))
        return kind, self.bytes(size - 1)

    def greeted(self):
        kind, payload = self.frame()
        equal((kind, payload[:7], len(payload)), (HELLO, b"vmcred\1", 7 + 16), "the host's HELLO")
        self.nonce = payload[7:]
        return self

    def ended(self):
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def send(self, message):
        """A busy host answers without waiting for the request, and closes."""
        try:
            self.socket.sendall(message)
        except BrokenPipeError:
            pass

    def request(self, request):
        self.send(proven(self.key, self.nonce, request) if self.key else hello() + request)

    def ask(self, name):
        """The value, or the reason of a refusal as a number."""
        self.greeted().request(get(name))
        return self.answer()

    def answer(self):
        kind, payload = self.frame()
        assert self.ended()
        if kind == REFUSED:
            return payload[0]
        equal(kind, VALUE, "the answer's type")
        return payload[8:]

    def version(self, name):
        self.greeted().request(get(name))
        return self.frame()[1][:8]

    def watch(self):
        """The connection, which waits for announcements."""
        self.greeted().request(frame(WATCH))
        return self

    def announcement(self):
        """The versions by name."""
        kind, payload = self.frame()
        equal(kind, ANNOUNCE, "the type")
        versions = {}
        while payload:
            end = 1 + payload[0] + 8
            versions[payload[1:end - 8].decode()] = payload[end - 8:end]
            payload = payload[end:]
        return versions

    def silent(self):
        """Whether nothing arrives for longer than vmcred serve needs to notice a change."""
        self.socket.settimeout(1)
        try:
            return not self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(60)


class Host:
    """vmcred serve with the socket for guests."""

    def __init__(self, directory, declaration=DECLARATION, example=None):
        self.example = example or Example(directory, declaration)
        self.channel = Path(directory) / "channel"
        self.vsock = Path(directory) / "vsock"
        self.runtime = Path(directory) / "runtime"
        self.runtime.mkdir(mode=0o700, exist_ok=True)

    def serving(self, **options):
        for path in (self.channel, self.vsock):
            path.unlink(missing_ok=True)
        return serving(self.example, channel=self.channel, vsock=self.vsock, runtime=self.runtime, **options)

    def send(self, key, *descriptors):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))] if descriptors else []
            sender.sendmsg([key], ancillary, 0, str(self.channel))

    def connect(self, key):
        """A connection of a guest, passed on with the key of its unit."""
        guest, vmm = socket.socketpair()
        with vmm:
            self.send(key, vmm.fileno())
        return Connection(guest)

    def dial(self, key=None):
        """A connection to the vsock port, of a guest that has a key, or none."""
        guest = socket.socket(socket.AF_UNIX)
        guest.connect(str(self.vsock))
        return Connection(guest, key)


def key_of(server, unit=UNIT):
    """As systemd loads it for the unit."""
    return server.get(unit, KEY)


@contextlib.contextmanager
def invoked(unit, invocation):
    """As systemd shows the invocation of a unit."""
    need_root()
    link = Path(f"/run/systemd/units/invocation:{unit}")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(invocation)
    try:
        yield
    finally:
        link.unlink()


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


@contextlib.contextmanager
def unit_asking(directory, credential, address=None):
    """systemd's end of the connection of a unit, and the other one."""
    with listening(str(directory / f"socket.{secrets.token_hex(4)}")) as listener, socket.socket(socket.AF_UNIX) as systemd:
        systemd.bind(address or f"\0{secrets.token_hex(8)}/unit/{APP}/{credential}")
        systemd.connect(listener.getsockname())
        systemd.shutdown(socket.SHUT_WR)
        accepted, _ = listener.accept()
        with accepted:
            yield systemd, accepted


def serve(accepted, host):
    return subprocess.Popen([GUEST_PROGRAM, "serve", "--host", str(host)], stdin=accepted, stderr=subprocess.PIPE, env=CLEAN_ENVIRONMENT)


def asked(directory, host, credential="api-key", address=None):
    """What a unit gets, and the error."""
    need_root()
    with unit_asking(directory, credential, address) as (systemd, accepted):
        process = serve(accepted, host)
        accepted.close()
        got = read(systemd)
        err = process.communicate(timeout=60)[1].decode()
        return got, process.returncode, err


class Chain:
    """vmcred serve, and a VM that vmcred run started with the key of its unit."""

    def __init__(self, directory, declaration=DECLARATION, vm=VM):
        need_root()
        os.makedirs("/run/vmcred", exist_ok=True)
        self.directory = directory
        self.host = Host(directory / "host", declaration)
        self.host.channel = Path("/run/vmcred/channel")
        self.vm = Vm(directory / "vm", vm)
        self.vsock = self.vm.bin / "vsock"

    def key(self, key):
        (self.vm.credentials / "vmcred.channel").write_bytes(key)

    def start(self, *options):
        process = self.vm.start(*CLOUD_HYPERVISOR, "--vsock", f"cid=3,socket={self.vsock}", options=options, stand_in={})
        wait_for("vm.boot", self.vm.booted)
        return process

    @property
    def port(self):
        return f"{self.vsock}_{PORT}"


def chain(directory, vm="vms: {test-vm: {}}\n"):
    """By default, the VM gets no credentials, so its guest has no key and proves nothing."""
    (directory / "host").mkdir()
    return Chain(directory, vm=vm)
