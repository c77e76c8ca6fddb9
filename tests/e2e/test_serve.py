#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real systemd asks `vmcred serve` for its units' credentials, and its units start or fail accordingly."""
import base64
import hashlib
import json
import os
import time

import harness
from harness import VMCRED, equal, run
from host import CONFIG, DROPINS, SECRETS, SERVICE, STORE, Container, journal, succeeded

SOCKET = "/run/vmcred/socket"
SHOW = "/bin/sh -c 'cd $CREDENTIALS_DIRECTORY && sha256sum *'"

DELIVERED, REFUSED = "9feaf9372b704ff88339d8abbbd342c2", "f3c6921f2a4d45e0a089c0cc3b36f133"
CATALOG = "/usr/local/lib/systemd/catalog/vmcred.catalog"
GENERATORS = "/run/systemd/system-generators"

host = None


def declare(machine, change):
    """Changes the declaration; returns the old text."""
    path = machine.example / "vmcred.yaml"
    before = path.read_text()
    path.write_text(change(before))
    return before


def booted():
    global host  # pylint: disable=global-statement
    if host is None:
        host = Container()
        # The systemd generator writes the drop-ins according to the declaration.
        declare(host, lambda text: text + "credentialSource: socket\n")
        host.checked("mkdir", "-p", GENERATORS)
        host.checked("ln", "-s", "/usr/bin/vmcred-run", f"{GENERATORS}/vmcred-generator")
        # Instead of a VM: a service that prints digests of its credentials.
        host.drop_in("90-show", f"[Service]\nType=oneshot\nDynamicUser=no\nExecStart=\nExecStart={SHOW}\n")
        host.checked("systemctl", "start", "vmcred.socket")
    return host


def unit_write(name, *lines):
    text = "[Unit]\nAfter=vmcred.socket\n[Service]\nType=oneshot\n" + "".join(line + "\n" for line in lines)
    booted().write(f"{DROPINS}/{name}", f"{text}ExecStart={SHOW}\n")
    booted().checked("systemctl", "daemon-reload")


def log(identifier, *fields):
    """The log of vmcred.service or another unit."""
    return booted().checked("journalctl", f"--unit={identifier}", "--output=cat", "--no-pager", *fields).out


def requests(**fields):
    """The journal entries of requests with these fields."""
    lines = booted().checked("journalctl", "--output=json", "--no-pager", f"MESSAGE_ID={DELIVERED}", f"MESSAGE_ID={REFUSED}",
                             *(f"{key}={value}" for key, value in fields.items())).out.splitlines()
    return [json.loads(line) for line in lines]


def refused(name, reason):
    """Checks that the unit fails because of its credentials, and that vmcred logs the reason."""
    result = booted().run("systemctl", "start", name)
    equal(result.code, 1, "exit code of systemctl")
    status = booted().checked("systemctl", "show", "--value", "--property=ExecMainStatus", name).out
    equal(status, "243\n", "the unit's exit status, EXIT_CREDENTIALS")
    assert reason in log("vmcred.service"), log("vmcred.service")
    # The reason is in the unit's own log too.
    assert reason in log(name), log(name)


def test_unit_gets_its_credentials(_directory):
    """a VM's unit gets its credentials, byte for byte, and no secret is in a file"""
    machine = booted()
    result = machine.start_vm()
    equal(result.code, 0, f"systemctl start, with {machine.console()}{log('vmcred.service')}")
    digests = "".join(f"{hashlib.sha256(machine.secret(name)).hexdigest()}  host-{name}\n" for name in SECRETS)
    assert digests in machine.console(), f"{digests}\n{machine.console()}"
    equal(machine.run("ls", "/run/secrets", "/run/secrets.d").code, 2, "exit code of ls for secrets that are not activated")


def test_generator_names_the_socket(_directory):
    """the generator's lines name the socket, as declared"""
    lines = booted().checked("systemctl", "cat", SERVICE).out
    assert f"# /run/systemd/generator/{SERVICE}.d/50-vmcred.conf\n" in lines, lines
    for name in SECRETS:
        assert f"LoadCredential=host-{name}:{SOCKET}\n" in lines, lines


def test_journal(_directory):
    """the journal lists the answers with their priority, and contains no secret"""
    lines = log("vmcred.service", "--priority=info..info")
    for name in SECRETS:
        assert f"gave host-{name} to {SERVICE} (process " in lines, lines
        fields = requests(VMCRED_RESULT="gave", VMCRED_UNIT=SERVICE, VMCRED_CREDENTIAL=f"host-{name}")
        equal([(entry["VMCRED_CODE"], entry["VMCRED_PEER_UID"], entry["PRIORITY"]) for entry in fields], [("0", "0", "6")])
    booted().write(CATALOG, (harness.SOURCE / "units/vmcred.catalog").read_text())
    booted().checked("journalctl", "--update-catalog")
    explained = booted().checked("journalctl", "--catalog", "--no-pager", f"--unit={SERVICE}", f"MESSAGE_ID={DELIVERED}").out
    assert f"Subject: Credential host-api-key delivered to {SERVICE}\n" in explained, explained
    whole = journal(booted())
    for name in SECRETS:
        value = booted().secret(name)
        assert value.strip() not in whole and base64.b64encode(value)[:24] not in whole, f"{name} is in the journal"


