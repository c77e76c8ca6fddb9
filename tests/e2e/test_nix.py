#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A systemd host starts the units and the runner that vmcred's NixOS modules and those of microvm.nix make.

The guest's service gets three secrets of the host. The hypervisor runs as the user of microvm.nix, which cannot read them.
"""
import functools
import re

import harness
from harness import equal, expect
from host import SECRETS, SERVICE, Container, digest_of, proofs
from nix_rig import install


@functools.cache
def booted():
    """The host after its guest's last proof; `loaded` are the names of the unit's credentials."""
    host = Container()
    install(host, "emulated")
    # This starts vmcred-activate.service, too.
    expect(host.start_vm(), 0)
    # The unit's type is "simple": it may not have them yet.
    script = 'until ls "$1" | grep HOST-; do sleep 0.1; done'
    host.loaded = host.checked("timeout", "60", "sh", "-c", script, "sh", f"/run/credentials/{SERVICE}").out.split()
    host.wait_proofs()
    return host


def test_guest_gets_secrets(_directory):
    """the guest's service gets each secret of the host, byte for byte, beside the static strings"""
    console = booted().console()
    found = proofs(console)
    equal(sorted(found), sorted(SECRETS))
    for name, (salt, digest) in found.items():
        equal(digest, digest_of(salt, booted().secret(name)), f"digest of {name}")
    equal(re.findall(r"^vmcred-proof: oem-string (.*?)\s*$", console, re.MULTILINE), ["ENVIRONMENT=test", "CLUSTER=example-host"])


def test_hypervisor_cannot_read_secrets(_directory):
    """the hypervisor's user gets the credentials of its unit, and cannot read the files they come from"""
    equal(booted().loaded, [f"HOST-{name.upper()}" for name in SECRETS])
    equal(booted().unit("User"), "microvm")
    read = booted().run("setpriv", "--reuid=microvm", "--regid=kvm", "--clear-groups", "cat",
                        f"/run/secrets/vars/test-vm-secrets/{SECRETS[0]}")  # fmt: skip
    equal((read.code, read.out), (1, ""))


def test_unit_of_activation(_directory):
    """the VM's unit waits for the activation, which has the machine and the identity of the configuration"""
    shown = booted().checked("systemctl", "show", "--property=Environment,Result", "vmcred-activate.service").out
    equal(sorted(shown.splitlines()), [
        "Environment=SOPS_AGE_KEY_FILE=/var/lib/vmcred/identity VMCRED_MACHINE=example-host", "Result=success",
    ])  # fmt: skip


harness.main(with_host_services=True)
