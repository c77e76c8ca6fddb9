# SPDX-License-Identifier: Apache-2.0
"""Converts an SSH RSA key to an OpenPGP key as ssh-to-pgp does (RFC 4880): created in 1970, one user ID, self-signed. It shares
no code with vmcred, and gpg accepts the result."""
import hashlib
import struct

from harness import expect, need, run

NAME = b"root (Imported from SSH) <root@localhost>"


def number(value):
    return struct.pack(">H", value.bit_length()) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def packet(tag, body):
    return bytes([0xC0 | tag, 0xFF]) + struct.pack(">I", len(body)) + body


def subpackets(*entries):
    body = b"".join(bytes([len(data) + 1, kind]) + data for kind, data in entries)
    return struct.pack(">H", len(body)) + body


class SshPgpKey:
    """Creates an SSH key `path` without a passphrase, in PEM format, so that openssl can sign with it."""

    def __init__(self, path, bits=2048):
        self.path = path
        expect(run(need("ssh-keygen"), "-q", "-t", "rsa", "-b", bits, "-m", "PEM", "-N", "", "-f", path))
        modulus = expect(run(need("openssl"), "rsa", "-noout", "-modulus", "-in", path)).out.split("=")[1]
        self.public = b"\x04" + bytes(4) + b"\x01" + number(int(modulus, 16)) + number(65537)
        hashed = b"\x99" + struct.pack(">H", len(self.public)) + self.public
        self.fingerprint = hashlib.sha1(hashed).hexdigest().upper()

    def certificate(self):
        """The public key with its user ID and self-signature, in the form that gpg imports."""
        key_id = bytes.fromhex(self.fingerprint[-16:])
        head = b"\x04\x13\x01\x08" + subpackets((2, bytes(4)), (27, b"\x0f"), (25, b"\x01"))
        signed = b"\x99" + struct.pack(">H", len(self.public)) + self.public
        signed += b"\xb4" + struct.pack(">I", len(NAME)) + NAME
        signed += head + b"\x04\xff" + struct.pack(">I", len(head))
        message = self.path.with_suffix(".signed")
        message.write_bytes(signed)
        signature = self.path.with_suffix(".signature")
        expect(run("openssl", "dgst", "-sha256", "-sign", self.path, "-out", signature, message))
        value = int.from_bytes(signature.read_bytes(), "big")
        proof = head + subpackets((16, key_id)) + hashlib.sha256(signed).digest()[:2] + number(value)
        return packet(6, self.public) + packet(13, NAME) + packet(2, proof)

    def import_into(self, home):
        """Imports it, so that gpg can encrypt to it. A public key needs no agent."""
        home.mkdir(mode=0o700, exist_ok=True)
        words = ("--batch", "--quiet", "--no-autostart", "--import")
        expect(run(need("gpg"), *words, env={"GNUPGHOME": str(home)}, stdin=self.certificate()))
