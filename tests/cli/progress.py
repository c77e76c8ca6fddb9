# SPDX-License-Identifier: Apache-2.0
"""The progress line on terminals of several kinds and without one. Frames are compared as they appear: a carriage
return goes to the start of the line, and the sequence after it erases the line."""
import fcntl
import os
import re
import struct
import subprocess
import tempfile
import termios
import time
from pathlib import Path

import harness
from example import Fleet
from harness import VMCRED, equal, expect
from terminal import read_to_end
from vm import wait_for

QUIET = 0.5  # seconds: shorter work draws nothing
CLEAR = "\r\x1b[K"
FRAME = re.compile(r"\d+/\d+ \(\d+ %\)(, \d+ (s|min|h) left)?$")

SLOW = '  g: {machines: ALL, files: {it: {}}, script: "sleep 0.4; echo x > $out/it"}\n'
LINES = [f"g for m{number}: generated it" for number in range(6)]


def at_terminal(*command, stdout_too=True, columns=80, term="xterm", env=None, cwd=None):
    """Returns the exit code, the output on the terminal, and that on stdout if it is a pipe. The terminal is not the
    controlling one, so no job is in its foreground. With two processors the work takes a known time."""
    processors = ",".join(str(processor) for processor in sorted(os.sched_getaffinity(0))[:2])
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [harness.need("taskset"), "--cpu-list", processors, *(str(word) for word in command)],
        stdin=theirs,
        stdout=theirs if stdout_too else subprocess.PIPE,
        stderr=theirs,
        env=harness.CLEAN_ENVIRONMENT | {"TERM": term} | (env or {}),
        cwd=cwd,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        seen = read_to_end(ours)
        os.close(ours)
        out = b"" if stdout_too else process.stdout.read()
        code = process.wait()
    return code, seen.decode(), out.decode()


def frames_and_screen(seen):
    """The frames that were drawn and erased, and the remaining lines."""
    frames, screen = [], []
    for line in seen.split("\r\n"):
        *drawn, last = line.split(CLEAR)
        frames += [frame for frame in drawn if frame]
        screen.append(last)
    return frames, screen


def generate(directory, generators, *words, count=6, **options):
    fleet = Fleet(directory, count, generators)
    return at_terminal(VMCRED, "generate", "--config", fleet.config, *words, **options)


def test_long_work_draws_its_progress_and_erases_it(directory):
    """long work draws its progress and erases it"""
    code, seen, _ = generate(directory, SLOW)
    frames, screen = frames_and_screen(seen)
    equal((code, screen), (0, [*LINES, ""]), "what stays")
    assert frames and all(FRAME.match(frame) for frame in frames), seen
    assert {int(frame.split("/")[0]) for frame in frames} & set(range(1, 6)), frames


def test_progress_is_on_the_terminal_and_output_in_the_pipe(directory):
    """output to a pipe is complete and separate, and the terminal shows the progress"""
    code, seen, out = generate(directory, SLOW, stdout_too=False)
    frames, screen = frames_and_screen(seen)
    equal((code, screen, out), (0, [""], "".join(f"{line}\n" for line in LINES)))
    assert frames and all(FRAME.match(frame) for frame in frames), seen


def test_no_progress_without_a_terminal(directory):
    """nothing is drawn if stderr is not a terminal"""
    fleet = Fleet(directory, 4, SLOW)
    expect(fleet.generate(), 0, "".join(f"{line}\n" for line in LINES[:4]), "")


def test_no_progress_on_a_dumb_terminal(directory):
    """nothing is drawn on a dumb terminal"""
    code, seen, _ = generate(directory, SLOW, term="dumb")
    equal((code, seen), (0, "".join(f"{line}\r\n" for line in LINES)))


def test_short_work_draws_nothing(directory):
    """short work draws nothing"""
    def short_run():
        """Its result, if it was short: a busy machine may delay it."""
        place = Path(tempfile.mkdtemp(dir=directory))
        start = time.monotonic()
        result = generate(place, "  g: {machines: ALL, files: {it: {}}, kind: {it: uuid}}\n", count=3)
        return time.monotonic() - start < QUIET and result

    code, seen, _ = wait_for("short work", short_run, 60)
    equal((code, seen), (0, "".join(f"{line}\r\n" for line in LINES[:3])))


