"""The kept answers of one process: the very same question gets the answer that was given before.

They lie in its memory and, for all processes, in a file (cache/shelf.py) or on a server (cache/shared.py). Figures are
in the file in any case.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from signalbox.cache.entry import ENTRY_BYTES_MAX, Entry
from signalbox.cache.memory import Memory
from signalbox.cache.scope import Name
from signalbox.cache.semantic import SemanticCache
from signalbox.cache.shared import SharedShelf
from signalbox.cache.shared_rest import Tell
from signalbox.cache.shelf import EVERYTHING, Put, Shelf
from signalbox.core.caching import SharedCache
from signalbox.core.errors import CallError, StoreError


class Flight:
    """One question under way, and those who wait for its answer. over: set when it has ended. alone: its answer is for
    whoever asked only, so the others ask themselves. error: what everybody is told. failures: how many askers in a row
    got no answer."""

    __slots__ = ("alone", "error", "failures", "over")

    def __init__(self, failures: int) -> None:
        self.over = asyncio.Event()
        self.alone = False
        self.error: CallError | None = None
        self.failures = failures


class KeptAnswers:
    """semantic: for questions in other words. flights: questions that are being asked now, by their key; as many as
    there are calls in flight, at most.

    What cannot be looked up for sure, because the file or the server cannot be read, is not there: an answer that may
    have been invalidated is never given.
    """

    def __init__(self, path: Path, secret: bytes, now_ms: Callable[[], int], tell: Tell) -> None:
        """tell: of trouble with a shared cache."""
        self._path = path
        self._tell = tell
        self.secret = secret
        self._now_ms = now_ms
        self._memory = Memory(0)
        self._shelf: Shelf | None = None
        self._disk_bytes_max = 0
        self.flights: dict[bytes, Flight] = {}
        self.semantic = SemanticCache()
        self.shared: SharedShelf | None = None

    def share(self, at: SharedCache | None) -> None:
        """Entries lie on a server from now on, or in the file again. What the memory holds was never there."""
        if (self.shared.at if self.shared is not None else None) == at:
            return
        if self.shared is not None:
            self.shared.close()
        self._forget([EVERYTHING])
        self.shared = SharedShelf(at, self.secret, time.monotonic, self._forget, self._tell) if at is not None else None

    def resize(self, memory_bytes: int, disk_bytes: int) -> None:
        self._memory.bytes_max = memory_bytes
        self._disk_bytes_max = disk_bytes
        if self._shelf is not None:
            self._shelf.bytes_max = disk_bytes

    def gauges(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """Metrics with their labels."""
        yield ("signalbox_cache_entries",), len(self._memory)
        yield ("signalbox_cache_bytes",), self._memory.bytes_held
        if self.shared is not None:
            yield ("signalbox_cache_shared_connected",), int(self.shared.connected)
            yield ("signalbox_cache_shared_failures_total",), self.shared.failures
        yield from self.semantic.gauges()

    async def look_up(self, name: Name) -> Entry | None:
        """What is kept under a name and holds still. With a server, a call waits for it no longer than it is set to."""
        shared = self.shared
        if shared is None:
            return self.find(name)
        entry = self._in_memory(name)
        if entry is not None:
            if not shared.fresh:
                await shared.find(None)
            return self._in_memory(name) if shared.fresh else None
        entry = await shared.find(name)
        if entry is not None and shared.fresh and entry.expires_ms > self._now_ms():
            self._memory.put(name.key, entry)
            return entry
        return None

    async def heard(self) -> int:
        """The mark of now, after everything that was invalidated until now is forgotten; -1 when nobody can tell."""
        if self.shared is None:
            return self.mark()
        if not self.shared.fresh:
            await self.shared.find(None)
        return self.shared.mark if self.shared.fresh else -1

    async def holds(self, tags: tuple[str, ...], since: int) -> bool:
        """Whether nothing with one of these tags was invalidated between a mark and now."""
        return await self.heard() >= 0 and self.current(tags, since)

    def find(self, name: Name) -> Entry | None:
        """What is kept on this machine under a name, and holds still."""
        shelf = self._open()
        if shelf is None or not self._heard(shelf):
            return None
        entry = self._in_memory(name)
        if entry is None:
            try:
                entry = shelf.find(name, self._now_ms())
            except StoreError:
                return None
            if entry is not None:
                self._memory.put(name.key, entry)
        return entry

    def _in_memory(self, name: Name) -> Entry | None:
        entry = self._memory.get(name.key)
        if entry is not None and entry.expires_ms <= self._now_ms():
            self._memory.drop(name.key)
            return None
        return entry

    def mark(self) -> int:
        """Where the list of invalidations is now; what is asked from now on is newer than all of it."""
        if self.shared is not None:
            return self.shared.mark
        shelf = self._open()
        return shelf.seen if shelf is not None and self._heard(shelf) else -1

    def current(self, tags: tuple[str, ...], since: int) -> bool:
        """Whether nothing with one of these tags was invalidated since a mark."""
        if self.shared is not None:
            return self.shared.current(tags, since)
        shelf = self._open()
        if shelf is None or since < 0 or not self._heard(shelf):
            return False
        if shelf.seen == since:
            return True
        try:
            ended = shelf.since(since, shelf.seen)
        except StoreError:
            return False
        return EVERYTHING not in ended and set(ended).isdisjoint(tags)

    def keep(self, name: Name, entry: Entry, since: int) -> None:
        """Keeps an answer to a question that was asked at mark `since` and is current still."""
        if self.shared is not None and len(entry.content) <= ENTRY_BYTES_MAX:
            self._memory.put(name.key, entry)
            self.shared.put(Put(name, entry, since))
            return
        shelf = self._open()
        if shelf is not None and len(entry.content) <= ENTRY_BYTES_MAX:
            self._memory.put(name.key, entry)
            shelf.put(Put(name, entry, since))

    def count(self, workload: str, figure: str, value: int = 1) -> None:
        """For `signalbox cache stats`."""
        shelf = self._shelf if self.shared is None else self._open()
        if shelf is not None:
            shelf.count(workload, figure, value)

    async def stop(self) -> None:
        """Ends what goes on for no client."""
        if self.shared is not None:
            await self.shared.stop()

    def close(self) -> None:
        self.semantic.close()
        if self._shelf is not None:
            self._shelf.close()
            self._shelf = None

    def _open(self) -> Shelf | None:
        """The file, made at the first need of it."""
        if self._shelf is None:
            try:
                self._shelf = Shelf(self._path, self.secret, self._disk_bytes_max)
            except StoreError:
                return None
        return self._shelf

    def _heard(self, shelf: Shelf) -> bool:
        """Has forgotten everything that was invalidated until now; False when nobody can tell what was."""
        try:
            newest = shelf.newest()
            if newest != shelf.seen:
                self._forget(shelf.since(shelf.seen, newest))
                shelf.seen = newest
        except StoreError:
            return False
        return True

    def _forget(self, ended: list[str]) -> None:
        if EVERYTHING in ended:
            self._memory.clear()
        else:
            self._memory.forget(ended)
        self.semantic.forget(ended)
