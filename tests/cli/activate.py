# SPDX-License-Identifier: Apache-2.0
"""vmcred activate: the files that it writes, and the state after a failure."""
import json
import os
import re
import stat

import harness
from example import AS_NOBODY, DECLARATION, NOBODY, Example, program_for_all
from harness import equal, expect, fails, run, test, vmcred


def tree(directory):
    """Names with modes, inodes and contents, to compare before and after; without the records of activations."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if "vmcred" in path.relative_to(directory).parts:
            continue
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(directory))] = (stat.S_IMODE(status.st_mode), status.st_ino, content)
    return found


def test_first_generation(directory):
    """activate writes each secret with its mode to generation 1, and a link to it"""
    example = Example(directory)
    expect(example.activate(), 0, "2 secrets in generation 1\n", "")
    equal(os.readlink(example.root / "run/secrets"), "secrets.d/1")
    equal(example.active("one").read_text(), example.get("one").out)
    equal(stat.S_IMODE(example.active("one").stat().st_mode), 0o400)
    equal(stat.S_IMODE(example.active("two").stat().st_mode), 0o440)
    for path in ("secrets.d", "secrets.d/1", "secrets.d/1/vars", "secrets.d/1/vars/made"):
        equal(stat.S_IMODE((example.root / "run" / path).stat().st_mode), 0o751, path)


def test_error_in_the_entry_of_a_vm(directory):
    """an error in the entry of a VM does not stop the activation"""
    example = Example(directory)
    example.config.write_text(example.config.read_text() + "  n: {comand: [x]}\n")
    expect(example.activate(), 0, None, "")


def test_nothing_changed(directory):
    """if nothing changed, no secret is written and all inodes stay the same"""
    example = Example(directory)
    expect(example.activate())
    before = tree(example.root)
    expect(example.activate(), 0, "2 secrets in generation 1, unchanged\n", "")
    equal(tree(example.root), before)


def test_changed_secret(directory):
    """a changed secret creates a new generation, and the old one is removed"""
    example = Example(directory)
    expect(example.activate())
    expect(example.generate("--regenerate", "--all"))
    result = json.loads(expect(example.activate("--json"), 0, None, "").out)
    equal(
        result,
        {
            "neededFor": "services", "changed": True, "generation": 2, "secrets": 2,
            "restartUnits": ["microvm@m.service"], "reloadUnits": [], "failed": {},
        },
    )  # fmt: skip
    equal(os.listdir(example.root / "run/secrets.d"), ["2"])
    equal(example.active("one").read_text(), example.get("one").out)


def test_changed_mode(directory):
    """a changed mode alone creates a new generation"""
    example = Example(directory)
    expect(example.activate())
    example.config.write_text(DECLARATION.replace('"0440"', '"0400"'))
    expect(example.activate(), 0, "2 secrets in generation 2\n", "")
    equal(stat.S_IMODE(example.active("two").stat().st_mode), 0o400)


def test_undeclared_secret(directory):
    """a secret that is no longer declared or deployed is removed"""
    example = Example(directory)
    expect(example.activate())
    example.config.write_text(DECLARATION.replace('two: {mode: "0440"}', "two: {deploy: false}"))
    expect(example.activate(), 0, "1 secret in generation 2\n", "")
    equal(os.listdir(example.root / "run/secrets/vars/made"), ["one"])


def test_root_on_disk(directory):
    """--root on a disk is refused, and no plaintext is written there"""
    example = Example(directory)
    root = harness.SOURCE / "build" / "not-a-memory-file-system"
    root.mkdir(parents=True, exist_ok=True)
    try:
        expect(
            vmcred("activate", "--config", example.config, "--identity", example.identity, "--root", root),
            1,
            "",
            "vmcred: secrets.d is not on a memory file system: plaintext must not be written to disk: "
            "use --root with a directory below /run or /dev/shm\n",
        )
        equal([str(path) for path in root.rglob("*") if path.is_file()], [])
    finally:
        run("rm", "-r", root)


def kept(sentence, damage, code, message):
    """After `damage(example)`, the secret keeps its old file, the other one is activated, and the error has the message."""

    @test(sentence)
    def test_kept(directory):
        example = Example(directory)
        expect(example.activate())
        expect(example.generate("--regenerate", "--all"))
        damage(example)
        before = example.active("two").read_bytes(), example.active("two").stat().st_mode
        path = "vars/per-machine/m/made/two/secret"
        expected = (message(example) if callable(message) else message).replace("PATH", path)
        expect(example.activate(), code, "2 secrets in generation 2\nto restart: microvm@m.service\n",
               f"vmcred: made/two keeps its previous value: {expected}\n")
        equal((example.active("two").read_bytes(), example.active("two").stat().st_mode), before)
        equal(example.active("one").read_text(), example.get("one").out)
        equal(failed(example), {"made/two": expected})
        example.generate("--regenerate", "--all")
        expect(example.activate(), 0, None, "")
        equal((failed(example), example.active("two").read_text()), ({}, example.get("two").out))


def failed(example):
    return json.loads((example.root / "run/vmcred/activation/services.json").read_text())["failed"]


def test_secrets_that_fail_in_the_first_activation(directory):
    """of several secrets that fail, each is named, the worst is the error, and only their files are missing"""
    declaration = DECLARATION.replace("two: {hex: 16}}", "two: {hex: 16}, three: {hex: 16}}").replace(
        '      two: {mode: "0440"}\n', '      two: {mode: "0440"}\n      three: {}\n')
    example = Example(directory, declaration)
    example.document("one").unlink()
    change(r'("data": "ENC.*tag:)(.)', flip)(example)
    result = expect(example.activate("--json"), 4, None, None)
    lines = result.err.splitlines()
    equal([line.partition(" is not activated: ")[0] for line in lines], ["vmcred: warning: made/one", "vmcred: made/two"])
    answer = json.loads(result.out)
    equal((answer["secrets"], answer["failed"]), (1, failed(example)))
    equal(sorted(answer["failed"]), ["made/one", "made/two"])
    equal([path.name for path in example.active("three").parent.iterdir()], ["three"])
    # Nothing else changed meanwhile.
    expect(example.activate(), 4, "1 secret in generation 1, unchanged\n", None)


def test_secret_of_an_unknown_user(directory):
    """a secret whose owner does not exist stops no other"""
    harness.need_root()
    example = Example(directory)
    example.config.write_text(DECLARATION.replace('two: {mode: "0440"}', "two: {owner: nobody-knows}"))
    expect(example.activate(), 3, None, 'vmcred: made/two is not activated: user "nobody-knows" does not exist\n')
    equal([path.name for path in example.active("one").parent.iterdir()], ["one"])


def change(pattern, replacement):
    def damage(example):
        document = example.document("two")
        text = document.read_text()
        changed = re.sub(pattern, replacement, text, count=1)
        assert changed != text, "the damage must change something"
        document.write_text(changed)

    return damage


def column(example):
    """The column after the last line of the truncated document, counted from 1."""
    return len(example.document("two").read_text().rsplit("\n", 1)[1]) + 1


def flip(match):
    """A different Base64 digit."""
    return match.group(1) + ("B" if match.group(2) == "A" else "A")


kept(
    "a missing document is an error, and the old value stays",
    lambda example: example.document("two").unlink(),
    3,
    "opening PATH: No such file or directory: run `vmcred generate m`",
)
kept(
    "a document that is not JSON is an error, and the old value stays",
    lambda example: example.document("two").write_text("<<<<<<< HEAD\n"),
    1,
    "PATH is not a JSON object",
)


kept(
    "a document with a damaged MAC is an error, and the old value stays",
    change(r'("mac": "ENC\[AES256_GCM,data:)(.)', flip),
    4,
    "PATH: the MAC or its time was modified (authentication tag mismatch)",
)
kept(
    "a document with a damaged tag is an error, and the old value stays",
    change(r'("data": "ENC.*tag:)(.)', flip),
    4,
    "PATH: the value data was modified or moved (authentication tag mismatch)",
)
kept(
    "a document with a damaged value is an error, and the old value stays",
    change(r'("data": "ENC\[AES256_GCM,data:)(.)', flip),
    4,
    "PATH: the value data was modified or moved (authentication tag mismatch)",
)
kept(
    "a document with a changed time is an error, and the old value stays",
    change(r'("lastmodified": "2)(.)', lambda match: match.group(1) + "1"),
    4,
    "PATH: the MAC or its time was modified (authentication tag mismatch)",
)
kept(
    "a truncated document is an error, and the old value stays",
    lambda example: example.document("two").write_text(example.document("two").read_text()[:60]),
    1,
    lambda example: f"PATH is truncated: unexpected end of JSON (line 2, column {column(example)})",
)
kept(
    "an empty document is an error, and the old value stays",
    lambda example: example.document("two").write_text(""),
    1,
    "PATH is empty",
)
kept(
    "a document whose value was replaced by plaintext is an error, and the old value stays",
    change(r'"data": "ENC[^"]*"', '"data": "x"'),
    4,
    "PATH: the value data is not encrypted, but the document's rule requires it",
)


def test_identity_of_another_machine(directory):
    """the identity of another machine decrypts nothing, and the error lists its key and the recipients"""
    example = Example(directory)
    other = expect(vmcred("keygen", "--output", directory / "other"), 0, None, "").out
    tried = re.search("age1[a-z0-9]+", other).group()
    has = re.search("age1[a-z0-9]+", example.document("one").read_text()).group()
    result = vmcred("activate", "--config", example.config, "--identity", directory / "other", "--root", example.root)
    equal(result.code, 3)
    assert result.err.startswith("vmcred: vars/per-machine/m/made/one/secret: "), result.err
    assert has in result.err and tried in result.err, result.err
    assert not (example.root / "run/secrets").exists()
    equal(sorted(failed(example)), ["made/one", "made/two"])


def test_shared_generator_with_machines(directory):
    """the files of a shared generator with a list of machines are activated on these machines only"""
    example = Example(directory, """\
