"""The workers of one installation: started together, given all that they need before they take calls, started again
when they die, drained at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from signalbox.control.key_delivery import KeyDelivery
from signalbox.control.links import DeadLink, Link, LinkLost
from signalbox.control.tally import Tally
from signalbox.core.errors import ConfigError
from signalbox.core.link import Applied, ApplyConfig, Drain, EndLapsed, Listen, Order, Report, Stop
from signalbox.policy.stops import joined
from signalbox.telemetry.log import Log

# A worker that dies at once again and again is started again ever more slowly, up to this.
RESTART_S_MAX = 10.0
# How often it is told how many of the first workers do not serve yet.
STARTING_TOLD_S = 10.0


class Workers:
    """wanted: how many there are to be. spawn: starts one. keys: gives each one its keys. tally: keeps what those that
    are gone had counted."""

    def __init__(
        self, wanted: int, spawn: Callable[[], Awaitable[Link]], keys: KeyDelivery, tally: Tally, log: Log
    ) -> None:
        self.wanted = wanted
        self._spawn = spawn
        self._keys = keys
        self._tally = tally
        self._log = log
        self._links: list[Link] = []
        self._stops: list[Stop] = []
        self._restart_s = 0.0
        self._restart_at = 0.0

    @property
    def links(self) -> list[Link]:
        """To every one, and to what stands for one that could not be started."""
        return list(self._links)

    @property
    def alive(self) -> int:
        return sum(link.alive for link in self._links)

    async def start(self, config: ApplyConfig) -> None:
        """All at once; on a busy machine that takes its time, and says so. Each counts as soon as it takes calls.

        Raises ConfigError and LinkLost, and whatever spawn does."""
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._start_one(config)) for _ in range(self.wanted)]
        while (await asyncio.wait(tasks, timeout=STARTING_TOLD_S))[1]:
            self._log.info("workers are still starting", workers=sum(not task.done() for task in tasks))
        for task in tasks:
            task.result()

    async def _start_one(self, config: ApplyConfig) -> None:
        link = await self._spawn()
        try:
            await self._prepare(link, config)
        except (LinkLost, ConfigError):
            self._keys.forget(link)
            await link.stop()
            raise
        self._links.append(link)

    async def _prepare(self, link: Link, config: ApplyConfig) -> None:
        """Gives a worker all that it needs, and has it take calls."""
        await self._keys.admit(link)
        report = await link.ask(config)
        if isinstance(report, Applied) and report.error:
            raise ConfigError([report.error])
        for stop in self._stops:
            await link.ask(stop)
        await link.ask(Listen())

    async def let_go_of_dead(self) -> int:
        """How many died and are to be started again: 0 also while it is too early for that."""
        dead = [link for link in self._links if not link.alive]
        now = asyncio.get_running_loop().time()
        if not dead:
            if now > self._restart_at + RESTART_S_MAX:
                self._restart_s = 0.0
            return 0
        if now < self._restart_at:
            return 0
        for link in dead:
            self._links.remove(link)
            self._tally.forget(link)
            self._keys.forget(link)
            await link.stop()
        self._tally.own.add(("signalbox_worker_restarts_total",), len(dead))
        self._restart_s = min(max(0.1, self._restart_s * 2), RESTART_S_MAX)
        self._restart_at = now + self._restart_s
        return len(dead)

    async def start_again(self, count: int, config: ApplyConfig) -> None:
        """One after the other. One that cannot be started counts as dead, and is tried again later."""
        for _ in range(count):
            try:
                await self._start_one(config)
            except (LinkLost, ConfigError, OSError) as error:
                self._log.error("a worker could not be started", reason=str(error)[:500])
                self._links.append(DeadLink())

    async def apply(self, order: ApplyConfig | EndLapsed) -> str:
        """On every worker; returns the first reason why one cannot, empty when all could. Workers that are gone, or go
        meanwhile, are no reason."""
        for report in await self._ask_all(order):
            if isinstance(report, Applied) and report.error:
                return report.error
        return ""

    async def stop_calls(self, order: Stop, now_ms: int) -> None:
        """On every worker, and on those that are started until the time is over."""
        self._stops = joined(self._stops, order, now_ms)
        self._log.warning("calls are stopped", scope=order.scope, until_ms=order.until_ms)
        await self._ask_all(order)

    async def _ask_all(self, order: Order) -> list[Report | BaseException]:
        return await asyncio.gather(*(link.ask(order) for link in self._links), return_exceptions=True)

    def recall(self, accounts: list[str]) -> None:
        """Every worker gives back what it does not use of these budgets."""
        for link in self._links:
            link.recall(accounts)

    async def drain(self, grace_s: float) -> None:
        """Lets calls end, for so long, and ends the workers."""
        await asyncio.gather(*(self._drain(link, grace_s) for link in self._links))
        for link in self._links:
            await link.stop()

    async def _drain(self, link: Link, grace_s: float) -> None:
        try:
            await link.ask(Drain(grace_s))
        except LinkLost:
            self._log.warning("a worker was gone before it was drained")
