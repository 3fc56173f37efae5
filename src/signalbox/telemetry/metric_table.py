"""Every metric there is, declared once: /metrics, OpenTelemetry, docs/reference/metrics.md and the dashboards use it.

Names, types and labels are stable. The values of a label come from the configuration or from a closed list, never from
callers, so that the number of series is bounded by what an operator wrote down.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
# How a gauge of many processes becomes one: their sum, or the worst of them.
Merge = Literal["sum", "max"]
Kind = Literal["counter", "gauge", "histogram"]


class Metric(msgspec.Struct, frozen=True):
    """One metric's declaration. labels: names, in the order of the values. merge: of gauges only."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    merge: Merge = "sum"


METRICS: tuple[Metric, ...] = (
    # --- requests, as clients see them ---
    Metric("signalbox_requests_total", "counter", "Requests answered, by endpoint and status.", ("endpoint", "status")),
    Metric("signalbox_request_seconds", "histogram", "Time from request to end of answer.", ("endpoint",)),
    Metric("signalbox_refused_calls_total", "counter", "Calls that had no attempt, by reason.", ("workload", "reason")),
    Metric("signalbox_shed_total", "counter", "Calls turned away because there was too much to do.", ("criticality",)),
    Metric("signalbox_in_flight", "gauge", "Calls in flight."),
    Metric("signalbox_client_connections", "gauge", "Open client connections."),
    # --- attempts, as providers see them and the ledger books them ---
    Metric("signalbox_attempts_total", "counter", "Attempts ended, by deployment and state.", ("deployment", "state")),
    Metric("signalbox_attempt_seconds", "histogram", "Time of one attempt.", ("deployment",)),
    Metric(
        "signalbox_first_token_seconds",
        "histogram",
        "Time from the start of an attempt to the first content of its stream.",
        ("deployment",),
    ),
    Metric(
        "signalbox_output_token_seconds",
        "histogram",
        "Time for each output token after the first, of streams that ended.",
        ("deployment",),
    ),
    Metric("signalbox_tokens_total", "counter", "Tokens, by deployment and class.", ("deployment", "class")),
    Metric("signalbox_cost_usd_total", "counter", "Cost of attempts in US dollars.", ("deployment",)),
    Metric("signalbox_workload_cost_usd_total", "counter", "Cost of attempts in US dollars.", ("workload",)),
    Metric("signalbox_workload_attempts_total", "counter", "Attempts ended, by workload.", ("workload",)),
    Metric("signalbox_unpriced_attempts_total", "counter", "Attempts whose cost is unknown.", ("deployment",)),
    Metric("signalbox_unknown_usage_fields_total", "counter", "Usage fields nobody has classified.", ("deployment",)),
    Metric("signalbox_retries_total", "counter", "Attempts repeated at the same deployment.", ("deployment",)),
    Metric("signalbox_retries_refused_total", "counter", "Retries that a budget did not allow.", ("deployment",)),
    Metric("signalbox_fallovers_total", "counter", "Calls answered after a failure, by who did.", ("deployment",)),
    Metric("signalbox_overflows_total", "counter", "Calls sent on from a full deployment.", ("workload", "reason")),
    Metric(
        "signalbox_cascades_total",
        "counter",
        "Calls of strategy cascade: weak answer kept, escalated, or why not judged.",
        ("workload", "outcome"),
    ),
    Metric("signalbox_hedges_total", "counter", "Second attempts beside slow ones, by who won.", ("workload", "won")),
    Metric("signalbox_quarantined_total", "counter", "Bodies held back because they broke several deployments."),
    Metric(
        "signalbox_stream_rescues_total",
        "counter",
        "Streams that died on the way, by what became of them.",
        ("outcome",),
    ),
    # --- caches ---
    Metric("signalbox_cache_lookups_total", "counter", "Calls by what their cache did.", ("workload", "outcome")),
    Metric(
        "signalbox_prompt_cache_lost_usd_total",
        "counter",
        "What conversations paid more because they left a provider that had their beginning cached.",
        ("workload",),
    ),
    Metric("signalbox_cache_saved_usd_total", "counter", "What kept answers had cost at first.", ("workload",)),
    Metric(
        "signalbox_cache_semantic_threshold",
        "gauge",
        "Score from which answers to other words are given, by the strictest process; above 1: it gives none.",
        ("workload", "relation"),
        "max",
    ),
    Metric(
        "signalbox_cache_semantic_error_bound",
        "gauge",
        "Share of wrong answers among those given, at most, at 95 % confidence; of the worst process.",
        ("workload", "relation"),
        "max",
    ),
    Metric(
        "signalbox_cache_semantic_questions",
        "gauge",
        "Questions that are known by their meaning, in memory.",
        ("workload",),
    ),
    Metric("signalbox_cache_semantic_waiting", "gauge", "Questions and answers that wait to be compared by meaning."),
    Metric("signalbox_cache_entries", "gauge", "Answers kept in memory."),
    Metric("signalbox_cache_bytes", "gauge", "Memory of kept answers."),
    Metric(
        "signalbox_shadow_calls_total",
        "counter",
        "Calls drawn for the shadow slice: agreed, differed, failed, or why there was no comparison.",
        ("workload", "outcome"),
    ),
    Metric("signalbox_cache_shared_connected", "gauge", "Processes that are connected to the shared cache."),
    Metric(
        "signalbox_cache_shared_failures_total", "counter", "Connections to the shared cache that were lost or not had."
    ),
    # --- guards ---
    Metric(
        "signalbox_guard_verdicts_total",
        "counter",
        "What guards found, by what was done about it; skipped: the guard failed, and is declared to fail open.",
        ("workload", "guard", "action"),
    ),
    # --- places ---
    Metric("signalbox_replicas_out_of_use", "gauge", "Replicas that get no calls now.", ("deployment",)),
    Metric("signalbox_upstream_connections", "gauge", "Open upstream connections, by state.", ("state",)),
    # --- journal and ledger ---
    Metric("signalbox_journal_bytes_total", "counter", "Bytes appended to the journal."),
    Metric("signalbox_journal_errors_total", "counter", "Records the journal refused."),
    Metric("signalbox_journals_unhealthy", "gauge", "Processes whose journal cannot take a record now."),
    Metric("signalbox_journal_findings_total", "counter", "Places at which a journal was found damaged."),
    Metric("signalbox_journal_queued_bytes", "gauge", "Bytes of records that wait until the journal can be written."),
    Metric("signalbox_journal_sync_errors_total", "counter", "Times the disk failed to take what was written."),
    Metric("signalbox_journal_sync_seconds_max", "gauge", "The longest wait for the disk since the start.", (), "max"),
    Metric("signalbox_ledger_records_shipped_total", "counter", "Journal records moved into the store."),
    Metric("signalbox_ledger_ship_failures_total", "counter", "Passes in which the store could not be written."),
    Metric("signalbox_ledger_lag_seconds", "gauge", "Time since the store last held all that the journals held."),
    Metric("signalbox_anchor_failing", "gauge", "1 while the last checkpoint does not reach the object store."),
    # --- configuration, keys, budgets, what is due ---
    Metric("signalbox_config_generation", "gauge", "Generation of the configuration in force."),
    Metric("signalbox_config_reload_failures_total", "counter", "Configurations refused at reload."),
    Metric("signalbox_keys", "gauge", "Virtual keys loaded."),
    Metric(
        "signalbox_key_set_age_seconds", "gauge", "Since an issuer's keys were fetched; -1: never.", ("issuer",), "max"
    ),
    Metric("signalbox_key_set_failing", "gauge", "1 while an issuer's keys cannot be fetched.", ("issuer",), "max"),
    Metric("signalbox_key_set_keys", "gauge", "Fetched keys of an issuer that hold now.", ("issuer",), "max"),
    Metric("signalbox_key_set_fetches_total", "counter", "Fetches of issuers' keys.", ("issuer", "outcome")),
    Metric("signalbox_due", "gauge", "What is due by kind: attestations that end, obligations missed.", ("about",)),
    Metric(
        "signalbox_budget_used_ratio",
        "gauge",
        "Share of a budget that is used in its present period, of budgets that name whose they are.",
        ("account",),
        "max",
    ),
    # --- alerts, and what is sent to others ---
    Metric("signalbox_alerts_firing", "gauge", "Alerts that fire now, by kind.", ("alert", "severity")),
    Metric("signalbox_webhook_deliveries_total", "counter", "Alerts sent to webhooks, by outcome.", ("outcome",)),
    Metric("signalbox_spans_total", "counter", "Spans for OpenTelemetry, by what became of them.", ("outcome",)),
    Metric("signalbox_otlp_metrics_total", "counter", "Sendings of metrics by OTLP, by outcome.", ("outcome",)),
    # --- processes ---
    Metric("signalbox_build_info", "gauge", "Always 1: the version that runs.", ("version",), "max"),
    Metric("signalbox_workers", "gauge", "Worker processes alive."),
    Metric("signalbox_worker_restarts_total", "counter", "Worker processes that died and were started again."),
    Metric("signalbox_loop_lag_seconds", "gauge", "How long ready work waits for its turn, of late.", (), "max"),
    Metric("signalbox_memory_bytes", "gauge", "Resident memory of supervisor and workers.", ("process",)),
    Metric("signalbox_cpu_seconds_total", "counter", "Processor time of supervisor and workers.", ("process",)),
    Metric("signalbox_log_lines_dropped_total", "counter", "Log lines beyond the bound of lines a second."),
    Metric("signalbox_dropped_series_total", "counter", "Metric updates dropped because of the series bound."),
)
BY_NAME = {metric.name: metric for metric in METRICS}
