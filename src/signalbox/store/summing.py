"""Adds attempts that have ended to the tables of spend (store/cubes.py), and takes hours that are over where they stay.

Only whoever made it the end adds an attempt, in that transaction: sums and attempts never disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from operator import add

from signalbox.core.days import DAY_MS, HOUR_MS
from signalbox.store.columns import Column, Columns
from signalbox.store.cubes import (
    DAYS,
    FRESH,
    HOURS,
    IN_SESSION_DAYS,
    SESSION_DAYS,
    SESSION_HOURS,
    WHOM_DAYS,
    Cube,
)
from signalbox.store.names import NOBODY, SESSION, WHAT, WHO, WHOM, Kind, Named, Naming
from signalbox.store.rollups import SUMS
from signalbox.store.rows import ATTEMPT_COLUMNS, names_of
from signalbox.store.statements import Statements
from signalbox.store.tally import MICRO

# What every batch adds to.
_ADDED_TO = (FRESH, WHOM_DAYS, SESSION_HOURS, IN_SESSION_DAYS)
# So long after an hour nearly all that began in it has ended; what ends later is taken again.
SETTLED_AFTER_MS = 2 * HOUR_MS
SETTLED_AT_ONCE = 2000

_AT = {name: place for place, name in enumerate(ATTEMPT_COLUMNS)}
# What is summed up of tokens, in the order of SUMS.
_COUNTED = (
    ("tokens_in", "audio_in"),
    ("cache_read",),
    ("cache_write_5m", "cache_write_1h"),
    ("tokens_out", "reasoning", "audio_out"),
)
_NO_TAGS = "[]"
_MAY_BE_NOBODY = frozenset({WHOM, SESSION})


@lru_cache(maxsize=256)
def _onto(cube: Cube, adding: tuple[str, ...]) -> str:
    """adding: those of SUMS that anything is added to; nothing is bound for the others."""
    columns = (*_key_of(cube), *SUMS)
    bound = {*_key_of(cube), *adding}
    more = ", ".join(f"{name} = {cube.table}.{name} + excluded.{name}" for name in adding)
    values = ", ".join("?" if name in bound else "0" for name in columns)
    return (
        f"INSERT INTO {cube.table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608
        f" ON CONFLICT ({', '.join(_key_of(cube))}) DO UPDATE SET {more}"
    )


def _key_of(cube: Cube) -> tuple[str, ...]:
    return ("time_ms", *(kind.column for kind in cube.kinds))


Cells = dict[tuple[int, ...], "Sums"]
# Attempts, input, read, written, output, pico-dollars, unpriced.
Sums = tuple[int, int, int, int, int, int, int]


class Adding:
    """What attempts that have just got their end add to the tables, in one transaction. naming: of this transaction.
    day_ms: of the last of them all, so that no name is forgotten before its sums."""

    def __init__(self, connection: Statements, naming: Naming, day_ms: int) -> None:
        self._connection = connection
        self._naming = naming
        self._day_ms = day_ms
        self._cells: dict[Cube, Cells] = {cube: {} for cube in _ADDED_TO}

    def add(self, columns: Columns) -> None:
        """Of attempts, in the order of ATTEMPT_COLUMNS."""
        who, what = (self._numbers(kind, *(columns[_AT[name]] for name in kind.names)) for kind in (WHO, WHAT))
        whom = self._numbers(WHOM, columns[_AT["end_user"]], _first_tags(columns[_AT["tags"]]))
        session = self._numbers(SESSION, columns[_AT["session"]])
        times: Sequence[int] = columns[_AT["time_ms"]]
        hour_of = {time_ms: time_ms // HOUR_MS * HOUR_MS for time_ms in {*times}}
        hours = [*map(hour_of.__getitem__, times)]
        sums = _sums(columns)
        _onto_cells(self._cells[FRESH], zip(zip(hours, who, what, whom, strict=True), sums, strict=True))
        if any(session):
            keys = zip(hours, session, who, what, strict=True)
            said = (each for each in zip(keys, sums, strict=True) if each[0][1])
            _onto_cells(self._cells[SESSION_HOURS], said)

    def _numbers(self, kind: Kind, *named: Column) -> Sequence[int]:
        """Of each attempt's name."""
        count = len(named[0])
        if all(part.count(part[0]) == count for part in named):
            return self._of(kind, [tuple(part[0] for part in named)]) * count
        return self._of(kind, [*zip(*named, strict=True)])

    def _of(self, kind: Kind, names: Sequence[Named]) -> list[int]:
        if kind not in _MAY_BE_NOBODY or all(map(any, names)):
            return self._naming.of(self._connection, kind, names, self._day_ms)
        number = iter(self._of(kind, [name for name in names if any(name)]))
        return [next(number) if any(name) else NOBODY for name in names]

    def end(self) -> None:
        """Writes it all. Days come from their hours, which are at most as many as the attempts."""
        cells = self._cells
        by_hour, in_session = cells[FRESH].items(), cells[SESSION_HOURS].items()
        _onto_cells(
            cells[WHOM_DAYS], (((_day(at), person, by, of), sums) for (at, by, of, person), sums in by_hour if person)
        )
        _onto_cells(cells[IN_SESSION_DAYS], (((_day(at), by, of), sums) for (at, _, by, of), sums in in_session))
        for cube, each in cells.items():
            _write(self._connection, cube, each)


