# SPDX-License-Identifier: Apache-2.0
"""docs/fleet.md with a real etcd: hosts follow their bundles, and nobody is rolled back, whatever happens to etcd."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import harness
from bundles import Repository
from harness import CLEAN_ENVIRONMENT, equal, expect, need, run
from vm import wait_for

HOSTS = ["host1", "host2", "host3"]
DECLARATION = f"""\
machines: {{{", ".join(f"{host}: {{}}" for host in HOSTS)}}}
generators:
  made: {{machines: [{", ".join(HOSTS)}], files: {{one: {{}}}}, kind: {{one: uuid}}}}
"""
FOLLOW = harness.SOURCE / "examples/fleet/vmcred-follow"


def command(name):
    """The command line that docs/fleet.md shows."""
    text = (harness.SOURCE / "docs/fleet.md").read_text()
    return re.search(rf"<!-- {name} -->\n```sh\n(.*?)```", text, re.S).group(1)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Etcd:
    def __init__(self, directory):
        self.directory, self.data = directory, directory / "etcd"
        self.url, self.peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.env = CLEAN_ENVIRONMENT | {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.url}
        self.process = None
        self.start()

    def start(self):
        options = ["--name", "one", "--data-dir", self.data, "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                   "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer, "--initial-cluster", f"one={self.peer}",
                   "--unsafe-no-fsync"]  # fmt: skip
        with open(self.directory / "etcd.log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(["etcd", *options], stdout=log, stderr=log, env=CLEAN_ENVIRONMENT)
        wait_for("etcd", lambda: self.ctl("endpoint", "health", code=None).code == 0, 60)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def ctl(self, *words, code=0, **options):
        return expect(run("etcdctl", *words, env=self.env, **options), code)

    def restore(self, snapshot):
        """Starts again with the state of the snapshot."""
        self.stop()
        shutil.rmtree(self.data)
        self.ctl("snapshot", "restore", snapshot, "--name", "one", "--data-dir", self.data, "--initial-cluster", f"one={self.peer}",
                 "--initial-advertise-peer-urls", self.peer)  # fmt: skip
        self.start()


class Fleet(Repository):
    """A repository, an etcd, and hosts below directories, which follow their bundles."""

    def __init__(self, directory):
        for program in ("etcd", "etcdctl", "jq", "ssh-keygen"):
            need(program)
        directory.joinpath("repository").mkdir()
        self._name(directory / "repository")
        self.config.write_text(DECLARATION)
        self.top = directory
        expect(run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", directory / "key"))
        for host in HOSTS:
            (directory / host / "etc/vmcred").mkdir(parents=True)
            (directory / host / "etc/vmcred/allowed_signers").write_text("ada " + (directory / "key.pub").read_text())
            expect(harness.vmcred("keygen", "--config", self.config, "--machine", host, "--output", directory / host / "identity"))
        expect(self.generate())
        self.etcd = Etcd(directory)
        self.followers = {}

    def __enter__(self):
        for host in HOSTS:
            self.start(host)
        return self

    def __exit__(self, *_):
        for host in list(self.followers):
            self.stop(host)
        self.etcd.stop()

    def start(self, host):
        """The unit's process, which systemd would start again."""
        root = self.top / host
        env = self.etcd.env | {"VMCRED_MACHINE": host, "VMCRED_POLL": "2",
                               "VMCRED_IMPORT": f"{harness.VMCRED} import --root {root} --identity {root}/identity"}  # fmt: skip
        with open(root / "log", "a", encoding="utf-8") as log:
            self.followers[host] = subprocess.Popen(["sh", "-c", 'while :; do "$0"; sleep 0.2; done', str(FOLLOW)],
                                                    stdout=log, stderr=log, env=env, start_new_session=True)  # fmt: skip

    def stop(self, host):
        process = self.followers.pop(host)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def shell(self, script):
        env = self.etcd.env | {"KEY": str(self.top / "key"), "PATH": f"{Path(harness.VMCRED).parent}:{os.environ['PATH']}"}
        return run("bash", "-euo", "pipefail", "-c", script, env=env, cwd=self.directory)

    def publish(self, value=None):
        for host in HOSTS if value else []:
            expect(harness.vmcred("set", "--config", self.config, "--identity", self.top / host / "identity", host, "made/one", stdin=value))
        expect(self.shell(command("publish")), 0, "", "")

    def status(self):
        return expect(self.shell(command("status")), 0, None, "").out

    def value(self, host):
        path = self.top / host / "run/secrets/vars/made/one"
        return path.read_text() if path.exists() else None

    def values(self):
        return [self.value(host) for host in HOSTS]

    def ack(self, host):
        return json.loads(self.etcd.ctl("get", "--print-value-only", f"vmcred/acks/{host}").out)


