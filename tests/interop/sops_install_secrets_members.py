# SPDX-License-Identifier: Apache-2.0
"""Each member of a manifest, each flag and each variable has the same effect with the real sops-install-secrets and with
ours. Both refuse the same values."""
import copy
import json
import os

import harness
from harness import equal, expect, need, run, vmcred
from installers import TRY, both, one, real_program, system_manifest, taken
from manifests import personality

def variants(directory, member, values, manifest=None):
    """A manifest for each value of the first secret's member; without the member for the value `...`."""
    manifest = manifest or one(directory)
    made = {}
    for number, value in enumerate(values):
        content = copy.deepcopy(manifest.content)
        content["secrets"][0].pop(member, None)
        if value is not ...:
            content["secrets"][0][member] = value
        made[f"v{number:02}"] = content
    return made


def test_modes(directory):
    """modes are parsed as octal numbers or refused, and files have them"""
    values = ["0", "0400", "0777", "640", "1", "00000400", "", "8", "0o400", "-1", "+400", " 400", "400 ", "4x", None, ..., 400]
    manifests = variants(directory, "mode", values)
    script = f"{TRY}umask 0; for v in v*; do show $v; done"
    equal(taken(both(directory, manifests, script)[0]), ["yes"] * 6 + ["no"] * 11)


def test_owners(directory):
    """owners and groups are resolved by name, numbers are used as they are, and links have the same owners"""
    manifest = one(directory, path="/run/links/top", uid=4, gid=5)
    manifests = {"number": manifest.content}
    for name, members in {
        "name": {"owner": "daemon", "group": "adm"}, "owner": {"owner": "daemon"}, "group": {"group": "adm"},
        "nobody": {"owner": "no-such-user"}, "nogroup": {"group": "no-such-group"}, "numeral": {"owner": "1"},
        "empty": {"owner": ""}, "text": {"uid": "1"}, "large": {"uid": 4294967294, "gid": 70000},
    }.items():  # fmt: skip
        manifests[name] = copy.deepcopy(manifest.content)
        manifests[name]["secrets"][0].update(members)
    script = f"{TRY}for v in {' '.join(manifests)}; do show $v; rm -rf /run/links; done; try -ignore-passwd nobody; snapshot"
    results = both(directory, manifests, script)
    equal(taken(results[0]), ["yes"] * 4 + ["no"] * 5 + ["yes"] * 2)
    equal("secrets.d/1/top f 400 1 4 " in results[0].out, True, results[0].out)


PLAIN = """
text: plain
number: 7
float: 1.5
truth: true
nothing: null
empty: ""
list:
    - a
    - b
map:
    inner: found
    deeper:
        leaf: too
    list:
        - c
lines: |
    two
    lines
folded: >-
    one
    line
unicode: "\\u00e4\\u20ac\\U0001f511 \\t tab"
word: "yes"
old: "0o17"
time: "12:30:45"
day: "2001-02-03"
date: 2001-02-03
moment_unencrypted: 2001-02-03T04:05:06+07:00
tilde: "~"
spaces: "  around  "
newlines: "\\n\\n"
quotes: "'\\"\\\\"
"5": numeral
open_unencrypted: in the clear
count_unencrypted: 5
"""
KEYS = [
    "text", "number", "float", "truth", "nothing", "empty", "list", "map", "map/inner", "map/deeper/leaf", "map/deeper",
    "map/list", "map/list/0", "map/lost", "map/lost/more", "text/more", "lines", "folded", "unicode", "word", "old", "time",
    "day", "date", "moment_unencrypted", "tilde", "spaces", "newlines", "quotes", "5", "open_unencrypted", "count_unencrypted", "lost", "sops",
    "/text", "text/", "map//inner",
]  # fmt: skip
GOOD = {
    "text", "empty", "map/inner", "map/deeper/leaf", "lines", "folded", "unicode", "word", "old", "time", "day", "date", "tilde",
    "spaces", "newlines", "quotes", "5", "open_unencrypted", "moment_unencrypted",
}  # fmt: skip


def test_yaml_values(directory):
    """each kind of value of a YAML document is written the same, or refused"""
    manifest = one(directory)
    manifest.write("one.yaml", PLAIN.lstrip())
    manifests = variants(directory, "key", KEYS, manifest)
    script = f"{TRY}for v in v*; do show $v; try -check-mode sopsfile $v; try -check-mode manifest $v; done"
    results = both(directory, manifests, script)
    answers = taken(results[0])
    equal([key for key, answer in zip(KEYS, answers[::3]) if answer == "yes"], [key for key in KEYS if key in GOOD])
    equal(set(answers[2::3]), {"yes"})


