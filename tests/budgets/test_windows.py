"""Calendar windows in time zones: no moment belongs to two of them, and none to none."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signalbox.core.budgets import WINDOWS
from signalbox.policy.windows import period

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe")


def _ms(text: str, zone: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("window", "zone", "at", "start", "end"),
    [
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00"),  # 23 hours
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-25T00:00", "2026-10-26T00:00"),  # 25 hours
        ("day", "America/New_York", "2028-02-29T23:59", "2028-02-29T00:00", "2028-03-01T00:00"),
        ("month", "America/New_York", "2028-02-29T23:59", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("month", "Asia/Kathmandu", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("week", "Europe/Berlin", "2026-03-29T23:30", "2026-03-23T00:00", "2026-03-30T00:00"),
        ("week", "UTC", "2026-11-16T00:00", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("hour", "UTC", "2026-11-16T10:59", "2026-11-16T10:00", "2026-11-16T11:00"),
        ("minute", "Europe/Berlin", "2026-11-16T10:59", "2026-11-16T10:59", "2026-11-16T11:00"),
    ],
)
def test_windows_begin_and_end_where_the_calendar_says(window: str, zone: str, at: str, start: str, end: str) -> None:
    assert period(window, zone, _ms(at, zone)) == (_ms(start, zone), _ms(end, zone))


@given(
    window=st.sampled_from(WINDOWS),
    zone=st.sampled_from(ZONES),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1)),
)
@example("day", "Europe/Berlin", datetime(2026, 10, 25, 0, 30))
@example("day", "Europe/Berlin", datetime(2026, 10, 25, 1, 30))
@settings(deadline=None)
def test_windows_meet_without_gap_or_overlap(window: str, zone: str, at: datetime) -> None:
    now_ms = round(at.replace(tzinfo=UTC).timestamp() * 1000)
    start, end = period(window, zone, now_ms)
    assert start <= now_ms < end
    assert period(window, zone, start) == (start, end)
    if window != "total":
        assert period(window, zone, end - 1) == (start, end)
        assert period(window, zone, end)[0] == end
