"""A real model engine behind the gateway, called by the official SDKs: whole, streamed, translated, cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest

from harness import Box

MESSAGES: list[Any] = [{"role": "user", "content": "the signal stands at danger"}]


@pytest.fixture
async def oai(box: Box) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key=box.key, max_retries=0) as client:
        yield client


@pytest.fixture
async def ant(box: Box) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=box.url, auth_token=box.key, max_retries=0) as client:
        yield client


def assert_row(row: dict[str, Any], tokens_in: int, tokens_out: int) -> None:
    assert (row["state"], row["usage_source"]) == ("settled", "provider")
    assert (row["tokens_in"], row["tokens_out"]) == (tokens_in, tokens_out)
    assert Decimal(row["cost_usd"]) == Decimal(tokens_in + 2 * tokens_out) / 10**6


async def test_chat_whole_and_streamed(oai: openai.AsyncOpenAI, box: Box, relay: Any) -> None:
    asked: dict[str, Any] = {"model": "w-engine", "messages": MESSAGES, "max_tokens": 24}
    whole = await oai.chat.completions.create(**asked)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 24
    chunks = [chunk async for chunk in await oai.chat.completions.create(**asked, stream=True)]
    assert "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices) == whole.choices[0].message.content
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["length"]
    rows = await box.settled(2)
    for row in rows:
        assert_row(row, whole.usage.prompt_tokens, 24)


@pytest.mark.parametrize("asks_for_usage", [False, True])
async def test_a_stream_without_done_ends_with_done_and_tells_usage_once(
    box: Box, relay: Any, asks_for_usage: bool
) -> None:
    options = {"stream_options": {"include_usage": True}} if asks_for_usage else {}
    began = time.monotonic()
    answer = await box.request(
        "/v1/chat/completions",
        {"model": "w-engine", "messages": MESSAGES, "max_tokens": 8, "stream": True, **options},
    )
    assert b"[DONE]" not in relay.received, "the engine ends its streams itself now: this test has lost its point"
    assert answer.status == 200
    assert answer.events[-1] == "data: [DONE]"
    assert sum('"usage":{' in event for event in answer.events) == 1
    assert time.monotonic() - began < 4, "a finished stream waits for nothing"
    (row,) = await box.settled(1)
    assert row["usage_source"] == "provider"


async def test_text_completions(oai: openai.AsyncOpenAI, box: Box) -> None:
    asked: dict[str, Any] = {"model": "w-engine", "prompt": "the signal", "max_tokens": 8}
    whole = await oai.completions.create(**asked)
    chunks = [chunk async for chunk in await oai.completions.create(**asked, stream=True)]
    assert "".join(c.text for chunk in chunks for c in chunk.choices) == whole.choices[0].text
    assert whole.usage is not None
    for row in await box.settled(2):
        assert_row(row, whole.usage.prompt_tokens, 8)


async def test_messages_and_responses_are_translated(
    oai: openai.AsyncOpenAI, ant: anthropic.AsyncAnthropic, box: Box
) -> None:
    chat = await oai.chat.completions.create(model="w-engine", messages=MESSAGES, max_tokens=16)
    said = chat.choices[0].message.content
    message = await ant.messages.create(model="w-engine", messages=MESSAGES, max_tokens=16)
    assert [block.text for block in message.content if block.type == "text"] == [said]
    assert message.stop_reason == "max_tokens"
    async with ant.messages.stream(model="w-engine", messages=MESSAGES, max_tokens=16) as stream:
        streamed = await stream.get_final_message()
    assert [block.text for block in streamed.content if block.type == "text"] == [said]
    assert streamed.usage.output_tokens == 16
    response = await oai.responses.create(model="w-engine", input=MESSAGES, max_output_tokens=16)
    assert response.output_text == said
    events = await oai.responses.create(model="w-engine", input=MESSAGES, max_output_tokens=16, stream=True)
    *_, last = [event async for event in events]
    assert last.type == "response.incomplete"
    assert last.response.output_text == said
    for row in await box.settled(5):
        assert_row(row, message.usage.input_tokens, 16)


async def test_a_client_that_goes_away_closes_the_engines_connection(
    oai: openai.AsyncOpenAI, box: Box, relay: Any
) -> None:
    stream = await oai.chat.completions.create(model="w-engine", messages=MESSAGES, max_tokens=3500, stream=True)
    seen = 0
    async for chunk in stream:
        seen += bool(chunk.choices and chunk.choices[0].delta.content)
        if seen == 5:
            break
    assert relay.open == 1
    gone = time.monotonic()
    await stream.close()
    while relay.open and time.monotonic() - gone < 2:
        await asyncio.sleep(0.01)
    assert relay.open == 0
    assert time.monotonic() - gone < 3
    (row,) = await box.settled(1)
    assert (row["state"], row["usage_source"]) == ("cancelled", "estimated")
    assert 5 <= row["tokens_out"] < 3500
    again = await oai.chat.completions.create(model="w-engine", messages=MESSAGES, max_tokens=4)
    assert again.usage is not None
    assert again.usage.completion_tokens == 4


async def test_what_the_engine_refuses_reaches_the_caller_in_its_own_words(oai: openai.AsyncOpenAI, box: Box) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as raised:
        await oai.chat.completions.create(model="w-engine", messages=MESSAGES, extra_body={"bogus": 1})
    assert "bogus" in raised.value.response.json()["detail"]
    (row,) = await box.settled(1)
    assert (row["state"], row["cost_usd"]) == ("failed", "0")
