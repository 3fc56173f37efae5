"""Token usage as the OpenAI-style APIs tell it, to and from disjoint classes, over the ways that providers differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec

from signalbox.core.usage import Usage
from signalbox.wire.tiers import tier_of

# Fields that are read below, or that change neither the amount nor the price of anything.
_KNOWN = frozenset(
    {
        "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details",
        "input_tokens", "output_tokens",
        "prompt_cache_hit_tokens", "prompt_cache_miss_tokens",  # DeepSeek
        "cached_tokens", "num_cached_tokens",  # Together, Moonshot; Mistral
        "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation",  # other gateways
        "reasoning_tokens",  # SGLang, Perplexity
        "citation_tokens", "num_search_queries", "search_context_size",  # Perplexity
        "num_sources_used",  # xAI
        "server_tool_use",  # OpenRouter
        "search_units",  # rerankers
        "cost", "cost_details", "estimated_cost", "cost_in_usd_ticks", "is_byok", "service_tier",
        "is_last_response", "stop_reason",
    }
)  # fmt: skip
_KNOWN_IN = frozenset(
    {"cached_tokens", "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens", "cache_creation",
     "cache_type", "audio_tokens", "text_tokens", "image_tokens", "file_tokens", "video_tokens"}
)  # fmt: skip
# Accepted and rejected predictions are counted in completion_tokens and cost what other output costs.
_KNOWN_OUT = frozenset(
    {"reasoning_tokens", "audio_tokens", "text_tokens", "image_tokens", "accepted_prediction_tokens",
     "rejected_prediction_tokens"}
)  # fmt: skip
_KNOWN_TOOLS = frozenset({"web_search_requests", "web_fetch_requests"})
_KNOWN_WRITES = frozenset({"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"})
# Timings and speeds (Groq, SambaNova and others).
_MEASUREMENTS = ("_time", "_latency", "_per_sec", "_per_second", "_rate", "_to_first_token", "_ms")
_NONE: dict[str, Any] = {}


_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class _PlainIn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    cached_tokens: _Count | None = 0
    audio_tokens: _Count | None = 0
    cache_write_tokens: _Count | None = 0
    text_tokens: int | None = 0
    image_tokens: int | None = 0


class _PlainOut(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    reasoning_tokens: _Count | None = 0
    audio_tokens: _Count | None = 0
    text_tokens: int | None = 0
    accepted_prediction_tokens: int | None = 0
    rejected_prediction_tokens: int | None = 0


class PlainUsage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """OpenAI's own shape, which most servers share."""

    prompt_tokens: _Count
    total_tokens: _Count
    completion_tokens: _Count = 0
    prompt_tokens_details: _PlainIn | None = None
    completion_tokens_details: _PlainOut | None = None


_decode_plain = msgspec.json.Decoder(PlainUsage).decode
_decode_any = msgspec.json.Decoder().decode
_NO_IN, _NO_OUT = _PlainIn(), _PlainOut()


def decode_usage(raw: msgspec.Raw, tier: str = "") -> Usage | None:
    """read_usage of JSON text. The plain shape, when it adds up, takes a tenth of the time."""
    try:
        plain = _decode_plain(raw)
    except msgspec.ValidationError:
        return read_usage(_decode_any(raw), tier)
    return usage_of(plain, tier) or read_usage(_decode_any(raw), tier)


def usage_of(plain: PlainUsage, tier: str) -> Usage | None:
    """The usage that the plain shape tells; None when it does not add up, and has to be looked at closely."""
    prompt, completion = plain.prompt_tokens, plain.completion_tokens
    if plain.prompt_tokens_details is plain.completion_tokens_details is None and not tier:
        # Most servers of one's own tell no more.
        return Usage(prompt, 0, 0, 0, completion) if plain.total_tokens == prompt + completion else None
    ins = plain.prompt_tokens_details or _NO_IN
    outs = plain.completion_tokens_details or _NO_OUT
    cached, written, audio_in = ins.cached_tokens or 0, ins.cache_write_tokens or 0, ins.audio_tokens or 0
    reasoning, audio_out = outs.reasoning_tokens or 0, outs.audio_tokens or 0
    fresh = prompt - cached - written - audio_in
    visible = completion - reasoning - audio_out
    if fresh < 0 or visible < 0 or plain.total_tokens != prompt + completion or ins.image_tokens:
        return None
    if tier:
        return Usage(fresh, cached, written, 0, visible, reasoning, audio_in, audio_out, tier=tier)
    return Usage(fresh, cached, written, 0, visible, reasoning, audio_in, audio_out)


