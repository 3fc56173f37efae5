"""Closes the days of GPUs of one's own: rows that make the sum of a deployment's day GPU-hours × price, exactly.

The first row of a day is `idle`, the GPU time that no call was charged for; `true-up` is every correction: where calls
were charged more than the GPUs cost, and where rows came late. Rows are agreed on in the store before they go into the
journal, so that however often and on however many machines a day is closed, each is there once.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec

from signalbox.control.storage import StoreThread
from signalbox.control.supervisor import Supervisor
from signalbox.core.days import DAY_MS, day_of
from signalbox.core.errors import LedgerError, StoreError
from signalbox.core.ports import Store
from signalbox.core.records import IDLE, TRUE_UP, Opened, Settled
from signalbox.core.snapshot import INFRA
from signalbox.core.usage import NO_USAGE
from signalbox.ledger import apart
from signalbox.ledger.owned import DAYS_BACK, OwnedDay, note, owned_days
from signalbox.telemetry.log import Log

CHAIN = "true-up"
# A day is closed when it has been over for so long: most rows are in the store by then, others are corrected for.
CLOSE_AFTER_MS = 15 * 60_000
EVERY_S = 600.0
TICK_S = 1.0
# What another process agreed to write, and has not after so long, is written by whoever finds it.
TAKE_OVER_MS = 15 * 60_000
# A database's integers end at 2**63; a greater amount takes several rows.
ROW_PICO_MAX = 9 * 10**18


class _Agreed(msgspec.Struct, frozen=True):
    """A row as the store keeps it until the ledger has it. by: the process that writes it."""

    kind: str
    pico: int
    by: str
    time_ms: int


class Closer:
    """Follows the configuration in force, and closes days."""

    def __init__(
        self,
        supervisor: Supervisor,
        store: StoreThread,
        journals: Path,
        now_ms: Callable[[], int],
        log: Log,
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._closing = Closing(journals)
        self._now_ms = now_ms
        self._log = log
        self._generation = 0
        self._due_ms = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._tick()
            except (StoreError, LedgerError) as error:
                self._due_ms = self._now_ms() + 60_000
                self._log.warning("the days of GPUs could not be closed", reason=str(error)[:300])
            except Exception as defect:  # the books are closed at the next turn; serving goes on
                self._due_ms = self._now_ms() + 60_000
                self._log.defect("the days of GPUs could not be closed", defect)
            await asyncio.sleep(TICK_S)

    async def _tick(self) -> None:
        generation, now_ms = self._supervisor.generation, self._now_ms()
        if generation != self._generation:
            stated = self._supervisor.checked.gpus
            await self._store.run(lambda store: note(store, stated, now_ms))
            self._generation = generation
        if now_ms >= self._due_ms:
            self._due_ms = now_ms + round(EVERY_S * 1000)
            written = await self._store.run(lambda store: self._closing.close(store, now_ms))
            if written:
                self._log.info("closed days of GPUs", rows=written)


class Closing:
    """The rows that close days, in a chain of the journal of their own."""

    def __init__(self, journals: Path) -> None:
        self._journals = journals
        self._me = uuid.uuid4().hex
        self._written: set[str] | None = None

    def close(self, store: Store, now_ms: int) -> int:
        """Writes what is missing of the days that are over; returns how many rows. What was written before counts once
        the shipper has brought it to the store. Raises StoreError, LedgerError."""
        today = day_of(now_ms)
        days = owned_days(store, today - timedelta(days=DAYS_BACK), today - timedelta(days=1), keep=True)
        over = [day for day in days if day.start_ms + DAY_MS + CLOSE_AFTER_MS <= now_ms and day.rest_pico]
        return sum(self._settle(store, day, now_ms) for day in over)

    def _settle(self, store: Store, day: OwnedDay, now_ms: int) -> int:
        kind = IDLE if not day.rows and day.rest_pico > 0 else TRUE_UP
        pico = max(-ROW_PICO_MAX, min(ROW_PICO_MAX, day.rest_pico))
        row = f"{day.deployment}/{day.day}/{day.rows + 1}"
        wanted = msgspec.json.encode(_Agreed(kind, pico, self._me, now_ms))
        agreed = msgspec.json.decode(store.settle_fact(f"true-up/{row}", wanted), type=_Agreed)
        if self._written is None:
            self._written = {entry.attempt_id for entry in apart.read(self._journals, CHAIN, Settled)}
        attempt_id = f"gpu/{row}"
        late = agreed.by != self._me and now_ms - agreed.time_ms < TAKE_OVER_MS
        if attempt_id in self._written or late:
            return 0
        apart.write(self._journals, CHAIN, _records(day, attempt_id, agreed, now_ms))
        self._written.add(attempt_id)
        return 1


def _records(day: OwnedDay, attempt_id: str, agreed: _Agreed, now_ms: int) -> tuple[Opened, Settled]:
    """One row, at the last moment of its day."""
    time_ms = day.start_ms + DAY_MS - 1
    booked = day_of(now_ms)
    what = "GPU time that no call was charged for" if agreed.kind == IDLE else "correction"
    opened = Opened(
        attempt_id=attempt_id,
        call_id=f"gpu/{day.deployment}/{day.day}",
        time_ms=time_ms,
        tenant=INFRA,
        team="",
        key_id=INFRA,
        workload=INFRA,
        deployment=day.deployment,
        environment=day.environment,
        model=day.model,
        api="gpu",
        labels=(),
        reason=f"{what}, booked {booked}: {day.gpu_hours:g} GPU-hours were held",
        config="",
    )
    end = Settled(attempt_id, time_ms, agreed.kind, NO_USAGE, "none", agreed.pico)
    return opened, end
