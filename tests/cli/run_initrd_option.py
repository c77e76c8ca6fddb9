# SPDX-License-Identifier: Apache-2.0
"""vmcred run with hypervisors whose command line names the initrd. They are a stand-in here, which reads it by its path and
parses its command line as strictly as the real ones do; interop/initrd.py uses real ones."""
import os
import signal
import subprocess

import harness
from archive import credentials, entries
from harness import equal, expect, fails
from vm import Vm, children, no_canary, stop, stopped_at_exit, visible_to_others, wait_for

STAND_IN = """\
#!/usr/bin/python3 -I
import json, os, signal, sys
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
FORMS = {{"crosvm": ("--initrd", "-i"), "lkvm": ("--initrd", "-i"), "alioth": ("--initramfs", "-i"), "stratovirt": ("-initrd",)}}
record = {{"argv": words, "initrd": None}}
for i, word in enumerate(words):
    for form in FORMS[name]:
        path = words[i + 1] if word == form else word[len(form) + 1:] if word.startswith(form + "=") else None
        path = word[2:] if form == "-i" and word.startswith("-i/") else path
        if path:
            with open(path, "rb") as file:
                data = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
                record["initrd"] = data.hex()
with open("{directory}/record.new", "w") as out:
    json.dump(record, out)
os.rename("{directory}/record.new", "{directory}/record")
if words[:1] == ["stop"]:
    sys.exit(5)
signal.pause()
"""
DECLARATION = "vms: {test-vm: {credentialFiles: {HOST-API-KEY: host-api-key, HOST-TLS: host-tls}}}\n"
INITRD = b"an initrd of the user"
# Each hypervisor's command line as microvm.nix writes it, and the other spellings; {} is the initrd.
LINES = {
    "crosvm": ["run -m 512 -c 1 --serial type=stdout -p {kernel} --vsock 3 --initrd {} vmlinux", "run --initrd={} vmlinux",
               "run -i {} vmlinux"],
    "lkvm": ["run --name web -m 512 -c 1 --console serial -k kernel -i {} -p {kernel}", "run --initrd={} -k kernel",
             "run -k kernel -i{}", "run -p -h -k kernel -i {}"],
    "alioth": ["run --memory size=512M -k kernel -i {} -c {kernel} --entropy", "boot --initramfs={} -k kernel",
               "boot --initramfs {} -k kernel"],
    "stratovirt": ["-name -h -kernel kernel -initrd {}", "-name web -machine microvm -kernel kernel -initrd {} -append {kernel} -serial stdio"],
}
KERNEL = "console=ttyS0 reboot=k panic=1"


class Launch(Vm):
    def __init__(self, directory, declaration=DECLARATION):
        super().__init__(directory, declaration)
        (directory / "initrd").write_bytes(INITRD)
        for name in LINES:
            harness.write_program(self.bin / name, STAND_IN.format(directory=directory))

    def words(self, name, line):
        return [name, *(word.replace("{kernel}", KERNEL).replace("{}", str(self.directory / "initrd")) for word in line.split())]

    def launched(self, name, line, options=()):
        process = self.start(*self.words(name, line), options=options)
        wait_for("the stand-in", lambda: (self.directory / "record").exists() or process.poll() is not None)
        assert process.poll() is None, self.errors()
        return process


def test_credentials_are_in_the_initrd(directory):
    """crosvm, kvmtool, alioth and StratoVirt get an initrd with all credentials, in each spelling of its option"""
    vm = Launch(directory)
    values = {"HOST-API-KEY": vm.api_key.encode(), "HOST-TLS": vm.tls.encode()}
    for name, lines in LINES.items():
        for line in lines:
            process = vm.launched(name, line)
            record = vm.recorded()
            data = bytes.fromhex(record["initrd"])
            equal(data[:len(INITRD)], INITRD)
            equal(entries(data, len(INITRD)), credentials(values))
            expected = vm.words(name, line)[1:]
            changed = [(old, new) for old, new in zip(expected, record["argv"], strict=True) if old != new]
            equal(len(changed), 1, line)
            equal(changed[0][1].rpartition("/dev/fd/")[0], changed[0][0].partition("/")[0])
            no_canary(visible_to_others(process.pid), vm.api_key)
            # It replaced vmcred.
            equal(stop(process), -signal.SIGTERM)


def test_supervised(directory):
    """with --supervise vmcred stays and has neither the initrd nor a credential; SIGTERM ends the hypervisor at once"""
    vm = Launch(directory)
    process = vm.launched("crosvm", LINES["crosvm"][0], options=("--supervise", "-v"))
    child = children(process.pid)[0]
    wait_for("vmcred", lambda: "the VM is booted" in vm.errors())
    links = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
    equal([link for link in links if "memfd" in link], [])
    links = [os.readlink(f"/proc/{child}/fd/{fd}") for fd in os.listdir(f"/proc/{child}/fd")]
    equal(len([link for link in links if "memfd" in link]), 1)
    equal(stop(process), 128 + signal.SIGTERM)


def test_initrd_cannot_be_changed(directory):
    """the memory file is sealed: nobody can change it while the VM runs"""
    vm = Launch(directory)
    process = vm.launched("lkvm", LINES["lkvm"][0])
    for fd in os.listdir(f"/proc/{process.pid}/fd"):
        path = f"/proc/{process.pid}/fd/{fd}"
        if not os.readlink(path).startswith("/memfd:"):
            continue
        equal(os.stat(path).st_mode & 0o777, 0o400)
        try:
            with open(path, "r+b", buffering=0) as file:
                file.write(b"x")
        except PermissionError:
            break
        raise AssertionError("it was changed")
    else:
        raise AssertionError("the memory file is missing")
    stop(process)


