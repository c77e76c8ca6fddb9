# SPDX-License-Identifier: Apache-2.0
"""No plaintext remains in the memory of a program that has used it. argv[1] is freed.c's library."""
import json
import sys
from pathlib import Path

import harness
from example import Example, by_script
from exit_memory import run_to_exit
from harness import VMCRED, VMCRED_RUN, VMCRED_SOPS, equal, expect, need, need_root, run, test, vmcred
from manifests import Manifest

FREED = sys.argv[1]
# Of several sizes of memory chunks.
CANARY = "".join(f"{number:02x}Canary{number * 7919 % 10007:05d}" for number in range(30))
WINDOW = 10


def left(memory, value):
    """The mappings that contain a part of the value. On the stack only the whole value counts: a signal or the dynamic
    loader saves registers there."""
    windows = {value[at:at + WINDOW].encode() for at in range(len(value) - WINDOW + 1)}
    return [
        where for where, found in memory.items()
        if (value.encode() in found if "[stack]" in where else any(window in found for window in windows))
    ]  # fmt: skip


def clean(values, *command, code=0, **options):
    got, output, memory = run_to_exit(*command, **options)
    equal(got, code, output.decode(errors="replace"))
    for value in values:
        equal(left(memory, value), [], f"mappings with plaintext after {command}")


def secret_key(path):
    return next(line for line in path.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-"))[20:]


for program, words in ((VMCRED, ("list",)), (VMCRED_RUN, ("compose", "m")), (VMCRED_SOPS, ("--help",))):

    @test(f"{Path(program).name} overwrites memory that a library frees or reallocates")
    def test_freed(directory, program=program, words=words):
        need_root()
        Example(directory)
        for name in ("host-one", "host-two"):
            (directory / name).write_text("x")
        environment = {"LD_PRELOAD": FREED, "FREED": CANARY, "CREDENTIALS_DIRECTORY": str(directory)}
        code, output, memory = run_to_exit(program, *words, cwd=directory, env=environment)
        equal(code, 0, output.decode())
        equal([where for where in left(memory, CANARY) if "[stack]" not in where], [])
        assert any(CANARY.encode() in found for found in memory.values()), "the search finds the variable"


for name, text in {
    "yaml": f"key: {CANARY}\nlist:\n  - x: {CANARY} # {CANARY}\n",
    "json": json.dumps({"key": CANARY, "list": [{"x": CANARY}]}),
    "env": f"key={CANARY}\n# {CANARY}\n",
    "ini": f"; {CANARY}\n[section]\nkey = {CANARY}\n",
    "bin": CANARY,
}.items():

    @test(f"vmcred-sops leaves no plaintext and no key of a {name} document in memory")
    def test_sops(directory, name=name, text=text):
        need_root()
        key, path = directory / "key", directory / f"a.{name}"
        recipient = expect(vmcred("keygen", "--output", key)).out.split()[-1]
        values = [CANARY, secret_key(key)]
        options = {"env": {"SOPS_AGE_KEY_FILE": str(key), "EDITOR": "true"}}
        path.write_text(text)
        clean(values, VMCRED_SOPS, "encrypt", "--in-place", "--age", recipient, path)
        clean(values, VMCRED_SOPS, "decrypt", path, **options)
        clean(values, VMCRED_SOPS, "rotate", "--in-place", path, **options)
        clean(values, VMCRED_SOPS, "edit", path, code=200, **options)
        clean(values, VMCRED_SOPS, "exec-file", "--no-fifo", path, "cat {} >/dev/null", **options)
        if name in ("yaml", "json"):
            clean(values, VMCRED_SOPS, "decrypt", "--extract", '["key"]', path, **options)
            clean(values, VMCRED_SOPS, "set", "--value-stdin", path, '["new"]', stdin=json.dumps(CANARY).encode(), **options)


def test_vars(directory):
    """vmcred leaves no secret and no key of the store in memory"""
    need_root()
    (directory / "prompt").write_text(CANARY)
    example = Example(directory, by_script("cat $prompts/it >$out/one").replace("files:", "prompts: {it: {}}\n    files:"),
                      generate=False)  # fmt: skip
    values, options = [CANARY, secret_key(example.identity)], {"cwd": directory}
    clean(values, VMCRED, "generate", "--prompt", f"it=@{directory}/prompt", **options)
    clean(values, VMCRED, "get", "--identity", "identity", "m", "made/one", **options)
    clean(values, VMCRED, "check", "--decrypt", "--identity", "identity", **options)
    clean(values, VMCRED, "set", "--identity", "identity", "m", "made/one", stdin=CANARY.encode(), **options)
    clean(values, VMCRED, "fix", "--identity", "identity", **options)
    for _ in range(2):
        clean(values, VMCRED, "activate", "--identity", "identity", "--root", directory / "root", **options)


def test_manifest(directory):
    """vmcred leaves no secret of a manifest in memory"""
    need_root()
    manifest = Manifest(directory, VMCRED)
    manifest.write("one.yaml", f"top: {CANARY}\n")
    manifest.write("two.json", json.dumps({"plain": CANARY}))
    manifest.add("top", "one.yaml", "top").add("plain", "two.json", "plain").add_template("t", "is ")
    manifest.content["templates"][0]["content"] += manifest.placeholder("top")
    (directory / "manifest.json").write_text(json.dumps(manifest.content))
    for _ in range(2):
        clean([CANARY, secret_key(manifest.identity)], VMCRED, "activate", directory / "manifest.json",
              env={"XDG_RUNTIME_DIR": str(manifest.run_directory), "HOME": str(directory)})  # fmt: skip


def test_ssh_keys(directory):
    """vmcred age leaves no plaintext and no SSH key in memory"""
    need_root()
    (directory / "plain").write_text(CANARY)
    for kind in ("rsa", "ed25519"):
        key = directory / kind
        expect(run(need("ssh-keygen"), "-q", "-t", kind, "-N", "", "-f", key))
        text = "".join(key.read_text().splitlines()[1:-1])
        sealed = directory / f"{kind}.age"
        clean([CANARY], VMCRED, "age", "-R", f"{key}.pub", "-o", sealed, directory / "plain")
        clean([CANARY, text[len(text) // 2:-16]], VMCRED, "age", "-d", "-i", key, sealed)


harness.main()
