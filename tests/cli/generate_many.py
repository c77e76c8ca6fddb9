# SPDX-License-Identifier: Apache-2.0
"""Many generators at once: what is made, what is told and what is left must be as if there were one after the other."""
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import time

import harness
from example import AS_NOBODY, NOBODY, Example, Fleet, program_for_all
from harness import VMCRED, Skip, equal, expect, need_root, run, test, vmcred

SECRETS = "  secrets: {machines: ALL, files: {a: {}, b: {}, c: {}}, kind: {a: {hex: 16}, b: uuid, c: {base64: 24}}}\n"


def told(names, generator, files, place=""):
    return "".join(f"{generator} {f'for {name}' if name else '(shared)'}: generated {files}\n" for name in names)


def lines(fleet, *generators):
    """One machine after the other, each with the generators in their order."""
    return "".join(told([name], *generator) for name in fleet.machines for generator in generators)


def with_admin(fleet):
    expect(vmcred("keygen", "--output", fleet.folder / "admin"))
    key = run("grep", "-o", "age1.*", fleet.folder / "admin").out.strip()
    expect(vmcred("user", "add", "admin", "--age-key", key, "--config", fleet.config))
    return key


def test_each_many_machines_gets_values_own_encrypted_users(folder):
    """each of many machines gets values of its own, encrypted to it and to the users"""
    fleet = Fleet(folder, 60, SECRETS)
    keys = {with_admin(fleet), json.loads((folder / "sops/machines/m0/key.json").read_text())[0]["publickey"]}
    expect(fleet.generate(), 0, lines(fleet, ("secrets", "a, b, c")), "")
    values = set()
    for machine in fleet.machines:
        for name in "abc":
            document = json.loads(fleet.document(name, "secrets", machine).read_text())
            equal({key["recipient"] for key in document["sops"]["age"]}, keys, f"recipients of {machine} {name}")
            links = fleet.document(name, "secrets", machine).parent
            equal(sorted(path.name for path in links.iterdir()), ["machines", "secret", "users"])
            equal(os.readlink(links / "machines" / machine), f"../../../../../../sops/machines/{machine}")
            assert (links / "machines" / machine).exists() and (links / "users/admin").exists()
        values |= {fleet.value(machine, f"secrets/{name}") for name in "abc"}
    equal(len(values), 180, "different values")
    expect(fleet.generate(), 0, "nothing to do: all declared secrets exist\n", "")
    expect(vmcred("check", "--config", fleet.config), 0, "all 180 files are as declared\n", "")


def test_file_depends_others_made_own_machine_shared_ones(folder):
    """a file that depends on others is made of its own machine's, and of the shared ones"""
    fleet = Fleet(
        folder, 12,
        "  last: {machines: ALL, dependencies: [first, all], files: {it: {}}, script: 'cat $in/first/it $in/all/it > $out/it'}\n"
        "  first: {machines: ALL, files: {it: {}}, kind: {it: {hex: 16}}}\n"
        "  all: {share: true, dependencies: [root], files: {it: {}}, script: 'cat $in/root/it > $out/it; echo all >> $out/it'}\n"
        "  root: {share: true, files: {it: {}}, kind: {it: {hex: 16}}}\n",
    )  # fmt: skip
    made = told([None], "root", "it") + told([None], "all", "it") + lines(fleet, ("first", "it"), ("last", "it"))
    for words in ((), ("--regenerate",)):
        expect(fleet.generate(*words), 0, made, "")
        shared = fleet.value("m0", "all/it")
        equal(shared, fleet.value("m0", "root/it") + "all\n")
        for machine in fleet.machines:
            equal(fleet.value(machine, "last/it"), fleet.value(machine, "first/it") + shared)
    # Now they are in the store, and one of them is made anew.
    before = [fleet.value(machine, "first/it") for machine in fleet.machines]
    expect(fleet.generate("--generator", "last", "--regenerate", "--identity", fleet.identity), 0, lines(fleet, ("last", "it")), "")
    equal([fleet.value(machine, "last/it") for machine in fleet.machines], [value + shared for value in before])


