"""One streamed answer: upstream events in, frames out, nothing shown that could not be taken back too early.

Frames are held until the first one that carries content, so that an attempt which dies before that is invisible to
the client. An answer is complete only when its protocol's end was seen.
"""

from __future__ import annotations

import asyncio

from signalbox.core.call import Reply
from signalbox.core.errors import UpstreamAnswer, UpstreamFault, forget_frames
from signalbox.core.hub import Finished
from signalbox.core.stream import Frame, Seen, SseEvent
from signalbox.core.usage import Usage
from signalbox.ledger.open import GAIN_TOKENS_MAX
from signalbox.pipeline.money import input_cut
from signalbox.pipeline.provider_words import refusal
from signalbox.pipeline.settlement import ROUND_TRIP_S, told_to_client
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.state import Attempt
from signalbox.policy.budgets import MARGIN_TOKENS
from signalbox.upstream.transport import UpstreamResponse
from signalbox.wire.dialect import Observer, StreamReader
from signalbox.wire.limit import cut_short
from signalbox.wire.repeat import around_text, plain_chars
from signalbox.wire.supplied_usage import supplied
from signalbox.wire.surrogates import JoiningDecoder
from signalbox.wire.table import DIALECTS

# How long a finished answer waits for its usage or its terminator.
USAGE_WAIT_S = 5.0
HELD_BYTES_MAX = 1024 * 1024
EVENT_STREAM = b"text/event-stream"
# While a client does not take its answer, what the upstream may have added to it is estimated so often.
SLOW_CHECK_S = 0.25
# After so many forms of deltas that did not come again, no more are looked for.
FORMS_MAX = 8
CUT_COMMENT = b": signalbox: the budget is used up, so the answer ends here\n\n"


async def relay(this: Attempt, upstream: UpstreamResponse, reply: Reply, stages: Stages) -> None:
    """Pass the stream on to its end. Raises UpstreamFault when it dies, is silent, or is not what it claims to be."""
    if not _is_event_stream(upstream):
        raise UpstreamFault("protocol", "the upstream answered a streaming call with something else", sent=True)
    await _Relay(this, upstream, reply, stages).run()


def _is_event_stream(upstream: UpstreamResponse) -> bool:
    return any(k == b"content-type" and v.lstrip().lower().startswith(EVENT_STREAM) for k, v in upstream.headers)


