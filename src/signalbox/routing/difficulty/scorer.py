"""A head made ready to score: its weights as dictionaries, its score as a number and as a rank."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from itertools import repeat
from operator import mul

from signalbox.core.tiering import RANKS, Head
from signalbox.routing.difficulty.features import DENSE, Features
from signalbox.routing.difficulty.neighbours import Neighbours, standard


class Scorer:
    """One head. Making it takes milliseconds and megabytes."""

    __slots__ = ("_dense", "_grams", "_near", "_words", "head")

    def __init__(self, head: Head) -> None:
        self.head = head
        self._dense = head.dense
        self._grams = _weights(head.gram_keys, head.gram_weights)
        self._words = _weights(head.word_keys, head.word_weights)
        self._near = Neighbours(head.near) if head.near is not None else None

    def score(self, found: Features) -> float:
        """How much the strongest tier is likely to gain, on a scale of the head's own."""
        linear = self._linear(found)
        return linear if self._near is None else self._near.beside(linear, found.vector)

    def _linear(self, found: Features) -> float:
        nothing = repeat(0.0)
        return (
            self.head.bias
            + sum(map(mul, self._dense, found.dense))
            + found.gram_scale * sum(map(self._grams.get, found.grams, nothing))
            + found.word_scale * sum(map(self._words.get, found.words, nothing))
        )

    def contributions(self, found: Features) -> list[tuple[str, float]]:
        """What pushes the score up or down, the strongest first: dense features by name, hashed ones together, and the
        questions that mean nearly the same."""
        nothing = repeat(0.0)
        parts = list(zip(DENSE, map(mul, self._dense, found.dense), strict=True))
        parts.append(("letters", found.gram_scale * sum(map(self._grams.get, found.grams, nothing))))
        parts.append(("wording", found.word_scale * sum(map(self._words.get, found.words, nothing))))
        near = self.head.near
        if near is not None and self._near is not None:
            beside = 0.0 if found.vector is None else near.share
            parts = [(name, (1 - beside) * amount / near.linear[1]) for name, amount in parts]
            if beside:
                parts.append(("neighbours", beside * standard(self._near.gain(found.vector), near.near)))
        return sorted(parts, key=lambda part: -abs(part[1]))


def rank_of(score: float, ranks: tuple[float, ...]) -> float:
    """The share of rows whose score is lower, between hundredths by proportion."""
    at = bisect_left(ranks, score)
    if at == 0:
        return 0.0
    if at == RANKS:
        return 1.0
    below, above = ranks[at - 1], ranks[at]
    return (at - 1 + (score - below) / (above - below)) / (RANKS - 1)


def _weights(keys: bytes, weights: bytes) -> dict[int, float]:
    numbers, values = array("I", keys), array("f", weights)
    if sys.byteorder == "big":
        numbers.byteswap()
        values.byteswap()
    return dict(zip(numbers, values, strict=True))
