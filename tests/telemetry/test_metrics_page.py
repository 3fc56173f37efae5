"""The metrics as Prometheus reads them: their text, their bounds, their sums over processes, what a dead one leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.records import SETTLED
from signalbox.core.usage import Usage
from signalbox.telemetry import metrics as module
from signalbox.telemetry.metric_table import BY_NAME, METRICS, SECONDS_BUCKETS
from signalbox.telemetry.metrics import Metrics, Region, counters, merge, shared_region
from signalbox.telemetry.prometheus import render

LINE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (-?[0-9.e+-]+)$')
WORDS = st.text('ab"\\\n\r{},=\u2028é', min_size=1, max_size=6)


def read(page: str) -> dict[tuple[str, str], float]:
    """Series of a page to their value; every line must be one that a scraper reads."""
    found: dict[tuple[str, str], float] = {}
    for line in page.split("\n")[:-1]:
        if not line.startswith("# "):
            match = LINE.match(line)
            assert match, line
            assert (match[1], match[2] or "") not in found, line
            found[match[1], match[2] or ""] = float(match[3])
    return found


def test_every_metric_is_named_as_the_conventions_say() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"signalbox_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith("."), metric.name
        if metric.kind == "histogram":
            assert metric.name.endswith("_seconds"), metric.name


@given(st.lists(st.tuples(WORDS, WORDS, st.floats(0, 1e9)), max_size=12))
def test_whatever_a_label_holds_the_page_can_be_read(adds: list[tuple[str, str, float]]) -> None:
    metrics = Metrics()
    for workload, reason, value in adds:
        metrics.add(("signalbox_refused_calls_total", workload, reason), value)
        metrics.observe(("signalbox_attempt_seconds", workload), value)
    page = read(render(metrics))
    counted = [value for (name, _), value in page.items() if name == "signalbox_refused_calls_total"]
    assert sum(counted) == pytest.approx(sum(value for *_, value in adds))
    assert sum(v for (n, _), v in page.items() if n == "signalbox_attempt_seconds_count") == len(adds)


@given(st.lists(st.floats(0, 1000), max_size=60))
def test_a_histogram_counts_every_value_once(values: list[float]) -> None:
    metrics = Metrics()
    for value in values:
        metrics.observe(("signalbox_attempt_seconds", "d"), value)
    page = read(render(metrics))
    for bound in SECONDS_BUCKETS if values else ():
        assert page["signalbox_attempt_seconds_bucket", f'deployment="d",le="{bound}"'] == sum(
            value <= bound for value in values
        )


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 100)), max_size=8), max_size=4))
def test_the_sum_over_processes_is_the_sum(processes: list[list[tuple[str, int]]]) -> None:
    exports = []
    for adds in processes:
        metrics = Metrics()
        for name, tokens in adds:
            metrics.attempt(name, "w", SETTLED, Usage(tokens_in=tokens), tokens, tokens)
        metrics.set(("signalbox_in_flight",), len(adds))
        metrics.set(("signalbox_loop_lag_seconds",), len(adds))
        exports.append(metrics.export())
    page = read(render(merge(exports)))
    tokens = sum(value for adds in processes for _, value in adds)
    counted = {labels: value for (name, labels), value in page.items() if name == "signalbox_tokens_total"}
    assert sum(counted.values()) == tokens
    assert page.get(("signalbox_in_flight", ""), 0) == sum(map(len, processes))
    assert page.get(("signalbox_loop_lag_seconds", ""), 0) == max(map(len, processes), default=0)
    kept = merge(map(counters, exports))
    assert not [key for key, _ in kept.rows() if BY_NAME[key[0]].kind == "gauge"]


@pytest.mark.parametrize("name", ["signalbox_cache_semantic_threshold", "signalbox_cache_semantic_error_bound"])
def test_what_each_process_learns_is_no_share_of_a_sum(name: str) -> None:
    exports = []
    for value in (0.5, 0.25):
        metrics = Metrics()
        metrics.set((name, "w", "changed"), value)
        exports.append(metrics.export())
    assert read(render(merge(exports)))[name, 'workload="w",relation="changed"'] == 0.5


def test_series_are_bounded_and_what_is_dropped_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOTS_MAX", 40)
    metrics = Metrics()
    for index in range(100):
        metrics.add(("signalbox_retries_total", f"d{index}"))
        metrics.observe(("signalbox_attempt_seconds", f"d{index}"), 1.0)
    page = read(render(metrics))
    series = [name for name, _ in page if name in ("signalbox_retries_total", "signalbox_attempt_seconds_sum")]
    assert len(series) < 40
    assert page["signalbox_dropped_series_total", ""] == 200 - len(series)
    metrics.attempt("one more", "w", SETTLED, Usage(tokens_in=1), 1, 1)  # no room is no error
    assert read(render(metrics))["signalbox_retries_total", 'deployment="d0"'] == 1


COUNT = """
import sys, time
from signalbox.core.usage import Usage
from signalbox.telemetry.metrics import Metrics, Region
metrics = Metrics(Region(int(sys.argv[1])))
for _ in range(1000):
    metrics.attempt("a \\"deployment\\"", "w", "settled", Usage(tokens_in=3), 5, 7_000_000)
metrics.set(("signalbox_in_flight",), 9)
print("counted", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_counted_is_there_to_the_last_one() -> None:
    descriptor = shared_region()
    region = Region(descriptor)
    process = subprocess.Popen(
        [sys.executable, "-c", COUNT, str(descriptor)], pass_fds=[descriptor], stdout=subprocess.PIPE
    )
    os.close(descriptor)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"counted\n"
        process.send_signal(signal.SIGKILL)
    process.wait(10)
    page = read(render(merge([counters(Metrics(region).export())])))
    assert page["signalbox_attempts_total", 'deployment="a \\"deployment\\"",state="settled"'] == 1000
    assert page["signalbox_tokens_total", 'deployment="a \\"deployment\\"",class="input"'] == 3000
    assert page["signalbox_attempt_seconds_count", 'deployment="a \\"deployment\\""'] == 1000
    assert ("signalbox_in_flight", "") not in page
