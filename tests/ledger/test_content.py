"""Captured content: sealed wherever it lies, read by who may, and unreadable for good once its key is destroyed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import postgres
from console_desk import Desk
from harness import Box, running
from signalbox.cli.main import main
from signalbox.control.contents import Contents, Erasure
from signalbox.control.office import ADMIN_SECRET
from signalbox.core.call import ForWhom, Principal
from signalbox.core.content import Said
from signalbox.core.errors import ConfigError
from signalbox.core.ports import Retention, Store
from signalbox.ledger import content as spooled
from signalbox.ledger.content import Spool
from signalbox.ledger.ship import Shipping
from signalbox.store import STORES, open_store

SECRET = b"p" * 32
SAID = Said(b'{"canary": "request of ann"}', b"canary answer", False)
DAY_MS = 86_400_000


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = postgres.fresh_url() if request.param == "postgresql" else f"sqlite:{tmp_path}/s.db"
    with contextlib.closing(open_store(url)) as opened:
        yield opened


def _principal(tenant: str = "default", key_id: str = "k1") -> Principal:
    return Principal(key_id, tenant, "", None, frozenset())


def _keep(spool: Spool, call_id: str, time_ms: int, user: str = "", session: str = "", tenant: str = "default") -> str:
    digest = spool.keep(call_id, time_ms, spool.subjects(_principal(tenant), ForWhom(user, session)), SAID)
    assert digest is not None
    return digest


def test_erasing_one_leaves_the_others(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "content"
    spool, contents = Spool(folder, SECRET), Contents(SECRET)
    _keep(spool, "of-ann", 100, user="ann")
    _keep(spool, "of-ann-elsewhere", 100, user="ann", tenant="other")
    _keep(spool, "of-bob", 100, user="bob", session="s1")
    digest = _keep(spool, "of-nobody", 100)
    assert not any(b"canary" in path.read_bytes() for path in folder.iterdir())
    assert not contents.take(store, folder)
    assert list(folder.iterdir()) == []
    for call_id in ("of-ann", "of-ann-elsewhere", "of-bob", "of-nobody"):
        kept = contents.read(store, call_id)
        assert kept is not None
        assert kept.said == SAID
    found = store.content_of("of-nobody")
    assert found is not None
    assert b"canary" not in found[0].sealed + found[0].wrapped
    assert found[0].hash == digest
    # Neither another secret nor the store alone opens anything.
    alien = Contents(b"q" * 32).read(store, "of-ann")
    assert alien is not None
    assert alien.said is None

    assert contents.erase(store, Erasure(user="ann"), 200) == 1
    assert contents.erase(store, Erasure(user="ann"), 200) == 0
    said = {call_id: contents.read(store, call_id) for call_id in ("of-ann", "of-ann-elsewhere", "of-bob")}
    assert [kept.said if kept is not None else "gone" for kept in said.values()] == [None, SAID, SAID]
    # A session names content too, whoever its user is.
    assert contents.erase(store, Erasure(session="s1"), 200) == 1
    kept = contents.read(store, "of-bob")
    assert kept is not None
    assert kept.said is None
    assert contents.read(store, "never") is None


def test_what_waited_when_somebody_was_erased_is_erased_too(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "content"
    spool, contents = Spool(folder, SECRET), Contents(SECRET)
    _keep(spool, "before", 100, user="ann")
    assert contents.erase(store, Erasure(user="ann"), 200) == 0
    contents.take(store, folder)
    assert contents.read(store, "before") is None
    _keep(spool, "after", 300, user="ann")
    _keep(spool, "late", 150, user="ann")
    contents.take(store, folder)
    assert contents.read(store, "late") is None
    kept = contents.read(store, "after")
    assert kept is not None
    assert kept.said == SAID


def test_old_content_goes_and_junk_in_the_spool_stops_nothing(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "content"
    spool, contents = Spool(folder, SECRET), Contents(SECRET)
    today_ms = 20_700 * DAY_MS
    _keep(spool, "old", today_ms - 40 * DAY_MS, user="ann")
    _keep(spool, "new", today_ms, user="ann")
    (folder / "junk.sealed").write_bytes(b"junk")
    (folder / "half.partial").write_bytes(b"junk")
    contents.take(store, folder)
    assert [path.name for path in folder.iterdir()] == ["half.partial"]
    while store.tidy(today_ms, Retention(content_days=30)):
        pass
    assert contents.read(store, "old") is None
    assert contents.read(store, "new") is not None


def test_a_full_spool_drops_instead_of_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooled, "FILES_MAX", 3)
    monkeypatch.setattr(spooled, "_LOOK_EVERY", 1)
    spool = Spool(tmp_path / "content", SECRET)
    kept = [spool.keep(f"c{number}", 1, ("s",), SAID) for number in range(5)]
    assert [digest is not None for digest in kept] == [True, True, True, False, False]


def test_whom_to_erase_has_to_be_said() -> None:
    for wrong in (Erasure(), Erasure(user="x" * 129)):
        with pytest.raises(ConfigError):
            wrong.named()


CAPTURED = {
    "w-chat": {"placements": ["chat"], "capture": {"bytes_max": 20_000}},
    "w-messages": {"placements": ["messages"], "capture": {}},
    "w-translated": {"placements": ["messages"], "capture": {}},
    "w-local": {"placements": ["local"]},
}


async def _ask(box: Box, workload: str, user: str, *, stream: bool = False, words: int = 1) -> str:
    """The call's id."""
    doc = {
        "model": workload, "user": user, "max_tokens": 64, "stream": stream,
        "messages": [{"role": "user", "content": "canary " * words + "[[tokens:5]]"}],
    }  # fmt: skip
    answer = await box.request("/v1/chat/completions", doc)
    assert answer.status == 200, answer.body
    return answer.headers["x-request-id"]


