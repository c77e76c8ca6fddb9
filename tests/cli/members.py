# SPDX-License-Identifier: Apache-2.0
"""Recipients: machines, users and groups, and the re-encryption of secrets when they change. The real sops reads the
secrets after each step."""
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import harness
from example import Example, unchanged, without_recipients
from harness import VMCRED, equal, expect, fails, need, need_root, run, succeeds, vmcred

DECLARATION = """\
machines: {m: {}, n: {}}
generators:
  own:
    machines: [m, n]
    files: {it: {}, kept: {deploy: false}, open: {secret: false}}
    kind: {it: {hex: 8}, kept: {hex: 8}, open: {hex: 4}}
  shared:
    share: true
    files: {it: {}}
    kind: {it: {hex: 8}}
"""


class Store:
    """A store with the machine m, whose identity is in a file, the machine n, whose identity is in the store, and two users."""

    def __init__(self, directory, declaration=DECLARATION, users=("ada", "bob")):
        self.directory = directory
        self.example = Example(directory, declaration, generate=False)
        self.keys = {}
        for person in ("ada", "bob", "eve"):
            expect(run(need("age-keygen"), "-o", directory / person))
            self.keys[person] = run("age-keygen", "-y", directory / person).out.strip()
        for user in users:
            expect(self("user", "add", user, "--age-key", self.keys[user]), 0, "", "")
        if users:
            expect(self("machine", "add", "n"), 0, "", "")

    def __call__(self, command, *words, **options):
        return without_recipients(vmcred(command, "--config", self.directory / "vmcred.yaml", *words, **options))

    def documents(self):
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("secret") if path.is_file())

    def links(self, path):
        base = (self.directory / path).parent
        found = {}
        for kind in ("machines", "users", "groups"):
            if (base / kind).is_dir():
                found[kind] = sorted(entry.name for entry in (base / kind).iterdir())
                for entry in (base / kind).iterdir():
                    assert entry.is_symlink() and entry.resolve() == self.directory / "sops" / kind / entry.name, entry
        return found

    def readers(self, path):
        """The users and machines that the document names as recipients, and those whose keys sops decrypts it with."""
        recipients = [entry["recipient"] for entry in json.loads((self.directory / path).read_text())["sops"]["age"]]
        known = {key: name for name, key in self.keys.items()}
        for machine in (self.directory / "sops/machines").iterdir():
            known[json.loads((machine / "key.json").read_text())[0]["publickey"]] = machine.name
        readers = sorted(known[recipient] for recipient in recipients)
        for person in self.keys:
            done = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary", self.directory / path,
                       env={"SOPS_AGE_KEY_FILE": str(self.directory / person)})  # fmt: skip
            equal(done.code == 0, person in readers, f"{person} and {path}")
        return readers


SHARED, OWN_M, OWN_N = "vars/shared/shared/it/secret", "vars/per-machine/m/own/it/secret", "vars/per-machine/n/own/it/secret"
KEPT_M, KEY_N = "vars/per-machine/m/own/kept/secret", "sops/secrets/n-age.key/secret"


def test_new_secret_is_encrypted_to_machines_and_users(directory):
    """a new secret is encrypted to its machines and all users, with the same links as clan's"""
    store = Store(directory)
    expect(store("generate"))
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    equal(store.readers(OWN_N), ["ada", "bob", "n"])
    equal(store.readers(SHARED), ["ada", "bob", "m", "n"])
    equal(store.links(SHARED), {"machines": ["m", "n"], "users": ["ada", "bob"]})
    expect(store("check"), 0, "all 8 files are as declared\n", "")


def test_undeployed_secret_is_encrypted_to_users_only(directory):
    """a secret that is not deployed is encrypted to users only"""
    store = Store(directory)
    expect(store("generate"))
    equal(store.readers(KEPT_M), ["ada", "bob"])
    equal(store.links(KEPT_M), {"users": ["ada", "bob"]})


def test_undeployed_secret_without_users_is_not_written(directory):
    """without users, a secret that is not deployed has no recipients and is not written"""
    store = Store(directory, users=())
    expect(store("generate", "m"), 3, "")
    declaration = DECLARATION.replace("{m: {}, n: {}}", "{m: {}}").replace("[m, n]", "[m]")
    (directory / "vmcred.yaml").write_text(declaration)
    expect(store("generate"), 2, None,
           "vmcred: own/kept: no recipients: it is not deployed and there are no users: "
           "`vmcred user add NAME --age-key KEY` registers one\n")  # fmt: skip
    assert not (directory / "vars/per-machine").exists()


