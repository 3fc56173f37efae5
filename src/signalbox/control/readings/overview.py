"""The installation at a glance: a day's traffic and cost, which routes are used and which are closed."""

from __future__ import annotations

from collections import Counter

import msgspec

from signalbox.control.in_force import InForce
from signalbox.control.readings.placements import Closed, closed_routes
from signalbox.control.readings.scope import Scope
from signalbox.core.attempts import HOUR, AttemptFilter, AttemptSum
from signalbox.core.days import HOUR_MS
from signalbox.core.ports import Store
from signalbox.core.records import FAILED, UNKNOWN

HOURS = 24
REFUSED_READ_MAX = 1000
WORKLOADS_DRAWN_MAX = 12
ENVIRONMENTS_DRAWN_MAX = 12
_BAD = frozenset((FAILED, UNKNOWN))


class Totals(msgspec.Struct):
    """Of one day. failed: attempts that failed, or whose end nobody knows."""

    attempts: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_pico: int = 0
    unpriced: int = 0

    def add(self, found: AttemptSum, state: str) -> None:
        self.attempts += found.attempts
        self.failed += found.attempts if state in _BAD else 0
        self.tokens_in += found.tokens_in + found.cache_read + found.cache_write
        self.tokens_out += found.tokens_out
        self.cost_pico += found.cost_pico
        self.unpriced += found.unpriced


class Hour(msgspec.Struct):
    """start_ms: Unix milliseconds."""

    start_ms: int
    totals: Totals


class Flow(msgspec.Struct, frozen=True):
    """What went from a workload to an environment."""

    workload: str
    environment: str
    attempts: int
    failed: int
    cost_pico: int


class Place(msgspec.Struct, frozen=True):
    """An environment of the configuration in force, or one that only the ledger still knows (kind is empty then)."""

    name: str
    kind: str = ""
    region: str = ""


class Overview(msgspec.Struct, frozen=True):
    """From since_ms on, whole hours; `before` is the day before that. refused: calls that nothing may or can serve, by
    workload; refused_more: there are more than were counted. workloads, places: as they are drawn. hidden: workloads
    and environments beyond those."""

    since_ms: int
    until_ms: int
    now: Totals
    before: Totals
    hours: list[Hour]
    flows: list[Flow]
    closed: list[Closed]
    refused: dict[str, int]
    refused_more: bool
    workloads: list[str]
    places: list[Place]
    hidden: int


def overview(store: Store, in_force: InForce, scope: Scope, now_ms: int) -> Overview:
    """Raises StoreError."""
    until_ms = now_ms // HOUR_MS * HOUR_MS + HOUR_MS
    since_ms = until_ms - HOURS * HOUR_MS
    where = scope.narrow(AttemptFilter(since_ms=since_ms - HOURS * HOUR_MS, until_ms=until_ms))
    now, before = Totals(), Totals()
    hours = [Hour(since_ms + number * HOUR_MS, Totals()) for number in range(HOURS)]
    for cell in store.sum_grid(where, (HOUR, "state")):
        start_ms, state = int(cell.groups[0]), cell.groups[1]
        if start_ms < since_ms:
            before.add(cell.sum, state)
        else:
            now.add(cell.sum, state)
            hours[(start_ms - since_ms) // HOUR_MS].totals.add(cell.sum, state)
    flows = _flows(store, msgspec.structs.replace(where, since_ms=since_ms))
    refused, more = _refused(store, scope, since_ms)
    workloads, places, hidden = _drawn(in_force, flows, refused)
    drawn = [in_force.snapshot.workloads[name] for name in workloads if name in in_force.snapshot.workloads]
    closed = [route for workload in drawn for route in closed_routes(in_force.snapshot, workload)]
    return Overview(since_ms, until_ms, now, before, hours, flows, closed, refused, more, workloads, places, hidden)


def _flows(store: Store, where: AttemptFilter) -> list[Flow]:
    sums: dict[tuple[str, str], Totals] = {}
    for cell in store.sum_grid(where, ("workload", "environment", "state")):
        workload, environment, state = cell.groups
        sums.setdefault((workload, environment), Totals()).add(cell.sum, state)
    found = [Flow(*route, total.attempts, total.failed, total.cost_pico) for route, total in sums.items()]
    return sorted(found, key=lambda flow: (-flow.attempts, flow.workload, flow.environment))


def _refused(store: Store, scope: Scope, since_ms: int) -> tuple[dict[str, int], bool]:
    page = store.refused_page(scope.narrow(AttemptFilter(since_ms=since_ms)), None, REFUSED_READ_MAX)
    return dict(Counter(row.workload for row in page.rows)), page.older is not None


def _drawn(in_force: InForce, flows: list[Flow], refused: dict[str, int]) -> tuple[list[str], list[Place], int]:
    """The busiest workloads and environments, then others as the file lists them."""
    declared = in_force.declared.config.environments
    environments = in_force.snapshot.environments
    known = {one.name: Place(one.name, one.kind, one.region) for one in environments if one.name in declared}
    workloads = list(dict.fromkeys([*(flow.workload for flow in flows), *refused, *in_force.snapshot.workloads]))
    names = list(dict.fromkeys([*(flow.environment for flow in flows), *known]))
    hidden = max(0, len(workloads) - WORKLOADS_DRAWN_MAX) + max(0, len(names) - ENVIRONMENTS_DRAWN_MAX)
    places = [known.get(name, Place(name)) for name in names[:ENVIRONMENTS_DRAWN_MAX]]
    return workloads[:WORKLOADS_DRAWN_MAX], places, hidden
