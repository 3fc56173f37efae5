"""A client that says how long it waits has its answer in that time, although the first placement is silent."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running
from signalbox.routing.replica import Replica

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
# What a slow machine may add to what is measured.
SLACK_S = 0.7


def _body(path: str, model: str = "w-fallback", text: str = "hi", *, stream: bool) -> dict[str, Any]:
    if path == RESPONSES:
        return {"model": model, "input": text, "max_output_tokens": 16, "stream": stream}
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 16, "stream": stream}


async def _timed(box: Box, path: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, str, float]:
    began = time.monotonic()
    answer = await box.request(path, body, headers=headers)
    return answer.status, answer.headers.get("x-signalbox-placement", ""), time.monotonic() - began


def _replica(box: Box, deployment: str) -> Replica:
    assert box.worker.gateway is not None
    stages = box.worker.gateway.stages
    return stages.fleet.of(stages.snapshot.deployment_by_name[deployment]).replicas[0]


async def _learn(box: Box, path: str, *, stream: bool) -> None:
    for model in ("w-chat", "w-local"):
        asked = (box.request(path, _body(path, model, stream=stream)) for _ in range(24))
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}


@pytest.mark.parametrize("fault", ["hang", "first_token@20s", "ttft@20s", "slow_headers@1s"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
async def test_a_stream_falls_over_in_time(tmp_path: Path, path: str, fault: str) -> None:
    """Nothing is known of either: the silent one gets half of the time."""
    async with running(tmp_path / "state") as box:
        box.sim.fault(fault, provider="openai")
        headers = {"x-stainless-timeout": "2"}
        status, placement, took_s = await _timed(box, path, _body(path, stream=True), headers)
        assert (status, placement) == (200, "local@vllm-env")
        assert 0.9 < took_s < 2
        first, second = await box.settled(2)
        assert (first["state"], first["error"], second["state"]) == ("unknown", "hurried", "settled")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-stainless-read-timeout": "2"},
        {"x-request-timeout": "2000ms"},
        {"grpc-timeout": "2S"},
        {"x-stainless-timeout": "600", "x-stainless-read-timeout": "2"},
    ],
    ids=["read", "request", "grpc", "both"],
)
async def test_however_the_client_says_it(tmp_path: Path, headers: dict[str, str]) -> None:
    async with running(tmp_path / "state") as box:
        box.sim.fault("hang", provider="openai")
        status, placement, took_s = await _timed(box, CHAT, _body(CHAT, stream=True), headers)
        assert (status, placement) == (200, "local@vllm-env")
        assert took_s < 2


async def test_the_workload_s_own_time_for_attempts_is_shared_too(tmp_path: Path) -> None:
    workload = {"placements": ["chat", "local"], "retries": {"total_s": 1}}
    async with running(tmp_path / "state", {"workloads": {"brief": workload}}) as box:
        box.sim.fault("hang", provider="openai")
        status, placement, took_s = await _timed(box, CHAT, _body(CHAT, "brief", stream=True), {})
        assert (status, placement) == (200, "local@vllm-env")
        assert took_s < 1 + SLACK_S


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_connection_that_does_not_come_about_leaves_time(tmp_path: Path, stream: bool) -> None:
    """A full accept queue: nothing is ever said. To connect takes no answer's time, so whole answers go on as well."""
    listener = socket.socket()
    fillers = [socket.socket() for _ in range(8)]
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        async with running(tmp_path / "state") as box:
            config = box.config
            config["deployments"]["chat"]["base_url"] = f"http://127.0.0.1:{port}/v1"
            assert not await box.configure(config)
            headers = {"x-stainless-timeout": "2"}
            status, placement, took_s = await _timed(box, CHAT, _body(CHAT, stream=stream), headers)
            assert (status, placement) == (200, "local@vllm-env")
            assert 0.9 < took_s < 2
    finally:
        for one in [listener, *fillers]:
            one.close()


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
async def test_a_whole_answer_that_takes_long_is_not_cut_while_nobody_is_known_to_be_faster(
    tmp_path: Path, path: str
) -> None:
    async with running(tmp_path / "state") as box:
        box.sim.fault("ttft@1500ms", provider="openai")
        headers = {"x-stainless-timeout": "2"}
        status, placement, took_s = await _timed(box, path, _body(path, stream=False), headers)
        assert (status, placement) == (200, "chat@openai-env")
        assert took_s > 1.5


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
async def test_a_whole_answer_falls_over_where_both_are_known_to_be_quick(tmp_path: Path, path: str) -> None:
    async with running(tmp_path / "state") as box:
        await _learn(box, path, stream=False)
        box.sim.fault("hang", provider="openai")
        headers = {"x-stainless-timeout": "3"}
        status, placement, took_s = await _timed(box, path, _body(path, stream=False), headers)
        assert (status, placement) == (200, "local@vllm-env")
        assert 1.4 < took_s < 3
        assert _replica(box, "chat").failures == 1, "it was silent for far longer than it ever was"


