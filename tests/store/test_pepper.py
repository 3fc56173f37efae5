"""One pepper for all installations over one store: keys of another pepper are noticed at the start, not at a 401."""

from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.bootstrap.storage import open_store
from signalbox.control.state import StateDir, confirm_pepper
from signalbox.core.errors import ConfigError


def test_a_store_knows_whose_keys_it_holds(tmp_path: Path) -> None:
    first, second = StateDir(tmp_path / "first"), StateDir(tmp_path / "second")
    store = open_store(first)
    for _ in range(2):
        confirm_pepper(store, first.pepper())
    with pytest.raises(ConfigError, match="SIGNALBOX_PEPPER_FILE"):
        confirm_pepper(store, second.pepper())
    store.close()


def test_installations_share_a_stated_pepper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "pepper"
    secret.write_text("x" * 40 + "\n")
    monkeypatch.setenv("SIGNALBOX_PEPPER_FILE", str(secret))
    peppers = {StateDir(tmp_path / name).pepper() for name in ("a", "b")}
    assert len(peppers) == 1
    assert len(peppers.pop()) == 32
    assert not (tmp_path / "a" / "pepper").exists()
    monkeypatch.setenv("SIGNALBOX_PEPPER", "too short")
    with pytest.raises(ConfigError, match="too short"):
        StateDir(tmp_path / "a").pepper()
    monkeypatch.delenv("SIGNALBOX_PEPPER")
    secret.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        StateDir(tmp_path / "a").pepper()
