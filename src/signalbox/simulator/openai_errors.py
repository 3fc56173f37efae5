"""Errors as OpenAI-style providers write them."""

from __future__ import annotations

from signalbox.simulator.model import Refusal, encode, sse

_TYPES = {
    "insufficient_quota": "insufficient_quota",
    "rate_limit_exceeded": "requests",
    "server_error": "server_error",
    "server_overloaded": "server_error",
}
# Codes that OpenAI leaves null: the type says it all.
_NO_CODE = frozenset(("invalid_request", "server_error"))


def error_object(refusal: Refusal) -> dict[str, object]:
    kind = _TYPES.get(refusal.code) or ("server_error" if refusal.status >= 500 else "invalid_request_error")
    code = None if refusal.code in _NO_CODE else refusal.code
    return {"message": refusal.message, "type": kind, "param": refusal.param, "code": code}


def error_body(refusal: Refusal, request_id: str) -> bytes:
    return encode({"error": error_object(refusal)})


def error_event(refusal: Refusal, request_id: str) -> bytes:
    return sse(encode({"error": error_object(refusal)}))
