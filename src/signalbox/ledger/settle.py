"""What an attempt whose end nobody saw cost at most: pure arithmetic on what the journal knows of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from math import ceil

from signalbox.core.records import UNKNOWN, Opened, Settled
from signalbox.core.usage import NO_USAGE, Rates, Usage

# What may have been generated since the last progress record: as long as records were apart lately (their interval,
# and how much the loop lagged), and what was in flight or not yet stopped when the process died.
GAP_S_MAX = 0.5
GAP_S_DEFAULT = 0.3
IN_FLIGHT_S = 0.1
SLACK_TOKENS = 2
SLACK_TOKENS_MAX = 256
# Tokens a second of a stream that was not seen for long enough to measure its own.
RATE_DEFAULT = 100.0
# Output of a call that does not stream and stated no limit.
UNARY_OUT_DEFAULT = 4096

_SPAN_MS = 500
_GAPS = 20
_NO_OUTPUT = frozenset({"embeddings", "count_tokens"})


class Pace:
    """How far apart the last progress records of a chain were."""

    __slots__ = ("_times_ms",)

    def __init__(self) -> None:
        self._times_ms: deque[int] = deque(maxlen=_GAPS + 1)

    def add(self, time_ms: int) -> None:
        self._times_ms.append(time_ms)

    def slack_s(self) -> float:
        """The time whose tokens may be missing from the journal: the longest recent gap, at most GAP_S_MAX (a longer
        one means that nothing streamed), and IN_FLIGHT_S."""
        if len(self._times_ms) < _GAPS // 2:
            return GAP_S_DEFAULT + IN_FLIGHT_S
        times_ms = list(self._times_ms)
        gap_ms = max(after - before for before, after in pairwise(times_ms))
        return min(GAP_S_MAX, max(0, gap_ms) / 1000) + IN_FLIGHT_S


class Track:
    """The progress of one attempt, reduced to what its speed needs: first, last, and a point half a second back."""

    __slots__ = ("_anchor", "_first", "_next_anchor", "last_ms", "tokens")

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None
        self._anchor: tuple[int, int] = (0, 0)
        self._next_anchor: tuple[int, int] = (0, 0)
        self.last_ms = 0
        self.tokens = 0

    def add(self, time_ms: int, tokens: int) -> None:
        point = (time_ms, tokens)
        if self._first is None:
            self._first = self._anchor = self._next_anchor = point
        elif time_ms - self._next_anchor[0] >= _SPAN_MS:
            self._anchor, self._next_anchor = self._next_anchor, point
        self.last_ms = time_ms
        # A record can never take tokens back.
        self.tokens = max(self.tokens, tokens)

    def rate(self) -> float:
        """Tokens a second: the higher of the whole stream's and the last half second's; RATE_DEFAULT when it was
        seen for less than that."""
        if self._first is None or self.last_ms - self._first[0] < _SPAN_MS:
            return RATE_DEFAULT
        return max(self._since(self._first), self._since(self._anchor))

    def _since(self, point: tuple[int, int]) -> float:
        elapsed_ms = self.last_ms - point[0]
        return (self.tokens - point[1]) * 1000 / elapsed_ms if elapsed_ms > 0 else 0.0


def output_bound(opened: Opened, track: Track, slack_s: float) -> int:
    """The most output tokens the attempt can have been billed for; never below what was seen.

    A stream: seen + min(256, rate × slack + 2). A call that does not stream: its stated maximum, or 4,096.
    """
    if opened.api in _NO_OUTPUT:
        return 0
    if opened.stream:
        bound = track.tokens + min(SLACK_TOKENS_MAX, ceil(track.rate() * slack_s) + SLACK_TOKENS)
    else:
        bound = opened.out_max or UNARY_OUT_DEFAULT
    if opened.out_max:
        bound = min(bound, opened.out_max)
    return max(bound, track.tokens)


def settle_unknown(
    opened: Opened,
    track: Track,
    slack_s: float,
    time_ms: int,
    cost: Callable[[Usage, Rates], int | None],
    error: str,
) -> Settled:
    """The end of an attempt that nobody saw, priced as an upper bound. Counting tokens is free of usage by nature."""
    if opened.api == "count_tokens":
        usage = NO_USAGE
    else:
        usage = Usage(tokens_in=opened.in_max, tokens_out=output_bound(opened, track, slack_s))
    return Settled(
        attempt_id=opened.attempt_id,
        time_ms=time_ms,
        state=UNKNOWN,
        usage=usage,
        source="estimated",
        cost_pico=cost(usage, opened.rates),
        error=error,
        duration_ms=max(0, (track.last_ms or opened.time_ms) - opened.time_ms),
    )
