"""Rows of attempts and refusals to and from core types, and the statements that write them, in every database alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from signalbox.core.attempts import AttemptFilter, AttemptRow
from signalbox.core.records import TRUE_UP, Opened, Refused, Settled

OPEN = "open"
# A database's integers end at 2**63; a provider that reports such counts is wrong, but its record must not stop the
# rest.
INT64_MAX = 2**63 - 1
TOKENS_MAX = 10**12
OUT_OF_RANGE = "out_of_range"
# How attempts are marked that are summed up in store/cubes.py.
CUBES = "cubes"
INT32_MAX = 2**31 - 1
# Counts of at most so many bits are within TOKENS_MAX.
SMALL = 2**39 - 1

ATTEMPT_COLUMNS = AttemptRow.__struct_fields__
REFUSED_COLUMNS = Refused.__struct_fields__
END_AT = ATTEMPT_COLUMNS.index("state")


def marks(count: int) -> str:
    """Places for so many parameters."""
    return ", ".join("?" * count)


# Attempts that are open stand in `attempts`, those that have ended in `attempt_days`, by day.
INSERT_OPENED = (
    f"INSERT INTO attempts ({', '.join(ATTEMPT_COLUMNS)}) VALUES ({marks(len(ATTEMPT_COLUMNS))})"  # noqa: S608
    " ON CONFLICT (attempt_id) DO NOTHING"
)
INSERT_ENDED = f"INSERT INTO attempt_days ({', '.join(ATTEMPT_COLUMNS)}) VALUES ({marks(len(ATTEMPT_COLUMNS))})"  # noqa: S608
INSERT_REFUSED = (
    f"INSERT INTO refused (chain, position, place, {', '.join(REFUSED_COLUMNS)})"  # noqa: S608
    f" VALUES ({marks(3 + len(REFUSED_COLUMNS))}) ON CONFLICT DO NOTHING"
)

_OPEN_END = (OPEN, 0, 0, 0, 0, 0, 0, 0, 0, "[]", "{}", "", "none", None, 0, "", 0, 0, 0, "{}")
# Usage classes with a column of their own; the others share one.
_PLAIN_CLASSES = 8
_LOST_REASON = "its opening record is missing"


@lru_cache(maxsize=1024)
def names_json(names: tuple[str, ...]) -> str:
    return msgspec.json.encode(names).decode() if names else "[]"


@lru_cache(maxsize=1024)
def names_of(text: str) -> tuple[str, ...]:
    return tuple(msgspec.json.decode(text, type=list[str]))


def counts_json(counts: dict[str, int]) -> str:
    return msgspec.json.encode(counts).decode() if counts else "{}"


def counts_of(text: str) -> dict[str, int]:
    return msgspec.json.decode(text, type=dict[str, int]) if text != "{}" else {}


def attempt_values(opened: Opened, settled: Settled | None) -> tuple[object, ...]:
    """The row of an attempt, ended or still open, in the order of ATTEMPT_COLUMNS."""
    attempt_id, call_id, found, tags = opened.attempt_id, opened.call_id, opened.found, opened.tags
    return (
        attempt_id,
        # Said twice, it would be a tenth of the row.
        "" if attempt_id == f"{call_id}-{opened.attempt}" else call_id,
        opened.time_ms,
        opened.tenant,
        opened.team,
        opened.key_id,
        opened.workload,
        opened.deployment,
        opened.environment,
        opened.model,
        opened.api,
        names_json(opened.labels),
        opened.reason,
        opened.config,
        opened.attempt,
        # No boolean: SQLite's driver asks at length how to store one.
        1 if opened.stream else 0,
        counts_json(found) if found else "{}",
        opened.user,
        opened.session,
        names_json(tags) if tags else "[]",
        *(_OPEN_END if settled is None else _end_values(settled)),
    )


def lone_end_values(settled: Settled) -> tuple[object, ...]:
    """The row of an end whose beginning is missing: its money was spent."""
    blank = ("", settled.time_ms, "", "", "", "", "", "", "", "", "[]", _LOST_REASON, "", 0, 0, "{}", "", "", "[]")
    return (settled.attempt_id, *blank, *_end_values(settled))


def ended_values(row: Sequence[object], settled: Settled) -> tuple[object, ...]:
    """The row of an attempt that was open, with its end."""
    return (*row[:END_AT], *_end_values(settled))


def _end_values(settled: Settled) -> tuple[object, ...]:
    usage, cost = settled.usage, settled.cost_pico
    counts = (
        usage.tokens_in, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.tokens_out,
        usage.reasoning, usage.audio_in, usage.audio_out,
    )  # fmt: skip
    one, two, three, four, five, six, seven, eight = counts
    unknown, rare = usage.unknown, "{}"
    # Of nearly all: no count is negative, since all of them together are not, and none is beyond what is told.
    small = 0 <= (one | two | three | four | five | six | seven | eight) <= SMALL
    if not small or usage.rare or (cost is not None and not 0 <= cost <= INT64_MAX):
        counts, rare, cost, unknown = _within_range(settled)
    ttft_ms, duration_ms, saved_pico = settled.ttft_ms, settled.duration_ms, settled.saved_pico
    return (
        settled.state,
        *counts,
        names_json(unknown) if unknown else "[]",
        rare,
        usage.tier,
        settled.source,
        cost,
        settled.status,
        settled.error,
        ttft_ms if 0 <= ttft_ms <= INT32_MAX else min(max(ttft_ms, 0), INT32_MAX),
        duration_ms if 0 <= duration_ms <= INT32_MAX else min(max(duration_ms, 0), INT32_MAX),
        saved_pico if 0 <= saved_pico <= INT64_MAX else min(max(saved_pico, 0), INT64_MAX),
        counts_json(settled.guards) if settled.guards else "{}",
    )


def _within_range(settled: Settled) -> tuple[tuple[int, ...], str, int | None, tuple[str, ...]]:
    """Counts, rare counts, cost and unknown fields as a database can hold them: what is beyond has no price."""
    usage, cost, unknown = settled.usage, settled.cost_pico, settled.usage.unknown
    counts = (
        usage.tokens_in, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.tokens_out,
        usage.reasoning, usage.audio_in, usage.audio_out, *(count for _, count in usage.rare),
    )  # fmt: skip
    rare = dict(usage.rare)
    least = -INT64_MAX if settled.state == TRUE_UP else 0
    if max(counts) > TOKENS_MAX or min(counts) < 0 or (cost is not None and not least <= cost <= INT64_MAX):
        counts = tuple(min(max(count, 0), TOKENS_MAX) for count in counts)
        rare = {name: min(max(count, 0), TOKENS_MAX) for name, count in usage.rare}
        cost, unknown = None, (*unknown, OUT_OF_RANGE)
    return counts[:_PLAIN_CLASSES], counts_json(rare), cost, unknown


def attempt_row(values: tuple[Any, ...]) -> AttemptRow:
    fields = dict(zip(ATTEMPT_COLUMNS, values, strict=True))
    fields["call_id"] = fields["call_id"] or fields["attempt_id"].rpartition("-")[0]
    fields["labels"] = names_of(fields["labels"])
    fields["usage_unknown"] = names_of(fields["usage_unknown"])
    fields["stream"] = bool(fields["stream"])
    fields["found"] = counts_of(fields["found"])
    fields["tags"] = names_of(fields["tags"])
    fields["rare"] = counts_of(fields["rare"])
    fields["guards"] = counts_of(fields["guards"])
    return AttemptRow(**fields)


def refused_row(values: tuple[Any, ...]) -> Refused:
    fields = dict(zip(REFUSED_COLUMNS, values, strict=True))
    fields["labels"] = names_of(fields["labels"])
    fields["found"] = counts_of(fields["found"])
    fields["rules"] = names_of(fields["rules"])
    fields["guards"] = counts_of(fields["guards"])
    return Refused(**fields)


_EQUALS = ("tenant", "team", "key_id", "workload", "deployment", "environment", "state")
_NOT_OF_REFUSED = frozenset({"deployment", "environment", "state"})


def conditions(where: AttemptFilter, has_label: str, *, refused: bool = False) -> tuple[list[str], list[object]]:
    """What a row must be, its time apart, and the parameters. has_label: the database's own way to look for a name in
    the list of labels."""
    found: list[str] = []
    values: list[object] = []
    for name in _EQUALS:
        value = getattr(where, name)
        if value is not None and not (refused and name in _NOT_OF_REFUSED):
            found.append(f"{name} = ?")
            values.append(value)
    if where.label is not None:
        found.append(has_label)
        values.append(where.label)
    if where.key_ids is not None:
        found.append(f"key_id IN ({marks(len(where.key_ids))})" if where.key_ids else "1 = 0")
        values += where.key_ids
    return found, values


def where_clause(where: AttemptFilter, has_label: str, *, refused: bool = False) -> tuple[str, list[object]]:
    """`WHERE …` and its parameters."""
    found, values = conditions(where, has_label, refused=refused)
    for value, condition in ((where.since_ms, "time_ms >= ?"), (where.until_ms, "time_ms < ?")):
        if value is not None:
            found.append(condition)
            values.append(value)
    if not (refused or where.include_open or where.state is not None):
        found.append("state <> ?")
        values.append(OPEN)
    return (f"WHERE {' AND '.join(found)}" if found else ""), values
