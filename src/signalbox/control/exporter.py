"""Sends traces and metrics to an OpenTelemetry collector: what the exporter process does.

Everything is bounded: calls that wait, the size of a body, the time of a try, the number of tries. What a collector
does not take in that time is lost and counted; neither a request nor the ledger ever waits for it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from signalbox import __version__
from signalbox.config.address import origin_of
from signalbox.core.errors import UpstreamFault
from signalbox.core.tracing import SeenCall
from signalbox.telemetry import otlp
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Export
from signalbox.telemetry.protobuf import encode
from signalbox.upstream.post import Posted, Poster

WAITING_CALLS_MAX = 8192
BATCH_CALLS_MAX = 256
TRIES_MAX = 5
TRY_S = 10.0
PAUSE_S = 1.0
PAUSE_S_MAX = 30.0
_AGAIN = frozenset((429, 502, 503, 504))
_DATAGRAM_BYTES_MAX = 256 * 1024
_CONTENT_TYPES = {"protobuf": b"application/x-protobuf", "json": b"application/json"}


class ExportOrder(msgspec.Struct, frozen=True):
    """What the exporter is told when it starts: one line on its standard input, since headers may hold a credential."""

    endpoint: str
    headers: dict[str, str]
    encoding: str
    gen_ai: str
    service: str
    allow_private: bool | None
    ca_file: str | None
    instance: str


class Told(msgspec.Struct):
    """What became of spans and of sendings of metrics, since the start."""

    exported: int = 0
    lost: int = 0
    metrics_sent: int = 0
    metrics_failed: int = 0


class Exporter:
    """Takes calls from a datagram socket and metrics from its owner, and posts them."""

    def __init__(self, order: ExportOrder, channel: socket.socket, log: Log) -> None:
        """Raises AddressProblem or ValueError for an order that cannot be followed."""
        origin = origin_of(order.endpoint, private=order.allow_private, ca_file=order.ca_file, proxy=None)
        headers = [(name.lower().encode(), value.encode()) for name, value in order.headers.items()]
        headers += [(b"content-type", _CONTENT_TYPES[order.encoding]), (b"user-agent", b"signalbox")]
        self._order = order
        self._channel = channel
        self._log = log
        self._traces = Poster(origin, "/v1/traces", headers)
        self._metrics = Poster(origin, "/v1/metrics", headers)
        self._resource = otlp.attributes(
            {"service.name": order.service, "service.version": __version__, "service.instance.id": order.instance}
        )
        self._waiting: deque[SeenCall] = deque()
        self._arrived = asyncio.Event()
        self._ending = False
        self._started_ns = time.time_ns()
        self._complained = False
        self.told = Told()

    async def run(self) -> None:
        """Sends traces until `end` is called, and then what is left."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._receive)
        while True:
            await self._arrived.wait()
            if not self._waiting:
                if self._ending:
                    return
                self._arrived.clear()
                continue
            batch = [self._waiting.popleft() for _ in range(min(BATCH_CALLS_MAX, len(self._waiting)))]
            spans = sum(1 + len(call.attempts) for call in batch)
            document = otlp.traces(batch, self._resource, __version__, self._order.gen_ai)
            if await self._send(self._traces, document, "ExportTraceServiceRequest"):
                self.told.exported += spans
            else:
                self.told.lost += spans

    def end(self) -> None:
        """Nothing more will come."""
        self._receive()
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._ending = True
        self._arrived.set()

    async def send_metrics(self, export: Export) -> None:
        document = otlp.metrics(export, self._resource, __version__, self._started_ns, time.time_ns())
        if await self._send(self._metrics, document, "ExportMetricsServiceRequest", tries_max=1):
            self.told.metrics_sent += 1
        else:
            self.told.metrics_failed += 1  # the next ones say the same and more

    def _receive(self) -> None:
        """Everything that has arrived; the oldest calls go when there are too many."""
        while True:
            try:
                data = self._channel.recv(_DATAGRAM_BYTES_MAX)
                calls = msgspec.msgpack.decode(data, type=list[SeenCall])
            except BlockingIOError:
                return
            except OSError:
                return
            except msgspec.MsgspecError:
                continue
            self._waiting.extend(calls)
            while len(self._waiting) > WAITING_CALLS_MAX:
                self.told.lost += 1 + len(self._waiting.popleft().attempts)
            self._arrived.set()

    async def _send(self, poster: Poster, document: otlp.Json, kind: str, tries_max: int = TRIES_MAX) -> bool:
        as_json = self._order.encoding == "json"
        body = msgspec.json.encode(document) if as_json else encode(document, kind)
        why = await posted(lambda: poster.post(body, (), TRY_S), 1 if self._ending else tries_max)
        if why and not self._complained:
            self._log.warning("the collector does not take what it is sent", reason=why)
        self._complained = bool(why)
        return not why


async def posted(post: Callable[[], Awaitable[Posted]], tries_max: int, pause_s: float = PAUSE_S) -> str:
    """Tries to post until it is taken, with longer and longer pauses; returns why it was not, empty on success."""
    why = ""
    for attempt in range(tries_max):
        if attempt:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)
        try:
            answer = await post()
        except UpstreamFault as fault:
            why = fault.kind
            if fault.kind == "refused_address":
                break
            continue
        if 200 <= answer.status < 300:
            return ""
        why = f"status {answer.status}"
        if answer.status not in _AGAIN:
            break
        pause_s = max(pause_s, answer.retry_after_s or 0.0)
    return why
