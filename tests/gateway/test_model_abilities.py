"""GET /v1/models tells what calls with a name may hold and how they are served, as far as the caller may know."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from harness import Box, running, simulated_config
from signalbox.gateway.abilities import MEMBERS

pytestmark = pytest.mark.asyncio(loop_scope="module")

ABLE = {"context_tokens": 200_000, "capabilities": {"apis": ["chat", "responses"], "images": False}}
PLAIN = {"context_tokens": 8_000, "capabilities": {"apis": ["chat"], "tools": False, "json_schema": False}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    path: Path = tmp_path_factory.mktemp("abilities") / "state"
    async with running(path) as made:
        config = simulated_config(
            made.sim,
            workloads={
                "both": {"placements": ["chat", "local"]},
                "small": {"placements": ["local"]},
                "unknown": {"placements": ["local", "messages"]},
                "home": {"placements": ["chat", "local"], "data": ["restricted"]},
                "nowhere": {"placements": ["chat"], "data": ["restricted"]},
            },
            rules=[{"id": "stay", "when": {"level": "restricted"}, "allow": {"kind": ["on-prem"]}}],
            aliases={"claude-both": "both"},
        )
        config["deployments"]["chat"] |= ABLE
        config["deployments"]["local"] |= PLAIN
        assert not await made.configure(config)
        made.key = await made.new_key(deployments=("*",))
        yield made


TALK = {"chat": "native", "responses": "translated", "messages": "translated", "completions": "translated"}
SMALL: dict[str, Any] = {
    "apis": TALK,
    "context_tokens": 8_000,
    "input": ["text", "image"],
    "output": ["text"],
    "tools": False,
    "json_schema": False,
}
BOTH = {**SMALL, "apis": {**TALK, "responses": "native"}, "context_tokens": 200_000, "tools": True, "json_schema": True}
NONE = {"apis": {}, "input": [], "output": [], "tools": False, "json_schema": False}
EXPECTED: dict[str, dict[str, Any]] = {
    "both": BOTH,
    "claude-both": BOTH,
    "auto": {**BOTH, "input": ["text"]},
    "chat": {**BOTH, "input": ["text"]},
    "small": SMALL,
    "local": SMALL,
    "home": SMALL,
    "nowhere": NONE,
    "unknown": {
        "apis": {**TALK, "messages": "native"},
        "input": ["text", "image"],
        "output": ["text"],
        "tools": True,
        "json_schema": True,
    },
    "w-embed": {**NONE, "apis": {"embeddings": "native"}, "input": ["text"], "output": ["embedding"]},
}


async def told(box: Box, key: str | None = None) -> dict[str, dict[str, Any]]:
    return {model["id"]: model for model in (await box.request("/v1/models", key=key)).json["data"]}


async def test_every_name_says_what_its_deployments_can(box: Box) -> None:
    listed = await told(box)
    assert {name: listed[name]["signalbox"] for name in EXPECTED} == EXPECTED
    assert {member for model in listed.values() for member in model["signalbox"]} == set(MEMBERS)
    for name, model in listed.items():
        assert model.get("max_input_tokens") == model["signalbox"].get("context_tokens"), name
        assert (await box.request(f"/v1/models/{name}")).json == model


@pytest.mark.parametrize(("api", "path"), [("chat", "/v1/chat/completions"), ("embeddings", "/v1/embeddings")])
@pytest.mark.parametrize("name", EXPECTED)
async def test_what_is_told_is_what_happens(box: Box, name: str, api: str, path: str) -> None:
    said = {"messages": [{"role": "user", "content": "x"}]} if api == "chat" else {"input": "x"}
    answer = await box.request(path, {"model": name, **said})
    assert (answer.status == 200) is (api in EXPECTED[name]["apis"]), answer.body


async def test_a_key_is_told_of_its_own_calls_only(box: Box) -> None:
    talker = await told(box, await box.new_key(workloads=("both",), apis=("messages",)))
    assert talker["both"]["signalbox"]["apis"] == {"messages": "translated"}
    of_one = await told(box, await box.new_key(workloads=("both",), models=("local",)))
    assert of_one["both"]["signalbox"] == SMALL
    careful = await told(box, await box.new_key(workloads=("both",), data=("restricted",)))
    assert careful["both"]["signalbox"] == SMALL
    lone = await told(box, await box.new_key(workloads=("nowhere",)))
    assert lone["nowhere"]["signalbox"] == NONE
    for page in (talker, of_one, careful, lone):
        text = json.dumps(page)
        assert not any(secret in text for secret in ("-env", "sim-small", "127.0.0.1", '"chat"]'))


async def test_both_official_clients_read_it(box: Box) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{box.url}/v1", api_key=box.key, max_retries=0, _strict_response_validation=True
    ) as client:
        by_id = {model.id: model async for model in client.models.list()}
        assert by_id["both"].model_extra is not None
        assert by_id["both"].model_extra["signalbox"] == BOTH
        assert (await client.models.retrieve("small")).to_dict()["signalbox"] == SMALL
    async with anthropic.AsyncAnthropic(
        base_url=box.url, auth_token=box.key, max_retries=0, _strict_response_validation=True
    ) as claude:
        sizes = {model.id: model.max_input_tokens async for model in claude.models.list(limit=2)}
        assert (sizes["both"], sizes["small"], sizes["unknown"]) == (200_000, 8_000, None)
        one = await claude.models.retrieve("claude-both")
        assert (one.max_input_tokens, one.to_dict()["signalbox"]) == (200_000, BOTH)
