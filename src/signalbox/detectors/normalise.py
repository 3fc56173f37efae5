"""The form of a text that detectors read: invisible characters gone, look-alikes and other digits made plain.

Plain text passes untouched after one C-level test. Where characters are dropped, the offsets of what is left are kept,
so that findings still point into the text as it was given.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable

from signalbox.detectors.triggers import Triggers

_ASCII = bytes(range(128))

# In UTF-8: is there a character that `_TABLE` would change?
_ODD_UTF8 = (
    rb"\xc2[\xad\xa0]|\xc4\xb0|\xcd\x8f|\xcc[\xb5-\xb8]|\xd9[\xa0-\xa9]|\xdb[\xb0-\xb9]|\xd8\x9c|\xe0\xa5[\xa6-\xaf]|"
    rb"\xe1\xa0\x8e|"
    rb"\xe2\x80[\x80-\x92\xa8-\xaf]|\xe2\x81[\x9f-\xaf]|\xe2\x88\x92|\xe2\x91[\xa0-\xbf]|\xe2\x92[\xb6-\xbf]|\xe2\x93|"
    rb"\xe3\x80\x80|\xe3\x85\xa4|\xef\xb8[\x80-\x8f]|\xef\xbb\xbf|\xef[\xbc\xbd]|\xf0\x9d[\x90-\x9f]|"
    rb"\xf0\x9f[\x84\x85]|"
    rb"\xf3\xa0[\x80-\x87]"
)
# The en dash of years and scores is left alone, unless a number has two: identifiers are set so, ranges are not.
_EN_DASH = "\u2013"
_EN_DASH_UTF8 = _EN_DASH.encode()
_EN_JOINED_UTF8 = rb"\xe2\x80\x93[0-9]{1,7}\xe2\x80\x93[0-9]"
# Over the UTF-8 of a text: Latin letters and digits as `a`, lead and later bytes of Greek, Cyrillic and Armenian as `f`
# and `c`, so that `af` and `fca` are the places where scripts meet inside a word.
_MEETING = bytes(
    97 if chr(c).isalnum() and c < 128 else 102 if 0xCD <= c <= 0xD6 else 99 if 0x80 <= c < 0xC0 else 32
    for c in range(256)
)

_LETTER = re.compile(b"f")
# What words are made of, all bytes beyond ASCII included. With more letters, or longer words, all words are read.
_WORD_BYTES = bytes(c for c in range(256) if c >= 128 or chr(c).isalnum() or c in b"_@.+-")
_LETTERS_MAX, _REACH = 512, 512

_INVISIBLE = (
    *(0xAD, 0x34F, 0x61C, 0x180E, 0x3164, 0xFEFF),
    *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10),
    *range(0x335, 0x339), *range(0xE0000, 0xE0020), *range(0xE007F, 0xE01F0),
)  # fmt: skip
_LOOKALIKES = str.maketrans(
    "АВЕКМНОРСТХУІЈЅЗаеорсухіјѕԁһΑΒΕΖΗΙΚΜΝΟΡΤΥΧοαινρτυкмнтԛԝցհոսӀ",
    "ABEKMHOPCTXYIJS3aeopcyxijsdhABEZHIKMNOPTYXoaivptukmhtqwghnul",
)
_SAME_LOOKS = tuple((chr(char), chr(plain)) for char, plain in _LOOKALIKES.items())
# A longer word is changed letter by letter of the alphabet, not of its own.
_LONG_WORD = 256
_WORD = re.compile(r"[A-Za-z0-9\u0370-\u058f_@.+-]+")
_CONFUSED = re.compile(r"(?:[A-Z]{2})?[0-9OolI]{9,30}+")
# Digits and what passes for them as `0`, other letters of ASCII as `a`; so many in a row are worth a look.
_PASSING = bytes(
    48 if 48 <= c <= 57 or c in b"OolI" else 97 if chr(c).isalnum() and c < 128 else 32 for c in range(256)
)
_PASSING_MIN = b"0" * 9
# Needed for that, over one byte for each character: one or two of them between digits.
CONFUSED = rb"[0-9][OolI]{1,2}[0-9]"
_PASSING_CHARS = b"0a"
_DIGITS = str.maketrans("OolI", "0011")
_LATIN = re.compile(r"[A-Za-z]")
_ONLY_LOOKALIKES = re.compile("[" + "".join(map(chr, _LOOKALIKES)) + "0-9_.-]+")


def _table() -> dict[int, str | None]:
    table: dict[int, str | None] = dict.fromkeys(_INVISIBLE)
    for start, end in ((0x2000, 0x200B), (0x202F, 0x2030), (0x205F, 0x2060), (0x3000, 0x3001), (0xA0, 0xA1)):
        table.update(dict.fromkeys(range(start, end), " "))
    table.update(dict.fromkeys((*range(0x2010, 0x2013), 0x2212), "-"))
    for start, end in ((0xFF01, 0xFF5F), (0x1D400, 0x1D800), (0x2460, 0x2474), (0x24B6, 0x24EA), (0x1F130, 0x1F150)):
        for code in range(start, end):
            plain = unicodedata.normalize("NFKC", chr(code))
            if len(plain) == 1 and plain.isascii():
                table[code] = plain
    table[0x130] = "I"  # small letters of the Turkish capital are two characters, which no word list expects
    for start in (0x660, 0x6F0, 0x966):
        table.update({start + digit: str(digit) for digit in range(10)})
    # Tag characters repeat ASCII invisibly; a model reads them, so detectors do as well.
    table.update({0xE0000 + code: chr(code) for code in range(0x20, 0x7F)})
    return table


_TABLE = _table()
_CHANGED = {chr(code): plain or "" for code, plain in _TABLE.items()}
_GONE = [char for char, plain in _CHANGED.items() if not plain]
# With more different characters that change, one pass over all is cheaper.
_SPARSE_MAX = 8
# Letters that pass for digits as `x`, digits as `0`: is one of them beside digits on both sides?
_CONFUSABLE = bytes(48 if 48 <= c <= 57 else 120 if c in b"OolI" else 32 for c in range(256))


# What a text in UTF-8 may need: characters changed, en dashes made plain, words of several scripts looked at.
_ODD, _EN_JOINED, _SCRIPTS = 1, 2, 4
_NEEDS = Triggers(((_ODD_UTF8, _ODD), (_EN_JOINED_UTF8, _EN_JOINED), (rb"[\xcd-\xd6]", _SCRIPTS)))


class Dropped:
    """Where characters of a text are gone from its plain form; worked out when first asked."""

    __slots__ = ("_chars", "_places", "_text")

    def __init__(self, text: str, chars: Iterable[str]) -> None:
        self._text, self._chars = text, "".join(chars)
        self._places: list[int] | None = None

    def places(self) -> list[int]:
        """For each, how many characters of the plain form stand before it."""
        if self._places is None:
            gone = re.finditer(f"[{re.escape(self._chars)}]", self._text)
            self._places = [match.start() - before for before, match in enumerate(gone)]
        return self._places


def normal(text: str) -> tuple[str, Dropped | None]:
    """The plain form, and where in it characters were dropped (see `given`); None when none was."""
    return plain(text)[:2]


def plain(text: str) -> tuple[str, Dropped | None, bytes]:
    """The same, and the plain form in UTF-8; empty for ASCII."""
    if text.isascii():
        return text, None, b""
    encoded = text.encode("utf-8", "surrogatepass")
    needs = _NEEDS.seen(encoded)
    if not needs:
        return text, None, encoded
    dropped: Dropped | None = None
    if needs & _ODD:
        odd = _CHANGED.keys() & set(encoded.translate(None, _ASCII).decode("utf-8", "surrogatepass"))
        text, dropped = _sparse(text, odd) if len(odd) <= _SPARSE_MAX else _dense(text)
        encoded = text.encode("utf-8", "surrogatepass")
        needs = _NEEDS.seen(encoded)
    if needs & _EN_JOINED:
        text, encoded = text.replace(_EN_DASH, "-"), encoded.replace(_EN_DASH_UTF8, b"-")
    if needs & _SCRIPTS:
        meeting = encoded.translate(_MEETING)
        if meeting.find(b"af") >= 0 or meeting.find(b"fca") >= 0:
            encoded = _unmixed(encoded, meeting)
            text = encoded.decode("utf-8", "surrogatepass")
    return text, dropped, encoded


def _unmixed(encoded: bytes, meeting: bytes) -> bytes:
    """The text with look-alikes made plain in all words that have letters of such scripts."""
    if meeting.count(b"f") > _LETTERS_MAX:
        return _refolded(encoded)
    pieces: list[bytes] = []
    done = 0
    for match in _LETTER.finditer(meeting):
        at = match.start()
        if at >= done:
            before = encoded[max(done, at - _REACH) : at]
            start = at - len(before) + len(before.rstrip(_WORD_BYTES))
            after = encoded[at : at + _REACH]
            end = at + len(after) - len(after.lstrip(_WORD_BYTES))
            if end - at == _REACH or at - start >= _REACH:
                return _refolded(encoded)
            pieces += encoded[done:start], _refolded(encoded[start:end])
            done = end
    return b"".join((*pieces, encoded[done:]))


def _refolded(encoded: bytes) -> bytes:
    return _WORD.sub(_folded, encoded.decode("utf-8", "surrogatepass")).encode("utf-8", "surrogatepass")


def given(dropped: Dropped, at: int) -> int:
    """The offset in the text as given of a character of the plain form."""
    return at + bisect_right(dropped.places(), at)


def _sparse(text: str, odd: set[str]) -> tuple[str, Dropped | None]:
    """The plain form of a text in which these characters change: one pass for each."""
    gone = [char for char in odd if not _CHANGED[char]]
    dropped = Dropped(text, gone) if gone else None
    for char in odd:
        text = text.replace(char, _CHANGED[char])
    return text, dropped


def _dense(text: str) -> tuple[str, Dropped | None]:
    plain = text.translate(_TABLE)
    return plain, Dropped(text, _GONE) if len(plain) < len(text) else None


def may_confuse(flat: bytes, shape: bytes) -> bool:
    """Whether a letter that looks like a digit stands between digits, in a text with something as long as a number of
    such; a cheap test before `digits_mended`. shape: see View."""
    if shape.find(b"0a") < 0 and shape.find(b"0A") < 0:
        return False
    if flat.translate(_PASSING).find(_PASSING_MIN) < 0:
        return False
    marks = flat.translate(_CONFUSABLE)
    return marks.find(b"0x0") >= 0 or marks.find(b"0xx0") >= 0


def digits_mended(text: str, flat: bytes) -> str:
    """Numbers in which letters stand for digits (`O` for 0, `l` for 1), as bad scans and evaders write them, mended.

    flat: the text with one byte for each character."""
    marks = flat.translate(_PASSING)
    pieces: list[str] = []
    done, at = 0, marks.find(_PASSING_MIN)
    while at >= 0:
        # The whole word: it is a number with at most two letters before it, or none.
        before = marks[max(done, at - 3) : at]
        start = at - len(before) + len(before.rstrip(_PASSING_CHARS))
        end = marks.find(b" ", at)
        end = len(marks) if end < 0 else end
        if at - start < 3 and end - start <= 32 and _CONFUSED.fullmatch(text, start, end):
            pieces += text[done:start], _mended(text[start:end])
            done = end
        at = marks.find(_PASSING_MIN, end)
    return "".join((*pieces, text[done:])) if done else text


def _mended(word: str) -> str:
    head = word[:2] if word[:2].isalpha() and len(word) > 14 else ""
    digits = sum(char.isdigit() for char in word)
    return head + word[len(head) :].translate(_DIGITS) if digits * 4 >= len(word) else word


def _folded(match: re.Match[str]) -> str:
    """A word that mixes scripts or is made of look-alikes only, in Latin letters; others as they are."""
    word = match[0]
    if word.isascii():
        return word
    if _LATIN.search(word) is not None or _ONLY_LOOKALIKES.fullmatch(word):
        if len(word) < _LONG_WORD:
            return word.translate(_LOOKALIKES)
        for char, plain in _SAME_LOOKS:
            word = word.replace(char, plain)
    return word