def test_json_values(directory):
    """each kind of value at the top of a JSON document is written the same, or refused"""
    manifest = system_manifest(directory).add("plain", "two.json", "plain")
    values = {
        "text": "plain", "number": 7, "float": 1.5, "truth": False, "nothing": None, "empty": "", "list": ["a"],
        "map": {"inner": "x"}, "unicode": "\u00e4\u20ac\U0001f511 \t", "html": "<&>\u2028", "lines": "a\nb\n",
        "open_unencrypted": "clear",
    }  # fmt: skip
    manifest.write("two.json", json.dumps(values))
    keys = [*values, "lost", "sops"]
    manifests = variants(directory, "key", keys, manifest)
    script = f"{TRY}for v in v*; do show $v; try -check-mode sopsfile $v; done"
    good = {"text", "empty", "unicode", "html", "lines", "open_unencrypted"}
    equal([key for key, answer in zip(keys, taken(both(directory, manifests, script)[0])[::2]) if answer == "yes"],
          [key for key in keys if key in good])  # fmt: skip


def test_whole_documents(directory):
    """whole documents of each format are written the same; keys are ignored in formats without keys"""
    manifest = system_manifest(directory)
    manifest.write("two.json", '{"b": {"c": [1, 2.5, true, null]}, "a": "<&>"}')
    manifest.write("three.env", "# comment\nNAME=of dotenv\nEMPTY=\nQUOTED='x y'\n")
    manifest.write("four.ini", "; comment\n[section]\nname = of ini\nempty =\n[other]\nname = \"quoted\"\n")
    manifest.write("five.bin", "bytes\0\n\nmore")
    for document in ("one.yaml", "two.json", "three.env", "four.ini", "five.bin"):
        manifest.add(f"whole/{document}", document)
    for document in ("three.env", "four.ini", "five.bin"):
        manifest.add(f"key/{document}", document, "no/such/key")
    results = both(directory, {"all": manifest.content}, "$program all; snapshot; $program -check-mode sopsfile all")
    equal(results[0].out.count("secrets.d/1/whole/"), 10, results[0].out)


def test_formats(directory):
    """the default format is YAML, and a format that does not match the document is refused"""
    formats = ["yaml", ..., "", None, "json", "dotenv", "ini", "binary"]
    manifests = variants(directory, "format", formats)
    results = both(directory, manifests, f"{TRY}for v in v*; do show $v; try -check-mode sopsfile $v; done")
    # -check-mode may accept a YAML document as dotenv or INI; installing it fails.
    equal(taken(results[0])[::2], ["yes"] * 4 + ["no"] * 4)


def test_two_formats(directory):
    """a document with two formats is refused"""
    manifest = one(directory).add("again", "one.yaml", "top", format="json")
    both(directory, {"two": manifest.content}, f"{TRY}show two; try -check-mode manifest two; try -check-mode sopsfile two")


def test_link_paths(directory):
    """links are created in any path, and replace the same kinds of files"""
    paths = {
        "/run/a/b/c": "", "/run/links/file": "echo old >/run/links/file", "/run/links/empty": "mkdir /run/links/empty",
        "/run/links/full": "mkdir -p /run/links/full/x", "/run/links/dangling": "ln -s /nowhere /run/links/dangling",
        "/run/links/directory": "mkdir /run/links/x; ln -s x /run/links/directory",
        "/run/links/through/it": "mkdir /run/links/y; ln -s y /run/links/through",
        "/run/links/file/below": "echo file >/run/links/file", "/run/links//./odd": "",
        "/run/secrets/top": "", "/run/secrets/other": "", "": "",
    }  # fmt: skip
    manifests = variants(directory, "path", list(paths))
    script = TRY + "".join(
        f"mkdir -p /run/links; {setup or ':'}; show v{number:02}; rm -rf /run/links /run/a\n"
        for number, setup in enumerate(paths.values())
    )
    results = both(directory, manifests, script)
    equal(taken(results[0]), ["yes"] * 3 + ["no"] + ["yes"] * 3 + ["no"] + ["yes"] * 3 + ["no"])


