"""Hub events written as Anthropic's event stream, for a client of this API whose answer comes from another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from signalbox.core.hub import (
    Event,
    Finished,
    PartDone,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.usage import Usage
from signalbox.wire.anthropic_finish import stop_reason_of
from signalbox.wire.anthropic_ids import tool_id
from signalbox.wire.anthropic_stream import ORIGIN
from signalbox.wire.anthropic_usage import usage_document

_encode = msgspec.json.Encoder().encode

_TEXT, _THINKING, _TOOL = range(3)


class _Block:
    """One open content block. kind: _TEXT, _THINKING or _TOOL; part: the hub's number of it."""

    __slots__ = ("index", "kind", "part")

    def __init__(self, index: int, kind: int, part: int) -> None:
        self.index = index
        self.kind = kind
        self.part = part


class MessagesWriter:
    """Text and thinking close when another part begins; tool blocks stay open until they are done, because other
    protocols may interleave the arguments of parallel calls. Thoughts that Anthropic did not sign are left out: sent
    back later, they would be refused as forged. `dropped` then holds `thinking`."""

    __slots__ = (
        "_blocks",
        "_expected_in",
        "_finish",
        "_id",
        "_next",
        "_refused",
        "_started",
        "_stop_sequence",
        "_tools",
        "dropped",
    )

    def __init__(self, response_id: str, expected_in: int = 0) -> None:
        self._id = response_id
        self._expected_in = expected_in
        self._blocks: dict[int, _Block] = {}
        self._next = 0
        self._started = False
        self._finish = "error"
        self._stop_sequence: str | None = None
        self._tools = False
        self._refused = False
        self.dropped: list[str] = []

    def write(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if isinstance(event, TextDelta):
                if event.text:
                    self._text(out, event.index, event.text)
            elif isinstance(event, ToolDelta):
                self._arguments(out, event)
            elif isinstance(event, ThinkingDelta):
                self._thinking(out, event)
            elif isinstance(event, ToolStarted):
                self._tool(out, event)
            elif isinstance(event, PartDone):
                self._close(out, event.index)
            elif isinstance(event, Started):
                self._start(out, event.model)
            elif isinstance(event, RefusalDelta):
                self._refused = True
                if event.text:
                    self._text(out, event.index, event.text)
            else:
                self._finished(event)
        return b"".join(out)

    def end(self, usage: Usage) -> bytes:
        out: list[bytes] = []
        self._start(out, "")
        if self.dropped:
            # The head with its `x-signalbox-dropped` left before the answer came; clients pass comments over.
            out.append(b": x-signalbox-dropped: %b\n\n" % ", ".join(self.dropped).encode())
        for part in list(self._blocks):
            self._close(out, part)
        reason = stop_reason_of(self._finish, tool_calls=self._tools, refused=self._refused)
        delta = {"stop_reason": reason, "stop_sequence": self._stop_sequence}
        _emit(out, b"message_delta", {"type": "message_delta", "delta": delta, "usage": usage_document(usage)})
        out.append(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        return b"".join(out)

    def check(self, begun: int, closed: int) -> None:
        """Raises ValueError unless what was written so far began and closed as many blocks as this."""
        if (self._next, self._next - len(self._blocks)) != (begun, closed):
            raise ValueError("blocks were shown that were not written here")

    def _finished(self, event: Finished) -> None:
        self._finish = event.reason
        self._stop_sequence = event.stop_sequence

    def _start(self, out: list[bytes], model: str) -> None:
        """Once an answer, however many upstreams it took. Input tokens are known at the end, when `message_delta` tells
        them; until then what is expected stands here, because clients show from it how full the context is."""
        if self._started:
            return
        self._started = True
        message: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self._expected_in, "output_tokens": 0},
        }
        _emit(out, b"message_start", {"type": "message_start", "message": message})

    def _open(self, out: list[bytes], part: int, kind: int, block: dict[str, Any]) -> _Block:
        self._start(out, "")
        for other in [other for other in self._blocks.values() if other.kind != _TOOL]:
            self._close(out, other.part)
        opened = self._blocks[part] = _Block(self._next, kind, part)
        self._next += 1
        _emit(
            out,
            b"content_block_start",
            {"type": "content_block_start", "index": opened.index, "content_block": block},
        )
        return opened

    def _close(self, out: list[bytes], part: int) -> None:
        block = self._blocks.pop(part, None)
        if block is not None:
            _emit(out, b"content_block_stop", {"type": "content_block_stop", "index": block.index})

    def _text(self, out: list[bytes], part: int, text: str) -> None:
        block = self._blocks.get(part)
        if block is None or block.kind != _TEXT:
            block = self._open(out, part, _TEXT, {"type": "text", "text": ""})
        _delta(out, block.index, {"type": "text_delta", "text": text})

    def _thinking(self, out: list[bytes], event: ThinkingDelta) -> None:
        if event.origin != ORIGIN:
            if not self.dropped:
                self.dropped.append("thinking")
            return
        if event.redacted is not None:
            self._open(out, event.index, _THINKING, {"type": "redacted_thinking", "data": event.redacted})
            return
        block = self._blocks.get(event.index)
        if block is None or block.kind != _THINKING:
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            block = self._open(out, event.index, _THINKING, empty)
        if event.text:
            _delta(out, block.index, {"type": "thinking_delta", "thinking": event.text})
        if event.signature:
            _delta(out, block.index, {"type": "signature_delta", "signature": event.signature})

    def _tool(self, out: list[bytes], event: ToolStarted) -> None:
        self._tools = True
        self._open(out, event.index, _TOOL, _tool_block(event.id, event.name))

    def _arguments(self, out: list[bytes], event: ToolDelta) -> None:
        block = self._blocks.get(event.index)
        if block is None or block.kind != _TOOL:
            raise ValueError(f"arguments for part {event.index}, which is no open tool call")
        if event.arguments:
            _delta(out, block.index, {"type": "input_json_delta", "partial_json": event.arguments})


def _tool_block(call_id: str, name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_id(call_id), "name": name, "input": {}}


def _delta(out: list[bytes], index: int, delta: dict[str, str]) -> None:
    _emit(out, b"content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})


def _emit(out: list[bytes], name: bytes, data: dict[str, Any]) -> None:
    out.append(b"event: " + name + b"\ndata: " + _encode(data) + b"\n\n")
