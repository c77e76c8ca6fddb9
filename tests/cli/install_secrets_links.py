# SPDX-License-Identifier: Apache-2.0
"""The links of a manifest: what they replace, what a failure leaves unchanged, and when they are removed."""
import json
import os

import harness
from harness import equal, expect, fails, need_root
from manifests import Manifest, personality, tree


def ours(directory, **options):
    manifest = Manifest(directory, personality(directory), **options)
    manifest.add("top", "one.yaml", "top").add("plain", "two.json", "plain")
    return manifest


def link_to(manifest, index, path):
    manifest.secrets[index]["path"] = str(path)


def test_link_below_symlinkpath(directory):
    """a link below symlinkPath is in each generation, and does not cause a new one"""
    manifest = ours(directory)
    link_to(manifest, 0, manifest.run_directory / "secrets/other/name")
    expect(manifest.install(), 0, "", "")
    equal(manifest.active("other/name"), b"first value")
    before = tree(directory / "runtime")
    expect(manifest.install(), 0, "", "")
    equal(tree(directory / "runtime"), before)
    link_to(manifest, 0, manifest.run_directory / "secrets/third")
    expect(manifest.install(), 0, "", "")
    equal(manifest.active("third"), b"first value")
    equal((manifest.run_directory / "secrets/other").exists(), False)
    equal(manifest.generations(), ["2"])


def test_path_of_the_secret_itself(directory):
    """a path that leads to the secret itself in another spelling is not linked"""
    manifest = ours(directory)
    link_to(manifest, 0, f"{manifest.run_directory}//x/.././secrets/top")
    manifest.content["symlinkPath"] = "%r/./secrets/"
    expect(manifest.install(), 0, "", "")
    equal(manifest.active("top"), b"first value")
    equal((manifest.run_directory / "secrets/top").resolve(), manifest.run_directory / "secrets.d/1/top")


def test_duplicate_paths(directory):
    """a duplicate path of secrets, templates or links is an error that names both"""
    manifest = ours(directory).add_template("t", "text")
    expect(manifest.install(), 0, "", "")
    before = manifest.tree()
    secrets = manifest.run_directory / "secrets"
    for index, member, value, message in (
        (1, "name", "top", f"secret top: {secrets}/top is already the path of secret top"),
        (1, "path", f"{secrets}/top", f"secret plain: {secrets}/top is already the path of secret top"),
        (1, "name", "rendered/t", f"template t: {secrets}/rendered/t is already the path of secret rendered/t"),
    ):
        content = json.dumps(manifest.content)
        manifest.secrets[index][member] = value
        manifest.content["placeholderBySecretName"]["rendered/t"] = "<x>"
        for options in ((), ("-check-mode", "manifest")):
            expect(manifest.install(*options), 1, "", f"vmcred: {directory}/manifest.json: {message}\n")
        manifest.content = json.loads(content)
    link_to(manifest, 0, directory / "both")
    link_to(manifest, 1, directory / "both")
    expect(manifest.install(), 1, "",
           f"vmcred: {directory}/manifest.json: secret plain: {directory}/both is already the path of secret top\n")  # fmt: skip
    equal(manifest.tree(), before)


def test_link_that_cannot_be_installed(directory):
    """if one link cannot be installed, all places are restored, and the old generation is current"""
    need_root()
    manifest = ours(directory)
    expect(manifest.install(), 0, "", "")
    links = directory / "links"
    for place in ("file", "empty", "full", "blocked"):
        (links / place).mkdir(parents=True)
    (links / "file/a").write_text("a file\n")
    (links / "file/b").symlink_to("/elsewhere")
    (links / "empty/directory").mkdir()
    for number, path in enumerate(("file/a", "file/b", "empty/directory", "new/one", "blocked/mount")):
        manifest.add(f"more{number}", "one.yaml", "top", path=str(links / path))
    # Nothing can be renamed over a mount point: only the last step fails.
    (links / "blocked/mount").touch()
    before = tree(links), manifest.tree()
    script = f'mount --bind {links}/file/a {links}/blocked/mount && "$@"'
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    expect(
        manifest.install(prefix=prefix),
        1,
        "",
        f"vmcred: installing the link {links}/blocked/mount: Device or resource busy\n",
    )
    after = tree(links)
    # The new directory for links may stay.
    equal(after.pop("new", None) is not None, True)
    record = manifest.run_directory / "secrets.d/.links"
    equal(json.loads(record.read_text())[str(links / "file/a")], f"{manifest.run_directory}/secrets/more0")
    record.unlink()
    equal((after, manifest.tree()), before)
    expect(manifest.install(), 0, "", "")
    equal((links / "empty/directory").read_text(), "first value")
    equal(sorted(path.name for path in links.rglob(".*")), [])


def test_links_of_removed_secrets(directory):
    """the links of removed secrets and templates are removed, unless they have another target now"""
    manifest = ours(directory).add_template("t", "text", path=str(directory / "links/t"))
    for index, name in enumerate(("a", "b")):
        link_to(manifest, index, directory / "links" / name)
    manifest.add("third", "one.yaml", "top", path=str(directory / "links/c"))
    expect(manifest.install(), 0, "", "")
    equal(sorted(os.listdir(directory / "links")), ["a", "b", "c", "t"])
    (directory / "links/b").unlink()
    (directory / "links/b").symlink_to("/elsewhere")
    manifest.content["secrets"] = manifest.secrets[2:]
    manifest.content["templates"] = []
    expect(manifest.install(), 0, "", "")
    equal(sorted(os.listdir(directory / "links")), ["b", "c"])
    equal(os.readlink(directory / "links/b"), "/elsewhere")
    link_to(manifest, 0, manifest.run_directory / "secrets/third")
    expect(manifest.install(), 0, "", "")
    equal(sorted(os.listdir(directory / "links")), ["b"])
    equal(manifest.generations(), ["2"])


