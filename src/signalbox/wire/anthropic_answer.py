"""Anthropic's whole answers: metered as they pass through, read into the hub's response, and written from it."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.core.stream import Seen
from signalbox.wire.anthropic_usage import UsageMeter


class _AnswerBlock(msgspec.Struct, gc=False):
    type: str
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: msgspec.Raw | None = None


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
    usage: dict[str, Any] | None = None
    error: _AnswerError | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def see_answer(body: bytes) -> Seen:
    """Usage and completeness of a whole unary answer. An error object under status 200 is told as an error."""
    try:
        answer = _decode(body)
        if answer.type == "error":
            error = answer.error or _AnswerError()
            return Seen(ok=False, error=(error.type, error.message))
        if answer.type != "message" or answer.content is None:
            return Seen(ok=False)
        usage = None if answer.usage is None else UsageMeter().tell(answer.usage)
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
    return chars + (len(bytes(block.input)) if block.input is not None else 0)
