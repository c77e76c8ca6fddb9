# SPDX-License-Identifier: Apache-2.0
"""The real sops-install-secrets and ours, side by side with the same manifests: the same tree, modes, owners, links,
lists of units and output."""
import copy
import json
import re

import harness
from harness import equal, expect, need, run
from installers import TRY, both, encrypt, one, real_program, system_manifest, taken
from manifests import Manifest, personality
from ssh_pgp import SshPgpKey

def full(directory):
    manifest = system_manifest(directory).add_all()
    manifest.secrets[0].update(owner="nobody", gid=77)
    manifest.secrets[2].update(path="/run/links/to/whole", uid=5, group="nogroup")
    (directory / "file").write_text(f"[x]\nsecret={manifest.placeholder('bin')}\n")
    text = f"a={manifest.placeholder('top')}, {manifest.placeholder('plain')}{manifest.placeholder('plain')}"
    manifest.add_template("one", text, restartUnits=["t.service"], reloadUnits=["u.service"], owner="nobody")
    manifest.add_template("filed/two", "", file=str(directory / "file"), path="/run/links/two", mode="0444")
    return manifest.content


def changed(content):
    content = json.loads(json.dumps(content))
    content["secrets"][0]["key"] = "nested/deep/key"
    content["secrets"][1]["mode"] = "0400"
    content["secrets"][3]["name"] = "re/named"
    content["secrets"][3]["path"] = "/run/secrets/re/named"
    content["placeholderBySecretName"]["re/named"] = "<SOPS:renamed:PLACEHOLDER>"
    content["templates"].pop()
    return content


def test_first_activation_and_change(directory):
    """a first activation and a change have the same results"""
    content = full(directory)
    results = both(
        directory,
        {"first": content, "second": changed(content)},
        "$program first; snapshot; $program second; snapshot; cat /run/nixos/*",
    )
    for line in ("modifying secret: top", "removing secret: plain", "adding secret: re/named", "t.service", "/run/secrets.d/2"):
        equal(line in results[0].out, True, line)


def test_ramfs_and_kept_generations(directory):
    """with ramfs, kept generations and no logging, the results are the same"""
    content = full(directory) | {"useTmpfs": False, "keepGenerations": 2, "logging": {"keyImport": False, "secretChanges": False}}
    results = both(
        directory,
        {"first": content, "second": changed(content)},
        "for file in first second first second; do $program $file; snapshot; done; grep '' /run/nixos/*",
    )
    equal(" ramfs" in results[0].out and "secrets.d/3 d 751" in results[0].out, True, results[0].out)


def test_dry_activation(directory):
    """a dry activation reports the same changes, and leaves the same generation current"""
    content = full(directory)
    results = both(
        directory,
        {"first": content, "second": changed(content)},
        "$program first; NIXOS_ACTION=dry-activate $program second; readlink /run/secrets; grep '' /run/nixos/*",
    )
    equal("would modify secret: top\n" in results[0].out, True, results[0].out)


def test_replaced_files(directory):
    """files in the places of links are replaced the same"""
    content = full(directory)
    both(
        directory,
        {"first": content},
        "mkdir -p /run/links/two /run/links/to; echo old >/run/links/to/whole; $program first; snapshot",
    )


def test_ignore_passwd(directory):
    """with -ignore-passwd the same files belong to root"""
    content = full(directory)
    content["secrets"][0]["owner"] = "no-such-user"
    results = both(directory, {"first": content}, "$program -ignore-passwd first; snapshot")
    equal("secrets.d/1/top f 400 0 0" in results[0].out, True, results[0].out)


def test_check_modes(directory):
    """each check mode accepts and refuses the same manifests"""
    content = full(directory)
    lost = json.loads(json.dumps(content))
    lost["secrets"][0]["key"] = "nested/lost"
    mode = json.loads(json.dumps(content))
    mode["secrets"][0]["mode"] = "9"
    manifests = {"good": content, "lost": lost, "mode": mode}
    script = (
        "for file in good lost mode; do for mode in manifest sopsfile; do\n"
        'if $program -check-mode $mode $file; then echo "$mode $file: yes"; else echo "$mode $file: no"; fi\n'
        "done; done"
    )
    results = both(directory, manifests, script)
    equal(
        results[0].out.splitlines(),
        [
            "manifest good: yes", "sopsfile good: yes", "manifest lost: yes", "sopsfile lost: no", "manifest mode: no",
            "sopsfile mode: no",
        ],
    )  # fmt: skip