@pytest.mark.parametrize("fault", ["first_token@20s", "stall@0/20s"])
@pytest.mark.parametrize("first", ["chat", "messages"], ids=["primary", "fallback"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
async def test_a_whole_answer_whose_head_comes_at_once_falls_over_as_well(
    tmp_path: Path, path: str, first: str, fault: str
) -> None:
    """Nothing of it is with the client before it is whole."""
    workload = {"placements": list(dict.fromkeys((first, "chat", "local")))}
    async with running(tmp_path / "state", {"workloads": {"w": workload}}) as box:
        await _learn(box, path, stream=False)
        if first != "chat":
            box.sim.fault("503", provider="anthropic")
        box.sim.fault(fault, provider="openai")
        headers = {"x-stainless-timeout": "3"}
        status, placement, took_s = await _timed(box, path, _body(path, "w", stream=False), headers)
        assert (status, placement) == (200, "local@vllm-env")
        assert 1.4 < took_s < 3
        rows = [row for row in await box.settled(50) if row["deployment"] == "chat" and row["error"]]
        assert [(row["state"], row["error"]) for row in rows] == [("unknown", "silent")]
        assert _replica(box, "chat").failures == 1


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
async def test_a_whole_answer_whose_head_comes_at_once_has_its_time_while_nobody_is_known_to_be_faster(
    tmp_path: Path, path: str
) -> None:
    async with running(tmp_path / "state") as box:
        box.sim.fault("first_token@1500ms", provider="openai")
        status, placement, _ = await _timed(box, path, _body(path, stream=False), {"x-stainless-timeout": "2"})
        assert (status, placement) == (200, "chat@openai-env")


async def test_a_whole_answer_that_would_take_as_long_elsewhere_is_waited_for(tmp_path: Path) -> None:
    """Both usually take a second: there is no time in which silence would tell anything, and enough be left."""
    async with running(tmp_path / "state") as box:
        text = "[[ttft_ms:900]]hi"
        for model in ("w-chat", "w-local"):
            asked = (box.request(CHAT, _body(CHAT, model, text, stream=False)) for _ in range(24))
            assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
        box.sim.fault("ttft@2200ms", provider="openai")
        headers = {"x-stainless-timeout": "3"}
        status, placement, _ = await _timed(box, CHAT, _body(CHAT, stream=False), headers)
        assert (status, placement) == (200, "chat@openai-env")


async def test_impatient_callers_take_nothing_out_of_use(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        box.sim.fault("ttft@700ms", provider="openai", count=8)
        for _ in range(8):
            status, placement, _ = await _timed(box, CHAT, _body(CHAT, stream=True), {"x-stainless-timeout": "0.8"})
            assert (status, placement) == (200, "local@vllm-env")
        assert _replica(box, "chat").failures == 0
        status, placement, _ = await _timed(box, CHAT, _body(CHAT, stream=True), {})
        assert (status, placement) == (200, "chat@openai-env")


async def test_the_last_one_gets_all_the_time_there_is(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        box.sim.fault("ttft@1400ms", provider="openai")
        status, placement, took_s = await _timed(
            box, CHAT, _body(CHAT, "w-chat", stream=True), {"x-stainless-timeout": "2"}
        )
        assert (status, placement) == (200, "chat@openai-env")
        assert took_s > 1.4


async def test_a_stream_whose_heartbeats_reach_the_client_has_time(tmp_path: Path) -> None:
    """The library waits two seconds for the next byte, and gets one each second."""
    async with running(tmp_path / "state", {"server": {"heartbeat_after_s": 1}}) as box:
        box.sim.fault("ttft@3s", provider="openai")
        answer = await box.request(CHAT, _body(CHAT, stream=True), headers={"x-stainless-read-timeout": "2.5"})
        assert answer.status == 200
        (row,) = await box.settled(1)
        assert (row["state"], row["deployment"]) == ("settled", "chat")
