"""What if: ten and a hundred times the volume, each constraint set aside, the smallest change where nothing fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations

from msgspec import Struct
from msgspec.structs import replace

from signalbox.planner.instance import Solution
from signalbox.planner.routes import Built, Relaxed
from signalbox.planner.solver import solve

SCALES = (1.0, 10.0, 100.0)
# Questions beside the plan itself are answered to this gap and within this time; the answer says when it was not.
SIDE_GAP, SIDE_S = 1e-3, 2.0
RULES_MAX = 6
# Of the options that score too little, those nearest to the minimum that are asked, and reasons that are told.
STEPS_MAX, BECAUSE_MAX = 4, 8
# Scores are decimals; a step between two of them reaches them from either side.
ROUNDING = 1e-9

BuildWith = Callable[[float, Relaxed], Built]


class Scale(Struct, frozen=True):
    """The best plan at a multiple of today's volume. usd_per_month: None where nothing fits. opened: options with lots.
    exact: solved to a gap of 0. limits: what stands in the way of more, or of anything where nothing fits."""

    factor: float
    usd_per_month: float | None
    usd_per_mtok: float | None
    opened: tuple[str, ...]
    by_option: dict[str, float]
    exact: bool
    limits: tuple[str, ...] = ()


class Strategy(Struct, frozen=True):
    """A set of options to open, held at every scale. regret: its cost over the best, by scale; None: no fit."""

    opened: tuple[str, ...]
    regret: tuple[float | None, ...]

    @property
    def worst(self) -> float:
        return max((float("inf") if each is None else each) for each in self.regret)


class ConstraintPrice(Struct, frozen=True):
    """What the plan would cost without one constraint. usd_per_month: None when it could not be told in time."""

    constraint: str
    usd_per_month: float | None
    saves_usd: float | None


class Relaxation(Struct, frozen=True):
    """The smallest set of things to set aside so that something fits. workload: empty for the plan as a whole. because:
    where nothing helps, what keeps each option out and what to add where."""

    workload: str
    change: tuple[str, ...]
    opens: tuple[str, ...]
    because: tuple[str, ...] = ()

    def sentence(self) -> str:
        who = f"{self.workload}: " if self.workload else ""
        if not self.change:
            return f"{who}nothing that could be set aside helps; add options that could serve it"
        opens = f" opens {', '.join(self.opens)}" if self.opens else " makes the plan possible"
        return f"{who}{' and '.join(self.change)}{opens}"


def scales(build_with: BuildWith, first: tuple[Built, Solution]) -> tuple[tuple[Scale, ...], tuple[Strategy, ...]]:
    """The best plan at each scale, and what holding on to one scale's choice costs at the others."""
    built = {1.0: first[0]}
    best = {1.0: first[1]}
    for factor in SCALES[1:]:
        built[factor] = build_with(factor, Relaxed())
        best[factor] = solve(built[factor].instance, time_limit_s=SIDE_S, gap=SIDE_GAP)
    sets: dict[tuple[str, ...], None] = {}
    for factor in SCALES:
        if best[factor].found:
            sets.setdefault(_opened(built[factor], best[factor]), None)
    sets.setdefault((), None)
    found = tuple(_strategy(names, built, best) for names in sets)
    return tuple(_scale(factor, built[factor], best[factor], build_with) for factor in SCALES), found


def _opened(built: Built, solution: Solution) -> tuple[str, ...]:
    return tuple(sorted(built.instance.pools[index].option for index in solution.opened()))


def _strategy(names: tuple[str, ...], built: dict[float, Built], best: dict[float, Solution]) -> Strategy:
    regret: list[float | None] = []
    for factor in SCALES:
        there = built[factor]
        if not best[factor].found:
            regret.append(None)
        elif _opened(there, best[factor]) == names:
            regret.append(0.0)
        else:
            allowed = frozenset(index for index, pool in enumerate(there.instance.pools) if pool.option in names)
            found = solve(there.instance, time_limit_s=SIDE_S, gap=SIDE_GAP, open_only=allowed)
            cost = best[factor].usd_per_month
            regret.append(max(0.0, found.usd_per_month / cost - 1) if found.found and cost > 0 else None)
    return Strategy(names, tuple(regret))


