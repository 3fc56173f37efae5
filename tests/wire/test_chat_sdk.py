"""The official SDK reads what the dialect writes, whole and streamed; and calls survive the way there and back."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from signalbox.core.errors import BadGateway
from signalbox.core.hub import (
    Event,
    Finished,
    Message,
    PartDone,
    Refusal,
    RefusalDelta,
    Request,
    Response,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolDelta,
    ToolResult,
    ToolStarted,
)
from signalbox.core.usage import Usage
from signalbox.wire.dialect import Target
from signalbox.wire.openai_chat import CHAT
from signalbox.wire.openai_completions import COMPLETIONS
from signalbox.wire.sse import SseDecoder

USAGE = Usage(tokens_in=10, cache_read=5, tokens_out=3, reasoning=2)
ASKED = Request(messages=(), include_usage=True)
EVENTS: list[Event] = [
    Started("up-1", "model-x", 1_700_000_000),
    ThinkingDelta(0, "Hm", signature="s"),
    PartDone(0),
    TextDelta(1, "Hel"),
    TextDelta(1, "lo 😀"),
    PartDone(1),
    ToolStarted(2, "call_1", "f"),
    ToolStarted(3, "call_2", "g"),
    ToolDelta(2, '{"a":'),
    ToolDelta(3, "[]"),
    ToolDelta(2, "1}"),
    PartDone(2),
    PartDone(3),
    Finished("tool_calls"),
]


def client(body: bytes, content_type: str) -> openai.OpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"content-type": content_type})

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(
        api_key="k",
        base_url="http://gateway/v1",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(transport=transport),
    )


def streamed(events: list[Event], request: Request = ASKED) -> bytes:
    writer = CHAT.writer(request, "call-7", 1_700_000_001)
    return b"".join(writer.write([event]) for event in events) + writer.end(USAGE)


def sdk_chunks(data: bytes) -> list[ChatCompletionChunk]:
    return list(
        client(data, "text/event-stream").chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
    )


def accumulated(data: bytes) -> ChatCompletion:
    state = ChatCompletionStreamState()
    for chunk in sdk_chunks(data):
        ChatCompletionChunk.model_validate(chunk.model_dump())
        state.handle_chunk(chunk)
    return state.current_completion_snapshot


def test_the_sdk_accumulates_a_stream() -> None:
    final = accumulated(streamed(EVENTS))
    choice = final.choices[0]
    assert (final.id, final.model, choice.finish_reason) == ("chatcmpl-call-7", "model-x", "tool_calls")
    assert choice.message.content == "Hello 😀"
    assert choice.message.reasoning_content == "Hm"  # type: ignore[attr-defined]
    calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls or []]
    assert calls == [("call_1", "f", '{"a":1}'), ("call_2", "g", "[]")]
    assert final.usage is not None
    assert (final.usage.prompt_tokens, final.usage.completion_tokens, final.usage.total_tokens) == (15, 5, 20)


def test_usage_comes_only_to_a_client_that_asked() -> None:
    with_usage, without = sdk_chunks(streamed(EVENTS)), sdk_chunks(streamed(EVENTS, Request(messages=())))
    assert [chunk.usage is not None for chunk in with_usage] == [False] * (len(with_usage) - 1) + [True]
    assert with_usage[-1].choices == []
    assert all(chunk.usage is None and chunk.choices for chunk in without)


@pytest.mark.parametrize(
    ("finish", "events", "expected"),
    [
        ("stop", [TextDelta(0, "x")], "stop"),
        ("stop_sequence", [TextDelta(0, "x")], "stop"),
        ("length", [TextDelta(0, "x")], "length"),
        ("content_filter", [], "content_filter"),
        ("refusal", [RefusalDelta(0, "No.")], "stop"),
        ("refusal", [TextDelta(0, "x")], "content_filter"),
        ("pause", [TextDelta(0, "x")], "length"),
        ("error", [TextDelta(0, "x")], "length"),
    ],
)
def test_every_finish_has_a_reason_that_the_sdk_knows(finish: str, events: list[Event], expected: str) -> None:
    final = accumulated(streamed([Started("i", "m"), *events, Finished(finish)]))
    assert final.choices[0].finish_reason == expected


def test_an_answer_that_never_finished_does_not_look_complete() -> None:
    assert accumulated(streamed(EVENTS[:5])).choices[0].finish_reason == "length"


def test_an_error_in_the_stream_raises_in_the_sdk() -> None:
    data = CHAT.writer(ASKED, "c", 0).write(EVENTS[:5]) + CHAT.error_event(BadGateway("it broke"), "r")
    with pytest.raises(openai.APIError, match="it broke"):
        sdk_chunks(data)


def test_heartbeats_and_a_supplied_end_are_read_by_the_sdk() -> None:
    data = CHAT.heartbeat() + CHAT.writer(ASKED, "c", 0).write(EVENTS) + CHAT.supply_end(USAGE, True)
    final = accumulated(data)
    assert final.usage is not None
    assert final.usage.total_tokens == 20
    assert CHAT.supply_end(USAGE, False) == CHAT.supply_end(None, True) == b"data: [DONE]\n\n"


def test_a_freeform_call_comes_back_as_declared() -> None:
    asked = Request(messages=(), tools=(Tool("shell", None, {}, freeform=True),))
    events: list[Event] = [
        Started("i", "m"), ToolStarted(0, "c1", "shell"), ToolDelta(0, '{"inp'), ToolDelta(0, 'ut":"ls \\"x\\""}'),
        PartDone(0), Finished("tool_calls"),
    ]  # fmt: skip
    calls = [chunk["choices"][0]["delta"].get("tool_calls") for chunk in raw_chunks(streamed(events, asked))]
    assert [call for call in calls if call] == [
        [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "shell", "input": 'ls "x"'}}]
    ]
    response = Response(
        "i", "m", (ToolCall("c1", "shell", '{"input":"ls"}'),), "tool_calls", freeform=frozenset({"shell"})
    )
    written = ChatCompletion.model_validate_json(CHAT.write_response(response, USAGE))
    assert written.choices[0].message.tool_calls[0].custom.input == "ls"  # type: ignore[index,union-attr]


def raw_chunks(data: bytes) -> list[Any]:
    return [json.loads(event.data) for event in SseDecoder().feed(data) if event.data != b"[DONE]"]


def test_the_sdk_reads_a_whole_answer() -> None:
    response = Response(
        "up-1", "model-x", (Thinking("Hm", "s"), Text("Hello"), ToolCall("c1", "f", '{"a":1}')), "tool_calls", None, 17
    )
    body = CHAT.write_response(response, USAGE)
    ChatCompletion.model_validate_json(body, strict=True)
    read = client(body, "application/json").chat.completions.create(model="m", messages=[])
    message = read.choices[0].message
    assert (message.content, message.refusal, read.created) == ("Hello", None, 17)
    assert message.tool_calls is not None
    assert message.tool_calls[0].id == "c1"
    assert read.usage is not None
    assert read.usage.prompt_tokens_details is not None
    assert read.usage.prompt_tokens_details.cached_tokens == 5
    refused = CHAT.write_response(Response("i", "m", (Refusal("No."),), "refusal"), USAGE)
    assert ChatCompletion.model_validate_json(refused).choices[0].message.refusal == "No."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "shape"),
        (b"{}", "no choices"),
        (b'{"choices":[{"finish_reason":"stop"}]}', "no message"),
        (b'{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}', "more choices"),
        (b'{"choices":[{"message":{"tool_calls":[{"id":"1","function":{"arguments":"{}"}}]}}]}', "no name"),
        (b'{"choices":[{"message":{"content":[{"type":"hologram"}]}}]}', "unknown type"),
        (b'{"choices":[{"message":{"content":5}}]}', "shape"),
    ],
)
def test_an_upstream_answer_of_another_shape_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CHAT.read_response(body)


def test_servers_that_disagree_are_understood() -> None:
    def read(message: dict[str, Any], reason: str | None, **more: Any) -> Response:
        choice = {"index": 0, "message": message, "finish_reason": reason, **more}
        return CHAT.read_response(json.dumps({"id": "chatcmpl-9", "created": 1.5, "choices": [choice]}).encode())

    call = {"function": {"name": "f"}}
    assert read({"tool_calls": [call, call]}, "stop").parts == (
        ToolCall("call_9_0", "f", ""),
        ToolCall("call_9_1", "f", ""),
    )
    assert read({"tool_calls": [call]}, "stop").finish == "tool_calls"
    assert read({"content": "x"}, "tool_calls").finish == "stop"
    assert read({"content": "x"}, None).finish == "stop"
    assert read({"content": "x"}, "stop", stop_reason="END").stop_sequence == "END"
    assert read({"content": "x"}, "insufficient_system_resource").finish == "error"
    assert read({"content": "x", "reasoning": "y"}, "stop").parts == (Thinking("y"), Text("x"))


# --- there and back ---

words = st.text(min_size=1, max_size=20)
argument_texts = st.sampled_from(["", "{}", '{"a":1.0}', '{ "b" : "é" }', '{"n":12345678901234567890}', "not json"])
tool_calls = st.lists(st.tuples(words, argument_texts), min_size=1, max_size=4)
texts = st.text(max_size=20)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages: list[Message] = []
    for turn in range(draw(st.integers(1, 3))):
        messages.append(Message("user", tuple(Text(text) for text in draw(st.lists(words, min_size=1, max_size=2)))))
        calls = [ToolCall(f"call_{turn}_{i}", name, args) for i, (name, args) in enumerate(draw(tool_calls))]
        said = draw(texts)
        messages.append(Message("assistant", ((Text(said),) if said else ()) + tuple(calls)))
        messages.append(Message("user", tuple(ToolResult(call.id, (Text(draw(texts)),)) for call in calls)))
    return tuple(messages)


@settings(max_examples=60, deadline=None)
@given(conversations(), st.lists(words, max_size=3, unique=True))
def test_a_conversation_survives_the_wire(messages: tuple[Message, ...], names: list[str]) -> None:
    tools = tuple(Tool(name, name, {"type": "object", "properties": {}}, True) for name in names)
    request = Request(messages=messages, system=(Text("Be brief."),), tools=tools, max_tokens=5, stop=("x",))
    written = json.loads(CHAT.write_request(request, Target("llama")))
    TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(written)
    back = CHAT.read_request(written)

    def named(parts: tuple[Any, ...]) -> list[Any]:
        # A call without arguments is written as one with none of them.
        return [ToolCall(p.id, p.name, p.arguments or "{}") if isinstance(p, ToolCall) else p for p in parts]

    assert [named(message.parts) for message in back.messages] == [named(message.parts) for message in messages]
    assert (back.system, back.tools, back.max_tokens, back.stop) == (request.system, tools, 5, ("x",))


def test_giant_numbers_in_a_schema_are_carried_exactly() -> None:
    tool = Tool("f", "é", {"type": "object", "properties": {"a": {"maximum": 10**30}}})
    written = CHAT.write_request(Request(messages=(Message("user", (Text("x"),)),), tools=(tool,)), Target("m"))
    assert CHAT.read_request(json.loads(written)).tools == (tool,)


pieces = st.lists(texts, max_size=4)
parts = st.one_of(
    st.tuples(st.just("text"), pieces),
    st.tuples(st.just("thinking"), pieces),
    st.tuples(st.just("tool"), words, pieces),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(parts, max_size=5))
def test_a_stream_survives_the_wire(answer: list[Any]) -> None:
    events: list[Event] = [Started("i", "m", 7)]
    for index, (kind, *rest) in enumerate(answer):
        if kind == "tool":
            events.append(ToolStarted(index, f"call_{index}", rest[0]))
            events += [ToolDelta(index, piece) for piece in rest[1]]
        else:
            delta = TextDelta if kind == "text" else ThinkingDelta
            events += [delta(index, piece) for piece in rest[0]]
        events.append(PartDone(index))
    events.append(Finished("stop"))
    reader = CHAT.reader()
    back: list[Event] = []
    for sse in SseDecoder().feed(streamed(events)):
        more, seen = reader.read(sse)
        assert seen.ok
        back += more
    assert told(back) == told(events)


def told(events: list[Event]) -> list[Any]:
    """The answer without how it was cut into pieces: neighbouring texts of one kind joined, empty ones left out. A call
    without arguments is one with an empty object of them."""
    found: list[list[Any]] = []
    tools: dict[int, list[Any]] = {}
    for event in events:
        if isinstance(event, ToolStarted):
            tools[event.index] = ["tool", event.id, event.name, ""]
            found.append(tools[event.index])
        elif isinstance(event, ToolDelta):
            tools[event.index][3] += event.arguments
        elif isinstance(event, TextDelta | ThinkingDelta) and event.text:
            kind = type(event).__name__
            if found and found[-1][0] == kind:
                found[-1][1] += event.text
            else:
                found.append([kind, event.text])
    for tool in tools.values():
        tool[3] = tool[3] or "{}"
    return found


@pytest.mark.parametrize(
    "deltas",
    [
        [{"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}],
        [
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]},
            {"tool_calls": [{"index": 0, "id": "b"}]},
        ],
        [{"audio": {"data": "AA"}}],
        [{"function_call": {"name": "f", "arguments": "{}"}}],
        [{"content": [{"type": "hologram"}]}],
        [{"content": 5}],
    ],
)
def test_a_stream_that_cannot_be_told_faithfully_is_refused(deltas: list[dict[str, Any]]) -> None:
    reader = CHAT.reader()
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    data = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks)
    with pytest.raises(ValueError, match=r"."):
        [reader.read(event) for event in SseDecoder().feed(data)]


def test_an_error_in_an_upstream_stream_is_seen_by_the_reader() -> None:
    (event,) = SseDecoder().feed(b'data: {"error":{"message":"boom","type":"t"}}\n\n')
    events, seen = CHAT.reader().read(event)
    assert (events, seen.error) == ([], ("t", "boom"))
    assert COMPLETIONS.reader().read(event)[1].error == ("t", "boom")