def test_unit_of_no_vm(_directory):
    """a unit of no VM fails instead of starting with an empty credential"""
    unit_write("other.service", f"LoadCredential=host-api-key:{SOCKET}")
    refused("other.service", "refused host-api-key to other.service (process ")


def test_metrics_count_refusals(_directory):
    """the metrics have as many refused requests as the journal"""
    unit_write("refused.service", f"LoadCredential=key:{SOCKET}")
    booted().run("systemctl", "start", "refused.service")
    metrics = booted().checked("vmcred", "metrics", "--config", CONFIG).out
    count = len(requests(VMCRED_RESULT="refused"))
    assert count > 0 and f'\nvmcred_refused_requests{{result="refused"}} {count}\n' in metrics, f"{count}, {metrics}"


def test_undeclared_credential(_directory):
    """a VM's unit that asks for an undeclared credential fails"""
    booted().drop_in("95-more", f"[Service]\nLoadCredential=more:{SOCKET}\n")
    refused(SERVICE, f"refused more to {SERVICE} (process ")
    booted().drop_in("95-more", None)
    equal(booted().start_vm().code, 0, "systemctl start after it")


def test_entry_arrives_with_any_characters(_directory):
    """systemd gives a unit the entry of its VM, byte for byte, beside credentials from the socket"""
    machine = booted()
    strings = ['A="quoted" \\n', "B=%i %%", "C=line\nbreak", "D=\u00e9\u2028", "E=" + "x" * 30000, "F=end\\"]
    declared = json.dumps({"loadCredentials": {"key": "test-vm-secrets/api-key"}, "platformOEMStrings": strings})
    before = declare(machine, lambda text: text.replace("\nvms:\n", f"\nvms:\n  odd: {declared}\n"))
    machine.write(f"{DROPINS}/microvm@odd.service.d/90-show.conf", "[Service]\nType=oneshot\nDynamicUser=no\nExecStart=\n"
                  "ExecStart=/usr/bin/vmcred-run compose %i\nExecStart=/bin/sh -c 'cat $CREDENTIALS_DIRECTORY/vmcred.vm'\n")
    machine.checked("systemctl", "daemon-reload")
    code = machine.run("systemctl", "start", "microvm@odd.service").code
    declare(machine, lambda _: before)
    lines = log("microvm@odd.service").splitlines()
    equal(code, 0, f"exit code of systemctl start, with {lines}")
    equal([json.loads(line) for line in lines if line.startswith('{"vms"')], [{"vms": {"odd": {"platformOEMStrings": strings}}}])
    assert any("strings, 2." in line for line in lines), lines


def test_long_unit_name(_directory):
    """a unit whose name does not fit into an address fails instead of starting with another unit's credential"""
    name = f"{'long' * 30}.service"
    unit_write(name, f"LoadCredential=host-api-key:{SOCKET}")
    equal(booted().run("systemctl", "start", name).code, 1, "exit code of systemctl")
    assert "sha256" not in log(name) and "host-api-key" not in log(name).replace("LoadCredential", ""), log(name)


def burst(name, secret, count, *lines):
    """Declares `count` VMs with units that succeed if their credential has the secret's value."""
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


def test_thousand_units(_directory):
    """a thousand units that start at once all get their credentials"""
    # The services stay active, so that their state shows the result.
    units, before = burst("burst", "api-key", 1000, "RemainAfterExit=yes")
    result = booted().run("systemctl", "start", *units)
    # With their mounts, everything after this test would take ten times as long.
    booted().checked("systemctl", "stop", "burst@*")
    declare(booted(), lambda _: before)
    equal(result.code, 0, f"systemctl start, with {result.err[:2000]}")
    gave = set(line.split(" to ")[1].split()[0] for line in log("vmcred.service").splitlines() if "gave key to burst@" in line)
    equal(gave, set(units), "the units that got the credential")


