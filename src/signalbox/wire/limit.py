"""The output limit of a request body, in each API's own words, and the end of an answer that reached it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from signalbox.wire import sse
from signalbox.wire.body import Edit
from signalbox.wire.openai_chat_write import limit_name

_NAMES = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}


def limit_edits(api: str, doc: dict[str, Any], model: str, tokens: int) -> list[Edit]:
    """What makes a body ask for at most so many output tokens: every limit that it states, or the one its API knows."""
    stated = [Edit(name, tokens) for name in _NAMES[api] if name in doc]
    return stated or [Edit(limit_name(model) if api == "chat" else _NAMES[api][0], tokens)]


def cut_short(api: str, last: bytes, tokens_out: int) -> bytes:
    """The events that end a stream of `api` as one that reached its token limit, but for what `supply_end` adds.

    last: the data of the last event that carried content, whose identifiers go on. tokens_out: as far as anybody knows.
    """
    return _CUTS[api](_object(last), tokens_out)


def _object(data: bytes) -> dict[str, Any]:
    try:
        doc: object = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return {}
    return cast("dict[str, Any]", doc) if isinstance(doc, dict) else {}


def _cut_chat(last: dict[str, Any], tokens_out: int) -> bytes:
    kept = {name: last[name] for name in ("id", "object", "created", "model", "system_fingerprint") if name in last}
    choice: dict[str, object] = {"index": 0, "delta": {}, "finish_reason": "length"}
    return sse.event({**kept, "choices": [choice]})


def _cut_completions(last: dict[str, Any], tokens_out: int) -> bytes:
    kept = {name: last[name] for name in ("id", "object", "created", "model", "system_fingerprint") if name in last}
    choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
    return sse.event({**kept, "choices": [choice]})


def _cut_messages(last: dict[str, Any], tokens_out: int) -> bytes:
    stop = b""
    if last.get("type") in ("content_block_start", "content_block_delta"):
        stop = sse.event({"type": "content_block_stop", "index": last.get("index", 0)}, "content_block_stop")
    delta = {"stop_reason": "max_tokens", "stop_sequence": None}
    end = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens_out}}
    return stop + sse.event(end, "message_delta") + sse.event({"type": "message_stop"}, "message_stop")


_CUTS: dict[str, Callable[[dict[str, Any], int], bytes]] = {
    "chat": _cut_chat,
    "completions": _cut_completions,
    "messages": _cut_messages,
}
