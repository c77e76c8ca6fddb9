# SPDX-License-Identifier: Apache-2.0
"""vmcred run while a VM runs and when it stops: with the stand-in for Cloud Hypervisor and the real QEMU."""
import atexit
import os
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path

import harness
from harness import equal, expect, fails, need, need_root, run
from vm import (CLOUD_HYPERVISOR, Vm, api_get, children, has_ended, visible_to_others, no_canary, nothing_left, stop,
                wait_for)

QEMU = ("qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-serial", "none", "-S", "-nodefaults")
BOOT = ["/api/v1/vm.create", "/api/v1/vm.boot"]
POWER_BUTTON, SHUTDOWN = "/api/v1/vm.power-button", "/api/v1/vmm.shutdown"
STEPS = ("the VM is booted", "asking the guest to power off", "asking the VMM to end", "killing the VMM")


_vmms = []


@atexit.register
def _stop_all():
    """A test that fails leaves no VMM that has lost its parent."""
    for pid_fd in _vmms:
        try:
            signal.pidfd_send_signal(pid_fd, signal.SIGKILL)
        except ProcessLookupError:
            pass


def child_of(process):
    child = children(process.pid)[0]
    _vmms.append(os.pidfd_open(child))
    return child


def running(vm, *words, options=(), stand_in=None):
    """A VM on the stand-in, and its process."""
    process = vm.start(*CLOUD_HYPERVISOR, *words, options=options, stand_in=stand_in or {})
    wait_for("vm.boot", vm.booted)
    return process, child_of(process)


def running_qemu(vm, *words, options=("--supervise", "-v"), program=QEMU):
    need("qemu-system-x86_64")
    process = vm.start(*program, *words, options=options)
    wait_for("QEMU", lambda: STEPS[0] in vm.errors())
    return process, child_of(process)


def says(vm):
    """vmcred's own lines since it started the VMM."""
    return [line.removeprefix("vmcred: ") for line in vm.errors().partition(" as process ")[2].splitlines()[1:]]


# Stopping.

def test_sigterm_and_sigint_press_the_power_button(directory):
    """SIGTERM and SIGINT press the guest's power button, and the exit code is the VMM's"""
    for number in (signal.SIGTERM, signal.SIGINT):
        vm = Vm(directory / number.name)
        process, child = running(vm, "--api-socket", vm.directory / "api")
        process.send_signal(number)
        equal(process.wait(60), 0)
        equal(vm.requested(), BOOT + [POWER_BUTTON])
        equal(vm.errors(), "")
        assert has_ended(child)
        nothing_left(vm)


def test_guest_is_shut_down_after_stop_timeout(directory):
    """a guest that does not power off is shut down after --stop-timeout, and at once if that is 0"""
    vm = Vm(directory)
    process, _ = running(vm, options=("--stop-timeout=1",), stand_in={"deaf": True})
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 0)
    equal(vm.requested(), BOOT + [POWER_BUTTON, SHUTDOWN])
    equal(vm.errors(), "vmcred: warning: the guest did not power off within 1 s\n")
    process, _ = running(vm, options=("--stop-timeout=0",))
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 0)
    equal(vm.requested(), BOOT + [SHUTDOWN])
    equal(vm.errors(), "")


def test_each_signal_takes_the_next_step(directory):
    """each further signal takes the next step: power button, shutdown, SIGKILL"""
    vm = Vm(directory)
    process, child = running(vm, options=("-v",), stand_in={"deaf": True, "stubborn": True})
    process.send_signal(signal.SIGTERM)
    wait_for("the power button", lambda: POWER_BUTTON in vm.requested())
    process.send_signal(signal.SIGTERM)
    wait_for("the shutdown", lambda: SHUTDOWN in vm.requested())
    process.send_signal(signal.SIGINT)
    equal(process.wait(60), 128 + signal.SIGKILL)
    equal(says(vm), list(STEPS))
    assert has_ended(child)


def test_second_signal_waits_for_the_first_answer(directory):
    """a second signal waits for the answer to the first one's request"""
    vm = Vm(directory)
    process, _ = running(vm, stand_in={"deaf": True, "delay": 0.5})
    process.send_signal(signal.SIGTERM)
    wait_for("the power button", lambda: POWER_BUTTON in vm.requested())
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 0)
    equal(vm.requested(), BOOT + [POWER_BUTTON, SHUTDOWN])