def test_user_mode(directory):
    """in user mode the tree below the user's directory is the same"""
    trees = []
    for name, program in (("a", real_program()), ("b", personality(directory))):
        (directory / name).mkdir()
        manifest = Manifest(directory / name, program, encrypt=encrypt).add_all()
        manifest.add_template("t", manifest.placeholder("plain"))
        expect(manifest.install(), 0, "", "")
        found = {path: entry for path, entry in manifest.tree().items() if not path.endswith(("age-keys.txt", ".links"))}
        trees.append(json.dumps({p: [str(x) for x in e] for p, e in found.items()}).replace(f"{directory}/{name}/", "/"))
    equal(trees[1], trees[0])


def test_ssh_key_as_age_key(directory):
    """an Ed25519 SSH key is converted to the same age key, which decrypts documents; an RSA key is ignored"""
    for kind in ("ed25519", "rsa"):
        expect(run(need("ssh-keygen"), "-q", "-t", kind, "-N", "", "-f", directory / kind))
    content = system_manifest(directory).content
    content |= {"ageKeyFile": "", "ageSshKeyPaths": [str(directory / "rsa"), str(directory / "ed25519"), "/nowhere"]}
    content["logging"]["keyImport"] = True
    results = both(directory, {"keys": content}, "$program keys")
    recipient = re.search(r"Imported \S+/ed25519 as age key with fingerprint (age1\S+)", results[0].err).group(1)
    equal(f"vmcred: imported {directory}/ed25519 as age key {recipient}\n" in results[1].err, True, results[1].err)
    manifest = system_manifest(directory)
    manifest.write("one.yaml", "top: for the SSH key\n", recipient)
    manifest.content |= {"ageKeyFile": "", "ageSshKeyPaths": content["ageSshKeyPaths"]}
    manifest.add("top", "one.yaml", "top")
    results = both(directory, {"keys": manifest.content}, "$program keys; snapshot; cat /run/secrets/top")
    equal(results[0].out.endswith("for the SSH key"), True, results[0].out)


def test_ssh_key_as_pgp_key(directory):
    """an RSA SSH key is converted to the same PGP key, which decrypts documents; other keys are ignored"""
    key = SshPgpKey(directory / "rsa")
    key.import_into(directory / "gnupg")
    expect(run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "ed25519"))
    manifest = system_manifest(directory)
    for name, text in (("one.yaml", "top: for the RSA key\n"), ("two.json", '{"plain": "in JSON"}')):
        (directory / name).write_text(text)
        expect(run(need("sops"), "encrypt", "--in-place", "--pgp", key.fingerprint, directory / name,
                   env={"GNUPGHOME": str(directory / "gnupg")}))  # fmt: skip
    manifest.content |= {"ageKeyFile": None, "sshKeyPaths": [str(directory / "ed25519"), "/nowhere", str(key.path)]}
    manifest.content["logging"]["keyImport"] = True
    manifest.add("top", "one.yaml", "top").add("plain", "two.json", "plain")
    # The real one reports the keys that it imports on stdout.
    script = f"$program keys >told; grep -c -i {key.fingerprint} told >&2 || :; snapshot; cat /run/secrets/top /run/secrets/plain"
    results = both(directory, {"keys": manifest.content}, script)
    equal(results[0].out.endswith("for the RSA keyin JSON"), True, results[0].out)
    equal(results[0].err.endswith("1\n"), True, results[0].err)
    equal(f"vmcred: imported {key.path} as PGP key {key.fingerprint}\n" in results[1].err, True, results[1].err)


def test_gnupg_home(directory):
    """a PGP key in gnupgHome decrypts the same documents"""
    home = directory / "gnupg"
    home.mkdir(mode=0o700)
    environment = {"GNUPGHOME": str(home)}
    try:
        expect(
            run(need("gpg"), "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "test@example.org", "default",
                "default", "never", env=environment),
        )  # fmt: skip
        listing = run("gpg", "--batch", "--with-colons", "--list-keys", env=environment).out
        fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))

        def encrypt_pgp(path, format_, _recipient):
            expect(
                run(need("sops"), "encrypt", "--input-type", format_, "--output-type", format_, "--pgp", fingerprint,
                    "--in-place", path, env=environment)
            )  # fmt: skip

        manifest = system_manifest(directory)
        manifest.encrypt = encrypt_pgp
        manifest.write("one.yaml", "top: for the PGP key\n")
        manifest.content |= {"ageKeyFile": "", "gnupgHome": str(home)}
        manifest.add("top", "one.yaml", "top")
        results = both(directory, {"pgp": manifest.content}, "$program pgp; snapshot; cat /run/secrets/top")
        equal(results[0].out.endswith("for the PGP key"), True, results[0].out)
    finally:
        run(need("gpgconf"), "--kill", "all", env=environment)


