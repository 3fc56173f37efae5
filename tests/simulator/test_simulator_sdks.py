"""The official SDKs take the simulator for their provider: every protocol, streamed and not, tools, errors."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pydantic
import pytest

from signalbox.simulator import Simulator

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
WEATHER = 'Weather? [[tool:get_weather {"city":"Paris"}]] [[tool:get_weather {"city":"Rome","in":[[1]]}]]'


def user(text: str) -> list:
    return [{"role": "user", "content": text}]


@pytest.fixture
async def oai(sim: Simulator):
    async with openai.AsyncOpenAI(
        base_url=sim.base_url("openai"), api_key="sk-x", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
async def ant(sim: Simulator):
    async with anthropic.AsyncAnthropic(
        base_url=sim.base_url("anthropic", "anthropic"),
        api_key="sk-x",
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        yield client


async def test_chat_whole_and_streamed_say_the_same(oai):
    whole = await oai.chat.completions.create(model="sim-small", messages=user("hello"))
    text, usage, finish = "", None, None
    stream = await oai.chat.completions.create(
        model="sim-small", messages=user("hello"), stream=True, stream_options={"include_usage": True}
    )
    first = True
    async for chunk in stream:
        if first:
            assert chunk.choices[0].delta.role == "assistant"
            first = False
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
    assert whole.choices[0].message.content == text
    assert usage == whole.usage
    assert finish == whole.choices[0].finish_reason == "stop"
    assert whole.usage.prompt_tokens == 3 + 2
    assert whole.usage.completion_tokens == 16


async def test_chat_usage_chunk_only_when_asked(oai):
    stream = await oai.chat.completions.create(model="sim-small", messages=user("hello"), stream=True)
    async for chunk in stream:
        assert chunk.choices
        assert chunk.usage is None


async def test_chat_tools_in_parallel_streamed_and_whole(oai):
    whole = await oai.chat.completions.create(model="sim-small", messages=user(WEATHER), tools=[TOOL])
    calls = [(c.function.name, c.function.arguments) for c in whole.choices[0].message.tool_calls]
    assert calls == [("get_weather", '{"city":"Paris"}'), ("get_weather", '{"city":"Rome","in":[[1]]}')]
    assert whole.choices[0].finish_reason == "tool_calls"
    async with oai.chat.completions.stream(model="sim-small", messages=user(WEATHER), tools=[TOOL]) as stream:
        final = await stream.get_final_completion()
    assert [(c.function.name, c.function.arguments) for c in final.choices[0].message.tool_calls] == calls


async def test_a_tool_directive_without_the_tool_is_text(oai):
    whole = await oai.chat.completions.create(model="sim-small", messages=user(WEATHER))
    assert whole.choices[0].message.tool_calls is None
    assert whole.choices[0].message.content


async def test_chat_limits_stop_and_n(oai):
    cut = await oai.chat.completions.create(model="sim-small", messages=user("[[tokens:50]]"), max_tokens=5, n=3)
    assert [c.finish_reason for c in cut.choices] == ["length"] * 3
    assert cut.usage.completion_tokens == 15
    assert len({c.message.content for c in cut.choices}) == 3
    stopped = await oai.chat.completions.create(
        model="sim-small", messages=user("[[text:one two three four]]"), stop=["three"]
    )
    assert stopped.choices[0].message.content == "one two "
    assert stopped.choices[0].finish_reason == "stop"


async def test_chat_usage_classes_are_scripted(oai):
    got = await oai.chat.completions.create(
        model="sim-small", messages=user("x" * 400 + "[[cached:40]][[cache_write:20]][[thinking:9]][[tokens:4]]")
    )
    usage = got.usage
    assert usage.prompt_tokens_details.cached_tokens == 40
    assert usage.prompt_tokens_details.cache_write_tokens == 20
    assert usage.completion_tokens == 13
    assert usage.completion_tokens_details.reasoning_tokens == 9


async def test_structured_output_parses(oai, ant):
    class Signal(pydantic.BaseModel):
        name: str
        lit: bool

    got = await oai.chat.completions.parse(model="sim-small", messages=user("x"), response_format=Signal)
    assert got.choices[0].message.parsed == Signal(name="signal", lit=True)
    response = await oai.responses.parse(model="sim-small", input="x", text_format=Signal)
    assert response.output_parsed == Signal(name="signal", lit=True)


async def test_completions_whole_and_streamed(oai, sim):
    whole = await oai.completions.create(model="sim-small", prompt="hello", max_tokens=8)
    # The SDK's own type has no null finish_reason, which every provider streams: hence not the strict client.
    async with openai.AsyncOpenAI(base_url=sim.base_url("openai"), api_key="x") as lenient:
        stream = await lenient.completions.create(model="sim-small", prompt="hello", max_tokens=8, stream=True)
        text = "".join([chunk.choices[0].text async for chunk in stream])
    assert whole.choices[0].text == text
    assert whole.usage.completion_tokens == 8


async def test_embeddings_are_near_for_similar_texts(oai, sim):
    # The SDK asks for base64 and decodes it itself, which its strict validation does not know.
    async with openai.AsyncOpenAI(base_url=sim.base_url("openai"), api_key="x") as lenient:
        got = await lenient.embeddings.create(
            model="sim-embed", input=["the cat sat down", "the cat sat up", "quarterly revenue fell"]
        )
    first, near, far = (item.embedding for item in got.data)

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert len(first) == 256
    assert dot(first, first) == pytest.approx(1, abs=1e-5)
    assert dot(first, near) > dot(first, far)
    floats = await oai.embeddings.create(model="sim-embed", input="a", encoding_format="float", dimensions=8)
    assert len(floats.data[0].embedding) == 8


async def test_responses_whole_and_streamed_say_the_same(oai):
    whole = await oai.responses.create(model="sim-small", input="hello [[thinking:5]]")
    numbers, text, final = [], "", None
    async with oai.responses.stream(model="sim-small", input="hello [[thinking:5]]") as stream:
        async for event in stream:
            numbers.append(event.sequence_number)
            if event.type == "response.output_text.delta":
                text += event.delta
        final = await stream.get_final_response()
    assert numbers == list(range(len(numbers)))
    assert whole.output_text == text == final.output_text
    assert whole.usage == final.usage
    assert whole.usage.output_tokens_details.reasoning_tokens == 5
    assert [item.type for item in final.output] == ["reasoning", "message"]


async def test_responses_tools_and_length(oai):
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    async with oai.responses.stream(model="sim-small", input=WEATHER, tools=[tool]) as stream:
        final = await stream.get_final_response()
    assert [item.arguments for item in final.output] == ['{"city":"Paris"}', '{"city":"Rome","in":[[1]]}']
    short = await oai.responses.create(model="sim-small", input="[[tokens:50]]", max_output_tokens=16)
    assert short.status == "incomplete"
    assert short.incomplete_details.reason == "max_output_tokens"


async def test_messages_whole_and_streamed_say_the_same(ant):
    ask = {"model": "sim-small", "max_tokens": 64, "messages": user("hello [[thinking:4]][[cached:2]]")}
    whole = await ant.messages.create(**ask)
    async with ant.messages.stream(**ask) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [b.model_dump() for b in whole.content if b.type == "thinking"] == [
        b.model_dump() for b in final.content if b.type == "thinking"
    ]
    assert whole.content[-1].text == final.content[-1].text
    assert (whole.usage.input_tokens, whole.usage.cache_read_input_tokens, whole.usage.output_tokens) == (
        final.usage.input_tokens,
        final.usage.cache_read_input_tokens,
        final.usage.output_tokens,
    )
    assert whole.stop_reason == final.stop_reason == "end_turn"


async def test_messages_tools_stop_and_limit(ant):
    tools = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    async with ant.messages.stream(model="sim-small", max_tokens=64, messages=user(WEATHER), tools=tools) as stream:
        final = await stream.get_final_message()
    assert [block.input for block in final.content] == [{"city": "Paris"}, {"city": "Rome", "in": [[1]]}]
    assert final.stop_reason == "tool_use"
    forced = await ant.messages.create(
        model="sim-small", max_tokens=64, messages=user("x"), tools=tools, tool_choice={"type": "any"}
    )
    assert forced.content[0].input == {"city": "signal"}
    stopped = await ant.messages.create(
        model="sim-small", max_tokens=64, messages=user("[[text:one two three]]"), stop_sequences=["two"]
    )
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "two")
    short = await ant.messages.create(model="sim-small", max_tokens=3, messages=user("x"))
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 3)


async def test_count_tokens_equals_what_is_billed(ant, sim):
    ask = {"model": "sim-small", "messages": user("hello there"), "system": "be brief"}
    counted = await ant.messages.count_tokens(**ask)
    message = await ant.messages.create(**ask, max_tokens=5)
    assert counted.input_tokens == message.usage.input_tokens == 3 + 3 + 2
    assert len(sim.bill.rows) == 1


async def test_models_satisfy_both_sdks(oai, ant):
    assert "sim-small" in [model.id for model in (await oai.models.list()).data]
    assert "sim-small" in [model.id for model in (await ant.models.list()).data]
    assert (await oai.models.retrieve("sim-large")).id == "sim-large"
    with pytest.raises(openai.NotFoundError):
        await oai.models.retrieve("nope")


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("nope", openai.NotFoundError, "model_not_found"),
        ("sim-small!quota", openai.RateLimitError, "insufficient_quota"),
        ("sim-small!401", openai.AuthenticationError, "invalid_api_key"),
        ("sim-small!context", openai.BadRequestError, "context_length_exceeded"),
        ("sim-small!policy", openai.BadRequestError, "content_policy_violation"),
        ("sim-small!500", openai.InternalServerError, None),
        ("sim-small!no_such_fault", openai.BadRequestError, "invalid_fault"),
    ],
)
async def test_openai_errors(oai, model, error, code):
    with pytest.raises(error) as caught:
        await oai.chat.completions.create(model=model, messages=user("x"))
    assert caught.value.code == code
    assert caught.value.request_id.startswith("req_")


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("nope", 404, "not_found_error"),
        ("sim-small!529", 529, "overloaded_error"),
        ("sim-small!quota", 402, "billing_error"),
        ("sim-small!429@2", 429, "rate_limit_error"),
    ],
)
async def test_anthropic_errors(ant, model, status, kind):
    with pytest.raises(anthropic.APIStatusError) as caught:
        await ant.messages.create(model=model, max_tokens=5, messages=user("x"))
    assert caught.value.status_code == status
    assert caught.value.body["error"]["type"] == kind


async def test_error_events_in_streams(oai, ant):
    with pytest.raises(openai.APIError):
        async for _ in await oai.chat.completions.create(
            model="sim-small!sse_error@3", messages=user("x"), stream=True
        ):
            pass
    with pytest.raises(anthropic.APIStatusError):
        async with ant.messages.stream(model="sim-small!sse_error@3", max_tokens=50, messages=user("x")) as stream:
            await stream.get_final_message()


async def test_bad_requests_are_the_callers_fault(oai, ant):
    for body in ({"messages": []}, {"messages": user("x"), "max_tokens": 0}, {"messages": [1]}, {"n": 1000}):
        with pytest.raises(openai.BadRequestError):
            await oai.post("/chat/completions", body={"model": "sim-small", "messages": user("x")} | body, cast_to=dict)
    with pytest.raises(anthropic.BadRequestError):
        await ant.post("/v1/messages", body={"model": "sim-small", "messages": user("x")}, cast_to=dict)


@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_custom_tools_are_taken_and_never_called(oai: openai.AsyncOpenAI, choice: Any) -> None:
    custom: Any = {"type": "custom", "custom": {"name": "patch"}}
    told = await oai.chat.completions.create(
        model="sim-small",
        messages=[{"role": "user", "content": "[[tool:patch {}]]"}],
        tools=[custom],
        tool_choice=choice,
    )
    assert told.choices[0].finish_reason == "stop"
    assert not told.choices[0].message.tool_calls
    with pytest.raises(openai.BadRequestError, match=r"custom\.name"):
        await oai.chat.completions.create(
            model="sim-small",
            messages=[{"role": "user", "content": "x"}],
            tools=[{"type": "custom", "custom": {}}],  # type: ignore[typeddict-item]
        )


async def test_a_stored_prompt_is_refused_by_name(oai: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="keeps no prompts") as refused:
        await oai.responses.create(model="sim-small", prompt={"id": "pmpt_1"})
    assert refused.value.param == "prompt"
