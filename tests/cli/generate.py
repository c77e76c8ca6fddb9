# SPDX-License-Identifier: Apache-2.0
"""`vmcred generate` and `vmcred get`: the generated files, the files that are kept, and the error for each bad input."""
import json
import os
import re
import stat

import harness
from example import DECLARATION, Example
from harness import equal, expect, fails, test, vmcred
from vm import wait_for

SCRIPT = """\
machines: {m: {}}
generators:
  made:
    machines: [m]
    files: {one: {}, two: {}}
    script: |
%s
"""


def script(text):
    return SCRIPT % "".join(f"      {line}\n" for line in text.splitlines())


def test_second_run_generates_nothing(directory):
    """generate stores the declared secrets in clan's layout, and a second run generates nothing"""
    example = Example(directory, generate=False)
    expect(example.generate("m"), 0, "made for m: generated one, two\n", "")
    expect(example.generate("m"), 0, "nothing to do: all declared secrets exist\n", "")
    example.config.write_text(example.config.read_text().replace("machines:\n", "machines:\n  n: {}\n", 1))
    expect(example.generate("n", "--generator", "made"), 0, "nothing to do: generator made is not for n\n", "")
    link = directory / "vars/per-machine/m/made/one/machines/m"
    equal(os.readlink(link), "../../../../../../sops/machines/m")
    equal((link / "key.json").read_text(), (directory / "sops/machines/m/key.json").read_text())
    equal(sorted(path.name for path in (directory / "vars/per-machine/m").iterdir()), ["made"])


def test_built_in_kinds_are_random_and_have_their_format(directory):
    """built-in kinds have their format and length, and two runs differ"""
    example = Example(directory)
    one, two = example.get("one").out, example.get("two").out
    assert re.fullmatch(r"[A-Za-z0-9+/]{43}=", one), one
    assert re.fullmatch(r"[0-9a-f]{32}", two), two
    expect(example.generate("--regenerate", "--all"), 0, "made for m: generated one, two\n", "")
    assert example.get("one").out != one


def test_regenerating_everything_must_be_confirmed(directory):
    """--regenerate without a machine or generator changes nothing unless --all confirms it"""
    example = Example(directory)
    before = example.get("one").out
    expect(example.generate("--regenerate"), 2, "", "vmcred: --regenerate replaces all secrets: name machines or "
           "--generator, or confirm with --all\n")  # fmt: skip
    expect(example.generate("--regenerate", "--dry-run"), 0, "made for m: would generate one, two\n", "")
    equal(example.get("one").out, before)
    expect(example.generate("m", "--regenerate"), 0, "made for m: generated one, two\n", "")


def test_dry_run_writes_nothing(directory):
    """a dry run prints what would be generated and writes nothing"""
    example = Example(directory, generate=False)
    expect(example.generate("--dry-run"), 0, "made for m: would generate one, two\n", "")
    assert not (directory / "vars").exists()


def test_json_lists_the_generated_files(directory):
    """--json lists the generated files"""
    result = expect(Example(directory, generate=False).generate("--json"), 0, None, "")
    equal(result.out.split(), '[ { "generator": "made", "machine": "m", "reason": "missing", "files": [ "one", "two" ] } ]'.split())


def test_json_lists_the_files_stored_before_a_failure(directory):
    """--json lists the files that were stored before a generator failed"""
    failing = "  later: {machines: [m], dependencies: [made], files: {it: {}}, script: 'exit 7'}\n"
    example = Example(directory, DECLARATION.replace("vms:\n", f"{failing}vms:\n"), generate=False)
    result = expect(example.generate("--json"), 1, None, None)
    equal([item["generator"] for item in json.loads(result.out)], ["made"])
    expect(example.generate("--json"), 3, "", None)


def test_files_of_a_script_are_stored_byte_for_byte(directory):
    """the files of a script are stored byte for byte, also an empty file and one with every byte value"""
    example = Example(directory, script("printf '' > $out/one\nhead -c 70000 /dev/zero | tr '\\0' '\\377' > \"$out/two\""))
    expect(example.get("one"), 0, "", "")
    equal(example.get("two").out.encode("utf-8", "surrogateescape"), b"\xff" * 70000)


def test_script_gets_a_clean_environment(directory):
    """a script gets a clean environment and an $out that is removed afterwards"""
    example = Example(directory, script("env | sed 's/=.*//' | sort > $out/one\necho $out > $out/two"), generate=False)
    expect(example.generate(env={"LEAK": "x", "XDG_RUNTIME_DIR": str(directory)}))
    # SHLVL, PWD and _ are bash's own.
    equal(example.get("one").out.split(), ["HOME", "PATH", "PWD", "SHLVL", "TMPDIR", "_", "in", "out"])
    equal(example.get("two").out, "/tmp/out\n")
    expect(example.generate("--regenerate", "--all", "--no-sandbox", env={"XDG_RUNTIME_DIR": str(directory)}))
    out = example.get("two").out.strip()
    equal(os.path.dirname(os.path.dirname(out)), str(directory))
    assert not os.path.exists(os.path.dirname(out))


