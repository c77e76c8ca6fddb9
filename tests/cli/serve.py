# SPDX-License-Identifier: Apache-2.0
"""vmcred serve: the credentials of each unit, and the refusal of other requests. Connects as systemd does."""
import os
import re
import resource
import signal
import socket
import subprocess
import time

import harness
from example import AS_NOBODY, DECLARATION, Example
from harness import CLEAN_ENVIRONMENT, VMCRED, equal, expect, need_default_paths, run, test, vmcred
from serving import LARGE, UNIT, inheriting, listening, read, refused, serving, value, with_large

NOT_LOADED = "not in loadCredentials of the VM m"


def gave(credential, unit=UNIT):
    return f"vmcred: gave {credential} to {unit} (process N)"


def warned(verb, credential, reason, unit=UNIT):
    return f"vmcred: warning: {verb} {credential} {'to' if verb == 'refused' else 'for'} {unit} (process N): {reason}"


def test_unit_gets_its_credentials(directory):
    """a unit gets each credential of its VM, and the log names it without its value"""
    example = Example(directory)
    with serving(example) as server:
        for name in ("one", "two"):
            equal(server.get(UNIT, f"host-{name}"), value(example, name))
        equal(server.stop(), (0, [gave("host-one"), gave("host-two")]))


def test_journal_lines_have_priorities(directory):
    """for the journal each line starts with its priority"""
    with serving(Example(directory), journal=True) as server:
        server.get(UNIT, "host-one")
        server.get(UNIT, "x")
        equal(server.stop(), (0, [f"<6>gave host-one to {UNIT} (process N)", f"<4>refused x to {UNIT} (process N): {NOT_LOADED}"]))


KEEPING = "vmcred: warning: keeping the version read before: "


def define_refusal(sentence, words, log):
    @test(sentence)
    def test_refusal(directory):
        example = Example(directory)
        with serving(example) as server:
            refused(server.get(*words))
            equal(server.get(UNIT, "host-two"), value(example, "two"), "the next request's answer")
            equal(server.stop(), (0, [log.replace("CONFIG", str(example.config)), gave("host-two")]))


NO_VM = "no VM in CONFIG has this unit: a VM's unit is microvm@VM.service, or the value of `unit`"
define_refusal(
    "a unit of no VM is refused", ("sshd.service", "host-one"), warned("refused", "host-one", NO_VM, "sshd.service"))
define_refusal(
    "a unit whose name starts like a VM's is refused", ("microvm@m2.service", "host-one"),
    warned("refused", "host-one", NO_VM, "microvm@m2.service"))
define_refusal(
    "the name of a secret instead of its credential is refused", (UNIT, "one"), warned("refused", "one", NOT_LOADED))
define_refusal(
    "the beginning of a credential's name is refused", (UNIT, "host-on"), warned("refused", "host-on", NOT_LOADED))
define_refusal(
    "a name with a newline is refused and not logged", (UNIT, "x\n<3>gave all"),
    "vmcred: warning: refused process N: the peer's address is not one of systemd's: the socket is for LoadCredential= of "
    "units")


def test_unnamed_peer_is_refused(directory):
    """a peer without an address is refused"""
    with serving(Example(directory)) as server:
        asking = socket.socket(socket.AF_UNIX)
        asking.connect(server.path)
        refused(read(asking))


def test_truncated_credential_name(directory):
    """a credential whose name is truncated in the address is given only if the rest is unambiguous"""
    names = [letter * 100 for letter in "abb"]
    names[2] = names[2][:-1] + "c"
    loads = "".join(f"      {name}: made/{file}\n" for name, file in zip(names, ("one", "two", "two")))
    example = Example(directory, re.sub(r"      host-one: (.|\n)*", loads, DECLARATION))
    with serving(example) as server:
        equal(server.get(UNIT, names[0]), value(example, "one"))
        refused(server.get(UNIT, names[1]))
        refused(server.get(UNIT, "d" * 100))
        cut = 107 - len(f"/unit/{UNIT}/") - 16
        equal(
            server.stop(),
            (0, [gave(names[0]),
                 warned("refused", f"{'b' * cut}...", "2 credentials of the VM m start with this truncated name: use shorter names "
                        "for the credentials or the unit"),
                 warned("refused", f"{'d' * cut}...", NOT_LOADED)]))


