"""The six questions a leader asks, answered from the plan, and the five steps from a prototype to an optimised one."""

from __future__ import annotations

import math

from signalbox.planner.plan import PhaseStep, Plan, RoutingRow
from signalbox.planner.workload_file import PlanFile

SIX = ("data sensitivity", "performance", "customisation", "total cost", "team capability", "regulation")

# Parts of what an option is planned to hold, one after the other.
STAGES = (0.05, 0.25, 0.5, 1.0)
LEVERS_TOLD = 3
LEAST = 0.005
NO_LOT = "room, but no whole lot less"


def answers(file: PlanFile, plan: Plan) -> dict[str, str]:
    """One sentence or two for each of SIX."""
    labelled = {label for workload in file.workloads.values() for label in workload.data}
    forbidden = sum(verdict.code == "forbidden-by-rule" for verdict in plan.verdicts)
    slow = sum(verdict.code in ("too-slow", "latency-unknown") for verdict in plan.verdicts)
    weak = sum(verdict.code in ("quality-below", "quality-unknown") for verdict in plan.verdicts)
    tuned = [name for name, option in file.options.items() if option.augment.fine_tunes_per_year > 0]
    cost = plan.futures.usd_per_month if plan.futures is not None else None
    band = f", {cost.p10:,.0f} to {cost.p90:,.0f} in eight futures of ten" if cost is not None else ""
    limit = file.organisation.fte_available
    regulations = sorted({each for workload in file.workloads.values() for each in workload.regulations})
    where = ", ".join(f"{share:.0%} in {name}" for name, share in plan.regions.items())
    return {
        SIX[0]: f"Declared: {', '.join(sorted(labelled)) or 'nothing'}. Rules took out {forbidden} of "
        f"{len(plan.verdicts)} combinations. Content goes to: {where or 'nowhere'}.",
        SIX[1]: f"{slow} combinations miss latency targets or were never measured. Throughput and end-to-end time are "
        "planned on; the time to the first token is given as a range.",
        SIX[2]: f"{weak} combinations fall short of a quality minimum or have no score. "
        f"Fine-tuned options: {', '.join(tuned) or 'none'}.",
        SIX[3]: f"{plan.usd_per_month:,.0f} USD a month at the median{band}; capital {plan.capex_usd:,.0f} USD.",
        SIX[4]: f"{plan.people_fte:.2f} engineers are bound"
        + (f" of {limit.value:g} available." if limit is not None else ", with no limit stated."),
        SIX[5]: f"Regulations: {', '.join(regulations) or 'none declared'}; packs: {', '.join(file.packs) or 'none'}. "
        "Routes were compiled by the rules that the gateway enforces.",
    }


def playbook(file: PlanFile, plan: Plan) -> tuple[PhaseStep, ...]:
    steps: list[PhaseStep] = []
    for name, row in plan.routing.items():
        first = row.order[0]
        option = file.options[first]
        own = option.kind in ("rented", "owned", "edge")
        volume = file.workloads[name].volume
        counted = volume.conversations_per_day or volume.requests_per_day or volume.tokens_per_day
        start = next((each for each in reversed(row.order) if file.options[each].kind == "cloud-api"), None)
        if start is not None:
            steps.append(PhaseStep(name, "1 prototype", f"Begin with {start}: nothing to run, paid by the token."))
        if counted is None or counted.provenance != "measured":
            steps.append(PhaseStep(name, "2 measure", "Volume is declared. Plan again with --from-ledger 30d."))
        crossing = next((each for each in plan.crossovers if each.workload == name), None)
        if crossing is not None:
            steps.append(
                PhaseStep(name, "3 crossover", f"{crossing.sentence()}. Today: {crossing.today / 1e6:,.1f} M.")
            )
        if own and len(row.order) > 1:
            steps.append(PhaseStep(name, "4 shift", _shift(row)))
        mine = [each for each in plan.levers if each.workload == name and not each.counted and each.saving > LEAST]
        for best in sorted(mine, key=lambda each: (-each.usd_per_month, -each.saving))[:LEVERS_TOLD]:
            worth = f"{best.usd_per_month:,.0f} USD a month" if best.usd_per_month >= 1 else NO_LOT
            what = (
                f"{best.name} on {best.option}: {best.saving:.0%} of its work there, {worth}; confirm by {best.needs}."
            )
            steps.append(PhaseStep(name, "5 optimise", what))
    return tuple(steps)


def _shift(row: RoutingRow) -> str:
    """A migration that can be carried out: what the first option may hold rises, and the rest stays where it was."""
    first, before = row.order[0], row.order[-1]
    if row.concurrency:
        stages = [max(1, math.ceil(part * row.concurrency)) for part in STAGES]
        counts = ", ".join(str(each) for each in dict.fromkeys(stages))
        return (
            f"From {before} to {first}: strategy overflow with `saturation.in_flight_max` of {first} at {counts}; each "
            "after a week within targets (`signalbox plan check`). What it may not hold goes on to the next."
        )
    return f"From {before} to {first}, one key or team after the other; each after a week within targets."
