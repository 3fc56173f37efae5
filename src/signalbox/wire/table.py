"""The table of dialects: one line for each public API."""

from __future__ import annotations

from signalbox.wire.anthropic_messages import MESSAGES
from signalbox.wire.dialect import Dialect
from signalbox.wire.openai_chat import CHAT
from signalbox.wire.openai_responses import RESPONSES

DIALECTS: dict[str, Dialect] = {
    "chat": CHAT,
    "messages": MESSAGES,
    "responses": RESPONSES,
}
