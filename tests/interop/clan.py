# SPDX-License-Identifier: Apache-2.0
"""The real clan and vmcred on the same repositories: the changes of either are correct for the other."""
import json
import re

import harness
from clan_repository import MACHINES, Repository
from harness import equal, expect, succeeds
from ssh_pgp import SshPgpKey

# clan without default groups, and with one.
GROUPINGS = ([], ["admins"])


def repositories(directory):
    for groups in GROUPINGS:
        yield Repository(directory / f"with-{len(groups)}", groups)


def test_repository_of_clan_is_as_declared(directory):
    """a repository that clan created is as declared, and generate and fix do nothing"""
    for repository in repositories(directory):
        repository.fill_by_clan().healthy_for_vmcred()


def test_values_of_a_repository_of_clan_are_read(directory):
    """users and machines read each value of a repository that clan created"""
    for repository in repositories(directory):
        repository.fill_by_clan()
        for machine in ("m1", "m2"):
            key = repository.clan("secrets", "get", f"{machine}-age.key")
            (repository.keys / machine).write_text(key)
            (repository.keys / machine).chmod(0o600)
        for machine, name, value in repository.clan_values():
            expect(repository.vmcred("get", machine, name), 0, value, "")
            if name != "own/kept":
                expect(repository.vmcred("get", machine, name, who=machine), 0, value, "")
        repository.unchanged()


def test_members_that_clan_registered_are_listed(directory):
    """members that clan registered are listed"""
    repository = Repository(directory).fill_by_clan()
    expect(repository.vmcred("user", "list"), 0, "ada\nbob\n", "")
    expect(repository.vmcred("machine", "list"), 0, "m1\nm2\nm3\n", "")
    expect(repository.vmcred("group", "list"), 0, "admins: machine m3\nadmins: user ada\n", "")


def changes(repository):
    """Each of vmcred's commands that changes a store: a name, a call, and the value that clan then reads."""
    yield "set", lambda: repository.vmcred("set", "m1", "own/it", stdin="set"), ("m1", "own/it", "set")
    yield "set shared", lambda: repository.vmcred("set", "m2", "all/it", stdin="\0\xff"), ("m1", "all/it", "\0\xff")
    yield "set open", lambda: repository.vmcred("set", "m1", "own/open", stdin="o"), ("m1", "own/open", "o")
    yield "user add", lambda: repository.vmcred("user", "add", "eve", "--age-key", repository.public["eve"]), None
    yield "group add", lambda: repository.vmcred("group", "add", "admins", "--user", "eve"), None
    yield "regenerate", lambda: repository.vmcred("generate", "--regenerate", "--all"), ("m1", "own/kept", "kept")
    yield "group remove", lambda: repository.vmcred("group", "remove", "admins", "--machine", "m3"), None
    yield "user remove", lambda: repository.vmcred("user", "remove", "eve"), None
    yield "machine add", lambda: repository.vmcred("machine", "add", "m1", "--force"), None


def test_clan_reads_what_vmcred_changed(directory):
    """clan reads what vmcred changes in its repository, and has nothing to fix"""
    for repository in repositories(directory):
        repository.fill_by_clan()
        for name, change, value in changes(repository):
            # A value that was set differs from what its dependents were made from.
            warned = expect(change(), 0, None).err
            assert re.fullmatch(r"(vmcred: warning: dependent for m1 depends on .*\n)?", warned), warned
            try:
                repository.healthy_for_vmcred()
                repository.healthy_for_clan()
            except AssertionError as error:
                raise AssertionError(f"after {name}") from error
            if value:
                equal(repository.clan("vars", "get", *value[:2]), value[2], name)


def test_secrets_without_a_generator_follow_members(directory):
    """secrets without a generator follow their readers when vmcred changes the members"""
    repository = Repository(directory).fill_by_clan()
    repository.clan("secrets", "set", "extra", "--user", "bob", "--machine", "m1", "--group", "admins", stdin="besides")
    repository.healthy_for_vmcred(files=20)
    expect(repository.vmcred("user", "remove", "bob"), 0,
               "sops/users/bob: to remove\nsops/secrets/extra: 0 recipients to add, 2 to remove\n", "")  # fmt: skip
    repository.healthy_for_clan()
    expect(repository.vmcred("machine", "add", "m1", "--force"), 0, None, "")
    expect(repository.vmcred("group", "add", "admins", "--machine", "m2"), 0, None, "")
    repository.healthy_for_clan()
    repository.healthy_for_vmcred(files=20)
    equal(repository.clan("secrets", "get", "extra"), "besides")


