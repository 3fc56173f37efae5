"""Holds a provider's bill against the ledger: which part of it calls explain, for whom they were, and the rest."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec

from signalbox.core.attempts import AttemptRow
from signalbox.core.days import day_of
from signalbox.core.records import IDLE, TRUE_UP
from signalbox.core.usage import PICO
from signalbox.ledger.provider_export import Charge

UNATTRIBUTED = "(unattributed)"
# A bill is rounded by its provider, a day and model at a time: this much is no difference.
CENT = Decimal("0.01")
GOOD_SHARE = Decimal("0.995")
_DATED = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2})$")
BY = ("tenant", "team", "key_id", "workload", "user", "session", "tag", "deployment", "environment")


class Place(NamedTuple):
    """What bills and ledger have in common: a UTC day and a model."""

    day: str
    model: str


class Unexplained(msgspec.Struct, frozen=True):
    """Cost that only one side has. lines: of the export, the first few."""

    day: str
    model: str
    billed_usd: str
    ledger_usd: str
    difference_usd: str
    why: str
    lines: tuple[int, ...]


class Reconciliation(msgspec.Struct, frozen=True):
    """billed: the export's total. explained: the part of it that calls in the ledger explain. groups: the explained
    part by each dimension, which adds up to it exactly. unpriced, estimated: attempts whose cost is not exact."""

    billed_usd: str
    ledger_usd: str
    explained_usd: str
    explained_share: str
    good: bool
    groups: dict[str, dict[str, str]]
    unexplained: tuple[Unexplained, ...]
    unpriced: int
    estimated: int


class _Side:
    """What the ledger has for one place. groups: (dimension, name) to cost."""

    __slots__ = ("cost", "estimated", "groups", "unpriced")

    def __init__(self) -> None:
        self.cost = Decimal(0)
        self.unpriced = self.estimated = 0
        self.groups: dict[tuple[str, str], Decimal] = defaultdict(Decimal)


def reconcile(charges: Sequence[Charge], attempts: Iterable[AttemptRow]) -> Reconciliation:
    """Day by day and model by model; what a provider books a day earlier or later is matched with that day. Of days
    that the bill says nothing of, only what is matched so counts."""
    ledger, attempt_place = _ledger(attempts, {charge.attempt_id for charge in charges if charge.attempt_id})
    billed: dict[Place, Decimal] = defaultdict(Decimal)
    lines: dict[Place, list[int]] = defaultdict(list)
    for charge in charges:
        place = attempt_place.get(charge.attempt_id) or Place(charge.day, plain_model(charge.model))
        billed[place] += charge.cost_usd
        lines[place].append(charge.line)
    used = {place: min(max(billed.get(place, Decimal(0)), Decimal(0)), side.cost) for place, side in ledger.items()}
    explained: dict[Place, Decimal] = defaultdict(Decimal)
    for place, amount in used.items():
        explained[place] += amount
    _neighbours(billed, ledger, used, explained)
    covered = _covered(billed, ledger, used)
    rest = _rest(billed, covered, used, explained, lines)
    total, matched = sum(billed.values(), Decimal(0)), sum(explained.values(), Decimal(0))
    share = matched / total if total > 0 else Decimal(1)
    return Reconciliation(
        billed_usd=_text(total),
        ledger_usd=_text(sum((side.cost for side in covered.values()), Decimal(0))),
        explained_usd=_text(matched),
        explained_share=_text(share.quantize(Decimal("0.000001"))),
        good=share >= GOOD_SHARE,
        groups=_groups(ledger, used),
        unexplained=tuple(rest),
        unpriced=sum(side.unpriced for side in covered.values()),
        estimated=sum(side.estimated for side in covered.values()),
    )


def plain_model(name: str) -> str:
    """A model's name as bills and deployments have in common: lower case, without provider and date."""
    return _DATED.sub("", name.strip().lower().rpartition("/")[2])


