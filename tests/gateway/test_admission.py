"""Too much to do: whom the gateway turns away, how it says so, and what it refuses because of a client's patience."""

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Box, running
from signalbox.core.errors import Overloaded
from signalbox.gateway.deadline import SECOND_NS, TIMEOUT_HEADERS, patience_ns
from signalbox.policy.limits import CRITICALITIES, SHARES, Limits

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


def _workloads() -> dict[str, object]:
    return {name: {"placements": ["chat"], "criticality": name} for name in CRITICALITIES}


async def _ask(box: Box, workload: str, text: str = "hi", **more: object):
    body = {"model": workload, "messages": [{"role": "user", "content": text}], "max_tokens": 64, **more}
    return await box.request(CHAT, body)


async def test_the_least_urgent_are_turned_away_first(tmp_path: Path) -> None:
    """Ten places: the classes lose theirs one after another as calls that go on fill them."""
    async with running(tmp_path / "state", {"workloads": _workloads(), "server": {"calls_max": 10}}) as box:
        assert box.worker.gateway is not None
        limits = box.worker.gateway.stages.limits
        refused_at: dict[str, int] = {}
        running_calls: list[asyncio.Task[object]] = []
        for busy in range(11):
            for name in CRITICALITIES:
                if name in refused_at:
                    continue
                answer = await _ask(box, name) if limits.in_flight < 10 or name != "interactive" else None
                answer = answer or await _ask(box, name)
                if answer.status == 503:
                    refused_at[name] = busy
                    assert answer.json["error"]["code"] == "server_overloaded"
                    assert 1 <= int(answer.headers["retry-after"]) <= 5
            running_calls.append(asyncio.create_task(_ask(box, "interactive", "[[ttft_ms:8000]]")))
            for _ in range(500):
                if limits.in_flight > busy or busy >= 10:
                    break
                await asyncio.sleep(0.01)
        for task in running_calls:
            task.cancel()
        await asyncio.gather(*running_calls, return_exceptions=True)
        assert refused_at == {"eval": 6, "batch": 7, "agent": 9, "interactive": 10}
        assert not any(row["state"] == "open" for row in box.rows())


