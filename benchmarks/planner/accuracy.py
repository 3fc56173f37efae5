"""Time per output token of (architecture, accelerator) groups that the fit never saw, alone and with two measurements.

    python -m benchmarks.planner.accuracy --data DIR [--seed N]

Split: leave one group out; every point is predicted by the calibration fitted on all other groups. With two measured
points: the same calibration takes in two points of one configuration (model, accelerator, engine, precision, ranks),
drawn at random, and predicts its others; DRAWS draws. Intervals: the spread comes from an inner leave-one-group-out
over the other groups, so no group has a say in its own interval.
"""

from __future__ import annotations

import json
import random

import msgspec
import numpy as np

from benchmarks.planner.fit import key_of
from benchmarks.planner.fitting import Fold, Vector, described, errors, folds, share_within, sigma_of
from benchmarks.planner.points import FILE, Observation, arguments, folder, load
from signalbox.planner.calibration import calibrated

DRAWS = 10


def group_of(one: Observation) -> tuple[str, str]:
    return one.group


def with_two_points(fold: Fold, draw: random.Random) -> Vector:
    """Errors of the other points of each configuration of the held-out group, once two of its points are known."""
    found: list[Vector] = []
    for name in sorted({key_of(one) for one in fold.held}):
        points = [one for one in fold.held if key_of(one) == name]
        if len(points) < 3:
            continue
        known = set(draw.sample(range(len(points)), 2))
        better = calibrated(fold.calibration, [points[index].point for index in sorted(known)])
        found.append(errors(better, [one for index, one in enumerate(points) if index not in known]))
    return np.concatenate(found) if found else np.zeros(0)


def coverage(outer: list[Fold]) -> tuple[float, float]:
    """Share of points inside P10-P90, and the share of groups whose own share is 0.5 or more."""
    inside: list[float] = []
    weights: list[int] = []
    for fold in outer:
        others = [one for other in outer if other is not fold for one in other.held]
        inner = np.concatenate([each.errors for each in folds(others, group_of)])
        inside.append(share_within(fold.errors, sigma_of(inner)))
        weights.append(len(fold.held))
    return float(np.average(inside, weights=weights)), float(np.mean([share >= 0.5 for share in inside]))


def measure(observations: list[Observation], seed: int) -> dict[str, object]:
    outer = folds(observations, group_of)
    unseen = np.concatenate([fold.errors for fold in outer])
    draw = random.Random(seed)
    two = np.concatenate([with_two_points(fold, draw) for _ in range(DRAWS) for fold in outer])
    inside, honest = coverage(outer)
    return {
        "unseen": described(unseen),
        "two_points": described(two),
        "interval": {"inside_pct": 100.0 * inside, "groups_at_least_half_inside_pct": 100.0 * honest},
        "groups": {
            " ".join(fold.held[0].group): {"points": len(fold.held), **described(fold.errors)} for fold in outer
        },
    }


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    loaded = load(folder(options) / FILE)
    found = measure(loaded.observations, options.seed)
    found["coverage_pct"] = 100.0 * loaded.covered / loaded.rows
    print(json.dumps(msgspec.to_builtins(found), indent=1))


if __name__ == "__main__":
    main()