def test_machine_identity_in_the_store(directory):
    """a machine's identity in the store is encrypted to the users and decrypts the machine's secrets"""
    store = Store(directory)
    expect(store("generate"))
    equal(store.readers(KEY_N), ["ada", "bob"])
    key = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary", directory / KEY_N,
              env={"SOPS_AGE_KEY_FILE": str(directory / "ada")}).out  # fmt: skip
    (directory / "n.key").write_text(key)
    (directory / "n.key").chmod(0o600)
    expect(store("get", "--identity", directory / "n.key", "n", "own/it"), 0)
    expect(store("get", "--identity", directory / "n.key", "m", "own/it"), 3)
    # The second run changes nothing.
    before = (directory / KEY_N).read_bytes()
    expect(store("machine", "add", "n", "--identity", directory / "ada"), 0, "", "")
    equal((directory / KEY_N).read_bytes(), before)


def test_many_machines_are_added_at_once(directory):
    """machine add takes many names, each gets a key of its own and what it may read; with one wrong name, none is added"""
    store = Store(directory, DECLARATION.replace("n: {}", "n: {}, o: {}, p: {}").replace("[m, n]", "[m, n, o, p]"))
    documents = store.documents()
    fails(store("machine", "add", "o", "p", "x"), 2, '"x"')
    fails(store("machine", "add", "o", "p", "o"), 2, "o", "twice")
    fails(store("machine", "add", "o", "p", "--age-key", store.keys["eve"]), 2, "one name")
    fails(store("machine", "remove", "o", "p"), 2, "one name")
    equal("adam" in fails(store("user", "add", "eve", "adam", "--age-key", store.keys["eve"]), 2, "one name").err, False)
    equal(store.documents(), documents, "the documents after errors")
    expect(store("machine", "add", "o", "p", env={"SOPS_AGE_KEY_FILE": str(directory / "ada")}))
    keys = [json.loads((directory / f"sops/machines/{name}/key.json").read_text())[0]["publickey"] for name in "nop"]
    equal(len(set(keys)), 3, "different keys")
    expect(store("generate"), 0)
    for name in "op":
        identity = expect(run(need("sops"), "decrypt", directory / f"sops/secrets/{name}-age.key/secret",
                              env={"SOPS_AGE_KEY_FILE": str(directory / "ada")})).out
        (directory / f"identity-{name}").write_text(identity)
        (directory / f"identity-{name}").chmod(0o600)
        expect(store("get", name, "own/it", "--identity", directory / f"identity-{name}"))
        fails(store("get", "m", "own/it", "--identity", directory / f"identity-{name}"), 3, "m/own/it")


def test_added_user_decrypts_all_secrets(directory):
    """a user who is added later can decrypt all secrets, and the values stay the same"""
    store = Store(directory)
    expect(store("generate"))
    values = {path: json.loads((directory / path).read_text())["data"] for path in store.documents()}
    result = expect(store("user", "add", "eve", "--age-key", store.keys["eve"], "--identity", directory / "ada"), 0, None, "")
    equal(len(result.out.splitlines()), len(values))
    equal(result.out.splitlines()[0], "shared shared/it: 1 recipient to add, 0 to remove")
    for path, value in values.items():
        assert "eve" in store.readers(path), path
        # The ciphertext of the values is the same: only the data key is encrypted to one more recipient.
        equal(json.loads((directory / path).read_text())["data"], value)
    succeeds(store("check"), "all 8 files")


def test_removed_user_decrypts_nothing(directory):
    """a removed user can decrypt nothing and is in no group or link"""
    store = Store(directory)
    expect(store("generate"))
    expect(store("group", "add", "ops", "--user", "bob", "--identity", directory / "ada"), 0, "", "")
    expect(store("user", "remove", "bob", "--identity", directory / "ada"), 0, None, "")
    for path in store.documents():
        assert "bob" not in store.readers(path), path
    equal(sorted(path.name for path in (directory / "sops/users").iterdir()), ["ada"])
    equal([path for path in directory.rglob("bob") if path.is_symlink()], [])
    assert not (directory / "sops/groups/ops").exists()
    expect(store("user", "list"), 0, "ada\n", "")
    expect(store("user", "remove", "bob"), 3, "", "vmcred: no user bob: sops/users/bob does not exist: known names: ada\n")


def test_last_reader_cannot_be_removed(directory):
    """the last user who reads a secret cannot be removed, and nothing changes; the error names the secrets"""
    store = Store(directory, users=("ada",))
    expect(store("generate"))
    words = ("user", "remove", "ada", "--identity", directory / "ada")
    expect(unchanged(directory / "vars", lambda: store(*words)), 1, "",
           "vmcred: removing the user ada: no user could read 6 secrets: vars/shared/shared/it/secret, "
           "vars/per-machine/m/own/it/secret, vars/per-machine/m/own/kept/secret and 3 more: "
           "give another user access first: `vmcred user add` or `vmcred group add`\n")  # fmt: skip
    assert (directory / "sops/users/ada/key.json").exists()
    equal(store.readers(KEPT_M), ["ada"])
    # Without secrets nobody loses anything.
    for name in ("vars", "sops/secrets"):
        shutil.rmtree(directory / name)
    expect(store("user", "remove", "ada"), 0, "sops/users/ada: to remove\n", "")


