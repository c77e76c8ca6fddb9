# SPDX-License-Identifier: Apache-2.0
"""Who may read what: machines, users and groups, and how secrets follow. The real sops reads them after each step."""
import json
import shutil

import harness
from example import Example
from harness import equal, expect, need, run, vmcred

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
    """A store with the machine m, whose key is in a file, and n, whose key the store keeps; and two people."""

    def __init__(self, folder, declaration=DECLARATION, users=("ada", "bob")):
        self.folder = folder
        self.example = Example(folder, declaration, generate=False)
        self.keys = {}
        for person in ("ada", "bob", "eve"):
            expect(run(need("age-keygen"), "-o", folder / person))
            self.keys[person] = run("age-keygen", "-y", folder / person).out.strip()
        for user in users:
            expect(self("user", "add", user, "--age-key", self.keys[user]), 0, "", "")
        if users:
            expect(self("machine", "add", "n"), 0, "", "")

    def __call__(self, command, *words, **options):
        return vmcred(command, "--config", self.folder / "vmcred.yaml", *words, **options)

    def documents(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("secret") if path.is_file())

    def links(self, path):
        base = (self.folder / path).parent
        found = {}
        for kind in ("machines", "users", "groups"):
            if (base / kind).is_dir():
                found[kind] = sorted(entry.name for entry in (base / kind).iterdir())
                for entry in (base / kind).iterdir():
                    assert entry.is_symlink() and entry.resolve() == self.folder / "sops" / kind / entry.name, entry
        return found

    def readers(self, path):
        """The people and machines that the document says it is for, and for whom sops really opens it."""
        recipients = [entry["recipient"] for entry in json.loads((self.folder / path).read_text())["sops"]["age"]]
        known = {key: name for name, key in self.keys.items()}
        for machine in (self.folder / "sops/machines").iterdir():
            known[json.loads((machine / "key.json").read_text())[0]["publickey"]] = machine.name
        readers = sorted(known[recipient] for recipient in recipients)
        for person in self.keys:
            done = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary", self.folder / path,
                       env={"SOPS_AGE_KEY_FILE": str(self.folder / person)})  # fmt: skip
            equal(done.code == 0, person in readers, f"{person} and {path}")
        return readers


SHARED, OWN_M, OWN_N = "vars/shared/shared/it/secret", "vars/per-machine/m/own/it/secret", "vars/per-machine/n/own/it/secret"
KEPT_M, KEY_N = "vars/per-machine/m/own/kept/secret", "sops/secrets/n-age.key/secret"


def test_new_secret_machines_all_users_links_say_clan_do(folder):
    """a new secret is for its machines and all users, and links say so as clan's do"""
    store = Store(folder)
    expect(store("generate"))
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    equal(store.readers(OWN_N), ["ada", "bob", "n"])
    equal(store.readers(SHARED), ["ada", "bob", "m", "n"])
    equal(store.links(SHARED), {"machines": ["m", "n"], "users": ["ada", "bob"]})
    expect(store("check"), 0, "all 8 files are as declared\n", "")


def test_not_deployed_users_alone(folder):
    """what is not deployed is for users alone"""
    store = Store(folder)
    expect(store("generate"))
    equal(store.readers(KEPT_M), ["ada", "bob"])
    equal(store.links(KEPT_M), {"users": ["ada", "bob"]})


def test_without_users_not_deployed_would_nobody_nothing(folder):
    """without users what is not deployed would be for nobody, and nothing is written"""
    store = Store(folder, users=())
    expect(store("generate", "m"), 3, "")
    declaration = DECLARATION.replace("{m: {}, n: {}}", "{m: {}}").replace("[m, n]", "[m]")
    (folder / "vmcred.yaml").write_text(declaration)
    expect(store("generate"), 2, None,
           "vmcred: own/kept: it would be for nobody: no machine gets it, and there is no user: "
           "`vmcred user add NAME --age-key KEY` makes one\n")  # fmt: skip
    assert not (folder / "vars/per-machine").exists()


