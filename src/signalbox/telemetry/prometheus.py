"""The page that Prometheus scrapes: metrics in its text format, version 0.0.4."""

from __future__ import annotations

from signalbox.telemetry.metric_table import METRICS, SECONDS_BUCKETS, Metric
from signalbox.telemetry.metrics import Key, Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (*map(str, SECONDS_BUCKETS), "+Inf")


def render(metrics: Metrics) -> str:
    """Every declared metric that has a number; counters without labels are there from the start, as 0."""
    found = metrics.by_name()
    lines: list[str] = []
    for metric in METRICS:
        rows = found.get(metric.name, [])
        if metric.kind == "histogram":
            shown = [line for key, values in rows if any(values) for line in _histogram(metric, key, values)]
        elif not rows and metric.kind == "counter" and not metric.labels:
            shown = [f"{metric.name} 0"]
        else:
            shown = [f"{metric.name}{_labels(metric.labels, key)} {number(values[0])}" for key, values in rows]
        if shown:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *shown]
    return "\n".join(lines) + "\n"


def _histogram(metric: Metric, key: Key, values: list[float]) -> list[str]:
    lines: list[str] = []
    total = 0.0
    for bound, count in zip(_BOUNDS, values[:-1], strict=True):
        total += count
        lines.append(f"{metric.name}_bucket{_labels((*metric.labels, 'le'), (*key, bound))} {number(total)}")
    lines.append(f"{metric.name}_sum{_labels(metric.labels, key)} {number(values[-1])}")
    lines.append(f"{metric.name}_count{_labels(metric.labels, key)} {number(total)}")
    return lines


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + pairs + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: float) -> str:
    """A whole number without a point; anything else as short as it can be read back."""
    return str(int(value)) if value == int(value) else repr(value)