def test_last_user_of_a_group_cannot_be_removed(directory):
    """the last user of a group cannot be removed from it if the group reads secrets, nor its last member if it is a default group"""
    (directory / "vmcred.yaml").write_text(DECLARATION)
    store = Store(directory)
    expect(store("group", "add", "admins", "--user", "ada"), 0, "", "")
    (directory / "vmcred.yaml").write_text(GROUPED)
    shutil.rmtree(directory / "sops/secrets")
    remove = ("group", "remove", "admins", "--user", "ada", "--identity", directory / "ada")
    for words in (remove, ("user", "remove", "ada", "--identity", directory / "ada")):
        fails(unchanged(directory / "sops", lambda words=words: store(*words)), 1, "admins", "vmcred.yaml", "vmcred group add admins")
    expect(store("group", "add", "admins", "--machine", "n"), 0, "", "")
    expect(store("generate"))
    fails(unchanged(directory / "vars", lambda: store(*remove)), 1, "removing the user ada from the group admins", "5 secrets", SHARED)
    expect(store("group", "add", "admins", "--user", "bob", "--identity", directory / "ada"), 0, None, "")
    expect(store(*remove), 0, None, "")
    equal(store.readers(OWN_M), ["bob", "m", "n"])


def test_fix_leaves_the_last_reader(directory):
    """fix does not take a secret from its last user either, such as after a bad merge"""
    store = Store(directory, users=("ada",))
    expect(store("generate"))
    shutil.rmtree(directory / "sops/users/ada")
    result = unchanged(directory / "vars", lambda: store("fix", "--identity", directory / "ada"))
    equal((result.code, result.out, len(result.err.splitlines())), (1, "", 7))
    assert "vmcred: warning: vars/per-machine/m/own/it/secret: no user could read it: " in result.err, result.err


def test_wrong_identity_changes_nothing(directory):
    """an identity that cannot open one of the secrets changes nothing"""
    store = Store(directory)
    expect(store("generate"))
    count = len(store.documents())
    result = unchanged(directory / "vars", lambda: store("user", "remove", "bob", "--identity", directory / "eve"))
    fails(result, 1, f"removing the user bob: {count} secrets", SHARED, OWN_M, f"and {count - 3} more")
    # One that ada cannot open, after many that she can.
    expect(run(need("sops"), "rotate", "-i", "--input-type", "json", "--rm-age", store.keys["ada"], "--add-age", store.keys["eve"],
               directory / OWN_N, env={"SOPS_AGE_KEY_FILE": str(directory / "ada")}))  # fmt: skip
    result = unchanged(directory / "vars", lambda: store("user", "remove", "bob", "--identity", directory / "ada"))
    fails(result, 1, "removing the user bob: 1 secret", OWN_N)
    assert (directory / "sops/users/bob").exists()
    # It does not prevent the removal of a user without access to it.
    expect(run(need("sops"), "rotate", "-i", "--input-type", "json", "--rm-age", store.keys["bob"], directory / OWN_N,
               env={"SOPS_AGE_KEY_FILE": str(directory / "bob")}))  # fmt: skip
    (directory / OWN_N).with_name("users").joinpath("bob").unlink()
    result = expect(store("user", "remove", "bob", "--identity", directory / "ada"), 0, None, "")
    assert "n own/it" not in result.out, result.out
    assert "bob" not in store.readers(SHARED)


def test_replaced_key_is_lost_only_if_all_secrets_follow(directory):
    """--force replaces a key only if all secrets that the old one opens can be re-encrypted"""
    store = Store(directory)
    expect(store("generate"))
    for words in (("machine", "add", "n", "--force"), ("user", "add", "bob", "--force", "--age-key", store.keys["eve"])):
        for tree in (directory / "sops", directory / "vars"):
            result = unchanged(tree, lambda words=words: store(*words, "--identity", directory / "eve"))
            fails(result, 1, "re-encrypted", SHARED)
    expect(store("machine", "add", "n", "--force", "--identity", directory / "ada"), 0, None, "")
    equal(store.readers(OWN_N), ["ada", "bob", "n"])
    expect(store("user", "add", "bob", "--force", "--age-key", store.keys["eve"], "--identity", directory / "ada"), 0, None, "")
    equal(store.readers(OWN_M), ["ada", "eve", "m"])
    succeeds(store("check"), "all 8 files")


