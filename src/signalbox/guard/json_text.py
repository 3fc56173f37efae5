"""JSON that comes in pieces, spelled so that what stands in its strings can be read: one spelling for one character.

Escapes that need not be there (`\\u0041`, `\\/`) become the characters they stand for; the others stay. The text means
the same to every JSON parser afterwards.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
# What may be the beginning of an escape, or of the second half of a pair of them.
_TAIL = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z")
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_MARKS = re.compile(r'\\.|"', re.DOTALL)


class JsonText:
    """Reads one JSON text. What is held back is at most one unfinished escape."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = ""

    def feed(self, text: str) -> str:
        if self.held:
            text, self.held = self.held + text, ""
        if "\\" not in text:
            return text
        start = _open(text)
        if start < len(text):
            self.held, text = text[start:], text[:start]
        return plain(text)

    def end(self) -> str:
        held, self.held = self.held, ""
        return held


def _open(text: str) -> int:
    """Where an unfinished escape begins, the text's length if none does."""
    at = 0
    while (at := text.find("\\", at)) >= 0:
        if _TAIL.match(text, at):
            return at
        at += 2
    return len(text)


def plain(text: str) -> str:
    """Whole JSON text in the plain spelling."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(_plain, _PAIR.sub(_pair, text) if "\\u" in text else text)


def _pair(match: re.Match[str]) -> str:
    # An escaped backslash before it makes it no escape at all.
    before = match.string[: match.start()]
    if (len(before) - len(before.rstrip("\\"))) % 2:
        return match[0]
    return chr(0x10000 + ((int(match[1], 16) - 0xD800) << 10) + int(match[2], 16) - 0xDC00)


def _plain(match: re.Match[str]) -> str:
    if match[1] is None:
        return "/" if match[2] == "/" else match[0]
    code = int(match[1], 16)
    if code < 0x20 or code in (0x22, 0x5C, 0x7F) or 0xD800 <= code < 0xE000:
        return match[0]
    return chr(code)


def in_string(text: str, inside: bool) -> bool:
    """Whether the end of a piece of JSON lies in a string. inside: its beginning does."""
    if '"' in text:
        for match in _MARKS.finditer(text):
            if match[0] == '"':
                inside = not inside
    return inside


def quoted(text: str) -> str:
    """A text as it stands inside a JSON string."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join([_SPELLED.get(char) or (f"\\u{ord(char):04x}" if ord(char) < 0x20 else char) for char in text])


_SPELLED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