def test_machine_own_key_kept_store_users_opens_machine_may(folder):
    """a machine's own key is kept in the store for the users, and opens what the machine may read"""
    store = Store(folder)
    expect(store("generate"))
    equal(store.readers(KEY_N), ["ada", "bob"])
    key = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary", folder / KEY_N,
              env={"SOPS_AGE_KEY_FILE": str(folder / "ada")}).out  # fmt: skip
    (folder / "n.key").write_text(key)
    (folder / "n.key").chmod(0o600)
    expect(store("get", "--identity", folder / "n.key", "n", "own/it"), 0)
    expect(store("get", "--identity", folder / "n.key", "m", "own/it"), 3)
    # A second time nothing changes.
    before = (folder / KEY_N).read_bytes()
    expect(store("machine", "add", "n", "--identity", folder / "ada"), 0, "", "")
    equal((folder / KEY_N).read_bytes(), before)


def test_user_comes_later_can_read_everything_values_stay(folder):
    """a user who comes later can read everything, and values stay what they are"""
    store = Store(folder)
    expect(store("generate"))
    values = {path: json.loads((folder / path).read_text())["data"] for path in store.documents()}
    result = expect(store("user", "add", "eve", "--age-key", store.keys["eve"], "--identity", folder / "ada"), 0, None, "")
    equal(len(result.out.splitlines()), len(values))
    equal(result.out.splitlines()[0], "shared shared/it: 1 recipient to add, 0 to remove")
    for path, value in values.items():
        assert "eve" in store.readers(path), path
        # The values' own ciphertext is untouched: only the data key is wrapped once more.
        equal(json.loads((folder / path).read_text())["data"], value)
    expect(store("check"), 0, "all 8 files are as declared\n", "")


def test_user_leaves_can_read_nothing_any_more_no_group_link(folder):
    """a user who leaves can read nothing any more, and is in no group and link"""
    store = Store(folder)
    expect(store("generate"))
    expect(store("group", "add", "ops", "--user", "bob", "--identity", folder / "ada"), 0, "", "")
    expect(store("user", "remove", "bob", "--identity", folder / "ada"), 0, None, "")
    for path in store.documents():
        assert "bob" not in store.readers(path), path
    equal(sorted(path.name for path in (folder / "sops/users").iterdir()), ["ada"])
    equal([path for path in folder.rglob("bob") if path.is_symlink()], [])
    assert not (folder / "sops/groups/ops").exists()
    expect(store("user", "list"), 0, "ada\n", "")
    expect(store("user", "remove", "bob"), 3, "", "vmcred: there is no user bob: no sops/users/bob\n")


def test_last_reader_secret_cannot_leave(folder):
    """the last reader of a secret cannot leave"""
    store = Store(folder, users=("ada",))
    expect(store("generate"))
    result = store("user", "remove", "ada", "--identity", folder / "ada")
    equal(result.code, 1)
    assert "vmcred: warning: vars/per-machine/m/own/kept/secret would be for nobody: " in result.err, result.err
    assert (folder / "sops/users/ada/key.json").exists()
    equal(store.readers(KEPT_M), ["ada"])


def test_identity_opens_nothing_changes_nothing(folder):
    """an identity that opens nothing changes nothing"""
    store = Store(folder)
    expect(store("generate"))
    before = {path: (folder / path).read_bytes() for path in store.documents()}
    result = store("user", "remove", "bob", "--identity", folder / "eve")
    equal((result.code, result.out), (1, ""))
    assert result.err.endswith(f"vmcred: {len(before)} secrets could not be re-encrypted\n"), result.err
    equal({path: (folder / path).read_bytes() for path in store.documents()}, before)
    assert (folder / "sops/users/bob").exists()


GROUPED = "sops: {defaultGroups: [admins]}\n" + DECLARATION


