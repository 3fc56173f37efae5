"""The compiled configuration: frozen, indexed, taken once per request and swapped as a whole."""

from __future__ import annotations

import msgspec

from signalbox.core.budgets import Budget
from signalbox.core.caching import Caching
from signalbox.core.choosing import Cascade, Choosing
from signalbox.core.guards import GuardUse
from signalbox.core.issuers import Holder, Issuer
from signalbox.core.labels import Labels
from signalbox.core.loops import Loops
from signalbox.core.secret import Secret
from signalbox.core.shadowing import Shadow
from signalbox.core.shares import Share
from signalbox.core.tiering import Tiered
from signalbox.core.usage import Rates, Tariff

# The wire APIs a deployment may speak natively; also the names of the public endpoints' dialects. Those with an answer
# that somebody waits for; to count tokens is no call for one, and `scan` has no endpoint: only guards ask for it.
ANSWERING = ("chat", "responses", "messages", "completions", "embeddings")
APIS = (*ANSWERING, "count_tokens", "scan")
# The workload, and the key, of calls that the gateway makes for itself.
INFRA = "infra"


class Attestation(msgspec.Struct, frozen=True):
    """A contract fact. until: ISO date, the last day (UTC) on which it holds, or None. covers: APIs, empty for all."""

    name: str
    until: str | None = None
    evidence: str | None = None
    covers: tuple[str, ...] = ()


class Environment(msgspec.Struct, frozen=True):
    """A place where models run, with the facts that rules need. region and storage_region: paths such as eu/de."""

    name: str
    kind: str
    region: str
    storage_region: str
    operator: str
    jurisdiction: str
    attests: tuple[Attestation, ...]


class Timeouts(msgspec.Struct, frozen=True):
    connect_s: float = 3.0
    headers_s: float = 60.0
    first_token_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0


class Health(msgspec.Struct, frozen=True):
    """When a replica is taken out of use, and how it comes back. failures: in a row, 0 for never. probe: off,
    models or paid, which may cost so much a UTC day."""

    enabled: bool = True
    failures: int = 5
    open_s: float = 2.0
    open_s_max: float = 12.0
    probe: str = "models"
    probe_usd_per_day: float = 0.05
    adaptive_concurrency: bool = False


class Saturation(msgspec.Struct, frozen=True):
    """When a deployment is full. None or 0: no such threshold. clears_at: the share of each threshold below which it is
    no longer. metrics: its own Prometheus page is read every interval_s."""

    waiting_max: int | None = None
    kv_cache_max: float = 0.0
    in_flight_max: int = 0
    clears_at: float = 0.8
    metrics: bool = False
    interval_s: float = 1.0


