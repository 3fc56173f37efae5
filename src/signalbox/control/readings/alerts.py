"""Alerts that fire, as the supervisor's attendant judges them, with a page that tells more."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from signalbox.control.alerts import Alert
from signalbox.control.readings.budgets import belongings
from signalbox.core.ports import VirtualKey

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


def alert_lines(firing: Iterable[tuple[Alert, float]]) -> list[AlertLine]:
    """The critical first. firing: each since a Unix time."""
    return [
        AlertLine(
            alert.name, alert.severity, alert.subject, alert.summary, round(since_s * 1000), _PAGES.get(alert.name, "")
        )
        for alert, since_s in firing
    ]


def alerts_of_tenant(
    firing: Iterable[tuple[Alert, float]], tenant: str, rows: Iterable[VirtualKey]
) -> list[tuple[Alert, float]]:
    """What somebody of one tenant may see where there are others: of budgets only their own. rows: keys of theirs."""
    theirs = belongings(tenant, rows)
    return [
        (alert, since_s)
        for alert, since_s in firing
        if alert.name != "budget-threshold" or _is_theirs(alert.subject, theirs)
    ]


def _is_theirs(subject: str, theirs: dict[str, set[str]]) -> bool:
    """subject: an account and how full it is, `tenant/acme/usd/day@80%`."""
    scope, _, rest = subject.partition("/")
    return scope not in theirs or rest.rsplit("/", 2)[0] in theirs[scope]
