"""Every setting of signalbox.yaml, declared once: its type, unit, default, limits and a sentence about it.

These types say what a file may hold. Reading a file into them is config/load.py; what they mean for a request is
compiled by policy/rules.py. `signalbox schema` and docs/reference/config.md are generated from here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from signalbox.config.schema_caching import Cache, Caches
from signalbox.config.schema_choosing import Cascade, Quality, Weight
from signalbox.config.schema_guards import GuardSetting
from signalbox.config.schema_issuers import Issuer
from signalbox.config.schema_loops import Loops
from signalbox.config.schema_shares import SlotShare
from signalbox.config.schema_telemetry import Alerts, Telemetry
from signalbox.config.schema_tiering import Tiered
from signalbox.core.secret import Secret

# Rule packs that this version ships; `packs:` may name these and no others.
PACKS: tuple[str, ...] = (
    *("gdpr", "hipaa", "pci-dss", "glba", "sox", "fedramp", "itar", "sr-11-7", "sr-26-2", "dora", "eu-ai-act"),
    *("pdpl-ksa", "pdpl-uae"),
)
# Guards that this version performs. A rule may name others; until they are here, only its `allow` counts.
TRANSFORMS: tuple[str, ...] = ("pseudonymise",)

# Where a name is used as text by clients, in headers and in the ledger, it has to be this plain.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"
# Names that mean something to clients already.
# `infra` is the workload under which the gateway books what it spends by itself.
RESERVED_NAMES = frozenset(("auto", "infra"))

Api = Literal["chat", "responses", "messages", "completions", "embeddings", "count_tokens"]
Kind = Literal["cloud", "private-cloud", "on-prem", "edge"]
Protocol = Literal["openai", "anthropic"]
Strategy = Literal["fixed", "cheapest", "fastest", "weighted", "cascade", "tiered", "overflow", "edge-first"]
Criticality = Literal["interactive", "agent", "batch", "eval"]
Level = Literal["public", "internal", "confidential", "restricted"]
DetectorName = Literal[
    "secrets",
    "cards",
    "bank",
    "national_ids",
    "email",
    "ip",
    "phone",
    "dates",
    "addresses",
    "persons",
    "health",
    "markings",
    "export_control",
    "source_code",
]
# Guards whose effect rules may count on.
Guard = Literal["pseudonymise"]
PresetName = Literal[
    "openai",
    "azure",
    "anthropic",
    "mistral",
    "together",
    "deepseek",
    "groq",
    "openrouter",
    "vllm",
    "tgi",
    "ollama",
    "llamacpp",
    "lmstudio",
    "sglang",
    "simulator",
]

# `extra` of a type: `hint` says its pattern in words; `reference` lets `${NAME}` stand in the text.
Name = Annotated[
    str,
    Meta(pattern=NAME_PATTERN, extra={"hint": "a letter or digit, then letters, digits and . _ : / -; 128 at most"}),
]
Word = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        extra={"hint": "a lower-case letter or digit, then lower-case letters, digits and . _ -; 64 at most"},
    ),
]
Region = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*){0,7}$",
        max_length=128,
        extra={"hint": "lower-case parts with slashes between them, from wide to narrow, such as eu/de"},
    ),
]
Date = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", extra={"hint": "a date such as 2027-03-31", "date": True})]
TimeOfDay = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", extra={"hint": "a time such as 16:30"})]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", extra={"hint": "three capital letters such as EUR"})]
Text = Annotated[str, Meta(min_length=1, max_length=1024)]
Url = Annotated[str, Meta(min_length=1, max_length=2048, extra={"reference": True})]
HeaderName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$",
        extra={"hint": "the name of an HTTP header: letters, digits and dashes"},
    ),
]
HeaderValue = Annotated[
    str,
    Meta(
        pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,4094}[\x21-\x7e])?$",
        extra={"hint": "printable ASCII text without a space at either end"},
    ),
]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Days = Annotated[int, Meta(ge=0, le=36_500)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Attestation(Struct, frozen=True, forbid_unknown_fields=True):
    """A contract or certificate that an environment holds, with its limits."""

    name: Annotated[
        Word, Meta(description="What is attested, as rules name it, such as baa, dpa, scc or zero-retention.")
    ]
    until: Annotated[
        Date | None, Meta(description="Last day on which it holds (UTC); from the next day on it counts as absent.")
    ] = None
    evidence: Annotated[Text | None, Meta(description="Where the proof lies: a path, a link or a contract number.")] = (
        None
    )
    covers: Annotated[list[Api], Meta(description="APIs it holds for; empty means all of them.")] = []
    owner: Annotated[Text | None, Meta(description="Who answers for it and renews it.")] = None


class VendorAttestation(Attestation, frozen=True, forbid_unknown_fields=True):
    """A contract or certificate of an operator, with its limits."""

    environments: Annotated[
        list[Name], Meta(description="Environments of this operator it holds for; empty means all of them.")
    ] = []


class Vendor(Struct, frozen=True, forbid_unknown_fields=True):
    """What is on file about one operator of environments."""

    attests: Annotated[
        list[Word | VendorAttestation],
        Meta(
            description="Contracts and certificates, by name or with `until`, `evidence`, `owner`, `covers` and "
            "`environments`. They count in each environment of this operator that says nothing of the same name itself."
        ),
    ] = []
    owner: Annotated[Text | None, Meta(description="Who answers for this entry and renews what runs out.")] = None
    subprocessors: Annotated[
        list[Text], Meta(max_length=500, description="Whom the operator passes content to. Kept on file.")
    ] = []
    regions: Annotated[
        list[Region],
        Meta(description="Where the contract lets it process and store; an environment elsewhere is a finding."),
    ] = []
    retention_days: Annotated[
        Days | None,
        Meta(description="Days it keeps content; contradicts `zero-retention` above 0."),
    ] = None
    trains_on_data: Annotated[
        bool | None, Meta(description="Whether it trains on content; true contradicts `no-training`.")
    ] = None


class Environment(Struct, frozen=True, forbid_unknown_fields=True):
    """A place where models run, with the facts that rules need."""

    kind: Annotated[Kind, Meta(description="Who else is in the room: cloud, private-cloud, on-prem or edge.")]
    region: Annotated[
        Region | None,
        Meta(description="Where content is processed; eu contains eu/de. Unknown when left out: no region rule holds."),
    ] = None
    storage_region: Annotated[
        Region | None, Meta(description="Where content may come to rest. The same as `region` when left out.")
    ] = None
    operator: Annotated[
        Text | None, Meta(description="Who runs it. `self` for on-prem and edge, unknown for clouds when left out.")
    ] = None
    jurisdiction: Annotated[
        Region | None, Meta(description="Whose law reaches the operator. Unknown when left out: no such rule holds.")
    ] = None
    attests: Annotated[
        list[Word | Attestation],
        Meta(description="Contracts and certificates it holds, by name or with `until`, `evidence` and `covers`."),
    ] = []


class TokenPrice(Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of tokens and of units, in the currency of the price."""

    input_mtok: Annotated[Decimal | None, Meta(description="USD per million uncached input tokens.")] = None
    cache_read_mtok: Annotated[
        Decimal | None, Meta(description="USD per million input tokens read from a cache; `input_mtok` when left out.")
    ] = None
    cache_write_mtok: Annotated[
        Decimal | None,
        Meta(description="USD per million tokens written to a cache; `input_mtok` (anthropic: × 1.25) when left out."),
    ] = None
    cache_write_1h_mtok: Annotated[
        Decimal | None, Meta(description="The same for an hour's cache; from `cache_write_mtok` when left out.")
    ] = None
    output_mtok: Annotated[Decimal | None, Meta(description="USD per million output tokens.")] = None
    reasoning_mtok: Annotated[
        Decimal | None, Meta(description="USD per million hidden reasoning tokens; `output_mtok` when left out.")
    ] = None
    audio_in_mtok: Annotated[Decimal | None, Meta(description="USD per million audio input tokens.")] = None
    audio_out_mtok: Annotated[Decimal | None, Meta(description="USD per million audio output tokens.")] = None
    audio_cache_read_mtok: Annotated[
        Decimal | None, Meta(description="USD per million cached audio tokens; `audio_in_mtok` when left out.")
    ] = None
    image_in_mtok: Annotated[
        Decimal | None, Meta(description="USD per million image input tokens; `input_mtok` when left out.")
    ] = None
    image_out_mtok: Annotated[
        Decimal | None, Meta(description="USD per million image output tokens; `output_mtok` when left out.")
    ] = None
    image_cache_read_mtok: Annotated[
        Decimal | None, Meta(description="USD per million cached image tokens; `cache_read_mtok` when left out.")
    ] = None
    video_in_mtok: Annotated[
        Decimal | None, Meta(description="USD per million video input tokens; `input_mtok` when left out.")
    ] = None
    video_out_mtok: Annotated[
        Decimal | None, Meta(description="USD per million video output tokens; `output_mtok` when left out.")
    ] = None
    citation_mtok: Annotated[Decimal | None, Meta(description="USD per million citation tokens.")] = None
    request_usd: Annotated[Decimal | None, Meta(description="USD per call, besides tokens.")] = None
    web_search_usd: Annotated[Decimal | None, Meta(description="USD per web search that the provider makes.")] = None
    file_search_usd: Annotated[Decimal | None, Meta(description="USD per file search that the provider makes.")] = None
    maps_search_usd: Annotated[Decimal | None, Meta(description="USD per map search that the provider makes.")] = None
    rerank_search_usd: Annotated[Decimal | None, Meta(description="USD per search unit of a reranker.")] = None
    code_session_usd: Annotated[Decimal | None, Meta(description="USD per session of a provider's sandbox.")] = None
    image_usd: Annotated[Decimal | None, Meta(description="USD per image.")] = None
    audio_minute_usd: Annotated[Decimal | None, Meta(description="USD per minute of audio.")] = None


