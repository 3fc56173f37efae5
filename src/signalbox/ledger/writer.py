"""Writes one chain: whole lines only, rotation, and repair of what a full disk left half-written."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from signalbox.core.errors import LedgerError
from signalbox.core.records import Opened, Record, Settled
from signalbox.ledger.chain import (
    ENCODER,
    FORMAT_VERSION,
    GENESIS,
    LINE_BYTES_MAX,
    SEAL_BYTES,
    ChainLock,
    Head,
    Seal,
    Tail,
    check_chain_name,
    read_tail,
    seal_line,
    segment_numbers,
    segment_path,
)

_CHUNK_BYTES = 1 << 18
_CHUNK_LINES = 256
_FEW_LINES = 64
_LOCK_TRIES = 20
_LOCK_WAIT_S = 0.01


class ChainWriter:
    """One chain, held by this process. Not thread-safe: one owner calls it, apart from `sync`.

    After an error nothing of the failed write remains in the file, and the next write tries again, so that it
    recovers by itself when there is space. `open` tells which attempts have no end yet, with their segment.
    """

    def __init__(self, directory: Path, chain: str, *, segment_bytes_max: int, resume_open: bool = False) -> None:
        """resume_open: allow a chain that was neither closed nor recovered; only recovery itself does that."""
        check_chain_name(chain)
        if segment_bytes_max < 4096:
            raise LedgerError("segment_bytes_max must be at least 4096")
        self.chain = chain
        self.directory = directory / chain
        self.open: dict[str, int] = {}
        self.bytes_written = 0
        self.records = 0
        self._segment_bytes_max = segment_bytes_max
        self._fd = -1
        self._dirty_tail = False
        self._write_error = ""
        # Descriptors of older segments, with whether they still need the disk. Only `sync` and `release` close them.
        self._retired: deque[tuple[int, bool]] = deque()
        self._directory_changed = True
        self.segment, self.seq, self.size, self.digest = 0, 0, 0, GENESIS
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _take(self.directory)
        except OSError as error:
            raise LedgerError(f"journal {self.directory} cannot be used: {error.strerror}") from error
        try:
            self._start(resume_open)
        except OSError as error:
            self.release()
            raise LedgerError(f"journal {self.directory} cannot be used: {error.strerror}") from error
        except BaseException:
            self.release()
            raise

    def _start(self, resume_open: bool) -> None:
        tail = read_tail(self.directory)
        if tail is None:
            if any(segment_path(self.directory, n).stat().st_size for n in segment_numbers(self.directory)):
                raise LedgerError(f"journal {self.directory} holds no readable segment head; move it away")
            self._drop_headless(0)
            self._rotate()
            return
        if not (tail.sealed or resume_open):
            raise LedgerError(f"journal {self.directory} was not closed: recover it before writing to it")
        self._resume(tail)

    def _resume(self, tail: Tail) -> None:
        self._drop_headless(tail.segment)
        path = segment_path(self.directory, tail.segment)
        if tail.torn:
            _move_aside(path, tail.size)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self.segment, self.seq, self.size, self.digest = tail.segment, tail.seq, tail.size, tail.digest

    def _drop_headless(self, last: int) -> None:
        """Removes segments behind the last one with a head: they hold no whole line."""
        for number in segment_numbers(self.directory):
            if number > last:
                path = segment_path(self.directory, number)
                if path.stat().st_size:
                    _move_aside(path, 0)
                path.unlink()

    def put_one(self, json: bytes, record: Record) -> None:
        """Writes one record. Raises LedgerError, after which the file is as before."""
        line, digest = seal_line(self.digest, json)
        if self.size + len(line) > self._segment_bytes_max or self._dirty_tail:
            self._make_room(len(line))
            line, digest = seal_line(self.digest, json)
        self._write_line(line, digest)
        self._note(record)

    def put(self, items: Sequence[tuple[bytes, Record]]) -> int:
        """Writes many in few system calls and returns how many are in; fewer than all only by raising PartlyWritten."""
        done, count = 0, len(items)
        if count <= _FEW_LINES and not self._dirty_tail:
            # What one turn of the loop left: there nearly always is room for it.
            lines, digest = self._sealed(items)
            block = b"".join(lines)
            if self.size + len(block) <= self._segment_bytes_max:
                self._write_block(items, lines, block, digest)
                return count
        while done < count:
            try:
                done += self._put_chunk(items[done : done + _CHUNK_LINES])
            except PartlyWritten as error:
                raise PartlyWritten(str(error), done + error.written) from error
            except LedgerError as error:
                raise PartlyWritten(str(error), done) from error
        return done

    def _put_chunk(self, items: Sequence[tuple[bytes, Record]]) -> int:
        """Writes as many of these as fit, at least one, and returns how many."""
        self._make_room(len(items[0][0]) + SEAL_BYTES)
        room = min(_CHUNK_BYTES, self._segment_bytes_max - self.size)
        count = length = 0
        for json, _ in items:
            length += len(json) + SEAL_BYTES
            if length > room and count:
                break
            count += 1
        fitting = items[:count]
        lines, digest = self._sealed(fitting)
        self._write_block(fitting, lines, b"".join(lines), digest)
        return count

    def _sealed(self, items: Sequence[tuple[bytes, Record]]) -> tuple[list[bytes], bytes]:
        """The lines of these, and the hash of the last."""
        lines: list[bytes] = []
        digest = self.digest
        for json, _ in items:
            line, digest = seal_line(digest, json)
            lines.append(line)
        return lines, digest

    def _write_block(
        self, items: Sequence[tuple[bytes, Record]], lines: list[bytes], block: bytes, digest: bytes
    ) -> None:
        written = self._write(block)
        if written != len(block):
            self._keep_whole_lines(items, lines, written)
        self.size += len(block)
        self.seq += len(lines)
        self.digest = digest
        for _, record in items:
            self._note(record)

    def _keep_whole_lines(self, items: Sequence[tuple[bytes, Record]], lines: list[bytes], written: int) -> NoReturn:
        """Lines that are whole in the file stay, even when the rest failed: a reader may have seen them already."""
        done = 0
        for json, record in items:
            written -= len(json) + SEAL_BYTES
            if written < 0:
                break
            self.size += len(json) + SEAL_BYTES
            self.seq += 1
            self.digest = lines[done][1 - SEAL_BYTES : -1]
            self._note(record)
            done += 1
        self._fail(done)

    def _note(self, record: Record) -> None:
        self.records += 1
        if type(record) is Opened:
            self.open[record.attempt_id] = self.segment
        elif type(record) is Settled:
            self.open.pop(record.attempt_id, None)

    def seal(self, by: str) -> None:
        """Says that nothing is open here, so that the next start need not read this chain."""
        json = ENCODER.encode(Seal(time_ms=time.time_ns() // 1_000_000, by=by))
        self._make_room(0)
        self._write_line(*seal_line(self.digest, json))

    def sync(self) -> None:
        """Brings everything written so far to the disk. May run in another thread; raises OSError."""
        while self._retired:
            retired, wanted = self._retired.popleft()
            try:
                if wanted:
                    os.fdatasync(retired)
            finally:
                os.close(retired)
        if self._directory_changed:
            self._directory_changed = False
            try:
                _sync_directory(self.directory)
                _sync_directory(self.directory.parent)
            except OSError:
                self._directory_changed = True
                raise
        # Only this function closes descriptors, so this one stays valid even when the owner rotates meanwhile.
        os.fdatasync(self._fd)

    def abandon_segment(self) -> None:
        """Goes on in a new segment, proven to reach the disk: after a failed fsync the kernel may have dropped pages
        of the old one and called them clean. Raises LedgerError when the new one does not reach it either."""
        self._mend()
        self._rotate(prove=True)

    def release(self) -> None:
        for fd in (*(fd for fd, _ in self._retired), self._fd):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(fd)
        self._retired.clear()
        self._fd = -1
        self._lock.release()

    def _make_room(self, length: int) -> None:
        self._mend()
        if self.size + length > self._segment_bytes_max:
            self._rotate()

    def _rotate(self, *, prove: bool = False) -> None:
        number = self.segment + 1
        path = segment_path(self.directory, number)
        head = Head(
            chain=self.chain,
            segment=number,
            seq=self.seq + 1,
            prev=self.digest.decode("ascii"),
            version=FORMAT_VERSION,
            time_ms=time.time_ns() // 1_000_000,
            low=min(self.open.values(), default=number),
        )
        line, digest = seal_line(self.digest, ENCODER.encode(head))
        fd = -1
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            _write_all(fd, line)
            if prove:
                os.fdatasync(fd)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
                with contextlib.suppress(OSError):
                    path.unlink()
            raise LedgerError(f"journal cannot start segment {number}: {error.strerror}") from error
        if self._fd >= 0:
            # Whole, because another thread takes them out. One that was given up need not reach the disk any more.
            self._retired.append((self._fd, not prove))
        self._directory_changed = True
        self._fd, self.segment, self.seq, self.size, self.digest = fd, number, self.seq + 1, len(line), digest

    def _write_line(self, line: bytes, digest: bytes) -> None:
        if self._write(line) != len(line):
            self._fail(0)
        self.size += len(line)
        self.digest = digest
        self.seq += 1

    def _write(self, block: bytes) -> int:
        """Returns how many bytes are in the file; after fewer than all of them the caller calls `_fail`."""
        written = 0
        try:
            written = os.write(self._fd, block)
            while written != len(block):
                written += os.write(self._fd, block[written:])
        except OSError as error:
            self._dirty_tail = True
            self._write_error = error.strerror or "unknown error"
        self.bytes_written += written
        return written

    def _fail(self, written: int) -> NoReturn:
        """Cuts the unfinished line off now if that works, or else before the next write."""
        with contextlib.suppress(LedgerError):
            self._mend()
        raise PartlyWritten(f"journal cannot be written: {self._write_error}", written)

    def _mend(self) -> None:
        """Cuts off what a failed write left behind the last whole line."""
        if not self._dirty_tail:
            return
        try:
            os.ftruncate(self._fd, self.size)
        except OSError as error:
            raise LedgerError(f"journal cannot be mended: {error.strerror}") from error
        self._dirty_tail = False


class PartlyWritten(LedgerError):
    """A batch stopped half-way: its first `written` records are in the journal."""

    def __init__(self, message: str, written: int) -> None:
        super().__init__(message)
        self.written = written


def encode(record: Record) -> bytes:
    """A record's JSON. Raises LedgerError when it is too long for a line."""
    json = ENCODER.encode(record)
    if len(json) > LINE_BYTES_MAX:
        raise LedgerError(f"a record of {len(json)} bytes is longer than a journal line may be ({LINE_BYTES_MAX})")
    return json


def _take(chain_directory: Path) -> ChainLock:
    """The chain's lock; a short wait, because a reader or recovery may hold it for a moment."""
    for _ in range(_LOCK_TRIES):
        try:
            return ChainLock(chain_directory)
        except BlockingIOError:
            time.sleep(_LOCK_WAIT_S)
    raise LedgerError(f"journal {chain_directory} is written by another process")


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _move_aside(path: Path, size: int) -> None:
    """Keeps what lies behind `size` in `<segment>.torn`, durable before it is cut off."""
    with path.open("rb") as source, path.with_suffix(".torn").open("ab") as aside:
        source.seek(size)
        while piece := source.read(1 << 20):
            aside.write(piece)
        aside.flush()
        os.fsync(aside.fileno())
    os.truncate(path, size)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
