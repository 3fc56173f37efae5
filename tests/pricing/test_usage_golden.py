"""Usage as providers tell it, and what it costs by their own pages, line by line: golden/usage.jsonl.

Each case has the answer as the provider sends it, the bill worked out by hand as (count, dollars, for how many) for
every line of it, the sum, and the page the prices are from. A new case is a new line; it needs no code.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from signalbox.core.usage import PICO, RARE, Rates, Usage, usd
from signalbox.pricing import catalogue
from signalbox.pricing.cost import from_mtok
from signalbox.pricing.tariff import charge, published
from signalbox.wire.sse import SseDecoder
from signalbox.wire.table import DIALECTS

CASES = [json.loads(line) for line in (Path(__file__).parent / "golden/usage.jsonl").read_text().splitlines()]
EXACT = Decimal("1e-9")


def ours(case: dict[str, Any], usage: Usage) -> Decimal:
    at = datetime.fromisoformat(case["at"])
    rates = catalogue.rates(case["provider"], case["model"], at.date())
    assert rates is not None
    tariff = published(case["provider"], case["model"], at.date())
    pico = charge(usage, rates, tariff, round(at.timestamp() * 1000))
    assert pico is not None, "unpriced"
    return Decimal(pico) / PICO


def usage_of(case: dict[str, Any]) -> Usage:
    seen = DIALECTS[case["api"]].seen(json.dumps(case["answer"]).encode())
    assert seen.ok
    assert seen.usage is not None
    return seen.usage


def streamed(case: dict[str, Any]) -> Usage:
    """The same usage at the end of a stream."""
    answer = case["answer"]
    if case["api"] == "chat":
        tail = {"object": "chat.completion.chunk", "choices": []}
        told = {key: answer[key] for key in ("usage", "service_tier") if key in answer}
        events = [
            {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            tail | told,
        ]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    elif case["api"] == "responses":
        text = f"data: {json.dumps({'type': 'response.completed', 'response': answer})}\n\n"
    else:
        first = {**answer["usage"], "output_tokens": 1, "iterations": None}
        events = [
            {"type": "message_start", "message": {**answer, "content": [], "stop_reason": None, "usage": first}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": answer["usage"]},
            {"type": "message_stop"},
        ]
        text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    observer = DIALECTS[case["api"]].observer()
    usage: Usage | None = None
    for event in SseDecoder().feed(text.encode()):
        seen = observer.observe(event)
        assert seen.ok
        usage = seen.usage or usage
    assert usage is not None
    return usage


def test_there_are_two_hundred_cases_of_many_providers_each_with_its_page() -> None:
    assert len(CASES) >= 200
    assert len({case["provider"] for case in CASES}) >= 12
    assert len({(case["case"], case["api"]) for case in CASES}) == len(CASES)
    assert all(case["source"].startswith("https://") for case in CASES)


@pytest.mark.parametrize("provider", sorted({case["provider"] for case in CASES}))
def test_every_bill_is_met_to_a_billionth_of_a_dollar(provider: str) -> None:
    for case in CASES:
        if case["provider"] != provider:
            continue
        bill = sum((Decimal(n) * Decimal(price) / Decimal(per) for n, price, per in case["bill"]), Decimal(0))
        assert bill == Decimal(case["usd"]), f"{case['case']}: the case's own sum is wrong"
        usage = usage_of(case)
        assert usage.unknown == (), case["case"]
        assert abs(ours(case, usage) - bill) < EXACT, (case["case"], usage)


@pytest.mark.parametrize("provider", sorted({case["provider"] for case in CASES}))
def test_a_stream_tells_the_same(provider: str) -> None:
    for case in CASES:
        if case["provider"] == provider and case["api"] != "embeddings":
            assert streamed(case) == usage_of(case), case["case"]


def test_classes_are_disjoint_and_sum_to_what_the_provider_counted() -> None:
    for case in CASES:
        usage, told = usage_of(case), case["answer"]["usage"]
        if case["api"] == "messages":
            extra = [step for step in told.get("iterations") or () if step["type"] == "compaction"]
            counted = told["input_tokens"] + told["cache_creation_input_tokens"] + told["cache_read_input_tokens"]
            assert usage.input_total == counted + sum(step["input_tokens"] for step in extra)
            assert usage.output_total == told["output_tokens"] + sum(step["output_tokens"] for step in extra)
        else:
            assert usage.input_total + usage.output_total == told["total_tokens"], case["case"]


def test_every_tier_of_one_prompt_has_its_own_cost() -> None:
    at = date(2026, 11, 20)
    rates, tariff = catalogue.rates("openai", "gpt-5", at), published("openai", "gpt-5", at)
    assert rates is not None
    usage = Usage(tokens_in=1_000_000, tokens_out=100_000)
    costs = {
        tier: usd(charge(msgspec.structs.replace(usage, tier=tier), rates, tariff, 0) or 0)
        for tier in ("", "flex", "batch", "priority")
    }
    assert costs == {"": "2.25", "flex": "1.125", "batch": "1.125", "priority": "4.5"}


def test_a_tier_without_a_price_is_unpriced_and_what_is_free_stays_free() -> None:
    stated = from_mtok({"input_mtok": 1, "output_mtok": 2})
    usage = Usage(tokens_in=10, tier="turbo")
    assert charge(usage, stated, None, 0) is None
    assert charge(usage, from_mtok({"input_mtok": 0, "output_mtok": 0}), None, 0) == 0


@pytest.mark.parametrize("name", RARE)
def test_every_rare_class_has_a_price_or_makes_the_cost_unknown(name: str) -> None:
    """Never zero in silence: a class falls back to the price of its parent, or there is no cost at all."""
    rates = from_mtok({"input_mtok": 1, "output_mtok": 2, "cache_read_mtok": "0.5", "audio_in_mtok": 4})
    bare = charge(Usage(rare=((name, 1000),)), rates, None, 0)
    parent = RARE[name].falls_back
    assert bare == (None if parent is None else 1000 * getattr(rates, parent))
    own = Rates(rare=((name, 7),))
    assert charge(Usage(rare=((name, 1000),)), own, None, 0) == 7000
