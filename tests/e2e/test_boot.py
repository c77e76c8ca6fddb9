#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real systemd host starts microvm@test-vm.service, and the guest's service gets every secret, byte for byte.

The tests compare what arrived with what the real sops decrypts. vmcred inspect must report the same result.
"""
import functools
import json
import re

import harness
from harness import equal, expect, test
from host import CONFIG, SECRETS, SERVICE, UNITS, Container, digest_of, proofs

# Plaintext sizes of the example's generator script: base64 of 32, 24 and 64 bytes, with openssl's newlines.
SIZES = {"api-key": 45, "db-password": 33, "jwt-secret": 90}
STAGES = ("generate", "seal", "activate", "load", "compose", "launch", "receive", "prove")


@functools.cache
def host():
    return Container()


@functools.cache
def booted():
    """The host after a complete run of the VM; `seen` has the records of the tests while the VM ran. The declaration is
    damaged while the VM starts: the unit has what a launch needs."""
    started = host()
    started.activate()
    declaration = started.example / "vmcred.yaml"
    whole = declaration.read_text()
    declaration.write_text("vms: [damaged\n")
    damaged = started.run("vmcred", "compose", "--config", CONFIG, "test-vm").code
    code = started.start_vm().code
    declaration.write_text(whole)
    equal((damaged, code), (2, 0), "exit codes of compose with the declaration and of systemctl start")
    credentials = f"/run/credentials/{SERVICE}"
    started.seen = {
        "user": started.unit("UID"),
        "readers": [user for user in (started.unit("UID"), "65534")
                    if started.run("setpriv", f"--reuid={user}", "--regid=65534", "--clear-groups", "cat",
                                   *(f"{credentials}/host-{n}" for n in SECRETS)).out],
        "filesystem": started.checked("stat", "--file-system", "--format=%T", credentials).out.strip(),
        "compose": started.run("vmcred", "compose", "--config", CONFIG, "test-vm", "--credentials", credentials),
        "limits": started.checked("cat", f"/proc/{started.unit('MainPID')}/limits").out,
    }
    started.seen["inspect"] = inspect(started, started.wait_proofs(), "--json")
    started.guest_console = started.wait_vm()
    return started


def inspect(machine, console, *options):
    """The result of vmcred inspect for this console output of the guest."""
    machine.checked("tee", "/run/console", stdin=console)
    return machine.run("vmcred", "inspect", "--config", CONFIG, "test-vm", "--identity", "/var/lib/vmcred/identity",
                       "--proof", "/run/console", *options)


def test_real_sops_decrypts_generated_secrets(_directory):
    """the real sops decrypts each generated secret to the value that the generator wrote"""
    for name in SECRETS:
        equal(len(host().secret(name)), SIZES[name], f"size of {name}")


def test_units_are_valid(_directory):
    """systemd-analyze finds no error in the units"""
    expect(host().run("sh", "-c", f"systemd-analyze verify --man=no {UNITS}/*"), 0, "", "")


def test_systemd_accepts_generated_lines(_directory):
    """systemd accepts each line that vmcred units writes"""
    booted()
    expect(host().run("systemd-analyze", "verify", "--man=no", SERVICE), 0, "", "")


def test_unit_loads_host_credentials(_directory):
    """the unit loads exactly the three host credentials from /run/secrets"""
    booted()
    expected = [f"host-{name}:/run/secrets/vars/test-vm-secrets/{name}" for name in SECRETS]
    drop_in = booted().checked("systemctl", "cat", SERVICE).out
    equal(re.findall(r"^LoadCredential=(.*)$", drop_in, re.MULTILINE), expected, "LoadCredential= lines")


def test_loaded_credentials_are_in_memory(_directory):
    """systemd keeps the loaded credentials on a memory file system that only the unit's user can read"""
    seen = booted().seen
    if seen["filesystem"] not in ("ramfs", "tmpfs"):
        raise AssertionError(f"credentials are on {seen['filesystem']}")
    equal(seen["readers"], [seen["user"]], "users who can read a credential")