def test_silent_vmm_gets_sigterm(directory):
    """a VMM whose API does not answer gets SIGTERM"""
    vm = Vm(directory)
    process, _ = running(vm, options=("-v",), stand_in={"close": "vm.power-button"})
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 0)
    equal(says(vm), [STEPS[0], "/api/v1/vm.power-button: the VMM closed its API without an answer", STEPS[2]])


def test_refused_power_button_is_followed_by_shutdown(directory):
    """a power button that the VMM refuses is followed by the shutdown at once"""
    vm = Vm(directory)
    process, _ = running(vm, stand_in={"status": {"vm.power-button": 500}})
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 0)
    equal(vm.requested(), BOOT + [POWER_BUTTON, SHUTDOWN])


def test_other_signals_are_forwarded(directory):
    """other signals are forwarded"""
    vm = Vm(directory)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        process, _ = running(vm)
        process.send_signal(number)
        equal(process.wait(60), 128 + number)
        equal(vm.requested(), BOOT)


def test_killed_vmm_is_reported(directory):
    """a VMM that a signal killed is reported with its name, before and after the boot"""
    vm = Vm(directory)
    for run_one, name in ((running, "cloud-hypervisor"), (running_qemu, QEMU[0])):
        process, child = run_one(vm)
        os.kill(child, signal.SIGSEGV)
        equal(process.wait(60), 128 + signal.SIGSEGV)
        equal(vm.errors().splitlines()[-1], f"vmcred: warning: {name} was killed by SIGSEGV")
    crashing = harness.write_program(directory / QEMU[0], "#!/bin/sh\nkill -SEGV $$\n")
    fails(vm.run(crashing, *QEMU[1:], options=("--supervise",)), 1, crashing, "killed by SIGSEGV before its VM booted")


def test_ctrl_c_reaches_the_vmm_from_the_terminal(directory):
    """Ctrl-C reaches the VMM from the terminal, and vmcred does not act on it"""
    vm = Vm(directory)
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        # A session of its own, with the terminal as its controlling one.
        ["setsid", "--ctty", "--wait", harness.VMCRED, "run", "--credentials", vm.credentials, "test-vm", "--",
         *CLOUD_HYPERVISOR], cwd=directory, env=harness.CLEAN_ENVIRONMENT | vm.environment({"interrupted": 5}),
        stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(theirs)
    wait_for("vm.boot", vm.booted)
    os.write(ours, b"\x03")
    equal(process.wait(60), 5)
    os.close(ours)
    equal(vm.requested(), BOOT)


def test_user_connections_do_not_block_the_power_button(directory):
    """a user's connections to --api-socket do not block vmcred's power button"""
    vm = Vm(directory)
    process, _ = running(vm, "--api-socket", directory / "api")
    others = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    for other in others:
        other.connect(str(directory / "api"))
    equal(api_get(directory / "api", "vm.info")["state"], "Running")
    (directory / "api").unlink()
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 0)
    equal(vm.requested()[-1], POWER_BUTTON)


def test_stop_timeout_accepts_seconds_up_to_a_day(directory):
    """--stop-timeout accepts whole seconds up to a day"""
    vm = Vm(directory)
    for word in ("", "-1", "1s", "86401", "99999999999999999999"):
        expect(vm.run(*CLOUD_HYPERVISOR, options=(f"--stop-timeout={word}",), stand_in={}), 2, "",
               f"vmcred: --stop-timeout: must be a number of seconds from 0 to 86400, not \"{word}\"\n")


# Neither outlives the other.

def test_vmm_ends_if_vmcred_is_killed(directory):
    """the VMM ends if vmcred is killed"""
    vm = Vm(directory)
    process, child = running(vm)
    process.kill()
    equal(process.wait(60), -signal.SIGKILL)
    wait_for("the VMM's end", lambda: has_ended(child))


