"""Where content of which data classes went, by day: so that "where did every restricted request go" walks no attempts.

Kept as store/rollups.py keeps spend: an attempt is added in the transaction that stores its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

from signalbox.core.ports import AttemptFilter, LabelSum
from signalbox.store.rollups import DAY_MS
from signalbox.store.rows import ATTEMPT_COLUMNS, names_of
from signalbox.store.statements import Statements

_NAMES = ("tenant", "workload", "environment", "deployment", "labels")
_KEY = ", ".join(("time_ms", *_NAMES))


_named = itemgetter(*(ATTEMPT_COLUMNS.index(name) for name in ("time_ms", *_NAMES)))
_ONTO = f"ON CONFLICT ({_KEY}) DO UPDATE SET attempts = label_days.attempts + excluded.attempts"
_ADD = f"INSERT INTO label_days ({_KEY}, attempts) VALUES ({', '.join('?' * (len(_NAMES) + 2))}) {_ONTO}"  # noqa: S608


def add(connection: Statements, rows: Sequence[Sequence[object]]) -> None:
    """Adds attempts that have just got their end, each in the order of ATTEMPT_COLUMNS."""
    groups: Counter[tuple[object, ...]] = Counter()
    for row in rows:
        time_ms, *names = _named(row)
        groups[time_ms // DAY_MS * DAY_MS, *names] += 1
    connection.executemany(_ADD, sorted((*group, count) for group, count in groups.items()))


def forget(connection: Statements, before_ms: int) -> None:
    """Drops the days that ended before."""
    connection.execute("DELETE FROM label_days WHERE time_ms <= ?", (before_ms - DAY_MS,))


def sums(connection: Statements, where: AttemptFilter) -> list[LabelSum]:
    """By labels and place. Days are taken whole: the one that holds `since_ms` is included."""
    conditions: list[str] = []
    values: list[object] = []
    since_ms = None if where.since_ms is None else where.since_ms // DAY_MS * DAY_MS
    asked = (
        ("time_ms >= ?", since_ms),
        ("time_ms < ?", where.until_ms),
        ("tenant = ?", where.tenant),
        ("workload = ?", where.workload),
        ("environment = ?", where.environment),
        ("deployment = ?", where.deployment),
    )
    for condition, value in asked:
        if value is not None:
            conditions.append(condition)
            values.append(value)
    clause = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    names = "labels, workload, environment, deployment"
    sql = f"SELECT {names}, SUM(attempts) FROM label_days {clause} GROUP BY {names} ORDER BY {names}"  # noqa: S608
    rows = connection.execute(sql, values).fetchall()
    return [LabelSum(names_of(row[0]), row[1], row[2], row[3], int(row[4])) for row in rows]
