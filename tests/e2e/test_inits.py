#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that vmcred-guest gives their credentials, started by vmcred run: Alpine, OpenRC on busybox, busybox alone, runit, and a
systemd that does not read the initrd. A service of each proves what it got; examples/guest has its configuration."""
import os
import shutil
import subprocess
import time
from pathlib import Path

import harness
from harness import SOURCE, VMCRED, Skip, equal, need, need_root
from host import EXAMPLE, SECRETS, built, digest_of, proofs
from vm import Vm, no_canary, stop

HERE = SOURCE / "tests/e2e/inits"
EXAMPLES = SOURCE / "examples/guest"
# Those of the service, and one of which it must see nothing.
CREDENTIALS = {f"HOST-{name.upper()}": f"host-{name}" for name in SECRETS}
DECLARATION = "vms: {test-vm: {credentialFiles: {HOST-TLS: host-tls, %s}}}\n" % ", ".join(map(": ".join, CREDENTIALS.items()))
OTHER_DECLARATION = "vms: {test-vm: {credentialFiles: {HOST-TLS: host-tls}}}\n"

# The service, a user's program. Each console line ends with a carriage return.
APP = """#!/bin/sh
exec >/dev/console 2>&1
for name in $(ls $CREDENTIALS_DIRECTORY); do
	salt=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n')
	digest=$({ printf %s $salt; cat $CREDENTIALS_DIRECTORY/$name; } | sha256sum)
	echo "vmcred-proof: credential $name salt=$salt sha256=${digest%% *}"
done
echo "app: user $(id -u) $(id -g) $(id -G)"
for file in /sys/firmware/dmi/tables/DMI $(find /sys/firmware -name raw); do
	[ -e $file ] && ! cat $file >/dev/null 2>&1 && echo "app: protected $file"
