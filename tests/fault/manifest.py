# SPDX-License-Identifier: Apache-2.0
"""Installing a manifest with each possible fault: the old secrets or the new ones are active, all of them; each link or
what it replaces exists; and a second run repairs everything."""
import json
import os
import shutil
from pathlib import Path

import harness
from faults import every_fault
from harness import equal, expect
from manifests import Manifest, personality

# The places of the links first have another link, a file, an empty directory or nothing.
LINKS = ("kept", "file", "directory", "new")


class Activation:
    """A directory with two manifests; the generation of the first one is active."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.program = self.directory / "sops-install-secrets"

    def manifest(self, second):
        manifest = Manifest(self.directory, self.program)
        links = self.directory / "links"
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
            (self.directory / f"{name}.json").write_text(json.dumps(self.manifest(name == "second").content))

    def command(self, name):
        return ["env", f"XDG_RUNTIME_DIR={self.directory}/runtime", f"HOME={self.directory}", self.program, self.directory / f"{name}.json"]

    def run(self, name):
        return harness.run(*self.command(name))

    def active(self):
        """All active files with their contents."""
        top = self.directory / "runtime/secrets"
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()} if top.exists() else None

    def places(self):
        """The state of each link: its target, "directory", or a file's text."""
        found = {}
        for path in sorted((self.directory / "links").iterdir()):
            target = os.readlink(path) if path.is_symlink() else None
            found[path.name] = target or ("directory" if path.is_dir() else path.read_text())
        return found


def prepare(directory):
    """Installs the first manifest, and returns the activation."""
    activation = Activation(directory)
    activation.directory.mkdir()
    personality(activation.directory)
    activation.write()
    expect(activation.run("first"), 0, "", "")
    (activation.directory / "links/file").write_text("somebody's\n")
    (activation.directory / "links/directory").mkdir()
    return activation


def relative(places, directory):
    return {name: text.replace(str(directory), "DIRECTORY") for name, text in places.items()}


def strike(directory, first, errors):
    """Injects faults into the change from the first manifest to the second, or with `first` into a first activation."""
    activation = prepare(directory / "a")
    old, old_places = activation.active(), relative(activation.places(), activation.directory)
    done = prepare(directory / "done")
    expect(done.run("second"), 0, "", "")
    new, new_places = done.active(), relative(done.places(), done.directory)
    if first:
        old, old_places = None, {}

    def moved(copy):
        """Adapts the paths in a copy's manifests and links."""
        struck = Activation(copy)
        struck.write()
        if first:
            for path in ("runtime", "links"):
                shutil.rmtree(struck.directory / path)
            (struck.directory / "runtime").mkdir()
        else:
            for path in (copy / "runtime/secrets", copy / "links/kept", copy / "links/t", copy / "links/gone"):
                target = os.readlink(path).replace(str(activation.directory), str(copy))
                path.unlink()
                path.symlink_to(target)
            record = copy / "runtime/secrets.d/.links"
            record.write_text(record.read_text().replace(str(activation.directory), str(copy)))
        return struck.command("second")

    def check(copy, fault):
        struck = Activation(copy)
        active = struck.active()
        fault.expect(active in (old, new), f"neither the old nor the new secrets are active, but {active},")
        if (struck.directory / "links").exists():
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
        equal(len(left), 2, f"entries next to the generation after {fault}: {left}")
        equal(sorted(path.name for path in (copy / "runtime").iterdir()), ["secrets", "secrets.d"], f"entries after {fault}")

    return every_fault(activation.directory, moved, check, errors=errors)


def test_change(directory):
    """after every fault in a change, the old or the new secrets and links are active, and a second run repairs the rest"""
    failed = strike(directory, False, ("EIO", "ENOSPC"))
    assert failed > 60, failed


def test_first_activation(directory):
    """after every fault in a first activation, nothing or everything is active, and a second run repairs the rest"""
    failed = strike(directory, True, ("ENOSPC",))
    assert failed > 60, failed


harness.main()
