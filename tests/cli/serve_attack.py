# SPDX-License-Identifier: Apache-2.0
"""vmcred serve with hostile peers and at its limits: addresses, many or silent peers, and a store that changes."""
import os
import re
import signal
import socket
import subprocess
import threading

import harness
from example import DECLARATION, Example
from harness import CLEAN_ENVIRONMENT, VMCRED, Result, equal, expect, fails, need, run, test, vmcred
from serving import LARGE, UNIT, inheriting, listening, many_files, read, refused, serving, value, with_large
from vm import wait_for

LOADS = """\
  {vm}:
    {unit}loadCredentials: {{key-{vm}: made/{file}}}
"""


def vms(**units):
    """The example's machine and secrets with other VMs: VM=UNIT, or None for the default unit."""
    text = DECLARATION[:DECLARATION.index("vms:")] + "vms:\n"
    for number, (vm, unit) in enumerate(units.items()):
        text += LOADS.format(vm=vm, unit=f"unit: {unit}\n    " if unit else "", file=("one", "two")[number % 2])
    return text


def define_address(sentence, address):
    @test(sentence)
    def test_address(directory):
        example = Example(directory)
        with serving(example) as server:
            if callable(address):
                refused(read(server.ask_from(address(directory))))
            else:
                refused(read(server.ask_from(address)))
            equal(server.get(UNIT, "host-two"), value(example, "two"), "the next request's answer")
            code, lines = server.stop()
            equal((code, len(lines)), (0, 2), str(lines))
            assert lines[0].startswith("vmcred: warning: refused "), lines


GOOD = f"/unit/{UNIT}/host-one"
for case, name in {
        "an address chosen by the kernel is refused": b"",
        "a file as the address is refused": lambda directory: str(directory / "peer"),
        "an address of one NUL is refused": b"\0\0",
        "an address without a random number is refused": f"\0{GOOD}",
        "an address with capital letters in its random number is refused": f"\0AB{GOOD}",
        "an address with a random number of 17 digits is refused": f"\0{'a' * 17}{GOOD}",
        "an address without /unit/ is refused": f"\0ab/{UNIT}/host-one",
        "an address with /UNIT/ is refused": f"\0ab/UNIT/{UNIT}/host-one",
        "an address without a unit is refused": "\0ab/unit//host-one",
        "an address without a credential is refused": f"\0ab/unit/{UNIT}/",
        "an address that ends with the unit is refused": f"\0ab/unit/{UNIT}",
        "an address with a NUL after the credential is refused": f"\0ab{GOOD}\0",
        "an address with a NUL and more after the credential is refused": f"\0ab{GOOD}\0x",
        "an address with a NUL in the unit is refused": f"\0ab/unit/{UNIT}\0x/host-one",
        "an address with a slash in the credential is refused": f"\0ab{GOOD}/host-one",
        "an address with a slash before the unit is refused": f"\0ab/unit//{UNIT}/host-one",
        "an address with a space after the credential is refused": f"\0ab{GOOD} ",
        "an address with a byte outside ASCII is refused": f"\0ab{GOOD}\xa0".encode("latin-1"),
        "a unit with a specifier in its name is refused": "\0ab/unit/microvm@%i.service/host-one",
        "the template of the VMs' units is refused": "\0ab/unit/microvm@.service/host-one",
        "a unit called .. is refused": "\0ab/unit/../host-one",
        "a unit of another type is refused": "\0ab/unit/microvm@m.socket/host-one",
        "a unit with the VM's name in capital letters is refused": "\0ab/unit/microvm@M.service/host-one",
        "a unit whose instance ends with an escaped NUL is refused": "\0ab/unit/microvm@m\\x00.service/host-one",
        "a unit whose instance has an escaped slash is refused": "\0ab/unit/microvm@m-.service/host-one",
}.items():
    define_address(case, name)


def test_escaped_vm_name(directory):
    """a unit whose instance is the escaped name of its VM gets its credential"""
    example = Example(directory, vms(**{"a-b": None, "c": None}))
    with serving(example) as server:
        for unit in ("microvm@a-b.service", "microvm@a\\x2db.service"):
            equal(server.get(unit, "key-a-b"), value(example, "one"))


