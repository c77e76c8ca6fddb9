# SPDX-License-Identifier: Apache-2.0
"""vmcred called as sops-install-secrets, and `vmcred activate MANIFEST`: the installed files, and the state after a
failure."""
import json
import os
import re
import tempfile
from pathlib import Path

import harness
from harness import VMCRED, equal, expect, fails, need, need_root, test, vmcred
from manifests import DOCUMENTS, Manifest, personality

COMMAND = [VMCRED, "activate"]


def ours(directory, **options):
    return Manifest(directory, personality(directory), **options)


def inodes(manifest):
    return {str(path): path.lstat().st_ino for path in sorted(manifest.run_directory.rglob("*"))}


def test_secrets_of_all_formats(directory):
    """secrets of all formats are in the current generation with their modes, and links lead to them"""
    manifest = ours(directory).add_all()
    expect(manifest.install(), 0, "", "")
    equal(os.readlink(manifest.run_directory / "secrets"), f"{manifest.run_directory}/secrets.d/1")
    equal(os.readlink(directory / "links/whole"), f"{manifest.run_directory}/secrets/whole")
    wanted = {
        "top": b"first value",
        "deep/er": b"two\nlines\n",
        "whole": DOCUMENTS["one.yaml"].encode(),
        "plain": b"of JSON",
        "env": DOCUMENTS["three.env"].encode(),
        "ini": DOCUMENTS["four.ini"].encode(),
        "bin": DOCUMENTS["five.bin"].encode(),
    }
    equal({name: manifest.active(name) for name in wanted}, wanted)
    modes = {path.split("/", 2)[2]: entry[0] for path, entry in manifest.tree().items() if path.startswith("secrets.d/1/")}
    equal(
        modes,
        {
            "bin": "-rw-------", "deep": "drwxr-x--x", "deep/er": "-r--r-----", "env": "-r--r--r--", "ini": "-r--------",
            "plain": "-r--------", "top": "-r--------", "whole": "-r--------",
        },
    )  # fmt: skip


def test_damaged_comment_is_a_warning(directory):
    """a document in which a comment was changed is installed, with a warning"""
    manifest = ours(directory)
    manifest.write("one.yaml", "# comment\ntop: first value\n")
    path = directory / "one.yaml"
    path.write_text(path.read_text().replace("#ENC[AES256_GCM,data:", "#ENC[AES256_GCM,data:AAAA"))
    result = expect(manifest.add("top", "one.yaml", "top").install(), 0, "")
    equal((str(path) in result.err, result.err.count("\n")), (True, 1), result.err)
    equal(manifest.active("top"), b"first value")


def test_key_in_json_maps(directory):
    """a key in nested maps of a JSON document is found, as in YAML"""
    manifest = ours(directory)
    manifest.write("two.json", '{"outer": {"inner": "found"}}')
    expect(manifest.add("inner", "two.json", "outer/inner").install(), 0, "", "")
    equal(manifest.active("inner"), b"found")


def test_templates(directory):
    """placeholders in templates are replaced by secrets, and placeholders in secrets are not replaced"""
    manifest = ours(directory)
    manifest.add("one", "two.json", "plain").add("top", "one.yaml", "top")
    manifest.write("two.json", json.dumps({"plain": manifest.placeholder("top")}))
    text = f"a={manifest.placeholder('one')};b={manifest.placeholder('top')}{manifest.placeholder('top')};<SOPS:\n"
    (directory / "file").write_text(text)
    manifest.add_template("in/line", text, mode="0400").add_template("filed", "", file=str(directory / "file"))
    expect(manifest.install(), 0, "", "")
    rendered = f"a={manifest.placeholder('top')};b=first valuefirst value;<SOPS:\n".encode()
    equal(manifest.active("rendered/in/line"), rendered)
    equal(manifest.active("rendered/filed"), rendered)


def test_template_with_any_bytes(directory):
    """a template's file may contain any bytes, and modes do not depend on the umask"""
    manifest = ours(directory).add("bin", "five.bin", mode="0666")
    manifest.add_template("bytes", "", file=str(directory / "bytes"), mode="0642")
    (directory / "bytes").write_bytes(b"\0\xff" + manifest.placeholder("bin").encode() + b"\0")
    expect(manifest.install(prefix=("sh", "-c", 'umask 077; exec "$@"', "sh")), 0, "", "")
    equal(manifest.active("rendered/bytes"), b"\0\xff" + DOCUMENTS["five.bin"].encode() + b"\0")
    modes = {path: entry[0] for path, entry in manifest.tree().items() if path.startswith("secrets.d/1/")}
    equal(
        modes,
        {
            "secrets.d/1/bin": "-rw-rw-rw-", "secrets.d/1/rendered": "drwxr-x--x", "secrets.d/1/rendered/bytes": "-rw-r---w-",
        },
    )  # fmt: skip


