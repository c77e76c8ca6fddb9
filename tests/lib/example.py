# SPDX-License-Identifier: Apache-2.0
"""A small declaration and its store, which vmcred generates, for tests that need one."""
import json
import re
import shutil
from pathlib import Path

from harness import VMCRED, Result, equal, expect, vmcred

NOBODY = 65534
AS_NOBODY = [
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
]  # fmt: skip

DECLARATION = """\
machines:
  m: {}
generators:
  made:
    machines: [m]
    files:
      one: {restartUnits: [microvm@m.service]}
      two: {mode: "0440"}
    kind: {one: {base64: 32}, two: {hex: 16}}
vms:
  m:
    loadCredentials:
      host-one: made/one
      host-two: made/two
    credentialFiles:
      HOST-ONE: host-one
      HOST-TWO: {credential: host-two, optional: true}
    platformOEMStrings: [ENVIRONMENT=test]
"""


RECIPIENTS = re.compile(r'( to remove): [+-] [^();\n"]*')  # also in JSON


def without_recipients(result):
    """Without the recipients that check and fix name, for tests that only count them."""
    return Result(result.code, RECIPIENTS.sub(r"\1", result.out), result.err)


def unchanged(directory, command):
    """Runs a command that must not change anything: no content, no inode, no time."""
    def state():
        entries = [directory, *sorted(directory.rglob("*"))]
        return [(path, path.lstat().st_ino, path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in entries]

    before = state()
    result = command()
    equal(state(), before)
    return result


def by_script(script):
    """The declaration of one machine with one secret, which this script generates."""
    lines = "".join(f"      {line}\n" for line in script.splitlines())
    return f"""\
machines: {{m: {{}}}}
generators:
  made:
    machines: [m]
    files: {{one: {{}}}}
    script: |
{lines}"""


def program_for_all(directory):
    """A copy of the programs that any user can run, even if the build directory is private."""
    directory.chmod(0o755)
    for name in ("vmcred-run", "vmcred-sops", "vmcred-sandbox"):
        shutil.copy(Path(VMCRED).with_name(name), directory)
    return shutil.copy(VMCRED, directory / "vmcred")


def other_end(value):
    """A value of the same size that differs in its last character only."""
    return value[:-1] + ("1" if value.endswith("0") else "0")


class Example:
    """`directory` must be on a memory file system, since plaintext is activated below it."""

    def __init__(self, directory, declaration=DECLARATION, generate=True):
        self._name(directory)
        self.config.write_text(declaration)
        expect(vmcred("keygen", "--config", self.config, "--machine", "m", "--output", self.identity))
        if generate:
            expect(self.generate())

    def _name(self, directory):
        self.directory = Path(directory)
        self.config = self.directory / "vmcred.yaml"
        self.identity = self.directory / "identity"
        self.root = self.directory / "root"

    @classmethod
    def at(cls, directory):
        """An example that already exists, such as a copy."""
        example = cls.__new__(cls)
        example._name(directory)  # pylint: disable=protected-access
        return example

    def document(self, file, generator="made", machine="m"):
        return self.directory / "vars" / "per-machine" / machine / generator / file / "secret"

    def active(self, file, generator="made"):
        return self.root / "run" / "secrets" / "vars" / generator / file

    def record(self, phase="services"):
        """The record of the phase's last activation."""
        return json.loads((self.root / "run/vmcred/activation" / f"{phase}.json").read_text())

    def set(self, file, value, generator="made"):
        expect(vmcred("set", "--config", self.config, "m", f"{generator}/{file}", stdin=value))

    def generate(self, *words, **options):
        return vmcred("generate", "--config", self.config, *words, **options)

    def get(self, file, generator="made", **options):
        return vmcred("get", "--config", self.config, "--identity", self.identity, "m", f"{generator}/{file}", **options)

    def activate(self, *words, **options):
        return vmcred(
            "activate", "--config", self.config, "--identity", self.identity, "--root", self.root, *words, **options
        )

    def inspect(self, *words, **options):
        self.root.mkdir(exist_ok=True)
        return vmcred(
            "inspect", "--config", self.config, "--identity", self.identity, "--root", self.root, *words, "m", **options
        )


class Team(Example):
    """The machines m and n, whose identities are `identity` and n, and the users ada and bob of the default group; eve has a
    key only. Commands use ada's identity."""

    def __init__(self, directory, declaration):
        super().__init__(directory, declaration, generate=False)
        expect(vmcred("keygen", "--config", self.config, "--machine", "n", "--output", directory / "n"))
        self.keys = {name: self.key(name) for name in ("ada", "bob", "eve")}
        for user in ("ada", "bob"):
            expect(self("user", "add", user, "--age-key", self.keys[user], "--group", "admins"))
        expect(self("generate"))

    def key(self, name):
        identity = expect(vmcred("keygen")).out
        (self.directory / name).write_text(identity)
        (self.directory / name).chmod(0o600)
        return identity.split("public key: ")[1].split()[0]

    def __call__(self, command, *words, env=None, **options):
        environment = {"SOPS_AGE_KEY_FILE": str(self.directory / "ada")} | (env or {})
        return vmcred(command, "--config", self.config, *words, env=environment, **options)


class Fleet(Example):
    """Many machines, m0, m1, …, with the same key; nothing is generated yet. `generators` is that section of the declaration,
    in which ALL means the list of all machines."""

    def __init__(self, directory, count, generators):  # pylint: disable=super-init-not-called
        self._name(directory)
        self.machines = [f"m{number}" for number in range(count)]
        names = "".join(f"  {name}: {{}}\n" for name in self.machines)
        everyone = f"[{', '.join(self.machines)}]"
        self.config.write_text(f"machines:\n{names}generators:\n{generators.replace('ALL', everyone)}")
        expect(vmcred("keygen", "--config", self.config, "--machine", "m0", "--output", self.identity))
        for name in self.machines[1:]:
            shutil.copytree(self.directory / "sops/machines/m0", self.directory / "sops/machines" / name)

    def value(self, machine, name):
        """The machine's secret GENERATOR/FILE, decrypted."""
        return expect(vmcred("get", "--config", self.config, "--identity", self.identity, machine, name)).out
