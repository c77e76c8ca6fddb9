# SPDX-License-Identifier: Apache-2.0
"""What others may have put into a store: merges' left-overs, links that lead out of it, files that are no files, and
documents of any size. Each verb names the file and the way out, or does not need it; nothing outside is touched."""
import os
import shutil

import harness
from example import DECLARATION, Example
from harness import equal, expect, test, vmcred

BASE = "vars/per-machine/m/made"
DECLARED = DECLARATION.replace('two: {mode: "0440"}', "two: {secret: false}").replace("    kind:", "    validation: 1\n    kind:")
CHOOSE = (
    "has merge-conflict markers: choose a side (`git checkout --ours` or `--theirs`) or restore the file from before "
    "the merge"
)
OUT = "a symbolic link leads outside the directory: replace the link with a regular file or directory"


class Store(Example):
    """A store in which `one` is secret and `two` is public."""

    def __init__(self, folder):
        (folder / "store").mkdir()
        (folder / "outside").mkdir()
        (folder / "outside/victim").write_text("victim")
        super().__init__(folder / "store", DECLARED)
        self.outside = folder / "outside"
        self.base = self.folder / BASE

    def verb(self, verb):
        words = {
            "generate": ["generate"],
            "regenerate": ["generate", "--regenerate"],
            "list": ["list"],
            "get one": ["get", "--identity", self.identity, "m", "made/one"],
            "get two": ["get", "--identity", self.identity, "m", "made/two"],
            "check": ["check"],
            "fix": ["fix", "--identity", self.identity],
            "set one": ["set", "m", "made/one"],
            "activate": ["activate", "--identity", self.identity, "--root", self.root],
            "group": ["group", "add", "g", "--machine", "m"],
            "user": ["user", "add", "ada", "--age-key", self.key(), "--identity", self.identity],
        }[verb]
        return vmcred(words[0], "--config", self.config, *words[1:], stdin="new", timeout=60)

    def key(self):
        return self.identity.read_text().split("public key: ")[1].split()[0]

    def contents(self):
        """Everything below the test's folder, which no verb that fails may change."""
        found = {}
        for path in sorted(self.folder.parent.rglob("*")):
            kind = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(self.folder.parent))] = kind
        return found


FIXED = "vmcred: 1 secret could not be re-encrypted\n"


def fails(store, errors, codes=None):
    """`errors` are verbs and what they say; a fix warns of each secret first. Nothing is changed by them."""
    before = store.contents()
    for verb, error in errors.items():
        result = store.verb(verb)
        line = f"vmcred: warning: {error}\n{FIXED}" if verb == "fix" else f"vmcred: {error}\n"
        equal((result.code, result.out, result.err), ((codes or {}).get(verb, 1), "", line), verb)
    equal(store.contents(), before, "what is there")


def works(store, *verbs):
    for verb in verbs:
        expect(store.verb(verb), 0, None, "")


def conflict(path):
    """As a merge leaves a file whose second line both sides have changed, or the end of its only one."""
    first, *rest = [f"{line}\n" for line in path.read_text().splitlines()]
    ours, theirs = "".join(rest) or "ours\n", "".join(rest) or "theirs\n"
    path.write_text(f"{first}<<<<<<< HEAD\n{ours}||||||| base\n=======\n{theirs}>>>>>>> other\n")


def test_declaration_merge_conflict_named_line_every_verb(folder):
    """a declaration with a merge conflict is named with its line by every verb"""
    store = Store(folder)
    conflict(store.config)
    verbs = ("generate", "regenerate", "list", "get one", "check", "set one", "activate", "group")
    fails(store, {verb: f"{store.config}:2: {CHOOSE}" for verb in verbs})
    expect(store.verb("fix"), 1, "", f"vmcred: {store.config}:2: {CHOOSE}\n")


def test_secret_merge_conflict_named_line_every_verb_opens(folder):
    """a secret with a merge conflict is named with its line by every verb that opens it, and the others work"""
    store = Store(folder)
    conflict(store.base / "one/secret")
    fails(store, {verb: f"{BASE}/one/secret:2: {CHOOSE}" for verb in ("get one", "check", "fix", "activate")})
    works(store, "generate", "list", "get two")


