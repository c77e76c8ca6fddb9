# SPDX-License-Identifier: Apache-2.0
"""`vmcred keygen`: identity files as age-keygen makes them, and the registration of a machine's key."""
import json
import re

import harness
from harness import equal, expect, need, run, vmcred

IDENTITY = re.compile(
    r"# created: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n# public key: (age1[0-9a-z]{58})\nAGE-SECRET-KEY-1[0-9A-Z]{58}\n"
)


def public_key(text):
    match = IDENTITY.fullmatch(text)
    if not match:
        raise AssertionError("the identity file is not of age-keygen's form")
    return match[1]


def declare(folder, machines=("vm",)):
    config = folder / "vmcred.yaml"
    config.write_text("machines:\n" + "".join(f"  {name}: {{}}\n" for name in machines))
    return config


def test_identity_goes_stdout_public_key_stderr_age_keygen(_folder):
    """the identity goes to stdout, and its public key to stderr, as with age-keygen"""
    result = vmcred("keygen")
    expect(result, err=f"Public key: {public_key(result.out)}\n")


def test_age_keygen_reads_identity_file_finds_public_key(folder):
    """age-keygen reads the identity file and finds the public key that was printed"""
    path = folder / "identity"
    result = expect(vmcred("keygen", "--output", path), err="")
    equal(result.out, public_key(path.read_text()) + "\n", "printed key")
    equal(path.stat().st_mode & 0o7777, 0o600, "mode")
    expect(run(need("age-keygen"), "-y", path), out=result.out, err="")


def test_two_identities_differ(_folder):
    """two identities differ"""
    equal(vmcred("keygen").out == vmcred("keygen").out, False, "equality")


def test_identity_file_never_overwritten_nor_link_followed(folder):
    """an identity file is never overwritten, nor a link followed"""
    path, link = folder / "identity", folder / "link"
    path.write_text("precious")
    link.symlink_to(folder / "nowhere")
    for target in (path, link):
        expect(
            vmcred("keygen", "--output", target),
            code=1,
            out="",
            err=f"vmcred: generating an identity: {target} exists; identity files are never overwritten: "
            "move it or choose another name\n",
        )
    equal(path.read_text(), "precious", "content")
    equal((folder / "nowhere").exists(), False, "target of the link")


def test_machine_key_registered_clan_keeps_beside(folder):
    """a machine's key is registered as clan keeps it, beside the declaration"""
    config = declare(folder)
    result = expect(vmcred("keygen", "--output", folder / "identity", "--machine", "vm", "--config", config), err="")
    equal(
        json.loads((folder / "sops/machines/vm/key.json").read_text()),
        [{"publickey": result.out.strip(), "type": "age"}],
        "key.json",
    )


def test_another_key_machine_replaced_force_only_without_no(folder):
    """another key of the machine is replaced with --force only, and without it no identity is left behind"""
    config, key = declare(folder), folder / "sops/machines/vm/key.json"
    expect(vmcred("keygen", "--output", folder / "one", "--machine", "vm", "--config", config))
    before = key.read_text()
    expect(
        vmcred("keygen", "--output", folder / "two", "--machine", "vm", "--config", config),
        code=1,
        out="",
        err="vmcred: registering the machine's key: the machine vm has another key in sops/machines/vm/key.json: "
        "--force replaces it; what is encrypted to the old key must then be encrypted anew\n",
    )
    equal(key.read_text(), before, "key.json")
    equal((folder / "two").exists(), False, "second identity")
    result = expect(vmcred("keygen", "--output", folder / "two", "--machine", "vm", "--force", "--config", config))
    equal(json.loads(key.read_text())[0]["publickey"], result.out.strip(), "new key")


def test_machine_not_declared_usage_error_before_anything(folder):
    """a machine that is not declared is a usage error, before anything is written"""
    config = declare(folder, ["test-vm"])
    result = vmcred("keygen", "--output", folder / "identity", "--machine", "test-wm", "--config", config)
    equal(result.code, 2, "exit code")
    equal(sorted(path.name for path in folder.iterdir()), ["vmcred.yaml"], "files")


def test_json_tells_public_key_file_machine(folder):
    """--json tells the public key, the file and the machine"""
    path = folder / "identity"
    result = expect(vmcred("keygen", "--output", path, "--json"), err="")
    equal(json.loads(result.out), {"publicKey": public_key(path.read_text()), "file": str(path), "machine": None}, "JSON")
    expect(vmcred("keygen", "--json"), code=2, out="", err="vmcred: --json requires --output: stdout is for the identity\n")


def test_folder_not_there_error_names_file(folder):
    """a folder that is not there is an error that names the file"""
    expect(
        vmcred("keygen", "--output", folder / "no/identity"),
        code=3,
        out="",
        err=f"vmcred: generating an identity: creating {folder}/no/identity: No such file or directory\n",
    )


if __name__ == "__main__":
    harness.main()
