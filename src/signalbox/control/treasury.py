"""Lends slices of budgets to the processes of this machine, out of the store that all machines share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import TypeVar

from signalbox.core.budgets import Lease, LeaseAsk, Lent
from signalbox.core.days import DAY_MS
from signalbox.core.errors import LeaseUnavailable, StoreError
from signalbox.core.ports import Store
from signalbox.ledger.chain import is_locked, is_sealed
from signalbox.ledger.paid import paid_by

# How often, and how far apart, those who hold something idle are asked to give it back before a call is refused.
RECALLS = 3
RECALL_S = 0.03
# An account that had nothing left after that is not asked about again for so long.
DRY_S = 0.1
DRY_MAX = 10_000
_KEPT_MS = 2 * DAY_MS
T = TypeVar("T")
Recall = Callable[[list[str]], None]


class Treasury:
    """One for all workers of a machine.

    open_: the store, opened in a thread of its own, so that a slow database holds up nobody who has a lease. processes:
    how many workers there are. recall: asks every process of this machine to give back what it does not use of some
    accounts; those of others do so by themselves while little is left.
    """

    def __init__(self, open_: Callable[[], Store], processes: Callable[[], int], recall: Recall) -> None:
        self._open = open_
        self._processes = processes
        self._recall = recall
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="treasury")
        self._store: Store | None = None
        self._dry: dict[tuple[str, int], float] = {}
        self._searched: dict[tuple[str, int], asyncio.Future[None]] = {}
        self._forgot_ms = 0

    async def lend(self, holder: str, asks: list[LeaseAsk]) -> list[Lent]:
        """The answers to one process's asks. Raises LeaseUnavailable when the store cannot be used."""
        lent = await self._run(lambda store: store.lend(holder, asks, self._processes()))
        short = [place for place, ask in enumerate(asks) if ask.need and not lent[place].extra]
        short = self._not_dry(asks, short)
        if short:
            await self._look_for_more(holder, asks, lent, short)
        return lent

    def _not_dry(self, asks: list[LeaseAsk], short: list[int]) -> list[int]:
        now_s = monotonic()
        return [place for place in short if self._dry.get(_key(asks[place]), 0) < now_s]

    async def _look_for_more(self, holder: str, asks: list[LeaseAsk], lent: list[Lent], short: list[int]) -> None:
        """One search for an account at a time. Each writes to the store several times, and of many processes that find
        it used up in one moment the last would wait for all of theirs, longer than its calls do."""
        others = {found for place in short if (found := self._searched.get(_key(asks[place])))}
        if others:
            await asyncio.wait(others)
            short = self._not_dry(asks, short)
            if short:
                await self._ask_again(holder, asks, lent, short)
            return
        done = asyncio.get_running_loop().create_future()
        keys = [_key(asks[place]) for place in short]
        self._searched.update(dict.fromkeys(keys, done))
        try:
            await self._find_more(holder, asks, lent, short)
        finally:
            for key in keys:
                self._searched.pop(key, None)
            done.set_result(None)

    async def _find_more(self, holder: str, asks: list[LeaseAsk], lent: list[Lent], short: list[int]) -> None:
        """Recalls what others hold idle, and asks once more for those that got nothing."""
        for _ in range(RECALLS):
            names = sorted({asks[place].account for place in short})
            held = await self._run(lambda store, names=names: store.leases(names))
            if not any(lease.granted > lease.spent and lease.holder != holder for lease in held):
                break
            self._recall(names)
            await asyncio.sleep(RECALL_S)
            await self._ask_again(holder, asks, lent, short)
            short = [place for place in short if not lent[place].extra]
            if not short:
                return
        if len(self._dry) >= DRY_MAX:
            self._dry.clear()
        self._dry.update({_key(asks[place]): monotonic() + DRY_S for place in short})

    async def _ask_again(self, holder: str, asks: list[LeaseAsk], lent: list[Lent], short: list[int]) -> None:
        again = [asks[place] for place in short]
        answers = await self._run(lambda store: store.lend(holder, again, self._processes()))
        for place, answer in zip(short, answers, strict=True):
            lent[place] = answer

    async def forget(self, now_ms: int) -> None:
        """From time to time: minutes and hours that are long over."""
        if now_ms - self._forgot_ms > _KEPT_MS // 48:
            self._forgot_ms = now_ms
            await self._run(lambda store: store.forget_balances(now_ms - _KEPT_MS))

    async def _run(self, work: Callable[[Store], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._work, work)
        except (StoreError, RuntimeError) as error:
            raise LeaseUnavailable(f"The store of budgets cannot be used: {error}.", retry_after_s=1) from error

    def _work(self, work: Callable[[Store], T]) -> T:
        if self._store is None:
            self._store = self._open()
        return work(self._store)

    def close(self) -> None:
        """Without waiting for a database that hangs."""
        self._executor.submit(self._shut)
        self._executor.shutdown(wait=False)

    def _shut(self) -> None:
        if self._store is not None:
            self._store.close()


def _key(ask: LeaseAsk) -> tuple[str, int]:
    return ask.account, ask.start_ms


def end_dead_leases(store: Store, journals: Path) -> int:
    """Books what dead processes of this machine had paid from their leases, as their journals say, and frees the rest;
    returns how many leases ended. Leases of other machines stay: their own supervisor knows what was paid from them.

    Blocking. A journal that is not sealed yet still has open attempts: its leases end once it is recovered.
    """
    by_holder: dict[str, list[Lease]] = {}
    for lease in store.leases():
        by_holder.setdefault(lease.holder, []).append(lease)
    dead = [holder for holder in by_holder if _is_over(journals / holder)]
    for holder in dead:
        paid = paid_by(journals, holder)
        store.end_leases([(lease, paid.get(lease.mark, 0)) for lease in by_holder[holder]])
    return sum(len(by_holder[holder]) for holder in dead)


def _is_over(chain: Path) -> bool:
    return chain.is_dir() and not is_locked(chain) and is_sealed(chain)
