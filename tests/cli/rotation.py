# SPDX-License-Identifier: Apache-2.0
"""After a secret changed: the record of activations, and the units that wait for a restart."""
import json
import os
import shutil
import stat
from pathlib import Path

import harness
from example import AS_NOBODY, Example, program_for_all
from harness import equal, expect, run, vmcred
from systemctl import Systemctl, now_us

UNITS = """\
machines: {m: {}}
generators:
  made:
    machines: [m]
    files:
      one: {restartUnits: [a.service], reloadUnits: [b.service]}
      two: {reloadUnits: [microvm@reloaded.service, microvm@both.service], restartUnits: [microvm@both.service]}
      three: {mode: "0440"}
      alone: {}
    kind: {one: uuid, two: uuid, three: uuid, alone: uuid}
vms:
  restarted: {loadCredentials: {two: made/two}, credentialFiles: {TWO: two}}
  reloaded: {loadCredentials: {two: made/two}, credentialFiles: {TWO: two}}
  both: {loadCredentials: {two: made/two}, credentialFiles: {TWO: two}}
  served: {credentialSource: socket, loadCredentials: {three: made/three}, credentialFiles: {THREE: three}}
"""


def units(example):
    """The units that wait, with what they wait for."""
    return {unit: item["action"] for unit, item in example.record()["pending"].items()}


def test_record_of_the_first_activation(directory):
    """the record has names and times, everybody can read it, and no unit waits after the first activation"""
    example = Example(directory)
    old_umask = os.umask(0o077)
    try:
        expect(example.activate(), 0, "2 secrets in generation 1\n", "")
    finally:
        os.umask(old_umask)
    record = example.record()
    time = record["activated"]
    equal(
        record,
        {
            "machine": "m", "phase": "services", "generation": 1, "activated": time,
            "secrets": {"made/one": time, "made/two": time}, "failed": {}, "pending": {},
        },
    )  # fmt: skip
    equal(sorted(time), ["monotonic", "realtime"])
    path = example.root / "run/vmcred/activation/services.json"
    equal([stat.S_IMODE(found.stat().st_mode) for found in (path, path.parent, path.parent.parent)], [0o644, 0o755, 0o755])
    equal(os.listdir(path.parent), ["services.json"])


def test_each_change_has_its_time(directory):
    """only a changed value gets a new time; a changed mode does not, and neither does an activation without changes"""
    example = Example(directory, UNITS)
    expect(example.activate())
    first = example.record()
    example.set("one", "another")
    expect(example.activate())
    second = example.record()
    equal(second["generation"], 2)
    equal(second["secrets"]["made/one"], second["activated"])
    equal(second["secrets"]["made/two"], first["secrets"]["made/two"])
    example.config.write_text(UNITS.replace('"0440"', '"0400"'))
    expect(example.activate())
    third = example.record()
    equal((third["generation"], third["secrets"]), (3, second["secrets"]))
    expect(example.activate())
    last = example.record()
    equal((last["generation"], last["secrets"]), (3, second["secrets"]))
    assert last["activated"]["monotonic"] > third["activated"]["monotonic"] > second["activated"]["monotonic"], last


def test_units_of_changed_secrets(directory):
    """the declared units wait, and those of VMs that load a changed secret, unless the declaration reloads them"""
    example = Example(directory, UNITS)
    expect(example.activate())
    example.set("alone", "another")
    expect(example.activate(), 0, "4 secrets in generation 2\n", "")
    example.set("one", "another")
    expect(example.activate(), 0, "4 secrets in generation 3\nto restart: a.service\nto reload: b.service\n", "")
    example.set("two", "another")
    expect(example.activate())
    equal(
        units(example),
        {
            "a.service": "restart", "b.service": "reload", "microvm@both.service": "restart",
            "microvm@reloaded.service": "reload", "microvm@restarted.service": "restart",
        },
    )  # fmt: skip
    example.set("three", "another")
    expect(example.activate())
    equal(units(example)["microvm@served.service"], "restart")


