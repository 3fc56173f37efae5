"""The ports: what one layer offers to others as Protocols, with the values that pass through them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from signalbox.core.budgets import Balance, Lease, LeaseAsk, Lent
from signalbox.core.call import Call
from signalbox.core.content import Content
from signalbox.core.records import Record, Refused


class Journal(Protocol):
    """Where every record goes before anything leaves. All methods raise errors.LedgerError when a record cannot be
    taken; then nothing may be sent. One journal belongs to one event loop."""

    def append(self, record: Record) -> None:
        """Returns when the record, and all queued before it, is in the kernel's page cache."""
        ...

    def append_soon(self, record: Record) -> None:
        """Queues the record for the next append or the end of this loop tick, whichever comes first."""
        ...

    async def synced(self) -> None:
        """Returns when everything appended so far is on the disk; one fsync serves all who wait."""
        ...

    def healthy(self) -> bool:
        """Whether the last record could be taken."""
        ...


class VirtualKey(msgspec.Struct, frozen=True):
    """A virtual key as stored. id: the public id inside the key. workloads: None for all of the tenant's.
    role: empty for a key that calls models, else one of keys.ROLES, for the admin API only. creator: id of the key that
    made it, or who did. apis, models, networks: None for no limit; networks in CIDR form.
    criticality: the most urgent that its calls may be, empty for as urgent as their workload. purse: id of the key
    whose budgets it spends, because it was made in its place; empty for its own.
    default_workload and labels: as in call.Principal, labels by name. Times: Unix milliseconds; revoked_ms None while
    the key holds."""

    id: str
    name: str
    secret_hmac: bytes
    tenant: str
    team: str
    created_ms: int
    workloads: tuple[str, ...] | None = None
    deployments_granted: tuple[str, ...] = ()
    default_workload: str | None = None
    labels: tuple[str, ...] = ()
    budget_usd: Decimal | None = None
    expires_ms: int | None = None
    revoked_ms: int | None = None
    role: str = ""
    creator: str = ""
    apis: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    criticality: str = ""
    purse: str = ""


class ShipMark(msgspec.Struct, frozen=True):
    """How far one chain's journal is in the store: up to line `seq` with this hash, `offset` bytes into `segment`."""

    chain: str
    segment: int
    offset: int
    seq: int
    hash: str


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


class Retention(msgspec.Struct, frozen=True):
    """How many days before today are kept; None for all. attempts_days: of attempts and refusals one by one. sums_days:
    of what is summed up of them. content_days: of captured content."""

    attempts_days: int | None = None
    sums_days: int | None = None
    content_days: int | None = None


