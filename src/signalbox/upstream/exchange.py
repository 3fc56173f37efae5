"""One request and its answer on one connection: protocol callbacks fill the response, the request's task empties it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast

import httptools

from signalbox.core.errors import UpstreamFault
from signalbox.core.snapshot import Timeouts
from signalbox.upstream.inflate import InflateError, Inflater

HEAD_BYTES_MAX = 64 * 1024
# Unread body beyond which the socket is no longer read, so that a slow client slows the upstream, not our memory.
UNREAD_BYTES_MAX = 256 * 1024
# Bodies above this are not copied behind their head, and their writing is checked before a connection is reused.
LARGE_BODY_BYTES = 64 * 1024

_NEVER = float("inf")
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"content-encoding"))
_BODYLESS = (204, 304)

# What may follow the announced end of an answer before its connection is given up.
LINGER_S = 1.0
LINGER_BYTES_MAX = 16 * 1024

_WAIT_HEAD, _WAIT_FIRST, _IN_BODY, _LINGER = range(4)


class Home(Protocol):
    """Where a connection belongs; its pool."""

    def release(self, connection: Connection) -> None: ...

    def discard(self, connection: Connection) -> None: ...


class _Refused(Exception):
    """Raised inside a parser callback to stop it; the reason is ours and safe to show."""


class UpstreamResponse:
    """An answer that may still be arriving. Owned by one task; call `release` when done with it, read fully or not.

    status and headers (names in lower case) are set once `Transport.send` returns. connect_us: time until a
    connection was at hand (0 for one from the pool). ttfb_us: from the request written to the first byte of the
    answer. reused: it came over a connection that had served before. retried: a stale connection cost a second try.
    """

    __slots__ = (
        "_active",
        "_chunks",
        "_connection",
        "_done",
        "_fault",
        "_first_by",
        "_headers_by",
        "_idle_s",
        "_inflater",
        "_lingered",
        "_loop",
        "_name",
        "_phase",
        "_total_by",
        "_until_content",
        "_waiter",
        "_written_at",
        "connect_us",
        "deadline",
        "headers",
        "retried",
        "reused",
        "stale",
        "status",
        "ttfb_us",
        "unread",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        active: dict[UpstreamResponse, None],
        total_by: float,
        *,
        until_content: bool,
    ) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.connect_us = 0
        self.ttfb_us = 0
        self.reused = False
        self.retried = False
        self._loop = loop
        self._name = name
        self._active = active
        self._total_by = total_by
        self._until_content = until_content
        self._connection: Connection | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._fault: UpstreamFault | None = None
        self._done = False
        self.stale = False
        self._inflater: Inflater | None = None
        self._chunks: list[bytes] = []
        self.unread = 0
        self._phase = _WAIT_HEAD
        self.deadline = self._headers_by = self._first_by = self._written_at = _NEVER
        self._idle_s = 0.0
        self._lingered = 0

    # --- what the request's task calls ---

    async def chunk(self) -> bytes:
        """Everything of the body that arrived since the last call; b"" once, and for ever, at its clean end.

        Raises UpstreamFault. When the waiting task is cancelled the socket is closed at once.
        """
        while True:
            if self._inflater is not None:
                piece = self._decoded()
                if piece:
                    return piece
            elif self._chunks:
                return self._take()
            if self._fault is not None:
                raise self._fault
            if self._done:
                return b""
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            except BaseException:
                # Cancelled: whoever asked is gone, so the upstream must not go on working (and billing).
                self.abort()
                raise

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. Raises UpstreamFault, of kind protocol when it is longer than bytes_max."""
        if self._done and self._chunks and self._fault is None:
            first = piece = self._take()  # the usual case: it is all here
        else:
            first = piece = await self.chunk()
        pieces, size = [first], len(first)
        while piece and size <= bytes_max and not (self._done and self.unread == 0 and self._inflater is None):
            piece = await self.chunk()
            pieces.append(piece)
            size += len(piece)
        if size > bytes_max:
            self.abort()
            raise UpstreamFault("protocol", f"{self._name}: the answer is longer than {bytes_max} bytes", sent=True)
        return first if len(first) == size else b"".join(pieces)

    def content_seen(self) -> None:
        """Ends the first-token limit of a response that was sent with until_content."""
        self._until_content = False
        if self._phase == _WAIT_FIRST:
            self._phase = _IN_BODY
            self._arm(time.monotonic() + self._idle_s)

    def abort(self) -> None:
        """Closes the socket at once unless the answer is complete. Idempotent, never raises, never waits."""
        connection = self._connection
        if connection is not None:
            self._fail("reset", "closed by this side")
            connection.close()

    def release(self, *, ended: bool = False) -> None:
        """The caller wants no more of this answer. Idempotent, never raises, never waits.

        ended: the answer said itself that it is over (`[DONE]`, `message_stop`), and only the end of its HTTP body
        may be missing: that is given a moment to arrive, so that the connection can serve again. Otherwise an
        unfinished answer is aborted.
        """
        if ended and self._connection is not None and self._fault is None:
            self._chunks.clear()
            self._inflater = None
            self._drained()
            self._phase = _LINGER
            self.deadline = min(time.monotonic() + LINGER_S, self._total_by)
            self._lingered = 0
        else:
            self.abort()

    # --- what the transport and the connection call ---

    async def head(self) -> None:
        """Waits for the head of the answer. Raises UpstreamFault; cancelled, it closes the socket at once."""
        while self._phase == _WAIT_HEAD:
            if self._fault is not None:
                raise self._fault
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            except BaseException:
                # Cancelled: whoever asked is gone, so the upstream must not go on working (and billing).
                self.abort()
                raise

    def begin(self, connection: Connection, timeouts: Timeouts, *, stream: bool) -> None:
        """The request is about to be written on this connection: the limits of the answer start to run."""
        now = time.monotonic()
        self._connection = connection
        self._fault = None
        self.stale = False
        self._idle_s = timeouts.idle_s
        self._written_at = now
        self._headers_by = now + timeouts.headers_s
        self._first_by = now + timeouts.first_token_s if stream else _NEVER
        self._arm(min(self._headers_by, self._first_by))

    def heard(self) -> None:
        self.ttfb_us = int((time.monotonic() - self._written_at) * 1e6)

    def head_complete(self, status: int, inflater: Inflater | None) -> None:
        self.status = status
        self._inflater = inflater
        self._phase = _IN_BODY if self._first_by == _NEVER else _WAIT_FIRST

    def body_arrived(self, data: bytes) -> None:
        if self._phase == _LINGER:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES_MAX:
                raise _Refused("the answer went on after its own end")
            return
        if self._inflater is None:
            self._chunks.append(data)
        else:
            self._inflater.feed(data)
        self.unread += len(data)

    def progressed(self, *, body: bool) -> None:
        """After a batch that ended the head or held some body: the idle limit starts anew, the reader wakes."""
        by = time.monotonic() + self._idle_s
        if self._phase == _WAIT_FIRST:
            if self._until_content:
                by = min(by, self._first_by)
            elif body:
                self._phase = _IN_BODY
            else:
                by = self._first_by
        self.deadline = by if by < self._total_by else self._total_by
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def finish(self) -> None:
        """The answer is complete; its connection is somebody else's from here."""
        self._connection = None
        self._done = True
        self._active.pop(self, None)
        self.wake()

    def lost(self, kind: str, what: str, *, stale: bool = False) -> None:
        """The connection died under the answer; stale: it had served before and not one byte came back this time."""
        self.stale = stale
        self._fail(kind, what)
        self.wake()

    def expired(self, now: float) -> bool:
        """Called by the transport's clock when the deadline has passed; False when it turns out to lie ahead."""
        if now < self.deadline:
            return False
        kind, what = self._overdue(now)
        if not kind:
            return False
        connection = self._connection
        self._fail(kind, what)
        if connection is not None:
            connection.close()
        self.wake()
        return True

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    # --- inside ---

    def _take(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._drained()
        return data

    def _decoded(self) -> bytes:
        inflater = cast("Inflater", self._inflater)
        try:
            piece = inflater.take()
            if not piece:
                self._drained()
                if self._done and self._fault is None and not inflater.complete:
                    self._fault = UpstreamFault("truncated", f"{self._name}: the compressed body is cut", sent=True)
        except InflateError as error:
            self.abort()
            self._fault = UpstreamFault("protocol", f"{self._name}: {error}", sent=True)
            raise self._fault from None
        return piece

    def _drained(self) -> None:
        self.unread = 0
        connection = self._connection
        if connection is not None and connection.paused:
            # While we did not read, the upstream could not be heard: its silence counts from now.
            self._arm(time.monotonic() + self._idle_s)
            connection.resume()

    def _arm(self, phase_by: float) -> None:
        self.deadline = phase_by if phase_by < self._total_by else self._total_by

    def _overdue(self, now: float) -> tuple[str, str]:
        """Which limit has passed, or ("", "") when it is the reader who is slow and not the upstream."""
        if now >= self._total_by:
            return "total_timeout", "the answer took longer than total_s"
        if self._phase == _WAIT_HEAD:
            if now >= self._headers_by:
                return "headers_timeout", "no complete response head within headers_s"
            return "first_token_timeout", "no first token within first_token_s"
        if self._phase == _WAIT_FIRST and now >= self._first_by:
            return "first_token_timeout", "no first token within first_token_s"
        if self.unread:
            self._arm(now + self._idle_s)
            return "", ""
        return "idle_timeout", "no body byte within idle_s"

    def _fail(self, kind: str, what: str) -> None:
        self._connection = None
        if self._fault is None:
            self._fault = UpstreamFault(kind, f"{self._name}: {what}", sent=True)
        self._active.pop(self, None)


class Connection(asyncio.Protocol):
    """One connection to one origin; serves one exchange at a time and goes back to its pool by itself."""

    __slots__ = (
        "_complete",
        "_encoding",
        "_framed",
        "_head_bytes",
        "_head_done",
        "_headers",
        "_heard",
        "_keep_alive",
        "_large_body",
        "_parser",
        "_quiet_bytes",
        "_response",
        "_surplus",
        "_transport",
        "closed",
        "idle_since",
        "paused",
        "peer",
        "pool",
        "served",
    )

    def __init__(self, pool: Home) -> None:
        self.pool = pool
        self.peer = ""
        self.closed = False
        self.idle_since = 0.0
        self.served = 0
        self._transport: asyncio.Transport  # there once it is connected
        self._response: UpstreamResponse | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)
        self.paused = self._large_body = False
        self._reset()

    def _reset(self) -> None:
        self._head_done = self._complete = self._surplus = self._framed = False
        self._heard = self._keep_alive = False
        self._encoding = b""
        self._head_bytes = self._quiet_bytes = 0

    # --- what the transport and the response call ---

    def exchange(self, response: UpstreamResponse, head: bytes, body: bytes) -> None:
        """Writes one request. The answer arrives in `response`."""
        transport = self._transport
        self._reset()
        self._headers = response.headers
        self._response = response
        self._large_body = len(body) > LARGE_BODY_BYTES
        if self._large_body:
            transport.write(head)
            transport.write(body)
        else:
            transport.write(head + body)

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Drops the connection and what it still had to write; its slot is free at once."""
        self._response = None
        if not self.closed:
            self.closed = True
            self.pool.discard(self)
        transport = getattr(self, "_transport", None)
        if transport is not None:
            transport.abort()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.close()  # bytes that nobody asked for: never the start of the next answer
            return
        if not self._heard:
            self._heard = True
            response.heard()
        head_was_done = self._head_done
        if not head_was_done:
            self._head_bytes += len(data)
        unread = response.unread
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self._protocol_fault(_reason(error))
                return
            self._surplus = True
        if self._complete:
            self._finish(response)
        elif response.unread != unread:
            self._quiet_bytes = 0
            response.progressed(body=True)
            if response.unread > UNREAD_BYTES_MAX and not self.paused:
                self.paused = True
                self._transport.pause_reading()
        else:
            self._without_body(response, len(data), head_was_done)

    def _without_body(self, response: UpstreamResponse, size: int, head_was_done: bool) -> None:
        """A batch that brought no body byte: part of the head, or chunk extensions and trailers without end."""
        if not self._head_done:
            if self._head_bytes > HEAD_BYTES_MAX:
                self._protocol_fault("the response head is too long")
        elif head_was_done:
            self._quiet_bytes += size
            if self._quiet_bytes > HEAD_BYTES_MAX:
                self._protocol_fault("too many bytes between body bytes")
        else:
            response.progressed(body=False)

    def eof_received(self) -> None:
        # Half-closed is closed, and at once: asyncio would first try to finish writing a request nobody reads.
        self._ended(None)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        self.close()
        del self._parser  # it holds this object, and this object it

    def _ended(self, exc: Exception | None) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        if exc is not None:
            response.lost("reset", "the connection was reset", stale=self.served > 0 and not self._heard)
        elif not self._head_done:
            what = "the connection was closed before an answer"
            response.lost("reset", what, stale=self.served > 0 and not self._heard)
        elif self._framed:
            response.lost("truncated", "the connection was closed before the end of the body")
        else:
            response.finish()  # a body that ends with the connection

    # --- httptools ---

    def on_message_begin(self) -> None:
        if self._complete:
            self._surplus = True
            raise _Refused("bytes after the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return  # a trailer: nothing in it is ours to use
        name = name.lower()
        if name in _FRAMING:
            self._framing(name, value)
        self._headers.append((name, value))

    def _framing(self, name: bytes, value: bytes) -> None:
        if name == b"content-encoding":
            encoding = value.strip().lower()
            if encoding and encoding != b"identity":
                if self._encoding:
                    raise _Refused("more than one content-encoding")
                self._encoding = encoding
            return
        if self._framed:
            raise _Refused("contradicting lengths of the body")
        self._framed = True
        if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise _Refused("unknown transfer-encoding")

    def on_headers_complete(self) -> None:
        response = cast("UpstreamResponse", self._response)
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101 or status < 100:
                raise _Refused("the upstream switched protocols")
            self._headers.clear()
            self._framed = False
            self._encoding = b""
            return
        if self._head_bytes > HEAD_BYTES_MAX and self._headers_size() > HEAD_BYTES_MAX:
            raise _Refused("the response head is too long")
        self._head_done = True
        if status in _BODYLESS:
            self._framed = True
        inflater = None
        if self._encoding and status not in _BODYLESS:
            try:
                inflater = Inflater(self._encoding)
            except InflateError as error:
                raise _Refused(str(error)) from None
        response.head_complete(status, inflater)

    def _headers_size(self) -> int:
        """The batch that ended the head may have brought much body too: only its share counts."""
        return sum(len(name) + len(value) + 4 for name, value in self._headers)

    def on_body(self, data: bytes) -> None:
        cast("UpstreamResponse", self._response).body_arrived(data)

    def on_message_complete(self) -> None:
        if self._head_done:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

    # --- inside ---

    def _finish(self, response: UpstreamResponse) -> None:
        self._response = None
        self.served += 1
        transport = self._transport
        unwritten = self._large_body and transport.get_write_buffer_size() > 0
        if self._keep_alive and not self._surplus and not unwritten and not transport.is_closing():
            if self.paused:
                self.resume()
            response.finish()
            self.pool.release(self)
        else:
            response.finish()
            self.close()

    def _protocol_fault(self, reason: str) -> None:
        response = self._response
        self.close()
        if response is not None:
            response.lost("protocol", reason)


def _reason(error: Exception) -> str:
    cause = error.__context__
    if isinstance(cause, _Refused):
        return str(cause)
    return "the answer is not valid HTTP/1.1"
