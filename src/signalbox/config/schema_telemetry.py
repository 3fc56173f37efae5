"""Settings of what the installation tells about itself: request logs, OpenTelemetry, alerts and their webhooks."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from signalbox.config.schema_words import PemName
from signalbox.core.secret import Secret

_Address = Annotated[str, Meta(min_length=1, max_length=2048, extra={"reference": True})]
_HeaderName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$",
        extra={"hint": "the name of an HTTP header: letters, digits and dashes"},
    ),
]
_Text = Annotated[str, Meta(min_length=1, max_length=1024)]
_Share = Annotated[float, Meta(ge=0, le=1)]

AlertName = Literal[
    "journal-unhealthy",
    "chain-broken",
    "ledger-lag",
    "unpriced-usage",
    "unknown-usage-field",
    "breaker-open",
    "attestation-expired",
    "attestation-expiring",
    "obligation-missed",
    "budget-threshold",
    "reload-refused",
    "worker-restarts",
    "shedding",
    "telemetry-lost",
    "guard-skipped",
    "prompt-leak",
    "guard-anomaly",
    "key-set-stale",
    "anchor-failing",
]


class Otlp(Struct, frozen=True, forbid_unknown_fields=True):
    """Where traces and metrics go, by OTLP over HTTP. A process of its own sends them; requests never wait for it."""

    endpoint: Annotated[
        _Address,
        Meta(description="The collector, such as http://127.0.0.1:4318; `/v1/traces` and `/v1/metrics` are appended."),
    ]
    headers: Annotated[
        dict[_HeaderName, Secret],
        Meta(
            max_length=32, description="Headers of every request to it, such as authorization; `${NAME}` and `file:`."
        ),
    ] = {}
    encoding: Annotated[Literal["protobuf", "json"], Meta(description="How bodies are written.")] = "protobuf"
    traces: Annotated[bool, Meta(description="One trace for each call: its decision, attempts, usage and cost.")] = True
    metrics: Annotated[bool, Meta(description="Everything that `/metrics` shows.")] = True
    metrics_every_s: Annotated[float, Meta(ge=1, le=3600, description="Time between two sendings of metrics.")] = 60.0
    sample: Annotated[
        _Share,
        Meta(description="Share of calls that begin a trace; a call with a `traceparent` does as that says."),
    ] = 1.0
    gen_ai: Annotated[
        Literal["off", "1.44"],
        Meta(
            description="The version of OpenTelemetry's semantic conventions whose `gen_ai.*` attributes spans carry "
            "besides our own; they still change between versions."
        ),
    ] = "off"
    service: Annotated[_Text, Meta(description="`service.name` of what is sent.")] = "signalbox"
    propagate: Annotated[
        bool,
        Meta(description="Whether providers get a `traceparent`, so that an engine of one's own can go on with it."),
    ] = True
    allow_private: Annotated[
        bool | None,
        Meta(description="Whether its name may resolve to a private address; by default only if it is written as one."),
    ] = None
    ca_file: Annotated[PemName | None, Meta(description="CA bundle that its certificate must chain to.")] = None


class Telemetry(Struct, frozen=True, forbid_unknown_fields=True):
    """What is told of single requests besides the ledger."""

    log_requests: Annotated[
        Literal["off", "failed", "all"],
        Meta(
            description="Requests that get a line in the log: none, those answered with a 5xx, or all; never content."
        ),
    ] = "failed"
    otlp: Annotated[Otlp | None, Meta(description="OpenTelemetry; nothing is sent without it.")] = None


class Webhook(Struct, frozen=True, forbid_unknown_fields=True):
    """One receiver of alerts. It gets a POST with a JSON body when an alert begins to fire and when it ends."""

    url: Annotated[_Address, Meta(description="Where to, https or http.")]
    secret: Annotated[
        Secret | None,
        Meta(description="Signs each body: `x-signalbox-signature: t=<Unix seconds>,v1=<hex HMAC-SHA256 of t.body>`."),
    ] = None
    alerts: Annotated[list[AlertName], Meta(max_length=100, description="Only these; empty means all.")] = []
    allow_private: Annotated[
        bool | None,
        Meta(description="Whether its name may resolve to a private address; by default only if it is written as one."),
    ] = None
    ca_file: Annotated[PemName | None, Meta(description="CA bundle that its certificate must chain to.")] = None


class Alerts(Struct, frozen=True, forbid_unknown_fields=True):
    """What fires, and who is told."""

    webhooks: Annotated[list[Webhook], Meta(max_length=32, description="Who is told.")] = []
    budget_thresholds: Annotated[
        list[_Share], Meta(max_length=10, description="Shares of a budget at which `budget-threshold` fires.")
    ] = field(default_factory=lambda: [0.8, 1.0])
    ledger_lag_s: Annotated[
        float, Meta(ge=5, le=86_400, description="How far the store may be behind the journals before it is an alert.")
    ] = 300.0
    repeat_s: Annotated[
        float, Meta(ge=60, le=604_800, description="How long an alert fires before webhooks are told again.")
    ] = 14_400.0
