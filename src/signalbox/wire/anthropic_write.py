"""The hub's request written as a Messages body."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.core.hub import (
    File,
    Image,
    Message,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from signalbox.wire.anthropic_ids import tool_id
from signalbox.wire.anthropic_stream import ORIGIN
from signalbox.wire.anthropic_thinking import sampling, write_thinking
from signalbox.wire.dialect import Target

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
# What OpenAI's servers let pass, and much software says.
_MISSPELLED = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_CACHE_MARKS_MAX = 4
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}
_TIERS = {"auto": "auto", "default": "standard_only"}


def write_request(request: Request, target: Target, *, counting: bool = False) -> bytes:
    """The body for `target`. Tuning that this API lacks is added to `request.dropped`; raises Unsupported for what
    changes the contract: n > 1, JSON mode without a schema, tools or images that the target does not take.

    counting: the body for a token count, which has no limits and no sampling.
    """
    writer = _BlockWriter(request, target)
    body: dict[str, Any] = {"model": target.model}
    if not counting:
        body["max_tokens"] = target.max_tokens_default if request.max_tokens is None else request.max_tokens
    if request.system:
        system = [writer.text(text) for text in request.system if text.text]
        if system:
            body["system"] = system
    body["messages"] = messages = _messages(request.messages, writer)
    _write_tools(body, request, target)
    _write_output_format(body, request, target)
    if not counting:
        _write_tuning(body, request, target.model, messages)
    writer.report()
    return _encode(body)


def _write_tuning(body: dict[str, Any], request: Request, model: str, messages: list[dict[str, Any]]) -> None:
    if request.n is not None and request.n != 1:
        raise Unsupported("n: this deployment answers with one choice only", param="n")
    prefill = messages[-1]["role"] == "assistant"
    thinking = write_thinking(body, request, model, prefill=prefill, tool_loop=_open_tool_loop(messages))
    allowed = sampling(request, model, thinking=thinking)
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(allowed, name)
        if value is not None:
            body[name] = value
    stop = [text for text in request.stop if text.strip()]
    if stop:
        body["stop_sequences"] = stop
    if len(stop) < len(request.stop):
        # Sequences of white space alone are refused here.
        request.dropped.append("stop")
    if request.user:
        body["metadata"] = {"user_id": request.user}
    if request.service_tier is not None:
        tier = _TIERS.get(request.service_tier)
        if tier is None:
            request.dropped.append("service_tier")
        else:
            body["service_tier"] = tier
    for name in ("seed", "presence_penalty", "frequency_penalty", "metadata", "prompt_cache_key", "verbosity"):
        if getattr(request, name):
            request.dropped.append(name)
    if request.stream:
        body["stream"] = True


def _messages(messages: tuple[Message, ...], writer: _BlockWriter) -> list[dict[str, Any]]:
    """Turns in alternation: consecutive messages of one role become one, a turn's tool results come first in it."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.name is not None:
            writer.leave_out("messages.name")
        blocks = [block for part in message.parts if (block := writer.block(part)) is not None]
        if not blocks:
            continue
        if turns and turns[-1]["role"] == message.role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": message.role, "content": blocks})
    if not turns:
        raise BadRequest("messages: at least one message with content is required", param="messages")
    for turn in turns:
        if turn["role"] == "user":
            turn["content"].sort(key=_after_results)
    return turns


def _after_results(block: dict[str, Any]) -> bool:
    return block["type"] != "tool_result"


def _open_tool_loop(messages: list[dict[str, Any]]) -> bool:
    """Whether the conversation ends with results of calls that no signed thought precedes."""
    last = messages[-1]
    if last["role"] != "user" or last["content"][0]["type"] != "tool_result" or len(messages) < 2:
        return False
    return messages[-2]["content"][0]["type"] not in ("thinking", "redacted_thinking")