done
find / -xdev -path /proc -prune -o -name 'HOST-*' -print | sed 's/^/app: found /'
echo "app: end"
exec sleep 600
"""
# What a guest has done before its services start. The service writes to the console.
DEV = "mount -t devtmpfs dev /dev && chmod 666 /dev/console"
MOUNTS = f"{DEV} && mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run"
# /etc/init.d/sysfs is one of Alpine's.
SYSFS = "#!/sbin/openrc-run\nstart() { mount -t sysfs sysfs /sys; }\n"
OPENRC = f"::sysinit:/bin/sh -c '{DEV}'\n::sysinit:/sbin/openrc sysinit\n::sysinit:/sbin/openrc boot\n::wait:/sbin/openrc default\n"
INITTAB = f"::sysinit:/bin/sh -c '{MOUNTS} && insmod /lib/qemu_fw_cfg.ko'\n"
RUNIT = {"1": f"#!/bin/sh\n{MOUNTS}\n", "2": "#!/bin/sh\nexec runsvdir -P /etc/sv\n", "3": "#!/bin/sh\n"}


class InitGuest:
    """A guest whose files are those of an image, the program, and what a test adds."""

    def __init__(self, directory, init, declaration=DECLARATION):
        need_root()
        for program in ("qemu-system-x86_64", "mmdebstrap", "cpio"):
            need(program)
        self.vm = Vm(directory / "vm", declaration)
        self.values = {name: f"{name} {self.vm.api_key}".encode() for name in SECRETS}
        for name, value in self.values.items():
            (self.vm.credentials / f"host-{name}").write_bytes(value)
        self.image = Path(built(HERE / "build-image"))
        self.has_image = True
        self.root = directory / "root"
        self.init = init
        (self.root / "usr/bin").mkdir(parents=True)
        shutil.copy(VMCRED + "-guest", self.root / "usr/bin")

    def write(self, path, text, mode=0o644):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def copy(self, example, path, before=""):
        """An example of one credential, with the others of the service."""
        wanted = " ".join(f"{name}=HOST-{name.upper()}" for name in SECRETS)
        self.write(path, before + (EXAMPLES / example).read_text().replace("api-key=HOST-API-KEY", wanted), 0o755)

    def boot(self, *words, options=(), end=b"app: end"):
        """Its console until the service has ended."""
        initrd = self.vm.directory / "initrd"
        with open(initrd, "wb") as archive:
            if self.has_image:
                archive.write((self.image / "initrd").read_bytes())
                archive.flush()
            names = "\n".join([".", *(str(path.relative_to(self.root)) for path in sorted(self.root.rglob("*")))])
            subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=self.root, input=names.encode(), stdout=archive, check=True)
        process = self.vm.start(
            "qemu-system-x86_64", "-M", "q35", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-accel", "tcg",
            "-cpu", "max", "-m", "256", "-kernel", self.image / "vmlinuz", "-initrd", initrd, "-serial", "stdio",
            "-append", f"console=ttyS0 quiet loglevel=3 panic=-1 random.trust_cpu=on rdinit={self.init}", *words, options=options,
        )  # fmt: skip
        console = self.vm.directory / "out"
        stop_at = time.monotonic() + 180
        while end not in console.read_bytes() and process.poll() is None and time.monotonic() < stop_at:
            time.sleep(0.1)
        stop(process)
        text = console.read_text(errors="replace").replace("\r", "")
        assert end.decode() in text, text + self.vm.errors()
        no_canary(text.encode(), self.vm.api_key)
        return text


class ServiceGuest(InitGuest):
    """With a service of the user app."""

    def __init__(self, directory, init, declaration=DECLARATION):
        super().__init__(directory, init, declaration)
        self.write("usr/local/bin/app", APP, 0o755)
        self.write("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:4711:4712::/:/bin/sh\n")
        self.write("etc/group", "root:x:0:\nuucp:x:10:\napp:x:4712:\naudio:x:4713:app\n")

    def install_openrc(self):
        """Its configuration for OpenRC."""
        for name, level in (("vmcred", "boot"), ("app", "default")):
            self.copy(f"openrc/{name}", f"etc/init.d/{name}")
            (self.root / "etc/runlevels" / level).mkdir(parents=True, exist_ok=True)
            (self.root / "etc/runlevels" / level / name).symlink_to(f"/etc/init.d/{name}")


def arrived(guest, console, sources):
    """Checks what the service has proved. `sources` are the files of the kernel with credentials that it must not read."""
    found = proofs(console)
    equal(list(found), list(SECRETS), f"the service's credentials in\n{console}\n")
    for name, (salt, digest) in found.items():
        equal(digest, digest_of(salt, guest.values[name]), f"salted digest of {name}")
    lines = console.splitlines()
    equal([line for line in lines if line.startswith("app: user")], ["app: user 4711 4712 4712 4713"])
    equal([line for line in lines if line.startswith("app: found")], [])
    protected = [line for line in lines if line.startswith("app: protected")]
    for source in sources:
        assert any(source in line for line in protected), (source, console)


def test_openrc_service_gets_its_credentials(directory):
    """on OpenRC, a service gets its three credentials from the SMBIOS table, and can read no other"""
    guest = ServiceGuest(directory, "/bin/init")
    guest.write("etc/inittab", OPENRC)
    guest.write("etc/init.d/sysfs", SYSFS, 0o755)
    guest.install_openrc()
    arrived(guest, guest.boot(), ["/dmi/tables/DMI", "/dmi/entries/11-0/raw"])


def test_alpine_service_gets_its_credentials(directory):
    """on Alpine, a service gets its three credentials from the SMBIOS table, and can read no other"""
    alpine = os.environ.get("VMCRED_ALPINE")
    if not alpine:
        raise Skip("Alpine is in no package registry: set VMCRED_ALPINE to the root directory of one with OpenRC")
    guest = ServiceGuest(directory, "/sbin/init")
    guest.has_image = False
    own = {name: (guest.root / "etc" / name).read_text().split("\n", 1)[1] for name in ("passwd", "group")}
    shutil.copytree(alpine, guest.root, symlinks=True, dirs_exist_ok=True)
    for name, lines in own.items():
        guest.write(f"etc/{name}", (Path(alpine) / "etc" / name).read_text() + lines)
    guest.write("etc/inittab", (Path(alpine) / "etc/inittab").read_text().replace("::wait:", "::wait:/bin/chmod 666 /dev/console\n::wait:", 1))
    guest.install_openrc()
    arrived(guest, guest.boot(), ["/dmi/tables/DMI", "/dmi/entries/11-0/raw"])


def test_busybox_service_gets_its_credentials(directory):
    """on busybox's init, a service gets its three credentials from fw_cfg, and can read no other"""
    guest = ServiceGuest(directory, "/bin/init", OTHER_DECLARATION)
    guest.copy("busybox/inittab", "etc/inittab", INITTAB)
    words = (f"name=opt/io.systemd.credentials/{name},file={guest.vm.credentials / host}" for name, host in CREDENTIALS.items())
    console = guest.boot(*(word for file in words for word in ("-fw_cfg", file)))
    arrived(guest, console, ["/dmi/tables/DMI", "/dmi/entries/11-0/raw", "/qemu_fw_cfg/by_key"])


def test_runit_service_gets_its_credentials(directory):
    """on runit, a service gets its three credentials from the initrd, and can read no other"""
    guest = ServiceGuest(directory, "/sbin/runit")
    for stage, script in RUNIT.items():
        guest.write(f"etc/runit/{stage}", script, 0o755)
    guest.copy("runit/run", "etc/sv/app/run")
    arrived(guest, guest.boot(options=["--transport=initrd"]), ["/dmi/tables/DMI"])


def test_older_systemd_gets_credentials_from_the_initrd(directory):
    """systemd 257 takes over the initrd's credentials from vmcred-guest import --initrd, and services load them"""
    guest = InitGuest(directory, "/prepare")
    with open(guest.root / "usr/bin/busybox", "wb") as busybox:
        subprocess.run(["cpio", "-i", "--to-stdout", "--quiet", "bin/busybox"], stdin=open(guest.image / "initrd", "rb"), stdout=busybox, check=True)
    (guest.root / "usr/bin/busybox").chmod(0o755)
    guest.image = Path(built(EXAMPLE / "build-guest", "trixie"))
    guest.write("prepare", "#!/usr/bin/busybox sh\nbusybox mount -t tmpfs -o mode=755 tmpfs /run\n"
                "/usr/bin/vmcred-guest import --initrd\nexec /init\n", 0o755)
    console = guest.boot(options=["--transport=initrd"], end=b"vmcred-proof: end")
    found = proofs(console)
    equal(sorted(found), sorted(SECRETS), f"credentials in\n{console}\n")
    for name, (salt, digest) in found.items():
        equal(digest, digest_of(salt, guest.values[name]), f"salted digest of {name}")


harness.main(with_host_services=True)
