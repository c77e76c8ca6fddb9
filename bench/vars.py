# SPDX-License-Identifier: Apache-2.0
"""A store of argv[2] machines, each with argv[3] secrets, below the directory argv[4]: the commands for all of it, against
vars_bare.c (argv[1]): only libcrypto's primitives and system calls, on as many threads. In turns, so that a slow moment
affects both. The ratio of processor time depends least on other programs; without them, that of elapsed time is the same
on a memory file system, and on a disk it includes what the disk takes."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from harness import VMCRED
from peak import ended
from record import record

MACHINES = int(os.environ.get("BENCH_MACHINES", sys.argv[2]))
FILES = int(sys.argv[3])
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
THREADS = len(os.sched_getaffinity(0))

GENERATORS = """\
generators:
  secrets:
    machines: [{machines}]
    files: {{{files}}}
    kind: {{{kinds}}}
"""
RECIPIENTS = 2  # of each file: the machine and the admin


@dataclass
class Cost:
    """The cost of a run: elapsed seconds, processor seconds, and peak memory in mebibytes."""

    wall: float
    processor: float
    memory: float


def measure(*command):
    start = time.perf_counter()
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen([str(word) for word in command], stdin=null, stdout=null)  # pylint: disable=R1732
    processor, memory = ended(process)
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        sys.exit(f"{command[0]} ended with exit code {process.returncode}")
    return Cost(seconds, processor, memory)


def keygen(path):
    done = subprocess.run([VMCRED, "keygen", "--output", path], check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Store:
    """The declaration and the public keys; nothing is generated yet. Many machines share a key, which changes nothing."""

    def __init__(self, directory, machines):
        self.directory, self.machines = directory, machines
        self.config = directory / "vmcred.yaml"
        self.identity = directory / "admin"
        names = self.names = [f"m{number}" for number in range(machines)]
        declared = "machines:\n" + "".join(f"  {name}: {{}}\n" for name in names)
        files = [f"secret-{number}" for number in range(FILES)]
        self.config.write_text(declared + GENERATORS.format(
            machines=", ".join(names), files=", ".join(f"{file}: {{}}" for file in files),
            kinds=", ".join(f"{file}: {{base64: 32}}" for file in files)))  # fmt: skip
        keys = self.keys = [keygen(directory / f"key-{number}") for number in range(16)]
        for number, name in enumerate(names):
            self.register("machines", name, keys[number % len(keys)])
        self.register("users", "admin", keygen(self.identity))

    def register(self, kind, name, key):
        member = self.directory / "sops" / kind / name
        member.mkdir(parents=True)
        (member / "key.json").write_text(json.dumps([{"publickey": key, "type": "age"}]))

    def run(self, command, *words):
        return measure(VMCRED, command, "--config", self.config, *words)

    def empty(self):
        shutil.rmtree(self.directory / "vars", ignore_errors=True)


def bare(directory, machines):
    """Creates its files in `directory`, if given, and removes them."""
    words = [machines, FILES, RECIPIENTS, THREADS]
    if not directory:
        return measure(sys.argv[1], "-", *words)
    directory.mkdir()
    try:
        return measure(sys.argv[1], directory, *words)
    finally:
        shutil.rmtree(directory)


def median(costs):
    return Cost(*(statistics.median(getattr(cost, field) for cost in costs) for field in ("wall", "processor", "memory")))


def show(name, cost, files):
    print(f"  {name:34} {cost.wall:7.2f} s {cost.processor:7.2f} s of {THREADS} processors, {cost.processor / cost.wall:4.2f} "
          f"of them busy {cost.processor / files * 1e6:6.1f} µs {'a file' if files > 1 else ''} {cost.memory:6.1f} MiB", flush=True)  # fmt: skip


def show_all(title, store, costs, files=None):
    """Shows and records the runs of each row, which are for that many files. Returns their medians."""
    middle = {name: median(values) for name, values in costs.items()}
    record(f"{title}, in {sys.argv[4]}", {name: [cost.wall for cost in values] for name, values in costs.items()},
           {"machines": store.machines, "secrets": store.machines * FILES},
           {name: cost.processor for name, cost in middle.items()}, {name: cost.memory for name, cost in middle.items()})  # fmt: skip
    for name, cost in middle.items():
        show(name, cost, files or store.machines * FILES)
    return middle


def generate(store, directory):
    """Making and sealing all of it, against the bare primitives."""
    costs = {"bare primitives": [], "bare primitives, files written": [], "vmcred generate": []}
    for _ in range(ROUNDS):
        store.empty()
        costs["bare primitives"].append(bare(None, store.machines))
        costs["bare primitives, files written"].append(bare(directory / "bare", store.machines))
        costs["vmcred generate"].append(store.run("generate"))
    files = store.machines * FILES
    print(f"{store.machines} machines, {files} secrets for {RECIPIENTS} recipients each, medians of {ROUNDS}")
    middle = show_all("Generating all secrets", store, costs)
    ours = middle["vmcred generate"]
    for name in list(middle)[:2]:
        print(f"  {100 * middle[name].processor / ours.processor:.0f} % of what {name} allow by processor time, "
              f"{100 * middle[name].wall / ours.wall:.0f} % by the clock", flush=True)  # fmt: skip
    return ours


def nothing_to_do(store):
    runs = [store.run("generate") for _ in range(ROUNDS)]
    return show_all("Nothing to generate", store, {"vmcred generate, nothing to make": runs}).popitem()[1]


def memory_compare(store, whole, idle, small):
    """Peak memory for all machines and for a tenth of them, in total and without the declaration, which is measured by a run
    that generates nothing."""
    print(f"  peak memory, and without the declaration\n    {store.machines:7} machines {whole.memory:6.1f} MiB "
          f"{whole.memory - idle.memory:6.1f} MiB")  # fmt: skip
    tenth, tenth_idle = small.run("generate"), small.run("generate")
    print(f"    {small.machines:7} machines {tenth.memory:6.1f} MiB {tenth.memory - tenth_idle.memory:6.1f} MiB", flush=True)


def against(store, base, command, about, **runs):
    """Runs both in turns, with `after` behind each of ours, and shows the ratio."""
    costs = {base: [], command: []}
    for _ in range(ROUNDS):
        costs[base].append(runs["bare"]())
        costs[command].append(runs["ours"]())
        if "after" in runs:
            runs["after"]()
    bare_cost, ours = show_all(command, store, costs).values()
    print(f"  {100 * bare_cost.processor / ours.processor:.0f} % of what {about} allows by processor time, "
          f"{100 * bare_cost.wall / ours.wall:.0f} % by the clock", flush=True)  # fmt: skip


def rewrap(store, recipients):
    return measure(sys.argv[1], "rewrap", store.machines, FILES, recipients, THREADS)


def admin_add(store, key):
    """One more admin for all of it, against the bare rewrapping of each data key. It goes again, too."""
    against(store, "bare rewrapping", "vmcred user add", "bare rewrapping, which writes nothing,",
            bare=lambda: rewrap(store, RECIPIENTS + 1),
            ours=lambda: store.run("user", "add", "other", "--age-key", key, "--identity", store.identity),
            after=lambda: store.run("user", "remove", "other", "--identity", store.identity))  # fmt: skip


def check(store):
    against(store, "bare grep, which reads each document", "vmcred check", "grep, which reads each document on one processor,",
            bare=lambda: measure("grep", "--recursive", "--files-with-matches", "sops", store.directory / "vars"),
            ours=lambda: store.run("check"))  # fmt: skip
    against(store, "bare unwrapping", "vmcred check --decrypt", "bare unwrapping, which reads nothing,",
            bare=lambda: rewrap(store, 0),
            ours=lambda: store.run("check", "--decrypt", "--identity", store.identity))  # fmt: skip


def single(store):
    """Commands for one secret, machine or group, and those that find nothing to do."""
    one, identity = store.names[-1], ["--identity", store.identity]
    words = {
        "list": ["list"],
        "get": ["get", one, "secrets/secret-0", *identity],
        "fix, nothing to do": ["fix"],
        "machine add, the same key": ["machine", "add", one, "--age-key", store.keys[(store.machines - 1) % len(store.keys)]],
        "machine add --force, another key": ["machine", "add", one, "--force", "--age-key", keygen(store.directory / "new"), *identity],
        "group add": ["group", "add", "people", "--user", "admin"],
    }  # fmt: skip
    show_all("Other commands", store, {f"vmcred {name}": [store.run(*command)] for name, command in words.items()}, 1)


def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[4]) as name:
        directory = Path(name)
        for part in ("store", "small"):
            (directory / part).mkdir()
        store = Store(directory / "store", MACHINES)
        whole = generate(store, directory)
        idle = nothing_to_do(store)
        memory_compare(store, whole, idle, Store(directory / "small", max(MACHINES // 10, 1)))
        check(store)
        admin_add(store, keygen(directory / "other"))
        single(store)


main()
