# SPDX-License-Identifier: Apache-2.0
"""vmcred serve among peers that mean no good, and at the limits: names, masses, silence, and a store that changes."""
import os
import re
import signal
import socket
import subprocess
import threading

import harness
from example import DECLARATION, Example
from harness import CLEAN_ENVIRONMENT, VMCRED, equal, expect, need, run, test, vmcred
from serving import LARGE, UNIT, inheriting, listening, many_files, read, refused, serving, value, with_large

LOADS = """\
  {vm}:
    {unit}loadCredentials: {{key-{vm}: made/{file}}}
"""


def vms(**units):
    """The example's machine and secrets with other VMs: VM=UNIT, or None for the unit that has its name."""
    text = DECLARATION[:DECLARATION.index("vms:")] + "vms:\n"
    for number, (vm, unit) in enumerate(units.items()):
        text += LOADS.format(vm=vm, unit=f"unit: {unit}\n    " if unit else "", file=("one", "two")[number % 2])
    return text


def define_address(sentence, address):
    @test(sentence)
    def test_case(folder):
        example = Example(folder)
        with serving(example) as server:
            if callable(address):
                refused(read(server.ask_from(address(folder))))
            else:
                refused(read(server.ask_from(address)))
            equal(server.get(UNIT, "host-two"), value(example, "two"), "what is asked next")
            code, lines = server.stop()
            equal((code, len(lines)), (0, 2), str(lines))
            assert lines[0].startswith("vmcred: warning: refused "), lines


GOOD = f"/unit/{UNIT}/host-one"
for case, name in {
        "a name that the kernel has chosen gets nothing": b"",
        "a name of a file gets nothing": lambda folder: str(folder / "peer"),
        "a name that is one NUL gets nothing": b"\0\0",
        "a name without a random number gets nothing": f"\0{GOOD}",
        "a name with capitals in its random number gets nothing": f"\0AB{GOOD}",
        "a name with a random number of 17 digits gets nothing": f"\0{'a' * 17}{GOOD}",
        "a name without /unit/ gets nothing": f"\0ab/{UNIT}/host-one",
        "a name that says /UNIT/ gets nothing": f"\0ab/UNIT/{UNIT}/host-one",
        "a name without a unit gets nothing": "\0ab/unit//host-one",
        "a name without a credential gets nothing": f"\0ab/unit/{UNIT}/",
        "a name that ends with the unit gets nothing": f"\0ab/unit/{UNIT}",
        "a name with a NUL behind the credential gets nothing": f"\0ab{GOOD}\0",
        "a name with a NUL and more behind the credential gets nothing": f"\0ab{GOOD}\0x",
        "a name with a NUL in the unit gets nothing": f"\0ab/unit/{UNIT}\0x/host-one",
        "a name with a slash in the credential gets nothing": f"\0ab{GOOD}/host-one",
        "a name with a slash in front of the unit gets nothing": f"\0ab/unit//{UNIT}/host-one",
        "a name with a blank behind the credential gets nothing": f"\0ab{GOOD} ",
        "a name with a byte that is no ASCII gets nothing": f"\0ab{GOOD}\xa0".encode("latin-1"),
        "a unit with a specifier in its name gets nothing": "\0ab/unit/microvm@%i.service/host-one",
        "the template of the VMs' units gets nothing": "\0ab/unit/microvm@.service/host-one",
        "a unit whose name is a path up gets nothing": "\0ab/unit/../host-one",
        "a unit of another kind gets nothing": "\0ab/unit/microvm@m.socket/host-one",
        "a unit with the VM's name in capitals gets nothing": "\0ab/unit/microvm@M.service/host-one",
        "a unit whose instance ends with an escaped NUL gets nothing": "\0ab/unit/microvm@m\\x00.service/host-one",
        "a unit whose instance has an escaped slash gets nothing": "\0ab/unit/microvm@m-.service/host-one",
}.items():
    define_address(case, name)


