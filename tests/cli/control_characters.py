# SPDX-License-Identifier: Apache-2.0
"""Control characters of what vmcred reads: none of them reaches the terminal, and none starts a line of its own."""
import json
import re

import harness
from example import Example
from harness import equal, expect, fails, need, run, vmcred
from vm import CLOUD_HYPERVISOR, Vm

# A window's title, a reset, colours (C1), another direction, a line separator, and the start of the line.
EVIL = "x\x1b]0;title\x07\x1bc\x9b31m\u202e\u2066\u2028\x7f\rvmcred"
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\udc80-\udcff]")


def harmless(result, *mentions):
    for output in (result.out, result.err):
        assert not FORBIDDEN.search(output), repr(output)
    for mention in mentions:
        assert mention in result.out + result.err, (mention, result)
    return result


def test_declaration(directory):
    """control characters of a declaration are visible in errors, which stay one line"""
    for text in (json.dumps({EVIL: 1}), json.dumps({"vms": {EVIL + "\nvmcred: forged": {}}}),
                 json.dumps({"vms": {"v": {"credentialFiles": {EVIL: "x"}}}})):
        (directory / "vmcred.yaml").write_text(text)
        result = harmless(vmcred("list", cwd=directory), "\\u001b")
        equal(result.err.count("\n"), 1, result.err)
    (directory / "vmcred.yaml").write_bytes(b"vms: {v: {\x9b: 1}}\n")
    harmless(vmcred("list", cwd=directory))


def test_arguments(directory):
    """control characters of arguments and file names are visible in errors"""
    for arguments in ((EVIL,), ("compose", "--" + EVIL), ("check", "--config", EVIL), ("sops", "decrypt", EVIL)):
        result = harmless(vmcred(*arguments, cwd=directory), "\\u001b")
        equal(result.err.count("\n"), 1, result.err)


def test_documents(directory):
    """control characters of a document's recipients are visible in the list of changed keys"""
    env = {"SOPS_AGE_KEY_FILE": str(directory / "key")}
    recipient = vmcred("keygen", "--output", "key", cwd=directory).out.strip()
    (directory / ".sops.yaml").write_text(json.dumps({"creation_rules": [{"age": recipient}]}))
    (directory / "plain.json").write_text('{"a": "b"}')
    document = json.loads(vmcred("sops", "encrypt", "plain.json", cwd=directory, env=env).out)
    document["sops"]["age"].append({"recipient": EVIL, "enc": EVIL})
    (directory / "d.json").write_text(json.dumps(document))
    result = harmless(vmcred("sops", "updatekeys", "--yes", "d.json", cwd=directory, env=env), "\\u001bc")
    equal((result.code, result.err), (0, ""))


def test_recipients_stay_on_their_line(directory):
    """a recipient of a document with a line break does not look like a row of its own, nor does a file's name"""
    example = Example(directory)
    forged = "x\nforged current"
    document = json.loads(example.document("one").read_text())
    document["sops"]["age"].append({"recipient": forged, "enc": document["sops"]["age"][0]["enc"]})
    example.document("one").write_text(json.dumps(document))
    results = [vmcred(command, "--config", example.config) for command in ("readers", "list", "check")]
    named = directory / ("y\nforged" + ".json")
    named.write_text(json.dumps(document))
    recipient = document["sops"]["age"][0]["recipient"]
    (directory / ".sops.yaml").write_text(json.dumps({"creation_rules": [{"age": recipient}]}))
    env = {"SOPS_AGE_KEY_FILE": str(example.identity)}
    results += [vmcred("sops", "updatekeys", "--yes", named, cwd=directory, env=env) for _ in range(2)]
    for result in results:
        equal([line for line in (result.out + result.err).splitlines() if line.startswith("forged")], [], result)
        assert "\\u000aforged" in result.out + result.err, result


def test_vmm(directory):
    """control characters of a VMM's answer are visible in the error, which stays one line"""
    vm = Vm(directory)
    body = json.dumps(["Error from API", EVIL + "\nvmcred: forged"])
    result = harmless(vm.run(*CLOUD_HYPERVISOR, stand_in={"status": {"vm.create": [500, body]}}), "Error from API", "\\u001b")
    equal(result.err.count("\n"), 1, result.err)


def test_proof_log(directory):
    """control characters of a guest's log are visible in the table and in JSON, which stays valid"""
    example = Example(directory)
    expect(example.activate())
    name = EVIL.replace(" ", "")
    (directory / "log").write_text(f"vmcred-proof: credential {name} salt=5a17 sha256={64 * 'a'}\nvmcred-proof: end\n")
    harmless(example.inspect("--proof", directory / "log"), "\\u001bc")
    json.loads(harmless(example.inspect("--json", "--proof", directory / "log"), "\\u202e").out)


def test_priority_of_console_lines(directory):
    """a line of a guest's console cannot choose its priority in the journal"""
    del directory
    unit = (harness.SOURCE / "units/microvm@.service.in").read_text().splitlines()
    equal([line for line in unit if line.startswith("SyslogLevelPrefix=")], ["SyslogLevelPrefix=no"])


def test_private_keys(directory):
    """a private key that is passed instead of a public one, a file's name or a command is in no message"""
    example = Example(directory)
    identity, ssh = example.identity.read_text(), directory / "ssh"
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", ssh))
    commands = [[f"--{identity}"], [identity], ["user", "add", "x", "--age-key", identity], ["user", "add", "x", "--age-key", ssh.read_text()],
                ["get", "m", "made/one", "--identity", identity], ["export", "--sign", ssh.read_text(), "m"], ["compose", f"--{identity}"],
                ["age", "--recipient", identity], ["keygen", "-y", ssh.read_text()]]  # fmt: skip
    for command in commands:
        result = vmcred(*command, cwd=directory)
        fails(result, None)
        for line in (identity + ssh.read_text()).splitlines():
            assert line.startswith(("#", "-----")) or line[15:] not in result.err, (command, result)


harness.main()
