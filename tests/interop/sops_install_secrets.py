# SPDX-License-Identifier: Apache-2.0
"""The real sops-install-secrets and ours, side by side on the same manifests: the same tree, modes, owners, links,
lists of units and words."""
import copy
import json
import re

import harness
from harness import equal, expect, need, run
from installers import TRY, both, encrypt, one, real_program, system_manifest, taken
from manifests import Manifest, personality
from ssh_pgp import SshPgpKey

def full(folder):
    manifest = system_manifest(folder).add_all()
    manifest.secrets[0].update(owner="nobody", gid=77)
    manifest.secrets[2].update(path="/run/links/to/whole", uid=5, group="nogroup")
    (folder / "file").write_text(f"[x]\nsecret={manifest.placeholder('bin')}\n")
    text = f"a={manifest.placeholder('top')}, {manifest.placeholder('plain')}{manifest.placeholder('plain')}"
    manifest.add_template("one", text, restartUnits=["t.service"], reloadUnits=["u.service"], owner="nobody")
    manifest.add_template("filed/two", "", file=str(folder / "file"), path="/run/links/two", mode="0444")
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


def test_first_activation_change_leave_same_everything(folder):
    """a first activation and a change leave the same of everything"""
    content = full(folder)
    results = both(
        folder,
        {"first": content, "second": changed(content)},
        "$program first; snapshot; $program second; snapshot; cat /run/nixos/*",
    )
    for line in ("modifying secret: top", "removing secret: plain", "adding secret: re/named", "t.service", "/run/secrets.d/2"):
        equal(line in results[0].out, True, line)


def test_ramfs_kept_generations_no_logging_leave_same(folder):
    """ramfs, kept generations, and no logging leave the same"""
    content = full(folder) | {"useTmpfs": False, "keepGenerations": 2, "logging": {"keyImport": False, "secretChanges": False}}
    results = both(
        folder,
        {"first": content, "second": changed(content)},
        "for file in first second first second; do $program $file; snapshot; done; grep '' /run/nixos/*",
    )
    equal(" ramfs" in results[0].out and "secrets.d/3 d 751" in results[0].out, True, results[0].out)


def test_dry_activation_tells_same_leaves_same_current(folder):
    """a dry activation tells the same, and leaves the same current generation"""
    content = full(folder)
    results = both(
        folder,
        {"first": content, "second": changed(content)},
        "$program first; NIXOS_ACTION=dry-activate $program second; readlink /run/secrets; grep '' /run/nixos/*",
    )
    equal("would modify secret: top\n" in results[0].out, True, results[0].out)


def test_stood_where_link_belongs_replaced_same(folder):
    """what stood where a link belongs is replaced the same"""
    content = full(folder)
    both(
        folder,
        {"first": content},
        "mkdir -p /run/links/two /run/links/to; echo old >/run/links/to/whole; $program first; snapshot",
    )


def test_ignore_passwd_gives_same_root(folder):
    """-ignore-passwd gives the same to root"""
    content = full(folder)
    content["secrets"][0]["owner"] = "no-such-user"
    results = both(folder, {"first": content}, "$program -ignore-passwd first; snapshot")
    equal("secrets.d/1/top f 400 0 0" in results[0].out, True, results[0].out)


def test_each_check_mode_takes_refuses_same(folder):
    """each check mode takes and refuses the same"""
    content = full(folder)
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
    results = both(folder, manifests, script)
    equal(
        results[0].out.splitlines(),
        [
            "manifest good: yes", "sopsfile good: yes", "manifest lost: yes", "sopsfile lost: no", "manifest mode: no",
            "sopsfile mode: no",
        ],
    )  # fmt: skip


def test_user_mode_tree_below_user_folder_same(folder):
    """in user mode the tree below the user's folder is the same"""
    trees = []
    for name, program in (("a", real_program()), ("b", personality(folder))):
        (folder / name).mkdir()
        manifest = Manifest(folder / name, program, encrypt=encrypt).add_all()
        manifest.add_template("t", manifest.placeholder("plain"))
        expect(manifest.install(), 0, "", "")
        found = {path: entry for path, entry in manifest.tree().items() if not path.endswith(("age-keys.txt", ".links"))}
        trees.append(json.dumps({p: [str(x) for x in e] for p, e in found.items()}).replace(f"{folder}/{name}/", "/"))
    equal(trees[1], trees[0])


def test_ed25519_ssh_key_same_age_key_opens_encrypted_rsa(folder):
    """an Ed25519 SSH key is the same age key, and opens what is encrypted to that; an RSA key is passed over"""
    for kind in ("ed25519", "rsa"):
        expect(run(need("ssh-keygen"), "-q", "-t", kind, "-N", "", "-f", folder / kind))
    content = system_manifest(folder).content
    content |= {"ageKeyFile": "", "ageSshKeyPaths": [str(folder / "rsa"), str(folder / "ed25519"), "/nowhere"]}
    content["logging"]["keyImport"] = True
    results = both(folder, {"keys": content}, "$program keys")
    recipient = re.search(r"Imported \S+/ed25519 as age key with fingerprint (age1\S+)", results[0].err).group(1)
    equal(f"vmcred: imported {folder}/ed25519 as age key {recipient}\n" in results[1].err, True, results[1].err)
    manifest = system_manifest(folder)
    manifest.write("one.yaml", "top: for the SSH key\n", recipient)
    manifest.content |= {"ageKeyFile": "", "ageSshKeyPaths": content["ageSshKeyPaths"]}
    manifest.add("top", "one.yaml", "top")
    results = both(folder, {"keys": manifest.content}, "$program keys; snapshot; cat /run/secrets/top")
    equal(results[0].out.endswith("for the SSH key"), True, results[0].out)


