"""Virtual keys in the database, and the number that grows with every change of one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from signalbox.core.ports import VirtualKey
from signalbox.store.rows import marks, names_json, names_of
from signalbox.store.statements import Statements, one

_COLUMNS = VirtualKey.__struct_fields__
_INSERT = f"INSERT INTO virtual_keys ({', '.join(_COLUMNS)}) VALUES ({marks(len(_COLUMNS))})"  # noqa: S608
_LISTS_OR_ALL = ("workloads", "apis", "models", "networks")


def insert(connection: Statements, key: VirtualKey) -> None:
    """Raises ValueError when a key with this id exists."""
    if connection.execute("SELECT 1 FROM virtual_keys WHERE id = ?", (key.id,)).fetchone():
        raise ValueError(f"a key with id {key.id!r} exists")
    connection.execute(_INSERT, _values(key))
    _bump(connection)


def every(connection: Statements) -> list[VirtualKey]:
    sql = f"SELECT {', '.join(_COLUMNS)} FROM virtual_keys ORDER BY created_ms, id"  # noqa: S608
    return [_row(row) for row in connection.execute(sql).fetchall()]


def revoke(connection: Statements, key_id: str, time_ms: int) -> bool:
    return _change(
        connection,
        "UPDATE virtual_keys SET revoked_ms = COALESCE(revoked_ms, ?) WHERE id = ?",
        (time_ms, key_id),
    )


def expire(connection: Statements, key_id: str, time_ms: int) -> bool:
    return _change(
        connection,
        "UPDATE virtual_keys SET expires_ms = CASE WHEN expires_ms < ? THEN expires_ms ELSE ? END"
        " WHERE id = ? AND revoked_ms IS NULL",
        (time_ms, time_ms, key_id),
    )


def version(connection: Statements) -> int:
    return int(one(connection.execute("SELECT version FROM keys_version")))


def _change(connection: Statements, sql: str, values: tuple[object, ...]) -> bool:
    found = connection.execute(sql, values)
    if found.rowcount:
        _bump(connection)
    return found.rowcount > 0


def _bump(connection: Statements) -> None:
    connection.execute("UPDATE keys_version SET version = version + 1")


def _values(key: VirtualKey) -> tuple[object, ...]:
    fields = {name: getattr(key, name) for name in _COLUMNS}
    for name in _LISTS_OR_ALL:
        fields[name] = None if fields[name] is None else names_json(fields[name])
    fields["deployments_granted"] = names_json(key.deployments_granted)
    fields["labels"] = names_json(key.labels)
    fields["budget_usd"] = None if key.budget_usd is None else f"{key.budget_usd:f}"
    return tuple(fields.values())


def _row(values: tuple[Any, ...]) -> VirtualKey:
    fields = dict(zip(_COLUMNS, values, strict=True))
    for name in _LISTS_OR_ALL:
        fields[name] = None if fields[name] is None else names_of(fields[name])
    fields["deployments_granted"] = names_of(fields["deployments_granted"])
    fields["labels"] = names_of(fields["labels"])
    fields["budget_usd"] = None if fields["budget_usd"] is None else Decimal(fields["budget_usd"])
    return VirtualKey(**fields)
