"""What measurements say beyond the physics: corrections from global to one configuration, each shrunk by its evidence.

A correction is added to the logarithm of the roofline's step. It is the sum of what is known about everything, the
accelerator, the model, the pair of them and the configuration; a level takes from the residual that the levels above
it left n / (n + KAPPA), n being the configurations (for a configuration: points) that speak for it. So a level without
measurements says nothing, and one with many says what they say. The last level also corrects how the time grows with
load and with the prompt's share, by ridge regression.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources

import msgspec

from signalbox.planner.roofline import Parameters, decode, sequences_held, weighted
from signalbox.planner.specs import Evidence, GpuSpec, LengthMix, ModelSpec, PlannerError, ServingConfig

# How many configurations it takes for a level to be believed by half.
KAPPA_GLOBAL = 40.0
KAPPA_GPU = 15.0
KAPPA_MODEL = 40.0
KAPPA_PAIR = 4.0

# Of a configuration: how far its level and its two slopes lie from the levels above, and what a measurement scatters,
# as standard deviations of the logarithm.
PRIOR_LEVEL = 0.30
PRIOR_SLOPE = 0.10
NOISE = 0.10

# Where the slopes turn: sixteen sequences on a rank, as many tokens in as out. Beyond REACH they say nothing more.
LOAD_CENTRE = math.log(16.0)
REACH = 3.0

POINTS_MAX = 100_000


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of a replica under steady load: mean time per output token with so many requests in flight."""

    model: ModelSpec
    gpu: GpuSpec
    config: ServingConfig
    mix: LengthMix
    concurrency: float
    tpot_s: float
    ttft_s: float | None = None


class FirstToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Time to first token without waiting = base_s + steps x step + prompt x prompt time x (1 + load x sqrt(running)).
    sigma: spread of its logarithm, which is wide for everyone.
    """

    base_s: float
    steps: float
    prompt: float
    load: float
    sigma: float


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fitted parameters, corrections by level, and how far predictions scatter by the evidence they rest on.
    configurations: level, slope over the load, slope over the prompt's share.
    """

    parameters: Parameters
    first_token: FirstToken
    sigma: dict[Evidence, float]
    overall: float = 0.0
    gpus: dict[str, float] = {}
    models: dict[str, float] = {}
    pairs: dict[str, float] = {}
    configurations: dict[str, tuple[float, float, float]] = {}


@cache
def fitted() -> Calibration:
    """What was fitted on public measurements; `benchmarks/planner/fit.py` writes the file."""
    content = resources.files("signalbox.planner").joinpath("fitted.json").read_bytes()
    return msgspec.json.decode(content, type=Calibration)


def pair_key(spec: ModelSpec, gpu: GpuSpec) -> str:
    return f"{spec.filed_under} {gpu.name}"


def configuration_key(spec: ModelSpec, gpu: GpuSpec, config: ServingConfig) -> str:
    expert = " ep" if config.expert_parallel else ""
    ranks = f"tp{config.tensor_parallel} dp{config.data_parallel}{expert}"
    return f"{spec.filed_under} {gpu.name} {config.engine} {config.quantisation} {ranks}"


def load_and_share(config: ServingConfig, mix: LengthMix, running: float) -> tuple[float, float]:
    """The two directions in which a configuration is corrected, within REACH of their centres."""
    load = math.log(running / config.data_parallel) - LOAD_CENTRE
    share = math.log(mix.input_tokens / mix.output_tokens)
    return max(-REACH, min(REACH, load)), max(-REACH, min(REACH, share))


class Correction(msgspec.Struct, frozen=True):
    """What to add to the logarithm of one configuration's step, and what it rests on."""

    level: float
    load: float
    share: float
    evidence: Evidence

    def at(self, config: ServingConfig, mix: LengthMix, running: float) -> float:
        if not (self.load or self.share):
            return self.level
        load, share = load_and_share(config, mix, running)
        return self.level + self.load * load + self.share * share


def correction(calibration: Calibration, spec: ModelSpec, gpu: GpuSpec, config: ServingConfig) -> Correction:
    """The sum of the levels that know something of this configuration."""
    pair = calibration.pairs.get(pair_key(spec, gpu))
    total = calibration.overall + calibration.gpus.get(gpu.name, 0.0) + calibration.models.get(spec.filed_under, 0.0)
    if pair is None:
        return Correction(total, 0.0, 0.0, "gpu" if gpu.name in calibration.gpus else "roofline")
    level, load, share = calibration.configurations.get(configuration_key(spec, gpu, config), (None, 0.0, 0.0))
    if level is None:
        return Correction(total + pair, 0.0, 0.0, "model+gpu")
    return Correction(total + pair + level, load, share, "configuration")


def running_of(point: Point) -> float:
    """Of the requests in flight, those that fit into memory; a measured replica runs at least one on each rank."""
    held = sequences_held(point.model, point.gpu, point.config, point.mix)
    return min(point.concurrency, max(held, point.config.data_parallel))


