"""What must be in a text for anything to be worth looking for: many expressions over its bytes, asked in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterable

from signalbox.detectors.engine import Database


class Triggers:
    """exact: (expression, bit) that hold or do not; without the engine they are searched one by one. loose: those that
    only save somebody the trouble to look, and are taken to hold where nobody knows.

    An expression is one that the engine and `re` read alike: classes, repeats and alternatives, without any flag."""

    __slots__ = ("_bits", "_exact", "_loose", "database")

    def __init__(self, exact: Iterable[tuple[bytes, int]], loose: Iterable[tuple[bytes, int]] = ()) -> None:
        by_pattern: dict[bytes, int] = {}
        loose, exact = tuple(loose), tuple(exact)
        for pattern, bit in (*exact, *loose):
            by_pattern[pattern] = by_pattern.get(pattern, 0) | bit
        self._bits = tuple(by_pattern.values())
        self._exact = tuple((re.compile(pattern), bit) for pattern, bit in exact)
        self._loose = sum(dict.fromkeys(bit for _, bit in loose))
        self.database = Database(lambda: tuple(by_pattern), literal=False)

    def seen(self, raw: bytes) -> int:
        """The bits of all expressions that occur."""
        if not raw:
            return 0
        seen = self.database.seen(raw)
        if seen is not None:
            found, bits = 0, self._bits
            for at in seen:
                found |= bits[at]
            return found
        found = self._loose
        for pattern, bit in self._exact:
            if not found & bit and pattern.search(raw) is not None:
                found |= bit
        return found
