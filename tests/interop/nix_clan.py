# SPDX-License-Identifier: Apache-2.0
"""nix/clan-vars.nix: the declaration of a clan's generators, with a stand-in for clan's modules and with the original ones."""
import json
import os
import re

import harness
from clan_repository import MACHINES, Repository, clan_source
from harness import equal, expect, fails, run, succeeds, test, vmcred
from nix_rig import OURS, nix, originals

SHARED = ["authority/key", "authority/key.pub", "token/it"]
OWN = ["answer/it", "host-certificate/key-cert.pub", "host/key", "host/key.pub", "wifi/it"]
# Of clan's own services.
SERVICES = ["openssh-ca/id_ed25519.pub", "openssh-cert/ssh.id_ed25519-cert.pub", "user-password-ada/user-password-hash"]


def evaluated(sources, attribute, clan_core=None):
    """A value, and the error if there is none."""
    arguments = ["--arg", "clanCore", clan_core] if clan_core else []
    return nix(sources).run("nix-instantiate", "--eval", "--strict", "--json", "-A", f"clan.{attribute}", *arguments)


def value(sources, attribute, clan_core=None):
    return json.loads(expect(evaluated(sources, attribute, clan_core), 0).out)


def original():
    """The directories with nixpkgs' library and with clan-core, whose modules need it."""
    sources, clan = originals("nixpkgs.lib"), clan_source()
    return sources, clan.removesuffix("/pkgs/clan-cli")


def programs(directory):
    """Programs of clan's service `users`, for a PATH that has no others besides the machine's."""
    path = directory / "programs"
    path.mkdir()
    for name, script in {"xkcdpass": "echo some-pass-words", "mkpasswd": "exec openssl passwd -6 -stdin"}.items():
        harness.write_program(path / name, f"#!/bin/sh\n{script}\n")
    return f"{path}:{os.environ['PATH']}"


def principals(certificate):
    return re.findall(r"(m\d)\.example", expect(run("ssh-keygen", "-L", "-f", "-", stdin=certificate)).out)


def without_paths(declaration):
    """The paths in the Nix store are those of packages with these names."""
    return json.loads(re.sub(r'"[^"]*/store/[a-z0-9]*-([^"]*)"', r'"\1"', declaration))


def test_declaration(_directory):
    """a generator that is the same on its machines is one entry, and others become variants"""
    declaration = without_paths(value(OURS, "declaration"))
    generators = declaration.pop("generators")
    equal(declaration, {"machines": {name: {} for name in MACHINES}, "sops": {"defaultGroups": []}})
    file = {"deploy": True, "group": "root", "mode": "0400", "neededFor": "services", "owner": "root", "restartUnits": [], "secret": True}
    units = [f"{name}.service" for name in MACHINES]
    token = {
        "dependencies": [], "files": {"it": file | {"mode": "0440", "restartUnits": units}}, "machines": MACHINES, "prompts": {},
        "runtimeInputs": ["coreutils"], "script": 'printf token > "$out/it"', "share": True, "validation": None,
    }  # fmt: skip
    equal(generators["token"], token)
    wifi = token | {"files": {"it": file}, "machines": ["m2", "m3"], "script": 'printf wifi > "$out/it"'}
    equal(generators["wifi"], [wifi, wifi | {"machines": ["m1"], "script": 'printf wired > "$out/it"', "share": False}])
    equal([(entry["machines"], entry["validation"]) for entry in generators["host-certificate"]],
          [([name], {"name": name}) for name in MACHINES])  # fmt: skip
    equal(generators["host"]["runtimeInputs"], ["openssh", "coreutils"])
    equal(generators["answer"]["prompts"], {"it": {"type": "hidden", "description": "The answer", "persist": True}})


def test_what_vmcred_does_not_have_is_refused(_directory):
    """another store, a shared generator with different owners, and a machine without clan are errors that say what to do"""
    result = evaluated(OURS, "otherStore")
    assert result.code == 1 and 'machine m2 has clan.core.vars.settings.secretStore = "age"' in result.err, result
    assert "clan vars export" in result.err and "clan vars import" in result.err, result
    result = evaluated(OURS, "otherMachine")
    assert result.code == 1 and "m4 is not a machine of a clan" in result.err, result
    result = evaluated(OURS, "otherOwner")
    assert result.code == 1 and "The shared generator token differs between m1 and m2 m3" in result.err, result


