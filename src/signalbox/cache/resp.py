"""The wire protocol of Valkey and Redis (RESP2), as far as the cache speaks it: one connection for many commands.

A protocol of our own instead of a client library: look-ups of all requests share one connection, so that one costs two
small writes to a socket, and who stops waiting for an answer holds up nobody else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from signalbox.core.errors import StoreError

# An answer that is longer is none that we asked for.
BULK_BYTES_MAX = 8 << 20
ITEMS_MAX = 1 << 17
# Commands whose answers are waited for, whether or not somebody still wants them.
UNDER_WAY_MAX = 4096
_DEPTH_MAX = 4
_END = b"\r\n"

Argument = bytes | str | int
# Text, a number, bytes or nothing, a list of these; or what the server refused.
Answer = Any


class Refused(StoreError):
    """The server understood a command and did not carry it out."""


class Incomplete(Exception):
    """More bytes are needed. length: of all that is there, before it is worth looking again."""

    def __init__(self, length: int = 0) -> None:
        super().__init__()
        self.length = length


def encode(command: Sequence[Argument]) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        raw = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def decode(data: bytes | bytearray, at: int = 0, depth: int = 0) -> tuple[Answer, int]:
    """One answer and where it ends. Raises Incomplete, and ValueError for what is not this protocol."""
    end = data.find(_END, at)
    if end < 0:
        if len(data) - at > 1 << 16:
            raise ValueError("a line without an end")
        raise Incomplete
    kind, line, after = data[at : at + 1], bytes(data[at + 1 : end]), end + 2
    if kind == b"+":
        return line, after
    if kind == b"-":
        # Who does not know a command repeats what came with it, and that may be a password.
        why = line.decode("utf-8", "replace").partition(", with args")[0]
        return Refused(f"the shared cache refused: {why[:200]}"), after
    if kind == b":":
        return int(line), after
    if kind == b"$":
        size = int(line)
        if size < 0:
            return None, after
        if size > BULK_BYTES_MAX:
            raise ValueError("an answer that is too long")
        if len(data) < after + size + 2:
            raise Incomplete(after + size + 2)
        return bytes(data[after : after + size]), after + size + 2
    if kind == b"*" and depth < _DEPTH_MAX:
        count = int(line)
        if count > ITEMS_MAX:
            raise ValueError("an answer that is too long")
        items: list[Answer] = []
        for _ in range(count):
            item, after = decode(data, after, depth + 1)
            items.append(item)
        return items if count >= 0 else None, after
    raise ValueError("not an answer of Valkey or Redis")


class Connection(asyncio.Protocol):
    """Commands go out in order, and answers come back in the same order."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        # So many bytes are needed before it is worth looking again.
        self._enough = 0
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self.lost = False

    @property
    def under_way(self) -> int:
        return len(self._waiting)

    def ask(self, *commands: Sequence[Argument]) -> list[asyncio.Future[Answer]]:
        """An answer for each command. Raises StoreError when the connection is gone or too much is under way; the
        answers fail with StoreError when it goes."""
        if self.lost or self._transport is None or len(self._waiting) + len(commands) > UNDER_WAY_MAX:
            raise StoreError("the shared cache is not connected")
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Answer]] = [loop.create_future() for _ in commands]
        self._waiting += answers
        self._transport.write(b"".join([encode(command) for command in commands]))
        return answers

    async def run(self, *commands: Sequence[Argument], within_s: float) -> list[Answer]:
        """The answers to some commands. Raises StoreError when one is refused, when they do not come in time, and when
        the connection goes."""
        answers = self.ask(*commands)
        try:
            async with asyncio.timeout(within_s):
                await answers[-1]  # the others come before
        except TimeoutError:
            raise StoreError("the shared cache did not answer in time") from None
        told = [answer.result() for answer in answers]
        for each in told:
            if isinstance(each, Refused):
                raise each
        return told

    def close(self) -> None:
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < self._enough:
            return
        at = 0
        try:
            while at < len(self._received):
                answer, at = decode(self._received, at)
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
            self._enough = 0
        except Incomplete as more:
            self._enough = max(0, more.length - at)
        except (ValueError, IndexError):
            self.close()
        del self._received[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(StoreError("the connection to the shared cache was lost"))
                waiting.exception()  # somebody may have gone; then nobody is to be told that nobody asked
        self._waiting.clear()
