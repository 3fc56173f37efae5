"""The records of the journal: what is written before and after each attempt, one JSON object a line."""

from __future__ import annotations

import msgspec

from signalbox.core.usage import Rates, Usage

# Terminal states of an attempt.
SETTLED, FAILED, CANCELLED, UNKNOWN = "settled", "failed", "cancelled", "unknown"
# Of a row that is no attempt: a kept answer was given, nothing left, and nobody is billed.
CACHED = "cached"
# Neither are these, which bring the sum of a day of one's own GPUs to what they cost.
IDLE, TRUE_UP = "idle", "true-up"
# Ends the reason of the second attempt of a cascade: the first answer was not trusted.
DOUBTED = " doubted"


class Opened(msgspec.Struct, frozen=True, tag="opened", tag_field="k", omit_defaults=True, gc=False):
    """Written before the first byte of an attempt leaves. time_ms: Unix milliseconds. in_max/out_max: upper bounds
    of tokens for recovery after a crash (0 for unbounded output). body_bytes: size of the body that was sent. found:
    where labels beyond the declared floor came from, kinds of findings with their number; never a value. user, session,
    tags: whom the caller says it is for. paid_from: the leases that it was paid from, as budgets.lease_mark names them.
    """

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
    attempt: int = 1
    stream: bool = False
    in_max: int = 0
    out_max: int = 0
    rates: Rates = Rates()
    body_bytes: int = 0
    found: dict[str, int] = {}
    user: str = ""
    session: str = ""
    tags: tuple[str, ...] = ()
    paid_from: tuple[str, ...] = ()


class Refused(msgspec.Struct, frozen=True, tag="refused", tag_field="k", omit_defaults=True, gc=False):
    """A call for which nothing was permitted or alive: no attempt, but the decision is on record. rules: ids of those
    that forbade it, where rules did; what they cite stands in the configuration of that version. guards: what guards
    said of it before it could leave, as of Settled."""

    call_id: str
    time_ms: int
    tenant: str
    team: str
    key_id: str
    workload: str
    labels: tuple[str, ...]
    reason: str
    config: str
    found: dict[str, int] = {}
    rules: tuple[str, ...] = ()
    guards: dict[str, int] = {}


class Progress(msgspec.Struct, frozen=True, tag="progress", tag_field="k", gc=False):
    """How far open streams are, all in one record. at: (attempt id, output tokens seen so far)."""

    time_ms: int
    at: tuple[tuple[str, int], ...]


class Settled(msgspec.Struct, frozen=True, tag="settled", tag_field="k", omit_defaults=True, gc=False):
    """The one end of an attempt. cost_pico: None when unpriced. source: provider, drained, estimated or none.
    saved_pico: what a kept answer cost when it was asked for. guards: verdicts of guards by name, with their number;
    never a value."""

    attempt_id: str
    time_ms: int
    state: str
    usage: Usage
    source: str
    cost_pico: int | None
    status: int = 0
    error: str = ""
    ttft_ms: int = 0
    duration_ms: int = 0
    saved_pico: int = 0
    guards: dict[str, int] = {}


class ConfigLoaded(msgspec.Struct, frozen=True, tag="config", tag_field="k", gc=False):
    """A configuration version came into force on this process."""

    time_ms: int
    version: str


class Captured(msgspec.Struct, frozen=True, tag="captured", tag_field="k", gc=False):
    """What was asked and answered is kept in the store. hash: of it as it is kept, sealed: nothing of it is here."""

    call_id: str
    time_ms: int
    hash: str


class Action(msgspec.Struct, frozen=True, tag="action", tag_field="k", omit_defaults=True, gc=False):
    """Something that a person or their program did to the installation. actor: who, by key id, or where from.
    action: such as key.create; target: to what; detail: what of it, never a secret. refused: it was not allowed."""

    time_ms: int
    actor: str
    role: str
    action: str
    target: str = ""
    detail: dict[str, str] = {}
    refused: bool = False


Record = Opened | Refused | Progress | Settled | ConfigLoaded | Captured | Action
