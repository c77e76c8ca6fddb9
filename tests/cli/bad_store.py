# SPDX-License-Identifier: Apache-2.0
"""A store with damage by others: merge conflicts, links that lead out of it, special files, and documents of any
size. Each command names the file and the remedy, or does not need it; nothing outside is touched."""
import os
import re
import shutil

import harness
from example import DECLARATION, Example
from harness import equal, expect, need_root, run, test, vmcred, with_nix_store

BASE = "vars/per-machine/m/made"
DECLARED = DECLARATION.replace('two: {mode: "0440"}', "two: {secret: false}").replace("    kind:", "    validation: 1\n    kind:")
CHOOSE = (
    "has merge-conflict markers: choose a side (`git checkout --ours` or `--theirs`) or restore the file from before "
    "the merge"
)
OUT = "a symbolic link leads outside the directory: replace the link with a regular file or directory"


class Store(Example):
    """A store in which `one` is secret and `two` is public."""

    def __init__(self, directory):
        (directory / "store").mkdir()
        (directory / "outside").mkdir()
        (directory / "outside/victim").write_text("victim")
        super().__init__(directory / "store", DECLARED)
        self.outside = directory / "outside"
        self.base = self.directory / BASE

    def verb(self, verb):
        words = {
            "generate": ["generate"],
            "regenerate": ["generate", "--regenerate", "--all"],
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
        """Everything below the test's directory but activated secrets, which failing commands must not change."""
        found = {}
        for path in sorted(self.directory.parent.rglob("*")):
            if path.is_relative_to(self.root):
                continue
            kind = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(self.directory.parent))] = kind
        return found


FIXED = "vmcred: 1 secret could not be re-encrypted\n"


def fails(store, errors, codes=None):
    """Each command fails with its error and changes nothing; fix warns about each secret first, activate names the secret if
    the other one is activated."""
    before = store.contents()
    for verb, error in errors.items():
        result = store.verb(verb)
        line = f"vmcred: warning: {error}\n{FIXED}" if verb == "fix" else f"vmcred: {error}\n"
        out, result.err = result.out, re.sub("^vmcred: made/(one|two) is not activated: ", "vmcred: ", result.err)
        expected = {"activate": "1 secret in generation 1", "check": "m made/one cannot be read ("}.get(verb, "")
        assert out == "" or expected and out.startswith(expected) and out.count("\n") == 1, (verb, out)
        equal((result.code, result.err), ((codes or {}).get(verb, 1), line), verb)
    equal(store.contents(), before, "the files")


def works(store, *verbs):
    for verb in verbs:
        expect(store.verb(verb), 0, None, "")


def conflict(path):
    """Adds the conflict markers of a merge in which both sides changed the second line or the end."""
    first, *rest = [f"{line}\n" for line in path.read_text().splitlines()]
    ours, theirs = "".join(rest) or "ours\n", "".join(rest) or "theirs\n"
    path.write_text(f"{first}<<<<<<< HEAD\n{ours}||||||| base\n=======\n{theirs}>>>>>>> other\n")


def test_merge_conflict_in_the_declaration(directory):
    """every command that needs the declaration names the line of a merge conflict in it"""
    store = Store(directory)
    conflict(store.config)
    works(store, "get one")
    verbs = ("generate", "regenerate", "list", "check", "set one", "activate", "group")
    fails(store, {verb: f"{store.config}:2: {CHOOSE}" for verb in verbs})
    expect(store.verb("fix"), 1, "", f"vmcred: {store.config}:2: {CHOOSE}\n")


def test_merge_conflict_in_a_secret(directory):
    """commands that open a secret name the line of its merge conflict; the others work"""
    store = Store(directory)
    conflict(store.base / "one/secret")
    fails(store, {verb: f"{BASE}/one/secret:2: {CHOOSE}" for verb in ("get one", "check", "fix", "activate")})
    works(store, "generate", "list", "get two")


def test_merge_conflict_in_a_public_value(directory):
    """a public value with a merge conflict is not delivered"""
    store = Store(directory)
    conflict(store.base / "two/value")
    fails(store, {verb: f"{BASE}/two/value:2: {CHOOSE}" for verb in ("get two", "check", "activate")})
    works(store, "generate", "list", "get one", "fix")