@pytest.mark.parametrize(
    ("of_key", "workload", "rank"),
    [("", "agent", 1), ("eval", "interactive", 3), ("batch", "eval", 3), ("interactive", "batch", 2)],
)
async def test_a_key_makes_calls_less_urgent_and_never_more(
    tmp_path: Path, of_key: str, workload: str, rank: int
) -> None:
    async with running(tmp_path / "state", {"workloads": _workloads()}) as box:
        assert box.worker.gateway is not None
        limits = box.worker.gateway.stages.limits
        key = await box.new_key(criticality=of_key)
        body = {"model": workload, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
        for admitted in range(len(CRITICALITIES)):
            limits.press(SHARES[admitted])  # this rank and those after it have no room
            answer = await box.request(CHAT, body, key=key)
            assert answer.status == (200 if rank < admitted else 503), (admitted, answer.body)


@given(st.floats(0, 2), st.integers(0, 3))
def test_pressure_turns_away_from_the_end(pressure: float, rank: int) -> None:
    limits = Limits(chance=lambda: 0.5)
    limits.press(pressure)
    if pressure < SHARES[rank]:
        limits.admit(rank)
    else:
        with pytest.raises(Overloaded) as refused:
            limits.admit(rank)
        assert refused.value.retry_after_s == 3.0
        assert limits.shed[rank] == 1


async def test_a_loop_that_is_late_sheds_and_recovers(tmp_path: Path) -> None:
    config = {"workloads": _workloads(), "server": {"loop_lag_ms": 100}}
    async with running(tmp_path / "state", config) as box:
        assert (await _ask(box, "eval")).status == 200
        for _ in range(12):
            time.sleep(0.35)
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        assert (await _ask(box, "eval")).status == 503
        for _ in range(300):
            await asyncio.sleep(0.05)
            if (await _ask(box, "eval")).status == 200:
                break
        else:
            raise AssertionError("it never recovered")


async def test_one_long_pause_turns_nobody_away(tmp_path: Path) -> None:
    config = {"workloads": _workloads(), "server": {"loop_lag_ms": 100}}
    async with running(tmp_path / "state", config) as box:
        assert box.worker.gateway is not None
        watch = box.worker.gateway.watch
        await asyncio.sleep(0.2)
        before_s = watch.lag_s
        time.sleep(2)
        for _ in range(20):
            await asyncio.sleep(0)
            assert watch.lag_s <= before_s + 0.05


async def test_memory_above_its_bound_sheds(tmp_path: Path) -> None:
    config = {"workloads": _workloads(), "server": {"memory_bytes_max": 1}}
    async with running(tmp_path / "state", config) as box:
        for _ in range(300):
            answer = await _ask(box, "interactive")
            if answer.status == 503:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("nothing was turned away")


async def test_what_no_placement_can_do_in_time_is_refused_at_once(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        body = {"model": "w-chat", "messages": [{"role": "user", "content": "[[ttft_ms:400]]hello"}], "max_tokens": 8}
        impatient = {"x-stainless-timeout": "0.05"}
        for stream in (False, True):
            first = await box.request(CHAT, body | {"stream": stream}, headers=impatient)
            assert first.status == 200, "nothing is known of its pace yet"
            learnt = await asyncio.gather(*(box.request(CHAT, body | {"stream": stream}) for _ in range(24)))
            assert {answer.status for answer in learnt} == {200}
            asked = len(box.sim.log.entries)
            for header, value in (
                ("x-stainless-timeout", "0.05"),
                ("x-request-timeout", "50ms"),
                ("grpc-timeout", "50m"),
            ):
                refused = await box.request(CHAT, body | {"stream": stream}, headers={header: value})
                assert (refused.status, refused.json["error"]["code"]) == (504, "deadline_too_short")
                assert refused.headers["x-should-retry"] == "false"
            assert len(box.sim.log.entries) == asked, "nothing was sent for them"
            patient = await box.request(CHAT, body | {"stream": stream}, headers={"x-stainless-timeout": "600"})
            assert patient.status == 200


async def test_nothing_is_tried_after_the_client_gave_up(tmp_path: Path) -> None:
    """The first placement takes its time to fail; by then its caller has long gone."""
    async with running(tmp_path / "state") as box:
        box.sim.fault("ttft@700ms", provider="openai")
        box.sim.fault("503", provider="openai")
        box.sim.fault("slow_headers@40ms", provider="openai")
        body = {"model": "w-fallback", "messages": [{"role": "user", "content": "hi"}]}
        answer = await box.request(CHAT, body, headers={"x-stainless-timeout": "0.3"})
        assert answer.status == 503
        assert {entry.provider for entry in box.sim.log.entries} == {"openai"}
        assert (await box.request(CHAT, body, headers={"x-stainless-timeout": "60"})).status == 200


@pytest.mark.parametrize("fault", ["429@9", "503@9", "529@9"])
async def test_nobody_is_kept_waiting_for_a_retry_that_comes_too_late(tmp_path: Path, fault: str) -> None:
    """The provider asks for longer than the client has left: the client is told at once, and how long."""
    workload = {"placements": ["chat"], "retries": {"retry_after_s_max": 30}}
    async with running(tmp_path / "state", {"workloads": {"patient": workload}}) as box:
        box.sim.fault(fault, provider="openai")
        body = {"model": "patient", "messages": [{"role": "user", "content": "hi"}]}
        answer = await box.request(CHAT, body, headers={"x-stainless-timeout": "5"}, within_s=8)
        assert answer.status == int(fault[:3])
        assert answer.headers["retry-after"] == "9"


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        (b"x-stainless-timeout", b"600", 600),
        (b"x-stainless-timeout", b"2.5", 2.5),
        (b"x-stainless-timeout", b"NOT_GIVEN", 0),
        (b"x-stainless-timeout", b"nan", 0),
        (b"x-stainless-timeout", b"-3", 0),
        (b"x-stainless-timeout", b"1e30", 0),
        (b"x-request-timeout", b"500ms", 0.5),
        (b"x-request-timeout", b"30s", 30),
        (b"grpc-timeout", b"10S", 10),
        (b"grpc-timeout", b"250m", 0.25),
        (b"grpc-timeout", b"1H", 3600),
        (b"grpc-timeout", b"999999999S", 0),
        (b"grpc-timeout", b"S", 0),
    ],
)
def test_patience_as_clients_say_it(name: bytes, value: bytes, seconds: float) -> None:
    assert patience_ns(name, value) == int(seconds * SECOND_NS)


@given(st.sampled_from(sorted(TIMEOUT_HEADERS)), st.binary(max_size=24))
def test_no_header_breaks_it(name: bytes, value: bytes) -> None:
    assert 0 <= patience_ns(name, value) <= 86_400 * SECOND_NS
