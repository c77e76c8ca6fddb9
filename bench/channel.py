# SPDX-License-Identifier: Apache-2.0
"""What running guests wait for `vmcred serve`: VMs that all ask at the same instant, and at a steady rate; how long a changed
secret takes to all guests that watch; what guests that watch cost while nothing changes; and the memory of `vmcred-guest watch`.
Requests are answered one after the other, so half of 100 that come at once wait for 50 times the processor time of one. Socket
pairs replace the VMMs, and this process vmcred-run and all guests, whose work the times include. argv[1] is the bare program,
vars_bare.c."""
import os
import re
import resource
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

    def __init__(self, host, server, count):
        self.host, self.pid = host, server.process.pid
        self.keys = [key_of(server, f"microvm@v{number}.service") for number in range(count)]
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


def at_once(guests, count, name):
    latencies = []
    for number in range(count):
        guests.ask(number, name)
    while guests.waiting:
        latencies += guests.answers()
    return latencies


def steadily(guests):
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


def measured(title, guests, requests, parameters):
    """Prints and records the latencies of what `requests` returns, and the processor time for each of them."""
    before = processor_seconds(guests.pid)
    latencies = requests()
    used = (processor_seconds(guests.pid) - before) / len(latencies)
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else latencies * 100
    rows = {"vmcred serve": latencies, "vmcred serve, 99 of 100": [cuts[98]]}
    record(title, rows, parameters, dict.fromkeys(rows, used))
    title = ", ".join([title, *(f"{value:,} {name}" for name, value in parameters.items())])
    print(f"{title:54} {cuts[49] * 1e3:8.2f} ms {cuts[98] * 1e3:8.2f} ms {used * 1e3:8.3f} ms", flush=True)
    return used


def bare():
    """The processor time that any server needs for a request which it has not answered before: unwrapping the data key."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([sys.argv[1], "rewrap", "1000", "1", "0", "1"], check=True, stdout=subprocess.DEVNULL)
    return (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before) / 1000


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
    """The share of a processor that `vmcred serve` uses while that many guests watch."""
    connections = watching(guests, count)
    used, start = processor_seconds(guests.pid), time.perf_counter()
    time.sleep(SECONDS)
    share = (processor_seconds(guests.pid) - used) / (time.perf_counter() - start)
    print(f"{count:5} guests with {CREDENTIALS} credentials watch: {share * 100:6.2f} % of a processor", flush=True)
    measured(f"VMs ask {RATE} times a second while guests watch", guests, lambda: steadily(guests), {"VMs": VMS, "guests": count})
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
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        directory = Path(name)
        host = Host(directory, declaration(max(VMS, WATCHERS)))
        with host.serving() as server:
            guests = Guests(host, server, max(VMS, WATCHERS))
            at_once(guests, 1, "c0")
            print(f"{'':54} {'p50':>11} {'p99':>11} {'processor time for each':>11}")
            used = {}
            for count in (1, 10, 100):
                used[count] = measured("VMs ask at once", guests, lambda n=count: sum((at_once(guests, n, "c0") for _ in range(ROUNDS)), []), {"VMs": count})
                time.sleep(ROUNDS / 8)  # a VM's allowance
            floor = [bare() for _ in range(5)]
            record("Processor time for a guest's request", {"bare unwrapping of its data key": floor, "vmcred serve": [used[100]]})
            print(f"{'bare unwrapping of a data key':78} {statistics.median(floor) * 1e3:8.3f} ms", flush=True)
            same = lambda: sum((at_once(guests, 100, "all") for _ in range(ROUNDS)), [])  # noqa: E731
            measured("VMs ask at once, all for the same", guests, same, {"VMs": 100})
            measured(f"VMs ask {RATE} times a second", guests, lambda: steadily(guests), {"VMs": VMS})
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
