"""What strategy `tiered` remembers between calls of one process: recent scores, and the tier of each conversation."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from math import log

from signalbox.core.tiering import RANKS, Head
from signalbox.routing.difficulty.scorer import rank_of

# So many scores of one tenant's calls say where a share of them lies to within five points, nine times in ten.
ROWS_MIN = 300
KEPT = 1000
# Quantiles are taken anew after so many.
REFRESH = 50
TALKS_MAX = 20_000
RECENTS_MAX = 4096
# Population stability index above which two distributions are no longer the same, by the usual rule of thumb.
DRIFT = 0.25
_PARTS = 10
# A threshold moves by so much for each call that the stronger tiers had too few or too many, and by so much at most:
# a share that is missed by a few points because rows are few is made up for within some hundred calls.
CORRECTION, CORRECTION_MAX = 0.01, 0.25


class Recent:
    """The latest scores of one workload's calls for one tenant. drifted: they are not spread like those that the head's
    bound was proven on."""

    __slots__ = ("_new", "_owed", "_ranks", "_scores", "_sorted", "drifted")

    def __init__(self, head: Head) -> None:
        self._ranks = head.ranks
        self._scores: deque[float] = deque(maxlen=KEPT)
        self._sorted: list[float] = []
        self._new = 0
        # Calls that each stronger tier is still owed; below zero, that it had too many of.
        self._owed: list[float] = []
        self.drifted = False

    def take(self, score: float) -> None:
        self._scores.append(score)
        self._new += 1
        if len(self._scores) >= ROWS_MIN and self._new >= REFRESH:
            self._new = 0
            self._sorted = sorted(self._scores)
            self.drifted = self._index() > DRIFT

    def rank(self, score: float) -> float:
        """The share of recent calls with lower scores, of the head's own rows until there are enough; takes it in."""
        recent = self._sorted
        if not recent:
            found = rank_of(score, self._ranks)
        else:
            found = (bisect_left(recent, score) + bisect_right(recent, score)) / (2 * len(recent))
        self.take(score)
        return found

    def thresholds(self, shares: Sequence[float]) -> list[float]:
        """Ranks above which each stronger tier is taken, so that it gets its share of the calls in the long run too."""
        if len(self._owed) != len(shares):
            return [1.0 - share for share in shares]
        return [1.0 - share - CORRECTION * owed for share, owed in zip(shares, self._owed, strict=True)]

    def book(self, shares: Sequence[float], place: int) -> None:
        """The tier that a call was given in the end, whatever the reason."""
        if len(self._owed) != len(shares):
            self._owed = [0.0] * len(shares)
        most = CORRECTION_MAX / CORRECTION
        for step, share in enumerate(shares):
            self._owed[step] = max(-most, min(most, self._owed[step] + share - (place > step)))

    def _index(self) -> float:
        """Population stability index of the recent scores against the head's, over tenths of the latter."""
        scores, total = self._sorted, len(self._sorted)
        step = (RANKS - 1) // _PARTS
        edges = sorted(set(self._ranks[step:-1:step]))
        index, before, expected_before = 0.0, 0, 0.0
        for edge in (*edges, None):
            upto = total if edge is None else bisect_right(scores, edge)
            expected_upto = 1.0 if edge is None else rank_of(edge, self._ranks)
            seen = max((upto - before) / total, 0.5 / total)
            expected = max(expected_upto - expected_before, 0.5 / total)
            index += (seen - expected) * log(seen / expected)
            before, expected_before = upto, expected_upto
        return index


class Standing:
    """All of it, bounded; the oldest is forgotten first."""

    __slots__ = ("_recents", "_talks")

    def __init__(self) -> None:
        self._recents: dict[tuple[str, str], tuple[Head, Recent]] = {}
        self._talks: dict[int, str] = {}

    def recent(self, workload: str, tenant: str, head: Head) -> Recent:
        """Begun anew when the workload has another head."""
        key = (workload, tenant)
        known = self._recents.get(key)
        if known is not None and known[0] is head:
            return known[1]
        if known is not None and known[0] == head:
            made = known[1]
        else:
            made = Recent(head)
        self._recents.pop(key, None)
        if len(self._recents) >= RECENTS_MAX:
            del self._recents[next(iter(self._recents))]
        self._recents[key] = (head, made)
        return made

    def tier_of(self, talk: int) -> str:
        return self._talks.get(talk, "")

    def keep_tier(self, talk: int, tier: str) -> None:
        self._talks.pop(talk, None)
        if len(self._talks) >= TALKS_MAX:
            del self._talks[next(iter(self._talks))]
        self._talks[talk] = tier
