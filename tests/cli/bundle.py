# SPDX-License-Identifier: Apache-2.0
"""vmcred export and import: what a bundle has, what an import changes, and bundles that are refused."""
import json
import os
import pty
import re
import shutil
import stat
import subprocess

import harness
from bundles import DECLARATION, Repository, archive, files, header
from harness import equal, expect, fails, need, run, test, vmcred
from systemctl import Systemctl

TRUSTING = "bundle of m, trusting the transport: /etc/vmcred/allowed_signers does not exist\n"
PATHS = [
    "vmcred.yaml",
    "vars/shared/both/public/value",
    "vars/per-machine/m/made/one/secret",
    "vars/per-machine/m/made/two/secret",
    "vars/per-machine/m/password/hash/secret",
    "vars/per-machine/m/password/asked/secret",
]


def test_what_a_bundle_has(directory):
    """a bundle has the machine's part of the declaration and its files, and nothing else"""
    repository = Repository(directory)
    bundle = files(repository.export())
    equal(list(bundle), PATHS)
    declared = bundle["vmcred.yaml"].decode()
    names = re.findall(r'^ *"([a-z-]+)": ?\{', declared, re.M)
    equal([name for name in names if name != "files"], ["machines", "generators", "made", "one", "two", "both", "public", "password", "hash", "asked", "vms", "first"])
    for absent in ("demo", "hidden", "foreign", "second", "sops", "echo h", "prompts"):
        assert absent not in declared, (absent, declared)
    for path in PATHS[1:]:
        equal(bundle[path], (directory / path).read_bytes(), path)


def test_a_part_is_read_like_the_whole(directory):
    """the part's VMs have the same drop-ins and entries as in the whole declaration"""
    repository = Repository(directory)
    (directory / "part").mkdir()
    (directory / "part/vmcred.yaml").write_bytes(files(repository.export())["vmcred.yaml"])
    for config, name in ((repository.config, "one"), (directory / "part/vmcred.yaml", "two")):
        expect(vmcred("units", "--config", config, "--output", directory / name))
    one, two = ((directory / name / "microvm@first.service.d/50-vmcred.conf").read_text().splitlines()[1:] for name in ("one", "two"))
    equal(one, two)


def test_attributes_of_files(directory):
    """a file has the same owner, mode, phase and units in the part, and one that is not deployed is declared only for a VM"""
    more = 'secret: false, owner: "7", group: "8", mode: "0440", reloadUnits: [r.service], restartUnits: [s.service]'
    declaration = DECLARATION.replace('two: {mode: "0440"}', f"two: {{deploy: false}}\n      three: {{{more}}}").replace("two: {hex: 16}", "two: uuid, three: uuid")
    repository = Repository(directory, declaration.replace("{one: made/one}", "{one: made/one, two: made/two}"))
    found = files(repository.export())
    assert not [path for path in found if path.endswith("two/secret")], list(found)
    (directory / "part").mkdir()
    (directory / "part/vmcred.yaml").write_bytes(found["vmcred.yaml"])
    shutil.copytree(directory / "vars", directory / "part/vars", symlinks=True)
    equal(files(repository.export(config=directory / "part/vmcred.yaml")), found)
    three = json.loads(re.search(r'"three": (\{[^}]*\})', found["vmcred.yaml"].decode()).group(1))
    equal({key: three[key] for key in ("owner", "group", "mode", "secret", "neededFor", "reloadUnits", "restartUnits")},
          {"owner": "7", "group": "8", "mode": "0440", "secret": False, "neededFor": "services", "reloadUnits": ["r.service"], "restartUnits": ["s.service"]})


def test_equal_input_gives_equal_bundles(directory):
    """a copy of the repository with other times and with a change for another machine gives the same bundle"""
    repository = Repository(directory / "one")
    shutil.copytree(directory / "one", directory / "two")
    copy = directory / "two/vmcred.yaml"
    copy.write_text(copy.read_text().replace("{x: foreign/one}", "{y: foreign/one}"))
    equal(repository.export(config=copy), repository.export())
    assert repository.export("n", config=copy) != repository.export("n")


