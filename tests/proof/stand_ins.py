"""What stands in place of sockets in a run within one process: providers behind the transport's port, and clients."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from random import Random
from typing import Any

from proof.worlds import PATHS
from signalbox.core.errors import LedgerError, UpstreamFault
from signalbox.core.permit import Permit
from signalbox.core.ports import Leaver
from signalbox.core.records import Opened, Record, Refused
from signalbox.core.snapshot import Origin
from signalbox.simulator.server import Simulator
from signalbox.upstream.head import RequestHead
from signalbox.upstream.time_share import TimeShare

# What becomes of an attempt. It ends the call when it is the caller's own mistake, or when content is out.
TERMINAL, FAILED, ANSWERED = "terminal", "failed", "answered"


@dataclass(frozen=True)
class Said:
    """A provider's whole answer to one API, as the simulator gives it."""

    unary: bytes
    stream: bytes


async def recorded() -> dict[str, Said]:
    """One answer of each kind, asked once of the simulator over a real socket."""
    sim = Simulator()
    await sim.start()
    try:
        return {api: Said(await _ask(sim, api, False), await _ask(sim, api, True)) for api in PATHS}
    finally:
        await sim.stop()


async def _ask(sim: Simulator, api: str, stream: bool) -> bytes:
    body: dict[str, Any] = {"model": "sim-embed" if api == "embeddings" else "sim-small", "stream": stream}
    if api in ("responses", "embeddings"):
        body["input"] = "Hello"
    elif api == "completions":
        body["prompt"] = "Hello"
    else:
        body |= {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
    if api in ("chat", "completions") and stream:
        body["stream_options"] = {"include_usage": True}
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    head = f"POST /openai{PATHS[api]} HTTP/1.0\r\nhost: t\r\ncontent-type: application/json\r\n"
    writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data)
    received = await reader.read(-1)
    writer.close()
    return received.partition(b"\r\n\r\n")[2]


class Upstream:
    """What `send` gave back: an answer, or as much of one as there is before its fault."""

    queue_us = connect_us = ttfb_us = 0

    def __init__(self, status: int, kind: bytes, pieces: list[bytes], fault: UpstreamFault | None) -> None:
        self.status = status
        self.headers = [(b"content-type", kind)]
        self.finished = False
        self._pieces = pieces
        self._fault = fault

    def whole(self) -> bytes:
        return self._pieces[0] if self._fault is None and len(self._pieces) == 1 else b""

    async def body(self, bytes_max: int) -> bytes:
        if self._fault is not None:
            raise self._fault
        return b"".join(self._pieces)

    async def push(self, sink: Any) -> None:
        while self._pieces:
            if not sink(self._pieces.pop(0)):
                return
        if self._fault is not None:
            raise self._fault
        self.finished = True

    def content_seen(self) -> None:
        return

    def release(self, *, ended: bool) -> None:
        return


@dataclass
class Left:
    """One attempt that left: where to, judged by the address alone, with which bytes, and what became of it."""

    port: int
    path: bytes
    body: bytes
    recorded: bool
    outcome: str


class Recorder:
    """Stands where the transport stands: what is sent is written down, and answered or failed as the die falls."""

    def __init__(self, answers: dict[str, Said], journal: Ledger) -> None:
        self.rng = Random(0)
        self.left: dict[str, list[Left]] = {}
        self.attempts = 0
        self._answers = answers
        self._journal = journal
        self._api = {path.removeprefix("/v1").encode(): api for api, path in PATHS.items()}

    def load(self, deployment: str, origin: Origin) -> int:
        return 0

    async def send(
        self,
        permit: Permit,
        origin: Origin,
        head: RequestHead,
        *,
        stream: bool = False,
        until_content: bool = False,
        share: TimeShare | None = None,
        entry: Waiting | None = None,
    ) -> Upstream:
        if self.rng.random() < 0.5:
            await asyncio.sleep(0)  # a connection is opened: others come in between
        if entry is not None:
            entry.before(self)
        left = Left(origin.port, head.path, permit.body, permit.attempt_id in self._journal.open, FAILED)
        self.attempts += 1
        self.left.setdefault(permit.attempt_id.rpartition("-")[0], []).append(left)
        if self.rng.random() < 0.5:
            await asyncio.sleep(0)  # others, and new configurations, come in between
        return self._answer(left, head.path, stream)

    def leave(self) -> None:
        """What left is written down by `send`, with whether its record was there."""

    def stay(self, error: LedgerError) -> None:
        raise error

    def _answer(self, left: Left, path: bytes, stream: bool) -> Upstream:
        rng = self.rng
        draw = rng.random()
        if draw < 0.27:
            raise UpstreamFault(rng.choice(("connect", "dns", "tls")), "no way", sent=False)
        if draw < 0.50:
            raise UpstreamFault(rng.choice(("reset", "headers_timeout", "first_token_timeout")), "silence", sent=True)
        if draw < 0.82:
            status = rng.choice((500, 502, 503, 429, 529, 401, 403, 404))
            return Upstream(status, b"application/json", [b'{"error":{"message":"no"}}'], None)
        if draw < 0.835:
            left.outcome = TERMINAL
            return Upstream(rng.choice((400, 413, 422)), b"application/json", [b'{"error":{"message":"bad"}}'], None)
        said = self._answers[self._api[path.removeprefix(b"/v1").partition(b"?")[0]]]
        if stream:
            return self._stream(left, said.stream, draw)
        if draw < 0.86:
            return Upstream(200, b"application/json", [said.unary[:-9]], None)
        if draw < 0.88:
            return Upstream(200, b"application/json", [], UpstreamFault("truncated", "cut", sent=True))
        left.outcome = ANSWERED
        return Upstream(200, b"application/json", [said.unary], None)

    def _stream(self, left: Left, whole: bytes, draw: float) -> Upstream:
        kind = b"text/event-stream"
        if draw < 0.86:
            return Upstream(200, kind, [], UpstreamFault("idle_timeout", "silence", sent=True))
        if draw < 0.88:
            left.outcome = TERMINAL  # unless it died before its first content, where falling over is allowed
            return Upstream(200, kind, [whole[: len(whole) // 2]], UpstreamFault("reset", "gone", sent=True))
        left.outcome = ANSWERED
        return Upstream(200, kind, [whole], None)


class Waiting:
    """A record that gets into the journal when somebody asks whether it is there, and not before."""

    error: LedgerError | None = None

    def __init__(self, journal: Ledger, record: Opened) -> None:
        self._journal = journal
        self._record = record

    def before(self, leaver: Leaver) -> None:
        self._journal.append(self._record)
        leaver.leave()


class Ledger:
    """The journal's port in memory: what is on record, and for which attempts."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.opened: dict[str, list[Opened]] = {}
        self.refused: dict[str, Refused] = {}

    def append(self, record: Record) -> None:
        if isinstance(record, Opened):
            self.open.add(record.attempt_id)
            self.opened.setdefault(record.call_id, []).append(record)
        elif isinstance(record, Refused):
            self.refused[record.call_id] = record

    append_soon = append

    def enter(self, record: Opened) -> Waiting:
        return Waiting(self, record)

    async def synced(self) -> None:
        return

    def healthy(self) -> bool:
        return True

    def clear(self) -> None:
        self.open.clear()
        self.opened.clear()
        self.refused.clear()


class Client(asyncio.Transport):
    """The client's end of a connection, as bytes in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.received.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    def write_eof(self) -> None:
        return

    def close(self) -> None:
        return

    def abort(self) -> None:
        return
