"""Pseudonyms that machines share: the same token for the same entity, whichever of them meets it first.

What a machine keeps in its own files (`vault`) it has settled in the store of the installation before. The store holds
keyed digests and what is sealed under the installation's secret: whoever reads it learns neither conversations nor
values. It is asked once for a conversation that a process does not know, and whenever something new is met.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from signalbox.core.errors import Overloaded, StoreError
from signalbox.core.ports import SealedEntry, Store
from signalbox.guard.pseudonyms import same
from signalbox.guard.vault import ENTRIES_MAX, Entry, opened, sealed

# A store that does not answer in time cannot be relied on, and nothing is sent.
WITHIN_S = 3.0
# What has expired is dropped at every so manieth new entry.
_FORGET_EVERY = 64


class StoreVault:
    """Implements guard.contract.SharedVault. open_store: opens the store, in the one thread that uses it. key: the
    installation's secret, the same on all machines. Every method raises Overloaded when the store cannot be used."""

    def __init__(self, open_store: Callable[[], Store], key: bytes, *, now_s: Callable[[], float] = time.time) -> None:
        self._open_store = open_store
        self._root = hashlib.blake2b(key, digest_size=32, person=b"shared names").digest()
        self._now_s = now_s
        self._store: Store | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pseudonyms")
        self._settled = 0

    async def fetch(self, scope: bytes, lifetime_s: int) -> list[Entry]:
        """The entries of a conversation, oldest first; they are kept for so long again."""
        return await self._in_thread(partial(self._fetch, scope, lifetime_s))

    async def settle(self, scope: bytes, entries: Sequence[Entry], lifetime_s: int) -> list[Entry]:
        """Adds entries; returns all that hold, on every machine. They are committed then."""
        return await self._in_thread(partial(self._settle, scope, entries, lifetime_s))

    async def close(self) -> None:
        if self._store is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], list[Entry]]) -> list[Entry]:
        try:
            async with asyncio.timeout(WITHIN_S):
                # No name for it here: it holds what it failed with, which holds this frame.
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (StoreError, TimeoutError) as error:
            raise Overloaded(
                "Pseudonyms that machines share cannot be looked up, so nothing is sent.", retry_after_s=5
            ) from error

    # --- in the thread

    def _fetch(self, scope: bytes, lifetime_s: int) -> list[Entry]:
        name, key = self._named(scope)
        now_ms = round(self._now_s() * 1000)
        found = self._opened().sealed_entries(name, now_ms, now_ms + lifetime_s * 1000)
        return [opened(key, scope, one) for one in found]

    def _settle(self, scope: bytes, entries: Sequence[Entry], lifetime_s: int) -> list[Entry]:
        name, key = self._named(scope)
        now_ms = round(self._now_s() * 1000)
        new = [SealedEntry(_mark(key, _entity(one)), _mark(key, one[0]), sealed(key, scope, one)) for one in entries]
        store = self._opened()
        try:
            found = store.seal_entries(name, new, now_ms, now_ms + lifetime_s * 1000, ENTRIES_MAX)
        except ValueError:
            raise Overloaded("The conversation holds more values than can be kept, so nothing is sent.") from None
        self._settled += len(new)
        if self._settled >= _FORGET_EVERY:
            self._settled = 0
            store.forget_sealed(now_ms)
        return [opened(key, scope, one) for one in found]

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _named(self, scope: bytes) -> tuple[bytes, bytes]:
        """What a conversation is called in the store, and the key of its entries."""
        name = hashlib.blake2b(scope, digest_size=16, key=self._root, person=b"name").digest()
        return name, hashlib.blake2b(scope, digest_size=32, key=self._root, person=b"cipher").digest()


def _entity(entry: Entry) -> str:
    """What spellings of one entity have in common: they share a token."""
    kind = entry[0].partition("_")[0]
    return f"{kind} {same(kind, entry[1])}"


def _mark(key: bytes, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=16, key=key, person=b"mark").digest()