def test_two_machines_generators_run_at_same_time(folder):
    """two machines' generators run at the same time"""
    if len(os.sched_getaffinity(0)) < 2:
        raise Skip("needs two processors")
    # Each waits for the other to be there.
    for name in ("one", "two"):
        os.mkfifo(folder / name)
    here = Example(
        folder,
        "machines: {m: {}}\ngenerators:\n"
        f"  g: {{machines: [m], files: {{it: {{}}}}, script: 'echo x > {folder}/one; cat {folder}/two > $out/it'}}\n"
        f"  h: {{machines: [m], files: {{it: {{}}}}, script: 'cat {folder}/one > $out/it; echo x > {folder}/two'}}\n",
        generate=False,
    )
    expect(here.generate("--no-sandbox", "--script-timeout", "20"), 0, "g for m: generated it\nh for m: generated it\n", "")


def test_lines_come_order_plan_whichever_done_first(folder):
    """lines come in the order of the plan, whichever is done first"""
    fleet = Fleet(
        folder, 10,
        "  slow: {machines: [m0, m4], files: {it: {}}, script: 'sleep 0.7; echo x > $out/it'}\n" + SECRETS,
    )  # fmt: skip
    names = fleet.machines
    expected = (
        told(names[:1], "slow", "it") + told(names[:4], "secrets", "a, b, c")
        + told(names[4:5], "slow", "it") + told(names[4:], "secrets", "a, b, c")
    )  # fmt: skip
    expect(fleet.generate(), 0, expected, "")
    listed = json.loads(expect(fleet.generate("--regenerate", "--json")).out)
    equal("".join(told([made["machine"]], made["generator"], ", ".join(made["files"])) for made in listed), expected)


def made_files(folder):
    """The generators that have all their files, and those that do not."""
    whole, parts = set(), set()
    for path in folder.glob("vars/per-machine/*/*"):
        is_whole = all((path / name / "secret").is_file() and any((path / name / "machines").iterdir())
                       for name in ("a", "b", "c")) if path.name == "secrets" else (path / "it/secret").is_file()
        (whole if is_whole else parts).add(f"{path.name} for {path.parent.name}")
    return whole, parts


def told_ones(text):
    return [line.split(":")[0] for line in text.splitlines()]


def test_several_fail_first_plan_told_all_before_begun_there(folder):
    """of several that fail the first of the plan is told, and all before it and what was begun is there, whole"""
    failing = (
        "  late: {machines: [m3], files: {it: {}}, script: 'sleep 1; echo late; exit 3'}\n"
        "  soon: {machines: [m4], files: {it: {}}, script: 'echo soon; exit 4'}\n"
    )
    fleet = Fleet(folder, 50, failing + SECRETS)
    result = fleet.generate()
    expect(result, 1, err="vmcred: generator late: the script exited with code 3: it printed:\nlate\n")
    ones = told_ones(result.out)
    equal(ones[:3], [f"secrets for m{number}" for number in range(3)])
    equal(ones, sorted(ones, key=lambda one: int(re.search(r"\d+$", one).group())))
    assert len(ones) < 50, "all were made after the failure"
    equal(made_files(folder), (set(ones), set()))
    fleet.config.write_text(fleet.config.read_text().replace("exit 3", "echo x > $out/it").replace("exit 4", "echo x > $out/it"))
    rest = expect(fleet.generate())
    equal(set(told_ones(rest.out)) & set(ones), set())
    equal(len(made_files(folder)[0]), 52)


def test_cannot_put_place_ends_run_rest_made_next(folder):
    """what cannot be put in its place ends the run, and the rest is made by the next one"""
    fleet = Fleet(folder, 30, SECRETS)
    (folder / "vars/per-machine").mkdir(parents=True)
    (folder / "vars/per-machine/m7").symlink_to("/nowhere/m7")
    result = fleet.generate()
    expect(result, 1, err="vmcred: writing vars/per-machine/m7/secrets: opening vars/per-machine/m7: a symbolic link "
           "leads outside the directory: replace the link with a regular file or directory\n")  # fmt: skip
    equal(told_ones(result.out)[:7], [f"secrets for m{number}" for number in range(7)])
    equal(made_files(folder), (set(told_ones(result.out)), set()))
    (folder / "vars/per-machine/m7").unlink()
    expect(fleet.generate())
    equal(len(made_files(folder)[0]), 30)
    equal([path.name for path in folder.iterdir() if path.name.startswith(".")], [])