def test_duplicate_lists_of_recipients(directory):
    """check and fix go by the last of several lists of recipients in a document, as sops, jq and Python do"""
    store = Store(directory)
    expect(store("generate"))
    text = (directory / SHARED).read_text()
    recipients = json.dumps(json.loads(text)["sops"]["age"])
    with_eve = recipients.replace(store.keys["bob"], store.keys["eve"])
    differs = f"shared shared/it does not have its declared recipients (1 recipient to add, 1 to remove: + user bob {store.keys['bob']}, - {store.keys['eve']})\n"
    (directory / SHARED).write_text(text.replace('"lastmodified"', f'"age": {with_eve}, "lastmodified"'))
    equal(vmcred("check", "--config", directory / "vmcred.yaml").out, differs)
    (directory / SHARED).write_text(text.replace('"lastmodified"', f'"age": {with_eve}, "age": {recipients}, "lastmodified"'))
    succeeds(store("check"), "all 8 files")


def test_recipients_are_named(directory):
    """check and fix name the recipients that they add and remove; fix does so before it encrypts anything to them"""
    need_root()
    store = Store(directory, DECLARATION.replace("deploy: false", "deploy: true"))
    expect(store("generate"))
    config = ["--config", directory / "vmcred.yaml", "m"]
    # As somebody who can write to the repository, and has no key.
    (directory / "sops/users/bob/key.json").write_text(json.dumps([{"publickey": store.keys["eve"], "type": "age"}]))
    differs = f"1 recipient to add, 1 to remove: + user bob {store.keys['eve']}, - {store.keys['bob']}"
    result = vmcred("check", *config)
    equal((result.code, result.out.splitlines()[0]), (3, f"shared shared/it does not have its declared recipients ({differs})"))
    before = (directory / SHARED).read_bytes()
    read_fd, write_fd = os.pipe()
    os.write(write_fd, bytes(fcntl.fcntl(write_fd, fcntl.F_GETPIPE_SZ)))
    with subprocess.Popen([VMCRED, "fix", *config, "--identity", directory / "ada"], env=harness.CLEAN_ENVIRONMENT,
                          stdout=write_fd) as process, open(read_fd, encoding="ascii") as output:  # fmt: skip
        os.close(write_fd)
        # It waits in write(1, ...), because the pipe is full.
        while Path(f"/proc/{process.pid}/syscall").read_text().split()[:2] not in (["1", "0x1"], ["64", "0x1"]):
            assert process.poll() is None
        equal((directory / SHARED).read_bytes(), before)
        lines = output.read().lstrip("\0").splitlines()
    equal((process.returncode, lines[0]), (0, f"shared shared/it: {differs}"))
    equal(store.readers(SHARED), ["ada", "eve", "m", "n"])


def test_no_other_fault_hides_a_new_recipient(directory):
    """check names new recipients of a secret that is outdated, damaged or missing too: the next value is encrypted to them"""
    store = Store(directory, DECLARATION.replace("  own:\n", "  own:\n    validation: 1\n"))
    expect(store("generate"))
    # As somebody who can write to the repository, and has no key.
    (directory / "sops/users/bob/key.json").write_text(json.dumps([{"publickey": store.keys["eve"], "type": "age"}]))
    (directory / "vmcred.yaml").write_text((directory / "vmcred.yaml").read_text().replace("validation: 1", "validation: 2"))
    config = ["--config", directory / "vmcred.yaml", "m"]
    added = f"+ user bob {store.keys['eve']}"
    for state, spoil in (
        ("is outdated", lambda path: None),
        ("cannot be read", lambda path: path.write_text("{}")),
        ("is missing", lambda path: path.unlink()),
    ):
        spoil(directory / OWN_M)
        lines = [line for line in vmcred("check", *config).out.splitlines() if line.startswith(f"m own/it {state}")]
        equal([added in line for line in lines], [True], state)


GROUPED = "sops: {defaultGroups: [admins]}\n" + DECLARATION


def test_default_groups(directory):
    """with default groups, secrets are encrypted to the members and re-encrypted when they change"""
    (directory / "vmcred.yaml").write_text(DECLARATION)
    store = Store(directory)
    expect(store("group", "add", "admins", "--user", "ada"), 0, "", "")
    (directory / "vmcred.yaml").write_text(GROUPED)
    expect(store("generate"))
    equal(store.readers(OWN_M), ["ada", "m"])
    equal(store.links(OWN_M), {"machines": ["m"], "groups": ["admins"]})
    expect(store("group", "add", "admins", "--user", "bob", "--identity", directory / "ada"), 0, None, "")
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    expect(store("group", "add", "admins", "--machine", "n", "--identity", directory / "ada"), 0, None, "")
    equal(store.readers(OWN_M), ["ada", "bob", "m", "n"])
    expect(store("group", "list"), 0, "admins: machine n\nadmins: user ada\nadmins: user bob\n", "")
    equal(json.loads(store("group", "list", "--json").out), {"admins": {"machines": ["n"], "users": ["ada", "bob"]}})
    expect(store("group", "remove", "admins", "--user", "ada", "--identity", directory / "bob"), 0, None, "")
    equal(store.readers(OWN_M), ["bob", "m", "n"])
    expect(store("group", "remove", "admins", "--user", "ada"), 3, "", "vmcred: the user ada is not in the group admins\n")
    fails(store("group", "add", "admins", "--user", "zoe"), 3, "no user zoe")
    succeeds(store("check"), "all 8 files")


