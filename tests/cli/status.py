# SPDX-License-Identifier: Apache-2.0
"""vmcred status: the last activation, and which VMs run with old, missing or current secrets."""
import json
import os
import re
import shutil

import harness
from example import AS_NOBODY, DECLARATION, Example, other_end, program_for_all
from harness import equal, expect, fails, need_default_paths, need_root, run, vmcred
from systemctl import Systemctl, now_us

UNIT, OTHER = "microvm@m.service", "microvm@other.service"
TWO_VMS = DECLARATION + """\
  other:
    loadCredentials: {host-one: made/one}
"""
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")

CURRENT = """\
m: 2 secrets for services in generation 1, activated TIME

VM     STATE         SINCE                CREDENTIALS
m      active        TIME  2 current
other  inactive      -                    1 ready
"""

STALE = """\
m: 2 secrets for services in generation 2, activated TIME

VM     STATE         SINCE                CREDENTIALS
m      active        TIME  1 current, 1 stale
other  inactive      -                    1 ready

m: host-one is stale: made/one changed TIME
to restart: microvm@m.service, since TIME
"""

OLD, MISSING = "vmcred: old values are in use: restart or reload the units\n", "vmcred: something declared is missing\n"


class Host:
    """A host whose VM m was started after the activation."""

    def __init__(self, directory, declaration=TWO_VMS):
        self.example, self.systemctl = Example(directory, declaration), Systemctl(directory)
        expect(self.example.activate())
        self.systemctl.unit(OTHER, "inactive", "dead")
        self.start(UNIT)

    def start(self, unit):
        """As systemd would."""
        self.systemctl.unit(unit, started=now_us())
        self.loaded(unit).mkdir(parents=True, exist_ok=True)
        for name in ("one", "two"):
            if self.example.active(name).exists():
                (self.loaded(unit) / f"host-{name}").write_bytes(self.example.active(name).read_bytes())

    def loaded(self, unit=UNIT):
        return self.example.root / "run/credentials" / unit

    def rotate(self, name, value=None):
        """Without a value, the last character changes: it is all that a comparison has to see."""
        new = value or other_end(self.example.get(name).out)
        expect(vmcred("set", "--config", self.example.config, "m", f"made/{name}", stdin=new))
        expect(self.example.activate())
        return new

    def status(self, *words, program=None, cwd=None):
        command = program or [harness.VMCRED]
        return run(*command, "status", "--config", self.example.config, "--root", self.example.root, *words, cwd=cwd,
                   env=self.systemctl.env)

    def states(self, code, vm="m", **options):
        """The state of each credential of a VM."""
        vms = json.loads(expect(self.status("--json", **options), code).out)["vms"]
        row = next(row for row in vms if row["vm"] == vm)
        return {one["credential"].removeprefix("host-"): one["state"] for one in row["credentials"]}


def timeless(result):
    result.out = TIME.sub("TIME", result.out)
    return result


def test_current(directory):
    """a unit with the activated values is current, one that does not run is ready, and the exit code is 0"""
    expect(timeless(Host(directory).status()), 0, CURRENT, "")


def test_stale(directory):
    """a unit with an old value is stale until it is restarted, and the exit code is 4"""
    host = Host(directory)
    old = host.example.get("one").out
    new = host.rotate("one")
    result = expect(timeless(host.status()), 4, STALE, OLD)
    assert old not in result.out and new not in result.out
    host.start(UNIT)
    equal(host.states(0), {"one": "current", "two": "current"})


def test_times(directory):
    """JSON has the times of the activation, of the unit's start and of each secret's change"""
    host = Host(directory)
    host.rotate("one")
    found = json.loads(expect(host.status("--json"), 4).out)
    equal(list(found), ["activations", "pending", "vms"])
    activation, vm = found["activations"][0], found["vms"][0]
    equal({key: activation[key] for key in ("neededFor", "machine", "generation", "secrets", "failed")},
          {"neededFor": "services", "machine": "m", "generation": 2, "secrets": 2, "failed": []})
    one, two = vm["credentials"]
    equal((vm["unit"], vm["state"], vm["subState"]), (UNIT, "active", "running"))
    equal((one["generator"], one["file"], one["state"], two["state"]), ("made", "one", "stale", "current"))
    times = [two["changed"], vm["since"], one["changed"], activation["activated"]]
    equal(times, sorted(times))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times), times
    equal(found["pending"], [{"unit": UNIT, "action": "restart", "since": one["changed"]}])
    equal(found["vms"][1]["since"], None)


