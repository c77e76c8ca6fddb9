# SPDX-License-Identifier: Apache-2.0
"""doctor finds each fault that a test plants, names its fix, and is silent without it."""
import json
import os
import re
import shutil
import socket

import harness
from example import DECLARATION, NOBODY, Example, other_end
from harness import SOURCE, equal, expect, fails, need, run, vmcred
from systemctl import Systemctl, now_us

UNIT = "microvm@m.service"
NOT_SEARCHED = "vmcred: warning: the work tree or its git history was not searched for private keys: git cannot be used\n"
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
                   env={"PATH": self.systemctl.env["PATH"], "HOME": str(self.root / "home")})  # fmt: skip

    def found(self, *names, ignore=()):
        """Checks that doctor finds exactly these; returns the last one."""
        findings = json.loads(expect(self.doctor("--json", *(f"--ignore={name}" for name in ignore)), 1 if names else 0, None, None).out)
        equal([finding["name"] for finding in findings], list(names), findings)
        return findings[-1] if names else None


def test_nothing(directory):
    """without a fault, doctor finds nothing"""
    expect(Host(directory).doctor(), 0, "nothing found\n", "")


def test_laptop(directory):
    """doctor runs where no machine of the declaration is this host, and $VMCRED_MACHINE names none"""
    declaration = DECLARATION.replace("  m: {}", "  m: {}\n  n: {}").replace("vms:\n  m:", "vms:\n  m:\n    machine: m")
    host = Host(directory)
    host.example.config.write_text(declaration)
    fails(vmcred("status", "--config", host.example.config), 2, "$VMCRED_MACHINE")
    host.found()


