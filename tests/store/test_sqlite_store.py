"""What is particular to the SQLite store: its file, its migrations, its errors."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from signalbox.core.errors import StoreError
from signalbox.store import open_store
from signalbox.store.migrations import MIGRATIONS
from signalbox.store.sqlite import SqliteStore


def test_the_file_is_private(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state" / "s.db")
    store.settle_fact("x", b"y")
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "state").iterdir())
    store.close()


def test_migrations_are_recorded_and_run_once(tmp_path: Path) -> None:
    for _ in range(2):
        SqliteStore(tmp_path / "s.db").close()
    connection = sqlite3.connect(tmp_path / "s.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    rows = connection.execute("SELECT number, name FROM migrations ORDER BY number").fetchall()
    assert rows == [(number, name) for number, (name, _) in enumerate(MIGRATIONS, start=1)]
    connection.close()


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(StoreError, match="upgrade"):
        SqliteStore(tmp_path / "s.db")


def test_a_failed_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (*MIGRATIONS, ("broken", ("CREATE TABLE fresh (a)", "CREATE TABLE nonsense (")))
    monkeypatch.setattr("signalbox.store.migrations.MIGRATIONS", broken)
    with pytest.raises(StoreError, match=r"syntax error|incomplete"):
        SqliteStore(tmp_path / "s.db")
    connection = sqlite3.connect(tmp_path / "s.db")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()


@pytest.mark.parametrize("kind", ["garbage", "directory", "parent is a file"])
def test_unusable_paths_are_store_errors(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.db"
    if kind == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"")
        path = path / "s.db"
    with pytest.raises(StoreError, match=r"s\.db"):
        SqliteStore(path)


@pytest.mark.parametrize("url", ["", "sqlite", "sqlite:", "sqlite::memory:", "oracle:/x"])
def test_wrong_urls(url: str) -> None:
    with pytest.raises(ValueError, match=r"store"):
        open_store(url)


def test_a_locked_database_is_an_error_and_not_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalbox.store.sqlite.BUSY_TIMEOUT_S", 0.05)
    store = SqliteStore(tmp_path / "s.db")
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.settle_fact("x", b"y")
    other.execute("ROLLBACK")
    other.close()
    assert store.settle_fact("x", b"y") == b"y"
    store.close()


def test_a_disk_without_room_for_the_tables_is_told_as_that(tmp_path: Path) -> None:
    mount, directory = shutil.which("mount"), tmp_path / "small"
    directory.mkdir()
    command = [mount or "", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a tmpfs here")
    try:
        with pytest.raises(StoreError, match="disk is full"):
            SqliteStore(directory / "signalbox.db")
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)
