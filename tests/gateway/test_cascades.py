"""Cascades through the gateway: every dialect, streamed and whole, with tools, with money, and when things fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conversations import PATHS
from harness import Answer, Box, running

FINE = "[[text:The train leaves at noon.]]"
DOUBTFUL = "[[text:I'm sorry, but I cannot help with that.]]"
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
FITS, BROKEN = '[[tool:f {"x": 1}]]', '[[tool:f {"y": 1}]]'


def body(api: str, text: str, workload: str, *, stream: bool = False, tools: bool = False) -> dict[str, Any]:
    turn = {"role": "user", "content": text}
    asked: dict[str, Any] = {"model": workload, "stream": stream}
    asked |= {"input": [turn]} if api == "responses" else {"messages": [turn]}
    if api == "messages":
        asked["max_tokens"] = 200
    if tools and api == "chat":
        asked["tools"] = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
    elif tools and api == "responses":
        asked["tools"] = [{"type": "function", "name": "f", "parameters": SCHEMA}]
    elif tools:
        asked["tools"] = [{"name": "f", "input_schema": SCHEMA}]
    return asked


def deployed(box: Box, name: str, model: str) -> dict[str, Any]:
    prices = box.sim.prices["openai" if name == "chat" else "vllm"][model]
    told = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
    return {
        **box.config["deployments"][name],
        "model": model,
        "price": {key: float(getattr(prices, key)) for key in told},
    }


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    """The weak model is at one provider, the strong one at another; both speak chat."""
    async with running(tmp_path) as box:
        config = box.config
        health = {"enabled": False}
        config["deployments"]["weak"] = {**deployed(box, "chat", "sim-small"), "health": health}
        config["deployments"]["strong"] = {**deployed(box, "local", "sim-large"), "health": health}
        pair = {"weak": "weak", "strong": "strong", "price_ratio_min": 2}
        placed = ["weak", "strong"]
        both = {"strategy": "cascade", "placements": placed, "cascade": pair}
        config["workloads"] |= {
            "both": both,
            "never": {**both, "cascade": {**pair, "threshold": 1.0}},
            "always": {**both, "cascade": {**pair, "threshold": 0.0}},
            "unary": {**both, "cascade": {**pair, "streams": "strong"}},
            "private": {**both, "data": ["restricted"]},
            "guarded": {**both, "budget": {"usd_per_day": 1, "hard": True}},
            "rescued": {**both, "stream_rescue": True},
        }
        config["rules"] = [{"id": "here", "when": {"level": "restricted"}, "allow": {"kind": ["on-prem"]}}]
        error = await box.configure(config)
        assert not error, error
        yield box


async def ask(box: Box, api: str, text: str, workload: str = "both", **more: Any) -> Answer:
    return await box.request(PATHS[api], body(api, text, workload, **more))


def placed(answer: Answer) -> str:
    return answer.headers["x-signalbox-placement"].partition("@")[0]


@pytest.mark.parametrize("tools", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", PATHS)
async def test_a_good_answer_is_kept_and_a_doubtful_one_is_asked_again(
    box: Box, api: str, stream: bool, tools: bool
) -> None:
    good, bad = (FITS, BROKEN) if tools else (FINE, DOUBTFUL)
    answer = await ask(box, api, good, stream=stream, tools=tools)
    assert (answer.status, placed(answer)) == (200, "weak")
    assert answer.headers["x-signalbox-reason"] == "cascade:both"
    answer = await ask(box, api, bad, stream=stream, tools=tools)
    assert (answer.status, placed(answer)) == (200, "strong")
    assert answer.headers["x-signalbox-reason"] == "cascade:both doubted"
    rows = sorted(await box.settled(3), key=lambda row: row["attempt_id"])
    assert sorted((row["deployment"], row["state"], row["reason"]) for row in rows) == [
        ("strong", "settled", "cascade:both doubted"),
        ("weak", "settled", "cascade:both"),
        ("weak", "settled", "cascade:both"),
    ]
    assert all(row["usage_source"] == "provider" for row in rows)
    # The ledger is the provider's bill, the weak answer that nobody saw included.
    assert sum(Decimal(row["cost_usd"]) for row in rows) * 10**12 == sum(row.cost_pico for row in box.bill())


@pytest.mark.parametrize("api", PATHS)
async def test_what_is_replayed_is_what_would_have_been_streamed(box: Box, api: str) -> None:
    held = await ask(box, api, FINE, stream=True)
    config = box.config
    config["workloads"]["plain"] = {"placements": ["weak"]}
    assert not await box.configure(config)
    plain = await ask(box, api, FINE, "plain", stream=True)
    assert len(held.events) == len(plain.events)
    assert [event.partition("\n")[0].partition(":")[0] for event in held.events] == [
        event.partition("\n")[0].partition(":")[0] for event in plain.events
    ]


async def test_thresholds_decide(box: Box) -> None:
    assert placed(await ask(box, "chat", FINE, "never")) == "strong"
    assert placed(await ask(box, "chat", DOUBTFUL, "always")) == "weak"


async def test_the_client_is_told_the_cost_of_both(box: Box) -> None:
    answer = await ask(box, "chat", DOUBTFUL)
    rows = await box.settled(2)
    assert Decimal(answer.headers["x-signalbox-cost-usd"]) == sum(Decimal(row["cost_usd"]) for row in rows)
    assert len({row["call_id"] for row in rows}) == 1


async def test_streams_may_skip_the_weak_model(box: Box) -> None:
    answer = await ask(box, "chat", FINE, "unary", stream=True)
    assert (placed(answer), answer.headers["x-signalbox-reason"]) == ("strong", "cascade:unary stream")
    assert placed(await ask(box, "chat", FINE, "unary")) == "weak"


async def test_several_choices_go_to_the_strong_model(box: Box) -> None:
    answer = await box.request(PATHS["chat"], {**body("chat", FINE, "both"), "n": 2})
    assert (placed(answer), answer.headers["x-signalbox-reason"]) == ("strong", "cascade:both unread")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", [FINE, DOUBTFUL])
async def test_the_interlock_holds_for_both_calls(box: Box, text: str, stream: bool) -> None:
    answer = await ask(box, "chat", text, "private", stream=stream)
    assert placed(answer) == "strong"
    assert {row.provider for row in box.bill()} == {"vllm"}


@pytest.mark.parametrize(
    ("fault", "stream"),
    [("503", False), ("503", True), ("429", True), ("401", False), ("reset", True), ("html", False)]
    + [(fault, True) for fault in ("reset_mid@2", "eof@2", "sse_error@2", "bad_json@2")],
)
async def test_a_weak_model_that_fails_is_fallen_over_from(box: Box, fault: str, stream: bool) -> None:
    box.sim.fault(fault, provider="openai")
    answer = await ask(box, "chat", "[[tokens:40]]", stream=stream)
    assert (answer.status, placed(answer)) == (200, "strong")
    assert b'"error"' not in answer.body
    # Nothing of the answer that broke off was seen, and nobody judged the strong one's.
    reasons = {row["reason"] for row in await box.settled(2) if row["deployment"] == "strong"}
    assert reasons == {"cascade:both"}


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["503", "429", "401"])
async def test_the_weak_answer_is_better_than_none(box: Box, api: str, stream: bool, fault: str) -> None:
    box.sim.fault(fault, provider="vllm")
    answer = await ask(box, api, DOUBTFUL, stream=stream)
    assert (answer.status, placed(answer)) == (200, "weak")
    assert answer.headers["x-signalbox-reason"] == "cascade:both unescalated"
    if stream:
        assert b"sorry" in answer.body


async def test_money_that_is_out_for_the_strong_model_leaves_the_weak_answer(box: Box) -> None:
    config = box.config
    config["workloads"]["guarded"]["budget"] = {"usd_per_day": 0.0002, "hard": True}
    assert not await box.configure(config)
    answer = await ask(box, "chat", DOUBTFUL, "guarded")
    assert (answer.status, placed(answer)) == (200, "weak")
    spent = sum(Decimal(row["cost_usd"]) for row in await box.settled(1))
    assert spent <= Decimal("0.0002")


async def test_a_rescued_stream_is_held_and_replayed_too(box: Box) -> None:
    answer = await ask(box, "chat", FINE, "rescued", stream=True)
    assert (placed(answer), answer.events[-1]) == ("weak", "data: [DONE]")
    answer = await ask(box, "chat", DOUBTFUL, "rescued", stream=True)
    assert (placed(answer), answer.events[-1]) == ("strong", "data: [DONE]")


async def test_a_pinned_deployment_is_asked_alone(box: Box) -> None:
    answer = await ask(box, "chat", DOUBTFUL, "weak")
    assert placed(answer) == "weak"
    assert len(await box.settled(1)) == 1


async def test_an_answer_that_keeps_to_no_schema_is_doubted(box: Box) -> None:
    asked = body("chat", FINE, "both")
    asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
    assert placed(await box.request(PATHS["chat"], asked)) == "strong"
    asked["messages"][0]["content"] = '[[text:{"x": 4}]]'
    assert placed(await box.request(PATHS["chat"], asked)) == "weak"


async def test_an_answer_that_was_cut_is_doubted(box: Box) -> None:
    asked = {**body("chat", "[[tokens:200]]", "both"), "max_tokens": 8}
    assert placed(await box.request(PATHS["chat"], asked)) == "strong"
