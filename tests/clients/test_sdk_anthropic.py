"""The official Anthropic SDK through the gateway, over deployments that speak its protocol and others."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import pytest

from harness import Box, simulated_config
from signalbox.simulator.faults import Rule

EVERY = ["w-messages", "w-chat", "w-responses"]
TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ONE = 'Weather? [[tool:get_weather {"city":"Paris"}]]'
TWO = ONE + ' [[tool:get_weather {"city":"Rome"}]]'


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def said(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def called(message: Any) -> list[tuple[str, Any]]:
    return [(block.name, block.input) for block in message.content if block.type == "tool_use"]


def assert_equal(row: dict[str, Any], usage: Any) -> None:
    """The tokens that the SDK reports are those of the ledger row, class by class."""
    assert (row["state"], row["usage_source"]) == ("settled", "provider")
    assert row["tokens_in"] == usage.input_tokens > 0
    assert row["tokens_cache_read"] == (usage.cache_read_input_tokens or 0)
    assert row["tokens_cache_write"] == (usage.cache_creation_input_tokens or 0)
    assert row["tokens_out"] == usage.output_tokens > 0


@pytest.mark.parametrize("model", EVERY)
async def test_messages_whole_and_streamed(ant: anthropic.AsyncAnthropic, box: Box, model: str) -> None:
    asked: dict[str, Any] = {
        "model": model,
        "max_tokens": 64,
        "system": "Be brief.",
        "messages": user("x" * 400 + "[[tokens:9]][[cached:40]]"),
    }
    whole = await ant.messages.create(**asked)
    assert len(said(whole).split()) == 9
    assert whole.stop_reason == "end_turn"
    assert whole.usage.cache_read_input_tokens == 40
    async with ant.messages.stream(**asked) as stream:
        pieces = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(pieces) == said(final) == said(whole)
    assert len(pieces) > 1
    for row, usage in zip(await box.settled(2), (whole.usage, final.usage), strict=True):
        assert_equal(row, usage)


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ONE, [("get_weather", {"city": "Paris"})]),
        (TWO, [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]),
    ],
)
async def test_tools(
    ant: anthropic.AsyncAnthropic, box: Box, model: str, text: str, expected: list[tuple[str, Any]]
) -> None:
    asked: dict[str, Any] = {"model": model, "max_tokens": 256, "messages": user(text), "tools": [TOOL]}
    whole = await ant.messages.create(**asked)
    assert called(whole) == expected
    assert whole.stop_reason == "tool_use"
    async with ant.messages.stream(**asked) as stream:
        final = await stream.get_final_message()
    assert called(final) == expected
    # The conversation goes on with the results of the tools.
    results: list[Any] = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "Sunny."}
        for block in final.content
        if block.type == "tool_use"
    ]
    history: list[Any] = [
        *user(text),
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in final.content]},
        {"role": "user", "content": [*results, {"type": "text", "text": "[[text:Go out.]]"}]},
    ]
    answer = await ant.messages.create(model=model, max_tokens=64, messages=history, tools=[TOOL])
    assert said(answer) == "Go out."
    assert_equal((await box.settled(3))[-1], answer.usage)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
@pytest.mark.parametrize("model", EVERY)
async def test_a_forced_tool_is_called(ant: anthropic.AsyncAnthropic, model: str, choice: dict[str, Any]) -> None:
    got = await ant.messages.create(
        model=model, max_tokens=256, messages=user("hello"), tools=[TOOL], tool_choice=choice
    )
    assert called(got) == [("get_weather", {"city": "signal"})]


async def test_thinking_is_kept_with_its_signature_and_counted(ant: anthropic.AsyncAnthropic, box: Box) -> None:
    asked: dict[str, Any] = {
        "model": "w-messages",
        "max_tokens": 4096,
        "messages": user("[[thinking:12]][[tokens:5]]"),
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    whole = await ant.messages.create(**asked)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    async with ant.messages.stream(**asked) as stream:
        final = await stream.get_final_message()
    thought = final.content[0]
    assert thought.type == "thinking"
    assert thought.thinking
    assert thought.signature
    # What was thought goes back unread and byte for byte.
    history: list[Any] = [
        *user("first"),
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in final.content]},
        *user("[[text:Next.]]"),
    ]
    again = await ant.messages.create(**{**asked, "messages": history})
    assert said(again) == "Next."
    assert thought.signature.encode() in box.sim.log.entries[-1].body
    rows = await box.settled(3)
    for row, usage in zip(rows, (whole.usage, final.usage, again.usage), strict=True):
        assert_equal(row, usage)
    assert rows[0]["tokens_out"] == 17


@pytest.mark.parametrize("model", ["w-chat", "w-responses"])
async def test_foreign_reasoning_is_counted(ant: anthropic.AsyncAnthropic, box: Box, model: str) -> None:
    got = await ant.messages.create(model=model, max_tokens=256, messages=user("[[thinking:12]][[tokens:5]]"))
    assert len(said(got).split()) == 5
    (row,) = await box.settled(1)
    assert_equal(row, got.usage)
    assert row["tokens_out"] == 17


async def test_count_tokens_is_the_providers_or_an_estimate(ant: anthropic.AsyncAnthropic, box: Box) -> None:
    asked: dict[str, Any] = {"messages": user("How many tokens is this?"), "tools": [TOOL]}
    exact = await ant.messages.count_tokens(model="w-messages", **asked)
    told = await ant.messages.create(model="w-messages", max_tokens=8, **asked)
    assert exact.input_tokens == told.usage.input_tokens
    estimated = await ant.messages.count_tokens(model="w-chat", **asked)
    assert estimated.input_tokens >= exact.input_tokens


async def test_models(ant: anthropic.AsyncAnthropic) -> None:
    names = [model.id async for model in ant.models.list(limit=1000)]
    assert {"w-messages", "messages", "auto"} <= set(names)
    assert (await ant.models.retrieve("w-messages")).display_name == "w-messages"
    with pytest.raises(anthropic.NotFoundError) as missed:
        await ant.models.retrieve("nothing")
    assert missed.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    async with anthropic.AsyncAnthropic(base_url=str(ant.base_url), api_key="sk-wrong") as stranger:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            await stranger.models.list()
    assert refused.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]


@pytest.mark.parametrize("model", ["w-chat", "w-responses"])
async def test_the_tool_runner_goes_on_without_a_thread_where_there_are_none(
    ant: anthropic.AsyncAnthropic, box: Box, model: str
) -> None:
    """The SDK keeps a runner's conversation at the provider unless it is told that it cannot."""
    cities: list[str] = []

    @anthropic.beta_async_tool
    async def get_weather(city: str) -> str:
        """The weather in a city."""
        cities.append(city)
        return "rain"

    runner = ant.beta.messages.tool_runner(
        model=model, max_tokens=99, messages=user(ONE), tools=[get_weather], max_iterations=2
    )
    answers = [message async for message in runner]
    assert cities[0] == "Paris"
    assert answers[0].stop_reason == "tool_use"
    rows = await box.settled(2)
    assert {row["state"] for row in rows} == {"settled"}


