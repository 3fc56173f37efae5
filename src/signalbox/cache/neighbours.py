"""Questions that were answered, by what they mean: the nearest ones to a new question, and whether they agree.

Questions that have the same answer form a group. A new question belongs to a group as far as the nearest known
questions do: each votes with a weight that falls with its distance, against a constant vote for "none of these". The
winner's share of all votes is the score; what a score is worth is for cache/risk.py to learn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import exp
from typing import Any

import msgspec

from signalbox.cache.entry import Entry
from signalbox.cache.verify import CHANGED, OPPOSED, REWORDED, Reading, compare
from signalbox.embedding.extras import numpy

NEAREST = 8
# How fast a vote falls with distance (per unit of cosine), and the cosine at which "none of these" votes.
SHARPNESS = 20.0
NONE_OF_THESE = 0.62
# From so many questions on, sketches of the vectors choose some to be compared in full: on which side of so many
# random planes (the same for everybody) a vector lies, a bit for each (Charikar, STOC 2002). Those with the fewest bits
# apart are compared, at least so many and, where many are equally far, at most so many.
SKETCH_FROM, SKETCH_BITS, SKETCHED_MIN, SKETCHED_MAX = 8192, 256, 512, 4096
_WORDS = SKETCH_BITS // 64
# So many sketches at a time stay near the processor. Not fewer: between any two steps of numpy's the interpreter may go
# to the thread of the loop, which can keep it for longer than the whole search takes.
BLOCK = 16_384
# Vectors are kept in one block that is doubled when it is full; most scopes have one question only.
ROWS_FIRST = 1


class Known(msgspec.Struct):
    """One question that was answered. answer: its answer's words. group: questions with the same answer."""

    reading: Reading
    entry: Entry
    answer: Reading
    group: int


class Candidate(msgspec.Struct, frozen=True):
    """What could be given. score: 0 to 1. known: whose answer it is. relation: REWORDED or CHANGED; CHANGED as soon as
    the nearest question of all differs by what may be the point of it."""

    score: float
    known: Known
    relation: str


