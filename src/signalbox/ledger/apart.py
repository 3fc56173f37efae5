"""Chains that no worker holds: written now and then, by whichever process has something to put on record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from signalbox.core.errors import LedgerError
from signalbox.core.records import Record
from signalbox.ledger.chain import ENTRY_DECODER, UNREADABLE
from signalbox.ledger.walk import Findings, Walk
from signalbox.ledger.writer import ChainWriter, encode

SEGMENT_BYTES_MAX = 64 << 20
_TRIES = 10
_WAIT_S = 0.1
T = TypeVar("T", bound=Record)


def write(journal_directory: Path, chain: str, records: Sequence[Record]) -> None:
    """All of them or none, on the disk when it returns. Raises LedgerError. Blocks for a moment."""
    items = [(encode(record), record) for record in records]
    writer = _open(journal_directory, chain)
    try:
        writer.put(items)
        writer.seal(chain)
        writer.sync()
    except OSError as error:
        raise LedgerError(f"the journal's chain {chain!r} cannot be written: {error.strerror}") from error
    finally:
        writer.release()


def read(journal_directory: Path, chain: str, kind: type[T]) -> Iterator[T]:
    """Every record of a kind, in order; what cannot be read is `ledger verify`'s business."""
    for line in Walk(journal_directory, chain, Findings(), live=True).lines():
        try:
            entry = ENTRY_DECODER.decode(line.json)
        except UNREADABLE:
            continue
        if isinstance(entry, kind):
            yield entry


def _open(directory: Path, chain: str) -> ChainWriter:
    """The chain, which other processes hold for a moment at a time. Nothing is ever open in it, so that one which a
    crash left without its seal may be gone on with."""
    for turn in range(_TRIES):
        try:
            return ChainWriter(directory, chain, segment_bytes_max=SEGMENT_BYTES_MAX, resume_open=True)
        except LedgerError as error:
            if "another process" not in str(error) or turn == _TRIES - 1:
                raise
            time.sleep(_WAIT_S)
    raise LedgerError(f"the journal's chain {chain!r} is held by another process")
