# SPDX-License-Identifier: Apache-2.0
"""Where ours differs from the real sops-install-secrets on purpose: each test shows what the real one does, too, so that
a difference which is none any more is seen."""
import copy

import harness
from harness import equal, expect, vmcred
from installers import each, one, system_manifest


def outputs(folder, manifests, script, *expected):
    """What the script prints with the real program and with ours."""
    results = each(folder, manifests, f'try() {{ if $program "$@" >said 2>&1; then echo yes; else echo no; fi; }}\n{script}')
    for result, text in zip(results, expected):
        equal((result.code, " ".join(result.out.split())), (0, text), result.err)


def test_where_nothing_changed_ours_keeps_generation_files(folder):
    """where nothing changed, ours keeps generation and files, and the real one makes new ones"""
    content = one(folder).add_template("t", "text").content
    outputs(
        folder,
        {"m": content},
        "try m; before=$(stat -L -c %i /run/secrets/top); try m; readlink /run/secrets\n"
        "[ $before = $(stat -L -c %i /run/secrets/top) ] && echo same || echo other",
        "yes yes /run/secrets.d/2 other",
        "yes yes /run/secrets.d/1 same",
    )


def test_ours_leaves_no_age_key_behind_real_all_them_file(folder):
    """ours leaves no age key behind, and the real one all of them in a file"""
    outputs(
        folder, {"m": one(folder).content}, "try m; grep -rl AGE-SECRET-KEY /run || :", "yes /run/secrets.d/age-keys.txt", "yes"
    )


def test_dry_activation_ours_mounts_writes_nothing_real(folder):
    """a dry activation of ours mounts and writes nothing, and the real one writes the secrets"""
    outputs(
        folder,
        {"m": one(folder).content},
        "NIXOS_ACTION=dry-activate try m; find /run/secrets.d -type f 2>/dev/null | sort\n"
        "grep -c /run/secrets.d /proc/self/mountinfo || :",
        "yes /run/secrets.d/1/top /run/secrets.d/age-keys.txt 1",
        "yes 0",
    )


def test_link_cannot_made_leaves_all_ours_new_secrets_half(folder):
    """a link that cannot be made leaves all as it was with ours, and new secrets with half of the links with the real one"""
    content = one(folder, path="/run/links/first").add("plain", "two.json", "plain", path="/run/links/plain").content
    changed = copy.deepcopy(content)
    changed["secrets"][0] |= {"key": "nested/deep/key", "path": "/run/links/second"}
    changed["secrets"][1]["path"] = "/run/links/full"
    outputs(
        folder,
        {"m": content, "changed": changed},
        "try m; mkdir -p /run/links/full/x; try changed; readlink /run/secrets; ls /run/links; ls /run/secrets.d | grep -v txt",
        "yes no /run/secrets.d/2 first full plain second 1 2",
        "yes no /run/secrets.d/1 first full plain 1",
    )


def test_link_removed_secret_goes_ours_leads_nowhere_real(folder):
    """the link of a removed secret goes with it with ours, and leads nowhere with the real one"""
    content = one(folder).add("plain", "two.json", "plain", path="/run/links/plain").content
    less = content | {"secrets": content["secrets"][:1]}
    outputs(folder, {"m": content, "less": less}, "try m; try less; ls /run/links", "yes yes plain", "yes yes")


def test_link_wanted_another_secret_place_two_secrets_name(folder):
    """a link wanted in another secret's place, or two secrets of one name, are errors of ours; the real one keeps the last"""
    content = one(folder).add("plain", "two.json", "plain").content
    names, paths = copy.deepcopy(content), copy.deepcopy(content)
    names["secrets"][1]["name"] = "top"
    paths["secrets"][1]["path"] = "/run/secrets/top"
    outputs(
        folder,
        {"names": names, "paths": paths},
        "try names; cat /run/secrets/top 2>/dev/null || :; echo; try paths; cat /run/secrets/top 2>/dev/null || :",
        "yes of JSON yes of JSON",
        "no no",
    )


def test_name_leads_out_generation_error_ours_file_anywhere(folder):
    """a name that leads out of the generation is an error of ours, and a file anywhere with the real one"""
    content = one(folder, name="../../escaped", path="/run/links/x").content
    outputs(folder, {"m": content}, "try m; cat /run/escaped 2>/dev/null || :", "yes first value", "no")


def test_format_does_not_exist_error_ours_yaml_real(folder):
    """a format that does not exist is an error of ours, and YAML to the real one"""
    outputs(folder, {"m": one(folder, format="toml").content}, "try m; try -check-mode manifest m", "yes yes", "no no")


