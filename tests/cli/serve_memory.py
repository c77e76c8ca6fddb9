# SPDX-License-Identifier: Apache-2.0
"""vmcred serve among masses of peers that do not read: the memory that they cost."""
import harness
from example import Example
from harness import equal
from serving import LARGE, UNIT, many_files, read, refused, serving, value, with_large

SECRET_MAX_KIB = 1024


def test_thousand_peers_do_not_read_large_credential_cost_no(folder):
    """a thousand peers that do not read a large credential cost no memory, keep nobody waiting, and get it whole in the end"""
    many_files()
    example = with_large(folder)
    two = value(example, "two")
    with serving(example) as server:
        equal(server.get(UNIT, "host-two"), two)
        before = server.status("VmRSS")
        silent = [server.ask(UNIT, "host-one") for _ in range(1000)]
        equal(server.get(UNIT, "host-two"), two)
        # Sixteen that wait with plaintext, one that is being decrypted, and the text of its document.
        grown, locked = server.status("VmRSS") - before, server.status("VmLck")
        assert grown < 25 * SECRET_MAX_KIB and locked < 20 * SECRET_MAX_KIB, (grown, locked)
        for asking in silent[:30] + silent[-30:]:
            equal(read(asking) == LARGE, True, "the whole credential")


def test_ten_thousand_connections_refused_do_not_read_keep(folder):
    """ten thousand connections that are refused and do not read keep nobody waiting"""
    many_files()
    example = Example(folder)
    with serving(example) as server:
        before = server.status("VmRSS")
        silent = [server.ask(UNIT, "nothing") for _ in range(10000)]
        equal(server.get(UNIT, "host-one"), value(example, "one"))
        grown = server.status("VmRSS") - before
        assert grown < 40 * 1024, f"{grown} KiB"
        refused(read(silent[0]))
        refused(read(silent[-1]))


harness.main()
