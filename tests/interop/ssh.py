# SPDX-License-Identifier: Apache-2.0
"""The recipes of vmcred-bundle(1) with a real ssh and sshd: a bundle reaches its host through a pipe."""
import os
import re
import shlex

import harness
from bundles import DECLARATION, Repository
from harness import equal, expect, need, run, vmcred

SSHD = """\
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
AcceptEnv *
SetEnv PATH={path}
"""

# sshd serves one connection on a pipe, as from inetd, so that no port is needed.
SSH = """\
Host *
	ProxyCommand {sshd} -i -f {directory}/sshd_config -E {directory}/sshd.log
	IdentityFile {directory}/key
	IdentitiesOnly yes
	StrictHostKeyChecking no
	UserKnownHostsFile /dev/null
	LogLevel ERROR
	User {user}
"""


def recipe(mention):
    """The command of vmcred-bundle(1) that contains the text."""
    page = (harness.SOURCE / "docs/vmcred-bundle.1.scd").read_text()
    return next(block for block in re.findall(r"```\n(.*?)```", page, re.S) if mention in block)


class Host(Repository):
    """`run` executes a script on the laptop, where ssh reaches the host, on which sudo and vmcred use its directories."""

    def __init__(self, directory, declaration=DECLARATION):
        harness.need_root()
        sshd = next((path for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if os.path.exists(path)), None) or need("sshd")
        super().__init__(directory / "repository", declaration)
        os.makedirs("/run/sshd", exist_ok=True)
        for name in ("host_key", "key"):
            expect(run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", directory / name))
        bin_ = directory / "bin"
        bin_.mkdir()
        words = {"directory": directory, "path": f"{bin_}:{os.environ['PATH']}", "sshd": sshd, "user": "root"}
        (directory / "sshd_config").write_text(SSHD.format(**words))
        (directory / "ssh_config").write_text(SSH.format(**words))
        programs = {
            "sudo": 'exec "$@"',
            "ssh": f'exec {need("ssh")} -F {directory}/ssh_config "$@"',
            "vmcred": f'set -- "$@"; case $1 in import) shift; set -- import --machine m --root {self.root} --identity {self.identity} "$@";; esac\n'
                      f"exec {shlex.quote(harness.VMCRED)} \"$@\"",
        }
        for name, script in programs.items():
            harness.write_program(bin_ / name, f"#!/bin/sh\n{script}\n")
        self.path = words["path"]

    def run(self, script):
        return run("sh", "-c", script, env={"PATH": self.path}, cwd=self.directory)


def test_ssh_to_one_host(directory):
    """`vmcred export m | ssh m sudo vmcred import` brings a bundle, and then a changed value, to the host"""
    host = Host(directory)
    command = recipe("vmcred export host1 | ssh host1 sudo vmcred import").replace("host1", "m")
    out = expect(host.run(command), 0, None, "").out
    assert "4 secrets in generation 1" in out, out
    host.change("made/one", "new")
    out = expect(host.run(command), 0, None, "").out
    assert "4 secrets in generation 2\nto restart: a.service" in out, out
    equal(host.active("one").read_text(), "new")


def test_failure_reaches_the_caller(directory):
    """an export that fails changes nothing on the host, and the import's failure is that of the pipe"""
    host = Host(directory)
    expect(host.run("vmcred export m | ssh m sudo vmcred import"))
    before = sorted(host.etc.iterdir())
    result = host.run("vmcred export unknown | ssh m sudo vmcred import")
    equal(result.code, 1)
    assert "standard input is empty" in result.err, result.err
    result = host.run("vmcred export n | ssh m sudo vmcred import")
    equal(result.code, 4)
    equal(sorted(host.etc.iterdir()), before)


def test_ssh_to_many_hosts(directory):
    """the recipe for many hosts runs in parallel and names those that fail"""
    host = Host(directory)
    result = host.run(recipe("xargs -P 20"))
    # Only the machine "m" is this host; the bundle for "n" is refused here.
    assert "failed: n\n" in result.err and "failed: m" not in result.err, result
    assert "machine n, not m" in result.err, result
    assert host.active("one").exists()


def test_identity_through_ssh(directory):
    """the recipes of the first contact give a host its identity"""
    host = Host(directory)
    expect(run(harness.VMCRED, "machine", "add", "m", "--force", "--config", host.config, "--identity", host.directory / "user"))
    script = recipe("sops/secrets/host1-age.key/secret").replace("host1", "m").replace("/var/lib/vmcred/identity", f"{directory}/sent")
    expect(run("sh", "-c", script, env={"PATH": host.path, "SOPS_AGE_KEY_FILE": str(host.directory / "user")}, cwd=host.directory), 0, "", "")
    equal((directory / "sent").stat().st_mode & 0o777, 0o600)
    expect(vmcred("fix", "--config", host.config, "--identity", host.directory / "user"))
    host.identity = directory / "sent"
    expect(host.import_(host.export()))


if __name__ == "__main__":
    harness.main()
