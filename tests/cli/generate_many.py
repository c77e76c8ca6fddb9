# SPDX-License-Identifier: Apache-2.0
"""Many generators at once: results, output and errors are those of one generator after another."""
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
import time

import harness
from example import AS_NOBODY, NOBODY, Example, Fleet, by_script, program_for_all
from harness import VMCRED, Skip, equal, expect, fails, need, need_root, run, succeeds, test, vmcred
from vm import wait_for

SECRETS = "  secrets: {machines: ALL, files: {a: {}, b: {}, c: {}}, kind: {a: {hex: 16}, b: uuid, c: {base64: 24}}}\n"


def told(names, generator, files, place=""):
    return "".join(f"{generator} {f'for {name}' if name else '(shared)'}: generated {files}\n" for name in names)


def lines(fleet, *generators):
    """Machine by machine, each with the generators in order."""
    return "".join(told([name], *generator) for name in fleet.machines for generator in generators)


def with_admin(fleet):
    expect(vmcred("keygen", "--output", fleet.directory / "admin"))
    key = run("grep", "-o", "age1.*", fleet.directory / "admin").out.strip()
    expect(vmcred("user", "add", "admin", "--age-key", key, "--config", fleet.config))
    return key


def test_each_machine_gets_its_own_values(directory):
    """each of many machines gets its own values, encrypted to it and to the users"""
    fleet = Fleet(directory, 60, SECRETS)
    keys = {with_admin(fleet), json.loads((directory / "sops/machines/m0/key.json").read_text())[0]["publickey"]}
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
    succeeds(fleet.generate(), "nothing to do")
    succeeds(vmcred("check", "--config", fleet.config), "all 180 files")


def test_dependent_file_of_each_machine(directory):
    """a dependent file is generated from its machine's files and the shared ones"""
    fleet = Fleet(
        directory, 12,
        "  last: {machines: ALL, dependencies: [first, all], files: {it: {}}, script: 'cat $in/first/it $in/all/it > $out/it'}\n"
        "  first: {machines: ALL, files: {it: {}}, kind: {it: {hex: 16}}}\n"
        "  all: {share: true, dependencies: [root], files: {it: {}}, script: 'cat $in/root/it > $out/it; echo all >> $out/it'}\n"
        "  root: {share: true, files: {it: {}}, kind: {it: {hex: 16}}}\n",
    )  # fmt: skip
    made = told([None], "root", "it") + told([None], "all", "it") + lines(fleet, ("first", "it"), ("last", "it"))
    for words in ((), ("--regenerate", "--all")):
        expect(fleet.generate(*words), 0, made, "")
        shared = fleet.value("m0", "all/it")
        equal(shared, fleet.value("m0", "root/it") + "all\n")
        for machine in fleet.machines:
            equal(fleet.value(machine, "last/it"), fleet.value(machine, "first/it") + shared)
    # Now they are in the store, and one of them is regenerated.
    before = [fleet.value(machine, "first/it") for machine in fleet.machines]
    expect(fleet.generate("--generator", "last", "--regenerate", "--identity", fleet.identity), 0, lines(fleet, ("last", "it")), "")
    equal([fleet.value(machine, "last/it") for machine in fleet.machines], [value + shared for value in before])


def test_generators_run_at_the_same_time(directory):
    """two machines' generators run at the same time"""
    if len(os.sched_getaffinity(0)) < 2:
        raise Skip("needs two processors")
    # Each waits for the other to be there.
    for name in ("one", "two"):
        os.mkfifo(directory / name)
    here = Example(
        directory,
        "machines: {m: {}}\ngenerators:\n"
        f"  g: {{machines: [m], files: {{it: {{}}}}, script: 'echo x > {directory}/one; cat {directory}/two > $out/it'}}\n"
        f"  h: {{machines: [m], files: {{it: {{}}}}, script: 'cat {directory}/one > $out/it; echo x > {directory}/two'}}\n",
        generate=False,
    )
    expect(here.generate("--no-sandbox", "--script-timeout", "60"), 0, "g for m: generated it\nh for m: generated it\n", "")


