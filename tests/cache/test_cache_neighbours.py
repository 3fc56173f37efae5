"""The search for neighbours in a large scope: the same ones as by comparing all, whatever came and went before."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.cache.entry import BODY, Entry
from signalbox.cache.neighbours import NEAREST, SKETCH_FROM, Known, Neighbours
from signalbox.cache.verify import read

numpy: Any = pytest.importorskip("numpy")
READING = read("a question")
ENTRY = Entry(BODY, b"", "", "", None, 0, 1 << 60)


def test_sketches_find_the_nearest_ones() -> None:
    chance = numpy.random.default_rng(3)
    centres = chance.standard_normal((1500, 384))
    count = SKETCH_FROM + 500
    rows = centres[chance.integers(0, len(centres), count)] + 0.6 * chance.standard_normal((count, 384))
    rows = (rows / numpy.linalg.norm(rows, axis=1, keepdims=True)).astype("float32")
    known = Neighbours(384)
    for number, row in enumerate(rows):
        known.add(row, Known(READING, ENTRY, READING, number))
    shares = [shared(known, rows, at) for at in range(0, count, 97)]
    assert sum(shares) / len(shares) > 0.97
    # What is dropped is not found, and what is added afterwards is.
    known.keep(lambda each: each.group % 50 != 0)
    left = numpy.array([row for number, row in enumerate(rows) if number % 50])
    assert sum(shared(known, left, at) for at in range(0, len(left), 997)) > 0.97 * len(range(0, len(left), 997))
    for number in range(3):
        known.add(left[number], Known(READING, ENTRY, READING, -number - 1))
        found = known.find(left[number], READING, 0)
        assert found is not None
        assert found.score > 0


def shared(known: Neighbours, rows: Any, at: int) -> float:
    """The share of a row's true neighbours among those that were found; what is as far as anything else has no vote."""
    similar = rows @ rows[at]
    wanted = {row for row in numpy.argsort(similar)[-NEAREST:].tolist() if similar[row] > 0.4}
    found = {row for _, row in known._nearest(rows[at], len(known))}  # pyright: ignore[reportPrivateUsage]
    return len(wanted & found) / len(wanted)
