# SPDX-License-Identifier: Apache-2.0
"""A VMM on a terminal, with or without vmcred."""
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios

import harness
from harness import equal
from vm import children, stopped_at_exit, wait_for


class Terminal:
    """A program as the foreground job of a shell that is this test."""

    def __init__(self, vm, *words, supervised, shell=None):
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        self.shown = b""
        supervisor = (harness.VMCRED, "run", "--supervise", "-v", "--credentials", vm.credentials, "test-vm", "--")
        self.vm, self.supervised = vm, supervised
        self.process = stopped_at_exit(subprocess.Popen(
            [*((sys.executable, "-c", shell) if shell else ()), *(supervisor if supervised else ()), *words], cwd=vm.directory,
            env=harness.CLEAN_ENVIRONMENT | vm.environment() | {"TERM": "dumb"}, stdin=self.theirs, stdout=self.theirs,
            stderr=open(vm.directory / "err", "wb"), preexec_fn=self._take))

    def _take(self):
        os.setsid()
        fcntl.ioctl(self.theirs, termios.TIOCSCTTY, 0)

    def running(self, job=None):
        """Waits until keys have their effect. Returns the VMM's process."""
        pid = job or self.process.pid
        if self.supervised:
            # Before that, Ctrl-C interrupts the launch.
            wait_for("the boot", lambda: "the VM is booted" in self.vm.errors())
            pid, = children(pid)
        wait_for("the handlers", lambda: catches_interrupts(pid))
        return pid

    def modes(self, mask):
        """Masks the local modes, as a shell and its next program do. Returns the modes."""
        modes = list(self.before)
        modes[3] &= mask
        termios.tcsetattr(self.theirs, termios.TCSANOW, modes)
        return modes

    def stopped(self, processes, number):
        self.shows(f"stopped by {number:d}")
        wait_for("the stop", lambda: [state(pid) for pid in processes] == ["T"] * len(processes))
        # QEMU leaves the terminal raw and non-blocking while it is stopped.
        self.modes(~0)

    def read(self):
        """Everything that it has shown. A key's effect is searched after the key only."""
        while select.select([self.ours], [], [], 0)[0]:
            self.shown += os.read(self.ours, 65536)
        return self.shown.decode(errors="replace")

    def type(self, keys):
        self.read()
        self.shown = b""
        os.write(self.ours, keys.encode())

    def shows(self, text):
        wait_for(f"{text!r}", lambda: text in self.read() or self.process.poll() is not None, 60)
        assert text in self.read(), f"{text!r} is not in {self.shown}"

    def ends(self, code):
        # A full terminal would block it.
        wait_for("the end", lambda: self.read() is not None and self.process.poll() is not None, 60)
        equal(self.process.returncode, code, f"exit code after {self.shown}")

    def is_raw(self):
        return not termios.tcgetattr(self.theirs)[3] & termios.ICANON

    def restored(self):
        equal(termios.tcgetattr(self.theirs), self.before, "modes of the terminal")
        equal(fcntl.fcntl(self.theirs, fcntl.F_GETFL) & os.O_NONBLOCK, 0, "O_NONBLOCK")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


def catches_interrupts(pid):
    """Whether the VMM has installed its handlers: Ctrl-C kills it before that."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        caught, = [line.split()[1] for line in status if line.startswith("SigCgt:")]
    return int(caught, 16) >> (signal.SIGINT - 1) & 1


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(") ")[2][0]
