# SPDX-License-Identifier: Apache-2.0
"""The peak memory of a process, which only /proc knows while it runs: wait4(2) reports at least the memory of Python, of which the
child was a copy."""
import contextlib
import os
import re
import select
from pathlib import Path

POLL_MS = 2


def ended(process):
    """Waits for the end of a subprocess.Popen, without a delay. Returns its processor time, and its peak memory in MiB."""
    peak, end, descriptor = 0, select.poll(), os.pidfd_open(process.pid)
    end.register(descriptor, select.POLLIN)
    while True:
        with contextlib.suppress(OSError):
            found = re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text(encoding="ascii"), re.M)
            peak = int(found[1]) / 1024 if found else peak
        if end.poll(POLL_MS):
            break
    os.close(descriptor)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, peak