def test_default_groups_secrets_members_follow_them(folder):
    """with default groups secrets are for their members, and follow them"""
    (folder / "vmcred.yaml").write_text(DECLARATION)
    store = Store(folder)
    expect(store("group", "add", "admins", "--user", "ada"), 0, "", "")
    (folder / "vmcred.yaml").write_text(GROUPED)
    expect(store("generate"))
    equal(store.readers(OWN_M), ["ada", "m"])
    equal(store.links(OWN_M), {"machines": ["m"], "groups": ["admins"]})
    expect(store("group", "add", "admins", "--user", "bob", "--identity", folder / "ada"), 0, None, "")
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    expect(store("group", "add", "admins", "--machine", "n", "--identity", folder / "ada"), 0, None, "")
    equal(store.readers(OWN_M), ["ada", "bob", "m", "n"])
    expect(store("group", "list"), 0, "admins: machine n\nadmins: user ada\nadmins: user bob\n", "")
    equal(json.loads(store("group", "list", "--json").out), {"admins": {"machines": ["n"], "users": ["ada", "bob"]}})
    expect(store("group", "remove", "admins", "--user", "ada", "--identity", folder / "bob"), 0, None, "")
    equal(store.readers(OWN_M), ["bob", "m", "n"])
    expect(store("group", "remove", "admins", "--user", "ada"), 3, "", "vmcred: the user ada is not in the group admins\n")
    expect(store("group", "add", "admins", "--user", "zoe"), 3, "", "vmcred: there is no user zoe: no sops/users/zoe\n")
    expect(store("check"), 0, "all 8 files are as declared\n", "")


def test_user_leaves_can_read_nothing_group_theirs_may_read(folder):
    """a user who leaves can read nothing that a group of theirs may read"""
    (folder / "vmcred.yaml").write_text(DECLARATION)
    store = Store(folder)
    for user in ("ada", "bob"):
        expect(store("group", "add", "admins", "--user", user, "--identity", folder / "ada"), 0, "", "")
    (folder / "vmcred.yaml").write_text(GROUPED)
    expect(store("generate"))
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    expect(store("user", "remove", "bob", "--identity", folder / "ada"), 0, None, "")
    for path in store.documents():
        assert "bob" not in store.readers(path), path
    expect(store("check"), 0, "all 8 files are as declared\n", "")


def test_group_link_machine_not_there_any_more_gives_nothing(folder):
    """a group's link to a machine that is not there any more gives nothing and stops nothing"""
    (folder / "vmcred.yaml").write_text(DECLARATION)
    store = Store(folder)
    expect(store("group", "add", "admins", "--user", "ada"), 0, "", "")
    (folder / "vmcred.yaml").write_text(GROUPED)
    (folder / "sops/groups/admins/machines").mkdir()
    (folder / "sops/groups/admins/machines/gone").symlink_to("../../../machines/gone")
    expect(store("generate"))
    equal(store.readers(OWN_M), ["ada", "m"])
    expect(store("fix", "--identity", folder / "ada"), 0, "n's key: links only\n", "")
    expect(store("check"), 0, "all 8 files are as declared\n", "")


def test_default_group_not_there_error_says_how_make(folder):
    """a default group that is not there is an error that says how to make it"""
    store = Store(folder, GROUPED, users=())
    expect(store("user", "add", "ada", "--age-key", store.keys["ada"]), 0, "", "")
    expect(store("generate", "m"), 3, "",
           "vmcred: shared/it: the machine n has no key: there is no sops/machines/n/key.json: "
           "`vmcred keygen --machine n --output FILE` makes one\n")  # fmt: skip
    expect(store("machine", "add", "n"), 3, "",
           "vmcred: there is no group admins: `vmcred group add admins --user NAME` makes it\n")  # fmt: skip


