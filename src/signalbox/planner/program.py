"""The plan as a mixed-integer program: shares of workloads by route, whole lots by pool and way of paying, open pools.

Routes come in patterns: all of a workload on a pool, or what exceeds a part of its peak on the option that its overflow
may use. So pooling and overflow are part of the program, over every hour class, and never leave the options that the
rules permit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import Struct

from signalbox.planner.instance import NO_POOL, Instance, Route

# A workload that costs less than this share of all of them is a small one.
SMALL = 5e-4


class CapacityRow(Struct, frozen=True):
    """What a pool carries in one hour class: the loads of its shares, (column, workload, load), within `capacity` for
    each lot that runs. lots: (column, runs then or not, as 1 or 0), with what fails taken off the column that opens."""

    capacity: float
    shares: tuple[tuple[int, int, float], ...]
    lots: tuple[tuple[int, float], ...]


class Program:
    """Columns and rows as they are found; built once. Rows are kept one after the other: the entries of row r are those
    from starts[r] to starts[r + 1]. margin: what is taken off every capacity, as a share of it."""

    def __init__(self, instance: Instance, open_only: frozenset[int] | None = None, margin: float = 0.0) -> None:
        self.instance = instance
        self.cost: list[float] = []
        self.upper: list[float] = []
        self.integer: list[int] = []
        self.share_columns: dict[int, int] = {}
        self.lot_columns: dict[tuple[int, int], int] = {}
        self.open_columns: dict[int, int] = {}
        self.team_column = -1
        self.starts: list[int] = [0]
        self.columns: list[int] = []
        self.values: list[float] = []
        self.row_low: list[float] = []
        self.row_high: list[float] = []
        self.capacities: list[CapacityRow] = []
        self._kept = 1.0 - margin
        # What a workload costs by use alone, where it can be paid so.
        self._alone_usd: dict[int, float] = {}
        self._shares(open_only)
        self._pools()
        self._people_and_capital()

    def _column(self, cost: float, upper: float, integer: bool = False) -> int:
        self.cost.append(cost)
        self.upper.append(upper)
        if integer:
            self.integer.append(len(self.cost) - 1)
        return len(self.cost) - 1

    def _row(self, entries: list[tuple[int, float]], low: float, high: float) -> None:
        self.columns += [column for column, _ in entries]
        self.values += [value for _, value in entries]
        self.starts.append(len(self.columns))
        self.row_low.append(low)
        self.row_high.append(high)

    def _shares(self, open_only: frozenset[int] | None) -> None:
        """All of every workload on its routes. Of those paid by use alone only the cheapest counts."""
        instance = self.instance
        for mine in instance.by_workload():
            free = [index for index in mine if _unlimited(instance.routes[index])]
            best = min(free, key=lambda index: instance.routes[index].usd_per_month, default=None)
            if best is not None:
                self._alone_usd[instance.routes[best].workload] = instance.routes[best].usd_per_month
            for index in mine:
                route = instance.routes[index]
                if index in free and index != best:
                    continue
                if route.pool != NO_POOL and open_only is not None and route.pool not in open_only:
                    continue
                self.share_columns[index] = self._column(route.usd_per_month, route.share_max)
            here = [(self.share_columns[index], 1.0) for index in mine if index in self.share_columns]
            self._row(here, 1.0, 1.0)
            for limit, limited in instance.limited(mine):
                entries = [(self.share_columns[index], 1.0) for index in limited if index in self.share_columns]
                if len(entries) > 1:
                    self._row(entries, -math.inf, limit)

    def _pools(self) -> None:
        instance = self.instance
        used: list[list[int]] = [[] for _ in instance.pools]
        for index in self.share_columns:
            pool = instance.routes[index].pool
            if pool != NO_POOL:
                used[pool].append(index)
        for index, routes in enumerate(used):
            if routes:
                self._pool(index, routes)

    def _pool(self, index: int, routes: list[int]) -> None:
        instance, pool = self.instance, self.instance.pools[index]
        people = pool.open_fte * instance.fte_usd_per_month
        opened = self.open_columns[index] = self._column(pool.open_usd_per_month + people, 1.0, integer=True)
        lots_max = self._lots_max(index, routes)
        for position, tier in enumerate(pool.tiers):
            each = tier.usd_per_month + pool.lot_fte * instance.fte_usd_per_month
            self.lot_columns[index, position] = self._column(each, lots_max, integer=True)
        lots = [(self.lot_columns[index, position], tier) for position, tier in enumerate(pool.tiers)]
        self._row([*((column, 1.0) for column, _ in lots), (opened, -float(lots_max))], -math.inf, 0.0)
        self._row([*((column, 1.0) for column, _ in lots), (opened, -1.0)], 0.0, math.inf)
        if pool.lot_capacity == math.inf:
            for index in routes:
                self._row([(self.share_columns[index], 1.0), (opened, -1.0)], -math.inf, 0.0)
            return
        self._links(opened, routes)
        capacity = pool.lot_capacity * self._kept
        for hour in self._telling_hours(index, routes):
            here = [(each, load) for each in routes if (load := instance.routes[each].load[hour]) > 0]
            if not here:
                continue
            running = [(column, tier.on[hour]) for column, tier in lots if tier.on[hour]]
            self._capacity(capacity, here, running)
            must = [(each, load) for each, load in here if instance.routes[each].must]
            if must and pool.spare:
                self._capacity(capacity, must, [*running, (opened, -float(pool.spare))])

    def _capacity(self, capacity: float, here: list[tuple[int, float]], lots: list[tuple[int, float]]) -> None:
        shares = [(self.share_columns[each], self.instance.routes[each].workload, load) for each, load in here]
        loads = [(column, load) for column, _, load in shares]
        self._row([*loads, *((column, -capacity * count) for column, count in lots)], -math.inf, 0.0)
        if all(float(count).is_integer() for _, count in lots):
            self.capacities.append(CapacityRow(capacity, tuple(shares), tuple(lots)))

    def _telling_hours(self, index: int, routes: list[int]) -> list[int]:
        """The hour classes that limit a pool: one in which every route loads it no more than in another, with at least
        the same lots running, says nothing."""
        loads = np.asarray([self.instance.routes[each].load for each in routes])
        on = np.asarray([tier.on for tier in self.instance.pools[index].tiers])
        kept: list[int] = []
        for hour in np.argsort(-loads.sum(axis=0), kind="stable"):
            dominated = (
                bool((loads[:, hour] <= loads[:, other]).all() and (on[:, hour] >= on[:, other]).all())
                for other in kept
            )
            if not any(dominated):
                kept.append(int(hour))
        return kept

    def _links(self, opened: int, routes: list[int]) -> None:
        """No share of any workload on a pool that is not there: what makes the relaxation tight. Cheap workloads have
        one row together, weighted by what they cost: capacity keeps them away from what is closed, and their rows
        would tell the bound nothing."""
        by_workload: dict[int, list[int]] = {}
        for each in routes:
            by_workload.setdefault(self.instance.routes[each].workload, []).append(each)
        small: dict[int, list[int]] = {}
        for workload, mine in by_workload.items():
            loaded = all(max(self.instance.routes[each].load) > 0 for each in mine)
            if loaded and 0 < self._alone_usd.get(workload, math.inf) < SMALL * sum(self._alone_usd.values()):
                small[workload] = mine
                continue
            self._row([*((self.share_columns[each], 1.0) for each in mine), (opened, -1.0)], -math.inf, 0.0)
        whole = sum(self._alone_usd[workload] for workload in small)
        weighted = [
            (self.share_columns[each], self._alone_usd[workload] / whole)
            for workload, mine in small.items()
            for each in mine
        ]
        if weighted:
            self._row([*weighted, (opened, -1.0)], -math.inf, 0.0)

    def _lots_max(self, index: int, routes: list[int]) -> int:
        """No more lots are ever worth having than carry everything that could come, all at once."""
        pool = self.instance.pools[index]
        if pool.lot_capacity == math.inf:
            return 1
        most: dict[int, np.ndarray[Any, np.dtype[np.float64]]] = {}
        for each in routes:
            route = self.instance.routes[each]
            load = np.asarray(route.load)
            most[route.workload] = np.maximum(most[route.workload], load) if route.workload in most else load
        peak = float(np.sum(list(most.values()), axis=0).max())
        return max(1, min(pool.lots_max, math.ceil(peak / (pool.lot_capacity * self._kept)) + pool.spare))

    def _people_and_capital(self) -> None:
        instance = self.instance
        teams = [index for index in self.open_columns if instance.pools[index].team]
        if teams and instance.team_fte > 0:
            self.team_column = self._column(instance.team_fte * instance.fte_usd_per_month, 1.0, integer=True)
            for index in teams:
                self._row([(self.open_columns[index], 1.0), (self.team_column, -1.0)], -math.inf, 0.0)
        if instance.fte_max is not None:
            people = [(column, instance.pools[index].open_fte) for index, column in self.open_columns.items()]
            people += [(column, instance.pools[index].lot_fte) for (index, _), column in self.lot_columns.items()]
            if self.team_column >= 0:
                people.append((self.team_column, instance.team_fte))
            self._row([entry for entry in people if entry[1]], -math.inf, instance.fte_max)
        if instance.capex_max is not None:
            capital = [
                (column, instance.pools[index].tiers[position].capex_usd)
                for (index, position), column in self.lot_columns.items()
            ]
            self._row([entry for entry in capital if entry[1]], -math.inf, instance.capex_max)


def _unlimited(route: Route) -> bool:
    return route.pool == NO_POOL and route.share_max >= 1.0
