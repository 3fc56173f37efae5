"""Stream rescue: what a client gets when the provider of its stream dies after content went out.

A workload that asks for it gets its answers through `RescuedReply`. It holds back the first content for a moment, so
that an early death passes unseen, and remembers what went out. When the stream dies later, the pipeline may fall over
as before the first byte: the next attempt asks the whole question again, under its own permit and in the journal like
any other, and nothing of its answer is shown until it has said all that the client already has. From there on the
client gets the rest of it. An answer that differs is given up at its first other character.
"""

from __future__ import annotations

from signalbox.core.call import AnswerHead, Call, Reply
from signalbox.core.errors import CallError, UpstreamFault
from signalbox.core.hub import Event, Request
from signalbox.core.snapshot import Rescue
from signalbox.core.stream import Frame
from signalbox.core.usage import Usage
from signalbox.pipeline.continuation import Diverged, Spoken, Verifier
from signalbox.pipeline.passing_reply import PassingReply
from signalbox.pipeline.stages import Stages
from signalbox.wire.dialect import StreamReader
from signalbox.wire.sse import SseDecoder
from signalbox.wire.table import DIALECTS

# What is remembered of a stream. One that is longer is not rescued.
TOLD_BYTES_MAX = 4 * 1024 * 1024
HELD_BYTES_MAX = 1024 * 1024
# A frame of hub events has no bytes yet; so many stand for it.
_EVENT_BYTES = 64
# In these a continuation could be told in full; parameters whose effect the hub does not carry.
APIS = frozenset({"chat", "messages", "responses"})
_NOT_CARRIED = ("logprobs", "top_logprobs", "audio", "modalities")


def through(call: Call, reply: Reply, stages: Stages) -> Reply:
    """The reply for a call: its own, or one that can be rescued where its workload asks for it."""
    rescue = call.workload.rescue
    if rescue is None or not call.envelope.stream or call.api not in APIS:
        return reply
    return RescuedReply(call, reply, rescue, stages)


class RescuedReply(PassingReply):
    """Implements core.call.Reply over another one.

    The pipeline sees `content_sent` only when the answer can no longer be begun anew.
    """

    __slots__ = (
        "_call",
        "_decoder",
        "_head",
        "_held",
        "_held_bytes",
        "_held_tokens",
        "_reader",
        "_release_ns",
        "_rescue",
        "_spoken",
        "_stages",
        "_told",
        "_told_bytes",
        "_usage",
        "_verifier",
    )

    def __init__(self, call: Call, inner: Reply, rescue: Rescue, stages: Stages) -> None:
        self._call = call
        super().__init__(inner)
        self._rescue = rescue
        self._stages = stages
        self._head: tuple[AnswerHead, Request | None] | None = None
        self._held: list[Frame] | None = []
        self._held_bytes = self._held_tokens = self._release_ns = 0
        self._told: list[Frame] | None = []
        self._told_bytes = 0
        self._spoken: Spoken | None = None
        self._verifier: Verifier | None = None
        self._reader: StreamReader | None = None
        self._decoder = SseDecoder()
        self._usage: Usage | None = None

    # --- core.call.Reply ---

    @property
    def content_sent(self) -> bool:
        return self._inner.content_sent and not self._prepared()

    def start(self, head: AnswerHead, request: Request | None) -> None:
        """Another attempt begins to answer."""
        self._head = (head, request)
        self._held, self._held_bytes, self._held_tokens, self._release_ns = [], 0, 0, 0
        if self._inner.content_sent:
            if not self._prepared():
                raise UpstreamFault("diverged", "the answer cannot be gone on with", sent=True)
            assert self._spoken is not None
            self._verifier = Verifier(self._spoken)
            self._usage = None
            self._decoder = SseDecoder()
            self._reader = DIALECTS[self._call.api].reader() if request is None else None

    def send(self, frames: list[Frame]) -> None:
        if self._verifier is not None:
            self._verify(self._verifier, frames)
            return
        if self._held is None:
            self._pass(frames)
            return
        self._held += frames
        for frame in frames:
            self._held_bytes += len(frame.raw) or _EVENT_BYTES
            self._held_tokens += frame.seen.content
            if frame.seen.finished or frame.seen.end:
                self._held_bytes = HELD_BYTES_MAX + 1
        now_ns = self._stages.now_ns()
        self._release_ns = self._release_ns or now_ns + self._rescue.hold_ms * 1_000_000
        over = self._held_tokens > self._rescue.hold_tokens or self._held_bytes > HELD_BYTES_MAX
        if over or now_ns >= self._release_ns:
            self._release()

    def end(self, usage: Usage | None, complete: bool) -> None:
        if self._verifier is None:
            self._release()
            self._inner.end(usage, complete)
            return
        if not self._verifier.verified:
            raise UpstreamFault("diverged", "the second answer ends before what was told of the first", sent=True)
        assert self._head is not None
        deployment = self._head[0].deployment
        self._count("rescued")
        self._inner.comment(f"signalbox: this stream broke off and was taken up by {deployment.name}, checked")
        self._inner.end(usage or self._usage, False)

    # --- the first answer ---

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        assert self._head is not None
        self._inner.start(*self._head)
        if held:
            self._pass(held)

    def _pass(self, frames: list[Frame]) -> None:
        if self._told is not None:
            self._told += frames
            self._told_bytes += sum([len(frame.raw) or _EVENT_BYTES for frame in frames])
            if self._told_bytes > TOLD_BYTES_MAX:
                self._told = None
        self._inner.send(frames)

    def _prepared(self) -> bool:
        """Whether what was told can be gone on with. Asked when an attempt failed, and decided once."""
        if self._spoken is None and self._told is not None:
            told, self._told = self._told, None
            self._spoken = self._prepare(told)
            self._count("tried" if self._spoken is not None else "impossible")
        return self._spoken is not None and not self._spoken.finished

    def _prepare(self, told: list[Frame]) -> Spoken | None:
        call = self._call
        if call.envelope.n > 1 or set(call.envelope.onward) - {"store"} or any(call.doc.get(k) for k in _NOT_CARRIED):
            return None
        try:
            request = call.hub or DIALECTS[call.api].read_request(call.doc)
            events = self._inner.resume(request, told)
        except (CallError, ValueError):
            return None
        spoken = Spoken()
        spoken.note(events)
        call.rescued = True
        return spoken

    # --- a second answer ---

    def _verify(self, verifier: Verifier, frames: list[Frame]) -> None:
        assert self._spoken is not None
        try:
            for frame in frames:
                self._usage = frame.seen.usage or self._usage
                beyond = verifier.take(self._events(frame))
                if beyond:
                    self._spoken.note(beyond)
                    self._inner.send([Frame(b"", beyond, frame.seen)])
        except Diverged as differs:
            self._count("diverged")
            raise UpstreamFault("diverged", str(differs), sent=True) from None
        except ValueError:
            raise UpstreamFault("protocol", "the upstream sent an event that is not valid", sent=True) from None

    def _events(self, frame: Frame) -> list[Event]:
        reader = self._reader
        if reader is None:
            return frame.events or []
        return [event for sse in self._decoder.feed(frame.raw) for event in reader.read(sse)[0]]

    def _count(self, outcome: str) -> None:
        self._stages.metrics.add(("signalbox_stream_rescues_total", outcome))
