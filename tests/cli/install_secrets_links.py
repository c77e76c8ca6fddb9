# SPDX-License-Identifier: Apache-2.0
"""The links that a manifest wants: what stands in their places, what stays where one cannot be made, and what goes with
a secret."""
import json
import os

import harness
from harness import equal, expect, need_root
from manifests import Manifest, personality, tree


def ours(folder, **options):
    manifest = Manifest(folder, personality(folder), **options)
    manifest.add("top", "one.yaml", "top").add("plain", "two.json", "plain")
    return manifest


def link_to(manifest, index, path):
    manifest.secrets[index]["path"] = str(path)


def test_link_wanted_below_symlinkpath_each_generation_no(folder):
    """a link that is wanted below symlinkPath is in each generation, and is no change by itself"""
    manifest = ours(folder)
    link_to(manifest, 0, manifest.run_folder / "secrets/other/name")
    expect(manifest.install(), 0, "", "")
    equal(manifest.active("other/name"), b"first value")
    before = tree(folder / "runtime")
    expect(manifest.install(), 0, "", "")
    equal(tree(folder / "runtime"), before)
    link_to(manifest, 0, manifest.run_folder / "secrets/third")
    expect(manifest.install(), 0, "", "")
    equal(manifest.active("third"), b"first value")
    equal((manifest.run_folder / "secrets/other").exists(), False)
    equal(manifest.generations(), ["2"])


def test_however_path_spells_secret_own_place_no_link_itself(folder):
    """however a path spells the secret's own place, it is no link to itself"""
    manifest = ours(folder)
    link_to(manifest, 0, f"{manifest.run_folder}//x/.././secrets/top")
    manifest.content["symlinkPath"] = "%r/./secrets/"
    expect(manifest.install(), 0, "", "")
    equal(manifest.active("top"), b"first value")
    equal((manifest.run_folder / "secrets/top").resolve(), manifest.run_folder / "secrets.d/1/top")


def test_two_place_error_names_both_whether_they_secrets(folder):
    """two for one place are an error that names both, whether they are secrets, templates or links"""
    manifest = ours(folder).add_template("t", "text")
    expect(manifest.install(), 0, "", "")
    before = manifest.tree()
    secrets = manifest.run_folder / "secrets"
    for index, member, value, message in (
        (1, "name", "top", f"secret top: at {secrets}/top there is secret top already"),
        (1, "path", f"{secrets}/top", f"secret plain: at {secrets}/top there is secret top already"),
        (1, "name", "rendered/t", f"template t: at {secrets}/rendered/t there is secret rendered/t already"),
    ):
        content = json.dumps(manifest.content)
        manifest.secrets[index][member] = value
        manifest.content["placeholderBySecretName"]["rendered/t"] = "<x>"
        for options in ((), ("-check-mode", "manifest")):
            expect(manifest.install(*options), 1, "", f"vmcred: {folder}/manifest.json: {message}\n")
        manifest.content = json.loads(content)
    link_to(manifest, 0, folder / "both")
    link_to(manifest, 1, folder / "both")
    expect(manifest.install(), 1, "",
           f"vmcred: {folder}/manifest.json: secret plain: at {folder}/both there is secret top already\n")  # fmt: skip
    equal(manifest.tree(), before)


def test_where_link_cannot_put_place_all_places_they_old(folder):
    """where one link cannot be put in place, all places have what they had, and the old generation is the current one"""
    need_root()
    manifest = ours(folder)
    expect(manifest.install(), 0, "", "")
    links = folder / "links"
    for place in ("file", "empty", "full", "blocked"):
        (links / place).mkdir(parents=True)
    (links / "file/a").write_text("a file\n")
    (links / "file/b").symlink_to("/elsewhere")
    (links / "empty/folder").mkdir()
    for number, path in enumerate(("file/a", "file/b", "empty/folder", "new/one", "blocked/mount")):
        manifest.add(f"more{number}", "one.yaml", "top", path=str(links / path))
    # Nothing can be renamed over a mount point, which is found out at the last moment.
    (links / "blocked/mount").touch()
    before = tree(links), manifest.tree()
    script = f'mount --bind {links}/file/a {links}/blocked/mount && "$@"'
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    expect(
        manifest.install(prefix=prefix),
        1,
        "",
        f"vmcred: putting the link {links}/blocked/mount in place: Device or resource busy\n",
    )
    after = tree(links)
    # A folder for links is nothing that would be missed.
    equal(after.pop("new", None) is not None, True)
    record = manifest.run_folder / "secrets.d/.links"
    equal(json.loads(record.read_text())[str(links / "file/a")], f"{manifest.run_folder}/secrets/more0")
    record.unlink()
    equal((after, manifest.tree()), before)
    expect(manifest.install(), 0, "", "")
    equal((links / "empty/folder").read_text(), "first value")
    equal(sorted(path.name for path in links.rglob(".*")), [])


def test_links_removed_secrets_templates_go_them_unless_they(folder):
    """the links of removed secrets and templates go with them, unless they are somebody else's by now"""
    manifest = ours(folder).add_template("t", "text", path=str(folder / "links/t"))
    for index, name in enumerate(("a", "b")):
        link_to(manifest, index, folder / "links" / name)
    manifest.add("third", "one.yaml", "top", path=str(folder / "links/c"))
    expect(manifest.install(), 0, "", "")
    equal(sorted(os.listdir(folder / "links")), ["a", "b", "c", "t"])
    (folder / "links/b").unlink()
    (folder / "links/b").symlink_to("/elsewhere")
    manifest.content["secrets"] = manifest.secrets[2:]
    manifest.content["templates"] = []
    expect(manifest.install(), 0, "", "")
    equal(sorted(os.listdir(folder / "links")), ["b", "c"])
    equal(os.readlink(folder / "links/b"), "/elsewhere")
    link_to(manifest, 0, manifest.run_folder / "secrets/third")
    expect(manifest.install(), 0, "", "")
    equal(sorted(os.listdir(folder / "links")), ["b"])
    equal(manifest.generations(), ["2"])


def test_folder_where_symlinkpath_gives_way_memory_not_disk(folder):
    """a folder where symlinkPath is to be gives way in memory, and not on a disk"""
    manifest = ours(folder)
    (manifest.run_folder / "secrets/old/deep").mkdir(parents=True)
    (manifest.run_folder / "secrets/old/deep/file").write_text("plaintext")
    expect(manifest.install(), 0, "", "")
    equal(os.readlink(manifest.run_folder / "secrets"), f"{manifest.run_folder}/secrets.d/1")
    equal(sorted(path.name for path in manifest.run_folder.iterdir()), ["secrets", "secrets.d"])
    place = harness.SOURCE / "tests" / f".{folder.name}"
    (place / "secrets").mkdir(parents=True)
    try:
        manifest.content["symlinkPath"] = str(place / "secrets")
        for secret in manifest.secrets:
            secret["path"] = f"{place}/secrets/{secret['name']}"
        expect(
            manifest.install(),
            1,
            "",
            "vmcred: switching to the new generation: Is a directory: secrets is a folder of something else: remove it\n",
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
    place = f"{manifest.run_folder}/secrets.d"
    message = f"symlinkPath {place} and secretsMountPoint {place} are one in the other"
    expect(manifest.install(), 1, "", f"vmcred: {folder}/manifest.json: {message}\n")


harness.main()
