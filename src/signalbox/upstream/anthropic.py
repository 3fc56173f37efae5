"""Anthropic and everything that speaks like it: the base URL does not end in /v1."""

from __future__ import annotations

from signalbox.upstream.adapter import Adapter

_VERSION = ((b"anthropic-version", b"2023-06-01"),)

ANTHROPIC = Adapter(
    "anthropic",
    paths={"messages": b"/v1/messages", "count_tokens": b"/v1/messages/count_tokens"},
    defaults={"messages": _VERSION, "count_tokens": _VERSION},
)
