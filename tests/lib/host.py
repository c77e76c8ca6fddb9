# SPDX-License-Identifier: Apache-2.0
"""The running example: generated secrets, a booted host, a started microVM.

Secrets are only in one directory on a memory file system, which close() removes, and in the host, which keeps all files
in memory and ends with this process. The host is a container (examples/test-vm/run-host) or a virtual machine
(machine.py).
"""
import atexit
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from harness import CACHE, SOURCE, VMCRED, need, need_root, run

EXAMPLE = SOURCE / "examples" / "test-vm"
STORE = "vars/per-machine/example-host/test-vm-secrets"
CONFIG = "/etc/vmcred/vmcred.yaml"
SERVICE = "microvm@test-vm.service"
DROPINS = "/run/systemd/system"
UNITS = "/usr/local/lib/systemd/system"
SECRETS = ("api-key", "db-password", "jwt-secret")
# For the scripts that build the guest and the host, as for `make demo`.
BUILD_ENVIRONMENT = {"XDG_CACHE_HOME": str(CACHE.parent)} | {
    key: os.environ[key] for key in ("DEBIAN_MIRROR",) if key in os.environ}
PROOF = re.compile(r"vmcred-proof: credential (\S+) salt=([0-9a-f]{32}) sha256=([0-9a-f]{64})")


