"""Anthropic's usage objects to and from disjoint token classes.

What the provider means: `input_tokens` excludes cache reads and writes; `cache_creation_input_tokens` is the sum of
the two lifetimes in `cache_creation`; `output_tokens` includes thinking, whose share is
`output_tokens_details.thinking_tokens`; counts on `message_delta` are cumulative. `iterations` repeats the top-level
counts step by step, except for entries of type `compaction`, which are billed on top of them.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec

from signalbox.core.usage import Usage
from signalbox.wire.tiers import joined, tier_of

_UNKNOWN_MAX = 16
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _CacheCreation(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    ephemeral_5m_input_tokens: _Count | None = 0
    ephemeral_1h_input_tokens: _Count | None = 0


class _OutputDetails(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    thinking_tokens: _Count | None = 0


class _ServerTools(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    web_search_requests: _Count | None = 0
    web_fetch_requests: _Count | None = 0


class _StepCacheCreation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: _Count | None = 0
    ephemeral_1h_input_tokens: _Count | None = 0


class _Step(msgspec.Struct, gc=False):
    """One entry of `iterations`. Its other fields repeat what the totals tell."""

    type: str | None = None
    input_tokens: _Count | None = 0
    output_tokens: _Count | None = 0
    cache_read_input_tokens: _Count | None = 0
    cache_creation_input_tokens: _Count | None = 0
    cache_creation: _StepCacheCreation | None = None


class _Told(msgspec.Struct, forbid_unknown_fields=True):
    """Every field of today. What is typed Any carries no tokens and costs nothing of its own."""

    input_tokens: _Count | None = 0
    output_tokens: _Count | None = 0
    cache_read_input_tokens: _Count | None = 0
    cache_creation_input_tokens: _Count | None = 0
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: _ServerTools | None = None
    iterations: list[_Step] | None = None
    speed: Any = None
    service_tier: Any = None
    inference_geo: Any = None
    fallback_credit: Any = None


_decode = msgspec.json.Decoder(_Told).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_KNOWN: dict[str, frozenset[str]] = {
    "": frozenset(_Told.__struct_fields__),
    "cache_creation": frozenset(_CacheCreation.__struct_fields__),
    "output_tokens_details": frozenset(_OutputDetails.__struct_fields__),
    "server_tool_use": frozenset(_ServerTools.__struct_fields__),
}


def _parse(raw: bytes) -> tuple[_Told, list[str]]:
    """One usage object and the names of its fields that this version does not know. Raises ValueError."""
    try:
        try:
            return _decode(raw), []
        except msgspec.ValidationError:
            document = _decode_object(raw)
            unknown = [name for table in _KNOWN for name in _take_unknown(document, table)]
            return msgspec.convert(document, _Told), unknown
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"usage of the wrong shape: {error}") from None


def _take_unknown(document: dict[str, Any], table: str) -> list[str]:
    """Removes a table's unknown fields and returns their names, but for those that are null, zero, empty or false:
    they say nothing, and are no reason for an alarm."""
    fields: object = document.get(table) if table else document
    if not isinstance(fields, dict):
        return []
    known, named = _KNOWN[table], cast("dict[str, Any]", fields)
    taken = [(name, named.pop(name)) for name in list(named) if name not in known]
    return [f"{table}.{name}" if table else name for name, value in taken if value]


class UsageMeter:
    """Merges what one answer tells of its usage, in one object or over several events. Counts never fall."""

    __slots__ = (
        "_extra",
        "_input",
        "_output",
        "_read",
        "_searches",
        "_thinking",
        "_tier",
        "_unknown",
        "_write",
        "_write_1h",
        "_write_5m",
    )

    def __init__(self) -> None:
        self._input = self._read = self._write = self._write_5m = self._write_1h = 0
        self._output = self._thinking = self._searches = 0
        self._tier = ""
        self._extra = (0, 0, 0, 0, 0)
        self._unknown: dict[str, None] = {}

    def tell(self, raw: bytes | msgspec.Raw, *, begun: bool = False) -> Usage | None:
        """Takes one usage object as JSON; returns the usage known by now, None when nothing or null was told. begun: it
        stood in `message_start`, whose count of output says nothing of an answer that is yet to come: one token, for
        an answer of any length that no later event counts. Raises ValueError when it is malformed."""
        data = bytes(raw)
        if not data or data == b"null":
            return None
        told, unknown = _parse(data)
        self._input = max(self._input, told.input_tokens or 0)
        if not begun:
            self._output = max(self._output, told.output_tokens or 0)
        self._read = max(self._read, told.cache_read_input_tokens or 0)
        self._write = max(self._write, told.cache_creation_input_tokens or 0)
        creation, details = told.cache_creation, told.output_tokens_details
        if creation is not None:
            self._write_5m = max(self._write_5m, creation.ephemeral_5m_input_tokens or 0)
            self._write_1h = max(self._write_1h, creation.ephemeral_1h_input_tokens or 0)
        if details is not None:
            self._thinking = max(self._thinking, details.thinking_tokens or 0)
        if told.iterations:
            self._read_steps(told.iterations)
        if told.server_tool_use is not None:
            self._searches = max(self._searches, told.server_tool_use.web_search_requests or 0)
        if told.service_tier or told.speed or told.inference_geo:
            tiers = joined(tier_of(told.service_tier), tier_of(told.speed), tier_of(told.inference_geo))
            self._tier = tiers or self._tier
        for name in unknown:
            self._note(name)
        return self.usage()

    def _read_steps(self, steps: list[_Step]) -> None:
        """Adds up compaction steps, which the top-level counts leave out; other models' steps cannot be priced here."""
        extra = [0, 0, 0, 0, 0]
        for step in steps:
            if step.type == "compaction":
                write_5m, write_1h = _writes_of(step)
                counts = (step.input_tokens, step.cache_read_input_tokens, write_5m, write_1h, step.output_tokens)
                extra = [sum_ + (count or 0) for sum_, count in zip(extra, counts, strict=True)]
            elif step.type != "message":
                self._note(f"iterations.{step.type}")
        self._extra = cast("tuple[int, int, int, int, int]", tuple(map(max, self._extra, extra)))

    def _note(self, name: str) -> None:
        if len(self._unknown) < _UNKNOWN_MAX:
            self._unknown[name[:64]] = None

    def usage(self) -> Usage:
        """The disjoint classes known by now."""
        write_5m, write_1h = _spread(self._write, self._write_5m, self._write_1h)
        extra_in, extra_read, extra_5m, extra_1h, extra_out = self._extra
        thinking = min(self._thinking, self._output)
        return Usage(
            tokens_in=self._input + extra_in,
            cache_read=self._read + extra_read,
            cache_write_5m=write_5m + extra_5m,
            cache_write_1h=write_1h + extra_1h,
            tokens_out=self._output - thinking + extra_out,
            reasoning=thinking,
            unknown=tuple(self._unknown),
            rare=(("web_search", self._searches),) if self._searches else (),
            tier=self._tier,
        )


def _writes_of(step: _Step) -> tuple[int, int]:
    creation = step.cache_creation or _StepCacheCreation()
    return _spread(
        step.cache_creation_input_tokens or 0,
        creation.ephemeral_5m_input_tokens or 0,
        creation.ephemeral_1h_input_tokens or 0,
    )


def _spread(total: int, write_5m: int, write_1h: int) -> tuple[int, int]:
    """Both lifetimes' writes. What the total holds beyond the told split goes to the one lifetime that was told,
    else to 5 minutes, the provider's default."""
    rest = max(0, total - write_5m - write_1h)
    if write_1h and not write_5m:
        return 0, write_1h + rest
    return write_5m + rest, write_1h


def usage_document(usage: Usage) -> dict[str, Any]:
    """Usage as Anthropic clients read it. Audio and images have no class of their own there and count as plain
    tokens."""
    document: dict[str, Any] = {
        "input_tokens": usage.input_total - usage.cache_read - usage.cache_write_5m - usage.cache_write_1h,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output_total,
    }
    if usage.reasoning:
        document["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return document
