# SPDX-License-Identifier: Apache-2.0
"""Guests that ask vmcred serve over the channel. socketpair(2) replaces the VMM, and the test vmcred-run."""
import contextlib
import hashlib
import hmac
import os
import re
import shutil
import signal
import socket
import struct
import time
from pathlib import Path

import harness
from guests import (
    ANNOUNCE, BUSY, DECLARATION, DENIED, HELLO, KEY, OTHER_UNIT, RECORDED, REFUSED, REPORT, UNAVAILABLE, UNSUPPORTED, VALUE, WATCH, Connection, Host, descriptors, frame, get, hello, invoked, key_of,
)  # fmt: skip
from harness import equal, expect, vmcred
from opens import Opens
from serving import LARGE, UNIT, refused, value
from vm import wait_for

GUEST = f"the guest of {UNIT}"


def test_guest_gets_the_current_value(directory):
    """a guest gets the current value of a credential in channelCredentials, and the log names it without its value"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        equal(host.connect(key).ask("api-key"), value(host.example, "one"))
        host.example.set("one", b"changed")
        equal(host.connect(key).ask("api-key"), b"changed")
        gave = f"vmcred: gave api-key to {GUEST}"
        equal(server.stop(), (0, [f"vmcred: gave {KEY} to {UNIT} (process N)", gave, gave]))


def test_largest_value(directory):
    """a guest gets a value of almost 1 MiB, and an empty one, whole"""
    host = Host(directory)
    large = os.urandom((1 << 20) - len("big"))
    with host.serving() as server:
        key = key_of(server)
        for content in (large, b""):
            expect(vmcred("set", "--allow-empty", "--config", host.example.config, "m", "made/two", stdin=content))
            assert host.connect(key).ask("big") == content


def test_guest_gets_nothing_else(directory):
    """a guest gets neither the credential of another VM, nor one that only its unit loads, nor the key itself"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        for name in ("other-key", "host-one", "api-ke", KEY):
            equal(host.connect(key).ask(name), DENIED, name)
        equal(host.connect(key_of(server, OTHER_UNIT)).ask("other-key"), value(host.example, "two"))
        equal(host.connect(key_of(server, OTHER_UNIT)).ask("api-key"), DENIED)
        lines = [line for line in server.stop()[1] if "refused" in line]
        equal(lines, [f"vmcred: warning: refused {name} to {GUEST}: not in channelCredentials of the VM m"
                      for name in ("other-key", "host-one", "api-ke", KEY)] +
              [f"vmcred: warning: refused api-key to the guest of {OTHER_UNIT}: not in channelCredentials of the VM other"])


def test_declaration_that_takes_a_credential_away(directory):
    """a guest is refused what a changed declaration no longer lists, also on a connection made before the change"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        waiting = host.connect(key).greeted()
        host.example.config.write_text(DECLARATION.replace("api-key: made/one, ", ""))
        waiting.request(get("api-key"))
        equal(waiting.answer(), DENIED, "the answer on a connection made before")
        equal(host.connect(key).ask("api-key"), DENIED)


def test_missing_secret(directory):
    """a secret that is not in the store is unavailable, not denied"""
    host = Host(directory)
    host.example.document("one").unlink()
    with host.serving() as server:
        equal(host.connect(key_of(server)).ask("api-key"), UNAVAILABLE)


def test_unit_without_channel_gets_no_key(directory):
    """the unit of a VM without channelCredentials gets no channel key, and neither does a unit of no VM"""
    host = Host(directory)
    with host.serving() as server:
        refused(server.get("microvm@closed.service", KEY))
        refused(server.get("sshd.service", KEY))
        equal(server.stop()[1], [f"vmcred: warning: refused {KEY} to {unit} (process N): the unit's VM has no channelCredentials"
                                 for unit in ("microvm@closed.service", "sshd.service")])


def turned_away(host, key):
    guest, vmm = socket.socketpair()
    with guest, vmm:
        host.send(key, vmm.fileno())
        vmm.close()
        equal(guest.recv(1), b"", "what the guest reads")


def test_key_that_is_not_valid(directory):
    """a connection with an altered, shortened or lengthened key, or with that of another boot, is closed"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        other_unit = key.replace(b"@m.", b"@other.")
        assert other_unit != key
        for wrong in (other_unit, key[:-2] + (b"0" if key[-2:-1] != b"0" else b"1") + b"\n"):
            turned_away(host, wrong)
        for wrong in (b"", b"x", key[:-1], key + b"\n", key.upper(), b" " * 600, key.replace(UNIT.encode(), b"\xff" * len(UNIT))):
            turned_away(host, wrong)
        (host.runtime / "channel.key").unlink()
        turned_away(host, key)
        reasons = [line.removeprefix("vmcred: warning: turned away process N: ") for line in server.stop()[1][1:]]
        invalid = "its channel key is not valid: restart the VM's unit; keys are valid until the next boot"
        equal(reasons, [invalid] * 2 + ["it sent no channel key"] * 7 + [invalid])


