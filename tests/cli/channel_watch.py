# SPDX-License-Identifier: Apache-2.0
"""vmcred-guest watch: restarts or reloads units of a guest whose credentials have changed on the host. A script replaces systemctl."""
import os
import shutil
import subprocess
from pathlib import Path

import harness
from guests import ANNOUNCE, APP, GUEST_PROGRAM, HELLO, VALUE, asked, chain, frame, invoked, key_of
from harness import CLEAN_ENVIRONMENT, SOURCE, equal, need_root
from serving import listening
from vm import stop, stopped_at_exit, wait_for

SERVED = f"/run/vmcred/served/{APP}"

# As systemd, it asks again for the credentials of a unit that runs; with the file `fails`, it fails; with the file `hangs`, it does
# not end, once. The file `shown.UNIT` or `shown` has the unit's properties.
SYSTEMCTL = """\
#!/usr/bin/env python3
import os, signal, sys
sys.path.insert(0, {lib!r})
os.environ.update({environment!r})
from pathlib import Path
from guests import asked
directory = Path({directory!r})
if sys.argv[1] == "show":
    with open(directory / "shows", "a") as shows:
        print(sys.argv[-1], file=shows)
    shown = [path for path in (directory / f"shown.{{sys.argv[-1]}}", directory / "shown") if path.exists()]
    print(shown[0].read_text() if shown else "", end="")
    sys.exit(0)
with open(directory / "log", "a") as log:
    print(*sys.argv[1:], file=log, flush=True)
if (directory / "fails").exists():
    sys.exit(1)
if (directory / "hangs").exists():
    (directory / "hangs").unlink()
    signal.pause()
if (directory / "runs").exists():
    with open(directory / "values", "a") as values:
        print(asked(directory, {port!r})[0].decode(), file=values, flush=True)
"""


class Watcher:
    def __init__(self, directory, port):
        need_root()
        self.directory = directory
        self.port = str(port)
        (directory / "bin").mkdir()
        script = directory / "bin/systemctl"
        script.write_text(SYSTEMCTL.format(lib=str(SOURCE / "tests/lib"), directory=str(directory), port=self.port,
                                           environment={"VMCRED": harness.VMCRED, "VMCRED_SOURCE": str(SOURCE)}))
        script.chmod(0o755)
        self.runs(True)

    def runs(self, does):
        if does:
            (self.directory / "runs").touch()
        else:
            (self.directory / "runs").unlink()

    def start(self):
        environment = CLEAN_ENVIRONMENT | {"PATH": f"{self.directory}/bin:{os.environ['PATH']}"}
        with open(self.directory / "err", "wb") as err:
            return stopped_at_exit(subprocess.Popen([GUEST_PROGRAM, "watch", "--host", self.port], stderr=err, env=environment))

    def lines(self, name):
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []


def ended(process):
    process.kill()
    process.wait()


def test_changed_value_restarts_its_unit(directory):
    """a unit is restarted when a value that it got changes on the host, and once for each change; others are not"""
    way = chain(directory)
    with way.host.serving() as server:
        way.key(key_of(server))
        vm = way.start()
        watcher = Watcher(directory, way.port)
        asked(directory, way.port)
        process = watcher.start()
        wait_for("watching", lambda: any("watches" in line for line in server.lines()))
        way.host.example.set("one", b"second")
        wait_for("a restart", lambda: watcher.lines("values") == ["second"])
        way.host.example.set("two", b"not of this unit")
        way.host.example.set("one", b"third")
        wait_for("a restart", lambda: watcher.lines("values") == ["second", "third"])
        equal(watcher.lines("log"), [f"try-restart -- {APP}"] * 2)
        wait_for("its line", lambda: watcher.lines("err") == [f"vmcred: restarted {APP}: its credentials changed"] * 2)
        ended(process)
        stop(vm)


def test_change_while_nobody_watched(directory):
    """a change while neither vmcred serve nor the watcher ran restarts the unit afterwards"""
    way = chain(directory)
    watcher = Watcher(directory, way.port)
    with way.host.serving() as server:
        way.key(key_of(server))
        vm = way.start()
        asked(directory, way.port)
        process = watcher.start()
        wait_for("watching", lambda: any("watches" in line for line in server.lines()))
    os.unlink("/run/vmcred/channel")
    way.host.example.set("one", b"second")
    with way.host.serving():
        wait_for("a restart", lambda: watcher.lines("values") == ["second"])
        ended(process)
        os.unlink(way.directory / "values")
        way.host.example.set("one", b"third")
        process = watcher.start()
        wait_for("a restart", lambda: watcher.lines("values") == ["third"])
        ended(process)
        stop(vm)


