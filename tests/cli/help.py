# SPDX-License-Identifier: Apache-2.0
"""--help and the manual pages list the same commands and options."""
import re
from pathlib import Path

import harness
from harness import equal, expect, run, vmcred

SHARED = {"config", "verbose", "help"}

# The manual page of each group of commands. Options of run have a section there, and sops has flags of its own.
PAGES = {
    "vmcred-store": ["init", "keygen", "generate", "list", "get", "set", "edit", "check", "readers", "fix", "prune", "machine", "user", "group"],
    "vmcred-bundle": ["export", "import"],
    "vmcred-activate": ["activate", "serve"],
    "vmcred-run": ["units", "compose", "run"],
    "vmcred-inspect": ["status", "inspect", "graph", "doctor", "metrics"],
    "vmcred-age": ["age"],
    "vmcred-sops": ["sops"],
}
OWN_SECTION = {"run", "sops"}


def page(name):
    return (harness.SOURCE / f"docs/{name}.1.scd").read_text()


def commands():
    listed = expect(vmcred("--help"), 0, None, "").out
    return re.findall(r"^  ([a-z]+) ", listed, re.M)


def options(command):
    text = expect(vmcred(command, "--help"), 0, None, "").out
    assert text.startswith(f"Usage: vmcred {command} [OPTION...]"), text
    found = set(re.findall(r"^  (?:-[a-zA-Z], )?--([a-z-]+)", text, re.M))
    assert SHARED <= found, text
    return found - SHARED


def own_options(command):
    """Without the options that several commands share."""
    return options(command) - {"json"}


def section(name, command):
    """The section of the command in the source of a manual page."""
    match = re.search(rf"^\*{command}\*.*?(?=^\*|^#)", page(name).split("# COMMANDS\n")[1], re.M | re.S)
    assert match, f"{name}(1) does not have the command {command}"
    return match.group()


def test_manual_pages_list_each_command_and_option(_directory):
    """the manual pages list each command and option, and no others"""
    equal(sorted(sum(PAGES.values(), [])), sorted(commands()))
    overview = page("vmcred")
    shared = re.search(r"^\tPrint the result as JSON\. These commands have it: (.*)\.$", overview, re.M).group(1)
    for name, group in PAGES.items():
        for command in group:
            assert f"*{command}*" in overview.split("# COMMANDS\n")[1].split("\n# ")[0], f"vmcred(1): {command}"
            equal("json" in options(command) if command != "sops" else False, f"*{command}*" in shared, f"vmcred(1): {command} --json")
            if command in OWN_SECTION:
                continue
            documented = set(re.findall(r"--([a-z][a-z-]*)", section(name, command).split("\n")[0]))
            equal(documented, own_options(command), f"{name}(1): {command}")


def test_help_lists_the_default_identities(_directory):
    """--help lists the default files that vmcred(1) lists"""
    section = page("vmcred").split("# IDENTITIES\n")[1].split("\n# ")[0]
    paths = re.findall(r"^\. .*_([/~]\S+)_$", section, re.M)
    equal(len(paths), 5)
    for command in ("get", "import"):
        text = vmcred(command, "--help").out
        equal([path for path in paths if path not in text], [] if command == "get" else paths[2:4], f"not in the help of {command}")


def test_vmcred_run_1_lists_each_option(_directory):
    """vmcred-run(1) lists each option of run, and vmcred.yaml(5) its key"""
    equal(set(re.findall(r"^\*--([a-z_-]+)", page("vmcred-run").split("# OPTIONS OF RUN\n")[1].split("\n# ")[0], re.M)), options("run"))
    keys = re.search(r"^\t(\*exec\*.*)$", (harness.SOURCE / "docs/vmcred.yaml.5.scd").read_text(), re.M).group(1)
    equal({re.sub(r"-(.)", lambda match: match[1].upper(), name) for name in options("run") - {"credentials"}},
          set(re.findall(r"\*(\w+)\*", keys)))


# What the arguments of options and commands are called. A shell completes most of them: src/cli/completion.c.
ARGUMENTS = {
    "DIRECTORY", "FILE", "FINDING", "FINGERPRINT", "GENERATOR", "GENERATOR/FILE", "GROUP", "INPUT", "KEY", "MACHINE", "MANIFEST", "NAME=@FILE",
    "PATH", "PHASE", "PLUGIN", "SECONDS", "TARGET", "USER", "VM",
}  # fmt: skip


