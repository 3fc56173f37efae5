"""Old journals go, and the ledger still verifies: what was cut is signed, and nothing else may be missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from signalbox.control.shipping import ShipOrder
from signalbox.control.state import StateDir
from signalbox.control.upkeep import Upkeep
from signalbox.core.ports import Retention, ShipMark, Store
from signalbox.core.records import Action
from signalbox.ledger import actions, checkpoint, checkpoint_check, cut, signed_note
from signalbox.ledger.chain import SEAL_BYTES, ChainLock, segment_numbers, segment_path
from signalbox.ledger.recover import recover
from signalbox.ledger.ship import Shipping
from signalbox.ledger.verify import Report, verify, verify_living
from signalbox.store import open_store
from signalbox.telemetry.log import Log

OLD_S = 86_400.0 * 30


class Box:
    """Journals of several small segments, a store that has them, and the upkeep of both."""

    def __init__(self, root: Path) -> None:
        self.state = StateDir(root / "state")
        self.journal = self.state.journal
        self.archive = root / "archive"
        self.store: Store = open_store(f"sqlite:{root}/s.db")

    def upkeep(self, old_journals: str = "archive") -> None:
        Shipping(self.store, self.journal).ship_once()
        order = ShipOrder(str(self.state.root), "", "", 60.0, Retention(7), old_journals, str(self.archive))
        Upkeep(order, self.state, Log("test")).shipped(self.store, True)

    def age(self, chain: str, *segments: int) -> None:
        for number in segments or segment_numbers(self.journal / chain):
            path = segment_path(self.journal / chain, number)
            then = path.stat().st_mtime - OLD_S
            os.utime(path, (then, then))

    def signed(self) -> checkpoint_check.Signed:
        key = signed_note.PublicKey.read((self.state.checkpoints / signed_note.PUBLIC).read_text())
        return checkpoint_check.check(self.state.checkpoints, key)

    def verify(self) -> Report:
        return verify(self.journal, self.store.shipped_all(), self.signed())


@pytest.fixture
def box(tmp_path: Path, fill: Callable[..., None]) -> Box:
    made = Box(tmp_path)
    fill(made.journal, "old", 40, segment_bytes_max=4096)
    fill(made.journal, "young", 40, segment_bytes_max=4096)
    assert len(segment_numbers(made.journal / "old")) > 4
    return made


@pytest.mark.parametrize("old_journals", ["archive", "drop"])
def test_what_is_old_goes_and_the_rest_verifies(box: Box, old_journals: str) -> None:
    box.age("old")
    box.age("young", 1, 2)
    lines = {n: segment_path(box.journal / "young", n).read_bytes() for n in (1, 2)}
    box.upkeep(old_journals)
    assert not (box.journal / "old").exists()
    assert segment_numbers(box.journal / "young")[0] == 3
    report = box.verify()
    assert report.ok, report.findings
    assert report.cuts == 2
    # A second time there is nothing to do, and nothing is signed twice.
    notes = (box.state.checkpoints / checkpoint.NOTES).read_bytes()
    box.upkeep(old_journals)
    assert (box.state.checkpoints / checkpoint.NOTES).read_bytes() == notes
    kept = sorted(path.name for path in box.archive.glob("young/*.log")) if box.archive.exists() else []
    if old_journals == "drop":
        assert kept == []
        return
    assert kept == ["00000001.log", "00000002.log"]
    for number, text in lines.items():
        shutil.copy(box.archive / "young" / f"{number:08d}.log", box.journal / "young")
        assert segment_path(box.journal / "young", number).read_bytes() == text
    shutil.copytree(box.archive / "old", box.journal / "old")
    whole = box.verify()
    assert whole.ok, whole.findings
    assert whole.lines > report.lines


def test_nothing_but_what_was_signed_may_be_missing(box: Box) -> None:
    box.age("young", 1, 2)
    box.upkeep()
    segment_path(box.journal / "young", 3).unlink()
    assert {found.kind for found in box.verify().findings} == {"missing_segment"}


def test_a_cut_is_no_licence_to_change_what_follows(box: Box) -> None:
    box.age("young", 1, 2)
    box.upkeep()
    path = segment_path(box.journal / "young", 3)
    path.write_bytes(path.read_bytes().replace(b"mini", b"maxi"))
    assert "altered" in {found.kind for found in box.verify().findings}


def test_without_a_signed_cut_missing_segments_are_told(box: Box) -> None:
    box.upkeep()
    segment_path(box.journal / "young", 1).unlink()
    shutil.rmtree(box.journal / "old")
    assert {found.kind for found in box.verify().findings} == {"missing_segment", "missing_chain"}


def test_a_crash_between_signing_and_removing_is_made_good(box: Box) -> None:
    box.age("old")
    box.age("young", 1, 2)
    Shipping(box.store, box.journal).ship_once()
    marks = {mark.chain: mark for mark in box.store.shipped_all()}
    log = checkpoint.CheckpointLog(box.state.checkpoints)
    cuts = cut.due(box.journal, marks, box.journal.stat().st_mtime - 86_400)
    assert {one.chain: one.segment for one in cuts}["young"] == 3
    log.write(marks.values(), 1, cuts)
    log.close()
    assert box.verify().ok  # nothing is gone yet
    segment_path(box.journal / "young", 1).unlink()
    segment_path(box.journal / "old", 2).unlink()
    segment_path(box.journal / "old", 1).unlink()
    assert box.verify().ok
    box.upkeep()
    assert box.verify().ok
    assert segment_numbers(box.journal / "young")[0] == 3
    assert not (box.journal / "old").exists()


def test_what_is_not_shipped_open_young_or_about_people_stays(box: Box, fill: Callable[..., None]) -> None:
    fill(box.journal, "crashed", 40, segment_bytes_max=4096, close=False)
    actions.record(box.journal, Action(1, "admin", "admin", "key.create"))
    box.age("crashed")
    box.age("actions")
    # Nothing is in the store yet.
    assert cut.due(box.journal, {}, 2e10) == []
    first = {"old": ShipMark("old", 2, 10, 9, "h"), "young": ShipMark("young", 1, 10, 9, "h")}
    assert {one.chain: one.segment for one in cut.due(box.journal, first, 2e10)} == {"old": 2}
    box.upkeep()
    # Not sealed, so that its newest segment stays for recovery; of people's doings nothing goes.
    assert segment_numbers(box.journal / "crashed")[0] > 1
    assert (box.journal / "actions").exists()
    assert recover(box.journal, 1_790_000_009_000).finding_count == 0
    report = box.verify()
    assert report.ok, report.findings


def test_keep_takes_nothing(box: Box) -> None:
    box.age("old")
    box.upkeep("keep")
    assert box.verify().ok
    assert segment_numbers(box.journal / "old")[0] == 1


def test_only_one_writes_checkpoints_at_a_time(box: Box) -> None:
    """Two would each sign a history without the other's statements, which looks like a fork for ever."""
    Shipping(box.store, box.journal).ship_once()
    marks = box.store.shipped_all()
    one = checkpoint.CheckpointLog(box.state.checkpoints)
    with pytest.raises(checkpoint.Busy):
        checkpoint.CheckpointLog(box.state.checkpoints)
    assert one.write(marks[:1], 1)
    one.close()
    other = checkpoint.CheckpointLog(box.state.checkpoints)
    assert other.write(marks, 2)
    other.close()
    assert box.verify().ok


