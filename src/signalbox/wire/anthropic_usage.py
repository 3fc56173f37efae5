"""Anthropic's usage objects to and from disjoint token classes.

What the provider means: `input_tokens` excludes cache reads and writes; `cache_creation_input_tokens` is the sum of
the two lifetimes in `cache_creation`; `output_tokens` includes thinking, whose share is
`output_tokens_details.thinking_tokens`; counts on `message_delta` are cumulative. `iterations` repeats the top-level
counts step by step, except for entries of type `compaction`, which are billed on top of them.
"""

from __future__ import annotations

from typing import Any, cast

from signalbox.core.usage import Usage

# Fields that carry no tokens beyond those of the counted ones, or that are looked at below.
_KNOWN = frozenset(
    {
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation",
        "output_tokens_details",
        "server_tool_use",
        "service_tier",
        "inference_geo",
        "iterations",
        "speed",
        "fallback_credit",
    }
)
_KNOWN_CACHE_CREATION = frozenset({"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"})
_KNOWN_OUTPUT_DETAILS = frozenset({"thinking_tokens"})
_KNOWN_SERVER_TOOLS = frozenset({"web_search_requests", "web_fetch_requests"})
_UNKNOWN_MAX = 16


def _count(source: dict[str, Any], key: str) -> int:
    """A token count; absent and null are 0. Raises ValueError for anything else that is not a whole number >= 0."""
    value = source.get(key)
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise ValueError(f"usage.{key} is not a token count")
    return value


def _table(source: dict[str, Any], key: str) -> dict[str, Any]:
    value = source.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"usage.{key} is not an object")
    return cast("dict[str, Any]", value)


class UsageMeter:
    """Merges what one answer tells of its usage, in one object or over several events. Counts never fall."""

    __slots__ = ("_extra", "_input", "_output", "_read", "_thinking", "_unknown", "_write", "_write_1h", "_write_5m")

    def __init__(self) -> None:
        self._input = self._read = self._write = self._write_5m = self._write_1h = 0
        self._output = self._thinking = 0
        self._extra = (0, 0, 0, 0, 0)
        self._unknown: dict[str, None] = {}

    def tell(self, usage: dict[str, Any]) -> Usage:
        """Takes one usage object; returns the usage known by now. Raises ValueError when it is malformed."""
        self._input = max(self._input, _count(usage, "input_tokens"))
        self._output = max(self._output, _count(usage, "output_tokens"))
        self._read = max(self._read, _count(usage, "cache_read_input_tokens"))
        self._write = max(self._write, _count(usage, "cache_creation_input_tokens"))
        creation = _table(usage, "cache_creation")
        self._write_5m = max(self._write_5m, _count(creation, "ephemeral_5m_input_tokens"))
        self._write_1h = max(self._write_1h, _count(creation, "ephemeral_1h_input_tokens"))
        details = _table(usage, "output_tokens_details")
        self._thinking = max(self._thinking, _count(details, "thinking_tokens"))
        tools = _table(usage, "server_tool_use")
        self._read_iterations(usage.get("iterations"))
        if len(usage) > 2:
            self._note_unknown(usage, creation, details, tools)
        return self.usage()

    def _read_iterations(self, iterations: object) -> None:
        """Adds up compaction steps, which the top-level counts leave out; other models' steps cannot be priced here."""
        if iterations is None:
            return
        if not isinstance(iterations, list):
            raise ValueError("usage.iterations is not a list")
        extra = [0, 0, 0, 0, 0]
        for item in cast("list[Any]", iterations):
            if not isinstance(item, dict):
                raise ValueError("usage.iterations holds something that is not an object")
            step = cast("dict[str, Any]", item)
            kind = step.get("type")
            if kind == "compaction":
                write_5m, write_1h = _split_writes(step)
                counts = (
                    _count(step, "input_tokens"),
                    _count(step, "cache_read_input_tokens"),
                    write_5m,
                    write_1h,
                    _count(step, "output_tokens"),
                )
                extra = [a + b for a, b in zip(extra, counts, strict=True)]
            elif kind != "message":
                self._note(f"iterations.{kind}")
        self._extra = cast("tuple[int, int, int, int, int]", tuple(map(max, self._extra, extra)))

    def _note_unknown(
        self, usage: dict[str, Any], creation: dict[str, Any], details: dict[str, Any], tools: dict[str, Any]
    ) -> None:
        """Notes what may be charged for and has no class in Usage: new fields, paid searches, the fast-mode surcharge.

        A new field that is null, zero, empty or false says nothing, and is no reason for an alarm.
        """
        for prefix, table, known in (
            ("", usage, _KNOWN),
            ("cache_creation.", creation, _KNOWN_CACHE_CREATION),
            ("output_tokens_details.", details, _KNOWN_OUTPUT_DETAILS),
            ("server_tool_use.", tools, _KNOWN_SERVER_TOOLS),
        ):
            for key, value in table.items():
                if key not in known and value:
                    self._note(prefix + key)
        if tools.get("web_search_requests"):
            self._note("server_tool_use.web_search_requests")
        if usage.get("speed") not in (None, "standard"):
            self._note("speed")

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
        )


def _split_writes(source: dict[str, Any]) -> tuple[int, int]:
    creation = _table(source, "cache_creation")
    return _spread(
        _count(source, "cache_creation_input_tokens"),
        _count(creation, "ephemeral_5m_input_tokens"),
        _count(creation, "ephemeral_1h_input_tokens"),
    )


def _spread(total: int, write_5m: int, write_1h: int) -> tuple[int, int]:
    """Both lifetimes' writes. What the total holds beyond the told split goes to the one lifetime that was told,
    else to 5 minutes, the provider's default."""
    rest = max(0, total - write_5m - write_1h)
    if write_1h and not write_5m:
        return 0, write_1h + rest
    return write_5m + rest, write_1h


def usage_document(usage: Usage) -> dict[str, Any]:
    """Usage as Anthropic clients read it. Audio has no class of its own there and counts as plain tokens."""
    document: dict[str, Any] = {
        "input_tokens": usage.tokens_in + usage.audio_in,
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
