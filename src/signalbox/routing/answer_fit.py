"""Learning whom to trust: the head of `answers` from judged answers, by ridge logistic regression. Needs numpy, and is
loaded only where something is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from signalbox.routing.answers import FEATURES, Head

Floats = NDArray[np.float64]
RIDGE = 30.0
NEWTON_STEPS = 30
ROWS_MIN = 30


def fit(rows: Sequence[Sequence[float]], good: Sequence[float], ridge: float = RIDGE) -> Head:
    """rows: `answers.features` of each answer. good: how good it was, 0 to 1. Raises ValueError where there is
    nothing to learn: too few rows, or all of them alike."""
    if len(rows) != len(good) or len(rows) < ROWS_MIN:
        raise ValueError(f"A scorer of answers needs at least {ROWS_MIN} judged answers; there are {len(rows)}.")
    if len(set(good)) < 2:
        raise ValueError("All answers were judged alike, so that there is nothing to tell them apart by.")
    table = np.asarray(rows, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(FEATURES) or not np.isfinite(table).all():
        raise ValueError("The rows are not features of this version.")
    mean, spread = cast("Floats", table.mean(axis=0)), cast("Floats", table.std(axis=0))
    scale = cast("Floats", np.where(spread > 1e-9, spread, 1.0))
    known = np.column_stack([(table - mean) / scale, np.ones(len(table))])
    weights = _logistic(known, np.asarray(good, dtype=np.float64), ridge)
    return Head(FEATURES, _numbers(mean), _numbers(scale), _numbers(weights[:-1]), float(weights[-1]))


def _logistic(known: Floats, wanted: Floats, ridge: float) -> Floats:
    """Newton's method; the last column is the bias and hardly penalised."""
    penalty = np.full(known.shape[1], ridge)
    penalty[-1] = 1e-6
    weights = np.zeros(known.shape[1])
    for _ in range(NEWTON_STEPS):
        told = 1.0 / (1.0 + np.exp(-np.clip(known @ weights, -30, 30)))
        slope = known.T @ (told - wanted) + penalty * weights
        bend = known.T @ (known * (told * (1.0 - told))[:, None]) + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        weights = weights - step
        if float(np.abs(step).max()) < 1e-8:
            break
    return weights


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
