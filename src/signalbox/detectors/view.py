"""One text, seen the ways detectors need: byte for character, in lower case, as a shape, as words and as numbers.

Every view has one byte for one character, so an offset into any of them is an offset into the text. Building them
is a handful of C-level passes; that is what makes a gate over all detectors cost about as much as one regex.

Here and in all detectors it is `find(…) >= 0` and not `in`: before CPython looks for bytes in bytes it tries them as a
number, and the exception that it makes and drops costs more than the search.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from signalbox.detectors.found import Found
from signalbox.detectors.lexicon import Lexicon
from signalbox.detectors.shapes import candidates, is_dull

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
_RUN = re.compile(rb"0[0A .\-/()+]{4,63}+")
_RUN_MAX = 64
# So many characters are searched in the time that one run is looked at.
_SEARCH = 600
_RUN_BYTES = b"0A .-/()+"
_RUN_CHARS = frozenset(bytes((char,)) for char in _RUN_BYTES)
_LEAST = b"a" * 16
_UNMARKED = bytes(c for c in range(256) if c in _SPACES or c in _LATIN_UPPER or c in _LATIN_LOWER or 48 <= c <= 57)
_WORD = re.compile(r"[^\W\d_]+")
_ASCII = bytes(range(128))
# Lead bytes in UTF-8 of letters beyond latin-1.
_LETTER_BEYOND = re.compile(rb"[\xc4-\xcb\xcd-\xdf\xe0\xe1\xe3-\xed]")
_LATIN_1 = re.compile("[\x00-\xff]*")

# A word is looked at in its first places only: a text that says it more often says nothing new, and time is bounded.
PLACES_MAX = 64

# Words are told apart in stretches of about this size, so that one is searched only where it stands.
_STRETCH = 4096

# Numbers a run may have left of its first digit: country letters, `+`, an opening bracket.
_BEFORE = b"A0"
_GAPS = (b" ", b"-")
_LETTERED = (b"A", b"0", b"A ", b"A-")
_LETTERS = frozenset(b"aA0")


class Words:
    """Lower-case words that announce something: narrow ones fit latin-1, wide ones do not."""

    __slots__ = ("narrow", "wide")

    def __init__(self, words: Iterable[str]) -> None:
        words = tuple(words)
        self.narrow = frozenset(word.encode("latin-1") for word in words if max(word) < "\u0100")
        self.wide = tuple(sorted({word for word in words if max(word) >= "\u0100"}))


def _with_letters(shape: bytes, left: int) -> int:
    """Where a number begins whose leading letters stand apart, as in `AB 12 34 56 C` or `X-1234567-L`."""
    for _ in range(2):
        start = left - 1
        while start > 0 and left - start < 6 and shape[start - 1] == 65:
            start -= 1
        if not 1 <= left - 1 - start <= 3 or (start and shape[start - 1 : start] in (b"A", b"a", b"0")):
            break
        left = start
        if shape[left - 1 : left] not in _GAPS or shape[left - 2 : left - 1] != b"A":
            break
    return left


class View:
    """text: what offsets refer to. flat: latin-1, `?` where that cannot say it. lower: words only, the rest blank.
    shape: A for capitals, a for small letters, 0 for digits. marks: what is neither letter, digit nor blank, in order:
    a short text to count signs in. found: what detectors have found so far.
    brief: only findings that raise a label are wanted.
    hits: the lexicon's words that occur; wide text (beyond latin-1) has its own in `wide_hits`. pieces: the lexicon's
    pieces that occur, inside words as well; None when nobody has looked for them."""

    # Defaults stand on the class: most texts never need most of these, and every assignment costs.
    hits: frozenset[bytes] = frozenset()
    wide_hits: frozenset[str] = frozenset()
    pieces: frozenset[bytes] | None = None
    wide = False
    _padded: bytes | None = None
    _kinds = -1
    _numbers: list[tuple[int, int, int]] | None = None
    _tokens: list[tuple[int, int]] | None = None

    def __init__(self, text: str, brief: bool = False) -> None:
        self.text = text
        self.brief = brief
        try:
            self.flat = text.encode("latin-1")
        except UnicodeEncodeError:
            self.flat = text.encode("latin-1", "replace")
            self.wide = True
        self.lower = self.flat.translate(_LOWER)
        self.shape = self.flat.translate(_SHAPE)
        self.marks = self.flat.translate(None, _UNMARKED)
        self.found: list[Found] = []
        self._places: dict[bytes, list[int]] = {}
        self._stretches: list[tuple[int, int, frozenset[bytes]]] = []

    @property
    def numbers(self) -> list[tuple[int, int, int]]:
        """(start, end, kinds) of everything that is written like a number somebody may be known by."""
        if self._numbers is None:
            self._numbers = list(_numbers(self.shape)) if self.shape.find(b"0") >= 0 else []
        return self._numbers

    @property
    def kinds(self) -> int:
        """All kinds of number that occur."""
        if self._kinds < 0:
            self._kinds = 0
            for _, _, one in self.numbers:
                self._kinds |= one
        return self._kinds

    @property
    def tokens(self) -> list[tuple[int, int]]:
        """Spans of at least 16 of the characters that keys and identifiers are made of."""
        if self._tokens is None:
            self._tokens = _long(self.flat.translate(_TOKEN))
        return self._tokens

    def wide_words(self) -> set[str]:
        """The words of a text that go beyond latin-1, in lower case."""
        if _LETTER_BEYOND.search(self.text.encode("utf-8", "surrogatepass").translate(None, _ASCII)) is None:
            return set()  # quotation marks, dashes and pictures only
        beyond = {word for word in self.text.split() if not word.isascii() and _LATIN_1.fullmatch(word) is None}
        return set(_WORD.findall(" ".join(beyond).lower())) if beyond else set()

    def look_up(self, lexicon: Lexicon) -> frozenset[bytes]:
        """Those of the lexicon's words that occur; `hits` from then on, and its pieces `pieces`."""
        lower, size = self.lower, len(self.lower)
        padded = self._padded = b" %b " % lower
        if size <= _STRETCH * 3 // 2:
            self.hits, self.pieces = lexicon.find(padded)
            self._stretches.append((0, size, self.hits))
            return self.hits
        start = 0
        self.pieces = frozenset()
        while start < size:
            end = lower.find(b" ", start + _STRETCH)
            if end < 0:
                end = size
            hits, seen = lexicon.find(padded[start : end + 2])
            self._stretches.append((start, end, hits))
            self.pieces = None if seen is None or self.pieces is None else self.pieces | seen
            start = end + 1
        self.hits = frozenset().union(*[hits for _, _, hits in self._stretches])
        return self.hits

    def places(self, word: bytes) -> list[int]:
        """Where a whole lower-case word that the gate has seen occurs; its first PLACES_MAX places."""
        places = self._places.get(word)
        if places is None:
            places = self._places[word] = self._found(word)
        return places

    @property
    def padded(self) -> bytes:
        """Lower case between two blanks: the blank before a word has the word's own offset."""
        if self._padded is None:
            self._padded = b" %b " % self.lower
        return self._padded

    def _found(self, word: bytes) -> list[int]:
        padded, whole, step = self.padded, b" %b " % word, len(word) + 1
        places: list[int] = []
        for start, end, hits in self._stretches:
            if word in hits:
                at = padded.find(whole, start, end + 2)
                while at >= 0:
                    places.append(at)
                    if len(places) == PLACES_MAX:
                        return places
                    at = padded.find(whole, at + step, end + 2)
        return places

    def after(self, words: frozenset[bytes]) -> list[tuple[bytes, int]]:
        """(word, where it ends) for the first places of those of the words that the gate has seen."""
        ends: list[tuple[bytes, int]] = []
        for word in words & self.hits:
            size = len(word)
            for place in self.places(word):
                ends.append((word, place + size))
        return ends

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
        return self.says(self.window(start, end, before, after), words)

    def window(self, start: int, end: int, before: int, after: int) -> tuple[list[bytes], str]:
        """The words around a span, and for texts beyond latin-1 the characters as well."""
        low, high = max(0, start - before), end + after
        words = self.lower[low:start].split()
        if after:
            words += self.lower[end:high].split()
        return words, f"{self.text[low:start]} {self.text[end:high] if after else ''}".lower() if self.wide else ""

    @staticmethod
    def says(window: tuple[list[bytes], str], words: Words) -> bool:
        """Whether a window holds one of the words."""
        if not words.narrow.isdisjoint(window[0]):
            return True
        return bool(window[1]) and any(word in window[1] for word in words.wide)