def test_link_whose_name_right_leads_elsewhere_named_check(folder):
    """a link whose name is right and that leads elsewhere is named by check and made right by fix"""
    store = Store(folder)
    expect(store("generate"))
    fine = "all 8 files are as declared\n"
    base, shared = folder / "vars/per-machine/m/own/it", folder / "vars/shared/shared/it"

    def point(link, target):
        link.unlink()
        link.symlink_to(target)

    # Other ways to the same folder are right.
    point(base / "users/bob", folder / "sops/users/bob")
    point(shared / "users/bob", "../../../../../sops/machines/../users/bob")
    expect(store("check"), 0, fine, "")
    point(base / "users/bob", "../../../../../../sops/users/ada")
    point(base / "machines/m", "../../../../../../sops/machines/none")
    point(shared / "users/ada", folder / "ada")
    readers = "does not have its declared recipients (links only:"
    expect(store("check"), 3,
           f"shared shared/it {readers} users/ada leads elsewhere)\nm own/it {readers} machines/m leads elsewhere)\n",
           "vmcred: 2 of 8 files are not as declared: fix the first with `vmcred fix`\n")  # fmt: skip
    before = {path: (folder / path).read_bytes() for path in store.documents()}
    expect(store("fix"), 0,
           "shared shared/it: links only: users/ada leads elsewhere\nm own/it: links only: machines/m leads elsewhere\n", "")  # fmt: skip
    expect(store("check"), 0, fine, "")
    equal(store.links(OWN_M), {"machines": ["m"], "users": ["ada", "bob"]})
    equal(store.links(SHARED), {"machines": ["m", "n"], "users": ["ada", "bob"]})
    equal({path: (folder / path).read_bytes() for path in store.documents()}, before)


def test_machine_whose_key_gone_from_store_named_check_until(folder):
    """a machine whose key is gone from the store is named by check until it has one, whatever fix does"""
    store = Store(folder)
    expect(store("generate"))
    shutil.rmtree(folder / "sops/machines/n")
    missing = "n's key is missing (there is no sops/machines/n/key.json)\n"
    readers = "does not have its declared recipients (0 recipients to add, 1 to remove)\n"
    expect(store("check"), 3, f"{missing}shared shared/it {readers}n own/it {readers}",
           "vmcred: 3 of 9 files are not as declared: fix the first with `vmcred machine add n`\n")  # fmt: skip
    expect(store("fix", "--identity", folder / "ada"))
    expect(store("check"), 3, missing, "vmcred: 1 of 9 files is not as declared: fix the first with `vmcred machine add n`\n")
    listed = expect(store("check", "n", "--json"), 3, None, None)
    equal(json.loads(listed.out), [{"machine": "n", "generator": None, "file": None, "fault": "no-key",
                                    "detail": "there is no sops/machines/n/key.json"}])  # fmt: skip
    expect(store("check", "m"), 0, "all 4 files are as declared\n", "")
    expect(store("machine", "add", "n", "--identity", folder / "ada"))
    expect(store("check"), 0, "all 8 files are as declared\n", "")
    (folder / "sops/machines/n/key.json").unlink()
    equal(store("check").err.splitlines()[-1],
          "vmcred: the machine n has no key: there is no sops/machines/n/key.json: "
          "`vmcred keygen --machine n --output FILE` makes one")  # fmt: skip
    # Who reads nothing needs none.
    shutil.rmtree(folder / "sops/machines/n")
    (folder / "vmcred.yaml").write_text("machines: {m: {}, n: {}}\ngenerators: {own: {machines: [n], files: {kept: {deploy: false},"
                                        " open: {secret: false}}, kind: {kept: {hex: 8}, open: {hex: 4}}}}\n")  # fmt: skip
    expect(store("check", "n"), 0, "all 3 files are as declared\n", "")


def given_to_bob(folder):
    """A store of the group admins, ada, in which m's own/it is bob's by a link besides, and the folder of that link."""
    store = Store(folder)
    expect(store("group", "add", "admins", "--user", "ada"), 0, "", "")
    (folder / "vmcred.yaml").write_text(GROUPED)
    expect(store("generate"))
    users = folder / "vars/per-machine/m/own/it/users"
    users.mkdir()
    (users / "bob").symlink_to("../../../../../../sops/users/bob")
    return store, users


