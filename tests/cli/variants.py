# SPDX-License-Identifier: Apache-2.0
"""Generators that differ between machines: a list of variants, each for other machines."""
import json
import stat

import harness
from example import Fleet
from harness import equal, expect, fails, succeeds, test, vmcred

# m0 and m1 have different certificates, m2 has the same secret as m3, and m0 an answer of its own.
GENERATORS = """\
  ca:
    share: true
    files: {key: {deploy: false}, crt: {secret: false}}
    kind: {key: {tls: {certificate: crt, ca: true}}}
  name:
    - machines: [m0]
      files: {it: {mode: "0440"}}
      validation: {name: m0}
      script: printf 'I am m0' >$out/it
    - machines: [m1]
      files: {it: {}, more: {}}
      validation: {name: m1}
      script: printf 'I am m1' >$out/it; printf more >$out/more
  user:
    - machines: [m0]
      dependencies: [name]
      prompts: {answer: {}}
      files: {it: {}}
      script: '{ cat $in/name/it; printf ", "; cat $prompts/answer; } >$out/it'
    - machines: [m1]
      dependencies: [name, ca]
      prompts: {answer: {}}
      files: {it: {}}
      script: '{ cat $in/name/more; printf ", "; cat $prompts/answer; } >$out/it'
  common:
    - {share: true, machines: [m2, m3], files: {it: {}}, kind: {it: {hex: 8}}}
    - {machines: [m0], files: {it: {}}, kind: {it: {hex: 16}}}
  leaf:
    - {machines: [m0], dependencies: [ca], files: {k: {}, c: {secret: false}}, kind: {k: {tls: {certificate: c, issuer: ca, names: [a]}}}}
    - {machines: [m1], dependencies: [ca], files: {k: {}, c: {secret: false}}, kind: {k: {tls: {certificate: c, issuer: ca, names: [b]}}}}
vms:
  v: {loadCredentials: {it: name/it, more: name/more}, credentialFiles: {IT: it}}
"""
GENERATED = """\
ca (shared): generated key, crt
common (shared): generated it
name for m0: generated it
user for m0: generated it
common for m0: generated it
leaf for m0: generated k, c
name for m1: generated it, more
user for m1: generated it
leaf for m1: generated k, c
"""


def fleet(directory):
    here = Fleet(directory, 4, GENERATORS)
    # The authority's key is a person's.
    key = json.loads((directory / "sops/machines/m0/key.json").read_text())[0]["publickey"]
    expect(vmcred("user", "add", "--config", here.config, "me", "--age-key", key))
    expect(here.generate("--prompt", "answer=@-", stdin="hello\n"), 0, GENERATED, "")
    return here


def test_each_machine_has_the_files_of_its_variant(directory):
    """each machine has the files of its variant, which depend on its variants of other generators"""
    here = fleet(directory)
    equal(here.value("m0", "name/it"), "I am m0")
    equal(here.value("m1", "name/it"), "I am m1")
    equal(here.value("m0", "user/it"), "I am m0, hello")
    equal(here.value("m1", "user/it"), "more, hello")
    equal(here.value("m2", "common/it"), here.value("m3", "common/it"))
    equal(len(here.value("m0", "common/it")), 32)
    succeeds(vmcred("check", "--config", here.config), "all 13 files")
    succeeds(vmcred("fix", "--config", here.config), "nothing to do")
    succeeds(vmcred("prune", "--config", here.config), "nothing to do")
    succeeds(here.generate(), "nothing to do")
    fails(vmcred("get", "--config", here.config, "m0", "name/more"), 2, "name/more")
    fails(vmcred("get", "--config", here.config, "m2", "name/it"), 2, "m2")


def test_only_the_variant_that_changed_is_regenerated(directory):
    """a changed validation regenerates the files of that machine only, and those that depend on them"""
    here = fleet(directory)
    here.config.write_text(here.config.read_text().replace("{name: m1}", "{name: new}"))
    result = expect(vmcred("check", "--config", here.config), 3)
    equal([line.split(" is outdated")[0] for line in result.out.splitlines()], ["m1 name/it", "m1 name/more"])
    expect(here.generate("--identity", here.identity, "--prompt", "answer=@-", stdin="again\n"), 0,
           "name for m1: generated it, more\nuser for m1: generated it\n")  # fmt: skip
    equal(here.value("m0", "user/it"), "I am m0, hello")
    equal(here.value("m1", "user/it"), "more, again")
    expect(here.generate("--generator", "name", "--regenerate", "--dry-run"), 0,
           "name for m0: would generate it\nuser for m0: would generate it\n"
           "name for m1: would generate it, more\nuser for m1: would generate it\n")  # fmt: skip


