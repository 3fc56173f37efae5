"""Answers that do not fit the schema that was asked for: asked for once more, refused or passed, always on record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.guard.test_guard_seams import put_together
from tests.harness import Box, running

from conversations import FITS, NEVER, PATHS, tool, wanting

WRONG = {"not-json": "[[text:Certainly! {]]", "does-not-fit": '[[text:{"b": 1}]]'}
REPAIR = {"name": "valid-json", "repair": True}


def workloads(**guard: Any) -> dict[str, Any]:
    made = {**REPAIR, **guard}
    return {"workloads": {f"g-{name}": {"placements": [name], "guards": [made]} for name in PATHS}}


def asked(api: str, workload: str, text: str, schema: dict[str, Any], *, stream: bool = False) -> dict[str, Any]:
    """A call that wants JSON."""
    body: dict[str, Any] = {"model": workload, "stream": stream, **wanting(api, schema)}
    if api == "responses":
        return body | {"input": text, "store": False}
    return body | {"max_tokens": 300, "messages": [{"role": "user", "content": text}]}


def calling(api: str, workload: str, schema: dict[str, Any], *, stream: bool = False) -> dict[str, Any]:
    """A call that wants a tool to be called, and says what with."""
    body: dict[str, Any] = {"model": workload, "stream": stream, "tools": [tool(api, schema)]}
    text = '[[tool:look {"b": 1}]]'
    if api == "responses":
        return body | {"input": text, "tool_choice": {"type": "function", "name": "look"}, "store": False}
    body |= {"max_tokens": 300, "messages": [{"role": "user", "content": text}]}
    if api == "messages":
        return body | {"tool_choice": {"type": "tool", "name": "look"}}
    return body | {"tool_choice": {"type": "function", "function": {"name": "look"}}}


def said(api: str, answer: Any) -> str:
    """The text of a whole answer, or what its tool is called with."""
    doc = answer.json
    if api == "chat":
        message = doc["choices"][0]["message"]
        calls = message.get("tool_calls")
        return calls[0]["function"]["arguments"] if calls else message["content"]
    if api == "messages":
        (part,) = doc["content"]
        return json.dumps(part["input"]) if part["type"] == "tool_use" else part["text"]
    (item,) = doc["output"]
    return item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"]


async def rows_of(box: Box, count: int) -> list[dict[str, Any]]:
    rows = await box.settled(count)
    assert len(rows) == count == len(box.bill())
    assert sum(row["usage_source"] == "provider" for row in rows) == count
    assert box.chain_is_whole()
    return rows


@pytest.mark.parametrize("wrong", [*WRONG, "arguments"])
@pytest.mark.parametrize("place", list(PATHS))
async def test_an_answer_that_does_not_fit_is_asked_for_once_more(tmp_path: Path, place: str, wrong: str) -> None:
    """From every endpoint, over each protocol; both tries are attempts with their cost, and the second says why."""
    async with running(tmp_path, workloads()) as box:
        for at, (api, path) in enumerate(PATHS.items()):
            by_tool = wrong == "arguments"
            body = calling(api, f"g-{place}", FITS) if by_tool else asked(api, f"g-{place}", WRONG[wrong], FITS)
            answer = await box.request(path, body)
            assert answer.status == 200, answer.body
            assert json.loads(said(api, answer)) == {"a": "signal"}, (api, place)
            first, second = (await rows_of(box, 2 * at + 2))[-2:]
            assert first["guards"] == {f"valid-json.{wrong}:flag@{'tool' if by_tool else 'text'}": 1}
            assert second["reason"].split()[-1] == f"repair:{wrong}"
            assert first["call_id"] == second["call_id"]
            assert "guards" not in second
            total = float(first["cost_usd"]) + float(second["cost_usd"])
            assert abs(float(answer.headers["x-signalbox-cost-usd"]) - total) < 1e-12


@pytest.mark.parametrize("unfit", ["pass", "refuse"])
@pytest.mark.parametrize("repair", [True, False])
async def test_what_does_not_fit_in_the_end_passes_or_is_refused(tmp_path: Path, unfit: str, repair: bool) -> None:
    async with running(tmp_path, workloads(unfit=unfit, repair=repair)) as box:
        for at, (api, path) in enumerate(PATHS.items()):
            answer = await box.request(path, asked(api, "g-chat", WRONG["not-json"], NEVER))
            tries = 1 + repair
            rows = (await rows_of(box, tries * (at + 1)))[-tries:]
            if unfit == "refuse":
                assert answer.status == 502, api
                assert b"answer_does_not_fit" in answer.body or api == "messages"
                assert b"signal" not in answer.body.replace(b"signalbox", b"")
                assert b"Certainly" not in answer.body
            else:
                assert answer.status == 200, api
                assert said(api, answer) == ('{"a":"signal"}' if repair else "Certainly! {")
            last = "does-not-fit" if repair else "not-json"
            action = "block" if unfit == "refuse" else "flag"
            assert rows[-1]["guards"] == {f"valid-json.{last}:{action}@text": 1}


async def test_a_second_try_that_fails_gives_the_first_answer(tmp_path: Path) -> None:
    """No attempt left, none permitted, or a provider that fails: what was answered is what there is."""
    config = workloads()
    config["workloads"]["g-once"] = {"placements": ["chat"], "guards": [REPAIR], "retries": {"max_attempts": 1}}
    async with running(tmp_path, {**config, "health": {"enabled": False}}) as box:
        answer = await box.request(PATHS["chat"], asked("chat", "g-once", WRONG["not-json"], FITS))
        assert said("chat", answer) == "Certainly! {"
        assert len(await rows_of(box, 1)) == 1
        box.sim.fault("503", provider="openai", nth=2)
        answer = await box.request(PATHS["chat"], asked("chat", "g-chat", WRONG["not-json"], FITS))
        assert answer.status == 200
        assert said("chat", answer) == "Certainly! {"


async def test_what_the_model_said_is_classified_like_everything_else(tmp_path: Path) -> None:
    """An answer that raises the data class is sent back only where that may go."""
    config = workloads()
    config["rules"] = [{"id": "here", "when": {"data": ["export-controlled"]}, "allow": {"kind": ["on-prem"]}}]
    async with running(tmp_path, config) as box:
        text = "[[rot13]][[text:VGNE pbagebyyrq grpuavpny qngn, RPPA 9N610]]"
        answer = await box.request(PATHS["chat"], asked("chat", "g-chat", text, FITS))
        assert answer.status == 200
        assert said("chat", answer).startswith("ITAR")
        assert len(box.bill()) == 1, "the second try was not permitted, so it was not made"


@pytest.mark.parametrize("api", list(PATHS))
async def test_streams_are_asked_for_again_only_where_they_may_be_held(tmp_path: Path, api: str) -> None:
    for hold in (True, False):
        async with running(tmp_path / str(hold), workloads(hold_streams=hold)) as box:
            for at, place in enumerate(PATHS):
                body = asked(api, f"g-{place}", WRONG["not-json"], FITS, stream=True)
                answer = await box.request(PATHS[api], body)
                assert answer.status == 200
                told = put_together(api, answer.body)
                assert told == ('{"a":"signal"}' if hold else "Certainly! {"), (api, place)
                rows = (await rows_of(box, (1 + hold) * (at + 1)))[-(1 + hold) :]
                assert rows[0]["guards"] == {"valid-json.not-json:flag@text": 1}
            if not hold:
                answer = await box.request(PATHS[api], calling(api, "g-chat", FITS, stream=True))
                rows = await rows_of(box, 4)
                assert rows[-1]["guards"] == {"valid-json.arguments:flag@tool": 1}


async def test_pseudonyms_stay_pseudonyms_in_the_second_try(tmp_path: Path) -> None:
    """What goes back up is what came down from there, not what the client would have got."""
    guards = [{"name": "pseudonymise", "where": "always"}, REPAIR]
    async with running(tmp_path, {"workloads": {"g": {"placements": ["chat"], "guards": guards}}}) as box:
        body = asked("chat", "g", "[[text:mail jane.roe@example.org]]", FITS)
        answer = await box.request(PATHS["chat"], body)
        assert json.loads(said("chat", answer)) == {"a": "signal"}
        assert len(box.bill()) == 2
        sent = [entry.body for entry in box.sim.log.entries]
        assert not [one for one in sent if b"jane" in one]
        assert sent[-1].count(b"EMAIL_") == 2
