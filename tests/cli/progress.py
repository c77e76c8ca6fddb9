# SPDX-License-Identifier: Apache-2.0
"""How far long work has come, on terminals of all sorts and where there is none. Frames are compared as a person sees
them: a carriage return goes to the line's beginning, and the sequence behind it takes the line away."""
import fcntl
import os
import re
import struct
import subprocess
import termios

import harness
from example import Fleet
from harness import VMCRED, equal, expect

CLEAR = "\r\x1b[K"
FRAME = re.compile(r"\d+/\d+ \(\d+ %\)(, \d+ (s|min|h) left)?$")

SLOW = '  g: {machines: ALL, files: {it: {}}, script: "sleep 0.4; echo x > $out/it"}\n'
LINES = [f"g for m{number}: generated it" for number in range(6)]


def at_terminal(*command, stdout_too=True, columns=80, term="xterm", env=None, cwd=None):
    """Exit code, what came to the terminal, and what came to stdout where that is a pipe. The terminal is not the process's
    own, so nobody else is in its foreground. With two processors the work takes as long as it is meant to."""
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
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # nobody has the other end any more
            pass
        os.close(ours)
        out = b"" if stdout_too else process.stdout.read()
        code = process.wait()
    return code, seen.decode(), out.decode()


def frames_and_screen(seen):
    """What was drawn and taken away again, and the lines that stay."""
    frames, screen = [], []
    for line in seen.split("\r\n"):
        *drawn, last = line.split(CLEAR)
        frames += [frame for frame in drawn if frame]
        screen.append(last)
    return frames, screen


def generate(folder, generators, *words, count=6, **options):
    fleet = Fleet(folder, count, generators)
    return at_terminal(VMCRED, "generate", "--config", fleet.config, *words, **options)


def test_long_work_draws_how_far_nothing_stays(folder):
    """long work draws how far it is, and nothing of it stays"""
    code, seen, _ = generate(folder, SLOW)
    frames, screen = frames_and_screen(seen)
    equal((code, screen), (0, [*LINES, ""]), "what stays")
    assert frames and all(FRAME.match(frame) for frame in frames), seen
    assert {int(frame.split("/")[0]) for frame in frames} & set(range(1, 6)), frames


def test_printed_pipe_whole_alone_terminal_shows_how_far(folder):
    """what is printed to a pipe is whole and alone, and the terminal shows how far it is"""
    code, seen, out = generate(folder, SLOW, stdout_too=False)
    frames, screen = frames_and_screen(seen)
    equal((code, screen, out), (0, [""], "".join(f"{line}\n" for line in LINES)))
    assert frames and all(FRAME.match(frame) for frame in frames), seen


def test_where_stderr_no_terminal_nothing_drawn(folder):
    """where stderr is no terminal nothing is drawn"""
    fleet = Fleet(folder, 4, SLOW)
    expect(fleet.generate(), 0, "".join(f"{line}\n" for line in LINES[:4]), "")


def test_terminal_cannot_draw_over_line_left_alone(folder):
    """a terminal that cannot draw over a line is left alone"""
    code, seen, _ = generate(folder, SLOW, term="dumb")
    equal((code, seen), (0, "".join(f"{line}\r\n" for line in LINES)))


def test_work_done_at_once_draws_nothing(folder):
    """work that is done at once draws nothing"""
    code, seen, _ = generate(folder, "  g: {machines: ALL, files: {it: {}}, kind: {it: uuid}}\n", count=3)
    equal((code, seen), (0, "".join(f"{line}\r\n" for line in LINES[:3])))


def test_error_stands_line_own(folder):
    """an error stands on a line of its own"""
    failing = (
        SLOW.replace("ALL", "[m0, m1, m2, m3, m4]")
        + '  z: {machines: [m5], files: {it: {}}, script: "sleep 1; exit 7"}\n'
    )
    code, seen, _ = generate(folder, failing)
    frames, screen = frames_and_screen(seen)
    equal((code, screen), (1, [*LINES[:5], "vmcred: the script of the generator z: it ended with exit code 7", ""]))
    assert frames, seen


def test_narrow_terminal_line_cut_not_folded(folder):
    """on a narrow terminal the line is cut, not folded"""
    code, seen, _ = generate(folder, SLOW, columns=10, stdout_too=False)
    frames, screen = frames_and_screen(seen)
    equal((code, screen), (0, [""]))
    assert frames and all(len(frame) <= 9 for frame in frames), frames


def test_job_background_terminal_draws_nothing(folder):
    """a job in the background of its terminal draws nothing"""
    fleet = Fleet(folder, 4, SLOW)
    # The shell gives each job a process group of its own; setsid --ctty makes the terminal its own.
    script = f"set -m; {VMCRED} generate --config {fleet.config} & set +m; wait $!"
    code, seen, _ = at_terminal("setsid", "--ctty", "--wait", "bash", "-c", script)
    equal((code, seen), (0, "".join(f"{line}\r\n" for line in LINES[:4])))


def test_many_sops_documents_draw_how_far_they_nothing_stays(folder):
    """many SOPS documents draw how far they are, and nothing of it stays"""
    gpg = folder / "gpg"
    gpg.write_text("#!/bin/sh\ncat > /dev/null; sleep 0.4; echo sealed\n")
    gpg.chmod(0o755)
    names = [f"{number}.json" for number in range(6)]
    for name in names:
        (folder / name).write_text('{"a": 1}')
    words = [VMCRED, "sops", "encrypt", "--pgp", "00FF", "--in-place", *names]
    code, seen, _ = at_terminal(*words, env={"SOPS_GPG_EXEC": str(gpg), "HOME": str(folder)}, cwd=folder)
    frames, screen = frames_and_screen(seen)
    equal((code, screen), (0, ["vmcred: 6 files: 6 encrypted", ""]), "what stays")
    assert frames and all(FRAME.match(frame) for frame in frames), seen
    assert {int(frame.split("/")[0]) for frame in frames} & set(range(1, 6)), frames


harness.main()