def test_publish_and_follow(directory):
    """published bundles reach all hosts, the status names nobody then, and a change arrives through the watch"""
    with Fleet(directory) as fleet:
        fleet.publish("one")
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)
        equal(fleet.values(), ["one"] * 3)
        fleet.publish("two")
        wait_for("the second value", lambda: fleet.values() == ["two"] * 3, 60)
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)
        equal(fleet.ack("host1")["signer"], "ada")


def test_host_that_is_off(directory):
    """a host that was off is behind, and gets the last bundle when it is back, also after a compaction of etcd"""
    with Fleet(directory) as fleet:
        fleet.publish("one")
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)
        fleet.stop("host2")
        fleet.publish("two")
        fleet.publish("three")
        wait_for("the other hosts", lambda: fleet.values() == ["three", "one", "three"], 60)
        wait_for("the status", lambda: fleet.status() == "host2: behind\n", 60)
        revision = json.loads(fleet.etcd.ctl("get", "-w", "json", "vmcred").out)["header"]["revision"]
        fleet.etcd.ctl("compact", revision)
        fleet.start("host2")
        wait_for("the host", lambda: fleet.status() == "", 60)
        equal(fleet.value("host2"), "three")


def test_etcd_is_down(directory):
    """hosts keep their values while etcd is down, and follow again when it is back"""
    with Fleet(directory) as fleet:
        fleet.publish("one")
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)
        fleet.etcd.stop()
        result = fleet.shell(command("publish"))
        assert "failed: host1" in result.err, result
        equal(fleet.values(), ["one"] * 3)
        fleet.etcd.start()
        fleet.publish("two")
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)
        equal(fleet.values(), ["two"] * 3)


def test_old_backup(directory):
    """after etcd was restored from an old backup, hosts refuse the old bundles and report that, and accept the next ones"""
    with Fleet(directory) as fleet:
        fleet.publish("old")
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)
        fleet.etcd.ctl("snapshot", "save", directory / "snapshot")
        fleet.publish("new")
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)
        fleet.etcd.restore(directory / "snapshot")
        wait_for("refusals", lambda: fleet.status().count("before the last one") == 3, 60)
        equal(fleet.values(), ["new"] * 3)
        fleet.publish()
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)
        equal(fleet.values(), ["new"] * 3)


def test_two_publishers(directory):
    """of two publishers, the one that signed last wins in whichever order their bundles arrive, and the status shows a conflict"""
    with Fleet(directory) as fleet:
        early = fleet.export("host1", "--sign", directory / "key")
        fleet.publish("late")
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)
        fleet.etcd.ctl("put", "vmcred/bundles/host1", stdin=early)
        wait_for("the refusal", lambda: "before the last one" in fleet.status(), 60)
        assert re.fullmatch("host1: vmcred: .*\n", fleet.status()), fleet.status()
        equal(fleet.value("host1"), "late")
        fleet.publish()
        wait_for("all acknowledgements", lambda: fleet.status() == "", 60)


if __name__ == "__main__":
    harness.main()