machines: {m: {}, n: {}}
generators:
  all: {share: true, files: {one: {}}, kind: {one: {base64: 8}}}
  some: {share: true, machines: [n], files: {two: {}}, kind: {two: {base64: 8}}}
""", generate=False)
    other = Example.at(directory)
    other.identity = directory / "other"
    expect(vmcred("keygen", "--config", example.config, "--machine", "n", "--output", other.identity))
    expect(example.generate())
    expect(example.activate("--machine", "m"), 0, "1 secret in generation 1\n", "")
    assert not example.active("two", "some").parent.exists()
    expect(vmcred("get", "--config", example.config, "--identity", example.identity, "m", "some/two"), 2, "",
           "vmcred: generator some is not for machine m\n")
    other.root = directory / "other-root"
    expect(other.activate("--machine", "n"), 0, "2 secrets in generation 1\n", "")
    assert other.active("two", "some").read_text()


def test_world_readable_identity(directory):
    """a world-readable identity file is a warning, a world-writable one is refused, and both messages have the fix"""
    example = Example(directory)
    os.chmod(example.identity, 0o644)
    warned = expect(example.activate(), 0, None, None).err
    equal(warned.count("\n"), 1, "number of warnings")
    assert f"chmod 600 {example.identity}" in warned, warned
    os.chmod(example.identity, 0o646)
    fails(example.activate(), 1, "0646", f"chmod 600 {example.identity}")


def test_unreadable_identity(directory):
    """an error names an unreadable identity file"""
    harness.need_root()
    example = Example(directory)
    result = run(
        *AS_NOBODY, program_for_all(directory),
        "get", "--config", example.config, "--identity", example.identity, "m", "made/one",
    )  # fmt: skip
    expect(result, 1, "", f"vmcred: reading the identity file: {example.identity}: Permission denied: "
        "run as the user that owns it\n")


def test_missing_identity(directory):
    """an error names a missing identity file"""
    example = Example(directory)
    example.identity.unlink()
    fails(example.activate(), 3, example.identity, "--identity")


def test_mount(directory):
    """without --root, the secrets are on a separate mount without swap"""
    harness.need_root()
    example = Example(directory)
    script = """
        mount -t tmpfs run /run && "$@" && "$@" && grep ' /run/secrets.d ' /proc/self/mountinfo
        stat -c %a /run/secrets.d && readlink /run/secrets
    """
    words = [harness.VMCRED, "activate", "--config", example.config, "--identity", example.identity]
    result = expect(run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words), 0, None, "")
    lines = result.out.splitlines()
    equal(lines[:2], ["2 secrets in generation 1", "2 secrets in generation 1, unchanged"])
    equal(lines[3:], ["751", "secrets.d/1"])
    options, kind = re.search(r" /run/secrets.d (\S+) .*- (\S+ \S+ \S+)$", lines[2]).groups()
    equal({"nosuid", "nodev", "noexec"} - set(options.split(",")), set())
    linux = tuple(int(number) for number in os.uname().release.split(".")[:2])
    assert kind.startswith("tmpfs vmcred") and "noswap" in kind if linux >= (6, 4) else kind.startswith("ramfs"), kind


def test_mlock_fails(directory):
    """if mlock fails, commands succeed with one warning"""
    harness.need_root()
    example = Example(directory)
    program = program_for_all(directory)
    run("chown", "-R", f"{NOBODY}:{NOBODY}", directory)
    # 128 KiB for each thread, if that is more.
    size = max(512, 128 * min(len(os.sched_getaffinity(0)), 16))
    for words in (
        ["generate", "--dry-run"],
        ["check"],
        ["fix", "--identity", example.identity],
        ["activate", "--identity", example.identity, "--root", example.root],
    ):
        result = run(*AS_NOBODY, "prlimit", "--memlock=0:0", program, *words, "--config", example.config)
        expect(
            result,
            0,
            None,
            f"vmcred: warning: cannot lock {size} KiB of memory (Operation not permitted): secrets may be written to "
            "swap: raise LimitMEMLOCK= of the unit, or `ulimit -l`\n",
        )


harness.main()
