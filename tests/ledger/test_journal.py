"""The journal: order, rotation, locks, group commit, and what it does when the disk is full."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalbox.core.errors import LedgerError
from signalbox.core.records import ConfigLoaded, Progress, Record
from signalbox.ledger.journal import Journal, new_chain
from signalbox.ledger.recover import recover
from signalbox.ledger.verify import verify


def _texts(directory: Path, chain: str) -> list[str]:
    return [
        line.split("\t")[0]
        for path in sorted((directory / chain).glob("*.log"))
        for line in path.read_text().splitlines()
    ]


def in_another_process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def append_durable(journal: Journal, record: Record) -> None:
    journal.append(record)
    await journal.synced()


async def test_append_is_in_the_file_when_it_returns(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "a", fsync="off")
    journal.append(opened("one"))
    assert '"attempt_id":"one"' in _texts(tmp_path, "a")[-1]
    await journal.close()
    assert verify(tmp_path).ok is True


async def test_queued_records_go_first_and_in_order(tmp_path: Path, opened, settled) -> None:
    journal = Journal(tmp_path, "a", fsync="off")
    journal.append(opened("one"))
    journal.append_soon(settled("one"))
    journal.append_soon(Progress(time_ms=1, at=(("two", 3),)))
    assert len(_texts(tmp_path, "a")) == 2
    journal.append(opened("two"))
    kinds = [text.split('"')[3] for text in _texts(tmp_path, "a")]
    assert kinds == ["head", "opened", "settled", "progress", "opened"]
    await journal.close()


async def test_queued_records_go_out_by_the_end_of_the_tick(tmp_path: Path, opened, settled) -> None:
    journal = Journal(tmp_path, "a", fsync="off")
    journal.append(opened("one"))
    journal.append_soon(settled("one"))
    await asyncio.sleep(0)
    assert '"k":"settled"' in _texts(tmp_path, "a")[-1]
    await journal.close()


async def test_clean_close_seals_only_when_nothing_is_open(tmp_path: Path, opened, settled) -> None:
    for chain, end in (("ended", True), ("open", False)):
        journal = Journal(tmp_path, chain)
        journal.append(opened("one"))
        if end:
            journal.append_soon(settled("one"))
        await journal.close()
        await journal.close()
    assert [chain.sealed for chain in verify(tmp_path).chains] == [True, False]


async def test_a_closed_journal_refuses(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "a")
    await journal.close()
    for write in (journal.append, journal.append_soon):
        with pytest.raises(LedgerError):
            write(opened("one"))
    with pytest.raises(LedgerError):
        await append_durable(journal, opened("one"))


@pytest.mark.parametrize("queued", [False, True])
async def test_rotation_keeps_one_chain(tmp_path: Path, opened, settled, queued: bool) -> None:
    journal = Journal(tmp_path, "a", fsync="off", segment_bytes_max=4096)
    for number in range(60):
        journal.append(opened(f"x{number}"))
        (journal.append_soon if queued else journal.append)(settled(f"x{number}"))
    await journal.close()
    report = verify(tmp_path)
    assert report.ok, report.findings
    assert report.chains[0].segments > 5
    assert report.chains[0].opened == report.chains[0].settled == 60
    assert all(path.stat().st_size <= 4096 for path in (tmp_path / "a").glob("*.log"))


async def test_every_line_length_around_the_rotation_boundary(tmp_path: Path) -> None:
    for length in range(1, 140):
        chain = f"c{length}"
        journal = Journal(tmp_path, chain, fsync="off", segment_bytes_max=4096)
        for _ in range(3):
            journal.append(ConfigLoaded(time_ms=1, version="v" * (1700 + length)))
        await journal.close()
    report = verify(tmp_path)
    assert report.ok, report.findings
    assert {chain.lines - chain.segments for chain in report.chains} == {4}


async def test_a_sealed_chain_can_be_continued(tmp_path: Path, opened, settled) -> None:
    for life in range(3):
        journal = Journal(tmp_path, "worker-0", fsync="off")
        journal.append(opened(f"x{life}"))
        journal.append(settled(f"x{life}"))
        await journal.close()
    report = verify(tmp_path)
    assert report.ok, report.findings
    assert report.chains[0].opened == 3
    assert report.chains[0].segments == 1


async def test_an_unrecovered_chain_is_not_continued(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "worker-0", fsync="off")
    journal.append(opened("x"))
    await journal.close()
    with pytest.raises(LedgerError, match="recover"):
        Journal(tmp_path, "worker-0")
    recover(tmp_path, 1)
    await Journal(tmp_path, "worker-0").close()


async def test_one_chain_has_one_writer(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "a")
    with pytest.raises(LedgerError, match="another process"):
        Journal(tmp_path, "a")
    code = (
        "import sys; from pathlib import Path; from signalbox.ledger.journal import Journal;"
        "Journal(Path(sys.argv[1]), 'a')"
    )
    other = in_another_process(code, tmp_path)
    assert other.returncode != 0
    assert "written by another process" in other.stderr
    journal.append(opened("one"))
    await journal.close()


async def test_two_processes_write_two_chains(tmp_path: Path, fill) -> None:
    threads = [threading.Thread(target=fill, args=(tmp_path, f"w{n}", 200)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    report = verify(tmp_path)
    assert report.ok, report.findings
    assert [chain.opened for chain in report.chains] == [200, 200]


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a" * 65, "ä", "a\n"])
def test_chain_names_stay_inside_the_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(LedgerError):
        Journal(tmp_path / "journal", name)
    assert not (tmp_path / "journal").exists()


def test_new_chains_differ() -> None:
    assert len({new_chain("w0") for _ in range(100)}) == 100


async def test_files_are_private(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", "a")
    assert (tmp_path / "journal" / "a").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "journal" / "a").iterdir())
    await journal.close()


@pytest.mark.parametrize("mode", ["always", "group"])
async def test_durable_appends_share_an_fsync(tmp_path: Path, opened, mode) -> None:
    journal = Journal(tmp_path, "a", fsync=mode, fsync_interval_ms=20)
    await asyncio.gather(*(append_durable(journal, opened(f"x{n}")) for n in range(200)))
    assert 1 <= journal.stats().fsyncs < 100  # far fewer than records, however slow the disk
    assert journal.stats().records == 200
    await journal.close()


async def test_group_commit_follows_by_itself(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "a", fsync="group", fsync_interval_ms=10)
    journal.append(opened("one"))
    for _ in range(200):
        if not journal.stats().unsynced:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    idle = journal.stats().fsyncs
    await asyncio.sleep(0.1)
    assert not journal.stats().unsynced
    assert journal.stats().fsyncs == idle
    await journal.close()


async def test_durable_off_returns_at_once(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "a", fsync="off")
    await append_durable(journal, opened("one"))
    assert journal.stats().fsyncs == 0
    await journal.close()


async def test_a_record_too_long_for_a_line_is_refused(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "a", fsync="off")
    with pytest.raises(LedgerError, match="longer"):
        journal.append(opened("x", reason="r" * (2 << 20)))
    journal.append(opened("y"))
    assert journal.stats().refused == 1
    await journal.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    mount = shutil.which("mount")
    directory = tmp_path / "small"
    directory.mkdir()
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no right to mount a tmpfs here; the file size limit test covers the same code")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


async def test_full_disk_refuses_and_recovers_by_itself(small_disk: Path, opened, settled) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 20_000)
    journal = Journal(small_disk / "journal", "a", fsync="group", fsync_interval_ms=5, segment_bytes_max=8192)
    accepted: list[str] = []
    with pytest.raises(LedgerError, match="journal cannot"):  # noqa: PT012
        for number in range(1000):
            journal.append(opened(f"x{number}"))
            accepted.append(f"x{number}")
    assert 10 < len(accepted) < 200
    for attempt_id in accepted:
        journal.append_soon(settled(attempt_id))
    await asyncio.sleep(0.05)
    for _ in range(3):
        with pytest.raises(LedgerError):
            journal.append(opened("refused", reason="r" * 5000))
    assert journal.stats().queued > 0
    assert verify(small_disk / "journal").ok, verify(small_disk / "journal").findings
    # Without a restart, and without anybody calling it: the queue goes out when there is space.
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    await asyncio.sleep(0.3)
    assert journal.stats().queued == 0
    journal.append(opened("after"))
    journal.append(settled("after"))
    await journal.close()
    report = verify(small_disk / "journal")
    assert report.ok, report.findings
    assert report.chains[0].opened == report.chains[0].settled == len(accepted) + 1
    assert report.chains[0].sealed


FULL_FILE = textwrap.dedent(
    """
    import asyncio, resource, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from conftest import _opened, _settled
    from signalbox.core.errors import LedgerError
    from signalbox.ledger.journal import Journal

    async def main():
        journal = Journal(Path(sys.argv[1]), "a", fsync="off")
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
        taken = 0
        try:
            while True:
                journal.append(_opened(f"x{taken}"))
                taken += 1
        except LedgerError as error:
            print(error)
        for number in range(taken):
            journal.append_soon(_settled(f"x{number}"))
        await asyncio.sleep(0.02)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        journal.append(_opened("after"))
        journal.append(_settled("after"))
        await journal.close()
        print(taken)

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("limit", [5000, 5001, 5432, 9999])
def test_a_line_cut_short_leaves_nothing(tmp_path: Path, limit: int) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = in_another_process(FULL_FILE, tmp_path, os.path.dirname(__file__), limit)
    assert done.returncode == 0, done.stderr
    message, taken = done.stdout.splitlines()
    assert message == "journal cannot be written: File too large"
    report = verify(tmp_path)
    assert report.ok, report.findings
    assert report.chains[0].opened == report.chains[0].settled == int(taken) + 1


