#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict stand-in for cloud-hypervisor, for where the real one is not installed.

Tests link it as `cloud-hypervisor` into a folder of their PATH. It speaks as much of the API as vmcred uses, knows
the configuration's members and their types (vm.create of anything else is a 400, as serde would have it), keeps the
limits of v53, and writes what it was asked to a file. $STAND_IN, a JSON object, makes it misbehave:

    record     file for a JSON object {argv, requests}: of each its method, resource, body and, once it went
               out, the status of the answer
    version    what --version prints; after v53 it takes larger requests
    exit       exit code, at once after boot, instead of running until SIGTERM
    die        exit code before it looks at its socket, with a line on stderr
    say        text for stderr at the start
    chatter    [resource, N]: N lines on stderr before that is answered
    status     {"vm.create": 500, …}: an error instead of an answer; "echo" puts the request into it
    close      resource on which it closes the connection without an answer
    delay      seconds before each answer
    dribble    true: an answer goes out byte by byte
    deaf       true: the guest does not listen to the power button
    stubborn   true: vmm.shutdown is answered and not done, SIGTERM is ignored
    hang       resource that it never answers, deaf to SIGTERM
"""
import json
import os
import select
import signal
import socket
import sys
import time

BEHAVIOUR = json.loads(os.environ.get("STAND_IN", "{}"))
VERSION = BEHAVIOUR.get("version", "cloud-hypervisor v53.0")
BODY_MAX = 51200 if VERSION.startswith("cloud-hypervisor v53.") else 4 * 1024 * 1024

VMM_OPTIONS = {"--api-socket": 1, "--log-file": 1, "--log-format": 1, "--event-monitor": 1, "--seccomp": 1,
               "--no-shutdown": 0, "-v": 0, "-vv": 0}

PCI = {"id": str, "iommu": bool, "pci_segment": int, "pci_device_id": int}
QUEUES = {"num_queues": int, "queue_size": int}
MODE = {"mode": str, "file": str, "socket": str}
VM_CONFIG = {
    "payload": {"kernel": str, "firmware": str, "initramfs": str, "cmdline": str},
    "cpus": {"boot_vcpus": int, "max_vcpus": int, "kvm_hyperv": bool, "max_phys_bits": int, "nested": bool,
             "features": {"amx": bool}, "core_scheduling": str, "profile": str,
             "topology": {"threads_per_core": int, "cores_per_die": int, "dies_per_package": int, "packages": int}},
    "memory": {"size": int, "mergeable": bool, "shared": bool, "hugepages": bool, "hugepage_size": int,
               "hotplug_method": str, "hotplug_size": int, "hotplugged_size": int, "prefault": bool,
               "reserve": bool, "thp": bool},
    "disks": [PCI | QUEUES | {"path": str, "readonly": bool, "direct": bool, "serial": str, "vhost_user": bool,
                              "vhost_socket": str, "rate_limit_group": str, "backing_files": bool, "sparse": bool,
                              "image_type": str}],
    "net": [PCI | QUEUES | {"tap": str, "ip": str, "mask": str, "mac": str, "host_mac": str, "mtu": int,
                            "vhost_user": bool, "vhost_socket": str, "vhost_mode": str, "offload_tso": bool,
                            "offload_ufo": bool, "offload_csum": bool}],
    "fs": [PCI | QUEUES | {"tag": str, "socket": str}],
    "pmem": [PCI | {"file": str, "size": int, "discard_writes": bool}],
    "rng": PCI | {"src": str},
    "balloon": PCI | {"size": int, "deflate_on_oom": bool, "free_page_reporting": bool},
    "serial": MODE,
    "console": MODE | PCI,
    "vsock": PCI | {"cid": int, "socket": str},
    "tpm": {"socket": str},
    "watchdog": bool,
    "pvpanic": bool,
    "platform": {"num_pci_segments": int, "iommu_segments": [int], "iommu_address_width_bits": int,
                 "system_serial_number": str, "system_uuid": str, "system_manufacturer": str,
                 "system_product_name": str, "system_version": str, "system_sku_number": str, "system_family": str,
                 "chassis_asset_tag": str, "iommufd": bool, "vfio_p2p_dma": bool, "oem_strings": [str]},
}


def check(value, form, where):
    """Why `value` is not of that form, or None."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return f"{where} is not an object"
        for key, item in value.items():
            if key not in form:
                return f"{where}.{key} is not known"
            reason = check(item, form[key], f"{where}.{key}")
            if reason:
                return reason
        return None
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{where} is not a list"
        reasons = (check(item, form[0], where) for item in value)
        return next((reason for reason in reasons if reason), None)
    # In Python a bool is an int.
    return None if type(value) is form else f"{where} is not {form.__name__}"


