# SPDX-License-Identifier: Apache-2.0
"""The kind tls: openssl verifies the certificates, and they are renewed in time."""
import datetime

import harness
from example import Example
from harness import equal, expect, run, succeeds, test, vmcred

TLS = """\
machines: {m: {}}
generators:
  leaf:
    machines: [m]
    dependencies: [ca]
    files: {key: {}, crt: {secret: false}}
    kind: {key: {tls: {certificate: crt, issuer: ca, subject: web, names: [web.example, "*.web.example", 10.0.0.1, "::1"], days: %d}}}
  ca:
    share: true
    files: {ca.key: {deploy: false}, ca.crt: {secret: false}}
    kind: {ca.key: {tls: {certificate: ca.crt, ca: true, subject: Our authority, days: %d}}}
"""


def tls(directory, leaf_days, ca_days):
    here = Example(directory, TLS % (leaf_days, ca_days), generate=False)
    # The authority's key is deployed nowhere: it is a person's.
    key = [line.split()[-1] for line in here.identity.read_text().splitlines() if "public key" in line][0]
    expect(vmcred("user", "add", "--config", here.config, "me", "--age-key", key))
    return here


def test_openssl_verifies_a_leaf(directory):
    """openssl verifies a leaf that another generator's authority signed"""
    here = tls(directory, 30, 60)
    expect(here.generate(), 0, "ca (shared): generated ca.key, ca.crt\nleaf for m: generated key, crt\n", "")
    ca, leaf = directory / "vars/shared/ca/ca.crt/value", directory / "vars/per-machine/m/leaf/crt/value"
    for purpose in "sslserver", "sslclient":
        result = run("openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, leaf)
        expect(result, 0, f"{leaf}: OK\n", "")
    for host in "web.example", "a.web.example":
        assert "does match" in run("openssl", "x509", "-in", leaf, "-noout", "-checkhost", host).out
    for address in "10.0.0.1", "::1":
        assert "does match" in run("openssl", "x509", "-in", leaf, "-noout", "-checkip", address).out
    assert "does NOT match" in run("openssl", "x509", "-in", leaf, "-noout", "-checkhost", "other.example").out
    text = run("openssl", "x509", "-in", leaf, "-noout", "-subject", "-issuer", "-nameopt", "RFC2253").out
    equal(text, "subject=CN=web\nissuer=CN=Our authority\n")
    key = here.get("key", generator="leaf").out
    public = run("openssl", "x509", "-in", leaf, "-noout", "-pubkey").out
    equal(run("openssl", "pkey", "-pubout", stdin=key).out, public)
    # An authority does not serve, and a leaf does not sign.
    assert run("openssl", "verify", "-purpose", "sslserver", "-CAfile", ca, "-partial_chain", ca).code != 0


def test_leaf_does_not_outlive_its_authority(directory):
    """a leaf does not outlive its authority"""
    expect(tls(directory, 300, 5).generate())
    leaf = directory / "vars/per-machine/m/leaf/crt/value"
    expect(run("openssl", "x509", "-in", leaf, "-noout", "-checkend", 4 * 86400))
    assert run("openssl", "x509", "-in", leaf, "-noout", "-checkend", 5 * 86400).code == 1


def test_new_authority_renews_its_leaves(directory):
    """a new authority renews its leaves; a new leaf does not renew the authority"""
    here = tls(directory, 30, 60)
    expect(here.generate())
    expect(
        here.generate("--generator", "ca", "--regenerate"),
        0, "ca (shared): generated ca.key, ca.crt\nleaf for m: generated key, crt\n", "",
    )  # fmt: skip
    ca = (directory / "vars/shared/ca/ca.crt/value").read_text()
    before = (directory / "vars/per-machine/m/leaf/crt/value").read_text()
    expect(
        here.generate("--generator", "leaf", "--regenerate", "--identity", here.identity),
        0, "leaf for m: generated key, crt\n", "",
    )  # fmt: skip
    assert (directory / "vars/per-machine/m/leaf/crt/value").read_text() != before
    equal((directory / "vars/shared/ca/ca.crt/value").read_text(), ca)


def signed(directory, leaf, days_ago, days_left, ca=None, subject="/CN=web"):
    """Replaces a certificate of the store by one with the given validity."""
    work = directory / "openssl"
    work.mkdir(exist_ok=True)
    (work / "config").write_text(
        f"[ca]\ndefault_ca=it\n[it]\ndatabase={work}/index\nnew_certs_dir={work}\nserial={work}/serial\npolicy=any\n"
        "default_md=sha256\nx509_extensions=more\n[any]\ncommonName=supplied\n[more]\nsubjectKeyIdentifier=hash\n"
        + ("authorityKeyIdentifier=keyid\n" if ca else "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n")
    )
    (work / "index").write_text("")
    (work / "serial").write_text("01\n")
    expect(run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
               "-keyout", work / "key", "-out", work / "request"))  # fmt: skip
    key = ["-selfsign", "-keyfile", work / "key"]
    if ca:
        (work / "ca.key").write_text(ca[0])
        (work / "ca.crt").write_text(ca[1])
        key = ["-keyfile", work / "ca.key", "-cert", work / "ca.crt"]
    now = datetime.datetime.now(datetime.timezone.utc)
    end = now + datetime.timedelta(days=days_left)
    expect(run("openssl", "ca", "-batch", "-notext", "-config", work / "config", *key, "-in", work / "request", "-out", leaf,
               "-startdate", f"{now - datetime.timedelta(days=days_ago):%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}"))  # fmt: skip
    return f"{end:%Y-%m-%d}"


