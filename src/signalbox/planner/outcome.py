"""What was decided, in the words of a plan: rows of placements, pools, routing and verdicts from a solver's numbers."""

from __future__ import annotations

import math

import numpy as np
from msgspec.structs import replace

from signalbox.planner.economics import HEADROOM, replicas_per_lot
from signalbox.planner.instance import Solution
from signalbox.planner.outlook import Strategy
from signalbox.planner.plan import OpenPool, Placed, RoutingRow, WorkloadFacts
from signalbox.planner.reasons import Verdict
from signalbox.planner.routes import Built
from signalbox.planner.stress import pools_used
from signalbox.planner.workload_file import PlanFile

ROWS_MAX = 5_000
# What a workload may cost beyond its plan before somebody should know.
BUDGET_MARGIN = 0.25


def gap(solution: Solution) -> float:
    cost = solution.usd_per_month
    return max(0.0, (cost - solution.bound) / cost) if cost > 0 and math.isfinite(solution.bound) else 0.0


def placed_rows(built: Built, solution: Solution) -> tuple[Placed, ...]:
    instance = built.instance
    pool_usd = {index: _pool_usd(built, solution, index) for index in solution.opened()}
    hours = np.asarray(instance.hours)
    used = np.zeros(len(instance.pools))
    for route, share in zip(instance.routes, solution.share, strict=True):
        if share > 0 and route.pool >= 0:
            used[route.pool] += float((np.asarray(route.load) * hours).sum()) * share or share
    rows: list[Placed] = []
    for route, share in zip(instance.routes, solution.share, strict=True):
        if share <= 0:
            continue
        own = 0.0
        if route.pool >= 0 and used[route.pool] > 0:
            load = float((np.asarray(route.load) * hours).sum()) * share or share
            own = pool_usd.get(route.pool, 0.0) * load / float(used[route.pool])
        rows.append(
            Placed(
                workload=instance.workloads[route.workload],
                options=route.options,
                share=float(share),
                usd_per_month=route.usd_per_month * float(share) + own,
                kept=route.kept,
                spill=route.spill,
                pattern=route.pattern,
                quality=route.quality,
                must=route.must,
            )
        )
    return tuple(sorted(rows, key=lambda row: -row.usd_per_month))


def _pool_usd(built: Built, solution: Solution, index: int) -> float:
    """Lots, opening and people of one pool; the team's own people are shared out over the pools that need it."""
    instance = built.instance
    pool, counts = instance.pools[index], solution.lots[index]
    teams = sum(instance.pools[each].team for each in solution.opened())
    people = pool.open_fte + pool.lot_fte * sum(counts) + (instance.team_fte / teams if pool.team else 0.0)
    lots = sum(count * tier.usd_per_month for count, tier in zip(counts, pool.tiers, strict=True))
    return lots + pool.open_usd_per_month + people * instance.fte_usd_per_month


def open_pools(file: PlanFile, built: Built, solution: Solution) -> tuple[OpenPool, ...]:
    used = pools_used(built, solution)
    rows: list[OpenPool] = []
    for index in solution.opened():
        pool, counts = built.instance.pools[index], solution.lots[index]
        if math.isinf(pool.lot_capacity):
            continue
        option = file.options[pool.option]
        _, gpus = replicas_per_lot(option, built.configs.get(pool.option))
        legs = [leg for (_, name), leg in built.legs.items() if name == pool.option and leg.capacity is not None]
        first = legs[0].capacity if legs else None
        band = first.at_knee.ttft_s if first is not None and first.at_knee is not None else None
        rows.append(
            OpenPool(
                option=pool.option,
                environment=option.environment,
                lots={tier.name: count for count, tier in zip(counts, pool.tiers, strict=True) if count},
                gpus=gpus * sum(counts),
                usd_per_month=_pool_usd(built, solution, index),
                people_fte=pool.open_fte + pool.lot_fte * sum(counts),
                capex_usd=sum(count * tier.capex_usd for count, tier in zip(counts, pool.tiers, strict=True)),
                used=used.get(index, 0.0),
                spare=pool.spare,
                duration=_duration(built, solution, index),
                ttft_ms=(band.p10 * 1000, band.p50 * 1000, band.p90 * 1000) if band is not None else None,
                concurrency=first.concurrency if first is not None else 0,
            )
        )
    return tuple(rows)


def _duration(built: Built, solution: Solution, pool: int) -> tuple[float, ...]:
    """Load over capacity at the knee, for every hour of the week, highest first."""
    instance, kind = built.instance, built.instance.pools[pool]
    load = np.zeros(len(instance.hours))
    for route, share in zip(instance.routes, solution.share, strict=True):
        if share > 0 and route.pool == pool:
            load += np.asarray(route.load) * share
    on = sum(
        (count * np.asarray(tier.on) for count, tier in zip(solution.lots[pool], kind.tiers, strict=True)),
        np.zeros(len(load)),
    )
    there = on * kind.lot_capacity / HEADROOM
    part = np.divide(load, there, out=np.zeros_like(load), where=there > 0)
    return tuple(round(float(each), 4) for each in np.sort(part[built.classes.of_hour])[::-1])