def test_same_value_again(directory):
    """for root, the values decide whether a credential is stale, not the times"""
    host = Host(directory)
    value = host.example.get("one").out
    host.rotate("one")
    host.rotate("one", value)
    equal(host.states(4), {"one": "current", "two": "current"})


def as_nobody(directory):
    need_root()
    return [*AS_NOBODY, program_for_all(directory)]


def hide(host):
    """As on a host, where only root can read what a unit has loaded."""
    host.example.root.chmod(0o755)
    for path in (host.loaded().parent.parent, host.loaded().parent):
        path.chmod(0o755)
    host.loaded().chmod(0o500)
    for path in host.loaded().iterdir():
        path.chmod(0o400)


def test_ordinary_user(directory):
    """an ordinary user sees which credentials changed after the unit's start, without errors, and locks no memory"""
    program = as_nobody(directory)
    program.insert(-1, "prlimit")
    program.insert(-1, "--memlock=0:0")
    host = Host(directory)
    hide(host)
    expect(timeless(host.status(program=program)), 0, CURRENT, "")
    host.rotate("one")
    expect(timeless(host.status(program=program)), 4, STALE, OLD)
    host.systemctl.unit(UNIT, started=now_us())
    equal(host.states(0, program=program), {"one": "current", "two": "current"})


def test_ordinary_user_without_a_record(directory):
    """without a record of the changes, an ordinary user's states are unknown, and inspect is suggested"""
    program = as_nobody(directory)
    host = Host(directory)
    hide(host)
    (host.example.root / "run/vmcred/activation/services.json").unlink()
    result = expect(host.status(program=program), 0, None, "")
    assert result.out.startswith("no secrets were activated since the boot\n\n"), result.out
    assert "2 unknown\n" in result.out and "`vmcred inspect VM`" in result.out, result.out
    equal(host.states(0), {"one": "current", "two": "current"})


def test_missing(directory):
    """what a unit did not load, or will not find when it starts, is missing, and the exit code is 3"""
    host = Host(directory)
    (host.loaded() / "host-two").unlink()
    equal(host.states(3), {"one": "current", "two": "missing"})
    result = expect(host.status(), 3, None, MISSING)
    assert result.out.endswith(f"\nm: host-two is missing: {UNIT} was started without it\n"), result.out
    host.start(UNIT)
    host.example.active("one").unlink()
    equal(host.states(3, "other"), {"one": "missing"})
    result = expect(host.status(), 3, None, MISSING)
    assert result.out.endswith("\nother: host-one is missing: made/one is not activated\n"), result.out


def test_optional_and_absent(directory):
    """an optional credential without a secret is absent, and stale once it has one"""
    host = Host(directory)
    value = host.example.active("two").read_bytes()
    host.example.active("two").unlink()
    (host.loaded() / "host-two").write_bytes(b"\0absent")
    equal(host.states(0), {"one": "current", "two": "absent"})
    host.systemctl.unit(UNIT, "failed", "failed")
    equal(host.states(0), {"one": "ready", "two": "absent"})
    host.systemctl.unit(UNIT)
    host.example.active("two").write_bytes(value)
    equal(host.states(4), {"one": "current", "two": "stale"})


