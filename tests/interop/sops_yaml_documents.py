# SPDX-License-Identifier: Apache-2.0
"""Random YAML documents with whatever YAML has: comments in odd places, flows, blocks, anchors, tags, all kinds of scalars.

Each document depends on its seed only. Many are not valid YAML, and both programs must agree on which.
"""
import random

# Strings that look like something else, or have characters that some style cannot hold.
TEXTS = [
    "", "a", "key", "x y", "true", "no", "null", "~", "12", "0x1F", "1_000", "1.5", ".5", "1e3", "2001-01-01", "2001-12-14t21:59:43.10-05:00",
    "<<", "-", "?x", ":x", "x:y", "x: y", "#c", "x #c", "x#c", "[a", "a]", "{b", "&a", "*a", "!t", "|", ">", "%d", "@x", "`b", '"q', "'s",
    "it's", 'say "hi"', "back\\slash", "---", "--- x", "...", "  lead", "trail  ", "tab\there", "\ttab", "two\nlines", "two\nlines\n", "a\n\n\nb\n\n",
    "x\n  sp", "x \ny", "x\n\ty", "café", "日本", "\U0001f600", "\x07bell", "\x7f", "\u0085nel", "\u2028ls", "a\u2028b", "a\u2029\nb", "\ufeffbom",
    "\u00a0nb", "a\rb", "a\r\nb", "1:30", "1:30:00", "012", "089", "0o7", "0b11", "+1", "-1", "+.inf", ".nan", "9223372036854775807", "y", "ON",
    "off", "-----BEGIN X-----\nMIIB\nabc=\n-----END X-----\n", "x" * 130, "word " * 40, "a, b", "key with: colon", "ends:", "q?", "=", "1.", "e5",
    ".", "..", "_1", "1_", "0x", "0b", "2001-1-1 1:2:3", "2001-13-01", "\\", "\x00nul", "a\x1bb",
]  # fmt: skip
PLAIN = ["v", "some text", "12", "true", "x", "3.14", "null", "~", "v1 v2", "http://x/y", "2001-01-01", "yes", "0o14", "1_0", "-1e-9", ".inf"]
NAMED_ESCAPES = {0x85: "\\N", 0x2028: "\\L", 0x2029: "\\P", 9: "\\t", 0: "\\0", 7: "\\a", 13: "\\r", 27: "\\e", 0xA0: "\\_"}
TAGS = ["!!str ", "!!int ", "!!float ", "!foo ", "! ", "!!binary ", "!!timestamp ", "!!null ", "!!bool ", "!<tag:yaml.org,2002:str> "]
BLOCK_LINES = ["", "text", "text with words", "# no comment", "- x", "a: b", "end  ", "café", "  more"]


def is_visible(character):
    return character.isprintable()


