# SPDX-License-Identifier: Apache-2.0
"""vmcred units and vmcred-generator: the drop-ins that load the credentials of a VM's unit."""
import re
import shutil
import subprocess

import harness
from example import DECLARATION
from harness import equal, expect, fails, need_root, run, vmcred

UNIT = "microvm@m.service"
FILES = """\
[Unit]
Wants=vmcred-activate.service
After=vmcred-activate.service
[Service]
LoadCredential=host-one:/run/secrets/vars/made/one
LoadCredential=host-two:/run/secrets/vars/made/two
SetCredential=host-two:\\x00absent
"""
ENTRY = """\
SetCredential=vmcred.vm:{"vms":{"m":{"credentialFiles":{"HOST-ONE":"host-one","HOST-TWO":{"credential":"host-two","optional":true}},\
"platformOEMStrings":["ENVIRONMENT=test"]}}}
"""
SOCKET = """\
[Unit]
Wants=vmcred.socket
After=vmcred.socket
[Service]
LoadCredential=host-one:/run/vmcred/socket
LoadCredential=host-two:/run/vmcred/socket
"""
MORE = """\
  n:
    loadCredentials: {host-one: made/one}
"""


def made_from(path):
    return f"# Made by `vmcred units` from {path}; changes here are lost.\n"


class Declared:
    def __init__(self, directory, text=DECLARATION):
        self.path = directory / "vmcred.yaml"
        self.path.write_text(text)

    def units(self, *words):
        return vmcred("units", "--config", self.path, *words)

    def printed(self, **dropins):
        return "".join(f"# microvm@{vm}.service.d/50-vmcred.conf\n{made_from(self.path)}{text}" for vm, text in dropins.items())


class Generator:
    """The program as systemd calls it, with the system's declaration."""

    def __init__(self, directory, text):
        need_root()
        self.directory = directory
        (directory / "etc" / "vmcred").mkdir(parents=True)
        (directory / "etc" / "vmcred" / "vmcred.yaml").write_text(text)
        (directory / "vmcred-generator").symlink_to(harness.VMCRED_RUN)

    def run(self):
        """A file in a private /dev replaces the kernel's log: not every container has a /dev/kmsg. systemd removes what
        the generators wrote before it runs them again."""
        shutil.rmtree(self.directory / "normal", ignore_errors=True)
        for name in ("dev/shm", "run", "lib"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "dev/kmsg").write_text("")
        script = ('mount --bind "$1/etc" /etc && mount --bind /dev/shm "$1/dev/shm" && mount --rbind "$1/dev" /dev && '
                  'mount --bind "$1/run" /run && mount --bind "$1/lib" /var/lib && '
                  'exec "$1/vmcred-generator" "$1/normal" "$1/early" "$1/late"')
        return run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", self.directory)

    def declare(self, text):
        (self.directory / "etc/vmcred/vmcred.yaml").write_text(text)

    def logged(self):
        return re.sub(r"\[\d+\]", "[N]", (self.directory / "dev/kmsg").read_text())

    def dropin(self, vm):
        return (self.directory / f"normal/microvm@{vm}.service.d/50-vmcred.conf").read_text()


def test_drop_in_is_printed_or_written(directory):
    """units prints a drop-in with a line for each credential, or writes it to --output"""
    declared = Declared(directory)
    expect(declared.units(), 0, declared.printed(m=FILES + ENTRY), "")
    expect(declared.units("--output", directory / "units"), 0, "", "")
    equal((directory / "units/microvm@m.service.d/50-vmcred.conf").read_text(), made_from(declared.path) + FILES + ENTRY)


def test_drop_in_of_a_removed_vm(directory):
    """units --output removes the drop-ins of VMs that its declaration has no more, and nothing else"""
    declared = Declared(directory)
    output = directory / "units"
    expect(declared.units("--output", output), 0, "", "")
    stale, foreign = output / "microvm@old.service.d", output / "microvm@other.service.d"
    for path, text in ((stale, made_from(declared.path)), (foreign, made_from("/another.yaml"))):
        path.mkdir()
        (path / "50-vmcred.conf").write_text(text + FILES)
    (output / "microvm@used.service.d").mkdir()
    (output / "microvm@used.service.d/50-vmcred.conf").write_text(made_from(declared.path))
    (output / "microvm@used.service.d/mine.conf").write_text("")
    expect(declared.units("--output", output), 0, "", "")
    equal(sorted(str(path.relative_to(output)) for path in output.glob("*/*")),
          ["microvm@m.service.d/50-vmcred.conf", "microvm@other.service.d/50-vmcred.conf", "microvm@used.service.d/mine.conf"])
    assert not stale.exists()


