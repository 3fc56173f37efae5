"""Asks addresses that the operator names, but for models: identity providers, and whoever is told something.

The address is judged as an upstream's is, after resolution; redirects are not followed, proxies of the environment not
used, and an answer is read up to a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic

import msgspec

from signalbox.core.errors import UpstreamFault
from signalbox.core.snapshot import Origin, Timeouts
from signalbox.upstream.connect import Connector
from signalbox.upstream.connection import Connection
from signalbox.upstream.head import RequestHead, extend, request_head
from signalbox.upstream.origin import OriginLines
from signalbox.upstream.resolve import Resolver
from signalbox.upstream.response import UpstreamResponse
from signalbox.upstream.tls import TlsContexts

ANSWER_BYTES_MAX = 64 * 1024


class Heard(msgspec.Struct, frozen=True):
    """An answer. headers: names in lower case."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Asker:
    """Asks at one address. Each request has a connection of its own: they are few and far between."""

    def __init__(self, origin: Origin, path: str = "", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """path: behind the origin's own, a query included. Raises ValueError, which repeats no value, for what cannot
        stand in a request."""
        whole = f"{origin.path}{path}" or "/"
        self._origin = msgspec.structs.replace(origin, path="")
        self._lines = OriginLines(self._origin)
        self._head = request_head(whole.encode("ascii"), headers)
        self._resolver = Resolver()
        self._connector = Connector(self._resolver, TlsContexts())

    async def get(self, within_s: float, bytes_max: int) -> Heard:
        """Raises UpstreamFault when there is no answer in time, or one that is too long."""
        return await self._ask(b"GET ", b"", (), within_s, bytes_max)

    async def post(
        self,
        body: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        within_s: float,
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Heard:
        """Raises UpstreamFault when there is no answer in time, or one that is too long."""
        return await self._ask(b"POST ", body, headers, within_s, bytes_max)

    async def ask(
        self, method: bytes, path: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes, within_s: float
    ) -> Heard:
        """Another method, and a whole path of its own; the headers are these alone. Raises as `get` does, and
        ValueError, which repeats no value, for what cannot stand in a request."""
        return await self._send(method + b" ", request_head(path, headers), body, within_s, ANSWER_BYTES_MAX)

    async def _ask(
        self, method: bytes, body: bytes, headers: Iterable[tuple[bytes, bytes]], within_s: float, bytes_max: int
    ) -> Heard:
        return await self._send(method, extend(self._head, headers), body, within_s, bytes_max)

    async def _send(self, method: bytes, head: RequestHead, body: bytes, within_s: float, bytes_max: int) -> Heard:
        packet, rest = self._lines.render(method, head, body)
        try:
            async with asyncio.timeout(within_s):
                return await self._exchange(packet, rest, within_s, bytes_max)
        except TimeoutError:
            raise UpstreamFault("total_timeout", f"no answer within {within_s:g} s", sent=True) from None

    async def _exchange(self, packet: bytes, rest: bytes, within_s: float, bytes_max: int) -> Heard:
        connection = Connection(_Nowhere())
        await self._connector.open(self._origin, within_s, connection)
        timeouts = Timeouts(connect_s=within_s, headers_s=within_s, idle_s=within_s, total_s=within_s)
        loop = asyncio.get_running_loop()
        response = UpstreamResponse(loop, self._origin, timeouts, {}, monotonic(), False, False)
        try:
            waiter = response.begin(connection, monotonic())
            connection.exchange(response, packet, rest)
            await waiter
            if response.fault is not None:
                raise response.fault
            status, headers = response.status, response.headers
            return Heard(status, headers, await response.body(bytes_max))
        finally:
            connection.close()
            response.fault = None  # or what is raised would hold this frame, and this frame what is raised

    def close(self) -> None:
        self._resolver.close()


class _Nowhere:
    """The pool of a connection that is used once."""

    def release(self, connection: Connection) -> None:
        connection.close()

    def discard(self, connection: Connection) -> None:
        return
