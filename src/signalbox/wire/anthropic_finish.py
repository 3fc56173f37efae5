"""Anthropic's stop reasons to and from the hub's finish reasons."""

from __future__ import annotations

_FROM_STOP_REASON = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "pause_turn": "pause",
    "compaction": "pause",
    # Servers that imitate this API let these through from the OpenAI side.
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}

_TO_STOP_REASON = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "pause": "pause_turn",
    # Only says that the answer is not whole: this API has no stop reason for a failure.
    "error": "max_tokens",
}


def finish_of(stop_reason: str) -> str:
    """The hub's word. A reason this version does not know is `error`: never a success that nobody vouched for."""
    return _FROM_STOP_REASON.get(stop_reason, "error")


def stop_reason_of(finish: str, *, tool_calls: bool, refused: bool) -> str:
    """Anthropic's word. Servers that end a tool call or a refusal with a plain `stop` are read by what they sent."""
    if finish == "stop":
        if refused:
            return "refusal"
        if tool_calls:
            return "tool_use"
    return _TO_STOP_REASON.get(finish, "max_tokens")
