# SPDX-License-Identifier: Apache-2.0
"""Activating a manifest, struck by every fault: the old secrets are behind the link or the new ones, whole; where a link
belongs is what was there or the link; no file of NixOS's is half; and a second run repairs everything."""
import json
import os
import shutil
from pathlib import Path

import harness
from faults import every_fault
from harness import equal, expect
from manifests import Manifest, personality

# At every place that is changed there was a link to the old name, a file, an empty folder, or nothing.
LINKS = ("kept", "file", "folder", "new")


class Activation:
    """A folder with a manifest whose first generation is active; `second()` describes the next one."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.program = self.folder / "sops-install-secrets"

    def manifest(self, second):
        manifest = Manifest(self.folder, self.program)
        links = self.folder / "links"
        manifest.add("plain", "two.json", "plain", path=str(links / "kept"))
        manifest.add("a/deep", "one.yaml", "top", mode="0440")
        manifest.add_template("t", f"{'new' if second else 'old'} {manifest.placeholder('plain')}", path=str(links / "t"))
        if not second:
            manifest.add("gone", "five.bin", path=str(links / "gone"))
            return manifest
        manifest.secrets[1]["key"] = "nested/deep/key"
        for name in LINKS[1:]:
            manifest.add(name, "one.yaml", "top", path=str(links / name))
        return manifest

    def write(self):
        for name in ("first", "second"):
            (self.folder / f"{name}.json").write_text(json.dumps(self.manifest(name == "second").content))

    def command(self, name):
        return ["env", f"XDG_RUNTIME_DIR={self.folder}/runtime", f"HOME={self.folder}", self.program, self.folder / f"{name}.json"]

    def run(self, name):
        return harness.run(*self.command(name))

    def active(self):
        """Every file below the link."""
        top = self.folder / "runtime/secrets"
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()} if top.exists() else None

    def places(self):
        """What is where the links belong; links are told by what they hold."""
        found = {}
        for path in sorted((self.folder / "links").iterdir()):
            target = os.readlink(path) if path.is_symlink() else None
            found[path.name] = target or ("folder" if path.is_dir() else path.read_text())
        return found


def prepare(folder):
    """Gives the folder, what is active before and after, and what is at the places before and after."""
    activation = Activation(folder)
    activation.folder.mkdir()
    personality(activation.folder)
    activation.write()
    expect(activation.run("first"), 0, "", "")
    (activation.folder / "links/file").write_text("somebody's\n")
    (activation.folder / "links/folder").mkdir()
    return activation


def relative(places, folder):
    return {name: text.replace(str(folder), "FOLDER") for name, text in places.items()}


def strike(folder, first, errors):
    """Faults in the change from the first manifest to the second, or in the very first activation."""
    activation = prepare(folder / "a")
    old, old_places = activation.active(), relative(activation.places(), activation.folder)
    done = prepare(folder / "done")
    expect(done.run("second"), 0, "", "")
    new, new_places = done.active(), relative(done.places(), done.folder)
    if first:
        old, old_places = None, {}

    def moved(copy):
        """The copy's manifests have the copy's paths in them, and so has what is active in it."""
        struck = Activation(copy)
        struck.write()
        if first:
            for path in ("runtime", "links"):
                shutil.rmtree(struck.folder / path)
            (struck.folder / "runtime").mkdir()
        else:
            for path in (copy / "runtime/secrets", copy / "links/kept", copy / "links/t", copy / "links/gone"):
                target = os.readlink(path).replace(str(activation.folder), str(copy))
                path.unlink()
                path.symlink_to(target)
            record = copy / "runtime/secrets.d/.links"
            record.write_text(record.read_text().replace(str(activation.folder), str(copy)))
        return struck.command("second")

    def check(copy, fault):
        struck = Activation(copy)
        active = struck.active()
        fault.expect(active in (old, new), f"neither the old nor the new secrets are active, but {active},")
        if (struck.folder / "links").exists():
            for name, text in relative(struck.places(), copy).items():
                if not name.startswith("."):
                    fault.expect(text in (old_places.get(name), new_places.get(name)), f"{name} is {text}")
            if fault.code not in (0, -9, 137) and active == old:
                now = relative(struck.places(), copy)
                fault.expect(now == old_places, f"the links are {now}, not as they were,")
        result = struck.run("second")
        fault.expect(result.code == 0, f"a second run fails ({result.err})")
        equal(struck.active(), new, f"secrets of a second run after {fault}")
        expected = {name: text for name, text in new_places.items() if not first or name in (*LINKS, "t")}
        equal(relative(struck.places(), copy), expected, f"links of a second run after {fault}")
        left = sorted(path.name for path in (copy / "runtime/secrets.d").iterdir())
        equal(len(left), 2, f"what is beside the generation after {fault}: {left}")
        equal(sorted(path.name for path in (copy / "runtime").iterdir()), ["secrets", "secrets.d"], f"what is left after {fault}")

    return every_fault(activation.folder, moved, check, errors=errors)


def test_change_leaves_old_secrets_links_new_ones_after(folder):
    """a change leaves the old secrets and links or the new ones after every fault, and a second run repairs"""
    failed = strike(folder, False, ("EIO", "ENOSPC"))
    assert failed > 60, failed


def test_first_activation_leaves_nothing_all_after_every(folder):
    """a first activation leaves nothing or all after every fault, and a second run repairs"""
    failed = strike(folder, True, ("ENOSPC",))
    assert failed > 60, failed


harness.main()
