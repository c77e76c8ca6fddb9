# SPDX-License-Identifier: Apache-2.0
"""The flake, the Nix package, the NixOS module for machines with a store, and the module of sops-nix with vmcred."""
import os
import re

import harness
from harness import equal, expect, need, need_root, run, vmcred
from nix_rig import RIG, nix, originals


def test_files(_directory):
    """Nix parses every .nix file, and all names in them are defined"""
    ours = [harness.SOURCE / "flake.nix", *(harness.SOURCE / "nix").glob("*.nix"), *RIG.rglob("*.nix")]
    files = [path for path in ours if path.is_file()]
    expect(nix().plain("sh", "-c", 'nix-instantiate --parse "$@" >/dev/null', "sh", *files), 0, "", "")


def test_flake(_directory):
    """the flake has packages for both architectures, an overlay, three modules, checks and a shell"""
    equal(nix().value("outputs"), {
        "packages": {system: ["age", "default", "sops", "vmcred"] for system in ("aarch64-linux", "x86_64-linux")},
        "checks": {system: ["age", "sops", "units", "vmcred"] for system in ("aarch64-linux", "x86_64-linux")},
        "nixosModules": ["default", "guest", "host"],
        "overlay": ["vmcred"],
        "lib": ["clanVars"],
        "devShells": ["default"],
    })  # fmt: skip


def test_source_of_the_package(directory):
    """the package's source has everything that its build reads"""
    source = nix().built("packageSource") / "src"
    expect(run("meson", "setup", "-Dtests=false", directory / "build", source), 0)
    expect(run("ninja", "-C", directory / "build", "-n"), 0)
    equal([name for name in os.listdir(source) if name in ("tests", "build", "nix", ".git")], [])


def test_package(_directory):
    """the package has programs, manual pages, completions and units, but no unit of microvm.nix's name"""
    package, links = nix().built("package"), nix().built("links")
    paths = {str(path.relative_to(package)) for path in package.rglob("*")}
    for path in ("bin/vmcred", "bin/vmcred-run", "bin/vmcred-sops", "bin/sops-install-secrets", "share/man/man1/vmcred.1",
                 "share/bash-completion/completions/vmcred", "lib/systemd/system/vmcred-activate.service",
                 "lib/systemd/system-generators/vmcred-generator"):
        assert path in paths, path
    assert "lib/systemd/system/microvm@.service" not in paths
    assert not {"bin/sops", "bin/age"} & paths, "programs of others would be hidden"
    equal(sorted(path.name for path in (links / "guest/lib/systemd/system").iterdir()),
          ["vmcred-guest-verify.service", "vmcred-guest-watch.service", "vmcred-guest.service", "vmcred-guest.socket"])
    expect(run(links / "guest/bin/vmcred-guest", "--version"))
    for link, first in (("sops/bin/sops", "sops 3."), ("age/bin/age", "1."), ("age/bin/age-keygen", "1.")):
        assert run(links / link, "--version").out.lstrip("v").startswith(first), run(links / link, "--version")


def test_machine(_directory):
    """a machine with vmcred's store activates at boot, with its own name and identity"""
    machines = nix().value("machines")

    def lines(name, unit):
        return set(machines[name]["services"][unit].splitlines()) - {"[Unit]", "[Service]"}

    def without_store(found):
        return {re.sub(r"/\S+/bin/vmcred ", "vmcred ", line) for line in found}

    for name, machine, identity in (("plain", "host1", "/var/lib/vmcred/identity"),
                                    ("sops-key", "host1", "/var/lib/sops-nix/key.txt")):
        equal(machines[name]["etc"], ["vmcred"])
        equal(machines[name]["wanted"], {"vmcred-activate": ["multi-user.target"], "vmcred-units": []})
        equal(without_store(lines(name, "vmcred-activate")), {
            f"Environment=VMCRED_MACHINE={machine}", f"Environment=SOPS_AGE_KEY_FILE={identity}",
            "LoadCredential=", f"LoadCredential=identity:{identity}",
            "ExecStartPost=+vmcred activate --restart-pending --needed-for services",
        })  # fmt: skip
    equal(machines["unmanaged"]["etc"], [])
    equal(machines["other"]["wanted"], {"vmcred": ["sockets.target"], "vmcred-channel": ["sockets.target"], "vmcred-vsock": ["sockets.target"], "vmcred-units": []})
    equal(lines("other", "vmcred"), {"Environment=VMCRED_MACHINE=other", "Environment=SOPS_AGE_KEY_FILE=/etc/key"})


