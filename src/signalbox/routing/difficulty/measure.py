"""What a ranking of calls is worth: the curves and figures that routers are compared by. Needs the extra `plan`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def recovered(score: Floats, weak: Floats, strong: Floats) -> Floats:
    """Share of the gap between weak and strong that is recovered (PGR) when 0, 1, … n calls go to the strong one, the
    highest scores first; among equal scores in any order, so on average."""
    gain = strong - weak
    total = float(gain.sum())
    order = np.argsort(-score, kind="stable")
    ordered, gained = score[order], gain[order]
    # Within a run of equal scores everybody gets the run's mean.
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[starts, len(score)])
    even = np.repeat(np.add.reduceat(gained, starts) / sizes, sizes)
    return np.r_[0.0, np.cumsum(even)] / (total if total else np.nan)


def apgr(score: Floats, weak: Floats, strong: Floats) -> float:
    """Area under that curve over the share of strong calls, by the trapezoid over every cut. Random gives 0.5."""
    curve = recovered(score, weak, strong)
    return float(np.trapezoid(curve, dx=1.0 / (len(curve) - 1)))


def cpt(score: Floats, weak: Floats, strong: Floats, share: float) -> float:
    """The smallest share of strong calls that recovers `share` of the gap, in percent."""
    curve = recovered(score, weak, strong)
    reached = np.flatnonzero(curve >= share)
    return 100.0 * float(reached[0]) / (len(curve) - 1) if len(reached) else 100.0


def strong_share_at(score: Floats, weak: Floats, strong: Floats, quality: float) -> float:
    """The smallest share of strong calls at which the mean outcome is `quality` of the strong one's."""
    curve = recovered(score, weak, strong)
    reached = np.flatnonzero(weak.mean() + curve * (strong.mean() - weak.mean()) >= quality * strong.mean())
    return float(reached[0]) / (len(curve) - 1) if len(reached) else 1.0
