# SPDX-License-Identifier: Apache-2.0
"""--dry-run of the commands that change recipients: what it prints is what the command does, and it writes nothing."""
import json
import shutil

import harness
from example import unchanged, without_recipients
from harness import equal, expect, need, run, vmcred

DECLARATION = """\
sops: {defaultGroups: [admins]}
machines: {m: {}}
generators:
  own:
    machines: [m]
    files: {it: {}, kept: {deploy: false}}
    kind: {it: {hex: 8}, kept: {hex: 8}}
  shared:
    share: true
    files: {it: {}}
    kind: {it: {hex: 8}}
"""


class Store:
    """ada and bob are in the default group, cyd is only a user, n is a machine that is no longer declared."""

    def __init__(self, directory):
        self.directory, self.root, self.keys = directory, directory / "store", {}
        self.root.mkdir()
        config = self.root / "vmcred.yaml"
        config.write_text(DECLARATION.replace("sops: {defaultGroups: [admins]}\n", "").replace("{m: {}}", "{m: {}, n: {}}"))
        for name in ("ada", "bob", "cyd", "eve"):
            expect(run(need("age-keygen"), "-o", directory / name))
            self.keys[name] = run("age-keygen", "-y", directory / name).out.strip()
        for name in ("ada", "bob", "cyd"):
            expect(self("user", "add", name, "--age-key", self.keys[name]))
        for name in ("ada", "bob"):
            expect(self("group", "add", "admins", "--user", name))
        for name in ("m", "n"):
            expect(self("machine", "add", name))
        expect(self("generate"))
        config.write_text(DECLARATION)
        # Only the group reads the secrets, as if it had been there from the start.
        for link in self.root.rglob("users/*"):
            if link.is_symlink() and "groups" not in link.parts:
                link.unlink()
        expect(self("fix", "--identity", directory / "ada"))

    def __call__(self, command, *words, root=None, **options):
        return vmcred(command, "--config", (root or self.root) / "vmcred.yaml", *words, **options)

    def compare(self, *words, who="ada", code=0):
        """The dry run's result; the command itself, on a copy, has the same exit code and changes what the dry run printed."""
        words = [*words, "--identity", self.directory / who]
        text = unchanged(self.root, lambda: self(*words, "--dry-run"))
        objects = unchanged(self.root, lambda: self(*words, "--dry-run", "--json"))
        copy = self.directory / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.root, copy, symlinks=True)
        done = self(*words, "--json", root=copy)
        equal((text.code, objects.code, done.code), (code, code, code), f"exit codes of {words}: {text} {done}")
        equal(text.err, objects.err)
        changes, made = (json.loads(result.out or "[]") for result in (objects, done))
        for change in made:
            for recipient in change.get("add", []):
                if recipient.startswith("machine m age1") and "--age-key" not in words:
                    change["add"] = [entry if entry != recipient else "machine m (new key)" for entry in change["add"]]
                    change["detail"] = change["detail"].replace(recipient, "machine m (new key)")
        equal(changes, made, f"what {words} does")
        for change in changes:
            if code == 0:
                equal((copy / change["path"]).exists(), change["change"] != "remove", change["path"])
        different = {path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()
                     and (not (copy / path.relative_to(self.root)).exists()
                          or path.read_bytes() != (copy / path.relative_to(self.root)).read_bytes())}  # fmt: skip
        named = [change["path"] for change in changes]
        for path in different:
            assert any(str(path) == name or str(path).startswith(f"{name}/") for name in named), f"{words} changes {path}"
        return text, changes


