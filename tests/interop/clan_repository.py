# SPDX-License-Identifier: Apache-2.0
"""One declaration in the formats of clan and vmcred, and a repository for it that either may fill.

clan itself runs unchanged, with git, sops and age. Only `nix` is replaced (clan_nix.py), and scripts run without clan's
sandbox.
"""
import base64
import functools
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

from example import without_recipients
from harness import Skip, equal, expect, need, run, succeeds, vmcred, write_program

HERE = Path(__file__).resolve().parent
GIT_ENVIRONMENT = {
    f"GIT_{who}_{what}": "somebody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}  # fmt: skip
MACHINES = ["m1", "m2", "m3"]
USERS = {"ada": ["ada"], "bob": ["bob", "bob-2"]}
SECRET = {"secret": True, "deploy": True, "owner": "root", "group": "root", "mode": "0400", "neededFor": "services"}
GENERATORS = {
    "own": {
        "machines": MACHINES,
        "files": {"it": {}, "kept": {"deploy": False}, "open": {"secret": False}},
        "script": "head -c 12 /dev/urandom | base64 > $out/it; printf kept > $out/kept; printf open > $out/open",
    },
    "validated": {
        "machines": ["m1", "m2"],
        "files": {"it": {}},
        "validation": {"b": 1, "a": "text"},
        "script": "printf validated > $out/it",
    },
    "all": {
        "machines": ["m1", "m2"],
        "share": True,
        "files": {"it": {}, "open": {"secret": False}},
        "script": "printf shared > $out/it; printf 'open\\n' > $out/open",
    },
    "phases": {
        "machines": ["m1"],
        "files": {name: {"neededFor": name} for name in ("users", "activation", "partitioning")},
        "script": "for name in users activation partitioning; do printf $name > $out/$name; done",
    },
    "dependent": {
        "machines": ["m1"],
        "dependencies": ["all", "own"],
        "files": {"both": {}},
        "script": "cat $in/all/it $in/own/it > $out/both",
    },
}


@functools.cache
def clan_python():
    """An interpreter that can run clan."""
    names = [os.environ.get("VMCRED_CLAN_PYTHON"), sys.executable, "python3", "python3.14", "python3.13"]
    for path in filter(None, (shutil.which(name) for name in names if name)):
        if run(path, "-c", "import sys; sys.exit(sys.version_info < (3, 13))").code == 0:
            return path
    raise Skip("clan needs Python 3.13 or newer (typing.ReadOnly): set VMCRED_CLAN_PYTHON")


@functools.cache
def clan_source():
    """The directory to import clan from, or "" if Python has it. Clan is in no registry, so that even CI may not have it."""
    source = os.environ.get("VMCRED_CLAN")
    if source:
        return str(Path(source) / "pkgs" / "clan-cli")
    if run(os.environ.get("VMCRED_CLAN_PYTHON", sys.executable), "-c", "import clan_cli").code == 0:
        return ""
    raise Skip("clan not found: set VMCRED_CLAN to a directory with clan-core's source")


def validation_hash(value):
    """The hash of the output of Nix's builtins.toJSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return value and hashlib.sha256(text.encode()).hexdigest()


class Repository:
    """Starts without secrets. The directory `keys` has the identities of all users and machines."""

    def __init__(self, directory, groups=(), generators=None):
        clan_source()
        clan_python()
        self.directory, self.groups = Path(directory), list(groups)
        self.generators = generators or json.loads(json.dumps(GENERATORS))
        self.root, self.keys = self.directory / "repository", self.directory / "keys"
        for name in ("repository", "keys", "bin", "scripts", "temporary"):
            (self.directory / name).mkdir(parents=True)
        self.path = os.environ["PATH"]
        # clan's secretStore
        self.store = "sops"
        self.public = {}
        for name in ("ada", "bob", "bob-2", "eve", "m3"):
            expect(run(need("age-keygen"), "-o", self.keys / name))
            self.public[name] = run("age-keygen", "-y", self.keys / name).out.strip()
        expect(run(need("git"), "init", "-q", self.root))
        (self.root / "flake.nix").write_text("{ }\n")
        self.declare()

    # The declaration in both forms.

    def declare(self):
        machines = {name: {} for name in MACHINES}
        declaration = {"machines": machines, "generators": self.generators, "sops": {"defaultGroups": self.groups}}
        (self.root / "vmcred.yaml").write_text(json.dumps(declaration, indent=1))
        (self.directory / "flake.json").write_text(json.dumps(self._flake()))

    def _flake(self):
        inventory = {"machines": {name: {"name": name, "tags": []} for name in MACHINES}, "instances": {}, "meta": {"name": "c"}}
        return {
            "clanInternals": {
                "cliChecks": {},
                "inventoryClass": {"relativeDirectory": "", "inventorySerialization": inventory, "inventory": inventory},
                "secrets": {"age": {"plugins": []}},
                "vars": {"settings": {"recipients": {"default": [self.public["ada"]], "hosts": {}}}},
                "machines": {"x86_64-linux": {name: self._flake_machine(name) for name in MACHINES}},
            }
        }

    def _flake_machine(self, machine):
        settings = {
            "secretModule": f"clan_lib.vars.secret_modules.{self.store}",
            "publicModule": "clan_lib.vars.public_modules.in_repo",
        }
        variables = {"generators": self._flake_generators(machine), "settings": settings, "sops": {"secretUploadDirectory": "/var/lib/sops-nix"}}
        return {"config": {"clan": {"core": {"vars": variables, "sops": {"defaultGroups": self.groups}}}}}

    def _flake_generators(self, machine):
        return {
            name: self._flake_generator(name, generator)
            for name, generator in self.generators.items()
            if machine in generator["machines"]
        }

    def _flake_generator(self, name, generator):
        script = write_program(self.directory / "scripts" / name, f"#!/bin/sh -eu\n{generator['script']}\n")
        return {
            "share": generator.get("share", False),
            "dependencies": generator.get("dependencies", []),
            "prompts": {},
            "validationHash": validation_hash(generator.get("validation")),
            "files": {file: SECRET | own for file, own in generator["files"].items()},
            "finalScript": str(script),
        }

    # The two programs.

    def clan_each(self, commands):
        """Runs commands, each a pair of arguments and options (`who`, `stdin`), and returns their outputs; none may fail."""
        self._stand_in_write()
        requests = [
            {
                "words": list(words),
                "stdin": base64.b64encode(options.get("stdin", "").encode()).decode(),
                "key": str(self.keys / options.get("who", "ada")),
            }
            for words, options in commands
        ]
        done = run(clan_python(), HERE / "clan_run.py", env=self._clan_environment(), stdin=json.dumps(requests), cwd=self.root)
        outputs = []
        for request, result in zip(requests, json.loads(expect(done).out), strict=True):
            if result["code"] != 0:
                raise AssertionError(f"clan {' '.join(request['words'])} exited with {result['code']}\n{result['err']}")
            outputs.append(base64.b64decode(result["out"]).decode("utf-8", "surrogateescape"))
        return outputs

    def clan(self, *words, **options):
        return self.clan_each([(words, options)])[0]

    def _stand_in_write(self):
        stand_in = self.directory / "bin" / "nix"
        if not stand_in.exists():
            write_program(stand_in, f'#!/bin/sh\nexec {clan_python()} -S {HERE / "clan_nix.py"} "$@"\n')

    def _clan_environment(self):
        need("sops")
        return {
            "PATH": f"{self.directory}/bin:{os.environ['PATH']}",
            "PYTHONPATH": clan_source(),
            "PYTHONPYCACHEPREFIX": str(self.directory / "pycache"),
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory / "temporary"),
            "XDG_RUNTIME_DIR": str(self.directory / "temporary"),
            "CLAN_DIR": str(self.root),
            "CLAN_NO_SELECT_DISK_CACHE": "1",
            # As in a packaged clan: these programs come from $PATH.
            "CLAN_PROVIDED_PACKAGES": "age:bash:git:gnupg:sops",
            "STAND_IN_FLAKE": str(self.directory / "flake.json"),
            "GNUPGHOME": str(self.directory / "gnupg"),
        } | GIT_ENVIRONMENT

    def vmcred(self, *words, who="ada", **options):
        environment = {"SOPS_AGE_KEY_FILE": str(self.keys / who), "GNUPGHOME": str(self.directory / "gnupg"), "PATH": self.path}
        return without_recipients(vmcred(*words, cwd=self.root, env=environment, **options))

    def git(self, *words):
        return expect(run("git", "-C", self.root, *words, env=GIT_ENVIRONMENT)).out

    # What either of them does.

    def members_by_clan(self):
        users = [
            ["secrets", "users", "add", user, *(word for key in keys for word in ("--age-key", self.public[key]))]
            for user, keys in USERS.items()
        ]
        rest = [
            ["secrets", "machines", "add", "m3", self.public["m3"]],
            ["secrets", "groups", "add-user", "admins", "ada"],
            ["secrets", "groups", "add-machine", "admins", "m3"],
        ]
        self.clan_each((words, {}) for words in users + rest)

    def fill_by_clan(self):
        self.members_by_clan()
        self.clan("vars", "generate", "--no-sandbox")
        self.commit()
        return self

    def fill_by_vmcred(self):
        for user, keys in USERS.items():
            words = [word for key in keys for word in ("--age-key", self.public[key])]
            expect(self.vmcred("user", "add", user, *words), 0, "", "")
        expect(self.vmcred("machine", "add", "m3", "--age-key", self.public["m3"]), 0, "", "")
        expect(self.vmcred("group", "add", "admins", "--user", "ada"), 0, "", "")
        expect(self.vmcred("group", "add", "admins", "--machine", "m3"), 0, "", "")
        for machine in ("m1", "m2"):
            expect(self.vmcred("machine", "add", machine), 0, "", "")
        expect(self.vmcred("generate"), 0, None, "")
        self.commit()
        return self

    def commit(self):
        """Commits everything, so that changes can be seen."""
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", "all")

    def unchanged(self):
        equal(self.git("status", "--short"), "", "changes")

    # What they report.

    def files(self):
        """Machine and name of each declared file."""
        return [
            (machine, f"{name}/{file}")
            for machine in MACHINES
            for name, generator in self.generators.items()
            if machine in generator["machines"]
            for file in generator["files"]
        ]

    def clan_values(self):
        """Machine, name and value of each declared file."""
        files = self.files()
        values = self.clan_each((("vars", "get", machine, name), {}) for machine, name in files)
        return [(*file, value) for file, value in zip(files, values, strict=True)]

    def healthy_for_clan(self):
        """clan finds nothing missing, and fixing changes nothing."""
        self.commit()
        before = self.git("rev-parse", "HEAD")
        checks = [("vars", verb, machine) for machine in MACHINES for verb in ("check", "fix")]
        self.clan_each((words, {}) for words in [*checks, ("secrets", "key", "update")])
        equal(self.git("rev-parse", "HEAD"), before, "the commit")
        self.unchanged()

    def healthy_for_vmcred(self, files=19):
        """Secrets that clan has written are bound to their names once; then there is nothing to fix."""
        fixed = expect(self.vmcred("fix"), 0, None, "").out
        assert fixed.startswith("nothing to do") or set(re.findall(": (.*)\n", fixed)) == {"bound to its name"}, fixed
        self.commit()
        succeeds(self.vmcred("check"), f"all {files} files")
        succeeds(self.vmcred("fix"), "nothing to do")
        succeeds(self.vmcred("generate"), "nothing to do")
        self.unchanged()
