# SPDX-License-Identifier: Apache-2.0
"""vmcred serve: who gets what through the socket, asked as systemd asks, and what becomes of those who do not."""
import os
import re
import resource
import signal
import socket
import time

import harness
from example import AS_NOBODY, DECLARATION, Example
from harness import equal, expect, run, test, vmcred
from serving import LARGE, UNIT, read, refused, serving, value, with_large


def test_unit_gets_each_credential_vm_whole_log_says_without(folder):
    """a unit gets each credential of its VM, whole, and the log says so without a value"""
    example = Example(folder)
    with serving(example) as server:
        for name in ("one", "two"):
            equal(server.get(UNIT, f"host-{name}"), value(example, name))
        equal(server.stop(), (0, [f"vmcred: gave host-{name} to {UNIT} (process N)" for name in ("one", "two")]))


def test_journal_each_line_priority_front(folder):
    """for the journal each line has its priority in front"""
    with serving(Example(folder), journal=True) as server:
        server.get(UNIT, "host-one")
        server.get(UNIT, "x")
        equal(
            server.stop(),
            (0, [f"<6>gave host-one to {UNIT} (process N)",
                 f"<4>refused x to {UNIT} (process N): the declaration does not give it to the VM m: "
                 "it has to stand in the VM's loadCredentials"]))


def define_refusal(sentence, words, log):
    @test(sentence)
    def test_case(folder):
        example = Example(folder)
        with serving(example) as server:
            refused(server.get(*words))
            equal(server.get(UNIT, "host-two"), value(example, "two"), "what is asked next")
            equal(server.stop(), (0, [f"vmcred: warning: refused {log.replace('CONFIG', str(example.config))}",
                                      f"vmcred: gave host-two to {UNIT} (process N)"]))


NO_VM = "CONFIG declares no VM that runs in this unit: a VM's unit is microvm@VM.service, or what its `unit` says"
define_refusal(
    "a unit in which no VM runs gets nothing", ("sshd.service", "host-one"),
    f"host-one to sshd.service (process N): {NO_VM}")
define_refusal(
    "a unit whose name only begins like a VM's gets nothing", ("microvm@m2.service", "host-one"),
    f"host-one to microvm@m2.service (process N): {NO_VM}")
define_refusal(
    "a secret's own name is not that of a credential", (UNIT, "one"),
    f"one to {UNIT} (process N): the declaration does not give it to the VM m: "
    "it has to stand in the VM's loadCredentials")
define_refusal(
    "the beginning of a credential's name is not enough", (UNIT, "host-on"),
    f"host-on to {UNIT} (process N): the declaration does not give it to the VM m: "
    "it has to stand in the VM's loadCredentials")
define_refusal(
    "a name that would write a line of its own into the log is not repeated", (UNIT, "x\n<3>gave all"),
    "process N: the peer's address is not one of systemd's: the socket is for LoadCredential= of the VMs' units")


def test_peer_without_name_gets_nothing(folder):
    """a peer without a name gets nothing"""
    with serving(Example(folder)) as server:
        asking = socket.socket(socket.AF_UNIX)
        asking.connect(server.path)
        refused(read(asking))


def test_where_address_no_room_credential_name_given_if_can(folder):
    """where the address has no room for the credential's name, it is given if it can only be one"""
    names = [letter * 100 for letter in "abb"]
    names[2] = names[2][:-1] + "c"
    loads = "".join(f"      {name}: made/{file}\n" for name, file in zip(names, ("one", "two", "two")))
    example = Example(folder, re.sub(r"      host-one: (.|\n)*", loads, DECLARATION))
    with serving(example) as server:
        equal(server.get(UNIT, names[0]), value(example, "one"))
        refused(server.get(UNIT, names[1]))
        refused(server.get(UNIT, "d" * 100))
        cut = 107 - len(f"/unit/{UNIT}/") - 16
        equal(
            server.stop(),
            (0, [f"vmcred: gave {names[0]} to {UNIT} (process N)",
                 f"vmcred: warning: refused {'b' * cut}... to {UNIT} (process N): the name is cut, and 2 credentials of the "
                 "VM m begin like that: give the credentials or the unit shorter names",
                 f"vmcred: warning: refused {'d' * cut}... to {UNIT} (process N): the declaration does not give it to the VM "
                 "m: it has to stand in the VM's loadCredentials"]))


def test_where_address_no_room_unit_name_nothing_given(folder):
    """where the address has no room for the unit's name, nothing is given"""
    unit = f"{'u' * 100}.service"
    example = Example(folder, DECLARATION.replace("  m:\n    load", f"  m:\n    unit: {unit}\n    load"))
    with serving(example) as server:
        refused(server.get(unit, "host-one"))
        equal(server.stop(), (0, ["vmcred: warning: refused process N: the name of the unit is too long: the peer's address ends "
                                  "before it: give the VM a unit with a shorter name"]))


