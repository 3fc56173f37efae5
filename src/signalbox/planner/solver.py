"""The plan as a mixed-integer program, solved to a gap of 0 by HiGHS in SciPy.

Shares of workloads by route, whole lots by pool and way of paying, pools that are open. Routes come in patterns: all of
a workload on a pool, or what exceeds a part of its peak on the option that its overflow may use. So pooling and
overflow are part of the program, over every hour class, and never leave the options that the rules permit.
"""

from __future__ import annotations

import math
import time
from typing import Any, cast

import numpy as np
from scipy import optimize, sparse

from signalbox.planner.exact import check, repair
from signalbox.planner.instance import NO_POOL, Instance, Route, Solution, nothing

_milp = cast(Any, optimize.milp)
_constraints = cast(Any, optimize.LinearConstraint)
_bounds = cast(Any, optimize.Bounds)
_sparse = cast(Any, sparse)

OPTIMAL, LIMIT = 0, 1
# Taken off every capacity when the re-check finds that the solver's tolerance broke one.
MARGIN = 4e-6


class _Program:
    """Columns and rows as they are found; built once, solved once."""

    def __init__(self, instance: Instance, open_only: frozenset[int] | None, margin: float) -> None:
        self.instance = instance
        self.cost: list[float] = []
        self.upper: list[float] = []
        self.integer: list[int] = []
        self.share_columns: dict[int, int] = {}
        self.lot_columns: dict[tuple[int, int], int] = {}
        self._open_columns: dict[int, int] = {}
        self._entries: tuple[list[int], list[int], list[float]] = ([], [], [])
        self._row_low: list[float] = []
        self._row_high: list[float] = []
        self._team_column = -1
        self._kept = 1.0 - margin
        self._shares(open_only)
        self._pools()
        self._people_and_capital()

    def matrix(self) -> Any:
        rows, columns, values = self._entries
        shape = (len(self._row_low), len(self.cost))
        return _constraints(_sparse.csc_array((values, (rows, columns)), shape=shape), self._row_low, self._row_high)

    def _column(self, cost: float, upper: float, integer: bool = False) -> int:
        self.cost.append(cost)
        self.upper.append(upper)
        self.integer.append(int(integer))
        return len(self.cost) - 1

    def _row(self, entries: list[tuple[int, float]], low: float, high: float) -> None:
        at = len(self._row_low)
        rows, columns, values = self._entries
        for column, value in entries:
            rows.append(at)
            columns.append(column)
            values.append(value)
        self._row_low.append(low)
        self._row_high.append(high)

    def _shares(self, open_only: frozenset[int] | None) -> None:
        """All of every workload on its routes. Of those paid by use alone only the cheapest counts."""
        instance = self.instance
        for mine in instance.by_workload():
            free = [index for index in mine if _unlimited(instance.routes[index])]
            best = min(free, key=lambda index: instance.routes[index].usd_per_month, default=None)
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
        opened = self._open_columns[index] = self._column(pool.open_usd_per_month + people, 1.0, integer=True)
        lots_max = self._lots_max(index, routes)
        for position, tier in enumerate(pool.tiers):
            each = tier.usd_per_month + pool.lot_fte * instance.fte_usd_per_month
            self.lot_columns[index, position] = self._column(each, lots_max, integer=True)
        lots = [(self.lot_columns[index, position], tier) for position, tier in enumerate(pool.tiers)]
        self._row([*((column, 1.0) for column, _ in lots), (opened, -float(lots_max))], -math.inf, 0.0)
        self._row([*((column, 1.0) for column, _ in lots), (opened, -1.0)], 0.0, math.inf)
        self._links(opened, routes)
        if pool.lot_capacity == math.inf:
            return
        capacity = pool.lot_capacity * self._kept
        for hour in self._telling_hours(index, routes):
            running = [(column, -capacity * tier.on[hour]) for column, tier in lots if tier.on[hour]]
            here = [(each, load) for each in routes if (load := instance.routes[each].load[hour]) > 0]
            if not here:
                continue
            self._row([*((self.share_columns[each], load) for each, load in here), *running], -math.inf, 0.0)
            must = [(self.share_columns[each], load) for each, load in here if instance.routes[each].must]
            if must and pool.spare:
                self._row([*must, *running, (opened, pool.spare * capacity)], -math.inf, 0.0)

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
        """No share of any workload on a pool that is not there: what makes the relaxation tight."""
        by_workload: dict[int, list[int]] = {}
        for each in routes:
            by_workload.setdefault(self.instance.routes[each].workload, []).append(self.share_columns[each])
        for columns in by_workload.values():
            self._row([*((column, 1.0) for column in columns), (opened, -1.0)], -math.inf, 0.0)

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
        teams = [index for index in self._open_columns if instance.pools[index].team]
        if teams and instance.team_fte > 0:
            self._team_column = self._column(instance.team_fte * instance.fte_usd_per_month, 1.0, integer=True)
            for index in teams:
                self._row([(self._open_columns[index], 1.0), (self._team_column, -1.0)], -math.inf, 0.0)
        if instance.fte_max is not None:
            people = [(column, instance.pools[index].open_fte) for index, column in self._open_columns.items()]
            people += [(column, instance.pools[index].lot_fte) for (index, _), column in self.lot_columns.items()]
            if self._team_column >= 0:
                people.append((self._team_column, instance.team_fte))
            self._row([entry for entry in people if entry[1]], -math.inf, instance.fte_max)
        if instance.capex_max is not None:
            capital = [
                (column, instance.pools[index].tiers[position].capex_usd)
                for (index, position), column in self.lot_columns.items()
            ]
            self._row([entry for entry in capital if entry[1]], -math.inf, instance.capex_max)


