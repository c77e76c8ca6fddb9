# SPDX-License-Identifier: Apache-2.0
"""Whose keys open the documents of a manifest, and whose the files are."""
import os

import harness
from harness import equal, expect, need_root, vmcred
from manifests import Manifest, personality


def ours(folder, **options):
    return Manifest(folder, personality(folder), **options).add("top", "one.yaml", "top")


def test_keys_sops_would_find_itself_tried_after_manifest(folder):
    """keys that sops would find by itself are tried after the manifest's, which take the place of SOPS_AGE_KEY_FILE"""
    manifest = ours(folder)
    expect(vmcred("keygen", "--output", folder / "other"))
    manifest.content["ageKeyFile"] = str(folder / "other")
    key = next(line for line in manifest.identity.read_text().splitlines() if "SECRET" in line)
    expect(manifest.install(env={"SOPS_AGE_KEY_FILE": str(manifest.identity)}), 3, "")
    expect(manifest.install(env={"SOPS_AGE_KEY": key}), 0, "", "")
    manifest.secrets[0]["mode"] = "0440"
    manifest.content["ageKeyFile"] = None
    expect(manifest.install(env={"SOPS_AGE_KEY_FILE": str(manifest.identity)}), 0, "", "")
    manifest.secrets[0]["mode"] = "0400"
    (folder / ".config/sops/age").mkdir(parents=True)
    (folder / ".config/sops/age/keys.txt").write_text(key)
    (folder / ".config/sops/age/keys.txt").chmod(0o600)
    expect(manifest.install(), 0, "", "")
    manifest.secrets[0]["mode"] = "0404"
    (folder / ".config/sops/age/keys.txt").write_text("no key\n")
    result = expect(manifest.install(), 3, "")
    equal(f"{folder}/.config/sops/age/keys.txt" in result.err and "no key\n" not in result.err, True, result.err)
    equal(manifest.generations(), ["3"])


def test_ssh_key_no_rsa_key_not_there_warning_where_pgp_keys(folder):
    """an SSH key that is no RSA key, or is not there, is a warning where PGP keys are wanted of it"""
    manifest = ours(folder)
    manifest.content["sshKeyPaths"] = [str(folder / "lost"), str(manifest.identity)]
    expect(
        manifest.install(),
        0,
        "",
        f"vmcred: warning: a key of sshKeyPaths is not used: opening {folder}/lost: No such file or directory\n"
        f"vmcred: warning: a key of sshKeyPaths is not used: {manifest.identity}: it is not a private key that age uses "
        "(OpenSSH's format, or PEM with an RSA or Ed25519 key)\n",
    )


def test_user_not_there_error_unless_ignore_passwd_gives_all(folder):
    """a user that is not there is an error, unless -ignore-passwd gives all to root"""
    need_root()
    manifest = ours(folder, system=True)
    manifest.secrets[0]["owner"] = "no-such-user"
    expect(
        manifest.install_system(),
        3,
        "",
        f'vmcred: {folder}/manifest.json: secret top: there is no user "no-such-user" to own it\n',
    )
    expect(manifest.install_system("-ignore-passwd"), 0, "", "")
    equal(os.readlink(folder / "runtime/secrets"), f"{folder}/runtime/secrets.d/1")


harness.main()
