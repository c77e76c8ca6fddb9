# SPDX-License-Identifier: Apache-2.0
"""Mutated command lines are accepted and refused as by the real Cloud Hypervisor.

The lines of cloud_hypervisor_lines.json are mutated with quotes, brackets, spaces, signs, empty and repeated keys and
other keys' values, reproducibly. One program gets each line directly; a second one, which waits for requests, gets
vmcred's translation. Both log the configuration of the VM, and nothing boots. MUTATIONS=N in the environment sets their
number, MUTATIONS_SEED selects others.
"""
import itertools
import json
import os
import random
import re
import shlex
import subprocess

import harness
from harness import SOURCE, equal, test
from cloud_hypervisor_vm import Guest, need_cloud_hypervisor
from vm import api_put, wait_for

COUNT = int(os.environ.get("MUTATIONS", "250"))
TRANSLATE = os.environ["VMCRED_CLOUD_HYPERVISOR"]
REQUEST = re.compile(r"VmCreate (VmConfig .*?)\r?\n")

# Excluded: sockets and terminals cannot be opened twice; landlock restricts the VMM permanently; and the program ignores
# a value that another key makes void, while vmcred checks it.
LEFT_OUT = ("--serial socket", "--vsock", "pty", "--landlock", "--log-file", "--firmware", "--debug-console",
            "virtio_id=", "vhost_user=on,socket=vhost.sock,image_type")

CHANGES = {
    "quotes": lambda key, value: [f'{key}="{value}"', f'{key}="{value}', f'"{key}={value}"', f'{key}={value}""'],
    "spaces": lambda key, value: [f"{key}= {value}", f"{key}={value} ", f" {key}={value}", f"{key} ={value}"],
    "brackets": lambda key, value: [f"{key}=[{value}]", f"{key}={value}]", f"{key}=[{value}", f"{key}=[[{value}]]",
                                    key + "=" + value.strip("[]")],
    "signs": lambda key, value: [f"{key}=+{value}", f"{key}=0{value}", f"{key}=-1"],
    "nothing": lambda key, value: [f"{key}=", key, f"{key}={value},"],
    "twice": lambda key, value: [f"{key}={value},{key}={value}", f"{key}=,{key}={value}", f"{key}={value},{key}="],
    "letters": lambda key, value: [f"{key}={value.upper()}", f"{key}={value}é", f"{key}={value}K", f"{key}={value}m"],
    "others": lambda key, value: [f"{key}={other}" for other in (
        "on", "OFF", "true", "yes", "1", "1-3", "[1-3]", "[3-1]", "[1,2,2]", "[1-1]", "[ 1 ]", "[]", "0x10", "1@2",
        "[1@2]", "[1@[2,3]]", "[1@[2],]", "[@1]", "1:1:1:1", "99999999999999999999")],
}


def mutated(generator, line):
    """The line with one changed pair, or None if it has no pairs."""
    words = shlex.split(line)
    places = [i for i, word in enumerate(words) if i > 0 and "=" in word and not word.startswith("--")
              and words[i - 1] not in ("--kernel", "--cmdline")]
    if not places:
        return None
    place = generator.choice(places)
    pairs = words[place].split(",")
    at = generator.randrange(len(pairs))
    key, _, value = pairs[at].partition("=")
    pairs[at] = generator.choice(CHANGES[generator.choice(sorted(CHANGES))](key, value))
    words[place] = ",".join(pairs)
    return words


def comparable(text):
    """Without random addresses, OEM strings, and values that only a booted VM has."""
    text = re.sub(r"MacAddr \{[^}]*\}", "MacAddr", text)
    text = re.sub(r"oem_strings: (None|Some\(\[.*?\]\)), system", "system", text)
    return re.sub(r"(pvpanic: \w+), iommu: \w+,", r"\1,", text)


def plain(directory, words):
    """The program's configuration for its command line, or None and the reason."""
    log = directory / "log"
    log.write_bytes(b"")
    with subprocess.Popen(["cloud-hypervisor", "-v", "--log-file", log, *words], cwd=directory, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        def seen():
            ended = process.poll() is not None
            match = REQUEST.search(log.read_text(errors="replace"))
            return match[1] if match else ended and "ended"

        found = wait_for("its request", seen)
        process.kill()
        reason = process.stderr.read().decode(errors="replace")
    return (None, reason) if found == "ended" else (comparable(found), None)


class Waiting:
    """A Cloud Hypervisor that creates one VM after the other and boots none."""

    def __init__(self, directory):
        self.directory, self.log = directory, directory / "log.api"
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["cloud-hypervisor", "-v", "--log-file", self.log, "--api-socket", "api"], cwd=directory,
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("its API", (directory / "api").exists)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def configuration(self, words):
        result = harness.run(TRANSLATE, *words)
        if result.code != 0:
            return None, result.err
        before = self.log.stat().st_size
        answer = api_put(self.directory / "api", "vm.create", json.loads(result.out)["vm"])
        api_put(self.directory / "api", "vm.delete")
        if not answer.startswith("HTTP/1.1 2"):
            return None, answer
        return comparable(REQUEST.search(self.log.read_bytes()[before:].decode(errors="replace"))[1]), None


def agree(words, program, ours):
    """The difference, or None."""
    if program[0] and ours[0]:
        differ = [pair for pair in itertools.zip_longest(program[0].split(", "), ours[0].split(", "))
                  if pair[0] != pair[1]]
        return f"the VM differs: {differ[:3]}" if differ else None
    if program[0]:
        return f"only vmcred refuses it: {ours[1]}"
    if not ours[0]:
        return None
    # The API reports semantic errors only at boot. Versions after v53 accept the spaces.
    if "validating configuration" in program[1] or any(re.search(r"@.*, ", word) for word in words):
        return None
    return f"only vmcred accepts it: {program[1]}"


@test(f"{COUNT} mutated command lines give the same VM, or are refused, by both")
def test_mutated_command_lines(directory):
    need_cloud_hypervisor()
    generator = random.Random(int(os.environ.get("MUTATIONS_SEED", "53")))
    lines = json.loads((SOURCE / "tests/interop/cloud_hypervisor_lines.json").read_text())["lines"]
    stock = [line["line"] for line in lines
             if line["real"] != "sent" and not any(word in line["line"] for word in LEFT_OUT)]
    Guest(directory)
    taken, failures = 0, []
    with Waiting(directory) as waiting:
        for _ in range(COUNT):
            words = mutated(generator, generator.choice(stock))
            if not words:
                continue
            program, ours = plain(directory, words), waiting.configuration(words)
            taken += bool(ours[0])
            if reason := agree(words, program, ours):
                failures.append(f"{shlex.join(words)}: {reason}")
    equal(failures, [])
    # Neither all nor none.
    assert COUNT / 5 < taken < COUNT * 4 / 5, taken


harness.main()
