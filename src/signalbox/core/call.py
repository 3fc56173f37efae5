"""The per-request record: what is known of one call, each field with exactly one writer."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any, Protocol

import msgspec

from signalbox.core.guards import Guarded
from signalbox.core.hub import Event, Request
from signalbox.core.labels import NONE, Labels
from signalbox.core.snapshot import Deployment, Snapshot, Workload
from signalbox.core.stream import Frame
from signalbox.core.tracing import Trace
from signalbox.core.usage import Usage


class Principal(msgspec.Struct, frozen=True):
    """Who calls, resolved from a virtual key. workloads/deployments: names this key may use; None means all of the
    tenant's workloads; deployments always need an explicit grant. labels: a floor that the key declares.
    budget_pico: what the key may spend in all, in pico-dollars; None for no budget of its own. apis, models, networks:
    where and for what it may be used, None for no limit. purse: id of the key whose budgets it spends, empty for its
    own."""

    key_id: str
    tenant: str
    team: str
    workloads: frozenset[str] | None
    deployments: frozenset[str]
    default_workload: str | None = None
    labels: Labels = NONE
    expires_s: int = 0
    budget_pico: int | None = None
    apis: frozenset[str] | None = None
    models: frozenset[str] | None = None
    networks: tuple[IPv4Network | IPv6Network, ...] | None = None
    criticality: int = 0
    purse: str = ""


class ForWhom(msgspec.Struct, frozen=True, gc=False):
    """Whom the caller says a call is for, to attribute its cost. user: the end user's id. tags: as the caller gave
    them, the first one counts in sums."""

    user: str = ""
    session: str = ""
    tags: tuple[str, ...] = ()


UNATTRIBUTED = ForWhom()


class Envelope(msgspec.Struct, frozen=True):
    """What is needed of any request before a decision, read from the parsed document without building the hub form.

    max_tokens: the client's output limit or None. n: number of choices. include_usage: chat clients that asked for
    the usage chunk. onward: names of things in the body that carry data further than the model (provider-side
    tools, remote image URLs, store, background, file ids). unknown_tools: tool types this version does not know.
    opaque: the body holds parts that no detector can read (images, audio, files, encrypted reasoning). media: some of
    them are the caller's own, not thoughts that a provider has encrypted.
    stateful: ids of provider-bound state (previous_response_id, item references).
    """

    stream: bool
    max_tokens: int | None = None
    n: int = 1
    include_usage: bool = False
    onward: tuple[str, ...] = ()
    unknown_tools: tuple[str, ...] = ()
    opaque: bool = False
    stateful: tuple[str, ...] = ()
    media: bool = False


class Decision(msgspec.Struct, frozen=True):
    """The ranked list of permitted deployments for a call. reason: why this order, short and stable."""

    choices: tuple[Deployment, ...]
    reason: str


# A client that does not say how long it waits: longer than anything runs.
PATIENT_NS = 1 << 62


class Call(msgspec.Struct, eq=False):
    """One request. Writers: gateway/endpoints sets what comes from the client (id .. data_header, sessions,
    for_whom, idempotency_key, trace); pipeline/run sets workload .. permitted and found, one line each;
    pipeline/deciding sets decision;
    pipeline/attempt sets hub, answer_id and the `*_us` marks of the last attempt; pipeline/settlement sets spent_pico.

    detour: why it goes past the first choice or to another one beside it (overflow, hedge); pipeline/pursuit sets it.
    rescued: its stream died with content out, and attempts go on to rescue it; pipeline/rescue sets it.
    meaning: vector of its question, where its workload compares them; pipeline/run sets it.
    trail: number under which it is remembered where its conversation was answered, 0 for not at all; pipeline/deciding
    sets it.
    patience_ns: how long its client waits, from received_ns on.
    received_ns and marks: time.perf_counter_ns. body: exact bytes as received. doc: the parsed body, read-only.
    spent_pico: what attempts that have ended cost. sessions: what headers name the conversation.
    found: where labels beyond the declared floor came from.
    failures: which deployments failed it and how, in our own words; pipeline/pursuit adds to it.
    is_counted: budgets that count calls have counted it; holds: what attempts that run beside each other have reserved,
    one of which has the caller's slot. limits: the caller's limits of calls and tokens (policy.purse.Line), to be told.
    pipeline/money sets all three.
    errand: of a call of our own beside a client's, its place among those of the client's call, such as ".1"; both have
    one id. errands: how many such there were. pipeline/dispatch sets both.
    """

    id: str
    api: str
    snapshot: Snapshot
    principal: Principal
    body: bytes
    doc: dict[str, Any]
    envelope: Envelope
    model: str
    workload: Workload
    pinned: Deployment | None
    data_header: Labels
    headers: list[tuple[bytes, bytes]]
    query: bytes
    received_ns: int
    auth_ns: int
    sessions: tuple[str, ...] = ()
    patience_ns: int = PATIENT_NS
    for_whom: ForWhom = UNATTRIBUTED
    idempotency_key: str | None = None
    trace: Trace | None = None
    found: dict[str, int] = {}
    labels: Labels = NONE
    permitted: int = 0
    meaning: Any = None
    decision: Decision | None = None
    detour: str = ""
    decided_ns: int = 0
    guarded: Guarded | None = None
    hub: Request | None = None
    attempts: int = 0
    failures: tuple[str, ...] = ()
    is_counted: bool = False
    holds: tuple[Any, ...] = ()
    limits: tuple[Any, ...] = ()
    errand: str = ""
    errands: int = 0
    spent_pico: int = 0
    answer_id: str = ""
    rescued: bool = False
    trail: int = 0
    queue_us: int = 0
    connect_us: int = 0
    ttfb_us: int = 0

    def __repr__(self) -> str:
        return f"Call({self.id})"  # never what it asks

    @property
    def reason(self) -> str:
        """Why it goes where it goes now, short and stable: the decision's reason unless a detour has its own."""
        return self.detour or (self.decision.reason if self.decision is not None else "")


