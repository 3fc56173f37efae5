"""Regular expressions of operators, made safe before they run: capped repeats, a bound on backtracking, or a refusal.

A pattern is read as a small subset of the language: literals, classes, groups, alternatives, repeats and anchors. Open
repeats are capped, and a repeat becomes possessive where what follows cannot match what it repeats. What then remains
of ways to match from one place is counted, and too many is a refusal.
"""

from __future__ import annotations

import re
from itertools import pairwise

import msgspec

PATTERN_CHARS_MAX = 500

# `+` and `*` mean at most this many, and so does any written bound.
REPEATS_MAX = 64

# Ways to try a match from one place. Each is a few nanoseconds.
WAYS_MAX = 512

_NESTING_MAX = 8
_SAMPLE = [chr(code) for code in range(128)] + ["é", "ж", "中", "\u00a0"]
_ATOM = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[dDwWsSntrfv]|[^0-9A-Za-z])|\[\^?\]?(?:\\.|[^\]\\])*\]|"
    r"[^\\\[\](){}*+?|^$]"
)
_ANCHOR = re.compile(r"\\[bBAZ]|[\^$]")
_REPEAT = re.compile(r"(?:[*+?]|\{(\d{0,4})(,?)(\d{0,4})\})([?+]?)")


class UnsafePattern(ValueError):
    """The pattern is refused; the message says why and what to write instead."""


class _Part(msgspec.Struct):
    """source: without its repeat. low, high: how often. ways: of its body. first: sample characters it can begin with;
    anchors begin with nothing and take none."""

    source: str
    first: frozenset[str]
    ways: int = 1
    low: int = 1
    high: int = 1
    possessive: bool = False
    lazy: bool = False
    anchor: bool = False
    empty: bool = False


def safe(pattern: str) -> str:
    """The pattern as it may run. Raises UnsafePattern."""
    if not pattern or len(pattern) > PATTERN_CHARS_MAX:
        raise UnsafePattern(f"a pattern has 1 to {PATTERN_CHARS_MAX} characters")
    flags = "(?i)" if pattern.startswith("(?i)") else ""
    source, part, end = _alternatives(pattern, len(flags), 0)
    if end != len(pattern):
        raise UnsafePattern(f"unexpected {pattern[end]!r} at character {end + 1}")
    if part.ways > WAYS_MAX:
        raise UnsafePattern(
            f"{part.ways} ways to match from one place, at most {WAYS_MAX}: give repeats exact or narrower bounds"
        )
    try:
        compiled = re.compile(flags + source)
    except re.error as error:
        raise UnsafePattern(str(error)) from None
    if compiled.match("") is not None:
        raise UnsafePattern("it matches the empty text")
    return flags + source


def _alternatives(pattern: str, at: int, depth: int) -> tuple[str, _Part, int]:
    """Alternatives up to the end or a closing bracket: (source, what they are together, where they end)."""
    if depth > _NESTING_MAX:
        raise UnsafePattern(f"groups nest deeper than {_NESTING_MAX}")
    sources: list[str] = []
    first: frozenset[str] = frozenset()
    ways, empty, fixed = 0, False, True
    while True:
        parts, at = _sequence(pattern, at, depth)
        _soften(parts)
        sources.append("".join(_written(part) for part in parts))
        ways += _ways(parts)
        first |= _first(parts)
        empty = empty or all(part.low == 0 or part.anchor or part.empty for part in parts)
        fixed = fixed and all(part.low == part.high for part in parts)
        if at >= len(pattern) or pattern[at] != "|":
            break
        at += 1
    source = "|".join(sources)
    return source, _Part(source, first, ways if fixed or ways > 1 else 2, empty=empty), at


def _sequence(pattern: str, at: int, depth: int) -> tuple[list[_Part], int]:
    parts: list[_Part] = []
    while at < len(pattern) and pattern[at] not in "|)":
        part, at = _part(pattern, at, depth)
        repeat = _REPEAT.match(pattern, at)
        if repeat is not None:
            at = repeat.end()
            _repeated(part, repeat)
        elif at < len(pattern) and pattern[at] in "{}":
            raise UnsafePattern(f"unexpected {pattern[at]!r} at character {at + 1}: write it as \\{pattern[at]}")
        parts.append(part)
    return parts, at


