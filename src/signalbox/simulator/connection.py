"""One client connection: HTTP/1.1 parsed by httptools, answered through raw control of the socket.

Raw, because faults need it: a reset (SO_LINGER 0), a half close, byte-wise dribble. A client that closes its sending
side counts as gone, as it does for real providers' front ends.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import Protocol, cast

import httptools
import msgspec

_HEADER_BYTES_MAX = 131_072
_PIPELINED_MAX = 64
_LINGER_0 = struct.pack("ii", 1, 0)


class HttpRequest(msgspec.Struct, gc=False):
    """served: how many requests this connection has answered before. connection: its number. provider: the one
    that this port belongs to, '' where the path names it."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keep_alive: bool
    chunked_ok: bool
    served: int
    connection: int
    provider: str


class Running(Protocol):
    """A request being answered."""

    def client_gone(self) -> None: ...

    def writable(self) -> None: ...


class Service(Protocol):
    """Answers requests through the connection they came on."""

    body_bytes_max: int
    connections: set[Connection]

    def next_connection(self) -> int: ...

    def handle(self, connection: Connection, request: HttpRequest) -> Running | None: ...


class Connection(asyncio.Protocol):
    """Requests are answered one after another; pipelined ones wait, a bounded number of them."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_header_bytes",
        "_headers",
        "_parser",
        "_provider",
        "_queue",
        "_refused",
        "_running",
        "_service",
        "_target",
        "_transport",
        "busy",
        "number",
        "paused",
        "served",
    )

    def __init__(self, service: Service, provider: str) -> None:
        self._service = service
        self._provider = provider
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[HttpRequest] = deque()
        self._running: Running | None = None
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._refused = False
        self.busy = False
        self.paused = False
        self.served = 0
        self.number = service.next_connection()

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._service.connections.discard(self)
        self._gone()

    def eof_received(self) -> bool:
        self._gone()
        return False

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(b"501 Not Implemented")
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request")

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self._running is not None:
            self._running.writable()

    # --- httptools ---

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = []
        self._header_bytes = 0
        self._body = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._header_bytes += len(url)
        if self._header_bytes > _HEADER_BYTES_MAX:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > _HEADER_BYTES_MAX:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        for name, value in self._headers:
            if name == b"expect" and value.lower() == b"100-continue":
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._service.body_bytes_max:
            self._refuse(b"413 Content Too Large")
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        parser = self._parser
        body = self._body
        request = HttpRequest(
            method=parser.get_method().decode("latin-1"),
            target=self._target.decode("latin-1"),
            headers=self._headers,
            body=body[0] if len(body) == 1 else b"".join(body),
            keep_alive=parser.should_keep_alive(),
            chunked_ok=parser.get_http_version() != "1.0",
            served=self.served,
            connection=self.number,
            provider=self._provider,
        )
        self._body = []
        if not self.busy:
            self._start(request)
        elif len(self._queue) < _PIPELINED_MAX:
            self._queue.append(request)
        else:
            self._refuse(b"429 Too Many Requests")

    def _refuse(self, status: bytes) -> None:
        """Ends the connection: what follows on it cannot be trusted to be a request."""
        if not self._refused:
            self._refused = True
            self.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
            self.close()

    def _start(self, request: HttpRequest) -> None:
        self.busy = True
        running = self._service.handle(self, request)
        if self.busy:
            self._running = running

    def _start_next(self) -> None:
        if self._queue and not self.busy and self._transport is not None:
            self._start(self._queue.popleft())

    def _gone(self) -> None:
        self._queue.clear()
        running, self._running = self._running, None
        if running is not None:
            running.client_gone()

    # --- for the exchange ---

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def done(self, keep_alive: bool) -> None:
        """The answer is written whole."""
        self.busy = False
        self._running = None
        self.served += 1
        if not keep_alive:
            self.close()
        elif self._queue:
            asyncio.get_running_loop().call_soon(self._start_next)

    def close(self) -> None:
        """FIN after what is written has left."""
        if self._transport is not None:
            self._transport.close()

    def close_if_idle(self) -> None:
        if not self.busy:
            self.close()

    def half_close(self) -> None:
        """FIN, but go on reading."""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def reset(self) -> None:
        """RST instead of FIN."""
        transport = self._transport
        if transport is not None:
            sock = cast("socket.socket | None", transport.get_extra_info("socket"))
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            transport.abort()
