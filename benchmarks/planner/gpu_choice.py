"""Which accelerator serves a model cheapest within a target: how often that is right without its measurements.

    python -m benchmarks.planner.gpu_choice --data DIR

A case is (architecture, lengths, target for the time per output token) for which at least two accelerators have a
measured configuration within the target. The right one has the lowest measured cost per output token over all its
measured configurations within the target. The chosen one has the lowest predicted cost over those predicted to be
within it, each point predicted by the fit that never saw its (architecture, accelerator) group. Regret: what the chosen
accelerator's best measured configuration costs more; one that has none within the target costs WORSE times the worst.
Prices per accelerator and hour: the cheapest on-demand ones of the catalogue, whoever sells them; and one vendor's, who
sells all of them at closer prices, which is harder.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict

import numpy as np

from benchmarks.planner.accuracy import group_of
from benchmarks.planner.fitting import Fold, folds
from benchmarks.planner.points import FILE, Observation, arguments, folder, load
from signalbox.planner.calibration import running_of
from signalbox.planner.catalogue.read import shipped

TARGETS_S = (0.010, 0.015, 0.020, 0.030, 0.050, 0.100)
WORSE = 1.5

# What a case holds of one point: accelerator, measured and predicted time per token, price x accelerators / running.
Candidate = tuple[str, float, float, float]


VENDORS = {"cheapest": None, "aws": "aws"}


def prices(vendor: str | None) -> dict[str, float]:
    offers = [offer for offer in shipped().offers if offer.commitment == "on-demand" and vendor in (None, offer.vendor)]
    cheapest: dict[str, float] = {}
    for offer in offers:
        cheapest[offer.gpu] = min(cheapest.get(offer.gpu, math.inf), float(offer.usd_per_gpu_hour))
    return cheapest


def best(candidates: list[Candidate], target_s: float, *, predicted: bool) -> dict[str, float]:
    """The lowest cost per token by accelerator, over the candidates within the target."""
    found: dict[str, float] = {}
    for gpu, measured_s, predicted_s, rate in candidates:
        time_s = predicted_s if predicted else measured_s
        if time_s <= target_s:
            found[gpu] = min(found.get(gpu, math.inf), rate * time_s)
    return found


def measure(observations: list[Observation]) -> dict[str, object]:
    found = folds(observations, group_of)
    return {name: judged(found, prices(vendor)) for name, vendor in VENDORS.items()}


def judged(found: list[Fold], price: dict[str, float]) -> dict[str, float]:
    cases: dict[tuple[str, tuple[int, int]], list[Candidate]] = defaultdict(list)
    for fold in found:
        for one, error in zip(fold.held, fold.errors, strict=True):
            rate = price[one.gpu] * one.point.config.gpus / running_of(one.point)
            candidate = (one.gpu, one.point.tpot_s, one.point.tpot_s * math.exp(error), rate)
            cases[one.architecture, one.nominal].append(candidate)
    right: list[bool] = []
    regrets: list[float] = []
    for candidates in cases.values():
        for target_s in TARGETS_S:
            truth = best(candidates, target_s, predicted=False)
            guess = best(candidates, target_s, predicted=True)
            if len(truth) < 2 or not guess:
                continue
            chosen, wanted = min(guess, key=guess.__getitem__), min(truth, key=truth.__getitem__)
            right.append(chosen == wanted)
            regrets.append(truth.get(chosen, WORSE * max(truth.values())) / truth[wanted] - 1.0)
    return {
        "cases": len(right),
        "right_pct": 100.0 * float(np.mean(right)),
        "mean_regret_pct": 100.0 * float(np.mean(regrets)),
    }


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    print(json.dumps(measure(load(folder(options) / FILE).observations), indent=1))


if __name__ == "__main__":
    main()