def test_dry_run_prints_what_is_changed(directory):
    """a dry run of user, machine and group prints each path and each recipient by name, and writes nothing"""
    store = Store(directory)
    text, changes = store.compare("user", "add", "eve", "--age-key", store.keys["eve"], "--group", "admins")
    equal(text.out.splitlines()[:3], [
        "sops/users/eve/key.json: to add",
        "sops/groups/admins/users/eve: to add",
        f"shared shared/it: 1 recipient to add, 0 to remove: + group admins {store.keys['eve']}",
    ])  # fmt: skip
    equal(changes[2], {
        "path": "vars/shared/shared/it/secret", "change": "encrypt", "machine": None, "generator": "shared", "file": "it",
        "detail": text.out.splitlines()[2].removeprefix("shared shared/it: "),
        "add": [f"group admins {store.keys['eve']}"], "remove": [],
    })  # fmt: skip
    text, _ = store.compare("user", "remove", "bob")
    equal(text.out.splitlines()[:3], [
        "sops/users/bob: to remove",
        "sops/groups/admins/users/bob: to remove",
        f"shared shared/it: 0 recipients to add, 1 to remove: - user bob {store.keys['bob']}",
    ])  # fmt: skip
    text, _ = store.compare("machine", "remove", "n")
    equal(text.out, "sops/machines/n: to remove\nsops/secrets/n-age.key: to remove\n")
    text, _ = store.compare("machine", "add", "m", "--force")
    old = json.loads((store.root / "sops/machines/m/key.json").read_text())[0]["publickey"]
    equal(text.out.splitlines()[:3], [
        "sops/secrets/m-age.key/secret: to add",
        "sops/machines/m/key.json: to add",
        f"shared shared/it: 1 recipient to add, 1 to remove: + machine m (new key), - machine m {old}",
    ])  # fmt: skip
    store.compare("machine", "add", "m", "--force", "--age-key", store.keys["eve"])
    text, _ = store.compare("group", "add", "admins", "--user", "cyd")
    equal(text.out.count(f"+ group admins {store.keys['cyd']}\n"), 5, text)
    text, _ = store.compare("group", "remove", "admins", "--user", "bob")
    equal(text.out.count(f"- user bob {store.keys['bob']}\n"), 5, text)


def test_dry_run_of_fix_prints_what_is_changed(directory):
    """a dry run of fix prints what fix would do, and writes nothing"""
    store = Store(directory)
    shutil.rmtree(store.root / "sops/users/bob")
    text, changes = store.compare("fix")
    equal(without_recipients(text).out.splitlines()[0], "shared shared/it: 0 recipients to add, 1 to remove")
    equal(sorted(change["path"] for change in changes),
          sorted(str(path.relative_to(store.root)) for path in store.root.rglob("secret") if path.is_file()))  # fmt: skip
    expect(store("fix", "--identity", directory / "ada"))
    text, changes = store.compare("fix")
    equal((text.out, changes), ("nothing to do: all secrets have their declared recipients\n", []))


def test_dry_run_of_generate_writes_nothing(directory):
    """a dry run of generate writes nothing"""
    store = Store(directory)
    expect(unchanged(store.root, lambda: store("generate", "m", "--regenerate", "--dry-run")), 0, None, "")


def test_dry_run_fails_as_the_command_does(directory):
    """a dry run ends with the exit code of the command"""
    store = Store(directory)
    refused = [
        (("user", "remove", "zoe"), "ada", 3),
        (("user", "add", "bob", "--age-key", store.keys["eve"]), "ada", 1),
        (("user", "add", "../x", "--age-key", store.keys["eve"]), "ada", 2),
        (("user", "add", "eve", "--age-key", "age1x"), "ada", 2),
        (("user", "add", "eve"), "ada", 2),
        (("user", "add", "eve", "--age-key", store.keys["eve"], "--group", "../x"), "ada", 2),
        (("user", "remove", "bob"), "eve", 1),
        (("user", "remove", "bob"), "missing", 3),
        (("machine", "remove", "m"), "ada", 2),
        (("machine", "add", "z"), "ada", 2),
        (("group", "add", "admins", "--user", "zoe"), "ada", 3),
        (("group", "remove", "admins", "--user", "cyd"), "ada", 3),
        (("group", "add", "admins", "--user", "cyd"), "eve", 1),
    ]
    for words, who, code in refused:
        store.compare(*words, who=who, code=code)
    expect(store("group", "remove", "admins", "--user", "bob", "--identity", directory / "ada"))
    store.compare("user", "remove", "ada", code=1)
    store.compare("group", "remove", "admins", "--user", "ada", code=1)


harness.main()
