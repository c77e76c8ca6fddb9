# SPDX-License-Identifier: Apache-2.0
"""A secret is bound to its name: a document that somebody without a key copies to another name is never delivered. One
that sops or clan has written has no name; it is read, `check` reports it, and `fix` binds it."""
import json
import shutil
import time

import harness
from example import Example
from harness import equal, expect, fails, need, run, succeeds, vmcred

DECLARATION = """\
machines: {m: {}, n: {}}
generators:
  own: {machines: [m, n], files: {it: {}, other: {}}, kind: {it: {hex: 8}, other: {hex: 8}}}
  twin: {machines: [m], files: {it: {}}, kind: {it: {hex: 8}}}
  all: {share: true, files: {it: {}}, kind: {it: {hex: 8}}}
"""
IT, N_IT = "vars/per-machine/m/own/it/secret", "vars/per-machine/n/own/it/secret"
OTHERS = ("vars/per-machine/m/own/other/secret", "vars/per-machine/m/twin/it/secret", "vars/shared/all/it/secret", N_IT)


class Store:
    """One identity is the user's and both machines', so that only names tell secrets apart."""

    def __init__(self, directory):
        self.example = Example(directory, DECLARATION, generate=False)
        self.directory, self.identity = directory, self.example.identity
        self.public = self.identity.read_text().split("public key: ")[1].split()[0]
        expect(self("machine", "add", "n", "--age-key", self.public))
        expect(self("user", "add", "ada", "--age-key", self.public, "--identity", self.identity))
        expect(self("generate"))

    def __call__(self, command, *arguments, **options):
        return vmcred(command, "--config", self.directory / "vmcred.yaml", *arguments, **options)

    def read(self, path):
        return json.loads((self.directory / path).read_text())

    def write(self, path, document):
        (self.directory / path).write_text(json.dumps(document))

    def get(self):
        return self("get", "--identity", self.identity, "m", "own/it")

    def sops(self, *arguments):
        return run(need("sops"), *arguments, env={"SOPS_AGE_KEY_FILE": str(self.identity)})


def test_copied_document_is_rejected(directory):
    """a document copied from another file, generator or machine, or from a shared one, is never delivered"""
    store = Store(directory)
    before = (directory / IT).read_bytes()
    for other in OTHERS:
        shutil.copyfile(directory / other, directory / IT)
        expect(store.get(), 4, "", f"vmcred: {IT}: is the secret of another name: {other}: restore the file, or store "
               "the value again with `vmcred set`\n")  # fmt: skip
        result = expect(store("activate", "--machine", "m", "--identity", store.identity, "--root", directory / "run"), 4)
        assert IT in result.err and other in result.err, result
        activated = directory / "run/run/secrets/vars"
        found = {str(path.relative_to(activated)) for path in activated.glob("*/*")}
        assert found and "own/it" not in found, found
    (directory / IT).write_bytes(before)
    expect(store.get(), 0, None, "")


def test_name_cannot_be_removed(directory):
    """somebody without the data key cannot hide the name: not by removing, renaming or decrypting it, nor by a rule"""
    store = Store(directory)
    copied = store.read(OTHERS[0])
    name = copied["vmcred_name"]
    data = {"data": copied["data"]}
    plain_rule = {**copied["sops"], "encrypted_regex": "^data$"}
    for title, document in {
        "removed": {**data, "sops": copied["sops"]},
        "renamed": {**data, "note": name, "sops": copied["sops"]},
        "renamed plaintext": {**data, "note": OTHERS[0], "sops": plain_rule},
        "plaintext": {**data, "vmcred_name": OTHERS[0], "sops": plain_rule},
        "renamed, unencrypted": {**data, "note_unencrypted": OTHERS[0], "sops": copied["sops"]},
        "in a map": {**data, "note": {"vmcred_name": OTHERS[0]}, "sops": plain_rule},
        "in a list": {**data, "vmcred_name": [OTHERS[0]], "sops": plain_rule},
        "replaced": {**data, "vmcred_name": IT, "sops": plain_rule},
        "empty": {**data, "vmcred_name": "", "sops": copied["sops"]},
    }.items():
        store.write(IT, document)
        result = store.get()
        equal((result.code in (1, 4), result.out), (True, ""), title)
        assert IT in result.err, (title, result.err)


