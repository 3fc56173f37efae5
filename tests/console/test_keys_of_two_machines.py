"""Two machines over one database make keys at the same instant: together no broader than their creator allows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import postgres
from signalbox.config.schema_sign_in import SignIn
from signalbox.control.keys import NewKey, TooBroad, make
from signalbox.control.office import ADMIN_SECRET, Actor, KeyOffice
from signalbox.control.state import admin_secret
from signalbox.control.storage import StoreThread
from signalbox.store import STORES, open_store

PEPPER = bytes(32)
NOW_MS = 1_790_000_000_000
URLS: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda directory: f"sqlite:{directory}/state/signalbox.db",
    "postgresql": lambda directory: postgres.fresh_url(),
}


def test_every_store_is_tried() -> None:
    assert URLS.keys() == STORES.keys()


async def _told() -> None:
    pass


@contextlib.contextmanager
def machines(url: str, folder: Path, count: int) -> Iterator[tuple[list[StoreThread], list[KeyOffice]]]:
    """Key offices of as many machines, each with a connection and a journal of its own."""
    threads = [StoreThread(lambda: open_store(url)) for _ in range(count)]
    try:
        offices: list[KeyOffice] = []
        for number, thread in enumerate(threads):
            secret = thread.run_now(lambda store: admin_secret(store, {"SIGNALBOX_ADMIN_SECRET": "s" * 32}))
            journal = folder / f"{number}" / "journal"
            journal.mkdir(parents=True)
            offices.append(KeyOffice(thread, secret, PEPPER, journal, lambda: NOW_MS, SignIn, _told))
        yield threads, offices
    finally:
        for thread in threads:
            thread.close()


@pytest.mark.parametrize("kind", sorted(STORES))
async def test_a_creators_keys_stay_within_its_budget_on_machines_that_make_them_at_once(
    kind: str, tmp_path: Path
) -> None:
    with machines(URLS[kind](tmp_path), tmp_path, 3) as (threads, offices):
        row, _ = make(NewKey(name="dev", role="developer", budget_usd=Decimal(7)), PEPPER, NOW_MS)
        assert threads[0].run_now(lambda store: store.insert_key(row))
        actor = Actor(row.id, row.role, row)

        async def create(office: KeyOffice) -> bool:
            try:
                await office.create(actor, NewKey(name="child", budget_usd=Decimal(2)))
            except TooBroad:
                return False
            return True

        made = await asyncio.gather(*(create(office) for _ in range(4) for office in offices))
        assert sum(made) == 3
        children = [one for one in threads[0].run_now(lambda store: store.list_keys()) if one.creator == row.id]
        assert sum(one.budget_usd or 0 for one in children) == 6
        # Each that was made is on record before it was (an attempt that came too late may be, too), and each refusal.
        said = [action for office in offices for action in await office.actions(ADMIN_SECRET)]
        assert sum(not action.refused for action in said) >= 3
        assert sum(action.refused for action in said) == 9
