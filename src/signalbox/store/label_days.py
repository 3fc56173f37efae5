"""Where content of which data classes went, by day: so that "where did every restricted request go" walks no attempts.

It is read from the sums of days and of the last hours, and from a table of its own what versions before 16 wrote.
"""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.core.attempts import AttemptFilter, LabelSum
from signalbox.core.days import DAY_MS
from signalbox.store import cubes
from signalbox.store.names import WHAT
from signalbox.store.rows import conditions, names_of
from signalbox.store.statements import Statements


def forget(connection: Statements, before_ms: int) -> None:
    """Drops the days that ended before."""
    connection.execute("DELETE FROM label_days WHERE time_ms <= ?", (before_ms - DAY_MS,))


def sums(connection: Statements, where: AttemptFilter, has_label: str) -> list[LabelSum]:
    """By labels and place. Days are taken whole: the one that holds `since_ms` is included."""
    since_ms = None if where.since_ms is None else where.since_ms // DAY_MS * DAY_MS
    bounds = [f"time_ms {sign} ?" for sign, at in ((">=", since_ms), ("<", where.until_ms)) if at is not None]
    times: list[object] = [at for at in (since_ms, where.until_ms) if at is not None]
    asked = AttemptFilter(
        tenant=where.tenant, workload=where.workload, environment=where.environment, deployment=where.deployment
    )
    old, old_values = conditions(asked, has_label)
    new, new_values = cubes.narrowing(asked, has_label)
    names = "labels, workload, environment, deployment"
    # Hours that are not yet part of a day stand within its bounds.
    summed = " UNION ALL ".join(
        f"SELECT what, attempts FROM {cube.table}{_which([*bounds, *new])}"  # noqa: S608
        for cube in (cubes.DAYS, cubes.FRESH)
    )
    sql = (
        f"SELECT {names}, SUM(attempts) FROM ("  # noqa: S608
        f"SELECT {names}, attempts FROM label_days{_which([*bounds, *old])} UNION ALL"
        f" SELECT {names}, attempts FROM (SELECT what, SUM(attempts) AS attempts FROM ({summed}) AS added"
        f" GROUP BY what) AS summed JOIN {WHAT.table} ON {WHAT.table}.id = summed.what"
        f") AS pieces GROUP BY {names} ORDER BY {names}"
    )
    rows = connection.execute(sql, [*times, *old_values, *(2 * [*times, *new_values])]).fetchall()
    return [LabelSum(names_of(row[0]), row[1], row[2], row[3], int(row[4])) for row in rows]


def _which(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
