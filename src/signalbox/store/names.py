"""Names that spend is summed by, kept once each under a number, so that sums are rows of numbers.

A process remembers the numbers it has met. A name says on which day it was last met, so that it can be forgotten with
the last sums that speak of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, cast

from signalbox.store.statements import Statements

# Numbers that one process remembers of each kind; beyond that it asks again.
REMEMBERED_MAX = 50_000
_AT_ONCE = 50
FORGOTTEN_AT_ONCE = 1000
NOBODY = 0

Named = tuple[str, ...]


class Kind(NamedTuple):
    """A table of names. column: what their number is called in sums."""

    table: str
    column: str
    names: tuple[str, ...]


WHO = Kind("sum_who", "who", ("tenant", "team", "key_id"))
WHAT = Kind(
    "sum_what",
    "what",
    ("workload", "deployment", "environment", "model", "api", "tier", "state", "usage_source", "config", "labels"),
)
# The first of the tags only, so that every attempt is in one group.
WHOM = Kind("sum_whom", "whom", ("end_user", "tag"))
SESSION = Kind("sum_session", "session", ("session",))
# In the order in which they are written, the same for everybody, so that no two wait for each other.
KINDS = (WHO, WHAT, WHOM, SESSION)


Known = dict[Kind, dict[Named, int]]


class Numbers:
    """The numbers of names that one process remembers, of names that were met on a day or later. Any thread may use
    it; at worst two ask for the same."""

    def __init__(self) -> None:
        self._held: tuple[int, Known] = (0, {kind: {} for kind in KINDS})

    def known(self, day_ms: int) -> Known:
        """Those of names that need not be told that they were met on this day. It is asked for all of them once a
        day."""
        if self._held[0] < day_ms:
            self._held = (day_ms, {kind: {} for kind in KINDS})
        return self._held[1]


class Naming:
    """One transaction's use of numbers. `keep` when it is committed: a number from one that was not may be another's
    by then."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._known: Known = {}
        self._fresh: Known = {}

    def of(self, connection: Statements, kind: Kind, wanted: Sequence[Named], day_ms: int) -> list[int]:
        """The number of each name: as remembered, or as asked for. day_ms: the last day on which any of them was met
        here."""
        remembered = self._known[kind] = self._numbers.known(day_ms)[kind]
        fresh = self._fresh.setdefault(kind, {})
        numbers = [*map(remembered.get, wanted)]
        if None in numbers:
            # One by one: a set without the keys of a mapping would walk all of the mapping.
            unknown = {named for number, named in zip(numbers, wanted, strict=True) if number is None}
            asked = [named for named in unknown if named not in fresh]
            fresh.update(self._asked(connection, kind, asked, day_ms))
            numbers = [number or fresh[named] for number, named in zip(numbers, wanted, strict=True)]
        return cast("list[int]", numbers)

    def _asked(self, connection: Statements, kind: Kind, names: Iterable[Named], day_ms: int) -> dict[Named, int]:
        missing: dict[Named, list[Named]] = {}
        for named in names:
            missing.setdefault(_clean(named), []).append(named)
        found: dict[Named, int] = {}
        asked = sorted(missing)
        for start in range(0, len(asked), _AT_ONCE):
            part = asked[start : start + _AT_ONCE]
            values = [value for clean in part for value in (*clean, day_ms)]
            for row in connection.execute(_met(kind, len(part)), values).fetchall():
                for named in missing[row[1:]]:
                    found[named] = int(row[0])
        return found

    def keep(self) -> None:
        for kind, fresh in self._fresh.items():
            known = self._known[kind]
            if len(known) + len(fresh) > REMEMBERED_MAX:
                known.clear()
            if len(fresh) <= REMEMBERED_MAX:
                known.update(fresh)
        self._fresh = {}


def forget(connection: Statements, before_ms: int) -> bool:
    """Drops some of the names that nobody was met under since; True when there may be more."""
    more = False
    for kind in KINDS:
        which = f"SELECT id FROM {kind.table} WHERE last_ms < ? LIMIT {FORGOTTEN_AT_ONCE:d}"  # noqa: S608
        dropped = connection.execute(f"DELETE FROM {kind.table} WHERE id IN ({which})", (before_ms,))  # noqa: S608
        more |= dropped.rowcount == FORGOTTEN_AT_ONCE
    return more


@lru_cache(maxsize=256)
def _met(kind: Kind, count: int) -> str:
    """Gives each name its number, an old or a new one, and takes down when it was met."""
    columns = ", ".join(kind.names)
    marks = ", ".join([f"({', '.join('?' * (len(kind.names) + 1))})"] * count)
    later = f"CASE WHEN excluded.last_ms > {kind.table}.last_ms THEN excluded.last_ms ELSE {kind.table}.last_ms END"
    return (
        f"INSERT INTO {kind.table} ({columns}, last_ms) VALUES {marks}"  # noqa: S608
        f" ON CONFLICT ({columns}) DO UPDATE SET last_ms = {later} RETURNING id, {columns}"
    )


def _clean(named: Named) -> Named:
    """Without NUL, which not every database can hold: what comes back has to be what was asked for."""
    return tuple(name.replace("\0", "\ufffd") for name in named)
