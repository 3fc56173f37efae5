"""Calls of tools that the Responses API itself names (a shell, a patch, a search), which have no place in the hub."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from signalbox.wire.sse import SseEvent

# What an answer says, and calls of tools that the caller has named, which the hub tells.
_TOLD = frozenset(("message", "reasoning", "function_call", "custom_tool_call"))


class _Item(msgspec.Struct):
    type: str = ""


class _Answer(msgspec.Struct):
    output: list[_Item] = []


class _Event(msgspec.Struct):
    item: _Item | None = None
    response: _Answer | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_event = msgspec.json.Decoder(_Event).decode


def called_in_answer(body: bytes) -> set[str]:
    """The types of such items, and of those that this version does not know, in a whole answer. Raises ValueError."""
    try:
        return _called(_answer(body).output)
    except msgspec.DecodeError as error:
        raise ValueError("the response is not of the API's shape") from error


def called_in_stream(events: Iterable[SseEvent]) -> set[str]:
    """The same in the events of a stream. Raises ValueError."""
    found: set[str] = set()
    try:
        for sse in events:
            # Most of them are pieces of text.
            if b'"item"' in sse.data or b'"output"' in sse.data:
                event = _event(sse.data)
                found |= _called([event.item] if event.item is not None else [])
                found |= _called(event.response.output if event.response is not None else [])
    except msgspec.DecodeError as error:
        raise ValueError("an event is not of the API's shape") from error
    return found


def _called(items: list[_Item]) -> set[str]:
    return {item.type for item in items} - _TOLD
