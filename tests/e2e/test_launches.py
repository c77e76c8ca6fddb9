#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hundreds of launches, some killed at random moments, expose nothing in a process, a file or a log.

Usage: test_launches.py WATCH STEP STAND-IN LEAK ATTACK, the programs of this directory. $LAUNCHES_SEED repeats the random
choices of a run, which prints its seed. To show that the watcher works, vmcred is also run with a preloaded library that
makes it leak (leak.c).
"""
import atexit
import functools
import itertools
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import canary
import harness
import tiny_guest
from example import AS_NOBODY, NOBODY
from harness import CLEAN_ENVIRONMENT, VMCRED_RUN, Skip, equal, need_root, test
from vm import Vm, wait_for
from watcher import Watch, disks

WATCH, STEP, STAND_IN, LEAK, ATTACK = (str(Path(path).resolve()) for path in sys.argv[1:])
SEED = int(os.environ.get("LAUNCHES_SEED", random.SystemRandom().randrange(1 << 32)))
CHOICES = random.Random(SEED)
# New random values in each run, so that no older file contains them; they include characters that the encodings change.
TOKENS = [f"{CHOICES.getrandbits(96):024x}" for _ in range(2)]
API_KEY = f"canary/+ =&:%~é-{TOKENS[0]}"
TLS = b"canary\n" + TOKENS[1].encode() + b"\n\0" + bytes(CHOICES.getrandbits(8) for _ in range(256))
PATTERNS = canary.forms("api-key", API_KEY.encode()) | canary.forms("tls", TLS) | {
    # Part of a truncated value.
    name: pattern for token in TOKENS for name, pattern in canary.forms(f"part-{token[:2]}", token.encode()).items()}
SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# These do not clean up, but must leave nothing secret.
# The private directory of the API socket, until it is removed.
SOCKET_FOLDER = re.compile(r"/runtime/vmcred\.\w{6}(/api)?$")
DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)
BOOTED = b"the VM is booted\n"
SUPERVISED = ("--supervise", "--stop-timeout=0")
# Program → how to start it, and its output once it runs.
STAND_INS = {
    "cloud-hypervisor": (SUPERVISED, ("cloud-hypervisor", "--kernel", "/k"), BOOTED),
    "qemu": (("--exec",), ("qemu-system-x86_64",), b"running\n"),
}


def command_line(options, words):
    return [VMCRED_RUN, "run", "-vv", *options, "--config", box().vm.directory / "vmcred.yaml", "--credentials",
            box().vm.credentials, "test-vm", "--", *words]


def environment(leak=None):
    env = CLEAN_ENVIRONMENT | {"PATH": f"{box().bin}:{os.environ['PATH']}", "RUNTIME_DIRECTORY": str(box().runtime)}
    return env | {"LD_PRELOAD": LEAK, "LEAK": leak[0], "LEAK_FORM": leak[1]} if leak else env


class Launch:
    """A `vmcred run` in a sandbox: its working directory is on a disk, its credentials and its private directory in memory."""

    def __init__(self, options, words, leak=None):
        self.output = b""
        self.process = subprocess.Popen(
            command_line(options, words), cwd=box().work, env=environment(leak), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.process.pid

    def _read(self):
        """The next part of the output; empty at the end."""
        if not select.select([self.process.stdout], [], [], 60)[0]:
            os.killpg(self.pid, signal.SIGKILL)
            raise AssertionError(f"no output for a minute after {self.output!r}")
        data = os.read(self.process.stdout.fileno(), 65536)
        self.output += data
        return data

    def comes_up(self, words):
        """Reads the output up to this text. Returns False if it ends before."""
        while words not in self.output:
            if not self._read():
                return False
        return True

    def members(self):
        """The processes of its session, including itself; none of them leaves it."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == self.pid and fields[0] != "Z":
                found.append(int(path.parent.name))
        return found

    def kill(self, number):
        os.kill(self.pid, number)

    def end(self):
        """Waits until all of its processes have ended. Returns its exit code."""
        while self._read():
            continue
        code = self.process.wait(60)
        wait_for("the end of the launch's processes", lambda: not self.members())
        return code


class Box:
    """The sandbox of the launches."""

    def __init__(self, directory):
        need_root()
        # vmcred must prevent core files itself, so nothing else here does.
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.vm = Vm(directory / "vm")
        (self.vm.credentials / "host-api-key").write_bytes(API_KEY.encode())
        (self.vm.credentials / "host-tls").write_bytes(TLS)
        self.bin, self.runtime = directory / "bin", directory / "runtime"
        self.guest = directory / "guest"
        for place in (self.bin, self.runtime, self.guest):
            place.mkdir()
        # On a disk. A core file with a relative name would appear here.
        self.work = Path(tempfile.mkdtemp(prefix="vmcred-launches.", dir="/var/tmp"))
        for name in ("cloud-hypervisor", "qemu-system-x86_64"):
            (self.bin / name).symlink_to(STAND_IN)

    def close(self):
        shutil.rmtree(self.work)
        shutil.rmtree(self.vm.directory.parent)

    def watch(self):
        """All disks, and the sandbox's directories in memory."""
        return Watch(WATCH, PATTERNS, disks() + [self.vm.directory])

    def left(self):
        """The files that a launch left."""
        return sorted(str(path) for top in (self.work, self.runtime) for path in top.rglob("*"))

    def clear(self):
        for top in (self.work, self.runtime):
            for path in top.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()



