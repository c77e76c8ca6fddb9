# SPDX-License-Identifier: Apache-2.0
"""No partial state: whichever system call fails or is the last before a kill -9, the old or the new state is complete,
and a second run repairs."""
import os

import harness
from example import Example, Fleet
from faults import every_fault, fresh, strace
from harness import equal, expect, run, vmcred


def pair(example, where):
    """Both values of the store, which must decrypt."""
    values = []
    for name in ("one", "two"):
        result = example.get(name)
        if result.code != 0:
            raise AssertionError(f"after {where}: {result.err}")
        values.append(result.out)
    return tuple(values)


def test_regenerate_leaves_old_or_new_secrets(directory):
    """after every fault generate --regenerate leaves the old or the new secrets complete, and a second run repairs"""
    directory = directory / "store"
    directory.mkdir()
    old = pair(Example(directory), "the start")

    def check(copy, fault):
        example = Example.at(copy)
        new = pair(example, fault)
        fault.expect(new == old or (new[0] != old[0] and new[1] != old[1]), "a mixture of old and new")
        fault.expect(fault.code != 0 or new != old, "a success without new secrets")
        expect(example.generate("--regenerate", "--all"))
        left = [path.name for path in (copy / "vars/per-machine/m").iterdir()]
        equal(left, ["made"], f"what is left after {fault}")
        assert pair(example, fault) != new

    struck = every_fault(
        directory,
        lambda copy: [harness.VMCRED, "generate", "--config", copy / "vmcred.yaml", "--regenerate", "--all"],
        check,
        follow=True,
    )
    assert struck > 60, struck


def test_common_sync_leaves_complete_generators(directory):
    """if the disk fails during a common sync, each of many generators is complete or does not exist, and a second run repairs"""
    for number, fault in enumerate(["error=EIO:when=1", "signal=KILL:when=1", "error=EIO:when=2", "signal=KILL:when=2"]):
        store = directory / str(number)
        store.mkdir()
        fleet = Fleet(store, 200, "  g: {machines: ALL, files: {it: {}, more: {}}, kind: {it: uuid, more: uuid}}\n")
        result = strace(["-f", "-o", "/dev/null", "-e", "trace=syncfs", "-e", f"inject=syncfs:{fault}"],
                        [harness.VMCRED, "generate", "--config", fleet.config])  # fmt: skip
        assert result.code != 0, fault
        if "EIO" in fault:
            expect(result, 1, err="vmcred: syncing the store: Input/output error\n")
        made = [path.name for path in store.glob("vars/per-machine/*/g")]
        for name in ("it", "more"):
            equal(len(list(store.glob(f"vars/per-machine/*/g/{name}/secret"))), len(made), f"files after {fault}")
        # Reported files exist; existing files may not have been reported yet.
        assert len(result.out.splitlines()) <= len(made) < 200, fault
        expect(fleet.generate())
        equal(len(list(store.glob("vars/per-machine/*/g/more/secret"))), 200)
        equal([path.name for path in store.iterdir() if path.name.startswith(".")], [], f"what is left after {fault}")


def test_common_sync_of_readers_leaves_complete_secrets(directory):
    """if the disk fails while many secrets are re-encrypted, all stay readable, none without a link, and a second run ends it"""
    (directory / "store").mkdir()
    fleet = Fleet(directory / "store", 300, "  g: {machines: ALL, files: {it: {}, more: {}}, kind: {it: uuid, more: uuid}}\n")
    expect(fleet.generate())
    key = expect(vmcred("keygen", "--output", directory / "ada")).out.split()[-1]
    for call, fault in (
        *(("syncfs", f"error=EIO:when={number}") for number in range(1, 5)),
        *(("syncfs", f"signal=KILL:when={number}") for number in range(1, 5)),
        ("renameat", "signal=KILL:when=100"), ("symlinkat", "signal=KILL:when=100"), ("symlinkat", "error=EIO:when=100"),
    ):  # fmt: skip
        store = Fleet.at(fresh(fleet.directory, directory / "copy"))
        words = ["--config", store.config, "--identity", store.identity]
        add = [harness.VMCRED, "user", "add", "ada", "--age-key", key, *words]
        result = strace(["-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{fault}"], add)
        assert result.code != 0, fault
        checked = vmcred("check", "--decrypt", *words)
        assert "decrypted 600 secrets\n" in checked.out, (call, fault, checked)
        for path in store.directory.glob("vars/per-machine/*/g/*/secret"):
            assert key not in path.read_text() or (path.parent / "users/ada").is_symlink(), (call, fault, path)
        if "EIO" in fault and call == "syncfs":
            equal((result.code, result.err.splitlines()[-1]), (1, "vmcred: syncing the store: Input/output error"))
        expect(run(*add))
        expect(vmcred("check", "--decrypt", *words), 0, "all 600 files are as declared\ndecrypted 600 secrets\n", "")
        equal([path.name for path in store.directory.iterdir() if path.name.startswith(".")], [], f"what is left after {fault}")


def test_activate_leaves_old_or_new_generation(directory):
    """after every fault activate leaves the old or the new value of each secret, and a second run repairs and lists its units"""
    directory = directory / "store"
    directory.mkdir()
    example = Example(directory)
    expect(example.activate())
    old = tuple(example.active(name).read_text() for name in ("one", "two"))
    expect(example.generate("--regenerate", "--all"))
    new = pair(example, "the start")

    def check(copy, fault):
        example = Example.at(copy)
        now = tuple(example.active(name).read_text() for name in ("one", "two"))
        fault.expect(all(value in both for value, both in zip(now, zip(old, new))), "neither the old nor the new value")
        fault.expect(fault.code != 0 or now == new, "a success without the new values")
        expect(example.activate())
        equal(tuple(example.active(name).read_text() for name in ("one", "two")), new, f"a second run after {fault}")
        left = sorted(path.name for path in (copy / "root/run/secrets.d").iterdir())
        equal(len(left), 1, f"generations after {fault}: {left}")
        equal(sorted(path.name for path in (copy / "root/run").iterdir()), ["secrets", "secrets.d", "vmcred"], f"after {fault}")
        equal(os.listdir(copy / "root/run/vmcred/activation"), ["services.json"], f"records after {fault}")
        equal(list(example.record()["pending"]), ["microvm@m.service"], f"pending units after {fault}")

    def command(copy):
        words = ["--config", copy / "vmcred.yaml", "--identity", copy / "identity", "--root", copy / "root"]
        return [harness.VMCRED, "activate", *words]

    struck = every_fault(directory, command, check)
    assert struck > 40, struck


harness.main()
