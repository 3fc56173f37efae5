"""A call on a connection of its own, by a client that may go away before it has its answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from random import Random

SHARE = 0.15
WITHIN_S = 60
# In the middle of its request, behind it, behind the head of its answer, or behind the first events of a stream.
WHOLE = ("sending", "sent", "sent", "sent")
STREAM = ("sending", "sent", "sent", "head", "events", "events")
EVENTS = 3
HOW = ("fin", "rst", "half")
AFTER_S_MAX = 0.12


@dataclass(frozen=True)
class Leaving:
    """when: see above. after_s: how long it stays on then. how: it closes, resets, or closes only its own side."""

    when: str
    after_s: float
    how: str


def drawn(rng: Random, *, stream: bool) -> Leaving | None:
    """None for most, who stay."""
    if rng.random() >= SHARE:
        return None
    after_s = rng.choice((0.0, rng.random() * AFTER_S_MAX))
    return Leaving(rng.choice(STREAM if stream else WHOLE), after_s, rng.choice(HOW))


async def ask(port: int, head: bytes, body: bytes, leaving: Leaving | None) -> bytes:
    """What came until the gateway closed, or the client left. Raises TimeoutError where neither happens."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(WITHIN_S):
            if leaving is None:
                writer.write(head + body)
                return await reader.read(-1)
            with contextlib.suppress(ConnectionError):
                return await _left(reader, writer, head, body, leaving)
            return b""
    finally:
        if leaving is not None and leaving.how == "rst":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        writer.close()


async def _left(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, body: bytes, leaving: Leaving
) -> bytes:
    writer.write(head + (body[: len(body) // 2] if leaving.when == "sending" else body))
    received = b""
    while not _reached(leaving.when, received) and (piece := await reader.read(65_536)):
        received += piece
    await asyncio.sleep(leaving.after_s)
    if leaving.how == "half":
        writer.write_eof()
        received += await reader.read(-1)  # the gateway closes its side too
    return received


def _reached(when: str, received: bytes) -> bool:
    if when in ("sending", "sent"):
        return True
    _, ended, rest = received.partition(b"\r\n\r\n")
    return bool(ended) and (when == "head" or rest.count(b"data: ") >= EVENTS)
