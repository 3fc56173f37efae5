"""Making, narrowing, rotating and ending virtual keys; the key itself is seen once, when it is made."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec

from signalbox.config.allowances import USD_MAX
from signalbox.core import keys
from signalbox.core.budgets import USD, Budget
from signalbox.core.labels import LEVELS, TAGS, labels_of
from signalbox.core.ports import Store, VirtualKey
from signalbox.core.secret import Secret
from signalbox.core.snapshot import APIS
from signalbox.core.usage import PICO
from signalbox.policy.limits import CRITICALITIES

DEFAULT_TENANT = "default"
NAMES_MAX = 1000
GRACE_S_MAX = 30 * 86_400
# The end of the year 9999.
EXPIRES_MS_MAX = 253_402_300_799_999
EVERY = "*"


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for. workloads, apis, models, networks: empty for no limit. role: empty for a key that calls
    models. creator: who makes it, for the record. criticality: the most urgent that its calls may be; empty for as
    urgent as their workload."""

    name: str
    tenant: str = DEFAULT_TENANT
    team: str = ""
    workloads: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    budget_usd: Decimal | None = None
    expires_ms: int | None = None
    role: str = ""
    apis: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    creator: str = ""
    criticality: str = ""


class TooBroad(Exception):
    """A key may not be made by this creator, because it would be allowed more than the creator is."""


def make(wanted: NewKey, pepper: bytes, now_ms: int) -> tuple[VirtualKey, Secret]:
    """The row to store and the key to hand out. Raises ValueError when what is asked for makes no sense."""
    _check(wanted, now_ms)
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
        role=wanted.role,
        creator=wanted.creator,
        apis=wanted.apis or None,
        models=wanted.models or None,
        networks=wanted.networks or None,
        criticality=wanted.criticality,
    )
    return row, Secret(key)


def _check(wanted: NewKey, now_ms: int) -> None:
    for what, text in (("name", wanted.name), ("tenant", wanted.tenant), ("team", wanted.team or "-")):
        if not text or len(text) > 128 or not text.isprintable():
            raise ValueError(f"the {what} must have 1 to 128 printable characters")
    lists = (wanted.workloads, wanted.deployments, wanted.data, wanted.apis, wanted.models, wanted.networks)
    if any(len(names) > NAMES_MAX or any(len(name) > 256 for name in names) for names in lists):
        raise ValueError(f"a list may hold {NAMES_MAX} names of 256 characters at most")
    if not all(name.isprintable() for names in lists for name in names):
        raise ValueError("a name in a list holds a character that is not printable")
    if wanted.budget_usd is not None and not (wanted.budget_usd.is_finite() and 0 <= wanted.budget_usd <= USD_MAX):
        raise ValueError(f"the budget must be from 0 to {USD_MAX} dollars")
    if wanted.expires_ms is not None and wanted.expires_ms <= now_ms:
        raise ValueError("the expiry is in the past")
    if wanted.expires_ms is not None and wanted.expires_ms > EXPIRES_MS_MAX:
        raise ValueError("the expiry is after the year 9999")
    if wanted.role and wanted.role not in keys.ROLES:
        raise ValueError(f"unknown role {wanted.role!r}; there are {', '.join(keys.ROLES)}")
    if wanted.criticality and wanted.criticality not in CRITICALITIES:
        raise ValueError(f"unknown criticality {wanted.criticality!r}; there are {', '.join(CRITICALITIES)}")
    unknown = [api for api in wanted.apis if api not in APIS]
    if unknown:
        raise ValueError(f"unknown endpoint {unknown[0]!r}; there are {', '.join(APIS)}")
    networks_of(wanted.networks)
    try:
        labels_of(wanted.data)
    except ValueError as error:
        raise ValueError(f"unknown data class {error}; there are {', '.join((*LEVELS, *TAGS))}") from None


def networks_of(texts: Iterable[str]) -> list[IPv4Network | IPv6Network]:
    """Raises ValueError with a sentence."""
    try:
        return [ip_network(text) for text in texts]
    except ValueError as error:
        raise ValueError(f"{error}; write a network such as 10.0.0.0/8") from None


def create(store: Store, wanted: NewKey, pepper: bytes, now_ms: int) -> tuple[VirtualKey, Secret]:
    row, key = make(wanted, pepper, now_ms)
    store.insert_key(row)
    return row, key


def rotate(store: Store, row: VirtualKey, pepper: bytes, now_ms: int, grace_ms: int) -> tuple[VirtualKey, Secret]:
    """A new key with the same scope, which goes on with the same budget; the old one works for `grace_ms` more. Raises
    ValueError."""
    if row.revoked_ms is not None or (row.expires_ms is not None and row.expires_ms <= now_ms):
        raise ValueError("the key does not hold any more")
    fresh, key = make(_again(row), pepper, now_ms)
    fresh = msgspec.structs.replace(fresh, default_workload=row.default_workload, purse=purse_of(row))
    store.insert_key(fresh)
    store.expire_key(row.id, now_ms + grace_ms)
    return fresh, key


def within(row: VirtualKey, creator: VirtualKey) -> bool:
    """Whether a key holds nothing that `creator` could not have given to one that it makes."""
    wanted = msgspec.structs.replace(_again(row), data=tuple(sorted(row.labels)))
    try:
        given = narrowed(wanted, creator)
    except TooBroad:
        return False
    return msgspec.structs.replace(given, data=tuple(sorted(given.data))) == wanted


