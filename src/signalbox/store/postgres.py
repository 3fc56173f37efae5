"""The store for many processes on many machines: a PostgreSQL database, over psycopg 3."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, LiteralString, cast

from signalbox.core.days import DAY_MS
from signalbox.core.errors import StoreError
from signalbox.store.migrations import BY_DAY, NUMBERED, pending
from signalbox.store.sql import SqlStore
from signalbox.store.statements import Found, Statements

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 5
# A database that hangs must become an error: the shipper and leases try again, calls go on without it.
STATEMENT_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_MS = 10_000
DROP_LOCK_TIMEOUT_MS = 1_000
_FETCH_ROWS = 512
_MIGRATING = "migrate"
# How the steps of migrations.py, written for SQLite, read in PostgreSQL. Text sorts and compares by code point.
_WORDS = (
    (r"\bINTEGER\b", "BIGINT"),
    (r"\bBLOB\b", "BYTEA"),
    (r"\bTEXT\b", 'TEXT COLLATE "C"'),
    (r"\)\s*STRICT\b(\s*,\s*WITHOUT ROWID)?|\)\s*WITHOUT ROWID\b(\s*,\s*STRICT)?", ")"),
    (rf"{BY_DAY}\b", " PARTITION BY RANGE (time_ms)"),
    (rf"{NUMBERED}\b", " GENERATED ALWAYS AS IDENTITY"),
)
_DAYS = "attempt_days"


class PostgresStore(SqlStore):
    """See core.ports.Store. One connection a thread, opened anew when it was lost; `close` ends them all."""

    has_label = "EXISTS (SELECT 1 FROM json_array_elements_text(labels::json) AS label (name) WHERE label.name = ?)"
    day = "to_char(to_timestamp(time_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    tag = "COALESCE(tags::json ->> 0, '')"

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError:
            raise StoreError(
                "a PostgreSQL store needs the driver psycopg 3: pip install 'signalbox[postgres]'"
            ) from None
        self._driver = psycopg
        self._url = url
        super().__init__()
        self._local = threading.local()
        self._connections: set[psycopg.Connection[tuple[Any, ...]]] = set()
        self._turn = threading.Lock()
        self._closed = False
        # Days that have a partition that all connections see, as far as this process knows.
        self._roomy: set[int] = set()
        with self._transaction() as connection:
            self._migrate(connection)

    @classmethod
    def open_url(cls, url: str) -> PostgresStore:
        """`postgresql://user:password@host:port/database?…`, as libpq takes it."""
        return cls(url)

    def close(self) -> None:
        """Call it when no other thread uses the store any more."""
        with self._turn:
            self._closed = True
            connections, self._connections = self._connections, set()
        for connection in connections:
            connection.close()

    # --- connections

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._closed:
            raise StoreError("the PostgreSQL store is closed")
        connection = self._driver.connect(self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
        try:
            # A notice is not for the log: it could hold what a row holds.
            for setting in (f"statement_timeout = {STATEMENT_TIMEOUT_MS:d}", f"lock_timeout = {LOCK_TIMEOUT_MS:d}",
                            "client_min_messages = error"):  # fmt: skip
                connection.execute(_spelled(f"SET {setting}"))
        except BaseException:
            connection.close()
            raise
        with self._turn:
            self._connections.add(connection)
        return connection

    def _forget(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        with self._turn:
            self._connections.discard(connection)
        connection.close()

    def _own(self) -> psycopg.Connection[tuple[Any, ...]]:
        known: psycopg.Connection[tuple[Any, ...]] | None = getattr(self._local, "connection", None)
        if known is not None:
            if not known.closed and not self._closed:
                return known
            self._forget(known)
        self._local.connection = None
        connection = self._local.connection = self._open()
        return connection

    def _connection(self) -> Statements:
        return _Connection(self._own())

    def _few_of_many(self, sql: str, parameters: list[object]) -> list[tuple[Any, ...]]:
        """In one process: a parallel plan sums up each group in every worker again, and waits for cores others use."""
        with self._transaction() as connection:
            connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            return connection.execute(sql, parameters).fetchall()

    def _rows(self, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """On a connection of its own: a cursor of the server lives in a transaction, and others may begin meanwhile."""
        with self._guard():
            connection = self._open()
            try:
                with connection.transaction(), connection.cursor(name="rows") as cursor:
                    cursor.itersize = _FETCH_ROWS
                    cursor.execute(_spelled(sql), _clean(values))
                    yield from cursor
            finally:
                self._forget(connection)

    def _lock(self, connection: Statements, name: str) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (f"signalbox {name}",))

    @contextlib.contextmanager
    def _guard(self) -> Generator[None]:
        """Errors as StoreError, without the connection's parameters. UnicodeEncodeError: text that is not Unicode."""
        try:
            yield
        except (self._driver.Error, OverflowError, UnicodeEncodeError) as error:
            raise StoreError(f"the PostgreSQL store: {str(error).strip()[:500]}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Generator[Statements]:
        with self._guard():
            connection = self._own()
            made: set[int] = set()
            self._local.made = made
            try:
                with connection.transaction():
                    yield _Connection(connection)
            except BaseException:
                # One that was known may have been dropped by another process.
                self._roomy.clear()
                raise
            # Not before: until then other connections have no such partition.
            self._roomy |= made

    # --- attempts by day

    def _room(self, connection: Statements, days: set[int]) -> None:
        """Makes the partitions that are missing. Attaching one, other than creating it in its place, waits for nobody
        who reads or writes the others."""
        made: set[int] = self._local.made
        for day in sorted(days - self._roomy - made):
            name = _partition(day)
            self._lock(connection, f"partition {name}")
            found = connection.execute("SELECT relispartition FROM pg_class WHERE oid = to_regclass(?)", (name,))
            row = found.fetchone()
            if row is None:
                connection.execute(f"CREATE TABLE {name} (LIKE {_DAYS} INCLUDING ALL)")
            if row is None or not row[0]:
                bounds = f"FROM ({day * DAY_MS:d}) TO ({(day + 1) * DAY_MS:d})"
                connection.execute(f"ALTER TABLE {_DAYS} ATTACH PARTITION {name} FOR VALUES {bounds}")
            made.add(day)

    def _scrub(self) -> None:
        self._connection().execute("VACUUM content_keys")

    def _drop_days(self, before_ms: int) -> bool:
        with self._transaction() as connection:
            names = connection.execute(
                "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
                " WHERE inhparent = to_regclass(?) ORDER BY child.relname",
                (_DAYS,),
            ).fetchall()
            old = [name for (name,) in names if _day_of(name) < before_ms // DAY_MS]
            if old:
                # It has to wait for those who read, and everybody behind it: not for long, there is another pass.
                connection.execute(f"SET LOCAL lock_timeout = {DROP_LOCK_TIMEOUT_MS:d}")
                connection.execute(f"DROP TABLE {old[0]}")
                self._roomy.clear()
        return len(old) > 1

    def _migrate(self, connection: Statements) -> None:
        """Brings the database to this version, one process after another; what runs on an older version goes on.
        Raises StoreError for a database that a newer version wrote."""
        self._lock(connection, _MIGRATING)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (number BIGINT PRIMARY KEY, name TEXT NOT NULL, time_ms BIGINT NOT NULL)"
        )
        row = connection.execute("SELECT COALESCE(MAX(number), 0) FROM migrations").fetchone()
        for number, name, statements in pending(int(row[0]) if row else 0):
            for statement in statements:
                connection.execute(_translated(statement))
            applied = (number, name, time.time_ns() // 1_000_000)
            connection.execute("INSERT INTO migrations (number, name, time_ms) VALUES (?, ?, ?)", applied)


def _partition(day: int) -> str:
    """The table of a day, counted from 1970. Days before that have a name of their own too."""
    return f"{_DAYS}_{day:06d}" if day >= 0 else f"{_DAYS}_m{-day:06d}"


def _day_of(name: str) -> int:
    digits = name.removeprefix(f"{_DAYS}_")
    return -int(digits[1:]) if digits.startswith("m") else int(digits)


class _Connection:
    """A connection that takes `?` for parameters, and values as SQLite would."""

    __slots__ = ("_connection",)

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[object] = (), /) -> Found:
        return self._connection.execute(_spelled(sql), _clean(values))

    def executemany(self, sql: str, rows: Sequence[Sequence[object]], /) -> object:
        if rows:
            with self._connection.cursor() as cursor:
                cursor.executemany(_spelled(sql), [_clean(row) for row in rows])
        return None


@lru_cache(maxsize=512)
def _spelled(sql: str) -> LiteralString:
    """With the driver's own mark for parameters. All statements are ours: no value is ever part of one."""
    return cast("LiteralString", sql.replace("%", "%%").replace("?", "%s"))


def _clean(values: Sequence[object]) -> list[object]:
    """Text without NUL, which PostgreSQL cannot hold, and booleans as the integers that columns hold."""
    return [
        value.replace("\0", "\ufffd") if value.__class__ is str and "\0" in cast(str, value)
        else int(value) if value.__class__ is bool
        else value
        for value in cast("Sequence[Any]", values)
    ]  # fmt: skip


def _translated(statement: str) -> str:
    for pattern, word in _WORDS:
        statement = re.sub(pattern, word, statement)
    return statement
