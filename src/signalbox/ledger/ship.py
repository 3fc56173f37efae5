"""Moves the journals' records into the store, exactly once each, beside the request path."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from signalbox.core.errors import StoreError
from signalbox.core.ports import ShipMark, Store
from signalbox.core.records import Opened, Record, Refused, Settled
from signalbox.ledger.chain import (
    ENTRY_DECODER,
    UNREADABLE,
    Entry,
    chain_names,
    is_locked,
    is_sealed,
    segment_numbers,
    segment_path,
)
from signalbox.ledger.walk import FINDINGS_MAX, START, Finding, Findings, Place, Run, Walk

# What a page of sums costs to write does not depend on how many of its rows change: the more at once, the fewer pages.
BATCH_RECORDS = 4000
BATCH_BYTES = 8 << 20
_BACKOFF_S_MAX = 30.0
# As a tuple, which is asked faster than a union.
_SHIPPED = (Settled, Opened, Refused)


class Shipped(msgspec.Struct, frozen=True):
    """What one pass did. lines: journal lines passed. records: those that went to the store."""

    lines: int
    records: int
    findings: tuple[Finding, ...]
    finding_count: int


class ShipperStats(msgspec.Struct, frozen=True):
    """Figures for metrics. lag_s: time since the last pass that ended well; error: why the last one did not.
    anchor_error: why the last checkpoint could not be anchored."""

    records: int
    findings: int
    passes: int
    failures: int
    lag_s: float
    error: str
    anchor_error: str = ""


class Shipping:
    """Ships chains into one store, from wherever the store says they are. One thread."""

    def __init__(self, store: Store, journal_directory: Path) -> None:
        self._store = store
        self._directory = journal_directory
        self._finished: set[str] = set()
        # Findings already told, so that a damaged place is reported once and not with every pass.
        self._told: set[tuple[str, str, int, int]] = set()

    def ship_once(self) -> Shipped:
        """Ships all that is there now. Raises StoreError; what was shipped before stays shipped."""
        findings = Findings()
        lines = records = 0
        for chain in chain_names(self._directory):
            if chain in self._finished:
                continue
            chain_lines, chain_records = self._ship_chain(chain, findings)
            lines += chain_lines
            records += chain_records
        fresh = [found for found in findings.kept if _identity(found) not in self._told]
        if len(self._told) > FINDINGS_MAX:
            self._told.clear()
        self._told.update(map(_identity, fresh))
        return Shipped(lines=lines, records=records, findings=tuple(fresh), finding_count=len(fresh))

    def _ship_chain(self, chain: str, findings: Findings) -> tuple[int, int]:
        directory = self._directory / chain
        before = self._store.shipped(chain)
        if before is not None and _at_end(directory, before):
            if is_sealed(directory) and not is_locked(directory):
                self._finished.add(chain)
            return 0, 0
        start = START if before is None else Place(before.segment, before.offset, before.seq, before.hash.encode())
        batch = _Batch(chain, before)
        lines = records = 0
        try:
            # Read as if it were live: the unfinished line that a crash left is the business of recovery.
            for run in Walk(self._directory, chain, findings, start=start, live=True).runs():
                lines += len(run.jsons)
                batch.add(run, findings)
                if batch.full:
                    records += batch.ship(self._store)
        except OSError as error:
            findings.add(Finding("unreadable", chain, f"the journal cannot be read: {error.strerror}"))
        records += batch.ship(self._store)
        return lines, records


class _Batch:
    """Records of one chain on their way, and the mark behind the last of them."""

    def __init__(self, chain: str, before: ShipMark | None) -> None:
        self._chain = chain
        self._before = before
        self._last: Run | None = None
        self._records: list[Record] = []
        self._bytes = 0
        self._overtaken = False

    @property
    def full(self) -> bool:
        return len(self._records) >= BATCH_RECORDS or self._bytes >= BATCH_BYTES

    def add(self, run: Run, findings: Findings) -> None:
        self._last = run
        self._bytes += run.size
        try:
            entries = ENTRY_DECODER.decode_lines(b"\n".join(run.jsons))
        except UNREADABLE:
            entries = self._readable(run, findings)
        self._records += [entry for entry in entries if isinstance(entry, _SHIPPED)]

    def _readable(self, run: Run, findings: Findings) -> list[Entry]:
        """One by one: what cannot be read is told of, and the others are not lost with it."""
        entries: list[Entry] = []
        before = run.seq - len(run.jsons)
        for place, json in enumerate(run.jsons):
            try:
                entries.append(ENTRY_DECODER.decode(json))
            except UNREADABLE as error:
                message = f"this record cannot be read and was not shipped: {error}"
                where = run.segment, run.number + place, before + place + 1
                findings.add(Finding("unreadable", self._chain, message, *where))
        return entries

    def ship(self, store: Store) -> int:
        """Returns how many records went in: none when somebody else shipped this chain meanwhile; then the next pass
        begins where they left it."""
        last = self._last
        if last is None or self._overtaken:
            return 0
        after = ShipMark(self._chain, last.segment, last.end, last.seq, last.digest.decode("ascii"))
        if not store.ship(self._before, after, self._records):
            self._overtaken = True
            return 0
        shipped = len(self._records)
        self._before, self._last = after, None
        self._records.clear()
        self._bytes = 0
        return shipped


class Shipper:
    """A thread that ships every `interval_s`, with its own store, until stopped. A store that is down costs nothing
    but lag: the journals keep everything."""

    def __init__(
        self,
        store_factory: Callable[[], Store],
        journal_directory: Path,
        interval_s: float = 1.0,
        on_findings: Callable[[tuple[Finding, ...]], None] | None = None,
        on_shipped: Callable[[Store, bool], None] | None = None,
    ) -> None:
        """Both are called in the shipper's thread. on_findings: with findings that were not told before. on_shipped:
        after every pass that ended well, with the store and whether it was the last; may raise StoreError, OSError."""
        self._on_shipped = on_shipped
        self._store_factory = store_factory
        self._directory = journal_directory
        self._interval_s = interval_s
        self._on_findings = on_findings
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._records = self._findings = self._passes = self._failures = 0
        self._good_at = time.monotonic()
        self._error = ""

    async def start(self) -> None:
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="ledger-shipper", daemon=True)
            self._thread.start()

    async def stop(self) -> None:
        """Ships once more what is there and ends the thread. Safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            await asyncio.to_thread(thread.join)

    def ship_once(self) -> Shipped:
        """One pass in the caller's thread, the first and last of its own. Raises StoreError, OSError."""
        with contextlib.closing(self._store_factory()) as store:
            shipped = Shipping(store, self._directory).ship_once()
            self._note(shipped)
            if self._on_shipped is not None:
                self._on_shipped(store, True)
            return shipped

    def stats(self) -> ShipperStats:
        return ShipperStats(
            records=self._records,
            findings=self._findings,
            passes=self._passes,
            failures=self._failures,
            lag_s=time.monotonic() - self._good_at,
            error=self._error,
        )

    def _run(self) -> None:
        store: Store | None = None
        shipping: Shipping | None = None
        wait_s = self._interval_s
        stopping = False
        while True:
            try:
                if store is None or shipping is None:
                    store = self._store_factory()
                    shipping = Shipping(store, self._directory)
                self._note(shipping.ship_once())
                if self._on_shipped is not None:
                    self._on_shipped(store, stopping)
                wait_s = self._interval_s
            except (StoreError, OSError) as error:
                self._failures += 1
                self._error = str(error)
                wait_s = min(_BACKOFF_S_MAX, wait_s * 2)
            if stopping:
                break
            # Once more after the stop was asked for, so that a clean end leaves nothing unshipped.
            stopping = self._stop.wait(wait_s)
        if store is not None:
            store.close()

    def _note(self, shipped: Shipped) -> None:
        self._passes += 1
        self._records += shipped.records
        self._findings += shipped.finding_count
        self._good_at = time.monotonic()
        self._error = ""
        if shipped.findings and self._on_findings is not None:
            self._on_findings(shipped.findings)


def _at_end(directory: Path, mark: ShipMark) -> bool:
    numbers = segment_numbers(directory)
    if not numbers or numbers[-1] != mark.segment:
        return False
    return segment_path(directory, mark.segment).stat().st_size == mark.offset


def _identity(finding: Finding) -> tuple[str, str, int, int]:
    return finding.kind, finding.chain, finding.segment, finding.seq
