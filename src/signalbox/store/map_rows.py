"""Rows of what conversations keep sealed, such as their pseudonyms. Each function runs in a transaction that holds the
conversation's lock; what is in an entry, nobody here can read."""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.core.ports import SealedEntry
from signalbox.store.statements import Statements

# Conversations that have expired are dropped so many at once.
DROPPED_AT_ONCE = 500


def entries(connection: Statements, scope: bytes, now_ms: int) -> list[bytes]:
    """What a conversation keeps and has not expired, oldest first."""
    rows = connection.execute(
        "SELECT sealed FROM sealed_entries WHERE scope = ? AND EXISTS"
        " (SELECT 1 FROM sealed_scopes WHERE scope = ? AND expires_ms > ?) ORDER BY place",
        (scope, scope, now_ms),
    ).fetchall()
    return [bytes(row[0]) for row in rows]


def extend(connection: Statements, scope: bytes, expires_ms: int) -> None:
    connection.execute("UPDATE sealed_scopes SET expires_ms = ? WHERE scope = ?", (expires_ms, scope))


def add(
    connection: Statements, scope: bytes, new: Sequence[SealedEntry], now_ms: int, expires_ms: int, entries_max: int
) -> list[bytes]:
    """Keeps those whose mark and whose name nobody else has in this conversation; all that hold then, oldest first.
    Raises ValueError when there are too many."""
    held = connection.execute("SELECT expires_ms FROM sealed_scopes WHERE scope = ?", (scope,)).fetchone()
    if held is not None and int(held[0]) <= now_ms:
        connection.execute("DELETE FROM sealed_entries WHERE scope = ?", (scope,))
    connection.execute(
        "INSERT INTO sealed_scopes (scope, expires_ms) VALUES (?, ?)"
        " ON CONFLICT (scope) DO UPDATE SET expires_ms = excluded.expires_ms",
        (scope, expires_ms),
    )
    known = connection.execute("SELECT mark, name FROM sealed_entries WHERE scope = ?", (scope,)).fetchall()
    taken = {bytes(row[0]) for row in known} | {bytes(row[1]) for row in known}
    place = len(known)
    for one in new:
        if one.mark in taken or one.name in taken:
            continue
        if place >= entries_max:
            raise ValueError("the conversation keeps too much")
        taken |= {one.mark, one.name}
        connection.execute(
            "INSERT INTO sealed_entries (scope, mark, name, place, sealed) VALUES (?, ?, ?, ?, ?)",
            (scope, one.mark, one.name, place, one.sealed),
        )
        place += 1
    return entries(connection, scope, now_ms)


def forget(connection: Statements, before_ms: int) -> None:
    expired = "SELECT scope FROM sealed_scopes WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?"
    scopes = [row[0] for row in connection.execute(expired, (before_ms, DROPPED_AT_ONCE)).fetchall()]
    for scope in scopes:
        connection.execute("DELETE FROM sealed_entries WHERE scope = ?", (scope,))
        connection.execute("DELETE FROM sealed_scopes WHERE scope = ? AND expires_ms <= ?", (scope, before_ms))
