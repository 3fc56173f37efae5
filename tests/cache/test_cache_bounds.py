"""The bound on errors, against streams of questions whose truth is known; and pairs that must never share an answer."""

from __future__ import annotations

import importlib.util
import math
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.cache.risk import Risk, at_most, wilson
from signalbox.cache.verify import OPPOSED, REWORDED, compare, read

_PAIRS = Path(__file__).resolve().parents[2] / "benchmarks" / "caching_pairs.py"


@pytest.mark.parametrize("truth", ["rising", "flat", "none"])
def test_errors_among_hits_stay_within_the_bound(truth: str) -> None:
    """Forty streams each: whatever scores are worth, at most one in ten may end above the bound by more than chance."""
    above = hits = 0
    for seed in range(40):
        chance = random.Random(seed)
        risk, given_, wrong = Risk(0.05), 0, 0
        for _ in range(4000):
            score = chance.random()
            error = {"rising": 0.4 * (1 - score), "flat": 0.2, "none": 0.0}[truth]
            right = chance.random() >= error
            risk.see(score)
            if risk.trusts(score) and chance.random() >= 0.05:
                given_ += 1
                wrong += not right
            else:
                risk.observe(score, right=right)
        hits += given_
        above += given_ > 200 and wrong / given_ > 0.06
    assert above <= 4
    assert (hits > 0) is (truth != "flat")


@pytest.mark.parametrize("limit", [0.02, 0.05])
@pytest.mark.parametrize("truth", ["even", "good at the top"])
def test_looking_often_opens_nothing_that_is_worse_than_the_limit(limit: float, truth: str) -> None:
    """Sixty streams each, looked at after every one of thousands of trials. At most one in twenty may ever give answers
    whose true share of errors is above the limit; four of sixty leaves room for chance."""
    best = 0.6  # from this score on nothing is wrong in the second truth, and below it so much that not all may open

    def error(score: float) -> float:
        if truth == "even":
            return 1.02 * limit
        return 0.0 if score >= best else 3.6 * limit

    def error_above(threshold: float) -> float:
        if truth == "even":
            return 1.02 * limit
        return max(0.0, best - threshold) / (1 - threshold) * 3.6 * limit

    opened = broken = 0
    for seed in range(60):
        chance, risk, ever = random.Random(seed), Risk(limit), False
        for _ in range(round(60 / limit)):
            score = chance.random()
            risk.see(score)
            if risk.trusts(score) and chance.random() >= 0.05:
                continue
            risk.observe(score, right=chance.random() >= error(score))
            threshold = risk.state.threshold
            ever = ever or (threshold is not None and error_above(threshold) > limit)
        opened += risk.state.threshold is not None
        broken += ever
    assert broken <= 4
    assert opened > 50 if truth != "even" else opened <= broken


@given(st.floats(0, 200), st.floats(0.01, 400))
def test_few_wrong_answers_are_less_likely_the_more_are_expected(wrong: float, expected: float) -> None:
    likely = at_most(wrong, expected)
    assert 0 <= likely <= 1
    assert at_most(wrong, expected * 1.1) <= likely + 1e-9
    assert at_most(wrong + 1, expected) >= likely - 1e-9


def test_the_chance_of_few_is_poissons() -> None:
    for wrong, expected in ((0, 3.0), (3, 14.0), (10, 40.0), (1, 0.2)):
        exact = sum(math.exp(-expected) * expected**k / math.factorial(k) for k in range(wrong + 1))
        assert at_most(wrong, expected) == pytest.approx(exact, rel=1e-9)


def test_a_workload_that_turns_bad_is_closed() -> None:
    chance, risk = random.Random(3), Risk(0.05)
    for _ in range(2000):
        risk.see(0.9)
        risk.observe(0.9, right=True)
    assert risk.trusts(0.9)
    given_ = 0
    for _ in range(20_000):
        risk.see(0.9)
        if risk.trusts(0.9) and chance.random() >= 0.05:
            given_ += 1
        else:
            risk.observe(0.9, right=False)
    assert not risk.trusts(0.9)
    assert given_ < 5000


@given(st.floats(0, 1), st.floats(1, 1e6))
def test_the_upper_bound_is_above_what_was_seen(share: float, trials: float) -> None:
    bound = wilson(share, trials)
    assert share - 1e-9 <= bound <= 1 + 1e-9
    assert wilson(share, trials * 2) <= bound + 1e-9


def test_pairs_that_look_alike_never_pass_for_rewordings() -> None:
    spec = importlib.util.spec_from_file_location("caching_pairs", _PAIRS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    pairs = module.pairs()
    assert len(pairs) >= 4000
    assert len({pair.language for pair in pairs}) >= 8
    found = [(pair, compare(read(pair.one), read(pair.other))) for pair in pairs]
    assert [pair for pair, relation in found if relation == REWORDED] == []
    assert sum(relation == OPPOSED for _, relation in found) > 0.95 * len(found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I reset my password?", "how do I reset my password please"),
        ("What are the delivery costs?", "Hello, what is the delivery cost?"),
        ("My card has not arrived yet, what now?", "Still waiting for the card, it did not come"),
        ("Where can I see all transactions?", "Show me every payment that I made"),
    ],
)
def test_the_same_in_other_words_may_pass(one: str, other: str) -> None:
    assert compare(read(one), read(other)) != OPPOSED


@given(st.text(max_size=200))
def test_any_text_can_be_read_and_stands_for_itself(text: str) -> None:
    assert compare(read(text), read(text)) == REWORDED