def test_removed_user_loses_secrets_of_groups(directory):
    """a removed user cannot decrypt the secrets of their former groups"""
    (directory / "vmcred.yaml").write_text(DECLARATION)
    store = Store(directory)
    for user in ("ada", "bob"):
        expect(store("group", "add", "admins", "--user", user, "--identity", directory / "ada"), 0, "", "")
    (directory / "vmcred.yaml").write_text(GROUPED)
    expect(store("generate"))
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    expect(store("user", "remove", "bob", "--identity", directory / "ada"), 0, None, "")
    for path in store.documents():
        assert "bob" not in store.readers(path), path
    succeeds(store("check"), "all 8 files")


def test_dangling_link_in_a_group_is_ignored(directory):
    """a group's dangling link to a removed machine is ignored"""
    (directory / "vmcred.yaml").write_text(DECLARATION)
    store = Store(directory)
    expect(store("group", "add", "admins", "--user", "ada"), 0, "", "")
    (directory / "vmcred.yaml").write_text(GROUPED)
    (directory / "sops/groups/admins/machines").mkdir()
    (directory / "sops/groups/admins/machines/gone").symlink_to("../../../machines/gone")
    expect(store("generate"))
    equal(store.readers(OWN_M), ["ada", "m"])
    expect(store("fix", "--identity", directory / "ada"), 0, "n's key: links only\n", "")
    expect(store("check"), 0, "all 8 files are as declared\n",
           "vmcred: warning: no longer declared: 1 path in the store (sops/groups/admins/machines/gone): run `vmcred prune`\n")  # fmt: skip


def test_missing_default_group_is_an_error(directory):
    """a missing default group is an error that says how to create it"""
    store = Store(directory, GROUPED, users=())
    expect(store("user", "add", "ada", "--age-key", store.keys["ada"]), 0, "", "")
    expect(store("generate", "m"), 3, "",
           "vmcred: shared/it: the machine n has no key: sops/machines/n/key.json does not exist: "
           "`vmcred machine add n` creates one\n")  # fmt: skip
    expect(store("machine", "add", "n"), 3, "",
           "vmcred: no group admins: `vmcred group add admins --user NAME` creates it\n")  # fmt: skip


def test_fix_corrects_a_link_with_a_wrong_target(directory):
    """check reports a link with the right name and a wrong target, and fix corrects it"""
    store = Store(directory)
    expect(store("generate"))
    fine = "all 8 files are as declared\n"
    base, shared = directory / "vars/per-machine/m/own/it", directory / "vars/shared/shared/it"

    def point(link, target):
        link.unlink()
        link.symlink_to(target)

    # Other links to the same directory are correct.
    point(base / "users/bob", directory / "sops/users/bob")
    point(shared / "users/bob", "../../../../../sops/machines/../users/bob")
    expect(store("check"), 0, fine, "")
    point(base / "users/bob", "../../../../../../sops/users/ada")
    point(base / "machines/m", "../../../../../../sops/machines/none")
    point(shared / "users/ada", directory / "ada")
    readers = "does not have its declared recipients (links only:"
    expect(store("check"), 3,
           f"shared shared/it {readers} users/ada leads elsewhere)\nm own/it {readers} machines/m leads elsewhere)\n",
           "vmcred: 2 of 8 files are not as declared: fix the first with `vmcred fix`\n")  # fmt: skip
    before = {path: (directory / path).read_bytes() for path in store.documents()}
    expect(store("fix"), 0,
           "shared shared/it: links only: users/ada leads elsewhere\nm own/it: links only: machines/m leads elsewhere\n", "")  # fmt: skip
    expect(store("check"), 0, fine, "")
    equal(store.links(OWN_M), {"machines": ["m"], "users": ["ada", "bob"]})
    equal(store.links(SHARED), {"machines": ["m", "n"], "users": ["ada", "bob"]})
    equal({path: (directory / path).read_bytes() for path in store.documents()}, before)


