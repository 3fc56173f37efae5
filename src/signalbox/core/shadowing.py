"""What a workload asks twice to learn from it, compiled."""

from __future__ import annotations

import msgspec

from signalbox.core.labels import INTERNAL


class Shadow(msgspec.Struct, frozen=True):
    """share: of calls, drawn by lot, whose question goes to the other one of `weak` and `strong` (names) as well.
    judge: the deployment that says whether the weak answer will do, empty where equal conclusions decide. day_pico:
    what it may cost a day (UTC) and process, in pico-dollars. level_max: the highest level of content that is learnt
    from. infra: its rows are booked to `infra` instead of to whoever called."""

    share: float
    weak: str
    strong: str
    judge: str = ""
    day_pico: int = 0
    level_max: int = INTERNAL
    infra: bool = False