def test_lines_are_in_the_order_of_the_plan(directory):
    """lines are in the order of the plan, whichever job ends first"""
    fleet = Fleet(
        directory, 10,
        "  slow: {machines: [m0, m4], files: {it: {}}, script: 'sleep 0.7; echo x > $out/it'}\n" + SECRETS,
    )  # fmt: skip
    names = fleet.machines
    expected = (
        told(names[:1], "slow", "it") + told(names[:4], "secrets", "a, b, c")
        + told(names[4:5], "slow", "it") + told(names[4:], "secrets", "a, b, c")
    )  # fmt: skip
    expect(fleet.generate(), 0, expected, "")
    listed = json.loads(expect(fleet.generate("--regenerate", "--all", "--json")).out)
    equal("".join(told([made["machine"]], made["generator"], ", ".join(made["files"])) for made in listed), expected)


def made_files(directory):
    """Complete generators, and incomplete ones."""
    whole, parts = set(), set()
    for path in directory.glob("vars/per-machine/*/*"):
        is_whole = all((path / name / "secret").is_file() and any((path / name / "machines").iterdir())
                       for name in ("a", "b", "c")) if path.name == "secrets" else (path / "it/secret").is_file()
        (whole if is_whole else parts).add(f"{path.name} for {path.parent.name}")
    return whole, parts


def told_ones(text):
    return [line.split(":")[0] for line in text.splitlines()]


def test_first_failure_in_the_plan_is_reported(directory):
    """of several failures the first in the plan is reported; earlier and running generators are complete"""
    failing = (
        "  late: {machines: [m3], files: {it: {}}, script: 'sleep 1; echo late; exit 3'}\n"
        "  soon: {machines: [m4], files: {it: {}}, script: 'echo soon; exit 4'}\n"
    )
    fleet = Fleet(directory, 50, failing + SECRETS)
    result = fleet.generate()
    expect(result, 1, err="vmcred: generator late: the script exited with code 3: it printed:\nlate\n")
    ones = told_ones(result.out)
    equal(ones[:3], [f"secrets for m{number}" for number in range(3)])
    equal(ones, sorted(ones, key=lambda one: int(re.search(r"\d+$", one).group())))
    assert len(ones) < 50, "all were made after the failure"
    equal(made_files(directory), (set(ones), set()))
    fleet.config.write_text(fleet.config.read_text().replace("exit 3", "echo x > $out/it").replace("exit 4", "echo x > $out/it"))
    rest = expect(fleet.generate())
    equal(set(told_ones(rest.out)) & set(ones), set())
    equal(len(made_files(directory)[0]), 52)


def test_failure_to_publish_ends_the_run(directory):
    """a failure to publish ends the run, and the next run generates the rest"""
    fleet = Fleet(directory, 30, SECRETS)
    (directory / "vars/per-machine").mkdir(parents=True)
    (directory / "vars/per-machine/m7").symlink_to("/nowhere/m7")
    result = fleet.generate()
    equal((result.code, result.err.count("\n"), "vars/per-machine/m7" in result.err), (1, 1, True), result.err)
    equal(told_ones(result.out)[:7], [f"secrets for m{number}" for number in range(7)])
    equal(made_files(directory), (set(told_ones(result.out)), set()))
    (directory / "vars/per-machine/m7").unlink()
    expect(fleet.generate())
    equal(len(made_files(directory)[0]), 30)
    equal([path.name for path in directory.iterdir() if path.name.startswith(".")], [])


