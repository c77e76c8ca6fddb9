#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/first-host.md, as written: a laptop and two hosts, each a booted container, joined by real ssh.

The page's commands run in its order. Lines below a command are its output; "..." in them stands for anything. A block of
YAML replaces the sections of vmcred.yaml with the same names. Only the section Install is not run here: packages have
tests of their own (tools/test-packages).
"""
import atexit
import re
import shutil
import tempfile
import time
from pathlib import Path

import harness
from harness import SOURCE, VMCRED_RUN, equal
from host import Container, built, digest_of, proofs

PAGE = SOURCE / "docs" / "first-host.md"
VM = "microvm@web-vm.service"
GENERATOR = "/usr/local/lib/systemd/system-generators/vmcred-generator"
SECRET = "/run/secrets/vars/web/api-key"
# Stands for the example's script, which needs mmdebstrap and a mirror.
BUILD_GUEST = "#!/bin/sh\necho /srv/guest\n"
# The containers have no network: ssh uses a socket in a directory that they share.
SSH_CONFIG = "Host *\nProxyCommand socat - UNIX-CONNECT:/srv/hosts/%h\nStrictHostKeyChecking no\nLogLevel ERROR\n"
SSH_SOCKET = "[Socket]\nListenStream=/srv/hosts/%H\nAccept=yes\nSocketMode=0666\n"
SSH_SERVICE = "[Service]\nExecStart=/usr/sbin/sshd -i\nStandardInput=socket\nRuntimeDirectory=sshd\nRuntimeDirectoryPreserve=yes\n"
LOGIN = "useradd --create-home {0} && runuser --login {0} --command 'git config --global user.name {0}; git config --global user.email {0}@laptop'"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(\w+)([$#]) (.*)")
SECTION = re.compile(r"^(\w+):(?:.*\n)(?:[ #].*\n|\n)*", re.MULTILINE)

shared = None
machines = {}
values = []


class Machine(Container):
    """A Debian with vmcred and ssh, and nothing of the example."""

    packages = ("git", "openssh-client", "openssh-server", "socat")

    def __init__(self, name):
        self.name = name
        super().__init__()

    def _declare(self):
        pass

    def _contents(self):
        return []

    def _options(self):
        return [f"--hostname={self.name}", f"--bind={shared}:/srv/hosts", f"--bind-ro={VMCRED_RUN}:{GENERATOR}",
                f"--bind-ro={built('build-guest')}:/srv/guest"]

    def shell(self, user, command):
        """Runs a command of a user, in the directory where the last one ended."""
        script = f'cd "$(cat ~/.cwd 2>/dev/null || echo ~)"\n{command}\nr=$?\npwd >~/.cwd\nexit $r\n'
        return self.run("runuser", "--login", user, "--command", "exec sh -c \"$0\"", script)


def laptop():
    """The machine of ada and bob, when the hosts are up that ada's SSH key opens."""
    if not machines:
        machines["laptop"] = machine = Machine("laptop")
        for user in ("ada", "bob"):
            machine.checked("sh", "-c", LOGIN.format(user))
        machine.write("/home/ada/.ssh/config", SSH_CONFIG)
        machine.write("/home/ada/vmcred/examples/test-vm/build-guest", BUILD_GUEST)
        machine.checked("chmod", "755", "/home/ada/vmcred/examples/test-vm/build-guest")
        machine.checked("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/home/ada/.ssh/id_ed25519")
        machine.checked("chown", "-R", "ada:", "/home/ada")
        key = machine.checked("cat", "/home/ada/.ssh/id_ed25519.pub").out
        for name in ("host1", "host2"):
            boot_host(name, key)
    return machines["laptop"]


def boot_host(name, key):
    machines[name] = machine = Machine(name)
    machine.write("/root/.ssh/authorized_keys", key)
    machine.write("/etc/systemd/system/ssh-test.socket", SSH_SOCKET)
    machine.write("/etc/systemd/system/ssh-test@.service", SSH_SERVICE)
    machine.checked("systemctl", "start", "ssh-test.socket")


def perform_in(prompt, sign, command):
    if prompt in ("laptop", "bob"):
        return laptop().shell("ada" if prompt == "laptop" else prompt, command)
    equal(sign, "#", f"the prompt of {prompt}")
    return machines[prompt].shell("root", command)


def matches(expected, output):
    """Whether the output has the lines; "..." stands for anything, in a line or as one."""
    pattern = re.escape("\n".join(expected)).replace(r"\.\.\.", ".*")
    return not expected or re.search(f"^{pattern}$", output.strip(), re.DOTALL)


def perform(prompt, sign, command, expected):
    """Runs a command of the page. A guest needs some seconds until its journal has the output."""
    end = time.monotonic() + 120
    while True:
        result = perform_in(prompt, sign, command)
        if result.code == 0 and matches(expected, result.out + result.err):
            return
        if "journalctl" not in command or time.monotonic() > end:
            raise AssertionError(f"{prompt}{sign} {command}\n{result}\nexpected:\n" + "\n".join(expected))
        time.sleep(1)


def declare(text):
    """Replaces sections of vmcred.yaml."""
    path = laptop().root / "home/ada/secrets/vmcred.yaml"
    declaration = path.read_text()
    for section in SECTION.finditer(text):
        declaration, count = re.subn(rf"^{section.group(1)}:(?:.*\n)(?:[ #].*\n|\n)*", lambda _: section.group(0), declaration,
                                     flags=re.MULTILINE)
        equal(count, 1, f"sections {section.group(1)}")
    path.write_text(declaration)


def transcript(block):
    """The commands of a block: (prompt, sign, command, expected lines)."""
    commands = []
    for line in block.splitlines():
        found = COMMAND.match(line)
        if found:
            commands.append((*found.groups(), []))
        else:
            commands[-1][3].append(line)
    return commands


def perform_section(text):
    for kind, block in BLOCK.findall(text):
        if kind == "yaml":
            declare(block)
        else:
            for command in transcript(block):
                perform(*command)


def guest_has_value():
    """The newest proof of the guest is that of the value in the store."""
    machine = machines["host1"]
    value = machine.checked("cat", SECRET).out.encode()
    end = time.monotonic() + 120
    while True:
        started = machine.checked("systemctl", "show", "--value", "--property=InvocationID", VM).out.strip()
        console = machine.checked("journalctl", f"_SYSTEMD_INVOCATION_ID={started}", "--output=cat").out
        if "vmcred-proof: end" in console or time.monotonic() > end:
            break
        time.sleep(1)
    salt, digest = proofs(console)["api-key"]
    equal(digest, digest_of(salt, value), "the guest's digest")
    return value


def new_value_arrived():
    """The guest has a value that it did not have before."""
    value = guest_has_value()
    assert value not in values, "the guest has an old value"
    values.append(value)


AFTER = {"Start the VM": new_value_arrived, "Give it a new value": new_value_arrived, "A colleague": new_value_arrived}


def add(title, text):
    @harness.test(f"the section '{title}' works as written")
    def _(_directory):
        perform_section(text)
        AFTER.get(title, lambda: None)()


def main():
    global shared  # pylint: disable=global-statement
    shared = Path(tempfile.mkdtemp(prefix="vmcred-hosts.", dir="/dev/shm"))
    shared.chmod(0o755)
    atexit.register(shutil.rmtree, shared, ignore_errors=True)
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title, text = section.split("\n", 1)
        if title not in ("Install", "Further"):
            add(title, text)
    harness.main()


if __name__ == "__main__":
    main()
