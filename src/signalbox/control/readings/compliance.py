"""Where content of each data class went and by what right: environments, vendors, rule packs, obligations."""

from __future__ import annotations

from datetime import date

import msgspec

from signalbox.config.schema_rules import Rule
from signalbox.control.in_force import InForce
from signalbox.control.readings.deployments import EnvironmentView, environments
from signalbox.control.readings.scope import Scope
from signalbox.core.attempts import AttemptFilter
from signalbox.core.days import DAY_MS
from signalbox.core.errors import ConfigError
from signalbox.core.labels import LEVELS, TAGS
from signalbox.core.ports import Store
from signalbox.core.records import Refused
from signalbox.ledger.query import iso_time
from signalbox.policy.check import due
from signalbox.policy.finding import Finding
from signalbox.policy.packs import Pack, PackRule, packs_of, rules_of
from signalbox.policy.register import Register

DAYS, DAYS_MAX = 90, 3660
REFUSED_SHOWN = 20


class Went(msgspec.Struct):
    """Attempts that carried a data class to an environment. environment: None when it is no longer configured."""

    place: str
    attempts: int
    workloads: dict[str, int]
    environment: EnvironmentView | None


class RuleLine(msgspec.Struct, frozen=True):
    """verified: the source was read and says this; None for a rule of the file itself."""

    id: str
    source: str
    kind: str
    verified: bool | None
    note: str


class PackLine(msgspec.Struct, frozen=True):
    id: str
    title: str
    version: str
    status: str
    effective_from: str
    until: str | None
    claims_not: tuple[str, ...]
    rules: tuple[RuleLine, ...]


class Held(msgspec.Struct, frozen=True):
    name: str
    until: str | None
    days_left: int | None
    state: str
    evidence: str | None
    owner: str | None
    stated_by: str


class VendorLine(msgspec.Struct, frozen=True):
    """registered: it has an entry in the vendor register."""

    name: str
    registered: bool
    owner: str | None
    environments: tuple[str, ...]
    subprocessors: tuple[str, ...]
    regions: tuple[str, ...]
    retention_days: int | None
    trains_on_data: bool | None
    attests: tuple[Held, ...]


class Compliance(msgspec.Struct, frozen=True):
    """label: the data class that is asked about. total: its attempts since that day; all: attempts of any class."""

    label: str
    since: str
    total: int
    all: int
    went: tuple[Went, ...]
    refused: tuple[Refused, ...]
    refused_more: bool
    vendors: tuple[VendorLine, ...]
    packs: tuple[PackLine, ...]
    own_rules: tuple[RuleLine, ...]
    due: tuple[Finding, ...]


def read_label(text: str) -> str:
    """Raises ConfigError."""
    label = text or "restricted"
    if label not in LEVELS and label not in TAGS:
        raise ConfigError([f"label: {label[:64]!r} is no data class. Use one of: {', '.join((*LEVELS, *TAGS))}."])
    return label


def read_days(text: str) -> int:
    if not text:
        return DAYS
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= DAYS_MAX:
        raise ConfigError([f"days: must be 1 to {DAYS_MAX}."])
    return int(text)


def compliance(store: Store, in_force: InForce, scope: Scope, label: str, days: int, now_ms: int) -> Compliance:
    """Raises StoreError."""
    since_ms = now_ms // DAY_MS * DAY_MS - (days - 1) * DAY_MS
    where = scope.narrow(AttemptFilter(since_ms=since_ms))
    went, total, whole = _went(store, in_force, where, label)
    page = store.refused_page(msgspec.structs.replace(where, label=label), None, REFUSED_SHOWN)
    config = in_force.declared.config
    today = date.fromisoformat(in_force.snapshot.day)
    return Compliance(
        label=label,
        since=iso_time(max(since_ms, 0))[:10],
        total=total,
        all=whole,
        went=tuple(went),
        refused=tuple(page.rows),
        refused_more=page.older is not None,
        vendors=tuple(_vendors(in_force, today)),
        packs=tuple(_pack(each) for each in packs_of(config)),
        own_rules=tuple(_rule(each.id, each.rule) for each in rules_of(config) if each.pack is None),
        due=tuple(due(in_force.declared, in_force.snapshot)),
    )


def _went(store: Store, in_force: InForce, where: AttemptFilter, label: str) -> tuple[list[Went], int, int]:
    known = {one.name: one for one in environments(in_force)}
    found: dict[str, Went] = {}
    total = whole = 0
    for one in store.sum_labels(where):
        whole += one.attempts
        if label not in one.labels:
            continue
        total += one.attempts
        went = found.setdefault(one.environment, Went(one.environment, 0, {}, known.get(one.environment)))
        went.attempts += one.attempts
        went.workloads[one.workload] = went.workloads.get(one.workload, 0) + one.attempts
    return sorted(found.values(), key=lambda went: -went.attempts), total, whole


def _vendors(in_force: InForce, today: date) -> list[VendorLine]:
    found: list[VendorLine] = []
    for operator in Register(in_force.declared.config).operators():
        vendor = operator.vendor
        found.append(
            VendorLine(
                operator.name,
                vendor is not None,
                vendor.owner if vendor else None,
                operator.environments,
                tuple(vendor.subprocessors) if vendor else (),
                tuple(vendor.regions) if vendor else (),
                vendor.retention_days if vendor else None,
                vendor.trains_on_data if vendor else None,
                tuple(
                    Held(
                        entry.name, entry.until, entry.days_left(today), entry.state(today), entry.evidence,
                        entry.owner, entry.holder,
                    )
                    for entry in operator.entries
                ),
            )
        )  # fmt: skip
    return found


def _pack(pack: Pack) -> PackLine:
    return PackLine(
        pack.id,
        pack.title,
        pack.version,
        pack.status,
        pack.effective_from,
        pack.until,
        tuple(pack.claims_not),
        tuple(_rule(f"{pack.id}.{rule.id}", rule) for rule in pack.rules),
    )


def _rule(rule_id: str, rule: Rule) -> RuleLine:
    kinds = [name for name, there in (("placement", rule.allow), ("obligation", rule.require)) if there is not None]
    verified = rule.verified == "true" if isinstance(rule, PackRule) else None
    return RuleLine(
        rule_id, rule.source or "", " and ".join(kinds), verified, rule.note if isinstance(rule, PackRule) else ""
    )
