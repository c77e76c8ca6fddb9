# SPDX-License-Identifier: Apache-2.0
"""Re-encryption of many secrets on all processors, with deterministic output."""
import json
import os
import shutil

import harness
from example import without_recipients
from harness import equal, expect, need, run, succeeds, vmcred

MACHINES = 300
NAMES = [f"m{number:03}" for number in range(MACHINES)]


class Store:
    """Machines with two secrets each; the second is for users only. ada is a user."""

    def __init__(self, directory, machines=MACHINES, generate=True):
        self.directory = directory
        names = NAMES[:machines]
        self.config = directory / "vmcred.yaml"
        self.config.write_text(
            "machines: {" + ", ".join(f"{name}: {{}}" for name in names) + "}\n"
            "generators:\n  own:\n    machines: [" + ", ".join(names) + "]\n"
            "    files: {it: {}, kept: {deploy: false}}\n    kind: {it: {hex: 8}, kept: {hex: 8}}\n"
        )  # fmt: skip
        self.keys = {name: self.keygen(name) for name in ("ada", "bob", "eve", "m")}
        for name in names:
            (directory / "sops/machines" / name).mkdir(parents=True)
            (directory / "sops/machines" / name / "key.json").write_text(json.dumps([{"publickey": self.keys["m"], "type": "age"}]))
        expect(self("user", "add", "ada", "--age-key", self.keys["ada"]), 0, "", "")
        if generate:
            expect(self("generate"), 0, None, "")

    def keygen(self, name):
        return expect(vmcred("keygen", "--output", self.directory / name)).out.strip()

    def __call__(self, command, *words, **options):
        return without_recipients(vmcred(command, "--config", self.config, *words, **options))

    def document(self, machine, file="it"):
        return self.directory / "vars/per-machine" / machine / "own" / file / "secret"

    def state(self):
        """Of each document its bytes, its inode and when it was written."""
        return {path: (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
                for path in self.directory.rglob("secret") if path.is_file()}  # fmt: skip

    def lines(self, text, files=("it", "kept"), machines=NAMES):
        return "".join(f"{name} own/{file}{text}\n" for name in machines for file in files)


def recipients(path):
    return sorted(entry["recipient"] for entry in json.loads(path.read_text())["sops"]["age"])


ADDED = ": 1 recipient to add, 0 to remove"


def test_new_user_is_reported_in_declaration_order(directory):
    """a new user is reported for each file in declaration order, and the others still decrypt the same values"""
    store = Store(directory)
    before = store.state()
    expect(store("user", "add", "bob", "--age-key", store.keys["bob"], "--identity", directory / "ada"), 0, store.lines(ADDED), "")
    for path, (document, _, _) in before.items():
        equal(recipients(path), sorted(recipients_of(document) + [store.keys["bob"]]), path)
        equal(json.loads(path.read_text())["data"], json.loads(document)["data"], path)
    value = expect(store("get", "m123", "own/it", "--identity", directory / "m")).out
    for name in ("ada", "bob"):
        expect(store("get", "m123", "own/it", "--identity", directory / name), 0, value, "")
    succeeds(store("check"), f"all {2 * MACHINES} files")
    expect(store("user", "remove", "bob", "--identity", directory / "bob"), 0,
           "sops/users/bob: to remove\n" + store.lines(": 0 recipients to add, 1 to remove"), "")  # fmt: skip
    equal({path: recipients(path) for path in before}, {path: sorted(recipients_of(was[0])) for path, was in before.items()})


def recipients_of(document):
    return [entry["recipient"] for entry in json.loads(document)["sops"]["age"]]


def test_unaffected_files_stay_the_same(directory):
    """files that a new machine, user or group does not affect keep their content, inode and time"""
    store = Store(directory, 40)
    before = store.state()

    def changed():
        now = store.state()
        different = {path for path in now if now[path] != before.get(path)}
        before.update(now)
        return different

    expect(store("fix", "--identity", directory / "ada"), 0, None, "")
    equal(changed(), set())
    expect(store("machine", "add", "m007", "--force", "--age-key", store.keys["eve"], "--identity", directory / "ada"), 0,
           "m007 own/it: 1 recipient to add, 1 to remove\n", "")  # fmt: skip
    equal(changed(), {store.document("m007")})
    # A link gives a second file to bob, and another one to a group.
    (directory / "sops/users/bob").mkdir()
    given = store.document("m003", "kept").parent
    store.config.write_text("sops: {defaultGroups: [admins]}\n" + store.config.read_text())
    expect(store("group", "add", "admins", "--user", "ada", "--identity", directory / "ada"), 0, None, "")
    (given / "groups/few").symlink_to("../../../../../../sops/groups/few")
    (directory / "sops/users/bob/key.json").write_text(json.dumps({"publickey": store.keys["bob"], "type": "age"}))
    expect(store("group", "add", "few", "--user", "ada", "--identity", directory / "ada"), 0, None, "")
    changed()
    expect(store("group", "add", "few", "--user", "bob", "--identity", directory / "ada"), 0,
           "m003 own/kept: 1 recipient to add, 0 to remove\n", "")  # fmt: skip
    equal(changed(), {store.document("m003", "kept")})
    expect(store("group", "remove", "few", "--user", "bob", "--identity", directory / "ada"), 0,
           "sops/groups/few/users/bob: to remove\nm003 own/kept: 0 recipients to add, 1 to remove\n", "")  # fmt: skip
    equal(changed(), {store.document("m003", "kept")})


def test_undecryptable_files_are_reported_in_order(directory):
    """files that cannot be decrypted are reported in order, and all others are re-encrypted"""
    store = Store(directory)
    broken = [NAMES[number] for number in (2, 97, 150, 299)]
    for name in broken:
        store.document(name).write_text('{"data": "ENC[x]"}')
    locked = NAMES[200]
    expect(run(need("sops"), "rotate", "-i", "--input-type", "json", "--rm-age", store.keys["ada"], "--add-age", store.keys["eve"],
               store.document(locked, "kept"), env={"SOPS_AGE_KEY_FILE": str(directory / "ada")}))  # fmt: skip
    result = store("user", "add", "bob", "--age-key", store.keys["bob"], "--identity", directory / "ada")
    equal(result.code, 1)
    warned = [line.split()[2].rstrip(":") for line in result.err.splitlines()[:-1]]
    places = sorted([(name, "it") for name in broken] + [(locked, "kept")])
    equal(warned, [str(store.document(*place).relative_to(directory)) for place in places])
    equal(result.err.splitlines()[-1], "vmcred: 5 secrets could not be re-encrypted")
    expected = [line for line in store.lines(ADDED).splitlines() if tuple(line.split(":")[0].split(" own/")) not in places]
    expected.insert(expected.index(f"{locked} own/it{ADDED}") + 1, f"{locked} own/kept: 2 recipients to add, 1 to remove")
    equal(result.out.splitlines(), expected)
    for name in broken:
        equal(store.document(name).read_text(), '{"data": "ENC[x]"}')


def test_check_reports_findings_in_order(directory):
    """check reports findings in order, and read failures with the first one last, on any number of processors"""
    store = Store(directory)
    for name in ("m010", "m020", "m290"):
        shutil.rmtree(store.document(name, "kept").parent)
    for name in ("m030", "m150", "m299"):
        store.document(name).write_text('{"data": "ENC[x]"}')
    whole = store("check")
    unread = "own/it cannot be read (2 recipients to add, 0 to remove)"
    expected = ["m010 own/kept is missing", "m020 own/kept is missing", f"m030 {unread}", f"m150 {unread}", "m290 own/kept is missing", f"m299 {unread}"]
    equal((whole.code, whole.out.splitlines()), (1, expected))
    why = "is not a SOPS document: missing key \"sops\" at its top"
    equal(whole.err, "".join(f"vmcred: {what}vars/per-machine/{name}/own/it/secret {why}\n" for what, name in
                             (("warning: ", "m150"), ("warning: ", "m299"), ("", "m030"))))  # fmt: skip
    one = run(need("taskset"), "-c", str(min(os.sched_getaffinity(0))), harness.VMCRED, "check", "--config", store.config)
    equal(without_recipients(one), whole)


def test_long_list_is_printed_once(directory):
    """check, doctor and fix name many recipients once if the next files have the same ones; --json names them for each file"""
    (directory / "vmcred.yaml").write_text("""\
machines: {a: {}, b: {}, c: {}, d: {}}
generators: {shared: {share: true, files: {one: {}, three: {}, two: {}}, kind: {one: uuid, three: uuid, two: uuid}}}
""")
    command = lambda name, *words: vmcred(name, "--config", directory / "vmcred.yaml", *words)
    keys = {name: expect(vmcred("keygen", "--output", directory / name)).out.strip() for name in "abcdu"}
    expect(command("user", "add", "u", "--age-key", keys["u"]), 0, "", "")
    for name in "abcd":
        expect(command("machine", "add", name, "--age-key", keys[name]), 0, None, "")
    expect(command("generate"), 0, None, "")
    for path in (directory / "vars").rglob("secret"):
        document = json.loads(path.read_text())
        document["sops"]["age"] = [entry for entry in document["sops"]["age"] if entry["recipient"] == keys["u"]]
        path.write_text(json.dumps(document))
    added = ", ".join(f"+ machine {name} {keys[name]}" for name in sorted("abcd", key=keys.get))
    summary = "4 recipients to add, 0 to remove: "
    result = expect(command("check"), 3, "".join(
        f"shared shared/{name} does not have its declared recipients ({summary}{names})\n"
        for name, names in (("one", added), ("three", "as above"), ("two", "as above"))))  # fmt: skip
    equal([finding["detail"] for finding in json.loads(command("check", "--json").out)], 3 * [summary + added], result)
    found = [line.split("(", 1)[1] for line in command("doctor").out.splitlines() if "store-readers" in line]
    equal(found, [f"{summary}{names}) [store-readers]" for names in (added, "as above", "as above")])
    found = [finding["message"] for finding in json.loads(command("doctor", "--json").out) if finding["name"] == "store-readers"]
    equal([message.split("(", 1)[1] for message in found], 3 * [summary + added + ")"])
    expect(command("fix", "--identity", directory / "u"), 0,
           f"shared shared/one: {summary}{added}\nshared shared/three: {summary}as above\nshared shared/two: {summary}as above\n", "")  # fmt: skip
    succeeds(command("check"), "all 3 files")


def test_missing_identity_stops_at_the_first_such_file(directory):
    """without an identity, files are processed up to the first that needs one, as on one processor"""
    store = Store(directory)
    for name in NAMES[:20]:
        users = store.document(name).parent / "users"
        (users / "ada").unlink()
    # A dangling link, after the first file that must be decrypted.
    (store.document("m200").parent / "users/nobody").symlink_to("nowhere")
    expect(run(need("sops"), "rotate", "-i", "--input-type", "json", "--add-age", store.keys["eve"], store.document("m100"),
               env={"SOPS_AGE_KEY_FILE": str(directory / "ada")}))  # fmt: skip
    result = expect(store("fix", "--identity", directory / "missing"), 3, store.lines(": links only", ("it",), NAMES[:20]))
    equal((result.err.count("\n"), str(directory / "missing") in result.err), (1, True), result.err)
    assert (store.document("m200").parent / "users/nobody").is_symlink()
    expect(store("fix", "--identity", directory / "ada"), 0,
           "m100 own/it: 0 recipients to add, 1 to remove\nm200 own/it: links only\n", "")  # fmt: skip


harness.main()