async def test_the_sync_client_with_an_api_key_header(box: Box) -> None:
    def call() -> str:
        with anthropic.Anthropic(base_url=box.url, api_key=box.key) as client:
            return said(client.messages.create(model="w-messages", max_tokens=9, messages=user("[[text:Hi.]]")))

    assert await asyncio.to_thread(call) == "Hi."


# --- errors and identity ---


async def test_request_ids_are_readable_and_are_the_ledgers(ant: anthropic.AsyncAnthropic, box: Box) -> None:
    got = await ant.messages.create(model="w-chat", max_tokens=9, messages=user("x"))
    (row,) = await box.settled(1)
    assert got._request_id == row["call_id"]
    with pytest.raises(anthropic.NotFoundError) as raised:
        await ant.messages.create(model="nothing", max_tokens=9, messages=user("x"))
    assert raised.value.request_id
    assert raised.value.body["request_id"] == raised.value.request_id  # type: ignore[index]


async def test_a_wrong_key(box: Box) -> None:
    async with anthropic.AsyncAnthropic(base_url=box.url, api_key="sk-wrong") as client:
        with pytest.raises(anthropic.AuthenticationError) as raised:
            await client.messages.create(model="w-messages", max_tokens=9, messages=user("x"))
    assert raised.value.response.request.headers["x-stainless-retry-count"] == "0"


