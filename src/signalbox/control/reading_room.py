"""Where readers ask the ledger: threads and a store of their own, so that no page holds up the supervisor or a call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from signalbox.core.ports import Store

THREADS = 2
# Readers beyond those that read: more than this is no person any more.
WAITING_MAX = 32
T = TypeVar("T")


class RoomIsFull(Exception):
    """Too many readers at a time; come back in a moment."""


class ReadingRoom:
    """open_: the store, opened at the first question. It is safe to call from several threads."""

    def __init__(self, open_: Callable[[], Store]) -> None:
        self._open = open_
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="reading")
        self._turn = threading.Lock()
        self._store: Store | None = None
        self._inside = 0

    async def run(self, work: Callable[[Store], T]) -> T:
        """Raises RoomIsFull, and what the work raises."""
        if self._inside >= WAITING_MAX:
            raise RoomIsFull
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._work, work)
        finally:
            self._inside -= 1

    def _work(self, work: Callable[[Store], T]) -> T:
        with self._turn:
            if self._store is None:
                self._store = self._open()
            store = self._store
        return work(store)

    def close(self) -> None:
        self._executor.shutdown()
        if self._store is not None:
            self._store.close()
