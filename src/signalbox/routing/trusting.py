"""Whether a weak model's answer is trusted: a workload's scorer, and the threshold that is given or proven for it."""

from __future__ import annotations

from typing import Any

from signalbox.core.choosing import Cascade
from signalbox.routing.answers import PRIOR, Answered, Asked, Head, features
from signalbox.routing.difficulty.bounds import safe_score
from signalbox.routing.difficulty.neighbours import Neighbours


class Judge:
    """Judges the answers of one cascade. threshold: trust below which an answer is doubtful; None when nothing can be
    promised of any."""

    __slots__ = ("_head", "_near", "threshold")

    def __init__(self, cascade: Cascade) -> None:
        scorer = cascade.scorer
        self._head = PRIOR
        self._near = Neighbours(scorer.near) if scorer is not None and scorer.near is not None else None
        self.threshold = cascade.threshold
        if scorer is None:
            return
        self._head = Head(scorer.features, scorer.mean, scorer.scale, scorer.weights, scorer.bias)
        if not self._head.fits():
            # Fitted on other features than these: whatever it says means nothing.
            self._head, self.threshold = PRIOR, None
        elif self.threshold is None:
            doubt = safe_score(scorer.judged, 0, cascade.loss_share_max, 1 - cascade.confidence)
            self.threshold = None if doubt is None else 1.0 - doubt

    @property
    def compares(self) -> bool:
        """Whether the meaning of every question is wanted."""
        return self._near is not None

    def hardness(self, rank: float, vector: Any) -> float:
        """How hard a question is as the scorer was taught it: what the strong model gained at those that mean nearly
        the same, or else its rank. Raises ValueError without the vector that this needs."""
        if self._near is None:
            return rank
        if vector is None:
            raise ValueError("the question's meaning is not known")
        return self._near.gain(vector)

    def trust(self, asked: Asked, answered: Answered) -> float:
        """How probable it is that the answer is good, 0 to 1."""
        return self._head.trust(features(asked, answered))
