"""Rows of attempts column by column: of many attempts that is several times as fast as one after another, since what
is the same in all of them is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from msgspec.structs import astuple

from signalbox.core.records import Opened, Settled
from signalbox.store.rows import (
    ATTEMPT_COLUMNS,
    CUBES,
    INT32_MAX,
    INT64_MAX,
    SMALL,
    attempt_values,
    counts_json,
    names_json,
)
from signalbox.store.statements import Statements

Column = Sequence[Any]
# In the order of ATTEMPT_COLUMNS.
Columns = list[Column]

# What stands in these columns of most attempts. It is part of the statement then instead of being bound to it, which is
# half of what storing a row costs.
_USUAL: dict[str, int | str] = {
    "call_id": "",
    "team": "",
    "attempt": 1,
    "stream": 0,
    "found": "{}",
    "end_user": "",
    "session": "",
    "tags": "[]",
    "state": "settled",
    "cache_read": 0,
    "cache_write_5m": 0,
    "cache_write_1h": 0,
    "reasoning": 0,
    "audio_in": 0,
    "audio_out": 0,
    "usage_unknown": "[]",
    "rare": "{}",
    "tier": "",
    "usage_source": "provider",
    "status": 200,
    "error": "",
    "ttft_ms": 0,
    "saved_pico": 0,
    "guards": "{}",
}
_USUAL_AT = [(ATTEMPT_COLUMNS.index(name), value) for name, value in _USUAL.items()]
_EVERY_PLACE = frozenset(range(len(ATTEMPT_COLUMNS)))


def transposed(rows: Iterable[Sequence[object]]) -> Columns:
    """The columns of rows, at least one."""
    return [*zip(*rows, strict=True)]


def columns_of(pairs: Sequence[tuple[Opened, Settled]]) -> Columns:
    """What rows.attempt_values makes of each of them, at least one."""
    opened, settled = zip(*pairs, strict=True)
    end = _end_columns(settled)
    if end is None:
        return transposed(attempt_values(*pair) for pair in pairs)
    (
        attempt_ids, call_ids, time_ms, tenant, team, key_id, workload, deployment, environment, model, api, labels,
        reason, config, attempt, stream, _in_max, _out_max, _rates, _body_bytes, found, user, session, tags, _paid_from,
    ) = zip(*map(astuple, opened), strict=True)  # fmt: skip
    return [
        attempt_ids, _call_ids(attempt_ids, call_ids, attempt), time_ms, tenant, team, key_id, workload, deployment,
        environment, model, api, _json_of_names(labels), reason, config, attempt,
        [1 if each else 0 for each in stream], _json_of_counts(found), user, session, _json_of_names(tags), *end,
    ]  # fmt: skip


def insert(connection: Statements, columns: Columns) -> None:
    """Into the table of days, as attempts that are summed up."""
    count = len(columns[0])
    usual = {at for at, value in _USUAL_AT if columns[at][0] == value and columns[at].count(value) == count}
    bound = tuple(sorted(_EVERY_PLACE - usual))
    connection.executemany(_insert(bound), [*zip(*(columns[at] for at in bound), strict=True)])


@lru_cache(maxsize=256)
def _insert(bound: tuple[int, ...]) -> str:
    """bound: places of the columns that are not as usual."""
    values = ("?" if at in bound else _literal(_USUAL[name]) for at, name in enumerate(ATTEMPT_COLUMNS))
    return f"INSERT INTO attempt_days ({', '.join(ATTEMPT_COLUMNS)}, summed) VALUES ({', '.join(values)}, '{CUBES}')"  # noqa: S608


def _literal(value: int | str) -> str:
    return f"{value:d}" if isinstance(value, int) else f"'{value}'"


def _end_columns(settled: Sequence[Settled]) -> Columns | None:
    """From `state` on. None where anything has to be looked at one by one: counts that a database cannot hold, rare
    ones."""
    _attempt_ids, _times, state, usage, source, cost, status, error, ttft_ms, duration_ms, saved_pico, guards = zip(
        *map(astuple, settled), strict=True
    )
    *counts, unknown, rare, tier = zip(*map(astuple, usage), strict=True)
    least, most = min(map(min, counts)), max(map(max, counts))
    costs = [each for each in cost if each is not None]
    if least < 0 or most > SMALL or any(rare) or not (_within(costs, INT64_MAX) and _within(saved_pico, INT64_MAX)):
        return None
    return [
        state,
        *counts,
        _json_of_names(unknown),
        ["{}"] * len(settled),
        tier,
        source,
        cost,
        status,
        error,
        _clamped(ttft_ms),
        _clamped(duration_ms),
        saved_pico,
        _json_of_counts(guards),
    ]


def _within(counts: Column, most: int) -> bool:
    return not any(counts) or (min(counts) >= 0 and max(counts) <= most)


def _clamped(times_ms: Column) -> Column:
    return times_ms if _within(times_ms, INT32_MAX) else [min(max(each, 0), INT32_MAX) for each in times_ms]


def _call_ids(attempt_ids: Column, call_ids: Column, attempts: Column) -> Column:
    return [
        "" if attempt_id == f"{call_id}-{attempt}" else call_id
        for attempt_id, call_id, attempt in zip(attempt_ids, call_ids, attempts, strict=True)
    ]


def _json_of_names(column: Column) -> Column:
    first = column[0]
    if column.count(first) == len(column):
        return [names_json(first)] * len(column)
    return [*map(names_json, column)]


def _json_of_counts(column: Column) -> Column:
    return [*map(counts_json, column)] if any(column) else ["{}"] * len(column)
