"""What a deployment costs on a day: stated, published or free, in dollars, with what contracts take off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from signalbox.config import schema
from signalbox.config.declared import Declared, Target
from signalbox.config.prices import discount, in_usd, price_days, price_on, rates_of, tariff_of
from signalbox.core.days import ms_of
from signalbox.core.usage import PICO, Rates, Tariff
from signalbox.pricing.cost import FREE
from signalbox.pricing.owned import Step
from signalbox.pricing.tariff import scaled, times

# The rates of a provider's model on a day (UTC), or None when nobody knows them; what else may hold then; and the
# first moment after another at which that may change.
RatesFor = Callable[[str, str, date], Rates | None]
TariffFor = Callable[[str, str, date], Tariff | None]
ChangesAfter = Callable[[str, str, datetime], datetime | None]


def nothing_more(provider: str, model: str, on: date) -> None:
    """For catalogues that know plain rates only."""
    return


def never(provider: str, model: str, after: datetime) -> None:
    """For catalogues whose prices stay."""
    return


def price_of(
    name: str, target: Target, config: schema.Config, today: date, rates_for: RatesFor, tariff_for: TariffFor
) -> tuple[Rates, Tariff | None]:
    """Never zero in silence: what nobody priced says so."""
    rates, tariff = _before_contracts(target, config, today, rates_for, tariff_for)
    share = discount(config, name, today)
    return (rates, tariff) if share == (1, 1) else (times(rates, share), scaled(tariff, share))


def _before_contracts(
    target: Target, config: schema.Config, today: date, rates_for: RatesFor, tariff_for: TariffFor
) -> tuple[Rates, Tariff | None]:
    if target.price == "free":
        return FREE, None
    if isinstance(target.price, tuple):
        price = price_on(target.price, today)
        if price is None:
            return Rates(priced=False), None
        worth = in_usd(config, price.currency)
        rates, tariff = rates_of(price, target.protocol), tariff_of(price, target.protocol)
        return (rates, tariff) if worth == (1, 1) else (times(rates, worth), scaled(tariff, worth))
    if target.price is None or target.catalogue is None:
        return Rates(priced=False), None
    rates = rates_for(target.catalogue, target.model, today)
    if rates is None:
        return Rates(priced=False), None
    return rates, tariff_for(target.catalogue, target.model, today)


def held_gpus(name: str, target: Target, config: schema.Config) -> tuple[Step, ...]:
    """What is held for a deployment whose price is that of GPU-hours, by the dates of its prices and contracts; empty
    for any other."""
    if not isinstance(target.price, tuple) or all(price.gpu_hour_usd is None for price in target.price):
        return ()
    steps: list[Step] = []
    for day in (None, *sorted(set(price_days(config)))):
        from_ms = 0 if day is None else ms_of(day)
        price = price_on(target.price, day or date.min)
        step = Step(from_ms, 0, 0)
        if price is not None and price.gpu_hour_usd is not None:
            gpus = price.gpus_per_replica * max(1, len(target.replicas))
            share = discount(config, name, day or date.min)
            idle_ms = round(1000 * (price.scales_to_zero_after_s or 0))
            step = Step(from_ms, gpus, int(price.gpu_hour_usd * PICO), share, idle_ms)
        if not steps or msgspec.structs.replace(steps[-1], from_ms=from_ms) != step:
            steps.append(step)
    return tuple(steps)


def next_change(declared: Declared, today: date, changes_after: ChangesAfter) -> date | None:
    """The next day on which some deployment may cost something else; the time of day is the tariff's business."""
    days = [day for day in price_days(declared.config) if day > today]
    tonight = datetime.combine(today + timedelta(days=1), time(), UTC) - timedelta(microseconds=1)
    for target in declared.deployments.values():
        if target.price == "catalogue" and target.catalogue is not None:
            moment = changes_after(target.catalogue, target.model, tonight)
            days += [moment.date()] if moment is not None and moment.time() == time() else []
    return min(days, default=None)