def test_prune_leaves_what_clan_stored(directory):
    """prune leaves what clan stored for generators that only clan declares, removes what vmcred stored, and clan has nothing to fix"""
    repository = Repository(directory).fill_by_clan()
    repository.clan("secrets", "set", "extra", "--user", "bob", "--machine", "m1", stdin="besides")
    repository.commit()
    generators = dict(repository.generators)
    del repository.generators["validated"]
    flake = (repository.directory / "flake.json").read_text()
    repository.declare()
    (repository.directory / "flake.json").write_text(flake)
    repository.commit()
    succeeds(repository.vmcred("prune", "--yes"), "nothing to do")
    repository.unchanged()
    # vmcred makes the secrets its own and then loses one of two machines of a generator, with clan.
    repository.generators = generators
    repository.declare()
    expect(repository.vmcred("fix"), 0, None, "")
    repository.generators["validated"]["machines"] = ["m1"]
    repository.declare()
    repository.commit()
    expect(repository.vmcred("prune", "--yes"), 0, "vars/per-machine/m2/validated: to remove\n", "")
    repository.healthy_for_vmcred(files=19)
    repository.healthy_for_clan()
    equal(repository.clan("secrets", "get", "extra", who="bob"), "besides")


def pgp_readers(repository):
    """The number of documents with a PGP recipient."""
    documents = [json.loads(path.read_text()) for path in repository.root.glob("**/secret") if path.is_file()]
    return sum(bool(document["sops"].get("pgp")) for document in documents)


def test_both_encrypt_to_pgp_keys(directory):
    """both encrypt to a user's PGP key, whichever of them registered it"""
    trees = []
    for number, by_clan in enumerate((True, False)):
        repository = Repository(directory / str(number), ["admins"]).fill_by_clan()
        key = SshPgpKey(directory / f"pat-{number}")
        key.import_into(repository.directory / "gnupg")
        if by_clan:
            repository.clan("secrets", "users", "add", "pat", "--pgp-key", key.fingerprint)
            repository.clan("secrets", "groups", "add-user", "admins", "pat")
        else:
            expect(repository.vmcred("user", "add", "pat", "--pgp-key", key.fingerprint), 0, "", "")
            expect(repository.vmcred("group", "add", "admins", "--user", "pat"), 0, None, "")
        repository.healthy_for_vmcred()
        repository.healthy_for_clan()
        equal(pgp_readers(repository), 15, "documents for the PGP key")
        trees.append((repository.root / "sops/users/pat/key.json").read_text().replace(key.fingerprint, "KEY"))
        expect(repository.vmcred("user", "remove", "pat"), 0, None, "")
        equal(pgp_readers(repository), 0, "documents for the PGP key")
        repository.healthy_for_clan()
    equal(trees[0], trees[1], "key.json")


def test_changed_validation_regenerates_the_same_files(directory):
    """a changed validation regenerates the same files in both"""
    repository = Repository(directory).fill_by_clan()
    repository.generators["validated"]["validation"] = {"list": {"x": True}, "text": "é \" \\ </>"}
    repository.declare()
    result = expect(repository.vmcred("check"), 3)
    equal([line.split(" is outdated")[0] for line in result.out.splitlines()], ["m1 validated/it", "m2 validated/it"])
    expect(repository.vmcred("generate"), 0, "validated for m1: generated it\nvalidated for m2: generated it\n")
    repository.healthy_for_clan()
    repository.healthy_for_vmcred()


def test_store_of_vmcred_is_healthy_for_clan(directory):
    """clan has nothing to fix or generate in a store that vmcred created, lists its members and reads its values"""
    for repository in repositories(directory):
        repository.fill_by_vmcred().healthy_for_clan()
        before = repository.git("rev-parse", "HEAD")
        repository.clan("vars", "generate", "--no-sandbox")
        equal(repository.git("rev-parse", "HEAD"), before, "the commit after clan's generate")
        equal(repository.clan("secrets", "users", "list"), "ada\nbob\n")
        equal(repository.clan("secrets", "machines", "list"), "m1\nm2\nm3\n")
        equal(repository.clan("secrets", "groups", "list"), "admins\nmachines:\n  m3\nusers:\n  ada\n\n")
        for machine, name, value in repository.clan_values():
            expect(repository.vmcred("get", machine, name), 0, value, "")
        repository.unchanged()


def test_values_of_clans_store_age_move(directory):
    """clan's export and import move the values of its store age to its store sops, where vmcred reads them"""
    repository = Repository(directory)
    repository.store = "age"
    repository.declare()
    repository.clan("vars", "generate", "--no-sandbox")
    values = repository.clan_values()
    repository.clan("vars", "export", str(directory / "plaintext"))
    repository.store = "sops"
    repository.declare()
    repository.members_by_clan()
    repository.clan("vars", "import", str(directory / "plaintext"))
    for machine, name, value in values:
        expect(repository.vmcred("get", machine, name), 0, value, "")
    repository.healthy_for_vmcred()


