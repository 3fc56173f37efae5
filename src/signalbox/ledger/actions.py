"""What people did to the installation: one chain of the journal, written now and then by whoever acts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from signalbox.core.records import Action
from signalbox.ledger import apart

CHAIN = "actions"


def record(journal_directory: Path, action: Action) -> None:
    """On the disk when it returns. Raises LedgerError; then the action must not be done. Blocks for a moment."""
    apart.write(journal_directory, CHAIN, [action])


def read(journal_directory: Path) -> Iterator[Action]:
    """All actions in the order in which they were recorded."""
    return apart.read(journal_directory, CHAIN, Action)
