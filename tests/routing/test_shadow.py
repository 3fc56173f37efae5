"""The shadow slice over real sockets: who is asked what, on whose account, and what is learnt from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running
from signalbox.cli.main import main
from signalbox.control.state import StateDir
from signalbox.core.tiering import read_head
from signalbox.routing.difficulty.features import Asked, features
from signalbox.routing.difficulty.labels import ROWS_MAX, LabelBook

CHAT = "/v1/chat/completions"
PAIR = ("local", "chat")
MESSAGE = {"role": "assistant", "content": ""}
CHOICE: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": MESSAGE}
ANSWER: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "odd",
    "choices": [CHOICE],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
}


def shadowed(**shadow: Any) -> dict[str, Any]:
    return {"placements": list(PAIR), "shadow": {"share": 1.0, **shadow}}


WORKLOADS: dict[str, Any] = {
    "twice": shadowed(),
    "strong-first": {"placements": ["chat", "local"], "shadow": {"share": 1.0, "weak": "local", "strong": "chat"}},
    "for-infra": shadowed(booked_to="infra"),
    "poor": shadowed(usd_per_day=0.000001),
    "judged": shadowed(judge="local"),
    "secret": {**shadowed(), "data": ["confidential"]},
    "never": {"placements": list(PAIR)},
    "rarely": shadowed(share=0.000001),
    "at-home": {**shadowed(), "data": ["phi"]},
}
RULES = [{"id": "home", "when": {"data": ["phi"]}, "allow": {"kind": ["on-prem"]}, "source": "a test"}]


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state", {"workloads": WORKLOADS, "rules": RULES}) as made:
        yield made


async def ask(box: Box, workload: str, text: str = "How much is 3 x 60?", **more: Any) -> dict[str, str]:
    body = {"model": workload, "messages": [{"role": "user", "content": text}], "max_tokens": 64, **more}
    answer = await box.request(CHAT, body)
    assert answer.status == 200, answer.body
    return answer.headers


def book(box: Box) -> LabelBook:
    return LabelBook(box.state.labels, box.state.pepper())


async def labelled(box: Box, workload: str, count: int = 1) -> list[Any]:
    for _ in range(500):
        rows = book(box).read(workload, PAIR)
        if len(rows) >= count:
            return rows
        await asyncio.sleep(0.02)
    raise AssertionError("no label came to be")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("workload", "first"), [("twice", "local"), ("strong-first", "chat")])
async def test_the_other_model_is_asked_after_the_client_was_answered(
    box: Box, workload: str, first: str, stream: bool
) -> None:
    told = await ask(box, workload, stream=stream)
    assert told["x-signalbox-placement"].startswith(f"{first}@")
    assert "x-signalbox-cache" not in told
    (row,) = await labelled(box, workload)
    assert row.outcomes[1] == 1.0
    assert row.propensity == 1.0
    one, two = await box.settled(2)
    assert (one["deployment"], two["deployment"]) in (PAIR, PAIR[::-1])
    assert one["call_id"] == two["call_id"]
    assert two["reason"].startswith("shadow p=1.0000")
    assert (two["key_id"], two["workload"]) == (one["key_id"], workload)
    assert len(box.bill()) == 2
    assert box.chain_is_whole()
    if not stream:
        assert told["x-signalbox-cost-usd"] == one["cost_usd"]


async def test_nothing_is_asked_twice_where_nobody_wants_it_or_it_is_not_drawn(box: Box) -> None:
    for workload in ("never", "rarely", "secret"):
        await ask(box, workload)
    await ask(box, "twice", tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
    await asyncio.sleep(0.2)
    assert len(await box.settled(4)) == 4
    assert len(box.bill()) == 4
    assert all(not book(box).pairs(name) for name in WORKLOADS)


async def test_it_can_be_booked_to_infra(box: Box) -> None:
    await ask(box, "for-infra")
    await labelled(box, "for-infra")
    rows = await box.settled(2)
    assert [(row["tenant"], row["workload"]) for row in rows][1] == ("infra", "for-infra")
    assert rows[0]["tenant"] != "infra"


async def test_it_rests_when_its_money_of_the_day_is_spent(box: Box) -> None:
    await ask(box, "poor")
    await labelled(box, "poor")
    for number in range(3):
        await ask(box, "poor", f"And {number} more?")
    await asyncio.sleep(0.2)
    assert len(box.bill()) == 5


async def test_rules_hold_for_the_second_model_too(box: Box) -> None:
    told = await ask(box, "at-home")
    assert told["x-signalbox-placement"].startswith("local@")
    await asyncio.sleep(0.3)
    assert [row["deployment"] for row in box.rows() if row["state"] == "settled"] == ["local"]
    assert len(box.bill()) == 1
    assert not book(box).pairs("at-home")


@pytest.mark.parametrize(("verdict", "good"), [("YES", 1.0), ("No.", 0.0), ("", 0.0)])
async def test_a_judge_is_asked_where_conclusions_differ(tmp_path: Path, verdict: str, good: float) -> None:
    """The weak model says 42 to everything, and judges as it is told; without a judge it is wrong."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).lower():
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                said = verdict if b"<first>" in await reader.readexactly(length) else "42"
                body = json.dumps({**ANSWER, "choices": [{**CHOICE, "message": {**MESSAGE, "content": said}}]}).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)

    door = await asyncio.start_server(serve, "127.0.0.1", 0)
    odd = {
        "environment": "vllm-env",
        "protocol": "openai",
        "base_url": f"http://127.0.0.1:{door.sockets[0].getsockname()[1]}/v1",
        "allow_private": True,
        "model": "odd",
        "price": {"input_mtok": 1, "output_mtok": 2},
        "capabilities": {"apis": ["chat"]},
    }
    judge = {"judge": "odd"} if verdict else {}
    workload = {"placements": ["odd", "chat"], "shadow": {"share": 1.0, **judge}}
    async with running(tmp_path / "state", {"deployments": {"odd": odd}, "workloads": {"judged": workload}}) as box:
        await ask(box, "judged", "How blue is the sea?")
        rows = await box.settled(3 if verdict else 2)
        assert [row["reason"].split()[0] for row in rows][1:] == ["shadow", "shadow-judge"][: len(rows) - 1]
        for _ in range(500):
            if labels := book(box).read("judged", ("odd", "chat")):
                break
            await asyncio.sleep(0.02)
        assert [label.outcomes for label in labels] == [(good, 1.0)]
    door.close()


