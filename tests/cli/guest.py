# SPDX-License-Identifier: Apache-2.0
"""vmcred-guest in a root directory that looks like a guest's: its /sys/firmware, its initrd's /.extra, its users."""
import base64
import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess

import harness
from guests import HELLO, KEY, RECORDED, REPORT, frame, proven
from harness import SOURCE, VERSION, VMCRED, equal, expect, fails, need_root, run
from serving import listening

PROGRAM = VMCRED + "-guest"
SYSTEM = "/run/credentials/@system"
CANARY = "canary-5d0f2c7b91"
MEBIBYTE = 1 << 20

# The mounts end with the shell. The host has what the script needs.
ENTER = """
cd "$1" && mount --rbind . . && cd "$1"
for name in dev proc usr; do mount --rbind /$name $name; done
mount -t tmpfs -o mode=755 run run
exec chroot . sh -c "$2"
"""
LIST = f"cd {SYSTEM} && for name in $(ls -A); do printf '%s %s ' $name $(stat -c %a:%U $name) && base64 -w 0 $name && echo; done"


def text(name, value):
    return f"io.systemd.credential:{name}={value}"


def binary(name, value):
    return f"io.systemd.credential.binary:{name}={base64.b64encode(value).decode()}"


def structure(kind, strings, formatted=b""):
    header = struct.pack("<BBH", kind, 4 + len(formatted), kind)
    return header + formatted + (b"".join(string + b"\0" for string in strings) or b"\0") + b"\0"


def table(*structures):
    """A table with a structure of type 11 for each list of strings, between others, of which one has a credential in vain."""
    oem = (structure(11, [string.encode() for string in strings], bytes([len(strings)])) for strings in structures)
    return structure(1, [text("NOT-OEM", "1").encode()], b"\1") + b"".join(oem) + structure(127, [])


def denied(command):
    """Prints something if the command succeeds. `sh -e` does not check `! command`."""
    return f"{{ {command} 2>/dev/null && echo not denied; }} || :"


class Guest:
    def __init__(self, directory):
        need_root()
        self.root = directory / "root"
        for name in ("dev", "etc", "proc", "run", "usr"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.root / name).symlink_to(f"usr/{name}")
        shutil.copy(PROGRAM, self.root / "vmcred-guest")
        (self.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:4711:4712:App:/srv/app:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\napp:x:4712:\naudio:x:4713:other,app\nvideo:x:4714:other\n")

    def write(self, path, content):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def smbios(self, *structures):
        self.write("sys/firmware/dmi/tables/DMI", table(*structures))

    def fw_cfg(self, name, value):
        """As the kernel shows it: a link to the entry's directory."""
        self.write(f"sys/firmware/qemu_fw_cfg/by_key/{name}/raw", value)
        by_name = self.root / "sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials"
        by_name.mkdir(parents=True, exist_ok=True)
        (by_name / name).symlink_to(f"../../../by_key/{name}")

    def initrd(self, file, value):
        self.write(f".extra/system_credentials/{file}", value)

    def command(self, script):
        return ("unshare", "--mount", "--propagation", "private", "sh", "-ec", ENTER, "sh", self.root, script)

    def run(self, script):
        return run(*self.command(script))

    def imported(self, script="true"):
        """The credentials after an import without warnings, and their modes and owners."""
        result = expect(self.run(f"/vmcred-guest import; {script}; {LIST}"), 0, None, "")
        found = [line.split(" ") for line in result.out.splitlines()]
        equal({mode for _name, mode, _value in found} - {"400:root"}, set(), "modes and owners")
        return {name: base64.b64decode(value) for name, _mode, value in found}


def exec_guest(directory):
    guest = Guest(directory)
    guest.smbios([text("HOST-API-KEY", CANARY), text("HOST-JWT-SECRET", "jwt"), text("same", "1")])
    return guest


def test_credentials_of_each_source_arrive_unchanged(directory):
    """import stores the credentials of fw_cfg, of each structure of the SMBIOS table and of the initrd, byte for byte"""
    guest = Guest(directory)
    every_byte = bytes(range(256))
    guest.fw_cfg("FW", every_byte)
    guest.smbios(["ENVIRONMENT=test", text("TEXT", f" {CANARY}=é ")], [binary("BINARY", every_byte), text("EMPTY", "")])
    guest.initrd("INITRD.cred", every_byte * 100)
    guest.initrd("no-credential", "x")
    equal(
        guest.imported(),
        {"FW": every_byte, "TEXT": f" {CANARY}=é ".encode(), "BINARY": every_byte, "EMPTY": b"", "INITRD": every_byte * 100},
    )


def test_directory_is_private_read_only_and_never_swapped(directory):
    """/run/credentials/@system is a memory file system that is never swapped, read-only, and private to root"""
    guest = Guest(directory)
    guest.smbios([text("A", "1")])
    script = f"""/vmcred-guest import; stat -c %a:%U {SYSTEM}; grep {SYSTEM} /proc/self/mountinfo
        {denied(f"touch {SYSTEM}/x")}; {denied(f"setpriv --reuid=4711 --clear-groups --bounding-set=-all cat {SYSTEM}/A")}"""
    mode, mount = expect(guest.run(script), 0, None, "").out.splitlines()
    equal(mode, "700:root")
    options, filesystem = mount.split(" - ")
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split()[5].split(",")), mount
    assert filesystem.startswith("ramfs ") or "noswap" in filesystem, mount


