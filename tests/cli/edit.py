# SPDX-License-Identifier: Apache-2.0
"""`vmcred edit`: a value of the store in the user's editor, and the rules that it shares with `vmcred set`."""
import os
import re
import shutil
from pathlib import Path

import harness
from example import Example, unchanged
from harness import equal, expect, fails, vmcred
from terminal import at_terminal

DECLARATION = """\
machines: {m: {}, n: {}}
generators:
  token:
    machines: [m]
    validation: 1
    files: {it: {}, open: {secret: false}}
    kind: {it: {base64: 32}, open: {hex: 4}}
  derived:
    machines: [m]
    dependencies: [token]
    files: {it: {}}
    script: printf %s "of $(cat $in/token/it)" > $out/it
  alone:
    machines: [m]
    validation: 1
    files: {it: {}}
    kind: {it: {hex: 4}}
  pair:
    machines: [m]
    validation: 1
    files: {one: {}, two: {}}
    kind: {one: {hex: 4}, two: {hex: 4}}
"""
STALE = (
    "vmcred: warning: derived for m depends on token and was made from its old value: "
    "run `vmcred generate --generator derived --regenerate m`\n"
)


class Store(Example):
    def __init__(self, directory, generate=True):
        super().__init__(directory, DECLARATION, generate)
        self.run_directory = self.directory / "run"
        self.run_directory.mkdir(mode=0o700)

    def edit(self, name, script, *words, editor=None):
        """Runs an editor, a shell script with the file's path in $1."""
        path = harness.write_program(self.directory / "editor", f"#!/bin/sh\n{script}\n")
        env = {"EDITOR": editor or str(path), "XDG_RUNTIME_DIR": str(self.run_directory)}
        result = vmcred("edit", "--config", self.config, "--identity", self.identity, "m", name, *words, env=env)
        kept = re.search(r"your text, not encrypted, is in (\S+): use it in the next edit", result.err)
        self.kept = Path(kept[1]).read_text() if kept else None
        if kept:
            shutil.rmtree(Path(kept[1]).parent)
        equal(list(self.run_directory.iterdir()), [], "leftovers on the memory file system")
        return result


def test_edit_stores_what_the_editor_leaves(directory):
    """edit shows the value in a private file, and stores what the editor leaves, encrypted to the same recipients"""
    store = Store(directory)
    before = store.get("it", "alone").out
    script = 'stat -c "%a %n" "$1" > seen; cat "$1" >> seen; printf "new\\nlines\\n\\n" > "$1"'
    expect(store.edit("alone/it", f"cd {directory}; {script}"), 0, "", "")
    mode, content = (directory / "seen").read_text().split("\n")
    assert re.fullmatch(rf"600 {store.run_directory}/\.vmcred\.\w+/it", mode), mode
    equal(content, before)
    equal(store.get("it", "alone").out, "new\nlines\n")
    expect(store.edit("token/open", 'printf open > "$1"'), 0, "", STALE)
    equal(store.get("open", "token").out, "open")
    expect(vmcred("check", "--config", store.config, "--decrypt", "--identity", store.identity), 0, None, "")