def test_rsa_key_ssh_same_pgp_key_opens_encrypted_no_rsa_key(folder):
    """an RSA key of SSH is the same PGP key, and opens what is encrypted to that; what is no RSA key is passed over"""
    key = SshPgpKey(folder / "rsa")
    key.import_into(folder / "gnupg")
    expect(run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "ed25519"))
    manifest = system_manifest(folder)
    for name, text in (("one.yaml", "top: for the RSA key\n"), ("two.json", '{"plain": "in JSON"}')):
        (folder / name).write_text(text)
        expect(run(need("sops"), "encrypt", "--in-place", "--pgp", key.fingerprint, folder / name,
                   env={"GNUPGHOME": str(folder / "gnupg")}))  # fmt: skip
    manifest.content |= {"ageKeyFile": None, "sshKeyPaths": [str(folder / "ed25519"), "/nowhere", str(key.path)]}
    manifest.content["logging"]["keyImport"] = True
    manifest.add("top", "one.yaml", "top").add("plain", "two.json", "plain")
    # The real one tells on stdout of the keys that it imports.
    script = f"$program keys >told; grep -c -i {key.fingerprint} told >&2 || :; snapshot; cat /run/secrets/top /run/secrets/plain"
    results = both(folder, {"keys": manifest.content}, script)
    equal(results[0].out.endswith("for the RSA keyin JSON"), True, results[0].out)
    equal(results[0].err.endswith("1\n"), True, results[0].err)
    equal(f"vmcred: imported {key.path} as PGP key {key.fingerprint}\n" in results[1].err, True, results[1].err)


def test_pgp_key_gnupghome_opens_same(folder):
    """a PGP key of gnupgHome opens the same"""
    home = folder / "gnupg"
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

        manifest = system_manifest(folder)
        manifest.encrypt = encrypt_pgp
        manifest.write("one.yaml", "top: for the PGP key\n")
        manifest.content |= {"ageKeyFile": "", "gnupgHome": str(home)}
        manifest.add("top", "one.yaml", "top")
        results = both(folder, {"pgp": manifest.content}, "$program pgp; snapshot; cat /run/secrets/top")
        equal(results[0].out.endswith("for the PGP key"), True, results[0].out)
    finally:
        run(need("gpgconf"), "--kill", "all", env=environment)


def test_nixos_lists_same_units_whatever_action_not_made(folder):
    """NixOS's lists have the same units, whatever the action is, and are not made where NixOS has no folder for them"""
    manifest = one(folder, restartUnits=["a.service", "b.service"], reloadUnits=["c.service"])
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
    both(folder, manifests, script)


def test_systemctl_called_same_words_dry_activation_says(folder):
    """systemctl is called with the same words, or a dry activation says so"""
    manifest = one(folder, restartUnits=["a.service", "b.service"], reloadUnits=["c.service"])
    changed = copy.deepcopy(manifest.content)
    changed["secrets"][0]["key"] = "nested/deep/key"
    (folder / "bin").mkdir()
    (folder / "bin/systemctl").write_text(f'#!/bin/sh\necho "$@" >>/run/called\nexit $(cat {folder}/code)\n')
    (folder / "bin/systemctl").chmod(0o755)
    script = f"""{TRY}
        export SOPS_RESTART_UNITS_VIA_SYSTEMCTL=1 PATH={folder}/bin:$PATH
        echo 0 >{folder}/code; try first; try changed
        NIXOS_ACTION=dry-activate $program first 2>&1; cat /run/called; ls /run/nixos
        echo 3 >{folder}/code; try first
    """
    results = both(folder, {"first": manifest.content, "changed": changed}, script)
    equal(taken(results[0]), ["yes", "yes", "no"])


def test_secrets_users_need_own_mount_link_root_leave_others(folder):
    """secrets that users need have their own mount and link, are root's, and leave the others alone"""
    manifest = one(folder).add_template("t", "text")
    users = one(folder, owner="no-such-user", group="no-such-group", uid=5, gid=6)
    users.content |= {"secretsMountPoint": "/run/secrets-for-users.d", "symlinkPath": "/run/secrets-for-users"}
    users.secrets[0]["path"] = "/run/secrets-for-users/top"
    users.add_template("login", "hash", owner="no-such-user", path="/run/secrets-for-users/rendered/login")
    later = copy.deepcopy(users.content)
    later["secrets"][0]["key"] = "nested/deep/key"
    mounts = "sed -n 's|.* \\(/run/secrets[^ ]* [^ ]*\\) .*- \\([a-z]*\\) .*|\\1 \\2|p' /proc/self/mountinfo"
    results = both(
        folder,
        {"users": users.content, "others": manifest.content, "later": later},
        f"{TRY}try users; try -ignore-passwd users; try others; snapshot; {mounts}\n"
        f"try -ignore-passwd later; snapshot; try others; {mounts}",
    )
    equal(taken(results[0]), ["no", "yes", "yes", "yes", "yes"])
    equal("secrets-for-users.d/2/top f 400 0 0 " in results[0].out, True, results[0].out)


harness.main()