def test_other_users_cannot_block_an_import(directory):
    """the locks of a user of the guest on all that they can open in /run/credentials do not block an import"""
    guest = Guest(directory)
    guest.smbios([text("A", "1")])
    user = "setpriv --reuid=4711 --clear-groups --bounding-set=-all"
    script = f"""mkdir -p /run/credentials; mkfifo /run/end; chmod 666 /run/end; {user} flock /run/credentials cat /run/end &
        while flock --nonblock /run/credentials true; do :; done
        timeout 20 /vmcred-guest import; ls -A /run/credentials; : > /run/end; wait"""
    equal(expect(guest.run(script), 0, None, "").out, "@system\n")


def test_first_credential_of_a_name_wins(directory):
    """the first credential of a name wins: fw_cfg, then the table in its order, then the initrd"""
    guest = Guest(directory)
    guest.fw_cfg("A", "fw_cfg")
    guest.smbios([text("A", "smbios"), text("B", "first"), text("B", "second")], [text("B", "third"), text("C", "smbios")])
    guest.initrd("C.cred", "initrd")
    equal(guest.imported(), {"A": b"fw_cfg", "B": b"first", "C": b"smbios"})


def test_invalid_credentials_are_ignored_with_a_warning(directory):
    """import ignores each credential that is not valid, with a warning that does not show a value, and stores the others"""
    guest = Guest(directory)
    guest.fw_cfg("LARGE", b"x" * (MEBIBYTE + 1))
    guest.smbios([
        f"io.systemd.credential:{CANARY}", text("a/b", CANARY), text("..", CANARY), text("é", CANARY), text("", CANARY),
        f"io.systemd.credential.binary:NOT-BASE64={CANARY}", text("GOOD", "1"),
    ])  # fmt: skip
    guest.initrd("a:b.cred", CANARY)
    os.mkfifo(guest.root / ".extra/system_credentials/FIFO.cred")
    result = guest.run(f"/vmcred-guest import; ls -A {SYSTEM}")
    equal(result.out, "GOOD\n")
    dmi, fw_cfg = "/sys/firmware/dmi/tables/DMI", "/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials"
    initrd = "/.extra/system_credentials"
    equal(sorted(result.err.splitlines()), sorted(f"vmcred: warning: import: {line}" for line in (
        f"{fw_cfg}: ignored: {fw_cfg}/LARGE/raw is larger than 1048576 bytes",
        f"{dmi}: ignored: an OEM string that starts with \"io.systemd.credential\" has no '='",
        f"{dmi}: ignored: the credential name \"a/b\" contains '/'",
        f"{dmi}: ignored: the credential name \"..\" is a directory",
        f"{dmi}: ignored: the credential name \"\\xc3\\xa9\" contains a non-ASCII byte",
        f"{dmi}: ignored: the credential name \"\" is empty",
        f"{dmi}: ignored: systemd in the guest would drop the credential NOT-BASE64: "
        "invalid Base64: the Base64 text has 17 characters, which is not a multiple of 4",
        f"{initrd}: ignored: the credential name \"a:b\" contains ':'",
        f"{initrd}: ignored: opening FIFO.cred: not a regular file",
    )))  # fmt: skip


