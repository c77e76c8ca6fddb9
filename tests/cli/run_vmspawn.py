# SPDX-License-Identifier: Apache-2.0
"""vmcred run with systemd-vmspawn: a stand-in, since Debian 12 has none. It reads credentials as the real one does."""
import json
import os
import tempfile
from pathlib import Path

import harness
from harness import equal, expect, need_root, run
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
    "folder": os.environ.get("TMPDIR"),
    "notify": os.environ.get("NOTIFY_SOCKET"),
    "cmdline": open("/proc/self/cmdline").read(),
}))
sys.exit(5)
"""


class Spawned(Vm):
    def __init__(self, folder):
        super().__init__(folder)
        self.program = self.bin / "systemd-vmspawn"
        self.program.write_text(STAND_IN)
        self.program.chmod(0o755)

    def spawn(self, *words, options=(), version="systemd 258 (258.1-1)", env=None):
        return harness.vmcred(
            "run", "--credentials", self.credentials, *options, "test-vm", "--", "systemd-vmspawn", *words,
            cwd=self.folder, env=self.environment() | {"VERSION_LINE": version} | (env or {}),
        )  # fmt: skip


def test_gets_credentials_descriptors_public_strings(folder):
    """it gets credentials as descriptors and public strings as arguments, in front of its own"""
    vm = Spawned(folder)
    got = json.loads(expect(vm.spawn("-i", "image.raw", "systemd.unit=x"), 5, None, "").out)
    equal(got["words"],
          ["--smbios11=ENVIRONMENT=test", "--smbios11=CLUSTER=example-host", "-i", "image.raw", "systemd.unit=x"])
    equal(got["credentials"], {"HOST-API-KEY": vm.api_key, "HOST-TLS": vm.tls})
    for value in (vm.api_key, vm.tls):
        for form in canary(value):
            assert form not in got["cmdline"].encode()


def test_folder_files_memory_file_system_set_if(folder):
    """the folder for its files is on a memory file system, the one that is set if it is"""
    vm = Spawned(folder)
    places = {"RUNTIME_DIRECTORY": f"{folder}/bin:/elsewhere", "TMPDIR": "/proc"}
    equal(json.loads(vm.spawn(env=places).out)["folder"], f"{folder}/bin")
    equal(json.loads(vm.spawn(env=places | {"TMPDIR": str(folder)}).out)["folder"], str(folder))


def test_version_puts_credentials_onto_qemu_command_line(folder):
    """a version that puts credentials onto QEMU's command line is refused, and taken with --expose=argv"""
    vm = Spawned(folder)
    hint = "take a newer one, start QEMU itself, or accept it with --expose=argv\n"
    for version in ("systemd 257 (257.9-1)", "systemd 255 (255.4)"):
        expect(vm.spawn(version=version), 1, "",
               f"vmcred: preparing to start systemd-vmspawn: version {version.split()[1]} puts credentials onto QEMU's "
               f"command line; 258 is the first one that uses files: {hint}")
    expect(vm.spawn(version="nothing"), 1, "",
           "vmcred: preparing to start systemd-vmspawn: its version is not known, and before 258 it puts credentials "
           f"onto QEMU's command line: {hint}")
    expect(vm.spawn(version="systemd 257 (257)", options=("--expose=argv",)), 5, None,
           "vmcred: warning: --expose=argv: every user of this host can read the OEM strings in the command line of "
           "systemd-vmspawn\n")
    expect(vm.spawn(version="systemd 259~rc1 (259~rc1)"), 5, None, "")


def test_credential_arguments_too_any_form_stops_launch(folder):
    """a credential that its arguments have too, in any form, stops the launch"""
    vm = Spawned(folder)
    for words in (
        ["--load-credential=HOST-TLS:/x"],
        ["--set-credential", "HOST-TLS:x"],
        ["--smbios11=io.systemd.credential:HOST-TLS=x"],
        ["-s", "io.systemd.credential:HOST-TLS=x"],
        ["-sio.systemd.credential:HOST-TLS=x"],
    ):
        expect(vm.spawn(*words), 2, "",
               "vmcred: composing the OEM strings of test-vm: the credential HOST-TLS comes twice, in the VMM's arguments "
               "and in credentialFiles: the guest's systemd would take one and drop the other: rename or remove one\n")
    expect(vm.spawn("--", "--load-credential=HOST-TLS:/x"), 5, None, "")


def test_table_measured_will_all_credentials_base64(folder):
    """the table is measured as it will be: all credentials in Base64"""
    vm = Spawned(folder)
    (vm.credentials / "host-api-key").write_text("x" * 50000)
    result = vm.spawn()
    equal((result.code, result.out), (1, ""))
    assert "the OEM strings need 66" in result.err, result.err
    (vm.credentials / "host-api-key").write_text("x" * 45000)
    expect(vm.spawn(), 5, None, "")


def test_service_manager_own_business_end(folder):
    """the service manager is its own business, and so is its end"""
    vm = Spawned(folder)
    equal(json.loads(vm.spawn(env={"NOTIFY_SOCKET": "/nowhere"}).out)["notify"], "/nowhere")
    for option in ("--supervise", "--notify", "--stop-timeout=3"):
        expect(vm.spawn(options=(option,)), 2, "",
               "vmcred: preparing to start systemd-vmspawn: it supervises its VM itself: leave --supervise, --notify and "
               "--stop-timeout out\n")


def test_without_memory_file_system_nothing_started(_folder):
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
               "vmcred: starting systemd-vmspawn: no folder is on a memory file system, and it writes credentials to "
               "files for QEMU: set TMPDIR to one that is\n")


harness.main()