def test_public_value_merge_conflict_delivered_nobody(folder):
    """a public value with a merge conflict is delivered to nobody"""
    store = Store(folder)
    conflict(store.base / "two/value")
    fails(store, {verb: f"{BASE}/two/value:2: {CHOOSE}" for verb in ("get two", "check", "activate")})
    works(store, "generate", "list", "get one", "fix")


def test_public_value_lines_like_some_conflict(folder):
    """a public value that has lines like some of a conflict's is what it is"""
    store = Store(folder)
    for text in ("=======\n", "<<<<<<< a\nb\n", ">>>>>>> a\n=======\n<<<<<<< b\n", "x <<<<<<< a\n=======\n>>>>>>> b\n"):
        (store.base / "two/value").write_text(text)
        expect(store.verb("get two"), 0, text, "")
    works(store, "check")


def test_validation_hash_merge_conflict_makes_nothing_anew(folder):
    """a validation's hash with a merge conflict makes nothing anew"""
    store = Store(folder)
    conflict(store.base / ".validation-hash")
    fails(store, {verb: f"{BASE}/.validation-hash:2: {CHOOSE}" for verb in ("generate", "check")})
    works(store, "list", "get one", "get two", "fix", "activate", "regenerate", "check")


def test_key_merge_conflict_named_line_where_something(folder):
    """a key with a merge conflict is named with its line where something is encrypted to it"""
    store = Store(folder)
    conflict(store.folder / "sops/machines/m/key.json")
    error = f"sops/machines/m/key.json:2: {CHOOSE}"
    fails(store, {"regenerate": f"made/one: {error}", "check": error, "fix": error, "set one": error})
    works(store, "generate", "list", "get one", "get two", "activate")


def test_check_tells_every_file_cannot_read_wrong_others(folder):
    """check tells every file that it cannot read, and what is wrong with the others"""
    store = Store(folder)
    conflict(store.base / "one/secret")
    conflict(store.base / "two/value")
    expect(store.verb("check"), 1, "", f"vmcred: warning: {BASE}/two/value:2: {CHOOSE}\n"
           f"vmcred: {BASE}/one/secret:2: {CHOOSE}\n")  # fmt: skip
    (store.base / "two/value").unlink()
    expect(store.verb("check"), 1, "m made/two is missing\n", f"vmcred: {BASE}/one/secret:2: {CHOOSE}\n")


def test_side_link_git_puts_beside_ours_named_where(folder):
    """the other side's link that git puts beside ours is named, with where it is"""
    store = Store(folder)
    (store.base / "one/machines/m~HEAD").symlink_to("../../../../../../sops/machines/m")
    error = (f"readers of {BASE}/one/secret: the machines name \"m~HEAD\" may only contain letters, digits, '.', '_' "
             "and '-'")  # fmt: skip
    fails(store, {"check": error, "fix": error, "set one": error}, {"check": 2, "set one": 2})
    works(store, "list", "get one", "activate")


def test_link_became_file_where_links_cannot_reader_name(folder):
    """a link that became a file, where links cannot be, is the reader that its name says"""
    store = Store(folder)
    link = store.base / "one/machines/m"
    target = os.readlink(link)
    link.unlink()
    link.write_text(target)
    works(store, "generate", "list", "get one", "check", "fix", "activate")


def test_file_where_folder_not_replaced(folder):
    """a file where a folder has to be is not replaced"""
    store = Store(folder)
    shutil.rmtree(store.base)
    store.base.write_text("what somebody else has made")
    looking = f"{BASE}/one/secret: Not a directory: move away the file that has a directory's name"
    folder_error = f"opening {BASE}/one: Not a directory: move away the file that has a directory's name"
    fails(store, {"generate": looking, "regenerate": looking, "list": looking, "fix": folder_error,
                  "get one": f"opening {BASE}/one/secret: Not a directory",
                  "set one": f"creating {BASE}/one: Not a directory"})  # fmt: skip
    expect(store.verb("check"), 1, "", f"vmcred: warning: {looking.replace('one/secret', 'two/value')}\nvmcred: {folder_error}\n")


