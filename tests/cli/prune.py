# SPDX-License-Identifier: Apache-2.0
"""prune removes what the declaration no longer has, if vmcred stored it; check warns of the same paths."""
import json
import re
import shutil

import harness
from example import unchanged
from harness import equal, expect, fails, run, succeeds, vmcred
from terminal import run_at_terminal

BEFORE = """\
machines: {m: {}, n: {}}
generators:
  own:
    machines: [m, n]
    files: {it: {}, old: {}, open: {secret: false}}
    kind: {it: {hex: 8}, old: {hex: 8}, open: {hex: 4}}
  gone:
    machines: [m]
    files: {it: {}, open: {secret: false}}
    kind: {it: {hex: 8}, open: {hex: 4}}
  all:
    share: true
    files: {it: {}}
    kind: {it: {hex: 8}}
  common:
    share: true
    files: {it: {}}
    kind: {it: {hex: 8}}
"""
AFTER = """\
machines: {m: {}}
generators:
  own:
    machines: [m]
    files: {it: {}, open: {secret: false}}
    kind: {it: {hex: 8}, open: {hex: 4}}
  all:
    share: true
    files: {it: {}}
    kind: {it: {hex: 8}}
"""
ORPHANS = [
    "sops/machines/n", "vars/shared/common", "vars/per-machine/m/gone", "vars/per-machine/m/own/old",
    "vars/per-machine/n/own", "sops/secrets/n-age.key", "sops/groups/ops/users/zoe",
]  # fmt: skip


class Store:
    """ada is a user; machine n, two generators and a file are no longer declared; the group ops has a link to a missing user."""

    def __init__(self, directory):
        self.directory, self.root = directory, directory / "store"
        self.root.mkdir()
        self.config = self.root / "vmcred.yaml"
        self.config.write_text(BEFORE)
        key = expect(vmcred("keygen", "--output", directory / "ada")).out.strip()
        expect(self("user", "add", "ada", "--age-key", key, "--group", "ops"))
        for name in ("m", "n"):
            expect(self("machine", "add", name))
        expect(self("generate"))
        (self.root / "sops/groups/ops/users/zoe").symlink_to("../../../users/zoe")

    def __call__(self, command, *words, **options):
        return vmcred(command, "--config", self.config, *words, **options)

    def prune(self, *words):
        return self("prune", "--identity", self.directory / "ada", *words)

    def undeclare(self):
        self.config.write_text(AFTER)
        return self

    def paths(self):
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}


def named(result):
    """The paths that check warns of."""
    warning = re.search(r"^vmcred: warning: no longer declared: (\d+) paths? in the store \((.*?)(, \.\.\.)?\): run `vmcred prune`$",
                        result.err, re.M)  # fmt: skip
    return (int(warning.group(1)), warning.group(2).split(", ")) if warning else (0, [])


def test_declared_store_has_nothing_to_prune(directory):
    """nothing of a store that is as declared is pruned"""
    store = Store(directory)
    (store.root / "sops/groups/ops/users/zoe").unlink()
    succeeds(unchanged(store.root, lambda: store.prune("--dry-run")), "nothing to do")
    succeeds(store.prune("--yes"), "nothing to do")
    succeeds(store("check"), "all 12 files")


def test_prune_removes_orphans(directory):
    """prune removes machines, generators, files, keys and links that are not declared, and nothing else"""
    store = Store(directory).undeclare()
    checked = store("check")
    equal(named(checked), (len(ORPHANS), ORPHANS[:3]))
    planned = unchanged(store.root, lambda: store.prune("--dry-run"))
    expect(planned, 0, None, "")
    lines = planned.out.splitlines()
    equal(lines[: len(ORPHANS)], [f"{path}: to remove" for path in ORPHANS])
    equal([line.split(":")[0] for line in lines[len(ORPHANS) :]], ["shared all/it"])
    changes = json.loads(expect(store.prune("--dry-run", "--json"), 0, None, "").out)
    equal([change["path"] for change in changes], [*ORPHANS, "vars/shared/all/it/secret"])
    before = store.paths()
    expect(store.prune("--yes"), 0, planned.out, "")
    for path in before - store.paths():
        assert any(path == orphan or path.startswith(f"{orphan}/") for orphan in ORPHANS) or path in (
            "vars/per-machine/n", "vars/shared/all/it/machines/n"), path  # fmt: skip
    assert not set(ORPHANS) & store.paths()
    expect(store("check"), 0, "all 4 files are as declared\n", "")
    succeeds(store.prune("--yes"), "nothing to do")


