# SPDX-License-Identifier: Apache-2.0
"""The readers of secrets during a change: after every fault only the linked readers can decrypt each secret, or those who could
before; a removed member never comes back; and repeating the command has the result of an uninterrupted one. The real sops
decrypts the secrets."""
import functools
import json
import os
import shutil
from pathlib import Path

import harness
from faults import Fault, every_fault, fresh
from harness import equal, expect, need, run, test, vmcred

DECLARATION = """\
machines: {m: {}}
generators:
  own:
    machines: [m]
    files: {it: {}, kept: {deploy: false}}
    kind: {it: {hex: 8}, kept: {hex: 8}}
"""
GROUPED = "sops: {defaultGroups: [admins]}\n" + DECLARATION


@functools.lru_cache(maxsize=None)
def sops_decrypt(document, identity):
    """The value that the real sops decrypts, or None. Cached: most documents are read many times."""
    done = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary", "/dev/stdin",
               stdin=document, env={"SOPS_AGE_KEY_FILE": str(identity)})  # fmt: skip
    return done.out if done.code == 0 else None


def recipients(document):
    return {entry["recipient"] for entry in json.loads(document)["sops"]["age"]}


def names(directory):
    return sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []


class Store:
    """A store in `directory`; the users' identities are next to it."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.identities = self.directory.parent / "identities"

    @classmethod
    def make(cls, directory, declaration, users=("ada", "bob"), machines=("m",)):
        (directory / "identities").mkdir()
        (directory / "store").mkdir()
        store = cls(directory / "store")
        (store.directory / "vmcred.yaml").write_text(declaration)
        for person in ("ada", "bob", "eve"):
            expect(vmcred("keygen", "--output", store.identities / person))
        for user in users:
            expect(vmcred(*store.words("user", "add", user, "--age-key", store.key(user))))
        if "defaultGroups" in declaration:
            expect(vmcred(*store.words("group", "add", "admins", "--user", "ada")))
        for machine in machines:
            expect(vmcred(*store.words("machine", "add", machine)))
        return store

    def key(self, person):
        return run(need("age-keygen"), "-y", self.identities / person).out.strip()

    def words(self, command, *words, identity=None):
        more = ["--identity", self.identities / identity] if identity else []
        return [command, "--config", self.directory / "vmcred.yaml", *words, *more]

    def keys_of(self, kind, name):
        """The public keys of a machine, a user or all members of a group."""
        if kind == "groups":
            group = self.directory / "sops/groups" / name
            return {key for of in ("machines", "users") for member in names(group / of) for key in self.keys_of(of, member)}
        file = self.directory / "sops" / kind / name / "key.json"
        return {entry["publickey"] for entry in json.loads(file.read_text())} if file.exists() else set()

    def linked(self, document):
        kinds = ("machines", "users", "groups")
        return {key for kind in kinds for name in names(document.parent / kind) for key in self.keys_of(kind, name)}

    def documents(self):
        found = sorted(path for path in self.directory.rglob("secret") if path.is_file())
        return [path for path in found if not path.relative_to(self.directory).parts[0].startswith(".vmcred-new.")]

    def before(self, reader):
        """Each secret's value, and its readers, which it may keep for a while although the store has removed them."""
        found = {}
        for path in self.documents():
            text = path.read_text()
            found[str(path.relative_to(self.directory))] = sops_decrypt(text, self.identities / reader), recipients(text)
        return found

    def state(self, reader):
        """The whole store, with documents' readers and values instead of their bytes."""
        found = {}
        for path in sorted(self.directory.rglob("*")):
            name = str(path.relative_to(self.directory))
            if path.is_symlink():
                found[name] = os.readlink(path)
            elif path.is_dir():
                found[name] = None
            elif path.name == "secret":
                text = path.read_text()
                found[name] = sops_decrypt(text, self.identities / reader), recipients(text)
            else:
                found[name] = path.read_text()
        return found


def whole(store, reader, fault, before):
    """Each secret has its value, and no new readers without a link."""
    for path in store.documents():
        name = str(path.relative_to(store.directory))
        value = sops_decrypt(path.read_text(), store.identities / reader)
        fault.expect(value is not None, f"{reader} cannot open {name}")
        had, readers = before.get(name, (value, set()))
        fault.expect(had == value, f"{name} has another value")
        now = recipients(path.read_text())
        fault.expect(now <= store.linked(path) or now == readers, f"{name} can be decrypted by a reader without a link")


def removed_stays_removed(copied, removed, before, fault):
    """As long as the store has the path `removed`, whose owner had these keys, the owner has lost no secret, which `fix` would
    give back; afterwards `fix` takes all secrets away."""
    path, keys = removed
    if (copied.directory / path).is_symlink() or (copied.directory / path).exists():
        for document in copied.documents():
            name = str(document.relative_to(copied.directory))
            fault.expect(recipients(document.read_text()) == before[name][1], f"{name} is lost and would be given back")
        return
    fixed = Store(fresh(copied.directory, copied.directory.with_name("store-fixed")))
    result = vmcred(*fixed.words("fix", identity="ada"))
    fault.expect(result.code == 0, f"fix: {result}")
    for document in fixed.documents():
        fault.expect(not keys & recipients(document.read_text()), f"fix gives {document} back")
    shutil.rmtree(fixed.directory)


