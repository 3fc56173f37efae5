"""How far a head may rely on neighbours by meaning, chosen on rows that neither of both knows. Needs the extra `plan`.

The nearest labelled rows are what a head must not be worse than, so they are where it starts from: its linear score
gets the share at which the lower end of the interval of what it adds to them is highest, and none where that is not
above zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse as _scipy_sparse
from scipy.sparse import csgraph as _scipy_csgraph

from signalbox.core.tiering import Near
from signalbox.routing.difficulty.measure import Floats, apgr

# As is usual for routers by neighbours; with few rows it is a fifth of them.
NEAREST = 40
# Rows above this likeness ask the same: neither is to tell about the other.
DUPLICATE = 0.95
# Rows that a head carries with it; more are thinned out evenly.
ROWS_MAX = 8000
ROWS_MIN = 100
# Of the linear score.
SHARES = tuple(step / 10 for step in range(11))
BOOTSTRAPS = 200
LOWER_END = 0.025
_BLOCK = 1000

# Their stubs leave most of it unknown.
sparse, csgraph = cast(Any, _scipy_sparse), cast(Any, _scipy_csgraph)


class Meanings:
    """Vectors of rows to fit on, and who is who's near duplicate. kept: positions of those that a head carries."""

    def __init__(self, vectors: Sequence[Any]) -> None:
        self.kept = np.arange(0, len(vectors), -(-len(vectors) // ROWS_MAX))
        # As exact as a head keeps them.
        self.vectors = np.array(vectors).astype("<f2")
        self._full = self.vectors.astype(np.float32)
        self.groups = self._groups()
        self.nearest = max(1, min(NEAREST, len(self.kept) // 5))

    def _groups(self) -> NDArray[np.int64]:
        pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for start in range(0, len(self._full), _BLOCK):
            rows, columns = np.nonzero(self._full[start : start + _BLOCK] @ self._full.T > DUPLICATE)
            pairs.append((rows + start, columns))
        rows, columns = np.concatenate([one for one, _ in pairs]), np.concatenate([one for _, one in pairs])
        size = len(self._full)
        near = sparse.coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(size, size))
        return csgraph.connected_components(near, directed=False)[1]

    def folds(self, count: int, seed: int) -> NDArray[np.int64]:
        """Rows to parts, near duplicates to the same one."""
        drawn = np.random.default_rng(seed).integers(0, count, int(self.groups.max()) + 1)
        return drawn[self.groups]

    def carried(self, gain: Floats, encoder: str, share: float, linear: tuple[float, float], near: Floats) -> Near:
        """As a head carries them. linear: mean and spread of the linear score. near: what `left_out` found."""
        return Near(
            encoder=encoder,
            dimensions=self.vectors.shape[1],
            vectors=self.vectors[self.kept].tobytes(),
            gains=gain[self.kept].astype("<f4").tobytes(),
            nearest=self.nearest,
            share=share,
            linear=linear,
            near=_spread(near),
        )

    def left_out(self, gain: Floats) -> Floats:
        """The mean gain of the rows nearest to each, without itself and its near duplicates."""
        told = np.zeros(len(gain))
        for start in range(0, len(gain), _BLOCK):
            near = self._full[start : start + _BLOCK] @ self._full[self.kept].T
            near[self.groups[start : start + _BLOCK, None] == self.groups[None, self.kept]] = -1.0
            rows = np.argpartition(-near, self.nearest - 1, axis=1)[:, : self.nearest]
            told[start : start + _BLOCK] = gain[self.kept][rows].mean(axis=1)
            told[start : start + _BLOCK] += 1e-6 * np.take_along_axis(near, rows, axis=1).mean(axis=1)
        return told


def choose(
    meanings: Meanings, linear: Sequence[Floats], weak: Floats, gain: Floats, encoder: str
) -> tuple[Near | None, Floats, dict[str, float]]:
    """linear: scores of heads that do not know the rows, one for each way to divide them. The neighbours as a head
    carries them, None where they are worth nothing; the score of both on the rows; what was measured."""
    near = meanings.left_out(gain)
    ends = np.mean([_lower_ends(one, near, weak, gain) for one in linear], axis=0)
    at = int(np.argmax(ends))
    share = SHARES[at]
    first = linear[0]
    both = (1 - share) * _standard(near) + share * _standard(first)
    made = {"apgr_near": apgr(near, weak, weak + gain), "apgr_with_near": apgr(both, weak, weak + gain)}
    made |= {"near_share": 1 - share, "near_lower_end": float(ends[at])}
    if share == 1.0:
        return None, first, made
    return meanings.carried(gain, encoder, 1 - share, _spread(first), near), both, made


def _lower_ends(linear: Floats, near: Floats, weak: Floats, gain: Floats) -> Floats:
    """For each of SHARES the lower end of what it adds to the neighbours alone; 0 for none of it."""
    chance = np.random.default_rng(7)
    strong = weak + gain
    mixed = [(1 - share) * _standard(near) + share * _standard(linear) for share in SHARES]
    added: list[list[float]] = []
    for _ in range(BOOTSTRAPS):
        drawn = chance.integers(0, len(gain), len(gain))
        worth = [apgr(one[drawn], weak[drawn], strong[drawn]) for one in mixed]
        added.append([one - worth[0] for one in worth])
    return np.nan_to_num(np.quantile(np.array(added), LOWER_END, axis=0), nan=-1.0)


def _spread(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) or 1.0


def _standard(values: Floats) -> Floats:
    mean, spread = _spread(values)
    return (values - mean) / spread
