# SPDX-License-Identifier: Apache-2.0
"""Proof of delivery: the manifest that vmcred run sends, the guest's report, and a unit that waits for it. The stand-in for
Cloud Hypervisor gets the strings, and the test puts them where the guest's systemd would."""
import base64
import hashlib
import hmac
import json
import os
import re
import select
import shutil
import socket
from pathlib import Path

import harness
from guests import GUEST_PROGRAM, KEY, RECORDED, REFUSED, REPORT, Chain, Host, frame, hello, invoked, key_of
from harness import equal, expect, fails, run
from serving import UNIT
from vm import CLOUD_HYPERVISOR, DECLARATION, Vm, stop, wait_for

MANIFEST = "vmcred.manifest"
CUT, CHANGED, MISSING, UNEXPECTED = 1, 2, 3, 4
SYSTEM = Path("/run/credentials/@system")
REPORTS = Path("/run/vmcred/serve/delivery")
GUEST = f"the guest of {UNIT}"


def finding(problem, name):
    return bytes([problem, len(name)]) + name.encode()


def credentials(strings):
    """What the guest's systemd finds in OEM strings."""
    found = {}
    for string in strings:
        if match := re.fullmatch(r"io\.systemd\.credential(\.binary)?:([^=]+)=(.*)", string, re.S):
            found[match[2]] = base64.b64decode(match[3]) if match[1] else match[3].encode()
    return found


def mac(salt, name, value):
    """The documented MAC of an entry."""
    return base64.b64encode(hmac.digest(salt, name.encode() + b"\0" + value, hashlib.sha256)[:16]).rstrip(b"=")


def listed(sent):
    """Checks that the manifest lists what was sent, and returns its salt."""
    first, *lines = sent[MANIFEST].splitlines()
    salt = re.fullmatch(rb"vmcred-manifest-1 ([A-Za-z0-9+/]{22})", first)[1]
    others = [(name, value) for name, value in sent.items() if name != MANIFEST]
    equal(lines, [b"%s %d %s" % (name.encode(), len(value), mac(salt, name, value)) for name, value in others])
    return salt


class Way(Chain):
    """A VM with a channel, whose unit waits at a socket of the service manager."""

    def __init__(self, directory, **declared):
        (directory / "host").mkdir(parents=True)
        super().__init__(directory, **declared)
        shutil.rmtree(REPORTS.parent, ignore_errors=True)
        REPORTS.parent.mkdir()
        self.host.runtime = REPORTS.parent
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(directory / "manager"))
        self.manager.settimeout(60)
        own, address = self.vm.environment, self.manager.getsockname()
        self.vm.environment = lambda stand_in=None: own(stand_in) | {"NOTIFY_SOCKET": address}

    def sent(self):
        return credentials(json.loads(self.vm.recorded()["requests"][0][2])["platform"]["oem_strings"])

    def boot(self, **changes):
        """The guest has what was sent, but for changes; None removes a credential."""
        shutil.rmtree(SYSTEM, ignore_errors=True)
        SYSTEM.mkdir(parents=True)
        for name, value in (self.sent() | changes).items():
            if value is not None:
                (SYSTEM / name).write_bytes(value)

    def verify(self):
        return run(GUEST_PROGRAM, "verify", "--host", self.port)

    def heard(self):
        return self.manager.recv(65536).decode().splitlines()

    def pending(self):
        """The lines that have arrived."""
        lines = []
        while select.select([self.manager], [], [], 0.4)[0]:
            lines += self.heard()
        return lines

    def ready(self):
        """As the guest's systemd reports it."""
        with socket.socket(socket.AF_UNIX) as guest:
            guest.connect(f"{self.vsock}_8888")
            guest.sendall(b"READY=1\nX_SYSTEMD_UNIT_ACTIVE=multi-user.target")
            guest.shutdown(socket.SHUT_WR)
            equal(guest.recv(1), b"")

    def silent(self):
        """Whether nothing arrives for longer than vmcred run needs to notice a report."""
        return not select.select([self.manager], [], [], 0.6)[0]


