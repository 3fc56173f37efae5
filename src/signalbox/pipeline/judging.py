"""A call and its answer as the scorer of answers sees them, whatever dialect they are in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from signalbox.core.call import Call
from signalbox.core.errors import CallError
from signalbox.core.hub import (
    Event,
    Finished,
    Part,
    Refusal,
    RefusalDelta,
    Request,
    Text,
    TextDelta,
    ToolCall,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.stream import Frame
from signalbox.routing.answers import Answered, Asked
from signalbox.wire.sse import SseDecoder
from signalbox.wire.table import DIALECTS

# Answers in these can be read, and requests told.
APIS = frozenset(("chat", "messages", "responses"))
LOGPROBS_MAX = 20_000


def asked_of(call: Call) -> Asked | None:
    """What a call demands of its answer; None when that cannot be told, so that no answer to it can be judged."""
    if call.api not in APIS or call.envelope.n > 1:
        return None
    try:
        request = call.hub or DIALECTS[call.api].read_request(call.doc)
    except (CallError, ValueError):
        return None
    wanted, choice = request.output_format, request.tool_choice
    return Asked(
        prompt=_last_words(request),
        json=wanted is not None,
        schema=wanted.schema if wanted is not None else None,
        tools={tool.name: tool.parameters for tool in request.tools},
        calls=choice is not None and choice.mode in ("required", "named"),
    )


def _last_words(request: Request) -> str:
    for message in reversed(request.messages):
        if message.role == "user":
            said = "\n".join(part.text for part in message.parts if isinstance(part, Text))
            if said:
                return said
    return ""


def answered_whole(call: Call, body: bytes) -> Answered | None:
    """A whole answer in the client's dialect; None when it cannot be read."""
    try:
        answer = DIALECTS[call.api].read_response(body)
    except ValueError:
        return None
    logprobs = _logprobs(body) if call.doc.get("logprobs") else ()
    return _answered(answer.parts, answer.finish, logprobs)


def answered_in(call: Call, frames: Iterable[Frame]) -> Answered | None:
    """The answer that these frames of a stream tell, as far as they go; None when they cannot be read."""
    decoder, reader = SseDecoder(), DIALECTS[call.api].reader()
    texts: list[str] = []
    calls: dict[int, tuple[str, list[str]]] = {}
    refused, finish = False, ""
    logprobs: list[float] = []
    wants_logprobs = bool(call.doc.get("logprobs"))
    try:
        for frame in frames:
            events: list[Event] = list(frame.events or ())
            for sse in decoder.feed(frame.raw) if frame.raw else ():
                events += reader.read(sse)[0]
                if wants_logprobs and len(logprobs) < LOGPROBS_MAX:
                    logprobs += _logprobs(sse.data)
            for event in events:
                if isinstance(event, TextDelta):
                    texts.append(event.text)
                elif isinstance(event, RefusalDelta):
                    refused = True
                elif isinstance(event, ToolStarted):
                    calls[event.index] = (event.name, [])
                elif isinstance(event, ToolDelta) and event.index in calls:
                    calls[event.index][1].append(event.arguments)
                elif isinstance(event, Finished):
                    finish = event.reason
    except ValueError:
        return None
    told = tuple((name, "".join(arguments)) for name, arguments in calls.values())
    return Answered("".join(texts), finish or "stop", refused, told, tuple(logprobs))


def _answered(parts: Iterable[Part], finish: str, logprobs: tuple[float, ...]) -> Answered:
    texts: list[str] = []
    calls: list[tuple[str, str]] = []
    refused = False
    for part in parts:
        if isinstance(part, Text):
            texts.append(part.text)
        elif isinstance(part, ToolCall):
            calls.append((part.name, part.arguments))
        elif isinstance(part, Refusal):
            refused = True
    return Answered("".join(texts), finish, refused, tuple(calls), logprobs)


def _logprobs(body: bytes) -> tuple[float, ...]:
    """Of the tokens of a chat answer, or of one event of its stream, where they are told."""
    try:
        doc: Any = msgspec.json.decode(body)
        told = doc["choices"][0]["logprobs"]["content"]
    except (msgspec.DecodeError, KeyError, IndexError, TypeError):
        return ()
    found: list[float] = []
    for entry in cast("list[Any]", told)[:LOGPROBS_MAX] if isinstance(told, list) else ():
        value: object = cast("dict[str, Any]", entry).get("logprob") if isinstance(entry, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append(float(value))
    return tuple(found)
