# SPDX-License-Identifier: Apache-2.0
"""Scripts that misbehave: each fails with an error that names the problem, and leaves nothing in the store, in memory or
running. As root, and as the owner of the files."""
import shutil

import harness
from example import AS_NOBODY, NOBODY, Example, by_script, program_for_all
from harness import equal, expect, fails, need_root, run, test
from vm import wait_for

TOO_LONG = "the script did not end within 2 seconds: --script-timeout changes the limit"
EXITED = "the script exited with code 1"
NOT_WRITTEN = "the script did not write $out/one"


def generate(here, as_root, program, *options):
    words = ["generate", "--config", here.config, *options]
    if as_root:
        return run(harness.VMCRED, *words)
    return run(*AS_NOBODY, program, *words, env={"XDG_RUNTIME_DIR": str(here.directory)})


def users(directory, script, *options):
    """The example for root, and for a user who owns its files."""
    need_root()
    for as_root in (True, False):
        place = directory / ("root" if as_root else "nobody")
        place.mkdir()
        here = Example(place, by_script(script), generate=False)
        program = None if as_root else program_for_all(place)
        if not as_root:
            directory.chmod(0o755)
            run("chown", "-R", f"{NOBODY}:{NOBODY}", place)
        yield as_root, here, generate(here, as_root, program, *options)
        left = [str(path) for path in here.directory.iterdir() if path.name.startswith(".")]
        equal(left, [], "temporary files")
        shutil.rmtree(place)


def failing(sentence, script, message, message_of_user=None):
    @test(sentence)
    def test_failing(directory):
        for as_root, here, result in users(directory, script, *(["--script-timeout", "2"] if message == TOO_LONG else [])):
            said = message if as_root or message_of_user is None else message_of_user
            if isinstance(said, tuple):
                fails(result, 1, "generator made", *said)
            else:
                expect(result, 1, "", f"vmcred: generator made: {said}\n")
            assert not (here.directory / "vars/per-machine/m/made").exists()


def working(sentence, script, value):
    @test(sentence)
    def test_working(directory):
        for _as_root, here, result in users(directory, script):
            expect(result, 0, "made for m: generated one\n", "")
            expect(here.get("one"), 0, value, "")
            wait_for("the end of all that it started", lambda: run("pgrep", "-f", "sleep 76.5").code == 1)


UNSEARCHED = ("the script exited with code 3: its output cannot be checked for secrets and is not shown: "
              "the files that it left are too large, too many or not readable")  # fmt: skip
failing("a directory instead of a file", "mkdir $out/one; echo x > $out/one/x", "$out/one is not a regular file")
failing("an undeclared directory", "echo x > $out/one; mkdir -p $out/more/x",
        ("$out/more", "declare it"))  # fmt: skip
failing("a pipe, which would block the reader", "mkfifo $out/one", "$out/one is not a regular file")
failing("a socket", "python3 -c 'import socket, os; socket.socket(socket.AF_UNIX).bind(os.environ[\"out\"] + \"/one\")'",
        "reading $out/one: No such device or address")  # fmt: skip
failing("a device", "mknod $out/one c 1 3 2> /dev/null", EXITED)
failing("a hard link to a file of the host", "ln /etc/passwd $out/one 2> /dev/null", EXITED)
failing("two megabytes", "head -c 2097152 /dev/zero > $out/one", "one is larger than 1048576 bytes")
failing("two megabytes, of which the start is printed", "yes hunter2-and-more | head -c 2097152 > $out/one || :; head -n 2 $out/one; exit 3",
        UNSEARCHED)  # fmt: skip
failing("a large file beside $out, of which the start is printed", "yes hunter2-and-more | head -c 300000 > $TMPDIR/x || :; head -n 2 $TMPDIR/x; exit 3",
        UNSEARCHED)
failing("too many directories to search", "cd $TMPDIR; for i in $(seq 20); do mkdir x; cd x; done; echo hunter2-and-more; exit 3",
        UNSEARCHED)
failing("a removed $out", "rmdir $out", NOT_WRITTEN)
failing("a link instead of $out", "rmdir $out; ln -s /etc $out", NOT_WRITTEN)
failing("another directory instead of $out", "mv $out $TMPDIR/x; mkdir $out; echo x > $out/one", NOT_WRITTEN)
failing("a script that stops itself", "kill -STOP $$", TOO_LONG)
failing("a script that ignores signals", "trap '' TERM INT HUP\nwhile :; do sleep 76.5; done", TOO_LONG)
failing("a script that kills all processes", "kill -9 -1 2> /dev/null", EXITED)
failing("a script that kills its parent, which is protected", "kill -9 $PPID; sleep 76.5", TOO_LONG)


def test_unreadable_files(directory):
    """files without permissions can be read by root only, and are wiped for both"""
    script = "echo x > $out/one; mkdir $TMPDIR/d; echo x > $TMPDIR/d/x; chmod 000 $out/one $out $TMPDIR/d"
    for as_root, _here, result in users(directory, script):
        if as_root:
            expect(result, 0, "made for m: generated one\n", "")
        else:
            expect(result, 1, "", "vmcred: generator made: reading $out/one: Permission denied\n")


working("a background process in its own session with the script's output open is killed, not waited for",
        "setsid sleep 76.5 &\nsleep 76.5 &\necho x > $out/one", "x\n")  # fmt: skip
working("a background process with endless output is killed", "yes & yes >&2 & sleep 0.2; echo x > $out/one", "x\n")
working("the last content of a file counts", "for i in 1 2 3; do echo $i > $out/one; done", "3\n")


def test_endless_output(directory):
    """of an endless output the end is shown"""
    for _as_root, _here, result in users(directory, "yes & yes >&2 & yes | head -n 4000 || true; exit 3"):
        equal(result.code, 1)
        first, *lines = result.err.splitlines()
        equal(first, "vmcred: generator made: the script exited with code 3: it printed:")
        equal(set(lines) - {"y", ""}, set())
        assert 1000 < len(lines) < 40000, len(lines)


harness.main()
