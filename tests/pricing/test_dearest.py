"""What an attempt that was cut is priced at: never less than any tier, share or time of day would have made it cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.usage import Rates, Tariff, Usage, Window
from signalbox.pricing.cost import cost
from signalbox.pricing.tariff import charge, dearest

prices = st.integers(0, 10**8)
plain = st.builds(
    Rates, tokens_in=prices, cache_read=prices, tokens_out=prices, reasoning=prices, request=prices,
    share=st.sampled_from([None, (9, 10), (4, 3)]),
)  # fmt: skip
rates = st.builds(
    lambda base, long: Rates(*[getattr(base, name) for name in Rates.__struct_fields__[:9]], tiers=((200_000, long),)),
    plain, plain,
)  # fmt: skip
either = plain | rates
windows = st.builds(
    lambda since, until, base, flex: Window(since, until, base, {"flex": flex} if flex else {}),
    st.integers(0, 1439), st.integers(0, 1439), either, st.none() | either,
)  # fmt: skip
tariffs = st.builds(
    lambda tiers, us, daily: Tariff(tiers=tiers, shares={"us": us} if us else {}, windows=tuple(daily)),
    st.dictionaries(st.sampled_from(["flex", "priority", "fast"]), either),
    st.none() | st.just((11, 10)),
    st.lists(windows, max_size=2),
)  # fmt: skip
usages = st.builds(Usage, tokens_in=st.integers(0, 400_000), tokens_out=st.integers(0, 10**6))


@given(either, tariffs, usages, st.integers(0, 10**13), st.data())
def test_no_tier_costs_more(base: Rates, tariff: Tariff, usage: Usage, time_ms: int, data: st.DataObject) -> None:
    names = sorted({*tariff.tiers, *(name for window in tariff.windows for name in window.tiers)})
    tier = data.draw(st.sampled_from(["", *names, *tariff.shares, *(f"{name}+us" for name in names if tariff.shares)]))
    billed = charge(Usage(tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, tier=tier), base, tariff, time_ms)
    bound = cost(usage, dearest(base, tariff, time_ms, tiered=True))
    assert bound is not None
    if billed is not None:
        assert bound >= billed


@given(either, tariffs, usages, st.integers(0, 10**13))
def test_without_a_word_of_tiers_it_is_the_price_of_the_hour(
    base: Rates, tariff: Tariff, usage: Usage, time_ms: int
) -> None:
    assert cost(usage, dearest(base, tariff, time_ms, tiered=False)) == charge(usage, base, tariff, time_ms)
    assert dearest(base, None, time_ms, tiered=True) is base
