"""Every setting of a plan's workload file, declared once: what an organisation wants to run, where it could, and under
which constraints. Quantities carry their provenance; reading a file is `reading.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from signalbox.config.schema_deployments import PresetName
from signalbox.config.schema_places import Environment, Vendor
from signalbox.config.schema_rules import Rule
from signalbox.config.schema_words import Date, Name, Region, Text, Url, Word
from signalbox.planner.quantity import Quantity, default

OptionKind = Literal["cloud-api", "batch-api", "managed", "rented", "owned", "edge"]
ProfileName = Literal["flat", "office", "consumer", "night"]
Quant = Literal["bf16", "fp8", "int8", "fp4", "int4"]
ServingEngine = Literal["vllm", "sglang", "trtllm", "llama.cpp"]


def _unit(unit: str) -> dict[str, str]:
    return {"unit": unit}


Tokens = Annotated[Quantity, Meta(extra=_unit("tokens"))]
Usd = Annotated[Quantity, Meta(extra=_unit("USD"))]
Fte = Annotated[Quantity, Meta(extra=_unit("FTE"))]
Milliseconds = Annotated[Quantity, Meta(extra=_unit("ms"))]
Part = Annotated[Quantity, Meta(extra=_unit("share"))]
PerMtok = Annotated[Quantity, Meta(extra=_unit("USD/Mtok"))]
PerHour = Annotated[Quantity, Meta(extra=_unit("USD/h"))]
PerMonth = Annotated[Quantity, Meta(extra=_unit("USD/month"))]


class Organisation(Struct, frozen=True, forbid_unknown_fields=True):
    """What the organisation has, and what it will not exceed."""

    fte_usd_per_year: Annotated[
        Annotated[Quantity, Meta(extra=_unit("USD/year"))], Meta(description="Full cost of one engineer for a year.")
    ] = default(150_000, "a full cost of about 150,000 USD")
    fte_available: Annotated[
        Fte | None, Meta(description="Engineers who may be bound by running models; no limit when left out.")
    ] = None
    capex_usd_max: Annotated[
        Usd | None, Meta(description="Most that may be spent on hardware; no limit when left out.")
    ] = None
    commitment_years_max: Annotated[
        float, Meta(ge=0, le=10, description="Longest commitment to a vendor, in years.")
    ] = 3.0
    wacc: Annotated[Part, Meta(description="Cost of capital per year.")] = default(0.08, "a usual cost of capital")
    power_usd_per_kwh: Annotated[
        Annotated[Quantity, Meta(extra=_unit("USD/kWh"))], Meta(description="Price of electricity.")
    ] = default(0.15, "a usual industrial price")
    skills: Annotated[
        list[Literal["gpu-serving", "edge-fleet", "datacenter"]],
        Meta(description="What its people can run today. Options that need more cost a person to learn it."),
    ] = []
    risk_aversion: Annotated[
        float,
        Meta(ge=0, le=10, description="Weight of the mean cost of the worst tenth of futures beside the median cost."),
    ] = 0.0


class Volume(Struct, frozen=True, forbid_unknown_fields=True):
    """How much a workload does. Give conversations with their turns, or requests."""

    conversations_per_day: Annotated[
        Annotated[Quantity, Meta(extra=_unit("per day"))] | None, Meta(description="Conversations a day.")
    ] = None
    requests_per_day: Annotated[
        Annotated[Quantity, Meta(extra=_unit("per day"))] | None,
        Meta(description="Calls a day, where there are no conversations."),
    ] = None
    turns: Annotated[
        Quantity, Meta(description="Calls of one conversation; each sends the history again unless `history` says no.")
    ] = default(1, "one call each")
    history: Annotated[bool, Meta(description="Whether each turn sends the turns before it again, as chat does.")] = (
        True
    )
    prompt_tokens: Annotated[
        Tokens, Meta(description="Tokens that every call begins with: instructions, tools, retrieved text.")
    ] = default(0, "none stated")
    input_tokens: Annotated[Tokens, Meta(description="New input tokens of one call.")] = default(500, "none stated")
    output_tokens: Annotated[Tokens, Meta(description="Output tokens of one call.")] = default(250, "none stated")
    cacheable: Annotated[
        Part | None,
        Meta(
            description="Share of the input that a prompt cache can serve. When left out: what is sent again, of the "
            "instructions and the history, times 0.9."
        ),
    ] = None
    tokens_per_day: Annotated[
        Annotated[Quantity, Meta(extra=_unit("tokens per day"))] | None,
        Meta(description="All tokens a day, as somebody states them: shown beside what the rest of this amounts to."),
    ] = None


class Arrival(Struct, frozen=True, forbid_unknown_fields=True):
    """When the calls come."""

    profile: Annotated[
        ProfileName | Annotated[list[Annotated[float, Meta(ge=0)]], Meta(max_length=168)],
        Meta(
            description="flat, office, consumer, night, or 168 weights from Monday 0:00 on, in the clock of the users.",
        ),
    ] = "office"
    peak_to_mean: Annotated[
        Quantity | None, Meta(description="Busiest hour over the mean one; that of the profile when left out.")
    ] = None
    cv: Annotated[
        Quantity, Meta(description="Variation of the gaps between calls: 1 is chance alone, more is burstier.")
    ] = default(1.0, "calls that come by chance")


class Targets(Struct, frozen=True, forbid_unknown_fields=True):
    """How fast and how reliable."""

    ttft_p95_ms: Annotated[Milliseconds | None, Meta(description="Time to the first token.")] = None
    tpot_ms: Annotated[Milliseconds | None, Meta(description="Time for each further token.")] = None
    e2e_p95_ms: Annotated[Milliseconds | None, Meta(description="Time to the last token.")] = None
    availability: Annotated[
        float,
        Meta(ge=0, lt=1, description="Share of calls that must be answered; options that answer less often are out."),
    ] = 0.995
    max_delay_h: Annotated[
        Annotated[Quantity, Meta(extra=_unit("h"))] | None,
        Meta(
            description="How long a call may wait; from 12 hours on it moves to quiet hours, from 24 on to batch APIs."
        ),
    ] = None


class Quality(Struct, frozen=True, forbid_unknown_fields=True):
    """What answers must be worth. A score without evidence counts as not reached."""

    eval: Annotated[Word, Meta(description="The evaluation that scores options for this workload.")] = "general"
    minimum: Annotated[float, Meta(ge=0, le=1, description="Lowest acceptable score.")] = 0.0
    escalation: Annotated[
        bool, Meta(description="Whether a small model may answer first and hand on what it cannot.")
    ] = False
    escalation_share: Annotated[Part, Meta(description="Share of calls that are handed on.")] = default(
        0.15, "a common share; measure yours"
    )


class Growth(Struct, frozen=True, forbid_unknown_fields=True):
    """Volume in a year over today's."""

    p10: Annotated[float, Meta(gt=0, le=1e6, description="One in ten is lower.")] = 0.8
    p50: Annotated[float, Meta(gt=0, le=1e6, description="The median.")] = 1.0
    p90: Annotated[float, Meta(gt=0, le=1e6, description="One in ten is higher.")] = 1.5


