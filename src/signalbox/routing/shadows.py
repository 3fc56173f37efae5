"""What a process remembers of its shadow slices: what each workload's has cost today, and what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from signalbox.core.call import Call
from signalbox.core.shadowing import Shadow
from signalbox.routing.difficulty.labels import LabelBook

DAY_MS = 86_400_000
# So many comparisons go on at once; further draws come to nothing.
UNDER_WAY_MAX = 32


class Shadows:
    """draw: a number in [0, 1). book: where labels go."""

    def __init__(self, book: LabelBook, draw: Callable[[], float]) -> None:
        self.book = book
        self._draw = draw
        self._day = 0
        self._spent: dict[str, int] = {}
        self._tasks: dict[asyncio.Task[None], Call] = {}

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

    def later(self, call: Call, work: Coroutine[Any, Any, None]) -> bool:
        """Does something for a call for which no client is to wait; with too much of it at once, not at all."""
        if len(self._tasks) >= UNDER_WAY_MAX:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = call
        task.add_done_callback(self._tasks.pop)
        return True

    def end(self, is_meant: Callable[[Call], bool], why: str) -> None:
        """Ends what is under way for some calls; why: what the ledger says of it."""
        for task, call in list(self._tasks.items()):
            if is_meant(call):
                task.cancel(why)

    async def stop(self) -> None:
        """What is cancelled is booked before."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