def test_directories(directory):
    """symlinkPath and secretsMountPoint are created with their parents, and replace or keep the same files"""
    def content(mount, link):
        manifest = one(directory)
        manifest.content |= {"secretsMountPoint": mount, "symlinkPath": link}
        manifest.secrets[0]["path"] = f"{link}/top"
        return manifest.content

    manifests = {
        "deep": content("/run/m/n/secrets.d", "/run/l/k/secrets"),
        "plain": content("/run/secrets.d", "/run/secrets"),
    }
    both(
        directory,
        manifests,
        f"""{TRY}
        try deep; cd /run; find . -name age-keys.txt -delete; find m l -printf '%p %y %m %U %G %l\\n' | sort; cd "$OLDPWD"
        umount /run/m/n/secrets.d
        mkdir -p /run/secrets/old; echo old >/run/secrets/old/file; show plain
        echo old >/run/secrets; show plain
        ln -s /elsewhere /run/secrets; show plain
        mkdir -p /run/other/7/; ln -s /run/other/7 /run/secrets; show plain
        mkdir /run/secrets.d; mount -t tmpfs -o mode=751,nosuid,nodev,noexec t /run/secrets.d
        mkdir /run/secrets.d/5 /run/secrets.d/x; touch /run/secrets.d/file; show plain
        mkdir /run/secrets.d; mount -t proc not-in-memory /run/secrets.d; show plain
        """,
    )


def test_templates(directory):
    """templates from a text or a file are rendered the same, with any mode and owner, in any path"""
    manifest = one(directory).add("bin", "five.bin").add("plain", "two.json", "plain")
    places = [manifest.placeholder(name).encode() for name in ("bin", "top")]
    (directory / "bytes").write_bytes(b"\0\xff<" + places[0] + b">\0" + places[1])
    (directory / "empty").write_text("")
    top = manifest.placeholder("top")
    manifest.add_template("text", f"{top}{top} <SOPS:{manifest.placeholder('plain')}", mode="0777", owner="daemon", gid=9)
    manifest.add_template("both", "the text", file=str(directory / "bytes"), mode="0")
    manifest.add_template("a/b/filed", "", file=str(directory / "bytes"), path="/run/links/filed", group="adm")
    manifest.add_template("nothing", "", file=str(directory / "empty"), path="/run/secrets/other")
    bad = {"lost": {"file": "/nowhere/file"}, "neither": {"file": ""}, "mode": {"mode": "9"}, "owner": {"owner": "no-such-user"}}
    manifests = {"all": manifest.content, "none": manifest.content | {"templates": None, "placeholderBySecretName": None}}
    for name, members in bad.items():
        manifests[name] = copy.deepcopy(manifest.content)
        manifests[name]["templates"][3].update(members)
    manifests["placeholder"] = copy.deepcopy(manifest.content)
    del manifests["placeholder"]["placeholderBySecretName"]["plain"]
    names = " ".join([*bad, "placeholder"])
    script = f"{TRY}try all; snapshot; for v in {names}; do try $v; try -check-mode manifest $v; done; snapshot; show none"
    results = both(directory, manifests, script)
    expected = ["yes"] + ["no"] * 6 + ["no", "yes"] + ["no"] * 2 + ["yes"]
    equal(taken(results[0]), expected)


def test_keep_generations(directory):
    """keepGenerations keeps the same generations"""
    manifest = one(directory).add_template("t", "text")
    manifests = {}
    for keep in (0, 1, 3):
        for number in range(5):
            content = copy.deepcopy(manifest.content) | {"keepGenerations": keep}
            content["templates"][0]["content"] = f"text {number}"
            manifests[f"k{keep}-{number}"] = content
    script = f"{TRY}for k in 0 1 3; do for n in 0 1 2 3 4; do try k$k-$n; ls /run/secrets.d | grep -v txt; done; show k$k-0; done"
    both(directory, manifests, script)


def test_flags(directory):
    """flags are accepted in all of Go's spellings, and wrong ones are refused"""
    manifest = one(directory, owner="no-such-user")
    script = TRY + "".join(
        f"try {words}\n"
        for words in (
            "-check-mode=off m", "--check-mode=manifest m", "--check-mode manifest m", "-check-mode sopsfile m",
            "-check-mode= m", "-check-mode Manifest m", "-check-mode", "-ignore-passwd m", "--ignore-passwd=true m",
            "-ignore-passwd=1 m", "-ignore-passwd=false m", "-ignore-passwd=F m", "-ignore-passwd=maybe m",
            "-ignore-passwd -- m", "-no-such-flag m", "-h", "--help", "-ignore-passwd -check-mode=sopsfile m", "/nowhere/m",
        )
    )  # fmt: skip
    both(directory, {"m": manifest.content}, script)


