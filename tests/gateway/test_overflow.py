"""Full deployments are passed, near ones come first, slow ones get a second attempt beside them; over sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from harness import Answer, Box, running, simulated_config
from signalbox.simulator.settings import SimulatorSettings

TEXT = [{"role": "user", "content": "hi"}]
PATHS = {
    "/v1/chat/completions": {"messages": TEXT, "max_tokens": 8},
    "/v1/messages": {"messages": TEXT, "max_tokens": 8},
    "/v1/responses": {"input": "hi", "max_output_tokens": 16},
}


def config_for(
    sim: Any, saturation: dict[str, Any], workload: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    config = simulated_config(sim, **more)
    config["deployments"]["local"]["saturation"] = {"interval_s": 0.05, **saturation}
    config["workloads"]["spill"] = {"strategy": "overflow", "placements": ["local", "chat"], **(workload or {})}
    return config


async def ask(box: Box, workload: str, path: str = "/v1/chat/completions", **more: Any) -> Answer:
    return await box.request(path, {**PATHS[path], "model": workload, **more})


def pin(box: Box, **gauges: float | None) -> None:
    box.sim.gauges["vllm", "sim-small"] = {name: value for name, value in gauges.items() if value is not None}


async def until(box: Box, wanted: Callable[[Answer], bool], **more: Any) -> Answer:
    for _ in range(200):
        answer = await ask(box, "spill", **more)
        if wanted(answer):
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError(answer.headers)


def at(place: str) -> Callable[[Answer], bool]:
    return lambda answer: answer.headers["x-signalbox-placement"].startswith(place)


@pytest.mark.parametrize(
    ("saturation", "full", "less", "why"),
    [
        ({"waiting_max": 4}, {"waiting": 9.0}, {"waiting": 4.0}, "waiting"),
        ({"kv_cache_max": 0.9}, {"kv_cache": 0.95}, {"kv_cache": 0.8}, "kv_cache"),
    ],
)
async def test_a_full_engine_is_passed_until_it_has_clearly_less_to_do(
    tmp_path: Path, saturation: dict[str, Any], full: dict[str, float], less: dict[str, float], why: str
) -> None:
    async with running(tmp_path / "state") as box:
        assert not await box.configure(config_for(box.sim, saturation))
        pin(box, waiting=0.0, kv_cache=0.1)
        assert at("local")(await ask(box, "spill"))
        pin(box, **full)
        answer = await until(box, at("chat"))
        assert answer.headers["x-signalbox-reason"] == f"overflow:spill:{why}"
        pin(box, **less)
        await asyncio.sleep(0.4)
        assert at("chat")(await ask(box, "spill")), "a little less is not enough"
        pin(box, waiting=0.0, kv_cache=0.1)
        answer = await until(box, at("local"))
        assert answer.headers["x-signalbox-reason"] == "overflow:spill"
        reasons = {row["reason"] for row in await box.settled(4)}
        assert reasons == {"overflow:spill", f"overflow:spill:{why}"}


async def test_what_may_not_spill_stays_whatever_it_costs(tmp_path: Path) -> None:
    """By share, by rule, and because nothing else is alive."""
    async with running(tmp_path / "state") as box:
        config = config_for(box.sim, {"waiting_max": 4}, {"overflow": {"spill_share_max": 0.0}})
        config["workloads"]["law"] = {"strategy": "overflow", "placements": ["local", "chat"], "data": ["phi"]}
        config["workloads"]["half"] = {
            "strategy": "overflow",
            "placements": ["local", "chat"],
            "overflow": {"spill_share_max": 0.5},
        }
        config["rules"] = [{"id": "phi-here", "when": {"data": ["phi"]}, "allow": {"kind": ["on-prem"]}}]
        assert not await box.configure(config)
        pin(box, waiting=99.0)
        await asyncio.sleep(0.6)
        assert at("local")(await ask(box, "spill"))
        assert at("local")(await ask(box, "law"))
        places = [(await ask(box, "half")).headers["x-signalbox-placement"] for _ in range(20)]
        assert 5 <= sum(place.startswith("chat") for place in places) <= 12


async def test_calls_of_its_own_fill_a_deployment_too(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        assert not await box.configure(config_for(box.sim, {"in_flight_max": 2}))
        box.sim.fault("ttft@600ms", provider="vllm")
        busy = [asyncio.ensure_future(ask(box, "spill")) for _ in range(2)]
        while len(box.sim.log.entries) < 2:
            await asyncio.sleep(0.01)
        answer = await ask(box, "spill")
        assert answer.headers["x-signalbox-reason"] == "overflow:spill:in_flight"
        assert all(at("local")(one) for one in await asyncio.gather(*busy))


async def test_near_ones_come_first_and_serve_when_the_way_out_is_down(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["environments"]["branch"] = {"kind": "edge", "region": "eu/de"}
        config["deployments"]["edge"] = {**config["deployments"]["local"], "environment": "branch"}
        gone = {**config["deployments"]["chat"], "base_url": "http://127.0.0.1:9/v1", "timeouts": {"connect_s": 0.3}}
        config["deployments"]["gone"] = gone
        config["workloads"]["near"] = {"strategy": "edge-first", "placements": ["chat", "local", "edge"]}
        config["workloads"]["far"] = {"placements": ["gone", "edge"]}
        assert not await box.configure(config)
        assert at("edge")(await ask(box, "near"))
        for _ in range(8):
            assert at("edge")(await ask(box, "far"))
        box.sim.log.clear()
        began = len(await box.settled(10))
        assert at("edge")(await ask(box, "far"))
        rows = await box.settled(began + 1)
        assert [row["deployment"] for row in rows[began:]] == ["edge"], "what is out of reach is not tried each time"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("path", PATHS)
async def test_the_first_content_wins_and_both_are_booked(tmp_path: Path, path: str, stream: bool) -> None:
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["workloads"]["both"] = {"placements": ["chat", "local"], "hedge": {"after_ms": 60}}
        assert not await box.configure(config)
        assert at("chat")(await ask(box, "both", path, stream=stream))
        box.sim.log.clear()
        box.sim.fault("first_token@3s", provider="openai")
        answer = await ask(box, "both", path, stream=stream)
        assert answer.status == 200, answer.body
        assert at("local")(answer)
        assert answer.headers["x-signalbox-reason"] == "hedge:both"
        slow, fast = box.sim.log.entries
        assert (slow.provider, fast.provider) == ("openai", "vllm")
        assert answer.body.count(b"[DONE]") <= 1
        for _ in range(100):
            if slow.end:
                break
            await asyncio.sleep(0.02)
        assert slow.end == "cut", "the one that lost is cancelled at once"
        rows = [row for row in await box.settled(3) if row["call_id"] == answer.headers["x-request-id"]]
        assert {(row["deployment"], row["state"]) for row in rows} == {("chat", "cancelled"), ("local", "settled")}
        bills = {bill.client_request_id: bill for bill in box.bill()}
        for row in rows:
            assert Decimal(row["cost_usd"]) * 10**12 >= bills[row["attempt_id"]].cost_pico
        assert box.chain_is_whole()


async def test_a_hedge_asks_the_interlock_and_goes_only_where_the_call_may(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["workloads"]["here"] = {"placements": ["local", "chat"], "hedge": {"after_ms": 20}, "data": ["phi"]}
        config["rules"] = [{"id": "phi-here", "when": {"data": ["phi"]}, "allow": {"kind": ["on-prem"]}}]
        assert not await box.configure(config)
        box.sim.fault("ttft@300ms", provider="vllm")
        assert at("local")(await ask(box, "here"))
        assert [entry.provider for entry in box.sim.log.entries] == ["vllm"]


async def test_when_both_fail_the_next_ones_are_tried_and_a_failure_is_told_once(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim, health={"enabled": False})
        config["workloads"]["three"] = {"placements": ["chat", "local", "responses"], "hedge": {"after_ms": 40}}
        config["workloads"]["both"] = {"placements": ["chat", "local"], "hedge": {"after_ms": 40}}
        assert not await box.configure(config)
        box.sim.fault("ttft@200ms", provider="openai")
        box.sim.fault("ttft@200ms", provider="vllm")
        box.sim.fault("cut_json", provider="openai")
        box.sim.fault("cut_json", provider="vllm")
        assert at("responses")(await ask(box, "three"))
        assert (await ask(box, "both")).status in (502, 503)
        assert len({row["attempt_id"] for row in await box.settled(5)}) >= 5


async def test_a_client_that_leaves_takes_both_with_it(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["workloads"]["both"] = {"placements": ["chat", "local"], "hedge": {"after_ms": 20}}
        assert not await box.configure(config)
        for provider in ("openai", "vllm"):
            box.sim.fault("hang", provider=provider)
        body = json.dumps({**PATHS["/v1/chat/completions"], "model": "both"}).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", box.port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
            % (box.key.encode(), len(body), body)
        )
        while len(box.sim.log.entries) < 2:
            await asyncio.sleep(0.01)
        writer.close()
        rows = await box.settled(2)
        assert [row["state"] for row in rows] == ["cancelled", "cancelled"]
        for _ in range(100):
            if all(entry.closed_s for entry in box.sim.log.entries):
                break
            await asyncio.sleep(0.02)
        assert all(entry.closed_s for entry in box.sim.log.entries)


async def test_a_silent_replica_is_probed_free_of_charge_before_a_call_tries_it(tmp_path: Path) -> None:
    async with running(tmp_path / "state", settings=SimulatorSettings()) as box:
        config = simulated_config(box.sim)
        chat = config["deployments"]["chat"]
        chat["timeouts"] = {"first_token_s": 0.1, "headers_s": 0.1}
        chat["health"] = {"failures": 2, "open_s": 0.3, "open_s_max": 0.3}
        assert not await box.configure(config)
        box.sim.fault("hang", provider="openai")
        for number in range(3):
            said = [{"role": "user", "content": str(number)}]
            assert at("local")(await ask(box, "w-fallback", messages=said))
        box.sim.faults.clear()
        asked = len(box.bill())
        for _ in range(200):
            if any(entry.path.endswith("/models") for entry in box.sim.log.entries):
                break
            await asyncio.sleep(0.05)
        assert len(box.bill()) == asked
        for _ in range(100):
            if at("chat")(await ask(box, "w-fallback")):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("it is not used again")


async def test_a_paid_probe_brings_a_replica_back_and_is_booked_to_infra(tmp_path: Path) -> None:
    """It is in use again before any call has tried it; what it cost stands in the ledger, and stops at the cap."""
    async with running(tmp_path / "state", settings=SimulatorSettings()) as box:
        config = simulated_config(box.sim)
        chat = config["deployments"]["chat"]
        chat["timeouts"] = {"first_token_s": 0.3, "headers_s": 0.3}
        chat["health"] = {"failures": 2, "open_s": 0.3, "open_s_max": 0.3, "probe": "paid"}
        config["rules"] = [{"id": "not-there", "when": {"data": ["phi"]}, "allow": {"kind": ["on-prem"]}}]
        assert not await box.configure(config)
        box.sim.fault("hang", provider="openai")
        for number in range(3):
            assert at("local")(await ask(box, "w-fallback", messages=[{"role": "user", "content": str(number)}]))
        box.sim.faults.clear()
        for _ in range(300):
            probes = [row for row in box.rows() if row["workload"] == "infra" and row["state"] == "settled"]
            if probes:
                break
            await asyncio.sleep(0.05)
        assert at("chat")(await ask(box, "w-fallback"))
        assert probes[0]["reason"] == "probe:chat"
        assert (probes[0]["tenant"], probes[0]["deployment"]) == ("infra", "chat")
        billed = {row.client_request_id: row.cost_pico for row in box.bill()}
        assert billed[probes[0]["attempt_id"]] > 0
        assert Decimal(probes[0]["cost_usd"]) == Decimal(billed[probes[0]["attempt_id"]]) / 10**12
        assert not any(entry.path.endswith("/models") for entry in box.sim.log.entries)
        assert box.chain_is_whole()


async def test_a_paid_probe_without_money_left_is_a_free_one(tmp_path: Path) -> None:
    async with running(tmp_path / "state", settings=SimulatorSettings()) as box:
        config = simulated_config(box.sim)
        chat = config["deployments"]["chat"]
        chat["timeouts"] = {"first_token_s": 0.3, "headers_s": 0.3}
        chat["health"] = {"failures": 2, "open_s": 0.3, "open_s_max": 0.3, "probe": "paid", "probe_usd_per_day": 0}
        assert not await box.configure(config)
        box.sim.fault("hang", provider="openai")
        for number in range(3):
            assert at("local")(await ask(box, "w-fallback", messages=[{"role": "user", "content": str(number)}]))
        for _ in range(300):
            if any(entry.path.endswith("/models") for entry in box.sim.log.entries):
                break
            await asyncio.sleep(0.05)
        assert any(entry.path.endswith("/models") for entry in box.sim.log.entries)
        assert not any(row["workload"] == "infra" for row in box.rows())


async def asleep(box: Box, **workload: Any) -> Any:
    """The local deployment behind a port of its own, which is down: workload `zero` wants it."""
    port = await box.sim.start_provider_port("vllm")
    config = simulated_config(box.sim)
    local = {**config["deployments"]["local"], "base_url": f"{port.url}/v1", "scale_from_zero": {"hold_s": 8}}
    config["deployments"]["zero-d"] = {**local, **workload.pop("deployment", {})}
    config["workloads"]["zero"] = {"placements": ["zero-d"], **workload}
    assert not await box.configure(config)
    await port.down()
    return port


async def test_a_hundred_calls_wake_a_sleeping_backend_once_and_wait_for_it(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        port = await asleep(box)
        number = port.port
        waiting = [asyncio.ensure_future(ask(box, "zero")) for _ in range(100)]
        await asyncio.sleep(0.4)
        assert not any(task.done() for task in waiting)
        await port.up("127.0.0.1", number)
        answers = await asyncio.gather(*waiting)
        assert {answer.status for answer in answers} == {200}
        asked = [entry for entry in box.sim.log.entries if entry.path.endswith("/models")]
        assert len(asked) == 1
        assert (await ask(box, "zero")).status == 200
        assert len([entry for entry in box.sim.log.entries if entry.path.endswith("/models")]) == 1


async def test_one_that_does_not_wake_is_passed_or_told(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        await asleep(box, placements=["zero-d", "chat"], deployment={"scale_from_zero": {"hold_s": 0.3}})
        answers = await asyncio.gather(*(ask(box, "zero") for _ in range(10)))
        assert all(at("chat")(answer) for answer in answers)
    async with running(tmp_path / "other") as box:
        await asleep(box, deployment={"scale_from_zero": {"hold_s": 0.3}})
        answer = await ask(box, "zero")
        assert (answer.status, answer.headers["x-signalbox-reason"]) == (503, "placement_unavailable")
        assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_one_whose_address_takes_no_connection_is_told_of_too(tmp_path: Path) -> None:
    """Its time is over while it is being connected to."""
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            one = sockets.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        async with running(tmp_path / "state") as box:
            there = {"base_url": f"http://127.0.0.1:{full.getsockname()[1]}/v1", "timeouts": {"connect_s": 0.5}}
            await asleep(box, deployment={**there, "scale_from_zero": {"hold_s": 0.3}})
            for stream in (False, True):
                answer = await ask(box, "zero", stream=stream)
                assert (answer.status, answer.headers["x-signalbox-reason"]) == (503, "placement_unavailable")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
async def test_nobody_is_held_for_longer_than_its_client_waits(tmp_path: Path, path: str, stream: bool) -> None:
    """Half of it where another placement may be tried, so that its answer still finds somebody."""
    hurried = {"x-request-timeout": "2"}
    body = {**PATHS[path], "model": "zero", "stream": stream}
    async with running(tmp_path / "state") as box:
        long = {"scale_from_zero": {"hold_s": 60}}
        port = await asleep(box, placements=["zero-d", "chat"], deployment=long)
        answer = await box.request(path, body, headers=hurried, within_s=20)
        assert answer.status == 200
        assert at("chat")(answer)
        await port.up("127.0.0.1", port.port)
    async with running(tmp_path / "other") as box:
        await asleep(box, deployment=long)
        answer = await box.request(path, body, headers=hurried, within_s=20)
        assert (answer.status, answer.headers["x-signalbox-reason"]) == (503, "placement_unavailable")
