# SPDX-License-Identifier: Apache-2.0
"""A process with secrets cannot be dumped or inspected, and keeps no secret in memory longer than needed."""
import os
import re
import resource
import signal
import subprocess

import harness
from example import AS_NOBODY, NOBODY, Example, by_script, program_for_all
from harness import equal, expect
from vm import children, wait_for

GENERATOR = by_script("echo 1 > $out/one\nsleep 30")


def as_nobody(directory, *command):
    words = [*AS_NOBODY, *map(str, command)]
    environment = harness.CLEAN_ENVIRONMENT | {"XDG_RUNTIME_DIR": str(directory)}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def test_process_is_not_dumpable(directory):
    """the process belongs to root in /proc, dumps no core, and its user cannot read its memory"""
    harness.need_root()
    example = Example(directory, GENERATOR, generate=False)
    program = program_for_all(directory)
    harness.run("chown", "-R", f"{NOBODY}:{NOBODY}", directory)
    process = as_nobody(directory, program, "generate", "--config", example.config)
    try:
        wait_for("the script", lambda: children(process.pid))
        status = open(f"/proc/{process.pid}/status", encoding="ascii").read()
        assert re.search(rf"^Uid:\t{NOBODY}\t", status, re.M), status
        equal(os.stat(f"/proc/{process.pid}/environ").st_uid, 0, "owner of /proc/PID/environ")
        limits = open(f"/proc/{process.pid}/limits", encoding="ascii").read()
        # With a limit of 0, a program in core_pattern would get the core of a process that vmcred starts.
        limit = min(resource.getrlimit(resource.RLIMIT_CORE)[1] % (1 << 64), 1)
        assert re.search(rf"^Max core file size +{limit} +{limit} ", limits, re.M), limits
        look = as_nobody(directory, "head", "-c1", f"/proc/{process.pid}/environ")
        equal(look.wait(), 1, "exit code of head, run by the same user")
        assert b"Permission denied" in look.stderr.read()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_killed_run_leaves_no_script(directory):
    """after kill -9 the script ends too, and the next run wipes its leftovers in memory"""
    harness.need_root()
    example = Example(directory, GENERATOR, generate=False)
    # Scripts of other users than root write to a directory; root's have an unmounted file system.
    command = [*AS_NOBODY, program_for_all(directory), "generate", "--config", example.config]
    environment = {"XDG_RUNTIME_DIR": str(directory)}
    harness.run("chown", "-R", f"{NOBODY}:{NOBODY}", directory)
    process = subprocess.Popen(command, env=harness.CLEAN_ENVIRONMENT | environment)
    child = wait_for("the script", lambda: children(process.pid))[0]
    wait_for("its file", lambda: [path for path in directory.glob(".vmcred.*/out/one") if path.stat().st_size > 0])
    process.kill()
    process.wait()
    equal(list(directory.glob("vars/**/secret")), [])
    # The script is killed with its parent.
    wait_for("the script's end", lambda: not os.path.exists(f"/proc/{child}"))
    left = [path.name for path in directory.iterdir() if path.name.startswith(".vmcred.") and path.is_dir()]
    equal(len(left), 1, "directories left")
    with open(directory / left[0] / "out" / "one", "rb") as held:
        example.config.write_text(GENERATOR.replace("      sleep 30\n", ""))
        expect(harness.run(*command, env=environment))
        equal(held.read(), b"\0\0", "the wiped file, still open")
    equal([path.name for path in directory.iterdir() if path.name.startswith(".vmcred.")], [])


def test_run_without_script_wipes_too(directory):
    """a run wipes the leftovers of a killed run in memory, even if it runs no script"""
    example = Example(directory, GENERATOR.replace("sleep 30", "exec sleep 30"), generate=False)
    environment = {"XDG_RUNTIME_DIR": str(directory)}
    command = [harness.VMCRED, "generate", "--config", example.config]
    process = subprocess.Popen([*command, "--no-sandbox"], env=harness.CLEAN_ENVIRONMENT | environment)
    keeper = wait_for("the script's keeper", lambda: children(process.pid))[0]
    left = wait_for("its file", lambda: [path for path in directory.glob(".vmcred.*/out/one") if path.stat().st_size > 0])[0]
    process.kill()
    process.wait()
    wait_for("the keeper's end", lambda: not os.path.exists(f"/proc/{keeper}"))
    example.config.write_text(GENERATOR.split("    script:", maxsplit=1)[0] + "    kind: {one: uuid}\n")
    with open(left, "rb") as held:
        expect(harness.run(*command, env=environment), 0, "made for m: generated one\n", "")
        equal(held.read(), b"\0\0", "the wiped file, still open")
    equal([path.name for path in directory.iterdir() if path.name.startswith(".vmcred.")], [])


def occurrences(pid, needle):
    """The number of copies of the bytes in the writable memory of a process."""
    count = 0
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            start, end, access = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if "rw" not in access or "[v" in line:
                continue
            memory.seek(int(start, 16))
            try:
                count += memory.read(int(end, 16) - int(start, 16)).count(needle)
            except OSError:
                continue
    return count


def test_no_secret_in_memory_after_printing(directory):
    """after a secret was printed, the process has no copy of it in memory"""
    harness.need_root()
    example = Example(directory)
    value = example.get("one").out.encode()
    # Stopped at its last system call, when everything should have been wiped.
    words = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=60000000"]
    harness.need("strace")
    process = subprocess.Popen(
        [*words, harness.VMCRED, "get", "--config", example.config, "--identity", example.identity, "m", "made/one"],
        env=harness.CLEAN_ENVIRONMENT,
        stdout=subprocess.PIPE,
    )
    try:
        equal(process.stdout.read(len(value)), value)
        child = wait_for("the program", lambda: children(process.pid))[0]
        # Wait until the last system call is entered.
        wait_for("the last call", lambda: open(f"/proc/{child}/syscall", encoding="ascii").read().startswith("231 "))
        key = re.search(rb"AGE-SECRET-KEY-\S+", example.identity.read_bytes()).group()
        found = {what: occurrences(child, needle) for what, needle in [("value", value), ("identity", key)]}
        equal(found, {"value": 0, "identity": 0})
        assert occurrences(child, b"made/one") > 0, "the memory could not be read"
    finally:
        harness.run("pkill", "-KILL", "-P", process.pid)
        process.kill()
        process.communicate()


harness.main()