def routing_rows(file: PlanFile, built: Built, placed: tuple[Placed, ...]) -> dict[str, RoutingRow]:
    """The order in which the gateway tries options: shares first, largest first, then overflow, then what else may."""
    rows: dict[str, RoutingRow] = {}
    for name in built.instance.workloads:
        mine = sorted((row for row in placed if row.workload == name), key=lambda row: -row.share)
        if not mine:
            continue
        spare = built.fallback.get(name)
        order = [row.options[0] for row in mine] + [row.spill for row in mine if row.spill is not None]
        order += [spare] if spare is not None else []
        escalates = next((row.options[1] for row in mine if len(row.options) > 1), None)
        first = mine[0]
        kind = file.options[first.options[0]].kind
        leg = built.legs[name, first.options[0]]
        strategy = "fixed"
        if escalates is not None:
            strategy = "cascade"
        elif kind == "edge" and len(set(order)) > 1:
            strategy = "edge-first"
        elif leg.use_s > 0 and len(set(order)) > 1:
            strategy = "overflow"
        limit = leg.capacity.concurrency if leg.capacity is not None and strategy == "overflow" else 0
        budget = math.ceil(sum(row.usd_per_month for row in mine) * (1 + BUDGET_MARGIN))
        rows[name] = RoutingRow(tuple(dict.fromkeys(order)), strategy, escalates, limit, budget)
    return rows


def verdict_rows(everything: Built, built: Built, placed: tuple[Placed, ...]) -> tuple[Verdict, ...]:
    """Each option for each workload: chosen, dearer, or why not; with what it would cost there alone."""
    chosen = {(row.workload, option) for row in placed for option in row.options}
    rows: list[Verdict] = []
    for key, verdict in everything.verdicts.items():
        if verdict.code == "permitted":
            code = "chosen" if key in chosen else "dearer"
            verdict = replace(verdict, code=code, usd_per_month=_alone(built, *key))
        elif key in chosen:
            verdict = replace(verdict, code="chosen", detail="answers first and hands on what it cannot do")
        rows.append(verdict)
    return tuple(rows[:ROWS_MAX])


def _alone(built: Built, workload: str, option: str) -> tuple[float, float, float] | None:
    """P10, P50 and P90 of what a workload would cost on one option, with nothing else there."""
    instance = built.instance
    leg = built.legs.get((workload, option))
    if leg is None or workload not in instance.workloads:
        return None
    index = instance.workloads.index(workload)
    hours = np.asarray(instance.hours) * 3600.0
    calls = float((built.classes.load[index] * hours).sum())
    if leg.use_s <= 0:
        usd = calls * leg.usd_per_call
        return (usd * 0.8, usd, usd * 1.25)
    pool = next(each for each in instance.pools if each.option == option)
    peak = float(built.classes.load[index].max()) * leg.use_s
    always = [tier.usd_per_month for tier in pool.tiers if min(tier.on) > 0]
    each = (min(always) if always else pool.tiers[0].usd_per_month) + pool.lot_fte * instance.fte_usd_per_month
    people = (pool.open_fte + (instance.team_fte if pool.team else 0.0)) * instance.fte_usd_per_month
    spare = pool.spare if workload not in built.fallback else 0
    factors = (leg.use_band[0], 1.0, leg.use_band[1])
    costs = [
        max(1, math.ceil(peak * factor / pool.lot_capacity)) * each + spare * each + pool.open_usd_per_month + people
        for factor in factors
    ]
    return (costs[0], costs[1], costs[2])


def workload_facts(file: PlanFile, built: Built, routing: dict[str, RoutingRow]) -> dict[str, WorkloadFacts]:
    found: dict[str, WorkloadFacts] = {}
    for name, demand in zip(built.instance.workloads, built.demands, strict=True):
        per_call = {
            option: leg.usd_per_call
            for (workload, option), leg in built.legs.items()
            if workload == name and leg.use_s <= 0
        }
        found[name] = WorkloadFacts(
            requests_per_day=demand.requests_per_day,
            input_tokens=demand.input_tokens,
            output_tokens=demand.output_tokens,
            cacheable=demand.cacheable,
            tokens_per_day=demand.tokens_per_day,
            usd_per_call=per_call,
            escalated=file.workloads[name].quality.escalation_share.value if _escalates(routing, name) else 0.0,
        )
    return found


def _escalates(routing: dict[str, RoutingRow], workload: str) -> bool:
    row = routing.get(workload)
    return row is not None and row.escalates_to is not None


def people_fte(built: Built, solution: Solution) -> float:
    instance = built.instance
    team = any(instance.pools[index].team for index in solution.opened())
    each = sum(
        instance.pools[index].open_fte + instance.pools[index].lot_fte * sum(solution.lots[index])
        for index in solution.opened()
    )
    return each + (instance.team_fte if team else 0.0)


def capital_usd(built: Built, solution: Solution) -> float:
    return sum(
        count * tier.capex_usd
        for index in solution.opened()
        for count, tier in zip(solution.lots[index], built.instance.pools[index].tiers, strict=True)
    )


def least_regret(strategies: tuple[Strategy, ...]) -> tuple[str, ...] | None:
    """The set of options whose worst regret over today, ten and a hundred times is least; None when none fits all."""
    best = min(strategies, key=lambda each: each.worst, default=None)
    return best.opened if best is not None and math.isfinite(best.worst) else None


def tokens_by_environment(file: PlanFile, built: Built, placed: tuple[Placed, ...]) -> dict[str, float]:
    """Share of tokens by environment: where the data goes."""
    tokens = dict(zip(built.instance.workloads, (each.tokens_per_day for each in built.demands), strict=True))
    found: dict[str, float] = {}
    for row in placed:
        part = tokens[row.workload] * row.share
        first = file.options[row.options[0]].environment
        found[first] = found.get(first, 0.0) + part * row.kept
        if row.spill is not None:
            there = file.options[row.spill].environment
            found[there] = found.get(there, 0.0) + part * (1 - row.kept)
        for second in row.options[1:]:
            there = file.options[second].environment
            share = file.workloads[row.workload].quality.escalation_share.value
            found[there] = found.get(there, 0.0) + part * row.kept * share
    total = sum(found.values()) or 1.0
    return {name: each / total for name, each in sorted(found.items(), key=lambda item: -item[1])}