def test_truncated_table_is_a_warning(directory):
    """a table that ends within a structure is a warning, and the strings before are imported"""
    guest = Guest(directory)
    guest.write("sys/firmware/dmi/tables/DMI", table([text("A", "1")])[:-6] + structure(11, [text("B", "2").encode()], b"\1")[:-1])
    result = expect(guest.run(f"/vmcred-guest import; ls {SYSTEM}"), 0, "A\n")
    equal((result.err.count("\n"), "unterminated strings" in result.err), (1, True), result.err)


def test_values_are_limited_to_one_mebibyte_together(directory):
    """values beyond 1 MiB in all are ignored with a warning that names the credential"""
    guest = Guest(directory)
    guest.fw_cfg("A", b"x" * MEBIBYTE)
    guest.smbios([text("B", "1"), text("EMPTY", "")])
    result = expect(guest.run(f"/vmcred-guest import; ls {SYSTEM}"), 0, "A\nEMPTY\n")
    equal((result.err.count("\n"), ": ignored: B: all credentials together have 1048577 bytes" in result.err), (1, True), result.err)


def test_second_import_adds_what_is_new(directory):
    """a second import keeps the stored credentials, adds new ones, and removes what a killed import left"""
    guest = Guest(directory)
    guest.smbios([text("A", "1")])
    guest.write("new", table([text("A", "2"), text("B", "3")]))
    again = f"""cp /new /sys/firmware/dmi/tables/DMI; mount -o remount,bind,rw {SYSTEM}; printf half >{SYSTEM}/new:
        mount -o remount,bind,ro {SYSTEM}; /vmcred-guest import; {denied(f"touch {SYSTEM}/x")} >&2"""
    equal(guest.imported(again), {"A": b"1", "B": b"3"})


def test_imports_at_once_share_one_directory(directory):
    """imports that run at the same time all succeed and mount one file system"""
    guest = Guest(directory)
    guest.smbios([text(f"C{number}", "x" * 1000) for number in range(40)])
    script = f"""for i in $(seq 20); do /vmcred-guest import || echo failed & done; wait
        grep -c {SYSTEM} /proc/self/mountinfo; ls {SYSTEM} | wc -l; {denied(f"touch {SYSTEM}/x")}"""
    expect(guest.run(script), 0, "1\n40\n", "")


def test_credentials_of_the_initrd_are_passed_on(directory):
    """import --initrd stores only the initrd's credentials, in the private directory that systemd takes over and removes"""
    guest = Guest(directory)
    guest.smbios([text("SMBIOS", "1")])
    guest.initrd("A.cred", CANARY)
    script = """for i in 1 2; do /vmcred-guest import --initrd; done; cd /run/credentials; stat -c "%n %a:%U" * @initrd/*
        cat @initrd/A; echo; rm -r @initrd; rm /.extra/*/*; /vmcred-guest import --initrd; ls"""
    expect(
        guest.run(script), 0, f"@initrd 700:root\n@initrd/A 400:root\n{CANARY}\n",
        "vmcred: warning: import: no credentials in /.extra/system_credentials\n",
    )  # fmt: skip


def reported(guest, payload):
    """Runs verify in a guest with a key in its initrd, whose host expects a report with the key's proof. Returns stderr."""
    key = f"vmcred-channel-1 microvm@m.service {'12' * 16} {'34' * 32}\n".encode()
    guest.initrd(f"{KEY}.cred", key)
    (guest.root / "host").unlink(missing_ok=True)
    with contextlib.closing(listening(f"{guest.root}/host")) as listener, contextlib.ExitStack() as stack:
        process = subprocess.Popen(guest.command("exec /vmcred-guest verify --host /host"), stderr=subprocess.PIPE, text=True)
        stack.callback(process.kill)
        connection, _ = listener.accept()
        connection.settimeout(60)
        with connection:
            connection.sendall(frame(HELLO, b"vmcred\1" + bytes(16)))
            size, kind = struct.unpack(">IB", connection.recv(5, socket.MSG_WAITALL))
            expected = proven(key.rstrip(), bytes(16), frame(REPORT, payload))
            equal(struct.pack(">IB", size, kind) + connection.recv(len(expected) - 5, socket.MSG_WAITALL), expected)
            connection.sendall(frame(RECORDED))
        return process.communicate(timeout=60)[1]


