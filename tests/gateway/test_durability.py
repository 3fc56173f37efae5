"""`journal.fsync: always`: an attempt is on the disk before its first byte leaves; otherwise it never waits for it."""

import asyncio
import contextlib
import os
from pathlib import Path

import msgspec
import pytest

from harness import Box, running
from signalbox.core.link import AskMetrics, Exported
from signalbox.telemetry.metrics import Export

BODY = {"model": "w-chat", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(("fsync", "waits"), [("always", True), ("off", False)])
async def test_the_first_byte_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: str, waits: bool
) -> None:
    synced: list[int] = []
    sync = os.fdatasync

    def counted(fd: int) -> None:
        sync(fd)
        synced.append(fd)

    monkeypatch.setattr(os, "fdatasync", counted)
    async with running(tmp_path / "state", {"journal": {"fsync": fsync}}) as box:
        before = len(synced)
        for _ in range(3):
            assert (await box.request("/v1/chat/completions", BODY)).status == 200
        assert (len(synced) - before >= 3) is waits
        assert len(await box.settled(3)) == 3


async def test_each_configuration_in_force_is_in_the_journal(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        assert (await box.request("/v1/chat/completions", BODY)).status == 200
        written = b"".join(path.read_bytes() for path in box.state.journal.rglob("*.log"))
        version = (await box.settled(1))[0]["config_version"]
        assert b'{"k":"config","time_ms":' in written
        assert f'"version":"{version}"'.encode() in written


async def metric(box: Box, name: str) -> float:
    """As the metrics page reads it."""
    told = await box.worker.obey(AskMetrics(1))
    assert isinstance(told, Exported)
    series = msgspec.msgpack.decode(told.export, type=Export).series
    return next(value for key, value in series if key == (name,))


async def test_what_the_disk_does_not_take_shows_in_the_metrics(tmp_path: Path) -> None:
    """Its file is replaced by a pipe, on which fdatasync fails for real, then by one that nobody may write to while an
    attempt is under way: how that ended waits in memory."""
    slow = {"model": "w-chat", "messages": [{"role": "user", "content": "[[tokens:20]][[delay_ms:20]]"}]}
    async with running(tmp_path / "state") as box:
        assert (await box.request("/v1/chat/completions", BODY)).status == 200
        assert await metric(box, "signalbox_journal_sync_errors_total") == 0
        assert await metric(box, "signalbox_journal_queued_bytes") == 0
        (fd,) = (int(one) for one in os.listdir("/proc/self/fd") if _is_journal(one, box.state.journal))
        good = os.dup(fd)
        under_way = asyncio.create_task(box.request("/v1/chat/completions", slow))
        await asyncio.sleep(0.2)
        closed = os.open(os.devnull, os.O_RDONLY)
        os.dup2(closed, fd)
        assert (await under_way).status == 200
        assert await metric(box, "signalbox_journal_queued_bytes") > 0
        os.dup2(good, fd)
        assert (await box.request("/v1/chat/completions", BODY)).status == 200
        await asyncio.sleep(0.05)  # its own record is written at the end of a turn of the loop
        assert await metric(box, "signalbox_journal_queued_bytes") == 0
        reading, writing = os.pipe()
        os.dup2(writing, fd)
        assert (await box.request("/v1/chat/completions", BODY)).status == 200
        for _ in range(100):
            if await metric(box, "signalbox_journal_sync_errors_total"):
                break
            await asyncio.sleep(0.02)
        assert await metric(box, "signalbox_journal_sync_errors_total") >= 1
        os.dup2(good, fd)
        # Where the disk failed before the call, its records went into a new segment and the pipe is empty.
        os.set_blocking(reading, False)
        with contextlib.suppress(BlockingIOError):
            os.write(good, os.read(reading, 1 << 16))
        for one in (good, closed, reading, writing):
            os.close(one)


def _is_journal(fd: str, folder: Path) -> bool:
    try:
        path = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:  # that of the listing itself
        return False
    return path.startswith(str(folder)) and path.endswith(".log")
