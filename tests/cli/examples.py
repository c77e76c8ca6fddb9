# SPDX-License-Identifier: Apache-2.0
"""examples/generators, which new users read first: it is generated and used."""
import re
import shutil

import harness
from harness import SOURCE, VMCRED, equal, expect, run, succeeds, vmcred

DECLARATION = SOURCE / "examples" / "generators" / "vmcred.yaml"


def prepared(directory):
    """The example in a store of its own, with a word list and two answers."""
    shutil.copy(DECLARATION, directory)
    (directory / "words.txt").write_text("".join(f"word{number}\n" for number in range(2048)))
    (directory / "password").write_text("hunter2\n")
    (directory / "host").write_text("db.example\n")
    config = directory / "vmcred.yaml"
    for machine in "web", "db":
        expect(vmcred("keygen", "--config", config, "--machine", machine, "--output", directory / machine))
    expect(vmcred("keygen", "--config", config, "--output", directory / "me"))
    key = re.search("age1[a-z0-9]+", (directory / "me").read_text()).group()
    expect(vmcred("user", "add", "--config", config, "me", "--age-key", key))
    return config


def answers(directory):
    return "--prompt", f"root-password/password=@{directory}/password", "--prompt", f"host=@{directory}/host"


def get(config, machine, file):
    return expect(vmcred("get", "--config", config, "--identity", config.parent / "me", machine, file), 0, None, "").out


def test_example_has_every_kind(directory):
    """the example and the manual have every kind"""
    table = (SOURCE / "src" / "config" / "builtin.c").read_text()
    kinds = set(re.findall(r'\{\s*"([a-z0-9-]+)",\s*CONFIG_BUILTIN_', table))
    assert len(kinds) > 10, kinds
    text = re.sub("#.*", "", DECLARATION.read_text())
    used = {kind for kind in kinds if re.search(r"[{:]\s*%s\b\s*[:\n}]" % kind, text)}
    equal(kinds - used, set())
    manual = (SOURCE / "docs" / "vmcred.yaml.5.scd").read_text().split("## Kinds")[1]
    equal({kind for kind in kinds if f"*{kind}*" not in manual}, set())


def test_commands_in_first_lines(directory):
    """the commands in the example's first lines work"""
    prepared(directory)
    shutil.rmtree(directory / "sops")
    for name in "web", "db", "me":
        (directory / name).unlink()
    commands = re.findall("^#     (.*)$", DECLARATION.read_text(), re.M)
    equal(len(commands), 3)
    script = "\n".join(["set -eu", f'vmcred() {{ "{VMCRED}" "$@"; }}'] + commands)
    script = script.replace("vmcred generate", "vmcred generate " + " ".join(answers(directory)))
    result = expect(run("bash", "-c", script, cwd=directory), 0, None)
    assert result.out.splitlines()[-1].startswith("all "), result.out


def test_example_is_generated(directory):
    """the example is generated, check succeeds afterwards, and its files have the declared formats"""
    config = prepared(directory)
    result = expect(vmcred("generate", "--config", config, *answers(directory)), 0, None, "")
    equal(len(result.out.splitlines()), 15)
    succeeds(vmcred("generate", "--config", config), "nothing to do")
    files = sum(line.split(": generated ")[1].count(",") + 1 for line in result.out.splitlines())
    succeeds(vmcred("check", "--config", config), f"all {files} files")
    equal(get(config, "web", "database-url/url"), f"postgres://web:{get(config, 'web', 'tokens/invite-code')}@db.example:5432/web")
    hashed = get(config, "db", "root-password/hash")
    equal(run("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", "hunter2", hashed).out, hashed)
    leaf = directory / "vars/per-machine/web/certificate/tls.crt/value"
    expect(run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-untrusted", leaf,
               "-CAfile", directory / "vars/shared/ca/ca.crt/value", leaf), 0, f"{leaf}: OK\n", "")  # fmt: skip
    # The recipients that the comments name.
    for machine, file in ("web", "ca/ca.key"), ("web", "root-password/password"), ("db", "recovery/passphrase"):
        equal(vmcred("get", "--config", config, "--identity", directory / machine, machine, file).code, 3)


def test_changed_validation_regenerates_file(directory):
    """a changed validation in the example regenerates its script's file without asking again"""
    config = prepared(directory)
    expect(vmcred("generate", "--config", config, *answers(directory)))
    config.write_text(config.read_text().replace("5432", "5433"))
    result = vmcred("generate", "--config", config, "--identity", directory / "me")
    expect(result, 0, "database-url for web: generated url, host\n")
    assert "database-url for web" in result.err and "validation" in result.err, result.err
    assert get(config, "web", "database-url/url").endswith("@db.example:5433/web")


harness.main()