def test_secret_of_another_machine(directory):
    """a VM that does not run here, and whose secret is another machine's, does not fail"""
    declaration = TWO_VMS.replace("m: {}", "m: {}\n  n: {}", 1).replace("made:\n", """far:
    machines: [n]
    files: {key: {}}
    kind: {key: {hex: 16}}
  made:
""", 1).replace("made/one}", "far/key}")
    (directory / "n").mkdir()
    host = Host.__new__(Host)
    host.example, host.systemctl = Example(directory, declaration, generate=False), Systemctl(directory)
    expect(vmcred("keygen", "--config", host.example.config, "--machine", "n", "--output", directory / "n/identity"))
    expect(host.example.generate())
    expect(host.example.activate("--machine", "m"))
    host.start(UNIT)
    equal(host.states(0, "other"), {"one": "elsewhere"})
    host.systemctl.unit(OTHER)
    equal(host.states(3, "other"), {"one": "missing"})


def test_socket(directory):
    """credentials from the socket are unknown, since only the store has their values"""
    host = Host(directory, DECLARATION + "credentialSource: socket\n")
    equal(host.states(0), {"one": "unknown", "two": "unknown"})
    (host.loaded() / "host-two").write_bytes(b"")
    equal(host.states(0), {"one": "unknown", "two": "absent"})


def test_pending_units(directory):
    """a unit is listed until it is restarted or stopped; that its state changed is not enough, since a reload may have failed"""
    host = Host(directory, TWO_VMS.replace("restartUnits: [microvm@m.service]", "restartUnits: [a.service], reloadUnits: [b.service]"))
    for unit in ("a.service", "b.service"):
        host.systemctl.unit(unit, started=now_us())

    def pending(code):
        return [(row["action"], row["unit"]) for row in json.loads(expect(host.status("--json"), code).out)["pending"]]

    host.rotate("one")
    host.start(UNIT)
    equal(sorted(pending(4)), [("reload", "b.service"), ("restart", "a.service")])
    host.systemctl.unit("a.service", started=1, changed=now_us())
    host.systemctl.unit("b.service", started=1, changed=now_us())
    equal(sorted(pending(4)), [("reload", "b.service"), ("restart", "a.service")])
    host.systemctl.unit("b.service", started=now_us())
    equal(pending(4), [("restart", "a.service")])
    host.systemctl.unit("a.service", "inactive", "dead")
    equal(pending(0), [])


def test_unreadable_declaration(directory):
    """an ordinary user who cannot read the declaration sees the activation"""
    program = as_nobody(directory)
    host = Host(directory)
    hide(host)
    for mode, out in ((0o600, CURRENT.split("\n\n", maxsplit=1)[0] + "\nno declaration to read: VMs are not shown\n"), (0o644, CURRENT)):
        host.example.config.chmod(mode)
        result = run(*program, "status", "--root", host.example.root, cwd=directory, env=host.systemctl.env)
        expect(timeless(result), 0, out, "")
    host.example.config.chmod(0o600)
    fails(run(*program, "status", "m", cwd=directory), 1, "vmcred.yaml")


def test_secrets_of_each_phase(directory):
    """the changes of each phase are known"""
    host = Host(directory, TWO_VMS.replace('two: {mode: "0440"}', "two: {neededFor: activation}"))
    equal(host.states(0), {"one": "current", "two": "absent"})
    expect(host.example.activate("--needed-for", "activation"))
    path = host.example.root / "run/activation-secrets/made/two"
    (host.loaded() / "host-two").write_bytes(path.read_bytes())
    equal(host.states(0), {"one": "current", "two": "current"})
    expect(vmcred("set", "--config", host.example.config, "m", "made/two", stdin="a new value"))
    expect(host.example.activate("--needed-for", "activation"))
    equal(host.states(4), {"one": "current", "two": "stale"})
    found = json.loads(host.status("--json").out)
    equal([row["neededFor"] for row in found["activations"]], ["services", "activation"])
    assert found["vms"][0]["credentials"][1]["changed"] is not None


REPORTED = "vmcred-delivery-1 0123456789012345678901\n"


