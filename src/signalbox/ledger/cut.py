"""Takes away what is old of the journals, once the store has it: a chain then begins later, as a checkpoint has signed.

Order matters: the cut is signed first and the segments go afterwards, so that whatever happens in between, `verify`
never misses what nobody said would go.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from signalbox.core.ports import ShipMark
from signalbox.ledger import actions
from signalbox.ledger.chain import (
    LOCK_NAME,
    chain_names,
    is_locked,
    is_sealed,
    read_head,
    segment_numbers,
    segment_path,
)
from signalbox.ledger.checkpoint import Cut


def due(journal_directory: Path, marks: Mapping[str, ShipMark], before_s: float) -> list[Cut]:
    """Where chains may begin: behind segments that the store has whole, that nobody has written since `before_s`, Unix
    seconds, and that hold nothing that is still open. What people did is never cut."""
    found: list[Cut] = []
    for chain in chain_names(journal_directory):
        mark = marks.get(chain)
        if chain != actions.CHAIN and mark is not None:
            cut = _of(journal_directory / chain, chain, mark, before_s)
            if cut is not None:
                found.append(cut)
    return found


def _of(directory: Path, chain: str, mark: ShipMark, before_s: float) -> Cut | None:
    numbers = segment_numbers(directory)
    if not numbers:
        return None
    newest = segment_path(directory, numbers[-1])
    if _whole(directory, numbers[-1], mark) and newest.stat().st_mtime < before_s:
        return Cut(chain, numbers[-1] + 1, mark.seq, mark.hash)
    head = read_head(newest)
    if head is None:
        return None
    # The first segment that has to stay: not shipped, too young, or with an attempt that is open somewhere.
    stays = min(mark.segment, head.low, numbers[-1])
    for number in numbers:
        if number < stays and segment_path(directory, number).stat().st_mtime >= before_s:
            stays = number
            break
    first = read_head(segment_path(directory, stays)) if stays > numbers[0] else None
    return Cut(chain, stays, first.seq - 1, first.prev) if first is not None else None


def _whole(directory: Path, newest: int, mark: ShipMark) -> bool:
    """The chain has ended, and the store has all of it."""
    if is_locked(directory) or not is_sealed(directory):
        return False
    return mark.segment == newest and segment_path(directory, newest).stat().st_size == mark.offset


def carry_out(journal_directory: Path, cuts: Mapping[str, Cut], archive: Path | None) -> int:
    """Moves into `archive` what stands before signed cuts, or removes it without one; returns how many segments. What
    was done before is done. Raises OSError."""
    gone = 0
    for chain, cut in cuts.items():
        directory = journal_directory / chain
        for number in segment_numbers(directory):
            if number >= cut.segment:
                continue
            for path in (segment_path(directory, number), segment_path(directory, number).with_suffix(".torn")):
                if path.exists():
                    _away(path, archive / chain / path.name if archive is not None else None)
            gone += 1
        if directory.exists() and not segment_numbers(directory) and not is_locked(directory):
            (directory / LOCK_NAME).unlink(missing_ok=True)
            directory.rmdir()
    return gone


def _away(path: Path, target: Path | None) -> None:
    if target is None:
        path.unlink()
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whole under its own name, or not there: the archive may be on other storage.
    partial = target.with_name(f".{target.name}")
    shutil.copy2(path, partial)
    with partial.open("rb+") as file:
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)
    path.unlink()
