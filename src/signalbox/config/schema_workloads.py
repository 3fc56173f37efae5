"""Settings of workloads and teams, each with its unit, default and a sentence about it; part of config/schema.py."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from signalbox.config.schema_budgets import Budget
from signalbox.config.schema_caching import Cache
from signalbox.config.schema_choosing import Cascade, Quality, Weight
from signalbox.config.schema_guards import GuardSetting
from signalbox.config.schema_ledger import Capture
from signalbox.config.schema_loops import Loops
from signalbox.config.schema_shadow import Shadow
from signalbox.config.schema_tiering import Tiered
from signalbox.config.schema_words import Date, Days, Name, Seconds, Share, Text, Word

Strategy = Literal["fixed", "cheapest", "fastest", "weighted", "cascade", "tiered", "overflow", "edge-first"]
Criticality = Literal["interactive", "agent", "batch", "eval"]
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


class Overflow(Struct, frozen=True, forbid_unknown_fields=True):
    """What strategy `overflow` may do."""

    spill_share_max: Annotated[
        Share, Meta(description="Share of recent calls that may go on to the next placement because one was full.")
    ] = 1.0


class Hedge(Struct, frozen=True, forbid_unknown_fields=True):
    """A second attempt beside a slow first one. The first to give content answers, the other one is cancelled; both
    are paid for."""

    after_ms: Annotated[int, Meta(ge=1, le=600_000, description="Time without content after which it is begun.")]


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


class StreamRescue(Struct, frozen=True, forbid_unknown_fields=True):
    """What is done for a stream whose provider dies after content went out. Held until either limit is reached, the
    first content lets an early death pass unseen."""

    hold_tokens: Annotated[
        int, Meta(ge=0, le=4096, description="Pieces of content held back at the start; 0 holds nothing.")
    ] = 8
    hold_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="How long after the first one they are held at most.")
    ] = 100


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
    shadow: Annotated[
        Shadow | None, Meta(description="Asks a second model of some calls, to learn; never when left out.")
    ] = None
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
    capture: Annotated[
        Capture | None,
        Meta(description="How much of what is asked and answered is kept, sealed; nothing when left out."),
    ] = None


class Team(Struct, frozen=True, forbid_unknown_fields=True):
    """A group of callers."""

    workloads: Annotated[list[Name], Meta(description="Workloads its keys may use; empty for all.")] = []
    budget: Annotated[Budget | None, Meta(description="What its keys may use together.")] = None
