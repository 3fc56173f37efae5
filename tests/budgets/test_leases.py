"""Leases over several processes and one store: purses as workers have them, on a real database."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from signalbox.control.treasury import Treasury
from signalbox.core.budgets import Budget, LeaseAsk, Lent
from signalbox.core.errors import LeaseUnavailable
from signalbox.policy.purse import Purse
from signalbox.store import open_store

NOW_MS = 1_790_000_000_000


class World:
    """Purses of so many processes, and the treasury that lends to them."""

    def __init__(self, path: Path, processes: int) -> None:
        self.path = path
        self.treasury = Treasury(lambda: open_store(f"sqlite:{path}"), lambda: processes, self.recall)
        self.purses = [Purse(partial(self.treasury.lend, f"p{n}"), time.monotonic) for n in range(processes)]

    def recall(self, accounts: list[str]) -> None:
        for purse in self.purses:
            purse.recall(accounts)

    async def take(self, purse: Purse, budget: Budget, amount: int, now_ms: int = NOW_MS) -> bool:
        """One call that uses `amount` at once; whether it was admitted."""
        account = purse.account(purse.line(budget, "k"), now_ms)
        if account.free < amount and not await purse.obtain(account, amount, amount):
            return False
        account.take(amount)
        await asyncio.sleep(0)
        account.settle(amount, amount)
        purse.moved(account)
        return True

    async def close(self) -> None:
        for purse in self.purses:
            await purse.close()
        self.treasury.close()


@contextlib.asynccontextmanager
async def world(tmp_path: Path, processes: int) -> AsyncIterator[World]:
    made = World(tmp_path / "s.db", processes)
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("processes", [1, 3])
async def test_what_remains_is_known_but_for_what_others_did_since(tmp_path: Path, processes: int) -> None:
    """One process knows it exactly; of several each knows what it was told when it last asked."""
    budget = Budget("key", "", "requests", "minute", 40)
    async with world(tmp_path, processes) as made:
        taken = 0
        while taken < 40:
            purse = made.purses[taken % processes]
            assert await made.take(purse, budget, 1)
            taken += 1
            remaining = purse.account(purse.line(budget, "k"), NOW_MS).remaining
            assert remaining == 40 - taken if processes == 1 else 0 <= remaining <= 40
        for purse in made.purses:
            assert not await made.take(purse, budget, 1)
            assert purse.account(purse.line(budget, "k"), NOW_MS).remaining == 0, "a refusal says what is left"


@pytest.mark.parametrize("processes", range(1, 9))
async def test_a_rate_limit_is_the_same_over_any_number_of_processes(tmp_path: Path, processes: int) -> None:
    budget = Budget("key", "", "requests", "minute", 300)
    async with world(tmp_path, processes) as made:
        chance = random.Random(processes)
        admitted = 0

        async def client(number: int) -> None:
            nonlocal admitted
            for _ in range(40):
                taken = await made.take(chance.choice(made.purses), budget, 1)
                admitted += taken

        await asyncio.gather(*(client(number) for number in range(20)))
        assert 294 <= admitted <= 300
        before = admitted
        # The next minute is another period; what is left of this one does not move into it.
        assert await made.take(made.purses[0], budget, 1, NOW_MS + 60_000)
        assert before == admitted


@pytest.mark.parametrize("processes", [1, 4])
async def test_amounts_of_any_size_never_add_up_to_more_than_the_budget(tmp_path: Path, processes: int) -> None:
    budget = Budget("key", "", "usd", "total", 10**9)
    async with world(tmp_path, processes) as made:
        used = 0

        async def client(number: int) -> None:
            nonlocal used
            chance = random.Random(number)
            for _ in range(30):
                amount = chance.choice((10**5, 10**6, 10**7))
                if await made.take(chance.choice(made.purses), budget, amount):
                    used += amount

        await asyncio.gather(*(client(number) for number in range(20)))
        assert 0.98 * 10**9 < used <= 10**9
    with contextlib.closing(open_store(f"sqlite:{tmp_path}/s.db")) as store:
        assert store.leases() == []
        assert [balance.spent for balance in store.balances(NOW_MS)] == [used]


async def test_while_the_store_is_locked_what_is_leased_is_spent_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signalbox.store.sqlite.BUSY_TIMEOUT_S", 0.2)
    monkeypatch.setattr("signalbox.policy.purse.WAIT_S", 0.3)
    budget = Budget("key", "", "requests", "total", 1000)
    async with world(tmp_path, 2) as made:
        purse = made.purses[0]
        assert await made.take(purse, budget, 1)
        leased = purse.accounts()[0].free
        assert 1 <= leased < 1000
        with contextlib.closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            for _ in range(leased):
                assert await made.take(purse, budget, 1)
            with pytest.raises(LeaseUnavailable):
                await made.take(purse, budget, 1)
            blocker.execute("ROLLBACK")
        for _ in range(100):
            with contextlib.suppress(LeaseUnavailable):
                if await made.take(purse, budget, 1):
                    return
            await asyncio.sleep(0.05)
        raise AssertionError("it never recovered")


async def test_an_idle_lease_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalbox.policy.purse.IDLE_S", 0.05)
    monkeypatch.setattr("signalbox.policy.purse.TICK_S", 0.05)
    budget = Budget("key", "", "requests", "total", 1000)
    async with world(tmp_path, 2) as made:
        assert await made.take(made.purses[0], budget, 1)
        for _ in range(200):
            if not made.purses[0].accounts():
                break
            await asyncio.sleep(0.02)
        with contextlib.closing(open_store(f"sqlite:{tmp_path}/s.db")) as store:
            assert store.leases() == []
            assert [balance.spent for balance in store.balances(NOW_MS)] == [1]
        assert await made.take(made.purses[0], budget, 1)


async def test_calls_at_the_same_time_are_counted_over_processes(tmp_path: Path) -> None:
    budget = Budget("key", "", "concurrency", "total", 5)
    async with world(tmp_path, 3) as made:
        running = most = done = 0

        async def call(number: int) -> None:
            nonlocal running, most, done
            purse = made.purses[number % 3]
            account = purse.account(purse.line(budget, "k"), NOW_MS)
            while not await purse.obtain(account, 1, 1):
                await asyncio.sleep(0.02)
            account.take(1)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            done += 1
            account.settle(1, 0)
            purse.moved(account)

        await asyncio.gather(*(call(number) for number in range(30)))
        assert done == 30
        assert most <= 5


async def test_what_is_on_its_way_back_is_had_again(tmp_path: Path) -> None:
    """Whoever asks while something is given back waits for an answer of its own."""
    budget = Budget("key", "", "concurrency", "total", 1)
    async with world(tmp_path, 1) as made:
        on_its_way = asyncio.Event()

        async def lend(asks: list[LeaseAsk]) -> list[Lent]:
            on_its_way.set()
            await asyncio.sleep(0.05)
            return await made.treasury.lend("p0", asks)

        purse = Purse(lend, time.monotonic)
        made.purses.append(purse)
        for _ in range(3):
            account = purse.account(purse.line(budget, "k"), NOW_MS)
            assert await purse.obtain(account, 1, 1)
            account.take(1)
            assert not await purse.obtain(account, 1, 1)
            account.settle(1, 0)
            on_its_way.clear()
            purse.moved(account)
            await on_its_way.wait()


async def test_what_was_used_up_is_refused_as_such_while_the_store_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signalbox.policy.purse.WAIT_S", 0.3)
    budget = Budget("key", "", "requests", "total", 5)
    async with world(tmp_path, 2) as made:
        first, other = made.purses
        while await made.take(first, budget, 1):
            pass
        with contextlib.closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            # This process was told; the other one does not know.
            for _ in range(3):
                assert not await made.take(first, budget, 1)
            with pytest.raises(LeaseUnavailable):
                await made.take(other, budget, 1)
            blocker.execute("ROLLBACK")
        await asyncio.sleep(0.3)
        assert not await made.take(other, budget, 1)


async def test_many_who_find_a_budget_used_up_search_for_the_rest_once(tmp_path: Path) -> None:
    """Each search writes to the store: one after the other they would take longer than calls wait."""
    processes = 8
    budget = Budget("key", "", "requests", "total", 10_000)
    async with world(tmp_path, processes) as made:
        holder, *others = made.purses
        account = holder.account(holder.line(budget, "k"), NOW_MS)
        assert await holder.obtain(account, 1, 1)
        while await holder.obtain(account, account.free + 1, account.free + 1):
            pass
        # All of it is open: nobody can give anything back.
        account.take(account.free)
        asked = 0
        lend = made.treasury._store.lend if made.treasury._store is not None else None
        assert lend is not None

        def counted(*words: object) -> object:
            nonlocal asked
            asked += 1
            return lend(*words)  # type: ignore[arg-type]

        made.treasury._store.lend = counted  # type: ignore[method-assign, union-attr, assignment]
        await asyncio.sleep(0.15)  # what was found dry is looked for anew
        told = await asyncio.gather(*(made.take(purse, budget, 1) for purse in others))
        assert told == [False] * len(others)
        # Each asks, waits for the one who looks, and asks once more, twice where the machine is slow. If everybody
        # looked, each would ask once for every holder.
        assert asked <= 3 * len(others) + 3
        account.settle(account.reserved, 0)
