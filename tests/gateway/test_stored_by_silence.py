"""A Responses call that does not say `store: false` asks the API to keep it. What is sent decides, not what was meant:
a deployment that would keep it is refused where a rule says so, and one that is reached by translation is not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness import Box, running

CONFIG: dict[str, Any] = {
    "health": {"enabled": False},
    "workloads": {
        "kept": {"data": ["legal"], "placements": ["responses"]},
        "either": {"data": ["legal"], "placements": ["responses", "chat", "messages"]},
        "cloud": {"data": ["legal"], "placements": ["chat"]},
        "strict": {"data": ["legal"], "placements": ["chat"], "strict": True},
    },
    "rules": [{"id": "not-onward", "when": {"data": ["legal"]}, "allow": {"not": {"region": ["asia"]}}}],
}


@pytest_asyncio.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state", CONFIG) as made:
        yield made


def ask(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "input": "x", "max_output_tokens": 16, **more}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", [{}, {"store": None}, {"store": True}])
async def test_a_translation_stores_nothing_and_is_permitted(box: Box, said: dict[str, Any], stream: bool) -> None:
    """On the first attempt and on the fallback."""
    for faults, served in ((0, "chat@"), (1, "messages@")):
        box.sim.reset()
        if faults:
            box.sim.fault("500", provider="openai")
        answer = await box.request("/v1/responses", ask("either", stream=stream, **said))
        assert answer.status == 200, answer.body
        assert answer.headers["x-signalbox-placement"].startswith(served)
        assert {entry.provider for entry in box.sim.log.entries} <= {"openai", "anthropic"}
        assert all(not json.loads(entry.body).get("store") for entry in box.sim.log.entries)
        assert b'"store":false' in answer.body


@pytest.mark.parametrize("said", [{}, {"store": True}])
async def test_what_would_be_kept_is_refused_and_says_what_to_set(box: Box, said: dict[str, Any]) -> None:
    answer = await box.request("/v1/responses", ask("kept", **said))
    assert answer.status == 400
    assert answer.json["error"]["code"] == "no_permitted_placement"
    assert '(say `"store": false`)' in answer.json["error"]["message"]
    assert not box.sim.log.entries
    again = await box.request("/v1/responses", ask("kept", store=False))
    assert again.status == 200


async def test_a_chat_call_that_is_to_be_kept_is_no_translation(box: Box) -> None:
    body = {"model": "cloud", "messages": [{"role": "user", "content": "x"}], "store": True}
    assert (await box.request("/v1/chat/completions", body)).status == 400
    assert (await box.request("/v1/chat/completions", {**body, "model": "either"})).status == 200
    (entry,) = box.sim.log.entries
    assert entry.provider == "azure"
    assert json.loads(entry.body)["store"] is False


async def test_a_workload_that_is_strict_refuses_what_it_cannot_keep(box: Box) -> None:
    assert (await box.request("/v1/responses", ask("strict"))).status == 200
    answer = await box.request("/v1/responses", ask("strict", store=True))
    assert (answer.status, answer.json["error"]["param"]) == (400, "store")


@pytest.mark.parametrize("more", [{"previous_response_id": "resp_1"}, {"tools": [{"type": "web_search"}]}])
async def test_whatever_else_goes_further_stays_refused(box: Box, more: dict[str, Any]) -> None:
    assert (await box.request("/v1/responses", ask("either", **more))).status == 400
    assert not box.sim.log.entries
