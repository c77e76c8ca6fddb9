# SPDX-License-Identifier: Apache-2.0
"""The Nix package and the NixOS modules: runners of microvm.nix that start vmcred, and the units of hosts."""
import base64
import functools
import json
import re
import shlex

import harness
from harness import Skip, equal, expect, fails, need, run, test
from nix_rig import OURS, RIG, nix, originals

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


def starts_without_vmcred(runner):
    """Without credentials, as if the module were not imported."""
    assert "-vmcred-" not in runner.text(), runner.text()


def runner_tests(sources, origin):
    names = nix(sources).value("names")

    def register(name, sentence, check):
        def body(directory):
            check(Runner(directory, sources, name))

        body.__name__ = f"test_{origin}_{name}"
        test(sentence)(body)

    for name in names["works"]:
        check = starts_cloud_hypervisor if name.startswith("ch-") else starts_qemu
        register(name, f"{name}: the runner of {origin} passes each credential, and starts nothing without them", check)
    for name in names["unchanged"]:
        register(name, f"{name}: the runner of {origin} does not contain vmcred", starts_without_vmcred)


def test_original(_directory):
    """the runners of the original microvm.nix pass each credential"""
    originals("microvm.nix", "nixpkgs.lib")


runner_tests(OURS, "our stand-in")
try:
    runner_tests(originals("microvm.nix", "nixpkgs.lib"), "the original microvm.nix")
    del test_original
except Skip:
    pass
harness.main()
