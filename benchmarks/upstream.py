"""The fake upstream: answers chat completions at once, or as a stream at a fixed pace, at the least possible cost.

Run: python -m benchmarks.upstream PORT. One timer drives all streams: those due in the same millisecond are written
together, so pacing a thousand of them costs less than a thousand timers would.
"""

from __future__ import annotations

import argparse
import asyncio
import socket

import uvloop

from benchmarks import machine

DELTAS = 64
PACE_MS = 20
TICK_S = 0.001

_ID = '"id":"chatcmpl-bench0123456789","created":1790000000,"model":"bench-model"'
_USAGE = '"usage":{"prompt_tokens":96,"completion_tokens":64,"total_tokens":160}'


def _answer(characters: int) -> bytes:
    body = (
        f'{{{_ID},"object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"'
        + ("a quick answer " * characters)[:characters]
        + f'"}},"finish_reason":"stop"}}],{_USAGE}}}'
    ).encode()
    return (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)) + body


def _event(data: str) -> bytes:
    raw = f"data: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(raw), raw)


def _delta(text: str) -> bytes:
    return _event(
        f'{{{_ID},"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":"{text}"}},'
        '"finish_reason":null}]}'
    )


UNARY = _answer(160)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST = HEAD + _delta("token 00 ")
DELTA = [_delta(f"token {i:02d} ") for i in range(DELTAS)]
FINISH = _event(
    f'{{{_ID},"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}'
)
USAGE = _event(f'{{{_ID},"object":"chat.completion.chunk","choices":[],{_USAGE}}}')
END = _event("[DONE]") + b"0\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


class Pacer:
    """Writes the next delta of every stream that is due; streams sit in a ring of PACE_MS buckets."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ring: list[list[Connection]] = [[] for _ in range(PACE_MS)]
        self._tick = 0
        self._start_s = loop.time()
        self._running = False

    def add(self, connection: Connection) -> None:
        if not self._running:
            self._running = True
            self._start_s = self._loop.time() - self._tick * TICK_S
            self._loop.call_soon(self._turn)
        self._ring[self._tick % PACE_MS].append(connection)

    def _turn(self) -> None:
        now = self._loop.time()
        while self._start_s + (self._tick + 1) * TICK_S <= now:
            self._tick += 1
            slot = self._tick % PACE_MS
            due = self._ring[slot]
            if due:
                self._ring[slot] = [connection for connection in due if connection.next_delta()]
        self._running = any(self._ring)
        if self._running:
            self._loop.call_at(self._start_s + (self._tick + 1) * TICK_S, self._turn)


class Connection(asyncio.Protocol):
    """One keep-alive connection. Requests are taken apart by hand: a content-length and a body, nothing else."""

    __slots__ = ("_buffer", "_missing", "_pacer", "_rest", "_sent", "_transport", "_usage")

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._buffer = b""
        # The pieces of a body that is larger than what one read brings, and how much of it is still to come.
        self._rest: list[bytes] = []
        self._missing = 0
        self._sent = 0
        self._usage = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._missing > len(data):
            self._missing -= len(data)
            self._rest.append(data)
            return
        if self._missing:
            data = b"".join((*self._rest, data))
            self._missing, self._rest = 0, []
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while data:
            head_end = data.find(b"\r\n\r\n")
            if head_end < 0:
                break
            head = data[:head_end].lower()
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                end = head_end + 4
            else:
                stop = head.find(b"\r\n", at + 17)
                end = head_end + 4 + int(head[at + 17 : stop if stop >= 0 else None])
            if len(data) < end:
                self._missing, self._rest = end - len(data), [data]
                data = b""
                break
            self._request(data[:end])
            data = data[end:]
        self._buffer = data

    def _request(self, request: bytes) -> None:
        if b'"stream":true' in request or b'"stream": true' in request:
            self._usage = b"include_usage" in request
            self._sent = 1
            self._transport.write(FIRST)
            self._pacer.add(self)
        elif request.startswith(b"POST"):
            self._transport.write(UNARY)
        else:
            self._transport.write(NOT_FOUND)

    def next_delta(self) -> bool:
        """Writes what is due; False when the stream is over."""
        if self._transport is None:
            return False
        if self._sent < DELTAS:
            self._transport.write(DELTA[self._sent])
            self._sent += 1
            return True
        self._transport.write(FINISH + USAGE + END if self._usage else FINISH + END)
        return False


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop)
    server = await loop.create_server(lambda: Connection(pacer), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--core", type=int)
    words = parser.parse_args()
    if words.core is not None:
        machine.pin(words.core)
    uvloop.run(serve(words.port))


if __name__ == "__main__":
    main()
