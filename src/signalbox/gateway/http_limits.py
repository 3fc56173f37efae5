"""What one client connection may hold and how long it may take, with the bounds of all of them together."""

from __future__ import annotations

import msgspec

from signalbox.gateway.overload import Bounds


class HttpLimits(msgspec.Struct, frozen=True):
    """Bounds of one client connection. pipelined_bytes_max: unread bytes of later requests kept while one runs.
    linger_s: how long what a refused client still sends is read and thrown away, so that it gets to read the answer.
    """

    header_bytes_max: int = 64 * 1024
    headers_max: int = 128
    target_bytes_max: int = 8 * 1024
    body_bytes_max: int = 32 * 1024 * 1024
    pipelined_bytes_max: int = 64 * 1024
    connections_max: int = 10_000
    head_s: float = 15.0
    body_idle_s: float = 30.0
    body_total_s: float = 300.0
    keep_alive_s: float = 75.0
    write_s: float = 60.0
    linger_s: float = 5.0
    write_high_bytes: int = 256 * 1024
    overload: Bounds = Bounds()
