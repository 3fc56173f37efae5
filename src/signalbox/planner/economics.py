"""What an option costs and how much it carries: token prices, lots by way of paying, people, and the load of a call."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from signalbox.core.usage import Rates
from signalbox.planner.calibration import Calibration
from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.demand import HOURS_PER_MONTH, Demand
from signalbox.planner.instance import Pool, Tier
from signalbox.planner.model import knee
from signalbox.planner.quantity import Quantity
from signalbox.planner.specs import Band, Capacity, GpuSpec, LengthMix, ModelSpec, PlannerError, ServingConfig, Slo
from signalbox.planner.workload_file import Option, Organisation, PlanWorkload

_T = TypeVar("_T")

RatesFor = Callable[[str, str], Rates | None]

# Load that a replica is planned for at most, as a share of its knee: calls come in bursts.
HEADROOM = 0.85
# The longest twentieth of calls takes so much longer than the mean one.
TAIL = 1.5

# Engineers bound by an option's being there, and by each of its lots: cautious defaults of ours.
FTE_OPEN = {"cloud-api": 0.02, "batch-api": 0.02, "managed": 0.05, "rented": 0.15, "owned": 0.25, "edge": 0.20}
FTE_LOT = {"cloud-api": 0.0, "batch-api": 0.0, "managed": 0.0, "rented": 0.01, "owned": 0.02, "edge": 0.002}
# A team that runs models at all, whichever; half as much again where nobody has done it before.
TEAM_FTE, LEARNING_FTE = 0.5, 0.25
SKILL_OF = {"rented": "gpu-serving", "owned": "datacenter", "edge": "edge-fleet"}
OWN_KINDS = frozenset(SKILL_OF)

# Years over which what is paid once is spread.
STARTUP_YEARS = 3.0


class NotPriced(Exception):
    """An option that cannot be judged. code: of reasons.REASONS."""

    def __init__(self, code: str, detail: str, fix: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fix = fix


class Leg(Struct, frozen=True):
    """One option serving one workload. usd: per call and token class (uncached input, cached input, output, the call
    itself). use_s: replica-seconds of a call; 0 where tokens are paid. capacity: prediction behind it. tokens: of a
    call as it is served, in and out."""

    option: str
    usd: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    use_s: float = 0.0
    use_band: tuple[float, float] = (1.0, 1.0)
    capacity: Capacity | None = None
    config: ServingConfig | None = None
    tokens: float = 0.0

    @property
    def usd_per_call(self) -> float:
        return sum(self.usd)


def value(quantity: Quantity | None) -> float:
    return quantity.value if quantity is not None else 0.0


# --- by the token ---


def paid_by_token(option: Option) -> bool:
    return option.kind in ("cloud-api", "batch-api") or (option.kind == "managed" and option.unit_usd_per_hour is None)


def token_leg(name: str, option: Option, demand: Demand, rates_for: RatesFor) -> Leg:
    """Raises NotPriced."""
    input_usd, cached_usd, output_usd, request_usd = _prices(option, rates_for, demand.input_tokens)
    factor = 1.0 - option.batch_discount.value if option.kind == "batch-api" else 1.0
    inputs = demand.input_tokens + option.augment.rag_input_tokens.value
    cached = demand.input_tokens * demand.cacheable if option.kind != "batch-api" else 0.0
    usd = (
        (inputs - cached) * input_usd * factor,
        cached * cached_usd * factor,
        demand.output_tokens * output_usd * factor,
        request_usd,
    )
    return Leg(name, usd)


def _prices(option: Option, rates_for: RatesFor, input_tokens: float) -> tuple[float, float, float, float]:
    """USD a token of input, cached input and output, and a call."""
    if option.price is not None:
        price = option.price
        cached = price.cache_read_mtok if price.cache_read_mtok is not None else price.input_mtok
        per_token = (price.input_mtok.value, cached.value, price.output_mtok.value)
        return (per_token[0] / 1e6, per_token[1] / 1e6, per_token[2] / 1e6, value(price.request_usd))
    rates = rates_for(option.provider or "", option.model)
    if rates is None or not rates.priced:
        what = f"{option.provider}/{option.model} is not in the price catalogue"
        raise NotPriced("price-missing", what, "Add `price` with `input_mtok` and `output_mtok` to the option")
    for above, tier in rates.tiers:
        if input_tokens > above:
            rates = tier
    pico = 1e12
    return rates.tokens_in / pico, rates.cache_read / pico, rates.tokens_out / pico, rates.request / pico


# --- by the lot ---


def serving_config(option: Option, model: ModelSpec, gpu: GpuSpec) -> ServingConfig:
    """As the option says, else on the fewest GPUs that hold the weights in half of their memory."""
    gpus = option.gpus_per_replica
    if gpus == 0:
        bits = {"bf16": 16, "fp8": 8, "int8": 8, "fp4": 4.5, "int4": 4.25}[option.quantisation]
        gpus = 1
        while gpus < gpu.gpus_per_node and model.parameters * bits / 8 > 0.55 * gpu.memory_bytes * gpus:
            gpus *= 2
    return ServingConfig(engine=option.engine, quantisation=option.quantisation, tensor_parallel=gpus)


def slo_of(workload: PlanWorkload) -> Slo:
    """What the planner holds a replica to. TTFT under load is reported as a band, never planned on."""
    targets = workload.targets
    return Slo(
        tpot_s=targets.tpot_ms.value / 1000 if targets.tpot_ms else None,
        e2e_s=targets.e2e_p95_ms.value / 1000 / TAIL if targets.e2e_p95_ms else None,
    )


def lot_leg(
    name: str,
    option: Option,
    workload: PlanWorkload,
    demand: Demand,
    catalogue: Catalogue,
    calibration: Calibration | None = None,
) -> Leg:
    """Raises NotPriced with the reason why the option cannot carry the workload."""
    tokens = demand.input_tokens + option.augment.rag_input_tokens.value + demand.output_tokens
    if option.unit_tokens_per_s is not None:
        return Leg(name, use_s=tokens / option.unit_tokens_per_s.value)
    if option.requests_per_s is not None:
        rate = option.requests_per_s
        return Leg(
            name,
            use_s=tokens / option.requests_per_s_tokens.value / rate.value,
            use_band=(1 / (1 + rate.spread), 1 / max(0.1, 1 - rate.spread)),
        )
    model = _known(lambda: catalogue.model(option.model), "model-unknown")
    gpu = _known(lambda: catalogue.gpu(option.gpu or ""), "gpu-unknown")
    mix = LengthMix(
        input_tokens=demand.input_tokens + option.augment.rag_input_tokens.value,
        output_tokens=demand.output_tokens,
        cached_share=demand.cacheable if option.engine != "llama.cpp" else 0.0,
    )
    try:
        config = serving_config(option, model, gpu)
        at: Callable[[Slo], Capacity] = partial(knee, model, gpu, config, mix, calibration=calibration)
        found = _within_first_token(workload, at(slo_of(workload)), at)
    except (PlannerError, ValueError) as error:
        code = "context-too-short" if "context" in str(error) else "serving-impossible"
        raise NotPriced(code, str(error)) from None
    if found.requests_per_s.p50 <= 0:
        code = "does-not-fit" if found.limited_by in ("does-not-fit", "memory") else "too-slow"
        what = f"{model.name} in {option.quantisation} on {config.gpus} x {gpu.name}"
        raise NotPriced(code, f"{what}: {found.limited_by}")
    per_call: Band = found.requests_per_s
    return Leg(
        name,
        use_s=1.0 / per_call.p50,
        use_band=(per_call.p50 / per_call.p90, per_call.p50 / per_call.p10),
        capacity=found,
        config=config,
        tokens=tokens,
    )


def _within_first_token(workload: PlanWorkload, found: Capacity, at: Callable[[Slo], Capacity]) -> Capacity:
    """Fewer calls at once where even the lucky end of the wide band for the first token misses its target."""
    target = workload.targets.ttft_p95_ms
    if target is None or found.at_knee is None or found.at_knee.ttft_s.p10 * 1000 <= target.value:
        return found
    lucky = found.at_knee.ttft_s.p50 / found.at_knee.ttft_s.p10
    return at(replace(slo_of(workload), ttft_s=target.value / 1000 * lucky))


def _known(find: Callable[[], _T], code: str) -> _T:
    try:
        return find()
    except PlannerError as error:
        what, _, fix = str(error).partition(". ")
        raise NotPriced(code, what, fix.rstrip(".")) from None


def replicas_per_lot(option: Option, config: ServingConfig | None) -> tuple[float, int]:
    """(replicas in a lot, GPUs in it): a replica larger than what is sold together takes several of those."""
    gpus = config.gpus if config is not None else max(1, option.gpus_per_replica)
    sold = math.ceil(gpus / option.lot_gpus) * option.lot_gpus
    return float(sold // gpus), sold


def pool_of(
    name: str,
    option: Option,
    organisation: Organisation,
    config: ServingConfig | None,
    *,
    watts: float,
    busy: tuple[float, ...],
    busy_share: float,
) -> Pool:
    """The pool of an option with capacity. watts: of one GPU. Raises NotPriced when no way of paying is left."""
    replicas, gpus = replicas_per_lot(option, config)
    tiers = _undominated(_tiers(option, organisation, gpus, watts, busy, busy_share))
    if not tiers:
        longest = f"{organisation.commitment_years_max:g} years at most"
        raise NotPriced("commitment-too-long", longest, "Raise `commitment_years_max`, or add `gpu_usd_per_hour`")
    return Pool(
        option=name,
        tiers=tuple(tiers),
        lot_capacity=replicas * HEADROOM,
        lots_max=option.lots_max,
        spare=option.spare_lots if option.kind != "managed" else 0,
        open_usd_per_month=_opening(option),
        open_fte=_open_fte(option, organisation),
        lot_fte=option.fte_per_lot.value if option.fte_per_lot else FTE_LOT[option.kind],
        team=option.kind in OWN_KINDS,
    )


def _opening(option: Option) -> float:
    augment = option.augment
    yearly = augment.fine_tune_usd.value * augment.fine_tunes_per_year
    once = option.startup_usd.value / STARTUP_YEARS
    return option.fixed_usd_per_month.value + augment.rag_usd_per_month.value + (yearly + once) / 12


def _open_fte(option: Option, organisation: Organisation) -> float:
    if option.fte_open is not None:
        return option.fte_open.value
    missing = option.kind in SKILL_OF and SKILL_OF[option.kind] not in organisation.skills
    return FTE_OPEN[option.kind] + (LEARNING_FTE if missing else 0.0)


def needs_opening(option: Option) -> bool:
    """Whether an option that is paid by the token costs something as soon as it is there at all."""
    return _opening(option) > 0 or option.fte_open is not None


def opening_pool(name: str, option: Option, organisation: Organisation, classes: int) -> Pool:
    free = Tier("as used", 0.0, (1.0,) * classes)
    fte = _open_fte(option, organisation) if option.fte_open is not None else 0.0
    return Pool(name, (free,), math.inf, 1, 0, _opening(option), fte, 0.0, team=False)


def _tiers(
    option: Option, organisation: Organisation, gpus: int, watts: float, busy: tuple[float, ...], busy_share: float
) -> list[Tier]:
    always = (1.0,) * len(busy)
    if option.unit_usd_per_hour is not None:
        return [Tier("unit", option.unit_usd_per_hour.value * HOURS_PER_MONTH, always)]
    if option.gpu_usd is not None and option.kind in ("owned", "edge"):
        return [Tier("owned", _owning(option, organisation, gpus, watts), always, option.gpu_usd.value * gpus)]
    found: list[Tier] = []
    for tier, price, years in (
        ("on demand", option.gpu_usd_per_hour, 0.0),
        ("1 year", option.gpu_usd_per_hour_1y, 1.0),
        ("3 years", option.gpu_usd_per_hour_3y, 3.0),
    ):
        if price is not None and years <= organisation.commitment_years_max:
            found.append(Tier(tier, price.value * gpus * HOURS_PER_MONTH, always))
    if option.autoscale and option.gpu_usd_per_hour is not None and 0 < busy_share < 1:
        hourly = option.gpu_usd_per_hour.value * gpus
        found.append(Tier("on demand, working hours", hourly * HOURS_PER_MONTH * busy_share, busy))
    return found


def _owning(option: Option, organisation: Organisation, gpus: int, watts: float) -> float:
    """USD a month for a lot that was bought: the annuity of its price, upkeep and power."""
    price = value(option.gpu_usd) * gpus
    rate, years = organisation.wacc.value, max(0.25, option.life_years.value)
    annuity = price * (rate / (1 - (1 + rate) ** -years) if rate > 0 else 1 / years)
    power = gpus * (value(option.watts) or watts) / 1000 * option.pue * organisation.power_usd_per_kwh.value
    return (annuity + price * option.upkeep_share.value) / 12 + power * HOURS_PER_MONTH


def _undominated(tiers: list[Tier]) -> list[Tier]:
    """Ways of paying that no other beats in every respect; one that costs less and runs as long is enough."""
    kept: list[Tier] = []
    for tier in sorted(tiers, key=lambda each: each.usd_per_month):
        covered = any(
            other.capex_usd <= tier.capex_usd and all(a >= b for a, b in zip(other.on, tier.on, strict=True))
            for other in kept
        )
        if not covered:
            kept.append(tier)
    return kept
