"""Items of a Responses conversation, to and from hub messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.core.hub import File, Image, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from signalbox.wire.responses_envelope import item_kind

# How a foreign signature travels in `encrypted_content` through a Responses client, which returns it unread: without
# it the signing provider refuses the next turn of a conversation that thinks between tool calls.
_CARRIED = "signalbox.thinking."

# More names than this tell a reader of the header nothing.
DROPPED_MAX = 32
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,48}")

_encode = msgspec.json.Encoder().encode


def note(dropped: list[str], name: str) -> None:
    """Records a parameter that is not carried, once."""
    if name not in dropped:
        dropped.append(name)


def seal(thinking: Thinking) -> str | None:
    """What to put into `encrypted_content` of a reasoning item that we write; None for unsigned thoughts."""
    if thinking.origin is None or "." in thinking.origin:
        return None
    if thinking.redacted is not None:
        return f"{_CARRIED}{thinking.origin}.redacted.{thinking.redacted}"
    if thinking.signature is not None:
        return f"{_CARRIED}{thinking.origin}.signature.{thinking.signature}"
    return None


def unseal(encrypted: object, text: str, item_id: str | None) -> Thinking | None:
    """The thought that `seal` wrote; None when the content was encrypted by somebody else."""
    if not isinstance(encrypted, str) or not encrypted.startswith(_CARRIED):
        return None
    pieces = encrypted[len(_CARRIED) :].split(".", 2)
    if len(pieces) != 3 or pieces[1] not in ("signature", "redacted"):
        return None
    origin, kind, value = pieces
    if kind == "redacted":
        return Thinking(redacted=value, id=item_id, origin=origin)
    return Thinking(text=text, signature=value, id=item_id, origin=origin)


def note_unknown(dropped: list[str], fields: dict[str, Any], known: frozenset[str], prefix: str) -> None:
    """Records what an object says beyond what is read of it. Cache marks go by their own name wherever they stand."""
    for name, value in fields.items():
        if name in known or value is None or value is False or value in ([], {}, ""):
            continue
        if len(dropped) < DROPPED_MAX:
            note(dropped, name if name == "cache_control" else f"{prefix}{name}" if _PLAIN.fullmatch(name) else "other")


def titled_text(file: File) -> str:
    """A plain text document for APIs that take such as text of the message, under its title."""
    return f"{file.filename}\n\n{file.text}" if file.filename else file.text or ""


class ItemsReader:
    """Builds messages from input items. Tool calls and thoughts are items of their own on this wire; in the hub they
    are parts of the assistant's message, and results that follow each other are parts of one user message."""

    __slots__ = ("_dropped", "_parts", "_role", "messages", "system", "tools")

    def __init__(self, dropped: list[str]) -> None:
        self.messages: list[Message] = []
        self.system: list[Text] = []
        self.tools: list[tuple[Any, str]] = []
        self._dropped = dropped
        self._role = ""
        self._parts: list[Part] = []

    def read(self, items: Sequence[Any]) -> None:
        for position, item in enumerate(items):
            where = f"input[{position}]"
            if not isinstance(item, dict):
                raise BadRequest(f"'{where}' must be an object.", param=where)
            self._item(cast("dict[str, Any]", item), where)
        self._close()

    def _item(self, item: dict[str, Any], where: str) -> None:
        match item_kind(item, where):
            case "message":
                self._message(item, where)
            case "function_call":
                arguments = _string(item, "arguments", where)
                self._assistant(ToolCall(_string(item, "call_id", where), _tool_name(item, where), arguments))
            case "custom_tool_call":
                wrapped = wrap_freeform(_string(item, "input", where))
                self._assistant(ToolCall(_string(item, "call_id", where), _tool_name(item, where), wrapped))
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, where)
            case "reasoning":
                self._reasoning(item)
            case "additional_tools":
                tools = item.get("tools")
                if not isinstance(tools, list):
                    raise BadRequest(f"'{where}.tools' must be an array.", param=f"{where}.tools")
                self.tools += [(t, f"{where}.tools[{i}]") for i, t in enumerate(cast("list[Any]", tools))]
            case "configuration_update":
                note(self._dropped, "configuration_update")
            case kind:
                raise Unsupported(
                    f"Input items of type '{kind}' exist only in the Responses API of the provider that made them; "
                    "no permitted deployment speaks it.",
                    param=where,
                )

    def _message(self, item: dict[str, Any], where: str) -> None:
        role = item.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            raise BadRequest(f"'{where}.role' must be user, assistant, system or developer.", param=f"{where}.role")
        parts = read_content(item.get("content"), f"{where}.content", self._dropped)
        if role == "assistant":
            if item.get("phase") is not None:
                note(self._dropped, "phase")
            for part in parts:
                self._assistant(part)
        elif role == "user":
            self._close()
            self.messages.append(Message("user", tuple(parts)))
        else:
            self._system(parts, where)

    def _system(self, parts: list[Part], where: str) -> None:
        """The hub keeps system text in front. Text that stood further down loses its place, which is reported."""
        if self.messages or self._parts:
            note(self._dropped, "system_position")
        for part in parts:
            if not isinstance(part, Text):
                raise Unsupported("System and developer messages can only hold text.", param=where)
            self.system.append(part)

    def _result(self, item: dict[str, Any], where: str) -> None:
        output = item.get("output")
        parts = read_content(output, f"{where}.output", self._dropped)
        readable = tuple(part for part in parts if isinstance(part, Text | Image | File))
        if len(readable) < len(parts):
            raise BadRequest(f"'{where}.output' must hold text, images or files.", param=f"{where}.output")
        is_error = item.get("status") == "incomplete"
        self._add("user", ToolResult(_string(item, "call_id", where), readable, is_error))

    def _reasoning(self, item: dict[str, Any]) -> None:
        text = reasoning_text(item)
        item_id = item.get("id")
        name = item_id if isinstance(item_id, str) else None
        encrypted = item.get("encrypted_content")
        carried = unseal(encrypted, text, name)
        if carried is not None:
            self._assistant(carried)
            return
        if encrypted:
            note(self._dropped, "thinking")
        if text:
            self._assistant(Thinking(text=text, id=name))

    def _assistant(self, part: Part) -> None:
        self._add("assistant", part)

    def _add(self, role: str, part: Part) -> None:
        if self._role != role:
            self._close()
            self._role = role
        self._parts.append(part)

    def _close(self) -> None:
        if self._parts:
            self.messages.append(Message(self._role, tuple(self._parts)))
            self._parts = []
        self._role = ""


