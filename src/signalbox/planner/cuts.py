"""Residual capacity inequalities: what whole lots say about shares that the relaxation with parts of lots does not.

Let workloads S bring loads of at most D to a pool whose lots carry c each, with N of them running. D needs m lots, the
last of which carries r = D - c (m - 1). With fewer than m lots something stays away, and at least

    sum over S of (d - what w brings) >= r (m - N)

Those with the shares above the fractional part of N are the ones that a given point breaks most (Atamtuerk and Rajan,
Mathematical Programming 92, 2002), so looking for one costs a pass over the row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from msgspec import Struct

from signalbox.planner.instance import Floats, Ints
from signalbox.planner.program import CapacityRow

FRACTION_MIN = 1e-4
WHOLE = 1e-9


class Cut(Struct, frozen=True):
    """Sum of values times columns is at most `high`. depth: how far the point was beyond it."""

    depth: float
    columns: Ints
    values: Floats
    high: float


class Separator:
    """Of one capacity row."""

    def __init__(self, row: CapacityRow) -> None:
        self._capacity = row.capacity
        self._columns = np.asarray([column for column, _, _ in row.shares])
        self._loads = np.asarray([load for _, _, load in row.shares])
        _, self._workload = np.unique([workload for _, workload, _ in row.shares], return_inverse=True)
        self._most = np.zeros(int(self._workload.max()) + 1)
        np.maximum.at(self._most, self._workload, self._loads)
        self._lots = np.asarray([column for column, _ in row.lots], dtype=np.int64)
        self._counts = np.asarray([count for _, count in row.lots], dtype=np.float64)

    def broken(self, values: Floats) -> Cut | None:
        """The inequality that these values of the columns break most, if any."""
        running = float(values[self._lots] @ self._counts)
        part = running - math.floor(running)
        if not FRACTION_MIN < part < 1.0 - FRACTION_MIN:
            return None
        brought = np.bincount(self._workload, self._loads * values[self._columns], len(self._most))
        chosen = brought > (part + WHOLE) * self._most
        most = float(self._most[chosen].sum())
        lots = math.ceil(most / self._capacity - WHOLE)
        last = most - self._capacity * (lots - 1)
        if lots < 1 or last >= self._capacity * (1.0 - WHOLE):
            return None
        inside = chosen[self._workload]
        row = np.concatenate([self._loads[inside], -last * self._counts])
        beyond = last * (lots - running) - (most - float(brought[chosen].sum()))
        columns = np.concatenate([self._columns[inside], self._lots])
        return Cut(beyond / float(np.linalg.norm(row)), columns, row, most - last * lots)


def deepest(separators: Iterable[Separator], values: Floats, depth_min: float, count: int) -> list[Cut]:
    """At most so many of the inequalities that are broken by more than depth_min."""
    found = [cut for each in separators if (cut := each.broken(values)) is not None and cut.depth > depth_min]
    return sorted(found, key=lambda cut: -cut.depth)[:count]