def test_key_survives_serve(directory):
    """a channel key is valid for the next vmcred serve, too, and each unit's start gets another one"""
    host = Host(directory)
    with host.serving() as server:
        keys = [key_of(server), key_of(server)]
    assert keys[0] != keys[1]
    assert all(re.fullmatch(rb"vmcred-channel-1 microvm@m\.service [0-9a-f]{32} [0-9a-f]{64}\n", key) for key in keys)
    equal(oct((host.runtime / "channel.key").stat().st_mode), "0o100600")
    with host.serving():
        for key in keys:
            equal(host.connect(key).ask("api-key"), value(host.example, "one"))


def test_key_of_an_invocation(directory):
    """a unit that loads its channel key again while it runs gets the same one; its next start and another unit get others"""
    host = Host(directory)
    keys = []
    with host.serving() as server:
        for unit, invocation in ((UNIT, "0123456789abcdef" * 2), (UNIT, "f" * 32), (OTHER_UNIT, "f" * 32)):
            with invoked(unit, invocation):
                keys.append(key_of(server, unit))
                equal(key_of(server, unit), keys[-1])
            assert keys[-1].startswith(f"vmcred-channel-1 {unit} {invocation} ".encode()), "the invocation names the key"
        equal(len({key.split()[3] for key in keys}), 3, "the number of keys")
        for invocation in ("f" * 31, "g" * 32, "f" * 33, "../" * 10 + "ff"):
            with invoked(UNIT, invocation):
                assert key_of(server) != key_of(server), invocation


def test_version_of_a_value(directory):
    """the version of a value is the documented MAC: it stays until the value changes"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        secret = bytes.fromhex(key.split()[-1].decode())
        for content in (b"first", b"second", b"first"):
            host.example.set("one", content)
            name_key = hmac.digest(secret, b"value\0api-key", hashlib.sha256)
            equal(host.connect(key).version("api-key"), hmac.digest(name_key, content, hashlib.sha256)[:8])


def vectors():
    page = (harness.SOURCE / "docs/protocol.md").read_text()
    return {name: bytes.fromhex(text) for name, text in re.findall(r"^\| ([^|]+) \| `([0-9a-f]+)` \|$", page, re.M)}


def test_vectors_of_messages(_directory):
    """the messages of docs/protocol.md are those of this test's own implementation"""
    equal(vectors()["HELLO of the host"], frame(HELLO, b"vmcred\1" + bytes(range(16))))
    equal(vectors()["HELLO and GET \"api-key\""], hello() + get("api-key"))
    equal(vectors()["the beginning of VALUE"], frame(VALUE, bytes(range(1, 9)) + bytes(5))[:-5])
    equal(vectors()["ANNOUNCE of \"api-key\" with that version"], frame(ANNOUNCE, b"\x07api-key" + bytes(range(1, 9))))
    equal(vectors()["REFUSED, denied"], frame(REFUSED, bytes([DENIED])))
    equal(vectors()['HELLO and REPORT of a missing "api-key"'], hello() + frame(REPORT, b"\x03\x07api-key"))
    equal(vectors()["RECORDED"], frame(RECORDED))