def _again(row: VirtualKey) -> NewKey:
    return NewKey(
        name=row.name,
        tenant=row.tenant,
        team=row.team,
        workloads=row.workloads or (),
        deployments=row.deployments_granted,
        data=row.labels,
        budget_usd=row.budget_usd,
        expires_ms=row.expires_ms,
        role=row.role,
        apis=row.apis or (),
        models=row.models or (),
        networks=row.networks or (),
        creator=row.creator,
        criticality=row.criticality,
    )


def purse_of(row: VirtualKey) -> str:
    """Whose budget a key spends: a key made anew goes on with the first one's."""
    return row.purse or row.id


def own_budgets(rows: Iterable[VirtualKey]) -> tuple[Budget, ...]:
    """Those that keys have of their own, each once."""
    own = {purse_of(row): row.budget_usd for row in rows if row.budget_usd is not None}
    return tuple(Budget("key", key_id, USD, "total", int(amount * PICO)) for key_id, amount in own.items())


def given_usd(rows: Iterable[VirtualKey], creator: VirtualKey) -> Decimal:
    """What a creator's keys may spend together. Those that have ended count too: they may have spent all of it."""
    rows, purse = list(rows), purse_of(creator)
    family = {row.id for row in rows if purse in (row.id, row.purse)} | {creator.id}
    theirs = (row.budget_usd for row in rows if row.creator in family and not row.purse)
    return sum((budget for budget in theirs if budget is not None), Decimal(0))


def narrowed(wanted: NewKey, creator: VirtualKey, given: Decimal = Decimal(0)) -> NewKey:
    """What a creator may make of what was asked for: what was left open is as the creator's own. given: dollars of its
    budget that its other keys have.

    Raises TooBroad where more was asked for than the creator has."""
    if wanted.role and creator.role != "admin":
        raise TooBroad("this key may not make keys with a role")
    if creator.role == "admin" and creator.tenant == EVERY:
        return wanted
    if wanted.tenant not in (creator.tenant, DEFAULT_TENANT) or (
        creator.team and wanted.team not in ("", creator.team)
    ):
        raise TooBroad("a key belongs to the tenant and team of its creator")
    return msgspec.structs.replace(
        wanted,
        tenant=creator.tenant,
        team=creator.team or wanted.team,
        workloads=_subset("workloads", wanted.workloads, creator.workloads),
        deployments=_granted(wanted.deployments, creator.deployments_granted),
        data=tuple(dict.fromkeys((*creator.labels, *wanted.data))),
        budget_usd=_budget(wanted.budget_usd, creator.budget_usd, given),
        expires_ms=_least("expiry", wanted.expires_ms, creator.expires_ms),
        apis=_subset("endpoints", wanted.apis, creator.apis),
        models=_subset("models", wanted.models, creator.models),
        networks=_within(wanted.networks, creator.networks),
        criticality=_no_more_urgent(wanted.criticality, creator.criticality),
    )


def _subset(what: str, wanted: tuple[str, ...], held: tuple[str, ...] | None) -> tuple[str, ...]:
    if held is None:
        return wanted
    beyond = sorted(set(wanted) - set(held))
    if beyond:
        raise TooBroad(f"{what}: the creator has no {beyond[0]!r}")
    return wanted or held


def _granted(wanted: tuple[str, ...], held: tuple[str, ...]) -> tuple[str, ...]:
    beyond = () if EVERY in held else sorted(set(wanted) - set(held))
    if beyond:
        raise TooBroad(f"deployments: the creator has no {beyond[0]!r}")
    return wanted


def _budget(wanted: Decimal | None, held: Decimal | None, given: Decimal) -> Decimal | None:
    if held is None:
        return wanted
    if wanted is not None and wanted > held:
        raise TooBroad("budget: more than the creator's own")
    left = max(held - given, Decimal(0))
    if (left < wanted) if wanted is not None else (left == 0 < held):
        raise TooBroad(f"budget: of the creator's {held:f} USD its other keys have {given:f}")
    return left if wanted is None else wanted


def _least(what: str, wanted: int | None, held: int | None) -> int | None:
    if held is not None and wanted is not None and wanted > held:
        raise TooBroad(f"{what}: more than the creator's own")
    return held if wanted is None else wanted


def _no_more_urgent(wanted: str, held: str) -> str:
    if held and wanted and CRITICALITIES.index(wanted) < CRITICALITIES.index(held):
        raise TooBroad("criticality: more urgent than the creator's own")
    return wanted or held


def _within(wanted: tuple[str, ...], held: tuple[str, ...] | None) -> tuple[str, ...]:
    if held is None:
        return wanted
    theirs = networks_of(held)
    for network in networks_of(wanted):
        if not any(_inside(network, wide) for wide in theirs):
            raise TooBroad(f"networks: {network} is not within the creator's own")
    return wanted or held


def _inside(network: IPv4Network | IPv6Network, wide: IPv4Network | IPv6Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(wide, IPv4Network) and network.subnet_of(wide)
    return isinstance(wide, IPv6Network) and network.subnet_of(wide)


def usable(rows: Iterable[VirtualKey]) -> list[VirtualKey]:
    """Those that may call models: not revoked, and without a role; expiry is judged at each request."""
    return [row for row in rows if row.revoked_ms is None and not row.role]
