# SPDX-License-Identifier: Apache-2.0
"""`vmcred keygen`: identity files in the format of age-keygen, and the registration of a machine's key."""
import fcntl
import json
import re
import subprocess
import time

import harness
from harness import equal, expect, fails, need, run, vmcred

IDENTITY = re.compile(
    r"# created: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n# public key: (age1[0-9a-z]{58})\nAGE-SECRET-KEY-1[0-9A-Z]{58}\n"
)


def public_key(text):
    match = IDENTITY.fullmatch(text)
    if not match:
        raise AssertionError("the identity file is not of age-keygen's form")
    return match[1]


def declare(directory, machines=("vm",)):
    config = directory / "vmcred.yaml"
    config.write_text("machines:\n" + "".join(f"  {name}: {{}}\n" for name in machines))
    return config


def test_identity_on_stdout_and_public_key_on_stderr(_directory):
    """as in age-keygen, the identity goes to stdout and its public key to stderr"""
    result = vmcred("keygen")
    expect(result, err=f"Public key: {public_key(result.out)}\n")


def test_age_keygen_finds_the_same_public_key(directory):
    """age-keygen reads the identity file and finds the public key that was printed"""
    path = directory / "identity"
    result = expect(vmcred("keygen", "--output", path), err="")
    equal(result.out, public_key(path.read_text()) + "\n", "printed key")
    equal(path.stat().st_mode & 0o7777, 0o600, "mode")
    expect(run(need("age-keygen"), "-y", path), out=result.out, err="")


def test_two_identities_differ(_directory):
    """two identities differ"""
    equal(vmcred("keygen").out == vmcred("keygen").out, False, "equality")


def test_identity_file_is_never_overwritten(directory):
    """an identity file is never overwritten, and a link is not followed"""
    path, link = directory / "identity", directory / "link"
    path.write_text("precious")
    link.symlink_to(directory / "nowhere")
    for target in (path, link):
        expect(
            vmcred("keygen", "--output", target),
            code=1,
            out="",
            err=f"vmcred: generating an identity: {target} exists; key files are never overwritten: "
            f"move it away to replace it; `vmcred keygen -y {target}` prints its public key\n",
        )
    equal(path.read_text(), "precious", "content")
    equal((directory / "nowhere").exists(), False, "target of the link")


def test_machine_key_is_registered_in_clan_format(directory):
    """a machine's key is registered in clan's format next to the declaration"""
    config = declare(directory)
    result = expect(vmcred("keygen", "--output", directory / "identity", "--machine", "vm", "--config", config), err="")
    equal(
        json.loads((directory / "sops/machines/vm/key.json").read_text()),
        [{"publickey": result.out.strip(), "type": "age"}],
        "key.json",
    )


def test_registered_key_is_replaced_only_with_force(directory):
    """a registered key is replaced with --force only, and without it no new identity file remains"""
    config, key = declare(directory), directory / "sops/machines/vm/key.json"
    expect(vmcred("keygen", "--output", directory / "one", "--machine", "vm", "--config", config))
    before = key.read_text()
    expect(
        vmcred("keygen", "--output", directory / "two", "--machine", "vm", "--config", config),
        code=1,
        out="",
        err="vmcred: registering the machine's key: the machine vm has a different key in sops/machines/vm/key.json: "
        "--force replaces it; secrets encrypted to the old key must then be encrypted again\n",
    )
    equal(key.read_text(), before, "key.json")
    equal((directory / "two").exists(), False, "second identity")
    result = expect(vmcred("keygen", "--output", directory / "two", "--machine", "vm", "--force", "--config", config))
    equal(json.loads(key.read_text())[0]["publickey"], result.out.strip(), "new key")


