"""Calendar windows: when the minute, hour, day, week or month that holds a moment begins and ends, in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from signalbox.core.days import HOUR_MS

FOREVER_MS = 1 << 62
_MINUTE_MS = 60_000


def period(window: str, zone: str, now_ms: int) -> tuple[int, int]:
    """(start, end) in Unix milliseconds of the window that holds `now_ms`; the end is not part of it.

    Minutes and hours are those of UTC. Days, weeks (from Monday) and months begin at midnight of the zone's own
    calendar, so that one around a change of clocks has 23 or 25 hours more or less.
    """
    if window == "minute":
        start = now_ms - now_ms % _MINUTE_MS
        return start, start + _MINUTE_MS
    if window == "hour":
        start = now_ms - now_ms % HOUR_MS
        return start, start + HOUR_MS
    if window == "total":
        return 0, FOREVER_MS
    local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(_zone(zone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window == "day":
        return _ms(midnight), _ms(midnight + timedelta(days=1))
    if window == "week":
        monday = midnight - timedelta(days=midnight.weekday())
        return _ms(monday), _ms(monday + timedelta(days=7))
    first = midnight.replace(day=1)
    after = first.replace(year=first.year + 1, month=1) if first.month == 12 else first.replace(month=first.month + 1)
    return _ms(first), _ms(after)


def _ms(local: datetime) -> int:
    # Adding days to an aware datetime keeps the wall clock; its offset is that of the new day.
    return round(local.timestamp() * 1000)


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
