"""One streamed answer: upstream events in, frames out, nothing shown that could not be taken back too early.

Frames are held until the first one that carries content, so that an attempt which dies before that is invisible to
the client. An answer is complete only when its protocol's end was seen.
"""

from __future__ import annotations

import asyncio

from signalbox.core.call import Reply
from signalbox.core.errors import UpstreamFault
from signalbox.core.stream import Frame, Seen, SseEvent
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.state import Attempt
from signalbox.upstream.transport import UpstreamResponse
from signalbox.wire.dialect import Observer, StreamReader
from signalbox.wire.sse import SseDecoder
from signalbox.wire.table import DIALECTS

# How long a finished answer waits for its usage or its terminator.
USAGE_WAIT_S = 5.0
HELD_BYTES_MAX = 1024 * 1024
EVENT_STREAM = b"text/event-stream"


async def relay(this: Attempt, upstream: UpstreamResponse, reply: Reply, stages: Stages) -> None:
    """Pass the stream on to its end. Raises UpstreamFault when it dies, is silent, or is not what it claims to be."""
    if not _is_event_stream(upstream):
        raise UpstreamFault("protocol", "the upstream answered a streaming call with something else", sent=True)
    relay_ = _Relay(this, upstream, reply, stages)
    await relay_.run()


def _is_event_stream(upstream: UpstreamResponse) -> bool:
    return any(k == b"content-type" and v.lstrip().lower().startswith(EVENT_STREAM) for k, v in upstream.headers)


class _Relay:
    """The loop's state. held: frames before the first content. finished: every choice has its finish reason."""

    __slots__ = (
        "_decoder",
        "_held",
        "_held_bytes",
        "_include_usage",
        "_observer",
        "_reader",
        "_reply",
        "_stages",
        "_started",
        "_this",
        "_upstream",
        "finished",
    )

    def __init__(self, this: Attempt, upstream: UpstreamResponse, reply: Reply, stages: Stages) -> None:
        self._this = this
        self._upstream = upstream
        self._reply = reply
        self._stages = stages
        self._decoder = SseDecoder()
        dialect = DIALECTS[this.api]
        same = this.api == this.call.api
        self._observer: Observer | None = dialect.observer() if same else None
        self._reader: StreamReader | None = None if same else dialect.reader()
        self._include_usage = this.call.envelope.include_usage
        self._held: list[Frame] = []
        self._held_bytes = 0
        self._started = False
        self.finished = False

    async def run(self) -> None:
        this, reply = self._this, self._reply
        while not this.ended:
            data = await self._chunk()
            if not data:
                self._at_eof()
                break
            try:
                events = self._decoder.feed(data)
            except ValueError as error:
                raise UpstreamFault("protocol", f"malformed event stream: {error}", sent=True) from None
            frames = self._frames(events)
            if frames:
                self._send(frames)
                await reply.drain()
        self._start()
        reply.end(this.usage, complete=this.ended and not self._reader)
        this.ended = True

    async def _chunk(self) -> bytes:
        if not self.finished:
            return await self._upstream.chunk()
        try:
            return await asyncio.wait_for(self._upstream.chunk(), USAGE_WAIT_S)
        except (TimeoutError, UpstreamFault):
            return b""

    def _at_eof(self) -> None:
        if not self.finished:
            raise UpstreamFault("truncated", "the upstream ended its stream before its end", sent=True)

    def _frames(self, events: list[SseEvent]) -> list[Frame]:
        """What of these events goes on to the client, counted on the way."""
        this = self._this
        frames: list[Frame] = []
        for event in events:
            frame = self._frame(event)
            seen = frame.seen
            if not seen.ok:
                if frames:
                    self._send(frames)
                raise UpstreamFault("protocol", "the upstream sent an event that is not valid", sent=True)
            if seen.usage is not None:
                this.usage = seen.usage
            if seen.content:
                self._count(seen)
            if seen.error is not None:
                self._upstream_error(frames, frame, seen.error)
            if not (seen.usage_only and not self._include_usage) and (frame.raw or frame.events):
                frames.append(frame)
            if seen.finished:
                self.finished = True
            if seen.end:
                this.ended = True
                break
        return frames

    def _frame(self, event: SseEvent) -> Frame:
        if self._observer is not None:
            return Frame(event.raw, None, self._observer.observe(event))
        assert self._reader is not None
        try:
            hub_events, seen = self._reader.read(event)
        except ValueError:
            return Frame(b"", None, Seen(ok=False))
        return Frame(b"", hub_events, seen)

    def _count(self, seen: Seen) -> None:
        this, stages = self._this, self._stages
        if not this.out_events:
            this.ttft_ns = stages.now_ns()
        this.out_events += 1
        this.out_chars += seen.content_chars
        tokens = stages.metering.of(this.deployment.name).tokens_out(this.out_chars, this.out_events)
        stages.open.progress(this.id, tokens)

    def _upstream_error(self, frames: list[Frame], frame: Frame, error: tuple[str, str]) -> None:
        """The upstream says itself that it failed. Its own event passes when the client already has content."""
        if self._reply.content_sent and frame.raw:
            self._send([*frames, frame])
            self._reply.end(None, complete=True)
        raise UpstreamFault("upstream_error", f"the upstream failed in its stream: {error[0]}"[:200], sent=True)

    def _send(self, frames: list[Frame]) -> None:
        if self._started:
            self._reply.send(frames)
            return
        self._held += frames
        self._held_bytes += sum(len(frame.raw) for frame in frames)
        content = any(frame.seen.content or frame.seen.finished or frame.seen.end for frame in frames)
        if content or self._held_bytes > HELD_BYTES_MAX:
            self._start()

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        this = self._this
        self._reply.start(this.head(self._upstream), this.hub)
        if self._held:
            held, self._held = self._held, []
            self._reply.send(held)
