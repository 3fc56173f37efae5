"""The costliest of many groups, and what all of them come to, in one statement: pages show some, sums are of all.

Rows are: OF_ONE or OF_ALL, the group, SUMS. Of equally costly groups those with the first names or numbers are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.core.ports import AttemptSum
from signalbox.store.names import SESSION
from signalbox.store.rollups import SUMS
from signalbox.store.tally import MICRO

# What the first column of a row says it is.
OF_ONE, OF_ALL = 0, 1

_SUMS = ", ".join(SUMS)
_TOTALS = ", ".join(f"SUM({name}) AS {name}" for name in SUMS)


def of_groups(groups: str, limit: int) -> str:
    """groups: the statement that gives groups and SUMS."""
    # Sums of millionths and of what is left of them, compared without adding them up to more than 63 bits.
    costliest = f"cost_micro + cost_rest / {MICRO} DESC, cost_rest % {MICRO} DESC, attempts DESC, g0"
    return (
        f"WITH found AS ({groups}) SELECT {OF_ONE:d}, g0, {_SUMS}"  # noqa: S608
        f" FROM (SELECT * FROM found ORDER BY {costliest} LIMIT {limit:d}) AS top"
        f" UNION ALL SELECT {OF_ALL:d}, '', {_TOTALS} FROM found"
    )


def of_sessions(selects: Sequence[str], total: str, limit: int) -> str:
    """selects: the parts that give numbers, names and SUMS of sessions, whose parameters are needed twice. total: the
    statement that gives the sum of all. There may be a million sessions: what they cost is summed up of all of them,
    everything else of those that are shown."""
    costs = " UNION ALL ".join(f"SELECT n, g0, cost_micro, cost_rest FROM ({one}) AS costs" for one in selects)  # noqa: S608
    micro, rest = "SUM(cost_micro)", "SUM(cost_rest)"
    # One more than is asked for: nobody may be among them, with nothing.
    top = (
        f"SELECT n, g0 FROM ({costs}) AS pieces GROUP BY n, g0"  # noqa: S608
        f" ORDER BY {micro} + {rest} / {MICRO} DESC, {rest} % {MICRO} DESC, n, g0 LIMIT {limit + 1:d}"
    )
    # What more than those is found by it is ranked behind them.
    whole = (
        f"SELECT n, g0, {_TOTALS} FROM ({' UNION ALL '.join(selects)}) AS pieces"  # noqa: S608
        f" WHERE n IN (SELECT n FROM top) AND g0 IN (SELECT g0 FROM top) GROUP BY n, g0"
        " HAVING SUM(attempts) > 0"
    )
    return (
        f"WITH top AS MATERIALIZED ({top}) SELECT {OF_ONE:d}, COALESCE({SESSION.table}.session, g0), {_SUMS}"  # noqa: S608
        f" FROM ({whole}) AS shown LEFT JOIN {SESSION.table} ON {SESSION.table}.id = n"
        f" UNION ALL SELECT {OF_ALL:d}, g0, {_SUMS} FROM ({total}) AS everything"
    )


def order(found: AttemptSum) -> tuple[int, int, str]:
    """The costliest first."""
    return -found.cost_pico, -found.attempts, found.group
