"""Where the text of an answer stands: every string of a document or an event, each with the channel it belongs to.

What the dialects know as text, tool arguments, reasoning and refusals is told apart, because it continues over events.
Any other string that is no constant, name or id of the protocol is a text of its own, so that a field that this version
has never heard of is still looked at.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.guards import Channel
from signalbox.wire.object_text import ObjectText

TEXT, TOOL, REASONING, REFUSAL, WHOLE = "text", "tool", "reasoning", "refusal", "whole"
# The name of a tool that the model calls, or the type of a call that has no name.
CALL = "call"
# What a Responses object says its instructions were.
ECHO = "echo"

# Channels of one item are numbered apart from those of the next.
_SECTIONS = 4096
CHOICES_MAX = 4096

# Ids, names and constants of the protocols, and bytes that nobody reads as text.
_NO_TEXT = frozenset(
    (
        "id", "object", "model", "type", "role", "status", "finish_reason", "native_finish_reason", "stop_reason",
        "item_id", "call_id", "tool_call_id", "response_id", "previous_response_id", "signature", "encrypted_content",
        "data", "system_fingerprint", "service_tier", "obfuscation", "b64_json", "partial_image_b64", "result",
        "name", "format", "provider", "media_type", "file_id", "container_id",
    )
)  # fmt: skip
_NAMED_CALLS = frozenset(
    ("tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call", "mcp_call")
)
# Calls that the client carries out, of tools that the protocol itself names.
_TYPED_CALLS = frozenset(("computer_call", "local_shell_call", "shell_call", "apply_patch_call"))
# What tools are called with, where it may be an object.
_ARGUMENTS = frozenset(("input", "arguments"))
# Keys whose strings are texts of these kinds wherever they stand.
_KINDS = {
    "arguments": TOOL,
    "partial_json": TOOL,
    "input": TOOL,
    "thinking": REASONING,
    "reasoning": REASONING,
    "reasoning_content": REASONING,
    "refusal": REFUSAL,
}
_RESPONSES_DELTAS = {
    "response.output_text.delta": TEXT,
    "response.refusal.delta": REFUSAL,
    "response.function_call_arguments.delta": TOOL,
    "response.mcp_call_arguments.delta": TOOL,
    "response.custom_tool_call_input.delta": WHOLE,
    "response.code_interpreter_call_code.delta": WHOLE,
    "response.reasoning_text.delta": REASONING,
    "response.reasoning_summary_text.delta": REASONING,
    "response.audio.transcript.delta": TEXT,
}
RESPONSES_END = frozenset(("response.completed", "response.incomplete", "response.failed", "error"))


class Slot(msgspec.Struct, gc=False):
    """A string: `holder[key]`. delta: it continues what earlier events said in its channel, and may go on."""

    holder: Any
    key: Any
    channel: Channel
    delta: bool

    @property
    def text(self) -> str:
        return self.holder[self.key]


class Seen(msgspec.Struct, gc=False):
    """One document taken apart. ends: what is over before this event is told: None nothing, -1 everything, otherwise
    the choice (chat, completions) or the item's number (messages, responses)."""

    slots: list[Slot]
    ends: int | None = None


def event(api: str, doc: dict[str, Any]) -> Seen:
    """The strings of one event of a stream. Token probabilities, which would tell the text once more, are taken out of
    `doc`."""
    return _EVENTS[api](doc)


def answer(doc: dict[str, Any]) -> list[Slot]:
    """The strings of a whole answer, or of an error; probabilities are taken out as of events."""
    slots: list[Slot] = []
    told = ""
    for items in ("choices", "content", "output"):
        held = doc.get(items)
        if isinstance(held, list):
            told = items
            for at, item in enumerate(cast("list[Any]", held)):
                if isinstance(item, dict):
                    choice, part = (at, 0) if items == "choices" else (0, at)
                    _plain(cast("dict[str, Any]", item), choice, part, slots)
            break
    for key, value in doc.items():
        if value.__class__ in _WITH_TEXT and (key != told or not told):
            _member(doc, key, value, 0, 0, slots)
    return slots


def _plain(value: dict[str, Any] | list[Any], choice: int, part: int, slots: list[Slot]) -> None:
    """Every string inside, as a text of its own."""
    if isinstance(value, dict):
        if value.get("logprobs"):
            value["logprobs"] = None
        for key, inner in value.items():
            kind = inner.__class__
            if kind is dict or kind is list or (kind is str and (key not in _SILENT or _is_text(value, key))):
                _member(value, key, inner, choice, part, slots)
    else:
        for at, inner in enumerate(value):
            _member(value, at, inner, choice, part, slots)


_WITH_TEXT = frozenset((str, dict, list))
# Of what is no text, `name` and `type` may tell of a call.
_SILENT = _NO_TEXT - {"name", "type"}


