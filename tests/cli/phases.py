# SPDX-License-Identifier: Apache-2.0
"""Secrets for users, activation and partitioning have their own directories and are activated separately."""
import json
import os
import re
import stat
from uuid import UUID

import harness
from example import Example
from harness import equal, expect, fails, run, vmcred

DECLARATION = """\
machines:
  m: {}
generators:
  made:
    machines: [m]
    files:
      key: {restartUnits: [key.service]}
      hash: {neededFor: users, mode: "0440", restartUnits: [hash.service], reloadUnits: [names.service]}
      host: {neededFor: activation}
      disk: {neededFor: partitioning}
    kind: {key: uuid, hash: uuid, host: uuid, disk: uuid}
  other:
    machines: [m]
    files: {hash: {neededFor: users}}
    kind: {hash: uuid}
vms:
  m:
    loadCredentials:
      key: made/key
      hash: made/hash
      host: made/host
    credentialFiles: {KEY: key, HASH: hash, HOST: host}
"""

# phase → the link below run/ and its contents
PHASES = {
    "services": ("secrets", {"vars/made/key"}),
    "users": ("secrets-for-users", {"vars/made/hash", "vars/other/hash"}),
    "activation": ("activation-secrets", {"made/host"}),
    "partitioning": ("partitioning-secrets", {"made/disk"}),
}


def example_of(directory):
    return Example(directory, DECLARATION)


def activate(example, phase, *words):
    return example.activate("--needed-for", phase, *words)


