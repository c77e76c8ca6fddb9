# SPDX-License-Identifier: Apache-2.0
"""The NixOS modules for microvm.nix: runners that start vmcred, and the units of their hosts."""
import base64
import functools
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import harness
from archive import credentials, entries
from cloud_hypervisor_vm import kernel, need_cloud_hypervisor, running
from harness import Skip, equal, expect, fails, need_root, run, test, vmcred
from nix_rig import OURS, nix, originals
from vm import children, stop, stopped_at_exit, visible_to_others, wait_for

VALUES = {"API_KEY": 'canary,"[x]=-7f0c1d3a5b', "DB_PASSWORD": "canary-55-e1", "tls.key": "canary-9c\nline 2\n"}


@functools.cache
def facts(sources):
    return nix(sources).value("facts")


@functools.cache
def runners(sources):
    return nix(sources).built("runners")


class Runner:
    """A runner in a directory with the credentials of its VM."""

    def __init__(self, directory, sources, name):
        self.directory, self.name, self.facts = directory, name, facts(sources)[name]
        self.script = runners(sources) / name / "bin/microvm-run"
        self.credentials = directory / "credentials"
        self.credentials.mkdir()
        self.values = {name: VALUES[name] for name in self.facts["credentialFiles"]}
        for name, value in self.values.items():
            (self.credentials / name).write_text(value)

    def text(self):
        """Without the interfaces that this machine does not have."""
        return re.sub(r"/dev/tap\$\(<[^)]*\)", "/dev/null", self.script.read_text())

    def arguments(self):
        """argv of the hypervisor, as the script has it."""
        words = shlex.split(self.text().rpartition("\nexec ")[2])
        if words[0] == "-a":
            words = [words[1], *words[3:]]
        equal(words.pop(), "${runtime_args:-}")
        return words + (["--rng", "src=/dev/random"] if "at-start" in self.name else [])

    def run(self, **environment):
        script = self.directory / "microvm-run"
        script.write_text(self.text())
        return run("bash", script, cwd=self.directory,
                   env={"CODE": "7", "CREDENTIALS_DIRECTORY": str(self.credentials)} | environment)  # fmt: skip

    def fails_without(self, **environment):
        name = sorted(self.values)[-1]
        (self.credentials / name).unlink()
        fails(self.run(**environment), 3, name, self.credentials / name)


def oem_string(name, value):
    if "\n" in value:
        return f"io.systemd.credential.binary:{name}={base64.b64encode(value.encode()).decode()}"
    return f"io.systemd.credential:{name}={value}"


def starts_cloud_hypervisor(runner):
    record = runner.directory / "record"
    stand_in = json.dumps({"record": str(record), "exit": 7})
    expect(runner.run(STAND_IN=stand_in), 7, "", "")
    recorded = json.loads(record.read_text())
    body = next(json.loads(request[2]) for request in recorded["requests"] if request[1].endswith("vm.create"))
    equal(body["platform"]["oem_strings"],
          runner.facts["strings"] + [oem_string(*credential) for credential in sorted(runner.values.items())])
    assert "canary" not in str(recorded["argv"]), recorded["argv"]
    record.unlink()
    runner.fails_without(STAND_IN=stand_in)
    assert not record.exists(), "Cloud Hypervisor was started without credentials"


def starts_firecracker(runner):
    need_root()
    initrd = Path("/run/stand-in/initrd")
    initrd.parent.mkdir(exist_ok=True)
    initrd.write_bytes(b"initrd")
    record = runner.directory / "record"
    stand_in = json.dumps({"record": str(record)})
    process = stopped_at_exit(subprocess.Popen(
        ["bash", runner.script], cwd=runner.directory, stdin=subprocess.DEVNULL,
        env=harness.CLEAN_ENVIRONMENT | {"CREDENTIALS_DIRECTORY": str(runner.credentials), "STAND_IN": stand_in}))  # fmt: skip
    wait_for("the boot", lambda: record.exists() and json.loads(record.read_text())["requests"] or process.poll())
    data = record.with_suffix(".initrd").read_bytes()
    equal(entries(data, len(b"initrd")), credentials({name: value.encode() for name, value in runner.values.items()}))
    for pid in (process.pid, *children(process.pid)):
        assert b"canary" not in visible_to_others(pid)
    stop(process)
    for path in runner.directory.glob("record*"):
        path.unlink()
    runner.fails_without(STAND_IN=stand_in)
    assert not record.exists(), "Firecracker was started without credentials"