def test_part_of_a_merge_conflict_in_a_public_value(directory):
    """a public value may have some of the lines of a conflict"""
    store = Store(directory)
    for text in ("=======\n", "<<<<<<< a\nb\n", ">>>>>>> a\n=======\n<<<<<<< b\n", "x <<<<<<< a\n=======\n>>>>>>> b\n"):
        (store.base / "two/value").write_text(text)
        expect(store.verb("get two"), 0, text, "")
    works(store, "check")


def test_merge_conflict_in_the_validation_hash(directory):
    """a merge conflict in the validation hash regenerates nothing"""
    store = Store(directory)
    conflict(store.base / ".validation-hash")
    fails(store, {verb: f"{BASE}/.validation-hash:2: {CHOOSE}" for verb in ("generate", "check")})
    works(store, "list", "get one", "get two", "fix", "activate", "regenerate", "check")


def test_merge_conflict_in_a_key(directory):
    """commands that encrypt to a key name the line of its merge conflict"""
    store = Store(directory)
    conflict(store.directory / "sops/machines/m/key.json")
    error = f"sops/machines/m/key.json:2: {CHOOSE}"
    fails(store, {"regenerate": f"made/one: {error}", "check": error, "fix": error, "set one": error})
    works(store, "generate", "list", "get one", "get two", "activate")


def test_check_reports_each_unreadable_file(directory):
    """check reports each unreadable file, and the faults of the others"""
    store = Store(directory)
    conflict(store.base / "one/secret")
    conflict(store.base / "two/value")
    unread = f"m made/one cannot be read (1 recipient to add, 0 to remove: + machine m {store.key()})\n"
    expect(store.verb("check"), 1, unread, f"vmcred: warning: {BASE}/two/value:2: {CHOOSE}\n"
           f"vmcred: {BASE}/one/secret:2: {CHOOSE}\n")  # fmt: skip
    (store.base / "two/value").unlink()
    expect(store.verb("check"), 1, unread + "m made/two is missing\n", f"vmcred: {BASE}/one/secret:2: {CHOOSE}\n")


def test_link_of_the_other_side_of_a_merge(directory):
    """the link that git adds for the other side of a merge is named"""
    store = Store(directory)
    (store.base / "one/machines/m~HEAD").symlink_to("../../../../../../sops/machines/m")
    error = (f"readers of {BASE}/one/secret: the machines name \"m~HEAD\" may only contain letters, digits, '.', '_' "
             "and '-'")  # fmt: skip
    fails(store, {"check": error, "fix": error, "set one": error}, {"check": 2, "set one": 2})
    works(store, "list", "get one", "activate")


def test_regular_file_counts_as_a_link(directory):
    """a regular file counts as a link, for file systems without links"""
    store = Store(directory)
    link = store.base / "one/machines/m"
    target = os.readlink(link)
    link.unlink()
    link.write_text(target)
    works(store, "generate", "list", "get one", "check", "fix", "activate")


def test_new_directory_is_not_created_outside(directory):
    """generate creates no directory through a link that leads outside, whichever part of the path it is"""
    store = Store(directory)
    for machine, path in (("m", "vars"), ("m", "vars/per-machine"), ("m", BASE[: BASE.rindex("/")]), (None, "vars"), (None, "vars/shared")):
        parent = f"vars/per-machine/{machine}" if machine else "vars/shared"
        shutil.rmtree(store.directory / "vars")
        store.config.write_text(DECLARED if machine else DECLARED.replace("    files:", "    share: true\n    files:", 1))
        link = store.directory / path
        link.parent.mkdir(parents=True, exist_ok=True)
        for target in store.outside, store.outside / "nothing":
            link.symlink_to(target)
            fails(store, {"generate": f"writing {parent}/made: opening {parent}: {OUT}"})
            link.unlink()
        works(store, "generate")


