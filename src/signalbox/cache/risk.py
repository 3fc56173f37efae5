"""A bound on how often the semantic cache is wrong, kept while it runs: which scores may be trusted, or none.

Every question that could have been answered and was asked all the same is a trial: was the answer that would have been
given the right one? Questions below the threshold are always asked. Of those above it a share is, by lot, and each of
these stands for the others. The threshold is the lowest score from which on, at 95 % confidence, the share of wrong
answers among those given stays within the limit (Wilson's bound, the highest scores first). While no
score can be trusted, nothing is given. Old trials fade, so that a workload that changes is noticed.
"""

from __future__ import annotations

from math import sqrt

import msgspec

LEVELS = 50
# One-sided 95 %.
Z = 1.6449
# After so many questions all counts are halved.
FADE_AFTER = 20_000
# From the highest score on, the search for the threshold goes on past levels that fail for want of trials, but not past
# ones that fail by their errors.
TRIALS_SEEN = 50.0
BEYOND = 1.5


class Bound(msgspec.Struct, frozen=True):
    """What is known of answers above the threshold: the share of wrong ones as seen in so many trials, and at most with
    95 % confidence. threshold, error and bound: None while nothing is given."""

    threshold: float | None
    trials: float
    error: float | None
    bound: float | None


NOTHING = Bound(None, 0.0, None, None)


class Risk:
    """Trials by score, in LEVELS steps from 0 to 1. Within a step trials are a sample of all the questions that were
    seen there, so each step counts with its questions, however many of them were tried."""

    __slots__ = ("_errors", "_seen", "_since", "_trials", "max_error", "state")

    def __init__(self, max_error: float) -> None:
        self.max_error = max_error
        self._seen = [0.0] * LEVELS
        self._trials = [0.0] * LEVELS
        self._errors = [0.0] * LEVELS
        self._since = 0
        self.state = NOTHING

    def see(self, score: float) -> None:
        """A question that could be answered, whether or not it is tried."""
        self._seen[_level(score)] += 1
        self._since += 1
        if self._since >= FADE_AFTER:
            self._fade()

    def observe(self, score: float, *, right: bool) -> None:
        """One trial of a question that was seen."""
        level = _level(score)
        self._trials[level] += 1
        if not right:
            self._errors[level] += 1
        self.state = self._bound()

    def trusts(self, score: float) -> bool:
        threshold = self.state.threshold
        return threshold is not None and _level(score) / LEVELS >= threshold

    def _fade(self) -> None:
        self._since = FADE_AFTER // 2
        for counts in (self._seen, self._trials, self._errors):
            counts[:] = [count / 2 for count in counts]

    def _bound(self) -> Bound:
        seen = variance = wrong = trials = 0.0
        best = NOTHING
        for level in range(LEVELS - 1, -1, -1):
            tried = self._trials[level]
            if not tried:
                continue
            here = max(self._seen[level], tried)
            seen += here
            trials += tried
            variance += here * here / tried
            wrong += here * self._errors[level] / tried
            share = wrong / seen
            bound = wilson(share, seen * seen / variance)
            if bound <= self.max_error:
                best = Bound(level / LEVELS, trials, share, bound)
            elif trials > TRIALS_SEEN and share > BEYOND * self.max_error:
                break
        return best


def wilson(share: float, trials: float) -> float:
    """The upper end of the score interval (Wilson 1927) of a share seen in so many trials, one-sided 95 %."""
    spread = Z * sqrt(share * (1 - share) / trials + Z * Z / (4 * trials * trials))
    return (share + Z * Z / (2 * trials) + spread) / (1 + Z * Z / trials)


def _level(score: float) -> int:
    return min(LEVELS - 1, max(0, int(score * LEVELS)))
