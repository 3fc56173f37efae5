"""Conversations of the Chat Completions API, to and from hub messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.core.hub import File, Image, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from signalbox.wire.fields import Fields, array, as_array, as_object, as_text, text, wrong
from signalbox.wire.responses_items import note, note_unknown, split_data_url, titled_text, wrap_freeform

# Read below. The name of a tool's message repeats what its id says.
_MESSAGE_FIELDS = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "reasoning_content", "reasoning",
     "reasoning_details", "audio", "function_call"}
)  # fmt: skip
_CALL_FIELDS = frozenset({"id", "type", "index", "function", "custom"})
_TEXT_FIELDS = frozenset({"type", "text", "cache_control"})
_PART_FIELDS = frozenset({"type", "text", "refusal", "image_url", "file", "thinking"})


class ConversationReader(msgspec.Struct):
    """system: instructions wherever they stood. messages: the turns; results of one turn's tools share a message."""

    system: list[Text]
    messages: list[Message]


def read_conversation(messages: Sequence[Fields], dropped: list[str]) -> ConversationReader:
    """Raises BadRequest or Unsupported."""
    read = ConversationReader([], [])
    results: list[Part] = []
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        role = message.get("role")
        note_unknown(dropped, message, _MESSAGE_FIELDS, "messages.")
        if role == "tool":
            results.append(_tool_result(message, where, dropped))
            continue
        if results:
            read.messages.append(Message("user", tuple(results)))
            results = []
        if role in ("system", "developer"):
            if read.messages:
                # The hub has one place for instructions, before the conversation.
                note(dropped, "system_position")
            read.system += _system(message, where, dropped)
        elif role == "user":
            parts = _content(message.get("content"), f"{where}.content", dropped)
            read.messages.append(Message("user", tuple(parts), text(message, "name", f"{where}.")))
        elif role == "assistant":
            parts = _assistant(message, where, dropped)
            read.messages.append(Message("assistant", tuple(parts), text(message, "name", f"{where}.")))
        elif role == "function":
            raise Unsupported("'function' messages are not carried; use 'tool' messages.", param=f"{where}.role")
        else:
            raise wrong(f"{where}.role", "system, developer, user, assistant or tool")
    if results:
        read.messages.append(Message("user", tuple(results)))
    if not read.messages:
        raise BadRequest("'messages' must hold at least one message besides instructions.", param="messages")
    return read


def _system(message: Fields, where: str, dropped: list[str]) -> list[Text]:
    if message.get("name") is not None:
        note(dropped, "messages.name")
    found: list[Text] = []
    for part in _content(message.get("content"), f"{where}.content", dropped):
        if not isinstance(part, Text):
            raise wrong(f"{where}.content", "text")
        found.append(part)
    return found


def _tool_result(message: Fields, where: str, dropped: list[str]) -> ToolResult:
    name = as_text(message.get("tool_call_id"), f"{where}.tool_call_id")
    parts = _content(message.get("content"), f"{where}.content", dropped)
    readable = tuple(part for part in parts if isinstance(part, Text | Image | File))
    if len(readable) < len(parts):
        raise wrong(f"{where}.content", "text, images or files")
    return ToolResult(name, readable)


def _assistant(message: Fields, where: str, dropped: list[str]) -> list[Part]:
    for name in ("audio", "function_call"):
        if message.get(name):
            raise Unsupported(f"'{name}' of a message cannot be carried to another protocol.", param=f"{where}.{name}")
    parts: list[Part] = []
    thought = text(message, "reasoning_content", f"{where}.") or text(message, "reasoning", f"{where}.")
    if thought:
        parts.append(Thinking(thought))
    if message.get("reasoning_details"):
        note(dropped, "reasoning_details")
    if message.get("content") is not None:
        parts += _content(message["content"], f"{where}.content", dropped)
    refusal = text(message, "refusal", f"{where}.")
    if refusal:
        parts.append(Refusal(refusal))
    for position, item in enumerate(array(message, "tool_calls", f"{where}.") or ()):
        parts.append(_tool_call(item, f"{where}.tool_calls[{position}]", dropped))
    return parts


def _tool_call(item: object, where: str, dropped: list[str]) -> ToolCall:
    call = as_object(item, where)
    note_unknown(dropped, call, _CALL_FIELDS, "tool_calls.")
    name = as_text(call.get("id"), f"{where}.id")
    if call.get("type") == "custom":
        custom = as_object(call.get("custom"), f"{where}.custom")
        given = as_text(custom.get("input"), f"{where}.custom.input")
        return ToolCall(name, as_text(custom.get("name"), f"{where}.custom.name"), wrap_freeform(given))
    function = as_object(call.get("function"), f"{where}.function")
    arguments = function.get("arguments")
    return ToolCall(
        name,
        as_text(function.get("name"), f"{where}.function.name"),
        "" if arguments is None else as_text(arguments, f"{where}.function.arguments"),
    )


def _content(content: object, where: str, dropped: list[str]) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)]
    if content is None:
        raise BadRequest(f"'{where}' is missing.", param=where)
    return [_part(item, f"{where}[{number}]", dropped) for number, item in enumerate(as_array(content, where))]