def test_two_runs_at_same_time_make_each_file_once(folder):
    """two runs at the same time make each file once"""
    fleet = Fleet(folder, 80, SECRETS)
    runs = [
        subprocess.Popen([VMCRED, "generate", "--config", str(fleet.config)], env=harness.CLEAN_ENVIRONMENT, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = sorted(process.communicate()[0].decode() for process in runs)
    equal([process.returncode for process in runs], [0, 0])
    equal(outputs, ["nothing to do: all declared secrets exist\n", lines(fleet, ("secrets", "a, b, c"))])


def test_run_waits_another_lock_says_once_does_work_then(folder):
    """a run that waits for another's lock says so once, and does its work then"""
    fleet = Fleet(folder, 2, SECRETS)
    waits = "vmcred: warning: waiting for another vmcred that is using this store\n"
    for words, out in (
        (("generate",), lines(fleet, ("secrets", "a, b, c"))),
        (("fix",), "nothing to do: all secrets have their declared recipients\n"),
        (("machine", "list"), "".join(f"{name}\n" for name in fleet.machines)),
        (("group", "list"), ""),
    ):
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen([VMCRED, *words, "--config", str(fleet.config)], env=harness.CLEAN_ENVIRONMENT,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # fmt: skip
            said = select.select([process.stderr], [], [], 60)[0] and process.stderr.readline().decode()
            is_over = process.poll()
            os.close(lock)
            told_out, told_err = process.communicate()
        equal((said, is_over), (waits, None))
        equal((process.returncode, told_out.decode(), told_err.decode()), (0, out, ""))


def test_where_no_thread_may_started_same_made_after(folder):
    """where no thread may be started the same is made, one after the other"""
    need_root()
    fleet = Fleet(folder, 20, SECRETS)
    run("chown", "-R", f"{NOBODY}:{NOBODY}", folder)
    # Of processes and threads of the user there may be one: this.
    alone = ("prlimit", "--nproc=1:1", program_for_all(folder), "generate", "--config", fleet.config)
    # What looks for leaks is a thread, too.
    environment = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}
    expect(run(*AS_NOBODY, *alone, env=environment), 0, lines(fleet, ("secrets", "a, b, c")), "")
    equal(len(made_files(folder)[0]), 20)


def test_machine_named_twice_made_once(folder):
    """a machine that is named twice is made once"""
    fleet = Fleet(folder, 3, SECRETS)
    expect(fleet.generate("m1", "m0", "m1"), 0, told(["m1", "m0"], "secrets", "a, b, c"), "")


def test_prompt_asked_before_anything_made_only_where_needed(folder):
    """a prompt is asked before anything is made, and only where it is needed"""
    prompted = "  asked: {machines: [m9], prompts: {word: {}}, files: {it: {}}, script: 'cat $prompts/word > $out/it'}\n"
    fleet = Fleet(folder, 10, SECRETS + prompted)
    no_terminal = ("setsid", "--wait", VMCRED, "generate", "--config", fleet.config)
    expect(run(*no_terminal), 1, "", "vmcred: asking for asked/word: no terminal to ask on: "
           "answer it with --prompt asked/word=@FILE\n")  # fmt: skip
    equal(list(folder.glob("vars/*/*/*")), [])
    expect(fleet.generate("--prompt", "word=@-", stdin="hello"))
    equal(fleet.value("m9", "asked/it"), "hello")
    for number in (3, 9):
        run("rm", "-r", folder / f"vars/per-machine/m{number}/secrets")
    expect(run(*no_terminal), 0, told(["m3", "m9"], "secrets", "a, b, c"), "")


def interrupted(sentence, number):
    @test(sentence)
    def test_case(folder):
        fleet = Fleet(folder, 3000, SECRETS)
        with subprocess.Popen([VMCRED, "generate", "--config", str(fleet.config)], env=harness.CLEAN_ENVIRONMENT,
                              stdout=subprocess.DEVNULL) as process:  # fmt: skip
            while process.poll() is None and not list(folder.glob("vars/per-machine/*/secrets")):
                time.sleep(0.005)
            process.send_signal(number)
            equal(process.wait(), -number, "how it ended")
        whole, parts = made_files(folder)
        assert whole and len(whole) < 3000, len(whole)
        equal(parts, set())
        for one in sorted(whole)[:20]:
            fleet.value(one.split()[-1], "secrets/c")
        result = expect(fleet.generate())
        equal(set(told_ones(result.out)) & whole, set())
        equal(len(made_files(folder)[0]), 3000)
        equal([path.name for path in folder.iterdir() if path.name.startswith(".")], [])


interrupted("a kill -9 in the middle leaves whole generators alone, and the next run makes the others", signal.SIGKILL)
interrupted("Ctrl-C in the middle leaves whole generators alone, and the next run makes the others", signal.SIGINT)

harness.main()