def test_vms_are_separate(directory):
    """two VMs do not get each other's credentials, even if one's name starts with the other's"""
    example = Example(directory, vms(a=None, b=None, ab=None))
    with serving(example) as server:
        equal(server.get("microvm@a.service", "key-a"), value(example, "one"))
        equal(server.get("microvm@b.service", "key-b"), value(example, "two"))
        for vm, other in (("a", "b"), ("b", "a"), ("a", "ab"), ("ab", "a")):
            refused(server.get(f"microvm@{vm}.service", f"key-{other}"))


def test_vm_with_explicit_unit(directory):
    """a VM with an explicit unit gets its credentials in that unit and not in its default unit"""
    example = Example(directory, vms(a="foo@bar.service", b="microvm@a.service", c="plain.service"))
    with serving(example) as server:
        equal(server.get("foo@bar.service", "key-a"), value(example, "one"))
        equal(server.get("microvm@a.service", "key-b"), value(example, "two"))
        equal(server.get("plain.service", "key-c"), value(example, "one"))
        for unit, vm in (("microvm@a.service", "a"), ("microvm@\\x61.service", "a"), ("microvm@b.service", "b"),
                         ("microvm@c.service", "c"), ("foo@baz.service", "a"), ("foo@.service", "a")):
            refused(server.get(unit, f"key-{vm}"))


def test_ambiguous_truncated_names(directory):
    """credentials whose names differ only after the end of the address are refused, even if one name is complete"""
    cut = 107 - len(f"/unit/{UNIT}/") - 16
    names = ["a" * cut, "a" * cut + "b", "c" * (cut - 1)]
    loads = "".join(f"      {name}: made/one\n" for name in names)
    example = Example(directory, re.sub(r"      host-one: (.|\n)*", loads, DECLARATION))
    with serving(example) as server:
        for name in names[:2]:
            refused(server.get(UNIT, name))
        equal(server.get(UNIT, names[2]), value(example, "one"))


def test_secret_replaced_midway(directory):
    """a large credential whose secret is replaced while its peer pauses is refused, not a mix of both"""
    example = with_large(directory)
    with serving(example) as server:
        paused = [server.ask(UNIT, "host-one") for _ in range(18)]
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=os.urandom(len(LARGE))))
        got = [read(peer) for peer in paused]
        equal(got.count(LARGE), 1, "peers with the whole value: the one whose plaintext the server keeps")
        equal([len(one) for one in got].count(1024 * 1024 + 1), 17, "peers with more than systemd accepts")
        refusal = f"vmcred: warning: refused host-one to {UNIT} (process N): the secret changed while it was sent"
        equal(server.stop()[1].count(refusal), 17, "refusals in the log")


def test_peers_that_hang_up(directory):
    """peers that hang up at once or before they read leave no descriptors open"""
    example = with_large(directory)
    with serving(example) as server:
        counts = []
        for requests in (1, 2000):
            for number in range(requests):
                with server.ask(UNIT, ("host-two", "host-one", "nothing")[number % 3]) as asking:
                    if number % 2:
                        asking.shutdown(socket.SHUT_RDWR)
            # One more round of the loop closes all of them, and this one stays open: a peer sees the end before the close.
            equal(server.get(UNIT, "host-two"), value(example, "two"))
            with server.ask(UNIT, "host-one") as waits:
                waits.recv(1)
                counts.append(server.descriptors())
        equal(counts[1], counts[0], "descriptors")


def test_no_decryption_for_a_peer_that_hung_up(directory):
    """the secret of a peer that hung up before its turn is not read"""
    example = Example(directory)
    with serving(example) as server:
        refused(server.get(UNIT, "nothing"))
        server.process.send_signal(signal.SIGSTOP)
        for _ in range(100):
            server.ask(UNIT, "host-one").close()
        example.document("one").write_text("not a document")
        server.process.send_signal(signal.SIGCONT)
        refused(server.get(UNIT, "host-one"))
        _, lines = server.stop()
    equal(sum("the peer closed the connection too early" in line for line in lines), 100)
    equal(sum("refused host-one" in line for line in lines), 1, "readings of the document")


