# SPDX-License-Identifier: Apache-2.0
"""Scripts of generators: the shell, the sandbox, the time limit, and the output of a script that fails."""
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import harness
from example import AS_NOBODY, NOBODY, Example, program_for_all
from harness import VMCRED, equal, expect, fails, need, need_root, run, test, with_nix_store
from vm import wait_for


# Instead of lines that repeat a secret.
HIDDEN = "(hidden: repeats a secret)"

def declaration(generators):
    text = "machines: {m: {}}\ngenerators:\n"
    for name, lines in generators.items():
        text += f"  {name}:\n" + "".join(f"    {line}\n" for line in lines.splitlines())
    return text


def scripted(text, more="machines: [m]\nfiles: {it: {}}"):
    return more + "\nscript: |\n" + "".join(f"  {line}\n" for line in text.splitlines())


def example(directory, text):
    return Example(directory, declaration({"g": scripted(text)}), generate=False)


# A process for which unshare(2) is refused, as in a container that allows no namespaces.
NO_UNSHARE = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 272, "aarch64": 97}[platform.machine()]
code = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 0x06, 0, 0, 0x00050001, 0x06, 0, 0, 0x7FFF0000)
code = ctypes.create_string_buffer(code)
program = struct.pack("HxxxxxxP", 4, ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
# The two implementations of the sandbox, by the command that runs vmcred so that it uses them.
SANDBOXES = {"namespaces": [], "bubblewrap": [sys.executable, "-c", NO_UNSHARE]}


def generate_with(sandbox, here, *arguments, env=None):
    if sandbox == "bubblewrap":
        need("bwrap")
    return run(*SANDBOXES[sandbox], VMCRED, "generate", "--config", here.config, *arguments, env=env)


def sandboxed(sentence, text, out):
    """A claim about both sandboxes: a script prints `out` to its file."""
    for sandbox in SANDBOXES:

        @test(f"{sentence} ({sandbox})")
        def test_sandboxed(directory, sandbox=sandbox):
            here = example(directory, text)
            expect(generate_with(sandbox, here), 0, "g for m: generated it\n", "")
            expect(here.get("it", generator="g"), 0, out, "")


sandboxed("a script has no network", "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' > $out/it", "lo\n")
sandboxed(
    "a script can write only to its own directories",
    "for place in / /tmp /run /dev/shm /var/tmp /root /dev; do\n"
    "  if (: > $place/vmcred-was-here) 2>/dev/null; then echo $place >> $out/it; fi\n"
    "done\necho tmp > $TMPDIR/x; cat $TMPDIR/x >> $out/it",
    "/tmp\n/dev/shm\ntmp\n",
)
sandboxed("a script sees only its own processes", "set -- /proc/[0-9]*; echo $# > $out/it", "2\n")
sandboxed(
    "a script has no capabilities and cannot gain privileges",
    "grep -hE '^(Cap|NoNewPrivs)' /proc/self/status | cut -f2 | sort -u > $out/it",
    "0000000000000000\n1\n",
)
sandboxed("a script finds nothing in /run", "ls -A /run | grep -vE '^(current|booted)-system$' > $out/it || :", "")
sandboxed(
    "a script's environment has only its own variables",
    "echo $out; env | cut -d= -f1 | grep -vE '^(PWD|SHLVL|_|OLDPWD)$' | sort > $out/it",
    "HOME\nPATH\nTMPDIR\nin\nout\n",
)


SYSTEM = "/nix/store/00000000000000000000000000000000-system"

for SANDBOX in SANDBOXES:

    @test(f"a script finds its programs on NixOS, where they are in /nix/store ({SANDBOX})")
    def test_nixos(directory, sandbox=SANDBOX):
        need_root()
        here = example(directory, "command -v cat > $out/it")
        programs = directory / "nix-store" / Path(SYSTEM).name / "sw/bin"
        programs.mkdir(parents=True)
        for program in ("cat", "bwrap"):
            shutil.copy(need(program), programs)
        Path("/run/current-system").symlink_to(SYSTEM)
        path = "/run/current-system/sw/bin"
        try:
            expect(with_nix_store(directory, *SANDBOXES[sandbox], VMCRED, "generate", "--config", here.config, path=path), 0,
                   "g for m: generated it\n", "")
        finally:
            Path("/run/current-system").unlink()
        expect(here.get("it", generator="g"), 0, f"{path}/cat\n", "")


def test_no_sandbox(directory):
    """without a sandbox a script sees the host's processes"""
    here = example(directory, "set -- /proc/[0-9]*; [ $# -gt 3 ]; echo seen > $out/it")
    expect(here.generate("--no-sandbox"), 0, "g for m: generated it\n", "")
    expect(here.get("it", generator="g"), 0, "seen\n", "")


def test_sandbox_of_a_user(directory):
    """the sandbox works for a user who is not root"""
    need_root()
    program = program_for_all(directory)
    here = Example(directory, declaration({"g": scripted("id -u > $out/it")}), generate=False)
    run("chown", "-R", f"{NOBODY}:{NOBODY}", directory)
    expect(run(*AS_NOBODY, program, "generate", "--config", here.config, env={"XDG_RUNTIME_DIR": str(directory)}), 0,
           "g for m: generated it\n", "")  # fmt: skip
    expect(here.get("it", generator="g"), 0, f"{NOBODY}\n", "")


def test_time_limit(directory):
    """a script that exceeds its time is killed with all that it started"""
    here = Example(
        directory, declaration({"g": scripted("setsid sleep 71.5 & sleep 71.5")}), generate=False
    )
    expect(
        here.generate("--script-timeout", "1"), 1, "",
        "vmcred: generator g: the script did not end within 1 second: --script-timeout changes the limit\n",
    )  # fmt: skip
    # On a busy machine, the kernel may take a moment to end what bubblewrap leaves.
    wait_for("the end of all that it started", lambda: run("pgrep", "-f", "sleep 71.5").code == 1)
    fails(here.generate("--script-timeout", "0"), 2, "--script-timeout", '"0"')


def test_daemon_is_killed(directory):
    """a daemon that a script leaves running is killed"""
    here = Example(
        directory, declaration({"g": scripted("setsid sh -c 'sleep 72.5 &' </dev/null >/dev/null 2>&1\necho x > $out/it")}),
        generate=False,
    )  # fmt: skip
    expect(here.generate(timeout=60))
    wait_for("its end", lambda: run("pgrep", "-f", "sleep 72.5").code == 1)


for how, words, nap in ("", [], "73.5"), (" without a sandbox", ["--no-sandbox"], "74.5"):

    @test(f"the script of a killed run is killed{how}")
    def test_killed_run(directory, words=words, nap=nap):
        here = example(directory, f"sleep {nap}")
        with subprocess.Popen([VMCRED, "generate", "--config", str(here.config), *words], env=harness.CLEAN_ENVIRONMENT) as process:
            wait_for("the script", lambda: run("pgrep", "-f", f"sleep {nap}").code == 0)
            process.send_signal(signal.SIGKILL)
        wait_for("the script's end", lambda: run("pgrep", "-f", f"sleep {nap}").code == 1)


def test_inputs_are_hidden(directory):
    """a failing script's inputs are hidden in its output"""
    here = Example(
        directory,
        declaration({
            "g": scripted("cat $in/dep/it $prompts/pass; echo; exit 1",
                          "machines: [m]\nfiles: {it: {}}\ndependencies: [dep]\nprompts: {pass: {}}"),
            "dep": scripted("echo dependency-secret > $out/it"),
        }),
        generate=False,
    )  # fmt: skip
    (directory / "pass").write_text("prompted-secret")
    result = here.generate("--prompt", f"pass=@{directory}/pass")
    expect(result, 1, "dep for m: generated it\n",
           "vmcred: generator g: the script exited with code 1: it printed:\n"
           + HIDDEN + "\n")  # fmt: skip


def test_own_tmp(directory):
    """a script's /tmp and /dev/shm are not the host's"""
    for sandbox in SANDBOXES:
        (directory / sandbox).mkdir()
        here = example(directory / sandbox, "touch /tmp/vmcred-was-here /dev/shm/vmcred-was-here; ls /tmp > $out/it")
        expect(generate_with(sandbox, here))
        equal(here.get("it", generator="g").out.split(), ["in", "out", "tmp", "vmcred-was-here"])
        for place in "/tmp", "/dev/shm":
            assert not os.path.exists(f"{place}/vmcred-was-here"), place


def test_out_is_never_swapped(directory):
    """for root, $out is on a file system that is never swapped and not mounted on the host"""
    need_root()
    # By its number: the host may have mounted a file system on /tmp, too.
    here = example(directory, "exec 9<$out; number=$(sed -n 's/^mnt_id:[[:space:]]*//p' /proc/self/fdinfo/9)\n"
                           "grep \"^$number \" /proc/self/mountinfo > $out/it; cd $out/..; pwd >> $out/it")  # fmt: skip
    expect(here.generate())
    mount, place = here.get("it", generator="g").out.splitlines()
    assert " - ramfs " in mount or "noswap" in mount, mount
    equal(place, "/tmp")


REACH = """\
for place in %s; do
  case $place in
    */fifo) (exec 9<> $place) 2> /dev/null ;;
    */file) cat $place ;;
    *) perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un($ARGV[0] =~ s/^@/\\0/r)) or exit 1' $place ;;
  esac > /dev/null 2>&1 && echo $place >> $out/it
done
echo end >> $out/it
"""


def test_nothing_of_the_host_is_reached(directory):
    """a script reaches no file, FIFO or socket of the host's services and users, and no abstract socket"""
    need("perl")
    parents = ("/tmp", "/dev/shm", "/var/tmp") + (("/run", "/root", "/srv", "/var/lib", "/mnt") if os.geteuid() == 0 else ())
    directories = [tempfile.mkdtemp(prefix="vmcred-test.", dir=parent) for parent in parents]
    places = [f"@vmcred-test-{os.getpid()}"]
    sockets = []
    try:
        for place in directories:
            os.mkfifo(f"{place}/fifo")
            (Path(place) / "file").write_text("an identity")
            places += [f"{place}/socket", f"{place}/fifo", f"{place}/file"]
        for place in places:
            if place[0] == "@" or place.endswith("/socket"):
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(place.replace("@", "\0"))
                listener.listen(8)
                sockets.append(listener)
        here = example(directory, REACH % " ".join(places))
        for sandbox in SANDBOXES:
            expect(generate_with(sandbox, here, "--regenerate", "--all"))
            expect(here.get("it", generator="g"), 0, "end\n")
        # Without a sandbox it reaches them.
        expect(here.generate("--no-sandbox", "--regenerate", "--all"))
        expect(here.get("it", generator="g"), 0, "\n".join(places) + "\nend\n")
    finally:
        for listener in sockets:
            listener.close()
        for place in directories:
            run("rm", "-r", place)


def test_program_elsewhere(directory):
    """a script runs programs in a directory of $PATH below a home directory, and sees no other file there"""
    home = Path(tempfile.mkdtemp(prefix="vmcred-test.", dir="/var/tmp"))
    try:
        (home / "private").write_text("")
        (home / ".local/bin").mkdir(parents=True)
        harness.write_program(home / ".local/bin/made-here", "#!/bin/sh\necho made-here\n")
        here = example(directory, f"made-here > $out/it; ls -A {home} >> $out/it")
        path = f"{harness.CLEAN_ENVIRONMENT['PATH']}:{home}/.local//bin"
        for sandbox in SANDBOXES:
            expect(generate_with(sandbox, here, "--regenerate", "--all", env={"PATH": path}))
            expect(here.get("it", generator="g"), 0, "made-here\n.local\n")
    finally:
        run("rm", "-r", home)


def test_nothing_of_vmcred_is_reached(directory):
    """a script finds neither vmcred's environment nor its memory in a process that it sees, also if a user runs it"""
    need_root()
    program = program_for_all(directory)
    find = "for file in /proc/[0-9]*/environ /proc/[0-9]*/maps; do tr '\\0' '\\n' < $file; done 2> /dev/null | " \
           "grep -oE '^SOPS_AGE_KEY|libcrypto' | sort -u > $out/it || :"  # fmt: skip
    here = Example(directory, declaration({"g": scripted(find)}), generate=False)
    environment = {"SOPS_AGE_KEY": "AGE-SECRET-KEY-1", "XDG_RUNTIME_DIR": str(directory)}
    for user in [], AS_NOBODY:
        if user:
            run("chown", "-R", f"{NOBODY}:{NOBODY}", directory)
        for sandbox in SANDBOXES.values():
            expect(run(*user, *sandbox, program, "generate", "--regenerate", "--all", "--config", here.config, env=environment), 0,
                   "g for m: generated it\n", "")  # fmt: skip
            expect(here.get("it", generator="g"), 0, "")


# Their numbers on x86_64; those from 424 on are the same on each architecture.
REFUSED_CALLS = {
    "add_key": 248, "request_key": 249, "keyctl": 250, "kcmp": 312, "pidfd_getfd": 438, "process_madvise": 440,
    "process_vm_readv": 310, "process_vm_writev": 311, "ptrace": 101, "clone3": 435, "setns": 308, "unshare": 272, "bpf": 321,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "perf_event_open": 298, "userfaultfd": 323,
    "modify_ldt": 154, "fanotify_init": 300, "syslog": 103, "x32's getpid": 0x40000000 + 39, "a new one": 463,
}  # fmt: skip
REFUSED_CALLS_ON_AARCH64 = {
    "add_key": 217, "request_key": 218, "keyctl": 219, "kcmp": 272, "process_vm_readv": 270, "process_vm_writev": 271,
    "ptrace": 117, "setns": 268, "unshare": 97, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "modify_ldt": None,
    "fanotify_init": 262, "syslog": 116, "x32's getpid": None,
}  # fmt: skip
IS_AARCH64 = platform.machine() == "aarch64"
SYSTEM_CALLS = """\
perl -MErrno -e 'while (@ARGV) { my ($name, $number) = splice(@ARGV, 0, 2); $! = 0; syscall(0 + $number, 0, 0, 0, 0, 0);
  print "$name: $!\\n" unless $!{ENOSYS} } ' %s >> $out/it
perl -MErrno -e '$! = 0; syscall(%d, 0x10000000 | 17, 0, 0, 0, 0); print "clone: $!\\n" unless $!{EPERM}' >> $out/it
"""
sandboxed(
    "a script can use no keyrings, no other process and no new namespace",
    SYSTEM_CALLS
    % (
        " ".join(
            f'"{name}" {number}'
            for name, number in (REFUSED_CALLS | (REFUSED_CALLS_ON_AARCH64 if IS_AARCH64 else {})).items()
            if number is not None
        ),
        220 if IS_AARCH64 else 56,
    ),
    "",
)
# AF_UNIX, AF_INET, AF_INET6 and NETLINK_ROUTE are left; not NETLINK_GENERIC, and no other family, such as AF_VSOCK.
sandboxed(
    "a script creates no socket except for local and Internet addresses",
    "perl -e 'for my $family (0 .. 63) { for my $protocol ($family == 16 ? (0, 16) : 0) {\n"
    "  for my $type (1, 2, 3, 5) { if (socket(S, $family, $type, $protocol)) { print \"$family $protocol\\n\"; last } } } }' > $out/it",
    "1 0\n2 0\n10 0\n16 0\n",
)


sandboxed(
    "a script has harmless devices only",
    "cd /dev; echo * > $out/it; cat null > null; head -c 3 zero | tr '\\0' x >> $out/it; head -c 1 urandom > /dev/null\n"
    "if (echo > /dev/tty) 2> /dev/null; then echo tty >> $out/it; fi",
    "fd full null random shm stderr stdin stdout urandom zero\nxxx",
)
sandboxed("a script cannot change the kernel's settings", "if (echo > /proc/sys/kernel/hostname) 2>/dev/null; then echo yes >> $out/it; fi; echo no >> $out/it", "no\n")
sandboxed(
    "a script runs in bash, as in clan",
    "[[ abc == a* ]]\nlist=(x y); cat <(echo \"${list[1]}\") > $out/it",
    "y\n",
)
sandboxed("a script has a temporary home", "mkdir ~/.config; echo > ~/.config/x; ls $HOME/.config > $out/it", "x\n")
sandboxed("a script's standard input is empty", "cat > $out/it; echo end >> $out/it", "end\n")
sandboxed("a script's files are readable by its user only", "touch $out/it; stat -c %a $out/it > $out/it", "600\n")


def test_descriptors(directory):
    """a script has the standard descriptors only, whichever vmcred starts with"""
    here = example(directory, "ls /proc/self/fd | tr '\\n' ' ' > $out/it")  # ls has 3
    for redirections in "3</etc/passwd 9</", "<&-", ">&-", "2>&-", "<&- >&- 2>&-":
        for sandbox in SANDBOXES.values():
            shell = ["sh", "-c", f'exec "$@" {redirections}', "sh"]
            run(*shell, *sandbox, VMCRED, "generate", "--regenerate", "--all", "--config", here.config)
            expect(here.get("it", generator="g"), 0, "0 1 2 3 ", "")
            here.document("it", generator="g").unlink()


def test_inherited_limits(directory):
    """a script runs although vmcred's caller ignores the ends of its children and limits the sizes of files"""
    here = example(directory, "echo x > $out/it")
    ignore = [sys.executable, "-c", "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"]
    for limits in [], ["prlimit", "--fsize=1000000:2000000"]:
        expect(run(*limits, *ignore, VMCRED, "generate", "--regenerate", "--all", "--config", here.config), 0, "g for m: generated it\n", "")


PROGRAMS = """\
ssh-keygen -q -t ed25519 -N '' -C '' -f $out/ssh
wg genkey | tee $out/wg | wg pubkey > $out/wg.pub
age-keygen > $out/age 2> /dev/null
gpg --batch --passphrase '' --quick-gen-key me@example ed25519 2> /dev/null
gpg --batch --armor --export-secret-keys me@example > $out/gpg
openssl req -x509 -newkey rsa:2048 -nodes -keyout $out/key -out $out/crt -days 3 -subj /CN=x 2> /dev/null
"""


def test_key_generators(directory):
    """programs that generate keys work in the sandbox, for root and other users, and leave no agent running"""
    for program in "ssh-keygen", "wg", "age-keygen", "gpg", "gpg-agent", "openssl":
        need(program)
    need_root()
    program = program_for_all(directory)
    files = "ssh, ssh.pub, wg, wg.pub, age, gpg, key, crt"
    more = "machines: [m]\nfiles: {%s}" % ", ".join(f"{file}: {{}}" for file in files.split(", "))
    here = Example(directory, declaration({"g": scripted(PROGRAMS, more)}), generate=False)
    expect(here.generate(), 0, f"g for m: generated {files}\n", "")
    run("chown", "-R", f"{NOBODY}:{NOBODY}", directory)
    expect(run(*AS_NOBODY, program, "generate", "--regenerate", "--all", "--config", here.config), 0, f"g for m: generated {files}\n", "")
    assert here.get("gpg", generator="g").out.startswith("-----BEGIN PGP PRIVATE KEY BLOCK-----\n")
    equal(run("wg", "pubkey", stdin=here.get("wg", generator="g").out).out, here.get("wg.pub", generator="g").out)
    expect(run("pgrep", "-f", "gpg-agent --homedir /tmp/tmp"), 1)


def test_pipefail(directory):
    """a failure within a pipeline fails the script, so that no empty secret is created"""
    here = example(directory, "false | cat > $out/it")
    expect(here.generate(), 1, "", "vmcred: generator g: the script exited with code 1\n")


def test_without_bash(directory):
    """without bash the system's shell runs the script"""
    here = example(directory, "echo x > $out/it; echo $unset")
    environment = {"PATH": str(directory)}
    result = here.generate(env=environment)
    equal((result.code, result.out), (1, ""))
    assert "unset" in result.err, result.err
    here.config.write_text(here.config.read_text().replace("; echo $unset", ""))
    expect(here.generate(env=environment))
    expect(here.get("it", generator="g"), 0, "x\n")


def test_root_without_capabilities(directory):
    """root without CAP_SYS_ADMIN creates the namespaces in a user namespace"""
    need_root()
    here = example(directory, "id -u > $out/it; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' >> $out/it")
    expect(run("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", VMCRED, "generate", "--config", here.config),
           0, "g for m: generated it\n", "")  # fmt: skip
    expect(here.get("it", generator="g"), 0, "0\nlo\n")


def test_namespaces_refused(directory):
    """without namespaces and bubblewrap, the error names both remedies and nothing is written"""
    (directory / "bin").mkdir()
    here = example(directory, "echo x > $out/it")
    expect(
        run(*SANDBOXES["bubblewrap"], VMCRED, "generate", "--config", here.config, env={"PATH": str(directory / "bin")}), 1, "",
        "vmcred: generator g: creating a user namespace: Operation not permitted: install bubblewrap, or use --no-sandbox\n",
    )  # fmt: skip
    assert not list(directory.glob("vars/per-machine/*/*"))
    expect(generate_with("bubblewrap", here, "--no-sandbox"))


def test_failure_in_bubblewrap(directory):
    """a script that fails in bubblewrap is reported like any other"""
    here = example(directory, "echo hunter2-secret > $out/it; cat $out/it; exit 9")
    expect(generate_with("bubblewrap", here), 1, "",
           "vmcred: generator g: the script exited with code 9: it printed:\n" + HIDDEN + "\n")  # fmt: skip


def shown(sentence, text, printed):
    @test(sentence)
    def test_hidden_output(directory):
        here = Example(
            directory,
            declaration({
                "g": scripted(text, "machines: [m]\nfiles: {it: {}}\ndependencies: [part, whole]"),
                "part": scripted("echo hunter2 > $out/it"),
                "whole": scripted("printf 'hunter2-and-more\\nsecond-line\\n' > $out/it"),
            }),
            generate=False,
        )  # fmt: skip
        expect(here.generate(), 1, None, f"vmcred: generator g: the script exited with code 1: it printed:\n{printed}\n")


shown("a value that contains another one is hidden completely", "echo one; cat $in/part/it $in/whole/it; echo two; exit 1",
      f"one\n{HIDDEN}\ntwo")  # fmt: skip
shown("a value in an undeclared file is hidden", "echo third-secret > $out/other; echo fourth-secret > $TMPDIR/x\n"
      "cat $out/other $TMPDIR/x; exit 1", HIDDEN)  # fmt: skip
shown("a value in a file in another directory is hidden", "mkdir $out/more\n"
      "for it in $(mktemp -d) . $out/more $in; do openssl rand -hex 16 > $it/x; cat $it/x; done; exit 1", HIDDEN)  # fmt: skip
ENCODED = (
    "for value in $in/part/it $in/whole/it; do\n"
    "  base64 $value; base64 -w 0 < $value; echo; openssl base64 < $value; basenc --base64url $value\n"
    "  printf %s \"$(cat $value)\" | base64; od -An -v -tx1 $value | tr -d ' \\n'; echo; basenc --base16 $value\n"
    "done > $TMPDIR/all\ntr -d '\\n' < $TMPDIR/all | wc -c; cat $TMPDIR/all; exit 1"
)


def test_encoded_values_are_hidden(directory):
    """a value that is printed in Base64 or hexadecimal is hidden"""
    here = Example(
        directory,
        declaration({
            "g": scripted(ENCODED, "machines: [m]\nfiles: {it: {}}\ndependencies: [part, whole]"),
            "part": scripted("echo hunter2 > $out/it"),
            "whole": scripted("od -An -v -N100 -tx1 /dev/urandom | tr -d ' \\n' > $out/it"),
        }),
        generate=False,
    )  # fmt: skip
    result = here.generate()
    equal(result.code, 1)
    first, size, *lines = result.err.splitlines()
    equal(first, "vmcred: generator g: the script exited with code 1: it printed:")
    assert int(size) > 1000, size
    equal(lines, [HIDDEN], "what is shown")


shown("the start of a value at the end of the output is hidden", "echo x; printf 'x hunter2-and'; exit 1", f"x\n{HIDDEN}")
shown("a value that the shell quotes is hidden", "set -x; true \"$(sed \"s/-/'/g\" $in/whole/it)\" 2>&1; exit 1",
      f"++ sed 's/-/'\\''/g' /tmp/in/whole/it\n{HIDDEN}\n+ exit 1")  # fmt: skip


def test_long_output(directory):
    """of a long output the end is shown, from the start of a line"""
    here = example(directory, "for i in {10000..30000}; do echo line $i; done; exit 1")
    result = here.generate()
    equal(result.code, 1)
    lines = result.err.splitlines()[1:]
    equal(lines, [f"line {number}" for number in range(30001 - len(lines), 30001)])
    assert 5000 < len(lines) < 6000, len(lines)


shown(
    "a long line at the start of a long output is not shown",
    "head -c 300000 /dev/zero | tr '\\0' a; cat $in/whole/it; echo; echo end; exit 1",
    f"{HIDDEN}\n\nend",
)


def test_broken_pipe(directory):
    """the error of a broken pipe explains pipefail"""
    here = example(directory, "yes | head -n 1 > $out/it")
    expect(here.generate(), 1, "",
           "vmcred: generator g: the script exited with code 141: a program in a pipeline was still writing when the next one "
           "ended, which is a failure with pipefail\n")  # fmt: skip


harness.main()
