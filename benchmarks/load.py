"""The load side: paced streams held at one concurrency, and single requests one after another for latency.

Run: python -m benchmarks.load streams|closed|latency …; prints one JSON object. Quick subjects meet wrk instead of
`closed`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import socket
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from benchmarks import machine
from benchmarks.upstream import DELTAS, PACE_MS

PACE_S = PACE_MS / 1000
STALL_S = 10 * PACE_S
END = b"0\r\n\r\n"
STREAM_S = DELTAS * PACE_S
# The starts are spread over the pace as well: a stream lasts a whole number of paces, so that at 64 streams equal steps
# would give all of them one phase, and every stream would begin behind a burst of everybody's deltas.
GOLDEN = (5**0.5 - 1) / 2

# Requests that `latency` asks before it measures.
UNTIMED = 20


def keys_of(path: str | None) -> list[str]:
    """One credential a line; a placeholder for subjects that check none."""
    if path is None:
        return ["sk-bench"]
    return Path(path).read_text().split()


def request_bytes(body: bytes, key: str) -> bytes:
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s" % (key.encode(), len(body), body)
    )


def body_of(model: str, size_bytes: int, *, stream: bool) -> bytes:
    """A chat request of exactly `size_bytes`, the prompt being what fills it."""
    doc = {"model": model, "messages": [{"role": "user", "content": ""}], "max_tokens": 64, "temperature": 0.2}
    if stream:
        doc["stream"] = True
    bare = len(json.dumps(doc, separators=(",", ":")))
    doc["messages"] = [{"role": "user", "content": ("The quick brown fox. " * size_bytes)[: size_bytes - bare]}]
    return json.dumps(doc, separators=(",", ":")).encode()


def image_of(model: str, size_bytes: int) -> bytes:
    """A chat request of about `size_bytes`, nearly all of which is one image."""
    data = base64.b64encode(random.Random(1).randbytes(size_bytes * 3 // 4)).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    content = [{"type": "text", "text": "What is this?"}, image]
    return json.dumps({"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 64}).encode()


class Tally:
    """What all streams together showed, from the moment that measuring begins."""

    def __init__(self) -> None:
        self.measuring = False
        self.first_s = array("d")
        self.gap_s = array("d")
        self.completed = 0
        self.stalled = 0
        self.wrong: dict[str, int] = {}

    def fail(self, why: str) -> None:
        self.wrong[why] = self.wrong.get(why, 0) + 1


class StreamClient(asyncio.Protocol):
    """One connection that asks for one stream after another for as long as the run lasts."""

    def __init__(self, tally: Tally, requests: list[bytes]) -> None:
        self._tally, self._requests = tally, requests
        self._now = time.perf_counter
        self.stop = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ask()

    def _ask(self) -> None:
        self._events = 0
        self._stall_s = 0.0
        self._tail = b""
        self._headed = self._done = False
        self._counted = self._tally.measuring
        self._open = True
        self._last_s = self._now()
        self._transport.write(random.choice(self._requests))

    def data_received(self, data: bytes) -> None:
        now, tally = self._now(), self._tally
        gap = now - self._last_s
        if not self._headed:
            self._headed = data.startswith(b"HTTP/1.1 200")
            if not self._headed:
                tally.fail(data[:60].decode("latin-1").split("\r\n", 1)[0])
                self._open = False
                self._transport.close()
                return
        if self._events == 0:
            if b"data: " not in data:
                # The head alone: the first token is what is waited for.
                return
            if self._counted:
                tally.first_s.append(gap)
        elif self._counted:
            tally.gap_s.append(gap)
            self._stall_s = max(self._stall_s, gap)
        self._last_s = now
        seen = self._tail + data if self._tail else data
        self._events += seen.count(b'"content":"')
        self._done = self._done or b"[DONE]" in seen
        if seen.endswith(END):
            self._finished()
            return
        # An event cut in two by the network is rare: unless the data ends with a whole event, the bytes that a mark
        # could begin in are kept, and never so many that one already counted is counted again.
        cut = seen.rfind(b'"content":"')
        keep = min(10, len(seen) if cut < 0 else len(seen) - cut - 11)
        self._tail = b"" if keep <= 0 or seen.endswith((b"\n\r\n", b"\n\n")) else seen[-keep:]

    def _finished(self) -> None:
        tally, done = self._tally, self._done
        self._open = False
        if self._events < DELTAS or not done:
            tally.fail(f"{self._events} of {DELTAS} deltas, {'with' if done else 'without'} [DONE]")
        elif tally.measuring:
            tally.completed += 1
            tally.stalled += self._stall_s > STALL_S
        if not self.stop:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._tally.fail("connection lost")


async def streams(port: int, count: int, seconds: float, requests: list[bytes]) -> dict[str, Any]:
    """Holds `count` streams open, starts spread over a stream and over the pace; then `seconds` of measuring."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    clients: list[StreamClient] = []
    start = loop.time()
    for due in sorted(start + index * STREAM_S / count + index * GOLDEN % 1 * PACE_S for index in range(count)):
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        _, client = await loop.create_connection(lambda: StreamClient(tally, requests), "127.0.0.1", port)
        clients.append(client)
    await asyncio.sleep(STREAM_S)
    sys.stdout.write("measuring\n")
    sys.stdout.flush()
    tally.measuring = True
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    tally.measuring = False
    took = time.perf_counter() - began
    sys.stdout.write("measured\n")
    sys.stdout.flush()
    for client in clients:
        client.stop = True
    # Let the open streams end: cutting them would leave the subject with aborts to book instead of rest.
    await asyncio.sleep(STREAM_S + 0.3)
    return {
        "streams": count,
        "seconds": took,
        "completed": tally.completed,
        "expected": count * took / (STREAM_S + PACE_S),
        "stalled": tally.stalled,
        "wrong": tally.wrong,
        "first_ms": quantiles(tally.first_s),
        "gap_ms": quantiles(tally.gap_s),
    }


