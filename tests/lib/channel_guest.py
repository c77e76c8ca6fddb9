# SPDX-License-Identifier: Apache-2.0
"""Additions to the example's guest: vmcred-guest with its units, a service with a credential of the channel, and the watcher.
What they print on the guest's console, the tests read from the host's journal."""
import re
import subprocess
import tempfile
from pathlib import Path

from harness import VMCRED
from host import units

# After each start: its process, the boot, and the digest of the value, which is random.
APP = """#!/bin/sh
digest=$(sha256sum <"$CREDENTIALS_DIRECTORY/big")
echo "app: $$ $(cat /proc/sys/kernel/random/boot_id) ${digest%% *}"
exec sleep infinity
"""
STARTS = re.compile(r"^app: (\d+) (\S+) ([0-9a-f]{64})", re.MULTILINE)

# Pauses, because this machine may be emulated. Its input is the patterns, then a command every few seconds.
WATCH = """#!/bin/sh
{
	cat /usr/lib/patterns
	while sleep 3; do echo report; done
} | /usr/lib/watch -p 500 / /run | while read -r line; do
	case $line in
	"found "* | "counts "*) echo "watch: $line" ;;
	esac
done
"""
REPORT = re.compile(r"^watch: counts .*", re.MULTILINE)
FOUND = re.compile(r"^watch: found .*", re.MULTILINE)

CONSOLE = "StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/console\n"
# No part of a normal boot, like the guest's other services: sysinit.target would start many that this guest does not have.
SMALL = "DefaultDependencies=no\nConflicts=shutdown.target\nBefore=shutdown.target\n"
UNITS = {
    "app.service": f"[Unit]\n{SMALL}Requires=vmcred-guest.socket load-modules.service\nAfter=vmcred-guest.socket load-modules.service\n"
                   f"[Service]\nType=exec\nLoadCredential=big:/run/vmcred/socket\nExecStart=/usr/lib/app\n{CONSOLE}",
    "watch.service": f"[Unit]\n{SMALL}After=app.service\n[Service]\nExecStart=/usr/lib/watch-all\nCPUSchedulingPolicy=idle\n{CONSOLE}",
    "multi-user.target.d/channel.conf": "[Unit]\nWants=vmcred-guest.socket vmcred-guest-watch.service vmcred-guest-verify.service app.service watch.service\n",
    "vmcred-guest.socket.d/small.conf": f"[Unit]\n{SMALL}",
}
# This guest has no journal.
UNITS |= {f"{unit}.service.d/small.conf": f"[Unit]\n{SMALL}After=load-modules.service\n[Service]\nDeviceAllow=/dev/console rw\n{CONSOLE}"
          for unit in ("vmcred-guest", "vmcred-guest-watch", "vmcred-guest-verify")}


def cpio(top):
    """An archive of the files below a directory, as root's."""
    names = "\n".join(sorted(str(path.relative_to(top)) for path in top.rglob("*")))
    return subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=top, input=names.encode(), capture_output=True, check=True).stdout


def watch_files(watcher, patterns):
    """The watcher for a machine: path → bytes, all executable. `patterns`: name → what no process or file may show."""
    lines = "".join(f"{name} {value.hex()}\n" for name, value in patterns.items()) + "\n"
    return {"usr/lib/watch": Path(watcher).read_bytes(), "usr/lib/watch-all": WATCH.encode(), "usr/lib/patterns": lines.encode()}


def archive(watcher, patterns):
    """The segment to append to the guest's initrd."""
    installed = {name: text for name, text in units().items() if name.startswith("vmcred-guest")}
    contents = {f"etc/systemd/system/{name}": text.encode() for name, text in (installed | UNITS).items()}
    contents |= watch_files(watcher, patterns) | {"usr/lib/app": APP.encode(), "usr/bin/vmcred-guest": Path(f"{VMCRED}-guest").read_bytes()}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as top:
        for path, content in contents.items():
            place = Path(top, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            place.chmod(0o644 if path.startswith("etc/") else 0o755)
        return cpio(Path(top))


def starts(console):
    """Each start of the service: process, boot, digest."""
    return STARTS.findall(console.replace("\r", ""))
