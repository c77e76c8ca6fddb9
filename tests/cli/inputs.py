# SPDX-License-Identifier: Apache-2.0
"""The inputs of generators: dependencies, prompts and `validation`."""
import hashlib
import json
import os
import pty
import signal
import subprocess

import harness
from example import Example
from harness import VMCRED, equal, expect, fails, run, succeeds, test, vmcred
from terminal import read_to_end, run_at_terminal


def declaration(generators, machines="{m: {}}"):
    text = f"machines: {machines}\ngenerators:\n"
    for name, lines in generators.items():
        text += f"  {name}:\n" + "".join(f"    {line}\n" for line in lines.splitlines())
    return text


def public_key(here):
    return [line.split()[-1] for line in here.identity.read_text().splitlines() if "public key" in line][0]


def scripted(text, more="machines: [m]\nfiles: {it: {}}"):
    return more + "\nscript: |\n" + "".join(f"  {line}\n" for line in text.splitlines())


CHAIN = declaration(
    {
        "third": scripted("cat $in/second/it $in/first/it > $out/it", "machines: [m]\nfiles: {it: {}}\ndependencies: [second, first]"),
        "second": scripted("cat $in/first/it > $out/it; echo second >> $out/it", "machines: [m]\nfiles: {it: {}}\ndependencies: [first]"),
        "first": scripted("echo first > $out/it; echo extra > $out/open", "share: true\nfiles: {it: {}, open: {secret: false}}"),
    }
)  # fmt: skip


def test_generator_sees_files_of_its_dependencies(directory):
    """a generator sees its dependencies' files, whatever the order of the declaration"""
    here = Example(directory, CHAIN, generate=False)
    expect(
        here.generate(), 0, "first (shared): generated it, open\nsecond for m: generated it\nthird for m: generated it\n", ""
    )
    expect(here.get("it", generator="third"), 0, "first\nsecond\nfirst\n", "")
    succeeds(here.generate(), "nothing to do")


def test_dependents_are_regenerated(directory):
    """dependents of a generator are regenerated with it, and --json has the reason"""
    here = Example(directory, CHAIN, generate=False)
    expect(here.generate())
    result = expect(here.generate("--generator", "first", "--regenerate", "--dry-run", "--json"), 0, None, "")
    reasons = [word for word in result.out.split('"') if word in ("regenerate", "dependency", "missing")]
    equal(reasons, ["regenerate", "dependency", "dependency"])


def test_stored_dependency_is_decrypted_with_identity(directory):
    """a stored dependency is decrypted with --identity"""
    here = Example(directory, CHAIN, generate=False)
    expect(here.generate())
    expect(
        here.generate("--generator", "second", "--regenerate", "--identity", here.identity),
        0, "second for m: generated it\nthird for m: generated it\n", "",
    )  # fmt: skip
    result = here.generate("--generator", "second", "--regenerate", "--identity", directory / "nowhere")
    fails(result, 3, "dependencies of the generator second", directory / "nowhere", "--identity")


def test_duplicate_dependency_counts_once(directory):
    """a duplicate dependency counts once; public and undeployed files are visible"""
    here = Example(
        directory,
        declaration({
            "g": scripted("cat $in/dep/open $in/dep/kept > $out/it; ls $in $in/dep >> $out/it",
                          "machines: [m]\nfiles: {it: {}}\ndependencies: [dep, dep]"),
            "dep": scripted("echo open > $out/open; echo kept > $out/kept",
                            "share: true\nfiles: {open: {secret: false}, kept: {deploy: false}}"),
        }),
        generate=False,
    )  # fmt: skip
    expect(vmcred("user", "add", "--config", here.config, "me", "--age-key", public_key(here)))
    expect(here.generate(), 0, "dep (shared): generated open, kept\ng for m: generated it\n", "")
    text = "open\nkept\n/tmp/in:\ndep\n\n/tmp/in/dep:\nkept\nopen\n"
    expect(here.get("it", generator="g"), 0, text, "")
    # From the store as well.
    expect(here.generate("--generator", "g", "--regenerate", "--identity", here.identity), 0, "g for m: generated it\n", "")
    expect(here.get("it", generator="g"), 0, text, "")


