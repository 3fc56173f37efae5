"""Prometheus metrics with stable names and labels bounded by the configuration, mergeable over processes.

Every series lives in one flat mapping from (name, label values) to a number, so that workers can send theirs to the
supervisor, which adds them up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from signalbox.core.records import CANCELLED, FAILED, SETTLED, UNKNOWN
from signalbox.core.usage import PICO, Usage

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
SERIES_MAX = 50_000

# A metric's name, then its label values in declared order.
Key = tuple[str, ...]
Series = dict[Key, float]
HistogramRow = tuple[tuple[str, ...], list[float]]


class Export(msgspec.Struct, frozen=True):
    """One process's metrics as they travel to the supervisor."""

    series: list[tuple[tuple[str, ...], float]]
    histograms: list[HistogramRow]


class Metric(msgspec.Struct, frozen=True):
    """One metric's declaration. kind: counter, gauge or histogram. labels: names, in the order of the values."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


METRICS: tuple[Metric, ...] = (
    Metric("signalbox_requests_total", "counter", "Requests answered, by endpoint and status.", ("endpoint", "status")),
    Metric("signalbox_request_seconds", "histogram", "Time from request to end of answer.", ("endpoint",)),
    Metric("signalbox_attempts_total", "counter", "Attempts ended, by deployment and state.", ("deployment", "state")),
    Metric("signalbox_attempt_seconds", "histogram", "Time of one attempt.", ("deployment",)),
    Metric("signalbox_tokens_total", "counter", "Tokens, by deployment and class.", ("deployment", "class")),
    Metric("signalbox_cost_usd_total", "counter", "Cost of attempts in US dollars.", ("deployment",)),
    Metric("signalbox_unpriced_attempts_total", "counter", "Attempts whose cost is unknown.", ("deployment",)),
    Metric("signalbox_unknown_usage_fields_total", "counter", "Usage fields nobody has classified.", ("deployment",)),
    Metric("signalbox_retries_total", "counter", "Attempts repeated at the same deployment.", ("deployment",)),
    Metric("signalbox_retries_refused_total", "counter", "Retries that a budget did not allow.", ("deployment",)),
    Metric("signalbox_fallovers_total", "counter", "Calls answered after a failure, by who did.", ("deployment",)),
    Metric("signalbox_overflows_total", "counter", "Calls sent on from a full deployment.", ("workload", "reason")),
    Metric("signalbox_hedges_total", "counter", "Second attempts beside slow ones, by who won.", ("workload", "won")),
    Metric("signalbox_quarantined_total", "counter", "Bodies held back because they broke several deployments."),
    Metric("signalbox_replicas_out_of_use", "gauge", "Replicas that get no calls now.", ("deployment",)),
    Metric(
        "signalbox_stream_rescues_total",
        "counter",
        "Streams that died on the way, by what became of them.",
        ("outcome",),
    ),
    Metric("signalbox_in_flight", "gauge", "Calls in flight."),
    Metric("signalbox_shed_total", "counter", "Calls turned away because there was too much to do.", ("criticality",)),
    Metric("signalbox_loop_lag_seconds", "gauge", "How long ready work waits for its turn, of late."),
    Metric("signalbox_client_connections", "gauge", "Open client connections."),
    Metric("signalbox_upstream_connections", "gauge", "Open upstream connections, by state.", ("state",)),
    Metric("signalbox_journal_bytes_total", "counter", "Bytes appended to the journal."),
    Metric("signalbox_journal_errors_total", "counter", "Records the journal refused."),
    Metric("signalbox_ledger_records_shipped_total", "counter", "Journal records moved into the store."),
    Metric("signalbox_ledger_ship_failures_total", "counter", "Passes in which the store could not be written."),
    Metric("signalbox_ledger_lag_seconds", "gauge", "Time since the store last held all that the journals held."),
    Metric("signalbox_config_generation", "gauge", "Generation of the configuration in force."),
    Metric("signalbox_config_reload_failures_total", "counter", "Configurations refused at reload."),
    Metric("signalbox_keys", "gauge", "Virtual keys loaded."),
    Metric("signalbox_workers", "gauge", "Worker processes alive."),
    Metric("signalbox_dropped_series_total", "counter", "Metric updates dropped because of the series bound."),
)
BY_NAME = {metric.name: metric for metric in METRICS}


class _Keys:
    """The series of one deployment that every attempt touches, spelled once."""

    __slots__ = ("cost", "input", "output", "seconds", "state")

    def __init__(self, deployment: str) -> None:
        self.state: dict[str, Key] = {
            state: ("signalbox_attempts_total", deployment, state) for state in (SETTLED, FAILED, CANCELLED, UNKNOWN)
        }
        self.seconds: Key = ("signalbox_attempt_seconds", deployment)
        self.input: Key = ("signalbox_tokens_total", deployment, "input")
        self.output: Key = ("signalbox_tokens_total", deployment, "output")
        self.cost: Key = ("signalbox_cost_usd_total", deployment)


class Metrics:
    """This process's counters and histograms; gauges are set when the page is read."""

    __slots__ = ("_endpoints", "_histograms", "_keys", "_series")

    def __init__(self) -> None:
        self._keys: dict[str, _Keys] = {}
        self._endpoints: dict[tuple[str, int], tuple[Key, Key]] = {}
        self._series: Series = {}
        self._histograms: dict[tuple[str, ...], list[float]] = {}

    def add(self, key: tuple[str, ...], value: float = 1) -> None:
        """key: metric name, then its label values in declared order."""
        series = self._series
        if key in series:
            series[key] += value
        elif len(series) < SERIES_MAX:
            series[key] = value
        else:
            dropped = ("signalbox_dropped_series_total",)
            series[dropped] = series.get(dropped, 0) + 1

    def set(self, key: tuple[str, ...], value: float) -> None:
        if key in self._series or len(self._series) < SERIES_MAX:
            self._series[key] = value

    def observe(self, key: tuple[str, ...], seconds: float) -> None:
        histogram = self._histograms.get(key)
        if histogram is None:
            if len(self._histograms) >= SERIES_MAX // len(SECONDS_BUCKETS):
                return
            # Buckets, then +Inf, then the sum.
            histogram = self._histograms[key] = [0.0] * (len(SECONDS_BUCKETS) + 2)
        histogram[bisect_left(SECONDS_BUCKETS, seconds)] += 1
        histogram[-1] += seconds

    def attempt(self, deployment: str, state: str, usage: Usage, cost_pico: int | None, duration_ns: int) -> None:
        """One attempt ended."""
        keys = self._keys.get(deployment)
        if keys is None:
            keys = self._keys[deployment] = _Keys(deployment)
        add = self.add
        add(keys.state[state])
        self.observe(keys.seconds, duration_ns / 1e9)
        if usage.tokens_in:
            add(keys.input, usage.tokens_in)
        if usage.tokens_out:
            add(keys.output, usage.tokens_out)
        if cost_pico:
            add(keys.cost, cost_pico / PICO)
        elif cost_pico is None:
            add(("signalbox_unpriced_attempts_total", deployment))
        rare = usage.output_total + usage.input_total - usage.tokens_in - usage.tokens_out
        if rare or usage.unknown or usage.rare:
            self._rare(deployment, usage)

    def _rare(self, deployment: str, usage: Usage) -> None:
        for name, tokens in (
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write_5m + usage.cache_write_1h),
            ("reasoning", usage.reasoning),
            ("audio", usage.audio_in + usage.audio_out),
        ):
            if tokens:
                self.add(("signalbox_tokens_total", deployment, name), tokens)
        for name, count in usage.rare:
            self.add(("signalbox_tokens_total", deployment, name), count)
        if usage.unknown:
            self.add(("signalbox_unknown_usage_fields_total", deployment))

    def request(self, endpoint: str, status: int, duration_ns: int) -> None:
        """One request was answered. Endpoints and statuses are few: their keys are made once."""
        keys = self._endpoints.get((endpoint, status))
        if keys is None:
            keys = (("signalbox_requests_total", endpoint, str(status)), ("signalbox_request_seconds", endpoint))
            self._endpoints[(endpoint, status)] = keys
        self.add(keys[0])
        self.observe(keys[1], duration_ns / 1e9)

    def add_histogram(self, key: tuple[str, ...], values: list[float]) -> None:
        mine = self._histograms.setdefault(key, [0.0] * (len(SECONDS_BUCKETS) + 2))
        for index, value in enumerate(values[: len(mine)]):
            mine[index] += value

    def by_name(self) -> tuple[dict[str, list[tuple[tuple[str, ...], float]]], dict[str, list[HistogramRow]]]:
        """Series and histograms grouped by metric name, label values sorted."""
        series: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        for (name, *labels), value in sorted(self._series.items()):
            series.setdefault(name, []).append((tuple(labels), value))
        histograms: dict[str, list[HistogramRow]] = {}
        for (name, *labels), values in sorted(self._histograms.items()):
            histograms.setdefault(name, []).append((tuple(labels), values))
        return series, histograms

    def export(self) -> Export:
        """Everything as plain data, for the supervisor."""
        return Export(list(self._series.items()), list(self._histograms.items()))