def test_user_not_root_gets_nothing_not_even_where_socket(folder):
    """a user that is not root gets nothing, not even where the socket's mode would let it"""
    example = Example(folder)
    folder.chmod(0o755)
    with serving(example) as server:
        server.folder.chmod(0o755)
        os.chmod(server.path, 0o666)
        script = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); "
            f"s.bind('\\0' + '7f/unit/{UNIT}/host-one'); s.connect(sys.argv[1]); print(len(s.recv(1 << 20)))"
        )
        expect(run(*AS_NOBODY, "python3", "-c", script, server.path), 0, "0\n", "")
        equal(server.stop(), (0, ["vmcred: warning: hung up on process N: the peer is the user 65534: only root may ask"]))


def test_thousand_ask_at_same_moment_all_get_theirs(folder):
    """a thousand that ask at the same moment all get theirs"""
    example = Example(folder)
    values = [value(example, "one"), value(example, "two")]
    with serving(example) as server:
        server.process.send_signal(signal.SIGSTOP)
        asking = [server.ask(UNIT, ("host-one", "host-two")[i % 2]) for i in range(1000)]
        server.process.send_signal(signal.SIGCONT)
        for i, connection in enumerate(asking):
            equal(read(connection), values[i % 2], f"number {i}")
        code, lines = server.stop()
        equal((code, len(lines), len(set(lines))), (0, 1000, 2))


def test_hundreds_refused_do_not_read_keep_nobody_waiting(folder):
    """hundreds that are refused and do not read keep nobody waiting"""
    example = Example(folder)
    with serving(example) as server:
        asking = [server.ask(UNIT, "nothing") for _ in range(400)]
        equal(server.get(UNIT, "host-one"), value(example, "one"))
        for connection in asking:
            refused(read(connection))


def test_reader_stops_middle_keeps_nobody_waiting_gets_rest(folder):
    """a reader that stops in the middle keeps nobody waiting, and gets the rest when it goes on"""
    example = with_large(folder)
    with serving(example) as server:
        slow = server.ask(UNIT, "host-one")
        first = slow.recv(10)
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        equal(first + read(slow), LARGE)


def test_reader_hangs_up_middle_told_log_next_served(folder):
    """a reader that hangs up in the middle is told in the log, and the next one is served"""
    example = with_large(folder)
    with serving(example) as server:
        with server.ask(UNIT, "host-one") as asking:
            asking.recv(10)
        equal(server.get(UNIT, "host-two"), value(example, "two"))
        code, lines = server.stop()
        equal((code, sorted(lines)), (0, [
            f"vmcred: gave host-two to {UNIT} (process N)",
            f"vmcred: warning: giving host-one to {UNIT} (process N): the peer has hung up before the end"]))


def test_told_end_gives_reader_rest_first(folder):
    """told to end, it gives a reader the rest first"""
    with serving(with_large(folder)) as server:
        slow = server.ask(UNIT, "host-one")
        first = slow.recv(10)
        server.process.send_signal(signal.SIGTERM)
        equal(first + read(slow), LARGE)
        equal(server.ended(), (0, [f"vmcred: gave host-one to {UNIT} (process N)"]))


def test_told_end_refuses_whole_whom_begun_refuse(folder):
    """told to end, it refuses whole whom it has begun to refuse"""
    with serving(Example(folder)) as server:
        slow = server.ask(UNIT, "nothing")
        first = slow.recv(10)
        server.process.send_signal(signal.SIGTERM)
        refused(first + read(slow))
        equal(server.ended()[0], 0)


def test_empty_secret_empty_credential(folder):
    """an empty secret is an empty credential"""
    example = Example(folder)
    expect(vmcred("set", "--config", example.config, "m", "made/one", stdin=b""))
    with serving(example) as server:
        equal(server.get(UNIT, "host-one"), b"")


def define_store_fault(sentence, damage, message):
    @test(sentence)
    def test_case_2(folder):
        example = Example(folder)
        with serving(example) as server:
            damage(example)
            refused(server.get(UNIT, "host-one"))
            equal(server.get(UNIT, "host-two"), value(example, "two"))
            equal(server.stop(), (0, [f"vmcred: warning: refused host-one to {UNIT} (process N): {message}",
                                      f"vmcred: gave host-two to {UNIT} (process N)"]))


PATH = "vars/per-machine/m/made/one/secret"
define_store_fault(
    "a secret that is not in the store is refused, and the others are given",
    lambda example: example.document("one").unlink(),
    f"opening {PATH}: No such file or directory: `vmcred generate m` makes it")
