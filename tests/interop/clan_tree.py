# SPDX-License-Identifier: Apache-2.0
"""A store in clan's layout, created with sops, age and plain files, with leftovers as in a store that clan has used for
years. vmcred reads and changes it; after each command the real sops decrypts each document for its recipients only."""
import json
import os
import re
import shutil
import sys

import bech32
import harness
from example import without_recipients
from harness import equal, expect, need, run, succeeds, vmcred

DECLARATION = """\
sops: {defaultGroups: [admins]}
machines: {web: {}, db: {}, old: {}}
generators:
  token:
    machines: [web, db, old]
    files: {it: {}, kept: {deploy: false}, open: {secret: false}}
    kind: {it: {hex: 8}, kept: {hex: 8}, open: {hex: 4}}
  ca:
    share: true
    machines: [web, db]
    files: {key: {}}
    validation: {days: 30}
    kind: {key: {hex: 8}}
"""
# The SHA-256 of {"days":30}, the text that Nix makes of it.
HASH = "d13e5e9586bf6af38972308c0b062a8c644b1cba9c15d87e62d930a4dddf3c79"
PLUGIN = harness.SOURCE.resolve() / "tests/interop/age_plugin_test.py"

# Of clan's leftover in the group, and of secrets that clan has written and this user cannot read.
UNBOUND = r"(vmcred: warning: no longer declared: 1 path in the store \(sops/groups/admins/machines/gone\): run `vmcred prune`\n)?" r"(vmcred: warning: not bound to their names: \d+ of 14 files: .*\n)?"