@functools.cache
def box():
    made = Box(Path(tempfile.mkdtemp(prefix="vmcred-launches.", dir="/dev/shm")))
    atexit.register(made.close)
    return made


def real_ones():
    """The installed real hypervisors with a guest of a few instructions, in the form of STAND_INS."""
    found = {}
    program = shutil.which("qemu-system-x86_64")
    if program:
        words = (program, "-nodefaults", "-display", "none", "-accel", "tcg", "-m", "32",
                 "-bios", tiny_guest.rom(box().guest / "rom"), "-serial", "stdio")
        found["real qemu"] = (("--exec",), words, tiny_guest.SAYS)
        found["real qemu, supervised"] = (SUPERVISED, words, BOOTED)
    program = shutil.which("cloud-hypervisor")
    if program and os.access("/dev/kvm", os.R_OK | os.W_OK):
        found["real cloud-hypervisor"] = (
            SUPERVISED, (program, "--kernel", tiny_guest.kernel(box().guest / "kernel"), "--cpus", "boot=1", "--memory",
             "size=32M", "--serial", "null", "--console", "off"), BOOTED)
    return found


class Storm:
    """The result of hundreds of launches: the number of each kind, and the faults."""

    def __init__(self):
        self.kinds, self.ends, self.faults, self.memory = Counter(), Counter(), [], 0
        self.output = 0
        self.error = self.watch = None

    def fault(self, what):
        self.faults.append(f"launch {sum(self.kinds.values())}: {what}")

    def launch(self, watch, kind, what, wait=None):
        """One launch. `wait`: seconds until it receives a signal, or None to inspect and then stop it."""
        self.kinds[kind] += 1
        options, words, said = what
        launch = Launch(options, words)
        number = signal.SIGTERM
        if wait is None:
            if not launch.comes_up(said):
                self.fault(f"{kind} has not come up")
            self.look(watch, launch)
        else:
            time.sleep(wait)
            number = CHOICES.choice(SIGNALS)
        self.ends[f"{'killed' if wait is not None else 'stopped'} by {signal.Signals(number).name}"] += 1
        launch.kill(number)
        launch.end()
        self.output += len(launch.output)
        self.faults += [f"{kind}: {found}" for found in canary.search(PATTERNS, launch.output, "the log")]
        self.faults += [f"{kind}: {' '.join(found)}" for found in watch.report()]
        self.look_behind(kind, number, launch)

    def look(self, watch, launch):
        """Inspects every process of a running VM, and all memory of vmcred if it still runs."""
        watch.round()
        if Path(f"/proc/{launch.pid}/comm").read_text() == "vmcred-run\n":
            size = watch.memory(launch.pid)
            self.memory += 1
            if size < 1 << 20:
                self.fault(f"only {size} bytes of vmcred's memory could be read")

    def look_behind(self, kind, number, launch):
        self.faults += [f"{kind}, {signal.Signals(number).name}: {fault}" for fault in left(number, launch.output)]


def left(number, output):
    """The files that a launch killed by a signal leaves, if any."""
    core = box().work / "core"
    found = []
    # A process that had not started its work: it prints its first line with the first credential.
    if core.exists() and b"vmcred: " not in output:
        found += canary.search(PATTERNS, core.read_bytes(), "a file of [core]")
        core.unlink()
    paths = box().left()
    if number in DEADLY:
        paths = [path for path in paths if not SOCKET_FOLDER.search(path)]
    box().clear()
    return found + ([str(paths)] if paths else [])


def duration_of(options, words, said):
    """The median time of a few launches until the VM runs."""
    times = []
    for _ in range(5):
        start = time.monotonic()
        launch = Launch(options, words)
        assert launch.comes_up(said), launch.output
        times.append(time.monotonic() - start)
        launch.kill(signal.SIGTERM)
        launch.end()
    return sorted(times)[2]


@functools.cache
def storm():
    """Runs all launches once, with the watcher. An error fails every test that uses them."""
    result = Storm()
    try:
        storm_run(result)
    except Exception as error:  # pylint: disable=broad-except
        result.error = error
    return result


