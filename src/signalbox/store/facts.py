"""Small named values in the database, such as the pepper of keys."""

from __future__ import annotations

from signalbox.store.statements import Statements, one


def find(connection: Statements, name: str) -> bytes | None:
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def settle(connection: Statements, name: str, value: bytes) -> bytes:
    """Stores one unless it exists; the one that holds."""
    connection.execute("INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, value))
    return bytes(one(connection.execute("SELECT value FROM facts WHERE name = ?", (name,))))


def replace(connection: Statements, name: str, value: bytes) -> None:
    connection.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
