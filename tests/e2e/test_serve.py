#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real systemd asks `vmcred serve` for its units' credentials: what they get, what they do not, and how that ends."""
import base64
import hashlib

import harness
from harness import equal, test
from host import CONFIG, DROPINS, SECRETS, SERVICE, Container, journal

SOCKET = "/run/vmcred/socket"
SHOW = "/bin/sh -c 'cd $CREDENTIALS_DIRECTORY && sha256sum *'"

host = None


def booted():
    global host  # pylint: disable=global-statement
    if host is None:
        host = Container()
        host.checked("vmcred", "units", "--config", CONFIG, "--output", DROPINS, "--socket", SOCKET)
        # In place of a VM: a service that says which credentials it has.
        host.drop_in("90-show", f"[Service]\nType=oneshot\nDynamicUser=no\nExecStart=\nExecStart={SHOW}\n")
        host.checked("systemctl", "start", "vmcred.socket")
    return host


def unit_write(name, *lines):
    text = "[Unit]\nAfter=vmcred.socket\n[Service]\nType=oneshot\n" + "".join(line + "\n" for line in lines)
    booted().write(f"{DROPINS}/{name}", f"{text}ExecStart={SHOW}\n")
    booted().checked("systemctl", "daemon-reload")


def said(identifier, *fields):
    """What vmcred.service, or a unit, has said."""
    return booted().checked("journalctl", f"--unit={identifier}", "--output=cat", "--no-pager", *fields).out


def refused(name, reason):
    """The unit does not start, systemd says that it is for its credentials, and vmcred says why."""
    result = booted().run("systemctl", "start", name)
    equal(result.code, 1, "exit code of systemctl")
    status = booted().checked("systemctl", "show", "--value", "--property=ExecMainStatus", name).out
    equal(status, "243\n", "the unit's exit status, EXIT_CREDENTIALS")
    assert reason in said("vmcred.service"), said("vmcred.service")


@test("a VM's unit has its credentials, byte for byte, and no file of a secret is anywhere")
def _(_folder):
    machine = booted()
    result = machine.start_vm()
    equal(result.code, 0, f"systemctl start, with {machine.console()}{said('vmcred.service')}")
    digests = "".join(f"{hashlib.sha256(machine.secret(name)).hexdigest()}  host-{name}\n" for name in SECRETS)
    assert digests in machine.console(), f"{digests}\n{machine.console()}"
    equal(machine.run("ls", "/run/secrets", "/run/secrets.d").code, 2, "ls of what nobody activated")


@test("the journal says who got what, at its priority, and holds no value")
def _(_folder):
    lines = said("vmcred.service", "--priority=info..info")
    for name in SECRETS:
        assert f"gave host-{name} to {SERVICE} (process " in lines, lines
    whole = journal(booted())
    for name in SECRETS:
        value = booted().secret(name)
        assert value.strip() not in whole and base64.b64encode(value)[:24] not in whole, f"{name} is in the journal"


@test("a unit that no VM runs in does not start, rather than start with an empty credential")
def _(_folder):
    unit_write("other.service", f"LoadCredential=host-api-key:{SOCKET}")
    refused("other.service", "refused host-api-key to other.service (process ")


@test("a VM's unit that asks for more than its VM is given does not start")
def _(_folder):
    booted().drop_in("95-more", f"[Service]\nLoadCredential=more:{SOCKET}\n")
    refused(SERVICE, f"refused more to {SERVICE} (process ")
    booted().drop_in("95-more", None)
    equal(booted().start_vm().code, 0, "systemctl start after it")


@test("a unit whose name is longer than an address does not start with a credential of another")
def _(_folder):
    name = f"{'long' * 30}.service"
    unit_write(name, f"LoadCredential=host-api-key:{SOCKET}")
    equal(booted().run("systemctl", "start", name).code, 1, "exit code of systemctl")
    assert "sha256" not in said(name) and "host-api-key" not in said(name).replace("LoadCredential", ""), said(name)


@test("a thousand units that start at once all have theirs")
def _(_folder):
    machine = booted()
    name = "burst@%i.service"
    units = [name.replace("%i", str(number)) for number in range(1000)]
    declaration = machine.example / "vmcred.yaml"
    before = declaration.read_text()
    vms = "".join(
        f"  burst-{number}:\n    unit: {unit}\n    loadCredentials: {{key: test-vm-secrets/api-key}}\n"
        for number, unit in enumerate(units))
    declaration.write_text(before.replace("\nvms:\n", f"\nvms:\n{vms}"))
    digest = hashlib.sha256(machine.secret("api-key")).hexdigest()
    # A service that stays, so that its state says how it went.
    machine.write(f"{DROPINS}/burst@.service", (
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        f"LoadCredential=key:{SOCKET}\n"
        f"ExecStart=/bin/sh -c 'echo {digest} $CREDENTIALS_DIRECTORY/key | sha256sum --check --status'\n"))
    machine.checked("systemctl", "daemon-reload")
    result = machine.run("systemctl", "start", *units)
    declaration.write_text(before)
    equal(result.code, 0, f"systemctl start, with {result.err[:2000]}")
    gave = set(line.split(" to ")[1].split()[0] for line in said("vmcred.service").splitlines() if "gave key to " in line)
    equal(gave, set(units), "whom vmcred gave it to")


@test("vmcred.service ends with status 0 when told to, and starts again when a unit asks")
def _(_folder):
    booted().checked("systemctl", "stop", "vmcred.service")
    equal(booted().checked("systemctl", "show", "--value", "--property=Result,ExecMainStatus", "vmcred.service").out.split(),
          ["success", "0"])
    equal(booted().start_vm().code, 0, "systemctl start")


harness.main()
