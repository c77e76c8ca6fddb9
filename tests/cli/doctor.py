# SPDX-License-Identifier: Apache-2.0
"""doctor finds each fault that a test plants, names its fix, and is silent without it."""
import json
import re
import shutil
import socket

import harness
from example import DECLARATION, Example, other_end
from harness import SOURCE, equal, expect, fails, need, run, vmcred
from systemctl import Systemctl, now_us

UNIT = "microvm@m.service"
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n"


class Host:
    """A host without a fault: a repository, and a VM that was started after the activation."""

    def __init__(self, directory, declaration=DECLARATION, repository=True):
        self.tree = directory / "tree"
        self.tree.mkdir()
        self.example = Example(self.tree, declaration)
        # A work tree must not have it.
        self.example.identity = shutil.move(self.example.identity, directory / "identity")
        self.example.root = self.root = directory / "root"
        expect(self.example.activate())
        loaded = self.root / "run/credentials" / UNIT
        loaded.mkdir(parents=True)
        for name in ("one", "two"):
            (loaded / f"host-{name}").write_bytes(self.example.active(name).read_bytes())
        self.systemctl = Systemctl(directory)
        self.unit()
        if repository:
            expect(run(need("git"), "init", "--quiet", self.tree))

    def unit(self, core="0", swap="0", **options):
        self.systemctl.unit(UNIT, started=now_us(), **options)
        path = self.systemctl.directory / UNIT
        path.write_text(f"{path.read_text()}LimitCORE={core}\nMemorySwapMax={swap}\n")

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def doctor(self, *words):
        return run(harness.VMCRED, "doctor", "--config", self.example.config, "--root", self.root, *words,
                   env={"PATH": self.systemctl.env["PATH"]})  # fmt: skip

    def found(self, *names):
        """Checks that doctor finds exactly these; returns the last one."""
        findings = json.loads(expect(self.doctor("--json"), 1 if names else 0, None, None).out)
        equal([finding["name"] for finding in findings], list(names), findings)
        return findings[-1] if names else None


def test_nothing(directory):
    """without a fault, doctor finds nothing"""
    expect(Host(directory).doctor(), 0, "nothing found\n", "")


def test_findings(directory):
    """a finding is an error or a warning with its name and its fix, and the exit code is 1"""
    host = Host(directory)
    host.unit(core="infinity")
    identity = host.write("var/lib/vmcred/identity", "")
    identity.chmod(0o640)
    expect(host.doctor(), 1,
           f"warning: {UNIT} may dump core: the file would contain the guest's memory [unit-core]\n"
           f"    fix: add LimitCORE=0 to its section [Service]: `systemctl edit {UNIT}`\n"
           f"error: {identity} has mode 0640: others can use the identity [identity-mode]\n"
           f"    fix: chmod 600 {identity}; if others have read it, replace the machine's key\n",
           "vmcred: found 1 error and 1 warning: --fix repairs 1 of them\n")  # fmt: skip


def test_private_keys_in_the_work_tree(directory):
    """a private key in a file that git would add is found, in a repository or without one; an ignored one and a key's name are not"""
    host = Host(directory, repository=False)
    key = expect(vmcred("keygen")).out
    pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"
    (host.tree / "notes.md").write_text("an age identity starts with AGE-SECRET-KEY-1, an SSH key with -----BEGIN OPENSSH PRIVATE KEY-----\n")
    host.found()
    for name, text in (("key one", key), ("id", pem)):
        (host.tree / name).write_text(text)
        assert name in host.found("private-key-in-work-tree")["message"]
        (host.tree / name).unlink()
    expect(run(need("git"), "init", "--quiet", host.tree))
    (host.tree / "id").write_text(key)
    assert key.splitlines()[-1] not in str(host.found("private-key-in-work-tree"))
    (host.tree / ".gitignore").write_text("id\n")
    host.found()
    expect(run("git", "add", "--force", "id", cwd=host.tree))
    host.found("private-key-in-work-tree")


def test_without_git(directory):
    """without git, the rest is examined, and a warning says that the work tree was not searched"""
    host = Host(directory)
    program = host.systemctl.directory / "bin" / "git"
    program.write_text("#!/bin/sh\nexit 127\n")
    program.chmod(0o755)
    expect(host.doctor(), 0, "nothing found\n", "vmcred: warning: the work tree was not searched for private keys: git cannot be used\n")