class PlanWorkload(Struct, frozen=True, forbid_unknown_fields=True):
    """One AI task of the organisation."""

    volume: Annotated[Volume, Meta(description="How much it does.")] = field(default_factory=Volume)
    arrival: Annotated[Arrival, Meta(description="When its calls come.")] = field(default_factory=Arrival)
    targets: Annotated[Targets, Meta(description="How fast and how reliable.")] = field(default_factory=Targets)
    quality: Annotated[Quality, Meta(description="What its answers must be worth.")] = field(default_factory=Quality)
    growth: Annotated[Growth, Meta(description="How it grows.")] = field(default_factory=Growth)
    data: Annotated[list[str], Meta(description="Data classes, levels and tags mixed, as in signalbox.yaml.")] = []
    regulations: Annotated[list[Word], Meta(description="Regulations it falls under.")] = []
    residency: Annotated[list[Region], Meta(description="Regions in which content must be processed and stored.")] = []
    offline: Annotated[bool, Meta(description="It must work without a connection: on-prem and edge only.")] = False
    options: Annotated[list[Name], Meta(description="Options that may be considered; all when left out.")] = []


class TokenPrice(Struct, frozen=True, forbid_unknown_fields=True):
    """Prices per million tokens."""

    input_mtok: Annotated[PerMtok, Meta(description="Uncached input.")]
    output_mtok: Annotated[PerMtok, Meta(description="Output.")]
    cache_read_mtok: Annotated[PerMtok | None, Meta(description="Input from a cache; `input_mtok` when left out.")] = (
        None
    )
    request_usd: Annotated[Usd | None, Meta(description="Per call, besides tokens.")] = None