LEAF, AUTHORITY = "vars/per-machine/m/leaf/crt/value", "vars/shared/ca/ca.crt/value"


def made(directory):
    here = tls(directory, 365, 3650)
    expect(here.generate())
    succeeds(here.generate(), "nothing to do")
    key = here.get("ca.key", generator="ca").out
    return here, (key, (directory / AUTHORITY).read_text())


for sentence, days_ago, days_left, word in (
    ("an expired leaf is renewed, with a warning", 20, -1, "expired"),
    ("a leaf is renewed in its last thirty days", 335, 29.9, "expires"),
    ("a leaf with a short validity is renewed in its last third", 7, 2.9, "expires"),
):

    @test(sentence)
    def test_renewal(directory, days_ago=days_ago, days_left=days_left, word=word):
        here, ca = made(directory)
        end = signed(directory, directory / LEAF, days_ago, days_left, ca)
        warning = f"vmcred: warning: leaf for m: regenerating its files because of the certificate crt: {word} on {end}\n"
        expect(
            vmcred("check", "--config", here.config), 3, f"m leaf/crt must be renewed ({word} on {end})\n",
            "vmcred: 1 of 4 files is not as declared: fix the first with `vmcred generate`\n",
        )  # fmt: skip
        expect(here.generate("--dry-run"), 0, "leaf for m: would generate key, crt\n", warning)
        result = here.generate("--dry-run", "--json")
        assert '"reason": "expiry"' in result.out, result.out
        expect(here.generate("--identity", here.identity), 0, "leaf for m: generated key, crt\n", warning)
        succeeds(here.generate(), "nothing to do")
        expect(run("openssl", "verify", "-CAfile", directory / AUTHORITY, directory / LEAF))


def test_valid_leaf_is_kept(directory):
    """a leaf that is valid for longer is kept"""
    here, ca = made(directory)
    for days_ago, days_left in (334, 31), (5, 3):
        signed(directory, directory / LEAF, days_ago, days_left, ca)
        succeeds(here.generate(), "nothing to do")
        succeeds(vmcred("check", "--config", here.config), "all 4 files")


def test_expired_authority_is_renewed(directory):
    """an expired authority is renewed with all that it signed"""
    here, _ca = made(directory)
    end = signed(directory, directory / AUTHORITY, 10, -1, subject="/CN=Our authority")
    expect(
        here.generate(), 0, "ca (shared): generated ca.key, ca.crt\nleaf for m: generated key, crt\n",
        f"vmcred: warning: ca: regenerating its files because of the certificate ca.crt: expired on {end}\n",
    )  # fmt: skip
    expect(run("openssl", "verify", "-CAfile", directory / AUTHORITY, directory / LEAF))
    succeeds(here.generate(), "nothing to do")


def test_leaf_of_a_renewed_authority_is_renewed(directory):
    """a leaf whose authority has a new certificate is renewed"""
    here, _ca = made(directory)
    leaf = (directory / LEAF).read_text()
    expect(here.generate("--generator", "ca", "--regenerate"))
    # As if another user, or a run for another machine, had renewed the authority.
    (directory / LEAF).write_text(leaf)
    assert run("openssl", "verify", "-CAfile", directory / AUTHORITY, directory / LEAF).code != 0
    expect(
        vmcred("check", "--config", here.config), 3,
        "m leaf/crt must be renewed (ca has a new certificate, which did not sign this one)\n",
        "vmcred: 1 of 4 files is not as declared: fix the first with `vmcred generate`\n",
    )  # fmt: skip
    expect(
        here.generate("--identity", here.identity), 0, "leaf for m: generated key, crt\n",
        "vmcred: warning: leaf for m: regenerating its files because of the certificate crt: "
        "ca has a new certificate, which did not sign this one\n",
    )  # fmt: skip
    expect(run("openssl", "verify", "-CAfile", directory / AUTHORITY, directory / LEAF))


def test_certificate_is_followed_by_intermediates(directory):
    """a certificate is followed by its intermediates, with which openssl verifies it"""
    here = Example(directory, TLS % (30, 60) + """\
  between:
    share: true
    dependencies: [ca]
    files: {b.key: {deploy: false}, b.crt: {secret: false}}
    kind: {b.key: {tls: {certificate: b.crt, ca: true, issuer: ca, subject: Between}}}
  below:
    machines: [m]
    dependencies: [between]
    files: {key: {}, crt: {secret: false}}
    kind: {key: {tls: {certificate: crt, issuer: between, names: [x.example]}}}
""", generate=False)  # fmt: skip
    key = [line.split()[-1] for line in here.identity.read_text().splitlines() if "public key" in line][0]
    expect(vmcred("user", "add", "--config", here.config, "me", "--age-key", key))
    expect(here.generate())
    chain = directory / "vars/per-machine/m/below/crt/value"
    equal(chain.read_text().count("BEGIN CERTIFICATE"), 2)
    assert chain.read_text().endswith((directory / "vars/shared/between/b.crt/value").read_text())
    equal((directory / "vars/shared/between/b.crt/value").read_text().count("BEGIN CERTIFICATE"), 1)
    expect(run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", directory / AUTHORITY,
               "-untrusted", chain, chain), 0, f"{chain}: OK\n", "")  # fmt: skip
    succeeds(here.generate(), "nothing to do")


harness.main()
