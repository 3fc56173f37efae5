"""What is particular to the PostgreSQL store: lost connections, its driver, newer schemas, its configuration."""

from __future__ import annotations

import builtins
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

import postgres
from signalbox.bootstrap.stated import stated_store
from signalbox.bootstrap.storage import open_store as open_installed
from signalbox.control.state import StateDir
from signalbox.core.attempts import AttemptFilter
from signalbox.core.errors import ConfigError, StoreError
from signalbox.core.secret import Secret
from signalbox.store import open_store
from signalbox.store.migrations import MIGRATIONS


@pytest.fixture
def url() -> str:
    return postgres.fresh_url()


def test_a_lost_connection_is_an_error_once_and_then_a_new_one(url: str) -> None:
    with contextlib.closing(open_store(url)) as store:
        store.settle_fact("x", b"y")
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        with pytest.raises(StoreError, match="PostgreSQL"):
            store.fact("x")
        assert store.fact("x") == b"y"


def test_a_newer_database_is_left_alone(url: str) -> None:
    open_store(url).close()
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT number, name FROM migrations ORDER BY number").fetchall()
        assert rows == [(number, name) for number, (name, _) in enumerate(MIGRATIONS, start=1)]
        connection.execute("INSERT INTO migrations VALUES (999, 'from the future', 0)")
    with pytest.raises(StoreError, match="upgrade"):
        open_store(url)


def test_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    with pytest.raises(StoreError) as raised:
        open_store("postgresql://someone:the-password@127.0.0.1:1/none")
    assert "the-password" not in str(raised.value)


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "psycopg":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(StoreError, match=r"pip install 'signalbox\[postgres\]'"):
        open_store("postgresql://127.0.0.1/x")


def test_the_driver_is_not_loaded_by_who_does_not_need_it() -> None:
    code = "import sys, signalbox.bootstrap.serve, signalbox.cli.keys; sys.exit('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_text_that_the_database_cannot_hold_does_not_stop_it(url: str) -> None:
    with contextlib.closing(open_store(url)) as store:
        assert list(store.attempts(AttemptFilter(tenant="a\0b"))) == []
        with pytest.raises(StoreError):
            list(store.attempts(AttemptFilter(tenant="\ud800")))


def test_the_configuration_names_the_store(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a variable or a file; other variables of the file need not be there for that."""
    file = tmp_path / "signalbox.yaml"
    rest = 'environments: {e: {kind: cloud}}\ndeployments: {d: {environment: e, api_key: "${NOT_SET_HERE}"}}\n'
    file.write_text('store: "${THE_STORE}"\n' + rest)
    with pytest.raises(ConfigError, match="THE_STORE is not set"):
        stated_store(file)
    monkeypatch.setenv("THE_STORE", url)
    assert stated_store(file) == Secret(url)
    (tmp_path / "url").write_text(url + "\n")
    file.write_text(f'store: "file:{tmp_path}/url"\n' + rest)
    assert stated_store(file) == Secret(url)
    file.write_text(rest)
    assert stated_store(file) is None
    with contextlib.closing(open_installed(StateDir(tmp_path / "state"), Secret(url))) as store:
        store.replace_fact("here", b"1")
    with contextlib.closing(open_store(url)) as store:
        assert store.fact("here") == b"1"
