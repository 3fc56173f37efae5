"""The table of dialects: one line for each public API, and for what guards ask."""

from __future__ import annotations

from signalbox.wire.anthropic_messages import COUNT_TOKENS, MESSAGES
from signalbox.wire.dialect import Dialect
from signalbox.wire.openai_chat import CHAT
from signalbox.wire.openai_completions import COMPLETIONS
from signalbox.wire.openai_embeddings import EMBEDDINGS
from signalbox.wire.openai_responses import RESPONSES
from signalbox.wire.scans import SCANS

DIALECTS: dict[str, Dialect] = {
    "chat": CHAT,
    "responses": RESPONSES,
    "messages": MESSAGES,
    "completions": COMPLETIONS,
    "embeddings": EMBEDDINGS,
    "count_tokens": COUNT_TOKENS,
    "scan": SCANS,
}
# What clients may call; the others are asked by guards only.
PUBLIC: dict[str, Dialect] = {api: dialect for api, dialect in DIALECTS.items() if dialect.path}
