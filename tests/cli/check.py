# SPDX-License-Identifier: Apache-2.0
"""check --decrypt finds what would otherwise fail when a machine or a VM starts, and check --json lists every finding."""
import json
import os
import shutil

import harness
from example import DECLARATION, Example
from harness import equal, expect, fails, succeeds, vmcred

ONE, TWO = (f"vars/per-machine/m/made/{name}/secret" for name in ("one", "two"))
FIELDS = {"severity", "machine", "generator", "file", "fault", "detail", "message"}


def public_key(identity):
    return identity.read_text().split("public key: ")[1].split()[0]


class Store(Example):
    """The example, or another declaration; its identity is that of the machine m."""

    def check(self, *words, decrypt=True, identity=None):
        more = ["--decrypt", "--identity", identity or self.identity] if decrypt else []
        return vmcred("check", "--config", self.config, *more, *words)

    def found(self, *words, code, **options):
        """The findings in JSON, each with all fields."""
        result = expect(self.check("--json", *words, **options), code, None, None)
        findings = json.loads(result.out)
        assert all(set(finding) == FIELDS for finding in findings), findings
        return findings

    def faults(self, *words, code, **options):
        findings = self.found(*words, code=code, **options)
        return [(item["severity"], item["machine"], item["file"], item["fault"]) for item in findings]

    def set(self, name, value, machine="m"):
        expect(vmcred("set", "--config", self.config, machine, f"made/{name}", stdin=value))

    def sealed(self, value, identity):
        """A document of sops, encrypted to an identity."""
        (self.directory / "value").write_bytes(value)
        words = ["--input-type", "binary", "--output-type", "json", "--age", public_key(identity)]
        return expect(vmcred("sops", "encrypt", *words, self.directory / "value")).out

    def key(self, name):
        expect(vmcred("keygen", "--output", self.directory / name))
        return self.directory / name


def refused(result, code, *mentions):
    """The check failed, and its error mentions all of that. Returns the warnings before it."""
    *warnings, error = result.err.splitlines()
    equal((result.code, [word for word in mentions if word not in error]), (code, []), error)
    return warnings


def altered(path, *keys):
    """Changes one character of the Base64 at the keys of a document, or of the age file there."""
    document = json.loads(path.read_text())
    *above, last = keys
    part = document
    for key in above:
        part = part[key]
    text = part[last]
    at = text.index("data:") + 5 if "data:" in text else len(text) - 60
    part[last] = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]
    path.write_text(json.dumps(document))


def test_check_decrypts_what_the_identity_opens(directory):
    """check --decrypt opens each secret and says how many; with another user's it counts those that stay closed"""
    store = Store(directory)
    expect(store.check(), 0, "all 2 files are as declared\ndecrypted 2 secrets\n", "")
    key = store.key("ada")
    words = ["--config", store.config, "--identity", store.identity]
    for user, file in (("ada", key), ("bob", store.key("bob"))):
        expect(vmcred("user", "add", user, "--age-key", public_key(file), *words))
    expect(vmcred("user", "remove", "ada", *words))
    expect(store.check(identity=key), 3, "all 2 files are as declared\ndecrypted 0 of 2 secrets: the others are not encrypted to this "
           "identity\n", "vmcred: no secret is encrypted to this identity: pass that of a recipient with --identity FILE\n")  # fmt: skip
    equal(store.faults(identity=key, code=3),
          [("info", "m", "one", "not-decrypted"), ("info", "m", "two", "not-decrypted")])  # fmt: skip


def test_some_secrets_stay_closed(directory):
    """secrets of other machines stay closed without an error, and their documents are still compared"""
    store = Store(directory, DECLARATION.replace("m: {}\n", "m: {}\n  n: {}\n", 1).replace("[m]", "[m, n]"), generate=False)
    expect(vmcred("keygen", "--config", store.config, "--machine", "n", "--output", directory / "n"))
    expect(store.generate())
    expect(store.check(), 0, "all 4 files are as declared\ndecrypted 2 of 4 secrets: the others are not encrypted to this identity\n", "")
    shutil.rmtree(directory / "vars/per-machine/n/made/one")
    result = expect(store.check(), 3, None, None)
    equal(result.out, "n made/one is missing\ndecrypted 2 of 3 secrets: the others are not encrypted to this identity\n")


def test_check_finds_a_changed_byte(directory):
    """check --decrypt names a document in which one byte was changed, with exit code 4; check alone does not read values"""
    store = Store(directory)
    path = directory / ONE
    before = path.read_bytes()
    for keys in (["data"], ["vmcred_name"], ["sops", "mac"], ["sops", "age", 0, "enc"]):
        altered(path, *keys)
        refused(store.check(), 4, ONE)
        equal(store.faults(code=4), [("error", "m", "one", "damaged")], keys)
        expect(store.check(decrypt=False), 0, "all 2 files are as declared\n", "")
        path.write_bytes(before)
    expect(store.check(), 0, None, "")
    shutil.copyfile(directory / TWO, path)
    refused(store.check(), 4, ONE, "another name", TWO)


def test_a_wrapped_key_of_another_recipient(directory):
    """a document that names the identity's key, but whose data key is another's, is a failure and not merely closed"""
    store = Store(directory)
    other = store.sealed(b"x", store.key("other"))
    path = directory / ONE
    document = json.loads(path.read_text())
    document["sops"]["age"][0]["enc"] = json.loads(other)["sops"]["age"][0]["enc"]
    path.write_text(json.dumps(document))
    refused(store.check(), 3, ONE)
    equal(store.faults(code=3), [("error", "m", "one", "unreadable")])


