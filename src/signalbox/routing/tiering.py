"""Strategy `tiered`: which tier a call needs, by how hard its question looks, within a budget or a proven bound.

Whatever is doubtful goes to the strongest tier: a question that cannot be read, a head without enough labelled rows,
calls that no longer look like those that a bound was proven on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from signalbox.core.snapshot import Deployment, Snapshot, Workload
from signalbox.core.tiering import Head, Tiered
from signalbox.routing.difficulty.bounds import safe_score
from signalbox.routing.difficulty.features import Asked, Features, features
from signalbox.routing.difficulty.normalise import normalise
from signalbox.routing.difficulty.question import asked
from signalbox.routing.difficulty.scorer import Scorer, rank_of
from signalbox.routing.difficulty.shipped import shipped_scorer
from signalbox.routing.standing import Recent, Standing
from signalbox.routing.strategies import undominated

NEVER = -1.0


class Judgement(msgspec.Struct, frozen=True):
    """What was made of one call. tier: the deployment that `ranked` begins with. difficulty: rank of the question among
    those like it, 0 to 1; None when it was not judged. threshold: of the rank above which the next stronger tier would
    have been taken, None likewise. why: in a word. propensity: the probability with which a call like this gets this
    tier. head: what judged."""

    ranked: list[Deployment]
    tier: str
    why: str
    difficulty: float | None = None
    threshold: float | None = None
    propensity: float = 1.0
    head: str = ""

    @property
    def note(self) -> str:
        """As in the ledger's reason: stable, and short."""
        parts = [self.why]
        if self.difficulty is not None:
            parts.append(f"d={self.difficulty:.2f}")
        if self.threshold is not None:
            parts.append(f"t={self.threshold:.2f}")
        if self.head:
            parts.append(self.head)
        if self.propensity < 1.0:
            parts.append(f"p={self.propensity:.4f}")
        return " ".join(parts)


class Tiering:
    """Chooses under one snapshot. standing: what the process remembers of calls before. draw: a number in [0, 1)."""

    def __init__(self, snapshot: Snapshot, standing: Standing, draw: Callable[[], float]) -> None:
        self._standing = standing
        self._draw = draw
        self._judges: dict[str, _Judge] = {}
        for workload in snapshot.workloads.values():
            if workload.tiered is not None:
                self._judges[workload.name] = _Judge(workload.tiered)

    def judge(
        self,
        workload: Workload,
        ranked: list[Deployment],
        doc: dict[str, Any],
        *,
        tenant: str = "",
        unreadable: bool = False,
        talk: int = 0,
        live: bool = True,
        vector: Any = None,
    ) -> Judgement:
        """ranked: as strategy `tiered` orders it. talk: the conversation that goes on with this call, 0 for none. live:
        it is a call, to be learnt from; otherwise nothing is remembered or drawn. vector: of the question's meaning."""
        judge = self._judges.get(workload.name)
        tiers = undominated(ranked, workload.choosing)
        if judge is None or len(tiers) < 2:
            return Judgement(ranked, ranked[0].name if ranked else "", "only")
        recent = self._standing.recent(workload.name, tenant, judge.scorer.head) if live else None
        place, judged = judge.place(asked(doc, unreadable=unreadable), tiers, recent, vector)
        if talk and live:
            place, judged = self._held(talk, tiers, place, judged, judge.settings.band)
        explore = judge.settings.explore_share
        if explore and live:
            place, judged = self._explored(explore, tiers, place, judged)
        if recent is not None and judge.settings.strong_shares:
            recent.book(judge.wanted(len(tiers) - 1), place)
        rest = [one for one in ranked if one not in tiers]
        return msgspec.structs.replace(judged, ranked=[*_from(place, tiers), *rest], tier=tiers[place].name)

    def features(self, workload: Workload, doc: dict[str, Any], vector: Any = None) -> tuple[Features, Scorer] | None:
        """What the decision was made of, for explanations."""
        judge = self._judges.get(workload.name)
        if judge is None:
            return None
        return msgspec.structs.replace(features(asked(doc)), vector=vector), judge.scorer

    def _held(
        self, talk: int, tiers: Sequence[Deployment], place: int, judged: Judgement, band: float
    ) -> tuple[int, Judgement]:
        """A conversation goes up at once and down only when it has become clearly easier."""
        before = self._standing.tier_of(talk)
        names = [tier.name for tier in tiers]
        if before in names and names.index(before) > place:
            rank, threshold = judged.difficulty, judged.threshold
            if rank is None or threshold is None or rank > threshold - band:
                place = names.index(before)
                judged = msgspec.structs.replace(judged, why="held")
        self._standing.keep_tier(talk, names[place])
        return place, judged

    def _explored(
        self, share: float, tiers: Sequence[Deployment], place: int, judged: Judgement
    ) -> tuple[int, Judgement]:
        even = share / len(tiers)
        if self._draw() < share:
            drawn = min(int(self._draw() * len(tiers)), len(tiers) - 1)
            propensity = even if drawn != place else 1.0 - share + even
            return drawn, msgspec.structs.replace(judged, why="explore", propensity=propensity)
        return place, msgspec.structs.replace(judged, propensity=1.0 - share + even)


