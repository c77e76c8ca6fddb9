# SPDX-License-Identifier: Apache-2.0
"""vmcred serve with many peers that do not read: the memory they need."""
import harness
from example import Example
from exit_memory import writable_memory
from harness import equal
from serving import LARGE, UNIT, many_files, read, refused, serving, value, with_large

SECRET_MAX_KIB = 1024


def test_silent_peers_of_a_large_credential(directory):
    """a thousand peers that do not read a large credential need no memory, do not delay others, and can still read all of it"""
    many_files()
    example = with_large(directory)
    two = value(example, "two")
    with serving(example) as server:
        equal(server.get(UNIT, "host-two"), two)
        before = server.status("VmRSS")
        silent = [server.ask(UNIT, "host-one") for _ in range(1000)]
        equal(server.get(UNIT, "host-two"), two)
        # One value that waits, one that is decrypted, and the text of its document.
        grown, locked = server.status("VmRSS") - before, server.status("VmLck")
        assert grown < 10 * SECRET_MAX_KIB and locked < 5 * SECRET_MAX_KIB, (grown, locked)
        for asking in silent[:30] + silent[-30:]:
            equal(read(asking) == LARGE, True, "the whole credential")


def test_silent_refused_peers(directory):
    """ten thousand refused connections that do not read do not delay others"""
    many_files()
    example = Example(directory)
    with serving(example) as server:
        before = server.status("VmRSS")
        silent = [server.ask(UNIT, "nothing") for _ in range(10000)]
        equal(server.get(UNIT, "host-one"), value(example, "one"))
        grown = server.status("VmRSS") - before
        assert grown < 40 * 1024, f"{grown} KiB"
        refused(read(silent[0]))
        refused(read(silent[-1]))


def test_memory_after_an_answer(directory):
    """a server that waits has no part of a credential that it gave in memory"""
    example = Example(directory)
    with serving(example) as server:
        secrets = [value(example, name) for name in ("one", "two")]
        for name, secret in zip(("one", "two"), secrets):
            equal(server.get(UNIT, f"host-{name}"), secret)
        refused(read(server.ask(UNIT, "nothing")))
        found = b"".join(writable_memory(server.process.pid).values())
        assert b"host-one" in found
        for secret in secrets:
            equal([at for at in range(len(secret) - 9) if secret[at:at + 10] in found], [])


harness.main()
