"""Alerts that fire, as the supervisor's attendant judges them, with a page that tells more."""

from __future__ import annotations

import msgspec

from signalbox.control.readings.facts import Facts

_PAGES = {
    "journal-unhealthy": "/settings",
    "chain-broken": "/compliance",
    "ledger-lag": "/settings",
    "unpriced-usage": "/spend?by=deployment",
    "unknown-usage-field": "/deployments",
    "breaker-open": "/deployments",
    "attestation-expired": "/compliance",
    "attestation-expiring": "/compliance",
    "obligation-missed": "/compliance",
    "budget-threshold": "/keys#budgets",
    "reload-refused": "/settings",
    "worker-restarts": "/settings",
}


class AlertLine(msgspec.Struct, frozen=True):
    """since_ms: Unix milliseconds. where: a page that tells more, empty for none."""

    name: str
    severity: str
    subject: str
    summary: str
    since_ms: int
    where: str


def alert_lines(facts: Facts) -> list[AlertLine]:
    """The critical first."""
    return [
        AlertLine(
            alert.name, alert.severity, alert.subject, alert.summary, round(since_s * 1000), _PAGES.get(alert.name, "")
        )
        for alert, since_s in facts.firing
    ]
