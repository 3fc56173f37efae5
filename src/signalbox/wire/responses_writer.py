"""Hub events written as a Responses stream for a client of this API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from signalbox.core.hub import (
    Event,
    Finished,
    PartDone,
    Refusal,
    RefusalDelta,
    Request,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.usage import Usage
from signalbox.wire.responses_answer import (
    CUT,
    arguments_of,
    call_item,
    ended,
    finish_here,
    item_id,
    item_type,
    message_item,
    reasoning_item,
    refusal_part,
    response_object,
    text_part,
)
from signalbox.wire.responses_items import unwrap_freeform

_encode = msgspec.json.Encoder().encode

_TERMINAL = {"completed": "response.completed", "incomplete": "response.incomplete", "failed": "response.failed"}


class _TextDelta(msgspec.Struct, tag_field="type", tag="response.output_text.delta", gc=False):
    """The one event written for every token: a struct encodes in half the time of a dict."""

    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: tuple[()] = ()


class _ArgumentsDelta(msgspec.Struct, tag_field="type", tag="response.function_call_arguments.delta", gc=False):
    sequence_number: int
    item_id: str
    output_index: int
    delta: str


class _Item:
    """One output item under way. texts: its deltas so far. announced: a text section was opened in it."""

    __slots__ = ("announced", "name", "output_index", "part", "redacted", "signature", "texts")

    def __init__(self, name: str, output_index: int, part: Text | Refusal | Thinking | ToolCall) -> None:
        self.name = name
        self.output_index = output_index
        self.part = part
        self.texts: list[str] = []
        self.announced = False
        self.signature: str | None = None
        self.redacted: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)


class ResponsesWriter:
    """One hub part is one output item. The answer is kept until its end, because this API's closing events repeat
    it whole; it is as long as the upstream's answer is allowed to be.

    The end of a part is told when the next one begins or the answer ends: only then is it known whether the part was
    whole or what a limit cut, which its item says in its status.
    """

    __slots__ = (
        "_closed",
        "_ended",
        "_finish",
        "_freeform",
        "_open",
        "_outputs",
        "_refused",
        "_sequence",
        "_shell",
        "_started",
        "name",
    )

    def __init__(self, request: Request, response_name: str, created_s: int) -> None:
        self._shell = response_object(response_name, "", created_s, request)
        self.name: str = self._shell["id"]
        self._freeform = frozenset(tool.name for tool in request.tools if tool.freeform)
        self._started = False
        self._finish = "error"
        self._refused = False
        self._sequence = 0
        self._outputs = 0
        self._open: dict[int, _Item] = {}
        # The part that is over and whose end is not told yet; -1 for none.
        self._ended = -1
        self._closed: dict[int, dict[str, Any]] = {}

    def write(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta():
                    self._text(event, out)
                case ToolDelta():
                    self._arguments(event, out)
                case ThinkingDelta():
                    self._thinking(event, out)
                case ToolStarted():
                    self._begin(event.index, ToolCall(event.id, event.name, ""), out)
                case RefusalDelta():
                    self._refusal(event, out)
                case PartDone():
                    self._close_ended(out)
                    self._ended = event.index
                case Started():
                    self._shell["model"] = event.model
                    self._start(out)
                case Finished():
                    self._finish = finish_here(event.reason, refused=self._refused)
                    self._close_all(out, cut=self._finish in CUT)
        return b"".join(out)

    def end(self, usage: Usage) -> bytes:
        """The terminal event with the whole response. Without a Finished before it, the response has failed."""
        out: list[bytes] = []
        self._start(out)
        if self._finish == "error":
            # What ended before the break is whole.
            self._close_ended(out)
        self._close_all(out, cut=self._finish in CUT)
        items = [self._closed[index] for index in sorted(self._closed)]
        response = ended(self._shell, self._finish, items, usage)
        self._emit(_TERMINAL[response["status"]], out, response=response)
        return b"".join(out)

    def adopt(self, shell: dict[str, Any], sequence: int, items: dict[int, str], closed: int) -> None:
        """Goes on as the stream that was shown: its response, its next number, the ids of its items by output index.
        Raises ValueError unless what was written here began and closed the same items."""
        if closed == len(self._closed) + 1:
            # Who wrote it told the end of the last part at once; here it is kept for what follows.
            self._close_ended([])
        if set(items) != set(range(self._outputs)) or len(self._closed) != closed:
            raise ValueError("items were shown that were not written here")
        self._shell |= {**shell, "output": []}
        self.name = self._shell["id"]
        self._sequence = sequence
        for item in self._open.values():
            item.name = items[item.output_index] or item.name
        for index, done in self._closed.items():
            done["id"] = items[index] or done["id"]

    # --- framing ---

    def _emit(self, kind: str, out: list[bytes], **fields: Any) -> None:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(event)))

    def _start(self, out: list[bytes]) -> None:
        if not self._started:
            self._started = True
            self._emit("response.created", out, response=self._shell)
            self._emit("response.in_progress", out, response=self._shell)

    def _begin(self, index: int, part: Text | Refusal | Thinking | ToolCall, out: list[bytes]) -> _Item:
        self._start(out)
        self._close_ended(out)
        output_index = self._outputs
        self._outputs += 1
        kind = item_type(part, self._freeform)
        item = self._open[index] = _Item(item_id(kind, self.name, output_index), output_index, part)
        match part:
            case ToolCall():
                announced = call_item(item.name, "in_progress", part, self._freeform)
            case Thinking():
                announced = reasoning_item(item.name, part)
            case Text() | Refusal():
                announced = message_item(item.name, "in_progress", [])
        self._emit("response.output_item.added", out, output_index=output_index, item=announced)
        return item

    def _section(self, kind: str, item: _Item, out: list[bytes], **fields: Any) -> None:
        """An event about the one content part or summary section of an item."""
        where = "summary_index" if isinstance(item.part, Thinking) else "content_index"
        self._emit(kind, out, item_id=item.name, output_index=item.output_index, **{where: 0}, **fields)

    # --- deltas ---

    def _text(self, event: TextDelta, out: list[bytes]) -> None:
        item = self._open.get(event.index)
        if item is None:
            item = self._begin(event.index, Text(""), out)
            self._section("response.content_part.added", item, out, part=text_part(""))
        item.texts.append(event.text)
        delta = _TextDelta(self._sequence, item.name, item.output_index, 0, event.text)
        self._sequence += 1
        out.append(b"event: response.output_text.delta\ndata: %b\n\n" % _encode(delta))

    def _refusal(self, event: RefusalDelta, out: list[bytes]) -> None:
        self._refused = True
        item = self._open.get(event.index)
        if item is None:
            item = self._begin(event.index, Refusal(""), out)
            self._section("response.content_part.added", item, out, part=refusal_part(""))
        item.texts.append(event.text)
        self._section("response.refusal.delta", item, out, delta=event.text)

    def _thinking(self, event: ThinkingDelta, out: list[bytes]) -> None:
        item = self._open.get(event.index)
        if item is None:
            item = self._begin(event.index, Thinking(origin=event.origin), out)
        if event.origin is not None:
            item.part = Thinking(origin=event.origin)
        if event.signature is not None:
            item.signature = (item.signature or "") + event.signature
        if event.redacted is not None:
            item.redacted = (item.redacted or "") + event.redacted
        if not event.text:
            return
        if not item.announced:
            item.announced = True
            self._section("response.reasoning_summary_part.added", item, out, part=_summary(""))
        item.texts.append(event.text)
        self._section("response.reasoning_summary_text.delta", item, out, delta=event.text)

    def _arguments(self, event: ToolDelta, out: list[bytes]) -> None:
        item = self._open.get(event.index)
        if item is None:
            raise ValueError("arguments of a tool call that was not started")
        item.texts.append(event.arguments)
        if isinstance(item.part, ToolCall) and item.part.name in self._freeform:
            # The wrapper around a freeform input can only be taken off when all of it is there.
            return
        delta = _ArgumentsDelta(self._sequence, item.name, item.output_index, event.arguments)
        self._sequence += 1
        out.append(b"event: response.function_call_arguments.delta\ndata: %b\n\n" % _encode(delta))

    # --- ends ---

    def _close_all(self, out: list[bytes], *, cut: bool) -> None:
        """cut: the last item that is not closed yet is what the cut met."""
        self._ended = -1
        last = next(reversed(self._open), -1) if cut else -1
        for index in list(self._open):
            self._close(index, out, "incomplete" if index == last else "completed")

    def _close_ended(self, out: list[bytes]) -> None:
        """Tells the end of a part after which the answer went on."""
        if self._ended >= 0:
            index, self._ended = self._ended, -1
            self._close(index, out, "completed")

    def _close(self, index: int, out: list[bytes], status: str) -> None:
        item = self._open.pop(index, None)
        if item is None:
            return
        match item.part:
            case Text():
                part = text_part(item.text)
                self._section("response.output_text.done", item, out, text=item.text, logprobs=[])
                done = self._message_done(item, part, status, out)
            case Refusal():
                part = refusal_part(item.text)
                self._section("response.refusal.done", item, out, refusal=item.text)
                done = self._message_done(item, part, status, out)
            case Thinking(origin=origin):
                thinking = Thinking(item.text, item.signature, item.redacted, None, origin)
                done = self._thinking_done(item, thinking, status, out)
            case ToolCall():
                done = self._call_done(item, item.part, status, out)
        self._closed[item.output_index] = done
        self._emit("response.output_item.done", out, output_index=item.output_index, item=done)

    def _message_done(self, item: _Item, part: dict[str, Any], status: str, out: list[bytes]) -> dict[str, Any]:
        self._section("response.content_part.done", item, out, part=part)
        return message_item(item.name, status, [part])

    def _thinking_done(self, item: _Item, thinking: Thinking, status: str, out: list[bytes]) -> dict[str, Any]:
        if item.announced:
            self._section("response.reasoning_summary_text.done", item, out, text=thinking.text)
            self._section("response.reasoning_summary_part.done", item, out, part=_summary(thinking.text))
        return reasoning_item(item.name, thinking, cut=status == "incomplete")

    def _call_done(self, item: _Item, started: ToolCall, status: str, out: list[bytes]) -> dict[str, Any]:
        call = ToolCall(started.id, started.name, arguments_of(item.text, status))
        where: dict[str, Any] = {"item_id": item.name, "output_index": item.output_index}
        if call.name in self._freeform:
            text = unwrap_freeform(call.arguments)
            self._emit("response.custom_tool_call_input.delta", out, **where, delta=text)
            self._emit("response.custom_tool_call_input.done", out, **where, input=text)
        else:
            if call.arguments and not item.text:
                self._emit("response.function_call_arguments.delta", out, **where, delta=call.arguments)
            self._emit("response.function_call_arguments.done", out, **where, name=call.name, arguments=call.arguments)
        return call_item(item.name, status, call, self._freeform)


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}
