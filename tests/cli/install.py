# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts where, and that a program builds against it with pkg-config alone."""
from pathlib import Path

import harness
from harness import equal, expect, run, test

BUILD = Path(harness.VMCRED).parent

PROGRAM = """
#include <stdio.h>
#include <vmcred.h>

int main(void)
{
    struct vmcred_secret *text;
    struct vmcred_error *error;

    if (vmcred_oem_string_create("NAME", "value", 5, &text, &error) < 0)
        return 1;
    fwrite(vmcred_secret_data(text), 1, vmcred_secret_size(text), stdout);
    vmcred_secret_free(text);
    return 0;
}
"""


def installed(folder):
    expect(run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", folder))
    return [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]


@test("program, library, header, pkg-config file, units and completions are installed")
def _(folder):
    names = {path.name for path in installed(folder)}
    wanted = {
        "vmcred", "vmcred-crypto.so", "vmcred.h", "vmcred.pc", "libvmcred.a", "libvmcred.so", "libvmcred.so.0", "microvm@.service",
        "vmcred-activate.service", "vmcred-activate-users.service", "vmcred.service", "vmcred.socket", "vmcred-generator",
        "vmcred.fish", "_vmcred",
    }  # fmt: skip
    equal(wanted - names, set(), "missing files")


@test("the library exports what its header declares, and nothing else")
def _(folder):
    library = next(path for path in installed(folder) if path.name == "libvmcred.so.0")
    symbols = expect(run("nm", "--dynamic", "--defined-only", library)).out
    exported = {line.split()[-1] for line in symbols.splitlines()}
    declared = set()
    for line in (harness.SOURCE / "include/vmcred.h").read_text().splitlines():
        if line.startswith("VMCRED_PUBLIC"):
            declared.add(line.split("(")[0].replace("*", " ").split()[-1])
    equal(exported, declared)


@test("a program builds with pkg-config's flags, and runs")
def _(folder):
    files = installed(folder)
    pc = next(path for path in files if path.name == "vmcred.pc")
    environment = {"PKG_CONFIG_PATH": str(pc.parent), "PKG_CONFIG_SYSROOT_DIR": str(folder)}
    flags = expect(run("pkg-config", "--cflags", "--libs", "vmcred", env=environment)).out.split()
    source = folder / "program.c"
    source.write_text(PROGRAM)
    library = next(path for path in files if path.name == "libvmcred.so.0").parent
    expect(run("cc", "-Wall", "-Werror", "-o", folder / "program", source, *flags))
    expect(run(folder / "program", env={"LD_LIBRARY_PATH": str(library)}), 0, "io.systemd.credential:NAME=value", "")


@test("the installed program finds its module where it was installed to, also below a DESTDIR")
def _(folder):
    program = next(path for path in installed(folder) if path.name == "vmcred" and path.parent.name == "bin")
    made = expect(run(program, "keygen"))
    module = next(path for path in folder.rglob("vmcred-crypto.so"))
    assert "AGE-SECRET-KEY-1" in made.out, made
    module.unlink()
    if not (harness.module_folder() / module.name).exists():
        expect(run(program, "keygen"), 1)


harness.main()