def _unlimited(route: Route) -> bool:
    return route.pool == NO_POOL and route.share_max >= 1.0


def solve(
    instance: Instance, *, time_limit_s: float = 60.0, gap: float = 0.0, open_only: frozenset[int] | None = None
) -> Solution:
    """The cheapest plan. open_only: pools that may be open, all when None. A solution whose re-check finds a limit
    broken by the solver's tolerance is sought again with a margin."""
    began = time.perf_counter()
    if instance.without_routes():
        return nothing("infeasible", instance, 0.0)
    found = _solve(instance, time_limit_s, gap, open_only, 0.0, began)
    left_s = time_limit_s - (time.perf_counter() - began)
    if found.checked and left_s > 0:
        found = _solve(instance, left_s, gap, open_only, MARGIN, began)
    return found


def _solve(
    instance: Instance, time_limit_s: float, gap: float, open_only: frozenset[int] | None, margin: float, began: float
) -> Solution:
    program = _Program(instance, open_only, margin)
    if not program.share_columns:
        return nothing("infeasible", instance, time.perf_counter() - began)
    result = _milp(
        c=np.asarray(program.cost),
        constraints=program.matrix(),
        bounds=_bounds(np.zeros(len(program.cost)), np.asarray(program.upper)),
        integrality=np.asarray(program.integer),
        options={"mip_rel_gap": gap, "time_limit": time_limit_s},
    )
    seconds = time.perf_counter() - began
    if result.x is None:
        return nothing("time-limit" if result.status == LIMIT else "infeasible", instance, seconds)
    share = np.zeros(len(instance.routes))
    for index, column in program.share_columns.items():
        share[index] = result.x[column]
    lots = tuple(
        tuple(
            round(float(result.x[program.lot_columns[index, position]]))
            if (index, position) in program.lot_columns
            else 0
            for position in range(len(pool.tiers))
        )
        for index, pool in enumerate(instance.pools)
    )
    share = repair(instance, share, lots)
    found = check(instance, share, lots)
    bound = float(result.mip_dual_bound if result.mip_dual_bound is not None else result.fun)
    status = "optimal" if result.status == OPTIMAL else "time-limit"
    seconds = time.perf_counter() - began
    return Solution(status, found.usd_per_month, bound, share, lots, seconds, found.broken)
