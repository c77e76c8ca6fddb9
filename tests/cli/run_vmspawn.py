# SPDX-License-Identifier: Apache-2.0
"""vmcred run with a stand-in for systemd-vmspawn, which Debian 12 lacks. It reads credentials as the real one does."""
import json
import os
import tempfile
from pathlib import Path

import harness
from harness import equal, expect, fails, need_root, run
from vm import Vm, canary

STAND_IN = """\
#!/usr/bin/python3 -I
import json, os, sys
if sys.argv[1:] == ["--version"]:
    print(os.environ["VERSION_LINE"] + "\\n+PAM +AUDIT")
    sys.exit()
prefix = "--load-credential="
options = sys.argv[:sys.argv.index("--")] if "--" in sys.argv else sys.argv
loaded = dict(word[len(prefix):].split(":", 1) for word in options if word.startswith(prefix))
print(json.dumps({
    "words": [word for word in sys.argv[1:] if not word.startswith(prefix)],
    "credentials": {name: open(path, "rb").read().decode() for name, path in loaded.items()},
    "directory": os.environ.get("TMPDIR"),
    "notify": os.environ.get("NOTIFY_SOCKET"),
    "cmdline": open("/proc/self/cmdline").read(),
}))
sys.exit(5)
"""


class Spawned(Vm):
    def __init__(self, directory):
        super().__init__(directory)
        self.program = self.bin / "systemd-vmspawn"
        harness.write_program(self.program, STAND_IN)

    def spawn(self, *words, options=(), version="systemd 258 (258.1-1)", env=None):
        return harness.vmcred(
            "run", "--credentials", self.credentials, *options, "test-vm", "--", "systemd-vmspawn", *words,
            cwd=self.directory, env=self.environment() | {"VERSION_LINE": version} | (env or {}),
        )  # fmt: skip


def test_credentials_are_descriptors(directory):
    """it gets credentials as descriptors and public strings as arguments, before its own"""
    vm = Spawned(directory)
    got = json.loads(expect(vm.spawn("-i", "image.raw", "systemd.unit=x"), 5, None, "").out)
    equal(got["words"],
          ["--smbios11=ENVIRONMENT=test", "--smbios11=CLUSTER=example-host", "-i", "image.raw", "systemd.unit=x"])
    equal(got["credentials"], {"HOST-API-KEY": vm.api_key, "HOST-TLS": vm.tls})
    for value in (vm.api_key, vm.tls):
        for form in canary(value):
            assert form not in got["cmdline"].encode()


def test_channel_key_is_delivered(directory):
    """the guest gets the channel key of its unit with its other credentials"""
    vm = Spawned(directory)
    key = "vmcred-channel-1 microvm@test-vm.service " + "0" * 32 + " " + "1" * 64 + "\n"
    (vm.credentials / "vmcred.channel").write_text(key)
    got = json.loads(expect(vm.spawn("-i", "image.raw"), 5, None, "").out)
    equal((got["credentials"]["vmcred.channel"], got["credentials"]["HOST-TLS"]), (key, vm.tls))


def test_files_are_on_a_memory_file_system(directory):
    """the directory for its files is on a memory file system: $TMPDIR if that is, and others cannot replace files there"""
    vm = Spawned(directory)
    places = {"RUNTIME_DIRECTORY": f"{directory}/bin:/elsewhere", "TMPDIR": "/proc"}
    equal(json.loads(vm.spawn(env=places).out)["directory"], f"{directory}/bin")
    equal(json.loads(vm.spawn(env=places | {"TMPDIR": str(directory)}).out)["directory"], str(directory))
    shared = directory / "shared"
    shared.mkdir()
    for mode, taken in ((0o777, directory / "bin"), (0o770, directory / "bin"), (0o1777, shared)):
        shared.chmod(mode)
        equal(json.loads(vm.spawn(env=places | {"TMPDIR": str(shared)}).out)["directory"], str(taken), oct(mode))