def test_few_descriptors(directory):
    """with few descriptors it accepts no more connections than it can, and continues when some are finished"""
    many_files()
    example = Example(directory)
    with serving(example, prefix=("prlimit", "--nofile=400")) as server:
        silent = [server.ask(UNIT, "nothing") for _ in range(500)]
        waits = server.ask(UNIT, "host-one")
        for asking in silent[:336]:
            refused(read(asking))
        equal(read(waits), value(example, "one"))
        assert not any("accepting a connection" in line for line in server.lines()), server.lines()


def test_request_during_shutdown(directory):
    """a request during shutdown is answered by the next process"""
    example = with_large(directory)
    path = str(directory / "socket")
    kept = listening(path)
    with serving(example, listener=kept.dup()) as server:
        slow = server.ask(UNIT, "host-one")
        first = slow.recv(10)
        server.process.send_signal(signal.SIGTERM)
        # Not accepted: the signal came first.
        asking = server.ask(UNIT, "host-two")
        equal(first + read(slow) == LARGE, True, "the whole credential")
        equal(server.ended(), (0, [f"vmcred: gave host-one to {UNIT} (process N)"]))
    with serving(example, listener=kept.dup()) as server:
        equal(read(asking), value(example, "two"))
    kept.close()


def test_secret_replaced_repeatedly(directory):
    """while a secret is replaced repeatedly, each answer is one of its values"""
    example = Example(directory)
    values = {number: f"value {number}".encode() * 100 for number in range(10)}
    expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=values[0]))
    over = threading.Event()

    def replace():
        number = 0
        while not over.is_set():
            number = (number + 1) % 10
            expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=values[number]))

    with serving(example) as server:
        replacing = threading.Thread(target=replace)
        replacing.start()
        try:
            answers = {server.get(UNIT, "host-one") for _ in range(500)}
            wait_for("another value", lambda: answers.add(server.get(UNIT, "host-one")) or len(answers) > 1)
        finally:
            over.set()
            replacing.join()
    equal(answers - set(values.values()), set(), "answers that were never a value")


def test_declaration_changed_within_a_clock_tick(directory):
    """each of several changes of the declaration within a tick of the file system's clock is used for the next request"""
    example = Example(directory)
    values = [value(example, "one"), value(example, "two")]
    # The same file and size: only the times could differ.
    texts = [DECLARATION, DECLARATION.replace("host-one: made/one", "host-one: made/two")]
    with serving(example) as server:
        for number in range(300):
            with open(example.config, "r+", encoding="utf-8") as file:
                file.write(texts[number % 2])
            equal(server.get(UNIT, "host-one"), values[number % 2], f"after change {number}")


def too_large(size):
    return (f"vmcred: warning: refused host-one to {UNIT} (process N): made/one is too large: {size + 8} bytes with "
            "the credential's name; systemd accepts 1048576 for all credentials of a unit")


def test_secret_above_systemd_limit(directory):
    """a secret that exceeds systemd's limit only with the credential's name is refused"""
    example = Example(directory)
    with serving(example) as server:
        for size in (1024 * 1024, len(LARGE) + 1):
            expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=bytes([7] * size)))
            refused(server.get(UNIT, "host-one"))
        expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=LARGE))
        equal(server.get(UNIT, "host-one") == LARGE, True, "the largest secret")
        equal(server.stop(), (0, [too_large(1024 * 1024), too_large(len(LARGE) + 1),
                                  f"vmcred: gave host-one to {UNIT} (process N)"]))


def test_secret_above_store_limit(directory):
    """a secret larger than vmcred would store is refused"""
    example = Example(directory)
    plain = directory / "plain"
    plain.write_bytes(os.urandom(1024 * 1024 + 1))
    recipient = re.search(r"age1\w+", example.identity.read_text())[0]
    done = run(need("sops"), "encrypt", "--age", recipient, "--input-type", "binary", plain, env={"HOME": str(directory)})
    example.document("one").write_text(expect(done).out)
    with serving(example) as server:
        refused(server.get(UNIT, "host-one"))
        equal(server.stop(), (0, [too_large(1024 * 1024 + 1)]))


