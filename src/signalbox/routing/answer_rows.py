"""Judged answers as JSON lines, and the scorer of answers that is learnt from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from signalbox.core.choosing import SCORER_KIND, Scorer
from signalbox.core.tiering import Judged
from signalbox.routing.answer_fit import fit
from signalbox.routing.answers import Answered, Asked, Head, features

LINE_BYTES_MAX = 4 * 1024 * 1024
ROWS_MAX = 1_000_000


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


def learn(rows: Sequence[Row]) -> Scorer:
    """Learns `worth` from one half of the rows and leaves the other one to prove thresholds on; the same question is
    never in both. Raises ValueError where there is nothing to learn."""
    halves: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        halves[blake2b(row.prompt.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] & 1].append(row)
    learnt, kept = halves
    head = fit([row.features() for row in learnt], worth(learnt))
    trusts = [head.trust(row.features()) for row in kept]
    judged = tuple(
        Judged(1.0 - trust, int(row.strong_good and not row.good)) for trust, row in zip(trusts, kept, strict=True)
    )
    made = {"rows_fitted": float(len(learnt)), "rows_judged": float(len(kept)), "auc": _auc(trusts, kept)}
    return _scorer(head, judged, made)


def worth(rows: Sequence[Row]) -> list[float]:
    """What the scorer learns of each answer: whether it was good. Where some of the strong model's were not, whether
    the weak one's was as good as that: 1 for better, 0.5 for equal, 0 for worse, since only what the strong one would
    gain is worth asking it for."""
    if all(row.strong_good for row in rows):
        return [float(row.good) for row in rows]
    return [(1 + row.good - row.strong_good) / 2 for row in rows]


def _scorer(head: Head, judged: tuple[Judged, ...], made: dict[str, float]) -> Scorer:
    return Scorer(SCORER_KIND, head.names, head.mean, head.scale, head.weights, head.bias, judged, made)


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
