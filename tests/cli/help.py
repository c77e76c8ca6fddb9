# SPDX-License-Identifier: Apache-2.0
"""What --help says is what the manual page and the completions know, and nothing is missing in any of them."""
import re

import harness
from harness import equal, expect, run, test, vmcred

SHARED = {"config", "verbose", "help"}


def commands():
    listed = expect(vmcred("--help"), 0, None, "").out
    return re.findall(r"^  ([a-z]+) ", listed, re.M)


def options(command):
    text = expect(vmcred(command, "--help"), 0, None, "").out
    assert text.startswith(f"Usage: vmcred {command} [OPTION...]"), text
    found = set(re.findall(r"^  --([a-z-]+)", text, re.M))
    assert SHARED <= found, text
    return found - SHARED


def own_options(command):
    """Those that are not shared with others."""
    return options(command) - {"json"}


def section(command):
    """The command's part of the manual page's source."""
    text = (harness.SOURCE / "docs/vmcred.1.scd").read_text()
    match = re.search(rf"^\*{command}\*.*?(?=^\*|^#)", text, re.M | re.S)
    assert match, f"vmcred(1) does not have the command {command}"
    return match.group()


@test("vmcred(1) has each command with each of its options, and no others")
def _(_folder):
    assert len(commands()) >= 8
    page = (harness.SOURCE / "docs/vmcred.1.scd").read_text()
    shared = re.search(r"^is printed at any level\. (.*) take \*--json\*\.$", page, re.M).group(1)
    for command in commands():
        if command == "run":  # has a page of its own
            continue
        documented = set(re.findall(r"--([a-z][a-z-]*)", section(command).split("\n")[0]))
        equal(documented, own_options(command), f"vmcred(1): {command}")
        equal("json" in options(command), f"*{command}*" in shared, f"vmcred(1): {command} --json")


@test("vmcred-run(1) has each option of run")
def _(_folder):
    page = (harness.SOURCE / "docs/vmcred-run.1.scd").read_text()
    equal(set(re.findall(r"^\*--([a-z_-]+)", page, re.M)), options("run"))


@test("the completions offer each command with each of its options")
def _(_folder):
    bash = (harness.SOURCE / "completions/vmcred.bash").read_text()
    fish = (harness.SOURCE / "completions/vmcred.fish").read_text()
    zsh = (harness.SOURCE / "completions/_vmcred").read_text()
    equal(re.search('local commands="(.*)"', bash).group(1).split(), commands(), "bash")
    equal(re.search("set -l commands (.*)", fish).group(1).split(), commands(), "fish")
    for command in commands():
        own = own_options(command)
        json = "--json" in re.search(rf'\[{command}\]="(.*)"', bash).group(1)
        equal(json, "json" in options(command), f"bash: {command} --json")
        equal(set(re.search(rf'\[{command}\]="(.*)"', bash).group(1).replace("--", "").split()) - {"json"}, own, f"bash: {command}")
        seen = re.findall(r'__fish_seen_subcommand_from ([a-z ]+)" -l ([a-z-]+)', fish)
        equal({option for names, option in seen if command in names.split()} - {"json"}, own, f"fish: {command}")
        row = re.search(rf"^{command}\)(.*?);;", zsh, re.M | re.S).group(1)
        for name in ("identity", "root", "credentials", "machine"):
            row = row.replace(f"${name}", f"--{name}[")
        equal(set(re.findall(r"--([a-z-]+)\[", row)), own, f"zsh: {command}")


@test("bash completes commands, options and the declaration's names")
def _(folder):
    (folder / "vmcred.yaml").write_text("machines:\n  web: {}\n  db:\nvms:\n  vm-1: {}\n  vm-2:\n    command: [x]\n")
    script = f"""
        source {harness.SOURCE}/completions/vmcred.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _vmcred
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    cases = [
        (["vmcred", "in"], ["inspect"]),
        (["vmcred", "run", ""], ["vm-1", "vm-2"]),
        (["vmcred", "activate", "--machine", "w"], ["web"]),
        (["vmcred", "generate", "--re"], ["--regenerate"]),
        (["vmcred", "run", "--expose", ""], ["argv", "log"]),
    ]
    for words, expected in cases:
        result = expect(run("bash", "-c", script, "bash", *words, cwd=folder), 0, None, "")
        equal(result.out.split(), expected, " ".join(words))


@test("the version is that of the library")
def _(_folder):
    expect(vmcred("--version"), 0, "vmcred 0.1.0\n", "")


harness.main()
