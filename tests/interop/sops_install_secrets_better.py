# SPDX-License-Identifier: Apache-2.0
"""Intended differences from the real sops-install-secrets. Each test also checks the behavior of the real one, so that it
fails when the difference disappears."""
import copy

import harness
from harness import equal, expect, vmcred
from installers import each, one, system_manifest


def outputs(directory, manifests, script, *expected):
    """Compares the output of the script with the real program and with ours."""
    results = each(directory, manifests, f'try() {{ if $program "$@" >said 2>&1; then echo yes; else echo no; fi; }}\n{script}')
    for result, text in zip(results, expected):
        equal((result.code, " ".join(result.out.split())), (0, text), result.err)


def test_nothing_changed(directory):
    """if nothing changed, ours keeps the generation and files, and the real one creates new ones"""
    content = one(directory).add_template("t", "text").content
    outputs(
        directory,
        {"m": content},
        "try m; before=$(stat -L -c %i /run/secrets/top); try m; readlink /run/secrets\n"
        "[ $before = $(stat -L -c %i /run/secrets/top) ] && echo same || echo other",
        "yes yes /run/secrets.d/2 other",
        "yes yes /run/secrets.d/1 same",
    )


def test_age_keys_on_disk(directory):
    """ours leaves no age key, and the real one a file with all of them"""
    outputs(
        directory, {"m": one(directory).content}, "try m; grep -rl AGE-SECRET-KEY /run || :", "yes /run/secrets.d/age-keys.txt", "yes"
    )


def test_dry_activation_writes_nothing(directory):
    """a dry activation of ours mounts and writes nothing, and of the real one writes the secrets"""
    outputs(
        directory,
        {"m": one(directory).content},
        "NIXOS_ACTION=dry-activate try m; find /run/secrets.d -type f 2>/dev/null | sort\n"
        "grep -c /run/secrets.d /proc/self/mountinfo || :",
        "yes /run/secrets.d/1/top /run/secrets.d/age-keys.txt 1",
        "yes 0",
    )


def test_failed_link(directory):
    """after a failed link, ours changes nothing, and the real one leaves new secrets and some of the links"""
    content = one(directory, path="/run/links/first").add("plain", "two.json", "plain", path="/run/links/plain").content
    changed = copy.deepcopy(content)
    changed["secrets"][0] |= {"key": "nested/deep/key", "path": "/run/links/second"}
    changed["secrets"][1]["path"] = "/run/links/full"
    outputs(
        directory,
        {"m": content, "changed": changed},
        "try m; mkdir -p /run/links/full/x; try changed; readlink /run/secrets; ls /run/links; ls /run/secrets.d | grep -v txt",
        "yes no /run/secrets.d/2 first full plain second 1 2",
        "yes no /run/secrets.d/1 first full plain 1",
    )


def test_link_of_removed_secret(directory):
    """ours removes the link of a removed secret, and the real one leaves it dangling"""
    content = one(directory).add("plain", "two.json", "plain", path="/run/links/plain").content
    less = content | {"secrets": content["secrets"][:1]}
    outputs(directory, {"m": content, "less": less}, "try m; try less; ls /run/links", "yes yes plain", "yes yes")


def test_duplicate_paths(directory):
    """a link to the path of another secret and two secrets with one name are errors of ours; the real one keeps the last"""
    content = one(directory).add("plain", "two.json", "plain").content
    names, paths = copy.deepcopy(content), copy.deepcopy(content)
    names["secrets"][1]["name"] = "top"
    paths["secrets"][1]["path"] = "/run/secrets/top"
    outputs(
        directory,
        {"names": names, "paths": paths},
        "try names; cat /run/secrets/top 2>/dev/null || :; echo; try paths; cat /run/secrets/top 2>/dev/null || :",
        "yes of JSON yes of JSON",
        "no no",
    )


def test_name_outside_generation(directory):
    """a name that leads out of the generation is an error of ours; the real one writes the file there"""
    content = one(directory, name="../../escaped", path="/run/links/x").content
    outputs(directory, {"m": content}, "try m; cat /run/escaped 2>/dev/null || :", "yes first value", "no")