def test_manifest(directory):
    """a VM with a channel gets a manifest with the documented names, sizes and MACs, and a fresh salt at each start"""
    way = Way(directory)
    salts = set()
    with way.host.serving() as server:
        way.key(key_of(server))
        for _ in range(2):
            process = way.start()
            sent = way.sent()
            salts.add(listed(sent))
            equal(set(sent), {"HOST-API-KEY", "HOST-TLS", KEY, MANIFEST})
            stop(process)
    equal(len(salts), 2)


def test_vector(directory):
    """vmcred-guest accepts the manifest of docs/protocol.md, and not with another value"""
    way = Way(directory)
    manifest = re.search(r"^vmcred-manifest-1 \S{22}\n(?:.* \d+ \S{22}\n)+", (harness.SOURCE / "docs/protocol.md").read_text(), re.M)[0]
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start()
        for value, code in (("hunter2", 0), ("hunter3", 4)):
            way.boot(**dict.fromkeys(way.sent(), None) | {KEY: way.sent()[KEY], MANIFEST: manifest.encode(), "api-key": value.encode()})
            equal(way.verify().code, code)
        stop(process)


def test_manifest_only_with_a_channel(directory):
    """a VM without a channel key gets no manifest, and cannot require delivery"""
    vm = Vm(directory / "vm")
    process = vm.start(*CLOUD_HYPERVISOR, stand_in={})
    wait_for("vm.boot", vm.booted)
    assert MANIFEST not in str(vm.recorded())
    stop(process)
    fails(vm.run(*CLOUD_HYPERVISOR, options=("--require-delivery",), stand_in={}), 2,
          "--require-delivery", "the VM has no channel", "channelCredentials")
    declared = Vm(directory / "declared", DECLARATION + "    requireDelivery: true\n")
    fails(declared.run(*CLOUD_HYPERVISOR, stand_in={}), 2, "the VM has no channel")


def test_sizes_are_those_that_run_sends(directory):
    """compose and check --decrypt count what run adds for a VM with a channel: what they accept fits, and one byte more does not"""
    declaration = ("machines: {m: {}}\n"
                   "generators:\n  made: {machines: [m], files: {one: {}, two: {}}, kind: {one: {hex: 16}, two: {hex: 16}}}\n"
                   f"{DECLARATION.replace('      HOST-TLS: host-tls', '')}    unit: {UNIT}\n"
                   "    loadCredentials: {host-api-key: made/one}\n    channelCredentials: {x: made/two}\n")  # fmt: skip
    way = Way(directory, declaration=declaration, vm=declaration)
    example = way.host.example
    words = (*CLOUD_HYPERVISOR, "--vsock", f"cid=3,socket={way.vsock}")

    def codes(size):
        (way.vm.credentials / "host-api-key").write_bytes(size * b"x")
        expect(harness.vmcred("set", "--config", example.config, "m", "made/one", stdin=size * b"x"))
        checked = harness.vmcred("check", "--config", example.config, "--decrypt", "--identity", example.identity)
        started = way.vm.run(*words, stand_in={"version": "cloud-hypervisor v54.0", "exit": 0})
        return checked.code, way.vm.compose().code, started.code

    with way.host.serving() as server:
        way.key(key_of(server))
    codes(60000)
    table = json.loads(expect(way.vm.compose("--json")).out)["totals"]["table"]
    size = 60000 + table["limit"] - table["used"]
    equal(codes(size), (0, 0, 0))
    equal(codes(size + 1), (1, 1, 1))
    (way.vm.directory / "vmcred.yaml").write_text(declaration + "    notify: true\n")
    for value in (b"x" * 10, b""):
        (way.vm.credentials / "host-api-key").write_bytes(value)
        expect(way.vm.run(*words, stand_in={"exit": 0}))
        shown = json.loads(expect(way.vm.compose("--json", "--", *words)).out)["strings"]
        equal({row["credential"]: row["valueSize"] for row in shown if row["credential"]},
              {name: len(value) for name, value in way.sent().items()})
        listed(way.sent())


