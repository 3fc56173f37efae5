"""The kill switch on calls of every kind that are under way: they end at once, and the ledger says who ended them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running
from signalbox.core.link import Stop

FAR_MS = 4_000_000_000_000
TURN = [{"role": "user", "content": "hi"}]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "w-chat", "messages": TURN}),
    "responses": ("/v1/responses", {"model": "w-responses", "input": "hi"}),
    "messages": ("/v1/messages", {"model": "w-messages", "messages": TURN, "max_tokens": 64}),
    "translated": ("/v1/messages", {"model": "w-chat", "messages": TURN, "max_tokens": 64}),
    "completions": ("/v1/completions", {"model": "w-chat", "prompt": "hi"}),
    "embeddings": ("/v1/embeddings", {"model": "w-embed", "input": "hi"}),
    "falling over": ("/v1/chat/completions", {"model": "w-fallback", "messages": TURN}),
    "hedged": ("/v1/chat/completions", {"model": "both", "messages": TURN}),
    "paid for": ("/v1/chat/completions", {"model": "paid", "messages": TURN}),
    "kept": ("/v1/chat/completions", {"model": "kept", "messages": TURN}),
    "looked up": ("/v1/chat/completions", {"model": "looked-up", "messages": TURN}),
}
WORKLOADS: dict[str, Any] = {
    "both": {"placements": ["chat", "local"], "hedge": {"after_ms": 20}},
    "paid": {"placements": ["chat"], "budget": {"usd_per_day": 1, "hard": True}},
    "kept": {"placements": ["chat"], "cache": {"exact_ttl_s": 60}},
    "looked-up": {
        "placements": ["chat"],
        "cache": {"exact_ttl_s": 60, "semantic": {"error_share_max": 0.4, "embedding": "embed"}},
    },
}


async def reached(box: Box, calls: int) -> None:
    for _ in range(500):
        if len(box.sim.log.entries) >= calls:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never left")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("call", CALLS)
async def test_what_is_under_way_ends_at_once(tmp_path: Path, call: str, stream: bool) -> None:
    path, body = CALLS[call]
    if stream and call == "embeddings":
        pytest.skip("embeddings do not stream")
    async with running(tmp_path, {"workloads": WORKLOADS}) as box:
        for provider in ("openai", "azure", "anthropic", "vllm"):
            box.sim.fault("hang", provider=provider)
        asked = body if call == "embeddings" else {**body, "stream": stream}
        attempts = 2 if call == "hedged" else 1
        under_way = asyncio.create_task(box.request(path, asked))
        await reached(box, attempts)
        await box.worker.obey(Stop("key", box.keys[0].id, FAR_MS))
        answer = await asyncio.wait_for(under_way, 10)
        assert answer.status == 400
        assert b"An operator has stopped" in answer.body
        rows = await box.settled(attempts)
        assert {(row["state"], row["error"]) for row in rows} == {("cancelled", "stopped_by_operator")}
        assert len(box.sim.log.entries) == attempts
        assert not any(account.reserved for account in box.plane.purse.accounts())
        for _ in range(200):
            if all(entry.closed_s for entry in box.sim.log.entries):
                break
            await asyncio.sleep(0.02)
        assert all(entry.closed_s for entry in box.sim.log.entries)


async def test_other_peoples_calls_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        box.sim.fault("ttft@400ms", provider="openai")
        other = await box.new_key()
        path, body = CALLS["chat"]
        spared = asyncio.create_task(box.request(path, body, key=other))
        ended = asyncio.create_task(box.request(path, body))
        await reached(box, 2)
        await box.worker.obey(Stop("key", box.keys[0].id, FAR_MS))
        assert [(await spared).status, (await ended).status] == [200, 400]


SHADOWED = {"twice": {"placements": ["local", "chat"], "shadow": {"share": 1.0}}}


async def test_a_copy_that_is_under_way_ends_with_its_client_s_calls(tmp_path: Path) -> None:
    """Its client has its answer already; the other model is still asked, and works at somebody's expense."""
    async with running(tmp_path, {"workloads": SHADOWED}) as box:
        box.sim.fault("hang", provider="openai")
        assert (await box.request("/v1/chat/completions", {"model": "twice", "messages": TURN})).status == 200
        await reached(box, 2)
        await box.worker.obey(Stop("key", box.keys[0].id, FAR_MS))
        _, row = await box.settled(2)
        assert row["reason"].startswith("shadow")
        assert (row["state"], row["error"]) == ("cancelled", "stopped_by_operator")
