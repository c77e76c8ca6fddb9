# SPDX-License-Identifier: Apache-2.0
"""docs/nixos.md: its flakes evaluate, and its commands do what it says."""
import json
import os
import re
import shutil

import harness
from clan_repository import clan_source
from harness import SOURCE, VMCRED, equal, expect, fails, run
from nix_rig import OURS, nix, originals

PAGE = (SOURCE / "docs/nixos.md").read_text()


def blocks():
    """The texts of all code blocks, by the heading before them and the name of the file in their first line."""
    found, heading = {}, None
    for match in re.finditer(r"^## ([^\n]*)$|^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S):
        title, _, text = match.groups()
        heading = title or heading
        if text:
            name = re.match(r"# (\S+)\n", text)
            found[heading, name.group(1) if name else "commands"] = text
    return found


PLACES = {
    ("With sops-nix", "flake.nix"): "sops-nix/flake.nix",
    ("With clan", "flake.nix"): "clan/flake.nix",
    ("With vmcred's own store", "flake.nix"): "own/flake.nix",
    ("With vmcred's own store", "secrets/vmcred.yaml"): "own/secrets/vmcred.yaml",
    ("A guest's SSH host key", "vm.nix"): "own/vm.nix",
    ("A guest's SSH host key", "host.nix"): "own/host.nix",
}
COMMANDS = ("With vmcred's own store", "commands")


def written(directory):
    """The page's files."""
    found = blocks()
    equal(set(found), set(PLACES) | {COMMANDS}, "the code blocks of docs/nixos.md")
    for block, place in PLACES.items():
        path = directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found[block])
    (directory / "sops-nix/secrets.yaml").write_text("api-key: encrypted\n")
    return directory


def evaluates(sources, directory, clan_core=None):
    arguments = ["--arg", "page", written(directory)] + (["--arg", "clanCore", clan_core] if clan_core else [])
    flakes, modules = (
        json.loads(expect(nix(sources).run("nix-instantiate", "--eval", "--strict", "--json", "-A", f"page.{name}", *arguments), 0).out)
        for name in ("flakes", "modules")
    )
    for name, flake in flakes.items():
        equal((flake["failed"], flake["unused"]), ([], []), name)
        assert flake["inputs"] == sorted(flake["inputs"]) and "vmcred" in flake["inputs"], flake
        equal(flake["service"], ["api-key:API_KEY"], name)
        assert flake["hypervisor"].startswith("vmcred-"), flake
    equal([flakes[name]["loaded"] for name in ("sops-nix", "clan", "own")],
          [["API_KEY:/run/secrets/api-key"], ["API_KEY:/run/secrets/api-key"], []])  # fmt: skip
    equal([flakes[name]["known"] for name in ("sops-nix", "clan", "own")], [["web"], ["web"], []], "VMs for vmcred status")
    equal(flakes["own"]["source"], str(directory / "own/secrets"))
    generator = flakes["clan"]["declaration"]["generators"]["web"]
    equal((generator["machines"], list(generator["files"])), (["host1"], ["api-key"]))
    equal(modules, {
        "sshd": ["host-key:HOST_KEY"], "hostKeys": [], "extraConfig": "HostKey /run/credentials/sshd.service/host-key",
        "knownHosts": {"web": str(directory / "own/secrets/vars/per-machine/host1/web/host-key.pub/value")},
    })  # fmt: skip


def test_flakes(directory):
    """the page's flakes evaluate without a failed assertion, and each VM loads its credential"""
    evaluates(OURS, directory)


def test_flakes_with_originals(directory):
    """they do so with the original modules of microvm.nix, sops-nix and clan, too"""
    sources = originals("microvm.nix", "nixpkgs.lib", "sops-nix")
    evaluates(sources, directory, clan_source().removesuffix("/pkgs/clan-cli"))


def test_commands(directory):
    """the page's commands make a store that a flake sees, and the identity of its host"""
    page = written(directory)
    programs, stolen = directory / "bin", directory / "installed"
    programs.mkdir()
    for name in ("vmcred", "vmcred-sops", "vmcred-sandbox", "vmcred-run"):
        (programs / name).symlink_to(os.path.join(os.path.dirname(VMCRED), name))
    # Stands in for the host.
    harness.write_program(programs / "ssh", f'#!/bin/sh -e\nshift\nexec sh -c "$(echo "$*" | sed s,/var/lib/vmcred/,{stolen}/,)"\n')
    identity = directory / "me"
    public = re.search("age1[a-z0-9]+", expect(run(VMCRED, "keygen", "--output", identity)).out).group()
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "SOPS_AGE_KEY_FILE": str(identity)} | {
        f"GIT_{who}_{what}": "somebody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }  # fmt: skip
    expect(run("git", "init", "-q", page / "own"), 0)
    commands = re.sub(r"^\$ ", "", blocks()[COMMANDS], flags=re.M).replace("age1...", public).replace("commit\n", "commit -qm x\n")
    expect(run("sh", "-ec", commands, cwd=page / "own", env=environment), 0)
    equal(run("git", "-C", page / "own", "status", "--short", "secrets").out, "")
    config = page / "own/secrets/vmcred.yaml"
    expect(run(VMCRED, "check", "--config", config, env=environment), 0, None, "")
    root = directory / "root"
    expect(run(VMCRED, "activate", "--config", config, "--identity", stolen / "identity", "--root", root), 0, None, "")
    # OpenSSH reads the key.
    key = root / "run/secrets/vars/web/host-key"
    expect(run("ssh-keygen", "-y", "-f", key), 0)
    expect(run(VMCRED, "units", "--config", config, "--output", directory, env=environment), 0, None, "")
    units = next((directory / "microvm@web.service.d").iterdir()).read_text()
    for line in ("LoadCredential=api-key:/run/secrets/vars/web/api-key", "LoadCredential=host-key:/run/secrets/vars/web/host-key"):
        assert line in units, units
    # Without git add, the flake's copy has no secrets.
    shutil.rmtree(page / "own/secrets/vars")
    result = run(VMCRED, "activate", "--config", config, "--identity", stolen / "identity", "--root", directory / "other")
    fails(result, 3, "opening vars/per-machine/host1/web/api-key/secret: No such file or directory")


if __name__ == "__main__":
    harness.main()
