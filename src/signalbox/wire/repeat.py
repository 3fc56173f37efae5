"""Events that differ from the one before in their text only, as most deltas do: recognised without reading them."""

from __future__ import annotations

import re
from collections.abc import Callable

# A JSON string's content that means what it says: no escape, no end, no control character.
_plain = re.compile(rb'[^"\\\x00-\x1f]+').fullmatch
# Every string, whether it is a member's name: only so is the end of one never taken for the beginning of another.
_strings = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?').finditer
# Strings of an event that may be its text; more of the right length are not tried.
_CANDIDATES_MAX = 4
_PROBE = b"signalbox "


def plain_chars(text: bytes) -> int:
    """The number of characters of a JSON string's content; 0 where it is empty, says something by an escape, or is not
    UTF-8."""
    if _plain(text) is None:
        return 0
    if text.isascii():
        return len(text)
    try:
        return len(text.decode())
    except UnicodeDecodeError:
        return 0


def around_text(raw: bytes, chars: int, count: Callable[[bytes], int]) -> tuple[bytes, bytes] | None:
    """What stands before and behind the text of a whole event of one data line, in bytes, or None.

    chars: of its text. count: says of an event's data how many characters of text it has, and 0 where it is anything
    more than text. Only what `count` has confirmed with another text in that place is returned, so an event that begins
    and ends with these bytes, with plain characters between, is one that `count` would say the same of.
    """
    start = raw.find(b"data: ") + 6
    data = raw[start:-2]
    if start < 6 or not raw.endswith(b"\n\n") or b"\n" in data or b"\r" in raw or raw.count(b"\n", 0, start) > 1:
        return None
    probe = (_PROBE * (chars // len(_PROBE) + 2))[: chars + 7]
    tried = 0
    for found in _strings(data):
        if found[2] is not None or plain_chars(found[1]) != chars:
            continue
        before, behind = data[: found.start(1)], data[found.end(1) :]
        if count(before + probe + behind) == chars + 7:
            return raw[:start] + before, behind + b"\n\n"
        tried += 1
        if tried == _CANDIDATES_MAX:
            break
    return None
