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
from signalbox.store.migrations import BY_DAY, MIGRATIONS, NUMBERED, pending
from signalbox.store.sql import SqlStore
from signalbox.store.statements import Statements

BUSY_TIMEOUT_S = 5.0
DROPPED_AT_ONCE = 1000
VACUUM_PAGES = 256
_FETCH_ROWS = 512
_SCHEME = "sqlite:"


class SqliteStore(SqlStore):
    """See core.ports.Store. One connection a thread; connections of all threads end with `close`."""

    has_label = "EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.value = ?)"
    day = "strftime('%Y-%m-%d', time_ms / 1000, 'unixepoch')"
    tag = "COALESCE(tags ->> 0, '')"

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._turn = threading.Lock()
        self._closed = False
        with self._guard():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(path)
            _migrate(self._connection())

    @classmethod
    def open_url(cls, url: str) -> SqliteStore:
        """`sqlite:<path>`."""
        path = url.removeprefix(_SCHEME)
        if not path or path == ":memory:":
            raise ValueError("a sqlite store needs a file: sqlite:<path>")
        return cls(Path(path))

    def close(self) -> None:
        """Call it when no other thread uses the store any more."""
        with self._turn:
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
            # For a file that is still empty; on any other it does nothing.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _switch_to_wal(connection)
        except BaseException:
            connection.close()
            raise
        with self._turn:
            self._connections.append(connection)
        self._local.connection = connection
        return connection

    def _rows(self, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        with self._guard():
            cursor = self._connection().execute(sql, values)
            try:
                while rows := cursor.fetchmany(_FETCH_ROWS):
                    yield from rows
            finally:
                cursor.close()

    def _lock(self, connection: Statements, name: str) -> None:
        """Nothing to do: a transaction that writes is the only one."""

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

    # --- attempts by day

    def _room(self, connection: Statements, days: set[int]) -> None:
        """Nothing to do: one table has room for all days, in the order of time."""

    def _scrub(self) -> None:
        """Deleted bytes are zeroed where `secure_delete` is on; a checkpoint then takes them out of the write-ahead
        log, unless somebody reads at this moment, and then the next one does."""
        self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _drop_days(self, before_ms: int) -> bool:
        """The oldest attempts stand side by side at the beginning of their table: dropping some of them at a time
        costs little and holds the lock for milliseconds, where dropping a whole day at once would hold it for long."""
        with self._transaction() as connection:
            last = connection.execute(
                "SELECT time_ms, attempt_id FROM attempt_days WHERE time_ms < ? ORDER BY time_ms, attempt_id"
                " LIMIT 1 OFFSET ?",
                (before_ms, DROPPED_AT_ONCE),
            ).fetchone()
            time_ms, attempt_id = (before_ms, "") if last is None else last
            connection.execute(
                "DELETE FROM attempt_days WHERE time_ms <= ? AND (time_ms, attempt_id) < (?, ?)",
                (time_ms, time_ms, attempt_id),
            )
        with self._guard():
            # Gives back what stands empty, in files that were made for it; in others it is filled again.
            self._connection().execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES:d})").fetchall()
        return last is not None


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
    # What is erased is gone from the file, not only from its tables.
    connection.execute("PRAGMA secure_delete = FAST")


def _migrate(connection: sqlite3.Connection) -> None:
    """Brings the database to this version. `PRAGMA user_version` is the number of the last step; the table
    `migrations` says when each was applied. Raises StoreError for a database that a newer version wrote."""
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again: another process may have migrated while this one waited for the lock.
        steps = pending(_version(connection))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, time_ms INTEGER NOT NULL) STRICT"
        )
        for number, name, statements in steps:
            for statement in statements:
                connection.execute(statement.replace(BY_DAY, "").replace(NUMBERED, " AUTOINCREMENT"))
            row = (number, name, time.time_ns() // 1_000_000)
            connection.execute("INSERT INTO migrations (number, name, time_ms) VALUES (?, ?, ?)", row)
            connection.execute(f"PRAGMA user_version = {number:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