def test_vectors_of_keys(directory):
    """vmcred serve accepts the channel key of docs/protocol.md, and sends the documented version of a value"""
    host = Host(directory)
    (host.runtime / "channel.key").write_bytes(bytes(range(32)))
    host.example.set("one", b"hunter2")
    key = f"vmcred-channel-1 {UNIT} {bytes(range(16)).hex()} {vectors()['KEY'].hex()}\n".encode()
    with host.serving():
        equal(host.connect(key).version("api-key"), vectors()["version"])


def test_descriptors_that_are_not_connections(directory):
    """datagrams without a connection, with two, or with another descriptor are dropped, and leak nothing"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        silent = host.connect(key).greeted()
        before = descriptors(server.process)
        with open("/dev/null", "rb") as null, socket.socket(socket.AF_UNIX) as lone, socket.socket(socket.AF_INET) as inet:
            pair = socket.socketpair()
            for passed in ((), (null.fileno(),), (lone.fileno(),), (inet.fileno(),), [end.fileno() for end in pair]):
                host.send(key, *passed)
            for end in pair:
                end.close()
        other = host.connect(key).greeted()
        equal(descriptors(server.process), before + 1)
        for guest in (silent, other):
            guest.socket.close()
        equal([line for line in server.stop()[1] if "no connection" in line],
              ["vmcred: warning: turned away process N: it sent no connection"] * 5)


def lingering():
    """A socket that waits when it is closed, because its peer does not read."""
    peers = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        peers.append(listener.accept()[0])
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 100))
    sender.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sender.send(bytes(1 << 16))
    return sender, peers


def test_descriptors_that_wait_when_they_are_closed(directory):
    """descriptors whose last close would wait, in datagrams, in a request or unread after it, delay no other guest"""
    host = Host(directory)
    with host.serving() as server, contextlib.ExitStack() as stack:
        key, other = key_of(server), key_of(server, OTHER_UNIT)
        reads, watches = host.connect(key).greeted(), host.connect(key).watch()
        watches.announcement()

        def hand_over(send, count=1):
            """vmcred serve has the last descriptor of each socket."""
            sockets = [lingering() for _ in range(count)]
            os.kill(server.process.pid, signal.SIGSTOP)
            send([sender.fileno() for sender, _ in sockets])
            for sender, peers in sockets:
                sender.close()
                stack.callback(peers[0].close)
            os.kill(server.process.pid, signal.SIGCONT)
            equal(host.connect(other).ask("other-key"), value(host.example, "two"))

        for count in (1, 2, 10):
            hand_over(lambda fds: host.send(key, *fds), count)
        hand_over(lambda fds: socket.send_fds(reads.socket, [b"x"], fds))
        hand_over(lambda fds: (socket.send_fds(watches.socket, [b"x"], fds), watches.socket.close()))


def test_flood_of_datagrams(directory):
    """any number of datagrams without a connection are a few lines in the log, and a guest with a connection is answered"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        for _ in range(300):
            host.send(b"x")
        equal(host.connect(key).ask("api-key"), value(host.example, "one"))
        assert 0 < sum("no connection" in line for line in server.stop()[1]) < 50


def test_request_in_pieces(directory):
    """a request that arrives byte by byte is answered"""
    host = Host(directory)
    with host.serving() as server, host.connect(key_of(server)) as guest:
        guest.greeted()
        for byte in hello() + get("api-key"):
            guest.socket.sendall(bytes([byte]))
        equal(guest.frame()[1][8:], value(host.example, "one"))


