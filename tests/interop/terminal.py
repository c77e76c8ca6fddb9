# SPDX-License-Identifier: Apache-2.0
"""Runs a program that prompts on its terminal: it gets its own terminal, with the answers typed in advance."""
import fcntl
import os
import pty
import subprocess
import termios

import harness
from harness import Result


def run_at_terminal(*command, stdin=b"", answers=(), env=None):
    """The result; `out` is bytes. The program's output on the terminal is discarded."""
    ours, theirs = pty.openpty()

    def take_terminal():
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    try:
        os.write(ours, "".join(answer + "\n" for answer in answers).encode())
        done = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            env=harness.CLEAN_ENVIRONMENT | (env or {}),
            capture_output=True,
            check=False,
            timeout=120,
            preexec_fn=take_terminal,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return Result(done.returncode, done.stdout, done.stderr.decode())
