"""The questions of one scope: kept by their words while there is one only, and found by meaning from the second on.

Most scopes never see a second question, since the turns before it are part of the scope. Turning a text into a vector
takes longer than all the rest of a look-up together, so it is done when there is something to compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from signalbox.cache.neighbours import Candidate, Known, Neighbours
from signalbox.cache.verify import Reading

Encode = Callable[[str], Any]


class Partition:
    """encode: turns a text into the vector of a question that came without one. Not for two threads at once."""

    __slots__ = ("_encode", "_first", "_neighbours")

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        # The words of the only question, while nothing was compared with it.
        self._first: tuple[str, Known] | None = None
        self._neighbours: Neighbours | None = None

    def __len__(self) -> int:
        return 1 if self._first is not None else len(self._neighbours) if self._neighbours is not None else 0

    @property
    def bytes_held(self) -> int:
        """Of the answers."""
        if self._first is not None:
            return self._first[1].entry.bytes_held
        return self._neighbours.bytes_held if self._neighbours is not None else 0

    def find(self, text: str, vector: Any, reading: Reading, now_ms: int) -> tuple[Any, Candidate | None]:
        """The vector of a question, None while nobody needs it, and what could be given for it."""
        if not self:
            return vector, None
        if vector is None:
            vector = self._encode(text)
        neighbours = self._compared(len(vector))
        return vector, None if neighbours is None else neighbours.find(vector, reading, now_ms)

    def add(self, text: str, vector: Any, known: Known) -> None:
        if not self and vector is None:
            self._first, self._neighbours = (text, known), None
            return
        if vector is None:
            vector = self._encode(text)
        neighbours = self._compared(len(vector))
        if neighbours is None:
            neighbours = self._neighbours = Neighbours(len(vector))
        neighbours.add(vector, known)

    def keep(self, wanted: Callable[[Known], bool]) -> None:
        """Drops every question that is not wanted."""
        if self._first is not None and not wanted(self._first[1]):
            self._first = None
        if self._neighbours is not None:
            self._neighbours.keep(wanted)

    def keep_newest(self) -> None:
        """Drops the older half, or the only one."""
        if self._neighbours is not None and self._first is None:
            self._neighbours.keep_newest()
        self._first = None

    def _compared(self, dimensions: int) -> Neighbours | None:
        """All questions by their vectors; None when these cannot be compared with one of so many dimensions."""
        if self._first is not None:
            text, known = self._first
            first = self._encode(text)
            self._neighbours = Neighbours(len(first))
            self._neighbours.add(first, known)
            self._first = None
        neighbours = self._neighbours
        return neighbours if neighbours is not None and neighbours.dimensions == dimensions else None
