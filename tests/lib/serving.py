# SPDX-License-Identifier: Apache-2.0
"""Runs vmcred serve with a socket, as systemd starts it, and connects to it as systemd does."""
import contextlib
import fcntl
import os
import re
import resource
import secrets
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from example import Example
from harness import CLEAN_ENVIRONMENT, VMCRED, equal, expect, need_root, vmcred

UNIT = "microvm@m.service"
TOO_LARGE = 1024 * 1024 + 1
# The largest value: systemd counts the credential's name too.
LARGE = os.urandom(1024 * 1024 - len("host-one"))


def many_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def listening(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4096)
    return listener


def inheriting(*command, copies="3<&0", sockets=1, names="vmcred.socket"):
    """The command with sockets as passed by systemd; `copies` are the shell's redirections that create them."""
    variables = f"LISTEN_PID=$$ LISTEN_FDS={sockets} LISTEN_FDNAMES={names}"
    return ["sh", "-c", f'exec {copies} </dev/null; {variables} exec "$@"', "sh", *command]


class Server:
    """vmcred serve with a listening socket; stop() returns its exit code and log. `prefix` is a command that runs it, `kept`
    a connection of a killed process, `notify` the value of $NOTIFY_SOCKET, `channel` the path of a socket for guests,
    `runtime` the directory for their key, and `vsock` the path of a Unix socket that replaces the vsock port."""

    def __init__(self, example, *words, journal=False, idle="0", listener=None, prefix=(), kept=None, notify=None, channel=None,
                 runtime=None, vsock=None):
        need_root()
        # A new directory: a test may start several servers.
        self.directory = Path(tempfile.mkdtemp(prefix="serve.", dir=example.directory))
        self.path = listener.getsockname() if listener else str(self.directory / "socket")
        listener = listener or listening(self.path)
        self.log = open(self.directory / "log", "w+b")
        log = os.fstat(self.log.fileno())
        env = {"JOURNAL_STREAM": f"{log.st_dev}:{log.st_ino}"} if journal else {}
        serve = [*prefix, VMCRED, "serve", "--config", example.config, "--identity", example.identity, "--idle-timeout", idle]
        if notify:
            env["NOTIFY_SOCKET"] = notify
        if runtime:
            env["RUNTIME_DIRECTORY"] = str(runtime)
        # The sockets after the first one, by their names.
        passed = [("answer", kept)] if kept else []
        if channel:
            guests = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            guests.bind(str(channel))
            passed.append(("vmcred-channel.socket", guests.fileno()))
        if vsock:
            port = listening(str(vsock))
            passed.append(("vmcred-vsock.socket", port.fileno()))
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for _, fd in passed]

        def place():
            for number, fd in enumerate(copies):
                os.dup2(fd, 4 + number)

        # subprocess must not use a number that `place` replaces.
        fillers = [os.open("/dev/null", os.O_RDONLY)]
        while fillers[-1] < 8:
            fillers.append(os.open("/dev/null", os.O_RDONLY))
        self.process = subprocess.Popen(  # pylint: disable=subprocess-popen-preexec-fn
            inheriting(*serve, *words, sockets=1 + len(passed), names=":".join(["vmcred.socket", *(name for name, _ in passed)])),
            stdin=listener, stderr=self.log, env=CLEAN_ENVIRONMENT | env, preexec_fn=place if passed else None,
            pass_fds=tuple(4 + number for number in range(len(passed))))
        for fd in copies + fillers:
            os.close(fd)
        listener.close()

    def ask(self, unit, credential, random=None):
        """A connection from the address that systemd would use."""
        return self.ask_from(f"\0{random or secrets.token_hex(8)}/unit/{unit}/{credential}"[:108])

    def ask_from(self, address):
        asking = socket.socket(socket.AF_UNIX)
        if address is not None:
            asking.bind(address)
        asking.connect(self.path)
        asking.shutdown(socket.SHUT_WR)
        return asking

    def get(self, *words):
        return read(self.ask(*words))

    def status(self, name):
        """A value of /proc/PID/status, in KiB."""
        return int(re.search(rf"^{name}:\s*(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text(), re.M)[1])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        """Its exit code and its log, with N for each process ID."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self):
        code = self.process.wait(60)
        return code, self.lines()

    def lines(self):
        self.log.seek(0)
        return re.sub(r"process \d+", "process N", self.log.read().decode()).splitlines()


@contextlib.contextmanager
def serving(example, *words, **options):
    server = Server(example, *words, **options)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        server.log.close()


def read(asking):
    with asking:
        parts = []
        while part := asking.recv(1 << 20):
            parts.append(part)
        return b"".join(parts)


def refused(got):
    """Checks that the answer is larger than systemd accepts and contains only zeros."""
    equal((len(got), got.strip(b"\0")), (TOO_LARGE, b""), "the answer's size and content")


def value(example, name):
    return example.get(name).out.encode()


def with_large(directory):
    """The example, with a credential larger than the buffer of a socket."""
    example = Example(directory)
    expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=LARGE))
    return example
