"""Anthropic's event stream as it comes from upstream: observed while it passes through, or read into hub events."""

from __future__ import annotations

import msgspec

from signalbox.core.hub import Event, Finished, PartDone, Started, TextDelta, ThinkingDelta, ToolDelta, ToolStarted
from signalbox.core.stream import Seen, SseEvent
from signalbox.wire.anthropic_finish import finish_of
from signalbox.wire.anthropic_usage import UsageMeter

# Marks thinking that Anthropic signed, so that it is only ever given back to Anthropic.
ORIGIN = "anthropic"


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Block(msgspec.Struct, gc=False):
    type: str
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct):
    id: str = ""
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _Error(msgspec.Struct, gc=False):
    type: str = "api_error"
    message: str = ""


class StreamEvent(msgspec.Struct):
    """The fields of any event of this protocol that matter here, in one type so that one decoder serves all."""

    type: str
    index: int = -1
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None


_decode = msgspec.json.Decoder(StreamEvent).decode


def parse_event(data: bytes) -> StreamEvent | None:
    """One event's data, or None when it is not JSON of this protocol's shape."""
    try:
        if not data.isascii():
            # The decoder does not look at the bytes of fields that it passes over; clients will.
            data.decode()
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class MessagesObserver:
    """Meters one pass-through stream. Usage told by several events is merged; counts never fall."""

    __slots__ = ("_meter", "_thinking_chars")

    def __init__(self) -> None:
        self._meter = UsageMeter()
        self._thinking_chars = 0

    def text(self, data: bytes) -> int:
        event = parse_event(data)
        if event is None or event.type != "content_block_delta" or event.delta is None:
            return 0
        return len(event.delta.text or "")

    def observe(self, event: SseEvent) -> Seen:
        if not event.data:
            return Seen()
        parsed = parse_event(event.data)
        if parsed is None:
            return Seen(ok=False)
        return self.judge(parsed, len(event.data))

    def judge(self, event: StreamEvent, data_bytes: int) -> Seen:
        """What one decoded event means for metering and completion. data_bytes: its size, for parts of unknown kind."""
        kind = event.type
        if kind == "content_block_delta":
            delta = event.delta
            if delta is None:
                return Seen(ok=False)
            return Seen(content=True, content_chars=self._delta_chars(delta, data_bytes))
        if kind == "ping" or kind == "content_block_stop":
            return Seen()
        if kind == "content_block_start":
            return self._block_started(event.content_block, data_bytes)
        if kind == "message_start":
            message = event.message
            if message is None:
                return Seen(ok=False)
            return self._with_usage(Seen(model=message.model), message.usage, begun=True)
        if kind == "message_delta":
            delta = event.delta
            return self._with_usage(Seen(finished=delta is not None and delta.stop_reason is not None), event.usage)
        if kind == "message_stop":
            return Seen(end=True)
        if kind == "error":
            error = event.error or _Error()
            return Seen(error=(error.type, error.message))
        # An event of a later version may carry content: passing it on is right, falling over after it is not.
        return Seen(content=True)

    def _delta_chars(self, delta: _Delta, data_bytes: int) -> int:
        text = delta.text
        if text is not None:
            return len(text)
        text = delta.partial_json
        if text is not None:
            return len(text)
        text = delta.thinking
        if text is not None:
            chars = len(text)
            self._thinking_chars += chars
            return chars
        text = delta.signature
        if text is not None:
            # The signature encrypts the whole thought. Where its text was withheld, this is all there is to meter.
            return max(0, len(text) - self._thinking_chars)
        return data_bytes

    def _block_started(self, block: _Block | None, data_bytes: int) -> Seen:
        if block is None:
            return Seen(ok=False)
        self._thinking_chars = 0
        kind = block.type
        if kind == "text":
            chars = len(block.text or "")
            return Seen(content=chars > 0, content_chars=chars)
        if kind == "thinking":
            chars = self._thinking_chars = len(block.thinking or "")
            return Seen(content=chars > 0 or bool(block.signature), content_chars=chars)
        if kind == "tool_use":
            return Seen(content=True, content_chars=len(block.name or ""))
        return Seen(content=True, content_chars=data_bytes)

    def _with_usage(self, seen: Seen, usage: msgspec.Raw, *, begun: bool = False) -> Seen:
        try:
            seen.usage = self._meter.tell(usage, begun=begun)
        except ValueError:
            return Seen(ok=False)
        return seen