def test_compose_lists_credentials_without_values(_directory):
    """vmcred compose lists each credential of the VM and shows no value"""
    result = expect(booted().seen["compose"], 0)
    shown = re.findall(r"^(platformOEMStrings|credentialFiles) +(\S+) ", result.out, re.MULTILINE)
    equal(shown, [("platformOEMStrings", "-")] * 2
          + [("credentialFiles", f"HOST-{name.upper()}") for name in SECRETS], f"the list in\n{result.out}\n")
    for name in SECRETS:
        for line in host().secret(name).decode().splitlines():
            if line in result.out + result.err:
                raise AssertionError(f"a line of {name} is shown")


def test_hypervisor_cannot_dump_core(_directory):
    """the hypervisor cannot leave a core file"""
    limits = re.search(r"^Max core file size\s+(\S+)\s+(\S+)", booted().seen["limits"], re.MULTILINE)
    equal(limits.groups(), ("1", "1"), "limit of the core file's size")


def define_arrival(name):
    @test(f"the guest's service receives all of {name}")
    def test_service_receives_credential(_directory):
        arrived = proofs(booted().guest_console)
        if name not in arrived:
            raise AssertionError(f"no proof of {name} on the guest's console:\n{booted().guest_console}")
        salt, digest = arrived[name]
        equal(digest, digest_of(salt, host().secret(name)), f"salted digest of {name}")


for secret_name in SECRETS:
    define_arrival(secret_name)


def test_dmidecode_shows_static_strings(_directory):
    """dmidecode in the guest shows the static OEM strings in their order"""
    shown = re.findall(r"^vmcred-proof: oem-string (.*?)\s*$", booted().guest_console, re.MULTILINE)
    equal(shown, ["ENVIRONMENT=test", "CLUSTER=example-host"], "static OEM strings")


def test_unit_succeeds_when_guest_powers_off(_directory):
    """the unit succeeds when the guest powers off"""
    equal(booted().guest_console.splitlines()[-1], f"{SERVICE}: Deactivated successfully.", "systemd's last word on it")


def test_journal_lists_the_credentials_of_the_launch(_directory):
    """the journal of the unit has an entry with the names of the guest's credentials"""
    fields = ("_SYSTEMD_UNIT", "MESSAGE_ID", "VMCRED_CREDENTIAL")
    found = booted().checked("journalctl", "--output=json", "--no-pager", f"_SYSTEMD_UNIT={SERVICE}", "VMCRED_VM=test-vm").out
    equal([[entry[field] for field in fields] for entry in map(json.loads, found.splitlines())],
          [[SERVICE, "e5c51eb123a44056888d789ddadc5e1a", ["HOST-API-KEY", "HOST-DB-PASSWORD", "HOST-JWT-SECRET"]]])  # fmt: skip


def test_inspect_reports_all_stages(_directory):
    """vmcred inspect reports all eight stages as seen while the VM runs"""
    result = expect(booted().seen["inspect"], 0)
    states = [(stage["stage"], stage["state"]) for stage in json.loads(result.out)]
    equal(states, [(stage, "seen") for stage in STAGES], f"states in\n{result.out}\n")


def test_doctor_knows_the_units(_directory):
    """vmcred doctor finds nothing wrong with the installed unit, and a drop-in that lets it dump core"""
    def found():
        result = booted().run("vmcred", "doctor", "--config", CONFIG, "--json")
        return [finding["name"] for finding in json.loads(result.out) if finding["name"].startswith("unit-")]

    equal(found(), [])
    booted().drop_in("99-core", "[Service]\nLimitCORE=infinity\n")
    equal(found(), ["unit-core"])
    booted().drop_in("99-core", None)


