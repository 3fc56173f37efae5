"""What somebody would try who wants more than his budget: every way is metered, priced or refused."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from harness import Answer, Box, running
from signalbox.bootstrap.storage import open_store
from signalbox.core.link import Stop
from signalbox.core.usage import PICO
from signalbox.simulator.settings import SimulatorSettings

CHAT = "/v1/chat/completions"
FAR_MS = 1 << 60


def chat(model: str = "w-chat", text: str = "hello there", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 100, **more}


async def spent_usd(box: Box, key_id: str, rows: int) -> Decimal:
    return sum((Decimal(row["cost_usd"]) for row in await box.settled(rows) if row["key_id"] == key_id), Decimal(0))


async def test_two_hundred_at_once_on_money_for_few(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal("0.0004"))
        answers = await asyncio.gather(*(box.request(CHAT, chat(stream=n % 2 == 0), key=key) for n in range(200)))
        served = sum(answer.status == 200 for answer in answers)
        assert {answer.status for answer in answers} == {200, 429}
        assert await spent_usd(box, box.keys[-1].id, served) <= Decimal("0.0004")


@pytest.mark.parametrize("scope", ["user", "session", "tenant", "team", "key", "workload", "deployment"])
async def test_the_first_calls_of_somebody_new_are_bounded_like_any(tmp_path: Path, scope: str) -> None:
    """Nobody has an account yet when they come, all at once."""
    budget = {"for": scope, "requests_total": 3}
    async with running(tmp_path) as box:
        assert not await box.configure({**box.config, "budgets": [budget], "teams": {"t": {}}})
        key = await box.new_key(team="t")
        body = chat(user="somebody")
        calls = [box.request(CHAT, body, key=key, headers={"x-signalbox-session": "s"}) for _ in range(20)]
        statuses = sorted(answer.status for answer in await asyncio.gather(*calls))
        assert statuses == [200] * 3 + [429] * 17


async def test_leaving_the_user_out_is_no_way_around_its_budget(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await box.configure({**box.config, "budgets": [{"for": "user", "requests_total": 2}]})
        named = [(await box.request(CHAT, chat(user="a"))).status for _ in range(3)]
        unnamed = [(await box.request(CHAT, chat())).status for _ in range(3)]
        other = (await box.request(CHAT, chat(user="b"))).status
        assert (named, unnamed, other) == ([200, 200, 429], [200, 200, 429], 200)


async def test_another_key_of_the_team_does_not_help(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await box.configure({**box.config, "teams": {"t": {"budget": {"requests_per_hour": 4}}}})
        keys = [await box.new_key(team="t") for _ in range(8)]
        answers = [await box.request(CHAT, chat(), key=key) for key in keys]
        assert [answer.status for answer in answers] == [200] * 4 + [429] * 4
        assert answers[-1].json["error"]["code"] == "rate_limit_exceeded"
        assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": 2**31},
        {"max_tokens": -1},
        {"max_tokens": 1.5},
        {"max_tokens": "9"},
        {"max_tokens": 10**30},
        {"n": 128},
        {"n": 0},
        {"n": 10**9},
        {"max_completion_tokens": 5, "max_tokens": 2**31},
        {"logprobs": True, "top_logprobs": 20},
        {"stream": True, "stream_options": {"include_usage": False}},
        {"stream": True},
        {"tools": [{"type": "function", "function": {"name": "f", "description": "x" * 50_000}}]},
    ],
    ids=str,
)
async def test_odd_amounts_are_refused_or_priced(tmp_path: Path, more: dict[str, Any]) -> None:
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal("0.0005"))
        served, answer = 0, Answer(0, {}, b"")
        for _ in range(40):
            answer = await box.request(CHAT, {**chat(), **more}, key=key)
            if answer.status != 200:
                break
            served += 1
        assert answer.status in (400, 429)
        assert await spent_usd(box, box.keys[-1].id, served) <= Decimal("0.0005")
        assert sum(row.cost_pico for row in box.bill()) <= 5 * PICO // 10_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "w-embed", "input": "x" * 4000}),
        ("/v1/completions", {"model": "w-chat", "prompt": "hello", "max_tokens": 50}),
        ("/v1/responses", {"model": "w-responses", "input": "hello"}),
        ("/v1/messages", {"model": "w-messages", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}),
    ],
)
async def test_every_endpoint_is_metered(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal("0.0004"))
        assert not await box.configure({**box.config, "budgets": [{"for": "key", "tokens_total": 20_000}]})
        statuses = [(await box.request(path, body, key=key)).status for _ in range(60)]
        assert statuses[0] == 200
        assert statuses[-1] in (402, 429)


async def test_whoever_leaves_early_pays_for_what_was_made(tmp_path: Path) -> None:
    async with running(tmp_path, settings=SimulatorSettings(latency="on", answer_tokens=400)) as box:
        key = await box.new_key(budget_usd=Decimal(1))
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
            body = b'{"model":"w-chat","stream":true,"messages":[{"role":"user","content":"go"}]}'
            head = f"POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n"
            writer.write(head.encode() + b"\r\n" + body)
            await reader.readuntil(b"data: ")
            writer.close()
        assert await spent_usd(box, box.keys[-1].id, 3) >= sum(Decimal(row.cost_pico) / PICO for row in box.bill()) > 0
        await box.plane.purse.close()
        with contextlib.closing(open_store(box.state)) as store:
            assert store.leases() == []


async def test_the_kill_switch_ends_streams_and_refuses_new_calls(tmp_path: Path) -> None:
    async with running(tmp_path, settings=SimulatorSettings(latency="on", answer_tokens=4000)) as box:
        key, other = await box.new_key(), await box.new_key()
        running_ = asyncio.create_task(box.request(CHAT, chat(stream=True, max_tokens=8000), key=key))
        spared = asyncio.create_task(box.request(CHAT, chat(stream=True, max_tokens=8000), key=other))
        for _ in range(300):
            if len(box.sim.log.entries) == 2 and all(entry.tokens_sent for entry in box.sim.log.entries):
                break
            await asyncio.sleep(0.02)
        key_id = box.keys[-2].id
        await box.worker.obey(Stop("key", key_id, FAR_MS))
        answer = await asyncio.wait_for(running_, 5)
        assert b"stopped_by_operator" in answer.body
        assert not spared.done()
        refused = await box.request(CHAT, chat(), key=key)
        assert (refused.status, refused.json["error"]["code"]) == (400, "stopped_by_operator")
        assert refused.headers["x-should-retry"] == "false"
        spared.cancel()
        rows = await box.settled(1)
        ended = [(row["state"], row["error"]) for row in rows if row["key_id"] == key_id]
        assert ended == [("cancelled", "stopped_by_operator")]