def test_check_reports_a_machine_without_a_key(directory):
    """check reports a machine without a key until it has one, also after fix"""
    store = Store(directory)
    expect(store("generate"))
    shutil.rmtree(directory / "sops/machines/n")
    missing = "the machine n has no key: sops/machines/n/key.json does not exist\n"
    readers = "does not have its declared recipients (0 recipients to add, 1 to remove)\n"
    expect(store("check"), 3, f"{missing}shared shared/it {readers}n own/it {readers}",
           "vmcred: 2 of 8 files are not as declared, and 1 machine has no key: fix the first with `vmcred machine add n`\n")  # fmt: skip
    expect(store("fix", "--identity", directory / "ada"))
    expect(store("check"), 3, missing, "vmcred: 1 machine has no key: fix the first with `vmcred machine add n`\n")
    listed = expect(store("check", "n", "--json"), 3, None, None)
    equal(json.loads(listed.out), [{"severity": "error", "machine": "n", "generator": None, "file": None, "fault": "no-key",
                                    "detail": None, "message": missing.strip()}])  # fmt: skip
    succeeds(store("check", "m"), "all 4 files")
    expect(store("machine", "add", "n", "--identity", directory / "ada"))
    succeeds(store("check"), "all 8 files")
    (directory / "sops/machines/n/key.json").unlink()
    equal(store("check").err.splitlines()[-1],
          "vmcred: the machine n has no key: sops/machines/n/key.json does not exist: "
          "`vmcred machine add n` creates one")  # fmt: skip
    # A machine without secrets needs no key.
    shutil.rmtree(directory / "sops/machines/n")
    (directory / "vmcred.yaml").write_text("machines: {m: {}, n: {}}\ngenerators: {own: {machines: [n], files: {kept: {deploy: false},"
                                        " open: {secret: false}}, kind: {kept: {hex: 8}, open: {hex: 4}}}}\n")  # fmt: skip
    succeeds(store("check", "n"), "all 3 files")


def given_to_bob(directory):
    """A store with the default group admins (ada), where a link also gives m's own/it to bob; and the directory of that link."""
    store = Store(directory)
    expect(store("group", "add", "admins", "--user", "ada"), 0, "", "")
    (directory / "vmcred.yaml").write_text(GROUPED)
    expect(store("generate"))
    users = directory / "vars/per-machine/m/own/it/users"
    users.mkdir()
    (users / "bob").symlink_to("../../../../../../sops/users/bob")
    return store, users


def test_user_link_to_a_secret_gives_access(directory):
    """a user with a link to a secret keeps access, and a dangling link gives none"""
    store, users = given_to_bob(directory)
    (users / "gone").symlink_to("../../../../../../sops/users/gone")
    expect(store("check"), 3,
           "m own/it does not have its declared recipients (1 recipient to add, 0 to remove)\n"
           "n's key does not have its declared recipients (links only)\n",
           "vmcred: 2 of 8 files are not as declared: fix the first with `vmcred fix`\n")  # fmt: skip
    expect(store("fix", "--identity", directory / "ada"), 0,
           "m own/it: 1 recipient to add, 0 to remove\nn's key: links only\n", "")  # fmt: skip
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    equal(store.links(OWN_M), {"machines": ["m"], "users": ["bob"], "groups": ["admins"]})
    expect(store("fix", "--identity", directory / "ada"), 0,
           "nothing to do: all secrets have their declared recipients\n", "")  # fmt: skip


def test_regenerated_secret_keeps_users_with_links(directory):
    """a regenerated secret is also encrypted to the users with links"""
    store, _ = given_to_bob(directory)
    expect(store("generate", "m", "--generator", "own", "--regenerate"), 0, "own for m: generated it, kept, open\n", "")
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    equal(store.links(OWN_M), {"machines": ["m"], "users": ["bob"], "groups": ["admins"]})
    equal(store.readers(KEPT_M), ["ada"])


def test_empty_default_groups_encrypt_to_the_creator(directory):
    """with an empty list of default groups, a secret is encrypted to its machines and its creator"""
    store = Store(directory, users=())
    for user in ("ada", "bob"):
        expect(store("user", "add", user, "--age-key", store.keys[user]), 0, "", "")
    (directory / "vmcred.yaml").write_text("sops: {defaultGroups: []}\n" + DECLARATION)
    stranger = ("vmcred: no user of the store has this identity's key: `defaultGroups: []` encrypts secrets to the user "
                "who creates them: `vmcred user add NAME --age-key KEY` registers one\n")  # fmt: skip
    expect(store("machine", "add", "n", "--identity", directory / "eve"), 2, "", stranger)
    expect(store("machine", "add", "n", "--identity", directory / "bob"), 0, "", "")
    equal(store.readers(KEY_N), ["bob"])
    expect(store("generate", "--identity", directory / "eve"), 2, "", stranger)
    expect(store("generate", "--identity", directory / "ada"))
    equal(store.readers(OWN_M), ["ada", "m"])
    equal(store.readers(KEPT_M), ["ada"])
    equal(store.links(SHARED), {"machines": ["m", "n"], "users": ["ada"]})
    succeeds(store("check"), "all 8 files")
    expect(store("set", "m", "own/it", "--identity", directory / "bob", stdin="by bob"), 0, "", "")
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    succeeds(store("fix"), "nothing to do")


