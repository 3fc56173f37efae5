"""One connection to one replica: writes a request, parses the answer, and goes back to its pool by itself."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from time import monotonic
from typing import Protocol, cast

import httptools

from signalbox.upstream.inflate import InflateError, Inflater
from signalbox.upstream.response import Refused, UpstreamResponse

HEAD_BYTES_MAX = 64 * 1024
# Unread body beyond which the socket is no longer read, so that a slow client slows the upstream, not our memory.
UNREAD_BYTES_MAX = 256 * 1024
REST_BYTES_MAX = 64 * 1024

# Where the parser is. The last two: the answer is complete, and the connection must close or may serve again.
_IN_HEAD, _IN_BODY, _LAST, _COMPLETE = range(4)
_BODYLESS = (204, 304)


class Home(Protocol):
    """Where a connection belongs; its pool."""

    def release(self, connection: Connection) -> None: ...

    def discard(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """Serves one exchange at a time. closed: no more exchanges. peer: the address connected to. served: exchanges
    that ended well. idle_since: monotonic second, set by the pool. paused: the socket is not being read."""

    __slots__ = (
        "_framed",
        "_into",
        "_loose_bytes",
        "_pairs",
        "_parser",
        "_response",
        "_state",
        "_transport",
        "_unwritten",
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
        self.closed = self.paused = False
        self.idle_since = 0.0
        self.served = 0
        # Both there once it is connected.
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        # The answer being received, None between exchanges; and the last one, for callbacks that come during one.
        self._response: UpstreamResponse | None = None
        self._into: UpstreamResponse
        self._pairs: list[tuple[bytes, bytes]] = []
        self._state = _IN_HEAD
        # The end of the body is marked, by length or by chunks: without that it ends with the connection.
        self._framed = False
        # Bytes of the head, then bytes since the last byte of body: both must stay within bounds.
        self._loose_bytes = 0
        self._unwritten = False

    # --- what the transport and the response call ---

    def exchange(self, response: UpstreamResponse, start: bytes, rest: bytes) -> None:
        """Writes one request in one or two pieces. The answer arrives in `response`."""
        self._state = _IN_HEAD
        self._loose_bytes = 0
        self._pairs.clear()
        self._response = self._into = response
        transport = self._transport
        transport.write(start)
        if rest:
            transport.write(rest)
            self._unwritten = True

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
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.close()  # bytes that nobody asked for: never the start of the next answer
            return
        if not response.heard_at:
            response.heard_at = monotonic()
        state_before = self._state
        unread_before = response.unread
        self._loose_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._state < _LAST:
                self._protocol_fault(_reason(error))
                return
            self._state = _LAST  # the answer was complete, and then came something else
        if self._state >= _LAST:
            self._finish(response)
        elif response.unread != unread_before:
            self._loose_bytes = 0
            response.progressed(body=True)
            if response.unread > UNREAD_BYTES_MAX and not self.paused:
                self.paused = True
                self._transport.pause_reading()
        elif self._state != state_before:
            self._loose_bytes = 0
            response.progressed(body=False)
        elif self._loose_bytes > HEAD_BYTES_MAX:
            self._protocol_fault("the head is too long" if self._state == _IN_HEAD else "too much between body bytes")

    def eof_received(self) -> None:
        # Half-closed is closed, and at once: asyncio would first try to finish writing a request nobody reads.
        self._ended(None)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.paused and exc is None:
            self._read_rest()
        self._ended(exc)
        self.close()
        del self._parser  # it holds this object, and this object it

    def _read_rest(self) -> None:
        """What came over TLS while nothing was to be read: some event loops close at the end of a connection without
        handing it on. They hold no more than what they had taken in before they stopped reading too."""
        inside: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        if inside is not None:
            with contextlib.suppress(ssl.SSLError):
                while self._response is not None and (data := inside.read(REST_BYTES_MAX)):
                    self.data_received(data)

    def _ended(self, exc: Exception | None) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        stale = self.served > 0 and not response.heard_at
        if exc is not None or self._state == _IN_HEAD:
            what = "the connection was reset" if exc is not None else "the connection was closed before an answer"
            if not self.served and not response.heard_at and self._transport.get_extra_info("ssl_object") is not None:
                # TLS 1.3 tells a client only after its handshake, in an alert that event loops may keep to themselves.
                what += ", as by servers that ask for a client certificate (none is sent)"
            response.lost("reset", what, stale=stale)
        elif self._framed:
            response.lost("truncated", "the connection was closed before the end of the body")
        else:
            response.finish()  # a body that ends with the connection

    # --- httptools ---

    def on_message_begin(self) -> None:
        if self._state >= _LAST:
            raise Refused("bytes after the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here too, after the head was taken: nothing reads them, and _loose_bytes bounds them.
        self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            if status < 100 or status == 101:
                raise Refused("the upstream switched protocols")
            self._pairs.clear()
            return
        headers = [(name.lower(), value) for name, value in self._pairs]
        # The batch that ended the head may have brought much body too: only the head's share counts.
        if self._loose_bytes > HEAD_BYTES_MAX and sum([len(n) + len(v) + 4 for n, v in headers]) > HEAD_BYTES_MAX:
            raise Refused("the head is too long")
        known = dict(headers)
        self._framed = b"content-length" in known or status in _BODYLESS
        if b"transfer-encoding" in known:
            _check_chunked(headers)
            self._framed = True
        inflater = None
        if b"content-encoding" in known and status not in _BODYLESS:
            inflater = _inflater(headers)
        self._state = _IN_BODY
        self._into.head_complete(status, headers, inflater)

    def on_body(self, data: bytes) -> None:
        self._into.body_arrived(data)

    def on_message_complete(self) -> None:
        if self._state == _IN_BODY:  # in the head still: it was a 1xx, the answer is yet to come
            self._state = _COMPLETE if self._parser.should_keep_alive() else _LAST

    # --- inside ---

    def _finish(self, response: UpstreamResponse) -> None:
        self._response = None
        self.served += 1
        response.finish()
        if self._unwritten:
            self._unwritten = False
            if self._transport.get_write_buffer_size() > 0:
                self._state = _LAST  # answered before it had read the request: the rest of it must not be read as one
        if self._state == _COMPLETE and not self.closed:
            if self.paused:
                self.resume()
            self.pool.release(self)
        else:
            self.close()

    def _protocol_fault(self, reason: str) -> None:
        response = self._response
        self.close()
        if response is not None:
            response.lost("protocol", reason)


def _check_chunked(headers: list[tuple[bytes, bytes]]) -> None:
    """Raises Refused unless exactly one header frames the body: two that disagree are how answers get smuggled."""
    framing = [value for name, value in headers if name in (b"transfer-encoding", b"content-length")]
    if len(framing) != 1:
        raise Refused("contradicting lengths of the body")
    if framing[0].strip().lower() != b"chunked":
        raise Refused("unknown transfer-encoding")


def _inflater(headers: list[tuple[bytes, bytes]]) -> Inflater | None:
    values = [value.strip().lower() for name, value in headers if name == b"content-encoding"]
    encodings = [value for value in values if value and value != b"identity"]
    if not encodings:
        return None
    if len(encodings) > 1:
        raise Refused("more than one content-encoding")
    try:
        return Inflater(encodings[0])
    except InflateError as error:
        raise Refused(str(error)) from None


def _reason(error: Exception) -> str:
    cause = error.__context__
    return str(cause) if isinstance(cause, Refused) else "the answer is not valid HTTP/1.1"
