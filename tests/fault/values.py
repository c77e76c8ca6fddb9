# SPDX-License-Identifier: Apache-2.0
"""After every fault a value is stored completely or not at all, and a second run completes the work: scripts with
dependencies, many machines at once, one value, machines' keys."""
import json
import os
from pathlib import Path

import harness
from example import Example
from faults import every_fault, fresh
from harness import equal, expect, need, run, test, vmcred

CHAIN = """\
machines: {m: {}}
generators:
  second:
    machines: [m]
    dependencies: [first]
    files: {it: {}, open: {secret: false}}
    script: |
      cat $in/first/it > $out/it
      echo second >> $out/it
      echo open > $out/open
  first:
    machines: [m]
    files: {it: {}}
    script: od -An -N8 -tx1 /dev/urandom > $out/it
"""


def names(directory):
    """Every name in the store, with links' targets, without the documents' content."""
    found = {str(path.relative_to(directory)): os.readlink(path) if path.is_symlink() else None
             for path in Path(directory).rglob("*")}  # fmt: skip
    return dict(sorted(found.items()))


def value(example, generator, file="it"):
    """The value, or None if it does not exist; anything else is a failure."""
    result = example.get(file, generator=generator)
    assert result.code in (0, 3), result
    return result.out if result.code == 0 else None


def copied(example, directory):
    """A copy for an undisturbed run."""
    return Example.at(fresh(example.directory, directory / "store-undisturbed"))


def scripts(sentence, *more, follow):
    @test(sentence)
    def test_script(directory):
        (directory / "store").mkdir()
        example = Example(directory / "store", CHAIN, generate=False)
        (example.directory / "run").mkdir(mode=0o700)

        def words(copy):
            environment = ["env", f"XDG_RUNTIME_DIR={copy}/run"]
            command = [harness.VMCRED, "generate", "--config", copy / "vmcred.yaml", "--identity", copy / "identity"]
            return [*environment, *command, *more]

        undisturbed = copied(example, directory)
        expect(run(*words(undisturbed.directory)))
        expected = names(undisturbed.directory)
        assert not list((undisturbed.directory / "run/vmcred").glob("*")), expected

        def check(copy, fault):
            here = Example.at(copy)
            first, second = value(here, "first"), value(here, "second")
            fault.expect(second in (None, f"{first}second\n"), "the second generator's file is not made from the first's")
            fault.expect((value(here, "second", "open") is None) == (second is None), "half of a generator")
            fault.expect(fault.code != 0 or second, "a success without a secret")
            checked = vmcred("check", "--config", here.config)
            equal(checked.code, 0 if second else 3, f"check after {fault}: {checked}")
            again = run(*words(copy))
            fault.expect(again.code == 0, f"the second run: {again}")
            fault.expect(first in (None, value(here, "first")), "the second run replaced what was finished")
            equal(value(here, "second"), f"{value(here, 'first')}second\n", f"the second run after {fault}")
            equal(names(copy), expected, f"the store after a second run after {fault}")

        struck = every_fault(example.directory, words, check, errors=["ENOSPC"], follow=follow, anywhere=True)
        assert struck >= 50, struck


scripts("after every fault in vmcred and its sandbox a script's generator is complete or does not exist", follow=True)
scripts("also without a sandbox, and a second run wipes the script's files of a killed one", "--no-sandbox", follow=False)  # fmt: skip

SINGLE = """\
machines: {m: {}}
generators:
  made:
    machines: [m]
    files: {it: {}, open: {secret: false}}
    kind: {it: {hex: 8}, open: {hex: 8}}
"""


def setting(sentence, file, prepare, least):
    """Sets a file's value, in an example whose store `prepare` fills."""

    @test(sentence)
    def test_setting(directory):
        (directory / "store").mkdir()
        example = Example(directory / "store", SINGLE, generate=False)
        prepare(example)
        (example.directory / "new").write_text("new")
        old = value(example, "made", file)

        def words(copy):
            return [harness.VMCRED, "set", "--config", copy / "vmcred.yaml", "m", f"made/{file}", "--file", copy / "new"]

        undisturbed = copied(example, directory)
        expect(run(*words(undisturbed.directory)), 0, "", "")
        expected = names(undisturbed.directory)

        def check(copy, fault):
            here = Example.at(copy)
            now = value(here, "made", file)
            fault.expect(now in (old, "new"), f"{now!r}")
            fault.expect(fault.code != 0 or now == "new", "a success without the new value")
            fault.expect(vmcred("check", "--config", here.config).code in (0, 3), "check cannot say what is left")
            expect(run(*words(copy)), 0, "", "")
            equal(value(here, "made", file), "new", f"a second run after {fault}")
            equal(names(copy), expected, f"the store after a second run after {fault}")

        struck = every_fault(example.directory, words, check)
        assert struck >= least, struck


setting("after every fault a replaced value is the old or the new one", "it",
        lambda example: expect(example.generate()), 30)  # fmt: skip
setting("after every fault a new value is complete or does not exist", "it", lambda _example: None, 50)
setting("after every fault a replaced public value is the old or the new one", "open", lambda example: expect(example.generate()), 20)


