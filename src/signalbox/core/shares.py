"""A workload's part of a deployment's slots, as compiled."""

from __future__ import annotations

import msgspec


class Share(msgspec.Struct, frozen=True):
    """least: part of all slots that is always its own. weight: how the rest is shared while there is too little."""

    least: float = 0.0
    weight: float = 1.0
