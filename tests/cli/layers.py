# SPDX-License-Identifier: Apache-2.0
"""The structure of src/. Its modules are ordered as a secret travels: a module includes only modules above it in ORDER. Each
directory, nested ones too, has one door, the header with its name: other modules include nothing else of it."""
import re
from pathlib import Path

import harness
from harness import equal

# `cli` uses everything, and nothing uses `cli`.
ORDER = [
    "base", "channel", "delivery", "load", "regex", "yaml", "config", "age", "openpgp", "sops", "sandbox", "vars", "bundle", "activate", "oem", "smbios", "initrd", "vmm", "guest", "inspect", "graph", "api", "cli",
]  # fmt: skip

# Allowed by the order and forbidden all the same: what starts a VM or runs in it never opens a document.
FORBIDDEN = {(module, other) for module in ("vmm", "initrd", "oem", "guest") for other in ("age", "sops", "vars", "activate")}

FILES_MAX = 40

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
TABLE_ROW = re.compile(r"^\| `src/([^`]+)/` \|", re.M)


def is_door(header):
    """base/ has no door: each of its headers is a small module."""
    return header.parts[0] == "base" or header.stem == header.parent.name


def directories(source):
    """Those with C files, by their paths below src/."""
    return sorted({str(path.parent.relative_to(source)) for path in source.glob("*/**/*.[ch]")})


def include_errors(source, file, include):
    """What is wrong with one #include line."""
    header = Path(include)
    if not (source / header).is_file():
        return ["not a path below src/"]
    module, other = file.parts[0], header.parts[0]
    if module == other or module not in ORDER:
        return []
    errors = []
    if ORDER.index(other) > ORDER.index(module):
        errors.append(f"{other}/ is below {module}/")
    if (module, other) in FORBIDDEN:
        errors.append(f"{module}/ must not use {other}/")
    if not is_door(header):
        errors.append(f"not the door of {header.parent}/")
    return errors


def violations(source):
    found = [f"{name} is not in ORDER" for name in sorted({name.split("/")[0] for name in directories(source)} - set(ORDER))]
    for name in directories(source):
        count = len(list((source / name).glob("*.[ch]")))
        if count > FILES_MAX:
            found.append(f"{name} has {count} files, more than {FILES_MAX}")
    for path in sorted(source.glob("*/**/*.[ch]")):
        file = path.relative_to(source)
        for include in INCLUDE.findall(path.read_text()):
            found += [f"{file} includes {include}: {error}" for error in include_errors(source, file, include)]
    return found


def circles(source):
    """Pairs of directories whose headers include each other, directly or through others."""
    reached = {name: set() for name in directories(source)}
    for path in source.glob("*/**/*.h"):
        reached[str(path.parent.relative_to(source))] |= {str(Path(name).parent) for name in INCLUDE.findall(path.read_text())}
    for through in reached:
        for names in reached.values():
            if through in names:
                names |= reached[through]
    return [(one, two) for one in sorted(reached) for two in sorted(reached[one]) if one < two and one in reached.get(two, ())]


def test_each_include_names_a_lower_door(_directory):
    """each include in src/ names a module above its own, and of another module only a door; no directory is too large"""
    equal(violations(harness.SOURCE / "src"), [])


def test_headers_of_directories_do_not_include_each_other(_directory):
    """the headers of two directories never include each other"""
    equal(circles(harness.SOURCE / "src"), [])


def test_architecture_lists_each_directory(_directory):
    """ARCHITECTURE.md has a row for each directory of src/ that has C files"""
    rows = TABLE_ROW.findall((harness.SOURCE / "ARCHITECTURE.md").read_text())
    equal(sorted(rows), directories(harness.SOURCE / "src"), "the rows")


def test_each_kind_of_violation_is_found(directory):
    """these tests find a lower module, a forbidden one, an internal header, a full directory and a circle"""
    files = {
        "base/file.h": "",
        "base/file.c": '#include "base/file.h"\n#include "age/age.h"\n',
        "age/age.h": "",
        "age/header.h": "",
        "age/ssh/ssh.h": '#include "age/header.h"\n',
        "age/ssh/key.h": '#include "age/age.h"\n',
        "age/file.c": '#include "age/ssh/key.h"\n',
        "sops/sops.h": '#include "age/age.h"\n#include "age/ssh/ssh.h"\n',
        "sops/tree.c": '  #  include "age/header.h"\n#include <stdio.h>\n#include "age/ssh/key.h"\n',
        "vmm/vmm.h": '#include "vmm/qemu/qemu.h"\n',
        "vmm/qemu/qemu.h": '#include "vmm/vmm.h"\n',
        "vmm/vmm.c": '#include "sops/sops.h"\n#include "tree.h"\n',
        "extra/extra.c": "",
    } | {f"oem/{number}.c": "" for number in range(FILES_MAX + 1)}
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    equal(
        violations(directory),
        [
            "extra is not in ORDER",
            "oem has 41 files, more than 40",
            "base/file.c includes age/age.h: age/ is below base/",
            "sops/tree.c includes age/header.h: not the door of age/",
            "sops/tree.c includes age/ssh/key.h: not the door of age/ssh/",
            "vmm/vmm.c includes sops/sops.h: vmm/ must not use sops/",
            "vmm/vmm.c includes tree.h: not a path below src/",
        ],
    )
    equal(circles(directory), [("vmm", "vmm/qemu")])


harness.main()
