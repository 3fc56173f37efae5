"""What a change to one workload on one option is worth: tokens by use, lots by whole ones."""

from __future__ import annotations

import math

import numpy as np

from signalbox.planner.instance import Floats, Solution
from signalbox.planner.routes import Built


class Freed:
    """One workload on one option as a plan has it. usd_per_month: what it costs there, its part of lots left out."""

    def __init__(self, built: Built, solution: Solution, workload: str, option: str) -> None:
        instance = built.instance
        self._pool, self._counts = None, ()
        hours = np.zeros(len(instance.hours))
        self._mine, self._all, self._must = hours, hours.copy(), False
        self._hours = np.asarray(instance.hours)
        self.usd_per_month = 0.0
        for index, (pool, counts) in enumerate(zip(instance.pools, solution.lots, strict=True)):
            if pool.option == option and sum(counts) and not math.isinf(pool.lot_capacity):
                self._pool, self._counts, at = pool, counts, index
                break
        else:
            at = None
        for route, share in zip(instance.routes, solution.share, strict=True):
            if not share > 0:
                continue
            here = instance.workloads[route.workload] == workload and route.options[0] == option
            if here:
                self.usd_per_month += route.usd_per_month * float(share)
            if at is not None and route.pool == at:
                load = np.asarray(route.load) * share
                self._all = self._all + load
                self._must |= route.must
                if here:
                    self._mine = self._mine + load
        self._lot_fte_usd = instance.fte_usd_per_month * (self._pool.lot_fte if self._pool else 0.0)

    @property
    def lot_usd(self) -> float:
        """A month of one lot as the plan pays for it, with the people it binds."""
        if self._pool is None or not sum(self._counts):
            return 0.0
        paid = sum(count * tier.usd_per_month for count, tier in zip(self._counts, self._pool.tiers, strict=True))
        return paid / sum(self._counts) + self._lot_fte_usd

    def times(self, factor: float) -> float:
        """USD a month less with its work on the lots times a factor; below 0 where that takes more of them."""
        return self._lots(self._mine * factor)

    def evened(self) -> float:
        """The same with its work spread over all hours."""
        mean = float((self._mine * self._hours).sum() / self._hours.sum())
        return self._lots(np.full(len(self._mine), mean))

    def _lots(self, mine: Floats) -> float:
        return (self._needed(self._all) - self._needed(self._all - self._mine + mine)) * self.lot_usd

    def _needed(self, load: Floats) -> int:
        if self._pool is None:
            return 0
        # What a solver takes for one lot may be a hair more than one.
        lots = math.ceil(float(load.max()) / self._pool.lot_capacity - 1e-6)
        return lots + (self._pool.spare if self._must and lots else 0)