def test_user_secret_given_link_keeps_dangling_link_gives(folder):
    """a user that a secret was given to by a link keeps it, a dangling link gives nothing"""
    store, users = given_to_bob(folder)
    (users / "gone").symlink_to("../../../../../../sops/users/gone")
    expect(store("check"), 3,
           "m own/it does not have its declared recipients (1 recipient to add, 0 to remove)\n"
           "n's key does not have its declared recipients (links only)\n",
           "vmcred: 2 of 8 files are not as declared: fix the first with `vmcred fix`\n")  # fmt: skip
    expect(store("fix", "--identity", folder / "ada"), 0,
           "m own/it: 1 recipient to add, 0 to remove\nn's key: links only\n", "")  # fmt: skip
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    equal(store.links(OWN_M), {"machines": ["m"], "users": ["bob"], "groups": ["admins"]})
    expect(store("fix", "--identity", folder / "ada"), 0,
           "nothing to do: all secrets have their declared recipients\n", "")  # fmt: skip


def test_made_anew_those_given_links_too(folder):
    """what is made anew is for those that it was given to by links, too"""
    store, _ = given_to_bob(folder)
    expect(store("generate", "m", "--generator", "own", "--regenerate"), 0, "own for m: generated it, kept, open\n", "")
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    equal(store.links(OWN_M), {"machines": ["m"], "users": ["bob"], "groups": ["admins"]})
    equal(store.readers(KEPT_M), ["ada"])


def test_empty_list_default_groups_secret_machines_whoever(folder):
    """with an empty list of default groups a secret is for its machines and whoever makes it"""
    store = Store(folder, users=())
    for user in ("ada", "bob"):
        expect(store("user", "add", user, "--age-key", store.keys[user]), 0, "", "")
    (folder / "vmcred.yaml").write_text("sops: {defaultGroups: []}\n" + DECLARATION)
    stranger = ("vmcred: no user of the store has the key of the identity: with `defaultGroups: []` secrets are for the user "
                "who makes them: `vmcred user add NAME --age-key KEY` registers one\n")  # fmt: skip
    expect(store("machine", "add", "n", "--identity", folder / "eve"), 2, "", stranger)
    expect(store("machine", "add", "n", "--identity", folder / "bob"), 0, "", "")
    equal(store.readers(KEY_N), ["bob"])
    expect(store("generate", "--identity", folder / "eve"), 2, "", stranger)
    expect(store("generate", "--identity", folder / "ada"))
    equal(store.readers(OWN_M), ["ada", "m"])
    equal(store.readers(KEPT_M), ["ada"])
    equal(store.links(SHARED), {"machines": ["m", "n"], "users": ["ada"]})
    expect(store("check"), 0, "all 8 files are as declared\n", "")
    expect(store("set", "m", "own/it", "--identity", folder / "bob", stdin="by bob"), 0, "", "")
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    expect(store("fix"), 0, "nothing to do: all secrets have their declared recipients\n", "")


def test_machine_taken_out_declaration_loses_shared(folder):
    """a machine that is taken out of the declaration loses what it shared"""
    store = Store(folder)
    expect(store("generate"))
    expect(store("machine", "remove", "n"), 2, "",
           f"vmcred: machine n is declared: remove it from {folder}/vmcred.yaml first\n")  # fmt: skip
    (folder / "vmcred.yaml").write_text(DECLARATION.replace("{m: {}, n: {}}", "{m: {}}").replace("[m, n]", "[m]"))
    expect(store("machine", "remove", "n", "--identity", folder / "ada"), 0,
           "shared shared/it: 0 recipients to add, 1 to remove\n", "")  # fmt: skip
    equal(store.readers(SHARED), ["ada", "bob", "m"])
    expect(store("machine", "list"), 0, "m\n", "")


def test_check_says_missing_changed_expired_exit_code_3(folder):
    """check says what is missing, changed or expired, with the exit code 3"""
    store = Store(folder)
    expect(store("generate"))
    (folder / "vars/per-machine/n/own/open/value").unlink()
    (folder / "vars/per-machine/n/own/kept/secret").unlink()
    expect(store("check"), 3, "n own/kept is missing\nn own/open is missing\n",
           "vmcred: 2 of 8 files are not as declared: fix the first with `vmcred generate`\n")  # fmt: skip
    expect(store("check", "m"), 0, "all 4 files are as declared\n", "")
    result = expect(store("check", "--json"), 3)
    equal([(entry["machine"], entry["file"], entry["fault"]) for entry in json.loads(result.out)],
          [("n", "kept", "missing"), ("n", "open", "missing")])  # fmt: skip


