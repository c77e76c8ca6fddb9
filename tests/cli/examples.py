# SPDX-License-Identifier: Apache-2.0
"""examples/generators: what a new user reads first is generated and used."""
import re
import shutil

import harness
from harness import SOURCE, VMCRED, equal, expect, run, vmcred

DECLARATION = SOURCE / "examples" / "generators" / "vmcred.yaml"


def prepared(folder):
    """The example in a store of its own, with a word list and two answers."""
    shutil.copy(DECLARATION, folder)
    (folder / "words.txt").write_text("".join(f"word{number}\n" for number in range(2048)))
    (folder / "password").write_text("hunter2\n")
    (folder / "host").write_text("db.example\n")
    config = folder / "vmcred.yaml"
    for machine in "web", "db":
        expect(vmcred("keygen", "--config", config, "--machine", machine, "--output", folder / machine))
    expect(vmcred("keygen", "--config", config, "--output", folder / "me"))
    key = re.search("age1[a-z0-9]+", (folder / "me").read_text()).group()
    expect(vmcred("user", "add", "--config", config, "me", "--age-key", key))
    return config


def answers(folder):
    return "--prompt", f"root-password/password=@{folder}/password", "--prompt", f"host=@{folder}/host"


def get(config, machine, file):
    return expect(vmcred("get", "--config", config, "--identity", config.parent / "me", machine, file), 0, None, "").out


def test_the_example_has_every_kind(folder):
    """the example and the manual have every kind"""
    table = (SOURCE / "src" / "config" / "builtin.c").read_text()
    kinds = set(re.findall(r'\{\s*"([a-z0-9-]+)",\s*CONFIG_BUILTIN_', table))
    assert len(kinds) > 10, kinds
    text = re.sub("#.*", "", DECLARATION.read_text())
    used = {kind for kind in kinds if re.search(r"[{:]\s*%s\b\s*[:\n}]" % kind, text)}
    equal(kinds - used, set())
    manual = (SOURCE / "docs" / "vmcred.yaml.5.scd").read_text().split("## Kinds")[1]
    equal({kind for kind in kinds if f"*{kind}*" not in manual}, set())


def test_commands_example_first_lines_do_they_say(folder):
    """the commands in the example's first lines do what they say"""
    prepared(folder)
    shutil.rmtree(folder / "sops")
    for name in "web", "db", "me":
        (folder / name).unlink()
    commands = re.findall("^#     (.*)$", DECLARATION.read_text(), re.M)
    equal(len(commands), 3)
    script = "\n".join(["set -eu", f'vmcred() {{ "{VMCRED}" "$@"; }}'] + commands)
    script = script.replace("vmcred generate", "vmcred generate " + " ".join(answers(folder)))
    result = expect(run("bash", "-c", script, cwd=folder), 0, None)
    assert result.out.splitlines()[-1].endswith("files are as declared"), result.out


def test_example_generated_declared_afterwards_files_names(folder):
    """the example is generated, is as declared afterwards, and its files are what their names say"""
    config = prepared(folder)
    result = expect(vmcred("generate", "--config", config, *answers(folder)), 0, None, "")
    equal(len(result.out.splitlines()), 15)
    expect(vmcred("generate", "--config", config), 0, "nothing to do: all declared secrets exist\n", "")
    files = len(re.findall("generated", result.out)) and sum(line.split(": generated ")[1].count(",") + 1 for line in result.out.splitlines())
    expect(vmcred("check", "--config", config), 0, f"all {files} files are as declared\n", "")
    equal(get(config, "web", "database-url/url"), f"postgres://web:{get(config, 'web', 'tokens/invite-code')}@db.example:5432/web")
    hashed = get(config, "db", "root-password/hash")
    equal(run("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", "hunter2", hashed).out, hashed)
    leaf = folder / "vars/per-machine/web/certificate/tls.crt/value"
    expect(run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-untrusted", leaf,
               "-CAfile", folder / "vars/shared/ca/ca.crt/value", leaf), 0, f"{leaf}: OK\n", "")  # fmt: skip
    # What the comments say of who gets what.
    for machine, file in ("web", "ca/ca.key"), ("web", "root-password/password"), ("db", "recovery/passphrase"):
        equal(vmcred("get", "--config", config, "--identity", folder / machine, machine, file).code, 3)


def test_changed_validation_regenerates_file(folder):
    """a changed validation in the example regenerates its script's file without asking again"""
    config = prepared(folder)
    expect(vmcred("generate", "--config", config, *answers(folder)))
    config.write_text(config.read_text().replace("5432", "5433"))
    expect(
        vmcred("generate", "--config", config, "--identity", folder / "me"), 0, "database-url for web: generated url, host\n",
        "vmcred: warning: database-url for web: regenerating its files because its validation has changed\n",
    )  # fmt: skip
    assert get(config, "web", "database-url/url").endswith("@db.example:5433/web")


harness.main()
