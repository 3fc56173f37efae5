"""Going on with a stream that another upstream began: a writer that carries on its ids, its numbering, its blocks.

Needed when a client was shown an upstream's own bytes and the rest of the answer comes from elsewhere as hub events.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.hub import Event, Request
from signalbox.core.stream import SseEvent
from signalbox.wire.anthropic_stream import MessagesReader
from signalbox.wire.anthropic_stream_writer import MessagesWriter
from signalbox.wire.dialect import StreamReader, StreamWriter
from signalbox.wire.openai_chat_stream import ChatReader, ChatWriter
from signalbox.wire.responses_stream import ResponsesReader
from signalbox.wire.responses_writer import ResponsesWriter
from signalbox.wire.sse import SseDecoder

_READERS: dict[str, type[ChatReader] | type[MessagesReader] | type[ResponsesReader]] = {
    "chat": ChatReader,
    "messages": MessagesReader,
    "responses": ResponsesReader,
}


def read_told(api: str, raw: bytes) -> tuple[list[Event], list[SseEvent]]:
    """The hub events of a stream that was passed on as it came. Raises ValueError when the hub cannot hold them."""
    if api not in _READERS:
        raise ValueError(f"a stream of {api} cannot be gone on with")
    reader: StreamReader = _READERS[api]()
    read: list[Event] = []
    events = SseDecoder().feed(raw)
    for event in events:
        read += reader.read(event)[0]
    return read, events


def resumed_writer(api: str, request: Request, told: list[Event], shown: list[SseEvent]) -> StreamWriter:
    """A writer whose next bytes follow what was shown. Raises ValueError when something was shown that the hub events
    do not tell of, so that what follows could not fit."""
    docs = [doc for event in shown if event.data and (doc := _doc(event.data)) is not None]
    match api:
        case "chat":
            first = next((doc for doc in docs if doc.get("choices")), _dict(None))
            chat = ChatWriter(request, _text(first.get("id")), _number(first.get("created")))
            chat.write(told)
            return chat
        case "messages":
            messages = MessagesWriter("")
            messages.write(told)
            begun = sum(doc.get("type") == "content_block_start" for doc in docs)
            closed = sum(doc.get("type") == "content_block_stop" for doc in docs)
            messages.check(begun, closed)
            return messages
        case "responses":
            return _responses(request, told, docs)
        case _:
            raise ValueError(f"a stream of {api} cannot be gone on with")


def _responses(request: Request, told: list[Event], docs: list[dict[str, Any]]) -> ResponsesWriter:
    """Every event of this API repeats ids and a running number, and the last one the whole answer."""
    created = next((doc for doc in docs if doc.get("type") == "response.created"), _dict(None))
    shell = _dict(created.get("response"))
    items = {
        _number(doc.get("output_index")): _text(_dict(doc.get("item")).get("id"))
        for doc in docs
        if doc.get("type") == "response.output_item.added"
    }
    closed = sum(doc.get("type") == "response.output_item.done" for doc in docs)
    writer = ResponsesWriter(request, _text(shell.get("id")), _number(shell.get("created_at")))
    writer.write(told)
    writer.adopt(shell, max((_number(doc.get("sequence_number")) for doc in docs), default=-1) + 1, items, closed)
    return writer


def _doc(data: bytes) -> dict[str, Any] | None:
    try:
        return _dict(msgspec.json.decode(data))
    except msgspec.DecodeError:
        return None


def _dict(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
