"""The costliest of many groups, and what all of them come to, in one statement: pages show some, sums are of all."""

from __future__ import annotations

from signalbox.core.ports import AttemptSum
from signalbox.store.names import SESSION
from signalbox.store.rollups import SUMS
from signalbox.store.tally import MICRO

# What the first column of a row says it is.
OF_ONE, OF_ALL = 0, 1


def statement(groups: str, total: str, dimension: str, limit: int) -> str:
    """groups: the statement that gives groups and SUMS, of sessions by their numbers; total: the one that gives the sum
    of all as one group. Rows are: OF_ONE or OF_ALL, the group, SUMS. Of equally costly ones those with the first names
    or numbers are taken."""
    sums = ", ".join(SUMS)
    keys = "n, g0" if dimension == SESSION.column else "g0"
    # Sums of millionths and of what is left of them, compared without adding them up to more than 63 bits.
    costliest = f"cost_micro + cost_rest / {MICRO} DESC, cost_rest % {MICRO} DESC, attempts DESC, {keys}"
    top = f"SELECT {keys}, {sums} FROM ({groups}) AS found ORDER BY {costliest} LIMIT {limit:d}"  # noqa: S608
    if dimension == SESSION.column:
        top = (
            f"SELECT COALESCE({SESSION.table}.session, g0) AS g0, {sums} FROM ({top}) AS shown"  # noqa: S608
            f" LEFT JOIN {SESSION.table} ON {SESSION.table}.id = n"
        )
    return (
        f"SELECT {OF_ONE:d}, g0, {sums} FROM ({top}) AS top"  # noqa: S608
        f" UNION ALL SELECT {OF_ALL:d}, g0, {sums} FROM ({total}) AS everything"
    )


def order(found: AttemptSum) -> tuple[int, int, str]:
    """The costliest first."""
    return -found.cost_pico, -found.attempts, found.group
