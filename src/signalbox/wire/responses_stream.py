"""A Responses stream as it comes from upstream, read into hub events for a client of another dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from signalbox.core.hub import (
    Event,
    Finished,
    Part,
    PartDone,
    Refusal,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.stream import Seen, SseEvent
from signalbox.wire.responses_answer import read_created, read_finish, read_item
from signalbox.wire.responses_watch import TERMINAL, ResponsesObserver

# More parts than any model tells in one answer: what is above is a broken or hostile upstream.
PARTS_MAX = 4096


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: Any = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    item: Any = None
    response: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class _Open:
    """One part under way. told: characters of it that were passed on, to complete it from its `done` event.
    section: summary section of a thought, to set sections apart. kind: text, refusal, tool or thinking."""

    __slots__ = ("index", "kind", "section", "told")

    def __init__(self, index: int, kind: str, section: int = 0) -> None:
        self.index = index
        self.kind = kind
        self.section = section
        self.told = 0


class ResponsesReader:
    """Keeps which parts are open and how much of each was told, never their text.

    Servers differ in how much they repeat: OpenAI tells deltas, then each part whole, each item whole and the whole
    response; others leave out any of these. Whatever was not told by deltas is made up from the first whole that
    holds it, so that each character is told once.
    """

    __slots__ = ("_closed", "_indices", "_observer", "_parts", "_refused", "_started", "_tools")

    def __init__(self) -> None:
        self._observer = ResponsesObserver()
        self._started = False
        self._tools = False
        self._refused = False
        self._indices = 0
        # (output index, content index): the open parts. Thoughts and calls are whole items, at content index 0.
        self._parts: dict[tuple[int, int], _Open] = {}
        self._closed: set[int] = set()

    def read(self, event: SseEvent) -> tuple[list[Event], Seen]:
        """Raises ValueError when the stream has the wrong shape."""
        seen = self._observer.observe(event)
        if not seen.ok or not event.data or event.data == b"[DONE]":
            return [], seen
        try:
            doc = _decode(event.data)
        except msgspec.DecodeError as error:
            raise ValueError(f"not an event of the Responses API: {error}") from error
        out: list[Event] = []
        self._read(doc.type or event.event, doc, out)
        return out, seen

    def _read(self, kind: str, doc: _Event, out: list[Event]) -> None:
        match kind:
            case "response.output_text.delta":
                self._delta(doc, "text", out)
            case "response.function_call_arguments.delta":
                self._delta(doc, "tool", out)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._thought(doc, out)
            case "response.refusal.delta":
                self._delta(doc, "refusal", out)
            case "response.output_text.done":
                self._whole(doc, "text", doc.text, out)
            case "response.refusal.done":
                self._whole(doc, "refusal", doc.refusal, out)
            case "response.function_call_arguments.done":
                self._whole(doc, "tool", doc.arguments, out)
            case "response.output_item.added":
                self._item_added(doc.output_index, doc.item, out)
            case "response.output_item.done":
                self._item_done(doc.output_index, doc.item, out)
            case "response.created" | "response.in_progress" | "response.queued":
                self._start(doc.response, out)
            case _ if kind in TERMINAL:
                self._end(doc.response, out)
            case _:
                pass

    def _start(self, response: object, out: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        fields = cast("dict[str, Any]", response) if isinstance(response, dict) else {}
        name, model = fields.get("id"), fields.get("model")
        out.append(
            Started(
                name if isinstance(name, str) else "",
                model if isinstance(model, str) else "",
                read_created(fields.get("created_at")),
            )
        )

    def _open(self, output_index: int, content_index: int, kind: str, out: list[Event]) -> _Open:
        key = (output_index, content_index)
        part = self._parts.get(key)
        if part is None:
            if self._indices >= PARTS_MAX or output_index in self._closed:
                raise ValueError("more parts than an answer can have, or a part of an item that was closed")
            if not self._started:
                self._start(None, out)
            part = self._parts[key] = _Open(self._indices, kind)
            self._indices += 1
        elif part.kind != kind:
            raise ValueError(f"a part that began as {part.kind} goes on as {kind}")
        return part

    def _delta(self, doc: _Event, kind: str, out: list[Event]) -> None:
        if type(doc.delta) is not str:
            raise ValueError("a delta is not a string")
        if kind == "tool":
            part = self._parts.get((doc.output_index, 0))
            if part is None or part.kind != "tool":
                raise ValueError("arguments of a tool call that was not announced")
        else:
            part = self._open(doc.output_index, doc.content_index, kind, out)
        self._tell(part, doc.delta, out)

    def _thought(self, doc: _Event, out: list[Event]) -> None:
        if type(doc.delta) is not str:
            raise ValueError("a delta is not a string")
        part = self._open(doc.output_index, 0, "thinking", out)
        section = doc.summary_index or doc.content_index
        if section != part.section:
            part.section = section
            if part.told:
                self._tell(part, "\n\n", out)
        self._tell(part, doc.delta, out)

    def _whole(self, doc: _Event, kind: str, whole: object, out: list[Event]) -> None:
        if type(whole) is not str or (kind == "tool" and (doc.output_index, 0) not in self._parts):
            return
        content_index = 0 if kind == "tool" else doc.content_index
        if not whole and (doc.output_index, content_index) not in self._parts:
            return
        self._rest(self._open(doc.output_index, content_index, kind, out), whole, out)

    def _rest(self, part: _Open, whole: str, out: list[Event]) -> None:
        if len(whole) > part.told:
            self._tell(part, whole[part.told :], out)

    def _tell(self, part: _Open, text: str, out: list[Event]) -> None:
        part.told += len(text)
        if part.kind == "text":
            out.append(TextDelta(part.index, text))
        elif part.kind == "tool":
            out.append(ToolDelta(part.index, text))
        elif part.kind == "thinking":
            out.append(ThinkingDelta(part.index, text))
        else:
            self._refused = True
            out.append(RefusalDelta(part.index, text))

    def _item_added(self, output_index: int, value: object, out: list[Event]) -> None:
        item = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if item.get("type") == "function_call" and (output_index, 0) not in self._parts:
            name, call_id = item.get("name"), item.get("call_id")
            if not isinstance(name, str) or not isinstance(call_id, str):
                raise ValueError("a tool call has no name or no id")
            self._call(output_index, ToolCall(call_id, name, ""), out)

    def _call(self, output_index: int, call: ToolCall, out: list[Event]) -> None:
        part = self._open(output_index, 0, "tool", out)
        self._tools = True
        out.append(ToolStarted(part.index, call.id, call.name))

    def _item_done(self, output_index: int, value: object, out: list[Event]) -> None:
        if output_index in self._closed:
            return
        if value is not None:
            self._complete(output_index, read_item(value), out)
        for key in [key for key in self._parts if key[0] == output_index]:
            out.append(PartDone(self._parts.pop(key).index))
        if len(self._closed) >= PARTS_MAX:
            raise ValueError("more items than an answer can have")
        self._closed.add(output_index)

    def _complete(self, output_index: int, parts: Sequence[Part], out: list[Event]) -> None:
        """Tells what the whole item holds beyond what its deltas told."""
        for content_index, part in enumerate(parts):
            match part:
                case Text(text=text):
                    if text or (output_index, content_index) in self._parts:
                        self._rest(self._open(output_index, content_index, "text", out), text, out)
                case Refusal(text=text):
                    self._rest(self._open(output_index, content_index, "refusal", out), text, out)
                case Thinking(text=text):
                    # Only when no delta told it: sections and raw reasoning are joined differently when whole.
                    if (output_index, 0) not in self._parts:
                        self._rest(self._open(output_index, 0, "thinking", out), text, out)
                case ToolCall(arguments=arguments):
                    if (output_index, 0) not in self._parts:
                        self._call(output_index, part, out)
                    self._rest(self._open(output_index, 0, "tool", out), arguments, out)
                case _:
                    raise ValueError("an output item holds what no answer can hold")

    def _end(self, response: object, out: list[Event]) -> None:
        self._start(response, out)
        fields = cast("dict[str, Any]", response) if isinstance(response, dict) else {}
        output = fields.get("output")
        if self._indices == 0 and isinstance(output, list):
            # Only when nothing was told before: positions here need not be the stream's output indices.
            for position, item in enumerate(cast("list[Any]", output)):
                self._item_done(position, item, out)
        out.extend(PartDone(part.index) for part in self._parts.values())
        self._parts.clear()
        told: list[Part] = [ToolCall("", "", "")] if self._tools else [Refusal("")] if self._refused else []
        reason = read_finish(fields, told)
        if reason != "error":
            out.append(Finished(reason))
