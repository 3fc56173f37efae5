"""Health data of somebody in seven languages that Latin letters, or those of Western Europe, cannot write.

`health` asks here how clinical a text is and who is in it, and decides. Nothing is read unless a character of one of
these scripts is there, and one pass over the bytes then rules out most texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from operator import add

from msgspec import Struct

from signalbox.detectors import health_words_abroad as words
from signalbox.detectors import names_abroad as names
from signalbox.detectors.lexicon import Lexicon, are_abroad, leads_of
from signalbox.detectors.view import PLACES_MAX, View

Element = tuple[int, int, str, float]

# A clear word and another one; a single clear one. As `health` has it for words in Latin letters.
SURE, ALONE = 0.9, 0.45
# Vowel signs and dots that are written in two ways, or left out.
_FOLDED = (("\u093c", ""), ("\u095b", "ज"), ("\u095e", "फ"), ("\u095c", "ड"), ("\u095d", "ढ"), ("ё", "е"))
# What stands before an Arabic word and is written with it: and, in, for, like, the.
_JOINED_AR = ("ال", "و", "ب", "ل", "لل", "وال", "بال", "فال", "كال")
_WIDE = re.compile("[^\x00-\x7f]+")
# Where fewer than one in so many characters begins a run of them, the others need not be looked at.
_SPARSE = 16
# No term is shorter; where words have no blanks between them, two characters are looked up.
_LEAST = 2


class _Terms:
    """Words to be found in a text in small letters. spaced: how a word is told there; None where words have no blanks.
    joined: what may be written before a word. Texts are looked at word by word, or pair by pair, so that the time does
    not depend on how many terms there are. bare: in UTF-8, what of each term occurs wherever it does."""

    __slots__ = ("_ascii", "_by_lead", "_inside", "_joined", "_reach", "_sizes", "_spaced", "_stems", "_whole", "bare")

    def __init__(self, terms: list[str], spaced: re.Pattern[str] | None, joined: tuple[str, ...] = ()) -> None:
        self._spaced = spaced
        self._joined = joined
        # Without blanks: terms by their first two characters; Latin ones stand apart even there.
        self._by_lead: dict[str, list[str]] = {}
        self._ascii = frozenset(term for term in terms if term.isascii()) if spaced is None else frozenset[str]()
        # With blanks: pieces of words, beginnings, whole words, and phrases by their first word.
        self._inside = tuple(term[1:] for term in terms if term[0] == "*")
        self._stems = frozenset(term for term in terms if term[-1] != "." and term[0] != "*" and " " not in term)
        self._whole = frozenset(term[:-1] for term in terms if term[-1] == ".")
        for term in terms:
            if spaced is None and not term.isascii():
                self._by_lead.setdefault(term[:_LEAST], []).append(term)
            elif " " in term:
                self._by_lead.setdefault(term.split()[0], []).append(term)
        self._sizes = sorted({len(stem) for stem in self._stems})
        self.bare = frozenset(_bare(term).encode() for term in terms)
        # The most Latin characters that a term of others begins with.
        self._reach = max((len(_WIDE.split(term, 1)[0]) for term in terms if not term.isascii()), default=0)

    def of(self, low: str) -> set[str]:
        if self._spaced is None:
            near = _near(low, self._reach)
            found = self._led({*map(add, near, near[1:]), *near}, low)
            return found | (self._ascii.intersection(_LATIN.findall(low)) if self._ascii else found)
        seen = set(self._spaced.findall(low))
        for joined in self._joined:
            seen |= {word[len(joined) :] for word in seen if word.startswith(joined)}
        found = self._led(seen, low) | (seen & self._whole)
        found.update(piece for piece in self._inside if low.find(piece) >= 0)
        for size in self._sizes:
            found |= self._stems.intersection([word[:size] for word in seen])
        return found

    def _led(self, seen: set[str], low: str) -> set[str]:
        return {term for lead in self._by_lead.keys() & seen for term in self._by_lead[lead] if low.find(term) >= 0}


def _near(text: str, reach: int) -> str:
    """What of a text stands beside a character beyond ASCII: so many characters before it, and one behind."""
    runs = _WIDE.findall(text)
    if len(runs) * _SPARSE > len(text):
        return text
    pieces: list[str] = []
    done = 0
    for match in _WIDE.finditer(text):
        pieces.append(text[max(done, match.start() - reach) : match.end() + 1])
        done = match.end() + 1
    return "".join(pieces)


class _Tongue(Struct, frozen=True):
    """leads: first bytes in UTF-8 of the characters it is written in. letters: one of them must be there."""

    leads: re.Pattern[bytes]
    letters: re.Pattern[str]
    clear: _Terms
    vague: _Terms
    names: names.Names


def _folded(text: str) -> str:
    for char, plain in _FOLDED:
        text = text.replace(char, plain)
    return text


def _terms(text: str) -> list[str]:
    return [term.replace("_", " ") for term in text.split()]


def _bare(term: str) -> str:
    return term.removesuffix(".").removeprefix("*")


_LATIN = re.compile("[a-z0-9]+")


def _tongue(
    leads: bytes, letters: str, said: tuple[str, str], of: names.Names, word: str = "", joined: tuple[str, ...] = ()
) -> _Tongue:
    """word: the characters of its words; empty where they have no blanks between them."""
    spaced = re.compile(f"[{word}]+") if word else None
    clear, vague = (_Terms(_terms(_folded(text)), spaced, joined) for text in said)
    return _Tongue(re.compile(leads), re.compile(letters), clear, vague, of)


_TONGUES = (
    _tongue(b"[\xe4-\xe9]", "[\u4e00-\u9fff]", (words.CHINESE_CLEAR, words.CHINESE_VAGUE), names.CHINESE),
    _tongue(b"\xe3", "[\u3040-\u30ff]", (words.JAPANESE_CLEAR, words.JAPANESE_VAGUE), names.JAPANESE),
    _tongue(b"[\xea-\xed]", "[\uac00-\ud7a3]", (words.KOREAN_CLEAR, words.KOREAN_VAGUE), names.KOREAN),
    _tongue(b"[\xd0\xd1]", "[а-яА-Я]", (words.RUSSIAN_CLEAR, words.RUSSIAN_VAGUE), names.RUSSIAN, "а-яё"),
    _tongue(
        b"[\xd8-\xda]", "[\u0621-\u064a]", (words.ARABIC_CLEAR, words.ARABIC_VAGUE), names.ARABIC, "\u0621-\u0652",
        _JOINED_AR,
    ),
    _tongue(b"[\xc4\xc5]", "[ğışĞŞ]", (words.TURKISH_CLEAR, words.TURKISH_VAGUE), names.TURKISH, "a-z0-9çğıöşü"),
    _tongue(b"\xe0", "[\u0900-\u097f]", (words.HINDI_CLEAR, words.HINDI_VAGUE), names.HINDI, "\u0900-\u097f"),
)  # fmt: skip
_CLEAR_TEXT = " ".join(
    (words.CHINESE_CLEAR, words.JAPANESE_CLEAR, words.KOREAN_CLEAR, words.RUSSIAN_CLEAR, words.ARABIC_CLEAR,
     words.TURKISH_CLEAR, words.HINDI_CLEAR)
)  # fmt: skip
# Told in one pass whether any can occur at all, whatever may stand around it.
_CLEAR = Lexicon((), {_bare(term).encode() for term in _terms(_folded(_CLEAR_TEXT))})


def ready() -> None:
    """Compiles what would be compiled at the first text in one of the scripts."""
    _CLEAR.database.ready()


def may_be_clinical(view: View) -> bool:
    """Whether a text beyond latin-1 is worth `clinical`."""
    return clinical(view) > 0.0


def clinical(view: View) -> float:
    """How sure it is that the text is about health: 0 when it is not."""
    return max((sure for _, sure in _spoken(view)), default=0.0)


def elements(view: View) -> Iterator[Element]:
    """Who, when and which number: (start, end, kind, confidence) of each."""
    text = view.text
    for at, _ in _spoken(view):
        of = _TONGUES[at].names
        for pattern, confidence in ((of.cued, names.CUED), (of.made, names.MADE)):
            for match in islice(pattern.finditer(text), PLACES_MAX):
                group = match.lastindex or 0
                if not of.never or not match[group].startswith(of.never):
                    end = match.end(group)
                    sure = max(confidence, names.CUED) if names.AGED.match(text, end) else confidence
                    yield match.start(group), end, "name", sure
        for match in islice(of.records.finditer(text), PLACES_MAX):
            yield match.start(1), match.end(1), "record-number", names.CUED
        for match in islice(of.dates.finditer(text), PLACES_MAX):
            yield match.start(), match.end(), "date", 0.7


def _spoken(view: View) -> tuple[tuple[int, float], ...]:
    """The languages in which a text is clinical, and how sure that is; worked out once for a view."""
    if view.abroad is None:
        leads = leads_of(view.utf8) if view.wide else b""
        view.abroad = tuple(_heard(view, leads)) if are_abroad(leads) else ()
    return view.abroad


def _heard(view: View, leads: bytes) -> Iterator[tuple[int, float]]:
    low = _folded(view.text.lower())
    seen = _CLEAR.pieces_of(_CLEAR.seen(low.encode("utf-8", "surrogatepass")))
    if seen is not None and not seen:
        return
    for at, tongue in enumerate(_TONGUES):
        if seen is not None and tongue.clear.bare.isdisjoint(seen):
            continue
        if tongue.leads.search(leads) is None or tongue.letters.search(view.text) is None:
            continue
        clear = tongue.clear.of(low)
        if clear:
            several = len(clear) > 1 or bool(tongue.vague.of(low) - clear)
            yield at, SURE if several else ALONE