def test_channel_restarts_no_vm(directory):
    """a changed secret that only a running guest requests does not restart the VM"""
    example = Example(directory, UNITS + "  asked: {channelCredentials: {alone: made/alone}}\n")
    expect(example.activate())
    example.set("alone", "another")
    expect(example.activate(), 0, "4 secrets in generation 2\n", "")


def test_units_wait_until_they_are_restarted(directory):
    """a unit waits across activations that change nothing or something else; a new change has its own time"""
    example = Example(directory)
    expect(example.activate())
    example.set("one", "another")
    expect(example.activate(), 0, "2 secrets in generation 2\nto restart: microvm@m.service\n", "")
    pending = example.record()["pending"]
    equal(pending["microvm@m.service"]["since"], example.record()["activated"])
    for _ in range(2):
        expect(example.activate(), 0, "2 secrets in generation 2, unchanged\nto restart: microvm@m.service\n", "")
        equal(example.record()["pending"], pending)
    example.set("two", "another")
    expect(example.activate(), 0, "2 secrets in generation 3\nto restart: microvm@m.service\n", "")
    equal(example.record()["pending"]["microvm@m.service"]["since"], example.record()["activated"])


def test_a_killed_activation_loses_no_unit(directory):
    """if an activation was killed between the new generation and its record, the next one lists every unit"""
    example = Example(directory)
    expect(example.activate())
    path = example.root / "run/vmcred/activation"
    shutil.copytree(path, directory / "kept")
    example.set("two", "another")
    expect(example.activate())
    shutil.rmtree(path)
    shutil.copytree(directory / "kept", path)
    expect(example.activate(), 0, "2 secrets in generation 2, unchanged\nto restart: microvm@m.service\n", "")
    equal(example.record()["secrets"]["made/one"], example.record()["activated"])


def test_units_of_vms_with_errors(directory):
    """a VM with an error in the declaration waits for a restart too, unless it has no valid unit"""
    example = Example(directory)
    expect(example.activate())
    example.set("one", "another")
    text = example.config.read_text()
    example.config.write_text(f"{text}  a b:\n    loadCredentials: {{one: made/one}}\n".replace("vms:\n  m:\n", "vms:\n  m:\n    odd: 1\n"))
    expect(example.activate(), 0, None, None)
    equal(units(example), {"microvm@m.service": "restart"})
    expect(example.activate(), 0, None, None)
    equal(units(example), {"microvm@m.service": "restart"})


def test_an_unusable_record_is_replaced(directory):
    """an activation replaces a record that is damaged or that others can write to, with a warning"""
    example = Example(directory)
    expect(example.activate())
    path = example.root / "run/vmcred/activation/services.json"
    whole = path.read_text()
    # A unit's name becomes an argument of systemctl.
    odd = json.dumps(example.record() | {"pending": {"a b": {"action": "restart", "since": example.record()["activated"]}}})
    for damaged in ("", whole[:50], "[]", whole.replace('"services"', '"users"'), whole.replace("realtime", "time"), odd):
        path.write_text(damaged)
        warned = expect(example.activate(), 0, None, None).err
        assert warned.startswith("vmcred: warning: ") and str(path) in warned and warned.count("\n") == 1, warned
        equal(sorted(example.record()["secrets"]), ["made/one", "made/two"])
        expect(example.activate(), 0, None, "")
    path.chmod(0o666)
    expect(
        example.activate(),
        0,
        None,
        f"vmcred: warning: opening {path}: other users can change it: units that were to be restarted before are not known\n",
    )
    equal(stat.S_IMODE(path.stat().st_mode), 0o644)


def test_no_record_before_the_secrets(directory):
    """if the record cannot be written, nothing is activated"""
    example = Example(directory)
    (example.root / "run").mkdir(parents=True)
    (example.root / "run/vmcred").write_text("")
    harness.fails(example.activate(), 1, "vmcred")
    equal(sorted(os.listdir(example.root / "run")), ["secrets.d", "vmcred"])
    equal(os.listdir(example.root / "run/secrets.d"), [])


