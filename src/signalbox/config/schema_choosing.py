"""Settings of how a workload chooses: shares, qualities, cascades. Part of config/schema.py."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Quality = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0, le=1_000_000)]
_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Cascade(Struct, frozen=True, forbid_unknown_fields=True):
    """A weak model answers; where its answer is doubtful, a strong one is asked and its answer is given. Both are paid
    for."""

    weak: Annotated[_Name | None, Meta(description="The deployment that answers first; the first placement.")] = None
    strong: Annotated[
        _Name | None, Meta(description="The deployment that is asked in doubt; the second placement.")
    ] = None
    threshold: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Trust in the weak answer, 0 to 1, below which the strong one is asked.",
        ),
    ] = 0.5
    streams: Annotated[
        Literal["hold", "strong"],
        Meta(
            description="Calls that stream: hold, the weak answer is held back until it is judged, with heartbeats; "
            "strong, they go to the strong one at once."
        ),
    ] = "hold"
    price_ratio_min: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="The configuration is refused when the strong one is not so many times as dear as the weak "
            "one: a cascade then costs more than it saves. 0 for no such check.",
        ),
    ] = 10.0
