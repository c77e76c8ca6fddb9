# SPDX-License-Identifier: Apache-2.0
"""Entries in the journal: their fields, their texts in the catalog, and the priorities of lines."""
import os
import re
import socket
import subprocess
from pathlib import Path

import harness
from example import Example
from guests import Host, key_of
from harness import CLEAN_ENVIRONMENT, VMCRED, equal, expect, need, need_default_paths, need_root, run
from serving import serving
from vm import CLOUD_HYPERVISOR, Vm

SOCKET = Path("/run/systemd/journal/socket")
ID = re.compile(r"\b[0-9a-f]{32}\b")


class Journal:
    """Receives entries in systemd's place; the tests have a /run of their own."""

    def __init__(self):
        need_root()
        need_default_paths()
        SOCKET.parent.mkdir(parents=True, exist_ok=True)
        SOCKET.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(SOCKET))
        self.socket.setblocking(False)

    def entries(self):
        """Each is a list of (name, value)."""
        found = []
        while True:
            try:
                entry = self.socket.recv(1 << 20).decode()
            except BlockingIOError:
                return found
            found.append([tuple(line.split("=", 1)) for line in entry.splitlines()])

    def entry(self):
        entries = self.entries()
        equal(len(entries), 1, f"entries {entries}")
        return entries[0]


def logged(directory, *command, env=None, cwd=None):
    """Runs a command whose standard error is a stream to the journal. Returns its exit code and the lines."""
    path = directory / "stream"
    with open(path, "w+b") as stream:
        status = os.fstat(stream.fileno())
        variables = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=stream, stdin=subprocess.DEVNULL, check=False, cwd=cwd,
                              env=CLEAN_ENVIRONMENT | (env or {}) | variables).returncode  # fmt: skip
    return code, path.read_text().splitlines()


def catalog(directory):
    """What the real journalctl reads in the catalog: the subject and the text of each MESSAGE_ID."""
    for name in ("usr/lib/systemd/catalog", "var/lib/systemd/catalog"):
        (directory / name).mkdir(parents=True)
    (directory / "usr/lib/systemd/catalog/vmcred.catalog").write_bytes((harness.SOURCE / "units/vmcred.catalog").read_bytes())
    expect(run(need("journalctl"), f"--root={directory}", "--update-catalog"), 0, "", "")
    dump = expect(run("journalctl", f"--root={directory}", "--dump-catalog"), 0, None, "").out
    return dict(part.split("\n", 1) for part in dump.split("-- ")[1:])


def test_catalog(directory):
    """journalctl accepts the catalog, which has a text for each MESSAGE_ID in the program and the manual page, and no other"""
    known = catalog(directory)
    program = ID.findall((harness.SOURCE / "src/cli/journal.c").read_text())
    equal(sorted(known), sorted(program))
    manual = (harness.SOURCE / "docs/vmcred-activate.1.scd").read_text()
    equal(set(ID.findall(manual)), set(known))
    fields = set(re.findall(r"@([A-Z_]+)@", "".join(known.values())))
    equal({field for field in fields if f"*{field}*" not in manual}, set(), "fields that are not in the manual page")


def test_activation(directory):
    """each activation of the host is an entry, also one that changes nothing, and none below another root"""
    journal = Journal()
    example = Example(directory)
    call = (VMCRED, "activate", "--config", example.config, "--identity", example.identity)
    expect(run(*call), 0, None, "")
    equal(journal.entry(), [
        ("MESSAGE", "m: 2 secrets for services in generation 1"), ("MESSAGE_ID", "2866fc0b533146d39e8c7728b7815feb"),
        ("SYSLOG_IDENTIFIER", "vmcred"), ("PRIORITY", "6"), ("VMCRED_RESULT", "activated"), ("VMCRED_MACHINE", "m"),
        ("VMCRED_PHASE", "services"), ("VMCRED_GENERATION", "1"), ("VMCRED_SECRETS", "2"), ("VMCRED_FAILED", "0"),
    ])  # fmt: skip
    expect(run(*call), 0, None, "")
    assert ("VMCRED_RESULT", "unchanged") in journal.entry()
    expect(example.activate())
    expect(run(*call, "--dry-run"))
    equal(journal.entries(), [])
    example.document("one").write_text("")
    expect(run(*call), 1, None, None)
    failed, whole = journal.entries()
    assert {("MESSAGE_ID", "a2a4287c731841e58be13ed216ae417b"), ("VMCRED_RESULT", "kept"), ("VMCRED_UNIT", "microvm@m.service"),
            ("VMCRED_CREDENTIAL", "host-one"), ("PRIORITY", "4")} <= set(failed), failed  # fmt: skip
    assert ("VMCRED_FAILED", "1") in whole, whole