def test_whole_delivery_makes_the_unit_ready(directory):
    """with --require-delivery, the unit is ready when the guest has reported that all arrived, and not before"""
    way = Way(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start("--require-delivery")
        equal(way.heard(), ["STATUS=Waiting for proof that the guest has its credentials."])
        assert way.silent(), "ready without a report"
        way.boot()
        result = way.verify()
        equal((result.code, result.err), (0, "vmcred: verify: all 3 credentials are whole\n"))
        equal(way.heard()[0], "READY=1")
        equal((REPORTS / UNIT).stat().st_mode & 0o777, 0o644)
        equal(len((REPORTS / UNIT).read_text().splitlines()), 1)
        equal(stop(process), 0)
        equal(server.stop()[1][1:], [f"vmcred: delivery confirmed by {GUEST}"])


def test_both_the_guest_and_the_report_make_the_unit_ready(directory):
    """with --notify and --require-delivery, the unit is ready when the guest is and all has arrived, in either order"""
    for report_first in (True, False):
        way = Way(directory / str(report_first))
        with way.host.serving() as server:
            way.key(key_of(server))
            process = way.start("--require-delivery", "--notify")
            equal(way.heard(), ["STATUS=The VM is booted; its guest is starting."])
            way.boot()
            steps = [way.verify, way.ready]
            for step in steps if report_first else reversed(steps):
                assert not any("READY=1" in line for line in way.pending())
                step()
            wait_for("READY=1", lambda: any("READY=1" in line for line in way.pending()))
            equal(stop(process), 0)


def test_mismatch_stops_the_vm(directory):
    """with --require-delivery, a report of credentials that are cut, changed or missing stops the VM, whose unit was never ready"""
    way = Way(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start("--require-delivery")
        way.boot(**{"HOST-API-KEY": way.vm.api_key.encode()[:-1], "HOST-TLS": None, "mine": b"x"})
        result = way.verify()
        equal((result.code, result.err.splitlines()), (4, [f"vmcred: warning: verify: {found}" for found in (
            "HOST-API-KEY: cut", "HOST-TLS: missing", "mine: unexpected")] + ["vmcred: verify: 2 credentials did not arrive whole"]))
        equal(process.wait(30), 4)
        text = "cut: HOST-API-KEY; missing: HOST-TLS; unexpected: mine"
        assert f"the guest did not get its credentials whole: {text}\n" in way.vm.errors(), way.vm.errors()
        assert not any("READY=1" in line for line in way.heard())
        equal(server.stop()[1][1:], [f"vmcred: warning: delivery rejected by {GUEST}: {text}"])


def test_each_difference_is_found(directory):
    """verify finds a value that is changed or longer, a manifest that is changed or missing, and no difference in others"""
    way = Way(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start()
        tls, manifest = way.vm.tls.encode(), way.sent()[MANIFEST]
        other = b"x" + tls[1:]
        for changes, code, text in (
                ({"HOST-TLS": other}, 4, "changed HOST-TLS"), ({"HOST-TLS": tls + b"x"}, 4, "changed HOST-TLS"),
                ({"HOST-TLS": b""}, 4, "cut HOST-TLS"), ({"extra": b"x"}, 0, "unexpected extra"),
                ({MANIFEST: None}, 3, f"missing {MANIFEST}"), ({MANIFEST: manifest[:-1]}, 4, f"changed {MANIFEST}"),
                ({MANIFEST: b""}, 4, f"changed {MANIFEST}"), ({MANIFEST: manifest.replace(b" 1", b" 99999999999999999999")}, 4, f"changed {MANIFEST}"),
                ({MANIFEST: manifest.replace(b"HOST-TLS", b"../shadow")}, 4, f"changed {MANIFEST}")):  # fmt: skip
            way.boot(**changes)
            result = way.verify()
            equal((result.code, (REPORTS / UNIT).read_text().splitlines()[1:]), (code, [text]), str(changes))
        stop(process)


def test_report_that_does_not_fit(directory):
    """a guest with more problems than a report can list reports the first ones, and that there are more"""
    way = Way(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start("--require-delivery")
        way.boot(**{f"{number:03}-{'x' * 60}": b"" for number in range(20)}, **{"HOST-TLS": None})
        equal(way.verify().code, 4)
        lines = (REPORTS / UNIT).read_text().splitlines()[1:]
        equal((lines[0], lines[-1]), ("missing HOST-TLS", "more "))
        equal(process.wait(30), 4)


def test_another_start_of_the_unit(directory):
    """a report of an earlier start of the unit does not count, and is gone when the unit loads its next key"""
    way = Way(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start()
        way.boot()
        equal(way.verify().code, 0)
        stop(process)
        old = (REPORTS / UNIT).read_bytes()
        while way.heard()[0] != "READY=1":
            pass
        way.key(key_of(server))
        assert not (REPORTS / UNIT).exists()
        (REPORTS / UNIT).write_bytes(old)
        process = way.start("--require-delivery")
        way.heard()
        assert way.silent(), "the old report counted"
        stop(process)


def test_unit_that_loads_its_key_again(directory):
    """a report stays when the running unit loads its credentials again"""
    way = Way(directory)
    with way.host.serving() as server, invoked(UNIT, "f" * 32):
        way.key(key_of(server))
        process = way.start()
        way.boot()
        equal(way.verify().code, 0)
        report = (REPORTS / UNIT).read_bytes()
        way.key(key_of(server))
        equal((REPORTS / UNIT).read_bytes(), report)
        stop(process)


def test_serve_restarts_while_the_unit_waits(directory):
    """a report that is sent after a restart of vmcred serve makes the unit ready"""
    way = Way(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start("--require-delivery")
        way.heard()
    way.boot()
    os.unlink("/run/vmcred/channel")
    with way.host.serving():
        equal(way.verify().code, 0)
        equal(way.heard()[0], "READY=1")
        stop(process)


INVALID = {
    "an unknown problem": b"\5\1x",
    "a problem of 255": b"\xff",
    "no name": b"\1",
    "an empty name": b"\1\0",
    "a name that ends early": b"\1\4abc",
    "a name with an escape": finding(CUT, "\x1b[2J"),
    "a path": finding(CUT, "../x"),
    "more in the middle": b"\0" + finding(CUT, "x"),
}


def test_hostile_reports(directory):
    """a report that is not valid is turned away, logged without its content, and not kept"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        for name, payload in INVALID.items():
            with host.connect(key) as guest:
                guest.greeted().socket.sendall(hello() + frame(REPORT, payload))
                assert guest.ended(), name
        assert not (host.runtime / "delivery").exists()
        lines = server.stop()[1][1:]
        equal(len(lines), len(INVALID))
        assert all(line.startswith(f"vmcred: warning: turned away {GUEST}: invalid message: ") for line in lines), lines


def test_guest_reports_about_itself_only(directory):
    """a report is kept under the unit of its connection, and says nothing about another VM"""
    host = Host(directory)
    with host.serving() as server:
        for unit, payload in ((UNIT, b""), ("microvm@other.service", finding(MISSING, "a b") + finding(UNEXPECTED, "c"))):
            with host.connect(key_of(server, unit)) as guest:
                guest.greeted().socket.sendall(hello() + frame(REPORT, payload))
                equal(guest.frame(), (RECORDED, b""))
        kept = {path.name: path.read_text().splitlines()[1:] for path in (host.runtime / "delivery").iterdir()}
        equal(kept, {UNIT: [], "microvm@other.service": ["missing a b", "unexpected c"]})


def test_report_that_cannot_be_kept(directory):
    """a report that cannot be written is refused"""
    host = Host(directory)
    (host.runtime / "delivery").write_text("not a directory")
    with host.serving() as server, host.connect(key_of(server)) as guest:
        guest.greeted().socket.sendall(hello() + frame(REPORT))
        equal(guest.frame()[0], REFUSED)


harness.main()