def passes_credentials_of_the_initrd(sources, directory):
    found = facts(sources)
    expected = {"ch-aarch64", "firecracker-three-secrets"} | {
        f"{name}-minimal" for name in ("alioth", "crosvm", "firecracker", "kvmtool", "stratovirt")}
    equal({name for name, fact in found.items() if fact["inInitrd"] and not fact["failed"]}, expected)
    script = found["firecracker-minimal"]["inInitrd"]
    extra = directory / "extra/system_credentials"
    extra.mkdir(parents=True)
    for name, value in VALUES.items():
        (extra / f"{name}.cred").write_text(value)
    expect(run("sh", "-ec", script.replace("/.extra", f"{directory}/extra").replace("/run/cred", f"{directory}/cred")), 0, "", "")
    passed = directory / "credentials/@initrd"
    equal({path.name: path.read_text() for path in passed.iterdir()}, VALUES)
    equal([path.stat().st_mode & 0o777 for path in passed.iterdir()], [0o600] * len(VALUES))


def called(result):
    """What the stand-in of QEMU says: its arguments, what it read from descriptors, and its environment."""
    items = expect(result, 7, None, "").out.split("\0")[:-1]
    read = [item[1:] for item in items if item[0] == "<"]
    return [item for item in items if item[0] not in "<$"], read, [item for item in items if item[0] == "$"]


def starts_qemu(runner):
    arguments, read, environment = called(runner.run())
    plain = runner.arguments()
    equal(arguments[:len(plain)], plain, "the runner's arguments")
    handed = [re.sub(r"\d+$", "N", argument) for argument in arguments[len(plain):]]
    if runner.name.startswith("q35"):
        equal(handed, ["-smbios", "type=11,path=/dev/fd/N"] * len(runner.values))
        equal(read, [oem_string(*credential) for credential in sorted(runner.values.items())], "OEM strings")
    else:
        equal(handed, [argument for name in sorted(runner.values) for argument in (
            "-fw_cfg", f"name=opt/io.systemd.credentials/{name},file=/dev/fd/N")])
        equal(read, [value for _, value in sorted(runner.values.items())], "values")
    assert "canary" not in str(arguments + environment)
    runner.fails_without()


def starts_with_its_units_entry(runner):
    (runner.credentials / "key").write_text("canary of the host")
    (runner.credentials / "vmcred.vm").write_text('{"vms": {"own-q35": {"credentialFiles": {"KEY": "key"}}}}')
    arguments, read, _ = called(runner.run(VMCRED_VM="own-q35"))
    equal(read, [oem_string("KEY", "canary of the host")])
    equal(arguments[:-2], runner.arguments())


def adds_to_an_initrd(runner):
    need_root()
    Path("/run/stand-in").mkdir(exist_ok=True)
    Path("/run/stand-in/initrd").write_bytes(b"initrd")
    arguments, read, environment = called(runner.run())
    (data,) = read
    equal(entries(data.replace("\1", "\0").encode(), len(b"initrd")),
          credentials({name: value.encode() for name, value in runner.values.items()}))  # fmt: skip
    assert "canary" not in str(arguments + environment)
    runner.fails_without()


def starts_without_vmcred(runner):
    """Without credentials, as if the module were not imported."""
    assert "-vmcred-" not in runner.text(), runner.text()