def test_a_record_of_another_user(directory):
    """the record of another user is not used"""
    harness.need_root()
    example = Example(directory)
    expect(example.activate())
    example.set("one", "another")
    expect(example.activate())
    expect(run("chown", "65534", example.root / "run/vmcred/activation/services.json"))
    warned = expect(example.activate(), 0, "2 secrets in generation 2, unchanged\n", None).err
    assert "other users can change it" in warned, warned


# Restarts. Without --root, the record is that of the running system: the harness gives root an empty /run.
MANY = """\
machines: {m: {}}
generators:
  made:
    machines: [m]
    files: {one: {restartUnits: [a.service, b.service], reloadUnits: [c.service]}, two: {restartUnits: [d.service]}}
    kind: {one: uuid, two: uuid}
"""
RECORD = Path("/run/vmcred/activation/services.json")


class Host:
    """The running system with units that run since before the first activation."""

    def __init__(self, directory, declaration=MANY):
        harness.need_root()
        for path in ("/run/secrets", "/run/vmcred"):
            run("rm", "-rf", path)
        run("umount", "/run/secrets.d")
        self.example, self.systemctl = Example(directory, declaration), Systemctl(directory)
        for unit in "abcd":
            self.systemctl.unit(f"{unit}.service", started=1)
        expect(self.activate(), 0, "2 secrets in generation 1\n", "")
        self.example.set("one", "another")

    def activate(self, *words):
        words = ("--config", self.example.config, "--identity", self.example.identity, *words)
        return vmcred("activate", *words, env=self.systemctl.env)

    def request(self, *words):
        return vmcred("activate", "--restart-pending", *words, env=self.systemctl.env)


def pending():
    return sorted(json.loads(RECORD.read_text())["pending"])


def test_restart(directory):
    """--restart restarts and reloads the units of changed secrets, once, and leaves nothing pending"""
    host = Host(directory)
    expect(
        host.activate("--restart"),
        0,
        "2 secrets in generation 2\nrestarted: a.service\nrestarted: b.service\nreloaded: c.service\n",
        "",
    )
    equal(host.systemctl.changes(), ["try-restart a.service b.service", "try-reload-or-restart c.service"])
    equal(pending(), [])
    expect(host.activate("--restart"), 0, "2 secrets in generation 2, unchanged\n", "")
    equal(host.systemctl.changes(), [])


def test_restart_json(directory):
    """--restart --json lists what was restarted and what still waits"""
    host = Host(directory)
    host.systemctl.becomes("b.service", "failed")
    result = json.loads(expect(host.activate("--restart", "--json"), 1, None, None).out)
    equal(
        result,
        {
            "neededFor": "services", "changed": True, "generation": 2, "secrets": 2, "restartUnits": ["b.service"],
            "reloadUnits": [], "failed": {}, "restarted": ["a.service"], "reloaded": ["c.service"],
        },
    )  # fmt: skip


def test_failed_restart(directory):
    """a failed restart or reload is an error, and waits until a later --restart succeeds, which also starts the failed unit"""
    host = Host(directory)
    for unit in ("b.service", "c.service"):
        host.systemctl.becomes(unit, "failed")
    expect(
        host.activate("--restart"),
        1,
        "2 secrets in generation 2\nrestarted: a.service\nto restart: b.service\nto reload: c.service\n",
        "vmcred: restarting units: b.service c.service still use old values: see `systemctl status b.service c.service`\n",
    )
    unchanged = "2 secrets in generation 2, unchanged\n"
    for _ in range(2):
        expect(host.activate(), 0, f"{unchanged}to restart: b.service\nto reload: c.service\n", "")
    host.systemctl.changes()
    for unit in ("b.service", "c.service"):
        host.systemctl.becomes(unit, "active")
    expect(host.activate("--restart"), 0, f"{unchanged}restarted: b.service\nreloaded: c.service\n", "")
    equal(host.systemctl.changes(), ["start b.service", "try-reload-or-restart c.service"])
    equal(pending(), [])


