"""A lease that the store has not confirmed for too long is not spent: over sockets, a locked database and a clock."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from harness import Answer, Box, running
from signalbox.bootstrap.storage import open_store
from signalbox.policy import purse

BODY: dict[str, Any] = {"model": "w-chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}


@contextlib.contextmanager
def locked(box: Box) -> Iterator[None]:
    """Nobody else can write to the store."""
    with contextlib.closing(sqlite3.connect(box.state.database, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            blocker.execute("ROLLBACK")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalbox.store.sqlite.BUSY_TIMEOUT_S", 0.2)
    monkeypatch.setattr("signalbox.policy.purse.WAIT_S", 0.4)
    monkeypatch.setattr("signalbox.policy.purse.TICK_S", 0.05)
    monkeypatch.setattr("signalbox.policy.purse.IDLE_S", 1000.0)


def advance(box: Box, seconds: float) -> None:
    before = box.plane.purse.now_s
    box.plane.purse.now_s = lambda: before() + seconds


async def ask(box: Box, key: str) -> Answer:
    return await box.request("/v1/chat/completions", BODY, key=key)


async def lapsed(box: Box) -> None:
    """Until the worker has seen that the time is over."""
    for _ in range(200):
        await asyncio.sleep(0.02)
        if all(not account.free for account in box.plane.purse.accounts()):
            return
    raise AssertionError("nothing lapsed")


async def test_what_is_leased_is_spent_while_the_lease_holds_and_not_after(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal(5))
        assert (await ask(box, key)).status == 200
        with locked(box):
            advance(box, purse.LEASE_S * 0.9)
            assert (await ask(box, key)).status == 200
            advance(box, purse.LEASE_S * 0.2)
            await lapsed(box)
            refused = await ask(box, key)
            assert (refused.status, refused.json["error"]["code"]) == (503, "budget_unavailable")
            (account,) = box.plane.purse.accounts()
            assert account.lapsed > 0
            assert account.reserved == 0
        answers = [await ask(box, key) for _ in range(40) if not await asyncio.sleep(0.05)]
        assert answers[-1].status == 200
        cost = sum(Decimal(row["cost_usd"]) for row in await box.settled(3))
        await box.plane.purse.close()
        with contextlib.closing(open_store(box.state)) as store:
            assert store.leases() == []
            assert Decimal(sum(one.spent for one in store.balances(time.time_ns() // 10**6))) / 10**12 == cost


async def test_a_lease_in_use_is_confirmed_before_it_expires(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal(5))
        assert (await ask(box, key)).status == 200
        (account,) = box.plane.purse.accounts()
        before_s = account.expires_s
        advance(box, purse.LEASE_S / 2)
        for _ in range(200):
            await asyncio.sleep(0.02)
            if account.expires_s > before_s:
                break
        assert account.expires_s > before_s
        assert account.free > 0


async def test_an_answer_under_way_ends_as_one_where_its_lease_does(tmp_path: Path) -> None:
    """A stream gets what it has reserved, and no more of a lease that has expired."""
    async with running(tmp_path) as box:
        key = await box.new_key(budget_usd=Decimal(5))
        for _ in range(10):  # until the model is known, and streams reserve a part of their answer
            assert (await ask(box, key)).status == 200
        script = "[[tokens:3000]][[delay_ms:1]]"
        body = {**BODY, "stream": True, "max_tokens": 4000, "messages": [{"role": "user", "content": script}]}
        with locked(box):
            asking = asyncio.create_task(box.request("/v1/chat/completions", body, key=key))
            for _ in range(200):
                await asyncio.sleep(0.01)
                if any(account.reserved for account in box.plane.purse.accounts()):
                    break
            advance(box, purse.LEASE_S * 2)
            answer = await asking
        assert answer.status == 200
        assert b": signalbox: the budget is used up" in answer.body
        assert b'"finish_reason":"length"' in answer.body


async def test_a_soft_budget_goes_on(tmp_path: Path) -> None:
    budget = {"for": "tenant", "usd_per_month": 5, "hard": False}
    async with running(tmp_path, {"budgets": [budget]}) as box:
        assert (await ask(box, box.key)).status == 200
        with locked(box):
            advance(box, purse.LEASE_S * 3)
            await asyncio.sleep(0.3)
            assert (await ask(box, box.key)).status == 200
