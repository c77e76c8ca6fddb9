# SPDX-License-Identifier: Apache-2.0
"""Completion in real shells: each completes a command line word by word, from what `vmcred --complete` prints."""
import os
import re
from pathlib import Path

import harness
from example import AS_NOBODY, program_for_all
from harness import equal, expect, need, need_root, run, vmcred
from terminal import at_terminal

DECLARATION = """\
machines: {web: {}, db: {}, mail: {}}
generators:
  api:
    machines: [web]
    files: {key: {}, token: {}}
    kind: {key: {hex: 8}, token: {hex: 8}}
  sql:
    machines: [db]
    files: {password: {}}
    kind: {password: {hex: 8}}
  common:
    share: true
    files: {it: {}}
    kind: {it: {hex: 8}}
vms: {front: {}, back: {}}
"""
KEY = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg"

# What is typed, where | is the key Tab, and the words that it becomes.
LINES = {
    "ins| f|": ["inspect", "front"],
    "help ins|": ["help", "inspect"],
    "get w| a|k|": ["get", "web", "api/key"],
    "get d| s|": ["get", "db", "sql/password"],
    "get d| c|": ["get", "db", "common/it"],
    "list web d| m|": ["list", "web", "db", "mail"],
    "check --js| d|": ["check", "--json", "db"],
    "list --config other.yaml ei|": ["list", "--config", "other.yaml", "eins"],
    "generate --gen| s|": ["generate", "--generator", "sql"],
    "activate --mach| w|": ["activate", "--machine", "web"],
    "activate --machine=w|": ["activate", "--machine=web"],
    "activate --needed-for u|": ["activate", "--needed-for", "users"],
    "doctor --ignore unit-s|": ["doctor", "--ignore", "unit-swap"],
    "activate --check-mode s|": ["activate", "--check-mode", "sopsfile"],
    "run --transport f|": ["run", "--transport", "fw_cfg"],
    "run --credentials de|": ["run", "--credentials", "deeper/"],
    "run back -- a|": ["run", "back", "--", "a-file"],
    "user a|": ["user", "add"],
    "user remove al|": ["user", "remove", "alice"],
    "user add bob --gr| ad|": ["user", "add", "bob", "--group", "admins"],
    "machine add --age-key k w|": ["machine", "add", "--age-key", "k", "web"],
    "machine remove w|": ["machine", "remove", "w|"],
    "group add admins --user al|": ["group", "add", "admins", "--user", "alice"],
    "set --file a| w|": ["set", "--file", "a-file", "web"],
    "keygen --out| a|": ["keygen", "--output", "a-file"],
    "keygen -y a|": ["keygen", "-y", "a-file"],
    "sops dec| a|": ["sops", "decrypt", "a-file"],
    "sops unset --idem|": ["sops", "unset", "--idempotent"],
    "age --enc| a|": ["age", "--encrypt", "a-file"],
}
MARK = "next> "


