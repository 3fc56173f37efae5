"""A reply that keeps what was asked and answered, for workloads that want it: sealed, and up to a size."""

from __future__ import annotations

from signalbox.cache.entry import encode_events
from signalbox.core.call import AnswerHead, Call, Reply
from signalbox.core.content import Said
from signalbox.core.errors import LedgerError
from signalbox.core.hub import Event, Request
from signalbox.core.records import Captured
from signalbox.core.stream import Frame
from signalbox.core.usage import Usage
from signalbox.ledger.content import Spool
from signalbox.pipeline.passing_reply import PassingReply
from signalbox.pipeline.stages import Stages

# A frame of hub events has no bytes yet; so many stand for each event.
_EVENT_BYTES = 64


class CapturingReply(PassingReply):
    """Implements core.call.Reply over another one."""

    __slots__ = ("_bytes", "_call", "_done", "_events", "_raw", "_spool", "_stages")

    def __init__(self, inner: Reply, call: Call, stages: Stages, spool: Spool) -> None:
        super().__init__(inner)
        self._call = call
        self._stages = stages
        self._spool = spool
        self._raw: list[bytes] = []
        self._events: list[Event] = []
        self._bytes = 0
        self._done = False

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._inner.unary(head, body, cost_pico)
        self._keep(body, whole=True)

    def error(self, head: AnswerHead, body: bytes) -> None:
        self._inner.error(head, body)
        self._keep(body, whole=True)

    def own(self, body: bytes, reason: str) -> None:
        self._inner.own(body, reason)
        self._keep(body, whole=True)

    def send(self, frames: list[Frame]) -> None:
        self._inner.send(frames)
        for frame in frames:
            if self._bytes > self._call.workload.capture_bytes:
                return
            self._raw.append(frame.raw)
            if frame.events and not frame.raw:
                self._events += frame.events
            self._bytes += len(frame.raw) or _EVENT_BYTES * len(frame.events or ())

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        """What another answer goes on with is kept behind what was told before."""
        return self._inner.resume(request, told)

    def end(self, usage: Usage | None, complete: bool) -> None:
        self._inner.end(usage, complete)
        answer = b"".join(self._raw) + (encode_events(self._events) if self._events else b"")
        self._keep(answer, whole=complete and self._bytes <= self._call.workload.capture_bytes)

    def _keep(self, answer: bytes, *, whole: bool) -> None:
        if self._done:
            return
        self._done = True
        call, most = self._call, self._call.workload.capture_bytes
        whole = whole and len(call.body) <= most and len(answer) <= most
        said = Said(call.body[:most], answer[:most], not whole)
        time_ms = self._stages.time_ms()
        digest = self._spool.keep(call.id, time_ms, self._spool.subjects(call.principal, call.for_whom), said)
        if digest is not None:
            try:
                self._stages.journal.append_soon(Captured(call.id, time_ms, digest))
            except LedgerError:
                return  # the call is answered; that its content is kept without a record is told when it is read


def through(call: Call, reply: Reply, stages: Stages) -> Reply:
    """The reply to answer a call of such a workload through."""
    return reply if stages.spool is None else CapturingReply(reply, call, stages, stages.spool)
