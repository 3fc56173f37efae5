"""What a month will have cost: the rate at which money goes, and a projection with its uncertainty. Pure."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from math import sqrt
from statistics import fmean, stdev

import msgspec

# Days that are looked back upon, and the fewest that say anything about how days differ.
DAYS_BACK = 28
DAYS_MIN = 4
# Eight months in ten end within the interval when days differ as they did lately.
Z = 1.2816


class Forecast(msgspec.Struct, frozen=True):
    """In USD as decimal strings. spent: this month so far. a_day: mean of the last days. low, high: between them the
    month ends in eight cases of ten; None while too few days are known. days: how many were looked at."""

    month: str
    spent_usd: str
    a_day_usd: str
    projected_usd: str
    low_usd: str | None
    high_usd: str | None
    days: int


def forecast(by_day: Mapping[str, Decimal], today: date, part_of_today: float) -> Forecast:
    """by_day: cost of each UTC day, ISO; days without an entry cost nothing, once there was a first one.
    part_of_today: how much of today is over, 0 to 1."""
    month = today.isoformat()[:7]
    spent = sum((cost for day, cost in by_day.items() if day[:7] == month), Decimal(0))
    costs = _whole_days(by_day, today)
    mean = fmean(costs) if costs else float(by_day.get(today.isoformat(), Decimal(0))) / max(part_of_today, 1 / 24)
    left = monthrange(today.year, today.month)[1] - today.day + (1 - part_of_today)
    projected = float(spent) + mean * left
    low = high = None
    if len(costs) >= DAYS_MIN:
        # The days to come differ from each other, and the mean itself is known from a few days only.
        spread = Z * stdev(costs) * sqrt(left + left * left / len(costs))
        low, high = _usd(max(float(spent), projected - spread)), _usd(projected + spread)
    return Forecast(month, _usd(float(spent)), _usd(mean), _usd(projected), low, high, len(costs))


def _whole_days(by_day: Mapping[str, Decimal], today: date) -> list[float]:
    """The last whole days, from the first one that cost anything."""
    past = [day for day, cost in by_day.items() if day < today.isoformat() and cost]
    if not past:
        return []
    first = max(date.fromisoformat(min(past)), today - timedelta(days=DAYS_BACK))
    return [
        float(by_day.get((first + timedelta(days=number)).isoformat(), Decimal(0)))
        for number in range((today - first).days)
    ]


def _usd(amount: float) -> str:
    return f"{Decimal(amount):.6f}"
