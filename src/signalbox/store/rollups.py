"""Spend by hour, day, user and session as versions before 16 summed it up, and go on doing beside this one.

This version reads these tables, together with its own (store/cubes.py). It adds to them only what a version before 13
has ended and `move` takes into its day. Attempts that are counted here are those that are marked as summed up nowhere
else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from signalbox.core.attempts import HOUR, AttemptFilter
from signalbox.core.days import DAY_MS, HOUR_MS
from signalbox.store.rows import OPEN, names_of
from signalbox.store.statements import Statements
from signalbox.store.tally import MICRO, Tally

# Column of a rollup -> the sum over attempts that it holds.
SUMS = {
    "attempts": "COUNT(*)",
    "tokens_in": "SUM(tokens_in + audio_in)",
    "cache_read": "SUM(cache_read)",
    "cache_write": "SUM(cache_write_5m + cache_write_1h)",
    "tokens_out": "SUM(tokens_out + reasoning + audio_out)",
    "cost_micro": f"COALESCE(SUM(cost_pico / {MICRO}), 0)",
    "cost_rest": f"COALESCE(SUM(cost_pico % {MICRO}), 0)",
    "unpriced": "COUNT(*) - COUNT(cost_pico)",
}
# The hour of a time, in every database.
HOUR_SQL = f"time_ms / {HOUR_MS} * {HOUR_MS}"

_FEW = ("tenant", "team", "key_id", "workload", "deployment", "environment", "model", "api", "tier", "state",
        "usage_source", "config")  # fmt: skip
_SESSION = ("tenant", "team", "key_id", "workload", "deployment", "environment", "state", "session")


class Rollup(NamedTuple):
    """One table. span_ms: what one of its rows holds. names: what it knows besides the time. late: it counts an attempt
    when that comes into the table of days, not when it ends; the two differ for what versions before 13 wrote."""

    table: str
    span_ms: int
    names: tuple[str, ...]
    late: bool


# The cheapest first: the first of a span that knows enough is asked.
ROLLUPS = (
    Rollup("spend_days", DAY_MS, _FEW, False),
    Rollup("spend_session_days", DAY_MS, _SESSION, True),
    Rollup("spend_user_days", DAY_MS, (*_FEW, "labels", "end_user", "tag"), True),
    Rollup("spend_hours", HOUR_MS, _FEW, False),
)
# What a dimension is called in the tables, where it is not its own name.
_COLUMN_OF = {"config_version": "config", "user": "end_user"}
_OF_TIME = frozenset({"day", HOUR})
_FILTERED = ("tenant", "team", "key_id", "workload", "deployment", "environment", "state")


class Piece(NamedTuple):
    """A part of the time that is asked about, and where to read it. rollup: None for the attempts themselves."""

    rollup: Rollup | None
    since_ms: int | None
    until_ms: int | None


def pieces(where: AttemptFilter, dimensions: Iterable[str]) -> list[Piece]:
    """The least to read for a question: whole days and hours from rollups, the rest from attempts. They cover the time
    that is asked about once."""
    wanted = {_COLUMN_OF.get(name, name) for name in dimensions if name not in _OF_TIME}
    wanted |= {name for name in _FILTERED if getattr(where, name) is not None}
    wanted |= {"key_id"} if where.key_ids is not None else set()
    wanted |= {"labels"} if where.label is not None else set()
    fit = [one for one in ROLLUPS if wanted <= set(one.names) and not (HOUR in dimensions and one.span_ms > HOUR_MS)]
    best: dict[int, Rollup] = {}
    for one in fit:
        best.setdefault(one.span_ms, one)
    spans = sorted(best.values(), key=lambda one: -one.span_ms)
    return [Piece(*one) for one in split(where.since_ms, where.until_ms, spans)]


class Spanning(Protocol):
    @property
    def span_ms(self) -> int: ...


S = TypeVar("S", bound=Spanning)


def split(
    since: int | None, until: int | None, spans: Sequence[S]
) -> Iterator[tuple[S | None, int | None, int | None]]:
    """A time in parts, each with the table of the widest span that fits into it, None for what is narrower than all.
    spans: the widest first."""
    if since is not None and until is not None and since >= until:
        return
    if not spans:
        yield None, since, until
        return
    widest, narrower = spans[0], spans[1:]
    first = None if since is None else -(-since // widest.span_ms) * widest.span_ms
    last = None if until is None else until // widest.span_ms * widest.span_ms
    if first is not None and last is not None and first >= last:
        yield from split(since, until, narrower)
        return
    if since is not None and first != since:
        yield from split(since, first, narrower)
    yield widest, first, last
    if until is not None and last != until:
        yield from split(last, until, narrower)


# --- writing


def _onto(rollup: Rollup) -> str:
    columns = ("time_ms", *rollup.names)
    more = ", ".join(f"{name} = {rollup.table}.{name} + excluded.{name}" for name in SUMS)
    marks = ", ".join("?" * (len(columns) + len(SUMS)))
    return (
        f"INSERT INTO {rollup.table} ({', '.join((*columns, *SUMS))}) VALUES ({marks})"  # noqa: S608
        f" ON CONFLICT ({', '.join(columns)}) DO UPDATE SET {more}"
    )


_ONTO = {rollup: _onto(rollup) for rollup in sorted(ROLLUPS) if rollup.late}
_TALLIES = {
    rollup: Tally(tuple("tags" if name == "tag" else name for name in rollup.names))
    for rollup in sorted(ROLLUPS)
    if rollup.late
}


def add_late(connection: Statements, rows: Sequence[Sequence[object]]) -> None:
    """Adds attempts that a version before 13 has added to the other tables when they ended, each in the order of
    ATTEMPT_COLUMNS."""
    for rollup, onto in _ONTO.items():
        sums = _TALLIES[rollup].of(rows, rollup.span_ms)
        connection.executemany(onto, _with_tag(rollup, sums) if "tag" in rollup.names else sums)


def _with_tag(rollup: Rollup, sums: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The first of the tags in place of them all."""
    at = 1 + rollup.names.index("tag")
    return [(*row[:at], (names_of(str(row[at])) or ("",))[0], *row[at + 1 :]) for row in sums]


