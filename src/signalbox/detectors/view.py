"""One text, seen the ways detectors need: byte for character, in lower case, as a shape, as words and as numbers.

Every view has one byte for one character, so an offset into any of them is an offset into the text. Building them
is a handful of C-level passes; that is what makes a gate over all detectors cost about as much as one regex.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from signalbox.detectors.found import Found
from signalbox.detectors.shapes import candidates

_LATIN_UPPER = frozenset((*range(65, 91), *(c for c in range(0xC0, 0xDF) if c != 0xD7)))
_LATIN_LOWER = frozenset((*range(97, 123), *(c for c in range(0xDF, 0x100) if c != 0xF7)))
_SPACES = frozenset(b" \t\xa0")


def _lower(code: int) -> int:
    if code in _LATIN_UPPER:
        return code + 32
    return code if code in _LATIN_LOWER or 48 <= code <= 57 else 32


def _shape(code: int) -> int:
    if code in _LATIN_UPPER:
        return 65
    if code in _LATIN_LOWER:
        return 97
    if 48 <= code <= 57:
        return 48
    return 32 if code in _SPACES else code


_LOWER = bytes(_lower(code) for code in range(256))
_SHAPE = bytes(_shape(code) for code in range(256))
_TOKEN = bytes(97 if (chr(c).isalnum() and c < 128) or c in b"_-" else 32 for c in range(256))

# From the first digit over digits, capitals and single-line separators: the superset of every written number.
_RUN = re.compile(rb"0[0A .\-/()+]{5,63}+")
_LONG = re.compile(rb"a" * 16 + rb"a*+")
_WIDE_WORD = re.compile(r"[^\W\d_]+")
# Letters beyond latin-1 that are written in words; punctuation and pictures are not worth a second look.
_WIDE_LETTER = re.compile("[\u0100-\u1fff]")

# A word is looked at in its first places only: a text that says it more often says nothing new, and time is bounded.
PLACES_MAX = 64

# Numbers a run may have left of its first digit: country letters, `+`, an opening bracket.
_BEFORE = b"A0"
_LETTERS = (b"a", b"A", b"0")


class Words:
    """Lower-case words that announce something: narrow ones fit latin-1, wide ones do not."""

    __slots__ = ("narrow", "wide")

    def __init__(self, words: Iterable[str]) -> None:
        words = tuple(words)
        self.narrow = frozenset(word.encode("latin-1") for word in words if max(word) < "\u0100")
        self.wide = tuple(sorted({word for word in words if max(word) >= "\u0100"}))


class View:
    """text: what offsets refer to. flat: latin-1, `?` where that cannot say it. lower: words only, the rest blank.
    shape: A for capitals, a for small letters, 0 for digits. found: what detectors have found so far.
    hits: the lexicon's words that occur; wide text (beyond latin-1) has its own in `wide_hits`."""

    __slots__ = ("_numbers", "_shape", "_tokens", "flat", "found", "hits", "lower", "text", "wide", "wide_hits")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self.flat = text.encode("latin-1")
            self.wide = False
        except UnicodeEncodeError:
            self.flat = text.encode("latin-1", "replace")
            self.wide = True
        self.lower = self.flat.translate(_LOWER)
        self._shape: bytes | None = None
        self._numbers: list[tuple[int, int, int]] | None = None
        self._tokens: list[tuple[int, int]] | None = None
        self.hits: frozenset[bytes] = frozenset()
        self.wide_hits: set[str] = set()
        self.found: list[Found] = []

    @property
    def shape(self) -> bytes:
        if self._shape is None:
            self._shape = self.flat.translate(_SHAPE)
        return self._shape

    @property
    def numbers(self) -> list[tuple[int, int, int]]:
        """(start, end, kinds) of everything that is written like a number somebody may be known by."""
        if self._numbers is None:
            self._numbers = list(self._find_numbers())
        return self._numbers

    @property
    def tokens(self) -> list[tuple[int, int]]:
        """Spans of at least 16 of the characters that keys and identifiers are made of."""
        if self._tokens is None:
            self._tokens = [match.span() for match in _LONG.finditer(self.flat.translate(_TOKEN))]
        return self._tokens

    def wide_words(self) -> list[str]:
        """The words of a text that goes beyond latin-1, in lower case; none when no letter does."""
        return _WIDE_WORD.findall(self.text.lower()) if _WIDE_LETTER.search(self.text) else []

    def places(self, word: bytes) -> Iterator[int]:
        """Where a whole lower-case word occurs."""
        lower, size, at = self.lower, len(word), self.lower.find(word)
        last = len(lower)
        while at >= 0:
            end = at + size
            if (at == 0 or lower[at - 1] == 32) and (end == last or lower[end] == 32):
                yield at
            at = lower.find(word, end)

    def after(self, words: frozenset[bytes]) -> Iterator[tuple[bytes, int]]:
        """(word, where it ends) for the first places of those of the words that the gate has seen."""
        for word in words & self.hits:
            for place in islice(self.places(word), PLACES_MAX):
                yield word, place + len(word)

    def around(self, words: frozenset[bytes], before: int, after: int) -> list[tuple[int, int]]:
        """Windows around the places of words, merged where they overlap, so that each is searched once."""
        spans = sorted((max(0, end - len(word) - before), end + after) for word, end in self.after(words))
        merged: list[tuple[int, int]] = []
        for start, end in spans:
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((start, end))
        return merged

    def near(self, start: int, words: Words, before: int = 48, after: int = 0, end: int = 0) -> bool:
        """Whether one of the words occurs at most `before` characters before start, or `after` after end."""
        window = self.lower[max(0, start - before) : start].split()
        if after:
            window += self.lower[end : end + after].split()
        if not words.narrow.isdisjoint(window):
            return True
        if not self.wide or not words.wide:
            return False
        around = f"{self.text[max(0, start - before) : start]} {self.text[end : end + after] if after else ''}".lower()
        return any(word in around for word in words.wide)

    def _find_numbers(self) -> Iterator[tuple[int, int, int]]:
        shape = self.shape
        for match in _RUN.finditer(shape):
            start, end = match.span()
            if shape[end : end + 1] == b"a":
                end -= len(match[0]) - len(match[0].rstrip(b"A"))
            left = start
            while left > 0 and start - left < 8 and shape[left - 1] in _BEFORE:
                left -= 1
            for low, high, kinds in candidates(shape[left:end]):
                if (
                    shape[left + high : left + high + 1] not in _LETTERS
                    and shape[left + low - 1 : left + low] not in _LETTERS
                ):
                    yield left + low, left + high, kinds
