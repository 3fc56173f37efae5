"""How much a text looks like an injection: words that try to take over the model that reads them.

Rules over what words stand for, and a small linear model over the same letters and over words, whose weights are data
(`injection_weights.json`, written by scripts/train_injection.py). A text is read in windows, so that a sentence in a
long document counts as much as alone, in its plain form and in every form in which it may be disguised.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from importlib.resources import files
from itertools import repeat
from operator import add

import msgspec

from signalbox.detectors.injection_forms import forms, plain, words
from signalbox.detectors.injection_lexicon import LETTERS
from signalbox.detectors.injection_rules import matched

WINDOW_WORDS = 96
_STRIDE = 64
# Without any of these no window is weighed.
_SIGNS = frozenset("IRKAULCSQN#$kBGHVODWae")
_GAP = re.compile(r"\.{4,}")


class Suspicion(msgspec.Struct, frozen=True, gc=False):
    """What one text looks like. score: 0 to 1; a rule that matched counts as 1. rules: their names. form: the disguise
    it was found under, empty for none. word: the first word of the window, counted in words."""

    score: float = 0.0
    rules: tuple[str, ...] = ()
    form: str = ""
    word: int = 0


CLEAN = Suspicion()


class Model(msgspec.Struct, frozen=True):
    """bias, scale: a weight is its integer times the scale. grams: of one to four letters; words: single ones; pairs:
    two words in a row."""

    bias: float
    scale: float
    grams: dict[str, int]
    words: dict[str, int]
    pairs: dict[str, int]


def letters(read: list[str]) -> str:
    """What each word stands for."""
    return "".join(map(_LETTER_OF, read, repeat(".")))


_LETTER_OF = {
    **{word: letter for word, letter in LETTERS.items() if len(word) > 1},
    **{"|": "|", "#": "#", "i": "M", "u": "Y", "y": "&"},
}.get


class Features(msgspec.Struct, frozen=True):
    """What the model reads of one window."""

    grams: set[str]
    words: set[str]
    pairs: set[str]


def features(read: list[str], spelled: str) -> Features:
    compact = "|" + _GAP.sub("_", spelled).replace(".", "") + "|"
    grams = set(compact)
    two = list(map(add, compact, compact[1:]))
    grams.update(two)
    grams.update(map(add, two, compact[2:]))
    grams.update(map(add, two, two[2:]))
    return Features(grams, set(read), set(map(add, read, map(add, repeat(" "), read[1:]))))


def windows(read: list[str], spelled: str) -> Iterator[tuple[int, list[str], str]]:
    """(first word, words, letters) of every window that has anything to weigh."""
    if len(read) <= WINDOW_WORDS + _STRIDE // 2:
        if not _SIGNS.isdisjoint(spelled):
            yield 0, read, spelled
        return
    for start in range(0, max(1, len(read) - WINDOW_WORDS + _STRIDE), _STRIDE):
        part = spelled[start : start + WINDOW_WORDS]
        if not _SIGNS.isdisjoint(part):
            yield start, read[start : start + WINDOW_WORDS], part


def salad(text: str) -> bool:
    """Whether a single line is symbols thrown together, as optimised suffixes are: brackets and quotes that close
    nothing, of many kinds. Code and prose on one line close what they open."""
    if len(text) > _SALAD_CHARS_MAX or "\n" in text.strip():
        return False
    count = text.count
    loose = (
        abs(count("(") - count(")"))
        + abs(count("{") - count("}"))
        + abs(count("[") - count("]"))
        + count('"') % 2
        + count("`") % 2
    )
    return loose > 2 or (loose > 1 and len(_SYMBOLS & set(text)) > 3)


_SALAD_CHARS_MAX = 1000
_SYMBOLS = frozenset('\\{}()[]"`<>=#$@*|^~')


def weights() -> Model:
    """The model as shipped."""
    raw = files("signalbox.detectors").joinpath("injection_weights.json").read_bytes()
    return msgspec.json.decode(raw, type=Model)


class Reader:
    """Reads texts for injections. Immutable once made; one for all."""

    __slots__ = ("_bias", "_grams", "_pairs", "_scale", "_words")

    def __init__(self, model: Model) -> None:
        self._bias, self._scale = model.bias, model.scale
        self._grams, self._words, self._pairs = model.grams.get, model.words.get, model.pairs.get

    def read(self, text: str, *, untrusted: bool, model: bool = True) -> Suspicion:
        """The worst reading of a text. untrusted: nobody vouches for it, and no words to the model are expected in it.
        model: weigh it as well, besides the rules."""
        low = plain(text)
        read = words(low)
        best = self._one(low, read, "", untrusted, model)
        if best.rules:
            return best
        for form, other in forms(text, low, read):
            found = self._one(other, words(other), form, untrusted, model)
            if found.rules:
                return found
            if found.score > best.score:
                best = found
        return best

    def _one(self, text: str, read: list[str], form: str, untrusted: bool, model: bool) -> Suspicion:
        spelled = letters(read)
        rules = matched(spelled, read, untrusted)
        if form in _TOLD_IN_FULL and salad(text):
            rules = (*rules, "salad")
        if rules:
            return Suspicion(1.0, rules, form)
        if not model:
            return CLEAN
        best, where = -_FAR, 0
        for start, part, part_spelled in windows(read, spelled):
            total = self._weigh(features(part, part_spelled))
            if total > best:
                best, where = total, start
        return Suspicion(1 / (1 + math.exp(-best)), (), form, where) if best > -_FAR else CLEAN

    def _weigh(self, read: Features) -> float:
        none = repeat(0)
        total = sum(map(self._grams, read.grams, none))
        total += sum(map(self._words, read.words, none)) + sum(map(self._pairs, read.pairs, none))
        return self._bias + self._scale * total


_FAR = 30.0
# Forms that keep the signs of what they hide.
_TOLD_IN_FULL = frozenset(("", "encoded", "escaped", "smuggled"))
