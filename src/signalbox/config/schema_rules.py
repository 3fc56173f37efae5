"""Settings of rules, each with its unit, default and a sentence about it; part of config/schema.py."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from signalbox.config.schema_places import Kind
from signalbox.config.schema_words import Days, Level, Name, Region, Share, Text, Word

# Guards whose effect rules may count on.
Guard = Literal["pseudonymise"]


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
