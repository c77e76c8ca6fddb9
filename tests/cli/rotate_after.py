# SPDX-License-Identifier: Apache-2.0
"""The age of secrets: what `list` shows, and rotateAfter, after which `check` reports a secret and `generate --overdue`
renews it."""
import datetime
import json
import re

import harness
from example import Example
from harness import equal, expect, fails, vmcred
from vm import wait_for

DECLARATION = """\
machines: {m: {}, n: {}}
generators:
  token:
    machines: [m, n]
    rotateAfter: 90d
    files: {it: {}, open: {secret: false}}
    kind: {it: {base64: 32}, open: {hex: 4}}
  derived:
    machines: [m]
    dependencies: [token]
    files: {it: {}}
    script: printf %s "of $(cat $in/token/it)" > $out/it
  other:
    machines: [m]
    files: {it: {}}
    kind: {it: {hex: 4}}
  web:
    machines: [m]
    files: {key: {}, cert: {secret: false}}
    kind: {key: {tls: {certificate: cert, days: 100}}}
  hidden:
    machines: [m]
    files: {key: {}, cert: {}}
    kind: {key: {tls: cert}}
vms:
  web: {loadCredentials: {a: token/it, b: web/key, c: token/it}}
  db: {loadCredentials: {a: token/it}}
"""
STORED_TIME = re.compile(rb'"lastmodified": "([^"]*)"')
DETAIL = "(90 days old, rotateAfter: 90d)"


def store(directory):
    return Example(directory, DECLARATION.replace("machines: {m: {}, n: {}}", "machines: {m: {}}").replace("[m, n]", "[m]"))


def modified(path):
    return STORED_TIME.search(path.read_bytes()).group(1).decode()


def age(path, **since):
    """Dates a document back, as anybody who can write to the store could."""
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(**since)
    path.write_bytes(STORED_TIME.sub(f'"lastmodified": "{then:%Y-%m-%dT%H:%M:%SZ}"'.encode(), path.read_bytes()))


def listed(example, *words):
    return json.loads(expect(vmcred("list", "--json", "--config", example.config, *words), 0, None, "").out)


def test_list_shows_age_validity_vms_and_readers(directory):
    """list shows the age of secrets, the end of certificates, the VMs that load them and who can read them"""
    example = store(directory)
    age(example.document("it", "token"), days=90, seconds=1)
    age(example.document("it", "other"), days=1)
    today = datetime.datetime.now(datetime.timezone.utc)
    result = expect(vmcred("list", "--config", example.config), 0, None, "")
    end = re.search(r"web/cert .*?(\d{4}-\d\d-\d\d)", result.out).group(1)
    assert 98 <= (datetime.datetime.fromisoformat(end + "T00:00:00+00:00") - today).days <= 101, end
    expect(result, 0, f"""\
SECRET                 AGE               VALID UNTIL  VMS      READERS
m token/it             90 days, overdue  -            web, db  machine m
m token/open (public)  -                 -            -        -
m derived/it           today             -            -        machine m
m other/it             1 day             -            -        machine m
m web/key              today             -            web      machine m
m web/cert (public)    -                 {end}   -        -
m hidden/key           today             -            -        machine m
m hidden/cert          today             (encrypted)  -        machine m
""")  # fmt: skip
    entries = {f"{entry['generator']}/{entry['file']}": entry for entry in listed(example)}
    expected = {
        "machine": "m", "generator": "token", "file": "it", "secret": True, "deploy": True, "neededFor": "services",
        "there": True, "modified": modified(example.document("it", "token")), "rotateAfterDays": 90, "overdue": True,
        "notAfter": None, "encryptedCertificate": False, "problem": None, "vms": ["web", "db"], "readers": ["machine m"],
    }  # fmt: skip
    equal(entries["token/it"], expected)
    equal((entries["web/cert"]["notAfter"][:10], entries["web/cert"]["modified"], entries["hidden/cert"]["encryptedCertificate"]),
          (end, None, True))  # fmt: skip


def test_list_shows_who_can_read_a_document(directory):
    """list shows the recipients of the document, not what its links claim, and a key without an owner as it is"""
    example = store(directory)
    path = example.document("it", "other")
    (path.parent / "machines/m").rename(path.parent / "machines/n")
    (directory / "sops/machines/m/key.json").rename(directory / "key.json")
    readers = next(entry["readers"] for entry in listed(example) if entry["generator"] == "other")
    equal(readers, [json.loads(path.read_bytes())["sops"]["age"][0]["recipient"]])


def test_list_knows_the_machine_of_a_vm(directory):
    """list shows the VMs of the secret's machine only"""
    example = Example(directory, DECLARATION.replace("db: {", "db: {machine: n, ").replace("web: {load", "web: {machine: m, load"), generate=False)
    found = {entry["machine"]: entry["vms"] for entry in listed(example) if entry["file"] == "it" and entry["generator"] == "token"}
    equal(found, {"m": ["web"], "n": ["db"]})