INVALID = {
    "a size of 0": (b"\0\0\0\0\0", "its size is 0 bytes"),
    "a size of 4 GiB": (b"\xff\xff\xff\xff\1", "its size is 4294967295 bytes"),
    "a frame that is too large": (b"\0\0\1\xfd\1", "its size is 509 bytes"),
    "GET first": (get("api-key") * 2, "it does not start with HELLO"),
    "another magic": (frame(1, b"VMCRED\1") + get("x"), "it does not start with HELLO"),
    "version 0": (hello(0) + get("x"), "it does not start with HELLO"),
    "WATCH with a payload": (hello() + frame(3, b"x"), "WATCH has no payload"),
    "two requests": (hello() + get("api-key") + get("api-key"), "more than one request"),
    "an empty name": (hello() + get(""), "not the name of a credential"),
    "a name with a newline": (hello() + get("x\n<3>y"), "not the name of a credential"),
    "a name with a NUL": (hello() + get("api-key\0"), "not the name of a credential"),
    "a path": (hello() + get("../x"), "not the name of a credential"),
    "a name that is too long": (hello() + get("x" * 256), "not the name of a credential"),
}


def test_invalid_requests(directory):
    """an invalid request is closed and logged without its content"""
    host = Host(directory)
    for name, (sent, reason) in INVALID.items():
        with host.serving() as server:
            with host.connect(key_of(server)) as guest:
                guest.greeted().socket.sendall(sent)
                assert guest.ended(), name
            equal(server.stop()[1][1:], [f"vmcred: warning: turned away {GUEST}: invalid message: {reason}"], name)


def test_newer_guest(directory):
    """a request or a version of a newer guest is refused as unsupported"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        for sent in (hello(2) + get("api-key"), hello() + frame(5), hello() + frame(255, b"x" * 500)):
            with host.connect(key) as guest:
                guest.greeted().socket.sendall(sent)
                equal(guest.frame(), (REFUSED, bytes([UNSUPPORTED])))


def test_silent_guests_do_not_delay_others(directory):
    """a guest with as many silent connections as it may have delays neither another guest nor a unit, and gets no more"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        silent = [host.connect(key).greeted() for _ in range(8)]
        equal(host.connect(key).ask("api-key"), BUSY)
        equal(host.connect(key_of(server, OTHER_UNIT)).ask("other-key"), value(host.example, "two"))
        equal(server.get(UNIT, "host-one"), value(host.example, "one"))
        for guest in silent:
            guest.socket.close()
        equal([line for line in server.stop()[1] if "too many" in line], [f"vmcred: warning: turned away {GUEST}: too many requests"])


def test_guest_that_does_not_read(directory):
    """guests that do not read a large value delay no others"""
    host = Host(directory)
    with host.serving() as server:
        host.example.set("two", os.urandom(1 << 19))
        key = key_of(server)
        waiting = [host.connect(key) for _ in range(7)]
        for guest in waiting:
            guest.greeted().socket.sendall(hello() + get("big"))
        equal(host.connect(key).ask("api-key"), value(host.example, "one"))
        for guest in waiting:
            guest.socket.close()


def test_flood(directory):
    """a guest that asks without a pause is refused as busy, and its lines in the log are few; another one is answered"""
    host = Host(directory)
    with host.serving() as server:
        key, other = key_of(server), key_of(server, OTHER_UNIT)
        answers = [host.connect(key).ask("x") for _ in range(300)]
        equal(set(answers), {DENIED, BUSY})
        equal(host.connect(other).ask("other-key"), value(host.example, "two"))
        assert 64 <= answers.count(DENIED) < 200, answers.count(DENIED)
        equal(sum("too many" in line for line in server.stop()[1]), 1)


def test_flood_of_large_values(directory):
    """a large value counts as several requests, to a guest that asks for it and to one that watches"""
    host = Host(directory)
    with host.serving() as server:
        host.example.set("two", os.urandom(1000000))
        for key, ask in ((key_of(server), lambda guest: guest.ask("big")), (key_of(server, OTHER_UNIT), lambda guest: guest.greeted().request(frame(WATCH)))):
            answers = []
            while BUSY not in answers and len(answers) < 60:
                with host.connect(key) as guest:
                    answers.append(ask(guest) or {REFUSED: BUSY}.get(guest.frame()[0]))
            assert answers[-1] == BUSY, len(answers)


