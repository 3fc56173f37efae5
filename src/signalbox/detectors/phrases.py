"""Set phrases that mean something wherever they stand: rare words that announce them, and the pattern around those."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from signalbox.core.pattern import compiled_later
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
    return Phrase(tag, kind, confidence, groups, compiled_later("|".join(alternatives).encode("latin-1")))


class Phrases:
    """A table of phrases. announcing: the words that are a reason to look. accompanying: those that must occur too."""

    def __init__(self, detector: str, phrases: tuple[Phrase, ...]) -> None:
        self._detector = detector
        self._phrases = phrases
        self._by_word: dict[bytes, tuple[int, ...]] = {}
        for at, one in enumerate(phrases):
            for word in one.groups[0]:
                self._by_word[word] = (*self._by_word.get(word, ()), at)
        self._words = frozenset(self._by_word)
        self.announcing = frozenset(word.decode("latin-1") for word in self._words)
        self.accompanying = frozenset(
            word.decode("latin-1") for one in phrases for group in one.groups[1:] for word in group
        )

    def hinted(self, view: View) -> bool:
        """Whether of some phrase all the words occur that must."""
        hits = view.hits
        for word in self._words & hits:
            for at in self._by_word[word]:
                for group in self._phrases[at].groups:
                    if group.isdisjoint(hits):
                        break
                else:
                    return True
        return False

    def find(self, view: View) -> Iterator[Found]:
        low = b""
        hits = view.hits
        for at in sorted({at for word in self._words & hits for at in self._by_word[word]}):
            one = self._phrases[at]
            if not all(map(hits.intersection, one.groups)):
                continue
            low = low or view.flat.lower()
            for start, end in view.around(one.groups[0], _REACH, _REACH):
                for match in one.pattern.finditer(low, start, end):
                    yield Found(self._detector, one.tag, match.start(), match.end(), one.confidence, one.kind)
