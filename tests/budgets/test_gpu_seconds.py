"""Budgets of GPU-seconds: reserved, settled, refused and recovered like money, only where the GPUs are one's own."""

from __future__ import annotations

import contextlib
import math
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running
from signalbox.bootstrap.storage import open_store
from signalbox.config.load import load_text
from signalbox.core.errors import ConfigError
from signalbox.core.usage import PICO
from signalbox.ledger.paid import paid_by
from signalbox.policy.allowances import declared_budgets

GPUS, SPEED = 8, 2400
NS = 10**9
PRICE = {"gpu_hour_usd": 2.75, "gpus_per_replica": GPUS, "tokens_per_s": SPEED}


def body(workload: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": workload, "messages": [{"role": "user", "content": text}], "max_tokens": 100, **more}


async def owning(box: Box, budget: dict[str, Any]) -> None:
    """The local deployment runs on GPUs of one's own; the budget is every tenant's."""
    box.config["deployments"]["local"]["price"] = PRICE
    error = await box.configure({**box.config, "budgets": [{"for": "tenant", **budget}]})
    assert not error, error


def account(box: Box, unit: str = "gpu_seconds") -> Any:
    (found,) = [one for one in box.plane.purse.accounts() if one.budget.unit == unit]
    return found


async def ask(box: Box, workload: str = "w-local", **more: Any) -> Any:
    return await box.request("/v1/chat/completions", body(workload, **more))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_takes_its_tokens_at_the_speed_the_gpus_are_sized_for(tmp_path: Path, stream: bool) -> None:
    async with running(tmp_path) as box:
        await owning(box, {"gpu_seconds_per_day": 1000})
        assert (await ask(box, stream=stream)).status == 200
        (row,) = await box.settled(1)
        rate = math.ceil(Decimal("2.75") * PICO * GPUS / 3600 / SPEED)
        tokens, rest = divmod(int(Decimal(row["cost_usd"]) * PICO), rate)
        assert tokens > 0
        assert not rest
        assert account(box).spent == tokens * math.ceil(GPUS * NS / SPEED)
        assert account(box).reserved == 0


async def test_what_is_used_up_refuses_and_other_places_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await owning(box, {"gpu_seconds_total": 5})
        answers = [await ask(box, text="word " * 150) for _ in range(20)]
        assert answers[0].status == 200
        assert answers[-1].status == 429
        assert answers[-1].json["error"]["code"] == "insufficient_quota"
        assert "GPU-seconds" in answers[-1].json["error"]["message"]
        assert account(box).spent <= 5 * NS
        assert account(box).reserved == 0
        assert (await ask(box, "w-chat")).status == 200


async def test_an_hour_that_is_used_up_says_when_to_come_again(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await owning(box, {"gpu_seconds_per_hour": 5})
        answers = [await ask(box, text="word " * 150) for _ in range(20)]
        assert answers[-1].status == 429
        assert answers[-1].json["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 3600


async def test_the_journal_knows_what_a_dead_process_had_used(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await owning(box, {"gpu_seconds_per_month": 1000, "tokens_per_month": 10**9})
        for _ in range(3):
            assert (await ask(box)).status == 200
        await box.settled(3)
        held = {one.mark: one.spent for one in box.plane.purse.accounts()}
        (chain,) = [path.name for path in box.state.journal.iterdir() if path.is_dir()]
        assert paid_by(box.state.journal, chain) == held
        await box.plane.purse.close()
        with contextlib.closing(open_store(box.state)) as store:
            assert {one.spent for one in store.balances(time.time_ns() // 10**6)} == set(held.values())


def test_windows_and_amounts_are_read_like_the_others() -> None:
    text = (
        "environments: {e: {kind: edge}}\n"
        "deployments: {d: {environment: e, protocol: openai, model: m, base_url: 'http://127.0.0.1:1/v1'}}\n"
        "budgets:\n- {for: team, %s}\n"
    )
    wanted = "gpu_seconds_per_hour: 1, gpu_seconds_per_week: 2, gpu_seconds_total: 3, time_zone: Asia/Tokyo"
    found = declared_budgets(load_text(text % wanted, "t.yaml").config)
    assert [(one.unit, one.window, one.amount, one.zone) for one in found] == [
        ("gpu_seconds", "hour", NS, "Asia/Tokyo"),
        ("gpu_seconds", "week", 2 * NS, "Asia/Tokyo"),
        ("gpu_seconds", "total", 3 * NS, "Asia/Tokyo"),
    ]
    for wrong in ("gpu_seconds_per_day: 0", "gpu_seconds_per_day: 1.5", "gpu_seconds_per_day: 10000000000"):
        with pytest.raises(ConfigError):
            load_text(text % wrong, "t.yaml")
