# SPDX-License-Identifier: Apache-2.0
"""Users with PGP keys, as in clan: the real sops decrypts each file with gpg after each step."""
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import harness
from example import without_recipients
from harness import equal, expect, fails, need, run, succeeds, vmcred

DECLARATION = """\
machines: {m: {}}
generators:
  own: {machines: [m], files: {it: {}, kept: {deploy: false}}, kind: {it: {hex: 8}, kept: {hex: 8}}}
  shared: {share: true, files: {it: {}}, kind: {it: {hex: 8}}}
"""
DEPENDING = """\
  derived: {machines: [m], dependencies: [own, shared], files: {it: {}}, script: "cat $in/own/it $in/shared/it > $out/it"}
  asked:
    machines: [m]
    validation: {version: "!"}
    prompts: {word: {persist: true}}
    files: {it: {}}
    script: 'echo -n "$(cat $prompts/word)!" > $out/it'
"""
NOBODYS = "0123456789ABCDEF0123456789ABCDEF01234567"


@contextmanager
def gnupg(*people):
    """Creates a keyring with a key for each name; returns its environment and the fingerprints."""
    # The agent's socket has a short path.
    with tempfile.TemporaryDirectory(prefix="vmcred-gpg.", dir="/dev/shm") as home:
        env = {"GNUPGHOME": home}
        try:
            for person in people:
                expect(run(need("gpg"), "--batch", "--passphrase", "", "--quick-gen-key", f"{person} <{person}@example.org>",
                           "default", "default", "never", env=env))  # fmt: skip
            listed = run("gpg", "--list-keys", "--with-colons", env=env).out.splitlines()
            primary = [after.split(":")[9] for line, after in zip(listed, listed[1:]) if line.startswith("pub")]
            yield env, dict(zip(people, primary))
        finally:
            run("gpgconf", "--kill", "gpg-agent", env=env | {"PATH": os.environ["PATH"]})


class Store:
    """The store of the machine m, which has its own key, and of ada, who has an age key."""

    def __init__(self, directory, env):
        self.directory = directory
        self.env = env | {"HOME": str(directory), "XDG_CONFIG_HOME": str(directory / "none")}
        (directory / "vmcred.yaml").write_text(DECLARATION)
        for name in ("ada", "eve"):
            expect(run(need("age-keygen"), "-o", directory / name))
        expect(self("keygen", "--machine", "m", "--output", directory / "m"))

    def key(self, name):
        return run("age-keygen", "-y", self.directory / name).out.strip()

    def __call__(self, command, *words, env=None, **options):
        return without_recipients(vmcred(command, "--config", self.directory / "vmcred.yaml", *words, env=self.env | (env or {}), **options))

    def documents(self):
        return sorted(path for path in self.directory.rglob("secret") if path.is_file())

    def opened_by_gpg(self, path, env=None):
        """Decrypts with the real sops and gpg only; returns None if that fails."""
        done = run(need("sops"), "decrypt", "--input-type", "json", "--output-type", "binary", path, env=self.env | (env or {}))
        return done.out if done.code == 0 else None

    def value(self, path, name):
        return expect(run("sops", "decrypt", "--input-type", "json", "--output-type", "binary", path,
                          env={"SOPS_AGE_KEY_FILE": str(self.directory / name)})).out  # fmt: skip


def metadata(path):
    sops = json.loads(path.read_text())["sops"]
    return sorted(key["recipient"] for key in sops.get("age") or []), sorted(key["fp"] for key in sops.get("pgp") or [])