class _Relay:
    """The loop's state. finished: every choice has its finish reason, and only usage or the terminator is missing.
    held: frames from before the first content, None once the answer has started. before, behind: what stands around
    the text of the delta that came last; empty when the next one has to be read in any case."""

    __slots__ = (
        "_before",
        "_behind",
        "_burst",
        "_cut",
        "_decoder",
        "_forms",
        "_held",
        "_held_bytes",
        "_hidden",
        "_last",
        "_margin",
        "_meter",
        "_observer",
        "_owes_usage",
        "_passing",
        "_reader",
        "_reply",
        "_stages",
        "_this",
        "_told_chars",
        "_upstream",
        "_withhold_usage",
        "finished",
    )

    def __init__(self, this: Attempt, upstream: UpstreamResponse, reply: Reply, stages: Stages) -> None:
        self._this = this
        self._upstream = upstream
        self._reply = reply
        self._stages = stages
        self._decoder = JoiningDecoder()
        self._meter = stages.metering.of(this.deployment.name, this.api)
        dialect = DIALECTS[this.api]
        same = this.api == this.call.api
        self._observer: Observer | None = dialect.observer(this.call.envelope.n) if same else None
        # The observer, once the answer has started: then most events are nothing but more text.
        self._passing: Observer | None = None
        self._reader: StreamReader | None = None if same else dialect.reader()
        envelope = this.call.envelope
        self._withhold_usage = not envelope.include_usage
        # Whether the client waits for a usage chunk that its provider has not sent.
        self._owes_usage = same and envelope.include_usage
        self._held: list[Frame] | None = []
        self._held_bytes = 0
        self._hidden = 0
        self._cut = False
        self._last = b""
        hold = this.hold
        self._margin = max(MARGIN_TOKENS, int(self._meter.tokens_per_s * ROUND_TRIP_S)) if hold is not None else 0
        # Characters after which the journal hears of them at once, and how many it was told of by itself. Whoever pays
        # as the answer grows counts every event.
        self._burst = 0 if hold is not None and hold.metered else self._meter.chars_within(GAIN_TOKENS_MAX)
        self._told_chars = 0
        self._before = self._behind = b""
        self._forms = 0
        self.finished = False

    async def run(self) -> None:
        this, reply, upstream = self._this, self._reply, self._upstream
        while not (self.finished or this.ended or self._cut):
            await upstream.push(self._take)
            if upstream.finished and not (self.finished or this.ended or self._cut):
                raise UpstreamFault("truncated", "the upstream ended its stream before its end", sent=True)
            if reply.slow:
                await self._drain()
        if self._cut and not (self.finished or this.ended):
            self._end_for_money()
            return
        if not this.ended:
            await self._rest()
        self._start()
        if self._owes_usage and not this.ended:
            reply.send([self._supplied_usage([])])
        # Usage that passed through, on whichever event the upstream put it, is not told again: some clients add it up.
        translated = self._reader is not None
        reply.end(told_to_client(this, self._stages) if translated else None, complete=this.ended and not translated)
        this.ended = True

    def _take(self, data: bytes) -> bool:
        """Sends on what these bytes complete. False: the answer is finished, or its client cannot keep up."""
        before = self._before
        if before and data.startswith(before) and data.endswith(self._behind):
            chars = plain_chars(data[len(before) : -len(self._behind)])
            if chars:
                self._forms = 0
                return self._pass(data, chars)
        passing = self._passing
        if passing is not None:
            text = self._decoder.single(data)
            if text is not None:
                chars = passing.text(text)
                if chars:
                    self._learn(data, chars)
                    return self._pass(data, chars)
        self._before = b""
        try:
            events = self._decoder.feed(data)
            frames = self._frames(events)
        except ValueError as error:
            raise UpstreamFault("protocol", f"malformed event stream: {error}", sent=True) from None
        if frames:
            self._send(frames)
        if passing is not None and len(events) == 1 and len(frames) == 1 and self._decoder.idle:
            seen = frames[0].seen
            if seen.content and not self.finished and events[0].raw == data:
                self._learn(data, seen.content_chars)
        return not (self.finished or self._cut or self._reply.slow)

    def _learn(self, data: bytes, chars: int) -> None:
        """What stands around this delta's text is likely to stand around the next one's."""
        if self._forms < FORMS_MAX and self._passing is not None:
            self._forms += 1
            self._before, self._behind = around_text(data, chars, self._passing.text) or (b"", b"")

    async def _drain(self) -> None:
        """Until the client has taken enough. The upstream goes on meanwhile as fast as it can, which costs."""
        hold = self._this.hold
        if hold is None or not hold.metered:
            await self._reply.drain()
            return
        began_ns, shown = self._stages.now_ns(), self._shown()
        while self._reply.slow and not self._cut:
            try:
                async with asyncio.timeout(SLOW_CHECK_S):
                    await self._reply.drain()
            except TimeoutError:
                waited_s = (self._stages.now_ns() - began_ns) / 1e9
                self._cut = not hold.covers(shown + int(waited_s * self._meter.tokens_per_s), self._margin)

    def _shown(self) -> int:
        return self._meter.tokens_out(self._this.out_chars, self._this.out_events) + self._hidden

    def _end_for_money(self) -> None:
        """The answer ends as one that reached its limit: an error would only make agents try again."""
        this, reply = self._this, self._reply
        this.cut = True
        self._start()
        if self._reader is None:
            reply.send([Frame(CUT_COMMENT + cut_short(this.api, self._last, self._shown()), None, Seen())])
        else:
            reply.send([Frame(CUT_COMMENT, None, Seen()), Frame(b"", [Finished("length")], Seen(finished=True))])
        reply.end(Usage(tokens_in=this.reserved_in, tokens_out=self._shown()), complete=False)

    async def _rest(self) -> None:
        """What follows a finished answer, awaited for a while: nothing of it can spoil the answer any more."""
        try:
            async with asyncio.timeout(USAGE_WAIT_S):
                while not (self._this.ended or self._upstream.finished):
                    await self._upstream.push(self._take)
                    await self._reply.drain()
        except (TimeoutError, UpstreamFault) as failure:
            forget_frames(failure)

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
                self._last = event.data
                this.out_events += 1
                this.out_chars += seen.content_chars
            if not seen.ok or seen.error is not None:
                self._broken(frames, frame, event)
            if seen.usage is not None:
                this.usage = seen.usage
                self._owes_usage = False
            elif seen.end and self._owes_usage:
                frames.append(self._supplied_usage(frames))
            if not (seen.usage_only and self._withhold_usage) and (frame.raw or frame.events):
                frames.append(frame)
            if seen.finished:
                self.finished = True
            if seen.end:
                this.ended = True
                this.closing = event.data
                break
        if this.out_events != counted:
            if not counted:
                this.ttft_ns = self._stages.now_ns()
                self._upstream.content_seen()
                self._hidden = self._meter.tokens_hidden((this.ttft_ns - this.started_ns) / 1e9)
                self._stages.open.watch(this.id, self._shown)
            self._metered()
        return frames

    def _supplied_usage(self, frames: list[Frame]) -> Frame:
        """What the ledger will have it as, for a client that asked to be told. frames: what goes before it."""
        self._owes_usage = False
        first = [*(self._held or ()), *frames][:1]
        like = self._this.opening or (first[0].raw if first else b"")
        return Frame(supplied(like, told_to_client(self._this, self._stages)), None, Seen(usage_only=True))

    def _pass(self, data: bytes, chars: int) -> bool:
        """Sends on one event that is nothing but more text, as it came. False as `_take` says."""
        this, reply = self._this, self._reply
        this.out_events += 1
        this.out_chars += chars
        if this.out_chars - self._told_chars > self._burst:
            self._last = data[data.find(b"data: ") + 6 :]
            self._metered()
        reply.send([Frame(data, None, Seen(content=True, content_chars=chars))])
        return not (self._cut or reply.slow)

    def _metered(self) -> None:
        """What was shown so far is on its way into the journal, and paid for as long as there is money."""
        this = self._this
        self._told_chars = this.out_chars
        shown = self._shown()
        self._stages.open.progress(this.id, shown)
        hold = this.hold
        if hold is not None and hold.metered and not hold.covers(shown, self._margin):
            self._cut = True

    def _translated(self, event: SseEvent) -> Frame:
        assert self._reader is not None
        try:
            hub_events, seen = self._reader.read(event)
        except ValueError:
            return Frame(b"", None, Seen(ok=False))
        return Frame(b"", hub_events, seen)

    def _broken(self, frames: list[Frame], frame: Frame, event: SseEvent) -> None:
        """An event that is not valid, or says that the upstream failed: what came before it still goes out, and the
        upstream's own error passes when the client already has content. One that refuses the call, before anything
        was answered, is the answer with an error status that it might have been."""
        error = frame.seen.error
        if frames:
            self._send(frames)
        if not frame.seen.ok or error is None:
            raise UpstreamFault("protocol", "the upstream sent an event that is not valid", sent=True)
        if not self._this.out_events and not self._reply.content_sent:
            refused = refusal(self._this.api, *error, event.data)
            if refused is not None:
                status, body = refused
                told = b"".join([held.raw for held in (*(self._held or ()), frame)])
                raise UpstreamAnswer(status, self._upstream.headers, body, events=told)
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
        self._passing = self._observer
        this = self._this
        if this.hub is not None and this.call.api == "messages":
            this.hub.expected_in = input_cut(this, self._meter)
        self._reply.start(this.head(self._upstream), this.hub)
        if held:
            self._this.opening = held[0].raw
            self._reply.send(held)