def test_credentials_at_paths(directory):
    """a path is loaded as it is, also with credentialSource: socket, and no unit of vmcred provides it"""
    text = """\
vms:
  n:
    loadCredentials: {one: /run/secrets/a%b@c, two: /run/agenix/two}
    credentialFiles: {TWO: {credential: two, optional: true}}
"""
    lines = """\
[Unit]
[Service]
LoadCredential=one:/run/secrets/a%%b@c
LoadCredential=two:/run/agenix/two
SetCredential=two:\\x00absent
SetCredential=vmcred.vm:{"vms":{"n":{"credentialFiles":{"TWO":{"credential":two,"optional":true}}}}}
"""
    for source in ("files", "socket"):
        declared = Declared(directory, f"{text}credentialSource: {source}\n")
        expect(declared.units(), 0, declared.printed(n=lines), "")
    mixed = Declared(directory, DECLARATION.replace("made/two", "/run/two") + "credentialSource: socket\n")
    equal(expect(mixed.units(), 0).out.splitlines()[2:8],
          [*SOCKET.splitlines()[:5], "LoadCredential=host-two:/run/two"])


def test_systemd_generator_writes_drop_ins(directory):
    """called as a systemd generator, it writes the drop-ins of the system's declaration into the first directory"""
    generator = Generator(directory, DECLARATION)
    expect(generator.run(), 0, "", "")
    equal(generator.dropin("m"), made_from("/etc/vmcred/vmcred.yaml") + FILES + ENTRY)
    equal(sorted(path.name for path in (directory / "normal").iterdir()), ["microvm@m.service.d", "multi-user.target.wants"])
    assert not (directory / "early").exists() and not (directory / "late").exists()
    equal(generator.logged(), "")


def test_systemd_generator_logs_errors_to_the_kernel_log(directory):
    """a generator logs an error in the declaration to the kernel's log, as systemd's generators do, and writes no drop-in"""
    generator = Generator(directory, "credentialSource: file\n")
    message = '/etc/vmcred/vmcred.yaml:1: credentialSource: must be "files" or "socket", not "file"\n'
    expect(generator.run(), 2, "", f"vmcred: {message}")
    equal(generator.logged(), f"<3>vmcred-generator[N]: {message}")
    equal(list((directory / "normal").iterdir()), [])


def broken_at(line, problem):
    return f"/etc/vmcred/vmcred.yaml:{line}: {problem}"


def described(problem):
    return f"[Unit]\nDescription=MicroVM m (last good declaration; {problem})\n"


def test_error_in_the_entry_of_a_vm(directory):
    """an error in the entry of one VM leaves the others alone; that VM's unit keeps its last good drop-in, and says why"""
    generator = Generator(directory, DECLARATION)
    expect(generator.run(), 0, "", "")
    good = generator.dropin("m")
    line = DECLARATION.count("\n") + 1
    problem = broken_at(line, 'vms.m: unknown key "comand": did you mean "command"?')
    # More than once: systemd removes the drop-ins before each run.
    for new in ("n", "o"):
        generator.declare(f"{DECLARATION}    comand: [a]\n{MORE.replace('n:', f'{new}:')}")
        expect(generator.run(), 2, "", f"vmcred: {problem}\n")
        equal(generator.dropin("m"), good + described(problem))
        equal(generator.logged(), f"<3>vmcred-generator[N]: {UNIT} keeps its last good drop-in: {problem}\n")
        assert "LoadCredential=host-one:" in generator.dropin(new)
    assert not (directory / "normal/microvm@n.service.d").exists(), "a drop-in of a removed VM"
    generator.declare(DECLARATION)
    expect(generator.run(), 0, "", "")
    equal(generator.dropin("m"), good)


def test_error_in_the_entry_of_a_new_vm(directory):
    """a VM whose first entry has an error has no drop-in, the others have theirs, and both errors are logged"""
    two = f"{MORE}    unit: n\n  p:\n    loadCredentials: {{host-one: made/none}}\n"
    generator = Generator(directory, DECLARATION + two)
    expect(generator.run(), 2, "", None)
    equal(sorted(path.parent.name for path in directory.glob("normal/*.d/*")), [f"{UNIT}.d"])
    logged = generator.logged().splitlines()
    equal([line.split(": ")[1] for line in logged], ["microvm@n.service has no drop-in", "microvm@p.service has no drop-in"])
    assert 'vms.n.unit: must be the name of a .service unit, not "n"' in logged[0], logged
    assert 'host-one: undeclared file "none"' in logged[1], logged