def test_large_value_in_small_parts(directory):
    """if peers read a value in small parts at the same time, it is not decrypted again for each part, and another one has its turn"""
    host = Host(directory)
    with host.serving() as server:
        host.example.set("two", os.urandom(1000000))
        key, opens, peers = key_of(server), Opens(host.example.document("two")), []

        def asking(key, name, size):
            guest, vmm = socket.socketpair()
            with vmm:
                vmm.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
                host.send(key, vmm.fileno())
            Connection(guest).greeted().request(get(name))
            guest.setblocking(False)
            return guest

        def read(peer, size):
            try:
                return len(peer.recv(size))
            except BlockingIOError:
                return 0

        start = time.monotonic()
        peers = [asking(key, "big", 1) for _ in range(4)]
        for _ in range(50):
            for peer in peers:
                read(peer, 8192)
            time.sleep(0.01)
        # Once for each, and then ten times a second.
        most = len(peers) + 10 * (time.monotonic() - start) + 1
        assert opens.count() <= most
        others = [asking(key_of(server, OTHER_UNIT), "other-key", 1 << 17) for _ in range(4)]
        got = dict.fromkeys(others, 0)
        for _ in range(300):
            for peer in peers:
                read(peer, 8192)
            for other in others:
                got[other] += read(other, 1 << 20)
            if min(got.values()) > 1000000:
                break
            time.sleep(0.01)
        equal(set(got.values()), {13 + 1000000}, "what other guests have got meanwhile")
        for peer in peers + others:
            peer.close()


def test_guest_that_is_too_slow(directory):
    """a connection without a request is closed after ten seconds"""
    host = Host(directory)
    with host.serving() as server, host.connect(key_of(server)) as guest:
        assert guest.greeted().ended()
        equal(server.stop()[1][1:], [f"vmcred: warning: turned away {GUEST}: it took too long"])


def test_hundred_guests_at_once(directory):
    """a hundred VMs that ask at once all get their values"""
    names = [f"vm{number}" for number in range(100)]
    vms = "".join(f"  {name}:\n    channelCredentials: {{api-key: made/one}}\n" for name in names)
    host = Host(directory, re.sub(r"vms:\n(.|\n)*", f"vms:\n{vms}", DECLARATION))
    with host.serving() as server:
        keys = [key_of(server, f"microvm@{name}.service") for name in names]
        guests = [host.connect(key) for key in keys]
        for guest in guests:
            guest.greeted().send(hello() + get("api-key"))
        equal({guest.frame()[1][8:] for guest in guests}, {value(host.example, "one")})


