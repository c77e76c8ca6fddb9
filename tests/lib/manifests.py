# SPDX-License-Identifier: Apache-2.0
"""A manifest of sops-nix with documents in all formats, for our sops-install-secrets or the real one."""
import json
import os
import stat
from pathlib import Path

import harness
from harness import expect, run, vmcred

DOCUMENTS = {
    "one.yaml": "top: first value\nnested:\n    deep:\n        key: |\n            two\n            lines\nnumber: 7\n",
    "two.json": '{"plain": "of JSON", "empty": ""}\n',
    "three.env": "NAME=of dotenv\nOTHER=2\n",
    "four.ini": "[section]\nname = of ini\n",
    "five.bin": "bytes\0and more\n",
}
FORMATS = {"one.yaml": "yaml", "two.json": "json", "three.env": "dotenv", "four.ini": "ini", "five.bin": "binary"}

# Runs the program with an empty /run, as at NixOS's first switch; then prints the lists that NixOS would read.
SCRIPT = """
mount -t tmpfs run /run && mkdir /run/nixos || exit 99
"$@"; code=$?
for list in /run/nixos/*; do [ ! -e "$list" ] || { echo "${list##*/}: $(tr '\\n' ' ' <"$list")" >&3; }; done
exit $code
"""


def tree(directory):
    """Names with modes, owners and contents or targets."""
    found = {}
    for path in sorted(Path(directory).rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(directory))] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, content)
    return found


class Manifest:
    """In user mode, which does not need root, unless `system` is true. `directory` is on a memory file system."""

    def __init__(self, directory, program, system=False, encrypt=None):
        self.directory = Path(directory)
        self.program = program
        self.system = system
        self.encrypt = encrypt or self.encrypt_ours
        self.run_directory = self.directory / "runtime"
        self.run_directory.mkdir(exist_ok=True)
        self.identity = self.directory / "key.txt"
        if not self.identity.exists():
            expect(vmcred("keygen", "--output", self.identity))
        lines = self.identity.read_text().splitlines()
        self.recipient = next(line.split()[-1] for line in lines if "public key" in line)
        for name, text in DOCUMENTS.items():
            if not (self.directory / name).exists():
                self.write(name, text)
        root = str(self.run_directory) if system else "%r"
        self.content = {
            "secrets": [],
            "templates": [],
            "placeholderBySecretName": {},
            "secretsMountPoint": f"{root}/secrets.d",
            "symlinkPath": f"{root}/secrets",
            "keepGenerations": 1,
            "sshKeyPaths": [],
            "gnupgHome": None,
            "ageKeyFile": str(self.identity),
            "ageSshKeyPaths": [],
            "useTmpfs": True,
            "userMode": not system,
            "logging": {"keyImport": False, "secretChanges": False},
        }

    def encrypt_ours(self, path, format_, recipient):
        expect(vmcred("sops", "encrypt", "--input-type", format_, "--output-type", "json" if format_ == "binary" else format_,
                      "--age", recipient, "--in-place", path))  # fmt: skip

    def write(self, name, text, recipient=None):
        path = self.directory / name
        path.write_text(text)
        self.encrypt(path, FORMATS[name], recipient or self.recipient)

    @property
    def secrets(self):
        return self.content["secrets"]

    def add(self, name, document, key="", **members):
        secret = {
            "name": name,
            "key": key,
            "path": f"{self.content['symlinkPath']}/{name}",
            "owner": None,
            "uid": 0,
            "group": None,
            "gid": 0,
            "sopsFile": str(self.directory / document),
            "format": FORMATS[document],
            "mode": "0400",
            "restartUnits": [],
            "reloadUnits": [],
        }
        self.secrets.append(secret | members)
        self.content["placeholderBySecretName"][name] = f"<SOPS:{name.encode().hex()}:PLACEHOLDER>"
        return self

    def add_all(self):
        self.add("top", "one.yaml", "top", restartUnits=["a.service", "b.service"])
        self.add("deep/er", "one.yaml", "nested/deep/key", mode="0440", reloadUnits=["c.service"])
        self.add("whole", "one.yaml", path=str(self.directory / "links/whole"))
        self.add("plain", "two.json", "plain", restartUnits=["a.service"])
        self.add("env", "three.env", "ignored", mode="0444")
        self.add("ini", "four.ini")
        self.add("bin", "five.bin", mode="0600")
        return self

    def add_template(self, name, content, **members):
        self.content["templates"].append(
            {
                "name": name,
                "content": content,
                "path": f"{self.content['symlinkPath']}/rendered/{name}",
                "mode": "0440",
                "owner": None,
                "uid": 0,
                "group": None,
                "gid": 0,
                "file": "",
                "restartUnits": [],
                "reloadUnits": [],
            }
            | members
        )
        return self

    def placeholder(self, name):
        return self.content["placeholderBySecretName"][name]

    def install(self, *options, program=None, env=None, prefix=()):
        path = self.directory / "manifest.json"
        path.write_text(json.dumps(self.content))
        environment = {"XDG_RUNTIME_DIR": str(self.run_directory), "HOME": str(self.directory)} | (env or {})
        return run(*prefix, *(program or [self.program]), *options, path, env=environment)

    def install_system(self, *options, env=None):
        """Installs in a mount namespace. NixOS's lists follow the output."""
        prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", f"exec 3>&1; {SCRIPT}", "sh")
        return self.install(*options, env=env, prefix=prefix)

    def tree(self):
        return tree(self.run_directory)

    def generations(self):
        return sorted(path.name for path in (self.run_directory / "secrets.d").iterdir() if path.name.isdigit())

    def active(self, name):
        return (self.run_directory / "secrets" / name).read_bytes()


def personality(directory):
    """A link to vmcred with the name that sops-nix's modules call."""
    path = Path(directory) / "sops-install-secrets"
    if not path.is_symlink():
        path.symlink_to(Path(harness.VMCRED).resolve())
    return path
