"""Connections of the control plane, bounded: how many there are, how long a head is, how slowly anything may come or be
taken.

The server below has no such bounds of its own, and this one may stand in the same process as the data plane: who knows
no secret must not be able to use up its memory or its descriptors.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CONNECTIONS_MAX = 512
HEAD_BYTES_MAX = 64 * 1024
# For a head to come whole, or a request to follow another one; for a body, the largest of which has 32 MiB; and for a
# pause of whoever takes an answer.
HEAD_S, BODY_S, WRITE_S = 10.0, 120.0, 60.0


class BoundedConnection(HttpToolsProtocol):
    """One connection. What is too slow is ended without a word."""

    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
        else:
            self._expect(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        answered = self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse_head(answered)
                return
        if self._deadline is None and answered:
            # What came began no request, and has stopped the clock that ends idle connections.
            self._expect(HEAD_S)

    def _refuse_head(self, answered: bool) -> None:
        if answered:
            self.send_400_response("The request head is too large.")
        else:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._expect(HEAD_S)

    def on_headers_complete(self) -> None:
        """Raises ValueError, which the parser turns into a 400, for what two servers could read differently."""
        assert self.parser is not None
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            raise ValueError("not one host")
        if not self.url.startswith(b"/"):
            raise ValueError("the request target is no path")
        self._in_head = False
        self._expect(BODY_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._disarm()
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None
        super().resume_writing()

    def _expect(self, within_s: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(within_s, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
