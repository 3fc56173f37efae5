"""Virtual keys and published key sets on their way to the workers: at once when they change here, and by a look at the
store, often, for what others changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from signalbox.control.keys import own_budgets, usable
from signalbox.control.links import Link, LinkLost
from signalbox.control.storage import StoreThread
from signalbox.core.budgets import Budget
from signalbox.core.issuers import KeySet
from signalbox.core.link import ApplyKeys, ApplyKeySets
from signalbox.core.ports import VirtualKey

# How long whoever changed a key waits for workers to have it. One that is slower gets it when it listens again.
DELIVERED_S = 5.0


class KeyDelivery:
    """Every worker that is admitted gets what there is, and then every change, in order and never an older one last."""

    def __init__(self, store: StoreThread, pepper: bytes, ended: Callable[[list[str]], Awaitable[None]]) -> None:
        """ended: told of keys that were revoked, once no worker takes them any more."""
        self._ended = ended
        self._store = store
        self._pepper = pepper
        self._keys: list[VirtualKey] = []
        self._version = -1
        self._sets: list[KeySet] = []
        # Which version a worker has or is being given, and who is giving it a newer one.
        self._given: dict[Link, int] = {}
        self._giving: dict[Link, asyncio.Task[None]] = {}
        self._reading = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Those that keys have of their own."""
        return own_budgets(self._keys)

    async def load(self) -> None:
        """Gives every worker the keys if they changed, and returns when they have them, or after DELIVERED_S.

        Raises StoreError; workers then keep those that they have."""
        gone: list[str] = []
        async with self._reading:  # what is read later is never overtaken by what was read before
            version = await self._store.run(lambda store: store.keys_version())
            if version != self._version:
                before = self._keys
                self._keys = usable(await self._store.run(lambda store: store.list_keys()))
                self._version = version
                kept = {row.id for row in self._keys}
                gone = [row.id for row in before if row.id not in kept]
        behind = [link for link, given in self._given.items() if given != self._version and link.alive]
        if behind:
            await asyncio.wait([self._give(link) for link in behind], timeout=DELIVERED_S)
        if gone:
            await self._ended(gone)

    async def give_key_sets(self, sets: list[KeySet]) -> None:
        """Gives every worker what issuers publish, when it changed."""
        if sets == self._sets:
            return
        self._sets = sets
        await asyncio.gather(*(link.ask(ApplyKeySets(sets)) for link in self._given), return_exceptions=True)

    async def admit(self, link: Link) -> None:
        """A worker that starts: what changes from now on reaches it too. Raises LinkLost."""
        self._given[link] = self._version
        await link.ask(ApplyKeys(self._pepper, self._keys))
        await link.ask(ApplyKeySets(self._sets))

    def forget(self, link: Link) -> None:
        self._given.pop(link, None)
        self._giving.pop(link, None)

    def _give(self, link: Link) -> asyncio.Task[None]:
        """One errand for each worker at a time, however often keys change."""
        task = self._giving.get(link)
        if task is None or task.done():
            task = self._giving[link] = asyncio.get_running_loop().create_task(self._bring(link))
        return task

    async def _bring(self, link: Link) -> None:
        while self._given.get(link, self._version) != self._version:
            version, order = self._version, ApplyKeys(self._pepper, self._keys)
            try:
                await link.ask(order)
            except LinkLost:
                return  # it is started again, and then admitted
            if link in self._given:
                self._given[link] = version
