"""A week of hours as a few classes, so that the busy ones stay what they are and the rest costs what it costs."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from signalbox.planner.demand import HOURS, HOURS_PER_MONTH, SECONDS_PER_HOUR, Demand
from signalbox.planner.instance import Floats, Ints

CLASSES_MAX = 10
# Hours that carry more than the mean, when lots that are given back at night have to run.
BUSY_OVER_MEAN = 0.8


class HourClasses(Struct, frozen=True):
    """of_hour: the class of each of the 168 hours. hours: hours a month in each class. load: calls a second, workload
    x class: the mean of the class, and the class's busiest hour for `peak`. busy: 1 for each class of working hours."""

    of_hour: Ints
    hours: tuple[float, ...]
    load: Floats
    peak: Floats
    busy: tuple[float, ...]


def hour_classes(demands: list[Demand], classes_max: int = CLASSES_MAX) -> HourClasses:
    """Hours that are alike for every workload together share a class; the busiest hour of all is one of its own."""
    weights = np.asarray([each.weights for each in demands])
    rate = np.asarray([each.requests_per_day / 24.0 / SECONDS_PER_HOUR for each in demands])
    shapes = np.unique(np.round(weights, 9), axis=0).astype(np.float64)
    of_hour = _cluster(shapes, weights.T @ rate, classes_max)
    count = int(of_hour.max()) + 1
    members = [np.flatnonzero(of_hour == each) for each in range(count)]
    mean = np.stack([weights[:, each].mean(axis=1) for each in members], axis=1)
    peak = np.stack([weights[:, each].max(axis=1) for each in members], axis=1)
    total = rate @ mean
    hours = tuple(len(each) / HOURS * HOURS_PER_MONTH for each in members)
    overall = float((total * np.asarray(hours)).sum() / HOURS_PER_MONTH)
    busy = tuple(float(each > BUSY_OVER_MEAN * overall) for each in total)
    return HourClasses(of_hour, hours, rate[:, None] * mean, rate[:, None] * peak, busy)


def _cluster(shapes: Floats, total: Floats, classes_max: int) -> Ints:
    """Farthest-point seeds from the busiest hour on, then each hour to the nearest seed. Deterministic."""
    points = shapes.T
    seeds = [int(np.argmax(total))]
    distance = np.linalg.norm(points - points[seeds[0]], axis=1)
    while len(seeds) < classes_max and float(distance.max()) > 1e-9:
        seeds.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(points - points[seeds[-1]], axis=1))
    every = np.stack([np.linalg.norm(points - points[seed], axis=1) for seed in seeds])
    return np.argmin(every, axis=0).astype(np.int64)
