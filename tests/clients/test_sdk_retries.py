"""What the official SDKs' own retries come to together with the gateway's, while everything fails, and afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from harness import Box

APIS = ("chat", "responses", "messages")
# Deployments are counted by name, so that each cell has its own, of which nothing is known.
ENVIRONMENTS = ("openai-env", "azure-env", "vllm-env", "anthropic-env")
CELLS = [(api, stream, places) for api in APIS for stream in (False, True) for places in (1, 2, 3, 4)]


def name_of(api: str, stream: bool, places: int) -> str:
    return f"{api}-{'stream' if stream else 'whole'}-{places}"


async def configure(box: Box, model: str) -> None:
    """A workload for each cell, with as many deployments of this model in environments of their own."""
    config = dict(box.config)
    deployments, workloads = dict(config["deployments"]), dict(config["workloads"])
    for api, stream, places in CELLS:
        name = name_of(api, stream, places)
        placements = [f"{name}-at-{place}" for place in range(places)]
        for place, environment in zip(placements, ENVIRONMENTS, strict=False):
            deployments[place] = {**deployments[api], "environment": environment, "model": model}
        workloads[name] = {"placements": placements}
    assert not await box.configure({**config, "deployments": deployments, "workloads": workloads})


async def asked(box: Box, api: str, model: str, stream: bool, text: str = "hi") -> str:
    """The answer's text, or the name of what was raised, with the retries that the SDK makes when nobody tells it."""
    said: list[dict[str, Any]] = [{"role": "user", "content": text}]
    try:
        if api == "messages":
            async with anthropic.AsyncAnthropic(base_url=box.url, auth_token=box.key) as ant:
                if stream:
                    async with ant.messages.stream(model=model, max_tokens=20, messages=said) as events:
                        return await events.get_final_text()
                message = await ant.messages.create(model=model, max_tokens=20, messages=said)
                return message.content[0].text
        async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key=box.key) as oai:
            if api == "responses":
                if stream:
                    async with oai.responses.stream(model=model, input=text) as events:
                        return (await events.get_final_response()).output_text
                return (await oai.responses.create(model=model, input=text)).output_text
            if stream:
                stream_of = await oai.chat.completions.create(model=model, messages=said, stream=True)
                chunks = [chunk async for chunk in stream_of]
                return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
            completion = await oai.chat.completions.create(model=model, messages=said)
            return completion.choices[0].message.content or ""
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return f"{error.status_code} after {error.response.request.headers['x-stainless-retry-count']} retries"


@pytest.mark.parametrize("fault", ["503", "529"])
async def test_while_everything_fails_one_request_makes_four_calls_whatever_its_sdk_repeats(
    box: Box, fault: str
) -> None:
    await configure(box, f"sim-small!{fault}")
    ends = await asyncio.gather(*(asked(box, api, name_of(api, stream, n), stream) for api, stream, n in CELLS))
    assert set(ends) <= {f"{fault} after 2 retries", "503 after 2 retries"}
    rows = box.rows()
    made = {cell: [row for row in rows if row["workload"] == name_of(*cell)] for cell in CELLS}
    assert {cell: len(found) for cell, found in made.items()} == dict.fromkeys(CELLS, 4)
    for (_, _, places), found in made.items():
        assert len({row["deployment"] for row in found}) == places, "each of the placements was tried"
    assert len(box.sim.log.entries) == len(rows)


async def test_a_body_that_breaks_everything_makes_four_calls_at_most(box: Box) -> None:
    """One more in place for what may be an accident, and no more than two places are broken by it."""
    await configure(box, "sim-small!500")
    ends = await asyncio.gather(*(asked(box, api, name_of(api, stream, n), stream) for api, stream, n in CELLS))
    assert {end.partition(" ")[0] for end in ends} == {"502"}
    made = Counter(row["workload"] for row in box.rows())
    assert {made[name_of(*cell)] for cell in CELLS if cell[2] == 1} == {4}
    assert max(made.values()) == 4


async def test_when_a_placement_is_back_the_sdks_own_retry_is_answered(box: Box) -> None:
    """The gateway's own attempts are over by then: they take less than the fault does."""
    await configure(box, "sim-small")
    box.sim.fault("503;for=1.5")
    text = "[[text:Back.]]"
    ends = await asyncio.gather(*(asked(box, api, name_of(api, stream, n), stream, text) for api, stream, n in CELLS))
    assert set(ends) == {"Back."}


async def test_a_repeat_may_ask_all_that_work(box: Box) -> None:
    """The bound is for those that fail: a client that comes back is served by whoever can."""
    box.sim.fault("500", provider="openai")
    repeat = {"x-stainless-retry-count": "1"}
    for number in range(6):
        body = {"model": "w-fallback", "messages": [{"role": "user", "content": f"hi {number}"}]}
        answer = await box.request("/v1/chat/completions", body, headers=repeat)
        assert (answer.status, answer.headers["x-signalbox-placement"]) == (200, "local@vllm-env")


@pytest.mark.parametrize("told", [None, "", "x", "-1", "²", "1" * 400])
async def test_a_client_that_does_not_count_gets_every_attempt_of_the_gateway(box: Box, told: str | None) -> None:
    box.sim.fault("503")
    body = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]}
    async with httpx2.AsyncClient(base_url=box.url, headers={"authorization": f"Bearer {box.key}"}) as client:
        headers = {} if told is None else {"x-stainless-retry-count": told.encode()}
        answer = await client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 503
    assert len(box.sim.log.entries) == 3