class Host:
    """A booted host with the example's declaration and secrets, which are not yet activated."""

    programs = ("mmdebstrap", "cpio", "openssl")
    # Seconds between two polls; polling slows an emulated host down.
    interval = 0.1
    patience = 180

    def __init__(self):
        need_root()
        for program in self.programs:
            need(program)
        self.directory = Path(tempfile.mkdtemp(prefix="vmcred-e2e.", dir="/dev/shm"))
        self.process = None
        atexit.register(self.close)
        self.started = time.time()
        self.example = self.directory / "example"
        self.identity = self.directory / "identity"
        self._declare()
        self._boot()

    def _declare(self):
        self.example.mkdir(mode=0o755)
        shutil.copy(EXAMPLE / "vmcred.yaml", self.example)
        config = self.example / "vmcred.yaml"
        checked(VMCRED, "keygen", "--config", config, "--machine", "example-host", "--output", self.identity)
        checked(VMCRED, "generate", "--config", config, "example-host")

    def _boot(self):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError

    def run(self, *command, stdin=b""):
        """Runs a command in the host, as root."""
        raise NotImplementedError

    def checked(self, *command, **options):
        return succeeded(self.run(*command, **options))

    def secret(self, name):
        """The plaintext, as the real sops decrypts it."""
        sops = need("sops")
        return subprocess.run(
            [sops, "--decrypt", self.example / STORE / name / "secret"], check=True, capture_output=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.directory), "SOPS_AGE_KEY_FILE": str(self.identity)}).stdout

    def activate(self):
        """Starts vmcred-activate.service in the host and writes the VM's LoadCredential= lines."""
        self.checked("systemctl", "start", "vmcred-activate.service")
        self.checked("vmcred", "units", "--config", CONFIG, "--output", DROPINS)
        self.checked("systemctl", "daemon-reload")

    def write(self, path, text):
        """Writes a file in the host; creates its directory if needed."""
        self.checked("sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1"', "sh", path, stdin=text)

    def drop_in(self, name, text):
        """Writes a drop-in of the VM's unit, or removes it if the text is None."""
        file = f"{DROPINS}/{SERVICE}.d/{name}.conf"
        if text is None:
            self.checked("rm", file)
        else:
            self.write(file, text)
        self.checked("systemctl", "daemon-reload")

    def start_vm(self):
        self.run("systemctl", "reset-failed", SERVICE)
        last = self.checked("journalctl", "--lines=0", "--show-cursor", "--no-pager").out
        self.cursor = re.search(r"^-- cursor: (\S+)$", last, re.MULTILINE).group(1)
        return self.run("systemctl", "start", SERVICE)

    def is_vm_active(self):
        return self.run("systemctl", "is-active", SERVICE).out.strip() in ("active", "activating", "deactivating")

    def wait_proofs(self):
        """Waits for the guest's last proof, after which the VM runs for another moment. Returns the console."""
        self._wait(lambda: "vmcred-proof: end" in self.console() or not self.is_vm_active())
        return self.console()

    def wait_vm(self):
        """Waits until the unit has ended. Returns the console since its last start."""
        self._wait(lambda: not self.is_vm_active())
        # systemd's last messages may not be in the journal yet.
        self.checked("journalctl", "--sync")
        return self.console()

    def _wait(self, condition):
        end = time.monotonic() + self.patience
        while True:
            # Before the look: on a busy machine this process may have been the one that had to wait.
            is_late = time.monotonic() > end
            if condition():
                return
            if is_late:
                raise AssertionError(f"not in {self.patience} s; the VM's console:\n{self.console()}")
            time.sleep(self.interval)

    def unit(self, name):
        """A property of the VM's unit."""
        return self.checked("systemctl", "show", "--value", "--property", name, SERVICE).out.strip()

    def console(self):
        """The journal since the unit's latest start: vmcred, the hypervisor, the guest's console, systemd."""
        return self.checked("journalctl", f"--unit={SERVICE}", f"--after-cursor={self.cursor}", "--output=cat",
                            "--all", "--no-pager").out


class Container(Host):
    """A host that is a systemd-nspawn container."""

    programs = Host.programs + ("systemd-nspawn", "nsenter")
    # In addition to those of every host.
    packages = ()

    def _boot(self):
        console = open(self.directory / "console", "wb")
        self.process = subprocess.Popen(
            [EXAMPLE / "run-host", "--root", built("build-host", *self.packages), "--vmcred", Path(VMCRED).resolve(),
             *self._contents(), "--", f"--bind-ro={Path(VMCRED).resolve()}-guest:/usr/bin/vmcred-guest", *self._options()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=console, text=True)
        self.leader = self.process.stdout.readline().strip()
        if not self.leader:
            raise AssertionError("the host did not boot:\n" + (self.directory / "console").read_text(errors="replace"))

    def _contents(self):
        """What is in the host when it boots: options for run-host."""
        return ["--guest", built("build-guest"), "--example", self.example, "--identity", self.identity]

    def _options(self):
        """More options for systemd-nspawn."""
        return []

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def root(self):
        """The host's root directory, seen from outside."""
        return Path("/proc") / self.leader / "root"

    def run(self, *command, stdin=b""):
        return run("nsenter", "--target", self.leader, "--all", "--", *command, stdin=stdin)


def units():
    """The units as they are installed, for programs in /usr/bin: name → text."""
    directory = SOURCE / "units"
    services = {path.stem: path.read_text().replace("@bindir@", "/usr/bin") for path in directory.glob("*.service.in")}
    mount = (directory / "secrets.mount.in").read_text()
    mounts = {
        name: mount.replace("@directory@", where) for name, where in (
            ("run-secrets.d.mount", "/run/secrets.d"), (r"run-secrets\x2dfor\x2dusers.d.mount", "/run/secrets-for-users.d"),
        )
    }  # fmt: skip
    others = {path.name: path.read_text() for path in directory.iterdir() if path.suffix in (".service", ".socket", ".path")}
    return services | mounts | others


def built(script, *arguments):
    """Runs a build script. Returns the directory of its result, which it keeps in ~/.cache/vmcred."""
    return checked(EXAMPLE / script, *arguments, env=BUILD_ENVIRONMENT, timeout=500).out.strip()


def succeeded(result):
    if result.code != 0:
        raise AssertionError(f"exit code {result.code}\nstderr: {result.err}\nstdout: {result.out}")
    return result


def checked(*command, **options):
    return succeeded(run(*command, **options))


def proofs(console):
    """The guest's proofs in its console output: name → (salt, digest)."""
    return {name: (salt, digest) for name, salt, digest in PROOF.findall(console)}


def digest_of(salt, value):
    return hashlib.sha256(salt.encode() + value).hexdigest()


def journal(host):
    """Every field of every entry of the host's journal, as raw bytes."""
    return host.checked("journalctl", "--output=export", "--all", "--no-pager").out.encode("utf-8", "surrogateescape")
