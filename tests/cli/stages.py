# SPDX-License-Identifier: Apache-2.0
"""vmcred inspect: the findings of each stage, with all secrets in place or with missing, changed and unproved ones."""
import hashlib
import json
import os
import socket

import harness
from example import AS_NOBODY, DECLARATION, NOBODY, Example, other_end, program_for_all
from harness import equal, expect, fails, need_root, run, vmcred
from systemctl import Systemctl, now_us

PROVED = """\
#  STAGE     STATE    FINDING
1  generate  seen     2 secrets declared: 0 by scripts, 2 built in, 0 from elsewhere
2  seal      seen     2 of 2 SOPS documents of m decrypted; their MACs match
3  activate  seen     2 of 2 in /run/secrets, in memory only, with the store's value
4  load      unseen   2 LoadCredential= lines; the unit is not running
5  compose   seen     3 OEM strings, 163 of 61439 bytes of the SMBIOS table
6  launch    unseen   microvm@m.service is not running
7  receive   seen     the guest's service got 2 credentials; dmidecode there shows 1 of 1 static strings
8  prove     seen     2 salted digests from the guest match
"""


def proof(name, value, salt="5a17"):
    digest = hashlib.sha256(salt.encode() + value.encode()).hexdigest()
    return f"[    1.0] vmcred-proof: credential {name} salt={salt} sha256={digest}\r\n"


def console(directory, *lines):
    path = directory / "console"
    path.write_text("boot\r\n" + "".join(lines) + "vmcred-proof: oem-string ENVIRONMENT=test\r\nvmcred-proof: end\r\n")
    return path


def stages(result):
    return {stage["stage"]: stage["state"] for stage in json.loads(result.out)}


UNIT = "microvm@m.service"
MISSING, WRONG = "vmcred: m: something declared is missing\n", "vmcred: m: integrity check failed\n"
STALE = "vmcred: m: an old value is in use\n"

# With one changed after the unit started.
RUNNING_STALE = """\
#  STAGE     STATE    FINDING
1  generate  seen     2 secrets declared: 0 by scripts, 2 built in, 0 from elsewhere
2  seal      seen     2 of 2 SOPS documents of m decrypted; their MACs match
3  activate  seen     2 of 2 in /run/secrets, in memory only, with the store's value
4  load      stale    1 of 2 credentials in /run/credentials/microvm@m.service, with the store's value; stale: host-one: restart microvm@m.service
5  compose   seen     3 OEM strings, 163 of 61439 bytes of the SMBIOS table
6  launch    stale    microvm@m.service is not running; started before a change of: host-one
7  receive   stale    the guest's service got 2 credentials; dmidecode there shows 1 of 1 static strings; started before a change of: host-one
8  prove     stale    2 salted digests from the guest match; started before a change of: host-one
"""


def test_everything_in_place(directory):
    """with all secrets in place and proved, no stage has a fault"""
    example = Example(directory)
    expect(example.activate())
    log = console(directory, proof("one", example.get("one").out), proof("two", example.get("two").out))
    expect(example.inspect("--proof", log), 0, PROVED, "")


def test_proof_before_another_message(directory):
    """a digest is compared although a message of the hypervisor follows it on the same line"""
    example = Example(directory)
    expect(example.activate())
    one = proof("one", example.get("one").out).replace("\r", "2026-11-30T03:38:11 [main] Running\r")
    log = console(directory, one, proof("two", example.get("two").out))
    expect(example.inspect("--proof", log), 0, PROVED, "")


def test_secrets_are_counted_once(directory):
    """a secret that the guest gets under several names is counted once; each name is an OEM string"""
    more = "      HOST-ONE: host-one\n      AGAIN: host-one\n      MORE: {credential: host-more, optional: true}\n"
    declaration = DECLARATION.replace("      HOST-ONE: host-one\n", more).replace("      host-two", "      host-more: made/one\n      host-two")
    example = Example(directory, declaration)
    expect(example.activate())
    findings = [stage["seen"] for stage in json.loads(expect(example.inspect("--json"), 0, None, "").out)]
    equal([finding.split(" d")[0] for finding in findings[:2]], ["2 secrets", "2 of 2 SOPS"])
    equal([finding.split(" /run")[0] for finding in findings[2:4]], ["2 of 2 in", "3 LoadCredential= lines; the unit is not running"])
    assert findings[4].startswith("5 OEM strings, "), findings


PATHS = """\
vms:
  m:
    loadCredentials: {one: /run/secrets/one, two: /run/secrets/two}
    credentialFiles: {ONE: one, TWO: {credential: two, optional: true}}
"""