def test_document_without_a_name_is_read_and_reported(directory):
    """a document that sops has written is read; check reports it and succeeds; fix binds it under the same data key"""
    store = Store(directory)
    (directory / "plain").write_text("of sops")
    made = store.sops("encrypt", "--age", store.public, "--input-type", "binary", "--output-type", "json",
                      directory / "plain")  # fmt: skip
    # The time is the MAC's additional data, as sops writes it.
    (directory / IT).write_text(made.out)
    made_time = json.loads(made.out)["sops"]["lastmodified"]
    while time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) == made_time:
        time.sleep(0.05)
    expect(store.get(), 0, "of sops", "")
    report = "vmcred: warning: not bound to their names: 1 of 6 files: run `vmcred fix`\n"
    expect(store("check"), 0, "all 6 files are as declared\n", report)
    found = [item for item in json.loads(store("check", "--json").out)]
    equal([(item["machine"], item["file"], item["fault"]) for item in found], [("m", "it", "no-name")])
    expect(store("fix", "--identity", store.identity), 0, "m own/it: bound to its name\n", "")
    expect(store("check"), 0, None, "")
    expect(store.get(), 0, "of sops", "")
    equal(store.read(IT)["data"], json.loads(made.out)["data"], "the value's ciphertext")
    equal(store.read(IT)["sops"]["lastmodified"], made_time, "the value's time")
    shutil.copyfile(directory / IT, directory / N_IT)
    fails(store("get", "--identity", store.identity, "n", "own/it"), 4, IT)


def test_fix_does_not_bind_a_copied_document(directory):
    """fix rejects a copied document whose name was hidden, and leaves it as it is"""
    store = Store(directory)
    copied = store.read(OTHERS[0])
    copied["note"] = copied.pop("vmcred_name")
    copied["sops"]["encrypted_regex"] = "^data$"
    store.write(IT, {**copied, "note": OTHERS[0]})
    before = (directory / IT).read_bytes()
    expect(store("fix", "--identity", store.identity), 1, "", f'vmcred: warning: {IT}: only "data" and "vmcred_name" are '
           "allowed in a secret of the store\nvmcred: 1 secret could not be re-encrypted\n")  # fmt: skip
    equal((directory / IT).read_bytes(), before, "the document")


def test_copied_document_gets_no_readers(directory):
    """fix and user add refuse to encrypt a copied document to further readers, and leave it as it is"""
    store = Store(directory)
    other = store("keygen", "--output", directory / "other").out.strip()
    expect(store("machine", "add", "m", "--age-key", other, "--force", "--identity", store.identity))
    shutil.copyfile(directory / N_IT, directory / IT)
    before = (directory / IT).read_bytes()
    refused = f"{IT}: is the secret of another name: {N_IT}"
    for command in (["fix"], ["fix", "--dry-run"], ["user", "add", "bob", "--age-key", other]):
        result = store(*command, "--identity", store.identity)
        equal((result.code != 0, refused in result.err), (True, True), (command, result))
        equal((directory / IT).read_bytes(), before, command)


def test_sops_ignores_the_name(directory):
    """sops decrypts, rotates and re-encrypts a document with a name, and vmcred reads the result"""
    store = Store(directory)
    value = store.get().out
    path = directory / IT
    equal(store.sops("decrypt", "--input-type", "binary", "--output-type", "binary", path).out, value)
    for change in (["rotate", "--in-place"], ["set"]):
        extra = ['["data"]', '"new"'] if change == ["set"] else []
        expect(store.sops(*change, "--input-type", "binary", "--output-type", "binary", path, *extra))
        assert "vmcred_name" in path.read_text(), change
        expect(store.get(), 0, "new" if extra else value, "")
    assert succeeds(store("check")), "check"


if __name__ == "__main__":
    harness.main()
