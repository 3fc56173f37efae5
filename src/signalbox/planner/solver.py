"""The cheapest plan with its proof: the program is searched to a gap of 0, and the answer checked in fractions."""

from __future__ import annotations

import math
import time

import numpy as np

from signalbox.planner.exact import Lots, check, repair
from signalbox.planner.instance import Floats, Instance, Solution, nothing
from signalbox.planner.program import Program
from signalbox.planner.search import SHARES_S, Relaxation, Searched, search

# Taken off every capacity where the exact re-check finds one broken by the solver's tolerance, as a share of it: first
# with the lots that were found, then for a search of its own.
SHARES_MARGIN, MARGIN = 1e-8, 4e-6


def solve(
    instance: Instance, *, time_limit_s: float = 60.0, gap: float = 0.0, open_only: frozenset[int] | None = None
) -> Solution:
    """The cheapest plan. open_only: pools that may be open, all when None. A solution whose re-check finds a limit
    broken by the solver's tolerance is sought again with a margin."""
    began = time.perf_counter()
    if instance.without_routes():
        return nothing("infeasible", instance, 0.0)
    found = _solve(instance, gap, open_only, 0.0, began, began + time_limit_s)
    if found.checked and time.perf_counter() - began < time_limit_s:
        again = _solve(instance, gap, open_only, MARGIN, began, began + time_limit_s)
        found = again if again.found and not again.checked else found
    return found


def _solve(
    instance: Instance, gap: float, open_only: frozenset[int] | None, margin: float, began: float, ends: float
) -> Solution:
    program = Program(instance, open_only, margin)
    if not program.share_columns:
        return nothing("infeasible", instance, time.perf_counter() - began)
    found = search(program, gap, ends)
    seconds = time.perf_counter() - began
    if found.whole is None:
        return nothing("infeasible" if found.proven else "time-limit", instance, seconds)
    best = nothing("time-limit", instance, seconds)
    if found.values is not None:
        best = _solution(program, found.values, found, began)
    if best.checked or not best.found:
        narrow = Program(instance, open_only, margin + SHARES_MARGIN)
        values = Relaxation(narrow, ends).shares(found.whole, time.perf_counter() + SHARES_S)
        if values is not None:
            best = _solution(narrow, values, found, began)
    return best


def _solution(program: Program, values: Floats, found: Searched, began: float) -> Solution:
    instance = program.instance
    share = np.zeros(len(instance.routes))
    for index, column in program.share_columns.items():
        share[index] = values[column]
    lots: Lots = tuple(
        tuple(_count(program, values, index, position) for position in range(len(pool.tiers)))
        for index, pool in enumerate(instance.pools)
    )
    share = repair(instance, share, lots)
    checked = check(instance, share, lots)
    bound = min(found.bound, checked.usd_per_month) if math.isfinite(found.bound) else 0.0
    status = "optimal" if found.proven else "time-limit"
    seconds = time.perf_counter() - began
    return Solution(status, checked.usd_per_month, bound, share, lots, seconds, checked.broken)


def _count(program: Program, values: Floats, pool: int, tier: int) -> int:
    column = program.lot_columns.get((pool, tier))
    return 0 if column is None else round(float(values[column]))