def clan_changes(repository):
    """Each of clan's commands that changes a store."""
    yield ["vars", "set", "m1", "own/it"], {"stdin": "by clan"}
    yield ["vars", "set", "m2", "all/it"], {"stdin": "by clan", "who": "bob"}
    yield ["vars", "set", "m1", "own/open"], {"stdin": "by clan"}
    yield ["secrets", "users", "add", "eve", "--age-key", repository.public["eve"]], {}
    yield ["secrets", "groups", "add-user", "admins", "eve"], {}
    yield ["secrets", "users", "add-key", "ada", "--age-key", repository.public["bob-2"]], {}
    yield ["vars", "generate", "--no-sandbox", "--regenerate", "m1"], {}
    yield ["secrets", "users", "remove-key", "ada", "--age-key", repository.public["bob-2"]], {}
    yield ["secrets", "users", "remove", "eve"], {}
    yield ["secrets", "machines", "remove", "m3"], {}
    yield ["vars", "generate", "--no-sandbox"], {}


def test_changes_by_clan_are_correct_for_vmcred(directory):
    """clan's changes of a store that vmcred created are correct for vmcred, but for the key of a removed machine"""
    for repository in repositories(directory):
        repository.fill_by_vmcred()
        # The declaration still has m3 after clan removed it, and clan generates nothing because all files exist.
        missing = "the machine m3 has no key: sops/machines/m3/key.json does not exist\n"
        is_removed = False
        for words, options in clan_changes(repository):
            repository.clan(*words, **options)
            is_removed = is_removed or words[:3] == ["secrets", "machines", "remove"]
            try:
                if is_removed:
                    expect(repository.vmcred("check"), 3, missing)
                else:
                    repository.healthy_for_vmcred()
            except AssertionError as error:
                raise AssertionError(f"after clan {' '.join(words)}") from error
        expect(repository.vmcred("machine", "add", "m3", "--age-key", repository.public["m3"]), 0, None, "")
        repository.healthy_for_vmcred()
        expect(repository.vmcred("get", "m1", "all/it"), 0, "shared", "")


def tree(repository):
    """For each path: a directory, a link's target, or a file's content; of a document, its format and recipients."""
    machine_keys = {}
    for machine in MACHINES:
        machine_keys[json.loads((repository.root / f"sops/machines/{machine}/key.json").read_text())[0]["publickey"]] = machine
    found = {}
    for path in sorted(repository.root.rglob("*")):
        name = str(path.relative_to(repository.root))
        if name.startswith(".git"):
            continue
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = "directory"
        else:
            text = path.read_text()
            for key, machine in machine_keys.items():
                text = text.replace(key, f"<{machine}>")
            found[name] = document_form(text) if path.name == "secret" else text
    return found


def document_form(text):
    """All that does not differ between encryptions; the order of the recipients has no meaning. Only vmcred adds a name."""
    document = json.loads(text)
    equal(text, json.dumps(document, indent="\t") + "\n", "a document's layout")
    document.pop("vmcred_name", None)
    readers = sorted(entry["recipient"] for entry in document["sops"]["age"])
    return list(document), list(document["sops"]), [sorted(entry) for entry in document["sops"]["age"]], readers


def without_writer(found):
    """With default groups, clan also encrypts to the user who writes the secret."""
    secrets = [name.removesuffix("/secret") for name in found if name.endswith("/secret")]
    links = {f"{secret}/users{rest}" for secret in secrets for rest in ("", "/ada")}
    return {name: form for name, form in found.items() if name not in links}


def test_both_create_the_same_files(directory):
    """vmcred and clan create the same files from the same declaration, except for ciphertext"""
    for number, groups in enumerate(GROUPINGS):
        # A secret's value is random, and so is its size.
        by_clan, by_vmcred = (Repository(directory / f"{number}-{name}", groups) for name in ("clan", "vmcred"))
        for path in by_clan.keys.iterdir():
            (by_vmcred.keys / path.name).write_bytes(path.read_bytes())
        by_vmcred.public = by_clan.public
        by_clan.fill_by_clan()
        by_vmcred.fill_by_vmcred()
        ours, theirs = tree(by_vmcred), tree(by_clan)
        if groups:
            theirs = without_writer(theirs)
        equal({name: ours.get(name) for name in ours | theirs if ours.get(name) != theirs.get(name)},
              {name: theirs.get(name) for name in ours | theirs if ours.get(name) != theirs.get(name)}, "the trees")  # fmt: skip


if __name__ == "__main__":
    harness.main()