def evaluates_guests(sources):
    found = facts(sources)
    mentioned = nix(sources).value("mentions")
    equal({name for name, fact in found.items() if fact["failed"]}, set(mentioned), "refused VMs")
    for name, mentions in mentioned.items():
        (message,) = found[name]["failed"]
        for mention in (name, *mentions, "remove "):
            assert mention in message, message
    # Where assertions are ignored, no VM starts without its credentials.
    equal({name for name, fact in found.items() if fact["throws"]}, set(mentioned), "VMs without a runner")
    all_but_vfkit = ["alioth", "cloud-hypervisor", "crosvm", "firecracker", "kvmtool", "qemu", "stratovirt"]
    equal([found[name]["runners"] for name in ("ch-minimal", "ch-aarch64", "off-qemu")], [
        all_but_vfkit, all_but_vfkit, ["qemu"],
    ])  # fmt: skip
    equal(found["q35-minimal"]["services"], {"web": ["key:API_KEY", "other:OTHER"]})
    equal((found["channel-ch"]["services"], found["channel-ch"]["enable"], found["channel-ch"]["channel"]), (
        {"web": ["key:KEY", "api-key:/run/vmcred/socket", "tls.key:/run/vmcred/socket"]}, True, {
            "packages": ["vmcred-guest"], "socket": ["sockets.target"],
            "watch": {"wantedBy": ["multi-user.target"], "path": ["/run/stand-in/systemd"]},
            "verify": ["multi-user.target"],
        },
    ))  # fmt: skip
    equal(found["q35-minimal"]["channel"], {"packages": [], "socket": [], "watch": None, "verify": None})
    for name, fact in found.items():
        modules = {"dmi_sysfs", "qemu_fw_cfg"} & set(fact["initrd"])
        equal(len(modules), 2 if fact["enable"] else 0, f"kernel modules of {name}")


def wraps_packages(sources):
    equal(nix(sources).value("wrapped"), {
        "version": "53.0", "overridden": "54.0", "wrapsTheOverridden": True, "configureFlags": ["--enable-seccomp", "--more"],
        "mainProgram": "cloud-hypervisor",
    })  # fmt: skip


def loads_credentials(sources):
    host = nix(sources).value("hosts")["mixed"]
    equal(host["failed"], [])
    services = host["services"]
    loaded = {name: unit["LoadCredential"] for name, unit in services.items() if "LoadCredential" in unit}
    equal(loaded, {
        "microvm@secrets": ["KEY:/run/secrets/100%%"],
        "microvm@evaluated": ["OTHER:/run/secrets/other"],
        "microvm@imperative": ["KEY:/run/secrets/imperative"],
    })
    equal([(services[name]["LimitCORE"], services[name]["MemorySwapMax"]) for name in loaded], [(1, 0)] * 3)
    hosts = nix(sources).value("hosts")
    equal([hosts[name]["after"] for name in ("seed", "emulated")], [[], ["vmcred-activate.service"]])
    # What the hypervisor's user can replace must not run as root because of vmcred.
    equal([line for unit in loaded for line in services[unit] if line.startswith("Exec")], [])


def declares_vms(sources, directory):
    hosts = nix(sources).value("hosts")
    for host in hosts.values():
        assert "vmcred-0" in "".join(host["programs"]), host["programs"]
    # A host with vmcred's store has its own declaration.
    equal(hosts["emulated"]["declaration"], None)
    (directory / "vmcred.yaml").write_text(hosts["mixed"]["declaration"])
    printed = expect(vmcred("units", "--config", directory / "vmcred.yaml"), 0).out
    lines = re.findall(r"^# (microvm@\w+).service.d|^LoadCredential=(.*)", printed, re.M)
    equal([unit or line for unit, line in lines], [
        word for unit, line in (("evaluated", "OTHER:/run/secrets/other"), ("imperative", "KEY:/run/secrets/imperative"),
                                ("secrets", "KEY:/run/secrets/100%%")) for word in (f"microvm@{unit}", line)
    ])  # fmt: skip


CLAN = {f"HOST-{name.upper()}": f"canary of {name}" for name in ("api-key", "db-password", "jwt-secret")}
CLAN_STRINGS = ["ENVIRONMENT=test", "CLUSTER=example-host"] + [oem_string(*credential) for credential in CLAN.items()]


def clan_credentials(directory):
    credentials = directory / "credentials"
    credentials.mkdir()
    for name, value in CLAN.items():
        (credentials / name).write_text(value)
    return {"CREDENTIALS_DIRECTORY": str(credentials)}