def define_start(sentence, make, message=None, **inherited):
    @test(sentence)
    def test_start(directory):
        example = Example(directory)
        kept, given = make(directory)
        words = inheriting(VMCRED, "serve", "--config", example.config, "--identity", example.identity, **inherited)
        done = subprocess.run(words, stdin=given, capture_output=True, check=False, env=CLEAN_ENVIRONMENT, timeout=60)
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        if message:
            expect(result, 2, "", f"vmcred: {message}\n")
        else:
            fails(result, 2, "vmcred.socket")
        given.close()
        if kept:
            kept.close()


def bound(kind, family=socket.AF_UNIX):
    def make(directory):
        made = socket.socket(family, kind)
        made.bind(str(directory / "s") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        if kind != socket.SOCK_DGRAM:
            made.listen()
        return None, made

    return make


NO_LISTENER = ("the socket from systemd is not a listening Unix stream socket: vmcred.socket needs ListenStream=/... and "
               "Accept=no")
define_start("with Accept=yes it reports the settings of the socket", lambda _: socket.socketpair(), NO_LISTENER)
define_start("with a TCP socket it reports the settings of the socket", bound(socket.SOCK_STREAM, socket.AF_INET), NO_LISTENER)
define_start("with a datagram socket it reports the settings of the socket", bound(socket.SOCK_DGRAM), NO_LISTENER)
define_start("with a packet socket it reports the settings of the socket", bound(socket.SOCK_SEQPACKET), NO_LISTENER)
define_start("with a file instead of a socket it reports the settings of the socket",
             lambda directory: (None, open(directory / "file", "w+b")), NO_LISTENER)
TWO = {"copies": "3<&0 4<&0", "sockets": 2}


def one_listener(directory):
    return None, listening(str(directory / "s"))


define_start("with two sockets it fails", one_listener, **TWO, names="vmcred.socket:other.socket")
define_start("with two sockets of one unit it fails", one_listener, **TWO, names="vmcred.socket:vmcred.socket")
define_start("with a second socket whose name starts like that of a kept connection it fails", one_listener, **TWO,
             names="vmcred.socket:answers")
define_start("with a second socket without a name it fails", one_listener, **TWO)
define_start("with an impossible number of sockets it fails", one_listener, sockets=99999999)


class Keeper:
    """systemd's end of $NOTIFY_SOCKET, which receives the descriptors to keep."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(60)

    def kept(self):
        text, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 8)
        equal((text, len(descriptors)), (b"FDSTORE=1\nFDNAME=answer", 1), "the message to systemd")
        return descriptors[0]


def test_killed_process_leaves_no_truncated_credential(directory):
    """if the process is killed midway, the next one makes the answer invalid instead of leaving it truncated"""
    example = with_large(directory)
    keeper, listener = Keeper(directory), listening(str(directory / "socket"))
    with serving(example, listener=listener.dup(), notify=keeper.path) as server:
        asking = server.ask(UNIT, "host-one")
        first = asking.recv(1000)
        kept = keeper.kept()
        server.process.kill()
        server.process.wait()
    with serving(example, listener=listener.dup(), kept=kept, notify=keeper.path) as server:
        rest = read(asking)
        assert len(first) + len(rest) > 1024 * 1024, "systemd would accept the answer"
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        equal(server.stop(), (0, [
            f"vmcred: warning: refused host-one to {UNIT} (process N): vmcred serve was killed while answering",
            f"vmcred: gave host-two to {UNIT} (process N)"]))
    os.close(kept)
    listener.close()


def test_systemd_keeps_each_connection(directory):
    """systemd keeps each connection from before its answer, and an answered connection ends nevertheless"""
    example = Example(directory)
    keeper, listener = Keeper(directory), listening(str(directory / "socket"))
    with serving(example, listener=listener.dup(), notify=keeper.path) as server:
        equal(server.get(UNIT, "host-one"), value(example, "one"))
        kept = keeper.kept()
        server.stop()
    with serving(example, listener=listener.dup(), kept=kept) as server:
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        equal(server.stop(), (0, [f"vmcred: gave host-two to {UNIT} (process N)"]), "the log, without the answered connection")
    os.close(kept)
    listener.close()


harness.main()
