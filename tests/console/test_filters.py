"""Filters that nothing can have are refused, by any store: neither as trouble with the store nor as nothing found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import console_desk
import postgres
from console_desk import SECRET, Desk
from signalbox.bootstrap.storage import open_store
from signalbox.core.secret import Secret
from signalbox.store import STORES

URLS: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:{folder}/other.db",
    "postgresql": lambda folder: postgres.fresh_url(),
}
ASKED = {
    "/api/requests": ("tenant", "team", "key", "workload", "deployment", "environment", "label", "state", "since"),
    "/api/requests?refused=1": ("tenant", "team", "key", "workload"),
    "/api/spend": ("workload", "deployment", "environment", "team", "tenant", "since", "by"),
}


def test_every_store_is_tried() -> None:
    assert URLS.keys() == STORES.keys()


@pytest.mark.parametrize("kind", sorted(URLS))
async def test_a_nul_character_in_a_filter_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = Secret(URLS[kind](tmp_path))
    monkeypatch.setattr(console_desk, "open_store", lambda state: open_store(state, url))
    desk = await Desk(tmp_path).loaded()
    try:
        for path, names in ASKED.items():
            for name in names:
                asked = f"{path}{'&' if '?' in path else '?'}{name}=a"
                status, told = await desk.ask("GET", f"{asked}%00b", f"Bearer {SECRET}")
                assert (status, told["error"]["code"]) == (400, "invalid_request"), (asked, told)
                assert told["error"]["message"].startswith(name), told
    finally:
        desk.close()