class TierPrice(TokenPrice, frozen=True, forbid_unknown_fields=True):
    """What a service tier costs: a share of the plain prices, or the prices that differ from them."""

    price_share: Annotated[
        Decimal | None, Meta(description="Multiplies every price, instead of prices of its own.")
    ] = None


class LongPrice(TierPrice, frozen=True, forbid_unknown_fields=True):
    """What all tokens of a call cost whose input is long."""

    above_tokens: Annotated[
        int, Meta(ge=1, le=1_000_000_000, description="Holds for calls with more input tokens than this.")
    ] = field(default=0)


class PriceWindow(TierPrice, frozen=True, forbid_unknown_fields=True):
    """What a call costs that begins within a part of the day."""

    since: Annotated[TimeOfDay, Meta(description="When it begins, UTC.")] = field(default="")
    until: Annotated[TimeOfDay, Meta(description="When it ends, UTC; before `since` for one over midnight.")] = field(
        default=""
    )


class Price(TokenPrice, frozen=True, forbid_unknown_fields=True):
    """What a deployment costs: either prices per million tokens, or GPU-hours shared out over tokens."""

    since: Annotated[
        Date | None, Meta(description="First day (UTC) on which it holds; needed where several prices are listed.")
    ] = None
    currency: Annotated[
        Currency | None, Meta(description="The currency of its amounts, one of `currencies_usd`; USD when left out.")
    ] = None
    tiers: Annotated[
        dict[Word, TierPrice],
        Meta(
            max_length=32,
            description="What differs under a service tier that the provider reports, such as flex, priority or batch. "
            "A tier without an entry has no price: its calls are booked as unpriced.",
        ),
    ] = {}
    long_context: Annotated[
        list[LongPrice], Meta(max_length=8, description="What differs for long inputs, the shortest first.")
    ] = []
    windows: Annotated[
        list[PriceWindow], Meta(max_length=24, description="What differs by time of day; the first that holds counts.")
    ] = []
    gpu_hour_usd: Annotated[
        Decimal | None, Meta(description="USD per GPU-hour of a self-hosted model; not together with token prices.")
    ] = None
    gpus_per_replica: Annotated[int, Meta(ge=1, le=100_000, description="GPUs that one replica holds.")] = 1
    tokens_per_s: Annotated[
        float,
        Meta(
            gt=0,
            le=1e9,
            description="Tokens per second, input and output, that one replica works through at its expected load; "
            "with `gpu_hour_usd` it sets the provisional price of a token.",
        ),
    ] = 1000.0


