# SPDX-License-Identifier: Apache-2.0
"""vmcred-guest serve, which answers units of a guest, with hosts that are honest, busy and hostile; and the way through
vmcred run to vmcred serve. The socket of the VM's vsock port replaces the VMM."""
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import threading

import harness
from guests import (
    APP, BUSY, DENIED, GUEST_PROGRAM, HELLO, REFUSED, UNAVAILABLE, VALUE, asked, chain, frame, get, hello, key_of, serve, unit_asking,
)  # fmt: skip
from harness import CLEAN_ENVIRONMENT, equal, fails, need_root, run
from serving import LARGE, inheriting, listening, read, refused, value
from vm import CLOUD_HYPERVISOR, children, stop, wait_for

HOST_HELLO = frame(HELLO, b"vmcred\1" + bytes(16))


@contextlib.contextmanager
def hosting(directory, *answers):
    """A host that sends one of the answers to each connection, after the guest's request; the requests are in the list."""
    path = directory / f"host.{secrets.token_hex(4)}"
    listener = listening(str(path))
    requests = []

    def serve_all():
        for answer in answers:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(answer[:len(HOST_HELLO)])
                connection.settimeout(60)
                if answer.startswith(HOST_HELLO):
                    requests.append(connection.recv(4096))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(answer[len(HOST_HELLO):])

    thread = threading.Thread(target=serve_all, daemon=True)
    thread.start()
    try:
        yield path, requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)


def answer_value(content):
    return HOST_HELLO + frame(VALUE, b"version!" + content)


def test_unit_gets_the_value(directory):
    """a unit gets the value that the host sends, of any size, and the request is the documented one"""
    for content in (b"hunter2", b"", bytes(range(256)), LARGE):
        with hosting(directory, answer_value(content)) as (path, requests):
            got, code, err = asked(directory, path)
            assert got == content, len(content)
            equal((code, err), (0, ""))
            equal(requests, [hello() + get("api-key")])


def test_denied(directory):
    """a unit whose credential the host refuses fails, and the error names both"""
    with hosting(directory, HOST_HELLO + frame(REFUSED, bytes([DENIED]))) as (path, _):
        got, code, err = asked(directory, path)
        refused(got)
        equal((code, err), (2, f"vmcred: serve: api-key for {APP}: the host's declaration does not give it to this VM\n"))
    with hosting(directory, HOST_HELLO + frame(REFUSED, bytes([UNAVAILABLE]))) as (path, _):
        got, code, err = asked(directory, path)
        refused(got)
        equal(code, 1)


def test_busy_host_is_asked_again(directory):
    """a host that is busy, that closes too early or that does not listen yet is asked again"""
    busy = HOST_HELLO + frame(REFUSED, bytes([BUSY]))
    with hosting(directory, busy, b"", answer_value(b"long")[:-2], answer_value(b"value")) as (path, _):
        equal(asked(directory, path)[:2], (b"value", 0))
    late = directory / "late"
    with unit_asking(directory, "api-key") as (systemd, accepted):
        process = serve(accepted, late)
        accepted.close()
        with hosting(directory, answer_value(b"value")) as (path, _):
            path.rename(late)
            equal(read(systemd), b"value")
        process.communicate(timeout=60)


HOSTILE = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no magic": frame(HELLO, b"VMCRED\1" + bytes(16)),
    "a value before HELLO": frame(VALUE, b"version!value"),
    "a value that is too large": HOST_HELLO + b"\0\x10\0\x0a\x10" + bytes(64),
    "a value without a version": HOST_HELLO + frame(VALUE, b"short"),
    "an unknown type": HOST_HELLO + frame(99, b"value"),
    "a refusal without a reason": HOST_HELLO + frame(REFUSED),
    "a size of 4 GiB": HOST_HELLO + b"\xff\xff\xff\xff\x10",
}


def test_hostile_hosts(directory):
    """an answer that is not valid never reaches the unit: the next attempt's does"""
    for name, answer in HOSTILE.items():
        with hosting(directory, answer, answer_value(b"good")) as (path, _):
            got, code, _err = asked(directory, path)
            equal((got, code), (b"good", 0), name)


def test_peers_that_are_not_systemd(directory):
    """a peer that is not root gets nothing, and one without an address of systemd's is refused"""
    with hosting(directory, answer_value(b"value")) as (path, requests):
        got, code, err = asked(directory, path, address=f"\0{secrets.token_hex(8)}/user/x/api-key")
        refused(got)
        equal((code, "not one of systemd's" in err, requests), (1, True, []))
    result = run("sh", "-c", 'exec "$@" </dev/null', "sh", GUEST_PROGRAM, "serve")
    fails(result, 1, "serve")


@contextlib.contextmanager
def answering(directory, host, kept=None):
    """vmcred-guest serve with the socket of systemd, and the socket's path; `kept` is a connection of a killed process."""
    need_root()
    path = str(directory / f"socket.{secrets.token_hex(4)}")
    more = {"sockets": 2, "names": "vmcred-guest.socket:answer"} if kept else {"names": "vmcred-guest.socket"}
    with listening(path) as listener:
        process = subprocess.Popen(  # pylint: disable=subprocess-popen-preexec-fn
            inheriting(GUEST_PROGRAM, "serve", "--host", str(host), **more), stdin=listener, stderr=subprocess.PIPE, env=CLEAN_ENVIRONMENT,
            preexec_fn=(lambda: os.dup2(kept.fileno(), 4)) if kept else None, pass_fds=(4,) if kept else ())
    try:
        yield process, path
    finally:
        process.kill()
        process.communicate()


