"""How attempts come to their end in the store: from the table of open ones into the table of days, once each.

`attempts` holds what is open, and what versions before 13 ended there until `move` has taken it. `attempt_days` holds
what has ended and never changes again, so that a day can be dropped as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from signalbox.core.days import DAY_MS
from signalbox.core.ports import ShipMark
from signalbox.core.records import Opened, Record, Refused, Settled
from signalbox.store import rollups, summing
from signalbox.store.columns import Columns, columns_of, insert, transposed
from signalbox.store.names import Naming
from signalbox.store.rows import (
    ATTEMPT_COLUMNS,
    END_AT,
    INSERT_ENDED,
    INSERT_OPENED,
    INSERT_REFUSED,
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
        # Ends whose beginning came with an earlier batch.
        self._late: dict[str, Settled] = {}
        self._refused: list[tuple[object, ...]] = []
        whole: dict[str, tuple[Opened, Settled]] = {}
        for place, record in enumerate(records):
            if isinstance(record, Settled):
                # The first end of an attempt holds.
                attempt_id = record.attempt_id
                if attempt_id not in whole and attempt_id not in self._late:
                    opened = self._began.pop(attempt_id, None)
                    if opened is None:
                        self._late[attempt_id] = record
                    else:
                        whole[attempt_id] = opened, record
            elif isinstance(record, Opened):
                if record.attempt_id not in whole and record.attempt_id not in self._late:
                    self._began.setdefault(record.attempt_id, record)
            elif isinstance(record, Refused):
                named = [getattr(record, name) for name in REFUSED_COLUMNS]
                named[REFUSED_COLUMNS.index("labels")] = names_json(record.labels)
                named[REFUSED_COLUMNS.index("found")] = counts_json(record.found)
                named[REFUSED_COLUMNS.index("rules")] = names_json(record.rules)
                named[REFUSED_COLUMNS.index("guards")] = counts_json(record.guards)
                self._refused.append((after.chain, after.seq, place, *named))
        # Made here, so that nobody waits for that at the database.
        self._whole_ids = [*whole]
        self._whole = [columns_of(part) for part in _parts([*whole.values()], _ROWS_AT_ONCE)]

    def store(self, connection: Statements, room: Room, naming: Naming) -> None:
        """In the transaction that moves the mark. room: makes room for the days of these numbers. naming: of this
        transaction."""
        before = min(self._times(), default=0) - _TOLD_TWICE_MS
        # Those of one process follow each other in its chain, what began earlier apart.
        together, earlier = [*self._began, *self._whole_ids], [*self._late]
        here = {str(row[0]): row for row in _found(connection, "attempts", _COLUMNS, together + earlier)}
        done = _known(connection, together, before) | _known(connection, earlier, before)
        done |= {attempt_id for attempt_id, row in here.items() if row[_STATE_AT] != OPEN}
        late = [_with_end(here.get(each), end) for each, end in self._late.items() if each not in done]
        begun = [
            attempt_values(each, None)
            for each in self._began.values()
            if each.attempt_id not in here and each.attempt_id not in done
        ]
        whole = [fresh for columns in self._whole if (fresh := _fresh(columns, here, done))]
        ending = [each for each in here if each not in done and each not in self._began]
        _remove(connection, ending)
        connection.executemany(INSERT_OPENED, begun)
        keep(connection, whole + [transposed(part) for part in _parts(late, _ROWS_AT_ONCE)], room, naming)
        connection.executemany(INSERT_REFUSED, self._refused)

    def _times(self) -> Iterable[int]:
        yield from (opened.time_ms for opened in self._began.values())
        yield from (end.time_ms for end in self._late.values())
        for columns in self._whole:
            yield min(columns[_TIME_AT])


def keep(connection: Statements, parts: Sequence[Columns], room: Room, naming: Naming) -> None:
    """Puts attempts that have ended into their days, and into what is summed up of them."""
    if not parts:
        return
    days = {time_ms // DAY_MS for columns in parts for time_ms in {*columns[_TIME_AT]}}
    room(connection, days)
    adding = summing.Adding(connection, naming, max(days) * DAY_MS)
    for columns in parts:
        insert(connection, columns)
        adding.add(columns)
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


def _with_end(here: Row | None, end: Settled) -> Row:
    return lone_end_values(end) if here is None else ended_values(here, end)


def _fresh(columns: Columns, here: dict[str, Row], done: set[str]) -> Columns:
    """Without attempts that are done, and with the beginnings that are here already."""
    if done.isdisjoint(columns[0]) and here.keys().isdisjoint(columns[0]):
        return columns
    rows = [row for row in zip(*columns, strict=True) if row[0] not in done]
    return transposed((*here.get(row[0], row)[:END_AT], *row[END_AT:]) for row in rows)


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
