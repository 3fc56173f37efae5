"""What SQL is run on: the part of a database connection that the stores have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from signalbox.core.errors import StoreError


class Found(Protocol):
    """What a statement found."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> tuple[Any, ...] | None: ...

    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Statements(Protocol):
    """A connection. Parameters are written `?`."""

    def execute(self, sql: str, values: Sequence[object] = (), /) -> Found: ...

    def executemany(self, sql: str, rows: Sequence[Sequence[object]], /) -> object: ...


def one(found: Found) -> Any:
    """The first value of the one row that there must be."""
    row = found.fetchone()
    if row is None:
        raise StoreError("the database lacks a row that its schema holds")
    return row[0]