def test_manifest_structure(directory):
    """files that are not a manifest, and missing or unknown members, are accepted or refused the same"""
    content = one(directory).content
    manifests = {
        "empty": "", "text": "x", "list": "[]", "object": "{}", "cut": json.dumps(content)[:-2],
        "more": content | {"unknown": {"a": 1}},
        "nulls": content | {"sshKeyPaths": None, "ageSshKeyPaths": None, "logging": None},
        "number": content | {"secretsMountPoint": 5}, "flag": content | {"useTmpfs": "yes"}, "secrets": content | {"secrets": {}},
        "none": content | {"secrets": [], "templates": []}, "null": content | {"secrets": None, "templates": None},
        "home": content | {"gnupgHome": "/nowhere"},
        "ssh": content | {"ageKeyFile": None, "gnupgHome": "/x", "sshKeyPaths": ["/y"]},
        "keep": content | {"keepGenerations": "1"}, "unit": copy.deepcopy(content), "file": copy.deepcopy(content),
    }  # fmt: skip
    manifests["unit"]["secrets"][0]["restartUnits"] = None
    del manifests["file"]["secrets"][0]["sopsFile"]
    names = [name for name in manifests if name not in ("object", "file")]
    both(directory, manifests, f"{TRY}for v in {' '.join(names)}; do show $v; try -check-mode manifest $v; done; show file")


def test_bad_documents_and_keys(directory):
    """missing, invalid, changed or undecryptable documents and keys are refused, and the old secrets stay"""
    manifest = one(directory).add("plain", "two.json", "plain")
    manifests = {"good": copy.deepcopy(manifest.content)}
    (directory / "text").write_text("top: plaintext\n")
    (directory / "broken").write_text("{[\n")
    damaged = (directory / "one.yaml").read_text().replace("ENC[AES256_GCM,data:", "ENC[AES256_GCM,data:AAAA")
    (directory / "damaged").write_text(damaged)
    for name in ("/nowhere/file", "text", "broken", "damaged"):
        content = copy.deepcopy(manifest.content)
        content["secrets"][1] |= {"sopsFile": str(directory / name), "format": "yaml", "key": "top"}
        manifests[name.strip("/").replace("/", "-")] = content
    expect(vmcred("keygen", "--output", directory / "other"))
    (directory / "garbage").write_text("no key\n")
    (directory / "garbage").chmod(0o600)
    for name in ("/nowhere/key", "other", "garbage"):
        manifests[name.strip("/").replace("/", "-") + "-key"] = manifest.content | {"ageKeyFile": str(directory / name)}
    bad = " ".join(name for name in manifests if name != "good")
    script = f"{TRY}try good; for v in {bad}; do try $v; cat /run/secrets/top /run/secrets/plain; echo; done"
    results = both(directory, manifests, script)
    equal(taken(results[0]), ["yes"] + ["no"] * (len(manifests) - 1))


def test_age_keys(directory):
    """age keys come from a file, from SSH keys, from both, or from the environment if the manifest has none"""
    expect(run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", directory / "ed25519"))
    expect(vmcred("keygen", "--output", directory / "other"))
    content = one(directory).content
    key = content["ageKeyFile"]
    manifests = {
        "file": content,
        "both": content | {"ageSshKeyPaths": [str(directory / "ed25519")]},
        "ssh": content | {"ageKeyFile": None, "ageSshKeyPaths": [str(directory / "ed25519"), "/nowhere"]},
        "none": content | {"ageKeyFile": None},
    }
    both(
        directory,
        manifests,
        f"""{TRY}
        show file; show both; show ssh; show none
        export SOPS_AGE_KEY_FILE={key}; show none; show ssh
        export SOPS_AGE_KEY_FILE={directory}/other; show none; show file
        unset SOPS_AGE_KEY_FILE; SOPS_AGE_KEY=$(grep SECRET {key}); export SOPS_AGE_KEY; show none; show ssh
        """,
    )


def test_user_mode_paths(directory):
    """in user mode %r is the session's directory and %% a percent sign, and without a session there is an error"""
    results = []
    for name, program in zip(("a", "b"), (real_program(), personality(directory))):
        base = directory / name
        base.mkdir()
        manifest = one(directory)
        manifest.content |= {"userMode": True, "secretsMountPoint": "%r/a%%r/secrets.d", "symlinkPath": "%r/%%/%%%r"}
        manifest.secrets[0]["path"] = f"{base}/x%r/top"
        manifest.content["templates"] = []
        (directory / "user").write_text(json.dumps(manifest.content))
        results_of_program = [
            run(program, "user", cwd=directory, env={"XDG_RUNTIME_DIR": str(base)}),
            run(program, "user", cwd=directory),
            run(program, "-check-mode", "manifest", "user", cwd=directory),
        ]
        found = sorted(
            (path.lstat().st_mode, str(path).replace(str(base), "BASE"), path.is_symlink() and os.readlink(path).count(str(base)))
            for path in base.rglob("*") if path.name not in ("age-keys.txt", ".links")
        )  # fmt: skip
        results.append(([result.code == 0 for result in results_of_program], found))
    equal(results[1], results[0])
    equal(results[0][0], [True, False, True])
    equal(any(path == "BASE/a%r/secrets.d/1/top" for _mode, path, _target in results[0][1]), True, results[0][1])


harness.main()
