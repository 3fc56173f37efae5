"""Counting the input of a Responses body: an estimate that says so, of a body that is checked like a call's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from harness import Box, running

PATH = "/v1/responses/input_tokens"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    path: Path = tmp_path_factory.mktemp("counting") / "state"
    async with running(path) as made:
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("model", ["w-chat", "w-responses", "auto"])
async def test_the_sdk_gets_a_number_not_below_what_is_billed(box: Box, model: str) -> None:
    before = len(box.bill())
    asked: dict[str, Any] = {
        "instructions": "You answer in one word.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "How many tokens is this? " * 40}]}],
        "tools": [{"type": "function", "name": "f", "strict": False, "parameters": {"type": "object"}}],
    }
    async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key=box.key, max_retries=0) as client:
        counted = await client.responses.input_tokens.count(model=model, **asked)
        assert counted.object == "response.input_tokens"
        assert len(box.bill()) == before, "nothing leaves"
        told = await client.responses.create(model="w-responses", max_output_tokens=16, **asked)
    assert told.usage is not None
    assert told.usage.input_tokens <= counted.input_tokens < 20 * told.usage.input_tokens


async def test_an_estimate_says_so(box: Box) -> None:
    answer = await box.request(PATH, {"model": "w-chat", "input": "Hello"})
    assert (answer.status, answer.headers["x-signalbox-reason"]) == (200, "estimated")
    more = await box.request(PATH, {"model": "w-chat", "input": "Hello", "instructions": "Be brief. " * 50})
    assert more.json["input_tokens"] > answer.json["input_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": "x", "model": "nobody"}, 404, "model"),
        ({"input": "x", "model": 7}, 400, "model"),
        ({"input": "x"}, 400, "model"),
        ({"model": "auto", "input": 7}, 400, "input"),
        ({"model": "auto", "input": [7]}, 400, "input[0]"),
        ({"model": "auto", "input": "x", "previous_response_id": "resp_1"}, 400, "previous_response_id"),
        ({"model": "auto", "input": "x", "conversation": "conv_1"}, 400, "conversation"),
        ({"model": "auto", "prompt": {"id": "pmpt_1"}}, 400, "prompt"),
        ({"model": "auto", "input": [{"type": "item_reference", "id": "msg_1"}]}, 400, "input[0]"),
        (b'{"input":"x","input":"y"}', 400, None),
        (b"{", 400, None),
    ],
)
async def test_bad_input(box: Box, body: Any, status: int, param: str | None) -> None:
    answer = await box.request(PATH, body)
    assert (answer.status, answer.json["error"]["param"]) == (status, param), answer.body


async def test_it_takes_a_key(box: Box) -> None:
    assert (await box.request(PATH, {"input": "x"}, key="")).status == 401
    assert (await box.request(PATH, method="GET")).status == 405
