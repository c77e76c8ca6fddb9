# SPDX-License-Identifier: Apache-2.0
"""Bundles: a repository with a machine "m", its host below a directory in memory, and archives to import."""
import io
import subprocess
import tarfile

from example import Example
from harness import CLEAN_ENVIRONMENT, VMCRED, expect, vmcred

DECLARATION = """\
machines:
  m: {tags: [demo]}
  n:
generators:
  made:
    machines: [m, n]
    files:
      one: {restartUnits: [a.service]}
      two: {mode: "0440"}
    kind: {one: {base64: 32}, two: {hex: 16}}
  both:
    share: true
    files: {hidden: {deploy: false}, public: {secret: false}}
    script: echo h >$out/hidden; echo p >$out/public
  foreign:
    machines: [n]
    files: {one: {}}
    kind: {one: uuid}
  password:
    machines: [m]
    dependencies: [made]
    prompts: {asked: {persist: true}}
    files: {hash: {neededFor: users}}
    kind: {hash: {password-hash: {of: asked, method: sha-512, rounds: 1000}}}
vms:
  first: {loadCredentials: {one: made/one}, credentialFiles: {ONE: one}, platformOEMStrings: ["0x10", plain]}
  second: {loadCredentials: {x: foreign/one}}
sops: {defaultGroups: []}
"""


class Repository(Example):
    """Example's machine and its identity; `root` is the host's root directory."""

    def __init__(self, directory, declaration=DECLARATION):
        directory.mkdir(exist_ok=True)
        super().__init__(directory, declaration, generate=False)
        for name in ("n", "user"):
            machine = ["--machine", "n"] if name == "n" else []
            expect(vmcred("keygen", "--config", self.config, *machine, "--output", self.directory / name))
        key = (self.directory / "user").read_text().split("public key: ")[1].split()[0]
        expect(vmcred("user", "add", "ada", "--config", self.config, "--age-key", key, "--identity", self.directory / "user"))
        options = ["--prompt", f"asked=@{directory}/answer"] if "asked" in declaration else []
        (directory / "answer").write_text("word\n")
        expect(self.generate("--identity", self.directory / "user", *options))
        self.etc = self.root / "etc/vmcred"

    def export(self, machine="m", *options, config=None):
        """The bundle's bytes: not text, unlike the output of vmcred()."""
        command = [VMCRED, "export", machine, "--config", str(config or self.config), *map(str, options)]
        return subprocess.run(command, check=True, capture_output=True, env=CLEAN_ENVIRONMENT, timeout=120).stdout

    def import_(self, bundle, *options, machine="m", **keywords):
        return vmcred("import", "--machine", machine, "--identity", self.identity, "--root", self.root, *options, stdin=bundle, **keywords)

    def change(self, file, value):
        expect(vmcred("set", "--config", self.config, "--identity", self.directory / "user", "m", file, stdin=value))

    def installed(self):
        """All files of the installed bundle with their contents, or None."""
        if not (self.etc / "vmcred.yaml").exists():
            return None
        directory = self.installed_directory()
        return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}

    def installed_directory(self):
        return (self.etc / "vmcred.yaml").resolve().parent


def files(bundle):
    """Path and content of each file, in order."""
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def header(path, size, kind=b"0"):
    prefix, name = ("", path) if len(path) <= 100 else path.rsplit("/", 1)
    block = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"0" * 11 + b"\0" + b" " * 8
    block += kind + b"\0" * 100 + b"ustar\x0000" + b"\0" * 64 + b"0000000\0" * 2 + prefix.encode().ljust(155, b"\0") + b"\0" * 12
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def archive(entries):
    """An archive as vmcred writes it, of any (path, content)."""
    found = b"".join(header(path, len(content)) + content + b"\0" * (-len(content) % 512) for path, content in entries)
    return found + b"\0" * 1024