async def test_no_permitted_placement_is_not_retried(box: Box) -> None:
    async with anthropic.AsyncAnthropic(base_url=box.url, auth_token=box.key, max_retries=2) as client:
        with pytest.raises(anthropic.BadRequestError) as raised:
            await client.messages.create(model="w-barred", max_tokens=9, messages=user("x"))
    assert raised.value.response.headers["x-signalbox-reason"] == "no_permitted_placement"
    assert raised.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert box.sim.log.entries == []


async def test_a_body_too_large(box: Box) -> None:
    assert not await box.configure(simulated_config(box.sim, server={"body_bytes_max": 4096}))
    async with anthropic.AsyncAnthropic(base_url=box.url, auth_token=box.key) as client:
        with pytest.raises(anthropic.RequestTooLargeError):
            await client.messages.create(model="w-messages", max_tokens=9, messages=user("x" * 8192))
    assert box.sim.log.entries == []


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize(
    ("status", "kind", "calls"),
    [
        (400, anthropic.BadRequestError, 1),
        (413, anthropic.RequestTooLargeError, 1),
        (422, anthropic.UnprocessableEntityError, 1),
        (401, anthropic.ServiceUnavailableError, 1),
        (429, anthropic.RateLimitError, 2),
        (529, anthropic.OverloadedError, 2),
    ],
)
async def test_upstream_errors_are_the_right_exceptions_and_retried_only_where_it_helps(
    box: Box, model: str, status: int, kind: type[anthropic.APIStatusError], calls: int
) -> None:
    box.sim.faults.add(Rule(fault=str(status)))
    async with anthropic.AsyncAnthropic(base_url=box.url, auth_token=box.key, max_retries=1) as client:
        with pytest.raises(kind):
            await client.messages.create(model=model, max_tokens=9, messages=user("x"))
    # Where it may help, the gateway tries again as well, within the attempts of a call.
    sent = len(box.sim.log.entries)
    assert sent == calls if calls == 1 else calls <= sent <= 3 * calls
    rows = await box.settled(sent)
    assert {(row["state"], row["cost_usd"]) for row in rows} == {("failed", "0")}


@pytest.mark.parametrize("model", EVERY)
async def test_overloaded_once_then_served(box: Box, model: str) -> None:
    box.sim.faults.add(Rule(fault="529;once"))
    async with (
        anthropic.AsyncAnthropic(base_url=box.url, auth_token=box.key, max_retries=2) as client,
        client.messages.stream(model=model, max_tokens=9, messages=user("[[text:Here.]]")) as stream,
    ):
        assert said(await stream.get_final_message()) == "Here."
    assert [row["state"] for row in await box.settled(2)] == ["failed", "settled"]


@pytest.mark.parametrize("model", EVERY)
async def test_a_stream_that_dies_is_an_error_never_an_answer(
    ant: anthropic.AsyncAnthropic, box: Box, model: str
) -> None:
    box.sim.faults.add(Rule(fault="eof@5"))
    with pytest.raises(anthropic.APIStatusError):
        async with ant.messages.stream(model=model, max_tokens=99, messages=user("[[tokens:40]]")) as stream:
            await stream.get_final_message()


async def test_beta_headers_and_fields_travel_together_unchanged(ant: anthropic.AsyncAnthropic, box: Box) -> None:
    betas = ["context-management-2025-06-27", "interleaved-thinking-2025-05-14"]
    await ant.beta.messages.create(
        model="w-messages",
        max_tokens=9,
        messages=user("x"),
        betas=betas,
        extra_body={"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
    )
    entry = box.sim.log.entries[-1]
    assert entry.header("anthropic-beta") == ",".join(betas)
    assert b'"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]}' in entry.body
    assert entry.path.endswith("/v1/messages")


@pytest.mark.parametrize("model", EVERY)
async def test_a_system_message_behind_the_turn_is_carried(box: Box, model: str) -> None:
    """Coding agents put instructions there; where the target cannot, they move to the front and the answer says so."""
    async with anthropic.AsyncAnthropic(base_url=box.url, auth_token=box.key) as client:
        got = await client.messages.with_raw_response.create(
            model=model,
            max_tokens=99,
            messages=[*user("[[text:Hi.]]"), {"role": "system", "content": "Be the signalman."}],
        )
    assert said(await got.parse()) == "Hi."
    assert b"Be the signalman." in box.sim.log.entries[-1].body
    assert ("system_position" in got.headers.get("x-signalbox-dropped", "")) == (model != "w-messages")