def test_simultaneous_runs_generate_each_file_once(directory):
    """two runs at the same time generate each file once"""
    fleet = Fleet(directory, 80, SECRETS)
    runs = [
        subprocess.Popen([VMCRED, "generate", "--config", str(fleet.config)], env=harness.CLEAN_ENVIRONMENT, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = sorted(process.communicate()[0].decode() for process in runs)
    equal([process.returncode for process in runs], [0, 0])
    assert outputs[0].startswith("nothing to do: "), outputs[0]
    equal(outputs[1], lines(fleet, ("secrets", "a, b, c")))


def test_waiting_for_the_lock_is_reported_once(directory):
    """a run that waits for the lock reports it once, then works"""
    fleet = Fleet(directory, 2, SECRETS)
    waits = "vmcred: warning: waiting for another vmcred that is using this store\n"
    for words, out in (
        (("generate",), lines(fleet, ("secrets", "a, b, c"))),
        (("fix",), None),
        (("machine", "list"), "".join(f"{name}\n" for name in fleet.machines)),
        (("group", "list"), ""),
    ):
        lock = os.open(directory / ".vmcred.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen([VMCRED, *words, "--config", str(fleet.config)], env=harness.CLEAN_ENVIRONMENT,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # fmt: skip
            said = select.select([process.stderr], [], [], 60)[0] and process.stderr.readline().decode()
            is_over = process.poll()
            os.close(lock)
            told_out, told_err = process.communicate()
        equal((said, is_over), (waits, None))
        equal((process.returncode, told_err.decode()), (0, ""))
        equal(told_out.decode() if out is not None else None, out)


HOLD = """
import fcntl, os, sys, time
for path in sys.argv[1:]:
    fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(600)
"""


def test_reader_cannot_hold_the_lock(directory):
    """a user who can only read the store or the generations cannot block those who write there"""
    need_root()
    directory.chmod(0o755)
    here = Example(directory)
    expect(here.activate())
    # The group of this directory can list it, as `keys` on NixOS.
    generations = here.root / "run/secrets.d"
    command = ["setpriv", f"--reuid={NOBODY}", "--regid=0", "--clear-groups", sys.executable, "-c", HOLD, directory, generations]
    with subprocess.Popen(command, env=harness.CLEAN_ENVIRONMENT, stdout=subprocess.PIPE) as holder:
        try:
            equal(holder.stdout.readline(), b"locked\n")
            options = {"timeout": 60, "stdin": "new"}
            expect(here.generate("--regenerate", "--all", **options), 0, None, "")
            for command in ("set", "m", "made/one"), ("fix", "--identity", here.identity), ("group", "list"):
                expect(vmcred(command[0], "--config", here.config, *command[1:], **options), 0, None, "")
            expect(here.activate(timeout=60), 0, None, "")
        finally:
            holder.kill()
    equal([path for path in directory.rglob("*.lock")], [])


def test_lock_file_is_private(directory):
    """only those who can write to the store can open its lock file, and the next run removes that of a killed one"""
    here = Example(directory, by_script("sleep 75.5"), generate=False)
    lock = directory / ".vmcred.lock"
    for mode, expected in (0o755, 0o600), (0o775, 0o660), (0o777, 0o666):
        directory.chmod(mode)
        with subprocess.Popen([VMCRED, "generate", "--config", str(here.config)], env=harness.CLEAN_ENVIRONMENT) as process:
            wait_for("the script", lambda: run("pgrep", "-f", "sleep 75.5").code == 0)
            equal(oct(lock.stat().st_mode & 0o777), oct(expected))
            process.kill()
        # It is not the next run's.
        wait_for("the script's end", lambda: run("pgrep", "-f", "sleep 75.5").code == 1)
        assert lock.exists()
        expect(vmcred("machine", "list", "--config", here.config), 0, "m\n", "")
        assert not lock.exists()
    lock.symlink_to(directory / "elsewhere")
    fails(vmcred("machine", "list", "--config", here.config), 1, "the store", ".vmcred.lock")
    assert not (directory / "elsewhere").exists()


def test_script_ends_with_vmcred(directory):
    """a script ends with vmcred, even if that is killed while the sandbox is starting"""
    need("strace")
    here = Example(directory, by_script("sleep 75.25"), generate=False)
    # The first one of each process is PR_SET_PDEATHSIG.
    slow = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=prctl", "-e", "inject=prctl:delay_enter=2000000:when=1")

    def sandboxes():
        return run("pgrep", "-f", "vmcred-sandbox .*sleep 75.25").out.split()

    with subprocess.Popen([*slow, VMCRED, "generate", "--config", str(here.config)], env=harness.CLEAN_ENVIRONMENT) as process:
        wait_for("the sandbox's second process", lambda: len(sandboxes()) == 2)
        equal(run("pkill", "-KILL", "-P", str(process.pid)).code, 0)
        wait_for("the script's end", lambda: run("pgrep", "-f", "sleep 75.25").code == 1)


def test_unwritable_store_is_not_locked(directory):
    """a user who can read the store lists its members"""
    need_root()
    here = Example(directory)
    program = program_for_all(directory)
    expect(run(*AS_NOBODY, program, "machine", "list", "--config", here.config), 0, "m\n", "")
    fails(run(*AS_NOBODY, program, "generate", "--regenerate", "--all", "--config", here.config), 1, "Permission denied")


def test_results_are_the_same_without_threads(directory):
    """without threads the results are the same"""
    need_root()
    fleet = Fleet(directory, 20, SECRETS)
    run("chown", "-R", f"{NOBODY}:{NOBODY}", directory)
    # Of processes and threads of the user there may be one: this.
    alone = ("prlimit", "--nproc=1:1", program_for_all(directory), "generate", "--config", fleet.config)
    # What looks for leaks is a thread, too.
    environment = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}
    expect(run(*AS_NOBODY, *alone, env=environment), 0, lines(fleet, ("secrets", "a, b, c")), "")
    equal(len(made_files(directory)[0]), 20)


def test_duplicate_machine_is_processed_once(directory):
    """a machine that is given twice is processed once"""
    fleet = Fleet(directory, 3, SECRETS)
    expect(fleet.generate("m1", "m0", "m1"), 0, told(["m1", "m0"], "secrets", "a, b, c"), "")


def test_prompts_are_asked_first_and_only_if_needed(directory):
    """prompts are asked before anything is generated, and only if needed"""
    prompted = "  asked: {machines: [m9], prompts: {word: {}}, files: {it: {}}, script: 'cat $prompts/word > $out/it'}\n"
    fleet = Fleet(directory, 10, SECRETS + prompted)
    no_terminal = ("setsid", "--wait", VMCRED, "generate", "--config", fleet.config)
    fails(run(*no_terminal), 1, "asked/word", "terminal", "--prompt")
    equal(list(directory.glob("vars/*/*/*")), [])
    expect(fleet.generate("--prompt", "word=@-", stdin="hello"))
    equal(fleet.value("m9", "asked/it"), "hello")
    for number in (3, 9):
        run("rm", "-r", directory / f"vars/per-machine/m{number}/secrets")
    expect(run(*no_terminal), 0, told(["m3", "m9"], "secrets", "a, b, c"), "")


def interrupted(sentence, number):
    @test(sentence)
    def test_interruption(directory):
        fleet = Fleet(directory, 3000, SECRETS)
        with subprocess.Popen([VMCRED, "generate", "--config", str(fleet.config)], env=harness.CLEAN_ENVIRONMENT,
                              stdout=subprocess.DEVNULL) as process:  # fmt: skip
            while process.poll() is None and not list(directory.glob("vars/per-machine/*/secrets")):
                time.sleep(0.005)
            process.send_signal(number)
            equal(process.wait(), -number, "how it ended")
        whole, parts = made_files(directory)
        assert whole and len(whole) < 3000, len(whole)
        equal(parts, set())
        for one in sorted(whole)[:20]:
            fleet.value(one.split()[-1], "secrets/c")
        result = expect(fleet.generate())
        equal(set(told_ones(result.out)) & whole, set())
        equal(len(made_files(directory)[0]), 3000)
        equal([path.name for path in directory.iterdir() if path.name.startswith(".")], [])


interrupted("after kill -9 only complete generators exist, and the next run generates the others", signal.SIGKILL)
interrupted("after Ctrl-C only complete generators exist, and the next run generates the others", signal.SIGINT)

harness.main()
