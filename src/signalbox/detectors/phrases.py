"""Set phrases that mean something wherever they stand: rare words that announce them, and the pattern around those."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from signalbox.detectors.found import Found
from signalbox.detectors.view import View

# How far from its first word a phrase is looked for, on both sides.
_REACH = 90


class Phrase(msgspec.Struct, frozen=True):
    """groups: of each of these sets of words one must occur; the first holds the words it is looked for around."""

    tag: str
    kind: str
    confidence: float
    groups: tuple[frozenset[bytes], ...]
    pattern: re.Pattern[bytes]


def phrase(tag: str, kind: str, confidence: float, words: str, *alternatives: str) -> Phrase:
    """words: `first second & also`, the groups apart by `&`. alternatives: patterns over lower-case latin-1 text."""
    groups = tuple(frozenset(group.encode("latin-1").split()) for group in words.split("&"))
    return Phrase(tag, kind, confidence, groups, re.compile("|".join(alternatives).encode("latin-1")))


def announcing(phrases: Iterable[Phrase]) -> frozenset[str]:
    """The words that are a reason to look."""
    return frozenset(word.decode("latin-1") for one in phrases for word in one.groups[0])


def accompanying(phrases: Iterable[Phrase]) -> frozenset[str]:
    """The words that must occur as well."""
    return frozenset(word.decode("latin-1") for one in phrases for group in one.groups[1:] for word in group)


def find(view: View, detector: str, phrases: Iterable[Phrase]) -> Iterator[Found]:
    low = b""
    for one in phrases:
        if any(group.isdisjoint(view.hits) for group in one.groups):
            continue
        low = low or view.flat.lower()
        for start, end in view.around(one.groups[0], _REACH, _REACH):
            for match in one.pattern.finditer(low, start, end):
                yield Found(detector, one.tag, match.start(), match.end(), one.confidence, one.kind)
