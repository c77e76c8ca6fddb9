# SPDX-License-Identifier: Apache-2.0
"""A supervised VMM on a terminal: the same keys have the same effect as without vmcred."""
import os
import signal
import termios

import tiny_guest
from harness import equal, main, need, test
from vm import Vm, children, wait_for
from vm_terminal import Terminal

# The guest answers `a` with `b` and Ctrl-C with `D`.
A_CTRL, C_CTRL, Z_CTRL = "\x01", "\x03", "\x1a"
GUEST, GUEST_C, MONITOR = ("a", "b"), (C_CTRL, "D"), (A_CTRL + "c", "(qemu)")
# QEMU ends by itself, and by a signal too.
END, QUIT, INTERRUPT = 0, (A_CTRL + "x", 0), (C_CTRL, 0)

# Options of QEMU, its first output, and each key with its effect: an output, or the exit code.
CASES = [
    ("-nographic", "running", GUEST, GUEST_C, MONITOR, ("info name\r", "info name"), QUIT),
    ("-nographic -monitor none", "running", GUEST, INTERRUPT),
    ("-nographic -monitor null", "running", GUEST, INTERRUPT),
    ("-nographic -serial mon:stdio", "running", GUEST, GUEST_C, MONITOR, QUIT),
    ("-nographic -serial null", "(qemu)", ("quit\r", END)),
    ("-nographic -serial none", "(qemu)", INTERRUPT),
    ("-nographic -serial stdio -monitor none", "running", GUEST, INTERRUPT),
    ("-nographic -nodefaults", None, INTERRUPT),
    ("-nographic -nodefaults -serial mon:stdio", "running", GUEST, GUEST_C, MONITOR, QUIT),
    ("-nographic -nodefaults -serial stdio", "running", GUEST, INTERRUPT),
    ("-nographic -nodefaults -monitor stdio", "(qemu)", ("quit\r", END)),
    ("-nographic -echr 2", "running", GUEST, GUEST_C, ("\x02c", "(qemu)"), ("\x02x", END)),
    ("-display none -serial stdio", "running", GUEST, INTERRUPT),
    ("-display none -serial mon:stdio", "running", GUEST, GUEST_C, MONITOR, QUIT),
    ("-display none -monitor stdio", "(qemu)", INTERRUPT),
    ("-display none", None, INTERRUPT),
    ("-display none -chardev stdio,id=c,signal=off -serial chardev:c", "running", GUEST, GUEST_C),
    ("-display none -mon chardev=c -chardev stdio,id=c,mux=on -serial chardev:c", "running", GUEST, MONITOR),
    ("-nographic -qmp null", "running", GUEST, INTERRUPT),
]


def qemu(vm, options):
    need("qemu-system-x86_64")
    rom = tiny_guest.rom(vm.bin / "rom", tiny_guest.ANSWER)
    return ("qemu-system-x86_64", "-accel", "tcg", "-M", "pc,vmport=off", "-net", "none", "-bios", rom, *options.split())


def define(options, first, *keys):
    @test(f"{options}: each key has the same effect with and without vmcred")
    def test_keys(directory):
        for supervised in (False, True):
            vm = Vm(directory / str(supervised))
            terminal = Terminal(vm, *qemu(vm, options), supervised=supervised)
            if first:
                terminal.shows(first)
            terminal.running()
            for key, effect in keys:
                terminal.type(key)
                if isinstance(effect, str):
                    terminal.shows(effect)
                else:
                    terminal.ends(effect)
                    terminal.restored()
            terminal.close()


for case in CASES:
    define(*case)


def test_killed_vmm_leaves_no_raw_terminal(directory):
    """a VMM that is killed does not leave its terminal raw or non-blocking"""
    vm = Vm(directory)
    terminal = Terminal(vm, *qemu(vm, "-nographic"), supervised=True)
    terminal.shows("running")
    assert terminal.is_raw()
    os.kill(terminal.running(), signal.SIGKILL)
    terminal.ends(128 + signal.SIGKILL)
    terminal.restored()
    terminal.close()


JOB = """\
import os, signal, sys
# A shell: the program is a job of its own in the foreground, until it stops.
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
def foreground(group):
    os.tcsetpgrp(0, group)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    foreground(os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    foreground(os.getpgrp())
    if not os.WIFSTOPPED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
    os.set_blocking(0, True)
    print("stopped by", os.WSTOPSIG(status), flush=True)
    if input() == "fg":
        foreground(pid)
    os.killpg(pid, signal.SIGCONT)
"""


def test_job_control(directory):
    """Ctrl-Z stops the VM and vmcred; both continue in the foreground, and QEMU stops again in the background"""
    for supervised in (False, True):
        vm = Vm(directory / str(supervised))
        terminal = Terminal(vm, *qemu(vm, "-display none -serial stdio"), supervised=supervised, shell=JOB)
        terminal.shows("running")
        job, = children(terminal.process.pid)
        terminal.running(job)
        processes = [job, *children(job)]
        equal(len(processes), 1 + supervised)
        # Then both get the signals for a change of the window's size, too.
        equal([os.getpgid(pid) for pid in processes], [job] * len(processes), "process groups")

        terminal.type(Z_CTRL)
        terminal.stopped(processes, signal.SIGTSTP)
        terminal.type("fg\n")
        wait_for("the terminal", terminal.is_raw)
        terminal.type("a")
        terminal.shows("b")

        terminal.type(Z_CTRL)
        terminal.stopped(processes, signal.SIGTSTP)
        terminal.type("bg\n")
        # It sets the terminal's modes.
        terminal.stopped(processes, signal.SIGTTOU)
        os.kill(processes[-1], signal.SIGKILL)
        modes = terminal.modes(~termios.ECHO)
        terminal.type("bg\n")
        terminal.ends(128 + signal.SIGKILL if supervised else -signal.SIGKILL % 256)
        equal(termios.tcgetattr(terminal.theirs), modes, "modes of a terminal that is another program's")
        terminal.close()


main()
