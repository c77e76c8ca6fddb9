#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real systemd asks `vmcred serve` for its units' credentials: what they get, what they do not, and how that ends."""
import base64
import hashlib
import json
import os
import time

import harness
from harness import VMCRED, equal, run
from host import DROPINS, SECRETS, SERVICE, STORE, Container, journal, succeeded

SOCKET = "/run/vmcred/socket"
SHOW = "/bin/sh -c 'cd $CREDENTIALS_DIRECTORY && sha256sum *'"

MESSAGE_ID = "9feaf9372b704ff88339d8abbbd342c2"
GENERATORS = "/run/systemd/system-generators"

host = None


def declare(machine, change):
    """Writes the declaration anew; gives what it was."""
    path = machine.example / "vmcred.yaml"
    before = path.read_text()
    path.write_text(change(before))
    return before


def booted():
    global host  # pylint: disable=global-statement
    if host is None:
        host = Container()
        # systemd's own generator writes the drop-ins, from what the declaration says.
        declare(host, lambda text: text + "credentialSource: socket\n")
        host.checked("mkdir", "-p", GENERATORS)
        host.checked("ln", "-s", "/usr/bin/vmcred-run", f"{GENERATORS}/vmcred-generator")
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


def requests(**fields):
    """The entries of requests with those fields."""
    lines = booted().checked("journalctl", "--output=json", "--no-pager", f"MESSAGE_ID={MESSAGE_ID}",
                             *(f"{key}={value}" for key, value in fields.items())).out.splitlines()
    return [json.loads(line) for line in lines]


def refused(name, reason):
    """The unit does not start, systemd says that it is for its credentials, and vmcred says why."""
    result = booted().run("systemctl", "start", name)
    equal(result.code, 1, "exit code of systemctl")
    status = booted().checked("systemctl", "show", "--value", "--property=ExecMainStatus", name).out
    equal(status, "243\n", "the unit's exit status, EXIT_CREDENTIALS")
    assert reason in said("vmcred.service"), said("vmcred.service")
    # Whose administrator looks at the unit sees it as well.
    assert reason in said(name), said(name)


def test_vm_unit_credentials_byte_byte_no_file_secret(_folder):
    """a VM's unit has its credentials, byte for byte, and no file of a secret is anywhere"""
    machine = booted()
    result = machine.start_vm()
    equal(result.code, 0, f"systemctl start, with {machine.console()}{said('vmcred.service')}")
    digests = "".join(f"{hashlib.sha256(machine.secret(name)).hexdigest()}  host-{name}\n" for name in SECRETS)
    assert digests in machine.console(), f"{digests}\n{machine.console()}"
    equal(machine.run("ls", "/run/secrets", "/run/secrets.d").code, 2, "ls of what nobody activated")


def test_generator_lines_name_socket_since_declaration_says(_folder):
    """the generator's lines name the socket, since the declaration says so"""
    lines = booted().checked("systemctl", "cat", SERVICE).out
    assert f"# /run/systemd/generator/{SERVICE}.d/50-vmcred.conf\n" in lines, lines
    for name in SECRETS:
        assert f"LoadCredential=host-{name}:{SOCKET}\n" in lines, lines


def test_journal_says_got_at_priority_holds_no_value(_folder):
    """the journal says who got what, at its priority, and holds no value"""
    lines = said("vmcred.service", "--priority=info..info")
    for name in SECRETS:
        assert f"gave host-{name} to {SERVICE} (process " in lines, lines
        fields = requests(VMCRED_RESULT="gave", VMCRED_UNIT=SERVICE, VMCRED_CREDENTIAL=f"host-{name}")
        equal([(entry["VMCRED_CODE"], entry["VMCRED_PEER_UID"], entry["PRIORITY"]) for entry in fields], [("0", "0", "6")])
    whole = journal(booted())
    for name in SECRETS:
        value = booted().secret(name)
        assert value.strip() not in whole and base64.b64encode(value)[:24] not in whole, f"{name} is in the journal"


def test_unit_no_vm_runs_does_not_start_rather_start_empty(_folder):
    """a unit that no VM runs in does not start, rather than start with an empty credential"""
    unit_write("other.service", f"LoadCredential=host-api-key:{SOCKET}")
    refused("other.service", "refused host-api-key to other.service (process ")