def test_key_in_the_initrd(directory):
    """a guest whose root is its initrd proves to its host the channel key in it"""
    assert "the host sent no manifest" in reported(Guest(directory), b"\3\x0fvmcred.manifest")


def test_credentials_in_the_initrd_are_verified(directory):
    """in a guest whose root is its initrd, verify compares the credentials there with the manifest there"""
    guest = Guest(directory)
    key_is_unlisted = bytes([4, len(KEY)]) + KEY.encode()
    guest.initrd("vmcred.manifest.cred", re.search(r"^vmcred-manifest-1 \S+\napi-key .*\n", (SOURCE / "docs/protocol.md").read_text(), re.M)[0])
    guest.initrd("api-key", "not a credential")
    for value, findings in (("hunter2", b""), ("hunter", b"\1\x07api-key"), ("hunter3", b"\2\x07api-key")):
        guest.initrd("api-key.cred", value)
        assert ("all 1 credentials are whole" in reported(guest, findings + key_is_unlisted)) == (not findings)


def test_guest_without_credentials_is_a_warning(directory):
    """without credentials, import warns, creates nothing and succeeds"""
    guest = Guest(directory)
    guest.smbios(["ENVIRONMENT=test"])
    expect(
        guest.run("/vmcred-guest import; ls -A /run"), 0, "",
        "vmcred: warning: import: no credentials in /sys/firmware/dmi/tables/DMI, "
        "/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials and /.extra/system_credentials: is /sys mounted, and "
        "the module qemu_fw_cfg loaded if this guest has no SMBIOS table?\n",
    )  # fmt: skip


def test_directory_that_is_not_in_memory_is_refused(directory):
    """import refuses a directory that is a mount point of another kind of file system"""
    guest = Guest(directory)
    guest.smbios([text("A", CANARY)])
    script = f"mkdir -p {SYSTEM}; mount -t proc proc {SYSTEM}; /vmcred-guest import"
    fails(guest.run(script), 1, "import: /run/credentials/@system is not on a memory file system")


def test_program_sees_its_credentials_only(directory):
    """a program of exec finds the named credentials in $CREDENTIALS_DIRECTORY, and nothing else below /run/credentials"""
    guest = exec_guest(directory)
    script = f"""/vmcred-guest import; /vmcred-guest exec api-key=HOST-API-KEY same -- sh -ec '
        cd $CREDENTIALS_DIRECTORY; stat -c "%n %a:%U" /run/credentials * .; cat api-key same; echo
        find /run/credentials | sort; {denied("touch x")}; printf "<%s>" "$@"' sh -- --user 'a b'
        echo; ls /run/credentials"""
    expect(
        guest.run(script), 0,
        "/run/credentials 500:root\napi-key 400:root\nsame 400:root\n. 500:root\n"
        f"{CANARY}1\n/run/credentials\n/run/credentials/api-key\n/run/credentials/same\n<--><--user><a b>\n@system\n", "",
    )  # fmt: skip


def test_mounts_of_the_guest_reach_programs(directory):
    """what the guest mounts later appears to a program of exec, and the program's mounts do not appear to the guest"""
    guest = exec_guest(directory)
    script = """mount --make-rshared /; mkdir /mnt; /vmcred-guest import
        /vmcred-guest exec same -- sh -c 'touch /run/started; for _ in $(seq 300); do [ ! -e /mnt/x ] || break; sleep 0.1; done; ls /mnt /run/credentials' &
        for _ in $(seq 300); do [ ! -e /run/started ] || break; sleep 0.1; done
        ls /run/credentials; mount -t tmpfs tmpfs /mnt; touch /mnt/x; wait"""
    expect(guest.run(script), 0, "@system\n/mnt:\nx\n\n/run/credentials:\nsame\n", "")


def test_program_runs_as_its_user(directory):
    """with --user, the program runs as this user with the user's groups and environment, and owns its credentials"""
    guest = exec_guest(directory)
    script = f"""/vmcred-guest import; /vmcred-guest exec --user app api-key=HOST-API-KEY -- sh -ec '
        id -ru; id -rg; id -G; grep CapEff /proc/self/status; cat $CREDENTIALS_DIRECTORY/api-key; echo
        stat -c "%a:%u:%g" $CREDENTIALS_DIRECTORY $CREDENTIALS_DIRECTORY/*; echo $HOME $USER $LOGNAME; {denied("touch $CREDENTIALS_DIRECTORY/x")}'"""
    out = expect(guest.run(script), 0, None, "").out.splitlines()
    equal(
        out,
        ["4711", "4712", "4712 4713", "CapEff:\t0000000000000000", CANARY, "500:4711:4712", "400:4711:4712", "/srv/app app app"],
    )  # fmt: skip


