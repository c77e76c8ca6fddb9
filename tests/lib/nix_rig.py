# SPDX-License-Identifier: Apache-2.0
"""Evaluates and builds tests/nix with Debian's Nix, in a store of its own and without a network.

The modules of microvm.nix and the library of nixpkgs are stand-ins of ours, or the originals in the directory $VMCRED_NIX.
"""
import atexit
import functools
import json
import os
import shutil
import tempfile
from pathlib import Path

import harness
from harness import Skip, expect, need, run
from vm import STAND_IN

RIG = harness.SOURCE / "tests/nix"
OURS = RIG / "sources"


def originals(*names):
    """The directory with the sources of these projects. They are in no registry, so a skip is allowed even with CI=true."""
    sources = Path(os.environ.get("VMCRED_NIX") or "/nonexistent")
    for name in names:
        if not (sources / name).is_dir():
            raise Skip(f"the original {name} is not on this machine: set VMCRED_NIX to a directory with its source")
    return sources


def _remove(directory):
    # Nix makes what it has built read-only.
    run("chmod", "-R", "u+w", directory)
    shutil.rmtree(directory, ignore_errors=True)


class Nix:
    """A store with what tests/nix makes of these sources."""

    def __init__(self, sources, hypervisors=None, kernel=None):
        need("nix-instantiate")
        self.directory = Path(tempfile.mkdtemp(prefix="vmcred-nix.", dir="/dev/shm"))
        atexit.register(_remove, self.directory)
        self.environment = {"NIX_REMOTE": "", "TMPDIR": str(self.directory)} | {
            f"NIX_{name}_DIR": str(self.directory / name.lower()) for name in ("STORE", "STATE", "LOG", "CONF")
        }
        (self.directory / "conf").mkdir()
        (self.directory / "conf/nix.conf").write_text("build-users-group =\nsubstitute = false\nsandbox = false\n")
        self.arguments = [RIG, "--arg", "sources", sources]
        self.kernel = self.directory / "kernel"
        self.kernel.mkdir()
        source = self.directory / "store-of-secrets"
        source.mkdir()
        (source / "vmcred.yaml").write_text("machines: {host1: {}}\n")
        self.arguments += ["--arg", "source", source]
        for name, path in {"hypervisors": hypervisors or self._hypervisors(), "vmcredBuild": self._installed(),
                           "kernel": kernel or self.kernel}.items():  # fmt: skip
            self.arguments += ["--argstr", name, path]

    def _hypervisors(self):
        programs = self.directory / "hypervisors"
        programs.mkdir()
        expect(run("cc", "-o", programs / "qemu-system-x86_64", RIG / "hypervisor.c"))
        for name in ("qemu-system-aarch64", "firecracker"):
            (programs / name).symlink_to("qemu-system-x86_64")
        for name in ("cloud-hypervisor", "ch-remote"):
            (programs / name).symlink_to(STAND_IN)
        return programs

    def _installed(self):
        expect(run("meson", "install", "-C", Path(harness.VMCRED).parent, "--no-rebuild", "--quiet",
                   "--destdir", self.directory / "installed"))  # fmt: skip
        return next((self.directory / "installed").rglob("bin")).parent

    def plain(self, program, *arguments):
        return run(program, *arguments, env=self.environment)

    def run(self, program, *arguments):
        return self.plain(program, *self.arguments, *arguments)

    def value(self, attribute):
        return json.loads(expect(self.run("nix-instantiate", "--eval", "--strict", "--json", "-A", attribute), 0).out)

    def built(self, attribute, *arguments):
        return Path(expect(self.run("nix-build", "--no-out-link", "-A", attribute, *arguments), 0).out.strip())


    def closure(self, path):
        """The built paths that this one needs, with itself."""
        return expect(self.plain("nix-store", "--query", "--requisites", path), 0).out.split()


@functools.cache
def nix(sources=OURS):
    return Nix(sources)
