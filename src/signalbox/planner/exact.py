"""The solver's answer, checked again in exact arithmetic: a limit that rounding hides is a limit broken.

Shares are whole parts in a billion, lots are whole, and coefficients are the fractions that the floats stand for. A
solver works to a tolerance of about a millionth; what it leaves over a limit by so much is moved, and what cannot be
moved is told.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from msgspec import Struct

from signalbox.planner.instance import NO_POOL, Floats, Instance, Ints, Pool

PARTS = 10**9
# A limit broken by more than this share is no rounding of the solver's; nothing is moved to hide it.
ROUNDING = 1e-5

Lots = tuple[tuple[int, ...], ...]


class Checked(Struct, frozen=True):
    """usd_per_month: the objective, recomputed. broken: one sentence for each limit that does not hold."""

    usd_per_month: float
    broken: tuple[str, ...]


def repair(instance: Instance, share: Floats, lots: Lots) -> Floats:
    """Shares in whole parts that add up, with the solver's rounding taken off pools that it overfilled."""
    parts = np.floor(np.clip(share, 0.0, 1.0) * PARTS).astype(np.int64)
    mine_of = instance.by_workload()
    for mine in mine_of:
        left = PARTS - int(parts[mine].sum()) if mine else 0
        if left and parts[mine].any():
            parts[_taker(instance, parts, mine)] += left
    for pool in range(len(instance.pools)):
        _relieve(instance, parts, lots, pool, mine_of)
    return parts / PARTS


def _taker(instance: Instance, parts: Ints, mine: list[int]) -> int:
    """The route that takes what rounding left: one without a pool if there is one, else the largest."""
    used = [index for index in mine if parts[index]]
    free = [index for index in used if instance.routes[index].pool == NO_POOL]
    unlimited = [index for index in used if instance.routes[index].share_max >= 1.0]
    return max(free or unlimited or used, key=lambda index: int(parts[index]))


def _running(pool: Pool, counts: tuple[int, ...], hour: int) -> float:
    return sum(count * tier.on[hour] for count, tier in zip(counts, pool.tiers, strict=True)) * pool.lot_capacity


def _relieve(instance: Instance, parts: Ints, lots: Lots, pool: int, mine_of: list[list[int]]) -> None:
    """Takes what is too much, and at most rounding, off the workloads that can go elsewhere."""
    kind = instance.pools[pool]
    used = [index for index, route in enumerate(instance.routes) if route.pool == pool and parts[index]]
    for hour in range(len(instance.hours)):
        running = _running(kind, lots[pool], hour)
        loads = {index: instance.routes[index].load[hour] for index in used}
        over = sum(load * int(parts[index]) for index, load in loads.items()) / PARTS - running
        if not -1e-12 * running < over <= ROUNDING * max(running, 1.0):
            continue
        over = max(over, 0.0) + 1e-9 * running
        for index in sorted(used, key=lambda each: -loads[each] * int(parts[each])):
            if over <= 0 or loads[index] <= 0:
                break
            others = [each for each in mine_of[instance.routes[index].workload] if instance.routes[each].pool != pool]
            paid_by_use = [each for each in others if instance.routes[each].pool == NO_POOL]
            also_used = [each for each in others if parts[each]]
            if not paid_by_use and not also_used:
                continue
            moved = min(int(parts[index]), int(over / loads[index] * PARTS) + 1)
            to = min(paid_by_use, key=lambda each: instance.routes[each].usd_per_month) if paid_by_use else also_used[0]
            parts[index] -= moved
            parts[to] += moved
            over -= moved * loads[index] / PARTS


def check(instance: Instance, share: Floats, lots: Lots) -> Checked:
    """Every limit and the objective, in fractions."""
    parts = np.rint(share * PARTS).astype(np.int64)
    broken = [*_shares_add_up(instance, parts), *_capacity_holds(instance, parts, lots)]
    usd = Fraction(0)
    for index in np.flatnonzero(parts):
        usd += Fraction(int(parts[index]), PARTS) * Fraction(instance.routes[int(index)].usd_per_month)
    team, people, capital = False, Fraction(0), Fraction(0)
    for counts, pool in zip(lots, instance.pools, strict=True):
        total = sum(counts)
        if total == 0:
            continue
        if total > pool.lots_max:
            broken.append(f"{pool.option}: {total} lots, and at most {pool.lots_max} can be had")
        team |= pool.team
        usd += Fraction(pool.open_usd_per_month)
        people += Fraction(pool.open_fte) + total * Fraction(pool.lot_fte)
        for count, tier in zip(counts, pool.tiers, strict=True):
            usd += count * Fraction(tier.usd_per_month)
            capital += count * Fraction(tier.capex_usd)
    people += Fraction(instance.team_fte) if team else 0
    usd += people * Fraction(instance.fte_usd_per_month)
    if instance.fte_max is not None and people > Fraction(instance.fte_max):
        broken.append(f"{float(people):.6g} engineers, and {instance.fte_max:g} are there")
    if instance.capex_max is not None and capital > Fraction(instance.capex_max):
        broken.append(f"{float(capital):.6g} USD of capital, and {instance.capex_max:g} are there")
    return Checked(float(usd), tuple(broken))


def _shares_add_up(instance: Instance, parts: Ints) -> list[str]:
    broken: list[str] = []
    for workload, mine in enumerate(instance.by_workload()):
        name = instance.workloads[workload]
        if int(parts[mine].sum()) != PARTS:
            broken.append(f"{name}: its shares do not add up to all of its calls")
        for limit, limited in instance.limited(mine):
            if Fraction(int(parts[limited].sum()), PARTS) > Fraction(repr(limit)):  # the decimal that was written
                option = instance.routes[limited[0]].options[0]
                broken.append(f"{name}: {option} takes more than {limit:.6g} of it")
    return broken


def _capacity_holds(instance: Instance, parts: Ints, lots: Lots) -> list[str]:
    """Everything within what runs; what has nowhere else to go within what still runs when the spare lots fail."""
    broken: list[str] = []
    for pool, kind in enumerate(instance.pools):
        mine = [index for index, route in enumerate(instance.routes) if route.pool == pool and parts[index]]
        if not mine:
            continue
        if sum(lots[pool]) == 0:
            broken.append(f"{kind.option}: is used without being there")
        if kind.lot_capacity == float("inf"):
            continue
        capacity = Fraction(kind.lot_capacity)
        for hour in range(len(instance.hours)):
            everything, must = Fraction(0), Fraction(0)
            for index in mine:
                route = instance.routes[index]
                load = Fraction(route.load[hour]) * Fraction(int(parts[index]), PARTS)
                everything += load
                must += load if route.must else 0
            counts = zip(lots[pool], kind.tiers, strict=True)
            running = sum((count * Fraction(tier.on[hour]) for count, tier in counts), Fraction(0))
            if everything > running * capacity:
                broken.append(f"{kind.option}: overfull in hour class {hour}")
            elif must and must > (running - kind.spare) * capacity:
                broken.append(f"{kind.option}: too few lots in hour class {hour} when {kind.spare} fail")
    return broken