def test_sealed_identity(_directory):
    """an identity that is sealed to the TPM is decrypted by systemd for both services"""
    services = nix().value("machines")["sealed"]["services"]
    for unit in ("vmcred-activate", "vmcred"):
        for line in ("LoadCredentialEncrypted=identity:/var/lib/vmcred/identity.cred",
                     "Environment=SOPS_AGE_KEY_FILE=%d/identity"):
            assert f"{line}\n" in services[unit], services[unit]
    assert "LoadCredential=identity" not in services["vmcred-activate"], services["vmcred-activate"]


def test_needed_for_users(directory):
    """secrets that users need are installed before NixOS creates users, by a unit or by its activation script"""
    need_root()
    machines = nix().value("machines")
    equal((machines["users-by-units"]["scripts"], machines["users-by-units"]["wanted"]["vmcred-activate-users"]),
          ({}, ["sysinit.target"]))
    scripts = machines["users-by-script"]["scripts"]
    equal((scripts["users"]["deps"], scripts["vmcred-users"]["deps"]), (["vmcred-users"], ["specialfs"]))
    (directory / "vmcred.yaml").write_text("""\
machines: {host1: {}}
generators: {user: {machines: [host1], files: {hash: {neededFor: users}}, kind: {hash: {hex: 4}}}}
""")
    identity = directory / "identity"
    expect(vmcred("keygen", "--machine", "host1", "--output", identity, cwd=directory), 0)
    expect(vmcred("generate", cwd=directory), 0)
    text = re.sub(r"--config \S+/", f"--config {directory}/", scripts["vmcred-users"]["text"])
    text = text.replace("/var/lib/vmcred/identity", str(identity))
    nix().built("package")
    expect(run("unshare", "--mount", "--propagation", "private", "sh", "-ec",
               f"mount -t tmpfs run /run\n{text}stat -c '%a %U %s' /run/secrets-for-users/vars/user/hash"),
           0, "1 secret for users in generation 1\n400 root 8\n", "")  # fmt: skip


def test_refused_machines(_directory):
    """what cannot work together is refused with a way out: two owners of /run/secrets, a public identity"""
    failed = {name: "".join(machine["failed"]) for name, machine in nix().value("machines").items() if machine["failed"]}
    mentions = {
        "clash": ["/run/secrets.", "services.vmcred.activate = false"],
        "clash-users": ["/run/secrets-for-users.", "services.vmcred.neededForUsers = false"],
        "public-identity": ["services.vmcred.identityFile", "/var/lib/vmcred/identity"],
        "sealed-users": ["services.vmcred.sealedIdentity", "services.userborn.enable = true"],
    }
    equal(set(failed), set(mentions))
    for name, words in mentions.items():
        for word in words:
            assert word in failed[name], (word, failed[name])


def test_sops_nix(directory):
    """the module of sops-nix checks its manifest and installs its secrets with vmcred as its package"""
    need_root()
    sources = originals("sops-nix", "nixpkgs.lib")
    identity, document = directory / "identity", directory / "secrets.yaml"
    recipient = expect(vmcred("keygen", "--output", identity), 0).out.split()[-1]
    document.write_text("web:\n    api-key: canary one\nlink: canary two\n")
    expect(run(need("sops"), "encrypt", "--age", recipient, "--in-place", document), 0)
    script = nix(sources).built("sopsNix", "--arg", "sopsFile", document, "--argstr", "keyFile", identity)
    show = "cd /run/secrets; stat -c '%n %a' web/api-key; cat web/api-key /run/elsewhere/link rendered/env"
    installed = run("unshare", "--mount", "--propagation", "private", "sh", "-ec",
                    f"mount -t tmpfs run /run; . {script}; {show}")  # fmt: skip
    expect(installed, 0)
    equal(installed.out.splitlines()[-2:], ["web/api-key 440", "canary onecanary twoLINK=canary two"])


harness.main()
