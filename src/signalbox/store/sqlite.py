"""The embedded store: one SQLite file in WAL mode, shared by all processes of one machine."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from signalbox.core.errors import StoreError
from signalbox.core.ports import (
    DIMENSIONS,
    AttemptFilter,
    AttemptRow,
    AttemptSum,
    ShipMark,
    VirtualKey,
)
from signalbox.core.records import Opened, Record, Refused, Settled
from signalbox.store.sqlite_migrations import migrate
from signalbox.store.sqlite_rows import (
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

BUSY_TIMEOUT_S = 5.0
_FETCH_ROWS = 512
_SCHEME = "sqlite:"
# What a dimension is in SQL, where it is not the column of its own name.
_EXPRESSIONS = {"config_version": "config", "day": "strftime('%Y-%m-%d', time_ms / 1000, 'unixepoch')"}
# A sum of pico-dollars passes 2**63 at nine million dollars: millionths and the rest are summed apart.
_MICRO = 10**6


class SqliteStore:
    """See core.ports.Store. One connection a thread; connections of all threads end with `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        with self._guard():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(path)
            migrate(self._connection())

    @classmethod
    def open_url(cls, url: str) -> SqliteStore:
        """`sqlite:<path>`."""
        path = url.removeprefix(_SCHEME)
        if not path or path == ":memory:":
            raise ValueError("a sqlite store needs a file: sqlite:<path>")
        return cls(Path(path))

    # --- ledger rows

    def shipped(self, chain: str) -> ShipMark | None:
        with self._guard():
            return _mark(self._connection(), chain)

    def shipped_all(self) -> list[ShipMark]:
        with self._guard():
            rows = self._connection().execute(
                "SELECT chain, segment, byte_offset, seq, hash FROM shipped ORDER BY chain"
            )
            return [ShipMark(*row) for row in rows]

    def ship(self, before: ShipMark | None, after: ShipMark, records: Sequence[Record]) -> bool:
        rows = _Rows(after, records)
        with self._transaction() as connection:
            if _mark(connection, after.chain) != before:
                return False
            connection.executemany(INSERT_OPENED, rows.opened)
            connection.executemany(INSERT_SETTLED, rows.settled)
            connection.executemany(INSERT_REFUSED, rows.refused)
            connection.execute(
                "INSERT INTO shipped (chain, segment, byte_offset, seq, hash) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (chain) DO UPDATE SET segment = excluded.segment,"
                " byte_offset = excluded.byte_offset, seq = excluded.seq, hash = excluded.hash",
                (after.chain, after.segment, after.offset, after.seq, after.hash),
            )
        return True

    def attempts(self, where: AttemptFilter) -> Iterator[AttemptRow]:
        clause, values = where_clause(where)
        columns = ", ".join(ATTEMPT_COLUMNS)
        sql = f"SELECT {columns} FROM attempts {clause} ORDER BY time_ms, attempt_id"  # noqa: S608
        for row in self._rows(sql, values):
            yield attempt_row(row)

    def sum_attempts(self, where: AttemptFilter, dimension: str | None) -> list[AttemptSum]:
        if dimension is not None and dimension not in DIMENSIONS:
            raise ValueError(f"attempts cannot be summed by {dimension!r}; known: {', '.join(DIMENSIONS)}")
        group = "''" if dimension is None else _EXPRESSIONS.get(dimension, dimension)
        clause, values = where_clause(where)
        sql = (
            f"SELECT {group} AS named, COUNT(*),"  # noqa: S608
            " SUM(tokens_in + audio_in), SUM(cache_read), SUM(cache_write_5m + cache_write_1h),"
            " SUM(tokens_out + reasoning + audio_out),"
            f" COALESCE(SUM(cost_pico / {_MICRO}), 0), COALESCE(SUM(cost_pico % {_MICRO}), 0),"
            " COUNT(*) - COUNT(cost_pico)"
            f" FROM attempts {clause} GROUP BY named ORDER BY named"
        )
        with self._guard():
            rows = self._connection().execute(sql, values).fetchall()
        return [AttemptSum(*row[:6], cost_pico=row[6] * _MICRO + row[7], unpriced=row[8]) for row in rows]

    def refused(self, where: AttemptFilter) -> Iterator[Refused]:
        clause, values = where_clause(where, refused=True)
        columns = ", ".join(REFUSED_COLUMNS)
        sql = f"SELECT {columns} FROM refused {clause} ORDER BY time_ms, call_id"  # noqa: S608
        for row in self._rows(sql, values):
            yield refused_row(row)

    # --- virtual keys

    def insert_key(self, key: VirtualKey) -> None:
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM virtual_keys WHERE id = ?", (key.id,)).fetchone():
                raise ValueError(f"a key with id {key.id!r} exists")
            connection.execute(INSERT_KEY, key_values(key))
            _bump_keys(connection)

    def list_keys(self) -> list[VirtualKey]:
        sql = f"SELECT {', '.join(KEY_COLUMNS)} FROM virtual_keys ORDER BY created_ms, id"  # noqa: S608
        with self._guard():
            return [key_row(row) for row in self._connection().execute(sql)]

    def revoke_key(self, key_id: str, time_ms: int) -> bool:
        with self._transaction() as connection:
            found = connection.execute(
                "UPDATE virtual_keys SET revoked_ms = COALESCE(revoked_ms, ?) WHERE id = ?", (time_ms, key_id)
            )
            if found.rowcount:
                _bump_keys(connection)
            return found.rowcount > 0

    def keys_version(self) -> int:
        with self._guard():
            return int(self._connection().execute("SELECT version FROM keys_version").fetchone()[0])

    # --- facts

    def fact(self, name: str) -> bytes | None:
        with self._guard():
            row = self._connection().execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            return None if row is None else bytes(row[0])

    def settle_fact(self, name: str, value: bytes) -> bytes:
        with self._transaction() as connection:
            connection.execute("INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, value))
            return bytes(connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0])

    def replace_fact(self, name: str, value: bytes) -> None:
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

    def close(self) -> None:
        """Call it when no other thread uses the store any more."""
        with self._lock:
            self._closed = True
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    # --- connections

    def _connection(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"store {self._path} is closed")
        known: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if known is not None:
            return known
        # Any thread may close it at the end; only this one uses it.
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            _switch_to_wal(connection)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._connections.append(connection)
        self._local.connection = connection
        return connection

    def _rows(self, sql: str, values: list[object]) -> Iterator[tuple[Any, ...]]:
        with self._guard():
            cursor = self._connection().execute(sql, values)
            try:
                while rows := cursor.fetchmany(_FETCH_ROWS):
                    yield from rows
            finally:
                cursor.close()

    @contextlib.contextmanager
    def _guard(self) -> Generator[None]:
        """Database and file errors as StoreError. OverflowError: an integer beyond what SQLite holds."""
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            raise StoreError(f"store {self._path}: {error}") from error
        except OSError as error:
            raise StoreError(f"store {self._path}: {error.strerror}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._guard():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


class _Rows:
    """The rows of one shipped batch. An attempt that begins and ends in the same batch is written once."""

    def __init__(self, after: ShipMark, records: Sequence[Record]) -> None:
        self.settled: list[tuple[object, ...]] = []
        self.refused: list[tuple[object, ...]] = []
        began: dict[str, Opened] = {}
        for place, record in enumerate(records):
            if isinstance(record, Opened):
                began.setdefault(record.attempt_id, record)
            elif isinstance(record, Settled):
                opened = began.pop(record.attempt_id, None)
                self.settled.append(lone_end_values(record) if opened is None else attempt_values(opened, record))
            elif isinstance(record, Refused):
                named = [getattr(record, name) for name in REFUSED_COLUMNS]
                named[REFUSED_COLUMNS.index("labels")] = names_json(record.labels)
                named[REFUSED_COLUMNS.index("found")] = counts_json(record.found)
                self.refused.append((after.chain, after.seq, place, *named))
        self.opened = [attempt_values(opened, None) for opened in began.values()]


def _mark(connection: sqlite3.Connection, chain: str) -> ShipMark | None:
    row = connection.execute(
        "SELECT chain, segment, byte_offset, seq, hash FROM shipped WHERE chain = ?", (chain,)
    ).fetchone()
    return None if row is None else ShipMark(*row)


def _create(path: Path) -> None:
    """Makes the file readable by its owner only; SQLite gives its side files the same mode.

    Under another name first, and linked when it is closed: closing any descriptor of a database makes the kernel drop
    all locks that this process holds on it, SQLite's own included. The next process to close its connection would
    then believe to be the last one and remove the write-ahead log under ours.
    """
    if path.exists():
        return
    fd, fresh = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    os.close(fd)
    with contextlib.suppress(FileExistsError):
        os.link(fresh, path)
    os.unlink(fresh)


def _bump_keys(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE keys_version SET version = version + 1")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait by itself for this switch when another process makes it at the same moment."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
