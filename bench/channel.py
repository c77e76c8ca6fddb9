# SPDX-License-Identifier: Apache-2.0
"""What running guests wait for `vmcred serve`: VMs that all ask at the same instant, and at a steady rate; how long a changed
secret takes to all guests that watch; what guests that watch cost while nothing changes; and the memory of `vmcred-guest watch`.
Requests are answered one after the other, so half of 100 that come at once wait for 50 times the processor time of one. Socket
pairs replace the VMMs, and this process vmcred-run and all guests, whose work the times include. The floor is a server that does
nothing but unwrap a data key for each request: argv[1], vars_bare.c. Both have their turns, and no turn follows a pause: after two
seconds of sleep, a processor of a virtual machine takes several times as long for the same work."""
import contextlib
import copy
import ctypes
import os
import re
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from guests import ANNOUNCE, GUEST_PROGRAM, HELLO, VALUE, WATCH, Host, frame, get, hello, key_of
from harness import CLEAN_ENVIRONMENT, expect, vmcred
from record import record, unmeasured
from serving import listening, many_files

VMS = int(os.environ.get("BENCH_VMS", "100"))
WATCHERS = int(os.environ.get("BENCH_WATCHERS", "1000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "15"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
CLONE_NEWNET = 0x40000000
DATAGRAMS = 512  # that wait at a socket, as systemd sets it when a host boots; the kernel's own default is 10
RATE = 2  # requests of a VM in a second
CREDENTIALS = 10  # of a VM

HELLO_SIZE = 28
ANSWER_SIZE = HELLO_SIZE + 13 + 44  # 32 bytes in Base64


def declaration(count):
    """The first credential of each VM is its own, the last one that of all."""
    lines = ["machines: {m: {}}", "generators:", "  all: {machines: [m], files: {key: {}}, kind: {key: {base64: 32}}}"]
    files = ", ".join(f"f{number}: {{}}" for number in range(CREDENTIALS - 1))
    kinds = ", ".join(f"f{number}: {{base64: 32}}" for number in range(CREDENTIALS - 1))
    credentials = ", ".join(f"c{number}: GENERATOR/f{number}" for number in range(CREDENTIALS - 1))
    for number in range(count):
        lines.append(f"  g{number}: {{machines: [m], files: {{{files}}}, kind: {{{kinds}}}}}")
    lines.append("vms:")
    for number in range(count):
        lines.append(f"  v{number}: {{channelCredentials: {{{credentials.replace('GENERATOR', f'g{number}')}, all: all/key}}}}")
    return "\n".join(lines) + "\n"


def processor_seconds(pid):
    """Of a process that is still there: clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


class Guests:
    """The VMs of a host, and the connections that wait for an answer."""

    def __init__(self, host, pid, keys):
        self.host, self.pid, self.keys = host, pid, keys
        self.waiting = {}
        self.poll = select.epoll()

    def connect(self, number, request):
        """Passes on a connection on which the guest has sent its request already."""
        guest, vmm = socket.socketpair()
        with vmm:
            guest.send(hello() + request)
            self.host.send(self.keys[number], vmm.fileno())
        return guest

    def ask(self, number, name):
        start = time.perf_counter()
        guest = self.connect(number, get(name))
        self.waiting[guest.fileno()] = (guest, start, b"")
        self.poll.register(guest, select.EPOLLIN)

    def answers(self, timeout=None):
        """The latencies of those that are whole."""
        latencies = []
        for descriptor, _ in self.poll.poll(timeout):
            guest, start, before = self.waiting[descriptor]
            got = before + guest.recv(65536)
            assert len(got) > len(before), f"the connection ended after {got}"
            self.waiting[descriptor] = (guest, start, got)
            if len(got) < ANSWER_SIZE:
                continue
            latencies.append(time.perf_counter() - start)
            assert got[HELLO_SIZE + 4] == VALUE, got
            self.poll.unregister(descriptor)
            del self.waiting[descriptor]
            guest.close()
        return latencies


def at_once(guests, turn, count, name):
    """Other VMs in each turn, because each has an allowance."""
    latencies = []
    for number in range(turn * count, (turn + 1) * count):
        guests.ask(number % len(guests.keys), name)
    while guests.waiting:
        latencies += guests.answers()
    return latencies


def steadily(guests, _turn):
    """Each VM asks RATE times a second, one after the other."""
    latencies, start, asked = [], time.perf_counter(), 0
    while asked < VMS * RATE * SECONDS or guests.waiting:
        due = start + asked / (VMS * RATE) - time.perf_counter()
        if asked < VMS * RATE * SECONDS and due <= 0:
            guests.ask(asked % VMS, "c0")
            asked += 1
        else:
            latencies += guests.answers(max(due, 0) if asked < VMS * RATE * SECONDS else None)
    return latencies


def measured(title, servers, requests, parameters, turns=1):
    """Prints and records the latencies of what `requests` returns, and the processor time for each of them, by the names of the
    servers. Returns the processor times."""
    latencies, used, slowest = {name: [] for name in servers}, dict.fromkeys(servers, 0), {}
    for turn in range(turns):
        for name, guests in servers.items():
            before = processor_seconds(guests.pid)
            latencies[name] += requests(guests, turn)
            used[name] += processor_seconds(guests.pid) - before
    what = ", ".join([title, *(f"{value:,} {name}" for name, value in parameters.items())])
    for name, times in latencies.items():
        used[name] /= len(times)
        cuts = statistics.quantiles(times, n=100)
        slowest[name] = [cuts[98]]
        print(f"{what:52} {name:17} {cuts[49] * 1e3:8.2f} ms {cuts[98] * 1e3:8.2f} ms {used[name] * 1e3:8.3f} ms", flush=True)
    record(title, latencies, parameters, used)
    record(f"{title}, 99 of 100 have their answer", slowest, parameters)
    return used


@contextlib.contextmanager
def bare(host, keys):
    """The guests of a server that only unwraps a data key for each request."""
    host = copy.copy(host)
    host.channel = host.channel.with_name("bare")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(host.channel))
        process = subprocess.Popen([sys.argv[1], "answer", "1", "1", "0", "1"], stdin=datagrams)
    try:
        yield Guests(host, process.pid, keys)
    finally:
        process.kill()
        process.wait()


def watching(guests, count):
    """Connections of as many guests; all have the first announcement."""
    connections = [guests.connect(number, frame(WATCH)) for number in range(count)]
    for connection in connections:
        parts = b""
        while len(parts) <= HELLO_SIZE:
            parts += connection.recv(65536)
    return connections


def rotation(guests, connections):
    """Seconds from the start and the end of `vmcred set` until each guest has the new value."""
    numbers = {connection.fileno(): number for number, connection in enumerate(connections)}
    announced, got = select.epoll(), 0
    for connection in connections:
        announced.register(connection, select.EPOLLIN)
    start = time.perf_counter()
    expect(vmcred("set", "--config", guests.host.example.config, "m", "all/key", stdin=os.urandom(22).hex()))
    stored = time.perf_counter()
    while got < len(connections):
        for descriptor, _ in announced.poll(0.001):
            connections[numbers[descriptor]].recv(65536)
            guests.ask(numbers[descriptor], "all")
        got += len(guests.answers(0.001))
    end = time.perf_counter()
    return end - start, end - stored


def idle(guests, count):
    """The share of a processor that `vmcred serve` uses while that many guests watch, and what others wait for then."""
    connections = watching(guests, count)
    measured(f"VMs ask {RATE} times a second while guests watch", {"vmcred serve": guests}, steadily, {"VMs": VMS, "guests": count})
    used, start = processor_seconds(guests.pid), time.perf_counter()
    time.sleep(SECONDS)
    share = (processor_seconds(guests.pid) - used) / (time.perf_counter() - start)
    print(f"{count:5} guests with {CREDENTIALS} credentials watch: {share * 100:6.2f} % of a processor", flush=True)
    for connection in connections:
        connection.close()


def guest_memory(directory):
    """Of `vmcred-guest watch` that waits."""
    listener = listening(str(directory / "host"))
    process = subprocess.Popen([GUEST_PROGRAM, "watch", "--host", listener.getsockname()], env=CLEAN_ENVIRONMENT)
    try:
        connection, _ = listener.accept()
        connection.send(frame(HELLO, b"vmcred\1" + bytes(16)))
        connection.recv(1024)
        connection.send(frame(ANNOUNCE, b"\1a" + bytes(8)))
        time.sleep(1)
        memory = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        sizes = {name: int(size) for name, size in re.findall(r"^(Rss|Pss|Private_Dirty|Locked):\s*(\d+) kB", memory, re.M)}
        print("vmcred-guest watch, waiting:", ", ".join(f"{name} {size} KiB" for name, size in sizes.items()), flush=True)
    finally:
        process.kill()
        process.wait()


def main():
    if os.geteuid() != 0:
        unmeasured("the channel of running guests", "it needs root")
        sys.exit(77)
    many_files()
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0:
        Path("/proc/sys/net/unix/max_dgram_qlen").write_text(str(DATAGRAMS), encoding="ascii")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        directory = Path(name)
        host = Host(directory, declaration(max(VMS, WATCHERS)))
        with host.serving() as server:
            keys = [key_of(server, f"microvm@v{number}.service") for number in range(max(VMS, WATCHERS))]
            guests = Guests(host, server.process.pid, keys)
            print(f"{'':70} {'p50':>11} {'p99':>11} {'processor time for each':>11}")
            with bare(host, keys) as floor:
                servers = {"bare unwrapping": floor, "vmcred serve": guests}
                for each in servers.values():
                    at_once(each, 0, 1, "c0")
                for count in (1, 10, 100):
                    used = measured("VMs ask at once", servers, lambda each, turn, n=count: at_once(each, turn, n, "c0"), {"VMs": count}, ROUNDS)
                record("Processor time for a guest's request", {name: [value] for name, value in used.items()})
                measured("VMs ask at once, all for the same", servers, lambda each, turn: at_once(each, turn, 100, "all"), {"VMs": 100}, ROUNDS)
                measured(f"VMs ask {RATE} times a second", servers, steadily, {"VMs": VMS})
            connections = watching(guests, VMS)
            times = [rotation(guests, connections) for _ in range(5)]
            record("Until all guests have a new value", {"vmcred set, from its start": [end for end, _ in times],
                                                         "vmcred set, from its end": [end for _, end in times]}, {"guests": VMS})  # fmt: skip
            print(f"{VMS} guests have the new value {statistics.median(end for _, end in times):.3f} s after `vmcred set` "
                  f"({max(end for _, end in times):.3f} at most; {statistics.median(end for end, _ in times):.3f} after its start)")
            for connection in connections:
                connection.close()
            for count in sorted({VMS, WATCHERS}):
                idle(guests, count)
        guest_memory(directory)


if __name__ == "__main__":
    sys.exit(main())
