"""The whole pipeline of a plan, from a workload file to reasons: pure, with rules, prices and the day handed in."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from signalbox.planner.calibration import Calibration
from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.crossover import crossovers
from signalbox.planner.economics import RatesFor, replicas_per_lot
from signalbox.planner.freed import Freed
from signalbox.planner.futures import DRAWS, futures
from signalbox.planner.instance import Solution
from signalbox.planner.levers import Lever, levers
from signalbox.planner.outcome import (
    ROWS_MAX,
    capital_usd,
    gap,
    least_regret,
    open_pools,
    people_fte,
    placed_rows,
    routing_rows,
    tokens_by_environment,
    verdict_rows,
    workload_facts,
)
from signalbox.planner.outlook import (
    Relaxation,
    prices,
    scales,
    smallest_change,
    whole_change,
)
from signalbox.planner.plan import (
    OptionPlace,
    PhaseStep,
    Placed,
    Plan,
    Sources,
    fingerprint,
)
from signalbox.planner.playbook import answers, playbook
from signalbox.planner.reading import Read
from signalbox.planner.reasons import missing
from signalbox.planner.recipe import Recipe, recipe
from signalbox.planner.routes import Built, Known, Refusals, Relaxed, build
from signalbox.planner.solver import solve
from signalbox.planner.stress import stress
from signalbox.planner.workload_file import PlanFile

Progress = Callable[[str], None]

# Time for questions beside the plan, so that a whole run ends within a minute on two cores.
PRICES_S = 8.0
SOLVE_S = 20.0
# Levers are told for the dearest placements.
LEVERS_OF = 25


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
            quality = file.workloads[name].quality
            scores = [score.value for each in file.options.values() if (score := each.quality.get(quality.eval))]
            self._unplaced.append(
                smallest_change(
                    lambda relaxed, alone=alone: self._build(1.0, relaxed, alone), name, quality.minimum, scores
                )
            )
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
        placed = placed_rows(built, solution)
        routing = routing_rows(self._file, built, placed)
        plan = Plan(
            name=self._file.name,
            fingerprint=fingerprint(inputs.sources, routing),
            sources=inputs.sources,
            status=solution.status,
            usd_per_month=solution.usd_per_month,
            gap=gap(solution),
            solver_s=round(solution.seconds, 3),
            placed=placed,
            pools=open_pools(self._file, built, solution),
            routing=routing,
            verdicts=verdict_rows(self._all, built, placed),
            facts=workload_facts(self._file, built, routing),
            people_fte=people_fte(built, solution),
            capex_usd=capital_usd(built, solution),
            unplaced=tuple(self._unplaced),
            checked=solution.checked,
            futures=told,
            stress=stressed,
            scales=found,
            strategies=strategies,
            no_regret=least_regret(strategies),
            crossovers=crossovers(built),
            constraints=priced,
            levers=self._levers(built, solution, placed),
            recipes=self._recipes(built, solution),
            contradictions=inputs.read.contradictions,
            missing=missing(self._all.verdicts.values()),
            regions=tokens_by_environment(self._file, built, placed),
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
            missing=missing(self._all.verdicts.values()),
        )

    def _levers(self, built: Built, solution: Solution, placed: tuple[Placed, ...]) -> tuple[Lever, ...]:
        dearest = sorted(placed, key=lambda each: -each.usd_per_month)
        found: list[Lever] = []
        for name, option in list(dict.fromkeys((row.workload, row.options[0]) for row in dearest))[:LEVERS_OF]:
            freed = Freed(built, solution, name, option)
            inputs = self._inputs
            found += levers(self._file, built, name, option, freed, inputs.catalogue, inputs.calibration)
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
            made = recipe(name, option, legs, round(each * sum(solution.lots[index])), self._inputs.catalogue)
            if made is not None:
                found.append(made)
        return tuple(found)
