"""Spend by any dimension and day, with a forecast of the month; read from the rollups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec

from signalbox.control.readings.scope import Scope
from signalbox.core.attempts import AttemptFilter, AttemptSum
from signalbox.core.days import ms_of
from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store
from signalbox.core.usage import PICO, usd
from signalbox.ledger.forecast import DAYS_BACK, Forecast, forecast
from signalbox.ledger.owned import gpu_day, owned_days
from signalbox.ledger.parquet import sums
from signalbox.ledger.query import no_names

# Of these there may be hundreds of thousands: the costliest are shown, and the rest as one.
MANY = ("user", "tag", "session")
BY = (
    "workload", "deployment", "environment", "team", "tenant", "key_id", *MANY, "model", "api", "state", "usage_source",
)  # fmt: skip
SHOWN_MAX = 199
DAYS, DAYS_MAX = 30, 400
DRAWN_MAX = 7
OTHERS, ALL = "(others)", "(all)"
# Dimension -> the filter of requests that shows its rows.
ROWS_OF = {"key_id": "key"}
_FILTERED = ("workload", "deployment", "environment", "team", "tenant")


class Asked(msgspec.Struct, frozen=True):
    """Whole UTC days, both included."""

    by: str
    since: date
    until: date
    filters: dict[str, str]

    @property
    def where(self) -> AttemptFilter:
        day = timedelta(days=1)
        days = AttemptFilter(since_ms=ms_of(self.since), until_ms=ms_of(self.until + day))
        return msgspec.structs.replace(days, **self.filters)


class Group(msgspec.Struct):
    """sums over all days; days: cost of each, in pico-dollars, or none of one of MANY."""

    name: str
    attempts: int
    tokens_in: int
    tokens_out: int
    cost_pico: int
    unpriced: int
    days: list[int]


class Spend(msgspec.Struct, frozen=True):
    """groups: the costliest first; by one of MANY at most SHOWN_MAX of them and OTHERS, so that they always come to the
    total. drawn: the first of them, and the rest as one, or all of MANY as one. days: ISO. gpus: GPUs of one's own,
    each day of each deployment, the latest first; only for who sees everything, unfiltered."""

    asked: Asked
    days: list[str]
    groups: list[Group]
    drawn: list[Group]
    total_pico: int
    unpriced: int
    forecast: Forecast | None
    gpus: list[dict[str, object]] = []


def read_asked(query: Mapping[str, str], today: date) -> Asked:
    """From a query string. Raises ConfigError."""
    unknown = sorted(query.keys() - {"by", "since", "until", *_FILTERED})
    if unknown:
        raise ConfigError([f"{unknown[0][:64]!r} is no filter of spend."])
    by = query.get("by") or BY[0]
    if by not in BY:
        raise ConfigError([f"by: there is no {by[:64]!r}. Use one of: {', '.join(BY)}."])
    until = _date("until", query.get("until"), today)
    since = _date("since", query.get("since"), until - timedelta(days=DAYS - 1))
    if since > until or (until - since).days >= DAYS_MAX or not 1971 <= since.year <= until.year <= 2200:
        raise ConfigError([f"since: has to be before until, and at most {DAYS_MAX} days."])
    filters = {name: query[name] for name in _FILTERED if query.get(name)}
    problems = no_names(filters)
    if problems:
        raise ConfigError(problems)
    return Asked(by, since, until, filters)


def _date(name: str, text: str | None, otherwise: date) -> date:
    try:
        return date.fromisoformat(text) if text else otherwise
    except ValueError:
        raise ConfigError([f"{name}: is no date. Write 2026-11-20."]) from None


def spend(store: Store, asked: Asked, scope: Scope, now_ms: int, *, every_group: bool = False) -> Spend:
    """every_group: of MANY too, with their days, however long that takes. Raises ConfigError and StoreError."""
    days = [(asked.since + timedelta(days=number)).isoformat() for number in range(_count(asked))]
    if asked.by in MANY and not every_group:
        groups, drawn = _costliest(store, asked, scope, days)
    else:
        groups = _by_day(store, asked, scope, days)
        drawn = _drawn(groups, len(days))
    return Spend(
        asked,
        days,
        groups,
        drawn,
        sum(group.cost_pico for group in groups),
        sum(group.unpriced for group in groups),
        _forecast(store, scope, now_ms),
        [gpu_day(day) for day in owned_days(store, asked.since, asked.until, now_ms=now_ms)]
        if scope.whole and not asked.filters
        else [],
    )


def _count(asked: Asked) -> int:
    return (asked.until - asked.since).days + 1


def _by_day(store: Store, asked: Asked, scope: Scope, days: list[str]) -> list[Group]:
    place = {day: number for number, day in enumerate(days)}
    groups: dict[str, Group] = {}
    for cell in store.sum_grid(scope.narrow(asked.where), ("day", asked.by)):
        day, name = cell.groups
        group = groups.setdefault(name, Group(name, 0, 0, 0, 0, 0, [0] * len(days)))
        _add(group, cell.sum)
        group.days[place[day]] += cell.sum.cost_pico
    return sorted(groups.values(), key=lambda group: (-group.cost_pico, -group.attempts, group.name))


def _costliest(store: Store, asked: Asked, scope: Scope, days: list[str]) -> tuple[list[Group], list[Group]]:
    """(groups, what is drawn)."""
    where = scope.narrow(asked.where)
    found = store.sum_top(where, asked.by, SHOWN_MAX)
    groups = [Group(one.group, 0, 0, 0, 0, 0, []) for one in found.top]
    rest = Group(OTHERS, 0, 0, 0, 0, 0, [])
    _add(rest, found.total)
    for group, one in zip(groups, found.top, strict=True):
        _add(group, one)
        _take(rest, group)
    if rest.attempts:
        groups.append(rest)
    everybody = Group(ALL, 0, 0, 0, 0, 0, [0] * len(days))
    place = {day: number for number, day in enumerate(days)}
    for one in store.sum_attempts(where, "day"):
        _add(everybody, one)
        everybody.days[place[one.group]] += one.cost_pico
    return groups, [everybody] if everybody.attempts else []


def _take(rest: Group, group: Group) -> None:
    rest.attempts -= group.attempts
    rest.tokens_in -= group.tokens_in
    rest.tokens_out -= group.tokens_out
    rest.cost_pico -= group.cost_pico
    rest.unpriced -= group.unpriced


def _add(group: Group, found: AttemptSum) -> None:
    group.attempts += found.attempts
    group.tokens_in += found.tokens_in + found.cache_read + found.cache_write
    group.tokens_out += found.tokens_out
    group.cost_pico += found.cost_pico
    group.unpriced += found.unpriced


def _drawn(ranked: list[Group], count: int) -> list[Group]:
    if len(ranked) <= DRAWN_MAX + 1:
        return ranked
    rest = Group(OTHERS, 0, 0, 0, 0, 0, [0] * count)
    for group in ranked[DRAWN_MAX:]:
        rest.cost_pico += group.cost_pico
        rest.days = [one + other for one, other in zip(rest.days, group.days, strict=True)]
    return [*ranked[:DRAWN_MAX], rest]


def _forecast(store: Store, scope: Scope, now_ms: int) -> Forecast | None:
    """Of the month, for everything within the scope; None without any spend to go by."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    first = min(now.date().replace(day=1), now.date() - timedelta(days=DAYS_BACK))
    days = store.sum_attempts(scope.narrow(AttemptFilter(since_ms=ms_of(first))), "day")
    if not days:
        return None
    part = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() / 86_400
    return forecast({one.group: Decimal(one.cost_pico) / PICO for one in days}, now.date(), part)


def csv_rows(found: Spend) -> list[list[object]]:
    """Heading and one row a day and group that cost anything, of every group."""
    return [["day", found.asked.by, "cost_usd"], *([day, name, usd(pico)] for day, name, pico in _cells(found))]


def as_parquet(found: Spend) -> bytes:
    """The same rows as a Parquet file, costs exact. Raises ConfigError without the extra."""
    rows = ((date.fromisoformat(day), name, Decimal(pico) / PICO) for day, name, pico in _cells(found))
    return sums(found.asked.by, rows)


def _cells(found: Spend) -> Iterator[tuple[str, str, int]]:
    for group in found.groups:
        for day, pico in zip(found.days, group.days, strict=True):
            if pico:
                yield day, group.name, pico
