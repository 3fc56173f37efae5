"""The performance model as the rest of the planner uses it: `predict` at a load, `knee` within latency targets.

Types are in `specs`, the physics in `roofline`, what measurements add in `calibration`. A replica is one copy of the
model on `config.gpus` accelerators; its numbers are per replica. Everything here is arithmetic: no clock, no chance.
"""

from __future__ import annotations

import math

from signalbox.planner import edge
from signalbox.planner.calibration import Calibration, correction, fitted
from signalbox.planner.catalogue import read
from signalbox.planner.roofline import check, decode, sequences_held, weighted
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
    """Seconds of one decoding step with so many sequences in it, and what the number rests on; without the guard of
    `predict`, and whether or not they fit into memory.
    """
    step = _Step(spec, gpu, config, mix, calibration or fitted())
    return step.seconds(running), step.evidence


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
        broken = replica.broken(middle, slo)
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


class _Step:
    """The time of a step of one configuration at any load: physics, then what measurements add."""

    def __init__(
        self, spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, mix: LengthMix, calibration: Calibration
    ) -> None:
        self._config = config
        self._mix = mix
        self._parameters = calibration.parameters
        self._decode = decode(spec, gpu, config, mix)
        self._correction = correction(calibration, spec, gpu, config)
        self._on_edge = edge.applies(gpu, config)
        efficiency = edge.COMPUTE_EFFICIENCY if self._on_edge else calibration.parameters.compute_efficiency
        self.prompt_s = self._decode.prompt / efficiency
        self.evidence: Evidence = self._correction.evidence
        measured = self.evidence in ("configuration", "model+gpu")
        self.sigma = edge.SIGMA if self._on_edge and not measured else calibration.sigma[self.evidence]

    def seconds(self, running: float) -> float:
        parts = self._decode.terms(running)
        base_s = edge.step_s(parts) if self._on_edge else weighted(parts, self._config.engine, self._parameters)
        return base_s * math.exp(self._correction.at(self._config, self._mix, running))


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
        self._mix = mix
        self._held = held
        self._step = _Step(spec, gpu, config, mix, calibration)
        self._first = calibration.first_token
        self._slowdown = _guard(spec, gpu, config, calibration)

    def at(self, concurrency: float) -> Prediction:
        running = min(concurrency, self._held)
        step_s = self.step_s(running)
        tpot = Band.around(step_s, self._step.sigma)
        first = Band.around(self._first_token_s(step_s, concurrency, running), self._first.sigma)
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
            sigma=self._step.sigma,
            evidence=self._step.evidence,
        )

    def broken(self, running: float, slo: Slo) -> Limit | None:
        """The target that the medians of this many sequences break, if any."""
        step_s = self.step_s(running)
        first_s = self._first_token_s(step_s, running, running)
        if slo.tpot_s is not None and step_s > slo.tpot_s:
            return "tpot"
        if slo.ttft_s is not None and first_s > slo.ttft_s:
            return "ttft"
        if slo.e2e_s is not None and first_s + step_s * self._mix.output_tokens > slo.e2e_s:
            return "e2e"
        return None

    def step_s(self, running: float) -> float:
        return self._slowdown * self._step.seconds(running)

    def _first_token_s(self, step_s: float, concurrency: float, running: float) -> float:
        """The prompt beside the others, and for those that memory does not hold, the wait until one of them ends."""
        prompt_s = self._first.prompt * self._step.prompt_s * (1.0 + self._first.load * math.sqrt(running))
        waiting_s = (concurrency - running) / running * self._mix.output_tokens * step_s
        return self._first.base_s + self._first.steps * step_s + prompt_s + waiting_s


def _guard(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig, calibration: Calibration) -> float:
    """By how much all times must be stretched so that this configuration, on the lengths of the published benchmark of
    its model and accelerator, is no more than CEILING_HEADROOM faster than the best result. (The lengths matter: a
    result on long prompts says nothing direct about short ones.)
    """
    ceiling = read.shipped().ceiling(spec.name, gpu.name)
    if ceiling is None:
        return 1.0
    mix = LengthMix(input_tokens=ceiling.input_tokens, output_tokens=ceiling.output_tokens)
    held = sequences_held(spec, gpu, config, mix)
    if held < 1.0:
        return 1.0
    step_s = _Step(spec, gpu, config, mix, calibration).seconds(held)
    return max(1.0, held / step_s / config.gpus / (CEILING_HEADROOM * ceiling.output_tokens_per_s))


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
