"""Calls as spans and metrics as data points, in the JSON form of OTLP: what is sent to OpenTelemetry collectors.

Our own attributes begin with `signalbox.` and are stable. Those that begin with `gen_ai.` follow one version of the
semantic conventions and are written only where the configuration names that version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from signalbox.core.records import CANCELLED, SETTLED
from signalbox.core.tracing import SeenAttempt, SeenCall
from signalbox.core.usage import usd
from signalbox.telemetry.metric_table import BY_NAME, METRICS, SECONDS_BUCKETS
from signalbox.telemetry.metrics import Export, Key, merge

Json = dict[str, Any]
Value = str | int | float | bool | tuple[str, ...]
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
_SERVER, _CLIENT = 2, 3
_OK, _ERROR = 1, 2
_CUMULATIVE = 2
# What the conventions call each API.
_OPERATIONS = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "count_tokens": "count_tokens",
}
_PROVIDERS = {"OpenAI": "openai", "Anthropic": "anthropic", "Microsoft": "azure.ai.openai", "Mistral AI": "mistral_ai"}


def attributes(values: Mapping[str, Value | None]) -> list[Json]:
    """The attributes that have a value."""
    return [{"key": key, "value": _any(value)} for key, value in values.items() if value not in (None, "", ())]


def _any(value: Value | None) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, tuple):
        return {"arrayValue": {"values": [{"stringValue": each} for each in value]}}
    return {"stringValue": value}


# --- traces ---


def traces(calls: Iterable[SeenCall], resource: list[Json], version: str, gen_ai: str) -> Json:
    """An ExportTraceServiceRequest: for each call its span, and one for each attempt below it."""
    spans = [span for call in calls for span in _spans(call, gen_ai)]
    scope = {"name": "signalbox", "version": version}
    scoped: Json = {"scope": scope, "spans": spans}
    if gen_ai != "off":
        scoped["schemaUrl"] = SCHEMA_URL
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scoped]}]}


def _spans(call: SeenCall, gen_ai: str) -> list[Json]:
    began = call.started_unix_ns
    root = {
        "traceId": call.trace_id,
        "spanId": call.span_id,
        **({"parentSpanId": call.parent_id} if call.parent_id else {}),
        "name": f"{_OPERATIONS.get(call.api, call.api)} {call.workload}",
        "kind": _SERVER,
        "startTimeUnixNano": str(began),
        "endTimeUnixNano": str(began + call.ended_ns),
        "attributes": attributes(_of_call(call) | (_gen_ai_call(call) if gen_ai != "off" else {})),
        "events": _events(call),
        "status": _status(call.status >= 500, call.code),
        "flags": 1,
    }
    return [root, *(_attempt(call, attempt, began, gen_ai) for attempt in call.attempts)]


def _of_call(call: SeenCall) -> dict[str, Value | None]:
    return {
        "signalbox.request_id": call.request_id,
        "signalbox.endpoint": call.api,
        "http.response.status_code": call.status,
        "error.type": call.code if call.status >= 400 else None,
        "signalbox.stream": call.stream,
        "signalbox.tenant": call.tenant,
        "signalbox.team": call.team,
        "signalbox.key_id": call.key_id,
        "signalbox.workload": call.workload,
        "signalbox.labels": call.labels,
        "signalbox.decision.reason": call.reason,
        "signalbox.decision.choices": call.choices,
        "signalbox.decision.refused": call.refused,
        "signalbox.decision.rules": call.rules,
        "signalbox.config": call.config,
        "signalbox.attempts": len(call.attempts),
        "signalbox.cost_usd": usd(call.spent_pico),
        "signalbox.auth_ms": call.auth_ns / 1e6,
        "signalbox.policy_ms": (call.decided_ns - call.auth_ns) / 1e6 if call.decided_ns else None,
    }


def _events(call: SeenCall) -> list[Json]:
    """What was found in the content and what guards did about it: kinds and numbers, never a value."""
    at = str(call.started_unix_ns + (call.decided_ns or call.auth_ns))
    events: list[Json] = []
    if call.found:
        found: dict[str, Value | None] = {f"signalbox.found.{kind}": count for kind, count in call.found.items()}
        events.append({"timeUnixNano": at, "name": "signalbox.classified", "attributes": attributes(found)})
    return events + _verdicts(call.verdicts, at)


def _verdicts(verdicts: Mapping[str, int], at: str) -> list[Json]:
    """Names are `guard.rule:action@where`, as core.guards makes them."""
    events: list[Json] = []
    for name, count in verdicts.items():
        guard, _, rest = name.partition(".")
        rule, _, did = rest.partition(":")
        action, _, where = did.partition("@")
        said: dict[str, Value | None] = {
            "signalbox.guard": guard,
            "signalbox.guard.rule": rule,
            "signalbox.guard.action": action,
            "signalbox.guard.where": where,
            "signalbox.guard.count": count,
        }
        events.append({"timeUnixNano": at, "name": "signalbox.guard", "attributes": attributes(said)})
    return events


def _attempt(call: SeenCall, attempt: SeenAttempt, began: int, gen_ai: str) -> Json:
    events: list[Json] = []
    if attempt.first_ns:
        events.append({"timeUnixNano": str(began + attempt.first_ns), "name": "signalbox.first_content"})
    events += _verdicts(attempt.verdicts, str(began + attempt.ended_ns))
    values = _of_attempt(attempt)
    if gen_ai != "off":
        values |= _gen_ai_attempt(attempt)
    failed = attempt.state not in (SETTLED, CANCELLED)
    return {
        "traceId": call.trace_id,
        "spanId": attempt.span_id,
        "parentSpanId": call.span_id,
        "name": f"{_OPERATIONS.get(attempt.api, attempt.api)} {attempt.model}",
        "kind": _CLIENT,
        "startTimeUnixNano": str(began + attempt.started_ns),
        "endTimeUnixNano": str(began + attempt.ended_ns),
        "attributes": attributes(values),
        "events": events,
        "status": _status(failed, attempt.error),
        "flags": 1,
    }


def _of_attempt(attempt: SeenAttempt) -> dict[str, Value | None]:
    usage = attempt.usage
    return {
        "signalbox.attempt_id": attempt.attempt_id,
        "signalbox.deployment": attempt.deployment,
        "signalbox.environment": attempt.environment,
        "signalbox.labels": attempt.labels,
        "signalbox.reason": attempt.reason,
        "signalbox.state": attempt.state,
        "error.type": attempt.error or None,
        "http.response.status_code": attempt.status or None,
        "server.address": attempt.host,
        "signalbox.usage_source": attempt.source,
        "signalbox.tokens_in": usage.tokens_in + usage.audio_in,
        "signalbox.tokens_cache_read": usage.cache_read,
        "signalbox.tokens_cache_write": usage.cache_write_5m + usage.cache_write_1h,
        "signalbox.tokens_out": usage.output_total,
        # Text, because the ledger's figure is exact and a double is not.
        "signalbox.cost_usd": None if attempt.cost_pico is None else usd(attempt.cost_pico),
        "signalbox.unpriced": True if attempt.cost_pico is None else None,
    }


def _gen_ai_call(call: SeenCall) -> dict[str, Value | None]:
    return {"gen_ai.operation.name": _OPERATIONS.get(call.api, call.api), "gen_ai.request.model": call.model}


def _gen_ai_attempt(attempt: SeenAttempt) -> dict[str, Value | None]:
    usage = attempt.usage
    return {
        "gen_ai.operation.name": _OPERATIONS.get(attempt.api, attempt.api),
        "gen_ai.provider.name": _PROVIDERS.get(attempt.operator, attempt.protocol),
        "gen_ai.request.model": attempt.model,
        "gen_ai.request.stream": attempt.stream,
        # By these conventions input is everything that went in, cached or not.
        "gen_ai.usage.input_tokens": usage.input_total,
        "gen_ai.usage.output_tokens": usage.output_total,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read or None,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_5m + usage.cache_write_1h or None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning or None,
        "gen_ai.response.time_to_first_chunk": (attempt.first_ns - attempt.started_ns) / 1e9
        if attempt.first_ns
        else None,
    }


def _status(failed: bool, why: str) -> Json:
    return {"code": _ERROR, "message": why} if failed else {"code": _OK}


# --- metrics ---


def metrics(export: Export, resource: list[Json], version: str, started_ns: int, now_ns: int) -> Json:
    """An ExportMetricsServiceRequest of everything that is declared, cumulative since the start. Times: Unix."""
    times = {"startTimeUnixNano": str(started_ns), "timeUnixNano": str(now_ns)}
    rows = merge([export]).by_name()
    found = [_metric(metric.name, rows[metric.name], times) for metric in METRICS if metric.name in rows]
    scoped = {"scope": {"name": "signalbox", "version": version}, "metrics": found}
    return {"resourceMetrics": [{"resource": {"attributes": resource}, "scopeMetrics": [scoped]}]}


def _metric(name: str, rows: list[tuple[Key, list[float]]], times: dict[str, str]) -> Json:
    metric = BY_NAME[name]
    unit = "s" if "_seconds" in name else "By" if "_bytes" in name else "USD" if "_usd" in name else "1"
    head = {"name": name, "description": metric.help, "unit": unit}
    if metric.kind == "histogram":
        points = [_histogram(metric.labels, labels, values, times) for labels, values in rows]
        return head | {"histogram": {"dataPoints": points, "aggregationTemporality": _CUMULATIVE}}
    points = [
        {**times, "asDouble": values[0], "attributes": attributes(dict(zip(metric.labels, labels, strict=True)))}
        for labels, values in rows
    ]
    if metric.kind == "gauge":
        return head | {"gauge": {"dataPoints": points}}
    return head | {"sum": {"dataPoints": points, "aggregationTemporality": _CUMULATIVE, "isMonotonic": True}}


def _histogram(names: tuple[str, ...], labels: Key, values: list[float], times: dict[str, str]) -> Json:
    *counts, total = values
    return {
        **times,
        "count": str(int(sum(counts))),
        "sum": total,
        "bucketCounts": [str(int(count)) for count in counts],
        "explicitBounds": list(SECONDS_BUCKETS),
        "attributes": attributes(dict(zip(names, labels, strict=True))),
    }
