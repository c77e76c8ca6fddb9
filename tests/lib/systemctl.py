# SPDX-License-Identifier: Apache-2.0
"""A systemctl that shows made-up units, for tests without systemd as the init system."""
import os
import time

SCRIPT = """#!/bin/sh
echo "$*" >>{directory}/calls
[ -e {directory}/running ] || exit 1
while [ "$1" != -- ]; do shift; done
shift
for unit; do
	cat "{directory}/$unit" 2>/dev/null || cat {directory}/none
	echo
done
"""


def now_us():
    """As systemd's timestamps."""
    return time.monotonic_ns() // 1000


class Systemctl:
    def __init__(self, directory):
        self.directory = directory / "systemctl"
        self.directory.mkdir(mode=0o755)
        program = self.directory / "bin" / "systemctl"
        program.parent.mkdir(mode=0o755)
        program.write_text(SCRIPT.format(directory=self.directory))
        program.chmod(0o755)
        self.env = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        (self.directory / "running").touch()
        self.unit("none", "inactive", "dead", load="not-found")

    def unit(self, name, active="active", sub="running", started=0, changed=0, load="loaded"):
        """`started` and `changed` in microseconds, as now_us()."""
        (self.directory / name).write_text(
            f"InactiveExitTimestampMonotonic={started}\nStateChangeTimestampMonotonic={changed or started}\n"
            f"LoadState={load}\nActiveState={active}\nSubState={sub}\n"
        )

    def fail(self):
        """From now on, as without systemd."""
        (self.directory / "running").unlink()

    def calls(self):
        return (self.directory / "calls").read_text().splitlines()
