"""The decision as numbers: routes of workloads over pools and hours. What the solver, the re-check and the simulation
share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NO_POOL = -1


class Tier(Struct, frozen=True):
    """One way of paying for a lot. on: of each hour class 1 when the lot runs then."""

    name: str
    usd_per_month: float
    on: tuple[float, ...]
    capex_usd: float = 0.0


class Pool(Struct, frozen=True):
    """An option with capacity: lots of replicas that workloads share.

    lot_capacity: replica-seconds a second that one lot may be loaded with, headroom taken off; infinite for an option
    that only has to be opened. open_usd_per_month, open_fte: as soon as it exists. spare: lots that may fail. team: it
    needs people who run models.
    """

    option: str
    tiers: tuple[Tier, ...]
    lot_capacity: float
    lots_max: int
    spare: int = 1
    open_usd_per_month: float = 0.0
    open_fte: float = 0.0
    lot_fte: float = 0.0
    team: bool = True


class Route(Struct, frozen=True):
    """One way for one workload: which options serve it, what that loads and what it costs besides the pool.

    workload: index. pool: index, NO_POOL for what is paid by use alone. load: replica-seconds a second by hour class
    with all of the workload on it. usd_per_month: the same, of everything paid by use: escalations and overflow
    included. kept: share of its calls that the pool serves. spill: the option of the rest. must: whether the calls on
    the pool have nowhere else to go. share_max: most of the workload that may take it. pattern: all, or the share of
    its peak above which calls spill (`peak-60`), or the hours to which they are moved (`quiet`, `even`).
    """

    workload: int
    options: tuple[str, ...]
    pool: int
    load: tuple[float, ...]
    usd_per_month: float
    kept: float = 1.0
    spill: str | None = None
    must: bool = False
    share_max: float = 1.0
    quality: float | None = None
    pattern: str = "all"

    @property
    def name(self) -> str:
        return " > ".join(self.options) + (f" | {self.spill} over {self.pattern}" if self.spill else "")


class Instance(Struct, frozen=True):
    """hours: hours a month in each hour class, 730 in all. team_fte: as soon as any pool with `team` exists. fte_max,
    capex_max: None without a limit. fte_usd_per_month: price of people, in the objective."""

    workloads: tuple[str, ...]
    routes: tuple[Route, ...]
    pools: tuple[Pool, ...]
    hours: tuple[float, ...]
    fte_usd_per_month: float = 0.0
    team_fte: float = 0.0
    fte_max: float | None = None
    capex_max: float | None = None

    def by_workload(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in self.workloads]
        for index, route in enumerate(self.routes):
            found[route.workload].append(index)
        return found

    def limited(self, mine: list[int]) -> list[tuple[float, list[int]]]:
        """Of one workload's routes, those that begin with an option of which it may not use more than a share:
        (share, routes). Its patterns share the limit."""
        found: dict[str, tuple[float, list[int]]] = {}
        for index in mine:
            route = self.routes[index]
            if route.share_max < 1.0:
                found.setdefault(route.options[0], (route.share_max, []))[1].append(index)
        return list(found.values())

    def short_of_shares(self) -> list[tuple[str, list[str], float]]:
        """Workloads whose options may not take all of them together: (workload, options, share)."""
        found: list[tuple[str, list[str], float]] = []
        for workload, mine in zip(self.workloads, self.by_workload(), strict=True):
            most = {self.routes[index].options[0]: self.routes[index].share_max for index in mine}
            if most and sum(most.values()) < 1.0:
                found.append((workload, list(most), sum(most.values())))
        return found

    def without_routes(self) -> tuple[str, ...]:
        """Workloads that nothing can serve."""
        return tuple(self.workloads[each] for each, mine in enumerate(self.by_workload()) if not mine)


class Solution(Struct, frozen=True):
    """share: of a workload, by route. lots: for each pool a count a tier. usd_per_month: the objective, exact. bound:
    proven lower bound. status: optimal, time-limit, infeasible. checked: what the re-check in exact arithmetic found
    wrong, nothing when it holds."""

    status: str
    usd_per_month: float
    bound: float
    share: Floats
    lots: tuple[tuple[int, ...], ...]
    seconds: float
    checked: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        return bool(self.usd_per_month < float("inf"))

    def opened(self) -> tuple[int, ...]:
        return tuple(index for index, counts in enumerate(self.lots) if sum(counts))


def nothing(status: str, instance: Instance, seconds: float) -> Solution:
    lots = tuple((0,) * len(pool.tiers) for pool in instance.pools)
    return Solution(status, float("inf"), float("inf"), np.zeros(len(instance.routes)), lots, seconds)