def _scale(factor: float, built: Built, solution: Solution, build_with: BuildWith) -> Scale:
    tokens = sum(each.tokens_per_day for each in built.demands) * 365 / 12
    if not solution.found:
        change = whole_change(lambda _, relaxed: build_with(factor, relaxed))
        return Scale(factor, None, None, (), {}, solution.status == "infeasible", change.change)
    usd = solution.usd_per_month
    by_option: dict[str, float] = {}
    for index, share in enumerate(solution.share):
        if share > 0:
            route = built.instance.routes[index]
            part = float(share) * built.demands[route.workload].tokens_per_day
            by_option[route.options[0]] = by_option.get(route.options[0], 0.0) + part * route.kept
            if route.spill is not None:
                by_option[route.spill] = by_option.get(route.spill, 0.0) + part * (1 - route.kept)
    total = sum(by_option.values())
    shares = {name: part / total for name, part in sorted(by_option.items(), key=lambda each: -each[1])}
    exact = solution.status == "optimal"
    each = usd / tokens * 1e6 if tokens else None
    return Scale(factor, usd, each, _opened(built, solution), shares, exact, _limits(built, solution))


def _limits(built: Built, solution: Solution) -> tuple[str, ...]:
    """Pools of which there are no more lots, and people or capital of which no whole lot is left."""
    instance = built.instance
    lots = list(zip(instance.pools, solution.lots, strict=True))
    found = [f"lots_max of {pool.option}" for pool, counts in lots if sum(counts) >= pool.lots_max > 1]
    opened = [(pool, counts) for pool, counts in lots if sum(counts)]
    capital = sum(
        count * tier.capex_usd for pool, counts in opened for count, tier in zip(counts, pool.tiers, strict=True)
    )
    least = min((tier.capex_usd for pool, _ in opened for tier in pool.tiers if tier.capex_usd > 0), default=0.0)
    if instance.capex_max is not None and least and capital + least > instance.capex_max:
        found.append("capex_usd_max")
    team = instance.team_fte if any(pool.team for pool, _ in opened) else 0.0
    people = team + sum(pool.open_fte + pool.lot_fte * sum(counts) for pool, counts in opened)
    more = min((pool.lot_fte for pool, _ in opened if pool.lot_fte > 0), default=0.0)
    if instance.fte_max is not None and more and people + more > instance.fte_max:
        found.append("fte_available")
    return tuple(found)


def prices(build_with: BuildWith, first: tuple[Built, Solution], *, seconds: float) -> tuple[ConstraintPrice, ...]:
    """What each constraint costs, dearest first, as long as there is time."""
    built, solution = first
    asked: list[tuple[str, Relaxed]] = []
    rules: dict[str, int] = {}
    for ids in built.refused.values():
        for rule in ids:
            rules[rule] = rules.get(rule, 0) + 1
    codes = {verdict.code for verdict in built.verdicts.values()}
    if built.instance.fte_max is not None:
        asked.append(("fte_available", Relaxed(people=True)))
    if built.instance.capex_max is not None:
        asked.append(("capex_usd_max", Relaxed(capital=True)))
    if any(pool.spare for pool in built.instance.pools):
        asked.append(("spare lots (N+1)", Relaxed(spare=True)))
    if codes & {"too-slow", "latency-unknown"}:
        asked.append(("latency targets", Relaxed(latency=True)))
    if codes & {"quality-unknown", "quality-below"}:
        asked.append(("quality minimums", Relaxed(evidence=True)))
    common = sorted(rules, key=lambda rule: -rules[rule])[:RULES_MAX]
    asked += [(f"rule {rule}", Relaxed(rules=frozenset((rule,)))) for rule in common]
    found: list[ConstraintPrice] = []
    left_s = seconds
    for name, relaxed in asked:
        if left_s <= 0:
            found.append(ConstraintPrice(name, None, None))
            continue
        there = solve(build_with(1.0, relaxed).instance, time_limit_s=min(SIDE_S, left_s), gap=SIDE_GAP)
        left_s -= there.seconds
        if not there.found or not solution.found:
            found.append(ConstraintPrice(name, there.usd_per_month if there.found else None, None))
            continue
        saves = max(0.0, solution.usd_per_month - there.usd_per_month)
        found.append(ConstraintPrice(name, there.usd_per_month, saves))
    return tuple(sorted(found, key=lambda each: -(each.saves_usd or 0.0)))


