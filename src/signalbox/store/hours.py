"""Spend by hour and by day: what sums are read from, so that no question about money walks every attempt.

An attempt is added when its end arrives, in the transaction that stores the end, and only by the one that made it the
end: hours and attempts never disagree.
"""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.core.ports import HOUR, AttemptFilter
from signalbox.store.rows import OPEN
from signalbox.store.statements import Statements
from signalbox.store.tally import MICRO, Tally

# Table -> milliseconds that one of its rows holds, the widest first.
SPANS = {"spend_days": 86_400_000, "spend_hours": 3_600_000}
_IDS_AT_ONCE = 5000

_NAMES = ("tenant", "team", "key_id", "workload", "deployment", "environment", "model", "api", "tier", "state",
          "usage_source", "config")  # fmt: skip
# Column of spend_hours -> the sum over attempts that it holds.
SUMS = {
    "attempts": "COUNT(*)",
    "tokens_in": "SUM(tokens_in + audio_in)",
    "cache_read": "SUM(cache_read)",
    "cache_write": "SUM(cache_write_5m + cache_write_1h)",
    "tokens_out": "SUM(tokens_out + reasoning + audio_out)",
    "cost_micro": f"COALESCE(SUM(cost_pico / {MICRO}), 0)",
    "cost_rest": f"COALESCE(SUM(cost_pico % {MICRO}), 0)",
    "unpriced": "COUNT(*) - COUNT(cost_pico)",
}
# The hour of a time, in every database.
HOUR_SQL = f"time_ms / {SPANS['spend_hours']} * {SPANS['spend_hours']}"
# Dimensions that have too many values to be kept by hour, and what only attempts know.
_OF_ATTEMPTS = frozenset({"user", "session", "tag"})


def fill(table: str, which: str) -> str:
    """The statement that puts the attempts into a table for which `which` holds."""
    grouped = f"time_ms / {SPANS[table]} * {SPANS[table]}, {', '.join(_NAMES)}"
    return (
        f"INSERT INTO {table} (time_ms, {', '.join(_NAMES)}, {', '.join(SUMS)})"  # noqa: S608
        f" SELECT {grouped}, {', '.join(SUMS.values())} FROM attempts WHERE {which} GROUP BY {grouped}"
        # Two processes that add to the same rows do so in one order, so that neither waits for the other for ever.
        f" ORDER BY {grouped}"
    )


def _onto(table: str) -> str:
    sums = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in SUMS)
    return f"ON CONFLICT (time_ms, {', '.join(_NAMES)}) DO UPDATE SET {sums}"


def _add(table: str, count: int) -> str:
    marks = ", ".join("?" * count)
    return f"{fill(table, f'attempt_id IN ({marks})')} {_onto(table)}"


_COLUMNS = ("time_ms", *_NAMES, *SUMS)
_ADD_SUMS = {
    table: f"INSERT INTO {table} ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) {_onto(table)}"  # noqa: S608
    for table in SPANS
}
_tally = Tally(_NAMES)


def not_ended(connection: Statements, attempt_ids: Sequence[str]) -> list[str]:
    """Those of the attempts whose end is not stored yet."""
    ended: set[str] = set()
    for part in _parts(attempt_ids):
        marks = ", ".join("?" * len(part))
        sql = f"SELECT attempt_id FROM attempts WHERE state <> '{OPEN}' AND attempt_id IN ({marks})"  # noqa: S608
        ended.update(row[0] for row in connection.execute(sql, part).fetchall())
    return [attempt_id for attempt_id in dict.fromkeys(attempt_ids) if attempt_id not in ended]


def add_rows(connection: Statements, rows: Sequence[tuple[object, ...]]) -> None:
    """Adds attempts that were written whole, with their end."""
    for table, span_ms in sorted(SPANS.items()):
        connection.executemany(_ADD_SUMS[table], _tally.of(rows, span_ms))


def add(connection: Statements, attempt_ids: Sequence[str]) -> None:
    """Adds attempts that have just got their end and whose beginning only the store knows."""
    for part in _parts(attempt_ids):
        for table in sorted(SPANS):
            connection.execute(_add(table, len(part)), part)


def table_for(where: AttemptFilter, dimension: str | None) -> str | None:
    """The shortest table that tells as much as the attempts themselves, None when only they do."""
    return table_for_all(where, () if dimension is None else (dimension,))


def table_for_all(where: AttemptFilter, dimensions: Sequence[str]) -> str | None:
    """The same for several dimensions at a time."""
    if where.label is not None or where.include_open or where.state == OPEN or not _OF_ATTEMPTS.isdisjoint(dimensions):
        return None
    for table, span_ms in SPANS.items():
        if HOUR in dimensions and span_ms > SPANS["spend_hours"]:
            continue
        if not ((where.since_ms or 0) % span_ms or (where.until_ms or 0) % span_ms):
            return table
    return None


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE)]
