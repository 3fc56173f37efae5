"""Requests of the Responses dialect: what is seen in passing, what is refused, and what survives a round trip."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.core.hub import (
    Event,
    Finished,
    Image,
    Message,
    Request,
    Started,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolDelta,
    ToolResult,
    ToolStarted,
)
from signalbox.core.stream import SseEvent
from signalbox.core.usage import NO_USAGE
from signalbox.wire.dialect import Target
from signalbox.wire.openai_responses import RESPONSES
from signalbox.wire.sse import SseDecoder

TARGET = Target("upstream")


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "input": "x", "store": False, **fields}


def items(*items: dict[str, Any]) -> dict[str, Any]:
    return body(input=list(items))


# --- envelope ---


@pytest.mark.parametrize(
    ("doc", "onward"),
    [
        (body(), ()),
        ({"model": "m", "input": "x"}, ("store",)),
        (body(store=None), ("store",)),
        (body(store=True, background=True), ("store", "background")),
        (body(previous_response_id="resp_1"), ("previous_response_id",)),
        (body(conversation="conv_1"), ("conversation",)),
        (body(conversation={"id": "conv_1"}), ("conversation",)),
        (body(prompt={"id": "pmpt_1", "version": "2"}), ("prompt",)),
        (body(moderation={"model": "omni"}), ("moderation",)),
        (body(prompt_cache_retention="24h"), ("prompt_cache_retention",)),
        (body(tools=[{"type": "web_search_preview_2025_03_11"}, {"type": "web_search"}]), ("web_search",)),
        (body(tools=[{"type": "mcp"}, {"type": "code_interpreter"}]), ("mcp", "code_interpreter")),
        (body(tools=[{"type": "computer_use_preview"}]), ("computer_use",)),
        (body(tools=[{"type": "shell", "environment": {"type": "local"}}, {"type": "local_shell"}]), ()),
        (body(tools=[{"type": "shell"}]), ("shell",)),
        (
            body(tools=[{"type": "image_generation", "input_image_mask": {"file_id": "f"}}]),
            ("image_generation", "file_id"),
        ),
        (items({"type": "additional_tools", "role": "developer", "tools": [{"type": "mcp"}]}), ("mcp",)),
        (items({"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}), ("image_url",)),
        (items({"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,eA=="}]}), ()),
        (items({"role": "user", "content": [{"type": "input_file", "file_url": "http://x/y"}]}), ("file_url",)),
        (items({"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}), ("file_id",)),
        (
            items({"type": "function_call_output", "output": [{"type": "input_image", "image_url": "http://x"}]}),
            ("image_url",),
        ),
        (
            items({"type": "computer_call_output", "output": {"type": "computer_screenshot", "file_id": "file-1"}}),
            ("file_id",),
        ),
    ],
)
def test_onward_transfers_are_named(doc: dict[str, Any], onward: tuple[str, ...]) -> None:
    assert RESPONSES.envelope(doc).onward == onward


@pytest.mark.parametrize(
    ("item", "opaque"),
    [
        ({"role": "user", "content": "text"}, False),
        ({"role": "user", "content": [{"type": "input_text", "text": "x"}]}, False),
        ({"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,eA=="}]}, True),
        ({"role": "user", "content": [{"type": "input_file", "file_data": "eA=="}]}, True),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "eA=="}}]}, True),
        ({"role": "user", "content": [{"type": "invented", "data": "eA=="}]}, True),
        ({"type": "function_call_output", "output": [{"type": "input_image", "file_id": "f"}]}, True),
        ({"type": "shell_call_output", "output": [{"stdout": "x", "stderr": ""}]}, False),
        ({"type": "reasoning", "summary": []}, False),
        ({"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}, True),
        ({"type": "compaction", "encrypted_content": "gAAA"}, True),
        ({"type": "image_generation_call", "result": "eA=="}, True),
        ({"type": "invented_item"}, True),
    ],
)
def test_unreadable_parts_are_seen(item: dict[str, Any], opaque: bool) -> None:
    assert RESPONSES.envelope(items(item)).opaque is opaque


def test_provider_bound_state_is_listed() -> None:
    doc = items(
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_2"},
    ) | {"previous_response_id": "resp_1", "conversation": {"id": "conv_1"}, "prompt": {"id": "pmpt_1"}}
    stateful = RESPONSES.envelope(doc).stateful
    assert stateful == ("resp_1", "conv_1", "pmpt_1", "rs_1", "reasoning.encrypted_content", "msg_1", "msg_2")


def test_unknown_tools_are_named_once_and_prompt_variables_are_read() -> None:
    tools = [{"type": "telepathy"}, {"type": "telepathy"}, {"type": "namespace", "tools": [{"type": "mcp"}]}]
    assert RESPONSES.envelope(body(tools=tools)).unknown_tools == ("telepathy", "mcp")
    variables = {"pic": {"type": "input_image", "image_url": "https://x"}, "name": "Ann"}
    seen = RESPONSES.envelope(body(prompt={"id": "p", "variables": variables}))
    assert (seen.opaque, seen.onward) == (True, ("prompt", "image_url"))


def test_stream_and_limit() -> None:
    seen = RESPONSES.envelope(body(stream=True, max_output_tokens=128))
    assert (seen.stream, seen.max_tokens, seen.n) == (True, 128, 1)
    assert RESPONSES.envelope(body(stream=None, max_output_tokens=None)).max_tokens is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": -5}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"max_output_tokens": 12.5}, "max_output_tokens"),
        ({"max_output_tokens": 10**30}, "max_output_tokens"),
        ({"input": 7}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{}]}, "input[0]"),
        ({"tools": {}}, "tools"),
        ({"tools": ["x"]}, "tools[0]"),
        ({"tools": [{"type": 3}]}, "tools[0].type"),
        ({"previous_response_id": 3}, "previous_response_id"),
        ({"conversation": {}}, "conversation"),
        ({"prompt": []}, "prompt"),
    ],
)
def test_envelope_refuses_what_it_cannot_understand(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        RESPONSES.envelope(body(**fields))
    assert caught.value.param == param


# --- across protocols: refusals ---

CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("doc", "param"),
    [
        (body(previous_response_id="resp_1"), "previous_response_id"),
        (body(conversation="conv_1"), "conversation"),
        (body(background=True), "background"),
        (body(prompt={"id": "p"}), "prompt"),
        (body(tools=[{"type": "web_search"}]), "tools[0]"),
        (body(tools=[{"type": "namespace", "name": "n", "tools": []}]), "tools[0]"),
        (items({"type": "item_reference", "id": "msg_1"}), "input[0]"),
        (items({"type": "compaction", "encrypted_content": "x"}), "input[0]"),
        (items({"type": "web_search_call", "id": "ws_1"}), "input[0]"),
        (items(CALL | {"namespace": "n"}), "input[0].namespace"),
        (items({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}), "input[0].content[0].file_id"),
        (items({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}), "input[0].content[0].file_id"),
        (items({"role": "user", "content": [{"type": "input_audio"}]}), "input[0].content[0]"),
        (body(tool_choice={"type": "mcp", "server_label": "x"}), "tool_choice"),
        (body(text={"format": {"type": "grammar"}}), "text.format"),
    ],
)
def test_what_only_a_responses_deployment_can_do_is_refused(doc: dict[str, Any], param: str) -> None:
    with pytest.raises(Unsupported) as caught:
        RESPONSES.read_request(doc)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("doc", "param"),
    [
        ({"model": "m"}, "input"),
        (items(), "input"),
        (body(instructions=[]), "instructions"),
        (body(temperature="hot"), "temperature"),
        (body(top_p=True), "top_p"),
        (body(parallel_tool_calls="no"), "parallel_tool_calls"),
        (body(text="x"), "text"),
        (body(text={"format": {"type": "json_schema"}}), "text.format.schema"),
        (body(reasoning={"effort": 3}), "reasoning.effort"),
        (body(tools=[{"type": "function"}]), "tools[0].name"),
        (body(tools=[{"type": "function", "name": "f", "parameters": []}]), "tools[0].parameters"),
        (body(tool_choice="maybe"), "tool_choice"),
        (items({"role": "narrator", "content": "x"}), "input[0].role"),
        (items({"role": "user"}), "input[0].content"),
        (items({"role": "user", "content": [{"type": "input_text"}]}), "input[0].content[0].text"),
        (items({"role": "user", "content": [{"type": "hologram"}]}), "input[0].content[0].type"),
        (items({"type": "function_call", "call_id": "c", "name": "f"}), "input[0].arguments"),
        (items({"type": "function_call_output", "output": "x"}), "input[0].call_id"),
    ],
)
def test_malformed_requests_say_where(doc: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        RESPONSES.read_request(doc)
    assert not isinstance(caught.value, Unsupported)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("target", "request_"),
    [
        (Target("m", tools=False), Request(messages=(), tools=(Tool("f", None, {}),))),
        (Target("m", images=False), Request(messages=(Message("user", (Image(url="http://x"),)),))),
        (
            Target("m", images=False),
            Request(messages=(Message("user", (ToolResult("c", (Image(url="http://x"),)),)),)),
        ),
        (Target("m"), Request(messages=(), n=2)),
    ],
)
def test_what_the_deployment_cannot_do_is_refused(target: Target, request_: Request) -> None:
    with pytest.raises(Unsupported):
        RESPONSES.write_request(request_, target)


def test_what_this_wire_has_no_word_for_is_reported() -> None:
    thought = Message("assistant", (Thinking("hm", "sig", origin="anthropic"), Text("x")))
    request = Request(messages=(thought,), seed=0, top_k=3, stop=("END",), service_tier="standard_only")
    written = json.loads(RESPONSES.write_request(request, TARGET))
    assert written == {"model": "upstream", "store": False, "input": [{"role": "assistant", "content": "x"}]}
    assert set(request.dropped) == {"thinking", "seed", "top_k", "stop", "service_tier"}


@pytest.mark.parametrize(("budget", "effort"), [(1024, "low"), (8000, "medium"), (32000, "high")])
def test_a_thinking_budget_becomes_an_effort(budget: int, effort: str) -> None:
    written = json.loads(RESPONSES.write_request(Request(messages=(), thinking_budget=budget), TARGET))
    assert written["reasoning"] == {"effort": effort}


def test_an_error_result_survives_the_round_trip() -> None:
    message = Message("user", (ToolResult("c", (Text("boom"),), is_error=True),))
    written = json.loads(RESPONSES.write_request(Request(messages=(message,)), TARGET))
    (result,) = RESPONSES.read_request(written).messages[0].parts
    assert isinstance(result, ToolResult)
    assert result.is_error
    # The model reads no status: it is told in words.
    assert written["input"][0]["output"] == "[The tool call failed.]\nboom"


# --- properties ---

words = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.from_regex(r"[A-Za-z0-9_-]{1,24}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(words, json_values, max_size=3).map(lambda d: json.dumps(d, ensure_ascii=False, indent=1))
calls = st.lists(st.builds(ToolCall, names, names, arguments), min_size=1, max_size=5, unique_by=lambda c: c.id)


@given(calls, st.lists(words.filter(bool), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_tool_calls_survive_a_request_round_trip(made: list[ToolCall], texts: list[str]) -> None:
    messages = (
        Message("user", (Text("go"),)),
        Message("assistant", (Text("ok"), *made)),
        Message("user", tuple(ToolResult(call.id, tuple(Text(t) for t in texts)) for call in made)),
    )
    tools = tuple(Tool(name, "d", {"type": "object"}, strict=False) for name in {call.name for call in made})
    written = RESPONSES.write_request(Request(messages=messages, tools=tools), TARGET)
    again = RESPONSES.read_request(json.loads(written))
    assert again.messages == messages
    assert again.tools == tools


@given(calls, st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_tool_calls_survive_a_stream_round_trip(made: list[ToolCall], step: int) -> None:
    """All calls are open at once and their deltas interleave: names, ids, argument text and order stay."""
    events: list[Event] = [Started("resp_1", "m"), *(ToolStarted(i, c.id, c.name) for i, c in enumerate(made))]
    longest = max(len(call.arguments) for call in made)
    for at in range(0, longest, step):
        events += [ToolDelta(i, c.arguments[at : at + step]) for i, c in enumerate(made) if c.arguments[at:]]
    events.append(Finished("tool_calls"))
    writer, reader = RESPONSES.writer(Request(messages=()), "resp_1", 0), RESPONSES.reader()
    data = writer.write(events) + writer.end(NO_USAGE)
    told: dict[int, list[str]] = {}
    for sse in SseDecoder().feed(data):
        for event in reader.read(sse)[0]:
            if isinstance(event, ToolStarted):
                told[event.index] = [event.id, event.name, ""]
            elif isinstance(event, ToolDelta):
                told[event.index][2] += event.arguments
    assert [tuple(told[i]) for i in sorted(told)] == [(c.id, c.name, c.arguments) for c in made]


@given(words, names)
@settings(max_examples=60, deadline=None)
def test_freeform_inputs_survive_both_ways(text: str, name: str) -> None:
    custom = {"type": "custom_tool_call", "call_id": "c", "name": name, "input": text}
    request = RESPONSES.read_request(body(input=[custom], tools=[{"type": "custom", "name": name}]))
    (call,) = request.messages[0].parts
    assert isinstance(call, ToolCall)
    writer = RESPONSES.writer(request, "resp_1", 0)
    events: list[Event] = [ToolStarted(0, call.id, name), ToolDelta(0, call.arguments), Finished("tool_calls")]
    last = SseDecoder().feed(writer.write(events) + writer.end(NO_USAGE))[-1]
    (item,) = json.loads(last.data)["response"]["output"]
    assert (item["type"], item["call_id"], item["name"], item["input"]) == ("custom_tool_call", "c", name, text)


KINDS = [
    "message",
    "user",
    "function_call",
    "reasoning",
    "input_image",
    "function",
    "auto",
    "allowed_tools",
    "output_text",
]
wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "role",
                    "content",
                    "id",
                    "text",
                    "input",
                    "name",
                    "arguments",
                    "call_id",
                    "output",
                    "summary",
                    "tools",
                    "image_url",
                    "format",
                ]
            )
            | words,
            inner | st.sampled_from([*KINDS, [], {}]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


PARAMETERS = ["input", "tools", "tool_choice", "text", "reasoning", "instructions", "prompt", "conversation", "stream"]


@given(st.dictionaries(st.sampled_from(PARAMETERS), wild, max_size=6))
@settings(max_examples=100, deadline=None)
def test_no_body_causes_anything_but_a_bad_request(doc: dict[str, Any]) -> None:
    for read in (RESPONSES.envelope, RESPONSES.read_request):
        with contextlib.suppress(BadRequest):
            read(doc)


@pytest.mark.parametrize("value", [[], {}, 7])
def test_types_of_the_wrong_type_are_bad_requests(value: Any) -> None:
    for doc in (items({"type": value}), body(tools=[{"type": value}]), body(tool_choice={"type": value})):
        with pytest.raises(BadRequest):
            RESPONSES.read_request(doc)
    named = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": value}]}
    assert RESPONSES.read_request(body(tool_choice=named)).tools == ()
    assert RESPONSES.envelope(items({"role": "user", "content": [{"type": value}]})).opaque


EVENT_TYPES = [
    "response.created",
    "response.output_item.added",
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.output_text.done",
    "response.output_item.done",
    "response.reasoning_summary_text.delta",
    "response.completed",
    "response.failed",
    "error",
]
wild_event = st.fixed_dictionaries(
    {"type": st.sampled_from(EVENT_TYPES)},
    optional={
        "delta": wild,
        "text": wild,
        "arguments": wild,
        "item": wild,
        "error": wild,
        "output_index": st.integers(0, 2) | wild,
        "response": st.fixed_dictionaries({}, optional={"output": wild, "usage": wild, "error": wild, "status": wild}),
    },
)


@given(st.lists(wild_event, max_size=6))
@settings(max_examples=100, deadline=None)
def test_no_upstream_stream_causes_anything_but_a_value_error(events: list[dict[str, Any]]) -> None:
    observer, reader = RESPONSES.observer(), RESPONSES.reader()
    for event in events:
        data = json.dumps(event).encode()
        assert observer.observe(SseEvent(data, event["type"], data)) is not None
        with contextlib.suppress(ValueError):
            reader.read(SseEvent(data, event["type"], data))


@given(st.dictionaries(st.sampled_from(["output", "usage", "status", "error", "id", "model", "tool_usage"]), wild))
@settings(max_examples=80, deadline=None)
def test_no_upstream_body_causes_anything_but_a_value_error(doc: dict[str, Any]) -> None:
    data = json.dumps(doc).encode()
    assert RESPONSES.seen(data) is not None
    with contextlib.suppress(ValueError):
        RESPONSES.read_response(data)