def test_unit_credential_escaped_form_vm_name(folder):
    """a unit has its credential by the escaped form of its VM's name"""
    example = Example(folder, vms(**{"a-b": None, "c": None}))
    with serving(example) as server:
        for unit in ("microvm@a-b.service", "microvm@a\\x2db.service"):
            equal(server.get(unit, "key-a-b"), value(example, "one"))


def test_two_vms_do_not_get_each_credentials_name_begins(folder):
    """two VMs do not get each other's credentials, and a name that begins alike is not the name"""
    example = Example(folder, vms(a=None, b=None, ab=None))
    with serving(example) as server:
        equal(server.get("microvm@a.service", "key-a"), value(example, "one"))
        equal(server.get("microvm@b.service", "key-b"), value(example, "two"))
        for vm, other in (("a", "b"), ("b", "a"), ("a", "ab"), ("ab", "a")):
            refused(server.get(f"microvm@{vm}.service", f"key-{other}"))


def test_vm_says_unit_credentials_no_could_own(folder):
    """a VM that says its unit has its credentials in that one, and in no other that could be its own"""
    example = Example(folder, vms(a="foo@bar.service", b="microvm@a.service", c="plain.service"))
    with serving(example) as server:
        equal(server.get("foo@bar.service", "key-a"), value(example, "one"))
        equal(server.get("microvm@a.service", "key-b"), value(example, "two"))
        equal(server.get("plain.service", "key-c"), value(example, "one"))
        for unit, vm in (("microvm@a.service", "a"), ("microvm@\\x61.service", "a"), ("microvm@b.service", "b"),
                         ("microvm@c.service", "c"), ("foo@baz.service", "a"), ("foo@.service", "a")):
            refused(server.get(unit, f"key-{vm}"))


def test_two_credentials_whose_names_differ_behind_end(folder):
    """two credentials whose names differ behind the end of the address are both refused, also where one is the other's beginning"""
    cut = 107 - len(f"/unit/{UNIT}/") - 16
    names = ["a" * cut, "a" * cut + "b", "c" * (cut - 1)]
    loads = "".join(f"      {name}: made/one\n" for name in names)
    example = Example(folder, re.sub(r"      host-one: (.|\n)*", loads, DECLARATION))
    with serving(example) as server:
        for name in names[:2]:
            refused(server.get(UNIT, name))
        equal(server.get(UNIT, names[2]), value(example, "one"))


def test_large_credential_whose_secret_replaced_while_peer(folder):
    """a large credential whose secret is replaced while its peer pauses is refused, not mixed"""
    example = with_large(folder)
    with serving(example) as server:
        paused = server.ask(UNIT, "host-one")
        # As many more as may wait with plaintext.
        others = [server.ask(UNIT, "host-one") for _ in range(17)]
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=os.urandom(len(LARGE))))
        got = read(paused)
        equal(len(got), 1024 * 1024 + 1, "bytes, more than systemd takes")
        equal(read(others[-1]) == LARGE, True, "who did not pause so long has what was asked for")
        for asking in others:
            asking.close()
        equal(server.stop()[1][1], f"vmcred: warning: refused host-one to {UNIT} (process N): the secret has become another one "
                                   "since its beginning was sent")


def test_peers_hang_up_at_once_before_they_read_leave(folder):
    """peers that hang up at once, or before they read, leave nothing behind"""
    example = with_large(folder)
    with serving(example) as server:
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        before = server.descriptors()
        for number in range(2000):
            with server.ask(UNIT, ("host-one", "host-two", "nothing")[number % 3]) as asking:
                if number % 2:
                    asking.shutdown(socket.SHUT_RDWR)
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        # A round later all hung up ones are gone.
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        equal(server.descriptors(), before, "descriptors")