class Contract(Struct, frozen=True, forbid_unknown_fields=True):
    """What was agreed with a provider beyond its published prices."""

    deployments: Annotated[list[Name], Meta(max_length=2000, description="The deployments it is about.")]
    discount_share: Annotated[
        Share, Meta(description="Share taken off every price of these deployments, 0 to 1.")
    ] = 0.0
    commitment_month_usd: Annotated[
        Decimal | None, Meta(description="USD that are paid each month whether they are used or not.")
    ] = None
    since: Annotated[Date | None, Meta(description="First day (UTC) on which it holds.")] = None
    until: Annotated[Date | None, Meta(description="Last day (UTC) on which it holds.")] = None
    evidence: Annotated[Text | None, Meta(description="Where it lies: a path, a link or a contract number.")] = None


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """How much one deployment may be given at once."""

    concurrency: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Calls at the same time in each worker, over all replicas; 0: no limit."),
    ] = 0
    shares: Annotated[
        dict[Name, SlotShare],
        Meta(
            max_length=1000,
            description="What workloads get of `concurrency` while others want it too; those that are not named have "
            "weight 1.",
        ),
    ] = {}


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait for an upstream, in seconds, step by step."""

    connect_s: Annotated[Seconds, Meta(description="For a connection, TLS included.")] = 3.0
    headers_s: Annotated[Seconds, Meta(description="From the request's last byte to the answer's first.")] = 60.0
    first_token_s: Annotated[Seconds, Meta(description="From the request's last byte to the first event.")] = 60.0
    idle_s: Annotated[Seconds, Meta(description="Between two chunks of an answer.")] = 60.0
    total_s: Annotated[Seconds, Meta(description="For the whole attempt.")] = 600.0


class Health(Struct, frozen=True, forbid_unknown_fields=True):
    """When a replica is taken out of use, and how it comes back. Each worker judges for itself, from its own calls."""

    enabled: Annotated[
        bool, Meta(description="Whether failures count at all; without it, it is tried by every call in its turn.")
    ] = True
    failures: Annotated[
        int,
        Meta(ge=0, le=1000, description="Failures in a row after which a replica is out of use; 0: never for that."),
    ] = 5
    open_s: Annotated[
        Seconds, Meta(description="How long it is out of use at first; doubled while the call that tries it fails.")
    ] = 2.0
    open_s_max: Annotated[Seconds, Meta(description="The longest it is out of use before a call tries it.")] = 15.0
    probe: Annotated[
        Literal["off", "models", "paid"],
        Meta(
            description="models: one that failed slowly (no connection, silence) is asked for its list of models, "
            "which costs nothing, before a call tries it. paid: it is asked for one token, booked to the workload "
            "`infra`. off: calls alone find out."
        ),
    ] = "models"
    probe_usd_per_day: Annotated[
        float,
        Meta(ge=0, le=1_000_000, description="What each worker's paid probes of it may cost a UTC day; then `models`."),
    ] = 0.05
    adaptive_concurrency: Annotated[
        bool,
        Meta(
            description="Learn how many calls at a time each replica takes: one more while it is fast, a fifth less "
            "when it is overloaded or much slower than usual."
        ),
    ] = False


class Saturation(Struct, frozen=True, forbid_unknown_fields=True):
    """When a deployment is full, so that strategy `overflow` sends calls on to the next placement. It is no longer
    full once everything is below `clears_at` of its threshold."""

    waiting_max: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="Calls waiting in the engine of its least busy replica, as its `/metrics` tells; more: full."),
    ] = None
    kv_cache_max: Annotated[
        Share, Meta(description="Share of the engine's KV cache in use, as its `/metrics` tells; 0: not looked at.")
    ] = 0.0
    in_flight_max: Annotated[
        int, Meta(ge=0, le=1_000_000, description="This worker's own calls under way at each replica; 0: not counted.")
    ] = 0
    clears_at: Annotated[
        float, Meta(gt=0, le=1, description="Share of each threshold below which it is no longer full.")
    ] = 0.8
    interval_s: Annotated[
        Annotated[float, Meta(ge=0.05, le=3600)],
        Meta(description="Time between two readings of `/metrics` (vLLM, SGLang, TGI or llama.cpp)."),
    ] = 1.0


class ScaleFromZero(Struct, frozen=True, forbid_unknown_fields=True):
    """What happens when nobody answers because the backend was scaled to zero: it is asked for its models, once for all
    who want it, and calls wait until it answers."""

    hold_s: Annotated[
        Seconds, Meta(description="How long they wait; then they go to the next placement, or are told to come later.")
    ] = 30.0


class Overflow(Struct, frozen=True, forbid_unknown_fields=True):
    """What strategy `overflow` may do."""

    spill_share_max: Annotated[
        Share, Meta(description="Share of recent calls that may go on to the next placement because one was full.")
    ] = 1.0


class Hedge(Struct, frozen=True, forbid_unknown_fields=True):
    """A second attempt beside a slow first one. The first to give content answers, the other one is cancelled; both
    are paid for."""

    after_ms: Annotated[int, Meta(ge=1, le=600_000, description="Time without content after which it is begun.")]


class Capabilities(Struct, frozen=True, forbid_unknown_fields=True):
    """What the upstream can do; a preset fills what is left out. A missing API is translated where that is possible."""

    apis: Annotated[
        list[Api] | None,
        Meta(
            description="APIs it speaks natively. When neither this nor a preset says: [chat, completions, embeddings] "
            "for openai, [messages, count_tokens] for anthropic."
        ),
    ] = None
    tools: Annotated[bool | None, Meta(description="Takes tool definitions; true when left out.")] = None
    images: Annotated[bool | None, Meta(description="Takes images; true when left out.")] = None
    json_schema: Annotated[bool | None, Meta(description="Takes a JSON Schema for its output; true when left out.")] = (
        None
    )
    cache_salt: Annotated[
        bool | None,
        Meta(
            description="Its engine takes `cache_salt` and keeps prompt caches of different salts apart, as vLLM does: "
            "each tenant's calls get one of their own; false when left out."
        ),
    ] = None
    prefill: Annotated[
        bool | None, Meta(description="Continues an answer that the request begins; false when left out.")
    ] = None
    stream_usage: Annotated[
        bool | None, Meta(description="Tells token usage at the end of a stream when asked; true when left out.")
    ] = None


class Deployment(Struct, frozen=True, forbid_unknown_fields=True):
    """One model served in one environment over one wire protocol."""

    environment: Annotated[Name, Meta(description="The environment in which it runs.")]
    model: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256)], Meta(description="The upstream's own name for the model.")
    ]
    preset: Annotated[
        PresetName | None, Meta(description="A provider or server whose usual settings fill what is left out.")
    ] = None
    protocol: Annotated[
        Protocol | None, Meta(description="The wire protocol of the upstream; the preset's when left out.")
    ] = None
    base_url: Annotated[
        Url | None,
        Meta(
            description="The upstream's address as its own SDK takes it: OpenAI-style ends in /v1, Anthropic's does "
            "not. `${NAME}` reads an environment variable."
        ),
    ] = None
    replicas: Annotated[
        list[Url], Meta(max_length=256, description="Several addresses of the same model, instead of `base_url`.")
    ] = []
    api_key: Annotated[
        Secret | None,
        Meta(description="The upstream's credential: `${NAME}` reads an environment variable, `file:/path` a file."),
    ] = None
    auth_header: Annotated[
        HeaderName | None,
        Meta(description="The header that carries the credential; `authorization` sends it as a bearer token."),
    ] = None
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        Meta(max_length=32, description="Headers added to every request. No credentials: these values are shown."),
    ] = {}
    context_tokens: Annotated[
        int, Meta(ge=0, le=1_000_000_000, description="Tokens of context, input and output together; 0 when unknown.")
    ] = 0
    quality: Annotated[
        Quality | None, Meta(description="How good its answers are, 0 to 1, by evaluations; for `quality_min`.")
    ] = None
    price: Annotated[
        Literal["catalogue", "free"] | Price | list[Price] | None,
        Meta(
            description="`catalogue` for the provider's public price, `free`, a mapping, or a list of mappings with "
            "`since`. Left out: the catalogue where the provider is known, otherwise unpriced, which is an alert and "
            "never zero."
        ),
    ] = None
    limits: Annotated[Limits, Meta(description="How much it may be given at once.")] = field(default_factory=Limits)
    timeouts: Annotated[Timeouts, Meta(description="How long to wait for it.")] = field(default_factory=Timeouts)
    capabilities: Annotated[Capabilities, Meta(description="What it can do.")] = field(default_factory=Capabilities)
    health: Annotated[Health, Meta(description="When its replicas are taken out of use, and how they come back.")] = (
        field(default_factory=Health)
    )
    saturation: Annotated[Saturation, Meta(description="When it is full, for strategy `overflow`.")] = field(
        default_factory=Saturation
    )
    scale_from_zero: Annotated[
        ScaleFromZero | None, Meta(description="That it may be scaled to zero; when left out, it never is.")
    ] = None
    ca_file: Annotated[
        Text | None, Meta(description="PEM file of the authorities to trust instead of the system's.")
    ] = None
    proxy: Annotated[Url | None, Meta(description="HTTP proxy to connect through, such as http://10.0.0.9:3128.")] = (
        None
    )
    allow_private: Annotated[
        bool | None,
        Meta(
            description="Whether its name may resolve to private addresses. When left out: yes for on-prem, edge, "
            "presets of local servers and addresses written as such."
        ),
    ] = None
    fine_tune_of: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256)] | None,
        Meta(description="The model that it is a fine-tune of."),
    ] = None


class Retries(Struct, frozen=True, forbid_unknown_fields=True):
    """How often one call is tried, and what all its attempts may take together."""

    max_attempts: Annotated[int, Meta(ge=1, le=20, description="Attempts in all, over all deployments.")] = 3
    total_s: Annotated[
        Seconds, Meta(description="No further attempt begins later than this after the request came.")
    ] = 120.0
    cost_usd: Annotated[
        Decimal | None,
        Meta(description="No further attempt once those before it have cost so much; no bound when left out."),
    ] = None
    backoff_s: Annotated[
        Annotated[float, Meta(ge=0, le=60)],
        Meta(
            description="Longest pause before a deployment is tried again; doubled each time, and drawn evenly from "
            "nothing to that."
        ),
    ] = 0.25
    retry_after_s_max: Annotated[
        Annotated[float, Meta(ge=0, le=60)],
        Meta(
            description="The longest wait a provider may ask for (`retry-after`) and get, where no other deployment is "
            "left to try; with a longer one the caller is told instead."
        ),
    ] = 2.0


class Defaults(Struct, frozen=True, forbid_unknown_fields=True):
    """What is assumed where a client does not say."""

    max_tokens: Annotated[
        int,
        Meta(ge=1, le=10_000_000, description="Output tokens, where the upstream's protocol demands a limit."),
    ] = 4096


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """A document that an obligation asks for."""

    evidence: Annotated[Text, Meta(description="Where it lies: a path or a link.")]
    until: Annotated[
        Date | None, Meta(description="Last day on which it counts (UTC); from the next day on it is missing.")
    ] = None
    owner: Annotated[Text | None, Meta(description="Who answers for it and renews it.")] = None


class Facts(Struct, frozen=True, forbid_unknown_fields=True):
    """What is done about a workload besides routing it, as obligations ask for it. Nothing is assumed."""

    model_pinned: Annotated[
        bool | None, Meta(description="Its deployments serve fixed versions of models, not moving names.")
    ] = None
    log_retention_days: Annotated[
        Days | None, Meta(description="Days for which the records of its calls are kept.")
    ] = None
    human_review_share: Annotated[
        Share | None, Meta(description="Share of its answers that people review, 0 to 1.")
    ] = None
    eval_every_days: Annotated[
        Annotated[int, Meta(ge=1, le=3650)] | None, Meta(description="Longest time in days between two evaluations.")
    ] = None
    documents: Annotated[
        dict[Word, Text | Document],
        Meta(max_length=200, description="Where documents lie, by name, such as dpia or transparency-notice."),
    ] = {}


class CustomClass(Struct, frozen=True, forbid_unknown_fields=True):
    """Content that the organisation itself knows how to recognise: either a pattern or words."""

    label: Annotated[str, Meta(description="The data class it stands for, a level or a tag.")]
    pattern: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1024)] | None,
        Meta(
            description="A regular expression as Python writes them, searched for in every text. Keep it simple: a "
            "pattern that backtracks a lot holds up every call of the workload."
        ),
    ] = None
    words: Annotated[
        list[Annotated[str, Meta(min_length=2, max_length=256)]],
        Meta(max_length=100_000, description="Words and phrases, upper and lower case alike."),
    ] = []


class Classification(Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked for in the text of calls. What is found raises the data classes of a call, never lowers them."""

    detectors: Annotated[
        Literal["all", "off"] | list[DetectorName],
        Meta(description="Which built-in detectors look: `all`, `off`, or the names of some."),
    ] = "all"
    custom: Annotated[
        dict[Word, CustomClass],
        Meta(max_length=1000, description="What else to look for, by the name that reports give it."),
    ] = {}


