"""One text, seen the ways detectors need: byte for character, in lower case, as a shape, as words and as numbers.

Every view has one byte for one character, so an offset into any of them is an offset into the text. Building them
is a handful of C-level passes; that is what makes a gate over all detectors cost about as much as one regex.

Here and in all detectors it is `find(…) >= 0` and not `in`: before CPython looks for bytes in bytes it tries them as a
number, and the exception that it makes and drops costs more than the search.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from signalbox.detectors.found import Found
from signalbox.detectors.lexicon import Lexicon
from signalbox.detectors.numbers import Number, numbers

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

_LEAST = b"a" * 16
_NOTHING: frozenset[bytes] = frozenset()
_NO_TOKENS: tuple[tuple[int, int], ...] = ()
_UNMARKED = bytes(c for c in range(256) if c in _SPACES or c in _LATIN_UPPER or c in _LATIN_LOWER or 48 <= c <= 57)
_WORD = re.compile(r"[^\W\d_]+")
_WIDE = re.compile("[^\x00-\xff]")
# Needed in a text for anything in `tokens`. Over `flat`, as is NUMBER.
TOKEN = rb"[A-Za-z0-9_-]{16}"

# A word is looked at in its first places only: a text that says it more often says nothing new, and time is bounded.
PLACES_MAX = 64

# Words are told apart in stretches of about this size, so that one is searched only where it stands.
_STRETCH = 4096


T = TypeVar("T")


class Lazy(Generic[T]):
    """An attribute that is worked out when first asked, and from then on stands in its place."""

    __slots__ = ("_make", "_name")

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, one: Any, owner: type) -> T:
        value = one.__dict__[self._name] = self._make(one)
        return value

    if TYPE_CHECKING:  # it may be set as well, and is then an attribute like any other: no method is ever called

        def __set__(self, one: Any, value: T) -> None: ...


class Words:
    """Lower-case words that announce something: narrow ones fit latin-1, wide ones do not."""

    __slots__ = ("narrow", "wide")

    def __init__(self, words: Iterable[str]) -> None:
        words = tuple(words)
        self.narrow = frozenset(word.encode("latin-1") for word in words if max(word) < "\u0100")
        self.wide = tuple(sorted({word for word in words if max(word) >= "\u0100"}))


class View:
    """text: what offsets refer to. flat: latin-1, `?` where that cannot say it. lower: words only, the rest blank.
    shape: A for capitals, a for small letters, 0 for digits. marks: what is neither letter, digit nor blank, in order:
    a short text to count signs in. found: what detectors have found so far.
    brief: only findings that raise a label are wanted.
    hits: the lexicon's words that occur; wide text (beyond latin-1) has its own in `wide_hits`. pieces: the lexicon's
    pieces that occur, inside words as well; None when nobody has looked for them. beyond, wide, ideographs: whether
    there are characters beyond ASCII, beyond latin-1, and such of Chinese, Japanese and Korean. tokens: spans of at
    least 16 of the characters that keys and identifiers are made of. numbers: (start, end, kinds) of everything that is
    written like a number somebody may be known by. keyed: whether there may be the beginning of a link or of a key.
    formed: whether a token may have a form that a detector knows. Who knows that there are none sets these, so that
    nobody looks."""

    # Defaults stand on the class: most texts never need most of these, and every assignment costs.
    wide_hits: frozenset[str] = frozenset()
    beyond = False
    keyed = True
    formed = True
    # What `health_abroad` has made of it: (which language, how sure it is clinical); None before anybody asked.
    abroad: tuple[tuple[int, float], ...] | None = None
    _utf8 = b""
    _padded: bytes | None = None
    _places: dict[bytes, list[int]] | None = None
    # Which words were looked up, and where in the lexicon stand those that occur.
    _lexicon: Lexicon | None = None
    _seen: Sequence[int] = ()
    # None where the whole text is one.
    _stretches: list[tuple[int, int, frozenset[bytes]]] | None = None
    _runs: tuple[int, list[tuple[int, tuple[Number, ...]]]] | None = None

    def __init__(self, text: str, brief: bool = False, utf8: bytes = b"") -> None:
        """utf8: the text in UTF-8 where somebody has it at hand."""
        self.text = text
        self.brief = brief
        if text.isascii():
            flat = text.encode()
        else:
            self._utf8 = utf8
            self.beyond = True
            flat = text.encode("latin-1", "replace")
        self.flat = flat
        self.lower = flat.translate(_LOWER)
        self.found: list[Found] = []

    @property
    def utf8(self) -> bytes:
        """The text in UTF-8, of which there is none kept for ASCII."""
        if not self._utf8:
            self._utf8 = self.text.encode("utf-8", "surrogatepass")
        return self._utf8

    @property
    def kinds(self) -> int:
        """All kinds of number that occur."""
        return self._counted()[0]

    def _shaped(self) -> bytes:
        return self.flat.translate(_SHAPE)

    def _unworded(self) -> bytes:
        return self.flat.translate(None, _UNMARKED)

    def _tokens(self) -> Sequence[tuple[int, int]]:
        marked = self.flat.translate(_TOKEN)
        return _long(marked) if marked.find(_LEAST) >= 0 else _NO_TOKENS

    def _counted(self) -> tuple[int, list[tuple[int, tuple[Number, ...]]]]:
        runs = self._runs
        if runs is None:
            runs = self._runs = numbers(self.shape)
        return runs

    def _numbers(self) -> list[Number]:
        return [(at + low, at + high, kinds) for at, parts in self._counted()[1] for low, high, kinds in parts]

    def _hits(self) -> frozenset[bytes]:
        return self._lexicon.words(self._seen) if self._lexicon is not None else _NOTHING

    def _pieces(self) -> frozenset[bytes] | None:
        return self._lexicon.pieces_of(self._seen) if self._lexicon is not None else None

    def _wide(self) -> bool:
        return _WIDE.search(self.text) is not None

    hits: Lazy[frozenset[bytes]] = Lazy(_hits)
    pieces: Lazy[frozenset[bytes] | None] = Lazy(_pieces)
    shape = Lazy(_shaped)
    marks = Lazy(_unworded)
    tokens = Lazy(_tokens)
    numbers = Lazy(_numbers)
    wide = Lazy(_wide)
    ideographs = Lazy(_wide)

    def wide_words(self) -> set[str]:
        """The words of a text that go beyond latin-1, in lower case."""
        beyond = {word for word in self.text.split() if not word.isascii()}
        return set(_WORD.findall(" ".join(beyond).lower()))

    def look_up(self, lexicon: Lexicon) -> list[int]:
        """Where in the lexicon those of its words and pieces stand that occur; they are `hits` and `pieces` then."""
        self._lexicon = lexicon
        lower, size = self.lower, len(self.lower)
        padded = self._padded = b"".join((b" ", lower, b" "))
        if size <= _STRETCH * 3 // 2:
            seen = self._seen = lexicon.seen(padded)
            return seen
        start = 0
        stretches = self._stretches = []
        every: set[int] = set()
        while start < size:
            end = lower.find(b" ", start + _STRETCH)
            if end < 0:
                end = size
            seen = lexicon.seen(padded[start : end + 2])
            stretches.append((start, end, lexicon.words(seen)))
            every.update(seen)
            start = end + 1
        self._seen = seen = sorted(every)
        return seen

    def look_up_also(self, lexicon: Lexicon) -> None:
        """Those of another lexicon's words that occur, among `hits` from then on."""
        padded, stretches = self.padded, self._stretches
        if stretches is None:
            self.hits |= lexicon.find(padded)
            return
        self._stretches = stretches = [
            (start, end, hits | lexicon.find(padded[start : end + 2])) for start, end, hits in stretches
        ]
        self.hits = frozenset().union(*[hits for _, _, hits in stretches])

    def places(self, word: bytes) -> list[int]:
        """Where a whole lower-case word that the gate has seen occurs; its first PLACES_MAX places."""
        known = self._places
        if known is None:
            known = self._places = {}
        places = known.get(word)
        if places is None:
            places = known[word] = self._found(word)
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
        for start, end, hits in self._stretches or ((0, len(self.lower), self.hits),):
            if word in hits:
                at = padded.find(whole, start, end + 2)
                while at >= 0:
                    places.append(at)
                    if len(places) == PLACES_MAX:
                        return places
                    at = padded.find(whole, at + step, end + 2)
        return places

    def after(self, words: frozenset[bytes]) -> list[tuple[bytes, int]]:
        """(word, where it ends) for the first places of those of the words that the gate has seen, in the words' order:
        a set's own differs from process to process, and with it what is found where only so much is looked at."""
        ends: list[tuple[bytes, int]] = []
        for word in sorted(words & self.hits):
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


def _long(marked: bytes) -> Sequence[tuple[int, int]]:
    """Spans of at least sixteen `a`."""
    spans: list[tuple[int, int]] = []
    at = marked.find(_LEAST)
    while at >= 0:
        end = marked.find(b" ", at + 16)
        end = len(marked) if end < 0 else end
        spans.append((at, end))
        at = marked.find(_LEAST, end)
    return spans