class AnswerHead(msgspec.Struct, gc=False):
    """What the edge needs to write the head of an answer. headers: upstream headers that may pass, lower-case.
    lowered: the output limit that was written because no more is affordable, 0 for none. cache: what the caller is told
    of a cache, empty where there is none. doubted: nobody vouches for the answer, so it is given and not kept."""

    status: int
    deployment: Deployment
    reason: str
    headers: list[tuple[bytes, bytes]]
    dropped: tuple[str, ...] = ()
    lowered: int = 0
    cache: str = ""
    doubted: bool = False


class Reply(Protocol):
    """The edge as the pipeline sees it: it takes bodies and frames, and is the only place that serialises."""

    @property
    def started(self) -> bool:
        """The head is out, if only with a heartbeat."""
        ...

    @property
    def content_sent(self) -> bool:
        """Frames are out, so that the answer cannot be begun anew."""
        ...

    @property
    def slow(self) -> bool:
        """Whether the client has not yet taken what was sent; then `drain` is to be awaited before more."""
        ...

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        """The whole answer of a call that does not stream."""
        ...

    def error(self, head: AnswerHead, body: bytes) -> None:
        """The upstream's own error, unmodified, when nothing has started."""
        ...

    def own(self, body: bytes, reason: str) -> None:
        """An answer that no upstream gave."""
        ...

    def start(self, head: AnswerHead, request: Request | None) -> None:
        """The head of a stream; `request` is the hub form when the frames will carry hub events."""
        ...

    def send(self, frames: list[Frame]) -> None:
        """Frames of the answer. From now on the answer cannot be started anew."""
        ...

    async def drain(self) -> None:
        """Returns when the client has taken enough of what was sent; immediate when it keeps up."""
        ...

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        """From now on hub events are sent, and go on where these frames, all that were sent so far, ended. Returns the
        frames' hub events. Raises ValueError when the stream cannot be gone on with."""
        ...

    def comment(self, text: str) -> None:
        """A line in the stream that no client reads as part of the answer."""
        ...

    def end(self, usage: Usage | None, complete: bool) -> None:
        """The end of a stream. complete: the upstream sent its own terminator, so nothing is supplied."""
        ...