define_store_fault(
    "a document that was changed is refused, and the others are given",
    lambda example: example.document("one").write_text(
        example.document("one").read_text().replace('"lastmodified": "2', '"lastmodified": "1')),
    f"{PATH}: its MAC or its time was changed: the MAC's own tag does not match")


def changed(text):
    return text.replace("      host-one: made/one\n", "").replace("      HOST-ONE: host-one\n", "")


def test_credential_declaration_no_longer_gives_refused_from(folder):
    """a credential that the declaration no longer gives is refused from the next request on"""
    example = Example(folder)
    with serving(example) as server:
        equal(server.get(UNIT, "host-one"), value(example, "one"))
        example.config.write_text(changed(DECLARATION))
        refused(server.get(UNIT, "host-one"))
        equal(server.stop()[1][1], f"vmcred: read {example.config}")


def test_declaration_fault_reported_before_stays_force(folder):
    """a declaration with a fault in it is reported, and the one before stays in force"""
    example = Example(folder)
    with serving(example) as server:
        before = value(example, "one")
        server.get(UNIT, "host-two")
        example.config.write_text("machines: [")
        equal(server.get(UNIT, "host-one"), before)
        lines = server.stop()[1]
        assert lines[1].startswith("vmcred: warning: going on with what was read before: "), lines


def test_changed_declaration_could_not_read_reason_moment(folder):
    """a changed declaration that could not be read for a reason of the moment's is in force once it can be"""
    example = Example(folder)
    values = [value(example, "one"), value(example, "two")]
    with serving(example) as server:
        equal(server.get(UNIT, "host-one"), values[0])
        example.config.write_text(DECLARATION.replace("host-one: made/one", "host-one: made/two"))
        # So long ago that another change would show.
        time.sleep(0.2)
        # Descriptors for the connection and the declaration's folder, and none for the file.
        open_ones = {int(name) for name in os.listdir(f"/proc/{server.process.pid}/fd")}
        free = [number for number in range(100) if number not in open_ones]
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (free[2], limits[1]))
        equal(server.get(UNIT, "host-one"), values[0])
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        equal(server.get(UNIT, "host-one"), values[1])


def test_secret_not_deployed_another_machine_refused(folder):
    """a secret that is not deployed, or is another machine's, is refused"""
    example = Example(folder, DECLARATION.replace("  m: {}\n", "  m: {}\n  n: {}\n", 1), generate=False)
    expect(example.generate("m"))
    with serving(example, "--machine", "n") as server:
        refused(server.get(UNIT, "host-one"))
        equal(server.stop(), (0, [f"vmcred: warning: refused host-one to {UNIT} (process N): the declaration deploys no "
                                  "secret made/one on the machine n"]))
    example.config.write_text(DECLARATION.replace("two: {mode", "two: {deploy: false, mode"))
    with serving(example) as server:
        refused(server.get(UNIT, "host-two"))
        equal(server.stop(), (0, [f"vmcred: warning: refused host-two to {UNIT} (process N): the declaration deploys no "
                                  "secret made/two on the machine m"]))


def given_and_said(server):
    """The log without the line for what is asked next: that tells when a change was seen."""
    return [line for line in server.said() if not line.startswith("vmcred: gave")]


def test_identity_replaced_force_from_next_request_place(folder):
    """an identity that was replaced is in force from the next request on, in place or by another file"""
    example = Example(folder)
    before = example.identity.read_bytes()
    with serving(example) as server:
        one = value(example, "one")
        equal(server.get(UNIT, "host-one"), one)
        # Another inode, as an editor or vmcred itself would make it.
        example.identity.unlink()
        expect(vmcred("keygen", "--output", example.identity))
        refused(server.get(UNIT, "host-one"))
        example.identity.write_bytes(before)
        equal(server.get(UNIT, "host-one"), one)
        changes = [line for line in given_and_said(server) if "refused" not in line]
        equal(changes, [f"vmcred: read {example.identity}"] * 2)


def define_identity_fault(sentence, damage, message):
    @test(sentence)
    def test_case_3(folder):
        example = Example(folder)
        with serving(example) as server:
            two = value(example, "two")
            equal(server.get(UNIT, "host-two"), two)
            damage(example)
            for _ in range(3):
                equal(server.get(UNIT, "host-two"), two)
            equal(given_and_said(server), [f"vmcred: warning: going on with what was read before: {message}".replace(
                "IDENTITY", str(example.identity))])


define_identity_fault(
    "an identity that is gone is told once, and the one before stays in force",
    lambda example: example.identity.unlink(),
    "reading the identity file: IDENTITY: No such file or directory: name the machine's identity file with --identity FILE")