def test_the_book_is_bounded_sealed_and_one_installations(tmp_path: Path) -> None:
    mine = LabelBook(tmp_path / "labels.db", b"p" * 32)
    found = features(Asked("What is the password of Henrietta?"))
    mine.add("w", PAIR, found, (0.0, 1.0), 0.02, 1)
    (row,) = mine.read("w", PAIR)
    read = row.features()
    assert (read.dense, read.grams, read.words) == (found.dense, found.grams, found.words)
    assert (row.outcomes, row.propensity) == ((0.0, 1.0), 0.02)
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"enrietta" not in raw
    assert (tmp_path / "labels.db").stat().st_mode & 0o077 == 0
    assert LabelBook(tmp_path / "labels.db", b"q" * 32).read("w", PAIR) == []
    assert ROWS_MAX <= 10_000


def test_a_head_is_learnt_from_the_ledgers_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("scipy")
    state = StateDir(tmp_path / "state")
    own = LabelBook(state.labels, state.pepper())
    for number in range(200):
        hard = number % 2 == 0
        text = f"Prove theorem {number} of topology." if hard else f"Say hello to customer {number}, please."
        own.add("support", PAIR, features(Asked(text)), (0.0 if hard else 1.0, 1.0), 0.02, number)
    out = tmp_path / "support.head"
    command = ["router", "fit", "--from-ledger", "--workload", "support", "--state-dir", str(state.root), "--json"]
    assert main([*command, "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tiers"] == list(PAIR)
    assert told["rows"] == 200
    assert told["made"]["apgr_own"] > 0.7
    assert read_head(out.read_bytes()).tiers == PAIR
    assert main([*command[:4], "nobody", *command[5:], "--out", str(out)]) == 2
    assert main(["router", "fit", "--out", str(out)]) == 2
