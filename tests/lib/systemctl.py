# SPDX-License-Identifier: Apache-2.0
"""A systemctl that shows and restarts made-up units, for tests without systemd as the init system."""
import os
import time

SCRIPT = """#!/bin/sh
[ "$1" != --version ] || exec cat {directory}/version
echo "$*" >>{directory}/calls
[ -e {directory}/running ] || exit 1
[ "$1" = --no-block ] && no_block=1 && shift
if [ "$1" != show ]; then
	verb=$1 code=0
	shift
	[ -e {directory}/hook ] && . {directory}/hook
	for unit; do
		state=$(cat "{directory}/$unit.becomes" 2>/dev/null || echo active)
		[ $state = failed ] && code=1
		case $no_block$verb in
			*reload*|1*) ;;
			*) printf 'InactiveExitTimestampMonotonic=%s\\nActiveState=%s\\n' $({now}) $state >"{directory}/$unit" ;;
		esac
	done
	exit $code
fi
while [ "$1" != -- ]; do shift; done
shift
for unit; do
	cat "{directory}/$unit" 2>/dev/null || cat {directory}/none
	echo
done
"""


NOW = "python3 -c 'import time; print(time.monotonic_ns() // 1000)'"


def now_us():
    """As systemd's timestamps."""
    return time.monotonic_ns() // 1000


class Systemctl:
    def __init__(self, directory):
        self.directory = directory / "systemctl"
        self.directory.mkdir(mode=0o755)
        program = self.directory / "bin" / "systemctl"
        program.parent.mkdir(mode=0o755)
        program.write_text(SCRIPT.format(directory=self.directory, now=NOW))
        program.chmod(0o755)
        self.env = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        (self.directory / "running").touch()
        (self.directory / "version").write_text("systemd 252 (252.1)\n")
        self.unit("none", "inactive", "dead", load="not-found")

    def unit(self, name, active="active", sub="running", started=0, changed=0, load="loaded", has_job=False):
        """`started` and `changed` in microseconds, as now_us()."""
        (self.directory / name).write_text(
            f"InactiveExitTimestampMonotonic={started}\nStateChangeTimestampMonotonic={changed or started}\n"
            f"LoadState={load}\nActiveState={active}\nSubState={sub}\n"
            + ("Job=7\n" if has_job else "")
        )

    def becomes(self, name, state):
        """The state after a restart; if "failed", a reload or a request fails too."""
        (self.directory / f"{name}.becomes").write_text(state)

    def while_it_restarts(self, command):
        """A command for the shell that runs before each restart or reload."""
        (self.directory / "hook").write_text(command)

    def fail(self):
        """From now on, as without systemd."""
        (self.directory / "running").unlink()

    def calls(self):
        return (self.directory / "calls").read_text().splitlines()

    def changes(self):
        """The calls that change units, which are forgotten."""
        calls = self.calls() if (self.directory / "calls").exists() else []
        (self.directory / "calls").write_text("")
        return [call for call in calls if not call.startswith("show ")]