def _long(marked: bytes) -> list[tuple[int, int]]:
    """Spans of at least sixteen `a`."""
    spans: list[tuple[int, int]] = []
    at = marked.find(_LEAST)
    while at >= 0:
        end = marked.find(b" ", at + 16)
        end = len(marked) if end < 0 else end
        spans.append((at, end))
        at = marked.find(_LEAST, end)
    return spans


def _numbers(shape: bytes) -> Iterator[tuple[int, int, int]]:
    """The numbers of a shape. Few of its different runs can be any, and where none can, nothing more is asked."""
    runs: list[bytes] = _RUN.findall(shape)
    if not runs:
        return
    size = len(shape)
    telling = {run for run in set(runs) if not is_dull(run)}
    few = len(runs) * _SEARCH < len(shape)
    # The letter in a time stamp stands inside its run.
    lettered = few or shape.find(b"A 0") >= 0 or shape.find(b"A-0") >= 0 or shape.count(b"A0") != shape.count(b"0A0")
    if not telling and not lettered:
        return
    # A search for each of a few runs is cheaper than a look at all of many.
    if lettered or len(runs) * _SEARCH < len(telling) * len(shape) or len(max(runs, key=len)) >= _RUN_MAX:
        spans = (match.span() for match in _RUN.finditer(shape))
    else:
        spans = sorted(span for run in telling for span in _runs(shape, run))
    for start, end in spans:
        run = shape[start:end]
        if run not in telling and not shape[max(0, start - 2) : start].endswith(_LETTERED):
            continue
        if shape[start - 1 : start] == b"-" and start > 16 and shape[start - 16 : start : 5] == b"----":
            continue  # the tail of a UUID
        if shape[end : end + 1] == b"a":
            end -= len(run) - len(run.rstrip(b"A"))
        left = start
        while left > 0 and start - left < 8 and shape[left - 1] in _BEFORE:
            left -= 1
        parts = candidates(shape[left:end])
        if shape[left - 1 : left] in _GAPS and shape[left - 2 : left - 1] == b"A":
            wide = _with_letters(shape, left)
            inner = tuple((low + left - wide, high + left - wide, kinds) for low, high, kinds in parts)
            parts, left = (*candidates(shape[wide:end]), *inner), wide
        for low, high, kinds in parts:
            start, end = left + low, left + high
            if (end == size or shape[end] not in _LETTERS) and (not start or shape[start - 1] not in _LETTERS):
                yield start, end, kinds


def _runs(shape: bytes, run: bytes) -> Iterator[tuple[int, int]]:
    """Where a run stands that is no part of a longer one."""
    size = len(run)
    at = shape.find(run)
    while at >= 0:
        if shape[at + size : at + size + 1] not in _RUN_CHARS:
            before = shape[max(0, at - _RUN_MAX) : at]
            if before[len(before.rstrip(_RUN_BYTES)) :].find(b"0") < 0:
                yield at, at + size
        at = shape.find(run, at + 1)
