"""The store in SQL that every database understands; what differs between them is asked of the subclass."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from signalbox.core.budgets import Balance, Lease, LeaseAsk, Lent
from signalbox.core.errors import StoreError
from signalbox.core.ports import (
    DIMENSIONS,
    HOUR,
    AttemptFilter,
    AttemptPage,
    AttemptRow,
    AttemptSum,
    GridSum,
    LabelSum,
    Mark,
    RefusedPage,
    ShipMark,
    VirtualKey,
)
from signalbox.core.records import Opened, Record, Refused, Settled
from signalbox.store import budget_rows, hours, label_days, pages
from signalbox.store.rows import (
    ATTEMPT_COLUMNS,
    INSERT_KEY,
    INSERT_OPENED,
    INSERT_REFUSED,
    INSERT_SETTLED,
    KEY_COLUMNS,
    REFUSED_COLUMNS,
    attempt_row,
    attempt_values,
    counts_json,
    key_row,
    key_values,
    lone_end_values,
    names_json,
    refused_row,
    where_clause,
)
from signalbox.store.statements import Found, Statements
from signalbox.store.tally import MICRO


class SqlStore(ABC):
    """See core.ports.Store. A subclass brings connections, transactions and its dialect.

    has_label: condition that a JSON list of labels holds a name. day: the UTC date of `time_ms`. tag: the first of
    a JSON list of tags, or nothing.
    """

    has_label: ClassVar[str]
    day: ClassVar[str]
    tag: ClassVar[str]

    @abstractmethod
    def _guard(self) -> contextlib.AbstractContextManager[None]:
        """The database's own errors as StoreError."""

    @abstractmethod
    def _connection(self) -> Statements:
        """This thread's own. Raises StoreError when the store is closed."""

    @abstractmethod
    def _transaction(self) -> contextlib.AbstractContextManager[Statements]:
        """All of it or nothing."""

    @abstractmethod
    def _rows(self, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """Rows in batches, memory bounded; may be abandoned."""

    @abstractmethod
    def _lock(self, connection: Statements, name: str) -> None:
        """Until the transaction ends, nobody else holds this name."""

    # --- ledger rows

    def shipped(self, chain: str) -> ShipMark | None:
        with self._guard():
            return _mark(self._connection(), chain)

    def shipped_all(self) -> list[ShipMark]:
        with self._guard():
            rows = self._connection().execute(
                "SELECT chain, segment, byte_offset, seq, hash FROM shipped ORDER BY chain"
            )
            return [ShipMark(*row) for row in rows.fetchall()]

    def ship(self, before: ShipMark | None, after: ShipMark, records: Sequence[Record]) -> bool:
        rows = _Rows(after, records)
        with self._transaction() as connection:
            self._lock(connection, f"ship {after.chain}")
            if _mark(connection, after.chain) != before:
                return False
            ending = hours.not_ended(connection, [*rows.whole, *(str(row[0]) for row in rows.ends)])
            connection.executemany(INSERT_OPENED, rows.opened)
            connection.executemany(INSERT_SETTLED, [*rows.whole.values(), *rows.ends])
            whole = [rows.whole[attempt_id] for attempt_id in ending if attempt_id in rows.whole]
            ends = [attempt_id for attempt_id in ending if attempt_id not in rows.whole]
            hours.add_rows(connection, whole)
            hours.add(connection, ends)
            label_days.add_rows(connection, whole)
            label_days.add(connection, ends)
            connection.executemany(INSERT_REFUSED, rows.refused)
            connection.execute(
                "INSERT INTO shipped (chain, segment, byte_offset, seq, hash) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (chain) DO UPDATE SET segment = excluded.segment,"
                " byte_offset = excluded.byte_offset, seq = excluded.seq, hash = excluded.hash",
                (after.chain, after.segment, after.offset, after.seq, after.hash),
            )
        return True

    def attempts(self, where: AttemptFilter) -> Iterator[AttemptRow]:
        clause, values = where_clause(where, self.has_label)
        columns = ", ".join(ATTEMPT_COLUMNS)
        sql = f"SELECT {columns} FROM attempts {clause} ORDER BY time_ms, attempt_id"  # noqa: S608
        for row in self._rows(sql, values):
            yield attempt_row(row)

    def sum_attempts(self, where: AttemptFilter, dimension: str | None) -> list[AttemptSum]:
        if dimension is not None and dimension not in DIMENSIONS:
            raise ValueError(f"attempts cannot be summed by {dimension!r}; known: {', '.join(DIMENSIONS)}")
        group = "''" if dimension is None else self._expression(dimension)
        clause, values = where_clause(where, self.has_label)
        table = hours.table_for(where, dimension)
        sums = list(hours.SUMS.values()) if table is None else [f"SUM({name})" for name in hours.SUMS]
        source = f"{table or 'attempts'} {clause}"
        sql = f"SELECT {group} AS named, {', '.join(sums)} FROM {source} GROUP BY named ORDER BY named"  # noqa: S608
        with self._guard():
            rows = self._connection().execute(sql, values).fetchall()
        return [_sum(row[0], [int(value) for value in row[1:]]) for row in rows]

    def _expression(self, dimension: str) -> str:
        """What a dimension is in SQL, where it is not the column of its own name."""
        named = {"config_version": "config", "user": "end_user", "day": self.day, "tag": self.tag, HOUR: hours.HOUR_SQL}
        return named.get(dimension, dimension)

    def sum_grid(self, where: AttemptFilter, dimensions: Sequence[str]) -> list[GridSum]:
        unknown = [name for name in dimensions if name not in DIMENSIONS and name != HOUR]
        if unknown or not dimensions:
            raise ValueError(f"attempts cannot be summed by {unknown}; known: {', '.join((*DIMENSIONS, HOUR))}")
        clause, values = where_clause(where, self.has_label)
        table = hours.table_for_all(where, dimensions)
        sums = list(hours.SUMS.values()) if table is None else [f"SUM({name})" for name in hours.SUMS]
        groups = ", ".join(f"{self._expression(name)} AS g{place}" for place, name in enumerate(dimensions))
        names = ", ".join(f"g{place}" for place in range(len(dimensions)))
        source = f"{table or 'attempts'} {clause}"
        sql = f"SELECT {groups}, {', '.join(sums)} FROM {source} GROUP BY {names} ORDER BY {names}"  # noqa: S608
        with self._guard():
            rows = self._connection().execute(sql, values).fetchall()
        width = len(dimensions)
        return [GridSum(tuple(map(str, row[:width])), _sum("", [int(value) for value in row[width:]])) for row in rows]

    def sum_labels(self, where: AttemptFilter) -> list[LabelSum]:
        with self._guard():
            return label_days.sums(self._connection(), where)

    def attempts_page(self, where: AttemptFilter, before: Mark | None, limit: int) -> AttemptPage:
        with self._guard():
            return pages.attempts(self._connection(), where, self.has_label, before, limit)

    def attempts_of(self, call_id: str) -> list[AttemptRow]:
        with self._guard():
            return pages.attempts_of(self._connection(), call_id)

    def refused_page(self, where: AttemptFilter, before: Mark | None, limit: int) -> RefusedPage:
        with self._guard():
            return pages.refused(self._connection(), where, self.has_label, before, limit)

    def refused(self, where: AttemptFilter) -> Iterator[Refused]:
        clause, values = where_clause(where, self.has_label, refused=True)
        columns = ", ".join(REFUSED_COLUMNS)
        sql = f"SELECT {columns} FROM refused {clause} ORDER BY time_ms, call_id"  # noqa: S608
        for row in self._rows(sql, values):
            yield refused_row(row)

    # --- virtual keys

    def insert_key(self, key: VirtualKey) -> None:
        with self._transaction() as connection:
            self._lock(connection, "keys")
            if connection.execute("SELECT 1 FROM virtual_keys WHERE id = ?", (key.id,)).fetchone():
                raise ValueError(f"a key with id {key.id!r} exists")
            connection.execute(INSERT_KEY, key_values(key))
            _bump_keys(connection)

    def list_keys(self) -> list[VirtualKey]:
        sql = f"SELECT {', '.join(KEY_COLUMNS)} FROM virtual_keys ORDER BY created_ms, id"  # noqa: S608
        with self._guard():
            return [key_row(row) for row in self._connection().execute(sql).fetchall()]

    def revoke_key(self, key_id: str, time_ms: int) -> bool:
        with self._transaction() as connection:
            found = connection.execute(
                "UPDATE virtual_keys SET revoked_ms = COALESCE(revoked_ms, ?) WHERE id = ?", (time_ms, key_id)
            )
            if found.rowcount:
                _bump_keys(connection)
            return found.rowcount > 0

    def expire_key(self, key_id: str, time_ms: int) -> bool:
        with self._transaction() as connection:
            found = connection.execute(
                "UPDATE virtual_keys SET expires_ms = CASE WHEN expires_ms < ? THEN expires_ms ELSE ? END"
                " WHERE id = ? AND revoked_ms IS NULL",
                (time_ms, time_ms, key_id),
            )
            if found.rowcount:
                _bump_keys(connection)
            return found.rowcount > 0

    def keys_version(self) -> int:
        with self._guard():
            return int(_one(self._connection().execute("SELECT version FROM keys_version")))

    # --- facts

    def fact(self, name: str) -> bytes | None:
        with self._guard():
            row = self._connection().execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            return None if row is None else bytes(row[0])

    def settle_fact(self, name: str, value: bytes) -> bytes:
        with self._transaction() as connection:
            connection.execute("INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, value))
            return bytes(_one(connection.execute("SELECT value FROM facts WHERE name = ?", (name,))))

    def replace_fact(self, name: str, value: bytes) -> None:
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

    # --- budgets

    def lend(self, holder: str, asks: Sequence[LeaseAsk], processes: int) -> list[Lent]:
        with self._transaction() as connection:
            # In one order for everybody, so that two who need the same accounts never wait for each other.
            for account in sorted({ask.account for ask in asks}):
                self._lock(connection, f"budget {account}")
            return [budget_rows.lend(connection, holder, ask, processes) for ask in asks]

    def leases(self, accounts: Sequence[str] = ()) -> list[Lease]:
        with self._guard():
            return budget_rows.leases(self._connection(), accounts)

    def end_leases(self, used: Sequence[tuple[Lease, int]]) -> None:
        with self._transaction() as connection:
            for lease, spent in used:
                budget_rows.end(connection, lease, max(spent, lease.spent))

    def balances(self, now_ms: int) -> list[Balance]:
        with self._guard():
            return budget_rows.balances(self._connection(), now_ms)

    def forget_balances(self, before_ms: int) -> None:
        with self._transaction() as connection:
            budget_rows.forget(connection, before_ms)


class _Rows:
    """The rows of one shipped batch. whole: attempts that begin and end in it, by their id, written once. ends: those
    of attempts that began before it. opened: those that go on behind it."""

    def __init__(self, after: ShipMark, records: Sequence[Record]) -> None:
        self.whole: dict[str, tuple[object, ...]] = {}
        self.ends: list[tuple[object, ...]] = []
        self.refused: list[tuple[object, ...]] = []
        began: dict[str, Opened] = {}
        for place, record in enumerate(records):
            if isinstance(record, Opened):
                began.setdefault(record.attempt_id, record)
            elif isinstance(record, Settled):
                opened = began.pop(record.attempt_id, None)
                if opened is None:
                    self.ends.append(lone_end_values(record))
                else:
                    self.whole.setdefault(record.attempt_id, attempt_values(opened, record))
            elif isinstance(record, Refused):
                named = [getattr(record, name) for name in REFUSED_COLUMNS]
                named[REFUSED_COLUMNS.index("labels")] = names_json(record.labels)
                named[REFUSED_COLUMNS.index("found")] = counts_json(record.found)
                self.refused.append((after.chain, after.seq, place, *named))
        self.opened = [attempt_values(opened, None) for opened in began.values()]


def _sum(group: str, sums: list[int]) -> AttemptSum:
    return AttemptSum(group, *sums[:5], cost_pico=sums[5] * MICRO + sums[6], unpriced=sums[7])


def _one(found: Found) -> Any:
    """The first value of the one row that there must be."""
    row = found.fetchone()
    if row is None:
        raise StoreError("the database lacks a row that its schema holds")
    return row[0]


def _mark(connection: Statements, chain: str) -> ShipMark | None:
    row = connection.execute(
        "SELECT chain, segment, byte_offset, seq, hash FROM shipped WHERE chain = ?", (chain,)
    ).fetchone()
    return None if row is None else ShipMark(*row)


def _bump_keys(connection: Statements) -> None:
    connection.execute("UPDATE keys_version SET version = version + 1")