def test_unit_that_does_not_run(directory):
    """the record of a unit that does not run is dropped after one try-restart, so that it is not tried forever"""
    way = chain(directory)
    watcher = Watcher(directory, way.port)
    watcher.runs(False)
    with way.host.serving() as server:
        way.key(key_of(server))
        vm = way.start()
        asked(directory, way.port)
        equal(os.listdir(SERVED), ["api-key"])
        way.host.example.set("one", b"second")
        process = watcher.start()
        wait_for("the record's end", lambda: not os.listdir(SERVED))
        equal(watcher.lines("log"), [f"try-restart -- {APP}"])
        ended(process)
        stop(vm)


def test_restart_that_fails(directory):
    """a restart that fails keeps the record, and is tried again after the next announcement"""
    way = chain(directory)
    watcher = Watcher(directory, way.port)
    (directory / "fails").touch()
    with way.host.serving() as server:
        way.key(key_of(server))
        vm = way.start()
        asked(directory, way.port)
        way.host.example.set("one", b"second")
        process = watcher.start()
        wait_for("a failure", lambda: watcher.lines("err"))
        equal(watcher.lines("err"), [f"vmcred: warning: restarting {APP} failed: trying again in 60 s"])
        (directory / "fails").unlink()
        way.host.example.set("two", b"another")
        wait_for("a restart", lambda: watcher.lines("values") == ["second"])
        ended(process)
        stop(vm)


def test_value_that_is_changed_back(directory):
    """a unit that gets the same version again, because the value was changed back before its restart, is restarted for the next change"""
    watcher = Watcher(directory, directory / "host")
    hello = frame(HELLO, b"vmcred\1" + bytes(16))
    os.makedirs(SERVED, exist_ok=True)
    Path(SERVED, "api-key").write_bytes(b"recorded")
    with listening(str(directory / "host")) as listener:
        listener.settimeout(60)
        process = watcher.start()
        with listener.accept()[0] as connection:
            connection.sendall(hello)
            for count, version in enumerate((b"changed.", b"another."), 1):
                connection.sendall(frame(ANNOUNCE, b"\x07api-key" + version))
                with listener.accept()[0] as asking:
                    asking.sendall(hello + frame(VALUE, b"recorded" + b"value"))
                wait_for("a restart", lambda expected=count: len(watcher.lines("err")) == expected)
        ended(process)
    equal(watcher.lines("values"), ["value"] * 2)


def test_units_that_have_ended(directory):
    """the records of a unit that is inactive are removed without a restart; those of one that runs or has failed stay"""
    watcher = Watcher(directory, directory / "host")
    ended_job, failed, running = (Path(SERVED).with_name(f"job@{name}.service") for name in ("ended", "failed", "running"))
    (directory / "shown.job@ended.service").write_text("ActiveState=inactive\n")
    (directory / "shown.job@failed.service").write_text("ActiveState=failed\n")
    shutil.rmtree(ended_job.parent, ignore_errors=True)
    for unit in (ended_job, failed, running):
        unit.mkdir(parents=True)
        (unit / "stale").write_bytes(b"recorded")
        (unit / "api-key").write_bytes(b"the same")
    watcher.runs(False)
    with listening(str(directory / "host")) as listener, invoked(running.name, 32 * "0"):
        listener.settimeout(60)
        process = watcher.start()
        with listener.accept()[0] as connection:
            connection.sendall(frame(HELLO, b"vmcred\1" + bytes(16)))
            for announced in (b"", b"\x05stale" + bytes(8)):
                ended_job.mkdir(exist_ok=True)
                (ended_job / "stale").write_bytes(b"recorded")
                connection.sendall(frame(ANNOUNCE, b"\x07api-keythe same" + announced))
                wait_for("the records' end", lambda: not ended_job.exists())
            wait_for("restarts", lambda: len(watcher.lines("err")) == 2)
        ended(process)
    equal(sorted(watcher.lines("log")), [f"restart -- {failed.name}", f"try-restart -- {running.name}"])
    equal([sorted(os.listdir(unit)) for unit in (failed, running)], [["api-key"]] * 2)
    for unit in (failed, running):
        shutil.rmtree(unit)