def storm_run(result):
    kinds = [(kind, what, 180) for kind, what in STAND_INS.items()]
    kinds += [(kind, what, 40) for kind, what in real_ones().items()]
    with box().watch() as watch:
        for kind, what, number in kinds:
            usual = duration_of(*what)
            for turn in range(number):
                result.launch(watch, kind, what, CHOICES.uniform(0, 1.3 * usual) if turn % 2 else None)
        result.watch = watch
    kinds = ", ".join(f"{number} of {kind}" for kind, number in result.kinds.items())
    ends = ", ".join(f"{number} {end}" for end, number in sorted(result.ends.items()))
    print(f"# {sum(result.kinds.values())} launches: {kinds}; seed {SEED}")
    print(f"# {ends}")
    print(f"# {watch.counts['rounds']} rounds with {watch.counts['samples']} looks at a process, "
          f"{watch.counts['files']} files and names, {result.memory} memories of vmcred, {result.output} bytes of output")


def define_storm(sentence, *kinds_of_fault):
    @test(sentence)
    def test_storm(_directory):
        assert storm().error is None, repr(storm().error)
        faults = [fault for fault in storm().faults if re.search("|".join(kinds_of_fault), fault)]
        equal(faults, [], f"findings (LAUNCHES_SEED={SEED})")


define_storm("through hundreds of launches no process shows a secret: arguments, environment, mappings, descriptors",
             "cmdline", "environ", "maps", " fd ", "unix")
define_storm("through hundreds of launches no file that is written, and no name of one, holds a secret", " file ", " name ")
define_storm("no line of vmcred at its highest verbosity holds a secret", "the log")
define_storm("while its VM runs, no memory of vmcred holds a secret", "memory")
define_storm("no launch leaves a file, or a core file after it has read a secret, however it ended", r"\[")
define_storm("every launch that is not interrupted succeeds", "come up")


def test_watcher_lost_no_file(_directory):
    """the watcher lost no file and saw vmcred and the hypervisors"""
    watch = storm().watch
    assert watch, storm().error
    equal(watch.counts["lost"], 0, "lost events")
    missing = {"vmcred-run", "cloud-hyperviso", "qemu-system-x86"} - set(watch.seen)
    if missing:
        raise AssertionError(f"never seen: {missing}")
    if storm().memory < 50:
        raise AssertionError(f"only {storm().memory} memories were searched")


# Stops at every system call, so that even the shortest leak is seen.

def stepped(kind, number=0, stop=0, leak=None):
    """A launch that ends by itself, or by a signal at one of its stops. Returns findings, stops, exit status, output."""
    options, words, _ = STAND_INS[kind]
    patterns = "".join(f"{name} {pattern.hex()}\n" for name, pattern in PATTERNS.items()) + "\n"
    done = subprocess.run([STEP, str(int(number)), str(stop), *command_line(options, words)], cwd=box().work,
                          env=environment(leak) | {"STAND_IN_ENDS": "1"}, input=patterns.encode(), capture_output=True,
                          timeout=60, check=True)
    report = done.stdout.decode()
    found = [tuple(line.split(" ", 2)) for line in re.findall(r"^found (.*)$", report, re.MULTILINE)]
    stops, status = (int(re.search(rf"{what}(\d+)", report).group(1)) for what in ("rounds=", "status "))
    return found, stops, status, done.stderr


def test_no_secret_between_system_calls(_directory):
    """between any two system calls of a launch, none of its processes shows a secret"""
    for kind in STAND_INS:
        found, stops, status, output = stepped(kind)
        print(f"# {kind}: {stops} stops")
        equal((found, status, left(0, output)), ([], 0, []), f"findings, exit status and files of {kind}")
        assert stops > 200 and b"running\n" in output, output


def define_ended(number):
    @test(f"{number.name} between any two system calls of a launch exposes and leaves nothing")
    def test_ended(_directory):
        faults, launches = [], 0
        with box().watch() as watch:
            for kind in STAND_INS:
                stops = stepped(kind)[1]
                for stop in range(CHOICES.randrange(1, STRIDE), stops, STRIDE):
                    found, _, _, output = stepped(kind, number, stop)
                    launches += 1
                    found += left(number, output) + canary.search(PATTERNS, output, "the log") + watch.report()
                    faults += [f"{kind} at {stop}: {what}" for what in found]
        assert launches > 50, launches
        print(f"# {launches} launches ended by {number.name}, seed {SEED}")
        equal(faults, [], f"findings (LAUNCHES_SEED={SEED})")


# Every n-th of several hundred stops, from a random start.
STRIDE = 12
for deadly in (signal.SIGKILL, signal.SIGTERM):
    define_ended(deadly)