def test_key_map_json_document_found_ours_never_real(folder):
    """a key in a map of a JSON document is found by ours, and never by the real one"""
    manifest = system_manifest(folder).add("inner", "two.json", "outer/inner")
    manifest.write("two.json", '{"outer": {"inner": "found"}}')
    outputs(folder, {"m": manifest.content}, "try m; cat /run/secrets/inner 2>/dev/null || :", "no", "yes found")


def test_files_manifest_mode_ours_whatever_umask_real_lets(folder):
    """files have the manifest's mode with ours, whatever the umask is; the real one lets it take bits"""
    outputs(
        folder,
        {"m": one(folder, mode="0664").content},
        "umask 077; try m; stat -L -c %a /run/secrets/top /run/secrets.d /run/secrets.d/1",
        "yes 600 751 700",
        "yes 664 751 751",
    )


def test_mode_more_permissions_error_ours_real_drops_more(folder):
    """a mode with more than permissions is an error of ours; the real one drops what is more"""
    content = one(folder, mode="4755").content
    outputs(folder, {"m": content}, "try m; stat -L -c %a /run/secrets/top 2>/dev/null || :", "yes 755", "no")


def test_units_restarted_when_new_secrets_place_ours_before(folder):
    """units are restarted when the new secrets are in place with ours, and before it with the real one"""
    content = one(folder, restartUnits=["a.service"]).content
    changed = copy.deepcopy(content)
    changed["secrets"][0]["key"] = "nested/deep/key"
    (folder / "systemctl").write_text("#!/bin/sh\ncat /run/secrets/top >/run/seen\n")
    (folder / "systemctl").chmod(0o755)
    outputs(
        folder,
        {"m": content, "changed": changed},
        f"export SOPS_RESTART_UNITS_VIA_SYSTEMCTL=1 PATH={folder}:$PATH; try m; try changed; cat /run/seen",
        "yes yes first value",
        "yes yes two lines",
    )


def test_value_looks_like_another_secret_placeholder_stays(folder):
    """a value that looks like another secret's placeholder stays as it is with ours"""
    manifest = system_manifest(folder).add("plain", "two.json", "plain").add("top", "one.yaml", "top")
    manifest.write("two.json", f'{{"plain": "{manifest.placeholder("top")}"}}')
    manifest.add_template("t", manifest.placeholder("plain"), mode="0400")
    results = each(folder, {"m": manifest.content}, "$program m; cat /run/secrets/rendered/t")
    equal(results[1].out, manifest.placeholder("top"))
    # The real one goes through them in a random order.
    equal(results[0].out in ("first value", manifest.placeholder("top")), True, results[0].out)


def test_call_without_manifest_two_error_ours_real_shows(folder):
    """a call without a manifest, or with two, is an error of ours; the real one shows its usage and reports success"""
    content = one(folder).content
    outputs(folder, {"m": content}, "try; try m m; try m -ignore-passwd; ls /run", "yes yes yes nixos", "no no no nixos")


def test_check_mode_sopsfile_ours_refuses_key_sops_own_data(folder):
    """-check-mode sopsfile of ours refuses a key of SOPS's own data, which the real one finds only when it is too late"""
    outputs(folder, {"m": one(folder, key="sops/mac").content}, "try -check-mode sopsfile m; try m", "yes no", "no no")


def test_slashes_behind_symlinkpath_taken_ours(folder):
    """slashes behind symlinkPath are taken by ours"""
    content = one(folder).content | {"symlinkPath": "/run/secrets/", "secretsMountPoint": "/run/secrets.d//"}
    outputs(folder, {"m": content}, "try m; cat /run/secrets/top 2>/dev/null || :", "no", "yes first value")


def test_age_key_others_can_read_error_ours(folder):
    """an age key that others can read is an error of ours"""
    content = one(folder).content
    expect(vmcred("keygen", "--output", folder / "other"))
    (folder / "key.txt").chmod(0o644)
    outputs(folder, {"m": content}, "try m", "yes", "no")


def test_fails_leaves_no_mount_behind_ours(folder):
    """what fails leaves no mount behind with ours"""
    outputs(
        folder, {"m": one(folder, key="lost").content, "number": one(folder, key="number").content},
        "try m; try number; grep -c /run/secrets.d /proc/self/mountinfo || :", "no no 1", "no no 0",
    )  # fmt: skip


harness.main()