def test_generator_generates_missing_dependencies_first(directory):
    """--generator generates missing dependencies first"""
    here = Example(directory, CHAIN, generate=False)
    expect(here.generate("--generator", "second"), 0,
           "first (shared): generated it, open\nsecond for m: generated it\nthird for m: generated it\n", "")  # fmt: skip


def rejected(sentence, generators, message, machines="{m: {}}"):
    @test(sentence)
    def test_rejected(directory):
        (directory / "vmcred.yaml").write_text(declaration(generators, machines))
        expect(vmcred("generate", cwd=directory), 2, "", f"vmcred: vmcred.yaml:{message}\n")
        equal([path.name for path in directory.iterdir()], ["vmcred.yaml"])


KIND = "machines: [m]\nfiles: {it: {}}\nkind: {it: {hex: 4}}\n"

rejected(
    "a dependency cycle is shown in full",
    {name: KIND + f"dependencies: [{other}]" for name, other in (("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"))},
    "8: dependency cycle: b -> c -> d -> b",
)
rejected("a generator cannot depend on itself", {"a": KIND + "dependencies: [a]"},
         "3: dependency cycle: a -> a")  # fmt: skip
rejected("a dependency must be declared", {"first": KIND, "b": KIND + "dependencies: [frist]"},
         '7: generators.b: undeclared dependency "frist": did you mean "first"?')  # fmt: skip
rejected(
    "a shared generator cannot depend on one machine's",
    {"a": KIND, "b": "share: true\nfiles: {it: {}}\nkind: {it: uuid}\ndependencies: [a]"},
    '7: generators.b: a shared generator cannot depend on an unshared one, "a"',
)
rejected(
    "a dependency must be for all machines of the generator",
    {"a": KIND, "b": "machines: [m, n]\nfiles: {it: {}}\nkind: {it: uuid}\ndependencies: [a]"},
    '7: generators.b: missing machines in the dependency "a": add n to its machines',
    "{m: {}, n: {}}",
)

VALIDATED = scripted("echo once >> $out/it", "machines: [m]\nfiles: {it: {}}\nvalidation: {b: 1, a: [x, true, null], t: '1'}")


def test_changed_validation_regenerates_files(directory):
    """a change of `validation` regenerates the files, with a warning"""
    here = Example(directory, declaration({"g": VALIDATED}), generate=False)
    expect(here.generate())
    stored = directory / "vars/per-machine/m/g/.validation-hash"
    # What Nix computes: builtins.hashString "sha256" (builtins.toJSON validation)
    equal(stored.read_text(), run("sha256sum", stdin='{"a":["x",true,null],"b":1,"t":"1"}').out.split()[0])
    succeeds(here.generate(), "nothing to do")
    here.config.write_text(here.config.read_text().replace("b: 1", "b: 2"))
    warning = "vmcred: warning: g for m: regenerating its files because its validation has changed\n"
    expect(here.generate("--dry-run"), 0, "g for m: would generate it\n", warning)
    expect(here.generate(), 0, "g for m: generated it\n", warning)
    succeeds(here.generate(), "nothing to do")
    here.config.write_text("\n".join(line for line in here.config.read_text().splitlines() if "validation" not in line))
    expect(here.generate(), 0, "g for m: generated it\n", warning)
    assert not stored.exists()


for value in (
    "text", "", True, False, 0, -7, 9223372036854775807, {}, {"b": 1, "a": {"é": "ü\U0001f600", "Z": False, "": "x"}},
    {"a": "\x01\x1b\x1f\x7f\x80\u2028\t\n\r\b\f\"\\/", "1": "1", "true": True},
):  # fmt: skip

    @test(f"the hash of the validation {json.dumps(value)} is that of Nix's toJSON")
    def test_validation_hash(directory, value=value):
        here = Example(directory, declaration({"g": KIND + f"validation: {json.dumps(value)}"}), generate=False)
        expect(here.generate())
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        stored = (directory / "vars/per-machine/m/g/.validation-hash").read_text()
        equal(stored, hashlib.sha256(text.encode()).hexdigest())
        result = expect(vmcred("check", "--config", here.config), 0, None, "")
        here.config.write_text(here.config.read_text().replace("validation:", "validation: {x: 1} #"))
        result = vmcred("check", "--config", here.config)
        equal((result.code, result.out), (3, "m g/it is outdated: its validation changed\n"))