def test_secrets_are_encrypted_to_pgp_keys(directory):
    """generated secrets are encrypted to users with PGP keys too, and key.json has the form of clan"""
    with gnupg("paula", "quentin") as (env, fingerprints):
        store = Store(directory, env)
        expect(store("user", "add", "ada", "--age-key", store.key("ada")), 0, "", "")
        expect(store("user", "add", "paula", "--pgp-key", fingerprints["paula"]), 0, "", "")
        equal((directory / "sops/users/paula/key.json").read_text(),
              json.dumps([{"publickey": fingerprints["paula"], "type": "pgp"}], indent=2))  # fmt: skip
        # clan's older form, and one person with a key of each type.
        (directory / "sops/users/quentin").mkdir()
        (directory / "sops/users/quentin/key.json").write_text(json.dumps({"publickey": fingerprints["quentin"], "type": "pgp"}))
        (directory / "sops/users/eve").mkdir()
        both = [{"publickey": store.key("eve"), "type": "age"}, {"publickey": fingerprints["paula"], "type": "pgp"}]
        (directory / "sops/users/eve/key.json").write_text(json.dumps(both))
        expect(store("generate"))
        expect(store("machine", "add", "m", "--force", "--identity", directory / "ada"))
        everybody = sorted(store.key(name) for name in ("ada", "eve"))
        equal(len(store.documents()), 4)
        for path in store.documents():
            equal(metadata(path)[1], sorted(fingerprints.values()), path)
            assert set(everybody) <= set(metadata(path)[0]), path
            equal(store.opened_by_gpg(path), store.value(path, "ada"), path)
        succeeds(store("check"), "all 4 files")


def test_added_and_removed_pgp_key(directory):
    """an added PGP key decrypts all secrets, a removed one none, and the values do not change"""
    with gnupg("paula", "quentin") as (env, fingerprints):
        store = Store(directory, env)
        expect(store("user", "add", "ada", "--age-key", store.key("ada")), 0, "", "")
        expect(store("generate"))
        values = {path: json.loads(path.read_text())["data"] for path in store.documents()}
        spaced = " ".join(fingerprints["paula"][i : i + 4] for i in range(0, 40, 4))
        expect(store("user", "add", "paula", "--pgp-key", spaced, "--identity", directory / "ada"), 0,
               "shared shared/it: 1 recipient to add, 0 to remove\nm own/it: 1 recipient to add, 0 to remove\n"
               "m own/kept: 1 recipient to add, 0 to remove\n", "")  # fmt: skip
        for path, value in values.items():
            equal(json.loads(path.read_text())["data"], value)
            equal(metadata(path)[1], [fingerprints["paula"]])
            equal(store.opened_by_gpg(path), store.value(path, "ada"), path)
        result = expect(store("user", "add", "paula", "--force", "--pgp-key", fingerprints["paula"],
                              "--pgp-key", fingerprints["quentin"], "--identity", directory / "ada"))  # fmt: skip
        equal(len(result.out.splitlines()), 3)
        expect(store("user", "remove", "paula", "--identity", directory / "ada"), 0,
               "sops/users/paula: to remove\n"
               "shared shared/it: 0 recipients to add, 2 to remove\nm own/it: 0 recipients to add, 2 to remove\n"
               "m own/kept: 0 recipients to add, 2 to remove\n", "")  # fmt: skip
        for path in values:
            equal(metadata(path)[1], [])
            equal(store.opened_by_gpg(path), None)
        succeeds(store("check"), "all 3 files")


def test_user_of_gpg_administers_a_store(directory):
    """a user whose only key is in gpg administers a store without an identity"""
    with gnupg("paula") as (env, fingerprints):
        store = Store(directory, env)
        expect(store("user", "add", "paula", "--pgp-key", fingerprints["paula"]), 0, "", "")
        expect(store("generate"))
        result = expect(store("user", "add", "eve", "--age-key", store.key("eve")), 0, None, "")
        equal(len(result.out.splitlines()), 3)
        for path in store.documents():
            equal(store.value(path, "eve"), store.opened_by_gpg(path), path)
        expect(store("set", "m", "own/kept", stdin=b"new"), 0, "", "")
        equal(store.opened_by_gpg(directory / "vars/per-machine/m/own/kept/secret"), "new")
        # A document that sops wrote for fewer recipients is found and fixed.
        path = directory / "vars/shared/shared/it/secret"
        expect(run("sops", "rotate", "-i", "--input-type", "json", "--rm-age", store.key("eve"), path, env=store.env))
        expect(store("check"), 3,
               "shared shared/it does not have its declared recipients (1 recipient to add, 0 to remove)\n",
               "vmcred: 1 of 3 files is not as declared: fix the first with `vmcred fix`\n")  # fmt: skip
        expect(store("fix"), 0, "shared shared/it: 1 recipient to add, 0 to remove\n", "")
        equal(store.value(path, "eve"), store.opened_by_gpg(path))


