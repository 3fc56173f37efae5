"""Measurements of one's own deployments as points to calibrate with: from ledger rows, or from a GuideLLM report.

Ledger rows say how fast single requests were; how many others were in flight beside each is counted here, so a row
must come with all others of its deployment in its time.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate

import msgspec

from signalbox.planner.calibration import Point
from signalbox.planner.specs import GpuSpec, LengthMix, ModelSpec, PlannerError, ServingConfig

# Fewer tokens or requests say more about chance than about the deployment.
TOKENS_OUT_MIN = 16
REQUESTS_MIN = 20
# Steps of the concurrency by which requests are put together: a factor of the square root of two.
BUCKETS_PER_DOUBLING = 2
ROWS_MAX = 2_000_000


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured: the model on this accelerator in this configuration, by so many replicas."""

    model: ModelSpec
    gpu: GpuSpec
    config: ServingConfig
    replicas: int = 1

    def point(self, mix: LengthMix, concurrency: float, tpot_s: float, ttft_s: float | None) -> Point:
        return Point(
            model=self.model,
            gpu=self.gpu,
            config=self.config,
            mix=mix,
            concurrency=concurrency,
            tpot_s=tpot_s,
            ttft_s=ttft_s,
        )


class LedgerRow(msgspec.Struct, frozen=True):
    """Of an attempt, as `signalbox ledger query --json` prints it, what is needed here. time: when it was opened."""

    time: datetime
    state: str
    tokens_in: int
    tokens_out: int
    tokens_cache_read: int = 0
    ttft_ms: float | None = None
    duration_ms: float | None = None

    @property
    def start_s(self) -> float:
        return self.time.timestamp()

    @property
    def end_s(self) -> float:
        return self.start_s + (self.duration_ms or 0.0) / 1e3


def from_ledger(rows: Iterable[LedgerRow], served: Served) -> list[Point]:
    """One point for each level of concurrency with enough requests. Raises PlannerError when there is none."""
    known = [row for row in rows if row.duration_ms]
    if len(known) > ROWS_MAX:
        raise PlannerError(f"{len(known)} attempts; at most {ROWS_MAX} are read at once: take a shorter time")
    load = _Load([(row.start_s, row.end_s) for row in known])
    buckets: dict[int, list[tuple[LedgerRow, float]]] = defaultdict(list)
    for row in known:
        if row.state == "settled" and row.tokens_out >= TOKENS_OUT_MIN and _step_s(row):
            others = max(1.0, load.mean(row.start_s, row.end_s) / served.replicas)
            buckets[round(math.log2(others) * BUCKETS_PER_DOUBLING)].append((row, others))
    points = [_point(found, served) for _, found in sorted(buckets.items()) if len(found) >= REQUESTS_MIN]
    if not points:
        raise PlannerError(
            f"no level of load has {REQUESTS_MIN} streamed, settled answers of {TOKENS_OUT_MIN} tokens or more: "
            "measure for longer, or with `signalbox bench deployment`"
        )
    return points


class _Successful(msgspec.Struct, frozen=True):
    mean: float | None = None


class _Metric(msgspec.Struct, frozen=True):
    successful: _Successful | None = None


class _Metrics(msgspec.Struct, frozen=True):
    """Of a GuideLLM benchmark. Its time_per_output_token_ms counts the wait for the first token in; the latency between
    tokens does not.
    """

    request_concurrency: _Metric | None = None
    inter_token_latency_ms: _Metric | None = None
    prompt_token_count: _Metric | None = None
    output_token_count: _Metric | None = None
    time_to_first_token_ms: _Metric | None = None

    def mean(self, name: str) -> float:
        """Of the successful requests. Raises PlannerError when the report does not say, or says nothing possible."""
        metric: _Metric | None = getattr(self, name)
        mean = metric.successful.mean if metric and metric.successful else None
        if mean is None or not (math.isfinite(mean) and mean > 0):
            raise PlannerError(f"metrics.{name}.successful.mean is not a number above 0")
        return mean


class _Benchmark(msgspec.Struct, frozen=True):
    metrics: _Metrics


class _Report(msgspec.Struct, frozen=True):
    benchmarks: list[_Benchmark]


def from_guidellm(content: bytes, served: Served) -> list[Point]:
    """One point for each benchmark of a report. Raises PlannerError on one that is not GuideLLM's, or says nothing."""
    try:
        report = msgspec.json.decode(content, type=_Report)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PlannerError(f"this is no GuideLLM report: {error}") from None
    points: list[Point] = []
    for position, each in enumerate(report.benchmarks):
        try:
            mix = LengthMix(
                input_tokens=each.metrics.mean("prompt_token_count"),
                output_tokens=each.metrics.mean("output_token_count"),
            )
            concurrency = max(1.0, each.metrics.mean("request_concurrency") / served.replicas)
            step_s = each.metrics.mean("inter_token_latency_ms") / 1e3
            first_s = each.metrics.mean("time_to_first_token_ms") / 1e3
        except PlannerError as error:
            raise PlannerError(f"benchmarks[{position}].{error}") from None
        points.append(served.point(mix, concurrency, step_s, first_s))
    if not points:
        raise PlannerError("this GuideLLM report holds no benchmark")
    return points


class _Load:
    """How many requests were in flight over time: its integral, so that any stretch's mean is one subtraction."""

    def __init__(self, spans: Sequence[tuple[float, float]]) -> None:
        events = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
        self._times = [time for time, _ in events]
        self._counts = list(accumulate(change for _, change in events))
        self._integral = [0.0]
        for index in range(1, len(events)):
            passed = self._times[index] - self._times[index - 1]
            self._integral.append(self._integral[-1] + passed * self._counts[index - 1])

    def mean(self, start: float, end: float) -> float:
        return (self._until(end) - self._until(start)) / (end - start) if end > start else 1.0

    def _until(self, time: float) -> float:
        index = bisect.bisect_right(self._times, time) - 1
        return self._integral[index] + (time - self._times[index]) * self._counts[index]


def _step_s(row: LedgerRow) -> float | None:
    """Seconds per token after the first; None where the answer was not streamed, so that nobody knows."""
    if row.ttft_ms is None or row.duration_ms is None or not 0.0 <= row.ttft_ms < row.duration_ms:
        return None
    return (row.duration_ms - row.ttft_ms) / 1e3 / (row.tokens_out - 1)


def _point(found: list[tuple[LedgerRow, float]], served: Served) -> Point:
    rows = [row for row, _ in found]
    cached = math.fsum(row.tokens_cache_read for row in rows)
    tokens_in = math.fsum(row.tokens_in for row in rows) + cached
    mix = LengthMix(
        input_tokens=max(1.0, tokens_in / len(rows)),
        output_tokens=statistics.fmean(row.tokens_out for row in rows),
        cached_share=min(0.99, cached / tokens_in) if tokens_in else 0.0,
    )
    concurrency = statistics.fmean(others for _, others in found)
    steps = [step for row in rows if (step := _step_s(row))]
    first = [row.ttft_ms / 1e3 for row in rows if row.ttft_ms is not None]
    return served.point(mix, concurrency, statistics.median(steps), statistics.median(first))