def test_findings(directory):
    """a finding is an error or a warning with its name and its fix, and the exit code is 1"""
    host = Host(directory)
    host.unit(core="infinity")
    identity = host.write("var/lib/vmcred/identity", "")
    identity.chmod(0o640)
    expect(host.doctor(), 1,
           f"warning: {UNIT} may dump core: the file would contain the guest's memory [unit-core]\n"
           f"    fix: add LimitCORE=1 to its section [Service]: `systemctl edit {UNIT}`\n"
           f"error: {identity} has mode 0640: others can use the identity [identity-mode]\n"
           f"    fix: chmod 600 {identity}; if others have read it, replace the key\n",
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


def test_name_with_lines(directory):
    """a finding is two lines, also if a file's name has more, which could be another finding with another fix"""
    host = Host(directory)
    (host.tree / "x\nerror: no key [identity]\n    fix: reboot\x1b[2J").write_text(expect(vmcred("keygen")).out)
    lines = host.doctor().out.splitlines()
    equal((len(lines), lines[1]), (2, "    fix: move it out of the work tree"), lines)
    assert r"x\u000aerror" in lines[0] and r"\u001b" in lines[0], lines


def test_history(directory):
    """a private key and a plaintext secret in an older commit of any branch are found; --ignore leaves out their names"""
    host = Host(directory)
    one = host.example.document("one")
    text, key = one.read_text(), expect(vmcred("keygen")).out

    def commit():
        expect(run("git", "-C", host.tree, "add", "--all"))
        expect(run("git", "-C", host.tree, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=x"))

    (host.tree / "notes.md").write_text("an age identity starts with AGE-SECRET-KEY-1\n")
    (host.tree / "large").write_text(key + "x" * (1 << 20))
    host.found("private-key-in-work-tree")
    (host.tree / "large").write_text("x")
    commit()
    host.found()
    expect(run("git", "-C", host.tree, "checkout", "--quiet", "-b", "other"))
    (host.tree / "my key").write_text(f"\0\n{key}")
    one.write_text("hunter2hunter2")
    commit()
    (host.tree / "my key").unlink()
    one.write_text(text)
    commit()
    expect(run("git", "-C", host.tree, "checkout", "--quiet", "-"))
    finding = host.found("private-key-in-history", "plaintext-in-history")
    assert str(one.relative_to(host.tree)) in finding["message"], finding
    assert "hunter2" not in str(host.doctor()) and key.splitlines()[-1] not in str(host.doctor())
    command = finding["fix"].split("`")[1]
    equal(len(expect(run(*command.split(), "--format=%H", cwd=host.tree)).out.split()), 2)
    host.found("plaintext-in-history", ignore=["private-key-in-history"])
    host.found(ignore=["private-key-in-history", "plaintext-in-history"])


def test_history_whatever_git_is_configured(directory):
    """the history is searched if git recurses into submodules, and a warning says if git refuses the repository"""
    host = Host(directory)
    key = expect(vmcred("keygen")).out
    for text in key, "x":
        (host.tree / "notes").write_text(text)
        expect(run("git", "-C", host.tree, "add", "--all"))
        expect(run("git", "-C", host.tree, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=x"))
    expect(run("git", "-C", host.tree, "config", "submodule.recurse", "true"))
    host.found("private-key-in-history")
    expect(run("git", "-C", host.tree, "config", "core.repositoryFormatVersion", "9"))
    expect(host.doctor(), 0, "nothing found\n", NOT_SEARCHED)


def test_history_that_is_not_complete(directory):
    """what a shallow, partial or damaged clone does not have is not said to be searched, and a replaced commit is"""
    host = Host(directory)
    key = expect(vmcred("keygen")).out

    def git(*words, tree=host.tree):
        return expect(run("git", "-C", tree, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", *words)).out

    for text in "a", key, "x":
        (host.tree / "notes").write_text(text)
        git("add", "--all")
        git("commit", "--quiet", "--message=x")
    host.found("private-key-in-history")
    commit = git("rev-parse", "HEAD~1").strip()
    git("replace", commit, "HEAD~2")
    host.found("private-key-in-history")
    git("config", "uploadpack.allowFilter", "true")
    origin = host.tree.rename(directory / "origin")
    for option, message in (
        ("--depth=1", "older commits were not searched for private keys: this is a shallow clone"),
        ("--filter=tree:0", "a part of the git history was not searched for private keys: git cannot read it"),
        ("--filter=blob:none", "a part of the git history was not searched for private keys: git cannot read it"),
    ):
        git("clone", "--quiet", option, f"file://{origin}", host.tree, tree=directory)
        expect(host.doctor(), 0, "nothing found\n", f"vmcred: warning: {message}\n")
        shutil.rmtree(host.tree)
    origin.rename(host.tree)
    (host.tree / ".git/objects" / commit[:2] / commit[2:]).unlink()
    expect(host.doctor(), 0, "nothing found\n", f"vmcred: warning: {message}\n")


def test_without_git(directory):
    """without git, the rest is examined, and a warning says that the work tree was not searched"""
    host = Host(directory)
    harness.write_program(host.systemctl.directory / "bin" / "git", "#!/bin/sh\nexit 127\n")
    expect(host.doctor(), 0, "nothing found\n", NOT_SEARCHED)


def test_bundle_without_git(directory):
    """on a host with a bundle, which is not a work tree, git is not needed"""
    host = Host(directory)
    harness.write_program(host.systemctl.directory / "bin" / "git", "#!/bin/sh\nexit 127\n")
    host.example.config.write_text("part: true\n" + DECLARATION)
    expect(host.doctor(), 0, "nothing found\n", "")


def test_secrets_in_strings(directory):
    """a static OEM string that looks like a secret is found; one without a value, and systemd's public credentials, are not"""
    harmless = "ENVIRONMENT=test, TOKEN=none, 'io.systemd.credential:vmm.notify_socket=vsock:2:1'"
    host = Host(directory, DECLARATION.replace("[ENVIRONMENT=test]", f"[{harmless}]"))
    host.found()
    for string, name in (("DB_PASSWORD=hunter2hunter2", "DB_PASSWORD"), ("io.systemd.credential:db=x", "io.systemd.credential:db")):
        host.example.config.write_text(DECLARATION.replace("[ENVIRONMENT=test]", f"[{harmless}, '{string}']"))
        finding = host.found("secret-in-oem-strings")
        assert name in finding["message"] and string not in str(finding), finding


def test_credentials_that_are_not_loaded(directory):
    """a host credential that credentialFiles names and loadCredentials does not is found, unless all are loaded by other means"""
    host = Host(directory)
    wrong = DECLARATION.replace("credential: host-two", "credential: host-tow")
    assert wrong != DECLARATION
    host.example.config.write_text(wrong)
    finding = host.found("credential-not-loaded")
    assert 'vms.m.credentialFiles.HOST-TWO: the host credential "host-tow"' in finding["message"], finding
    loads = "    loadCredentials:\n      host-one: made/one\n      host-two: made/two\n"
    assert loads in wrong
    host.example.config.write_text(wrong.replace(loads, ""))
    host.found()


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
        done = run(harness.VMCRED, "doctor", "--json", "--config", example.config, "--root", directory / "other")
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
    for path in ("var/lib/vmcred/identity", "var/lib/sops-nix/key.txt", "home/.config/sops/age/keys.txt"):
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


def test_owner_of_the_identity(directory):
    """an identity of another user, or in a directory that others can write to, is found"""
    host = Host(directory)
    identity = host.write("var/lib/vmcred/identity", "x")
    identity.chmod(0o600)
    host.found()
    identity.parent.chmod(0o777)
    host.found("identity-owner")
    identity.parent.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(identity, NOBODY, 0)
        host.found("identity-owner")


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


def test_log(directory):
    """a hypervisor's log with credentials is found; one without them, or of another option, is not"""
    host = Host(directory)
    log = host.write("var/log/vm", "booting\n")
    host.example.config.write_text(f"{DECLARATION}    command: [cloud-hypervisor, --log-file, /var/log/vm]\n")
    host.found()
    log.write_text('oem_strings: Some(["io.systemd.credential:A=x"])\n')
    assert "/var/log/vm" in host.found("credential-in-log")["message"]
    host.example.config.write_text(f"{DECLARATION}    command: [cloud-hypervisor, --disk, path=/var/log/vm]\n")
    host.found()


def test_snapshots(directory):
    """a snapshot with credentials is found, in the VM's directory and where the VM is restored from"""
    host = Host(directory)
    text = '{"platform": {"oem_strings": ["io.systemd.credential:A=x"]}}'
    for path in ("var/lib/microvms/m/config.json", "var/lib/microvms/m/snapshot/config.json"):
        file = host.write(path, text.replace("io.systemd", "x"))
        host.found()
        file.write_text(text)
        assert path in host.found("credential-in-snapshot")["message"]
        file.unlink()
    host.write("srv/s/config.json", text)
    host.found()
    host.example.config.write_text(f"{DECLARATION}    command: [cloud-hypervisor, --restore, 'source_url=file:///srv/s,prefault=on']\n")
    host.found("credential-in-snapshot")


def test_guest_kernels(directory):
    """a guest's kernel whose configuration has no DMI_SYSFS is found, unless credentials do not come through SMBIOS"""
    host = Host(directory)
    for command, path in (("[cloud-hypervisor, --kernel, /boot/vmlinux-6.1-a]", "boot/config-6.1-a"),
                          ("[qemu-system-x86_64, -kernel, /src/bzImage]", "src/.config")):  # fmt: skip
        host.example.config.write_text(f"{DECLARATION}    command: {command}\n")
        host.found()
        for line, names in (("CONFIG_DMI_SYSFS=y", ()), ("CONFIG_DMI_SYSFS=m", ()), ("# CONFIG_DMI_SYSFS is not set", ["guest-kernel"])):
            host.write(path, f"CONFIG_DMI=y\n{line}\n")
            host.found(*names)
        host.example.config.write_text(f"{DECLARATION}    command: {command}\n    transport: initrd\n")
        host.found()
        host.example.config.write_text(f"{DECLARATION}    command: {command.replace(', ', ', -M, microvm, ', 1)}\n")
        host.found()
    host.example.config.write_text(f"{DECLARATION}    command: [qemu-system-x86_64, -kernel, /other/bzImage]\n")
    host.found()


def test_files_that_block_or_never_end(directory):
    """a FIFO or an endless device instead of a file of the host or of a VM is not read"""
    host = Host(directory)
    host.example.config.write_text(f"{DECLARATION}    command: [cloud-hypervisor, --kernel, /boot/vmlinux, --log-file, /log]\n")
    for path in ("boot/config", "log", "proc/swaps", "proc/mounts", "proc/sys/kernel/core_pattern", "var/lib/microvms/m/config.json"):
        for command in ["mkfifo"], ["ln", "-s", "/dev/zero"]:
            file = host.write(path, "")
            file.unlink()
            expect(run(*command, file))
            host.found()
            file.unlink()


def test_core_patterns(directory):
    """a core handler that ignores LimitCORE=0 is found; systemd's, a file, and LimitCORE=1 are not"""
    host = Host(directory)
    for pattern, names in (("core", ()), ("|/usr/lib/systemd/systemd-coredump %P %u", ()), ("|/usr/share/apport/apport -p%p", ["core-pattern"])):
        host.write("proc/sys/kernel/core_pattern", f"{pattern}\n")
        host.found(*names)
    assert "/usr/share/apport/apport gets" in host.found("core-pattern")["message"]
    host.unit(core="1")
    host.found()
    host.unit(load="not-found")
    host.found()


def test_visible_command_lines(directory):
    """a VM whose command line has secrets is found, unless /proc hides it or is not visible"""
    host = Host(directory)
    mounts = "sysfs /sys sysfs rw 0 0\nproc /proc proc rw,nosuid{} 0 0\n"
    host.write("proc/mounts", mounts.format(""))
    host.found()
    host.example.config.write_text(f"{DECLARATION}    expose: 'argv,log'\n")
    host.found("proc-visible")
    for options, names in ((",hidepid=invisible", ()), (",hidepid=2", ()), (",hidepid=off", ["proc-visible"]), (",hidepid=0", ["proc-visible"])):
        host.write("proc/mounts", mounts.format(options))
        host.found(*names)
    (host.root / "proc/mounts").unlink()
    host.found()


def test_clock(directory):
    """a clock that jumped ahead or back since the activation is found; a step at boot is not"""
    host = Host(directory)
    path = host.root / "run/vmcred/activation/services.json"
    record = json.loads(path.read_text())
    time = record["activated"]["realtime"]
    # No host was suspended for 30 years.
    for step, names in ((600, ()), (-600, ()), (7200, ["clock-jumped"]), (-946_684_800, ["clock-jumped"])):
        record["activated"]["realtime"] = time + step
        path.write_text(json.dumps(record))
        host.found(*names)


def test_old_versions(directory):
    """a systemd or a QEMU that is too old for the VMs on this host is found; a newer one is not"""
    host = Host(directory)
    qemu = harness.write_program(host.systemctl.directory / "bin/qemu-system-x86_64", f"#!/bin/sh\ncat {host.systemctl.directory}/qemu\n")
    host.example.config.write_text(f"{DECLARATION}    command: [qemu-system-x86_64]\n")
    for systemd, version, names in (("252 (252.1)", "7.2.1", []), ("245 (245.4)", "7.2.1", ["old-version"]), ("252", "4.2.1", ["old-version"])):
        (host.systemctl.directory / "version").write_text(f"systemd {systemd}\n")
        (host.systemctl.directory / "qemu").write_text(f"QEMU emulator version {version} (Debian)\n")
        host.unit()
        host.found(*names)
        host.unit(load="not-found")
        host.found()


def test_nix_store(directory):
    """a credential or an identity in the Nix store is found, also through a link"""
    host = Host(directory)
    text = DECLARATION.replace("      host-two: made/two\n", "      host-two: made/two\n      host-ca: /PATH\n")
    loaded = host.root / "run/credentials" / UNIT / "host-ca"
    for path, names in (("etc/ca", ()), ("nix/store/ca", ["in-nix-store"]), ("etc/link", ["in-nix-store"])):
        host.example.config.write_text(text.replace("PATH", path))
        if path == "etc/link":
            (host.root / path).symlink_to("../nix/store/ca")
        else:
            host.write(path, "x")
        loaded.write_text("x")
        host.found(*names)
    host.example.config.write_text(DECLARATION)
    (host.root / "var/lib/vmcred").mkdir(parents=True)
    (host.root / "var/lib/vmcred/identity").symlink_to("../../../nix/store/ca")
    host.found("in-nix-store")


def test_declaration_with_errors(directory):
    """an error in the entry of a VM is found, on any machine; a declaration that cannot be read is an error, and nothing is printed"""
    host = Host(directory)
    host.example.config.write_text(DECLARATION + "  other: {machine: nowhere, fromCode: 1}\n")
    finding = host.found("vm-declaration")
    assert "vms.other" in finding["message"] and "fromCode" in finding["message"], finding
    host.example.config.write_text("vms: [\n")
    fails(host.doctor(), 2, "vmcred.yaml")


def test_each_name_is_in_the_manual(_directory):
    """the manual page has each finding's name, and no other"""
    sources = "".join(path.read_text() for path in [SOURCE / "src/cli/vmcred/doctor.c", *SOURCE.glob("src/inspect/doctor/*.c")])
    names = set(re.findall(r'"((?:store-[a-z-]+)(?=")|[a-z]+(?:-[a-z]+)+(?="(?:\n|,\s*DOCTOR_)))', sources))
    page = (SOURCE / "docs/vmcred-inspect.1.scd").read_text().split("# DOCTOR\n")[1].split("\n# ")[0]
    listed = "".join(line for line in page.splitlines() if line.startswith("_"))
    equal(set(re.findall(r"_([a-z]+-[a-z-]+)_", listed)), names)


def test_ignored_names(directory):
    """--ignore accepts the name of each finding, and reports any other"""
    host = Host(directory)
    page = (SOURCE / "docs/vmcred-inspect.1.scd").read_text().split("# DOCTOR\n")[1].split("\n# ")[0]
    listed = "".join(line for line in page.splitlines() if line.startswith("_"))
    host.found(ignore=re.findall(r"_([a-z]+-[a-z-]+)_", listed))
    expect(host.doctor("--ignore", "unit-swp"), 2, "", 'vmcred: --ignore: unknown finding "unit-swp": did you mean "unit-swap"?\n')


def test_a_root_that_does_not_exist(directory):
    """without the directory of --root, a host is not reported as if it had nothing"""
    host = Host(directory)
    none = directory / "none"
    for words in (["doctor"], ["status"], ["metrics"], ["graph"], ["inspect", "m", "--identity", directory / "identity"]):
        done = vmcred(*words, "--config", host.example.config, "--root", none)
        expect(done, 3, "", f"vmcred: opening the root directory {none}: No such file or directory\n")


if __name__ == "__main__":
    harness.main()