def test_documents_are_opened_in_parallel(directory):
    """several threads open documents at once, each document once"""
    manifest = ours(directory)
    for number in range(60):
        (directory / f"{number}.yaml").write_bytes((directory / "one.yaml").read_bytes())
        manifest.add(f"s{number}", "one.yaml", "top", sopsFile=str(directory / f"{number}.yaml"))
    environment = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}
    prefix = (need("strace"), "-f", "-qq", "-e", "trace=openat", "-o", directory / "trace")
    expect(manifest.install(env=environment, prefix=prefix), 0, "", "")
    opens = re.findall(r"^(\d+) +openat.*/(\d+)\.yaml", (directory / "trace").read_text(), re.M)
    equal(sorted(int(number) for _thread, number in opens), list(range(60)))
    equal(len({thread for thread, _number in opens}) > 1, len(os.sched_getaffinity(0)) > 1)


def test_nothing_changed(directory):
    """if nothing changed, nothing is written and all inodes stay the same"""
    manifest = ours(directory).add_all()
    manifest.add_template("t", manifest.placeholder("top"))
    expect(manifest.install(), 0, "", "")
    before = inodes(manifest), manifest.tree()
    expect(manifest.install(program=COMMAND), 0, "7 secrets in generation 1, unchanged\n", "")
    equal((inodes(manifest), manifest.tree()), before)


def test_new_generations(directory):
    """a changed template or a removed secret creates a new generation, and keepGenerations limits how many are kept"""
    manifest = ours(directory).add_all().add_template("t", "old")
    manifest.content["keepGenerations"] = 2
    for number in (1, 2, 3):
        manifest.content["templates"][0]["content"] = f"text {number}"
        expect(manifest.install(program=COMMAND), 0, f"7 secrets in generation {number}\n", "")
    equal(manifest.generations(), ["2", "3"])
    manifest.secrets.pop()
    expect(manifest.install(), 0, "", "")
    equal(manifest.generations(), ["3", "4"])
    equal((manifest.run_directory / "secrets/bin").exists(), False)
    manifest.content["keepGenerations"] = 0
    manifest.secrets.pop()
    expect(manifest.install(), 0, "", "")
    equal(manifest.generations(), ["3", "4", "5"])


def test_old_generation_is_wiped(directory):
    """files of a removed generation are wiped, also for a reader that has them open"""
    manifest = ours(directory).add("top", "one.yaml", "top").add_template("t", "text")
    expect(manifest.install(), 0, "", "")
    with open(manifest.run_directory / "secrets/top", "rb") as reader, open(manifest.run_directory / "secrets/rendered/t", "rb") as other:
        manifest.secrets[0]["key"] = "nested/deep/key"
        expect(manifest.install(), 0, "", "")
        equal((reader.read(), other.read()), (bytes(len("first value")), bytes(len("text"))))


def test_document_is_opened_once(directory):
    """a document with many secrets is opened once"""
    manifest = ours(directory)
    for number in range(20):
        manifest.add(f"s{number}", "one.yaml", "top")
    # LeakSanitizer does not work under strace.
    environment = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}
    result = manifest.install(env=environment, prefix=(need("strace"), "-f", "-qq", "-e", "trace=openat", "-o", directory / "trace"))
    expect(result, 0, "", "")
    equal((directory / "trace").read_text().count("one.yaml"), 1)


def unchanged(sentence, damage, message):
    """After `damage(manifest)`, installing fails with the message, and the old generation is unchanged."""

    @test(sentence)
    def test_unchanged(directory):
        manifest = ours(directory).add_all().add_template("t", "text")
        expect(manifest.install(), 0, "", "")
        manifest.content["templates"][0]["content"] = "other"
        damage(manifest)
        before = manifest.tree()
        expect(manifest.install(), 1, "", "vmcred: " + message.replace("DIRECTORY", str(directory)) + "\n")
        equal(manifest.tree(), before)


def first(**members):
    return lambda manifest: manifest.secrets[0].update(members)