def prepare(directory):
    (directory / "vmcred.yaml").write_text(DECLARATION)
    (directory / "other.yaml").write_text("machines: {eins: {}}\n")
    (directory / "a-file").write_text("")
    (directory / "deeper").mkdir()
    expect(vmcred("user", "add", "alice", "--age-key", KEY, "--config", directory / "vmcred.yaml"))
    expect(vmcred("group", "add", "admins", "--user", "alice", "--config", directory / "vmcred.yaml"))
    return {"PATH": f"{Path(harness.VMCRED).parent}:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(directory)}


def complete(directory, script, *command):
    """Types each line, with a command that prints its arguments. `script` defines `show` and its completion."""
    env = prepare(directory)
    (directory / "start").write_text(script)
    typed = ". ./start\n" + "".join(f"show {line.replace('|', chr(9))}\n" for line in LINES) + "exit\n"
    result, shown = at_terminal(*command, typed=typed.encode(), stdin=None, out="terminal", env=env, cwd=directory)
    equal(result.code, 0, shown.decode())
    got = [re.findall(r"<([^<>]*)>", line) for line in re.findall(r"words:(.*?);", shown.decode())]
    for (line, expected), words in zip(LINES.items(), got):
        # Without candidates, the key does nothing. zsh removes the slash after a directory.
        equal([word.rstrip("/") for word in words], [word.strip("|/") for word in expected], line)
    equal(len(got), len(LINES), shown.decode())


def test_bash(directory):
    """bash completes each word, with the file that bash-completion loads for vmcred"""
    if not Path("/usr/share/bash-completion/bash_completion").exists():
        need("bash_completion")
    target = directory / "bash-completion/completions/vmcred"
    target.parent.mkdir(parents=True)
    target.symlink_to(harness.SOURCE / "completions/vmcred.bash")
    script = f"""
        BASH_COMPLETION_USER_DIR={directory}/bash-completion
        . /usr/share/bash-completion/bash_completion
        bind 'set enable-bracketed-paste off'
        _completion_loader vmcred
        show() {{ printf 'words:'; printf '<%s>' "$@"; echo ';'; }}
        complete -F _vmcred show
    """
    complete(directory, script, need("bash"), "--norc", "--noprofile", "-i")


def test_zsh(directory):
    """zsh completes each word, with the file in $fpath"""
    script = f"""
        fpath=({harness.SOURCE}/completions $fpath)
        autoload -Uz compinit && compinit -u -D
        show() {{ printf 'words:'; printf '<%s>' "$@"; echo ';' }}
        compdef show=vmcred
    """
    complete(directory, script, need("zsh"), "-f", "-i")


def test_fish(directory):
    """fish completes each word"""
    fish = need("fish")
    env = prepare(directory)
    wanted, script = [], [f"source {harness.SOURCE}/completions/vmcred.fish"]
    for line, words in LINES.items():
        typed = [part for part in line.split(" ") if part]
        for number, part in enumerate(typed):
            if "|" not in part:
                continue
            before = " ".join(["vmcred", *words[:number], part.split("|")[0]])
            script.append(f"echo '{MARK}{before}'; complete -C '{before}'")
            wanted.append((before, words[number]))
    result = expect(run(fish, "--no-config", "-c", "\n".join(script), env=env, cwd=directory), 0, None, "")
    answers = [answer.split("\n") for answer in result.out.split(MARK)[1:]]
    equal(len(answers), len(wanted))
    for (line, *candidates), (before, word) in zip(answers, wanted):
        equal(line, before)
        names = [candidate.split("\t")[0] for candidate in candidates if candidate]
        equal(word in names, "|" not in word, f"{before}: {names}")


def candidates(*words, **options):
    result = expect(vmcred("--complete", *words, **options), 0, None, "")
    return [line.split("\t")[0] for line in result.out.splitlines()]


def test_all_commands_and_options_are_candidates(_directory):
    """the candidates are all commands and all options that --help lists"""
    helped = re.findall(r"^  ([a-z]+) ", vmcred("--help").out, re.M)
    equal(candidates(""), [*helped, "--help", "--version"])
    for command in helped:
        own = re.findall(r"^  (?:-[a-zA-Z], )?(--[a-z-]+)", vmcred(command, "--help").out, re.M)
        if command == "sops":
            own = [name for name in own if name not in ("--help", "--version")]
        equal([name for name in candidates(command, "-") if name.startswith("--") and (command != "sops" or name in own)], own, command)


def test_arguments_are_not_repeated(directory):
    """an option and a machine that the line has already are not candidates; an option that may be repeated is"""
    (directory / "vmcred.yaml").write_text(DECLARATION)
    equal(candidates("list", "web", "", cwd=directory), ["db", "mail"])
    names = candidates("user", "--force", "--age-key", "k", "-", cwd=directory)
    equal(("--force" in names, "--age-key" in names), (False, True))


def test_nothing_is_printed_that_could_not_be_typed(directory):
    """a broken declaration, a strange name in the store and an unknown command give no candidates and no error"""
    (directory / "vmcred.yaml").write_text("machines: [")
    for name in ("$(id)", "a b", "-x", "alice"):
        (directory / "sops/users" / name).mkdir(parents=True)
    equal(candidates("list", "", cwd=directory), [])
    equal(sorted(candidates("user", "remove", "", cwd=directory)), ["-x", "alice"])
    equal(candidates("unknown", "", cwd=directory), [])
    equal(candidates("list", "--unknown=", cwd=directory), [])


def test_declaration_of_another_user_is_refused(directory):
    """the declaration of another user in the working directory gives no candidates, and no error"""
    need_root()
    program = program_for_all(directory)
    (directory / "vmcred.yaml").write_text(DECLARATION)
    os.chown(directory / "vmcred.yaml", 12345, 12345)
    for prefix in ([], AS_NOBODY):
        expect(run(*prefix, program, "--complete", "list", "", cwd=directory), 0, "", "")
    os.chown(directory / "vmcred.yaml", 0, 0)
    expect(run(*AS_NOBODY, program, "--complete", "list", "", cwd=directory), 0, "web\ndb\nmail\n", "")


harness.main()