def test_vm_unit_asks_more_vm_given_does_not_start(_folder):
    """a VM's unit that asks for more than its VM is given does not start"""
    booted().drop_in("95-more", f"[Service]\nLoadCredential=more:{SOCKET}\n")
    refused(SERVICE, f"refused more to {SERVICE} (process ")
    booted().drop_in("95-more", None)
    equal(booted().start_vm().code, 0, "systemctl start after it")


def test_unit_whose_name_longer_address_does_not_start(_folder):
    """a unit whose name is longer than an address does not start with a credential of another"""
    name = f"{'long' * 30}.service"
    unit_write(name, f"LoadCredential=host-api-key:{SOCKET}")
    equal(booted().run("systemctl", "start", name).code, 1, "exit code of systemctl")
    assert "sha256" not in said(name) and "host-api-key" not in said(name).replace("LoadCredential", ""), said(name)


def burst(name, secret, count, *lines):
    """That many units, each of a VM of its own, that end well where their credential is the secret's value."""
    machine = booted()
    units = [f"{name}@{number}.service" for number in range(count)]
    vms = "".join(f"  {name}-{number}:\n    unit: {unit}\n    loadCredentials: {{key: test-vm-secrets/{secret}}}\n"
                  for number, unit in enumerate(units))
    before = declare(machine, lambda text: text.replace("\nvms:\n", f"\nvms:\n{vms}"))
    digest = hashlib.sha256(machine.secret(secret)).hexdigest()
    machine.write(f"{DROPINS}/{name}@.service", "\n".join((
        "[Unit]", "Wants=vmcred.socket", "After=vmcred.socket", "[Service]", "Type=oneshot", f"LoadCredential=key:{SOCKET}", *lines,
        f"ExecStart=/bin/sh -c 'echo {digest} $CREDENTIALS_DIRECTORY/key | sha256sum --check --status'\n")))
    machine.checked("systemctl", "daemon-reload")
    return units, before


def test_thousand_units_start_at_once_all_theirs(_folder):
    """a thousand units that start at once all have theirs"""
    # Services that stay, so that their state says how it went.
    units, before = burst("burst", "api-key", 1000, "RemainAfterExit=yes")
    result = booted().run("systemctl", "start", *units)
    declare(booted(), lambda _: before)
    equal(result.code, 0, f"systemctl start, with {result.err[:2000]}")
    gave = set(line.split(" to ")[1].split()[0] for line in said("vmcred.service").splitlines() if "gave key to " in line)
    equal(gave, set(units), "whom vmcred gave it to")


def test_while_vmcred_service_killed_again_again_no_unit(_folder):
    """while vmcred.service is killed again and again, no unit starts with half a large credential"""
    machine = booted()
    document = machine.example / STORE / "db-password" / "secret"
    kept = document.read_bytes()
    succeeded(run(VMCRED, "set", "--config", machine.example / "vmcred.yaml", "example-host", "test-vm-secrets/db-password",
                  stdin=os.urandom(1000 * 1000)))
    units, before = burst("killed", "db-password", 60)
    machine.checked("systemctl", "start", "--no-block", *units)
    kills = 0
    while "killed@" in machine.checked("systemctl", "list-jobs", "--no-legend").out:
        # Not for ever: a busy host would never get further than to the next one.
        if kills < 8:
            kills += machine.run("systemctl", "kill", "--signal=KILL", "vmcred.service").code == 0
        time.sleep(0.3)
    declare(machine, lambda _: before)
    document.write_bytes(kept)
    failed = machine.run("systemctl", "show", "--value", "--property=ExecMainStatus", "killed@*").out.split()
    equal(set(failed) - {"243"}, set(), "exit statuses of the units that failed, but for EXIT_CREDENTIALS")
    interrupted = requests(VMCRED_RESULT="refused", VMCRED_CREDENTIAL="key")
    assert kills > 2 and len(failed) < len(units) and interrupted, (kills, len(failed), len(interrupted))


