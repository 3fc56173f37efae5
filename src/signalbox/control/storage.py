"""The store's own thread, so that a blocking driver never holds the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from signalbox.core.ports import Store

T = TypeVar("T")


class StoreThread:
    """Opens the store in one thread and runs every piece of work there, in order."""

    def __init__(self, open_: Callable[[], Store]) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._store = self._executor.submit(open_).result()

    async def run(self, work: Callable[[Store], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, self._store)

    def run_now(self, work: Callable[[Store], T]) -> T:
        """For start-up, before a loop runs."""
        return self._executor.submit(work, self._store).result()

    def close(self) -> None:
        self._executor.submit(self._store.close).result()
        self._executor.shutdown()
