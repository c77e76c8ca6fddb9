# SPDX-License-Identifier: Apache-2.0
"""What the manual recommends for a git repository: its commands are run as they are written, with the real git."""
import os
import re
from pathlib import Path

import harness
from example import Example
from harness import equal, expect, fails, need, run, vmcred

AUTHOR = {"GIT_AUTHOR_NAME": "ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
SECRET = "vars/per-machine/m/made/one/secret"


class Repository(Example):
    def __init__(self, directory):
        super().__init__(directory)
        self.env = AUTHOR | {
            "PATH": f"{Path(harness.VMCRED).parent}:{os.environ['PATH']}", "SOPS_AGE_KEY_FILE": str(self.identity), "GIT_CONFIG_GLOBAL": "/dev/null",
        }  # fmt: skip
        section = (harness.SOURCE / "docs/vmcred-store.1.scd").read_text().split("# GIT\n")[1].split("\n# ")[0]
        self.textconv, self.hook, self.merge = re.findall(r"^```\n(.*?)^```$", section, re.M | re.S)
        need("git")
        self.git("init", "--quiet")
        (self.directory / ".gitignore").write_text("identity\n")

    def shell(self, script, **options):
        return expect(run("bash", "-euc", script, cwd=self.directory, env=self.env | {"GIT_EDITOR": "true"}, **options))

    def git(self, *words, env=None):
        return run("git", *words, cwd=self.directory, env=self.env | (env or {}))

    def commit(self, *paths):
        if paths:
            expect(self.git("add", *paths))
        return self.git("commit", "--quiet", "--message", "a change")


def test_diffs_show_values(directory):
    """git diff shows values to who can decrypt them, and the documents to others"""
    repository = Repository(directory)
    repository.shell(repository.textconv)
    before = repository.get("one").out
    expect(repository.commit("."))
    repository.set("one", "another value")
    shown = expect(repository.git("diff"), 0, None, "").out
    changes = [line for line in shown.split("\n") if line.startswith(("+", "-")) and not line.startswith(("+++ ", "--- "))]
    equal(changes, [f"-{before}", "+another value"])
    hidden = expect(repository.git("diff", env={"SOPS_AGE_KEY_FILE": "/nowhere"}), 0, None, "").out
    assert "another value" not in hidden and "ENC[AES256_GCM" in hidden, hidden


def test_hook_refuses_plaintext(directory):
    """the hook refuses a plaintext document and a private key, whatever the work tree has, and nothing else"""
    repository = Repository(directory)
    repository.shell(repository.hook)
    (directory / "secret").write_text("not in the store\n")
    expect(repository.commit("."), 0, "", "")
    document = (directory / SECRET).read_bytes()
    for plain in (b"plaintext", b"", b'{"data": "plaintext"}'):
        (directory / SECRET).write_bytes(plain)
        expect(repository.git("add", SECRET))
        (directory / SECRET).write_bytes(document)
        result = repository.git("commit", "--quiet", "--message", "plaintext")
        equal((result.code, result.out), (1, ""), plain)
        assert f"not encrypted: {SECRET}\n" in result.err, result.err
        expect(repository.git("reset", "--quiet"))
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", directory / "ssh"))
    for name in ("identity", "ssh"):
        expect(repository.git("add", "--force", name))
        result = repository.commit()
        equal((result.code, result.err), (1, f"{name}\n"), name)
        expect(repository.git("rm", "--quiet", "--cached", name))
    repository.set("one", "another value")
    (directory / "vars/per-machine/m/made/two/secret").unlink()
    expect(repository.commit("vars"), 0, "", "")
    expect(vmcred("check", "--config", repository.config), 3)


def test_configuration_runs_nothing(directory):
    """no command runs a program that a repository's configuration names: its own, and that of a bare repository in a commit"""
    need("git")
    top = directory / "top"
    store = top / "store"
    store.mkdir(parents=True)
    here = Example(store)
    here.identity = here.identity.rename(directory / "identity")
    git = lambda *words: expect(run("git", "-C", store, *words, env=AUTHOR)).out
    git("init", "--quiet", top)
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    missing = git("rev-parse", f"HEAD:store/{SECRET}").strip()
    ran = directory / "ran"
    commands = ("doctor", "--root", directory), ("readers", "--history"), ("keygen", "--output", store / "key")
    settings = ("core.fsmonitor", f"touch {ran}; false"), ("core.sshCommand", f"touch {ran}; false"), ("remote.origin.url", "ssh://a/b"), \
               ("remote.origin.promisor", "true"), ("extensions.partialClone", "origin")  # fmt: skip

    def try_all():
        for command in commands:
            vmcred(*command, cwd=store)
            assert not ran.exists(), command

    (store / "objects").mkdir()
    (store / "refs").mkdir()
    (store / "HEAD").write_text("ref: refs/heads/main\n")
    for name, value in (("core.repositoryFormatVersion", "0"), ("core.bare", "false"), ("core.worktree", "."), *settings[:1]):
        expect(run("git", "config", "--file", store / "config", name, value))
    run("git", "-C", store, "status")
    ran.unlink()  # git used it
    try_all()
    for name in "objects", "refs":
        (store / name).rmdir()
    (store / "HEAD").unlink()
    for name, value in settings:
        git("config", name, value)
    (top / ".git/objects" / missing[:2] / missing[2:]).unlink()
    run("git", "-C", store, "status")
    ran.unlink()
    try_all()


def test_merge(directory):
    """if one branch changes a value and another a reader, vmcred refuses the conflict, and the manual's commands keep both changes"""
    repository = Repository(directory)
    expect(repository.commit("."))
    expect(repository.git("branch", "other"))
    key = expect(vmcred("keygen", "--output", directory / "ada/identity")).out.strip()
    expect(vmcred("user", "add", "ada", "--config", repository.config, "--age-key", key, "--identity", repository.identity))
    expect(repository.commit("."))
    ours = expect(repository.git("rev-parse", "HEAD")).out.strip()
    expect(repository.git("checkout", "--quiet", "other"))
    repository.set("one", "another value")
    expect(repository.commit("vars"))
    expect(repository.git("checkout", "--quiet", ours))
    expect(repository.git("merge", "--quiet", "other"), 1)
    result = expect(vmcred("check", "--config", repository.config), 1)
    assert result.out.startswith("m made/one cannot be read (2 recipients") and "merge-conflict" in result.err, result
    for words in (["get", "m", "made/one"], ["export", "m"]):
        fails(vmcred(*words, "--config", repository.config), 1, SECRET, "merge-conflict")
    repository.shell(repository.merge.replace("host1/web/api-key", "m/made/one"))
    expect(vmcred("check", "--config", repository.config))
    equal([repository.get("one").out, repository.git("status", "--porcelain").out], ["another value", ""])


harness.main()