def test_secrets_in_strings(directory):
    """a static OEM string that looks like a secret is found; one without a value, and systemd's public credentials, are not"""
    harmless = "ENVIRONMENT=test, TOKEN=none, 'io.systemd.credential:vmm.notify_socket=vsock:2:1'"
    host = Host(directory, DECLARATION.replace("[ENVIRONMENT=test]", f"[{harmless}]"))
    host.found()
    for string, name in (("DB_PASSWORD=hunter2hunter2", "DB_PASSWORD"), ("io.systemd.credential:db=x", "io.systemd.credential:db")):
        host.example.config.write_text(DECLARATION.replace("[ENVIRONMENT=test]", f"[{harmless}, '{string}']"))
        finding = host.found("secret-in-oem-strings")
        assert name in finding["message"] and string not in str(finding), finding


def test_store(directory):
    """what check and prune find is found, with their names and commands"""
    host = Host(directory)
    one, two = host.example.document("one"), host.example.document("two")
    text = one.read_text()
    one.write_text(text.replace("vmcred_name", "other_name"))
    equal(host.found("store-no-name")["fix"], "vmcred fix")
    one.write_text("")
    assert str(one.relative_to(host.tree)) in host.found("store-unreadable")["message"]
    shutil.rmtree(one.parent)
    equal(host.found("store-missing")["fix"], "vmcred generate")
    one.parent.mkdir()
    one.write_text(text)
    equal(host.found("store-readers")["fix"], "vmcred fix")
    expect(vmcred("fix", "--config", host.example.config, "--identity", host.example.identity))
    host.found()
    document = json.loads(two.read_text())
    document["sops"]["lastmodified"] = "2001-09-09T01:46:40Z"
    two.write_text(json.dumps(document))
    host.example.config.write_text(DECLARATION.replace("    machines: [m]\n", "    machines: [m]\n    rotateAfter: 90d\n"))
    equal(host.found("store-overdue")["fix"], "vmcred generate --overdue")
    host.example.config.write_text(DECLARATION.replace("      two: {mode: \"0440\"}\n", "").replace(", two: {hex: 16}", "")
                                   .replace("      host-two: made/two\n", "").replace("      HOST-TWO: {credential: host-two, optional: true}\n", ""))  # fmt: skip
    equal(host.found("store-orphan")["fix"], "vmcred prune")
    host.example.config.write_text(DECLARATION)
    two.write_text(text)
    (host.tree / "sops/machines/m/key.json").unlink()
    (host.tree / "sops/machines/m").rmdir()
    assert "store-no-key" in [finding["name"] for finding in json.loads(host.doctor("--json").out)]


def test_other_store_faults(directory):
    """an outdated secret, and a certificate that another authority signed, are found"""
    text = """\
machines: {m: {}}
generators:
  made: {machines: [m], files: {one: {}}, kind: {one: {hex: 8}}, validation: {length: 8}}
  ca: {share: true, files: {key: {}, crt: {secret: false}}, kind: {key: {tls: {certificate: crt, ca: true}}}}
  leaf:
    machines: [m]
    dependencies: [ca]
    files: {key: {}, crt: {secret: false}}
    kind: {key: {tls: {certificate: crt, issuer: ca}}}
"""
    example, other = (Example(path, text, generate=False) for path in (directory / "tree", directory / "other") if path.mkdir() is None)
    for one in (example, other):
        key = one.identity.read_text().split("public key: ")[1].split()[0]
        expect(vmcred("user", "add", "--config", one.config, "me", "--age-key", key))
        expect(one.generate("--identity", one.identity))
        one.identity.unlink()

    def found():
        done = run(harness.VMCRED, "doctor", "--json", "--config", example.config, "--root", directory / "none")
        return [finding["name"] for finding in json.loads(done.out)]

    equal(found(), [])
    shutil.copy(directory / "other/vars/shared/ca/crt/value", directory / "tree/vars/shared/ca/crt/value")
    equal(found(), ["store-expired"])
    example.config.write_text(text.replace("length: 8", "length: 9"))
    equal(found(), ["store-outdated", "store-expired"])


def test_vms(directory):
    """an old and a missing credential of a VM are found, unless the VM is not on this host"""
    host = Host(directory)
    expect(vmcred("set", "--config", host.example.config, "m", "made/one", stdin=other_end(host.example.active("one").read_text())))
    expect(host.example.activate())
    equal(host.found("vm-stale")["fix"], f"systemctl restart {UNIT}")
    (host.root / "run/credentials" / UNIT / "host-two").unlink()
    host.found("vm-stale", "vm-missing")
    host.unit(load="not-found")
    host.found()
    # A laptop, with the template of the units.
    shutil.rmtree(host.root / "run")
    host.unit(active="inactive")
    host.found()
    host.unit(active="failed")
    host.found("vm-missing")