def test_vms_of_another_machine(directory):
    """a VM of another machine gets no drop-in, and its errors are not reported; without a machine, all VMs keep theirs"""
    other = "  n:\n    machine: n\n"
    generator = Generator(directory, DECLARATION.replace("m: {}", "m: {}\n  n: {}", 1) + other + "    comand: [a]\n")
    (directory / "etc/vmcred/activate.env").write_text("VMCRED_MACHINE=m\n")
    expect(generator.run(), 0, "", "")
    equal([path.parent.name for path in directory.glob("normal/*.d/*")], [f"{UNIT}.d"])
    (directory / "etc/vmcred/activate.env").unlink()
    fails(generator.run(), 2, "keeping the last good drop-ins of all VMs (1)", "2 machines")
    equal([path.parent.name for path in directory.glob("normal/*.d/*")], [f"{UNIT}.d"])
    # A VM of an undeclared machine is not one of another machine.
    (directory / "etc/vmcred/activate.env").write_text("VMCRED_MACHINE=m\n")
    generator.declare(DECLARATION + other)
    fails(generator.run(), 2, "vms.n", '"n"')


def test_error_in_the_name_of_a_unit(directory):
    """a VM whose unit's name has an error keeps the drop-in of its unit, which another VM may take over"""
    unit = "    unit: web.service\n"
    generator = Generator(directory, DECLARATION + unit)
    expect(generator.run(), 0, "", "")
    generator.declare(DECLARATION + "    unit: web\n")
    expect(generator.run(), 2, "", None)
    equal([path.parent.name for path in directory.glob("normal/*.d/*")], ["web.service.d"])
    generator.declare(DECLARATION + "    unit: web\n" + MORE + unit)
    expect(generator.run(), 2, "", None)
    assert '"vms":{"n":' in (directory / "normal/web.service.d/50-vmcred.conf").read_text()


def test_error_outside_the_entries_of_vms(directory):
    """with any other error all VMs keep their last good drop-ins, also at the next boot"""
    generator = Generator(directory, DECLARATION + MORE)
    expect(generator.run(), 0, "", "")
    good = generator.dropin("m")
    generator.declare("vms: [\n")
    result = fails(generator.run(), 2, "/etc/vmcred/vmcred.yaml:", "keeping the last good drop-ins of all VMs (2)")
    equal(generator.logged(), f"<3>vmcred-generator[N]: {result.err[len('vmcred: '):]}")
    problem = result.err.split("(2): ")[1].strip()
    equal(generator.dropin("m"), good + described(problem))
    # vmcred-units.service copies the file; /run is empty after a boot.
    (directory / "lib/vmcred").mkdir()
    (directory / "run/vmcred/units.json").rename(directory / "lib/vmcred/units.json")
    fails(generator.run(), 2, "(2)")
    equal(generator.dropin("m"), good + described(problem))
    (directory / "lib/vmcred/units.json").write_text("{")
    fails(generator.run(), 2, problem)
    equal(list((directory / "normal").iterdir()), [])


def test_credential_source_socket(directory):
    """with credentialSource: socket the generator's lines name the socket, and a VM's own setting wins"""
    generator = Generator(directory, f"credentialSource: socket\n{DECLARATION}{MORE}    credentialSource: files\n")
    expect(generator.run(), 0, "", "")
    equal(generator.dropin("m"), made_from("/etc/vmcred/vmcred.yaml") + SOCKET + ENTRY)
    assert "LoadCredential=host-one:/run/secrets/vars/made/one\n" in generator.dropin("n"), generator.dropin("n")


def test_credential_source_of_a_single_vm(directory):
    """a single VM can load its credentials from the socket"""
    declared = Declared(directory, DECLARATION + "    credentialSource: socket\n" + MORE)
    one = "".join(line + "\n" for line in FILES.splitlines() if "two" not in line)
    expect(declared.units(), 0, declared.printed(
        m=SOCKET + ENTRY.replace("]", '],"credentialSource":socket'),
        n=one + 'SetCredential=vmcred.vm:{"vms":{"n":{}}}\n'), "")