class Conversations(Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered of conversations between their calls."""

    lifetime_s: Annotated[
        float,
        Meta(
            gt=0,
            le=31_536_000,
            description="How long a conversation keeps a data class that one of its calls had; a named one begins anew "
            "with each call.",
        ),
    ] = 86_400.0
    share_provider_state: Annotated[
        bool,
        Meta(
            description="Lets tenants name stored answers, conversations and files of a provider whoever they were "
            "made for. Otherwise, while keys of several tenants exist, each may name those made for it and no other."
        ),
    ] = False


class StreamRescue(Struct, frozen=True, forbid_unknown_fields=True):
    """What is done for a stream whose provider dies after content went out. Held until either limit is reached, the
    first content lets an early death pass unseen."""

    hold_tokens: Annotated[
        int, Meta(ge=0, le=4096, description="Pieces of content held back at the start; 0 holds nothing.")
    ] = 8
    hold_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="How long after the first one they are held at most.")
    ] = 100


Usd = Annotated[Decimal, Meta(extra={"hint": "an amount of dollars"})]
Count = Annotated[int, Meta(ge=1, le=10**15)]


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """How much may be used in a time. Several amounts hold side by side."""

    usd_per_hour: Annotated[Usd | None, Meta(description="US dollars an hour.")] = None
    usd_per_day: Annotated[Usd | None, Meta(description="US dollars a calendar day.")] = None
    usd_per_week: Annotated[Usd | None, Meta(description="US dollars a week that begins on Monday.")] = None
    usd_per_month: Annotated[Usd | None, Meta(description="US dollars a calendar month.")] = None
    usd_total: Annotated[Usd | None, Meta(description="US dollars in all.")] = None
    tokens_per_minute: Annotated[Count | None, Meta(description="Tokens a minute, input and output together.")] = None
    tokens_per_hour: Annotated[Count | None, Meta(description="Tokens an hour.")] = None
    tokens_per_day: Annotated[Count | None, Meta(description="Tokens a calendar day.")] = None
    tokens_per_week: Annotated[Count | None, Meta(description="Tokens a week that begins on Monday.")] = None
    tokens_per_month: Annotated[Count | None, Meta(description="Tokens a calendar month.")] = None
    tokens_total: Annotated[Count | None, Meta(description="Tokens in all.")] = None
    requests_per_minute: Annotated[Count | None, Meta(description="Calls a minute.")] = None
    requests_per_hour: Annotated[Count | None, Meta(description="Calls an hour.")] = None
    requests_per_day: Annotated[Count | None, Meta(description="Calls a calendar day.")] = None
    requests_per_week: Annotated[Count | None, Meta(description="Calls a week that begins on Monday.")] = None
    requests_per_month: Annotated[Count | None, Meta(description="Calls a calendar month.")] = None
    requests_total: Annotated[Count | None, Meta(description="Calls in all.")] = None
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None, Meta(description="Calls at the same time, over all workers.")
    ] = None
    hard: Annotated[
        bool,
        Meta(
            description="Never exceeded: answers that run end early when it is used up. A budget that is not hard "
            "refuses new calls once it is used up, and lets answers that run come to their end."
        ),
    ] = True
    time_zone: Annotated[
        Text, Meta(description="The zone in which days, weeks and months begin, such as Europe/Berlin.")
    ] = "UTC"


class ScopedBudget(Budget, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A budget of somebody or of each one of a kind."""

    for_: Annotated[
        Literal["tenant", "team", "key", "workload", "user", "session", "deployment"],
        Meta(
            description="Whose it is. Users are those that calls name (`user`, `safety_identifier`, "
            "`metadata.user_id`), sessions those that headers name."
        ),
    ] = field(name="for")
    name: Annotated[Text | None, Meta(description="The name of one; left out, each one has it for itself.")] = None


class Workload(Struct, frozen=True, forbid_unknown_fields=True):
    """One AI task of the organisation."""

    data: Annotated[
        list[str], Meta(description="Floor of its data classes, levels and tags mixed; detection can only raise it.")
    ] = []
    regulations: Annotated[list[Word], Meta(description="Regulations it falls under, as rules name them.")] = []
    quality_min: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Lowest acceptable quality, 0 to 1. A deployment below it, or whose quality nobody stated, "
            "serves only where no better one does.",
        ),
    ] = 0.0
    ttft_p95_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=3_600_000,
            description="Wanted 95th percentile of time to first token; 0 for none. A deployment seen to be slower "
            "serves only where no faster one does.",
        ),
    ] = 0
    strategy: Annotated[
        Strategy,
        Meta(
            description="How to choose among permitted deployments: fixed, in the order of `placements`; cheapest, by "
            "what the call costs there; fastest, by the time to first content of late; weighted, by `weights`; "
            "cascade, a weak model first and the strong one where its answer is doubtful; tiered, by how hard the "
            "question looks; overflow, in their order but past those that are full; edge-first, edge and on-prem "
            "before clouds."
        ),
    ] = "fixed"
    weights: Annotated[
        dict[Name, Weight],
        Meta(description="Strategy `weighted`: share of calls of each deployment; one without is a fallback only."),
    ] = {}
    sticky: Annotated[
        bool,
        Meta(description="Keep a conversation where it was answered before, as long as that is permitted and well."),
    ] = False
    quality: Annotated[
        dict[Name, Quality],
        Meta(description="Quality of deployments at this task, 0 to 1, where it is not the deployment's own."),
    ] = {}
    cascade: Annotated[Cascade | None, Meta(description="What strategy `cascade` does.")] = None
    placements: Annotated[
        list[Name], Meta(description="Deployments it may use, best first; empty for any permitted.")
    ] = []
    retries: Annotated[Retries, Meta(description="How often one call is tried, and what that may take.")] = field(
        default_factory=Retries
    )
    overflow: Annotated[Overflow, Meta(description="What strategy `overflow` may do.")] = field(
        default_factory=Overflow
    )
    tiered: Annotated[Tiered | None, Meta(description="What strategy `tiered` may do.")] = None
    hedge: Annotated[Hedge | None, Meta(description="A second attempt beside a slow one; none when left out.")] = None
    criticality: Annotated[
        Criticality,
        Meta(description="Who is turned away first when the gateway has too much to do: eval, batch, agent, then all."),
    ] = "interactive"
    stream_rescue: Annotated[
        bool | StreamRescue,
        Meta(
            description="Ask another placement the whole question again when a stream dies, and go on with its answer "
            "where that says the same so far; otherwise the stream ends with an error."
        ),
    ] = False
    opaque: Annotated[
        list[str], Meta(description="Data classes of parts that no detector can read: images, audio, files.")
    ] = field(default_factory=lambda: ["confidential"])
    classify: Annotated[Classification, Meta(description="What is looked for in the text of its calls.")] = field(
        default_factory=Classification
    )
    strict: Annotated[
        bool,
        Meta(description="Refuse a call with parameters that a translation would drop, instead of reporting them."),
    ] = False
    defaults: Annotated[Defaults, Meta(description="What is assumed where a client does not say.")] = field(
        default_factory=Defaults
    )
    facts: Annotated[Facts, Meta(description="What obligations of rules ask for.")] = field(default_factory=Facts)
    guards: Annotated[
        list[GuardSetting],
        Meta(max_length=16, description="What is done to content on its way out and back: names, or settings by name."),
    ] = []
    budget: Annotated[Budget | None, Meta(description="What its calls may use.")] = None
    cache: Annotated[Cache | None, Meta(description="Which of its answers are kept; none when left out.")] = None
    loops: Annotated[Loops | None, Meta(description="When its calls are taken for a loop; never when left out.")] = None