class Augment(Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a small model good enough: fine-tuning runs and retrieval."""

    fine_tune_usd: Annotated[Usd, Meta(description="One fine-tuning run, data and evaluation included.")] = default(
        0, "none"
    )
    fine_tunes_per_year: Annotated[float, Meta(ge=0, le=365, description="Runs a year.")] = 0.0
    rag_input_tokens: Annotated[Tokens, Meta(description="Tokens that retrieval adds to each call.")] = default(
        0, "none"
    )
    rag_usd_per_month: Annotated[PerMonth, Meta(description="Index, embeddings and their upkeep.")] = default(0, "none")


class Option(Struct, frozen=True, forbid_unknown_fields=True):
    """A place where workloads could run: a model in an environment under one way of paying."""

    environment: Annotated[Name, Meta(description="Where: an environment of this file or of signalbox.yaml.")]
    kind: Annotated[
        OptionKind,
        Meta(
            description="cloud-api and batch-api are paid by token; managed by token or by unit and hour; rented by "
            "GPU and hour; owned and edge are bought."
        ),
    ]
    model: Annotated[Text, Meta(description="The model, as the catalogue of prices or of models names it.")]
    provider: Annotated[Word | None, Meta(description="The provider in the price catalogue, for token prices.")] = None
    deployment: Annotated[Name | None, Meta(description="The deployment of signalbox.yaml that is this option.")] = None
    base_url: Annotated[Url | None, Meta(description="Where it will answer, for `apply` to declare it.")] = None
    preset: Annotated[PresetName | None, Meta(description="Its preset in signalbox.yaml, for `apply`.")] = None
    price: Annotated[TokenPrice | None, Meta(description="Stated token prices, instead of the catalogue's.")] = None
    batch_discount: Annotated[Part, Meta(description="What a batch API takes off token prices.")] = default(
        0.5, "usual among providers"
    )
    gpu: Annotated[Text | None, Meta(description="The accelerator or device, as the catalogue names it.")] = None
    gpus_per_replica: Annotated[
        int, Meta(ge=0, le=64, description="GPUs of one copy of the model; 0: the fewest that hold it well.")
    ] = 0
    lot_gpus: Annotated[
        int, Meta(ge=1, le=1024, description="GPUs that are rented or bought together, such as 8 in one instance.")
    ] = 1
    lots_max: Annotated[int, Meta(ge=1, le=10_000, description="Most lots that can be had.")] = 64
    spare_lots: Annotated[
        int, Meta(ge=0, le=16, description="Lots that may fail without a call that has nowhere else to go waiting.")
    ] = 1
    quantisation: Annotated[Quant, Meta(description="Format of the weights.")] = "fp8"
    engine: Annotated[ServingEngine, Meta(description="What serves the model.")] = "vllm"
    gpu_usd_per_hour: Annotated[PerHour | None, Meta(description="One GPU for an hour on demand.")] = None
    gpu_usd_per_hour_1y: Annotated[PerHour | None, Meta(description="The same, committed for a year.")] = None
    gpu_usd_per_hour_3y: Annotated[PerHour | None, Meta(description="The same, committed for three years.")] = None
    autoscale: Annotated[
        bool, Meta(description="Whether lots can be given back at night and on weekends (on demand only).")
    ] = False
    gpu_usd: Annotated[
        Usd | None, Meta(description="Price of one GPU with its share of the server, or of a device.")
    ] = None
    life_years: Annotated[
        Annotated[Quantity, Meta(extra=_unit("years"))], Meta(description="Years over which it is written off.")
    ] = default(4, "a usual life of GPU servers")
    upkeep_share: Annotated[Part, Meta(description="Upkeep and hosting a year, as a share of the price.")] = default(
        0.10, "a usual contract"
    )
    pue: Annotated[float, Meta(ge=1, le=3, description="Power drawn over power computed with.")] = 1.4
    watts: Annotated[
        Annotated[Quantity, Meta(extra=_unit("W"))] | None,
        Meta(description="Draw of one GPU under load; the catalogue's when left out."),
    ] = None
    unit_usd_per_hour: Annotated[PerHour | None, Meta(description="One provisioned unit of a managed service.")] = None
    unit_tokens_per_s: Annotated[
        Annotated[Quantity, Meta(extra=_unit("tokens/s"))] | None,
        Meta(description="Tokens a second, input and output, that one unit takes."),
    ] = None
    requests_per_s: Annotated[
        Annotated[Quantity, Meta(extra=_unit("requests/s"))] | None,
        Meta(description="Measured calls a second of one replica within targets, instead of the model's prediction."),
    ] = None
    requests_per_s_tokens: Annotated[
        Tokens, Meta(description="Tokens of a call, input and output, for which `requests_per_s` was measured.")
    ] = default(1000, "a call of 1,000 tokens")
    share_max: Annotated[
        float, Meta(gt=0, le=1, description="Most of a workload that it can take, such as devices that are able.")
    ] = 1.0
    fixed_usd_per_month: Annotated[PerMonth, Meta(description="Paid as soon as it is used at all.")] = default(
        0, "none"
    )
    startup_usd: Annotated[Usd, Meta(description="Paid once: migration, security review, integration.")] = default(
        0, "none"
    )
    fte_open: Annotated[Fte | None, Meta(description="Engineers bound by its being there; by kind when left out.")] = (
        None
    )
    fte_per_lot: Annotated[Fte | None, Meta(description="Engineers bound by each lot; by kind when left out.")] = None
    augment: Annotated[Augment, Meta(description="Fine-tuning and retrieval, for small models.")] = field(
        default_factory=Augment
    )
    quality: Annotated[
        dict[Word, Part], Meta(max_length=200, description="Scores by evaluation; what is not here is not known.")
    ] = {}
    ttft_p95_ms: Annotated[Milliseconds | None, Meta(description="Measured time to the first token, for APIs.")] = None
    tpot_ms: Annotated[Milliseconds | None, Meta(description="Measured time for each further token, for APIs.")] = None
    availability: Annotated[float, Meta(gt=0, lt=1, description="Share of time in which it answers.")] = 0.999
    context_tokens: Annotated[int, Meta(ge=0, description="Longest call; the catalogue's when 0.")] = 0
    as_of: Annotated[Date | None, Meta(description="The day on which its prices held.")] = None
    source: Annotated[Text | None, Meta(description="Where its prices stand.")] = None


class PlanFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A workload file of `signalbox plan`."""

    name: Annotated[Text, Meta(description="What this plan is about.")] = "plan"
    organisation: Annotated[Organisation, Meta(description="What the organisation has.")] = field(
        default_factory=Organisation
    )
    workloads: Annotated[dict[Name, PlanWorkload], Meta(max_length=1000, description="What is to run, by name.")] = {}
    options: Annotated[dict[Name, Option], Meta(max_length=200, description="Where it could run, by name.")] = {}
    environments: Annotated[
        dict[Name, Environment],
        Meta(max_length=200, description="Places, as in signalbox.yaml; those of --config count as well."),
    ] = {}
    vendors: Annotated[
        dict[Text, Vendor], Meta(max_length=200, description="What is on file about operators, as in signalbox.yaml.")
    ] = {}
    packs: Annotated[list[str], Meta(description="Rule packs in force, besides those of --config.")] = []
    rules: Annotated[list[Rule], Meta(max_length=5000, description="Rules, besides those of --config.")] = []
