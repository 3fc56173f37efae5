"""The performance model as the rest of the planner uses it: `predict` at a load, `knee` within latency targets.

Types are in `specs`, the physics in `roofline`, what measurements add in `calibration`. A replica is one copy of the
model on `config.gpus` accelerators; its numbers are per replica. Everything here is arithmetic: no clock, no chance.
"""

from __future__ import annotations

import math

from signalbox.planner import edge
from signalbox.planner.calibration import Calibration, correction, fitted
from signalbox.planner.catalogue import read
from signalbox.planner.roofline import check, prompt_s, sequences_held, terms, weighted
from signalbox.planner.specs import (
    Band,
    Capacity,
    Evidence,
    GpuSpec,
    LengthMix,
    Limit,
    ModelSpec,
    PlannerError,
    Prediction,
    ServingConfig,
    Slo,
)

# No prediction exceeds the best published result of a pair by more than this.
CEILING_HEADROOM = 1.25

NOTHING = Band(0.0, 0.0, 0.0)


def predict(
    spec: ModelSpec,
    gpu: GpuSpec,
    config: ServingConfig,
    mix: LengthMix,
    concurrency: float,
    calibration: Calibration | None = None,
) -> Prediction:
    """One replica with so many requests in flight, always. calibration: None for the one that ships. Raises
    PlannerError when that cannot be asked.
    """
    check(spec, gpu, config, mix)
    if not (math.isfinite(concurrency) and concurrency > 0):
        raise PlannerError(f"a concurrency of {concurrency} means nothing")
    held = sequences_held(spec, gpu, config, mix)
    if held < 1.0:
        raise PlannerError(f"{spec.name} in {config.quantisation} does not fit on {config.gpus} x {gpu.name}")
    return _Replica(spec, gpu, config, mix, held, calibration or fitted()).at(concurrency)


def step_time(
    spec: ModelSpec,
    gpu: GpuSpec,
    config: ServingConfig,
    mix: LengthMix,
    running: float,
    calibration: Calibration | None = None,
) -> tuple[float, Evidence]:
    """Seconds of one decoding step with so many sequences in it, and what the number rests on."""
    parts = terms(spec, gpu, config, mix, running)
    known = calibration or fitted()
    if edge.applies(gpu, config):
        base_s = edge.step_s(parts)
    else:
        base_s = weighted(parts, config.engine, known.parameters)
    factor, evidence = correction(known, spec, gpu, config, mix, running)
    return base_s * math.exp(factor), evidence


def knee(
    spec: ModelSpec,
    gpu: GpuSpec,
    config: ServingConfig,
    mix: LengthMix,
    slo: Slo,
    calibration: Calibration | None = None,
) -> Capacity:
    """The highest load of one replica whose median prediction keeps every target. Raises PlannerError as `predict`,
    but says `does-not-fit` when memory is what is missing.
    """
    check(spec, gpu, config, mix)
    held = sequences_held(spec, gpu, config, mix)
    if held < 1.0:
        return _none(gpu, config, "does-not-fit")
    replica = _Replica(spec, gpu, config, mix, held, calibration or fitted())
    low, high = 0, int(held)
    limit: Limit = "memory"
    while low < high:
        middle = (low + high + 1) // 2
        broken = _broken(replica.at(middle), slo)
        if broken is None:
            low = middle
        else:
            limit, high = broken, middle - 1
    if low == 0:
        return _none(gpu, config, limit)
    best = replica.at(low)
    return Capacity(
        requests_per_s=best.requests_per_s,
        output_tokens_per_s=best.output_tokens_per_s,
        concurrency=low,
        limited_by=limit,
        watts=gpu.watts * config.gpus,
        at_knee=best,
    )


class _Replica:
    """One replica, ready to be asked about any load. held: the sequences it decodes together at most."""

    def __init__(
        self,
        spec: ModelSpec,
        gpu: GpuSpec,
        config: ServingConfig,
        mix: LengthMix,
        held: float,
        calibration: Calibration,
    ) -> None:
        self._asked = (spec, gpu, config)
        self._mix = mix
        self._held = held
        self._calibration = calibration
        on_edge = edge.applies(gpu, config)
        efficiency = edge.COMPUTE_EFFICIENCY if on_edge else calibration.parameters.compute_efficiency
        self._prompt_s = prompt_s(spec, gpu, config, mix) / efficiency
        self._sigma: dict[Evidence, float] = calibration.sigma
        if on_edge:
            self._sigma = {**calibration.sigma, "roofline": edge.SIGMA, "gpu": edge.SIGMA}
        self._slowdown = self._guard()

    def at(self, concurrency: float) -> Prediction:
        running = min(concurrency, self._held)
        step_s, evidence = step_time(*self._asked, self._mix, running, self._calibration)
        step_s *= self._slowdown
        sigma = self._sigma[evidence]
        tpot = Band.around(step_s, sigma)
        waiting_s = (concurrency - running) / running * self._mix.output_tokens * step_s
        first = Band.around(self._first_token_s(step_s, running) + waiting_s, self._calibration.first_token.sigma)
        e2e = Band(*(start + each * self._mix.output_tokens for start, each in zip(_of(first), _of(tpot), strict=True)))
        requests = Band(concurrency / e2e.p90, concurrency / e2e.p50, concurrency / e2e.p10)
        return Prediction(
            concurrency=concurrency,
            running=running,
            tpot_s=tpot,
            ttft_s=first,
            e2e_s=e2e,
            requests_per_s=requests,
            output_tokens_per_s=requests.scaled(self._mix.output_tokens),
            sigma=sigma,
            evidence=evidence,
        )

    def _first_token_s(self, step_s: float, running: float) -> float:
        first = self._calibration.first_token
        prompt_s = first.prompt * self._prompt_s * (1.0 + first.load * math.sqrt(running))
        return first.base_s + first.steps * step_s + prompt_s

    def _guard(self) -> float:
        """By how much all times must be stretched so that this configuration, on the lengths of the published
        benchmark of its model and accelerator, is no more than CEILING_HEADROOM faster than the best result. (The
        lengths matter: a result on long prompts says nothing direct about short ones.)
        """
        spec, gpu, config = self._asked
        ceiling = read.shipped().ceiling(spec.name, gpu.name)
        if ceiling is None:
            return 1.0
        mix = LengthMix(input_tokens=ceiling.input_tokens, output_tokens=ceiling.output_tokens)
        held = sequences_held(spec, gpu, config, mix)
        if held < 1.0:
            return 1.0
        step_s, _ = step_time(spec, gpu, config, mix, held, self._calibration)
        return max(1.0, held / step_s / config.gpus / (CEILING_HEADROOM * ceiling.output_tokens_per_s))


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


def _of(found: Band) -> tuple[float, float, float]:
    return found.p10, found.p50, found.p90