def test_tar_and_vmcred_agree(directory):
    """GNU tar extracts a bundle, with long paths too"""
    need("tar")
    long = "g" * 60
    repository = Repository(directory / "repository", DECLARATION.replace("made", long))
    bundle = repository.export()
    (directory / "out").mkdir()
    expect(run("tar", "-xf", "-", "-C", directory / "out", stdin=bundle), 0, "", "")
    found = {str(path.relative_to(directory / "out")): path.read_bytes() for path in (directory / "out").rglob("*") if path.is_file()}
    equal(found, files(bundle))
    expect(repository.import_(bundle))
    equal(repository.installed(), found)


def test_names_that_are_too_long(directory):
    """names that do not fit into an archive are an error of export"""
    long = "g" * 120
    repository = Repository(directory, DECLARATION.replace("made", long).replace("two", long))
    fails(vmcred("export", "m", "--config", repository.config), 1, f"{long}/{long}", "too long")


def test_missing_secret(directory):
    """export fails without one of the machine's secrets"""
    repository = Repository(directory)
    repository.document("one").unlink()
    fails(vmcred("export", "m", "--config", repository.config), 3, "m/made/one/secret", "vmcred generate")
    expect(vmcred("export", "n", "--config", repository.config))


def test_secrets_that_the_host_would_refuse(directory):
    """export fails if a secret is plaintext, has merge-conflict markers or is not encrypted to the machine's registered key"""
    repository = Repository(directory)
    document, public = repository.document("one"), directory / "vars/shared/both/public/value"
    conflict = "<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> other\n"
    for path, content, words in (
        (document, "plain\n", ["m/made/one/secret"]),
        (document, conflict, ["m/made/one/secret", "merge-conflict"]),
        (public, conflict, ["both/public/value", "merge-conflict"]),
    ):
        old = path.read_text()
        path.write_text(content)
        fails(vmcred("export", "m", "--config", repository.config), 1, *words)
        path.write_text(old)
    key = directory / "sops/machines/m/key.json"
    shutil.copy(directory / "sops/machines/n/key.json", key)
    fails(vmcred("export", "m", "--config", repository.config), 3, "m/made/one/secret", "is not encrypted to the key of m", "vmcred fix m")
    shutil.rmtree(key.parent)
    expect(repository.import_(repository.export()))


def test_unknown_machine(directory):
    """an undeclared machine is a usage error"""
    repository = Repository(directory)
    fails(vmcred("export", "mm", "--config", repository.config), 2, '"mm"')


def test_export_to_a_terminal(directory):
    """export refuses to write to a terminal"""
    repository = Repository(directory)
    main, terminal = pty.openpty()
    command = [harness.VMCRED, "export", "m", "--config", repository.config]
    done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, check=False, env=harness.CLEAN_ENVIRONMENT, timeout=60)
    equal(done.returncode, 2)
    assert b"terminal" in done.stderr, done
    os.close(terminal)
    os.close(main)


def test_first_import(directory):
    """the first import installs the bundle beside the host's own files, and activates all phases"""
    repository = Repository(directory)
    repository.etc.mkdir(parents=True)
    (repository.etc / "activate.env").write_text("VMCRED_MACHINE=m\n")
    bundle = repository.export()
    expect(repository.import_(bundle), 0, TRUSTING + "4 secrets in generation 1\n1 secret for users in generation 1\n", "")
    equal(repository.installed(), files(bundle))
    installed = repository.installed_directory()
    equal(sorted(os.listdir(repository.etc)), [installed.name, "activate.env", "vmcred.yaml"])
    equal((repository.active("one").read_text(), repository.active("public", "both").read_text()), (repository.get("one").out, "p\n"))
    equal((repository.root / "run/secrets-for-users/vars/password/hash").read_bytes()[:3], b"$6$")
    for path in (installed / "vmcred.yaml", installed / "vars/shared/both/public/value"):
        equal(stat.S_IMODE(path.stat().st_mode), 0o644)


