"""Answers "where did it go, why, and what did it cost" from the store, one dict an attempt or a group."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import UTC, date, datetime, time, timedelta

from signalbox.core.attempts import DIMENSIONS, AttemptFilter, AttemptRow, AttemptSum
from signalbox.core.errors import ConfigError
from signalbox.core.labels import LEVELS, TAGS
from signalbox.core.ports import Store
from signalbox.core.records import CACHED, CANCELLED, FAILED, IDLE, SETTLED, TRUE_UP, UNKNOWN, Refused
from signalbox.core.usage import usd

STATES = (SETTLED, FAILED, CANCELLED, UNKNOWN, CACHED, IDLE, TRUE_UP, "open")
# What is asked of attempts only: a call that was refused had none.
OF_ATTEMPTS = ("deployment", "environment", "state")
FILTERS = ("since", "until", "tenant", "team", "key", "workload", "deployment", "environment", "label", "state")

_TIME_MS_MAX = 253_402_300_799_999  # the last millisecond of the year 9999, the last that has an ISO form


def query(
    store: Store, filters: Mapping[str, str], *, group_by: str | None = None, include_open: bool = False
) -> Generator[dict[str, object]]:
    """One dict an attempt in order of time, or with group_by (one of DIMENSIONS) one dict a group. Whoever stops early
    closes it before the store.

    filters: any of FILTERS to its value; since and until take an ISO date or time, UTC unless it says otherwise.
    since is included, until is not; a date as until means the whole of that day.
    Raises ConfigError at once for a filter that cannot be meant, StoreError later.
    """
    where = read_filters(filters, include_open=include_open)
    if group_by is None:
        return (attempt_dict(row) for row in store.attempts(where))
    if group_by not in DIMENSIONS:
        raise ConfigError([f"group-by: {group_by!r} is no dimension. Use one of: {', '.join(DIMENSIONS)}."])
    return (sum_dict(group_by, found) for found in store.sum_attempts(where, group_by))


def query_refused(store: Store, filters: Mapping[str, str]) -> Generator[dict[str, object]]:
    """One dict a call for which nothing was permitted or able, in order of time, as `query` tells them.

    Raises ConfigError for a filter that says nothing about such calls, StoreError later."""
    problems = [f"{name}: a refused call has none. Leave it out." for name in OF_ATTEMPTS if name in filters]
    if problems:
        raise ConfigError(problems)
    return (refused_dict(row) for row in store.refused(read_filters(filters)))


def read_filters(filters: Mapping[str, str], *, include_open: bool = False) -> AttemptFilter:
    """Filters as the command line gives them. Raises ConfigError naming every one that is wrong."""
    problems = [f"{name}: no such filter. Use one of: {', '.join(FILTERS)}." for name in filters.keys() - set(FILTERS)]
    problems += no_names(filters)
    since_ms = _time(filters, "since", problems)
    until_ms = _time(filters, "until", problems)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        problems.append("since: is not before until. Swap them.")
    state = filters.get("state")
    if state is not None and state not in STATES:
        problems.append(f"state: {state!r} is no state. Use one of: {', '.join(STATES)}.")
    label = filters.get("label")
    if label is not None and label not in TAGS and label not in LEVELS:
        problems.append(f"label: {label!r} is no data class. Use one of: {', '.join((*LEVELS, *TAGS))}.")
    if problems:
        raise ConfigError(sorted(problems))
    return AttemptFilter(
        since_ms=since_ms,
        until_ms=until_ms,
        tenant=filters.get("tenant"),
        team=filters.get("team"),
        key_id=filters.get("key"),
        workload=filters.get("workload"),
        deployment=filters.get("deployment"),
        environment=filters.get("environment"),
        label=label,
        state=state,
        include_open=include_open,
    )


def no_names(filters: Mapping[str, str]) -> list[str]:
    """What is wrong with filters that nothing can have: stores differ in what they make of a NUL character."""
    return [
        f"{name}: holds a NUL character, as no name does. Leave it out." for name in filters if "\0" in filters[name]
    ]


def attempt_dict(row: AttemptRow) -> dict[str, object]:
    """An attempt as `ledger query --json` prints it. Token classes are disjoint: tokens_in is uncached input with
    audio, tokens_out is everything generated, hidden reasoning and audio included. cost_usd: None when unpriced.
    found: only where labels were raised beyond the declared floor: what raised them, by kind. Only where there are any:
    user, session, tags, usage_rare (counts of classes without a figure of their own), service_tier, saved_usd (what
    the answer cost that was given again), and guards (what they found, by `guard.rule:action@where`)."""
    return {
        "attempt_id": row.attempt_id,
        "call_id": row.call_id,
        "time": iso_time(row.time_ms),
        "tenant": row.tenant,
        "team": row.team,
        "key_id": row.key_id,
        "workload": row.workload,
        "deployment": row.deployment,
        "environment": row.environment,
        "model": row.model,
        "labels": list(row.labels),
        "state": row.state,
        "tokens_in": row.tokens_in + row.audio_in,
        "tokens_cache_read": row.cache_read,
        "tokens_cache_write": row.cache_write_5m + row.cache_write_1h,
        "tokens_out": row.tokens_out + row.reasoning + row.audio_out,
        "cost_usd": None if row.cost_pico is None else usd(row.cost_pico),
        "usage_source": row.usage_source,
        "reason": row.reason,
        "config_version": row.config,
        "attempt": row.attempt,
        "api": row.api,
        "stream": row.stream,
        "status": row.status,
        "error": row.error,
        "ttft_ms": row.ttft_ms,
        "duration_ms": row.duration_ms,
        "usage_unknown": list(row.usage_unknown),
        **({"found": row.found} if row.found else {}),
        **{name: value for name, value in _for_whom(row) if value},
    }


def _for_whom(row: AttemptRow) -> tuple[tuple[str, object], ...]:
    """What few attempts have, and is left out of the others."""
    return (
        ("user", row.end_user),
        ("session", row.session),
        ("tags", list(row.tags)),
        ("usage_rare", row.rare),
        ("service_tier", row.tier),
        ("saved_usd", usd(row.saved_pico) if row.saved_pico else None),
        ("guards", row.guards),
    )


def refused_dict(refused: Refused) -> dict[str, object]:
    """A refused call as `ledger query --refused --json` prints it: it has no attempt and no cost."""
    return {
        "call_id": refused.call_id,
        "time": iso_time(refused.time_ms),
        "tenant": refused.tenant,
        "team": refused.team,
        "key_id": refused.key_id,
        "workload": refused.workload,
        "labels": list(refused.labels),
        "reason": refused.reason,
        "config_version": refused.config,
        "rules": list(refused.rules),
        **({"found": refused.found} if refused.found else {}),
        **({"guards": refused.guards} if refused.guards else {}),
    }


def sum_dict(dimension: str, found: AttemptSum) -> dict[str, object]:
    """A group: exact sums. cost_usd is that of the priced attempts; unpriced says how many are not in it."""
    return {
        dimension: found.group,
        "attempts": found.attempts,
        "tokens_in": found.tokens_in,
        "tokens_cache_read": found.cache_read,
        "tokens_cache_write": found.cache_write,
        "cached_share": _share(found.cache_read, found.tokens_in + found.cache_read + found.cache_write),
        "tokens_out": found.tokens_out,
        "cost_usd": usd(found.cost_pico),
        "unpriced": found.unpriced,
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def iso_time(time_ms: int) -> str:
    """Unix milliseconds as ISO 8601 in UTC: 2026-11-20T17:50:08.123Z."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=min(max(time_ms, 0), _TIME_MS_MAX))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(filters: Mapping[str, str], name: str, problems: list[str]) -> int | None:
    text = filters.get(name)
    if text is None:
        return None
    try:
        if len(text) == 10:
            day = date.fromisoformat(text) + timedelta(days=name == "until")
            moment = datetime.combine(day, time(), UTC)
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        problems.append(f"{name}: {text!r} is no time. Write 2026-11-20 or 2026-11-20T17:50:00Z.")
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
