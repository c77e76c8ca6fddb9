# SPDX-License-Identifier: Apache-2.0
"""A host that is a virtual machine: systemd on its own kernel, with KVM on an emulated processor that has SVM.

QEMU emulates the machine (TCG), so this runs wherever QEMU does. The hypervisors in it are real and use real KVM.
"""
import base64
import os
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

from harness import SOURCE, VMCRED, VMCRED_RUN, VMCRED_SOPS, Result, need
from host import EXAMPLE, Host, built, units

NESTED = SOURCE / "tests" / "e2e" / "nested"
VM_DIRECTORY = "/var/lib/microvms/test-vm"
# The example's guest, and one whose systemd notifies its host: Debian release -> directory.
GUESTS = {"bookworm": VM_DIRECTORY, "trixie": "/var/lib/microvms/trixie"}
# With a stream of its own in the journal, no message of vmcred or the hypervisor splits a line of the guest's console. The journal
# daemon must not wait for the emulated serial port.
STREAMS = {
    "etc/systemd/system/microvm@.service.d/streams.conf": "[Service]\nStandardError=journal+console\n",
    "etc/systemd/journald.conf.d/streams.conf": "[Journal]\nMaxLevelConsole=emerg\n",
}
# An emulated machine on a busy host is slow. The agent ends a command before.
TIMEOUT = 600
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Of the test program, if the emulated host does not answer.
EXIT_HUNG = 75


def vmlinux(vmlinuz):
    """The ELF file in a compressed kernel of Debian 13."""
    data = Path(vmlinuz).read_bytes()
    for start in (match.start() for match in re.finditer(re.escape(ZSTD_MAGIC), data)):
        done = subprocess.run([need("zstd"), "-dcq"], input=data[start:], capture_output=True, check=False)
        if done.stdout.startswith(b"\x7fELF"):
            return done.stdout
    raise AssertionError(f"{vmlinuz} contains no kernel that is compressed with zstd")


class Machine(Host):
    """The emulated host. It has this machine's other hypervisors, if there are."""

    programs = Host.programs + ("qemu-system-x86_64",)
    interval = 1
    patience = TIMEOUT

    def _boot(self):
        # Those that are in no package registry.
        names = ("cloud-hypervisor", "firecracker", "lkvm", "alioth", "crosvm", "stratovirt")
        self.hypervisors = {name: path for name in names if (path := shutil.which(name))}
        image = Path(built(NESTED / "build-image"))
        initrd = self.directory / "initrd"
        with open(initrd, "wb") as out:
            subprocess.run(["cat", image / "initrd", "-"], input=self._archive(), stdout=out, check=True)
        agent = socket.socket(socket.AF_UNIX)
        agent.bind(str(self.directory / "agent"))
        agent.listen()
        agent.settimeout(TIMEOUT)
        self.process = subprocess.Popen(
            # With two processors, QEMU 7.2 sometimes executes the old translation of an instruction that the other one has
            # replaced. The kernel replaces some of its scheduler's when the first VM starts, and then hangs.
            ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", "tcg", "-cpu", "EPYC",
             "-smp", "1", "-m", "4096", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
             "-kernel", image / "vmlinuz", "-initrd", initrd,
             # A timer interrupt that is late on a busy host would be taken for a broken timer.
             "-append", "no_timer_check console=ttyS0 loglevel=4 panic=-1 systemd.getty_auto=no systemd.show_status=no",
             "-serial", f"file:{self.directory}/console", "-device", "virtio-serial-pci",
             "-chardev", f"socket,id=agent,path={self.directory}/agent",
             "-device", "virtserialport,chardev=agent,name=vmcred.agent"],
            stdin=subprocess.DEVNULL, stderr=open(self.directory / "qemu", "wb"))
        connection, _ = agent.accept()
        agent.close()
        connection.settimeout(TIMEOUT)
        self.stream, self.command = connection.makefile("rwb"), "boot"
        self._answer()
        # QEMU has read it.
        initrd.unlink()

    def _archive(self):
        """A cpio archive of the test's additions to the image: programs, units, declaration, identity, guest."""
        top = self.directory / "top"
        files = {
            **{f"usr/bin/{Path(program).name}": (program, 0o755) for program in (VMCRED, VMCRED_RUN, VMCRED_SOPS)},
            "var/lib/vmcred/identity": (self.identity, 0o600),
        }
        for suite, directory in GUESTS.items():
            guest = Path(built("build-guest", suite))
            files |= {f"{directory[1:]}/{name}": (guest / name, 0o644) for name in ("vmlinuz", "initrd")}
        for path, text in (STREAMS | {f"etc/systemd/system/{unit}": text for unit, text in units().items()}).items():
            source = self.directory / path
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(text)
            files[path] = (source, 0o644)
        files |= {f"usr/bin/{name}": (path, 0o755) for name, path in self.hypervisors.items()}
        if "firecracker" in self.hypervisors:
            kernel = self.directory / "vmlinux"
            kernel.write_bytes(vmlinux(Path(built("build-guest", "trixie")) / "vmlinuz"))
            files[f"{GUESTS['trixie'][1:]}/vmlinux"] = (kernel, 0o644)
        for path, (source, mode) in files.items():
            target = top / path
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(mode)
        shutil.copytree(self.example, top / "etc/vmcred")
        names = sorted(os.path.relpath(path, top) for path in top.rglob("*"))
        packed = subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=top, check=True,
                                input="\n".join(names).encode(), capture_output=True).stdout
        shutil.rmtree(top)
        return packed

    def _answer(self):
        """One line from the agent."""
        try:
            line = self.stream.readline().decode().split()
        except TimeoutError:
            self._explain()
            self.close()
            os._exit(EXIT_HUNG)
        if not line:
            raise AssertionError("the host ended:\n" + (self.directory / "console").read_text(errors="replace"))
        return line

    def _explain(self):
        """Prints, as comments of TAP, what the host did last."""
        console = (self.directory / "console").read_text(errors="replace").splitlines()
        print("\n# ".join([f"# the emulated host does not answer to: {self.command}", *console[-20:]]), flush=True)

    def run(self, *command, stdin=b""):
        self.command = shlex.join(map(str, command))
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        words = (base64.b64encode(self.command.encode()), base64.b64encode(data) or b"-")
        self.stream.write(b" ".join(words) + b"\n")
        self.stream.flush()
        code, out, err = self._answer()
        texts = [base64.b64decode(text if text != "-" else "").decode("utf-8", "surrogateescape") for text in (out, err)]
        return Result(int(code), *texts)

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)