def test_commands_on_the_host(directory):
    """activate, get, list and units read an installed bundle like a repository"""
    repository = Repository(directory)
    expect(repository.import_(repository.export()))
    config = ["--config", repository.etc / "vmcred.yaml"]
    root = ["--identity", repository.identity, "--root", repository.root]
    expect(vmcred("activate", *config, *root), 0, "4 secrets in generation 1, unchanged\n", "")
    expect(vmcred("get", *config, "--identity", repository.identity, "m", "made/one"), 0, repository.get("one").out, "")
    assert "missing" not in expect(vmcred("list", *config), 0, None, "").out
    expect(vmcred("units", *config, "--output", directory / "units"))
    equal(os.listdir(directory / "units"), ["microvm@first.service.d"])


def test_store_on_the_host(directory):
    """on the host, check and doctor find a missing secret but do not judge readers, and nothing changes the store or lists readers"""
    repository = Repository(directory)
    expect(repository.import_(repository.export()))
    config = ["--config", repository.etc / "vmcred.yaml"]
    installed = repository.installed()
    expect(vmcred("check", *config), 0, None, "")
    expect(vmcred("doctor", *config, "--root", repository.root), 0, None, "")
    for command in (("generate",), ("fix",), ("prune", "--yes"), ("set", "m", "made/one"), ("edit", "m", "made/one"), ("readers",),
                    ("machine", "add", "m"), ("user", "add", "u"), ("keygen", "--machine", "m", "--output", directory / "new")):
        fails(vmcred(*command, *config), 2, "vmcred.yaml", "part")
    equal(repository.installed(), installed)
    (repository.installed_directory() / "vars/per-machine/m/made/one/secret").unlink()
    expect(vmcred("check", *config), 3, "m made/one is missing\n", None)
    found = json.loads(expect(vmcred("doctor", *config, "--root", repository.root, "--json"), 1, None, None).out)
    equal([one["name"] for one in found], ["store-missing"])


def test_without_openat2(directory):
    """where the kernel or a container does not have openat2, links in a store are followed as usual, and none leads out of it"""
    need("strace")
    repository = Repository(directory / "repository")
    value = repository.get("one").out
    command = ["strace", "-f", "-qq", "-o", directory / "log", "-e", "trace=openat2", "-e", "inject=openat2:error=ENOSYS", harness.VMCRED]
    command += ["get", "--config", repository.config, "--identity", repository.identity, "m", "made/one"]
    # LeakSanitizer does not work under ptrace(2).
    environment = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}
    vars_ = repository.directory / "vars"
    vars_.rename(repository.directory / "moved")
    vars_.symlink_to("moved")
    expect(run(*command, env=environment), 0, value, "")
    assert "ENOSYS" in (directory / "log").read_text()
    (repository.directory / "moved").rename(directory / "repository-outside")
    vars_.unlink()
    vars_.symlink_to("../repository-outside")
    fails(run(*command, env=environment), 1, "made/one/secret", "outside the directory")


def test_change_arrives(directory):
    """a new value arrives with the next import, and the units that use the old one are listed; the old bundle is removed"""
    repository = Repository(directory)
    expect(repository.import_(repository.export()))
    repository.change("made/one", "new")
    out = "4 secrets in generation 2\nto restart: a.service\nto restart: microvm@first.service\n1 secret for users in generation 1, unchanged\n"
    expect(repository.import_(repository.export()), 0, TRUSTING + out, "")
    equal(repository.active("one").read_text(), "new")
    equal(len(os.listdir(repository.etc)), 2)


def test_import_again(directory):
    """importing the same bundle again changes no secret"""
    repository = Repository(directory)
    bundle = repository.export()
    expect(repository.import_(bundle))
    expect(repository.import_(bundle), 0, TRUSTING + "4 secrets in generation 1, unchanged\n1 secret for users in generation 1, unchanged\n", "")