def asking(path, credential="api-key"):
    """systemd's connection for a unit."""
    connection = socket.socket(socket.AF_UNIX)
    connection.bind(f"\0{secrets.token_hex(8)}/unit/{APP}/{credential}")
    connection.connect(path)
    connection.shutdown(socket.SHUT_WR)
    return connection


def test_units_do_not_wait_for_each_other(directory):
    """each unit gets its answer, whatever those before it wait for"""
    silent = directory / "silent"
    with listening(str(silent)) as host, answering(directory, silent) as (process, path):
        waiting = asking(path)
        with host.accept()[0] as slow:
            quick = asking(path)
            with host.accept()[0] as connection:
                connection.sendall(answer_value(b"quick"))
                equal(read(quick), b"quick")
            slow.sendall(answer_value(b"slow"))
            equal(read(waiting), b"slow")
        process.send_signal(signal.SIGTERM)
        equal(process.wait(60), 0)


def test_killed_child_is_a_refusal(directory):
    """if the process that answers a unit is killed, the unit fails: it must not start with an empty credential"""
    silent = directory / "silent"
    with listening(str(silent)) as host, answering(directory, silent) as (process, path):
        waiting = asking(path)
        with host.accept()[0]:
            os.kill(*children(process.pid), signal.SIGKILL)
            refused(read(waiting))


def test_killed_parent_is_a_refusal(directory):
    """if all processes are killed, the next one makes the unit fail, whose connection systemd has kept"""
    systemd, kept = socket.socketpair()
    with kept:
        with answering(directory, directory / "none", kept=kept):
            refused(read(systemd))


def test_stop_refuses_a_unit_that_waits(directory):
    """a unit that still waits ten seconds after SIGTERM fails"""
    silent = directory / "silent"
    with listening(str(silent)) as host, answering(directory, silent) as (process, path):
        waiting = asking(path)
        with host.accept()[0]:
            process.send_signal(signal.SIGTERM)
            refused(read(waiting))
            equal(process.wait(60), 0)


def test_value_from_the_store_to_the_unit(directory):
    """a unit of a guest gets the current value from the host's store; vmcred run passes only the connection on"""
    way = chain(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start()
        equal(oct(os.stat(way.port).st_mode & 0o7777), "0o600")
        equal(asked(directory, way.port)[0], value(way.host.example, "one"))
        way.host.example.set("one", b"rotated")
        equal(asked(directory, way.port)[0], b"rotated")
        refused(asked(directory, way.port, "other-key")[0])
        equal(stop(process), 0)
        assert not os.path.exists(way.port)
        equal(way.vm.errors(), "")


def test_host_that_restarts_its_side(directory):
    """a unit that asks while vmcred serve is down gets its value when it is back, with the same key"""
    way = chain(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start()
        server.process.kill()
        server.process.wait()
        os.unlink("/run/vmcred/channel")
        with unit_asking(directory, "api-key") as (systemd, accepted):
            guest = serve(accepted, way.port)
            accepted.close()
            wait_for("a warning", lambda: "passing on a request" in way.vm.errors())
            for _ in range(3):
                with socket.socket(socket.AF_UNIX) as other:
                    other.connect(way.port)
                    equal(other.recv(1), b"", "what another guest reads")
            equal(way.vm.errors().count("\n"), 1, "the number of warnings")
            with way.host.serving():
                equal(read(systemd), value(way.host.example, "one"))
            guest.communicate(timeout=60)
        equal(way.vm.errors().count("\n"), 1)
        stop(process)


def test_guest_that_floods_its_socket(directory):
    """a guest with hundreds of connections neither stops vmcred run from ending its VM nor makes it keep them"""
    way = chain(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        process = way.start()
        before = len(os.listdir(f"/proc/{process.pid}/fd"))
        connections = []
        for _ in range(400):
            connection = socket.socket(socket.AF_UNIX)
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(way.port)
            connections.append(connection)
        # While it passes one on, it has more for a moment.
        wait_for("closed descriptors", lambda: len(os.listdir(f"/proc/{process.pid}/fd")) <= before + 1)
        equal(stop(process), 0)
        for connection in connections:
            connection.close()


def test_key_without_a_way(directory):
    """a VM whose unit has a channel key does not start without a vsock socket, or as vmcred's own process"""
    way = chain(directory)
    way.key(b"key")
    for words, options, names in ((CLOUD_HYPERVISOR, (), ("channelCredentials", "vsock")),
                                  ((*CLOUD_HYPERVISOR, "--vsock", f"cid=3,socket={way.vsock}"), ("--exec",), ("channelCredentials", "--exec"))):
        fails(way.vm.run(*words, options=options, stand_in={}), 2, *names)


harness.main()