def _part(item: object, where: str, dropped: list[str]) -> Part:
    part = as_object(item, where)
    kind = part.get("type")
    if kind == "text":
        note_unknown(dropped, part, _TEXT_FIELDS, "content.")
        return Text(as_text(part.get("text"), f"{where}.text"), cache=bool(part.get("cache_control")))
    note_unknown(dropped, part, _PART_FIELDS, "content.")
    if kind == "refusal":
        return Refusal(as_text(part.get("refusal"), f"{where}.refusal"))
    if kind == "image_url":
        return _image(part.get("image_url"), f"{where}.image_url")
    if kind == "file":
        return _file(as_object(part.get("file"), f"{where}.file"), f"{where}.file")
    if kind == "thinking":
        return Thinking(_thought(part.get("thinking"), f"{where}.thinking"))
    if kind in ("input_audio", "video_url", "audio_url"):
        raise Unsupported(f"Content of type {kind!r} cannot be carried to another protocol.", param=where)
    raise BadRequest(f"'{where}.type' is not a known content type: {str(kind)[:80]!r}.", param=f"{where}.type")


def _thought(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    return "".join(text(as_object(item, where), "text", f"{where}.") or "" for item in as_array(value, where))


def _image(value: object, where: str) -> Image:
    fields: Fields = {"url": value} if isinstance(value, str) else as_object(value, where)
    url = as_text(fields.get("url"), f"{where}.url")
    detail = text(fields, "detail", f"{where}.")
    inline = split_data_url(url)
    if inline is None:
        return Image(url=url, detail=detail)
    return Image(media_type=inline[0], data=inline[1], detail=detail)


def _file(fields: Fields, where: str) -> File:
    if fields.get("file_id") is not None:
        raise Unsupported(
            "A file kept by one provider cannot be given to another; send its content inline.",
            param=f"{where}.file_id",
        )
    data = as_text(fields.get("file_data"), f"{where}.file_data")
    inline = split_data_url(data)
    # Bare base64 without a media type is what older clients send, and only for PDF.
    media_type, data = inline if inline is not None else ("application/pdf", data)
    return File(media_type=media_type, data=data, filename=text(fields, "filename", f"{where}."))


def write_conversation(messages: Sequence[Message], dropped: list[str]) -> list[dict[str, Any]]:
    """Chat messages for hub messages, in order. A turn's tool results come first in it, as this API demands; images
    among them follow in a user message of their own, since results are text here. Thoughts stay with whoever had
    them: the API has no field for them, and servers that know one disagree on its name."""
    written: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "assistant":
            _write_assistant(message, written, dropped)
        else:
            _write_user(message, written, dropped)
    return written


def _write_assistant(message: Message, written: list[dict[str, Any]], dropped: list[str]) -> None:
    texts: list[str] = []
    refusals: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text(text=said):
                texts.append(said)
                _note_cache(part, dropped)
            case Refusal(text=said):
                refusals.append(said)
            case ToolCall():
                function = {"name": part.name, "arguments": part.arguments or "{}"}
                calls.append({"id": part.id, "type": "function", "function": function})
            case Thinking():
                note(dropped, "thinking")
            case _:
                raise Unsupported("An answer of the assistant can hold only text here.", param="messages")
    if not (texts or refusals or calls):
        return
    turn: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    if refusals:
        turn["refusal"] = "".join(refusals)
    if calls:
        turn["tool_calls"] = calls
    written.append(turn)


def _write_user(message: Message, written: list[dict[str, Any]], dropped: list[str]) -> None:
    media: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            written.append(_write_result(part, media, dropped))
        else:
            content.append(_write_part(part, dropped))
    content = media + content
    if not content:
        return
    turn: dict[str, Any] = {"role": "user", "content": content}
    if len(content) == 1 and content[0]["type"] == "text":
        turn["content"] = content[0]["text"]
    if message.name is not None:
        turn["name"] = message.name
    written.append(turn)


def _write_result(result: ToolResult, media: list[dict[str, Any]], dropped: list[str]) -> dict[str, Any]:
    texts: list[str] = []
    for part in result.parts:
        if isinstance(part, Text):
            _note_cache(part, dropped)
            texts.append(part.text)
            continue
        named = f"the output of tool call {result.id}"
        texts.append(f"[{'An image' if isinstance(part, Image) else 'A file'} of {named} follows in the next message.]")
        media.append({"type": "text", "text": f"[From {named}:]"})
        media.append(_write_part(part, dropped))
    if result.is_error:
        # The API has no field for it, and a model that is not told takes the error for an answer.
        texts.insert(0, "[The tool call failed.]")
    return {"role": "tool", "tool_call_id": result.id, "content": "\n".join(texts)}


def _write_part(part: Part, dropped: list[str]) -> dict[str, Any]:
    match part:
        case Text(text=said):
            _note_cache(part, dropped)
            return {"type": "text", "text": said}
        case Image():
            url = part.url if part.data is None else f"data:{part.media_type or 'image/png'};base64,{part.data}"
            if not url:
                raise BadRequest("An image has neither data nor a URL.", param="messages")
            image = {"url": url}
            if part.detail is not None:
                image["detail"] = part.detail
            return {"type": "image_url", "image_url": image}
        case File():
            return _write_file(part)
        case Refusal(text=said):
            return {"type": "text", "text": said}
        case _:
            raise Unsupported("A user's message cannot hold thoughts or tool calls.", param="messages")


def _write_file(part: File) -> dict[str, Any]:
    if part.text is not None:
        return {"type": "text", "text": titled_text(part)}
    if part.data is None:
        raise Unsupported("The deployments this call may use take files inline, not by URL.", param="messages")
    data = f"data:{part.media_type or 'application/octet-stream'};base64,{part.data}"
    return {"type": "file", "file": {"filename": part.filename or "file", "file_data": data}}


def _note_cache(part: Text, dropped: list[str]) -> None:
    if part.cache:
        note(dropped, "cache_control")
