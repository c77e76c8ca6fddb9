#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict stand-in for cloud-hypervisor, for tests that need no real one.

Tests link it as `cloud-hypervisor` into a directory of their PATH. It implements the part of the API that vmcred uses,
checks the configuration's members and types (cloud_hypervisor_api.py; vm.create of anything else is a 400), accepts
descriptors only where the real one does, has the limits of v53, and records its requests in a file. $STAND_IN, a JSON
object, makes it misbehave:

    record     file for a JSON object: argv; inherited, its descriptors above 2 without the socket; requests, each with
               method, resource, body and, after the answer, its status; descriptors, those of each request
    version    the output of --version and vmm.ping; after v53 it accepts larger requests
    features   the build features of vmm.ping
    exit       exit code right after boot, instead of running until SIGTERM
    die        exit code before it reads its socket, with a line on stderr
    say        text for stderr at the start
    chatter    [resource, N]: N lines on stderr before the answer
    status     {"vm.create": 500, …}: an error instead of an answer; "echo" includes the request; [500, BODY] sends that
    close      resource for which it closes the connection without an answer
    delay      seconds before each answer
    dribble    true: answers are sent byte by byte
    cut        resource for which it sends half of the answer and closes the connection
    garbage    resource whose answer is not HTTP
    deaf       true: the guest ignores the power button
    interrupted  exit code on SIGINT
    stubborn   true: vmm.shutdown is answered and ignored, and so is SIGTERM
    unknown    member of the VM that this build does not know: "drop" ignores it, as the real one does, "keep" knows it
    hang       resource that it never answers; ignores SIGTERM
"""
import json
import os
import select
import signal
import socket
import sys
import time

from cloud_hypervisor_api import NET, VM_CONFIG, check

BEHAVIOUR = json.loads(os.environ.get("STAND_IN", "{}"))
VERSION = BEHAVIOUR.get("version", "cloud-hypervisor v53.0")
NUMBER = VERSION.rpartition(" v")[2]
BODY_MAX = 51200 if int(NUMBER.partition(".")[0]) <= 53 else 4 * 1024 * 1024

VMM_OPTIONS = {"--api-socket": 1, "--log-file": 1, "--log-format": 1, "--event-monitor": 1, "--seccomp": 1,
               "--no-shutdown": 0, "-v": 0, "-vv": 0, "--restore": 1}

def arguments_read(argv):
    words, listener = list(argv), None
    while words:
        word = words.pop(0)
        if word not in VMM_OPTIONS:
            sys.stderr.write(f"error: unexpected argument '{word}' found\n")
            sys.exit(2)
        value = words.pop(0) if VMM_OPTIONS[word] else None
        if word == "--api-socket" and value.startswith("fd="):
            listener = socket.socket(fileno=int(value.removeprefix("fd=")))
    return listener


class Stream:
    """Reads from a connection, and keeps the descriptors that arrive with the bytes."""

    def __init__(self, connection):
        self.connection, self.data, self.fds = connection, b"", []

    def more(self):
        data, fds, _, _ = socket.recv_fds(self.connection, 65536, 253)
        self.fds += fds
        if not data:
            raise ValueError("the end")
        self.data += data

    def line(self):
        while b"\r\n" not in self.data:
            self.more()
        line, _, self.data = self.data.partition(b"\r\n")
        return line.decode()

    def read(self, size):
        while len(self.data) < size:
            self.more()
        data, self.data = self.data[:size], self.data[size:]
        return data

    def fds_take(self):
        fds, self.fds = self.fds, []
        return fds


def request_read(stream):
    method, resource, _ = stream.line().split(" ", 2)
    headers = {}
    while (line := stream.line().strip()):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    if length > BODY_MAX:
        return method, resource, None
    return method, resource, stream.read(length).decode()


def what_is(fd):
    """Identifies a descriptor's file across processes."""
    status = os.fstat(fd)
    return os.readlink(f"/proc/self/fd/{fd}").partition(":[")[0] + f" {status.st_dev}:{status.st_ino}"


def refusal(reason):
    return 400, json.dumps(["Error from API", reason])


def interface_add(state, config, fds):
    reason = check(config, NET, "config")
    if reason:
        return refusal(reason)
    if fds and config.get("num_queues", 2) != 2 * len(fds):
        return refusal(f"{len(fds)} descriptors for {config.get('num_queues', 2)} queues")
    state["config"].setdefault("net", []).append(config | ({"fds": fds} if fds else {}))
    return 204, None


