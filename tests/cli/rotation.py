# SPDX-License-Identifier: Apache-2.0
"""After a secret changed: the record of activations, and the units that wait for a restart."""
import json
import os
import shutil
import stat

import harness
from example import Example
from harness import equal, expect, run

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


harness.main()
