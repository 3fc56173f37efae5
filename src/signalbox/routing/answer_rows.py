"""Judged answers as JSON lines, and the scorer of answers that is learnt from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from signalbox.core.choosing import SCORER_KIND, Scorer
from signalbox.core.tiering import Judged, Near
from signalbox.embedding.encoder import Encoder
from signalbox.routing.answer_fit import RIDGE, fit
from signalbox.routing.answers import Answered, Asked, Head, features
from signalbox.routing.difficulty import fit_near
from signalbox.routing.difficulty.measure import Floats, apgr
from signalbox.routing.difficulty.neighbours import Neighbours
from signalbox.routing.difficulty.normalise import normalise

LINE_BYTES_MAX = 4 * 1024 * 1024
ROWS_MAX = 1_000_000
RIDGE_MORE = 100.0
# How answers are divided, and how often, to see which way of learning ranks those best that are left out.
FOLDS, WAYS = 5, 3
# Of more rows so many are looked at for that, spread over all.
RANKED_ROWS_MAX = 5000


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of the weak model. good: whether it was. strong_good: whether the strong model's was, to the same. The
    rest as in `answers.Asked` and `answers.Answered`; calls: pairs of a tool's name and JSON arguments."""

    prompt: str
    answer: str
    good: bool
    strong_good: bool = True
    finish: str = "stop"
    refused: bool = False
    json: bool = False
    schema: dict[str, Any] | None = None
    tools: dict[str, Any] = {}
    calls: list[tuple[str, str]] = []
    logprobs: list[float] = []
    others: list[str] = []
    difficulty: float = 0.0

    def features(self) -> tuple[float, ...]:
        wanted = Asked(self.prompt, self.difficulty, self.json, self.schema, self.tools)
        told = Answered(
            self.answer, self.finish, self.refused, tuple(self.calls), tuple(self.logprobs), tuple(self.others)
        )
        return features(wanted, told)


def read(lines: Iterable[bytes]) -> list[Row]:
    """Raises ValueError naming the first line that is wrong."""
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(line) > LINE_BYTES_MAX or len(rows) >= ROWS_MAX:
            raise ValueError(f"line {number}: there is more than this reads")
        try:
            rows.append(msgspec.json.decode(line, type=Row))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"line {number}: {error}") from None
    return rows


def learn(rows: Sequence[Row], encoder: Encoder | None = None) -> Scorer:
    """Learns `worth` from one half of the rows and leaves the other one to prove thresholds on; the same question is
    never in both. encoder: questions are compared by meaning as well, and how hard they look is learnt from that.
    Raises ValueError where there is nothing to learn."""
    halves: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        halves[blake2b(row.prompt.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] & 1].append(row)
    learnt, kept = halves
    near: Near | None = None
    if encoder is not None:
        near, learnt, kept = compared(learnt, kept, encoder)
    head = taught(learnt)
    trusts = [head.trust(row.features()) for row in kept]
    judged = tuple(
        Judged(1.0 - trust, int(row.strong_good and not row.good)) for trust, row in zip(trusts, kept, strict=True)
    )
    made = {"rows_fitted": float(len(learnt)), "rows_judged": float(len(kept)), "auc": _auc(trusts, kept)}
    return _scorer(head, judged, made, near)


def taught(rows: Sequence[Row]) -> Head:
    """A head of what the strong model would gain or of how good answers are, and held back little or more: whichever
    ranks answers best that were left out. Raises ValueError where there is nothing to learn."""
    seen, good = np.array([row.features() for row in rows]), np.array([float(row.good) for row in rows])
    strong = np.array([float(row.strong_good) for row in rows])
    ways = [(np.array(worth(rows)), RIDGE), (np.array(worth(rows)), RIDGE_MORE), (good, RIDGE), (good, RIDGE_MORE)]
    if strong.sum() <= good.sum() or strong.all():
        # Both are the same, or there is no gain to rank by.
        return fit(seen.tolist(), ways[0][0].tolist())
    some = slice(None, None, -(-len(rows) // RANKED_ROWS_MAX))
    ranked = [_ranked(seen[some], target[some], ridge, good[some], strong[some]) for target, ridge in ways]
    target, ridge = ways[int(np.argmax(ranked))]
    return fit(seen.tolist(), target.tolist(), ridge)


def _ranked(seen: Floats, target: Floats, ridge: float, good: Floats, strong: Floats) -> float:
    """What a ranking by the doubt of heads is worth that do not know the answers."""
    found: list[float] = []
    for seed in range(WAYS):
        part = np.random.default_rng(seed).permutation(len(seen)) % FOLDS
        doubt = np.zeros(len(seen))
        for number in range(FOLDS):
            inside, outside = part != number, np.flatnonzero(part == number)
            try:
                head = fit(seen[inside].tolist(), target[inside].tolist(), ridge)
            except ValueError:
                return 0.0
            doubt[outside] = [-head.trust(seen[at].tolist()) for at in outside]
        found.append(apgr(doubt, good, strong))
    return float(np.mean(found))


def compared(learnt: Sequence[Row], kept: Sequence[Row], encoder: Encoder) -> tuple[Near, list[Row], list[Row]]:
    """The learnt questions as a scorer keeps them; and both kinds of rows with what the strong model gained at learnt
    questions that mean nearly the same for their difficulty, where no row is among its own neighbours. Raises
    ValueError where there are too few."""
    if len(learnt) < fit_near.ROWS_MIN:
        raise ValueError(f"neighbours by meaning need {fit_near.ROWS_MIN} questions to learn; there are {len(learnt)}")
    meanings = fit_near.Meanings([encoder.encode(normalise(row.prompt)[0]) for row in learnt])
    gain = np.array([float(row.strong_good) - float(row.good) for row in learnt])
    hard = meanings.left_out(gain)
    near = meanings.carried(gain, encoder.id, 1.0, (0.0, 1.0), hard)
    beside = Neighbours(near)
    told = [beside.gain(encoder.encode(normalise(row.prompt)[0])) for row in kept]
    return near, _with_difficulty(learnt, hard), _with_difficulty(kept, told)


def _with_difficulty(rows: Sequence[Row], hard: Iterable[float]) -> list[Row]:
    pairs = zip(rows, hard, strict=True)
    return [msgspec.structs.replace(row, difficulty=float(one)) for row, one in pairs]


def worth(rows: Sequence[Row]) -> list[float]:
    """What the scorer learns of each answer: whether it was good. Where some of the strong model's were not, whether
    the weak one's was as good as that: 1 for better, 0.5 for equal, 0 for worse, since only what the strong one would
    gain is worth asking it for."""
    if all(row.strong_good for row in rows):
        return [float(row.good) for row in rows]
    return [(1 + row.good - row.strong_good) / 2 for row in rows]


def _scorer(head: Head, judged: tuple[Judged, ...], made: dict[str, float], near: Near | None) -> Scorer:
    return Scorer(SCORER_KIND, head.names, head.mean, head.scale, head.weights, head.bias, judged, made, near)


def _auc(trusts: Sequence[float], rows: Sequence[Row]) -> float:
    """The probability that a good answer is trusted more than a bad one; one half where there is only one kind."""
    ordered = sorted(zip(trusts, rows, strict=True), key=lambda pair: pair[0])
    good = sum(row.good for _, row in ordered)
    if good in (0, len(ordered)):
        return 0.5
    ranks = at = 0.0
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[int(end)][0] == ordered[int(at)][0]:
            end += 1
        ranks += sum(row.good for _, row in ordered[int(at) : int(end)]) * (at + end + 1) / 2
        at = end
    return (ranks - good * (good + 1) / 2) / (good * (len(ordered) - good))
