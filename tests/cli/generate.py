# SPDX-License-Identifier: Apache-2.0
"""vmcred generate and get: what is made, what is kept, and what each bad input says."""
import os
import re
import stat

import harness
from example import DECLARATION, Example
from harness import equal, expect, test, vmcred

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


def test_generate_makes_declared_clan_layout_second_run(folder):
    """generate makes what is declared, in clan's layout, and a second run makes nothing"""
    example = Example(folder, generate=False)
    expect(example.generate("m"), 0, "made for m: generated one, two\n", "")
    expect(example.generate("m"), 0, "nothing to do: all declared secrets exist\n", "")
    link = folder / "vars/per-machine/m/made/one/machines/m"
    equal(os.readlink(link), "../../../../../../sops/machines/m")
    equal((link / "key.json").read_text(), (folder / "sops/machines/m/key.json").read_text())
    equal(sorted(path.name for path in (folder / "vars/per-machine/m").iterdir()), ["made"])


def test_built_kinds_form_length_two_runs_differ(folder):
    """built-in kinds have their form and length, and two runs differ"""
    example = Example(folder)
    one, two = example.get("one").out, example.get("two").out
    assert re.fullmatch(r"[A-Za-z0-9+/]{43}=", one), one
    assert re.fullmatch(r"[0-9a-f]{32}", two), two
    expect(example.generate("--regenerate"), 0, "made for m: generated one, two\n", "")
    assert example.get("one").out != one


def test_dry_run_says_would_made_makes_nothing(folder):
    """a dry run says what would be made, and makes nothing"""
    example = Example(folder, generate=False)
    expect(example.generate("--dry-run"), 0, "made for m: would generate one, two\n", "")
    assert not (folder / "vars").exists()


def test_json_lists_made(folder):
    """--json lists what was made"""
    result = expect(Example(folder, generate=False).generate("--json"), 0, None, "")
    equal(result.out.split(), '[ { "generator": "made", "machine": "m", "reason": "missing", "files": [ "one", "two" ] } ]'.split())


def test_script_files_arrive_byte_byte_empty_every_byte(folder):
    """a script's files arrive byte for byte, with an empty one and every byte"""
    example = Example(folder, script("printf '' > $out/one\nhead -c 70000 /dev/zero | tr '\\0' '\\377' > \"$out/two\""))
    expect(example.get("one"), 0, "", "")
    equal(example.get("two").out.encode("utf-8", "surrogateescape"), b"\xff" * 70000)


def test_script_sees_clean_environment_out_gone_afterwards(folder):
    """a script sees a clean environment and an $out that is gone afterwards"""
    example = Example(folder, script("env | sed 's/=.*//' | sort > $out/one\necho $out > $out/two"), generate=False)
    expect(example.generate(env={"LEAK": "x", "XDG_RUNTIME_DIR": str(folder)}))
    # SHLVL, PWD and _ are bash's own.
    equal(example.get("one").out.split(), ["HOME", "PATH", "PWD", "SHLVL", "TMPDIR", "_", "in", "out"])
    equal(example.get("two").out, "/tmp/out\n")
    expect(example.generate("--regenerate", "--no-sandbox", env={"XDG_RUNTIME_DIR": str(folder)}))
    out = example.get("two").out.strip()
    equal(os.path.dirname(os.path.dirname(out)), str(folder))
    assert not os.path.exists(os.path.dirname(out))


def failing(sentence, text, message, code=1):
    @test(sentence)
    def test_case(folder):
        example = Example(folder, script(text), generate=False)
        expect(example.generate(), code, "", f"vmcred: the script of the generator made: {message}\n")
        assert not list(folder.glob("vars/per-machine/m/*")), "nothing may be half-written"


failing(
    "a script that fails is an error with its output",
    "echo to stdout\necho to stderr >&2\nexit 7",
    "it ended with exit code 7: it printed:\nto stdout\nto stderr",
)
failing(
    "what a failed script wrote to $out is masked in its output",
    "echo hunter2-the-secret > $out/one\ncat $out/one\nexit 1",
    "it ended with exit code 1: it printed:\n******************",
)
failing("a script that does not write a declared file is an error", "echo 1 > $out/one", "it did not write $out/two")
failing(
    "a script that writes a file that is not declared is an error",
    "echo 1 > $out/one\necho 1 > $out/two\necho 1 > $out/three",
    "it wrote $out/three, which is not declared: add it to the generator's files, or have the script remove it",
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
failing("a script that is killed is an error", "kill -9 $$", "it was ended by the signal Killed")
failing(
    "a step of a script that fails ends it: no empty secret is made",
    "false > $out/one\necho 1 > $out/two",
    "it ended with exit code 1",
)


def test_script_leaves_running_killed_does_not_delay_end(folder):
    """what a script leaves running is killed, and does not delay the end"""
    example = Example(folder, script("sleep 61.25 &\necho 1 > $out/one\necho 1 > $out/two"), generate=False)
    expect(example.generate(timeout=30))
    expect(harness.run("pgrep", "-f", "sleep 61.25"), 1)


def test_generator_some_files_there_not_made_anew_without(folder):
    """a generator with some of its files there is not made anew without being told to"""
    example = Example(folder)
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
        "`vmcred generate --generator made --regenerate` makes all of them anew\n",
    )
    equal(example.document("one").read_bytes(), before)
    expect(example.generate("--regenerate"), 0, "made for m: generated one, two, three\n", "")