def test_old_version_needs_expose_argv(directory):
    """a version that puts credentials on QEMU's command line is refused without --expose=argv"""
    vm = Spawned(directory)
    hint = "upgrade it, start QEMU directly, or accept that with --expose=argv\n"
    for version in ("systemd 257 (257.9-1)", "systemd 255 (255.4)"):
        expect(vm.spawn(version=version), 1, "",
               f"vmcred: preparing to start systemd-vmspawn: version {version.split()[1]} puts credentials on QEMU's "
               f"command line; 258 and later use files: {hint}")
    expect(vm.spawn(version="nothing"), 1, "",
           "vmcred: preparing to start systemd-vmspawn: unknown version; versions before 258 put credentials on "
           f"QEMU's command line: {hint}")
    expect(vm.spawn(version="systemd 257 (257)", options=("--expose=argv",)), 5, None,
           "vmcred: warning: --expose=argv: every user of this host can read the OEM strings in the command line of "
           "systemd-vmspawn\n")
    expect(vm.spawn(version="systemd 259~rc1 (259~rc1)"), 5, None, "")


def test_credential_in_arguments_too_stops_the_launch(directory):
    """a credential that is also in its arguments, in any form, stops the launch"""
    vm = Spawned(directory)
    for words in (
        ["--load-credential=HOST-TLS:/x"],
        ["--set-credential", "HOST-TLS:x"],
        ["--smbios11=io.systemd.credential:HOST-TLS=x"],
        ["-s", "io.systemd.credential:HOST-TLS=x"],
        ["-sio.systemd.credential:HOST-TLS=x"],
        ["--load=HOST-TLS:/x"],
        ["--set-c", "HOST-TLS:x"],
        ["--smb=io.systemd.credential:HOST-TLS=x"],
        ["-qs", "io.systemd.credential:HOST-TLS=x"],
        ["-nqsio.systemd.credential:HOST-TLS=x"],
    ):
        fails(vm.spawn(*words), 2, "HOST-TLS", "arguments", "credentialFiles")
    expect(vm.spawn("--", "--load-credential=HOST-TLS:/x"), 5, None, "")


def test_table_size_is_checked_in_base64(directory):
    """the size of the table is checked with all credentials in Base64"""
    vm = Spawned(directory)
    (vm.credentials / "host-api-key").write_text("x" * 50000)
    result = vm.spawn()
    equal((result.code, result.out), (1, ""))
    assert "the OEM strings need 66" in result.err, result.err
    (vm.credentials / "host-api-key").write_text("x" * 45000)
    expect(vm.spawn(), 5, None, "")


def test_vmspawn_notifies_and_stops_by_itself(directory):
    """it notifies the service manager and stops its VM by itself"""
    vm = Spawned(directory)
    equal(json.loads(vm.spawn(env={"NOTIFY_SOCKET": "/nowhere"}).out)["notify"], "/nowhere")
    for option in ("--supervise", "--notify", "--ready-target=a.target", "--require-delivery", "--stop-timeout=3"):
        expect(vm.spawn(options=(option,)), 2, "",
               "vmcred: preparing to start systemd-vmspawn: it supervises its VM itself: remove --supervise, --notify, "
               "--ready-target, --require-delivery or --stop-timeout\n")


def test_without_a_memory_file_system_nothing_is_started(_directory):
    """without a memory file system nothing is started"""
    need_root()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        vm = Spawned(Path(place))
        hide = 'mount --bind /usr /run && mount --bind /usr /dev/shm && exec "$@"'
        environment = vm.environment() | {
            "VERSION_LINE": "systemd 258 (258)", "TMPDIR": place, "RUNTIME_DIRECTORY": place,
        }  # fmt: skip
        result = run("unshare", "--mount", "sh", "-c", hide, "sh", os.path.abspath(harness.VMCRED), "run", "--credentials",
                     vm.credentials, "test-vm", "--", "systemd-vmspawn", cwd=place, env=environment)
        expect(result, 1, "",
               "vmcred: starting systemd-vmspawn: no directory on a memory file system for QEMU's credential files: set "
               "TMPDIR to one\n")


harness.main()