def test_delivery(directory):
    """the state of the delivery to a running guest is sent, delivered or rejected, for the VM and for each credential"""
    host = Host(directory, TWO_VMS.replace("  other:", "    channelCredentials: {api-key: made/one}\n  other:"))
    (host.loaded() / "vmcred.channel").write_text("key")
    reports = host.example.root / "run/vmcred/serve/delivery"
    reports.mkdir(parents=True)

    def delivery(code):
        rows = {row["vm"]: row for row in json.loads(expect(host.status("--json"), code).out)["vms"]}
        equal((rows["other"]["delivery"], rows["other"]["credentials"][0]["delivery"]), (None, None))
        return rows["m"]["delivery"], [one["delivery"] for one in rows["m"]["credentials"]]

    equal(delivery(0), ("sent", ["sent", "sent", None]))
    (reports / UNIT).write_text(REPORTED + "unexpected own\n")
    equal(delivery(0), ("delivered", ["delivered", "delivered", None]))
    assert "  3 current; delivered\n" in host.status().out
    (reports / UNIT).write_text(REPORTED + "cut HOST-ONE\nmissing X Y\n")
    equal(delivery(4), ("rejected", ["rejected", "delivered", None]))
    result = expect(host.status(), 4, None, "vmcred: credentials did not arrive whole in a guest: restart the VM, and compare the sizes in "
                    "`vmcred compose`\n")
    assert "  3 current; rejected\n" in result.out
    assert "\nm: the guest found cut: HOST-ONE; missing: X Y\n" in result.out
    for damaged in ("", "x", REPORTED[:-2], REPORTED + "lost X\n"):
        (reports / UNIT).write_text(damaged)
        equal(delivery(0)[0], "sent")
    host.systemctl.unit(UNIT, "inactive", "dead")
    shutil.rmtree(host.loaded())
    equal(delivery(0), (None, [None, None, None]))


def test_channel_key(directory):
    """a unit that was started before its VM got channelCredentials misses the channel key until it is restarted"""
    host = Host(directory, TWO_VMS + "    channelCredentials: {api-key: made/one}\n")
    equal(host.states(0, "other"), {"one": "ready", "vmcred.channel": "ready"})
    host.start(OTHER)
    equal(host.states(3, "other"), {"one": "current", "vmcred.channel": "missing"})
    assert f"\nother: vmcred.channel is missing: {OTHER} was started without it\n" in expect(host.status(), 3, None, MISSING).out
    (host.loaded(OTHER) / "vmcred.channel").write_text("key")
    equal(host.states(0, "other"), {"one": "current", "vmcred.channel": "current"})
    # Its guest gets nothing at boot, and has nothing to report.
    assert "  2 current\n" in host.status("other").out


def test_failed_secret(directory):
    """a secret that the last activation could not decrypt is listed, and the exit code is 3, also if its old file exists"""
    host = Host(directory)
    host.example.document("one").unlink()
    expect(host.example.activate(), 3)
    equal(host.states(3), {"one": "current", "two": "current"})
    result = expect(host.status(), 3, None, MISSING)
    assert "\nfailed: made/one: " in result.out, result.out
    found = json.loads(expect(host.status("--json"), 3).out)
    equal([row["secret"] for row in found["activations"][0]["failed"]], ["made/one"])
    expect(host.status("m"), 0)


def test_record_that_others_can_change(directory):
    """a record that other users can change is refused"""
    host = Host(directory)
    path = host.example.root / "run/vmcred/activation/services.json"
    path.chmod(0o666)
    fails(host.status(), 1, path, "other users", "`vmcred activate`")


def test_error_in_a_vm(directory):
    """an error in the declaration of one VM is listed, and the other VMs are shown; the exit code is 2"""
    host = Host(directory)
    host.example.config.write_text(host.example.config.read_text() + "    platformOEMStrings: 1\n")
    result = expect(host.status(), 2, None, "vmcred: the declaration has errors\n")
    assert "  2 current\n" in result.out and f"\n{host.example.config}:" in result.out, result.out
    vms = json.loads(expect(host.status("--json"), 2).out)["vms"]
    assert vms[0]["problem"] is None and "platformOEMStrings" in vms[1]["problem"], vms
    expect(host.status("m"), 0)