def test_arguments_have_the_same_names_everywhere(_directory):
    """the same argument has the same name in the help of each command, and a command with arguments has examples that exist"""
    for command in set(commands()) - {"sops"}:
        text = vmcred(command, "--help").out
        for name in re.findall(r"^  (?:-[a-zA-Z], )?-{1,2}[a-z-]+ ([A-Za-z@=|/_]+)", text.split("\nOptions:\n")[1], re.M):
            unknown = {part for part in name.split("|") if part.isupper() and part not in ARGUMENTS}
            assert not unknown, f"{command}: {unknown}"
        usage = text.split("\n")[0].removeprefix(f"Usage: vmcred {command} [OPTION...]")
        unknown = set(re.findall(r"[A-Z/]+", usage)) - ARGUMENTS - {"NAME", "PROGRAM", "ARGUMENT"}
        assert not unknown, f"{command}: {unknown}"
        examples = re.findall(rf"^  vmcred {command} (.*)$", text.split("\nOptions:\n")[0], re.M)
        assert examples or not usage, f"{command} has no examples"
        for example in examples:
            used = set(re.findall(r"--([a-z-]+)", example.split(" -- ")[0]))
            assert used <= options(command), f"{command}: {example}"


def sops_commands():
    text = expect(vmcred("sops", "--help"), 0, None, "").out
    return re.findall(r"^  ([a-z]+(?:-[a-z]+)?(?: [a-z]+)?)  ", text.split("\nCommands:\n")[1].split("\n\n")[0], re.M)


def sops_flags(*command):
    return set(re.findall(r"^  (--[a-z-]+)", expect(vmcred("sops", *command, "--help"), 0, None, "").out, re.M))


def test_help_fits_a_terminal(_directory):
    """no line of any --help is longer than 80 columns"""
    programs = [[Path(harness.VMCRED).with_name(name)] for name in ("vmcred", "vmcred-run", "vmcred-sops", "vmcred-guest")]
    own = [[harness.VMCRED, name] for name in commands()] + [[harness.VMCRED, "sops", *name.split()] for name in sops_commands() if name not in ("publish", "keyservice")]
    for command in programs + own:
        text = expect(run(*command, "--help"), 0, None, "").out
        equal([line for line in text.split("\n") if len(line) > 80], [], command)


def test_vmcred_sops_1_lists_each_command_and_flag(_directory):
    """vmcred-sops(1) lists each command and flag, and no others"""
    text = page("vmcred-sops")
    names = sops_commands()
    assert len(names) == 15, names
    flags = sops_flags()
    for name in set(names) - {"publish", "keyservice"}:
        flags |= sops_flags(*name.split())
        assert re.search(rf"^\*{name}\*", text, re.M), f"vmcred-sops(1) does not have the command {name}"
    documented = set(re.findall(r"\*(--[a-z-]+)\*", text.split("# FLAGS")[1].split("\n# ")[0]))
    equal(documented, flags)


def test_sops_completions_list_each_command_and_flag(_directory):
    """the completion scripts that sops prints list each command and flag"""
    scripts = {shell: expect(vmcred("sops", "completion", shell), 0, None, "").out for shell in ("bash", "zsh", "fish")}
    for name in set(sops_commands()) - {"publish", "keyservice", "groups add", "groups delete"}:
        flags = sops_flags(name)
        for shell in ("bash", "zsh"):
            known = re.search(rf'^    {name}\) flags="(.*)" ;;$', scripts[shell], re.M).group(1)
            equal(set(known.split()), flags, f"{shell}: {name}")
        known = re.findall(rf"__fish_seen_subcommand_from {name}' -l ([a-z-]+)", scripts["fish"])
        equal({f"--{name}" for name in known}, flags, f"fish: {name}")


def test_exit_status_of_a_unit_has_a_true_name(directory):
    """as the process of a systemd unit, vmcred has exit statuses whose names in systemd are right; elsewhere those of the manual"""
    config = directory / "vmcred.yaml"
    config.write_text("machines: {m: {}}\ngenerators: {g: {machines: [m], files: {f: {}}, kind: {f: uuid}}}\n")
    words = [harness.VMCRED, "get", "--config", config, "m", "g/f"]
    as_unit = ["sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh", *words]
    expect(run(*words), 3)
    expect(run("sh", "-c", 'SYSTEMD_EXEC_PID=$$; export SYSTEMD_EXEC_PID; "$@"; exit $?', "sh", *words), 3)
    expect(run(*as_unit), 66)
    (directory / "vars/per-machine/m/g/f").mkdir(parents=True)
    (directory / "vars/per-machine/m/g/f/secret").write_text("{}")
    equal(run(*as_unit).code, run(*words).code, "exit status of other failures")
    names = expect(run(harness.need("systemd-analyze"), "--no-pager", "exit-status", 65, 66), 0, None, "").out
    equal(re.findall(r"^([A-Z]+) +(\d+)", names, re.M), [("DATAERR", "65"), ("NOINPUT", "66")])


def test_version_is_the_version_of_the_library(_directory):
    """--version prints the version of the library"""
    expect(vmcred("--version"), 0, f"vmcred {harness.VERSION}\n", "")


harness.main()