def test_file_that_a_variant_no_longer_has_is_pruned(directory):
    """prune removes a file that its machine's variant no longer has, although another variant has it"""
    here = fleet(directory)
    here.config.write_text(here.config.read_text().replace("machines: [m1]\n      files: {it: {}, more: {}}",
                           "machines: [m1]\n      files: {it: {}}").replace("more: name/more", ""))  # fmt: skip
    expect(vmcred("prune", "--config", here.config, "--yes"), 0, "vars/per-machine/m1/name/more: to remove\n", "")


def test_activation_writes_the_files_of_the_machines_variant(directory):
    """activate writes the files of the machine's variant, with its modes, and serves VMs with them"""
    here = fleet(directory)
    for machine, files, mode in (("m0", ["it"], 0o440), ("m1", ["it", "more"], 0o400)):
        root = directory / machine
        expect(vmcred("activate", "--config", here.config, "--identity", here.identity, "--root", root, "--machine", machine))
        names = root / "run/secrets/vars/name"
        equal(sorted(path.name for path in names.iterdir()), files)
        equal(stat.S_IMODE((names / "it").stat().st_mode), mode)
        equal((names / "it").read_text(), f"I am {machine}")
        result = vmcred("inspect", "--config", here.config, "--identity", here.identity, "--root", root, "--machine", machine,
                        "--json", "v")  # fmt: skip
        assert result.out, result
    for machine in ("m1", "m2"):
        result = vmcred("inspect", "--config", here.config, "--identity", here.identity, "--machine", machine, "v")
        equal(result.code, 3, result)


def test_bad_variants_are_rejected(directory):
    """variants for the same machine, without machines, and none at all are rejected with the line"""
    path = directory / "vmcred.yaml"
    variant = "{machines: [m], files: {f: {}}, kind: {f: uuid}}"
    for value, problem in (
        (f"\n  - {variant}\n  - {variant}", ':5: generators.g: more than one variant for the machine "m"'),
        (f"\n  - {variant}\n  - {variant.replace('{', '{share: true, ', 1)}", ':4: generators.g: more than one variant for the machine "m"'),
        (f"\n  - {variant}\n  - {variant.replace('machines: [m]', 'share: true')}", ":5: generators.g: no machines: each variant in a list needs them"),
        (f"\n  - {variant.replace('{', '{share: true, ', 1)}\n  - {{share: true, machines: [n], files: {{f: {{}}}}, kind: {{f: uuid}}}}",
         ":4: generators.g: more than one shared variant"),
        (" []", ":3: generators.g: must be a mapping"),
        (f"\n  - [{variant}]", ":4: generators.g: must be a mapping"),
    ):  # fmt: skip
        path.write_text(f"machines: {{m: {{}}, n: {{}}}}\ngenerators:\n  g:{value}\n")
        result = fails(vmcred("check", "--config", path), 2, "generators.g")
        assert problem in result.err, (problem, result.err)


def test_vm_cannot_load_a_file_of_different_phases(directory):
    """a VM cannot load a file that different machines have at different paths"""
    path = directory / "vmcred.yaml"
    path.write_text("""\
machines: {m: {}, n: {}}
generators:
  g:
  - {machines: [m], files: {f: {}}, kind: {f: uuid}}
  - {machines: [n], files: {f: {neededFor: users}}, kind: {f: uuid}}
vms: {v: {loadCredentials: {c: g/f}}}
""")
    fails(vmcred("check", "--config", path), 2, "neededFor")
    path.write_text(path.read_text().replace("{v: {", "{v: {machine: n, "))
    expect(vmcred("check", "--config", path), 3)


def test_dependency_must_have_a_variant_for_the_machine(directory):
    """a dependency must have a variant for each machine of the generator"""
    path = directory / "vmcred.yaml"
    path.write_text("""\
machines: {m: {}, n: {}, o: {}}
generators:
  g:
  - {machines: [m], files: {f: {}}, kind: {f: uuid}}
  - {machines: [n], files: {f: {}}, kind: {f: uuid}}
  h: {machines: [m, o], dependencies: [g], files: {f: {}}, kind: {f: uuid}}
""")
    fails(vmcred("check", "--config", path), 2, "generators.h", "add o to its machines")


if __name__ == "__main__":
    harness.main()