def test_units_that_dump_core(directory):
    """a VM's unit that may dump core is found, unless it is not on this host"""
    host = Host(directory)
    host.unit(core="infinity")
    host.found("unit-core")
    host.unit(core="infinity", load="not-found")
    host.found()


def device(host, name, uuid=None, slaves=()):
    host.write(f"sys/class/block/{name}/size", "")
    if uuid:
        host.write(f"sys/class/block/{name}/dm/uuid", uuid)
    for slave in slaves:
        host.write(f"sys/class/block/{name}/slaves/{slave}/size", "")


def test_units_that_are_swapped(directory):
    """a VM's unit that may be swapped to a disk is found, unless the swap is in memory, encrypted at any layer, or not allowed"""
    host = Host(directory)
    host.unit(swap="infinity")
    host.found()
    for name, uuid in (("sda3", None), ("dm-2", "LVM-x")):
        device(host, name, uuid)
        host.write("proc/swaps", f"{SWAPS}/dev/zram0 partition 1 0 100\n/dev/{name} partition 8 0 -2\n")
        assert f"/dev/{name}" in host.found("unit-swap")["message"]
    device(host, "dm-1", "CRYPT-LUKS2-x", slaves=["sda3"])
    device(host, "dm-3", "LVM-x", slaves=["dm-1"])
    device(host, "md0", slaves=["dm-1", "sda3"])
    for name, names in (("dm-1", ()), ("dm-3", ()), ("zram0", ()), ("md0", ("unit-swap",))):
        host.write("proc/swaps", f"{SWAPS}/dev/{name} partition 8 0 -2\n")
        host.found(*names)
    host.unit(swap="0")
    host.found()


def test_identity(directory):
    """an identity that its group or others can use is found, and --fix removes their access; nothing else is changed"""
    host = Host(directory)
    for path in ("var/lib/vmcred/identity", "var/lib/sops-nix/key.txt"):
        identity = host.write(path, "x")
        identity.chmod(0o600)
        host.found()
        identity.chmod(0o644)
        host.found("identity-mode")
        host.unit(core="infinity")
        result = expect(host.doctor("--fix"), 1, None, "vmcred: found 0 errors and 1 warning\n")
        assert f"\n    fixed: chmod 600 {identity}" in result.out, result.out
        equal(identity.stat().st_mode & 0o777, 0o600)
        host.unit()
        identity.chmod(0o644)
        expect(host.doctor("--fix"), 0, None, "")
        host.found()


def test_sockets(directory):
    """a hypervisor's socket that any user can connect to is found, unless its mode or a directory prevents that"""
    host = Host(directory)
    (host.root / "run/vms").mkdir(parents=True)
    for words in ("--api-socket, /run/vms/api", "--api-socket, path=/run/vms/api", "--api-socket=/run/vms/api",
                  "-qmp, 'unix:/run/vms/api,server=on'"):  # fmt: skip
        host.example.config.write_text(f"{DECLARATION}    command: [x, {words}]\n")
        path = host.root / "run/vms/api"
        path.unlink(missing_ok=True)
        host.found()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
        path.chmod(0o666)
        assert "/run/vms/api" in host.found("socket-mode")["message"]
        path.chmod(0o660)
        host.found()
        path.chmod(0o666)
        path.parent.chmod(0o750)
        host.found()
        path.parent.chmod(0o755)


def test_declaration_with_errors(directory):
    """a declaration that cannot be read is an error, and nothing is printed"""
    host = Host(directory)
    host.example.config.write_text("vms: [\n")
    fails(host.doctor(), 2, "vmcred.yaml")


def test_each_name_is_in_the_manual(_directory):
    """the manual page has each finding's name, and no other"""
    sources = "".join(path.read_text() for path in [SOURCE / "src/cli/vmcred/doctor.c", *SOURCE.glob("src/inspect/doctor/*.c")])
    names = set(re.findall(r'"((?:store|vm|unit|socket|identity|private|secret)-[a-z-]+)"', sources))
    page = (SOURCE / "docs/vmcred-inspect.1.scd").read_text().split("# DOCTOR\n")[1].split("\n# ")[0]
    listed = "".join(line for line in page.splitlines() if line.startswith("_"))
    equal(set(re.findall(r"_([a-z]+-[a-z-]+)_", listed)), names)


if __name__ == "__main__":
    harness.main()
