#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""On a host with systemd, vmcred status and inspect report a unit that was started before a secret changed, until it is
restarted: to root by the values that the unit has loaded, to an ordinary user by time."""
import json

import harness
from example import AS_NOBODY
from harness import VMCRED, equal, expect
from host import CONFIG, SERVICE, Container, checked

# Instead of a VM: a service with the VM's credentials.
RUNNING = "[Service]\nType=exec\nDynamicUser=no\nExecStart=\nExecStart=/bin/sleep infinity\nRestart=always\nRestartSec=100ms\n"
NAMES = ("api-key", "db-password", "jwt-secret")
CURRENT = dict.fromkeys(NAMES, "current")

host = None


def booted():
    global host  # pylint: disable=global-statement
    if host is None:
        host = Container()
        host.activate()
        host.drop_in("90-running", RUNNING)
        equal(host.start_vm().code, 0, "exit code of systemctl")
    return host


def rotate(name):
    """Changes a secret and activates it while the unit runs, without the restarts of a reload."""
    machine = booted()
    checked(VMCRED, "set", "--config", machine.example / "vmcred.yaml", "example-host", f"test-vm-secrets/{name}",
            stdin=machine.secret(name).decode() + "x")
    machine.checked("systemctl", "restart", "vmcred-activate.service")


ERRORS = {0: "", 3: "vmcred: something declared is missing\n", 4: "vmcred: old values are in use: restart or reload the units\n"}


def row(code, user=()):
    """The VM of `vmcred status --json`, which must not warn or fail but for what it found."""
    result = expect(booted().run(*user, "vmcred", "status", "--json"), code)
    equal(result.err, ERRORS[code], "stderr")
    found = json.loads(result.out)
    equal(len(found["vms"]), 1)
    return found["vms"][0]


# What is as it should be, is current in a picture.
DRAWN = {"current": "current", "ready": "current", "absent": "current", "stale": "stale", "missing": "missing"}


def states(code, user=()):
    """The states of the credentials in `vmcred status --json`, with which the picture must agree."""
    found = {one["credential"]: one["state"] for one in row(code, user)["credentials"]}
    graph = json.loads(expect(booted().run(*user, "vmcred", "graph", "--json"), 0).out)
    drawn = {node["label"]: (node["facts"]["loaded"], node["state"]) for node in graph["nodes"] if node["kind"] == "credential"}
    equal(drawn, {name: (state, DRAWN[state]) for name, state in found.items()}, "graph --json")
    return {name.removeprefix("host-"): state for name, state in found.items()}


def inspected(code):
    result = booted().run("vmcred", "inspect", "--config", CONFIG, "test-vm", "--identity", "/var/lib/vmcred/identity", "--json")
    return {stage["stage"]: stage["state"] for stage in json.loads(expect(result, code).out)}


def found_by_doctor(code):
    result = booted().run("vmcred", "doctor", "--config", CONFIG, "--json")
    return [finding["name"] for finding in json.loads(expect(result, code, None, None).out)]


def test_current(_directory):
    """a unit that was started after the activation is current, for root and for an ordinary user"""
    for user in ((), AS_NOBODY):
        equal(states(0, user), CURRENT)
        equal((row(0, user)["state"], row(0, user)["subState"]), ("active", "running"))
    equal(inspected(0)["load"], "seen")
    equal(found_by_doctor(0), [])


def test_rotated_secret(_directory):
    """a unit is stale after a secret was rotated, until it is restarted"""
    rotate("api-key")
    for user in ((), AS_NOBODY):
        equal(states(4, user), CURRENT | {"api-key": "stale"})
        line = f"to restart: {SERVICE}, since "
        assert line in booted().run(*user, "vmcred", "status").out, booted().run(*user, "vmcred", "status")
    found = inspected(4)
    equal(found_by_doctor(1), ["vm-stale"])
    equal([found[stage] for stage in ("activate", "load", "launch", "receive", "prove")], ["seen"] + ["stale"] * 4)
    booted().checked("systemctl", "restart", SERVICE)
    for user in ((), AS_NOBODY):
        equal(states(0, user), CURRENT)
    equal(inspected(0)["load"], "seen")


def test_exposed_old_value(_directory):
    """an old value in the unit's command line is exposed, though the store has another one"""
    machine = booted()
    machine.drop_in("95-exposed", """[Service]\nExecStart=\nExecStart=/bin/sh -c 'exec sh -c "sleep infinity; :" """
                    """"$(cat $CREDENTIALS_DIRECTORY/host-api-key)"'\n""")
    machine.checked("systemctl", "restart", SERVICE)
    rotate("api-key")
    equal(inspected(4)["launch"], "wrong")
    machine.drop_in("95-exposed", None)
    machine.checked("systemctl", "restart", SERVICE)
    equal(inspected(0)["launch"], "seen")


def test_automatic_restart(_directory):
    """after an automatic restart, the unit is current again"""
    machine = booted()
    rotate("db-password")
    equal(states(4, AS_NOBODY), CURRENT | {"db-password": "stale"})
    before = machine.unit("MainPID")
    machine.checked("sh", "-c", f"kill -KILL {before}")
    machine._wait(lambda: machine.unit("MainPID") not in ("0", before))  # pylint: disable=protected-access
    for user in ((), AS_NOBODY):
        equal(states(0, user), CURRENT)


def test_missing_secret(_directory):
    """a credential whose file was removed is missing, or absent if it is optional, until the next activation"""
    machine = booted()
    machine.checked("systemctl", "stop", SERVICE)
    machine.checked("rm", *(f"/run/secrets/vars/test-vm-secrets/{name}" for name in ("db-password", "jwt-secret")))
    for user in ((), AS_NOBODY):
        equal(states(3, user), {"api-key": "ready", "db-password": "missing", "jwt-secret": "absent"})
    machine.checked("systemctl", "restart", "vmcred-activate.service")
    equal(booted().start_vm().code, 0, "exit code of systemctl")
    equal(states(0), CURRENT)


def test_stopped_unit(_directory):
    """a unit that does not run has no stale values, and is ready for its next start"""
    booted().checked("systemctl", "stop", SERVICE)
    rotate("jwt-secret")
    for user in ((), AS_NOBODY):
        equal(states(0, user), dict.fromkeys(NAMES, "ready"))
        equal(row(0, user)["state"], "inactive")
    equal(inspected(0)["load"], "unseen")
    equal(booted().start_vm().code, 0, "exit code of systemctl")
    equal(states(0), CURRENT)


harness.main(with_host_services=True)