def files(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def tree(directory):
    """Names, inodes, times and contents, for comparison; without the records of activations."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if "vmcred" in path.relative_to(directory).parts:
            continue
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(directory))] = (status.st_mode, status.st_ino, status.st_mtime_ns, content)
    return found


def test_each_phase_is_activated_separately(directory):
    """each phase has its own files and directory, and is activated without the others"""
    example = example_of(directory)
    done = {"vmcred"}
    for phase, (link, wanted) in PHASES.items():
        result = expect(activate(example, phase), 0, None, "")
        equal(
            result.out.splitlines()[0],
            f"{len(wanted)} secret{'s' * (len(wanted) != 1)}{'' if phase == 'services' else f' for {phase}'} in generation 1",
        )
        place = example.root / "run" / link
        equal(os.readlink(place), f"{link}.d/1")
        equal(files(place.resolve()), wanted, phase)
        for path in wanted:
            generator, name = path.split("/")[-2:]
            equal((place / path).read_text(), example.get(name, generator).out, path)
        for path in (f"{link}.d", f"{link}.d/1"):
            equal(stat.S_IMODE((example.root / "run" / path).stat().st_mode), 0o751, path)
        done |= {link, f"{link}.d"}
        equal(set(os.listdir(example.root / "run")), done)
    equal(stat.S_IMODE((example.root / "run/secrets-for-users/vars/made/hash").stat().st_mode), 0o440)


def test_needed_for_defaults_to_services(directory):
    """--needed-for defaults to services"""
    example = example_of(directory)
    expect(example.activate(), 0, "1 secret in generation 1\n", "")
    equal(sorted(os.listdir(example.root / "run")), ["secrets", "secrets.d", "vmcred"])


def without_times_of_locked_directories(found):
    return {path: (*form[:2], None if path.endswith(".d") else form[2], *form[3:]) for path, form in found.items()}


def test_unchanged_phase_keeps_its_inodes(directory):
    """without changes of a phase no secret is written, and inodes remain"""
    example = example_of(directory)
    for phase in PHASES:
        expect(activate(example, phase))
    before = without_times_of_locked_directories(tree(example.root))
    for phase, (_link, wanted) in PHASES.items():
        words = "" if phase == "services" else f" for {phase}"
        expect(activate(example, phase), 0, f"{len(wanted)} secret{'s' * (len(wanted) != 1)}{words} in generation 1, unchanged\n", "")
    equal(without_times_of_locked_directories(tree(example.root)), before)


def test_changed_secret_affects_only_its_phase(directory):
    """a changed secret creates a new generation of its phase only, whose units are reported"""
    example = example_of(directory)
    for phase in PHASES:
        expect(activate(example, phase))
    before = tree(example.root / "run/secrets.d")
    expect(vmcred("set", "--config", example.config, "m", "made/hash", stdin=b"another"))
    result = json.loads(expect(activate(example, "users", "--json"), 0, None, "").out)
    equal(
        result,
        {
            "neededFor": "users", "changed": True, "generation": 2, "secrets": 2,
            "restartUnits": ["hash.service", "microvm@m.service"], "reloadUnits": ["names.service"], "failed": {},
        },
    )  # fmt: skip
    equal(os.listdir(example.root / "run/secrets-for-users.d"), ["2"])
    equal((example.root / "run/secrets-for-users/vars/made/hash").read_text(), "another")
    expect(example.activate(), 0, "1 secret in generation 1, unchanged\n", "")
    equal(tree(example.root / "run/secrets.d"), before)


def test_old_generation_of_each_phase_is_wiped(directory):
    """each phase's old generation is wiped, as seen through an open descriptor"""
    example = example_of(directory)
    for phase, (link, wanted) in PHASES.items():
        expect(activate(example, phase))
        path = sorted(wanted)[0]
        with open(example.root / "run" / link / path, "rb") as held:
            expect(vmcred("set", "--config", example.config, "m", "/".join(path.split("/")[-2:]), stdin=b"another"))
            expect(activate(example, phase))
            equal(held.read(), bytes(len(str(UUID(int=0)))), phase)


def test_a_secret_whose_phase_changes_moves_there(directory):
    """a secret whose phase changes moves there"""
    example = example_of(directory)
    expect(activate(example, "users"))
    example.config.write_text(DECLARATION.replace("neededFor: users, mode", "neededFor: services, mode"))
    expect(activate(example, "users"), 0, "1 secret for users in generation 2\n", "")
    expect(example.activate())
    equal(files((example.root / "run/secrets-for-users").resolve()), {"vars/other/hash"})
    equal(files((example.root / "run/secrets").resolve()), {"vars/made/key", "vars/made/hash"})


def test_damaged_document_affects_only_its_phase(directory):
    """a damaged document of a phase keeps its old value; the other phases are not affected"""
    example = example_of(directory)
    expect(activate(example, "users"))
    expect(example.generate("--regenerate", "--all"))
    example.document("hash", "other").write_text("<<<<<<< HEAD\n")
    link = example.root / "run/secrets-for-users"
    before = (link / "vars/other/hash").read_bytes()
    expect(activate(example, "users"), 1, None,
           "vmcred: other/hash keeps its previous value: vars/per-machine/m/other/hash/secret is not a JSON object\n")
    equal((link / "vars/other/hash").read_bytes(), before)
    expect(example.activate(), 0, "1 secret in generation 1\n", "")


def test_each_phase_rejects_a_root_on_a_disk(directory):
    """each phase rejects a root on a disk"""
    example = example_of(directory)
    root = harness.SOURCE / "build" / f"not-in-memory-{os.getpid()}"
    root.mkdir(parents=True, exist_ok=True)
    try:
        for phase, (link, _wanted) in PHASES.items():
            result = vmcred(
                "activate", "--config", example.config, "--identity", example.identity,
                "--root", root, "--needed-for", phase,
            )  # fmt: skip
            fails(result, 1, f"{link}.d", "--root")
        equal(files(root), set())
    finally:
        run("rm", "-r", root)


def test_each_phase_has_its_own_mount(directory):
    """each phase has its own mount that is never swapped, and numeric owners need no user database"""
    harness.need_root()
    numbers = DECLARATION.replace("neededFor: users, mode", 'neededFor: users, owner: 1234, group: "77", mode')
    example = Example(directory, numbers)
    (directory / "nobody").touch()
    script = f"""
        mount -t tmpfs run /run && for file in /etc/passwd /etc/group /etc/nsswitch.conf; do mount --bind {directory}/nobody $file; done
        for phase in {' '.join(PHASES)}; do "$@" --needed-for $phase || exit; done
        stat -c '%n %u %g' /run/secrets-for-users/vars/*/hash
        cat /proc/self/mountinfo
    """
    words = [harness.VMCRED, "activate", "--config", example.config, "--identity", example.identity]
    result = expect(run("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words), 0, None, "")
    owners = re.findall(r"^/run/secrets-for-users/vars/(\S+) (\S+ \S+)$", result.out, re.M)
    equal(owners, [("made/hash", "1234 77"), ("other/hash", "0 0")])
    linux = tuple(int(number) for number in os.uname().release.split(".")[:2])
    for link, _wanted in PHASES.values():
        found = re.search(rf" /run/{link}\.d (\S+) .*- (\S+ \S+ \S+)$", result.out, re.M)
        options, kind = found.groups()
        equal({"nosuid", "nodev", "noexec"} - set(options.split(",")), set(), link)
        assert kind.startswith("tmpfs vmcred") and "noswap" in kind if linux >= (6, 4) else kind.startswith("ramfs"), kind


def test_user_identity_activates_partitioning_secrets(directory):
    """a user's identity activates the secrets for partitioning, before the machine has its own"""
    example = Example(directory, DECLARATION, generate=False)
    person = directory / "person"
    key = expect(vmcred("keygen", "--output", person), 0, None, "").out.split()[-1]
    expect(vmcred("user", "add", "ada", "--config", example.config, "--age-key", key))
    expect(example.generate())
    expect(
        vmcred(
            "activate", "--config", example.config, "--identity", person, "--root", example.root,
            "--machine", "m", "--needed-for", "partitioning",
        ),
        0,
        "1 secret for partitioning in generation 1\n",
        "",
    )  # fmt: skip
    disk = example.root / "run/partitioning-secrets/per-machine/m/made/disk"
    equal(disk.read_text(), example.get("disk").out)


def test_the_owner_of_a_service_secret_may_be_a_number(directory):
    """the owner of a service's secret may be a number"""
    harness.need_root()
    example = Example(directory, DECLARATION.replace("key: {restart", "key: {owner: 4321, group: 0, restart"))
    expect(example.activate())
    status = (example.root / "run/secrets/vars/made/key").stat()
    equal((status.st_uid, status.st_gid), (4321, 0))


def test_units_have_the_paths_of_phases(directory):
    """units have the path of each credential's phase and the unit that activates it"""
    example = example_of(directory)
    expect(
        vmcred("units", "--config", example.config),
        0,
        "# microvm@m.service.d/50-vmcred.conf\n"
        f"# Made by `vmcred units` from {example.config}; changes here are lost.\n[Unit]\n"
        "Wants=vmcred-activate.service vmcred-activate-users.service\n"
        "After=vmcred-activate.service vmcred-activate-users.service\n[Service]\n"
        "LoadCredential=key:/run/secrets/vars/made/key\n"
        "LoadCredential=hash:/run/secrets-for-users/vars/made/hash\n"
        "LoadCredential=host:/run/activation-secrets/made/host\n"
        'SetCredential=vmcred.vm:{"vms":{"m":{"credentialFiles":{"KEY":key,"HASH":hash,"HOST":host}}}}\n',
        "",
    )


def test_list_shows_each_file_phase(directory):
    """list shows each file's phase"""
    example = example_of(directory)
    result = json.loads(expect(vmcred("list", "--json", "--config", example.config), 0, None, "").out)
    equal(
        {f"{row['generator']}/{row['file']}": row["neededFor"] for row in result},
        {
            "made/key": "services", "made/hash": "users", "made/host": "activation",
            "made/disk": "partitioning", "other/hash": "users",
        },
    )  # fmt: skip


def test_inspect_finds_secrets_of_each_phase(directory):
    """inspect finds each secret in the directory of its phase"""
    example = example_of(directory)

    def seen():
        stages = json.loads(example.inspect("--json").out)
        return next((stage["state"], stage["seen"]) for stage in stages if stage["stage"] == "activate")

    places = "/run/secrets, /run/secrets-for-users, /run/activation-secrets"
    expect(example.activate())
    equal(seen(), ("missing", f"1 of 3 in {places}, in memory only, with the store's value"))
    expect(activate(example, "users"))
    expect(activate(example, "activation"))
    equal(seen(), ("seen", f"3 of 3 in {places}, in memory only, with the store's value"))


def test_an_unknown_phase_is_an_error_with_a_suggestion(directory):
    """an unknown phase is an error with a suggestion"""
    example = example_of(directory)
    expect(activate(example, "user"), 2, "", 'vmcred: --needed-for: unknown phase "user": did you mean "users"?\n')
    fails(activate(example, "boot"), 2, "boot", "services, users, activation, partitioning")
    assert not example.root.exists()


harness.main()