def smallest_change(
    build_one: Callable[[Relaxed], Built], workload: str, minimum: float, scores: Iterable[float]
) -> Relaxation:
    """The fewest things to set aside so that at least one option serves a workload. minimum: of its quality. scores:
    what the options reach in its evaluation, those that were scored."""
    strict = build_one(Relaxed())
    ids = sorted({rule for (name, _), rules in strict.refused.items() if name == workload for rule in rules})
    things: list[tuple[str, Relaxed]] = [("give up the latency targets", Relaxed(latency=True))]
    below = sorted({score for score in scores if score < minimum}, reverse=True)[:STEPS_MAX]
    steps = [
        (f"lower the quality minimum to {score:g}", Relaxed(quality=minimum - score + ROUNDING)) for score in below
    ]
    things += [*steps, ("score the options in the evaluation, or drop the minimum", Relaxed(evidence=True))]
    things += [(f"give up rule {rule}", Relaxed(rules=frozenset((rule,)))) for rule in ids]
    for size in (1, 2, 3):
        for chosen in combinations(things, size):
            there = build_one(_together(relaxed for _, relaxed in chosen))
            if not there.instance.without_routes():
                opens = tuple(dict.fromkeys(route.options[0] for route in there.instance.routes))
                return Relaxation(workload, tuple(name for name, _ in chosen), opens)
    there = build_one(Relaxed(rules=frozenset("*"), evidence=True, latency=True))
    if not there.instance.without_routes():
        opens = tuple(dict.fromkeys(route.options[0] for route in there.instance.routes))
        every = tuple(f"give up rule {rule}" for rule in ids)
        return Relaxation(workload, (*every, "its quality and latency targets"), opens)
    keep = [f"{each.sentence()}{f'. {each.fix}' if each.fix else ''}" for each in there.verdicts.values()]
    return Relaxation(workload, (), (), tuple(keep[:BECAUSE_MAX]))


def _together(parts: Iterable[Relaxed]) -> Relaxed:
    whole = Relaxed()
    for part in parts:
        whole = replace(
            whole,
            rules=whole.rules | part.rules,
            quality=max(whole.quality, part.quality),
            evidence=whole.evidence or part.evidence,
            latency=whole.latency or part.latency,
        )
    return whole


def whole_change(build_with: BuildWith) -> Relaxation:
    """What makes a plan possible where every workload has a way and all of them together do not fit."""
    for name, options, share in build_with(1.0, Relaxed()).instance.short_of_shares():
        change = f"raise share_max of {', '.join(options)}, which may take no more than {share:.0%} of it together"
        return Relaxation(name, (change,), ())
    things = (
        ("raise fte_available", Relaxed(people=True)),
        ("raise capex_usd_max", Relaxed(capital=True)),
        ("give up spare lots", Relaxed(spare=True)),
        ("raise fte_available and capex_usd_max", Relaxed(people=True, capital=True)),
        ("raise both and give up spare lots", Relaxed(people=True, capital=True, spare=True)),
        ("give up the latency targets", Relaxed(latency=True)),
        ("raise lots_max of the options", Relaxed(lots=True)),
        ("raise fte_available, capex_usd_max and lots_max", Relaxed(people=True, capital=True, lots=True)),
    )
    for name, relaxed in things:
        if solve(build_with(1.0, relaxed).instance, time_limit_s=SIDE_S, gap=SIDE_GAP).found:
            return Relaxation("", (name,), ())
    return Relaxation("", (), ())
