"""A static encoder that ships without weights: hashed words, pairs of words and pieces of words.

It tells texts apart by their spelling and knows nothing of what words mean: a rewording without common words is far
away from its original. It needs numpy only.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from zlib import crc32

from signalbox.embedding.extras import numpy

DIMENSIONS = 384
_WORDS = re.compile(r"\w+").findall
# Words that nearly every question has say little about it.
_COMMON_TEXT = """
a an the to of is in i my me on for it do does did can could would will you please and or that this be am are
was with at have has der die das ein eine ist ich mein zu und le la les un une de est je et el los una es y o
il
"""
_COMMON = frozenset(_COMMON_TEXT.split())
_COMMON_WEIGHT, _PAIR_WEIGHT, _PIECE_WEIGHT = 0.25, 0.6, 0.3


class HashedEncoder:
    """Implements encoder.Encoder."""

    id = "hashed-1"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self._numpy = numpy()

    def encode(self, text: str) -> Any:
        values = self._numpy.zeros(DIMENSIONS, dtype="float32")
        words = _WORDS(text.lower())
        for word in words:
            self._add(values, word, _COMMON_WEIGHT if word in _COMMON else 1.0)
            if word not in _COMMON:
                framed = f"<{word}>"
                for at in range(len(framed) - 2):
                    self._add(values, framed[at : at + 3], _PIECE_WEIGHT)
        for first, second in pairwise(words):
            self._add(values, f"{first} {second}", _PAIR_WEIGHT)
        length = float(self._numpy.sqrt(values @ values))
        return values / length if length else values

    def _add(self, values: Any, feature: str, weight: float) -> None:
        hashed = crc32(feature.encode("utf-8", "replace"))
        values[hashed % DIMENSIONS] += weight if hashed & 0x8000_0000 else -weight
