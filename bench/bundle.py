# SPDX-License-Identifier: Apache-2.0
"""Bundles of 500 machines, each with 10 secrets: what export and import cost a machine, and how long etcd takes to bring new
bundles to 500 hosts that watch their keys and acknowledge, without the imports, which run on the hosts.

BENCH_MACHINES=500"""
import asyncio
import base64
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from example import Fleet
from harness import CLEAN_ENVIRONMENT, VMCRED, expect, run
from record import record, unmeasured

MACHINES = int(os.environ.get("BENCH_MACHINES", "500"))
SECRETS = 10
SAMPLES = 20
GENERATORS = "".join(f"  g{number}: {{machines: ALL, files: {{it: {{}}}}, kind: {{it: {{base64: 32}}}}}}\n" for number in range(SECRETS))


def measured(rows, what, commands):
    """Runs the commands. Prints the median of elapsed and the mean of processor time, which it adds to `rows`."""
    before, times = resource.getrusage(resource.RUSAGE_CHILDREN), []
    for command, output in commands:
        start = time.perf_counter()
        with open(output, "wb") as out:
            subprocess.run([str(word) for word in command], check=True, stdout=out, env=CLEAN_ENVIRONMENT)
        times.append(time.perf_counter() - start)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / len(times)
    rows[f"vmcred {what}"] = times, processor
    print(f"{what:<42} {statistics.median(times) * 1e3:7.1f} ms elapsed, {processor * 1e3:6.1f} ms processor", flush=True)


def bundles(directory, fleet):
    """export and import of some machines."""
    sample = fleet.machines[:: max(1, len(fleet.machines) // SAMPLES)]
    expect(run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", directory / "key"))
    export = [VMCRED, "export", "--config", fleet.config]
    rows = {}
    measured(rows, "export", [([*export, name], directory / f"{name}.tar") for name in sample])
    measured(rows, "export --sign", [([*export, "--sign", directory / "key", name], directory / f"{name}.signed") for name in sample])
    for name in sample:
        (directory / name / "etc/vmcred").mkdir(parents=True)
    for what, kind in (("import, first", "tar"), ("import, unchanged", "tar"), ("import, signed", "signed")):
        if kind == "signed":
            for name in sample:
                (directory / name / "etc/vmcred/allowed_signers").write_text("ada " + (directory / "key.pub").read_text())
        command = [VMCRED, "import", "--identity", fleet.identity]
        measured(rows, what, [([*command, "--machine", name, "--root", directory / name, directory / f"{name}.{kind}"], "/dev/null") for name in sample])
    record("The bundle of one machine", {name: times for name, (times, _) in rows.items()}, {"secrets": SECRETS},
           {name: processor for name, (_, processor) in rows.items()})  # fmt: skip
    print(f"{'a bundle':<42} {(directory / (sample[0] + '.signed')).stat().st_size} bytes")


class Etcd:
    def __init__(self, directory):
        with socket.socket() as client, socket.socket() as peer:
            for each in (client, peer):
                each.bind(("127.0.0.1", 0))
            self.port, peer_port = client.getsockname()[1], peer.getsockname()[1]
        url, peer_url = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{peer_port}"
        self.env = CLEAN_ENVIRONMENT | {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": url}
        command = ["etcd", "--name", "one", "--data-dir", directory / "etcd", "--listen-client-urls", url, "--advertise-client-urls", url,
                   "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url, "--initial-cluster", f"one={peer_url}"]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # pylint: disable=consider-using-with
        while run("etcdctl", "endpoint", "health", env=self.env).code != 0:
            time.sleep(0.1)

    async def call(self, path, body):
        """Posts to etcd's gateway. Returns the connection, whose answer may be a stream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        text = json.dumps(body).encode()
        writer.write(b"POST /v3/%s HTTP/1.1\r\nHost: etcd\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(text)) + text)
        return reader, writer

    async def host(self, name, watching):
        """Watches its bundle, and acknowledges the first change."""
        key = base64.b64encode(f"vmcred/bundles/{name}".encode()).decode()
        reader, writer = await self.call("watch", {"create_request": {"key": key}})
        seen = b""
        while b'"events"' not in seen:
            got = await reader.read(65536)
            if b'"created":true' in got:
                watching.release()
            seen = seen[-16:] + got
        writer.close()
        ack = {"key": base64.b64encode(f"vmcred/acks/{name}".encode()).decode(), "value": base64.b64encode(b"{}").decode()}
        reader, writer = await self.call("kv/put", ack)
        assert b" 200 " in await reader.readline()
        writer.close()


async def deliver(etcd, directory, machines):
    watching = asyncio.Semaphore(0)
    hosts = [asyncio.create_task(etcd.host(name, watching)) for name in machines]
    for _ in hosts:
        await watching.acquire()
    script = f"printf '%s\\n' {' '.join(machines)} | GOMAXPROCS=1 xargs -P 8 -I {{}} sh -c 'etcdctl put vmcred/bundles/{{}} <{directory}/{{}}.signed >/dev/null'"
    start = time.perf_counter()
    publisher = await asyncio.create_subprocess_exec("sh", "-c", script, env=etcd.env)
    assert await publisher.wait() == 0
    published = time.perf_counter()
    await asyncio.gather(*hosts)
    acknowledged = time.perf_counter()
    print(f"{'etcd: all bundles published':<42} {published - start:7.2f} s")
    print(f"{'etcd: all hosts have acknowledged':<42} {acknowledged - start:7.2f} s")
    record("Bringing a bundle to each machine with etcd", {"etcdctl put, 8 at a time": [published - start],
           "until all hosts have acknowledged": [acknowledged - start]}, {"machines": MACHINES})  # fmt: skip


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        directory = Path(name)
        (directory / "repository").mkdir()
        fleet = Fleet(directory / "repository", MACHINES, GENERATORS)
        expect(fleet.generate())
        print(f"{MACHINES} machines, {SECRETS} secrets each; {os.cpu_count()} processors")
        bundles(directory, fleet)
        start = time.perf_counter()
        script = f"xargs -P 4 -I {{}} sh -c '{VMCRED} export --config {fleet.config} --sign {directory}/key {{}} >{directory}/{{}}.signed'"
        expect(run("sh", "-c", script, stdin="\n".join(fleet.machines), timeout=600))
        exported = time.perf_counter() - start
        print(f"{'export --sign all machines':<42} {exported:7.2f} s")
        record("The bundles of all machines", {"vmcred export --sign, 4 at a time": [exported]}, {"machines": MACHINES, "secrets": SECRETS})
        if not shutil.which("etcd") or not shutil.which("etcdctl"):
            unmeasured("Delivery of bundles with etcd", "etcd or etcdctl is not installed: tools/install-deps --test")
            return
        etcd = Etcd(directory)
        try:
            asyncio.run(deliver(etcd, directory, fleet.machines))
        finally:
            etcd.process.kill()
            etcd.process.wait()


if __name__ == "__main__":
    sys.exit(main())
