"""How a workload chooses among permitted deployments, beyond the name of its strategy, as compiled."""

from __future__ import annotations

import hashlib

import msgspec

from signalbox.core.tiering import Judged, Near

SCORER_KIND = "signalbox answers 1"
SCORER_BYTES_MAX = 16 * 1024 * 1024


class Scorer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far answers are to be trusted, as fitted: a logistic head over features of answers. features: their names.
    judged: rows that no weight was fitted on, each with its doubt (one less trust) and whether the weak answer was
    lost: bad where the strong one was good. made: what the fit measured, for people. near: judged questions; what the
    strong model gained at those that mean nearly the same takes the place of how hard a question looks."""

    kind: str
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    judged: tuple[Judged, ...] = ()
    made: dict[str, float] = {}
    near: Near | None = None

    @property
    def id(self) -> str:
        """What names it: the beginning of its digest."""
        return hashlib.sha256(write_scorer(self)).hexdigest()[:8]


def write_scorer(scorer: Scorer) -> bytes:
    return msgspec.json.format(msgspec.json.encode(scorer), indent=0)


def read_scorer(content: bytes) -> Scorer:
    """Raises ValueError saying what is wrong with it."""
    try:
        scorer = msgspec.json.decode(content, type=Scorer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no scorer of answers: {error}") from None
    if scorer.kind != SCORER_KIND:
        raise ValueError("it is no scorer of answers that this version wrote")
    if len({len(scorer.features), len(scorer.mean), len(scorer.scale), len(scorer.weights)}) != 1:
        raise ValueError("it is damaged: numbers are missing")
    if scorer.near is not None and not scorer.near.whole:
        raise ValueError("it is damaged: its questions by meaning do not fit together")
    return scorer


class Choosing(msgspec.Struct, frozen=True):
    """weights: (deployment index, share) for strategy weighted; whoever is not named is a fallback only. sticky: a
    conversation stays where it began. quality: by deployment index, 0 to 1, None where nobody stated it."""

    weights: tuple[tuple[int, float], ...] = ()
    sticky: bool = False
    quality: tuple[float | None, ...] = ()

    def quality_of(self, index: int) -> float | None:
        return self.quality[index] if index < len(self.quality) else None


class Cascade(msgspec.Struct, frozen=True):
    """weak, strong: deployment indices. threshold: trust in a weak answer, 0 to 1, below which the strong one is asked;
    None for the one that the scorer's rows prove: with probability `confidence` at most `loss_share_max` of calls get a
    worse answer than the strong one's. holds_streams: a streamed weak answer is held until it is judged; else streams
    go to the strong one at once. easy_share, hard_share: of questions, by how hard they look, that are not judged: the
    easiest are the weak one's, the hardest the strong one's. agrees_with: indices of other cheap deployments,
    asked at the same time."""

    weak: int
    strong: int
    threshold: float | None
    holds_streams: bool = True
    loss_share_max: float = 0.05
    confidence: float = 0.9
    scorer: Scorer | None = None
    easy_share: float = 0.0
    hard_share: float = 0.0
    agrees_with: tuple[int, ...] = ()

    @property
    def compares(self) -> bool:
        """Whether the scorer needs the meaning of every question."""
        return self.scorer is not None and self.scorer.near is not None