def test_list_shows_a_damaged_document(directory):
    """list shows a document that cannot be read, and all others"""
    example = store(directory)
    example.document("it", "other").write_text("{}")
    out = expect(vmcred("list", "--config", example.config), 0, None, "").out
    assert re.search(r"^m other/it +unreadable ", out, re.M) and out.count("today") == 5, out
    problem = next(entry["problem"] for entry in listed(example) if entry["generator"] == "other")
    assert "other/it/secret" in problem, problem


def test_overdue_secrets_are_reported_and_renewed(directory):
    """check reports a secret after rotateAfter; only generate --overdue renews it, with what depends on it and nothing else"""
    example = store(directory)
    path, others = example.document("it", "token"), [example.document("it", "other"), example.document("key", "web")]
    age(path, days=90, minutes=-5)
    age(others[0], days=3000)
    expect(vmcred("check", "--config", example.config), 0, None, "")
    expect(example.generate("--overdue"), 0, "nothing to do: all declared secrets exist, and none is overdue\n", "")
    age(path, days=90, seconds=1)
    expect(vmcred("check", "--config", example.config), 3, f"m token/it is overdue {DETAIL}\n",
           "vmcred: 1 of 8 files is not as declared: fix the first with `vmcred generate --overdue`\n")  # fmt: skip
    found = json.loads(expect(vmcred("check", "--json", "--config", example.config), 3).out)
    equal([(item["file"], item["fault"], item["detail"]) for item in found], [("it", "overdue", DETAIL.strip("()"))])
    expect(example.generate(), 0, "nothing to do: all declared secrets exist\n", "")
    before = [other.read_bytes() for other in others]
    old = path.read_bytes()
    expect(example.generate("--overdue", "--dry-run"), 0,
           "token for m: would generate it, open\nderived for m: would generate it\n", "")  # fmt: skip
    equal(path.read_bytes(), old)
    result = json.loads(expect(example.generate("--overdue", "--json"), 0, None, "").out)
    equal([(job["generator"], job["reason"]) for job in result], [("token", "overdue"), ("derived", "dependency")])
    equal(example.get("it", "derived").out, "of " + example.get("it", "token").out)
    equal([other.read_bytes() for other in others], before, "the others")
    expect(vmcred("check", "--config", example.config), 0, None, "")


def test_only_the_named_machine_is_renewed(directory):
    """generate --overdue MACHINE renews the secrets of that machine"""
    example = Example(directory, DECLARATION, generate=False)
    expect(vmcred("keygen", "--config", example.config, "--machine", "n", "--output", directory / "n"))
    expect(example.generate())
    for machine in "m", "n":
        age(example.document("it", "token", machine), days=91)
    expect(example.generate("n", "--overdue"), 0, "token for n: generated it, open\n", "")
    out = expect(vmcred("check", "--config", example.config), 3).out
    assert out.startswith("m token/it is overdue"), out


def test_time_is_authenticated(directory):
    """check --decrypt finds a secret whose time was changed, and a time in the future is overdue"""
    example = store(directory)
    path = example.document("it", "token")
    age(path, days=1)
    expect(vmcred("check", "--config", example.config), 0, None, "")
    fails(example.get("it", "token"), 4, "token/it")
    expect(vmcred("check", "--config", example.config, "--decrypt", "--identity", example.identity), 4)
    age(path, days=-2)
    expect(vmcred("check", "--config", example.config), 3, "m token/it is overdue (dated in the future)\n")


def test_time_is_that_of_the_value(directory):
    """set changes the time; a new reader and fix do not"""
    example = store(directory)
    path = example.document("it", "token")
    before = modified(path)
    wait_for("another second", lambda: f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}" > before)
    expect(vmcred("keygen", "--output", directory / "ada"))
    public = re.search(r"age1\w+", (directory / "ada").read_text()).group()
    expect(vmcred("user", "add", "ada", "--age-key", public, "--config", example.config, "--identity", example.identity))
    equal(modified(path), before, "the time after a new reader")
    example.set("it", "new", "token")
    assert modified(path) > before, "the time after set"


def test_bad_declarations(directory):
    """rotateAfter is a number of days, of a generator with a secret"""
    config = directory / "vmcred.yaml"
    for value in ("90", "d", "-1d", "0d", "90 d", "36601d", "3m", "[90d]", "99999999999999999999d"):
        config.write_text(DECLARATION.replace("90d", f'"{value}"' if value[0] != "[" else value))
        fails(vmcred("check", "--config", config), 2, f"{config}:5: ", "rotateAfter")
    config.write_text(DECLARATION.replace("{it: {}, open", "{it: {secret: false}, open"))
    fails(vmcred("check", "--config", config), 2, f"{config}:3: generators.token", "rotateAfter")


harness.main()