def test_truncated_unit_name(directory):
    """a unit whose name does not fit into the address is refused"""
    unit = f"{'u' * 100}.service"
    example = Example(directory, DECLARATION.replace("  m:\n    load", f"  m:\n    unit: {unit}\n    load"))
    with serving(example) as server:
        refused(server.get(unit, "host-one"))
        equal(server.stop(), (0, ["vmcred: warning: refused process N: the unit's name is too long for the address of systemd's "
                                  "socket: use a unit with a shorter name"]))


def test_user_other_than_root_gets_no_answer(directory):
    """a user other than root gets no answer, even if the socket's mode permits the connection"""
    example = Example(directory)
    directory.chmod(0o755)
    with serving(example) as server:
        server.directory.chmod(0o755)
        os.chmod(server.path, 0o666)
        script = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); "
            f"s.bind('\\0' + '7f/unit/{UNIT}/host-one'); s.connect(sys.argv[1]); print(len(s.recv(1 << 20)))"
        )
        expect(run(*AS_NOBODY, "python3", "-c", script, server.path), 0, "0\n", "")
        equal(server.stop(), (0, ["vmcred: warning: turned away process N: user 65534 is not root"]))


def test_thousand_simultaneous_requests(directory):
    """a thousand simultaneous requests all get their credentials"""
    example = Example(directory)
    values = [value(example, "one"), value(example, "two")]
    with serving(example) as server:
        server.process.send_signal(signal.SIGSTOP)
        asking = [server.ask(UNIT, ("host-one", "host-two")[i % 2]) for i in range(1000)]
        server.process.send_signal(signal.SIGCONT)
        for i, connection in enumerate(asking):
            equal(read(connection), values[i % 2], f"number {i}")
        code, lines = server.stop()
        equal((code, len(lines), len(set(lines))), (0, 1000, 2))


def test_refused_peers_that_do_not_read(directory):
    """hundreds of refused peers that do not read do not delay others"""
    example = Example(directory)
    with serving(example) as server:
        asking = [server.ask(UNIT, "nothing") for _ in range(400)]
        equal(server.get(UNIT, "host-one"), value(example, "one"))
        for connection in asking:
            refused(read(connection))


def test_paused_reader(directory):
    """a reader that pauses does not delay others, and gets the rest when it continues"""
    example = with_large(directory)
    with serving(example) as server:
        slow = server.ask(UNIT, "host-one")
        first = slow.recv(10)
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        equal(first + read(slow), LARGE)


def test_reader_that_hangs_up(directory):
    """a reader that hangs up midway is logged, and the next one is served"""
    example = with_large(directory)
    with serving(example) as server:
        with server.ask(UNIT, "host-one") as asking:
            asking.recv(10)
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        code, lines = server.stop()
        equal((code, sorted(lines)), (0, [
            gave("host-two"), warned("did not finish", "host-one", "the peer closed the connection too early")]))


def test_sigterm_completes_started_answers(directory):
    """after SIGTERM a started answer is completed"""
    with serving(with_large(directory)) as server:
        slow = server.ask(UNIT, "host-one")
        first = slow.recv(10)
        server.process.send_signal(signal.SIGTERM)
        equal(first + read(slow), LARGE)
        equal(server.ended(), (0, [gave("host-one")]))


def test_sigterm_completes_started_refusals(directory):
    """after SIGTERM a started refusal is completed"""
    with serving(Example(directory)) as server:
        slow = server.ask(UNIT, "nothing")
        first = slow.recv(10)
        server.process.send_signal(signal.SIGTERM)
        refused(first + read(slow))
        equal(server.ended()[0], 0)


def test_empty_secret(directory):
    """an empty secret is an empty credential"""
    example = Example(directory)
    expect(vmcred("set", "--config", example.config, "m", "made/one", "--allow-empty"))
    with serving(example) as server:
        equal(server.get(UNIT, "host-one"), b"")