def answer(state, method, resource, body, fds):
    """Status and body for a request."""
    name = resource.removeprefix("/api/v1/")
    if name in BEHAVIOUR.get("status", {}):
        status = BEHAVIOUR["status"][name]
        if isinstance(status, list):
            return tuple(status)
        return (500, json.dumps(["Error from API", body])) if status == "echo" else (
            status, json.dumps(["Error from API", f"The VM could not do {name}", "the cause"]))
    if fds and name != "vm.add-net":
        return refusal("unexpected descriptors")
    if body is None:
        return 400, json.dumps({"error": f"the limit of {BODY_MAX} bytes"})
    if name == "vm.create":
        config = json.loads(body)
        kept = {}
        for member, fate in BEHAVIOUR.get("unknown", {}).items():
            if member in config:
                kept |= {member: config.pop(member)} if fate == "keep" else {}
                config.pop(member, None)
        reason = check(config, VM_CONFIG, "config")
        if reason:
            return refusal(reason)
        state["config"] = config | kept
        return 204, None
    if name == "vm.delete" and "config" in state and not state.get("booted"):
        del state["config"]
        return 204, None
    if name == "vmm.ping" and method == "GET":
        return 200, json.dumps({"build_version": "v" + NUMBER, "version": NUMBER + ".0", "pid": os.getpid(),
                                "features": BEHAVIOUR.get("features", ["io_uring", "kvm"])})
    if name == "vm.add-net" and "config" in state and not state.get("booted"):
        return interface_add(state, json.loads(body), fds)
    if name == "vm.boot" and "config" in state:
        state["booted"] = True
        return 204, None
    if name == "vm.info" and "config" in state:
        return 200, json.dumps({"config": state["config"], "state": "Running" if state.get("booted") else "Created"})
    if name == "vm.power-button" and state.get("booted"):
        state["off"] = not BEHAVIOUR.get("deaf")
        return 204, None
    if name == "vmm.shutdown":
        state["off"] = not BEHAVIOUR.get("stubborn")
        return 204, None
    return 404, None


def answer_send(connection, name, status, body):
    # With an empty reason phrase, like the real one.
    text = f"HTTP/1.1 {status} \r\nServer: Cloud Hypervisor API\r\nConnection: keep-alive\r\n"
    if body is not None:
        text += f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
    data = (text + "\r\n" + (body or "")).encode()
    time.sleep(BEHAVIOUR.get("delay", 0))
    if BEHAVIOUR.get("garbage") == name:
        data = b"SSH-2.0-not-http\r\n\r\n"
    if BEHAVIOUR.get("cut") == name:
        data = data[:len(data) // 2]
    if BEHAVIOUR.get("dribble"):
        for byte in data:
            connection.sendall(bytes([byte]))
    else:
        connection.sendall(data)


INHERITED, DESCRIPTORS = [], []


def inherited(listener):
    """The inherited descriptors, without that of the directory being read."""
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if fd > 2 and fd != listener.fileno():
                found.append(what_is(fd))
        except OSError:
            continue
    return sorted(found)


def record(requests):
    if "record" in BEHAVIOUR:
        with open(BEHAVIOUR["record"] + ".new", "w", encoding="utf-8") as out:
            json.dump({"argv": sys.argv[1:], "inherited": INHERITED, "requests": requests,
                       "descriptors": DESCRIPTORS}, out)
        os.rename(BEHAVIOUR["record"] + ".new", BEHAVIOUR["record"])


def request_serve(connection, stream, state, requests):
    """Serves one request; returns False if it was the connection's last."""
    try:
        method, resource, body = request_read(stream)
    except ValueError:
        return False
    fds = stream.fds_take()
    requests.append([method, resource, body])
    DESCRIPTORS.append([what_is(fd) for fd in fds])
    record(requests)
    name = resource.removeprefix("/api/v1/")
    if BEHAVIOUR.get("close") == name:
        return False
    if BEHAVIOUR.get("hang") == name:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if BEHAVIOUR.get("chatter", [None])[0] == name:
        for _ in range(BEHAVIOUR["chatter"][1]):
            os.write(2, b"the stand-in prints a lot of output\n")
    status, reply = answer(state, method, resource, body, fds)
    answer_send(connection, name, status, reply)
    requests[-1].append(status)
    record(requests)
    if name == "vm.boot" and "exit" in BEHAVIOUR:
        sys.exit(BEHAVIOUR["exit"])
    if state.get("off"):
        sys.exit(0)
    return BEHAVIOUR.get("cut") != name


def main():
    if "--version" in sys.argv:
        print(VERSION)
        return
    listener = arguments_read(sys.argv[1:])
    if "--restore" in sys.argv:
        record([])
        sys.exit(BEHAVIOUR.get("exit", 0))
    # An exception during Python's own cleanup would be ignored.
    if "interrupted" in BEHAVIOUR:
        signal.signal(signal.SIGINT, lambda *_: os._exit(BEHAVIOUR["interrupted"]))
    signal.signal(signal.SIGTERM, signal.SIG_IGN if BEHAVIOUR.get("stubborn") else lambda *_: os._exit(0))
    INHERITED.extend(inherited(listener))
    record([])
    sys.stderr.write(BEHAVIOUR.get("say", ""))
    sys.stderr.flush()
    if "die" in BEHAVIOUR:
        sys.stderr.write("error: the stand-in refuses to start\n")
        sys.exit(BEHAVIOUR["die"])
    serve(listener)


# A signal that arrives just before a blocking call is handled after it.
POLL = 0.1


def serve(listener):
    """Serves one request at a time, on any number of connections, like the real one."""
    state, requests, streams = {}, [], {}
    while True:
        for ready in select.select([listener, *streams], [], [], POLL)[0]:
            if ready is listener:
                connection = listener.accept()[0]
                streams[connection] = Stream(connection)
            elif not request_serve(ready, streams[ready], state, requests):
                del streams[ready]
                ready.close()
                while BEHAVIOUR.get("close"):
                    time.sleep(POLL)


main()
