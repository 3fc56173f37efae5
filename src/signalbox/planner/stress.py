"""The chosen plan minute by minute: bursts, a failed lot, a provider that is gone. Seeded."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct

from signalbox.planner.economics import HEADROOM
from signalbox.planner.instance import NO_POOL, Floats, Solution
from signalbox.planner.routes import Built
from signalbox.planner.workload_file import PlanFile

MINUTES = 60


class PoolStress(Struct, frozen=True):
    """One pool in one state of the world. overfull_share: minutes of a week in which more arrives than it carries.
    overflow_share: of its calls, those that go elsewhere. waiting_share: those that have nowhere to go and wait."""

    option: str
    state: str
    overfull_share: float
    overflow_share: float
    waiting_share: float


class Outage(Struct, frozen=True):
    """An environment that is gone: what goes where, and what stands still."""

    environment: str
    moved: dict[str, str]
    still: tuple[str, ...]


class Stress(Struct, frozen=True):
    pools: tuple[PoolStress, ...]
    outages: tuple[Outage, ...]


def stress(file: PlanFile, built: Built, solution: Solution, *, seed: int = 1) -> Stress:
    pools = [
        found
        for index in solution.opened()
        if not math.isinf(built.instance.pools[index].lot_capacity)
        for found in _pool(built, solution, index, seed)
    ]
    return Stress(tuple(pools), tuple(_outages(file, built, solution)))


def _pool(built: Built, solution: Solution, pool: int, seed: int) -> list[PoolStress]:
    """A week of minutes, drawn once; then all lots, and one less."""
    instance, kind = built.instance, built.instance.pools[pool]
    mine = [index for index, route in enumerate(instance.routes) if route.pool == pool and solution.share[index] > 0]
    flexible, must = np.zeros(168 * MINUTES), np.zeros(168 * MINUTES)
    chance = np.random.default_rng([seed, pool])
    for index in mine:
        route = instance.routes[index]
        use_s = built.legs[instance.workloads[route.workload], route.options[0]].use_s
        rate = np.asarray(route.load)[built.classes.of_hour] * solution.share[index] / use_s * 60.0
        load = _arrivals(chance, np.repeat(rate, MINUTES), built.demands[route.workload].cv) * use_s / 60.0
        if route.must or instance.workloads[route.workload] not in built.fallback:
            must += load
        else:
            flexible += load
    counts = solution.lots[pool]
    on = sum(
        (count * np.asarray(tier.on) for count, tier in zip(counts, kind.tiers, strict=True)),
        np.zeros(len(instance.hours)),
    )
    running = np.repeat(on[built.classes.of_hour], MINUTES)
    states = (("all lots", 0), ("one lot failed", 1))
    return [_state(kind.option, name, flexible, must, (running - gone) * kind.lot_capacity) for name, gone in states]


def _arrivals(chance: np.random.Generator, rate: Floats, cv: float) -> Floats:
    """Calls in each minute: by chance alone at a variation of 1, burstier above, by a gamma-mixed Poisson."""
    burst = max(0.0, cv * cv - 1.0)
    if burst > 0:
        shape = np.maximum(rate / burst, 1e-6)
        rate = chance.gamma(shape, burst)
    return chance.poisson(rate).astype(np.float64)


def _state(option: str, name: str, flexible: Floats, must: Floats, capacity: Floats) -> PoolStress:
    """The knee itself is the limit here: headroom is what bursts are for."""
    over = np.maximum(flexible + must - np.maximum(capacity, 0.0) / HEADROOM, 0.0)
    spilled = np.minimum(over, flexible)
    total = max(float((flexible + must).sum()), 1e-12)
    return PoolStress(
        option=option,
        state=name,
        overfull_share=float((over > 0).mean()),
        overflow_share=float(spilled.sum()) / total,
        waiting_share=float((over - spilled).sum()) / total,
    )


def _outages(file: PlanFile, built: Built, solution: Solution) -> list[Outage]:
    """Each environment that the plan uses, gone for a while."""
    instance = built.instance
    used: dict[str, dict[str, float]] = {}
    for index in np.flatnonzero(solution.share):
        route = instance.routes[int(index)]
        name = instance.workloads[route.workload]
        for option in route.options:
            used.setdefault(file.options[option].environment, {})[name] = 1.0
    found: list[Outage] = []
    for environment, names in used.items():
        moved: dict[str, str] = {}
        still: list[str] = []
        for name in names:
            to = stand_in(file, built, name, environment)
            if to is None:
                still.append(name)
            else:
                moved[name] = to
        found.append(Outage(environment, moved, tuple(still)))
    return found


def stand_in(file: PlanFile, built: Built, workload: str, gone: str) -> str | None:
    """The cheapest permitted option, paid by the token, outside an environment that is gone."""
    ways = [
        (built.legs[workload, option].usd_per_call, option)
        for (name, option), verdict in built.verdicts.items()
        if name == workload
        and verdict.code == "permitted"
        and file.options[option].environment != gone
        and built.legs[workload, option].use_s <= 0
        and file.options[option].kind != "batch-api"
    ]
    return min(ways)[1] if ways else None


def pools_used(built: Built, solution: Solution) -> dict[int, float]:
    """Mean load over capacity of each pool that is open."""
    instance = built.instance
    hours = np.asarray(instance.hours)
    found: dict[int, float] = {}
    for index in solution.opened():
        kind = instance.pools[index]
        if math.isinf(kind.lot_capacity):
            continue
        load = np.zeros(len(hours))
        for at in np.flatnonzero(solution.share):
            route = instance.routes[int(at)]
            if route.pool == index and route.pool != NO_POOL:
                load += np.asarray(route.load) * solution.share[int(at)]
        there = sum(
            float((np.asarray(tier.on) * hours).sum()) * count
            for count, tier in zip(solution.lots[index], kind.tiers, strict=True)
        )
        found[index] = float((load * hours).sum()) / (there * kind.lot_capacity / HEADROOM)
    return found