def define_store_fault(sentence, damage):
    @test(sentence)
    def test_store_fault(directory):
        example = Example(directory)
        with serving(example) as server:
            damage(example)
            refused(server.get(UNIT, "host-one"))
            equal(server.get(UNIT, "host-two"), value(example, "two"))
            code, lines = server.stop()
            equal((code, lines[1:]), (0, [gave("host-two")]))
            assert lines[0].startswith(warned("refused", "host-one", "")), lines
            assert "vars/per-machine/m/made/one/secret" in lines[0], lines


define_store_fault("a secret missing in the store is refused, and the others are given",
                   lambda example: example.document("one").unlink())
define_store_fault(
    "a changed document is refused, and the others are given",
    lambda example: example.document("one").write_text(
        example.document("one").read_text().replace('"lastmodified": "2', '"lastmodified": "1')))


def changed(text):
    return text.replace("      host-one: made/one\n", "").replace("      HOST-ONE: host-one\n", "")


def test_removed_credential_is_refused(directory):
    """a credential removed from the declaration is refused at the next request"""
    example = Example(directory)
    with serving(example) as server:
        equal(server.get(UNIT, "host-one"), value(example, "one"))
        example.config.write_text(changed(DECLARATION))
        refused(server.get(UNIT, "host-one"))
        equal(server.stop()[1][1], f"vmcred: read {example.config}")


def test_invalid_declaration_keeps_the_last_one(directory):
    """an invalid declaration is reported, and the last valid one is used"""
    example = Example(directory)
    with serving(example) as server:
        before = value(example, "one")
        server.get(UNIT, "host-two")
        example.config.write_text("machines: [")
        equal(server.get(UNIT, "host-one"), before)
        lines = server.stop()[1]
        assert lines[1].startswith(KEEPING), lines


def test_error_in_the_entry_of_a_vm(directory):
    """with an error in the entry of one VM, the others get their credentials, and that VM those that are still declared"""
    broken = "  n:\n    comand: [x]\n    loadCredentials: {host-one: made/one}\n  o:\n    loadCredentials: {host-one: one}\n" \
             "  p:\n    loadCredentials: {host-two: made/two}\n    credentialFiles: {A/B: host-two}\n"
    example = Example(directory, DECLARATION)
    example.config.write_text(DECLARATION + broken)
    with serving(example) as server:
        for unit in (UNIT, "microvm@n.service"):
            equal(server.get(unit, "host-one"), value(example, "one"))
        for unit in ("microvm@n.service", "microvm@o.service"):
            refused(server.get(unit, "host-two"))
        example.document("two").unlink()
        refused(server.get("microvm@p.service", "host-two"))
        code, lines = server.stop()
        equal((code, len(lines)), (0, 5))
        assert 'vms.n: unknown key "comand"' in lines[2], lines
        assert "vms.o.loadCredentials.host-one: must be GENERATOR/FILE" in lines[3], lines


def test_declaration_is_read_after_a_temporary_failure(directory):
    """a changed declaration that could not be read for a while is used as soon as it can be read"""
    example = Example(directory)
    values = [value(example, "one"), value(example, "two")]
    with serving(example) as server:
        equal(server.get(UNIT, "host-one"), values[0])
        # The connection before this one is closed, and this one stays open.
        waits = server.ask(UNIT, "nothing")
        waits.recv(1)
        example.config.write_text(DECLARATION.replace("host-one: made/one", "host-one: made/two"))
        # Long enough ago that the file counts as settled.
        time.sleep(0.2)
        # Descriptors for the connection and the declaration's directory, but not for the file.
        open_ones = {int(name) for name in os.listdir(f"/proc/{server.process.pid}/fd")}
        free = [number for number in range(100) if number not in open_ones]
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (free[2], limits[1]))
        equal(server.get(UNIT, "host-one"), values[0])
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        equal(server.get(UNIT, "host-one"), values[1])
        waits.close()


