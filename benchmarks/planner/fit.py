"""Fits the performance model on the measured points and writes what ships: `src/signalbox/planner/fitted.json`.

    python -m benchmarks.planner.fit --data DIR

The spreads that predictions state are those of cross-validation: by the accelerator for one that was never measured,
by (architecture, accelerator) for a pair that was not, by configuration within a measured pair, and by point within a
measured configuration.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from benchmarks.planner.fitting import (
    Vector,
    described,
    errors,
    first_token,
    first_token_errors,
    fitted,
    folds,
    sigma_of,
)
from benchmarks.planner.points import FILE, Observation, arguments, folder, load
from signalbox.planner.calibration import Calibration, FirstToken, calibrated, configuration_key
from signalbox.planner.roofline import Parameters
from signalbox.planner.specs import Evidence

TARGET = Path(__file__).parents[2] / "src" / "signalbox" / "planner" / "fitted.json"

# Of the points of a measured configuration, the share that is predicted from the others.
HELD_SHARE = 0.3

_Numbers = TypeVar("_Numbers", Parameters, FirstToken)


def key_of(one: Observation) -> str:
    return configuration_key(one.point.model, one.point.gpu, one.point.config)


def within_pair(observations: Sequence[Observation], whole: Calibration) -> Vector:
    """Every configuration predicted by the corrections of all others; the parameters stay."""
    start = msgspec.structs.replace(whole, overall=0.0, gpus={}, models={}, pairs={}, configurations={})
    found: list[Vector] = []
    for name in sorted({key_of(one) for one in observations}):
        held = [one for one in observations if key_of(one) == name]
        rest = [one for one in observations if key_of(one) != name]
        if any(one.group == held[0].group for one in rest):
            found.append(errors(calibrated(start, [one.point for one in rest]), held))
    return np.concatenate(found)


def within_configuration(observations: Sequence[Observation], whole: Calibration, seed: int) -> Vector:
    start = msgspec.structs.replace(whole, overall=0.0, gpus={}, models={}, pairs={}, configurations={})
    draw = random.Random(seed)
    held = {id(one) for one in observations if draw.random() < HELD_SHARE}
    rest = [one for one in observations if id(one) not in held]
    known = {key_of(one) for one in rest}
    judged = [one for one in observations if id(one) in held and key_of(one) in known]
    return errors(calibrated(start, [one.point for one in rest]), judged)


def fit(observations: Sequence[Observation], seed: int) -> Calibration:
    whole = fitted(observations)
    found: dict[Evidence, Vector] = {
        "roofline": np.concatenate([fold.errors for fold in folds(observations, lambda one: one.gpu)]),
        "gpu": np.concatenate([fold.errors for fold in folds(observations, lambda one: one.group)]),
        "model+gpu": within_pair(observations, whole),
        "configuration": within_configuration(observations, whole, seed),
    }
    for evidence, residuals in found.items():
        print(f"{evidence:14s} {len(residuals):5d} points {described(residuals)} sigma {sigma_of(residuals):.3f}")
    first: list[Vector] = []
    for group in sorted({one.group for one in observations}):
        rest = [one for one in observations if one.group != group]
        known = first_token(rest, whole.parameters, 0.0)
        held = [one for one in observations if one.group == group]
        first.append(first_token_errors(known, whole.parameters, held))
    spread = sigma_of(np.concatenate(first))
    print(f"time to first token, unseen groups: {described(np.concatenate(first))} sigma {spread:.3f}")
    return msgspec.structs.replace(
        whole,
        sigma={evidence: round(sigma_of(residuals), 4) for evidence, residuals in found.items()},
        first_token=first_token(observations, whole.parameters, spread),
    )


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    loaded = load(folder(options) / FILE)
    calibration = fit(loaded.observations, options.seed)
    print(calibration.parameters)
    print(calibration.first_token)
    content = msgspec.json.format(msgspec.json.encode(_rounded(calibration)), indent=1)
    TARGET.write_bytes(content + b"\n")
    print(f"{TARGET}: {len(content)} bytes, {len(calibration.configurations)} configurations")


def _rounded(calibration: Calibration) -> Calibration:
    """Four digits of what are logarithms, six significant ones of the rest: a file that can be read."""
    return msgspec.structs.replace(
        calibration,
        overall=round(calibration.overall, 4),
        gpus={name: round(value, 4) for name, value in sorted(calibration.gpus.items())},
        models={name: round(value, 4) for name, value in sorted(calibration.models.items())},
        pairs={name: round(value, 4) for name, value in sorted(calibration.pairs.items())},
        configurations={
            name: (round(level, 4), round(load, 4), round(share, 4))
            for name, (level, load, share) in sorted(calibration.configurations.items())
        },
        parameters=_significant(calibration.parameters),
        first_token=_significant(calibration.first_token),
    )


def _significant(found: _Numbers) -> _Numbers:
    return type(found)(**{name: float(f"{getattr(found, name):.6g}") for name in found.__struct_fields__})


if __name__ == "__main__":
    main()