def test_file_instead_of_a_directory_is_not_replaced(directory):
    """a file instead of a directory is not replaced"""
    store = Store(directory)
    shutil.rmtree(store.base)
    store.base.write_text("another file")
    looking = f"{BASE}/one/secret: Not a directory: move away the file that has a directory's name"
    directory_error = f"opening {BASE}/one: Not a directory: move away the file that has a directory's name"
    fails(store, {"generate": looking, "regenerate": looking, "fix": directory_error,
                  "get one": f"opening {BASE}/one/secret: Not a directory",
                  "set one": f"creating {BASE}/one: Not a directory"})  # fmt: skip
    works(store, "list")
    expect(store.verb("check"), 1, "", f"vmcred: warning: {looking.replace('one/secret', 'two/value')}\nvmcred: {directory_error}\n")


def test_directory_instead_of_a_file_is_named(directory):
    """a directory instead of a file is named"""
    store = Store(directory)
    for name in ("one/secret", "two/value"):
        (store.base / name).unlink()
        (store.base / name).mkdir()
    fails(store, {"get one": f"opening {BASE}/one/secret: Is a directory",
                  "get two": f"opening {BASE}/two/value: Is a directory"})  # fmt: skip


def led_out(sentence, change, errors, working=()):
    @test(sentence)
    def test_led_out(directory):
        store = Store(directory)
        change(store)
        fails(store, errors)
        works(store, *working)
        equal((store.outside / "victim").read_text(), "victim")


def replaced(path, target):
    path.unlink()
    path.symlink_to(target)


def moved(path, store):
    """Moves a directory out of the store and leaves a link."""
    shutil.move(path, store.outside / "moved")
    path.symlink_to(store.outside / "moved")


led_out(
    "a secret that is a link to a file outside is not read",
    lambda store: replaced(store.base / "one/secret", "/etc/passwd"),
    {"get one": f"opening {BASE}/one/secret: {OUT}", "activate": f"opening {BASE}/one/secret: {OUT}"},
    ["list", "get two", "generate", "regenerate", "get one"],
)
led_out(
    "a public value that is a link to a file outside is not delivered",
    lambda store: replaced(store.base / "two/value", "../../../../../../outside/victim"),
    {verb: f"opening {BASE}/two/value: {OUT}" for verb in ("get two", "activate", "check")},
    ["list", "get one", "regenerate", "get two"],
)
led_out(
    "nothing is written through a secret's directory that leads outside",
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
    "nothing is written if a machine's directory leads outside",
    lambda store: moved(store.base.parent, store),
    MACHINE_OUTSIDE,
)
led_out(
    "nothing is written if the whole store leads outside",
    lambda store: moved(store.directory / "vars", store),
    MACHINE_OUTSIDE,
)
led_out(
    "no key is read or written if sops/ leads outside",
    lambda store: moved(store.directory / "sops", store),
    {"regenerate": f"made/one: opening sops/machines/m/key.json: {OUT}",
     "check": f"opening sops/machines/m/key.json: {OUT}",
     "user": f"creating sops/users: {OUT}", "group": f"creating sops/groups/g/machines: {OUT}"},
    ["list", "get one", "get two"],
)  # fmt: skip
led_out(
    "no link is changed in a directory of links that leads outside",
    lambda store: moved(store.base / "one/machines", store),
    {verb: f"readers of {BASE}/one/secret: listing machines: Not a directory" for verb in ("check", "fix", "set one")},
    ["list", "get one", "get two", "activate"],
)
led_out(
    "a cycle of links is an error",
    lambda store: (shutil.rmtree(store.base / "one"), (store.base / "one").symlink_to("one")),
    {"get one": f"opening {BASE}/one/secret: Too many levels of symbolic links",
     "set one": f"creating {BASE}/one: Too many levels of symbolic links"},
    ["get two"],
)  # fmt: skip


