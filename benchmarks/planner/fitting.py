"""Fits the eight parameters, and predicts every group by a fit that never saw it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from benchmarks.planner.points import Observation, by_group
from signalbox.planner.calibration import Calibration, FirstToken, calibrated, predicted_log, running_of
from signalbox.planner.roofline import Parameters, decode, prompt_s, sequences_held
from signalbox.planner.specs import Z90

Vector = npt.NDArray[np.float64]

# Columns of the design matrix, in the order of these fields; efficiencies enter as their inverse.
FIELDS = tuple(Parameters.__struct_fields__)
INVERSE = ("memory_efficiency", "compute_efficiency")
START = np.array([1.5, 2.0, 3e-5, 3e-5, 2e-5, 5e-6, 5e-6, 2e-5])

# Residuals of the logarithm beyond this count linearly: the table holds runs with speculative decoding, unlabelled.
ROBUST = 0.10
# Groups count by the root of the root of their size, lest the one with 357 points decides.
GROUP_POWER = 0.25

# Until they are fitted: what `calibrated` needs of a calibration it starts from.
UNKNOWN = FirstToken(base_s=0.01, steps=10.0, prompt=0.3, load=1.0, sigma=0.7)


def design(observations: Sequence[Observation]) -> tuple[Vector, Vector]:
    """One row of physical terms for each point, and the logarithm of what was measured."""
    rows: list[list[float]] = []
    for one in observations:
        point = one.point
        parts = decode(point.model, point.gpu, point.config, point.mix).terms(running_of(point))
        engines = [parts.layers * (point.config.engine == name) for name in ("vllm", "sglang", "trtllm")]
        rows.append([parts.memory, parts.compute, *engines, parts.hops, parts.experts, parts.sequences])
    return np.array(rows), np.log([one.point.tpot_s for one in observations])


def parameters(observations: Sequence[Observation]) -> Parameters:
    """Robust non-negative least squares on the logarithm of the step."""
    matrix, measured = design(observations)
    scaled = matrix * START
    sizes = Counter(one.group for one in observations)
    weight = np.array([sizes[one.group] ** -GROUP_POWER for one in observations])
    weight /= weight.mean()

    def residuals(logs: Vector) -> Vector:
        return weight * (np.log(scaled @ np.exp(logs)) - measured)

    def slopes(logs: Vector) -> Vector:
        factors = np.exp(logs)
        return weight[:, None] * (scaled * factors) / (scaled @ factors)[:, None]

    found = least_squares(
        residuals, np.zeros(len(START)), jac=slopes, loss="soft_l1", f_scale=ROBUST, bounds=(-8, 8), max_nfev=200
    )
    values = dict(zip(FIELDS, (START * np.exp(found.x)).tolist(), strict=True))
    return Parameters(**{name: 1.0 / value if name in INVERSE else value for name, value in values.items()})


def fitted(observations: Sequence[Observation]) -> Calibration:
    """Parameters and every level of correction."""
    start = Calibration(parameters=parameters(observations), first_token=UNKNOWN, sigma={})
    return calibrated(start, [one.point for one in observations])


def errors(calibration: Calibration, observations: Sequence[Observation]) -> Vector:
    """ln(predicted / measured)."""
    return np.array([predicted_log(calibration, one.point) - math.log(one.point.tpot_s) for one in observations])


class Fold:
    """One held-out set: what is judged, and the calibration that never saw it."""

    def __init__(self, held: list[Observation], calibration: Calibration) -> None:
        self.held = held
        self.calibration = calibration
        self.errors = errors(calibration, held)


def folds(observations: Sequence[Observation], key: Callable[[Observation], object]) -> list[Fold]:
    """Leaves out all observations of one key at a time."""
    names = sorted({key(one) for one in observations}, key=str)
    return [
        Fold(
            [one for one in observations if key(one) == name],
            fitted([one for one in observations if key(one) != name]),
        )
        for name in names
    ]


def sigma_of(found: Vector) -> float:
    """The spread of a normal distribution whose middle eighty per cent holds eighty per cent of these."""
    return float(np.quantile(np.abs(found), 0.8)) / Z90


def share_within(found: Vector, sigma: float) -> float:
    return float(np.mean(np.abs(found) <= Z90 * sigma))


def described(found: Vector) -> dict[str, float]:
    """Relative errors: median, ninetieth percentile, in per cent."""
    relative = np.abs(np.expm1(found)) * 100.0
    return {"median_pct": float(np.median(relative)), "p90_pct": float(np.quantile(relative, 0.9))}


def first_token(observations: Sequence[Observation], found: Parameters, sigma: float) -> FirstToken:
    """Time to first token of the points that need not have waited for memory."""
    ready = [one for one in observations if one.point.ttft_s and one.point.ttft_s < 20.0 and not _waits(one)]
    calibration = Calibration(parameters=found, first_token=UNKNOWN, sigma={})
    step = np.exp([predicted_log(calibration, one.point) for one in ready])
    prompt = np.array([_prompt(one) for one in ready]) / found.compute_efficiency
    root = np.sqrt([running_of(one.point) for one in ready])
    measured = np.log([one.point.ttft_s or 0.0 for one in ready])

    def expected(logs: Vector) -> Vector:
        base, steps, share, load = np.exp(logs)
        return np.log(base * 1e-3 + steps * step + share * prompt * (1.0 + load * root))

    best = least_squares(
        lambda logs: expected(logs) - measured, np.array([3.0, 1.0, 0.0, -1.0]), loss="soft_l1", f_scale=0.3
    )
    base, steps, share, load = (float(value) for value in np.exp(best.x))
    return FirstToken(base_s=base * 1e-3, steps=steps, prompt=share, load=load, sigma=sigma)


def first_token_errors(known: FirstToken, found: Parameters, observations: Sequence[Observation]) -> Vector:
    """ln(predicted / measured) of the same points."""
    ready = [one for one in observations if one.point.ttft_s and one.point.ttft_s < 20.0 and not _waits(one)]
    calibration = Calibration(parameters=found, first_token=known, sigma={})
    out: list[float] = []
    for one in ready:
        step = math.exp(predicted_log(calibration, one.point))
        prompt = _prompt(one) / found.compute_efficiency
        expected = known.base_s + known.steps * step
        expected += known.prompt * prompt * (1.0 + known.load * math.sqrt(running_of(one.point)))
        out.append(math.log(expected) - math.log(one.point.ttft_s or 0.0))
    return np.array(out)


def _prompt(one: Observation) -> float:
    return prompt_s(one.point.model, one.point.gpu, one.point.config, one.point.mix)


def _waits(one: Observation) -> bool:
    point = one.point
    return point.concurrency > sequences_held(point.model, point.gpu, point.config, point.mix)


def groups(observations: Sequence[Observation]) -> int:
    return len(by_group(observations))
