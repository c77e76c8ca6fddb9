#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo` proves every secret and leaves nothing, even if it is interrupted."""
import os
import re
import signal
import subprocess
from pathlib import Path

import harness
from harness import CLEAN_ENVIRONMENT, VMCRED, equal, need, need_root, test
from host import BUILD_ENVIRONMENT, EXAMPLE, SECRETS

DEMO = EXAMPLE / "demo"
STAGES = ("generate", "seal", "activate", "load", "compose", "launch", "receive", "prove")
ENVIRONMENT = CLEAN_ENVIRONMENT | BUILD_ENVIRONMENT | {"BUILD": str(Path(VMCRED).resolve().parent)}


def leftovers():
    """Private directories and processes of any demo."""
    found = [str(path) for top in ("/run", "/dev/shm") for path in Path(top).glob("vmcred-demo.*")]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"/vmcred-demo." in path.read_bytes():
                found.append(str(path))
        except OSError:
            continue
    return found


def start(*options):
    need_root()
    need("systemd-nspawn")
    return subprocess.Popen([DEMO, *options], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, start_new_session=True)


def define_whole_run(what, *options):
    @test(f"the demo with {what} sees every stage and proves every secret")
    def test_demo(_directory):
        before = leftovers()
        process = start(*options)
        output = process.communicate()[0]
        equal(process.returncode, 0, f"exit code, with the output\n{output}\n")
        table = re.findall(r"^\d  (\S+) +(\S+) ", output, re.MULTILINE)
        equal(table, [(stage, "seen") for stage in STAGES], "vmcred inspect's table")
        equal(re.findall(r"^vmcred-proof: credential (\S+)", output, re.MULTILINE), list(SECRETS), "the guest's proofs")
        equal(leftovers(), before, "leftovers")


define_whole_run("the generator script")
define_whole_run("the built-in generators", "--builtin")


def test_interrupted_demo_leaves_nothing(_directory):
    """a demo that is interrupted while the VM runs leaves no directory and no process"""
    before = leftovers()
    process = start()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Start microvm@test-vm.service" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    lines.append(process.communicate()[0])
    equal(process.returncode, 130, f"exit code, with the output\n{''.join(lines)}\n")
    equal(leftovers(), before, "leftovers")


harness.main(with_host_services=True)
