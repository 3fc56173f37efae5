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
    await _Relay(this, upstream, reply, stages).run()


def _is_event_stream(upstream: UpstreamResponse) -> bool:
    return any(k == b"content-type" and v.lstrip().lower().startswith(EVENT_STREAM) for k, v in upstream.headers)


class _Relay:
    """The loop's state. finished: every choice has its finish reason, and only usage or the terminator is missing.
    held: frames from before the first content, None once the answer has started."""

    __slots__ = (
        "_decode",
        "_held",
        "_held_bytes",
        "_hidden",
        "_meter",
        "_observer",
        "_reader",
        "_reply",
        "_stages",
        "_this",
        "_upstream",
        "_withhold_usage",
        "finished",
    )

    def __init__(self, this: Attempt, upstream: UpstreamResponse, reply: Reply, stages: Stages) -> None:
        self._this = this
        self._upstream = upstream
        self._reply = reply
        self._stages = stages
        self._decode = SseDecoder().feed
        self._meter = stages.metering.of(this.deployment.name, this.api)
        dialect = DIALECTS[this.api]
        same = this.api == this.call.api
        self._observer: Observer | None = dialect.observer(this.call.envelope.n) if same else None
        self._reader: StreamReader | None = None if same else dialect.reader()
        self._withhold_usage = not this.call.envelope.include_usage
        self._held: list[Frame] | None = []
        self._held_bytes = 0
        self._hidden = 0
        self.finished = False

    async def run(self) -> None:
        this, reply, upstream = self._this, self._reply, self._upstream
        while not (self.finished or this.ended):
            await upstream.push(self._take)
            if upstream.finished and not (self.finished or this.ended):
                raise UpstreamFault("truncated", "the upstream ended its stream before its end", sent=True)
            await reply.drain()
        if not this.ended:
            await self._rest()
        self._start()
        # Usage that passed through, on whichever event the upstream put it, is not told again: some clients add it up.
        translated = self._reader is not None
        reply.end(this.usage if translated else None, complete=this.ended and not translated)
        this.ended = True

    def _take(self, data: bytes) -> bool:
        """Sends on what these bytes complete. False: the answer is finished, or its client cannot keep up."""
        try:
            frames = self._frames(self._decode(data))
        except ValueError as error:
            raise UpstreamFault("protocol", f"malformed event stream: {error}", sent=True) from None
        if frames:
            self._send(frames)
        return not (self.finished or self._reply.slow)

    async def _rest(self) -> None:
        """What follows a finished answer, awaited for a while: nothing of it can spoil the answer any more."""
        try:
            async with asyncio.timeout(USAGE_WAIT_S):
                while not (self._this.ended or self._upstream.finished):
                    await self._upstream.push(self._take)
                    await self._reply.drain()
        except (TimeoutError, UpstreamFault):
            return

    def _frames(self, events: list[SseEvent]) -> list[Frame]:
        """What of these events goes on to the client, counted on the way."""
        this, observer = self._this, self._observer
        frames: list[Frame] = []
        counted = this.out_events
        for event in events:
            if observer is not None:
                frame = Frame(event.raw, None, observer.observe(event))
            else:
                frame = self._translated(event)
            seen = frame.seen
            if seen.content:
                this.out_events += 1
                this.out_chars += seen.content_chars
            if not seen.ok or seen.error is not None:
                self._broken(frames, frame)
            if seen.usage is not None:
                this.usage = seen.usage
            if not (seen.usage_only and self._withhold_usage) and (frame.raw or frame.events):
                frames.append(frame)
            if seen.finished:
                self.finished = True
            if seen.end:
                this.ended = True
                break
        if this.out_events != counted:
            if not counted:
                this.ttft_ns = self._stages.now_ns()
                self._upstream.content_seen()
                self._hidden = self._meter.tokens_hidden((this.ttft_ns - this.started_ns) / 1e9)
            shown = self._meter.tokens_out(this.out_chars, this.out_events)
            self._stages.open.progress(this.id, shown + self._hidden)
        return frames

    def _translated(self, event: SseEvent) -> Frame:
        assert self._reader is not None
        try:
            hub_events, seen = self._reader.read(event)
        except ValueError:
            return Frame(b"", None, Seen(ok=False))
        return Frame(b"", hub_events, seen)

    def _broken(self, frames: list[Frame], frame: Frame) -> None:
        """An event that is not valid, or says that the upstream failed: what came before it still goes out, and the
        upstream's own error passes when the client already has content."""
        error = frame.seen.error
        if frames:
            self._send(frames)
        if not frame.seen.ok or error is None:
            raise UpstreamFault("protocol", "the upstream sent an event that is not valid", sent=True)
        if self._reply.content_sent and frame.raw:
            self._reply.send([frame])
            self._reply.end(None, complete=True)
        raise UpstreamFault("upstream_error", f"the upstream failed in its stream: {error[0]}"[:200], sent=True)

    def _send(self, frames: list[Frame]) -> None:
        held = self._held
        if held is None:
            self._reply.send(frames)
            return
        held += frames
        for frame in frames:
            seen = frame.seen
            self._held_bytes += len(frame.raw)
            if seen.content or seen.finished or seen.end or self._held_bytes > HELD_BYTES_MAX:
                self._start()
                return

    def _start(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        self._reply.start(self._this.head(self._upstream), self._this.hub)
        if held:
            self._reply.send(held)