def test_generators_run_on_each_machine(directory):
    """vmcred generates, checks and activates the files of generators that differ between machines"""
    config = directory / "vmcred.yaml"
    config.write_text(value(OURS, "declaration"))
    for name in MACHINES:
        expect(vmcred("keygen", "--config", config, "--machine", name, "--output", directory / name))
    key = json.loads((directory / "sops/machines/m1/key.json").read_text())[0]["publickey"]
    expect(vmcred("user", "add", "--config", config, "me", "--age-key", key))
    # Without default groups, the secrets are encrypted to the user who generates.
    writer = ["--config", config, "--identity", directory / "m1"]
    expect(vmcred("generate", *writer, "--prompt", "it=@-", stdin="42\n"), 0, None, "")
    succeeds(vmcred("check", "--config", config), f"all {len(SHARED) + 1 + 3 * len(OWN) - 2} files")
    succeeds(vmcred("generate", *writer), "nothing to do")
    for name in MACHINES:
        root = directory / f"root-{name}"
        words = ["--config", config, "--identity", directory / name, "--machine", name, "--root", root]
        expect(vmcred("activate", *words), 0, None, "")
        secrets = root / "run/secrets/vars"
        files = sorted(str(path.relative_to(secrets)) for path in secrets.glob("*/*") if path.parent.parent == secrets)
        equal([file for file in files if file.split("/")[0] not in ("per-machine", "shared")],
              sorted(set(SHARED + OWN) - {"authority/key"}))  # fmt: skip
        equal(principals((secrets / "host-certificate/key-cert.pub").read_text()), [name])
        equal((secrets / "wifi/it").read_text(), "wired" if name == "m1" else "wifi")
        equal((secrets / "answer/it").read_text(), "42")


class EvaluatedRepository(Repository):
    """One whose generators clan's own modules evaluated."""

    def __init__(self, directory):
        sources, clan_core = original()
        self.declaration = value(sources, "declaration", clan_core)
        self.evaluated = value(sources, "generators", clan_core)
        super().__init__(directory)
        self.path = programs(directory)

    def declare(self):
        (self.root / "vmcred.yaml").write_text(self.declaration)
        (self.directory / "flake.json").write_text(json.dumps(self._flake()))

    def _flake_generators(self, machine):
        return {name: generator | {"finalScript": self._final_script(f"{machine}-{name}", generator)}
                for name, generator in self.evaluated[machine].items()}  # fmt: skip

    def _final_script(self, name, generator):
        """As clan's modules write it, with the programs of this machine."""
        prompts = "".join(f'cat "$prompts/{name}" >"$out/{name}"\n' for name, prompt in generator["prompts"].items() if prompt["persist"])
        script = harness.write_program(self.directory / "scripts" / name, f"set -euo pipefail\n{prompts}{generator['script']}\n")
        return str(script)

    def files(self):
        return [(machine, f"{name}/{file}") for machine in MACHINES for name, generator in self.evaluated[machine].items()
                for file in generator["files"]]  # fmt: skip

    def vmcred(self, *words, **options):
        if words[0] != "generate":
            return super().vmcred(*words, **options)
        # The sandbox hides the directory with these programs.
        return super().vmcred(*words, "--no-sandbox", "--prompt", "answer/it=@-", stdin="42", **options)


def test_original_clan(directory):
    """the generators of clan's own services differ between machines, and clan finds all files as it would create them"""
    repository = EvaluatedRepository(directory)
    generators = json.loads(repository.declaration)["generators"]
    equal([len(generators[name]) for name in ("openssh-cert", "user-password-ada")], [3, 2], "variants")
    repository.fill_by_vmcred()
    for file in SERVICES:
        assert ("m2", file) in repository.files(), file
    repository.healthy_for_clan()
    for machine, name, stored in repository.clan_values():
        expect(repository.vmcred("get", machine, name), 0, stored, "")
        if name == "openssh-cert/ssh.id_ed25519-cert.pub":
            equal(set(principals(stored)), {machine})
    # clan generates nothing, because vmcred stored the same hashes of validations.
    before = repository.git("rev-parse", "HEAD")
    repository.clan("vars", "generate", "--no-sandbox")
    equal(repository.git("rev-parse", "HEAD"), before, "the commit after clan's generate")
    fails(repository.vmcred("get", "m4", "host/key"), 2, "m4")


if __name__ == "__main__":
    harness.main()