unchanged(
    "a key missing in a document is an error that names secret, file and key",
    first(key="nested/lost/key"),
    "DIRECTORY/manifest.json: secret top: DIRECTORY/one.yaml: missing key \"nested/lost\"",
)
unchanged(
    "a key that leads through a value that is not a map is an error",
    first(key="number/of"),
    "DIRECTORY/manifest.json: secret top: DIRECTORY/one.yaml: \"number\" is not a map",
)
unchanged(
    "an invalid mode is an error",
    first(mode="0888"),
    'DIRECTORY/manifest.json: secret top: mode "0888" is not an octal number up to 777',
)
unchanged(
    "a name that leads out of the directory is an error",
    first(name="a/../../b"),
    'DIRECTORY/manifest.json: secret a/../../b: the name must be a relative path without "." and ".."',
)
unchanged(
    "an unknown format is an error",
    first(format="toml"),
    'DIRECTORY/manifest.json: secret top: unknown format "toml": use yaml, json, dotenv, ini or binary',
)
unchanged(
    "a document with two formats is an error",
    first(format="json"),
    "DIRECTORY/manifest.json: secret deep/er: DIRECTORY/one.yaml has the format yaml, but json for the secret top",
)
unchanged(
    "a missing document is an error",
    first(sopsFile="/nowhere/one.yaml"),
    "DIRECTORY/manifest.json: secret top: opening /nowhere/one.yaml: No such file or directory",
)
unchanged(
    "a secret without a placeholder is an error if there are templates",
    lambda manifest: manifest.content["placeholderBySecretName"].pop("top"),
    "DIRECTORY/manifest.json: secret top: missing in placeholderBySecretName",
)
unchanged(
    "gnupgHome with an age key is an error",
    lambda manifest: manifest.content.update(gnupgHome="/nowhere"),
    "DIRECTORY/manifest.json: gnupgHome and ageKeyFile exclude each other",
)
unchanged(
    "a link that cannot be created is an error",
    lambda manifest: (manifest.directory / "links/full/x").mkdir(parents=True)
    or manifest.secrets[1].update(path=str(manifest.directory / "links/full")),
    "creating the link for deep/er: replacing the directory DIRECTORY/links/full: Directory not empty",
)


def test_number_is_not_a_secret(directory):
    """a number cannot be a secret, although sops encrypts numbers"""
    manifest = ours(directory).add("number", "one.yaml", "number")
    expect(
        manifest.install(), 1, "", f"vmcred: secret number: {directory}/one.yaml: \"number\" is not a string\n",
    )  # fmt: skip
    equal(manifest.tree(), {})


def test_check_mode(directory):
    """-check-mode checks the manifest, or also the documents, and changes nothing"""
    manifest = ours(directory).add_all()
    for mode in (["-check-mode", "manifest"], ["--check-mode=sopsfile"], ["-check-mode=manifest", "-ignore-passwd"]):
        expect(manifest.install(*mode), 0, "", "")
    manifest.secrets[0].update(key="lost", owner="no-such-user")
    expect(manifest.install("-check-mode", "manifest"), 0, "", "")
    message = f"vmcred: {directory}/manifest.json: secret top: {directory}/one.yaml: missing key \"lost\"\n"
    expect(manifest.install("-check-mode", "sopsfile"), 1, "", message)
    expect(manifest.install("--check-mode", "sopsfile", program=COMMAND), 3, "", message)
    equal(manifest.tree(), {})


def test_usage_errors(directory):
    """unknown flags are usage errors, and -h lists the flags"""
    manifest = ours(directory)
    hint = ": see `sops-install-secrets -h`\n"
    expect(manifest.install("-chekc-mode=off"), 1, "", "vmcred: unknown option -chekc-mode" + hint)
    expect(manifest.install("-ignore-passwd=maybe"), 1, "", "vmcred: -ignore-passwd must be true or false" + hint)
    expect(
        manifest.install("-check-mode", "none"),
        1,
        "",
        'vmcred: unknown check mode "none": use manifest, sopsfile or off\n',
    )
    expect(manifest.install("another"), 1, "", "vmcred: expected one manifest" + hint)
    equal(manifest.install("-h").out.splitlines()[0], "Usage: sops-install-secrets [OPTION...] MANIFEST")
    expect(
        vmcred("activate", "--machine", "m", directory / "manifest.json"),
        2,
        "",
        "vmcred: --machine, --needed-for, --identity, --root, --restart, --restart-pending and --dry-run cannot be used with a "
        "manifest\n",
    )
    expect(
        vmcred("activate", "--ignore-passwd"),
        2,
        "",
        "vmcred: --check-mode and --ignore-passwd need a manifest\n",
    )