def test_inspect_reports_wrong_digest(_directory):
    """vmcred inspect exits with 4 if one digit of a digest differs"""
    console = booted().guest_console
    digest = proofs(console)["db-password"][1]
    other = ("0" if digest[0] != "0" else "1") + digest[1:]
    expect(inspect(booted(), console.replace(digest, other)), 4)


def test_inspect_reports_missing_proof(_directory):
    """vmcred inspect exits with 3 if the guest has not proved a credential"""
    lines = booted().guest_console.splitlines(keepends=True)
    expect(inspect(booted(), "".join(line for line in lines if "credential api-key" not in line)), 3)


# Runs in a cgroup that has the name of the VM's unit, below a service that may create cgroups.
IMPOSTOR = r"""
top=/sys/fs/cgroup; [ ! -d $top/systemd ] || top=$top/systemd
own=$(sed -n -e 's/^[0-9]*:name=systemd://p' -e '$s/^0:://p' /proc/self/cgroup | head -n 1)
mkdir "$top$own/$1" && echo $$ >"$top$own/$1/cgroup.procs" && exec sleep 600
"""


def test_cgroup_elsewhere_is_not_the_unit(_directory):
    """a process whose cgroup only has the name of the VM's unit is not one of the VM's"""
    machine = booted()
    machine.write("/run/impostor", IMPOSTOR)
    machine.checked("systemd-run", "--unit=impostor", "--property=Delegate=yes", "sh", "/run/impostor", SERVICE)
    try:
        script = "for i in $(seq 100); do grep -qs impostor.service/$1 /proc/[0-9]*/cgroup && exit; sleep 0.1; done; exit 1"
        expect(machine.run("sh", "-c", script, "sh", SERVICE), 0)
        launch = json.loads(inspect(machine, booted().guest_console, "--json").out)[STAGES.index("launch")]
        equal(launch["state"], "unseen", f"state of {launch}")
    finally:
        machine.run("systemctl", "kill", "--signal=KILL", "impostor")


def test_missing_credential_stops_launch(_directory):
    """a credential that systemd does not load stops the launch before the hypervisor starts, and the error names it"""
    machine = booted()
    machine.drop_in("60-without", "[Service]\nLoadCredential=\n"
                    "LoadCredential=host-db-password:/run/secrets/vars/test-vm-secrets/db-password\n"
                    "LoadCredential=host-jwt-secret:/run/secrets/vars/test-vm-secrets/jwt-secret\n")
    try:
        machine.start_vm()
        console = machine.wait_vm()
        equal((machine.unit("Result"), machine.unit("ExecMainStatus")), ("exit-code", "66"), "result of the unit")
        if "host-api-key" not in console or "vmcred-proof" in console or "qemu" in console:
            raise AssertionError(f"not an error that names host-api-key:\n{console}")
    finally:
        machine.drop_in("60-without", None)


def test_missing_optional_credential_is_a_warning(_directory):
    """a missing optional credential is a warning, and the guest starts without it"""
    machine = booted()
    # systemd adds drop-ins up: the SetCredential= of the unit's own drop-in stays.
    machine.drop_in("60-without", "[Service]\nLoadCredential=\n"
                    "LoadCredential=host-api-key:/run/secrets/vars/test-vm-secrets/api-key\n"
                    "LoadCredential=host-db-password:/run/secrets/vars/test-vm-secrets/db-password\n"
                    "LoadCredential=host-jwt-secret:/run/secrets/vars/test-vm-secrets/no-such-file\n")
    try:
        expect(machine.start_vm(), 0)
        console = machine.wait_vm()
        equal(sorted(proofs(console)), ["api-key", "db-password"], "credentials that arrived")
        if not re.search(r"^vmcred: warning: .*host-jwt-secret", console, re.MULTILINE):
            raise AssertionError(f"no warning that names host-jwt-secret:\n{console}")
    finally:
        machine.drop_in("60-without", None)


harness.main(with_host_services=True)
