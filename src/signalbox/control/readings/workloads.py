"""The routing table: each workload with where it may go, what it costs, how it does, and what is left of its budget."""

from __future__ import annotations

import msgspec

from signalbox.control.in_force import InForce
from signalbox.control.readings.budgets import BudgetUse, uses
from signalbox.control.readings.placements import Placement, Reason, placements_of
from signalbox.control.readings.recent import NOTHING, Pace, paces
from signalbox.control.readings.scope import Scope
from signalbox.core.attempts import AttemptFilter
from signalbox.core.budgets import Balance
from signalbox.core.days import DAY_MS
from signalbox.core.ports import Store
from signalbox.policy import rules

DAYS = 30


class Cost(msgspec.Struct, frozen=True):
    """Of the last 30 days. each_pico: mean of an attempt."""

    attempts: int = 0
    cost_pico: int = 0

    @property
    def each_pico(self) -> int | None:
        return self.cost_pico // self.attempts if self.attempts else None


class WorkloadLine(msgspec.Struct, frozen=True):
    """One row of the table. usable: listed and permitted, in order. forbidden: listed, but rules forbid it."""

    name: str
    data: tuple[str, ...]
    regulations: tuple[str, ...]
    strategy: str
    quality_min: float
    ttft_p95_ms: int
    usable: tuple[Placement, ...]
    forbidden: tuple[Placement, ...]
    cost: Cost
    pace: Pace
    budgets: tuple[BudgetUse, ...]


class OneWorkload(msgspec.Struct, frozen=True):
    """One workload in full. placed: cost by deployment. rules: that apply to what it declares."""

    line: WorkloadLine
    placements: tuple[Placement, ...]
    placed: dict[str, Cost]
    rules: tuple[Reason, ...]
    listed: tuple[str, ...]
    settings: dict[str, str]


def workloads(
    store: Store, in_force: InForce, scope: Scope, balances: tuple[Balance, ...], now_ms: int
) -> list[WorkloadLine]:
    """In the order of the file. Raises StoreError."""
    costs = _costs(store, scope, "workload", AttemptFilter(), now_ms)
    pace = paces(store, scope, "workload")
    budgets = _budgets(in_force, balances, now_ms)
    return [_line(in_force, name, costs, pace, budgets) for name in in_force.snapshot.workloads]


def one_workload(
    store: Store, in_force: InForce, scope: Scope, balances: tuple[Balance, ...], now_ms: int, name: str
) -> OneWorkload | None:
    snapshot = in_force.snapshot
    workload = snapshot.workloads.get(name)
    if workload is None:
        return None
    costs = _costs(store, scope, "workload", AttemptFilter(workload=name), now_ms)
    line = _line(in_force, name, costs, paces(store, scope, "workload"), _budgets(in_force, balances, now_ms))
    applying = rules.applying(snapshot, workload, workload.labels)
    return OneWorkload(
        line,
        tuple(placements_of(snapshot, workload)),
        _costs(store, scope, "deployment", AttemptFilter(workload=name), now_ms),
        tuple(Reason(rule.id, rule.source) for rule in applying),
        tuple(snapshot.deployments[index].name for index in workload.placements),
        _settings(in_force, name),
    )


def _line(
    in_force: InForce,
    name: str,
    costs: dict[str, Cost],
    pace: dict[str, Pace],
    budgets: dict[str, list[BudgetUse]],
) -> WorkloadLine:
    workload = in_force.snapshot.workloads[name]
    found = placements_of(in_force.snapshot, workload)
    listed = [one for one in found if one.listed or not workload.placements]
    return WorkloadLine(
        name,
        workload.labels.names(),
        tuple(sorted(workload.regulations)),
        workload.strategy,
        workload.quality_min,
        workload.ttft_p95_ms,
        tuple(one for one in listed if one.permitted),
        tuple(one for one in listed if not one.permitted),
        costs.get(name, Cost()),
        pace.get(name, NOTHING),
        tuple(budgets.get(name, [])),
    )


def _costs(store: Store, scope: Scope, by: str, where: AttemptFilter, now_ms: int) -> dict[str, Cost]:
    since_ms = now_ms // DAY_MS * DAY_MS - (DAYS - 1) * DAY_MS
    asked = scope.narrow(msgspec.structs.replace(where, since_ms=since_ms))
    return {one.group: Cost(one.attempts, one.cost_pico) for one in store.sum_attempts(asked, by)}


def _budgets(in_force: InForce, balances: tuple[Balance, ...], now_ms: int) -> dict[str, list[BudgetUse]]:
    found: dict[str, list[BudgetUse]] = {}
    for one in uses(in_force.snapshot, (), balances, now_ms):
        if one.scope == "workload":
            found.setdefault(one.subject, []).append(one)
    return found


def _settings(in_force: InForce, name: str) -> dict[str, str]:
    """What else the file says of it, by setting; empty for a workload that stands in no file."""
    declared = in_force.declared.config.workloads.get(name)
    if declared is None:
        return {}
    shown = ("retries", "hedge", "stream_rescue", "opaque", "classify", "criticality", "facts")
    values = {setting: getattr(declared, setting) for setting in shown}
    return {setting: msgspec.json.encode(value, enc_hook=str).decode() for setting, value in values.items() if value}