class Team(Struct, frozen=True, forbid_unknown_fields=True):
    """A group of callers."""

    workloads: Annotated[list[Name], Meta(description="Workloads its keys may use; empty for all.")] = []
    budget: Annotated[Budget | None, Meta(description="What its keys may use together.")] = None


class When(Struct, frozen=True, forbid_unknown_fields=True):
    """When a rule applies. Every field that is given must match; a list matches by any of its members."""

    data: Annotated[list[str], Meta(description="Tags of content, such as personal or phi.")] = []
    level: Annotated[Level | None, Meta(description="This level of content or a higher one.")] = None
    regulations: Annotated[list[Word], Meta(description="Regulations of the workload.")] = []
    workloads: Annotated[list[Name], Meta(description="Names of workloads.")] = []
    teams: Annotated[list[Name], Meta(description="Teams of the caller's key.")] = []
    tenants: Annotated[list[Text], Meta(description="Tenants of the caller's key.")] = []


class Predicate(Struct, frozen=True, forbid_unknown_fields=True):
    """A condition on environments. Every field that is given must hold. What is unknown never satisfies it."""

    kind: Annotated[list[Kind], Meta(description="Any of these kinds.")] = []
    region: Annotated[
        list[Region], Meta(description="Processing and storage both lie in one of these regions; eu contains eu/de.")
    ] = []
    storage_region: Annotated[list[Region], Meta(description="Storage lies in one of these regions.")] = []
    jurisdiction: Annotated[list[Region], Meta(description="The operator is under one of these jurisdictions.")] = []
    operator: Annotated[list[Text], Meta(description="Any of these operators, upper and lower case alike.")] = []
    attests: Annotated[list[Word], Meta(description="All of these attestations hold today, for the API in use.")] = []
    any: Annotated[list[Predicate], Meta(description="At least one of these holds.")] = []
    all: Annotated[list[Predicate], Meta(description="All of these hold.")] = []
    not_: Annotated[
        Predicate | None, Meta(description="This certainly does not hold; what is unknown is no certainty.")
    ] = field(name="not", default=None)


