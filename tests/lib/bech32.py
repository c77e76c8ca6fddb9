# SPDX-License-Identifier: Apache-2.0
"""Bech32 (BIP 173) without a length limit, for invented keys."""
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
GENERATOR = [0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]


def checksum(values):
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(GENERATOR):
            if top >> bit & 1:
                state ^= factor
    return state


def digits(data, width_in, width_out):
    """Regroups bits; pads the last group with zeros when encoding, drops leftover bits when decoding."""
    value, count, out = 0, 0, []
    for item in data:
        value, count = value << width_in | item, count + width_in
        while count >= width_out:
            count -= width_out
            out.append(value >> count & (1 << width_out) - 1)
    if width_out == 5 and count:
        out.append(value << 5 - count & 31)
    return out


def encode(prefix, data):
    words = digits(data, 8, 5)
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    state = checksum(expanded + words + [0] * 6) ^ 1
    return prefix + "1" + "".join(ALPHABET[i] for i in words + [state >> 5 * (5 - i) & 31 for i in range(6)])


def decode(text):
    """The data after the prefix of valid Bech32."""
    _, _, tail = text.lower().rpartition("1")
    return bytes(digits([ALPHABET.index(c) for c in tail[:-6]], 5, 8))
