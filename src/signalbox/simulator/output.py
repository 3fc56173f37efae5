"""Bytes on their way out: the response head, and a dribble for faults that slice or slow what is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

from signalbox.simulator.connection import Connection
from signalbox.simulator.pace import Wheel

_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
_BANDWIDTH_TICK_S = 0.01


def head(
    status: int,
    content_type: str,
    length: int,
    request_id: str,
    headers: Iterable[tuple[str, str]],
    chunked: bool,
    keep_alive: bool,
) -> bytes:
    """length -1: not known, so chunked, or ended by the close where the client cannot read chunks."""
    text = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n"
        f"content-type: {content_type}\r\nx-request-id: {request_id}\r\nrequest-id: {request_id}\r\n"
    )
    if length >= 0:
        text += f"content-length: {length}\r\n"
    elif chunked:
        text += "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n"
    for name, value in headers:
        text += f"{name}: {value}\r\n"
    return (text + ("\r\n" if keep_alive else "connection: close\r\n\r\n")).encode("latin-1", "replace")


class Dribble:
    """Writes slice by slice: the response head byte by byte with head_gap_s between, the rest in slices of
    slice_bytes one event loop round apart, or at bytes_per_s."""

    def __init__(
        self, connection: Connection, wheel: Wheel, slice_bytes: int, bytes_per_s: int, head_gap_s: float
    ) -> None:
        self._connection = connection
        self._wheel = wheel
        self._slice = slice_bytes
        self._interval_s = 0.0
        self._head_gap_s = head_gap_s
        self._waiting = bytearray()
        self._tail = b""
        self._running = False
        self._then: Callable[[], object] | None = None
        if bytes_per_s:
            self._interval_s = max(_BANDWIDTH_TICK_S, 1.0 / bytes_per_s)
            self._slice = max(1, int(bytes_per_s * self._interval_s))

    def write(self, data: bytes) -> None:
        self._waiting += data
        if not self._running:
            self._running = True
            self._send()

    def finish(self, then: Callable[[], object]) -> None:
        """Calls `then` when everything has been written."""
        if self._running:
            self._then = then
        else:
            then()

    def _send(self) -> None:
        if not self._waiting or not self._connection.open:
            self._running = False
            self._waiting.clear()
            then, self._then = self._then, None
            if then is not None:
                then()
            return
        size, gap_s = self._slice or len(self._waiting), self._interval_s
        if self._head_gap_s:
            size, gap_s = 1, self._head_gap_s
            if self._tail == b"\r\n\r":
                self._head_gap_s = 0.0
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._tail = (self._tail + data)[-3:]
        self._connection.write(data)
        if gap_s:
            self._wheel.at(self._wheel.now_s() + gap_s, self._send)
        else:
            self._wheel.soon(self._send)