class Transform(Struct, frozen=True, forbid_unknown_fields=True):
    """Where content may go besides, once a guard has transformed it."""

    guard: Annotated[Guard, Meta(description="The guard that transforms the content.")]
    allow: Annotated[Predicate, Meta(description="Environments that may be used then, besides those of `allow`.")]


class Require(Struct, frozen=True, forbid_unknown_fields=True):
    """What has to be done about a workload besides routing it. `signalbox check` reports what is missing."""

    model_pinned: Annotated[bool, Meta(description="Only fixed versions of models.")] = False
    log_retention_days_min: Annotated[
        Days, Meta(description="Records of its calls are kept for so many days; 0 asks nothing.")
    ] = 0
    human_review_share_min: Annotated[
        Share, Meta(description="People review this share of its answers; 0 asks nothing.")
    ] = 0.0
    eval_every_days_max: Annotated[
        int, Meta(ge=0, le=3650, description="It is evaluated at least so often; 0 asks nothing.")
    ] = 0
    documents: Annotated[list[Word], Meta(description="All of these documents exist and count today.")] = []
    environments: Annotated[
        Predicate | None, Meta(description="Holds for every environment that the workload may use.")
    ] = None


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """One constraint on where content may go, or an obligation, or both. Every rule that applies must allow."""

    id: Annotated[Name, Meta(description="Its name in decisions and in the ledger.")]
    allow: Annotated[
        Predicate | None,
        Meta(description="Environments that may be used when it applies. `any: []` alone means none at all."),
    ] = None
    when: Annotated[When, Meta(description="When it applies; always when left out.")] = field(default_factory=When)
    onward: Annotated[
        Literal["allow", "deny"] | Predicate,
        Meta(
            description="Whether calls that carry content further than the model (provider-side tools, remote images, "
            "stored responses) may use what is allowed: all of it, none of it, or where this holds."
        ),
    ] = "deny"
    transform: Annotated[
        Guard | Transform | None,
        Meta(
            description="A guard that takes out what the rule is about: by its name alone the transformed content may "
            "go anywhere as far as this rule is concerned, as a mapping to the environments of its `allow` besides."
        ),
    ] = None
    require: Annotated[Require | None, Meta(description="Obligations on the workloads to which it applies.")] = None
    severity: Annotated[
        Literal["error", "warning"], Meta(description="What a missed obligation is: error fails `signalbox check`.")
    ] = "error"
    source: Annotated[Text | None, Meta(description="The law, contract or decision behind it.")] = None


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the data plane's listening side."""

    body_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Largest request body in bytes, after decompression.")
    ] = 32 * 1024 * 1024
    header_bytes_max: Annotated[int, Meta(ge=1024, le=1 << 20, description="Largest request head in bytes.")] = (
        64 * 1024
    )
    headers_max: Annotated[int, Meta(ge=16, le=10_000, description="Most header lines in a request.")] = 128
    heartbeat_after_s: Annotated[
        Annotated[float, Meta(gt=0, le=3600)],
        Meta(
            description="Silence of the upstream after which the head and keep-alives are sent to a streaming client."
        ),
    ] = 15.0
    header_timeout_s: Annotated[Seconds, Meta(description="For a client to send a whole request head.")] = 10.0
    body_timeout_s: Annotated[Seconds, Meta(description="Longest pause of a client that sends a body.")] = 30.0
    write_timeout_s: Annotated[Seconds, Meta(description="Longest pause of a client that takes an answer.")] = 60.0
    keepalive_s: Annotated[Seconds, Meta(description="How long an idle client connection is kept.")] = 75.0
    calls_max: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Calls at the same time in each worker; less urgent ones get less of it."),
    ] = 4096
    loop_lag_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=60_000,
            description="How long ready work may wait for its turn, on average over a moment, before all calls are "
            "turned away; less urgent ones are from a share of it on.",
        ),
    ] = 2000
    memory_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 44,
            description="Memory of each worker at which all calls are turned away, less urgent ones from a share of it "
            "on; 0 for nine tenths of the container's limit, where it has one.",
        ),
    ] = 0
    shutdown_grace_s: Annotated[
        Annotated[float, Meta(ge=0, le=3600)], Meta(description="Time for open calls to end when stopping.")
    ] = 30.0


