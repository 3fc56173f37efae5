"""Making, listing and revoking virtual keys; the key itself is seen once, when it is made."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from signalbox.core import keys
from signalbox.core.labels import labels_of
from signalbox.core.ports import Store, VirtualKey
from signalbox.core.secret import Secret

DEFAULT_TENANT = "default"


class NewKey(msgspec.Struct, frozen=True):
    """What an operator asks for. workloads: empty for all of the tenant's."""

    name: str
    tenant: str = DEFAULT_TENANT
    team: str = ""
    workloads: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    budget_usd: Decimal | None = None
    expires_ms: int | None = None


def make(wanted: NewKey, pepper: bytes, now_ms: int) -> tuple[VirtualKey, Secret]:
    """The row to store and the key to hand out. Raises ValueError when what is asked for makes no sense."""
    if not wanted.name or len(wanted.name) > 128 or not wanted.name.isprintable():
        raise ValueError("the name must have 1 to 128 printable characters")
    if wanted.budget_usd is not None and not (wanted.budget_usd.is_finite() and wanted.budget_usd >= 0):
        raise ValueError("the budget must be a non-negative amount of dollars")
    if wanted.expires_ms is not None and wanted.expires_ms <= now_ms:
        raise ValueError("the expiry is in the past")
    try:
        labels_of(wanted.data)
    except ValueError as error:
        raise ValueError(f"unknown data class {error}") from None
    key, public_id, _ = keys.mint(secrets.randbits(60), secrets.randbits(200))
    parts = keys.split(key)
    assert parts is not None
    row = VirtualKey(
        id=public_id,
        name=wanted.name,
        secret_hmac=keys.Digester(pepper).digest(parts[1]),
        tenant=wanted.tenant,
        team=wanted.team,
        created_ms=now_ms,
        workloads=wanted.workloads or None,
        deployments_granted=wanted.deployments,
        default_workload=wanted.workloads[0] if wanted.workloads else None,
        labels=wanted.data,
        budget_usd=wanted.budget_usd,
        expires_ms=wanted.expires_ms,
    )
    return row, Secret(key)


def create(store: Store, wanted: NewKey, pepper: bytes, now_ms: int) -> tuple[VirtualKey, Secret]:
    row, key = make(wanted, pepper, now_ms)
    store.insert_key(row)
    return row, key


def usable(rows: Iterable[VirtualKey]) -> list[VirtualKey]:
    """Those that are not revoked; expiry is judged at each request."""
    return [row for row in rows if row.revoked_ms is None]