def passes_the_secrets_of_a_clan(sources, directory):
    unit = nix(sources).value("hosts")["seed"]["services"]["microvm@test-vm"]
    names = ["api-key", "db-password", "jwt-secret"]
    equal(unit["LoadCredential"], [f"HOST-{name.upper()}:/run/secrets/vars/test-vm-secrets/{name}" for name in names])
    record = directory / "record"
    stand_in = json.dumps({"record": str(record), "exit": 0})
    started = run(nix(sources).built("systems.seed") / "runner/bin/microvm-run", cwd=directory,
                  env=clan_credentials(directory) | {"STAND_IN": stand_in})  # fmt: skip
    expect(started, 0, "", "")
    equal(json.loads(json.loads(record.read_text())["requests"][0][2])["platform"]["oem_strings"], CLAN_STRINGS)


def runs_in_the_real_cloud_hypervisor(sources, directory):
    need_root()
    need_cloud_hypervisor()
    kernel(nix(sources).kernel / "vmlinux")
    real = directory / "hypervisors"
    real.mkdir()
    for name in ("cloud-hypervisor", "ch-remote"):
        (real / name).symlink_to(shutil.which("cloud-hypervisor"))
    # Where the stand-ins of NixOS have the guest's files.
    Path("/run/stand-in").mkdir(exist_ok=True)
    for name, size in (("initrd", 512), ("store", 1 << 20)):
        Path(f"/run/stand-in/{name}").write_bytes(b"\0" * size)
    (directory / "api").symlink_to("test-vm.sock")
    with open(directory / "err", "wb") as err:
        process = stopped_at_exit(subprocess.Popen(
            [nix(sources).built("systems.seed", "--argstr", "hypervisors", real) / "runner/bin/microvm-run"], cwd=directory,
            env=harness.CLEAN_ENVIRONMENT | clan_credentials(directory),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err))  # fmt: skip
    equal(running(directory, process)["config"]["platform"]["oem_strings"], CLAN_STRINGS)
    pids = [process.pid, *children(process.pid)]
    equal(len(pids), 2, "processes")
    for pid in pids:
        assert b"microvm@test-vm" in visible_to_others(pid) and b"canary" not in visible_to_others(pid)
    # The guest ignores the power button.
    process.kill()


CHECKS = {"ch": starts_cloud_hypervisor, "firecracker": starts_firecracker, "qemu": starts_qemu, "q35": starts_qemu}


def runner_tests(sources, origin):
    names = nix(sources).value("names")

    def register(name, sentence, body):
        body.__name__ = f"test_{origin}_{name}"
        test(f"with {origin}: {sentence}")(body)

    register("guests", "each VM that vmcred cannot serve is refused with a reason", lambda _: evaluates_guests(sources))
    register("wrapped", "a hypervisor's package keeps its version, its flags and its functions", lambda _: wraps_packages(sources))
    register("hosts", "the units of VMs load the files of their credentials", lambda _: loads_credentials(sources))
    register("declares", "vmcred's commands know the VMs with secrets", lambda directory: declares_vms(sources, directory))
    register("seed", "a VM gets three secrets of a clan beside its static strings",
             lambda directory: passes_the_secrets_of_a_clan(sources, directory))
    register("real", "the real Cloud Hypervisor runs that VM, and no process shows a secret",
             lambda directory: runs_in_the_real_cloud_hypervisor(sources, directory))
    for name in names["works"]:
        check = CHECKS.get(name.partition("-")[0], adds_to_an_initrd)
        register(name, f"the runner of {name} passes each credential, and starts nothing without one",
                 lambda directory, name=name, check=check: check(Runner(directory, sources, name)))
    register("initrd", "a guest passes the credentials that Firecracker adds to its initrd to the system",
             lambda directory: passes_credentials_of_the_initrd(sources, directory))
    register("own", "without microvm.credentialFiles, the runner passes what the unit's entry lists",
             lambda directory: starts_with_its_units_entry(Runner(directory, sources, "own-q35")))
    for name in names["unchanged"]:
        register(name, f"the runner of {name} does not contain vmcred",
                 lambda directory, name=name: starts_without_vmcred(Runner(directory, sources, name)))


runner_tests(OURS, "a stand-in")
try:
    runner_tests(originals("microvm.nix", "nixpkgs.lib"), "microvm.nix")
except Skip as skip:
    REASON = str(skip)

    def test_original(_directory):
        """with microvm.nix: its runners pass each credential"""
        raise Skip(REASON)


harness.main()