def _member(holder: Any, key: Any, inner: Any, choice: int, part: int, slots: list[Slot]) -> None:
    kind = inner.__class__
    if kind is str:
        if key in _NO_TEXT and not _is_text(holder, key):
            if inner and (key == "name" or key == "type") and _calls(holder, key):
                slots.append(Slot(holder, key, Channel(CALL, choice, part), delta=False))
        elif inner:
            slots.append(Slot(holder, key, Channel(_kind(holder, key), choice, part), delta=False))
    elif kind is dict or kind is list:
        if key in _ARGUMENTS:
            if inner:
                slots.append(Slot(ObjectText(holder, key), key, Channel(TOOL, choice, part), delta=False))
        else:
            _plain(inner, choice, part, slots)


def _is_text(holder: Any, key: Any) -> bool:
    """Whether there is text where others have bytes."""
    if key == "data":
        return holder.get("type") == "text"
    return key == "result" and holder.get("type") != "image_generation_call"


def _calls(fields: dict[str, Any], key: str) -> bool:
    """Whether a name or type is that of a call."""
    kind = fields.get("type")
    if key == "type":
        return kind in _TYPED_CALLS
    return "arguments" in fields or "input" in fields or (isinstance(kind, str) and kind in _NAMED_CALLS)


def _kind(holder: Any, key: Any) -> str:
    if key == "input":
        # A freeform tool's input is plain text, though it stands where others have JSON.
        return WHOLE
    if key in ("text", "content") and isinstance(holder, dict):
        return REASONING if "summary" in str(cast("dict[str, Any]", holder).get("type", "")) else TEXT
    if key == "instructions" and cast("dict[str, Any]", holder).get("object") == "response":
        return ECHO
    return _KINDS.get(key, WHOLE) if isinstance(key, str) else WHOLE


# --- chat and completions ---


def _choices(doc: dict[str, Any]) -> Seen:
    slots: list[Slot] = []
    ends: int | None = None
    for key, value in doc.items():
        if key == "choices" and isinstance(value, list):
            for choice in cast("list[Any]", value):
                if isinstance(choice, dict):
                    fields = cast("dict[str, Any]", choice)
                    index = _number(fields.get("index"))
                    _choice(fields, index, slots)
                    if fields.get("finish_reason"):
                        ends = index if ends is None or ends == index else -1
        else:
            _member(doc, key, value, 0, 0, slots)
    return Seen(slots, ends)


def _choice(fields: dict[str, Any], index: int, slots: list[Slot]) -> None:
    for key, value in fields.items():
        if key == "delta" and isinstance(value, dict):
            _delta(cast("dict[str, Any]", value), index, slots)
        elif key == "text" and isinstance(value, str):
            if value:
                slots.append(Slot(fields, key, Channel(TEXT, index), delta=True))
        elif key == "logprobs":
            fields[key] = None
        else:
            _member(fields, key, value, index, 0, slots)


_CHAT_DELTAS = {
    "content": TEXT,
    "refusal": REFUSAL,
    "reasoning_content": REASONING,
    "reasoning": REASONING,
}


def _delta(delta: dict[str, Any], index: int, slots: list[Slot]) -> None:
    for key, value in delta.items():
        if value.__class__ is str:
            kind = _CHAT_DELTAS.get(key)
            if kind is not None:
                if value:
                    # Servers that spell reasoning in two ways send the same text in both.
                    part = 1 if key == "reasoning" else 0
                    slots.append(Slot(delta, key, Channel(kind, index, part), delta=True))
                continue
        if key == "tool_calls" and isinstance(value, list):
            for position, call in enumerate(cast("list[Any]", value)):
                if isinstance(call, dict):
                    _call(cast("dict[str, Any]", call), index, position, slots)
        elif key == "function_call" and isinstance(value, dict):
            _call({"index": _SECTIONS, "function": value}, index, 0, slots)
        elif key == "content" and isinstance(value, list):
            _parts(cast("list[Any]", value), TEXT, index, slots)
        elif key == "reasoning_details" and isinstance(value, list):
            _parts(cast("list[Any]", value), REASONING, index, slots)
        elif key == "audio" and isinstance(value, dict):
            audio = cast("dict[str, Any]", value)
            if audio.get("transcript").__class__ is str:
                slots.append(Slot(audio, "transcript", Channel(TEXT, index, 1), delta=True))
        else:
            _member(delta, key, value, index, 0, slots)


def _call(call: dict[str, Any], index: int, position: int, slots: list[Slot]) -> None:
    number = call.get("index")
    part = number if isinstance(number, int) else position
    for key, kind in (("function", "arguments"), ("custom", "input")):
        inner = call.get(key)
        if isinstance(inner, dict):
            fields = cast("dict[str, Any]", inner)
            for name, value in fields.items():
                if name == kind and value.__class__ is str:
                    if value:
                        channel = Channel(TOOL if key == "function" else WHOLE, index, part)
                        slots.append(Slot(fields, name, channel, delta=True))
                elif name == "name" and value.__class__ is str and value:
                    slots.append(Slot(fields, name, Channel(CALL, index, part), delta=False))
                else:
                    _member(fields, name, value, index, part, slots)