def test_a_changed_document_outweighs_an_unreadable_one(directory):
    """with several failures the exit code is that of a changed document, and each is reported"""
    store = Store(directory)
    (directory / ONE).write_text("")
    altered(directory / TWO, "data")
    equal(refused(store.check(), 4, TWO), [f"vmcred: warning: {ONE} is empty"])
    equal(store.faults(code=4), [("error", "m", "one", "unreadable"), ("error", "m", "two", "damaged")])


def test_check_without_an_identity(directory):
    """check --decrypt without an identity fails before it prints anything; --identity alone is a usage error"""
    store = Store(directory)
    expect(store.check(identity=directory / "none"), 3, "", None)
    equal(store.faults(identity=directory / "none", code=3), [("error", None, None, "failed")])
    fails(vmcred("check", "--config", store.config, "--identity", store.identity), 2, "--decrypt")


def composed(store, **values):
    """What compose says about these values."""
    credentials = store.directory / "credentials"
    credentials.mkdir(exist_ok=True)
    for name, value in values.items():
        (credentials / f"host-{name}").write_bytes(value)
    return vmcred("compose", "--config", store.config, "--credentials", credentials, "m")


def test_values_that_a_vm_cannot_get(directory):
    """check --decrypt refuses the values that compose refuses, and no others: text, binary and their sum"""
    store = Store(directory)
    text, binary = b"x" * 50000, b"\xff" * 50000
    for values, fits in (
        ({"one": b"x" * 61340, "two": b"y"}, True),
        ({"one": b"x" * 61380, "two": b"y"}, False),
        ({"one": text, "two": b"y"}, True),
        ({"one": binary, "two": b"y"}, False),
        ({"one": b"\xff" * 45900, "two": b"y"}, True),
        ({"one": b"\xff" * 46100, "two": b"y"}, False),
        ({"one": text[:31000], "two": text[:31000]}, False),
        ({"one": text[:30000], "two": text[:31000]}, True),
    ):
        for name, value in values.items():
            store.set(name, value)
        equal(composed(store, **values).code, 0 if fits else 1, "compose")
        result = store.check()
        if fits:
            expect(result, 0, None, "")
            continue
        largest = max(values, key=lambda name: len(values[name]))
        reason = composed(store, **values).err.removeprefix("vmcred: ")
        expect(result, 1, None, f"vmcred: m made/{largest} cannot be delivered to the VM m: {reason}")
        equal(store.faults(code=1), [("error", "m", largest, "undeliverable")])
        succeeds(store.check(decrypt=False))


def test_credential_over_the_limit_of_systemd(directory):
    """check --decrypt refuses a value that no unit can load, though it is in no OEM string"""
    store = Store(directory, DECLARATION.replace("      HOST-ONE: host-one\n", ""))
    for size, code in ((1 << 20, 0), ((1 << 20) + 1, 1)):
        (directory / ONE).write_text(store.sealed(b"x" * size, store.identity))
        equal(store.check().code, code, size)
    refused(store.check(), 1, "m made/one", "host-one", "VM m", "1048577")


def test_values_of_different_machines_are_not_added(directory):
    """a VM runs on one machine: large values of different machines do not add up"""
    declaration = DECLARATION.replace("m: {}\n", "m: {}\n  n: {}\n", 1).replace("[m]", "[m, n]")
    store = Store(directory, declaration, generate=False)
    shutil.copytree(directory / "sops/machines/m", directory / "sops/machines/n")
    expect(store.generate())
    store.set("one", b"x" * 40000, "m")
    store.set("two", b"x" * 40000, "n")
    expect(store.check(), 0, None, "")
    store.set("two", b"x" * 30000, "m")
    equal(refused(store.check(), 1, "m made/one", "VM m"), [])
    store.set("one", b"x" * 39000, "n")
    warning, = refused(store.check(), 1, "m made/one")
    assert warning.startswith("vmcred: warning: n made/two cannot be delivered"), warning


def test_json_lists_every_error(directory):
    """check --json is JSON also if the declaration is broken, missing or names no such machine, and if files cannot be read"""
    store = Store(directory)
    equal(store.found(code=0, decrypt=False), [])
    general = ("error", None, None, "failed")
    equal(store.faults("other", code=2, decrypt=False), [general])
    os.truncate(directory / ONE, 100)
    shutil.rmtree((directory / TWO).parent)
    result = store.check("--json", decrypt=False)
    findings = json.loads(result.out)
    equal((result.code, len(result.err.splitlines())), (1, 1), result.err)
    equal([item["fault"] for item in findings], ["unreadable", "missing"])
    equal(result.err, f"vmcred: {findings[0]['message']}\n")
    equal(findings[1], {"severity": "error", "machine": "m", "generator": "made", "file": "two", "fault": "missing",
                        "detail": None, "message": "m made/two is missing"})  # fmt: skip
    store.config.write_text("machines: [")
    equal(store.faults(code=2, decrypt=False), [general])
    store.config.unlink()
    finding, = store.found(code=2, decrypt=False)
    equal((finding["fault"], str(store.config) in finding["message"]), ("failed", True), finding)


harness.main()
