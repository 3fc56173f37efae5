"""Settings of the shadow slice: which calls are asked of a second model to learn from. Part of config/schema.py."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Shadow(Struct, frozen=True, forbid_unknown_fields=True):
    """A few calls, drawn by lot, are asked of the other model of a pair as well, after their clients were answered.
    What comes out labels the question for `signalbox router fit --from-ledger`."""

    share: Annotated[
        float, Meta(gt=0, le=1, description="Share of calls that are asked twice; the probability is on record.")
    ] = 0.02
    weak: Annotated[_Name | None, Meta(description="The cheaper deployment of the pair; the first placement.")] = None
    strong: Annotated[_Name | None, Meta(description="The better one; the second placement.")] = None
    judge: Annotated[
        _Name | None,
        Meta(
            description="The deployment that says whether the weak answer serves as well where the two come to "
            "different conclusions; when left out, it then does not."
        ),
    ] = None
    usd_per_day: Annotated[
        float, Meta(gt=0, le=1_000_000, description="What it may cost each process a day (UTC); then it rests.")
    ] = 1.0
    booked_to: Annotated[
        Literal["workload", "infra"],
        Meta(
            description="Whose rows and budgets its calls are: those of whoever called, or `infra`. The workload's own "
            "budget and rules hold in any case."
        ),
    ] = "workload"
    data_max: Annotated[
        Literal["public", "internal", "confidential", "restricted"],
        Meta(description="The highest level of content that is learnt from."),
    ] = "internal"
