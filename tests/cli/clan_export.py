# SPDX-License-Identifier: Apache-2.0
"""clan's generators as Nix prints them (vmcred.yaml(5)) are generated, and activated at clan's paths."""
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
    """The output of builtins.toJSON; `inputs` are the runtimeInputs of some scripts."""
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


def generate(directory, inputs):
    """The example and the result of generating its secrets, with an empty PATH."""
    (directory / "token").write_text("the token's value")
    example = Example(directory, export(inputs), generate=False)
    words = ["--identity", example.identity, "--prompt", f"token=@{directory / 'token'}"]
    return example, example.generate(*words, env={"PATH": "/nonexistent"})


def made(directory):
    example, result = generate(directory, ["/nonexistent", "/usr"])
    expect(result)
    return example


def test_scripts_find_programs_of_runtime_inputs(directory):
    """all secrets are generated, with the programs of runtimeInputs"""
    example = made(directory)
    expect(
        vmcred("list", "--config", example.config),
        0,
        """\
SECRET                   AGE    VALID UNTIL  VMS  READERS
shared ca/key            today  -            -    machine m
m host/key               today  -            -    machine m
m host/key.pub (public)  -      -            -    -
m asked/token            today  -            -    machine m
m user/hash              today  -            -    machine m
m disk/key               today  -            -    machine m
""",
        "",
    )
    equal(example.get("key", "host").out, "9dd4e461268c8034f5c8564e155c67a6  -\n")
    equal(example.get("hash", "user").out, "key\n")
    equal(example.get("token", "asked").out, "the token's value")


def test_scripts_do_not_find_programs_of_others(directory):
    """a script without runtimeInputs does not find the programs of other generators"""
    _example, result = generate(directory, [])
    equal(result.code, 1)
    assert "md5sum" in result.err and "not found" in result.err, result.err


# For each phase: clan's path of a file, its content, and the target of the link in the path.
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


def test_each_file_is_at_clan_path(directory):
    """each file is also at clan's path, in each phase"""
    example = made(directory)
    for phase, rows in PATHS.items():
        expect(example.activate("--needed-for", phase))
        for path, content, target in rows:
            file = example.root / "run" / path
            equal(file.read_text(), content, path)
            equal(os.readlink(file.parent), target, path)
    equal(sorted(os.listdir(example.root / "run/secrets/vars")), ["asked", "ca", "host", "per-machine", "shared"])


def test_links_for_clan_are_restored(directory):
    """links for clan are restored if changed, and removed with their generators"""
    example = made(directory)
    expect(example.activate(), 0, "3 secrets in generation 1\n", "")
    links = example.root / "run/secrets/vars/per-machine/m"
    (links / "asked").unlink()
    (links / "asked").symlink_to(directory / "elsewhere")
    (directory / "elsewhere").mkdir()
    (directory / "elsewhere/file").touch()
    expect(example.activate(), 0, "3 secrets in generation 2\n", "")
    equal(os.readlink(links / "asked"), "../../asked")
    equal(os.listdir(directory / "elsewhere"), ["file"])
    example.config.write_text(json.dumps({"machines": {"m": {}}, "generators": {}}))
    expect(example.activate(), 0, "0 secrets in generation 3\n", "")
    equal(list((example.root / "run/secrets/").iterdir()), [])


def test_generator_named_like_a_directory_of_clan(directory):
    """a generator may have the name of one of clan's directories"""
    text = """\
machines: {m: {}}
generators:
  shared: {share: true, files: {one: {}}, kind: {one: uuid}}
  one: {share: true, files: {two: {}}, kind: {two: uuid}}
  per-machine: {machines: [m], files: {m: {}}, kind: {m: uuid}}
"""
    example = Example(directory, text)
    expect(example.activate(), 0, "3 secrets in generation 1\n", "")
    found = {str(path.relative_to(example.root)) for path in (example.root / "run/secrets.d").rglob("*") if not path.is_dir()}
    equal(found, {f"run/secrets.d/1/vars/{path}" for path in ("shared/one", "one/two", "per-machine/m")})


harness.main()
