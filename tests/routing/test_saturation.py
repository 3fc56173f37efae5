"""What engines tell of themselves, and thresholds that do not flutter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.snapshot import Saturation
from signalbox.routing.saturation import Gauge, Reading, read

VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
vllm:num_requests_waiting{engine="1",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:num_requests_waiting{engine="0",model_name="other"} 100.0
"""
OLD_VLLM = 'vllm:gpu_cache_usage_perc{model_name="m"} 0.9\nvllm:num_requests_waiting{model_name="m"} 1 1700000000\n'
SGLANG = 'sglang:num_running_reqs{model_name="m"} 4\nsglang:num_queue_reqs{model_name="m"} 5\nsglang:token_usage 0.31\n'
TGI = "tgi_queue_size 6\ntgi_batch_current_size 12\n"
LLAMA = "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\nllamacpp:kv_cache_usage_ratio 0.75\n"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (VLLM, Reading(9.0, 3.0, 0.5)),
        (OLD_VLLM, Reading(1.0, None, 0.9)),
        (SGLANG, Reading(5.0, 4.0, 0.31)),
        (TGI, Reading(6.0, 12.0, None)),
        (LLAMA, Reading(1.0, 2.0, 0.75)),
        ("", Reading()),
        ("vllm:num_requests_waiting NaN\nvllm:num_requests_running -1\nvllm:kv_cache_usage_perc\n", Reading()),
        ('vllm:num_requests_waiting{model_name="another"} 4\n', Reading(4.0)),
    ],
)
def test_pages_of_engines(page: str, expected: Reading) -> None:
    assert read(page, "m") == expected


@given(st.text(max_size=400))
def test_no_page_breaks_it(page: str) -> None:
    assert isinstance(read(page, "m"), Reading)


def test_the_least_busy_replica_decides_and_one_that_tells_nothing_may_have_room() -> None:
    gauge = Gauge(Saturation(waiting_max=4, metrics=True))
    gauge.take(0, Reading(waiting=50.0), 2)
    assert gauge.full(0, 2) == ""
    gauge.take(1, Reading(waiting=5.0), 2)
    assert gauge.full(0, 2) == "waiting"
    gauge.take(1, Reading(waiting=3.3), 2)
    assert gauge.full(0, 2) == "waiting", "not clearly less"
    gauge.take(1, Reading(waiting=3.0), 2)
    assert gauge.full(0, 2) == ""
    gauge.take(1, Reading(waiting=4.0), 2)
    assert gauge.full(0, 2) == ""
    gauge.take(1, None, 2)
    gauge.take(0, Reading(waiting=50.0), 1)
    assert gauge.full(0, 1) == "waiting", "the other replica is gone"


@given(st.lists(st.integers(0, 30), max_size=60))
def test_it_changes_its_mind_only_across_the_whole_band(loads: list[int]) -> None:
    gauge = Gauge(Saturation(in_flight_max=10, clears_at=0.5))
    full = False
    for load in loads:
        full = load >= 10 or (full and load >= 5)
        assert bool(gauge.full(load, 1)) == full


@given(st.floats(0, 1), st.integers(1, 300))
def test_no_more_than_the_share_spills(share: float, calls: int) -> None:
    gauge = Gauge(Saturation(in_flight_max=1))
    spilled = sum(gauge.may_spill(share) for _ in range(calls))
    assert spilled <= share * calls + 1
    assert share < 1.0 or spilled == calls
    assert share > 0.0 or spilled == 0