class Origin(msgspec.Struct, frozen=True):
    """One replica's address. path: prefix without trailing slash. private: private address ranges are allowed."""

    scheme: str
    host: str
    port: int
    path: str
    private: bool = False
    ca_file: str | None = None
    proxy: str | None = None

    @property
    def name(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


class Deployment(msgspec.Struct, frozen=True):
    """One model served in one environment over one protocol. index: its bit in every placement bitset.

    wake_hold_ns: how long calls wait for it to wake when it has scaled to zero, 0 when it never does.
    auth: header name in lower case and its whole value, `Bearer …` included. rates: the plain ones; tariff: what else
    may hold, None when nothing does. no_store: whether whatever goes there says that it is not to be kept. betas: the
    beta features of a header that it is told of, None for all.
    """

    index: int
    name: str
    environment: Environment
    protocol: str
    model: str
    replicas: tuple[Origin, ...]
    auth: tuple[str, Secret] | None
    apis: frozenset[str]
    headers: tuple[tuple[str, str], ...] = ()
    timeouts: Timeouts = Timeouts()
    rates: Rates = Rates(priced=False)
    tariff: Tariff | None = None
    context_tokens: int = 0
    concurrency: int = 0
    shares: dict[str, Share] = {}
    tools: bool = True
    images: bool = True
    json_schema: bool = True
    prefill: bool = True
    betas: frozenset[str] | None = None
    cache_salt: bool = False
    no_store: bool = False
    stream_usage: bool = True
    fine_tune_of: str | None = None
    health: Health = Health()
    saturation: Saturation = Saturation()
    wake_hold_ns: int = 0


class CustomClass(msgspec.Struct, frozen=True):
    """Content that a workload names itself. Either a pattern or words; label: a tag or a level."""

    name: str
    label: str
    pattern: str = ""
    words: tuple[str, ...] = ()


class Classify(msgspec.Struct, frozen=True):
    """What is looked for in the text of a workload's calls. detectors: names, None for all of them."""

    detectors: tuple[str, ...] | None = None
    custom: tuple[CustomClass, ...] = ()


class Retries(msgspec.Struct, frozen=True):
    """What all attempts of one call may take together. cost_pico: None for no bound of its own. total_ns: no attempt
    begins later after the request came. backoff_s: base of the pauses. retry_after_s_max: longest wait that a provider
    asks for and gets, where no other deployment is left."""

    max_attempts: int = 3
    total_ns: int = 120_000_000_000
    cost_pico: int | None = None
    backoff_s: float = 0.25
    retry_after_s_max: float = 2.0


class Rescue(msgspec.Struct, frozen=True):
    """What is held back of a stream's beginning, so that an early death passes unseen: whichever limit comes first."""

    hold_tokens: int
    hold_ms: int


class Workload(msgspec.Struct, frozen=True):
    """One AI task of the organisation. placements: deployment indices in order, empty for any permitted.

    spill_share_max: share of calls that strategy overflow may send on. hedge_ns: a second attempt is begun beside the
    first one after so long without content, 0 never. criticality: rank in admission, 0 the most urgent.
    tiered: how strategy tiered chooses, None under others. shadow: of which calls two models are asked, to learn.
    max_tokens_default: output limit written where the upstream's protocol demands one and the client gave none.
    capture_bytes: how much of each request and answer is kept sealed, 0 for nothing.
    """

    name: str
    labels: Labels
    regulations: frozenset[str]
    placements: tuple[int, ...]
    strategy: str
    retries: Retries
    opaque: Labels
    strict: bool = False
    quality_min: float = 0.0
    ttft_p95_ms: int = 0
    max_tokens_default: int = 4096
    classify: Classify = Classify()
    rescue: Rescue | None = None
    spill_share_max: float = 1.0
    hedge_ns: int = 0
    criticality: int = 0
    guards: tuple[GuardUse, ...] = ()
    choosing: Choosing = Choosing()
    cascade: Cascade | None = None
    tiered: Tiered | None = None
    cache: Caching | None = None
    shadow: Shadow | None = None
    loops: Loops | None = None
    capture_bytes: int = 0


class CompiledRule(msgspec.Struct, frozen=True):
    """One rule as bitsets. It applies when level, a tag and a regulation match; then only `allow` may be used.

    level: lowest level it applies to. tags: any of these bits, 0 for no condition. regulations: any of these,
    empty for no condition. workloads, teams, tenants: likewise. allow: bitset of deployments. onward: bitset of
    deployments that may be used when the call carries onward transfers. Attestations may cover some APIs only: allow
    and onward are what holds for all of APIS, allow_by_api and onward_by_api are in its order.

    guard: the guard whose work the rule counts on, empty for none; guarded_by_api and guarded_onward_by_api: what
    may be used once it has transformed the content.
    """

    id: str
    level: int
    tags: int
    regulations: frozenset[str]
    workloads: frozenset[str]
    allow: int
    onward: int
    source: str
    allow_by_api: tuple[int, ...] = ()
    onward_by_api: tuple[int, ...] = ()
    teams: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    guard: str = ""
    guarded_by_api: tuple[int, ...] = ()
    guarded_onward_by_api: tuple[int, ...] = ()


class RuleIndex(msgspec.Struct, frozen=True):
    """The rules of a snapshot on their side, so that a decision is a handful of ANDs however many there are.

    Its bitsets are over the positions of Snapshot.rules, unless said otherwise. levels: the
    rules that apply at each level. tags: those that apply to each tag, in the order of core.labels.TAG_BIT; untagged:
    those without a condition on tags. workloads: those that a workload's name and regulations do not rule out. teams,
    tenants: likewise, `` for callers that no rule names. placements: the deployments that a workload may use at all.
    guards: that rules name. answers: by guard (or ``), onward and position of the API: sets of rules with
    the deployments that remain where one of a set applies; or, where many rules have answers of their own, what remains
    at every combination of the first eight rules, of the next eight, and so on.
    """

    levels: tuple[int, ...]
    tags: tuple[int, ...]
    untagged: int
    workloads: dict[str, int]
    teams: dict[str, int]
    tenants: dict[str, int]
    placements: dict[str, int]
    guards: frozenset[str]
    answers: dict[tuple[str, bool, int], tuple[tuple[tuple[int, int], ...], tuple[tuple[int, ...], ...]]]


# What rules may ask about a caller: the tenant and the team of its key, empty where no rule names them.
Caller = tuple[str, str]
ANYONE: Caller = ("", "")


class Snapshot(msgspec.Struct, frozen=True):
    """Everything a request reads of the configuration. version: content hash, written into every ledger row.

    names: every name clients may use, to its kind (workload, deployment, alias). aliases: to what they stand for.
    teams: to the workloads their keys may use, empty for all. budgets: all that are declared; keys have their own
    besides. stale_on: the first UTC date (ISO) on which a fact that was
    compiled in no longer holds, such as an attestation, or on which a warning about it is due; it must be
    compiled anew on that day. day: the UTC date (ISO) for which it was compiled. permitted:
    remembered answers of policy/rules.permitted, bounded by it; no part of the configuration. index: of rules.
    infra: the workload of calls that the gateway makes for itself; no client can name it.
    """

    version: str
    generation: int
    environments: tuple[Environment, ...]
    deployments: tuple[Deployment, ...]
    workloads: dict[str, Workload]
    default_workload: str
    names: dict[str, str]
    aliases: dict[str, str]
    deployment_by_name: dict[str, Deployment]
    rules: tuple[CompiledRule, ...]
    index: RuleIndex
    body_bytes_max: int
    heartbeat_after_s: float
    infra: Workload
    created_s: int = 0
    conversation_lifetime_s: int = 86_400
    share_provider_state: bool = False
    issuers: tuple[Issuer, ...] = ()
    certificates: tuple[Holder, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    teams: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()
    stale_on: str | None = None
    day: str = ""
    permitted: dict[tuple[str, Labels, bool, str, bool, Caller, str], int] = msgspec.field(default_factory=dict)
