"""Hard budgets over sockets: never exceeded, refused in the caller's words, and free again when calls have ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from harness import PEPPER, Box, running
from signalbox.bootstrap.storage import open_store
from signalbox.control.keys import rotate
from signalbox.core.link import ApplyKeys
from signalbox.core.usage import PICO

TEXT = "tell me something"


def body_of(api: str, workload: str, max_tokens: int | None = 200, **more: Any) -> dict[str, Any]:
    if api == "responses":
        limit = {"max_output_tokens": max_tokens} if max_tokens else {}
        return {"model": workload, "input": TEXT, **limit, **more}
    limit = {"max_tokens": max_tokens} if max_tokens else {}
    if api == "completions":
        return {"model": workload, "prompt": TEXT, **limit, **more}
    return {"model": workload, "messages": [{"role": "user", "content": TEXT}], **limit, **more}


PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "completions": "/v1/completions",
}


async def spent_usd(box: Box, rows: int) -> Decimal:
    return sum((Decimal(row["cost_usd"]) for row in await box.settled(rows)), Decimal(0))


async def nothing_reserved(box: Box) -> None:
    """After all calls have ended nothing is reserved, and when leases have ended nothing is leased."""
    for account in box.plane.purse.accounts():
        assert account.reserved == 0, account.name
    await box.plane.purse.close()
    with contextlib.closing(open_store(box.state)) as store:
        assert store.leases() == []


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_used_up_budget_refuses_in_the_dialect_of_the_caller(tmp_path: Path, api: str, stream: bool) -> None:
    workload = {"completions": "w-chat"}.get(api, f"w-{api}")
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal("0.000001"))
        answer = await box.request(PATHS[api], body_of(api, workload, stream=stream), key=key)
        assert answer.headers["x-should-retry"] == "false"
        if api == "messages":
            assert (answer.status, answer.json["error"]["type"]) == (402, "billing_error")
        else:
            assert (answer.status, answer.json["error"]["code"]) == (429, "insufficient_quota")
            assert answer.json["error"]["type"] == "insufficient_quota"
        assert box.bill() == []
        assert box.rows() == []
        await nothing_reserved(box)


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("stream", [False, True])
async def test_calls_spend_a_budget_down_and_never_beyond_it(tmp_path: Path, api: str, stream: bool) -> None:
    workload = {"completions": "w-chat"}.get(api, f"w-{api}")
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal("0.0005"))
        served = 0
        for _ in range(60):
            answer = await box.request(PATHS[api], body_of(api, workload, 10_000, stream=stream), key=key)
            if answer.status != 200:
                break
            served += 1
        assert answer.status in (402, 429)
        assert served > 1
        spent = await spent_usd(box, served)
        assert Decimal("0.0002") < spent <= Decimal("0.0005")
        assert spent >= sum(Decimal(row.cost_pico) / PICO for row in box.bill())
        await nothing_reserved(box)
        with contextlib.closing(open_store(box.state)) as store:
            (balance,) = store.balances(1)
            assert Decimal(balance.spent) / PICO == spent


async def test_parallel_calls_share_what_is_left(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal("0.002"))
        bodies = [body_of("chat", "w-chat", 128_000, stream=number % 2 == 0) for number in range(60)]
        answers = await asyncio.gather(*(box.request(PATHS["chat"], body, key=key) for body in bodies))
        served = [answer for answer in answers if answer.status == 200]
        assert {answer.status for answer in answers} <= {200, 429}
        assert served
        assert await spent_usd(box, len(served)) <= Decimal("0.002")
        await nothing_reserved(box)


async def test_a_key_that_is_rotated_goes_on_with_the_budget_of_the_first(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = box.config
        config["budgets"] = [{"for": "key", "requests_total": 30}]
        assert not await box.configure(config)
        key = await box.new_key(budget_usd=Decimal("0.0005"))
        for again in (True, False):
            for _ in range(40):
                answer = await box.request(PATHS["chat"], body_of("chat", "w-chat", 10_000), key=key)
                if answer.status != 200:
                    break
            assert answer.json["error"]["code"] == "insufficient_quota"
            if again:
                with contextlib.closing(open_store(box.state)) as store:
                    row, secret = rotate(store, box.keys[-1], PEPPER, 1, 60_000)
                box.keys.append(row)
                await box.worker.obey(ApplyKeys(PEPPER, box.keys))
                key = secret.reveal()
        served = len(box.bill())
        assert 0 < served <= 30
        assert await spent_usd(box, served) <= Decimal("0.0005")
        await nothing_reserved(box)


async def test_near_the_limit_less_is_asked_for_and_a_header_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal("0.0005"))
        answer = await box.request(PATHS["chat"], body_of("chat", "w-chat", 100_000), key=key)
        assert answer.status == 200
        limit = int(answer.headers["x-signalbox-max-tokens"])
        assert 32 <= limit < 100_000
        assert json.loads(box.sim.log.entries[-1].body)["max_tokens"] == limit


async def test_an_unpriced_model_is_refused_under_a_hard_budget(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal(5))
        config = box.config
        del config["deployments"]["chat"]["price"]
        assert not await box.configure(config)
        answer = await box.request(PATHS["chat"], body_of("chat", "w-chat"), key=key)
        assert (answer.status, answer.json["error"]["code"]) == (400, "unpriced_model")
        assert box.bill() == []
        free = await box.request(PATHS["chat"], body_of("chat", "w-chat"))
        assert free.status == 200


async def test_a_free_deployment_serves_on_when_the_money_is_gone(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = box.config
        config["deployments"]["local"]["price"] = "free"
        assert not await box.configure(config)
        key = await box.new_key(budget_usd=Decimal("0.000001"))
        for model in ("w-fallback", "w-local"):
            for stream in (False, True):
                answer = await box.request(PATHS["chat"], body_of("chat", model, stream=stream), key=key)
                assert answer.status == 200
                assert answer.headers["x-signalbox-placement"] == "local@vllm-env"
        refused = await box.request(PATHS["chat"], body_of("chat", "w-chat"), key=key)
        assert refused.status == 429
