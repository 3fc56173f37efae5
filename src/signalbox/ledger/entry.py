"""A record on its way into the journal, and the request that may leave once it is there."""

from __future__ import annotations

from collections.abc import Callable

from signalbox.core.errors import LedgerError
from signalbox.core.ports import Leaver
from signalbox.core.records import Opened


class Entry:
    """Implements core.ports.Entry. written: the record is in the kernel's page cache. Either that comes to hold or
    `error` is set, once. waits: called when a request begins to wait for it."""

    __slots__ = ("_leaver", "_waits", "error", "record", "written")

    def __init__(self, record: Opened, waits: Callable[[], None]) -> None:
        self.record = record
        self.written = False
        self.error: LedgerError | None = None
        self._leaver: Leaver | None = None
        self._waits = waits

    def before(self, leaver: Leaver) -> None:
        if self.written:
            leaver.leave()
        elif self.error is not None:
            leaver.stay(self.error)
        else:
            self._leaver = leaver
            self._waits()

    def is_in(self) -> None:
        self.written = True
        leaver, self._leaver = self._leaver, None
        if leaver is not None:
            leaver.leave()

    def failed(self, error: LedgerError) -> None:
        self.error = error
        leaver, self._leaver = self._leaver, None
        if leaver is not None:
            leaver.stay(error)
