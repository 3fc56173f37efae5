"""Stated prices to rates: token prices or GPU-hours, long inputs, service tiers, parts of the day, currencies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import msgspec

from signalbox.config.problems import Problems
from signalbox.config.schema import Config
from signalbox.config.schema_prices import Price, TierPrice, TokenPrice
from signalbox.core.usage import Rates, Tariff, Window
from signalbox.pricing.cost import MTOK_KEYS, from_mtok, gpu_rates
from signalbox.pricing.tariff import fraction, times

BASE_CURRENCY = "USD"


def rates_of(price: Price, protocol: str) -> Rates:
    """Rates of a stated price in its own currency. Raises ValueError with a sentence when it states none, or two kinds
    at once."""
    mtok = _stated(price)
    if price.gpu_hour_usd is None and price.scales_to_zero_after_s is not None:
        raise ValueError("scales_to_zero_after_s is for GPUs by the hour: add gpu_hour_usd, or leave it out")
    if price.gpu_hour_usd is None:
        rates = from_mtok(mtok, protocol=protocol)
        return _with_long(rates, price, mtok, protocol)
    if mtok:
        raise ValueError("gpu_hour_usd and token prices are both given; keep one kind")
    if price.currency is not None:
        raise ValueError("gpu_hour_usd is in USD; leave `currency` out")
    return gpu_rates(price.gpu_hour_usd, price.gpus_per_replica, price.tokens_per_s)


def tariff_of(price: Price, protocol: str) -> Tariff | None:
    """What else may hold under a stated price, None when nothing does. Raises ValueError."""
    if not (price.tiers or price.windows):
        return None
    plain = rates_of(price, protocol)
    mtok = _stated(price)
    windows: list[Window] = []
    for window in price.windows:
        if not (window.since and window.until) or window.since == window.until:
            raise ValueError("a window needs `since` and `until`, which differ")
        windows.append(
            Window(_minute(window.since), _minute(window.until), _differing(plain, window, mtok, price, protocol))
        )
    return Tariff(
        tiers={name: _differing(plain, tier, mtok, price, protocol) for name, tier in price.tiers.items()},
        windows=tuple(windows),
    )


def price_on(prices: tuple[Price, ...], today: date) -> Price | None:
    """The last of the dated prices that holds on a day, or None before the first."""
    holding = [price for price in prices if price.since is None or date.fromisoformat(price.since) <= today]
    return holding[-1] if holding else None


def in_usd(config: Config, currency: str | None) -> tuple[int, int]:
    """What one unit of a currency is worth in USD, as a fraction."""
    return (1, 1) if currency in (None, BASE_CURRENCY) else fraction(config.currencies_usd[currency])


def discount(config: Config, deployment: str, today: date) -> tuple[int, int]:
    """What contracts leave of a deployment's prices on a day."""
    top, bottom = 1, 1
    for contract in config.contracts.values():
        if deployment in contract.deployments and _holds(contract.since, contract.until, today):
            share = fraction(1 - Decimal(repr(contract.discount_share)))
            top, bottom = top * share[0], bottom * share[1]
    return top, bottom


def price_days(config: Config) -> list[date]:
    """The days on which a stated price or a contract begins, and those after it ended."""
    days = [contract.since for contract in config.contracts.values()]
    for deployment in config.deployments.values():
        if isinstance(deployment.price, list):
            days += [price.since for price in deployment.price]
    found = [date.fromisoformat(day) for day in days if day is not None]
    ends = (contract.until for contract in config.contracts.values() if contract.until is not None)
    lasts = [date.fromisoformat(day) for day in ends]
    return found + [date.fromordinal(last.toordinal() + 1) for last in lasts if last < date.max]


def check_prices(config: Config, problems: Problems) -> None:
    """Currencies and contracts that name what there is."""
    for name, worth in config.currencies_usd.items():
        if name == BASE_CURRENCY or not worth.is_finite() or not Decimal("1e-9") <= worth <= 10**9:
            what = f"{worth} is no worth in USD"
            problems.add(("currencies_usd", name), what, "Write a positive number, such as 1.0842")
    for name, deployment in config.deployments.items():
        prices = deployment.price if isinstance(deployment.price, list) else [deployment.price]
        for price in prices:
            if isinstance(price, Price) and price.currency not in (None, BASE_CURRENCY, *config.currencies_usd):
                what, fix = f"the currency {price.currency!r} has no worth", f"Add {price.currency} to `currencies_usd`"
                problems.add(("deployments", name, "price"), what, fix)
    for name, contract in config.contracts.items():
        for deployment in contract.deployments:
            if deployment not in config.deployments:
                at = ("contracts", name, "deployments")
                problems.add(at, f"there is no deployment {deployment!r}", "Name deployments of this file")
        if contract.commitment_month_usd is not None and not 0 <= contract.commitment_month_usd <= 10**12:
            at = ("contracts", name, "commitment_month_usd")
            problems.add(at, "is no amount of dollars", "Write a positive number")
        if contract.since and contract.until and contract.since > contract.until:
            problems.add(("contracts", name, "until"), "ends before it begins", "Swap `since` and `until`")


def _holds(since: str | None, until: str | None, today: date) -> bool:
    return (since is None or date.fromisoformat(since) <= today) and (
        until is None or today <= date.fromisoformat(until)
    )


def _stated(price: TokenPrice) -> dict[str, object]:
    return {key: value for key in MTOK_KEYS if (value := getattr(price, key)) is not None}


def _with_long(rates: Rates, price: Price, mtok: Mapping[str, object], protocol: str) -> Rates:
    tiers: list[tuple[int, Rates]] = []
    for long in price.long_context:
        if long.above_tokens <= (tiers[-1][0] if tiers else 0):
            raise ValueError("long_context needs rising `above_tokens`")
        tiers.append((long.above_tokens, _differing(rates, long, mtok, None, protocol)))
    return msgspec.structs.replace(rates, tiers=tuple(tiers))


def _differing(
    plain: Rates, price: TierPrice, mtok: Mapping[str, object], around: Price | None, protocol: str
) -> Rates:
    """The plain rates with what differs. around: the price whose long inputs differ in the same way."""
    stated = _stated(price)
    share = price.price_share
    if (share is None) == (not stated):
        raise ValueError("say either `price_share` or the prices that differ")
    if share is not None:
        if not (share.is_finite() and 0 <= share <= 1000):
            raise ValueError(f"price_share must be a number from 0 to 1000, not {share}")
        return times(plain, fraction(share))
    if around is not None and around.gpu_hour_usd is not None:
        raise ValueError("with gpu_hour_usd only `price_share` can differ")
    return from_mtok({**mtok, **stated}, protocol=protocol)


def _minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
