"""Errors as the OpenAI-style APIs tell them: as a body, and inside a stream."""

from __future__ import annotations

import msgspec

from signalbox.core.errors import CallError

KEEPALIVE = b": keepalive\n\n"
DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


def error_body(error: CallError) -> bytes:
    return _encode(
        {"error": {"message": error.message, "type": error.openai_type, "param": error.param, "code": error.code}}
    )


def error_event(error: CallError) -> bytes:
    """No `[DONE]` follows: the answer is not complete, and clients raise on the error object."""
    return b"data: " + error_body(error) + b"\n\n"