def test_few_descriptors_takes_no_more_can_goes_when_some(folder):
    """with few descriptors it takes no more than it can, and goes on when some are done"""
    many_files()
    example = Example(folder)
    with serving(example, prefix=("prlimit", "--nofile=400")) as server:
        silent = [server.ask(UNIT, "nothing") for _ in range(500)]
        waits = server.ask(UNIT, "host-one")
        for asking in silent[:336]:
            refused(read(asking))
        equal(read(waits), value(example, "one"))
        assert not any("taking a connection" in line for line in server.said()), server.said()


def test_asks_while_ends_answered_next(folder):
    """who asks while it ends is answered by the next one"""
    example = with_large(folder)
    path = str(folder / "socket")
    kept = listening(path)
    with serving(example, listener=kept.dup()) as server:
        slow = server.ask(UNIT, "host-one")
        first = slow.recv(10)
        server.process.send_signal(signal.SIGTERM)
        # Not taken any more: it is told to end before it is asked.
        asking = server.ask(UNIT, "host-two")
        equal(first + read(slow) == LARGE, True, "the whole credential")
        equal(server.ended(), (0, [f"vmcred: gave host-one to {UNIT} (process N)"]))
    with serving(example, listener=kept.dup()) as server:
        equal(read(asking), value(example, "two"))
    kept.close()


def test_while_secret_replaced_again_again_each_answer(folder):
    """while a secret is replaced again and again, each answer is one of its values"""
    example = Example(folder)
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
        finally:
            over.set()
            replacing.join()
    equal(answers - set(values.values()), set(), "answers that were never the value")
    assert len(answers) > 1, "it was never replaced"


def test_declaration_changes_several_times_tick_file_system(folder):
    """a declaration that changes several times in a tick of the file system's clock holds from the next request on"""
    example = Example(folder)
    values = [value(example, "one"), value(example, "two")]
    # Of one size, in one file: nothing but its times could tell.
    texts = [DECLARATION, DECLARATION.replace("host-one: made/one", "host-one: made/two")]
    with serving(example) as server:
        for number in range(300):
            with open(example.config, "r+", encoding="utf-8") as file:
                file.write(texts[number % 2])
            equal(server.get(UNIT, "host-one"), values[number % 2], f"after change {number}")


def too_large(size):
    return (f"vmcred: warning: refused host-one to {UNIT} (process N): made/one is larger than systemd takes: with the credential's "
            f"name it has {size + 8} bytes, and a unit's credentials may have 1048576 together")


def test_secret_systemd_would_not_take_because_counts(folder):
    """a secret that systemd would not take, because it counts the credential's name as well, is refused"""
    example = Example(folder)
    with serving(example) as server:
        for size in (1024 * 1024, len(LARGE) + 1):
            expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=bytes([7] * size)))
            refused(server.get(UNIT, "host-one"))
        expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=LARGE))
        equal(server.get(UNIT, "host-one") == LARGE, True, "the largest that it takes")
        equal(server.stop(), (0, [too_large(1024 * 1024), too_large(len(LARGE) + 1),
                                  f"vmcred: gave host-one to {UNIT} (process N)"]))


def test_secret_larger_any_store_refused(folder):
    """a secret that is larger than any in the store is refused"""
    example = Example(folder)
    plain = folder / "plain"
    plain.write_bytes(os.urandom(1024 * 1024 + 1))
    recipient = re.search(r"age1\w+", example.identity.read_text())[0]
    done = run(need("sops"), "encrypt", "--age", recipient, "--input-type", "binary", plain, env={"HOME": str(folder)})
    example.document("one").write_text(expect(done).out)
    with serving(example) as server:
        refused(server.get(UNIT, "host-one"))
        equal(server.stop(), (0, [too_large(1024 * 1024 + 1)]))


def define_start(sentence, make, message, **inherited):
    @test(sentence)
    def test_case_2(folder):
        example = Example(folder)
        kept, given = make(folder)
        words = inheriting(VMCRED, "serve", "--config", example.config, "--identity", example.identity, **inherited)
        done = subprocess.run(words, stdin=given, capture_output=True, check=False, env=CLEAN_ENVIRONMENT, timeout=60)
        equal((done.returncode, done.stdout, done.stderr.decode()), (2, b"", f"vmcred: {message}\n"))
        given.close()
        if kept:
            kept.close()


