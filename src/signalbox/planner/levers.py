"""What would make a chosen placement cheaper, with its saving for this workload and what evidence would confirm it."""

from __future__ import annotations

from msgspec import Struct

from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.demand import Demand
from signalbox.planner.economics import Leg, slo_of
from signalbox.planner.model import knee
from signalbox.planner.specs import LengthMix, PlannerError, Quantisation
from signalbox.planner.workload_file import Option, PlanWorkload

# Speculative decoding: two or three tokens accepted a step is common for chat; counted only where one call at a time
# is fast enough anyway, because it costs throughput under load.
SPECULATIVE_SPEEDUP = 1.6
SEMANTIC_HITS = 0.10


class Lever(Struct, frozen=True):
    """saving: share of the workload's cost there. needs: the evidence that would confirm it."""

    workload: str
    option: str
    name: str
    saving: float
    needs: str


def levers(
    name: str, workload: PlanWorkload, demand: Demand, option_name: str, option: Option, leg: Leg, catalogue: Catalogue
) -> list[Lever]:
    found = [
        Lever(
            name,
            option_name,
            "semantic cache",
            SEMANTIC_HITS,
            f"hits on a day of recorded calls; {SEMANTIC_HITS:.0%} is assumed, at an error that the workload allows",
        )
    ]
    paid = leg.usd_per_call
    if leg.use_s <= 0 and paid > 0:
        if leg.usd[1] > 0:
            full = leg.usd[0] / max(1e-9, 1 - demand.cacheable) + leg.usd[2] + leg.usd[3]
            needs = "cache_read tokens in the ledger; counted in the plan already"
            found.append(Lever(name, option_name, "prompt caching", 1 - paid / full, needs))
        if option.kind != "batch-api" and demand.max_delay_h < 24:
            found.append(Lever(name, option_name, "batch API", 0.5, "callers that can wait a day"))
    if leg.config is not None and leg.capacity is not None:
        found += _serving(name, workload, demand, option_name, option, leg, catalogue)
    return [each for each in found if each.saving > 0.005]


def _serving(
    name: str, workload: PlanWorkload, demand: Demand, option_name: str, option: Option, leg: Leg, catalogue: Catalogue
) -> list[Lever]:
    """Savings as replicas less: throughput gained at the same targets."""
    found: list[Lever] = []
    config = leg.config
    if config is None or leg.capacity is None:
        return found
    try:
        model, gpu = catalogue.model(option.model), catalogue.gpu(option.gpu or "")
        mix = LengthMix(
            input_tokens=demand.input_tokens, output_tokens=demand.output_tokens, cached_share=demand.cacheable
        )
        now = leg.capacity.requests_per_s.p50
        smaller: dict[Quantisation, Quantisation] = {"bf16": "fp8", "fp8": "int4", "int8": "int4"}
        to = smaller.get(config.quantisation)
        if to is not None:
            changed = type(config)(engine=config.engine, quantisation=to, tensor_parallel=config.tensor_parallel)
            then = knee(model, gpu, changed, mix, slo_of(workload)).requests_per_s.p50
            needs = f"the evaluation {workload.quality.eval} on {to} weights"
            found.append(
                Lever(name, option_name, f"quantisation to {to}", 1 - now / then if then > now else 0.0, needs)
            )
        if demand.cacheable > 0:
            cold = LengthMix(input_tokens=demand.input_tokens, output_tokens=demand.output_tokens)
            without = knee(model, gpu, config, cold, slo_of(workload)).requests_per_s.p50
            needs = "prefix hits that the engine reports; counted in the plan already"
            found.append(Lever(name, option_name, "prefix caching", 1 - without / now if without > 0 else 0.0, needs))
        if leg.capacity.concurrency <= 8:
            needs = "accepted tokens a step, measured with `signalbox bench deployment`"
            found.append(Lever(name, option_name, "speculative decoding", 1 - 1 / SPECULATIVE_SPEEDUP, needs))
    except (PlannerError, ValueError):
        return found
    return found