def _part(pattern: str, at: int, depth: int) -> tuple[_Part, int]:
    if pattern[at] == "(":
        start = at + 1
        if pattern.startswith("?", start):
            if not pattern.startswith("?:", start):
                raise UnsafePattern("only plain groups `(…)` and `(?:…)` may be used")
            start += 2
        source, part, end = _alternatives(pattern, start, depth + 1)
        if end >= len(pattern):
            raise UnsafePattern("a group is not closed")
        part.source = f"(?:{source})"
        return part, end + 1
    anchor = _ANCHOR.match(pattern, at)
    if anchor is not None:
        return _Part(anchor[0], frozenset(), anchor=True), anchor.end()
    atom = _ATOM.match(pattern, at)
    if atom is None:
        raise UnsafePattern(f"{pattern[at : at + 2]!r} at character {at + 1} is not understood here")
    source = _plain_class(atom[0]) if len(atom[0]) > 2 and atom[0].startswith("[") else atom[0]
    try:
        compiled = re.compile(source)
    except re.error as error:
        raise UnsafePattern(str(error)) from None
    return _Part(source, frozenset(char for char in _SAMPLE if compiled.match(char))), atom.end()


def _plain_class(source: str) -> str:
    """A class with its signs escaped: Python warns of some that may once mean something else, such as `[[]`."""
    negated = source.startswith("[^")
    items: list[str] = re.findall(r"(?s)\\.|.", source[2 if negated else 1 : -1])
    written, at = ["[^" if negated else "["], 0
    while at < len(items):
        written.append(_escaped(items[at]))
        if items[at + 1 : at + 2] == ["-"] and at + 2 < len(items):
            written += "-", _escaped(items[at + 2])
            at += 2
        at += 1
    return "".join((*written, "]"))


def _escaped(item: str) -> str:
    return f"\\{item}" if item in "[]-&~|^" else item


def _repeated(part: _Part, repeat: re.Match[str]) -> None:
    """Applies a repeat: capped, and only to parts that have one way to match themselves."""
    if part.anchor:
        raise UnsafePattern("an anchor cannot be repeated")
    sign = repeat[0][0]
    if sign == "{":
        if not repeat[1] and not repeat[3]:
            raise UnsafePattern("write { as \\{")
        part.low = int(repeat[1] or 0)
        part.high = int(repeat[3]) if repeat[3] else REPEATS_MAX if repeat[2] else part.low
    else:
        part.low, part.high = {"*": (0, REPEATS_MAX), "+": (1, REPEATS_MAX), "?": (0, 1)}[sign]
    part.high = max(part.low, min(part.high, REPEATS_MAX))
    if part.high > REPEATS_MAX:
        raise UnsafePattern(f"a repeat is at most {REPEATS_MAX}")
    if part.high > 1 and (part.ways > 1 or part.empty):
        raise UnsafePattern("a repeated group must match in one way only: no repeats or alternatives inside it")
    part.possessive, part.lazy = repeat[4] == "+", repeat[4] == "?"


def _soften(parts: list[_Part]) -> None:
    """Makes repeats possessive where giving back could never help."""
    following: frozenset[str] | None = None
    for part in reversed(parts):
        if part.low != part.high and following is not None and not part.first & following:
            part.possessive = True
        if part.anchor:
            following = None
        elif part.low == 0 or part.empty:
            following = following | part.first if following is not None else None
        else:
            following = part.first


def _ways(parts: list[_Part]) -> int:
    """Upper bound of the paths through a sequence from one place; possessive repeats have one."""
    ways = 1
    longest = 1
    for part in parts:
        spread = part.high - part.low + 1
        if part.possessive:
            longest = max(longest, part.high)
        else:
            ways *= spread
        ways = min(ways * part.ways, 10**9)
    return ways * (2 if longest > REPEATS_MAX // 2 and ways > 1 else 1)


def _first(parts: list[_Part]) -> frozenset[str]:
    first: frozenset[str] = frozenset()
    for part in parts:
        first |= part.first
        if part.low and not part.anchor and not part.empty:
            break
    return first


def _written(part: _Part) -> str:
    if (part.low, part.high) == (1, 1):
        return part.source
    bounds = "?" if (part.low, part.high) == (0, 1) else f"{{{part.low},{part.high}}}"
    return part.source + bounds + ("+" if part.possessive else "?" if part.lazy else "")


def literal(pattern: str) -> str:
    """The longest run of plain characters that every match holds, in lower case; empty when there is none."""
    if "|" in pattern or "(" in pattern.removeprefix("(?i)"):
        return ""
    runs: list[str] = [""]
    pieces = [
        match[0]
        for match in re.finditer(
            r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|"
            r"\{[^}]*\}\+?|.",
            pattern.removeprefix("(?i)"),
        )
    ]
    for piece, following in pairwise((*pieces, "")):
        optional = following[:1] in ("?", "*", "{") and not following.startswith("{1,")
        if len(piece) == 1 and (piece.isalnum() or piece in " @#/_:,;=<>%&~!'\"-") and not optional:
            runs[-1] += piece.lower()
        elif len(piece) == 2 and not piece[1].isalnum() and not optional:
            runs[-1] += piece[1].lower()
        else:
            runs.append("")
    return max(runs, key=len)