# What `systemctl show` prints, of an old and of a new systemd, and what then happens to the unit.
UNITS = [
    ("CanReload=yes\nRefuseManualStop=no\n", "try-restart", "restarted {}: its credentials changed"),
    ("CanReload=yes\nRefuseManualStop=no\nRefreshOnReload=extensions\n", "try-restart", "restarted {}: its credentials changed"),
    ("CanReload=no\nRefuseManualStop=no\nRefreshOnReload=extensions credentials\n", "try-restart", "restarted {}: its credentials changed"),
    ("CanReload=yes\nRefuseManualStop=no\nRefreshOnReload=extensions credentials\n", "try-reload-or-restart",
     "reloaded {}: its credentials changed"),
    ("CanReload=yes\nRefuseManualStop=yes\nRefreshOnReload=credentials\n", "try-reload-or-restart", "reloaded {}: its credentials changed"),
    ("ActiveState=failed\nCanReload=yes\nRefuseManualStop=no\nRefreshOnReload=credentials\n", "restart", "restarted {}: its credentials changed"),
    ("CanReload=no\nRefuseManualStop=yes\n", None, "warning: {} keeps its old credentials: it has RefuseManualStop=yes"),
]


def test_unit_that_reloads(directory):
    """a unit is reloaded if that gives it new credentials, and restarted otherwise, also if it has failed; one that refuses to be stopped is left alone"""
    watcher = Watcher(directory, directory / "host")
    watcher.runs(False)
    os.makedirs(SERVED, exist_ok=True)
    called, lines = [], []
    with listening(str(directory / "host")) as listener:
        listener.settimeout(60)
        process = watcher.start()
        with listener.accept()[0] as connection:
            connection.sendall(frame(HELLO, b"vmcred\1" + bytes(16)))
            for shown, verb, line in UNITS:
                (directory / "shown").write_text(shown)
                Path(SERVED, "api-key").write_bytes(b"recorded")
                connection.sendall(frame(ANNOUNCE, b"\x07api-key" + bytes(8)))
                wait_for("the record's end", lambda: not os.listdir(SERVED))
                called += [f"{verb} -- {APP}"] if verb else []
                lines.append("vmcred: " + line.format(APP))
                equal((watcher.lines("log"), watcher.lines("err")), (called, lines), shown)
        ended(process)


def test_unit_that_does_not_stop(directory):
    """a restart that does not end delays no other unit for long, and a unit that is being stopped is left alone"""
    watcher = Watcher(directory, directory / "host")
    watcher.runs(False)
    (directory / "hangs").touch()
    records = [Path(SERVED).with_name(unit) / "api-key" for unit in (APP, "other.service")]
    with listening(str(directory / "host")) as listener, invoked(APP, 32 * "0"), invoked("other.service", 32 * "0"):
        listener.settimeout(60)
        process = watcher.start()
        with listener.accept()[0] as connection:
            def announce():
                for record in records:
                    record.parent.mkdir(parents=True, exist_ok=True)
                    record.write_bytes(b"recorded")
                connection.sendall(frame(ANNOUNCE, b"\x07api-key" + bytes(8)))

            connection.sendall(frame(HELLO, b"vmcred\1" + bytes(16)))
            announce()
            wait_for("the other restart", lambda: len(watcher.lines("err")) == 2)
            equal(sorted(watcher.lines("log")), [f"try-restart -- {APP}", "try-restart -- other.service"])
            first, second = (line.split()[-1] for line in watcher.lines("log"))
            equal(watcher.lines("err"), [f"vmcred: warning: restarting {first} is not finished: checking again in 60 s",
                                         f"vmcred: restarted {second}: its credentials changed"])
            (directory / "shown").write_text("ActiveState=deactivating\n")
            announce()
            wait_for("two checks", lambda: len(watcher.lines("shows")) == 4)
            equal(len(watcher.lines("log")), 2)
        ended(process)
    for record in records:
        record.unlink(missing_ok=True)


def test_hostile_announcements(directory):
    """an announcement that is not valid restarts nothing and does not end the watcher"""
    need_root()
    hello = frame(HELLO, b"vmcred\1" + bytes(16))
    version = bytes(8)
    os.makedirs(SERVED, exist_ok=True)
    with open(f"{SERVED}/api-key", "wb") as record:
        record.write(b"recorded")
    watcher = Watcher(directory, directory / "host")
    watcher.runs(False)
    # The pauses between the connections grow.
    messages = [frame(ANNOUNCE, b"\x07api-key" + version + b"\x07api-key"), frame(ANNOUNCE, b"\x02.." + version), frame(99)]
    with listening(str(directory / "host")) as listener:
        listener.settimeout(60)
        process = watcher.start()
        for message in messages:
            with listener.accept()[0] as connection:
                connection.sendall(hello + message)
        with listener.accept()[0] as connection:
            equal((watcher.lines("log"), process.poll()), ([], None))
            connection.sendall(hello + frame(ANNOUNCE, b"\x07api-key" + version))
            wait_for("a restart", lambda: watcher.lines("log"))
        ended(process)


harness.main()
