"""The statements that sum attempts up, over all that holds a part of the answer: cubes, former rollups, attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from signalbox.core.attempts import HOUR, AttemptFilter
from signalbox.store import cubes, ranked, rollups
from signalbox.store.names import SESSION
from signalbox.store.rows import OPEN, conditions


class Totals(NamedTuple):
    """has_label, day, tag: a database's own expressions, as in SqlStore."""

    has_label: str
    day: str
    tag: str

    def statement(self, where: AttemptFilter, dimensions: Sequence[str]) -> tuple[str, list[object]]:
        """The statement that gives groups and SUMS, in no order, and its parameters; nothing where no time is."""
        selects, parameters = self._selects(where, dimensions)
        if not selects:
            return "", []
        groups = ", ".join(f"g{place}" for place in range(max(1, len(dimensions))))
        totals = ", ".join(f"SUM({name}) AS {name}" for name in rollups.SUMS)
        source = " UNION ALL ".join(selects)
        # Where nobody is left after those who are named, there is no group of nobody.
        return (
            f"SELECT {groups}, {totals} FROM ({source}) AS pieces GROUP BY {groups} HAVING SUM(attempts) > 0",  # noqa: S608
            parameters,
        )

    def top_sessions(self, where: AttemptFilter, limit: int) -> tuple[str, list[object]]:
        """The same for the costliest sessions, ranked, and for all of them together."""
        former, values = self._of_rollups(where, (SESSION.column,))
        found = cubes.sessions(where, self._asked(where, (SESSION.column,)))
        total, more = self.statement(where, ())
        if not total:
            return "", []
        sql = ranked.of_sessions(found, [*map(cubes.by_number, former)], total, limit)
        return sql, [*found.hours_values, *values, *found.rest_values, *found.hours_values, *more]

    def _selects(self, where: AttemptFilter, dimensions: Sequence[str]) -> tuple[list[str], list[object]]:
        """The parts that together give groups and SUMS, with their parameters."""
        selects, parameters = self._of_rollups(where, dimensions)
        asked = self._asked(where, dimensions)
        for piece in cubes.pieces(where, dimensions):
            more, told = cubes.arms(piece, asked)
            selects += more
            parameters += told
        return selects, parameters

    def _of_rollups(self, where: AttemptFilter, dimensions: Sequence[str]) -> tuple[list[str], list[object]]:
        """Those of what versions before 16 summed up, and of what has not ended."""
        narrowed, values = conditions(where, self.has_label)
        include_open = where.include_open or where.state == OPEN
        selects: list[str] = []
        parameters: list[object] = []
        for piece in rollups.pieces(where, dimensions):
            more, told = rollups.arm(piece, self._named(dimensions), narrowed, values, include_open=include_open)
            selects += more
            parameters += told
        return selects, parameters

    def _asked(self, where: AttemptFilter, dimensions: Sequence[str]) -> cubes.Asked:
        raw = tuple(one for one, _ in self._named(dimensions))
        return cubes.Asked(where, tuple(dimensions), raw, self.day, self.has_label)

    def _named(self, dimensions: Sequence[str]) -> list[tuple[str, str]]:
        return [self._expressions(name) for name in dimensions] or [("''", "''")]

    def _expressions(self, dimension: str) -> tuple[str, str]:
        """What a dimension is in SQL, over attempts and over rollups, where it is not the column of its own name."""
        if dimension == "tag":
            return self.tag, "tag"
        named = {"config_version": "config", "user": "end_user", "day": self.day, HOUR: rollups.HOUR_SQL}
        expression = named.get(dimension, dimension)
        return expression, expression
