"""`journal.fsync: always`: an attempt is on the disk before its first byte leaves; otherwise it never waits for it."""

import os
from pathlib import Path

import pytest

from harness import running

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
