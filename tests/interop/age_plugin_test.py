#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A plugin of age for tests, installed as age-plugin-test. The data of its recipients and identities
selects its behavior, with a word such as "plain" or "ask"; it protects nothing.

Written from the specification (C2SP age-plugin.md) and not from our client, which it tests.
"""
import base64
import hashlib
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../lib"))
import bech32  # noqa: E402


def encode(data):
    return base64.b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.b64decode(text + "=" * (-len(text) % 4))


def send(*words, body=b""):
    text = encode(body)
    lines = [text[i : i + 64] for i in range(0, len(text) + 1, 64)]
    if len(lines) > 1 and not lines[-1] and len(lines[-2]) < 64:
        lines.pop()
    sys.stdout.write("-> " + " ".join(words) + "\n" + "\n".join(lines) + "\n")
    sys.stdout.flush()


def receive():
    line = sys.stdin.readline()
    if not line:
        sys.exit("the client is gone")
    text = ""
    while True:
        part = sys.stdin.readline().rstrip("\n")
        text += part
        if len(part) < 64:
            break
    return line.removeprefix("-> ").split(), decode(text)


def ask(*words, body=b""):
    """Sends a command and returns the reply."""
    send(*words, body=body)
    return receive()


def phase1():
    received = []
    while True:
        words, body = receive()
        if words == ["done"]:
            return received
        received.append((words, body))


def note(text):
    """Logs an event for the test."""
    path = os.environ.get("AGE_PLUGIN_TEST_LOG")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text + "\n")


def pad(recipient):
    return hashlib.sha256(b"pad of " + recipient).digest()[:16]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def answer_text(answer):
    words, body = answer
    return " ".join(words) + (":" + body.decode() if body else "")


def converse(word, index):
    """Behaves as the key says before the actual work. Returns false if nothing is left to do."""
    if word == "ask":
        note("secret " + answer_text(ask("request-secret", body="PIN of “räd”\n\x1b[31m?".encode())))
        note("public " + answer_text(ask("request-public", body=b"name?")))
    elif word == "confirm":
        note("confirm " + answer_text(ask("confirm", encode(b"go on"), encode(b"stop"), body=b"sure?")))
        note("confirm " + answer_text(ask("confirm", encode(b"fine"), body=b"look")))
    elif word == "message":
        note("message " + answer_text(ask("msg", body=b"touch it\x07 now\xff")))
    elif word == "unknown":
        note("unknown " + answer_text(ask("frobnicate", "a", "b", body=bytes(range(100)))))
    elif word == "error":
        send("error", *index, body=b"the key is\nin the other drawer")
        receive()
        return False
    elif word == "exit":
        sys.stderr.write("first line\nthe reader is not plugged in\n")
        sys.exit(1)
    elif word == "vanish":
        sys.exit(0)
    elif word == "garbage":
        sys.stdout.write("this is not a stanza\n\n")
        sys.stdout.flush()
        time.sleep(60)
    elif word == "flood":
        while True:
            sys.stdout.write("A" * 65536)
    elif word == "chatter":
        while True:
            ask("msg", body=b"and another thing")
    elif word == "badconfirm":
        ask("confirm", "***", body=b"?")
    return True


def recipient_machine(received):
    recipients = [bech32.decode(words[1]) for words, _ in received if words[0] == "add-recipient"]
    keys = [body for words, body in received if words[0] == "wrap-file-key"]
    note(f"wrap for {len(recipients)} recipients, {len(keys)} keys")
    note("labels " + str(["extension-labels"] in [words for words, _ in received]))
    for number, data in enumerate(recipients):
        word = data.decode()
        if not converse(word, ["recipient", str(number)]):
            break
        if word == "labels":
            ask("labels", "postquantum", "another")
        elif word == "twice":
            ask("labels", "a")
            ask("labels", "a")
        elif word == "short":
            send("recipient-stanza", "0")
            continue
        elif word == "index":
            send("recipient-stanza", "1", "test", "x")
            continue
        elif word == "nothing":
            continue
        ask("recipient-stanza", "0", "vmcred.test/xor", encode(data), body=xor(keys[0], pad(data)))
    send("done")


def identity_machine(received):
    identities = [bech32.decode(words[1]) for words, _ in received if words[0] == "add-identity"]
    stanzas = [(words[2:], body) for words, body in received if words[0] == "recipient-stanza" and words[1] == "0"]
    note(f"unwrap with {len(identities)} identities, {len(stanzas)} stanzas")
    for number, data in enumerate(identities):
        word = data.decode()
        if not converse(word, ["identity", str(number)]):
            break
        for words, body in stanzas:
            if words != ["vmcred.test/xor", encode(data)]:
                continue
            key = xor(body, pad(data))
            if word == "shortkey":
                key = key[:15]
            ask("file-key", "1" if word == "index" else "0", body=key)
            if word == "twice":
                ask("file-key", "0", body=key)
            send("done")
            return
    send("done")


def main():
    note(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "SOPS_AGE_KEY": os.environ.get("SOPS_AGE_KEY")}))
    machines = {"--age-plugin=recipient-v1": recipient_machine, "--age-plugin=identity-v1": identity_machine}
    machines[sys.argv[1]](phase1())
    # The parent process closes our input and signals us to exit.
    try:
        sys.stdin.read()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
