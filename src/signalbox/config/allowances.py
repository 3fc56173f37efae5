"""Budgets as the file declares them: their amounts one by one, and what no single value can tell about them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from zoneinfo import ZoneInfo

from signalbox.config.problems import Path, Problems, did_you_mean
from signalbox.config.schema import Config
from signalbox.config.schema_budgets import Budget
from signalbox.core.budgets import CONCURRENCY, USD, WINDOWS

# A database's integers hold nine million dollars in pico-dollars.
USD_MAX = Decimal(9_000_000)
# Of these a name can be looked up in the file.
_SECTIONS = {"team": "teams", "workload": "workloads", "deployment": "deployments"}


def amounts(budget: Budget) -> Iterator[tuple[str, str, str, Decimal | int]]:
    """(key in the file, unit, window, amount) of each that is stated."""
    for key in budget.__struct_fields__:
        if key == CONCURRENCY:
            unit, window = CONCURRENCY, "total"
        else:
            unit, _, window = key.replace("_per_", "_").rpartition("_")
            if window not in WINDOWS:
                continue
        amount: Decimal | int | None = getattr(budget, key)
        if amount is not None:
            yield key, unit, window, amount


def check_budgets(config: Config, problems: Problems) -> None:
    """Puts on record what is wrong with any of them."""
    for name, workload in config.workloads.items():
        _check(("workloads", name, "budget"), workload.budget, problems)
    for name, team in config.teams.items():
        _check(("teams", name, "budget"), team.budget, problems)
    for position, scoped in enumerate(config.budgets):
        path: Path = ("budgets", position)
        _check(path, scoped, problems)
        section = _SECTIONS.get(scoped.for_)
        if section is not None and scoped.name is not None:
            known = problems.names_of((section,))
            if known is not None and scoped.name not in known:
                fix = did_you_mean(scoped.name, known)
                problems.add((*path, "name"), f"there is no {scoped.for_} {scoped.name!r}", fix)


def _check(path: Path, budget: Budget | None, problems: Problems) -> None:
    if budget is None or not problems.clean(path):
        return
    if not any(True for _ in amounts(budget)):
        problems.add(path, "states no amount", "Add one, such as usd_per_month")
    for key, unit, _, amount in amounts(budget):
        if unit == USD and not (0 <= amount <= USD_MAX):
            problems.add((*path, key), f"must be from 0 to {USD_MAX} dollars, not {amount}", "State the amount in USD")
    if not _zone_exists(budget.time_zone):
        problems.add(
            (*path, "time_zone"),
            f"there is no time zone {budget.time_zone[:64]!r} on this machine",
            "Use a name such as Europe/Berlin, and install tzdata where it is missing",
        )


def _zone_exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