class Maker:
    """Writes one document; every choice comes from one source of randomness."""

    def __init__(self, seed):
        self.source = random.Random(f"yaml {seed}")
        self.anchors = 0
        self.count = 0

    def chance(self, probability):
        return self.source.random() < probability

    def choice(self, *items):
        return self.source.choice(items)

    def escaped(self, character):
        code = ord(character)
        if character in '"\\':
            return "\\" + character
        if character == "\n":
            return self.choice("\\n", "\\n", "\\n\\\n      ")
        if code in NAMED_ESCAPES and self.chance(0.7):
            return NAMED_ESCAPES[code]
        if code > 0xFFFF:
            return self.choice(character, f"\\U{code:08x}")
        if character.isprintable():
            return character
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04X}"

    def double_quoted(self, text):
        return '"' + "".join(self.escaped(character) for character in text) + '"'

    def single_quoted(self, text):
        return "'" + "".join(filter(lambda c: is_visible(c) or c == "\n", text)).replace("'", "''").replace("\n", "\n\n      ") + "'"

    def block(self, indent):
        """A literal or folded scalar whose text begins with a visible character, as sops needs it in lists."""
        header = self.choice("|", ">") + self.choice("", "-", "+") + (" # block" if self.chance(0.1) else "")
        lines = ["begin"] + [self.source.choice(BLOCK_LINES) for _ in range(self.source.randrange(5))]
        pad = " " * (indent + self.choice(1, 2, 2, 4))
        return header + "\n" + "\n".join(pad + line if line else "" for line in lines)

    def scalar(self, indent, flow=False):
        text = self.source.choice(TEXTS)
        kind = self.source.randrange(20)
        if kind < 6:
            return self.source.choice(PLAIN)
        if kind < 8:
            return "".join(filter(is_visible, text))
        # sops loses or garbles strings of several lines that begin with white space, depending on where they are.
        if "\n" in text and text[0] in " \t\n":
            text = "x" + text
        if kind < 12:
            return self.double_quoted(text)
        if kind < 15:
            return self.single_quoted(text)
        if kind < 16:
            return self.source.choice(TAGS) + self.choice("12", "abc", "aGVsbG8=", "2001-01-01", "", "true", '"12"', "1.5")
        if kind < 19 and not flow:
            return self.block(indent)
        return self.choice("plain\n" + " " * (indent + 4) + "on two lines", "", "x", "y z")

    def key(self, ending=""):
        self.count += 1
        text = self.choice("a", "long_key_", "k", "x y ", "é", "1") + f"{self.count}{ending}"
        if self.chance(0.1):
            text = "".join(filter(is_visible, self.source.choice(TEXTS))) + f"{self.count}{ending}"
            return self.choice(self.double_quoted, self.single_quoted)(text)
        return text if not text.isdigit() else f"'{text}'"

    def comments(self, indent, probability=0.2):
        text = ""
        while self.chance(probability):
            if self.chance(0.3):
                text += "\n"
            else:
                self.count += 1
                column = indent if self.chance(0.8) else self.source.randrange(8)
                text += " " * column + "#" + self.choice(" c", " comment ", "x", " a: b ", " é") + str(self.count) + "\n"
        return text

    def comment_after(self):
        self.count += 1
        return f" # after {self.count}" if self.chance(0.15) else ""

    def properties(self):
        text = ""
        if self.chance(0.05):
            self.anchors += 1
            text = f"&n{self.anchors} "
        return text + (self.choice("!!map ", "!t ", "!!seq ") if self.chance(0.02) else "")

    def alias(self):
        return f"*n{self.source.randrange(self.anchors) + 1}"

    def flow_gap(self):
        return self.choice("", " ", "\n      ", " # in\n      ", "\n      # own\n      ") if self.chance(0.2) else ""

    def flow(self, depth):
        kind = self.source.randrange(8)
        if depth == 0 or kind < 4:
            return self.alias() if self.anchors and self.chance(0.1) else self.scalar(4, flow=True)
        items = range(self.source.randrange(4))
        if kind < 6:
            entries, brackets = [self.flow(depth - 1) for _ in items], "[]"
        else:
            entries, brackets = [f"{self.key()}: {self.flow(depth - 1)}" for _ in items], "{}"
        text = ("," + self.flow_gap() + " ").join(entries)
        return brackets[0] + self.flow_gap() + text + self.flow_gap() + brackets[1]

    def value(self, indent, depth):
        """The value after a colon or a dash."""
        kind = self.source.randrange(20)
        if kind < 11 or depth == 0:
            if self.anchors and self.chance(0.08):
                return f" {self.alias()}{self.comment_after()}\n"
            text = self.scalar(indent)
            return f" {self.properties()}{text}" + ("" if text[:1] in ("|", ">") else self.comment_after()) + "\n"
        if kind < 13:
            return f" {self.properties()}{self.flow(2)}{self.comment_after()}\n"
        head = f" {self.properties()}".rstrip() + self.comment_after() + "\n"
        if kind < 17:
            return head + self.map(indent + self.choice(1, 2, 2, 4), depth - 1)
        return head + self.list(indent + self.choice(0, 2, 2, 4), depth - 1)

    def map(self, indent, depth):
        pad, text = " " * indent, ""
        for _ in range(self.source.randrange(1, 5)):
            text += self.comments(indent)
            if self.chance(0.03):
                text += f"{pad}? {self.key()}\n{pad}:{self.value(indent, depth)}"
            else:
                text += f"{pad}{self.key()}:{self.value(indent, depth)}"
        return text + self.comments(indent, 0.1)

    def list(self, indent, depth):
        pad, text = " " * indent, ""
        for _ in range(self.source.randrange(1, 4)):
            text += self.comments(indent)
            if depth > 0 and self.chance(0.2):
                inner = self.choice(self.map, self.list)(indent + 2, depth - 1)
                text += f"{pad}- " + inner.lstrip(" \n")
            else:
                text += f"{pad}-{self.value(indent, depth)}"
        return text + self.comments(indent, 0.1)

    def document(self):
        text = self.comments(0, 0.3) + self.map(0, 3)
        if self.chance(0.05):
            text += "...\n" + self.comments(0)
        return text.replace("\n", "\r\n") if self.chance(0.05) else text


