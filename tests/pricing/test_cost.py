"""Money is exact: the pure cost function, stated prices and amortised GPU prices."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.usage import PICO, UNPRICED, Rates, Usage, usd
from signalbox.pricing.cost import FREE, cost, from_mtok, gpu_rates

CLASSES = (
    "tokens_in",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "tokens_out",
    "reasoning",
    "audio_in",
    "audio_out",
)
tokens = st.integers(0, 10**7)
usages = st.builds(Usage, **dict.fromkeys(CLASSES, tokens))
rate = st.integers(0, 10**9)
flat_rates = st.builds(Rates, **dict.fromkeys(CLASSES, rate), request=rate)


@given(usages, flat_rates)
def test_cost_is_the_plain_sum(usage: Usage, rates: Rates) -> None:
    expected = rates.request + sum(getattr(usage, name) * getattr(rates, name) for name in CLASSES)
    assert cost(usage, rates) == expected


@given(usages, flat_rates, st.sampled_from(CLASSES), st.integers(1, 10**6))
def test_tokens_without_a_price_make_the_cost_unknown(usage: Usage, rates: Rates, name: str, count: int) -> None:
    fields = {key: getattr(rates, key) for key in CLASSES} | {name: UNPRICED}
    used = {key: getattr(usage, key) for key in CLASSES} | {name: count}
    assert cost(Usage(**used), Rates(**fields)) is None
    assert cost(Usage(**(used | {name: 0})), Rates(**fields)) is not None


@given(usages, flat_rates, flat_rates, flat_rates, st.integers(0, 10**7), st.integers(1, 10**7))
def test_the_highest_exceeded_tier_prices_every_token(
    usage: Usage, base: Rates, middle: Rates, top: Rates, first: int, gap: int
) -> None:
    tiered = Rates(
        **{key: getattr(base, key) for key in (*CLASSES, "request")}, tiers=((first, middle), (first + gap, top))
    )
    level = top if usage.input_total > first + gap else middle if usage.input_total > first else base
    assert cost(usage, tiered) == cost(usage, level)


def test_unpriced_rates_and_negative_counts_have_no_cost() -> None:
    assert cost(Usage(tokens_in=1), Rates(priced=False)) is None
    assert cost(Usage(), Rates(priced=False)) is None
    assert cost(Usage(tokens_in=-1), Rates(tokens_in=1)) is None


def test_free_is_zero_and_the_default_has_no_audio_price() -> None:
    assert cost(Usage(tokens_in=5, audio_in=5, audio_out=5), FREE) == 0
    assert cost(Usage(tokens_in=5, audio_in=5), Rates(tokens_in=1, tokens_out=1)) is None


def test_a_hand_computed_invoice() -> None:
    rates = from_mtok({"input_mtok": "0.25", "cache_read_mtok": 0.025, "output_mtok": 2, "request_usd": "0.01"})
    usage = Usage(tokens_in=1200, cache_read=800, tokens_out=300, reasoning=64)
    # 1200 × 0.25 + 800 × 0.025 + 364 × 2 = 1048 USD per million, and one cent.
    assert usd(cost(usage, rates) or 0) == "0.011048"


@given(st.integers(-(10**30), 10**30))
def test_dollars_are_exact_and_plain(pico: int) -> None:
    text = usd(pico)
    assert Fraction(text) * PICO == pico
    assert set(text) <= set("-.0123456789")
    assert "." not in text or text[-1] not in "0."


def test_missing_classes_fall_back_and_never_to_zero() -> None:
    rates = from_mtok({"input_mtok": 3, "output_mtok": 15})
    assert (rates.cache_read, rates.cache_write_5m, rates.cache_write_1h) == (3_000_000,) * 3
    assert rates.reasoning == rates.tokens_out == 15_000_000
    assert (rates.audio_in, rates.audio_out) == (UNPRICED, UNPRICED)


def test_anthropic_cache_writes_cost_more_than_input() -> None:
    rates = from_mtok({"input_mtok": 3, "output_mtok": 15}, protocol="anthropic")
    assert (rates.cache_write_5m, rates.cache_write_1h) == (3_750_000, 6_000_000)
    stated = from_mtok({"input_mtok": 3, "output_mtok": 15, "cache_write_mtok": 7}, protocol="anthropic")
    assert (stated.cache_write_5m, stated.cache_write_1h) == (7_000_000, 7_000_000)
    odd = from_mtok({"input_mtok": "0.000001", "output_mtok": 1}, protocol="anthropic")
    assert odd.cache_write_5m == 2, "a fraction of a pico-dollar rounds up"


def test_an_embedding_price_needs_no_output_and_prices_none() -> None:
    rates = from_mtok({"input_mtok": "0.02"})
    assert cost(Usage(tokens_in=1000), rates) == 20_000_000
    assert cost(Usage(tokens_in=1000, tokens_out=1), rates) is None


def test_a_price_for_each_call_alone() -> None:
    assert cost(Usage(tokens_in=9, tokens_out=9), from_mtok({"request_usd": "0.005"})) == PICO // 200


@given(st.decimals(0, 10**6, places=6))
def test_a_stated_price_is_kept_to_the_last_pico_dollar(price: Decimal) -> None:
    for form in (price, str(price)):
        rates = from_mtok({"input_mtok": form, "output_mtok": form})
        assert Decimal(rates.tokens_in) == price * 10**6


@pytest.mark.parametrize(
    ("price", "says"),
    [
        ({}, "at least"),
        ({"input_mtok": None}, "at least"),
        ({"output_mtok": 1}, "needs input_mtok"),
        ({"input": 1}, "unknown price 'input'"),
        ({"input_mtok": -1}, "input_mtok must not be negative"),
        ({"input_mtok": "NaN"}, "finite"),
        ({"input_mtok": float("inf")}, "finite"),
        ({"input_mtok": "1e400000"}, "ordinary size"),
        ({"input_mtok": "-1e-400000"}, "ordinary size"),
        ({"input_mtok": "0.0000001"}, "finer than a pico-dollar"),
        ({"input_mtok": "three"}, "must be a number"),
        ({"input_mtok": True}, "must be a number"),
        ({"input_mtok": [1]}, "must be a number"),
        ({"input_mtok": 1, "output_mtok": 2_500_000}, "is the unit right"),
    ],
)
def test_a_wrong_price_is_refused_with_its_reason(price: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_mtok(price)


@given(st.decimals("0.01", 100, places=2), st.integers(1, 64), st.integers(1, 100_000))
def test_gpu_price_is_gpu_time_over_tokens_rounded_up(hour_usd: Decimal, gpus: int, tokens_per_s: int) -> None:
    rates = gpu_rates(hour_usd, gpus, tokens_per_s)
    exact = Fraction(hour_usd) * gpus * PICO / 3600 / tokens_per_s
    assert 0 <= rates.tokens_out - exact < 1
    assert len({getattr(rates, name) for name in CLASSES}) == 1


def test_gpu_price_of_the_manual_example() -> None:
    # 8 GPUs at 2.75 USD an hour are 22 USD an hour; at 2,000 tokens/s that is 3.0556 USD a million tokens.
    assert gpu_rates("2.75", 8, 2000).tokens_in == 3_055_556


@pytest.mark.parametrize(
    ("hour_usd", "gpus", "speed"),
    [(-1, 1, 1), ("x", 1, 1), (1, 0, 1), (1, True, 1), (1, 1, 0), (1, 1, -5), (1, 1, float("nan"))],
)
def test_a_wrong_gpu_price_is_refused(hour_usd: object, gpus: int, speed: float) -> None:
    with pytest.raises(ValueError, match=r"must|not"):
        gpu_rates(hour_usd, gpus, speed)
