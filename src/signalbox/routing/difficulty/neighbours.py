"""What labelled rows gained that mean nearly the same as a question, beside what its wording says. Needs numpy."""

from __future__ import annotations

from typing import Any

from signalbox.core.tiering import Near
from signalbox.embedding.extras import numpy

# Among rows that gained the same, the nearer ones come first.
_TIE = 1e-6


class Neighbours:
    """The rows of one head, ready to be compared."""

    __slots__ = ("_gains", "_near", "_numpy", "_vectors")

    def __init__(self, near: Near) -> None:
        """Raises ConfigError without numpy."""
        self._near = near
        self._numpy = numpy()
        halves = self._numpy.frombuffer(near.vectors, dtype="<f2").reshape(-1, near.dimensions)
        self._vectors = halves.astype("float32")
        self._gains = self._numpy.frombuffer(near.gains, dtype="<f4").astype("float64")

    def gain(self, vector: Any) -> float:
        """The mean gain of the nearest rows."""
        near = self._vectors @ vector
        rows = self._numpy.argpartition(-near, self._near.nearest - 1)[: self._near.nearest]
        return float(self._gains[rows].mean()) + _TIE * float(near[rows].mean())

    def beside(self, linear: float, vector: Any) -> float:
        """The score of both together. Without a vector it is the linear one's, on the same scale."""
        told = standard(linear, self._near.linear)
        if vector is None:
            return told
        share = self._near.share
        return (1 - share) * told + share * standard(self.gain(vector), self._near.near)


def standard(value: float, spread: tuple[float, float]) -> float:
    return (value - spread[0]) / spread[1]
