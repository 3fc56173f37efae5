"""The solver against brute force, and the exact re-check against answers that break a limit by a hair."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy.optimize import linprog

from signalbox.planner.cuts import Separator
from signalbox.planner.exact import check
from signalbox.planner.instance import NO_POOL, Instance, Pool, Route, Tier
from signalbox.planner.program import CapacityRow
from signalbox.planner.solver import solve

HOURS = (365.0, 365.0)


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    pools = tuple(
        Pool(
            f"p{index}",
            (Tier("t", draw(st.integers(100, 900)), (1.0, 1.0), capex_usd=draw(st.sampled_from([0.0, 1000.0]))),),
            draw(st.sampled_from([0.5, 1.0, 2.0])),
            3,
            draw(st.integers(0, 1)),
            draw(st.sampled_from([0.0, 50.0])),
            draw(st.sampled_from([0.0, 0.125])),
            0.125,
        )
        for index in range(2)
    )
    routes: list[Route] = []
    count = draw(st.integers(1, 4))
    for workload in range(count):
        token = draw(st.booleans())
        if token:
            routes.append(Route(workload, ("api",), NO_POOL, (0.0, 0.0), draw(st.integers(50, 2000))))
        for pool in range(2):
            load = (draw(st.sampled_from([0.125, 0.375, 0.875])), draw(st.sampled_from([0.0, 0.25])))
            routes.append(Route(workload, (f"p{pool}",), pool, load, 0.0, must=not token))
    fte, capex = draw(st.sampled_from([None, 0.5, 1.0])), draw(st.sampled_from([None, 1000.0, 3000.0]))
    return Instance(tuple(f"w{each}" for each in range(count)), tuple(routes), pools, HOURS, 100.0, 0.25, fte, capex)


def brute_force(instance: Instance) -> float:
    """Every count of lots, and the cheapest shares for each by a linear program of its own."""
    best = float("inf")
    for counts in itertools.product(range(4), repeat=len(instance.pools)):
        opened = [count > 0 for count in counts]
        people = sum(
            pool.open_fte + pool.lot_fte * count for pool, count in zip(instance.pools, counts, strict=True) if count
        ) + (instance.team_fte if any(opened) else 0.0)
        capital = sum(pool.tiers[0].capex_usd * count for pool, count in zip(instance.pools, counts, strict=True))
        if instance.fte_max is not None and people > instance.fte_max + 1e-12:
            continue
        if instance.capex_max is not None and capital > instance.capex_max:
            continue
        fixed = people * instance.fte_usd_per_month + sum(
            pool.tiers[0].usd_per_month * count + (pool.open_usd_per_month if count else 0.0)
            for pool, count in zip(instance.pools, counts, strict=True)
        )
        rows, limits = [], []
        for index, pool in enumerate(instance.pools):
            for hour in range(2):
                mine = [route.load[hour] if route.pool == index else 0.0 for route in instance.routes]
                rows.append(mine)
                limits.append(counts[index] * pool.lot_capacity)
                if pool.spare:
                    must = [load if route.must else 0.0 for load, route in zip(mine, instance.routes, strict=True)]
                    if any(must):
                        rows.append(must)
                        limits.append(max(0.0, (counts[index] - pool.spare) * pool.lot_capacity))
        bounds = [(0, 1 if route.pool == NO_POOL or opened[route.pool] else 0) for route in instance.routes]
        whole = [
            [float(route.workload == each) for route in instance.routes] for each in range(len(instance.workloads))
        ]
        cost = [route.usd_per_month for route in instance.routes]
        found = linprog(cost, rows, limits, whole, [1.0] * len(whole), bounds)
        if found.status == 0:
            best = min(best, fixed + found.fun)
    return best


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(instances())
def test_nothing_is_cheaper(instance: Instance) -> None:
    found = solve(instance)
    best = brute_force(instance)
    if best == float("inf"):
        assert not found.found
    else:
        assert found.usd_per_month == pytest.approx(best, rel=1e-6, abs=1e-4), (
            "the shares are set with a margin of 1e-8"
        )
        assert found.checked == ()


def small() -> Instance:
    pool = Pool("p", (Tier("t", 100.0, (1.0,), capex_usd=10.0),), 1.0, 4, 1, 0.0, 0.1, 0.1)
    routes = (
        Route(0, ("p",), 0, (0.7,), 0.0, must=True),
        Route(1, ("api",), NO_POOL, (0.0,), 500.0),
        Route(1, ("p",), 0, (0.6,), 0.0),
    )
    return Instance(("a", "b"), routes, (pool,), (730.0,), 100.0, 0.2, 1.0, 100.0)


def test_spare_lots_are_for_what_has_nowhere_else_to_go() -> None:
    found = solve(small())
    assert found.lots == ((2,),)
    assert found.share.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("share", "lots", "what"),
    [
        ([1.0, 0.0, 1.0], ((1,),), "overfull"),
        ([1.0, 1.0, 0.0], ((1,),), "too few lots"),
        ([0.999999, 0.0, 1.0], ((2,),), "add up"),
        ([1.0, 0.0, 1.0], ((5,),), "at most 4"),
        ([1.0, 1.0, 0.0], ((0,),), "without being there"),
    ],
)
def test_a_broken_limit_is_told(share: list[float], lots: tuple[tuple[int, ...], ...], what: str) -> None:
    assert any(what in each for each in check(small(), np.asarray(share), lots).broken)


def test_people_are_counted_exactly() -> None:
    """0.1 + 0.2 + 2 x 0.1 engineers: a limit below that by the last bit is broken."""
    instance = small()
    exact = 0.5
    held = check(replace(instance, fte_max=exact + 1e-15), np.asarray([1.0, 0.0, 1.0]), ((2,),))
    assert held.broken == ()
    tight = check(replace(instance, fte_max=exact - 1e-15), np.asarray([1.0, 0.0, 1.0]), ((2,),))
    assert any("engineers" in each for each in tight.broken)


def test_patterns_of_one_option_share_its_limit() -> None:
    pool = Pool("p", (Tier("t", 1.0, (1.0,)),), 1.0, 4, 0)
    routes = (
        Route(0, ("p",), 0, (0.5,), 0.0, share_max=0.7),
        Route(0, ("p",), 0, (0.25,), 10.0, kept=0.5, spill="api", share_max=0.7, pattern="50% of its peak"),
        Route(0, ("api",), NO_POOL, (0.0,), 1000.0),
    )
    found = solve(Instance(("a",), routes, (pool,), (730.0,)))
    assert found.checked == ()
    assert float(found.share[:2].sum()) <= 0.7
    assert found.usd_per_month == pytest.approx(301.0, rel=1e-5)


def test_what_needs_no_whole_number_is_solved_too() -> None:
    routes = (Route(0, ("dear",), NO_POOL, (0.0,), 9.0), Route(0, ("cheap",), NO_POOL, (0.0,), 4.0))
    found = solve(Instance(("a",), routes, (), (730.0,)))
    assert (found.status, found.usd_per_month, found.bound) == ("optimal", 4.0, pytest.approx(4.0))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=6),
    st.integers(5, 25),
    st.integers(0, 1),
    st.lists(st.integers(0, 100), min_size=8, max_size=8),
)
def test_no_plan_with_whole_lots_is_cut_off(
    loads: list[tuple[int, int]], capacity: int, spare: int, shares: list[int]
) -> None:
    """Whatever point the inequality is made for, every plan that the capacity row permits keeps it."""
    row = CapacityRow(
        capacity / 8,
        tuple((2 + at, workload, load / 8) for at, (workload, load) in enumerate(loads)),
        ((0, 1.0), (1, -float(spare))),
    )
    point = np.asarray([shares[0] / 25, 1.0, *(each / 100 for each in shares[1 : 1 + len(loads)])])
    cut = Separator(row).broken(point)
    if cut is None:
        return
    for lots in range(1, 12):
        # The fullest plans: as much as the lots that are left carry, in any order of the columns.
        for order in itertools.islice(itertools.permutations(range(len(loads))), 24):
            left, taken = (lots - spare) * row.capacity, dict.fromkeys(range(4), 0.0)
            values = np.zeros(len(point))
            values[0], values[1] = lots, 1.0
            for at in order:
                workload, load = loads[at]
                part = min(1.0 - taken[workload], max(0.0, left) / (load / 8))
                values[2 + at] = part
                taken[workload] += part
                left -= part * load / 8
            assert float(values[cut.columns] @ cut.values) <= cut.high + 1e-7


def test_a_search_that_runs_out_of_time_says_how_far_it_got() -> None:
    found = solve(small(), time_limit_s=0.0)
    assert found.status == "time-limit"
    assert not found.found