def test_json(directory):
    """with --json, import prints the machine and the result of each phase"""
    repository = Repository(directory)
    result = json.loads(expect(repository.import_(repository.export(), "--json"), 0, None, "").out)
    equal((result["machine"], result["dryRun"], result["signer"], result["serial"]), ("m", False, None, None))
    equal([(phase["neededFor"], phase["generation"], phase["secrets"]) for phase in result["activated"]], [("services", 1, 4), ("users", 1, 1)])


def state(directory):
    return {str(path): (path.lstat().st_ino, path.read_bytes() if path.is_file() and not path.is_symlink() else None) for path in directory.rglob("*")}


def test_dry_run(directory):
    """--dry-run prints what would change, and writes nothing, before the first import too"""
    repository = Repository(directory)
    bundle = repository.export()
    first = "4 secrets would be in generation 1\nwould add secrets: both/public, made/one, made/two, password/asked\n"
    users = "1 secret for users would be in generation 1\nwould add secret: password/hash\n"
    expect(repository.import_(bundle, "--dry-run"), 0, TRUSTING + first + users, "")
    assert not repository.root.exists()
    expect(repository.import_(bundle))
    before = state(repository.root)
    repository.change("made/one", "new")
    out = expect(repository.import_(repository.export(), "--dry-run"), 0, None, "").out
    assert "would modify secret: made/one" in out, out
    equal(state(repository.root), before)


def test_phase_without_files(directory):
    """secrets of a phase that has no files any more are removed"""
    repository = Repository(directory)
    expect(repository.import_(repository.export()))
    repository.config.write_text(DECLARATION.replace("hash: {neededFor: users}", "hash: {}"))
    expect(repository.import_(repository.export()))
    equal([path for path in (repository.root / "run/secrets-for-users/").rglob("hash")], [])
    assert repository.active("hash", "password").exists()


def test_owner_that_does_not_exist(directory):
    """a secret whose owner does not exist yet stops no other: it is reported as by activate"""
    harness.need_root()
    repository = Repository(directory)
    repository.config.write_text(DECLARATION.replace('two: {mode: "0440"}', "two: {owner: no-such-user}"))
    result = repository.import_(repository.export())
    equal(result.code, 3, result.err)
    assert "no-such-user" in result.err, result.err
    assert repository.active("one").exists()


def test_machine_is_the_host(directory):
    """without --machine, the bundle must be for a machine with the host's name, or that of $VMCRED_MACHINE"""
    repository = Repository(directory)
    bundle = repository.export()
    here = os.uname().nodename.split(".")[0]
    options = ["--identity", repository.identity, "--root", repository.root]
    fails(vmcred("import", *options, stdin=bundle), 4, "machine m", here)
    fails(vmcred("import", *options, stdin=bundle, env={"VMCRED_MACHINE": "n"}), 4, "machine m, not n")
    expect(vmcred("import", "--dry-run", *options, stdin=bundle, env={"VMCRED_MACHINE": "m"}))
    repository = Repository(directory / "other", "machines: {m: , n: , HERE: }\ngenerators: {a: {share: true, files: {b: {secret: false}}, script: echo x >$out/b}}\n".replace("HERE", here))
    expect(vmcred("import", *options, stdin=repository.export(here)), 0, TRUSTING.replace("m,", f"{here},") + "1 secret in generation 1\n", "")


def test_repository_in_its_place(directory):
    """a declaration or a store that did not come from a bundle is not replaced, and neither is a link to one"""
    repository = Repository(directory)
    bundle = repository.export()
    repository.etc.mkdir(parents=True)
    declaration = repository.etc / "vmcred.yaml"
    for target in (None, "other.yaml", ".vmcred-bundle.00000000/other.yaml", ".vmcred-bundle.00000000"):
        if target:
            declaration.symlink_to(target)
        else:
            declaration.write_text("{}\n")
        fails(repository.import_(bundle), 1, "etc/vmcred", "vmcred.yaml", "move it away")
        fails(repository.import_(bundle, "--dry-run"), 1, "vmcred.yaml")
        equal(os.listdir(repository.etc), ["vmcred.yaml"])
        declaration.unlink()
    (repository.etc / "vars").mkdir()
    fails(repository.import_(bundle), 1, "vars", "move it away")
    equal(os.listdir(repository.etc), ["vars"])


