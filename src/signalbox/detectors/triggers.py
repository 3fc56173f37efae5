"""What must be in a text for anything to be worth looking for: many expressions over its bytes, asked in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from signalbox.detectors.lexicon import BUSY, POSTPONED, compiled, note


class Triggers:
    """exact: (expression, bit) that hold or do not; without the engine they are searched one by one. loose: those that
    only save somebody the trouble to look, and are taken to hold where nobody knows.

    An expression is one that the engine and `re` read alike: classes, repeats and alternatives, without any flag."""

    __slots__ = ("_bits", "_database", "_exact", "_loose", "_patterns")

    def __init__(self, exact: Iterable[tuple[bytes, int]], loose: Iterable[tuple[bytes, int]] = ()) -> None:
        by_pattern: dict[bytes, int] = {}
        loose, exact = tuple(loose), tuple(exact)
        for pattern, bit in (*exact, *loose):
            by_pattern[pattern] = by_pattern.get(pattern, 0) | bit
        self._patterns, self._bits = tuple(by_pattern), tuple(by_pattern.values())
        self._exact = tuple((re.compile(pattern), bit) for pattern, bit in exact)
        self._loose = sum(dict.fromkeys(bit for _, bit in loose))
        self._database: Any = None

    def postpone(self) -> None:
        """Lets no text wait for `ready`, which somebody is about to call in another thread."""
        if self._database is None:
            self._database = POSTPONED

    def ready(self) -> None:
        """Compiles, which takes some hundredths of a second, once. Meanwhile other threads search one by one."""
        if self._database is None or self._database is POSTPONED:
            self._database = False
            if self._patterns:
                self._database = compiled(self._patterns, literal=False)

    def seen(self, raw: bytes) -> int:
        """The bits of all expressions that occur."""
        if not raw:
            return 0
        if self._database is None:
            self.ready()
        if self._database:
            seen: list[int] = []
            try:
                self._database.scan(raw, note, 0, seen)
            except BUSY:
                pass  # another thread is inside the engine with this database
            else:
                found, bits = 0, self._bits
                for at in seen:
                    found |= bits[at]
                return found
        found = self._loose
        for pattern, bit in self._exact:
            if not found & bit and pattern.search(raw) is not None:
                found |= bit
        return found
