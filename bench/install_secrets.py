# SPDX-License-Identifier: Apache-2.0
"""Manifests of sops-nix, with the real sops-install-secrets and ours: many documents, and one with many keys; from
nothing, and without changes. In turns, so that a slow moment affects both; the ratio of medians, with the middle half, and
the peak memory. The real one decrypts a document once for each of its keys, which takes minutes: there it runs once."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import VMCRED, expect, run
from manifests import Manifest, personality
from peak import ended
from record import record, unmeasured

COUNT = int(os.environ.get("BENCH_SECRETS", "1000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "11"))


class Bench:
    def __init__(self, directory, real):
        self.directory = directory
        self.manifest = Manifest(directory, None)
        self.programs = {"sops-install-secrets": real, "vmcred": str(personality(directory))}
        self.environment = os.environ | {"HOME": str(directory)}

    def documents(self):
        """One secret in each of many documents, which is as sops-nix's users have them when they are many."""
        for number in range(COUNT):
            name = f"{number}.yaml"
            (self.directory / name).write_text(f"value: a secret value of some forty characters {number}\n")
            self.add(name, "value", number)
        names = [self.directory / f"{number}.yaml" for number in range(COUNT)]
        expect(run(VMCRED, "sops", "encrypt", "--age", self.manifest.recipient, "--in-place", *names))

    def keys(self):
        """Many secrets in one document."""
        lines = [f"key{number}: a secret value of some forty characters {number}\n" for number in range(COUNT)]
        (self.directory / "all.yaml").write_text("".join(lines))
        expect(run(VMCRED, "sops", "encrypt", "--age", self.manifest.recipient, "--in-place", self.directory / "all.yaml"))
        for number in range(COUNT):
            self.add("all.yaml", f"key{number}", number)

    def add(self, document, key, number):
        self.manifest.add(f"s{number}", "one.yaml", key, sopsFile=str(self.directory / document))

    def measure(self, name, runtime, fresh):
        """Seconds, and the most memory in MiB."""
        if fresh:
            shutil.rmtree(runtime, ignore_errors=True)
            runtime.mkdir()
        command = [self.programs[name], self.directory / "manifest.json"]
        environment = self.environment | {"XDG_RUNTIME_DIR": str(runtime)}
        before = time.perf_counter()
        with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:
            _, memory = ended(process)
            taken = time.perf_counter() - before
        if process.returncode != 0:
            sys.exit(f"{name} failed")
        return taken, memory

    def compare(self, title, slow):
        """`slow`: the real one runs once for each line, and its result is the unchanged state."""
        (self.directory / "manifest.json").write_text(json.dumps(self.manifest.content))
        for what, fresh in (("from nothing", True), ("nothing changed", False)):
            results = {name: [] for name in self.programs}
            for number in range(ROUNDS):
                for name in self.programs:
                    if number == 0 or name == "vmcred" or not slow:
                        results[name].append(self.measure(name, self.directory / f"runtime-{name}", fresh))
            self.show(f"{title}, {what}", results)

    def show(self, title, results):
        print(f"{title}, {COUNT} secrets\n  {'':22} {'median':>12} {'middle half':>25} {'ratio':>8} {'memory':>10}")
        times = {name: [taken for taken, _peak in pairs] for name, pairs in results.items()}
        memory = {name: max(peak for _taken, peak in pairs) for name, pairs in results.items()}
        for row in record(title, times, {"secrets": COUNT}, memory=memory):
            low, middle, high = (1000 * row[key] for key in ("low", "median", "high"))
            print(f"  {row['name']:22} {middle:9.1f} ms {low:10.1f} - {high:9.1f} ms {row['ratio']:7.4f}x {row['memory']:6.1f} MiB")
        print(flush=True)


def main():
    real = shutil.which("sops-install-secrets")
    if not real:
        unmeasured("sops-install-secrets",
                   "it is not on the PATH, and in no registry: `go build ./pkgs/sops-install-secrets` in a copy of sops-nix")  # fmt: skip
        sys.exit(77)
    cases = ("A document for each secret", Bench.documents, False), ("One document with all secrets", Bench.keys, True)
    for title, fill, slow in cases:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            bench = Bench(Path(name), real)
            fill(bench)
            bench.compare(title, slow)


main()
