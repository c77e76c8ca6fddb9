#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""While the microVM starts and runs, no secret is exposed in a command line, an environment, a log or a file.

Usage: test_exposure.py WATCHER, the program of watch/. With --expose=argv the watcher must find every secret, which shows
that it works.
"""
import functools
import os
import re
import sys
import tempfile
from pathlib import Path

import canary
import harness
from harness import VMCRED, equal, expect, need, run
from host import EXAMPLE, SECRETS, SERVICE, Container, journal, proofs
from watcher import Watch

WATCHER = sys.argv[1]
# Secrets belong in these directories only. They are memory file systems, for root or one user.
SECRET_PLACES = ("run/secrets.d", "run/secrets", "run/credentials", "var/lib/vmcred")
VERBOSE = "[Service]\nExecStart=\nExecStart=/usr/bin/vmcred-run run -vv --config /etc/vmcred/vmcred.yaml test-vm\n"
EXPOSED = VERBOSE.replace("run -vv", "run -vv --expose=argv")


@functools.cache
def host():
    return Container()


@functools.cache
def patterns():
    found = {}
    for name in SECRETS:
        found |= canary.forms(name, host().secret(name))
    identity = re.search(rb"^AGE-SECRET-KEY-\S+", host().identity.read_bytes(), re.MULTILINE)
    return found | {"identity/raw": identity.group()}


def watched():
    return Watch(WATCHER, patterns())


def search(data, where):
    return canary.search(patterns(), data, where)


def device_of(path):
    try:
        return os.lstat(path).st_dev
    except FileNotFoundError:
        return None


def search_files(top, since, skip=()):
    """Searches the files below `top` that were written after `since`, on that mount. Returns the findings and the files."""
    found, files_read = [], []
    device = os.stat(top).st_dev
    skipped = {os.path.join(top, place) for place in skip}
    for directory, directories, files in os.walk(top):
        # Not os.path.ismount(): it would follow /proc/PID/root out of the host.
        directories[:] = [name for name in directories if os.path.join(directory, name) not in skipped
                      and device_of(os.path.join(directory, name)) == device]
        for name in files:
            path = os.path.join(directory, name)
            try:
                state = os.lstat(path)
                if not os.path.isfile(path) or os.path.islink(path) or state.st_ctime < since:
                    continue
                with open(path, "rb") as file:
                    found += search(file.read(), path)
            except FileNotFoundError:
                continue
            files_read.append(path)
    return found, files_read


def search_host():
    """The same for all of the host's file systems, except where secrets belong."""
    found, files_read = [], []
    for top in ("", "tmp", "run", "dev/shm"):
        places = [os.path.relpath(place, top) for place in SECRET_PLACES] if top else SECRET_PLACES
        some, more = search_files(host().root / top, host().started, places)
        found, files_read = found + some, files_read + more
    return found, files_read


@functools.cache
def verbose_run():
    """One start of the VM at vmcred's highest verbosity, watched from before the activation until it has ended."""
    machine = host()
    patterns()
    with watched() as watch:
        machine.activate()
        machine.drop_in("60-verbose", VERBOSE)
        expect(machine.start_vm(), 0)
        watch.console = machine.wait_vm()
    machine.drop_in("60-verbose", None)
    equal(sorted(proofs(watch.console)), sorted(SECRETS), "credentials that arrived")
    return watch


def test_no_process_shows_a_secret(_directory):
    """no command line, environment, mapping or descriptor of any process shows a secret while the VM starts and runs"""
    watch = verbose_run()
    equal(watch.found, [], "places where the watcher found a secret")


def test_watcher_saw_hypervisor_and_systemd(_directory):
    """the watcher inspected the hypervisor and systemd many times"""
    watch = verbose_run()
    missing = {"qemu-system-x86", "systemd"} - set(watch.seen)
    if missing or watch.counts["rounds"] < 50:
        raise AssertionError(f"not seen: {missing}; {watch.counts['rounds']} rounds")