def test_other_subcommands_are_passed_on(directory):
    """a subcommand that starts no VM runs as it is, also through a link with the hypervisor's name"""
    vm = Launch(directory)
    equal(vm.run("crosvm", "stop", "socket").code, 5)
    equal(vm.recorded(), {"argv": ["stop", "socket"], "initrd": None})
    links = directory / "links"
    links.mkdir()
    environment = {"PATH": f"{links}:{vm.bin}:{os.environ['PATH']}", "VMCRED_VM": "test-vm",
                   "VMCRED_CONFIG": str(directory / "vmcred.yaml")}
    for name in ("crosvm", "lkvm", "alioth"):
        (links / name).symlink_to(harness.VMCRED_RUN)
        equal(harness.run(links / name, "stop", "socket", env=environment), harness.Result(5, "", ""))


def test_links_start_vms(directory):
    """links with the hypervisors' names deliver credentials to an unchanged runner script"""
    vm = Launch(directory)
    links = directory / "links"
    links.mkdir()
    for name, lines in LINES.items():
        (links / name).symlink_to(harness.VMCRED_RUN)
        (directory / "record").unlink(missing_ok=True)
        words = vm.words(name, lines[0])
        process = stopped_at_exit(subprocess.Popen(
            [links / name, *words[1:]], cwd=directory, env=harness.CLEAN_ENVIRONMENT | {
                "PATH": f"{links}:{vm.bin}:{os.environ['PATH']}", "VMCRED_VM": "test-vm",
                "VMCRED_CONFIG": str(directory / "vmcred.yaml"), "CREDENTIALS_DIRECTORY": str(vm.credentials)}))
        wait_for("the stand-in", (directory / "record").exists)
        found = entries(bytes.fromhex(vm.recorded()["initrd"]), len(INITRD))
        equal(found[".extra/system_credentials/HOST-API-KEY.cred"][1], vm.api_key.encode())
        stop(process)


def test_channel_key_is_delivered(directory):
    """the guest gets the channel key of its unit in the initrd, also as its only credential; without an initrd nothing starts"""
    vm = Launch(directory, "vms: {test-vm: {}}\n")
    key = b"vmcred-channel-1 microvm@test-vm.service " + b"0" * 32 + b" " + b"1" * 64 + b"\n"
    (vm.credentials / "vmcred.channel").write_bytes(key)
    for name, lines in LINES.items():
        process = vm.launched(name, lines[0])
        data = bytes.fromhex(vm.recorded()["initrd"])
        equal(entries(data, len(INITRD))[".extra/system_credentials/vmcred.channel.cred"][1], key, name)
        no_canary(visible_to_others(process.pid), key.split()[3].decode())
        stop(process)
        fails(vm.run(name, *(word for word in vm.words(name, lines[0])[1:] if "initr" not in word and word != "-i")), 2, "initrd")


def test_what_cannot_be_delivered_is_refused(directory):
    """without an initrd, with two, with one that the guest does not get, or with a plain string, nothing starts"""
    vm = Launch(directory / "a")
    expect(vm.run("crosvm", "run", "vmlinux"), 2, "",
           "vmcred: preparing to start crosvm: credentials are delivered in the initrd, and the command line has none: add the "
           "option for it\n")
    fails(vm.run("lkvm", "run", "-i", "a", "--initrd=b"), 2, "two initrds")
    fails(vm.run("stratovirt", "-initrd", "missing"), 2, "missing")
    for option in ("--notify", "--expose=argv", "--transport=fw_cfg"):
        fails(vm.run("alioth", "run", "-i", "initrd", options=(option,)), 2, option.partition("=")[0])
    for name, words, option in (
            ("crosvm", ["run", "--restore", "snapshot"], "--restore"), ("crosvm", ["run", "--bios=firmware"], "--bios"),
            ("lkvm", ["run", "-f", "firmware"], "-f"), ("lkvm", ["run", "--firmware=firmware"], "--firmware"),
            ("stratovirt", ["-incoming", "file:snapshot"], "-incoming")):
        initrd = ["-initrd" if name == "stratovirt" else "--initrd", "initrd"]
        fails(vm.run(name, *words, *initrd), 2, f"{option}: ", "credentials")
    expect(vm.run("stratovirt", "-initrd", "initrd", "-incoming", "file:snapshot"), 2, "",
           "vmcred: preparing to start StratoVirt: -incoming: a restored VM keeps the credentials with which it was booted and "
           "accepts no others: deliver credentials to a VM that is booted\n")
    expect(vm.run("lkvm", "run", "-i", "initrd", "-ffirmware"), 2, "",
           "vmcred: preparing to start kvmtool: -f: credentials are delivered in the initrd, which firmware does not load: "
           "boot a kernel\n")
    plain = Launch(directory / "b", "vms: {test-vm: {platformOEMStrings: [A=1]}}\n")
    fails(plain.run(*plain.words("alioth", LINES["alioth"][0])), 2, "platformOEMStrings")
    assert not (vm.directory / "record").exists()


harness.main()