def test_units_that_need_nothing(directory):
    """a unit that somebody else restarted, that failed or that does not run is not pending any more"""
    host = Host(directory)
    expect(host.activate())
    equal(pending(), ["a.service", "b.service", "c.service"])
    host.systemctl.unit("a.service", started=now_us())
    host.systemctl.unit("b.service", "inactive", "dead", started=1)
    expect(host.activate(), 0, "2 secrets in generation 2, unchanged\nto reload: c.service\n", "")
    host.systemctl.unit("c.service", "failed", "failed", started=1)
    expect(host.activate("--restart"), 0, "2 secrets in generation 2, unchanged\n", "")
    equal((pending(), host.systemctl.changes()), ([], []))


def test_a_unit_that_does_not_become_active(directory):
    """a unit that systemd starts again and again after its restart is still pending"""
    host = Host(directory)
    host.systemctl.becomes("b.service", "activating")
    equal(host.activate("--restart").code, 1)
    equal(pending(), ["b.service"])


def test_without_systemd(directory):
    """where systemd cannot be asked, activate lists all pending units, and --restart fails and keeps them"""
    host = Host(directory)
    host.systemctl.fail()
    units = "to restart: a.service\nto restart: b.service\nto reload: c.service\n"
    expect(host.activate(), 0, f"2 secrets in generation 2\n{units}", "")
    expect(
        host.activate("--restart"),
        1,
        f"2 secrets in generation 2, unchanged\n{units}",
        "vmcred: restarting units: systemctl exited with code 1: systemd is not running here\n",
    )
    equal(pending(), ["a.service", "b.service", "c.service"])


def test_change_during_a_restart(directory):
    """what changes while units restart or reload stays pending"""
    host = Host(directory)
    words = f"--config {host.example.config}"
    # The units start before the change.
    host.systemctl.while_it_restarts(
        f"[ $verb = try-restart ] || {{ echo $verb | {harness.VMCRED} set {words} m made/one && "
        f"{harness.VMCRED} activate {words} --identity {host.example.identity}; }} >&2\n"
    )
    expect(
        host.activate("--restart"),
        1,
        "2 secrets in generation 2\nto restart: a.service\nto restart: b.service\nto reload: c.service\n",
        None,
    )


def test_request_restarts(directory):
    """--restart-pending requests restarts without waiting and decrypting, once; they are pending until they are done"""
    host = Host(directory)
    expect(host.request(), 0, "", "")
    expect(host.activate())
    host.systemctl.changes()
    expect(host.request(), 0, "restarting: a.service\nrestarting: b.service\nreloading: c.service\n", "")
    equal(
        host.systemctl.changes(),
        ["--no-block try-restart a.service b.service", "--no-block try-reload-or-restart c.service"],
    )
    equal(pending(), ["a.service", "b.service"])
    # Between the two halves of a restart, a unit is inactive and has a job.
    for state in ("deactivating", "inactive"):
        host.systemctl.unit("a.service", state, "", started=1, has_job=True)
        host.systemctl.unit("b.service", "activating", "start", started=now_us(), has_job=True)
        expect(host.request("--json"), 0, '{\n  "restarting": [],\n  "reloading": []\n}\n', "")
        equal((pending(), host.systemctl.changes()), (["a.service", "b.service"], []))
    host.systemctl.unit("a.service", started=now_us())
    host.systemctl.unit("b.service", "failed", "failed", started=now_us())
    expect(host.activate(), 0, "2 secrets in generation 2, unchanged\nto restart: b.service\n", "")
    expect(host.request(), 0, "restarting: b.service\n", "")
    equal(host.systemctl.changes(), ["--no-block start b.service"])


def test_request_without_an_activation(directory):
    """--restart-pending of a phase that was not activated does nothing"""
    host = Host(directory)
    expect(host.request("--needed-for", "users"), 0, "", "")
    equal(host.systemctl.changes(), [])


def test_restart_waits_for_requested_restarts(directory):
    """--restart waits for restarts that were requested before, instead of restarting again"""
    host = Host(directory)
    expect(host.activate())
    expect(host.request())
    host.systemctl.changes()
    host.systemctl.unit("a.service", "inactive", "dead", started=1, has_job=True)
    host.systemctl.unit("b.service", "activating", "start", started=now_us(), has_job=True)
    expect(host.activate("--restart"), 0, "2 secrets in generation 2, unchanged\nrestarted: a.service\nrestarted: b.service\n", "")
    equal((pending(), host.systemctl.changes()), ([], ["start a.service b.service"]))