def change(sentence, words, declaration=DECLARATION, prepare=(), edit=None, reader="ada", done=(0, ""), least=25, removed=None, **options):
    """Runs the command `words` after the commands of `prepare` and `edit(store)`, with the store's `options`. `reader` can
    decrypt everything before and after. If the interrupted run had finished its work, the second one may end with the exit
    code of `done` and an error that begins like that one. `removed` is the path whose removal must last, and its owner, such as
    ("users", "bob")."""

    @test(sentence)
    def test_change(directory):
        store = Store.make(directory, declaration, **options)
        expect(vmcred(*store.words("generate")))
        for more in prepare:
            expect(vmcred(*store.words(*more(store), identity="ada")))
        if edit:
            edit(store)
        before = store.before(reader)
        lost = removed and (removed[0], store.keys_of(*removed[1]))

        def command(copy):
            copied = Store(copy)
            return [harness.VMCRED, *copied.words(*words(copied), identity=reader)]

        final = Store(fresh(store.directory, directory / "store-final"))
        expect(run(*command(final.directory)))
        expected = final.state(reader)
        assert expected != store.state(reader)
        whole(final, reader, Fault("nothing", 0, "", ""), before)
        shutil.rmtree(final.directory)

        def check(copy, fault):
            copied = Store(copy)
            whole(copied, reader, fault, before)
            checked = vmcred(*copied.words("check"))
            fault.expect(checked.code in (0, 3) and (checked.code == 0 or checked.out), f"check: {checked}")
            if lost:
                removed_stays_removed(copied, lost, before, fault)
            again = run(*command(copy))
            fault.expect(again.code == 0 or (again.code == done[0] and again.err.startswith(done[1])), f"the second run: {again}")
            equal(copied.state(reader), expected, f"the store when it was run again after {fault}")

        struck = every_fault(store.directory, command, check)
        assert struck >= least, struck


change(
    "a half-added user reads what is linked, and a second run adds the rest",
    lambda store: ("user", "add", "eve", "--age-key", store.key("eve")),
)
change(
    "a half-removed user never comes back: fix, or a second run, removes the rest",
    lambda _store: ("user", "remove", "bob"),
    removed=("sops/users/bob", ("users", "bob")),
    done=(3, "vmcred: no user bob: sops/users/bob does not exist"),
)
change(
    "a half-removed user of a group never comes back",
    lambda _store: ("user", "remove", "bob"),
    GROUPED,
    [lambda _store: ("group", "add", "admins", "--user", "bob")],
    removed=("sops/users/bob", ("users", "bob")),
    done=(3, "vmcred: no user bob: sops/users/bob does not exist"),
)
change(
    "a new member of a group reads only the group's secrets, and a second run adds the rest",
    lambda _store: ("group", "add", "admins", "--user", "bob"),
    GROUPED,
)
change(
    "a half-removed member of a group never comes back: fix, or a second run, removes the rest",
    lambda _store: ("group", "remove", "admins", "--user", "bob"),
    GROUPED,
    [lambda _store: ("group", "add", "admins", "--user", "bob")],
    removed=("sops/groups/admins/users/bob", ("users", "bob")),
    done=(3, "vmcred: the user bob is not in the group admins\n"),
)



def replace_key(store):
    """As after a merge: bob has another key, to which his secrets are not encrypted."""
    key = store.directory / "sops/users/bob/key.json"
    key.write_text(key.read_text().replace(store.key("bob"), store.key("eve")))


change("an interrupted fix has changed complete secrets only, and the next one fixes the rest",
       lambda _store: ("fix",), edit=replace_key)  # fmt: skip

SHARED = """\
machines: {m: {}, n: {}}
generators:
  all:
    share: true
    files: {it: {}}
    kind: {it: {hex: 8}}
"""


def undeclare(store):
    config = store.directory / "vmcred.yaml"
    config.write_text(config.read_text().replace("n: {}", ""))


change(
    "a half-removed machine never comes back, and a second run removes the rest",
    lambda _store: ("machine", "remove", "n"),
    SHARED,
    edit=undeclare,
    machines=("m", "n"),
    removed=("sops/machines/n", ("machines", "n")),
    done=(3, "vmcred: no machine n: sops/machines/n does not exist"),
    least=20,
)
change(
    "a half-pruned machine never comes back, and a second run removes the rest",
    lambda _store: ("prune", "--yes"),
    SHARED,
    edit=undeclare,
    machines=("m", "n"),
    removed=("sops/machines/n", ("machines", "n")),
    least=20,
)

harness.main()
