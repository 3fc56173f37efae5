"""Questions in other words over real sockets: given only once that can be trusted, in their scope, on the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from harness import Answer, Box, running
from signalbox.cache.semantic import WAITING_MAX
from signalbox.cache.shelf import invalidate, secret_from

pytest.importorskip("numpy")
CHAT = "/v1/chat/completions"
# Little evidence is enough for a bound of 45 %.
SEMANTIC = {"error_share_max": 0.45, "audit_share": 0.01}
WORKLOADS: dict[str, Any] = {
    "meant": {"placements": ["chat"], "cache": {"semantic": SEMANTIC}},
    "deployed": {"placements": ["chat"], "cache": {"semantic": {**SEMANTIC, "embedding": "embed"}}},
    "judged": {"placements": ["chat"], "cache": {"semantic": {**SEMANTIC, "judge": "local"}}},
    "tagged": {"placements": ["chat"], "cache": {"tags": ["corpus-7"], "semantic": SEMANTIC}},
    "tagged-deployed": {
        "placements": ["chat"],
        "cache": {"tags": ["corpus-7"], "semantic": {**SEMANTIC, "embedding": "embed"}},
    },
    "herd": {"placements": ["chat"], "cache": {"exact_ttl_s": 600, "semantic": SEMANTIC}},
    "herd-deployed": {
        "placements": ["chat"],
        "cache": {"exact_ttl_s": 600, "semantic": {**SEMANTIC, "embedding": "embed"}},
    },
    "secret": {"data": ["confidential"], "placements": ["chat"], "cache": {"semantic": SEMANTIC}},
}
SAY = " [[text:Ten working days.]]"
WORDINGS = [
    f"{greeting}how long may {article} be {way} until {verdict}?{SAY}"
    for greeting in ("", "Hello, ", "Please, ", "Hi, ", "Hello! ", "Please: ")
    for article in ("a parcel", "the parcel", "my parcel")
    for way in ("on its way", "on the way")
    for verdict in ("it counts as lost", "it is counted as lost")
]
ASKED = WORDINGS[0]


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state", {"workloads": WORKLOADS}) as made:
        yield made


def chat(workload: str, text: str, **more: Any) -> dict[str, Any]:
    return {"model": workload, "messages": [{"role": "user", "content": text}], "max_tokens": 64, **more}


def meant(answer: Answer) -> bool:
    assert answer.status == 200, answer.body
    return "kind=semantic" in answer.headers.get("x-signalbox-cache", "")


async def learnt(box: Box, workload: str, key: str | None = None) -> list[bool]:
    """Asks in all wordings but the last three, and tells which were answered from the cache."""
    return [meant(await box.request(CHAT, chat(workload, text), key=key)) for text in WORDINGS[:-3]]


@pytest.mark.parametrize("workload", ["meant", "deployed"])
async def test_other_words_are_answered_once_that_can_be_trusted(box: Box, workload: str) -> None:
    given = await learnt(box, workload)
    assert not any(given[:6])
    assert any(given[6:])
    answers = [await box.request(CHAT, chat(workload, text)) for text in WORDINGS[-3:]]
    assert any(meant(answer) for answer in answers)
    assert all(answer.json["choices"][0]["message"]["content"] == "Ten working days." for answer in answers)
    rows = await box.settled(len(WORDINGS))
    cached = [row for row in rows if row["state"] == "cached"]
    assert cached
    assert all(row["reason"].startswith("cache:semantic ") and row["cost_usd"] == "0" for row in cached)
    asked = [row for row in rows if row["state"] == "settled"]
    assert len(asked) == len(box.bill())
    made = [row for row in asked if row["reason"].startswith("cache-embedding")]
    assert len(made) == (len(WORDINGS) if workload == "deployed" else 0)
    assert all(row["workload"] == workload for row in made)


@pytest.mark.parametrize(
    "text",
    [
        f"how long may a parcel not be on its way until it counts as lost?{SAY}",
        f"how long may two parcels be on their way until they count as lost?{SAY}",
        f"how long may a parcel for Berlin be on its way until it counts as lost?{SAY}",
        f"how long may a parcel be on its way until it counts as lost in 2024?{SAY}",
        f"how long may a parcel be on its way today until it counts as lost?{SAY}",
    ],
)
async def test_a_question_that_is_turned_round_is_asked(box: Box, text: str) -> None:
    await learnt(box, "meant")
    assert not meant(await box.request(CHAT, chat("meant", text)))


async def test_the_rest_of_a_call_is_a_hard_scope(box: Box) -> None:
    await learnt(box, "meant")
    last = chat("meant", WORDINGS[-1])
    other_key = await box.new_key(name="other", deployments=("*",))
    system = {"role": "system", "content": "Be rude."}
    assert not meant(await box.request(CHAT, last, key=other_key))
    for other in (
        {**last, "messages": [system, *last["messages"]]},
        {**last, "temperature": 0.5},
        {**last, "stream": True},
        {**last, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
    ):
        assert not meant(await box.request(CHAT, other))
    assert not meant(await box.request(CHAT, last, headers={"x-signalbox-cache-scope": "corpus 2"}))


async def test_answers_that_differ_open_nothing(box: Box) -> None:
    given = [
        meant(await box.request(CHAT, chat("meant", text.replace("Ten", f"After {number} plus"))))
        for number, text in enumerate(WORDINGS)
    ]
    assert not any(given)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("workload", "bills"), [("herd", 1), ("herd-deployed", 2)])
async def test_equal_calls_at_the_same_time_are_looked_up_and_asked_once(
    box: Box, workload: str, bills: int, stream: bool
) -> None:
    box.sim.fault("ttft@300ms", provider="openai")
    calls = (box.request(CHAT, chat(workload, ASKED, stream=stream)) for _ in range(12))
    answers = await asyncio.gather(*calls)
    assert {answer.status for answer in answers} == {200}
    assert sum("kind=joined" in answer.headers["x-signalbox-cache"] for answer in answers) == 11
    assert len(box.bill()) == bills


async def test_classes_above_what_is_stated_are_never_looked_up(box: Box) -> None:
    assert not any(await learnt(box, "secret"))
    assert "x-signalbox-cache" not in (await box.request(CHAT, chat("secret", ASKED))).headers


async def test_what_was_invalidated_is_asked(box: Box) -> None:
    assert any(await learnt(box, "tagged"))
    invalidate(box.state.cache, secret_from(box.state.pepper()), ["tag:corpus-7"], 1)
    assert not meant(await box.request(CHAT, chat("tagged", WORDINGS[-1])))


@pytest.mark.parametrize("workload", ["tagged", "tagged-deployed"])
async def test_what_is_invalidated_during_a_look_up_is_asked(box: Box, workload: str) -> None:
    assert any(await learnt(box, workload))
    assert meant(await box.request(CHAT, chat(workload, WORDINGS[-1])))
    assert box.plane is not None
    if workload == "tagged":
        # The thread of the look-ups has other things to do for a while.
        box.plane._cache.semantic.thread.submit(time.sleep, 0.5)  # pyright: ignore[reportPrivateUsage]
    else:
        box.sim.fault("ttft@500ms", provider="openai")
    asking = asyncio.ensure_future(box.request(CHAT, chat(workload, WORDINGS[-2])))
    await asyncio.sleep(0.2)
    invalidate(box.state.cache, secret_from(box.state.pepper()), ["tag:corpus-7"], 1)
    assert not meant(await asking)


async def test_calls_that_would_wait_for_long_are_asked(box: Box) -> None:
    await learnt(box, "meant")
    assert box.plane is not None
    box.plane._cache.semantic.thread.submit(time.sleep, 0.5)  # pyright: ignore[reportPrivateUsage]
    answers = await asyncio.gather(*(box.request(CHAT, chat("meant", WORDINGS[-1])) for _ in range(2 * WAITING_MAX)))
    assert sum(map(meant, answers)) <= WAITING_MAX < len(answers)
    assert {answer.status for answer in answers} == {200}


async def test_a_judge_is_asked_in_nobodys_time_and_on_the_record(box: Box) -> None:
    box.sim.fault("ttft@400ms", provider="vllm")
    for text in WORDINGS[:4]:
        # Without the directive every wording has another answer.
        assert not meant(await box.request(CHAT, chat("judged", text.replace(SAY, ""))))
    rows = await box.settled(5)
    judged = [row for row in rows if row["reason"].startswith("cache-judge")]
    assert judged
    assert {row["deployment"] for row in judged} == {"local"}
    assert {row["call_id"] for row in judged} <= {row["call_id"] for row in rows if row not in judged}
