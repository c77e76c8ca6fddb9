# SPDX-License-Identifier: Apache-2.0
"""A declaration that Nix prints of clan's generators, as vmcred.yaml(5) shows it: made, and where clan's users look."""
import json
import os

import harness
from example import Example
from harness import equal, expect, vmcred

FILE = {
    "secret": True, "deploy": True, "owner": "root", "group": "root", "mode": "0400", "neededFor": "services",
    "restartUnits": [],
}  # fmt: skip
GENERATOR = {
    "share": False, "dependencies": [], "validation": None, "runtimeInputs": [], "prompts": {}, "script": "",
    "machines": ["m"],
}  # fmt: skip


def export(inputs):
    """What builtins.toJSON makes of it; `inputs` is where some of its scripts find their programs."""
    generators = {
        "ca": {
            "share": True, "script": 'echo key > "$out"/key', "files": {"key": FILE},
            "validation": {"names": {"a": 1, "b": "two"}},
        },
        "host": {
            "script": "printf x | md5sum > $out/key\necho public > $out/key.pub\n", "runtimeInputs": inputs,
            "files": {"key": FILE | {"neededFor": "activation", "mode": "0600"}, "key.pub": FILE | {"secret": False}},
        },
        "asked": {
            "prompts": {"token": {"type": "hidden", "description": "the token", "persist": True}},
            "files": {"token": FILE},
        },
        "user": {
            "dependencies": ["ca"], "script": 'cat "$in"/ca/key > "$out"/hash', "runtimeInputs": inputs,
            "files": {"hash": FILE | {"neededFor": "users"}},
        },
        "disk": {"script": "echo disk > $out/key", "files": {"key": FILE | {"neededFor": "partitioning"}}},
    }  # fmt: skip
    return json.dumps({"machines": {"m": {}}, "generators": {name: GENERATOR | it for name, it in generators.items()}})


def generate(folder, inputs):
    """With no program on the PATH, and what came of it."""
    (folder / "token").write_text("the token's value")
    example = Example(folder, export(inputs), generate=False)
    words = ["--identity", example.identity, "--prompt", f"token=@{folder / 'token'}"]
    return example, example.generate(*words, env={"PATH": "/nonexistent"})


def made(folder):
    example, result = generate(folder, ["/nonexistent", "/usr"])
    expect(result)
    return example


def test_all_declares_made_programs_names(folder):
    """all that it declares is made, with the programs that it names"""
    example = made(folder)
    expect(
        vmcred("list", "--config", example.config),
        0,
        "shared ca/key\nm host/key\nm host/key.pub (public)\nm asked/token\nm user/hash\nm disk/key\n",
        "",
    )
    equal(example.get("key", "host").out, "9dd4e461268c8034f5c8564e155c67a6  -\n")
    equal(example.get("hash", "user").out, "key\n")
    equal(example.get("token", "asked").out, "the token's value")


def test_script_finds_no_program_only_others_name(folder):
    """a script finds no program that only others name"""
    _example, result = generate(folder, [])
    equal(result.code, 1)
    assert "md5sum" in result.err and "not found" in result.err, result.err


# phase → clan's path of a file, its content, and of a link that leads there
PATHS = {
    "services": [
        ("secrets/vars/shared/ca/key", "key\n", "../ca"),
        ("secrets/vars/per-machine/m/asked/token", "the token's value", "../../asked"),
        ("secrets/vars/per-machine/m/host/key.pub", "public\n", "../../host"),
    ],
    "users": [("secrets-for-users/vars/per-machine/m/user/hash", "key\n", "../../user")],
    "activation": [("activation-secrets/per-machine/m/host/key", "9dd4e461268c8034f5c8564e155c67a6  -\n", "../../host")],
    "partitioning": [("partitioning-secrets/per-machine/m/disk/key", "disk\n", "../../disk")],
}


def test_each_file_also_where_clan_path_leads_each_phase(folder):
    """each file is also where clan's path leads, in each phase"""
    example = made(folder)
    for phase, rows in PATHS.items():
        expect(example.activate("--needed-for", phase))
        for path, content, target in rows:
            file = example.root / "run" / path
            equal(file.read_text(), content, path)
            equal(os.readlink(file.parent), target, path)
    equal(sorted(os.listdir(example.root / "run/secrets/vars")), ["asked", "ca", "host", "per-machine", "shared"])


def test_link_clan_gone_generator_made_anew_where_not(folder):
    """a link of clan's is gone with its generator, and made anew where it is not what it was"""
    example = made(folder)
    expect(example.activate(), 0, "3 secrets in generation 1\n", "")
    links = example.root / "run/secrets/vars/per-machine/m"
    (links / "asked").unlink()
    (links / "asked").symlink_to(folder / "elsewhere")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/file").touch()
    expect(example.activate(), 0, "3 secrets in generation 2\n", "")
    equal(os.readlink(links / "asked"), "../../asked")
    equal(os.listdir(folder / "elsewhere"), ["file"])
    example.config.write_text(json.dumps({"machines": {"m": {}}, "generators": {}}))
    expect(example.activate(), 0, "0 secrets in generation 3\n", "")
    equal(list((example.root / "run/secrets/").iterdir()), [])


def test_generator_called_like_clan_folder_others_files(folder):
    """a generator that is called like clan's folder of others has its files there"""
    text = """\
machines: {m: {}}
generators:
  shared: {share: true, files: {one: {}}, kind: {one: uuid}}
  one: {share: true, files: {two: {}}, kind: {two: uuid}}
  per-machine: {machines: [m], files: {m: {}}, kind: {m: uuid}}
"""
    example = Example(folder, text)
    expect(example.activate(), 0, "3 secrets in generation 1\n", "")
    found = {str(path.relative_to(example.root)) for path in example.root.rglob("*") if not path.is_dir()}
    equal(found, {f"run/secrets.d/1/vars/{path}" for path in ("shared/one", "one/two", "per-machine/m")})


harness.main()
