"""The life of one simulated request: pace, write, break as planned, notice a client that leaves, and settle the bill.

No tasks and no coroutines: callbacks on the shared wheel, so that a thousand paced streams stay cheap.
"""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable, Iterator

from signalbox.simulator.bill import Bill
from signalbox.simulator.connection import Connection
from signalbox.simulator.limits import Headers, ProviderState
from signalbox.simulator.log import Entry
from signalbox.simulator.model import FRAME, TOKEN, Answer, Ask, Face, Refusal, Reply, Step, Tokens
from signalbox.simulator.output import Dribble, head
from signalbox.simulator.pace import Wheel
from signalbox.simulator.plan import HEALTHY, Canned, Plan

_WRITE_BYTES = 32_768
# A reset discards what the kernel has not sent yet: what was written is given this long to leave.
_BEFORE_RESET_S = 0.005
_SSE = "text/event-stream; charset=utf-8"
_JSON = "application/json"


class Exchange:
    """One request that has been read and is being answered. Settled exactly once."""

    __slots__ = (
        "_answer",
        "_begun_s",
        "_bill",
        "_chunked",
        "_connection",
        "_dribble",
        "_due_s",
        "_emitted",
        "_ended",
        "_entry",
        "_face",
        "_gap_s",
        "_generating",
        "_gzip",
        "_headers",
        "_headers_sent",
        "_held",
        "_keep_alive",
        "_model",
        "_paced_started",
        "_plan",
        "_provider",
        "_reasoned",
        "_reply",
        "_scheduled",
        "_settled",
        "_stall_over",
        "_stalled",
        "_steps",
        "_ttft_s",
        "_wheel",
    )

    def __init__(
        self,
        connection: Connection,
        entry: Entry,
        wheel: Wheel,
        bill: Bill,
        plan: Plan,
        keep_alive: bool,
        chunked: bool,
    ) -> None:
        self._connection = connection
        self._entry = entry
        self._wheel = wheel
        self._bill = bill
        self._plan = plan
        self._keep_alive = keep_alive
        self._headers: Headers = ()
        self._dribble: Dribble | None = None
        self._provider: ProviderState | None = None
        self._face: Face | None = None
        self._reply: Reply | None = None
        self._answer: Answer | None = None
        self._steps: Iterator[Step] = iter(())
        self._held: Step | None = None
        self._model = ""
        self._emitted = 0
        self._reasoned = 0
        self._begun_s = 0.0
        self._due_s = 0.0
        self._ttft_s = 0.0
        self._gap_s = 0.0
        self._generating = False
        self._headers_sent = False
        self._paced_started = False
        self._scheduled = False
        self._stalled = False
        self._stall_over = False
        self._ended = False
        self._settled = False
        self._gzip = zlib.compressobj(1, zlib.DEFLATED, 31) if plan.gzip else None
        self._chunked = chunked
        entry.fault = plan.name
        if plan.slice_bytes or plan.bytes_per_s or plan.header_gap_s:
            self._dribble = Dribble(connection, wheel, plan.slice_bytes, plan.bytes_per_s, plan.header_gap_s)

    # --- answers that generate nothing ---

    def refuse(self, refusal: Refusal, face: Face, model: str) -> None:
        self._model = model
        body = face.error_body(refusal, _request_id(self._entry.n))
        self._headers = refusal.headers
        self.whole(refusal.status, _JSON, body, "rejected")

    def whole(self, status: int, content_type: str, body: bytes, end: str) -> None:
        """A complete answer, now."""
        self._entry.status = status
        self._settle(end)
        self._write(self._head(status, content_type, len(body)) + body)
        self._finish(self._keep_alive)

    def count(self, face: Face, ask: Ask) -> None:
        """A count of tokens costs nothing and stands on no bill."""
        body = face.unary(Reply("", 0, ask, Answer([], Tokens()), None))
        self._close_entry(200, "complete")
        self._settled = True
        self._write(self._head(200, _JSON, len(body)) + body)
        self._finish(self._keep_alive)

    def hang(self, model: str) -> None:
        """Accepts and never answers: a dead provider, which bills nothing even when the client gives up."""
        self._model = model

    def break_now(self, how: str, model: str) -> None:
        self._model = model
        self._settle("fault")
        self._ended = True
        if how == "reset":
            self._connection.reset()
        else:
            self._connection.close()

    def canned(self, canned: Canned, model: str) -> None:
        self._model = model
        self._headers = canned.headers
        self.whole(canned.status, canned.content_type, canned.body, "fault")

    # --- generation ---

    def generate(
        self,
        provider: ProviderState,
        face: Face,
        reply: Reply,
        model: str,
        headers: Headers,
        ttft_s: float,
        gap_s: float,
    ) -> None:
        """Answers in full, as a stream or whole, paced by ttft_s and gap_s (seconds a token)."""
        plan = self._plan
        self._provider, self._face, self._reply, self._answer = provider, face, reply, reply.answer
        self._headers, self._model = headers, model
        self._ttft_s, self._gap_s = ttft_s + plan.delay_s, gap_s
        self._begun_s = self._wheel.now_s()
        self._generating = True
        self._entry.status = 200
        provider.begin(model, reply.ask.tokens_in)
        if reply.ask.stream:
            self._start_stream(face, reply)
        else:
            self._start_unary(reply.answer.usage.output_total)

    def _start_unary(self, tokens: int) -> None:
        if self._plan.headers_early:
            self._write(self._head(200, _JSON, -1))
            self._headers_sent = True
        wait_s = self._ttft_s + max(0, tokens - 1) * self._gap_s
        if wait_s > 0:
            self._wheel.at(self._begun_s + wait_s, self._send_unary)
        else:
            self._send_unary()

    def _send_unary(self) -> None:
        if self._ended or self._face is None or self._reply is None:
            return
        plan = self._plan
        body = plan.body_prefix + self._face.unary(self._reply)
        if plan.truncate_body:
            body = body[: len(body) // 2]
        if plan.gzip:
            body = gzip.compress(body, 1)
        head_bytes = b"" if self._headers_sent else self._head(200, plan.content_type or _JSON, len(body))
        self._emitted = self._reply.answer.usage.output_total
        self._reasoned = self._reply.answer.usage.reasoning
        if plan.cut_at >= 0:
            self._write(head_bytes + self._framed(body[: len(body) // 2]))
            self._held = (self._framed(body[len(body) // 2 :]), FRAME)
            self._cut()
            return
        self._settle("complete")
        self._write(head_bytes + self._framed(body) + self._last_chunk())
        self._finish(self._keep_alive)

    def _framed(self, body: bytes) -> bytes:
        """The body as it is, or as a chunk where the headers left before its length was known."""
        return b"%x\r\n%b\r\n" % (len(body), body) if self._headers_sent and self._chunked else body

    def _last_chunk(self) -> bytes:
        return b"0\r\n\r\n" if self._headers_sent and self._chunked else b""

    def _start_stream(self, face: Face, reply: Reply) -> None:
        steps = face.stream(reply)
        for edit in self._plan.edits:
            steps = edit(steps)
        self._steps = steps
        self._due_s = self._begun_s + self._ttft_s
        if self._plan.headers_early:
            self._open_stream()
        if self._ttft_s > 0:
            self._wheel.at(self._due_s, self._tick)
        else:
            self._tick()

    def _open_stream(self) -> None:
        if not self._headers_sent:
            self._headers_sent = True
            self._write(self._head(200, self._plan.content_type or _SSE, -1))

    def writable(self) -> None:
        """The client reads again: go on at once when the pace has been waiting for it."""
        if self._generating and not self._ended and not self._scheduled and not self._stalled:
            self._tick()

    def _tick(self) -> None:
        """Writes what is due: framing events together with the token they surround, one write in all."""
        self._scheduled = False
        if self._ended:
            return
        plan = self._plan
        pieces: list[bytes] = []
        size = 0
        released = self._gap_s == 0
        while True:
            if 0 <= plan.cut_at <= self._emitted and not self._stall_over:
                self._write_events(pieces)
                self._cut()
                return
            step = self._held or next(self._steps, None)
            self._held = None
            if step is None:
                self._end_stream(pieces)
                return
            data, kind = step
            if kind != FRAME:
                if not released and self._paced_started and self._wheel.now_s() < self._due_s:
                    self._held = step
                    break
                self._paced_started = True
                self._due_s += self._gap_s
                self._count(kind)
            if data:
                pieces.append(data)
                size += len(data)
            if size > _WRITE_BYTES:
                break
        self._write_events(pieces)
        if self._connection.paused:
            return
        self._scheduled = True
        if self._held is None:
            self._wheel.soon(self._tick)
        else:
            self._wheel.at(self._due_s, self._tick)

    def _count(self, kind: int) -> None:
        self._emitted += 1
        if kind != TOKEN:
            self._reasoned += 1

    def _write_events(self, pieces: list[bytes]) -> None:
        self._open_stream()
        if not pieces:
            return
        data = b"".join(pieces) if len(pieces) > 1 else pieces[0]
        if self._gzip is not None:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _end_stream(self, pieces: list[bytes]) -> None:
        self._write_events(pieces)
        assert self._answer is not None
        whole = self._emitted >= self._answer.usage.output_total - self._plan.extra_tokens
        self._settle("complete" if whole else "fault")
        if self._chunked:
            self._write(b"0\r\n\r\n")
        self._finish(self._keep_alive and self._chunked)

    # --- breaking off ---

    def _cut(self) -> None:
        how = self._plan.cut_how
        if how == "stall":
            self._stalled = True
            self._wheel.at(self._wheel.now_s() + self._plan.stall_s, self._after_stall)
            return
        self._settle("fault")
        self._ended = True
        if how == "eof" and self._chunked and self._headers_sent:
            self._write(b"0\r\n\r\n")
        if how == "reset":
            self._after_output(lambda: self._wheel.at(self._wheel.now_s() + _BEFORE_RESET_S, self._connection.reset))
        elif how == "half":
            self._after_output(self._connection.half_close)
        else:
            self._after_output(self._connection.close)

    def _after_stall(self) -> None:
        """Goes on where it stopped, as a provider does whose machine was busy."""
        if self._ended:
            return
        if self._reply is not None and not self._reply.ask.stream:
            self._settle("complete")
            self._write((self._held or (b"", FRAME))[0] + self._last_chunk())
            self._finish(self._keep_alive)
            return
        self._stalled, self._stall_over = False, True
        self._due_s = self._wheel.now_s()
        self._tick()

    def client_gone(self) -> None:
        """Called once, when the client's close is noticed before the answer was finished."""
        self._entry.closed_ms = time.time() * 1000
        self._entry.closed_s = time.monotonic()
        self._ended = True
        if self._settled:
            return
        if self._reply is not None and not self._reply.ask.stream and self._emitted == 0:
            self._emitted = self._unary_progress(self._wheel.now_s() - self._begun_s)
        self._settle("cut" if self._generating else "fault")

    def _unary_progress(self, elapsed_s: float) -> int:
        """Tokens a whole answer had generated after elapsed_s: reasoning comes first, as it does in a stream."""
        if self._answer is None or elapsed_s < self._ttft_s:
            return 0
        usage = self._answer.usage
        total = usage.output_total
        done = total if self._gap_s == 0 else min(total, 1 + int((elapsed_s - self._ttft_s) / self._gap_s))
        self._reasoned = min(done, usage.reasoning)
        return done

    # --- bookkeeping ---

    def _settle(self, end: str) -> None:
        if self._settled:
            return
        self._settled = True
        entry = self._entry
        self._close_entry(entry.status, end)
        used = Tokens()
        reply = self._reply
        if reply is not None and self._answer is not None and self._provider is not None:
            whole = self._answer.usage
            as_planned = end == "complete" or (not reply.ask.stream and end == "fault")
            used = whole if as_planned else whole.cut(self._emitted - self._reasoned, self._reasoned)
            self._provider.end(self._model, reply.ask.tokens_in)
        self._bill.add(entry, self._model, reply is not None and reply.ask.stream, used)

    def _close_entry(self, status: int, end: str) -> None:
        entry = self._entry
        entry.status = status
        entry.end = end
        entry.ended_ms = time.time() * 1000
        entry.tokens_sent = self._emitted

    def _head(self, status: int, content_type: str, length: int) -> bytes:
        plan = self._plan
        headers = self._headers
        if plan is not HEALTHY and plan.gzip and self._generating:
            headers = (*headers, ("content-encoding", "gzip"))
        keep_alive = self._keep_alive and (length >= 0 or self._chunked)
        return head(status, content_type, length, _request_id(self._entry.n), headers, self._chunked, keep_alive)

    def _write(self, data: bytes) -> None:
        if self._dribble is not None:
            self._dribble.write(data)
        else:
            self._connection.write(data)

    def _after_output(self, then: Callable[[], object]) -> None:
        if self._dribble is not None:
            self._dribble.finish(then)
        else:
            then()

    def _finish(self, keep_alive: bool) -> None:
        self._ended = True
        if self._dribble is not None:
            self._dribble.finish(lambda: self._done(keep_alive))
        else:
            self._done(keep_alive)

    def _done(self, keep_alive: bool) -> None:
        self._connection.done(keep_alive)
        if keep_alive and self._plan.close_after_s >= 0:
            self._wheel.at(self._wheel.now_s() + self._plan.close_after_s, self._connection.close_if_idle)


def _request_id(n: int) -> str:
    return f"req_sim{n:012x}"
