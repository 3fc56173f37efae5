"""What a chosen plan costs in futures that nobody ordered: a thousand draws, and each driver by itself.

A plan keeps its lots. What they cannot carry overflows where the workload may go; what may go nowhere else buys lots on
demand. Draws are log-normal, as wide as the provenance of the numbers behind them says.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct

from signalbox.planner.instance import NO_POOL, Floats, Route, Solution
from signalbox.planner.quantity import SPREAD, Quantity
from signalbox.planner.routes import Built
from signalbox.planner.workload_file import PlanFile

DRAWS = 1000
Z90 = 1.2815515655446004
# Part of a workload's own variance that all workloads share: growth comes from the same market.
SHARED = 0.5
# Of a replica's work on a call, what its output takes at a usual mix.
OUTPUT_WORK = 0.65

DRIVERS: dict[str, str] = {
    "volume": "number of calls",
    "input_tokens": "input tokens of a call",
    "output_tokens": "output tokens of a call",
    "cache": "share that a prompt cache serves",
    "api_price": "prices of tokens",
    "gpu_price": "prices of lots",
    "throughput": "calls a second of a replica",
    "people": "cost of people",
    "people_needed": "people needed to run models",
    "escalation": "share handed on to a larger model",
    "peak": "height of the peaks",
    "overflow_price": "price of what overflows",
}
# Where no quantity of the file says how wide a driver is.
_WIDTH = {
    "cache": 0.30,
    "api_price": 0.25,
    "gpu_price": 0.20,
    "people_needed": 0.30,
    "peak": 0.20,
    "overflow_price": 0.20,
}


class Range(Struct, frozen=True):
    p10: float
    p50: float
    p90: float


class Driver(Struct, frozen=True):
    """The plan's cost a month with one driver at its P10 and at its P90, everything else at its median."""

    name: str
    what: str
    low_factor: float
    high_factor: float
    low_usd: float
    high_usd: float

    @property
    def swing_usd(self) -> float:
        return abs(self.high_usd - self.low_usd)


class Futures(Struct, frozen=True):
    """usd_per_month: of the plan. worst_tenth_usd: mean of the worst tenth of draws. extra_lots_share: draws in which
    lots had to be bought besides. overflow_share: draws in which more overflowed than planned."""

    usd_per_month: Range
    worst_tenth_usd: float
    extra_lots_share: float
    overflow_share: float
    draws: int
    seed: int
    tornado: tuple[Driver, ...]


