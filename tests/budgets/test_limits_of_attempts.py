"""Limits on calls where a call has several attempts: counted once, and no reason to end what may go on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness import Answer, Box, running

CHAT = "/v1/chat/completions"


def chat(workload: str, **more: Any) -> dict[str, Any]:
    return {"model": workload, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 64, **more}


def at(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-signalbox-placement"].partition("@")[0]


async def configured(box: Box, workload: dict[str, Any], budgets: list[dict[str, Any]] | None = None) -> None:
    config = box.config
    config["workloads"]["w"] = workload
    config["budgets"] = budgets or []
    assert not await box.configure(config)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_counts_wherever_it_is_answered(tmp_path: Path, stream: bool) -> None:
    """Its first placement cannot carry what it asks for, so its first attempt is never made."""
    async with running(tmp_path) as box:
        limit = {"placements": ["messages", "chat"], "strict": True, "budget": {"requests_per_hour": 3}}
        await configured(box, limit)
        answers = [await box.request(CHAT, chat("w", logit_bias={"5": 1}, stream=stream)) for _ in range(5)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
        assert {at(answer) for answer in answers[:3]} == {"chat"}
        assert int(answers[4].headers["retry-after"]) > 0


async def test_a_call_that_falls_over_counts_once(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await configured(box, {"placements": ["chat", "local"], "budget": {"requests_per_hour": 3}})
        box.sim.fault("503", provider="openai")
        answers = [await box.request(CHAT, chat("w")) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", [{"requests_per_hour": 1}, {"tokens_per_hour": 60}])
async def test_a_limit_of_one_deployment_leads_to_the_next(tmp_path: Path, limit: dict[str, int], stream: bool) -> None:
    async with running(tmp_path) as box:
        placed = {"placements": ["chat", "local"]}
        await configured(box, placed, [{"for": "deployment", "name": "chat", **limit}])
        assert [at(await box.request(CHAT, chat("w", stream=stream))) for _ in range(3)][1:] == ["local", "local"]
        await configured(box, {"placements": ["chat"]}, [{"for": "deployment", "name": "chat", **limit}])
        alone = await box.request(CHAT, chat("w", stream=stream))
        assert (alone.status, alone.json["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_a_deployment_that_is_fallen_over_to_counts_the_call_too(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        placed = {"placements": ["chat", "local"]}
        await configured(box, placed, [{"for": "deployment", "name": "local", "requests_per_hour": 2}])
        box.sim.fault("503", provider="openai")
        assert [(await box.request(CHAT, chat("w"))).status for _ in range(3)] == [200, 200, 503]


HEDGED: dict[str, Any] = {"placements": ["chat", "local"], "hedge": {"after_ms": 150}}
PATHS = {"chat": CHAT, "messages": "/v1/messages"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", PATHS)
async def test_no_room_for_a_second_attempt_leaves_the_first_one_alone(tmp_path: Path, api: str, stream: bool) -> None:
    """Its tokens are reserved until it ends."""
    async with running(tmp_path) as box:
        await configured(box, {**HEDGED, "budget": {"tokens_per_hour": 250}})
        assert at(await box.request(PATHS[api], chat("w", stream=stream))) == "chat"
        box.sim.fault("ttft@600ms", provider="openai")
        assert at(await box.request(PATHS[api], chat("w", stream=stream))) == "chat"
        assert [row["state"] for row in await box.settled(2)] == ["settled"] * 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", PATHS)
async def test_both_attempts_of_a_call_are_in_one_slot(tmp_path: Path, api: str, stream: bool) -> None:
    async with running(tmp_path) as box:
        await configured(box, {**HEDGED, "budget": {"concurrency": 1}})
        await box.request(PATHS[api], chat("w", stream=stream))  # from here on the lease is there
        made = len(await box.settled(1))
        box.sim.fault("ttft@800ms", provider="openai")
        assert at(await box.request(PATHS[api], chat("w", stream=stream))) == "local"
        rows = await box.settled(made + 2)
        assert sorted(row["state"] for row in rows[made:]) == ["cancelled", "settled"]
        made = len(box.sim.log.entries)
        # The first one fails, the second one goes on: the call is still there, and another one has no room.
        box.sim.faults.clear()
        box.sim.fault("ttft@300ms", provider="openai")
        box.sim.fault("503", provider="openai")
        box.sim.fault("ttft@1500ms", provider="vllm")
        call = asyncio.create_task(box.request(PATHS[api], chat("w", stream=stream)))
        await asyncio.sleep(0.7)
        assert len(box.sim.log.entries) == made + 2
        assert (await box.request(PATHS[api], chat("w", stream=stream))).status == 429
        assert at(await call) == "local"
        box.sim.faults.clear()
        at(await box.request(PATHS[api], chat("w", stream=stream)))
        assert not any(account.reserved for account in box.plane.purse.accounts())


async def test_a_deployment_counts_each_attempt_that_it_gets(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        limits = [{"for": "deployment", "name": name, "concurrency": 1} for name in ("chat", "local")]
        await configured(box, HEDGED, limits)
        box.sim.fault("ttft@800ms", provider="openai")
        box.sim.fault("ttft@800ms", provider="vllm")
        call = asyncio.create_task(box.request(CHAT, chat("w")))
        await asyncio.sleep(0.4)
        assert (await box.request(CHAT, chat("w"))).status == 429
        assert (await call).status == 200


async def test_what_is_asked_for_a_call_takes_no_slot_of_its_caller(tmp_path: Path) -> None:
    """A shadow of the first call is under way when the second one comes."""
    async with running(tmp_path) as box:
        placed = {"placements": ["local", "chat"], "shadow": {"share": 1.0}, "budget": {"concurrency": 1}}
        await configured(box, placed)
        box.sim.fault("ttft@900ms", provider="openai")
        assert at(await box.request(CHAT, chat("w"))) == "local"
        for _ in range(100):
            if len(box.sim.log.entries) == 2:
                break
            await asyncio.sleep(0.01)
        assert at(await box.request(CHAT, chat("w"))) == "local"
