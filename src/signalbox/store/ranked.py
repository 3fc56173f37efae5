"""The costliest of many groups, and what all of them come to, in one statement: pages show some, sums are of all.

Rows are: OF_ONE or OF_ALL, the group, SUMS. Of equally costly groups those with the first names or numbers are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.core.attempts import AttemptSum
from signalbox.store.cubes import SESSION_HOURS, Sessions
from signalbox.store.names import SESSION
from signalbox.store.rollups import SUMS
from signalbox.store.tally import MICRO

# What the first column of a row says it is.
OF_ONE, OF_ALL = 0, 1

_SUMS = ", ".join(SUMS)
_NOTHING = ", ".join(f"0 AS {name}" for name in SUMS)
# Sums of millionths and of what is left of them, compared without adding them up to more than 63 bits.
_COSTLIEST = f"cost_micro + cost_rest / {MICRO} DESC, cost_rest % {MICRO} DESC, attempts DESC, g0"
_TOTALS = ", ".join(f"SUM({name}) AS {name}" for name in SUMS)


def of_groups(groups: str, limit: int) -> str:
    """groups: the statement that gives groups and SUMS."""
    return (
        f"WITH found AS ({groups}) SELECT {OF_ONE:d}, g0, {_SUMS}"  # noqa: S608
        f" FROM (SELECT * FROM found ORDER BY {_COSTLIEST} LIMIT {limit:d}) AS top"
        f" UNION ALL SELECT {OF_ALL:d}, '', {_TOTALS} FROM found"
    )


def of_sessions(sessions: Sessions, former: Sequence[str], total: str, limit: int) -> str:
    """former: more SELECTs as those of `sessions.rest`, before them. total: the statement that gives the sum of all.
    Parameters: those of the hours, of the rest, of the hours again, of the total.

    There may be a million sessions. Of those that only have hours the costliest are found in one pass; only of them,
    and of the few that also have something else, everything is summed up. Nothing that a session costs is negative,
    so that none is missed."""
    table, hours = SESSION_HOURS.table, sessions.hours
    # In floating point, several times as fast as two sums of whole numbers: up to nine thousand dollars a session
    # nothing is rounded, and beyond that two would have to cost the same to fifteen digits.
    costliest = (
        f"SELECT session AS n FROM {table} WHERE {hours} GROUP BY session"  # noqa: S608
        f" ORDER BY SUM(CAST(cost_micro AS DOUBLE PRECISION) * {MICRO} + cost_rest) DESC LIMIT {limit:d}"
    )
    others = " UNION ALL ".join([*former, *sessions.rest]) or f"SELECT 0 AS n, '' AS g0, {_NOTHING}"
    shown = (
        f"SELECT n, g0, {_TOTALS} FROM (SELECT * FROM others UNION ALL"  # noqa: S608
        f" SELECT session AS n, '' AS g0, {_SUMS} FROM {table}"
        f" WHERE session IN (SELECT n FROM costliest UNION SELECT n FROM others) AND {hours}) AS pieces"
        " GROUP BY n, g0 HAVING SUM(attempts) > 0"
    )
    top = f"SELECT * FROM ({shown}) AS summed ORDER BY {_COSTLIEST} LIMIT {limit:d}"  # noqa: S608
    return (
        f"WITH met AS MATERIALIZED ({sessions.met}), costliest AS MATERIALIZED ({costliest}),"  # noqa: S608
        f" others AS MATERIALIZED (SELECT n, g0, {_TOTALS} FROM ({others}) AS pieces GROUP BY n, g0)"
        f" SELECT {OF_ONE:d}, COALESCE({SESSION.table}.session, g0), {_SUMS}"
        f" FROM ({top}) AS top LEFT JOIN {SESSION.table} ON {SESSION.table}.id = n"
        f" UNION ALL SELECT {OF_ALL:d}, g0, {_SUMS} FROM ({total}) AS everything"
    )


def order(found: AttemptSum) -> tuple[int, int, str]:
    """The costliest first."""
    return -found.cost_pico, -found.attempts, found.group
