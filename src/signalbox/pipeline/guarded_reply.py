"""The answer as guards let it through: bodies, events of a stream that passes, and events of one that is translated."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.call import AnswerHead, Call, Reply
from signalbox.core.errors import AnswerCut, GuardFailed, UpstreamFault
from signalbox.core.guards import Channel
from signalbox.core.hub import (
    Event,
    Finished,
    PartDone,
    RefusalDelta,
    Request,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.stream import Frame, Seen, SseEvent
from signalbox.core.usage import Usage
from signalbox.guard.room import GuardSet
from signalbox.guard.screen import Screen
from signalbox.pipeline.guarded_body import let_through
from signalbox.pipeline.passing_reply import PassingReply
from signalbox.pipeline.told_so_far import ToldSoFar
from signalbox.wire import sse, visible, withheld
from signalbox.wire.resume import read_told
from signalbox.wire.sse import SseDecoder

APIS = frozenset(("chat", "responses", "messages", "completions"))
# What was shown is remembered only for streams that may have to be gone on with.
SHOWN_BYTES_MAX = 4 * 1024 * 1024
CUT_COMMENT = b": signalbox: a guard ended the answer here\n\n"
_NOTHING_SEEN = Seen()

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


class GuardedReply(PassingReply):
    """Implements core.call.Reply over another one. Nothing reaches that one which a guard of the workload has not
    seen; what a guard holds back is told before the event that ends its part. Raises AnswerCut when a guard has ended
    the stream, all that the client may see of it being out."""

    __slots__ = (
        "_begun",
        "_call",
        "_decoder",
        "_guards",
        "_is_responses",
        "_last",
        "_origins",
        "_screen",
        "_shift",
        "_shown",
        "_shown_bytes",
        "_so_far",
        "_sources",
        "_translated",
    )

    def __init__(self, call: Call, inner: Reply, guards: GuardSet) -> None:
        self._call = call
        super().__init__(inner)
        self._guards = guards
        self._is_responses = call.api == "responses"
        self._shown: list[Frame] | None = [] if call.workload.rescue is not None else None
        self._shown_bytes = 0
        self._translated = False
        self._begun = False

    def _whole_begins(self) -> None:
        assert self._call.guarded is not None
        self._begun = False
        record = self._call.guarded if not self._call.guarded.heard else self._call.guarded.quiet()
        self._screen = Screen(self._guards, self._call, record)

    def _begin(self) -> None:
        self._whole_begins()
        self._begun = True
        self._decoder = SseDecoder()
        # The last event of each channel, to tell the rest of it in the same form.
        self._sources: dict[Channel, dict[str, Any]] = {}
        # Whose thoughts the parts of a translated stream hold.
        self._origins: dict[Channel, str | None] = {}
        self._last: dict[str, Any] = {}
        self._shift = 0
        self._so_far = ToldSoFar()

    # --- core.call.Reply ---

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._whole_begins()
        self._inner.unary(head, self._answer(body), cost_pico)

    def error(self, head: AnswerHead, body: bytes) -> None:
        """An upstream's own words may repeat what was asked."""
        self._whole_begins()
        try:
            doc = _decode(body)
        except (msgspec.DecodeError, RecursionError):
            # No document: nothing in it could be told apart, so none of it is shown.
            self._inner.error(head, b"{}")
            return
        if let_through(self._screen, "", doc):
            body = _encode(doc)
        self._inner.error(head, body)

    def start(self, head: AnswerHead, request: Request | None) -> None:
        """Another attempt begins to answer."""
        if not self._inner.content_sent:
            self._begin()
            self._translated = request is not None
        self._inner.start(head, request)

    def send(self, frames: list[Frame]) -> None:
        if not self._begun:
            self._begin()
        out: list[Frame] = []
        for frame in frames:
            if frame.events is not None:
                events = self._events(frame.events)
                if events:
                    out.append(Frame(b"", events, frame.seen))
            elif self._translated:
                out.append(frame)  # a comment of our own
            else:
                self._raw(frame, out)
            if self._screen.cut:
                self._cut(out)
        self._pass(out)

    def end(self, usage: Usage | None, complete: bool) -> None:
        if not self._begun:
            self._begin()
        out: list[Frame] = []
        self._flush(-1, out)
        if self._screen.cut:
            self._cut(out)
        self._screen.over()
        self._pass(out)
        self._inner.end(usage, complete)

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        """The answer goes on from another upstream: what was read of the first one's is read once more, so that each
        window stands where it stood, and what was shown of it is what the client's next event follows."""
        if self._shown is None:
            raise ValueError("what was shown of the answer is not remembered")
        if self._translated:
            said = [event for frame in told if frame.events for event in frame.events]
        else:
            said, _ = read_told(self._call.api, b"".join([frame.raw for frame in told]))
        self._inner.resume(request, self._shown)
        self._begin()
        self._events(said)
        self._translated = True
        return said

    # --- whole answers ---

    def _answer(self, body: bytes) -> bytes:
        try:
            doc = _decode(body)
        except (msgspec.DecodeError, RecursionError):
            raise GuardFailed("An answer that is no document cannot be looked at.") from None
        changed = let_through(self._screen, self._call.api, doc)
        self._screen.over()
        return _encode(doc) if changed else body

    # --- streams that pass ---

    def _raw(self, frame: Frame, out: list[Frame]) -> None:
        """One frame, which may be several events of our own."""
        for event in self._decoder.feed(frame.raw):
            self._event(event, frame, out)
            if self._screen.cut:
                return

    def _event(self, event: SseEvent, frame: Frame, out: list[Frame]) -> None:
        if event.comment or not event.data:
            out.append(Frame(event.raw, None, frame.seen))
            return
        if event.data.strip() == b"[DONE]":
            self._flush(-1, out)
            if not self._screen.cut:
                out.append(Frame(event.raw, None, frame.seen))
            return
        try:
            doc = _decode(event.data)
        except (msgspec.DecodeError, RecursionError):
            raise UpstreamFault("protocol", "the upstream sent an event that is not valid", sent=True) from None
        if self._is_responses:
            self._so_far.note_response(doc)
        before = event.data if event.data.find(b"logprobs") >= 0 else b""
        seen = visible.event(self._call.api, doc)
        changed = bool(before) and _encode(doc) != before
        if seen.ends is not None and not any(slot.delta for slot in seen.slots):
            self._flush(seen.ends, out)
            if self._screen.cut:
                return
        for slot in seen.slots:
            text = slot.text
            if slot.delta:
                self._sources[slot.channel] = doc
                said = self._screen.feed(slot.channel, text)
                if self._is_responses:
                    self._so_far.note_text(slot.channel, said)
            else:
                said = self._screen.whole(slot.channel, text)
            if said != text:
                slot.holder[slot.key] = said
                changed = True
            if self._screen.cut:
                break
        self._last = doc
        if self._screen.cut:
            if any(slot.delta for slot in seen.slots):
                self._unfinish(doc)
                out.append(Frame(sse.event(doc, event.event), None, frame.seen))
            return
        if seen.ends is not None and any(slot.delta for slot in seen.slots):
            # Text and its end in one event: the rest of the text has to come before the end.
            changed = self._flush_into(seen, out) or changed
            if self._screen.cut:
                return
        if self._shift and "sequence_number" in doc:
            doc["sequence_number"] += self._shift
            changed = True
        self._so_far.note_blocks(doc)
        out.append(Frame(sse.event(doc, event.event) if changed else event.raw, None, frame.seen))

    def _flush(self, ends: int, out: list[Frame]) -> None:
        """Tells what was held back of the channels that are over."""
        screen, api = self._screen, self._call.api
        for channel in screen.open():
            if self._translated or visible.over(api, channel, ends):
                rest = screen.end(channel)
                if rest:
                    out.append(self._rest(channel, rest))
                if screen.cut:
                    return

    def _flush_into(self, seen: visible.Seen, out: list[Frame]) -> bool:
        """Adds what is held back to the last texts of an event that ends their channels."""
        assert seen.ends is not None
        changed = False
        for slot in reversed(seen.slots):
            if slot.delta and visible.over(self._call.api, slot.channel, seen.ends):
                rest = self._screen.end(slot.channel)
                if rest:
                    slot.holder[slot.key] += rest
                    changed = True
        self._flush(seen.ends, out)
        return changed

    def _rest(self, channel: Channel, text: str) -> Frame:
        if self._translated:
            return Frame(b"", [self._delta(channel, text)], _NOTHING_SEEN)
        source = self._sources.get(channel, self._last)
        doc = visible.rest_of(self._call.api, source, channel, text)
        name = str(doc.get("type", "")) if self._call.api in ("messages", "responses") else ""
        if self._is_responses:
            # One more event than the upstream sent: every number after it is one higher.
            number = self._last.get("sequence_number")
            doc["sequence_number"] = (number if isinstance(number, int) else 0) + self._shift + 1
            self._shift += 1
            self._so_far.note_text(channel, text)
        return Frame(sse.event(doc, name), None, _NOTHING_SEEN)

    # --- streams that are translated ---

    def _events(self, events: list[Event]) -> list[Event]:
        screen = self._screen
        out: list[Event] = []
        for event in events:
            match event:
                case TextDelta() | RefusalDelta() | ThinkingDelta() | ToolDelta():
                    said, channel = _said(event), _channel(event)
                    if isinstance(event, ThinkingDelta):
                        self._origins[channel] = event.origin
                    shown = screen.feed(channel, said) if said else said
                    if shown == said:
                        out.append(event)
                    elif shown or (isinstance(event, ThinkingDelta) and (event.signature or event.redacted)):
                        out.append(_saying(event, shown))
                case ToolStarted():
                    screen.whole(Channel(visible.CALL, 0, event.index), event.name)
                    if not screen.cut:
                        out.append(event)
                case PartDone():
                    self._rests([c for c in screen.open() if c.part == event.index], out)
                    if not screen.cut:
                        out.append(event)
                case Finished():
                    self._rests(screen.open(), out)
                    if not screen.cut:
                        out.append(event)
                case _:
                    out.append(event)
            if screen.cut:
                return out
        return out

    def _rests(self, channels: list[Channel], out: list[Event]) -> None:
        for channel in channels:
            rest = self._screen.end(channel)
            if rest:
                out.append(self._delta(channel, rest))
            if self._screen.cut:
                return

    def _delta(self, channel: Channel, text: str) -> Event:
        match channel.kind:
            case "tool":
                return ToolDelta(channel.part, text)
            case "reasoning":
                return ThinkingDelta(channel.part, text, origin=self._origins.get(channel))
            case "refusal":
                return RefusalDelta(channel.part, text)
            case _:
                return TextDelta(channel.part, text)

    # --- an answer that a guard ends ---

    def _cut(self, out: list[Frame]) -> None:
        call = self._call
        if self._translated:
            out += [Frame(CUT_COMMENT, None, _NOTHING_SEEN), Frame(b"", [Finished("content_filter")], _NOTHING_SEEN)]
        else:
            last = {**self._last}
            if self._shift and "sequence_number" in last:
                last["sequence_number"] += self._shift
            closing = withheld.closing_events(
                call.api, last, max(1, call.envelope.n), self._so_far.blocks, self._so_far.response()
            )
            out.append(Frame(CUT_COMMENT + closing, None, _NOTHING_SEEN))
        self._pass(out)
        self._inner.end(None, complete=False)
        raise AnswerCut("a guard ended the answer")

    def _pass(self, out: list[Frame]) -> None:
        if not out:
            return
        if self._shown is not None:
            self._shown += out
            self._shown_bytes += sum([len(frame.raw) or 64 for frame in out])
            if self._shown_bytes > SHOWN_BYTES_MAX:
                self._shown = None
        self._inner.send(out)

    def _unfinish(self, doc: dict[str, Any]) -> None:
        """The event in which the answer was cut may not say that it ended well, nor go on in other parts."""
        for choice in cast("list[Any]", doc.get("choices") or ()):
            if isinstance(choice, dict):
                fields = cast("dict[str, Any]", choice)
                if "finish_reason" in fields:
                    fields["finish_reason"] = None
        for slot in visible.event(self._call.api, doc).slots:
            if slot.delta and slot.channel not in self._sources:
                slot.holder[slot.key] = ""


_KIND_OF = {TextDelta: "text", RefusalDelta: "refusal", ThinkingDelta: "reasoning", ToolDelta: "tool"}


def _channel(event: TextDelta | RefusalDelta | ThinkingDelta | ToolDelta) -> Channel:
    return Channel(_KIND_OF[type(event)], 0, event.index)


def _said(event: TextDelta | RefusalDelta | ThinkingDelta | ToolDelta) -> str:
    return event.arguments if isinstance(event, ToolDelta) else event.text


def _saying(event: TextDelta | RefusalDelta | ThinkingDelta | ToolDelta, text: str) -> Event:
    if isinstance(event, ToolDelta):
        return ToolDelta(event.index, text)
    return msgspec.structs.replace(event, text=text)
