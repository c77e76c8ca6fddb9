# SPDX-License-Identifier: Apache-2.0
"""What stands before a VM's boot loads no libcrypto; the subcommands that need it are in a module of the same build."""
import os
import re
from pathlib import Path

import harness
from example import NOBODY, Example, program_for_all
from harness import Skip, equal, expect, run, test, vmcred

MODULE_FOLDER = harness.module_folder()

OF_ANOTHER_BUILD = """
struct cli_module { const char *version; const void *commands; };
const struct cli_module vmcred_crypto_module = {"0.0.0", 0};
"""


def loaded(*words, **options):
    """The shared objects that a command loads, by their names, and its result."""
    environment = options.pop("env", {}) | {"LD_DEBUG": "files"}
    result = vmcred(*words, env=environment, **options)
    return {Path(name).name for name in re.findall(r"calling init: (\S+)", result.err)}, result


def module_of_another_build(folder):
    (folder / "module.c").write_text(OF_ANOTHER_BUILD)
    expect(run("cc", "-shared", "-fPIC", "-o", folder / "vmcred-crypto.so", folder / "module.c"))


def not_installed():
    """Else the program finds the module of the installation."""
    if (MODULE_FOLDER / "vmcred-crypto.so").exists():
        raise Skip(f"vmcred is installed: {MODULE_FOLDER} has its module")


@test("run, compose, units and the help load neither libcrypto nor the module")
def _(folder):
    example = Example(folder)
    credentials, hypervisor = folder / "credentials", folder / "qemu-system-x86_64"
    credentials.mkdir()
    for name in ("host-one", "host-two"):
        (credentials / name).write_text("value")
    hypervisor.write_text("#!/bin/sh\necho started\n")
    hypervisor.chmod(0o755)
    flags = ["--config", example.config, "--credentials", credentials, "m", "--", hypervisor]
    for words in (["run", *flags], ["compose", *flags], ["units", "--config", example.config], ["--help"], ["--version"]):
        objects, result = loaded(*words)
        equal(result.code, 0, f"exit code of {words[0]}: {result.err}")
        assert "libc.so.6" in objects, objects
        equal({name for name in objects if "crypto" in name}, set(), f"what {words[0]} loads")
    # The same look at what does load it.
    objects, _result = loaded("get", "--config", example.config, "--identity", example.identity, "m", "made/one")
    assert "libcrypto.so.3" in objects, objects


@test("without its module the program says so, and still does what needs none")
def _(folder):
    not_installed()
    program = program_for_all(folder)
    (folder / "vmcred-crypto.so").unlink()
    expect(
        run(program, "keygen"),
        1,
        "",
        'vmcred: loading what "keygen" needs: vmcred-crypto.so is not beside the program and not in '
        f"{MODULE_FOLDER}/: install all of vmcred, not the program alone\n",
    )
    expect(run(program, "--version"), 0, "vmcred 0.1.0\n", "")


@test("a module of another version is refused")
def _(folder):
    program = program_for_all(folder)
    module_of_another_build(folder)
    expect(
        run(program, "keygen"),
        1,
        "",
        'vmcred: loading what "keygen" needs: vmcred-crypto.so is not of version 0.1.0: install the program and its '
        "module together\n",
    )


@test("a module of somebody else is not loaded")
def _(folder):
    harness.need_root()
    program = program_for_all(folder)
    module_of_another_build(folder)
    os.chown(folder / "vmcred-crypto.so", NOBODY, NOBODY)
    expect(
        run(program, "keygen"),
        1,
        "",
        'vmcred: loading what "keygen" needs: vmcred-crypto.so belongs to neither root nor the program\'s owner\n',
    )


@test("neither the working directory nor the environment says where the module is")
def _(folder):
    module_of_another_build(folder)
    expect(vmcred("keygen", "--help", env={"LD_LIBRARY_PATH": str(folder)}, cwd=folder), 0, None, "")


@test("with rights that its caller does not have, the program takes no module from beside it")
def _(folder):
    harness.need_root()
    not_installed()
    program = program_for_all(folder)
    # Real and effective user differ, as in a setuid program.
    expect(
        run("setpriv", f"--ruid={NOBODY}", program, "keygen"),
        1,
        "",
        f'vmcred: loading what "keygen" needs: vmcred-crypto.so is not in {MODULE_FOLDER}/: install all of vmcred, not '
        "the program alone\n",
    )


harness.main()
