"""Budgets, jitter, and every form in which providers say how long to wait."""

from __future__ import annotations

from email.utils import format_datetime, formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.routing.pace import Pace
from signalbox.routing.quarantine import BODIES_MAX, HELD_NS, Quarantine, digest
from signalbox.routing.retry import BUDGET_MIN, BUDGET_SHARE, RETRY_AFTER_S_MAX, Budget, pause_s, retry_after_s

SECOND = 1_000_000_000
NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ([], b"", None),
        ([(b"retry-after", b"2")], b"", 2.0),
        ([(b"retry-after", b"0.5")], b"", 0.5),
        ([(b"retry-after", b"-3")], b"", 0.0),
        ([(b"retry-after", b"86400")], b"", RETRY_AFTER_S_MAX),
        ([(b"retry-after", b"nan")], b"", None),
        ([(b"retry-after", b"soon")], b"", None),
        ([(b"retry-after-ms", b"250"), (b"retry-after", b"9")], b"", 0.25),
        ([(b"x-ms-retry-after-ms", b"1500")], b"", 1.5),
        ([(b"retry-after-ms", b"?"), (b"retry-after", b"9")], b"", 9.0),
        ([(b"retry-after", formatdate(NOW_S + 7, usegmt=True).encode())], b"", 7.0),
        ([(b"retry-after", formatdate(NOW_S - 7, usegmt=True).encode())], b"", 0.0),
        # A provider whose clock is an hour off still means seven seconds.
        (
            [
                (b"date", formatdate(NOW_S + 3600, usegmt=True).encode()),
                (b"retry-after", formatdate(NOW_S + 3607, usegmt=True).encode()),
            ],
            b"",
            7.0,
        ),
        ([], b'{"error":{"message":"Rate limit reached. Please try again in 1.2s. Visit https://x"}}', 1.2),
        ([], b'{"error":{"message":"Please try again in 350ms."}}', 0.35),
        ([], b'{"error":{"message":"Please try again in 6m0s."}}', RETRY_AFTER_S_MAX),
        ([], b'{"error":{"message":"Please try again in 20 seconds."}}', 20.0),
        ([], b'{"error":{"details":[{"@type":"x.RetryInfo","retryDelay":"34.5s"}]}}', 34.5),
        ([], b'{"error":{"retry_after":3}}', 3.0),
        ([], b'{"retry_after_ms":1500}', 1.5),
        ([], b'{"error":{"retry_after":true}}', None),
        ([], b"[1]", None),
        ([], b"\xff not json", None),
        ([], b'{"error":"busy"}', None),
    ],
)
def test_what_a_provider_asks_to_wait(headers: list[tuple[bytes, bytes]], body: bytes, expected: float | None) -> None:
    found = retry_after_s(headers, body, NOW_S)
    assert found == (None if expected is None else pytest.approx(expected))


@given(st.binary(max_size=60), st.binary(max_size=200), st.booleans())
def test_no_answer_of_a_provider_breaks_it(value: bytes, body: bytes, as_date: bool) -> None:
    name = b"retry-after" if as_date else b"retry-after-ms"
    found = retry_after_s([(name, value), (b"date", value)], body, NOW_S)
    assert found is None or 0.0 <= found <= RETRY_AFTER_S_MAX


@given(st.integers(1, 100), st.floats(0, 10), st.floats(0, 1))
def test_pauses_are_anywhere_between_nothing_and_twice_the_last_bound(tries: int, base: float, chance: float) -> None:
    assert 0.0 <= pause_s(tries, base, 4.0, chance) <= min(4.0, base * 2 ** (tries - 1))


@given(st.integers(0, 5_000), st.integers(1, 50))
def test_retries_stay_a_share_of_attempts(attempts: int, burst: int) -> None:
    """Whatever the rhythm: no more than the share of all attempts, and the reserve."""
    budget = Budget()
    made, done = 0, 0
    while made < attempts:
        made += burst
        for _ in range(burst):
            if budget.take(1, made, burst):
                done += 1
                budget.done()
    assert done <= BUDGET_SHARE * made + BUDGET_MIN


def test_the_reserve_comes_back_with_time_and_not_more() -> None:
    budget = Budget()
    assert [budget.take(1, 0, 0) for _ in range(4)] == [True, True, True, False]
    for _ in range(3):
        budget.done()
    assert not budget.take(SECOND, 0, 0)
    assert [budget.take(3_600 * SECOND, 0, 0) for _ in range(4)] == [True, True, True, False]


def test_few_retries_are_under_way_at_a_time() -> None:
    budget = Budget()
    for now in range(1, 50):
        budget.take(now, now * 100, 0)
    assert budget.under_way == BUDGET_MIN
    assert budget.take(60, 100_000, 100)


def test_a_body_is_held_for_a_minute_and_bodies_are_bounded() -> None:
    held = Quarantine()
    body = digest("t", "chat", b"x")
    assert body != digest("u", "chat", b"x")
    assert digest("t", "chat", b"a" * 100_000) != digest("t", "chat", b"a" * 99_999 + b"b")
    held.hold(body, 5)
    assert held.held_for_ns(body, 5) == HELD_NS
    assert held.held_for_ns(body, 5 + HELD_NS) == 0
    assert not held.until
    for number in range(BODIES_MAX + 10):
        held.hold(digest("t", "chat", b"%d" % number), number)
    assert len(held.until) == BODIES_MAX


@given(st.lists(st.integers(1, 10**13), min_size=1, max_size=200))
def test_quantiles_are_bounds_within_a_quarter_of_a_doubling(durations: list[int]) -> None:
    pace = Pace()
    for duration in durations:
        pace.observe(duration)
    ranked = sorted(durations)
    for share in (0.5, 0.9, 1.0):
        exact = ranked[max(0, -(-round(share * len(ranked) * 1000) // 1000) - 1)]
        assert exact <= max(5, pace.quantile_ns(share)) <= max(10, exact * 2)
    assert min(durations) * 0.99 <= pace.average_ns + 4 <= max(durations) * 1.01 + 8


def test_what_was_slow_long_ago_is_forgotten() -> None:
    pace = Pace()
    for _ in range(500):
        pace.observe(10 * SECOND)
    for _ in range(20_000):
        pace.observe(SECOND)
    assert pace.quantile_ns(0.99) < 2 * SECOND


def test_dates_of_the_standard_library_are_read() -> None:
    import datetime

    then = datetime.datetime.fromtimestamp(NOW_S + 5, datetime.UTC)
    assert retry_after_s([(b"retry-after", format_datetime(then, usegmt=True).encode())], b"", NOW_S) == 5.0