def test_machine_without_key_error_says_how_make(folder):
    """a machine without a key is an error that says how to make one"""
    example = Example(folder, generate=False)
    (folder / "sops/machines/m/key.json").unlink()
    expect(
        example.generate(),
        3,
        "",
        "vmcred: made/one: the machine m has no key: there is no sops/machines/m/key.json: "
        "`vmcred keygen --machine m --output FILE` makes one\n",
    )


def test_clan_list_form_single_form_key_json_both_read(folder):
    """clan's list form and single form of key.json are both read, and another type is named"""
    example = Example(folder, generate=False)
    key = folder / "sops/machines/m/key.json"
    public = re.search("age1[a-z0-9]+", key.read_text()).group()
    key.write_text(f'{{"publickey": "{public}", "type": "age"}}')
    expect(example.generate())
    expect(example.get("one"), 0, None, "")
    key.write_text('[{"publickey": "FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4", "type": "kms"}]')
    expect(
        example.generate("--regenerate"),
        1,
        "",
        'vmcred: made/one: sops/machines/m/key.json: a key of type "kms" is not supported\n',
    )
    key.write_text("<<<<<<< HEAD\n")
    expect(
        example.generate("--regenerate"),
        1,
        "",
        "vmcred: made/one: sops/machines/m/key.json is not valid JSON (line 1, column 1)\n",
    )


def test_shared_generator_sealed_all_machines_below_vars(folder):
    """a shared generator is sealed for all machines, below vars/shared"""
    declaration = DECLARATION.replace("    machines: [m]\n", "    share: true\n", 1)
    example = Example(folder, declaration, generate=False)
    expect(example.generate(), 0, "made (shared): generated one, two\n", "")
    equal(os.readlink(folder / "vars/shared/made/one/machines/m"), "../../../../../sops/machines/m")
    expect(example.get("one"), 0, None, "")


def test_file_not_secret_stored_clear_value(folder):
    """a file that is not secret is stored in the clear as `value`"""
    example = Example(folder, DECLARATION.replace('two: {mode: "0440"}', "two: {secret: false}"))
    equal(example.get("two").out, (folder / "vars/per-machine/m/made/two/value").read_text())


def test_unknown_key_error_file_line_nearest_name(folder):
    """an unknown key is an error with file, line and the nearest name"""
    example = Example(folder)
    example.config.write_text(DECLARATION.replace("credentialFiles", "credentialFile"))
    expect(
        example.generate(),
        2,
        "",
        f'vmcred: {example.config}:15: vms.m: unknown key "credentialFile": did you mean "credentialFiles"?\n',
    )


def test_without_declaration_error_says_where_looked(folder):
    """without a declaration the error says where it was looked for"""
    harness.need_default_paths()
    expect(
        vmcred("generate", cwd=folder),
        2,
        "",
        "vmcred: declaration ./vmcred.yaml or /etc/vmcred/vmcred.yaml not found: create it, or use --config FILE\n",
    )
    expect(
        vmcred("generate", "--config", "nowhere.yaml", cwd=folder),
        2,
        "",
        "vmcred: declaration nowhere.yaml not found: create it, or use --config FILE\n",
    )


def test_unknown_machine_generator_command_option_named(folder):
    """an unknown machine, generator, command and option are named with the nearest known one"""
    example = Example(folder)
    config = example.config
    expect(example.generate("n"), 2, "", f'vmcred: {config} declares no machine "n"\n')
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


def test_every_command_help_text_names_options(_folder):
    """every command has a help text that names its options"""
    listed = expect(vmcred("--help"), 0, None, "").out
    commands = re.findall(r"^  ([a-z]+) ", listed, re.M)
    assert len(commands) >= 8, commands
    for command in commands:
        text = expect(vmcred(command, "--help"), 0, None, "").out
        words = "VERB [FLAG...]" if command == "sops" else "[OPTION...]"
        assert text.startswith(f"Usage: vmcred {command} {words}"), text
        assert "--config FILE" in text


def test_key_file_made_owner_alone_never_replaced(folder):
    """a key file is made for its owner alone and never replaced"""
    example = Example(folder)
    equal(stat.S_IMODE(example.identity.stat().st_mode), 0o600)
    before = example.identity.read_bytes()
    result = vmcred("keygen", "--output", example.identity)
    equal(result.code, 1)
    equal(example.identity.read_bytes(), before)


def test_machine_key_not_replaced_without_force(folder):
    """a machine's other key is not replaced without --force"""
    Example(folder)
    before = (folder / "sops/machines/m/key.json").read_bytes()
    config = ("--config", folder / "vmcred.yaml")
    result = vmcred("keygen", *config, "--machine", "m", "--output", folder / "second")
    expect(
        result,
        1,
        "",
        "vmcred: registering the machine's key: the machine m has another key in sops/machines/m/key.json: "
        "--force replaces it; what is encrypted to the old key must then be encrypted anew\n",
    )
    equal((folder / "sops/machines/m/key.json").read_bytes(), before)
    assert not (folder / "second").exists(), "an identity that belongs to nothing must not stay"
    expect(vmcred("keygen", *config, "--machine", "m", "--output", folder / "second", "--force"), 0, None, "")


harness.main()
