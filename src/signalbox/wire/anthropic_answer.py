"""Anthropic's whole answers: metered as they pass through, read into the hub's response, and written from it."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.core.hub import Part, Refusal, Response, Text, Thinking, ToolCall
from signalbox.core.stream import Seen
from signalbox.core.usage import Usage
from signalbox.wire.anthropic_finish import finish_of, stop_reason_of
from signalbox.wire.anthropic_ids import tool_id
from signalbox.wire.anthropic_stream import ORIGIN
from signalbox.wire.anthropic_usage import UsageMeter, usage_document


class _AnswerBlock(msgspec.Struct, gc=False):
    type: str
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: msgspec.Raw = msgspec.Raw()


class _AnswerError(msgspec.Struct, gc=False):
    type: str = "api_error"
    message: str = ""


class _Answer(msgspec.Struct):
    type: str
    id: str = ""
    model: str | None = None
    content: list[_AnswerBlock] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: _AnswerError | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def see_answer(body: bytes) -> Seen:
    """Usage and completeness of a whole unary answer. An error object under status 200 is told as an error."""
    try:
        answer = _decode(body)
        if answer.type == "error":
            error = answer.error or _AnswerError()
            return Seen(ok=False, error=(error.type, error.message))
        if answer.type != "message" or answer.content is None:
            return Seen(ok=False)
        usage = UsageMeter().tell(answer.usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return Seen(ok=False)
    finished = answer.stop_reason is not None
    return Seen(
        content=bool(answer.content),
        content_chars=sum(map(_block_chars, answer.content)),
        finished=finished,
        end=finished,
        usage=usage,
        model=answer.model,
    )


def _block_chars(block: _AnswerBlock) -> int:
    chars = len(block.text or "") + len(block.name or "")
    chars += len(block.thinking or block.signature or block.data or "")
    return chars + len(bytes(block.input))


def read_response(body: bytes) -> Response:
    """Raises ValueError when the body is not an answer of this API. Blocks of server-side tools, which a client of
    another protocol cannot have asked for, are passed over."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not an answer of the Messages API: {error}") from None
    if answer.type != "message" or answer.content is None or answer.stop_reason is None:
        raise ValueError("not a finished answer of the Messages API")
    parts = [part for block in answer.content if (part := _part(block)) is not None]
    finish = finish_of(answer.stop_reason)
    return Response(answer.id, answer.model or "", tuple(parts), finish, stop_sequence=answer.stop_sequence)


def _part(block: _AnswerBlock) -> Part | None:
    kind = block.type
    if kind == "text":
        return Text(block.text or "")
    if kind == "tool_use":
        if not block.id or not block.name:
            raise ValueError("a tool_use block without id or name")
        return ToolCall(block.id, block.name, bytes(block.input).decode() or "{}")
    if kind == "thinking":
        signature = block.signature or None
        return Thinking(block.thinking or "", signature=signature, origin=ORIGIN if signature else None)
    if kind == "redacted_thinking":
        return Thinking(redacted=block.data or "", origin=ORIGIN)
    return None


def write_response(response: Response, usage: Usage) -> bytes:
    """Raises ValueError when a tool's arguments are no JSON object: this API has no form for them. Of a call that a
    limit cut nothing is shown, since half of it could be taken for the whole; the stop reason tells."""
    parts = response.parts
    if response.finish in ("length", "content_filter") and parts and _is_cut_call(parts[-1]):
        parts = parts[:-1]
    content: list[dict[str, Any]] = []
    for part in parts:
        block = _block(part)
        if block is not None:
            content.append(block)
        elif isinstance(part, Thinking):
            response.dropped = ("thinking",)
    reason = stop_reason_of(
        response.finish,
        tool_calls=any(isinstance(part, ToolCall) for part in response.parts),
        refused=any(isinstance(part, Refusal) for part in response.parts),
    )
    return _encode(
        {
            "id": response.id,
            "type": "message",
            "role": "assistant",
            "model": response.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": response.stop_sequence,
            "usage": usage_document(usage),
        }
    )


def _is_cut_call(part: Part) -> bool:
    if not isinstance(part, ToolCall):
        return False
    try:
        _tool_input(part)
    except ValueError:
        return True
    return False


def _block(part: Part) -> dict[str, Any] | None:
    """None for empty text, and for thoughts that Anthropic did not sign: sent back, they would be refused."""
    if isinstance(part, Text | Refusal):
        return {"type": "text", "text": part.text} if part.text else None
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": tool_id(part.id), "name": part.name, "input": _tool_input(part)}
    if isinstance(part, Thinking) and part.origin == ORIGIN:
        if part.redacted is not None:
            return {"type": "redacted_thinking", "data": part.redacted}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
    return None


def _tool_input(call: ToolCall) -> msgspec.Raw:
    data = call.arguments.strip().encode()
    if not data:
        return msgspec.Raw(b"{}")
    try:
        _decode_object(data)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError(f"the arguments of tool call {call.name[:64]!r} are no JSON object") from None
    return msgspec.Raw(data)