def read_usage(told: object, tier: str = "") -> Usage | None:
    """The usage in disjoint classes, or None when it does not even tell the input tokens.

    prompt_tokens includes what was cached and written to a cache, completion_tokens includes reasoning, for most
    providers. Where one of them lies outside (xAI's and Gemini's reasoning), total_tokens gives it away: what it has
    beyond prompt and completion belongs to a class that was left out. Unknown fields that are not zero are listed.
    """
    if not isinstance(told, dict):
        return None
    fields = cast(dict[str, Any], told)
    ins = _object(fields.get("prompt_tokens_details"))
    outs = _object(fields.get("completion_tokens_details"))
    prompt = _first(fields, "prompt_tokens", "input_tokens")
    if prompt is None:
        return None
    completion = _first(fields, "completion_tokens", "output_tokens") or 0
    cached = _first(ins, "cached_tokens")
    if not cached:
        cached = _first(fields, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens",
                        "cache_read_input_tokens") or 0  # fmt: skip
    writes = _object(ins.get("cache_creation") or fields.get("cache_creation"))
    write_1h = _first(writes, "ephemeral_1h_input_tokens") or 0
    written = (
        _first(ins, "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
        or _first(fields, "cache_creation_input_tokens")
        or (_first(writes, "ephemeral_5m_input_tokens") or 0) + write_1h
    )
    write_1h = min(write_1h, written)
    reasoning = _first(outs, "reasoning_tokens") or _first(fields, "reasoning_tokens") or 0
    audio_out = _first(outs, "audio_tokens") or 0
    beyond = max(0, (_first(fields, "total_tokens") or 0) - prompt - completion)

    kept = cached + written
    if kept > prompt or (beyond and beyond == kept != reasoning):
        beyond = 0
        fresh = prompt
    else:
        fresh = prompt - kept
    audio_in = min(_first(ins, "audio_tokens") or 0, fresh)
    if beyond and (beyond == reasoning or not reasoning):
        visible, reasoning = completion, beyond
    elif reasoning > completion:
        visible = completion
    else:
        visible, reasoning = completion - reasoning, reasoning + beyond
    audio_out = min(audio_out, visible)
    tools = _object(fields.get("server_tool_use"))
    image_in = min(_first(ins, "image_tokens") or 0, fresh - audio_in)
    video_in = min(_first(ins, "video_tokens") or 0, fresh - audio_in - image_in)
    image_out = min(_first(outs, "image_tokens") or 0, visible - audio_out)
    rare = (
        ("image_in", image_in),
        ("video_in", video_in),
        ("image_out", image_out),
        ("citation_out", _first(fields, "citation_tokens") or 0),
        ("web_search", _first(fields, "num_search_queries", "num_sources_used") or _searches(tools)),
        ("rerank_search", _first(fields, "search_units") or 0),
    )
    return Usage(
        tokens_in=fresh - audio_in - image_in - video_in,
        cache_read=cached,
        cache_write_5m=written - write_1h,
        cache_write_1h=write_1h,
        tokens_out=visible - audio_out - image_out,
        reasoning=reasoning,
        audio_in=audio_in,
        audio_out=audio_out,
        unknown=_unknown(fields, ins, outs, writes, tools),
        rare=tuple((name, count) for name, count in rare if count),
        tier=tier or tier_of(fields.get("service_tier")),
    )


def _searches(tools: dict[str, Any]) -> int:
    return _first(tools, "web_search_requests") or 0


def write_usage(usage: Usage) -> dict[str, Any]:
    """The usage as the Chat Completions API tells it."""
    prompt, completion = usage.input_total, usage.output_total
    written = usage.cache_write_5m + usage.cache_write_1h
    ins = {"cached_tokens": usage.cache_read, "audio_tokens": usage.audio_in}
    if written:
        ins["cache_write_tokens"] = written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": ins,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_out},
    }


def usage_chunk(identity: Mapping[str, Any], usage: Usage) -> bytes:
    """The event that tells a stream's usage after its last choice. identity: the fields that all its chunks have."""
    return b"data: %b\n\n" % msgspec.json.encode({**identity, "choices": [], "usage": write_usage(usage)})


def unnamed(kind: str) -> dict[str, Any]:
    """The identity of a chunk of a stream that has told none. kind: its `object`."""
    return {"id": "", "object": kind, "created": 0, "model": ""}


def _object(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else _NONE


def _count(value: object) -> int | None:
    """A token count, or None for anything that is not one."""
    if type(value) is int:
        return value if 0 <= value < 1 << 53 else None
    if type(value) is float and value.is_integer():
        return _count(int(value))
    return None


def _first(fields: dict[str, Any], *names: str) -> int | None:
    for name in names:
        count = _count(fields.get(name))
        if count is not None:
            return count
    return None


def _unknown(
    fields: dict[str, Any],
    ins: dict[str, Any],
    outs: dict[str, Any],
    writes: dict[str, Any],
    tools: dict[str, Any],
) -> tuple[str, ...]:
    """Names of fields that may stand for something with a price. A zero costs nothing, whatever it counts."""
    found = [name for name in fields if name not in _KNOWN and fields[name] and not name.endswith(_MEASUREMENTS)]
    found += [name for name in fields if name.endswith("_tokens") and fields[name] and _count(fields[name]) is None]
    for prefix, details, known in (
        ("prompt_tokens_details.", ins, _KNOWN_IN),
        ("completion_tokens_details.", outs, _KNOWN_OUT),
        ("cache_creation.", writes, _KNOWN_WRITES),
        ("server_tool_use.", tools, _KNOWN_TOOLS),
    ):
        found += [prefix + name for name, value in details.items() if value and name not in known]
    return tuple(dict.fromkeys(name[:100] for name in found[:16])) if found else ()