class Journal(Struct, frozen=True, forbid_unknown_fields=True):
    """How records of attempts reach the disk."""

    fsync: Annotated[
        Literal["group", "always", "off"],
        Meta(
            description="group: at most every `fsync_interval_ms`; always: before each send; off: left to the kernel."
        ),
    ] = "group"
    fsync_interval_ms: Annotated[int, Meta(ge=1, le=60_000, description="Longest time between two group commits.")] = 50
    checkpoint_every_s: Annotated[
        Seconds, Meta(description="Time between two signed checkpoints of what the journals hold; read at the start.")
    ] = 60.0
    checkpoint_anchor: Annotated[
        Text | None,
        Meta(
            description="A file on other storage to which every checkpoint is appended too, so that `ledger verify "
            "--anchor` can tell a rollback or a fork; read at the start."
        ),
    ] = None
    segment_bytes_max: Annotated[
        int, Meta(ge=64 * 1024, le=1 << 34, description="Size at which a new journal file begins.")
    ] = 64 * 1024 * 1024


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """signalbox.yaml."""

    packs: Annotated[
        list[str], Meta(description=f"Rule packs in force, besides `rules`. These ship: {', '.join(PACKS)}.")
    ] = []
    environments: Annotated[
        dict[Name, Environment], Meta(max_length=1000, description="Places where models run, by name.")
    ] = {}
    vendors: Annotated[
        dict[Text, Vendor], Meta(max_length=1000, description="What is on file about operators, by operator.")
    ] = {}
    deployments: Annotated[
        dict[Name, Deployment], Meta(max_length=2000, description="Models that are served, by name.")
    ] = {}
    workloads: Annotated[
        dict[Name, Workload], Meta(max_length=5000, description="Tasks of the organisation, by name.")
    ] = {}
    default_workload: Annotated[
        Name | None,
        Meta(
            description="The workload of calls that name none. When left out: the first one of the file, or, with no "
            "workload at all, one called `default` that may use any permitted deployment."
        ),
    ] = None
    aliases: Annotated[
        dict[Name, Name], Meta(max_length=5000, description="Further names of workloads and deployments.")
    ] = {}
    contracts: Annotated[
        dict[Name, Contract], Meta(max_length=1000, description="What was agreed with providers about prices, by name.")
    ] = {}
    currencies_usd: Annotated[
        dict[Currency, Decimal],
        Meta(max_length=200, description="What one unit of a currency is worth in USD, such as EUR: 1.0842."),
    ] = {}
    teams: Annotated[dict[Name, Team], Meta(max_length=10_000, description="Groups of callers, by name.")] = {}
    budgets: Annotated[
        list[ScopedBudget],
        Meta(max_length=5000, description="What tenants, keys, users, sessions and deployments may use."),
    ] = []
    rules: Annotated[
        list[Rule], Meta(max_length=5000, description="Where content may go. Every rule that applies must allow.")
    ] = []
    issuers: Annotated[
        dict[Name, Issuer], Meta(max_length=100, description="Whose signed tokens are taken in place of virtual keys.")
    ] = {}
    server: Annotated[Server, Meta(description="Limits of the data plane's listening side.")] = field(
        default_factory=Server
    )
    conversations: Annotated[
        Conversations, Meta(description="What is remembered of conversations between their calls.")
    ] = field(default_factory=Conversations)
    caches: Annotated[Caches, Meta(description="What kept answers of all workloads may take.")] = field(
        default_factory=Caches
    )
    journal: Annotated[Journal, Meta(description="How records of attempts reach the disk.")] = field(
        default_factory=Journal
    )
    store: Annotated[
        Secret | None,
        Meta(
            description="The database, as `postgresql://user:password@host/database`; `${NAME}` reads an environment "
            "variable, `file:/path` a file. A file in the state directory when left out. Read at start."
        ),
    ] = None
    telemetry: Annotated[Telemetry, Meta(description="What is told of single requests besides the ledger.")] = field(
        default_factory=Telemetry
    )
    alerts: Annotated[Alerts, Meta(description="What fires, and who is told.")] = field(default_factory=Alerts)
    config_source: Annotated[Literal["file"], Meta(description="Where the truth lies.")] = "file"