def test_other_users_cannot_read_a_programs_credentials(directory):
    """another user can read neither the credentials of a program of exec nor those of the guest"""
    guest = exec_guest(directory)
    script = f"""/vmcred-guest import
        /vmcred-guest exec --user app api-key=HOST-API-KEY -- sh -c 'echo $$; exec sleep 60' >/run/pid &
        for _ in $(seq 300); do [ ! -s /run/pid ] || break; sleep 0.1; done; pid=$(cat /run/pid)
        cat /proc/$pid/root/run/credentials/api-key; echo
        other="setpriv --reuid=4800 --regid=4800 --clear-groups --bounding-set=-all"
        {denied("$other cat /proc/$pid/root/run/credentials/api-key")}; {denied("$other ls /proc/$pid/root/run")}
        {denied(f"$other cat {SYSTEM}/HOST-API-KEY")}; kill $pid"""
    expect(guest.run(script), 0, f"{CANARY}\n", "")


def test_missing_credential_is_an_error(directory):
    """exec starts nothing if a credential does not exist"""
    guest = exec_guest(directory)
    result = guest.run("/vmcred-guest import; /vmcred-guest exec HOST-API-KEY=api-key -- echo started")
    expect(
        result, 3, "",
        "vmcred: exec: the guest does not have the credential api-key: `ls /run/credentials/@system` lists those of the guest; the "
        "program's name of a credential comes first: NAME=CREDENTIAL\n",
    )  # fmt: skip


def test_exec_reports_what_is_missing(directory):
    """exec names a missing import, user or program, and a name that a credential cannot have"""
    guest = exec_guest(directory)
    fails(guest.run("/vmcred-guest exec a=A -- true"), 3, SYSTEM, "vmcred-guest import")
    for words, code, mention in (
        ("--user nobody same -- true", 3, '"nobody"'),
        ("same -- /no/program", 3, "/no/program"),
        ("same -- /etc", 1, "/etc"),
        ("../x=same -- true", 2, '"../x"'),
        ("same=../@system/same -- true", 2, '"../@system/same"'),
        ("same same -- true", 1, "same"),
        ("same true", 2, '"--"'),
        ("same --", 2, '"--"'),
    ):
        fails(guest.run(f"/vmcred-guest import; /vmcred-guest exec {words}"), code, "exec: ", mention)


def test_unprivileged_users_are_refused(directory):
    """import and exec fail for a user without privileges, and show no value"""
    guest = exec_guest(directory)
    other = "setpriv --reuid=4711 --clear-groups --bounding-set=-all /vmcred-guest"
    result = guest.run(f"/vmcred-guest import; {other} exec same -- true")
    fails(result, 1, SYSTEM, "Permission denied")
    (guest.root / "sys/firmware/dmi/tables/DMI").chmod(0o400)
    result = expect(guest.run(f"{other} import"), 0, "")
    assert "/sys/firmware/dmi/tables/DMI: Permission denied" in result.err, result.err


def test_wrong_arguments_are_usage_errors(_directory):
    """wrong arguments are usage errors that name the argument"""
    for words, mention in (
        ([], "no command"), (["imp"], "imp"), (["import", "x"], "x"), (["import", "--user", "app"], "--user:"), (["import", "--user=app"], "--user=app"), (["exec", "--initrd"], "--initrd"), (["--no"], "--no"),
        (["exec", "--user"], "--user"), (["exec", "-x", "a", "--", "true"], "-x"),
    ):  # fmt: skip
        fails(run(PROGRAM, *words), 2, mention, "`vmcred-guest --help`")


def test_help_and_version_are_printed(_directory):
    """--help and --version print to stdout"""
    assert expect(run(PROGRAM, "--help"), 0, None, "").out.startswith("Usage: vmcred-guest import [--initrd]\n")
    expect(run(PROGRAM, "exec", "--help"), 0, None, "")
    expect(run(PROGRAM, "--version"), 0, f"vmcred-guest {VERSION}\n", "")


harness.main()
