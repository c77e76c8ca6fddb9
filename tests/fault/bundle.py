# SPDX-License-Identifier: Apache-2.0
"""After every fault of an import, the old bundle or the new one is installed, all of it; its secrets are active; and a second
import completes the work and removes what the first one left. Once a signed bundle is installed, no older one is accepted."""
import os
import shutil

import harness
from bundles import Repository, files
from faults import every_fault
from harness import equal, expect, need, run

DECLARATION = """\
machines: {m: , n: }
generators:
  made: {machines: [m], files: {one: {}}, kind: {one: uuid}}
  both: {share: true, files: {public: {secret: false}}, script: echo p >$out/public}
"""


def strike(directory, prepared):
    """Faults while the second bundle is imported, where the first one is installed or, without `prepared`, no bundle is."""
    repository = Repository(directory / "repository", DECLARATION)
    host = directory / "host"
    host.mkdir()
    shutil.copy(repository.identity, host)
    options, bundles, values = [], [], ["old", "new"]
    if prepared:
        need("ssh-keygen")
        expect(run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", directory / "key"))
        (host / "root/etc/vmcred").mkdir(parents=True)
        (host / "root/etc/vmcred/allowed_signers").write_text("ada " + (directory / "key.pub").read_text())
        options = ["--sign", directory / "key"]
    for value in values:
        repository.change("made/one", value)
        bundles.append(files(repository.export()))
        (directory / value).write_bytes(repository.export("m", *options))

    def command(copy, value="new"):
        return [harness.VMCRED, "import", "--machine", "m", "--identity", copy / "identity", "--root", copy / "root", directory / value]

    if prepared:
        expect(harness.run(*command(host, "old")))

    def check(copy, fault):
        here = Repository.at(copy)
        here.etc = here.root / "etc/vmcred"
        installed = here.installed() if (here.etc / "vmcred.yaml").exists() else None
        fault.expect(installed in (bundles if prepared else [None, bundles[1]]), "part of a bundle is installed")
        active = here.active("one").read_text() if here.active("one").exists() else None
        fault.expect(active in (values if prepared else [None, "new"]), "another value is active")
        if prepared and installed == bundles[1]:
            fault.expect(harness.run(*command(copy, "old")).code == 4, "the old bundle is accepted after the new one")
        fault.expect(installed == bundles[1] or active != "new", "a value is active that is not installed")
        expect(harness.run(*command(copy)))
        equal(here.installed(), bundles[1])
        equal(here.active("one").read_text(), "new")
        own = ["allowed_signers"] if prepared else []
        equal(sorted(os.listdir(here.etc)), sorted([*own, here.installed_directory().name, "vmcred.yaml"]))
        equal([path.name for path in here.root.glob("var/lib/vmcred/*")], ["bundle.json"] if prepared else [])

    assert every_fault(host, command, check, errors=("ENOSPC",) if prepared else ()) > 20


def test_second_import(directory):
    """after a fault while a signed bundle replaces another, one of them is installed, and a second import completes it"""
    strike(directory, prepared=True)


def test_first_import(directory):
    """after a fault of the first import, a bundle or none is installed, and a second import completes it"""
    strike(directory, prepared=False)


def test_signed_export(directory):
    """after a fault, an export succeeds with a signed bundle that a host accepts, or fails with one error, and leaves no file"""
    need("ssh-keygen")
    repository = Repository(directory / "repository", DECLARATION)
    place = directory / "place"
    (place / "tmp").mkdir(parents=True)
    expect(run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", place / "key"))
    repository.etc.mkdir(parents=True)
    (repository.etc / "allowed_signers").write_text("ada " + (place / "key.pub").read_text())

    def command(copy):
        environment = [f"{name}={copy}/tmp" for name in ("TMPDIR", "XDG_RUNTIME_DIR", "HOME")]
        return ["env", *environment, harness.VMCRED, "export", "m", "--config", repository.config, "--sign", copy / "key"]

    def check(copy, fault):
        equal(sorted(str(path.relative_to(copy)) for path in copy.rglob("*")), ["key", "key.pub", "tmp"], f"files after {fault}")
        imported = repository.import_(fault.out, "--dry-run")
        if fault.code == 0:
            fault.expect(imported.code == 0, "the bundle is not accepted")
        else:
            fault.expect(imported.code != 0, "a bundle is accepted")
            # ssh-keygen prints its own.
            errors = [line for line in fault.err.splitlines() if line.startswith("vmcred: ")]
            fault.expect(len(errors) <= 1, "several errors")

    failed = every_fault(place, command, check, follow=True, anywhere=True)
    assert failed > 10, failed


if __name__ == "__main__":
    harness.main()
