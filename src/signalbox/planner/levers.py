"""What would make a chosen placement cheaper: each lever with what it saves for this workload, and the evidence that
would confirm it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from signalbox.planner.calibration import Calibration
from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.demand import Demand
from signalbox.planner.economics import Leg, paid_by_token, slo_of
from signalbox.planner.freed import Freed
from signalbox.planner.model import knee, step_time
from signalbox.planner.recipe import DRAFT_TOKENS
from signalbox.planner.routes import Built
from signalbox.planner.specs import GpuSpec, LengthMix, ModelSpec, PlannerError, Quantisation, ServingConfig
from signalbox.planner.workload_file import PlanFile, PlanWorkload

# Of guessed tokens, the share that the model agrees with: cautious for chat, where 0.6 to 0.8 are reported.
ACCEPTED = 0.6
# Of first calls of a conversation, those that ask what was asked before: an assumption, to be measured.
SEMANTIC_HITS = 0.10
SMALLER: dict[Quantisation, Quantisation] = {"bf16": "fp8", "fp8": "int4", "int8": "int4"}


class Lever(Struct, frozen=True):
    """saving: share of its work or of its tokens' cost there. usd_per_month: what that is worth in the plan, where only
    whole lots can be given back. counted: whether the plan has it already, so that it shows what would be lost. needs:
    the evidence that would confirm it."""

    workload: str
    option: str
    name: str
    saving: float
    needs: str
    usd_per_month: float = 0.0
    counted: bool = False


class _Place(Struct, frozen=True):
    """A workload where the plan has it, and what a change to it there is worth."""

    name: str
    option: str
    workload: PlanWorkload
    demand: Demand
    leg: Leg
    freed: Freed

    def lever(self, name: str, saving: float, needs: str) -> Lever:
        """Of what is still to be had: on lots whatever that gives back, of tokens the share."""
        usd = self.freed.times(1 - saving) if self.leg.use_s > 0 else self.freed.usd_per_month * saving
        return Lever(self.name, self.option, name, saving, needs, max(0.0, usd))

    def had(self, name: str, saving: float, needs: str) -> Lever:
        """Of what the plan counts on already: what it would cost besides without it."""
        without = 1 / max(1e-9, 1 - saving)
        on_lots = self.leg.use_s > 0
        usd = -self.freed.times(without) if on_lots else self.freed.usd_per_month * (without - 1)
        return Lever(self.name, self.option, name, saving, needs, max(0.0, usd), counted=True)


def levers(
    file: PlanFile,
    built: Built,
    name: str,
    option_name: str,
    freed: Freed,
    catalogue: Catalogue,
    calibration: Calibration | None = None,
) -> list[Lever]:
    """Every lever that there is to ask about there, largest saving first; one that saves nothing says so by 0."""
    index = built.instance.workloads.index(name)
    leg = built.legs[name, option_name]
    place = _Place(name, option_name, file.workloads[name], built.demands[index], leg, freed)
    found = [*_caches(place), *_waiting(file, place), *_tiers(file, built, place)]
    if leg.config is not None and leg.capacity is not None:
        try:
            model = catalogue.model(file.options[option_name].model)
            gpu = catalogue.gpu(file.options[option_name].gpu or "")
            found += _serving(place, leg.config, model, gpu, calibration)
        except (PlannerError, ValueError):
            pass
    return sorted(found, key=lambda each: -each.saving)


def _caches(place: _Place) -> Iterator[Lever]:
    """A whole answer from a cache, and the prompt's beginning from the provider's."""
    demand, volume = place.demand, place.workload.volume
    turns = max(1.0, volume.turns.value)
    new = volume.prompt_tokens.value + volume.input_tokens.value + volume.output_tokens.value
    first = min(1.0, new / (turns * (demand.input_tokens + demand.output_tokens))) if turns > 1 else 1.0
    begins = "calls" if turns == 1 else "first calls of a conversation"
    yield place.lever(
        "semantic cache",
        SEMANTIC_HITS * first,
        f"hits on a day of recorded calls; {SEMANTIC_HITS:.0%} of {begins} are assumed, at an error that the workload "
        "allows",
    )
    uncached, cached = place.leg.usd[0], place.leg.usd[1]
    if cached > 0:
        full = uncached / max(1e-9, 1 - demand.cacheable) + place.leg.usd[2] + place.leg.usd[3]
        yield place.had("prompt caching", 1 - place.leg.usd_per_call / full, "cache_read tokens in the ledger")


def _waiting(file: PlanFile, place: _Place) -> Iterator[Lever]:
    """Only where nobody has said how fast an answer must be."""
    demand, targets = place.demand, place.workload.targets
    if not (targets.ttft_p95_ms is None and targets.tpot_ms is None and targets.e2e_p95_ms is None):
        return
    if place.leg.use_s <= 0:
        if file.options[place.option].kind != "batch-api" and not demand.batchable:
            off = file.options[place.option].batch_discount.value
            yield place.lever("batch API", off, "callers that can wait a day, and a provider's batch price")
    elif not demand.shiftable and demand.peak_to_mean > 1:
        even = 1 - 1 / demand.peak_to_mean
        needs = "callers that can wait twelve hours (`max_delay_h`)"
        yield Lever(place.name, place.option, "off-peak", even, needs, max(0.0, place.freed.evened()))


def _tiers(file: PlanFile, built: Built, place: _Place) -> Iterator[Lever]:
    """A cheaper model first, and this one for what it hands on."""
    quality, now = place.workload.quality, place.leg.usd_per_call
    share = quality.escalation_share.value
    if place.leg.use_s > 0 or now <= 0 or not share < 1:
        return
    smaller = [
        (leg.usd_per_call, option)
        for (name, option), leg in built.legs.items()
        if name == place.name and paid_by_token(file.options[option]) and 0 < leg.usd_per_call < now
    ]
    if smaller:
        usd, option = min(smaller)
        needs = f"{1 - share:.0%} of the calls answered well enough by {option}, in the evaluation {quality.eval}"
        yield place.lever(f"tiering with {option}", 1 - (usd + share * now) / now, needs)


def _serving(
    place: _Place, config: ServingConfig, model: ModelSpec, gpu: GpuSpec, calibration: Calibration | None
) -> Iterator[Lever]:
    """Savings as replicas less: throughput gained at the same targets."""
    demand, capacity, slo = place.demand, place.leg.capacity, slo_of(place.workload)
    if capacity is None or capacity.at_knee is None:
        return
    now = capacity.requests_per_s.p50
    mix = LengthMix(
        input_tokens=max(1.0, place.leg.tokens - demand.output_tokens),
        output_tokens=demand.output_tokens,
        cached_share=demand.cacheable if config.engine != "llama.cpp" else 0.0,
    )
    to = SMALLER.get(config.quantisation)
    if to is not None:
        changed = ServingConfig(engine=config.engine, quantisation=to, tensor_parallel=config.tensor_parallel)
        then = knee(model, gpu, changed, mix, slo, calibration).requests_per_s.p50
        needs = f"the evaluation {place.workload.quality.eval} on {to} weights, and `bench deployment` with them"
        yield place.lever(f"quantisation to {to}", 1 - now / then if then > now else 0.0, needs)
    if mix.cached_share > 0:
        cold = LengthMix(input_tokens=mix.input_tokens, output_tokens=mix.output_tokens)
        without = knee(model, gpu, config, cold, slo, calibration).requests_per_s.p50
        yield place.had("prefix caching", 1 - without / now, "prefix hits that the engine reports")
    if capacity.concurrency > 1:
        alone_s = step_time(model, gpu, config, mix, 1, calibration)[0]
        together_s = step_time(model, gpu, config, mix, capacity.concurrency, calibration)[0]
        saved = 1 - together_s / capacity.concurrency / alone_s
        needs = f"up to {capacity.concurrency} calls under way at a replica, as the engine reports"
        yield place.had("batching", saved * _decoding(place), needs)
    yield _speculation(place, config, model, gpu, mix, calibration)


def _speculation(
    place: _Place,
    config: ServingConfig,
    model: ModelSpec,
    gpu: GpuSpec,
    mix: LengthMix,
    calibration: Calibration | None,
) -> Lever:
    """A step checks every guessed token as if it were a sequence more: on the safe side, and dear under full load."""
    capacity = place.leg.capacity
    running = capacity.concurrency if capacity is not None else 1
    plain = step_time(model, gpu, config, mix, running, calibration)[0]
    checked = step_time(model, gpu, config, mix, running * (1 + DRAFT_TOKENS), calibration)[0]
    accepted = sum(ACCEPTED**at for at in range(DRAFT_TOKENS + 1))
    saved = max(0.0, 1 - checked / accepted / plain) * _decoding(place)
    needs = f"accepted tokens a step, measured with `signalbox bench deployment`; {accepted:.1f} are assumed"
    return place.lever("speculative decoding", saved, needs)


def _decoding(place: _Place) -> float:
    """Of a call's time at the knee, what its answer takes."""
    knee_of = place.leg.capacity.at_knee if place.leg.capacity is not None else None
    if knee_of is None or not knee_of.e2e_s.p50 > 0:
        return 1.0
    return min(1.0, place.demand.output_tokens * knee_of.tpot_s.p50 / knee_of.e2e_s.p50)
