"""Spend by hour, day, person and session: what sums are read from, so that no question about money walks every attempt.

An attempt is added in the transaction that stores its end, and only by the one that made it the end: sums and attempts
never disagree. They stay when the attempts themselves are past their retention. Rows hold the numbers of names
(store/names.py), not the names. What versions before 16 summed up stands in tables of its own (store/rollups.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from operator import add
from typing import NamedTuple

from signalbox.core.ports import HOUR, AttemptFilter
from signalbox.store import rows
from signalbox.store.columns import Column, Columns
from signalbox.store.names import NOBODY, SESSION, WHAT, WHO, WHOM, Kind, Named, Naming
from signalbox.store.rollups import DAY_MS, HOUR_MS, HOUR_SQL, SUMS, begun, split
from signalbox.store.rows import ATTEMPT_COLUMNS, conditions, names_of
from signalbox.store.statements import Statements
from signalbox.store.tally import MICRO


class Cube(NamedTuple):
    """One table. span_ms: what one of its rows holds. kinds: by what, besides the time. only: of which kind it holds
    only those attempts that name somebody; the others are what the table of everybody holds besides."""

    table: str
    span_ms: int
    kinds: tuple[Kind, ...]
    only: Kind | None = None


# What has come since: one table a row instead of two. `settle` takes hours that are over from here to both of the next.
FRESH = Cube("sum_fresh", HOUR_MS, (WHO, WHAT, WHOM))
HOURS = Cube("sum_hours", HOUR_MS, (WHO, WHAT, WHOM))
DAYS = Cube("sum_days", DAY_MS, (WHO, WHAT))
WHOM_DAYS = Cube("sum_whom_days", DAY_MS, (WHOM, WHO, WHAT), WHOM)
# Side by side for each session, so that what one cost is summed up and ranked in one pass without sorting.
SESSION_HOURS = Cube("sum_session_hours", HOUR_MS, (SESSION, WHO, WHAT), SESSION)
# What all sessions of a day come to: without it, who names none would be asked of every session.
IN_SESSION_DAYS = Cube("sum_in_session_days", DAY_MS, (WHO, WHAT), SESSION)
CUBES = (FRESH, HOURS, DAYS, WHOM_DAYS, SESSION_HOURS, IN_SESSION_DAYS)
# What every batch adds to.
_ADDED_TO = (FRESH, WHOM_DAYS, SESSION_HOURS, IN_SESSION_DAYS)
# So long after an hour nearly all that began in it has ended; what ends later is taken again.
SETTLED_AFTER_MS = 2 * HOUR_MS
SETTLED_AT_ONCE = 2000
# What version 16 of the schema summed up of sessions, and goes on doing beside this one, in place of the two above.
SESSION_DAYS = Cube("sum_session_days", DAY_MS, (SESSION, WHO, WHAT), SESSION)

# What a dimension is called in the tables, where it is not its own name.
_COLUMN_OF = {"config_version": "config", "user": "end_user"}
_KIND_OF = {name: kind for kind in (WHO, WHAT, WHOM, SESSION) for name in kind.names}
_OF_TIME = frozenset({"day", HOUR})


# --- writing

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


# --- reading


class Piece(NamedTuple):
    """A part of the time that is asked about, and where to read it. cube: None for the attempts themselves."""

    cube: Cube | None
    since_ms: int | None
    until_ms: int | None


class Asked(NamedTuple):
    """What is asked. raw: each dimension as an expression over attempts. has_label: as in SqlStore."""

    where: AttemptFilter
    dimensions: tuple[str, ...]
    raw: tuple[str, ...]
    day: str
    has_label: str


def pieces(where: AttemptFilter, dimensions: Iterable[str]) -> list[Piece]:
    """The least to read for a question: whole days and hours from sums, the rest from attempts. They cover the time
    that is asked about once."""
    wanted = {_KIND_OF[_COLUMN_OF.get(name, name)] for name in dimensions if name not in _OF_TIME}
    fit: list[Cube] = []
    if not (WHOM in wanted and SESSION in wanted):
        if HOUR not in dimensions:
            fit.append(SESSION_DAYS if SESSION in wanted else WHOM_DAYS if WHOM in wanted else DAYS)
        fit.append(SESSION_HOURS if SESSION in wanted else HOURS)
    return [Piece(*one) for one in split(where.since_ms, where.until_ms, fit)]


class _Part(NamedTuple):
    """What of a table makes up a piece. sign: `-` for what is taken away. nobody: the kind whose names are left out.
    which: a condition."""

    cube: Cube
    sign: str = ""
    nobody: Kind | None = None
    which: str = ""


# Of a day of which version 16 has summed up anything, what sessions cost by the hour is known from attempts only.
_BY_HOURS, _BY_ATTEMPTS = (
    f"time_ms / {DAY_MS:d} * {DAY_MS:d} {word} (SELECT former.time_ms FROM {SESSION_DAYS.table} AS former)"  # noqa: S608
    for word in ("NOT IN", "IN")
)
# Who names nobody is everybody without those who name somebody.
_PARTS: dict[Cube, tuple[_Part, ...]] = {
    HOURS: (_Part(HOURS), _Part(FRESH)),
    DAYS: (_Part(DAYS), _Part(FRESH)),
    WHOM_DAYS: (_Part(WHOM_DAYS), _Part(DAYS, "", WHOM), _Part(FRESH, "", WHOM), _Part(WHOM_DAYS, "-", WHOM)),
    SESSION_DAYS: (
        _Part(SESSION_HOURS),
        _Part(SESSION_DAYS),
        _Part(DAYS, "", SESSION),
        _Part(FRESH, "", SESSION),
        _Part(IN_SESSION_DAYS, "-", SESSION),
        _Part(SESSION_DAYS, "-", SESSION),
    ),
    SESSION_HOURS: (
        _Part(SESSION_HOURS, "", None, _BY_HOURS),
        _Part(HOURS, "", SESSION, _BY_HOURS),
        _Part(FRESH, "", SESSION, _BY_HOURS),
        _Part(SESSION_HOURS, "-", SESSION, _BY_HOURS),
    ),
}


def arms(piece: Piece, asked: Asked) -> tuple[list[str], list[object]]:
    """The SELECTs that give a piece, g0 to gN and SUMS, with their parameters."""
    if piece.cube is None:
        return _of_attempts(piece, asked)
    selects, parameters = _of_former_days(piece, asked) if piece.cube == SESSION_HOURS else ([], [])
    for part in _PARTS[piece.cube]:
        select, values = _of_cube(part, piece, asked)
        selects.append(select)
        parameters += values
    return selects, parameters


class Sessions(NamedTuple):
    """What gives the sums of sessions alone, by their numbers, since names are long and many. met: the SELECT of the
    least number, n, that anybody was met under in that time. hours: the condition of hours of sessions that count.
    rest: the SELECTs of all else: n, g0 and SUMS. g0: the name, where it has no number, or nothing."""

    met: str
    hours: str
    hours_values: list[object]
    rest: list[str]
    rest_values: list[object]


def sessions(where: AttemptFilter, asked: Asked) -> Sessions:
    """As `pieces` and `arms` for sessions alone."""
    narrowed, more = narrowing(where, asked.has_label)
    spans: list[str] = []
    times: list[object] = []
    rest: list[str] = []
    rest_values: list[object] = []
    for piece in pieces(where, asked.dimensions):
        if piece.cube is None or piece.cube == SESSION_HOURS:
            raw, told = _of_former_days(piece, asked) if piece.cube else _of_attempts(piece, asked)
            rest += map(by_number, raw)
            rest_values += told
        if piece.cube is None:
            continue
        bounds, values = _bounds(piece)
        by_hours = [_BY_HOURS] if piece.cube == SESSION_HOURS else []
        spans.append(f"({' AND '.join([*bounds, *by_hours]) or '1 = 1'})")
        times += values
        for part in _PARTS[piece.cube]:
            if part.cube != SESSION_HOURS or part.nobody:
                also = [_MET] if part.cube == SESSION_HOURS else []
                rest.append(_by_number_of(part, [*by_hours, *also, *bounds, *narrowed]))
                rest_values += [*values, *more]
    hours = " AND ".join([_MET, f"({' OR '.join(spans)})", *narrowed]) if spans else "1 = 0"
    return Sessions(_met_since(where), hours, [*times, *more] if spans else [], rest, rest_values)


# Numbers are given as names are first met: what was met in a time of late has mostly high ones.
_MET = "session >= (SELECT n FROM met)"


def _met_since(where: AttemptFilter) -> str:
    if where.since_ms is None:
        return f"SELECT {NOBODY} AS n"
    day_ms = where.since_ms // DAY_MS * DAY_MS
    # `+ 0`: by the index of days, and not one name after another until one of that time is met.
    return f"SELECT MIN(id + 0) AS n FROM {SESSION.table} WHERE last_ms >= {day_ms:d}"  # noqa: S608


def _by_number_of(part: _Part, which: Sequence[str]) -> str:
    if part.nobody is None:
        columns = [f"{SESSION.column} AS n", *SUMS]
    else:
        columns = [f"{NOBODY:d} AS n", *(f"{part.sign}SUM({name}) AS {name}" for name in SUMS)]
    columns.insert(1, "'' AS g0")
    condition = f" WHERE {' AND '.join(which)}" if which else ""
    return f"SELECT {', '.join(columns)} FROM {part.cube.table}{condition}"  # noqa: S608


def by_number(select: str) -> str:
    """A statement that gives g0, the name of a session, and SUMS, with numbers for those that have one."""
    # One by one: they are few, and whoever joins them may read all names for it.
    number = f"(SELECT id FROM {SESSION.table} WHERE {SESSION.table}.session = g0)"  # noqa: S608
    numbered = f"SELECT COALESCE({number}, {NOBODY}) AS n, g0, {', '.join(SUMS)} FROM ({select}) AS named"  # noqa: S608
    return (
        f"SELECT n, CASE WHEN n = {NOBODY} THEN g0 ELSE '' END AS g0, {', '.join(SUMS)} FROM ({numbered}) AS numbered"  # noqa: S608
    )


def _of_attempts(piece: Piece, asked: Asked, *more: str) -> tuple[list[str], list[object]]:
    which, values = conditions(asked.where, asked.has_label)
    bounds, times = _bounds(piece)
    named = [f"{expression} AS g{place}" for place, expression in enumerate(asked.raw)]
    totals = [f"{total} AS {name}" for name, total in SUMS.items()]
    condition = " AND ".join([f"summed = '{rows.CUBES}'", *more, *which, *bounds])
    groups = ", ".join(f"g{place}" for place in range(len(named)))
    sql = f"SELECT {', '.join((*named, *totals))} FROM attempt_days WHERE {condition} GROUP BY {groups}"  # noqa: S608
    return [sql], [*values, *times]


def _of_former_days(piece: Piece, asked: Asked) -> tuple[list[str], list[object]]:
    """Hours of days of which version 16 has summed up anything."""
    some = begun(SESSION_DAYS.table, DAY_MS, piece.since_ms, piece.until_ms)
    return _of_attempts(piece._replace(since_ms=None), asked, some, _BY_ATTEMPTS)


def _of_cube(part: _Part, piece: Piece, asked: Asked) -> tuple[str, list[object]]:
    expressions, kinds, of_time = _named(asked, part.nobody)
    keys = [*(["time_ms"] if of_time else []), *(kind.column for kind in kinds)]
    bounds, values = _bounds(piece)
    narrowed, more = narrowing(asked.where, asked.has_label)
    which = " AND ".join([*([part.which] if part.which else []), *bounds, *narrowed])
    totals = ", ".join(f"SUM({name}) AS {name}" for name in SUMS)
    grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
    source = f"{part.cube.table}{f' WHERE {which}' if which else ''}"
    summed = f"SELECT {', '.join([*keys, totals])} FROM {source}{grouped}"  # noqa: S608
    columns = [f"{expression} AS g{place}" for place, expression in enumerate(expressions)]
    columns += [f"{part.sign}{name} AS {name}" for name in SUMS]
    joined = "".join(f" LEFT JOIN {kind.table} ON {kind.table}.id = summed.{kind.column}" for kind in kinds)
    return f"SELECT {', '.join(columns)} FROM ({summed}) AS summed{joined}", [*values, *more]  # noqa: S608


def _named(asked: Asked, nobody: Kind | None) -> tuple[list[str], list[Kind], bool]:
    """Each dimension as an expression, of which kinds they are, and whether the time is among them."""
    expressions: list[str] = []
    kinds: list[Kind] = []
    of_time = False
    for dimension in asked.dimensions or ("",):
        kind = _KIND_OF.get(_COLUMN_OF.get(dimension, dimension))
        if dimension in _OF_TIME:
            of_time = True
            expressions.append(asked.day if dimension == "day" else HOUR_SQL)
        elif kind is None or kind == nobody:
            expressions.append("''")
        else:
            # A name that was forgotten before its sums is nobody's: no sum is ever lost with it.
            expressions.append(f"COALESCE({kind.table}.{_COLUMN_OF.get(dimension, dimension)}, '')")
            if kind not in kinds:
                kinds.append(kind)
    return expressions, kinds, of_time


def narrowing(where: AttemptFilter, has_label: str) -> tuple[list[str], list[object]]:
    """What rows of any cube must be, time apart, and the parameters."""
    of_who = AttemptFilter(tenant=where.tenant, team=where.team, key_id=where.key_id, key_ids=where.key_ids)
    of_what = AttemptFilter(
        workload=where.workload, deployment=where.deployment, environment=where.environment, label=where.label,
        state=where.state,
    )  # fmt: skip
    found: list[str] = []
    values: list[object] = []
    for kind, part in ((WHO, of_who), (WHAT, of_what)):
        which, more = conditions(part, has_label)
        if which:
            found.append(f"{kind.column} IN (SELECT id FROM {kind.table} WHERE {' AND '.join(which)})")  # noqa: S608
            values += more
    return found, values


def _bounds(piece: Piece) -> tuple[list[str], list[object]]:
    found = [
        (f"time_ms {sign} ?", at) for sign, at in ((">=", piece.since_ms), ("<", piece.until_ms)) if at is not None
    ]
    return [condition for condition, _ in found], [at for _, at in found]