def test_folder_where_file_named(folder):
    """a folder where a file has to be is named"""
    store = Store(folder)
    for name in ("one/secret", "two/value"):
        (store.base / name).unlink()
        (store.base / name).mkdir()
    fails(store, {"get one": f"opening {BASE}/one/secret: Is a directory",
                  "get two": f"opening {BASE}/two/value: Is a directory"})  # fmt: skip


def led_out(sentence, change, errors, working=()):
    @test(sentence)
    def test_case(folder):
        store = Store(folder)
        change(store)
        fails(store, errors)
        works(store, *working)
        equal((store.outside / "victim").read_text(), "victim")


def replaced(path, target):
    path.unlink()
    path.symlink_to(target)


def moved(path, store):
    """The folder is outside now, and a link in its place."""
    shutil.move(path, store.outside / "moved")
    path.symlink_to(store.outside / "moved")


led_out(
    "a secret that is a link to a file outside is not read",
    lambda store: replaced(store.base / "one/secret", "/etc/passwd"),
    {"get one": f"opening {BASE}/one/secret: {OUT}", "activate": f"opening {BASE}/one/secret: {OUT}"},
    ["list", "get two", "generate", "regenerate", "get one"],
)
led_out(
    "a public value that is a link to a file outside is delivered to nobody",
    lambda store: replaced(store.base / "two/value", "../../../../../../outside/victim"),
    {verb: f"opening {BASE}/two/value: {OUT}" for verb in ("get two", "activate", "check")},
    ["list", "get one", "regenerate", "get two"],
)
led_out(
    "nothing is written through a folder of a secret that leads outside",
    lambda store: moved(store.base / "one", store),
    {"get one": f"opening {BASE}/one/secret: {OUT}", "fix": f"opening {BASE}/one: {OUT}",
     "check": f"opening {BASE}/one: {OUT}", "set one": f"creating {BASE}/one: {OUT}"},
    ["list", "get two"],
)  # fmt: skip
MACHINE_OUTSIDE = {
    "regenerate": f"writing {BASE}: opening vars/per-machine/m: {OUT}",
    "set one": f"creating {BASE}/one: {OUT}",
    "fix": f"opening {BASE}/one: {OUT}",
}
led_out(
    "nothing is made or written where a machine's folder leads outside",
    lambda store: moved(store.base.parent, store),
    MACHINE_OUTSIDE,
)
led_out(
    "nothing is made or written where the whole store leads outside",
    lambda store: moved(store.folder / "vars", store),
    MACHINE_OUTSIDE,
)
led_out(
    "no key is read or written where those who have keys are outside",
    lambda store: moved(store.folder / "sops", store),
    {"regenerate": f"made/one: opening sops/machines/m/key.json: {OUT}",
     "check": f"opening sops/machines/m/key.json: {OUT}",
     "user": f"creating sops/users: {OUT}", "group": f"creating sops/groups/g/machines: {OUT}"},
    ["list", "get one", "get two"],
)  # fmt: skip
led_out(
    "no link is made or removed in a folder of links that leads outside",
    lambda store: moved(store.base / "one/machines", store),
    {verb: f"readers of {BASE}/one/secret: listing machines: Not a directory" for verb in ("check", "fix", "set one")},
    ["list", "get one", "get two", "activate"],
)
led_out(
    "links in a circle are an error",
    lambda store: (shutil.rmtree(store.base / "one"), (store.base / "one").symlink_to("one")),
    {"get one": f"opening {BASE}/one/secret: Too many levels of symbolic links",
     "set one": f"creating {BASE}/one: Too many levels of symbolic links"},
    ["get two"],
)  # fmt: skip


