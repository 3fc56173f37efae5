"""Anthropic's content blocks read into the hub's parts."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.core.hub import File, Image, Part, Text, Thinking, ToolCall, ToolResult
from signalbox.wire.anthropic_stream import ORIGIN

_encode = msgspec.json.Encoder().encode
# Say something about the conversation's own machinery, and nothing that another protocol's model would read.
_SILENT = frozenset({"fallback", "mcp_tool_listing"})


class BlockReader:
    """Reads content values of one request. dropped: names of what was left out, an ordered set shared with it."""

    __slots__ = ("_dropped",)

    def __init__(self, dropped: dict[str, None]) -> None:
        self._dropped = dropped

    def read(self, content: object, where: str) -> list[Part]:
        """Parts of a message's or the system's content: a string or a list of blocks."""
        if isinstance(content, str):
            return [Text(content)]
        parts: list[Part] = []
        for position, block in enumerate(_blocks(content, where)):
            parts.extend(self._block(block, f"{where}.{position}"))
        return parts

    def _block(self, block: dict[str, Any], where: str) -> list[Part]:
        kind = block.get("type")
        if kind == "text":
            return [self._text(block, where)]
        if kind == "tool_use":
            self._note_cache(block)
            return [ToolCall(_string(block, "id", where), _string(block, "name", where), _arguments(block, where))]
        if kind == "tool_result":
            self._note_cache(block)
            parts = tuple(self._result_parts(block.get("content"), f"{where}.content"))
            return [ToolResult(_string(block, "tool_use_id", where), parts, block.get("is_error") is True)]
        if kind == "thinking":
            signature = block.get("signature")
            text = block.get("thinking")
            signed = isinstance(signature, str) and bool(signature)
            return [
                Thinking(
                    text if isinstance(text, str) else "",
                    signature=cast("str", signature) if signed else None,
                    origin=ORIGIN if signed else None,
                )
            ]
        if kind == "redacted_thinking":
            return [Thinking(redacted=_string(block, "data", where), origin=ORIGIN)]
        if kind == "compaction":
            summary = block.get("content")
            return [Text(summary)] if isinstance(summary, str) else []
        if kind in _SILENT:
            self._dropped[cast("str", kind)] = None
            return []
        return list(self._readable(block, where))

    def _result_parts(self, content: object, where: str) -> list[Text | Image | File]:
        if content is None:
            return []
        if isinstance(content, str):
            return [Text(content)]
        parts: list[Text | Image | File] = []
        for position, block in enumerate(_blocks(content, where)):
            parts.extend(self._readable(block, f"{where}.{position}"))
        return parts

    def _readable(self, block: dict[str, Any], where: str) -> list[Text | Image | File]:
        """Blocks that may stand in a message and in a tool's result alike."""
        kind = block.get("type")
        if kind == "text":
            return [self._text(block, where)]
        if kind == "image":
            self._note_cache(block)
            return [_image(block, where)]
        if kind == "document":
            self._note_cache(block)
            return self._document(block, where)
        if kind == "search_result":
            self._dropped["search_result"] = None
            head = f"{block.get('title') or ''}\n{block.get('source') or ''}".strip()
            return [Text(head), *self._result_parts(block.get("content"), f"{where}.content")]
        if kind == "tool_reference":
            # Every tool is sent with the request, so its name is all that the reference has left to say.
            return [Text(_string(block, "tool_name", where))]
        raise Unsupported(
            f"{where}: blocks of type {str(kind)[:64]!r} cannot be carried to the deployments this call may use",
            param="messages",
        )

    def _text(self, block: dict[str, Any], where: str) -> Text:
        text = block.get("text")
        if not isinstance(text, str):
            raise BadRequest(f"{where}.text: Field required", param=f"{where}.text")
        if block.get("citations"):
            self._dropped["citations"] = None
        return Text(text, cache=bool(block.get("cache_control")))

    def _document(self, block: dict[str, Any], where: str) -> list[Text | Image | File]:
        for field in ("context", "citations"):
            if block.get(field):
                self._dropped[f"document.{field}"] = None
        title = block.get("title")
        name = title if isinstance(title, str) else None
        source = _source(block, where)
        kind = source.get("type")
        if kind == "base64":
            media_type, data = _string(source, "media_type", where), _string(source, "data", where)
            return [File(media_type=media_type, data=data, filename=name)]
        if kind == "text":
            return [File(media_type="text/plain", text=_string(source, "data", where), filename=name)]
        if kind == "url":
            return [File(media_type="application/pdf", url=_string(source, "url", where), filename=name)]
        if kind == "content":
            return self._result_parts(source.get("content"), f"{where}.source.content")
        raise _not_ours(where)

    def _note_cache(self, block: dict[str, Any]) -> None:
        """Cache marks survive on text only."""
        if block.get("cache_control"):
            self._dropped["cache_control"] = None


def _blocks(content: object, where: str) -> list[dict[str, Any]]:
    if not isinstance(content, list):
        raise BadRequest(f"{where}: Input should be a valid string or array", param=where)
    for position, block in enumerate(cast("list[Any]", content)):
        if not isinstance(block, dict):
            raise BadRequest(f"{where}.{position}: Input should be an object", param=where)
    return cast("list[dict[str, Any]]", content)


def _image(block: dict[str, Any], where: str) -> Image:
    source = _source(block, where)
    kind = source.get("type")
    if kind == "base64":
        return Image(media_type=_string(source, "media_type", where), data=_string(source, "data", where))
    if kind == "url":
        return Image(url=_string(source, "url", where))
    raise _not_ours(where)


def _source(block: dict[str, Any], where: str) -> dict[str, Any]:
    source = block.get("source")
    if not isinstance(source, dict):
        raise BadRequest(f"{where}.source: Field required", param=f"{where}.source")
    return cast("dict[str, Any]", source)


def _not_ours(where: str) -> Unsupported:
    return Unsupported(
        f"{where}.source: a file kept by one provider cannot be carried to another; send its content instead",
        param="messages",
    )


def _arguments(block: dict[str, Any], where: str) -> str:
    value = block.get("input")
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise BadRequest(f"{where}.input: Input should be an object", param=f"{where}.input")
    return _encode(value).decode()


def _string(source: dict[str, Any], key: str, where: str) -> str:
    value = source.get(key)
    if not isinstance(value, str):
        raise BadRequest(f"{where}.{key}: Input should be a valid string", param=f"{where}.{key}")
    return value
