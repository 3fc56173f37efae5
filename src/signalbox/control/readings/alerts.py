"""What needs somebody's attention now, the worst first: from the supervisor's facts, budgets and recent spend."""

from __future__ import annotations

import msgspec

from signalbox.control.readings.budgets import BudgetUse
from signalbox.control.readings.facts import Facts

# A budget is worth a word from this share on.
BUDGET_SHARE = 0.8
LAG_S = 30.0
DUE_MAX = 50
SEVERITIES = ("critical", "warning", "notice")


class Alert(msgspec.Struct, frozen=True):
    """severity: one of SEVERITIES. what: one sentence. fix: what to do about it. where: a page that tells more."""

    severity: str
    what: str
    fix: str = ""
    where: str = ""


def alerts(facts: Facts, budgets: list[BudgetUse], unpriced: int) -> list[Alert]:
    """unpriced: attempts of the last day whose cost is unknown."""
    found = [
        *_processes(facts),
        *_ledger(facts),
        *_deployments(facts),
        *(_budget(one) for one in budgets if one.share >= BUDGET_SHARE),
    ]
    if unpriced:
        what = f"{unpriced} attempts of the last day have no price: their cost is unknown, not zero."
        found.append(Alert("warning", what, "State a price for their deployment.", "/spend?by=deployment"))
    found += [Alert("warning", each, where="/compliance") for each in facts.due[:DUE_MAX]]
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))


def _processes(facts: Facts) -> list[Alert]:
    found: list[Alert] = []
    if facts.workers_alive < facts.workers:
        what = f"{facts.workers - facts.workers_alive} of {facts.workers} workers are not running."
        found.append(Alert("critical", what, "They are started again by themselves; the log says why.", "/settings"))
    if facts.last_error:
        what = "The configuration was refused; the last good one stays in force."
        found.append(Alert("critical", what, "Mend the file, then reload.", "/settings"))
    return found


def _ledger(facts: Facts) -> list[Alert]:
    found: list[Alert] = []
    if facts.balances is None:
        found.append(Alert("critical", "The store does not answer: no page can show the ledger.", "", "/settings"))
    lag_s = facts.gauge("signalbox_ledger_lag_seconds")
    if lag_s > LAG_S:
        what = f"The store lags {lag_s:.0f} s behind the journals: what you see here is that old."
        found.append(Alert("warning", what, "Requests are not affected. See why the store is slow.", "/settings"))
    errors = int(facts.gauge("signalbox_journal_errors_total"))
    if errors:
        what = f"The journal refused {errors} records since the start: those calls were turned away."
        found.append(Alert("critical", what, "See that its disk has room.", "/settings"))
    return found


def _deployments(facts: Facts) -> list[Alert]:
    return [
        Alert("warning", f"{int(count)} replicas of {name} are out of use.", "Calls go elsewhere.", "/deployments")
        for name, count in sorted(facts.by_label("signalbox_replicas_out_of_use").items())
        if count
    ]


def _budget(one: BudgetUse) -> Alert:
    severity = "critical" if one.share >= 1 else "warning"
    return Alert(severity, f"{one.share:.0%} of the budget {one.account} is used or reserved.", "", "/keys#budgets")
