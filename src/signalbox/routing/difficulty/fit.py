"""Fits heads on labelled rows: ridge regression of the gain, and which of own and shared knowledge to trust. Needs the
extra `plan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse as _scipy_sparse

from signalbox.core.tiering import FEATURES_VERSION, RANKS, Head, Judged, Near
from signalbox.routing.difficulty import fit_near
from signalbox.routing.difficulty.features import Features
from signalbox.routing.difficulty.measure import Floats, apgr
from signalbox.routing.difficulty.rows import Labelled, evenly
from signalbox.routing.difficulty.scorer import Scorer

# Weights of the blocks of features in the kernel; a block's own features are scaled to length about one.
DENSE_SCALE, GRAM_SCALE, WORD_SCALE = 0.05, 0.5, 0.5
RIDGES = (3.0, 10.0, 30.0)
# The best of RIDGES is found by leaving out one of so many rows at most, spread over all.
EXACT_ROWS_MAX = 2500
# What only one row has says nothing about others.
ROWS_OF_A_FEATURE_MIN = 2
# Parts that rows are divided into, and how often that is done anew where it matters.
FOLDS, WAYS = 5, 3
GRADIENT_STEPS_MAX, GRADIENT_SHARE_MAX = 300, 1e-4
# A head of its own counts half as soon as it was fitted on so many rows.
SHRINK_ROWS = 200.0


# Its stubs leave most of it unknown.
sparse = cast(Any, _scipy_sparse)


class Hashed(msgspec.Struct, frozen=True):
    """A block of hashed features. keys: the hash of each column. rarity: what the column was multiplied by."""

    values: Any
    keys: NDArray[np.uint32]
    rarity: Floats

    def unscaled(self, primal: Floats) -> dict[int, float]:
        return dict(zip(self.keys.tolist(), (primal * self.rarity).tolist(), strict=True))


class Matrix(msgspec.Struct, frozen=True):
    """Features of rows as numbers. values: dense block standardised, then grams, then words, each scaled. mean, spread:
    of the dense features."""

    values: Any
    grams: Hashed
    words: Hashed
    mean: Floats
    spread: Floats


class Weights(msgspec.Struct, frozen=True):
    """A linear score over features as they come."""

    bias: float
    dense: Floats
    grams: dict[int, float]
    words: dict[int, float]

    def scorer(self, near: Near | None = None) -> Scorer:
        """To score with at once; ranks it cannot tell."""
        return Scorer(self.head((), 0, (0.0,) * RANKS, near=near))

    def head(self, tiers: tuple[str, ...], rows: int, ranks: Sequence[float], **more: Any) -> Head:
        gram_keys, gram_weights = _packed(self.grams)
        word_keys, word_weights = _packed(self.words)
        return Head(
            features=FEATURES_VERSION,
            tiers=tiers,
            rows=rows,
            bias=self.bias,
            dense=tuple(float(weight) for weight in self.dense),
            gram_keys=gram_keys,
            gram_weights=gram_weights,
            word_keys=word_keys,
            word_weights=word_weights,
            ranks=tuple(ranks),
            **more,
        )

    def pruned(self, most: int) -> Weights:
        """With so many hashed features at most, those of little weight left out."""
        sizes = sorted((abs(weight) for block in (self.grams, self.words) for weight in block.values()), reverse=True)
        if len(sizes) <= most:
            return self
        least = sizes[most]
        kept = [
            {key: weight for key, weight in block.items() if abs(weight) > least} for block in (self.grams, self.words)
        ]
        return Weights(self.bias, self.dense, kept[0], kept[1])


def fit_head(tiers: tuple[str, ...], rows: Sequence[Labelled], shared: Head | None = None, encoder: str = "") -> Head:
    """A head for these tiers. shared: what is known without the rows; it is used as far as it helps on rows that it
    was not fitted on. encoder: whose vectors the rows hold; neighbours by them are used as far as that holds for them.
    Raises ValueError when the rows cannot tell anything."""
    fit = [row for row in rows if not row.cal]
    cal = evenly(row for row in rows if row.cal)
    gain = np.array([row.outcomes[-1] - row.outcomes[0] for row in fit])
    if len(fit) < 2 * FOLDS or not gain.any():
        raise ValueError(f"{len(fit)} rows to fit on, of which {int(np.count_nonzero(gain))} tell the tiers apart")
    found = [row.features() for row in fit]
    weight = np.array([1 / row.propensity for row in fit])
    weight /= weight.mean()
    own_held_out = held_out(found, gain, weight)
    weak = np.array([row.outcomes[0] for row in fit])
    made = {"rows_fit": float(len(fit)), "rows_cal": float(len(cal)), "apgr_own": _apgr(own_held_out, weak, gain)}
    weights = solve(found, gain, weight)
    mixed = _unmixed
    if shared is not None:
        weights, mixed = _with_shared(weights, shared, found, weak, gain, own_held_out, made)
    best, near = mixed(own_held_out), None
    if encoder:
        near, best = _with_near(found, weak, gain, weight, mixed, encoder, made)
    scorer = weights.scorer(near)
    judged = tuple(_judged(scorer, row) for row in cal)
    # Ranks come from rows that the weights do not know: on their own rows scores lie further apart.
    scores = np.array([one.score for one in judged]) if len(judged) >= RANKS else best
    ranks = [float(score) for score in np.quantile(scores, np.linspace(0, 1, RANKS))]
    return weights.head(tiers, len(rows), ranks, judged=judged, made=made, near=near)


def _unmixed(own: Floats) -> Floats:
    return own


def _with_near(
    found: Sequence[Features],
    weak: Floats,
    gain: Floats,
    weight: Floats,
    mixed: Callable[[Floats], Floats],
    encoder: str,
    made: dict[str, float],
) -> tuple[Near | None, Floats]:
    """The neighbours by meaning, and the score of both on rows that it does not know."""
    if len(found) < fit_near.ROWS_MIN:
        raise ValueError(f"{len(found)} rows to fit on, of which neighbours by meaning need {fit_near.ROWS_MIN}")
    meanings = fit_near.Meanings([one.vector for one in found])
    # How rows are divided moves what a head is worth on them by as much as the neighbours do.
    ways = WAYS if len(found) <= EXACT_ROWS_MAX else 1
    linear = [mixed(held_out(found, gain, weight, meanings.folds(FOLDS, seed))) for seed in range(ways)]
    near, both, told = fit_near.choose(meanings, linear, weak, gain, encoder)
    made |= told
    return near, both


def _with_shared(
    own: Weights,
    shared: Head,
    found: Sequence[Features],
    weak: Floats,
    gain: Floats,
    own_held_out: Floats,
    made: dict[str, float],
) -> tuple[Weights, Callable[[Floats], Floats]]:
    """Own, shared or both together, whichever recovers most of the gap on rows it does not know; and what that makes of
    scores of own heads."""
    scorer = Scorer(shared)
    known = np.array([scorer.score(one) for one in found])
    trust = len(found) / (len(found) + SHRINK_ROWS)
    own_spread, known_spread = float(own_held_out.std()) or 1.0, float(known.std()) or 1.0

    def both(own: Floats) -> Floats:
        return trust * own / own_spread + (1 - trust) * known / known_spread

    made["apgr_shared"], made["apgr_both"] = _apgr(known, weak, gain), _apgr(both(own_held_out), weak, gain)
    best = max(("own", "both", "shared"), key=lambda name: made[f"apgr_{name}"])
    made["shared_weight"] = {"own": 0.0, "both": 1 - trust, "shared": 1.0}[best]
    if best == "own":
        return own, _unmixed
    other = weights_of(shared)
    if best == "shared":
        return other, lambda _: known
    return _sum(own, trust / own_spread, other, (1 - trust) / known_spread), both


def _apgr(score: Floats, weak: Floats, gain: Floats) -> float:
    return apgr(score, weak, weak + gain) if gain.sum() > 0 else 0.5


def _judged(scorer: Scorer, row: Labelled) -> Judged:
    best = row.outcomes[-1]
    lost = sum(1 << tier for tier, outcome in enumerate(row.outcomes[:-1]) if outcome < best)
    return Judged(scorer.score(row.features()), lost)


def held_out(
    found: Sequence[Features], gain: Floats, weight: Floats | None = None, fold: NDArray[np.int64] | None = None
) -> Floats:
    """The score of each row by a head that was fitted on the other folds. fold: of each row; texts that begin alike
    fall into one when it is left out."""
    weight = np.ones(len(gain)) if weight is None else weight
    score = np.zeros(len(gain))
    if fold is None:
        fold = np.array([crc32(one.text[:200].encode("utf-8", "replace")) % FOLDS for one in found])
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if not len(outside) or not len(inside):
            continue
        weights = solve([found[int(at)] for at in inside], gain[inside], weight[inside])
        scorer = weights.scorer()
        score[outside] = [scorer.score(found[int(at)]) for at in outside]
    return score


def solve(found: Sequence[Features], gain: Floats, weight: Floats) -> Weights:
    """Ridge regression of the gain, in the space of rows, since there are far fewer of them than of features."""
    matrix = _matrix(found)
    root = np.sqrt(weight)
    # The last column is the bias.
    values = sparse.diags_array(root) @ sparse.hstack([matrix.values, np.ones((len(root), 1))], format="csr")
    target = gain * root
    some = np.arange(0, len(gain), -(-len(gain) // EXACT_ROWS_MAX))
    ridge, duals = _leaving_one_out((values[some] @ values[some].T).toarray(), target[some])
    if len(some) < len(gain):
        duals = _conjugate_gradient(lambda vector: values @ (values.T @ vector) + ridge * vector, target)
    return _unscaled(matrix, cast(Floats, values.T @ duals))


def _conjugate_gradient(times: Callable[[Floats], Floats], target: Floats) -> Floats:
    """Solves `times(x) = target` for a symmetric positive definite matrix, far enough for ranks."""
    found, left = np.zeros_like(target), target.copy()
    step, size = left.copy(), float(left @ left)
    enough = GRADIENT_SHARE_MAX**2 * size
    for _ in range(GRADIENT_STEPS_MAX):
        if size <= enough:
            break
        turned = times(step)
        length = size / float(step @ turned)
        found += length * step
        left -= length * turned
        before, size = size, float(left @ left)
        step = left + (size / before) * step
    return found


def _leaving_one_out(kernel: Floats, target: Floats) -> tuple[float, Floats]:
    """The ridge whose error on rows left out one by one is least, and the duals under it; exact, from one
    decomposition."""
    values, vectors = np.linalg.eigh(kernel)
    turned = vectors.T @ target
    squares = vectors**2
    tried: list[tuple[float, float, Floats]] = []
    for ridge in RIDGES:
        inverse = 1.0 / (np.maximum(values, 0.0) + ridge)
        duals = vectors @ (inverse * turned)
        tried.append((float(np.mean((duals / (squares @ inverse)) ** 2)), ridge, duals))
    _, ridge, duals = min(tried, key=lambda one: one[0])
    return ridge, duals


def _matrix(found: Sequence[Features]) -> Matrix:
    dense = np.array([one.dense for one in found])
    mean, spread = dense.mean(axis=0), dense.std(axis=0)
    # What hardly varies here would weigh too much where it does.
    spread = np.where(spread < 1e-3, np.inf, spread) * np.sqrt(dense.shape[1])
    grams = _hashed([one.grams for one in found], np.array([one.gram_scale for one in found]))
    words = _hashed([one.words for one in found], np.array([one.word_scale for one in found]))
    blocks = [
        sparse.csr_array(np.sqrt(DENSE_SCALE) * (dense - mean) / spread),
        np.sqrt(GRAM_SCALE) * grams.values,
        np.sqrt(WORD_SCALE) * words.values,
    ]
    return Matrix(sparse.hstack(blocks, format="csr"), grams, words, mean, spread)


def _hashed(sets: list[set[int]], scales: Floats) -> Hashed:
    """One column for each hash that several rows have, the rarer the heavier (inverse document frequency), so that rows
    are of length one on average."""
    sizes = np.array([len(one) for one in sets])
    every = np.fromiter((key for one in sets for key in one), dtype=np.uint32, count=int(sizes.sum()))
    known, counts = np.unique(every, return_counts=True)
    often = counts >= ROWS_OF_A_FEATURE_MIN
    known, counts = known[often], counts[often]
    columns = np.searchsorted(known, every)
    columns[columns == len(known)] = 0
    inside = known[columns] == every if len(known) else np.zeros(len(every), dtype=bool)
    columns = columns[inside]
    rarity = np.log((1 + len(sets)) / (1 + counts))
    values = np.repeat(scales, sizes)[inside] * rarity[columns]
    length = np.sqrt(float((values**2).sum()) / len(sets)) or 1.0
    rows = np.repeat(np.arange(len(sets)), sizes)[inside]
    return Hashed(sparse.csr_array((values / length, (rows, columns)), (len(sets), len(known))), known, rarity / length)


def _unscaled(matrix: Matrix, primal: Floats) -> Weights:
    count = len(matrix.mean)
    middle = count + len(matrix.grams.keys)
    dense = np.sqrt(DENSE_SCALE) * primal[:count] / matrix.spread
    return Weights(
        float(primal[-1] - dense @ matrix.mean),
        dense,
        matrix.grams.unscaled(np.sqrt(GRAM_SCALE) * primal[count:middle]),
        matrix.words.unscaled(np.sqrt(WORD_SCALE) * primal[middle:-1]),
    )


def weights_of(head: Head) -> Weights:
    def block(keys: bytes, weights: bytes) -> dict[int, float]:
        numbers = np.frombuffer(keys, dtype="<u4").tolist()
        return dict(zip(numbers, np.frombuffer(weights, dtype="<f4").tolist(), strict=True))

    grams, words = block(head.gram_keys, head.gram_weights), block(head.word_keys, head.word_weights)
    return Weights(head.bias, np.array(head.dense), grams, words)


def _sum(one: Weights, of_one: float, other: Weights, of_other: float) -> Weights:
    def block(first: dict[int, float], second: dict[int, float]) -> dict[int, float]:
        keys = first.keys() | second.keys()
        return {key: of_one * first.get(key, 0.0) + of_other * second.get(key, 0.0) for key in keys}

    return Weights(
        of_one * one.bias + of_other * other.bias,
        of_one * one.dense + of_other * other.dense,
        block(one.grams, other.grams),
        block(one.words, other.words),
    )


def _packed(block: dict[int, float]) -> tuple[bytes, bytes]:
    numbers = np.fromiter(sorted(block), dtype="<u4", count=len(block))
    weights = np.fromiter((block[int(key)] for key in numbers), dtype="<f4", count=len(block))
    return numbers.tobytes(), weights.tobytes()