async def test_calls_are_captured_sealed_where_the_workload_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, {"workloads": CAPTURED}) as box:
        whole = await _ask(box, "w-chat", "ann")
        streamed = await _ask(box, "w-chat", "ann", stream=True)
        translated = await _ask(box, "w-translated", "bob", stream=True)
        long = await _ask(box, "w-chat", "bob", words=3000)
        await _ask(box, "w-local", "ann")
        state = box.state
    lying = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "signalbox.db"]
    assert not [path for path in lying if b"canary" in path.read_bytes()]
    contents = Contents(state.pepper())
    with contextlib.closing(open_store(f"sqlite:{state.database}")) as store:
        Shipping(store, state.journal).ship_once()
        contents.take(store, state.content)
        rows = {row.call_id for row in store.attempts_of(whole)}
        assert rows == {whole}
        said = {}
        for call_id in (whole, streamed, translated, long):
            kept = contents.read(store, call_id)
            assert kept is not None
            assert kept.said is not None
            said[call_id] = kept.said
            recorded = [path.read_text() for path in state.journal.rglob("*.log")]
            assert any(f'"call_id":"{call_id}"' in text and kept.hash in text for text in recorded)
        assert b"canary" in said[whole].request
        assert b"choices" in said[whole].answer
        assert said[streamed].answer.endswith(b"data: [DONE]\n\n")
        assert said[translated].answer
        assert (said[whole].cut, said[long].cut, len(said[long].request)) == (False, True, 20_000)
    assert b"canary" not in b"".join(path.read_bytes() for path in tmp_path.glob("signalbox.db*"))

    def told(*words: str) -> tuple[int, Any]:
        code = main(["ledger", *words, "--state-dir", str(tmp_path), "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    code, shown = told("content", whole)
    assert (code, shown["erased"], "canary" in shown["request"]) == (0, False, True)
    assert told("erase", "--user", "ann") == (0, {"keys_destroyed": 1})
    code, shown = told("content", streamed)
    assert (code, shown["erased"], "request" in shown) == (0, True, False)
    assert told("content", translated)[1]["erased"] is False
    assert main(["ledger", "erase", "--state-dir", str(tmp_path)]) == 2
    capsys.readouterr()
    code, report = told("verify")
    assert (code, report["ok"]) == (0, True)
    acted = [path.read_text() for path in (state.journal / "actions").glob("*.log")]
    assert sum(text.count("content.erase") for text in acted) == 1
    assert not any("ann" in text for text in acted)


async def test_nothing_is_made_where_nobody_asks_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await _ask(box, "w-chat", "ann")
        assert not box.state.content.exists()


async def test_only_an_admin_erases_and_only_auditors_read(tmp_path: Path) -> None:
    desk = await Desk(tmp_path).loaded()
    try:
        spool = Spool(desk.state.content, desk.pepper)
        _keep(spool, "req_1", 100, user="ann")
        _keep(spool, "req_2", 100, user="ann", tenant="other")
        desk.store.run_now(lambda store: Contents(desk.pepper).take(store, desk.state.content))
        keys = {role: desk.key(role=role)[1] for role in ("admin", "operator", "auditor", "developer")}

        async def told(method: str, path: str, role: str, doc: object = None) -> tuple[int, Any]:
            headers = {"authorization": f"Bearer {keys[role]}", "content-type": "application/json"}
            answer = await desk.send(method, path, headers, json.dumps(doc).encode() if doc is not None else b"")
            return answer.status, answer.json

        whom = {"user": "ann"}
        for role in ("operator", "auditor", "developer"):
            assert (await told("POST", "/api/ledger/erase", role, whom))[0] == 403
        for role in ("operator", "developer"):
            assert (await told("GET", "/api/requests/req_1/content", role))[0] == 403
        assert (await told("POST", "/api/ledger/erase", "admin", {}))[0] == 400
        assert (await told("POST", "/api/ledger/erase", "admin", {"user": "ann", "x": 1}))[0] == 400
        # A key of one tenant neither reads nor erases what is another's.
        assert (await told("GET", "/api/requests/req_2/content", "auditor"))[0] in (200, 404)
        assert await told("POST", "/api/ledger/erase", "admin", whom) == (200, {"keys_destroyed": 1})
        actions = await desk.office.actions(ADMIN_SECRET)
        assert [one.refused for one in actions if one.action == "content.erase"] == [False]
    finally:
        desk.close()
