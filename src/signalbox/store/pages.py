"""Ledger rows a page at a time, newest first, by their place in time: no page counts or skips what is before it.

However rare a filter's matches are, one page reads at most SCANNED_MAX rows; then it says how far it got.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from signalbox.core.ports import AttemptFilter, AttemptPage, AttemptRow, Mark, RefusedPage
from signalbox.store.rows import ATTEMPT_COLUMNS, REFUSED_COLUMNS, attempt_row, refused_row, where_clause
from signalbox.store.statements import Statements

SCANNED_MAX = 50_000
# The numbers that attempts of one call can have.
ATTEMPTS_MAX = 64

_ATTEMPTS = ("attempts", "attempt_id")
_REFUSED = ("refused", "call_id")


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
    sql = f"SELECT {columns} FROM attempts WHERE attempt_id IN ({', '.join('?' * len(ids))})"  # noqa: S608
    rows = [attempt_row(row) for row in connection.execute(sql, ids).fetchall()]
    return sorted(rows, key=lambda row: (row.time_ms, row.attempt))


def _page(
    connection: Statements,
    table: tuple[str, str],
    columns: Sequence[str],
    where: AttemptFilter,
    clause: tuple[str, list[object]],
    before: Mark | None,
    limit: int,
) -> tuple[list[tuple[Any, ...]], Mark | None, bool]:
    """(rows, from where to go on, whether the search ended before there were enough)."""
    name, key = table
    conditions, values = ([clause[0].removeprefix("WHERE ")], list(clause[1])) if clause[0] else ([], [])
    if before is not None:
        conditions.append(f"(time_ms, {key}) < (?, ?)")
        values += [before.time_ms, before.id]
    floor = _floor(connection, table, where, before)
    if floor is not None:
        conditions.append(f"(time_ms, {key}) >= (?, ?)")
        values += [floor.time_ms, floor.id]
    which = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f"ORDER BY time_ms DESC, {key} DESC LIMIT {limit:d}"
    sql = f"SELECT {', '.join(columns)} FROM {name} {which} {order}"  # noqa: S608
    found = connection.execute(sql, values).fetchall()
    if len(found) == limit:
        last = dict(zip(columns, found[-1], strict=True))
        return found, Mark(last["time_ms"], last[key]), False
    return found, floor, floor is not None


def _floor(connection: Statements, table: tuple[str, str], where: AttemptFilter, before: Mark | None) -> Mark | None:
    """The row at which a search ends, None when there are not so many. Read from the index alone."""
    name, key = table
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
    row = connection.execute(f"SELECT time_ms, {key} FROM {name} {which} {order}", values).fetchone()  # noqa: S608
    return None if row is None else Mark(int(row[0]), str(row[1]))
