"""What a drill looks like while it runs: how far it is, and which breakers opened and closed when."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Protocol

import msgspec

from signalbox.control.breakers import GAUGE, Breakers, Change
from signalbox.core.link import AskMetrics, Exported, Order, Report
from signalbox.telemetry.metrics import Export

LOOK_EVERY_S = 0.1
TELL_EVERY_S = 0.5
DEPLOYMENTS_MAX = 200
CHANGES_MAX = 100


class Sight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One look at a drill. at_ms: since it began to call. calls: made so far. breakers: by deployment, the oldest
    change first, each with its time since the drill began; empty for one that was in service all the time."""

    at_ms: int = 0
    calls: int = 0
    findings: int = 0
    breakers: dict[str, list[Change]] = {}


class Watched(Protocol):
    """What a drill found, as far as it was watched: for how long, and which breakers opened and closed."""

    watched_ms: int
    breakers: dict[str, list[Change]]


Progress = Callable[[Sight], None]
Obey = Callable[[Order], Awaitable[Report]]


class Watch:
    """Asks the drilled gateway again and again which replicas are out of use. count: calls and findings so far."""

    def __init__(self, obey: Obey, count: Callable[[], tuple[int, int]], progress: Progress) -> None:
        self._obey = obey
        self._count = count
        self._progress = progress
        self._began = time.monotonic()
        self._breakers = Breakers(self.now_ms, CHANGES_MAX)
        self._names: dict[str, None] = {}

    @contextlib.asynccontextmanager
    async def beside(self, *others: Coroutine[None, None, None]) -> AsyncGenerator[None]:
        """Looks, and does what else has no end, while the drill calls."""
        running = asyncio.gather(*others, self._run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    def over(self, result: Watched) -> None:
        """Tells how it ended, and puts what was seen into the result."""
        sight = self.sight()
        self._progress(sight)
        result.watched_ms, result.breakers = sight.at_ms, sight.breakers

    async def _run(self) -> None:
        """Until cancelled."""
        told_at = 0.0
        while True:
            await self.look()
            now = time.monotonic()
            if now - told_at >= TELL_EVERY_S:
                told_at = now
                self._progress(self.sight())
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        answer = await self._obey(AskMetrics(1))
        if not isinstance(answer, Exported) or not answer.export:
            return
        series = msgspec.msgpack.decode(answer.export, type=Export).series
        out = {key[1]: int(value) for key, value in series if key[0] == GAUGE}
        for name in out:
            if len(self._names) < DEPLOYMENTS_MAX:
                self._names[name] = None
        self._breakers.note({name: count for name, count in out.items() if name in self._names})

    def opened_ms(self, deployment: str, since_ms: int) -> int | None:
        """When it was first seen out of use from then on."""
        changes = reversed(self._breakers.of(deployment))
        return next((one.time_ms for one in changes if one.out and one.time_ms >= since_ms), None)

    def sight(self) -> Sight:
        calls, findings = self._count()
        breakers = {name: list(reversed(self._breakers.of(name))) for name in self._names}
        return Sight(self.now_ms(), calls, findings, breakers)

    def now_ms(self) -> int:
        return round((time.monotonic() - self._began) * 1000)
