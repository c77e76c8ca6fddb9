# SPDX-License-Identifier: Apache-2.0
"""The program that starts VMs cannot decrypt: vmcred-run has no such code, and vmcred executes it for run, compose and units."""
import re
import shutil
from pathlib import Path

import harness
from example import NOBODY, Example, by_script, program_for_all
from harness import VMCRED, equal, expect, fails, need_root, run

# What opens encrypted documents: the prefixes of our modules' functions, and the libraries.
DECRYPTS = re.compile(r"^(age|bech32|bcrypt|blowfish|openpgp|pgp|sops|vars|activate|serve|EVP|RSA|inflate|crypt)_")


def loaded(*words):
    """The names of the shared objects that a command loads, and its result."""
    program = harness.VMCRED_RUN if words[0] in ("run", "compose", "units") else VMCRED
    result = run(program, *words, env={"LD_DEBUG": "files"})
    return {Path(name).name for name in re.findall(r"calling init: (\S+)", result.err)}, result


def decrypting_symbols(program):
    """The functions for decryption that the program defines or imports."""
    names = [line.split()[-1] for line in expect(run("nm", program)).out.splitlines()]
    assert "main" in names, "the program is stripped: nothing can be seen"
    return sorted(name for name in names if DECRYPTS.match(name))


def test_vmcred_run_has_no_functions_for_decryption(_directory):
    """vmcred-run and vmcred-guest neither define nor import functions for decryption; vmcred does"""
    equal(decrypting_symbols(Path(VMCRED).with_name("vmcred-run")), [])
    equal(decrypting_symbols(Path(VMCRED).with_name("vmcred-guest")), [])
    found = decrypting_symbols(VMCRED)
    for name in ("age_decrypt", "sops_document_decrypt", "EVP_DecryptUpdate@OPENSSL_3.0.0"):
        assert any(symbol.startswith(name.split("@")[0]) for symbol in found), (name, found)


def test_vmcred_run_loads_no_libcrypto(directory):
    """run, compose and units load neither libcrypto nor zlib nor PCRE2"""
    example = Example(directory)
    credentials, hypervisor = directory / "credentials", directory / "qemu-system-x86_64"
    credentials.mkdir()
    for name in ("host-one", "host-two"):
        (credentials / name).write_text("value")
    harness.write_program(hypervisor, "#!/bin/sh\necho started\n")
    flags = ["--config", example.config, "--credentials", credentials, "m", "--", hypervisor]
    for words in (["run", *flags], ["compose", *flags], ["units", "--config", example.config]):
        objects, result = loaded(*words)
        equal(result.code, 0, f"exit code of {words[0]}: {result.err}")
        assert "libc.so.6" in objects, objects
        equal({name for name in objects if re.search(r"crypt|libz|pcre", name)}, set(), f"what {words[0]} loads")
    # The same check for a command that loads it.
    objects, _result = loaded("get", "--config", example.config, "--identity", example.identity, "m", "made/one")
    assert "libcrypto.so.3" in objects, objects


def test_missing_program_is_reported_with_its_path(directory):
    """without another program in its directory, vmcred reports the path that it tried, and does the rest"""
    program = program_for_all(directory)
    (directory / "vmcred-run").unlink()
    fails(run(program, "run", "m"), 1, f"executing {directory}/vmcred-run: No such file or directory")
    (directory / "vmcred-sandbox").unlink()
    here = Example(directory, by_script("echo x > $out/one"), generate=False)
    fails(run(program, "generate", "--config", here.config), 1, f"starting {directory}/vmcred-sandbox: No such file or directory")
    expect(run(program, "--version"), 0, f"vmcred {harness.VERSION}\n", "")


def test_programs_are_not_searched_in_path(directory):
    """the other programs are searched for neither in $PATH nor in the working directory"""
    program = program_for_all(directory)
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    shutil.move(directory / "vmcred-run", elsewhere)
    expect(run(program, "run", "--help", env={"PATH": f"{elsewhere}:/usr/bin:/bin"}, cwd=elsewhere), 1, "")


def test_wrong_link_is_an_error_with_the_right_one(directory):
    """vmcred called by a name of vmcred-run or vmcred-sops fails with the link to create instead"""
    for name, program in (
        ("cloud-hypervisor", "vmcred-run"),
        ("qemu-system-x86_64", "vmcred-run"),
        ("vmcred-generator", "vmcred-run"),
        ("sops", "vmcred-sops"),
    ):
        link = directory / name
        link.symlink_to(VMCRED)
        expect(run(link, "--version"), 2, "", f"vmcred: called as {name}, but the link points to vmcred: "
               f"link to {program} instead: `ln -sf {program} {name}`\n")  # fmt: skip


def test_setuid_vmcred_executes_no_program(directory):
    """as a setuid program, vmcred executes no program from its directory"""
    need_root()
    program = program_for_all(directory)
    # Different real and effective users, as in a setuid program.
    result = expect(run("setpriv", f"--ruid={NOBODY}", program, "run", "--help"), None, None)
    assert str(directory) not in result.err, result.err


harness.main()
