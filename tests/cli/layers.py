# SPDX-License-Identifier: Apache-2.0
"""The folders of src/ stand in the order in which a secret travels: a folder includes what is above it, never
below, and of another folder only the header that is its door."""
import re
from pathlib import Path

import harness
from harness import equal

# design: from the ground up. `cli` uses everything, nothing uses `cli`.
ORDER = ["base", "yaml", "config", "age", "openpgp", "regex", "sops", "vars", "activate", "oem", "smbios", "vmm", "inspect", "api", "cli"]

# Above it in the order, and still none of its business: a hypervisor's driver never opens a document.
FORBIDDEN = {("vmm", "sops"), ("vmm", "age"), ("vmm", "vars"), ("vmm", "activate"), ("oem", "sops"), ("oem", "age")}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def violations(source):
    found = []
    folders = sorted(path.name for path in source.iterdir() if path.is_dir() and any(path.glob("*.[ch]")))
    found += [f"src/{folder} has no place in the order" for folder in folders if folder not in ORDER]
    for path in sorted(source.glob("*/**/*.[ch]")):
        folder = path.relative_to(source).parts[0]
        for include in INCLUDE.findall(path.read_text()):
            where = f"{path.relative_to(source)} includes {include}"
            if not (source / include).is_file():
                found.append(f"{where}, which is not a path below src/")
                continue
            other = Path(include).parts[0]
            if other == folder or folder not in ORDER:
                continue
            if ORDER.index(other) > ORDER.index(folder):
                found.append(f"{where}, which stands below it")
            if (folder, other) in FORBIDDEN:
                found.append(f"{where}, which is none of its business")
            # A subdirectory can have a door of its own, such as activate/serve/serve.h.
            if other != "base" and Path(include).stem != Path(include).parent.name:
                found.append(f"{where}, which is not the door of {other}/")
    return found


def test_no_folder_src_includes_below_header_not_door(_folder):
    """no folder of src/ includes one below it, or a header that is not a door"""
    equal(violations(harness.SOURCE / "src"), [])


def test_include_lower_folder_forbidden_private_header_each(folder):
    """an include of a lower folder, a forbidden one and a private header are each found"""
    files = {
        "base/file.h": "",
        "base/file.c": '#include "base/file.h"\n#include "age/age.h"\n',
        "age/age.h": "",
        "age/header.h": "",
        "sops/sops.h": '#include "age/age.h"\n',
        "sops/tree.c": '  #  include "age/header.h"\n#include <stdio.h>\n',
        "vmm/vmm.c": '#include "sops/sops.h"\n#include "tree.h"\n',
        "extra/extra.c": "",
    }
    for name, text in files.items():
        path = Path(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    equal(
        violations(Path(folder)),
        [
            "src/extra has no place in the order",
            "base/file.c includes age/age.h, which stands below it",
            "sops/tree.c includes age/header.h, which is not the door of age/",
            "vmm/vmm.c includes sops/sops.h, which is none of its business",
            "vmm/vmm.c includes tree.h, which is not a path below src/",
        ],
    )


harness.main()