def test_link_stays_store_followed_two_machines_may_share(folder):
    """a link that stays in the store is followed: two machines may share a folder"""
    store = Store(folder)
    shutil.move(store.base, store.folder / "elsewhere")
    store.base.symlink_to("../../../elsewhere")
    works(store, "list", "get one", "get two", "check", "set one", "activate")
    equal(store.verb("get one").out, "new")


def test_name_declaration_cannot_lead_out_store(folder):
    """a name in the declaration cannot lead out of the store"""
    store = Store(folder)
    for name in ("..", "a/b", "../m", ".hidden"):
        store.config.write_text(DECLARED.replace("made:", f'"{name}":').replace("made/", f"{name}/"))
        result = store.verb("regenerate")
        equal((result.code, result.out), (2, ""), name)
        assert result.err.startswith(f"vmcred: {store.config}:"), result.err
    equal(sorted(path.name for path in folder.iterdir()), ["outside", "store"])


def test_pipe_place_file_keeps_nobody_waiting(folder):
    """a pipe in the place of a file keeps nobody waiting"""
    store = Store(folder)
    for name in (f"{BASE}/one/secret", f"{BASE}/two/value", "sops/machines/m/key.json"):
        (store.folder / name).unlink()
        os.mkfifo(store.folder / name)
    fails(store, {"get one": f"opening {BASE}/one/secret: not a regular file",
                  "get two": f"opening {BASE}/two/value: not a regular file",
                  "activate": f"opening {BASE}/one/secret: not a regular file",
                  "regenerate": "made/one: opening sops/machines/m/key.json: not a regular file"})  # fmt: skip


def test_files_hundred_megabytes_refused_before_they_memory(folder):
    """files of a hundred megabytes are refused before they are in memory"""
    store = Store(folder)
    for name in (f"{BASE}/one/secret", f"{BASE}/two/value", "sops/machines/m/key.json"):
        os.truncate(store.folder / name, 100 << 20)
    errors = {
        "get one": f"{BASE}/one/secret is larger than 4194304 bytes",
        "get two": f"{BASE}/two/value is larger than 4194304 bytes",
        "activate": f"{BASE}/one/secret is larger than 4194304 bytes",
        "regenerate": "made/one: sops/machines/m/key.json is larger than 65536 bytes",
    }
    for verb, error in errors.items():
        expect(store.verb(verb), 1, "", f"vmcred: {error}\n")


def test_documents_nested_without_end_empty_cut_off_errors(folder):
    """documents that are nested without end, empty or cut off are errors"""
    store = Store(folder)
    secret = store.base / "one/secret"
    whole = secret.read_text()
    for text, error in (
        ('{"data":' * 100000, f"{BASE}/one/secret is nested more than 10000 levels deep"),
        ("", f"{BASE}/one/secret is empty"),
        (whole[:100], f"{BASE}/one/secret is truncated: unexpected end of JSON (line 2, column 99)"),
    ):
        secret.write_text(text)
        fails(store, {verb: error for verb in ("get one", "check", "fix", "activate")})


def bad_key(sentence, text, error, code=1):
    @test(sentence)
    def test_case_2(folder):
        store = Store(folder)
        (store.folder / "sops/machines/m/key.json").write_text(text)
        said = {"regenerate": f"made/one: {error}", "check": error, "set one": error}
        fails(store, said, {verb: code for verb in said})
        works(store, "generate", "list", "get one", "activate")


KEY = "sops/machines/m/key.json"
bad_key("an empty key.json is named", "", f"{KEY} is empty")
bad_key("a key.json without a key is named", "[]", f"{KEY}: no keys")
bad_key("a key.json of another form is named", '{"key": 1}',
        f'{KEY}: missing string "publickey" or "type"')  # fmt: skip
bad_key("a key.json with half a key is named", '[{"publickey": "age1xyz", "type": "age"}]',
        f'{KEY}: "age1xyz" is not an age public key: it has 7 characters instead of 62', 2)  # fmt: skip
bad_key("a key.json that is nested without end is named", "[" * 60000, f"{KEY} is not valid JSON (line 1, column 2049)")

harness.main()