def test_secret_not_deployed_on_the_machine(directory):
    """a secret that is not deployed, or belongs to another machine, is refused"""
    example = Example(directory, DECLARATION.replace("  m: {}\n", "  m: {}\n  n: {}\n", 1), generate=False)
    expect(example.generate("m"))
    with serving(example, "--machine", "n") as server:
        refused(server.get(UNIT, "host-one"))
        equal(server.stop(), (0, [warned("refused", "host-one", "made/one is not deployed on the machine n")]))
    example.config.write_text(DECLARATION.replace("two: {mode", "two: {deploy: false, mode"))
    with serving(example) as server:
        refused(server.get(UNIT, "host-two"))
        equal(server.stop(), (0, [warned("refused", "host-two", "made/two is not deployed on the machine m")]))


def other_lines(server):
    """The log without the answers that succeeded. A later request shows when a change was noticed."""
    return [line for line in server.lines() if not line.startswith("vmcred: gave")]


def test_places_of_the_identity_are_listed(directory):
    """without an identity, the log lists the places where one is expected"""
    need_default_paths()
    example = Example(directory)
    words = ["serve", "--config", example.config, "--idle-timeout", "1"]
    with listening(str(directory / "socket")) as listener:
        done = subprocess.run(inheriting(VMCRED, *words), stdin=listener, stderr=subprocess.PIPE, env=CLEAN_ENVIRONMENT, check=True)
    places = "/var/lib/vmcred/identity, /var/lib/sops-nix/key.txt, /etc/ssh/ssh_host_ed25519_key"
    assert f"vmcred: warning: no identity can be read yet: tried {places}\n" in done.stderr.decode(), done.stderr


def test_replaced_identity(directory):
    """a replaced identity is used for the next request, whether written in place or as a new file"""
    example = Example(directory)
    before = example.identity.read_bytes()
    with serving(example) as server:
        one = value(example, "one")
        equal(server.get(UNIT, "host-one"), one)
        # A new inode, as an editor or vmcred itself creates.
        example.identity.unlink()
        expect(vmcred("keygen", "--output", example.identity))
        refused(server.get(UNIT, "host-one"))
        example.identity.write_bytes(before)
        equal(server.get(UNIT, "host-one"), one)
        changes = [line for line in other_lines(server) if "refused" not in line]
        equal(changes, [f"vmcred: read {example.identity}"] * 2)


def define_identity_fault(sentence, damage):
    @test(sentence)
    def test_identity_fault(directory):
        example = Example(directory)
        with serving(example) as server:
            two = value(example, "two")
            equal(server.get(UNIT, "host-two"), two)
            damage(example)
            for _ in range(3):
                equal(server.get(UNIT, "host-two"), two)
            lines = other_lines(server)
            equal(len(lines), 1, f"number of warnings in {lines}")
            assert lines[0].startswith(KEEPING), lines
            assert str(example.identity) in lines[0], lines


define_identity_fault("a missing identity is reported once, and the one read before is used",
                      lambda example: example.identity.unlink())
define_identity_fault("a world-writable identity is reported once, and the one read before is used",
                      lambda example: example.identity.chmod(0o646))


def test_world_readable_identity_is_one_warning(directory):
    """a world-readable identity is used, with one warning"""
    example = Example(directory)
    with serving(example) as server:
        two = value(example, "two")
        equal(server.get(UNIT, "host-two"), two)
        example.identity.chmod(0o644)
        for _ in range(3):
            equal(server.get(UNIT, "host-two"), two)
        equal(len([line for line in other_lines(server) if f"chmod 600 {example.identity}" in line]), 1, "number of warnings")


def test_optional_secret(directory):
    """an optional secret missing in the store is an empty credential with a warning; one that cannot be decrypted is refused"""
    example = Example(directory)
    with serving(example) as server:
        document = example.document("two")
        document.rename(directory / "kept")
        equal(server.get(UNIT, "host-two"), b"")
        (directory / "kept").rename(document)
        example.identity.unlink()
        expect(vmcred("keygen", "--output", example.identity))
        refused(server.get(UNIT, "host-two"))
        code, lines = server.stop()
        equal((code, lines[0]), (0, warned("left out", "host-two", "it is optional and not in the store")))
        assert lines[2].startswith(warned("refused", "host-two", "")), lines


def test_sighup_reads_everything_again(directory):
    """SIGHUP reads the declaration and the identity again"""
    example = Example(directory)
    with serving(example) as server:
        server.get(UNIT, "host-two")
        server.process.send_signal(signal.SIGHUP)
        server.get(UNIT, "host-two")
        equal(sorted(server.stop()[1]), [gave("host-two")] * 2 + [
            f"vmcred: read {example.identity}", f"vmcred: read {example.config}"])


