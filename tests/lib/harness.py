# SPDX-License-Identifier: Apache-2.0
"""A small TAP harness for tests that run programs.

A test is a function test_NAME(directory) whose docstring is a sentence that can be false; it fails by raising.
Several tests with one body are functions registered with test(sentence). `vmcred(...)` runs the program and returns
its exit code and both outputs. Each test gets a private directory on a memory file system, removed afterwards.

    tests/cli/get.py -k PATTERN     runs the tests whose name or sentence contains PATTERN (also $TEST_FILTER)

Tests never read the host's configuration. $HOME is an empty directory. As root, the tests run in a mount namespace of
their own, where /run is empty and vmcred is not installed. As another user, a test that depends on a default path calls
need_default_paths().
"""
import atexit
import ctypes
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

VMCRED = os.path.abspath(os.environ.get("VMCRED", "build/vmcred"))
VMCRED_RUN, VMCRED_SOPS = VMCRED + "-run", VMCRED + "-sops"
SOURCE = Path(os.environ.get("VMCRED_SOURCE", ".")).absolute()
VERSION = (SOURCE / "VERSION").read_text().strip()
CI = os.environ.get("CI") == "true"

# What tools/install-deps and the examples keep between runs.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmcred"
# An empty one, so that no test finds the keys of the user who runs it.
HOME = tempfile.mkdtemp(prefix="vmcred-home.", dir="/dev/shm")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# The output of a program must not depend on the user who runs the tests or on the machine.
CLEAN_ENVIRONMENT = {key: os.environ[key] for key in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS") if key in os.environ} | {
    "HOME": HOME,
    "LC_ALL": "C.UTF-8",
}

# Where an installed vmcred keeps its declaration and its secrets.
HOST_PATHS = (
    "/etc/vmcred", "/var/lib/vmcred", "/run/vmcred", "/run/secrets", "/run/secrets.d", "/run/secrets-for-users",
    "/run/secrets-for-users.d", "/run/activation-secrets",
)  # fmt: skip
CLONE_NEWNS = 0x20000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 0x4000, 0x40000

# vmcred locks at least half of this, and warns if it cannot.
LOCKED_SIZE = 1 << 20

_tests = []
_is_host_hidden = False


class Skip(Exception):
    """The test cannot run here; the text says what it needs."""


@dataclass
class Result:
    code: int
    out: str
    err: str


def test(sentence):
    def register(function):
        _tests.append((sentence, function))
        return function

    return register


def run(*command, env=None, stdin=b"", cwd=None, timeout=120):
    """Runs a program to its end; `env` is added to a clean environment."""
    done = subprocess.run(
        [str(argument) for argument in command],
        env=CLEAN_ENVIRONMENT | (env or {}),
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        cwd=cwd,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    result = Result(
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "surrogateescape"),
    )
    # What printf(3) makes of a missing text.
    assert "(null)" not in result.out + result.err, result
    return result


def vmcred(*arguments, **options):
    return run(VMCRED, *arguments, **options)


def equal(got, expected, what="value"):
    if got != expected:
        raise AssertionError(f"{what} differs\n  got:      {got!r}\n  expected: {expected!r}")


def expect(result, code=0, out=None, err=None):
    """Compares the whole result; an output that is None is not compared."""
    if err is not None:
        equal(result.err, err, "stderr")
    if out is not None:
        equal(result.out, out, "stdout")
    if code is not None and result.code != code:
        raise AssertionError(f"exit code {result.code}, expected {code}\nstderr: {result.err}\nstdout: {result.out}")
    return result


def fails(result, code, *mentions):
    """Expects one error line on stderr and nothing on stdout. `mentions` are what the line must name: paths, names,
    numbers. The wording itself is compared in one test only, with expect()."""
    expect(result, code, "")
    equal((result.err[:8], result.err.count("\n"), result.err[-1:]), ("vmcred: ", 1, "\n"), f"form of the error {result.err!r}")
    for mention in mentions:
        assert str(mention) in result.err, f"{mention!r} is not in {result.err!r}"
    return result


def succeeds(result, *mentions):
    """Expects success, one line on stdout and nothing on stderr. `mentions` are what the line must name."""
    expect(result, 0, None, "")
    equal((result.out.count("\n"), result.out[-1:]), (1, "\n"), f"form of the output {result.out!r}")
    for mention in mentions:
        assert str(mention) in result.out, f"{mention!r} is not in {result.out!r}"
    return result


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


def need(program):
    """The path of a peer program. Without it the test is skipped with a message, or fails if CI=true."""
    path = shutil.which(program)
    if path:
        return path
    if CI:
        raise AssertionError(f"{program} is not installed, and CI=true allows no skips: tools/install-deps --test")
    raise Skip(f"{program} is not installed: tools/install-deps --test")


