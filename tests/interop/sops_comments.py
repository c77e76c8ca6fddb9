# SPDX-License-Identifier: Apache-2.0
"""Comments in YAML: none is lost, and each decrypts, whatever is around it.

VMCRED_SEED=N starts with the random document N; VMCRED_COMMENTS=N tries N of them (10000).
"""
import os
import re
from collections import Counter

import harness
import sops_yaml_documents
from harness import equal
from sops_yaml import Bench

SEED = int(os.environ.get("VMCRED_SEED", "0"))
COUNT = int(os.environ.get("VMCRED_COMMENTS", "10000"))
BESIDE_SOPS = min(COUNT, 400)
BATCH = 20

# Nothing is printed for a comment that sops loses when it reads the plaintext, since we read it as sops does.
COMMENT = re.compile(rb"#+ *(c[0-9]+)$", re.MULTILINE)


def rounds(bench, texts, *rule):
    """For each text its comments, and what it is encrypted, decrypted, and decrypted after another encryption."""
    code, out, err = bench.ours("round", b"".join(text + b"\0" for text in texts), f"age:{bench.recipient}", *rule)
    equal((code, err), (0, ""), "round")
    parts = out.split(b"\0")
    return [parts[start : start + 4] for start in range(0, 4 * len(texts), 4)]


def comments(text):
    return Counter(COMMENT.findall(text))


def bare(text):
    """A plaintext without comments and white space, which depends on them. The MAC has proved the values."""
    return b"".join(COMMENT.sub(b"", text).split())


def check(bench, seeds):
    valid = 0
    texts = [sops_yaml_documents.make_commented(seed) for seed in seeds]
    for seed, (read, sealed, opened, again) in zip(seeds, rounds(bench, texts)):
        expected = Counter(re.findall(rb"c[0-9]+$", read, re.MULTILINE))
        valid += sealed != b""
        for text in (opened, again):
            equal((comments(text), text.count(b"ENC[")), (expected, 0), f"VMCRED_SEED={seed}: comments of {text.decode()}")
        equal(bare(again), bare(opened), f"VMCRED_SEED={seed}: values")
    return valid


def test_comments_survive(directory):
    """of random documents with comments everywhere, every comment remains after encryption and decryption"""
    bench = Bench(directory)
    print(f"# VMCRED_SEED={SEED}")
    valid = sum(check(bench, range(start, min(start + 500, SEED + COUNT))) for start in range(SEED, SEED + COUNT, 500))
    equal(valid > COUNT * 0.9, True, f"whether most of the {COUNT} documents are valid: {valid}")


def test_values_selected_by_comments_decrypt(directory):
    """of random documents, those are refused in which a comment would move and select other values: all others decrypt"""
    bench = Bench(directory)
    # Always the same: of other documents, a few are refused only when they are encrypted again.
    texts = [sops_yaml_documents.make_commented(seed) for seed in range(BESIDE_SOPS)]
    for rule in ("encrypted_comment_regex=c[0-9]*[1-4]$", "unencrypted_comment_regex=c[0-9]*[1-4]$", "encrypted_comment_regex=c"):
        valid = [sealed for _, sealed, _, _ in rounds(bench, texts, rule) if sealed]
        equal(len(valid) > len(texts) / 4, True, f"whether many of the {len(texts)} documents are encrypted with {rule}: {len(valid)}")


def beside_sops(bench, texts):
    """What sops and we print for each document. Documents whose ciphertext sops cannot read are left out."""
    batch = b"\n---\n".join(texts)
    code, sealed, err = bench.sops("encrypt", batch, "--age", bench.recipient)
    equal(code, 0, f"sops encrypt; {err}")
    # sops 3.13.2 computes another MAC for lists with comments than it wrote.
    code, theirs, err = bench.sops("decrypt", sealed, "--ignore-mac")
    if code == 0:
        return list(zip(theirs.split(b"\n---\n"), rounds(bench, [batch])[0][2].split(b"\n---\n"), strict=True))
    equal("could not find expected" in err, True, err)
    half = len(texts) // 2
    return beside_sops(bench, texts[:half]) + beside_sops(bench, texts[half:]) if half else []


def test_decrypted_documents_are_those_of_sops(directory):
    """what random documents decrypt to is what sops prints, except for comments that sops loses or leaves encrypted"""
    bench = Bench(directory)
    texts = [sops_yaml_documents.make_commented(seed) for seed in range(SEED, SEED + BESIDE_SOPS)]
    texts = [text for text, parts in zip(texts, rounds(bench, texts)) if parts[1]]
    same, incomplete, elsewhere = 0, 0, []
    for start in range(0, len(texts), BATCH):
        for theirs, ours in beside_sops(bench, texts[start : start + BATCH]):
            opened = re.sub(rb" *#ENC\[.*\]$", b"", theirs, flags=re.MULTILINE)
            same += theirs == ours
            incomplete += comments(opened) < comments(ours)
            equal(bare(ours), bare(opened), "what remains without comments")
            if theirs != ours and not comments(opened) < comments(ours):
                equal(comments(ours), comments(opened), "the comments")
                elsewhere.append(ours)
    print(f"# of {same + incomplete + len(elsewhere)} documents, {same} are the same, {incomplete} lack comments in sops, {len(elsewhere)} have them elsewhere")
    equal(same > 10 * len(elsewhere), True, f"whether few have comments elsewhere: {elsewhere}")


if __name__ == "__main__":
    harness.main()
