"""OpenAI and everything that speaks like it (Azure v1, Mistral, vLLM, Ollama, …): the base URL ends in /v1."""

from __future__ import annotations

from signalbox.upstream.adapter import Adapter

OPENAI = Adapter(
    "openai",
    paths={
        "chat": b"/chat/completions",
        "responses": b"/responses",
        "completions": b"/completions",
        "embeddings": b"/embeddings",
        # Some servers of this kind also speak Messages by themselves.
        "messages": b"/messages",
        "count_tokens": b"/messages/count_tokens",
    },
    forwarded=frozenset((b"openai-beta",)),
)
