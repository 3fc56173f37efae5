"""The official OpenAI SDK through the gateway, over deployments that speak its protocol and others."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pydantic
import pytest

from harness import Box, simulated_config
from signalbox.simulator.faults import Rule

EVERY = ["w-chat", "w-responses", "w-messages"]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
FLAT_TOOL = {"type": "function", "strict": False, **TOOL["function"]}
ONE = 'Weather? [[tool:get_weather {"city":"Paris"}]]'
TWO = ONE + ' [[tool:get_weather {"city":"Rome"}]]'
PARIS, ROME = ("get_weather", '{"city":"Paris"}'), ("get_weather", '{"city":"Rome"}')


class Signal(pydantic.BaseModel):
    name: str
    lit: bool


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def assert_equal(row: dict[str, Any], usage: Any) -> None:
    """The tokens that the SDK reports are those of the ledger row."""
    assert row["state"] == "settled"
    assert row["usage_source"] == "provider"
    told_in = usage.prompt_tokens if hasattr(usage, "prompt_tokens") else usage.input_tokens
    told_out = usage.completion_tokens if hasattr(usage, "completion_tokens") else usage.output_tokens
    assert row["tokens_in"] + row["tokens_cache_read"] + row["tokens_cache_write"] == told_in > 0
    assert row["tokens_out"] == told_out > 0


async def streamed(client: openai.AsyncOpenAI, **asked: Any) -> tuple[list[Any], str]:
    chunks = [chunk async for chunk in await client.chat.completions.create(stream=True, **asked)]
    return chunks, "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


# --- chat ---


@pytest.mark.parametrize("model", EVERY)
async def test_chat_whole_and_streamed(oai: openai.AsyncOpenAI, box: Box, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "messages": user("Hello [[tokens:9]]"), "max_completion_tokens": 64}
    whole = await oai.chat.completions.create(**asked)
    text = whole.choices[0].message.content
    assert text is not None
    assert len(text.split()) == 9
    assert whole.choices[0].finish_reason == "stop"
    chunks, said = await streamed(oai, **asked, stream_options={"include_usage": True})
    assert said == text
    told = [chunk for chunk in chunks if chunk.usage is not None]
    assert len(told) == 1
    assert told[0] is chunks[-1]
    assert told[0].choices == []
    for row, usage in zip(await box.settled(2), (whole.usage, told[0].usage), strict=True):
        assert_equal(row, usage)


@pytest.mark.parametrize("model", EVERY)
async def test_chat_stream_without_asking_has_no_usage(oai: openai.AsyncOpenAI, box: Box, model: str) -> None:
    chunks, said = await streamed(oai, model=model, messages=user("Hello [[tokens:9]]"))
    assert len(said.split()) == 9
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    (row,) = await box.settled(1)
    assert row["usage_source"] == "provider"
    assert row["tokens_out"] == 9


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize(("text", "expected"), [(ONE, [PARIS]), (TWO, [PARIS, ROME])])
async def test_chat_tools(
    oai: openai.AsyncOpenAI, box: Box, model: str, text: str, expected: list[tuple[str, str]]
) -> None:
    asked: dict[str, Any] = {"model": model, "messages": user(text), "tools": [TOOL]}
    whole = await oai.chat.completions.create(**asked)
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert [(c.function.name, c.function.arguments) for c in calls if c.type == "function"] == expected
    assert whole.choices[0].finish_reason == "tool_calls"
    async with oai.chat.completions.stream(**asked) as stream:
        final = await stream.get_final_completion()
    again = final.choices[0].message.tool_calls
    assert again is not None
    assert [(c.function.name, c.function.arguments) for c in again if c.type == "function"] == expected
    assert len({call.id for call in again}) == len(expected)
    # The conversation goes on with the results of the tools.
    results = [{"role": "tool", "tool_call_id": call.id, "content": "Sunny."} for call in again]
    history = [*user(text), {"role": "assistant", "tool_calls": [call.model_dump() for call in calls]}]
    matching = [{**result, "tool_call_id": call.id} for result, call in zip(results, calls, strict=True)]
    answer = await oai.chat.completions.create(
        model=model, messages=[*history, *matching, *user("And? [[text:Go out.]]")], tools=[TOOL]
    )
    assert answer.choices[0].message.content == "Go out."
    assert_equal((await box.settled(3))[-1], answer.usage)


@pytest.mark.parametrize("model", EVERY)
async def test_chat_structured_output_parses(oai: openai.AsyncOpenAI, model: str) -> None:
    got = await oai.chat.completions.parse(model=model, messages=user("x"), response_format=Signal)
    assert got.choices[0].message.parsed == Signal(name="signal", lit=True)


async def test_chat_n_choices_whole_and_streamed(oai: openai.AsyncOpenAI, box: Box) -> None:
    asked: dict[str, Any] = {"model": "w-chat", "messages": user("[[tokens:5]]"), "n": 3}
    whole = await oai.chat.completions.create(**asked)
    texts = [choice.message.content for choice in whole.choices]
    assert len(texts) == 3
    chunks, _ = await streamed(oai, **asked, stream_options={"include_usage": True})
    again = ["", "", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            again[choice.index] += choice.delta.content or ""
    assert again == texts
    for row, usage in zip(await box.settled(2), (whole.usage, chunks[-1].usage), strict=True):
        assert_equal(row, usage)
        assert row["tokens_out"] == 15


async def test_n_that_the_target_cannot_do_is_refused_not_dropped(oai: openai.AsyncOpenAI, box: Box) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await oai.chat.completions.create(model="w-messages", messages=user("x"), n=2)
    assert raised.value.param == "n"
    assert box.bill() == []


@pytest.mark.parametrize("model", EVERY)
async def test_cached_and_reasoning_tokens_reach_sdk_and_ledger(oai: openai.AsyncOpenAI, box: Box, model: str) -> None:
    text = "x" * 400 + "[[cached:40]][[thinking:7]][[tokens:4]]"
    got = await oai.chat.completions.create(model=model, messages=user(text))
    (row,) = await box.settled(1)
    assert_equal(row, got.usage)
    assert got.usage is not None
    assert got.usage.prompt_tokens_details is not None
    assert got.usage.prompt_tokens_details.cached_tokens == row["tokens_cache_read"] == 40
    assert got.usage.completion_tokens == 11
    assert got.usage.completion_tokens_details is not None
    assert got.usage.completion_tokens_details.reasoning_tokens == 7


# --- responses ---


@pytest.mark.parametrize("model", EVERY)
async def test_responses_whole_and_streamed(oai: openai.AsyncOpenAI, box: Box, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "input": "Hello [[tokens:9]]", "max_output_tokens": 64}
    whole = await oai.responses.create(**asked)
    assert whole.status == "completed"
    assert len(whole.output_text.split()) == 9
    async with oai.responses.stream(**asked) as stream:
        said = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
        final = await stream.get_final_response()
    assert said == final.output_text == whole.output_text
    for row, usage in zip(await box.settled(2), (whole.usage, final.usage), strict=True):
        assert_equal(row, usage)


@pytest.mark.parametrize("model", EVERY)
async def test_responses_tools(oai: openai.AsyncOpenAI, box: Box, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "input": TWO, "tools": [FLAT_TOOL]}
    whole = await oai.responses.create(**asked)
    calls = [item for item in whole.output if item.type == "function_call"]
    assert [(call.name, call.arguments) for call in calls] == [PARIS, ROME]
    async with oai.responses.stream(**asked) as stream:
        final = await stream.get_final_response()
    assert [(i.name, i.arguments) for i in final.output if i.type == "function_call"] == [PARIS, ROME]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."} for call in calls]
    history: list[Any] = [*user(TWO), *(call.model_dump() for call in calls), *results, *user("[[text:Go out.]]")]
    answer = await oai.responses.create(model=model, input=history, tools=[FLAT_TOOL])
    assert answer.output_text == "Go out."
    assert_equal((await box.settled(3))[-1], answer.usage)


@pytest.mark.parametrize("model", EVERY)
async def test_responses_structured_output_parses(oai: openai.AsyncOpenAI, model: str) -> None:
    got = await oai.responses.parse(model=model, input="x", text_format=Signal)
    assert got.output_parsed == Signal(name="signal", lit=True)


# --- the rest ---


@pytest.mark.parametrize("model", EVERY)
async def test_text_completions(box: Box, model: str) -> None:
    # The SDK's own type has no null finish_reason, which every provider streams: hence not the strict client.
    async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key=box.key, max_retries=0) as client:
        whole = await client.completions.create(model=model, prompt="Hello [[tokens:9]]", max_tokens=64)
        stream = await client.completions.create(
            model=model, prompt="Hello [[tokens:9]]", max_tokens=64, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    told = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert len(told) == 1
    for row, usage in zip(await box.settled(2), (whole.usage, told[0]), strict=True):
        assert_equal(row, usage)


async def test_embeddings_as_floats_and_as_the_sdk_asks(box: Box) -> None:
    # The SDK asks for base64 and decodes it itself, which its strict validation does not know.
    async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key=box.key, max_retries=0) as client:
        packed = await client.embeddings.create(model="w-embed", input=["one", "two"])
        floats = await client.embeddings.create(model="w-embed", input=["one", "two"], encoding_format="float")
    assert [len(item.embedding) for item in packed.data] == [256, 256]
    assert packed.data[1].embedding == pytest.approx(floats.data[1].embedding, abs=1e-5)
    rows = await box.settled(2)
    assert [row["tokens_in"] for row in rows] == [packed.usage.prompt_tokens, floats.usage.prompt_tokens]


async def test_models(oai: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in oai.models.list()]
    assert {"w-chat", "chat", "auto"} <= set(names)
    assert (await oai.models.retrieve("w-chat")).id == "w-chat"
    with pytest.raises(openai.NotFoundError):
        await oai.models.retrieve("nothing")


async def test_the_sync_client(box: Box) -> None:
    def call() -> str | None:
        with openai.OpenAI(base_url=f"{box.url}/v1", api_key=box.key) as client:
            return (
                client.chat.completions.create(model="w-chat", messages=user("[[text:Hi.]]")).choices[0].message.content
            )

    assert await asyncio.to_thread(call) == "Hi."


# --- errors and identity ---


async def test_request_ids_are_readable_and_are_the_ledgers(oai: openai.AsyncOpenAI, box: Box) -> None:
    got = await oai.chat.completions.create(model="w-chat", messages=user("x"))
    (row,) = await box.settled(1)
    assert got._request_id == row["call_id"]
    with pytest.raises(openai.NotFoundError) as raised:
        await oai.chat.completions.create(model="nothing", messages=user("x"))
    assert raised.value.request_id
    assert raised.value.code == "model_not_found"


async def test_a_wrong_key(box: Box) -> None:
    async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key="sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            await client.chat.completions.create(model="w-chat", messages=user("x"))
    assert raised.value.code == "invalid_api_key"


async def test_no_permitted_placement_is_not_retried(box: Box) -> None:
    async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key=box.key, max_retries=2) as client:
        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(model="w-barred", messages=user("x"))
    assert raised.value.code == "no_permitted_placement"
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert box.sim.log.entries == []


async def test_a_body_too_large(box: Box) -> None:
    assert not await box.configure(simulated_config(box.sim, server={"body_bytes_max": 4096}))
    async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key=box.key, max_retries=2) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            await client.chat.completions.create(model="w-chat", messages=user("x" * 8192))
    assert raised.value.status_code == 413
    assert box.sim.log.entries == []


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize(
    ("status", "kind", "calls"),
    [
        (400, openai.BadRequestError, 1),
        (422, openai.UnprocessableEntityError, 1),
        (413, openai.APIStatusError, 1),
        (401, openai.InternalServerError, 1),
        (429, openai.RateLimitError, 2),
        (529, openai.InternalServerError, 2),
    ],
)
async def test_upstream_errors_are_the_right_exceptions_and_retried_only_where_it_helps(
    box: Box, model: str, status: int, kind: type[openai.APIStatusError], calls: int
) -> None:
    box.sim.faults.add(Rule(fault=str(status)))
    async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key=box.key, max_retries=1) as client:
        with pytest.raises(kind) as raised:
            await client.chat.completions.create(model=model, messages=user("x"))
    assert raised.value.status_code == (503 if status == 401 else status)
    # Where it may help, the gateway tries again as well, within the attempts of a call.
    sent = len(box.sim.log.entries)
    assert sent == calls if calls == 1 else calls <= sent <= 3 * calls
    rows = await box.settled(sent)
    assert {(row["state"], row["cost_usd"]) for row in rows} == {("failed", "0")}


@pytest.mark.parametrize("model", EVERY)
async def test_overloaded_once_then_served(box: Box, model: str) -> None:
    box.sim.faults.add(Rule(fault="529;once"))
    async with openai.AsyncOpenAI(base_url=f"{box.url}/v1", api_key=box.key, max_retries=2) as client:
        got = await client.chat.completions.create(model=model, messages=user("[[text:Here.]]"))
    assert got.choices[0].message.content == "Here."
    assert [row["state"] for row in await box.settled(2)] == ["failed", "settled"]


@pytest.mark.parametrize("model", EVERY)
async def test_a_stream_that_dies_is_an_error_never_an_answer(oai: openai.AsyncOpenAI, box: Box, model: str) -> None:
    box.sim.faults.add(Rule(fault="eof@5"))
    with pytest.raises(openai.APIError):
        await streamed(oai, model=model, messages=user("[[tokens:40]]"))
    with pytest.raises(openai.APIError):
        async for _ in await oai.responses.create(model=model, input="[[tokens:40]]", stream=True):
            pass
