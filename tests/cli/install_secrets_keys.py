# SPDX-License-Identifier: Apache-2.0
"""The keys for the documents of a manifest, and the owners of its files."""
import os

import harness
from harness import equal, expect, fails, need_root, vmcred
from manifests import Manifest, personality


def ours(directory, **options):
    return Manifest(directory, personality(directory), **options).add("top", "one.yaml", "top")


def test_keys_of_sops_are_tried_last(directory):
    """keys that sops finds by itself are tried after those of the manifest, which replace SOPS_AGE_KEY_FILE"""
    manifest = ours(directory)
    expect(vmcred("keygen", "--output", directory / "other"))
    manifest.content["ageKeyFile"] = str(directory / "other")
    key = next(line for line in manifest.identity.read_text().splitlines() if "SECRET" in line)
    expect(manifest.install(env={"SOPS_AGE_KEY_FILE": str(manifest.identity)}), 1, "")
    expect(manifest.install(env={"SOPS_AGE_KEY": key}), 0, "", "")
    manifest.secrets[0]["mode"] = "0440"
    manifest.content["ageKeyFile"] = None
    expect(manifest.install(env={"SOPS_AGE_KEY_FILE": str(manifest.identity)}), 0, "", "")
    manifest.secrets[0]["mode"] = "0400"
    (directory / ".config/sops/age").mkdir(parents=True)
    (directory / ".config/sops/age/keys.txt").write_text(key)
    (directory / ".config/sops/age/keys.txt").chmod(0o600)
    expect(manifest.install(), 0, "", "")
    manifest.secrets[0]["mode"] = "0404"
    (directory / ".config/sops/age/keys.txt").write_text("no key\n")
    result = expect(manifest.install(), 1, "")
    equal(f"{directory}/.config/sops/age/keys.txt" in result.err and "no key\n" not in result.err, True, result.err)
    equal(manifest.generations(), ["3"])


def test_unusable_ssh_keys(directory):
    """in sshKeyPaths, a missing key or one that is not an RSA key is a warning"""
    manifest = ours(directory)
    manifest.content["sshKeyPaths"] = [str(directory / "lost"), str(manifest.identity)]
    lines = expect(manifest.install(), 0, "").err.splitlines()
    equal(len(lines), 2, "number of warnings")
    for line, path in zip(lines, manifest.content["sshKeyPaths"]):
        assert line.startswith("vmcred: warning: ignoring a key of sshKeyPaths: ") and path in line, line


def test_readable_age_key_file(directory):
    """an ageKeyFile that others can read is a warning, and the secrets are installed; one that they can write is an error"""
    manifest = ours(directory)
    manifest.identity.chmod(0o644)
    result = expect(manifest.install(), 0, "")
    equal(result.err, f"vmcred: warning: key file {manifest.identity} is accessible to other users: chmod 600 {manifest.identity}\n")
    equal(manifest.active("top"), b"first value")
    manifest.identity.chmod(0o622)
    fails(manifest.install(), 1, manifest.identity, "0622")


def test_missing_user(directory):
    """a missing user is an error, unless -ignore-passwd makes root the owner of everything"""
    need_root()
    manifest = ours(directory, system=True)
    manifest.secrets[0]["owner"] = "no-such-user"
    expect(
        manifest.install_system(),
        1,
        "",
        f'vmcred: {directory}/manifest.json: secret top: user "no-such-user" does not exist\n',
    )
    expect(manifest.install_system("-ignore-passwd"), 0, "", "")
    equal(os.readlink(directory / "runtime/secrets"), f"{directory}/runtime/secrets.d/1")


harness.main()