def test_killed_service(_directory):
    """while vmcred.service is killed repeatedly, no unit starts with a truncated credential"""
    machine = booted()
    document = machine.example / STORE / "db-password" / "secret"
    kept = document.read_bytes()
    succeeded(run(VMCRED, "set", "--config", machine.example / "vmcred.yaml", "example-host", "test-vm-secrets/db-password",
                  stdin=os.urandom(1000 * 1000)))
    units, before = burst("killed", "db-password", 60)
    machine.checked("systemctl", "start", "--no-block", *units)
    kills = 0
    while "killed@" in machine.checked("systemctl", "list-jobs", "--no-legend").out:
        # A limited number: a busy host would make no progress between the kills.
        if kills < 8:
            kills += machine.run("systemctl", "kill", "--signal=KILL", "vmcred.service").code == 0
        time.sleep(0.3)
    declare(machine, lambda _: before)
    document.write_bytes(kept)
    failed = machine.run("systemctl", "show", "--value", "--property=ExecMainStatus", "killed@*").out.split()
    equal(set(failed) - {"243"}, set(), "exit statuses of the units that failed, but for EXIT_CREDENTIALS")
    interrupted = requests(VMCRED_RESULT="refused", VMCRED_CREDENTIAL="key")
    assert kills > 2 and len(failed) < len(units) and interrupted, (kills, len(failed), len(interrupted))


def test_stopped_service(_directory):
    """vmcred.service exits with status 0 when stopped, and starts again at the next request"""
    booted().checked("systemctl", "stop", "vmcred.service")
    equal(booted().checked("systemctl", "show", "--value", "--property=Result,ExecMainStatus", "vmcred.service").out.split(),
          ["success", "0"])
    equal(booted().start_vm().code, 0, "systemctl start")


def test_replaced_identity(_directory):
    """a replaced identity is used for the next request without a restart"""
    machine = booted()
    machine.checked("systemctl", "restart", "vmcred.service")
    before = machine.identity.read_bytes()
    # In place: the container sees this file, not a new one with its name.
    machine.identity.write_text("AGE-SECRET-KEY-1" + "Q" * 58 + "\n")
    machine.identity.write_bytes(run(VMCRED, "keygen").out.encode())
    equal(machine.start_vm().code, 1, "exit code of systemctl, with an identity that opens nothing")
    machine.identity.write_bytes(before)
    equal(machine.start_vm().code, 0, "exit code of systemctl, with the right one")
    # It may have exited since then.
    refusals, answers = (requests(VMCRED_RESULT=result, VMCRED_UNIT=SERVICE) for result in ("refused", "gave"))
    equal(refusals[-1]["_PID"], answers[-1]["_PID"], "the process that answered")


def test_optional_secret(_directory):
    """an optional secret missing in the store does not keep the unit from starting"""
    machine = booted()
    document = machine.example / STORE / "jwt-secret" / "secret"
    kept = document.read_bytes()
    document.unlink()
    result = machine.start_vm()
    document.write_bytes(kept)
    equal(result.code, 0, f"systemctl start, with {machine.console()}")
    assert f"{hashlib.sha256(b'').hexdigest()}  host-jwt-secret\n" in machine.console(), machine.console()
    equal(len(requests(VMCRED_RESULT="left-out", VMCRED_CREDENTIAL="host-jwt-secret")), 1, "entries in the journal")


def test_unusable_identity(_directory):
    """without a usable identity, units fail at once with the reason; with one, they start"""
    machine = booted()
    machine.checked("systemctl", "stop", "vmcred.service")
    machine.identity.chmod(0o666)
    refused(SERVICE, "lets other users change the key")
    machine.identity.chmod(0o600)
    equal(machine.start_vm().code, 0, f"systemctl start, with {machine.console()}{log('vmcred.service')}")


def replace_program(code):
    """Replaces vmcred by a program that exits at once."""
    booted().checked("systemctl", "stop", "vmcred.service", SERVICE)
    booted().write(f"{DROPINS}/vmcred.service.d/50-failing.conf",
                   f"[Service]\nExecStart=\nExecStart=/bin/sh -c 'echo failing {code}; exit {code}'\n")
    booted().checked("systemctl", "daemon-reload")


def restore_program():
    booted().checked("rm", f"{DROPINS}/vmcred.service.d/50-failing.conf")
    booted().checked("systemctl", "daemon-reload")


def test_failing_service(_directory):
    """a unit waits while vmcred.service fails and is restarted, and then gets its credentials; the socket stays active"""
    machine = booted()
    for code in (1, 2):
        replace_program(code)
        machine.checked("systemctl", "start", "--no-block", SERVICE)
        # The socket without a pause would have reached its limit, 20 starts within 2 seconds, by now.
        end = time.monotonic() + 12
        while time.monotonic() < end and log("vmcred.service").count(f"failing {code}") < 22:
            equal(machine.run("systemctl", "is-active", "vmcred.socket").out, "active\n")
            time.sleep(machine.interval)
        restore_program()
        equal(machine.start_vm().code, 0, f"systemctl start, with {machine.console()}{log('vmcred.service')}")


def test_vm_named_socket(_directory):
    """a unit of a VM named socket does not remove the socket, even if it does not start"""
    equal(booted().run("systemctl", "start", "microvm@socket.service").code, 1, "exit code of systemctl")
    booted().checked("test", "-S", SOCKET)
    equal(booted().start_vm().code, 0, "systemctl start of another VM's unit")


harness.main(with_host_services=True)