def test_commands_with_part_of_an_entry(directory):
    """no command of a host fails because of a VM whose entry has an error in a credential or an empty command"""
    host = Host(directory)
    declaration = host.example.config.read_text()
    for wrong in ("credentialFiles: {A: host-one, B/C: host-one}", "credentialFiles: {A: {optional: true}}", "command: []"):
        host.example.config.write_text(f"{declaration}  wrong:\n    {wrong}\n")
        expect(host.status(), 2)
        for command in ("graph", "metrics"):
            expect(vmcred(command, "--config", host.example.config, "--root", host.example.root), 0)
        expect(vmcred("doctor", "--config", host.example.config, "--root", host.example.root), 1)


def test_error_in_a_name(directory):
    """a VM without a valid name is only listed as an error: its name is not printed, and not passed to systemctl"""
    host = Host(directory)
    host.example.config.write_text(host.example.config.read_text() + '  "": {}\n  "x\\ny  active": {}\n')
    result = expect(host.status(), 2)
    equal([line.split()[0] for line in result.out.split("\n\n")[1].splitlines()], ["VM", "m", "other"])
    equal(len(result.out.split("\n\n")[2].splitlines()), 2)
    equal(host.systemctl.calls()[0].split(" -- ")[1].split(), [UNIT, OTHER])


def test_chosen_vms(directory):
    """with names, only these VMs are shown, and decide the exit code"""
    host = Host(directory)
    host.rotate("one")
    lines = expect(host.status("other"), 0, None, "").out.splitlines()
    equal([line.split()[0] for line in lines[2:]], ["VM", "other"])
    expect(host.status("m", "other"), 4)
    fails(host.status("othe"), 2, '"othe"', 'did you mean "other"?')


def test_without_systemd(directory):
    """where systemctl fails, the rest is shown, and the error says why"""
    host = Host(directory)
    host.systemctl.fail()
    error = "vmcred: the state of the units is unknown: systemctl exited with code 1"
    result = expect(timeless(host.status()), 1)
    assert result.err.startswith(error) and result.err.count("\n") == 1, result.err
    assert "\nm      unknown       -                    2 current\n" in result.out, result.out
    equal(json.loads(host.status("--json").out)["vms"][0]["state"], "unknown")
    (directory / "empty").mkdir()
    host.systemctl.env = {"PATH": str(directory / "empty")}
    result = expect(host.status(), 1)
    assert "the state of the units is unknown: starting systemctl: " in result.err, result.err


def test_incomplete_answer(directory):
    """an answer of systemctl with fewer units than asked for is an error, not another unit's state"""
    host = Host(directory)
    program = host.systemctl.directory / "bin/systemctl"
    program.write_text("#!/bin/sh\necho ActiveState=active\n")
    result = expect(host.status(), 1)
    assert "systemctl described 1 of 2 units" in result.err, result.err
    equal(result.out.count(" unknown "), 2)


def test_without_a_declaration(directory):
    """without a declaration, the activation is shown; with names, it is missing"""
    need_default_paths()
    host = Host(directory)
    (directory / "empty").mkdir()
    words = ("--root", host.example.root)
    result = vmcred("status", *words, cwd=directory / "empty", env=host.systemctl.env)
    text = "m: 2 secrets for services in generation 1, activated TIME\nno declaration to read: VMs are not shown\n"
    expect(timeless(result), 0, text, "")
    fails(vmcred("status", *words, "m", cwd=directory / "empty"), 2, "vmcred.yaml")
    equal(os.path.exists(host.systemctl.directory / "calls"), False, "whether systemctl was called")


def test_thousand_vms(directory):
    """a thousand VMs are shown with one call of systemctl"""
    vms = "".join(f"  vm-{number}:\n    loadCredentials: {{host-one: made/one, host-two: made/two}}\n" for number in range(1000))
    host = Host(directory, DECLARATION + vms)
    for number in range(1000):
        host.start(f"microvm@vm-{number}.service")
    host.rotate("one")
    result = expect(host.status(), 4)
    equal(result.out.count("1 current, 1 stale"), 1001)
    equal(len(host.systemctl.calls()), 1)


harness.main()