def test_changes_are_announced(directory):
    """a guest that watches learns which values changed, by name and version, and nothing else"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        with host.connect(key).watch() as guest:
            first = guest.announcement()
            equal(first, {name: host.connect(key).version(name) for name in ("api-key", "big")})
            host.example.set("one", b"changed")
            second = guest.announcement()
            equal(second, first | {"api-key": host.connect(key).version("api-key")})
            assert second != first
            host.example.set("one", b"changed")
            assert guest.silent(), "the same value was announced again"
            host.example.config.write_text(DECLARATION.replace(", big: made/two", ""))
            equal(guest.announcement(), {"api-key": second["api-key"]})
            host.example.document("one").unlink()
            equal(guest.announcement(), {})
        lines = server.stop()[1]
        equal([line for line in lines if "gave" not in line and "read" not in line], [f"vmcred: {GUEST} watches for changes"] +
              [f"vmcred: announced changes to {GUEST}"] * 3)


def test_change_of_one_document(directory):
    """for a guest that watches, only the document that changed is decrypted again"""
    host = Host(directory)
    with host.serving() as server, host.connect(key_of(server)).watch() as guest:
        guest.announcement()
        opens = Opens(host.example.document("two"))
        host.example.set("one", b"changed")
        guest.announcement()
        equal(opens.count(), 0, "how often the other document was opened")


def test_changes_in_a_store_that_is_replaced(directory):
    """a guest that watches learns of changes in a directory that was replaced, at the target of a link, and in a document that was missing"""
    host = Host(directory)
    document, elsewhere = host.example.document("one"), Path(directory) / "elsewhere"
    with host.serving() as server, host.connect(key_of(server)).watch() as guest:
        announced = [guest.announcement()]

        def changed(change):
            change()
            announced.append(guest.announcement())
            assert announced[-2] != announced[-1]

        changed(document.unlink)
        changed(lambda: host.example.set("one", b"created"))
        shutil.copytree(document.parents[1], elsewhere)
        changed(lambda: document.parents[1].rename(directory / "old"))
        changed(lambda: document.parents[1].symlink_to("../../../elsewhere"))
        changed(lambda: host.example.set("one", b"at the target"))
        changed(document.parents[1].unlink)
        changed(lambda: elsewhere.rename(document.parents[1]))
        changed(lambda: host.example.set("one", b"no link"))


def test_guest_that_watches_does_not_delay_the_end(directory):
    """vmcred serve ends at once although guests watch; the next one announces what changed in between"""
    host = Host(directory)
    with host.serving() as server:
        key = key_of(server)
        guests = [host.connect(key).watch() for _ in range(3)]
        before = [guest.announcement() for guest in guests]
        equal(server.stop()[0], 0)
        assert all(guest.ended() for guest in guests)
    host.example.set("two", b"changed while nobody served")
    with host.serving(), host.connect(key).watch() as guest:
        after = guest.announcement()
        equal((after["api-key"], after["big"] == before[0]["big"]), (before[0]["api-key"], False))


def test_guest_that_does_not_read_does_not_delay_the_end(directory):
    """vmcred serve ends although a guest does not read its answer, so that the requests that wait for the next start are answered"""
    host = Host(directory)
    host.example.set("one", os.urandom(1 << 19))
    with host.serving() as server, host.connect(key_of(server)) as guest:
        guest.greeted().request(get("api-key"))
        assert guest.socket.recv(1)
        server.process.send_signal(signal.SIGTERM)
        equal(server.process.wait(30), 0)


def test_watching_of_many_values(directory):
    """while the values of a guest with many large ones are read for its announcement, another guest's are announced"""
    many = ", ".join(f"c{i}: made/two" for i in range(300))
    host = Host(directory, DECLARATION.replace("{api-key: made/one, big: made/two}", f"{{{many}}}").replace("made/two}\n  closed", "made/one}\n  closed"))
    host.example.set("two", LARGE)
    with host.serving() as server:
        keys = [key_of(server), key_of(server, OTHER_UNIT)]
        with host.connect(keys[0]).watch() as slow:
            wait_for("watching", lambda: any("watches" in line for line in server.lines()))
            with host.connect(keys[1]).watch() as other:
                equal(list(other.announcement()), ["other-key"])
            slow.socket.setblocking(False)
            try:
                raise AssertionError(f"the first guest got {len(slow.socket.recv(1))} byte")
            except BlockingIOError:
                pass


def test_guests_of_many_vms_watch(directory):
    """a hundred guests that watch all learn of a change"""
    names = [f"vm{number}" for number in range(100)]
    vms = "".join(f"  {name}:\n    channelCredentials: {{api-key: made/one}}\n" for name in names)
    host = Host(directory, re.sub(r"vms:\n(.|\n)*", f"vms:\n{vms}", DECLARATION))
    with host.serving() as server:
        guests = [host.connect(key_of(server, f"microvm@{name}.service")).watch() for name in names]
        before = [guest.announcement() for guest in guests]
        host.example.set("one", b"changed")
        start = time.monotonic()
        after = [guest.announcement() for guest in guests]
        print(f"# announced to 100 guests in {time.monotonic() - start:.3f} s")
        assert all(old != new for old, new in zip(before, after))
        equal(len({versions["api-key"] for versions in after}), 100, "the number of versions, which differ by VM")
        for guest in guests:
            guest.socket.close()
        equal(server.get("microvm@vm0.service", KEY)[:4], b"vmcr")


harness.main()
