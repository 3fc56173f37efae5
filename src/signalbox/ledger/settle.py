"""What an attempt whose end nobody saw cost at most: pure arithmetic on what the journal knows of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from math import ceil

from signalbox.core.records import SETTLED, UNKNOWN, Opened, Settled
from signalbox.core.usage import NO_USAGE, Rates, Usage
from signalbox.ledger.estimate import OUT_DEFAULT, Calibration
from signalbox.ledger.open import PROGRESS_INTERVAL_S

# What may have been generated since the last progress record: until the last record of any kind, then as long as
# records were apart lately (how much the loop lagged), and what was in flight or not yet stopped at the end.
GAP_S_MAX = 0.5
GAP_S_DEFAULT = 0.3
IN_FLIGHT_S = 0.06
SLACK_TOKENS = 3
SLACK_TOKENS_MAX = 256
# Tokens a second of a stream that was not seen for long enough, at a deployment that nothing is known of.
RATE_DEFAULT = 100.0

_SPAN_MS = 500
_GAPS = 20
_NO_OUTPUT = frozenset({"embeddings", "count_tokens", "scan"})


class Pace:
    """When the process wrote its last records, which tells when it died and how much it lagged."""

    __slots__ = ("_late_ms", "_moved", "_progress_ms", "_times_ms")

    def __init__(self) -> None:
        self._times_ms: deque[int] = deque(maxlen=_GAPS + 1)
        self._late_ms: deque[int] = deque(maxlen=_GAPS)
        self._progress_ms = 0
        self._moved = False

    def add(self, time_ms: int, moved: bool = True) -> None:
        """A progress record: it says how far every stream was at this time. moved: any that did is in it, so that the
        next is due an interval later; how much later it came is how far the process was behind with its reading."""
        if self._moved and moved:
            self._late_ms.append(time_ms - self._progress_ms - round(PROGRESS_INTERVAL_S * 1000))
        self._moved = moved
        self._progress_ms = time_ms
        self.note(time_ms)

    def note(self, time_ms: int) -> None:
        """Any record."""
        self._times_ms.append(time_ms)

    def lag_s(self) -> float:
        """How long after the last record more may have come: as long as two were apart lately, or as the process was
        behind with its reading, at most GAP_S_MAX (more means that nothing ran), and IN_FLIGHT_S."""
        if len(self._times_ms) < _GAPS // 2:
            return GAP_S_DEFAULT + IN_FLIGHT_S
        gap_ms = max(after - before for before, after in pairwise(self._times_ms))
        late_ms = max(self._late_ms, default=0)
        return min(GAP_S_MAX, max(0, gap_ms, late_ms) / 1000) + IN_FLIGHT_S

    def late_s(self) -> float:
        """How far behind with its reading the process was of late."""
        return max(0, *self._late_ms) / 1000 if self._late_ms else 0.0

    def slack_s(self) -> float:
        """The time whose tokens may be missing from the journal of a stream."""
        since_ms = self._times_ms[-1] - self._progress_ms if self._progress_ms and self._times_ms else 0
        return max(0, since_ms) / 1000 + self.lag_s()

    def elapsed_s(self, opened_ms: int) -> float:
        """How long an attempt can have run until its process died."""
        last_ms = self._times_ms[-1] if self._times_ms else opened_ms
        return max(0, last_ms - opened_ms) / 1000 + self.lag_s()


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
        # The last word counts, even when it is less: by then the gateway knew better what characters are in tokens.
        self.tokens = tokens

    def rate(self) -> float:
        """Tokens a second: the higher of the whole stream's and the last half second's; 0 when it was seen for
        less than that."""
        if self._first is None or self.last_ms - self._first[0] < _SPAN_MS:
            return 0.0
        return max(self._since(self._first), self._since(self._anchor))

    def _since(self, point: tuple[int, int]) -> float:
        elapsed_ms = self.last_ms - point[0]
        return max(0, self.tokens - point[1]) * 1000 / elapsed_ms if elapsed_ms > 0 else 0.0


def output_bound(opened: Opened, track: Track, pace: Pace, known: Calibration) -> int:
    """The most output tokens the attempt can have been billed for; never below what was seen.

    A stream: seen + min(256, rate × slack + 3). A call that does not stream, or has hidden what it did so far: what its
    deployment can have generated in the time. Neither is above the stated maximum.
    """
    if opened.api in _NO_OUTPUT:
        return 0
    elapsed_s = pace.elapsed_s(opened.time_ms)
    if not opened.stream:
        return min(known.tokens_by(elapsed_s), opened.out_max or OUT_DEFAULT)
    rate = track.rate() or (known.tokens_per_s if known.paced else RATE_DEFAULT)
    bound = track.tokens + min(SLACK_TOKENS_MAX, ceil(rate * pace.slack_s()) + SLACK_TOKENS)
    if not track.tokens:
        bound = max(bound, known.tokens_hidden(elapsed_s))
    if opened.out_max:
        bound = min(bound, opened.out_max)
    return max(bound, track.tokens)


def input_bound(opened: Opened, known: Calibration) -> int:
    """What was expected when it was opened, or what its provider has told of others since, whichever is less."""
    if not opened.body_bytes:
        return opened.in_max
    return min(opened.in_max, known.tokens_in(opened.body_bytes))


def learn(opened: Opened, settled: Settled, pace: Pace, known: Calibration) -> None:
    """From an attempt whose end is in the journal, what may be said of those without. pace: up to its end."""
    usage = settled.usage
    if settled.source != "provider" or settled.state != SETTLED:
        return
    known.observe_in(opened.body_bytes, usage.input_total)
    seconds = max(1, settled.duration_ms - settled.ttft_ms) / 1000
    known.observe_rate(usage.output_total, seconds, settled.ttft_ms / 1000, pace.late_s())
    known.observe_hidden(usage.reasoning)


def settle_unknown(
    opened: Opened,
    track: Track,
    pace: Pace,
    known: Calibration,
    time_ms: int,
    cost: Callable[[Usage, Rates], int | None],
    error: str,
) -> Settled:
    """The end of an attempt that nobody saw, priced as an upper bound. Counting tokens is free of usage by nature."""
    if opened.api == "count_tokens":
        usage = NO_USAGE
    else:
        usage = Usage(tokens_in=input_bound(opened, known), tokens_out=output_bound(opened, track, pace, known))
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
