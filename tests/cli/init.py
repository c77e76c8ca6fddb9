# SPDX-License-Identifier: Apache-2.0
"""`vmcred init`: from an empty directory to a repository whose owner reads its secrets."""
import json
import re
import stat

import harness
from harness import equal, expect, fails, need, run, vmcred


def keygen(path):
    return expect(vmcred("keygen", "--output", path)).out.strip()


def files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_new_person_gets_a_key(directory):
    """without a key, one is generated where sops finds it, and registered; nothing secret is in the repository"""
    env = {"HOME": str(directory / "home")}
    keys, repository = directory / "home/.config/sops/age/keys.txt", directory / "repository"
    result = expect(vmcred("init", "--user", "alice", repository, env=env), 0, None, "")
    key = re.search(r"age1\w+", result.out).group()
    equal(result.out, f"your new key is in {keys}: keep a copy, nothing else opens the secrets\nuser alice: {key}\n"
                      f"edit {repository}/vmcred.yaml, then run in its directory:\n  vmcred machine add MACHINE\n  vmcred generate\n")  # fmt: skip
    equal((stat.S_IMODE(keys.stat().st_mode), f"# public key: {key}" in keys.read_text()), (0o600, True), "the identity")
    equal(files(repository), [".gitignore", "sops/users/alice/key.json", "vmcred.yaml"])
    again = expect(vmcred("init", "--json", "--user", "bob", directory / "second", env=env), 0, None, "")
    expected = {"directory": str(directory / "second"), "user": "bob", "publicKeys": [key], "identity": str(keys), "generated": False}
    equal(json.loads(again.out), expected)


def test_declaration_is_complete_without_its_comment_signs(directory):
    """with the comment signs of its example removed, the declaration works: generate, get and check"""
    env = {"HOME": str(directory / "home")}
    expect(vmcred("init", "--user", "alice", directory, env=env))
    config = directory / "vmcred.yaml"
    expect(vmcred("check", "--config", config), 0)
    expect(vmcred("generate", "--config", config), 0, f"nothing to do: {config} declares no generators\n", "")
    config.write_text(re.sub(r"^#( {2,}\S)", r"\1", config.read_text(), flags=re.M))
    words = ["--config", config]
    expect(vmcred("machine", "add", "host1", *words, env=env))
    expect(vmcred("generate", *words, env=env))
    equal(len(expect(vmcred("get", "host1", "web/api-key", *words, env=env), 0, None, "").out), 44, "the secret's size")
    expect(vmcred("check", *words, env=env), 0)
    equal("LoadCredential=host-api-key:/run/secrets/vars/web/api-key" in expect(vmcred("units", *words)).out, True, "the unit")


def test_keys_are_registered(directory):
    """the keys of an identity file, of ~/.ssh/id_ed25519 and of --age-key are registered; a wrong or unknown one is an error"""
    home = directory / "home"
    env = {"HOME": str(home)}
    (home / ".ssh").mkdir(parents=True)
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "secret", "-C", "", "-f", home / ".ssh/id_ed25519"))
    ssh = (home / ".ssh/id_ed25519.pub").read_text().strip()
    registered = lambda name, *words: json.loads(expect(vmcred("init", "--json", directory / name, *words, env=env)).out)["publicKeys"]
    equal(registered("ssh"), [ssh])
    own = home / ".config/sops/age/keys.txt"
    own.parent.mkdir(parents=True)
    first, second = keygen(own), keygen(directory / "more")
    with own.open("a") as file:
        file.write((directory / "more").read_text())
    equal(registered("file"), [first, second])
    equal(registered("given", "--age-key", second), [second])
    fails(vmcred("init", directory / "wrong", "--age-key", "age1wrong", env=env), 2, "age1wrong")
    own.write_text("age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18\n" + "A" * 43 + "\n--- " + "A" * 43 + "\n")
    fails(vmcred("init", directory / "wrong", env=env), 2, str(own), "--age-key")
    equal((directory / "wrong/vmcred.yaml").exists(), False, "a declaration after an error")


def test_identity_is_not_written_into_a_work_tree(directory):
    """a person's new identity is refused in a git work tree, as by keygen, and nothing is registered"""
    expect(run(need("git"), "init", "-q", directory / "home"))
    result = vmcred("init", directory / "repository", env={"HOME": str(directory / "home")})
    fails(result, 1, ".config/sops/age/keys.txt", "git work tree")
    equal((files(directory / "home/.config"), files(directory / "repository")), ([], []))


def test_no_place_for_a_key_or_a_repository(directory):
    """without a home directory, the error asks for the key; in a directory that was removed, it does not tell to remove a file"""
    fails(vmcred("init", directory / "repository", env={"HOME": ""}), 2, "$HOME", "--age-key")
    script = f"mkdir {directory}/gone && cd {directory}/gone && rmdir {directory}/gone && exec {harness.VMCRED} init --age-key {keygen(directory / 'key')}"
    result = fails(run("sh", "-c", script), 3, ".vmcred.lock")
    assert "remove" not in result.err, result.err


def test_gitignore_ignores_no_secret(directory):
    """git ignores an identity in the repository, and no secret whose generator has such a name"""
    expect(vmcred("init", "--user", "alice", "--age-key", keygen(directory / "identity"), directory))
    expect(run(need("git"), "init", "-q", directory))
    names = ["identity", "keys.txt", "identity-1"]
    kept = [f"vars/per-machine/host1/{name}/secret" for name in names]
    result = run(need("git"), "-C", directory, "check-ignore", *names, *kept)
    equal(result.out.split(), names, "ignored")


def test_nothing_is_overwritten(directory):
    """a declaration, a .gitignore and another user's key are kept"""
    env = {"HOME": str(directory / "home")}
    (directory / ".gitignore").write_text("mine\n")
    expect(vmcred("init", "--user", "alice", directory, env=env))
    equal((directory / ".gitignore").read_text(), "mine\n")
    before = (directory / "vmcred.yaml").read_bytes()
    fails(vmcred("init", directory, env=env), 2, "vmcred.yaml")
    equal((directory / "vmcred.yaml").read_bytes(), before)
    (directory / "vmcred.yaml").unlink()
    other = keygen(directory / "other")
    fails(vmcred("init", "--user", "alice", "--age-key", other, directory, env=env), 1, "alice")
    equal((directory / "vmcred.yaml").exists(), False, "a declaration after an error")
    fails(vmcred("init", "--config", directory / "x.yaml", env=env), 2, "--config")


harness.main()
