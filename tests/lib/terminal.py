# SPDX-License-Identifier: Apache-2.0
"""Runs a program that prompts on its terminal: it gets its own terminal, on which everything is typed ahead."""
import contextlib
import fcntl
import os
import pty
import subprocess
import termios
import threading

import harness
from harness import Result


def read_to_end(ours):
    """What a terminal shows until its last other descriptor is closed."""
    shown = b""
    # Linux may report the end to a reader that was about to wait, although there is more to read.
    for _ in range(2):
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65536):
                shown += piece
    return shown


def at_terminal(*command, typed=b"", stdin=b"", out=None, env=None, cwd=None):
    """The result, whose `out` is bytes, and what the terminal shows. The terminal is standard input if `stdin` is None,
    and standard output if `out` is "terminal"."""
    ours, theirs = pty.openpty()
    shown = []

    def take_terminal():
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    reader = threading.Thread(target=lambda: shown.append(read_to_end(ours)))
    reader.start()
    try:
        os.write(ours, typed)
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=theirs if stdin is None else subprocess.PIPE,
            stdout=theirs if out == "terminal" else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=harness.CLEAN_ENVIRONMENT | (env or {}),
            cwd=cwd,
            preexec_fn=take_terminal,
        )
        try:
            output, error = process.communicate(stdin, timeout=120)
        finally:
            process.kill()
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)
    return Result(process.returncode, output or b"", error.decode()), shown[0]


def run_at_terminal(*command, stdin=b"", answers=(), env=None):
    """The same with answers to questions, and without what the terminal shows."""
    return at_terminal(*command, typed="".join(answer + "\n" for answer in answers).encode(), stdin=stdin, env=env)[0]