class ClosedClient(asyncio.Protocol):
    """Asks again as soon as it is answered, while the shared stock of requests lasts."""

    def __init__(self, stock: list[bytes], answered: Callable[[float], None]) -> None:
        self._stock, self._answered = stock, answered
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if not self._stock:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(self._stock.pop())

    def data_received(self, data: bytes) -> None:
        self._data += data
        head_end = self._data.find(b"\r\n\r\n")
        if head_end < 0:
            return
        at = self._data.lower().find(b"content-length:", 0, head_end)
        if at < 0:
            if not self._data.endswith(END):
                return
        elif len(self._data) < head_end + 4 + int(self._data[at + 15 :].split(b"\r\n", 1)[0]):
            return
        if not self._data.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"not an answer: {self._data[:300]!r}")
        self._data = b""
        self._answered(time.perf_counter() - self._began)
        self._ask()


async def closed(port: int, requests: list[bytes], count: int, concurrency: int) -> dict[str, Any]:
    """A closed loop over exactly `count` requests, all of them answered: for subjects so slow that what wrk cuts off
    at the end would be a large part of what they did."""
    loop = asyncio.get_running_loop()
    times, all_done = array("d"), asyncio.Event()
    stock = [random.choice(requests) for _ in range(count)]

    def answered(taken_s: float) -> None:
        times.append(taken_s)
        if len(times) == count:
            all_done.set()

    began = time.perf_counter()
    for _ in range(concurrency):
        await loop.create_connection(lambda: ClosedClient(stock, answered), "127.0.0.1", port)
    await asyncio.wait_for(all_done.wait(), 120)
    taken = quantiles(times)
    return {
        "requests": count,
        "seconds": time.perf_counter() - began,
        "failed": 0,
        "p50_ms": taken["p50"],
        "p99_ms": taken["p99"],
    }


def latency(port: int, requests: list[bytes], count: int, *, split: bool) -> dict[str, Any]:
    """`count` requests one after another on one kept connection.

    split: head and body in two writes, as many clients send them: where a gateway or kernel waits for more, this is
    the way to meet the 40 ms of Nagle's algorithm against delayed acknowledgements.
    """
    times = array("d")
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index in range(count + UNTIMED):
            request = random.choice(requests)
            began = time.perf_counter()
            if split:
                head_end = request.index(b"\r\n\r\n") + 4
                sock.sendall(request[:head_end])
                sock.sendall(request[head_end:])
            else:
                sock.sendall(request)
            _read_answer(sock)
            if index >= UNTIMED:
                times.append(time.perf_counter() - began)
    usual = median(times)
    steps = sum(0.035 <= taken - usual <= 0.060 for taken in times)
    return {"count": count, "ms": quantiles(times), "steps_40ms": steps}


def _read_answer(sock: socket.socket) -> None:
    data = sock.recv(65536)
    if not data.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"not an answer: {data[:300]!r}")
    while (head_end := data.find(b"\r\n\r\n")) < 0:
        data += _more(sock)
    head = data[:head_end].lower()
    at = head.find(b"content-length:")
    if at < 0:
        while not data.endswith(END):
            data += _more(sock)
        return
    missing = head_end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0]) - len(data)
    while missing > 0:
        missing -= len(_more(sock))


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise SystemExit("the connection was closed in the middle of an answer")
    return data


def quantiles(seconds: array[float]) -> dict[str, float]:
    """p50, p90, p99, p99.9 and the maximum, in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 4)

    return {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": at(1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["streams", "closed", "latency"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--core", type=int, required=True)
    parser.add_argument("--model", default="bench-model")
    parser.add_argument("--keys")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--split", action="store_true")
    parser.add_argument("--image", action="store_true", help="one credential, and a body that is mostly an image")
    words = parser.parse_args()
    machine.pin(words.core)
    keys = keys_of(words.keys)
    if words.kind == "streams":
        body = body_of(words.model, words.size, stream=True)
        requests = [request_bytes(body, key) for key in keys]
        result = uvloop.run(streams(words.port, words.count, words.seconds, requests))
    else:
        body = image_of(words.model, words.size) if words.image else body_of(words.model, words.size, stream=False)
        requests = [request_bytes(body, key) for key in (keys[:1] if words.image else keys)]
        if words.kind == "closed":
            result = uvloop.run(closed(words.port, requests, words.count, words.concurrency))
        else:
            result = latency(words.port, requests[:1000], words.count, split=words.split)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
