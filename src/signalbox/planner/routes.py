"""From a workload file to the decision as numbers: which options each workload may use, at what load and price, and
why the others are out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from signalbox.planner.calibration import Calibration
from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.demand import HOURS_PER_MONTH, SECONDS_PER_HOUR, Demand, demand_of
from signalbox.planner.economics import (
    TAIL,
    TEAM_FTE,
    Leg,
    NotPriced,
    RatesFor,
    lot_leg,
    needs_opening,
    opening_pool,
    paid_by_token,
    pool_of,
    token_leg,
)
from signalbox.planner.hours import HourClasses, hour_classes
from signalbox.planner.instance import NO_POOL, Floats, Instance, Pool, Route
from signalbox.planner.reasons import Verdict
from signalbox.planner.specs import PlannerError, ServingConfig
from signalbox.planner.workload_file import Option, PlanFile, PlanWorkload, Targets

# Why a rule refuses: workload -> option -> (rule id, source). What is not here is permitted.
Refusals = Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]]

# Legs on lots, and why there is none: by option, tokens of a call and targets.
Known = dict[tuple[str, float, float, float, Targets], "Leg | NotPriced"]

# Of a workload's peak, what a pool may be given at most before the rest overflows.
SPILL_OVER = (0.5,)


class Built(Struct, frozen=True):
    """legs: by workload and option, whether chosen or not. fallback: by workload, the option of its overflow."""

    instance: Instance
    classes: HourClasses
    demands: tuple[Demand, ...]
    legs: dict[tuple[str, str], Leg]
    verdicts: dict[tuple[str, str], Verdict]
    fallback: dict[str, str]
    configs: dict[str, ServingConfig]
    refused: dict[tuple[str, str], tuple[str, ...]]


class Relaxed(Struct, frozen=True):
    """What is set aside for a question such as "what does this constraint cost". rules: ids, `*` for all. quality: add
    this to every score. latency: without targets. spare: without spare lots. people, capital: without those limits.
    lots: as many as anybody could want.
    """

    rules: frozenset[str] = frozenset()
    quality: float = 0.0
    evidence: bool = False
    latency: bool = False
    spare: bool = False
    people: bool = False
    capital: bool = False
    lots: bool = False
    only: str = ""


NOTHING_RELAXED = Relaxed()
# Of a pool without a limit of its own.
LOTS_MANY = 100_000


def build(
    file: PlanFile,
    refusals: Refusals,
    catalogue: Catalogue,
    rates_for: RatesFor,
    *,
    calibration: Calibration | None = None,
    scale: float = 1.0,
    relaxed: Relaxed = NOTHING_RELAXED,
    known: Known | None = None,
) -> Built:
    """known: what builds of the same file share, so that no prediction is made twice."""
    return _Builder(file, refusals, catalogue, rates_for, calibration, scale, relaxed, known).built()


class _Builder:
    def __init__(
        self,
        file: PlanFile,
        refusals: Refusals,
        catalogue: Catalogue,
        rates_for: RatesFor,
        calibration: Calibration | None,
        scale: float,
        relaxed: Relaxed,
        known: Known | None,
    ) -> None:
        self._known: Known = {} if known is None else known
        self._file = file
        self._refusals = refusals
        self._catalogue = catalogue
        self._rates_for = rates_for
        self._calibration = calibration
        self._relaxed = relaxed
        demands = [demand_of(workload) for workload in file.workloads.values()]
        self._demands = [replace(each, requests_per_day=each.requests_per_day * scale) for each in demands]
        self._classes = hour_classes(self._demands)
        self._busy_share = float(np.dot(self._classes.busy, self._classes.hours)) / HOURS_PER_MONTH
        self._pools: dict[str, int] = {}
        self._pool_list: list[Pool] = []
        self._routes: list[Route] = []
        self._legs: dict[tuple[str, str], Leg] = {}
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._configs: dict[str, ServingConfig] = {}
        self._fallback: dict[str, str] = {}
        self._refused: dict[tuple[str, str], tuple[str, ...]] = {}

    def built(self) -> Built:
        for index, (name, workload) in enumerate(self._file.workloads.items()):
            self._workload(index, name, workload)
        organisation, relaxed = self._file.organisation, self._relaxed
        fte, capex = organisation.fte_available, organisation.capex_usd_max
        instance = Instance(
            workloads=tuple(self._file.workloads),
            routes=tuple(self._routes),
            pools=tuple(self._pool_list),
            hours=self._classes.hours,
            fte_usd_per_month=organisation.fte_usd_per_year.value / 12,
            team_fte=TEAM_FTE,
            fte_max=None if fte is None or relaxed.people else fte.value,
            capex_max=None if capex is None or relaxed.capital else capex.value,
        )
        return Built(
            instance=instance,
            classes=self._classes,
            demands=tuple(self._demands),
            legs=self._legs,
            verdicts=self._verdicts,
            fallback=self._fallback,
            configs=self._configs,
            refused=self._refused,
        )

    # --- one workload ---

    def _workload(self, index: int, name: str, workload: PlanWorkload) -> None:
        demand = self._demands[index]
        good: list[str] = []
        weak: list[str] = []
        for option_name, option in self._file.options.items():
            try:
                self._may(name, workload, option_name, option, demand)
                self._legs[name, option_name] = self._leg(option_name, option, workload, demand)
                enough = self._good_enough(name, workload, option_name, option)
            except NotPriced as why:
                self._judge(name, option_name, why.code, why.detail, why.fix)
                continue
            if enough:
                self._judge(name, option_name, "permitted")
            (good if enough else weak).append(option_name)
        tokens = [each for each in good if self._is_base(each)]
        base = min(tokens, key=lambda each: self._legs[name, each].usd_per_call, default=None)
        if base is not None:
            self._fallback[name] = base
        for each in good:
            self._direct(index, name, workload, each, base)
        if workload.quality.escalation:
            self._cascades(index, name, workload, weak, good, base)

    def _judge(self, workload: str, option: str, code: str, detail: str = "", fix: str = "") -> None:
        rules = self._refused.get((workload, option), ())
        self._verdicts[workload, option] = Verdict(workload, option, code, detail, None, rules, fix)

    def _may(self, name: str, workload: PlanWorkload, option_name: str, option: Option, demand: Demand) -> None:
        """Raises NotPriced where the workload may not use the option, whatever it costs."""
        found = self._refusals.get(name, {}).get(option_name, ())
        gone = self._relaxed.rules if self._relaxed.only in ("", name) else frozenset[str]()
        left = [(rule, source) for rule, source in found if rule not in gone and "*" not in gone]
        if left:
            self._refused[name, option_name] = tuple(rule for rule, _ in left)
            told = "; ".join(f"{rule}: {source}" if source else rule for rule, source in left)
            raise NotPriced("forbidden-by-rule", told)
        if workload.options and option_name not in workload.options:
            raise NotPriced("not-listed", "")
        if option.kind == "batch-api" and not demand.batchable:
            raise NotPriced("cannot-wait", f"max_delay_h is {demand.max_delay_h:g}, 24 are needed")
        longest = TAIL * (demand.input_tokens + demand.output_tokens)
        if option.context_tokens and longest > option.context_tokens:
            raise NotPriced("context-too-short", f"calls of about {longest:,.0f} tokens, {option.context_tokens:,} fit")
        if option.availability < workload.targets.availability:
            raise NotPriced(
                "unavailable", f"{option.availability:g} of the time, {workload.targets.availability:g} wanted"
            )
        if paid_by_token(option) and option.kind != "batch-api" and not self._relaxed.latency:
            self._fast_enough(workload, option, demand)

    def _fast_enough(self, workload: PlanWorkload, option: Option, demand: Demand) -> None:
        targets = workload.targets
        if targets.ttft_p95_ms is None and targets.tpot_ms is None and targets.e2e_p95_ms is None:
            return
        first, each = option.ttft_p95_ms, option.tpot_ms
        asks_first = targets.ttft_p95_ms is not None or targets.e2e_p95_ms is not None
        asks_each = targets.tpot_ms is not None or targets.e2e_p95_ms is not None
        if (asks_first and first is None) or (asks_each and each is None):
            raise NotPriced("latency-unknown", "", "Add `ttft_p95_ms` and `tpot_ms` as measured to the option")
        if targets.ttft_p95_ms is not None and first is not None and first.value > targets.ttft_p95_ms.value:
            raise NotPriced("too-slow", f"first token {first.value:g} ms, {targets.ttft_p95_ms.value:g} wanted")
        if targets.tpot_ms is not None and each is not None and each.value > targets.tpot_ms.value:
            raise NotPriced("too-slow", f"{each.value:g} ms a token, {targets.tpot_ms.value:g} wanted")
        if targets.e2e_p95_ms is not None and first is not None and each is not None:
            whole = first.value + each.value * demand.output_tokens * TAIL
            if whole > targets.e2e_p95_ms.value:
                raise NotPriced("too-slow", f"{whole:,.0f} ms to the last token, {targets.e2e_p95_ms.value:g} wanted")

    def _good_enough(self, name: str, workload: PlanWorkload, option_name: str, option: Option) -> bool:
        """Raises NotPriced without evidence; false where it falls short, so that it may only answer first."""
        minimum, evaluation = workload.quality.minimum, workload.quality.eval
        if minimum <= 0 or self._relaxed.evidence:
            return True
        score = option.quality.get(evaluation)
        if score is None:
            fix = f"Add `quality: {{{evaluation}: …}}` to options.{option_name}"
            raise NotPriced("quality-unknown", f"evaluation {evaluation}", fix)
        if score.value + self._relaxed.quality < minimum:
            self._judge(name, option_name, "quality-below", f"{score.value:g} in {evaluation}, {minimum:g} wanted")
            return False
        return True

    def _leg(self, name: str, option: Option, workload: PlanWorkload, demand: Demand) -> Leg:
        if paid_by_token(option):
            leg = token_leg(name, option, demand, self._rates_for)
            if needs_opening(option):
                self._open(name, option, None)
            return leg
        asked = replace(workload, targets=replace(workload.targets, ttft_p95_ms=None, tpot_ms=None, e2e_p95_ms=None))
        held_to = asked if self._relaxed.latency else workload
        key = (name, demand.input_tokens, demand.output_tokens, demand.cacheable, held_to.targets)
        found = self._known.get(key)
        if found is None:
            try:
                found = lot_leg(name, option, held_to, demand, self._catalogue, self._calibration)
            except NotPriced as why:
                found = why
            self._known[key] = found
        if isinstance(found, NotPriced):
            raise found
        leg = found
        if leg.config is not None:
            self._configs[name] = leg.config
        self._open(name, option, leg.config)
        return leg

    def _open(self, name: str, option: Option, config: ServingConfig | None) -> None:
        if name in self._pools:
            return
        organisation = self._file.organisation
        if paid_by_token(option):
            pool = opening_pool(name, option, organisation, len(self._classes.hours))
        else:
            pool = pool_of(
                name,
                option,
                organisation,
                config,
                watts=self._watts(option),
                busy=self._classes.busy,
                busy_share=self._busy_share,
            )
            if self._relaxed.spare:
                pool = replace(pool, spare=0)
            if self._relaxed.lots:
                pool = replace(pool, lots_max=LOTS_MANY)
        self._pools[name] = len(self._pool_list)
        self._pool_list.append(pool)

    def _watts(self, option: Option) -> float:
        try:
            return self._catalogue.gpu(option.gpu).watts if option.gpu else 0.0
        except PlannerError:
            return 0.0

    def _is_base(self, option: str) -> bool:
        """Whether an option can take any overflow: paid by the token, at once, without being opened first."""
        found = self._file.options[option]
        return paid_by_token(found) and not needs_opening(found) and found.share_max >= 1 and found.kind != "batch-api"

    # --- routes ---

    def _calls(self, index: int) -> Floats:
        return self._classes.load[index] * np.asarray(self._classes.hours) * SECONDS_PER_HOUR

    def _direct(self, index: int, name: str, workload: PlanWorkload, option: str, base: str | None) -> None:
        leg = self._legs[name, option]
        self._add(index, name, workload, (option,), leg, leg.usd_per_call, base)

    def _cascades(
        self, index: int, name: str, workload: PlanWorkload, weak: list[str], good: list[str], base: str | None
    ) -> None:
        """A small model first, and what it cannot do to one that can. Its quality is counted as if calls were handed on
        by chance: whoever measures better may say so in the evaluation."""
        share = workload.quality.escalation_share.value
        strong = [each for each in good if self._is_base(each)]
        if not weak or not strong or not share > 0:
            return
        second = min(strong, key=lambda each: self._legs[name, each].usd_per_call)
        evaluation, minimum = workload.quality.eval, workload.quality.minimum
        above = self._file.options[second].quality[evaluation].value
        for first in weak:
            score = self._file.options[first].quality[evaluation].value
            together = score + share * (above - score)
            if together + self._relaxed.quality < minimum:
                continue
            leg = self._legs[name, first]
            usd = leg.usd_per_call + share * self._legs[name, second].usd_per_call
            self._add(index, name, workload, (first, second), leg, usd, base, quality=together)

    def _add(
        self,
        index: int,
        name: str,
        workload: PlanWorkload,
        options: tuple[str, ...],
        leg: Leg,
        usd_per_call: float,
        base: str | None,
        quality: float | None = None,
    ) -> None:
        calls = self._calls(index)
        option = self._file.options[options[0]]
        if quality is None:
            known = option.quality.get(workload.quality.eval)
            quality = known.value if known is not None else None
        route = Route(
            workload=index,
            options=options,
            pool=self._pools.get(options[0], NO_POOL),
            load=tuple(float(each) for each in self._classes.load[index] * leg.use_s),
            usd_per_month=float(calls.sum()) * usd_per_call,
            share_max=option.share_max,
            quality=quality,
            must=base is None or base == options[0],
        )
        if leg.use_s <= 0:
            self._routes.append(replace(route, must=False))
            return
        if self._demands[index].shiftable:
            self._shifted(route, calls, leg)
            return
        self._routes.append(route)
        if base is not None and base != options[0]:
            self._spilling(route, calls, leg, usd_per_call, base, self._legs[name, base].usd_per_call)

    def _spilling(self, route: Route, calls: Floats, leg: Leg, usd_per_call: float, base: str, base_usd: float) -> None:
        load = self._classes.load[route.workload]
        if float(load.max()) <= float(load.min()) * 1.0001:
            return
        for over in SPILL_OVER:
            held = np.minimum(load, over * float(load.max()))
            kept = float((held * np.asarray(self._classes.hours)).sum() * SECONDS_PER_HOUR / calls.sum())
            self._routes.append(
                replace(
                    route,
                    load=tuple(float(each) for each in held * leg.use_s),
                    usd_per_month=float(calls.sum()) * (kept * usd_per_call + (1 - kept) * base_usd),
                    kept=kept,
                    spill=base,
                    pattern=f"{over:.0%} of its peak",
                )
            )

    def _shifted(self, route: Route, calls: Floats, leg: Leg) -> None:
        """What can wait half a day runs evenly, or in the hours that are not busy."""
        hours = np.asarray(self._classes.hours)
        quiet = np.asarray([0.0 if each else 1.0 for each in self._classes.busy])
        for pattern, where in (("even", np.ones(len(hours))), ("quiet", quiet)):
            seconds = float((hours * where).sum()) * SECONDS_PER_HOUR
            if seconds > 0:
                load = where * float(calls.sum()) / seconds * leg.use_s
                self._routes.append(replace(route, load=tuple(float(each) for each in load), pattern=pattern))
