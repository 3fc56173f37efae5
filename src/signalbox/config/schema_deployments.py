"""Settings of deployments, each with its unit, default and a sentence about it; part of config/schema.py."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from signalbox.config.schema_choosing import Quality
from signalbox.config.schema_prices import Price
from signalbox.config.schema_shares import SlotShare
from signalbox.config.schema_words import (
    Api,
    Beta,
    HeaderName,
    HeaderValue,
    Name,
    PemName,
    Seconds,
    Share,
    Url,
)
from signalbox.core.secret import Secret

Protocol = Literal["openai", "anthropic", "presidio", "llm-guard"]
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
    open_s_max: Annotated[Seconds, Meta(description="The longest it is out of use before a call tries it.")] = 12.0
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


class Capabilities(Struct, frozen=True, forbid_unknown_fields=True):
    """What the upstream can do; a preset fills what is left out. A missing API is translated where that is possible, to
    that of its APIs which carries most of what the call says."""

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
    betas: Annotated[
        list[Beta] | None,
        Meta(
            description="Beta features that it knows, as the headers `anthropic-beta` and `openai-beta` name them. "
            "Others are taken out of these headers, and `x-signalbox-dropped` names them. All go on when left out.",
        ),
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
    store: Annotated[
        Literal["as-asked", "never"],
        Meta(
            description='never: chat completions and responses leave with `"store": false`, whatever the client said '
            "or left unsaid, so that the provider does not keep them; completions that ask for it too. It changes "
            "bytes: for providers that know the field, such as OpenAI."
        ),
    ] = "as-asked"
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
        PemName | None, Meta(description="PEM file of the authorities to trust instead of the system's.")
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