class CostModel:
    """The cost of one solution as a function of factors on the drivers, many draws at once."""

    def __init__(self, file: PlanFile, built: Built, solution: Solution) -> None:
        self._built = built
        instance = built.instance
        active = [index for index, share in enumerate(solution.share) if share > 0]
        routes = [instance.routes[index] for index in active]
        share = solution.share[active]
        self._workload = np.asarray([route.workload for route in routes])
        calls = (built.classes.load @ np.asarray(built.classes.hours)) * 3600.0
        self._calls = calls[self._workload] * share
        self._first = np.zeros((len(routes), 4))
        self._second = np.zeros((len(routes), 4))
        self._spill = np.zeros((len(routes), 4))
        for at, route in enumerate(routes):
            name = instance.workloads[route.workload]
            workload = file.workloads[name]
            self._first[at] = np.asarray(built.legs[name, route.options[0]].usd) * route.kept
            for second in route.options[1:]:
                part = workload.quality.escalation_share.value * route.kept
                self._second[at] += np.asarray(built.legs[name, second].usd) * part
            if route.spill is not None:
                self._spill[at] = np.asarray(built.legs[name, route.spill].usd) * (1 - route.kept)
        self._cacheable = np.asarray([built.demands[route.workload].cacheable for route in routes])
        self._lots(solution)
        self._loads(routes, share)

    def _lots(self, solution: Solution) -> None:
        instance = self._built.instance
        hours = len(instance.hours)
        self._capacity = np.zeros((len(instance.pools), hours))
        self._lots_usd, self._people_fte, self._open_usd = 0.0, 0.0, 0.0
        self._lot_usd = np.zeros(len(instance.pools))
        self._lot_capacity = np.ones(len(instance.pools))
        team = False
        for index, (pool, counts) in enumerate(zip(instance.pools, solution.lots, strict=True)):
            self._lot_usd[index] = max((tier.usd_per_month for tier in pool.tiers), default=0.0)
            if not math.isinf(pool.lot_capacity):
                self._lot_capacity[index] = pool.lot_capacity
            if not sum(counts):
                continue
            team |= pool.team
            self._open_usd += pool.open_usd_per_month
            self._people_fte += pool.open_fte + pool.lot_fte * sum(counts)
            for count, tier in zip(counts, pool.tiers, strict=True):
                self._lots_usd += count * tier.usd_per_month
                if not math.isinf(pool.lot_capacity):
                    self._capacity[index] += count * pool.lot_capacity * np.asarray(tier.on)
        self._people_fte += instance.team_fte if team else 0.0

    def _loads(self, routes: list[Route], share: Floats) -> None:
        """Load of pools by workload and hour class: what may go elsewhere, at which price a replica-second, and what
        may not."""
        instance, built = self._built.instance, self._built
        shape = (len(instance.pools), len(instance.workloads), len(instance.hours))
        self._flexible, self._must = np.zeros(shape), np.zeros(shape)
        elsewhere, carried = np.zeros(len(instance.pools)), np.zeros(len(instance.pools))
        for route, part in zip(routes, share, strict=True):
            if route.pool == NO_POOL or math.isinf(instance.pools[route.pool].lot_capacity):
                continue
            load = np.asarray(route.load) * part
            name = instance.workloads[route.workload]
            base = built.fallback.get(name)
            if base is None or route.must:
                self._must[route.pool, route.workload] += load
                continue
            self._flexible[route.pool, route.workload] += load
            seconds = float((load * np.asarray(instance.hours)).sum()) * 3600.0
            leg = built.legs[name, route.options[0]]
            elsewhere[route.pool] += seconds / leg.use_s * built.legs[name, base].usd_per_call
            carried[route.pool] += seconds
        self._elsewhere = np.divide(elsewhere, carried, out=np.zeros_like(carried), where=carried > 0)

    def usd_per_month(self, factors: dict[str, Floats], volume: Floats | None = None) -> tuple[Floats, Floats, Floats]:
        """(cost, lots bought besides, replica-seconds a second that overflow at most) by draw. factors: by driver, one
        number a draw; what is left out stays. volume: draws x workloads, besides the driver of that name."""
        draws = len(next(iter(factors.values())))
        one = np.ones(draws)
        of = {name: factors.get(name, one) for name in DRIVERS}
        each = np.outer(of["volume"], np.ones(len(self._built.instance.workloads)))
        if volume is not None:
            each = each * volume
        calls = each[:, self._workload] * self._calls
        tokens = self._token_factors(of)
        paid = of["api_price"][:, None] * (
            (tokens * self._first).sum(axis=2)
            + of["escalation"][:, None] * (tokens * self._second).sum(axis=2)
            + of["overflow_price"][:, None] * (tokens * self._spill).sum(axis=2)
        )
        usd = (calls * paid).sum(axis=1)
        usd += self._lots_usd * of["gpu_price"] + self._open_usd
        people = self._people_fte * self._built.instance.fte_usd_per_month
        usd += people * of["people"] * of["people_needed"]
        work = ((1 - OUTPUT_WORK) * of["input_tokens"] + OUTPUT_WORK * of["output_tokens"]) / of["throughput"]
        more_usd, lots, over = self._beyond(each, work * of["peak"], of)
        return usd + more_usd, lots, over

    def _token_factors(self, of: dict[str, Floats]) -> Floats:
        """Draws x routes x token classes: uncached and cached input, output, the call itself."""
        cacheable = self._cacheable[None, :]
        cached = np.minimum(cacheable * of["cache"][:, None], 0.999)
        uncached = np.divide(1 - cached, 1 - cacheable, out=np.ones_like(cached), where=cacheable < 1)
        served = np.divide(cached, cacheable, out=np.ones_like(cached), where=cacheable > 0)
        inputs = of["input_tokens"][:, None]
        outputs = np.broadcast_to(of["output_tokens"][:, None], cached.shape)
        return np.stack([uncached * inputs, served * inputs, outputs, np.ones_like(cached)], axis=2)

    def _beyond(self, volume: Floats, work: Floats, of: dict[str, Floats]) -> tuple[Floats, Floats, Floats]:
        """What the lots do not carry: USD a month, lots bought besides, and overflow at its worst hour."""
        flexible = np.einsum("dw,pwh->dph", volume, self._flexible) * work[:, None, None]
        must = np.einsum("dw,pwh->dph", volume, self._must) * work[:, None, None]
        over = np.maximum(flexible + must - self._capacity[None], 0.0)
        spilled = np.minimum(over, flexible)
        stuck = over - spilled
        hours = np.asarray(self._built.instance.hours) * 3600.0
        price = self._elsewhere[None, :] * (of["api_price"] * of["overflow_price"] / work)[:, None]
        usd = ((spilled * hours[None, None, :]).sum(axis=2) * price).sum(axis=1)
        lots = np.ceil(stuck.max(axis=2) / self._lot_capacity[None, :] - 1e-9)
        usd += (lots * self._lot_usd[None, :]).sum(axis=1) * of["gpu_price"]
        return usd, lots.sum(axis=1), spilled.sum(axis=1).max(axis=1)


