"""The settings of strategy `tiered`: how a workload's calls are shared out between cheap and strong deployments."""

from typing import Annotated

from msgspec import Meta, Struct

from signalbox.config.schema_words import FileName

_Share = Annotated[float, Meta(ge=0, le=1)]
_Easy = Annotated[str, Meta(min_length=1, max_length=1024)]


class Tiered(Struct, frozen=True, forbid_unknown_fields=True):
    """What strategy `tiered` may do. Tiers are the placements that no other one beats in both price and quality. Either
    a budget (`strong_share`) or a bound on lost quality (`loss_share_max`) decides; thresholds come from data."""

    strong_share: Annotated[
        _Share | list[_Share] | None,
        Meta(
            description="Budget: share of calls for the strongest tier, the hardest ones first. As a list: for each "
            "tier from the second on, the share that goes to it or a stronger one."
        ),
    ] = None
    loss_share_max: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        Meta(
            description="Quality: share of calls that may be answered worse than the strongest tier would have; proven "
            "on the head's labelled rows. Without enough of them everything goes to the strongest tier. 0.05 when "
            "neither this nor `strong_share` is given."
        ),
    ] = None
    confidence: Annotated[
        float, Meta(ge=0.5, lt=1, description="Probability with which the proof of `loss_share_max` holds.")
    ] = 0.9
    head: Annotated[
        FileName | None,
        Meta(
            description="File that `signalbox router fit` wrote for this workload; the weights that ship with "
            "signalbox when left out."
        ),
    ] = None
    encoder: Annotated[
        bool,
        Meta(
            description="Compare questions by meaning as well, with the encoder of `caches.encoder`: some "
            "milliseconds of a thread for each call. For heads that `signalbox router fit --encoder` wrote, and to "
            "label rows for one. Needs the extra `embed`."
        ),
    ] = False
    easy: Annotated[
        list[_Easy],
        Meta(
            max_length=1000,
            description="Whole messages that the cheapest tier may always answer, besides greetings and thanks; case, "
            "blanks and pleasantries do not matter.",
        ),
    ] = []
    hysteresis_share: Annotated[
        Annotated[float, Meta(ge=0, le=0.5)],
        Meta(description="How much easier, as a share of calls, a conversation must become to go to a cheaper tier."),
    ] = 0.05
    explore_share: Annotated[
        Annotated[float, Meta(ge=0, le=0.1)],
        Meta(
            description="Share of calls whose tier is drawn by lot, to learn from; their records hold the probability "
            "of what was drawn. It comes on top of `loss_share_max`."
        ),
    ] = 0.0