async def test_a_failed_fsync_moves_on_to_a_proven_segment(tmp_path: Path, opened, settled) -> None:
    """The journal's own descriptor is replaced by a pipe, on which fdatasync fails for real (EINVAL)."""
    journal = Journal(tmp_path, "a", fsync="always")
    await append_durable(journal, opened("one"))
    writer = journal._writer  # pyright: ignore[reportPrivateUsage]
    good = os.dup(writer._fd)  # pyright: ignore[reportPrivateUsage]
    reading, writing = os.pipe()
    os.dup2(writing, writer._fd)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(LedgerError, match="cannot reach the disk"):
        await append_durable(journal, opened("lost"))
    os.dup2(good, writer._fd)  # pyright: ignore[reportPrivateUsage]
    os.write(good, os.read(reading, 1 << 16))
    await append_durable(journal, opened("two"))
    assert journal.stats().segment == 2
    assert journal.stats().fsync_errors >= 1
    for attempt_id in ("one", "lost", "two"):
        journal.append(settled(attempt_id))
    await journal.close()
    for fd in (good, reading, writing):
        os.close(fd)
    report = verify(tmp_path)
    assert report.ok, report.findings


class Traveller:
    """Stands where a request stands that waits for its record: what was in the journal when it left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.left_behind: list[str] | None = None
        self.stayed: LedgerError | None = None

    def leave(self) -> None:
        assert self.left_behind is None
        assert self.stayed is None
        self.left_behind = _texts(self._directory, "a")

    def stay(self, error: LedgerError) -> None:
        self.stayed = error


def _has(texts: list[str] | None, attempt_id: str) -> bool:
    return texts is not None and any(f'"attempt_id":"{attempt_id}"' in text for text in texts)


@pytest.mark.parametrize("many", [1, 2, 15, 16, 17, 40, 200])
async def test_requests_of_one_tick_leave_behind_their_records(tmp_path: Path, opened, settled, many: int) -> None:
    journal = Journal(tmp_path, "a", fsync="off")
    journal.append(opened("before"))
    journal.append_soon(settled("before"))
    travellers: list[Traveller] = []
    for number in range(many):
        entry = journal.enter(opened(f"x{number}"))
        traveller = Traveller(tmp_path)
        travellers.append(traveller)
        entry.before(traveller)
        assert sum(one.left_behind is None for one in travellers) < 16  # nobody waits for more than these
    await asyncio.sleep(0)
    for number, traveller in enumerate(travellers):
        assert _has(traveller.left_behind, f"x{number}")
    late = Traveller(tmp_path)
    entry.before(late)  # whoever comes when it is in leaves at once
    assert _has(late.left_behind, f"x{many - 1}")
    for number in range(many):
        journal.append_soon(settled(f"x{number}"))
    await journal.close()
    report = verify(tmp_path)
    assert report.ok, report.findings
    assert report.chains[0].opened == report.chains[0].settled == many + 1


ENTRIES_ON_A_FULL_DISK = textwrap.dedent(
    """
    import asyncio, resource, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from conftest import _opened, _settled
    from signalbox.core.errors import LedgerError
    from signalbox.ledger.journal import Journal

    class Traveller:
        left = stayed = False
        def leave(self):
            self.left = True
        def stay(self, error):
            self.stayed = True

    async def main():
        journal = Journal(Path(sys.argv[1]), "a", fsync="off")
        journal.append(_opened("first"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
        travellers, refused = [], 0
        for number in range(60):
            try:
                entry = journal.enter(_opened(f"x{number}"))
            except LedgerError:
                refused += 1
                continue
            traveller = Traveller()
            travellers.append((number, entry, traveller))
            entry.before(traveller)
            if number % 7 == 3:
                journal.append_soon(_settled(f"x{number}"))  # it ends before it is known whether it was written
            if number % 20 == 19:
                await asyncio.sleep(0)
        journal.append_soon(_settled("first"))
        await asyncio.sleep(0.02)
        assert all(one.left != one.stayed for _, _, one in travellers)
        assert all((entry.error is None) == one.left for _, entry, one in travellers)
        gone = [number for number, _, one in travellers if one.left]
        stayed = [number for number, _, one in travellers if one.stayed]
        assert gone and stayed and refused, (gone, stayed, refused)
        assert not journal.healthy()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await asyncio.sleep(0.25)
        for number in gone:
            if number % 7 != 3:
                journal.append_soon(_settled(f"x{number}"))
        after = Traveller()
        journal.enter(_opened("after")).before(after)
        await asyncio.sleep(0)
        assert after.left
        journal.append(_settled("after"))
        await journal.close()
        print(len(gone) + 2)

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("limit", [3000, 5001, 7777, 9999])
def test_a_request_whose_record_does_not_fit_stays_and_leaves_no_trace(tmp_path: Path, limit: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENTRIES_ON_A_FULL_DISK, str(tmp_path), os.path.dirname(__file__), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = verify(tmp_path)
    assert report.ok, report.findings
    assert report.chains[0].opened == report.chains[0].settled == int(done.stdout)