PROMPTED = declaration(
    {
        "g": scripted(
            "cp $prompts/name $out/it; cp $prompts/pass $out/pass",
            "machines: [m, n]\nfiles: {it: {}, pass: {}}\nprompts:\n  name: {description: Your name}\n"
            "  pass: {type: hidden}\n  note: {type: multiline, persist: true}",
        )
    },
    "{m: {}, n: {}}",
)


def prompted(directory):
    here = Example(directory, PROMPTED, generate=False)
    expect(vmcred("keygen", "--config", here.config, "--machine", "n", "--output", directory / "n"))
    return here


def test_files_answer_prompts(directory):
    """files answer prompts, and a persisted answer is stored"""
    here = prompted(directory)
    (directory / "pass").write_text("hunter2\n")
    (directory / "note").write_text("two\nlines\n")
    words = ("--prompt", f"g/pass=@{directory}/pass", "--prompt", f"note=@{directory}/note", "--prompt", "name=@-")
    expect(here.generate(*words, stdin="Ada"), 0,
           "g for m: generated it, pass, note\ng for n: generated it, pass, note\n", "")  # fmt: skip
    equal([here.get(file, generator="g").out for file in ("it", "pass", "note")], ["Ada", "hunter2", "two\nlines\n"])


def test_answer_on_the_command_line_is_an_error(directory):
    """an answer on the command line is an error that does not repeat it"""
    here = prompted(directory)
    expect(
        here.generate("--prompt", "pass=hunter2"), 2, "",
        "vmcred: --prompt pass must be NAME=@FILE or NAME=@-: an answer on the command line is visible to all users of "
        "this host\n",
    )  # fmt: skip
    expect(here.generate("--prompt", "pas=@x"), 2, "", f'vmcred: {here.config} does not declare the prompt "pas"\n')


TWO = declaration(
    {
        name: scripted("cat $prompts/pass > $out/it", "machines: [m]\nfiles: {it: {}}\nprompts:\n  pass: {type: hidden}")
        for name in ("g", "h")
    }
)


def test_answer_from_a_pipe(directory):
    """an answer from a pipe is used for all prompts of that name; one for a generator has precedence"""
    here = Example(directory, TWO, generate=False)
    made = "g for m: generated it\nh for m: generated it\n"
    expect(here.generate("--prompt", "pass=@-", stdin="hunter2"), 0, made, "")
    equal([here.get("it", generator=name).out for name in "gh"], ["hunter2", "hunter2"])
    os.mkfifo(directory / "fifo")
    with subprocess.Popen(["sh", "-c", f"printf hunter3 > {directory}/fifo"]) as writer:
        expect(here.generate("--regenerate", "--all", "--prompt", f"pass=@{directory}/fifo"), 0, made, "")
        equal(writer.wait(), 0)
    equal([here.get("it", generator=name).out for name in "gh"], ["hunter3", "hunter3"])
    (directory / "for-h").write_text("hunter4\n")
    expect(here.generate("--regenerate", "--all", "--prompt", "pass=@-", "--prompt", f"h/pass=@{directory}/for-h", stdin="hunter5"), 0, made, "")
    equal([here.get("it", generator=name).out for name in "gh"], ["hunter5", "hunter4"])


def test_duplicate_answers_are_errors(directory):
    """a duplicate answer, and two answers from standard input, are errors"""
    here = Example(directory, TWO, generate=False)
    expect(here.generate("--prompt", "pass=@a", "--prompt", "pass=@b"), 2, "", "vmcred: duplicate --prompt pass\n")
    expect(here.generate("--prompt", "g/pass=@-", "--prompt", "h/pass=@-"), 2, "",
           "vmcred: standard input can answer one --prompt, not both g/pass and h/pass\n")  # fmt: skip