def bound(kind, family=socket.AF_UNIX):
    def make(folder):
        made = socket.socket(family, kind)
        made.bind(str(folder / "s") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        if kind != socket.SOCK_DGRAM:
            made.listen()
        return None, made

    return make


NO_LISTENER = ("what systemd has handed over is no listening Unix stream socket: vmcred.socket needs ListenStream=/… and "
               "Accept=no")
define_start("with Accept=yes it says what it needs", lambda _: socket.socketpair(), NO_LISTENER)
define_start("with a TCP socket it says what it needs", bound(socket.SOCK_STREAM, socket.AF_INET), NO_LISTENER)
define_start("with a datagram socket it says what it needs", bound(socket.SOCK_DGRAM), NO_LISTENER)
define_start("with a socket of packets it says what it needs", bound(socket.SOCK_SEQPACKET), NO_LISTENER)
define_start("with a file in place of a socket it says what it needs",
             lambda folder: (None, open(folder / "file", "w+b")), NO_LISTENER)
NO_SOCKET = ("systemd has handed over no socket, or several: `systemctl start vmcred.socket` starts it when it is asked")
TWO = {"copies": "3<&0 4<&0", "sockets": 2}


def one_listener(folder):
    return None, listening(str(folder / "s"))


define_start("with two sockets it says what it needs", one_listener, NO_SOCKET, **TWO, names="vmcred.socket:other.socket")
define_start("with two sockets of one unit it says what it needs", one_listener, NO_SOCKET, **TWO,
             names="vmcred.socket:vmcred.socket")
define_start("with a second socket whose name begins like a kept connection's it says what it needs", one_listener, NO_SOCKET,
             **TWO, names="vmcred.socket:answers")
define_start("with a second socket that has no name it says what it needs", one_listener, NO_SOCKET, **TWO)
define_start("with more sockets than there can be it says what it needs", one_listener, NO_SOCKET, sockets=99999999)


class Keeper:
    """systemd's end of $NOTIFY_SOCKET: the descriptors that it is given to keep."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(60)

    def kept(self):
        text, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 8)
        equal((text, len(descriptors)), (b"FDSTORE=1\nFDNAME=answer", 1), "what systemd is told")
        return descriptors[0]


def test_process_killed_middle_leaves_no_beginning(folder):
    """a process that is killed in the middle leaves no beginning of a credential: the next one spoils it"""
    example = with_large(folder)
    keeper, listener = Keeper(folder), listening(str(folder / "socket"))
    with serving(example, listener=listener.dup(), notify=keeper.path) as server:
        asking = server.ask(UNIT, "host-one")
        first = asking.recv(1000)
        kept = keeper.kept()
        server.process.kill()
        server.process.wait()
    with serving(example, listener=listener.dup(), kept=kept, notify=keeper.path) as server:
        rest = read(asking)
        assert len(first) + len(rest) > 1024 * 1024, "what systemd would take for a credential"
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        equal(server.stop(), (0, [
            f"vmcred: warning: refused host-one to {UNIT} (process N): the process that answered it was killed",
            f"vmcred: gave host-two to {UNIT} (process N)"]))
    os.close(kept)
    listener.close()


def test_systemd_keeps_connection_before_anything_sent(folder):
    """systemd keeps a connection before anything is sent, and what is answered ends although it has it"""
    example = Example(folder)
    keeper, listener = Keeper(folder), listening(str(folder / "socket"))
    with serving(example, listener=listener.dup(), notify=keeper.path) as server:
        equal(server.get(UNIT, "host-one"), value(example, "one"))
        kept = keeper.kept()
        server.stop()
    with serving(example, listener=listener.dup(), kept=kept) as server:
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        equal(server.stop(), (0, [f"vmcred: gave host-two to {UNIT} (process N)"]), "nothing of the one that was answered")
    os.close(kept)
    listener.close()


harness.main()
