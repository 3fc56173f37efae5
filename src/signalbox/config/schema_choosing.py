"""Settings of how a workload chooses: shares, qualities, cascades. Part of config/schema.py."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from signalbox.config.schema_words import FileName

Quality = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0, le=1_000_000)]
_Name = Annotated[str, Meta(min_length=1, max_length=128)]
_Names = Annotated[list[_Name], Meta(min_length=1, max_length=4)]


class Cascade(Struct, frozen=True, forbid_unknown_fields=True):
    """A weak model answers; where its answer is doubtful, a strong one is asked and its answer is given. Both are paid
    for."""

    weak: Annotated[_Name | None, Meta(description="The deployment that answers first; the first placement.")] = None
    strong: Annotated[
        _Name | None, Meta(description="The deployment that is asked in doubt; the second placement.")
    ] = None
    threshold: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(
            description="Trust in the weak answer, 0 to 1, below which the strong one is asked. When left out, 0.5, or "
            "with a `scorer` the one that its rows prove.",
        ),
    ] = None
    scorer: Annotated[
        FileName | None,
        Meta(
            description="File that `signalbox router fit-answers` wrote from judged answers of the weak deployment; "
            "checks of form alone when left out."
        ),
    ] = None
    encoder: Annotated[
        bool,
        Meta(
            description="Compare questions by meaning with the encoder of `caches.encoder`, while the weak model "
            "answers. For scorers that `signalbox router fit-answers --encoder` wrote; needs the extra `embed`."
        ),
    ] = False
    loss_share_max: Annotated[
        Annotated[float, Meta(gt=0, lt=1)],
        Meta(
            description="With a scorer and no threshold: share of calls that may get a worse answer than the strong "
            "one's. Without enough rows to prove it everything goes to the strong one."
        ),
    ] = 0.05
    confidence: Annotated[
        float, Meta(ge=0.5, lt=1, description="Probability with which the proof of `loss_share_max` holds.")
    ] = 0.9
    easy_share: Annotated[
        float,
        Meta(ge=0, le=1, description="Share of questions, the easiest, whose weak answers are given without a check."),
    ] = 0.0
    hard_share: Annotated[
        float,
        Meta(ge=0, le=1, description="Share of questions, the hardest, that go to the strong one at once."),
    ] = 0.0
    agrees_with: Annotated[
        _Name | _Names | None,
        Meta(
            description="Another cheap deployment, or up to four, asked at the same time, whose agreement counts; "
            "each is paid for as well. Only for calls without tools."
        ),
    ] = None
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
            "one and those of `agrees_with` together: a cascade then costs more than it saves. 0 for no such check.",
        ),
    ] = 10.0