def read_content(content: object, where: str, dropped: list[str]) -> list[Part]:
    """Parts of a message's content or of a tool's output. Raises BadRequest or Unsupported."""
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise BadRequest(f"'{where}' must be a string or an array.", param=where)
    return [_part(part, f"{where}[{i}]", dropped) for i, part in enumerate(cast("list[Any]", content))]


def _part(value: object, where: str, dropped: list[str]) -> Part:
    if not isinstance(value, dict):
        raise BadRequest(f"'{where}' must be an object.", param=where)
    part = cast("dict[str, Any]", value)
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            if part.get("annotations"):
                note(dropped, "annotations")
            return Text(_string(part, "text", where), cache=bool(part.get("prompt_cache_breakpoint")))
        case "refusal":
            return Refusal(_string(part, "refusal", where))
        case "input_image":
            return _image(part, where)
        case "input_file":
            return _file(part, where, dropped)
        case "input_audio":
            raise Unsupported("Audio input cannot be carried to another protocol.", param=where)
        case kind:
            raise BadRequest(f"'{where}.type' is not a known content type: {str(kind)[:80]!r}.", param=f"{where}.type")


def _image(part: dict[str, Any], where: str) -> Image:
    url = part.get("image_url")
    if not isinstance(url, str):
        _refuse_file_id(part, where)
        raise BadRequest(f"'{where}.image_url' must be a string.", param=f"{where}.image_url")
    detail = part.get("detail")
    detail = detail if isinstance(detail, str) else None
    inline = split_data_url(url)
    if inline is None:
        return Image(url=url, detail=detail)
    return Image(media_type=inline[0], data=inline[1], detail=detail)


def _file(part: dict[str, Any], where: str, dropped: list[str]) -> File:
    name = part.get("filename")
    name = name if isinstance(name, str) else None
    data, url = part.get("file_data"), part.get("file_url")
    if part.get("detail") not in (None, "auto"):
        note(dropped, "file.detail")
    if isinstance(data, str):
        inline = split_data_url(data)
        # Bare base64 without a media type is what older clients send, and only for PDF.
        media_type, data = inline if inline is not None else ("application/pdf", data)
        return File(media_type=media_type, data=data, filename=name)
    if isinstance(url, str):
        return File(url=url, filename=name)
    _refuse_file_id(part, where)
    raise BadRequest(f"'{where}' needs 'file_data' or 'file_url'.", param=where)


def _refuse_file_id(part: dict[str, Any], where: str) -> None:
    if part.get("file_id") is not None:
        raise Unsupported(
            "A file kept by one provider cannot be given to another; send its content inline.", param=f"{where}.file_id"
        )


