"""How a workload chooses among permitted deployments, beyond the name of its strategy, as compiled."""

from __future__ import annotations

import msgspec


class Choosing(msgspec.Struct, frozen=True):
    """weights: (deployment index, share) for strategy weighted; whoever is not named is a fallback only. sticky: a
    conversation stays where it began. quality: by deployment index, 0 to 1, None where nobody stated it."""

    weights: tuple[tuple[int, float], ...] = ()
    sticky: bool = False
    quality: tuple[float | None, ...] = ()

    def quality_of(self, index: int) -> float | None:
        return self.quality[index] if index < len(self.quality) else None


class Cascade(msgspec.Struct, frozen=True):
    """weak, strong: deployment indices. threshold: trust in a weak answer, 0 to 1, below which the strong one is asked.
    holds_streams: a streamed weak answer is held until it is judged; else streams go to the strong one at once."""

    weak: int
    strong: int
    threshold: float
    holds_streams: bool = True
