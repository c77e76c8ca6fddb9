# SPDX-License-Identifier: Apache-2.0
"""SOPS documents against the real sops: large ones, many, and how time and memory grow. argv[1] is the bare program."""
import json
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from example import Example
from harness import VMCRED, VMCRED_SOPS, expect, run, vmcred
from record import record, unmeasured
from turns import compare, elapsed

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "11"))
VALUES = [int(count) for count in os.environ.get("BENCH_VALUES", "1000,10000,100000,1000000").split(",")]


def scaled(part, environment):
    """A command that does a part of the work, and how often that part is in all of it."""
    command, times = part
    return elapsed(command, environment) * times


def tree(count):
    source = random.Random(count)
    return {f"key{number:07d}": f"{source.getrandbits(120):032x}" for number in range(count)}


class Bench:
    def __init__(self, directory):
        self.directory = directory
        self.key = directory / "key"
        expect(run("age-keygen", "-o", self.key))
        self.recipient = run("age-keygen", "-y", self.key).out.strip()
        self.environment = os.environ | {"SOPS_AGE_KEY_FILE": str(self.key)}

    def encrypted(self, name, content):
        """A file, encrypted by us."""
        path = self.directory / name
        path.write_text(json.dumps(content))
        expect(vmcred("sops", "encrypt", "--age", self.recipient, "--in-place", path))
        return path

    def one(self):
        path = self.encrypted("one.json", {"key": "correct horse battery staple"})
        commands = {
            "bare: libcrypto, one X25519": ([sys.argv[1]], 1),
            "vmcred sops decrypt": ([VMCRED_SOPS, "decrypt", path], 1),
            "sops decrypt": (["sops", "decrypt", path], 1),
        }
        compare("A document of one value, the whole process", commands, self.environment, measure=scaled, rounds=ROUNDS * 5)

    def large(self):
        path = self.encrypted("large.json", tree(10000))
        commands = {
            "vmcred sops decrypt": ([VMCRED_SOPS, "decrypt", path], 1),
            "sops decrypt": (["sops", "decrypt", path], 1),
        }
        compare(f"A document of {path.stat().st_size / 1e6:.1f} MB", commands, self.environment, {"values": 10000}, measure=scaled, rounds=ROUNDS)

    def growth(self):
        """Each in its own process, whose peak memory the kernel reports; it is never less than that of Python, which starts
        it."""
        print(f"How decryption grows\n  {'values':>9} {'document':>11} {'time':>11} {'per value':>11} {'memory':>11} {'/ document':>10}")
        for count in VALUES:
            path = self.encrypted(f"{count}.json", tree(count))
            size = path.stat().st_size
            child = os.fork()
            if child == 0:
                times = [elapsed([VMCRED_SOPS, "decrypt", path], self.environment) for _ in range(3)]
                taken = statistics.median(times)
                peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
                print(f"  {count:9} {size / 1e6:8.1f} MB {taken * 1000:8.1f} ms {taken / count * 1e6:8.2f} us "
                      f"{peak / 1e6:8.1f} MB {peak / size:9.2f}x", flush=True)  # fmt: skip
                name = "vmcred sops decrypt"
                record("Decrypting a document", {name: times}, {"values": count}, memory={name: peak / 2**20})
                os._exit(0)
            os.waitpid(child, 0)
            path.unlink()
        print(flush=True)

    def many(self):
        """A thousand files of one value; sops has no call for that, so a part of its calls is measured."""
        names = [f"f{number}" for number in range(1000)]
        files, kinds = "".join(f"      {name}: {{}}\n" for name in names), "".join(f"      {name}: {{hex: 16}}\n" for name in names)
        declaration = f"machines:\n  m: {{}}\ngenerators:\n  made:\n    machines: [m]\n    files:\n{files}    kind:\n{kinds}"
        directory = self.directory / "many"
        directory.mkdir()
        example = Example(directory, declaration)
        environment = os.environ | {"SOPS_AGE_KEY_FILE": str(example.identity)}
        secret = example.document("f0")
        some = " ".join(["sops decrypt --input-type binary --output-type binary", str(secret), "&&"] * 10)
        commands = {
            "vmcred activate": ([VMCRED, "activate", "--config", example.config, "--root", example.root, "--machine", "m"], 1),
            "1,000 sops decrypt (10 of them, x 100)": (["sh", "-c", f"{some} true"], 100),
        }
        compare("Files of one value", commands, environment, {"files": 1000}, measure=scaled, rounds=5)

    def updatekeys(self):
        """Files by the hundred, from one recipient to two and back."""
        expect(run("age-keygen", "-o", self.directory / "other"))
        other = run("age-keygen", "-y", self.directory / "other").out.strip()
        one, two = self.directory / "one.yaml", self.directory / "two.yaml"
        one.write_text(f"creation_rules: [{{age: {self.recipient}}}]\n")
        two.write_text(f"creation_rules: [{{age: '{self.recipient},{other}'}}]\n")
        files = [self.encrypted(f"u{number}.json", {"key": "value"}) for number in range(500)]

        def both(some):
            return " && ".join(
                f"{VMCRED_SOPS} updatekeys -y --config {rules} {' '.join(map(str, some))}" for rules in (two, one)
            )

        singles = " && ".join(
            f"sops --config {rules} updatekeys -y {path}" for rules in (two, one) for path in files[:5]
        )
        commands = {
            "vmcred sops updatekeys, one call": (["sh", "-c", both(files)], 1),
            "a loop over sops (5 files, x 100)": (["sh", "-c", singles], 100),
        }
        compare("sops updatekeys, twice", commands, self.environment, {"files": 500}, measure=scaled, rounds=5)


def main():
    if not shutil.which("sops") or not shutil.which("age-keygen"):
        unmeasured("sops", "sops or age is not installed: tools/install-deps --test")
        sys.exit(77)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        bench = Bench(Path(directory))
        for measure in (bench.one, bench.large, bench.growth, bench.many, bench.updatekeys):
            measure()


main()
