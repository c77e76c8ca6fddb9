# SPDX-License-Identifier: Apache-2.0
"""The encodings in which a secret may leak, and a search for them. Findings are names, never values."""
import base64
import json
import re
import urllib.parse

# A shorter pattern would match by chance.
PATTERN_SIZE_MIN = 8


def base64_cores(value):
    """The parts of its Base64 that do not depend on the surrounding bytes, for each alignment."""
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + value)
        yield shift, text[(shift + 2) // 3 * 4:-4]


def forms(name, value):
    """Name → byte pattern: raw, each line, hexadecimal, Base64, URL-encoded and as a JSON string."""
    value = value.strip()
    patterns = {"raw": value, "hex": value.hex().encode(), "HEX": value.hex().upper().encode()}
    for number, line in enumerate(value.split(b"\n")):
        patterns[f"line{number}"] = line
    for shift, text in base64_cores(value):
        patterns[f"base64+{shift}"] = text
        patterns[f"base64url+{shift}"] = text.replace(b"+", b"-").replace(b"/", b"_")
    url = urllib.parse.quote_from_bytes(value, safe="")
    patterns["url"] = url.encode()
    patterns["url-lower"] = re.sub("%..", lambda code: code.group().lower(), url).encode()
    patterns["json"] = json.dumps(value.decode("utf-8", "replace"), ensure_ascii=False)[1:-1].encode()
    patterns["json-ascii"] = json.dumps(value.decode("utf-8", "replace"))[1:-1].encode()
    return {f"{name}/{form}": pattern for form, pattern in patterns.items() if len(pattern) >= PATTERN_SIZE_MIN}


def search(patterns, data, where):
    return [f"{name} in {where}" for name, pattern in patterns.items() if pattern in data]
