# SPDX-License-Identifier: Apache-2.0
"""Regular expressions of rules select the same keys as with the real sops, which uses Go's regexp package."""
import json

import harness
from harness import equal, fails, run
from side_by_side import Peers

KEYS = [
    "a", "b", "ab", "abc", "aa", "aaa", "A", "Key", "key", "KEY", "keys", "monkey", "a key.", "api_key", "api-key", "api.key", "7", "42", "0x2A",
    "_", "-", "a-b", "a_b", "a b", "a\tb", "a\nb", "b\na\nc", "\n", "a\n", "a\u000bb", "}", "]", "[", "\\", "a|b", "a.b*", "a{,2}", "a{01}", "a{",
    "é", "É", "éa", "日", "日本", "straße", "STRASSE", "STRAẞE", "σ", "ς", "Σ", "\u017f", "\u212a", "s", "k", "ǅ", "ǆ", "Ж", "ж", "٣", "½", "€", "x" * 300,
    "password_unencrypted", "data", "stringData", "xdata", "İ", "ı", "i", "I", "µ", "μ", "a\u200db",
]

ACCEPTED = [
    "abc", "^(data|stringData)$", "a|", "^(|a)$", "", "^a*b+c?$", "^a{2}$", "^a{2,}$", "^(ab){1,3}$", "^x{300}$", "^a{,2}$", "^a{01}$", "^a{$", "^x{0,1000}$",
    "_unencrypted$", "^(a|b)*?c+?$", "^((a*)*)*$", "(a|aa)+$", "(x+x+)+y", "^.$", "^..$", "(?s)^.$", "(?m)^a$", "(?m)^$", "a$", "\\Aa\\z", "a\\z", "(?m:^)b",
    "^[a-c]$", "^[^a-c]$", "^[]a]$", "^[^]a]$", "^[a-]$", "^[-a]+$", "^[a\\]]$", "^[\\d_-]$", "^[[:alpha:]]+$", "^[[:^alpha:]1]$", "^[[:word:]]+$", "[[:punct:]]",
    "^[[:upper:]]+$", "^[[:xdigit:]]+$", "[[:space:]]", "[[:cntrl:]]", "^[a-z&&[^b]]$", "^[[.a.]]", "^\\w+$", "^\\W+$", "^\\d+$", "^\\D+$", "\\s", "^\\S+$", "[\\s]",
    "[^\\S]", "^[\\W\\d]+$", "^[^\\W_]+$", "\\bkey\\b", "\\Bey", "^\\b", "(?i)key", "(?i)^k$", "(?i)^s$", "(?i)^\\w$", "(?i)^\\W$", "(?i)^[^k]$", "(?i)^[\\W]$",
    "(?i)straße", "(?i)é", "(?i)^σ$", "(?i)^[а-я]$", "(?i)^ǆ$", "(?i)^i$", "(?i)^µ$", "(?i)[[:lower:]]$", "(?i:k)ey", "a(?i)b|c", "(?i-s:A).", "(?U)^a+$", "(?-i)^a$",
    "(?P<name>a)(?<other>b)(?:c)", "^(?P<1>a)$", "(?P<n>a)(?P<n>b)", "\\x41", "^\\x{e9}$", "^\\101$", "^\\07|7$", "\\Qa.b*\\E", "^\\Qa|", "^\\Qa\\E*$", "^\\.\\-\\_|\\[$", "\\t|\\v", "\\pL",
    "^\\p{Lu}", "^\\pN$", "\\PL", "^\\p{Greek}$", "^\\P{Latin}+$", "^\\p{^Latin}+$", "^[\\p{Han}z]+$", "^[^\\p{L}\\d]$", "\\p{Sc}", "\\p{No}", "(?i)^\\p{Han}", "^\\p{Cyrillic}$",
    "\\p{Cf}", "\\p{Any}", "^\\pL}", "^a(?:b|c){1,2}$", "()*a$", "^^a$$", "(?:)", "a{0}key", "(a{10}){10}", "^(?s:.*)$", "#", "^a b$", "(?m)\\Aa$",
]

# sops takes these for expressions that match nothing; encrypting with one is most likely a mistake.
REJECTED = [
    "(", ")", "(a", "[a", "[]", "[b-a]", "[a-\\d]", "[[:foo:]]", "*a", "a|+", "(?i)*", "a**", "a++", "a{2}{3}", "a{1001}", "a{2,1}", "(a{100}){100}", "a\\", "\\1",
    "(a)\\1", "\\8", "\\Z", "\\C", "\\K", "\\R", "\\X", "\\h", "\\G", "\\k<n>", "\\g1", "\\x4", "\\x{110000}", "\\p{Foo}", "\\p{Hani}", "\\p{L&}", "\\p{L", "\\p{}",
    "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a)", "(?|a)", "(?#a)", "(?x)a", "(?R)", "(?1)", "(?&n)", "(?C1)", "(?(1)a)", "(*FAIL)", "(*UTF)a", "(?P=n)", "(?P<n",
    "(?<a-b>a)", "(?i-)a",
]

# What Go accepts and vmcred does not.
UNSUPPORTED = ["(?i)\\p{Lu}", "(?i)\\p{Greek}", "a*(?i)*", "\\p{Letter}", "\\x{d800}"]


def peers_with_keys(directory):
    peers = Peers(directory)
    (peers.tree / "keys.json").write_text(json.dumps({key: "value" for key in KEYS}))
    return peers


def test_accepted_expressions_select_the_same_keys(directory):
    """accepted expressions encrypt the same keys"""
    peers = peers_with_keys(directory)
    for expression in ACCEPTED:
        flag = "--unencrypted-regex" if len(expression) % 2 else "--encrypted-regex"
        peers.same("encrypt", flag, expression, "--age", peers.recipient, "keys.json", code=0)


def test_rejected_expressions_match_nothing_in_sops(directory):
    """expressions that sops ignores are an error when encrypting"""
    peers = peers_with_keys(directory)
    plain = json.loads((peers.tree / "keys.json").read_text())
    for expression in REJECTED:
        words = ("encrypt", "--encrypted-regex", expression, "--age", peers.recipient, "keys.json")
        (code, theirs, _), _, _ = peers.one(peers.sops, words, {}, b"", None, ".")
        equal((code, {key: value for key, value in json.loads(theirs).items() if key != "sops"}), (0, plain), expression)
        fails(run(peers.ours, *words, cwd=peers.tree, env=peers.environment), 1, "encrypted_regex", expression)


def test_unsupported_expressions_are_an_error(directory):
    """expressions that only sops supports are an error that quotes them"""
    peers = peers_with_keys(directory)
    for expression in UNSUPPORTED:
        words = ("encrypt", "--encrypted-regex", expression, "--age", peers.recipient, "keys.json")
        fails(run(peers.ours, *words, cwd=peers.tree, env=peers.environment), 1, "unsupported", expression)


harness.main()