def test_systemd_generator_without_a_declaration(directory):
    """called as a systemd generator without a declaration, it does nothing and succeeds"""
    harness.need_default_paths()
    link = directory / "vmcred-generator"
    link.symlink_to(harness.VMCRED_RUN)
    done = subprocess.run([link, directory / "n", directory / "e", directory / "l"], capture_output=True, check=False)
    equal((done.returncode, done.stdout, done.stderr), (0, b"", b""))
    assert not (directory / "n").exists()


def test_units_socket_names_the_socket(directory):
    """units --socket writes lines that name the socket for all VMs, and rejects names that are too long for systemd"""
    declared = Declared(directory)
    expect(declared.units("--socket", "/run/vmcred/socket"), 0, declared.printed(m=SOCKET + ENTRY), "")
    expect(declared.units("--socket", "/x"), 0, declared.printed(m=SOCKET.replace("/run/vmcred/socket", "/x") + ENTRY), "")
    expect(declared.units("--socket", "x"), 2, "",
           'vmcred: --socket "x" must be an absolute path of letters, digits and /._-: vmcred.socket listens on '
           "/run/vmcred/socket\n")
    name = "h" * (85 - len(UNIT))
    message = (f"systemd cannot request {name} for {UNIT} from a socket: the names have 85 bytes, more than 84: "
               "use shorter names\n")
    declared.path.write_text(DECLARATION.replace("host-one", name))
    expect(declared.units(), 0, None, "")
    expect(declared.units("--socket", "/s"), 2, "", f"vmcred: {message}")
    declared.path.write_text(DECLARATION.replace("host-one", name) + "    credentialSource: socket\n")
    expect(declared.units(), 2, "", f"vmcred: {declared.path}:11: vms.m: {message}")
    declared.path.write_text(DECLARATION.replace("host-one", name[1:]) + "    credentialSource: socket\n")
    expect(declared.units(), 0, None, "")


def test_channel(directory):
    """the unit of a VM with channelCredentials loads its channel key from vmcred serve, whatever its credentialSource"""
    channel = DECLARATION + "    channelCredentials: {api-key: made/one}\n"
    declared = Declared(directory, channel)
    names = "vmcred.socket vmcred-channel.socket vmcred-vsock.socket"
    sockets = f"Wants={names}\nAfter={names}\n"
    key = "LoadCredential=vmcred.channel:/run/vmcred/socket\n"
    activate = "=vmcred-activate.service\n"
    files = FILES.replace(f"Wants{activate}After{activate}", "".join(
        f"{word}={names}\n{word}{activate}" for word in ("Wants", "After")))
    expect(declared.units(), 0, declared.printed(m=files + key + ENTRY), "")
    declared.path.write_text(channel + "    credentialSource: socket\n")
    expect(declared.units(), 0, declared.printed(m=f"[Unit]\n{sockets}{SOCKET[SOCKET.index('[Service]'):]}{key}" + ENTRY.replace(
        '"platformOEMStrings":["ENVIRONMENT=test"]', '"platformOEMStrings":["ENVIRONMENT=test"],"credentialSource":socket')), "")


def test_channel_names_secrets_of_the_store(directory):
    """channelCredentials accepts only secrets of the store and names that systemd accepts; the name of the key is reserved"""
    for entry, names in (("api-key: /run/secrets/x", ("api-key", "GENERATOR/FILE")), ("api-key: made/none", ("made/none"[5:], )),
                         ("a/b: made/one", ("a/b", )), ("vmcred.channel: made/one", ("vmcred.channel", "reserved"))):
        declared = Declared(directory, DECLARATION + f"    channelCredentials: {{{entry}}}\n")
        fails(declared.units(), 2, "vmcred.yaml:", *names)
    unit = f"{'u' * 63}.service"
    declared = Declared(directory, DECLARATION.replace("loadCredentials:", f"unit: {unit}\n    channelCredentials: {{a: made/one}}\n    loadCredentials:"))
    fails(declared.units(), 2, "vmcred.channel", unit, "85 bytes")


def test_unknown_credential_source_is_an_error(directory):
    """an unknown credentialSource is an error with its line"""
    declared = Declared(directory, "credentialSource: file\n")
    expect(declared.units(), 2, "",
           f'vmcred: {declared.path}:1: credentialSource: must be "files" or "socket", not "file"\n')


harness.main()
