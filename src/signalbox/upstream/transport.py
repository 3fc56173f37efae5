"""The only way from this process to a model: sends what a permit allows, over pooled connections, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic
from typing import Any

from signalbox.core.errors import UpstreamFault
from signalbox.core.permit import Permit
from signalbox.core.ports import Entry
from signalbox.core.snapshot import Deployment, Origin
from signalbox.upstream.connect import Connector
from signalbox.upstream.connection import Connection
from signalbox.upstream.head import RequestHead
from signalbox.upstream.origin import METRICS, OriginLines
from signalbox.upstream.pool import Pool, PoolStats
from signalbox.upstream.resolve import ResolveError, Resolver
from signalbox.upstream.response import UpstreamResponse
from signalbox.upstream.time_share import TimeShare
from signalbox.upstream.tls import TlsContexts

# How often deadlines are looked at: a limit fires at most this late.
TICK_S = 0.1
# How often idle connections and the names behind them are looked at.
CARE_S = 5.0
# The only paths that a probe may ask for, behind the replica's own prefix.
PROBES = frozenset((b"/models", b"/v1/models", b"/health", METRICS))


class Unsent(asyncio.CancelledError):
    """Cancelled before the first byte of the request was given to a connection: it cost nothing.

    Whoever catches it goes on with a plain CancelledError: `asyncio.timeout` takes no other for its own.
    """


class Transport:
    """Connection pools of one event loop, one pool for each deployment and replica so that none delays another.

    connections_max_per_origin: sockets per pool. idle_s: how long a connection may wait for its next request.
    """

    __slots__ = (
        "_active",
        "_care_at",
        "_closing",
        "_connections_max",
        "_connector",
        "_idle_s",
        "_pools",
        "_refreshing",
        "_resolver",
        "_ticker",
        "_ticking",
    )

    def __init__(
        self,
        *,
        connections_max_per_origin: int = 512,
        idle_s: float = 55.0,
        resolver: Resolver | None = None,
        tls: TlsContexts | None = None,
    ) -> None:
        self._connections_max = connections_max_per_origin
        self._idle_s = idle_s
        self._resolver = resolver or Resolver()
        self._connector = Connector(self._resolver, tls or TlsContexts())
        self._pools: dict[tuple[str, Origin], Pool] = {}
        # In order of arrival; a dict because a set would not keep it.
        self._active: dict[UpstreamResponse, None] = {}
        self._ticker: asyncio.TimerHandle | None = None
        # Whether the timer runs at TICK_S; between exchanges it runs at CARE_S.
        self._ticking = False
        self._care_at = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._closing = False

    def send(
        self,
        permit: Permit,
        origin: Origin,
        head: RequestHead,
        *,
        stream: bool = False,
        until_content: bool = False,
        share: TimeShare | None = None,
        entry: Entry | None = None,
    ) -> Coroutine[Any, Any, UpstreamResponse]:
        """POSTs the permit's body to one replica of its deployment and waits for the head of the answer.

        stream: first_token_s applies, from the request written to the first body byte; with until_content, to the
        moment the caller calls `content_seen`. share: what this exchange may take of its client's time, where that is
        less than the deployment's own limits. entry: the record that has to be in the journal before the first byte
        leaves; None where it is.

        Raises UpstreamFault; LedgerError when the entry failed; ValueError when the origin is not one of the permitted
        deployment's. Cancelled at any point, it closes the socket at once, and raises Unsent when nothing had left.
        (Not itself a coroutine: this is the hottest path of the product, and one coroutine less is a measurable part of
        it.)
        """
        deployment = permit.deployment
        if origin not in deployment.replicas:
            raise ValueError("the permit is for another deployment")
        return self._exchange(deployment, origin, b"POST ", head, permit.body, stream, until_content, share, entry)

    async def probe(self, deployment: Deployment, origin: Origin, head: RequestHead) -> UpstreamResponse:
        """A GET without a body, for health and capability checks: it carries nothing of any call."""
        if origin not in deployment.replicas or head.path not in PROBES:
            raise ValueError("a probe asks one of the deployment's replicas for one of PROBES")
        try:
            return await self._exchange(deployment, origin, b"GET ", head, b"", False, False, None, None)
        except Unsent as gone:
            # Nobody pays for a probe, and whoever asks has a timeout.
            raise asyncio.CancelledError(*gone.args) from None

    def load(self, deployment: str, origin: Origin) -> int:
        """Exchanges in flight and queued on one replica: what to compare replicas by."""
        pool = self._pools.get((deployment, origin))
        return pool.load if pool is not None else 0

    def stats(self) -> list[PoolStats]:
        return [pool.stats() for pool in self._pools.values()]

    async def close(self) -> None:
        """Ends every exchange and closes every socket. Those who still wait get an UpstreamFault."""
        self._closing = True
        for response in list(self._active):
            response.abort()
            response.wake()
        for pool in self._pools.values():
            pool.close()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._resolver.close()
        await asyncio.sleep(0)  # lets the loop really close them

    async def _exchange(
        self,
        deployment: Deployment,
        origin: Origin,
        method: bytes,
        head: RequestHead,
        body: bytes,
        stream: bool,
        until_content: bool,
        share: TimeShare | None,
        entry: Entry | None,
    ) -> UpstreamResponse:
        if self._closing:
            raise UpstreamFault("connect", "shutting down", sent=False)
        timeouts = deployment.timeouts
        pool = self._pools.get((deployment.name, origin)) or self._new_pool(deployment, origin)
        pool.used_at = start = monotonic()
        response = UpstreamResponse(pool.loop, origin, timeouts, self._active, start, stream, until_content, share)
        packet, rest = pool.lines.render(method, head, body)
        connection = pool.take()
        if connection is None:
            try:
                if share is None or share.connect_s >= timeouts.connect_s:
                    connection = await self._acquire(pool, timeouts.connect_s)
                else:
                    connection = await self._acquire_in(pool, share, start)
            except asyncio.CancelledError as gone:
                raise Unsent(*gone.args) from None
            took_us = int((monotonic() - start) * 1e6)
            if connection.served:
                response.queue_us = took_us
            else:
                response.connect_us = took_us
        response.reused = connection.served > 0
        while True:
            if not self._ticking:
                self._start_ticking()
            waiter = response.begin(connection, monotonic())
            if entry is None:
                connection.exchange(response, packet, rest)
            else:
                response.wait_for(entry, packet, rest)
                entry = None
            try:
                await waiter
            except BaseException as gone:
                # Cancelled: whoever asked is gone, so the upstream must not go on working (and billing).
                response.abort()
                if response.waits and isinstance(gone, asyncio.CancelledError):
                    raise Unsent(*gone.args) from None
                raise
            fault = response.fault
            if fault is None:
                return response
            if response.retried or not response.stale:
                raise fault
            # The upstream had closed an idle connection while our request was on its way: it has not been answered,
            # and a fresh connection tells whether that was all. Once, and free of charge.
            connection = await self._fresh(pool, timeouts.connect_s, sent=not response.waits)
            response.begin_again()

    async def _acquire(self, pool: Pool, connect_s: float, *, fresh: bool = False) -> Connection:
        connection = await pool.acquire(connect_s, fresh=fresh)
        if self._closing:
            connection.close()
            raise UpstreamFault("connect", "shutting down", sent=False)
        return connection

    async def _acquire_in(self, pool: Pool, share: TimeShare, start: float) -> Connection:
        try:
            return await self._acquire(pool, share.connect_s)
        except UpstreamFault as fault:
            if share.connect_tells or monotonic() - start < share.connect_s:
                raise
            raise UpstreamFault("hurried", fault.message, sent=False) from None

    async def _fresh(self, pool: Pool, connect_s: float, *, sent: bool) -> Connection:
        """sent: bytes did go out on the stale connection; it had not closed while its request waited."""
        try:
            return await self._acquire(pool, connect_s, fresh=True)
        except UpstreamFault as fault:
            raise UpstreamFault(fault.kind, fault.message, sent=sent) from None
        except asyncio.CancelledError as gone:
            if not sent:
                raise Unsent(*gone.args) from None
            raise

    def _new_pool(self, deployment: Deployment, origin: Origin) -> Pool:
        try:
            lines = OriginLines(origin)
        except ValueError as error:
            raise UpstreamFault("connect", f"{deployment.name}: {error}", sent=False) from None
        pool = Pool(deployment.name, lines, self._connector.open, self._connections_max)
        self._pools[deployment.name, origin] = pool
        return pool

    # --- the clock: one timer for every limit of every exchange ---

    def _start_ticking(self) -> None:
        loop = asyncio.get_running_loop()
        if self._ticker is not None:
            self._ticker.cancel()
        self._ticking = True
        self._ticker = loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = monotonic()
        for response in [response for response in self._active if response.deadline <= now]:
            response.expire(now)
        if now >= self._care_at:
            self._care_at = now + CARE_S
            self._care(now)
        self._ticking = bool(self._active)
        if self._ticking:
            self._ticker = loop.call_later(TICK_S, self._tick)
        elif self._pools:
            self._ticker = loop.call_later(CARE_S, self._tick)
        else:
            self._ticker = None

    def _care(self, now: float) -> None:
        """Closes what idled too long, forgets pools nobody uses (a reload may have dropped their deployment)."""
        for key, pool in list(self._pools.items()):
            pool.reap(now - self._idle_s)
            if pool.empty and now - pool.used_at > self._idle_s:
                del self._pools[key]
        if self._pools and (self._refreshing is None or self._refreshing.done()):
            loop = asyncio.get_running_loop()
            self._refreshing = loop.create_task(self._follow_names())

    async def _follow_names(self) -> None:
        """Idle connections to an address that the name has left are closed, so that busy pools move along too."""
        for pool in list(self._pools.values()):
            try:
                pool.retire(await self._resolver.resolve(pool.lines.dialled_host))
            except ResolveError:
                continue
