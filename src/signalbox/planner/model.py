"""The performance model as the rest of the planner uses it: `predict` at a load, `knee` within latency targets.

Types are in `specs`, the physics in `roofline`. A replica is one copy of the model on `config.gpus` accelerators; its
numbers are per replica. Everything here is arithmetic: no clock, no chance, no I/O.
"""

from __future__ import annotations

import math

from signalbox.planner.roofline import DEFAULTS, check, concurrency_max, prefill_s, step_time
from signalbox.planner.specs import (
    Band,
    Capacity,
    GpuSpec,
    LengthMix,
    Limit,
    ModelSpec,
    PlannerError,
    Prediction,
    ServingConfig,
    Slo,
)

CONCURRENCY_MAX = 1024

# The tenth and ninetieth percentile of a standard normal distribution.
Z90 = 1.2815515655446004

SIGMA_TPOT = 0.30
SIGMA_TTFT = 0.70

NOTHING = Band(0.0, 0.0, 0.0)


def band(median: float, sigma: float) -> Band:
    """The P10-P50-P90 of a log-normal quantity."""
    reach = math.exp(Z90 * sigma)
    return Band(median / reach, median, median * reach)


def predict(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix, concurrency: float) -> Prediction:
    """One replica with so many requests in flight, always. Raises PlannerError when that cannot be asked."""
    check(spec, gpu, config, mix)
    if not (math.isfinite(concurrency) and concurrency > 0):
        raise PlannerError(f"a concurrency of {concurrency} means nothing")
    if concurrency_max(spec, gpu, config, mix) < 1:
        raise PlannerError(f"{spec.name} in {config.quantisation} does not fit on {config.gpus} x {gpu.name}")
    step_s = step_time(spec, gpu, config, mix, concurrency)
    tpot = band(step_s, SIGMA_TPOT)
    first = band(prefill_s(spec, gpu, config, mix, DEFAULTS) + step_s, SIGMA_TTFT)
    e2e = Band(*(t + p * mix.output_tokens for t, p in zip(_values(first), _values(tpot), strict=True)))
    requests = Band(concurrency / e2e.p90, concurrency / e2e.p50, concurrency / e2e.p10)
    return Prediction(
        concurrency=concurrency,
        tpot_s=tpot,
        ttft_s=first,
        e2e_s=e2e,
        requests_per_s=requests,
        output_tokens_per_s=requests.scaled(mix.output_tokens),
        sigma=SIGMA_TPOT,
        evidence="roofline",
    )


def knee(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix, slo: Slo) -> Capacity:
    """The highest load of one replica whose median prediction keeps every target. Raises PlannerError as `predict`."""
    check(spec, gpu, config, mix)
    held = concurrency_max(spec, gpu, config, mix)
    if held < 1:
        return _none(gpu, config, "does-not-fit")
    low, high = 0, min(held, CONCURRENCY_MAX)
    limit: Limit = "memory"
    while low < high:
        middle = (low + high + 1) // 2
        broken = _broken(predict(spec, gpu, config, mix, middle), slo)
        if broken is None:
            low = middle
        else:
            limit, high = broken, middle - 1
    if low == 0:
        return _none(gpu, config, limit)
    best = predict(spec, gpu, config, mix, low)
    return Capacity(
        requests_per_s=best.requests_per_s,
        output_tokens_per_s=best.output_tokens_per_s,
        concurrency=low,
        limited_by=limit,
        watts=gpu.watts * config.gpus,
        at_knee=best,
    )


def _broken(found: Prediction, slo: Slo) -> Limit | None:
    if slo.tpot_s is not None and found.tpot_s.p50 > slo.tpot_s:
        return "tpot"
    if slo.ttft_s is not None and found.ttft_s.p50 > slo.ttft_s:
        return "ttft"
    if slo.e2e_s is not None and found.e2e_s.p50 > slo.e2e_s:
        return "e2e"
    return None


def _none(gpu: GpuSpec, config: ServingConfig, limit: Limit) -> Capacity:
    return Capacity(
        requests_per_s=NOTHING,
        output_tokens_per_s=NOTHING,
        concurrency=0,
        limited_by=limit,
        watts=gpu.watts * config.gpus,
    )


def _values(found: Band) -> tuple[float, float, float]:
    return found.p10, found.p50, found.p90
