# SPDX-License-Identifier: Apache-2.0
"""Files that nobody names: ./vmcred.yaml and .sops.yaml decide what vmcred does only if they belong to its user or root."""
import os
import re

import harness
from example import NOBODY, Example, program_for_all
from harness import VMCRED, VMCRED_SOPS, expect, fails, need_root, run

# What another user may own, by the path below the test's directory.
FOREIGN = {"the file": "repository/{}", "the directory": "repository"}


def given_away(directory, name):
    """Gives each of FOREIGN to another user for a while."""
    for what, path in FOREIGN.items():
        path = directory / path.format(name)
        os.chown(path, NOBODY, NOBODY)
        yield what
        os.chown(path, 0, 0)


def repository(directory):
    (directory / "repository").mkdir()
    return Example(directory / "repository")


def test_declaration_of_another_user(directory):
    """./vmcred.yaml is refused if it or its directory belongs to another user, unless --config names it"""
    need_root()
    here = repository(directory)
    os.chown(here.config, NOBODY, NOBODY)
    expect(
        run(VMCRED, "list", cwd=here.directory), 2, "",
        f"vmcred: vmcred.yaml belongs to user {NOBODY}, not to you or root: use --config vmcred.yaml if you trust that user\n",
    )  # fmt: skip
    os.chown(here.config, 0, 0)
    for _what in given_away(directory, "vmcred.yaml"):
        for command in "list", "check", "generate", "activate":
            fails(run(VMCRED, command, cwd=here.directory), 2, "vmcred.yaml", NOBODY, "--config")
        expect(run(VMCRED, "list", "--config", "vmcred.yaml", cwd=here.directory))
        expect(run(VMCRED, "list", "--config", here.config))
    expect(run(VMCRED, "list", cwd=here.directory))


def test_link_of_another_user(directory):
    """./vmcred.yaml is refused if it is another user's link to a file of root"""
    need_root()
    here = repository(directory)
    here.config.rename(directory / "elsewhere.yaml")
    here.config.symlink_to(directory / "elsewhere.yaml")
    expect(run(VMCRED, "list", cwd=here.directory))
    os.lchown(here.config, NOBODY, NOBODY)
    fails(run(VMCRED, "list", cwd=here.directory), 2, NOBODY)


def test_sudo(directory):
    """root accepts the files of the user who called sudo, and nobody else believes $SUDO_UID"""
    need_root()
    here = repository(directory)
    program = program_for_all(directory)
    sudo = {"SUDO_UID": str(NOBODY)}
    for _what in given_away(directory, "vmcred.yaml"):
        expect(run(VMCRED, "list", cwd=here.directory, env=sudo))
        for other in str(NOBODY - 1), f"{NOBODY}x", "":
            fails(run(VMCRED, "list", cwd=here.directory, env={"SUDO_UID": other}), 2, NOBODY)
        fails(run("setpriv", "--reuid=1", "--clear-groups", program, "list", cwd=here.directory, env=sudo), 2, NOBODY)


def test_rules_of_another_user(directory):
    """another user's .sops.yaml chooses no recipients unless --config names it, and does not prevent decryption"""
    need_root()
    here = repository(directory)
    key = re.search(r"age1\S+", here.identity.read_text()).group()
    (here.directory / ".sops.yaml").write_text(f"creation_rules: [{{age: {key}}}]\n")
    below, work = here.directory / "below", {"SOPS_AGE_KEY_FILE": str(here.identity)}
    below.mkdir()
    (below / "plain.yaml").write_text("a: 1\n")
    secret = expect(run(VMCRED_SOPS, "encrypt", "plain.yaml", cwd=below)).out
    (below / "secret.yaml").write_text(secret)
    for _what in given_away(directory, ".sops.yaml"):
        for command in ["encrypt", "plain.yaml"], ["updatekeys", "--yes", "secret.yaml"]:
            fails(run(VMCRED_SOPS, *command, cwd=below), 1, "../.sops.yaml", NOBODY, "--config")
        expect(run(VMCRED_SOPS, "--config", "../.sops.yaml", "encrypt", "plain.yaml", cwd=below))
        expect(run(VMCRED_SOPS, "decrypt", "secret.yaml", cwd=below, env=work), 0, "a: 1\n", "")


harness.main()