def test_an_error_is_on_its_own_line(directory):
    """an error is on its own line"""
    failing = (
        SLOW.replace("ALL", "[m0, m1, m2, m3, m4]")
        + '  z: {machines: [m5], files: {it: {}}, script: "sleep 1; exit 7"}\n'
    )
    code, seen, _ = generate(directory, failing)
    frames, screen = frames_and_screen(seen)
    equal((code, screen), (1, [*LINES[:5], "vmcred: generator z: the script exited with code 7", ""]))
    assert frames, seen


def test_line_is_truncated_on_a_narrow_terminal(directory):
    """on a narrow terminal the line is truncated, not wrapped"""
    code, seen, _ = generate(directory, SLOW, columns=10, stdout_too=False)
    frames, screen = frames_and_screen(seen)
    equal((code, screen), (0, [""]))
    assert frames and all(len(frame) <= 9 for frame in frames), frames


def test_background_job_draws_nothing(directory):
    """a background job draws nothing"""
    fleet = Fleet(directory, 4, SLOW)
    # The shell gives each job a process group; setsid --ctty makes the terminal its controlling terminal.
    script = f"set -m; {VMCRED} generate --config {fleet.config} & set +m; wait $!"
    code, seen, _ = at_terminal("setsid", "--ctty", "--wait", "bash", "-c", script)
    equal((code, seen), (0, "".join(f"{line}\r\n" for line in LINES[:4])))


def test_progress_of_many_sops_documents(directory):
    """a command for many SOPS documents draws its progress and erases it"""
    gpg = harness.write_program(directory / "gpg", "#!/bin/sh\ncat > /dev/null; sleep 0.4; echo sealed\n")
    names = [f"{number}.json" for number in range(6)]
    for name in names:
        (directory / name).write_text('{"a": 1}')
    words = [VMCRED, "sops", "encrypt", "--pgp", "00FF", "--in-place", *names]
    code, seen, _ = at_terminal(*words, env={"SOPS_GPG_EXEC": str(gpg), "HOME": str(directory)}, cwd=directory)
    frames, screen = frames_and_screen(seen)
    equal((code, screen), (0, ["vmcred: 6 files: 6 encrypted", ""]), "what stays")
    assert frames and all(FRAME.match(frame) for frame in frames), seen
    assert {int(frame.split("/")[0]) for frame in frames} & set(range(1, 6)), frames


GPG = """#!/bin/sh
case "$1" in -d) sleep 1; exit 2 ;; esac
cat > /dev/null; echo sealed
"""


def test_progress_is_erased_before_each_line(directory):
    """check --decrypt draws its progress while a passphrase is waited for, and erases it before each line"""
    count = 600  # more than are checked at once
    fleet = Fleet(directory, count, "  g: {machines: ALL, files: {it: {}}, kind: {it: uuid}}\n")
    gpg = harness.write_program(directory / "gpg", GPG)
    environment = {"SOPS_GPG_EXEC": str(gpg), "HOME": str(directory)}
    expect(fleet.generate())
    secret = directory / "vars/per-machine/m0/g/it/secret"
    secret.write_text("x")
    expect(harness.vmcred("sops", "encrypt", "--pgp", "00FF", "--input-type", "binary", "--in-place", secret, env=environment))
    (directory / "vars/per-machine/m9/g/it/secret").unlink()
    words = [VMCRED, "check", "--decrypt", "--config", fleet.config, "--identity", fleet.identity]
    code, seen, _ = at_terminal(*words, env=environment)
    frames, screen = frames_and_screen(seen)
    findings = [line.split(" (")[0] for line in screen[:2]]
    equal((code, findings), (3, ["m0 g/it does not have its declared recipients", "m9 g/it is missing"]))
    assert frames and all(FRAME.match(frame) for frame in frames), frames


harness.main()