def test_prune_without_a_shared_secret_needs_no_identity(directory):
    """without a machine to remove, prune decrypts nothing"""
    store = Store(directory)
    store.config.write_text(BEFORE.replace("old: {}, ", "").replace("old: {hex: 8}, ", ""))
    expect(store("prune", "--yes"), 0,
           "".join(f"{path}: to remove\n" for path in
                   ("vars/per-machine/m/own/old", "vars/per-machine/n/own/old", "sops/groups/ops/users/zoe")), "")  # fmt: skip
    succeeds(store("check"), "all 10 files")


def test_prune_leaves_what_another_tool_stored(directory):
    """prune leaves what another tool stored: undeclared generators without a bound secret, and secrets without a generator"""
    store = Store(directory)
    (store.root / "sops/groups/ops/users/zoe").unlink()
    for path in store.root.rglob("secret"):
        document = json.loads(path.read_text()) if path.is_file() else {}
        if document.pop("vmcred_name", None) is not None:
            path.write_text(json.dumps(document))
    shutil.copytree(store.root / "vars/per-machine/m/own/it", store.root / "sops/secrets/extra", symlinks=True)
    store.undeclare()
    succeeds(unchanged(store.root / "vars", lambda: store.prune("--yes")), "nothing to do")
    equal(named(store("check")), (0, []))
    # As soon as one secret of the generator is vmcred's, the generator is, but not somebody's notes in it.
    store.config.write_text(BEFORE)
    expect(store("set", "m", "gone/it", stdin="new"))
    store.undeclare()
    equal(named(store("check")), (1, ["vars/per-machine/m/gone"]))
    for name in ("gone/README.md", "own/README.md"):
        (store.root / "vars/per-machine/m" / name).write_text("somebody's notes")
    equal(named(store("check")), (2, ["vars/per-machine/m/gone/it", "vars/per-machine/m/gone/open"]))
    # A document that cannot be read could be anybody's.
    (store.root / "vars/per-machine/m/gone/it/secret").write_text("<<<<<<< ours\n")
    succeeds(store.prune("--yes"), "nothing to do")


def test_prune_asks_at_the_terminal(directory):
    """without --yes prune asks at the terminal, and removes nothing unless the answer is yes"""
    store = Store(directory).undeclare()
    words = [harness.VMCRED, "prune", "--config", store.config, "--identity", directory / "ada"]

    for answer in ("", "no"):
        result = unchanged(store.root / "vars", lambda answer=answer: run_at_terminal(*words, answers=[answer]))
        equal((result.code, len(result.out.splitlines()), result.err.count("\n")), (1, len(ORPHANS), 1))
    result = run_at_terminal(*words, answers=["y"])
    equal((result.code, result.err), (0, ""))
    assert not set(ORPHANS) & store.paths()


def test_prune_without_a_terminal_requires_yes(directory):
    """without a terminal prune requires --yes, and so does --json"""
    store = Store(directory).undeclare()
    result = unchanged(store.root / "vars", lambda: run("setsid", "--wait", harness.VMCRED, "prune", "--config", store.config,
                                                        "--identity", directory / "ada"))  # fmt: skip
    equal((result.code, result.err.count("\n")), (1, 1))
    assert "--yes" in result.err, result.err
    fails(unchanged(store.root, lambda: store.prune("--json")), 2, "--yes", "--dry-run")
    fails(store.prune("x"), 2, "arguments")


def test_prune_removes_nothing_if_a_secret_cannot_be_opened(directory):
    """prune removes nothing unless each secret that a removed machine shares can be re-encrypted"""
    store = Store(directory).undeclare()
    expect(vmcred("keygen", "--output", directory / "eve"))
    result = unchanged(store.root / "vars", lambda: store("prune", "--yes", "--identity", directory / "eve"))
    fails(result, 1, "vars/shared/all/it/secret")
    assert (store.root / "sops/machines/n").exists()


harness.main()
