"""Kept answers in the memory of one process: what was used longest ago goes first."""

from __future__ import annotations

from collections.abc import Iterable

from signalbox.cache.entry import Entry

ENTRIES_MAX = 100_000


class Memory:
    """bytes_held: of all entries together, never above bytes_max."""

    __slots__ = ("_entries", "bytes_held", "bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self._entries: dict[bytes, Entry] = {}
        self.bytes_max = bytes_max
        self.bytes_held = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Entry | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._entries[key] = entry  # the youngest again
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        self.drop(key)
        if entry.bytes_held > self.bytes_max:
            return
        self._entries[key] = entry
        self.bytes_held += entry.bytes_held
        while self.bytes_held > self.bytes_max or len(self._entries) > ENTRIES_MAX:
            self.drop(next(iter(self._entries)))

    def drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes_held -= entry.bytes_held

    def forget(self, tags: Iterable[str]) -> None:
        """Drops every entry that has one of these tags."""
        named = frozenset(tags)
        for key in [key for key, entry in self._entries.items() if not named.isdisjoint(entry.tags)]:
            self.drop(key)

    def clear(self) -> None:
        self._entries.clear()
        self.bytes_held = 0
