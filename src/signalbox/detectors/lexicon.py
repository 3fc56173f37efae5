"""Which words of a fixed set occur in a text: one pass of Vectorscan where it is installed, splitting and one set
intersection where it is not. Both give the same answer (tests/detectors/test_lexicon.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from signalbox.detectors.engine import Database

# Below this many bytes splitting is cheaper than calling the engine (docs/decisions/0009-word-lookup.md).
SHORT_BYTES = 32
# Beyond this many words (an operator's own dictionary) compiling takes seconds, a set takes any number.
WORDS_MAX = 8192
# The same for those beyond latin-1, which are patterns and take longer.
WIDE_WORDS_MAX = 1024


class Lexicon:
    """words: lower-case latin-1, found between blanks. pieces: found anywhere, inside words as well; only the engine
    looks for them. Compiled when first asked, or by `ready`; while another thread does it, words are split."""

    __slots__ = ("_answers", "_at", "_words", "database", "pieces")

    def __init__(self, words: Iterable[bytes], pieces: Iterable[bytes] = ()) -> None:
        self._words = frozenset(words)
        self.pieces = frozenset(pieces)
        # What each pattern stands for: pieces may be words as well, so the two are told apart by position.
        self._answers: tuple[bytes, ...] = (*sorted(self._words), *sorted(self.pieces))
        self._at = {word: at for at, word in enumerate(self._answers[: len(self._words)])}
        self.database = Database(self._patterns, literal=True)

    def _patterns(self) -> list[bytes]:
        if len(self._answers) > WORDS_MAX:
            return []
        border = len(self._words)
        return [b" %b " % word if at < border else word for at, word in enumerate(self._answers)]

    def numbered(self, reasons: Mapping[bytes, int], of_pieces: Mapping[bytes, int]) -> tuple[int, ...]:
        """What each position that `seen` tells stands for: a word's reasons, a piece's, and where nobody has looked for
        pieces those of all."""
        border, unknown = len(self._words), 0
        for bits in of_pieces.values():
            unknown |= bits
        words, pieces = self._answers[:border], self._answers[border:]
        return (*(reasons.get(word, 0) for word in words), *(of_pieces.get(piece, 0) for piece in pieces), unknown)

    def seen(self, padded: bytes) -> list[int]:
        """The positions of what occurs in a text of lower-case words apart by blanks, one before and one after it as
        well; the last of all where nobody has looked for pieces. `words` and `pieces_of` say what they are."""
        if len(padded) >= SHORT_BYTES:
            seen = self.database.seen(padded)
            if seen is not None:
                return seen
        return [*map(self._at.__getitem__, self._words.intersection(padded.split())), len(self._answers)]

    def words(self, seen: Sequence[int]) -> frozenset[bytes]:
        """The words of these positions."""
        answers, border = self._answers, len(self._words)
        return frozenset([answers[at] for at in seen if at < border])

    def pieces_of(self, seen: Sequence[int]) -> frozenset[bytes] | None:
        """The pieces of these positions; None where nobody has looked for them."""
        answers, border = self._answers, len(self._words)
        if len(answers) in seen:
            return None
        return frozenset([answers[at] for at in seen if at >= border])

    def find(self, padded: bytes) -> frozenset[bytes]:
        """The words of such a text."""
        return self.words(self.seen(padded))


# What a text in UTF-8 has: characters beyond latin-1; ideographs, kana or Hangul; maybe a word of a WideLexicon;
# letters of Chinese, Japanese, Korean, Russian, Arabic or Hindi, or such as Turkish has and Polish or Czech have not.
WIDE, IDEOGRAPHS, WORDS, ABROAD = 1, 2, 4, 8
# In UTF-8, all bytes but those that begin a character beyond latin-1; and those that begin none of its letters.
_WITHIN = bytes((*range(0xC4), *range(0xF8, 0x100)))
_NO_LETTER = bytes((0xCC, 0xE2, *range(0xEE, 0x100)))
_NO_IDEOGRAPH = bytes((*range(0xE3), *range(0xEE, 0x100)))
_NOT_ABROAD = bytes(set(range(0x100)) - {0xC4, 0xC5, 0xD0, 0xD1, 0xD8, 0xD9, 0xDA, 0xE0, *range(0xE3, 0xEE)})
_BEYOND = (
    (b"[\\xc4-\\xf7]", WIDE),
    (b"[\\xe3-\\xed]", IDEOGRAPHS),
    (rb"[\xd0\xd1\xd8-\xda\xe0\xe3-\xed]|\xc4[\x9e\x9f\xb1]|\xc5[\x9e\x9f]", ABROAD),
)
_BEYOND_BITS = tuple(bit for _, bit in _BEYOND)


def leads_of(utf8: bytes) -> bytes:
    """The bytes of a text that begin a character beyond latin-1."""
    return utf8.translate(None, _WITHIN)


def are_abroad(leads: bytes) -> bool:
    """Whether a letter may begin with one of them that ABROAD stands for."""
    return bool(leads.translate(None, _NOT_ABROAD))


class WideLexicon:
    """Lower-case words beyond latin-1, and whether any of them can occur in a text: the engine rules most texts out;
    without it every text with such letters may."""

    __slots__ = ("database", "words")

    def __init__(self, words: Iterable[str]) -> None:
        self.words = frozenset(words)
        self.database = Database(self._patterns, literal=False)

    def _patterns(self) -> list[bytes]:
        if len(self.words) > WIDE_WORDS_MAX:
            return []
        return [*(pattern for pattern, _ in _BEYOND), *map(_any_case, sorted(self.words))]

    def seen(self, utf8: bytes) -> int:
        """WIDE and IDEOGRAPHS; and WORDS and ABROAD, unless none of them can be in the text, in whatever case."""
        seen = self.database.seen(utf8)
        if seen is not None:
            found = 0
            for at in seen:
                found |= _BEYOND_BITS[at] if at < len(_BEYOND_BITS) else WORDS
            return found
        leads = leads_of(utf8)
        return (
            (WIDE if leads else 0)
            | (IDEOGRAPHS if leads.translate(None, _NO_IDEOGRAPH) else 0)
            | (ABROAD if are_abroad(leads) else 0)
            | (WORDS if self.words and leads.translate(None, _NO_LETTER) else 0)
        )


# Characters whose small form is, or begins with, another one.
_CAPITALS: dict[str, set[str]] = {}


def _any_case(word: str) -> bytes:
    """A pattern over UTF-8 for a word in any case. The engine's own idea of case needs valid UTF-8, which the text of a
    call need not be."""
    if not _CAPITALS:
        for start, end in ((0x41, 0x3000), (0xA640, 0xAC00), (0xFF21, 0xFF3B), (0x10400, 0x10600), (0x1E900, 0x1E944)):
            for char in map(chr, range(start, end)):
                for small in char.lower():
                    if small != char:
                        _CAPITALS.setdefault(small, set()).add(char)
        _CAPITALS.setdefault("\u03c2", set()).add("\u03a3")  # at the end of a word only
    parts: list[bytes] = []
    for char in word:
        forms = sorted({char, *_CAPITALS.get(char, ())})
        parts.append(b"(?:%b)" % b"|".join(b"".join(b"\\x%02x" % byte for byte in form.encode()) for form in forms))
    return b"".join(parts)