KEPT = declaration(
    {
        "g": scripted("cat $prompts/name $in/dep/it > $out/it",
                      "machines: [m, n]\nfiles: {it: {}}\ndependencies: [dep]\nprompts: {name: {persist: true}}"),
        "dep": scripted("echo dep > $out/it", "share: true\nfiles: {it: {}}"),
    },
    "{m: {}, n: {}}",
)  # fmt: skip


def test_stored_answer_is_used_again(directory):
    """a stored answer is not asked for again, unless new files are requested"""
    here = Example(directory, KEPT, generate=False)
    # Both machines have the same key, which can decrypt all secrets to regenerate them.
    expect(vmcred("machine", "add", "--config", here.config, "n", "--age-key", public_key(here)))
    (directory / "name").write_text("Ada")
    answer = ("--prompt", f"name=@{directory}/name")
    expect(here.generate(*answer))
    # Each machine keeps its own.
    expect(vmcred("set", "--config", here.config, "--identity", here.identity, "n", "g/name", stdin="Eve"))
    both = "dep (shared): generated it\ng for m: generated it, name\ng for n: generated it, name\n"
    again = ("--generator", "dep", "--regenerate", "--identity", here.identity)
    expect(run("setsid", "--wait", VMCRED, "generate", "--config", here.config, *again), 0, both, "")
    for machine, name in ("m", "Ada"), ("n", "Eve"):
        for file, text in ("name", name), ("it", f"{name}dep\n"):
            expect(vmcred("get", "--config", here.config, "--identity", here.identity, machine, f"g/{file}"), 0, text, "")
    (directory / "name").write_text("Bob")
    expect(here.generate(*again, *answer), 0, both, "")
    expect(here.get("it", generator="g"), 0, "Bobdep\n", "")
    result = run("setsid", "--wait", VMCRED, "generate", "--config", here.config, "--generator", "g", "--regenerate",
                 "--identity", here.identity)  # fmt: skip
    fails(result, 1, "g/name", "terminal", "--prompt")
    result = here.generate("--generator", "dep", "--regenerate", "--identity", directory / "nowhere")
    fails(result, 3, "the stored answer to g/name", directory / "nowhere", "--prompt g/name=@FILE gives a new one\n")


def test_prompt_without_a_terminal_generates_nothing(directory):
    """without a terminal or an answer nothing is generated"""
    here = prompted(directory)
    result = run("setsid", "--wait", VMCRED, "generate", "--config", here.config)
    expect(result, 1, "", 'vmcred: asking for g/name: no terminal to ask on: '
           "answer it with --prompt g/name=@FILE\n")  # fmt: skip
    assert not list(directory.glob("vars/per-machine/*/*"))


def at_terminal(command, conversation):
    """Runs a command on its own terminal; each step waits for a text and types an answer."""
    pid, fd = pty.fork()
    if pid == 0:
        signal.alarm(60)  # kept over the exec: ends a conversation that hangs
        os.execvpe(str(command[0]), [str(word) for word in command], harness.CLEAN_ENVIRONMENT)
    seen = b""
    for wait_for, typed in conversation:
        while wait_for not in seen:
            seen += os.read(fd, 4096)
        seen = seen.split(wait_for, 1)[1]
        os.write(fd, typed)
    rest = seen + read_to_end(fd)
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), rest


def test_prompt_is_asked_once_for_all_machines(directory):
    """on a terminal each prompt is asked once for all machines, and a hidden answer is not shown"""
    here = prompted(directory)
    code, rest = at_terminal(
        [VMCRED, "generate", "--config", here.config],
        [
            (b"g/name, Your name: ", b"Ada\n"),
            (b"g/pass (hidden): ", b"hunter2\n"),
            (b"Again: g/pass (hidden): ", b"hunter3\n"),
            (b"the answers differ", b""),
            (b"g/pass (hidden): ", b"hunter2\n"),
            (b"Again: g/pass (hidden): ", b"hunter2\n"),
            (b"g/note (end with Ctrl-D): ", b"two\nlines\n\x04"),
        ],
    )
    equal(code, 0, rest)
    assert b"hunter" not in rest, rest
    assert b"g for n: generated it, pass, note" in rest, rest
    equal([here.get(file, generator="g").out for file in ("it", "pass", "note")], ["Ada", "hunter2", "two\nlines\n"])