def test_a_note_that_a_crash_cut_short_does_not_spoil_the_log(box: Box) -> None:
    box.upkeep()
    with (box.state.checkpoints / checkpoint.NOTES).open("ab") as file:
        file.write(b'"signalbox.ledger/')
    assert box.verify().ok
    log = checkpoint.CheckpointLog(box.state.checkpoints)
    assert log.write([ShipMark("new", 1, 1, 1, "0" * 64)], 5)
    log.close()
    assert [found.kind for found in box.verify().findings] == ["missing_chain"]


def test_a_chain_that_begins_while_it_is_read_is_read_again(box: Box) -> None:
    """Between its file and the first line in it, a new chain looks like an empty one that nobody holds."""
    box.upkeep()
    fresh = box.journal / "fresh"
    fresh.mkdir()
    segment_path(fresh, 1).touch()
    told = verify(box.journal, (), box.signed())
    assert [found.kind for found in told.findings] == ["empty_segment"]
    readings = 0

    def signed() -> checkpoint_check.Signed:
        nonlocal readings
        readings += 1
        if readings == 2:
            shutil.rmtree(fresh)
        else:
            segment_path(box.journal / "fresh", 2).touch()
        return box.signed()

    assert verify_living(box.journal, (), signed).ok
    assert readings == 2


def test_what_stays_wrong_is_told_even_while_others_write(box: Box) -> None:
    box.upkeep()
    path = segment_path(box.journal / "young", 2)
    path.write_bytes(path.read_bytes().replace(b"mini", b"maxi"))
    grown = segment_path(box.journal / "old", segment_numbers(box.journal / "old")[-1])
    lock = ChainLock(box.journal / "old")

    def signed() -> checkpoint_check.Signed:
        with grown.open("ab") as file:
            file.write(b"x" * SEAL_BYTES)
        return box.signed()

    report = verify_living(box.journal, (), signed)
    lock.release()
    assert ("young", "altered") in {(found.chain, found.kind) for found in report.findings}
