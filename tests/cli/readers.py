# SPDX-License-Identifier: Apache-2.0
"""readers lists who can read each secret and why: the recipients of the document, the declared readers, and with --history the
recipients of older versions in the git repository."""
import json
import re
import shutil

import harness
from example import Team
from harness import equal, expect, fails, need, run, vmcred

DECLARATION = """\
sops: {defaultGroups: [admins]}
machines: {m: {}, n: {}}
generators:
  own:
    machines: [m]
    files: {it: {}, kept: {deploy: false}, open: {secret: false}}
    kind: {it: {hex: 8}, kept: {hex: 8}, open: {hex: 4}}
  all:
    share: true
    files: {it: {}}
    kind: {it: {hex: 8}}
"""
OWN = "vars/per-machine/m/own/it/secret"
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


class Store(Team):
    def __init__(self, directory, declaration=DECLARATION):
        super().__init__(directory, declaration)

    def readers(self, *words):
        """Of each secret: (type, name or key, state)."""
        secrets = json.loads(expect(self("readers", "--json", *words), 0, None, "").out)
        return {
            item["path"]: [(one["type"], one["name"] or one["keys"][0]["key"], one["state"]) for one in item["readers"]] for item in secrets
        }

    def reader(self, path, name, *words):
        for secret in json.loads(expect(self("readers", "--json", *words), 0, None, "").out):
            for one in secret["readers"]:
                if secret["path"] == path and name in [one["name"]] + [key["key"] for key in one["keys"]]:
                    return one
        raise AssertionError(f"{name} is not a reader of {path}")

    def link(self, path, kind, name):
        directory = (self.directory / path).parent / kind
        directory.mkdir(exist_ok=True)
        up = "../" * len(directory.relative_to(self.directory).parts)
        (directory / name).symlink_to(f"{up}sops/{kind}/{name}")

    def git(self, *words):
        return expect(run(need("git"), "-c", "user.name=ada", "-c", "user.email=ada@example.org", *words, cwd=self.directory)).out.strip()

    def commit(self, message="a change"):
        self.git("add", "vmcred.yaml", "sops", "vars")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "HEAD")


def test_json_has_what_the_manual_lists(directory):
    """each secret of --json has the members that vmcred-store(1) lists, and each reader too"""
    store = Store(directory)
    page = (harness.SOURCE / "docs/vmcred-store.1.scd").read_text().split("# READERS\n")[1].split("\n# ")[0]
    secret, reader = re.search(r"With \*--json\*, each secret has (.*?) A reader has (.*)", page, re.S).groups()
    first = json.loads(expect(store("readers", "--json"), 0, None, "").out)[0]
    members = set(re.findall(r"_([a-zA-Z]+)_", re.sub(r"\(.*?\)", "", secret, flags=re.S)))
    equal(set(first), members)
    assert set(first["readers"][0]) <= set(re.findall(r"_([a-zA-Z]+)_", reader)), first["readers"][0]


def test_table(directory):
    """the table has a row for each reader with the reason, and for each recipient that is not a reader"""
    store = Store(directory)
    for name in ("eve", "dave"):
        store.keys[name] = store.keys.get(name) or store.key(name)
    expect(store("user", "add", "eve", "--age-key", store.keys["eve"]))
    store.link(OWN, "users", "eve")
    document = json.loads((directory / OWN).read_text())
    # Recipients only, as sops could have added them.
    document["sops"]["age"].append({"recipient": store.keys["dave"], "enc": document["sops"]["age"][0]["enc"]})
    (directory / OWN).write_text(json.dumps(document))
    shutil.rmtree(directory / "vars/per-machine/m/own/kept")
    lines = TIME.sub("TIME", expect(store("readers"), 0, None, "").out).splitlines()
    equal([re.sub(" +", " ", line.replace(store.keys["dave"], "KEY")) for line in lines], [
        "SECRET CHANGED AGE READER STATE WHY",
        "shared all/it TIME today machine m current deployed there",
        "shared all/it TIME today machine n current deployed there",
        "shared all/it TIME today user ada current default group admins",
        "shared all/it TIME today user bob current default group admins",
        "m own/it TIME today machine m current deployed there",
        "m own/it TIME today user eve missing link",
        "m own/it TIME today user ada current default group admins",
        "m own/it TIME today user bob current default group admins",
        "m own/it TIME today KEY undeclared a recipient of the document",
        "m own/kept - - - - not generated yet",
    ])  # fmt: skip