def test_refused_request(directory):
    """if systemd refuses a request, --restart-pending fails"""
    host = Host(directory)
    expect(host.activate())
    host.systemctl.becomes("a.service", "failed")
    harness.fails(host.request(), 1, "try-restart", "systemctl")
    equal(pending(), ["a.service", "b.service"])
    host.systemctl.becomes("a.service", "active")
    host.systemctl.becomes("c.service", "failed")
    host.example.set("one", "third")
    expect(host.activate())
    harness.fails(host.request(), 1, "try-reload-or-restart", "systemctl")
    equal(pending(), ["a.service", "b.service", "c.service"])


def state_of(path):
    """Everything below a directory, with times."""
    found = sorted(path.rglob("*")) if path.exists() else []
    return [(str(entry), entry.lstat().st_mtime_ns, entry.lstat().st_ino) for entry in found]


def test_dry_run(directory):
    """--dry-run prints what would change and be restarted, and writes nothing"""
    example = Example(directory, MANY)
    first = "2 secrets would be in generation 1\nwould add secrets: made/one, made/two\n"
    expect(example.activate("--dry-run"), 0, first, "")
    assert not example.root.exists()
    (example.root / "run").mkdir(parents=True)
    expect(example.activate("--dry-run"), 0, first, "")
    equal(os.listdir(example.root / "run"), [])
    expect(example.activate())
    expect(example.activate("--dry-run"), 0, "2 secrets in generation 1, unchanged\n", "")
    example.set("one", "another")
    example.config.write_text(MANY.replace("two: {restart", "two: {deploy: false, restart"))
    before = state_of(example.root)
    expect(
        example.activate("--dry-run"),
        0,
        "1 secret would be in generation 2\nwould modify secret: made/one\nwould remove secret: made/two\n"
        "would restart: a.service\nwould restart: b.service\nwould reload: c.service\n",
        "",
    )
    equal(
        json.loads(expect(example.activate("--dry-run", "--json"), 0, None, "").out),
        {
            "neededFor": "services", "changed": True, "generation": 2, "secrets": 1, "dryRun": True, "added": [],
            "modified": ["made/one"], "removed": ["made/two"], "restartUnits": ["a.service", "b.service"],
            "reloadUnits": ["c.service"], "failed": {},
        },
    )  # fmt: skip
    equal(state_of(example.root), before)


def test_dry_run_of_restarts(directory):
    """--dry-run --restart restarts nothing, and leaves out units that need nothing"""
    host = Host(directory)
    before = state_of(Path("/run"))
    host.systemctl.unit("a.service", "inactive", "dead", started=1)
    expect(
        host.activate("--dry-run", "--restart"),
        0,
        "2 secrets would be in generation 2\nwould modify secret: made/one\nwould restart: b.service\nwould reload: c.service\n",
        "",
    )
    equal((host.systemctl.changes(), state_of(Path("/run"))), ([], before))


def test_dry_run_by_a_user(directory):
    """without --root, --dry-run needs root, because it compares secrets"""
    harness.need_root()
    example = Example(directory, MANY)
    program = program_for_all(directory)
    harness.fails(run(*AS_NOBODY, program, "activate", "--config", example.config, "--dry-run"), 1, "--dry-run", "root")


def test_options_that_exclude_each_other(directory):
    """options that contradict each other are usage errors"""
    example = Example(directory, MANY)
    harness.fails(example.activate("--restart"), 2, "--restart", "--root")
    harness.fails(example.activate("--restart-pending"), 2, "--restart-pending", "--needed-for")
    for option in ("--restart", "--dry-run", "--machine=m", "--identity=x"):
        harness.fails(vmcred("activate", "--restart-pending", option), 2, "--restart-pending")
    for option in ("--restart", "--dry-run", "--restart-pending"):
        harness.fails(vmcred("activate", "manifest.json", option), 2, "manifest", option)


harness.main()
