"""What is done between two passes of the shipper: checkpoints are signed, what is past its retention goes."""

from __future__ import annotations

import time
from pathlib import Path

from signalbox.control.contents import Contents
from signalbox.control.shipping import ShipOrder
from signalbox.control.state import StateDir
from signalbox.core.errors import LedgerError, StoreError
from signalbox.core.ports import Store
from signalbox.ledger import cut
from signalbox.ledger.chain import chain_names
from signalbox.ledger.checkpoint import Busy, CheckpointLog
from signalbox.telemetry.log import Log

DAY_S = 86_400
# Between two looks for what is past its retention.
TIDY_EVERY_S = 60.0
# How long one pass may be kept from shipping by it; the rest is done between the next passes.
TIDY_S_MAX = 0.5
# How long the last pass waits for another process that writes the checkpoints and is about to end.
LAST_TRIES, LAST_WAIT_S = 50, 0.1


class Upkeep:
    """One for each shipper. It never stops the shipping: what fails is told and tried again."""

    def __init__(self, order: ShipOrder, state: StateDir, log: Log) -> None:
        self._order = order
        self._state = state
        self._log = log
        self._contents = Contents(state.pepper())
        self._signing: CheckpointLog | None = None
        self._sign_at = self._tidy_at = 0.0
        self._told = ""

    def shipped(self, store: Store, last: bool) -> None:
        """After a pass, in the shipper's thread."""
        now_s = time.monotonic()
        while self._contents.take(store, self._state.content) and last:
            pass
        if not last and now_s >= self._tidy_at:
            self._tidy_at = now_s + (0.0 if self._tidy(store) else TIDY_EVERY_S)
        if not last and now_s < self._sign_at:
            return
        self._sign_at = now_s + self._order.checkpoint_every_s
        try:
            self._sign(store, last)
        except Busy as error:
            self._sign_at = now_s  # it is about to end, or has just been started beside this one
            self._tell(error)
        except (LedgerError, OSError) as error:
            self._tell(error)
        finally:
            if last and self._signing is not None:
                self._signing.close()
                self._signing = None

    def _sign(self, store: Store, last: bool) -> None:
        signing = self._signing = self._signing or self._log_of_checkpoints(last)
        own = set(chain_names(self._state.journal))
        marks = {mark.chain: mark for mark in store.shipped_all() if mark.chain in own}
        days = self._order.retention.attempts_days
        cuts: list[cut.Cut] = []
        if self._order.old_journals != "keep" and days is not None:
            cuts = cut.due(self._state.journal, marks, time.time() - days * DAY_S)
        signing.write(marks.values(), time.time_ns() // 1_000_000, cuts)
        if self._order.old_journals != "keep":
            archive = Path(self._order.archive) if self._order.old_journals == "archive" else None
            cut.carry_out(self._state.journal, signing.cuts, archive)
        self._told = ""

    def _log_of_checkpoints(self, last: bool) -> CheckpointLog:
        anchor = Path(self._order.checkpoint_anchor) if self._order.checkpoint_anchor else None
        for _ in range(LAST_TRIES if last else 0):
            try:
                return CheckpointLog(self._state.checkpoints, anchor)
            except Busy:
                time.sleep(LAST_WAIT_S)
        return CheckpointLog(self._state.checkpoints, anchor)

    def _tidy(self, store: Store) -> bool:
        """True when there is more to do."""
        until_s = time.monotonic() + TIDY_S_MAX
        try:
            while store.tidy(time.time_ns() // 1_000_000, self._order.retention):
                if time.monotonic() > until_s:
                    return True
        except StoreError as error:  # such as somebody who reads what is to go
            self._tell(error)
        return False

    def _tell(self, error: Exception) -> None:
        """Once, however often it happens."""
        if str(error) != self._told:
            self._told = str(error)
            self._log.error("the upkeep of the ledger did not succeed", reason=self._told)