def failing(sentence, text, message, code=1):
    @test(sentence)
    def test_failing(directory):
        example = Example(directory, script(text), generate=False)
        expect(example.generate(), code, "", f"vmcred: generator made: {message}\n")
        assert not list(directory.glob("vars/per-machine/m/*")), "incomplete files"


failing(
    "a script that fails is an error with its output",
    "echo to stdout\necho to stderr >&2\nexit 7",
    "the script exited with code 7: it printed:\nto stdout\nto stderr",
)
failing(
    "what a failed script wrote to $out is hidden in its output",
    "echo hunter2-the-secret > $out/one\ncat $out/one\nexit 1",
    "the script exited with code 1: it printed:\n(hidden: repeats a secret)",
)
failing("a script that does not write a declared file is an error", "echo 1 > $out/one", "the script did not write $out/two")
failing(
    "a script that writes a file that is not declared is an error",
    "echo 1 > $out/one\necho 1 > $out/two\necho 1 > $out/three",
    "the script wrote $out/three, which is not declared: declare it in the generator's files, or remove it",
)
failing(
    "a script that writes more than systemd takes is an error",
    "head -c 1048577 /dev/zero > $out/one\necho 1 > $out/two",
    "one is larger than 1048576 bytes",
)
failing(
    "a script that makes a link out of $out is an error",
    "ln -s /etc/hostname $out/one\necho 1 > $out/two",
    "reading $out/one: Too many levels of symbolic links",
)
failing("a script that is killed is an error", "kill -9 $$", "the script was killed by SIGKILL")
failing(
    "a step of a script that fails ends it: no empty secret is made",
    "false > $out/one\necho 1 > $out/two",
    "the script exited with code 1",
)


def test_processes_of_a_script_are_killed(directory):
    """processes that a script leaves running are killed and do not delay the run"""
    example = Example(directory, script("sleep 61.25 &\necho 1 > $out/one\necho 1 > $out/two"), generate=False)
    expect(example.generate(timeout=50))
    wait_for("their end", lambda: harness.run("pgrep", "-f", "sleep 61.25").code == 1)


def test_incomplete_generator_is_not_regenerated(directory):
    """a generator with some existing files is not regenerated without --regenerate"""
    example = Example(directory)
    before = example.document("one").read_bytes()
    example.config.write_text(
        DECLARATION.replace('      two: {mode: "0440"}', '      two: {}\n      three: {}').replace(
            "two: {hex: 16}", "two: {hex: 16}, three: {hex: 1}"
        )
    )
    expect(
        example.generate(),
        1,
        "",
        'vmcred: the generator made has some of its files, but not "three": '
        "store it with `vmcred set m made/three`, or replace all files with `vmcred generate --generator made --regenerate`\n",
    )
    equal(example.document("one").read_bytes(), before)
    expect(example.generate("--regenerate", "--all"), 0, "made for m: generated one, two, three\n", "")


def test_machine_without_a_key_is_an_error(directory):
    """a machine without a key is an error that says how to add one"""
    example = Example(directory, generate=False)
    (directory / "sops/machines/m/key.json").unlink()
    expect(
        example.generate(),
        3,
        "",
        "vmcred: made/one: the machine m has no key: sops/machines/m/key.json does not exist: "
        "`vmcred machine add m` creates one\n",
    )


def test_key_json_may_be_a_list_or_a_single_key(directory):
    """key.json is read as clan's list and as a single key; another key type is reported"""
    example = Example(directory, generate=False)
    key = directory / "sops/machines/m/key.json"
    public = re.search("age1[a-z0-9]+", key.read_text()).group()
    key.write_text(f'{{"publickey": "{public}", "type": "age"}}')
    expect(example.generate())
    expect(example.get("one"), 0, None, "")
    key.write_text('[{"publickey": "FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4", "type": "kms"}]')
    expect(
        example.generate("--regenerate", "--all"),
        1,
        "",
        'vmcred: made/one: sops/machines/m/key.json: unsupported key type "kms"\n',
    )
    key.write_text("<<<<<<< HEAD\n")
    expect(
        example.generate("--regenerate", "--all"),
        1,
        "",
        "vmcred: made/one: sops/machines/m/key.json is not valid JSON (line 1, column 1)\n",
    )


def test_shared_generator_is_encrypted_to_all_machines(directory):
    """a shared generator is encrypted to all machines, below vars/shared"""
    declaration = DECLARATION.replace("    machines: [m]\n", "    share: true\n", 1)
    example = Example(directory, declaration, generate=False)
    expect(example.generate(), 0, "made (shared): generated one, two\n", "")
    equal(os.readlink(directory / "vars/shared/made/one/machines/m"), "../../../../../sops/machines/m")
    expect(example.get("one"), 0, None, "")


