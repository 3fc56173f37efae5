"""One's own measurements: what a simulated deployment did is found again in its ledger rows and in its report."""

from __future__ import annotations

import heapq
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.planner.calibration import calibrated, fitted
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.measurements import LedgerRow, Served, from_guidellm, from_ledger
from signalbox.planner.model import predict
from signalbox.planner.specs import PlannerError, ServingConfig

SERVED = Served(model=shipped().model("qwen3-8b"), gpu=shipped().gpu("l40s"), config=ServingConfig())
START = datetime(2026, 11, 1, tzinfo=UTC)


def row(start_s: float, duration_s: float, *, ttft_s: float = 0.2, out: int = 101, state: str = "settled") -> LedgerRow:
    return LedgerRow(
        time=START + timedelta(seconds=start_s),
        state=state,
        tokens_in=300,
        tokens_out=out,
        tokens_cache_read=100,
        ttft_ms=ttft_s * 1e3,
        duration_ms=duration_s * 1e3,
    )


def closed_loop(streams: int, requests: int, duration_s: float) -> list[LedgerRow]:
    """So many streams, each starting its next request as the last one ends."""
    free = [stream * duration_s / streams for stream in range(streams)]
    heapq.heapify(free)
    rows: list[LedgerRow] = []
    for _ in range(requests):
        start = heapq.heappop(free)
        rows.append(row(start, duration_s))
        heapq.heappush(free, start + duration_s)
    return rows


def test_rows_of_a_steady_load_say_its_concurrency_and_its_time_per_token() -> None:
    points = from_ledger(closed_loop(8, 400, 2.2), SERVED)
    most = max(points, key=lambda point: point.concurrency)
    assert most.concurrency == pytest.approx(8, rel=0.05)
    assert most.tpot_s == pytest.approx((2.2 - 0.2) / 100)
    assert most.ttft_s == pytest.approx(0.2)
    assert most.mix.input_tokens == 400
    assert most.mix.cached_share == pytest.approx(0.25)
    halved = from_ledger(closed_loop(8, 400, 2.2), Served(**{**as_dict(SERVED), "replicas": 2}))
    assert max(point.concurrency for point in halved) == pytest.approx(4, rel=0.05)


def as_dict(served: Served) -> dict[str, object]:
    return {name: getattr(served, name) for name in served.__struct_fields__}


def test_light_and_heavy_hours_become_points_of_their_own() -> None:
    later = [row((one.time - START).total_seconds() + 10_000, 3.2) for one in closed_loop(16, 320, 3.2)]
    points = from_ledger(closed_loop(1, 40, 1.2) + later, SERVED)
    light, heavy = min(points, key=lambda p: p.concurrency), max(points, key=lambda p: p.concurrency)
    assert light.concurrency == pytest.approx(1, rel=0.05)
    assert heavy.concurrency == pytest.approx(16, rel=0.05)
    assert heavy.tpot_s == pytest.approx(0.03)
    assert light.tpot_s == pytest.approx(0.01)


def test_attempts_that_failed_count_as_load_and_not_as_measurements() -> None:
    failed = [
        LedgerRow(time=one.time, state="failed", tokens_in=1, tokens_out=0, duration_ms=one.duration_ms)
        for one in closed_loop(4, 200, 2.2)
    ]
    points = from_ledger(closed_loop(4, 200, 2.2) + failed, SERVED)
    assert max(point.concurrency for point in points) == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        closed_loop(2, 10, 2.2),
        [row(0, 2.2, out=3) for _ in range(50)],
        [LedgerRow(time=START, state="settled", tokens_in=9, tokens_out=90, duration_ms=900.0) for _ in range(50)],
    ],
    ids=["none", "few", "short", "unary"],
)
def test_rows_that_say_too_little_are_refused(rows: list[LedgerRow]) -> None:
    with pytest.raises(PlannerError, match="no level of load"):
        from_ledger(rows, SERVED)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 1e5), st.floats(0, 2e5), st.integers(0, 5000)),
        min_size=0,
        max_size=60,
    )
)
def test_any_rows_give_points_that_mean_something_or_a_refusal(
    found: list[tuple[float, float, float, int]],
) -> None:
    rows = [row(start, duration, ttft_s=ttft, out=out) for start, duration, ttft, out in found]
    try:
        points = from_ledger(rows, SERVED)
    except PlannerError:
        return
    for point in points:
        assert point.tpot_s > 0
        assert 1 <= point.concurrency <= len(rows) + 1


def report(**changed: object) -> bytes:
    def metric(mean: object) -> dict[str, object]:
        return {"successful": {"mean": mean, "median": 1.0}, "errored": {"mean": 0.0}}

    benchmarks = []
    for streams in (4.0, 32.0):
        metrics: dict[str, object] = {
            "request_concurrency": metric(streams),
            "inter_token_latency_ms": metric(20.0 + streams),
            "time_per_output_token_ms": metric(99.0),
            "prompt_token_count": metric(512.0),
            "output_token_count": metric(256.0),
            "time_to_first_token_ms": metric(150.0),
            "request_totals": {"successful": 100, "errored": 0},
        }
        metrics.update({name: metric(value) for name, value in changed.items()})
        benchmarks.append({"metrics": metrics, "config": {"strategy": {"type_": "concurrent"}}})
    return json.dumps({"metadata": {"version": 1}, "benchmarks": benchmarks}).encode()


def test_a_guidellm_report_is_read_and_corrects_the_prediction() -> None:
    points = from_guidellm(report(), SERVED)
    assert [point.concurrency for point in points] == [4.0, 32.0]
    assert [point.tpot_s for point in points] == [0.024, 0.052]
    known = calibrated(fitted(), points)
    for point in points:
        asked = (point.model, point.gpu, point.config, point.mix, point.concurrency)
        before = abs(predict(*asked).tpot_s.p50 / point.tpot_s - 1)
        after = predict(*asked, known)
        assert abs(after.tpot_s.p50 / point.tpot_s - 1) < max(0.15, before)
        assert after.evidence == "configuration"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "no GuideLLM report"),
        (b"[]", "no GuideLLM report"),
        (b'{"benchmarks": 3}', "no GuideLLM report"),
        (b'{"benchmarks": []}', "holds no benchmark"),
        (b'{"benchmarks": [{"metrics": {}}]}', r"benchmarks\[0\].metrics.prompt_token_count"),
        (report(inter_token_latency_ms=0.0), "inter_token_latency_ms"),
        (report(request_concurrency=None), "request_concurrency"),
        (b'{"benchmarks":' * 2000, "no GuideLLM report"),
    ],
)
def test_a_report_that_says_nothing_is_refused_with_its_place(content: bytes, what: str) -> None:
    with pytest.raises(PlannerError, match=what):
        from_guidellm(content, SERVED)
