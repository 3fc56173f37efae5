"""The store in SQL that every database understands; what differs between them is asked of the subclass."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from signalbox.core.attempts import (
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
    TopSums,
)
from signalbox.core.budgets import Balance, Lease, LeaseAsk, Lent
from signalbox.core.content import Content
from signalbox.core.days import DAY_MS
from signalbox.core.ports import Retention, SealedEntry, ShipMark, VirtualKey
from signalbox.core.records import Record, Refused
from signalbox.store import (
    budget_rows,
    contents,
    ended,
    facts,
    key_rows,
    label_days,
    map_rows,
    names,
    pages,
    ranked,
    rollups,
    summing,
)
from signalbox.store.names import SESSION, Naming, Numbers
from signalbox.store.rows import (
    ATTEMPT_COLUMNS,
    REFUSED_COLUMNS,
    attempt_row,
    refused_row,
    where_clause,
)
from signalbox.store.statements import Statements
from signalbox.store.tally import MICRO
from signalbox.store.totals import Totals

# Room is made for so many days beyond today.
DAYS_AHEAD = 2
MOVED_AT_ONCE = 1000
CONTENT_AT_ONCE = 100


class SqlStore(ABC):
    """See core.ports.Store. A subclass brings connections, transactions and its dialect.

    has_label: condition that a JSON list of labels holds a name. day: the UTC date of `time_ms`. tag: the first of
    a JSON list of tags, or nothing.
    """

    has_label: ClassVar[str]
    day: ClassVar[str]
    tag: ClassVar[str]

    def __init__(self) -> None:
        self._numbers = Numbers()
        self._totals = Totals(self.has_label, self.day, self.tag)

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

    @abstractmethod
    def _room(self, connection: Statements, days: set[int]) -> None:
        """Makes room for attempts that began on these days, counted from 1970."""

    @abstractmethod
    def _scrub(self) -> None:
        """Overwrites, as far as the database can, what was replaced in the table of keys of content."""

    @abstractmethod
    def _drop_days(self, before_ms: int) -> bool:
        """Drops attempts that began before, a bounded part of them; True when there are more."""

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
        batch = ended.Batch(after, records)
        naming = Naming(self._numbers)
        with self._transaction() as connection:
            self._lock(connection, f"ship {after.chain}")
            if _mark(connection, after.chain) != before:
                return False
            batch.store(connection, self._room, naming)
            connection.execute(
                "INSERT INTO shipped (chain, segment, byte_offset, seq, hash) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (chain) DO UPDATE SET segment = excluded.segment,"
                " byte_offset = excluded.byte_offset, seq = excluded.seq, hash = excluded.hash",
                (after.chain, after.segment, after.offset, after.seq, after.hash),
            )
        naming.keep()
        return True

    def attempts(self, where: AttemptFilter) -> Iterator[AttemptRow]:
        clause, values = where_clause(where, self.has_label)
        columns = ", ".join(ATTEMPT_COLUMNS)
        each = (f"SELECT {columns} FROM {table} {clause}" for table in ("attempt_days", "attempts"))  # noqa: S608
        for row in self._rows(f"{' UNION ALL '.join(each)} ORDER BY time_ms, attempt_id", [*values, *values]):
            yield attempt_row(row)

    def sum_attempts(self, where: AttemptFilter, dimension: str | None) -> list[AttemptSum]:
        if dimension is not None and dimension not in DIMENSIONS:
            raise ValueError(f"attempts cannot be summed by {dimension!r}; known: {', '.join(DIMENSIONS)}")
        rows = self._sums(where, () if dimension is None else (dimension,))
        return [_sum(str(row[0]) if dimension is not None else "", row[-len(rollups.SUMS) :]) for row in rows]

    def sum_top(self, where: AttemptFilter, dimension: str, limit: int) -> TopSums:
        if dimension not in DIMENSIONS:
            raise ValueError(f"attempts cannot be summed by {dimension!r}; known: {', '.join(DIMENSIONS)}")
        if dimension == SESSION.column:
            sql, parameters = self._totals.top_sessions(where, limit)
        else:
            groups, parameters = self._totals.statement(where, (dimension,))
            sql = ranked.of_groups(groups, limit) if groups else ""
        if not sql:
            return TopSums([], _NOTHING)
        rows = self._few_of_many(sql, parameters)
        told = [_sum(str(row[1]), row[2:]) for row in rows if row[0] == ranked.OF_ONE]
        of_all = [_sum("", row[2:]) for row in rows if row[0] == ranked.OF_ALL and row[2]]
        return TopSums(sorted(told, key=ranked.order)[:limit], *of_all or [_NOTHING])

    def _few_of_many(self, sql: str, parameters: list[object]) -> list[tuple[Any, ...]]:
        with self._guard():
            return self._connection().execute(sql, parameters).fetchall()

    def sum_grid(self, where: AttemptFilter, dimensions: Sequence[str]) -> list[GridSum]:
        unknown = [name for name in dimensions if name not in DIMENSIONS and name != HOUR]
        if unknown or not dimensions:
            raise ValueError(f"attempts cannot be summed by {unknown}; known: {', '.join((*DIMENSIONS, HOUR))}")
        width = len(dimensions)
        rows = self._sums(where, dimensions)
        return [GridSum(tuple(map(str, row[:width])), _sum("", row[width:])) for row in rows]

    def _sums(self, where: AttemptFilter, dimensions: Sequence[str]) -> list[tuple[Any, ...]]:
        """Rows of groups and SUMS, in the order of the groups. All in one statement: an attempt that ends or is moved
        meanwhile is counted once."""
        sql, parameters = self._totals.statement(where, dimensions)
        if not sql:
            return []
        with self._guard():
            groups = ", ".join(f"g{place}" for place in range(max(1, len(dimensions))))
            return self._connection().execute(f"{sql} ORDER BY {groups}", parameters).fetchall()

    def sum_labels(self, where: AttemptFilter) -> list[LabelSum]:
        with self._guard():
            return label_days.sums(self._connection(), where, self.has_label)

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

    def tidy(self, now_ms: int, retention: Retention) -> bool:
        with self._transaction() as connection:
            today = now_ms // DAY_MS
            self._room(connection, set(range(today, today + DAYS_AHEAD + 1)))
            more = ended.move(connection, MOVED_AT_ONCE, self._room)
        with self._transaction() as connection:
            self._lock(connection, "settle sums")
            more |= summing.settle(connection, now_ms)
        if retention.attempts_days is not None:
            # Whole days, so that both stores drop the same.
            before_ms = (today - retention.attempts_days) * DAY_MS
            more |= self._drop_days(before_ms)
            with self._transaction() as connection:
                ended.forget_open(connection, before_ms, MOVED_AT_ONCE)
                more |= pages.forget_refused(connection, before_ms, MOVED_AT_ONCE)
        if retention.content_days is not None:
            with self._transaction() as connection:
                more |= contents.forget(connection, (today - retention.content_days) * DAY_MS, CONTENT_AT_ONCE)
        if retention.sums_days is not None:
            with self._transaction() as connection:
                before_ms = (today - retention.sums_days) * DAY_MS
                more |= rollups.forget(connection, before_ms)
                more |= summing.forget(connection, before_ms)
                more |= names.forget(connection, before_ms)
                label_days.forget(connection, before_ms)
        return more

    # --- captured content

    def subject_key(self, subject: str, fresh: bytes, time_ms: int) -> bytes | None:
        with self._transaction() as connection:
            self._lock(connection, f"content {subject}")
            return contents.subject_key(connection, subject, fresh, time_ms)

    def add_content(self, content: Content) -> None:
        with self._transaction() as connection:
            contents.add(connection, content)

    def content_of(self, call_id: str) -> tuple[Content, list[bytes | None]] | None:
        with self._guard():
            found = contents.of_call(self._connection(), call_id)
            return None if found is None else (found, contents.known_keys(self._connection(), found.subjects))

    def erase_subject(self, subject: str, time_ms: int) -> bool:
        with self._transaction() as connection:
            self._lock(connection, f"content {subject}")
            erased = contents.erase(connection, subject, time_ms)
        with self._guard():
            self._scrub()
        return erased

    # --- virtual keys

    def insert_key(self, key: VirtualKey, version: int | None = None) -> bool:
        with self._transaction() as connection:
            self._lock(connection, "keys")
            if version is not None and key_rows.version(connection) != version:
                return False
            key_rows.insert(connection, key)
            return True

    def list_keys(self) -> list[VirtualKey]:
        with self._guard():
            return key_rows.every(self._connection())

    def revoke_key(self, key_id: str, time_ms: int) -> bool:
        with self._transaction() as connection:
            return key_rows.revoke(connection, key_id, time_ms)

    def expire_key(self, key_id: str, time_ms: int) -> bool:
        with self._transaction() as connection:
            return key_rows.expire(connection, key_id, time_ms)

    def keys_version(self) -> int:
        with self._guard():
            return key_rows.version(self._connection())

    # --- facts

    def fact(self, name: str) -> bytes | None:
        with self._guard():
            return facts.find(self._connection(), name)

    def settle_fact(self, name: str, value: bytes) -> bytes:
        with self._transaction() as connection:
            return facts.settle(connection, name, value)

    def replace_fact(self, name: str, value: bytes) -> None:
        with self._transaction() as connection:
            facts.replace(connection, name, value)

    # --- what conversations keep

    def sealed_entries(self, scope: bytes, now_ms: int, expires_ms: int) -> list[bytes]:
        with self._transaction() as connection:
            found = map_rows.entries(connection, scope, now_ms)
            if found:
                map_rows.extend(connection, scope, expires_ms)
            return found

    def seal_entries(
        self, scope: bytes, new: Sequence[SealedEntry], now_ms: int, expires_ms: int, entries_max: int
    ) -> list[bytes]:
        with self._transaction() as connection:
            self._lock(connection, f"sealed {scope.hex()}")
            return map_rows.add(connection, scope, new, now_ms, expires_ms, entries_max)

    def forget_sealed(self, before_ms: int) -> None:
        with self._transaction() as connection:
            map_rows.forget(connection, before_ms)

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


_NOTHING = AttemptSum("", 0, 0, 0, 0, 0, 0, 0)


def _sum(group: str, sums: Sequence[Any]) -> AttemptSum:
    each = [int(value) for value in sums]
    return AttemptSum(group, *each[:5], cost_pico=each[5] * MICRO + each[6], unpriced=each[7])


def _mark(connection: Statements, chain: str) -> ShipMark | None:
    row = connection.execute(
        "SELECT chain, segment, byte_offset, seq, hash FROM shipped WHERE chain = ?", (chain,)
    ).fetchone()
    return None if row is None else ShipMark(*row)
