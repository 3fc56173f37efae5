"""Thresholds that are never set by hand: from a budget by ranks, from a bound on lost answers by exact statistics."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, lgamma, log, log1p

from signalbox.core.tiering import Judged

# Fewer labelled rows prove nothing worth having.
ROWS_MIN = 100
# Thresholds are tried at so many places, from the safest on.
STEPS = 100


def is_below(lost: int, rows: int, share: float, delta: float) -> bool:
    """Whether the true share is at most `share` with probability 1 - delta when `lost` of `rows` were seen: whether the
    one-sided bound of Clopper and Pearson (Biometrika 26, 1934) is."""
    return _at_most(lost, rows, share) <= delta


def _at_most(lost: int, rows: int, share: float) -> float:
    """The probability of at most `lost` among `rows`."""
    yes, no = log(share), log1p(-share)
    of_rows = lgamma(rows + 1)
    return sum(exp(of_rows - lgamma(k + 1) - lgamma(rows - k + 1) + k * yes + (rows - k) * no) for k in range(lost + 1))


def safe_score(judged: Sequence[Judged], tier: int, loss_share_max: float, delta: float) -> float | None:
    """The highest score up to which calls may stay at a tier, so that with probability 1 - delta at most
    `loss_share_max` of all calls are answered worse than by the strongest tier; None when nothing can be promised.

    Thresholds are tested in a fixed sequence, from the one that keeps least on, and the first that fails ends it, so
    that testing many costs no confidence (Angelopoulos and others, Learn then Test, 2021). Where they lie depends on
    scores alone, never on labels."""
    rows = len(judged)
    if rows < ROWS_MIN:
        return None
    ordered = sorted(judged, key=lambda one: one.score)
    bit = 1 << tier
    lost = kept = 0
    found: float | None = None
    for step in range(1, STEPS + 1):
        upto = ceil(rows * step / STEPS)
        # Equal scores are kept or sent on together.
        while upto < rows and ordered[upto].score == ordered[upto - 1].score:
            upto += 1
        if upto <= kept:
            continue
        lost += sum(1 for one in ordered[kept:upto] if one.lost & bit)
        kept = upto
        if not is_below(lost, rows, loss_share_max, delta):
            break
        found = ordered[upto - 1].score
    return found
