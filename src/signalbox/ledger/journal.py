"""The journal as the request path sees it: append, queue, group commit to the disk in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Literal

import msgspec

from signalbox.core.errors import LedgerError
from signalbox.core.records import Opened, Record, Settled
from signalbox.core.together import MOST
from signalbox.ledger.entry import Entry
from signalbox.ledger.writer import ChainWriter, PartlyWritten, encode

Fsync = Literal["always", "group", "off"]

QUEUE_BYTES_MAX = 16 << 20
_RETRY_S = 0.1
_PROBE_EVERY_S = 1.0
# How long after a record that could not be taken the journal counts as unhealthy.
_UNHEALTHY_S = 2.0


class JournalStats(msgspec.Struct, frozen=True):
    """Figures for metrics. queued/queued_bytes: waiting for the next write. unsynced: written, not yet on the disk.
    refused: appends that raised. fsync_ms_max: the longest fsync since start."""

    chain: str
    segment: int
    seq: int
    records: int
    bytes_written: int
    open_attempts: int
    queued: int
    queued_bytes: int
    unsynced: bool
    refused: int
    fsyncs: int
    fsync_errors: int
    fsync_ms_max: float


def new_chain(prefix: str) -> str:
    """A chain name that no other process uses: one chain lives as long as one process."""
    return f"{prefix}-{time.time_ns() // 1_000_000:x}-{os.urandom(3).hex()}"


class Journal:
    """The local, append-only, hash-chained record of one process (see chain.py for the form on disk).

    `append` returns when the record, and everything queued before it, is in the kernel's page cache, so that
    `kill -9` loses nothing. The disk follows by group commit:
      group   a thread calls fdatasync at most every `fsync_interval_ms` while there is something new
      always  the same thread never waits; `synced` returns after the fsync that covers what was appended before
      off     the kernel decides
    All methods belong to one thread, the event loop's. Errors raise LedgerError: disk full, I/O error, chain held by
    another process. Nothing of a failed append stays in the file; the next one tries again.
    """

    def __init__(
        self,
        directory: Path,
        chain: str,
        *,
        fsync: Fsync = "group",
        fsync_interval_ms: int = 100,
        segment_bytes_max: int = 64 << 20,
    ) -> None:
        self._writer = ChainWriter(directory, chain, segment_bytes_max=segment_bytes_max)
        self._interval_s = 0.0 if fsync == "always" else fsync_interval_ms / 1000
        self._queue: list[tuple[bytes, Record]] = []
        self._queue_bytes = 0
        self._flush_due = False
        # What the last write left in the queue: later records go straight behind it, not with the next try.
        self._stuck = False
        self._entries: list[Entry] = []
        self._leaving = 0
        self._refused = 0
        self._refused_at = -_UNHEALTHY_S
        self._closed = False
        # Shared with the fsync thread; `_sync_lock` guards what both write.
        self._unsynced = False
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._sync_lock = threading.Lock()
        self._waiters: list[asyncio.Future[None]] = []
        self._sync_error: OSError | None = None
        self._probe_after = 0.0
        self._fsyncs = 0
        self._fsync_errors = 0
        self._fsync_ms_max = 0.0
        self._thread: threading.Thread | None = None
        if fsync != "off":
            self._thread = threading.Thread(target=self._sync_forever, name="journal-fsync", daemon=True)
            self._thread.start()
            self._mark_unsynced()

    def append(self, record: Record) -> None:
        """Writes one record now. Raises LedgerError when it cannot; then the attempt must not be sent."""
        try:
            json = encode(record)
            if self._closed or self._sync_error is not None:
                self._make_ready()
            if self._queue:
                self._append_behind(json, record)
            else:
                self._writer.put_one(json, record)
        except LedgerError:
            self._refused += 1
            self._refused_at = time.monotonic()
            raise
        if not self._unsynced:
            self._mark_unsynced()

    def enter(self, record: Opened) -> Entry:
        """Queues one record that a request waits for, until the end of this loop tick or until `MOST` wait.
        Raises LedgerError when that is known to be in vain; the entry tells of a write that failed later."""
        if self._closed or self._stuck or self._sync_error is not None or self._queue_bytes > QUEUE_BYTES_MAX:
            self.append(record)
            entry = Entry(record, self._one_more)
            entry.is_in()
            return entry
        json = encode(record)
        entry = Entry(record, self._one_more)
        self._entries.append(entry)
        self._queue.append((json, record))
        self._queue_bytes += len(json)
        if not self._flush_due:
            self._flush_later()
        return entry

    def append_soon(self, record: Record) -> None:
        """Queues one record for the next append or the end of this loop tick, whichever is first. A write that then
        fails is tried again until it works. Raises LedgerError when the queue is full or the journal closed."""
        json = encode(record)
        if self._closed or self._queue_bytes + len(json) > QUEUE_BYTES_MAX:
            self._refused += 1
            raise LedgerError("the journal is closed" if self._closed else "the journal's queue is full")
        self._queue.append((json, record))
        self._queue_bytes += len(json)
        if not self._flush_due:
            self._flush_later()

    async def synced(self) -> None:
        """Returns when everything appended so far is on the disk, one fsync serving all who wait; at once with fsync
        off."""
        if self._thread is None:
            return
        done = asyncio.get_running_loop().create_future()
        with self._sync_lock:
            self._waiters.append(done)
        self._mark_unsynced()
        await done

    def flush(self) -> None:
        """Writes what is queued. Raises LedgerError when it cannot; what did not go out stays queued."""
        self._make_ready()

    def healthy(self) -> bool:
        """Whether records can be taken, as far as is known: a refusal counts for a while, because without traffic
        nothing would ever tell that there is room again."""
        if self._closed or self._sync_error is not None:
            return False
        return time.monotonic() - self._refused_at >= _UNHEALTHY_S

    def stats(self) -> JournalStats:
        writer = self._writer
        return JournalStats(
            chain=writer.chain,
            segment=writer.segment,
            seq=writer.seq,
            records=writer.records,
            bytes_written=writer.bytes_written,
            open_attempts=len(writer.open),
            queued=len(self._queue),
            queued_bytes=self._queue_bytes,
            unsynced=self._unsynced,
            refused=self._refused,
            fsyncs=self._fsyncs,
            fsync_errors=self._fsync_errors,
            fsync_ms_max=self._fsync_ms_max,
        )

    def _flush_later(self) -> None:
        self._flush_due = True
        try:
            asyncio.get_running_loop().call_soon(self._flush_quietly)
        except RuntimeError:  # no loop runs here: there is no later
            self._flush_due = False
            self.flush()

    def _one_more(self) -> None:
        """Another request is ready to leave."""
        self._leaving += 1
        if self._leaving >= MOST:
            with contextlib.suppress(LedgerError):  # each entry tells its own
                self.flush()

    async def close(self) -> None:
        """Writes what is queued, seals the chain when nothing is open, syncs and lets go of it. Raises LedgerError
        when something could not be written; the chain is then left to recovery. Safe to call twice."""
        if self._closed:
            return
        problem: LedgerError | None = None
        try:
            self.flush()
            if not self._writer.open:
                self._writer.seal("close")
        except LedgerError as error:
            problem = error
        self._closed = True
        self._stop.set()
        self._wake.set()
        await asyncio.to_thread(self._finish)
        if problem is not None:
            raise problem

    def _finish(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._writer.release()

    def _make_ready(self) -> None:
        """The slow way in: after an fsync error, and whenever older records wait. Raises LedgerError."""
        if self._closed:
            raise LedgerError("the journal is closed")
        try:
            if self._sync_error is not None:
                self._leave_bad_segment(self._sync_error)
            written = self._writer.put(self._queue) if self._queue else 0
        except LedgerError as error:
            self._forget_queued(error.written if isinstance(error, PartlyWritten) else 0)
            self._give_up_entries(error)
            raise
        self._forget_queued(written)

    def _append_behind(self, json: bytes, record: Record) -> None:
        """Writes what is queued and then this record, all in one go. Raises LedgerError when this one is not in."""
        queue = self._queue
        try:
            self._writer.put([*queue, (json, record)])
        except PartlyWritten as error:
            self._forget_queued(min(error.written, len(queue)))
            self._give_up_entries(error)
            raise
        self._forget_queued(len(queue))

    def _forget_queued(self, written: int) -> None:
        if not written:
            return
        entries = self._entries
        if written == len(self._queue):  # as nearly always
            self._queue_bytes = 0
            self._queue.clear()
            self._entries = []
        else:
            self._queue_bytes -= sum(len(json) for json, _ in self._queue[:written])
            gone = {id(record) for _, record in self._queue[:written]}
            del self._queue[:written]
            entries = [entry for entry in self._entries if id(entry.record) in gone]
            self._entries = [entry for entry in self._entries if id(entry.record) not in gone]
        if not self._unsynced:
            self._mark_unsynced()
        self._leaving = 0
        for entry in entries:
            entry.is_in()

    def _give_up_entries(self, error: LedgerError) -> None:
        """What waits for a write that failed does not leave, so neither its record nor its end may come later."""
        entries, self._entries = self._entries, []
        if not entries:
            return
        self._leaving = 0
        lost = {entry.record.attempt_id for entry in entries}
        self._queue = [
            (json, record)
            for json, record in self._queue
            if not (isinstance(record, Opened | Settled) and record.attempt_id in lost)
        ]
        self._queue_bytes = sum(len(json) for json, _ in self._queue)
        self._refused += len(entries)
        self._refused_at = time.monotonic()
        for entry in entries:
            entry.failed(error)

    def _leave_bad_segment(self, cause: OSError) -> None:
        now = time.monotonic()
        if now < self._probe_after:
            raise LedgerError(f"journal cannot reach the disk: {cause.strerror}")
        self._probe_after = now + _PROBE_EVERY_S
        self._writer.abandon_segment()
        self._sync_error = None

    def _flush_quietly(self) -> None:
        self._flush_due = False
        if self._closed:
            return
        try:
            self._make_ready()
        except LedgerError:
            self._stuck = self._flush_due = True
            asyncio.get_running_loop().call_later(_RETRY_S, self._flush_quietly)
        else:
            self._stuck = False

    def _mark_unsynced(self) -> None:
        if self._thread is not None:
            self._unsynced = True
            self._wake.set()

    def _sync_forever(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            stopping = self._stop.is_set()
            # Lowered before the fsync: what is written during it raises it again.
            self._unsynced = False
            with self._sync_lock:
                waiters, self._waiters = self._waiters, []
            self._sync_once(waiters)
            if stopping:
                return
            if self._interval_s:
                self._stop.wait(self._interval_s)

    def _sync_once(self, waiters: list[asyncio.Future[None]]) -> None:
        started = time.perf_counter()
        problem: OSError | None = None
        try:
            self._writer.sync()
        except OSError as error:
            problem = error
            self._sync_error = error
            self._fsync_errors += 1
        self._fsyncs += 1
        self._fsync_ms_max = max(self._fsync_ms_max, (time.perf_counter() - started) * 1000)
        for loop in {waiter.get_loop() for waiter in waiters}:
            theirs = [waiter for waiter in waiters if waiter.get_loop() is loop]
            with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waited
                loop.call_soon_threadsafe(_resolve, theirs, problem)


def _resolve(waiters: list[asyncio.Future[None]], problem: OSError | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if problem is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(LedgerError(f"journal cannot reach the disk: {problem.strerror}"))
