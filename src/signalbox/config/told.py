"""Addresses that are told something, not asked: collectors, webhooks, the store of anchors. One that cannot be used is
a finding here; found out later, it would be a line in a log while nobody hears of alerts."""

from __future__ import annotations

from signalbox.config.address import AddressProblem, origin_of
from signalbox.config.problems import Path, Problems
from signalbox.config.schema import Config


def check_told(config: Config, problems: Problems) -> None:
    addresses: list[tuple[Path, str]] = [
        (("alerts", "webhooks", position, "url"), webhook.url)
        for position, webhook in enumerate(config.alerts.webhooks)
        if problems.clean(("alerts", "webhooks", position))
    ]
    if config.telemetry.otlp is not None:
        addresses.append((("telemetry", "otlp", "endpoint"), config.telemetry.otlp.endpoint))
    if config.ledger.anchor is not None:
        addresses.append((("ledger", "anchor", "url"), config.ledger.anchor.url))
    for path, url in addresses:
        try:
            origin_of(url, private=None, ca_file=None, proxy=None)
        except AddressProblem as problem:
            problems.add(path, problem.what, problem.fix)
