# SPDX-License-Identifier: Apache-2.0
"""Runs the real sops-install-secrets and ours with the same manifests, each with its own /run."""
import difflib
import json
import shutil

from harness import Skip, equal, expect, need, need_root, run
from manifests import Manifest, personality

# Permitted differences: next to the generations, the real one leaves a file with all age keys, and ours a record of
# links; and the real one leaves dangling links.
SNAPSHOT = r"""
snapshot() {
    (cd /run && find . ! -name age-keys.txt ! -name .links ! -xtype l -printf '%P %y %m %U %G %l\n' | sort)
    (cd /run && find . -type f ! -name age-keys.txt ! -name .links -exec sha256sum {} + | sort -k 2)
    cat /proc/self/mountinfo | sed -n 's|.* \(/run/secrets.d [^ ]*\) .*- \([a-z]*\) .*|\1 \2|p'
}
"""

# Prints whether a manifest was accepted, and what was installed. After a refusal the real one leaves more files.
TRY = """
try() { taken=no; if $program "$@" >said 2>&1; then taken=yes; fi; echo "$*: $taken"; }
clean() { rm -rf /run/secrets; while umount /run/secrets.d 2>/dev/null; do :; done; rmdir /run/secrets.d 2>/dev/null || :; }
show() { try "$1"; [ $taken = no ] || snapshot; clean; }
"""


def encrypt(path, format_, recipient):
    output = "json" if format_ == "binary" else format_
    expect(run(need("sops"), "encrypt", "--input-type", format_, "--output-type", output, "--age", recipient,
               "--in-place", path))  # fmt: skip


def real_program():
    """The real one is in no registry, so it may be missing even in CI; it can be built from sops-nix's sources."""
    path = shutil.which("sops-install-secrets")
    if path:
        return path
    raise Skip("the real sops-install-secrets is not in PATH: `go build ./pkgs/sops-install-secrets` in a copy of sops-nix")


def each(directory, manifests, script, *options, env=None):
    """Runs the script with the real program and with ours as $program, each with its own /run. Returns both results.

    Debian 13's umount makes /run/mount if there is something to unmount.
    """
    need_root()
    real, results = real_program(), []
    for name, content in manifests.items():
        (directory / name).write_text(content if isinstance(content, str) else json.dumps(content))
    for program in (real, personality(directory)):
        whole = f"umask 022\nmount -t tmpfs -o mode=755 run /run && mkdir /run/nixos /run/mount || exit 99\n{SNAPSHOT}\n{script}"
        result = run(
            "unshare", "--mount", "--propagation", "private", "sh", "-euc", whole, "sh", *options,
            env={"program": str(program), "HOME": str(directory)} | (env or {}), cwd=directory,
        )  # fmt: skip
        results.append(result)
    return results


def both(directory, manifests, script, *options, env=None):
    """The same, but only stderr may differ."""
    results = each(directory, manifests, script, *options, env=env)
    lines = [result.out.splitlines() for result in results]
    if lines[0] != lines[1]:
        raise AssertionError("\n".join(difflib.unified_diff(*lines, "the real one", "ours", lineterm="", n=1)))
    equal(results[1].code, results[0].code, "exit code of ours, compared with the real one")
    return results


def system_manifest(directory):
    manifest = Manifest(directory, None, system=True, encrypt=encrypt)
    manifest.content["secretsMountPoint"], manifest.content["symlinkPath"] = "/run/secrets.d", "/run/secrets"
    manifest.content["logging"]["secretChanges"] = True
    return manifest


def one(directory, **members):
    manifest = system_manifest(directory).add("top", "one.yaml", "top")
    manifest.secrets[0].update(members)
    return manifest


def taken(result):
    return [line.split(": ")[1] for line in result.out.splitlines() if line.endswith((": yes", ": no"))]