def predicted_log(calibration: Calibration, point: Point) -> float:
    """The logarithm of the step that the calibration expects where the point was measured."""
    running = running_of(point)
    asked = (point.model, point.gpu, point.config)
    step_s = weighted(decode(*asked, point.mix).terms(running), point.config.engine, calibration.parameters)
    return math.log(step_s) + correction(calibration, *asked).at(point.config, point.mix, running)


def calibrated(base: Calibration, points: Iterable[Point]) -> Calibration:
    """The calibration with these measurements taken in. Raises PlannerError on one that cannot be."""
    measured = list(points)
    if len(measured) > POINTS_MAX:
        raise PlannerError(f"{len(measured)} measurements; at most {POINTS_MAX} are taken in at once")
    for point in measured:
        if not (math.isfinite(point.tpot_s) and point.tpot_s > 0 and point.concurrency > 0):
            raise PlannerError(f"a measurement of {point.model.name} has no positive time per token and concurrency")
    left = _Residuals(base, measured)
    overall = left.take(lambda _: "", KAPPA_GLOBAL).get("", 0.0)
    gpus = left.take(lambda point: point.gpu.name, KAPPA_GPU)
    models = left.take(lambda point: point.model.filed_under, KAPPA_MODEL)
    pairs = left.take(lambda point: pair_key(point.model, point.gpu), KAPPA_PAIR)
    return msgspec.structs.replace(
        base,
        overall=base.overall + overall,
        gpus=_added(base.gpus, gpus),
        models=_added(base.models, models),
        pairs=_added(base.pairs, pairs),
        configurations=_joined(base.configurations, left.ridges()),
    )


class _Residuals:
    """What the levels so far have not explained, by configuration."""

    def __init__(self, base: Calibration, points: list[Point]) -> None:
        self._cells: dict[str, list[tuple[Point, float]]] = defaultdict(list)
        for point in points:
            residual = math.log(point.tpot_s) - predicted_log(base, point)
            self._cells[configuration_key(point.model, point.gpu, point.config)].append((point, residual))

    def take(self, key: Callable[[Point], str], kappa: float) -> dict[str, float]:
        """The shrunken mean over configurations of their median residuals, by key; taken out of what is left."""
        medians: dict[str, list[float]] = defaultdict(list)
        for cell in self._cells.values():
            medians[key(cell[0][0])].append(statistics.median(residual for _, residual in cell))
        levels = {name: math.fsum(found) / (len(found) + kappa) for name, found in medians.items()}
        self._cells = {
            name: [(point, residual - levels[key(point)]) for point, residual in cell]
            for name, cell in self._cells.items()
        }
        return levels

    def ridges(self) -> dict[str, tuple[float, float, float]]:
        return {name: _ridge(cell) for name, cell in self._cells.items()}


def _ridge(cell: list[tuple[Point, float]]) -> tuple[float, float, float]:
    """Level and slopes of one configuration: the posterior mean of a linear model with independent normal priors."""
    precision = (PRIOR_LEVEL**-2, PRIOR_SLOPE**-2, PRIOR_SLOPE**-2)
    matrix = [[precision[row] if row == column else 0.0 for column in range(3)] for row in range(3)]
    vector = [0.0, 0.0, 0.0]
    for point, residual in cell:
        features = (1.0, *load_and_share(point.config, point.mix, running_of(point)))
        for row in range(3):
            vector[row] += features[row] * residual / NOISE**2
            for column in range(3):
                matrix[row][column] += features[row] * features[column] / NOISE**2
    level, load, share = _solved(matrix, vector)
    return level, load, share


def _solved(matrix: list[list[float]], vector: list[float]) -> list[float]:
    """Gaussian elimination; the matrix is positive definite, so no pivot is needed."""
    size = len(vector)
    for column in range(size):
        for row in range(column + 1, size):
            factor = matrix[row][column] / matrix[column][column]
            vector[row] -= factor * vector[column]
            for other in range(column, size):
                matrix[row][other] -= factor * matrix[column][other]
    solution = [0.0] * size
    for row in reversed(range(size)):
        rest = math.fsum(matrix[row][column] * solution[column] for column in range(row + 1, size))
        solution[row] = (vector[row] - rest) / matrix[row][row]
    return solution


def _added(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, float]:
    return {**old, **{name: old.get(name, 0.0) + value for name, value in new.items()}}


def _joined(
    old: Mapping[str, tuple[float, float, float]], new: Mapping[str, tuple[float, float, float]]
) -> dict[str, tuple[float, float, float]]:
    joined = dict(old)
    for name, (level, load, share) in new.items():
        before = old.get(name, (0.0, 0.0, 0.0))
        joined[name] = (before[0] + level, before[1] + load, before[2] + share)
    return joined
