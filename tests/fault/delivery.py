# SPDX-License-Identifier: Apache-2.0
"""After every fault while `vmcred serve` keeps reports of a guest, one of them exists, whole, and not one that is older than the
last recorded one; no other file is left, and the next report is kept."""
import harness
from faults import TRACE, Fault, faults_in
from guests import RECORDED, REPORT, UNIT, Host, frame, hello, key_of
from harness import equal, need

MISSING = 3


def report(host, key, name):
    """Reports a missing credential. The type of the host's answer, or 0 if there is none."""
    try:
        with host.connect(key) as guest:
            guest.greeted().socket.sendall(hello() + frame(REPORT, bytes([MISSING, len(name)]) + name.encode()))
            return guest.frame()[0]
    except (EOFError, OSError):
        return 0


def kept(host):
    """The names in each file, in place of its text."""
    files = sorted((host.runtime / "delivery").iterdir())
    return {path.name: [line.removeprefix("missing ") for line in path.read_text().splitlines()[1:]] for path in files}


def test_report(directory):
    """after every fault, the host has the last report that it recorded, or a later one, and keeps the next one"""
    host = Host(directory)
    # The first server makes what later ones find.
    with host.serving() as server:
        equal(report(host, key_of(server), "old"), RECORDED)
    # -D: the server is the process that the test started.
    strace = (need("strace"), "-D", "-qq")
    log = directory / "log"
    (host.runtime / "delivery" / UNIT).unlink()
    with host.serving(prefix=(*strace, *TRACE, "-o", log)) as server:
        key = key_of(server)
        equal([report(host, key, name) for name in ("old", "new")], [RECORDED, RECORDED])
    refused = 0
    for call, number, kind in faults_in(log, "delivery", ("ENOSPC", "EIO")):
        inject = ("-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{kind}:when={number}")
        names, is_killed = ["old", "new"], kind == "signal=KILL"
        for path in host.runtime.glob("delivery/*"):
            path.unlink()
        with host.serving(prefix=(*strace, *inject)) as server:
            key = key_of(server)
            answers = [report(host, key, name) for name in names]
            fault = Fault(f"{call} #{number} {kind}", max(answers), "", "")
            found = kept(host)
            last = max((i for i, answer in enumerate(answers) if answer == RECORDED), default=None)
            whole = [[name] for name in (names if last is None else names[last:])] + ([None] if last is None else [])
            fault.expect(found.pop(UNIT, None) in whole, f"another report is kept than the last of {answers}")
            fault.expect(found == {} or is_killed, f"files are left: {found}")
            errors = [line for line in server.lines() if ": keeping its report: " in line]
            fault.expect(is_killed or len(errors) == len(answers) - answers.count(RECORDED), f"more or fewer errors: {errors}")
            refused += answers != [RECORDED, RECORDED]
            # The server reads its declaration again by time, so that a call's number varies: the fault may come only now.
            fault.expect(is_killed or RECORDED in (report(host, key, "next"), report(host, key, "next")), "no later report is kept")
        with host.serving() as server:
            equal(report(host, key_of(server), "next"), RECORDED, f"the answer after {fault}")
            equal(kept(host)[UNIT], ["next"], f"the report after {fault}")
    assert refused > 5, refused


if __name__ == "__main__":
    harness.main()
