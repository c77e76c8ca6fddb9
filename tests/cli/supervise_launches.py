# SPDX-License-Identifier: Apache-2.0
"""Many launches, most of them ended at random moments: no process, socket, file or descriptor is left.

Usage: supervise_launches.py STAND-IN. $VMCRED_LAUNCHES is their number; $VMCRED_SEED repeats a run's choices, which it
prints where it fails.
"""
import atexit
import ctypes
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import harness
from harness import equal, main, test
from vm import Vm, children, wait_for

STAND_IN = Path(sys.argv[1]).resolve()
LAUNCHES = int(os.environ.get("VMCRED_LAUNCHES", "1000"))
SEED = int(os.environ.get("VMCRED_SEED", random.SystemRandom().randrange(1 << 32)))
PR_SET_CHILD_SUBREAPER = 36

CH = ("cloud-hypervisor", "--kernel", "/k")
QEMU = ("qemu-system-x86_64",)
# Options of run, the command line, the exit code when it is asked to end.
FORMS = [
    ((), CH, 0),
    (("--notify",), (*CH, "--vsock", "cid=3,socket=vsock", "--api-socket", "api"), 0),
    ((), (*CH, "--cmdline", "refuse", "--api-socket", "api"), 1),
    ((), (*CH, "--cmdline", "die"), 1),
    ((), QEMU, -signal.SIGTERM),
    (("--supervise",), QEMU, 0),
    (("--supervise",), (*QEMU, "-append", "refuse"), 1),
    (("--supervise",), (*QEMU, "-append", "die"), 1),
]
FAILING = ("refuse", "die")


def prepared(directory):
    vm = Vm(directory)
    for name in (CH[0], QEMU[0]):
        (vm.bin / name).symlink_to(STAND_IN)
    return vm


def started(vm, form):
    options, words, _ = form
    return subprocess.Popen(
        [harness.VMCRED, "run", "--credentials", vm.credentials, *options, "test-vm", "--", *words], cwd=vm.directory,
        env=harness.CLEAN_ENVIRONMENT | vm.environment() | {"NOTIFY_SOCKET": "/dev/null/x"} if "--notify" in options
        else harness.CLEAN_ENVIRONMENT | vm.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)


@atexit.register
def _stop_all():
    """A test that fails leaves nothing running: this process adopts orphans."""
    while left_running := children(os.getpid()):
        for pid in left_running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def described(pid):
    """What a process is, and what it waits for."""
    words, status, where = (Path(f"/proc/{pid}/{name}").read_text(errors="replace") for name in ("cmdline", "status", "wchan"))
    return f"{words.split(chr(0))}, {re.findall('(State.*|...Pnd.*)', status)}, in {where}"


def orphans_reap(what):
    """Waits for all adopted orphans."""
    deadline = time.monotonic() + 60
    while True:
        # Before the look: this process may have been the one that had to wait.
        is_late = time.monotonic() > deadline
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            assert not is_late, f"a process is left by {what}: {[described(pid) for pid in children(os.getpid())]}"
            time.sleep(0.001)


def is_booted(process, form):
    """Whether it runs: vmcred has become QEMU, or has a child."""
    try:
        if not is_parent(form):
            return Path(f"/proc/{process.pid}/exe").resolve() == STAND_IN
        return bool(children(process.pid))
    except OSError:
        return True


ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def is_parent(form):
    """Whether vmcred stays."""
    return form[1][0] == CH[0] or bool(form[0])


def vmm(process, form):
    return children(process.pid)[0] if is_parent(form) else process.pid


def left(vm):
    return sorted(path.name for path in vm.directory.iterdir() if path.name not in ("bin", "credentials", "vmcred.yaml"))


@test(f"{LAUNCHES} launches leave no process, no socket and no file")
def test_launches_leave_nothing(directory):
    choices = random.Random(SEED)
    vm, fds = prepared(directory), len(os.listdir("/proc/self/fd"))
    ends = {"asked": 0, "killed": 0, "failed": 0, "VMM killed": 0}
    for number in range(LAUNCHES):
        form = FORMS[number % len(FORMS)]
        process = started(vm, form)
        how = "failed" if set(FAILING) & set(form[1]) else choices.choice(("asked", "killed", "VMM killed"))
        what = f"launch {number}, {how}, {form}: VMCRED_SEED={SEED}"
        if how == "asked":
            wait_for(what, lambda p=process, f=form: is_booted(p, f))
            process.send_signal(signal.SIGTERM)
        elif how == "killed":
            time.sleep(choices.uniform(0, 0.008))
            process.kill()
        elif how == "VMM killed":
            wait_for(what, lambda p=process, f=form: is_booted(p, f))
            os.kill(vmm(process, form), signal.SIGKILL)
        _, error = process.communicate(timeout=30)
        orphans_reap(what)
        ends[how] += 1
        if how == "failed":
            equal((process.returncode, len(error.splitlines())), (form[2], 1), what)
        if how == "killed":
            # A vmcred that is killed cannot remove its files. The next start replaces the socket; a private directory
            # exists only for some system calls.
            for path in vm.directory.glob("vmcred.??????"):
                (path / "api").unlink(missing_ok=True)
                path.rmdir()
            continue
        names = [name for name in left(vm) if name not in ("api", "vsock_8888") or how == "asked" and "api" in form[1]]
        equal(names, [], what)
    for form in FORMS[1:2]:  # the one with files
        process = started(vm, form)
        wait_for("the last one", lambda: is_booted(process, form))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        orphans_reap("the last launch")
    equal(left(vm), [])
    equal(len(os.listdir("/proc/self/fd")), fds)
    assert min(ends.values()) > LAUNCHES // 20, ends


def descriptors(pid):
    """Their kinds, but for the standard ones; None if one was closed meanwhile."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd") if int(name) > 2]
    except FileNotFoundError:
        return None
    return sorted(re.match("[a-z]+", link).group() for link in links)


def test_vmm_inherits_only_needed_descriptors(directory):
    """a VMM inherits its standard descriptors and those that it needs, and no others"""
    vm = prepared(directory)
    # The API's listener and its connection, or a pipe for each string, the monitor and its configuration.
    expected = {FORMS[0]: ["socket"] * 2, FORMS[1]: ["socket"] * 2, FORMS[4]: ["pipe"] * 4,
                FORMS[5]: ["pipe"] * 5 + ["socket"]}
    for form, kinds in expected.items():
        process = started(vm, form)
        wait_for("the VMM", lambda: is_booted(process, form))
        wait_for(f"the descriptors of {form}", lambda p=process, f=form, k=kinds: descriptors(vmm(p, f)) == k)
        process.terminate()
        process.communicate(timeout=30)


main()