def need_device(path):
    """A device of the host. Not every container has it, and no package installs it."""
    if not os.path.exists(path):
        raise Skip(f"needs {path}")


def need_root():
    if os.geteuid() == 0:
        return
    if CI:
        raise AssertionError("needs root, and CI=true allows no skips")
    raise Skip("needs root")


def need_default_paths():
    """For a test that needs vmcred's default paths to be hidden or not to exist."""
    found = None if _is_host_hidden else next(filter(os.path.lexists, HOST_PATHS), None)
    if found and CI:
        raise AssertionError(f"{found} exists, and CI=true allows no skips")
    if found:
        raise Skip(f"{found} exists on this machine: run the tests as root, which hides it")


def _mount(source, target, kind, flags, options=None):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(*(text and str(text).encode() for text in (source, target, kind)), flags, options) != 0:
        raise OSError(ctypes.get_errno(), f"cannot mount on {target}: {os.strerror(ctypes.get_errno())}")


def hide_host(with_run=True):
    """Hides the host's configuration from this process and its children, where it may: with an empty /run (and so without
    the host's services), and without what vmcred keeps elsewhere. A container may refuse namespaces even to root."""
    global _is_host_hidden  # pylint: disable=global-statement
    if os.geteuid() != 0 or ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:
        return
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    # The last two may have identities.
    for path in (*HOST_PATHS, "/etc/ssh", "/var/lib/sops-nix"):
        if not path.startswith("/run/") and os.path.isdir(path):
            _mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV, b"mode=755")
    if with_run:
        _mount("none", "/run", "tmpfs", MS_NOSUID | MS_NODEV, b"mode=755")
    _is_host_hidden = with_run


# A root directory with another /nix/store.
_NIX_STORE = """
mkdir "$1/root" && mount --bind "$1/root" "$1/root" && cd "$1/root" || exit 1
for entry in /*; do
    if [ -L "$entry" ]; then cp -P "$entry" .
    elif [ -d "$entry" ] && [ "$entry" != /nix ]; then mkdir ".$entry" && mount --rbind "$entry" ".$entry" || exit 1; fi
done
mkdir -p nix/store && mount --bind "$1/nix-store" nix/store && path=$2 && shift 2 || exit 1
# Not chroot(8): a process below it may not create namespaces.
pivot_root . . && umount --lazy . && cd / && exec /usr/bin/env PATH="$path" "$@"
"""


def with_nix_store(directory, *command, path=os.environ["PATH"]):
    """Runs a command that has another $PATH and finds directory/nix-store as /nix/store."""
    return run("unshare", "--mount", "--propagation", "private", "sh", "-c", _NIX_STORE, "sh", directory, path, *command)


def can_lock_memory():
    with mmap.mmap(-1, LOCKED_SIZE) as memory:
        buffer = (ctypes.c_char * LOCKED_SIZE).from_buffer(memory)
        locked = ctypes.CDLL(None).mlock(buffer, ctypes.c_size_t(LOCKED_SIZE)) == 0
        del buffer
        return locked


def collected():
    """The tests of the program that runs: its functions test_*, then those registered with test()."""
    functions = vars(sys.modules["__main__"]).items()
    found = [(function.__doc__, name, function) for name, function in functions if name.startswith("test_") and function.__doc__]
    found += [(sentence, function.__name__, function) for sentence, function in _tests]
    pattern = sys.argv[sys.argv.index("-k") + 1] if "-k" in sys.argv else os.environ.get("TEST_FILTER", "")
    return [(sentence, function) for sentence, name, function in found if pattern in name or pattern in sentence]


def main(with_host_services=False, done=0):
    """Runs the program's tests. `with_host_services` keeps the host's /run, for tests that start containers. So many tests are
    `done` already, by another process that printed the plan."""
    failed = 0
    tests = collected()
    if not can_lock_memory():
        reason = "cannot lock 1 MiB of memory: raise `ulimit -l`, or give the container CAP_IPC_LOCK"
        print(f"Bail out! {reason}" if CI else f"1..0 # SKIP {reason}")
        sys.exit(1 if CI else 0)
    hide_host(with_run=not with_host_services)
    # A shell without job control ignores the first two in its background processes, nohup the third; children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if done == 0:
        print(f"1..{len(tests)}" if tests else "1..0 # SKIP no test matches", flush=True)
    for number, (sentence, function) in enumerate(tests[done:], done + 1):
        sentence = sentence.replace("#", "\\#")
        directory = Path(tempfile.mkdtemp(prefix="vmcred-test.", dir="/dev/shm"))
        try:
            function(directory)
            print(f"ok {number} - {sentence}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {sentence} # SKIP {reason}", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {sentence}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            sys.stdout.flush()
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    sys.exit(1 if failed else 0)
