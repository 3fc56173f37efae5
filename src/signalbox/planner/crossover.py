"""From how many tokens a day an option with lots costs less than one paid by the token, if ever. Whole lots, people
included: "never within its capacity" is a normal answer."""

from __future__ import annotations

import math

from msgspec import Struct

from signalbox.planner.demand import HOURS_PER_MONTH
from signalbox.planner.instance import Pool
from signalbox.planner.routes import Built

LOTS_TRIED = 64


class Crossover(Struct, frozen=True):
    """pool, token: the options compared, at the workload's own mix, both reaching its minimum. tokens_per_day: from
    here on the lots cost less; None: never. lots: how many are needed there. floor_usd_mtok: the lots' price a million
    tokens with lots full at the workload's peak. token_usd_mtok: the other's. today: tokens a day of the workload."""

    workload: str
    pool: str
    token: str
    tokens_per_day: float | None
    lots: int
    floor_usd_mtok: float
    token_usd_mtok: float
    today: float

    def sentence(self) -> str:
        both = f"{self.pool} against {self.token} for {self.workload}"
        if self.tokens_per_day is None:
            return (
                f"{both}: none within capacity ({self.floor_usd_mtok:,.2f} USD a million tokens full at its peak, "
                f"{self.token_usd_mtok:,.2f} by the token)"
            )
        return f"{both}: from {self.tokens_per_day / 1e6:,.1f} M tokens a day on ({self.lots} lots)"


def crossovers(built: Built, *, most: int = 40) -> tuple[Crossover, ...]:
    """For the workloads with most tokens, each pool against their cheapest option paid by the token."""
    instance = built.instance
    order = sorted(range(len(instance.workloads)), key=lambda each: -built.demands[each].tokens_per_day)
    found: list[Crossover] = []
    for index in order:
        name = instance.workloads[index]
        base = built.fallback.get(name)
        if base is None:
            continue
        for pool in instance.pools:
            verdict = built.verdicts.get((name, pool.option))
            leg = built.legs.get((name, pool.option))
            if verdict is None or verdict.code != "permitted" or leg is None or leg.use_s <= 0:
                continue
            found.append(_crossover(built, index, pool, base))
            if len(found) >= most:
                return tuple(found)
    return tuple(found)


def _crossover(built: Built, index: int, pool: Pool, base: str) -> Crossover:
    instance, demand = built.instance, built.demands[index]
    name = instance.workloads[index]
    leg, token = built.legs[name, pool.option], built.legs[name, base]
    tokens = demand.input_tokens + demand.output_tokens
    lot_usd = (
        min(tier.usd_per_month for tier in pool.tiers if min(tier.on) > 0) + pool.lot_fte * instance.fte_usd_per_month
    )
    people = (pool.open_fte + (instance.team_fte if pool.team else 0.0)) * instance.fte_usd_per_month
    opening = pool.open_usd_per_month + people
    peak = 1.0 if demand.shiftable else demand.peak_to_mean
    per_lot = pool.lot_capacity / leg.use_s * HOURS_PER_MONTH * 3600.0 / peak
    spread = 12 / 365
    floor = lot_usd / (per_lot * tokens) * 1e6
    for lots in range(1, min(pool.lots_max, LOTS_TRIED) + 1):
        calls = (opening + lots * lot_usd) / token.usd_per_call if token.usd_per_call > 0 else math.inf
        if calls <= lots * per_lot:
            calls = max(calls, (lots - 1) * per_lot)
            return _told(
                name,
                pool.option,
                base,
                calls * tokens * spread,
                lots,
                floor,
                token.usd_per_call / tokens,
                demand.tokens_per_day,
            )
    return _told(name, pool.option, base, None, 0, floor, token.usd_per_call / tokens, demand.tokens_per_day)


def _told(
    name: str, pool: str, base: str, per_day: float | None, lots: int, floor: float, token_usd: float, today: float
) -> Crossover:
    return Crossover(name, pool, base, per_day, lots, floor, token_usd * 1e6, today)
