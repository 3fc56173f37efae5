"""Kept answers on the disk: one SQLite file in the state directory, shared by the processes of one machine.

    entries        sealed under a key that only the whole question yields: who reads the file learns nothing
    entry_tags     which entries a tag stands for, as keyed hashes
    invalidations  a growing list; a reader that has seen its newest number holds nothing that was invalidated
    figures        counters that processes add to, for `signalbox cache stats`

One connection reads, in the thread of the event loop: a lookup by key in a file that writers never lock for readers.
Another one writes, in a thread of its own. Who invalidates does so on a connection of its own, and when that returns
every process sees it at its next lookup.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signalbox.cache.entry import Entry
from signalbox.cache.scope import Name
from signalbox.core.days import DAY_MS
from signalbox.core.errors import StoreError

PENDING_MAX = 1024
BATCH_MAX = 64
WRITE_BUSY_S = 2.0
# Figures are written at the latest after so long.
FLUSH_S = 1.0
# So many writes apart, what is too old or too much is removed.
SWEEP_EVERY = 256
# What is removed at once beyond the limit, so that it is not removed one by one.
SLACK = 0.9
EVERYTHING = "*"
# Invalidations are remembered for so long; who has not looked since then forgets everything.
REMEMBERED_MS = 7 * DAY_MS

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key BLOB NOT NULL PRIMARY KEY, sealed BLOB NOT NULL, bytes INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS entries_stored ON entries (stored_ms);
CREATE TABLE IF NOT EXISTS entry_tags (tag BLOB NOT NULL, key BLOB NOT NULL, PRIMARY KEY (tag, key))
    STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_tags_key ON entry_tags (key);
CREATE TABLE IF NOT EXISTS invalidations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, tag TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS figures (
    workload TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (workload, name)
) STRICT, WITHOUT ROWID;
"""
_NEWEST = "SELECT COALESCE(MAX(number), 0) FROM invalidations"
_FIND = "SELECT sealed FROM entries WHERE key = ? AND expires_ms > ?"
_NONCE_BYTES = 12


class Put(msgspec.Struct, frozen=True):
    """An entry on its way to the disk. since: the newest invalidation when its question was asked."""

    name: Name
    entry: Entry
    since: int


class Shelf:
    """One process's view of the file, used from one thread; what it writes, it writes in another."""

    def __init__(self, path: Path, secret: bytes, bytes_max: int) -> None:
        """Raises StoreError when the file cannot be used."""
        self._path = path
        self._secret = secret
        self.bytes_max = bytes_max
        self._reader = _connect(path)
        self.seen = self.newest()
        self._pending: queue.Queue[Put | None] = queue.Queue(PENDING_MAX)
        self._figures: dict[tuple[str, str], int] = {}
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    # --- the loop's thread ---

    def newest(self) -> int:
        """The number of the newest invalidation. Raises StoreError."""
        with _guard():
            return int(self._reader.execute(_NEWEST).fetchone()[0])

    def since(self, number: int, newest: int) -> list[str]:
        """The tags that were invalidated after `number`. Raises StoreError."""
        with _guard():
            rows = self._reader.execute("SELECT tag FROM invalidations WHERE number > ?", (number,)).fetchall()
        return [str(row[0]) for row in rows] if len(rows) >= newest - number else [EVERYTHING]

    def find(self, name: Name, now_ms: int) -> Entry | None:
        """Raises StoreError."""
        with _guard():
            row = self._reader.execute(_FIND, (name.key, now_ms)).fetchone()
        if row is None:
            return None
        return unsealed(name, row[0])

    def put(self, put: Put) -> bool:
        """Takes an entry to write soon; False when too many wait already."""
        self._start()
        try:
            self._pending.put_nowait(put)
        except queue.Full:
            return False
        return True

    def count(self, workload: str, name: str, value: int = 1) -> None:
        """Adds to a figure of a workload, for whoever asks the file."""
        self._start()
        key = (workload, name)
        with self._turn:
            self._figures[key] = self._figures.get(key, 0) + value

    def close(self) -> None:
        if self._thread is not None:
            self._pending.put(None)
            self._thread.join()
        self._reader.close()

    # --- the writer's thread ---

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="cache-shelf", daemon=True)
            self._thread.start()

    def _write(self) -> None:
        # Where the file cannot be written, what is kept is lost, and nothing else.
        with contextlib.suppress(StoreError), contextlib.closing(_connect(self._path)) as writer:
            writes, told_s, ended = 0, time.monotonic(), False
            while not ended:
                puts, ended = self._next()
                due = ended or time.monotonic() - told_s >= FLUSH_S
                with contextlib.suppress(sqlite3.Error):
                    if puts:
                        _store(writer, puts, self._secret)
                        writes += len(puts)
                    if due:
                        told_s = time.monotonic()
                        self._tell(writer)
                    if writes >= SWEEP_EVERY:
                        writes = 0
                        _sweep(writer, self.bytes_max, time.time_ns() // 1_000_000)

    def _next(self) -> tuple[list[Put], bool]:
        """What waits to be written, after a while if nothing does; and whether it was the last."""
        puts: list[Put] = []
        with contextlib.suppress(queue.Empty):
            while len(puts) < BATCH_MAX:
                put = self._pending.get_nowait() if puts else self._pending.get(timeout=FLUSH_S)
                if put is None:
                    return puts, True
                puts.append(put)
        return puts, False

    def _tell(self, writer: sqlite3.Connection) -> None:
        with self._turn:
            figures, self._figures = self._figures, {}
        if figures:
            rows = [(workload, name, value) for (workload, name), value in figures.items()]
            with writer:
                writer.executemany(
                    "INSERT INTO figures VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
                    rows,
                )


def sealed(name: Name, entry: Entry) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(name.seal).encrypt(nonce, msgspec.msgpack.encode(entry), name.key)


def unsealed(name: Name, content: bytes) -> Entry | None:
    """None for what is damaged or was written by another version: then it is asked anew."""
    try:
        plain = AESGCM(name.seal).decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], name.key)
        return msgspec.msgpack.decode(plain, type=Entry)
    except (InvalidTag, ValueError, msgspec.MsgspecError):
        return None


