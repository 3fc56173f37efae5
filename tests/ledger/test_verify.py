"""Verification: every edit, deletion, insertion, reordering and cut at any place is found and named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.core.ports import ShipMark
from signalbox.core.records import Refused
from signalbox.ledger.journal import Journal
from signalbox.ledger.verify import verify

Lines = dict[str, list[bytes]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, fill: Callable[..., None]) -> Path:
    directory = tmp_path_factory.mktemp("good")
    fill(directory, "a", 24, segment_bytes_max=6000)
    fill(directory, "b", 6)
    assert verify(directory).ok
    assert len(list((directory / "a").glob("*.log"))) >= 3
    return directory


def _mark(directory: Path, chain: str) -> ShipMark:
    found = next(c for c in verify(directory).chains if c.chain == chain)
    path = max((directory / chain).glob("*.log"))
    return ShipMark(chain, int(path.stem), path.stat().st_size, found.seq, found.hash)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_found(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(good, copy)
    path = data.draw(st.sampled_from(sorted(copy.glob("*/*.log"))))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    report = verify(copy)
    assert not report.ok
    # Named: the changed line itself or the next one, whose hash covers it.
    line = content[:at].count(b"\n") + 1
    assert any(
        f.chain == path.parent.name and f.segment == int(path.stem) and f.line in (line, line + 1)
        for f in report.findings
    ), report.findings


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rearrangement_of_lines_is_found(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(good, copy)
    marks = [_mark(good, "a"), _mark(good, "b")]
    path = data.draw(st.sampled_from(sorted(copy.glob("*/*.log"))))
    lines = path.read_bytes().splitlines(keepends=True)
    foreign = max((copy / "b").glob("*.log")).read_bytes().splitlines(keepends=True)
    kind = data.draw(st.sampled_from(["delete", "insert", "repeat", "swap", "cut"]))
    at = data.draw(st.integers(0, len(lines) - 1))
    before = list(lines)
    if kind == "delete":
        del lines[at]
    elif kind == "insert":
        lines.insert(at, data.draw(st.sampled_from(foreign)))
    elif kind == "repeat":
        lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
    elif kind == "swap":
        other = data.draw(st.integers(0, len(lines) - 1).filter(lambda other: other != at))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        del lines[at:]
    assert lines != before
    path.write_bytes(b"".join(lines))
    assert not verify(copy, marks).ok


@pytest.mark.parametrize("segment", [1, 2, -1])
def test_a_missing_segment_is_found(good: Path, tmp_path: Path, segment: int) -> None:
    shutil.copytree(good, tmp_path / "copy")
    paths = sorted((tmp_path / "copy" / "a").glob("*.log"))
    path = paths[segment - 1] if segment > 0 else paths[-1]
    path.unlink()
    report = verify(tmp_path / "copy", [_mark(good, "a")])
    kinds = {finding.kind for finding in report.findings}
    assert kinds & {"missing_segment", "truncated"}
    assert all(finding.chain == "a" for finding in report.findings)


def test_swapped_segments_and_renamed_chains_are_found(good: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    first, second = sorted((copy / "a").glob("*.log"))[:2]
    first.rename(copy / "tmp")
    second.rename(first)
    (copy / "tmp").rename(second)
    assert {f.kind for f in verify(copy).findings} >= {"misplaced_segment"}
    shutil.rmtree(copy)
    shutil.copytree(good, copy)
    (copy / "b").rename(copy / "c")
    assert {f.kind for f in verify(copy).findings} == {"misplaced_segment"}


def test_a_removed_tail_is_seen_against_the_store(good: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    path = max((copy / "b").glob("*.log"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))
    assert verify(copy).ok  # by itself a shorter chain is a chain
    findings = verify(copy, [_mark(good, "b")]).findings
    assert [f.kind for f in findings] == ["truncated"]


def test_a_removed_chain_is_seen_against_the_store(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "b")
    findings = verify(tmp_path / "copy", [_mark(good, "a"), _mark(good, "b")]).findings
    assert [(f.kind, f.chain) for f in findings] == [("missing_chain", "b")]


def test_a_chain_written_anew_is_seen_against_the_store(good: Path, tmp_path: Path, fill) -> None:
    """Somebody who can compute hashes needs no edit: the store remembers what stood there."""
    fill(tmp_path, "b", 7)
    assert verify(tmp_path).ok
    assert {f.kind for f in verify(tmp_path, [_mark(good, "b")]).findings} == {"rewritten"}


def test_an_edit_names_the_attempt(good: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    path = max((copy / "b").glob("*.log"))
    path.write_bytes(path.read_bytes().replace(b'"cost_pico":37500000', b'"cost_pico":17500000', 1))
    (finding,) = verify(copy).findings
    assert (finding.kind, finding.attempt_id, finding.line, finding.seq) == ("altered", "b-0", 3, 3)


async def test_records_that_make_no_sense_together(tmp_path: Path, opened, settled) -> None:
    journal = Journal(tmp_path, "a", fsync="off")
    journal.append(opened("x"))
    journal.append(opened("x"))
    journal.append(settled("x"))
    journal.append(settled("x"))
    journal.append(Refused("c", 1, "t", "", "k", "w", (), "no", "v"))
    await journal.close()
    report = verify(tmp_path)
    assert [f.kind for f in report.findings] == ["opened_twice", "settled_unopened"]
    assert report.chains[0].refused == 1


async def test_a_living_journal_verifies(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "a", fsync="off")
    journal.append(opened("x"))
    with (tmp_path / "a" / "00000001.log").open("ab") as file:
        file.write(b'{"k":"open')
        file.flush()
        report = verify(tmp_path)
        assert report.ok
        assert report.chains[0].live
        assert report.chains[0].open == 1
        file.truncate(file.tell() - 10)
    await journal.close()


def test_nothing_there_is_nothing_wrong(tmp_path: Path) -> None:
    assert verify(tmp_path / "nowhere").ok


@given(content=st.binary(max_size=400))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_survived(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").mkdir(exist_ok=True)
    (tmp_path / "a" / "00000001.log").write_bytes(content)
    assert not verify(tmp_path).ok


def test_giant_lines_and_many_findings_stay_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with (tmp_path / "a" / "00000001.log").open("wb") as file:
        for _ in range(5):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" * 20_000)
    report = verify(tmp_path)
    assert report.finding_count == 20_000  # one a line, however long
    assert len(report.findings) == 1000


def test_read_only_copies_can_be_verified(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "copy")
    os.remove(tmp_path / "copy" / "a" / "lock")
    before = sorted(path.name for path in (tmp_path / "copy" / "a").iterdir())
    assert verify(tmp_path / "copy").ok
    assert sorted(path.name for path in (tmp_path / "copy" / "a").iterdir()) == before