def test_no_output_holds_a_secret(_directory):
    """no output of vmcred at its highest verbosity, of the hypervisor or of the guest contains a secret"""
    console = verbose_run().console
    if not re.search(r"^vmcred: .*HOST-API-KEY", console, re.MULTILINE):
        raise AssertionError(f"vmcred run -vv does not mention HOST-API-KEY:\n{console}")
    equal(search(console.encode(), "the unit's output"), [], "secrets found")


def test_journal_holds_no_secret(_directory):
    """no field of the host's journal contains a secret"""
    verbose_run()
    entries = journal(host())
    if SERVICE.encode() not in entries:
        raise AssertionError("the journal does not speak of the unit")
    equal(search(entries, "the journal"), [], "secrets found")


def test_no_file_of_host_holds_a_secret(_directory):
    """no file written in the host contains a secret, except where secrets belong"""
    verbose_run()
    found, files_read = search_host()
    equal(found, [], "secrets found")
    if not any(path.endswith("/system.journal") for path in files_read):
        raise AssertionError(f"the journal's file was not searched: {files_read}")


def test_file_search_finds_a_secret(_directory):
    """the search of the host's files finds a secret written there"""
    verbose_run()
    for place in ("var/lib/canary", "etc/canary", "tmp/canary", "run/canary", "dev/shm/canary"):
        file = host().root / place
        file.write_bytes(b"x" + host().secret("jwt-secret"))
        found, _ = search_host()
        file.unlink()
        if f"jwt-secret/raw in {file}" not in found:
            raise AssertionError(f"not found in {place}")


def test_no_file_outside_host_holds_a_secret(_directory):
    """no file written outside the host contains a secret: in the example's directory, /tmp or the working directory"""
    verbose_run()
    found = []
    for top in (host().example, Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd(), EXAMPLE):
        found += search_files(top, host().started)[0]
    equal(found, [], "secrets found")


def test_no_called_program_receives_a_secret(directory):
    """no program that vmcred run calls receives a secret in an argument or variable of its execve"""
    strace = need("strace")
    credentials = directory / "credentials"
    credentials.mkdir(mode=0o700)
    for name in SECRETS:
        (credentials / f"host-{name}").write_bytes(host().secret(name))
    log = directory / "strace"
    result = run(strace, "--follow-forks", "--trace=execve,execveat", "--no-abbrev", "--string-limit=1000000",
                 f"--output={log}", VMCRED, "run", "-vv", "--config", host().example / "vmcred.yaml", "test-vm",
                 "--", need("qemu-system-x86_64"), "-nodefaults", "-display", "none", "-device", "ends-the-launch",
                 env={"CREDENTIALS_DIRECTORY": str(credentials)})
    expect(result, 1)
    calls = log.read_bytes()
    if b"qemu-system-x86_64" not in calls or b"type=11,path=" not in calls:
        raise AssertionError(f"strace has not seen the hypervisor start with OEM strings:\n{calls[:2000]!r}")
    equal(search(calls, "an execve"), [], "secrets found")
    equal(search((result.out + result.err).encode(), "the output"), [], "secrets found")


def test_watcher_finds_exposed_arguments(_directory):
    """with --expose=argv the watcher finds every secret in the hypervisor's command line, and vmcred warns of it"""
    verbose_run()
    machine = host()
    machine.drop_in("60-exposed", EXPOSED)
    try:
        with watched() as watch:
            expect(machine.start_vm(), 0)
            console = machine.wait_vm()
    finally:
        machine.drop_in("60-exposed", None)
    leaked = {name.split("/")[0] for name, file, comm in watch.found
              if file == "cmdline" and comm.startswith("qemu-system")}
    equal(sorted(leaked), sorted(SECRETS), "secrets that the watcher found")
    equal(sorted(proofs(console)), sorted(SECRETS), "credentials that arrived")
    if not re.search(r"^vmcred: warning: .*argv", console, re.MULTILINE):
        raise AssertionError(f"no warning of --expose=argv:\n{console}")


def test_journal_search_finds_a_secret(_directory):
    """the search of the journal finds a logged secret"""
    verbose_run()
    host().checked("systemd-cat", stdin=host().secret("db-password"))
    if "db-password/raw in the journal" not in search(journal(host()), "the journal"):
        raise AssertionError("not found")


harness.main(with_host_services=True)