def arguments_read(argv):
    words, listener = list(argv), None
    while words:
        word = words.pop(0)
        if word not in VMM_OPTIONS:
            sys.stderr.write(f"error: unexpected argument '{word}' found\n")
            sys.exit(2)
        value = words.pop(0) if VMM_OPTIONS[word] else None
        if word == "--api-socket":
            listener = socket.socket(fileno=int(value.removeprefix("fd=")))
    return listener


def request_read(stream):
    method, resource, _ = stream.readline().decode().split(" ", 2)
    headers = {}
    while (line := stream.readline().decode().strip()):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    if length > BODY_MAX:
        return method, resource, None
    return method, resource, stream.read(length).decode()


def answer(state, resource, body):
    """Status and body for a request."""
    name = resource.removeprefix("/api/v1/")
    if name in BEHAVIOUR.get("status", {}):
        status = BEHAVIOUR["status"][name]
        return (500, json.dumps(["Error from API", body])) if status == "echo" else (
            status, json.dumps(["Error from API", f"The VM could not do {name}", "the cause"]))
    if body is None:
        return 400, json.dumps({"error": f"the limit of {BODY_MAX} bytes"})
    if name == "vm.create":
        config = json.loads(body)
        reason = check(config, VM_CONFIG, "config")
        if reason or "payload" not in config:
            return 400, json.dumps(["Error from API", reason or "no payload"])
        state["config"] = config
        return 204, None
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


def answer_send(connection, status, body):
    # With an empty reason phrase, as the real one has it.
    text = f"HTTP/1.1 {status} \r\nServer: Cloud Hypervisor API\r\nConnection: keep-alive\r\n"
    if body is not None:
        text += f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
    data = (text + "\r\n" + (body or "")).encode()
    time.sleep(BEHAVIOUR.get("delay", 0))
    if BEHAVIOUR.get("dribble"):
        for byte in data:
            connection.sendall(bytes([byte]))
    else:
        connection.sendall(data)


def record(requests):
    if "record" in BEHAVIOUR:
        with open(BEHAVIOUR["record"] + ".new", "w", encoding="utf-8") as out:
            json.dump({"argv": sys.argv[1:], "requests": requests}, out)
        os.rename(BEHAVIOUR["record"] + ".new", BEHAVIOUR["record"])


def request_serve(connection, stream, state, requests):
    """One request and its answer; False where that was the connection's last."""
    try:
        method, resource, body = request_read(stream)
    except ValueError:
        return False
    requests.append([method, resource, body])
    record(requests)
    name = resource.removeprefix("/api/v1/")
    if BEHAVIOUR.get("close") == name:
        return False
    if BEHAVIOUR.get("hang") == name:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if BEHAVIOUR.get("chatter", [None])[0] == name:
        for _ in range(BEHAVIOUR["chatter"][1]):
            os.write(2, b"the stand-in has much to say about this\n")
    status, reply = answer(state, resource, body)
    answer_send(connection, status, reply)
    requests[-1].append(status)
    record(requests)
    if name == "vm.boot" and "exit" in BEHAVIOUR:
        sys.exit(BEHAVIOUR["exit"])
    if state.get("off"):
        sys.exit(0)
    return True


def main():
    if "--version" in sys.argv:
        print(VERSION)
        return
    listener = arguments_read(sys.argv[1:])
    # An exception could come while Python takes something down, and would be dropped there.
    signal.signal(signal.SIGTERM, signal.SIG_IGN if BEHAVIOUR.get("stubborn") else lambda *_: os._exit(0))
    record([])
    sys.stderr.write(BEHAVIOUR.get("say", ""))
    sys.stderr.flush()
    if "die" in BEHAVIOUR:
        sys.stderr.write("error: the stand-in refuses to start\n")
        sys.exit(BEHAVIOUR["die"])
    serve(listener)


def serve(listener):
    """One request after the other, on any number of connections, as the real one has it."""
    state, requests, streams = {}, [], {}
    while True:
        for ready in select.select([listener, *streams], [], [])[0]:
            if ready is listener:
                connection = listener.accept()[0]
                streams[connection] = connection.makefile("rb")
            elif not request_serve(ready, streams[ready], state, requests):
                streams.pop(ready).close()
                ready.close()
                if BEHAVIOUR.get("close"):
                    time.sleep(600)


main()