def test_without_an_identity(directory):
    """on a host without an identity, nothing is installed"""
    repository = Repository(directory)
    bundle = repository.export()
    repository.identity.unlink()
    fails(repository.import_(bundle), 3, repository.identity)
    assert not repository.root.exists()


def test_no_input(directory):
    """an empty input, and a file that does not exist, are errors"""
    repository = Repository(directory)
    fails(repository.import_(b""), 1, "standard input", "export")
    fails(repository.import_(b"", directory / "none"), 3, directory / "none")


def refused(sentence, change, code=4, mention=""):
    """A changed bundle does not change the host. `change` takes the list of (path, content), or returns bytes."""

    @test(sentence)
    def test_refused(directory):
        repository = Repository(directory)
        expect(repository.import_(repository.export()))
        repository.change("made/one", "new")
        entries = list(files(repository.export()).items())
        equal(archive(entries), repository.export())
        bundle = change(entries, repository)
        bundle = bundle if isinstance(bundle, bytes) else archive(bundle)
        before = state(repository.root)
        fails(repository.import_(bundle), code, mention)
        equal(state(repository.root), before)


def replaced(entries, number, path=None, content=None):
    old_path, old_content = entries[number]
    return [*entries[:number], (path or old_path, old_content if content is None else content), *entries[number + 1 :]]


def swapped(entries, repository):
    return replaced(replaced(entries, 2, content=entries[3][1]), 3, content=entries[2][1])


