"""Answers whose cost nobody can tell (a tier, or a class of usage, without a price): budgets are spent all the same."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conversations import PATHS
from gateway.canned_upstream import CannedUpstream, http
from harness import Box, running
from signalbox.core.usage import PICO, Rates, Usage
from signalbox.ledger.paid import paid_by
from signalbox.pricing.cost import at_dearest, cost, from_mtok

PRICE = {"input_mtok": 1, "output_mtok": 10}
# 100 tokens of input and 10 of output at PRICE, in dollars.
AT_DEAREST = {"tier": Decimal("0.0002"), "audio": Decimal("0.0011")}


def _told(case: str) -> bytes:
    """The answer of a chat deployment, whole."""
    usage: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    if case == "audio":
        usage["prompt_tokens_details"] = {"audio_tokens": 100}
    message = {"role": "assistant", "content": "Hello there"}
    answer = {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }  # fmt: skip
    return http(200, json.dumps(answer | ({"service_tier": "turbo"} if case == "tier" else {})).encode())


def _streamed(case: str) -> bytes:
    whole = json.loads(_told(case).partition(b"\r\n\r\n")[2])
    usage, choice = whole.pop("usage"), whole.pop("choices")[0]
    whole["object"] = "chat.completion.chunk"
    events = [
        whole | {"choices": [{"index": 0, "delta": choice["message"], "finish_reason": None}]},
        whole | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        whole | {"choices": [], "usage": usage},
    ]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return http(200, text.encode(), b"content-type: text/event-stream\r\n")


def _body(api: str, workload: str, *, stream: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": workload, "stream": stream}
    if api == "responses":
        return asked | {"input": "hi", "max_output_tokens": 20}
    return asked | {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}


async def _priced(box: Box, told: CannedUpstream) -> None:
    config = told.config()
    config["deployments"]["told"]["price"] = PRICE
    config["deployments"]["broken"] = {**box.config["deployments"]["chat"], "model": "sim-small!503"}
    config["workloads"]["fallen-over"] = {"placements": ["broken", "told"], "strategy": "fixed"}
    assert not await box.configure({**box.config, **{name: {**box.config[name], **config[name]} for name in config}})


@pytest.mark.parametrize("case", AT_DEAREST)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("workload", ["canned", "fallen-over"])
@pytest.mark.parametrize("api", PATHS)
async def test_a_hard_budget_is_spent_by_answers_of_unknown_cost(
    tmp_path: Path, api: str, workload: str, stream: bool, case: str
) -> None:
    async with CannedUpstream() as told, running(tmp_path) as box:
        await _priced(box, told)
        told.answer = _streamed(case) if stream else _told(case)
        key = await box.new_key(budget_usd=AT_DEAREST[case] * 3)
        body = _body(api, workload, stream=stream)
        statuses = [(await box.request(PATHS[api], body, key=key)).status for _ in range(6)]
        assert statuses[0] == 200
        assert statuses[-1] == (402 if api == "messages" else 429)
        assert len(told.asked) == statuses.count(200) <= 3
        # The ledger does not pretend to know.
        rows = [row for row in await box.settled(len(told.asked)) if row["deployment"] == "told"]
        assert {row["cost_usd"] for row in rows} == {None}
        (account,) = box.plane.purse.accounts()
        assert account.spent == len(told.asked) * AT_DEAREST[case] * PICO
        assert account.reserved == 0
        # Whoever has only the journal counts the same.
        (chain,) = [path.name for path in box.state.journal.iterdir() if path.is_dir()]
        assert paid_by(box.state.journal, chain) == {account.mark: account.spent}


def test_what_has_a_price_costs_that_and_tokens_without_one_the_dearest() -> None:
    rates = from_mtok({"input_mtok": 1, "cache_read_mtok": "0.1", "output_mtok": 10, "request_usd": "0.5"})
    usage = Usage(tokens_in=1, cache_read=10, tokens_out=2, audio_in=3, rare=(("web_search", 5), ("citation_out", 7)))
    assert cost(usage, rates) is None
    assert at_dearest(usage, rates) == PICO // 2 + (1 * 1 + 10 // 10 + 2 * 10 + 3 * 10 + 7 * 10) * 10**6
    known = Usage(tokens_in=5, tokens_out=6)
    assert at_dearest(known, rates) == cost(known, rates)
    assert at_dearest(usage, Rates(priced=False)) == 0
