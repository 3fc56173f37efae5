"""From budgets as the file declares them to those that a request is counted against."""

from __future__ import annotations

from collections.abc import Iterator

from signalbox.config import schema, schema_budgets
from signalbox.config.allowances import amounts
from signalbox.core.budgets import GPU, GPU_NS, USD, Budget
from signalbox.core.usage import PICO

_PARTS = {USD: PICO, GPU: GPU_NS}


def declared_budgets(config: schema.Config) -> tuple[Budget, ...]:
    """Every stated amount is one budget."""
    found: list[Budget] = []
    for name, workload in config.workloads.items():
        found += _budgets("workload", name, workload.budget)
    for name, team in config.teams.items():
        found += _budgets("team", name, team.budget)
    for scoped in config.budgets:
        found += _budgets(scoped.for_, scoped.name or "", scoped)
    return tuple(found)


def _budgets(scope: str, subject: str, declared: schema_budgets.Budget | None) -> Iterator[Budget]:
    if declared is None:
        return
    for _, unit, window, amount in amounts(declared):
        yield Budget(scope, subject, unit, window, int(amount * _PARTS.get(unit, 1)), declared.hard, declared.time_zone)
