"""What providers' errors say beyond their status: tables of their words, each with who writes it. All in lower case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

# The input, or input and output together, is too long for the model.
CONTEXT_WORDS = (
    b"context_length_exceeded",  # OpenAI, Azure, Groq
    b"maximum context length",  # OpenAI, vLLM, Mistral, DeepSeek, Fireworks
    b"context window",  # OpenAI, MiniMax
    b"prompt is too long",  # Anthropic
    b"exceed context limit",  # Anthropic: input length and `max_tokens` together
    b"input is too long",  # Bedrock
    b"maximum number of tokens allowed",  # Google
    b"maximum prompt length",  # xAI
    b"exceeded model token limit",  # Moonshot
    b"prompt exceeds max length",  # Z.ai
    b"range of input length should be",  # Alibaba
    b"too many tokens:",  # Cohere
    b"longer than the maximum model length",  # vLLM
    b"longer than the model's context length",  # SGLang
    b"exceeds the maximum allowed length",  # SGLang
    b"`inputs` tokens + `max_new_tokens` must be",  # TGI, Together
    b"`inputs` must have less than",  # TGI
    b"exceeds the available context size",  # llama.cpp
    b"exceeds the context length",  # Ollama
    b"greater than the context length",  # LM Studio
    b"context length of only",  # LM Studio
)
# A provider that will not have this content; asking another one would be to go round its judgement.
POLICY_WORDS = (
    b"content_policy",
    b"content_filter",
    b"content policy",
    b"responsibleaipolicyviolation",
    b"safety system",
    b"flagged",
    b"moderation",
)
# Our account there has nothing left to spend, told as too many requests or as forbidden.
QUOTA_WORDS = (
    b"insufficient_quota",  # OpenAI
    b"billing_hard_limit",  # OpenAI
    b"exceeded your current quota",  # OpenAI, Google
    b"credit balance",  # Anthropic
    b"exceeded_current_quota",  # Moonshot
    b"insufficient balance",  # Z.ai
    b"used all available credits",  # xAI
)
# The same, or a key that is no longer good, told with the status of a bad request.
ACCOUNT_WORDS = (
    b"credit balance is too low",  # Anthropic
    b"you have reached your specified api usage limits",  # Anthropic
    b"this organization has been disabled",  # Anthropic
    b"billing_hard_limit_reached",  # OpenAI
    b"api key not valid",  # Google
    b"api key expired",  # Google
    b"incorrect api key provided",  # xAI
    b"organization_restricted",  # Groq
    b'"arrearage"',  # Alibaba
)
# A stored answer that lies elsewhere, told with the status of a bad request (OpenAI).
NOT_KEPT_HERE = (b"previous_response_not_found",)


def says(body: bytes, words: tuple[bytes, ...]) -> bool:
    lower = body.lower()
    return any(one in lower for one in words)


def blames_account(body: bytes, asked: Mapping[str, Any]) -> bool:
    """Whether a bad request is no such thing, but our account's trouble. asked: what the caller sent. Providers quote
    it in their errors, and whoever writes these words there must not put our credential out of use for everybody."""
    lower = body.lower()
    found = [one for one in ACCOUNT_WORDS if one in lower]
    if not found:
        return False
    sent = msgspec.json.encode(asked).lower()
    return any(one not in sent for one in found)


# What codes and types of errors that are told inside of a 200 stand for. Others may have come in the middle of work.
_STATUSES = {
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}
_STATUS_FORM = frozenset(str(status) for status in range(400, 430))


def refusal(api: str, kind: str, message: str, told: bytes) -> tuple[int, bytes] | None:
    """The status and body that an error inside of a 200 stands for, where the call was refused before any work: the
    caller's own doing, or our account's. None where the provider may have failed at it. kind: its code or type. told:
    the JSON that it came in."""
    status = int(kind) if kind in _STATUS_FORM else _STATUSES.get(kind.lower(), 0)
    if not status:
        return None
    try:
        doc: object = msgspec.json.decode(told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        doc = None
    if isinstance(doc, dict) and isinstance(cast("dict[str, Any]", doc).get("error"), dict):
        return status, told
    if api == "messages":
        body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    else:
        body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": kind}}
    return status, msgspec.json.encode(body)