def _ledger(attempts: Iterable[AttemptRow], wanted: set[str]) -> tuple[dict[Place, _Side], dict[str, Place]]:
    found: dict[Place, _Side] = {}
    places: dict[str, Place] = {}
    for row in attempts:
        if row.state in (IDLE, TRUE_UP):
            continue  # no provider bills what GPUs of one's own cost
        day = day_of(row.time_ms).isoformat()
        place = Place(day, plain_model(row.model))
        side = found.setdefault(place, _Side())
        if row.attempt_id in wanted:
            places[row.attempt_id] = place
        if row.cost_pico is None:
            side.unpriced += 1
            continue
        side.estimated += row.usage_source == "estimated"
        cost = Decimal(row.cost_pico) / PICO
        side.cost += cost
        named = (row.tenant, row.team, row.key_id, row.workload, row.end_user, row.session,
                 row.tags[0] if row.tags else "", row.deployment, row.environment)  # fmt: skip
        for dimension, name in zip(BY, named, strict=True):
            side.groups[(dimension, name or UNATTRIBUTED)] += cost
    return found, places


def _neighbours(
    billed: dict[Place, Decimal],
    ledger: dict[Place, _Side],
    used: dict[Place, Decimal],
    explained: dict[Place, Decimal],
) -> None:
    """Moves what is over on one side of midnight to what is missing on the other."""
    for place in sorted(billed):
        for days in (-1, 1):
            missing = billed[place] - explained[place]
            near = Place((date.fromisoformat(place.day) + timedelta(days=days)).isoformat(), place.model)
            side = ledger.get(near)
            if missing > 0 and side is not None and used[near] < side.cost:
                moved = min(missing, side.cost - used[near])
                used[near] += moved
                explained[place] += moved


def _covered(
    billed: dict[Place, Decimal], ledger: dict[Place, _Side], used: dict[Place, Decimal]
) -> dict[Place, _Side]:
    """What the ledger has for the days of the bill, and what lies beside them but explains it."""
    first, last = min((place.day for place in billed), default=""), max((place.day for place in billed), default="9999")
    return {place: side for place, side in ledger.items() if first <= place.day <= last or used[place]}


def _rest(
    billed: dict[Place, Decimal],
    ledger: dict[Place, _Side],
    used: dict[Place, Decimal],
    explained: dict[Place, Decimal],
    lines: dict[Place, list[int]],
) -> list[Unexplained]:
    rest: list[Unexplained] = []
    for place in sorted({*billed, *ledger}):
        cost, side = billed.get(place, Decimal(0)), ledger.get(place)
        missing = cost - explained.get(place, Decimal(0))
        over = side.cost - used[place] if side is not None else Decimal(0)
        if abs(missing) < CENT and over < CENT:
            continue
        difference = missing if abs(missing) >= CENT else -over
        rest.append(
            Unexplained(
                day=place.day,
                model=place.model,
                billed_usd=_text(cost),
                ledger_usd=_text(side.cost if side is not None else Decimal(0)),
                difference_usd=_text(difference),
                why=_why(difference, side),
                lines=tuple(lines.get(place, ())[:10]),
            )
        )
    return sorted(rest, key=lambda one: -abs(Decimal(one.difference_usd)))


def _why(difference: Decimal, side: _Side | None) -> str:
    if side is None:
        return "no call in the ledger had this model on or beside this day"
    if difference < 0:
        counted = f", {side.estimated} attempts are estimates" if side.estimated else ""
        return f"the ledger has more than was billed{counted}"
    if side.unpriced:
        return f"{side.unpriced} attempts have no price in the ledger"
    return "more was billed than the calls in the ledger cost"


def _groups(ledger: dict[Place, _Side], used: dict[Place, Decimal]) -> dict[str, dict[str, str]]:
    """The explained cost by dimension: of a place that is explained in part, each group its share."""
    sums: dict[str, dict[str, Decimal]] = {dimension: defaultdict(Decimal) for dimension in BY}
    for place, side in ledger.items():
        if not side.cost:
            continue
        for dimension in BY:
            names = [(name, cost) for (of, name), cost in side.groups.items() if of == dimension]
            left = used[place]
            for name, cost in names[:-1]:
                part = (used[place] * cost / side.cost).quantize(Decimal(1) / PICO)
                sums[dimension][name] += part
                left -= part
            sums[dimension][names[-1][0]] += left
    return {of: {name: _text(cost) for name, cost in sorted(found.items())} for of, found in sums.items()}


def _text(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