def settle(connection: Statements, now_ms: int) -> bool:
    """Takes some of the hours that are over to where sums are kept for good, by hour and by day; True when there may
    be more. Nobody else does so at the same time."""
    keys = ", ".join(_key_of(FRESH))
    last = connection.execute(
        f"SELECT {keys} FROM {FRESH.table} WHERE time_ms < ? ORDER BY {keys} LIMIT 1 OFFSET {SETTLED_AT_ONCE:d}",  # noqa: S608
        (now_ms - SETTLED_AFTER_MS,),
    ).fetchone()
    which, values = "time_ms < ?", (now_ms - SETTLED_AFTER_MS,)
    if last is not None:
        which, values = f"time_ms <= ? AND ({keys}) < (?, ?, ?, ?)", (last[0], *last)
    rows = connection.execute(
        f"DELETE FROM {FRESH.table} WHERE {which} RETURNING {keys}, {', '.join(SUMS)}",  # noqa: S608
        values,
    ).fetchall()
    hours: Cells = {}
    days: Cells = {}
    for at, by, of, person, *counts, micro, rest, unpriced in rows:
        one, two, three, four, five = counts
        sums = one, two, three, four, five, micro * MICRO + rest, unpriced
        _onto_cells(hours, [((at, by, of, person), sums)])
        _onto_cells(days, [((_day(at), by, of), sums)])
    _write(connection, HOURS, hours)
    _write(connection, DAYS, days)
    return last is not None


def _day(time_ms: int) -> int:
    return time_ms // DAY_MS * DAY_MS


def _write(connection: Statements, cube: Cube, cells: Cells) -> None:
    if not cells:
        return
    # In order, so that two processes that add to the same rows do so in one order.
    keys = sorted(cells)
    *counts, cost, unpriced = zip(*map(cells.__getitem__, keys), strict=True)
    micro, rest = [each // MICRO for each in cost], [each % MICRO for each in cost]
    sums = {name: each for name, each in zip(SUMS, (*counts, micro, rest, unpriced), strict=True) if any(each)}
    rows = [*zip(*zip(*keys, strict=True), *sums.values(), strict=True)]
    connection.executemany(_onto(cube, (*sums,)), rows)


def _first_tags(tags: Column) -> Column:
    """The first of each list of tags."""
    if tags.count(_NO_TAGS) == len(tags):
        return [""] * len(tags)
    return ["" if text == _NO_TAGS else (names_of(text) or ("",))[0] for text in tags]


def _sums(columns: Sequence[Column]) -> list[Sums]:
    """Of each attempt."""
    tokens_in, read, written, tokens_out = (_together([columns[_AT[name]] for name in names]) for names in _COUNTED)
    costs = columns[_AT["cost_pico"]]
    unpriced = [1 if cost is None else 0 for cost in costs]
    known = [cost or 0 for cost in costs]
    return [*zip(repeat(1, len(costs)), tokens_in, read, written, tokens_out, known, unpriced, strict=True)]


def _together(counts: Sequence[Column]) -> Column:
    total, *more = counts
    for each in more:
        total = [*map(add, total, each)]
    return total


def _onto_cells(cells: Cells, more: Iterable[tuple[tuple[int, ...], Sums]]) -> None:
    hold = cells.setdefault
    for key, sums in more:
        held = hold(key, sums)
        if held is not sums:
            one, two, three, four, five, six, seven = held
            a, b, c, d, e, f, g = sums
            cells[key] = (one + a, two + b, three + c, four + d, five + e, six + f, seven + g)


def forget(connection: Statements, before_ms: int) -> bool:
    """Drops the oldest span of each table that ended before; True when there was one. Hours of sessions, which do not
    stand in the order of time, go with the day of everybody."""
    dropped = False
    for cube in (FRESH, HOURS, DAYS, WHOM_DAYS, IN_SESSION_DAYS, SESSION_DAYS):
        row = connection.execute(f"SELECT MIN(time_ms) FROM {cube.table}").fetchone()  # noqa: S608
        if row is not None and row[0] is not None and int(row[0]) + cube.span_ms <= before_ms:
            oldest = int(row[0])
            connection.execute(f"DELETE FROM {cube.table} WHERE time_ms = ?", (oldest,))  # noqa: S608
            if cube == DAYS:
                connection.execute(f"DELETE FROM {SESSION_HOURS.table} WHERE time_ms < ?", (oldest + DAY_MS,))  # noqa: S608
            dropped = True
    return dropped