def test_credentials_at_paths(directory):
    """a VM whose credentials are at paths needs no machine, store or identity; their values are compared like the store's"""
    config, secrets, loaded = directory / "vmcred.yaml", directory / "run/secrets", directory / "run/credentials" / UNIT
    config.write_text(PATHS)
    secrets.mkdir(parents=True)
    (secrets / "one").write_text("first")
    systemctl = Systemctl(directory)
    systemctl.unit(UNIT, started=now_us())
    loaded.mkdir(parents=True)
    (loaded / "one").write_text("first")
    (loaded / "two").write_bytes(b"\0absent")

    def inspected(code):
        lines = vmcred("inspect", "--config", config, "--root", directory, "m", env=systemctl.env)
        return [line[3:] for line in expect(lines, code, None).out.splitlines()[1:5]]

    equal(inspected(0), [
        "generate  seen     2 secrets declared: 0 by scripts, 0 built in, 2 from elsewhere",
        "seal      seen     no credential is from the store",
        "activate  seen     1 of 2 at their declared paths; missing: /run/secrets/two",
        f"load      seen     1 of 2 credentials in /run/credentials/{UNIT}, with the value at its path; optional and absent: two",
    ])
    (secrets / "one").write_text("other")
    equal(inspected(4)[3].split()[1], "stale")
    (secrets / "one").unlink()
    equal([line.split()[1] for line in inspected(3)[2:]], ["missing", "missing"])
    shown = vmcred("status", "--config", config, "--root", directory, env=systemctl.env)
    assert "m: one is missing: /run/secrets/one does not exist\n" in expect(shown, None).out, shown
    (secrets / "one").write_text("first")
    found = json.loads(expect(vmcred("status", "--config", config, "--root", directory, "--json", env=systemctl.env), 0).out)
    equal([(one["path"], one["generator"], one["state"]) for one in found["vms"][0]["credentials"]],
          [("/run/secrets/one", None, "current"), ("/run/secrets/two", None, "absent")])


def test_text_after_a_digest(directory):
    """what the kernel or the terminal puts after a digest does not belong to it"""
    example = Example(directory)
    expect(example.activate())
    after = {"one": "\x1b[!p\r", "two": "[    2.0] a message\r"}
    lines = [proof(name, example.get(name).out).replace("\r", text) for name, text in after.items()]
    equal(stages(example.inspect("--json", "--proof", console(directory, *lines)))["prove"], "seen")


def test_wrong_digest(directory):
    """a digest that matches no credential is an integrity failure"""
    example = Example(directory)
    expect(example.activate())
    log = console(directory, proof("one", example.get("one").out), proof("two", "another"))
    result = example.inspect("--proof", log)
    expect(result, 4, None, WRONG)
    assert result.out.endswith('8  prove     wrong    the guest\'s digest of "two" matches no credential\n'), result.out


def test_missing_digest(directory):
    """a required credential without a digest is missing, an optional one is not"""
    example = Example(directory)
    expect(example.activate())
    log = console(directory, proof("two", example.get("two").out))
    result = example.inspect("--proof", log)
    expect(result, 3, None, MISSING)
    assert result.out.endswith("8  prove     missing  the guest sent no digest of HOST-ONE\n"), result.out
    log = console(directory, proof("one", example.get("one").out))
    expect(example.inspect("--proof", log), 0, None, "")


def test_digest_without_salt(directory):
    """a digest without a salt does not match"""
    example = Example(directory)
    expect(example.activate())
    log = console(directory, proof("one", example.get("one").out, ""), proof("two", example.get("two").out))
    expect(example.inspect("--proof", log), 4, None, WRONG)


def test_missing_and_wrong_stages(directory):
    """without activation its stage is missing; with a changed document its stage is wrong"""
    example = Example(directory)
    result = expect(example.inspect("--json"), 3, None, MISSING)
    equal(stages(result)["activate"], "missing")
    document = example.document("one")
    document.write_text(document.read_text().replace('"lastmodified": "2', '"lastmodified": "1'))
    result = expect(example.inspect("--json"), 4, None, WRONG)
    equal(stages(result)["seal"], "wrong")


def test_missing_document(directory):
    """a secret that cannot be decrypted is named, and missing in the list for the VM"""
    example = Example(directory)
    expect(example.activate())
    example.document("one").unlink()
    lines = expect(example.inspect(), 3, None, MISSING).out.splitlines()
    equal(lines[2], "2  seal      missing  1 of 2 SOPS documents of m decrypted; their MACs match; "
                    "missing, or encrypted to others: made/one")  # fmt: skip
    assert lines[5].startswith("5  compose   missing ") and lines[5].endswith("; without: HOST-ONE"), lines
    example.document("two").unlink()
    lines = expect(example.inspect(), 4, None, STALE).out.splitlines()
    assert "MACs" not in lines[2] and lines[2].endswith("; missing, or encrypted to others: made/one"), lines


