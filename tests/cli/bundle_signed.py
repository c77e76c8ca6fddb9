# SPDX-License-Identifier: Apache-2.0
"""Signed bundles: the allowed signers, and no way back to an old bundle."""
import json
import os
import re
import shutil
import stat
import subprocess
import time

import harness
from bundles import Repository, archive, files
from harness import equal, expect, fails, need, run, test, vmcred

DECLARATION = """\
machines: {m: , n: }
generators:
  made: {machines: [m, n], files: {one: {}}, kind: {one: uuid}}
"""


class Signed(Repository):
    """A host that allows ada's key, and two keys beside the repository: ada's and eve's."""

    def __init__(self, directory):
        need("ssh-keygen")
        super().__init__(directory, DECLARATION)
        self.etc.mkdir(parents=True)
        self.allow(f"ada@example.org {self.key('ada')}")

    def key(self, name, *options):
        """Creates a key, and returns its public half."""
        expect(run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", *options, "-f", self.directory / name))
        return (self.directory / f"{name}.pub").read_text().strip()

    def allow(self, *lines):
        (self.etc / "allowed_signers").write_text("".join(f"{line}\n" for line in lines))

    def signed(self, value=None, key="ada", machine="m"):
        if value:
            self.change("made/one", value)
        return self.export(machine, "--sign", self.directory / key)

    def record(self, phase=None):
        return json.loads((self.root / "var/lib/vmcred/bundle.json").read_text())


def serial(bundle):
    return int(re.search(rb"^serial (\d+)$", files(bundle)["manifest"], re.M).group(1))


def at(microseconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(microseconds // 1000000))


def resigned(repository, bundle, key="ada", **changes):
    """The bundle with another manifest, signed again."""
    manifest, _signature, content = files(bundle).values()
    for name, value in changes.items():
        manifest = re.sub(rf"^{name} .*$".encode(), f"{name} {value}".encode(), manifest, flags=re.M)
    signature = sign(repository, manifest, key)
    return archive([("manifest", manifest), ("manifest.sig", signature), ("bundle.tar", content)])


def sign(repository, message, key="ada", namespace="vmcred-bundle"):
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", repository.directory / key]
    return subprocess.run(command, input=message, check=True, capture_output=True).stdout


def test_signed_bundle(directory):
    """a signed bundle is installed, import names the signer and the time, and the record of it is public"""
    repository = Signed(directory)
    bundle = repository.signed("new")
    expect(repository.import_(bundle), 0, f"bundle of m, signed by ada@example.org at {at(serial(bundle))}\n1 secret in generation 1\n", "")
    record = repository.record()
    equal((record["machine"], record["serial"], record["signer"]), ("m", serial(bundle), "ada@example.org"))
    equal(stat.S_IMODE((repository.root / "var/lib/vmcred").stat().st_mode), 0o700)
    result = json.loads(expect(repository.import_(bundle, "--json"), 0, None, "").out)
    equal((result["signer"], result["serial"]), ("ada@example.org", serial(bundle)))
    # Without loss in JSON readers that have doubles only.
    assert serial(bundle) < 1 << 53


def test_check_by_hand(directory):
    """tar, ssh-keygen and sha256sum check a bundle by hand"""
    repository = Signed(directory)
    need("sha256sum")
    (directory / "bundle").write_bytes(repository.signed())
    script = f"""set -e
tar -xf ../bundle
ssh-keygen -Y verify -f {repository.etc}/allowed_signers -I ada@example.org -n vmcred-bundle -s manifest.sig <manifest
[ "$(sha256sum <bundle.tar | cut -d' ' -f1)" = "$(sed -n 's/^sha256 //p' manifest)" ]
tar -tf bundle.tar"""
    (directory / "hand").mkdir()
    out = expect(run("sh", "-c", script, cwd=directory / "hand")).out
    assert out.startswith('Good "vmcred-bundle" signature for ada@example.org'), out
    assert out.endswith("vmcred.yaml\nvars/per-machine/m/made/one/secret\n"), out


def test_content_is_the_unsigned_bundle(directory):
    """the signed content is the same as without a signature"""
    repository = Signed(directory)
    equal(files(repository.signed())["bundle.tar"], repository.export())


def test_link_to_missing_allowed_signers(directory):
    """a link to a file of allowed signers that does not exist does not mean that every bundle is accepted"""
    repository = Signed(directory)
    (repository.etc / "allowed_signers").unlink()
    (repository.etc / "allowed_signers").symlink_to("missing")
    for bundle in (repository.export(), repository.signed()):
        fails(repository.import_(bundle), 4, "allowed_signers")
    assert not os.path.lexists(repository.etc / "vmcred.yaml")


def test_without_allowed_signers(directory):
    """without allowed signers, import does not check the signature or the serial, and reports that it trusts the transport"""
    repository = Signed(directory)
    old, new = repository.signed("old"), repository.signed("new", key="ada")
    (repository.etc / "allowed_signers").unlink()
    assert "trusting the transport" in expect(repository.import_(new), 0, None, "").out
    expect(repository.import_(old))
    equal(repository.active("one").read_text(), "old")
    assert not (repository.root / "var").exists()


def test_dry_run(directory):
    """a dry run checks signature and serial, and writes nothing"""
    repository = Signed(directory)
    old, new = repository.signed("old"), repository.signed("new")
    out = expect(repository.import_(new, "--dry-run"), 0, None, "").out
    assert "signed by ada@example.org" in out and "would add secret: made/one" in out, out
    equal(sorted(os.listdir(repository.root)), ["etc"])
    expect(repository.import_(new))
    fails(repository.import_(old, "--dry-run"), 4, "signed at")


def test_interrupted_import_is_repeated(directory):
    """the same bundle is accepted again, also if its serial was recorded and it was not installed"""
    repository = Signed(directory)
    old = repository.signed("old")
    expect(repository.import_(old))
    new = repository.signed("new")
    shutil.copytree(repository.root, directory / "before", symlinks=True)
    expect(repository.import_(new))
    record = (repository.root / "var/lib/vmcred/bundle.json").read_bytes()
    shutil.rmtree(repository.root)
    shutil.copytree(directory / "before", repository.root, symlinks=True)
    (repository.root / "var/lib/vmcred/bundle.json").write_bytes(record)
    fails(repository.import_(old), 4, "signed at")
    expect(repository.import_(new))
    equal(repository.active("one").read_text(), "new")


def test_encrypted_key_and_agent(directory):
    """a public key signs through an agent, and the signature of a certificate's authority is accepted"""
    repository = Signed(directory)
    need("ssh-agent")
    script = f'eval "$(ssh-agent -s)" >&2; ssh-add -q {directory}/ada; mv {directory}/ada {directory}/away; {harness.VMCRED} export m --config {repository.config} --sign {directory}/ada.pub >{directory}/bundle; code=$?; kill $SSH_AGENT_PID; exit $code'
    expect(run("sh", "-c", script))
    expect(repository.import_((directory / "bundle").read_bytes()))
    repository.key("authority")
    repository.key("worker")
    expect(run("ssh-keygen", "-q", "-s", directory / "authority", "-I", "id", "-n", "bob@example.org", directory / "worker.pub"))
    repository.allow(f"bob@example.org cert-authority {(directory / 'authority.pub').read_text().strip()}")
    script = f'eval "$(ssh-agent -s)" >&2; ssh-add -q {directory}/worker; {harness.VMCRED} export m --config {repository.config} --sign {directory}/worker-cert.pub >{directory}/bundle; code=$?; kill $SSH_AGENT_PID; exit $code'
    expect(run("sh", "-c", script))
    assert "signed by bob@example.org" in expect(repository.import_((directory / "bundle").read_bytes()), 0, None, "").out


def test_names_of_a_signer(directory):
    """a signer with several names, patterns or options is found"""
    repository = Signed(directory)
    key = (directory / "ada.pub").read_text().strip()
    for line in (f"x@example.org,*@example.com {key}", f'*@example.org namespaces="git,vmcred-*" {key}'):
        repository.allow("# admins", f"eve@example.org {repository.key('other' + str(len(line)))}", line)
        expect(repository.import_(repository.signed()))


def test_key_that_cannot_sign(directory):
    """a key that does not exist is an error, and nothing is printed"""
    repository = Signed(directory)
    result = vmcred("export", "m", "--config", repository.config, "--sign", directory / "none")
    equal((result.code, result.out), (1, ""))
    assert f"vmcred: signing with {directory}/none: ssh-keygen failed\n" in result.err, result.err


def test_without_ssh_keygen(directory):
    """without ssh-keygen, nothing is signed or accepted"""
    repository = Signed(directory)
    bundle = repository.signed()
    environment = {"PATH": str(directory)}
    fails(vmcred("export", "m", "--config", repository.config, "--sign", directory / "ada", env=environment), 3, "ssh-keygen")
    fails(repository.import_(bundle, env=environment), 3, "ssh-keygen")
    equal(os.listdir(repository.etc), ["allowed_signers"])


def state(directory):
    return {str(path): (path.lstat().st_ino, path.read_bytes() if path.is_file() and not path.is_symlink() else None) for path in directory.rglob("*")}


def refused(sentence, change, mention="", code=4):
    """`change(repository, old, new)` returns a bundle that must not replace the new one."""

    @test(f"{sentence} is refused")
    def test_refused(directory):
        repository = Signed(directory)
        repository.key("eve")
        old, new = repository.signed("old"), repository.signed("new")
        expect(repository.import_(new))
        bundle = change(repository, old, new)
        before = state(repository.root)
        fails(repository.import_(bundle), code, mention)
        equal(state(repository.root), before)


def swap(bundle, **parts):
    found = files(bundle)
    return archive([(name, parts.get(name.replace(".", "_"), content)) for name, content in found.items()])


def now(seconds=0):
    return time.time_ns() // 1000 + seconds * 1000000


def expired(repository, _old, new):
    repository.allow(f'ada@example.org valid-before="20200101" {(repository.directory / "ada.pub").read_text().strip()}')
    return new


def foreign_namespace(repository, _old, new):
    manifest = files(new)["manifest"]
    return swap(new, manifest_sig=sign(repository, manifest, namespace="git"))


refused("an old bundle", lambda _repository, old, _new: old, "before the last one")
refused("an unsigned bundle", lambda repository, _old, _new: repository.export(), "not signed")
refused("a bundle of another signer", lambda repository, _old, _new: repository.signed(key="eve"), "signer is not in")
refused("a new content with an old signature", lambda repository, _old, new: swap(new, bundle_tar=repository.export("n")), "digest")
refused("an old content with a new signature", lambda _repository, old, new: swap(new, bundle_tar=files(old)["bundle.tar"]), "digest")
refused("a changed manifest", lambda _repository, old, _new: swap(old, manifest=re.sub(rb"serial \d+", b"serial %d" % now(), files(old)["manifest"])), "signature")
refused("a signature of another manifest", lambda _repository, old, new: swap(old, manifest_sig=files(new)["manifest.sig"]), "signature")
refused("a signature for another purpose", foreign_namespace, "signature")
refused("an expired signer", expired, "signer")
refused("a signature that is not one", lambda _repository, _old, new: swap(new, manifest_sig=b"x\n"))
refused("a bundle of another machine", lambda repository, _old, _new: repository.signed(machine="n"), "machine n, not m")
refused("a bundle of another machine in a manifest of this one", lambda repository, _old, _new: resigned(repository, repository.signed(machine="n"), machine="m"), "machine n")
refused("a bundle of this machine in a manifest of another one", lambda repository, _old, new: resigned(repository, new, machine="n", serial=now()), "machine n")
refused("another bundle with the same serial", lambda repository, old, new: resigned(repository, old, serial=serial(new)), "like the last one")
refused("a bundle from the day after tomorrow", lambda repository, old, _new: resigned(repository, old, serial=now(2 * 86400)), "future")
refused("a serial of 20 digits", lambda repository, old, _new: resigned(repository, old, serial="9" * 20), "manifest")
refused("a serial with a sign", lambda repository, old, _new: resigned(repository, old, serial=f"+{now()}"), "manifest")
refused("an unknown version", lambda repository, old, _new: resigned(repository, old, **{"vmcred-bundle": 2}), "manifest")
refused("a manifest with another line", lambda repository, old, _new: resigned(repository, old, serial=f"{now()}\nserial 1"), "manifest")
refused("a manifest of zero bytes", lambda repository, old, _new: (lambda sig: archive([("manifest", b""), ("manifest.sig", sig), ("bundle.tar", files(old)["bundle.tar"])]))(sign(repository, b"")), "manifest")
refused("a bundle without a signature", lambda _repository, _old, new: archive([item for item in files(new).items() if item[0] != "manifest.sig"]), "manifest.sig")
refused("a bundle with another file", lambda _repository, _old, new: archive([*files(new).items(), ("x", b"")]), "x")
refused("a bundle in another order", lambda _repository, _old, new: archive([files(new).popitem(), *list(files(new).items())[:2]]), code=4)
refused("a truncated bundle", lambda _repository, _old, new: new[:-1536], "truncated")


def test_largest_bundle(directory):
    """every bundle that is exported can be imported: the limit includes the signature"""
    limit = 64 << 20
    repository = Signed(directory)
    values = [directory / f"vars/per-machine/m/a/f{number}/value" for number in range(16)]
    repository.config.write_text(json.dumps({"machines": {"m": {}}, "generators": {"a": {
        "machines": ["m"], "files": {path.parent.name: {"secret": False} for path in values}, "script": "exit 1"}}}))  # fmt: skip
    for path in values:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\0" * (4 << 20))
    last = values[-1]
    os.truncate(last, 0)
    unsigned = len(repository.export())
    os.truncate(last, limit - unsigned)
    equal(len(repository.export()), limit)
    export = ["sh", "-c", 'exec "$@" >/dev/null', "sh", harness.VMCRED, "export", "m", "--config", repository.config]
    fails(run(*export, "--sign", directory / "ada"), 1, f"more than {limit}")
    os.truncate(last, limit - unsigned + 1)
    fails(run(*export), 1, f"more than {limit}")
    os.truncate(last, limit - unsigned - 4096)
    bundle = repository.export("m", "--sign", directory / "ada")
    assert limit - 4096 < len(bundle) <= limit, len(bundle)
    expect(repository.import_(bundle, "--dry-run"), 0, None, "")


def test_damaged_record(directory):
    """a damaged record of the last bundle is an error that says what to do"""
    repository = Signed(directory)
    expect(repository.import_(repository.signed()))
    (repository.root / "var/lib/vmcred/bundle.json").write_text("{}\n")
    fails(repository.import_(repository.signed()), 1, "remove /var/lib/vmcred/bundle.json")


if __name__ == "__main__":
    harness.main()
