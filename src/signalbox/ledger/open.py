"""How far the open streams of this process are, written to the journal so that a crash can be priced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from signalbox.core.errors import LedgerError
from signalbox.core.ports import Journal
from signalbox.core.records import Progress

# Recovery prices what may have come after the last record, so this interval is what a crash costs in accuracy.
PROGRESS_INTERVAL_S = 0.1
GAIN_TOKENS_MAX = 256
QUIET_TICKS = 3
# Of a lag this much is still believed in at the next turn: half of it after two seconds.
LAG_KEPT = 0.965
OPEN_MAX = 100_000
_RECORD_ATTEMPTS_MAX = 4096


class OpenAttempts:
    """Output tokens of every open attempt. One Progress record holds all that moved since the last one, at most every
    PROGRESS_INTERVAL_S, and at once when one attempt gained GAIN_TOKENS_MAX. While attempts are open and nothing moves,
    an empty one every QUIET_TICKS intervals says that the process lived: recovery prices the time of calls that show
    nothing.

    Tokens must be counted on the high side: recovery takes them as a lower bound of an upper bound. Beyond OPEN_MAX
    attempts progress is not kept, and recovery falls back to their stated maximum.
    """

    __slots__ = (
        "_changed",
        "_counts",
        "_due_s",
        "_journal",
        "_loop",
        "_quiet",
        "_time_ms",
        "_timer",
        "_written",
        "lag_s",
    )

    def __init__(self, journal: Journal, time_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._time_ms = time_ms
        self._written: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._counts: dict[str, Callable[[], int]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._quiet = 0
        self._due_s = 0.0
        # How late this process came to its work of late: as much may have been on its way that it had not read.
        self.lag_s = 0.0

    def __len__(self) -> int:
        return len(self._written)

    def start(self) -> None:
        """From now on progress is written by itself, on the running loop."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def opened(self, attempt_id: str) -> None:
        if len(self._written) < OPEN_MAX:
            self._written[attempt_id] = 0
            if self._timer is None:
                self._arm()

    def watch(self, attempt_id: str, out_tokens: Callable[[], int]) -> None:
        """From now on asks `out_tokens` by itself, until the attempt is closed: whoever is asked has to call `progress`
        only when one attempt gains much in a moment."""
        if attempt_id in self._written:
            self._counts[attempt_id] = out_tokens

    def progress(self, attempt_id: str, out_tokens: int) -> None:
        """out_tokens: all seen so far, as an upper estimate; the last word counts."""
        written = self._written.get(attempt_id)
        if written is None:
            return
        self._changed[attempt_id] = out_tokens
        if out_tokens - written >= GAIN_TOKENS_MAX:
            self.flush_progress()
        elif self._timer is None:
            self._arm()

    def closed(self, attempt_id: str) -> None:
        self._written.pop(attempt_id, None)
        self._changed.pop(attempt_id, None)
        self._counts.pop(attempt_id, None)

    def flush_progress(self) -> None:
        """Writes what moved. When the journal refuses, it is kept and written with the next turn."""
        at = tuple(self._changed.items())
        for start in range(0, len(at), _RECORD_ATTEMPTS_MAX):
            part = at[start : start + _RECORD_ATTEMPTS_MAX]
            try:
                self._journal.append_soon(Progress(time_ms=self._time_ms(), at=part))
            except LedgerError:
                return
            for attempt_id, tokens in part:
                self._written[attempt_id] = tokens
                del self._changed[attempt_id]

    def _tick(self) -> None:
        self._timer = None
        if self._loop is not None:
            self.lag_s = max(self._loop.time() - self._due_s, self.lag_s * LAG_KEPT)
        written, changed = self._written, self._changed
        for attempt_id, out_tokens in self._counts.items():
            tokens = out_tokens()
            if tokens != written[attempt_id]:
                changed[attempt_id] = tokens
        if changed:
            self._quiet = 0
            self.flush_progress()
        elif self._written:
            self._quiet += 1
            if self._quiet >= QUIET_TICKS:
                self._quiet = 0
                with contextlib.suppress(LedgerError):
                    self._journal.append_soon(Progress(time_ms=self._time_ms(), at=()))
        if self._written:
            self._arm()

    def _arm(self) -> None:
        if self._loop is not None:
            self._due_s = self._loop.time() + PROGRESS_INTERVAL_S
            self._timer = self._loop.call_later(PROGRESS_INTERVAL_S, self._tick)