def test_idle_server_exits(directory):
    """without requests it exits with status 0 and no output"""
    example = Example(directory)
    with serving(example, idle="1") as server:
        equal(server.ended(), (0, []))


def define_late(sentence, damage, fix, mention, words=()):
    """The server starts whatever is wrong: if the service failed instead, the unit would have to wait."""
    @test(sentence)
    def test_late(directory):
        example = Example(directory)
        two = value(example, "two")
        kept = {path: path.read_bytes() for path in (example.identity, example.config)}
        damage(example)
        with serving(example, *words) as server:
            for _ in range(2):
                refused(server.get(UNIT, "host-two"))
            lines = server.lines()
            reason = lines[-1].removeprefix(warned("refused", "host-two", ""))
            assert reason != lines[-1] and mention.replace("DIRECTORY", str(directory)) in reason, lines
            reported = [f"vmcred: warning: no credential can be served: {reason}"]
            equal(lines, reported + [lines[-1]] * 2)
            fix(example, kept)
            equal(server.get(UNIT, "host-two"), two, "the answer after the fix")


define_late(
    "without an identity it refuses with the reason until the identity exists",
    lambda example: example.identity.unlink(),
    lambda example, kept: (example.identity.touch(mode=0o600), example.identity.write_bytes(kept[example.identity])),
    "--identity FILE")
define_late(
    "without a declaration it refuses with the reason until the declaration exists",
    lambda example: example.config.unlink(),
    lambda example, kept: example.config.write_bytes(kept[example.config]),
    "DIRECTORY/vmcred.yaml")
define_late(
    "with an invalid declaration it refuses with the reason until the declaration is fixed",
    lambda example: example.config.write_text("machine: {}\n"),
    lambda example, kept: example.config.write_bytes(kept[example.config]),
    "DIRECTORY/vmcred.yaml:1: ")
define_late(
    "for an undeclared machine it refuses with the reason until the machine is declared",
    lambda example: example.config.write_text("machines: {k: {}}\n"),
    lambda example, kept: example.config.write_bytes(kept[example.config]),
    '"m"', words=("--machine", "m"))


def test_credential_at_a_path(directory):
    """a credential that is declared with a path is refused: systemd reads it from there"""
    example = Example(directory, DECLARATION.replace("made/two", "/run/two"))
    with serving(example) as server:
        refused(server.get(UNIT, "host-two"))
        equal(server.lines(), [warned("refused", "host-two", "declared as the file /run/two, not as a secret of the store")])
        equal(server.get(UNIT, "host-one"), value(example, "one"))


def test_vm_of_another_machine(directory):
    """a unit gets the credentials of the VM of this machine, although a VM of another one has the same unit"""
    other = f"  n: {{machine: n, unit: {UNIT}, loadCredentials: {{host-three: made/one}}}}\n"
    declaration = DECLARATION.replace("m: {}", "m: {}\n  n: {}", 1).replace("  m:\n", f"{other}  m:\n    machine: m\n")
    example = Example(directory, declaration.replace("machines: [m]", "machines: [m, n]"), generate=False)
    expect(vmcred("keygen", "--machine", "n", "--output", directory / "n", "--config", example.config))
    expect(example.generate())
    with serving(example, "--machine", "m") as server:
        equal(server.get(UNIT, "host-one"), value(example, "one"))
        refused(server.get(UNIT, "host-three"))


def test_invalid_idle_timeout(directory):
    """an idle timeout that is not a number of seconds is an error"""
    with serving(Example(directory), "--idle-timeout", "-1") as server:
        equal(server.ended(), (2, ['vmcred: --idle-timeout must be 0 to 86400 seconds, not "-1"']))


def test_started_by_hand(directory):
    """started by hand it reports how to start it"""
    example = Example(directory)
    expect(vmcred("serve", "--config", example.config), 2, "",
           "vmcred: expected one socket from systemd: run `systemctl start vmcred.socket`; the first request starts the service\n")


harness.main()
