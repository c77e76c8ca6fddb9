# SPDX-License-Identifier: Apache-2.0
"""A declared VM with its directory of credentials, and functions to start it, for the tests of compose and run."""
import atexit
import base64
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import harness
from harness import equal

DECLARATION = """\
vms:
  test-vm:
    credentialFiles:
      HOST-API-KEY: host-api-key
      HOST-TLS: host-tls
    platformOEMStrings: [ENVIRONMENT=test, CLUSTER=example-host]
"""

STAND_IN = harness.SOURCE / "tests/cli/cloud_hypervisor_stand_in.py"


_started = []


@atexit.register
def _stop_all():
    """Kills the processes of a failed test."""
    for process in _started:
        if process.poll() is None:
            process.kill()
            process.wait()


def stopped_at_exit(process):
    """Returns the process, and ends it with the tests."""
    _started.append(process)
    return process


CLOUD_HYPERVISOR = ("cloud-hypervisor", "--kernel", "/k", "--cpus", "boot=1", "--console", "off", "--serial", "null")


def canary(value):
    """The bytes that must not be visible: the value, and its Base64 at each offset within longer data."""
    data = value.encode()
    return [data] + [base64.b64encode(data[start:start + 12]) for start in range(3)]


class Vm:
    """Creates vmcred.yaml, a directory of credentials and a directory for a PATH in `directory`."""

    api_key = "canary,\"[x]=é-7f0c1d3a5b"
    tls = "line 1\nend\n\0"

    def __init__(self, directory, declaration=DECLARATION):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        (directory / "vmcred.yaml").write_text(declaration)
        self.credentials = directory / "credentials"
        self.credentials.mkdir()
        (self.credentials / "host-api-key").write_bytes(self.api_key.encode())
        (self.credentials / "host-tls").write_bytes(self.tls.encode())
        self.bin = directory / "bin"
        self.bin.mkdir()

    @property
    def oem_strings(self):
        return ["ENVIRONMENT=test", "CLUSTER=example-host", f"io.systemd.credential:HOST-API-KEY={self.api_key}",
                "io.systemd.credential.binary:HOST-TLS=" + base64.b64encode(self.tls.encode()).decode()]

    @property
    def table_size(self):
        return 6 + sum(len(string.encode()) + 1 for string in self.oem_strings)

    def environment(self, stand_in=None):
        env = {"PATH": f"{self.bin}:{os.environ['PATH']}", "RUNTIME_DIRECTORY": str(self.directory)}
        if stand_in is not None:
            link = self.bin / "cloud-hypervisor"
            if not link.is_symlink():
                link.symlink_to(STAND_IN)
            env["STAND_IN"] = json.dumps({"record": str(self.directory / "record")} | stand_in)
        return env

    def compose(self, *words):
        return harness.vmcred("compose", "--credentials", self.credentials, "test-vm", *words, cwd=self.directory)

    def run(self, *words, options=(), stand_in=None, timeout=60):
        """Runs it until it ends."""
        return harness.vmcred("run", "--credentials", self.credentials, *options, "test-vm", "--", *words,
                              cwd=self.directory, env=self.environment(stand_in), timeout=timeout)

    def start(self, *words, options=(), stand_in=None, fds=(), stdin=subprocess.DEVNULL):
        """Starts and returns the process, which inherits `fds`; its outputs go to the files out and err in the directory."""
        (self.directory / "record").unlink(missing_ok=True)
        with open(self.directory / "out", "wb") as out, open(self.directory / "err", "wb") as err:
            process = subprocess.Popen(
                [harness.VMCRED, "run", "--credentials", str(self.credentials), *options, "test-vm", "--",
                 *map(str, words)],
                cwd=self.directory, env=harness.CLEAN_ENVIRONMENT | self.environment(stand_in),
                stdin=stdin, stdout=out, stderr=err, pass_fds=fds)
        return stopped_at_exit(process)

    def errors(self):
        return (self.directory / "err").read_text()

    def recorded(self):
        """The stand-in's arguments and requests."""
        return json.loads((self.directory / "record").read_text())

    def requested(self):
        """The resources that were requested so far."""
        if not (self.directory / "record").exists():
            return []
        return [request[1] for request in self.recorded()["requests"]]

    def booted(self):
        """Whether vm.boot has been answered."""
        return "/api/v1/vm.boot" in self.requested() and len(self.recorded()["requests"][-1]) == 4


def no_canary(data, value):
    for form in canary(value):
        assert form not in data, form


def nothing_left(vm):
    """Checks that the launch left no socket and no directory."""
    equal(sorted(path.name for path in vm.directory.iterdir()
                 if path.name not in ("record", "record.new", "out", "err")), ["bin", "credentials", "vmcred.yaml"])


def wait_for(what, condition, timeout=30):
    end = time.monotonic() + timeout
    while True:
        # Before the look: on a busy machine this process may have been the one that had to wait.
        is_late = time.monotonic() > end
        if value := condition():
            return value
        if is_late:
            raise AssertionError(f"{what} did not happen within {timeout} s")
        time.sleep(0.02)


def stop(process):
    """Ends a process that a test started; returns its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def children(pid):
    """The child processes of all threads of a process."""
    found, at_its_end = [], (FileNotFoundError, ProcessLookupError)
    with contextlib.suppress(*at_its_end):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(*at_its_end):
                found += [int(child) for child in Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii").split()]
    return found


def has_ended(pid):
    """Whether it has ended with all its threads, of which the first may be a zombie while others end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z" and \
            len(os.listdir(f"/proc/{pid}/task")) == 1
    # The second: it was there when the file was opened, and not when it was read.
    except (FileNotFoundError, ProcessLookupError):
        return True


def visible_to_others(pid):
    """The command line and environment of a process, as other processes of this user see them."""
    view = Path(f"/proc/{pid}/cmdline").read_bytes()
    try:
        return view + Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:  # the process is not dumpable
        return view


def api_put(path, resource, body=None):
    """PUT to a VMM's API; returns the short answer."""
    data = json.dumps(body).encode() if body is not None else b""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(path))
        client.sendall(f"PUT /api/v1/{resource} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
                       "\r\n".encode() + data)
        return client.recv(65536).decode()


def api_get(path, resource):
    """GET of a VMM's API. Returns the decoded JSON."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(path))
        client.sendall(f"GET /api/v1/{resource} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += client.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < int(lengths[0]):
            body += client.recv(65536)
        return json.loads(body)


class ChangingFile:
    """A file with other content each time it is opened, content(1) first: a pipe, which the next one replaces."""

    def __init__(self, path, content):
        self.path = path
        self.content = content
        os.mkfifo(path)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        for number in itertools.count(1):
            with open(self.path, "w", encoding="utf-8") as file:
                self.path.unlink()
                os.mkfifo(self.path)
                file.write(self.content(number))


class Qmp:
    """A connection to QEMU's monitor."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        # The socket exists before QEMU listens on it.
        wait_for("QEMU's monitor", lambda: self.socket.connect_ex(str(path)) == 0)
        self.stream = self.socket.makefile("rw")
        self.stream.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "return" in answer or "error" in answer:
                return answer.get("return")
