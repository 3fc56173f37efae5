"""Which endpoint speaks which protocol, and the model list."""

from __future__ import annotations

from typing import Any

from signalbox.simulator.anthropic_messages import COUNT_TOKENS, MESSAGES
from signalbox.simulator.embeddings import EMBEDDINGS
from signalbox.simulator.limits import ProviderState
from signalbox.simulator.model import Face, encode
from signalbox.simulator.openai_chat import CHAT, COMPLETIONS
from signalbox.simulator.openai_responses import RESPONSES

ENDPOINTS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
    "/v1/messages": "messages",
    "/v1/messages/count_tokens": "count_tokens",
}
FACES: dict[str, Face] = {
    "chat": CHAT,
    "responses": RESPONSES,
    "completions": COMPLETIONS,
    "embeddings": EMBEDDINGS,
    "messages": MESSAGES,
    "count_tokens": COUNT_TOKENS,
}
_CREATED_S = 1_767_225_600
_CREATED_AT = "2026-01-01T00:00:00Z"


def models_body(state: ProviderState, wanted: str) -> bytes | None:
    """The list, or one model; None when there is no such model. One object holds OpenAI's and Anthropic's fields."""
    if wanted:
        name = wanted.partition("!")[0]
        return encode(_model(state, wanted)) if name in state.spec.models else None
    names = list(state.spec.models)
    return encode(
        {
            "object": "list",
            "data": [_model(state, name) for name in names],
            "has_more": False,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }
    )


def _model(state: ProviderState, name: str) -> dict[str, Any]:
    spec = state.spec.models[name.partition("!")[0]]
    return {
        "id": name,
        "object": "model",
        "created": _CREATED_S,
        "owned_by": state.name,
        "type": "model",
        "display_name": name,
        "created_at": _CREATED_AT,
        "lifecycle": "active",
        "max_input_tokens": spec.context_tokens,
        "max_tokens": spec.output_tokens_max,
        "max_model_len": spec.context_tokens,
    }
