#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/first-host.md and docs/recipes.md, as written: a laptop and two hosts, each a booted container, joined by real ssh.

The commands run in the pages' order. Lines below a command are its output; "..." in them stands for anything. A block of
YAML replaces the sections of vmcred.yaml with the same names; one of INI is a file. Only the section Install is not run
here: packages have tests of their own (tools/test-packages).
"""
import atexit
import re
import shutil
import tempfile
import time
from pathlib import Path

import harness
from guests import relay
from harness import SOURCE, VMCRED_RUN, equal
from host import Container, built, digest_of, proofs

PAGES = [SOURCE / "docs" / name for name in ("first-host.md", "recipes.md")]
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
# What the recipes find: a script that starts the VM, and a document of sops.
SCRIPT = "#!/bin/sh\nexec qemu-system-x86_64 -nodefaults -display none -machine q35 -accel kvm -accel tcg -cpu max -m 256 " \
    "-kernel /srv/guest/vmlinuz -initrd /srv/guest/initrd -append 'console=ttyS0 quiet vmcred.stay' -serial stdio\n"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(\w+)([$#]) (.*)")
FILE = re.compile(r"# (\w+): (\S+)\n")
SECTION = re.compile(r"^(\w+):(?:.*\n)(?:[ #].*\n|\n)*", re.MULTILINE)

shared = None
machines = {}
values = []


class Machine(Container):
    """A Debian with vmcred and ssh, and nothing of the example."""

    packages = ("git", "openssh-client", "openssh-server", "socat")

    def __init__(self, name, options=()):
        self.name, self.options = name, options
        super().__init__()

    def _declare(self):
        pass

    def _contents(self):
        return []

    def _options(self):
        return [f"--hostname={self.name}", f"--bind={shared}:/srv/hosts", f"--bind-ro={VMCRED_RUN}:{GENERATOR}",
                f"--bind-ro={built('build-guest')}:/srv/guest", *self.options]

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


def write_file(name, path, text):
    if name == "guest" and name not in machines:
        boot_guest()
    machines[name].write(path, text)


def boot_guest():
    """Instead of the VM's guest, a container that gets the same credentials."""
    host, credentials = machines["host1"], []
    for credential, file in (("SSH-HOST-KEY", "host-key"), ("ssh.authorized_keys.root", "admins")):
        path = laptop().directory / file
        path.write_text(host.checked("cat", f"/run/secrets/vars/web-ssh/{file}").out)
        credentials.append(f"--load-credential={credential}:{path}")
    machines["guest"] = Machine("guest", credentials)


def perform_section(text):
    for kind, block in BLOCK.findall(text):
        if kind == "yaml":
            declare(block)
        elif kind == "ini":
            name, path = FILE.match(block).groups()
            write_file(name, path, block)
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


def write_script():
    machines["host1"].write("/var/lib/microvms/start-web-vm", SCRIPT)
    machines["host1"].checked("chmod", "755", "/var/lib/microvms/start-web-vm")


def write_old_document():
    laptop().shell("ada", "mkdir ~/old && echo 'api-key: old' >~/old/plain.yaml")
    laptop().shell("ada", 'vmcred sops encrypt --age "$(cat ~/.ssh/id_ed25519.pub)" ~/old/plain.yaml >~/old/secrets.yaml')


def ada_logs_in():
    """The guest has the host key that ada knows, and lets her in."""
    guest, copied = machines["guest"], {".ssh/id_ed25519": "/root/key", ".ssh/known_hosts": "/root/known"}
    for source, target in copied.items():
        guest.write(target, laptop().checked("cat", f"/home/ada/{source}").out)
        guest.checked("chmod", "600", target)
    guest.checked("systemctl", "daemon-reload")
    guest.checked("systemctl", "restart", "ssh.service")
    options = ("BatchMode=yes", "StrictHostKeyChecking=yes", "UserKnownHostsFile=/root/known", "HostKeyAlias=web-vm")
    guest.checked("ssh", "-i", "/root/key", *(f"-o{option}" for option in options), "root@127.0.0.1", "true")


# The containers have no vsock: the guest connects to a socket in their shared directory, and this process passes that on.
CHANNEL = "/srv/hosts/guest_811"
IN_CONTAINER = {
    "vmcred-guest.socket": "[Unit]\nConditionVirtualization=\n",
    "vmcred-guest.service": f"[Service]\nExecStart=\nExecStart=/usr/bin/vmcred-guest serve --host {CHANNEL}\n",
    "vmcred-guest-watch.service":
        f"[Unit]\nConditionVirtualization=\n[Service]\nExecStart=\nExecStart=/usr/bin/vmcred-guest watch --host {CHANNEL}\n",
}
SLEEP = "[Service]\nType=exec\nExecStart=\nExecStart=/bin/sleep infinity\n"


def prepare_channel():
    """Cloud Hypervisor needs KVM: in the VM's unit, another program runs instead."""
    host, guest = machines["host1"], machines["guest"]
    host.write(f"/etc/systemd/system/{VM}.d/zz-sleep.conf", SLEEP)
    guest.write("/etc/systemd/system/web.service", SLEEP)
    for unit, text in IN_CONTAINER.items():
        guest.write(f"/etc/systemd/system/{unit}.d/50-test.conf", text)
    relay(str(shared / "guest_811"), f"{host.root}/run/vmcred/channel",
          lambda: (host.root / f"run/credentials/{VM}/vmcred.channel").read_bytes())


def service_has_new_value():
    """The guest's service has the value that is in the store since the last command."""
    value = machines["host1"].checked("cat", SECRET).out
    equal(machines["guest"].checked("cat", "/run/credentials/web.service/api-key").out, value)
    equal(machines["host1"].checked("vmcred", "status", "web-vm").code, 0)


def script_gets_credentials():
    """The guest of the VM that the script starts has the credentials."""
    process = machines["host1"].checked("systemctl", "show", "--value", "--property=MainPID", VM).out.strip()
    equal(machines["host1"].checked("cat", f"/proc/{process}/comm").out, "qemu-system-x86\n", "the main process")
    guest_has_value()


BEFORE = {
    "A script that starts the VM": write_script,
    "Files of sops-nix, agenix or other tools": write_old_document,
    "A new value in a running guest": prepare_channel,
}
AFTER = {
    "Start the VM": new_value_arrived,
    "Give it a new value": new_value_arrived,
    "A colleague": new_value_arrived,
    "A guest's SSH keys": ada_logs_in,
    "A script that starts the VM": script_gets_credentials,
    "A new value in a running guest": service_has_new_value,
}


def add(title, text):
    @harness.test(f"the section '{title}' works as written")
    def _(_directory):
        BEFORE.get(title, lambda: None)()
        perform_section(text)
        AFTER.get(title, lambda: None)()


def main():
    global shared  # pylint: disable=global-statement
    shared = Path(tempfile.mkdtemp(prefix="vmcred-hosts.", dir="/dev/shm"))
    shared.chmod(0o755)
    atexit.register(shutil.rmtree, shared, ignore_errors=True)
    for page in PAGES:
        for section in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
            title, text = section.split("\n", 1)
            if title not in ("Install", "Further"):
                add(title, text)
    harness.main()


if __name__ == "__main__":
    main()