def test_readers_are_those_whose_keys_decrypt(directory):
    """exactly the readers that are not missing decrypt a secret with the real sops, and fix changes exactly the others"""
    store = Store(directory)
    expect(store("user", "add", "eve", "--age-key", store.keys["eve"]))
    store.link(OWN, "users", "eve")
    shutil.rmtree(directory / "sops/groups/admins/users")
    store.link("sops/groups/admins/-", "users", "ada")
    for words in ((), ("fix",)):
        if words:
            expect(store(*words))
        states = {name: state for _, name, state in store.readers()[OWN]}
        for name, file in {"m": store.identity, "n": directory / "n"}.items() | {name: directory / name for name in store.keys}.items():
            done = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary", directory / OWN,
                       env={"SOPS_AGE_KEY_FILE": str(file)})  # fmt: skip
            equal(done.code == 0, states.get(name, "missing") != "missing", name)
        equal(states, {"m": "current", "ada": "current", "bob": "undeclared", "eve": "missing"} if not words
              else {"m": "current", "ada": "current", "eve": "current"})  # fmt: skip


def test_reasons(directory):
    """a reader has each of its reasons: a default group, another group, a link, all users, the machine"""
    store = Store(directory)
    expect(store("group", "add", "ops", "--user", "ada"))
    expect(store("group", "add", "ops", "--machine", "n"))
    store.link(OWN, "groups", "ops")
    why = {name: store.reader(OWN, name)["why"] for name in ("ada", "bob", "n", "m")}
    admins, ops = ({"reason": reason, "group": group} for reason, group in (("default-group", "admins"), ("group", "ops")))
    equal(why, {"ada": [admins, ops], "bob": [admins], "n": [ops], "m": [{"reason": "machine", "group": None}]})
    store.config.write_text(DECLARATION.replace("sops: {defaultGroups: [admins]}\n", ""))
    equal(store.reader(OWN, "bob")["why"][0], {"reason": "all-users", "group": None})


def test_a_reader_with_several_keys(directory):
    """a reader of whose keys only some are recipients is partial, and the keys say which"""
    store = Store(directory)
    second = store.key("second")
    keys = json.loads((directory / "sops/users/ada/key.json").read_text())
    (directory / "sops/users/ada/key.json").write_text(json.dumps([*keys, {"publickey": second, "type": "age"}]))
    ada = store.reader(OWN, "ada")
    equal((ada["state"], {key["key"]: key["recipient"] for key in ada["keys"]}), ("partial", {store.keys["ada"]: True, second: False}))


def test_filters(directory):
    """a secret, a user and a machine choose the rows; names that nobody has are errors"""
    store = Store(directory)
    equal(list(store.readers("own/it")), [OWN])
    equal(list(store.readers(OWN)), [OWN])
    equal(list(store.readers("--machine", "n")), ["vars/shared/all/it/secret"])
    equal({reader for readers in store.readers("--user", "bob", "--machine", "n").values() for reader in readers},
          {("user", "bob", "current"), ("machine", "n", "current")})  # fmt: skip
    fails(store("readers", "own/nothing"), 2, "own/nothing", "known names: own/it, own/kept")
    expect(store("readers", "--user", "bib"), 3, "", 'vmcred: no user bib: sops/users/bib does not exist: did you mean "bob"?\n')
    fails(store("readers", "--machine", "x"), 3, "x", "known names: m, n")


def test_a_document_that_cannot_be_read(directory):
    """a document that cannot be read is reported with its path, the others are listed, and the exit status is 1"""
    store = Store(directory)
    (directory / OWN).write_text("")
    result = expect(store("readers", "--json"), 1, None, None)
    assert OWN in result.err.splitlines()[0], result.err
    equal([len(item["readers"]) for item in json.loads(result.out)], [4, 0, 2])
    equal([item["there"] for item in json.loads(result.out)], [True, True, True])
    rows = [re.sub(" +", " ", line) for line in expect(store("readers"), 1, None, None).out.splitlines()]
    equal([row for row in rows if row.startswith("m own/it ")], ["m own/it - - - - cannot be read"])


