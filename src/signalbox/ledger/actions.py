"""What people did to the installation: one chain of the journal, written now and then by whoever acts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from signalbox.core.errors import LedgerError
from signalbox.core.records import Action
from signalbox.ledger.chain import ENTRY_DECODER, UNREADABLE
from signalbox.ledger.walk import Findings, Walk
from signalbox.ledger.writer import ChainWriter, encode

CHAIN = "actions"
SEGMENT_BYTES_MAX = 64 << 20
_TRIES = 10
_WAIT_S = 0.1


def record(journal_directory: Path, action: Action) -> None:
    """On the disk when it returns. Raises LedgerError; then the action must not be done. Blocks for a moment."""
    json = encode(action)
    writer = _open(journal_directory)
    try:
        writer.put_one(json, action)
        writer.seal("action")
        writer.sync()
    except OSError as error:
        raise LedgerError(f"the action cannot be recorded: {error.strerror}") from error
    finally:
        writer.release()


def read(journal_directory: Path) -> Iterator[Action]:
    """All actions in the order in which they were recorded; what cannot be read is `ledger verify`'s business."""
    for line in Walk(journal_directory, CHAIN, Findings(), live=True).lines():
        try:
            entry = ENTRY_DECODER.decode(line.json)
        except UNREADABLE:
            continue
        if isinstance(entry, Action):
            yield entry


def _open(directory: Path) -> ChainWriter:
    """The chain, which other processes hold for a moment at a time. Nothing is ever open in it, so that one which a
    crash left without its seal may be gone on with."""
    for turn in range(_TRIES):
        try:
            return ChainWriter(directory, CHAIN, segment_bytes_max=SEGMENT_BYTES_MAX, resume_open=True)
        except LedgerError as error:
            if "another process" not in str(error) or turn == _TRIES - 1:
                raise
            time.sleep(_WAIT_S)
    raise LedgerError("the chain of actions is held by another process")
