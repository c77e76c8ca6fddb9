# SPDX-License-Identifier: Apache-2.0
"""`vmcred keygen`: identity files as age-keygen makes them, and the registration of a machine's key."""
import json
import re

import harness
from harness import equal, expect, need, run, test, vmcred

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


@test("the identity goes to stdout, and its public key to stderr, as with age-keygen")
def _(_folder):
    result = vmcred("keygen")
    expect(result, err=f"Public key: {public_key(result.out)}\n")


@test("age-keygen reads the identity file and finds the public key that was printed")
def _(folder):
    path = folder / "identity"
    result = expect(vmcred("keygen", "--output", path), err="")
    equal(result.out, public_key(path.read_text()) + "\n", "printed key")
    equal(path.stat().st_mode & 0o7777, 0o600, "mode")
    expect(run(need("age-keygen"), "-y", path), out=result.out, err="")


@test("two identities differ")
def _(_folder):
    equal(vmcred("keygen").out == vmcred("keygen").out, False, "equality")


@test("an identity file is never overwritten, nor a link followed")
def _(folder):
    path, link = folder / "identity", folder / "link"
    path.write_text("precious")
    link.symlink_to(folder / "nowhere")
    for target in (path, link):
        expect(
            vmcred("keygen", "--output", target),
            code=1,
            out="",
            err=f"vmcred: making an identity: {target} exists, and an identity file is never overwritten: "
            "move it away, or choose another name\n",
        )
    equal(path.read_text(), "precious", "content")
    equal((folder / "nowhere").exists(), False, "target of the link")


@test("a machine's key is registered as clan keeps it, beside the declaration")
def _(folder):
    config = declare(folder)
    result = expect(vmcred("keygen", "--output", folder / "identity", "--machine", "vm", "--config", config), err="")
    equal(
        json.loads((folder / "sops/machines/vm/key.json").read_text()),
        [{"publickey": result.out.strip(), "type": "age"}],
        "key.json",
    )


@test("another key of the machine is replaced with --force only, and without it no identity is left behind")
def _(folder):
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


@test("a machine that is not declared is a usage error, before anything is written")
def _(folder):
    config = declare(folder, ["test-vm"])
    result = vmcred("keygen", "--output", folder / "identity", "--machine", "test-wm", "--config", config)
    equal(result.code, 2, "exit code")
    equal(sorted(path.name for path in folder.iterdir()), ["vmcred.yaml"], "files")


@test("--json tells the public key, the file and the machine")
def _(folder):
    path = folder / "identity"
    result = expect(vmcred("keygen", "--output", path, "--json"), err="")
    equal(json.loads(result.out), {"publicKey": public_key(path.read_text()), "file": str(path), "machine": None}, "JSON")
    expect(vmcred("keygen", "--json"), code=2, out="", err="vmcred: --json needs --output: stdout is the identity's\n")


@test("a folder that is not there is an error that names the file")
def _(folder):
    expect(
        vmcred("keygen", "--output", folder / "no/identity"),
        code=3,
        out="",
        err=f"vmcred: making an identity: making {folder}/no/identity: No such file or directory\n",
    )


if __name__ == "__main__":
    harness.main()
