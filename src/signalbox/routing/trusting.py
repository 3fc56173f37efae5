"""Whether a weak model's answer is trusted: a workload's scorer, and the threshold that is given or proven for it."""

from __future__ import annotations

from signalbox.core.choosing import Cascade
from signalbox.routing.answers import PRIOR, Answered, Asked, Head, features
from signalbox.routing.difficulty.bounds import safe_score


class Judge:
    """Judges the answers of one cascade. threshold: trust below which an answer is doubtful; None when nothing can be
    promised of any."""

    __slots__ = ("_head", "threshold")

    def __init__(self, cascade: Cascade) -> None:
        scorer = cascade.scorer
        self._head = PRIOR
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

    def trust(self, asked: Asked, answered: Answered) -> float:
        """How probable it is that the answer is good, 0 to 1."""
        return self._head.trust(features(asked, answered))