def test_history(directory):
    """--history lists those who could read older versions, and whether the value is still the one that they could read"""
    store = Store(directory)
    store.git("init", "--quiet")
    first = store.commit()
    expect(store("user", "remove", "bob"))
    store.commit()
    store.git("replace", "--graft", "HEAD")  # has no effect
    equal(store.readers(OWN, "--user", "ada"), store.readers(OWN, "--user", "ada", "--history"))
    bob = store.reader(OWN, "bob", "--history")
    equal((bob["state"], bob["keys"], bob["last"]["commit"], bob["last"]["currentValue"]),
          ("former", [{"key": store.keys["bob"], "recipient": False}], first, True))  # fmt: skip
    expect(store("set", "m", "own/it", stdin="new"))
    equal(store.reader(OWN, "bob", "--history")["last"]["currentValue"], False)
    equal(len(store.readers("--user", "bob", "--history")), 3)
    text = TIME.sub("TIME", expect(store("readers", "--history", "--user", "bob", "own/it"), 0, None, "").out)
    equal(re.sub(" +", " ", text.splitlines()[1]), f"m own/it TIME today user bob former had older values in commit {first[:12]} of TIME")
    fails(store("readers", "--user", "bob"), 3, "bob")


def test_history_has_all_versions(directory):
    """--history finds versions of branches and of dropped sides of merges, and the owners of replaced keys, below any path"""
    tree = directory / 'a "b" é'
    tree.mkdir()
    store = Store(tree)
    expect(run(need("git"), "init", "--quiet", "--initial-branch=main", directory))
    store.commit()
    for user, branch in (("eve", "merged"), ("old", "alone")):
        store.git("checkout", "--quiet", "-b", branch, "main")
        expect(store("user", "add", user, "--age-key", store.keys.get(user) or store.key(user), "--group", "admins"))
        store.commit()
        expect(store("user", "add", user, "--age-key", store.key(f"{user}-new"), "--force"))
        store.commit()
        store.git("checkout", "--quiet", "main")
    store.git("merge", "--quiet", "-s", "ours", "-m", "nothing of it", "merged")
    equal({(name, state) for _, name, state in store.readers("--history")[OWN]},
          {("m", "current"), ("ada", "current"), ("bob", "current"), ("eve", "former"), ("old", "former")})  # fmt: skip
    equal(len(store.reader(OWN, "eve", "--history")["keys"]), 2)


def test_history_in_a_hook_of_another_repository(directory):
    """--history is that of the store's repository, also in a hook of the one that has it as a submodule"""
    tree = directory / "outer" / "store"
    tree.mkdir(parents=True)
    store = Store(tree)
    store.git("init", "--quiet")
    store.commit()
    expect(store("user", "remove", "bob"))
    store.commit()
    expected, examined = expect(store("readers", "--history", "--json"), 0, None, "").out, store("doctor")
    expect(run(need("git"), "init", "--quiet", directory / "outer"))
    for variables in {"GIT_INDEX_FILE": ".git/index"}, {"GIT_DIR": str(directory / "outer/.git"), "GIT_WORK_TREE": str(directory / "outer")}:
        equal(expect(store("readers", "--history", "--json", env=variables), 0, None, "").out, expected)
        equal(store("doctor", env=variables), examined)


def test_a_key_that_a_reader_replaced(directory):
    """--history lists a former key of a present reader in a row of its own"""
    store = Store(directory)
    store.git("init", "--quiet")
    store.commit()
    expect(store("user", "add", "bob", "--age-key", store.keys["eve"], "--force"))
    bobs = [state for _, name, state in store.readers("--history")[OWN] if name == "bob"]
    equal(bobs, ["current", "former"])
    equal(store.reader(OWN, store.keys["bob"], "--history")["state"], "former")


def test_history_needs_a_repository(directory):
    """--history outside of a git repository is an error; in a shallow clone, it warns that older commits are missing"""
    (directory / "store").mkdir()
    store = Store(directory / "store")
    result = expect(store("readers", "--history"), 1, "", None)
    equal(result.err.splitlines()[-1], "vmcred: reading the history: git exited with code 128: the history is that of the git "
          "repository with the store")  # fmt: skip
    store.git("init", "--quiet")
    store.commit()
    store.git("commit", "--quiet", "--allow-empty", "-m", "second")
    expect(run(need("git"), "clone", "--quiet", "--depth=1", f"file://{store.directory}", directory / "clone"))
    result = expect(vmcred("readers", "--history", cwd=directory / "clone"), 0, None, None)
    equal(result.err, "vmcred: warning: this is a shallow clone: readers in older commits are not shown\n")


if __name__ == "__main__":
    harness.main()
