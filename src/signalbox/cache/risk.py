"""A bound on how often the semantic cache is wrong, kept while it runs: which scores may be trusted, or none.

Every question that could have been answered and was asked all the same is a trial: was the answer that would have been
given the right one? Questions below the threshold are always asked. Of those above it a share is, by lot, and each of
these stands for the others. The threshold is the lowest score from which on, at 95 % confidence, the share of wrong
answers among those given stays within the limit. While no score can be trusted, nothing is given. Old trials fade, so
that a workload that changes is noticed.

Whoever looks at a bound after every trial and acts on the first lucky moment is wrong far more often than 5 times in a
hundred. So thresholds are opened at looks only, which come ever more rarely as trials grow, and each may be wrong with
a small probability. What all of them together may do, however long it goes on, is less than the sum of these, since one
look has most of its trials in common with the one before. For errors that come at the limit that is computed exactly,
look after look, and comes to a little less than 5 % (group sequential testing: Jennison and Turnbull, Group Sequential
Methods, 2000; tests/cache/test_cache_bounds.py does the computation). Within a look thresholds are tested in a fixed
sequence, from the highest with trials enough to fail honestly, and the first that fails ends it (Angelopoulos and
others, Learn then Test, 2021). What is open is watched after every trial and closed as soon as it looks bad: closing
too early costs hits, and no promise.

There are two kinds of candidates: the question in other words, and the question with something changed, which may be
the point of it. Changed ones have to earn a threshold by themselves. Where they have, both kinds are given from the
same score on, as soon as the two together keep within the limit; until then rewordings have a threshold of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, lgamma, log, sqrt

import msgspec

from signalbox.cache.verify import CHANGED, REWORDED

LEVELS = 50
# The one-sided 95 % by which an open threshold is watched and shown.
Z = 1.6449
# The look number k may be wrong with a probability of NOMINAL * SPREAD / ((SPREAD + k) * (SPREAD + k + 1)), or a part
# of that. Their sum is NOMINAL; what all of them together may get wrong is a little less than 0.05.
NOMINAL = 0.16
SPREAD = 6
# Looks come when trials have grown by this factor.
GROWTH = 1.25
# The sequence begins where, without any error, the bound would be this share of the limit.
ROOM = 0.3
# What both kinds together may use of the 5 %; rewordings by themselves use the rest. That changed ones pass by
# themselves is asked on top of it.
OF_BOTH, OF_REWORDED = 0.7, 0.3
# After so many questions all counts are halved.
FADE_AFTER = 20_000
SERIES_MAX = 100_000
# Faded trials are worth no more than this, and looks come as often.
TRIALS_BETWEEN_MAX = 5_000


class Bound(msgspec.Struct, frozen=True):
    """What is known of answers above the threshold: the share of wrong ones as seen in so many trials, and at most with
    95 % confidence at this moment. threshold, error and bound: None while nothing is given."""

    threshold: float | None
    trials: float
    error: float | None
    bound: float | None


NOTHING = Bound(None, 0.0, None, None)


class Risk:
    """What is known for one workload, and from which score on each kind of candidate is given."""

    __slots__ = ("_both", "_changed", "_counts", "_reworded", "_since", "max_error", "states")

    def __init__(self, max_error: float) -> None:
        self.max_error = max_error
        changed, reworded = Counts(), Counts()
        self._counts = {CHANGED: changed, REWORDED: reworded}
        self._changed = Proof((changed,), max_error, 1.0)
        self._both = Proof((changed, reworded), max_error, OF_BOTH)
        self._reworded = Proof((reworded,), max_error, OF_REWORDED)
        self._since = 0
        self.states = {CHANGED: NOTHING, REWORDED: NOTHING}

    def see(self, relation: str, score: float) -> None:
        """A question that could be answered, whether or not it is tried."""
        self._counts[relation].seen[_level(score)] += 1
        self._since += 1
        if self._since >= FADE_AFTER:
            self._since = FADE_AFTER // 2
            for counts in self._counts.values():
                counts.fade()

    def observe(self, relation: str, score: float, *, right: bool) -> None:
        """One trial of a question that was seen."""
        counts, level = self._counts[relation], _level(score)
        counts.trials[level] += 1
        if not right:
            counts.errors[level] += 1
        for proof in (self._changed, self._both, self._reworded):
            if counts in proof.over:
                proof.count()
        self._settle()

    def trusts(self, relation: str, score: float) -> bool:
        threshold = self.states[relation].threshold
        return threshold is not None and _level(score) / LEVELS >= threshold

    def _settle(self) -> None:
        """The lowest level that was shown to be good enough and still looks so, for both kinds or for rewordings."""
        alone, both = self._changed.holding(), self._both.holding()
        shared = min(alone.keys() & both.keys(), default=None)
        if shared is not None:
            state = both[shared]
            self.states = {CHANGED: state, REWORDED: state}
            return
        own = self._reworded.holding()
        self.states = {CHANGED: NOTHING, REWORDED: own[min(own)] if own else NOTHING}


class Counts:
    """Trials of one kind by score, in LEVELS steps from 0 to 1. Within a step trials are a sample of all the questions
    that were seen there, so each step counts with its questions, however many of them were tried."""

    __slots__ = ("errors", "seen", "trials")

    def __init__(self) -> None:
        self.seen = [0.0] * LEVELS
        self.trials = [0.0] * LEVELS
        self.errors = [0.0] * LEVELS

    def fade(self) -> None:
        for counts in (self.seen, self.trials, self.errors):
            counts[:] = [count / 2 for count in counts]


class Proof:
    """From which levels on the limit was shown to hold, over one or several kinds. part: of what all looks together may
    get wrong."""

    __slots__ = ("_looks", "_max_error", "_next", "_part", "_proven", "_tried", "over")

    def __init__(self, over: Sequence[Counts], max_error: float, part: float) -> None:
        self.over = over
        self._max_error = max_error
        self._part = part
        self._looks = 0
        self._tried = 0
        # Before that many trials nothing could be opened.
        self._next = trials_to_begin(spent(0, part), max_error)
        # The lowest and the highest level from which on the limit was shown to hold.
        self._proven: tuple[int, int] | None = None

    def count(self) -> None:
        """One more trial."""
        self._tried += 1
        if self._tried >= self._next:
            self._look()

    def holding(self) -> dict[int, Bound]:
        """Of the levels that were shown to hold it, those that still look as if they did."""
        if self._proven is None:
            return {}
        lowest, highest = self._proven
        found: dict[int, Bound] = {}
        for level, known in self._levels():
            if level < lowest:
                break
            bound = wilson(known.share, known.trials)
            if level <= highest and bound <= self._max_error:
                found[level] = Bound(level / LEVELS, known.trials, known.share, bound)
        if not found:
            # It no longer is what it was: all of it is to be shown again.
            self._proven = None
        return found

    def _look(self) -> None:
        """Which levels can be shown to hold the limit, by what this look may get wrong."""
        delta = spent(self._looks, self._part)
        self._looks += 1
        self._next = self._tried + min(TRIALS_BETWEEN_MAX, max(1.0, self._tried * (GROWTH - 1)))
        enough = trials_to_begin(delta, self._max_error)
        highest = lowest = -1
        for level, known in self._levels():
            if known.trials < enough:
                continue
            if known.chance(self._max_error) > delta:
                break
            highest, lowest = max(highest, level), level
        if lowest < 0:
            return
        before = self._proven or (lowest, highest)
        self._proven = min(lowest, before[0]), max(highest, before[1])

    def _levels(self) -> Iterator[tuple[int, Known]]:
        """What is known from each level on up, the highest first."""
        seen = weights = wrong = spread = 0.0
        for level in range(LEVELS - 1, -1, -1):
            any_tried = False
            for counts in self.over:
                tried = counts.trials[level]
                if not tried:
                    continue
                any_tried = True
                here = max(counts.seen[level], tried)
                weight = here / tried
                seen += here
                weights += weight * here
                wrong += weight * counts.errors[level]
                spread += weight * weight * counts.errors[level]
            if any_tried:
                yield level, Known(seen, weights / seen, wrong, spread)


class Known(msgspec.Struct, frozen=True, gc=False):
    """Trials of several levels, each of which stands for as many questions as were seen for each trial. seen: the
    questions. weight: how many of them a trial stands for on average. wrong: wrong ones among them, as far as trials
    tell; spread: the variance of that."""

    seen: float
    weight: float
    wrong: float
    spread: float

    @property
    def share(self) -> float:
        return self.wrong / self.seen

    @property
    def trials(self) -> float:
        """How many of equal worth would tell as much."""
        return self.seen / self.weight

    def chance(self, share: float) -> float:
        """The probability of so few wrong ones if their share were this, by the gamma approximation to a weighted sum
        of counts (Fay and Feuer, Statistics in Medicine 16, 1997, with the average weight for the next error: Tiwari
        and others, 2006); exact for equal weights."""
        wrong, spread = self.wrong + self.weight, self.spread + self.weight * self.weight
        return at_most(wrong * wrong / spread - 1, share * self.seen * wrong / spread)


def trials_to_begin(delta: float, max_error: float) -> float:
    """So many trials would show a limit of ROOM times as much, if none of them were wrong."""
    return -log(delta) / (ROOM * max_error)


def at_most(wrong: float, expected: float) -> float:
    """The probability of so few wrong answers, or fewer, where so many are expected: Poisson's, which for few is above
    the binomial's, and for parts of an answer the regularised upper incomplete gamma function."""
    shape = wrong + 1
    if expected <= 0:
        return 1.0
    # Its complement as a power series, all of whose terms are positive.
    term = exp(shape * log(expected) - expected - lgamma(shape + 1))
    total, number = term, shape
    while term > 1e-12 * total and number < shape + SERIES_MAX:
        number += 1
        term *= expected / number
        total += term
    return max(0.0, 1.0 - total)


def wilson(share: float, trials: float, z: float = Z) -> float:
    """The upper end of the score interval (Wilson 1927) of a share seen in so many trials, one-sided."""
    spread = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return (share + z * z / (2 * trials) + spread) / (1 + z * z / trials)


def spent(look: int, part: float = 1.0) -> float:
    """What one look may get wrong."""
    return part * NOMINAL * SPREAD / ((SPREAD + look) * (SPREAD + look + 1))


def _level(score: float) -> int:
    return min(LEVELS - 1, max(0, int(score * LEVELS)))
