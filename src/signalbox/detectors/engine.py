"""Which of many patterns occur in some bytes: one pass of Vectorscan, where it is installed and the processor fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import hyperscan as _engine
except ImportError:
    _engine = None
# Another thread is inside the engine with this database.
_BUSY: tuple[type[Exception], ...] = () if _engine is None else (_engine.HyperscanError,)

# In place of a database that is still to be compiled, and not by the first text that would use it.
_POSTPONED: tuple[()] = ()


def engine() -> str:
    """What looks words up in this process, for reports."""
    return "split" if _engine is None else "hyperscan"


class Database:
    """Patterns that are compiled when first asked, or by `ready`; while another thread does it, nobody knows what
    occurs. patterns: gives them when they are needed; of none, nobody ever knows. literal: they are no expressions."""

    __slots__ = ("_compiled", "_literal", "_patterns")

    def __init__(self, patterns: Callable[[], Sequence[bytes]], *, literal: bool) -> None:
        self._patterns = patterns
        self._literal = literal
        self._compiled: Any = None

    def postpone(self) -> None:
        """Lets no text wait for `ready`, which somebody is about to call in another thread."""
        if self._compiled is None:
            self._compiled = _POSTPONED

    def ready(self) -> None:
        """Compiles, which takes a tenth of a second for two thousand words, once."""
        if self._compiled is None or self._compiled is _POSTPONED:
            self._compiled = False
            patterns = self._patterns() if _engine is not None else ()
            if patterns:
                self._compiled = _database(patterns, self._literal)

    def seen(self, raw: bytes) -> list[int] | None:
        """The positions of the patterns that occur, each once; None where somebody else has to look."""
        if self._compiled is None:
            self.ready()
        if not self._compiled:
            return None
        seen: list[int] = []
        try:
            self._compiled.scan(raw, _note, 0, seen)
        except _BUSY:
            return None
        return seen


def _note(pattern: int, _start: int, _end: int, _flags: int, seen: list[int]) -> None:
    # Each pattern reports once. A function of the module, because the engine needs one that outlives the call.
    seen.append(pattern)


def _database(patterns: Sequence[bytes], literal: bool) -> Any:
    """False where there is no fitting processor."""
    assert _engine is not None
    try:
        database = _engine.Database(mode=_engine.HS_MODE_BLOCK)
        database.compile(
            expressions=list(patterns),
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=_engine.HS_FLAG_SINGLEMATCH,
            literal=literal,
        )
    except _engine.HyperscanError:
        return False
    return database