class Tree:
    """Registers the users ada (two keys) and bob, the machines web, db and old, and the group admins with ada."""

    def __init__(self, directory):
        self.directory, self.root, self.keys, self.public = directory, directory / "store", directory / "keys", {}
        self.keys.mkdir()
        for name in ("ada", "ada-token", "bob", "eve", "web", "web-2", "db", "old", "old-2"):
            expect(run(need("age-keygen"), "-o", self.keys / name))
            self.public[name] = run("age-keygen", "-y", self.keys / name).out.strip()
        self.write("vmcred.yaml", DECLARATION)
        self.register("users/ada", "ada", "ada-token")
        self.register("users/bob", "bob")
        self.register("machines/web", "web")
        self.register("machines/db", "db")
        # As early versions of clan wrote it: one key instead of a list.
        self.write("sops/machines/old/key.json", json.dumps({"publickey": self.public["old"], "type": "age"}))
        self.link("sops/groups/admins/users/ada", "../../../users/ada")
        # A removed machine, in a group and as a directory without readers.
        self.link("sops/groups/admins/machines/gone", "../../../machines/gone")
        (self.root / "sops/groups/empty/users").mkdir(parents=True)
        for name in ("sops/users/.gitkeep", "vars/.gitkeep", "vars/per-machine/web/token/.DS_Store"):
            self.write(name, "")
        self.values = {}
        for machine in ("web", "db", "old"):
            up = "../../../../../../sops"
            base = f"vars/per-machine/{machine}/token"
            self.secret(f"{base}/it", f"{machine}'s token\n", [machine], up)
            self.secret(f"{base}/kept", f"\0{machine}\xff", [], up)
            self.write(f"{base}/open/value", f"{machine}, open\n")
            key = (self.keys / machine).read_text().splitlines()[-1]
            self.secret(f"sops/secrets/{machine}-age.key", key, [], "../../..")
        self.secret("vars/shared/ca/key", "", ["db", "web"], "../../../../../sops")
        self.write("vars/shared/ca/.validation-hash", HASH)
        # What no generator makes: `clan secrets set` gives it to whomever a person names.
        self.secret("sops/secrets/extra", "extra", ["web"], "../../..", groups=[], users=["bob"])

    def __call__(self, command, *words, who="ada", **options):
        return without_recipients(vmcred(command, *words, cwd=self.root, env={"SOPS_AGE_KEY_FILE": str(self.keys / who)}, **options))

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def register(self, who, *names):
        keys = [{"publickey": key, "type": "age"} for key in sorted(self.public.get(name, name) for name in names)]
        self.write(f"sops/{who}/key.json", json.dumps(keys, indent=2))

    def link(self, name, target):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def secret(self, name, value, machines, up, groups=("admins",), users=()):
        """Writes a document for the readers, with their links."""
        links = [("machines", who) for who in machines] + [("groups", who) for who in groups] + [("users", who) for who in users]
        for kind, who in links:
            self.link(f"{name}/{kind}/{who}", f"{up}/{kind}/{who}")
        self.seal(name, value, self.wanted(name))

    def seal(self, name, value, people):
        path = self.root / name / "secret"
        path.write_bytes(value.encode("latin-1"))
        recipients = ",".join(self.public[who] for who in people)
        words = ["--input-type", "binary", "--output-type", "json", "--age", recipients]
        expect(run(need("sops"), "encrypt", *words, "--in-place", path))
        self.values[name] = value

    # What the links say, and what sops finds.

    def wanted(self, name):
        """The keys of a secret's readers; removed ones have none."""
        directories = [path.resolve() for kind in ("machines", "users", "groups") for path in (self.root / name / kind).glob("*")]
        for group in [directory for directory in directories if directory.parent.name == "groups"]:
            directories += [path.resolve() for kind in ("machines", "users") for path in (group / kind).glob("*")]
        keys = {key for directory in directories if (directory / "key.json").exists() for key in self.keys_of(directory)}
        return sorted(name for name, key in self.public.items() if key in keys)

    @staticmethod
    def keys_of(directory):
        keys = json.loads((directory / "key.json").read_text())
        return [key["publickey"] for key in (keys if isinstance(keys, list) else [keys])]

    def opens(self, name, who):
        done = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary", self.root / name / "secret",
                   env={"SOPS_AGE_KEY_FILE": str(self.keys / who)})  # fmt: skip
        return done.out if done.code == 0 else None

    def holds(self, *, links=True):
        """Each document decrypts to its value for its linked readers and nobody else."""
        documents = sorted(str(path.parent.relative_to(self.root)) for path in self.root.glob("**/secret") if path.is_file())
        equal(documents, sorted(self.values), "the documents that are there")
        for name in documents:
            readers = [who for who in self.public if self.opens(name, who) is not None]
            equal(sorted(readers), self.wanted(name), f"who reads {name}")
            value = self.values[name]
            if value is not None:
                equal(self.opens(name, readers[0]).encode("utf-8", "surrogateescape"), value.encode("latin-1"), name)
            if links:
                dangling = [path for path in (self.root / name).rglob("*") if path.is_symlink() and not path.exists()]
                equal(dangling, [], f"links of {name} that lead nowhere")

    def is_fine(self):
        self.holds()
        before = self.snapshot()
        fixed = expect(self("fix"), 0, None, "").out
        if fixed.startswith("nothing to do"):
            equal(self.snapshot(), before, "the store after a fix that had nothing to do")
        else:
            # What clan has written is bound to its name, as far as this user can read it.
            equal(set(re.findall(": (.*)\n", fixed)), {"bound to its name"}, fixed)
            self.holds()
        before = self.snapshot()
        assert re.fullmatch(UNBOUND, expect(self("check")).err), "the check's warnings"
        succeeds(self("fix"), "nothing to do")
        succeeds(self("generate"), "nothing to do")
        equal(self.snapshot(), before, "the store after verbs that have nothing to do")

    def snapshot(self):
        found = {}
        for path in self.root.rglob("*"):
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(self.root))] = content
        return found


def test_old_store_of_clan_is_read(directory):
    """an old store of clan is as declared, and each value is read"""
    tree = Tree(directory)
    tree.is_fine()
    for machine in ("web", "db", "old"):
        expect(tree("get", machine, "token/it"), 0, f"{machine}'s token\n", "")
        expect(tree("get", machine, "token/it", who=machine), 0, f"{machine}'s token\n", "")
        kept = tree("get", machine, "token/kept", who="ada-token").out.encode("utf-8", "surrogateescape")
        equal(kept, f"\0{machine}\xff".encode("latin-1"))
        expect(tree("get", machine, "token/kept", who=machine), 3, "")
        expect(tree("get", machine, "token/open"), 0, f"{machine}, open\n", "")
    expect(tree("user", "list"), 0, "ada\nbob\n", "")
    expect(tree("machine", "list"), 0, "db\nold\nweb\n", "")