def test_list_shows_everything_declared(folder):
    """list shows everything that is declared"""
    store = Store(folder)
    expect(store("generate", "m"))
    expect(store("list"), 0,
           "shared shared/it\nm own/it\nm own/kept\nm own/open (public)\n"
           "n own/it (missing)\nn own/kept (missing)\nn own/open (public) (missing)\n", "")  # fmt: skip
    equal(len(json.loads(store("list", "--json", "m").out)), 4)
    expect(store("list", "x"), 2, "", f'vmcred: {folder}/vmcred.yaml declares no machine "x"\n')


def test_set_replaces_value_same_readers_whatever_bytes(folder):
    """set replaces one value for the same readers, whatever bytes it has"""
    store = Store(folder)
    expect(store("generate"))
    value = bytes(range(256))
    expect(store("set", "m", "own/it", stdin=value), 0, "", "")
    equal(store.readers(OWN_M), ["ada", "bob", "m"])
    got = store("get", "--identity", folder / "ada", "m", "own/it")
    equal(got.out.encode("utf-8", "surrogateescape"), value)
    (folder / "new").write_text("public")
    expect(store("set", "n", "own/open", "--file", folder / "new"), 0, "", "")
    equal((folder / "vars/per-machine/n/own/open/value").read_text(), "public")
    expect(store("check"), 0, "all 8 files are as declared\n", "")
    expect(store("set", "m", "own/none"), 2, "", f'vmcred: {folder}/vmcred.yaml does not declare the secret "own/none"\n')
    expect(store("set", "m", "own/it", stdin=b"x" * (1024 * 1024 + 1)), 1, "",
           "vmcred: standard input is larger than 1048576 bytes\n")  # fmt: skip


def test_key_none_refused_another_key_same_user_without(folder):
    """a key that is none is refused, and another key of the same user without --force"""
    store = Store(folder, users=())
    result = expect(store("user", "add", "ada", "--age-key", "age1x"), 2, "")
    assert "age1x" in result.err, result.err
    assert not (folder / "sops/users").exists()
    expect(store("user", "add", "ada"), 2, "",
           "vmcred: user add requires a public key: pass --age-key KEY (see `vmcred keygen`) or --pgp-key "
           "FINGERPRINT\n")  # fmt: skip
    expect(store("user", "add", "../ada", "--age-key", store.keys["ada"]), 2, "")
    for none in ("0123", "g" * 40, "0" * 41, "0x" + "0" * 38, "--trusted-key", "ada@example.org"):
        expect(store("user", "add", "ada", "--pgp-key", none), 2, "",
               f'vmcred: "{none}" is not a PGP key\'s fingerprint, 40 hexadecimal digits: `gpg --list-keys` shows it\n')  # fmt: skip
    expect(store("machine", "add", "n", "--pgp-key", "0" * 40), 2, "")
    assert not (folder / "sops/users").exists()
    expect(store("user", "add", "ada", "--age-key", store.keys["ada"]), 0, "", "")
    expect(store("user", "add", "ada", "--age-key", store.keys["bob"]), 1, "",
           "vmcred: the user ada has another key in sops/users/ada/key.json: --force replaces it; "
           "what is encrypted to the old key must then be encrypted anew\n")  # fmt: skip


def test_ssh_key_user_recipient_well(folder):
    """an SSH key of a user is a recipient as well"""
    store = Store(folder, users=())
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "ada@home", "-f", folder / "ssh"))
    expect(store("user", "add", "ada", "--age-key", (folder / "ssh.pub").read_text().strip()), 0, "", "")
    expect(store("machine", "add", "n"), 0, "", "")
    expect(store("generate"))
    expect(store("get", "--identity", folder / "ssh", "m", "own/kept"), 0)
    expect(store("check"), 0, "all 8 files are as declared\n", "")


harness.main()
