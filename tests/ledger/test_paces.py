"""The pace of a deployment, by which cut answers are bounded: what a reader who was late makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.records import Opened, Settled
from signalbox.core.usage import Usage
from signalbox.ledger.estimate import TOKENS_PER_S, Calibration
from signalbox.ledger.settle import Pace, learn

RATE, WAIT_S = 50.0, 0.2


def taught(answers: int = 20, late_s: float = 0.0) -> Calibration:
    """By answers of 100 tokens behind waits of 0.2 to 0.6 s, whose first tokens were seen so late."""
    meter = Calibration()
    for number in range(answers):
        wait_s = WAIT_S + 0.4 * (number % 5) / 4
        seen_s = min(late_s, 99 / RATE - 0.001)
        meter.observe_rate(100, 99 / RATE - seen_s, wait_s + seen_s, late_s)
    return meter


def test_a_quiet_reader_learns_the_pace() -> None:
    assert abs(taught().tokens_per_s - RATE) < 0.01


@settings(max_examples=50)
@given(st.floats(0.2, 1.9), st.integers(1, 10))
def test_a_stall_does_not_make_a_known_deployment_faster(late_s: float, answers: int) -> None:
    """The first tokens were seen late, the last ones in time: as if the rest had come in one go."""
    meter = taught()
    for _ in range(answers):
        meter.observe_rate(100, 99 / RATE - late_s, WAIT_S + late_s, late_s)
    assert meter.tokens_per_s <= RATE * 1.001


@settings(max_examples=50)
@given(st.floats(0.0, 5.0))
def test_whoever_is_always_late_learns_a_pace_all_the_same(late_s: float) -> None:
    """Never one below the true one."""
    meter = taught(late_s=late_s)
    assert meter.paced
    assert meter.tokens_per_s >= RATE * 0.999


def test_recovery_goes_by_how_late_the_records_came() -> None:
    def opened(number: int) -> Opened:
        return Opened(f"a{number}", "c", 0, "t", "", "k", "w", "d", "e", "m", "chat", (), "", "v", stream=True)

    def settled(number: int, took_ms: int, first_ms: int) -> Settled:
        usage = Usage(tokens_in=1, tokens_out=101)
        return Settled(f"a{number}", 0, "settled", usage, "provider", 0, 200, "", ttft_ms=first_ms, duration_ms=took_ms)

    pace, known = Pace(), Calibration()
    for number in range(10):
        pace.add(100 * number)
        learn(opened(number), settled(number, 2200, 200), pace, known)
    assert abs(known.tokens_per_s - RATE) < 0.01
    pace.add(2400)  # 1.4 s late
    learn(opened(99), settled(99, 2200, 2100), pace, known)
    assert known.tokens_per_s <= RATE * 1.001


@pytest.mark.parametrize(("answers", "times"), [(1, 3.0), (2, 2.0), (5, 1.4)])
def test_few_answers_tell_a_pace_with_a_margin(answers: int, times: float) -> None:
    """The fewer have told it, the faster others may be; before there is one, what most models do."""
    assert Calibration().tokens_per_s == TOKENS_PER_S
    meter = taught(answers=answers)
    assert not meter.paced
    assert abs(meter.tokens_per_s - RATE * times) < RATE * 0.05
    assert meter.tokens_by(1.0) > RATE * times * 0.95