def test_user_mode_needs_a_memory_file_system(directory):
    """in user mode nothing is written to a disk"""
    manifest = ours(directory).add_all()
    place = Path(tempfile.mkdtemp(prefix="vmcred-test.", dir=harness.SOURCE / "tests"))
    manifest.content["secretsMountPoint"] = str(place)
    try:
        result = manifest.install()
        equal(list(os.scandir(place)), [])
    finally:
        os.rmdir(place)
    fails(result, 1, f"secretsMountPoint {place}", "memory file system", "$XDG_RUNTIME_DIR")


def test_system_mode(directory):
    """as root, secrets are on a separate mount with their owners, and NixOS's lists contain the units of changed secrets"""
    need_root()
    manifest = ours(directory, system=True).add_all()
    manifest.content["logging"]["secretChanges"] = True
    manifest.content["secretsMountPoint"], manifest.content["symlinkPath"] = "/run/secrets.d", "/run/secrets"
    for secret in manifest.secrets:
        secret["path"] = f"/run/secrets/{secret['name']}"
    manifest.secrets[0].update(owner="nobody", gid=77)
    after = json.loads(json.dumps(manifest.content))
    after["secrets"][0]["key"] = "nested/deep/key"
    after["secrets"][1]["mode"] = "0400"
    after["secrets"][3]["name"] = "renamed"
    (directory / "after.json").write_text(json.dumps(after))
    script = f"""
        mount -t tmpfs run /run && mkdir /run/nixos && "$@" && stat -c '%n %a %u %g' /run/secrets.d /run/secrets/top
        grep -c ' /run/secrets.d .*nosuid,nodev,noexec' /proc/self/mountinfo
        NIXOS_ACTION=dry-activate "$1" {directory}/after.json && readlink /run/secrets
        "$1" {directory}/after.json && readlink /run/secrets
        grep '' /run/nixos/* && stat -c %a /run/nixos/activation-restart-list
    """
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    gid = 65534
    expect(
        manifest.install(prefix=prefix),
        0,
        f"/run/secrets.d 751 0 {gid}\n/run/secrets/top 400 65534 77\n1\n"
        "would add secret: renamed\nwould modify secret: top\nwould remove secret: plain\n/run/secrets.d/1\n"
        "adding secret: renamed\nmodifying secret: top\nremoving secret: plain\n/run/secrets.d/2\n"
        "/run/nixos/activation-restart-list:a.service\n/run/nixos/activation-restart-list:b.service\n"
        "/run/nixos/activation-restart-list:a.service\n"
        "/run/nixos/dry-activation-restart-list:a.service\n/run/nixos/dry-activation-restart-list:b.service\n"
        "/run/nixos/dry-activation-restart-list:a.service\n600\n",
        "",
    )


def test_systemctl_restarts_units(directory):
    """if requested in the environment, systemctl restarts the units, with its output on stderr, and no list is written"""
    need_root()
    manifest = ours(directory, system=True).add_all()
    manifest.content["secretsMountPoint"], manifest.content["symlinkPath"] = "/run/secrets.d", "/run/secrets"
    harness.write_program(directory / "systemctl", '#!/bin/sh\necho systemctl "$@"\n')
    after = json.loads(json.dumps(manifest.content))
    after["secrets"][0]["key"] = "nested/deep/key"
    after["secrets"][1]["key"] = "top"
    (directory / "after.json").write_text(json.dumps(after))
    script = f"""
        mount -t tmpfs run /run && mkdir /run/nixos && "$@" && NIXOS_ACTION=dry-activate "$1" {directory}/after.json &&
        "$1" {directory}/after.json && ls /run/nixos
    """
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    expect(
        manifest.install(
            prefix=prefix, env={"SOPS_RESTART_UNITS_VIA_SYSTEMCTL": "1", "PATH": f"{directory}:{os.environ['PATH']}"}
        ),
        0,
        "",
        "would restart a.service\nwould restart b.service\nwould reload c.service\n"
        "systemctl --no-block try-restart a.service b.service\nsystemctl --no-block try-reload-or-restart c.service\n",
    )


harness.main()
