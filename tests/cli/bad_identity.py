# SPDX-License-Identifier: Apache-2.0
"""Unusable identities, and identities that decrypt only some secrets: errors name the file, the secret and the remedy, and
nothing else changes."""
import harness
from example import AS_NOBODY, Example, without_recipients
from harness import VMCRED, equal, expect, fails, need, need_root, run, test, vmcred

DECLARATION = """\
machines: {m: {}, n: {}}
generators:
  made:
    machines: [m, n]
    files: {it: {}}
    kind: {it: {hex: 8}}
  later:
    machines: [m, n]
    dependencies: [made]
    files: {it: {}}
    script: cat $in/made/it > $out/it
"""


def public_key(identity):
    return run(need("age-keygen"), "-y", identity).out.strip()


class Two(Example):
    """A store of two machines; each has an identity of its own."""

    def __init__(self, directory):
        super().__init__(directory, DECLARATION, generate=False)
        self.other = directory / "other"
        expect(vmcred("keygen", "--config", self.config, "--machine", "n", "--output", self.other))
        expect(self.generate())

    def verb(self, command, *words):
        return without_recipients(vmcred(command, "--config", self.config, *words))

    def store(self):
        return {str(path): path.read_bytes() for path in self.directory.glob("vars/**/secret")}

    def unopened(self, machine, generator):
        """The error for a machine's secret and the other machine's identity."""
        for_whom, tried = (public_key(path) for path in (self.identity, self.other))
        return (
            f"vars/per-machine/{machine}/{generator}/it/secret: no identity matches: it is encrypted to {for_whom}; "
            f"tried: {tried}: use the identity of a recipient, or encrypt it to your public key as well"
        )


def test_wrong_identity_is_an_error_that_names_the_secret(directory):
    """an identity that does not open a secret: get, activate and generate name it, and change nothing"""
    here = Two(directory)
    before = here.store()
    expect(here.verb("get", "--identity", here.other, "m", "made/it"), 3, "", f"vmcred: {here.unopened('m', 'made')}\n")
    # Neither can be opened: the error names the first declared one.
    expect(here.verb("activate", "--machine", "m", "--identity", here.other, "--root", directory / "root"), 3, "",
           f"vmcred: {here.unopened('m', 'made')}\n")  # fmt: skip
    assert not (directory / "root/run/secrets").exists()
    expect(here.verb("generate", "m", "--generator", "later", "--regenerate", "--identity", here.other), 3, "",
           f"vmcred: dependencies of the generator later: {here.unopened('m', 'made')}\n")  # fmt: skip
    equal(here.store(), before)


def test_fix_re_encrypts_what_the_identity_decrypts(directory):
    """an identity that opens some secrets: fix does those, names each of the others, and another identity does them"""
    here = Two(directory)
    expect(vmcred("keygen", "--output", directory / "ada"))
    result = here.verb("user", "add", "ada", "--age-key", public_key(directory / "ada"), "--identity", here.other)
    warnings = "".join(f"vmcred: warning: {here.unopened('m', generator)}\n" for generator in ("made", "later"))
    failed = "vmcred: 2 secrets could not be re-encrypted\n"
    added = {name: f"{name} made/it: 1 recipient to add, 0 to remove\n{name} later/it: 1 recipient to add, 0 to remove\n" for name in "mn"}
    equal((result.code, result.err), (1, warnings + failed))
    equal(sorted(result.out.splitlines()), sorted((added["m"] + added["n"]).splitlines()), "what it tries")
    some = here.store()
    expect(here.verb("fix", "--identity", here.other), 1, added["m"], warnings + failed)
    equal(here.store(), some)
    result = here.verb("check")
    equal((result.code, result.out.count("1 recipient to add, 0 to remove")), (3, 2), result)
    expect(here.verb("fix", "--identity", here.identity), 0, added["m"], "")
    for machine in ("m", "n"):
        expect(here.verb("get", "--identity", directory / "ada", machine, "later/it"), 0, None, "")


def test_identity_file_with_several_identities(directory):
    """with several identities in one file, each secret is decrypted with the right one"""
    here = Two(directory)
    both = directory / "both"
    both.write_text(here.other.read_text() + here.identity.read_text())
    both.chmod(0o600)
    for machine in ("m", "n"):
        expect(here.verb("get", "--identity", both, machine, "made/it"), 0, None, "")


def remake(path, text):
    path.write_text(text)


def to_directory(path):
    path.unlink()
    path.mkdir()


NO_KEY = "contains no secret key: generate one with `vmcred keygen --output FILE`"
UNUSABLE = {
    "that its group can write": (lambda path: path.chmod(0o660), 1, "mode 0660 lets other users change the key: chmod 600 {}"),
    "that others can write": (lambda path: path.chmod(0o602), 1, "mode 0602 lets other users change the key: chmod 600 {}"),
    "that is a directory": (to_directory, 1, "not a regular file"),
    "that is empty": (lambda path: remake(path, ""), 1, NO_KEY),
    "of comments": (lambda path: remake(path, "# key\n"), 1, NO_KEY),
    "of something else": (lambda path: remake(path, "# key\nhello\n"), 1, "line 2: not an age secret key (AGE-SECRET-KEY-1…)"),
    "that is cut off": (lambda path: remake(path, "AGE-SECRET-KEY-1QQ\n"), 1, "line 1: the secret key is not valid: it has 18 characters instead of 74"),
    "that is missing": (lambda path: path.unlink(), 3, "No such file or directory: pass the identity file with --identity FILE"),
}  # fmt: skip


def unusable(how):
    @test(f"an identity file {how} is named by every verb that opens something, and nothing is changed")
    def test_unusable(directory):
        spoil, code, reason = UNUSABLE[how]
        here = Two(directory)
        expect(vmcred("keygen", "--output", directory / "ada"))
        key = public_key(directory / "ada")
        before = here.store()
        spoil(here.identity)
        error = f"reading the identity file: {here.identity}: {reason.format(here.identity)}\n"
        identity = ("--identity", here.identity)
        expect(here.verb("get", *identity, "m", "made/it"), code, "", f"vmcred: {error}")
        expect(here.verb("activate", "--machine", "m", *identity, "--root", directory / "root"), code, "", f"vmcred: {error}")
        expect(here.verb("generate", "m", "--generator", "later", "--regenerate", *identity), code, "",
               f"vmcred: dependencies of the generator later: {error}")  # fmt: skip
        expect(here.verb("user", "add", "ada", "--age-key", key, *identity), code, "", f"vmcred: {error}")
        equal(here.store(), before)
        assert not (directory / "root/run").exists()


for case in UNUSABLE:
    unusable(case)


def test_the_identity_of_the_machine_needs_root(directory):
    """users who cannot read the machine's identity learn that root can"""
    need_root()
    example = Example(directory)
    directory.chmod(0o755)
    script = 'mount -t tmpfs -o mode=755 none /var/lib && mkdir -m "$0" /var/lib/vmcred && exec "$@"'
    words = [*AS_NOBODY, "env", "-u", "HOME", VMCRED, "inspect", "--config", example.config, "m"]
    for mode, names_root in (("700", True), ("755", False)):
        result = run("unshare", "--mount", "sh", "-c", script, mode, *words)
        fails(result, 3, "no identity can be read", "--identity FILE")
        equal("run this as root, or pass" in result.err, names_root, result.err)


harness.main()