def test_vmm_with_capabilities_gets_a_guard(directory):
    """a VMM whose program has its own capabilities gets a guard, and ends if vmcred is killed"""
    need_root()
    python = directory / "python"
    vm = Vm(directory / "vm")
    # The stand-in's interpreter is the program that is executed.
    python.write_bytes(Path("/proc/self/exe").resolve().read_bytes())
    python.chmod(0o755)
    # cap_net_admin+ep, as setcap(8) writes it: struct vfs_cap_data of <linux/capability.h>.
    os.setxattr(python, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 12, 0, 0, 0))
    stand_in = vm.bin / "cloud-hypervisor"
    text = (harness.SOURCE / "tests/cli/cloud_hypervisor_stand_in.py").read_text()
    harness.write_program(stand_in, text.replace("#!/usr/bin/env python3", f"#!{python}", 1))
    shutil.copy(harness.SOURCE / "tests/cli/cloud_hypervisor_api.py", vm.bin)
    vm.environment = lambda stand_in=None, environment=vm.environment: environment(None) | {
        "STAND_IN": f'{{"record": "{vm.directory}/record"}}', "RUNTIME_DIRECTORY": str(vm.directory)}
    process, child = running(vm)
    guard, = set(wait_for("the guard", lambda: len(children(process.pid)) == 2 and children(process.pid))) - {child}
    equal(sorted(os.readlink(f"/proc/{guard}/fd/{name}") for name in os.listdir(f"/proc/{guard}/fd")),
          ["anon_inode:[pidfd]"] * 2)
    process.kill()
    process.wait(60)
    wait_for("the VMM's end", lambda: has_ended(child))
    wait_for("the guard's end", lambda: has_ended(guard))
    process, child = running(vm)
    stop(process)
    nothing_left(vm)


# The VMM's output.

def test_stderr_of_the_vmm_is_forwarded(directory):
    """the VMM's stderr is forwarded before and after its VM is booted"""
    vm = Vm(directory)
    process, child = running(vm, stand_in={"say": "a line\nno end"})
    wait_for("the words", lambda: vm.errors() == "a line\nno end")
    with open(f"/proc/{child}/fd/2", "wb") as words:
        words.write(b" yet\nx" + b"y" * 300000)
        words.flush()
        wait_for("the words", lambda: vm.errors() == "a line\nno end yet\nx" + "y" * 300000)
    equal(stop(process), 0)


def test_output_with_a_credential_is_hidden(directory):
    """before the VM is booted, a line of the VMM's output that repeats a credential is hidden"""
    vm = Vm(directory)
    (vm.credentials / "host-api-key").write_text(value := "k" * 5 + "0123456789abcdefghijklmnopqrstuvwxyz-+")
    hidden = ("vmcred: warning: a line of the VMM's output is hidden because it repeats a credential; --expose=log shows "
              "it\n")
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in={"say": f"one\nit is {value}, {value}\ntwo\n", "die": 3}), 1, "",
           f"one\n{hidden}two\nerror: the stand-in refuses to start\n"
           "vmcred: starting cloud-hypervisor: it exited with code 3 before its VM booted: its output: one two error: the "
           "stand-in refuses to start\n")
    # Even if only part of it is repeated.
    stand_in = {"say": f"it is {value[3:11]}…", "exit": 0}
    expect(vm.run(*CLOUD_HYPERVISOR, stand_in=stand_in), 0, "", hidden)
    result = vm.run(*CLOUD_HYPERVISOR, options=("--expose=log",), stand_in=stand_in)
    equal((result.code, result.err.splitlines()[-1]), (0, stand_in["say"]))


def test_long_output_does_not_block_the_vmm(directory):
    """a VMM that prints more than a pipe holds while its VM is created does not block"""
    vm = Vm(directory)
    result = vm.run(*CLOUD_HYPERVISOR, stand_in={"chatter": ["vm.create", 20000], "exit": 0})
    expect(result, 0, "", "the stand-in prints a lot of output\n" * 20000)


def test_stderr_without_a_reader_does_not_block(directory):
    """a stderr without a reader blocks neither the launch nor the stop"""
    vm = Vm(directory)
    process = subprocess.Popen(
        [harness.VMCRED, "run", "--credentials", vm.credentials, "test-vm", "--", *CLOUD_HYPERVISOR], cwd=directory,
        env=harness.CLEAN_ENVIRONMENT | vm.environment({"chatter": ["vm.power-button", 1000]}),
        stderr=subprocess.PIPE)
    wait_for("vm.boot", vm.booted)
    process.stderr.close()
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 0)


# QEMU.

def test_query_runs_the_plain_hypervisor(directory):
    """a query such as -version or -M help gets the hypervisor's own answer and exit code, with --supervise too"""
    need("qemu-system-x86_64")
    vm = Vm(directory)
    for words in (["-version"], ["-help"], ["-M", "help"]):
        plain = run("qemu-system-x86_64", *words)
        for options in ((), ("--supervise",)):
            expect(vm.run("qemu-system-x86_64", *words, options=options), 0, plain.out, plain.err)
    expect(vm.run("cloud-hypervisor", "--version", stand_in={}), 0, "cloud-hypervisor v53.0\n", "")


