# SPDX-License-Identifier: Apache-2.0
"""Evaluates and builds tests/nix with Debian's Nix, in a store of its own and without a network.

The modules of microvm.nix and the library of nixpkgs are stand-ins of ours, or the originals in the directory $VMCRED_NIX.
"""
import atexit
import functools
import io
import json
import os
import shutil
import tarfile
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

    def __init__(self, sources, hypervisors=None, vmcred=None, kernel=None):
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
        for name, path in {"hypervisors": hypervisors or self._hypervisors(), "vmcredBuild": vmcred or self._installed(),
                           "kernel": kernel or self.kernel}.items():  # fmt: skip
            self.arguments += ["--argstr", name, path]

    def _hypervisors(self):
        programs = self.directory / "hypervisors"
        programs.mkdir()
        expect(run("cc", "-o", programs / "qemu-system-x86_64", RIG / "hypervisor.c"))
        for name in ("qemu-system-aarch64", "alioth", "crosvm", "lkvm", "stratovirt"):
            (programs / name).symlink_to("qemu-system-x86_64")
        harness.write_program(programs / "unbuffer", '#!/bin/sh\nexec "$@"\n')
        (programs / "firecracker").symlink_to(STAND_IN.with_name("firecracker_stand_in.py"))
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


@functools.cache
def nix(sources=OURS):
    return Nix(sources)


def install(host, attribute):
    """Installs the units of a configuration on a booted host, and the runner of its test-vm with the guest of that name."""
    try:
        sources = originals("microvm.nix", "nixpkgs.lib")
    except Skip:
        sources = OURS
    state, stand_in = "/var/lib/microvms/test-vm", "/run/stand-in"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        # The host has the same programs.
        programs = Path(directory)
        (programs / "bin").mkdir()
        for name in ("vmcred", "vmcred-run"):
            (programs / "bin" / name).symlink_to(f"/usr/bin/{name}")
        (programs / "lib/systemd/system").mkdir(parents=True)
        (programs / "lib/systemd/system/microvm@.service").touch()
        nix = Nix(sources, hypervisors="/usr/bin", vmcred=programs, kernel=stand_in)
        system = nix.built(f"systems.{attribute}")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path in expect(nix.plain("nix-store", "--query", "--requisites", system), 0).out.split():
            tar.add(path)
    host.checked("tar", "-x", "-C", "/", stdin=data.getvalue())
    host.checked("sh", "-ec", f"""
        echo 'u microvm 990:kvm' | systemd-sysusers -
        mkdir {stand_in} && cp {state}/initrd {stand_in}
        cp {state}/vmlinuz {stand_in}/bzImage && cp {state}/vmlinuz {stand_in}/vmlinux
        truncate -s 1M {stand_in}/store
        umount {state} 2>/dev/null || :
        chown microvm:kvm {state}
        cd {system}
        ln -s $(readlink runner) {state}/current
        rm -rf /run/systemd/system/microvm@test-vm.service.d
        cp -rL *.service *.service.d /run/systemd/system
        rm -f /etc/systemd/system/microvm@.service
        systemctl daemon-reload
    """)  # fmt: skip