def test_failure_removes_no_other_file(directory):
    """if the directory of the output is replaced meanwhile, a failure does not remove the file of that name there"""
    config, place = declare(directory), directory / "place"
    expect(vmcred("keygen", "--output", directory / "one", "--machine", "vm", "--config", config))
    place.mkdir()
    with open(directory / ".vmcred.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = ["keygen", "--output", place / "two", "--machine", "vm", "--config", config]
        with subprocess.Popen([harness.VMCRED, *words], env=harness.CLEAN_ENVIRONMENT, stderr=subprocess.PIPE) as keygen:
            while not (place / "two").exists():
                time.sleep(0.01)
            place.rename(directory / "moved")
            place.mkdir()
            (place / "two").write_text("precious")
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert b"the machine vm has a different key" in keygen.communicate()[1]
    equal((place / "two").read_text(), "precious")
    equal(list((directory / "moved").iterdir()), [], "the identity that was not registered")


def test_undeclared_machine_is_a_usage_error(directory):
    """an undeclared machine is a usage error before anything is written"""
    config = declare(directory, ["test-vm"])
    result = vmcred("keygen", "--output", directory / "identity", "--machine", "test-wm", "--config", config)
    equal(result.code, 2, "exit code")
    equal(sorted(path.name for path in directory.iterdir()), ["vmcred.yaml"], "files")


def test_json_prints_key_file_and_machine(directory):
    """--json prints the public key, the file and the machine"""
    path = directory / "identity"
    result = expect(vmcred("keygen", "--output", path, "--json"), err="")
    equal(json.loads(result.out), {"publicKey": public_key(path.read_text()), "file": str(path), "machine": None}, "JSON")
    expect(vmcred("keygen", "--json"), code=2, out="", err="vmcred: --json requires --output: stdout is for the identity\n")


def test_missing_directory_is_created(directory):
    """a missing directory is created, for its owner only; a file with its name is an error"""
    expect(vmcred("keygen", "--output", directory / "new/deep/identity"), err="")
    equal([(directory / path).stat().st_mode & 0o777 for path in ("new", "new/deep", "new/deep/identity")], [0o700, 0o700, 0o600])
    (directory / "file").write_text("")
    fails(vmcred("keygen", "--output", directory / "file/identity"), 1, directory / "file")


def test_identity_in_a_git_work_tree_is_refused(directory):
    """an identity is not written into a git work tree, at any depth, unless git ignores the file"""
    tree = directory / "tree"
    declare_in = tree / "deep/er"
    declare_in.mkdir(parents=True)
    expect(run(need("git"), "init", "--quiet", tree))
    for path in (tree / "host1", declare_in / "host1"):
        expect(vmcred("keygen", "--output", path), 1, "",
               f"vmcred: generating an identity: {path} is in the git work tree {tree}, which must not contain identities: "
               "choose another place, such as /var/lib/vmcred/identity on the machine, or a name that git ignores\n")  # fmt: skip
        assert not path.exists(), path
    fails(vmcred("keygen", "--output", "host1", cwd=declare_in), 1, tree)
    fails(vmcred("keygen", "--output", tree / "host1", env={"PATH": "/nowhere"}), 1, tree)
    (tree / ".gitignore").write_text("*.key\n")
    expect(vmcred("keygen", "--output", declare_in / "host1.key"), err="")
    expect(vmcred("keygen", "--output", "host2.key", cwd=declare_in), err="")


def test_public_keys_are_those_of_the_peers(directory):
    """keygen -y prints the public keys of an age or SSH identity, as age-keygen -y and ssh-keygen -y do"""
    age, ssh = directory / "age", directory / "ssh"
    for _ in range(2):
        with age.open("a") as file:
            file.write(expect(vmcred("keygen")).out)
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f", ssh))
    age.chmod(0o600)
    theirs = expect(run(need("age-keygen"), "-y", age)).out
    equal(theirs.count("\n"), 2)
    expect(vmcred("keygen", "-y", age), 0, theirs, "")
    expect(vmcred("keygen", "-y", "-", stdin=age.read_bytes()), 0, theirs, "")
    expect(vmcred("keygen", "-y", env={"SOPS_AGE_KEY_FILE": str(age)}), 0, theirs, "")
    equal(json.loads(expect(vmcred("keygen", "-y", "--json", age), 0, None, "").out), theirs.split())
    their_ssh = expect(run("ssh-keygen", "-y", "-f", ssh)).out
    expect(vmcred("keygen", "-y", ssh), 0, " ".join(their_ssh.split()[:2]) + "\n", "")
    home = directory / "home"
    (home / ".ssh").mkdir(parents=True)
    ssh.rename(home / ".ssh/id_ed25519")
    expect(vmcred("keygen", "--public-key", env={"HOME": str(home)}), 0, " ".join(their_ssh.split()[:2]) + "\n", "")
    fails(vmcred("keygen", "-y", directory / "nothing"), 3, directory / "nothing")
    fails(vmcred("keygen", "-y", "--output", directory / "new", age), 2, "--output")
    fails(vmcred("keygen", age), 2, "-y")


if __name__ == "__main__":
    harness.main()
