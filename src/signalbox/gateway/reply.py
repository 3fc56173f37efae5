"""The only place that serialises: answers, streams, heartbeats and errors onto a client's connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from time import monotonic, time

from signalbox.core.call import AnswerHead, Call
from signalbox.core.errors import CallError
from signalbox.core.hub import Event
from signalbox.core.hub import Request as HubRequest
from signalbox.core.stream import Frame
from signalbox.core.usage import NO_USAGE, Usage, usd
from signalbox.gateway.framing import Headers
from signalbox.gateway.head import STATUS_LINES, encode_head
from signalbox.gateway.http import Connection
from signalbox.gateway.own_limits import limit_headers
from signalbox.upstream.headers import passed, without_limits
from signalbox.wire.dialect import Dialect, StreamWriter
from signalbox.wire.resume import read_told, resumed_writer

JSON = b"application/json"
OK = STATUS_LINES[200]
# A connection was at hand, as it mostly is.
AT_HAND = "queue;dur=0.000, connect;dur=0.000"
# A thousand strings are quicker than formatting numbers with a point.
THOUSANDTHS = tuple(f".{number:03d}" for number in range(1000))
MESSAGES_APIS = frozenset({"messages", "count_tokens"})
EVENTS = b"text/event-stream; charset=utf-8"


class HttpReply:
    """One call's answer on one connection. Implements core.call.Reply.

    started: the head is out. content_sent: frames are out, so that the answer cannot be started anew. ended: nothing
    more may be written. code: that of the error it ended with. stopped: why it is ended from outside.
    """

    __slots__ = (
        "_call",
        "_connection",
        "_dialect",
        "_now_ns",
        "_writer",
        "code",
        "content_sent",
        "ended",
        "last_sent_s",
        "started",
        "status",
        "stopped",
    )

    def __init__(self, call: Call, dialect: Dialect, connection: Connection, now_ns: Callable[[], int]) -> None:
        self._call = call
        self._dialect = dialect
        self._connection = connection
        self._now_ns = now_ns
        self._writer: StreamWriter | None = None
        self.started = False
        self.content_sent = False
        self.ended = False
        self.status = 200
        self.code = ""
        self.stopped: CallError | None = None
        self.last_sent_s = monotonic()

    # --- core.call.Reply ---

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._whole(head, body, f"x-signalbox-cost-usd: {usd(cost_pico)}\r\n" if cost_pico is not None else "")

    def error(self, head: AnswerHead, body: bytes) -> None:
        self._whole(head, body, "x-should-retry: false\r\n" if head.status in (400, 413, 422) else "")

    def own(self, body: bytes, reason: str) -> None:
        self.started = self.content_sent = self.ended = True
        identity = self._call.id.encode()
        headers = [(b"content-type", JSON), (b"x-request-id", identity), (b"request-id", identity)]
        headers.append((b"x-signalbox-reason", reason.encode()))
        send_body(self._connection, 200, headers + self._limits(), body)

    def start(self, head: AnswerHead, request: HubRequest | None) -> None:
        if request is not None:
            self._writer = self._dialect.writer(request, self._call.id, int(time()))
        if self.started:
            return
        self.started = True
        framing = "transfer-encoding: chunked\r\n" if self._connection.chunked else ""
        self._connection.write(self._answer(head, EVENTS, framing + "cache-control: no-cache\r\n", b""))

    def send(self, frames: list[Frame]) -> None:
        self.content_sent = True
        writer = self._writer
        if writer is None:
            data = frames[0].raw if len(frames) == 1 else b"".join([frame.raw for frame in frames])
        else:
            # Of a translated answer only comments of our own come as bytes.
            data = b"".join([writer.write(frame.events) if frame.events else frame.raw for frame in frames])
        self._data(data)

    @property
    def slow(self) -> bool:
        return bool(self._connection.write_paused_at)

    async def drain(self) -> None:
        if self._connection.write_paused_at:
            await self._connection.drain()

    def resume(self, request: HubRequest, told: list[Frame]) -> list[Event]:
        if self._writer is not None:
            return [event for frame in told if frame.events for event in frame.events]
        api = self._dialect.api
        events, shown = read_told(api, b"".join([frame.raw for frame in told]))
        self._writer = resumed_writer(api, request, events, shown)
        return events

    def comment(self, text: str) -> None:
        self._data(b": %b\n\n" % text.encode("ascii", "replace"))

    def end(self, usage: Usage | None, complete: bool) -> None:
        if self._writer is not None:
            self._data(self._writer.end(usage or NO_USAGE))
        elif not complete:
            self._data(self._dialect.supply_end(usage, self._call.envelope.include_usage))
        self._finish()

    # --- the edge's own ---

    @property
    def call(self) -> Call:
        return self._call

    def stop(self, error: CallError) -> None:
        """Ends the call from outside, with this error."""
        task = self._connection.task
        if self.stopped is None and task is not None and not self.ended:
            self.stopped = error
            task.cancel(error.code)

    def heartbeat(self) -> None:
        """Keeps an idle stream alive; before any answer it sends a head that names no placement yet."""
        if self.ended:
            return
        if not self.started:
            self.started = True
            framing = b"transfer-encoding: chunked\r\n" if self._connection.chunked else b""
            ids = b"x-request-id: %b\r\nrequest-id: %b\r\n" % ((self._call.id.encode(),) * 2)
            self._connection.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: "
                + EVENTS
                + b"\r\ncache-control: no-cache\r\n"
                + ids
                + framing
                + b"".join([b"%b: %b\r\n" % header for header in self._limits()])
                + self._connection_header()
                + b"\r\n"
            )
        self._data(self._dialect.heartbeat())

    def fail(self, error: CallError) -> None:
        """The call ends with an error: as a body when nothing is out yet, else in the stream."""
        if self.ended:
            return
        self.status, self.code = status_of(self._dialect, error), error.code
        if not self.started:
            send_error(self._connection, self._dialect, error, self._call.id, self._limits())
            self.ended = self.started = True
            return
        if error.close:
            self._connection.close_after_answer()
        self._data(self._dialect.error_event(error, self._call.id))
        self._finish()

    # --- writing ---

    def _data(self, data: bytes) -> None:
        if not data or self.ended:
            return
        self.last_sent_s = monotonic()
        if self._connection.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._connection.write(data)

    def _finish(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._connection.chunked:
            self._connection.write(b"0\r\n\r\n")
        else:
            self._connection.close_after_answer()

    def _whole(self, head: AnswerHead, body: bytes, extra: str) -> None:
        self.started = self.content_sent = self.ended = True
        self.status = head.status
        self._connection.write_soon(self._answer(head, JSON, f"{extra}content-length: {len(body)}\r\n", body))

    def _answer(self, head: AnswerHead, content_type: bytes, extra: str, body: bytes) -> bytes:
        """The head of an answer with what there is of its body. extra: more lines of the head."""
        call = self._call
        received_ns = call.received_ns
        status, identity = head.status, call.id
        if head.lowered:
            extra += f"x-signalbox-max-tokens: {head.lowered}\r\n"
        if head.cache:
            extra += f"x-signalbox-cache: {head.cache}\r\n"
        if head.dropped:
            extra += f"x-signalbox-dropped: {_dropped(head.dropped)}\r\n"
        theirs = head.headers
        if call.limits:
            theirs = without_limits(theirs)
            extra += "".join([f"{name.decode()}: {value.decode()}\r\n" for name, value in self._limits()])
        waited = AT_HAND
        if call.queue_us or call.connect_us:
            waited = f"queue;dur={call.queue_us / 1e3:.3f}, connect;dur={call.connect_us / 1e3:.3f}"
        auth_us = (call.auth_ns - received_ns) // 1000
        policy_us = (call.decided_ns - call.auth_ns) // 1000
        ttfb_us, total_us = call.ttfb_us, (self._now_ns() - received_ns) // 1000
        deployment = head.deployment
        # Formatting text and encoding it once takes half the time that formatting bytes does.
        ours = (
            f"x-request-id: {identity}\r\nrequest-id: {identity}\r\n"
            f"x-signalbox-placement: {deployment.name}@{deployment.environment.name}\r\n"
            f"x-signalbox-reason: {head.reason}\r\n"
            f"server-timing: auth;dur={auth_us // 1000}{THOUSANDTHS[auth_us % 1000]},"
            f" policy;dur={policy_us // 1000}{THOUSANDTHS[policy_us % 1000]}, {waited},"
            f" ttfb;dur={ttfb_us // 1000}{THOUSANDTHS[ttfb_us % 1000]},"
            f" total;dur={total_us // 1000}{THOUSANDTHS[total_us % 1000]}\r\n{extra}"
        )
        return b"".join(
            (
                OK if status == 200 else STATUS_LINES.get(status) or b"HTTP/1.1 %d Upstream\r\n" % status,
                b"content-type: ",
                content_type,
                b"\r\n",
                ours.encode("ascii", "replace"),
                passed(theirs),
                self._connection_header(),
                b"\r\n",
                body,
            )
        )

    def _limits(self) -> Headers:
        """What the caller is told of its own limits; nothing of a call that falls under none."""
        limits = self._call.limits
        return limit_headers(limits, time(), of_messages=self._dialect.api in MESSAGES_APIS) if limits else []

    def _connection_header(self) -> bytes:
        return b"" if self._connection.keep_alive else b"connection: close\r\n"


class RecordedReply(HttpReply):
    """A reply that remembers what it sent, for callers who ask the same again. whole: it is a complete success."""

    __slots__ = ("_parts", "body", "content_type", "whole")

    def __init__(self, call: Call, dialect: Dialect, connection: Connection, now_ns: Callable[[], int]) -> None:
        super().__init__(call, dialect, connection, now_ns)
        self._parts: list[bytes] = []
        self.content_type = EVENTS
        self.body = b""
        self.whole = False

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        super().unary(head, body, cost_pico)
        self.content_type, self.body, self.whole = JSON, body, head.status == 200

    def own(self, body: bytes, reason: str) -> None:
        super().own(body, reason)
        self.content_type, self.body, self.whole = JSON, body, True

    def end(self, usage: Usage | None, complete: bool) -> None:
        super().end(usage, complete)
        self.body, self.whole = b"".join(self._parts), self.status == 200

    def fail(self, error: CallError) -> None:
        super().fail(error)
        self.whole = False

    def _data(self, data: bytes) -> None:
        if not self.ended:
            self._parts.append(data)
        super()._data(data)


DROPPED_MAX = 32
_plain_name = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,64}").fullmatch


def _dropped(names: Iterable[str]) -> str:
    """Names of what was dropped, as a header value. They may be a caller's own: what is no plain name is `other`."""
    plain = {name if _plain_name(name) else "other" for name in names}
    return ", ".join(sorted(plain)[:DROPPED_MAX])


def send_error(
    connection: Connection, dialect: Dialect, error: CallError, request_id: str, limits: Headers | None = None
) -> None:
    """An error body in the caller's dialect, with the headers that tell clients whether to retry. limits: those that
    tell of the caller's own limits."""
    identity = request_id.encode()
    headers: Headers = [
        (b"content-type", JSON),
        (b"x-request-id", identity),
        (b"request-id", identity),
        (b"x-signalbox-reason", error.code.encode()),
        *(limits or ()),
    ]
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
    if error.close:
        connection.close_after_answer()
    send_body(connection, status_of(dialect, error), headers, dialect.error_body(error, request_id))


def status_of(dialect: Dialect, error: CallError) -> int:
    """The status that clients of this dialect know for it."""
    if error.anthropic_status is not None and dialect.api in MESSAGES_APIS:
        return error.anthropic_status
    return error.status


def send_body(connection: Connection, status: int, headers: Headers, body: bytes) -> None:
    """A whole answer of our own; only its head when that is what was asked for."""
    if not connection.keep_alive:
        headers = [*headers, (b"connection", b"close")]
    head = encode_head(status, [*headers, (b"content-length", b"%d" % len(body))])
    connection.write(head if connection.head_only else head + body)