def invalidate(path: Path, secret: bytes, tags: Sequence[str], now_ms: int) -> int:
    """Ends every entry that has one of these tags; EVERYTHING stands for all. Returns how many were on the disk. When
    it returns, no process of this machine serves one any more. Raises StoreError when it cannot be done."""
    with _guard(), contextlib.closing(_connect(path)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO invalidations (tag, at_ms) VALUES (?, ?)", [(tag, now_ms) for tag in tags])
        if EVERYTHING in tags:
            gone = connection.execute("DELETE FROM entries").rowcount
            connection.execute("DELETE FROM entry_tags")
            return gone
        gone = 0
        for tag in tags:
            hashed = _tag(secret, tag)
            found = "SELECT key FROM entry_tags WHERE tag = ?"
            gone += connection.execute(f"DELETE FROM entries WHERE key IN ({found})", (hashed,)).rowcount  # noqa: S608
            connection.execute("DELETE FROM entry_tags WHERE tag = ?", (hashed,))
        return gone


class Figures(msgspec.Struct, frozen=True):
    """What the file tells. entries, bytes: on the disk. workloads: counters by workload."""

    entries: int
    bytes: int
    workloads: dict[str, dict[str, int]]


def figures(path: Path) -> Figures:
    """Raises StoreError when the file cannot be read."""
    with _guard(), contextlib.closing(_connect(path)) as connection:
        entries, total = connection.execute("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM entries").fetchone()
        found: dict[str, dict[str, int]] = {}
        for workload, name, value in connection.execute("SELECT workload, name, value FROM figures ORDER BY 1, 2"):
            found.setdefault(workload, {})[name] = value
        return Figures(entries, total, found)


def _store(writer: sqlite3.Connection, puts: Iterable[Put], secret: bytes) -> None:
    """What was invalidated after its question was asked is not kept: its answer may be the old one."""
    with writer:
        writer.execute("BEGIN IMMEDIATE")
        for put in puts:
            entry, key = put.entry, put.name.key
            ended = {row[0] for row in writer.execute("SELECT tag FROM invalidations WHERE number > ?", (put.since,))}
            if ended and (EVERYTHING in ended or not ended.isdisjoint(entry.tags)):
                continue
            content = sealed(put.name, entry)
            writer.execute("DELETE FROM entry_tags WHERE key = ?", (key,))
            writer.execute(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)",
                (key, content, len(content), entry.stored_ms, entry.expires_ms),
            )
            writer.executemany(
                "INSERT OR IGNORE INTO entry_tags VALUES (?, ?)", [(_tag(secret, tag), key) for tag in entry.tags]
            )


def _sweep(writer: sqlite3.Connection, bytes_max: int, now_ms: int) -> None:
    """What is too old, then the oldest of what is too much."""
    with writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM entries WHERE expires_ms <= ?", (now_ms,))
        total = writer.execute("SELECT COALESCE(SUM(bytes), 0) FROM entries").fetchone()[0]
        if total > bytes_max:
            over = total - int(bytes_max * SLACK)
            keys: list[tuple[bytes]] = []
            for key, size in writer.execute("SELECT key, bytes FROM entries ORDER BY stored_ms"):
                if over <= 0:
                    break
                over -= size
                keys.append((key,))
            writer.executemany("DELETE FROM entries WHERE key = ?", keys)
        writer.execute("DELETE FROM entry_tags WHERE key NOT IN (SELECT key FROM entries)")
        old = "at_ms < ? AND number < (SELECT MAX(number) FROM invalidations)"
        writer.execute(f"DELETE FROM invalidations WHERE {old}", (now_ms - REMEMBERED_MS,))  # noqa: S608


def secret_from(pepper: bytes) -> bytes:
    """The secret of all names and tags in the cache, from the one that the installation has."""
    return blake2b(pepper, digest_size=32, person=b"cache").digest()


def _tag(secret: bytes, tag: str) -> bytes:
    return blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=16, key=secret, person=b"cache tag").digest()


def _connect(path: Path) -> sqlite3.Connection:
    with _guard():
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=WRITE_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def _guard() -> Generator[None, None, None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the cache's file cannot be used: {error}") from None
