"""Storing answers on a shared cache server, after their calls have ended and over a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from signalbox.cache.resp import Connection
from signalbox.cache.shared_log import Log, putting
from signalbox.cache.shared_rest import Rest, Tell
from signalbox.cache.shared_server import reach
from signalbox.cache.shelf import Put
from signalbox.core.caching import SharedCache
from signalbox.core.errors import StoreError, forget_frames

WRITE_S = 1.0
# Longer answers stay in the memory of their process.
VALUE_BYTES_MAX = 1 << 20
PENDING_MAX, PENDING_BYTES_MAX = 1024, 16 << 20
BATCH_MAX = 64
# The connection is kept for so long without anything to store.
IDLE_S = 30.0


class Writer:
    """What waits to be stored, and the task that stores it while there is any. A server that refuses, such as one whose
    memory is full, is left alone for a while."""

    def __init__(self, at: SharedCache, log: Log, clock: Callable[[], float], tell: Tell) -> None:
        self.at = at
        self._clock = clock
        self._rest = Rest("the shared cache does not keep answers", tell)
        self._log = log
        self._pending: list[tuple[Put, int]] = []
        self._pending_bytes = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self.task: asyncio.Task[None] | None = None

    def put(self, put: Put) -> bool:
        """Takes an entry to store soon; False when it is not for the server, or too many wait already."""
        size = len(put.entry.content)
        if (
            size > VALUE_BYTES_MAX
            or not self._log.of_this_epoch(put.since)
            or len(self._pending) >= PENDING_MAX
            or self._pending_bytes + size > PENDING_BYTES_MAX
            or not self._rest.is_over(self._clock())
        ):
            return False
        self._pending.append((put, size))
        self._pending_bytes += size
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._write())
        self._wake.set()
        return True

    async def stop(self) -> None:
        """What waits to be stored is stored if the server takes it at once."""
        self._stopping = True
        self._wake.set()
        if self.task is not None:
            await asyncio.wait((self.task,), timeout=WRITE_S)

    async def _write(self) -> None:
        """No look-up stands behind a long answer. What cannot be stored is lost,
        and nothing else."""
        connection: Connection | None = None
        try:
            connection, _ = await reach(self.at)
            while await self._more():
                batch, self._pending = self._pending[:BATCH_MAX], self._pending[BATCH_MAX:]
                self._pending_bytes -= sum(size for _, size in batch)
                log = self._log
                commands = [putting(log, put, self.at.bytes_max) for put, _ in batch if log.of_this_epoch(put.since)]
                if commands:
                    await connection.run(*commands, within_s=WRITE_S)
                    self._rest.connected()
        except StoreError as error:
            self._rest.failed(str(error), self._clock())
            forget_frames(error)
            self._pending, self._pending_bytes = [], 0
        finally:
            if connection is not None:
                connection.close()

    async def _more(self) -> bool:
        """Whether there is something to store, after a while if there is nothing now."""
        if not self._pending and not self._stopping:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._wake.wait()
        return bool(self._pending)