def test_control_characters_of_a_prompt(directory):
    """control characters of a prompt's description are visible on the terminal"""
    here = prompted(directory)
    here.config.write_text(here.config.read_text().replace("Your name", r'"Your\e[2J\x9b\u202e name"'))
    code, rest = at_terminal(
        [VMCRED, "generate", "--config", here.config], [(rb"g/name, Your\u001b[2J\u009b\u202e name: ", b"\x04")]
    )
    equal(code, 1, rest)


def test_editing_an_answer_on_a_terminal(directory):
    """on a terminal, editing, non-ASCII letters and empty answers work"""
    here = prompted(directory)
    code, rest = at_terminal(
        [VMCRED, "generate", "--config", here.config],
        [
            (b"g/name, Your name: ", b"Adxx\x7f\x7fa \xc3\xa9\xe2\x82\xac\n"),
            (b"g/pass (hidden): ", b"oops\x15hunterx\x7f2 \xc3\xa4\n"),
            (b"Again: g/pass (hidden): ", b"hunter2 \xc3\xa4\n"),
            (b"g/note (end with Ctrl-D): ", b"\x04"),
        ],
    )
    equal(code, 0, rest)
    equal([here.get(file, generator="g").out for file in ("it", "pass", "note")], ["Ada é€", "hunter2 ä", ""])


def test_answers_that_are_typed_ahead(directory):
    """answers that are typed before the questions appear are used, hidden ones and the value of `vmcred set` too"""
    here = prompted(directory)
    answers = ["Ada", "hunter2", "hunter2", "two", "lines", "\x04"]
    done = run_at_terminal(VMCRED, "generate", "--config", here.config, answers=answers)
    equal((done.code, done.err), (0, ""))
    equal([here.get(file, generator="g").out for file in ("it", "pass", "note")], ["Ada", "hunter2", "two\nlines\n"])
    words = ["set", "--config", here.config, "--identity", here.identity, "m", "g/pass"]
    done = run_at_terminal(VMCRED, *words, stdin=None, answers=["hunter4", "hunter4"])
    equal((done.code, done.err), (0, ""))
    equal(here.get("pass", generator="g").out, "hunter4")


def test_ctrl_d_ends_the_run(directory):
    """Ctrl-D without an answer ends the run, and nothing is generated"""
    here = prompted(directory)
    code, rest = at_terminal([VMCRED, "generate", "--config", here.config], [(b"g/name, Your name: ", b"\x04")])
    equal(code, 1)
    assert b"asking for g/name: no answer given" in rest, rest
    assert not list(directory.glob("vars/per-machine/*/*"))


def test_ctrl_c_leaves_the_terminal_echo_on(directory):
    """Ctrl-C at a hidden prompt ends the run and leaves the terminal's echo on"""
    here = prompted(directory)
    script = f"{VMCRED} generate --config {here.config}; echo code $?; stty -a | grep -o -- '-\\?echo ' "
    code, rest = at_terminal(
        ["sh", "-c", script], [(b"name, Your name: ", b"Ada\n"), (b"pass (hidden): ", b"hunter2\x03\n")]
    )
    equal(code, 0)
    assert b"code 1\r\necho" in rest and b'asking for g/pass: no answer given' in rest, rest
    assert b"hunter" not in rest, rest
    assert not list(directory.glob("vars/per-machine/*/*"))


def test_sigterm_ends_a_hidden_prompt(directory):
    """SIGTERM at a hidden prompt ends the run at once and leaves the terminal's echo on"""
    here = prompted(directory)
    script = f"timeout --foreground 5 {VMCRED} generate --config {here.config}; echo code $?; stty -a | grep -o -- '-\\?echo '"
    code, rest = at_terminal(["sh", "-c", script], [(b"name, Your name: ", b"Ada\n"), (b"pass (hidden): ", b"hunt")])
    equal(code, 0, rest)
    assert b"code 124\r\necho" in rest and b"hunt" not in rest, rest
    assert not list(directory.glob("vars/per-machine/*/*"))


harness.main()