def test_nixos_lists(directory):
    """NixOS's lists have the same units for each action, and are not created without NixOS's directory"""
    manifest = one(directory, restartUnits=["a.service", "b.service"], reloadUnits=["c.service"])
    manifest.add("plain", "two.json", "plain", restartUnits=["b.service"])
    manifest.add_template("t", "text", restartUnits=["t.service"], reloadUnits=["a.service", "u.service"])
    changed = copy.deepcopy(manifest.content)
    changed["secrets"][0]["key"] = "nested/deep/key"
    changed["templates"][0]["content"] = "other"
    moved = copy.deepcopy(manifest.content)
    moved["secrets"][0] |= {"name": "top/deep", "path": "/run/secrets/top/deep"}
    moved["placeholderBySecretName"]["top/deep"] = "<moved>"
    mode = copy.deepcopy(manifest.content)
    mode["secrets"][0]["mode"] = "0440"
    manifests = {"first": manifest.content, "changed": changed, "moved": moved, "mode": mode}
    script = f"""{TRY}
        lists() {{ grep '' /run/nixos/* 2>/dev/null || :; }}
        for action in switch test boot dry-activate ''; do
            export NIXOS_ACTION=$action
            for v in first changed moved mode; do $program $v; lists; done
            rm -rf /run/nixos/*; clean
        done
        rm -r /run/nixos; for v in first changed moved first; do $program $v; done; ls /run
    """
    both(directory, manifests, script)


def test_systemctl(directory):
    """systemctl is called with the same arguments, and a dry activation reports the same units"""
    manifest = one(directory, restartUnits=["a.service", "b.service"], reloadUnits=["c.service"])
    changed = copy.deepcopy(manifest.content)
    changed["secrets"][0]["key"] = "nested/deep/key"
    (directory / "bin").mkdir()
    harness.write_program(directory / "bin/systemctl", f'#!/bin/sh\necho "$@" >>/run/called\nexit $(cat {directory}/code)\n')
    script = f"""{TRY}
        export SOPS_RESTART_UNITS_VIA_SYSTEMCTL=1 PATH={directory}/bin:$PATH
        echo 0 >{directory}/code; try first; try changed
        NIXOS_ACTION=dry-activate $program first 2>&1; cat /run/called; ls /run/nixos
        echo 3 >{directory}/code; try first
    """
    results = both(directory, {"first": manifest.content, "changed": changed}, script)
    equal(taken(results[0]), ["yes", "yes", "no"])


def test_secrets_for_users(directory):
    """secrets for users have their own mount and link, belong to root, and do not affect the others"""
    manifest = one(directory).add_template("t", "text")
    users = one(directory, owner="no-such-user", group="no-such-group", uid=5, gid=6)
    users.content |= {"secretsMountPoint": "/run/secrets-for-users.d", "symlinkPath": "/run/secrets-for-users"}
    users.secrets[0]["path"] = "/run/secrets-for-users/top"
    users.add_template("login", "hash", owner="no-such-user", path="/run/secrets-for-users/rendered/login")
    later = copy.deepcopy(users.content)
    later["secrets"][0]["key"] = "nested/deep/key"
    mounts = "sed -n 's|.* \\(/run/secrets[^ ]* [^ ]*\\) .*- \\([a-z]*\\) .*|\\1 \\2|p' /proc/self/mountinfo"
    results = both(
        directory,
        {"users": users.content, "others": manifest.content, "later": later},
        f"{TRY}try users; try -ignore-passwd users; try others; snapshot; {mounts}\n"
        f"try -ignore-passwd later; snapshot; try others; {mounts}",
    )
    equal(taken(results[0]), ["no", "yes", "yes", "yes", "yes"])
    equal("secrets-for-users.d/2/top f 400 0 0 " in results[0].out, True, results[0].out)


harness.main()