def split_data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64 data) of a `data:` URL; None for any other. Raises BadRequest when it is not base64."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if not comma or "base64" not in parameters:
        raise BadRequest("A data URL must look like 'data:<media type>;base64,<data>'.")
    return media_type or "application/octet-stream", data


def reasoning_text(item: dict[str, Any]) -> str:
    """Visible text of a reasoning item: its summary, or the raw reasoning that open models tell instead."""
    for field in ("summary", "content"):
        parts = item.get(field)
        if isinstance(parts, list) and parts:
            texts = [
                cast("dict[str, Any]", part).get("text") for part in cast("list[Any]", parts) if isinstance(part, dict)
            ]
            return "\n\n".join(text for text in texts if isinstance(text, str))
    return ""


def wrap_freeform(text: str) -> str:
    """A freeform tool's input as the JSON arguments of the function that stands for it."""
    return _encode({"input": text}).decode()


def unwrap_freeform(arguments: str) -> str:
    """The other way; arguments of another shape are given to the tool as the model wrote them."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return arguments
    if isinstance(value, dict):
        text = cast("dict[str, Any]", value).get("input")
        if isinstance(text, str):
            return text
    return arguments


def write_items(messages: Iterable[Message], dropped: list[str]) -> list[dict[str, Any]]:
    """Input items for hub messages, in order. Thoughts are another provider's here and are dropped."""
    items: list[dict[str, Any]] = []
    for message in messages:
        content: list[dict[str, Any]] = []
        if message.name is not None:
            note(dropped, "messages.name")
        for part in message.parts:
            if isinstance(part, ToolCall | ToolResult):
                _flush(items, message.role, content)
                content = []
                items.append(_call(part) if isinstance(part, ToolCall) else _output(part, dropped))
            elif isinstance(part, Thinking):
                note(dropped, "thinking")
            else:
                content.append(_content_part(part, message.role, dropped))
        _flush(items, message.role, content)
    return items


def _flush(items: list[dict[str, Any]], role: str, content: list[dict[str, Any]]) -> None:
    if not content:
        return
    whole = content[0].get("text") if len(content) == 1 else None
    if whole is not None:
        # One text is written as a plain string: every server of this API takes it, for both roles.
        items.append({"role": role, "content": whole})
    elif role == "assistant":
        # Servers that check the schema know parts of an assistant only in an output item, which needs an id.
        item = {"type": "message", "id": f"msg_{len(items)}", "role": role, "status": "completed", "content": content}
        items.append(item)
    else:
        items.append({"role": role, "content": content})


def _call(call: ToolCall) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments or "{}"}


def _output(result: ToolResult, dropped: list[str]) -> dict[str, Any]:
    parts = result.parts
    if result.is_error:
        # The status below is for programs: a model that is not told takes the error for an answer.
        said = "[The tool call failed.]"
        match parts:
            case (Text(text=text),):
                parts = (Text(f"{said}\n{text}"),)
            case _:
                parts = (Text(said), *parts)
    item: dict[str, Any] = {"type": "function_call_output", "call_id": result.id}
    if all(isinstance(part, Text) for part in parts) and len(parts) <= 1:
        item["output"] = "".join(part.text for part in parts if isinstance(part, Text))
    else:
        item["output"] = [_content_part(part, "user", dropped) for part in parts]
    if result.is_error:
        item["status"] = "incomplete"
    return item


def _content_part(part: Part, role: str, dropped: list[str]) -> dict[str, Any]:
    match part:
        case Text(text=text):
            if part.cache:
                note(dropped, "cache_control")
            if role == "assistant":
                return {"type": "output_text", "text": text, "annotations": []}
            return {"type": "input_text", "text": text}
        case Refusal(text=text):
            return {"type": "refusal", "refusal": text}
        case Image():
            url = part.url if part.url is not None else f"data:{part.media_type};base64,{part.data}"
            return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
        case File():
            return _file_part(part)
        case _:
            raise Unsupported("This part cannot stand in the content of a message.")


def _file_part(file: File) -> dict[str, Any]:
    if file.text is not None:
        return {"type": "input_text", "text": titled_text(file)}
    if file.url is not None:
        return {"type": "input_file", "file_url": file.url}
    return {
        "type": "input_file",
        "filename": file.filename or "file",
        "file_data": f"data:{file.media_type or 'application/octet-stream'};base64,{file.data}",
    }


def _string(fields: dict[str, Any], name: str, where: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"'{where}.{name}' must be a string.", param=f"{where}.{name}")
    return value


def _tool_name(item: dict[str, Any], where: str) -> str:
    if item.get("namespace") is not None:
        raise Unsupported("Tools in namespaces cannot be carried to another protocol.", param=f"{where}.namespace")
    return _string(item, "name", where)
