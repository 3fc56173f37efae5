"""A stream whose budget ends: it ends like any answer that reached its limit, and costs no more than there was."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import Box, running
from signalbox.core.usage import PICO
from signalbox.simulator.settings import SimulatorSettings, Spread, default_providers

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "completions": "/v1/completions"}
WARM = 12


def body_of(api: str, workload: str, max_tokens: int, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"model": workload, "max_tokens": max_tokens, "stream": True, **more}
    if api == "completions":
        return {**body, "prompt": "tell me a long story"}
    return {**body, "messages": [{"role": "user", "content": "tell me a long story"}]}


async def known(box: Box, api: str, workload: str) -> None:
    """The process has seen enough answers of the model to watch it."""
    calls = [box.request(PATHS[api], body_of(api, workload, 20)) for _ in range(WARM)]
    assert {answer.status for answer in await asyncio.gather(*calls)} == {200}


def events(body: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ") and line != "data: [DONE]"]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("api", "workload"),
    [("chat", "w-chat"), ("completions", "w-chat"), ("messages", "w-messages"), ("chat", "w-messages"),
     ("messages", "w-chat")],
)  # fmt: skip
@pytest.mark.parametrize("usd", ["0.003", "0.02"])
async def test_a_stream_ends_as_length_where_its_money_does(tmp_path: Path, api: str, workload: str, usd: str) -> None:
    """Where little is left the provider is told to stop in time; where there was more we end the answer ourselves."""
    quick = {
        name: msgspec.structs.replace(spec, ttft_ms=Spread(20, 40), tokens_per_s=Spread(3000, 4000))
        for name, spec in default_providers().items()
    }
    settings = SimulatorSettings(providers=quick, latency="on", answer_tokens=30_000)
    async with running(tmp_path, settings=settings) as box:
        await known(box, api, workload)
        key = await box.new_key(budget_usd=Decimal(usd))
        answer = await asyncio.wait_for(box.request(PATHS[api], body_of(api, workload, 100_000), key=key), 60)
        assert answer.status == 200
        limited = "x-signalbox-max-tokens" in answer.headers
        cut = b": signalbox: the budget is used up" in answer.body
        assert (limited, cut) == ((True, False) if usd == "0.003" else (False, True))
        seen = events(answer.body)
        if api == "messages":
            assert seen[-1]["type"] == "message_stop"
            (reason,) = [event["delta"]["stop_reason"] for event in seen if event["type"] == "message_delta"]
            assert reason == "max_tokens"
            started = [event["index"] for event in seen if event["type"] == "content_block_start"]
            assert started == [event["index"] for event in seen if event["type"] == "content_block_stop"]
        else:
            assert answer.body.endswith(b"data: [DONE]\n\n")
            reasons = [choice["finish_reason"] for event in seen for choice in event["choices"]]
            assert [reason for reason in reasons if reason] == ["length"]
        rows = [row for row in await box.settled(WARM + 1) if row["key_id"] == box.keys[-1].id]
        spent = sum(Decimal(row["cost_usd"]) for row in rows)
        billed = sum(row.cost_pico for row in box.bill()[WARM:])
        assert Decimal(billed) / PICO <= spent <= Decimal(usd)
        assert [row["state"] for row in rows] == ["settled"]