def test_stale_activation(directory):
    """an activated file whose value differs from the store is stale"""
    example = Example(directory)
    expect(example.activate())
    expect(example.generate("--regenerate", "--all"))
    result = expect(example.inspect("--json"), 4, None, STALE)
    equal(stages(result)["activate"], "stale")


def running(directory, declaration=DECLARATION):
    """An example whose unit runs, and has loaded what is activated."""
    example, systemctl = Example(directory, declaration), Systemctl(directory)
    expect(example.activate())
    systemctl.unit(UNIT)
    loaded(example).mkdir(parents=True)
    for name in ("one", "two"):
        (loaded(example) / f"host-{name}").write_text(example.get(name).out)
    return example, systemctl


def loaded(example):
    return example.root / "run/credentials" / UNIT


def rotate(example, name):
    """Changes a secret in the store and activates it; returns the old and the new value."""
    before = example.get(name).out
    new = other_end(before)
    expect(vmcred("set", "--config", example.config, "m", f"made/{name}", stdin=new))
    expect(example.activate())
    return before, new


def state_of(example, systemctl, stage, code):
    found = json.loads(expect(example.inspect("--json", env=systemctl.env), code).out)
    return next((row["state"], row["seen"]) for row in found if row["stage"] == stage)


def test_loaded_values(directory):
    """a running unit with the store's values has no fault, and systemctl is called once"""
    example, systemctl = running(directory)
    text = f"2 of 2 credentials in /run/credentials/{UNIT}, with the store's value"
    equal(state_of(example, systemctl, "load", 0), ("seen", text))
    equal(len(systemctl.calls()), 1)


def test_stale_value(directory):
    """a unit that started before a secret changed is stale, and so are the guest and its proof of the old value"""
    example, systemctl = running(directory)
    log = console(directory, proof("one", example.get("one").out), proof("two", example.get("two").out))
    before, after = rotate(example, "one")
    result = expect(example.inspect("--proof", log, env=systemctl.env), 4, RUNNING_STALE, STALE)
    assert before not in result.out and after not in result.out
    (loaded(example) / "host-one").write_text(after)
    equal(state_of(example, systemctl, "load", 0)[0], "seen")


def test_stale_value_without_systemd(directory):
    """where systemctl fails, the values of a unit's directory of credentials are compared"""
    example, systemctl = running(directory)
    systemctl.fail()
    rotate(example, "one")
    equal(state_of(example, systemctl, "load", 4)[0], "stale")


def test_stale_by_time(directory):
    """where the unit's values are not readable, its start is compared with the last change of each secret"""
    need_root()
    program = program_for_all(directory)
    example, systemctl = running(directory)
    systemctl.unit(UNIT, started=now_us())
    rotate(example, "one")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.chown(loaded(example), 0, 0)
    loaded(example).chmod(0o500)
    result = run(*AS_NOBODY, program, "inspect", "--config", example.config, "--identity", example.identity, "--root", example.root,
                 "m", env=systemctl.env)
    lines = expect(result, 4, None, STALE).out.splitlines()
    equal(lines[4], f"4  load      stale    1 of 2 credentials in /run/credentials/{UNIT}, which only root can read: compared by time; "
          f"stale: host-one: restart {UNIT}")
    assert lines[6].endswith("; started before a change of: host-one"), lines


def test_old_value_is_no_proof_of_the_new_one(directory):
    """with a stale unit, a digest of neither value is an integrity failure"""
    example, systemctl = running(directory)
    rotate(example, "one")
    log = console(directory, proof("one", "another"), proof("two", example.get("two").out))
    result = expect(example.inspect("--proof", log, "--json", env=systemctl.env), 4, None, WRONG)
    equal(stages(result)["prove"], "wrong")


def test_stopped_unit_is_not_stale(directory):
    """a unit that waits for its next start has no stale value"""
    example, systemctl = running(directory)
    systemctl.unit(UNIT, "activating", "auto-restart")
    rotate(example, "one")
    equal(state_of(example, systemctl, "load", 0), ("unseen", "2 LoadCredential= lines; the unit is not running"))


def test_credential_declared_after_the_start(directory):
    """a credential that the running unit has not loaded is missing"""
    example, systemctl = running(directory)
    (loaded(example) / "host-two").unlink()
    text = f"1 of 2 credentials in /run/credentials/{UNIT}, with the store's value; missing: host-two"
    equal(state_of(example, systemctl, "load", 3), ("missing", text))


