"""Two machines over one PostgreSQL: the same entity has the same token on both, and the database tells nobody whose."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests import postgres
from tests.harness import PEPPER, Box, running
from tests.leftovers import watched

from signalbox.core.errors import Overloaded, StoreError
from signalbox.core.link import ApplyKeys
from signalbox.core.ports import Store
from signalbox.guard.pseudonyms import TOKEN
from signalbox.guard.shared_vault import StoreVault

CHAT = "/v1/chat/completions"
MAIL, IP = "jane.roe@example.org", "81.2.69.142"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SIGNALBOX_PEPPER", "a pepper for two machines, long enough")
    return postgres.fresh_url()


def config(url: str, **guard: Any) -> dict[str, Any]:
    made = {"name": "pseudonymise", "where": "always", "shared": True, **guard}
    return {"store": url, "workloads": {"g": {"placements": ["chat"], "guards": [made]}}}


@contextlib.asynccontextmanager
async def machines(tmp_path: Path, made: dict[str, Any]) -> AsyncIterator[tuple[Box, Box]]:
    """Two installations that share a store and a key, and no disk."""
    async with running(tmp_path / "one", made) as one, running(tmp_path / "two", made) as two:
        two.keys.append(one.keys[0])
        await two.worker.obey(ApplyKeys(PEPPER, two.keys))
        two.key = one.key
        yield one, two


async def sent(box: Box, *turns: str, session: str = "s1") -> list[str]:
    """What leaves a machine for a conversation: the texts of its turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": turn} for at, turn in enumerate(turns)]
    answer = await box.request(CHAT, {"model": "g", "messages": messages}, headers={"x-signalbox-session": session})
    assert answer.status == 200, answer.body
    assert not TOKEN.search(answer.body.decode())
    body = json.loads(box.sim.log.entries[-1].body)
    texts = [turn["content"] for turn in body["messages"]]
    assert MAIL not in "".join(texts)
    assert IP not in "".join(texts)
    return texts


async def test_every_machine_says_the_same(tmp_path: Path, url: str) -> None:
    async with machines(tmp_path, config(url)) as (one, two):
        first = f"Write to {MAIL}. [[text:I wrote to {MAIL}]]"
        turns = await sent(one, first)
        (token,) = set(TOKEN.findall(turns[0]))
        # The other machine has never seen this conversation, and meets another spelling and something new.
        more = await sent(two, first, "Done.", f"Also from {IP}, for {MAIL.upper()}?")
        assert more[0] == turns[0]
        assert token in more[2]
        # The first one meets what only the second one has named.
        back = await sent(one, first, "Done.", f"Also from {IP}, for {MAIL.upper()}?", "Yes", "Thanks")
        assert back[:3] == more
        # A conversation of another name shares nothing.
        assert token not in "".join(await sent(two, first, session="s2"))


async def test_machines_that_meet_a_value_at_once_agree(tmp_path: Path, url: str) -> None:
    async with machines(tmp_path, config(url)) as (one, two):
        for at in range(5):
            text = f"Who is user{at}.x@example.org?"
            both = await asyncio.gather(sent(one, text, session=f"s{at}"), sent(two, text, session=f"s{at}"))
            assert both[0] == both[1]
            assert TOKEN.search(both[0][0]) is not None


async def test_a_conversation_from_before_is_told_to_the_others(tmp_path: Path, url: str) -> None:
    async with machines(tmp_path, config(url, shared=False)) as (one, two):
        before = await sent(one, f"Write to {MAIL}.")
        for box in (one, two):
            assert not await box.configure({**box.config, **config(url)})
        assert await sent(one, f"Write to {MAIL}.") == before
        assert await sent(two, f"Write to {MAIL}.") == before


async def test_a_store_that_is_gone_holds_up_only_what_is_new(tmp_path: Path, url: str) -> None:
    """What a process knows it does not ask for; what has to be settled and cannot be does not leave."""
    import psycopg

    async with running(tmp_path / "one", config(url)) as box:
        await sent(box, f"Write to {MAIL}.")
        with psycopg.connect(url, autocommit=True) as connection:
            rows = connection.execute("SELECT * FROM sealed_entries").fetchall()
            connection.execute("DROP TABLE sealed_entries")
        assert len(rows) == 1
        assert not [word for word in ("jane", "example", "EMAIL", "s1'") if word in str(rows)]
        await sent(box, f"Write to {MAIL}.", "Done", "Again, please.")
        count = len(box.sim.log.entries)
        for session, text in (("s1", f"Now from {IP}."), ("s9", f"Write to {MAIL}.")):
            body = {"model": "g", "messages": [{"role": "user", "content": text}]}
            answer = await box.request(CHAT, body, headers={"x-signalbox-session": session})
            assert answer.status == 503, session
        assert len(box.sim.log.entries) == count, "nothing has left"


async def test_a_failure_of_the_store_is_freed() -> None:
    failures: list[weakref.ref[Exception]] = []

    def opening() -> Store:
        raise watched(StoreError("gone"), failures)

    vault = StoreVault(opening, b"k")
    gc.disable()
    try:
        with contextlib.suppress(Overloaded):
            await vault.fetch(b"scope", 60)
        await vault.close()
        for _ in range(500):
            if failures[0]() is None:  # its thread has let go of it too
                break
            await asyncio.sleep(0.01)
        assert [failure() for failure in failures] == [None]
    finally:
        gc.enable()
