"""Settings of budgets, each with its unit, default and a sentence about it; part of config/schema.py."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from signalbox.config.schema_words import Count, Text, Usd

# In nanoseconds they fit a database's integers.
GpuSeconds = Annotated[int, Meta(ge=1, le=9_000_000_000)]


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
    gpu_seconds_per_hour: Annotated[
        GpuSeconds | None, Meta(description="GPU-seconds an hour, of deployments with `gpu_hour_usd`.")
    ] = None
    gpu_seconds_per_day: Annotated[GpuSeconds | None, Meta(description="GPU-seconds a calendar day.")] = None
    gpu_seconds_per_week: Annotated[
        GpuSeconds | None, Meta(description="GPU-seconds a week that begins on Monday.")
    ] = None
    gpu_seconds_per_month: Annotated[GpuSeconds | None, Meta(description="GPU-seconds a calendar month.")] = None
    gpu_seconds_total: Annotated[GpuSeconds | None, Meta(description="GPU-seconds in all.")] = None
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
