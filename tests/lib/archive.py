# SPDX-License-Identifier: Apache-2.0
"""The archives of an initrd, read as the kernel does (init/initramfs.c): "newc" archives at multiples of four, and NULs
between them. An archive of another kind is skipped by its size."""


def _field(data, at, number):
    return int(data[at + 6 + 8 * number:at + 14 + 8 * number], 16)


def entries(data, start=0):
    """The entries after the first `start` bytes: path -> (mode, content)."""
    found, at = {}, start
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        assert at % 4 == 0, f"an archive starts at {at}"
        while True:
            assert data[at:at + 6] == b"070701", f"no header at {at}"
            mode, owner, group, links, size, name_size = (_field(data, at, number) for number in (1, 2, 3, 4, 6, 11))
            name = data[at + 110:at + 110 + name_size]
            assert name.endswith(b"\0"), name
            content_at = (at + 110 + name_size + 3) & ~3
            at = (content_at + size + 3) & ~3
            assert at <= len(data), "truncated"
            if name == b"TRAILER!!!\0":
                break
            # With more links the kernel looks for a file of the same number.
            assert (owner, group, links) == (0, 0, 1), name
            found[name[:-1].decode()] = (mode, data[content_at:content_at + size])
    return found


def credentials(values):
    """What the initrd must contain for these credentials: name -> value."""
    return {".extra": (0o40555, b""), ".extra/system_credentials": (0o40500, b"")} | {
        f".extra/system_credentials/{name}.cred": (0o100400, value) for name, value in values.items()}
