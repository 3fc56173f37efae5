"""POSTs to addresses that the operator names for telling, never for asking: collectors and webhooks, not models.

The address is judged as an upstream's is, after resolution; redirects are not followed, proxies of the environment not
used, and of the answer only its status is believed.
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
from signalbox.upstream.head import extend, request_head
from signalbox.upstream.origin import OriginLines
from signalbox.upstream.resolve import Resolver
from signalbox.upstream.response import UpstreamResponse
from signalbox.upstream.tls import TlsContexts

ANSWER_BYTES_MAX = 64 * 1024
RETRY_AFTER_S_MAX = 300.0


class Posted(msgspec.Struct, frozen=True):
    """The answer. retry_after_s: how long it asks to wait, None when it does not."""

    status: int
    retry_after_s: float | None


class Poster:
    """Posts to one address. Each POST has a connection of its own: they are few and far between."""

    def __init__(self, origin: Origin, path: str = "", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """path: behind the origin's own. Raises ValueError, which repeats no value, for what cannot stand in a
        request."""
        whole = f"{origin.path}{path}" or "/"
        self._origin = msgspec.structs.replace(origin, path="")
        self._lines = OriginLines(self._origin)
        self._head = request_head(whole.encode("ascii"), headers)
        self._resolver = Resolver()
        self._connector = Connector(self._resolver, TlsContexts())

    async def post(self, body: bytes, headers: Iterable[tuple[bytes, bytes]], within_s: float) -> Posted:
        """Raises UpstreamFault when there is no answer in time."""
        packet, rest = self._lines.render(b"POST ", extend(self._head, headers), body)
        try:
            async with asyncio.timeout(within_s):
                return await self._exchange(packet, rest, within_s)
        except TimeoutError:
            raise UpstreamFault("total_timeout", f"no answer within {within_s:g} s", sent=True) from None

    async def _exchange(self, packet: bytes, rest: bytes, within_s: float) -> Posted:
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
            await response.body(ANSWER_BYTES_MAX)
            return Posted(status, _retry_after(headers))
        finally:
            connection.close()

    def close(self) -> None:
        self._resolver.close()


class _Nowhere:
    """The pool of a connection that is used once."""

    def release(self, connection: Connection) -> None:
        connection.close()

    def discard(self, connection: Connection) -> None:
        return


def _retry_after(headers: list[tuple[bytes, bytes]]) -> float | None:
    for name, value in headers:
        if name == b"retry-after" and value.isdigit() and len(value) < 9:
            return min(float(value), RETRY_AFTER_S_MAX)
    return None
