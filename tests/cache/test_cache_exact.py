"""The exact cache over real sockets: what is given again, to whom, until when, and what is never kept."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from harness import Answer, Box, running

CACHE = {"exact_ttl_s": 60}
WORKLOADS: dict[str, Any] = {
    "kept": {"placements": ["chat", "local"], "cache": CACHE},
    "kept-messages": {"placements": ["messages"], "cache": CACHE},
    "kept-responses": {"placements": ["responses"], "cache": CACHE},
    "translated": {"placements": ["messages"], "cache": CACHE},
    "team-wide": {"placements": ["chat"], "cache": {**CACHE, "share": "team"}},
    "tenant-wide": {"placements": ["chat"], "cache": {**CACHE, "share": "tenant"}},
    "user-wide": {"placements": ["chat"], "cache": {**CACHE, "share": "user"}},
    "brief": {"placements": ["chat"], "cache": {"exact_ttl_s": 0.2}},
    "kept-embed": {"placements": ["embed"], "cache": CACHE},
    "secret": {"data": ["confidential"], "placements": ["chat"], "cache": CACHE},
    "secret-kept": {"data": ["confidential"], "placements": ["chat"], "cache": {**CACHE, "data_max": "confidential"}},
    "tagged": {"placements": ["chat"], "cache": {**CACHE, "tags": ["corpus-7"]}},
}
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state", {"workloads": WORKLOADS}) as made:
        yield made


def chat(workload: str = "kept", text: str = "Name a colour.", **more: Any) -> dict[str, Any]:
    return {"model": workload, "messages": [{"role": "user", "content": text}], "max_tokens": 64, **more}


def hit(answer: Answer) -> bool:
    assert answer.status == 200, answer.body
    return answer.headers.get("x-signalbox-cache", "").startswith("hit")


async def test_the_same_question_is_asked_once_and_booked_twice(box: Box) -> None:
    first = await box.request(CHAT, chat())
    assert first.headers["x-signalbox-cache"] == "miss"
    second = await box.request(CHAT, chat())
    assert hit(second)
    assert "kind=exact; age=" in second.headers["x-signalbox-cache"]
    assert second.headers["x-signalbox-cost-usd"] == "0"
    assert second.headers["x-signalbox-placement"] == first.headers["x-signalbox-placement"]
    assert second.body == first.body
    rows = await box.settled(2)
    assert [row["state"] for row in rows] == ["settled", "cached"]
    assert rows[1]["saved_usd"] == rows[0]["cost_usd"]
    assert (rows[1]["cost_usd"], rows[1]["tokens_in"], rows[1]["usage_source"]) == ("0", 0, "none")
    assert rows[1]["reason"] == f"cache:exact {rows[0]['attempt_id']}"
    assert len(box.bill()) == 1
    assert box.chain_is_whole()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat(stream=True)),
        (CHAT, chat(stream=True, stream_options={"include_usage": True})),
        (CHAT, chat("translated", stream=True)),
        (MESSAGES, chat("kept-messages", stream=True)),
        (MESSAGES, chat("kept", stream=True)),
        (RESPONSES, {"model": "kept-responses", "input": "Name a colour.", "stream": True}),
        (RESPONSES, {"model": "kept", "input": "Name a colour.", "stream": True}),
        (CHAT, chat("translated")),
        (MESSAGES, chat("kept-messages")),
        (RESPONSES, {"model": "kept-responses", "input": "Name a colour."}),
        ("/v1/completions", {"model": "kept", "prompt": "Name a colour.", "max_tokens": 64}),
        ("/v1/embeddings", {"model": "kept-embed", "input": "Name a colour."}),
    ],
)
async def test_answers_replay_in_their_own_form(box: Box, path: str, body: dict[str, Any]) -> None:
    first, second = await box.request(path, body), await box.request(path, body)
    assert hit(second)
    assert not hit(first)
    assert second.headers["content-type"] == first.headers["content-type"]
    assert shape(second) == shape(first)
    assert len(box.bill()) == 1


def shape(answer: Answer) -> list[str]:
    """Events without their ids and times, which a translation makes anew."""
    return [block.split("\n")[0][:40] for block in answer.events] if "event-stream" in str(answer.headers) else []


async def test_a_translated_stream_that_is_given_again_tells_its_input_first(box: Box) -> None:
    await box.request(MESSAGES, chat("kept", stream=True))
    answer = await box.request(MESSAGES, chat("kept", stream=True))
    assert hit(answer)
    events = [json.loads(event.partition("data: ")[2]) for event in answer.events]
    started, ended = (
        next(each for each in events if each["type"] == kind) for kind in ("message_start", "message_delta")
    )
    assert started["message"]["usage"]["input_tokens"] == ended["usage"]["input_tokens"] > 0


@pytest.mark.parametrize(
    "other",
    [
        chat(text="Name a color."),
        chat(temperature=0.1),
        chat(stream=True),
        chat(max_tokens=65),
        chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]),
        chat(response_format={"type": "json_object"}),
        chat(seed=4),
        chat("tagged"),
        {**chat(), "messages": [{"role": "system", "content": "Be brief."}, *chat()["messages"]]},
    ],
)
async def test_another_question_is_another_question(box: Box, other: dict[str, Any]) -> None:
    await box.request(CHAT, chat())
    assert not hit(await box.request(CHAT, other))


async def test_what_no_model_reads_makes_no_difference(box: Box) -> None:
    await box.request(CHAT, chat())
    same = {**dict(reversed(chat().items())), "user": "somebody", "metadata": {"run": "4"}}
    assert hit(await box.request(CHAT, same))


@pytest.mark.parametrize(
    ("workload", "mine", "yours", "shared"),
    [
        ("kept", {"name": "a"}, {"name": "b"}, False),
        ("team-wide", {"team": "t1"}, {"team": "t1"}, True),
        ("team-wide", {"team": "t1"}, {"team": "t2"}, False),
        ("tenant-wide", {"team": "t1"}, {"team": "t2"}, True),
        ("tenant-wide", {"tenant": "one"}, {"tenant": "two"}, False),
        ("team-wide", {"tenant": "one", "team": "t"}, {"tenant": "two", "team": "t"}, False),
    ],
)
async def test_answers_stay_with_whom_they_are_shared(
    box: Box, workload: str, mine: dict[str, str], yours: dict[str, str], shared: bool
) -> None:
    one, two = await box.new_key(**mine), await box.new_key(**yours)
    await box.request(CHAT, chat(workload), key=one)
    assert hit(await box.request(CHAT, chat(workload), key=two)) is shared
    assert hit(await box.request(CHAT, chat(workload), key=one))


async def test_end_users_of_one_key_can_be_kept_apart(box: Box) -> None:
    await box.request(CHAT, chat("user-wide", user="ann"))
    assert not hit(await box.request(CHAT, chat("user-wide", user="bob")))
    assert hit(await box.request(CHAT, chat("user-wide", user="ann")))


async def test_a_kept_answer_ends_with_its_time(box: Box) -> None:
    await box.request(CHAT, chat("brief"))
    await asyncio.sleep(0.3)
    assert not hit(await box.request(CHAT, chat("brief")))


@pytest.mark.parametrize(
    "body",
    [
        chat(text="What is the weather in Oslo today?"),
        chat(text="Wie spät ist es?"),
        chat(text="[[length]] " + "word " * 200, max_tokens=1),
        chat("secret"),
        chat(n=2),
    ],
    ids=["now", "now-de", "cut", "class", "choices"],
)
async def test_what_is_never_kept(box: Box, body: dict[str, Any]) -> None:
    for _ in range(2):
        answer = await box.request(CHAT, body)
        assert answer.status == 200, answer.body
        assert not hit(answer)
    assert len(box.bill()) == 2


async def test_a_class_that_is_stated_is_kept(box: Box) -> None:
    await box.request(CHAT, chat("secret-kept"))
    assert hit(await box.request(CHAT, chat("secret-kept")))
    # The same words with a higher class are another question, and its own class is above what is stated.
    assert not hit(await box.request(CHAT, chat("secret-kept"), headers={"x-signalbox-data": "phi"}))


async def test_errors_are_not_kept(box: Box) -> None:
    box.sim.fault("400;once", provider="openai")
    assert (await box.request(CHAT, chat("brief"))).status == 400
    assert (await box.request(CHAT, chat("brief"))).status == 200


async def test_callers_may_pass_the_cache_by(box: Box) -> None:
    await box.request(CHAT, chat())
    for value in ({"cache-control": "no-store"}, {"x-signalbox-cache": "off"}, {"cache-control": "no-cache"}):
        assert not hit(await box.request(CHAT, chat(), headers=value))
    assert hit(await box.request(CHAT, chat()))
    assert not hit(await box.request(CHAT, chat(), headers={"x-signalbox-cache-scope": "corpus 2"}))


async def test_a_kept_answer_is_not_given_where_its_giver_is_forbidden_now(box: Box) -> None:
    assert "chat@" in (await box.request(CHAT, chat())).headers["x-signalbox-placement"]
    rule = {"id": "not-there", "allow": {"kind": ["on-prem"]}, "when": {"workloads": ["kept"]}, "source": "test"}
    assert not await box.configure({**box.config, "rules": [rule]})
    answer = await box.request(CHAT, chat())
    assert not hit(answer)
    assert "local@" in answer.headers["x-signalbox-placement"]


async def test_invalidation_reaches_every_process_before_it_returns(box: Box) -> None:
    await box.request(CHAT, chat("tagged"))
    await box.request(CHAT, chat("kept"))
    assert hit(await box.request(CHAT, chat("tagged")))
    command = [sys.executable, "-m", "signalbox", "cache", "invalidate", "--state-dir", str(box.state.root)]
    process = await asyncio.create_subprocess_exec(*command, "--tag", "corpus-7", stdout=subprocess.PIPE)
    await process.communicate()
    assert process.returncode == 0
    assert not hit(await box.request(CHAT, chat("tagged")))
    assert hit(await box.request(CHAT, chat("kept")))
    process = await asyncio.create_subprocess_exec(*command, "--all", stdout=subprocess.PIPE)
    await process.communicate()
    assert not hit(await box.request(CHAT, chat("kept")))


async def test_kept_answers_outlive_the_process_and_tell_nobody_anything(tmp_path: Path) -> None:
    async with running(tmp_path / "state", {"workloads": WORKLOADS}) as box:
        key = box.key
        first = await box.request(CHAT, chat(text="the canary of the question"))
        keys = box.keys
    everything = b"".join(path.read_bytes() for path in (tmp_path / "state").glob("cache.db*"))
    content = first.json["choices"][0]["message"]["content"]
    assert everything
    assert b"canary" not in everything
    assert content.encode()[:20] not in everything
    async with running(tmp_path / "state", {"workloads": WORKLOADS}) as box:
        box.keys = keys
        await box.new_key()
        second = await box.request(CHAT, chat(text="the canary of the question"), key=key)
        assert second.body == first.body
        assert not box.bill()


# --- equal calls at the same time ---


@pytest.mark.parametrize("stream", [False, True])
async def test_equal_calls_at_the_same_time_are_asked_once(box: Box, stream: bool) -> None:
    box.sim.fault("ttft@300ms", provider="openai")
    answers = await asyncio.gather(*(box.request(CHAT, chat(stream=stream)) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len(box.bill()) == 1
    assert sum("kind=joined" in answer.headers["x-signalbox-cache"] for answer in answers) == 19


async def test_when_who_asked_first_leaves_another_one_asks(box: Box) -> None:
    box.sim.fault("ttft@500ms", provider="openai")
    first = asyncio.ensure_future(box.request(CHAT, chat()))
    await asyncio.sleep(0.15)
    others = [asyncio.ensure_future(box.request(CHAT, chat())) for _ in range(3)]
    await asyncio.sleep(0.1)
    first.cancel()
    answers = await asyncio.gather(*others)
    assert [answer.status for answer in answers] == [200] * 3
    states = [row["state"] for row in await box.settled(4)]
    assert sorted(states) == ["cached", "cached", "cancelled", "settled"]


async def test_a_provider_that_fails_is_not_asked_by_everybody(box: Box) -> None:
    box.sim.fault("503", provider="openai")
    box.sim.fault("503", provider="vllm")
    answers = await asyncio.gather(*(box.request(CHAT, chat()) for _ in range(12)))
    assert {answer.status for answer in answers} == {503}
    rows = await box.settled(2)
    assert len({row["call_id"] for row in rows}) <= 3


async def test_an_answer_for_whoever_asked_only_leaves_the_others_to_ask(box: Box) -> None:
    box.sim.fault("ttft@200ms", provider="openai")
    body = chat(text="word " * 200, max_tokens=1)
    answers = await asyncio.gather(*(box.request(CHAT, body) for _ in range(4)))
    assert not any(hit(answer) for answer in answers)
    assert len(box.bill()) == 4