def public_key(identity):
    return run(need("age-keygen"), "-y", identity).out.strip()


def registered(store):
    file = store / "sops/machines/m/key.json"
    return [entry["publickey"] for entry in json.loads(file.read_text())] if file.exists() else []


def test_machine_has_no_key_or_a_stored_one(directory):
    """after every fault a machine has no key, or one whose private half the users can decrypt"""
    store = directory / "store"
    store.mkdir()
    (store / "vmcred.yaml").write_text(SINGLE)
    expect(vmcred("keygen", "--output", directory / "ada"))
    expect(vmcred("user", "--config", store / "vmcred.yaml", "add", "ada", "--age-key", public_key(directory / "ada")))

    def words(copy):
        return [harness.VMCRED, "machine", "--config", copy / "vmcred.yaml", "add", "m"]

    def kept(copy):
        done = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary",
                   copy / "sops/secrets/m-age.key/secret", env={"SOPS_AGE_KEY_FILE": str(directory / "ada")})  # fmt: skip
        (directory / "kept").write_text(expect(done).out)
        return [public_key(directory / "kept")]

    undisturbed = fresh(store, directory / "store-undisturbed")
    expect(run(*words(undisturbed)), 0, "", "")
    expected = names(undisturbed)

    def check(copy, fault):
        fault.expect(registered(copy) == [] or registered(copy) == kept(copy), "a registered key without a private half")
        fault.expect(fault.code != 0 or registered(copy), "a success without a key")
        before = registered(copy)
        expect(run(*words(copy)), 0, "", "")
        equal(kept(copy), registered(copy), f"a second run after {fault}")
        fault.expect(before in ([], registered(copy)), "a second run made another key")
        equal(names(copy), expected, f"the store after a second run after {fault}")

    struck = every_fault(store, words, check)
    assert struck >= 50, struck


def test_keygen_leaves_no_incomplete_identity(directory):
    """after every fault keygen's identity file is complete or does not exist, and no other key is registered"""
    store = directory / "store"
    store.mkdir()
    (store / "vmcred.yaml").write_text(SINGLE)

    def words(copy, name="identity"):
        return [harness.VMCRED, "keygen", "--config", copy / "vmcred.yaml", "--machine", "m", "--output", copy / name]

    def check(copy, fault):
        there = [path for path in copy.iterdir() if path.name == "identity"]
        keys = registered(copy)
        fault.expect(not there or fault.code <= 0 or keys, "an identity that belongs to nothing")
        fault.expect(keys in ([], [public_key(path) for path in there]), "a key whose identity is nowhere")
        fault.expect(fault.code != 0 or keys, "a success without a key")
        # A file that a killed run left is the user's to look at: it may be the only copy of a key.
        (copy / "identity").unlink(missing_ok=True)
        expect(run(*words(copy, "again"), "--force"))
        equal(registered(copy), [public_key(copy / "again")], f"a second run after {fault}")
        left = sorted(path.name for path in copy.iterdir())
        equal(left, ["again", "sops", "vmcred.yaml"], f"what is left after {fault}")

    struck = every_fault(store, words, check)
    assert struck >= 30, struck


MANY = """\
machines: {%s}
generators:
  made:
    machines: [%s]
    files: {one: {}, two: {}}
    kind: {one: {hex: 8}, two: {hex: 8}}
""" % (", ".join(f"m{number}: {{}}" for number in range(3)), ", ".join(f"m{number}" for number in range(3)))


def test_threads_leave_complete_generators(directory):
    """after every fault in several threads each generator is complete or does not exist"""
    store = directory / "store"
    store.mkdir()
    (store / "vmcred.yaml").write_text(MANY)
    identity = directory / "ada"
    expect(vmcred("keygen", "--output", identity))
    key = public_key(identity)
    expect(vmcred("user", "--config", store / "vmcred.yaml", "add", "ada", "--age-key", key))
    for number in range(3):
        expect(vmcred("machine", "--config", store / "vmcred.yaml", "add", f"m{number}", "--age-key", key))

    def words(copy):
        return [harness.VMCRED, "generate", "--config", copy / "vmcred.yaml"]

    undisturbed = fresh(store, directory / "store-undisturbed")
    expect(run(*words(undisturbed)))
    expected = names(undisturbed)

    def values(copy):
        found = {}
        for number in range(3):
            place = ["--config", copy / "vmcred.yaml", "--identity", identity, f"m{number}"]
            got = [vmcred("get", *place, f"made/{file}") for file in ("one", "two")]
            assert [result.code for result in got] in ([0, 0], [3, 3]), got
            if got[0].code == 0:
                found[number] = [result.out for result in got]
        return found

    def check(copy, fault):
        before = values(copy)
        fault.expect(fault.code != 0 or len(before) == 3, "a success without all secrets")
        expect(run(*words(copy)))
        after = values(copy)
        equal({number: after[number] for number in before}, before, f"what was finished before {fault}")
        equal(names(copy), expected, f"the store after a second run after {fault}")

    struck = every_fault(store, words, check, errors=["ENOSPC"], follow=True)
    assert struck >= 100, struck


harness.main()
