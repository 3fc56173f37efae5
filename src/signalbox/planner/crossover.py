"""From how many tokens a day an option with lots costs less than one paid by the token, if ever. Whole lots, people
included: "never within its capacity" is a normal answer."""

from __future__ import annotations

import math

from msgspec import Struct

from signalbox.planner.demand import HOURS_PER_MONTH
from signalbox.planner.instance import Pool
from signalbox.planner.routes import Built

STEPS_SEEN = 60


class Steps(Struct, frozen=True):
    """What lots cost as tokens grow. opening_usd: a month, people included, whatever the number of lots. lot_usd: of
    each lot. lot_tokens_per_day: that one carries at the workload's peak. lots_max: how many there are."""

    opening_usd: float
    lot_usd: float
    lot_tokens_per_day: float
    lots_max: int

    def line(self, most: float) -> list[tuple[float, float]]:
        """(tokens a day, USD a month) up to `most`, as far as there are lots: a staircase, or its middle where the
        steps are too many to be seen."""
        end = min(most, self.lots_max * self.lot_tokens_per_day)
        lots = math.ceil(end / self.lot_tokens_per_day - 1e-9)
        if lots > STEPS_SEEN:
            each = self.lot_usd / self.lot_tokens_per_day
            return [(end * part / 40, self.opening_usd + end * part / 40 * each) for part in range(41)]
        points: list[tuple[float, float]] = []
        for lot in range(1, lots + 1):
            usd = self.opening_usd + lot * self.lot_usd
            points += [((lot - 1) * self.lot_tokens_per_day, usd), (min(end, lot * self.lot_tokens_per_day), usd)]
        return points


class Crossover(Struct, frozen=True):
    """pool, token: the options compared, at the workload's own mix, both reaching its minimum. tokens_per_day: from
    here on the lots cost less; None: never. lots: how many are needed there. floor_usd_mtok: the lots' price a million
    tokens with lots full at the workload's peak. token_usd_mtok: the other's. today: tokens a day of the workload.
    steps: what the lots cost as tokens grow."""

    workload: str
    pool: str
    token: str
    tokens_per_day: float | None
    lots: int
    floor_usd_mtok: float
    token_usd_mtok: float
    today: float
    steps: Steps | None = None

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
    token_mtok = token.usd_per_call / tokens * 1e6
    steps = Steps(opening, lot_usd, per_lot * tokens * spread, pool.lots_max)
    per_day, lots = None, 0
    # Full lots beat the token price by so much each; from so many on they pay for the opening too.
    gain = per_lot * token.usd_per_call - lot_usd
    needed = max(1, math.ceil(opening / gain - 1e-9)) if gain > 0 else pool.lots_max + 1
    if needed <= pool.lots_max:
        lots = needed
        calls = max((opening + lots * lot_usd) / token.usd_per_call, (lots - 1) * per_lot)
        per_day = calls * tokens * spread
    return Crossover(name, pool.option, base, per_day, lots, floor, token_mtok, demand.tokens_per_day, steps)