def test_answers(directory):
    """serve logs an answer and a refusal under different MESSAGE_IDs"""
    journal = Journal()
    with serving(Example(directory), journal=True) as server:
        server.get("microvm@m.service", "host-one")
        server.get("microvm@m.service", "host-three")
        server.stop()
    equal([[dict(entry)[name] for name in ("MESSAGE_ID", "VMCRED_RESULT", "VMCRED_CREDENTIAL")] for entry in journal.entries()],
          [["9feaf9372b704ff88339d8abbbd342c2", "gave", "host-one"], ["f3c6921f2a4d45e0a089c0cc3b36f133", "refused", "host-three"]])  # fmt: skip


def test_guests_with_a_cid(directory):
    """the entries about guests over vhost-vsock contain the CID, and the unit if the guest proved it"""
    journal = Journal()
    host = Host(directory)
    with host.serving(journal=True) as server:
        host.dial(key_of(server)).ask("api-key")
        host.dial().ask("api-key")
        server.stop()
    entries = [dict(entry) for entry in journal.entries()][1:]
    # A process replaces the CID here: this one.
    equal([[entry.get(name) for name in ("VMCRED_RESULT", "VMCRED_UNIT", "VMCRED_GUEST", "VMCRED_PEER_CID")] for entry in entries],
          [["gave", "microvm@m.service", "1", str(os.getpid())], ["turned-away", None, "1", str(os.getpid())]])


def test_launch(directory):
    """run in a unit logs the names of the credentials that the guest gets, and otherwise nothing"""
    journal = Journal()
    unit = Vm(directory)
    call = (VMCRED, "run", "--credentials", unit.credentials, "test-vm", "--", *CLOUD_HYPERVISOR)
    equal(logged(directory, *call, cwd=directory, env=unit.environment({"exit": 0})), (0, []))
    entry = journal.entry()
    assert {("MESSAGE_ID", "e5c51eb123a44056888d789ddadc5e1a"), ("VMCRED_VM", "test-vm")} <= set(entry), entry
    names = [string.split(":")[1].split("=")[0] for string in unit.oem_strings if string.startswith("io.systemd.credential")]
    equal([value for name, value in entry if name == "VMCRED_CREDENTIAL"], names)
    expect(run(*call, cwd=directory, env=unit.environment({"exit": 0})), 0, "", "")
    equal(journal.entries(), [])


def test_priorities_of_lines(directory):
    """in a unit, an error and a warning have these priorities in the journal, but not before a guest's lines or elsewhere"""
    example = Example(directory)
    code, lines = logged(directory, VMCRED, "get", "--config", example.config, "m", "made/none")
    equal((code, lines[-1][:11]), (2, "<3>vmcred: "))
    document = example.document("one")
    document.write_text(document.read_text().replace("vmcred_name", "other_name"))
    code, lines = logged(directory, VMCRED, "check", "--config", example.config)
    equal([line[:20] for line in lines], ["<4>vmcred: warning: "])
    assert expect(run(VMCRED, "check", "--config", example.config), 0, None, None).err.startswith("vmcred: warning: ")
    code, lines = logged(directory, VMCRED, "run", "--config", example.config, "none")
    equal((code, lines[-1][:8]), (2, "vmcred: "))


if __name__ == "__main__":
    harness.main()
