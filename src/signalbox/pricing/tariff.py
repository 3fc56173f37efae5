"""Which of a deployment's rates hold for an answer: its service tier, the time of day, contracts and currencies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal

import msgspec

from signalbox.core.usage import Rates, Tariff, Usage, Window
from signalbox.pricing import catalogue
from signalbox.pricing.cost import at_length, cost

MINUTES_PER_DAY = 1440
_MINUTE_MS = 60_000
# What catalogues call the tiers that dialects tell, as facts of the request.
TIERS: dict[str, tuple[dict[str, str], ...]] = {
    "flex": ({"service_tier": "flex"},),
    "priority": ({"service_tier": "priority"},),
    "batch": ({"processing": "batch"},),
    "fast": ({"speed": "fast"}, {"service_tier": "fast"}),
}
_PRICED = (
    "tokens_in",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "tokens_out",
    "reasoning",
    "audio_in",
    "audio_out",
    "request",
)
# Anthropic: inference in the United States only costs 1.1 times every other price
# (platform.claude.com/docs/en/about-claude/pricing, "Data residency pricing").
US_ONLY: tuple[int, int] = (11, 10)


def charge(usage: Usage, rates: Rates, tariff: Tariff | None, time_ms: int) -> int | None:
    """What `usage` costs at a deployment, in pico-dollars; time_ms: when the attempt began, Unix milliseconds.

    None as `cost` has it, and for a tier without a price: that a tier is cheaper or dearer than the standard one does
    not say by how much. What costs nothing anyway costs nothing in every tier.
    """
    if tariff is None and not usage.tier:
        return cost(usage, rates)
    found = rates_of(usage.tier, rates, tariff, time_ms)
    if found is not None:
        return cost(usage, found)
    return 0 if cost(usage, rates) == 0 else None


def rates_of(tier: str, rates: Rates, tariff: Tariff | None, time_ms: int) -> Rates | None:
    """The rates that hold under `tier` at a moment; None when one of its parts has no price."""
    tiers: Mapping[str, Rates] = {}
    shares: Mapping[str, tuple[int, int]] = {}
    if tariff is not None:
        tiers, shares = tariff.tiers, tariff.shares
        minute = time_ms // _MINUTE_MS % MINUTES_PER_DAY
        for window in tariff.windows:
            if _within(minute, window.since, window.until):
                rates, tiers = window.rates, window.tiers or tiers
                break
    for part in tier.split("+") if tier else ():
        if part in tiers:
            rates = tiers[part]
    for part in tier.split("+") if tier else ():
        if part in tiers:
            continue
        if part not in shares:
            return None
        rates = times(rates, shares[part])
    return rates


def dearest(rates: Rates, tariff: Tariff | None, time_ms: int, *, tiered: bool) -> Rates:
    """Rates that bound what an attempt begun at `time_ms` can be billed at, whoever serves it under which tier.

    tiered: its body speaks of a tier, so that any of them may hold; otherwise the standard one of that moment does.
    """
    if tariff is None:
        return rates
    plain = rates_of("", rates, tariff, time_ms)
    assert plain is not None
    if not tiered:
        return plain
    names = {*tariff.tiers, *(name for window in tariff.windows for name in window.tiers)}
    named = [found for tier in names if (found := rates_of(tier, rates, tariff, time_ms)) is not None]
    every = [plain, *named]
    every += [times(one, share) for one in every for share in tariff.shares.values()]
    return _worst(every)


def _worst(every: list[Rates]) -> Rates:
    """The highest price of each class, at each length of the input; fractions are rounded up here."""
    lengths = sorted({above for rates in every for above, _ in rates.tiers})
    whole = [_plain(rates) for rates in every]
    tiers = tuple((above, _highest([_plain(at_length(above + 1, rates)) for rates in every])) for above in lengths)
    return msgspec.structs.replace(_highest(whole), tiers=tiers)


def _highest(every: list[Rates]) -> Rates:
    rare: dict[str, int] = {}
    for rates in every:
        for name, rate in rates.rare:
            rare[name] = max(rate, rare.get(name, rate))
    highest = {name: max(getattr(rates, name) for rates in every) for name in _PRICED}
    return msgspec.structs.replace(
        every[0], **highest, priced=all(rates.priced for rates in every), rare=tuple(rare.items())
    )


def _plain(rates: Rates) -> Rates:
    """Without long inputs, and its fraction multiplied in."""
    top, bottom = rates.share or (1, 1)
    scaled = {name: -(-getattr(rates, name) * top // bottom) for name in _PRICED if getattr(rates, name) > 0}
    rare = tuple((name, -(-rate * top // bottom) if rate > 0 else rate) for name, rate in rates.rare)
    return msgspec.structs.replace(rates, **scaled, rare=rare, tiers=(), share=None)


def _within(minute: int, since: int, until: int) -> bool:
    return since <= minute < until if since <= until else minute >= since or minute < until


def times(rates: Rates, share: tuple[int, int]) -> Rates:
    """The same rates, with the whole multiplied by a fraction."""
    top, bottom = rates.share or (1, 1)
    top, bottom = top * share[0], bottom * share[1]
    least = math.gcd(top, bottom)
    both = (top // least, bottom // least)
    tiers = tuple((above, times(tier, share)) for above, tier in rates.tiers)
    return msgspec.structs.replace(rates, share=None if both == (1, 1) else both, tiers=tiers)


def scaled(tariff: Tariff | None, share: tuple[int, int]) -> Tariff | None:
    """A tariff with all its rates multiplied by a fraction."""
    if tariff is None:
        return None
    return Tariff(
        tiers={name: times(rates, share) for name, rates in tariff.tiers.items()},
        shares=tariff.shares,
        windows=tuple(
            Window(w.since, w.until, times(w.rates, share), {n: times(r, share) for n, r in w.tiers.items()})
            for w in tariff.windows
        ),
    )


def fraction(amount: Decimal) -> tuple[int, int]:
    """A decimal as a fraction in lowest terms."""
    return amount.as_integer_ratio()


def published(provider: str, model: str, on: date) -> Tariff | None:
    """What the catalogue says of a model beside its plain rates on a UTC day, or None when that is nothing."""
    plain = catalogue.rates(provider, model, on)
    if plain is None:
        return None
    tiers = _tiers(provider, model, on)
    shares: dict[str, tuple[int, int]] = {"us": US_ONLY} if catalogue.is_own(provider, model, "anthropic") else {}
    windows = tuple(_windows(provider, model, on))
    if not (tiers or shares or windows):
        return None
    return Tariff(tiers=tiers, shares=shares, windows=windows)


def _tiers(provider: str, model: str, at: date) -> dict[str, Rates]:
    """Tiers with a published price; any other has none."""
    found: dict[str, Rates] = {}
    for name, alternatives in TIERS.items():
        for facts in alternatives:
            rates = catalogue.rates(provider, model, at, facts)
            if rates is not None and catalogue.has_variant(provider, model, at, facts):
                found[name] = rates
    return found


def _windows(provider: str, model: str, on: date) -> list[Window]:
    """The day cut at every moment at which its prices change; empty when they do not."""
    starts = sorted({0, *(_minute(at) for at in catalogue.daily_changes(provider, model))})
    if len(starts) == 1:
        return []
    ends = [*starts[1:], MINUTES_PER_DAY]
    windows: list[Window] = []
    for since, until in zip(starts, ends, strict=True):
        moment = datetime.combine(on, time(since // 60, since % 60), UTC)
        rates = catalogue.rates(provider, model, moment)
        if rates is not None:
            windows.append(Window(since, until, rates, _tiers(provider, model, moment)))
    return windows


def _minute(at: time) -> int:
    return at.hour * 60 + at.minute
