"""What GPUs of one's own cost day by day, and what of it the ledger has booked: on calls, as idle, and as true-up.

What was held is kept in the store, from the moment at which a configuration said so: the ledger of a day can be closed
after the configuration has changed, and GPUs cost while nothing of ours runs. Days are those of UTC, as in all sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec

from signalbox.core.attempts import AttemptFilter, AttemptSum
from signalbox.core.days import DAY_MS, HOUR_MS, ms_of
from signalbox.core.ports import Store
from signalbox.core.records import IDLE, TRUE_UP
from signalbox.core.usage import usd
from signalbox.pricing.owned import Holding, Step, gpu_ms, merged, owed_pico

FACT = "gpus"
# Changes that are remembered of one deployment, and for how long those are that no longer hold.
HOLDINGS_MAX = 500
KEPT_MS = 120 * DAY_MS
# How far back rows may come late and still be met by a correction.
DAYS_BACK = 35
# No replica is taken away sooner, so that calls with less between them are one piece of time.
GAP_MS = 60_000


class Owned(msgspec.Struct, frozen=True):
    """A deployment on GPUs of one's own, and what was held for it, the oldest first."""

    environment: str
    model: str
    holdings: tuple[Holding, ...]

    @property
    def comes_and_goes(self) -> bool:
        """Whether its replicas are, or were, taken away while nobody calls."""
        return any(step.idle_ms for holding in self.holdings for step in holding.steps)


class OwnedDay(msgspec.Struct, frozen=True):
    """One deployment on one UTC day, in pico-dollars. owed: GPU-hours × price. calls: what attempts were charged.
    idle, true_up: the rows that make up for the difference, `rows` of them. tokens: of all attempts."""

    day: date
    deployment: str
    environment: str
    model: str
    gpu_hours: float
    owed_pico: int
    calls_pico: int
    idle_pico: int
    true_up_pico: int
    attempts: int
    tokens: int
    rows: int

    @property
    def start_ms(self) -> int:
        return ms_of(self.day)

    @property
    def rest_pico(self) -> int:
        """What is not booked yet; 0 for a day that is closed."""
        return self.owed_pico - self.calls_pico - self.idle_pico - self.true_up_pico

    @property
    def used_share(self) -> float:
        """Of what was paid for, how much calls were charged; above 1 where they went faster than was stated."""
        return self.calls_pico / self.owed_pico if self.owed_pico else 0.0


def held(store: Store) -> dict[str, Owned]:
    """By deployment. Raises StoreError."""
    kept = store.fact(FACT)
    return msgspec.json.decode(kept, type=dict[str, Owned]) if kept is not None else {}


def note(store: Store, stated: Mapping[str, tuple[str, str, tuple[Step, ...]]], now_ms: int) -> bool:
    """Keeps what a configuration that has come into force says: (environment, model, steps) by deployment. Whether
    anything is different from before. Raises StoreError."""
    known, changed = held(store), False
    for name in known.keys() | stated.keys():
        before = known.get(name)
        environment, model, steps = stated.get(name, (before.environment, before.model, ()) if before else ("", "", ()))
        holdings = before.holdings if before is not None else ()
        if holdings and holdings[-1].steps == steps:
            continue
        known[name] = Owned(environment, model, _recent((*holdings, Holding(now_ms, steps)), now_ms))
        changed = True
    if changed:
        store.replace_fact(FACT, msgspec.json.encode(known))
    return changed


def _recent(holdings: tuple[Holding, ...], now_ms: int) -> tuple[Holding, ...]:
    """Without those that ended long ago."""
    first = 0
    while first + 1 < len(holdings) and holdings[first + 1].since_ms < now_ms - KEPT_MS:
        first += 1
    return holdings[first:][-HOLDINGS_MAX:]


class _Busy(msgspec.Struct, frozen=True):
    """When calls of a day ran, as far as they were in the ledger. attempts: how many those were."""

    attempts: int
    calls: tuple[tuple[int, int], ...]


def busy(store: Store, name: str, day: date, attempts: int, *, keep: bool = False) -> list[tuple[int, int]]:
    """When calls that began on a day ran, pieces of a minute and more apart. attempts: how many the ledger has of that
    day; while it has as many as were seen before, they are not read again. keep: remembers what was found, so that it
    outlives the retention of attempts, and never says less than before. Raises StoreError."""
    fact = f"{FACT}-busy/{name}/{day}"
    kept = store.fact(fact)
    known = msgspec.json.decode(kept, type=_Busy) if kept is not None else _Busy(0, ())
    if known.attempts == attempts:
        return list(known.calls)
    asked = AttemptFilter(since_ms=ms_of(day), until_ms=ms_of(day) + DAY_MS, deployment=name)
    rows = (row for row in store.attempts(asked) if row.state not in (IDLE, TRUE_UP))
    calls = merged(((row.time_ms, row.time_ms + row.duration_ms) for row in rows), GAP_MS)
    found = merged(sorted((*known.calls, *calls)), GAP_MS)
    if keep:
        store.replace_fact(fact, msgspec.json.encode(_Busy(max(attempts, known.attempts), tuple(found))))
    return found