def test_optional_credential_without_a_secret(directory):
    """an optional credential without a secret is reported as such, and is not missing"""
    example, systemctl = running(directory)
    (loaded(example) / "host-two").write_bytes(b"\0absent")
    equal(state_of(example, systemctl, "load", 4)[0], "stale")
    example.document("two").unlink()
    example.active("two").unlink()
    result = expect(example.inspect("--json", env=systemctl.env), 0)
    for stage in ("seal", "activate", "load"):
        text = next(row["seen"] for row in json.loads(result.out) if row["stage"] == stage)
        assert text.endswith("; optional and absent: host-two"), text
    equal({row["state"] for row in json.loads(result.out)}, {"seen", "unseen"})
    (loaded(example) / "host-two").write_bytes(b"old")
    equal(state_of(example, systemctl, "load", 4)[0], "stale")


CHANNEL = DECLARATION + "    channelCredentials: {api-key: made/one, kept-key: made/two}\n"


def test_what_the_running_guest_can_request(directory):
    """secrets that the guest would not get, the channel's missing socket and a unit without the channel key are missing"""
    example, systemctl = running(directory, CHANNEL)
    channel = example.root / "run/vmcred/channel"
    socket.socket(socket.AF_UNIX).bind(str(channel))
    key = loaded(example) / "vmcred.channel"
    key.write_text("key")
    state, text = state_of(example, systemctl, "seal", 0)
    equal((state, text.rpartition("; ")[2]), ("seen", "the guest can request 2"))
    key.unlink()
    state, text = state_of(example, systemctl, "load", 3)
    equal((state, text.rpartition("; ")[2]), ("missing", f"no channel key: restart {UNIT}"))
    channel.unlink()
    state, text = state_of(example, systemctl, "activate", 3)
    equal((state, text.rpartition("; ")[2]), ("missing", "/run/vmcred/channel does not exist: start vmcred-channel.socket"))
    example.config.write_text(CHANNEL.replace("two: {mode", "two: {deploy: false, mode"))
    state, text = state_of(example, systemctl, "seal", 3)
    equal((state, text.rpartition("; ")[2]), ("missing", "it would not get: kept-key"))


def test_what_the_guest_reported(directory):
    """a guest's report is a finding of the stage receive, and wrong if something did not arrive whole"""
    example, systemctl = running(directory, CHANNEL)
    socket.socket(socket.AF_UNIX).bind(str(example.root / "run/vmcred/channel"))
    (loaded(example) / "vmcred.channel").write_text("key")
    report = example.root / "run/vmcred/serve/delivery" / UNIT
    report.parent.mkdir(parents=True)
    equal(state_of(example, systemctl, "receive", 0)[0], "unseen")
    report.write_text("vmcred-delivery-1 0123456789012345678901\n")
    equal(state_of(example, systemctl, "receive", 0), ("seen", "the guest reported that all credentials arrived whole"))
    report.write_text(report.read_text() + "changed HOST-ONE\n")
    equal(state_of(example, systemctl, "receive", 4), ("wrong", "the guest found changed: HOST-ONE"))


def test_error_in_another_vm(directory):
    """an error in the declaration of another VM does not stop inspect, one in this VM's does"""
    example = Example(directory)
    expect(example.activate())
    text = example.config.read_text()
    example.config.write_text(text + "  other: {platformOEMStrings: 1}\n")
    expect(example.inspect())
    example.config.write_text(text + "    readyTarget: 1\n")
    fails(example.inspect(), 2, "readyTarget")


def test_no_secret_in_the_output(directory):
    """inspect prints no secret, even at the highest verbosity"""
    example = Example(directory)
    expect(example.activate())
    values = [example.get(name).out for name in ("one", "two")]
    for result in (example.inspect("-vv"), example.inspect("-vv", "--json"), example.activate("-vv")):
        for value in values:
            assert value not in result.out + result.err


def test_credentials_from_the_socket(directory):
    """a VM with credentials from the socket needs the socket and no files"""
    example = Example(directory, DECLARATION + "credentialSource: socket\n")
    lines = expect(example.inspect(), 3, None, MISSING).out.splitlines()
    equal(lines[3], "3  activate  missing  /run/vmcred/socket does not exist: start vmcred.socket")
    path = example.root / "run/vmcred/socket"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    lines = expect(example.inspect(), 0, None, "").out.splitlines()
    equal(lines[3], "3  activate  seen     /run/vmcred/socket serves 2 credentials to the unit, without files")


harness.main()