class _BlockWriter:
    """Writes parts as content blocks, keeping account of what had to be left out."""

    __slots__ = ("_dropped", "_marks", "_request", "_target")

    def __init__(self, request: Request, target: Target) -> None:
        self._request = request
        self._target = target
        self._dropped: dict[str, None] = {}
        self._marks = 0

    def report(self) -> None:
        known = self._request.dropped
        known.extend(name for name in self._dropped if name not in known)

    def leave_out(self, name: str) -> None:
        self._dropped[name] = None

    def text(self, part: Text) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "text", "text": part.text}
        if part.cache:
            if self._marks < _CACHE_MARKS_MAX:
                self._marks += 1
                block["cache_control"] = {"type": "ephemeral"}
            else:
                self._dropped["cache_control"] = None
        return block

    def block(self, part: Part) -> dict[str, Any] | None:
        """One content block, or None for what this API does not take: empty text, thoughts that it did not sign."""
        if isinstance(part, Text):
            return self.text(part) if part.text else None
        if isinstance(part, ToolCall):
            return {"type": "tool_use", "id": tool_id(part.id), "name": part.name, "input": _input(part)}
        if isinstance(part, ToolResult):
            return self._tool_result(part)
        if isinstance(part, Thinking):
            return self._thinking(part)
        if isinstance(part, Refusal):
            return {"type": "text", "text": part.text} if part.text else None
        return self._media(part)

    def _tool_result(self, part: ToolResult) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for inner in part.parts:
            if not isinstance(inner, Text):
                content.append(self._media(inner))
            elif inner.text:
                content.append(self.text(inner))
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": tool_id(part.id)}
        if content:
            block["content"] = content
        if part.is_error:
            block["is_error"] = True
        return block

    def _thinking(self, part: Thinking) -> dict[str, Any] | None:
        if part.origin == ORIGIN:
            if part.redacted is not None:
                return {"type": "redacted_thinking", "data": part.redacted}
            if part.signature:
                return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        self._dropped["thinking"] = None
        return None

    def _media(self, part: Image | File) -> dict[str, Any]:
        if isinstance(part, File):
            return _document(part)
        if not self._target.images:
            raise Unsupported("messages: the deployments this call may use take no images", param="messages")
        if part.detail not in (None, "auto"):
            self._dropped["image.detail"] = None
        return {"type": "image", "source": _image_source(part)}


def _image_source(part: Image) -> dict[str, Any]:
    if part.data is not None:
        media_type = (part.media_type or "").lower()
        media_type = _MISSPELLED.get(media_type, media_type)
        if media_type not in _IMAGE_TYPES:
            raise Unsupported(f"messages: images of type {str(part.media_type)[:64]!r} are not taken", param="messages")
        return {"type": "base64", "media_type": media_type, "data": part.data}
    if not part.url:
        raise BadRequest("messages: an image has neither data nor url", param="messages")
    return {"type": "url", "url": part.url}


def _document(part: File) -> dict[str, Any]:
    media_type = (part.media_type or "").split(";", 1)[0].strip().lower()
    if part.text is not None:
        source = {"type": "text", "media_type": "text/plain", "data": part.text}
    elif part.data is not None and media_type == "application/pdf":
        source = {"type": "base64", "media_type": "application/pdf", "data": part.data}
    elif part.data is not None and media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": _plain_text(part.data)}
    elif part.url is not None and media_type in ("", "application/pdf"):
        source = {"type": "url", "url": part.url}
    else:
        raise Unsupported(f"messages: files of type {media_type[:64]!r} are not taken", param="messages")
    block: dict[str, Any] = {"type": "document", "source": source}
    if part.filename:
        block["title"] = part.filename
    return block


def _plain_text(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise BadRequest("messages: a text file is not base64 of UTF-8", param="messages") from None


def _input(call: ToolCall) -> msgspec.Raw:
    """The arguments as an object, in the very text of the model that wrote them."""
    text = call.arguments.strip()
    if not text:
        return msgspec.Raw(b"{}")
    data = text.encode()
    try:
        _decode_object(data)
    except (msgspec.DecodeError, RecursionError):
        raise Unsupported(
            f"messages: the arguments of tool call {call.id[:64]!r} are no JSON object, which this deployment needs",
            param="messages",
        ) from None
    return msgspec.Raw(data)


def _write_tools(body: dict[str, Any], request: Request, target: Target) -> None:
    choice = request.tool_choice
    if not request.tools:
        if choice is not None and choice.mode in ("required", "named"):
            raise BadRequest("tool_choice: a tool is demanded, but there are no tools", param="tool_choice")
        return
    if not target.tools:
        raise Unsupported("tools: the deployments this call may use take no tools", param="tools")
    tools: list[dict[str, Any]] = []
    for tool in request.tools:
        written: dict[str, Any] = {"name": tool.name}
        if tool.description:
            written["description"] = tool.description
        # A function without parameters is told as an object without properties.
        written["input_schema"] = tool.parameters if "type" in tool.parameters else {"type": "object"} | tool.parameters
        if tool.strict:
            written["strict"] = True
        tools.append(written)
    body["tools"] = tools
    serial = request.parallel_tool_calls is False and (choice is None or choice.mode != "none")
    if choice is None and not serial:
        return
    written = {"type": _CHOICES[choice.mode if choice is not None else "auto"]}
    if choice is not None and choice.mode == "named":
        written["name"] = choice.name
    if serial:
        written["disable_parallel_tool_use"] = True
    body["tool_choice"] = written


def _write_output_format(body: dict[str, Any], request: Request, target: Target) -> None:
    wanted = request.output_format
    if wanted is None:
        return
    if wanted.kind != "json_schema" or wanted.schema is None:
        raise Unsupported(
            "response_format: this deployment has no JSON mode without a schema; use json_schema",
            param="response_format",
        )
    if not target.json_schema:
        raise Unsupported("response_format: this deployment cannot follow a JSON schema", param="response_format")
    if wanted.description:
        request.dropped.append("response_format.description")
    body["output_config"] = {"format": {"type": "json_schema", "schema": wanted.schema}}