define_identity_fault(
    "an identity that others may read is told once, and the one before stays in force",
    lambda example: example.identity.chmod(0o644),
    "reading the identity file: IDENTITY: its mode 0644 gives others access to the secret key in it: chmod 600 IDENTITY")


def test_optional_secret_not_store_empty_credential_warning(folder):
    """an optional secret that is not in the store is an empty credential, with a warning; one that nobody can open is refused"""
    example = Example(folder)
    with serving(example) as server:
        document = example.document("two")
        document.rename(folder / "kept")
        equal(server.get(UNIT, "host-two"), b"")
        (folder / "kept").rename(document)
        example.identity.unlink()
        expect(vmcred("keygen", "--output", example.identity))
        refused(server.get(UNIT, "host-two"))
        code, lines = server.stop()
        equal((code, lines[0]), (0, f"vmcred: warning: left out host-two of {UNIT} (process N): it is optional, and not in the store"))
        assert lines[2].startswith(f"vmcred: warning: refused host-two to {UNIT} (process N): "), lines


def test_sighup_reads_declaration_identity_anew(folder):
    """SIGHUP reads the declaration and the identity anew"""
    example = Example(folder)
    with serving(example) as server:
        server.get(UNIT, "host-two")
        server.process.send_signal(signal.SIGHUP)
        server.get(UNIT, "host-two")
        equal(sorted(server.stop()[1]), [f"vmcred: gave host-two to {UNIT} (process N)"] * 2 + [
            f"vmcred: read {example.identity}", f"vmcred: read {example.config}"])


def test_without_requests_ends_itself_status_0_nothing_say(folder):
    """without requests it ends by itself, with status 0 and nothing to say, and leaves the socket"""
    example = Example(folder)
    with serving(example, idle="1") as server:
        equal(server.ended(), (0, []))


def define_late(sentence, damage, mend, message, words=()):
    """It starts, whatever is wrong: a service that does not start would leave the unit waiting."""
    @test(sentence)
    def test_case_4(folder):
        example = Example(folder)
        two = value(example, "two")
        kept = {path: path.read_bytes() for path in (example.identity, example.config)}
        damage(example)
        with serving(example, *words) as server:
            for _ in range(2):
                refused(server.get(UNIT, "host-two"))
            refusal = f"vmcred: warning: refused host-two to {UNIT} (process N): {message}".replace("FOLDER", str(folder))
            told = [] if words else [refusal.replace(f"refused host-two to {UNIT} (process N)", "nothing can be given")]
            equal(server.said(), told + [refusal] * 2)
            mend(example, kept)
            equal(server.get(UNIT, "host-two"), two, "once it is mended")


define_late(
    "without an identity it refuses, and says why, until there is one",
    lambda example: example.identity.unlink(),
    lambda example, kept: (example.identity.touch(mode=0o600), example.identity.write_bytes(kept[example.identity])),
    "reading the identity file: FOLDER/identity: No such file or directory: name the machine's identity file with --identity "
    "FILE")
define_late(
    "without a declaration it refuses, and says why, until there is one",
    lambda example: example.config.unlink(),
    lambda example, kept: example.config.write_bytes(kept[example.config]),
    "there is no declaration FOLDER/vmcred.yaml: write one, or name it with --config FILE")
define_late(
    "with a declaration that has a fault it refuses, and says why, until it is mended",
    lambda example: example.config.write_text("machine: {}\n"),
    lambda example, kept: example.config.write_bytes(kept[example.config]),
    'FOLDER/vmcred.yaml:1: unknown key "machine": did you mean "machines"?')
define_late(
    "for a machine that is not declared it refuses, and says why, until it is",
    lambda example: example.config.write_text("machines: {k: {}}\n"),
    lambda example, kept: example.config.write_bytes(kept[example.config]),
    'FOLDER/vmcred.yaml declares no machine "m"', words=("--machine", "m"))


def started(sentence, code, message, words=(), change=None):
    @test(sentence)
    def test_case_5(folder):
        example = Example(folder)
        if change:
            change(example)
        with serving(example, *words) as server:
            said = message.replace("FOLDER", str(folder)) + "\n"
            equal(server.ended(), (code, said.splitlines()))


started("an idle time that is no number is an error", 2,
        "vmcred: --idle-timeout needs a number of seconds up to 86400, not \"-1\"", words=("--idle-timeout", "-1"))


def test_started_hand_says_how_started(folder):
    """started by hand it says how it is started"""
    example = Example(folder)
    expect(vmcred("serve", "--config", example.config), 2, "",
           "vmcred: systemd has handed over no socket, or several: `systemctl start vmcred.socket` starts it when it is "
           "asked\n")


harness.main()
