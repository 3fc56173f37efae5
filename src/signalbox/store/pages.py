"""Ledger rows a page at a time, newest first, by their place in time: no page counts or skips what is before it.

However rare a filter's matches are, one page reads at most SCANNED_MAX rows; then it says how far it got.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from signalbox.core.attempts import AttemptFilter, AttemptPage, AttemptRow, Mark, RefusedPage
from signalbox.store.rows import ATTEMPT_COLUMNS, REFUSED_COLUMNS, attempt_row, refused_row, where_clause
from signalbox.store.statements import Statements

SCANNED_MAX = 50_000
# The numbers that attempts of one call can have.
ATTEMPTS_MAX = 64

# Tables that hold the rows, and what orders rows of one time.
_ATTEMPTS = (("attempt_days", "attempts"), "attempt_id")
_REFUSED = (("refused",), "call_id")


def attempts(
    connection: Statements, where: AttemptFilter, has_label: str, before: Mark | None, limit: int
) -> AttemptPage:
    where = msgspec.structs.replace(where, include_open=True)
    clause, values = where_clause(where, has_label)
    found, older, searched = _page(connection, _ATTEMPTS, ATTEMPT_COLUMNS, where, (clause, values), before, limit)
    return AttemptPage([attempt_row(row) for row in found], older, searched)


def refused(
    connection: Statements, where: AttemptFilter, has_label: str, before: Mark | None, limit: int
) -> RefusedPage:
    clause, values = where_clause(where, has_label, refused=True)
    found, older, searched = _page(connection, _REFUSED, REFUSED_COLUMNS, where, (clause, values), before, limit)
    return RefusedPage([refused_row(row) for row in found], older, searched)


def attempts_of(connection: Statements, call_id: str) -> list[AttemptRow]:
    """By the ids that they can have, which are the table's key."""
    ids = [f"{call_id}-{number}" for number in range(1, ATTEMPTS_MAX + 1)]
    columns = ", ".join(ATTEMPT_COLUMNS)
    which = f"WHERE attempt_id IN ({', '.join('?' * len(ids))})"
    sql = " UNION ALL ".join(f"SELECT {columns} FROM {table} {which}" for table in _ATTEMPTS[0])  # noqa: S608
    rows = [attempt_row(row) for row in connection.execute(sql, ids * len(_ATTEMPTS[0])).fetchall()]
    return sorted(rows, key=lambda row: (row.time_ms, row.attempt))


def forget_refused(connection: Statements, before_ms: int, limit: int) -> bool:
    """Drops the oldest refusals from before a time; True when there are more."""
    sql = f"SELECT time_ms FROM refused WHERE time_ms < ? ORDER BY time_ms LIMIT 1 OFFSET {limit:d}"  # noqa: S608
    row = connection.execute(sql, (before_ms,)).fetchone()
    # Those of one millisecond go together.
    connection.execute("DELETE FROM refused WHERE time_ms < ?", (before_ms if row is None else int(row[0]) + 1,))
    return row is not None


def _page(
    connection: Statements,
    source: tuple[tuple[str, ...], str],
    columns: Sequence[str],
    where: AttemptFilter,
    clause: tuple[str, list[object]],
    before: Mark | None,
    limit: int,
) -> tuple[list[tuple[Any, ...]], Mark | None, bool]:
    """(rows, from where to go on, whether the search ended before there were enough). In one statement, so that an
    attempt that ends meanwhile is in one of its tables."""
    tables, key = source
    conditions, values = ([clause[0].removeprefix("WHERE ")], list(clause[1])) if clause[0] else ([], [])
    if before is not None:
        conditions.append(f"(time_ms, {key}) < (?, ?)")
        values += [before.time_ms, before.id]
    floor = _floor(connection, source, where, before)
    if floor is not None:
        conditions.append(f"(time_ms, {key}) >= (?, ?)")
        values += [floor.time_ms, floor.id]
    which = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f"ORDER BY time_ms DESC, {key} DESC LIMIT {limit:d}"
    each = [f"SELECT * FROM (SELECT {', '.join(columns)} FROM {name} {which} {order}) AS {name}" for name in tables]  # noqa: S608
    rows = connection.execute(" UNION ALL ".join(each), values * len(tables)).fetchall()
    time_at, key_at = columns.index("time_ms"), columns.index(key)
    found = sorted(rows, key=lambda row: (row[time_at], row[key_at]), reverse=True)[:limit]
    if len(found) == limit:
        return found, Mark(found[-1][time_at], found[-1][key_at]), False
    return found, floor, floor is not None


def _floor(
    connection: Statements, source: tuple[tuple[str, ...], str], where: AttemptFilter, before: Mark | None
) -> Mark | None:
    """The row at which a search ends, None when there are not so many: the newest of each table's own. Read from
    indexes alone."""
    tables, key = source
    conditions: list[str] = []
    values: list[object] = []
    if before is not None:
        conditions.append(f"(time_ms, {key}) < (?, ?)")
        values += [before.time_ms, before.id]
    for condition, value in (("time_ms >= ?", where.since_ms), ("time_ms < ?", where.until_ms)):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    which = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f"ORDER BY time_ms DESC, {key} DESC LIMIT 1 OFFSET {SCANNED_MAX - 1:d}"
    floors: list[tuple[int, str]] = []
    for name in tables:
        row = connection.execute(f"SELECT time_ms, {key} FROM {name} {which} {order}", values).fetchone()  # noqa: S608
        if row is not None:
            floors.append((int(row[0]), str(row[1])))
    return Mark(*max(floors)) if floors else None
