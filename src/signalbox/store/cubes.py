"""Spend by hour, day, person and session: what sums are read from, so that no question about money walks every attempt.

They stay when the attempts themselves are past their retention. Rows hold the numbers of names (store/names.py), not
the names; store/summing.py writes them. What versions before 16 summed up is in tables of its own (store/rollups.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from signalbox.core.attempts import HOUR, AttemptFilter
from signalbox.core.days import DAY_MS, HOUR_MS
from signalbox.store import rows
from signalbox.store.names import NOBODY, SESSION, WHAT, WHO, WHOM, Kind
from signalbox.store.rollups import HOUR_SQL, SUMS, begun, split
from signalbox.store.rows import conditions


class Cube(NamedTuple):
    """One table. span_ms: what one of its rows holds. kinds: by what, besides the time. only: of which kind it holds
    only those attempts that name somebody; the others are what the table of everybody holds besides."""

    table: str
    span_ms: int
    kinds: tuple[Kind, ...]
    only: Kind | None = None


# What has come since: one table a row instead of two. `summing.settle` takes hours that are over from here to both of
# the next.
FRESH = Cube("sum_fresh", HOUR_MS, (WHO, WHAT, WHOM))
HOURS = Cube("sum_hours", HOUR_MS, (WHO, WHAT, WHOM))
DAYS = Cube("sum_days", DAY_MS, (WHO, WHAT))
WHOM_DAYS = Cube("sum_whom_days", DAY_MS, (WHOM, WHO, WHAT), WHOM)
# Side by side for each session, so that what one cost is summed up and ranked in one pass without sorting.
SESSION_HOURS = Cube("sum_session_hours", HOUR_MS, (SESSION, WHO, WHAT), SESSION)
# What all sessions of a day come to: without it, who names none would be asked of every session.
IN_SESSION_DAYS = Cube("sum_in_session_days", DAY_MS, (WHO, WHAT), SESSION)
CUBES = (FRESH, HOURS, DAYS, WHOM_DAYS, SESSION_HOURS, IN_SESSION_DAYS)
# What version 16 of the schema summed up of sessions, and goes on doing beside this one, in place of the two above.
SESSION_DAYS = Cube("sum_session_days", DAY_MS, (SESSION, WHO, WHAT), SESSION)

# What a dimension is called in the tables, where it is not its own name.
_COLUMN_OF = {"config_version": "config", "user": "end_user"}
_KIND_OF = {name: kind for kind in (WHO, WHAT, WHOM, SESSION) for name in kind.names}
_OF_TIME = frozenset({"day", HOUR})


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
