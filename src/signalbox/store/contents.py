"""Rows of captured content and of the keys of whom it is about. Each function runs in a transaction."""

from __future__ import annotations

from signalbox.core.content import Content
from signalbox.store.rows import names_json, names_of
from signalbox.store.statements import Statements


def subject_key(connection: Statements, subject: str, fresh: bytes, time_ms: int) -> bytes | None:
    connection.execute("INSERT INTO content_keys (subject, wrapped) VALUES (?, ?) ON CONFLICT DO NOTHING",
                       (subject, fresh))  # fmt: skip
    # Somebody who was erased and comes back begins anew; what is from before stays lost.
    connection.execute(
        "UPDATE content_keys SET wrapped = ? WHERE subject = ? AND wrapped IS NULL AND erased_ms < ?",
        (fresh, subject, time_ms),
    )
    row = connection.execute(
        "SELECT wrapped FROM content_keys WHERE subject = ? AND erased_ms < ?", (subject, time_ms)
    ).fetchone()
    return None if row is None or row[0] is None else bytes(row[0])


def known_keys(connection: Statements, subjects: tuple[str, ...]) -> list[bytes | None]:
    found: list[bytes | None] = []
    for subject in subjects:
        row = connection.execute("SELECT wrapped FROM content_keys WHERE subject = ?", (subject,)).fetchone()
        found.append(None if row is None or row[0] is None else bytes(row[0]))
    return found


def erase(connection: Statements, subject: str, time_ms: int) -> bool:
    row = connection.execute("SELECT wrapped FROM content_keys WHERE subject = ?", (subject,)).fetchone()
    connection.execute(
        "INSERT INTO content_keys (subject, wrapped, erased_ms) VALUES (?, NULL, ?)"
        " ON CONFLICT (subject) DO UPDATE SET wrapped = NULL, erased_ms = excluded.erased_ms",
        (subject, time_ms),
    )
    return row is not None and row[0] is not None


def add(connection: Statements, content: Content) -> None:
    connection.execute(
        "INSERT INTO content (call_id, time_ms, subjects, hash, wrapped, sealed) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (content.call_id, content.time_ms, names_json(content.subjects), content.hash, content.wrapped, content.sealed),
    )


def of_call(connection: Statements, call_id: str) -> Content | None:
    row = connection.execute(
        "SELECT call_id, time_ms, subjects, hash, wrapped, sealed FROM content WHERE call_id = ?", (call_id,)
    ).fetchone()
    if row is None:
        return None
    return Content(row[0], int(row[1]), names_of(row[2]), row[3], bytes(row[4]), bytes(row[5]))


def forget(connection: Statements, before_ms: int, limit: int) -> bool:
    """Drops the oldest content from before a time; True when there is more."""
    rows = connection.execute(
        f"SELECT call_id FROM content WHERE time_ms < ? ORDER BY time_ms LIMIT {limit:d}",  # noqa: S608
        (before_ms,),
    ).fetchall()
    connection.executemany("DELETE FROM content WHERE call_id = ?", rows)
    return len(rows) == limit