def widths(file: PlanFile, built: Built) -> dict[str, float]:
    """Standard deviation of the logarithm of each driver, from the provenance of the numbers behind it."""
    found = {name: _sigma(share) for name, share in _WIDTH.items()}
    volumes = [each.volume for each in file.workloads.values()]
    counts = [each.conversations_per_day or each.requests_per_day or each.tokens_per_day for each in volumes]
    weight = np.asarray([each.tokens_per_day for each in built.demands])
    found["volume"] = _mean([_sigma(each.spread) if each else 0.0 for each in counts], weight)
    growth = [math.log(each.growth.p90 / each.growth.p10) / 2 / Z90 for each in file.workloads.values()]
    found["volume"] = math.hypot(found["volume"], _mean(growth, weight))
    found["input_tokens"] = _mean([_sigma(each.input_tokens.spread) for each in volumes], weight)
    found["output_tokens"] = _mean([_sigma(each.output_tokens.spread) for each in volumes], weight)
    found["people"] = _sigma(file.organisation.fte_usd_per_year.spread)
    shares: list[Quantity] = [each.quality.escalation_share for each in file.workloads.values()]
    found["escalation"] = _mean([_sigma(each.spread) for each in shares], weight)
    bands = [leg.use_band[1] for leg in built.legs.values() if leg.use_s > 0]
    found["throughput"] = math.log(max(1.0, float(np.median(bands)))) / Z90 if bands else _sigma(SPREAD["default"])
    return found


def _sigma(spread: float) -> float:
    return math.log1p(spread) / Z90


def _mean(values: list[float], weight: Floats) -> float:
    return float(np.average(values, weights=weight)) if float(weight.sum()) > 0 else 0.0


def futures(file: PlanFile, built: Built, solution: Solution, *, draws: int = DRAWS, seed: int = 1) -> Futures:
    model = CostModel(file, built, solution)
    width = widths(file, built)
    chance = np.random.default_rng(seed)
    factors = {name: np.exp(chance.normal(0.0, width[name], draws)) for name in DRIVERS if name != "volume"}
    factors["volume"] = np.exp(chance.normal(0.0, width["volume"] * math.sqrt(SHARED), draws))
    own = width["volume"] * math.sqrt(1 - SHARED)
    volume = np.exp(chance.normal(0.0, own, (draws, len(built.instance.workloads))))
    usd, lots, over = model.usd_per_month(factors, volume)
    _, _, planned = model.usd_per_month({"volume": np.ones(1)})
    p10, p50, p90 = (float(each) for each in np.percentile(usd, [10, 50, 90]))
    worst = float(np.sort(usd)[-max(1, draws // 10) :].mean())
    return Futures(
        usd_per_month=Range(p10, p50, p90),
        worst_tenth_usd=worst,
        extra_lots_share=float((lots > 0).mean()),
        overflow_share=float((over > planned[0] * 1.001 + 1e-9).mean()),
        draws=draws,
        seed=seed,
        tornado=_tornado(model, width),
    )


def _tornado(model: CostModel, width: dict[str, float]) -> tuple[Driver, ...]:
    found: list[Driver] = []
    for name, what in DRIVERS.items():
        low, high = math.exp(-Z90 * width[name]), math.exp(Z90 * width[name])
        usd, _, _ = model.usd_per_month({name: np.asarray([low, high])})
        found.append(Driver(name, what, low, high, float(usd[0]), float(usd[1])))
    return tuple(sorted(found, key=lambda each: -each.swing_usd))