class _OpenPart:
    """One content block that has begun. held: tool input told whole at its start, in case no delta follows."""

    __slots__ = ("held", "index", "tool")

    def __init__(self, index: int, *, tool: bool, held: str | None) -> None:
        self.index = index
        self.tool = tool
        self.held = held


class MessagesReader:
    """Turns one upstream stream into hub events. Blocks of server-side tools have no place in the hub; a client of
    another protocol cannot have asked for them, and they are passed over."""

    __slots__ = ("_next", "_observer", "_open", "_skipped", "_started")

    def __init__(self) -> None:
        self._observer = MessagesObserver()
        self._open: dict[int, _OpenPart] = {}
        self._skipped: set[int] = set()
        self._next = 0
        self._started = False

    def read(self, event: SseEvent) -> tuple[list[Event], Seen]:
        if not event.data:
            return [], Seen()
        parsed = parse_event(event.data)
        if parsed is None:
            return [], Seen(ok=False)
        seen = self._observer.judge(parsed, len(event.data))
        if not seen.ok:
            return [], seen
        events = self._events(parsed)
        if events is None:
            return [], Seen(ok=False)
        return events, seen

    def _events(self, event: StreamEvent) -> list[Event] | None:
        """The hub events of one event; None when it cannot follow what came before."""
        kind = event.type
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "content_block_start":
            return self._start(event)
        if kind == "content_block_stop":
            return self._stop(event.index)
        if kind == "message_start" and event.message is not None:
            if self._started:
                return None
            self._started = True
            return [Started(event.message.id, event.message.model or "")]
        if kind == "message_delta" and event.delta is not None and event.delta.stop_reason is not None:
            return [Finished(finish_of(event.delta.stop_reason), event.delta.stop_sequence)]
        return []

    def _start(self, event: StreamEvent) -> list[Event] | None:
        block = event.content_block
        if block is None or not self._started or event.index in self._open:
            return None
        kind = block.type
        index = self._next
        events: list[Event] = []
        held = None
        if kind == "tool_use":
            if not block.id or not block.name:
                return None
            events.append(ToolStarted(index, block.id, block.name))
            held = _told_input(block.input)
        elif kind == "text":
            if block.text:
                events.append(TextDelta(index, block.text))
        elif kind == "thinking":
            events.append(ThinkingDelta(index, block.thinking or "", block.signature or None, origin=ORIGIN))
        elif kind == "redacted_thinking":
            events.append(ThinkingDelta(index, redacted=block.data or "", origin=ORIGIN))
        else:
            self._skipped.add(event.index)
            return events
        self._next += 1
        self._open[event.index] = _OpenPart(index, tool=kind == "tool_use", held=held)
        return events

    def _delta(self, event: StreamEvent) -> list[Event] | None:
        part = self._open.get(event.index)
        if part is None:
            return [] if event.index in self._skipped else None
        delta = event.delta
        if delta is None:
            return None
        if delta.partial_json is not None:
            if not part.tool:
                return None
            if delta.partial_json:
                part.held = None
                return [ToolDelta(part.index, delta.partial_json)]
            return []
        if delta.text is not None:
            return [TextDelta(part.index, delta.text)] if delta.text else []
        if delta.thinking is not None:
            return [ThinkingDelta(part.index, delta.thinking, origin=ORIGIN)] if delta.thinking else []
        if delta.signature is not None:
            return [ThinkingDelta(part.index, signature=delta.signature, origin=ORIGIN)]
        return []

    def _stop(self, index: int) -> list[Event] | None:
        part = self._open.pop(index, None)
        if part is None:
            if index not in self._skipped:
                return None
            self._skipped.discard(index)
            return []
        done = PartDone(part.index)
        return [ToolDelta(part.index, part.held), done] if part.held else [done]


def _told_input(raw: msgspec.Raw) -> str | None:
    """A tool's whole input when its block starts with one: imitating servers do that and send no delta."""
    text = bytes(raw).decode().strip()
    return None if text in ("", "null") or text.replace(" ", "") == "{}" else text
