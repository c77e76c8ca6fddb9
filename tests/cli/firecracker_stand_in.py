#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict stand-in for firecracker, for tests that need no real one.

Tests link it as `firecracker` into a directory of their PATH. It parses its command line and its configuration as the real
one does, opens the files that the configuration names, and has an API with what vmcred uses. $STAND_IN, a JSON object, makes
it misbehave:

    record     file for a JSON object: argv; config; inherited, its descriptors above 2; requests; after, whether its initrd
               has a byte that is not 0 when the guest is asked to power off. The initrd goes to the file with `.initrd`
    die        exit code before it creates its socket, with a line on stderr
    say        text for stderr at the start
    close      true: it closes the first connection without an answer
    status     the status of its first answer
    delay      seconds before it creates its socket
    slow       seconds between its socket and its configuration; a client that has connected by then makes it crash if the
               configuration is refused, as the real one does
    deaf       true: the guest ignores Ctrl-Alt-Del
"""
import json
import os
import select
import signal
import socket
import sys
import threading
import time

BEHAVIOUR = json.loads(os.environ.get("STAND_IN", "{}"))
VALUES = ("--api-sock", "--id", "--seccomp-filter", "--start-time-us", "--start-time-cpu-us", "--parent-cpu-time-us",
          "--config-file", "--metadata", "--log-path", "--level", "--module", "--metrics-path",
          "--http-api-max-payload-size", "--mmds-size-limit")
FLAGS = ("--no-seccomp", "--no-api", "--show-level", "--show-log-origin", "--boot-timer", "--enable-pci")
SECTIONS = {"balloon", "drives", "boot-source", "cpu-config", "logger", "machine-config", "metrics", "mmds-config",
            "network-interfaces", "vsock", "entropy", "pmem", "memory-hotplug"}
RECORD = {"argv": sys.argv[1:], "requests": []}


def fail(text, code=1):
    sys.stderr.write(f"Error: {text}\n")
    sys.exit(code)


def arguments_read(argv):
    found, words = {"--api-sock": "/run/firecracker.socket"}, list(argv)
    given = set()
    while words:
        word = words.pop(0)
        if word not in VALUES + FLAGS:
            fail(f"ParseArguments(UnexpectedArgument(\"{word}\"))", 153)
        if word in given:
            fail(f"ParseArguments(DuplicateArgument(\"{word}\"))", 153)
        given.add(word)
        if word in VALUES and (not words or words[0].startswith("--")):
            fail(f"ParseArguments(MissingValue(\"{word}\"))", 153)
        found[word] = words.pop(0) if word in VALUES else True
    return found


def unique(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        fail("duplicate field")
    return dict(pairs)


def config_read(path):
    """The configuration, and the initrd as a file that stays open."""
    with open(path, encoding="utf-8") as file:
        config = json.load(file, object_pairs_hook=unique)
    boot = config.get("boot-source", {})
    if not SECTIONS >= set(config) or not {"kernel_image_path", "initrd_path", "boot_args"} >= set(boot):
        fail("unknown field")
    if "drives" not in config or not isinstance(boot.get("kernel_image_path"), str):
        fail("missing field")
    if boot.get("initrd_path") is None:
        return config, None
    try:
        return config, open(boot["initrd_path"], "rb")
    except OSError as error:
        fail(f"RunWithApi(BuildFromJson(ParseFromJson(BootSource(InvalidInitrdPath({error})))))")


def initrd_load(file):
    """As many bytes as the file's size says."""
    size = os.fstat(file.fileno()).st_size
    data = os.pread(file.fileno(), size, 0)
    if len(data) != size:
        fail("Read(PartialBuffer)")
    return data


def record():
    if "record" in BEHAVIOUR:
        with open(BEHAVIOUR["record"] + ".new", "w", encoding="utf-8") as out:
            json.dump(RECORD, out)
        os.rename(BEHAVIOUR["record"] + ".new", BEHAVIOUR["record"])


def processor():
    """A thread with the name of a processor's."""
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w", encoding="utf-8") as name:
        name.write("fc_vcpu 0")
    time.sleep(600)


def request_read(stream):
    line = stream.readline().decode().split()
    if not line:
        return None
    length = 0
    while (header := stream.readline().decode().strip()):
        name, _, value = header.partition(":")
        length = int(value) if name.lower() == "content-length" else length
    return line[0], line[1], stream.read(length).decode()


def answer(connection, status, body=""):
    connection.sendall(f"HTTP/1.1 {status} \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n"
                       f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


def serve(listener, initrd):
    connection = listener.accept()[0]
    stream = connection.makefile("rb")
    if BEHAVIOUR.get("close"):
        connection.shutdown(socket.SHUT_RDWR)
    while not BEHAVIOUR.get("close") and (request := request_read(stream)):
        RECORD["requests"].append(list(request))
        if request[:2] == ("GET", "/"):
            answer(connection, BEHAVIOUR.get("status", 200), json.dumps({"id": "anonymous-instance", "state": "Running"}))
        elif request[:2] == ("PUT", "/actions") and json.loads(request[2]) == {"action_type": "SendCtrlAltDel"}:
            RECORD["after"] = any(initrd_load(initrd)) if initrd else None
            record()
            answer(connection, 204)
            if not BEHAVIOUR.get("deaf"):
                sys.exit(0)
        else:
            answer(connection, 400)
        record()
    signal.pause()


def main():
    if "--version" in sys.argv:
        print("Firecracker v1.16.1")
        return
    arguments = arguments_read(sys.argv[1:])
    RECORD["inherited"] = sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                                 if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}"))
    sys.stderr.write(BEHAVIOUR.get("say", ""))
    sys.stderr.flush()
    if "die" in BEHAVIOUR:
        fail("the stand-in refuses to start", BEHAVIOUR["die"])
    time.sleep(BEHAVIOUR.get("delay", 0))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    listener = None
    if "--no-api" not in arguments:
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(arguments["--api-sock"])
        except OSError:
            fail(f"RunWithApi(FailedToBindSocket(\"{arguments['--api-sock']}\"))")
        listener.listen()
    time.sleep(BEHAVIOUR.get("slow", 0))
    config_given = "--config-file" in arguments
    try:
        RECORD["config"], initrd = config_read(arguments["--config-file"]) if config_given else (None, None)
    except SystemExit:
        if listener and select.select([listener], [], [], 0)[0]:
            os.abort()
        raise
    if initrd and "record" in BEHAVIOUR:
        with open(BEHAVIOUR["record"] + ".initrd", "wb") as out:
            out.write(initrd_load(initrd))
    record()
    if config_given:
        threading.Thread(target=processor, daemon=True).start()
    if listener:
        serve(listener, initrd)
    signal.pause()


main()