def test_undeclared_machine_loses_shared_secrets(directory):
    """a machine that is removed from the declaration loses shared secrets"""
    store = Store(directory)
    expect(store("generate"))
    expect(store("machine", "remove", "n"), 2, "",
           f"vmcred: machine n is declared: remove it from {directory}/vmcred.yaml first\n")  # fmt: skip
    (directory / "vmcred.yaml").write_text(DECLARATION.replace("{m: {}, n: {}}", "{m: {}}").replace("[m, n]", "[m]"))
    expect(store("machine", "remove", "n", "--identity", directory / "ada"), 0,
           "sops/machines/n: to remove\nsops/secrets/n-age.key: to remove\nvars/per-machine/n: to remove\n"
           "shared shared/it: 0 recipients to add, 1 to remove\n", "")  # fmt: skip
    for name in ("sops/machines/n", "sops/secrets", "vars/per-machine/n"):
        equal((directory / name).exists(), name == "sops/secrets", name)
    equal(store.readers(SHARED), ["ada", "bob", "m"])
    expect(store("machine", "list"), 0, "m\n", "")


def test_check_exits_with_3(directory):
    """check reports missing, changed and expired secrets with exit code 3"""
    store = Store(directory)
    expect(store("generate"))
    (directory / "vars/per-machine/n/own/open/value").unlink()
    (directory / "vars/per-machine/n/own/kept/secret").unlink()
    expect(store("check"), 3, "n own/kept is missing (2 recipients to add, 0 to remove)\nn own/open is missing\n",
           "vmcred: 2 of 8 files are not as declared: fix the first with `vmcred generate`\n")  # fmt: skip
    succeeds(store("check", "m"), "all 4 files")
    result = expect(store("check", "--json"), 3)
    equal([(entry["machine"], entry["file"], entry["fault"]) for entry in json.loads(result.out)],
          [("n", "kept", "missing"), ("n", "open", "missing")])  # fmt: skip


def test_list_prints_all_declared_secrets(directory):
    """list prints all declared secrets"""
    store = Store(directory)
    expect(store("generate", "m"))
    expect(store("list"), 0,
           "SECRET               AGE      VALID UNTIL  VMS  READERS\n"
           "shared shared/it     today    -            -    machine m, machine n, user ada, user bob\n"
           "m own/it             today    -            -    machine m, user ada, user bob\n"
           "m own/kept           today    -            -    user ada, user bob\n"
           "m own/open (public)  -        -            -    -\n"
           "n own/it             missing  -            -    -\n"
           "n own/kept           missing  -            -    -\n"
           "n own/open (public)  missing  -            -    -\n", "")  # fmt: skip
    equal(len(json.loads(store("list", "--json", "m").out)), 4)
    expect(store("list", "x"), 2, "", f'vmcred: {directory}/vmcred.yaml declares no machine "x": known names: m, n\n')


def test_set_replaces_a_value_for_the_same_recipients(directory):
    """set replaces a value, with any bytes, for the same recipients"""
    store = Store(directory)
    expect(store("generate"))
    value = bytes(range(256))
    expect(store("set", "m", "own/it", stdin=value), 0, "", "")
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    got = store("get", "--identity", directory / "ada", "m", "own/it")
    equal(got.out.encode("utf-8", "surrogateescape"), value)
    fails(store("set", "m", "own/it"), 1, "empty", "--allow-empty")
    equal(store("get", "--identity", directory / "ada", "m", "own/it").out, got.out)
    expect(store("set", "m", "own/it", "--allow-empty"), 0, "", "")
    expect(store("get", "--identity", directory / "ada", "m", "own/it"), 0, "", "")
    (directory / "new").write_text("public")
    expect(store("set", "n", "own/open", "--file", directory / "new"), 0, "", "")
    equal((directory / "vars/per-machine/n/own/open/value").read_text(), "public")
    succeeds(store("check"), "all 8 files")
    expect(store("set", "m", "own/ti"), 2, "", f'vmcred: {directory}/vmcred.yaml does not declare the secret "own/ti": did you mean "own/it"?\n')
    expect(store("set", "m", "own/it", stdin=b"x" * (1024 * 1024 + 1)), 1, "",
           "vmcred: standard input is larger than 1048576 bytes\n")  # fmt: skip


