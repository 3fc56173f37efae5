"""How deployments and workloads did of late, from the newest attempts: quantiles, failures, hours of the last day."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from signalbox.control.readings.scope import Scope
from signalbox.core.attempts import HOUR, AttemptFilter, AttemptRow
from signalbox.core.days import HOUR_MS
from signalbox.core.ports import Store
from signalbox.core.records import FAILED, SETTLED, UNKNOWN

# The newest attempts that quantiles are of: enough to tell, and few enough to read at each look.
NEWEST = 2000
HOURS = 24


class Pace(msgspec.Struct, frozen=True):
    """Of settled attempts among the newest, in milliseconds: time to first token, time of each token after it, and of
    whole attempts; 50th and 95th percentile, None without any. failed: of `attempts` that ended."""

    attempts: int
    failed: int
    ttft_ms: tuple[float, float] | None
    token_ms: tuple[float, float] | None
    whole_ms: tuple[float, float] | None


NOTHING = Pace(0, 0, None, None, None)


class HourOf(msgspec.Struct, frozen=True):
    """One hour of one deployment or workload."""

    start_ms: int
    attempts: int
    failed: int


def paces(store: Store, scope: Scope, by: str) -> dict[str, Pace]:
    """by: deployment or workload. Raises StoreError."""
    page = store.attempts_page(scope.narrow(AttemptFilter()), None, NEWEST)
    groups: dict[str, list[AttemptRow]] = {}
    for row in page.rows:
        groups.setdefault(getattr(row, by), []).append(row)
    return {name: pace_of(rows) for name, rows in groups.items()}


def pace_of(rows: Sequence[AttemptRow]) -> Pace:
    ended = [row for row in rows if row.state != "open"]
    good = [row for row in ended if row.state == SETTLED]
    streamed = [row for row in good if row.stream and row.ttft_ms and row.tokens_out > 1]
    return Pace(
        len(ended),
        sum(row.state in (FAILED, UNKNOWN) for row in ended),
        _quantiles(streamed, lambda row: row.ttft_ms),
        _quantiles(streamed, lambda row: (row.duration_ms - row.ttft_ms) / (row.tokens_out - 1)),
        _quantiles(good, lambda row: row.duration_ms),
    )


def _quantiles(rows: Sequence[AttemptRow], of: Callable[[AttemptRow], float]) -> tuple[float, float] | None:
    values = sorted(of(row) for row in rows)
    if not values:
        return None
    return values[(len(values) - 1) // 2], values[min(len(values) - 1, -(-len(values) * 95 // 100) - 1)]


def hours_by(store: Store, scope: Scope, by: str, now_ms: int) -> dict[str, list[HourOf]]:
    """The last day hour by hour, of each that had any attempt. Raises StoreError."""
    until_ms = now_ms // HOUR_MS * HOUR_MS + HOUR_MS
    since_ms = until_ms - HOURS * HOUR_MS
    sums: dict[str, list[list[int]]] = {}
    where = scope.narrow(AttemptFilter(since_ms=since_ms, until_ms=until_ms))
    for cell in store.sum_grid(where, (HOUR, by, "state")):
        start, name, state = cell.groups
        slots = sums.setdefault(name, [[0, 0] for _ in range(HOURS)])
        slot = slots[(int(start) - since_ms) // HOUR_MS]
        slot[0] += cell.sum.attempts
        slot[1] += cell.sum.attempts if state in (FAILED, UNKNOWN) else 0
    return {
        name: [HourOf(since_ms + place * HOUR_MS, *slot) for place, slot in enumerate(slots)]
        for name, slots in sums.items()
    }
