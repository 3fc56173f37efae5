"""Settings of a deployment's shares, each with its unit, default and a sentence about it; part of config/schema.py."""

from typing import Annotated

from msgspec import Meta, Struct


class SlotShare(Struct, frozen=True, forbid_unknown_fields=True):
    """What one workload gets of a deployment's `concurrency` while others want it too."""

    least_share: Annotated[
        float, Meta(ge=0, le=1, description="Part of the slots that is kept free for it, used or not.")
    ] = 0.0
    weight: Annotated[
        float, Meta(gt=0, le=1000, description="How many slots it gets for each one of a workload with weight 1.")
    ] = 1.0
