# SPDX-License-Identifier: Apache-2.0
"""Stands in for the program `nix`, so that the real clan runs without Nix.

clan only requests declared values of the flake. They come from the JSON file in $STAND_IN_FLAKE, by the selectors in the
expression that clan builds. Anything else is an error.
"""
import json
import os
import re
import sys
import tempfile


def selected(value, selectors):
    """The values that clan's selectors pick: a name, a name that may be missing, some names, or all."""
    if not selectors:
        return value
    kind, name, rest = selectors[0]["type"], selectors[0].get("value"), selectors[1:]
    if kind == "str":
        if name not in value:
            sys.exit(f"error: attribute '{name}' missing")
        return selected(value[name], rest)
    wanted = {"maybe": lambda: [name], "set": lambda: [entry["value"] for entry in name], "all": lambda: list(value)}
    return {key: selected(value[key], rest) for key in wanted[kind]() if key in value}


def build(expression):
    with open(os.environ["STAND_IN_FLAKE"], encoding="utf-8") as file:
        flake = json.load(file)
    picked = [selected(flake, json.loads(text)) for text in re.findall(r"fromJSON ''(.*?)''", expression)]
    with tempfile.NamedTemporaryFile("w", dir=os.environ["TMPDIR"], delete=False) as result:
        json.dump(picked, result)
    print(result.name)


def main(words):
    if "build" in words and "--expr" in words:
        build(words[words.index("--expr") + 1])
    elif "prefetch" in words:
        print(json.dumps({"storePath": words[-1], "hash": "sha256-any", "original": {"path": words[-1]}}))
    elif "config" in words and "show" in words:
        print(json.dumps({"system": {"value": "x86_64-linux"}}))
    else:
        sys.exit(f"not a real nix: unsupported command: {' '.join(words)}")


main(sys.argv[1:])