class Store(Protocol):
    """The database behind the gateway: ledger rows, virtual keys, small facts. Synchronous and safe to call from any
    thread, never from the event loop. Methods raise StoreError when the database cannot be used."""

    def shipped(self, chain: str) -> ShipMark | None: ...

    def shipped_all(self) -> list[ShipMark]: ...

    def ship(self, before: ShipMark | None, after: ShipMark, records: Sequence[Record]) -> bool:
        """Takes the records between two marks of a chain and moves the mark, all or nothing. False, and nothing done,
        when the mark is no longer at `before`: somebody else shipped meanwhile."""
        ...

    def attempts(self, where: AttemptFilter) -> Iterator[AttemptRow]:
        """In order of time, memory bounded. May be abandoned at any point."""
        ...

    def sum_attempts(self, where: AttemptFilter, dimension: str | None) -> list[AttemptSum]:
        """Sums by one of DIMENSIONS, in order of the group's name; with None one sum over everything."""
        ...

    def sum_top(self, where: AttemptFilter, dimension: str, limit: int) -> TopSums:
        """The costliest groups of one of DIMENSIONS, at most `limit`, the costliest first, and the sum of all."""
        ...

    def sum_grid(self, where: AttemptFilter, dimensions: Sequence[str]) -> list[GridSum]:
        """Sums by several of DIMENSIONS and HOUR at a time."""
        ...

    def sum_labels(self, where: AttemptFilter) -> list[LabelSum]:
        """Ended attempts by labels and place; tenant, workload, environment, deployment and whole days are asked."""
        ...

    def attempts_page(self, where: AttemptFilter, before: Mark | None, limit: int) -> AttemptPage:
        """At most `limit` attempts before a place, newest first. However few match, it reads a bounded number."""
        ...

    def attempts_of(self, call_id: str) -> list[AttemptRow]:
        """The attempts of one call, in their order."""
        ...

    def refused_page(self, where: AttemptFilter, before: Mark | None, limit: int) -> RefusedPage: ...

    def refused(self, where: AttemptFilter) -> Iterator[Refused]:
        """Calls for which nothing was permitted or alive; deployment, environment and state are not asked of them."""
        ...

    def tidy(self, now_ms: int, retention: Retention) -> bool:
        """Makes room for the days to come, and drops some of what is past its retention. True: there is more to do."""
        ...

    def subject_key(self, subject: str, fresh: bytes, time_ms: int) -> bytes | None:
        """The key of somebody whom captured content of this time is about; the fresh one when there is none. None when
        it was erased since."""
        ...

    def add_content(self, content: Content) -> None:
        """Twice is the same as once."""
        ...

    def content_of(self, call_id: str) -> tuple[Content, list[bytes | None]] | None:
        """What is kept of a call, with the keys of its subjects, None for one that was erased."""
        ...

    def erase_subject(self, subject: str, time_ms: int) -> bool:
        """Destroys a key; what was or is yet to be stored from before this time can never be opened. False when there
        was none."""
        ...

    def insert_key(self, key: VirtualKey, version: int | None = None) -> bool:
        """version: of the keys that whoever makes this one went by. False, and nothing done, where any was made or
        changed since. Raises ValueError when a key with this id exists."""
        ...

    def list_keys(self) -> list[VirtualKey]:
        """All, revoked ones included, in order of creation."""
        ...

    def revoke_key(self, key_id: str, time_ms: int) -> bool:
        """False when there is no such key. A key that was revoked before keeps its first time."""
        ...

    def expire_key(self, key_id: str, time_ms: int) -> bool:
        """Lets a key expire at a time, unless it expires earlier; False when there is no such key that holds."""
        ...

    def keys_version(self) -> int:
        """A number that grows whenever a key changes, whichever process changed it; cheap enough to poll."""
        ...

    def fact(self, name: str) -> bytes | None:
        """A small named value such as the pepper of keys."""
        ...

    def settle_fact(self, name: str, value: bytes) -> bytes:
        """Stores a fact unless it exists, and returns the one that holds: the same for all processes that race."""
        ...

    def replace_fact(self, name: str, value: bytes) -> None: ...

    def sealed_entries(self, scope: bytes, now_ms: int, expires_ms: int) -> list[bytes]:
        """What a conversation keeps sealed, oldest first; it expires at `expires_ms` from now on."""
        ...

    def seal_entries(
        self, scope: bytes, new: Sequence[SealedEntry], now_ms: int, expires_ms: int, entries_max: int
    ) -> list[bytes]:
        """Adds entries to what a conversation keeps, where nobody was first with the same mark or name, and returns
        all that hold, the same for everybody who adds at the same time. What has expired is forgotten before. Raises
        ValueError when that would be more than `entries_max`."""
        ...

    def forget_sealed(self, before_ms: int) -> None:
        """Drops a bounded number of conversations that had expired."""
        ...

    def lend(self, holder: str, asks: Sequence[LeaseAsk], processes: int) -> list[Lent]:
        """Takes back, lends and ends leases, all or nothing; answers in the order of the asks. What is spent and leased
        of an account never exceeds the limit that is asked under, whoever asks at the same time. processes: how many
        are known to spend. Ending a lease twice books it once."""
        ...

    def leases(self, accounts: Sequence[str] = ()) -> list[Lease]:
        """Those that have not ended, of all accounts or of these."""
        ...

    def end_leases(self, used: Sequence[tuple[Lease, int]]) -> None:
        """Ends leases whose holder is dead, each with what was spent of it."""
        ...

    def balances(self, now_ms: int) -> list[Balance]:
        """Every account in the period that holds `now_ms`, by name."""
        ...

    def forget_balances(self, before_ms: int) -> None:
        """Drops what was spent in minutes and hours that ended before."""
        ...

    def close(self) -> None: ...


class SealedEntry(msgspec.Struct, frozen=True, gc=False):
    """mark: keyed digest of what the entry is about; name: of what it is called. Both are unique in a conversation.
    sealed: encrypted."""

    mark: bytes
    name: bytes
    sealed: bytes


class Errand(msgspec.Struct, frozen=True):
    """A model call of our own beside a client's: an embedding for a cache, a judge, an external guard.

    purpose: what it is for, short and stable; the reason in the ledger begins with it. api: its wire API, one of
    snapshot.APIS. doc: its body without `model`; never a streaming one. deployment: by name, to which it goes or
    nowhere; empty for what the strategy of the client's workload chooses among what is permitted. within_s: how long
    its answer is worth having.
    """

    purpose: str
    api: str
    doc: dict[str, Any]
    deployment: str = ""
    within_s: float = 30.0


class Fetched(msgspec.Struct, frozen=True):
    """The whole answer to an errand, in the dialect of its API. cost_pico: None when nobody knows its price.
    deployment: who gave it, by name."""

    body: bytes
    deployment: str
    cost_pico: int | None


class Dispatch(Protocol):
    """How everything but the client's own call reaches a model: under the same rules, with a permit of its own, in the
    journal and in the budgets like any attempt, and linked to the call that it is for."""

    async def ask(self, call: Call, errand: Errand) -> Fetched:
        """The answer to an errand for a call whose labels are known. Its labels are at least those of the call, and the
        rules of the call's workload hold. What it cost counts to the call.

        Raises errors.CallError when there is no answer, such as NoPermittedPlacement or UpstreamTimeout, and
        LedgerError when the journal takes no record; ValueError for a deployment that does not exist."""
        ...
