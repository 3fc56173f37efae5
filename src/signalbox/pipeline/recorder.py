"""A reply that remembers what it passed on, for a cache or a comparison: whole, or not at all."""

from __future__ import annotations

from typing import NamedTuple

from signalbox.cache.entry import BODY, ENTRY_BYTES_MAX, EVENTS, STREAM, encode_events
from signalbox.core.call import AnswerHead, Reply
from signalbox.core.hub import Event, Finished, Request, Text, TextDelta, ToolCall, ToolStarted
from signalbox.core.stream import Frame
from signalbox.core.usage import Usage
from signalbox.pipeline.passing_reply import PassingReply
from signalbox.wire.responses_calls import called_in_answer, called_in_stream
from signalbox.wire.sse import SseDecoder
from signalbox.wire.table import DIALECTS

# How an answer ends that says all that it has to say.
WHOLE = frozenset(("stop", "stop_sequence", "tool_calls"))
# A frame of hub events has no bytes yet; so many stand for each event.
_EVENT_BYTES = 64
MISS = "miss"


class _Said(NamedTuple):
    """How an answer ended, the names of the tools that it calls, and its text."""

    finish: str
    tools: set[str]
    text: str


class Recorder(PassingReply):
    """Implements core.call.Reply over another one. head: of the answer that was begun last. refused: the answer was an
    error. form, content: what was told, once it is whole. text: of it, once it was asked whether it is keepable."""

    __slots__ = (
        "_bytes",
        "_events",
        "_miss",
        "_raw",
        "complete",
        "content",
        "form",
        "head",
        "refused",
        "text",
        "usage",
    )

    def __init__(self, inner: Reply, *, miss: bool = True) -> None:
        """miss: the client is told that no cache had its answer."""
        super().__init__(inner)
        self._miss = MISS if miss else ""
        self._raw: list[bytes] | None = None
        self._events: list[Event] | None = None
        self._bytes = 0
        self.head: AnswerHead | None = None
        self.refused = False
        self.form = ""
        self.content = b""
        self.text = ""
        self.complete = True
        self.usage: Usage | None = None

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        head.cache = self._miss or head.cache
        self._inner.unary(head, body, cost_pico)
        if head.status == 200 and len(body) <= ENTRY_BYTES_MAX:
            self.head, self.form, self.content = head, BODY, body

    def error(self, head: AnswerHead, body: bytes) -> None:
        self.refused = True
        self._inner.error(head, body)

    def start(self, head: AnswerHead, request: Request | None) -> None:
        head.cache = self._miss or head.cache
        self._inner.start(head, request)
        self.head = head
        self._raw, self._events, self._bytes = ([], None, 0) if request is None else (None, [], 0)

    def send(self, frames: list[Frame]) -> None:
        self._inner.send(frames)
        if self._raw is not None:
            for frame in frames:
                self._raw.append(frame.raw)
                self._bytes += len(frame.raw)
        elif self._events is not None:
            for frame in frames:
                if frame.events:
                    self._events += frame.events
                    self._bytes += _EVENT_BYTES * len(frame.events)
        if self._bytes > ENTRY_BYTES_MAX:
            self._raw = self._events = None

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        """Two answers in one: not kept."""
        self._raw = self._events = None
        return self._inner.resume(request, told)

    def end(self, usage: Usage | None, complete: bool) -> None:
        self._inner.end(usage, complete)
        self.usage, self.complete = usage, complete
        if self._raw is not None:
            self.form, self.content = STREAM, b"".join(self._raw)
        elif self._events is not None:
            self.form, self.content = EVENTS, encode_events(self._events)

    # --- what was said ---

    def keepable(self, api: str, safe_tools: frozenset[str]) -> bool:
        """Whether the answer may be given to somebody else: whole, not cut, and calling no tool that may have a side
        effect."""
        if not self.form or self.head is None or self.head.lowered:
            return False
        if api == "embeddings":
            return self.form == BODY and DIALECTS[api].seen(self.content).ok
        try:
            said = self._said(api)
        except ValueError:
            return False
        self.text = said.text
        return said.finish in WHOLE and said.tools <= safe_tools

    def _said(self, api: str) -> _Said:
        """Raises ValueError when nobody can tell."""
        if self.form == BODY:
            answer = DIALECTS[api].read_response(self.content)
            tools = {part.name for part in answer.parts if isinstance(part, ToolCall)}
            tools |= called_in_answer(self.content) if api == "responses" else set()
            return _Said(answer.finish, tools, "".join(part.text for part in answer.parts if isinstance(part, Text)))
        events, tools = self._events, set[str]()
        if events is None:
            reader, told = DIALECTS[api].reader(), SseDecoder().feed(self.content)
            events = [event for sse in told for event in reader.read(sse)[0]]
            tools = called_in_stream(told) if api == "responses" else tools
        finish = next((event.reason for event in reversed(events) if isinstance(event, Finished)), "")
        tools |= {event.name for event in events if isinstance(event, ToolStarted)}
        return _Said(finish, tools, "".join(event.text for event in events if isinstance(event, TextDelta)))