def test_missing_pgp_key_is_an_error(directory):
    """a PGP key that gpg does not have is an error that names the user and file, and nothing is written"""
    with gnupg("paula") as (env, _):
        store = Store(directory, env)
        expect(store("user", "add", "ada", "--age-key", store.key("ada")), 0, "", "")
        expect(store("generate"))
        before = {path: path.read_bytes() for path in store.documents()}
        why = (f"PGP key {NOBODYS} of the user paula in sops/users/paula/key.json: gpg failed: gpg: error reading key: "
               f"No public key: import it: `gpg --import FILE` or `gpg --recv-keys {NOBODYS}`\n")  # fmt: skip
        files = ("vars/shared/shared/it/secret", "vars/per-machine/m/own/it/secret", "vars/per-machine/m/own/kept/secret")
        expect(store("user", "add", "paula", "--pgp-key", NOBODYS, "--identity", directory / "ada"), 1, "",
               "".join(f"vmcred: warning: {file}: {why}" for file in files) + "vmcred: 3 secrets could not be re-encrypted\n")  # fmt: skip
        expect(store("generate", "--regenerate", "--all"), 3, "", f"vmcred: shared/it: {why}")
        expect(store("set", "m", "own/it", stdin=b"x"), 3, "", f"vmcred: vars/per-machine/m/own/it/secret: {why}")
        expect(store("machine", "add", "m", "--force"), 3, "", f"vmcred: {why}")
        equal({path: path.read_bytes() for path in store.documents()}, before)


def test_gpg_is_started_only_if_needed(directory):
    """gpg is started only for secrets that are encrypted to a PGP key"""
    with gnupg("paula") as (env, fingerprints):
        store = Store(directory, env)
        none = {"SOPS_GPG_EXEC": "/nonexistent/gpg"}
        expect(store("user", "add", "ada", "--age-key", store.key("ada"), env=none), 0, "", "")
        expect(store("generate", env=none))
        expect(store("user", "add", "paula", "--pgp-key", fingerprints["paula"], "--identity", directory / "ada"), 0, None, "")
        calls = directory / "calls"
        script = harness.write_program(directory / "gpg", f'#!/bin/sh\necho "$*" >> {calls}\nexec {need("gpg")} "$@"\n')
        counted = {"SOPS_GPG_EXEC": str(script)}
        for command in (["check"], ["fix"], ["list"], ["get", "m", "own/it", "--identity", directory / "ada"]):
            expect(store(*command, env=counted))
        assert not calls.exists(), calls.read_text()
        # Whether it has the key is asked once, then each file's data key is encrypted by one call.
        expect(store("generate", "--regenerate", "--all", env=counted))
        kinds = ["list" if "--list-keys" in line else "encrypt" if "--encrypt" in line else line
                 for line in Path(calls).read_text().splitlines()]  # fmt: skip
        equal((kinds[0], sorted(kinds)), ("list", ["encrypt"] * 3 + ["list"]))


