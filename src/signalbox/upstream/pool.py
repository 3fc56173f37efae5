"""The connections of one deployment to one replica: reuse, a limit, and a fair queue for those who wait."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from signalbox.core.errors import UpstreamFault
from signalbox.core.snapshot import Origin
from signalbox.upstream.connection import Connection
from signalbox.upstream.origin import OriginLines

Opener = Callable[[Origin, float, Connection], Awaitable[None]]


class PoolStats(msgspec.Struct, frozen=True, gc=False):
    """open: sockets, connecting ones included. in_flight: exchanges. waiting: callers queued for a connection."""

    deployment: str
    origin: str
    open: int
    idle: int
    in_flight: int
    waiting: int


class Pool:
    """Never holds more than connections_max sockets. A freed connection or slot goes to whoever waits longest."""

    __slots__ = (
        "_idle",
        "_opener",
        "_slots",
        "_waiters",
        "connections_max",
        "lines",
        "loop",
        "name",
        "origin",
        "used_at",
    )

    def __init__(self, name: str, lines: OriginLines, opener: Opener, connections_max: int) -> None:
        self.name = name
        self.lines = lines
        self.origin = lines.origin
        self.connections_max = connections_max
        self.used_at = time.monotonic()
        self.loop = asyncio.get_running_loop()
        self._opener = opener
        self._slots = 0
        self._idle: list[Connection] = []
        # Each gets a live connection, or None for the right to open one.
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()

    def take(self) -> Connection | None:
        """The most recently used idle connection: the one least likely to be stale."""
        return self._idle.pop() if self._idle else None

    async def acquire(self, connect_s: float, *, fresh: bool = False) -> Connection:
        """A connection, waiting for at most connect_s in the queue and connect_s for the network.

        fresh: one that has never served. Raises UpstreamFault with sent False.
        """
        if fresh and self._slots >= self.connections_max and self._idle:
            self._idle[0].close()
        if self._slots >= self.connections_max:
            connection = await self._queue(connect_s)
            if connection is not None:
                if not fresh and not connection.closed:
                    return connection
                connection.close()
                return await self.acquire(connect_s, fresh=fresh)
        else:
            self._slots += 1
        connection = Connection(self)
        try:
            await self._opener(self.origin, connect_s, connection)
        except BaseException:
            connection.close()
            raise
        if connection.closed:
            raise UpstreamFault("connect", f"{self.origin.name}: closed as soon as it was open", sent=False)
        return connection

    def release(self, connection: Connection) -> None:
        """A connection whose exchange ended well."""
        if self._waiters:
            waiter = self._next_waiter()
            if waiter is not None:
                waiter.set_result(connection)
                return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    def discard(self, connection: Connection) -> None:
        """A connection that is closed, called exactly once for each: its slot goes on."""
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_slot()

    def reap(self, idle_before: float) -> None:
        """Closes connections that have been idle since before then."""
        for connection in [c for c in self._idle if c.idle_since < idle_before]:
            connection.close()

    def retire(self, addresses: list[str]) -> None:
        """Closes idle connections to addresses that the name no longer has."""
        for connection in [c for c in self._idle if c.peer not in addresses]:
            connection.close()

    def close(self) -> None:
        """Closes what is idle and turns away who waits. Exchanges in flight are their owners' to end."""
        self.reap(float("inf"))
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(UpstreamFault("connect", f"{self.origin.name}: shutting down", sent=False))

    @property
    def empty(self) -> bool:
        return self._slots == 0 and not self._waiters

    @property
    def load(self) -> int:
        """Exchanges in flight and queued: what to compare replicas by."""
        return self._slots - len(self._idle) + len(self._waiters)

    def stats(self) -> PoolStats:
        return PoolStats(
            deployment=self.name,
            origin=self.origin.name,
            open=self._slots,
            idle=len(self._idle),
            in_flight=self._slots - len(self._idle),
            waiting=len(self._waiters),
        )

    async def _queue(self, wait_s: float) -> Connection | None:
        loop = self.loop
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiters.append(waiter)
        timer = loop.call_later(wait_s, self._give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        finally:
            timer.cancel()

    def _give_up(self, waiter: asyncio.Future[Connection | None]) -> None:
        if not waiter.done():
            self._waiters.remove(waiter)
            message = f"{self.origin.name}: all {self.connections_max} connections stayed busy for connect_s"
            waiter.set_exception(UpstreamFault("connect", message, sent=False))

    def _withdraw(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Cancelled in the queue, perhaps in the very moment of being served: what it was given goes on."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            connection = waiter.result()
            if connection is None:
                self._free_slot()
            elif not connection.closed:
                self.release(connection)

    def _free_slot(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._slots -= 1

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None