def test_sops_decrypts_after_each_command(directory):
    """after each command sops decrypts each document for its linked readers and nobody else"""
    tree = Tree(directory)
    steps = [
        (["set", "web", "token/it"], {"stdin": "new"}, {"vars/per-machine/web/token/it": "new"}),
        (["set", "db", "ca/key", "--allow-empty"], {}, {}),
        (["generate", "web", "--generator", "token", "--regenerate"], {},
         {"vars/per-machine/web/token/it": None, "vars/per-machine/web/token/kept": None}),
        (["user", "add", "eve", "--age-key", tree.public["eve"]], {}, {}),
        (["group", "add", "admins", "--user", "bob"], {}, {}),
        (["group", "add", "admins", "--machine", "old"], {"who": "bob"}, {}),
        (["user", "remove", "ada"], {"who": "bob"}, {}),
        (["machine", "add", "old", "--age-key", tree.public["old-2"], "--force"], {"who": "bob"}, {}),
        (["machine", "add", "web", "--age-key", tree.public["web-2"], "--force"], {"who": "bob"}, {}),
        (["group", "remove", "admins", "--machine", "old"], {"who": "bob"}, {}),
        (["fix"], {"who": "bob"}, {}),
    ]  # fmt: skip
    for words, options, values in steps:
        expect(tree(*words, **options), 0, None, "")
        tree.values |= values
        try:
            tree.is_fine()
        except AssertionError as error:
            raise AssertionError(f"after {' '.join(words)}") from error


def test_fix_follows_links_made_by_hand(directory):
    """fix encrypts to users and groups that were linked by hand, and removes machines"""
    tree = Tree(directory)
    base, up = "vars/per-machine/web/token/it", "../../../../../../sops"
    tree.link("sops/groups/ops/users/bob", "../../../users/bob")
    tree.link(f"{base}/users/bob", f"{up}/users/bob")
    tree.link(f"{base}/groups/ops", f"{up}/groups/ops")
    tree.link(f"{base}/machines/db", f"{up}/machines/db")
    expect(tree("check"), 3, "web token/it does not have its declared recipients (1 recipient to add, 0 to remove)\n")
    assert "web token/it: 1 recipient to add, 0 to remove; bound to its name\n" in expect(tree("fix"), 0, None, "").out
    equal(sorted(path.name for path in (tree.root / base / "machines").iterdir()), ["web"])
    equal(tree.wanted(base), ["ada", "ada-token", "bob", "web"])
    tree.is_fine()


def test_secrets_without_a_generator_follow_links(directory):
    """secrets without a generator follow their links as members are added and removed"""
    tree, name = Tree(directory), "sops/secrets/extra"
    tree.link(f"{name}/groups/admins", "../../../groups/admins")
    tree.link(f"{name}/machines/old", "../../../machines/old")
    expect(tree("check"), 3, "sops/secrets/extra does not have its declared recipients (3 recipients to add, 0 to remove)\n")
    result = expect(tree("check", "--json"), 3)
    equal([(entry["machine"], entry["generator"], entry["file"]) for entry in json.loads(result.out)
           if entry["fault"] == "readers"], [(None, None, "extra")])
    # Somebody else has the secret so far.
    expect(tree("fix"), 1, None)
    expect(tree("fix", who="bob"), 0, "sops/secrets/extra: 3 recipients to add, 0 to remove; bound to its name\n", "")
    equal(tree.wanted(name), ["ada", "ada-token", "bob", "old", "web"])
    tree.is_fine()
    expect(tree("user", "remove", "bob"), 0,
           "sops/users/bob: to remove\nsops/secrets/extra: 0 recipients to add, 1 to remove\n", "")  # fmt: skip
    equal(tree.wanted(name), ["ada", "ada-token", "old", "web"])
    tree.is_fine()
    expect(tree("machine", "add", "old", "--age-key", tree.public["eve"], "--force"))
    equal(tree.wanted(name), ["ada", "ada-token", "eve", "web"])
    tree.is_fine()