def _parts(parts: list[Any], kind: str, index: int, slots: list[Slot]) -> None:
    """Content in parts, as some servers stream it: texts and thoughts go on from event to event."""
    for part in parts:
        if not isinstance(part, dict):
            continue
        fields = cast("dict[str, Any]", part)
        for key, value in fields.items():
            if value.__class__ is str and key in ("text", "summary"):
                slots.append(Slot(fields, key, Channel(kind, index, 2), delta=True))
            elif key == "thinking" and isinstance(value, list):
                _parts(cast("list[Any]", value), REASONING, index, slots)
            else:
                _member(fields, key, value, index, 0, slots)


# --- messages ---

_MESSAGES_DELTAS = {"text": TEXT, "thinking": REASONING, "partial_json": TOOL}


def _messages(doc: dict[str, Any]) -> Seen:
    slots: list[Slot] = []
    kind = doc.get("type")
    index = _number(doc.get("index"))
    for key, value in doc.items():
        if isinstance(value, dict) and key in ("delta", "content_block") and kind != "message_delta":
            fields = cast("dict[str, Any]", value)
            for name, inner in fields.items():
                channel = _MESSAGES_DELTAS.get(name)
                if inner.__class__ is str and channel is not None:
                    if inner:
                        slots.append(Slot(fields, name, Channel(channel, 0, index), delta=True))
                else:
                    _member(fields, name, inner, 0, index, slots)
        else:
            _member(doc, key, value, 0, index, slots)
    if kind == "content_block_stop":
        return Seen(slots, index)
    return Seen(slots, -1 if kind in ("message_delta", "message_stop", "error") else None)


# --- responses ---


def _responses(doc: dict[str, Any]) -> Seen:
    kind = doc.get("type")
    item = _number(doc.get("output_index"))
    told = _RESPONSES_DELTAS.get(kind) if isinstance(kind, str) else None
    slots: list[Slot] = []
    if told is not None and doc.get("delta").__class__ is str:
        if doc.get("logprobs"):
            doc["logprobs"] = []
        if doc["delta"]:
            slots.append(Slot(doc, "delta", Channel(told, 0, item * _SECTIONS + _section(doc)), delta=True))
        return Seen(slots)
    if kind == "response.output_text.done" and doc.get("logprobs"):
        doc["logprobs"] = []
    _plain(doc, 0, item * _SECTIONS, slots)
    if kind in RESPONSES_END:
        return Seen(slots, -1)
    return Seen(slots, item if isinstance(kind, str) and kind.endswith(".done") else None)


def _section(doc: dict[str, Any]) -> int:
    return min(_number(doc.get("content_index")) + _number(doc.get("summary_index")), _SECTIONS - 1)


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < CHOICES_MAX else 0


def item_of(channel: Channel) -> int:
    """The output item that a channel of a Responses stream belongs to."""
    return channel.part // _SECTIONS


def over(api: str, channel: Channel, ends: int) -> bool:
    """Whether a channel is over where an event ends this."""
    if ends < 0:
        return True
    if api == "messages":
        return channel.part == ends
    if api == "responses":
        return item_of(channel) == ends
    return channel.choice == ends


_EVENTS = {
    "chat": _choices,
    "completions": _choices,
    "messages": _messages,
    "responses": _responses,
}


# --- what is told once more ---


def rest_of(api: str, last: dict[str, Any], channel: Channel, text: str) -> dict[str, Any]:
    """An event that tells `text` in a channel whose last delta stood in `last`."""
    if api == "messages":
        key = {TEXT: ("text_delta", "text"), REASONING: ("thinking_delta", "thinking")}.get(
            channel.kind, ("input_json_delta", "partial_json")
        )
        return {"type": "content_block_delta", "index": channel.part, "delta": {"type": key[0], key[1]: text}}
    if api == "responses":
        return {**last, "delta": text}
    kept = {name: last[name] for name in ("id", "object", "created", "model", "system_fingerprint") if name in last}
    if api == "completions":
        choice: dict[str, Any] = {"index": channel.choice, "text": text, "logprobs": None, "finish_reason": None}
    else:
        choice = {"index": channel.choice, "delta": _chat_delta(channel, text), "logprobs": None, "finish_reason": None}
    return {**kept, "choices": [choice]}


def _chat_delta(channel: Channel, text: str) -> dict[str, Any]:
    match channel.kind:
        case "tool":
            if channel.part == _SECTIONS:
                return {"function_call": {"arguments": text}}
            return {"tool_calls": [{"index": channel.part, "function": {"arguments": text}}]}
        case "whole":
            return {"tool_calls": [{"index": channel.part, "custom": {"input": text}}]}
        case "reasoning":
            return {"reasoning" if channel.part == 1 else "reasoning_content": text}
        case "refusal":
            return {"refusal": text}
        case _:
            return {"audio": {"transcript": text}} if channel.part == 1 else {"content": text}
