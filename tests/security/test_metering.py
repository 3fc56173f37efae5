"""Ways to be served without the right bill: other endpoints, other names, and the edges of periods."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from harness import running
from signalbox.control.treasury import Treasury
from signalbox.core.budgets import Budget
from signalbox.gateway.app import ROUTES
from signalbox.policy.purse import Purse
from signalbox.store import open_store

TURNS = [{"role": "user", "content": "hello there"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "w-chat", "messages": TURNS},
    "/v1/responses": {"model": "w-responses", "input": "hello there"},
    "/v1/messages": {"model": "w-messages", "max_tokens": 30, "messages": TURNS},
    "/v1/messages/count_tokens": {"model": "w-messages", "messages": TURNS},
    "/v1/completions": {"model": "w-chat", "prompt": "hello there"},
    "/v1/embeddings": {"model": "w-embed", "input": "hello there"},
}
# What costs nothing by its nature, and says so.
FREE = {"/v1/messages/count_tokens"}


def test_every_endpoint_that_takes_a_body_is_in_the_list() -> None:
    # Counting a Responses body is an estimate of our own: nothing is sent for it.
    listed = {*BODIES, "/v1/responses/input_tokens"}
    assert listed == {path.decode() for path, route in ROUTES.items() if b"POST" in route.methods}


@pytest.mark.parametrize("path", BODIES)
async def test_every_endpoint_is_metered_whatever_is_asked_of_usage(tmp_path: Path, path: str) -> None:
    options: list[dict[str, Any]] = [{}]
    if path not in FREE and "embed" not in path:
        options.append({"stream": True})
        if "messages" not in path and "responses" not in path:
            options += [{"stream": True, "stream_options": {"include_usage": asked}} for asked in (True, False)]
    async with running(tmp_path) as box:
        for more in options:
            answer = await box.request(path, {**BODIES[path], **more})
            assert answer.status == 200, answer.body
        rows = await box.settled(len(options))
        bill = {row.client_request_id: row for row in box.bill()}
        for row in rows:
            assert row["usage_source"] == "provider"
            if path in FREE:
                assert row["cost_usd"] == "0"
            else:
                assert Decimal(row["cost_usd"]) * 10**12 == bill[row["attempt_id"]].cost_pico > 0


async def test_an_alias_is_authorised_and_priced_as_what_it_stands_for(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        dear = {**box.config, "aliases": {"cheap": "w-dear", "dearest": "dear"}}
        dear["deployments"]["dear"] = {
            **dear["deployments"]["chat"], "model": "sim-large", "price": {"input_mtok": 2.5, "output_mtok": 15}
        }  # fmt: skip
        dear["workloads"]["w-dear"] = {"placements": ["dear"]}
        assert not await box.configure(dear)
        limited = await box.new_key(workloads=("w-chat",))
        for name in ("cheap", "dearest", "dear", "w-dear"):
            answer = await box.request(
                "/v1/chat/completions", {**BODIES["/v1/chat/completions"], "model": name}, key=limited
            )
            assert answer.status == 404, name
        assert box.bill() == []
        for name in ("cheap", "dearest"):
            assert (
                await box.request("/v1/chat/completions", {**BODIES["/v1/chat/completions"], "model": name})
            ).status == 200
        rows = await box.settled(2)
        assert {row["deployment"] for row in rows} == {"dear"}
        bill = {row.client_request_id: row.cost_pico for row in box.bill()}
        assert all(Decimal(row["cost_usd"]) * 10**12 == bill[row["attempt_id"]] for row in rows)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Kiritimati", "Asia/Kathmandu"])
async def test_around_midnight_each_day_pays_once(tmp_path: Path, zone: str) -> None:
    """The clock goes over a midnight, back and over it again: a day never gets more than its amount."""
    budget = Budget("key", "", "requests", "day", 10, zone=zone)
    midnight = datetime(2026, 10, 25, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    steps = [midnight + timedelta(seconds=seconds) for seconds in (-3600, -0.001, 0, 0.001, 3600, -0.001, 0, 86_399)]
    treasury = Treasury(lambda: open_store(f"sqlite:{tmp_path / 's.db'}"), lambda: 1, lambda accounts: None)
    purse = Purse(partial(treasury.lend, "p"), time.monotonic)
    taken = {"before": 0, "after": 0}
    for at in steps:
        now_ms = int(at.timestamp() * 1000)
        for _ in range(7):
            account = purse.account(purse.line(budget, "k"), now_ms)
            if account.free >= 1 or await purse.obtain(account, 1, 1):
                account.take(1)
                account.settle(1, 1)
                taken["before" if at < midnight else "after"] += 1
        await asyncio.sleep(0)
    await purse.close()
    treasury.close()
    # A day of 25 hours, as in Berlin that night, holds the last step still.
    assert taken == {"before": 10, "after": 10}