def merge(exports: Iterable[Export]) -> Metrics:
    """The sum over processes. Gauges are added too: each process exports its own share."""
    total = Metrics()
    for export in exports:
        for key, value in export.series:
            total.add(key, value)
        for key, values in export.histograms:
            total.add_histogram(key, values)
    return total


def counters(export: Export) -> Export:
    """An export without its gauges."""
    kept = [(key, value) for key, value in export.series if BY_NAME[key[0]].kind == "counter"]
    return Export(kept, export.histograms)


def render(metrics: Metrics) -> str:
    """The Prometheus text format, version 0.0.4."""
    lines: list[str] = []
    series, histograms = metrics.by_name()
    for metric in METRICS:
        if metric.kind == "histogram":
            rows = [line for key, values in histograms.get(metric.name, []) for line in _buckets(metric, key, values)]
        else:
            found = series.get(metric.name, [])
            rows = [f"{metric.name}{_labels(metric.labels, key)} {_number(value)}" for key, value in found]
        if rows:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *rows]
    return "\n".join(lines) + "\n"


def _buckets(metric: Metric, key: tuple[str, ...], values: list[float]) -> list[str]:
    lines: list[str] = []
    total = 0.0
    for bound, count in zip([*map(str, SECONDS_BUCKETS), "+Inf"], values[:-1], strict=True):
        total += count
        lines.append(f"{metric.name}_bucket{_labels((*metric.labels, 'le'), (*key, bound))} {_number(total)}")
    lines.append(f"{metric.name}_sum{_labels(metric.labels, key)} {_number(values[-1])}")
    lines.append(f"{metric.name}_count{_labels(metric.labels, key)} {_number(total)}")
    return lines


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + pairs + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
