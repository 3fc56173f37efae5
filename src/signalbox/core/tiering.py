"""Tiers of deployments and what decides between them: the settings of a workload as compiled, and a fitted head."""

from __future__ import annotations

import hashlib
from math import isfinite

import msgspec

HEAD_MAGIC = b"signalbox head 1\n"
# Heads hold which features they were fitted on; one of another version cannot be used.
FEATURES_VERSION = 1
# So many counts and shares a feature vector of this version has, besides its hashes.
DENSE_COUNT = 69
HEAD_BYTES_MAX = 64 * 1024 * 1024
_DIGEST_BYTES = 32
# Ranks of scores are kept in hundredths.
RANKS = 101


class Judged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One labelled row that no weight was fitted on. score: of the head. lost: one bit for each lower tier of the head,
    the cheapest first: its answer was worse than the strongest tier's."""

    score: float
    lost: int


class Near(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Labelled rows by their meaning, and how far they count beside the linear score.

    encoder: whose vectors they are. vectors: of `dimensions` 16-bit floats, row after row. gains: what each row gained,
    32-bit floats; all little-endian. nearest: of so many rows the mean is taken. share: of the neighbours in the score,
    above 0 to 1; the rest is the linear one's. linear, near: mean and spread of both over rows that they do not know.
    """

    encoder: str
    dimensions: int
    vectors: bytes
    gains: bytes
    nearest: int
    share: float
    linear: tuple[float, float]
    near: tuple[float, float]

    @property
    def whole(self) -> bool:
        rows = len(self.gains) // 4
        numbers = (*self.linear, *self.near)
        return (
            4 * rows == len(self.gains)
            and 0 < self.nearest <= rows
            and self.dimensions > 0
            and 2 * rows * self.dimensions == len(self.vectors)
            and 0 < self.share <= 1
            and all(map(isfinite, numbers))
            and min(self.linear[1], self.near[1]) > 0
        )


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A linear head: how much a call gains from the strongest tier. It holds hashes of pieces of the texts that it was
    fitted on, so it is as confidential as they are.

    features: version of the features. tiers: names of deployments, from the cheapest to the strongest. rows: labelled
    rows in all. dense: weights in the order of the dense features. gram_keys, word_keys: sorted unsigned 32-bit
    numbers, gram_weights, word_weights: 32-bit floats, all little-endian. ranks: score at each hundredth of the rows.
    judged: what thresholds are proven on. made: what the fit measured, for people. near: rows that are compared by
    their meaning as well, for which every question must be encoded.
    """

    features: int
    tiers: tuple[str, ...]
    rows: int
    bias: float
    dense: tuple[float, ...]
    gram_keys: bytes
    gram_weights: bytes
    word_keys: bytes
    word_weights: bytes
    ranks: tuple[float, ...]
    judged: tuple[Judged, ...] = ()
    made: dict[str, float] = {}
    near: Near | None = None

    @property
    def id(self) -> str:
        """What names it in reasons: the beginning of its digest."""
        return _digest(msgspec.msgpack.encode(self)).hex()[:8]


class Tiered(msgspec.Struct, frozen=True):
    """How a workload chooses between tiers. strong_shares: budget mode, the share of calls that go to each tier or a
    stronger one, beginning with the second; empty for quality mode. loss_share_max: quality mode, the share of answers
    that may be worse than the strongest tier's. confidence: of that. band: how far in ranks a conversation may move
    before it changes tiers. explore_share: of calls whose tier is drawn. easy: texts that the cheapest may always
    answer. head_id: of the head, empty without one. encoder: questions are encoded, for a head that compares them by
    meaning or to be labelled for one."""

    strong_shares: tuple[float, ...] = ()
    loss_share_max: float = 0.05
    confidence: float = 0.9
    band: float = 0.05
    explore_share: float = 0.0
    easy: frozenset[str] = frozenset()
    head: Head | None = None
    head_id: str = ""
    encoder: bool = False

    @property
    def compares(self) -> bool:
        """Whether the head needs the meaning of every question."""
        return self.head is not None and self.head.near is not None


def write_head(head: Head) -> bytes:
    payload = msgspec.msgpack.encode(head)
    return HEAD_MAGIC + _digest(payload) + payload


def read_head(content: bytes) -> Head:
    """Raises ValueError saying what is wrong with it."""
    if not content.startswith(HEAD_MAGIC):
        raise ValueError("it is no head that this version wrote")
    start = len(HEAD_MAGIC) + _DIGEST_BYTES
    payload = content[start:]
    if _digest(payload) != content[len(HEAD_MAGIC) : start]:
        raise ValueError("it is damaged: its digest does not fit")
    try:
        head = msgspec.msgpack.decode(payload, type=Head)
    except msgspec.MsgspecError as error:
        raise ValueError(f"it is damaged: {error}") from None
    if head.features != FEATURES_VERSION or len(head.dense) != DENSE_COUNT:
        raise ValueError("it was fitted by another version: fit it again")
    pairs = ((head.gram_keys, head.gram_weights), (head.word_keys, head.word_weights))
    if any(len(keys) != len(weights) or len(keys) % 4 for keys, weights in pairs):
        raise ValueError("it is damaged: weights are missing")
    if len(head.ranks) != RANKS or list(head.ranks) != sorted(head.ranks):
        raise ValueError("it is damaged: its ranks are no ranks")
    if head.near is not None and not head.near.whole:
        raise ValueError("it is damaged: its rows by meaning do not fit together")
    return head


def _digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()