def test_a_link_may_lead_to_its_member_by_another_path(directory):
    """a link may lead to its member by another path"""
    tree = Tree(directory)
    for base, target in (("vars/per-machine/web/token/it", tree.root / "sops/machines/web"),
                         ("vars/per-machine/db/token/it", "../../../../../../vars/../sops/machines/db")):  # fmt: skip
        machine = base.split("/")[2]
        (tree.root / base / "machines" / machine).unlink()
        tree.link(f"{base}/machines/{machine}", target)
    tree.is_fine()


def test_fields_of_older_versions_of_sops_are_read_and_kept(directory):
    """fields of older versions of sops are read and kept"""
    tree = Tree(directory)
    path = tree.root / "vars/per-machine/web/token/it/secret"
    document = json.loads(path.read_text())
    document["sops"] = {"kms": None, "gcp_kms": None, "azure_kv": None, "hc_vault": None} | document["sops"]
    document["sops"] |= {"pgp": None, "unencrypted_suffix": "_unencrypted", "version": "3.8.1"}
    path.write_text(json.dumps(document, indent="\t"))
    tree.is_fine()
    expect(tree("get", "web", "token/it"), 0, "web's token\n", "")
    expect(tree("group", "add", "admins", "--user", "bob"), 0, None, "")
    tree.is_fine()


def test_user_with_a_plugin_key_is_a_recipient(directory):
    """a user with the key of an age plugin is among the recipients"""
    tree = Tree(directory)
    programs = directory / "programs"
    programs.mkdir()
    harness.write_program(programs / "age-plugin-test", f'#!/bin/sh\nexec {sys.executable} {PLUGIN} "$@"\n')
    recipient = bech32.encode("age1test", b"plain")
    tree.register("users/tom", recipient)
    tree.link("sops/groups/admins/users/tom", "../../../users/tom")
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "SOPS_AGE_KEY_FILE": str(tree.keys / "ada")}
    expect(vmcred("fix", cwd=tree.root, env=environment), 0, None, "")
    assert re.fullmatch(UNBOUND, expect(vmcred("check", cwd=tree.root, env=environment)).err)
    (tree.keys / "tom").write_text(bech32.encode("age-plugin-test-", b"plain").upper() + "\n")
    for name in tree.values.keys() - {"sops/secrets/extra"}:
        recipients = [entry["recipient"] for entry in json.loads((tree.root / name / "secret").read_text())["sops"]["age"]]
        assert recipient in recipients, name
    done = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary",
               tree.root / "vars/per-machine/web/token/it/secret",
               env=environment | {"SOPS_AGE_KEY_FILE": str(tree.keys / "tom")})  # fmt: skip
    expect(done, 0, "web's token\n", "")


def test_stray_files_are_no_obstacle(directory):
    """an incomplete secret, an empty directory of links and a stray file do not stop any command"""
    tree = Tree(directory)
    # clan creates links before it encrypts: these are its leftovers if that fails.
    tree.link("sops/secrets/failed/users/bob", "../../../users/bob")
    (tree.root / "vars/per-machine/web/token/it/users").mkdir()
    tree.write("vars/per-machine/web/token/README.md", "somebody's notes")
    tree.write("sops/secrets/README.md", "somebody's notes")
    tree.write("vars/per-export/a:b:c:d/exported/it/value", "clan's")
    shutil.rmtree(tree.root / "vars/per-machine/db/token/open")
    expect(tree("check"), 3, "db token/open is missing\n")
    (tree.root / "vars/per-machine/db/token/open").mkdir()
    expect(tree("check"), 3, "db token/open is missing\n")
    expect(tree("set", "db", "token/open", stdin="again"), 0, "", "")
    tree.is_fine()


if __name__ == "__main__":
    harness.main()