def test_supervised_qemu_gets_strings_and_keeps_its_monitor(directory):
    """a supervised QEMU gets its strings as usual, and its user's monitor stays"""
    vm = Vm(directory)
    process, child = running_qemu(vm, "-qmp", f"unix:{directory}/qmp,server=on,wait=off")
    view = visible_to_others(child)
    equal(view.count(b"type=11,path=/dev/fd/"), 4)
    for pid in (process.pid, child):
        no_canary(visible_to_others(pid), vm.api_key)
    assert (directory / "qmp").is_socket()
    # vmcred itself can no longer read the pipes.
    targets = [os.readlink(f"/proc/{process.pid}/fd/{name}") for name in os.listdir(f"/proc/{process.pid}/fd")]
    equal(len([target for target in targets if target.startswith("pipe:")]), 1, targets)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    equal(process.wait(60), 0)
    (directory / "qmp").unlink(missing_ok=True)
    nothing_left(vm)


def test_sigterm_powers_down_supervised_qemu(directory):
    """SIGTERM powers a supervised QEMU's guest down, then quits it"""
    vm = Vm(directory)
    process, _ = running_qemu(vm, options=("--stop-timeout=1", "-v"))
    process.send_signal(signal.SIGTERM)
    equal(process.wait(60), 0)
    equal(says(vm), [*STEPS[:2], "warning: the guest did not power off within 1 s", STEPS[2]])


def test_supervised_qemu_that_does_not_start(directory):
    """a supervised QEMU that refuses to start is an error that quotes its output"""
    vm = Vm(directory)
    need("qemu-system-x86_64")
    words = "qemu-system-x86_64: -drive file=/nowhere: Could not open '/nowhere': No such file or directory"
    expect(vm.run(*QEMU, "-drive", "file=/nowhere", options=("--supervise",)), 1, "",
           f"{words}\n"
           f"vmcred: starting qemu-system-x86_64: it exited with code 1 before its VM booted: its output: {words}\n")
    nothing_left(vm)


def test_daemonize_is_refused_for_supervised_qemu(directory):
    """-daemonize is refused for a supervised QEMU"""
    expect(Vm(directory).run(*QEMU, "-daemonize", options=("--supervise",)), 2, "",
           "vmcred: preparing to start QEMU: -daemonize detaches QEMU from a supervising vmcred: remove -daemonize, or "
           "--supervise, --notify, --ready-target, --require-delivery or --stop-timeout\n")


def test_qemu_ends_if_vmcred_is_killed(directory):
    """QEMU ends if its supervising vmcred is killed"""
    process, child = running_qemu(Vm(directory))
    process.kill()
    process.wait(60)
    wait_for("QEMU's end", lambda: has_ended(child))


def test_qemu_with_another_user_ends_if_vmcred_is_killed(directory):
    """a QEMU that changes its user, which resets the kernel's signal, ends if vmcred is killed"""
    need_root()
    # QEMU 10 no longer has -runas.
    user = ("-run-with", "user=nobody") if "][user=" in run(need("qemu-system-x86_64"), "-help").out else ("-runas", "nobody")
    process, _ = running_qemu(Vm(directory), *user)
    qemu, = [pid for pid in children(process.pid) if user[0].encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
             and Path(f"/proc/{pid}/exe").resolve().name.startswith("qemu")]
    assert Path(f"/proc/{qemu}").stat().st_uid != 0
    process.kill()
    process.wait(60)
    wait_for("QEMU's end", lambda: has_ended(qemu))


# Contradictory options.

def test_conflicting_options_are_refused(directory):
    """options that contradict each other are refused"""
    vm = Vm(directory)
    for option in ("--supervise", "--notify", "--ready-target=a.target", "--require-delivery", "--stop-timeout=3"):
        expect(vm.run(*CLOUD_HYPERVISOR, options=("--exec", option), stand_in={}), 2, "",
               f"vmcred: --exec cannot be combined with {option.split('=')[0]}\n")
        if option != "--require-delivery":  # without a channel
            fails(vm.run(*CLOUD_HYPERVISOR, options=("--expose=argv", option), stand_in={}), 2, "--expose=argv", option.split("=")[0])
    expect(vm.run(*CLOUD_HYPERVISOR, options=("--exec",), stand_in={}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: --exec is not supported: Cloud Hypervisor gets its VM from a "
           "parent process: remove --exec\n")
    expect(vm.run(*CLOUD_HYPERVISOR, options=("--transport=fw_cfg",), stand_in={}), 2, "",
           "vmcred: preparing to start Cloud Hypervisor: --transport=fw_cfg is only for QEMU\n")


harness.main()