def test_keys_are_registered_from_files(directory):
    """--age-key accepts a file: an SSH public key, without its comment, or age's keys, one a line"""
    store = Store(directory, users=())
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "ada at home", "-f", directory / "ssh"))
    ssh = (directory / "ssh.pub").read_text()
    (directory / "keys").write_text(f"# both\n{store.keys['ada']}\n\n{store.keys['bob']}\n")
    registered = lambda name: [key["publickey"] for key in json.loads((directory / f"sops/users/{name}/key.json").read_text())]
    plain = " ".join(ssh.split()[:2])
    for name, words, keys in (
        ("one", [directory / "ssh.pub"], [plain]), ("two", [directory / "keys"], [store.keys["ada"], store.keys["bob"]]),
        ("three", [ssh.strip(), "--age-key", directory / "keys"], [plain, store.keys["ada"], store.keys["bob"]]),
    ):  # fmt: skip
        expect(store("user", "add", name, "--age-key", *words), 0, "", None)
        equal(sorted(registered(name)), sorted(keys), name)
    expect(store("machine", "add", "n", "--age-key", directory / "ssh.pub"), 0, "", None)
    expect(store("generate"))
    expect(store("get", "n", "own/it", "--identity", directory / "ssh"), 0, None, "")
    expect(store("user", "add", "four", "--age-key", "nonsense"), 2, "",
           'vmcred: "nonsense" is neither a public key (age1..., ssh-ed25519 ...) nor a file\n')  # fmt: skip
    fails(store("user", "add", "four", "--age-key", directory / "ada"), 2, directory / "ada", "vmcred keygen -y")
    fails(store("user", "add", "four", "--age-key", "/dev/null"), 2, "/dev/null")
    equal((directory / "sops/users/four").exists(), False)


def test_invalid_and_different_keys_are_refused(directory):
    """an invalid key is refused, and so is a different key of the same user without --force"""
    store = Store(directory, users=())
    result = expect(store("user", "add", "ada", "--age-key", "age1x"), 2, "")
    assert "age1x" in result.err, result.err
    assert not (directory / "sops/users").exists()
    expect(store("user", "add", "ada"), 2, "",
           "vmcred: user add requires a public key: pass --age-key KEY|FILE (see `vmcred keygen -y`) or --pgp-key "
           "FINGERPRINT\n")  # fmt: skip
    expect(store("user", "add", "../ada", "--age-key", store.keys["ada"]), 2, "")
    for none in ("0123", "g" * 40, "0" * 41, "0x" + "0" * 38, "--trusted-key", "ada@example.org"):
        expect(store("user", "add", "ada", "--pgp-key", none), 2, "",
               f'vmcred: "{none}" is not a PGP fingerprint, which has 40 hexadecimal digits: `gpg --list-keys` shows it\n')  # fmt: skip
    expect(store("machine", "add", "n", "--pgp-key", "0" * 40), 2, "")
    assert not (directory / "sops/users").exists()
    expect(store("user", "add", "ada", "--age-key", store.keys["ada"]), 0, "", "")
    expect(store("user", "add", "ada", "--age-key", store.keys["bob"]), 1, "",
           "vmcred: the user ada has a different key in sops/users/ada/key.json: --force replaces it; "
           "secrets encrypted to the old key must then be encrypted again\n")  # fmt: skip


def test_a_shared_key_is_a_warning(directory):
    """a key that another user or machine has is accepted with a warning that names both"""
    store = Store(directory)
    shared = "vmcred: warning: the {} has the same key as the {}: each can read what the other can\n"
    machine = json.loads((directory / "sops/machines/m/key.json").read_text())[0]["publickey"]
    for words, warning in (
        (("user", "add", "eve", "--age-key", machine), shared.format("user eve", "machine m")),
        (("user", "add", "ada", "--age-key", machine, "--age-key", store.keys["ada"], "--force"), shared.format("user ada", "machine m")),
        (("machine", "add", "n", "--age-key", store.keys["ada"], "--force"), shared.format("machine n", "user ada")),
        (("user", "add", "ada", "--age-key", store.keys["eve"], "--force"), ""),
        (("machine", "add", "m", "--age-key", machine), ""),
    ):
        expect(store(*words, "--dry-run", "--identity", directory / "ada"), 0, None, warning)


def test_ssh_key_of_a_user_is_a_recipient(directory):
    """an SSH key of a user can be a recipient"""
    store = Store(directory, users=())
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "ada@home", "-f", directory / "ssh"))
    expect(store("user", "add", "ada", "--age-key", (directory / "ssh.pub").read_text().strip()), 0, "", "")
    expect(store("machine", "add", "n"), 0, "", "")
    expect(store("generate"))
    expect(store("get", "--identity", directory / "ssh", "m", "own/kept"), 0)
    succeeds(store("check"), "all 8 files")


harness.main()