def test_vmcred_service_ends_status_0_when_told_starts_again(_folder):
    """vmcred.service ends with status 0 when told to, and starts again when a unit asks"""
    booted().checked("systemctl", "stop", "vmcred.service")
    equal(booted().checked("systemctl", "show", "--value", "--property=Result,ExecMainStatus", "vmcred.service").out.split(),
          ["success", "0"])
    equal(booted().start_vm().code, 0, "systemctl start")


def test_identity_replaced_opens_asked_next_without_restart(_folder):
    """an identity that was replaced opens what is asked next, without a restart"""
    machine = booted()
    machine.checked("systemctl", "restart", "vmcred.service")
    before = machine.identity.read_bytes()
    process = machine.checked("systemctl", "show", "--value", "--property=MainPID", "vmcred.service").out
    # In place: the container sees this file, and not another one of its name.
    machine.identity.write_text("AGE-SECRET-KEY-1" + "Q" * 58 + "\n")
    machine.identity.write_bytes(run(VMCRED, "keygen").out.encode())
    equal(machine.start_vm().code, 1, "exit code of systemctl, with an identity that opens nothing")
    machine.identity.write_bytes(before)
    equal(machine.start_vm().code, 0, "exit code of systemctl, with the right one")
    equal(machine.checked("systemctl", "show", "--value", "--property=MainPID", "vmcred.service").out, process, "the process")


def test_optional_secret_not_store_does_not_keep_unit_from(_folder):
    """an optional secret that is not in the store does not keep the unit from starting"""
    machine = booted()
    document = machine.example / STORE / "jwt-secret" / "secret"
    kept = document.read_bytes()
    document.unlink()
    result = machine.start_vm()
    document.write_bytes(kept)
    equal(result.code, 0, f"systemctl start, with {machine.console()}")
    assert f"{hashlib.sha256(b'').hexdigest()}  host-jwt-secret\n" in machine.console(), machine.console()
    equal(len(requests(VMCRED_RESULT="left-out", VMCRED_CREDENTIAL="host-jwt-secret")), 1, "entries in the journal")


def test_while_there_no_identity_may_use_units_fail_at_once(_folder):
    """while there is no identity that it may use, units fail at once and say why, and start when there is one"""
    machine = booted()
    machine.checked("systemctl", "stop", "vmcred.service")
    machine.identity.chmod(0o644)
    refused(SERVICE, "gives others access to the secret key")
    machine.identity.chmod(0o600)
    equal(machine.start_vm().code, 0, f"systemctl start, with {machine.console()}{said('vmcred.service')}")


def spoilt(code):
    """In place of vmcred a program that ends at once."""
    booted().checked("systemctl", "stop", "vmcred.service", SERVICE)
    booted().write(f"{DROPINS}/vmcred.service.d/50-spoilt.conf",
                   f"[Service]\nExecStart=\nExecStart=/bin/sh -c 'echo spoilt {code}; exit {code}'\n")
    booted().checked("systemctl", "daemon-reload")


def mended():
    booted().checked("rm", f"{DROPINS}/vmcred.service.d/50-spoilt.conf")
    booted().checked("systemctl", "daemon-reload")


def test_unit_waits_while_vmcred_service_fails_restarted(_folder):
    """a unit waits while vmcred.service fails, which is restarted and does not use up the socket, and has its credentials in the end"""
    machine = booted()
    for code in (1, 2):
        spoilt(code)
        machine.checked("systemctl", "start", "--no-block", SERVICE)
        # Started by the socket without a pause, it would have failed by now: 20 starts within 2 seconds are too many.
        end = time.monotonic() + 12
        while time.monotonic() < end and said("vmcred.service").count(f"spoilt {code}") < 22:
            equal(machine.run("systemctl", "is-active", "vmcred.socket").out, "active\n")
            time.sleep(machine.interval)
        mended()
        equal(machine.start_vm().code, 0, f"systemctl start, with {machine.console()}{said('vmcred.service')}")


def test_vmcred_service_may_do_little_systemd_rates_exposure(_folder):
    """vmcred.service may do little: systemd rates its exposure as low"""
    rated = booted().run("systemd-analyze", "security", "--threshold=15", "--no-pager", "vmcred.service")
    equal(rated.code, 0, f"exit code of systemd-analyze, with {rated.out}")


harness.main(with_host_services=True)
