"""The whole pipeline of a plan, from a workload file to reasons: pure, with rules, prices and the day handed in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from signalbox.planner.calibration import Calibration
from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.crossover import crossovers
from signalbox.planner.economics import HEADROOM, RatesFor, replicas_per_lot
from signalbox.planner.futures import DRAWS, futures
from signalbox.planner.instance import Solution
from signalbox.planner.levers import Lever, levers
from signalbox.planner.outlook import (
    Relaxation,
    Strategy,
    prices,
    scales,
    smallest_change,
    whole_change,
)
from signalbox.planner.plan import (
    OpenPool,
    OptionPlace,
    PhaseStep,
    Placed,
    Plan,
    RoutingRow,
    Sources,
    WorkloadFacts,
    fingerprint,
)
from signalbox.planner.playbook import answers, playbook
from signalbox.planner.reading import Read
from signalbox.planner.reasons import Verdict
from signalbox.planner.recipe import Recipe, recipe
from signalbox.planner.routes import Built, Known, Refusals, Relaxed, build
from signalbox.planner.solver import solve
from signalbox.planner.stress import pools_used, stress
from signalbox.planner.workload_file import PlanFile

Progress = Callable[[str], None]

# Time for questions beside the plan, so that a whole run ends within a minute on two cores.
PRICES_S = 8.0
SOLVE_S = 20.0
ROWS_MAX = 5_000
# What a workload may cost beyond its plan before somebody should know.
BUDGET_MARGIN = 0.25


class Inputs(Struct, frozen=True):
    """refusals: what the compiled rules say. rates_for: prices on the day. seed: of every draw."""

    read: Read
    refusals: Refusals
    catalogue: Catalogue
    calibration: Calibration
    rates_for: RatesFor
    sources: Sources
    seed: int = 1
    draws: int = DRAWS


def make_plan(inputs: Inputs, progress: Progress) -> Plan:
    return _Run(inputs, progress).plan()


class _Run:
    def __init__(self, inputs: Inputs, progress: Progress) -> None:
        self._inputs = inputs
        self._progress = progress
        self._began = time.perf_counter()
        self._unplaced: list[Relaxation] = []
        self._known: Known = {}
        self._file = self._servable(inputs.read.file)

    def _say(self, what: str) -> None:
        self._progress(f"{time.perf_counter() - self._began:5.1f} s  {what}")

    def _build(self, factor: float, relaxed: Relaxed, file: PlanFile | None = None) -> Built:
        inputs = self._inputs
        return build(
            file or self._file,
            inputs.refusals,
            inputs.catalogue,
            inputs.rates_for,
            calibration=inputs.calibration,
            scale=factor,
            relaxed=relaxed,
            known=self._known,
        )

    def _servable(self, file: PlanFile) -> PlanFile:
        """The file without the workloads that nothing serves; what each of them would need is put on record."""
        self._say("rules, quality and capacity of every option")
        self._all = self._build(1.0, Relaxed(), file)
        left = dict(file.workloads)
        for name in self._all.instance.without_routes():
            alone = replace(file, workloads={name: file.workloads[name]})
            self._unplaced.append(smallest_change(lambda relaxed, alone=alone: self._build(1.0, relaxed, alone), name))
            del left[name]
        return file if len(left) == len(file.workloads) else replace(file, workloads=left)

    def plan(self) -> Plan:
        inputs = self._inputs
        if not self._file.workloads:
            return self._empty("infeasible")
        built = self._build(1.0, Relaxed()) if self._unplaced else self._all
        self._say(f"solving {len(built.instance.workloads)} workloads over {len(self._file.options)} options")
        solution = solve(built.instance, time_limit_s=SOLVE_S)
        if not solution.found:
            self._say("nothing fits: looking for the smallest change")
            self._unplaced.append(whole_change(self._build))
            return self._empty(solution.status)
        solution = self._risk_averse(built, solution)
        self._say(f"{inputs.draws} futures")
        told = futures(self._file, built, solution, draws=inputs.draws, seed=inputs.seed)
        stressed = stress(self._file, built, solution, seed=inputs.seed)
        self._say("ten and a hundred times the volume")
        found, strategies = scales(self._build, (built, solution))
        self._say("the price of each constraint")
        priced = prices(self._build, (built, solution), seconds=PRICES_S)
        placed = _placed(built, solution)
        routing = _routing(self._file, built, placed)
        plan = Plan(
            name=self._file.name,
            fingerprint=fingerprint(inputs.sources, routing),
            sources=inputs.sources,
            status=solution.status,
            usd_per_month=solution.usd_per_month,
            gap=_gap(solution),
            solver_s=round(solution.seconds, 3),
            placed=placed,
            pools=_pools(self._file, built, solution),
            routing=routing,
            verdicts=_verdicts(self._all, built, placed),
            facts=_facts(built),
            people_fte=_people(built, solution),
            capex_usd=_capital(built, solution),
            unplaced=tuple(self._unplaced),
            checked=solution.checked,
            futures=told,
            stress=stressed,
            scales=found,
            strategies=strategies,
            no_regret=_no_regret(strategies),
            crossovers=crossovers(built),
            constraints=priced,
            levers=self._levers(built, placed),
            recipes=self._recipes(built, solution),
            contradictions=inputs.read.contradictions,
            regions=_regions(self._file, built, placed),
            deployments={each.deployment: name for name, each in self._file.options.items() if each.deployment},
            places={
                name: OptionPlace(each.environment, each.model, each.deployment, each.base_url, each.preset)
                for name, each in self._file.options.items()
            },
        )
        steps: tuple[PhaseStep, ...] = playbook(self._file, plan)
        self._say("done")
        return replace(plan, playbook=steps, answers=answers(self._file, plan))

    def _risk_averse(self, built: Built, solution: Solution) -> Solution:
        """With an aversion to risk, the best of a few plans by median and worst tenth together."""
        weight = self._file.organisation.risk_aversion
        if weight <= 0:
            return solution
        others = [solve(built.instance, time_limit_s=4.0, open_only=frozenset())]
        others += [
            solve(built.instance, time_limit_s=4.0, open_only=frozenset(solution.opened()) - {index})
            for index in solution.opened()
        ]

        def value(each: Solution) -> float:
            told = futures(self._file, built, each, draws=self._inputs.draws, seed=self._inputs.seed)
            return told.usd_per_month.p50 + weight * told.worst_tenth_usd

        return min((each for each in (solution, *others) if each.found), key=value)

    def _empty(self, status: str) -> Plan:
        inputs = self._inputs
        return Plan(
            name=inputs.read.file.name,
            fingerprint=fingerprint(inputs.sources, {}),
            sources=inputs.sources,
            status=status,
            usd_per_month=0.0,
            gap=0.0,
            solver_s=0.0,
            placed=(),
            pools=(),
            routing={},
            verdicts=tuple(self._all.verdicts.values())[:ROWS_MAX],
            facts={},
            unplaced=tuple(self._unplaced),
            contradictions=inputs.read.contradictions,
        )

    def _levers(self, built: Built, placed: tuple[Placed, ...]) -> tuple[Lever, ...]:
        index = {name: at for at, name in enumerate(built.instance.workloads)}
        found: list[Lever] = []
        for row in sorted(placed, key=lambda each: -each.usd_per_month)[:25]:
            option = row.options[0]
            found += levers(
                row.workload,
                self._file.workloads[row.workload],
                built.demands[index[row.workload]],
                option,
                self._file.options[option],
                built.legs[row.workload, option],
                self._inputs.catalogue,
            )
        return tuple(found)

    def _recipes(self, built: Built, solution: Solution) -> tuple[Recipe, ...]:
        found: list[Recipe] = []
        for index in solution.opened():
            name = built.instance.pools[index].option
            option = self._file.options[name]
            used = {
                built.instance.workloads[route.workload]
                for route, share in zip(built.instance.routes, solution.share, strict=True)
                if share > 0 and route.pool == index
            }
            legs = [built.legs[workload, name] for workload in sorted(used)]
            each, _ = replicas_per_lot(option, built.configs.get(name))
            made = recipe(name, option, legs, round(each * sum(solution.lots[index])))
            if made is not None:
                found.append(made)
        return tuple(found)


def _gap(solution: Solution) -> float:
    cost = solution.usd_per_month
    return max(0.0, (cost - solution.bound) / cost) if cost > 0 and math.isfinite(solution.bound) else 0.0


def _placed(built: Built, solution: Solution) -> tuple[Placed, ...]:
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


def _pools(file: PlanFile, built: Built, solution: Solution) -> tuple[OpenPool, ...]:
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


def _routing(file: PlanFile, built: Built, placed: tuple[Placed, ...]) -> dict[str, RoutingRow]:
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


def _verdicts(everything: Built, built: Built, placed: tuple[Placed, ...]) -> tuple[Verdict, ...]:
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


def _facts(built: Built) -> dict[str, WorkloadFacts]:
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
        )
    return found


def _people(built: Built, solution: Solution) -> float:
    instance = built.instance
    team = any(instance.pools[index].team for index in solution.opened())
    each = sum(
        instance.pools[index].open_fte + instance.pools[index].lot_fte * sum(solution.lots[index])
        for index in solution.opened()
    )
    return each + (instance.team_fte if team else 0.0)


def _capital(built: Built, solution: Solution) -> float:
    return sum(
        count * tier.capex_usd
        for index in solution.opened()
        for count, tier in zip(solution.lots[index], built.instance.pools[index].tiers, strict=True)
    )


def _no_regret(strategies: tuple[Strategy, ...]) -> tuple[str, ...] | None:
    """The set of options whose worst regret over today, ten and a hundred times is least; None when none fits all."""
    best = min(strategies, key=lambda each: each.worst, default=None)
    return best.opened if best is not None and math.isfinite(best.worst) else None


def _regions(file: PlanFile, built: Built, placed: tuple[Placed, ...]) -> dict[str, float]:
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