def of_other_type(entries, kind):
    bundle = archive(entries)
    start = 512 + -(-len(entries[0][1]) // 512) * 512
    path, content = entries[1]
    return bundle[:start] + header(path, len(content), kind) + bundle[start + 512 :]


refused("a bundle of another machine", lambda entries, repository: repository.export("n"), 4, "machine n, not m")
refused("a truncated bundle, at the end", lambda entries, _: archive(entries)[:-512], 4, "truncated")
refused("a truncated bundle, in a file", lambda entries, _: archive(entries)[:1600], 4, "truncated")
refused("a bundle with bytes after its end", lambda entries, _: archive(entries) + b"\0", 4)
refused("a bundle without one of its files", lambda entries, _: entries[:-1], 4, "password/asked/secret")
refused("a bundle with a file that is not declared", lambda entries, _: [*entries, ("vars/x", b"")], 4, "vars/x")
refused("a bundle with a file twice", lambda entries, _: [*entries[:2], *entries[1:]], 4, "both/public/value")
refused("a bundle in another order", lambda entries, _: [entries[0], entries[2], entries[1], *entries[3:]], 4, "both/public/value")
refused("a bundle with an absolute path", lambda entries, _: replaced(entries, 1, "/etc/shadow"), 4, "/etc/shadow")
refused("a bundle with .. in a path", lambda entries, _: replaced(entries, 1, "vars/../../../x"), 4, "vars/../../../x")
refused("a bundle with a control character in a path", lambda entries, _: replaced(entries, 1, "\x1b[2J"), 4, "\\u001b[2J")
refused("a bundle with a symbolic link", lambda entries, _: of_other_type(entries, b"2"), 4)
refused("a bundle with a hard link", lambda entries, _: of_other_type(entries, b"1"), 4)
refused("a bundle with a device", lambda entries, _: of_other_type(entries, b"3"), 4)
refused("a bundle with a directory", lambda entries, _: of_other_type(entries, b"5"), 4)
refused("a bundle with a pax header", lambda entries, _: of_other_type(entries, b"x"), 4)
refused("a bundle whose declaration is invalid", lambda entries, _: replaced(entries, 0, content=b"machines: [\n"), 2, "vmcred.yaml")
refused("a bundle of a newer vmcred, with a key that this one does not know", lambda entries, _: replaced(
    entries, 0, content=entries[0][1].replace(b'"part"', b'"new": 1, "part"')), 2, "update vmcred on this host")
refused("a bundle that declares no machine", lambda entries, _: replaced(entries, 0, content=b""), 4, "0 machines")
refused("a document under another document's name", swapped, 4, "made/one/secret")
refused("a changed document", lambda entries, _: replaced(entries, 2, content=entries[2][1].replace(b'"mac"', b'"mad"')), 4, "made/one")
refused("a document that is too large", lambda entries, _: replaced(entries, 2, content=b" " * (4 << 20) + b" "), 4, "made/one/secret")
refused("a document that the host cannot open", lambda entries, repository: replaced(entries, 2, content=(
    repository.directory / "vars/per-machine/n/made/one/secret").read_bytes()), 3, "machine add m --force")


def test_each_cut_and_changed_byte_of_the_frame(directory):
    """no prefix of a bundle is accepted, nor one with a changed byte in a header or in padding"""
    repository = Repository(directory, "machines: {m: {}, n: }\ngenerators: {a: {share: true, files: {b: {secret: false}}, script: echo x >$out/b}}\n")
    bundle = repository.export()
    size = len(files(bundle)["vmcred.yaml"])
    for cut in range(0, len(bundle), 101):
        equal(repository.import_(bundle[:cut]).code, 4 if cut else 1, f"cut at {cut}")
    for offset in [*range(0, 512, 3), 512 + size, 1023]:
        changed = bundle[:offset] + bytes([bundle[offset] ^ 1]) + bundle[offset + 1 :]
        assert repository.import_(changed, "--dry-run").code in (2, 4), f"changed at {offset}"
    assert not repository.root.exists()
    expect(repository.import_(bundle))


def test_units_are_read_again(directory):
    """on a running system, only a changed declaration makes systemd read its units again, and a VM that runs and left it is a warning"""
    harness.need_root()
    harness.need_default_paths()
    os.makedirs("/run/systemd/system", exist_ok=True)
    repository = Repository(directory)
    systemctl = Systemctl(directory)
    systemctl.unit("a.service", started=1)
    command = ["import", "--machine", "m", "--identity", repository.identity]
    calls = directory / "systemctl/calls"

    def verbs():
        found = [line.split()[0] for line in calls.read_text().splitlines()] if calls.exists() else []
        calls.unlink(missing_ok=True)
        return [verb for verb in found if verb != "show"]

    try:
        expect(vmcred(*command, stdin=repository.export(), env=systemctl.env), 0, None, "")
        equal(verbs(), ["daemon-reload"])
        repository.change("made/one", "new")
        out = expect(vmcred(*command, stdin=repository.export(), env=systemctl.env), 0, None, "").out
        assert "restarted: a.service" in out, out
        equal(verbs(), ["try-restart"])
        repository.change("made/one", "newer")
        repository.config.write_text(repository.config.read_text().replace("plain", "other"))
        expect(vmcred(*command, stdin=repository.export(), env=systemctl.env), 0, None, "")
        equal(verbs(), ["daemon-reload", "try-restart"])
        systemctl.unit("microvm@first.service", started=1)
        text = repository.config.read_text()
        repository.config.write_text(text.replace("  first:", "  other:"))
        warning = "vmcred: warning: microvm@first.service runs, but is no longer declared: stop it with `systemctl disable --now microvm@first.service`\n"
        expect(vmcred(*command, stdin=repository.export(), env=systemctl.env), 0, None, warning)
        repository.config.write_text(text.replace("  first: {", "  renamed: {unit: microvm@first.service, "))
        expect(vmcred(*command, stdin=repository.export(), env=systemctl.env), 0, None, "")
        repository.config.write_text(text.replace("plain", "other"))
        systemctl.unit("microvm@first.service", "inactive", "dead")
        expect(vmcred(*command, stdin=repository.export(), env=systemctl.env), 0, None, "")
    finally:
        run("umount", "/run/secrets.d")
        run("umount", "/run/secrets-for-users.d")
        for path in ("/etc/vmcred", "/run/vmcred"):
            run("sh", "-c", f"rm -rf {path}/* {path}/.[!.]*")


if __name__ == "__main__":
    harness.main()