def forget(connection: Statements, before_ms: int) -> bool:
    """Drops the oldest span of each rollup that ended before; True when there was one."""
    dropped = False
    for rollup in ROLLUPS:
        row = connection.execute(f"SELECT MIN(time_ms) FROM {rollup.table}").fetchone()  # noqa: S608
        if row is not None and row[0] is not None and int(row[0]) + rollup.span_ms <= before_ms:
            connection.execute(f"DELETE FROM {rollup.table} WHERE time_ms = ?", (int(row[0]),))  # noqa: S608
            dropped = True
    return dropped


def arm(
    piece: Piece,
    groups: Sequence[tuple[str, str]],
    conditions: Sequence[str],
    values: Sequence[object],
    *,
    include_open: bool,
) -> tuple[list[str], list[object]]:
    """The SELECTs that give a piece, with their parameters. groups: (expression over attempts, over rollups) of each
    dimension. conditions: those besides time and state."""
    since = [] if piece.since_ms is None else ["time_ms >= ?"]
    until = [] if piece.until_ms is None else ["time_ms < ?"]
    rollup = piece.rollup
    selects: list[str] = []
    parameters: list[object] = []

    def select(source: str, named: Sequence[str], sums: Iterable[str], *more: str, began: str = "") -> None:
        """began: the condition in place of `since`."""
        which = " AND ".join([*more, *conditions, *([began] if began else since), *until])
        columns = [f"{expression} AS g{place}" for place, expression in enumerate(named)]
        columns += [f"{total} AS {name}" for name, total in zip(SUMS, sums, strict=True)]
        grouped = f" GROUP BY {', '.join(f'g{place}' for place in range(len(named)))}"
        selects.append(f"SELECT {', '.join(columns)} FROM {source}{f' WHERE {which}' if which else ''}{grouped}")  # noqa: S608
        ends = (None if began else piece.since_ms, piece.until_ms)
        parameters.extend([*values, *(at for at in ends if at is not None)])

    raw = [one for one, _ in groups]
    if rollup is None:
        some = begun("spend_hours", HOUR_MS, piece.since_ms, piece.until_ms)
        select("attempt_days", raw, SUMS.values(), "summed = ''", began=some)
    else:
        select(rollup.table, [other for _, other in groups], [f"SUM({name})" for name in SUMS])
    # What has not ended, and what a version before 13 ended and nobody has moved yet.
    late = rollup is None or rollup.late
    if include_open or late:
        state = "" if include_open and late else f"state {'=' if include_open else '<>'} '{OPEN}'"
        select("attempts", raw, SUMS.values(), *([state] if state else []))
    return selects, parameters


def begun(table: str, span_ms: int, since_ms: int | None, until_ms: int | None) -> str:
    """The condition that attempts are not older than `since_ms`, and that the table has sums of that time at all. As a
    bound of the time it is asked once, before any attempt is read: where there are none, none is."""
    bounds = "".join(
        f" AND former.time_ms {sign} {at // span_ms * span_ms:d}"
        for sign, at in ((">=", since_ms), ("<=", until_ms))
        if at is not None
    )
    since = -(2**62) if since_ms is None else since_ms
    return f"time_ms >= (SELECT {since:d} FROM {table} AS former WHERE 1 = 1{bounds} LIMIT 1)"  # noqa: S608