def test_directory_at_symlinkpath(directory):
    """a directory at symlinkPath is replaced if it is in memory, but not on a disk"""
    manifest = ours(directory)
    (manifest.run_directory / "secrets/old/deep").mkdir(parents=True)
    (manifest.run_directory / "secrets/old/deep/file").write_text("plaintext")
    expect(manifest.install(), 0, "", "")
    equal(os.readlink(manifest.run_directory / "secrets"), f"{manifest.run_directory}/secrets.d/1")
    equal(sorted(path.name for path in manifest.run_directory.iterdir()), ["secrets", "secrets.d"])
    place = harness.SOURCE / "tests" / f".{directory.name}"
    (place / "secrets").mkdir(parents=True)
    try:
        manifest.content["symlinkPath"] = str(place / "secrets")
        for secret in manifest.secrets:
            secret["path"] = f"{place}/secrets/{secret['name']}"
        expect(
            manifest.install(),
            1,
            "",
            "vmcred: switching to the new generation: Is a directory: secrets is a directory on disk: remove it\n",
        )
        equal(sorted(path.name for path in place.iterdir()), ["secrets"])
        (place / "secrets").rmdir()
        expect(manifest.install(), 0, "", "")
        equal((place / "secrets/top").read_text(), "first value")
        (place / "secrets").unlink()
    finally:
        if (place / "secrets").is_dir():
            (place / "secrets").rmdir()
        place.rmdir()
    manifest.content["symlinkPath"] = "%r/secrets.d"
    place = f"{manifest.run_directory}/secrets.d"
    message = f"symlinkPath {place} and secretsMountPoint {place} must not contain one another"
    expect(manifest.install(), 1, "", f"vmcred: {directory}/manifest.json: {message}\n")


USER = 4000


def test_parent_replaced_by_a_link_of_its_owner(directory):
    """a user who replaces a parent directory by a link makes root neither change, remove nor read files elsewhere"""
    need_root()
    home, host = directory / "home", directory / "host"
    manifest = Manifest(directory, personality(directory), system=True)
    place = home / "config/key"
    (home / "config").mkdir(parents=True)
    host.mkdir()
    for path in (home, home / "config"):
        os.chown(path, USER, USER)
    manifest.add("top", "one.yaml", "top").add("plain", "two.json", "plain", path=str(place), uid=USER, gid=USER)
    expect(manifest.install(), 0, "", "")
    equal(place.read_text(), "of JSON")
    # A new link: the file of that name elsewhere stays.
    (host / "key").write_text("of the host")
    (home / "config").rename(home / "old")
    (home / "config").symlink_to(host)
    os.lchown(home / "config", USER, USER)
    before = tree(host)
    warning = (
        f"vmcred: warning: creating the link for plain: opening {home}/config: a symbolic link of another user "
        "leads elsewhere: replace the link with a directory\n"
    )
    manifest.write("one.yaml", "top: second value\n")
    expect(manifest.install(), 0, "", warning)
    equal(tree(host), before)
    equal(manifest.active("top"), b"second value", "the other secrets are installed")
    # The same with a link of root that the user renamed.
    (home / "config").unlink()
    (home / "config").symlink_to(host)
    expect(manifest.install(), 0, "", warning)
    equal(tree(host), before)
    # A link that the user may have: to their own directory.
    (home / "config").unlink()
    (home / "config").symlink_to("own")
    os.lchown(home / "config", USER, USER)
    (home / "own").mkdir()
    os.chown(home / "own", USER, USER)
    expect(manifest.install(), 0, "", "")
    equal((home / "own/key").read_text(), "of JSON")
    # A removed link: one with the same target elsewhere stays.
    (host / "key").unlink()
    (host / "key").symlink_to(os.readlink(home / "own/key"))
    (home / "config").unlink()
    (home / "config").symlink_to(host)
    os.lchown(home / "config", USER, USER)
    del manifest.secrets[1]
    expect(manifest.install(), 0, "", "")
    equal(os.path.lexists(host / "key"), True)
    # A template is not read from elsewhere.
    (host / "template").write_text("secret of the host")
    manifest.add_template("t", "", file=str(home / "config/template"))
    fails(manifest.install(), 1, home / "config/template", "symbolic link")


def test_directory_of_a_user_who_prevents_a_link(directory):
    """a user who prevents the link in their directory does not prevent the other secrets"""
    need_root()
    manifest = Manifest(directory, personality(directory), system=True)
    (directory / "home/key/full").mkdir(parents=True)
    os.chown(directory / "home", USER, USER)
    manifest.add("top", "one.yaml", "top").add("plain", "two.json", "plain", path=str(directory / "home/key"))
    result = expect(manifest.install(), 0, "")
    assert "warning: creating the link for plain" in result.err, result.err
    equal(manifest.active("top"), b"first value")
    os.chown(directory / "home", 0, 0)
    fails(manifest.install(), 1, directory / "home/key", "not empty")


harness.main()