def test_public_file_is_stored_in_plaintext(directory):
    """a public file is stored in plaintext as `value`"""
    example = Example(directory, DECLARATION.replace('two: {mode: "0440"}', "two: {secret: false}"))
    equal(example.get("two").out, (directory / "vars/per-machine/m/made/two/value").read_text())


def test_unknown_key_gets_a_suggestion(directory):
    """an unknown key is an error with the file, the line and the nearest known name"""
    example = Example(directory)
    example.config.write_text(DECLARATION.replace("credentialFiles", "credentialFile"))
    expect(
        example.generate(),
        2,
        "",
        f'vmcred: {example.config}:15: vms.m: unknown key "credentialFile": did you mean "credentialFiles"?\n',
    )


def test_missing_declaration_lists_searched_paths(directory):
    """without a declaration the error lists the searched paths"""
    harness.need_default_paths()
    expect(
        vmcred("generate", cwd=directory),
        2,
        "",
        "vmcred: declaration ./vmcred.yaml or /etc/vmcred/vmcred.yaml not found: create it with `vmcred init`, or use --config FILE\n",
    )
    expect(
        vmcred("generate", "--config", "nowhere.yaml", cwd=directory),
        2,
        "",
        "vmcred: declaration nowhere.yaml not found: create it with `vmcred init`, or use --config FILE\n",
    )
    (directory / "a/b").mkdir(parents=True)
    expect(
        vmcred("list", "--config", "a", cwd=directory),
        2,
        "",
        "vmcred: declaration a is a directory: use --config a/vmcred.yaml\n",
    )
    (directory / "vmcred.yaml").write_text("machines: {}\n")
    expect(
        vmcred("generate", cwd=directory / "a/b"),
        2,
        "",
        "vmcred: declaration ./vmcred.yaml or /etc/vmcred/vmcred.yaml not found: run the command in the repository, "
        "or use --config ../../vmcred.yaml\n",
    )
    (directory / "loop").symlink_to("loop")
    fails(vmcred("generate", "--config", "loop", cwd=directory), 1, "opening loop", "symbolic links")


def test_unknown_names_get_suggestions(directory):
    """an unknown machine, generator, command or option is reported with the nearest known name, or with all if they are few"""
    example = Example(directory)
    config = example.config
    expect(example.generate("n"), 2, "", f'vmcred: {config} declares no machine "n": known names: m\n')
    expect(example.generate("--generator", "mad"), 2, "", f'vmcred: {config} declares no generator "mad": did you mean "made"?\n')
    expect(vmcred("generat"), 2, "", 'vmcred: unknown command "generat": did you mean "generate"?\n')
    expect(
        example.generate("--regenrate=hunter2"),
        2,
        "",
        "vmcred: unknown option --regenrate: did you mean --regenerate?\n",
    )
    expect(
        example.generate("--generator"),
        2,
        "",
        "vmcred: option --generator requires an argument: see `vmcred generate --help`\n",
    )
    expect(vmcred(), 2, "", "vmcred: no command given: `vmcred --help` lists the commands\n")
    options = "vmcred: unknown command \"--json\": options follow the command: `vmcred COMMAND OPTION`\n"
    expect(vmcred("--json", "list"), 2, "", options)


def test_help_lists_options_of_every_command(_directory):
    """the help of every command lists its options"""
    listed = expect(vmcred("--help"), 0, None, "").out
    commands = re.findall(r"^  ([a-z]+) ", listed, re.M)
    assert len(commands) >= 8, commands
    for command in commands:
        text = expect(vmcred(command, "--help"), 0, None, "").out
        words = "COMMAND [FLAG...]" if command == "sops" else "[OPTION...]"
        assert text.startswith(f"Usage: vmcred {command} {words}"), text
        assert "--config FILE" in text
        equal(expect(vmcred("help", command)).out, text, "vmcred help")


def test_identity_file_is_private_and_never_replaced(directory):
    """an identity file is readable by its owner only and never replaced"""
    example = Example(directory)
    equal(stat.S_IMODE(example.identity.stat().st_mode), 0o600)
    before = example.identity.read_bytes()
    result = vmcred("keygen", "--output", example.identity)
    equal(result.code, 1)
    equal(example.identity.read_bytes(), before)


def test_registered_key_is_not_replaced_without_force(directory):
    """a registered key is not replaced without --force"""
    Example(directory)
    before = (directory / "sops/machines/m/key.json").read_bytes()
    config = ("--config", directory / "vmcred.yaml")
    result = vmcred("keygen", *config, "--machine", "m", "--output", directory / "second")
    fails(result, 1, "sops/machines/m/key.json", "--force")
    equal((directory / "sops/machines/m/key.json").read_bytes(), before)
    assert not (directory / "second").exists(), "an identity that belongs to nothing must not stay"
    expect(vmcred("keygen", *config, "--machine", "m", "--output", directory / "second", "--force"), 0, None, "")


harness.main()