def owned_days(
    store: Store, since: date, until: date, *, keep: bool = False, now_ms: int | None = None
) -> list[OwnedDay]:
    """Every deployment on every day (both included) on which GPUs were held for it or rows were booked for them; the
    latest first. keep: whoever closes days remembers when calls ran. now_ms: of a day that is not over, what is owed by
    then; left out, every day is taken whole. Raises StoreError."""
    known = held(store)
    if not known:
        return []
    # Of replicas that go when nobody calls, those that a call of the day before had brought may still be there.
    start_ms, end_ms = ms_of(since) - DAY_MS, ms_of(until) + DAY_MS
    asked = AttemptFilter(since_ms=start_ms, until_ms=end_ms)
    cells: dict[tuple[str, str], dict[str, AttemptSum]] = {}
    for cell in store.sum_grid(asked, ("day", "deployment", "state")):
        day, deployment, state = cell.groups
        cells.setdefault((day, deployment), {})[state] = cell.sum
    found: list[OwnedDay] = []
    for number in range((until - since).days, -1, -1):
        day = since + timedelta(days=number)
        day_end_ms = ms_of(day) + DAY_MS if now_ms is None else min(ms_of(day) + DAY_MS, now_ms)
        for name in sorted(known):
            sums = cells.get((day.isoformat(), name), {})
            ran: list[tuple[int, int]] = []
            if known[name].comes_and_goes:
                for each in (day - timedelta(days=1), day):
                    counts = cells.get((each.isoformat(), name), {})
                    ran += busy(store, name, each, _made(counts), keep=keep)
            if _held(known[name], day, day_end_ms) or IDLE in sums or TRUE_UP in sums:
                found.append(_day(day, day_end_ms, name, known[name], sums, ran))
    return found


def _held(owned: Owned, day: date, end_ms: int) -> bool:
    """Whether anything is to be said of a day, be it that nothing was there on it."""
    return end_ms > ms_of(day) and gpu_ms(owned.holdings, ms_of(day), end_ms, ((0, end_ms),)) > 0


def _made(sums: Mapping[str, AttemptSum]) -> int:
    """Attempts of calls, without the rows that close a day."""
    return sum(found.attempts for state, found in sums.items() if state not in (IDLE, TRUE_UP))


def _day(
    day: date, end_ms: int, name: str, owned: Owned, sums: Mapping[str, AttemptSum], ran: Sequence[tuple[int, int]]
) -> OwnedDay:
    start_ms = min(ms_of(day), end_ms)
    calls = [found for state, found in sums.items() if state not in (IDLE, TRUE_UP)]
    made = [sums[state] for state in (IDLE, TRUE_UP) if state in sums]
    return OwnedDay(
        day=day,
        deployment=name,
        environment=owned.environment,
        model=owned.model,
        gpu_hours=gpu_ms(owned.holdings, start_ms, end_ms, ran) / HOUR_MS,
        owed_pico=owed_pico(owned.holdings, start_ms, end_ms, ran),
        calls_pico=sum(found.cost_pico for found in calls),
        idle_pico=sums[IDLE].cost_pico if IDLE in sums else 0,
        true_up_pico=sums[TRUE_UP].cost_pico if TRUE_UP in sums else 0,
        attempts=_made(sums),
        tokens=sum(found.tokens_in + found.cache_read + found.cache_write + found.tokens_out for found in calls),
        rows=sum(found.attempts for found in made),
    )


def gpu_day(day: OwnedDay) -> dict[str, object]:
    """A day as commands and pages tell it, amounts in exact dollars. rest_usd: what is not booked yet."""
    return {
        "day": day.day.isoformat(),
        "deployment": day.deployment,
        "gpu_hours": round(day.gpu_hours, 6),
        "owed_usd": usd(day.owed_pico),
        "calls_usd": usd(day.calls_pico),
        "idle_usd": usd(day.idle_pico),
        "true_up_usd": usd(day.true_up_pico),
        "rest_usd": usd(day.rest_pico),
        "used_share": round(day.used_share, 4),
        "attempts": day.attempts,
        "tokens": day.tokens,
    }