def test_default_editor_needs_a_terminal(directory):
    """without $EDITOR and a terminal, no editor is started: in a script, vim would only fill the log"""
    store = Store(directory)
    (directory / "bin").mkdir()
    harness.write_program(directory / "bin/vim", "#!/bin/sh\necho drawn\n")
    env = {"PATH": f"{directory / 'bin'}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(store.run_directory)}
    words = ["edit", "--config", store.config, "--identity", store.identity, "m", "alone/it"]
    fails(vmcred(*words, env=env), 3, "no terminal", "EDITOR")
    shown = at_terminal(harness.VMCRED, *words, stdin=None, out="terminal", env=env)[1]
    assert b"drawn" in shown, shown


def test_line_break_of_the_editor_is_not_stored(directory):
    """the line break that editors add is removed, unless the value ended with one before or is a new one of several lines"""
    store = Store(directory, generate=False)
    for script, expected in (
        ('echo password > "$1"', "password"), ('printf "a\\n\\n" > "$1"', "a\n"), ('printf "b\\n" > "$1"', "b\n"),
        ('printf "c" > "$1"', "c"), ('printf "d\\ne\\n" > "$1"', "d\ne"),
    ):  # fmt: skip
        expect(store.edit("alone/it", script), 0, "", "")
        equal(store.get("it", "alone").out, expected, script)
    expect(store.edit("pair/one", 'printf "f\\ng\\n" > "$1"'), 0, "", "")
    equal(store.get("one", "pair").out, "f\ng\n")


def test_unchanged_value_is_not_stored(directory):
    """a value that the editor leaves as it is, or only ends with a line break, is not stored again"""
    store = Store(directory)
    for script in ("true", 'echo >> "$1"'):
        result = unchanged(directory / "vars", lambda script=script: store.edit("alone/it", script))
        expect(result, 0, "m alone/it is unchanged\n", "")


def test_failures_change_nothing_and_keep_the_text(directory):
    """an empty or too large value, a failing editor and a concurrent change store nothing; text that is worth it is kept"""
    store = Store(directory)
    store.set("it", "before", "alone")
    other = f'printf other | {harness.VMCRED} set --config {store.config} m alone/it; printf mine > "$1"'
    for script, code, mentions, kept in (
        (': > "$1"', 1, ["--allow-empty"], ""),
        ('head -c 1048577 /dev/zero > "$1"', 1, ["1048576"], "\0" * 1048577),
        ("exit 3", 1, ["EDITOR"], None),
        (other, 1, ["alone/it", "another process"], "mine"),
    ):
        value = "other" if script == other else "before"
        fails(store.edit("alone/it", script), code, *mentions)
        equal(store.kept, kept, script)
        equal(store.get("it", "alone").out, value)
    expect(store.edit("alone/it", ': > "$1"', "--allow-empty"), 0, "", "")
    equal(store.get("it", "alone").out, "")
    fails(store.edit("alone/it", "true", editor="/nonexistent/editor"), 3, "/nonexistent/editor")
    fails(store.edit("alone/none", "true"), 2, "alone/none")
    (directory / "identity").unlink()
    fails(store.edit("alone/it", "touch /dev/shm/never"), 3, "identity")


def test_editor_is_started_again_after_an_invalid_edit(directory):
    """at a terminal, an invalid edit can be corrected, or given up"""
    store = Store(directory)
    harness.write_program(directory / "editor", '#!/bin/sh\nif [ -e tried ]; then printf right > "$1"; else touch tried; : > "$1"; fi\n')
    words = ["edit", "--config", store.config, "--identity", store.identity, "m", "alone/it"]
    env = {"EDITOR": str(directory / "editor"), "XDG_RUNTIME_DIR": str(store.run_directory)}
    result, _ = at_terminal(harness.VMCRED, *words, typed=b"\n", stdin=None, env=env, cwd=directory)
    equal(result.code, 0, result.err)
    assert "--allow-empty" in result.err and "Press Enter" in result.err, result.err
    equal(store.get("it", "alone").out, "right")


def test_dependants_are_reported(directory):
    """set and edit warn of stored files that were made from the old value, and of no others"""
    store = Store(directory)
    expect(store.edit("token/it", 'echo new > "$1"'), 0, "", STALE)
    expect(vmcred("set", "--config", store.config, "m", "token/it", stdin="newer"), 0, "", STALE)
    expect(store.generate("--generator", "derived", "--regenerate", "m", "--identity", store.identity))
    equal(store.get("it", "derived").out, "of newer")
    shutil.rmtree(directory / "vars/per-machine/m/derived")
    expect(vmcred("set", "--config", store.config, "m", "token/it", stdin="newest"), 0, "", "")


def test_value_that_was_set_is_not_replaced(directory):
    """generate keeps values that were set before it ran, although the generator has a validation"""
    store = Store(directory, generate=False)
    store.set("it", "mine", "alone")
    store.set("one", "first", "pair")
    store.set("two", "second", "pair")
    expect(store.generate(), 0, "token for m: generated it, open\nderived for m: generated it\n", "")
    equal([store.get("it", "alone").out, store.get("one", "pair").out, store.get("two", "pair").out], ["mine", "first", "second"])
    config = store.config.read_text()
    store.config.write_text(config.replace("validation: 1", "validation: 2"))
    store.set("it", "mine again", "alone")
    store.set("one", "first again", "pair")
    out = expect(vmcred("check", "--config", store.config), 3).out
    equal(out.count("outdated"), 4, out)
    assert "alone" not in out, out


harness.main()
