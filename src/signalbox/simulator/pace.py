"""One shared timer wheel, so that hundreds of paced streams cost the event loop at most one timer a millisecond."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

_SLOTS_PER_S = 1_000


class Wheel:
    """Calls back at a loop time, never early, up to 1 ms late. There is no cancel: a callback checks if it is late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Callable[[], None]]] = {}

    def now_s(self) -> float:
        return self._loop.time()

    def at(self, due_s: float, callback: Callable[[], None]) -> None:
        slot = math.ceil(due_s * _SLOTS_PER_S)
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [callback]
            self._loop.call_at(slot / _SLOTS_PER_S, self._fire, slot)
        else:
            waiting.append(callback)

    def soon(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback)

    def clear(self) -> None:
        self._slots.clear()

    def _fire(self, slot: int) -> None:
        for callback in self._slots.pop(slot, ()):
            callback()