class _Judge:
    """One workload's way to choose. safe: highest rank that each tier of the head may keep, by deployment's name."""

    def __init__(self, settings: Tiered) -> None:
        self.settings = settings
        self.scorer = Scorer(settings.head) if settings.head is not None else shipped_scorer()
        head = self.scorer.head
        self._easy = {normalise(text)[0] for text in settings.easy}
        self._source = settings.head_id or "shipped"
        self._safe = _safe_ranks(head, settings) if settings.head is not None else {}
        self._strong = head.tiers[-1] if settings.head is not None and head.tiers else ""

    def place(
        self, what: Asked, tiers: Sequence[Deployment], recent: Recent | None, vector: Any = None
    ) -> tuple[int, Judgement]:
        """The position of the tier for this question."""
        top = len(tiers) - 1
        if not what.text.strip():
            return top, self._judgement("unread")
        found = features(what)
        if not what.unreadable and (not found.text or found.text in self._easy):
            return 0, self._judgement("easy")
        compares = self.scorer.head.near is not None
        if compares and vector is not None:
            found = msgspec.structs.replace(found, vector=vector)
        score = self.scorer.score(found)
        if self.settings.strong_shares:
            rank = recent.rank(score) if recent is not None else rank_of(score, self.scorer.head.ranks)
            return self._by_budget(rank, top, recent)
        rank = rank_of(score, self.scorer.head.ranks)
        if recent is not None:
            recent.take(score)
        if compares and vector is None:
            # The bound was proven on scores with neighbours.
            return top, self._judgement("unencoded", rank)
        return self._by_bound(rank, tiers, what.unreadable, recent)

    def wanted(self, top: int) -> tuple[float, ...]:
        """The share of calls for each tier above the first. One share is the strongest tier's; those between are spaced
        evenly in proportion. Empty without a budget."""
        shares = self.settings.strong_shares
        if len(shares) in (0, top):
            return shares
        return tuple(shares[-1] ** (step / top) for step in range(1, top + 1))

    def _by_budget(self, rank: float, top: int, recent: Recent | None) -> tuple[int, Judgement]:
        wanted = self.wanted(top)
        thresholds = recent.thresholds(wanted) if recent is not None else [1.0 - share for share in wanted]
        place = sum(
            1 for share, least in zip(wanted, thresholds, strict=True) if share and (rank > least or share == 1.0)
        )
        threshold = min(1.0, max(0.0, thresholds[min(place, top - 1)]))
        return place, self._judgement("budget", rank, threshold)

    def _by_bound(
        self, rank: float, tiers: Sequence[Deployment], unreadable: bool, recent: Recent | None
    ) -> tuple[int, Judgement]:
        top = len(tiers) - 1
        if not self._safe or self._strong != tiers[top].name:
            # Proven against another model than the strongest one here, or not at all.
            return top, self._judgement("unproven", rank)
        if unreadable:
            return top, self._judgement("unreadable", rank)
        if recent is not None and recent.drifted:
            return top, self._judgement("drift", rank)
        threshold = NEVER
        for place, tier in enumerate(tiers[:-1]):
            safe = self._safe.get(tier.name, NEVER)
            threshold = max(threshold, safe)
            if rank <= safe:
                return place, self._judgement("safe", rank, safe)
        return top, self._judgement("hard", rank, max(threshold, 0.0))

    def _judgement(self, why: str, rank: float | None = None, threshold: float | None = None) -> Judgement:
        return Judgement([], "", why, rank, threshold, 1.0, self._source if rank is not None else "")


def _safe_ranks(head: Head, settings: Tiered) -> dict[str, float]:
    """For each lower tier of a head the rank up to which it may answer; the confidence is shared out among them."""
    lower = head.tiers[:-1]
    safe: dict[str, float] = {}
    for position, tier in enumerate(lower):
        score = safe_score(head.judged, position, settings.loss_share_max, (1 - settings.confidence) / len(lower))
        if score is not None:
            safe[tier] = rank_of(score, head.ranks)
    return safe


def _from(place: int, tiers: Sequence[Deployment]) -> list[Deployment]:
    """The tier, then those stronger than it, then the weaker ones, the strongest first."""
    return [*tiers[place:], *reversed(tiers[:place])]