def make(seed):
    return Maker(seed).document().encode()


class UniqueMaker(Maker):
    """Documents in which no two values are equal: sops gives those with the same path one nonce, we leave each its own.

    Lists have no comments: sops cannot decrypt its documents with such comments.
    """

    lists = 0

    def comments(self, indent, probability=0.2):
        return "" if self.lists else super().comments(indent, probability)

    def comment_after(self):
        return "" if self.lists else super().comment_after()

    def flow_gap(self):
        return ""

    def flow(self, depth):
        self.lists += 1
        text = super().flow(depth)
        self.lists -= 1
        return text

    def list(self, indent, depth):
        self.lists += 1
        text = super().list(indent, depth)
        self.lists -= 1
        return text

    def scalar(self, indent, flow=False):
        self.count += 1
        kind = self.source.randrange(6)
        text = self.source.choice(TEXTS)
        if kind == 0:
            return str(self.count * 7)
        if kind == 1:
            return f"{self.count}.5"
        if kind == 2:
            return f"text {self.count}"
        if "\n" in text and text[0] in " \t\n":
            text = "x" + text
        return self.double_quoted(f"{text}{self.count}")

    def alias(self):
        return self.scalar(0)

    def key(self, ending=""):
        return super().key(self.choice("", "", "", "", "_unencrypted", "_secret"))


def make_unique(source):
    """One document for everyday use, as bytes."""
    return UniqueMaker(source.randrange(10**9)).document().encode()


class CommentedMaker(Maker):
    """Documents with comments wherever YAML allows them, each with a number of its own: `# c7`."""

    def comment(self):
        self.count += 1
        return self.choice("# c", "#c", "#  c", "## c") + str(self.count)

    def comments(self, indent, probability=0.5):
        text = ""
        while self.chance(probability):
            column = indent if self.chance(0.6) else self.source.randrange(9)
            text += "\n" if self.chance(0.25) else " " * column + self.comment() + "\n"
        return text

    def comment_after(self):
        return " " + self.comment() if self.chance(0.4) else ""

    def flow_gap(self):
        if self.chance(0.5):
            return ""
        return self.choice(" ", "\n      ", f" {self.comment()}\n      ", f"\n      {self.comment()}\n      ")

    def block(self, indent):
        """Indented so far that no comment after it becomes its text."""
        pad = " " * (indent + 9)
        return self.choice("|", ">") + self.choice("", "-", "+") + self.comment_after() + f"\n{pad}text\n\n{pad}# text"

    def scalar(self, indent, flow=False):
        kind = self.source.randrange(8)
        if kind == 0 and not flow:
            return self.block(indent)
        if kind == 1 and not flow:
            return ""
        if kind == 2:
            quote = self.choice("", "'", '"')
            return f"{quote}on\n{' ' * (indent + 4)}two lines{quote}"
        return self.choice("x", "12", "true", "null", '"#"', "'it''s'", "[]", "{}")

    def key(self, ending=""):
        self.count += 1
        return f"k{self.count}{self.choice('', '', '', '_unencrypted')}{ending}"

    def document(self):
        text = super().document()
        while self.chance(0.15):
            text += "---" + self.comment_after() + "\n" + super().document()
        return text


def make_commented(seed):
    return CommentedMaker(seed).document().encode()