def test_links_into_the_nix_store(directory):
    """links into /nix/store are followed, as NixOS makes /etc, unless another user can change what they lead to"""
    need_root()
    store = Store(directory)
    one = store.verb("get one").out
    static = directory / "nix-store/00000000000000000000000000000000-etc/vmcred"
    static.mkdir(parents=True)
    (directory / "static").symlink_to("/nix/store/00000000000000000000000000000000-etc")
    for name in ("vmcred.yaml", "sops", "vars"):
        shutil.move(store.directory / name, static / name)
        (store.directory / name).symlink_to(directory / "static/vmcred" / name)

    def activate():
        shutil.rmtree(directory / "root", ignore_errors=True)
        return with_nix_store(directory, harness.VMCRED, "activate", "--config", store.config, "--identity", store.identity,
                              "--root", store.root)

    expect(activate(), 0, None, "")
    equal(store.active("one").read_text(), one)
    for change in (lambda path: path.chmod(0o664), lambda path: os.chown(path, 1, 1)):
        document = static / BASE / "one/secret"
        change(document)
        assert OUT in expect(activate(), 1, None).err
        document.chmod(0o444)
        os.chown(document, 0, 0)


def test_link_within_the_store_is_followed(directory):
    """a link within the store is followed: two machines may share a directory"""
    store = Store(directory)
    shutil.move(store.base, store.directory / "elsewhere")
    store.base.symlink_to("../../../elsewhere")
    works(store, "list", "get one", "get two", "check", "set one", "activate")
    equal(store.verb("get one").out, "new")


def test_declared_names_stay_in_the_store(directory):
    """a name in the declaration cannot lead out of the store"""
    store = Store(directory)
    for name in ("..", "a/b", "../m", ".hidden"):
        store.config.write_text(DECLARED.replace("made:", f'"{name}":').replace("made/", f"{name}/"))
        result = store.verb("regenerate")
        equal((result.code, result.out), (2, ""), name)
        assert result.err.startswith(f"vmcred: {store.config}:"), result.err
    equal(sorted(path.name for path in directory.iterdir()), ["outside", "store"])


def test_pipe_instead_of_a_file_does_not_block(directory):
    """a pipe instead of a file does not block"""
    store = Store(directory)
    for name in (f"{BASE}/one/secret", f"{BASE}/two/value", "sops/machines/m/key.json"):
        (store.directory / name).unlink()
        os.mkfifo(store.directory / name)
    fails(store, {"get one": f"opening {BASE}/one/secret: not a regular file",
                  "get two": f"opening {BASE}/two/value: not a regular file",
                  "activate": f"opening {BASE}/one/secret: not a regular file",
                  "regenerate": "made/one: opening sops/machines/m/key.json: not a regular file"})  # fmt: skip


def test_huge_files_are_rejected_unread(directory):
    """files of a hundred megabytes are rejected before they are read"""
    store = Store(directory)
    for name in (f"{BASE}/one/secret", f"{BASE}/two/value", "sops/machines/m/key.json"):
        os.truncate(store.directory / name, 100 << 20)
    errors = {
        "get one": f"{BASE}/one/secret is larger than 4194304 bytes",
        "get two": f"{BASE}/two/value is larger than 4194304 bytes",
        "activate": f"{BASE}/one/secret is larger than 4194304 bytes",
        "regenerate": "made/one: sops/machines/m/key.json is larger than 65536 bytes",
    }
    for verb, error in errors.items():
        expect(store.verb(verb), 1, "", f"vmcred: {error}\n")


def test_malformed_documents_are_errors(directory):
    """endlessly nested, empty and truncated documents are errors"""
    store = Store(directory)
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
    def test_bad_key(directory):
        store = Store(directory)
        (store.directory / "sops/machines/m/key.json").write_text(text)
        said = {"regenerate": f"made/one: {error}", "check": error, "set one": error}
        fails(store, said, {verb: code for verb in said})
        works(store, "generate", "list", "get one", "activate")


KEY = "sops/machines/m/key.json"
bad_key("an empty key.json is named", "", f"{KEY} is empty")
bad_key("a key.json without a key is named", "[]", f"{KEY}: no keys")
bad_key("a key.json in another format is named", '{"key": 1}',
        f'{KEY}: missing string "publickey" or "type"')  # fmt: skip
bad_key("a key.json with half a key is named", '[{"publickey": "age1xyz", "type": "age"}]',
        f'{KEY}: "age1xyz" is not an age public key: it has 7 characters instead of 62', 2)  # fmt: skip
bad_key("an endlessly nested key.json is named", "[" * 60000, f"{KEY} is not valid JSON (line 1, column 2049)")

harness.main()
