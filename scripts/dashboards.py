"""Writes deploy/grafana/*.json from the lists below, so that panels are uniform: scripts/dashboards.py [--check]"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "deploy" / "grafana"
Panel = dict[str, Any]
SOURCE = {"type": "prometheus", "uid": "${source}"}
RATE = "[$__rate_interval]"


def panel(title: str, unit: str, *queries: tuple[str, str], kind: str = "timeseries", what: str = "") -> Panel:
    """queries: (PromQL, legend)."""
    return {
        "title": title,
        "description": what,
        "type": kind,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"]}}
        if kind == "timeseries"
        else {},
        "targets": [
            {"refId": chr(65 + index), "expr": expr, "legendFormat": legend, "datasource": SOURCE}
            for index, (expr, legend) in enumerate(queries)
        ],
    }


def rate(metric: str, by: str = "", where: str = "") -> str:
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate({metric}{where}{RATE}))"


def quantile(share: float, metric: str, by: str, where: str = "") -> str:
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{where}{RATE})))"


OF_DEPLOYMENT = '{deployment=~"$deployment"}'
OPERATE = [
    panel("Requests", "reqps", (rate("signalbox_requests_total", "endpoint"), "{{endpoint}}")),
    panel(
        "Requests that failed",
        "percentunit",
        (
            rate("signalbox_requests_total", where='{status=~"5.."}') + " / " + rate("signalbox_requests_total"),
            "answered with a 5xx",
        ),
        (rate("signalbox_requests_total", where='{status="429"}') + " / " + rate("signalbox_requests_total"), "429"),
    ),
    panel(
        "Time of a request",
        "s",
        (quantile(0.5, "signalbox_request_seconds", "endpoint"), "{{endpoint}} p50"),
        (quantile(0.99, "signalbox_request_seconds", "endpoint"), "{{endpoint}} p99"),
    ),
    panel(
        "Calls refused", "reqps", (rate("signalbox_refused_calls_total", "workload, reason"), "{{workload}} {{reason}}")
    ),
    panel(
        "Calls in flight", "short", ("signalbox_in_flight", "in flight"), ("signalbox_client_connections", "clients")
    ),
    panel("Turned away", "reqps", (rate("signalbox_shed_total", "criticality"), "{{criticality}}")),
    panel(
        "Journal and store",
        "s",
        ("signalbox_ledger_lag_seconds", "store behind the journals"),
        ("signalbox_journal_sync_seconds_max", "longest wait for the disk"),
    ),
    panel(
        "Trouble with the journal",
        "short",
        ("signalbox_journals_unhealthy", "journals that cannot take a record"),
        ("signalbox_journal_findings_total", "damaged places"),
        ("signalbox_journal_errors_total", "records refused"),
        ("signalbox_journal_sync_errors_total", "failures of the disk"),
        ("signalbox_journal_queued_bytes", "bytes that wait to be written"),
        kind="stat",
    ),
    panel("Memory", "bytes", ("signalbox_memory_bytes", "{{process}}")),
    panel("Processor time", "short", (rate("signalbox_cpu_seconds_total", "process"), "{{process}}")),
    panel("Waiting of the event loop", "s", ("signalbox_loop_lag_seconds", "worst worker")),
    panel(
        "Processes",
        "short",
        ("signalbox_workers", "workers alive"),
        ("signalbox_config_generation", "configuration"),
        ("signalbox_config_reload_failures_total", "reloads refused"),
        kind="stat",
    ),
    panel("Alerts", "short", ("signalbox_alerts_firing", "{{alert}} ({{severity}})"), kind="table"),
    panel("Due", "short", ("signalbox_due", "{{about}}"), kind="stat"),
]
DEPLOYMENTS = [
    panel(
        "Attempts by state",
        "reqps",
        (rate("signalbox_attempts_total", "deployment, state", OF_DEPLOYMENT), "{{deployment}} {{state}}"),
    ),
    panel(
        "First token",
        "s",
        (quantile(0.5, "signalbox_first_token_seconds", "deployment", OF_DEPLOYMENT), "{{deployment}} p50"),
        (quantile(0.95, "signalbox_first_token_seconds", "deployment", OF_DEPLOYMENT), "{{deployment}} p95"),
    ),
    panel(
        "Time for each output token",
        "s",
        (quantile(0.5, "signalbox_output_token_seconds", "deployment", OF_DEPLOYMENT), "{{deployment}} p50"),
        (quantile(0.95, "signalbox_output_token_seconds", "deployment", OF_DEPLOYMENT), "{{deployment}} p95"),
    ),
    panel(
        "Time of an attempt",
        "s",
        (quantile(0.5, "signalbox_attempt_seconds", "deployment", OF_DEPLOYMENT), "{{deployment}} p50"),
        (quantile(0.99, "signalbox_attempt_seconds", "deployment", OF_DEPLOYMENT), "{{deployment}} p99"),
    ),
    panel("Replicas out of use", "short", ("signalbox_replicas_out_of_use" + OF_DEPLOYMENT, "{{deployment}}")),
    panel("Upstream connections", "short", ("signalbox_upstream_connections", "{{state}}")),
    panel(
        "Retries and fall-overs",
        "reqps",
        (rate("signalbox_retries_total", "deployment", OF_DEPLOYMENT), "{{deployment}} retried"),
        (rate("signalbox_fallovers_total", "deployment", OF_DEPLOYMENT), "{{deployment}} took over"),
        (rate("signalbox_retries_refused_total", "deployment", OF_DEPLOYMENT), "{{deployment}} not retried"),
    ),
    panel(
        "Detours",
        "reqps",
        (rate("signalbox_overflows_total", "workload, reason"), "{{workload}} overflow {{reason}}"),
        (rate("signalbox_hedges_total", "workload, won"), "{{workload}} hedge, won by {{won}}"),
        (rate("signalbox_stream_rescues_total", "outcome"), "rescue {{outcome}}"),
    ),
]
MONEY = [
    panel(
        "Spend by workload",
        "currencyUSD",
        ("sum by (workload) (increase(signalbox_workload_cost_usd_total[1h]))", "{{workload}}"),
        what="US dollars an hour.",
    ),
    panel(
        "Spend by deployment",
        "currencyUSD",
        ("sum by (deployment) (increase(signalbox_cost_usd_total[1h]))", "{{deployment}}"),
        what="US dollars an hour.",
    ),
    panel("Tokens", "short", (rate("signalbox_tokens_total", "class"), "{{class}}")),
    panel("Attempts by workload", "reqps", (rate("signalbox_workload_attempts_total", "workload"), "{{workload}}")),
    panel("Budgets", "percentunit", ("signalbox_budget_used_ratio", "{{account}}"), kind="bargauge"),
    panel(
        "Cost that is not known",
        "short",
        (rate("signalbox_unpriced_attempts_total", "deployment"), "{{deployment}} unpriced"),
        (rate("signalbox_unknown_usage_fields_total", "deployment"), "{{deployment}} unknown usage"),
        what="Never zero in silence: state a price, or report the field.",
    ),
]


def dashboard(name: str, title: str, panels: list[Panel], *, by_deployment: bool = False) -> dict[str, Any]:
    variables: list[dict[str, Any]] = [
        {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    ]
    if by_deployment:
        variables.append(
            {
                "name": "deployment",
                "label": "Deployment",
                "type": "query",
                "datasource": SOURCE,
                "query": "label_values(signalbox_attempts_total, deployment)",
                "multi": True,
                "includeAll": True,
                "allValue": ".*",
                "refresh": 2,
            }
        )
    placed = [
        each | {"id": index + 1, "gridPos": {"h": 8, "w": 12, "x": index % 2 * 12, "y": index // 2 * 8}}
        for index, each in enumerate(panels)
    ]
    return {
        "uid": f"signalbox-{name}",
        "title": f"Signalbox: {title}",
        "tags": ["signalbox"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": placed,
    }


DASHBOARDS = {
    "operate": dashboard("operate", "operation", OPERATE),
    "deployments": dashboard("deployments", "deployments", DEPLOYMENTS, by_deployment=True),
    "money": dashboard("money", "money", MONEY),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale: list[str] = []
    for name, document in DASHBOARDS.items():
        path, text = TARGET / f"{name}.json", json.dumps(document, indent=2) + "\n"
        if check:
            stale += [path.name] if not path.exists() or path.read_text() != text else []
        else:
            path.write_text(text)
    print("\n".join(f"{name} is stale: python scripts/dashboards.py" for name in stale), end="\n" if stale else "")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
