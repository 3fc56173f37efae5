"""Patterns that may still come: for each regular expression of bounded length, one that matches what could become it.

Every atom of the pattern may be cut off by the end of the text, so a text whose tail the open form matches may hold the
beginning of a match, and where that begins is where a stream has to wait. Patterns are of the subset that
detectors/pattern_safety.py allows, and every repeat has a bound of its own.
"""

from __future__ import annotations

import re

import msgspec

from signalbox.detectors.pattern_safety import UnsafePattern, safe

# Longer matches would hold back more of an answer than its reader should wait for.
MATCH_CHARS_MAX = 2048

_ATOM = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\](){}*+?|^$]", re.DOTALL)
_ANCHOR = re.compile(r"\\[bBAZ]|[\^$]")
_REPEAT = re.compile(r"(?:\{(\d+)(?:(,)(\d*))?\}|([*+?]))([?+]?)")


class Bounded(msgspec.Struct, frozen=True):
    """A pattern as it runs, its open form, and the most characters that a match has."""

    whole: re.Pattern[str]
    open: re.Pattern[str]
    chars_max: int


def bounded(pattern: str) -> Bounded:
    """Raises UnsafePattern for a pattern that is no safe one, or whose matches have no length limit."""
    source = safe(pattern)
    flags = "(?i)" if source.startswith("(?i)") else ""
    # Read as written: making it safe puts limits where the operator gave none, and so would hide that.
    opened, longest, end = _alternatives(pattern, len(flags))
    if end != len(pattern):
        raise UnsafePattern(f"unexpected {pattern[end]!r} at character {end + 1}")
    if longest > MATCH_CHARS_MAX:
        raise UnsafePattern(f"a match may have {longest} characters, at most {MATCH_CHARS_MAX}")
    return Bounded(re.compile(source), re.compile(rf"{flags}(?:{opened})\Z"), longest)


def _alternatives(pattern: str, at: int) -> tuple[str, int, int]:
    """(open source, characters at most, where it ends)."""
    opened: list[str] = []
    longest = 0
    while True:
        source, chars, at = _sequence(pattern, at)
        opened.append(source)
        longest = max(longest, chars)
        if at >= len(pattern) or pattern[at] != "|":
            return "|".join(opened), longest, at
        at += 1


def _sequence(pattern: str, at: int) -> tuple[str, int, int]:
    opened: list[str] = []
    longest = 0
    while at < len(pattern) and pattern[at] not in "|)":
        source, chars, at = _part(pattern, at)
        repeat = _REPEAT.match(pattern, at)
        if repeat is not None:
            at = repeat.end()
            low, high = _bounds(repeat)
            opened.append(f"{source}{{{low},{high}}}")
            longest += chars * high
        else:
            opened.append(source)
            longest += chars
    return "".join(opened), longest, at


def _part(pattern: str, at: int) -> tuple[str, int, int]:
    if pattern[at] == "(":
        start = at + (3 if pattern.startswith("?:", at + 1) else 1)
        source, chars, end = _alternatives(pattern, start)
        return f"(?:{source})", chars, end + 1
    anchor = _ANCHOR.match(pattern, at)
    if anchor is not None:
        return rf"(?:{anchor[0]}|\Z)", 0, anchor.end()
    atom = _ATOM.match(pattern, at)
    if atom is None:
        raise UnsafePattern(f"{pattern[at : at + 2]!r} at character {at + 1} is not understood here")
    return rf"(?:{atom[0]}|\Z)", 1, atom.end()


def _bounds(repeat: re.Match[str]) -> tuple[int, int]:
    if repeat[4] == "?":
        return 0, 1
    if repeat[4] or (repeat[2] and not repeat[3]):
        raise UnsafePattern(f"{repeat[0]!r} has no upper bound: write one, such as {{1,40}}")
    low = int(repeat[1])
    return low, int(repeat[3]) if repeat[2] else low
