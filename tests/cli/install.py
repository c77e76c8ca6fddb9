# SPDX-License-Identifier: Apache-2.0
"""`make install`: the installed files, and a program built with the flags of pkg-config."""
import re
from pathlib import Path

import harness
from harness import equal, expect, need, run

BUILD = Path(harness.VMCRED).parent

# Tenths, as systemd-analyze accepts them. What is left is what the services are for:
EXPOSURES = {
    "microvm@.service": 17,  # devices, sockets of the network and a hypervisor that generates code
    "vmcred-activate.service": 13,  # root that gives files to their owners, and documents below /home
    "vmcred-activate-users.service": 12,
    "vmcred-guest.service": 16,  # root that uses vsock
    "vmcred-guest-verify.service": 14,
    "vmcred-guest-watch.service": 16,  # and asks systemd for restarts
    "vmcred-units.service": 8,
    "vmcred.service": 10,  # root that reads files of others
}

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


def installed(directory):
    expect(run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", directory))
    return [path for path in directory.rglob("*") if path.is_file() or path.is_symlink()]


def test_everything_is_installed(directory):
    """programs, library, header, pkg-config file, units and completions are installed"""
    names = {path.name for path in installed(directory)}
    wanted = {
        "vmcred", "vmcred-run", "vmcred-sops", "vmcred-sandbox", "vmcred-guest", "vmcred.h", "vmcred.pc", "libvmcred.a", "libvmcred.so", "libvmcred.so.0", "microvm@.service",
        "vmcred-activate.service", "vmcred-activate-users.service", "vmcred.service", "vmcred.socket", "vmcred-generator",
        "vmcred-channel.socket", "vmcred-vsock.socket", "vmcred-guest.socket", "vmcred-guest.service", "vmcred-guest-verify.service", "vmcred-guest-watch.service",
        "vmcred-units.path", "vmcred-units.service", "vmcred.catalog", "run-secrets.d.mount", r"run-secrets\x2dfor\x2dusers.d.mount", "vmcred.fish", "_vmcred", "vmcred.conf",
    }  # fmt: skip
    equal(wanted - names, set(), "missing files")


def test_no_other_program_is_replaced(directory):
    """no program is installed with the name of another one, such as age or sops: the user creates links"""
    programs = {path.name for path in installed(directory) if path.parent.name == "bin"}
    equal({name for name in programs if not re.fullmatch("vmcred(-[a-z]+)?", name)}, set())


def test_program_for_guests_is_small_and_static(directory):
    """vmcred-guest needs no library, and has less than 300 KB without its symbols"""
    program = next(path for path in installed(directory) if path.name == "vmcred-guest")
    equal("INTERP" in expect(run("readelf", "--program-headers", program), 0, None, "").out, False, "has an interpreter")
    expect(run("strip", program), 0, "", "")
    size = program.stat().st_size
    assert size < 300_000, size


def test_each_manual_page_is_installed(directory):
    """each manual page in docs/ is installed"""
    need("scdoc")
    names = {path.name for path in installed(directory)}
    pages = {path.stem for path in (harness.SOURCE / "docs").glob("*.scd")}
    equal(pages - names, set(), "missing pages")


def test_packages_have_what_the_manual_names(_directory):
    """each page and example that a manual page names is in a Debian package"""
    source = harness.SOURCE
    pages = "".join(path.read_text() for path in (source / "docs").glob("*.scd"))
    packaged = "".join(path.read_text() for path in [*source.glob("debian/*.docs"), *source.glob("debian/*.examples")]).split()
    named = set(re.findall(r"_((?:docs|examples)/[^_]+)_", pages))
    assert named, "no names"
    equal({name for name in named if not any(Path(name).is_relative_to(path) for path in packaged)}, set(), "not packaged")


def test_installed_units_run_installed_programs(directory):
    """the installed units run the installed programs"""
    paths = installed(directory)
    programs = {f"/{path.relative_to(directory)}" for path in paths if path.parent.name == "bin"}
    units = [path for path in paths if path.suffix == ".service"]
    started = re.findall(r"^Exec\w+=\+?(/\S+/vmcred\S*)", "".join(path.read_text() for path in units), re.M)
    equal((len(units), set(started) - programs, len(started)), (8, set(), 11))


def test_prefix_that_units_cannot_have_is_refused(directory):
    """a prefix with a space, which systemd would take for the end of the program's path, is refused before anything is built"""
    result = run("meson", "setup", "-Dtests=false", "--prefix", "/opt/a b", directory / "build", harness.SOURCE)
    equal((result.code, '"/opt/a b/bin": choose a --prefix without spaces' in result.out), (1, True), result)


def test_installed_units_are_sandboxed(directory):
    """systemd rates the exposure of each installed service no higher than what its function needs"""
    need("systemd-analyze")
    services = {path.name: path for path in installed(directory) if path.suffix == ".service"}
    equal(sorted(services), sorted(EXPOSURES))
    for name, most in EXPOSURES.items():
        rated = run("systemd-analyze", "security", "--offline=true", f"--threshold={most}", "--no-pager", services[name])
        equal(rated.code, 0, f"exit code of systemd-analyze, with {rated.out[-100:]}{rated.err}")


def test_library_exports_only_the_functions_of_its_header(directory):
    """the library exports the functions of its header and no others"""
    library = next(path for path in installed(directory) if path.name == "libvmcred.so.0")
    symbols = expect(run("nm", "--dynamic", "--defined-only", library)).out
    exported = {line.split()[-1] for line in symbols.splitlines()}
    declared = set()
    for line in (harness.SOURCE / "include/vmcred.h").read_text().splitlines():
        if line.startswith("VMCRED_PUBLIC"):
            declared.add(line.split("(")[0].replace("*", " ").split()[-1])
    equal(exported, declared)


def test_program_builds_with_flags_of_pkg_config(directory):
    """a program builds with the flags of pkg-config and runs"""
    files = installed(directory)
    pc = next(path for path in files if path.name == "vmcred.pc")
    environment = {"PKG_CONFIG_PATH": str(pc.parent), "PKG_CONFIG_SYSROOT_DIR": str(directory)}
    flags = expect(run("pkg-config", "--cflags", "--libs", "vmcred", env=environment)).out.split()
    source = directory / "program.c"
    source.write_text(PROGRAM)
    library = next(path for path in files if path.name == "libvmcred.so.0").parent
    expect(run("cc", "-Wall", "-Werror", "-o", directory / "program", source, *flags))
    expect(run(directory / "program", env={"LD_LIBRARY_PATH": str(library)}), 0, "io.systemd.credential:NAME=value", "")


def test_installed_vmcred_executes_installed_programs(directory):
    """an installed vmcred executes the programs of its installation, also below a DESTDIR"""
    program = next(path for path in installed(directory) if path.name == "vmcred" and path.parent.name == "bin")
    expect(run(program, "sops", "--version"), 0, f"sops 3.13.2 (vmcred {harness.VERSION})\n", "")
    assert "Usage: vmcred run " in expect(run(program, "run", "--help")).out
    program.with_name("vmcred-sops").unlink()
    expect(run(program, "sops", "--version"), 1, "")


harness.main()