class Neighbours:
    """The questions of one scope: everything but the last words is the same. bytes_held: of their answers. Not for two
    threads at once."""

    __slots__ = (
        "_apart",
        "_chosen",
        "_counted",
        "_known",
        "_numpy",
        "_sketched",
        "_sketches",
        "_vectors",
        "bytes_held",
        "dimensions",
    )

    def __init__(self, dimensions: int) -> None:
        self._numpy = numpy()
        self.dimensions = dimensions
        self._vectors: Any = self._numpy.zeros((ROWS_FIRST, dimensions), dtype="float32")
        self._known: list[Known] = []
        self._sketches: Any = None
        self._sketched = 0
        # Memory that every search uses again: new pages would cost as much as what is put into them.
        self._apart: Any = None
        self._counted: Any = None
        self._chosen: Any = None
        self.bytes_held = 0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, vector: Any, reading: Reading, now_ms: int) -> Candidate | None:
        """The group that a question belongs to most, by its nearest member whose words allow it."""
        count = len(self._known)
        if not count:
            return None
        found = self._nearest(vector, count)
        votes: dict[int, float] = {}
        total = exp(SHARPNESS * (NONE_OF_THESE - 1))
        for cosine, row in found:
            vote = exp(SHARPNESS * (cosine - 1))
            total += vote
            group = self._known[row].group
            votes[group] = votes.get(group, 0.0) + vote
        winner = max(votes, key=lambda group: votes[group])
        first = compare(reading, self._known[found[0][1]].reading)
        for _, row in found:
            known = self._known[row]
            if known.group == winner and known.entry.expires_ms > now_ms:
                relation = compare(reading, known.reading)
                if relation != OPPOSED:
                    return Candidate(votes[winner] / total, known, relation if first == REWORDED else CHANGED)
        return None

    def _nearest(self, vector: Any, count: int) -> list[tuple[float, int]]:
        """Cosines and rows, the nearest first."""
        places: Any = None
        if count < SKETCH_FROM:
            similar = self._vectors[:count] @ vector
        else:
            places = self._sketched_near(vector, count)
            chosen = self._chosen[: len(places)]
            similar = self._numpy.take(self._vectors, places, axis=0, out=chosen, mode="clip") @ vector
        last = len(similar) - min(NEAREST, count)
        best: Any = self._numpy.argpartition(similar, last)[last:]
        rows = best if places is None else places[best]
        return sorted(((float(similar[at]), int(row)) for at, row in zip(best, rows, strict=True)), reverse=True)

    def _sketched_near(self, vector: Any, count: int) -> Any:
        """The rows whose sketches are nearest."""
        np, sketches = self._numpy, self._sketches_of(count)
        own = self._sketch(vector[None])
        # In one byte: of more bits than that all are different, which starts again at zero and is compared in full.
        differing = np.empty(count, dtype="uint8")
        for start in range(0, count, BLOCK):
            part = differing[start : start + BLOCK]
            apart, counted = self._apart[:, : len(part)], self._counted[:, : len(part)]
            np.bitwise_xor(sketches[:, start : start + BLOCK], own, out=apart)
            np.bitwise_count(apart, out=counted)
            np.add.reduce(counted, axis=0, dtype="uint8", out=part)
        # Bytes are sorted by counting them, which takes less than looking for the one at this place.
        upto = np.sort(differing, kind="stable")[SKETCHED_MIN - 1]
        return np.flatnonzero(differing <= upto)[:SKETCHED_MAX]

    def _sketch(self, vectors: Any) -> Any:
        """Words in rows, one column for each vector."""
        bits = self._numpy.packbits(vectors @ _directions(self.dimensions) > 0, axis=-1)
        return bits.view("uint64").T

    def _sketches_of(self, count: int) -> Any:
        """The sketches of all questions; those that came since the last look are made now."""
        if self._sketches is None or self._sketches.shape[1] < count:
            grown = self._numpy.zeros((_WORDS, len(self._vectors)), dtype="uint64")
            grown[:, : self._sketched] = 0 if self._sketches is None else self._sketches[:, : self._sketched]
            self._sketches = grown
            if self._chosen is None:
                self._apart = self._numpy.empty((_WORDS, BLOCK), dtype="uint64")
                self._counted = self._numpy.empty((_WORDS, BLOCK), dtype="uint8")
                self._chosen = self._numpy.empty((SKETCHED_MAX, self.dimensions), dtype="float32")
        if self._sketched < count:
            self._sketches[:, self._sketched : count] = self._sketch(self._vectors[self._sketched : count])
            self._sketched = count
        return self._sketches[:, :count]

    def add(self, vector: Any, known: Known) -> None:
        count = len(self._known)
        if count == len(self._vectors):
            grown = self._numpy.zeros((2 * count, self.dimensions), dtype="float32")
            grown[:count] = self._vectors
            self._vectors = grown
        self._vectors[count] = vector
        self._known.append(known)
        self.bytes_held += known.entry.bytes_held

    def keep(self, wanted: Callable[[Known], bool]) -> None:
        """Drops every question that is not wanted."""
        self._keep([row for row, known in enumerate(self._known) if wanted(known)])

    def keep_newest(self) -> None:
        """Drops the older half."""
        count = len(self._known)
        self._keep(list(range(count - count // 2, count)))

    def _keep(self, rows: list[int]) -> None:
        if len(rows) == len(self._known):
            return
        kept = self._vectors[rows]
        self._sketches, self._sketched = None, 0
        self._known = [self._known[row] for row in rows]
        self.bytes_held = sum(known.entry.bytes_held for known in self._known)
        self._vectors = self._numpy.zeros((max(ROWS_FIRST, len(rows)), self.dimensions), dtype="float32")
        self._vectors[: len(rows)] = kept


@cache
def _directions(dimensions: int) -> Any:
    """What the planes stand on, drawn once and for all; at right angles to each other where there is room for it."""
    np = numpy()
    drawn = np.random.default_rng(64).standard_normal((dimensions, SKETCH_BITS))
    return (np.linalg.qr(drawn)[0] if dimensions >= SKETCH_BITS else drawn).astype("float32")
