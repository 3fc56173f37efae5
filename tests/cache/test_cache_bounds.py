"""The bound on errors, against streams of questions whose truth is known; and pairs that must never share an answer."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.cache.risk import Risk, wilson
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
