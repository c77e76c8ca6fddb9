# SPDX-License-Identifier: Apache-2.0
"""Scripts of generators that do what they should not: each is an error that names it, makes nothing, and leaves nothing
behind, neither in the store nor in memory nor as a process. As root, and as a user whose own the files are."""
import shutil

import harness
from example import AS_NOBODY, NOBODY, Example, by_script, program_for_all
from harness import equal, expect, need_root, run, test

ENDED = "it did not end within 2 seconds: --script-timeout gives it more"


def generate(here, as_root, program):
    words = ["generate", "--config", here.config, "--script-timeout", "2"]
    if as_root:
        return run(harness.VMCRED, *words)
    return run(*AS_NOBODY, program, *words, env={"XDG_RUNTIME_DIR": str(here.folder)})


def users(folder, script):
    """The example for root, and for a user to whom all of it belongs."""
    need_root()
    for as_root in (True, False):
        place = folder / ("root" if as_root else "nobody")
        place.mkdir()
        here = Example(place, by_script(script), generate=False)
        program = None if as_root else program_for_all(place)
        if not as_root:
            folder.chmod(0o755)
            run("chown", "-R", f"{NOBODY}:{NOBODY}", place)
        yield as_root, here, generate(here, as_root, program)
        left = [str(path) for path in here.folder.iterdir() if path.name.startswith(".")]
        equal(left, [], "what is left")
        shutil.rmtree(place)


def failing(sentence, script, message, message_of_user=None):
    @test(sentence)
    def test_case(folder):
        for as_root, here, result in users(folder, script):
            said = message if as_root or message_of_user is None else message_of_user
            expect(result, 1, "", f"vmcred: the script of the generator made: {said}\n")
            assert not (here.folder / "vars/per-machine/m/made").exists()


def working(sentence, script, value):
    @test(sentence)
    def test_case_2(folder):
        for _as_root, here, result in users(folder, script):
            expect(result, 0, "made for m: generated one\n", "")
            expect(here.get("one"), 0, value, "")
            expect(run("pgrep", "-f", "sleep 76.5"), 1)


failing("a folder in the place of a file", "mkdir $out/one; echo x > $out/one/x", "$out/one is not a regular file")
failing("a folder besides the files", "echo x > $out/one; mkdir -p $out/more/x",
        "it wrote $out/more, which is not declared: add it to the generator's files, or have the script remove it")  # fmt: skip
failing("a pipe, which would keep the reader waiting", "mkfifo $out/one", "$out/one is not a regular file")
failing("a socket", "python3 -c 'import socket, os; socket.socket(socket.AF_UNIX).bind(os.environ[\"out\"] + \"/one\")'",
        "reading $out/one: No such device or address")  # fmt: skip
failing("a device", "mknod $out/one c 1 3 2> /dev/null", "it ended with exit code 1")
failing("another name of a file of the host", "ln /etc/passwd $out/one 2> /dev/null", "it ended with exit code 1")
failing("two megabytes", "head -c 2097152 /dev/zero > $out/one", "one is larger than 1048576 bytes")
failing("two megabytes, whose beginning is printed", "yes hunter2-and-more | head -c 2097152 > $out/one || :; head -n 2 $out/one; exit 3",
        "it ended with exit code 3: what it printed is not shown: a file in $out has more than 1048576 bytes, and could not be masked")  # fmt: skip
failing("a folder $out that is gone", "rmdir $out", "it did not write $out/one")
failing("a folder $out that leads elsewhere", "rmdir $out; ln -s /etc $out", "it did not write $out/one")
failing("another folder in the place of $out", "mv $out $TMPDIR/x; mkdir $out; echo x > $out/one", "it did not write $out/one")
failing("a script that stops itself", "kill -STOP $$", ENDED)
failing("a script that does not end, and ignores who asks it to", "trap '' TERM INT HUP\nwhile :; do sleep 76.5; done", ENDED)
failing("a script that kills what it can", "kill -9 -1 2> /dev/null", "it ended with exit code 1")
failing("a script that kills its parent, which does not hear it", "kill -9 $PPID; sleep 76.5", ENDED)


def test_modes_keep_user_out_own_files_there_root_error(folder):
    """modes that keep the user out of his own files: what is there for root is an error for others, and wiped for both"""
    for as_root, _here, result in users(folder, "echo x > $out/one; mkdir $TMPDIR/d; echo x > $TMPDIR/d/x; chmod 000 $out/one $out $TMPDIR/d"):
        if as_root:
            expect(result, 0, "made for m: generated one\n", "")
        else:
            expect(result, 1, "", "vmcred: the script of the generator made: reading $out/one: Permission denied\n")


working("what is left running, in a session of its own and with the script's output open, is ended and not waited for",
        "setsid sleep 76.5 &\nsleep 76.5 &\necho x > $out/one", "x\n")  # fmt: skip
working("what writes without end beside the script is ended with it", "yes & yes >&2 & sleep 0.2; echo x > $out/one", "x\n")
working("a file that is written over and over is what it is at the end", "for i in 1 2 3; do echo $i > $out/one; done", "3\n")


def test_without_end_both_outputs_script_fails_shows_end(folder):
    """without end on both outputs, a script that fails shows the end of it"""
    for _as_root, _here, result in users(folder, "yes & yes >&2 & sleep 0.2; exit 3"):
        equal(result.code, 1)
        first, *lines = result.err.splitlines()
        equal(first, "vmcred: the script of the generator made: it ended with exit code 3: it printed:")
        equal(set(lines) - {"y", ""}, set())
        assert 1000 < len(lines) < 40000, len(lines)


harness.main()
