"""Breakers over the time of a drill as signals: a line for each deployment, red where it was out of use. Geometry only;
the template draws it."""

from __future__ import annotations

import msgspec

from signalbox.control.breakers import Change
from signalbox.control.drill_watch import Sight

WIDTH = 600
ROWS_MAX = 50
CHANGES_SHOWN = 20
# A breaker that was open for a blink is drawn so wide that it is seen.
SPAN_MIN = 3.0


class Span(msgspec.Struct, frozen=True):
    """Out of use from then on, for so long, as they are drawn and as they are told."""

    x: float
    width: float
    from_ms: int
    for_ms: int
    out: int


class Row(msgspec.Struct, frozen=True):
    """One deployment. changes: the newest first."""

    name: str
    open: bool
    spans: list[Span]
    changes: list[Change]


def rows(sight: Sight) -> list[Row]:
    """Those that are out of use first, then those that were, then the others."""
    made = [_row(name, changes, max(sight.at_ms, 1)) for name, changes in sight.breakers.items()]
    return sorted(made, key=lambda row: (not row.open, not row.spans))[:ROWS_MAX]


def _row(name: str, changes: list[Change], whole_ms: int) -> Row:
    ends = [change.time_ms for change in changes[1:]] + [whole_ms]
    spans = [_span(change, end, whole_ms) for change, end in zip(changes, ends, strict=False) if change.out]
    return Row(name, bool(changes) and changes[-1].out > 0, spans, changes[::-1][:CHANGES_SHOWN])


def _span(change: Change, end_ms: int, whole_ms: int) -> Span:
    width = max(SPAN_MIN, WIDTH * (end_ms - change.time_ms) / whole_ms)
    x = min(WIDTH * change.time_ms / whole_ms, WIDTH - width)
    return Span(round(max(x, 0), 1), round(width, 1), change.time_ms, end_ms - change.time_ms, change.out)