def test_leak_between_system_calls_is_found(_directory):
    """a leak that lasts from one system call to the next is found each time"""
    for kind, form in itertools.product(STAND_INS, PATTERN_OF):
        found = {(name, where) for name, where, _ in stepped(kind, leak=("brief", form))[0]}
        if (PATTERN_OF[form], "fd") not in found:
            raise AssertionError(f"{kind}, {form}: not found, but {sorted(found)}")


# The watcher finds the leaks of a vmcred that leaks on purpose.

PLACES = {
    # Where it leaks → the watcher's name for it, and the possible encodings.
    "argv": ("cmdline", ("plain", "base64", "hex", "url")),
    "environ": ("environ", ("plain", "base64", "hex", "url")),
    "log": ("log", ("plain", "base64", "hex", "url")),
    "file": ("file", ("plain", "base64", "hex", "url")),
    "deleted": ("file", ("plain", "base64", "hex", "url")),
    # A file name cannot contain a '/'.
    "name": ("name", ("hex", "url")),
    "memfd": ("fd", ("plain", "base64", "hex", "url")),
    "socket": ("unix", ("plain", "base64", "hex", "url")),
    "memory": ("memory", ("plain",)),
}
PATTERN_OF = {"plain": "api-key/raw", "base64": "api-key/base64+0", "hex": "api-key/hex", "url": "api-key/url"}


def leaks_seen(place, form, kind):
    """The findings of a launch that leaks: pattern and place."""
    options, words, said = STAND_INS[kind]
    with box().watch() as watch:
        launch = Launch(options, words, leak=(place, form))
        assert launch.comes_up(said), launch.output
        watch.round()
        if place == "memory":
            watch.memory(launch.pid)
        launch.kill(signal.SIGTERM)
        launch.end()
        found = {(name, where) for name, where, _ in watch.report()}
    box().clear()
    return found | {(line.split()[0], "log") for line in canary.search(PATTERNS, launch.output, "log")}


def define_leak(place, where, forms):
    @test(f"a vmcred that leaks ({place}) is found each time, in each encoding: {', '.join(forms)}")
    def test_leak(_directory):
        # After the exec of the hypervisor, nothing of vmcred remains.
        kinds = [kind for kind in STAND_INS if place != "memory" or SUPERVISED == STAND_INS[kind][0]]
        for kind in kinds:
            for form in forms:
                found = leaks_seen(place, form, kind)
                if (PATTERN_OF[form], where) not in found:
                    raise AssertionError(f"{kind}, {form}: not found, but {sorted(found)}")


for leak_place, (seen_as, leak_forms) in PLACES.items():
    define_leak(leak_place, seen_as, leak_forms)


# Attacks by the same user.

def attacked(directory, leak=None):
    """The result of each attempt of a debugger; everything runs as nobody."""
    directory.chmod(0o755)
    place = Path(tempfile.mkdtemp(prefix="vmcred-launches.", dir="/var/tmp"))
    try:
        place.chmod(0o755)
        for program in (VMCRED_RUN, STAND_IN, LEAK, ATTACK):
            shutil.copy(program, place)
        (place / "cloud-hypervisor").symlink_to("stand_in")
        vm = Vm(directory / f"attacked-{leak}")
        harness.run("chown", "-R", f"{NOBODY}:{NOBODY}", vm.directory)
        env = {"PATH": f"{place}:{os.environ['PATH']}", "RUNTIME_DIRECTORY": str(vm.directory)}
        if leak:
            env |= {"LEAK": leak, "LD_PRELOAD": str(place / Path(LEAK).name)}
        result = harness.run(*AS_NOBODY, place / "attack", place / "vmcred-run", "run", "--config", vm.directory / "vmcred.yaml",
                             "--credentials", vm.credentials, "test-vm", "--", "cloud-hypervisor", "--kernel", "/k",
                             env=env, cwd=vm.directory)
    finally:
        shutil.rmtree(place)
    equal((result.code, result.err), (0, ""), "exit code and stderr")
    return result.out


ATTEMPTS = ("/proc/PID/mem", "/proc/PID/maps", "/proc/PID/environ", "/proc/PID/fd", "process_vm_readv", "pidfd_getfd",
            "ptrace")


def test_same_user_cannot_read_vmcred(directory):
    """the same user can neither attach to vmcred nor read its memory, environment or descriptors, as gcore would"""
    need_root()
    equal(attacked(directory), "".join(
        f"{name}: {'Permission denied' if name.startswith('/proc') else 'Operation not permitted'}\n"
        for name in ATTEMPTS), "what each attempt came to")


def test_same_user_can_read_dumpable_vmcred(directory):
    """all of these attempts succeed if vmcred is made dumpable on purpose"""
    need_root()
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and int(scope.read_text()) > 1:
        raise Skip("this kernel forbids attaching to processes (Yama)")
    equal(attacked(directory, "core"), "".join(f"{name}: succeeded\n" for name in ATTEMPTS), "what each attempt came to")


harness.main(with_host_services=True)
