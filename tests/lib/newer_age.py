# SPDX-License-Identifier: Apache-2.0
"""age 1.3, which tools/install-deps --test builds because Debian's is older, and a plugin for it."""
import os

import harness
from harness import CACHE, Skip

AGE = CACHE / "age-1.3.1"

# The plugin of age's own tests: it puts the file key into a stanza as it is.
PLUGIN = """#!/usr/bin/env python3
import sys

sys.path.insert(0, {directory!r})
from age_plugin_test import ask, phase1, send

received = phase1()
if "recipient" in sys.argv[1]:
    key = next(body for words, body in received if words == ["wrap-file-key"])
    ask("recipient-stanza", "0", "test", body=key)
else:
    for words, body in received:
        if words[:3] == ["recipient-stanza", "0", "test"]:
            ask("file-key", "0", body=body)
send("done")
"""


def need_newer_age():
    if AGE.is_dir():
        return
    if harness.CI:
        raise AssertionError(f"{AGE} is missing, and CI=true allows no skips: tools/install-deps --test")
    raise Skip(f"{AGE} is missing: tools/install-deps --test")


def programs_make(directory):
    """A new directory for $PATH: age and age-keygen are links to vmcred, the plugins real."""
    directory.mkdir()
    for link in ("age", "age-keygen"):
        (directory / link).symlink_to(harness.VMCRED)
    for plugin in ("age-plugin-batchpass", "age-plugin-pq"):
        (directory / plugin).symlink_to(AGE / plugin)
    harness.write_program(directory / "age-plugin-test", PLUGIN.format(directory=os.path.abspath(harness.SOURCE / "tests/interop")))
    return directory
