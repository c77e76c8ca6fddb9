# SPDX-License-Identifier: Apache-2.0
"""vmcred get: which secret it decrypts, and what it reads for that."""
import harness
from example import Example
from harness import equal, expect, fails, vmcred

DECLARATION = """\
machines: {m: {}, other: {}}
generators:
  own:
    machines: [m]
    files: {key: {}, open: {secret: false}}
    script: echo own >$out/key; echo open >$out/open
  common:
    share: true
    machines: [m]
    files: {key: {}}
    script: echo common >$out/key
"""


class Store(Example):
    def declare(self, text):
        self.config.write_text(text)

    def get(self, machine, name):
        return vmcred("get", "--config", self.config, "--identity", self.identity, machine, name)


def test_secrets_are_found_without_the_declaration(directory):
    """a generated secret is found in the store: the declaration, however large or damaged, is not read"""
    store = Store(directory, DECLARATION)
    store.declare("machines: [damaged\n")
    expect(store.get("m", "own/key"), 0, "own\n", "")
    expect(store.get("m", "common/key"), 0, "common\n", "")
    for machine, name in (("m", "own/open"), ("m", "own/other"), ("other", "own/key"), ("other", "common/key"), ("..", "own/key")):
        fails(store.get(machine, name), 2, store.config, "not valid YAML")


def test_unknown_names_are_errors(directory):
    """what the store does not have for the machine is an error of the declaration, and a public file is read"""
    store = Store(directory, DECLARATION)
    expect(store.get("m", "own/open"), 0, "open\n", "")
    fails(store.get("m", "own/other"), 2, '"own/other"')
    fails(store.get("n", "own/key"), 2, 'no machine "n"')
    fails(store.get("other", "own/key"), 2, "own", "other")
    fails(store.get("other", "common/key"), 2, "common", "other")
    fails(store.get("../machines/m", "own/key"), 2, '"../machines/m"')
    fails(store.get("m", "own"), 2, '"own"', "GENERATOR/FILE")


def test_old_value_of_another_kind_is_not_taken(directory):
    """if the store has a secret for the machine alone and for several, the declaration says which one is meant"""
    store = Store(directory, DECLARATION)
    changed = DECLARATION.replace("common >$out", "new >$out").replace("    share: true\n", "")
    store.declare(changed)
    expect(store.generate())
    expect(store.get("m", "common/key"), 0, "new\n", "")
    store.declare(DECLARATION)
    equal(store.get("m", "common/key").out, "common\n")


harness.main()
