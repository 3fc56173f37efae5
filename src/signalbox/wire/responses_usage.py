"""Token usage as the Responses API tells it, to and from our disjoint classes."""

from __future__ import annotations

from typing import Any, cast

from signalbox.core.usage import Usage
from signalbox.wire.tiers import tier_of

# Breakdowns and per-turn lists that repeat what the totals already count (OpenAI, Azure, vLLM, Ollama), and costs
# that a broker tells in money. They change no bill of ours, so they raise no alert.
_KNOWN = frozenset(
    {
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "input_tokens_details",
        "output_tokens_details",
        "cost",
        "cost_details",
        "cost_in_usd_ticks",
        "is_byok",
        "num_server_side_tools_used",
        "num_sources_used",
    }
)
_KNOWN_INPUT = frozenset(
    {
        "cached_tokens",
        "cache_write_tokens",
        "cache_write_tokens_details",
        "audio_tokens",
        "text_tokens",
        "image_tokens",
        "video_tokens",
        "input_tokens_per_turn",
        "cached_tokens_per_turn",
    }
)
_KNOWN_OUTPUT = frozenset(
    {
        "reasoning_tokens",
        "audio_tokens",
        "text_tokens",
        "image_tokens",
        "tool_output_tokens",
        "output_tokens_per_turn",
        "tool_output_tokens_per_turn",
    }
)
_KNOWN_WRITE = frozenset({"ttl_30m_tokens", "ttl_12h_tokens"})


def read_usage(raw: object, tool_usage: object = None, service_tier: object = None) -> Usage | None:
    """Usage of a response object; None when the upstream told none that could be billed from.

    `input_tokens` includes what was read from and written to a prompt cache, `output_tokens` includes reasoning: the
    classes are taken apart here. A cache write of 30 minutes goes to the short class (cache_write_5m), one of 12
    hours to the long one (cache_write_1h). Fields with a value that this version does not know, counts that
    contradict each other, and hosted tools billed outside of `usage` (`tool_usage`) are named in `Usage.unknown`;
    searches among them have a class of their own.
    """
    if not isinstance(raw, dict):
        return None
    usage = cast("dict[str, Any]", raw)
    total_in, total_out = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
    if total_in is None or total_out is None:
        return None
    odd: list[str] = [name for name, value in usage.items() if value and name not in _KNOWN]
    inputs = _details(usage, "input_tokens_details", _KNOWN_INPUT, odd)
    outputs = _details(usage, "output_tokens_details", _KNOWN_OUTPUT, odd)
    writes = _details(inputs, "cache_write_tokens_details", _KNOWN_WRITE, odd)

    cache_read = _class(inputs, "cached_tokens", odd)
    written = _class(inputs, "cache_write_tokens", odd)
    written_long = min(_class(writes, "ttl_12h_tokens", odd), written)
    audio_in = _class(inputs, "audio_tokens", odd)
    reasoning = _class(outputs, "reasoning_tokens", odd)
    audio_out = _class(outputs, "audio_tokens", odd)
    image_in = _class(inputs, "image_tokens", odd)
    video_in = _class(inputs, "video_tokens", odd)
    image_out = _class(outputs, "image_tokens", odd)
    tokens_in = total_in - cache_read - written - audio_in
    # Of what was cached nobody says which modality it was: images cannot be more than the rest.
    image_in = max(0, min(image_in, tokens_in))
    video_in = max(0, min(video_in, tokens_in - image_in))
    tokens_in -= image_in + video_in
    tokens_out = total_out - reasoning - audio_out - image_out
    if tokens_in < 0:
        odd.append("input_tokens<details")
    if tokens_out < 0:
        odd.append("output_tokens<details")
    searches = _searches(tool_usage, odd) or _class(usage, "num_sources_used", odd)
    rare = (("image_in", image_in), ("video_in", video_in), ("image_out", image_out), ("web_search", searches))
    return Usage(
        tokens_in=max(tokens_in, 0),
        cache_read=cache_read,
        cache_write_5m=written - written_long,
        cache_write_1h=written_long,
        tokens_out=max(tokens_out, 0),
        reasoning=reasoning,
        audio_in=audio_in,
        audio_out=audio_out,
        unknown=tuple(odd),
        rare=tuple((name, count) for name, count in rare if count),
        tier=tier_of(service_tier),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` object of a response that we write ourselves."""
    return {
        "input_tokens": usage.input_total,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "output_tokens": usage.output_total,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input_total + usage.output_total,
    }


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _class(details: dict[str, Any], name: str, odd: list[str]) -> int:
    value = details.get(name)
    if value is None:
        return 0
    count = _count(value)
    if count is None:
        odd.append(name)
        return 0
    return count


def _details(usage: dict[str, Any], name: str, known: frozenset[str], odd: list[str]) -> dict[str, Any]:
    value = usage.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        odd.append(name)
        return {}
    details = cast("dict[str, Any]", value)
    odd.extend(f"{name}.{field}" for field, told in details.items() if told and field not in known)
    return details


def _searches(value: object, odd: list[str]) -> int:
    """Paid web searches. Every other tool family that counted anything is named in `odd`: images are made by another
    model, at its price, and no other family has a class of ours."""
    if not isinstance(value, dict):
        if value:
            odd.append("tool_usage")
        return 0
    searches = 0
    for family, counts in cast("dict[str, Any]", value).items():
        told = cast("dict[str, Any]", counts) if isinstance(counts, dict) else {"": counts}
        if family == "web_search" and told.keys() <= {"num_requests"}:
            searches += _class(told, "num_requests", odd)
        elif any(told.values()):
            odd.append(f"tool_usage.{family}")
    return searches
