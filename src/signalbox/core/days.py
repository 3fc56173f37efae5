"""Hours and days of UTC in Unix milliseconds."""

from __future__ import annotations

from datetime import date

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_EPOCH = date(1970, 1, 1).toordinal()


def ms_of(day: date) -> int:
    """When a day of UTC begins."""
    return (day.toordinal() - _EPOCH) * DAY_MS


def day_of(time_ms: int) -> date:
    """The day of UTC that holds a moment."""
    return date.fromordinal(_EPOCH + time_ms // DAY_MS)
