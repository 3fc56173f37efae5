"""What a process remembers of its shadow slices: what each workload's has cost today."""

from __future__ import annotations

from collections.abc import Callable

from signalbox.core.days import DAY_MS
from signalbox.core.shadowing import Shadow
from signalbox.routing.difficulty.labels import LabelBook


class Shadows:
    """draw: a number in [0, 1). book: where labels go."""

    def __init__(self, book: LabelBook, draw: Callable[[], float]) -> None:
        self.book = book
        self._draw = draw
        self._day = 0
        self._spent: dict[str, int] = {}

    def drawn(self, settings: Shadow) -> bool:
        return self._draw() < settings.share

    def spent(self, workload: str, now_ms: int) -> int:
        """In pico-dollars, today (UTC)."""
        if now_ms // DAY_MS != self._day:
            self._day = now_ms // DAY_MS
            self._spent.clear()
        return self._spent.get(workload, 0)

    def pay(self, workload: str, now_ms: int, pico: int) -> None:
        self._spent[workload] = self.spent(workload, now_ms) + pico
