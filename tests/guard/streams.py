"""Streams as providers write them, cut into pieces anywhere, and what a client makes of what it gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from signalbox.core.call import AnswerHead, Call, Envelope, Principal
from signalbox.core.hub import (
    Event,
    Finished,
    PartDone,
    Request,
    Started,
    TextDelta,
    ThinkingDelta,
    Tool,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.labels import NONE
from signalbox.core.snapshot import Snapshot
from signalbox.core.stream import Frame, Seen
from signalbox.core.usage import NO_USAGE, Usage
from signalbox.wire.resume import read_told
from signalbox.wire.sse import SseDecoder
from signalbox.wire.table import DIALECTS

ASKED = Request(messages=(), tools=(Tool("look", None, {"type": "object"}),), stream=True)
APIS = ("chat", "messages", "responses")
# A client of the Messages API gets no thoughts but signed ones, so they are signed.
ORIGIN = "anthropic"


def spoken(kind: str, pieces: Sequence[str]) -> list[Event]:
    """One part of this kind, told in these pieces."""
    events: list[Event] = [Started("a1", "m")]
    if kind == "tool":
        events.append(ToolStarted(0, "call_1", "look"))
        events += [ToolDelta(0, piece) for piece in pieces]
    elif kind == "reasoning":
        events += [ThinkingDelta(0, piece, origin=ORIGIN) for piece in pieces]
    else:
        events += [TextDelta(0, piece) for piece in pieces]
    return [*events, PartDone(0), Finished("tool_calls" if kind == "tool" else "stop")]


def passing(api: str, events: Sequence[Event]) -> list[Frame]:
    """The frames of an upstream of the client's own dialect."""
    writer = DIALECTS[api].writer(ASKED, "a1", 1)
    raw = b"".join([writer.write([event]) for event in events]) + writer.end(NO_USAGE)
    return [Frame(event.raw, None, Seen()) for event in SseDecoder().feed(raw)]


def translated(events: Sequence[Event]) -> list[Frame]:
    return [Frame(b"", [event], Seen()) for event in events]


class Client:
    """The edge: implements core.call.Reply and keeps what a client would receive."""

    def __init__(self, api: str) -> None:
        self.api = api
        self.started = self.content_sent = self.slow = self.ended = False
        self.raw = b""
        self.body = b""
        self._writer: Any = None

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self.body = body

    error = unary  # type: ignore[assignment]

    def own(self, body: bytes, reason: str) -> None:
        self.body = body

    def start(self, head: AnswerHead, request: Request | None) -> None:
        self.started = True
        if request is not None:
            self._writer = DIALECTS[self.api].writer(request, "a1", 1)

    def send(self, frames: list[Frame]) -> None:
        self.content_sent = True
        for frame in frames:
            self.raw += self._writer.write(frame.events) if self._writer and frame.events else frame.raw

    async def drain(self) -> None:
        return None

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        raise AssertionError("nothing dies here")

    def comment(self, text: str) -> None:
        self.raw += f": {text}\n\n".encode()

    def end(self, usage: Usage | None, complete: bool) -> None:
        self.ended = True
        if self._writer is not None:
            self.raw += self._writer.end(usage or NO_USAGE)
        elif not complete:
            self.raw += DIALECTS[self.api].supply_end(usage, include_usage=False)

    def heard(self) -> tuple[dict[int, str], str]:
        """What a client of the dialect puts together: its parts by number, and how the answer ended."""
        parts: dict[int, str] = {}
        finish = ""
        for event in read_told(self.api, self.raw)[0]:
            match event:
                case TextDelta() | ThinkingDelta():
                    parts[event.index] = parts.get(event.index, "") + event.text
                case ToolDelta():
                    parts[event.index] = parts.get(event.index, "") + event.arguments
                case Finished():
                    finish = event.reason
                case _:
                    pass
        return parts, finish


def called(snapshot: Snapshot, workload: str, api: str, doc: dict[str, Any] | None = None) -> Call:
    """A streamed call of a workload, as the gateway makes one."""
    doc = doc or {"model": workload, "messages": [{"role": "user", "content": "hello"}]}
    return Call(
        id="req_1", api=api, snapshot=snapshot, principal=Principal("k1", "t1", "", None, frozenset()),
        body=msgspec.json.encode(doc), doc=doc, envelope=Envelope(stream=True), model=workload,
        workload=snapshot.workloads[workload], pinned=None, data_header=NONE, headers=[], query=b"",
        received_ns=0, auth_ns=0,
    )  # fmt: skip