def test_user_of_gpg_generates_dependent_secrets(directory):
    """a user whose only key is in gpg reads secrets and generates dependent ones"""
    with gnupg("paula") as (env, fingerprints):
        store = Store(directory, env)
        expect(store("user", "add", "paula", "--pgp-key", fingerprints["paula"]), 0, "", "")
        expect(store("generate"))
        (directory / "vmcred.yaml").write_text(DECLARATION + DEPENDING)
        own, shared, derived = (directory / f"vars/{name}/it/secret" for name in
                                ("per-machine/m/own", "shared/shared", "per-machine/m/derived"))  # fmt: skip
        expect(store("get", "m", "own/it"), 0, store.opened_by_gpg(own), "")
        expect(store("get", "m", "shared/it"), 0, store.opened_by_gpg(shared), "")
        expect(store("generate", "--generator", "derived"), 0, "derived for m: generated it\n", "")
        equal(store.opened_by_gpg(derived), store.opened_by_gpg(own) + store.opened_by_gpg(shared))
        expect(store("get", "m", "derived/it"), 0, store.opened_by_gpg(derived), "")
        (directory / "word").write_text("kept")
        expect(store("generate", "--prompt", f"word=@{directory / 'word'}"), 0, "asked for m: generated it, word\n", "")
        # The answer that is in the store is read from there when the declaration has changed.
        (directory / "vmcred.yaml").write_text(DECLARATION + DEPENDING.replace("!", "?"))
        result = expect(store("generate"), 0, "asked for m: generated it, word\n")
        assert "asked for m" in result.err and "validation" in result.err, result.err
        expect(store("get", "m", "asked/it"), 0, "kept?", "")


def test_secret_without_pgp_recipient_needs_an_identity(directory):
    """a secret without a PGP recipient cannot be read without an identity, and gpg is not started"""
    with gnupg("paula") as (env, fingerprints):
        store = Store(directory, env)
        expect(store("user", "add", "ada", "--age-key", store.key("ada")), 0, "", "")
        expect(store("generate"))
        none = {"SOPS_GPG_EXEC": "/nonexistent/gpg", "SOPS_AGE_KEY_FILE": str(directory / "none")}
        fails(store("get", "m", "own/it", env=none), 3, directory / "none", "--identity")
        # With an identity that opens nothing, gpg is tried.
        expect(store("user", "add", "paula", "--pgp-key", fingerprints["paula"], "--identity", directory / "ada"), 0, None, "")
        path = directory / "vars/per-machine/m/own/it/secret"
        expect(store("get", "m", "own/it", "--identity", directory / "eve"), 0, store.opened_by_gpg(path), "")
        equal(store("get", "m", "own/it", env=none).code, 3)


def test_key_in_gpg_identifies_the_creator(directory):
    """without default groups, the key in gpg identifies the user who generates a secret"""
    with gnupg("paula") as (env, fingerprints), gnupg("quentin") as (others, more):
        exported = run(need("gpg"), "--export", "--armor", more["quentin"], env=others)
        store = Store(directory, env)
        expect(run("gpg", "--batch", "--import", env=env, stdin=exported.out.encode()))
        (directory / "vmcred.yaml").write_text("sops: {defaultGroups: []}\n" + DECLARATION)
        none = {"SOPS_AGE_KEY_FILE": str(directory / "none")}
        fails(store("generate", env=none), 3, directory / "none", "--identity")
        # Of quentin gpg has the public key alone.
        expect(store("user", "add", "a-quentin", "--pgp-key", more["quentin"]), 0, "", "")
        fails(store("generate", env=none), 3, directory / "none", "--identity")
        fails(store("generate", "--identity", directory / "ada"), 2, "defaultGroups", "vmcred user add")
        expect(store("user", "add", "paula", "--pgp-key", fingerprints["paula"]), 0, "", "")
        expect(store("generate"))
        equal(len(store.documents()), 3)
        for path in store.documents():
            equal(metadata(path)[1], [fingerprints["paula"]], path)
        expect(store("set", "m", "own/kept", stdin=b"new"), 0, "", "")
        expect(store("get", "m", "own/kept"), 0, "new", "")
        # An identity takes precedence over the keys in gpg.
        expect(store("user", "add", "ada", "--age-key", store.key("ada")), 0, "", "")
        expect(store("set", "m", "own/kept", "--identity", directory / "ada", stdin=b"ada's",
                     env={"SOPS_GPG_EXEC": need("gpg")}), 0, "", "")  # fmt: skip
        assert store.key("ada") in metadata(directory / "vars/per-machine/m/own/kept/secret")[0]


harness.main()
