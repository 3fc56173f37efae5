"""Deployments and environments: how they do, what they cost, what is attested of them and until when."""

from __future__ import annotations

from datetime import date

import msgspec

from signalbox.control.breakers import Change
from signalbox.control.in_force import InForce
from signalbox.control.readings.facts import Facts
from signalbox.control.readings.recent import NOTHING, HourOf, Pace, hours_by, paces
from signalbox.control.readings.scope import Scope
from signalbox.core.ports import Store
from signalbox.core.usage import Rates
from signalbox.policy.register import Register


class Attested(msgspec.Struct, frozen=True):
    """state: valid, expiring, expired or no-end."""

    name: str
    until: str | None
    state: str
    covers: tuple[str, ...]


class EnvironmentView(msgspec.Struct, frozen=True):
    name: str
    kind: str
    region: str
    storage_region: str
    operator: str
    jurisdiction: str
    attested: tuple[Attested, ...]


class DeploymentView(msgspec.Struct, frozen=True):
    """out: replicas that get no calls now. breakers: when that changed, the newest first. rates: prices in force, in
    pico-dollars a token."""

    name: str
    environment: str
    model: str
    protocol: str
    apis: tuple[str, ...]
    replicas: int
    out: int
    concurrency: int
    context_tokens: int
    rates: Rates
    pace: Pace
    hours: tuple[HourOf, ...]
    breakers: tuple[Change, ...]


class Deployments(msgspec.Struct, frozen=True):
    deployments: tuple[DeploymentView, ...]
    environments: tuple[EnvironmentView, ...]


def deployments(store: Store, in_force: InForce, facts: Facts, scope: Scope) -> Deployments:
    """Raises StoreError."""
    snapshot = in_force.snapshot
    pace, hours = paces(store, scope, "deployment"), hours_by(store, scope, "deployment", facts.now_ms)
    out = facts.by_label("signalbox_replicas_out_of_use")
    views = [
        DeploymentView(
            one.name,
            one.environment.name,
            one.model,
            one.protocol,
            tuple(sorted(one.apis)),
            len(one.replicas),
            int(out.get(one.name, 0)),
            one.concurrency,
            one.context_tokens,
            one.rates,
            pace.get(one.name, NOTHING),
            tuple(hours.get(one.name, ())),
            facts.breakers.of(one.name),
        )
        for one in snapshot.deployments
    ]
    return Deployments(tuple(views), tuple(environments(in_force)))


def environments(in_force: InForce) -> list[EnvironmentView]:
    today = date.fromisoformat(in_force.snapshot.day)
    held: dict[str, list[Attested]] = {}
    for entry in Register(in_force.declared.config).entries():
        for name in entry.environments:
            state = entry.state(today)
            held.setdefault(name, []).append(Attested(entry.name, entry.until, state, entry.covers))
    known = {one.environment.name: one.environment for one in in_force.snapshot.deployments}
    known |= {one.name: one for one in in_force.snapshot.environments}
    return [
        EnvironmentView(
            one.name, one.kind, one.region, one.storage_region, one.operator, one.jurisdiction,
            tuple(held.get(one.name, ())),
        )
        for one in known.values()
    ]  # fmt: skip
