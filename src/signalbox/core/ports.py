"""The ports: what one layer offers to others as Protocols, with the values that pass through them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from signalbox.core.attempts import (
    AttemptFilter,
    AttemptPage,
    AttemptRow,
    AttemptSum,
    GridSum,
    LabelSum,
    Mark,
    RefusedPage,
    TopSums,
)
from signalbox.core.budgets import Balance, Lease, LeaseAsk, Lent
from signalbox.core.call import Call
from signalbox.core.content import Content
from signalbox.core.errors import LedgerError
from signalbox.core.records import Opened, Record, Refused


class Leaver(Protocol):
    """A request that may not leave before its record is in the journal."""

    def leave(self) -> None: ...

    def stay(self, error: LedgerError) -> None: ...


class Entry(Protocol):
    """A record on its way into the journal. error: why it never got there; then nothing of it is in the journal."""

    error: LedgerError | None

    def before(self, leaver: Leaver) -> None:
        """Lets `leaver` leave once the record is in, or says that it must stay; at once where that is known."""
        ...


class Journal(Protocol):
    """Where every record goes before anything leaves. All methods raise errors.LedgerError when a record cannot be
    taken; then nothing may be sent. One journal belongs to one event loop."""

    def append(self, record: Record) -> None:
        """Returns when the record, and all queued before it, is in the kernel's page cache."""
        ...

    def enter(self, record: Opened) -> Entry:
        """Queues the record as append_soon does, for a request that leaves behind it: those of one loop tick are
        written together, and then sent one behind the other."""
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
