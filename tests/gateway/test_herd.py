"""Everybody at once on a cold process: the first calls, a revoked key, a price list that cannot be read."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from harness import running, simulated_config
from signalbox.bootstrap.storage import open_store

CHAT = "/v1/chat/completions"
HERD = 300
KEYS = 20
BODY = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}


async def test_a_herd_of_first_calls_is_served_and_leaves_no_lease(tmp_path: Path) -> None:
    """Nothing has been looked up, connected or leased: all of it is done once for many."""
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["budgets"] = [{"for": "tenant", "name": "default", "usd_total": 100}]
        assert not await box.configure(config)
        keys = [await box.new_key() for _ in range(KEYS)]
        answers = await asyncio.gather(
            *(box.request(CHAT, BODY, key=keys[number % KEYS], within_s=60) for number in range(HERD))
        )
        assert Counter(answer.status for answer in answers) == {200: HERD}
        rows = await box.settled(HERD)
        assert len({row["attempt_id"] for row in rows}) == len(rows) == HERD == len(box.bill())
        await box.plane.purse.close()
        with contextlib.closing(open_store(box.state)) as store:
            assert store.leases() == []
        assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(sum(r.cost_pico for r in box.bill())) / 10**12
        assert box.chain_is_whole()


async def test_a_herd_whose_key_is_revoked_is_refused_and_nothing_of_it_leaves(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        key = await box.new_key()
        assert (await box.request(CHAT, BODY, key=key)).status == 200
        box.keys.pop()
        await box.new_key()  # which tells the worker of all keys that hold
        answers = await asyncio.gather(*(box.request(CHAT, BODY, key=key, within_s=60) for _ in range(HERD)))
        assert set(Counter(answer.status for answer in answers)) <= {401, 429}
        assert len(box.bill()) == 1


@pytest.mark.parametrize(
    "price",
    [
        {"input_mtok": float("nan"), "output_mtok": 1},
        {"input_mtok": -1, "output_mtok": 1},
        {"input_mtok": "cheap", "output_mtok": 1},
        {"input_mtok": 1e30, "output_mtok": 1},
        {"inputs": 1},
        "catalog",
    ],
)
async def test_a_price_that_cannot_be_read_changes_nothing(tmp_path: Path, price: object) -> None:
    """The last good prices stay in force, and the error says which deployment."""
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["deployments"]["chat"]["price"] = price
        error = await box.configure(config)
        assert "deployments.chat.price" in error
        assert (await box.request(CHAT, BODY)).status == 200
        row = (await box.settled(1))[0]
        assert Decimal(row["cost_usd"]) == Decimal(box.bill()[0].cost_pico) / 10**12