def test_unknown_format(directory):
    """an unknown format is an error of ours, and YAML for the real one"""
    outputs(directory, {"m": one(directory, format="toml").content}, "try m; try -check-mode manifest m", "yes yes", "no no")


def test_key_in_json_map(directory):
    """a key in a map of a JSON document is found by ours, and not by the real one"""
    manifest = system_manifest(directory).add("inner", "two.json", "outer/inner")
    manifest.write("two.json", '{"outer": {"inner": "found"}}')
    outputs(directory, {"m": manifest.content}, "try m; cat /run/secrets/inner 2>/dev/null || :", "no", "yes found")


def test_umask(directory):
    """with ours, modes do not depend on the umask; with the real one they do"""
    outputs(
        directory,
        {"m": one(directory, mode="0664").content},
        "umask 077; try m; stat -L -c %a /run/secrets/top /run/secrets.d /run/secrets.d/1",
        "yes 600 751 700",
        "yes 664 751 751",
    )


def test_mode_with_special_bits(directory):
    """a mode with more than permission bits is an error of ours; the real one ignores the other bits"""
    content = one(directory, mode="4755").content
    outputs(directory, {"m": content}, "try m; stat -L -c %a /run/secrets/top 2>/dev/null || :", "yes 755", "no")


def test_units_restart_after_switch(directory):
    """ours restarts units after the switch to the new secrets, and the real one before it"""
    content = one(directory, restartUnits=["a.service"]).content
    changed = copy.deepcopy(content)
    changed["secrets"][0]["key"] = "nested/deep/key"
    harness.write_program(directory / "systemctl", "#!/bin/sh\ncat /run/secrets/top >/run/seen\n")
    outputs(
        directory,
        {"m": content, "changed": changed},
        f"export SOPS_RESTART_UNITS_VIA_SYSTEMCTL=1 PATH={directory}:$PATH; try m; try changed; cat /run/seen",
        "yes yes first value",
        "yes yes two lines",
    )


def test_placeholder_in_a_secret(directory):
    """ours does not replace a placeholder in the value of a secret"""
    manifest = system_manifest(directory).add("plain", "two.json", "plain").add("top", "one.yaml", "top")
    manifest.write("two.json", f'{{"plain": "{manifest.placeholder("top")}"}}')
    manifest.add_template("t", manifest.placeholder("plain"), mode="0400")
    results = each(directory, {"m": manifest.content}, "$program m; cat /run/secrets/rendered/t")
    equal(results[1].out, manifest.placeholder("top"))
    # The real one replaces them in random order.
    equal(results[0].out in ("first value", manifest.placeholder("top")), True, results[0].out)


def test_number_of_manifests(directory):
    """a call without a manifest or with two is an error of ours; the real one prints its usage and succeeds"""
    content = one(directory).content
    outputs(directory, {"m": content}, "try; try m m; try m -ignore-passwd; ls -I mount /run", "yes yes yes nixos", "no no no nixos")


def test_key_in_sops_metadata(directory):
    """-check-mode sopsfile of ours refuses a key in SOPS's metadata, which the real one only finds when installing"""
    outputs(directory, {"m": one(directory, key="sops/mac").content}, "try -check-mode sopsfile m; try m", "yes no", "no no")


def test_trailing_slashes(directory):
    """ours accepts trailing slashes in symlinkPath"""
    content = one(directory).content | {"symlinkPath": "/run/secrets/", "secretsMountPoint": "/run/secrets.d//"}
    outputs(directory, {"m": content}, "try m; cat /run/secrets/top 2>/dev/null || :", "no", "yes first value")


def test_world_writable_age_key(directory):
    """an age key that others can write is an error of ours"""
    content = one(directory).content
    (directory / "key.txt").chmod(0o666)
    outputs(directory, {"m": content}, "try m", "yes", "no")


def test_no_mount_after_failure(directory):
    """ours leaves no mount after a failure"""
    outputs(
        directory, {"m": one(directory, key="lost").content, "number": one(directory, key="number").content},
        "try m; try number; grep -c /run/secrets.d /proc/self/mountinfo || :", "no no 1", "no no 0",
    )  # fmt: skip


harness.main()
