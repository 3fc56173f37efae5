"""What the store tells of attempts: which are asked for, and their rows, pages and sums."""

from __future__ import annotations

import msgspec

from signalbox.core.records import Refused


class AttemptRow(msgspec.Struct, frozen=True):
    """One attempt as stored. state: as in records, and "open" before its end is known. cost_pico: None when unpriced.
    usage_unknown: usage fields that this version did not understand. found, session, tags, end_user (`user`): as in
    records.Opened. rare, tier: as in usage.Usage. saved_pico: as in records.Settled."""

    attempt_id: str
    call_id: str
    time_ms: int
    tenant: str
    team: str
    key_id: str
    workload: str
    deployment: str
    environment: str
    model: str
    api: str
    labels: tuple[str, ...]
    reason: str
    config: str
    attempt: int
    stream: bool
    found: dict[str, int]
    end_user: str
    session: str
    tags: tuple[str, ...]
    state: str
    tokens_in: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    tokens_out: int
    reasoning: int
    audio_in: int
    audio_out: int
    usage_unknown: tuple[str, ...]
    rare: dict[str, int]
    tier: str
    usage_source: str
    cost_pico: int | None
    status: int
    error: str
    ttft_ms: int
    duration_ms: int
    saved_pico: int = 0
    guards: dict[str, int] = {}


class AttemptFilter(msgspec.Struct, frozen=True):
    """Which attempts; every condition that is not None must hold. since_ms is included, until_ms is not.
    key_ids: of any of these keys. include_open: also those whose end is not known yet."""

    since_ms: int | None = None
    until_ms: int | None = None
    tenant: str | None = None
    team: str | None = None
    key_id: str | None = None
    workload: str | None = None
    deployment: str | None = None
    environment: str | None = None
    label: str | None = None
    state: str | None = None
    key_ids: tuple[str, ...] | None = None
    include_open: bool = False


class Mark(msgspec.Struct, frozen=True):
    """A place in the order of time: of a row with this time and id."""

    time_ms: int
    id: str


class AttemptPage(msgspec.Struct, frozen=True):
    """Rows, the newest first. older: from where to go on, None at the end. searched: no row beyond these was found in
    as many as are looked at for one page; older ones may hold more."""

    rows: list[AttemptRow]
    older: Mark | None
    searched: bool = False


class RefusedPage(msgspec.Struct, frozen=True):
    """The same for calls that were refused."""

    rows: list[Refused]
    older: Mark | None
    searched: bool = False


class LabelSum(msgspec.Struct, frozen=True):
    """How many attempts with these labels went where. labels: all that one attempt had."""

    labels: tuple[str, ...]
    workload: str
    environment: str
    deployment: str
    attempts: int


# What attempts can be summed by, as `Store.sum_attempts` takes it. day: UTC date of the attempt. tag: the first one,
# so that every attempt is in one group; an empty group is what nobody said.
DIMENSIONS = (
    "tenant",
    "team",
    "key_id",
    "workload",
    "deployment",
    "environment",
    "user",
    "session",
    "tag",
    "model",
    "api",
    "tier",
    "state",
    "usage_source",
    "config_version",
    "day",
)


class AttemptSum(msgspec.Struct, frozen=True):
    """Exact sums over one group. cost_pico: of the priced attempts; unpriced: how many have no cost."""

    group: str
    attempts: int
    tokens_in: int
    cache_read: int
    cache_write: int
    tokens_out: int
    cost_pico: int
    unpriced: int


class TopSums(msgspec.Struct, frozen=True):
    """The costliest groups, and what all groups come to: exact, however many there are."""

    top: list[AttemptSum]
    total: AttemptSum


# What grids of sums may have besides DIMENSIONS: the UTC hour, as the Unix time of its beginning in milliseconds.
HOUR = "hour"


class GridSum(msgspec.Struct, frozen=True):
    """Sums over one group of several dimensions, in the order in which they were asked for."""

    groups: tuple[str, ...]
    sum: AttemptSum
