"""Stated prices: tiers, long inputs, times of day, dates, currencies and contracts, from the file to the amount."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from signalbox.config.load import load_text
from signalbox.core.errors import ConfigError
from signalbox.core.snapshot import Deployment, Snapshot
from signalbox.core.usage import PICO, Usage
from signalbox.policy.compiling import compile_snapshot
from signalbox.pricing.tariff import charge

BASE = """
environments: {e: {kind: cloud}}
currencies_usd: {EUR: 1.1}
contracts:
  ours: {deployments: [m], discount_share: 0.12, since: 2026-03-01, until: 2026-12-31, commitment_month_usd: 50000}
deployments:
  m: {environment: e, protocol: openai, base_url: https://x.example/v1, model: m, price: PRICE}
"""
PLAIN = "{input_mtok: 2.5, output_mtok: 10}"


def compiled(price: str, today: str = "2026-11-20") -> Snapshot:
    text = BASE.replace("PRICE", price)
    return compile_snapshot(load_text(text.encode(), "f", {}), 1, today, lambda *_: None)


def costs(deployment: Deployment, usage: Usage, at: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC)) -> Decimal:
    pico = charge(usage, deployment.rates, deployment.tariff, round(at.timestamp() * 1000))
    assert pico is not None
    return Decimal(pico) / PICO


MILLION = Usage(tokens_in=1_000_000, tokens_out=1_000_000)


@pytest.mark.parametrize(
    ("price", "usage", "expected"),
    [
        (PLAIN, MILLION, "11"),  # (2.5 + 10) × 0.88
        ("{input_mtok: 2.5, output_mtok: 10, currency: EUR}", MILLION, "12.1"),  # × 1.1 × 0.88
        ("{input_mtok: 2.5, output_mtok: 10, tiers: {flex: {price_share: 0.5}}}",
         Usage(tokens_in=1_000_000, tokens_out=1_000_000, tier="flex"), "5.5"),
        ("{input_mtok: 2.5, output_mtok: 10, tiers: {priority: {input_mtok: 5}}}",
         Usage(tokens_in=1_000_000, tokens_out=1_000_000, tier="priority"), "13.2"),
        ("{input_mtok: 2.5, output_mtok: 10, long_context: [{above_tokens: 200000, price_share: 2}]}", MILLION, "22"),
        ("{input_mtok: 2.5, output_mtok: 10, long_context: [{above_tokens: 1000000, price_share: 2}]}", MILLION, "11"),
        ("{input_mtok: 2.5, output_mtok: 10, web_search_usd: 0.01}",
         Usage(rare=(("web_search", 100),)), "0.88"),
        ("{audio_minute_usd: 0.006}", Usage(rare=(("audio_ms", 90_000),)), "0.00792"),
        ("{rerank_search_usd: 0.002}", Usage(rare=(("rerank_search", 3),)), "0.00528"),
    ],
)  # fmt: skip
def test_an_amount(price: str, usage: Usage, expected: str) -> None:
    assert costs(compiled(price).deployments[0], usage) == Decimal(expected)


@pytest.mark.parametrize(
    ("hour", "minute", "expected"), [(12, 0, "11"), (16, 29, "11"), (16, 30, "5.5"), (0, 29, "5.5"), (0, 30, "11")]
)
def test_a_window_over_midnight(hour: int, minute: int, expected: str) -> None:
    price = '{input_mtok: 2.5, output_mtok: 10, windows: [{since: "16:30", until: "00:30", price_share: 0.5}]}'
    at = datetime(2026, 11, 20, hour, minute, tzinfo=UTC)
    assert costs(compiled(price).deployments[0], MILLION, at) == Decimal(expected)


@pytest.mark.parametrize(
    ("today", "expected", "next_day"),
    [
        ("2026-02-28", "2", "2026-03-01"),
        ("2026-03-01", "1.76", "2026-06-01"),
        ("2026-06-01", "3.52", "2027-01-01"),
        ("2026-12-31", "3.52", "2027-01-01"),
        ("2027-01-01", "4", None),
    ],
)
def test_prices_and_contracts_hold_on_their_days(today: str, expected: str, next_day: str | None) -> None:
    """A change of price never changes what was, and the configuration is compiled anew on the day it comes."""
    price = "[{input_mtok: 1, output_mtok: 1}, {since: 2026-06-01, input_mtok: 2, output_mtok: 2}]"
    snapshot = compiled(price, today)
    assert costs(snapshot.deployments[0], MILLION) == Decimal(expected)
    assert snapshot.stale_on == next_day


def test_before_its_first_day_nothing_is_priced() -> None:
    rates = compiled("[{since: 2027-01-01, input_mtok: 1, output_mtok: 1}]").deployments[0].rates
    assert not rates.priced


def test_a_published_price_that_changes_makes_the_configuration_stale_on_that_day() -> None:
    text = (
        b"environments: {e: {kind: cloud}}\ndeployments:\n  m: {environment: e, preset: openai, api_key: x, model: y}"
    )
    change = datetime(2026, 12, 4, tzinfo=UTC)
    snapshot = compile_snapshot(
        load_text(text, "f", {}), 1, "2026-11-20", lambda *_: None, changes_after=lambda *_: change
    )
    assert snapshot.stale_on == date(2026, 12, 4).isoformat()


@pytest.mark.parametrize(
    ("price", "part"),
    [
        ("{input_mtok: 1, output_mtok: 1, currency: CHF}", "CHF"),
        ("[]", "empty"),
        ("[{input_mtok: 1, output_mtok: 1}, {input_mtok: 2, output_mtok: 2}]", "rising dates"),
        ("{input_mtok: 1, output_mtok: 1, tiers: {flex: {}}}", "price_share"),
        ("{input_mtok: 1, output_mtok: 1, tiers: {flex: {price_share: 0.5, input_mtok: 1}}}", "price_share"),
        ("{input_mtok: 1, output_mtok: 1, tiers: {flex: {price_share: -1}}}", "price_share"),
        ("{input_mtok: 1, output_mtok: 1, windows: [{since: '10:00', price_share: 2}]}", "since"),
        ("{input_mtok: 1, output_mtok: 1, long_context: [{above_tokens: 5, price_share: 2},"
         " {above_tokens: 5, price_share: 3}]}", "rising"),
        ("{gpu_hour_usd: 2, currency: EUR}", "USD"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_its_place(price: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part) as refused:
        compiled(price)
    assert "deployments.m.price" in str(refused.value)


def test_contracts_and_currencies_are_checked() -> None:
    text = BASE.replace("PRICE", PLAIN).replace("[m]", "[gone]").replace("EUR: 1.1", "EUR: -1")
    with pytest.raises(ConfigError) as refused:
        load_text(text.encode(), "f", {})
    assert "contracts.ours.deployments" in str(refused.value)
    assert "currencies_usd.EUR" in str(refused.value)
