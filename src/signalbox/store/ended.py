"""How attempts come to their end in the store: from the table of open ones into the table of days, once each.

`attempts` holds what is open, and what versions before 13 ended there until `move` has taken it. `attempt_days` holds
what has ended and never changes again, so that a day can be dropped as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from signalbox.core.ports import ShipMark
from signalbox.core.records import Opened, Record, Refused, Settled
from signalbox.store import cubes, rollups
from signalbox.store.names import Naming
from signalbox.store.rollups import DAY_MS
from signalbox.store.rows import (
    ATTEMPT_COLUMNS,
    INSERT_ENDED,
    INSERT_OPENED,
    INSERT_REFUSED,
    INSERT_SUMMED,
    OPEN,
    REFUSED_COLUMNS,
    attempt_values,
    counts_json,
    ended_values,
    lone_end_values,
    names_json,
)
from signalbox.store.statements import Statements

_COLUMNS = ", ".join(ATTEMPT_COLUMNS)
_TIME_AT = ATTEMPT_COLUMNS.index("time_ms")
_STATE_AT = ATTEMPT_COLUMNS.index("state")
_IDS_AT_ONCE = 1000
# As many as a processor holds close by from one use to the next.
_ROWS_AT_ONCE = 200
_NEAR_MAX = 200
# An attempt that is told of twice is told of within this time, or the table of days would be searched whole.
_TOLD_TWICE_MS = 2 * DAY_MS

Room = Callable[[Statements, set[int]], None]
Row = Sequence[object]
T = TypeVar("T")


class Batch:
    """The records of one shipped batch, each attempt once."""

    def __init__(self, after: ShipMark, records: Sequence[Record]) -> None:
        self._began: dict[str, Opened] = {}
        # With its row where its beginning came with it: made here, so that nobody waits for that at the database.
        self._ended: dict[str, tuple[Row | None, Settled]] = {}
        self._refused: list[tuple[object, ...]] = []
        for place, record in enumerate(records):
            if isinstance(record, Opened):
                if record.attempt_id not in self._ended:
                    self._began.setdefault(record.attempt_id, record)
            elif isinstance(record, Settled):
                # The first end of an attempt holds.
                if record.attempt_id not in self._ended:
                    opened = self._began.pop(record.attempt_id, None)
                    row = None if opened is None else attempt_values(opened, record)
                    self._ended[record.attempt_id] = (row, record)
            elif isinstance(record, Refused):
                named = [getattr(record, name) for name in REFUSED_COLUMNS]
                named[REFUSED_COLUMNS.index("labels")] = names_json(record.labels)
                named[REFUSED_COLUMNS.index("found")] = counts_json(record.found)
                named[REFUSED_COLUMNS.index("rules")] = names_json(record.rules)
                named[REFUSED_COLUMNS.index("guards")] = counts_json(record.guards)
                self._refused.append((after.chain, after.seq, place, *named))

    def store(self, connection: Statements, room: Room, naming: Naming) -> None:
        """In the transaction that moves the mark. room: makes room for the days of these numbers. naming: of this
        transaction."""
        times = [*(each.time_ms for each in self._began.values()), *(end.time_ms for _, end in self._ended.values())]
        before = min(times, default=0) - _TOLD_TWICE_MS
        ids = [*self._began, *self._ended]
        here = {str(row[0]): row for row in _found(connection, "attempts", _COLUMNS, ids)}
        # Those of one process follow each other in its chain, what began earlier apart.
        earlier = [attempt_id for attempt_id, (row, _) in self._ended.items() if row is None]
        apart = set(earlier)
        together = ids if not earlier else [each for each in ids if each not in apart]
        done = _known(connection, together, before) | _known(connection, earlier, before)
        done |= {attempt_id for attempt_id, row in here.items() if row[_STATE_AT] != OPEN}
        ended = [
            _whole(here.get(attempt_id), row, end)
            for attempt_id, (row, end) in self._ended.items()
            if attempt_id not in done
        ]
        begun = [
            attempt_values(each, None)
            for each in self._began.values()
            if each.attempt_id not in here and each.attempt_id not in done
        ]
        _remove(connection, [attempt_id for attempt_id in self._ended if attempt_id in here and attempt_id not in done])
        connection.executemany(INSERT_OPENED, begun)
        keep(connection, ended, room, naming)
        connection.executemany(INSERT_REFUSED, self._refused)


def keep(connection: Statements, rows: Sequence[Row], room: Room, naming: Naming) -> None:
    """Puts attempts that have ended into their days, and into what is summed up of them."""
    if not rows:
        return
    days = {_time(row) // DAY_MS for row in rows}
    room(connection, days)
    adding = cubes.Adding(connection, naming, max(days) * DAY_MS)
    for part in _parts(rows, _ROWS_AT_ONCE):
        connection.executemany(INSERT_SUMMED, part)
        adding.add(part)
    adding.end()


def move(connection: Statements, limit: int, room: Room) -> bool:
    """Takes what a version before 13 ended in the table of open ones; True when there may be more."""
    sql = f"SELECT {_COLUMNS} FROM attempts WHERE state <> '{OPEN}' LIMIT {limit:d}"  # noqa: S608
    rows = connection.execute(sql).fetchall()
    ids = [str(row[0]) for row in rows]
    known = _known(connection, ids, min(map(_time, rows), default=0) - _TOLD_TWICE_MS)
    fresh = [row for row in rows if row[0] not in known]
    if fresh:
        room(connection, {_time(row) // DAY_MS for row in fresh})
        connection.executemany(INSERT_ENDED, fresh)
        rollups.add_late(connection, fresh)
    _remove(connection, ids)
    return len(rows) == limit


def forget_open(connection: Statements, before_ms: int, limit: int) -> None:
    """Drops attempts that began so long ago and whose end never came: the journal that knew it is lost."""
    sql = f"SELECT attempt_id FROM attempts WHERE time_ms < ? ORDER BY time_ms LIMIT {limit:d}"  # noqa: S608
    _remove(connection, [str(row[0]) for row in connection.execute(sql, (before_ms,)).fetchall()])


def _time(row: Row) -> int:
    time_ms = row[_TIME_AT]
    assert isinstance(time_ms, int)
    return time_ms


def _whole(here: Row | None, row: Row | None, end: Settled) -> Row:
    if here is not None:
        return ended_values(here, end)
    return lone_end_values(end) if row is None else row


def _known(connection: Statements, ids: Sequence[str], since_ms: int) -> set[str]:
    """Those of the attempts that stand in a day, from a time on."""
    return {
        str(row[0]) for row in _found(connection, "attempt_days", "attempt_id", ids, f" AND time_ms >= {since_ms:d}")
    }


def _found(connection: Statements, table: str, columns: str, ids: Sequence[str], more: str = "") -> list[Row]:
    """The rows of these attempts. Ids of one process rise, so that mostly nothing, or little, stands between the first
    and the last of a batch: one look is enough, where asking for each is a tenth of all that shipping costs."""
    if not ids:
        return []
    select = f"SELECT {columns} FROM {table} WHERE attempt_id"  # noqa: S608
    near = connection.execute(f"{select} BETWEEN ? AND ?{more} LIMIT {_NEAR_MAX:d}", (min(ids), max(ids))).fetchall()
    if len(near) < _NEAR_MAX:
        wanted = set(ids)
        return [row for row in near if row[0] in wanted]
    found: list[Row] = []
    for part in _parts(ids, _IDS_AT_ONCE):
        found += connection.execute(f"{select} IN ({', '.join('?' * len(part))}){more}", part).fetchall()
    return found


def _remove(connection: Statements, ids: Sequence[str]) -> None:
    for part in _parts(ids, _IDS_AT_ONCE):
        connection.execute(f"DELETE FROM attempts WHERE attempt_id IN ({', '.join('?' * len(part))})", part)  # noqa: S608


def _parts(whole: Sequence[T], length: int) -> Iterable[Sequence[T]]:
    return (whole[start : start + length] for start in range(0, len(whole), length))
