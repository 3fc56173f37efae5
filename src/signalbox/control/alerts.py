"""What is wrong and wants somebody: every alert there is, when it fires, and what it says. Pure, but for its memory of
what was counted before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from signalbox.config.schema_telemetry import AlertName
from signalbox.core.budgets import CONCURRENCY, Balance, Budget
from signalbox.telemetry.metrics import Metrics

Severity = Literal["critical", "warning"]
# An alert about something that was counted fires for so long after the last time.
HOLD_S = 900.0
FIRING_MAX = 1000
_TEXT_MAX = 300

SEVERITIES: dict[AlertName, Severity] = {
    "journal-unhealthy": "critical",
    "chain-broken": "critical",
    "ledger-lag": "warning",
    "unpriced-usage": "warning",
    "unknown-usage-field": "warning",
    "breaker-open": "warning",
    "attestation-expired": "critical",
    "attestation-expiring": "warning",
    "obligation-missed": "warning",
    "budget-threshold": "warning",
    "reload-refused": "warning",
    "worker-restarts": "warning",
    "shedding": "warning",
    "telemetry-lost": "warning",
    "guard-skipped": "critical",
    "prompt-leak": "warning",
    "guard-anomaly": "warning",
    "anchor-failing": "warning",
    "key-set-stale": "critical",
}
# Alerts about counters that should stand still: the metric, the position of the label that names whose it is, and what
# it means.
_COUNTED: tuple[tuple[AlertName, str, int, str], ...] = (
    ("unpriced-usage", "signalbox_unpriced_attempts_total", 1, "attempts ended without a known cost"),
    ("unknown-usage-field", "signalbox_unknown_usage_fields_total", 1, "the provider reports usage nobody classified"),
    ("worker-restarts", "signalbox_worker_restarts_total", 0, "worker processes died and were started again"),
    ("shedding", "signalbox_shed_total", 1, "calls were turned away because there was too much to do"),
)
_LOST = (
    ("signalbox_spans_total", "lost"),
    ("signalbox_otlp_metrics_total", "failed"),
    ("signalbox_webhook_deliveries_total", "failed"),
    ("signalbox_webhook_deliveries_total", "dropped"),
)
# Verdicts of guards: the guard, or any; what was done about it; what that means.
_VERDICTS: tuple[tuple[AlertName, str, tuple[str, ...], str], ...] = (
    ("guard-skipped", "", ("skipped",), "a guard failed and calls went on without it"),
    ("prompt-leak", "no-system-prompt-leak", ("cut", "flag"), "answers repeat the system prompt"),
)
# What guards do about what is out of the ordinary. Tokens for values are everyday work, not a finding.
_FINDINGS = frozenset(("flag", "replace", "cut", "block"))
_EVERYDAY = ("pseudonymise", "replace")
# A share of findings is out of the ordinary when it is so many times the usual one, over a window in which there were
# enough of both. Before so many calls nothing is usual yet, and only a share of at least so much is told.
_TIMES, _WINDOW_S, _FINDINGS_MIN, _CALLS_MIN = 3.0, 300.0, 10, 20
_KNOWN_CALLS, _UNKNOWN_SHARE = 200, 0.5
# What is older counts less, by this with every window.
_FADES = 0.9

_DUE: tuple[tuple[str, AlertName, str], ...] = (
    ("expired", "attestation-expired", "attestations or contracts have ended: what they allowed is refused now"),
    ("expiring", "attestation-expiring", "attestations or contracts end soon"),
    ("obligation", "obligation-missed", "obligations of workloads are not met; `signalbox check` lists them"),
)


class Alert(msgspec.Struct, frozen=True):
    """One alert that fires. subject: about what, such as a deployment; empty for the installation."""

    name: AlertName
    subject: str
    summary: str

    @property
    def severity(self) -> Severity:
        if self.name == "budget-threshold" and self.subject.endswith("@100%"):
            return "critical"
        return SEVERITIES[self.name]

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.subject


class Facts(msgspec.Struct, frozen=True):
    """What alerts are judged by. due: as policy.check counts it. last_error: why the last reload was refused."""

    metrics: Metrics
    due: dict[str, int]
    last_error: str
    budgets: tuple[Budget, ...]
    balances: list[Balance]
    thresholds: list[float]
    ledger_lag_s: float


class _Share:
    """How often one guard finds something in one workload's calls. calls, findings: counted when the window began, at
    at_s; of what was before it: usual_calls, usual_findings."""

    __slots__ = ("at_s", "calls", "findings", "fired_s", "usual_calls", "usual_findings")

    def __init__(self, now_s: float) -> None:
        self.at_s = now_s
        self.fired_s = -HOLD_S
        self.calls = self.findings = self.usual_calls = self.usual_findings = 0.0

    def fires(self, calls: float, findings: float, now_s: float) -> bool:
        new_calls, new_findings = max(0.0, calls - self.calls), max(0.0, findings - self.findings)
        if new_findings >= _FINDINGS_MIN and new_calls >= _CALLS_MIN:
            limit = _UNKNOWN_SHARE
            if self.usual_calls >= _KNOWN_CALLS:
                limit = _TIMES * (self.usual_findings + 1) / self.usual_calls
            if new_findings / new_calls >= limit:
                self.fired_s = now_s
        if now_s - self.at_s >= _WINDOW_S:
            self.usual_calls = self.usual_calls * _FADES + new_calls
            self.usual_findings = self.usual_findings * _FADES + new_findings
            self.calls, self.findings, self.at_s = calls, findings, now_s
        return now_s - self.fired_s < HOLD_S


class Judge:
    """Says what fires now."""

    def __init__(self) -> None:
        self._shares: dict[tuple[str, str], _Share] = {}
        # A counter's series to its last value and when it last rose; the first look is no rise.
        self._seen: dict[tuple[str, ...], tuple[float, float]] = {}

    def firing(self, facts: Facts, now_s: float) -> list[Alert]:
        """In order of severity. now_s: any clock that only goes forward."""
        counted = [*self._counters(facts.metrics, now_s), *self._anomalies(facts.metrics, now_s)]
        found = [*counted, *_states(facts), *_budgets(facts)]
        return sorted(found, key=lambda alert: (alert.severity, alert.key))[:FIRING_MAX]

    def _counters(self, metrics: Metrics, now_s: float) -> Iterator[Alert]:
        rows = metrics.by_name()
        for name, metric, label, what in _COUNTED:
            for labels, values in rows.get(metric, []):
                if self._rose((metric, *labels), values[0], now_s):
                    yield Alert(name, labels[label - 1] if label else "", f"{what}: {values[0]:g} since the start")
        for metric, outcome in _LOST:
            for labels, values in rows.get(metric, []):
                if labels[0] == outcome and self._rose((metric, outcome), values[0], now_s):
                    summary = f"{metric} of outcome {outcome!r} rose to {values[0]:g}"
                    yield Alert("telemetry-lost", f"{metric} {outcome}", summary)

        for (workload, guard, action), values in rows.get("signalbox_guard_verdicts_total", []):
            for name, whose, actions, what in _VERDICTS:
                series = ("signalbox_guard_verdicts_total", workload, guard, action)
                if action in actions and whose in ("", guard) and self._rose(series, values[0], now_s):
                    yield Alert(name, f"{workload} {guard}", f"{what}: {values[0]:g} since the start")

    def _anomalies(self, metrics: Metrics, now_s: float) -> Iterator[Alert]:
        rows = metrics.by_name()
        calls = {labels[0]: values[0] for labels, values in rows.get("signalbox_workload_attempts_total", [])}
        findings: dict[tuple[str, str], float] = {}
        for (workload, guard, action), values in rows.get("signalbox_guard_verdicts_total", []):
            if action in _FINDINGS and (guard, action) != _EVERYDAY:
                findings[workload, guard] = findings.get((workload, guard), 0.0) + values[0]
        for (workload, guard), count in findings.items():
            share = self._shares.get((workload, guard)) or _Share(now_s)
            if (workload, guard) in self._shares or len(self._shares) < FIRING_MAX:
                self._shares[workload, guard] = share
            if share.fires(calls.get(workload, 0.0), count, now_s):
                yield Alert("guard-anomaly", f"{workload} {guard}", "it finds far more than usual in this workload")

    def _rose(self, series: tuple[str, ...], value: float, now_s: float) -> bool:
        last, at_s = self._seen.get(series, (0.0, -HOLD_S))
        if value > last:
            at_s = now_s
        if series in self._seen or len(self._seen) < FIRING_MAX:
            self._seen[series] = (value, at_s)
        return now_s - at_s < HOLD_S


def _states(facts: Facts) -> Iterator[Alert]:
    rows = facts.metrics.by_name()

    def total(metric: str) -> float:
        return sum(values[0] for _, values in rows.get(metric, []))

    if total("signalbox_journals_unhealthy"):
        yield Alert("journal-unhealthy", "", "a journal cannot take records: calls are refused")
    if count := total("signalbox_journal_findings_total"):
        yield Alert(
            "chain-broken", "", f"a journal is damaged in {count:g} places; `signalbox ledger verify` names them"
        )
    lag_s = total("signalbox_ledger_lag_seconds")
    if lag_s > facts.ledger_lag_s:
        yield Alert("ledger-lag", "", f"the store is {lag_s:.0f} s behind the journals")
    if total("signalbox_anchor_failing"):
        yield Alert("anchor-failing", "", "checkpoints do not reach the object store; they are tried again")
    for labels, values in rows.get("signalbox_replicas_out_of_use", []):
        if values[0]:
            yield Alert("breaker-open", labels[0], f"{values[0]:g} replicas get no calls, over all workers")
    for labels, values in rows.get("signalbox_key_set_failing", []):
        if values[0]:
            summary = "its published keys cannot be fetched: the last good ones hold until they are too old"
            yield Alert("key-set-stale", _plain(labels[0]), summary)
    for about, name, what in _DUE:
        if count := facts.due.get(about, 0):
            yield Alert(name, "", f"{count} {what}")
    if facts.last_error:
        yield Alert("reload-refused", "", _plain(f"the last good configuration stays in force: {facts.last_error}"))


def used_ratios(budgets: Iterable[Budget], balances: Iterable[Balance]) -> Iterator[tuple[Budget, str, float]]:
    """(budget, account, share of it that is used in its present period)."""
    by_kind = {(budget.scope, budget.subject, budget.unit, budget.window): budget for budget in budgets}
    for balance in balances:
        scope, _, rest = balance.account.partition("/")
        subject, unit, window = rest.rsplit("/", 2)
        budget = by_kind.get((scope, subject, unit, window)) or by_kind.get((scope, "", unit, window))
        if budget is not None and unit != CONCURRENCY and budget.amount > 0:
            yield budget, balance.account, (balance.spent + balance.used) / budget.amount


def _budgets(facts: Facts) -> Iterator[Alert]:
    for budget, account, ratio in used_ratios(facts.budgets, facts.balances):
        reached = [threshold for threshold in facts.thresholds if ratio >= threshold]
        if reached:
            kind = "hard" if budget.hard else "soft"
            summary = f"{ratio:.0%} of the {kind} budget is used"
            yield Alert("budget-threshold", _plain(f"{account}@{max(reached):.0%}"), summary)


def _plain(text: str) -> str:
    """Names in accounts may be a caller's own, and messages may quote a file: nothing in them acts on whoever reads."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_TEXT_MAX]
