# SPDX-License-Identifier: Apache-2.0
"""vmcred inspect: the findings of each stage, with all secrets in place or with missing, changed and unproved ones."""
import hashlib
import json
import socket

import harness
from example import DECLARATION, Example
from harness import equal, expect

PROVED = """\
#  STAGE     STATE    FINDING
1  generate  seen     2 secrets declared: 0 by scripts, 2 built in, 0 from elsewhere
2  seal      seen     2 of 2 SOPS documents decrypted with the identity of m; their MACs match
3  activate  seen     2 of 2 in /run/secrets, in memory only, with the store's value
4  load      unseen   2 LoadCredential= lines; the unit is not running
5  compose   seen     3 OEM strings, 163 of 61439 bytes of the SMBIOS table
6  launch    unseen   microvm@m.service is not running
7  receive   seen     the guest's service got 2 credentials; dmidecode there shows 1 of 1 static strings
8  prove     seen     2 salted digests from the guest match
"""


def proof(name, value, salt="5a17"):
    digest = hashlib.sha256(salt.encode() + value.encode()).hexdigest()
    return f"[    1.0] vmcred-proof: credential {name} salt={salt} sha256={digest}\r\n"


def console(directory, *lines):
    path = directory / "console"
    path.write_text("boot\r\n" + "".join(lines) + "vmcred-proof: oem-string ENVIRONMENT=test\r\nvmcred-proof: end\r\n")
    return path


def stages(result):
    return {stage["stage"]: stage["state"] for stage in json.loads(result.out)}


MISSING, WRONG = "vmcred: m: something declared is missing\n", "vmcred: m: integrity check failed\n"


def test_everything_in_place(directory):
    """with all secrets in place and proved, no stage has a fault"""
    example = Example(directory)
    expect(example.activate())
    log = console(directory, proof("one", example.get("one").out), proof("two", example.get("two").out))
    expect(example.inspect("--proof", log), 0, PROVED, "")


def test_wrong_digest(directory):
    """a digest that matches no credential is an integrity failure"""
    example = Example(directory)
    expect(example.activate())
    log = console(directory, proof("one", example.get("one").out), proof("two", "another"))
    result = example.inspect("--proof", log)
    expect(result, 4, None, WRONG)
    assert result.out.endswith('8  prove     wrong    the guest\'s digest of "two" matches no credential\n'), result.out


def test_missing_digest(directory):
    """a required credential without a digest is missing, an optional one is not"""
    example = Example(directory)
    expect(example.activate())
    log = console(directory, proof("two", example.get("two").out))
    result = example.inspect("--proof", log)
    expect(result, 3, None, MISSING)
    assert result.out.endswith("8  prove     missing  the guest sent no digest of HOST-ONE\n"), result.out
    log = console(directory, proof("one", example.get("one").out))
    expect(example.inspect("--proof", log), 0, None, "")


def test_digest_without_salt(directory):
    """a digest without a salt does not match"""
    example = Example(directory)
    expect(example.activate())
    log = console(directory, proof("one", example.get("one").out, ""), proof("two", example.get("two").out))
    expect(example.inspect("--proof", log), 4, None, WRONG)


def test_missing_and_wrong_stages(directory):
    """without activation its stage is missing; with a changed document its stage is wrong"""
    example = Example(directory)
    result = expect(example.inspect("--json"), 3, None, MISSING)
    equal(stages(result)["activate"], "missing")
    document = example.document("one")
    document.write_text(document.read_text().replace('"lastmodified": "2', '"lastmodified": "1'))
    result = expect(example.inspect("--json"), 4, None, WRONG)
    equal(stages(result)["seal"], "wrong")


def test_stale_activation(directory):
    """an activated file whose value differs from the store is missing"""
    example = Example(directory)
    expect(example.activate())
    expect(example.generate("--regenerate", "--all"))
    result = expect(example.inspect("--json"), 3, None, MISSING)
    equal(stages(result)["activate"], "missing")


def test_no_secret_in_the_output(directory):
    """inspect prints no secret, even at the highest verbosity"""
    example = Example(directory)
    expect(example.activate())
    values = [example.get(name).out for name in ("one", "two")]
    for result in (example.inspect("-vv"), example.inspect("-vv", "--json"), example.activate("-vv")):
        for value in values:
            assert value not in result.out + result.err


def test_credentials_from_the_socket(directory):
    """a VM with credentials from the socket needs the socket and no files"""
    example = Example(directory, DECLARATION + "credentialSource: socket\n")
    lines = expect(example.inspect(), 3, None, MISSING).out.splitlines()
    equal(lines[3], "3  activate  missing  /run/vmcred/socket does not exist: start vmcred.socket")
    path = example.root / "run/vmcred/socket"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    lines = expect(example.inspect(), 0, None, "").out.splitlines()
    equal(lines[3], "3  activate  seen     /run/vmcred/socket serves 2 credentials to the unit, without files")


harness.main()
