"""Signed checkpoints: what the heads of all chains were, in a Merkle tree whose root is signed with Ed25519.

    <state>/checkpoints/statements.log   one JSON line each: which chains had grown, up to which line, with which hash
    <state>/checkpoints/notes.log        one JSON string a line: a signed note over the tree of all statements so far
    <state>/checkpoints/latest           the last note as plain text
    <state>/checkpoints/key              the private key, made at first use; its public half is in `key.pub`
    <state>/checkpoints/lock             held (flock) by the one process that writes here

The notes are C2SP tlog-checkpoints (c2sp.org/tlog-checkpoint over c2sp.org/signed-note): origin, number of statements,
base64 of the RFC 6962 tree hash. Whoever keeps a note elsewhere (`anchor`) can tell later whether the log was rolled
back or forked since, because a tree of that size must still have that root.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from signalbox.core.errors import LedgerError
from signalbox.core.ports import ShipMark
from signalbox.ledger.chain import ChainLock
from signalbox.ledger.signed_note import PublicKey, Signer, Tree

STATEMENTS, NOTES, LATEST = "statements.log", "notes.log", "latest"
LINE_BYTES_MAX = 1 << 20


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Where a chain was: its line `seq` had this hash."""

    chain: str
    seq: int
    hash: str


class Cut(msgspec.Struct, frozen=True, array_like=True):
    """What was old was taken away, and said so before: the chain begins with this segment now, behind line `seq`, which
    had this hash."""

    chain: str
    segment: int
    seq: int
    hash: str


class Statement(msgspec.Struct, frozen=True, omit_defaults=True):
    """The chains that grew since the statement before, and those that were cut."""

    time_ms: int
    heads: tuple[Head, ...]
    cuts: tuple[Cut, ...] = ()


_encode = msgspec.json.Encoder().encode
read_statement = msgspec.json.Decoder(Statement).decode


class Busy(LedgerError):
    """Another process writes the checkpoints."""


class CheckpointLog:
    """Writes statements and notes. One at a time, in all processes: two would each sign a history without the other's
    statements, and the log would look forked for ever."""

    def __init__(self, directory: Path, anchor: Path | None = None) -> None:
        """anchor: a file elsewhere to which every note is appended too. Raises Busy, LedgerError."""
        self._directory = directory
        self._anchor = anchor
        self._lock: ChainLock | None = None
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = ChainLock(directory)
            self._signer = Signer.of(directory)
            self._tree = Tree()
            self._known: dict[str, int] = {}
            self.cuts: dict[str, Cut] = {}
            self._read_back()
        except BlockingIOError:
            raise Busy(f"checkpoints {directory} are written by another process") from None
        except (OSError, ValueError) as error:
            self.close()
            raise LedgerError(f"checkpoints {directory} cannot be used: {error}") from error

    def close(self) -> None:
        """Lets others write. Safe to call twice."""
        if self._lock is not None:
            self._lock.release()

    def _read_back(self) -> None:
        path = self._directory / STATEMENTS
        end = 0
        for line in lines_of(path):
            if not line.endswith(b"\n"):
                break
            self._tree.append(line[:-1])
            statement = read_statement(line)
            self._known.update({head.chain: head.seq for head in statement.heads})
            self.cuts.update({cut.chain: cut for cut in statement.cuts})
            end += len(line)
        if path.exists() and path.stat().st_size > end:
            os.truncate(path, end)  # what a crash left of a statement that no note covers
        for notes in (self._directory / NOTES, *([self._anchor] if self._anchor is not None else [])):
            _drop_torn(notes)

    @property
    def public(self) -> PublicKey:
        return self._signer.public

    def write(self, marks: Iterable[ShipMark], time_ms: int, cuts: Iterable[Cut] = ()) -> bool:
        """A statement and a note over it, when some chain has grown or is to be cut; False when none. Raises OSError;
        then nothing may be cut."""
        heads = tuple(Head(m.chain, m.seq, m.hash) for m in marks if m.seq > self._known.get(m.chain, 0))
        new = tuple(cut for cut in cuts if cut.chain not in self.cuts or self.cuts[cut.chain].segment < cut.segment)
        if not heads and not new:
            return False
        leaf = _encode(Statement(time_ms, heads, new))
        _append(self._directory / STATEMENTS, leaf + b"\n")
        self._tree.append(leaf)
        self._known.update({head.chain: head.seq for head in heads})
        note = self._signer.sign(self._tree.size, self._tree.root())
        line = _encode(note) + b"\n"
        _append(self._directory / NOTES, line)
        fresh = self._directory / f".{LATEST}"
        fresh.write_text(note, encoding="utf-8")
        fresh.replace(self._directory / LATEST)
        self.cuts.update({cut.chain: cut for cut in new})
        if self._anchor is not None:
            _append(self._anchor, line)
        return True


def _drop_torn(path: Path) -> None:
    """Cuts off what a crash left of a line, which the next one would otherwise be appended to."""
    whole = size = 0
    for line in lines_of(path):
        size += len(line)
        whole = size if line.endswith(b"\n") else whole
    if size > whole:
        with contextlib.suppress(OSError):  # storage that only grows
            os.truncate(path, whole)


def _append(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(f"{path}: written only in part")
        os.fsync(fd)
    finally:
        os.close(fd)


def lines_of(path: Path) -> Iterator[bytes]:
    """Of a file of statements or notes, the last one perhaps torn; none where there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while line := file.readline(LINE_BYTES_MAX):
            yield line
