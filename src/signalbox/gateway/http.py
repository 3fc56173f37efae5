"""HTTP/1.1 on the client's side: one connection, its limits and deadlines, and one request at a time.

A protocol of our own on httptools instead of a server framework, because a gateway must see a client leave at once,
bound every buffer, time out slow heads and slow readers, and spend microseconds doing it (decision 0001).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable
from time import monotonic
from typing import Any, Protocol, cast

import httptools

from signalbox.core.errors import BadRequest, BodyTooLarge, CallError, HeadersTooLarge, RequestTimeout
from signalbox.core.issuers import Certificate
from signalbox.gateway.framing import Headers, check_head, origin_form
from signalbox.gateway.http_limits import HttpLimits
from signalbox.gateway.outbox import Outbox
from signalbox.gateway.request import Request

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
VERSIONS = frozenset({"1.0", "1.1"})


class Server(Protocol):
    """What a connection needs of its server."""

    limits: HttpLimits
    connections: set[Connection]
    accepting: bool
    outbox: Outbox

    def busy(self) -> bool:
        """Whether answers come so close together that they are worth collecting."""
        ...

    def handle(self, request: Request, connection: Connection) -> Awaitable[None]: ...

    def refuse(self, connection: Connection, path: bytes, error: CallError) -> None:
        """Answer a request that never became one (bad framing, too large, too slow)."""
        ...

    def now_ns(self) -> int: ...


class Connection(asyncio.Protocol):
    """One client connection. The request's task is cancelled the moment the client is gone. certificate: what the
    client showed of itself; over TLS only (gateway/tls.py)."""

    certificate: Certificate | None = None
    __slots__ = (
        "_body",
        "_body_bytes",
        "_drained",
        "_feeding_bytes",
        "_headers",
        "_inflate",
        "_keep_alive",
        "_loop",
        "_moved",
        "_parser",
        "_pending",
        "_refused",
        "_server",
        "_target",
        "_upgrading",
        "_wire_bytes",
        "chunked",
        "closing",
        "deadline",
        "head_only",
        "phase",
        "started_at",
        "task",
        "transport",
        "unsent",
        "write_paused_at",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        # Both there once it is connected.
        self._loop: asyncio.AbstractEventLoop
        self._parser: httptools.HttpRequestParser
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        self.closing = self.unsent = False
        self.write_paused_at = 0.0
        self._drained: asyncio.Future[None] | None = None
        self._pending = bytearray()
        self._feeding_bytes = 0
        self._moved = False
        self._refused = False
        self._keep_alive = True
        self.chunked = True
        self.head_only = False
        self.phase = "idle"
        self.deadline = 0.0
        self.started_at = 0.0
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._wire_bytes = 0
        self._inflate: Any = None
        self._upgrading = False

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self.transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()  # once: asking for it is a system call
        server = self._server
        if not server.accepting or len(server.connections) >= server.limits.connections_max:
            self.transport.abort()
            return
        self.transport.set_write_buffer_limits(high=server.limits.write_high_bytes)
        server.connections.add(self)
        self.deadline = monotonic() + server.limits.head_s

    def data_received(self, data: bytes) -> None:
        if self.task is not None:
            self._hold(data)
        elif self.phase != "linger":
            self._feed(data)

    def eof_received(self) -> bool:
        # A client that closed its sending side is gone: nothing tells a half close from a close until a write fails.
        if self.task is not None:
            # The loop loses the connection when what was written is taken, and over TLS nothing tells how much that is.
            # Whoever does not read never takes it, and its request would go on until it is given up.
            self._pending.clear()
            self._keep_alive = False
            self.phase = "closing"
            self.deadline = monotonic() + self._server.limits.write_s
            self.task.cancel()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._server.connections.discard(self)
        self.resume_writing()
        del self._parser  # it holds this object, and this object it
        if self.task is not None and self.phase != "closing":  # else it is cancelled already, and books what it cost
            self.task.cancel()

    def pause_writing(self) -> None:
        self.write_paused_at = monotonic()

    def resume_writing(self) -> None:
        self.write_paused_at = 0.0
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    async def drain(self) -> None:
        """Waits while the client is slower than what was written to it."""
        if self.write_paused_at and not self.closing:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    # --- input ---

    def _hold(self, data: bytes) -> None:
        """Bytes that come while a request runs: a later request. Reading goes on, so that a close is seen."""
        self._pending += data
        if len(self._pending) > self._server.limits.pipelined_bytes_max:
            self.abort()

    def _feed(self, data: bytes) -> None:
        self._feeding_bytes = len(data)
        self._moved = False
        try:
            self._parser.feed_data(data)
            if self.phase in ("head", "body"):
                self._count_wire(len(data))
                self._set_deadline()
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except CallError as error:
            self._refuse(error)
        except httptools.HttpParserCallbackError as error:
            self._refuse(_cause_of(error))
        except httptools.HttpParserError:
            self._refuse(BadRequest("Malformed HTTP request.", close=True))

    def _count_wire(self, received: int) -> None:
        """Bounds what the parser takes in without telling: a header that never ends, framing without content."""
        limits = self._server.limits
        self._wire_bytes += received
        if self.phase == "head":
            wire_bytes_max = 2 * (limits.header_bytes_max + limits.target_bytes_max)
            if self._wire_bytes > wire_bytes_max or self._has_too_many_headers():
                raise HeadersTooLarge("The request headers are too large.", close=True)
        elif self._wire_bytes > 2 * (limits.header_bytes_max + limits.body_bytes_max):
            raise BodyTooLarge("The body's framing is larger than any body may be.", close=True)

    def _set_deadline(self) -> None:
        """By when more of a request has to come that did not come whole; most do, and never need a clock."""
        limits, now = self._server.limits, monotonic()
        if not self.started_at:
            self.started_at = now
            self.deadline = now + limits.head_s
        if self._moved:
            self.deadline = min(now + limits.body_idle_s, self.started_at + limits.body_total_s)

    def _has_too_many_headers(self) -> bool:
        """Of a head, whole or not. What came in few bytes need not be counted."""
        limits, headers = self._server.limits, self._headers
        if len(headers) > limits.headers_max:
            return True
        if self._wire_bytes + self._feeding_bytes <= limits.header_bytes_max:
            return False
        return sum([len(name) + len(value) + 4 for name, value in headers]) > limits.header_bytes_max

    def _decline_upgrade(self, rest: bytes) -> None:
        """An offer to switch protocols may be ignored, and is: JVM clients make it with every first request. The
        parser stops at it and leaves the body out, so the request is parsed again without the offer."""
        if not self._upgrading:
            self._refuse(BadRequest("Protocol upgrades are not offered.", close=True))
            return
        offered = (b"upgrade", b"connection", b"http2-settings")
        kept = [header for header in self._headers if header[0] not in offered]
        method, target = self._parser.get_method(), self._target
        self._parser = httptools.HttpRequestParser(self)
        if not self._keep_alive:
            kept.append((b"connection", b"close"))
        lines = b"".join([b"%b: %b\r\n" % header for header in kept])
        version = b"1.1" if self.chunked else b"1.0"
        self._feed(b"%b %b HTTP/%b\r\n%b\r\n%b" % (method, target, version, lines, rest))

    def _refuse(self, error: CallError) -> None:
        self._keep_alive = False
        if self._refused or self.closing:
            return
        self._refused = True
        if self.task is not None:
            # What is wrong came behind a good request (pipelining is not offered): answer that one, then close.
            return
        self._server.refuse(self, self._target.partition(b"?")[0], error)

    def on_message_begin(self) -> None:
        if self.task is not None:
            raise BadRequest("Pipelined requests are not taken.", close=True)
        self._reset()
        self.head_only = False
        self.phase = "head"
        self.started_at = 0.0

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > self._server.limits.target_bytes_max:
            raise HeadersTooLarge("The request target is too long.", close=True)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase == "head":  # a trailer must not say afterwards who calls or what the body is
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        limits = self._server.limits
        parser = self._parser
        if self._has_too_many_headers():
            raise HeadersTooLarge("The request headers are too large.", close=True)
        version = parser.get_http_version()
        if version not in VERSIONS:
            raise BadRequest("Only HTTP/1.1 and HTTP/1.0 are spoken here.", close=True)
        # HTTP/1.0 clients get a connection of their own for every request: their ways of keeping one are too many.
        self.chunked = version == "1.1"
        self._keep_alive = self.chunked and parser.should_keep_alive()
        self._upgrading = parser.should_upgrade()
        if self._upgrading and parser.get_method() == b"CONNECT":  # not an offer that can be ignored
            raise BadRequest("CONNECT asks for a proxy. Give clients this address as their base URL.", close=True)
        if not self._target.startswith(b"/"):
            self._target = origin_form(self._target)
        self._inflate, continues = check_head(self._headers, limits.body_bytes_max, http11=self.chunked)
        self.phase = "body"
        self._moved = True
        if continues and not self._upgrading:
            self.write(CONTINUE)

    def on_body(self, data: bytes) -> None:
        limits = self._server.limits
        if self._inflate is not None:
            data = self._decompress(data)
        self._body_bytes += len(data)
        if self._body_bytes > limits.body_bytes_max:
            raise BodyTooLarge(f"The body is larger than {limits.body_bytes_max} bytes.", close=True)
        if not self._body:
            self._body = data  # the usual case: it comes whole, and is never copied
        else:
            if self._body.__class__ is bytes:
                self._body = bytearray(self._body)
            self._body += data
        self._moved = True

    def _decompress(self, data: bytes) -> bytes:
        room = self._server.limits.body_bytes_max - self._body_bytes + 1
        try:
            out: bytes = self._inflate.decompress(data, room)
        except zlib.error:
            raise BadRequest("The body is not valid gzip.", close=True) from None
        if self._inflate.unconsumed_tail:
            raise BodyTooLarge("The decompressed body is too large.", close=True)
        if self._inflate.unused_data:
            raise BadRequest("The compressed body goes on after its end.", close=True)
        return out

    def on_message_complete(self) -> None:
        if self._refused or self._upgrading:
            return
        if self._inflate is not None and not self._inflate.eof:
            raise BadRequest("The compressed body is cut short.", close=True)
        path, _, query = self._target.partition(b"?")
        request = Request(
            self._parser.get_method(), path, query, self._headers, bytes(self._body), self._server.now_ns()
        )
        self._body = b""
        self.head_only = request.method == b"HEAD"
        self.phase = "run"
        self.deadline = 0.0
        self.task = self._loop.create_task(self._run(request))

    async def _run(self, request: Request) -> None:
        try:
            await self._server.handle(request, self)
        finally:
            self.task = None
            self._finished()

    def _finished(self) -> None:
        if self.closing or self.transport is None:
            return
        if not self._keep_alive or not self._server.accepting:
            self.close()
            return
        self.phase = "idle"
        self.deadline = monotonic() + self._server.limits.keep_alive_s
        if self._pending:
            data, self._pending = bytes(self._pending), bytearray()
            self._feed(data)

    # --- output ---

    @property
    def keep_alive(self) -> bool:
        return self._keep_alive and self._server.accepting

    def close_after_answer(self) -> None:
        self._keep_alive = False

    def write_soon(self, data: bytes) -> None:
        """Writes at the end of this turn of the loop, or before what is written next; at once where few others run."""
        server = self._server
        if server.busy():
            server.outbox.put(self, data)
        else:
            self.write(data)

    def write(self, data: bytes) -> None:
        if self.unsent:
            self._server.outbox.flush()
        if self.transport is not None and not self.closing:
            self.transport.write(data)

    def close(self) -> None:
        """Closes after what was written has gone out; the write deadline still holds."""
        if self.transport is None or self.closing:
            return
        if self.unsent:
            self._server.outbox.flush()
        if (self._refused or self._pending) and self.phase not in ("linger", "closing"):
            # The client may still be sending. Closing now would answer that with a reset, which takes the answer away.
            self.phase = "linger"
            self.deadline = monotonic() + self._server.limits.linger_s
            self._pending.clear()
            if self.transport.can_write_eof():
                self.transport.write_eof()
            return
        self.phase = "closing"
        self.deadline = monotonic() + self._server.limits.write_s
        self.transport.close()

    def abort(self) -> None:
        self.closing = True
        if self.transport is not None:
            self.transport.abort()

    def check_deadlines(self, now: float) -> None:
        """Called about once a second for every connection: slow heads, slow bodies, idle keep-alive, slow readers."""
        if self.write_paused_at and now - self.write_paused_at > self._server.limits.write_s:
            self.abort()
        elif self.deadline and now > self.deadline:
            if self.phase in ("head", "body"):
                self._refuse(RequestTimeout("The request took too long to arrive.", close=True))
            elif self.phase == "closing":
                self.abort()
            else:
                self.close()


def _cause_of(error: Exception) -> CallError:
    """What one of our callbacks refused, as the parser tells it."""
    cause = error.__context__
    return cause if isinstance(cause, CallError) else BadRequest("Malformed request.", close=True)
